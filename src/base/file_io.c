#include "base/base.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

ssize_t shs__pwrite_unsignalled(int fd, const void *bytes, size_t len, off_t at)
{
    const struct timespec now = {0, 0};
    sigset_t one, before;
    ssize_t n;
    int saved;

    sigemptyset(&one);
    sigaddset(&one, SIGXFSZ);
    sigaddset(&one, SIGPIPE);
    pthread_sigmask(SIG_BLOCK, &one, &before);
    n = at < 0 ? write(fd, bytes, len) : pwrite(fd, bytes, len, at);
    saved = errno;
    /* It is this thread's alone, and has been told by the error. */
    if (n < 0 && (saved == EFBIG || saved == EPIPE) &&
        sigismember(&before, saved == EFBIG ? SIGXFSZ : SIGPIPE) == 0) {
        sigemptyset(&one);
        sigaddset(&one, saved == EFBIG ? SIGXFSZ : SIGPIPE);
        sigtimedwait(&one, NULL, &now);
    }
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    errno = saved;
    return n;
}

int shs__write_all(int fd, const void *bytes, size_t len)
{
    const char *at = bytes;

    while (len > 0) {
        ssize_t n = shs__pwrite_unsignalled(fd, at, len, -1);

        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0) {
            errno = n < 0 ? errno : ENOSPC;
            return SHS_IO;
        }
        at += n;
        len -= (size_t)n;
    }
    return SHS_OK;
}

/* Where its size is known, all of it and the end fit. */
static int make_room(int fd, struct shs_buf *out)
{
    size_t left = out->ceiling - out->len;
    struct stat st;

    if (fstat(fd, &st) != 0 || !S_ISREG(st.st_mode) || st.st_size <= 0)
        return SHS_OK;
    return shs__buf_reserve(out, (uint64_t)st.st_size < left ? (size_t)st.st_size + 1 : left);
}

int shs__read_all(int fd, struct shs_buf *out)
{
    int rc = make_room(fd, out);
    char more;
    ssize_t n;

    while (rc == SHS_OK) {
        bool full = out->len == out->ceiling;

        rc = full ? SHS_OK : shs__buf_reserve(out, 1);
        if (rc != SHS_OK)
            break;
        n = full ? read(fd, &more, 1) : read(fd, shs__buf_tail(out), shs__buf_room(out));
        if (n == 0)
            return SHS_OK;
        if (n < 0 && errno != EINTR)
            return SHS_IO;
        if (n > 0 && full)
            return SHS_LIMIT;
        out->len += n > 0 ? (size_t)n : 0;
    }
    return rc;
}

bool shs__has_no_sync(int sys_errno)
{
    return sys_errno == EINVAL || sys_errno == ENOSYS || sys_errno == EOPNOTSUPP;
}

bool shs__has_no_lock(int sys_errno)
{
    return sys_errno == ENOLCK || sys_errno == ENOSYS || sys_errno == EOPNOTSUPP;
}
