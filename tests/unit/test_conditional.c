/* test_conditional.c - If-Match and its sisters in a handler of a program. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>

#include <shs/conditional.h>
#include <shs/middleware.h>
#include <shs/testing.h>

#include "h1_expect.h"
#include "handler/conditional.h"

#define MTIME 784111777 /* Sun, 06 Nov 1994 08:49:37 GMT */

static struct h1_lab lab;
static const char *etag;
static int64_t mtime;

static int thing(struct shs_request *req, struct shs_response *res)
{
    bool go_on = true;

    SHS_RETURN_IF_ERROR(shs_check_conditions(req, res, etag, mtime, &go_on));
    if (!go_on)
        return SHS_OK;
    SHS_RETURN_IF_ERROR(shs_send_response(res, 200));
    return shs_write(res, "thing", 5);
}

static const struct shs_http_handler things = {
    .name = "t", .do_GET = thing, .do_PUT = thing, .do_DELETE = thing};

static void ask(const struct shs_http_handler *handler, const char *method, const char *fields)
{
    char request[300];
    int len =
        snprintf(request, sizeof request, "%s / HTTP/1.1\r\nHost: a\r\n%s\r\n", method, fields);

    assert_in_range(len, 1, sizeof request - 1);
    h1_lab_open(&lab, handler);
    h1_lab_talk(&lab, request, (size_t)len);
}

#define SEVEN "\"7\""
#define BEFORE "Sun, 06 Nov 1994 08:49:36 GMT"
#define THEN "Sun, 06 Nov 1994 08:49:37 GMT"

static int part(struct shs_request *req, struct shs_response *res)
{
    SHS_RETURN_IF_ERROR(shs_send_response(res, shs__if_range(req, SEVEN, mtime) ? 206 : 200));
    return shs_end_headers(res);
}

/* A part is given of this very state only; of any other, and in doubt, the whole. */
static void test_if_range(void **state)
{
    static const struct shs_http_handler parts = {.name = "t", .do_GET = part};
    static const struct {
        int64_t mtime;
        const char *fields;
        bool same;
    } rows[] = {
        {MTIME, "", true},
        {MTIME, "If-Range: \"7\"\r\n", true},
        {MTIME, "If-Range: \"6\"\r\n", false},
        {MTIME, "If-Range: W/\"7\"\r\n", false},
        {MTIME, "If-Range: \"7\"\r\nIf-Range: \"7\"\r\n", false},
        {MTIME, "If-Range: " THEN "\r\n", true},
        {MTIME, "If-Range: " BEFORE "\r\n", false},
        {MTIME, "If-Range: Sun, 06 Nov 1994 08:49:38 GMT\r\n", false}, /* later is another */
        {MTIME, "If-Range: yesterday\r\n", false},
        {MTIME, "If-Range:\r\n", false},
        {7258118400, "If-Range: Wed, 01 Jan 2200 00:00:00 GMT\r\n", false}, /* still to come */
    };

    (void)state;
    for (size_t i = 0; i < SHS_ARRAY_LEN(rows); i++) {
        mtime = rows[i].mtime;
        ask(&parts, "GET", rows[i].fields);
        if (lab.last_status != (rows[i].same ? 206 : 200))
            fail_msg("'%s': %d", rows[i].fields, lab.last_status);
        h1_lab_close(&lab);
    }
}

static int by_tag(struct shs_request *req, struct shs_response *res)
{
    SHS_RETURN_IF_ERROR(shs_send_response(res, shs__asks_by_tag(req) ? 202 : 200));
    return shs_end_headers(res);
}

