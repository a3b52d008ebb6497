/* test_json.c - JSON in and out of a handler. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>

#include <shs/json.h>

#include "h1_expect.h"

#ifdef SHS_HAVE_JANSSON
#include <jansson.h>

static struct h1_lab lab;
static struct shs_json_limits limits;

/* Answers with what it was sent. */
static int mirror(struct shs_request *req, struct shs_response *res)
{
    json_t *value = NULL;

    SHS_RETURN_IF_ERROR(shs_request_json(req, &limits, &value));
    return shs_send_json(res, 201, json_incref(value));
}

static void post(const char *type, const char *body, size_t len)
{
    char head[200];
    char *all = malloc(len + sizeof head);
    int n = snprintf(head, sizeof head,
                     "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: %zu\r\n%s%s\r\n\r\n", len,
                     type == NULL ? "X: y" : "Content-Type: ", type == NULL ? "" : type);

    assert_non_null(all);
    memcpy(all, head, (size_t)n);
    memcpy(all + n, body, len);
    h1_lab_open(&lab, H1_HANDLER(mirror));
    lab.opt.error_form = SHS_ERRORS_TEXT;
    h1_lab_talk(&lab, all, (size_t)n + len);
    free(all);
}

static void expect(const char *type, const char *body, int status, const char *answer)
{
    post(type, body, strlen(body));
    if (lab.last_status != status || strstr(h1_body(&lab), answer) == NULL)
        fail_msg("%s: %d %s", body, lab.last_status, h1_body(&lab));
    h1_lab_close(&lab);
}

#define JSON "application/json"

static void test_in_and_out(void **state)
{
    (void)state;
    shs_json_limits_init(&limits);
    expect(JSON, "{\"b\": 1, \"a\" : [true, null, 1.5, \"\\u00e9\"]}", 201,
           "{\"b\":1,\"a\":[true,null,1.5,\"\xc3\xa9\"]}");
    expect("Application/JSON ; charset=utf-8", "[]", 201, "[]");
    expect("application/vnd.x+json", "7", 201, "7");
    post(JSON, "{}", 2);
    h1_has(&lab, "\r\nContent-Type: application/json\r\n");
    h1_has(&lab, "\r\nContent-Length: 2\r\n");
    h1_has_not(&lab, "Connection: close");
    h1_lab_close(&lab);
}

static void test_refused(void **state)
{
    static const struct {
        const char *type, *body;
        int status;
        const char *text;
    } rows[] = {
        {NULL, "{}", 415, "Content-Type: application/json"},
        {"text/plain", "{}", 415, "must be JSON"},
        {"application/jsonx", "{}", 415, "must be JSON"},
        {"x+json", "{}", 415, "must be JSON"},
        {JSON, "", 400, "the body is empty"},
        {JSON, " ", 400, "line 1"},
        {JSON, "{\"a\": 1,\n \"b\": x}", 400, "line 2, column 7"},
        {JSON, "{\"a\": 1} x", 400, "end of file expected"},
        {JSON, "{\"a\": 1, \"a\": 2}", 400, "duplicate object key"},
        {JSON, "{\"a\": {\"b\": 1, \"b\": 1}}", 400, "duplicate object key"},
        {JSON, "{a: 1}", 400, "line 1"},
        {JSON, "[1,]", 400, "line 1, column 4"},
        {JSON, "\"\xff\"", 400, "line 1"},
        {JSON, "\"a\\u0000b\"", 400, "line 1"},
        {JSON, "123456789012345678901234567890", 400, "too big integer"},
        {JSON, "[[[\n[[]]]]]", 400, "line 2, column 2: nested deeper than 4 levels"},
        {JSON, "{\"a\":{\"a\":{\"a\":{\"a\":[]}}}}", 400, "column 21: nested deeper than 4 levels"},
        {JSON, "[\"12345678901234567890123456789012345678901234567890123456789012345\"]", 413, ""},
    };

    (void)state;
    shs_json_limits_init(&limits);
    limits.max_bytes = 64;
    limits.max_depth = 4;
    for (size_t i = 0; i < SHS_ARRAY_LEN(rows); i++)
        expect(rows[i].type, rows[i].body, rows[i].status, rows[i].text);
    expect(JSON, "[[[[]]]]", 201, "[[[[]]]]");
    expect(JSON, "[\"]]]][[[[\\\"[[[[\"]", 201,
           "[\"]]]][[[[\\\"[[[[\"]"); /* brackets in a string */
    assert_string_equal(lab.last_error, "");
    post(JSON, "[1,2", 4);
    assert_non_null(strstr(lab.last_error, "The JSON has an error in line 1, column 4"));
    h1_lab_close(&lab);
}

