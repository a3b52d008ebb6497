/*
 * inherit.c - listening sockets that somebody else has opened, and ours for somebody else.
 *
 * Follows CPython Lib/socketserver.py: server.socket = socket.socket(fileno=fd).
 */
#include <errno.h>
#include <fcntl.h>
#include <sys/socket.h>

#include "server/server.h"

int shs_server_inherit(struct shs_server *self, unsigned i, int fd, bool ours)
{
    if (self->bound)
        return shs_server_fail(self, SHS_USAGE, 0,
                               "the server is bound already: shs_server_inherit comes before "
                               "shs_server_bind");
    if (i >= self->address_count || fd < 0)
        return shs_server_fail(self, SHS_USAGE, 0,
                               "there is no address number %u, or %d is not a descriptor", i, fd);
    self->addresses[i].inherited = fd + 1;
    self->addresses[i].inherited_ours = ours;
    return SHS_OK;
}

void shs_server_hand_over(struct shs_server *self)
{
    atomic_store(&self->handed_over, true);
}

/* What is asked of it, or an errno's worth of why not. */
static const char *fault_of(const struct shs_server *self, int fd)
{
    int type = 0, listening = 0;
    socklen_t len = sizeof type;

    if (getsockopt(fd, SOL_SOCKET, SO_TYPE, &type, &len) != 0)
        return errno == EBADF ? "is not open" : "is not a socket";
    if (type != self->socket_type)
        return type == SOCK_DGRAM ? "is a datagram socket" : "is not a socket of the right type";
    len = sizeof listening;
    if (type == SOCK_STREAM &&
        (getsockopt(fd, SOL_SOCKET, SO_ACCEPTCONN, &listening, &len) != 0 || !listening))
        return "is not a listening socket";
    return NULL;
}

bool shs__server_take_inherited(struct shs_server *self, struct shs_listener *listener, int *rc)
{
    int fd = listener->inherited - 1, flags;
    const char *fault;

    if (fd < 0)
        return false;
    fault = fault_of(self, fd);
    if (fault != NULL) {
        *rc = shs_server_fail(self, SHS_USAGE, 0, "descriptor %d %s", fd, fault);
        return true;
    }
    flags = fcntl(fd, F_GETFL);
    if (flags < 0 || fcntl(fd, F_SETFL, flags | O_NONBLOCK) != 0 ||
        fcntl(fd, F_SETFD, FD_CLOEXEC) != 0) {
        *rc = shs_server_fail(self, SHS_IO, errno, "cannot use descriptor %d", fd);
        return true;
    }
    listener->inherited = 0;
    atomic_store(&listener->fd, fd);
    *rc = shs__tcp_learn(self, listener);
    return true;
}
