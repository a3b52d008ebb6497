#include "server/conn.h"

#include <arpa/inet.h>
#include <netdb.h>
#include <stdatomic.h>
#include <stdio.h>
#include <sys/un.h>

#include "server/server.h"

/*
 * How much a peer may still send after our FIN before we stop listening to it. Who is in the middle
 * of an upload that was refused reads the answer only when he has sent it, or not at all if he is
 * met with RST; what bounds this is close_ms.
 */
#define LINGER_BYTES (64u << 20)

struct shs_conn *shs__conn_new(struct shs_server *server, int fd, const struct sockaddr *address,
                               socklen_t address_len)
{
    size_t slots = server->layer_count * sizeof(void *);
    struct shs_conn *conn = shs__calloc(1, sizeof *conn + slots);

    if (conn == NULL)
        return NULL;
    conn->server = server;
    shs__socket_stream_init(&conn->socket, fd);
    conn->stream = &conn->socket.base;
    conn->accepted_ns = shs_now_ns();
    conn->deadline_ns = INT64_MAX;
    conn->wake_fd = -1;
    atomic_init(&conn->idle, true);
    atomic_init(&conn->idle_ns, server->client_first ? conn->accepted_ns : INT64_MAX);
    conn->client.sa.sa_family = AF_UNSPEC;
    if (address != NULL && address_len >= sizeof address->sa_family &&
        address->sa_family == AF_UNIX) {
        /* Its name does not fit, and most have none: kept as text. */
        conn->client.sa.sa_family = AF_UNIX;
        conn->client_host = shs__unix_name(address, address_len);
        conn->socket.is_unix = true;
    } else if (address != NULL && address_len > 0 && address_len <= sizeof conn->client) {
        memcpy(&conn->client, address, address_len);
    }
    return conn;
}

void shs__conn_set_client(struct shs_conn *conn, const struct sockaddr *address,
                          socklen_t address_len)
{
    bool is_unix = address->sa_family == AF_UNIX;
    char *name = is_unix ? shs__unix_name(address, address_len) : NULL, *before;

    pthread_mutex_lock(&conn->server->lock);
    before = conn->client_host;
    conn->client_host = name;
    memset(&conn->client, 0, sizeof conn->client);
    if (is_unix)
        conn->client.sa.sa_family = AF_UNIX;
    else if (address_len <= sizeof conn->client)
        memcpy(&conn->client, address, address_len);
    conn->renamed = true;
    pthread_mutex_unlock(&conn->server->lock);
    shs__free(before);
}

bool shs__conn_address(const struct shs_conn *conn, struct shs__address *out)
{
    switch (conn->client.sa.sa_family) {
    case AF_INET:
        memset(out->bytes, 0, 10);
        memset(&out->bytes[10], 0xff, 2);
        memcpy(&out->bytes[12], &conn->client.in.sin_addr, 4);
        return true;
    case AF_INET6:
        memcpy(out->bytes, &conn->client.in6.sin6_addr, sizeof out->bytes);
        return true;
    default:
        return false;
    }
}

char *shs__unix_name(const struct sockaddr *address, socklen_t address_len)
{
    const char *path = ((const struct sockaddr_un *)(const void *)address)->sun_path;
    size_t len = address_len - offsetof(struct sockaddr_un, sun_path);
    char *text;

    if (address_len <= offsetof(struct sockaddr_un, sun_path))
        return NULL;
    /* A path ends at its NUL; an abstract name begins with one and has its whole length. */
    if (path[0] != '\0')
        len = strnlen(path, len);
    text = shs__strndup(path, len);
    if (text == NULL)
        return NULL;
    if (path[0] == '\0')
        text[0] = '@';
    for (size_t i = 0; i < len; i++) {
        if ((unsigned char)text[i] < 0x20 || (unsigned char)text[i] == 0x7f)
            text[i] = '?';
    }
    return text;
}

