/* test_cookie.c - Cookie in, Set-Cookie out. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>

#include <shs/cookie.h>

#include "h1_expect.h"

static struct shs_cookie cookie; /* what the handler `sends` sends, and with which result */
static int wanted;

static int sends(struct shs_request *req, struct shs_response *res)
{
    (void)req;
    assert_int_equal(shs_send_cookie(res, &cookie), SHS_USAGE); /* too early */
    SHS_RETURN_IF_ERROR(shs_send_response(res, 200));
    assert_int_equal(shs_send_cookie(res, &cookie), wanted);
    return shs_end_headers(res);
}

/* All cookies, as "name=value,"; then what is found under "a". */
static int lists(struct shs_request *req, struct shs_response *res)
{
    struct shs_cookie_walk walk = {0, 0};
    struct shs_str name, value;

    SHS_RETURN_IF_ERROR(shs_send_response(res, 200));
    while (shs_request_next_cookie(req, &walk, &name, &value)) {
        SHS_RETURN_IF_ERROR(shs_write(res, name.ptr, name.len));
        SHS_RETURN_IF_ERROR(shs_write(res, "=", 1));
        SHS_RETURN_IF_ERROR(shs_write(res, value.ptr, value.len));
        SHS_RETURN_IF_ERROR(shs_write(res, ",", 1));
    }
    assert_false(shs_request_next_cookie(req, &walk, &name, &value));
    if (!shs_request_cookie(req, "a", &value))
        return shs_write(res, "no a", 4);
    SHS_RETURN_IF_ERROR(shs_write(res, "a is ", 5));
    return shs_write(res, value.ptr, value.len);
}

static void ask(shs_method_fn *fn, const char *fields, const char *part)
{
    const struct shs_http_handler handler = {.name = "t", .do_GET = fn};
    char request[20000];
    struct h1_lab lab;
    int len = snprintf(request, sizeof request, "GET / HTTP/1.1\r\nHost: a\r\n%s\r\n", fields);

    h1_lab_open(&lab, &handler);
    h1_lab_talk(&lab, request, (size_t)len);
    h1_has(&lab, part);
    if (fn == sends && wanted != SHS_OK)
        h1_has_not(&lab, "Set-Cookie");
    h1_lab_close(&lab);
}

static void test_received(void **state)
{
    static const char *const cases[][2] = {
        {"", "\r\n\r\nno a"},
        {"Cookie: a=1\r\n", "\r\n\r\na=1,a is 1"},
        {"Cookie: a=1; b=2; a=3\r\n", "\r\n\r\na=1,b=2,a=3,a is 1"},
        {"Cookie: b=2;a=1;c\r\n", "\r\n\r\nb=2,a=1,a is 1"},
        {"cookie: x=y\r\nCOOKIE: a=z\r\n", "\r\n\r\nx=y,a=z,a is z"},
        {"Cookie:   a = \"q v\" ;;  ; b=\r\n", "\r\n\r\na=\"q v\",b=,a is \"q v\""},
        {"Cookie: a=1=2; =3\r\n", "\r\n\r\na=1=2,a is 1=2"},
        {"Cookie: A=1; aa=2\r\n", "\r\n\r\nA=1,aa=2,no a"},
        {"Cookie: \r\nCookie: ;\r\n", "\r\n\r\nno a"},
        {"Cookie: a=%41\r\n", "a is %41"},
        {"X-Cookie: a=1\r\nCookie2: a=2\r\n", "no a"},
    };

    (void)state;
    for (size_t i = 0; i < SHS_ARRAY_LEN(cases); i++)
        ask(lists, cases[i][0], cases[i][1]);
}

