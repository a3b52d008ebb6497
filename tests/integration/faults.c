/*
 * faults.c - a library for LD_PRELOAD: system calls that a file system does not have, or that fail.
 *
 *   SHS_FAULTS      CALL[:PART]=ERRNO, separated by commas: calls that fail whose words have PART
 *   SHS_FAULTS_WHEN a file: they fail once it is there
 *   SHS_FAULTS_LOG  a file: a line for each call, with its words
 *
 * The words of a call are what it is about:
 *
 *   openat      tmpfile|create|open NAME        openat2    NAME
 *   fsync       file|directory                  linkat     OLD NEW
 *   renameat    OLD NEW                         renameat2  OLD NEW
 *   unlinkat    NAME                            faccessat  NAME
 *   fstatat     NAME                            fstat      PATH
 *   flock
 *
 * ERRNO is one of the names below.
 */
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

static int number_of(const char *name, size_t len)
{
    static const struct {
        const char *name;
        int number;
    } errors[] = {
        {"EINVAL", EINVAL}, {"EIO", EIO},       {"ENOSYS", ENOSYS}, {"EPERM", EPERM},
        {"EMFILE", EMFILE}, {"ENOENT", ENOENT}, {"EACCES", EACCES}, {"EOPNOTSUPP", EOPNOTSUPP},
        {"EINTR", EINTR},   {"ENFILE", ENFILE}, {"ENOMEM", ENOMEM}, {"ESTALE", ESTALE},
        {"EBADF", EBADF},   {"ENOLCK", ENOLCK}, {"ENOSPC", ENOSPC}};

    for (size_t i = 0; i < sizeof errors / sizeof errors[0]; i++) {
        if (strlen(errors[i].name) == len && memcmp(errors[i].name, name, len) == 0)
            return errors[i].number;
    }
    fprintf(stderr, "faults.c: what is %.*s?\n", (int)len, name);
    exit(2);
}

static int log_fd = -1;

/* At the start: a program that closes itself into a sandbox no longer reaches the file. */
__attribute__((constructor)) static void open_log(void)
{
    const char *path = getenv("SHS_FAULTS_LOG");

    if (path != NULL)
        log_fd = (int)syscall(SYS_openat, AT_FDCWD, path, O_WRONLY | O_APPEND | O_CLOEXEC, 0);
}

static void note(const char *call, const char *words)
{
    char line[1024];
    int len = snprintf(line, sizeof line, "%s %s\n", call, words);

    if (log_fd >= 0)
        (void)!write(log_fd, line, (size_t)len < sizeof line ? (size_t)len : sizeof line - 1);
}

/* The errno with which the call is to fail; 0: it may go on. */
static int fault(const char *call, const char *words)
{
    const char *rule = getenv("SHS_FAULTS"), *when = getenv("SHS_FAULTS_WHEN");
    size_t call_len = strlen(call);
    char part[256];

    note(call, words);
    if (when != NULL && access(when, F_OK) != 0)
        return 0;
    while (rule != NULL && *rule != '\0') {
        const char *equals = strchr(rule, '='), *end;
        size_t len;

        if (equals == NULL)
            return 0;
        end = equals + strcspn(equals, ",");
        len = (size_t)(equals - rule);
        if (len >= call_len && memcmp(rule, call, call_len) == 0 &&
            (len == call_len || rule[call_len] == ':')) {
            size_t part_len = len == call_len ? 0 : len - call_len - 1;

            if (part_len >= sizeof part)
                return 0;
            memcpy(part, rule + len - part_len, part_len);
            part[part_len] = '\0';
            if (strstr(words, part) != NULL)
                return number_of(equals + 1, (size_t)(end - equals) - 1);
        }
        rule = *end == ',' ? end + 1 : end;
    }
    return 0;
}

