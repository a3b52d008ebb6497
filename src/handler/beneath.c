#include "handler/beneath.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/openat2.h>
#include <stdio.h>
#include <sys/syscall.h>
#include <unistd.h>

/* How often a lookup is tried again that met a rename on its way. */
#define RACE_TRIES 8

static int open_resolved(int root_fd, const char *name, int flags, unsigned long long resolve)
{
    struct open_how how = {
        .flags = (unsigned long long)(flags | O_CLOEXEC),
        .resolve = resolve,
    };
    long fd;

    /* openat2 refuses flags that mean nothing: O_PATH takes neither of these. */
    if ((flags & O_PATH) == 0)
        how.flags |= O_NONBLOCK | O_NOCTTY;
    for (int tries = 0; tries < RACE_TRIES; tries++) {
        fd = syscall(SYS_openat2, root_fd, name, &how, sizeof how);
        if (fd >= 0 || (errno != EAGAIN && errno != EINTR))
            break;
    }
    return (int)fd;
}

/* The path of an open file, as the kernel has it. False: it cannot be said. */
static bool path_of(int fd, char path[PATH_MAX])
{
    char link[40];
    ssize_t len;

    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    len = readlink(link, path, PATH_MAX - 1);
    if (len <= 0 || len >= PATH_MAX - 1 || path[0] != '/')
        return false;
    path[len] = '\0';
    return true;
}

/*
 * A link that is written from "/" on, or by way of the outside, leads out of the root at first;
 * what it leads to may be in it all the same. O_PATH opens nothing: it only says where that is.
 * Then the file is opened beneath the root by that name, without any link.
 */
static int open_by_way_of_outside(int root_fd, const char *name, int flags)
{
    char root[PATH_MAX], path[PATH_MAX];
    int fd = openat(root_fd, name, O_PATH | O_CLOEXEC);
    bool inside;
    size_t len;

    if (fd < 0)
        goto outside;
    inside = path_of(root_fd, root) && path_of(fd, path);
    close(fd);
    if (!inside)
        goto outside;
    len = strcmp(root, "/") == 0 ? 0 : strlen(root);
    if (strncmp(path, root, len) != 0 || (path[len] != '/' && path[len] != '\0'))
        goto outside;
    return open_resolved(root_fd, path[len] == '\0' || path[len + 1] == '\0' ? "." : path + len + 1,
                         flags, RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS);
outside:
    errno = EXDEV;
    return -1;
}

int shs__open_beneath(int root_fd, const char *name, int flags)
{
    int fd;

    if (name[0] == '\0')
        name = ".";
    fd = open_resolved(root_fd, name, flags, RESOLVE_BENEATH | RESOLVE_NO_MAGICLINKS);
    if (fd >= 0 || errno != EXDEV || name[0] == '/')
        return fd;
    return open_by_way_of_outside(root_fd, name, flags);
}
