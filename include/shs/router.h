/*
 * shs/router.h - from a method and a path to a function.
 *
 * Concept
 *
 *       static const struct shs_route routes[] = {
 *           {"GET",  "/api/v1/items",      list_items}, {"POST", "/api/v1/items", create_item},
 *           {"GET",  "/api/v1/items/{id}", get_item},   {"GET",  "/files/{path...}", NULL, &files},
 *           {NULL}};
 *
 *   A pattern is a path, as it reads when it is decoded. "{id}" is any one segment that is not
 *   empty, "{path...}" at the end is the rest, perhaps empty. The more specific pattern wins, a
 *   literal segment over a parameter, whatever the order; two of which neither is more specific
 *   are refused at creation, and so is what no request can reach.
 *
 *   What no pattern matches is 404. A path that is there, with another method, is 405 with Allow;
 *   HEAD is answered by GET, OPTIONS with Allow, unless a route says otherwise.
 *
 * Which path reads as which
 *
 *   The path is cut at "/" as it came, then each segment is decoded once, and compared. Nothing is
 *   normalised: "%2F" is not a separator, a trailing "/" or "." or ";x" makes another path. A
 *   segment that is "." or ".." (also as %2e, or beside a %2F), an empty one that is not the last,
 *   a run of "/" at the beginning, and what does not decode, match nothing: other programs on the
 *   way may read such a path as another one.
 *
 * Handlers under a route
 *
 *   A route has a function, or a handler (SHS_MOUNT): one under "{path...}" sees the rest as its
 *   path, with the "/" before it. The function's shs_request_ctx is the router's ctx, the
 *   handler's is its own.
 *
 * Groups, limits
 *
 *   A route with `routes` is a group: its pattern is put before theirs ("" is fine), its chain
 *   before their chains, and its limits hold where they have none. See shs/chain.h.
 *
 * In C, -Wextra warns of the members that such a row leaves out; SHS_ROUTE, SHS_MOUNT and SHS_GROUP
 * write them all. C++ needs no help.
 *
 * Follows: RFC 9110 sections 9.3.7, 15.5.5, 15.5.6; RFC 3986 section 3.3.
 */
#ifndef SHS_ROUTER_H
#define SHS_ROUTER_H

#include <shs/chain.h>

#ifdef __cplusplus
extern "C" {
#endif

struct shs_route {
    const char *method;  /* "GET"; "*" = those that have no route of their own; NULL = a group */
    const char *pattern; /* NULL = the end of the table */
    shs_method_fn *fn SHS_OPTIONAL;
    const struct shs_http_handler *handler SHS_OPTIONAL;    /* instead of fn; borrowed */
    const struct shs_route *routes SHS_OPTIONAL;            /* a group's */
    const struct shs_middleware *const *chain SHS_OPTIONAL; /* ends with NULL; what it points to
                                                                is borrowed. NULL = none */
    uint64_t max_body SHS_OPTIONAL; /* bytes; a longer body is 413. 0 = what the server allows */
    unsigned time_ms SHS_OPTIONAL;  /* an answer that has not begun to leave by then is 503, and
                                       nothing waits longer for the client. 0 = no such limit */
};

/* clang-format off */
#define SHS_ROUTE(method, pattern, fn) {(method), (pattern), (fn), NULL, NULL, NULL, 0, 0}
#define SHS_MOUNT(method, pattern, handler) {(method), (pattern), NULL, (handler), NULL, NULL, 0, 0}
#define SHS_GROUP(prefix, routes, chain) {NULL, (prefix), NULL, NULL, (routes), (chain), 0, 0}
#define SHS_ROUTES_END {NULL, NULL, NULL, NULL, NULL, NULL, 0, 0}
/* clang-format on */

/* Routes of one router; segments of a pattern; groups within one another. More are refused. */
#define SHS_MAX_ROUTES 10000
#define SHS_MAX_SEGMENTS 32
#define SHS_MAX_GROUPS 8

struct shs_router;

/*
 *   routes  ends with {NULL}; copied, and the patterns in it
 *   ctx     what shs_request_ctx gives in the functions; borrowed
 *
 * Returns 0; SHS_USAGE with a text that names the pattern, or both, for: a pattern that is none or
 * that no request reaches; a parameter twice; a route without function and handler, or with both;
 * a handler that has no such method; two routes that match the same requests; too many. SHS_NOMEM.
 */
SHS_API int shs_router_new(struct shs_router **out, const struct shs_route *routes, void *ctx,
                           struct shs_error *err) SHS_MUST_CHECK;
SHS_API void shs_router_free(struct shs_router *self); /* NULL is fine; after the server */
/* Borrowed from the router. Copy it to set log_request. */
SHS_API const struct shs_http_handler *shs_router_handler(const struct shs_router *self);

/*
 * The value of a parameter of the pattern that matched, decoded once; in a route of a router within
 * a router, also of the outer one. false when there is none of that name. Until the handler
 * returns. NUL-terminated copies are for shs_request_alloc.
 */
SHS_API bool shs_request_param(const struct shs_request *req, const char *name,
                               struct shs_str *out);
/*
 * The pattern that matched, "/api/v1/items/{id}": for logs and metrics. NULL: none did. Of a router
 * that is mounted in another both: "/api/{rest...}" and "/items/{id}" are "/api/items/{id}". Lives
 * as long as the request.
 */
SHS_API const char *shs_request_route(const struct shs_request *req);

#ifdef __cplusplus
}
#endif

#endif
