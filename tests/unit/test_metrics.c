/* test_metrics.c - shs/metrics.h: what is counted is what happened. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <shs/metrics.h>
#include <shs/router.h>
#include <shs/testing.h>

#define THREADS 8
#define EACH 500

static int get_item(struct shs_request *req, struct shs_response *res)
{
    struct shs_str id;

    if (!shs_request_param(req, "id", &id))
        return SHS_USAGE;
    SHS_RETURN_IF_ERROR(shs_send_response(res, 200 + (id.ptr[0] - '0')));
    return shs_write(res, "12345", 5);
}

static const struct shs_route routes[] = {SHS_ROUTE("GET", "/items/{id}", get_item),
                                          SHS_ROUTES_END};

struct bench {
    struct shs_metrics *metrics;
    struct shs_metrics_link link;
    struct shs_router *router;
    const struct shs_http_handler *handler;
};

static int set_up(void **state)
{
    static struct bench bench;

    assert_int_equal(shs_metrics_new(&bench.metrics, NULL), SHS_OK);
    assert_int_equal(shs_router_new(&bench.router, routes, NULL, NULL), SHS_OK);
    bench.handler = shs_metrics_count(bench.metrics, &bench.link, shs_router_handler(bench.router));
    *state = &bench;
    return 0;
}

static int tear_down(void **state)
{
    struct bench *bench = *state;

    shs_router_free(bench->router);
    shs_metrics_free(bench->metrics);
    return 0;
}

static void call(const struct shs_http_handler *handler, const char *method, const char *target)
{
    struct shs_test_request ask;
    struct shs_test_answer *answer;
    struct shs_error err;

    shs_test_request_init(&ask);
    ask.method = method;
    ask.target = target;
    assert_int_equal(shs_test_call(&answer, handler, &ask, &err), SHS_OK);
    shs_test_answer_free(answer);
}

/* The page; for free(). */
static char *page_of(const struct bench *bench)
{
    struct shs_test_request ask;
    struct shs_test_answer *answer;
    struct shs_error err;
    char *page;

    shs_test_request_init(&ask);
    ask.target = "/metrics";
    assert_int_equal(shs_test_call(&answer, shs_metrics_handler(bench->metrics), &ask, &err),
                     SHS_OK);
    assert_int_equal(shs_test_answer_status(answer), 200);
    assert_string_equal(shs_test_answer_header(answer, "Content-Type"),
                        "text/plain; version=0.0.4; charset=utf-8");
    page = strdup(shs_test_answer_body(answer).ptr);
    shs_test_answer_free(answer);
    return page;
}

/* The page has that line. */
static void assert_line(const char *page, const char *line)
{
    const char *at = page;
    size_t len = strlen(line);

    while ((at = strstr(at, line)) != NULL) {
        if ((at == page || at[-1] == '\n') && at[len] == '\n')
            return;
        at += len;
    }
    print_message("not there: %s\n%s\n", line, page);
    fail();
}

static void test_counts_are_exact(void **state)
{
    struct bench *bench = *state;
    char *page;

    for (int i = 0; i < 3; i++)
        call(bench->handler, "GET", "/items/0");
    call(bench->handler, "GET", "/items/1");
    call(bench->handler, "HEAD", "/items/0");
    call(bench->handler, "GET", "/none");
    call(bench->handler, "BREW", "/items/0");
    call(bench->handler, "GET", "/bad\x01path");
    page = page_of(bench);
    assert_line(page,
                "shs_http_requests_total{route=\"/items/{id}\",method=\"GET\",code=\"200\"} 3");
    assert_line(page,
                "shs_http_requests_total{route=\"/items/{id}\",method=\"GET\",code=\"201\"} 1");
    assert_line(page,
                "shs_http_requests_total{route=\"/items/{id}\",method=\"HEAD\",code=\"200\"} 1");
    assert_line(page, "shs_http_requests_total{route=\"\",method=\"GET\",code=\"404\"} 1");
    assert_line(page, "shs_http_requests_total{route=\"\",method=\"other\",code=\"405\"} 1");
    assert_line(page, "shs_http_requests_total{route=\"\",method=\"other\",code=\"400\"} 1");
    assert_line(page, "shs_http_request_duration_seconds_count{route=\"/items/{id}\"} 5");
    assert_line(page,
                "shs_http_request_duration_seconds_bucket{route=\"/items/{id}\",le=\"+Inf\"} 5");
    assert_line(page, "shs_http_response_body_bytes_total{route=\"/items/{id}\"} 20");
    free(page);
}

static _Atomic unsigned logged;

static void log_one(void *ctx, const struct shs_access *access)
{
    assert_ptr_equal(ctx, &logged);
    logged += access->status == 200;
}