/* jansson steps over one where it looks ahead, and would read [1]. */
static void test_a_nul(void **state)
{
    static const char *const rows[] = {"[1|]", "|[1]", "[1]|", "{\"a\":1|}", "\"a|b\"", "1|2"};
    char body[20];

    (void)state;
    shs_json_limits_init(&limits);
    for (size_t i = 0; i < SHS_ARRAY_LEN(rows); i++) {
        size_t len = strlen(rows[i]);

        memcpy(body, rows[i], len);
        *(char *)memchr(body, '|', len) = '\0';
        post(JSON, body, len);
        if (lab.last_status != 400 ||
            strstr(h1_body(&lab), "JSON may not contain a NUL byte") == NULL)
            fail_msg("%s: %d %s", rows[i], lab.last_status, h1_body(&lab));
        h1_lab_close(&lab);
    }
}

/* What a client writes wrongly is no reason for another handshake. */
static void test_the_connection_lives_on(void **state)
{
    static const char two[] =
        "POST / HTTP/1.1\r\nHost: a\r\nContent-Type: " JSON "\r\nContent-Length: 3\r\n\r\n[1,"
        "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\n[]"
        "POST / HTTP/1.1\r\nHost: a\r\nContent-Type: " JSON "\r\nContent-Length: 2\r\n\r\n[]";

    (void)state;
    shs_json_limits_init(&limits);
    h1_lab_open(&lab, H1_HANDLER(mirror));
    h1_lab_talk(&lab, two, sizeof two - 1);
    assert_int_equal(h1_count(&lab, "HTTP/1.1 400 "), 1);
    assert_int_equal(h1_count(&lab, "HTTP/1.1 415 "), 1); /* its body was not read: it is drained */
    assert_int_equal(h1_count(&lab, "HTTP/1.1 201 "), 1);
    h1_has_not(&lab, "Connection: close");
    assert_int_equal(lab.logged, 3);
    h1_lab_close(&lab);
}

/* A body that is cut, or longer than may be read to its end, ends the connection all the same. */
static void test_the_connection_ends(void **state)
{
    static const char chunked[] = "POST / HTTP/1.1\r\nHost: a\r\nContent-Type: " JSON
                                  "\r\nTransfer-Encoding: chunked\r\n\r\n1\r\n[\r\nx\r\n";
    static const char large[] = "POST / HTTP/1.1\r\nHost: a\r\nContent-Type: " JSON
                                "\r\nContent-Length: 999999999\r\n\r\n[";

    (void)state;
    shs_json_limits_init(&limits);
    h1_lab_open(&lab, H1_HANDLER(mirror));
    h1_lab_talk(&lab, chunked, sizeof chunked - 1);
    h1_has(&lab, "HTTP/1.1 400 ");
    h1_has(&lab, "\r\nConnection: close\r\n");
    h1_lab_close(&lab);
    h1_lab_open(&lab, H1_HANDLER(mirror));
    h1_lab_talk(&lab, large, sizeof large - 1);
    h1_has(&lab, "HTTP/1.1 413 ");
    h1_has(&lab, "\r\nConnection: close\r\n");
    h1_lab_close(&lab);
}

/* A hundred thousand brackets are not a recursion of a hundred thousand. */
static void test_very_deep(void **state)
{
    static char deep[100000];

    (void)state;
    shs_json_limits_init(&limits);
    limits.max_depth = 1000000; /* at most 512 */
    memset(deep, '[', sizeof deep);
    post(JSON, deep, sizeof deep);
    assert_int_equal(lab.last_status, 400);
    assert_non_null(strstr(h1_body(&lab), "column 513: nested deeper than 512 levels"));
    h1_lab_close(&lab);
}

/* -- problems, arrays -------------------------------------------------------------------------- */

