#include "base/base.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
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
    pthread_sigmask(SIG_BLOCK, &one, &before);
    n = at < 0 ? write(fd, bytes, len) : pwrite(fd, bytes, len, at);
    saved = errno;
    /* It is this thread's alone, and has been told by the error. */
    if (n < 0 && saved == EFBIG && sigismember(&before, SIGXFSZ) == 0)
        sigtimedwait(&one, NULL, &now);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    errno = saved;
    return n;
}

bool shs__has_no_sync(int sys_errno)
{
    return sys_errno == EINVAL || sys_errno == ENOSYS || sys_errno == EOPNOTSUPP;
}

bool shs__has_no_lock(int sys_errno)
{
    return sys_errno == ENOLCK || sys_errno == ENOSYS || sys_errno == EOPNOTSUPP;
}
