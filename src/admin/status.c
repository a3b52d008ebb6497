/*
 * status.c - GET status: how the servers do, as JSON, as a page, or as news for the page.
 *
 * Who watches holds a thread of the admin plane's own, one of a few, for a limited time; the
 * servers that are looked at have nothing to do with it.
 */
#ifdef SHS_HAVE_JANSSON
#include "admin/status.h"

#include <stdio.h>

#include <shs/drain.h>
#include <shs/json.h>
#include <shs/query.h>
#include <shs/sse.h>
#include <shs/version.h>

#include "server/thread_pool.h"
#include "tls/wire/failure.h"

#define PAGE_MAX ((size_t)1024 * 1024)
#define WATCHERS_MAX 8                     /* of the 32 threads that each address has */
#define WATCH_MS ((int64_t)10 * 60 * 1000) /* then the browser asks again */
#define LOOK_MS 250u
#define RATE_POINTS 5

/* -- looking ----------------------------------------------------------------------------------- */

static void add_tls(struct shs_admin_moment *to, struct shs_server *server)
{
    struct shs_tls_stats tls;

    if (!shs_tls_get_stats(server, &tls))
        return;
    to->handshakes += tls.handshakes;
    to->resumed += tls.resumed;
    to->probes += tls.causes[SHS_TLS_CAUSE_PROBE];
    to->failed += shs__tls_failures(&tls);
    for (int i = 0; i < SHS_TLS_CAUSE_COUNT; i++)
        to->causes[i] += shs__tls_is_failure((enum shs_tls_cause)i) ? tls.causes[i] : 0;
}

/* Servers that share their workers have the same threads: they are counted once. */
struct adding {
    struct shs_admin_moment *to;
    const void *crews[SHS_POOL_MEMBERS];
    unsigned count;
};

static bool is_new_crew(struct adding *self, const void *crew)
{
    for (unsigned i = 0; i < self->count; i++) {
        if (self->crews[i] == crew)
            return false;
    }
    if (self->count < SHS_POOL_MEMBERS)
        self->crews[self->count++] = crew;
    return true;
}

static bool add_server(void *adding, struct shs_admin_watch *watch, bool own)
{
    struct adding *self = adding;
    struct shs_admin_moment *to = self->to;
    struct shs_server *server = shs__admin_watch_server(watch);
    struct shs_pool_figures pool;
    struct shs_server_stats stats;

    if (own)
        return true;
    shs__admin_watch_add(watch, &to->answers);
    shs_server_get_stats(server, &stats);
    to->accepted += stats.accepted;
    to->refused += stats.refused;
    to->timeouts += stats.timeouts;
    to->stuck += stats.stuck_handlers;
    to->connections += stats.connections;
    to->max_connections += shs_server_options(server)->max_connections;
    if (!shs__pool_figures(server, &pool))
        pool.threads = pool.busy = (unsigned)stats.threads; /* one for each connection */
    else if (!is_new_crew(self, pool.crew))
        pool.threads = 0;
    to->threads += pool.threads;
    to->busy += pool.busy;
    to->queue += pool.queue;
    add_tls(to, server);
    return true;
}

void shs__admin_moment_now(struct shs_admin *self, struct shs_admin_moment *out)
{
    struct adding adding = {.to = out};

    memset(out, 0, sizeof *out);
    shs__admin_each(self, add_server, &adding);
}

static bool find_draining(void *draining, struct shs_admin_watch *watch, bool own)
{
    if (!own && shs_server_draining(shs__admin_watch_server(watch)))
        *(bool *)draining = true;
    return true;
}

/* Over the last points, but not over more than there are. */
static double rate_of(const struct shs_admin_point *points, size_t count)
{
    uint64_t requests = 0;
    int64_t took_ms = 0;

    for (size_t i = count > RATE_POINTS ? count - RATE_POINTS : 0; i < count; i++) {
        requests += points[i].requests;
        took_ms += points[i].took_ms;
    }
    return took_ms == 0 ? 0 : (double)requests * 1000 / (double)took_ms;
}