static int problem(struct shs_request *req, struct shs_response *res)
{
    (void)req;
    return shs_send_problem_json(res, 422, "Two fields are wrong.",
                                 json_pack("{s:s, s:i, s:[s, s]}", "type", "https://a.example/p",
                                           "status", 200, "errors", "name", "price"));
}

/* Text of a client in it, say. */
static int problem_in_latin1(struct shs_request *req, struct shs_response *res)
{
    (void)req;
    return shs_send_problem_json(res, 400, "caf\xe9", json_object());
}

static int problem_of_an_array(struct shs_request *req, struct shs_response *res)
{
    (void)req;
    return shs_send_problem_json(res, 400, "a", json_array());
}

static int no_value(struct shs_request *req, struct shs_response *res)
{
    (void)req;
    return shs_send_json(res, 200, json_pack("{s:s}", "a", NULL)); /* which is none */
}

static int many(struct shs_request *req, struct shs_response *res)
{
    struct shs_json_array array;

    (void)req;
    SHS_RETURN_IF_ERROR(shs_json_array_begin(&array, res, 200));
    for (int i = 0; i < 20000 && array.rc == SHS_OK; i++)
        (void)shs_json_array_add(&array, json_integer(i));
    return shs_json_array_end(&array);
}

static int broken_array(struct shs_request *req, struct shs_response *res)
{
    struct shs_json_array array;

    (void)req;
    SHS_RETURN_IF_ERROR(shs_json_array_begin(&array, res, 200));
    assert_int_equal(shs_json_array_add(&array, NULL), SHS_NOMEM);
    assert_int_equal(shs_json_array_add(&array, json_integer(1)), SHS_NOMEM);
    return shs_json_array_end(&array);
}

#define GET "GET / HTTP/1.1\r\nHost: a\r\n\r\n"

static void get(shs_method_fn *fn)
{
    h1_lab_open(&lab, H1_HANDLER(fn));
    h1_lab_talk(&lab, GET, sizeof GET - 1);
}

static void test_answers(void **state)
{
    (void)state;
    get(problem);
    h1_has(&lab, "HTTP/1.1 422 ");
    h1_has(&lab, "\r\nContent-Type: application/problem+json\r\n");
    h1_has_not(&lab, "Connection: close");
    assert_string_equal(h1_body(&lab),
                        "{\"type\":\"https://a.example/p\",\"title\":\"Unprocessable Content\","
                        "\"status\":422,\"errors\":[\"name\",\"price\"],"
                        "\"detail\":\"Two fields are wrong.\"}");
    h1_lab_close(&lab);
    get(no_value);
    h1_has(&lab, "HTTP/1.1 500 ");
    assert_int_equal(lab.fail_code, SHS_NOMEM);
    assert_non_null(strstr(lab.fail_text, "shs_send_json: the value is NULL. json_pack gives"));
    h1_has_not(&lab, "memory"); /* there is enough */
    h1_lab_close(&lab);
    get(problem_in_latin1);
    h1_has(&lab, "HTTP/1.1 400 ");
    h1_has(&lab, "\"detail\":\"caf\xEF\xBF\xBD\"}");
    h1_lab_close(&lab);
    get(problem_of_an_array);
    h1_has(&lab, "HTTP/1.1 500 ");
    assert_int_equal(lab.fail_code, SHS_USAGE);
    assert_non_null(strstr(lab.fail_text, "shs_send_problem_json: the members are not an object"));
    h1_lab_close(&lab);
    get(many);
    h1_has(&lab, "\r\nTransfer-Encoding: chunked\r\n");
    h1_has(&lab, ",19998,19999]\n\r\n0\r\n\r\n");
    h1_lab_close(&lab);
    get(broken_array);
    h1_has(&lab, "HTTP/1.1 500 ");
    h1_lab_close(&lab);
}

#else

static void test_without(void **state)
{
    (void)state;
    assert_false(shs_json_available());
}

#endif

int main(void)
{
    const struct CMUnitTest tests[] = {
#ifdef SHS_HAVE_JANSSON
        cmocka_unit_test(test_in_and_out),
        cmocka_unit_test(test_refused),
        cmocka_unit_test(test_a_nul),
        cmocka_unit_test(test_the_connection_lives_on),
        cmocka_unit_test(test_the_connection_ends),
        cmocka_unit_test(test_very_deep),
        cmocka_unit_test(test_answers),
#else
        cmocka_unit_test(test_without),
#endif
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