/* The address as text: nothing is kept. */
static void format_address(const struct shs_conn *conn, char text[INET6_ADDRSTRLEN])
{
    text[0] = '\0';
    if (conn->client.sa.sa_family == AF_INET) {
        inet_ntop(AF_INET, &conn->client.in.sin_addr, text, INET6_ADDRSTRLEN);
    } else if (conn->client.sa.sa_family == AF_INET6) {
        const struct in6_addr *a = &conn->client.in6.sin6_addr;

        /* A dual-stack socket sees IPv4 clients as ::ffff:a.b.c.d; people want a.b.c.d. */
        if (IN6_IS_ADDR_V4MAPPED(a))
            inet_ntop(AF_INET, &a->s6_addr[12], text, INET6_ADDRSTRLEN);
        else
            inet_ntop(AF_INET6, a, text, INET6_ADDRSTRLEN);
    }
}

const char *shs__conn_peer(const struct shs_conn *conn, char *buf, size_t cap)
{
    char text[INET6_ADDRSTRLEN];

    /* Who asked for the name of one that has none has left an empty text there. */
    if (conn->client.sa.sa_family == AF_UNIX && conn->client_host != NULL &&
        conn->client_host[0] != '\0')
        return conn->client_host;
    format_address(conn, text);
    if (text[0] == '\0')
        snprintf(buf, cap, "a client without a name");
    else
        snprintf(buf, cap, "%s port %u", text, shs_conn_client_port(conn));
    return buf;
}

const char *shs__conn_client_text(struct shs_conn *conn, char *buf, size_t cap)
{
    const char *host = conn == NULL ? "" : shs_conn_client_host(conn);
    unsigned port = conn == NULL ? 0 : shs_conn_client_port(conn);

    if (host[0] == '\0')
        snprintf(buf, cap, "a client without a name");
    else if (port == 0)
        snprintf(buf, cap, "%s", host);
    else
        snprintf(buf, cap, "%s port %u", host, port);
    return buf;
}

void shs__conn_free(struct shs_conn *conn)
{
    while (conn->stream != NULL) {
        struct shs_stream *lower = conn->stream->lower;

        conn->stream->cls->free(conn->stream);
        conn->stream = lower;
    }
    if (!conn->set_up)
        shs__free(conn->handler); /* made, and never asked to do anything */
    shs__free(conn->error);
    shs__free(conn->client_host);
    shs__free(conn);
}

void shs__conn_push_stream(struct shs_conn *conn, struct shs_stream *top)
{
    conn->stream = top;
}

void shs__conn_begin_linger(struct shs_conn *conn)
{
    if (conn->phase != SHS_CONN_TALK)
        return;
    conn->phase = SHS_CONN_FLUSH;
    conn->linger_left = LINGER_BYTES;
    shs_conn_set_idle(conn, true);
    atomic_store_explicit(&conn->idle_ns, INT64_MAX, memory_order_relaxed); /* it is leaving */
    shs_conn_set_deadline(conn, shs__deadline_after(shs_now_ns(), conn->server->opt.close_ms));
}

struct shs__conn_look shs__conn_look_begin(const struct shs_conn *conn, unsigned ms)
{
    int64_t now = shs_now_ns(), silent_ms = 0;

    /* What is read makes room for more, which comes at once: so it is asked before. Only where
       little time is left, for that is a system call more. */
    if (shs__deadline_after(now, ms / 2) >= conn->deadline_ns)
        silent_ms = shs__socket_silent_ms(&conn->socket);
    return (struct shs__conn_look){
        .ms = ms,
        .began_ns = now,
        .came_ns = now - silent_ms * SHS_NS_PER_MS,
        .had = conn->socket.bytes_in,
    };
}

int shs__conn_look_end(struct shs_conn *conn, const struct shs__conn_look *look)
{
    int64_t now, lay, whole;

    if (conn->socket.bytes_in != look->had) {
        now = shs_now_ns();
        lay = now - look->came_ns;
        whole = shs__deadline_after(now, look->ms); /* it may have come before this phase */
        if (conn->deadline_ns < whole)
            shs_conn_set_deadline(conn, conn->deadline_ns < whole - lay ? conn->deadline_ns + lay
                                                                        : whole);
    }
    /* The look may have lasted: who was not late before it is looked at once more. */
    return look->began_ns < conn->deadline_ns ? SHS_OK : SHS_TIMEOUT;
}

