#include "tls/wire/mixin.h"

#include <poll.h>
#include <stdio.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <time.h>

#include "server/conn.h"
#include "server/server.h"
#include "tls/clients/client.h"
#include "tls/clients/clients.h"
#include "tls/clients/refusal.h"
#include "tls/config/site.h"
#include "tls/wire/elsewhere.h"
#include "tls/wire/failure.h"
#include "tls/wire/plain.h"
#include "tls/wire/stream.h"

#define MIXIN(l) SHS_CONTAINER_OF(l, struct shs_tls_mixin, layer)

/*
 * What is kept of a connection until its handshake is over, and longer for one that is refused. The
 * layer's own place in the connection has the stream: an idle connection costs nothing else.
 */
struct shs_tls_talk {
    struct shs_tls_failure failure; /* cause NONE: all is well */
    struct shs_conn_refusal refusal;
    struct shs_buf json; /* its text */
    bool counted;        /* in in_progress */
    bool excused;        /* its time began again, for we were not there */
};

/* -- failing ----------------------------------------------------------------------------------- */

static void leave(struct shs_tls_mixin *self, struct shs_tls_stream *tls)
{
    if (tls->talk != NULL && tls->talk->counted)
        atomic_fetch_sub_explicit(&self->in_progress, 1, memory_order_relaxed);
    if (tls->talk != NULL)
        tls->talk->counted = false;
}

static void drop_talk(struct shs_tls_stream *tls)
{
    if (tls->talk == NULL)
        return;
    shs__buf_free(&tls->talk->json);
    shs__free(tls->talk);
    tls->talk = NULL;
}

static void add(_Atomic uint64_t *counter)
{
    atomic_fetch_add_explicit(counter, 1, memory_order_relaxed);
}

static void count_failure(struct shs_tls_mixin *self, const struct shs_tls_failure *failure)
{
    add(&self->shared->causes[failure->cause]);
    if (failure->cause == SHS_TLS_CAUSE_CLIENT_CERT)
        add(&self->shared->client_reasons[failure->client_reason]);
    if (failure->cause == SHS_TLS_CAUSE_CLIENT_ALERT)
        add(&self->shared->client_alerts[failure->alert & 0xff]);
}

/* The handshake failed with `code`; afterwards shs_conn_error has the sentence, if there is one. */
static void fail(struct shs_tls_mixin *self, struct shs_conn *conn, struct shs_tls_stream *tls,
                 int code)
{
    leave(self, tls);
    shs__tls_failure_classify(&tls->talk->failure, tls, code);
    count_failure(self, &tls->talk->failure);
    /* A connection opened and closed without a byte is a health check, or a browser's guess. */
    if (tls->talk->failure.cause == SHS_TLS_CAUSE_PROBE)
        return;
    if (code == SHS_TIMEOUT)
        (void)shs_conn_fail(conn, code, 0, "TLS handshake not complete after %u ms",
                            shs_server_options(self->layer.server)->handshake_ms);
    else
        (void)shs__conn_fail_stream(conn, code);
}

/* The handshake failed: below, the alert (or the plain answer) goes out and the rest is drained. */
static int give_up(struct shs_tls_mixin *self, struct shs_conn *conn, struct shs_tls_stream *tls,
                   int code)
{
    fail(self, conn, tls, code);
    shs__conn_begin_linger(conn);
    return shs_super_finish_request(&self->layer, conn);
}

/* -- refusing in the words of the application -------------------------------------------------- */

/* A client that is not let in, and is told why by who speaks on the connection. */
static int explain(struct shs_tls_mixin *self, struct shs_conn *conn, struct shs_tls_stream *tls)
{
    static const char no_memory[] = "{\"error\":\"the server has no memory\"}\n";
    struct shs_tls_talk *talk = tls->talk;
    bool made = shs__tls_refusal_json(&talk->json, tls) == SHS_OK;

    talk->refusal = (struct shs_conn_refusal){
        .status = tls->client_reason == SHS_CLIENT_UNDECIDED ? 503 : 403,
        .type = "application/json",
        .text = {made ? shs__buf_head(&talk->json) : no_memory,
                 made ? talk->json.len : sizeof no_memory - 1},
    };
    conn->refusal = &talk->refusal;
    shs_conn_set_deadline(conn, INT64_MAX); /* the next phase sets its own */
    return shs_super_finish_request(&self->layer, conn);
}

