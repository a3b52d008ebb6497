/*
 * access_log.c - <shs/middleware.h>: a struct shs_access becomes a line, which goes into a
 * queue.
 */
#include <inttypes.h>
#include <stdio.h>
#include <time.h>

#include <shs/access.h>
#include <shs/forwarded.h>
#include <shs/tls.h>

#include "base/log_queue.h"
#include "handler/access_format.h"
#include "handler/chain.h"

struct shs_access_log {
    struct shs_access_log_options opt;
    struct shs_log_queue *queue;
    struct shs_access_clock clock;
    struct shs_http_handler next, handler;
    struct shs_middleware middleware;
    bool stopped;
};

/* -- what a line says -------------------------------------------------------------------------- */

/* What rules have decided of it. */
static void fill_access(struct shs_access_line *line, const struct shs_access_decision *d)
{
    if (d == NULL)
        return;
    line->access = shs__str(d->rule);
    if (d->role[0] != '\0')
        line->role = shs__str(d->role);
}

/* The first of each name. */
static void fill_fields(struct shs_access_line *line, const struct shs_request *req)
{
    struct shs_str name, value;

    for (size_t i = 0; shs_request_header_at(req, i, &name, &value); i++) {
        if (name.len == 7 && line->referer.ptr == NULL &&
            shs_str_eq_nocase(name, SHS_STR("Referer")))
            line->referer = value;
        else if (name.len == 10 && line->user_agent.ptr == NULL &&
                 shs_str_eq_nocase(name, SHS_STR("User-Agent")))
            line->user_agent = value;
    }
}

static void fill_request(struct shs_access_line *line, const struct shs_request *req,
                         enum shs_access_style style)
{
    line->user = shs_request_user(req);
    if (style != SHS_ACCESS_COMMON)
        fill_fields(line, req);
    if (style != SHS_ACCESS_JSON)
        return;
    line->method = shs_request_method(req);
    line->target = shs_request_target(req);
    line->version = shs_request_version(req) == 10 ? SHS_STR("HTTP/1.0") : SHS_STR("HTTP/1.1");
    fill_access(line, shs_request_access(req));
}

/* A name that was given with a password for this request says more than the certificate. */
static void fill_user(struct shs_access_line *line, struct shs_conn *conn)
{
    const struct shs_client_identity *id = shs_conn_client_identity(conn);

    if (id == NULL || !id->verified)
        return;
    if (line->user.ptr == NULL)
        line->user = id->spiffe_id.ptr != NULL ? id->spiffe_id : id->common_name;
    line->client_sha256 = shs__str(id->cert_sha256);
}

/* What was agreed; views into the connection. */
static void fill_tls(struct shs_access_line *line, struct shs_conn *conn)
{
    struct shs_tls_info tls;

    if (!shs_conn_tls_info(conn, &tls))
        return;
    line->tls_version = shs__str(tls.version);
    line->cipher = shs__str(tls.cipher);
    line->sni = shs__str(tls.sni);
    line->ja4 = shs__str(tls.ja4);
}

/* What a line of that style says, at the present time. Views: as long as *access. */
static void fill(struct shs_access_line *line, const struct shs_access *access,
                 enum shs_access_style style)
{
    struct timespec now;

    memset(line, 0, sizeof *line);
    /* Where the second is enough, the clock of the last tick: the Date has it, too. */
    clock_gettime(style == SHS_ACCESS_JSON ? CLOCK_REALTIME : CLOCK_REALTIME_COARSE, &now);
    line->when_ns = (int64_t)now.tv_sec * SHS_NS_PER_S + now.tv_nsec;
    line->request_line = access->request_line;
    line->status = access->status;
    line->bytes = access->body_bytes;
    line->duration_ns = access->duration_ns;
    line->error = shs__str(access->error);
    line->rule = shs__str(access->rule);
    if (access->request_id.len > 0)
        line->request_id = access->request_id;
    if (access->req != NULL)
        fill_request(line, access->req, style);
    if (access->conn == NULL)
        return;
    line->when_ns +=
        shs_server_options(shs_conn_server(access->conn))->clock_offset_s * SHS_NS_PER_S;
    if (access->req != NULL)
        line->client = shs__str(shs_request_client_host(access->req));
    if (line->client.len == 0) /* refused before a handler had it: who is connected */
        line->client = shs__str(shs_conn_client_host(access->conn));
    if (style == SHS_ACCESS_JSON)
        fill_tls(line, access->conn);
    fill_user(line, access->conn);
}

int shs_access_line(const struct shs_access *access, enum shs_access_style style, char *buf,
                    size_t cap, size_t *len)
{
    struct shs_buf out = {.data = buf, .cap = cap, .ceiling = cap};
    struct shs_access_line line;
    int rc;

    fill(&line, access, style);
    rc = shs__access_format(&out, style, NULL, &line);
    if (rc == SHS_OK)
        *len = out.len;
    return rc;
}

