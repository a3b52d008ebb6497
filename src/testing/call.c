/*
 * call.c - a handler called without a socket.
 *
 * It is a whole HTTPServer that is never bound, with one connection whose stream is the one in
 * memory, and a layer on top that answers "wait for the client" by being the client. So nothing of
 * a handler's world is imitated: guard, limits, framing, request ids and the connection are the
 * real ones. What is missing is the kernel and TLS.
 */
#include <arpa/inet.h>
#include <stdio.h>
#include <time.h>

#include "http/h1_exchange.h"
#include "server/server.h"
#include "testing/answer.h"

#define PIPE_BYTES ((size_t)256 * 1024)
#define REQUEST_MAX ((size_t)1 << 30)
#define CLIENT_PORT 1

struct call {
    struct shs_layer layer;
    struct shs_http_handler shim;
    const struct shs_http_handler *handler;
    struct shs_test_request request;
    struct shs_buf out; /* of the client, not sent yet */
    struct shs_stream *client, *served;
    struct shs_test_answer *answer;
    struct shs_exchange *x; /* while the handler runs */
    int64_t limit_ns;
    int handler_rc; /* what it returned; SHS_OK while it was not called */
    bool called;
    bool client_gone, server_gone;
    bool too_long, too_late;
    char why[sizeof((struct shs_error *)0)->text];
};

#define CALL(l) SHS_CONTAINER_OF(l, struct call, layer)

/* -- the client -------------------------------------------------------------------------------- */

/* Sends what there is room for. True if anything moved. */
static bool send_some(struct call *self)
{
    size_t put = 0;

    if (self->out.len == 0 || self->client_gone ||
        shs__stream_write(self->client, shs__buf_head(&self->out), self->out.len, &put) != SHS_OK)
        return false;
    shs__buf_consume(&self->out, put);
    return true;
}

static bool receive_some(struct call *self)
{
    char piece[16384];
    bool moved = false;
    size_t got = 0;
    int rc;

    while ((rc = shs__stream_read(self->client, piece, sizeof piece, &got)) == SHS_OK) {
        if (shs__buf_append(&self->answer->bytes, piece, got) != SHS_OK)
            self->too_long = true;
        moved = true;
    }
    self->server_gone = self->server_gone || rc == SHS_CLOSED;
    return moved;
}

/* The client has nothing more to say, and time passes. */
static int sleep_until(struct call *self, int64_t deadline_ns)
{
    int64_t until = deadline_ns < self->limit_ns ? deadline_ns : self->limit_ns;
    struct timespec at = {.tv_sec = until / SHS_NS_PER_S, .tv_nsec = until % SHS_NS_PER_S};

    while (clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &at, NULL) != 0)
        continue;
    if (until < deadline_ns)
        self->too_late = true;
    return self->too_late ? SHS_STOPPED : SHS_TIMEOUT;
}

/* The handler wants more of the body than the client has. */
static bool body_is_cut(const struct call *self)
{
    const struct shs_h1_exchange *x = SHS_H1_X(self->x);

    return x->reading && x->body.phase != SHS_BODY_DONE;
}

static int call_wait_request(struct shs_layer *layer, struct shs_conn *conn, int what)
{
    struct call *self = CALL(layer);
    bool got = receive_some(self), sent = send_some(self);

    if (self->too_long)
        return SHS_CLOSED;
    if ((what == SHS_WAIT_READ && sent) || (what == SHS_WAIT_WRITE && got))
        return SHS_OK;
    if (self->x != NULL && (what == SHS_WAIT_WRITE || !body_is_cut(self)))
        return sleep_until(self, conn->deadline_ns);
    if (self->client_gone)
        return SHS_TIMEOUT;
    self->client_gone = true; /* it has its answer, or will not get one */
    shs__stream_shutdown(self->client);
    return SHS_OK;
}

/* -- between the machine and the handler ------------------------------------------------------- */

static int shim_any(struct shs_request *req, struct shs_response *res)
{
    struct call *self = shs_request_ctx(req);

    self->called = true;
    self->x = req->x;
    self->handler_rc = shs_handler_call(self->handler, req, res);
    self->x = NULL;
    return self->handler_rc;
}

static void shim_log(void *log_ctx, const struct shs_access *access)
{
    struct call *self = log_ctx;

    if (access->error != NULL)
        snprintf(self->why, sizeof self->why, "%s", access->error);
    if (self->handler->log_request != NULL)
        self->handler->log_request(self->handler->log_ctx, access);
}

static void make_shim(struct call *self)
{
    self->shim = (struct shs_http_handler){
        .name = self->handler->name,
        .do_GET = shim_any,
        .do_HEAD = shim_any,
        .do_POST = shim_any,
        .do_PUT = shim_any,
        .do_PATCH = shim_any,
        .do_DELETE = shim_any,
        .do_OPTIONS = shim_any,
        .do_any = shim_any,
        .log_request = shim_log,
        .log_ctx = self,
        .ctx = self,
    };
}

/* -- putting it together ----------------------------------------------------------------------- */

/* There is no descriptor to shut down or to close. */
static void call_shutdown_request(struct shs_layer *layer, struct shs_conn *conn)
{
    shs_server_close_request(layer->server, conn);
}

static void call_close_request(struct shs_layer *layer, struct shs_conn *conn)
{
    SHS_UNUSED(layer);
    SHS_UNUSED(conn);
}

