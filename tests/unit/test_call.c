/* shs_test_call: a handler without a socket is answered as over one. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <shs/shs.h>

/* -- handlers ---------------------------------------------------------------------------------- */

static unsigned calls;

static int hello_get(struct shs_request *req, struct shs_response *res)
{
    const char *greeting = shs_request_ctx(req);

    calls++;
    SHS_RETURN_IF_ERROR(shs_send_response(res, 200));
    SHS_RETURN_IF_ERROR(shs_send_header(res, "Content-Type", "text/plain"));
    SHS_RETURN_IF_ERROR(shs_end_headers(res));
    return shs_write(res, greeting, strlen(greeting));
}

static char greeting[] = "hello\n";
static const struct shs_http_handler hello = {
    .name = "hello", .do_GET = hello_get, .ctx = greeting};

/* Answers with what it has read, and how often the client's address was 127.0.0.1. */
static int copy_post(struct shs_request *req, struct shs_response *res)
{
    char piece[1000];
    size_t got = 0;
    int rc;

    SHS_RETURN_IF_ERROR(shs_send_response(res, 200));
    SHS_RETURN_IF_ERROR(
        shs_send_header(res, "X-Client", shs_conn_client_host(shs_request_conn(req))));
    while ((rc = shs_request_read(req, piece, sizeof piece, &got)) == SHS_OK && got > 0)
        SHS_RETURN_IF_ERROR(shs_write(res, piece, got));
    return rc;
}
static const struct shs_http_handler copy = {.name = "copy", .do_POST = copy_post};

static int fails_get(struct shs_request *req, struct shs_response *res)
{
    struct shs_str path = shs_request_path(req);

    if (path.len == 2)
        return SHS_NOMEM;
    SHS_RETURN_IF_ERROR(shs_send_response(res, 200));
    SHS_RETURN_IF_ERROR(shs_send_header(res, "Content-Length", "10"));
    SHS_RETURN_IF_ERROR(shs_write(res, "half", 4));
    SHS_RETURN_IF_ERROR(shs_flush(res));
    return SHS_IO;
}
static const struct shs_http_handler fails = {.name = "fails", .do_GET = fails_get};

static int forgets_get(struct shs_request *req, struct shs_response *res)
{
    (void)req;
    (void)res;
    return SHS_OK;
}
static const struct shs_http_handler forgets = {.name = "forgets", .do_GET = forgets_get};

/* -- tests ------------------------------------------------------------------------------------- */

static struct shs_test_answer *call(const struct shs_http_handler *handler,
                                    const struct shs_test_request *request)
{
    struct shs_test_answer *answer = NULL;
    struct shs_error err;

    if (shs_test_call(&answer, handler, request, &err) != SHS_OK)
        fail_msg("%s", err.text);
    return answer;
}

static void answers_values(void **state)
{
    struct shs_test_answer *answer = call(&hello, NULL);
    const char *name, *value;
    struct shs_str body;

    (void)state;
    assert_int_equal(shs_test_answer_status(answer), 200);
    assert_string_equal(shs_test_answer_header(answer, "content-TYPE"), "text/plain");
    assert_null(shs_test_answer_header(answer, "X-None"));
    assert_true(shs_test_answer_header_at(answer, 0, &name, &value));
    assert_false(shs_test_answer_header_at(answer, 50, &name, &value));
    body = shs_test_answer_body(answer);
    assert_int_equal(body.len, 6);
    assert_string_equal(body.ptr, "hello\n");
    assert_true(shs_test_answer_complete(answer));
    assert_int_equal(shs_test_answer_error(answer)->code, SHS_OK);
    shs_test_answer_free(answer);
}

static void head_options_and_501(void **state)
{
    struct shs_test_request ask;
    struct shs_test_answer *answer;

    (void)state;
    shs_test_request_init(&ask);
    ask.method = "HEAD";
    answer = call(&hello, &ask);
    assert_int_equal(shs_test_answer_status(answer), 200);
    assert_string_equal(shs_test_answer_header(answer, "Content-Length"), "6");
    assert_int_equal(shs_test_answer_body(answer).len, 0);
    assert_true(shs_test_answer_complete(answer));
    shs_test_answer_free(answer);
    ask.method = "PUT";
    answer = call(&hello, &ask);
    assert_int_equal(shs_test_answer_status(answer), 501);
    assert_non_null(shs_test_answer_header(answer, "Allow"));
    shs_test_answer_free(answer);
    ask.method = "OPTIONS";
    ask.target = "*";
    answer = call(&hello, &ask);
    assert_int_equal(shs_test_answer_status(answer), 204);
    shs_test_answer_free(answer);
}

