/*
 * stream_handler.c - StreamRequestHandler and DatagramRequestHandler: rfile and wfile.
 *
 * Follows CPython Lib/socketserver.py StreamRequestHandler, DatagramRequestHandler, _SocketWriter.
 */
#include <limits.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>

#include "server/server.h"

/* Python's io.DEFAULT_BUFFER_SIZE, which -1 means. */
#define DEFAULT_BUFFER_SIZE ((size_t)8192)
#define MAX_BUFFER_SIZE (16 * 1024 * 1024)
/* No datagram is longer. */
#define MAX_DATAGRAM ((size_t)65535)

struct shs_rfile {
    struct shs_conn *conn;
    unsigned timeout_ms; /* 0: the connection's own */
    bool closed;
    bool timed_out;         /* as Python's SocketIO: no byte is taken from the peer any more */
    size_t start, len, cap; /* of data: what was read ahead */
    char data[];
};

struct shs_wfile {
    struct shs_conn *conn;
    unsigned timeout_ms;
    bool closed;
    bool collects; /* a datagram: nothing leaves before the end */
    bool lacks;    /* something could not be collected: half of an answer is none */
    struct shs_buf buf;
};

#define STREAM(h) SHS_CONTAINER_OF(h, struct shs_stream_request_handler, base)
#define DATAGRAM(h) SHS_CONTAINER_OF(h, struct shs_datagram_request_handler, base)

/* -- rfile ------------------------------------------------------------------------------------- */

/* The deadline of one call of ours; gives back the one that was there. */
static int64_t begin_call(struct shs_rfile *self)
{
    int64_t before = shs_conn_deadline(self->conn);

    if (self->timeout_ms != 0)
        shs_conn_set_deadline(self->conn, shs__deadline_after(shs_now_ns(), self->timeout_ms));
    return before;
}

/* What it has read ahead is for the handler, who is called for it. */
static void end_call(struct shs_rfile *self, int64_t before, size_t got)
{
    shs_conn_set_deadline(self->conn, before);
    self->conn->ahead = self->len > 0;
    self->conn->has_read = self->conn->has_read || got > 0;
}

/*
 * From the connection. Who was told that the peer is late has the same answer from then on: else
 * the byte that comes a moment later is one that a handler has no use for, in one run of many.
 */
static int take(struct shs_rfile *self, void *buf, size_t cap, size_t *got)
{
    int rc = self->timed_out ? SHS_TIMEOUT : shs_conn_read(self->conn, buf, cap, got);

    self->timed_out = rc == SHS_TIMEOUT;
    return rc;
}

/* At least one byte: from what was read ahead, or from the connection. */
static int read_some(struct shs_rfile *self, void *buf, size_t cap, size_t *got)
{
    int rc;

    if (self->closed)
        return SHS_CLOSED;
    if (self->len == 0 && cap >= self->cap) /* no use to copy it twice */
        return take(self, buf, cap, got);
    if (self->len == 0) {
        self->start = 0;
        rc = take(self, self->data, self->cap, &self->len);
        if (rc != SHS_OK)
            return rc;
    }
    if (cap > self->len)
        cap = self->len;
    memcpy(buf, self->data + self->start, cap);
    self->start += cap;
    self->len -= cap;
    *got = cap;
    return SHS_OK;
}

int shs_rfile_read1(struct shs_rfile *self, void *buf, size_t cap, size_t *got)
{
    int64_t before = begin_call(self);
    int rc = read_some(self, buf, cap, got);

    end_call(self, before, rc == SHS_OK);
    return rc;
}

/* Without any deadline, what shs_conn_read has for all that is read without a word in between. */
int shs_rfile_read(struct shs_rfile *self, void *buf, size_t cap, size_t *got)
{
    int64_t before = begin_call(self);
    size_t have = 0;
    int rc = cap == 0 ? SHS_USAGE : SHS_OK;

    while (rc == SHS_OK && have < cap) {
        size_t n = 0;

        rc = read_some(self, (char *)buf + have, cap - have, &n);
        if (rc == SHS_OK)
            have += n;
    }
    end_call(self, before, have);
    *got = have;
    return rc == SHS_CLOSED && have > 0 ? SHS_OK : rc;
}

