#include <shs/health.h>

#include <pthread.h>
#include <stdio.h>

#include <shs/drain.h>
#include <shs/tls.h>

#include "base/base.h"

#define PAGE_MAX ((size_t)256 * 1024)
#define NAME_MAX_LEN 64

struct check {
    char name[NAME_MAX_LEN + 1];
    shs_health_fn *fn;
    void *ctx;
    bool warns; /* and does not count */
};

struct shs_health {
    struct shs_http_handler handler;
    pthread_mutex_t lock; /* of the two below */
    bool ready;
    char reason[SHS_HEALTH_REASON_MAX];
    struct check checks[SHS_HEALTH_CHECKS_MAX];
    size_t count;
};

/* -- what is asked ----------------------------------------------------------------------------- */

/* Check i, the switch being number 0. */
static bool look(struct shs_health *self, size_t i, const char **name, char *reason)
{
    bool good;

    reason[0] = '\0';
    if (i > 0) {
        const struct check *check = &self->checks[i - 1];

        *name = check->name;
        good = check->fn(check->ctx, reason);
        reason[SHS_HEALTH_REASON_MAX - 1] = '\0';
        return good;
    }
    *name = "ready";
    pthread_mutex_lock(&self->lock);
    good = self->ready;
    memcpy(reason, self->reason, sizeof self->reason);
    pthread_mutex_unlock(&self->lock);
    return good;
}

static bool warns(const struct shs_health *self, size_t i)
{
    return i > 0 && self->checks[i - 1].warns;
}

bool shs_health_is_ready(struct shs_health *self)
{
    char reason[SHS_HEALTH_REASON_MAX];
    const char *name;

    for (size_t i = 0; i <= self->count; i++) {
        if (!warns(self, i) && !look(self, i, &name, reason))
            return false;
    }
    return true;
}

void shs_health_set_ready(struct shs_health *self, bool ready, const char *reason)
{
    pthread_mutex_lock(&self->lock);
    self->ready = ready;
    snprintf(self->reason, sizeof self->reason, "%s", reason == NULL ? "" : reason);
    pthread_mutex_unlock(&self->lock);
}

/* -- what is answered -------------------------------------------------------------------------- */

/* A line has no other line in it, whatever a check says. */
static void flatten(char *text)
{
    for (; *text != '\0'; text++) {
        if ((unsigned char)*text < 0x20 || *text == 0x7f)
            *text = ' ';
    }
}

static int add_line(struct shs_buf *out, const char *name, bool good, bool warning, char *reason)
{
    flatten(reason);
    if (good)
        return shs__buf_printf(out, "[+]%s ok\n", name);
    return shs__buf_printf(out, "[%c]%s %s%s%s\n", warning ? '!' : '-', name,
                           warning ? "warning" : "failed", reason[0] == '\0' ? "" : ": ", reason);
}

/* All checks, each once; *ready is what they come to. */
static int write_checks(struct shs_health *self, struct shs_buf *out, bool verbose, bool *ready)
{
    char reason[SHS_HEALTH_REASON_MAX];
    const char *name;

    *ready = true;
    for (size_t i = 0; i <= self->count; i++) {
        bool warning = warns(self, i), good;

        if (warning && !verbose)
            continue;
        good = look(self, i, &name, reason);
        *ready = *ready && (good || warning);
        if (verbose || !good)
            SHS_RETURN_IF_ERROR(add_line(out, name, good, warning, reason));
    }
    if (!verbose && *ready)
        return shs__buf_append_str(out, SHS_STR("ok\n"));
    return verbose ? shs__buf_printf(out, "%s\n", *ready ? "ready" : "not ready") : SHS_OK;
}

static int answer(struct shs_response *res, int status, struct shs_str text)
{
    SHS_RETURN_IF_ERROR(shs_send_response(res, status));
    SHS_RETURN_IF_ERROR(shs_send_header(res, "Content-Type", "text/plain; charset=utf-8"));
    SHS_RETURN_IF_ERROR(shs_send_header(res, "Cache-Control", "no-store"));
    SHS_RETURN_IF_ERROR(shs_end_headers(res));
    return shs_write(res, text.ptr, text.len);
}

/* "verbose" among the query's parameters, with or without a value. */
static bool wants_all(struct shs_str query)
{
    const struct shs_str word = SHS_STR("verbose");

    for (size_t at = 0; query.len - at >= word.len && at < query.len; at++) {
        size_t after = at + word.len;

        if ((at == 0 || query.ptr[at - 1] == '&') &&
            memcmp(query.ptr + at, word.ptr, word.len) == 0 &&
            (after == query.len || query.ptr[after] == '&' || query.ptr[after] == '='))
            return true;
    }
    return false;
}

static int answer_ready(struct shs_health *self, struct shs_request *req, struct shs_response *res)
{
    struct shs_buf page;
    bool ready;
    int rc;

    shs__buf_init(&page, PAGE_MAX);
    rc = write_checks(self, &page, wants_all(shs_request_query(req)), &ready);
    if (rc == SHS_OK)
        rc = answer(res, ready ? 200 : 503, (struct shs_str){shs__buf_head(&page), page.len});
    shs__buf_free(&page);
    return rc;
}

static int health_get(struct shs_request *req, struct shs_response *res)
{
    struct shs_str path = shs_request_path(req);

    if (shs_str_eq(path, SHS_STR("/livez")))
        return answer(res, 200, SHS_STR("ok\n"));
    if (shs_str_eq(path, SHS_STR("/readyz")))
        return answer_ready(shs_request_ctx(req), req, res);
    return shs_send_page(res, 404, NULL);
}

