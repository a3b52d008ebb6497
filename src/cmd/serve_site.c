#include "cmd/serve_site.h"

#include <pthread.h>
#include <stdatomic.h>

#include "cmd/cmd.h"

#define PROXY_TIMEOUT_MS 60000

/* -- routes, which may become others ----------------------------------------------------------- */

/* Counted by the site, and by each request that it answers. */
struct counted_routes {
    _Atomic unsigned refs;
    struct serve_routes *routes; /* NULL: none */
};

struct serve_site_routes {
    pthread_mutex_t lock; /* of `now`, for as long as it takes to count */
    struct counted_routes *now;
    struct shs_http_handler inner, handler;
};

static struct counted_routes *count_routes(struct serve_routes *routes)
{
    struct counted_routes *self = shs__calloc(1, sizeof *self);

    if (self != NULL) {
        atomic_init(&self->refs, 1);
        self->routes = routes;
    }
    return self;
}

static void let_go(void *counted)
{
    struct counted_routes *self = counted;

    if (self == NULL || atomic_fetch_sub(&self->refs, 1) != 1)
        return;
    serve_routes_free(self->routes);
    shs__free(self);
}

static int answer_by_routes(struct shs_request *req, struct shs_response *res)
{
    struct serve_site_routes *self = shs_request_ctx(req);
    struct counted_routes *now;
    int rc;

    pthread_mutex_lock(&self->lock);
    now = self->now;
    atomic_fetch_add(&now->refs, 1);
    pthread_mutex_unlock(&self->lock);
    rc = shs_request_on_end(req, let_go, now);
    if (rc != SHS_OK) {
        let_go(now);
        return rc;
    }
    return shs_handler_call(now->routes == NULL ? &self->inner : serve_routes_handler(now->routes),
                            req, res);
}

int serve_site_read_routes(struct serve_site *self, const struct serve_route *routes, size_t count,
                           const char *const *headers, struct serve_routes **out,
                           struct shs_error *err)
{
    *out = NULL;
    if (count == 0)
        return SHS_OK;
    return serve_routes_new(out, routes, count, headers, &self->routes->inner, err);
}

void serve_site_take_routes(struct serve_site *self, struct serve_routes *routes)
{
    struct counted_routes *now = count_routes(routes), *before;

    if (now == NULL) { /* a few bytes: the old ones stay */
        serve_routes_free(routes);
        return;
    }
    pthread_mutex_lock(&self->routes->lock);
    before = self->routes->now;
    self->routes->now = now;
    pthread_mutex_unlock(&self->routes->lock);
    let_go(before);
}

static int make_routes(struct serve_site *self, const struct serve_route *routes, size_t count,
                       const char *const *headers, struct shs_error *err)
{
    struct serve_routes *made;
    int rc;

    self->routes = shs__calloc(1, sizeof *self->routes);
    if (self->routes == NULL)
        return shs_error_set(err, SHS_NOMEM, 0, "out of memory for routes");
    pthread_mutex_init(&self->routes->lock, NULL);
    self->routes->inner = self->handler;
    rc = serve_site_read_routes(self, routes, count, headers, &made, err);
    if (rc != SHS_OK)
        return rc;
    self->routes->now = count_routes(made);
    if (self->routes->now == NULL) {
        serve_routes_free(made);
        return shs_error_set(err, SHS_NOMEM, 0, "out of memory for routes");
    }
    self->handler = (struct shs_http_handler){
        .name = self->handler.name,
        .do_HEAD = answer_by_routes,
        .do_any = answer_by_routes,
        .ctx = self->routes,
    };
    return SHS_OK;
}

static void free_routes(struct serve_site_routes *self)
{
    if (self == NULL)
        return;
    let_go(self->now);
    pthread_mutex_destroy(&self->lock);
    shs__free(self);
}

/* -- what it is made of ------------------------------------------------------------------------ */

