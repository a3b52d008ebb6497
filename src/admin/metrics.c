/*
 * metrics.c - counters that are written by many threads and read now and then.
 *
 * A series is found by a table of pointers that is only ever filled: readers take no lock. Its
 * numbers are in several cells, so that threads on different cores seldom write the same line.
 */
#include <shs/metrics.h>

#include <inttypes.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>

#include <shs/proxy.h>
#include <shs/router.h>
#include <shs/tls.h>

#include "base/base.h"
#include "server/server.h"
#include "tls/wire/failure.h"

#define TABLE_SIZE (2 * SHS_METRICS_SERIES_MAX) /* a power of 2 */
#define CELLS 8
#define PAGE_MAX ((size_t)16 * 1024 * 1024)
#define ROUTE_MAX 256

/* Upper bounds of the histogram, in microseconds, and as they are written. */
static const struct {
    int64_t us;
    const char *le;
} buckets[] = {
    {100, "0.0001"},  {250, "0.00025"}, {500, "0.0005"},  {1000, "0.001"},
    {2500, "0.0025"}, {5000, "0.005"},  {10000, "0.01"},  {25000, "0.025"},
    {50000, "0.05"},  {100000, "0.1"},  {250000, "0.25"}, {500000, "0.5"},
    {1000000, "1"},   {2500000, "2.5"}, {5000000, "5"},   {10000000, "10"},
};

#define BUCKETS SHS_ARRAY_LEN(buckets)

static const char *const methods[] = {"GET",    "HEAD",    "POST",    "PUT",   "PATCH",
                                      "DELETE", "OPTIONS", "CONNECT", "TRACE", "other"};

/* What one set of threads has counted. */
struct cell {
    _Atomic uint64_t sum_ns, body_bytes;
    _Atomic uint64_t in_bucket[BUCKETS + 1]; /* not added up; the last one is for the slower ones */
    char gap[64];                            /* the next one begins on another line */
};

/* Requests of one route, method and status. */
struct series {
    char route[ROUTE_MAX];
    size_t method; /* in `methods` */
    int status;    /* 0: of many */
    struct cell cells[CELLS];
};

struct observed {
    char name[SHS_SERVER_NAME_CAP];
    struct shs_server *server;
};

struct shs_metrics {
    struct shs_http_handler handler;
    _Atomic(struct series *) table[TABLE_SIZE]; /* open addressing; only ever filled */
    pthread_mutex_t lock;                       /* for who adds one */
    size_t count;
    struct series others; /* of more than there is room for, or memory */
    struct observed servers[SHS_METRICS_SERVERS_MAX];
    size_t server_count;
};

/* -- counting ---------------------------------------------------------------------------------- */

static size_t method_of(const struct shs_request *req)
{
    size_t i = 0;
    struct shs_str method;

    if (req == NULL)
        return SHS_ARRAY_LEN(methods) - 1;
    method = shs_request_method(req);
    while (i < SHS_ARRAY_LEN(methods) - 1 && !shs_str_eq(method, shs_str_of(methods[i])))
        i++;
    return i;
}

static size_t hash_of(const char *route, size_t method, int status)
{
    uint64_t h = 1469598103934665603U;

    for (; *route != '\0'; route++)
        h = (h ^ (unsigned char)*route) * 1099511628211U;
    h = (h ^ method) * 1099511628211U;
    h = (h ^ (uint64_t)(unsigned)status) * 1099511628211U;
    return (size_t)(h ^ (h >> 32));
}

/* That series; or NULL, and *slot is where it is to be. */
static struct series *find(struct shs_metrics *self, const char *route, size_t method, int status,
                           size_t *slot)
{
    size_t at = hash_of(route, method, status) & (TABLE_SIZE - 1);

    for (;; at = (at + 1) & (TABLE_SIZE - 1)) {
        struct series *s = atomic_load_explicit(&self->table[at], memory_order_acquire);

        if (s == NULL) {
            *slot = at;
            return NULL;
        }
        if (s->status == status && s->method == method && strcmp(s->route, route) == 0)
            return s;
    }
}

