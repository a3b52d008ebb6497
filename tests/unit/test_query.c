/* test_query.c - parameters of queries and forms, and the whole body at once. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>

#include "h1_expect.h"
#include "http/content.h"

static void assert_str(struct shs_str s, const char *wanted)
{
    assert_non_null(s.ptr);
    if (s.len != strlen(wanted) || memcmp(s.ptr, wanted, s.len) != 0)
        fail_msg("\"%.*s\" is not \"%s\"", (int)s.len, s.ptr, wanted);
}

static struct shs_str str(const char *text)
{
    return (struct shs_str){text, strlen(text)};
}

/* -- the list itself --------------------------------------------------------------------------- */

/* {text, name, value, name, value ..., NULL} */
static const char *const good[][12] = {
    {"", NULL},
    {"a=1", "a", "1", NULL},
    {"a=1&b=2&a=3", "a", "1", "b", "2", "a", "3", NULL},
    {"a", "a", "", NULL},
    {"a=", "a", "", NULL},
    {"=b", "", "b", NULL},
    {"=", "", "", NULL},
    {"&&a=1&&", "a", "1", NULL},
    {"a=b=c", "a", "b=c", NULL},
    {"a+b=c+d", "a b", "c d", NULL},
    {"a%2Bb=c%2bd", "a+b", "c+d", NULL},
    {"a=%252B%25", "a", "%2B%", NULL}, /* once, and only once */
    {"%61%3D=%26&x=y", "a=", "&", "x", "y", NULL},
    {"caf%C3%A9=%E2%82%AC", "caf\xc3\xa9", "\xe2\x82\xac", NULL},
    {"a=1;b=2", "a", "1;b=2", NULL},
    {"a=\xff%ff", "a", "\xff\xff", NULL},
};

static void test_lists(void **state)
{
    (void)state;
    for (size_t i = 0; i < SHS_ARRAY_LEN(good); i++) {
        struct shs_param_list list = {NULL, 0};
        size_t n = 0;

        assert_int_equal(shs__params_parse(str(good[i][0]), &list), SHS_OK);
        for (; good[i][1 + 2 * n] != NULL; n++) {
            assert_true(n < list.count);
            assert_str(list.block[n].name, good[i][1 + 2 * n]);
            assert_str(list.block[n].value, good[i][2 + 2 * n]);
        }
        assert_int_equal(list.count, n);
        shs__free(list.block);
    }
}

static void test_malformed(void **state)
{
    static const char *const bad[] = {"a=%",    "a=%4",   "a=%zz", "a=%4z",  "%",
                                      "a=1&%=", "a=%00b", "%00=1", "a=%%41", "a=% 41"};
    struct shs_param_list list = {NULL, 0};

    (void)state;
    for (size_t i = 0; i < SHS_ARRAY_LEN(bad); i++)
        assert_int_equal(shs__params_parse(str(bad[i]), &list), SHS_PROTO);
    assert_int_equal(shs__params_parse((struct shs_str){"a=\0", 3}, &list), SHS_PROTO);
    assert_null(list.block);
}

static void test_ceiling(void **state)
{
    struct shs_param_list list = {NULL, 0};
    char text[2 * (SHS_MAX_PARAMS + 1)];

    (void)state;
    for (size_t i = 0; i < sizeof text; i++)
        text[i] = i % 2 == 0 ? 'a' : '&';
    assert_int_equal(shs__params_parse((struct shs_str){text, sizeof text}, &list), SHS_LIMIT);
    assert_int_equal(shs__params_parse((struct shs_str){text, sizeof text - 2}, &list), SHS_OK);
    assert_int_equal(list.count, SHS_MAX_PARAMS);
    shs__free(list.block);
}