/* A client that speaks no TLS. HTTP is told so in HTTP. */
static int answer_plainly(struct shs_tls_mixin *self, struct shs_conn *conn,
                          struct shs_tls_stream *tls)
{
    static const char text[] = "This port speaks HTTPS, and the request came as plain HTTP.\n"
                               "Use a URL that begins with https:// instead of http://";
    static const struct shs_conn_refusal refusal = {
        .status = 400,
        .type = "text/plain; charset=utf-8",
        .text = {text, sizeof text - 1},
        .names_https_url = true,
    };
    struct shs_stream *plain = NULL;

    fail(self, conn, tls, SHS_TLS);
    if (self->layer.server->protocol == NULL || shs__tls_plain_stream_new(&plain, tls) != SHS_OK) {
        shs__conn_begin_linger(conn);
    } else {
        shs__conn_push_stream(conn, plain);
        conn->refusal = &refusal;
        shs_conn_set_deadline(conn, INT64_MAX);
    }
    return shs_super_finish_request(&self->layer, conn);
}

/* -- the handshake ----------------------------------------------------------------------------- */

static int start(struct shs_tls_mixin *self, struct shs_conn *conn, struct shs_tls_stream **out)
{
    unsigned ms = shs_server_options(self->layer.server)->handshake_ms;
    struct shs_tls_talk *talk = shs__calloc(1, sizeof *talk);
    struct shs_tls_context *context;
    struct shs_tls_stream *tls = NULL;
    int rc;

    if (talk == NULL)
        return shs_conn_fail(conn, SHS_NOMEM, 0, "Out of memory for another TLS session.");
    shs__buf_init(&talk->json, SHS_TLS_REFUSAL_JSON_MAX);
    context = shs__tls_mixin_context(self);
    rc = shs__tls_stream_new(&tls, context, conn->stream);
    shs__tls_context_free(context);
    if (rc != SHS_OK) {
        shs__free(talk);
        return shs_conn_fail(conn, rc, 0, "Out of memory for another TLS session.");
    }
    tls->talk = talk;
    shs__conn_push_stream(conn, &tls->base);
    shs_conn_set(conn, &self->layer, tls);
    shs_conn_set_deadline(conn, shs__deadline_after(conn->accepted_ns, ms));
    talk->counted = true;
    atomic_fetch_add_explicit(&self->in_progress, 1, memory_order_relaxed);
    *out = tls;
    return SHS_OK;
}

/* More handshakes at once than there may be: this one ends before it costs anything. */
static int refuse_overload(struct shs_tls_mixin *self, struct shs_conn *conn,
                           struct shs_tls_stream *tls)
{
    leave(self, tls);
    tls->talk->failure.cause = SHS_TLS_CAUSE_OVERLOAD;
    tls->talk->failure.alert = -1;
    count_failure(self, &tls->talk->failure);
    return shs_conn_fail(conn, SHS_LIMIT, 0, "More than %u TLS handshakes at once.",
                         self->config.config.max_handshakes);
}

/*
 * Who ends his side before he has heard anything cannot complete a handshake, whatever he has said.
 * Where more come than can be served he has lost his patience, and the signature would be for
 * nobody.
 */
static bool has_gone(const struct shs_conn *conn, const struct shs_tls_stream *tls)
{
    struct pollfd peer = {.fd = conn->socket.fd, .events = POLLRDHUP};
    char byte;

    /* Not a byte, before a FIN or a RST: a probe, and that costs nothing. */
    return conn->hurried && tls->bio.bytes_in == 0 && poll(&peer, 1, 0) == 1 &&
           recv(peer.fd, &byte, 1, MSG_PEEK | MSG_DONTWAIT) > 0;
}

static int let_go(struct shs_tls_mixin *self, struct shs_conn *conn, struct shs_tls_stream *tls)
{
    leave(self, tls);
    tls->talk->failure.cause = SHS_TLS_CAUSE_GONE;
    tls->talk->failure.alert = -1;
    count_failure(self, &tls->talk->failure);
    return shs_conn_fail(conn, SHS_CLOSED, 0, "The client had hung up before it was its turn.");
}