/* The same, made if there is room for it. */
static struct series *add(struct shs_metrics *self, const char *route, size_t method, int status)
{
    struct series *s, *fresh = NULL;
    size_t slot;

    pthread_mutex_lock(&self->lock);
    s = find(self, route, method, status, &slot);
    if (s == NULL && self->count < SHS_METRICS_SERIES_MAX)
        fresh = shs__calloc(1, sizeof *fresh);
    if (fresh != NULL) {
        snprintf(fresh->route, sizeof fresh->route, "%s", route);
        fresh->method = method;
        fresh->status = status;
        self->count++;
        atomic_store_explicit(&self->table[slot], fresh, memory_order_release);
        s = fresh;
    }
    pthread_mutex_unlock(&self->lock);
    return s == NULL ? &self->others : s;
}

/* The same thread always has the same one. */
static struct cell *cell_of(struct series *series)
{
    uint64_t mixed = (uint64_t)(uintptr_t)pthread_self() * 0x9E3779B97F4A7C15U;

    return &series->cells[mixed >> 61];
}

static void bump(_Atomic uint64_t *number, uint64_t by)
{
    atomic_fetch_add_explicit(number, by, memory_order_relaxed);
}

static void count_one(struct shs_metrics *self, const struct shs_access *access)
{
    const char *route = access->req == NULL ? NULL : shs_request_route(access->req);
    size_t method = method_of(access->req), slot, i = 0;
    int64_t us = access->duration_ns / 1000;
    struct series *series;
    struct cell *cell;

    if (route == NULL)
        route = "";
    else if (strlen(route) >= ROUTE_MAX)
        route = "other";
    series = find(self, route, method, access->status, &slot);
    if (series == NULL)
        series = add(self, route, method, access->status);
    cell = cell_of(series);
    while (i < BUCKETS && us > buckets[i].us)
        i++;
    bump(&cell->in_bucket[i], 1);
    bump(&cell->sum_ns, (uint64_t)(access->duration_ns < 0 ? 0 : access->duration_ns));
    if (access->body_bytes > 0)
        bump(&cell->body_bytes, access->body_bytes);
}

static void count_and_log(void *ctx, const struct shs_access *access)
{
    const struct shs_metrics_link *link = ctx;

    count_one(link->metrics, access);
    if (link->log_request != NULL)
        link->log_request(link->log_ctx, access);
}

const struct shs_http_handler *shs_metrics_count(struct shs_metrics *self,
                                                 struct shs_metrics_link *link,
                                                 const struct shs_http_handler *handler)
{
    link->metrics = self;
    link->log_request = handler->log_request;
    link->log_ctx = handler->log_ctx;
    link->handler = *handler;
    link->handler.log_request = count_and_log;
    link->handler.log_ctx = link;
    return &link->handler;
}

/* -- the page: requests ------------------------------------------------------------------------ */

/* What the cells come to. */
struct total {
    uint64_t count, sum_ns, body_bytes, in_bucket[BUCKETS + 1];
};

static void add_up(struct total *total, struct series *series)
{
    for (size_t c = 0; c < CELLS; c++) {
        struct cell *cell = &series->cells[c];

        total->sum_ns += atomic_load_explicit(&cell->sum_ns, memory_order_relaxed);
        total->body_bytes += atomic_load_explicit(&cell->body_bytes, memory_order_relaxed);
        for (size_t i = 0; i <= BUCKETS; i++)
            total->in_bucket[i] += atomic_load_explicit(&cell->in_bucket[i], memory_order_relaxed);
    }
    /* What the histogram says is what was counted, whoever counts meanwhile. */
    total->count = 0;
    for (size_t i = 0; i <= BUCKETS; i++)
        total->count += total->in_bucket[i];
}

