/*
 * serve_site.h - what `shs serve` serves and what stands in front of it: the handlers that come of
 * its settings.
 */
#ifndef SHS_CMD_SERVE_SITE_H
#define SHS_CMD_SERVE_SITE_H

#include <shs/access.h>
#include <shs/middleware.h>
#include <shs/static_files.h>

#include "base/base.h"
#include "cmd/serve_proxy.h"
#include "cmd/serve_routes.h"
#include "cmd/settings.h"

struct serve_site_options {
    struct setting_list index; /* none = the usual names */
    const char *cors;          /* NULL: none */
    struct setting_list write_origins, own_origins;
    const char *auth_file;
    const char *access; /* a file of rules; NULL: everybody may */
    bool spa, no_listing, no_compress, upload, archive;
    uint64_t max_upload; /* 0: not given */
    struct setting_list proxies;
    unsigned proxy_timeout_ms; /* 0: not given */
};

struct serve_site_routes;

/* The handlers, from the inside to the outside. */
struct serve_site {
    struct shs_static_files *files;
    struct serve_site_routes *routes; /* NULL: none, and there will be none */
    struct serve_proxies *proxies;
    struct shs_access_rules *access;
    struct shs_chain *guarded; /* what the rules stand before */
    struct shs_basic_auth *auth;
    struct shs_cors *cors;
    struct shs_http_handler handler; /* the outermost */
};

/*
 * Makes them.
 *
 *   inner    NULL: the files of `directory`
 *   headers  name, value, ..., NULL, for the files
 *   changes  there may be other routes later
 */
int serve_site_make(struct serve_site *self, const struct serve_site_options *o,
                    const struct shs_http_handler *inner, const char *directory,
                    const char *const *headers, const struct serve_route *routes,
                    size_t route_count, bool changes);
/*
 * Other routes for one that `changes`, in two steps: made, then taken. *out is NULL for none. Who
 * is answered meanwhile keeps those that he came by. Any thread.
 */
int serve_site_read_routes(struct serve_site *self, const struct serve_route *routes, size_t count,
                           const char *const *headers, struct serve_routes **out,
                           struct shs_error *err);
void serve_site_take_routes(struct serve_site *self, struct serve_routes *routes);
void serve_site_free(struct serve_site *self);

#endif
