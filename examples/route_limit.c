/*
 * route_limit.c - a mixin of your own in one file that bounds how many requests of a route run at
 * once. One more is answered 503 with Retry-After, at once: it holds neither a thread nor a place.
 *
 *   route_limit [PORT]      then, three times at once:  curl -i localhost:PORT/report?ms=2000
 *
 *   RouteLimitMixIn > ThreadPoolMixIn > HTTPServer > TCPServer > BaseServer
 *
 * It is two things with one state: a layer of the server, which sees its life, and a middleware,
 * which sees requests.
 */
#include <shs/shs.h>

#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <unistd.h>

/* -- the mixin --------------------------------------------------------------------------------- */

struct limited_route {
    const char *name;
    unsigned most; /* at once */
    _Atomic unsigned running;
    _Atomic unsigned refused;
};

struct route_limit_mixin {
    struct shs_layer layer;
    struct limited_route *routes;
    size_t count;
};

/* The middleware of a route; ctx is its struct limited_route. Handlers run on several threads. */
static int limit(struct shs_request *req, struct shs_response *res, void *ctx,
                 const struct shs_next *next)
{
    struct limited_route *route = ctx;
    int rc;

    if (atomic_fetch_add(&route->running, 1) < route->most) {
        rc = shs_next_call(next, req, res); /* it may block for as long as it likes */
    } else {
        atomic_fetch_add(&route->refused, 1);
        rc = shs_response_stand(res, "Retry-After", "1");
        if (rc == 0)
            rc = shs_send_page(res, 503, "As many of these run already as may.");
    }
    atomic_fetch_sub(&route->running, 1);
    return rc;
}

/* When everything has ended, what there was to refuse. */
static int close_and_tell(struct shs_layer *layer)
{
    struct route_limit_mixin *self = SHS_CONTAINER_OF(layer, struct route_limit_mixin, layer);
    int rc = shs_super_server_close(layer);

    for (size_t i = 0; i < self->count; i++)
        printf("%s: at most %u at once, %u refused\n", self->routes[i].name, self->routes[i].most,
               atomic_load(&self->routes[i].refused));
    return rc;
}

static const struct shs_server_ops route_limit_ops = {.name = "RouteLimitMixIn",
                                                      .server_close = close_and_tell};

/* -- a server with it -------------------------------------------------------------------------- */

static int say(struct shs_response *res, const char *text)
{
    SHS_RETURN_IF_ERROR(shs_send_response(res, 200));
    SHS_RETURN_IF_ERROR(shs_send_header(res, "Content-Type", "text/plain"));
    return shs_write(res, text, shs_str_of(text).len);
}

/* Blocks for ?ms=, as a database would; says from when to when. */
static int report(struct shs_request *req, struct shs_response *res)
{
    int64_t began = shs_now_ns();
    uint64_t ms = 0;
    char text[80];

    SHS_RETURN_IF_ERROR(shs_request_query_number(req, "ms", 10000, &ms));
    usleep((useconds_t)ms * 1000);
    snprintf(text, sizeof text, "%lld %lld\n", (long long)began, (long long)shs_now_ns());
    return say(res, text);
}

static int hello(struct shs_request *req, struct shs_response *res)
{
    (void)req;
    return say(res, "Hello, world\n");
}

static struct shs_server *server;

static void on_stop(int sig)
{
    (void)sig;
    shs_shutdown(server);
}

int main(int argc, char **argv)
{
    static struct limited_route limited[] = {{.name = "/report", .most = 2},
                                             {.name = "/export", .most = 1}};
    static struct route_limit_mixin mixin = {.routes = limited, .count = 2};
    const struct shs_middleware two = {"limit", limit, &limited[0]},
                                one = {"limit", limit, &limited[1]};
    const struct shs_middleware *const of_report[] = {&two, NULL}, *const of_export[] = {&one,
                                                                                         NULL};
    const struct shs_route routes[] = {SHS_ROUTE("GET", "/", hello),
                                       {"GET", "/report", report, NULL, NULL, of_report, 0, 0},
                                       {"GET", "/export", report, NULL, NULL, of_export, 0, 0},
                                       SHS_ROUTES_END};
    static struct sigaction stop;
    struct shs_router *router = NULL;
    struct shs_options opt;
    struct shs_error err;

    shs_options_init(&opt);
    opt.port = argc > 1 ? argv[1] : "0";
    opt.bind_and_activate = false; /* compose first */
    if (shs_router_new(&router, routes, NULL, &err) != 0 ||
        shs_http_server_new(&server, &opt, shs_router_handler(router), &err) != 0 ||
        shs_thread_pool_mixin_push(server, &err) != 0 ||
        shs_server_push(server, &mixin.layer, &route_limit_ops) != 0 ||
        shs_server_bind_and_activate(server, &err) != 0)
        return fprintf(stderr, "route_limit: %s\n", err.text), 1;
    stop.sa_handler = on_stop;
    sigaction(SIGTERM, &stop, NULL);
    printf("Serving HTTP on 127.0.0.1 port %u (http://127.0.0.1:%u/) ...\n%s\n",
           shs_server_port(server), shs_server_port(server), shs_server_describe(server));
    fflush(stdout);
    int rc = shs_serve_forever(server);
    shs_server_free(server);
    shs_router_free(router);
    return rc != 0;
}