/* Up to and with a newline, as far as it is in what was read ahead. True: the line is complete. */
static bool take_line(struct shs_rfile *self, char *buf, size_t cap, size_t *have)
{
    size_t room = cap - *have < self->len ? cap - *have : self->len;
    const char *from = self->data + self->start;
    const char *end = memchr(from, '\n', room);
    size_t n = end == NULL ? room : (size_t)(end - from) + 1;

    memcpy(buf + *have, from, n);
    self->start += n;
    self->len -= n;
    *have += n;
    return end != NULL || *have == cap;
}

static int readline(struct shs_rfile *self, char *buf, size_t cap, size_t *have)
{
    int rc;

    for (;;) {
        if (take_line(self, buf, cap, have))
            return SHS_OK;
        if (self->cap == 0) { /* unbuffered: not a byte of what follows the line may be taken */
            size_t n = 0;

            rc = take(self, buf + *have, 1, &n);
            if (rc != SHS_OK)
                return rc;
            if (buf[(*have)++] == '\n')
                return SHS_OK;
            continue;
        }
        self->start = 0;
        rc = take(self, self->data, self->cap, &self->len);
        if (rc != SHS_OK)
            return rc;
    }
}

int shs_rfile_readline(struct shs_rfile *self, char *buf, size_t cap, size_t *got)
{
    int64_t before;
    size_t have = 0;
    int rc;

    if (self->closed)
        return SHS_CLOSED;
    if (cap == 0)
        return SHS_USAGE;
    before = begin_call(self);
    rc = readline(self, buf, cap, &have);
    end_call(self, before, have);
    *got = have;
    return rc == SHS_CLOSED && have > 0 ? SHS_OK : rc;
}

void shs_rfile_close(struct shs_rfile *self)
{
    self->closed = true;
    self->conn->ahead = false;
}

static struct shs_rfile *rfile_new(struct shs_conn *conn, int bufsize, unsigned timeout_ms)
{
    size_t cap = bufsize < 0 ? DEFAULT_BUFFER_SIZE : (size_t)bufsize;
    struct shs_rfile *self = shs__malloc(sizeof *self + cap);

    if (self == NULL)
        return NULL;
    memset(self, 0, sizeof *self);
    self->conn = conn;
    self->timeout_ms = timeout_ms;
    self->cap = cap;
    return self;
}

/* -- wfile ------------------------------------------------------------------------------------- */

static int send_now(struct shs_wfile *self, const void *buf, size_t len)
{
    unsigned ms = self->timeout_ms != 0 ? self->timeout_ms : self->conn->server->opt.write_ms;

    return shs__conn_write_within(self->conn, buf, len, ms);
}

int shs_wfile_write(struct shs_wfile *self, const void *buf, size_t len)
{
    int rc;

    if (self->closed)
        return shs_conn_fail(self->conn, SHS_USAGE, 0, "wfile is closed");
    if (self->collects) {
        rc = shs__buf_append(&self->buf, buf, len);
        self->lacks = self->lacks || rc != SHS_OK;
        if (rc == SHS_LIMIT)
            shs_conn_fail(self->conn, rc, 0,
                          "an answer of more than %zu bytes does not fit a datagram", MAX_DATAGRAM);
        return rc;
    }
    if (len > self->buf.ceiling - self->buf.len) {
        rc = shs_wfile_flush(self);
        if (rc != SHS_OK)
            return rc;
    }
    if (len >= self->buf.ceiling) /* and always when there is no buffer */
        return len == 0 ? SHS_OK : send_now(self, buf, len);
    return shs__buf_append(&self->buf, buf, len);
}

int shs_wfile_flush(struct shs_wfile *self)
{
    size_t len = self->buf.len;
    int rc;

    if (self->collects || len == 0)
        return SHS_OK;
    /* Whatever becomes of it: bytes of which nobody knows how many are out are not sent again. */
    rc = send_now(self, shs__buf_head(&self->buf), len);
    shs__buf_consume(&self->buf, len);
    return rc;
}

int shs_wfile_close(struct shs_wfile *self)
{
    int rc = self->closed ? SHS_OK : shs_wfile_flush(self);

    self->closed = true;
    return rc;
}

bool shs_wfile_writable(const struct shs_wfile *self)
{
    return !self->closed;
}

int shs_wfile_fileno(const struct shs_wfile *self)
{
    return shs_conn_fileno(self->conn);
}

static struct shs_wfile *wfile_new(struct shs_conn *conn, size_t bufsize, unsigned timeout_ms)
{
    struct shs_wfile *self = shs__calloc(1, sizeof *self);