/* A strong tag is asked for in one of three fields, anywhere in its list. */
static void test_asks_by_tag(void **state)
{
    static const struct shs_http_handler askers = {.name = "t", .do_GET = by_tag};
    static const struct {
        const char *fields;
        bool asks;
    } rows[] = {
        {"", false},
        {"If-Match: \"7\"\r\n", true},
        {"If-None-Match: W/\"6\", \"7\"\r\n", true},
        {"If-None-Match: W/\"6\"\r\nIf-Range: \"7\"\r\n", true},
        {"If-None-Match: W/\"6\", W/\"7\"\r\n", false},
        {"If-Match: *\r\n", false},
        {"ETag: \"7\"\r\n", false},
    };

    (void)state;
    for (size_t i = 0; i < SHS_ARRAY_LEN(rows); i++) {
        ask(&askers, "GET", rows[i].fields);
        if (lab.last_status != (rows[i].asks ? 202 : 200))
            fail_msg("'%s': %d", rows[i].fields, lab.last_status);
        h1_lab_close(&lab);
    }
}

static void test_conditions(void **state)
{
    static const struct {
        const char *etag;
        int64_t mtime;
        const char *method, *fields;
        int status;
    } rows[] = {
        {SEVEN, MTIME, "GET", "", 200},
        {SEVEN, MTIME, "GET", "If-None-Match: \"7\"\r\n", 304},
        {SEVEN, MTIME, "HEAD", "If-None-Match: \"6\", W/\"7\"\r\n", 304},
        {SEVEN, MTIME, "GET", "If-None-Match: \"6\"\r\n", 200},
        {SEVEN, MTIME, "GET", "If-None-Match: 7\r\n", 200},
        {SEVEN, MTIME, "GET", "If-None-Match: *\r\n", 304},
        {SEVEN, MTIME, "GET", "If-Modified-Since: " THEN "\r\n", 304},
        {SEVEN, MTIME, "GET", "If-Modified-Since: " BEFORE "\r\n", 200},
        {SEVEN, MTIME, "GET", "If-None-Match: \"6\"\r\nIf-Modified-Since: " THEN "\r\n", 200},
        {SEVEN, SHS_TIME_UNKNOWN, "GET", "If-Modified-Since: " THEN "\r\n", 200},
        {SEVEN, MTIME, "PUT", "If-Match: \"7\"\r\n", 200},
        {SEVEN, MTIME, "PUT", "If-Match: \"6\"\r\n", 412},
        {SEVEN, MTIME, "PUT", "If-Match: \"5\"\r\nIf-Match: \"6\", \"7\"\r\n", 200},
        {SEVEN, MTIME, "PUT", "If-Match: W/\"7\"\r\n", 200}, /* of a compressed answer */
        {SEVEN, MTIME, "PUT", "If-Match: W/\"6\"\r\n", 412},
        {SEVEN, MTIME, "DELETE", "If-Match: *\r\n", 200},
        {SEVEN, MTIME, "PUT", "If-None-Match: *\r\n", 412},
        {SEVEN, MTIME, "PUT", "If-Unmodified-Since: " BEFORE "\r\n", 412},
        {SEVEN, MTIME, "PUT", "If-Unmodified-Since: " THEN "\r\n", 200},
        {SEVEN, SHS_TIME_UNKNOWN, "PUT", "If-Unmodified-Since: " BEFORE "\r\n", 200},
        {"W/\"7\"", MTIME, "PUT", "If-Match: W/\"7\"\r\n", 412}, /* weak of itself */
        {"W/\"7\"", MTIME, "GET", "If-None-Match: \"7\"\r\n", 304},
        {NULL, SHS_TIME_UNKNOWN, "PUT", "If-None-Match: *\r\n", 200},
        {NULL, SHS_TIME_UNKNOWN, "PUT", "If-Match: *\r\n", 412},
        {NULL, SHS_TIME_UNKNOWN, "GET", "If-None-Match: \"7\"\r\n", 200},
        {NULL, MTIME, "GET", "If-Modified-Since: " THEN "\r\n", 200},
    };

    (void)state;
    for (size_t i = 0; i < SHS_ARRAY_LEN(rows); i++) {
        etag = rows[i].etag;
        mtime = rows[i].mtime;
        ask(&things, rows[i].method, rows[i].fields);
        if (lab.last_status != rows[i].status)
            fail_msg("row %zu: %s %s: %d", i, rows[i].method, rows[i].fields, lab.last_status);
        h1_has_not(&lab, "Connection: close");
        if (lab.last_status == 304)
            assert_non_null(strstr(h1_lab_text(&lab), etag));
        h1_lab_close(&lab);
    }
}

