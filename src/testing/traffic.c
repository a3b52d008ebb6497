/*
 * traffic.c - what passes through a test server: connections, handshakes and requests, each met by
 * the rules and written down.
 */
#include <stdatomic.h>
#include <stdio.h>

#include "testing/server.h"

#define TEST(l) SHS_CONTAINER_OF(l, struct shs_test_server, layer)

/* -- connections ------------------------------------------------------------------------------- */

static struct shs_test_conn *conn_of(struct shs_test_server *self, struct shs_conn *conn)
{
    return shs_conn_get(conn, &self->layer);
}

static bool is_stopping(void *ctx)
{
    return shs_server_stopping(((struct shs_conn *)ctx)->server);
}

/* The peer waits for the next byte, and cannot be late meanwhile. */
static void put_off(void *ctx, int64_t took_ns)
{
    struct shs_conn *conn = ctx;
    int64_t deadline = shs_conn_deadline(conn);

    if (deadline < INT64_MAX - took_ns)
        shs_conn_set_deadline(conn, deadline + took_ns);
}

/* The first that anybody sees of it: nothing has been read, and TLS will stand on the wire. */
static struct shs_test_conn *begin_conn(struct shs_test_server *self, struct shs_conn *conn)
{
    struct shs_test_conn *c = shs__calloc(1, sizeof *c);

    if (c == NULL)
        return NULL;
    c->wire = shs__test_wire_new(conn->stream, conn->socket.fd);
    if (c->wire == NULL) {
        shs__free(c);
        return NULL;
    }
    c->wire->stopping = is_stopping;
    c->wire->dripped = put_off;
    c->wire->ctx = conn;
    c->server = self;
    c->conn = conn;
    c->number = atomic_fetch_add(&self->connections, 1) + 1;
    shs__conn_push_stream(conn, &c->wire->base);
    shs_conn_set(conn, &self->layer, c);
    return c;
}

static void record_fault(struct shs_test_conn *c, const struct shs_test_kept_rule *rule,
                         const struct shs_request *req)
{
    const struct shs_test_event event = {
        .kind = SHS_TEST_FAULT,
        .connection = c->number,
        .reason = rule->rule.fault,
        .text = rule->fault->text,
        .sni = c->sni,
    };

    shs__test_record_add(&c->server->record, &event, req);
}

/* Reads ahead until the name is known. SHS_OK when it is, or never will be. */
static int read_name(struct shs_test_conn *c)
{
    unsigned ms = shs_server_options(c->server->server)->handshake_ms;
    int64_t deadline = shs__deadline_after(c->conn->accepted_ns, ms);
    int rc;

    while (shs__hello_name(shs__buf_head(&c->wire->early), c->wire->early.len, c->sni) ==
           SHS_WAIT_READ) {
        rc = shs__test_wire_peek(c->wire);
        if (rc < 0 || (rc > 0 && shs_now_ns() >= deadline))
            return SHS_OK; /* what became of it is for those below to say */
        if (rc > 0) {
            shs_conn_set_deadline(c->conn, deadline);
            return rc;
        }
    }
    return SHS_OK;
}

/* What this connection gets. SHS_OK: it goes on, or SHS_WAIT_*, or it is over. */
static int decide(struct shs_test_conn *c)
{
    struct shs_test_rules *rules = &c->server->rules;
    int rc;

    if (c->rule == NULL && shs__test_rules_for_connections(rules)) {
        rc = read_name(c);
        if (rc != SHS_OK)
            return rc;
        c->rule = shs__test_rules_take(rules, c->sni, NULL);
        if (c->rule != NULL)
            record_fault(c, c->rule, NULL);
    }
    rc = c->rule == NULL ? SHS_OK : c->rule->fault->connect(c, c->rule->argument, c->rule->rule.ms);
    c->decided = rc <= 0;
    return rc;
}

static int test_finish_request(struct shs_layer *layer, struct shs_conn *conn)
{
    struct shs_test_conn *c = conn_of(TEST(layer), conn);
    int rc;

    if (c == NULL)
        c = begin_conn(TEST(layer), conn);
    if (c == NULL)
        return shs_conn_fail(conn, SHS_NOMEM, 0, "out of memory for a connection");
    rc = c->decided ? SHS_OK : decide(c);
    return rc == SHS_OK ? shs_super_finish_request(layer, conn) : rc;
}