/* A label's value: backslash, quote and newline are escaped, and nothing else. */
static int put_label(struct shs_buf *out, const char *name, const char *value)
{
    SHS_RETURN_IF_ERROR(shs__buf_printf(out, "%s=\"", name));
    for (; *value != '\0'; value++) {
        if (*value == '\n')
            SHS_RETURN_IF_ERROR(shs__buf_append_str(out, SHS_STR("\\n")));
        else if (*value == '\\' || *value == '"')
            SHS_RETURN_IF_ERROR(shs__buf_printf(out, "\\%c", *value));
        else
            SHS_RETURN_IF_ERROR(shs__buf_append(out, value, 1));
    }
    return shs__buf_append(out, "\"", 1);
}

static int put_head(struct shs_buf *out, const char *name, const char *type, const char *help)
{
    return shs__buf_printf(out, "# HELP %s %s\n# TYPE %s %s\n", name, help, name, type);
}

/* All series there are, the collected ones last; NULL behind them. */
static struct series *series_at(struct shs_metrics *self, size_t *at)
{
    while (*at < TABLE_SIZE) {
        struct series *s = atomic_load_explicit(&self->table[(*at)++], memory_order_acquire);

        if (s != NULL)
            return s;
    }
    return (*at)++ == TABLE_SIZE ? &self->others : NULL;
}

static const char *route_of(const struct shs_metrics *self, const struct series *s)
{
    return s == &self->others ? "other" : s->route;
}

static int put_counts(struct shs_metrics *self, struct shs_buf *out)
{
    struct series *s;
    size_t at = 0;

    SHS_RETURN_IF_ERROR(put_head(out, "shs_http_requests_total", "counter",
                                 "Answers, by route, method and status."));
    while ((s = series_at(self, &at)) != NULL) {
        struct total total = {0};

        add_up(&total, s);
        if (total.count == 0)
            continue;
        SHS_RETURN_IF_ERROR(shs__buf_append_str(out, SHS_STR("shs_http_requests_total{")));
        SHS_RETURN_IF_ERROR(put_label(out, "route", route_of(self, s)));
        SHS_RETURN_IF_ERROR(shs__buf_printf(out, ",method=\"%s\",code=\"",
                                            s == &self->others ? "other" : methods[s->method]));
        if (s == &self->others)
            SHS_RETURN_IF_ERROR(shs__buf_printf(out, "other\"} %" PRIu64 "\n", total.count));
        else
            SHS_RETURN_IF_ERROR(
                shs__buf_printf(out, "%d\"} %" PRIu64 "\n", s->status, total.count));
    }
    return SHS_OK;
}

/* The series of one route together; false when an earlier one has that route. */
static bool total_of_route(struct shs_metrics *self, const struct series *first, size_t first_at,
                           struct total *total)
{
    struct series *s;
    size_t at = 0;

    memset(total, 0, sizeof *total);
    while ((s = series_at(self, &at)) != NULL) {
        if (strcmp(route_of(self, s), route_of(self, first)) != 0)
            continue;
        if (at < first_at)
            return false;
        add_up(total, s);
    }
    return true;
}

/* Seconds, with the digits there are. */
static int put_seconds(struct shs_buf *out, uint64_t ns)
{
    return shs__buf_printf(out, "%" PRIu64 ".%09" PRIu64 "\n", ns / 1000000000, ns % 1000000000);
}

static int put_line(struct shs_buf *out, const char *name, const char *route, const char *le)
{
    SHS_RETURN_IF_ERROR(shs__buf_printf(out, "%s{", name));
    SHS_RETURN_IF_ERROR(put_label(out, "route", route));
    if (le != NULL)
        SHS_RETURN_IF_ERROR(shs__buf_printf(out, ",le=\"%s\"", le));
    return shs__buf_append_str(out, SHS_STR("} "));
}