int shs__admin_status_make(struct shs_admin *self, struct shs_admin_status **out)
{
    struct shs_admin_status *s = shs__calloc(1, sizeof *s);
    uint64_t lately[SHS_ADMIN_DURATIONS];

    *out = s;
    if (s == NULL)
        return SHS_NOMEM;
    s->name = self->opt.name;
    s->time_ms = shs__admin_now_ms();
    s->up_ms = (shs__elapsed_ns() - self->began_ns) / SHS_NS_PER_MS;
    shs__admin_each(self, find_draining, &s->draining);
    shs__admin_moment_now(self, &s->now);
    s->count = shs__admin_history_copy(self->history, s->points, SHS_ADMIN_LATELY, lately);
    s->p50_us = shs__admin_tally_quantile(lately, 50);
    s->p99_us = shs__admin_tally_quantile(lately, 99);
    s->per_s = rate_of(s->points, s->count);
    for (size_t i = s->count > SHS_ADMIN_LATELY ? s->count - SHS_ADMIN_LATELY : 0; i < s->count;
         i++) {
        for (size_t c = 0; c < SHS_ADMIN_CLASSES; c++)
            s->lately[c] += s->points[i].classes[c];
        s->answered += s->points[i].requests;
    }
    s->certs = shs__admin_certs_value(self, INT64_MAX);
    s->servers = shs__admin_servers_value(self, false);
    return s->certs == NULL || s->servers == NULL ? SHS_NOMEM : SHS_OK;
}

void shs__admin_status_free(struct shs_admin_status *status)
{
    if (status == NULL)
        return;
    json_decref(status->certs);
    json_decref(status->servers);
    shs__free(status);
}

/* -- as JSON ----------------------------------------------------------------------------------- */

/* "none" for no answer, "2xx" and so on. */
static const char *class_name(size_t c)
{
    static const char *const names[SHS_ADMIN_CLASSES] = {"none", "1xx", "2xx", "3xx", "4xx", "5xx"};

    return names[c];
}

static json_t *classes_of(const uint64_t counts[SHS_ADMIN_CLASSES])
{
    json_t *value = json_object();

    for (size_t c = 0; c < SHS_ADMIN_CLASSES; c++)
        (void)json_object_set_new(value, class_name(c), json_integer((json_int_t)counts[c]));
    return value;
}

/* A list for each number, the oldest first. */
static json_t *history_of(const struct shs_admin_status *s)
{
    json_t *connections = json_array(), *rates = json_array(), *p50 = json_array();
    json_t *p99 = json_array(), *busy = json_array(), *queue = json_array();
    json_t *failed = json_array(), *errors = json_array();

    for (size_t i = 0; i < s->count; i++) {
        const struct shs_admin_point *p = &s->points[i];

        (void)json_array_append_new(connections, json_integer(p->connections));
        (void)json_array_append_new(rates, json_real(rate_of(p, 1)));
        (void)json_array_append_new(p50, json_real((double)p->p50_us / 1000));
        (void)json_array_append_new(p99, json_real((double)p->p99_us / 1000));
        (void)json_array_append_new(busy, json_integer(p->busy));
        (void)json_array_append_new(queue, json_integer(p->queue));
        (void)json_array_append_new(failed, json_integer(p->failed));
        (void)json_array_append_new(errors, json_integer(p->classes[5]));
    }
    return json_pack("{s:i, s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:o}", "every_ms",
                     SHS_ADMIN_POINT_MS, "connections", connections, "requests_per_s", rates,
                     "p50_ms", p50, "p99_ms", p99, "busy", busy, "queue", queue,
                     "handshakes_failed", failed, "errors", errors);
}