/* -- life -------------------------------------------------------------------------------------- */

int shs_health_new(struct shs_health **out, struct shs_error *err)
{
    struct shs_health *self = shs__calloc(1, sizeof *self);

    *out = NULL;
    if (self == NULL || pthread_mutex_init(&self->lock, NULL) != 0) {
        shs__free(self);
        return shs_error_set(err, SHS_NOMEM, 0, "out of memory for the health checks");
    }
    self->ready = true;
    self->handler = (struct shs_http_handler){.name = "Health", .do_GET = health_get, .ctx = self};
    *out = self;
    return SHS_OK;
}

void shs_health_free(struct shs_health *self)
{
    if (self == NULL)
        return;
    pthread_mutex_destroy(&self->lock);
    shs__free(self);
}

static bool is_name(const char *name)
{
    static const char good[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_.";
    size_t len = strlen(name);

    return len > 0 && len <= NAME_MAX_LEN && strspn(name, good) == len;
}

static bool is_taken(const struct shs_health *self, const char *name)
{
    for (size_t i = 0; i < self->count; i++) {
        if (strcmp(self->checks[i].name, name) == 0)
            return true;
    }
    return strcmp(name, "ready") == 0;
}

static int add(struct shs_health *self, const char *name, shs_health_fn *fn, void *ctx,
               bool warning, struct shs_error *err)
{
    struct check *check;

    if (self == NULL || fn == NULL)
        return shs_error_set(err, SHS_USAGE, 0, "the %s is NULL",
                             self == NULL ? "health" : "function of a check");
    if (name == NULL || !is_name(name))
        return shs_error_set(err, SHS_USAGE, 0,
                             "a check's name has 1 to %d letters, digits, '-', '_' and '.'",
                             NAME_MAX_LEN);
    if (is_taken(self, name))
        return shs_error_set(err, SHS_USAGE, 0, "there is a check '%s' already", name);
    if (self->count == SHS_HEALTH_CHECKS_MAX)
        return shs_error_set(err, SHS_LIMIT, 0, "more than %d checks", SHS_HEALTH_CHECKS_MAX);
    check = &self->checks[self->count++];
    snprintf(check->name, sizeof check->name, "%s", name);
    check->fn = fn;
    check->ctx = ctx;
    check->warns = warning;
    return SHS_OK;
}

int shs_health_add_check(struct shs_health *self, const char *name, shs_health_fn *fn, void *ctx,
                         struct shs_error *err)
{
    return add(self, name, fn, ctx, false, err);
}

int shs_health_add_warning(struct shs_health *self, const char *name, shs_health_fn *fn, void *ctx,
                           struct shs_error *err)
{
    return add(self, name, fn, ctx, true, err);
}

static int no_server(struct shs_error *err)
{
    return shs_error_set(err, SHS_USAGE, 0, "the server of a check is NULL");
}

/* -- what a server has loaded ------------------------------------------------------------------ */

struct over {
    int64_t now, when; /* the end of the first that is over; INT64_MAX: none is */
    char *reason;
};

static const char *kind_of(enum shs_tls_end_kind kind)
{
    switch (kind) {
    case SHS_TLS_END_CERT:
        return "the certificate";
    case SHS_TLS_END_CHAIN:
        return "a certificate of the chain";
    case SHS_TLS_END_OCSP:
        return "the OCSP response";
    case SHS_TLS_END_CLIENT_CA:
        return "a client CA";
    case SHS_TLS_END_CRL:
        return "the CRL";
    }
    return "a file";
}

static void note_end(void *over, const struct shs_tls_end *end)
{
    struct over *o = over;
    const char *name = strrchr(end->source, '/');

    if (end->when > o->now || end->when >= o->when)
        return;
    o->when = end->when;
    snprintf(o->reason, SHS_HEALTH_REASON_MAX, "%s in %.60s is over for %lld s", kind_of(end->kind),
             name == NULL ? end->source : name + 1, (long long)(o->now - end->when));
}

static bool is_within_its_dates(void *server, char *reason)
{
    struct over o = {shs_server_time(server), INT64_MAX, reason};

    (void)shs_tls_each_end(server, note_end, &o);
    return o.when == INT64_MAX;
}

int shs_health_add_certificates(struct shs_health *self, const char *name,
                                struct shs_server *server, struct shs_error *err)
{
    if (server == NULL)
        return no_server(err);
    if (shs_server_layer(server, "TLSMixIn") == NULL)
        return shs_error_set(err, SHS_USAGE, 0, "the server of the warning '%s' has no TLSMixIn",
                             name == NULL ? "" : name);
    return shs_health_add_warning(self, name, is_within_its_dates, server, err);
}

static bool is_serving(void *server, char *reason)
{
    if (!shs_server_draining(server))
        return true;
    snprintf(reason, SHS_HEALTH_REASON_MAX, "draining");
    return false;
}

int shs_health_add_server(struct shs_health *self, const char *name, struct shs_server *server,
                          struct shs_error *err)
{
    if (server == NULL)
        return no_server(err);
    return shs_health_add_check(self, name, is_serving, server, err);
}

const struct shs_http_handler *shs_health_handler(const struct shs_health *self)
{
    return &self->handler;
}
