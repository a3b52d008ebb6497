/*
 * proxy_mixin.c - ProxyProtocolMixIn: the header before everything else, without waiting.
 *
 * The socket is looked at before it is read, so that nothing behind the header is taken; and what
 * was looked at and belongs to the header is taken at once, so that a poll tells of what comes
 * next.
 */
#include <limits.h>
#include <netdb.h>
#include <stdio.h>
#include <sys/mman.h>

#include "server/proxy_header.h"
#include "server/server.h"

#define MAX_HEADER_LEAST ((size_t)232) /* addresses of Unix sockets */
#define MAX_HEADER_MOST ((size_t)65551)
#define HEADER_ROOM 128u /* a line of version 1, and most headers of version 2 */
#define NAME_MAX_BYTES 112u

/* In memory that forked children have in common with their parent. */
struct shared {
    _Atomic uint64_t headers, local, direct, probes;
    _Atomic uint64_t causes[SHS_PROXY_CAUSE_COUNT];
};

struct proxy_mixin {
    struct shs_layer layer;
    struct shs__networks trusted;
    bool trust_unix, direct_clients;
    bool client_first; /* who speaks first, once the header is there */
    size_t max_header;
    struct shared *shared;
};

#define MIXIN(l) SHS_CONTAINER_OF(l, struct proxy_mixin, layer)

enum phase {
    HEADER, /* it is being read */
    FIRST,  /* what comes then must not be a header */
    OVER
};

/* What is kept of a connection: of one with a header for its life. */
struct talk {
    enum phase phase;
    bool has_header;
    uint8_t held;                    /* of `first` */
    char first[SHS_PROXY_FIRST_MAX]; /* taken already: it may be the beginning of a header */
    char *bytes;                     /* the header */
    size_t len, cap;
    struct shs_proxy_info info;
    char host[NAME_MAX_BYTES], to_host[NAME_MAX_BYTES];
};

static void add(_Atomic uint64_t *counter)
{
    atomic_fetch_add_explicit(counter, 1, memory_order_relaxed);
}

/* -- who may ----------------------------------------------------------------------------------- */

static bool is_trusted(const struct proxy_mixin *self, const struct shs_conn *conn)
{
    struct shs__address address;

    if (conn->client.sa.sa_family == AF_UNIX)
        return self->trust_unix;
    return shs__conn_address(conn, &address) && shs__networks_have(&self->trusted, &address);
}

static bool proxy_verify_request(struct shs_layer *layer, struct shs_conn *conn)
{
    struct proxy_mixin *self = MIXIN(layer);
    char peer[160];

    conn->fronted = is_trusted(self, conn);
    if (!conn->fronted && !self->direct_clients) {
        add(&self->shared->causes[SHS_PROXY_PEER]);
        shs_server_log(layer->server, SHS_LOG_INFO,
                       "connection from %s closed: it is in no network that is trusted to send a "
                       "PROXY protocol header. If it is a balancer, add its network; if clients "
                       "may come without one, allow direct clients",
                       shs__conn_client_text(conn, peer, sizeof peer));
        return false;
    }
    return shs_super_verify_request(layer, conn);
}

/* -- refusing ---------------------------------------------------------------------------------- */

static int refuse(struct proxy_mixin *self, struct shs_conn *conn, enum shs_proxy_cause cause,
                  const char *detail)
{
    unsigned ms = self->layer.server->opt.handshake_ms;

    add(&self->shared->causes[cause]);
    switch (cause) {
    case SHS_PROXY_FORGED:
        return shs_conn_fail(conn, SHS_PROTO, 0,
                             "it sent a PROXY protocol header, and is in no trusted network: if it "
                             "is a balancer, add its network");
    case SHS_PROXY_MISSING:
        return shs_conn_fail(conn, SHS_PROTO, 0,
                             "it is trusted to send a PROXY protocol header, and sent something "
                             "else: have it send one (haproxy: send-proxy-v2), or take its network "
                             "out of the trusted ones");
    case SHS_PROXY_MALFORMED:
    case SHS_PROXY_CHECKSUM:
        return shs_conn_fail(conn, SHS_PROTO, 0,
                             "its PROXY protocol header cannot be used: %s. Look at what the "
                             "balancer sends",
                             detail);
    case SHS_PROXY_TOO_LONG:
        return shs_conn_fail(conn, SHS_LIMIT, 0,
                             "its PROXY protocol header is longer than %s bytes: raise "
                             "max_header_bytes, or have the balancer say less",
                             detail);
    case SHS_PROXY_SECOND:
        return shs_conn_fail(conn, SHS_PROTO, 0,
                             "after the PROXY protocol header of %s came a second one: either the "
                             "client forges, or there are two balancers and both send one",
                             detail);
    case SHS_PROXY_TORN:
        return shs_conn_fail(conn, SHS_PROTO, 0,
                             "it ended in the middle of its PROXY protocol header: %s", detail);
    case SHS_PROXY_TIMEOUT:
        return shs_conn_fail(conn, SHS_TIMEOUT, 0,
                             "its PROXY protocol header was not complete after %u ms", ms);
    case SHS_PROXY_PEER:
    case SHS_PROXY_CAUSE_COUNT:
        break;
    }
    return shs_conn_fail(conn, SHS_PROTO, 0, "%s", detail);
}

