#include "cmd/sandbox.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#ifdef SHS_HAVE_SECCOMP
#include <sched.h>
#include <seccomp.h>
#endif

/* -- where it cannot be ------------------------------------------------------------------------ */

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define SANITIZED true
#elif defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer) ||                         \
    __has_feature(memory_sanitizer) || __has_feature(undefined_behavior_sanitizer)
#define SANITIZED true
#endif
#endif
#ifndef SANITIZED
#define SANITIZED false
#endif

/* Of a build that counts coverage: it writes its files at exit, wherever the build is. */
extern void __gcov_dump(void) __attribute__((weak)); /* NOLINT: the compiler's name */

static bool under_valgrind(void)
{
    const char *preload = getenv("LD_PRELOAD");

    return preload != NULL && strstr(preload, "vgpreload") != NULL;
}

static void add_text(struct sandbox *self, const char *text)
{
    size_t used = strlen(self->text);

    snprintf(self->text + used, sizeof self->text - used, "%s%s", used == 0 ? "" : ", ", text);
}

/* -- landlock: linux/landlock.h, which is newer in the kernel than on many a system
   ------------- */

#ifndef SYS_landlock_create_ruleset
#define SYS_landlock_create_ruleset 444
#define SYS_landlock_add_rule 445
#define SYS_landlock_restrict_self 446
#endif
#define CREATE_RULESET_VERSION 1u
#define RULE_PATH_BENEATH 1

#define FS_EXECUTE (UINT64_C(1) << 0)
#define FS_WRITE_FILE (UINT64_C(1) << 1)
#define FS_READ_FILE (UINT64_C(1) << 2)
#define FS_READ_DIR (UINT64_C(1) << 3)
#define FS_REMOVE_DIR (UINT64_C(1) << 4)
#define FS_REMOVE_FILE (UINT64_C(1) << 5)
#define FS_MAKE_CHAR (UINT64_C(1) << 6)
#define FS_MAKE_DIR (UINT64_C(1) << 7)
#define FS_MAKE_REG (UINT64_C(1) << 8)
#define FS_MAKE_SOCK (UINT64_C(1) << 9)
#define FS_MAKE_FIFO (UINT64_C(1) << 10)
#define FS_MAKE_BLOCK (UINT64_C(1) << 11)
#define FS_MAKE_SYM (UINT64_C(1) << 12)
#define FS_REFER (UINT64_C(1) << 13)     /* from ABI 2 on */
#define FS_TRUNCATE (UINT64_C(1) << 14)  /* 3 */
#define FS_IOCTL_DEV (UINT64_C(1) << 15) /* 5 */
#define FS_OF_FILES (FS_EXECUTE | FS_WRITE_FILE | FS_READ_FILE | FS_TRUNCATE | FS_IOCTL_DEV)

struct ruleset_attr {
    uint64_t handled_access_fs;
};

struct path_beneath_attr {
    uint64_t allowed_access;
    int32_t parent_fd;
} __attribute__((packed));

/* What a kernel or a container's filter answers to a call that it does not have or forbids. */
static bool cannot_be_had(int sys_errno)
{
    return sys_errno == ENOSYS || sys_errno == EOPNOTSUPP || sys_errno == EINVAL ||
           sys_errno == EPERM || sys_errno == EACCES || sys_errno == E2BIG;
}

/* It is left out, and text says why. False: that is no reason to go on without it. */
static bool leave_out(struct sandbox *self, const char *part, int sys_errno)
{
    char text[96], why[64];

    if (!cannot_be_had(sys_errno)) {
        self->error = sys_errno;
        return false;
    }
    snprintf(text, sizeof text, "no %s here: %s", part, shs__strerror(sys_errno, why, sizeof why));
    add_text(self, text);
    self->error = 0;
    self->refused = true;
    return true;
}

/* All rights that this kernel's landlock knows: what is not known to it is not restricted. */
static uint64_t known(const struct sandbox *self)
{
    uint64_t rights = (FS_MAKE_SYM << 1) - 1;

    if (self->abi >= 2)
        rights |= FS_REFER;
    if (self->abi >= 3)
        rights |= FS_TRUNCATE;
    if (self->abi >= 5)
        rights |= FS_IOCTL_DEV;
    return rights;
}

static uint64_t rights_of(unsigned access)
{
    uint64_t rights = 0;

    if (access & SANDBOX_READ)
        rights |= FS_READ_FILE | FS_READ_DIR;
    if (access & SANDBOX_CHANGE)
        rights |= FS_WRITE_FILE | FS_TRUNCATE | FS_MAKE_REG | FS_REMOVE_FILE | FS_MAKE_DIR |
                  FS_REMOVE_DIR | FS_REFER;
    if (access & SANDBOX_SOCKET)
        rights |= FS_MAKE_SOCK | FS_REMOVE_FILE;
    if (access & SANDBOX_DEVICE)
        rights |= FS_WRITE_FILE;
    return rights;
}

