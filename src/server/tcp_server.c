/*
 * tcp_server.c - TCPServer: the listening socket, accept, and the way a connection ends.
 *
 * Follows CPython Lib/socketserver.py TCPServer.
 */
#include <errno.h>
#include <netdb.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdio.h>
#include <sys/socket.h>
#include <unistd.h>

#include "server/server.h"

/* Handed to the kernel beyond what is on its way to the peer, at most. */
#define UNSENT_BYTES (256 * 1024)

/* A lack of descriptors is logged so often. */
#define SAY_AGAIN_MS 1000u

struct tcp_server {
    struct shs_layer layer;
};

/* -- binding ----------------------------------------------------------------------------------- */

static void set_option(int fd, int level, int name, int value)
{
    /* None of them is needed for a right answer: without it the socket is only less good. */
    setsockopt(fd, level, name, &value, sizeof value);
}

static void set_tcp_options(int fd)
{
    /* Inherited by every accepted socket: an answer is one write, so waiting for more (Nagle) only
       delays it; and a peer that lost its power is noticed. */
    set_option(fd, IPPROTO_TCP, TCP_NODELAY, 1);
    /* What a peer that does not read may keep in the kernel. A fast one is not slowed down: this is
       about bytes that are not on their way yet. */
    set_option(fd, IPPROTO_TCP, TCP_NOTSENT_LOWAT, UNSENT_BYTES);
    set_option(fd, SOL_SOCKET, SO_KEEPALIVE, 1);
    /* Many probes: the kernel's timers for so long are coarse, so those of connections that came
       together are sent in one moment, and a queue drops what is over its length (1,000 on the
       loopback). Who was answered is not in the next round, so each round gets on. Three lost ones
       were enough to end thousands of idle connections whose peers were there. */
    set_option(fd, IPPROTO_TCP, TCP_KEEPIDLE, 60);
    set_option(fd, IPPROTO_TCP, TCP_KEEPINTVL, 10);
    set_option(fd, IPPROTO_TCP, TCP_KEEPCNT, 12);
}

static bool is_inet(int family)
{
    return family == AF_INET || family == AF_INET6;
}

/* How a socket differs from what the options say. */
struct how {
    bool again; /* one more at an address that we have */
    bool v6_only;
};

static int open_and_bind(const struct shs_options *opt, const struct addrinfo *ai, struct how how)
{
    int fd = socket(ai->ai_family, ai->ai_socktype | SOCK_NONBLOCK | SOCK_CLOEXEC, ai->ai_protocol);
    int saved;

    if (fd < 0)
        return -1;
    if (opt->allow_reuse_address)
        set_option(fd, SOL_SOCKET, SO_REUSEADDR, 1);
    if ((opt->allow_reuse_port || how.again) && is_inet(ai->ai_family))
        set_option(fd, SOL_SOCKET, SO_REUSEPORT, 1);
    if (ai->ai_family == AF_INET6)
        set_option(fd, IPPROTO_IPV6, IPV6_V6ONLY, how.v6_only);
    if (ai->ai_socktype == SOCK_STREAM)
        set_tcp_options(fd);
    if (bind(fd, ai->ai_addr, ai->ai_addrlen) == 0)
        return fd;
    saved = errno;
    close(fd);
    errno = saved;
    return -1;
}

/* The first address that works; IPv6 first for "every interface", for that socket takes both. */
static int bind_first(const struct shs_options *opt, const struct addrinfo *list, bool any)
{
    const struct how how = {.v6_only = !any && opt->more_address_count > 0};
    int fd = -1;
    int first_errno = 0;

    for (int pass = any ? 0 : 1; pass < 2 && fd < 0; pass++) {
        for (const struct addrinfo *ai = list; ai != NULL && fd < 0; ai = ai->ai_next) {
            if (pass == 0 && ai->ai_family != AF_INET6)
                continue;
            fd = open_and_bind(opt, ai, how);
            if (fd < 0 && first_errno == 0)
                first_errno = errno;
        }
    }
    if (fd < 0)
        errno = first_errno;
    return fd;
}