static int refuse_number(struct proxy_mixin *self, struct shs_conn *conn,
                         enum shs_proxy_cause cause, size_t number)
{
    char text[32];

    snprintf(text, sizeof text, "%zu", number);
    return refuse(self, conn, cause, text);
}

/* -- what the header said ---------------------------------------------------------------------- */

static void name_address(const union shs__proxy_address *address, socklen_t len, char *host,
                         unsigned *port)
{
    char digits[8], *name;

    host[0] = '\0';
    *port = 0;
    if (address->sa.sa_family == AF_UNIX) {
        name = shs__unix_name(&address->sa, len);
        snprintf(host, NAME_MAX_BYTES, "%s", name == NULL ? "" : name);
        shs__free(name);
        return;
    }
    if (len == 0 || getnameinfo(&address->sa, len, host, NAME_MAX_BYTES, digits, sizeof digits,
                                NI_NUMERICHOST | NI_NUMERICSERV) != 0) {
        host[0] = '\0';
        return;
    }
    for (const char *c = digits; *c >= '0' && *c <= '9'; c++)
        *port = *port * 10 + (unsigned)(*c - '0');
}

/* The client is known now, and who counts clients is told. */
static int take_header(struct proxy_mixin *self, struct shs_conn *conn, struct talk *talk)
{
    struct shs_scheduler *scheduler = conn->server->scheduler;
    struct shs__proxy_header header;
    enum shs_proxy_cause cause;
    const char *wrong = shs__proxy_parse(talk->bytes, talk->len, &header, &cause);

    if (wrong != NULL)
        return refuse(self, conn, cause, wrong);
    add(&self->shared->headers);
    if (header.info.local)
        add(&self->shared->local);
    talk->info = header.info;
    talk->info.host = talk->host;
    talk->info.to_host = talk->to_host;
    snprintf(talk->host, sizeof talk->host, "%s", shs_conn_client_host(conn));
    talk->info.port = shs_conn_client_port(conn);
    name_address(&header.to, header.to_len, talk->to_host, &talk->info.to_port);
    talk->has_header = true;
    if (header.info.local)
        return SHS_OK;
    shs__conn_set_client(conn, &header.from.sa, header.from_len);
    return scheduler->ops->client_known == NULL ? SHS_OK
                                                : scheduler->ops->client_known(scheduler, conn);
}

/* -- reading it -------------------------------------------------------------------------------- */

/* Room for `cap` bytes; what is there stays. */
static int make_room(struct talk *talk, size_t cap)
{
    char *bytes;

    if (cap <= talk->cap)
        return SHS_OK;
    bytes = shs__realloc(talk->bytes, cap);
    if (bytes == NULL)
        return SHS_NOMEM;
    talk->bytes = bytes;
    talk->cap = cap;
    return SHS_OK;
}

/* Takes what was looked at: it is there. */
static int take(struct shs_conn *conn, char *to, size_t len)
{
    while (len > 0) {
        size_t got = 0;
        int rc = shs__stream_read(&conn->socket.base, to, len, &got);

        if (rc != SHS_OK)
            return rc;
        to += got;
        len -= got;
    }
    return SHS_OK;
}

