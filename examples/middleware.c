/* middleware.c - a chain in front of everything, one for a group, and one of your own:
 *   `middleware 8080`, then  curl -i localhost:8080/            curl localhost:8080/slow
 *   curl -H 'Authorization: Bearer sesame' localhost:8080/private/hello */
#include <shs/shs.h>
#include <signal.h>
#include <stdio.h>
#include <unistd.h>

static struct shs_server *server;

/* -- one of your own: how long did it take? -- */

static int timed(struct shs_request *req, struct shs_response *res, void *ctx,
                 const struct shs_next *next)
{
    int64_t began = shs_now_ns();
    int rc = shs_next_call(next, req, res);
    struct shs_str path = shs_request_full_path(req);

    fprintf((FILE *)ctx, "%.*s took %d us\n", (int)path.len, path.ptr,
            (int)((shs_now_ns() - began) / 1000));
    return rc;
}

/* -- handlers -- */

static int say(struct shs_response *res, struct shs_str text)
{
    SHS_RETURN_IF_ERROR(shs_send_response(res, 200));
    SHS_RETURN_IF_ERROR(shs_send_header(res, "Content-Type", "text/plain"));
    return shs_write(res, text.ptr, text.len);
}

static int hello(struct shs_request *req, struct shs_response *res)
{
    struct shs_str user = shs_request_user(req);
    return say(res, user.ptr != NULL ? user : shs_str_of("Hello, world\n"));
}

static int echo(struct shs_request *req, struct shs_response *res)
{
    struct shs_str body;
    SHS_RETURN_IF_ERROR(shs_request_body(req, 1000000, &body));
    return say(res, body);
}

static int slow(struct shs_request *req, struct shs_response *res)
{
    while (shs_now_ns() < shs_request_deadline(req)) /* work, and look at the clock */
        continue;
    return say(res, shs_str_of("too late\n"));
}

static int broken(struct shs_request *req, struct shs_response *res)
{
    (void)req;
    (void)res;
    return SHS_IO; /* a file that cannot be read, say */
}

static void on_stop(int sig)
{
    (void)sig;
    shs_shutdown(server);
}

int main(int argc, char **argv)
{
    /* The names of people by the digests of their tokens: printf %s sesame | sha256sum */
    const struct shs_bearer_token tokens[] = {
        {"d0c04f4b1951e4aeaaec8223ed2039e542f3aae805a6fa7f6d794e5afff5d272", "ali"}, {NULL, NULL}};
    const struct shs_error_answer errors[] = {{SHS_IO, 502, "The store is away."}, {0, 0, NULL}};
    const uint64_t max_body = 1000;
    const unsigned limit_ms = 50;
    static struct sigaction stop;
    struct shs_rate_options rates;
    struct shs_rate_limit *rate = NULL;
    struct shs_bearer *bearer = NULL;
    struct shs_cors *cors = NULL;
    struct shs_compress *compress = NULL;
    struct shs_access_log *log = NULL;
    struct shs_router *router = NULL;
    struct shs_chain *all = NULL;
    struct shs_options opt;
    struct shs_error err;

    shs_options_init(&opt);
    opt.port = argc > 1 ? argv[1] : "0";
    shs_rate_options_init(&rates);
    rates.burst = argc > 2 ? 5 : 100; /* requests of one address at once, then 60 a minute */
    rates.per_minute = 60;
    if (shs_rate_limit_new(&rate, NULL, &rates, &err) != 0 ||
        shs_bearer_new(&bearer, NULL, tokens, NULL, NULL, "example", &err) != 0 ||
        shs_cors_new(&cors, NULL, "https://app.example", &err) != 0 ||
        shs_compress_new(&compress, NULL, NULL, &err) != 0 ||
        shs_access_log_new(&log, NULL, STDERR_FILENO, NULL, &err) != 0)
        return fprintf(stderr, "middleware: %s\n", err.text), 1;

    const struct shs_middleware time = {"timed", timed, stderr};
    const struct shs_middleware id = shs_request_id_middleware(NULL);
    const struct shs_middleware security = shs_security_middleware(NULL);
    const struct shs_middleware mapped = shs_error_map_middleware(errors);
    const struct shs_middleware small = shs_body_limit_middleware(&max_body);
    const struct shs_middleware quick = shs_time_limit_middleware(&limit_ms);
    const struct shs_middleware *const in_front[] = {
        shs_access_log_middleware(log),    &time,   &id, &security, shs_rate_limit_middleware(rate),
        shs_compress_middleware(compress), &mapped, NULL};
    const struct shs_middleware *const of_group[] = {shs_cors_middleware(cors),
                                                     shs_bearer_middleware(bearer), NULL};
    const struct shs_middleware *const of_slow[] = {&quick, NULL}, *const of_echo[] = {&small,
                                                                                       NULL};
    const struct shs_route of_private[] = {SHS_ROUTE("GET", "/hello", hello), SHS_ROUTES_END};
    const struct shs_route routes[] = {SHS_ROUTE("GET", "/", hello),
                                       SHS_ROUTE("GET", "/broken", broken),
                                       {"GET", "/slow", slow, NULL, NULL, of_slow, 0, 0},
                                       {"POST", "/echo", echo, NULL, NULL, of_echo, 0, 0},
                                       SHS_GROUP("/private", of_private, of_group),
                                       SHS_ROUTES_END};

    if (shs_router_new(&router, routes, NULL, &err) != 0 ||
        shs_chain_new(&all, in_front, shs_router_handler(router), &err) != 0 ||
        shs_threading_http_server_new(&server, &opt, shs_chain_handler(all), &err) != 0)
        return fprintf(stderr, "middleware: %s\n", err.text), 1;
    stop.sa_handler = on_stop;
    sigaction(SIGTERM, &stop, NULL);
    unsigned port = shs_server_port(server);
    printf("Serving HTTP on 127.0.0.1 port %u (http://127.0.0.1:%u/) ...\n", port, port);
    fflush(stdout);
    int rc = shs_serve_forever(server);
    shs_server_free(server);
    shs_chain_free(all);
    shs_router_free(router);
    shs_cors_free(cors);
    shs_compress_free(compress);
    shs_access_log_free(log);
    shs_bearer_free(bearer);
    shs_rate_limit_free(rate);
    return rc != 0;
}