#define REAL(name) ((__typeof__(&name))dlsym(RTLD_NEXT, #name))
#define FAIL_IF(error)                                                                             \
    do {                                                                                           \
        int error_ = (error);                                                                      \
        if (error_ != 0) {                                                                         \
            errno = error_;                                                                        \
            return -1;                                                                             \
        }                                                                                          \
    } while (0)

int openat(int dir_fd, const char *name, int flags, ...)
{
    char words[600];
    mode_t mode = 0;
    va_list args;

    va_start(args, flags);
    if ((flags & O_CREAT) != 0 || (flags & O_TMPFILE) == O_TMPFILE)
        mode = va_arg(args, mode_t);
    va_end(args);
    snprintf(words, sizeof words, "%s %s",
             (flags & O_TMPFILE) == O_TMPFILE ? "tmpfile"
             : (flags & O_CREAT) != 0         ? "create"
                                              : "open",
             name);
    FAIL_IF(fault("openat", words));
    return REAL(openat)(dir_fd, name, flags, mode);
}

/* What openat without a mode is with _FORTIFY_SOURCE. */
int __openat_2(int dir_fd, const char *name, int flags);
int __openat_2(int dir_fd, const char *name, int flags)
{
    return openat(dir_fd, name, flags);
}

/* The only one that the library asks for by number is openat2. */
long syscall(long number, ...)
{
    long a[6];
    va_list args;

    va_start(args, number);
    for (int i = 0; i < 6; i++)
        a[i] = va_arg(args, long);
    va_end(args);
    if (number == SYS_openat2)
        FAIL_IF(fault("openat2", (const char *)a[1]));
    return REAL(syscall)(number, a[0], a[1], a[2], a[3], a[4], a[5]);
}

int fsync(int fd)
{
    struct stat st;
    bool directory = REAL(fstat)(fd, &st) == 0 && S_ISDIR(st.st_mode);

    FAIL_IF(fault("fsync", directory ? "directory" : "file"));
    return REAL(fsync)(fd);
}

int linkat(int from_fd, const char *from, int to_fd, const char *to, int flags)
{
    char words[600];

    snprintf(words, sizeof words, "%s %s", from, to);
    FAIL_IF(fault("linkat", words));
    return REAL(linkat)(from_fd, from, to_fd, to, flags);
}

int renameat(int from_fd, const char *from, int to_fd, const char *to)
{
    char words[600];

    snprintf(words, sizeof words, "%s %s", from, to);
    FAIL_IF(fault("renameat", words));
    return REAL(renameat)(from_fd, from, to_fd, to);
}

int renameat2(int from_fd, const char *from, int to_fd, const char *to, unsigned flags)
{
    char words[600];

    snprintf(words, sizeof words, "%s %s", from, to);
    FAIL_IF(fault("renameat2", words));
    return REAL(renameat2)(from_fd, from, to_fd, to, flags);
}

int unlinkat(int dir_fd, const char *name, int flags)
{
    FAIL_IF(fault("unlinkat", name));
    return REAL(unlinkat)(dir_fd, name, flags);
}

int faccessat(int dir_fd, const char *name, int mode, int flags)
{
    FAIL_IF(fault("faccessat", name));
    return REAL(faccessat)(dir_fd, name, mode, flags);
}

int fstatat(int dir_fd, const char *restrict name, struct stat *restrict st, int flags)
{
    FAIL_IF(fault("fstatat", name));
    return REAL(fstatat)(dir_fd, name, st, flags);
}

int fstat(int fd, struct stat *st)
{
    char words[40], path[600], link[40];
    ssize_t len;

    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    len = readlink(link, path, sizeof path - 1);
    if (len > 0 && len < (ssize_t)sizeof path) {
        path[len] = '\0';
        FAIL_IF(fault("fstat", path));
    } else {
        snprintf(words, sizeof words, "%d", fd);
        FAIL_IF(fault("fstat", words));
    }
    return REAL(fstat)(fd, st);
}

int flock(int fd, int operation)
{
    FAIL_IF(fault("flock", ""));
    return REAL(flock)(fd, operation);
}
