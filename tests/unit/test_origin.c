/* test_origin.c - what is an origin, and which pages may read and write (CORS). */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <string.h>

#include <shs/middleware.h>

#include "h1_expect.h"
#include "handler/origin.h"

static struct h1_lab lab;

static void what_an_origin_is(void **state)
{
    static const char *const good[] = {"https://a", "http://a.example:8080", "x://!~"};
    static const char *const bad[] = {"",
                                      "*",
                                      "a",
                                      "://a",
                                      "https://",
                                      "https://a/",
                                      "https://a b",
                                      "https://a\x7f",
                                      "https://a\xff",
                                      "https://*.a",
                                      "https://a,b",
                                      "https://\"a",
                                      "https://a\n",
                                      "https:/a"};
    char text[302];

    (void)state;
    for (size_t i = 0; i < SHS_ARRAY_LEN(good); i++) {
        if (!shs__is_origin(good[i]))
            fail_msg("'%s' is one", good[i]);
    }
    for (size_t i = 0; i < SHS_ARRAY_LEN(bad); i++) {
        if (shs__is_origin(bad[i]))
            fail_msg("'%s' is none", bad[i]);
    }
    memset(text, 'a', sizeof text);
    memcpy(text, "https://", 8);
    text[300] = '\0';
    assert_true(shs__is_origin(text));
    text[300] = 'a';
    text[301] = '\0';
    assert_false(shs__is_origin(text));
}

static void lists_have_what_is_in_them(void **state)
{
    char a[] = "https://a", b[] = "https://b";
    char *const list[] = {a, b, NULL};

    (void)state;
    assert_true(shs__origin_in(SHS_STR("https://b"), list));
    assert_false(shs__origin_in(SHS_STR("https://c"), list));
    assert_false(shs__origin_in(SHS_STR("https://a"), NULL));
}

/* -- CORS -------------------------------------------------------------------------------------- */

static int page(struct shs_request *req, struct shs_response *res)
{
    SHS_UNUSED(req);
    SHS_RETURN_IF_ERROR(shs_send_response(res, 200));
    return shs_end_headers(res);
}

static const struct shs_http_handler handler = {
    .name = "page", .do_GET = page, .do_HEAD = page, .do_PUT = page, .do_OPTIONS = page};

static void mistakes_are_told(void **state)
{
    static const char *const none[] = {"https://a", "https://b/", NULL};
    struct shs_cors *self = NULL;
    struct shs_error err;

    (void)state;
    assert_int_equal(shs_cors_new(&self, &handler, "https://a/", &err), SHS_USAGE);
    assert_int_equal(shs_cors_new(&self, &handler, "", &err), SHS_USAGE);
    assert_int_equal(shs_cors_new(&self, &handler, "*", &err), SHS_OK);
    assert_int_equal(shs_cors_set_writers(self, none, &err), SHS_USAGE);
    assert_non_null(strstr(err.text, "https://b/"));
    shs_cors_free(self);
}

/* Whoever may read may ask for GET and HEAD; for the others a page must be one that may write. */
static void who_may_use_a_method(void **state)
{
    static const char *const writers[] = {"https://w", NULL};
    static const struct {
        const char *method, *origin;
        bool allowed;
    } cases[] = {
        {"GET", "https://r", true},  {"HEAD", "https://r", true},  {"PUT", "https://r", false},
        {"PUT", "https://w", true},  {"put", "https://w", false},  {"DELETE", "https://w", false},
        {"GET", "https://w2", true}, {"PUT", "https://w2", false},
    };
    struct shs_cors *self = NULL;
    char request[300], field[80];

    (void)state;
    assert_int_equal(shs_cors_new(&self, &handler, "*", NULL), SHS_OK);
    assert_int_equal(shs_cors_set_writers(self, writers, NULL), SHS_OK);
    for (size_t i = 0; i < SHS_ARRAY_LEN(cases); i++) {
        snprintf(request, sizeof request,
                 "OPTIONS / HTTP/1.1\r\nHost: a\r\nOrigin: %s\r\n"
                 "Access-Control-Request-Method: %s\r\n\r\n",
                 cases[i].origin, cases[i].method);
        snprintf(field, sizeof field, "\r\nAccess-Control-Allow-Methods: %s\r\n", cases[i].method);
        h1_lab_open(&lab, shs_cors_handler(self));
        h1_lab_talk(&lab, request, strlen(request));
        assert_int_equal(lab.last_status, 204);
        if (h1_count(&lab, field) != cases[i].allowed)
            fail_msg("%s of %s", cases[i].method, cases[i].origin);
        h1_lab_close(&lab);
    }
    /* Three things make a preflight; without one of them it is the handler's. */
    for (unsigned i = 0; i < 3; i++) {
        snprintf(request, sizeof request, "%s / HTTP/1.1\r\nHost: a\r\n%s%s\r\n",
                 i == 0 ? "GET" : "OPTIONS", i == 1 ? "" : "Origin: https://r\r\n",
                 i == 2 ? "" : "Access-Control-Request-Method: GET\r\n");
        h1_lab_open(&lab, shs_cors_handler(self));
        h1_lab_talk(&lab, request, strlen(request));
        assert_int_equal(lab.last_status, 200);
        h1_lab_close(&lab);
    }
    shs_cors_free(self);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_an_origin_is),
        cmocka_unit_test(lists_have_what_is_in_them),
        cmocka_unit_test(mistakes_are_told),
        cmocka_unit_test(who_may_use_a_method),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
