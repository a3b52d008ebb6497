#include "cmd/serve_proxy.h"

#include <stdio.h>

#include <shs/router.h>

#include "base/base.h"
#include "cmd/proxy_fields.h"
#include "cmd/proxy_head.h"
#include "cmd/proxy_talk.h"
#include "cmd/proxy_target.h"

#define VIA_MAX 8u /* of these: then servers ask one another in a circle */

struct proxy {
    struct proxy_target target;
    unsigned timeout_ms;
    struct shs_http_handler below, exact; /* of "/api/..." and of "/api" itself */
};

struct serve_proxies {
    struct proxy *items;
    size_t count;
    struct shs_http_handler inner, handler;
    struct shs_router *router;
    struct shs_route *routes;
    char (*patterns)[PROXY_PATTERN_MAX];
};

/* -- what is passed on ------------------------------------------------------------------------- */

/* How often such servers have passed it on already. */
static size_t count_via(const struct shs_request *req)
{
    struct shs_str name, value;
    size_t count = 0;

    for (size_t i = 0; shs_request_header_at(req, i, &name, &value); i++) {
        if (shs__str_eq_nocase(name, SHS_STR("Via")) &&
            proxy_list_has(value, SHS_STR("1.1 " PROXY_PSEUDONYM)))
            count++;
    }
    return count;
}

static bool asks_for_websocket(const struct shs_request *req)
{
    struct shs_str name, value;

    for (size_t i = 0; shs_request_header_at(req, i, &name, &value); i++) {
        if (shs__str_eq_nocase(name, SHS_STR("Upgrade")) &&
            proxy_list_has(value, SHS_STR("websocket")))
            return true;
    }
    return false;
}

/* The next byte of a path with its escapes read, and how many bytes it took. */
static char next_byte(struct shs_str path, size_t at, size_t *used)
{
    unsigned value = 0;
    char hex[3];

    *used = 1;
    if (path.ptr[at] != '%' || path.len - at < 3)
        return path.ptr[at];
    memcpy(hex, path.ptr + at + 1, 2);
    hex[2] = '\0';
    if (sscanf(hex, "%2x", &value) != 1)
        return path.ptr[at];
    *used = 3;
    return (char)value;
}

/*
 * "..;x" is ".." to servers that take off parameters, and a backslash is a slash to others: they
 * would leave the path that is theirs. What everybody reads as "..", the router has refused.
 */
static bool leads_astray(struct shs_str path)
{
    size_t dots = 0, used;
    bool only_dots = true;

    for (size_t at = 0; at < path.len; at += used) {
        char c = next_byte(path, at, &used);

        if (c == '\\' || (c == ';' && only_dots && (dots == 1 || dots == 2)))
            return true;
        dots = c == '/' ? 0 : dots + 1;
        only_dots = c == '/' || (only_dots && c == '.');
    }
    return false;
}

static int answer(struct shs_request *req, struct shs_response *res, bool exact)
{
    const struct proxy *proxy = shs_request_ctx(req);

    if (leads_astray(shs_request_full_path(req)))
        return shs_send_page(res, 404, NULL);
    if (shs_str_is(shs_request_method(req), "TRACE")) /* it would show what we add */
        return shs_send_page(res, 501, "TRACE is not passed on to the server behind this one.");
    if (asks_for_websocket(req))
        return shs_send_page(res, 501, "WebSocket is not passed on to the server behind this one.");
    if (count_via(req) >= VIA_MAX)
        return shs_send_page(res, 508, "These servers pass the request on in a circle.");
    return proxy_talk(req, res, &proxy->target, proxy->timeout_ms, exact);
}

static int answer_below(struct shs_request *req, struct shs_response *res)
{
    return answer(req, res, false);
}

static int answer_exact(struct shs_request *req, struct shs_response *res)
{
    return answer(req, res, true);
}

/* -- making them ------------------------------------------------------------------------------- */

static int make_one(struct proxy *self, const char *text, unsigned timeout_ms,
                    struct shs_error *err)
{
    self->timeout_ms = timeout_ms;
    self->below = (struct shs_http_handler){
        .name = "Proxy", .do_HEAD = answer_below, .do_any = answer_below, .ctx = self};
    self->exact = (struct shs_http_handler){
        .name = "Proxy", .do_HEAD = answer_exact, .do_any = answer_exact, .ctx = self};
    return proxy_target_init(&self->target, text, err);
}

static void add_route(struct serve_proxies *self, size_t at, const char *prefix, const char *behind,
                      const struct shs_http_handler *handler)
{
    snprintf(self->patterns[at], PROXY_PATTERN_MAX, "%s%s", prefix, behind);
    self->routes[at] =
        (struct shs_route){.method = "*", .pattern = self->patterns[at], .handler = handler};
}

static int make_router(struct serve_proxies *self, struct shs_error *err)
{
    bool all = false;
    size_t at = 0;

    self->routes = shs__calloc(2 * self->count + 2, sizeof *self->routes);
    self->patterns = shs__calloc(2 * self->count + 1, sizeof *self->patterns);
    if (self->routes == NULL || self->patterns == NULL)
        return shs_error_set(err, SHS_NOMEM, 0, "out of memory for --proxy");
    for (size_t i = 0; i < self->count; i++) {
        struct proxy *proxy = &self->items[i];

        all = all || proxy->target.prefix[0] == '\0';
        add_route(self, at++, proxy->target.prefix, "/{path...}", &proxy->below);
        if (proxy->target.prefix[0] != '\0')
            add_route(self, at++, proxy->target.prefix, "", &proxy->exact);
    }
    if (!all)
        add_route(self, at++, "", "/{path...}", &self->inner);
    return shs_router_new(&self->router, self->routes, NULL, err);
}

int serve_proxies_new(struct serve_proxies **out, const struct setting_list *list,
                      unsigned timeout_ms, const struct shs_http_handler *inner,
                      struct shs_error *err)
{
    struct serve_proxies *self = shs__calloc(1, sizeof *self);
    int rc = SHS_OK;

    if (self != NULL)
        self->items = shs__calloc(list->count, sizeof *self->items);
    if (self == NULL || self->items == NULL) {
        shs__free(self);
        return shs_error_set(err, SHS_NOMEM, 0, "out of memory for --proxy");
    }
    self->inner = *inner;
    while (rc == SHS_OK && self->count < list->count) {
        size_t i = self->count++;

        rc = make_one(&self->items[i], list->items[i], timeout_ms, err);
    }
    if (rc == SHS_OK)
        rc = make_router(self, err);
    if (rc != SHS_OK) {
        serve_proxies_free(self);
        return rc;
    }
    self->handler = *shs_router_handler(self->router);
    *out = self;
    return SHS_OK;
}

void serve_proxies_free(struct serve_proxies *self)
{
    if (self == NULL)
        return;
    shs_router_free(self->router);
    for (size_t i = 0; i < self->count; i++)
        proxy_target_free(&self->items[i].target);
    shs__free(self->items);
    shs__free(self->routes);
    shs__free(self->patterns);
    shs__free(self);
}

const struct shs_http_handler *serve_proxies_handler(const struct serve_proxies *self)
{
    return &self->handler;
}