/* Bodies of any length: with a length and in chunks, through buffers that are smaller. */
static void bodies(void **state)
{
    static const size_t sizes[] = {0, 1, 65536, 65537, 3000000};
    char *body = malloc(sizes[4]);
    struct shs_test_request ask;

    (void)state;
    for (size_t i = 0; i < sizes[4]; i++)
        body[i] = (char)(i * 7 + i / 251);
    shs_test_request_init(&ask);
    ask.method = "POST";
    ask.body = body;
    for (size_t i = 0; i < 10; i++) {
        struct shs_test_answer *answer;

        ask.body_len = sizes[i / 2];
        ask.chunked = i % 2 == 1;
        answer = call(&copy, &ask);
        assert_int_equal(shs_test_answer_error(answer)->code, SHS_OK);
        assert_int_equal(shs_test_answer_status(answer), 200);
        assert_int_equal(shs_test_answer_body(answer).len, ask.body_len);
        assert_memory_equal(shs_test_answer_body(answer).ptr, body, ask.body_len);
        assert_string_equal(shs_test_answer_header(answer, "X-Client"), "127.0.0.1");
        assert_true(shs_test_answer_complete(answer));
        shs_test_answer_free(answer);
    }
    free(body);
}

static void limits_hold(void **state)
{
    struct shs_test_request ask;
    struct shs_test_answer *answer = NULL;
    struct shs_options opt;
    struct shs_error err;

    (void)state;
    shs_options_init(&opt);
    opt.max_body_bytes = 10;
    shs_test_request_init(&ask);
    ask.options = &opt;
    ask.method = "POST";
    ask.body = "12345678901";
    ask.body_len = 11;
    answer = call(&copy, &ask);
    assert_int_equal(shs_test_answer_status(answer), 413);
    assert_int_not_equal(shs_test_answer_error(answer)->code, SHS_OK);
    shs_test_answer_free(answer);
    ask.body_len = 10;
    answer = call(&copy, &ask);
    assert_int_equal(shs_test_answer_status(answer), 200);
    shs_test_answer_free(answer);

    ask.max_answer = 50;
    assert_int_equal(shs_test_call(&answer, &copy, &ask, &err), SHS_LIMIT);
    assert_non_null(strstr(err.text, "50"));
}

/* What the server refuses never comes to the handler. */
static void bad_requests_are_refused(void **state)
{
    static const char *const two_hosts[] = {"Host", "a", "Host", "b", NULL};
    struct shs_test_request ask;
    struct shs_test_answer *answer;

    (void)state;
    shs_test_request_init(&ask);
    calls = 0;
    ask.fields = two_hosts;
    answer = call(&hello, &ask);
    assert_int_equal(shs_test_answer_status(answer), 400);
    assert_int_equal(shs_test_answer_error(answer)->code, SHS_PROTO);
    shs_test_answer_free(answer);
    ask.fields = NULL;
    ask.target = "/a b";
    answer = call(&hello, &ask);
    assert_int_equal(shs_test_answer_status(answer), 400);
    shs_test_answer_free(answer);
    assert_int_equal(calls, 0);
}

static void errors_of_the_handler_are_seen(void **state)
{
    struct shs_test_request ask;
    struct shs_test_answer *answer;

    (void)state;
    shs_test_request_init(&ask);
    ask.target = "/a";
    answer = call(&fails, &ask);
    assert_int_equal(shs_test_answer_status(answer), 500);
    assert_int_equal(shs_test_answer_error(answer)->code, SHS_NOMEM);
    shs_test_answer_free(answer);
    ask.target = "/half";
    answer = call(&fails, &ask);
    assert_int_equal(shs_test_answer_status(answer), 200);
    assert_false(shs_test_answer_complete(answer));
    assert_string_equal(shs_test_answer_body(answer).ptr, "half");
    assert_int_equal(shs_test_answer_error(answer)->code, SHS_IO);
    shs_test_answer_free(answer);
    answer = call(&forgets, NULL);
    assert_int_equal(shs_test_answer_status(answer), 500);
    assert_int_equal(shs_test_answer_error(answer)->code, SHS_USAGE);
    shs_test_answer_free(answer);
}