/* Complete: but is the client one that is let in? */
static bool client_is_welcome(struct shs_tls_stream *tls)
{
    const struct shs_tls_site *site = tls->facts.site;
    bool has_cert = tls->facts.peer != NULL;

    if (site->clients->auth == SHS_TLS_CLIENT_NONE)
        return true;
    if (tls->client_reason == SHS_CLIENT_OK) {
        if (!has_cert && site->clients->auth != SHS_TLS_CLIENT_OPTIONAL)
            tls->client_reason = SHS_CLIENT_NONE;
        else if (has_cert && tls->facts.verify_result != X509_V_OK)
            tls->client_reason = (uint8_t)shs__tls_client_reason(tls->facts.verify_result);
    }
    return tls->client_reason == SHS_CLIENT_OK;
}

/* By the configuration of now: a name may have become another host's since the handshake. */
static bool is_elsewhere(const struct shs_conn_names *names, struct shs_conn *conn,
                         struct shs_str host)
{
    union {
        const struct shs_conn_names *from;
        struct shs_conn_names *to;
    } cast = {.from = names};
    struct shs_tls_mixin *self = SHS_CONTAINER_OF(cast.to, struct shs_tls_mixin, names);
    struct shs_tls_context *now = shs__tls_mixin_context(self);
    bool elsewhere = shs__tls_is_elsewhere(now, shs_conn_get(conn, &self->layer), host);

    shs__tls_context_free(now);
    return elsewhere;
}

/* Let in by its certificate, which may cease to count. */
static bool has_identity(const struct shs_tls_stream *tls)
{
    return tls->facts.site->clients->auth != SHS_TLS_CLIENT_NONE && tls->facts.peer != NULL;
}

/* Once: who looks into the key log for a session has to know that some are missing. */
static void report_keylog(struct shs_tls_mixin *self, struct shs_tls_context *context)
{
    int failed = atomic_load_explicit(&context->keylog_errno, memory_order_relaxed);
    char text[96];

    if (failed <= 0 || !atomic_compare_exchange_strong(&context->keylog_errno, &failed, -1))
        return;
    shs_server_log(self->layer.server, SHS_LOG_WARNING,
                   "The key log '%s' cannot be written: %s. Sessions are missing from it.",
                   self->config.config.keylog, shs__strerror(failed, text, sizeof text));
}

static void count_handshake(struct shs_tls_mixin *self, struct shs_tls_stream *tls)
{
    leave(self, tls);
    add(&self->shared->handshakes);
    report_keylog(self, tls->context);
    if (tls->facts.resumed)
        add(&self->shared->resumed);
    drop_talk(tls);
}

/* So much later than the deadline, nobody comes who had a core to do it with. */
#define NOT_THERE_MS 250u

/*
 * The time for the handshake is over. But a client whose bytes were there, while this process was
 * stopped or had no core, has been waiting for us: it has its time again, once.
 */
static bool is_excused(const struct shs_tls_mixin *self, struct shs_conn *conn,
                       struct shs_tls_stream *tls, uint64_t had)
{
    int64_t now = shs_now_ns();

    if (tls->talk->excused || conn->socket.bytes_in == had ||
        now < shs__deadline_after(shs_conn_deadline(conn), NOT_THERE_MS))
        return false;
    tls->talk->excused = true;
    shs_conn_set_deadline(
        conn, shs__deadline_after(now, shs_server_options(self->layer.server)->handshake_ms));
    return true;
}

