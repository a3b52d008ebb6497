/*
 * http_server.c - HTTPServer: TCPServer whose request handler speaks HTTP.
 *
 * The layer holds the handler class itself, so that a handler instance finds its server's
 * configuration from its class. What the instance adds is the machine of h1.c.
 *
 * Follows CPython Lib/http/server.py HTTPServer and BaseHTTPRequestHandler.
 */
#include <errno.h>
#include <stdatomic.h>
#include <sys/random.h>
#include <unistd.h>

#include <shs/forwarded.h>
#include <shs/http.h>

#include "http/guard.h"
#include "http/h1.h"
#include "http_server/trusted_proxies.h"
#include "server/activity.h"
#include "server/server.h"

struct http_server {
    struct shs_layer layer;
    struct shs_request_handler_class cls;
    struct shs_http_handler handler; /* a copy: one pointer less per request */
    struct shs_h1_config config;
    struct shs_second_texts dates;
    struct shs__trusted_proxies *proxies; /* NULL: none is believed */
    uint64_t id_base;                     /* random: of this process */
    pid_t id_pid;
    atomic_uint_fast64_t connections;
};

/* Python's BaseHTTPRequestHandler, one per connection. */
struct http_request_handler {
    struct shs_request_handler base;
    struct shs_h1 h1;
    uint64_t id[2]; /* for the ids of its requests */
};

#define HANDLER(h) SHS_CONTAINER_OF(h, struct http_request_handler, base)

static struct http_server *server_of(const struct http_request_handler *self)
{
    struct shs_request_handler_class *cls = (struct shs_request_handler_class *)self->base.cls;

    return SHS_CONTAINER_OF(cls, struct http_server, cls);
}

/* -- what h1 asks of us ------------------------------------------------------------------------ */

static int host_wait(void *owner, int what, int64_t deadline_ns)
{
    struct http_request_handler *self = owner;
    struct shs_conn *conn = self->base.request;
    int64_t before = shs_conn_deadline(conn);
    int rc;

    shs_conn_set_deadline(conn, deadline_ns);
    rc = shs_server_wait_request(self->base.server, conn, what);
    shs_conn_set_deadline(conn, before);
    return rc;
}

static void host_set_wake(void *owner, int fd)
{
    struct http_request_handler *self = owner;

    self->base.request->wake_fd = fd;
}

static void host_set_deadline(void *owner, int64_t deadline_ns)
{
    struct http_request_handler *self = owner;

    shs_conn_set_deadline(self->base.request, deadline_ns);
}

static int64_t host_deadline(void *owner)
{
    const struct http_request_handler *self = owner;

    return shs_conn_deadline(self->base.request);
}

static void host_set_idle(void *owner, bool idle)
{
    struct http_request_handler *self = owner;

    shs_conn_set_idle(self->base.request, idle);
}

static void host_needs_no_linger(void *owner)
{
    struct http_request_handler *self = owner;

    self->base.request->no_linger = true;
}

static void host_must_reset(void *owner)
{
    struct http_request_handler *self = owner;

    self->base.request->torn = true;
}

static bool host_stopping(void *owner)
{
    const struct http_request_handler *self = owner;

    return shs__conn_stopping(self->base.request);
}

static bool host_draining(void *owner)
{
    const struct http_request_handler *self = owner;

    return shs_server_draining(self->base.server);
}

static void host_answered(void *owner)
{
    const struct http_request_handler *self = owner;

    shs__drain_served(self->base.server);
}

/* No worker is left for a handler: the client may come back soon. */
static int refuse_overload(struct shs_response *res)
{
    SHS_RETURN_IF_ERROR(shs_response_stand(res, "Retry-After", "1"));
    return shs_send_error(res, 503, "This server is too busy. Please try again in a moment.");
}

/* ": https://box.example:8443/a", made of what the client has asked for. */
static int write_https_url(struct shs_request *req, struct shs_response *res)
{
    struct shs_str host = shs_request_host(req);

    if (host.len == 0)
        return shs_write(res, ".\n", 2);
    SHS_RETURN_IF_ERROR(shs_write(res, ": https://", 10));
    SHS_RETURN_IF_ERROR(shs_write(res, host.ptr, host.len));
    return shs_write(res, "/\n", 2);
}