static const struct shs_server_ops call_ops = {
    .name = "TestCall",
    .shutdown_request = call_shutdown_request,
    .close_request = call_close_request,
    .wait_request = call_wait_request,
};

static struct shs_conn *make_conn(struct call *self, struct shs_server *server)
{
    struct sockaddr_in address = {.sin_family = AF_INET,
                                  .sin_port = htons(CLIENT_PORT),
                                  .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    struct shs_conn *conn =
        shs__conn_new(server, -1, (const struct sockaddr *)&address, sizeof address);

    if (conn == NULL)
        return NULL;
    if (shs__memory_stream_pair(&self->served, &self->client, PIPE_BYTES, 0) != SHS_OK) {
        shs__conn_free(conn);
        return NULL;
    }
    self->served->lower = conn->stream;
    shs__conn_push_stream(conn, self->served);
    shs__server_add_conn(server, conn);
    return conn;
}

static int make_server(struct call *self, struct shs_server **out, struct shs_error *err)
{
    struct shs_options opt;
    int rc;

    shs_options_init(&opt);
    rc = self->request.options == NULL
             ? SHS_OK
             : shs__sized_copy(&opt, sizeof opt, self->request.options, "shs_options", err);
    if (rc != SHS_OK)
        return rc;
    opt.bind_and_activate = false;
    opt.path = NULL;
    rc = shs_http_server_new(out, &opt, &self->shim, err);
    if (rc != SHS_OK)
        return rc;
    rc = shs_server_push(*out, &self->layer, &call_ops);
    if (rc != SHS_OK)
        shs_error_set(err, rc, 0, "A handler cannot be called: %s.", shs_err_text(rc));
    return rc;
}

/* The conversation of one request. */
static int converse(struct call *self, struct shs_server *server, struct shs_error *err)
{
    struct shs_conn *conn = make_conn(self, server);

    if (conn == NULL)
        return shs_error_set(err, SHS_NOMEM, 0, "Out of memory to call a handler.");
    (void)send_some(self);
    (void)shs_server_converse(server, conn);
    (void)receive_some(self);
    if (self->handler_rc == SHS_OK && conn->error != NULL)
        snprintf(self->why, sizeof self->why, "%s", conn->error->text);
    shs_server_shutdown_request(server, conn);
    (void)receive_some(self);
    return SHS_OK;
}

/* What of it the caller gets to know. */
static int conclude(struct call *self, struct shs_error *err)
{
    bool head = strcmp(self->request.method, "HEAD") == 0;
    int rc;

    if (self->too_long)
        return shs_error_set(err, SHS_LIMIT, 0, "The answer is longer than max_answer (%zu bytes).",
                             self->request.max_answer);
    if (self->too_late)
        return shs_error_set(err, SHS_TIMEOUT, 0, "The handler did not return within %u ms.",
                             self->request.limit_ms);
    if (self->called && self->handler_rc != SHS_OK)
        shs_error_set(&self->answer->error, self->handler_rc, 0, "%s",
                      self->why[0] != '\0' ? self->why : shs_err_text(self->handler_rc));
    else if (self->why[0] != '\0')
        shs_error_set(&self->answer->error, self->called ? SHS_USAGE : SHS_PROTO, 0, "%s",
                      self->why);
    rc = shs__test_answer_read(self->answer, head, self->server_gone, err);
    /* A handler that failed before it answered is what the caller wants to see. */
    if (rc == SHS_CLOSED && self->answer->error.code != SHS_OK)
        return SHS_OK;
    return rc;
}

static int prepare(struct call *self, const struct shs_http_handler *handler,
                   const struct shs_test_request *request, struct shs_error *err)
{
    int rc;

    memset(self, 0, sizeof *self);
    if (handler == NULL)
        return shs_error_set(err, SHS_USAGE, 0, "shs_test_call needs a handler.");
    rc = shs__test_request_take(&self->request, request, err);
    if (rc != SHS_OK)
        return rc;
    self->handler = handler;
    self->limit_ns = shs__deadline_after(shs_now_ns(), self->request.limit_ms);
    make_shim(self);
    shs__buf_init(&self->out, REQUEST_MAX);
    rc = shs__test_request_bytes(&self->out, &self->request, "localhost");
    if (rc != SHS_OK)
        return shs_error_set(err, rc, 0, "The request does not fit into memory.");
    self->answer = shs__test_answer_new(self->request.max_answer);
    return self->answer != NULL ? SHS_OK
                                : shs_error_set(err, SHS_NOMEM, 0, "Out of memory for an answer.");
}

int shs_test_call(struct shs_test_answer **out, const struct shs_http_handler *handler,
                  const struct shs_test_request *request, struct shs_error *err)
{
    struct shs_server *server = NULL;
    struct call self;
    int rc = prepare(&self, handler, request, err);

    if (rc == SHS_OK)
        rc = make_server(&self, &server, err);
    if (rc == SHS_OK)
        rc = converse(&self, server, err);
    if (rc == SHS_OK)
        rc = conclude(&self, err);
    shs_server_free(server);
    if (self.client != NULL)
        self.client->cls->free(self.client);
    shs__buf_free(&self.out);
    if (rc == SHS_OK)
        *out = self.answer;
    else
        shs_test_answer_free(self.answer);
    return rc;
}