/* The client sends less than it has promised, and is gone. */
static void a_body_that_is_cut(void **state)
{
    static const char *const fields[] = {"Content-Length", "100000", NULL};
    struct shs_test_request ask;
    struct shs_test_answer *answer = NULL;
    struct shs_error err;
    int rc;

    (void)state;
    shs_test_request_init(&ask);
    ask.method = "POST";
    ask.fields = fields;
    ask.body = "few";
    ask.body_len = 3;
    rc = shs_test_call(&answer, &copy, &ask, &err);
    assert_int_equal(rc, SHS_OK);
    assert_int_equal(shs_test_answer_error(answer)->code, SHS_CLOSED);
    assert_int_equal(shs_test_answer_status(answer), 0);
    shs_test_answer_free(answer);
}

/* -- a handler that takes its time ------------------------------------------------------------- */

static int events_get(struct shs_request *req, struct shs_response *res)
{
    (void)req;
    SHS_RETURN_IF_ERROR(shs_sse_start(res));
    SHS_RETURN_IF_ERROR(shs_sse_send(res, NULL, NULL, "one"));
    SHS_RETURN_IF_ERROR(shs_sse_wait(res, 20));
    return shs_sse_send(res, NULL, NULL, "two");
}
static const struct shs_http_handler events = {.name = "events", .do_GET = events_get};

static int waits_get(struct shs_request *req, struct shs_response *res)
{
    (void)req;
    SHS_RETURN_IF_ERROR(shs_sse_start(res));
    return shs_sse_wait(res, 60000);
}
static const struct shs_http_handler waits = {.name = "waits", .do_GET = waits_get};

static void waits_have_an_end(void **state)
{
    struct shs_test_answer *answer = NULL;
    struct shs_test_request ask;
    struct shs_error err;
    int64_t began = shs_now_ns();

    (void)state;
    answer = call(&events, NULL);
    assert_true(shs_now_ns() - began >= 20 * 1000000);
    assert_non_null(strstr(shs_test_answer_body(answer).ptr, "data: two"));
    shs_test_answer_free(answer);
    shs_test_request_init(&ask);
    ask.limit_ms = 30;
    began = shs_now_ns();
    assert_int_equal(shs_test_call(&answer, &waits, &ask, &err), SHS_TIMEOUT);
    assert_true(shs_now_ns() - began >= 30 * 1000000);
    assert_non_null(strstr(err.text, "30 ms"));
}

static int early_get(struct shs_request *req, struct shs_response *res)
{
    static const char *const fields[] = {"Link", "</a.css>; rel=preload", NULL};

    (void)req;
    SHS_RETURN_IF_ERROR(shs_send_interim(res, 103, fields));
    SHS_RETURN_IF_ERROR(shs_send_response(res, 200));
    SHS_RETURN_IF_ERROR(shs_write(res, "x", 1));
    return shs_send_trailer(res, "X-Sum", "78");
}
static const struct shs_http_handler early = {.name = "early", .do_GET = early_get};

static void interim_and_trailers(void **state)
{
    struct shs_test_answer *answer = call(&early, NULL);

    (void)state;
    assert_int_equal(shs_test_answer_interim(answer), 1);
    assert_null(shs_test_answer_header(answer, "Link"));
    assert_string_equal(shs_test_answer_trailer(answer, "x-sum"), "78");
    assert_string_equal(shs_test_answer_body(answer).ptr, "x");
    assert_true(shs_test_answer_complete(answer));
    shs_test_answer_free(answer);
}

/* Handlers of the library: whoami looks at its connection, which has no TLS. */
static void library_handlers(void **state)
{
    struct shs_test_answer *answer = call(shs_whoami_handler(), NULL);

    (void)state;
    assert_non_null(strstr(shs_test_answer_body(answer).ptr, "\"client\": \"127.0.0.1\""));
    assert_non_null(strstr(shs_test_answer_body(answer).ptr, "\"tls\": null"));
    shs_test_answer_free(answer);
}

static void usage(void **state)
{
    struct shs_test_answer *answer = NULL;
    struct shs_error err;

    (void)state;
    assert_int_equal(shs_test_call(&answer, NULL, NULL, &err), SHS_USAGE);
    assert_int_equal(shs_test_call(&answer, NULL, NULL, NULL), SHS_USAGE);
    shs_test_answer_free(NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(answers_values),
        cmocka_unit_test(head_options_and_501),
        cmocka_unit_test(bodies),
        cmocka_unit_test(limits_hold),
        cmocka_unit_test(bad_requests_are_refused),
        cmocka_unit_test(errors_of_the_handler_are_seen),
        cmocka_unit_test(a_body_that_is_cut),
        cmocka_unit_test(waits_have_an_end),
        cmocka_unit_test(interim_and_trailers),
        cmocka_unit_test(library_handlers),
        cmocka_unit_test(usage),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