/* A layer below does not let this client in: no handler is reached. */
static int refuse_client(const struct shs_conn_refusal *refusal, struct shs_request *req,
                         struct shs_response *res)
{
    SHS_RETURN_IF_ERROR(shs_send_response(res, refusal->status));
    SHS_RETURN_IF_ERROR(shs_send_header(res, "Content-Type", refusal->type));
    SHS_RETURN_IF_ERROR(shs_send_header(res, "Cache-Control", "no-store"));
    SHS_RETURN_IF_ERROR(shs_send_header(res, "Connection", "close"));
    SHS_RETURN_IF_ERROR(shs_end_headers(res));
    if (refusal->text.len > 0)
        SHS_RETURN_IF_ERROR(shs_write(res, refusal->text.ptr, refusal->text.len));
    return refusal->names_https_url ? write_https_url(req, res) : SHS_OK;
}

/* RFC 9110, 15.5.20: this connection was made by the rules of another name. */
static bool is_misdirected(struct shs_conn *conn, const struct shs_request *req)
{
    return conn->names != NULL && conn->names->elsewhere(conn->names, conn, shs_request_host(req));
}

static int refuse_misdirected(struct shs_response *res)
{
    return shs_send_page(res, 421,
                         "This connection was made for another name, and the one that was asked "
                         "for has other rules. Ask for it on a connection of its own.");
}

static bool host_turn_over(void *owner)
{
    struct http_request_handler *self = owner;
    struct shs_conn *conn = self->base.request;

    return conn->turn > 0 && --conn->turn == 0;
}

/* Those who look on are told which request it is. */
static void begin_request(const struct http_request_handler *self, struct shs_activity *activity,
                          const struct shs_head *head)
{
    struct shs_conn_watch *watch = self->base.request->watch;

    shs__activity_name(activity, head->method, head->path);
    if (watch != NULL)
        watch->begin(watch, head->method, head->path);
}

/* Fields in which anybody can say that he is a proxy: before anybody looks at the request, or says
   whose it was. SHS_OK; SHS_PROTO with *why; SHS_NOMEM. */
static int take_forwarded(const struct http_request_handler *self, struct shs_exchange *x,
                          const char **why)
{
    if (!x->req.head.forwarded)
        return SHS_OK;
    x->req.head.forwarded = false;
    return shs__trusted_proxies_take(server_of(self)->proxies, self->base.request, &x->req, why);
}

static void host_refused(void *owner, struct shs_exchange *x)
{
    const char *why = NULL;

    (void)take_forwarded(owner, x, &why);
}

/* Python's handle_one_request. */
static int host_dispatch(void *owner, struct shs_exchange *x)
{
    struct http_request_handler *self = owner;
    const struct shs_http_handler *handler = &server_of(self)->handler;
    struct shs_activity *activity = self->base.request->activity;
    const char *why = NULL;
    int rc;

    x->conn = self->base.request;
    rc = take_forwarded(self, x, &why);
    if (self->base.request->refusal != NULL)
        return refuse_client(self->base.request->refusal, &x->req, &x->res);
    if (self->base.request->overloaded)
        return refuse_overload(&x->res);
    if (rc != SHS_OK)
        return rc == SHS_PROTO ? shs_send_page(&x->res, 400, why) : rc;
    if (!x->req.sink_over && is_misdirected(self->base.request, &x->req))
        return refuse_misdirected(&x->res);
    if (!x->req.sink_over)
        begin_request(self, activity, &x->req.head);
    shs__activity_enter(activity, shs__activity_route(x->req.head.method, x->req.head.path));
    rc = x->req.sink_over ? shs__sink_done(&x->req, &x->res)
                          : shs_handler_call(handler, &x->req, &x->res);
    shs__activity_leave(activity);
    return rc;
}

/* What is done to a body is another thing than what its handler did, and counted apart. */
#define ROUTE_OF_BODY 0x6b

static void host_enter_body(void *owner, const struct shs_exchange *x)
{
    struct http_request_handler *self = owner;
    struct shs_activity *activity = self->base.request->activity;
    const struct shs_head *head = &x->req.head;

    shs__activity_name(activity, head->method, head->path);
    shs__activity_enter(activity, shs__activity_route(head->method, head->path) ^ ROUTE_OF_BODY);
}