bool sandbox_open(struct sandbox *self)
{
    struct ruleset_attr attr;
    const char *reason = NULL;
    long abi;

    memset(self, 0, sizeof *self);
    self->ruleset = -1;
    if (__gcov_dump != NULL)
        reason = "none: this build counts coverage, and writes files at its end";
    else if (under_valgrind())
        reason = "none: under valgrind, which makes system calls of its own";
    if (reason != NULL) {
        add_text(self, reason);
        return false;
    }
    abi = syscall(SYS_landlock_create_ruleset, NULL, (size_t)0, CREATE_RULESET_VERSION);
    self->abi = abi < 0 ? 0 : (int)abi;
    attr.handled_access_fs = known(self);
    if (self->abi > 0)
        self->ruleset = (int)syscall(SYS_landlock_create_ruleset, &attr, sizeof attr, 0u);
    if (self->abi > 0 && self->ruleset < 0)
        self->error = errno;
    return true;
}

void sandbox_allow(struct sandbox *self, const char *path, unsigned access)
{
    struct path_beneath_attr attr = {.allowed_access = rights_of(access) & known(self)};
    struct stat st;

    if (self->ruleset < 0 || path == NULL)
        return;
    attr.parent_fd = open(path, O_PATH | O_CLOEXEC);
    if (attr.parent_fd < 0)
        return;
    if (fstat(attr.parent_fd, &st) == 0 && !S_ISDIR(st.st_mode))
        attr.allowed_access &= FS_OF_FILES;
    if (attr.allowed_access != 0 &&
        syscall(SYS_landlock_add_rule, self->ruleset, RULE_PATH_BENEATH, &attr, 0u) != 0) {
        /* EBADFD: a pipe, which is nowhere in a file system; nobody is kept from it. */
        if (self->error == 0 && errno != EBADFD)
            self->error = errno;
    } else if (access & (SANDBOX_CHANGE | SANDBOX_SOCKET)) {
        self->writable++;
    } else {
        self->readable++;
    }
    (void)close(attr.parent_fd);
}

bool sandbox_close(struct sandbox *self)
{
    char text[96];

    if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0) {
        if (!leave_out(self, "giving up of new privileges", errno))
            return false;
    } else {
        add_text(self, "no new privileges");
    }
    if (self->abi == 0) {
        add_text(self, "no landlock in this kernel");
        return true;
    }
    if (self->error == 0 && syscall(SYS_landlock_restrict_self, self->ruleset, 0u) != 0)
        self->error = errno;
    if (self->ruleset >= 0)
        (void)close(self->ruleset);
    self->ruleset = -1;
    if (self->error != 0)
        return leave_out(self, "landlock", self->error);
    self->landlock = true;
    snprintf(text, sizeof text, "landlock %d (%u places to read, %u to write)", self->abi,
             self->readable, self->writable);
    add_text(self, text);
    return true;
}

/* -- seccomp ----------------------------------------------------------------------------------- */

#ifdef SHS_HAVE_SECCOMP

/* What servers, their C library and OpenSSL do. The rest is answered with ENOSYS, as an older
   kernel would: who asks for something newer first goes on with what there was. */
static const char *const usual[] = {
    /* memory and threads */
    "brk", "mmap", "munmap", "mremap", "mprotect", "madvise", "membarrier", "rseq",
    "set_robust_list", "get_robust_list", "futex", "set_tid_address", "sched_yield",
    "sched_getaffinity", "sched_setaffinity", "sched_getparam", "sched_getscheduler", "gettid",
    "getpid", "getppid", "getcpu", "exit", "exit_group", "prctl", "arch_prctl", "restart_syscall",
    /* signals, the last two for one's own threads */
    "rt_sigaction", "rt_sigprocmask", "rt_sigreturn", "rt_sigtimedwait", "rt_sigpending",
    "sigaltstack", "sigreturn", "tgkill",
    /* descriptors and time */
    "read", "readv", "pread64", "preadv", "write", "writev", "pwrite64", "pwritev", "sendfile",
    "splice", "copy_file_range", "close", "close_range", "dup", "dup2", "dup3", "fcntl", "fcntl64",
    "lseek", "_llseek", "pipe", "pipe2", "eventfd2", "epoll_create1", "epoll_ctl", "epoll_wait",
    "epoll_pwait", "epoll_pwait2", "poll", "ppoll", "select", "pselect6", "timerfd_create",
    "timerfd_settime", "timerfd_gettime", "clock_gettime", "clock_getres", "clock_nanosleep",
    "gettimeofday", "time", "nanosleep", "getrandom", "memfd_create", "ioctl",
    /* files */
    "open", "openat", "openat2", "stat", "lstat", "fstat", "fstat64", "stat64", "lstat64",
    "fstatat64", "newfstatat", "statx", "statfs", "fstatfs", "access", "faccessat", "faccessat2",
    "readlink", "readlinkat", "getdents64", "getcwd", "fsync", "fdatasync", "ftruncate",
    "fallocate", "fadvise64", "rename", "renameat", "renameat2", "link", "linkat", "unlink",
    "unlinkat", "mkdir", "mkdirat", "rmdir", "umask", "chmod", "fchmod", "fchmodat", "fchown",
    "fchownat", "lchown", "flock", "utimensat", "inotify_init1", "inotify_add_watch",
    "inotify_rm_watch",
    /* sockets that are there, and clients' */
    "accept", "accept4", "getsockname", "getpeername", "getsockopt", "setsockopt", "shutdown",
    "recvfrom", "recvmsg", "recvmmsg", "sendto", "sendmsg", "sendmmsg", "socketpair",
    /* about oneself */
    "getuid", "geteuid", "getgid", "getegid", "getresuid", "getresgid", "getgroups", "getrlimit",
    "ugetrlimit", "prlimit64", "getrusage", "times", "uname", "sysinfo", "getpriority",
    /* the same on machines of 32 bits, and what belongs to one kind of processor */
    "mmap2", "_newselect", "sendfile64", "ftruncate64", "statfs64", "fstatfs64", "fadvise64_64",
    "arm_fadvise64_64", "sigprocmask", "getuid32", "geteuid32", "getgid32", "getegid32",
    "getresuid32", "getresgid32", "getgroups32", "fchown32", "lchown32", "send", "recv",
    "clock_gettime64", "clock_getres_time64", "clock_nanosleep_time64", "futex_time64",
    "ppoll_time64", "pselect6_time64", "recvmmsg_time64", "rt_sigtimedwait_time64",
    "timerfd_settime64", "timerfd_gettime64", "utimensat_time64", "cacheflush",
    "riscv_flush_icache"};

