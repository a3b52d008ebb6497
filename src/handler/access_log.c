#include "handler/access_log.h"

#include <inttypes.h>
#include <stdio.h>
#include <time.h>

#include <shs/tls.h>

void shs__access_log_init(struct shs_access_log *self, struct shs_log_queue *queue,
                          enum shs_access_style style)
{
    self->queue = queue;
    self->style = style;
    shs__access_clock_init(&self->clock);
}

void shs__access_log_free(struct shs_access_log *self)
{
    shs__access_clock_free(&self->clock);
}

static void fill_request(struct shs_access_line *line, const struct shs_request *req)
{
    line->method = shs_request_method(req);
    line->target = shs_request_target(req);
    line->version = shs_request_version(req) == 10 ? SHS_STR("HTTP/1.0") : SHS_STR("HTTP/1.1");
    if (!shs_request_header(req, "Referer", &line->referer))
        line->referer.ptr = NULL;
    if (!shs_request_header(req, "User-Agent", &line->user_agent))
        line->user_agent.ptr = NULL;
    line->user = shs_request_user(req);
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

void shs__access_line_fill(struct shs_access_line *line, const struct shs_access *access)
{
    struct shs_tls_info tls;
    struct timespec now;

    memset(line, 0, sizeof *line);
    clock_gettime(CLOCK_REALTIME, &now);
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
        fill_request(line, access->req);
    if (access->conn == NULL)
        return;
    line->when_ns +=
        shs_server_options(shs_conn_server(access->conn))->clock_offset_s * SHS_NS_PER_S;
    line->client = shs__str(shs_conn_client_host(access->conn));
    if (!shs_conn_tls_info(access->conn, &tls))
        return;
    line->tls_version = shs__str(tls.version);
    line->cipher = shs__str(tls.cipher);
    line->sni = shs__str(tls.sni);
    line->ja4 = shs__str(tls.ja4);
    fill_user(line, access->conn);
}

void shs__access_log_request(void *log_ctx, const struct shs_access *access)
{
    struct shs_access_log *self = log_ctx;
    struct shs_access_line line;
    char text[SHS_ACCESS_LINE_MAX];
    struct shs_buf out;

    shs__access_line_fill(&line, access);
    /* On the stack: a buffer that is as large as its ceiling neither grows nor is freed. */
    shs__buf_init(&out, sizeof text);
    out.data = text;
    out.cap = sizeof text;
    if (shs__access_format(&out, self->style, &self->clock, &line) == SHS_OK)
        shs__log_queue_push(self->queue, text, out.len);
}

int shs_access_line(const struct shs_access *access, enum shs_access_style style, char *buf,
                    size_t cap, size_t *len)
{
    struct shs_buf out = {.data = buf, .cap = cap, .ceiling = cap};
    struct shs_access_clock clock;
    struct shs_access_line line;
    int rc;

    shs__access_clock_init(&clock);
    shs__access_line_fill(&line, access);
    rc = shs__access_format(&out, style, &clock, &line);
    shs__access_clock_free(&clock);
    if (rc == SHS_OK)
        *len = out.len;
    return rc;
}

size_t shs__access_json_dropped(char *buf, size_t cap, uint64_t dropped)
{
    int len = snprintf(buf, cap, "{\"dropped_lines\":%" PRIu64 "}", dropped);

    return len < 0 ? 0 : (size_t)len;
}