static void host_leave_body(void *owner)
{
    struct http_request_handler *self = owner;

    shs__activity_leave(self->base.request->activity);
}

static void host_log(void *owner, const struct shs_access *access)
{
    struct http_request_handler *self = owner;
    const struct shs_http_handler *handler = &server_of(self)->handler;
    struct shs_access line;

    self->base.request->served++;
    if (access == NULL)
        return;
    line = *access;
    line.conn = self->base.request;
    if (line.conn->watch != NULL)
        line.conn->watch->end(line.conn->watch, &line);
    if (handler->log_request != NULL)
        handler->log_request(handler->log_ctx, &line);
}

static bool host_log_is_read(void *owner)
{
    struct http_request_handler *self = owner;

    return server_of(self)->handler.log_request != NULL || self->base.request->watch != NULL;
}

static void host_identify(void *owner, uint64_t numbers[2])
{
    const struct http_request_handler *self = owner;

    numbers[0] = self->id[0];
    numbers[1] = self->id[1];
}

static void host_note(void *owner, const char *text)
{
    struct http_request_handler *self = owner;
    char client[160];

    if (shs_server_log_level(self->base.server, NULL) < SHS_LOG_DEBUG)
        return;
    shs_server_log(self->base.server, SHS_LOG_DEBUG, "connection of %s ended: %s",
                   shs__conn_client_text(self->base.request, client, sizeof client), text);
}

static void host_mistake(void *owner, const char *text)
{
    struct http_request_handler *self = owner;

    shs_server_log(self->base.server, SHS_LOG_ERROR, "%s", text);
}

static int64_t host_there_since(void *owner)
{
    const struct http_request_handler *self = owner;

    return self->base.request->socket.there_ns;
}

static int host_fail(void *owner, int code, bool stream, const char *text)
{
    struct http_request_handler *self = owner;

    if (stream)
        return shs__conn_fail_stream(self->base.request, code);
    return shs_conn_fail(self->base.request, code, 0, "%s",
                         text != NULL ? text : shs_err_text(code));
}

static const struct shs_h1_host h1_host = {
    .wait = host_wait,
    .set_wake = host_set_wake,
    .set_deadline = host_set_deadline,
    .deadline = host_deadline,
    .set_idle = host_set_idle,
    .needs_no_linger = host_needs_no_linger,
    .must_reset = host_must_reset,
    .stopping = host_stopping,
    .draining = host_draining,
    .answered = host_answered,
    .turn_over = host_turn_over,
    .dispatch = host_dispatch,
    .refused = host_refused,
    .enter_body = host_enter_body,
    .leave_body = host_leave_body,
    .log = host_log,
    .log_is_read = host_log_is_read,
    .there_since = host_there_since,
    .identify = host_identify,
    .note = host_note,
    .mistake = host_mistake,
    .fail = host_fail,
};

/* -- the handler class ------------------------------------------------------------------------- */

/* A child of ForkingMixIn has its parent's counter, and so a random number of its own. */
static void identify_connection(struct http_server *http, struct http_request_handler *self)
{
    self->id[0] = http->id_base;
    self->id[1] = atomic_fetch_add_explicit(&http->connections, 1, memory_order_relaxed) + 1;
    if (getpid() != http->id_pid &&
        getrandom(&self->id[0], sizeof self->id[0], GRND_NONBLOCK) != (ssize_t)sizeof self->id[0])
        self->id[0] = http->id_base ^ (uint64_t)getpid();
}

static int http_setup(struct shs_request_handler *base)
{
    struct http_request_handler *self = HANDLER(base);

    identify_connection(server_of(self), self);
    shs__h1_init(&self->h1, &server_of(self)->config, base->request->stream, self);
    /* Who is silent need not have been looked at before: the time runs from accept. With TLS it
       runs from the end of the handshake, which has a deadline of its own. */
    if (base->request->stream == &base->request->socket.base)
        host_set_deadline(self, shs__deadline_after(base->request->accepted_ns,
                                                    server_of(self)->config.opt->head_ms));
    return SHS_OK;
}