/* The stream has ended, or there is nothing there. */
static int no_more(struct proxy_mixin *self, struct shs_conn *conn, const struct talk *talk, int rc)
{
    if (rc == SHS_WAIT_READ)
        return shs_now_ns() < conn->deadline_ns ? rc : refuse(self, conn, SHS_PROXY_TIMEOUT, "");
    if (rc != SHS_CLOSED && rc != SHS_RESET)
        return shs__conn_fail_stream(conn, rc);
    if (talk->len > 0)
        return refuse_number(self, conn, SHS_PROXY_TORN, talk->len);
    add(&self->shared->probes);
    return rc; /* nothing failed: nobody is told */
}

/* SHS_OK: the header is there and taken, and nothing else. */
static int read_header(struct proxy_mixin *self, struct shs_conn *conn, struct talk *talk)
{
    for (;;) {
        enum shs_proxy_cause cause = SHS_PROXY_MISSING;
        enum shs__proxy_look look;
        size_t got = 0, len = 0;
        int rc;

        rc = shs__socket_stream_peek(&conn->socket, talk->bytes + talk->len, talk->cap - talk->len,
                                     &got);
        if (rc != SHS_OK)
            return no_more(self, conn, talk, rc);
        look = shs__proxy_look(talk->bytes, talk->len + got, self->max_header, &len, &cause);
        if (look == SHS__PROXY_BAD)
            return cause == SHS_PROXY_TOO_LONG
                       ? refuse_number(self, conn, cause,
                                       talk->bytes[0] == 'P' ? SHS_PROXY_V1_MAX : self->max_header)
                       : refuse(self, conn, cause, "it is not of the form of version 1 or 2");
        if (look == SHS__PROXY_WHOLE)
            got = len - talk->len;
        rc = take(conn, talk->bytes + talk->len, got);
        if (rc != SHS_OK)
            return shs__conn_fail_stream(conn, rc);
        talk->len += got;
        if (look == SHS__PROXY_WHOLE)
            return take_header(self, conn, talk);
        if (make_room(talk, len) != SHS_OK)
            return shs_conn_fail(conn, SHS_NOMEM, 0, "out of memory for a PROXY protocol header");
    }
}

/* -- what comes then --------------------------------------------------------------------------- */

/* It is not a header: what was taken of it is given back. */
static int go_on(struct shs_conn *conn, struct talk *talk)
{
    struct shs_stream *replay;

    talk->phase = OVER;
    shs_conn_set_deadline(conn, INT64_MAX); /* the next phase sets its own */
    if (talk->held == 0)
        return SHS_OK;
    if (shs__replay_stream_new(&replay, conn->stream, talk->first, talk->held) != SHS_OK)
        return shs_conn_fail(conn, SHS_NOMEM, 0, "out of memory for another connection");
    shs__conn_push_stream(conn, replay);
    return SHS_OK;
}

static int look_at_first(struct proxy_mixin *self, struct shs_conn *conn, struct talk *talk)
{
    for (;;) {
        size_t got = 0;
        int rc = shs__socket_stream_peek(&conn->socket, talk->first + talk->held,
                                         sizeof talk->first - talk->held, &got);

        /* Whoever comes next finds the end, and knows what it means. */
        if (rc == SHS_WAIT_READ && self->client_first && shs_now_ns() < conn->deadline_ns)
            return rc;
        if (rc != SHS_OK)
            return go_on(conn, talk);
        switch (shs__proxy_look_first(talk->first, talk->held + got)) {
        case SHS__PROXY_WHOLE:
            return talk->has_header ? refuse(self, conn, SHS_PROXY_SECOND, talk->host)
                                    : refuse(self, conn, SHS_PROXY_FORGED, "");
        case SHS__PROXY_BAD:
            return go_on(conn, talk);
        case SHS__PROXY_PART:
            break;
        }
        if (!self->client_first)
            return go_on(conn, talk);
        rc = take(conn, talk->first + talk->held, got);
        talk->held = (uint8_t)(talk->held + (rc == SHS_OK ? got : 0));
        if (rc != SHS_OK)
            return go_on(conn, talk);
    }
}

/* -- the layer --------------------------------------------------------------------------------- */

static void talk_free(struct talk *talk)
{
    if (talk == NULL)
        return;
    shs__free(talk->bytes);
    shs__free(talk);
}