static int handshake(struct shs_tls_mixin *self, struct shs_conn *conn, struct shs_tls_stream *tls)
{
    struct shs__conn_look look =
        shs__conn_look_begin(conn, shs_server_options(self->layer.server)->handshake_ms);
    int rc;

    if (has_gone(conn, tls))
        return let_go(self, conn, tls);
    rc = shs__tls_stream_handshake(tls);
    if (rc == SHS_OK && client_is_welcome(tls)) {
        count_handshake(self, tls);
        if (has_identity(tls) && shs__tls_recheck_begin(self, conn, tls) != SHS_OK)
            return shs_conn_fail(conn, SHS_NOMEM, 0, "Out of memory for a client's identity.");
        if (self->config.config.host_count > 1)
            conn->names = &self->names;
        shs_conn_set_deadline(conn, INT64_MAX); /* the next phase sets its own */
        return shs_super_finish_request(&self->layer, conn);
    }
    if (rc == SHS_OK) {
        struct shs_error err;

        leave(self, tls);
        shs__tls_failure_classify(&tls->talk->failure, tls, SHS_TLS);
        count_failure(self, &tls->talk->failure);
        shs__tls_refusal_text(&err, (enum shs_client_reason)tls->client_reason, tls->refusal);
        (void)shs_conn_fail(conn, SHS_TLS, 0, "%s", err.text);
        return explain(self, conn, tls);
    }
    if (rc < 0 && tls->why == SHS_TLS_WHY_PLAIN_HTTP)
        return answer_plainly(self, conn, tls);
    if (rc < 0)
        return give_up(self, conn, tls, rc);
    if (shs__conn_look_end(conn, &look) == SHS_OK || is_excused(self, conn, tls, look.had))
        return rc;
    fail(self, conn, tls, SHS_TIMEOUT);
    return SHS_TIMEOUT;
}

static int tls_finish_request(struct shs_layer *layer, struct shs_conn *conn)
{
    struct shs_tls_mixin *self = MIXIN(layer);
    struct shs_tls_stream *tls = shs_conn_get(conn, layer);
    int rc;

    if (tls == NULL) {
        rc = start(self, conn, &tls);
        if (rc != SHS_OK) /* nothing to say to the peer, and no memory to say it with */
            return rc;
        if (atomic_load_explicit(&self->in_progress, memory_order_relaxed) >
            self->config.config.max_handshakes)
            return refuse_overload(self, conn, tls);
    }
    if (shs__tls_is_established(tls) || tls->failed != SHS_OK)
        return shs_super_finish_request(layer, conn);
    return handshake(self, conn, tls);
}

/* -- telling ----------------------------------------------------------------------------------- */

/* The name in printable form; it is the client's. */
static void clean_name(const char *name, char *buf, size_t cap)
{
    size_t i;

    for (i = 0; name != NULL && name[i] != '\0' && i < cap - 1; i++)
        buf[i] =
            name[i] > ' ' && name[i] < 0x7f && name[i] != '"' && name[i] != '\\' ? name[i] : '?';
    buf[i] = '\0';
}

void shs__tls_mixin_tell(struct shs_tls_mixin *self, const struct shs_tls_stream *tls,
                         struct shs_tls_failure *failure, const char *text)
{
    const struct shs_tls_config *config = &self->config.config;
    char label[SHS_TLS_LABEL_MAX], name[256];

    shs__tls_failure_label(failure, label);
    clean_name(shs__tls_stream_sni(tls), name, sizeof name);
    failure->label = label;
    failure->text = text;
    failure->sni = name;
    failure->ja4 = tls->ja4 == NULL ? "" : tls->ja4;
    failure->cert_subject = tls->refusal == NULL ? "" : tls->refusal->leaf;
    failure->cert_sha256 = tls->refusal == NULL ? "" : tls->refusal->leaf_sha256;
    if (self->observe != NULL)
        self->observe(self->observe_ctx, failure);
    if (config->on_failure != NULL)
        config->on_failure(config->on_failure_ctx, failure);
    else
        shs_server_log(self->layer.server, SHS_LOG_INFO, "TLS %s %s port %u %s, %s: %s",
                       failure->open ? "connection of" : "handshake with",
                       shs_conn_client_host(failure->conn), shs_conn_client_port(failure->conn),
                       failure->open ? "ended" : "failed", label, text);
}

static void tls_handle_error(struct shs_layer *layer, struct shs_conn *conn,
                             const struct shs_error *err)
{
    struct shs_tls_stream *tls = conn == NULL ? NULL : shs_conn_get(conn, layer);

    if (tls == NULL && conn != NULL && conn->late)
        add(&MIXIN(layer)->shared->causes[SHS_TLS_CAUSE_OVERLOAD]);
    if (tls == NULL || tls->talk == NULL || tls->talk->failure.cause == SHS_TLS_CAUSE_NONE) {
        shs_super_handle_error(layer, conn, err);
        return;
    }
    tls->talk->failure.conn = conn;
    shs__tls_mixin_tell(MIXIN(layer), tls, &tls->talk->failure, err->text);
}