static int put_histogram(struct shs_buf *out, const char *route, const struct total *total)
{
    uint64_t so_far = 0;

    for (size_t i = 0; i <= BUCKETS; i++) {
        so_far += total->in_bucket[i];
        SHS_RETURN_IF_ERROR(put_line(out, "shs_http_request_duration_seconds_bucket", route,
                                     i == BUCKETS ? "+Inf" : buckets[i].le));
        SHS_RETURN_IF_ERROR(shs__buf_printf(out, "%" PRIu64 "\n", so_far));
    }
    SHS_RETURN_IF_ERROR(put_line(out, "shs_http_request_duration_seconds_sum", route, NULL));
    SHS_RETURN_IF_ERROR(put_seconds(out, total->sum_ns));
    SHS_RETURN_IF_ERROR(put_line(out, "shs_http_request_duration_seconds_count", route, NULL));
    return shs__buf_printf(out, "%" PRIu64 "\n", total->count);
}

static int put_routes(struct shs_metrics *self, struct shs_buf *out, bool bytes)
{
    struct total total;
    struct series *s;
    size_t at = 0;

    if (bytes)
        SHS_RETURN_IF_ERROR(put_head(out, "shs_http_response_body_bytes_total", "counter",
                                     "Bytes of bodies sent, without heads and framing."));
    else
        SHS_RETURN_IF_ERROR(
            put_head(out, "shs_http_request_duration_seconds", "histogram",
                     "From the first byte of a request to the last of its answer."));
    while ((s = series_at(self, &at)) != NULL) {
        if (!total_of_route(self, s, at, &total) || total.count == 0)
            continue;
        if (!bytes) {
            SHS_RETURN_IF_ERROR(put_histogram(out, route_of(self, s), &total));
            continue;
        }
        SHS_RETURN_IF_ERROR(
            put_line(out, "shs_http_response_body_bytes_total", route_of(self, s), NULL));
        SHS_RETURN_IF_ERROR(shs__buf_printf(out, "%" PRIu64 "\n", total.body_bytes));
    }
    return SHS_OK;
}

/* -- the page: servers ------------------------------------------------------------------------- */

#define OF_STATS(member) offsetof(struct shs_server_stats, member)

static const struct {
    const char *name, *type, *help;
    size_t offset;
} server_numbers[] = {
    {"shs_connections", "gauge", "Connections open now.", OF_STATS(connections)},
    {"shs_connections_accepted_total", "counter", "Connections accepted.", OF_STATS(accepted)},
    {"shs_connections_refused_total", "counter", "Connections that were not let in.",
     OF_STATS(refused)},
    {"shs_accept_errors_total", "counter", "Calls of accept that failed.", OF_STATS(accept_errors)},
    {"shs_accept_pauses_total", "counter", "Times that accepting stopped at a bound.",
     OF_STATS(accept_pauses)},
    {"shs_connections_late_total", "counter",
     "Connections refused because they had waited too long, while more came than can be served.",
     OF_STATS(refused_late)},
    {"shs_connections_per_address_total", "counter",
     "Connections refused because their address had enough.", OF_STATS(refused_addresses)},
    {"shs_connections_made_room_total", "counter",
     "Idle connections ended because others wanted in.", OF_STATS(made_room)},
    {"shs_errors_total", "counter", "Connections that ended in an error.", OF_STATS(errors)},
    {"shs_timeouts_total", "counter", "Connections that ran into a deadline.", OF_STATS(timeouts)},
    {"shs_threads", "gauge",
     "Threads that serve. Servers with workers in common have each all of them.",
     OF_STATS(threads)},
    {"shs_children", "gauge", "Child processes that serve.", OF_STATS(children)},
    {"shs_stuck_handlers_total", "counter", "Handlers that ran longer than they should.",
     OF_STATS(stuck_handlers)},
};

static int put_server(struct shs_buf *out, const char *name, const char *server, uint64_t value)
{
    SHS_RETURN_IF_ERROR(shs__buf_printf(out, "%s{", name));
    SHS_RETURN_IF_ERROR(put_label(out, "server", server));
    return shs__buf_printf(out, "} %" PRIu64 "\n", value);
}