static void test_sent(void **state)
{
    (void)state;
    wanted = SHS_OK;
    shs_cookie_init(&cookie, "a", "b");
    ask(sends, "", "\r\nSet-Cookie: a=b; Path=/; Secure; HttpOnly; SameSite=Lax\r\n");
    cookie.max_age_s = 0;
    cookie.value = "";
    cookie.path = NULL;
    cookie.secure = cookie.http_only = false;
    ask(sends, "", "\r\nSet-Cookie: a=; Max-Age=0; SameSite=Lax\r\n");
    shs_cookie_init(&cookie, "__Host-s", "!#$%&'()*+-./:<=>?@[]^_`{|}~");
    cookie.max_age_s = 3600;
    cookie.same_site = SHS_SAME_SITE_STRICT;
    ask(sends, "",
        "\r\nSet-Cookie: __Host-s=!#$%&'()*+-./:<=>?@[]^_`{|}~; Path=/; Max-Age=3600; Secure; "
        "HttpOnly; SameSite=Strict\r\n");
    shs_cookie_init(&cookie, "__Secure-s", "v");
    cookie.domain = "a.example-1.com";
    cookie.path = "/x y";
    cookie.same_site = SHS_SAME_SITE_NONE;
    ask(sends, "",
        "\r\nSet-Cookie: __Secure-s=v; Path=/x y; Domain=a.example-1.com; Secure; HttpOnly; "
        "SameSite=None\r\n");
}

static void refused(void)
{
    wanted = SHS_USAGE;
    ask(sends, "", "HTTP/1.1 200 OK");
}

static void test_refused(void **state)
{
    static const char *const names[] = {"",       "a b",      "a=b",   "a;",
                                        "a\r\nb", "\xc3\xa9", "\"a\"", NULL};
    static const char *const values[] = {" ",   "a b",       "a;b",  "a,b",  "\"a\"",
                                         "a\\", "a\r\nX: y", "\xe9", "\x7f", NULL};
    static const char *const paths[] = {"", "x", "/a;b", "/a\r\n", "/\x01", "/a ", "/\xc3\xa9"};
    static const char *const domains[] = {"",    ".a.com", "a.com.", "a..b",
                                          "a;b", "a b",    "a/b",    "[::1]"};

    (void)state;
    for (size_t i = 0; i < SHS_ARRAY_LEN(names); i++) {
        shs_cookie_init(&cookie, names[i], "v");
        refused();
    }
    for (size_t i = 0; i < SHS_ARRAY_LEN(values); i++) {
        shs_cookie_init(&cookie, "n", values[i]);
        refused();
    }
    for (size_t i = 0; i < SHS_ARRAY_LEN(paths); i++) {
        shs_cookie_init(&cookie, "n", "v");
        cookie.path = paths[i];
        refused();
    }
    for (size_t i = 0; i < SHS_ARRAY_LEN(domains); i++) {
        shs_cookie_init(&cookie, "n", "v");
        cookie.domain = domains[i];
        refused();
    }
    shs_cookie_init(&cookie, "n", "v");
    cookie.max_age_s = -2;
    refused();
    shs_cookie_init(&cookie, "n", "v");
    cookie.same_site = (enum shs_same_site)7;
    refused();
}

static void test_prefixes(void **state)
{
    static const char *const hosts[] = {"__Host-x", "__host-x", "__HOST-"};
    static const char *const secures[] = {"__Secure-x", "__sEcure-x"};

    (void)state;
    for (size_t i = 0; i < SHS_ARRAY_LEN(hosts); i++) {
        shs_cookie_init(&cookie, hosts[i], "v");
        cookie.secure = false;
        refused();
        shs_cookie_init(&cookie, hosts[i], "v");
        cookie.domain = "a.com";
        refused();
        shs_cookie_init(&cookie, hosts[i], "v");
        cookie.path = "/x";
        refused();
        cookie.path = NULL;
        refused();
    }
    for (size_t i = 0; i < SHS_ARRAY_LEN(secures); i++) {
        shs_cookie_init(&cookie, secures[i], "v");
        cookie.secure = false;
        refused();
    }
    shs_cookie_init(&cookie, "n", "v");
    cookie.secure = false;
    cookie.same_site = SHS_SAME_SITE_NONE;
    refused();
}

static void test_ceiling(void **state)
{
    char value[4100];

    (void)state;
    memset(value, 'v', sizeof value);
    value[4095] = '\0';
    shs_cookie_init(&cookie, "n", value);
    wanted = SHS_OK;
    ask(sends, "", "vvv; Path=/;");
    value[4095] = 'v';
    value[4096] = '\0';
    refused();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_received), cmocka_unit_test(test_sent),
        cmocka_unit_test(test_refused),  cmocka_unit_test(test_prefixes),
        cmocka_unit_test(test_ceiling),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