/* -- life -------------------------------------------------------------------------------------- */

/* The stream itself goes with the connection. */
static void tls_close_request(struct shs_layer *layer, struct shs_conn *conn)
{
    struct shs_tls_stream *tls = shs_conn_get(conn, layer);

    if (tls != NULL) {
        leave(MIXIN(layer), tls);
        shs__tls_recheck_end(tls->recheck);
        drop_talk(tls);
        shs_conn_set(conn, layer, NULL);
    }
    shs_super_close_request(layer, conn);
}

static int tls_server_close(struct shs_layer *layer)
{
    struct shs_tls_mixin *self = MIXIN(layer);
    int rc = shs_super_server_close(layer);

    shs__tls_keeper_stop(self->keeper);
    return rc;
}

static void free_mixin(struct shs_tls_mixin *self)
{
    shs__tls_keeper_free(self->keeper);
    shs__tls_mixin_free_retired(self);
    shs__tls_context_free(self->context);
    shs__tls_tickets_free(self->tickets);
    shs__tls_deny_free(self->deny);
    shs__tls_live_keylog_free(self->live);
    shs__tls_config_free(&self->config);
    shs__tls_rechecks_destroy(&self->rechecks);
    pthread_mutex_destroy(&self->lock);
    pthread_mutex_destroy(&self->reloading);
    pthread_mutex_destroy(&self->sweeping);
    if (self->shared != NULL)
        munmap(self->shared, sizeof *self->shared);
    shs__free(self);
}

static void tls_layer_free(struct shs_layer *layer)
{
    free_mixin(MIXIN(layer));
}

/* Serving begins, in this process: only now is a thread of use here. */
static void tls_begin_serving(struct shs_layer *layer)
{
    struct shs_tls_mixin *self = MIXIN(layer);
    struct shs_error err;

    if (self->keeper != NULL && shs__tls_keeper_start(self->keeper, &err) != SHS_OK)
        shs_server_log(layer->server, SHS_LOG_ERROR, "%s", err.text);
    if (self->keeper == NULL)
        self->due = shs__tls_mixin_advise_due(self, &self->advised);
}

/* Without a keeper the loop says what it would: that a certificate is about to end. */
static void tls_service_actions(struct shs_layer *layer)
{
    struct shs_tls_mixin *self = MIXIN(layer);

    if (self->keeper == NULL && shs__tls_mixin_is_due(self, self->due))
        self->due = shs__tls_mixin_advise_due(self, &self->advised);
}

static const struct shs_server_ops tls_ops = {
    .name = "TLSMixIn",
    .begin_serving = tls_begin_serving,
    .finish_request = tls_finish_request,
    .close_request = tls_close_request,
    .handle_error = tls_handle_error,
    .service_actions = tls_service_actions,
    .server_close = tls_server_close,
    .layer_free = tls_layer_free,
};

bool shs__tls_mixin_forked(const struct shs_tls_mixin *self)
{
    return self->layer.server->forked;
}

void shs__tls_mixin_hold_forks(struct shs_tls_mixin *self)
{
    pthread_mutex_lock(&self->layer.server->fork_lock);
}

void shs__tls_mixin_let_fork(struct shs_tls_mixin *self)
{
    pthread_mutex_unlock(&self->layer.server->fork_lock);
}

struct shs_tls_mixin *shs__tls_mixin_of(struct shs_server *server)
{
    struct shs_layer *layer = shs_server_layer(server, tls_ops.name);

    return layer == NULL || layer->ops != &tls_ops ? NULL : MIXIN(layer);
}

/* Zeroed; NULL when there is no memory. */
static struct shs_tls_shared *share_counters(void)
{
    void *memory = mmap(NULL, sizeof(struct shs_tls_shared), PROT_READ | PROT_WRITE,
                        MAP_SHARED | MAP_ANONYMOUS, -1, 0);

    return memory == MAP_FAILED ? NULL : memory;
}

