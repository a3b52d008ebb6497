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
#include <fcntl.h>
#include <netinet/in.h>
#include <poll.h>
#include <stdio.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "server/server.h"

/* The largest packet anybody may ask for: more than any datagram of IP or of a Unix socket has. */
#define MAX_PACKET_SIZE ((size_t)16 * 1024 * 1024)
/* A Unix socket's sender is not told when a full receiver has room again, and nobody is told when
   the kernel has memory: it tries so often. */
#define ROOM_RETRY_MS 5

struct udp_server {
    struct shs_layer layer;
    char *packet; /* opt.max_packet_size bytes, for the one that is being received */
};

struct datagram_stream {
    struct shs_stream base;
    struct sockaddr_storage address;
    socklen_t address_len;
    /* which of our addresses was asked: the answer comes from there. Family AF_UNSPEC: not known */
    union {
        sa_family_t family;
        struct {
            sa_family_t family;
            struct in_pktinfo info;
        } v4;
        struct {
            sa_family_t family;
            struct in6_pktinfo info;
        } v6;
    } asked;
    size_t len, at;
    bool truncated;
    bool no_buffers; /* the last try found no memory in the kernel: nobody tells when there is */
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

/* Room for one control message, either kind. */
union control {
    struct cmsghdr align;
    char bytes[CMSG_SPACE(sizeof(struct in6_pktinfo))];
};

static void put_info(struct msghdr *msg, union control *room, int level, int type, const void *info,
                     size_t len)
{
    struct cmsghdr *c;

    msg->msg_control = room->bytes;
    msg->msg_controllen = CMSG_SPACE(len);
    c = CMSG_FIRSTHDR(msg);
    c->cmsg_level = level;
    c->cmsg_type = type;
    c->cmsg_len = CMSG_LEN(len);
    memcpy(CMSG_DATA(c), info, len);
}

/* On a socket that is bound to every address the kernel would choose one by the route. */
static void answer_from(struct datagram_stream *self, struct msghdr *msg, union control *room)
{
    if (self->asked.family == AF_INET)
        put_info(msg, room, IPPROTO_IP, IP_PKTINFO, &self->asked.v4.info,
                 sizeof self->asked.v4.info);
    else if (self->asked.family == AF_INET6)
        put_info(msg, room, IPPROTO_IPV6, IPV6_PKTINFO, &self->asked.v6.info,
                 sizeof self->asked.v6.info);
}

static int datagram_send(struct datagram_stream *self, const void *buf, size_t len)
{
    struct shs_socket_stream *socket = SOCKET(self->base.lower);
    struct iovec iov = {.iov_base = (void *)(uintptr_t)buf, .iov_len = len};
    struct msghdr msg = {
        .msg_name = &self->address,
        .msg_namelen = self->address_len,
        .msg_iov = &iov,
        .msg_iovlen = 1,
    };
    union control room = {.align = {0}};
    ssize_t n;

    if (self->address_len <= sizeof(sa_family_t)) {
        self->base.sys_errno = EDESTADDRREQ;
        return SHS_IO;
    }
    answer_from(self, &msg, &room);
    do {
        n = sendmsg(socket->fd, &msg, MSG_NOSIGNAL);
    } while (n < 0 && errno == EINTR);
    self->no_buffers = n < 0 && errno == ENOBUFS;
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

static bool is_every_address(int fd, int *family)
{
    union {
        struct sockaddr sa;
        struct sockaddr_in in;
        struct sockaddr_in6 in6;
        struct sockaddr_storage any;
    } address;
    socklen_t len = sizeof address;

    memset(&address, 0, sizeof address);
    if (getsockname(fd, &address.sa, &len) != 0)
        return false;
    *family = address.sa.sa_family;
    return *family == AF_INET
               ? address.in.sin_addr.s_addr == htonl(INADDR_ANY)
               : *family == AF_INET6 && IN6_IS_ADDR_UNSPECIFIED(&address.in6.sin6_addr);
}

static void ask_for_address(int fd)
{
    int family = AF_UNSPEC, yes = 1;

    /* Without it the answers are only less good: a client may not take them for its own. */
    if (!is_every_address(fd, &family))
        return;
    if (family == AF_INET)
        setsockopt(fd, IPPROTO_IP, IP_PKTINFO, &yes, sizeof yes);
    else
        setsockopt(fd, IPPROTO_IPV6, IPV6_RECVPKTINFO, &yes, sizeof yes);
}

static int udp_server_activate(struct shs_layer *layer)
{
    struct shs_server *server = layer->server;

    for (unsigned i = 0; i < server->address_count; i++)
        ask_for_address(server->addresses[i].fd);
    shs__unix_settle(server);
    return shs_super_server_activate(layer->super); /* below TCPServer: nobody listens */
}

/* Which address was asked. A group's or a network's is none that can answer. */
static void learn_asked(struct datagram_stream *self, const struct msghdr *msg)
{
    for (struct cmsghdr *c = CMSG_FIRSTHDR(msg); c != NULL;
         c = CMSG_NXTHDR((struct msghdr *)(uintptr_t)msg, c)) {
        if (c->cmsg_level == IPPROTO_IP && c->cmsg_type == IP_PKTINFO) {
            struct in_pktinfo *info = &self->asked.v4.info;

            memcpy(info, CMSG_DATA(c), sizeof *info);
            if (info->ipi_spec_dst.s_addr != info->ipi_addr.s_addr)
                continue;
            info->ipi_ifindex = 0; /* the route there, which need not be the one from there */
            self->asked.v4.family = AF_INET;
        } else if (c->cmsg_level == IPPROTO_IPV6 && c->cmsg_type == IPV6_PKTINFO) {
            struct in6_pktinfo *info = &self->asked.v6.info;

            memcpy(info, CMSG_DATA(c), sizeof *info);
            if (IN6_IS_ADDR_MULTICAST(&info->ipi6_addr))
                continue;
            if (!IN6_IS_ADDR_LINKLOCAL(&info->ipi6_addr))
                info->ipi6_ifindex = 0;
            self->asked.v6.family = AF_INET6;
        }
    }
}

/* The request around what was received. */
static struct shs_conn *make_request(struct udp_server *self, const struct shs_listener *from,
                                     const struct msghdr *msg, size_t len)
{
    struct shs_server *server = self->layer.server;
    struct datagram_stream *stream = shs__malloc(sizeof *stream + len);
    struct shs_conn *conn;

    if (stream == NULL)
        return NULL;
    conn = shs__conn_new(server, from->fd, msg->msg_name, msg->msg_namelen);
    if (conn == NULL) {
        shs__free(stream);
        return NULL;
    }
    memset(stream, 0, sizeof *stream);
    stream->base.cls = &datagram_class;
    stream->base.lower = conn->stream;
    memcpy(&stream->address, msg->msg_name, msg->msg_namelen);
    stream->address_len = msg->msg_namelen;
    learn_asked(stream, msg);
    stream->len = len;
    stream->truncated = (msg->msg_flags & MSG_TRUNC) != 0;
    memcpy(stream->packet, self->packet, len);
    conn->borrowed = true;
    conn->listener = from;
    conn->socket.bytes_in = len;
    shs__conn_push_stream(conn, &stream->base);
    return conn;
}

static int receive(struct udp_server *self, const struct shs_listener *from, struct shs_conn **out)
{
    struct shs_server *server = self->layer.server;
    struct sockaddr_storage address;
    struct iovec iov = {.iov_base = self->packet, .iov_len = server->opt.max_packet_size};
    union control room = {.align = {0}};
    struct msghdr msg = {.msg_name = &address, .msg_iov = &iov, .msg_iovlen = 1};
    ssize_t n;

    memset(&address, 0, sizeof address);
    do {
        msg.msg_namelen = sizeof address;
        msg.msg_control = room.bytes;
        msg.msg_controllen = sizeof room.bytes;
        n = recvmsg(from->fd, &msg, 0);
    } while (n < 0 && errno == EINTR);
    if (n < 0)
        return shs__accept_failed(server, errno);
    *out = make_request(self, from, &msg, (size_t)n);
    return *out == NULL ? SHS_NOMEM : SHS_OK;
}

static int udp_get_request(struct shs_layer *layer, struct shs_conn **out)
{
    struct udp_server *self = UDP(layer);
    const struct shs_server *server = layer->server;
    int rc = SHS_WAIT_READ;

    if (server->ready != NULL)
        return receive(self, server->ready, out);
    for (unsigned i = 0; i < server->address_count && rc == SHS_WAIT_READ; i++)
        rc = receive(self, &server->addresses[i], out);
    return rc;
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
    const struct datagram_stream *self = datagram_of(conn);
    int64_t now = shs_now_ns();

    if (what != SHS_WAIT_WRITE || (!(conn->listener != NULL && conn->listener->family == AF_UNIX) &&
                                   (self == NULL || !self->no_buffers)))
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

/*
 * Handlers answer through the server's own socket, so it is closed after them, not before. Those
 * that do not return in time keep the number, and the socket behind it is gone: a late answer
 * fails, and can never go to a descriptor that somebody opens next.
 */
static void close_late(struct shs_server *server, struct shs_listener *listener, int fd,
                       unsigned late)
{
    if (late == 0) {
        close(fd);
        return;
    }
    listener->late_fd = fd;
    if (dup3(server->wake_fd, fd, O_CLOEXEC) <
        0) /* then the port stays taken until they are gone */
        shs_server_log(server, SHS_LOG_WARNING,
                       "the datagram socket is still open for %u handler(s) that do not return",
                       late);
}

static int udp_server_close(struct shs_layer *layer)
{
    struct shs_server *server = layer->server;
    int fds[SHS_MAX_ADDRESSES], rc;
    unsigned late;

    for (unsigned i = 0; i < server->address_count; i++) {
        shs__unix_forget(server, &server->addresses[i]);
        fds[i] = atomic_exchange(&server->addresses[i].fd, -1);
    }
    rc = shs_super_server_close(layer);
    pthread_mutex_lock(&server->lock);
    late = server->live_count;
    pthread_mutex_unlock(&server->lock);
    for (unsigned i = 0; i < server->address_count; i++) {
        if (fds[i] >= 0)
            close_late(server, &server->addresses[i], fds[i], late);
    }
    return rc;
}

static void udp_layer_free(struct shs_layer *layer)
{
    struct udp_server *self = UDP(layer);

    for (unsigned i = 0; i < layer->server->address_count; i++) {
        if (layer->server->addresses[i].late_fd >= 0)
            close(layer->server->addresses[i].late_fd);
    }
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
    .server_close = udp_server_close,
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
    else {
        shs__free(self->packet);
        shs__free(self);
    }
    return rc;
}