static void test_what_a_304_says(void **state)
{
    (void)state;
    etag = SEVEN;
    mtime = MTIME;
    ask(&things, "GET", "If-None-Match: \"7\"\r\n");
    h1_has(&lab, "\r\nETag: \"7\"\r\nLast-Modified: " THEN "\r\n\r\n");
    h1_lab_close(&lab);
    mtime = SHS_TIME_UNKNOWN;
    ask(&things, "GET", "If-None-Match: \"7\"\r\n");
    h1_has(&lab, "\r\nETag: \"7\"\r\n\r\n");
    h1_lab_close(&lab);
    mtime = INT64_MAX; /* never later than Date */
    ask(&things, "GET", "If-None-Match: \"7\"\r\n");
    h1_has(&lab, "\r\nLast-Modified: ");
    h1_lab_close(&lab);
}

/* The clock of the server, which may be another than the system's. */
static void test_a_304_of_another_day(void **state)
{
    struct shs_test_server_options with;
    struct shs_test_request request;
    struct shs_test_server *server;
    struct shs_test_answer *answer;
    struct shs_options opt;
    const char *date, *modified;
    time_t then, when;

    (void)state;
    etag = SEVEN;
    mtime = (int64_t)time(NULL);
    shs_options_init(&opt);
    opt.clock_offset_s = -(int64_t)1000 * 86400;
    shs_test_server_options_init(&with);
    with.plain = true;
    with.options = &opt;
    assert_int_equal(shs_test_server_start(&server, &things, &with, NULL), SHS_OK);
    shs_test_request_init(&request);
    request.fields = (const char *const[]){"If-None-Match", SEVEN, NULL};
    assert_int_equal(shs_test_server_ask(&answer, server, &request, NULL), SHS_OK);
    assert_int_equal(shs_test_answer_status(answer), 304);
    date = shs_test_answer_header(answer, "Date");
    modified = shs_test_answer_header(answer, "Last-Modified");
    assert_non_null(date);
    assert_non_null(modified);
    assert_true(shs_http_date_parse(shs__str(date), mtime, &then));
    assert_true(shs_http_date_parse(shs__str(modified), mtime, &when));
    assert_true(when <= then);
    shs_test_answer_free(answer);
    assert_int_equal(shs_test_server_stop(server, NULL), SHS_OK);
}

/* Forgotten quotes are the usual mistake: no client would ever match. */
static void test_no_tag(void **state)
{
    static const char *const rows[] = {"7",           "",       "\"7", "7\"",   "\"7\" ",
                                       "\"7\",\"8\"", ",\"7\"", "W/7", "\"\n\""};

    (void)state;
    mtime = MTIME;
    for (size_t i = 0; i < SHS_ARRAY_LEN(rows); i++) {
        etag = rows[i];
        ask(&things, "GET", "");
        if (lab.last_status != 500)
            fail_msg("%s: %d", rows[i], lab.last_status);
        assert_string_equal(lab.fail_text, "handler t, GET /: shs_check_conditions: that is not an "
                                           "entity tag. It needs its quotes: \"\\\"7\\\"\"");
        h1_lab_close(&lab);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_if_range),   cmocka_unit_test(test_asks_by_tag),
        cmocka_unit_test(test_conditions), cmocka_unit_test(test_what_a_304_says),
        cmocka_unit_test(test_no_tag),     cmocka_unit_test(test_a_304_of_another_day)};

    return cmocka_run_group_tests(tests, NULL, NULL);
}