static void test_close_request(struct shs_layer *layer, struct shs_conn *conn)
{
    struct shs_test_conn *c = conn_of(TEST(layer), conn);

    shs_super_close_request(layer, conn);
    if (c == NULL)
        return;
    if (c->rule != NULL)
        shs__test_rule_put(&c->server->rules, c->rule);
    shs_conn_set(conn, layer, NULL);
    shs__free(c); /* the wire goes with the connection's streams */
}

const struct shs_server_ops shs__test_ops = {
    .name = "TestServer",
    .finish_request = test_finish_request,
    .close_request = test_close_request,
};

/* -- handshakes -------------------------------------------------------------------------------- */

/* What is known of the connection, for an entry about it; `buf` holds the client's name. */
static void describe_conn(struct shs_test_conn *c, struct shs_test_event *event, char *buf,
                          size_t cap)
{
    const struct shs_client_identity *client = shs_conn_client_identity(c->conn);
    struct shs_tls_info info;

    event->connection = c->number;
    event->sni = c->sni;
    if (shs_conn_tls_info(c->conn, &info)) {
        event->sni = info.sni;
        event->version = info.version;
        event->resumed = info.resumed;
    }
    if (client != NULL && client->verified && client->common_name.ptr != NULL) {
        snprintf(buf, cap, "%.*s", (int)client->common_name.len, client->common_name.ptr);
        event->client = buf;
    }
}

static int seen_finish_request(struct shs_layer *layer, struct shs_conn *conn)
{
    struct shs_test_server *self = SHS_CONTAINER_OF(layer, struct shs_test_server, seen);
    struct shs_test_conn *c = conn_of(self, conn);
    struct shs_test_event event = {.kind = SHS_TEST_HANDSHAKE};
    struct shs_tls_info info;
    char client[256];

    /* After a handshake that failed TLSMixIn comes here as well, to end the connection. */
    if (!c->seen && shs_conn_tls_info(conn, &info)) {
        c->seen = true;
        if (shs_conn_error(conn)->code == SHS_OK) {
            describe_conn(c, &event, client, sizeof client);
            if (c->sni[0] == '\0')
                snprintf(c->sni, sizeof c->sni, "%s", info.sni);
            shs__test_record_add(&self->record, &event, NULL);
        }
    }
    return shs_super_finish_request(layer, conn);
}

/* The lower one of the two is the last that the server looks at. */
static void seen_layer_free(struct shs_layer *layer)
{
    shs__test_server_unref(SHS_CONTAINER_OF(layer, struct shs_test_server, seen));
}

const struct shs_server_ops shs__test_seen_ops = {
    .name = "TestSeen",
    .finish_request = seen_finish_request,
    .layer_free = seen_layer_free,
};

void shs__test_record_failure(void *ctx, const struct shs_tls_failure *failure)
{
    struct shs_test_server *self = ctx;
    const struct shs_test_conn *c = conn_of(self, failure->conn);
    const struct shs_test_event event = {
        .kind = SHS_TEST_HANDSHAKE_FAILED,
        .connection = c == NULL ? 0 : c->number,
        .reason = failure->label,
        .text = failure->text,
        .sni = failure->sni,
    };

    shs__test_record_add(&self->record, &event, NULL);
}

/* -- between the machine and the handler ------------------------------------------------------- */

static void begin_running(struct shs_test_server *self, struct shs_test_running *r)
{
    pthread_mutex_lock(&self->lock);
    r->prev = NULL;
    r->next = self->running;
    if (r->next != NULL)
        r->next->prev = r;
    self->running = r;
    self->running_count++;
    pthread_mutex_unlock(&self->lock);
}

static void end_running(struct shs_test_server *self, struct shs_test_running *r)
{
    pthread_mutex_lock(&self->lock);
    if (r->prev != NULL)
        r->prev->next = r->next;
    else
        self->running = r->next;
    if (r->next != NULL)
        r->next->prev = r->prev;
    self->running_count--;
    pthread_mutex_unlock(&self->lock);
}