/* Before the first byte. */
static int begin(struct proxy_mixin *self, struct shs_conn *conn, struct talk **out)
{
    struct talk *talk = shs__calloc(1, sizeof *talk);

    if (talk == NULL || (conn->fronted && make_room(talk, HEADER_ROOM) != SHS_OK)) {
        talk_free(talk);
        return shs_conn_fail(conn, SHS_NOMEM, 0, "out of memory for another connection");
    }
    talk->phase = conn->fronted ? HEADER : FIRST;
    shs_conn_set(conn, &self->layer, talk);
    shs_conn_set_deadline(
        conn, shs__deadline_after(conn->accepted_ns, self->layer.server->opt.handshake_ms));
    *out = talk;
    return SHS_OK;
}

static int advance(struct proxy_mixin *self, struct shs_conn *conn, struct talk *talk)
{
    int rc;

    if (talk->phase == HEADER) {
        rc = read_header(self, conn, talk);
        if (rc != SHS_OK)
            return rc;
        talk->phase = FIRST;
    }
    rc = look_at_first(self, conn, talk);
    if (rc != SHS_OK || talk->has_header)
        return rc;
    add(&self->shared->direct);
    talk_free(talk);
    shs_conn_set(conn, &self->layer, self); /* nothing is kept of it */
    return SHS_OK;
}

static int proxy_finish_request(struct shs_layer *layer, struct shs_conn *conn)
{
    struct proxy_mixin *self = MIXIN(layer);
    void *kept = shs_conn_get(conn, layer);
    struct talk *talk = kept == self ? NULL : kept;
    int rc = SHS_OK;

    if (kept == NULL)
        rc = begin(self, conn, &talk);
    if (rc == SHS_OK && talk != NULL && talk->phase != OVER) {
        rc = advance(self, conn, talk);
        if (rc == SHS_CLOSED || rc == SHS_RESET) /* a probe */
            return conn->error == NULL ? SHS_OK : rc;
    }
    return rc == SHS_OK ? shs_super_finish_request(layer, conn) : rc;
}

static void proxy_close_request(struct shs_layer *layer, struct shs_conn *conn)
{
    if (shs_conn_get(conn, layer) != MIXIN(layer))
        talk_free(shs_conn_get(conn, layer));
    shs_conn_set(conn, layer, NULL);
    shs_super_close_request(layer, conn);
}

static void mixin_free(struct proxy_mixin *self)
{
    shs__networks_free(&self->trusted);
    if (self->shared != NULL)
        munmap(self->shared, sizeof *self->shared);
    shs__free(self);
}

static void proxy_layer_free(struct shs_layer *layer)
{
    mixin_free(MIXIN(layer));
}

static const struct shs_server_ops proxy_ops = {
    .name = "ProxyProtocolMixIn",
    .any_thread = true,
    .verify_request = proxy_verify_request,
    .finish_request = proxy_finish_request,
    .close_request = proxy_close_request,
    .layer_free = proxy_layer_free,
};

static struct proxy_mixin *mixin_of(const struct shs_server *server)
{
    union {
        const struct shs_server *from;
        struct shs_server *to;
    } cast = {.from = server};
    struct shs_layer *layer = shs_server_layer(cast.to, proxy_ops.name);

    return layer == NULL || layer->ops != &proxy_ops ? NULL : MIXIN(layer);
}

/* -- making one -------------------------------------------------------------------------------- */

void shs_proxy_options_init_sized(struct shs_proxy_options *opt, size_t size)
{
    struct shs_proxy_options defaults = {.size = size, .max_header_bytes = 4096};

    shs__sized_init(opt, size, &defaults, sizeof defaults);
}

static int check(struct shs_server *self, const struct shs_proxy_options *opt,
                 struct shs_error *err)
{
    if (shs_server_socket_type(self) != SOCK_STREAM)
        return shs_error_set(err, SHS_USAGE, 0,
                             "ProxyProtocolMixIn needs a stream, and %s serves datagrams",
                             shs_server_describe(self));
    if (mixin_of(self) != NULL)
        return shs_error_set(err, SHS_USAGE, 0, "ProxyProtocolMixIn is pushed already: %s",
                             shs_server_describe(self));
    if ((opt->trusted == NULL || opt->trusted[0] == NULL) && !opt->trust_unix)
        return shs_error_set(err, SHS_USAGE, 0,
                             "nobody is trusted to send a PROXY protocol header: name the networks "
                             "of the balancers, or trust peers at the Unix socket");
    if (opt->max_header_bytes < MAX_HEADER_LEAST || opt->max_header_bytes > MAX_HEADER_MOST)
        return shs_error_set(err, SHS_USAGE, 0,
                             "max_header_bytes is %zu, and has to be from %zu to %zu",
                             opt->max_header_bytes, MAX_HEADER_LEAST, MAX_HEADER_MOST);
    return SHS_OK;
}

