/*
 * cors.c - <shs/middleware.h>: answers that pages of other origins may read.
 *
 * Follows the Fetch standard, "CORS protocol". Credentials are never allowed: with "*" they cannot
 * be, and a page elsewhere has no business with the passwords of this one.
 */
#include <shs/middleware.h>
#include <shs/text.h>

#include "base/base.h"

#define ORIGIN_MAX 300
#define PREFLIGHT_SECONDS "600"

struct shs_cors {
    struct shs_http_handler next, handler;
    char *origin;
};

/* The browser asks whether a page may ask: a question of its own, for the handler not to see. */
static bool is_preflight(const struct shs_request *req)
{
    struct shs_str value;

    return shs__str_eq(shs_request_method(req), SHS_STR("OPTIONS")) &&
           shs_request_header(req, "Origin", &value) &&
           shs_request_header(req, "Access-Control-Request-Method", &value);
}

static int answer_preflight(const struct shs_cors *self, struct shs_request *req,
                            struct shs_response *res)
{
    struct shs_str method, fields;

    SHS_RETURN_IF_ERROR(shs_send_response(res, 204));
    if (shs_request_header(req, "Access-Control-Request-Method", &method) &&
        shs_handler_has(&self->next, method) && shs_is_token(method))
        SHS_RETURN_IF_ERROR(shs_send_header_str(res, "Access-Control-Allow-Methods", method));
    if (shs_request_header(req, "Access-Control-Request-Headers", &fields) && fields.len > 0)
        SHS_RETURN_IF_ERROR(shs_send_header_str(res, "Access-Control-Allow-Headers", fields));
    SHS_RETURN_IF_ERROR(shs_send_header(res, "Access-Control-Max-Age", PREFLIGHT_SECONDS));
    SHS_RETURN_IF_ERROR(shs_send_header(
        res, "Vary", "Access-Control-Request-Method, Access-Control-Request-Headers"));
    return shs_end_headers(res);
}

static int cors_any(struct shs_request *req, struct shs_response *res)
{
    const struct shs_cors *self = shs_request_ctx(req);

    SHS_RETURN_IF_ERROR(shs_response_stand(res, "Access-Control-Allow-Origin", self->origin));
    if (is_preflight(req))
        return answer_preflight(self, req, res);
    SHS_RETURN_IF_ERROR(
        shs_response_stand(res, "Access-Control-Expose-Headers",
                           "Content-Length, Content-Range, Accept-Ranges, ETag, Location"));
    return shs_handler_call(&self->next, req, res);
}

/* scheme "://" host [":" port], without a path: compared byte by byte by browsers. */
static bool is_origin(const char *text)
{
    const char *host = strstr(text, "://");

    if (strcmp(text, "*") == 0)
        return true;
    if (host == NULL || host == text || strlen(text) > ORIGIN_MAX)
        return false;
    host += 3;
    if (*host == '\0' || strchr(host, '/') != NULL)
        return false;
    for (; *text != '\0'; text++) {
        if (*text <= ' ' || *text > '~' || *text == '*' || *text == ',' || *text == '"')
            return false;
    }
    return true;
}

int shs_cors_new(struct shs_cors **out, const struct shs_http_handler *next, const char *origin,
                 struct shs_error *err)
{
    struct shs_cors *self;

    if (!is_origin(origin))
        return shs_error_set(
            err, SHS_USAGE, 0,
            "\"%s\" is no origin: write * or SCHEME://HOST[:PORT], without a path.", origin);
    self = shs__calloc(1, sizeof *self);
    if (self != NULL)
        self->origin = shs__strdup(origin);
    if (self == NULL || self->origin == NULL) {
        shs__free(self);
        return shs_error_set(err, SHS_NOMEM, 0, "Out of memory for CORS.");
    }
    self->next = *next;
    self->handler = (struct shs_http_handler){
        .name = "CORS",
        .do_HEAD = cors_any,
        .do_any = cors_any,
        .log_request = next->log_request,
        .log_ctx = next->log_ctx,
        .ctx = self,
    };
    *out = self;
    return SHS_OK;
}

void shs_cors_free(struct shs_cors *self)
{
    if (self == NULL)
        return;
    shs__free(self->origin);
    shs__free(self);
}

const struct shs_http_handler *shs_cors_handler(const struct shs_cors *self)
{
    return &self->handler;
}