static int put_servers(struct shs_metrics *self, struct shs_buf *out)
{
    if (self->server_count == 0)
        return SHS_OK;
    for (size_t n = 0; n < SHS_ARRAY_LEN(server_numbers); n++) {
        SHS_RETURN_IF_ERROR(
            put_head(out, server_numbers[n].name, server_numbers[n].type, server_numbers[n].help));
        for (size_t i = 0; i < self->server_count; i++) {
            struct shs_server_stats stats;
            uint64_t value;

            shs_server_get_stats(self->servers[i].server, &stats);
            memcpy(&value, (const char *)&stats + server_numbers[n].offset, sizeof value);
            SHS_RETURN_IF_ERROR(
                put_server(out, server_numbers[n].name, self->servers[i].name, value));
        }
    }
    SHS_RETURN_IF_ERROR(
        put_head(out, "shs_max_connections", "gauge", "Connections that may be open at once."));
    for (size_t i = 0; i < self->server_count; i++)
        SHS_RETURN_IF_ERROR(
            put_server(out, "shs_max_connections", self->servers[i].name,
                       shs_server_options(self->servers[i].server)->max_connections));
    return SHS_OK;
}

#define OF_TLS(member) offsetof(struct shs_tls_stats, member)

static const struct {
    const char *name, *type, *help;
    size_t offset;
} tls_numbers[] = {
    {"shs_tls_handshakes_total", "counter", "Handshakes done.", OF_TLS(handshakes)},
    {"shs_tls_resumed_total", "counter", "Of them, those of a session resumed.", OF_TLS(resumed)},
    {"shs_tls_handshakes_in_progress", "gauge", "Handshakes going on.", OF_TLS(in_progress)},
    {"shs_tls_probes_total", "counter",
     "Connections closed without a byte, as balancers open them: no handshakes that failed.",
     OF_TLS(causes[SHS_TLS_CAUSE_PROBE])},
    {"shs_tls_reloads_total", "counter", "Reloads of certificates and the like.", OF_TLS(reloads)},
    {"shs_tls_reload_failures_total", "counter", "Reloads in which something was kept back.",
     OF_TLS(reload_failures)},
};

static int put_causes(struct shs_buf *out, const char *server, const struct shs_tls_stats *stats)
{
    for (int i = 0; i < SHS_TLS_CAUSE_COUNT; i++) {
        if (!shs__tls_is_failure((enum shs_tls_cause)i))
            continue;
        SHS_RETURN_IF_ERROR(shs__buf_append_str(out, SHS_STR("shs_tls_failures_total{")));
        SHS_RETURN_IF_ERROR(put_label(out, "server", server));
        SHS_RETURN_IF_ERROR(shs__buf_printf(out, ",cause=\"%s\"} %" PRIu64 "\n",
                                            shs_tls_cause_label((enum shs_tls_cause)i),
                                            stats->causes[i]));
    }
    return SHS_OK;
}

/* Who has the records of its connections: those whose handshake is over, where it is asked for. */
static int put_records(struct shs_buf *out, const char *server, const struct shs_tls_stats *stats)
{
    for (int i = 0; i < SHS_TLS_STAYS_COUNT; i++) {
        if (i == SHS_TLS_STAYS_NOT_ASKED || i == SHS_TLS_STAYS_NOT_YET)
            continue; /* these are not counted */
        SHS_RETURN_IF_ERROR(shs__buf_append_str(out, SHS_STR("shs_tls_records_total{")));
        SHS_RETURN_IF_ERROR(put_label(out, "server", server));
        SHS_RETURN_IF_ERROR(shs__buf_printf(out, ",records=\"%s\",why=\"%s\"} %" PRIu64 "\n",
                                            i == SHS_TLS_STAYS_NO ? "direct" : "libssl",
                                            shs_tls_stays_label((enum shs_tls_stays)i),
                                            stats->records[i]));
    }
    return SHS_OK;
}