/* Every input that can be built from a few pieces: decoded as a slow model does it. */
static void test_against_a_model(void **state)
{
    static const char *const pieces[] = {"a", "=", "&", "+", "%41", "%2B", "%26", "%3d"};
    static const char plain[] = {'a', 0, 0, ' ', 'A', '+', '&', '='};

    (void)state;
    for (unsigned n = 0; n < 8 * 8 * 8 * 8 * 8; n++) {
        struct shs_param_list list = {NULL, 0};
        char text[32] = "", model[32];
        size_t len = 0, out = 0, count = 0, have = 0;
        bool in_value = false, any = false;

        for (unsigned k = 0, m = n; k < 5; k++, m /= 8)
            len += (size_t)snprintf(text + len, sizeof text - len, "%s", pieces[m % 8]);
        assert_int_equal(shs__params_parse(str(text), &list), SHS_OK);
        for (size_t i = 0; i < list.count; i++) {
            memcpy(text + have, list.block[i].name.ptr, list.block[i].name.len);
            have += list.block[i].name.len;
            text[have++] = '\1'; /* between name and value */
            memcpy(text + have, list.block[i].value.ptr, list.block[i].value.len);
            have += list.block[i].value.len;
            text[have++] = '\2'; /* behind a pair */
        }
        for (unsigned k = 0, m = n; k <= 5; k++, m /= 8) {
            if (k == 5 || m % 8 == 2) {
                if (any && !in_value)
                    model[out++] = '\1';
                if (any) {
                    model[out++] = '\2';
                    count++;
                }
                any = in_value = false;
            } else if (m % 8 == 1 && !in_value) {
                model[out++] = '\1';
                any = in_value = true;
            } else {
                model[out++] = m % 8 == 1 ? '=' : plain[m % 8];
                any = true;
            }
        }
        assert_int_equal(list.count, count);
        assert_int_equal(have, out);
        assert_memory_equal(text, model, out);
        shs__free(list.block);
    }
}

/* -- through a request ------------------------------------------------------------------------- */

static int query(struct shs_request *req, struct shs_response *res)
{
    struct shs_params params, again;
    struct shs_str value;

    SHS_RETURN_IF_ERROR(shs_request_query_params(req, &params));
    SHS_RETURN_IF_ERROR(shs_request_query_params(req, &again));
    assert_ptr_equal(params.at, again.at);
    SHS_RETURN_IF_ERROR(shs_request_query_param(req, "who", &value));
    SHS_RETURN_IF_ERROR(shs_send_response(res, 200));
    SHS_RETURN_IF_ERROR(shs_write(res, "who=", 4));
    SHS_RETURN_IF_ERROR(shs_write(res, value.ptr == NULL ? "(none)" : value.ptr,
                                  value.ptr == NULL ? 6 : value.len));
    value = shs_params_get(&params, "who", 1);
    SHS_RETURN_IF_ERROR(shs_write(res, " then ", 6));
    SHS_RETURN_IF_ERROR(shs_write(res, value.ptr == NULL ? "(none)" : value.ptr,
                                  value.ptr == NULL ? 6 : value.len));
    return shs_write(res, ".", 1);
}

static int number(struct shs_request *req, struct shs_response *res)
{
    uint64_t n = 42;
    char text[32];

    SHS_RETURN_IF_ERROR(shs_request_query_number(req, "n", 100, &n));
    SHS_RETURN_IF_ERROR(shs_send_response(res, 200));
    return shs_write(res, text, (size_t)snprintf(text, sizeof text, "n=%u.", (unsigned)n));
}

static int form(struct shs_request *req, struct shs_response *res)
{
    struct shs_params params;
    struct shs_str body;

    SHS_RETURN_IF_ERROR(shs_request_form(req, 100, &params));
    SHS_RETURN_IF_ERROR(shs_request_body(req, 100, &body)); /* the same bytes, not decoded */
    SHS_RETURN_IF_ERROR(shs_send_response(res, 200));
    for (size_t i = 0; i < params.count; i++) {
        SHS_RETURN_IF_ERROR(shs_write(res, "[", 1));
        SHS_RETURN_IF_ERROR(shs_write(res, params.at[i].name.ptr, params.at[i].name.len));
        SHS_RETURN_IF_ERROR(shs_write(res, "|", 1));
        SHS_RETURN_IF_ERROR(shs_write(res, params.at[i].value.ptr, params.at[i].value.len));
        SHS_RETURN_IF_ERROR(shs_write(res, "]", 1));
    }
    return shs_write(res, body.ptr, body.len);
}

