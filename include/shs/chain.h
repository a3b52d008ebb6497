/*
 * shs/chain.h - middleware: what looks at a request before its handler does, and at the answer
 * after it.
 *
 * Concept
 *
 *   A struct shs_middleware is one function. It answers, or lets the next one do so and returns
 *   what that returned. A chain is an array of pointers that ends with NULL; the first is the
 *   outermost. It stands in front of one route, a group (shs/router.h), or everything:
 *
 *       static int timed(struct shs_request *req, struct shs_response *res, void *ctx,
 *                        const struct shs_next *next)
 *       {
 *           int64_t began = shs_now_ns();
 *           int rc = shs_next_call(next, req, res);
 *
 *           count(ctx, shs_now_ns() - began);
 *           return rc;
 *       }
 *       static const struct shs_middleware timing = {"timing", timed, &counters};
 *       static const struct shs_middleware *const chain[] = {&timing, NULL};
 *
 *   shs/middleware.h has the ones that come with the library; each is a struct shs_middleware and
 *   stands in an array beside yours.
 *
 * What a middleware can do
 *
 *   - a field on whatever answer there will be: shs_response_stand, before the call of the next;
 *   - a value for those behind it: shs_request_set_slot, shs_request_set_user;
 *   - an answer of its own, without the next. Both is refused, with a line in the log;
 *   - another answer than the next one's: shs_send_page or shs_send_error after it, as long as
 *     nothing has left (shs_response_has_left); shs_response_replace_body.
 */
#ifndef SHS_CHAIN_H
#define SHS_CHAIN_H

#include <shs/http.h>

#ifdef __cplusplus
extern "C" {
#endif

struct shs_next;

/* Owner thread of the request; several at once for several requests. As a method of a handler. */
typedef int shs_middleware_fn(struct shs_request *req, struct shs_response *res, void *ctx,
                              const struct shs_next *next);

struct shs_middleware {
    const char *name;
    shs_middleware_fn *handle;
    void *ctx; /* yours: handed to handle */
};

/* The rest of the chain, and the handler. Until handle returns; as shs_handler_call. */
SHS_API int shs_next_call(const struct shs_next *next, struct shs_request *req,
                          struct shs_response *res) SHS_MUST_CHECK;
/* Would the handler at the end take this method? */
SHS_API bool shs_next_has(const struct shs_next *next, struct shs_str method);

struct shs_chain;

/*
 * A handler with a chain in front of it, for a server or for another chain.
 *
 *   chain  the array is copied; what it points to is borrowed
 *   next   copied; its ctx borrowed. Its log_request is that of the whole
 *
 * Returns 0; SHS_USAGE without a handler, for a middleware without a function, and beyond 32;
 * SHS_NOMEM. Free it after the server.
 */
SHS_API int shs_chain_new(struct shs_chain **out, const struct shs_middleware *const *chain,
                          const struct shs_http_handler *next,
                          struct shs_error *err) SHS_MUST_CHECK;
SHS_API void shs_chain_free(struct shs_chain *self); /* NULL is fine */
SHS_API const struct shs_http_handler *shs_chain_handler(const struct shs_chain *self);

#ifdef __cplusplus
}
#endif

#endif