/* What logged before logs on. */
static void test_the_log_goes_on(void **state)
{
    struct bench *bench = *state;
    struct shs_metrics_link link;
    struct shs_http_handler inner = *shs_router_handler(bench->router);
    const struct shs_http_handler *outer;

    inner.log_request = log_one;
    inner.log_ctx = &logged;
    outer = shs_metrics_count(bench->metrics, &link, &inner);
    logged = 0;
    call(outer, "GET", "/items/0");
    assert_int_equal(logged, 1);
}

static void *hammer(void *bench_ptr)
{
    struct bench *bench = bench_ptr;
    struct shs_access access = {.status = 200, .body_bytes = 2, .duration_ns = 1500000};

    for (int i = 0; i < EACH; i++) {
        access.status = 200 + i % 4;
        bench->handler->log_request(bench->handler->log_ctx, &access);
    }
    return NULL;
}

/* None is lost, whoever counts, and however many threads make the first of a series. */
static void test_threads(void **state)
{
    struct bench *bench = *state;
    pthread_t threads[THREADS];
    char line[200], *page;

    for (int i = 0; i < THREADS; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, hammer, bench), 0);
    page = page_of(bench); /* and a reader does not disturb */
    free(page);
    for (int i = 0; i < THREADS; i++)
        pthread_join(threads[i], NULL);
    page = page_of(bench);
    for (int i = 0; i < 4; i++) {
        snprintf(line, sizeof line,
                 "shs_http_requests_total{route=\"\",method=\"other\",code=\"%d\"} %d", 200 + i,
                 THREADS * EACH / 4);
        assert_line(page, line);
    }
    snprintf(line, sizeof line,
             "shs_http_request_duration_seconds_bucket{route=\"\",le=\"0.001\"} 0");
    assert_line(page, line);
    snprintf(line, sizeof line,
             "shs_http_request_duration_seconds_bucket{route=\"\",le=\"0.0025\"} %d",
             THREADS * EACH);
    assert_line(page, line);
    snprintf(line, sizeof line, "shs_http_request_duration_seconds_sum{route=\"\"} %d.000000000",
             THREADS * EACH * 15 / 10000);
    assert_line(page, line);
    snprintf(line, sizeof line, "shs_http_response_body_bytes_total{route=\"\"} %d",
             THREADS * EACH * 2);
    assert_line(page, line);
    free(page);
}

/* A handler that answers with any status: series have a ceiling, and no request is lost. */
static void test_ceiling(void **state)
{
    struct bench *bench = *state;
    struct shs_access access = {.duration_ns = 1};
    unsigned long sum = 0;
    unsigned lines = 0;
    char *page, *line, *rest;

    for (int i = 0; i < 900; i++) {
        access.status = 100 + i;
        bench->handler->log_request(bench->handler->log_ctx, &access);
    }
    page = page_of(bench);
    for (line = strtok_r(page, "\n", &rest); line != NULL; line = strtok_r(NULL, "\n", &rest)) {
        if (strncmp(line, "shs_http_requests_total{", 24) == 0) {
            lines++;
            sum += strtoul(strrchr(line, ' ') + 1, NULL, 10);
        }
    }
    assert_int_equal(sum, 900);
    assert_int_equal(lines, SHS_METRICS_SERIES_MAX + 1);
    free(page);
}

static void test_servers(void **state)
{
    struct bench *bench = *state;
    struct shs_server *server;
    struct shs_options opt;
    struct shs_error err;
    char *page, name[320];

    shs_options_init(&opt);
    opt.port = "0";
    opt.max_connections = 77;
    assert_int_equal(shs_http_server_new(&server, &opt, bench->handler, &err), SHS_OK);
    assert_int_equal(shs_metrics_add_server(bench->metrics, "a\"b\\c", server, &err), SHS_OK);
    assert_int_equal(shs_metrics_add_server(bench->metrics, "a\"b\\c", server, &err), SHS_USAGE);
    memset(name, 'n', sizeof name);
    name[300] = '\0';
    assert_int_equal(shs_metrics_add_server(bench->metrics, name, server, &err), SHS_USAGE);
    page = page_of(bench);
    assert_line(page, "shs_max_connections{server=\"a\\\"b\\\\c\"} 77");
    assert_line(page, "shs_connections{server=\"a\\\"b\\\\c\"} 0");
    assert_null(strstr(page, "shs_tls_"));
    free(page);
    for (int i = 1; i < SHS_METRICS_SERVERS_MAX; i++) {
        snprintf(name, sizeof name, "%d", i);
        assert_int_equal(shs_metrics_add_server(bench->metrics, name, server, &err), SHS_OK);
    }
    assert_int_equal(shs_metrics_add_server(bench->metrics, "more", server, &err), SHS_LIMIT);
    shs_server_free(server);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_counts_are_exact, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_the_log_goes_on, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_threads, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_ceiling, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_servers, set_up, tear_down),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
