/*
 * udp_server.c - UDPServer: a request is one datagram, and the socket is everybody's.
 *
 * A datagram's connection is a struct shs_conn like any other, so that every mixin can carry it;
 * but its descriptor is borrowed from the server, and above the socket lies a stream that gives the
 * packet to readers and makes each write a datagram to the client.
 *
 * Follows CPython Lib/socketserver.py UDPServer. What it overrides without super there, is
 * overridden here by going on below TCPServer.
 */
#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "server/server.h"

/* The largest packet anybody may ask for: more than any datagram of IP or of a Unix socket has. */
#define MAX_PACKET_SIZE ((size_t)16 * 1024 * 1024)
/* A Unix socket's sender is not told when a full receiver has room again: it tries so often. */
#define ROOM_RETRY_MS 5

struct udp_server {
    struct shs_layer layer;
    char *packet; /* opt.max_packet_size bytes, for the one that is being received */
};

struct datagram_stream {
    struct shs_stream base;
    struct sockaddr_storage address;
    socklen_t address_len;
    size_t len, at;
    bool truncated;
    char packet[];
};

#define UDP(l) SHS_CONTAINER_OF(l, struct udp_server, layer)
#define DATAGRAM(s) SHS_CONTAINER_OF(s, struct datagram_stream, base)
#define SOCKET(s) SHS_CONTAINER_OF(s, struct shs_socket_stream, base)

/* -- the stream: read the packet, write datagrams ---------------------------------------------- */

static int datagram_read(struct shs_stream *s, void *buf, size_t cap, size_t *got)
{
    struct datagram_stream *self = DATAGRAM(s);
    size_t len = self->len - self->at;

    s->sys_errno = 0;
    if (len == 0)
        return SHS_CLOSED;
    if (len > cap)
        len = cap;
    memcpy(buf, self->packet + self->at, len);
    self->at += len;
    *got = len;
    return SHS_OK;
}

static int datagram_send(struct datagram_stream *self, const void *buf, size_t len)
{
    struct shs_socket_stream *socket = SOCKET(self->base.lower);
    ssize_t n;

    if (self->address_len <= sizeof(sa_family_t)) {
        self->base.sys_errno = EDESTADDRREQ;
        return SHS_IO;
    }
    do {
        n = sendto(socket->fd, buf, len, MSG_NOSIGNAL, (struct sockaddr *)&self->address,
                   self->address_len);
    } while (n < 0 && errno == EINTR);
    if (n >= 0) {
        socket->bytes_out += (uint64_t)n;
        return SHS_OK;
    }
    if (errno == EAGAIN || errno == ENOBUFS)
        return SHS_WAIT_WRITE;
    self->base.sys_errno = errno;
    if (errno == EMSGSIZE)
        return SHS_LIMIT;
    return errno == ECONNREFUSED || errno == ENOENT ? SHS_RESET : SHS_IO;
}

static int datagram_write(struct shs_stream *s, const void *buf, size_t len, size_t *put)
{
    int rc = datagram_send(DATAGRAM(s), buf, len);

    if (rc == SHS_OK)
        *put = len;
    return rc;
}

static int datagram_nothing(struct shs_stream *s)
{
    SHS_UNUSED(s);
    return SHS_OK;
}

static bool datagram_pending(const struct shs_stream *s)
{
    const struct datagram_stream *self = (const struct datagram_stream *)(const void *)s;

    return self->at < self->len;
}

static void datagram_idle(struct shs_stream *s)
{
    SHS_UNUSED(s);
}

static void datagram_free(struct shs_stream *s)
{
    shs__free(DATAGRAM(s));
}

static void datagram_describe(const struct shs_stream *s, struct shs_error *err)
{
    char buf[96];

    switch (s->sys_errno) {
    case EDESTADDRREQ:
        shs_error_set(err, SHS_IO, s->sys_errno,
                      "the client has no address to answer to: it must bind a path of its own");
        break;
    case EMSGSIZE:
        shs_error_set(err, SHS_LIMIT, s->sys_errno,
                      "the answer is too long for one datagram: send it in pieces");
        break;
    case ECONNREFUSED:
    case ENOENT:
        shs_error_set(err, SHS_RESET, s->sys_errno, "the client's socket is gone");
        break;
    default:
        shs_error_set(err, SHS_IO, s->sys_errno, "the answer could not be sent: %s",
                      shs__strerror(s->sys_errno, buf, sizeof buf));
        break;
    }
}

static const struct shs_stream_class datagram_class = {
    .name = "datagram",
    .read = datagram_read,
    .write = datagram_write,
    .flush = datagram_nothing,
    .shutdown = datagram_nothing,
    .pending = datagram_pending,
    .idle = datagram_idle,
    .free = datagram_free,
    .describe = datagram_describe,
};

/* -- the request as its handler sees it -------------------------------------------------------- */

static struct datagram_stream *datagram_of(const struct shs_conn *conn)
{
    struct shs_stream *s = conn->borrowed ? conn->stream : NULL;

    while (s != NULL && s->cls != &datagram_class)
        s = s->lower;
    return s == NULL ? NULL : DATAGRAM(s);
}

struct shs_str shs_conn_packet(const struct shs_conn *conn)
{
    const struct datagram_stream *self = datagram_of(conn);
    struct shs_str packet = {NULL, 0};

    if (self != NULL) {
        packet.ptr = self->packet;
        packet.len = self->len;
    }
    return packet;
}

bool shs_conn_packet_truncated(const struct shs_conn *conn)
{
    const struct datagram_stream *self = datagram_of(conn);

    return self != NULL && self->truncated;
}