struct shs_server *shs_conn_server(const struct shs_conn *conn)
{
    return conn->server;
}

int shs_conn_fileno(const struct shs_conn *conn)
{
    return conn->socket.fd;
}

const char *shs_conn_client_host(struct shs_conn *conn)
{
    char text[INET6_ADDRSTRLEN];

    if (conn->client_host != NULL)
        return conn->client_host;
    format_address(conn, text);
    conn->client_host = shs__strdup(text);
    return conn->client_host == NULL ? "" : conn->client_host;
}

unsigned shs_conn_client_port(const struct shs_conn *conn)
{
    switch (conn->client.sa.sa_family) {
    case AF_INET:
        return ntohs(conn->client.in.sin_port);
    case AF_INET6:
        return ntohs(conn->client.in6.sin6_port);
    default:
        return 0;
    }
}

void *shs_conn_get(const struct shs_conn *conn, const struct shs_layer *layer)
{
    return conn->slots[layer->index];
}

void shs_conn_set(struct shs_conn *conn, const struct shs_layer *layer, void *state)
{
    conn->slots[layer->index] = state;
}

int64_t shs_conn_deadline(const struct shs_conn *conn)
{
    return conn->deadline_ns;
}

void shs_conn_set_deadline(struct shs_conn *conn, int64_t deadline_ns)
{
    conn->deadline_ns = deadline_ns;
}

void shs_conn_set_idle(struct shs_conn *conn, bool idle)
{
    /* Sequentially consistent: server_close sets `stopping` and then reads this; the connection
       sets this and then reads `stopping`. One of them sees the other (h1 checks after it). */
    if (idle) /* who waits for another request has just set its deadline */
        atomic_store_explicit(&conn->idle_ns,
                              conn->deadline_ns == INT64_MAX
                                  ? shs_now_ns()
                                  : conn->deadline_ns -
                                        (int64_t)conn->server->opt.idle_ms * SHS_NS_PER_MS,
                              memory_order_relaxed);
    atomic_store(&conn->idle, idle);
}

bool shs_conn_overloaded(const struct shs_conn *conn)
{
    return conn->overloaded;
}

const struct shs_error *shs_conn_error(const struct shs_conn *conn)
{
    static const struct shs_error none = {.code = SHS_OK, .text = "no error"};

    return conn->error == NULL ? &none : conn->error;
}

/* The place for the first failure; NULL when one is recorded already or there is no memory. */
static struct shs_error *first_error(struct shs_conn *conn, int code)
{
    if (conn->error != NULL)
        return NULL;
    if (code == SHS_TIMEOUT)
        atomic_fetch_add_explicit(&conn->server->stats.timeouts, 1, memory_order_relaxed);
    conn->error = shs__calloc(1, sizeof *conn->error);
    return conn->error;
}

int shs_conn_fail(struct shs_conn *conn, int code, int sys_errno, const char *fmt, ...)
{
    struct shs_error *err = first_error(conn, code);
    va_list ap;

    if (err == NULL)
        return code;
    va_start(ap, fmt);
    shs__error_vset(err, code, sys_errno, fmt, ap);
    va_end(ap);
    return code;
}

int shs__conn_fail_stream(struct shs_conn *conn, int code)
{
    struct shs_error *err = first_error(conn, code);

    if (err != NULL)
        shs__stream_describe(conn->stream, code, err);
    return code;
}

/* Waits for a handler that reads, and records why it cannot go on. */
static int wait_to_read(struct shs_conn *conn, int what)
{
    int rc = shs_server_wait_request(conn->server, conn, what);

    if (rc == SHS_TIMEOUT)
        return shs_conn_fail(conn, rc, 0, "the client did not send in time");
    if (rc < 0)
        return shs_conn_fail(conn, rc, 0, "%s", shs_err_text(rc));
    return rc;
}

/*
 * The same where nobody set a deadline, for no wait is without end: and so that a byte now and then
 * does not make one of many, all of them together have idle_ms. They have it again when the handler
 * has written, for then the two talk, or when the peer has kept up min_rate. Only what was waited
 * counts: what the handler does in between is not the peer's time.
 */