/* Those of the servers behind a balancer, if there are any. */
static int put_proxies(struct shs_metrics *self, struct shs_buf *out)
{
    static const char headers[] = "shs_proxy_headers_total";
    static const char refused[] = "shs_proxy_refused_total";
    struct shs_proxy_stats stats;
    bool any = false;

    for (size_t i = 0; i < self->server_count; i++) {
        if (!shs_proxy_get_stats(self->servers[i].server, &stats))
            continue;
        if (!any)
            SHS_RETURN_IF_ERROR(
                put_head(out, headers, "counter", "Headers of the PROXY protocol taken."));
        any = true;
        SHS_RETURN_IF_ERROR(put_server(out, headers, self->servers[i].name, stats.headers));
    }
    if (!any)
        return SHS_OK;
    SHS_RETURN_IF_ERROR(
        put_head(out, refused, "counter", "Connections refused for their PROXY protocol header."));
    for (size_t i = 0; i < self->server_count; i++) {
        if (!shs_proxy_get_stats(self->servers[i].server, &stats))
            continue;
        for (int c = 0; c < SHS_PROXY_CAUSE_COUNT; c++) {
            SHS_RETURN_IF_ERROR(shs__buf_printf(out, "%s{", refused));
            SHS_RETURN_IF_ERROR(put_label(out, "server", self->servers[i].name));
            SHS_RETURN_IF_ERROR(shs__buf_printf(out, ",cause=\"%s\"} %" PRIu64 "\n",
                                                shs_proxy_cause_label((enum shs_proxy_cause)c),
                                                stats.causes[c]));
        }
    }
    return SHS_OK;
}

struct certs {
    struct shs_buf *out;
    const char *server;
    int rc;
};

static void put_cert(void *ctx, const struct shs_tls_cert_info *cert)
{
    struct certs *self = ctx;

    if (self->rc == SHS_OK)
        self->rc =
            shs__buf_append_str(self->out, SHS_STR("shs_tls_certificate_not_after_seconds{"));
    if (self->rc == SHS_OK)
        self->rc = put_label(self->out, "server", self->server);
    if (self->rc == SHS_OK)
        self->rc = shs__buf_append(self->out, ",", 1);
    if (self->rc == SHS_OK)
        self->rc = put_label(self->out, "file", cert->source);
    if (self->rc == SHS_OK)
        self->rc = shs__buf_append(self->out, ",", 1);
    if (self->rc == SHS_OK)
        self->rc = put_label(self->out, "serial", cert->serial);
    if (self->rc == SHS_OK)
        self->rc = shs__buf_printf(self->out, "} %" PRId64 "\n", cert->not_after);
}

static int put_certs(struct shs_metrics *self, struct shs_buf *out)
{
    struct certs certs = {.out = out, .rc = SHS_OK};

    SHS_RETURN_IF_ERROR(put_head(out, "shs_tls_certificate_not_after_seconds", "gauge",
                                 "When a certificate that is served expires, in Unix time."));
    for (size_t i = 0; i < self->server_count; i++) {
        certs.server = self->servers[i].name;
        (void)shs_tls_each_certificate(self->servers[i].server, put_cert, &certs);
    }
    return certs.rc;
}

static int put_tls(struct shs_metrics *self, struct shs_buf *out)
{
    struct shs_tls_stats stats;
    bool any = false;

    for (size_t i = 0; i < self->server_count; i++)
        any = any || shs_tls_get_stats(self->servers[i].server, &stats);
    if (!any)
        return SHS_OK;
    for (size_t n = 0; n < SHS_ARRAY_LEN(tls_numbers); n++) {
        SHS_RETURN_IF_ERROR(
            put_head(out, tls_numbers[n].name, tls_numbers[n].type, tls_numbers[n].help));
        for (size_t i = 0; i < self->server_count; i++) {
            uint64_t value;

            if (!shs_tls_get_stats(self->servers[i].server, &stats))
                continue;
            memcpy(&value, (const char *)&stats + tls_numbers[n].offset, sizeof value);
            SHS_RETURN_IF_ERROR(put_server(out, tls_numbers[n].name, self->servers[i].name, value));
        }
    }
    SHS_RETURN_IF_ERROR(
        put_head(out, "shs_tls_failures_total", "counter", "Handshakes that failed, by cause."));
    for (size_t i = 0; i < self->server_count; i++) {
        if (shs_tls_get_stats(self->servers[i].server, &stats))
            SHS_RETURN_IF_ERROR(put_causes(out, self->servers[i].name, &stats));
    }
    SHS_RETURN_IF_ERROR(put_head(out, "shs_tls_records_total", "counter",
                                 "With records direct: connections that have left libssl, and "
                                 "those that cannot, by reason."));
    for (size_t i = 0; i < self->server_count; i++) {
        if (shs_tls_get_stats(self->servers[i].server, &stats))
            SHS_RETURN_IF_ERROR(put_records(out, self->servers[i].name, &stats));
    }
    return put_certs(self, out);
}