/* -- the log ----------------------------------------------------------------------------------- */

/* A line is made on the stack: a buffer that is as large as its ceiling neither grows nor is
   freed. */
void shs_access_log_request(void *log, const struct shs_access *access)
{
    struct shs_access_log *self = log;
    char text[SHS_ACCESS_LINE_MAX];
    struct shs_buf out = {.data = text, .cap = sizeof text, .ceiling = sizeof text};
    struct shs_access_line line;

    fill(&line, access, self->opt.style);
    if (shs__access_format(&out, self->opt.style, &self->clock, &line) == SHS_OK)
        shs__log_queue_push(self->queue, text, out.len);
}

/* As the log of a whole server: `next` may have one of its own. */
static void log_and_pass_on(void *log, const struct shs_access *access)
{
    struct shs_access_log *self = log;

    shs_access_log_request(self, access);
    if (self->next.log_request != NULL)
        self->next.log_request(self->next.log_ctx, access);
}

static int log_handle(struct shs_request *req, struct shs_response *res, void *ctx,
                      const struct shs_next *next)
{
    SHS_RETURN_IF_ERROR(shs_request_on_access(req, shs_access_log_request, ctx));
    return shs_next_call(next, req, res);
}

static int log_any(struct shs_request *req, struct shs_response *res)
{
    const struct shs_access_log *self = shs_request_ctx(req);

    return shs_handler_call(&self->next, req, res);
}

bool shs_access_log_write(struct shs_access_log *self, const char *line, size_t len)
{
    return shs__log_queue_push(self->queue, line, len);
}

/* -- life -------------------------------------------------------------------------------------- */

void shs_access_log_options_init_sized(struct shs_access_log_options *opt, size_t size)
{
    struct shs_access_log_options defaults = {
        .size = size,
        .style = SHS_ACCESS_COMBINED,
        .max_waiting = (size_t)1 << 20,
        .stop_ms = 2000,
    };

    shs__sized_init(opt, size, &defaults, sizeof defaults);
}

/* A shs_log_dropped_fn: the other lines are JSON as well. */
static size_t json_dropped(char *buf, size_t cap, uint64_t dropped, const char *why)
{
    int len = snprintf(buf, cap, "{\"dropped_lines\":%" PRIu64 ",\"why\":\"%s\"}", dropped, why);

    return len < 0 ? 0 : (size_t)len;
}

int shs_access_log_new(struct shs_access_log **out, const struct shs_http_handler *next, int fd,
                       const struct shs_access_log_options *opt, struct shs_error *err)
{
    struct shs_access_log_options mine;
    struct shs_access_log *self;
    int rc;

    shs_access_log_options_init(&mine);
    rc = opt == NULL ? SHS_OK
                     : shs__sized_copy(&mine, sizeof mine, opt, "shs_access_log_options", err);
    if (rc != SHS_OK)
        return rc;
    self = shs__calloc(1, sizeof *self);
    if (self == NULL)
        return shs_error_set(err, SHS_NOMEM, 0, "Out of memory for an access log.");
    self->opt = mine;
    if ((unsigned)self->opt.style > SHS_ACCESS_JSON) {
        shs__free(self);
        return shs_error_set(
            err, SHS_USAGE, 0,
            "There is no such style of an access log: take common, combined or JSON.");
    }
    shs__stand_before(&self->next, &self->handler, "AccessLog", log_any, next, self);
    self->handler.log_request = log_and_pass_on;
    self->handler.log_ctx = self;
    self->middleware = (struct shs_middleware){"AccessLog", log_handle, self};
    rc = shs__log_queue_new(&self->queue, fd, self->opt.max_waiting,
                            self->opt.style == SHS_ACCESS_JSON ? json_dropped : NULL);
    if (rc != SHS_OK) {
        shs_access_log_free(self);
        return shs_error_set(err, rc, 0, "The access log cannot start: %s.", shs_err_text(rc));
    }
    *out = self;
    return SHS_OK;
}

int shs_access_log_stop(struct shs_access_log *self, unsigned timeout_ms, uint64_t *lost)
{
    self->stopped = true;
    return shs__log_queue_stop(self->queue, timeout_ms, lost);
}

void shs_access_log_free(struct shs_access_log *self)
{
    if (self == NULL)
        return;
    if (self->queue != NULL && !self->stopped)
        (void)shs_access_log_stop(self, self->opt.stop_ms, NULL);
    shs__log_queue_free(self->queue);
    shs__free(self);
}

const struct shs_http_handler *shs_access_log_handler(const struct shs_access_log *self)
{
    return &self->handler;
}

const struct shs_middleware *shs_access_log_middleware(const struct shs_access_log *self)
{
    return &self->middleware;
}
