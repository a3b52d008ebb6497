/*
 * serve_routes.h - `routes`: paths of a listener that have something of their own. A directory, a
 * redirect, or an answer; whatever has none is the listener's.
 */
#ifndef SHS_CMD_SERVE_ROUTES_H
#define SHS_CMD_SERVE_ROUTES_H

#include <shs/http.h>

#include "cmd/settings.h"

#define SERVE_ROUTES_MAX 128

/* As it was asked for; texts are borrowed. */
struct serve_route {
    const char *path; /* "/docs", "/old/{rest...}"; or "/docs=DIR" */
    const char *host; /* NULL: whatever the Host field says */
    const char *directory, *redirect, *answer;
    unsigned status;             /* of a redirect or an answer; 0: 308, 200 */
    const char *type;            /* of an answer; NULL: text/plain */
    struct setting_list methods; /* none: all of them */
    const char *cache_control;
    struct setting_list index; /* of a directory, as all that follow */
    bool no_listing, spa, no_compress, archive, upload;
    uint64_t max_upload;
    struct setting_place place;
};

/*
 * Looks at all of them: patterns that are none, routes for the same requests or that overlap, and
 * what does not go together. CMD_OK, or every mistake has been said, with its place or places.
 */
int serve_routes_check(const struct serve_route *routes, size_t count);
/* The route that leaves nothing to the listener's own handler; NULL: none. */
const struct serve_route *serve_routes_all(const struct serve_route *routes, size_t count);
/* Whether two lists ask for the same. */
bool serve_routes_same(const struct serve_route *a, size_t a_count, const struct serve_route *b,
                       size_t b_count);
/* "c.yaml:7: path '/docs'", as mistakes begin. */
void serve_route_say(const struct serve_route *route, char *out, size_t cap);

struct serve_routes;

/*
 * Makes their handler. They have been looked at.
 *
 *   headers  name, value, ..., NULL, for files; copied
 *   inner    for all other paths; copied, its ctx borrowed
 *
 * SHS_OK, or < 0 with *err.
 */
int serve_routes_new(struct serve_routes **out, const struct serve_route *routes, size_t count,
                     const char *const *headers, const struct shs_http_handler *inner,
                     struct shs_error *err);
void serve_routes_free(struct serve_routes *self); /* NULL is fine */
const struct shs_http_handler *serve_routes_handler(const struct serve_routes *self);

#endif
