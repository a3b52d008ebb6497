/*
 * wraps.c - what stands in the place of each call of calls.inc (ld's --wrap): it fails when its
 * turn has come, else it is the call.
 */
#include <dirent.h>
#include <fcntl.h>
#include <netdb.h>
#include <poll.h>
#include <pthread.h>
#include <sched.h>
#include <stdarg.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/file.h>
#include <sys/inotify.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/random.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <unistd.h>

#include "inject.h"

/* With errno, as -1 or NULL; or as the value itself, as pthread_create does. */
#define OR_ERRNO(name, failed)                                                                     \
    do {                                                                                           \
        int due_ = faults_due(CALL_##name);                                                        \
        if (due_ != 0) {                                                                           \
            errno = due_;                                                                          \
            return failed;                                                                         \
        }                                                                                          \
    } while (0)
#define OR_VALUE(name)                                                                             \
    do {                                                                                           \
        int due_ = faults_due(CALL_##name);                                                        \
        if (due_ != 0)                                                                             \
            return due_;                                                                           \
    } while (0)

#define DECLARE(type, name, parameters)                                                            \
    type __real_##name parameters;                                                                 \
    type __wrap_##name parameters;                                                                 \
    type __wrap_##name parameters
#define ERRNO_CALL(type, name, parameters, arguments)                                              \
    DECLARE(type, name, parameters)                                                                \
    {                                                                                              \
        OR_ERRNO(name, (type)-1);                                                                  \
        return __real_##name arguments;                                                            \
    }
#define NULL_CALL(type, name, parameters, arguments)                                               \
    DECLARE(type, name, parameters)                                                                \
    {                                                                                              \
        OR_ERRNO(name, NULL);                                                                      \
        return __real_##name arguments;                                                            \
    }
#define VALUE_CALL(name, parameters, arguments)                                                    \
    DECLARE(int, name, parameters)                                                                 \
    {                                                                                              \
        OR_VALUE(name);                                                                            \
        return __real_##name arguments;                                                            \
    }

ERRNO_CALL(int, accept4, (int fd, struct sockaddr *to, socklen_t *len, int flags),
           (fd, to, len, flags))
ERRNO_CALL(int, bind, (int fd, const struct sockaddr *to, socklen_t len), (fd, to, len))
ERRNO_CALL(int, chmod, (const char *path, mode_t mode), (path, mode))
ERRNO_CALL(int, connect, (int fd, const struct sockaddr *to, socklen_t len), (fd, to, len))
ERRNO_CALL(int, dup3, (int from, int to, int flags), (from, to, flags))
ERRNO_CALL(int, epoll_create1, (int flags), (flags))
ERRNO_CALL(int, epoll_ctl, (int fd, int op, int of, struct epoll_event *event), (fd, op, of, event))
ERRNO_CALL(int, epoll_wait, (int fd, struct epoll_event *events, int max, int ms),
           (fd, events, max, ms))
ERRNO_CALL(int, eventfd, (unsigned value, int flags), (value, flags))
ERRNO_CALL(int, faccessat, (int fd, const char *name, int mode, int flags), (fd, name, mode, flags))
ERRNO_CALL(int, fchmod, (int fd, mode_t mode), (fd, mode))
ERRNO_CALL(int, fchown, (int fd, uid_t uid, gid_t gid), (fd, uid, gid))
NULL_CALL(DIR *, fdopendir, (int fd), (fd))
ERRNO_CALL(int, flock, (int fd, int operation), (fd, operation))
ERRNO_CALL(pid_t, fork, (void), ())
ERRNO_CALL(int, fstat, (int fd, struct stat *st), (fd, st))
ERRNO_CALL(int, fstatat, (int fd, const char *name, struct stat *st, int flags),
           (fd, name, st, flags))
ERRNO_CALL(int, fsync, (int fd), (fd))
ERRNO_CALL(int, ftruncate, (int fd, off_t len), (fd, len))
ERRNO_CALL(int, futimens, (int fd, const struct timespec times[2]), (fd, times))
VALUE_CALL(getaddrinfo,
           (const char *node, const char *service, const struct addrinfo *hints,
            struct addrinfo **out),
           (node, service, hints, out))
VALUE_CALL(getnameinfo,
           (const struct sockaddr *from, socklen_t len, char *host, socklen_t host_len,
            char *service, socklen_t service_len, int flags),
           (from, len, host, host_len, service, service_len, flags))
ERRNO_CALL(ssize_t, getrandom, (void *buf, size_t len, unsigned flags), (buf, len, flags))
ERRNO_CALL(int, getsockname, (int fd, struct sockaddr *out, socklen_t *len), (fd, out, len))
ERRNO_CALL(int, getsockopt, (int fd, int level, int name, void *value, socklen_t *len),
           (fd, level, name, value, len))
ERRNO_CALL(int, inotify_add_watch, (int fd, const char *path, uint32_t mask), (fd, path, mask))
ERRNO_CALL(int, inotify_init1, (int flags), (flags))
ERRNO_CALL(int, linkat, (int from_fd, const char *from, int to_fd, const char *to, int flags),
           (from_fd, from, to_fd, to, flags))
ERRNO_CALL(int, lchown, (const char *path, uid_t uid, gid_t gid), (path, uid, gid))
ERRNO_CALL(int, listen, (int fd, int backlog), (fd, backlog))
ERRNO_CALL(off_t, lseek, (int fd, off_t offset, int whence), (fd, offset, whence))
ERRNO_CALL(int, lstat, (const char *path, struct stat *st), (path, st))
ERRNO_CALL(int, memfd_create, (const char *name, unsigned flags), (name, flags))
ERRNO_CALL(int, mkdir, (const char *path, mode_t mode), (path, mode))
NULL_CALL(char *, mkdtemp, (char *path), (path))
ERRNO_CALL(int, mkostemps, (char *path, int suffix, int flags), (path, suffix, flags))
ERRNO_CALL(void *, mmap, (void *at, size_t len, int prot, int flags, int fd, off_t offset),
           (at, len, prot, flags, fd, offset))
NULL_CALL(DIR *, opendir, (const char *path), (path))
ERRNO_CALL(int, pipe2, (int fds[2], int flags), (fds, flags))
ERRNO_CALL(int, poll, (struct pollfd * fds, nfds_t count, int ms), (fds, count, ms))
VALUE_CALL(pthread_attr_init, (pthread_attr_t * attr), (attr))
VALUE_CALL(pthread_cond_init, (pthread_cond_t * cond, const pthread_condattr_t *attr), (cond, attr))
VALUE_CALL(pthread_condattr_init, (pthread_condattr_t * attr), (attr))
VALUE_CALL(pthread_create,
           (pthread_t * thread, const pthread_attr_t *attr, void *(*start)(void *), void *arg),
           (thread, attr, start, arg))
VALUE_CALL(pthread_mutex_init, (pthread_mutex_t * lock, const pthread_mutexattr_t *attr),
           (lock, attr))
NULL_CALL(struct dirent *, readdir, (DIR * dir), (dir))
ERRNO_CALL(ssize_t, readlink, (const char *path, char *buf, size_t len), (path, buf, len))
NULL_CALL(char *, realpath, (const char *path, char *resolved), (path, resolved))
ERRNO_CALL(int, rename, (const char *from, const char *to), (from, to))
ERRNO_CALL(int, renameat, (int from_fd, const char *from, int to_fd, const char *to),
           (from_fd, from, to_fd, to))
ERRNO_CALL(int, renameat2,
           (int from_fd, const char *from, int to_fd, const char *to, unsigned flags),
           (from_fd, from, to_fd, to, flags))
ERRNO_CALL(int, sched_getaffinity, (pid_t pid, size_t size, cpu_set_t *set), (pid, size, set))
ERRNO_CALL(int, setsockopt, (int fd, int level, int name, const void *value, socklen_t len),
           (fd, level, name, value, len))
ERRNO_CALL(int, shutdown, (int fd, int how), (fd, how))
ERRNO_CALL(int, signalfd, (int fd, const sigset_t *mask, int flags), (fd, mask, flags))
ERRNO_CALL(int, socket, (int family, int type, int protocol), (family, type, protocol))
ERRNO_CALL(int, stat, (const char *path, struct stat *st), (path, st))
ERRNO_CALL(int, unlink, (const char *path), (path))
ERRNO_CALL(int, unlinkat, (int fd, const char *name, int flags), (fd, name, flags))
ERRNO_CALL(int, waitid, (idtype_t type, id_t id, siginfo_t *info, int options),
           (type, id, info, options))

/* What fails has closed the descriptor all the same, as in Linux. */
DECLARE(int, close, (int fd))
{
    int due = faults_due(CALL_close), rc = __real_close(fd);

    if (due == 0)
        return rc;
    errno = due;
    return -1;
}

/* -- reads and writes: of one byte, too -------------------------------------------------------- */

#define SIZED_CALL(name, parameters, arguments)                                                    \
    DECLARE(ssize_t, name, parameters)                                                             \
    {                                                                                              \
        OR_ERRNO(name, -1);                                                                        \
        len = faults_length(len);                                                                  \
        return __real_##name arguments;                                                            \
    }

SIZED_CALL(pread, (int fd, void *buf, size_t len, off_t offset), (fd, buf, len, offset))
SIZED_CALL(pwrite, (int fd, const void *buf, size_t len, off_t offset), (fd, buf, len, offset))
SIZED_CALL(read, (int fd, void *buf, size_t len), (fd, buf, len))
/* Less than was asked for means that there is no more (epoll(7)), so the client sends bytes. */
ERRNO_CALL(ssize_t, recv, (int fd, void *buf, size_t len, int flags), (fd, buf, len, flags))
SIZED_CALL(send, (int fd, const void *buf, size_t len, int flags), (fd, buf, len, flags))

/*
 * eventfd's eight bytes are one thing, and they arrive: half of them is EINVAL, and a full counter
 * is the only failure that a kernel knows (eventfd(2)), which says that the reader is told already.
 */
DECLARE(ssize_t, write, (int fd, const void *buf, size_t len))
{
    if (len == 8)
        return __real_write(fd, buf, len);
    OR_ERRNO(write, -1);
    return __real_write(fd, buf, faults_length(len));
}

/* A vector of which one byte is taken. */
static struct iovec one_byte(const struct iovec *parts, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        if (parts[i].iov_len > 0)
            return (struct iovec){.iov_base = parts[i].iov_base, .iov_len = 1};
    }
    return (struct iovec){.iov_len = 0};
}

DECLARE(ssize_t, writev, (int fd, const struct iovec *parts, int count))
{
    struct iovec one;

    OR_ERRNO(writev, -1);
    if (faults_length(2) == 2)
        return __real_writev(fd, parts, count);
    one = one_byte(parts, (size_t)count);
    return __real_writev(fd, &one, 1);
}

/* Of a stream alone: a datagram goes whole. */
DECLARE(ssize_t, sendmsg, (int fd, const struct msghdr *message, int flags))
{
    OR_ERRNO(sendmsg, -1);
    return __real_sendmsg(fd, message, flags);
}

DECLARE(ssize_t, recvmsg, (int fd, struct msghdr *message, int flags))
{
    OR_ERRNO(recvmsg, -1);
    return __real_recvmsg(fd, message, flags);
}

/* -- with a variable number of arguments ------------------------------------------------------- */

DECLARE(int, open, (const char *path, int flags, ...))
{
    va_list ap;
    unsigned mode;

    OR_ERRNO(open, -1);
    va_start(ap, flags);
    mode = (flags & (O_CREAT | O_TMPFILE)) != 0 ? va_arg(ap, unsigned) : 0;
    va_end(ap);
    return __real_open(path, flags, mode);
}

DECLARE(int, openat, (int dir, const char *path, int flags, ...))
{
    va_list ap;
    unsigned mode;

    OR_ERRNO(openat, -1);
    va_start(ap, flags);
    mode = (flags & (O_CREAT | O_TMPFILE)) != 0 ? va_arg(ap, unsigned) : 0;
    va_end(ap);
    return __real_openat(dir, path, flags, mode);
}

DECLARE(int, fcntl, (int fd, int command, ...))
{
    va_list ap;
    void *arg;

    OR_ERRNO(fcntl, -1);
    va_start(ap, command);
    arg = va_arg(ap, void *);
    va_end(ap);
    return __real_fcntl(fd, command, arg);
}

DECLARE(int, ioctl, (int fd, unsigned long request, ...))
{
    va_list ap;
    void *arg;

    OR_ERRNO(ioctl, -1);
    va_start(ap, request);
    arg = va_arg(ap, void *);
    va_end(ap);
    return __real_ioctl(fd, request, arg);
}

DECLARE(long, syscall, (long number, ...))
{
    va_list ap;
    long arg[6];

    OR_ERRNO(syscall, -1);
    va_start(ap, number);
    for (int i = 0; i < 6; i++)
        arg[i] = va_arg(ap, long);
    va_end(ap);
    return __real_syscall(number, arg[0], arg[1], arg[2], arg[3], arg[4], arg[5]);
}

/* -- what they are with _FORTIFY_SOURCE -------------------------------------------------------- */

DECLARE(int, __open_2, (const char *path, int flags))
{
    return __wrap_open(path, flags);
}

DECLARE(int, __openat_2, (int dir, const char *path, int flags))
{
    return __wrap_openat(dir, path, flags);
}

DECLARE(int, __poll_chk, (struct pollfd * fds, nfds_t count, int ms, size_t size))
{
    return size / sizeof *fds < count ? (abort(), -1) : __wrap_poll(fds, count, ms);
}

DECLARE(ssize_t, __pread_chk, (int fd, void *buf, size_t len, off_t offset, size_t size))
{
    return len > size ? (abort(), -1) : __wrap_pread(fd, buf, len, offset);
}

DECLARE(ssize_t, __read_chk, (int fd, void *buf, size_t len, size_t size))
{
    return len > size ? (abort(), -1) : __wrap_read(fd, buf, len);
}

DECLARE(ssize_t, __readlink_chk, (const char *path, char *buf, size_t len, size_t size))
{
    return len > size ? (abort(), -1) : __wrap_readlink(path, buf, len);
}

DECLARE(char *, __realpath_chk, (const char *path, char *resolved, size_t size))
{
    return size < 4096 ? (abort(), NULL) : __wrap_realpath(path, resolved);
}

DECLARE(ssize_t, __recv_chk, (int fd, void *buf, size_t len, size_t size, int flags))
{
    return len > size ? (abort(), -1) : __wrap_recv(fd, buf, len, flags);
}