int shs_conn_sendto(struct shs_conn *conn, const void *buf, size_t len)
{
    struct datagram_stream *self = datagram_of(conn);
    int64_t before = conn->deadline_ns;
    int rc;

    if (self == NULL)
        return shs_conn_fail(conn, SHS_USAGE, 0, "shs_conn_sendto is for datagrams only");
    conn->deadline_ns = shs__deadline_after(shs_now_ns(), conn->server->opt.write_ms);
    while ((rc = datagram_send(self, buf, len)) == SHS_WAIT_WRITE) {
        rc = shs_server_wait_request(conn->server, conn, rc);
        if (rc < 0)
            break;
    }
    conn->deadline_ns = before;
    if (rc == SHS_TIMEOUT)
        return shs_conn_fail(conn, rc, 0, "the client did not read in time");
    if (rc < 0 && self->base.sys_errno == 0)
        return shs_conn_fail(conn, rc, 0, "%s", shs_err_text(rc));
    return rc < 0 ? shs__conn_fail_stream(conn, rc) : rc;
}

/* -- the slots --------------------------------------------------------------------------------- */

static int udp_server_activate(struct shs_layer *layer)
{
    return shs_super_server_activate(layer->super); /* below TCPServer: nobody listens */
}

/* The request around what was received. */
static struct shs_conn *make_request(struct udp_server *self, const struct msghdr *msg, size_t len)
{
    struct shs_server *server = self->layer.server;
    struct datagram_stream *stream = shs__malloc(sizeof *stream + len);
    struct shs_conn *conn;

    if (stream == NULL)
        return NULL;
    conn = shs__conn_new(server, server->fd, msg->msg_name, msg->msg_namelen);
    if (conn == NULL) {
        shs__free(stream);
        return NULL;
    }
    memset(stream, 0, sizeof *stream);
    stream->base.cls = &datagram_class;
    stream->base.lower = conn->stream;
    memcpy(&stream->address, msg->msg_name, msg->msg_namelen);
    stream->address_len = msg->msg_namelen;
    stream->len = len;
    stream->truncated = (msg->msg_flags & MSG_TRUNC) != 0;
    memcpy(stream->packet, self->packet, len);
    conn->borrowed = true;
    conn->socket.bytes_in = len;
    shs__conn_push_stream(conn, &stream->base);
    return conn;
}

static int udp_get_request(struct shs_layer *layer, struct shs_conn **out)
{
    struct udp_server *self = UDP(layer);
    struct shs_server *server = layer->server;
    struct sockaddr_storage address;
    struct iovec iov = {.iov_base = self->packet, .iov_len = server->opt.max_packet_size};
    struct msghdr msg = {
        .msg_name = &address, .msg_namelen = sizeof address, .msg_iov = &iov, .msg_iovlen = 1};
    ssize_t n;

    memset(&address, 0, sizeof address);
    do {
        n = recvmsg(server->fd, &msg, 0);
    } while (n < 0 && errno == EINTR);
    if (n < 0)
        return shs__accept_failed(server, errno);
    *out = make_request(self, &msg, (size_t)n);
    return *out == NULL ? SHS_NOMEM : SHS_OK;
}

static int udp_finish_request(struct shs_layer *layer, struct shs_conn *conn)
{
    /* Below TCPServer: there is no FIN, and nobody to linger for. */
    int rc = shs_super_finish_request(layer->super, conn);

    /* DatagramRequestHandler answers in finish, which cannot say that it failed. */
    return rc == SHS_OK ? (int)shs_conn_error(conn)->code : rc;
}

static int udp_wait_request(struct shs_layer *layer, struct shs_conn *conn, int what)
{
    int64_t now = shs_now_ns();

    if (layer->server->address_family != AF_UNIX || what != SHS_WAIT_WRITE)
        return shs_super_wait_request(layer, conn, what);
    if (now >= conn->deadline_ns)
        return SHS_TIMEOUT;
    poll(NULL, 0, ROOM_RETRY_MS);
    return SHS_OK;
}

static void udp_shutdown_request(struct shs_layer *layer, struct shs_conn *conn)
{
    shs_super_shutdown_request(layer->super, conn);
}

static void udp_close_request(struct shs_layer *layer, struct shs_conn *conn)
{
    shs_super_close_request(layer->super, conn); /* the socket stays open */
}

static void udp_layer_free(struct shs_layer *layer)
{
    struct udp_server *self = UDP(layer);

    shs__free(self->packet);
    shs__free(self);
}

static const struct shs_server_ops udp_server_ops = {
    .name = "UDPServer",
    .server_activate = udp_server_activate,
    .get_request = udp_get_request,
    .finish_request = udp_finish_request,
    .wait_request = udp_wait_request,
    .shutdown_request = udp_shutdown_request,
    .close_request = udp_close_request,
    .layer_free = udp_layer_free,
};

int shs__udp_server_push(struct shs_server *server)
{
    struct udp_server *self;
    int rc = shs__tcp_server_push(server);

    if (rc != SHS_OK)
        return rc;
    if (server->opt.max_packet_size == 0 || server->opt.max_packet_size > MAX_PACKET_SIZE)
        return shs_server_fail(server, SHS_USAGE, 0, "max_packet_size must be from 1 to 16 MiB");
    self = shs__calloc(1, sizeof *self);
    if (self != NULL)
        self->packet = shs__malloc(server->opt.max_packet_size);
    if (self == NULL || self->packet == NULL) {
        shs__free(self);
        return shs_server_fail(server, SHS_NOMEM, 0, "out of memory for UDPServer");
    }
    rc = shs_server_push(server, &self->layer, &udp_server_ops);
    if (rc == SHS_OK)
        server->socket_type = SOCK_DGRAM;
    else
        udp_layer_free(&self->layer);
    return rc;
}