/* Is a client that is not let in told why, by a host of it? */
static bool explains(const struct shs_tls_config *config)
{
    size_t i;

    for (i = 0; i < config->host_count; i++) {
        if (config->hosts[i].client_auth == SHS_TLS_CLIENT_EXPLAIN)
            return true;
    }
    return false;
}

int shs_tls_mixin_push_config(struct shs_server *self, const struct shs_tls_config *config,
                              struct shs_error *err)
{
    struct shs_tls_mixin *mixin;
    int rc;

    if (shs_server_socket_type(self) != SOCK_STREAM)
        return shs_error_set(err, SHS_USAGE, 0, "TLSMixIn needs a stream, and %s serves datagrams.",
                             shs_server_describe(self));
    if (shs_server_layer(self, tls_ops.name) != NULL)
        return shs_error_set(err, SHS_USAGE, 0, "TLSMixIn is pushed already: %s.",
                             shs_server_describe(self));
    if (shs_server_layer(self, "ProxyProtocolMixIn") != NULL)
        return shs_error_set(err, SHS_USAGE, 0,
                             "TLSMixIn is to be pushed before ProxyProtocolMixIn, whose header "
                             "comes before the handshake: %s.",
                             shs_server_describe(self));
    mixin = shs__calloc(1, sizeof *mixin);
    if (mixin == NULL)
        return shs_error_set(err, SHS_NOMEM, 0, "Out of memory for TLSMixIn.");
    pthread_mutex_init(&mixin->lock, NULL);
    pthread_mutex_init(&mixin->reloading, NULL);
    pthread_mutex_init(&mixin->sweeping, NULL);
    atomic_init(&mixin->valid_at, INT64_MAX);
    shs__tls_rechecks_init(&mixin->rechecks);
    rc = shs__tls_config_copy(&mixin->config, config, err);
    if (rc != SHS_OK)
        goto out;
    if (mixin->config.config.clock_offset_s == 0)
        mixin->config.config.clock_offset_s = shs_server_options(self)->clock_offset_s;
    if (explains(&mixin->config.config) && self->protocol == NULL) {
        rc = shs_error_set(err, SHS_USAGE, 0,
                           "client_auth explain needs an HTTP server, and %s is none: ask with "
                           "required or optional.",
                           shs_server_describe(self));
        goto out;
    }
    if (mixin->config.config.alpn == NULL) {
        mixin->protocols[0] = self->protocol;
        mixin->config.config.alpn = mixin->protocols;
    }
    mixin->shared = share_counters();
    if (mixin->shared == NULL || shs__tls_deny_new(&mixin->deny) != SHS_OK) {
        rc = shs_error_set(err, SHS_NOMEM, 0, "Out of memory for TLSMixIn.");
        goto out;
    }
    rc = shs__tls_tickets_new(&mixin->tickets, mixin->config.config.ticket_epoch_s);
    if (rc != SHS_OK) {
        shs_error_set(err, rc, 0, "%s", shs__tls_tickets_trouble(rc));
        goto out;
    }
    rc = shs__tls_mixin_load(mixin, err);
    if (rc != SHS_OK)
        goto out;
    if ((mixin->config.config.watch || mixin->config.config.reload_thread) &&
        shs__tls_keeper_new(&mixin->keeper, mixin) != SHS_OK) {
        rc = shs_error_set(err, SHS_NOMEM, 0, "Out of memory for TLSMixIn.");
        goto out;
    }
    rc = shs_server_push(self, &mixin->layer, &tls_ops);
    if (rc != SHS_OK) {
        shs_error_set(err, rc, 0, "TLSMixIn cannot be pushed now: %s.", shs_err_text(rc));
        goto out;
    }
    self->client_first = true;
    self->handshakes = true;
    mixin->names.elsewhere = is_elsewhere;
    mixin->advised = shs__wall_s(mixin->config.config.clock_offset_s);
    shs__tls_mixin_advise(mixin);
    return SHS_OK;
out:
    free_mixin(mixin);
    return rc;
}

int shs_tls_mixin_push(struct shs_server *self, struct shs_error *err)
{
    struct shs_tls_simple_config simple;

    shs__tls_simple_config(&simple, shs_server_options(self));
    return shs_tls_mixin_push_config(self, &simple.config, err);
}
