#include "handler/beneath.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <sys/syscall.h>
#include <unistd.h>

/* How often a lookup is tried again that met a rename on its way. */
#define RACE_TRIES 8

int shs__open_beneath(int root_fd, const char *name, int flags)
{
    struct open_how how = {
        .flags = (unsigned long long)(flags | O_CLOEXEC),
        .resolve = RESOLVE_BENEATH | RESOLVE_NO_MAGICLINKS,
    };
    long fd;

    /* openat2 refuses flags that mean nothing: O_PATH takes neither of these. */
    if ((flags & O_PATH) == 0)
        how.flags |= O_NONBLOCK | O_NOCTTY;
    if (name[0] == '\0')
        name = ".";
    for (int tries = 0; tries < RACE_TRIES; tries++) {
        fd = syscall(SYS_openat2, root_fd, name, &how, sizeof how);
        if (fd >= 0 || (errno != EAGAIN && errno != EINTR))
            break;
    }
    return (int)fd;
}