/* A bound that is too small for what Content-Length says leaves the body unread. */
static int body_twice(struct shs_request *req, struct shs_response *res)
{
    struct shs_str body;
    int first = shs_request_body(req, 4, &body), second = shs_request_body(req, 5, &body);
    uint64_t length;

    assert_true(shs_request_has_body(req, &length));
    assert_int_equal(first, SHS_LIMIT);
    if (length == UINT64_MAX) /* chunked: it had to be read to know */
        assert_int_equal(second, SHS_LIMIT);
    SHS_RETURN_IF_ERROR(second);
    assert_int_equal(shs_request_body(req, 4, &body), SHS_LIMIT);
    SHS_RETURN_IF_ERROR(shs_send_response(res, 200));
    return shs_write(res, body.ptr, body.len);
}

static int body_then_read(struct shs_request *req, struct shs_response *res)
{
    struct shs_str body, again;
    char byte;
    size_t got = 1;

    SHS_RETURN_IF_ERROR(shs_request_body(req, 70000, &body));
    SHS_RETURN_IF_ERROR(shs_request_body(req, 70000, &again));
    assert_ptr_equal(body.ptr, again.ptr);
    SHS_RETURN_IF_ERROR(shs_request_read(req, &byte, 1, &got));
    assert_int_equal(got, 0);
    SHS_RETURN_IF_ERROR(shs_send_response(res, 200));
    return shs_write(res, body.ptr, body.len);
}

static int read_then_body(struct shs_request *req, struct shs_response *res)
{
    struct shs_str body;
    char byte;
    size_t got = 0;

    SHS_RETURN_IF_ERROR(shs_request_read(req, &byte, 1, &got));
    assert_int_equal(shs_request_body(req, 10, &body), SHS_USAGE);
    return shs_send_error(res, 418, NULL);
}

/* One request to one handler, whole and byte by byte; this must be in the answer. */
static void ask(shs_method_fn *fn, const char *request, const char *part)
{
    const struct shs_http_handler handler = {.name = "t", .do_GET = fn, .do_POST = fn};

    for (int split = 0; split < 2; split++) {
        struct h1_lab lab;

        h1_lab_open(&lab, &handler);
        lab.opt.max_buffered_body = split ? 0 : 50;
        lab.piece = split ? h1_lab_one_byte : NULL;
        h1_lab_talk(&lab, request, strlen(request));
        h1_has(&lab, part);
        h1_lab_close(&lab);
    }
}

static void test_query(void **state)
{
    (void)state;
    ask(query, "GET /?who=a%20b&x=1&who=c+d HTTP/1.1\r\nHost: a\r\n\r\n", "who=a b then c d.");
    ask(query, "GET / HTTP/1.1\r\nHost: a\r\n\r\n", "who=(none) then (none).");
    ask(query, "GET /? HTTP/1.1\r\nHost: a\r\n\r\n", "who=(none) then (none).");
    ask(query, "GET /?who HTTP/1.1\r\nHost: a\r\n\r\n", "who= then (none).");
    ask(query, "GET http://h/p?who=x HTTP/1.1\r\nHost: a\r\n\r\n", "who=x then (none).");
    ask(query, "GET /?who=%00 HTTP/1.1\r\nHost: a\r\n\r\n", "HTTP/1.1 400 ");
}

static void test_number(void **state)
{
    (void)state;
    ask(number, "GET /?n=7 HTTP/1.1\r\nHost: a\r\n\r\n", "n=7.");
    ask(number, "GET /?n=100 HTTP/1.1\r\nHost: a\r\n\r\n", "n=100.");
    ask(number, "GET /?m=7 HTTP/1.1\r\nHost: a\r\n\r\n", "n=42."); /* as it was */
    ask(number, "GET /?n=101 HTTP/1.1\r\nHost: a\r\n\r\n",
        "The parameter n must be a number from 0 to 100.");
    ask(number, "GET /?n=7x HTTP/1.1\r\nHost: a\r\n\r\n", "HTTP/1.1 400 ");
    ask(number, "GET /?n= HTTP/1.1\r\nHost: a\r\n\r\n", "HTTP/1.1 400 ");
}