/* server_address = socket.getsockname() */
static int learn_inet(struct shs_server *self, struct shs_listener *listener)
{
    struct sockaddr_storage address;
    socklen_t len = sizeof address;
    int flags = NI_NUMERICHOST | NI_NUMERICSERV;
    char port[8];

    if (self->socket_type == SOCK_DGRAM)
        flags |= NI_DGRAM;

    if (getsockname(listener->fd, (struct sockaddr *)&address, &len) != 0)
        return shs_server_fail(self, SHS_IO, errno, "getsockname failed");
    if (getnameinfo((struct sockaddr *)&address, len, listener->host, sizeof listener->host, port,
                    sizeof port, flags) != 0)
        return shs_server_fail(self, SHS_IO, 0, "the bound address has no text");
    listener->family = address.ss_family;
    listener->port = 0;
    for (const char *c = port; *c >= '0' && *c <= '9'; c++)
        listener->port = listener->port * 10 + (unsigned)(*c - '0');
    return SHS_OK;
}

int shs__tcp_learn(struct shs_server *self, struct shs_listener *listener)
{
    struct sockaddr_storage address;
    socklen_t len = sizeof address;

    if (getsockname(listener->fd, (struct sockaddr *)&address, &len) != 0)
        return shs_server_fail(self, SHS_IO, errno, "getsockname failed");
    if (address.ss_family == AF_UNIX)
        return shs__unix_learn(self, listener);
    if (self->socket_type == SOCK_STREAM && is_inet(address.ss_family))
        set_tcp_options(listener->fd);
    return learn_inet(self, listener);
}

/*
 * A number from 0 to 65535, or a service's name. The C library takes other numbers, and uses what
 * is left of them in 16 bits.
 */