static int wait_for_more(struct shs_conn *conn, int what)
{
    int64_t then = shs_now_ns(),
            until = shs__deadline_after(then, conn->server->opt.idle_ms) - conn->read_waits_ns;
    int rc;

    conn->deadline_ns = until < then ? then : until;
    rc = wait_to_read(conn, what);
    conn->deadline_ns = INT64_MAX;
    conn->read_waits_ns += shs_now_ns() - then;
    return rc;
}

static void begin_reading_anew(struct shs_conn *conn)
{
    conn->read_bytes = 0;
    conn->read_waits_ns = 0;
}

static void count_read(struct shs_conn *conn, size_t got)
{
    const struct shs_options *opt = &conn->server->opt;

    conn->has_read = true;
    conn->read_bytes += got;
    if (conn->read_bytes >= (uint64_t)opt->idle_ms * opt->min_rate / 1000)
        begin_reading_anew(conn);
}

int shs_conn_read(struct shs_conn *conn, void *buf, size_t cap, size_t *got)
{
    int rc;

    if (cap == 0)
        return shs_conn_fail(conn, SHS_USAGE, 0, "shs_conn_read needs room for at least one byte");
    do {
        rc = shs__stream_read(conn->stream, buf, cap, got);
        if (rc != SHS_WAIT_READ && rc != SHS_WAIT_WRITE)
            break;
        rc = conn->deadline_ns == INT64_MAX ? wait_for_more(conn, rc) : wait_to_read(conn, rc);
    } while (rc == SHS_OK);
    if (rc == SHS_OK)
        count_read(conn, *got);
    if (rc < 0 && rc != SHS_CLOSED)
        shs__conn_fail_stream(conn, rc);
    return rc;
}

/* Writes or, with len 0, flushes what the streams hold back; waits while the peer takes some. */
static int write_some(struct shs_conn *conn, struct shs_progress *progress, const char *bytes,
                      size_t len, size_t *put)
{
    int64_t expired = INT64_MIN;

    for (;;) {
        int rc;

        /* A peer that has taken all there was waits for us, whatever its rate by the clock. */
        if (shs__progress_is_late(progress) && shs__stream_all_taken(conn->stream))
            shs__progress_again(progress);
        rc = len == 0 ? shs__stream_flush(conn->stream)
                      : shs__stream_write(conn->stream, bytes, len, put);
        if (rc < 0)
            return shs__conn_fail_stream(conn, rc);
        if (rc == SHS_OK) {
            shs__progress_ours(progress);
            return rc;
        }
        shs__progress_waits(progress);
        shs__progress_total(progress, shs__stream_delivered(conn->stream));
        conn->deadline_ns = progress->deadline_ns;
        if (expired == conn->deadline_ns)
            return shs_conn_fail(conn, SHS_TIMEOUT, 0, "the client did not read in time");
        rc = shs_server_wait_request(conn->server, conn, rc);
        if (rc == SHS_TIMEOUT)
            expired = conn->deadline_ns; /* once more: it may have taken what the kernel had */
        else if (rc < 0)
            return shs_conn_fail(conn, rc, 0, "%s", shs_err_text(rc));
    }
}

int shs__conn_write_within(struct shs_conn *conn, const void *buf, size_t len, unsigned ms)
{
    int64_t before = conn->deadline_ns;
    struct shs_progress progress;
    const char *bytes = buf;
    int rc = conn->write_failed;

    shs__progress_start(&progress, shs_now_ns(), ms, conn->server->opt.min_rate);
    while (len > 0 && rc == SHS_OK) {
        size_t put = 0;

        rc = write_some(conn, &progress, bytes, len, &put);
        if (rc != SHS_OK)
            break;
        bytes += put;
        len -= put;
    }
    if (rc == SHS_OK)
        rc = write_some(conn, &progress, NULL, 0, NULL);
    if (!conn->borrowed) /* each datagram is whole */
        conn->write_failed = rc;
    conn->deadline_ns = before;
    begin_reading_anew(conn);
    return rc;
}

int shs_conn_write(struct shs_conn *conn, const void *buf, size_t len)
{
    return shs__conn_write_within(conn, buf, len, conn->server->opt.write_ms);
}