    if (self == NULL)
        return NULL;
    self->conn = conn;
    self->timeout_ms = timeout_ms;
    shs__buf_init(&self->buf, bufsize);
    return self;
}

static void wfile_free(struct shs_wfile *self)
{
    if (self == NULL)
        return;
    shs__buf_free(&self->buf);
    shs__free(self);
}

/* -- StreamRequestHandler ---------------------------------------------------------------------- */

static void set_nagle(const struct shs_server *server, int fd, bool disable)
{
    int value = disable;

    if (shs_server_address_family(server) != AF_UNIX)
        setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &value, sizeof value);
}

int shs_stream_request_handler_setup(struct shs_request_handler *base)
{
    struct shs_stream_request_handler *self = STREAM(base);
    struct shs_request_handler_class *plain = (struct shs_request_handler_class *)base->cls;
    const struct shs_stream_request_handler_class *cls =
        SHS_CONTAINER_OF(plain, struct shs_stream_request_handler_class, base);
    size_t wbufsize = cls->wbufsize < 0 ? DEFAULT_BUFFER_SIZE : (size_t)cls->wbufsize;

    if (base->request->borrowed)
        return shs_conn_fail(base->request, SHS_USAGE, 0,
                             "%s is a StreamRequestHandler, and this is a datagram",
                             base->cls->name);
    if (cls->rbufsize > MAX_BUFFER_SIZE || cls->wbufsize > MAX_BUFFER_SIZE)
        return shs_conn_fail(base->request, SHS_USAGE, 0,
                             "rbufsize and wbufsize of %s must be at most 16 MiB", base->cls->name);
    self->connection = base->request;
    set_nagle(base->server, shs_conn_fileno(base->request), cls->disable_nagle_algorithm);
    self->rfile = rfile_new(base->request, cls->rbufsize, cls->timeout_ms);
    self->wfile = wfile_new(base->request, wbufsize, cls->timeout_ms);
    if (self->rfile != NULL && self->wfile != NULL)
        return SHS_OK;
    shs_stream_request_handler_finish(base);
    return SHS_NOMEM;
}

void shs_stream_request_handler_finish(struct shs_request_handler *base)
{
    struct shs_stream_request_handler *self = STREAM(base);
    struct shs_conn *conn = base->request;
    bool failed_before = conn->error != NULL;

    if (self->wfile != NULL)
        (void)shs_wfile_close(self->wfile);
    /* A client that left before the end of the answer is not worth an error, Python says. */
    if (!failed_before) {
        shs__free(conn->error);
        conn->error = NULL;
    }
    wfile_free(self->wfile);
    shs__free(self->rfile);
    self->wfile = NULL;
    self->rfile = NULL;
}

/* -- DatagramRequestHandler -------------------------------------------------------------------- */

int shs_datagram_request_handler_setup(struct shs_request_handler *base)
{
    struct shs_datagram_request_handler *self = DATAGRAM(base);

    if (!base->request->borrowed)
        return shs_conn_fail(base->request, SHS_USAGE, 0,
                             "%s is a DatagramRequestHandler, and this is a connection",
                             base->cls->name);
    self->packet = shs_conn_packet(base->request);
    self->socket = shs_conn_fileno(base->request);
    self->rfile = rfile_new(base->request, 0, 0);
    self->wfile = wfile_new(base->request, MAX_DATAGRAM, 0);
    if (self->rfile != NULL && self->wfile != NULL) {
        self->wfile->collects = true;
        return SHS_OK;
    }
    wfile_free(self->wfile);
    shs__free(self->rfile);
    return SHS_NOMEM;
}

void shs_datagram_request_handler_finish(struct shs_request_handler *base)
{
    struct shs_datagram_request_handler *self = DATAGRAM(base);

    if (self->wfile != NULL && !self->wfile->closed && !self->wfile->lacks) {
        const struct shs_buf *answer = &self->wfile->buf;

        int rc = shs_conn_sendto(base->request, answer->len == 0 ? "" : shs__buf_head(answer),
                                 answer->len);

        SHS_UNUSED(rc); /* the connection has it, and udp_finish_request looks there */
    }
    wfile_free(self->wfile);
    shs__free(self->rfile);
    self->wfile = NULL;
    self->rfile = NULL;
}