static json_t *value_of(const struct shs_admin_status *s)
{
    const struct shs_admin_moment *now = &s->now;

    return json_pack(
        "{s:o, s:s, s:o, s:f, s:b, s:{s:I, s:I, s:I, s:I, s:I}, s:{s:f, s:I, s:f, s:f},"
        " s:o, s:o, s:{s:I, s:I, s:I, s:I, s:o}, s:{s:I, s:I, s:I, s:I}, s:O, s:O, s:o}",
        "name", shs__admin_text(s->name), "version", SHS_VERSION_STRING, "time",
        shs__admin_time_ms(s->time_ms), "up_s", (double)s->up_ms / 1000, "draining",
        (int)s->draining, "connections", "open", (json_int_t)now->connections, "max",
        (json_int_t)now->max_connections, "accepted", (json_int_t)now->accepted, "refused",
        (json_int_t)now->refused, "timeouts", (json_int_t)now->timeouts, "requests", "per_s",
        s->per_s, "lately", (json_int_t)s->answered, "p50_ms", (double)s->p50_us / 1000, "p99_ms",
        (double)s->p99_us / 1000, "answers", classes_of(now->answers.classes), "answers_lately",
        classes_of(s->lately), "handshakes", "done", (json_int_t)now->handshakes, "resumed",
        (json_int_t)now->resumed, "probes", (json_int_t)now->probes, "failed",
        (json_int_t)now->failed, "failed_by_cause", shs__admin_causes(now->causes), "pool",
        "threads", (json_int_t)now->threads, "busy", (json_int_t)now->busy, "queue",
        (json_int_t)now->queue, "stuck_handlers", (json_int_t)now->stuck, "certificates", s->certs,
        "servers", s->servers, "history", history_of(s));
}

static int send_value(struct shs_admin *self, struct shs_response *res)
{
    struct shs_admin_status *status;
    int rc = shs__admin_status_make(self, &status);

    if (rc == SHS_OK)
        rc = shs_send_json(res, 200, value_of(status));
    shs__admin_status_free(status);
    return rc;
}

/* -- as a page --------------------------------------------------------------------------------- */

/* All that the page uses is ours, and nothing stands in it that is not also a resource. */
static const char policy[] =
    "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src 'self'; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

static int send_text(struct shs_response *res, const char *type, struct shs_str text)
{
    SHS_RETURN_IF_ERROR(shs_send_response(res, 200));
    SHS_RETURN_IF_ERROR(shs_send_header(res, "Content-Type", type));
    SHS_RETURN_IF_ERROR(shs_send_header(res, "Content-Security-Policy", policy));
    SHS_RETURN_IF_ERROR(shs_send_header(res, "X-Content-Type-Options", "nosniff"));
    SHS_RETURN_IF_ERROR(shs_send_header(res, "Referrer-Policy", "no-referrer"));
    SHS_RETURN_IF_ERROR(shs_send_header(res, "Cross-Origin-Resource-Policy", "same-origin"));
    SHS_RETURN_IF_ERROR(shs_end_headers(res));
    return shs_write(res, text.ptr, text.len);
}

static int draw(struct shs_admin *self, struct shs_buf *out,
                int (*page)(const struct shs_admin_status *, struct shs_buf *))
{
    struct shs_admin_status *status;
    int rc = shs__admin_status_make(self, &status);

    if (rc == SHS_OK)
        rc = page(status, out);
    shs__admin_status_free(status);
    return rc;
}

static int send_page(struct shs_admin *self, struct shs_response *res)
{
    struct shs_buf page;
    int rc;

    shs__buf_init(&page, PAGE_MAX);
    rc = draw(self, &page, shs__admin_page);
    if (rc == SHS_OK)
        rc = send_text(res, "text/html; charset=utf-8",
                       (struct shs_str){shs__buf_head(&page), page.len});
    shs__buf_free(&page);
    return rc;
}

int shs__admin_get_status_style(struct shs_request *req, struct shs_response *res)
{
    SHS_UNUSED(req);
    return send_text(res, "text/css; charset=utf-8", shs__admin_style);
}

int shs__admin_get_status_script(struct shs_request *req, struct shs_response *res)
{
    SHS_UNUSED(req);
    return send_text(res, "text/javascript; charset=utf-8", shs__admin_script);
}

int shs__admin_get_status_icon(struct shs_request *req, struct shs_response *res)
{
    SHS_UNUSED(req);
    return send_text(res, "image/svg+xml", shs__admin_icon);
}

/* -- as news ----------------------------------------------------------------------------------- */

