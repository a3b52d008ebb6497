#include "cmd/listen_fds.h"

#include <errno.h>
#include <fcntl.h>
#include <netdb.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "cmd/cmd.h"

/* Filled before there are threads. */
static struct listen_fd all[LISTEN_FDS_MAX];
static size_t count;

/* The i-th of "one:two:three". */
static void copy_name(const char *names, size_t i, char *out)
{
    size_t len;

    while (names != NULL && i > 0) {
        names = strchr(names, ':');
        names = names == NULL ? NULL : names + 1;
        i--;
    }
    len = names == NULL ? 0 : strcspn(names, ":");
    if (len == 0 || len >= LISTEN_FD_NAME_MAX)
        snprintf(out, LISTEN_FD_NAME_MAX, "unknown");
    else
        snprintf(out, LISTEN_FD_NAME_MAX, "%.*s", (int)len, names);
}

int listen_fds_read(void)
{
    const char *pid = getenv("LISTEN_PID"), *number = getenv("LISTEN_FDS");
    const char *names = getenv("LISTEN_FDNAMES");
    unsigned long wanted;
    char text[64];

    if (number == NULL || pid == NULL || strtol(pid, NULL, 10) != (long)getpid())
        return CMD_OK;
    wanted = strtoul(number, NULL, 10);
    if (wanted > LISTEN_FDS_MAX)
        return cmd_fail(CMD_FAILED, "LISTEN_FDS=%s: at most %d sockets are taken", number,
                        LISTEN_FDS_MAX);
    for (size_t i = 0; i < wanted; i++) {
        all[i].fd = LISTEN_FDS_FIRST + (int)i;
        copy_name(names, i, all[i].name);
        if (fcntl(all[i].fd, F_SETFD, FD_CLOEXEC) != 0)
            return cmd_fail(CMD_FAILED, "LISTEN_FDS=%s, and descriptor %d (%s) is not open: %s",
                            number, all[i].fd, all[i].name,
                            shs__strerror(errno, text, sizeof text));
    }
    count = wanted;
    unsetenv("LISTEN_PID");
    unsetenv("LISTEN_FDS");
    unsetenv("LISTEN_FDNAMES");
    return CMD_OK;
}

struct listen_fd *listen_fds_add(int fd)
{
    for (size_t i = 0; i < count; i++) {
        if (all[i].fd == fd)
            return &all[i];
    }
    if (count == LISTEN_FDS_MAX)
        return NULL;
    snprintf(all[count].name, sizeof all[count].name, "unknown");
    all[count].fd = fd;
    return &all[count++];
}

bool listen_fds_look(struct listen_fd *self)
{
    union {
        struct sockaddr any;
        struct sockaddr_storage room;
        struct sockaddr_un path;
    } at;
    socklen_t len = sizeof at;

    memset(&at, 0, sizeof at);
    if (getsockname(self->fd, &at.any, &len) != 0)
        return false;
    if (at.any.sa_family == AF_UNIX) {
        snprintf(self->path, sizeof self->path, "%s%.107s", at.path.sun_path[0] == '\0' ? "@" : "",
                 at.path.sun_path + (at.path.sun_path[0] == '\0'));
        return true;
    }
    errno = EAFNOSUPPORT;
    return getnameinfo(&at.any, len, self->host, sizeof self->host, self->port, sizeof self->port,
                       NI_NUMERICHOST | NI_NUMERICSERV) == 0;
}

size_t listen_fds_count(void)
{
    return count;
}

struct listen_fd *listen_fds_at(size_t i)
{
    return &all[i];
}

size_t listen_fds_close_rest(char *name, size_t cap)
{
    size_t left = 0;

    for (size_t i = 0; i < count; i++) {
        if (all[i].taken || strcmp(all[i].name, LISTEN_FDS_READY) == 0)
            continue;
        if (strncmp(all[i].name, LISTEN_FDS_OURS, strlen(LISTEN_FDS_OURS)) != 0 && left++ == 0)
            snprintf(name, cap, "%s", all[i].name);
        (void)close(all[i].fd);
        all[i].taken = true;
    }
    return left;
}