static void test_too_many(void **state)
{
    char request[2 * SHS_MAX_PARAMS + 100];
    size_t len = (size_t)snprintf(request, sizeof request, "GET /?");

    (void)state;
    for (size_t i = 0; i <= SHS_MAX_PARAMS; i++)
        len += (size_t)snprintf(request + len, sizeof request - len, "a&");
    snprintf(request + len, sizeof request - len, " HTTP/1.1\r\nHost: a\r\n\r\n");
    ask(query, request, "There are more parameters than this server accepts.");
}

#define A50 "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
#define FORM "Content-Type: application/x-www-form-urlencoded"

static void test_form(void **state)
{
    (void)state;
    ask(form,
        "POST / HTTP/1.1\r\nHost: a\r\n" FORM "\r\nContent-Length: 17\r\n\r\na=1&b=%2B+&a=x%26",
        "\r\n\r\n[a|1][b|+ ][a|x&]a=1&b=%2B+&a=x%26");
    ask(form,
        "POST / HTTP/1.1\r\nHost: a\r\n" FORM " ; charset=UTF-8\r\nTransfer-Encoding: chunked\r\n"
        "\r\n2\r\na=\r\n3\r\n%41\r\n0\r\n\r\n",
        "[a|A]");
    ask(form, "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n", "200 OK");
    ask(form, "POST / HTTP/1.1\r\nHost: a\r\n" FORM "\r\nContent-Length: 3\r\n\r\na=%",
        "HTTP/1.1 400 ");
    ask(form, "POST / HTTP/1.1\r\nHost: a\r\n" FORM "x\r\nContent-Length: 3\r\n\r\na=b",
        "HTTP/1.1 415 ");
    ask(form, "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\na=b", "HTTP/1.1 415 ");
    ask(form, "POST / HTTP/1.1\r\nHost: a\r\n" FORM "\r\nContent-Length: 101\r\n\r\n",
        "HTTP/1.1 413 "); /* at once: nothing of it is waited for */
    ask(form,
        "POST / HTTP/1.1\r\nHost: a\r\n" FORM "\r\nTransfer-Encoding: chunked\r\n\r\n"
        "65\r\n" A50 A50 "a\r\n0\r\n\r\n",
        "HTTP/1.1 413 ");
    ask(form,
        "POST / HTTP/1.1\r\nHost: a\r\n" FORM "\r\nTransfer-Encoding: chunked\r\n\r\n"
        "64\r\n" A50 A50 "\r\n0\r\n\r\n",
        "HTTP/1.1 200 ");
}

static void test_body(void **state)
{
    const struct shs_http_handler handler = {.name = "t", .do_POST = body_then_read};
    char *request = malloc(71000);
    size_t head, size[] = {1, 4095, 4096, 4097, 65536, 65537, 70000, 70001};

    (void)state;
    ask(body_then_read, "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhello",
        "\r\n\r\nhello");
    ask(body_then_read, "GET / HTTP/1.1\r\nHost: a\r\n\r\n", "Content-Length: 0\r\n\r\n");
    ask(body_twice, "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhello",
        "\r\n\r\nhello");
    ask(body_twice,
        "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n",
        "HTTP/1.1 413 ");
    ask(read_then_body, "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhello", " 418 ");
    for (size_t i = 0; i < SHS_ARRAY_LEN(size); i++) {
        struct h1_lab lab;

        h1_lab_open(&lab, &handler);
        lab.opt.max_buffered_response = 1000000;
        lab.piece = h1_lab_random_piece;
        head = (size_t)snprintf(
            request, 1000, "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: %zu\r\n\r\n", size[i]);
        for (size_t k = 0; k < size[i]; k++)
            request[head + k] = (char)('a' + k % 23);
        h1_lab_talk(&lab, request, head + size[i]);
        if (size[i] > 70000) {
            h1_has(&lab, "HTTP/1.1 413 ");
        } else {
            h1_has(&lab, "HTTP/1.1 200 ");
            assert_memory_equal(shs__buf_tail(&lab.got) - size[i], request + head, size[i]);
        }
        h1_lab_close(&lab);
    }
    free(request);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_lists),    cmocka_unit_test(test_malformed),
        cmocka_unit_test(test_ceiling),  cmocka_unit_test(test_against_a_model),
        cmocka_unit_test(test_query),    cmocka_unit_test(test_form),
        cmocka_unit_test(test_body),     cmocka_unit_test(test_number),
        cmocka_unit_test(test_too_many),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
