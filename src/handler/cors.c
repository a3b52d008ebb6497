/*
 * cors.c - <shs/middleware.h>: answers that pages of other origins may read.
 *
 * Follows the Fetch standard, "CORS protocol". Credentials are never allowed: with "*" they cannot
 * be, and a page elsewhere has no business with the passwords of this one.
 */
#include <shs/middleware.h>
#include <shs/text.h>

#include "base/base.h"
#include "handler/chain.h"
#include "handler/origin.h"

#define PREFLIGHT_SECONDS "600"

struct shs_cors {
    struct shs_http_handler next, handler;
    struct shs_middleware middleware;
    char *origin;
    char **writers; /* NULL: who may read may write */
};

/* May the page that this request is for use this method? */
static bool may_use(const struct shs_cors *self, const struct shs_request *req,
                    struct shs_str method)
{
    struct shs_str origin;

    return self->writers == NULL || shs__str_eq(method, SHS_STR("GET")) ||
           shs__str_eq(method, SHS_STR("HEAD")) ||
           (shs_request_header(req, "Origin", &origin) && shs__origin_in(origin, self->writers));
}

/* The browser asks whether a page may ask: a question of its own, for the handler not to see. */
static bool is_preflight(const struct shs_request *req)
{
    struct shs_str value;

    return shs__str_eq(shs_request_method(req), SHS_STR("OPTIONS")) &&
           shs_request_header(req, "Origin", &value) &&
           shs_request_header(req, "Access-Control-Request-Method", &value);
}

/* For whoever wonders why a page cannot: the browser does not say it. */
static void say_refused(struct shs_request *req, struct shs_str method)
{
    struct shs_conn *conn = shs_request_conn(req);
    struct shs_str origin;

    if (conn != NULL && shs_request_header(req, "Origin", &origin) && origin.len < 300 &&
        method.len < 40)
        shs_server_log(
            shs_conn_server(conn), SHS_LOG_INFO,
            "A page of %.*s asked to %.*s and may not: --cors-write=%.*s would allow it.",
            (int)origin.len, origin.ptr, (int)method.len, method.ptr, (int)origin.len, origin.ptr);
}

static int answer_preflight(const struct shs_cors *self, const struct shs_next *next,
                            struct shs_request *req, struct shs_response *res)
{
    struct shs_str method = SHS_STR(""), fields;

    SHS_RETURN_IF_ERROR(shs_send_response(res, 204));
    (void)shs_request_header(req, "Access-Control-Request-Method", &method);
    if (shs_next_has(next, method) && shs_is_token(method)) {
        if (may_use(self, req, method))
            SHS_RETURN_IF_ERROR(shs_send_header_str(res, "Access-Control-Allow-Methods", method));
        else
            say_refused(req, method);
    }
    if (shs_request_header(req, "Access-Control-Request-Headers", &fields) && fields.len > 0)
        SHS_RETURN_IF_ERROR(shs_send_header_str(res, "Access-Control-Allow-Headers", fields));
    SHS_RETURN_IF_ERROR(shs_send_header(res, "Access-Control-Max-Age", PREFLIGHT_SECONDS));
    SHS_RETURN_IF_ERROR(shs_send_header(
        res, "Vary", "Access-Control-Request-Method, Access-Control-Request-Headers"));
    return shs_end_headers(res);
}

/* Who may write may read, whoever else may. */
static int stand_origin(const struct shs_cors *self, const struct shs_request *req,
                        struct shs_response *res)
{
    const char *allowed = self->origin;
    struct shs_str origin;

    for (char **writer = self->writers; writer != NULL && *writer != NULL; writer++) {
        if (strcmp(self->origin, "*") != 0 && shs_request_header(req, "Origin", &origin) &&
            shs__str_eq(origin, shs__str(*writer)))
            allowed = *writer;
    }
    if (self->writers != NULL && self->writers[0] != NULL)
        SHS_RETURN_IF_ERROR(shs_response_stand(res, "Vary", "Origin"));
    return shs_response_stand(res, "Access-Control-Allow-Origin", allowed);
}

static int cors_handle(struct shs_request *req, struct shs_response *res, void *ctx,
                       const struct shs_next *next)
{
    const struct shs_cors *self = ctx;

    SHS_RETURN_IF_ERROR(stand_origin(self, req, res));
    if (is_preflight(req))
        return answer_preflight(self, next, req, res);
    SHS_RETURN_IF_ERROR(
        shs_response_stand(res, "Access-Control-Expose-Headers",
                           "Content-Length, Content-Range, Accept-Ranges, ETag, Location"));
    return shs_next_call(next, req, res);
}

static int cors_any(struct shs_request *req, struct shs_response *res)
{
    struct shs_cors *self = shs_request_ctx(req);
    struct shs_next next = {NULL, &self->next, NULL};

    return cors_handle(req, res, self, &next);
}

int shs_cors_new(struct shs_cors **out, const struct shs_http_handler *next, const char *origin,
                 struct shs_error *err)
{
    struct shs_cors *self;

    if (strcmp(origin, "*") != 0 && !shs__is_origin(origin))
        return shs_error_set(
            err, SHS_USAGE, 0,
            "\"%s\" is not an origin: write * or SCHEME://HOST[:PORT], without a path.", origin);
    self = shs__calloc(1, sizeof *self);
    if (self != NULL)
        self->origin = shs__strdup(origin);
    if (self == NULL || self->origin == NULL) {
        shs__free(self);
        return shs_error_set(err, SHS_NOMEM, 0, "Out of memory for CORS.");
    }
    shs__stand_before(&self->next, &self->handler, "CORS", cors_any, next, self);
    self->middleware = (struct shs_middleware){"CORS", cors_handle, self};
    *out = self;
    return SHS_OK;
}

static void free_writers(char **writers)
{
    for (char **writer = writers; writer != NULL && *writer != NULL; writer++)
        shs__free(*writer);
    shs__free(writers);
}

int shs_cors_set_writers(struct shs_cors *self, const char *const *origins, struct shs_error *err)
{
    size_t count = 0;
    char **writers;

    while (origins != NULL && origins[count] != NULL) {
        if (!shs__is_origin(origins[count++]))
            return shs_error_set(
                err, SHS_USAGE, 0,
                "\"%s\" is not an origin: write SCHEME://HOST[:PORT], without a path.",
                origins[count - 1]);
    }
    writers = shs__calloc(count + 1, sizeof *writers);
    for (size_t i = 0; writers != NULL && i < count; i++) {
        writers[i] = shs__strdup(origins[i]);
        if (writers[i] == NULL) {
            free_writers(writers);
            writers = NULL;
        }
    }
    if (writers == NULL)
        return shs_error_set(err, SHS_NOMEM, 0, "Out of memory for CORS.");
    free_writers(self->writers);
    self->writers = writers;
    return SHS_OK;
}

void shs_cors_free(struct shs_cors *self)
{
    if (self == NULL)
        return;
    free_writers(self->writers);
    shs__free(self->origin);
    shs__free(self);
}

const struct shs_http_handler *shs_cors_handler(const struct shs_cors *self)
{
    return &self->handler;
}

const struct shs_middleware *shs_cors_middleware(const struct shs_cors *self)
{
    return &self->middleware;
}