static int send_news(struct shs_admin *self, struct shs_response *res)
{
    struct shs_buf text;
    int rc;

    shs__buf_init(&text, PAGE_MAX);
    rc = draw(self, &text, shs__admin_page_live);
    if (rc == SHS_OK)
        rc =
            shs_sse_send_str(res, "status", NULL, (struct shs_str){shs__buf_head(&text), text.len});
    shs__buf_free(&text);
    return rc;
}

/* Until there is another point, or it is `until_ns`. */
static int wait_for_news(struct shs_admin *self, struct shs_response *res, uint64_t seen,
                         int64_t until_ns)
{
    while (shs__admin_history_count(self->history) == seen && shs_now_ns() < until_ns)
        SHS_RETURN_IF_ERROR(shs_sse_wait(res, LOOK_MS));
    return SHS_OK;
}

static int watch(struct shs_admin *self, struct shs_request *req, struct shs_response *res,
                 int64_t until_ns)
{
    int rc = shs_sse_start(res);

    if (rc == SHS_OK)
        rc = shs_sse_retry(res, SHS_ADMIN_POINT_MS);
    while (rc == SHS_OK && shs_now_ns() < until_ns && shs__admin_still_allowed(req)) {
        uint64_t seen = shs__admin_history_count(self->history);

        rc = send_news(self, res);
        if (rc == SHS_OK)
            rc = wait_for_news(self, res, seen, until_ns);
    }
    return shs_sse_end(res, rc);
}

/* How long, at most: ?for=30s. NULL, or what is wrong. */
static const char *read_time(struct shs_request *req, int64_t *ms)
{
    struct shs_str text;
    uint64_t wanted = 0;

    *ms = WATCH_MS;
    if (shs_request_query_param(req, "for", &text) != SHS_OK || text.ptr == NULL)
        return NULL;
    if (!shs__admin_duration(text, &wanted) || wanted == 0)
        return "for is a time: 30s, 10m";
    if (wanted < (uint64_t)WATCH_MS)
        *ms = (int64_t)wanted;
    return NULL;
}

static int send_events(struct shs_admin *self, struct shs_request *req, struct shs_response *res)
{
    int64_t ms;
    const char *wrong = read_time(req, &ms);
    int rc;

    if (wrong != NULL)
        return shs__admin_refuse(res, 400, wrong, NULL);
    if (atomic_fetch_add(&self->watchers, 1) >= WATCHERS_MAX) {
        atomic_fetch_sub(&self->watchers, 1);
        SHS_RETURN_IF_ERROR(shs_response_stand(res, "Retry-After", "10"));
        return shs__admin_refuse(res, 503, "too many watch already: ask for the page again later",
                                 json_pack("{s:i}", "watchers", WATCHERS_MAX));
    }
    rc = watch(self, req, res, shs_now_ns() + ms * SHS_NS_PER_MS);
    atomic_fetch_sub(&self->watchers, 1);
    return rc;
}

/* -- the routes -------------------------------------------------------------------------------- */

static bool wants(struct shs_request *req, const char *type)
{
    struct shs_str accept;

    return shs_request_header(req, "Accept", &accept) &&
           memmem(accept.ptr, accept.len, type, strlen(type)) != NULL;
}

int shs__admin_get_status(struct shs_request *req, struct shs_response *res)
{
    struct shs_admin *self = shs_request_ctx(req);

    SHS_RETURN_IF_ERROR(shs_response_stand(res, "Vary", "Accept"));
    if (wants(req, "text/event-stream"))
        return send_events(self, req, res);
    return wants(req, "text/html") ? send_page(self, res) : send_value(self, res);
}

int shs__admin_get_root(struct shs_request *req, struct shs_response *res)
{
    SHS_UNUSED(req);
    SHS_RETURN_IF_ERROR(shs_send_response(res, 303));
    SHS_RETURN_IF_ERROR(shs_send_header(res, "Location", SHS_ADMIN_PREFIX "/status"));
    return shs_end_headers(res);
}

void shs__admin_look(void *admin)
{
    struct shs_admin *self = admin;
    struct shs_admin_moment now;

    shs__admin_keylog_look(self);
    if (!shs__admin_history_due(self->history))
        return;
    shs__admin_moment_now(self, &now);
    shs__admin_history_put(self->history, &now);
}

#endif
