/*
 * router_bench.c - what a router and a chain cost, beside the bare handler: nanoseconds a request,
 * in memory, without a server. `router_bench [COUNT [CASE]]`; with a CASE, 0 to 4, only that one,
 * five times COUNT requests, for callgrind.
 */
#include <stdio.h>
#include <stdlib.h>

#include <shs/middleware.h>
#include <shs/router.h>

#include "http/exchange.h"

#define ROUTES 1000

static int no_body(struct shs_exchange *x, void *buf, size_t cap, size_t *got)
{
    (void)x;
    (void)buf;
    (void)cap;
    *got = 0;
    return SHS_OK;
}

static int discard(struct shs_exchange *x, const void *buf, size_t len)
{
    (void)x;
    (void)buf;
    (void)len;
    return SHS_OK;
}

static const struct shs_exchange_ops ops = {.read_body = no_body, .send_body = discard};

static int hello(struct shs_request *req, struct shs_response *res)
{
    (void)req;
    SHS_RETURN_IF_ERROR(shs_send_response(res, 200));
    SHS_RETURN_IF_ERROR(shs_send_header(res, "Content-Type", "text/plain"));
    SHS_RETURN_IF_ERROR(shs_end_headers(res));
    return shs_write(res, "hello\n", 6);
}

static int counts(struct shs_request *req, struct shs_response *res, void *ctx,
                  const struct shs_next *next)
{
    ++*(unsigned long *)ctx;
    SHS_RETURN_IF_ERROR(shs_request_set_slot(req, ctx, ctx));
    return shs_next_call(next, req, res);
}

/* The best of five rounds, in ns a request. */
static double measure(const struct shs_http_handler *handler, const char *path, unsigned long count)
{
    double best = 1e9;

    for (int round = 0; round < 5; round++) {
        int64_t began = shs_now_ns();
        double ns;

        for (unsigned long i = 0; i < count; i++) {
            struct shs_exchange x;

            shs__exchange_init(&x, &ops, 65536);
            x.req.head.method = SHS_STR("GET");
            x.req.head.target = x.req.head.path = shs__str(path);
            x.req.head.version = 11;
            if (shs_handler_call(handler, &x.req, &x.res) != SHS_OK || x.res.status != 200)
                return -1;
            shs__exchange_clear(&x);
        }
        ns = (double)(shs_now_ns() - began) / (double)count;
        best = ns < best ? ns : best;
    }
    return best;
}

int main(int argc, char **argv)
{
    unsigned long count = argc > 1 ? strtoul(argv[1], NULL, 10) : 200000, calls[3] = {0, 0, 0};
    static const struct shs_http_handler bare = {.name = "hello", .do_GET = hello};
    static char patterns[ROUTES][48];
    static struct shs_route routes[ROUTES + 1];
    struct shs_middleware mw[3] = {
        {"a", counts, &calls[0]}, {"b", counts, &calls[1]}, {"c", counts, &calls[2]}};
    const struct shs_middleware *const chain[] = {&mw[0], &mw[1], &mw[2], NULL};
    struct shs_middleware security = shs_security_middleware(NULL);
    const struct shs_middleware *const real[] = {&security, NULL};
    struct shs_router *router;
    struct shs_error err;
    double base = 0;

    for (unsigned i = 0; i < ROUTES; i++) {
        snprintf(patterns[i], sizeof patterns[i], i % 2 ? "/api/v1/kind%u/{id}" : "/api/v1/kind%u",
                 i);
        routes[i].method = "GET";
        routes[i].pattern = patterns[i];
        routes[i].fn = hello;
    }
    routes[500].chain = chain;
    routes[600].chain = real;
    if (shs_router_new(&router, routes, NULL, &err) != SHS_OK) {
        fprintf(stderr, "%s\n", err.text);
        return 1;
    }
    const struct {
        const char *what, *path;
        const struct shs_http_handler *handler;
    } cases[] = {
        {"bare handler", "/", &bare},
        {"one of 1000 routes", "/api/v1/kind502", shs_router_handler(router)},
        {"the same with a parameter", "/api/v1/kind501/12345", shs_router_handler(router)},
        {"routed, three middleware and slots", "/api/v1/kind500", shs_router_handler(router)},
        {"routed, security fields", "/api/v1/kind600", shs_router_handler(router)},
    };

    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        double ns;

        if (argc > 2 && strtoul(argv[2], NULL, 10) != i)
            continue;
        ns = measure(cases[i].handler, cases[i].path, count);
        base = i == 0 ? ns : base;
        printf("%-36s %s%6.0f ns\n", cases[i].what, i == 0 || argc > 2 ? " " : "+",
               ns - (i == 0 ? 0 : base));
    }
    shs_router_free(router);
    return 0;
}