static int http_handle(struct shs_request_handler *base)
{
    return shs__h1_step(&HANDLER(base)->h1);
}

/* Whoever drives a conversation may end it at any time: the server stops, or waiting failed. */
static void http_finish(struct shs_request_handler *base)
{
    struct shs_h1 *h1 = &HANDLER(base)->h1;
    const struct shs_error *err = shs_conn_error(base->request);
    bool stops = err->code == SHS_OK || host_stopping(HANDLER(base));

    shs__h1_cut(h1, stops ? shs_err_text(SHS_STOPPED) : err->text);
    shs__h1_free(h1);
}

/* -- the server class -------------------------------------------------------------------------- */

static void http_layer_free(struct shs_layer *layer)
{
    struct http_server *http = SHS_CONTAINER_OF(layer, struct http_server, layer);

    shs__trusted_proxies_free(http->proxies);
    shs__free(http);
}

static const struct shs_server_ops http_server_ops = {
    .name = "HTTPServer",
    .layer_free = http_layer_free,
};

struct shs__trusted_proxies **shs__trusted_proxies_of(struct shs_server *server)
{
    struct shs_layer *layer = shs_server_layer(server, http_server_ops.name);

    return layer == NULL || layer->ops != &http_server_ops
               ? NULL
               : &SHS_CONTAINER_OF(layer, struct http_server, layer)->proxies;
}

static int check_options(const struct shs_options *opt, struct shs_error *err)
{
    if (opt->max_headers == 0 || opt->max_headers > 10000)
        return shs_error_set(err, SHS_USAGE, 0, "max_headers must be from 1 to 10000");
    if (opt->max_head_bytes < 64 || opt->max_head_bytes > (size_t)16 * 1024 * 1024)
        return shs_error_set(err, SHS_USAGE, 0, "max_head_bytes must be from 64 to 16 MiB");
    if (opt->request_id_field != NULL && !shs_is_token(shs__str(opt->request_id_field)))
        return shs_error_set(err, SHS_USAGE, 0, "request_id_field is not the name of a field");
    return SHS_OK;
}

int shs_http_server_new(struct shs_server **out, const struct shs_options *opt,
                        const struct shs_http_handler *handler, struct shs_error *err)
{
    struct http_server *http;
    struct shs_server *self = NULL;
    struct shs_options taken;
    int rc = shs__options_take(&taken, opt, err);

    if (rc == SHS_OK)
        rc = check_options(&taken, err);
    if (rc != SHS_OK)
        return rc;
    if (out == NULL)
        return shs_error_set(err, SHS_USAGE, 0, "there is no place for the server: out is NULL");
    if (handler == NULL)
        return shs_error_set(err, SHS_USAGE, 0, "an HTTP server needs a handler");
    http = shs__calloc(1, sizeof *http);
    if (http == NULL)
        return shs_error_set(err, SHS_NOMEM, 0, "out of memory for HTTPServer");
    http->handler = *handler;
    http->id_pid = getpid();
    if (getrandom(&http->id_base, sizeof http->id_base, GRND_NONBLOCK) !=
        (ssize_t)sizeof http->id_base)
        http->id_base = (uint64_t)shs_now_ns();
    http->cls = (struct shs_request_handler_class){
        .name = handler->name != NULL ? handler->name : "HTTP",
        .instance_size = sizeof(struct http_request_handler),
        .setup = http_setup,
        .handle = http_handle,
        .finish = http_finish,
        .refuses = true,
    };
    rc = shs__server_new(&self, &taken, &http->cls, err);
    if (rc != SHS_OK) {
        shs__free(http);
        return rc;
    }
    self->opt.allow_reuse_address = true;
    self->client_first = true;
    self->protocol = "http/1.1";
    shs__h1_config_init(&http->config, &self->opt, &h1_host);
    http->config.dates = &http->dates;
    rc = shs__stream_server_push(self);
    if (rc == SHS_OK)
        rc = shs_server_push(self, &http->layer, &http_server_ops);
    if (rc != SHS_OK) {
        if (err != NULL)
            *err = self->error;
        shs__free(http);
        shs_server_free(self);
        return rc;
    }
    rc = shs__server_finish_new(&self, err);
    if (rc == SHS_OK)
        *out = self;
    return rc;
}
