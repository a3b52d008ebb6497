#include "cmd/proxy_wire.h"

#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <unistd.h>

#include "http/exchange.h"
#include "server/conn.h"

#define CONNECT_MS 5000
#define LOOK_MS 100 /* how often it looks whether the client is still there */
#define PIECE 16384u

/* The server is stopping: what has begun may end until then, as other requests; a stream of events
   has no end to wait for. */
static bool may_go_on(const struct proxy_wire *self)
{
    const struct shs_conn *conn = shs_request_conn(self->req);

    return !self->endless && shs__conn_stopping(conn) &&
           shs_now_ns() < shs__conn_stop_deadline(conn);
}

/* Events may come too often for a wait, in which it would be seen. */
static int look_at_stop(struct proxy_wire *self)
{
    if (!self->endless || !shs__conn_stopping(shs_request_conn(self->req)))
        return SHS_OK;
    self->ours_failed = true;
    return SHS_STOPPED;
}

/* A client that has gone needs no answer. What cannot be asked yet, with a body that nobody has
   read, is no reason to end; nor is a buffer that is full of its next requests. */
static int look_at_client(struct proxy_wire *self)
{
    int rc = self->req->x->ops->wait_peer(self->req->x, shs_now_ns(), -1);

    if (rc == SHS_OK || rc == SHS_USAGE || rc == SHS_LIMIT ||
        (rc == SHS_STOPPED && may_go_on(self)))
        return SHS_OK;
    self->ours_failed = true;
    return rc;
}

int proxy_wire_wait(struct proxy_wire *self, short events, int64_t deadline)
{
    for (;;) {
        int64_t now = shs_now_ns(), look = shs__deadline_after(now, LOOK_MS);
        struct pollfd p = {.fd = self->fd, .events = events};
        int n = poll(&p, 1, shs__poll_ms(look < deadline ? look : deadline, now)), rc;

        if (n > 0)
            return SHS_OK;
        if (n < 0 && errno != EINTR)
            return SHS_IO;
        rc = look_at_client(self);
        if (rc != SHS_OK)
            return rc;
        if (shs_now_ns() >= deadline)
            return SHS_WAIT_READ;
    }
}

int64_t proxy_wire_deadline(const struct proxy_wire *self)
{
    int64_t own = shs__deadline_after(shs_now_ns(), self->timeout_ms);
    int64_t handlers = shs_request_deadline(self->req);

    return own < handlers ? own : handlers;
}

int proxy_wire_open(struct proxy_wire *self, const struct proxy_target *target)
{
    int64_t end = shs__deadline_after(shs_now_ns(), CONNECT_MS);
    int rc = SHS_IO;

    for (size_t i = 0; i < target->address_count; i++) {
        const struct proxy_address *at = &target->addresses[i];
        int64_t deadline = shs__deadline_part(shs_now_ns(), end, target->address_count - i);
        int error = 0, one = 1;
        socklen_t len = sizeof error;

        self->fd = socket(at->at.ss_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
        if (self->fd < 0) {
            self->error = errno; /* one family may be missing here, and the other not */
            continue;
        }
        if (at->at.ss_family != AF_UNIX) /* head and body are two writes */
            (void)setsockopt(self->fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
        if (connect(self->fd, (const struct sockaddr *)&at->at, at->len) == 0)
            return SHS_OK;
        self->error = errno;
        rc = errno == EINPROGRESS ? proxy_wire_wait(self, POLLOUT, deadline) : SHS_IO;
        if (rc == SHS_OK && (getsockopt(self->fd, SOL_SOCKET, SO_ERROR, &error, &len) != 0 ||
                             (self->error = error) != 0))
            rc = SHS_IO;
        if (rc == SHS_OK || self->ours_failed)
            return rc;
        (void)close(self->fd);
        self->fd = -1;
    }
    return rc;
}

void proxy_wire_close(struct proxy_wire *self)
{
    if (self->fd >= 0)
        (void)close(self->fd);
    self->fd = -1;
}

int proxy_wire_receive(struct proxy_wire *self, struct shs_buf *in, size_t *got)
{
    int64_t deadline = proxy_wire_deadline(self);
    int rc = look_at_stop(self);

    if (rc == SHS_OK)
        rc = shs__buf_reserve(in, PIECE);
    while (rc == SHS_OK) {
        ssize_t n = recv(self->fd, shs__buf_tail(in), PIECE, 0);

        if (n >= 0) {
            *got = (size_t)n;
            in->len += (size_t)n;
            return SHS_OK;
        }
        if (errno != EAGAIN && errno != EINTR) {
            self->error = errno;
            return SHS_IO;
        }
        rc = proxy_wire_wait(self, POLLIN, deadline);
    }
    return rc;
}

bool proxy_wire_can_be_read(const struct proxy_wire *self)
{
    struct pollfd p = {.fd = self->fd, .events = POLLIN};

    return poll(&p, 1, 0) > 0;
}