static int make_files(struct serve_site *self, const struct serve_site_options *o,
                      const char *directory, const char *const *headers, struct shs_error *err)
{
    struct shs_static_options opt;
    int rc;

    shs_static_options_init(&opt);
    opt.directory = directory;
    opt.extra_headers = headers;
    opt.index_pages = o->index.count > 0 ? o->index.items : NULL;
    opt.listing = !o->no_listing;
    opt.spa = o->spa;
    opt.compress = !o->no_compress;
    opt.archive = o->archive;
    opt.upload = o->upload;
    opt.write_origins = o->write_origins.items;
    opt.own_origins = o->own_origins.items;
    if (o->max_upload > 0)
        opt.max_upload = o->max_upload;
    rc = shs_static_files_new(&self->files, &opt, err);
    if (rc == SHS_OK)
        self->handler = *shs_static_files_handler(self->files);
    return rc;
}

static int make_proxies(struct serve_site *self, const struct serve_site_options *o,
                        struct shs_error *err)
{
    unsigned ms = o->proxy_timeout_ms == 0 ? PROXY_TIMEOUT_MS : o->proxy_timeout_ms;
    int rc = serve_proxies_new(&self->proxies, &o->proxies, ms, &self->handler, err);

    if (rc == SHS_OK)
        self->handler = *serve_proxies_handler(self->proxies);
    return rc;
}

/* Behind authentication, so that a user has his name when the rules ask for it. */
static int make_access(struct serve_site *self, const struct serve_site_options *o,
                       struct shs_error *err)
{
    const struct shs_middleware *chain[2] = {NULL, NULL};
    int rc = shs_access_new(&self->access, o->access, err);

    if (rc != SHS_OK)
        return rc;
    chain[0] = shs_access_middleware(self->access);
    rc = shs_chain_new(&self->guarded, chain, &self->handler, err);
    if (rc == SHS_OK)
        self->handler = *shs_chain_handler(self->guarded);
    return rc;
}

/* Who may write may read, also where nobody else may. */
static int make_cors(struct serve_site *self, const struct serve_site_options *o,
                     struct shs_error *err)
{
    const char *readers = o->cors != NULL ? o->cors : o->write_origins.items[0];
    int rc = shs_cors_new(&self->cors, &self->handler, readers, err);

    if (rc == SHS_OK)
        rc = shs_cors_set_writers(self->cors, o->write_origins.items, err);
    if (rc == SHS_OK)
        self->handler = *shs_cors_handler(self->cors);
    return rc;
}

int serve_site_make(struct serve_site *self, const struct serve_site_options *o,
                    const struct shs_http_handler *inner, const char *directory,
                    const char *const *headers, const struct serve_route *routes,
                    size_t route_count, bool changes)
{
    struct shs_error err = {.code = SHS_OK};
    int rc = SHS_OK;

    if (inner != NULL)
        self->handler = *inner;
    else
        rc = make_files(self, o, directory, headers, &err);
    if (rc == SHS_OK && (route_count > 0 || changes))
        rc = make_routes(self, routes, route_count, headers, &err);
    if (rc == SHS_OK && o->proxies.count > 0)
        rc = make_proxies(self, o, &err);
    if (rc == SHS_OK && o->access != NULL)
        rc = make_access(self, o, &err);
    if (rc == SHS_OK && o->auth_file != NULL) {
        rc = shs_basic_auth_new(&self->auth, &self->handler, o->auth_file, "shs", &err);
        if (rc == SHS_OK)
            self->handler = *shs_basic_auth_handler(self->auth);
    }
    if (rc == SHS_OK && (o->cors != NULL || o->write_origins.count > 0))
        rc = make_cors(self, o, &err);
    if (rc != SHS_OK)
        return cmd_fail(rc == SHS_USAGE ? CMD_USAGE : CMD_FAILED, "%s", err.text);
    return CMD_OK;
}

void serve_site_free(struct serve_site *self)
{
    shs_cors_free(self->cors);
    shs_basic_auth_free(self->auth);
    shs_chain_free(self->guarded);
    shs_access_free(self->access);
    serve_proxies_free(self->proxies);
    free_routes(self->routes);
    shs_static_files_free(self->files);
}
