/* test_cookie.c - Cookie in, Set-Cookie out. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>

#include <shs/cookie.h>
#include <shs/testing.h>

#include "base/base.h"

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

static struct shs_test_answer *ask(shs_method_fn *fn, const char *const *fields)
{
    const struct shs_http_handler handler = {.name = "t", .do_GET = fn};
    struct shs_test_answer *answer = NULL;
    struct shs_test_request request;
    struct shs_error err;

    shs_test_request_init(&request);
    request.fields = fields;
    if (shs_test_call(&answer, &handler, &request, &err) != SHS_OK)
        fail_msg("%s", err.text);
    assert_int_equal(shs_test_answer_status(answer), 200);
    return answer;
}

static void finds(const char *const *fields, const char *body)
{
    struct shs_test_answer *answer = ask(lists, fields);

    assert_string_equal(shs_test_answer_body(answer).ptr, body);
    shs_test_answer_free(answer);
}

/* The cookie goes out as this field; NULL: it must not. */
static void is_sent_as(const char *field)
{
    struct shs_test_answer *answer;

    wanted = field == NULL ? SHS_USAGE : SHS_OK;
    answer = ask(sends, NULL);
    if (field == NULL)
        assert_null(shs_test_answer_header(answer, "Set-Cookie"));
    else
        assert_string_equal(shs_test_answer_header(answer, "Set-Cookie"), field);
    shs_test_answer_free(answer);
}

static void test_received(void **state)
{
    static const struct {
        const char *fields[5];
        const char *body;
    } cases[] = {
        {{NULL}, "no a"},
        {{"Cookie", "a=1", NULL}, "a=1,a is 1"},
        {{"Cookie", "a=1; b=2; a=3", NULL}, "a=1,b=2,a=3,a is 1"},
        {{"Cookie", "b=2;a=1;c", NULL}, "b=2,a=1,a is 1"},
        {{"cookie", "x=y", "COOKIE", "a=z", NULL}, "x=y,a=z,a is z"},
        {{"Cookie", "  a = \"q v\" ;;  ; b=", NULL}, "a=\"q v\",b=,a is \"q v\""},
        {{"Cookie", "a=1=2; =3", NULL}, "a=1=2,a is 1=2"},
        {{"Cookie", "A=1; aa=2", NULL}, "A=1,aa=2,no a"},
        {{"Cookie", "", "Cookie", ";", NULL}, "no a"},
        {{"Cookie", "a=%41", NULL}, "a=%41,a is %41"},
        {{"X-Cookie", "a=1", "Cookie2", "a=2", NULL}, "no a"},
    };

    (void)state;
    for (size_t i = 0; i < SHS_ARRAY_LEN(cases); i++)
        finds(cases[i].fields, cases[i].body);
}

static void test_sent(void **state)
{
    (void)state;
    shs_cookie_init(&cookie, "a", "b");
    is_sent_as("a=b; Path=/; Secure; HttpOnly; SameSite=Lax");
    cookie.max_age_s = 0;
    cookie.value = "";
    cookie.path = NULL;
    cookie.secure = cookie.http_only = false;
    is_sent_as("a=; Max-Age=0; SameSite=Lax");
    shs_cookie_init(&cookie, "__Host-s", "!#$%&'()*+-./:<=>?@[]^_`{|}~");
    cookie.max_age_s = 3600;
    cookie.same_site = SHS_SAME_SITE_STRICT;
    is_sent_as("__Host-s=!#$%&'()*+-./:<=>?@[]^_`{|}~; Path=/; Max-Age=3600; Secure; "
               "HttpOnly; SameSite=Strict");
    shs_cookie_init(&cookie, "__Secure-s", "v");
    cookie.domain = "a.example-1.com";
    cookie.path = "/x y";
    cookie.same_site = SHS_SAME_SITE_NONE;
    is_sent_as("__Secure-s=v; Path=/x y; Domain=a.example-1.com; Secure; HttpOnly; "
               "SameSite=None");
}

static void refused(void)
{
    is_sent_as(NULL);
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
    char value[4100], field[4300];

    (void)state;
    memset(value, 'v', sizeof value);
    value[4095] = '\0';
    shs_cookie_init(&cookie, "n", value);
    snprintf(field, sizeof field, "n=%s; Path=/; Secure; HttpOnly; SameSite=Lax", value);
    is_sent_as(field);
    value[4095] = 'v';
    value[4096] = '\0';
    refused();
    /* A name alone, a path and a domain: as long as they may be, and a byte longer. */
    shs_cookie_init(&cookie, value, "");
    snprintf(field, sizeof field, "%s=; Path=/; Secure; HttpOnly; SameSite=Lax", value);
    is_sent_as(field);
    value[4096] = 'v';
    value[4097] = '\0';
    refused();
    value[0] = '/';
    value[1024] = '\0';
    shs_cookie_init(&cookie, "n", "v");
    cookie.path = value;
    snprintf(field, sizeof field, "n=v; Path=%s; Secure; HttpOnly; SameSite=Lax", value);
    is_sent_as(field);
    value[1024] = 'v';
    value[1025] = '\0';
    refused();
    cookie.path = "/";
    cookie.domain = value + 1025 - 253;
    snprintf(field, sizeof field, "n=v; Path=/; Domain=%s; Secure; HttpOnly; SameSite=Lax",
             cookie.domain);
    is_sent_as(field);
    cookie.domain--;
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
