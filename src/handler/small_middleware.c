/*
 * small_middleware.c - the middleware of <shs/middleware.h> that needs no memory of its own.
 */
#include <shs/forwarded.h>
#include <shs/middleware.h>

#include "base/base.h"

/* -- the request's name ------------------------------------------------------------------------ */

static int id_handle(struct shs_request *req, struct shs_response *res, void *ctx,
                     const struct shs_next *next)
{
    struct shs_str id = shs_request_id(req);
    char text[64];

    if (id.len > 0 && id.len < sizeof text) {
        memcpy(text, id.ptr, id.len);
        text[id.len] = '\0';
        SHS_RETURN_IF_ERROR(shs_response_stand(res, ctx, text));
    }
    return shs_next_call(next, req, res);
}

/* ctx is not const: whoever has something to change in it may. */
static struct shs_middleware link_of(const char *name, shs_middleware_fn *handle, const void *ctx)
{
    union {
        const void *in;
        void *out;
    } unchanged = {ctx};

    return (struct shs_middleware){name, handle, unchanged.out};
}

struct shs_middleware shs_request_id_middleware(const char *field)
{
    return link_of("RequestId", id_handle, field == NULL ? "X-Request-Id" : field);
}

/* -- limits ------------------------------------------------------------------------------------ */

static int body_limit_handle(struct shs_request *req, struct shs_response *res, void *ctx,
                             const struct shs_next *next)
{
    const uint64_t *max = ctx;

    SHS_RETURN_IF_ERROR(shs_request_limit_body(req, *max));
    return shs_next_call(next, req, res);
}

struct shs_middleware shs_body_limit_middleware(const uint64_t *max_bytes)
{
    return link_of("BodyLimit", body_limit_handle, max_bytes);
}

static int time_limit_handle(struct shs_request *req, struct shs_response *res, void *ctx,
                             const struct shs_next *next)
{
    const unsigned *ms = ctx;
    int64_t deadline_ns = shs__deadline_after(shs_now_ns(), *ms);
    int rc;

    shs_request_set_deadline(req, deadline_ns);
    rc = shs_next_call(next, req, res);
    /* A client that was too slow with its body has its own answer, 408. */
    if (shs_now_ns() < deadline_ns || shs_response_has_left(res) || rc == SHS_TIMEOUT)
        return rc;
    return shs_send_error(res, 503, "The answer was not ready in time.");
}

struct shs_middleware shs_time_limit_middleware(const unsigned *ms)
{
    return link_of("TimeLimit", time_limit_handle, ms);
}

/* -- what a browser is told -------------------------------------------------------------------- */

static int stand(struct shs_response *res, const char *name, const char *value, const char *usual)
{
    if (value == NULL)
        value = usual;
    return value[0] == '\0' ? SHS_OK : shs_response_stand(res, name, value);
}

static int security_handle(struct shs_request *req, struct shs_response *res, void *ctx,
                           const struct shs_next *next)
{
    const struct shs_security_fields *f = ctx;

    if (shs_str_eq(shs_request_scheme(req), SHS_STR("https")))
        SHS_RETURN_IF_ERROR(stand(res, "Strict-Transport-Security", f->hsts, "max-age=31536000"));
    SHS_RETURN_IF_ERROR(stand(res, "Content-Security-Policy", f->content_security,
                              "default-src 'self'; frame-ancestors 'none'; base-uri 'none'; "
                              "object-src 'none'"));
    SHS_RETURN_IF_ERROR(stand(res, "Referrer-Policy", f->referrer_policy, "no-referrer"));
    SHS_RETURN_IF_ERROR(stand(res, "Permissions-Policy", f->permissions_policy,
                              "camera=(), geolocation=(), microphone=()"));
    SHS_RETURN_IF_ERROR(stand(res, "X-Content-Type-Options", f->content_type, "nosniff"));
    return shs_next_call(next, req, res);
}

struct shs_middleware shs_security_middleware(const struct shs_security_fields *fields)
{
    static const struct shs_security_fields usual;

    return link_of("Security", security_handle, fields == NULL ? &usual : fields);
}

/* -- errors ------------------------------------------------------------------------------------ */

static int error_map_handle(struct shs_request *req, struct shs_response *res, void *ctx,
                            const struct shs_next *next)
{
    const struct shs_error_answer *table = ctx;
    int rc = shs_next_call(next, req, res);

    if (rc == SHS_OK || shs_response_has_left(res))
        return rc;
    for (; table->code != SHS_OK; table++) {
        if (table->code == rc)
            return shs_send_page(res, table->status, table->message);
    }
    return rc;
}

struct shs_middleware shs_error_map_middleware(const struct shs_error_answer *table)
{
    return link_of("ErrorMap", error_map_handle, table);
}