static const char *const of_sockets[] = {"socket", "bind", "listen", "connect"};
static const char *const of_children[] = {"kill",    "wait4",   "waitid",     "waitpid",
                                          "fork",    "vfork",   "setpgid",    "setsid",
                                          "getpgrp", "getpgid", "pidfd_open", "pidfd_send_signal"};

static int allow_all(scmp_filter_ctx filter, const char *const *names, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        int number = seccomp_syscall_resolve_name(names[i]);
        /* A name that this machine does not have is none that it makes. */
        int rc =
            number == __NR_SCMP_ERROR ? 0 : seccomp_rule_add(filter, SCMP_ACT_ALLOW, number, 0);

        if (rc != 0 && rc != -EDOM && rc != -EEXIST)
            return rc;
    }
    return 0;
}

/* A thread is made with these; clone3, whose flags a filter cannot see, is answered with ENOSYS. */
static int allow_clone(scmp_filter_ctx filter, bool children)
{
    if (children)
        return seccomp_rule_add(filter, SCMP_ACT_ALLOW, SCMP_SYS(clone), 0);
    return seccomp_rule_add(
        filter, SCMP_ACT_ALLOW, SCMP_SYS(clone), 1,
        SCMP_A0(SCMP_CMP_MASKED_EQ, CLONE_THREAD | CLONE_VM, CLONE_THREAD | CLONE_VM));
}

static int load_filter(unsigned needs)
{
    scmp_filter_ctx filter = seccomp_init(SCMP_ACT_ERRNO(ENOSYS));
    int rc;

    if (filter == NULL)
        return -ENOMEM;
    rc = seccomp_attr_set(filter, SCMP_FLTATR_CTL_TSYNC, 1);
    /* By itself it ends the process at a call by another ABI's numbers. */
    if (rc == 0)
        rc = seccomp_attr_set(filter, SCMP_FLTATR_ACT_BADARCH, SCMP_ACT_ERRNO(ENOSYS));
    if (rc == 0)
        rc = allow_all(filter, usual, SHS_ARRAY_LEN(usual));
    if (rc == 0 && (needs & SANDBOX_SOCKETS))
        rc = allow_all(filter, of_sockets, SHS_ARRAY_LEN(of_sockets));
    if (rc == 0 && (needs & SANDBOX_CHILDREN))
        rc = allow_all(filter, of_children, SHS_ARRAY_LEN(of_children));
    if (rc == 0)
        rc = allow_clone(filter, (needs & SANDBOX_CHILDREN) != 0);
    if (rc == 0)
        rc = seccomp_load(filter);
    seccomp_release(filter);
    return rc;
}

bool sandbox_filter(struct sandbox *self, unsigned needs)
{
    int rc = SANITIZED ? 0 : load_filter(needs);

    /* ECANCELED: the kernel's reason is not told; it has the call, and does not allow it. */
    if (rc != 0)
        return leave_out(self, "seccomp", rc == -ECANCELED ? EPERM : -rc);
    add_text(self, SANITIZED ? "no seccomp: the sanitizers of this build make calls of their own"
                             : "seccomp");
    return true;
}

#else

bool sandbox_filter(struct sandbox *self, unsigned needs)
{
    SHS_UNUSED(needs);
    SHS_UNUSED(SANITIZED);
    add_text(self, "no seccomp: this build is without libseccomp");
    return true;
}

#endif