/* -- the page ---------------------------------------------------------------------------------- */

static int put_page(struct shs_metrics *self, struct shs_buf *out)
{
    SHS_RETURN_IF_ERROR(put_counts(self, out));
    SHS_RETURN_IF_ERROR(put_routes(self, out, false));
    SHS_RETURN_IF_ERROR(put_routes(self, out, true));
    SHS_RETURN_IF_ERROR(put_servers(self, out));
    SHS_RETURN_IF_ERROR(put_proxies(self, out));
    return put_tls(self, out);
}

static int metrics_get(struct shs_request *req, struct shs_response *res)
{
    struct shs_buf page;
    int rc;

    shs__buf_init(&page, PAGE_MAX);
    rc = put_page(shs_request_ctx(req), &page);
    if (rc == SHS_OK)
        rc = shs_send_response(res, 200);
    if (rc == SHS_OK)
        rc = shs_send_header(res, "Content-Type", "text/plain; version=0.0.4; charset=utf-8");
    if (rc == SHS_OK)
        rc = shs_send_header(res, "Cache-Control", "no-store");
    if (rc == SHS_OK)
        rc = shs_end_headers(res);
    if (rc == SHS_OK)
        rc = shs_write(res, shs__buf_head(&page), page.len);
    shs__buf_free(&page);
    return rc;
}

/* -- life -------------------------------------------------------------------------------------- */

int shs_metrics_new(struct shs_metrics **out, struct shs_error *err)
{
    struct shs_metrics *self = shs__calloc(1, sizeof *self);

    *out = NULL;
    if (self == NULL || pthread_mutex_init(&self->lock, NULL) != 0) {
        shs__free(self);
        return shs_error_set(err, SHS_NOMEM, 0, "out of memory for the metrics");
    }
    self->handler =
        (struct shs_http_handler){.name = "Metrics", .do_GET = metrics_get, .ctx = self};
    *out = self;
    return SHS_OK;
}

void shs_metrics_free(struct shs_metrics *self)
{
    if (self == NULL)
        return;
    for (size_t i = 0; i < TABLE_SIZE; i++)
        shs__free(atomic_load(&self->table[i]));
    pthread_mutex_destroy(&self->lock);
    shs__free(self);
}

int shs_metrics_add_server(struct shs_metrics *self, const char *name, struct shs_server *server,
                           struct shs_error *err)
{
    if (strlen(name) >= SHS_SERVER_NAME_CAP)
        return shs_error_set(err, SHS_USAGE, 0, "a server's name has at most %d bytes",
                             SHS_SERVER_NAME_CAP - 1);
    for (size_t i = 0; i < self->server_count; i++) {
        if (strcmp(self->servers[i].name, name) == 0)
            return shs_error_set(err, SHS_USAGE, 0, "there is a server '%s' already", name);
    }
    if (self->server_count == SHS_METRICS_SERVERS_MAX)
        return shs_error_set(err, SHS_LIMIT, 0, "more than %d servers", SHS_METRICS_SERVERS_MAX);
    snprintf(self->servers[self->server_count].name, SHS_SERVER_NAME_CAP, "%s", name);
    self->servers[self->server_count++].server = server;
    return SHS_OK;
}

const struct shs_http_handler *shs_metrics_handler(const struct shs_metrics *self)
{
    return &self->handler;
}