int shs_proxy_protocol_mixin_push(struct shs_server *self, const struct shs_proxy_options *opt,
                                  struct shs_error *err)
{
    struct shs_proxy_options mine;
    struct proxy_mixin *mixin;
    void *memory;
    int rc;

    shs_proxy_options_init(&mine);
    rc = shs__sized_copy(&mine, sizeof mine, opt, "shs_proxy_options", err);
    if (rc == SHS_OK)
        rc = check(self, &mine, err);
    if (rc != SHS_OK)
        return rc;
    mixin = shs__calloc(1, sizeof *mixin);
    memory = mixin == NULL ? MAP_FAILED
                           : mmap(NULL, sizeof(struct shared), PROT_READ | PROT_WRITE,
                                  MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (memory == MAP_FAILED) {
        shs__free(mixin);
        return shs_error_set(err, SHS_NOMEM, 0, "out of memory for ProxyProtocolMixIn");
    }
    mixin->shared = memory;
    mixin->trust_unix = mine.trust_unix;
    mixin->direct_clients = mine.direct_clients;
    mixin->max_header = mine.max_header_bytes;
    mixin->client_first = self->client_first;
    rc = shs__networks_read(&mixin->trusted, mine.trusted, err);
    if (rc == SHS_OK) {
        rc = shs_server_push(self, &mixin->layer, &proxy_ops);
        if (rc != SHS_OK)
            shs_error_set(err, rc, 0, "ProxyProtocolMixIn cannot be pushed now: %s",
                          shs_err_text(rc));
    }
    if (rc != SHS_OK)
        mixin_free(mixin);
    else if (!mixin->direct_clients)
        self->client_first = true; /* whoever comes begins with a header */
    return rc;
}

/* -- looking ----------------------------------------------------------------------------------- */

const char *shs_proxy_cause_label(enum shs_proxy_cause cause)
{
    switch (cause) {
    case SHS_PROXY_PEER:
        return "peer";
    case SHS_PROXY_FORGED:
        return "forged";
    case SHS_PROXY_MISSING:
        return "missing";
    case SHS_PROXY_MALFORMED:
        return "malformed";
    case SHS_PROXY_TOO_LONG:
        return "too-long";
    case SHS_PROXY_CHECKSUM:
        return "checksum";
    case SHS_PROXY_SECOND:
        return "second";
    case SHS_PROXY_TORN:
        return "torn";
    case SHS_PROXY_TIMEOUT:
        return "timeout";
    case SHS_PROXY_CAUSE_COUNT:
        break;
    }
    return "";
}

bool shs_proxy_get_stats(const struct shs_server *self, struct shs_proxy_stats *out)
{
    const struct proxy_mixin *mixin = mixin_of(self);

    memset(out, 0, sizeof *out);
    if (mixin == NULL)
        return false;
    out->headers = atomic_load_explicit(&mixin->shared->headers, memory_order_relaxed);
    out->local = atomic_load_explicit(&mixin->shared->local, memory_order_relaxed);
    out->direct = atomic_load_explicit(&mixin->shared->direct, memory_order_relaxed);
    out->probes = atomic_load_explicit(&mixin->shared->probes, memory_order_relaxed);
    for (int i = 0; i < SHS_PROXY_CAUSE_COUNT; i++)
        out->causes[i] = atomic_load_explicit(&mixin->shared->causes[i], memory_order_relaxed);
    return true;
}

const struct shs_proxy_info *shs_conn_proxy(const struct shs_conn *conn)
{
    const struct proxy_mixin *mixin = conn->fronted ? mixin_of(conn->server) : NULL;
    const struct talk *talk = mixin == NULL ? NULL : shs_conn_get(conn, &mixin->layer);

    return talk == NULL || !talk->has_header ? NULL : &talk->info;
}