/* The exchange's read_body, while a handler runs: what it gets is written down. */
static int tee_read_body(struct shs_exchange *x, void *buf, size_t cap, size_t *got)
{
    struct shs_exchange_ops *tee = (struct shs_exchange_ops *)(uintptr_t)x->ops;
    struct shs_test_running *r = SHS_CONTAINER_OF(tee, struct shs_test_running, tee);
    int rc = r->real->read_body(x, buf, cap, got);

    if (rc == SHS_OK) {
        size_t room = r->body.ceiling - r->body.len;

        (void)shs__buf_append(&r->body, buf, *got < room ? *got : room);
    }
    return rc;
}

static int answer_by_rule(struct shs_test_kept_rule *kept, struct shs_test_conn *c,
                          struct shs_request *req, struct shs_response *res)
{
    const struct shs_test_rule *rule = &kept->rule;
    char waste[4096];
    size_t got = 0;

    if (kept->fault != NULL) {
        record_fault(c, kept, req);
        return kept->fault->answer(c, req, rule);
    }
    do {
        SHS_RETURN_IF_ERROR(shs_request_read(req, waste, sizeof waste, &got));
    } while (got > 0);
    SHS_RETURN_IF_ERROR(shs_send_response(res, rule->status == 0 ? 200 : rule->status));
    for (size_t i = 0; rule->fields != NULL && rule->fields[i] != NULL; i += 2)
        SHS_RETURN_IF_ERROR(shs_send_header(res, rule->fields[i], rule->fields[i + 1]));
    SHS_RETURN_IF_ERROR(shs_end_headers(res));
    return rule->body_len == 0 ? SHS_OK : shs_write(res, rule->body, rule->body_len);
}

static const char request_is_recorded; /* its address is the key */

static void record_request(struct shs_test_conn *c, struct shs_test_running *r,
                           const struct shs_response *res)
{
    struct shs_test_event event = {.kind = SHS_TEST_REQUEST, .status = res->status};
    char client[256];

    describe_conn(c, &event, client, sizeof client);
    event.body = (struct shs_str){shs__buf_head(&r->body), r->body.len};
    shs__test_record_add(&c->server->record, &event, r->req);
    if (shs_request_set_slot(r->req, &request_is_recorded, r) != SHS_OK)
        return; /* no memory: it will be there twice */
}

static int shim_any(struct shs_request *req, struct shs_response *res)
{
    struct shs_test_server *self = shs_request_ctx(req);
    struct shs_test_conn *c = conn_of(self, shs_request_conn(req));
    struct shs_test_running r = {.req = req, .began_ns = shs_now_ns(), .real = req->x->ops};
    struct shs_test_kept_rule *rule = shs__test_rules_take(&self->rules, c->sni, req);
    int rc;

    r.tee = *r.real;
    r.tee.read_body = tee_read_body;
    shs__buf_init(&r.body, SHS_TEST_EVENT_BODY);
    req->x->ops = &r.tee;
    begin_running(self, &r);
    if (rule == NULL) {
        rc = shs_handler_call(&self->handler, req, res);
    } else {
        rc = answer_by_rule(rule, c, req, res);
        shs__test_rule_put(&self->rules, rule);
    }
    end_running(self, &r);
    req->x->ops = r.real;
    record_request(c, &r, res);
    shs__buf_free(&r.body);
    return rc;
}

/* The handler's own log; and a request that was refused before a handler could see it. */
static void shim_log(void *log_ctx, const struct shs_access *access)
{
    struct shs_test_server *self = log_ctx;
    struct shs_test_event event = {.kind = SHS_TEST_REQUEST, .status = access->status};
    char client[256];

    if (access->req == NULL || shs_request_slot(access->req, &request_is_recorded) == NULL) {
        describe_conn(conn_of(self, access->conn), &event, client, sizeof client);
        event.reason = access->rule;
        event.text = access->error;
        shs__test_record_add(&self->record, &event, access->req);
    }
    if (self->handler.log_request != NULL)
        self->handler.log_request(self->handler.log_ctx, access);
}

static int not_here(struct shs_request *req, struct shs_response *res)
{
    SHS_UNUSED(req);
    return shs_send_error(res, 404, "This test server has no answer for that.");
}

void shs__test_make_shim(struct shs_test_server *self, const struct shs_http_handler *handler)
{
    static const struct shs_http_handler nothing = {.name = "none", .do_any = not_here};

    self->handler = handler == NULL ? nothing : *handler;
    self->shim = (struct shs_http_handler){
        .name = self->handler.name,
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