static bool is_port(const char *text)
{
    static const char digits[] = "0123456789";
    static const char others[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ+-./_";
    size_t len = strlen(text), number = strspn(text, digits), value = 0;

    if (len == 0 || number < len)
        return len > 0 && number == 0 && text[0] != '-' && strspn(text, others) > 0 &&
               strcspn(text, " \t\r\n") == len;
    for (size_t i = 0; i < len && value <= 65535; i++)
        value = value * 10 + (size_t)(text[i] - '0');
    return value <= 65535;
}

int shs__tcp_bind(struct shs_server *self, struct shs_listener *listener, const char *host,
                  const char *port)
{
    struct addrinfo hints = {
        .ai_flags = AI_PASSIVE,
        .ai_family = self->opt.address_family,
        .ai_socktype = self->socket_type,
    };
    struct addrinfo *list = NULL;
    char why[96];
    int rc;

    if (shs__server_take_inherited(self, listener, &rc))
        return rc;
    if (host == NULL)
        host = "127.0.0.1";
    if (port == NULL)
        port = "0";
    if (!is_port(port))
        return shs_server_fail(
            self, SHS_USAGE, 0,
            "\"%s\" is not a port: give a number from 0 to 65535, or the name of a "
            "service",
            port);
    rc = getaddrinfo(host[0] == '\0' ? NULL : host, port, &hints, &list);
    if (rc != 0)
        return shs_server_fail(self, SHS_IO, rc == EAI_SYSTEM ? errno : 0,
                               "no address for host \"%s\" port \"%s\": %s", host, port,
                               gai_strerror(rc));
    listener->fd = bind_first(&self->opt, list, host[0] == '\0');
    freeaddrinfo(list);
    if (listener->fd < 0)
        return shs_server_fail(self, SHS_IO, errno, "cannot bind to %s port %s: %s",
                               host[0] == '\0' ? "every interface" : host, port,
                               shs__strerror(errno, why, sizeof why));
    return learn_inet(self, listener);
}

static void close_listener(struct shs_server *self, struct shs_listener *listener)
{
    int fd;

    shs__unix_forget(self, listener);
    fd = atomic_exchange(&listener->fd, -1);
    if (fd >= 0)
        close(fd);
}

int shs__server_bind_others(struct shs_server *self, int rc)
{
    for (unsigned i = 1; i < self->address_count && rc == SHS_OK; i++) {
        const struct shs_address *a = &self->opt.more_addresses[i - 1];

        rc = a->path != NULL ? shs__unix_bind(self, &self->addresses[i], a->path)
                             : shs__tcp_bind(self, &self->addresses[i], a->host, a->port);
    }
    self->undo = rc != SHS_OK;
    for (unsigned i = 0; i < self->address_count && self->undo; i++)
        close_listener(self, &self->addresses[i]);
    self->address_family = self->addresses[0].family;
    return rc;
}

static int tcp_server_bind(struct shs_layer *layer)
{
    struct shs_server *self = layer->server;

    return shs__server_bind_others(
        self, shs__tcp_bind(self, &self->addresses[0], self->opt.host, self->opt.port));
}

/* At the end of the list, once. */
static void join_listeners(struct shs_server *self, struct shs_listener *listener)
{
    struct shs_listener **at = &self->listeners;

    while (*at != NULL && *at != listener)
        at = &(*at)->next;
    *at = listener;
}

int shs__tcp_listen_again(struct shs_server *self, const struct shs_listener *at,
                          struct shs_listener *out)
{
    struct sockaddr_storage address;
    socklen_t len = sizeof address;
    struct addrinfo ai = {.ai_socktype = self->socket_type, .ai_addr = (struct sockaddr *)&address};
    struct how how = {.again = true};
    socklen_t only_len = sizeof(int);
    int fd, only = 0;

    if (getsockname(at->fd, (struct sockaddr *)&address, &len) != 0)
        return SHS_IO;
    if (!is_inet(address.ss_family))
        return SHS_IO; /* a path has one socket */
    ai.ai_family = address.ss_family;
    ai.ai_addrlen = len;
    if (ai.ai_family == AF_INET6 &&
        getsockopt(at->fd, IPPROTO_IPV6, IPV6_V6ONLY, &only, &only_len) == 0)
        how.v6_only = only != 0;
    fd = open_and_bind(&self->opt, &ai, how);
    if (fd < 0)
        return SHS_IO;
    if (listen(fd, self->opt.request_queue_size) != 0) {
        close(fd);
        return SHS_IO;
    }
    out->address = at->address;
    join_listeners(self, out);
    atomic_store(&out->fd, fd);
    return SHS_OK;
}

static int listen_at(struct shs_server *self, const struct shs_listener *listener)
{
    bool is_path = listener->family == AF_UNIX;
    char why[96], port[24] = "";

    if (listener->fd < 0)
        return shs_server_fail(self, SHS_USAGE, 0,
                               "the server is not bound: shs_server_bind first");
    if (listen(listener->fd, self->opt.request_queue_size) == 0) {
        /* Each group of workers may have a listening socket of its own, which the first must allow;
           but not before the port is ours, which with SO_REUSEADDR it is from here on only: another
           server's would be shared unnoticed. */
        if (self->opt.thread_groups > 1 && is_inet(listener->family))
            set_option(listener->fd, SOL_SOCKET, SO_REUSEPORT, 1);
        return SHS_OK;
    }
    if (!is_path)
        snprintf(port, sizeof port, " port %u", listener->port);
    return shs_server_fail(self, SHS_IO, errno, "cannot listen on %s%s: %s", listener->host, port,
                           shs__strerror(errno, why, sizeof why));
}

static int tcp_server_activate(struct shs_layer *layer)
{
    struct shs_server *self = layer->server;

    for (unsigned i = 0; i < self->address_count; i++) {
        int rc = listen_at(self, &self->addresses[i]);

        if (rc != SHS_OK)
            return rc;
    }
    shs__unix_settle(self);
    return shs_super_server_activate(layer);
}

/* -- accepting --------------------------------------------------------------------------------- */

/* Once in a while, not at each of twenty tries a second. */
static bool may_say(struct shs_server *self)
{
    int64_t now = shs_now_ns(), until = atomic_load(&self->accept_said_ns);

    /* Several may accept at once: one of them says it. */
    return now >= until && atomic_compare_exchange_strong(&self->accept_said_ns, &until,
                                                          shs__deadline_after(now, SAY_AGAIN_MS));
}

int shs__accept_failed(struct shs_server *self, int sys_errno)
{
    switch (sys_errno) {
    case EAGAIN:
#if EAGAIN != EWOULDBLOCK
    case EWOULDBLOCK:
#endif
        return SHS_WAIT_READ;
    case EBADF:
    case EINVAL:
    case ENOTSOCK:
        return SHS_STOPPED;
    case EMFILE:
    case ENFILE:
    case ENOBUFS:
    case ENOMEM:
        if (may_say(self))
            shs_server_log(self, SHS_LOG_WARNING,
                           "accepting pauses: %s; raise the limit on open files or lower "
                           "max_connections",
                           strerrordesc_np(sys_errno));
        return SHS_LIMIT;
    default:
        /* ECONNABORTED, EPROTO, ENETDOWN ...: that client is gone; others are not. */
        return SHS_IO;
    }
}

static int tcp_accept_request(struct shs_layer *layer, struct shs_listener *from,
                              struct shs_conn **out)
{
    struct shs_server *self = layer->server;
    struct sockaddr_storage address;
    socklen_t len = sizeof address;
    int fd;

    do {
        fd = accept4(from->fd, (struct sockaddr *)&address, &len, SOCK_NONBLOCK | SOCK_CLOEXEC);
    } while (fd < 0 && errno == EINTR);
    if (fd < 0)
        return shs__accept_failed(self, errno);
    *out = shs__conn_new(self, fd, (struct sockaddr *)&address, len);
    if (*out == NULL) {
        close(fd);
        return SHS_NOMEM;
    }
    (*out)->listener = from;
    return SHS_OK;
}

static int tcp_get_request(struct shs_layer *layer, struct shs_conn **out)
{
    struct shs_server *self = layer->server;
    int rc = SHS_WAIT_READ;

    if (self->ready != NULL)
        return tcp_accept_request(layer, self->ready, out);
    for (unsigned i = 0; i < self->address_count && rc == SHS_WAIT_READ; i++)
        rc = tcp_accept_request(layer, &self->addresses[i], out);
    return rc;
}

/* -- the end of a connection ------------------------------------------------------------------- */

/* Throws away what the peer still sends, so that no RST destroys our answer on its way. */
static int linger(struct shs_conn *conn)
{
    struct shs__conn_look look = shs__conn_look_begin(
        conn, shs_server_stopping(conn->server) ? 0 : conn->server->opt.close_ms);
    char waste[16384];

    while (conn->linger_left > 0) {
        size_t cap = conn->linger_left < sizeof waste ? conn->linger_left : sizeof waste;
        size_t got = 0;
        int rc = shs__stream_read(&conn->socket.base, waste, cap, &got);

        /* Who could send no more while we did not read is not late. */
        if (rc == SHS_WAIT_READ)
            return shs__conn_look_end(conn, &look) == SHS_OK ? rc : SHS_OK;
        if (rc != SHS_OK)
            return SHS_OK;
        conn->linger_left -= (uint32_t)got;
    }
    return SHS_OK;
}

/*
 * Waits for the peer's end; while the server is being closed, only as long as a peer that is there
 * needs to take its answer, or each request that ends then would cost server_close close_ms more.
 * server_close itself ends those who linger when it begins: it sees `idle`, or we see `stopping`.
 */
static void begin_waiting_for_fin(struct shs_conn *conn)
{
    int64_t until = shs__deadline_after(shs_now_ns(), SHS_LINGER_LEAST_MS);

    conn->phase = SHS_CONN_LINGER;
    if (shs_server_stopping(conn->server) && until < conn->deadline_ns)
        shs_conn_set_deadline(conn, until);
}

/* Lingering close, a state like any other: it waits as the composition waits. */
static int end_conversation(struct shs_conn *conn)
{
    int rc;

    if (conn->phase == SHS_CONN_FLUSH) {
        rc = shs__stream_shutdown(conn->stream);
        if ((rc == SHS_WAIT_READ || rc == SHS_WAIT_WRITE) && shs_now_ns() < conn->deadline_ns)
            return rc;
        shs__stream_shutdown(&conn->socket.base);
        /* Unread bytes would make a reset of our close, and a reset may overtake the answer. */
        if (conn->no_linger && conn->socket.drained)
            conn->phase = SHS_CONN_OVER;
        else
            begin_waiting_for_fin(conn);
    }
    if (conn->phase == SHS_CONN_LINGER) {
        rc = linger(conn);
        if (rc == SHS_WAIT_READ)
            return rc;
        conn->phase = SHS_CONN_OVER;
    }
    return conn->error == NULL ? SHS_OK : (int)conn->error->code;
}

static int tcp_finish_request(struct shs_layer *layer, struct shs_conn *conn)
{
    if (conn->phase == SHS_CONN_TALK) {
        int rc = shs_super_finish_request(layer, conn);

        /* After a fatal alert of ours the peer must get to read it: no RST may overtake it. */
        if (rc != SHS_OK && rc != SHS_TLS)
            return rc;
        shs__conn_begin_linger(conn);
    }
    return end_conversation(conn);
}

/* A client whose answer ends with the connection (HTTP/1.0) must not be told that it has ended. */
static void tcp_shutdown_request(struct shs_layer *layer, struct shs_conn *conn)
{
    if (!conn->torn)
        shs__stream_shutdown(&conn->socket.base);
    shs_super_shutdown_request(layer, conn);
}

/*
 * A conversation that was cut in the middle of an answer leaves nothing behind: else the kernel
 * would go on offering the rest to a peer that does not read, for minutes and with megabytes of
 * memory. The RST also tells that it was cut, where nothing else does.
 */
static void drop_unsent(const struct shs_conn *conn)
{
    const struct linger at_once = {.l_onoff = 1, .l_linger = 0};

    if (conn->torn || (conn->phase == SHS_CONN_TALK && !atomic_load(&conn->idle) &&
                       shs__socket_unsent(&conn->socket) > 0))
        setsockopt(conn->socket.fd, SOL_SOCKET, SO_LINGER, &at_once, sizeof at_once);
}

static void tcp_close_request(struct shs_layer *layer, struct shs_conn *conn)
{
    drop_unsent(conn);
    close(conn->socket.fd);
    shs_super_close_request(layer, conn);
}

static int tcp_server_close(struct shs_layer *layer)
{
    struct shs_server *self = layer->server;

    for (struct shs_listener *l = self->listeners; l != NULL; l = l->next)
        close_listener(self, l);
    return shs_super_server_close(layer);
}

static void tcp_layer_free(struct shs_layer *layer)
{
    shs__free(SHS_CONTAINER_OF(layer, struct tcp_server, layer));
}

static void tcp_service_actions(struct shs_layer *layer)
{
    shs__unix_look(layer->server);
}

static const struct shs_server_ops tcp_server_ops = {
    .name = "TCPServer",
    .server_bind = tcp_server_bind,
    .server_activate = tcp_server_activate,
    .service_actions = tcp_service_actions,
    .get_request = tcp_get_request,
    .accept_request = tcp_accept_request,
    .finish_request = tcp_finish_request,
    .shutdown_request = tcp_shutdown_request,
    .close_request = tcp_close_request,
    .server_close = tcp_server_close,
    .layer_free = tcp_layer_free,
};

int shs__tcp_server_push(struct shs_server *self)
{
    struct tcp_server *tcp = shs__calloc(1, sizeof *tcp);
    int rc;

    if (tcp == NULL)
        return shs_server_fail(self, SHS_NOMEM, 0, "out of memory for TCPServer");
    rc = shs_server_push(self, &tcp->layer, &tcp_server_ops);
    if (rc != SHS_OK)
        shs__free(tcp);
    return rc;
}

int shs__stream_server_push(struct shs_server *self)
{
    int rc = shs__tcp_server_push(self);

    return rc != SHS_OK || self->opt.path == NULL ? rc : shs__unix_stream_server_push(self);
}
