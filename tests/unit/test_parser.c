/*
 * The second opinion has teeth: whenever the guard's reading of a head or body were another than
 * llhttp's, in any one respect, the answer is "no".
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>

#include <cmocka.h>

#include "http/guard.h"
#include "http/parser.h"
#include "http/rules.h"

static const struct shs_guard_limits limits = {8192, 32768, 100, 1 << 20, 256, 4096, 8192};

struct fixture {
    struct shs_field fields[100];
    struct shs_parser parser;
    struct shs_head head;
    const char *bytes;
    size_t len;
};

static void parse(struct fixture *f, const char *bytes)
{
    struct shs_refusal why;

    f->bytes = bytes;
    f->len = strlen(bytes);
    assert_int_equal(shs__head_parse(bytes, f->len, &limits, &f->parser, f->fields, &f->head, &why),
                     SHS_OK);
    assert_true(shs__parser_head(&f->parser, &f->head, bytes, f->len));
}

static bool agrees(struct fixture *f)
{
    return shs__parser_head(&f->parser, &f->head, f->bytes, f->len);
}

static const char get[] = "GET /abc HTTP/1.1\r\nHost: a\r\nX: y\r\nEmpty:\r\nZ:  z\r\n\r\n";
static const char post[] = "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\n";
static const char chunked[] = "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n";

static void test_method(void **state)
{
    struct fixture f;

    SHS_UNUSED(state);
    parse(&f, get);
    f.head.method = SHS_STR("PUT");
    assert_false(agrees(&f));
    f.head.method = SHS_STR("get"); /* given as POST, with the rest of the line: another line */
    assert_false(agrees(&f) && f.parser.llhttp.method == HTTP_GET);
}

static void test_target(void **state)
{
    struct fixture f;

    SHS_UNUSED(state);
    parse(&f, get);
    f.head.target.len--;
    assert_false(agrees(&f));
    f.head.target.len += 2;
    assert_false(agrees(&f));
    parse(&f, get);
    f.head.target.ptr++;
    assert_false(agrees(&f));
    f.head.target.len--;
    assert_false(agrees(&f));
}

static void test_version(void **state)
{
    struct fixture f;

    SHS_UNUSED(state);
    parse(&f, get);
    f.head.version = 10;
    f.head.keep_alive = false;
    assert_false(agrees(&f));
}

static void test_keep_alive(void **state)
{
    struct fixture f;

    SHS_UNUSED(state);
    parse(&f, "GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n");
    f.head.keep_alive = true;
    assert_false(agrees(&f));
    parse(&f, get); /* the other way round is ours to decide */
    f.head.keep_alive = false;
    assert_true(agrees(&f));
}

static void test_field_count(void **state)
{
    struct fixture f;

    SHS_UNUSED(state);
    parse(&f, get);
    f.head.field_count--;
    assert_false(agrees(&f));
    parse(&f, get);
    f.fields[4] = f.fields[3];
    f.head.field_count++;
    assert_false(agrees(&f));
    f.head.field_count = 0;
    assert_false(agrees(&f));
}

static void test_field_content(void **state)
{
    struct fixture f;

    SHS_UNUSED(state);
    parse(&f, get);
    f.fields[1].value.len = 0; /* "X: y" read as "X:" */
    assert_false(agrees(&f));
    parse(&f, get);
    f.fields[2].value = (struct shs_str){f.fields[2].name.ptr, 3}; /* "Empty:" with a value */
    assert_false(agrees(&f));
    parse(&f, get);
    f.fields[1].value.len += 8; /* "X: y" with the line behind it */
    assert_false(agrees(&f));
    parse(&f, get);
    f.fields[1].name.len = 2;
    assert_false(agrees(&f));
    parse(&f, get);
    f.fields[1].name.ptr = f.fields[0].name.ptr;
    assert_false(agrees(&f));
}

/* Only two names are left out; others of their length are seen. */
static void test_seen_fields(void **state)
{
    struct fixture f;

    SHS_UNUSED(state);
    parse(&f, "GET / HTTP/1.1\r\nReferer: x\r\nX-Sixteen-Length: y\r\nHost: a\r\n\r\n");
    for (size_t i = 0; i < 3; i++) {
        assert_true(agrees(&f));
        f.fields[i].value.ptr--; /* " x" for "x": as if it were not trimmed */
        f.fields[i].value.len++;
        assert_false(agrees(&f));
        f.fields[i].value.ptr++;
        f.fields[i].value.len--;
    }
}

/* A field that is left out for llhttp must not take anything else with it. */
static void test_left_out_field(void **state)
{
    struct fixture f;

    SHS_UNUSED(state);
    parse(&f, "GET / HTTP/1.1\r\nHost: a\r\nUpgrade: x\r\nContent-Length: 5\r\n\r\n");
    f.fields[1].value.len += 2 + strlen("Content-Length: 5");
    f.head.field_count--;
    f.head.content_length = 0;
    assert_false(agrees(&f));
    f.fields[1].value.len = 1; /* or leave it between two lines */
    assert_false(agrees(&f));
}

static void test_framing(void **state)
{
    struct fixture f;

    SHS_UNUSED(state);
    parse(&f, post);
    f.head.content_length = 6;
    assert_false(agrees(&f));
    f.head.content_length = 0;
    assert_false(agrees(&f));
    parse(&f, post);
    f.head.chunked = true;
    assert_false(agrees(&f));
    parse(&f, chunked);
    f.head.chunked = false;
    assert_false(agrees(&f));
    parse(&f, get);
    f.head.content_length = 1;
    assert_false(agrees(&f));
}

static void test_incomplete_head(void **state)
{
    struct fixture f;

    SHS_UNUSED(state);
    parse(&f, get);
    f.len -= 2;
    assert_false(agrees(&f));
}

/* What llhttp alone accepts or stumbles over, seen by it and not by the guard. */
static void test_more_than_one_message(void **state)
{
    struct fixture f;

    SHS_UNUSED(state);
    parse(&f, "GET / HTTP/1.1\r\nHost: a\r\n\r\n");
    f.bytes = "GET / HTTP/1.1\r\nHost: a\r\n\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n";
    f.len = strlen(f.bytes);
    assert_false(agrees(&f));
}

static void test_length_body(void **state)
{
    struct fixture f;

    SHS_UNUSED(state);
    parse(&f, post);
    assert_true(shs__parser_content(&f.parser, "he", 2, false));
    assert_true(shs__parser_content(&f.parser, "llo", 3, true));
    parse(&f, post);
    assert_false(shs__parser_content(&f.parser, "hello", 5, false)); /* llhttp: it is complete */
    parse(&f, post);
    assert_false(shs__parser_content(&f.parser, "hell", 4, true)); /* llhttp: it is not */
    parse(&f, post);
    assert_false(shs__parser_content(&f.parser, "hello!", 6, true)); /* a byte of another one */
}

static void test_chunked_body(void **state)
{
    struct fixture f;

    SHS_UNUSED(state);
    parse(&f, chunked);
    assert_true(shs__parser_chunk(&f.parser, 5));
    assert_true(shs__parser_content(&f.parser, "hello", 5, false));
    assert_true(shs__parser_chunk_end(&f.parser, 5));
    assert_true(shs__parser_chunk(&f.parser, 0));
    assert_true(shs__parser_chunked_end(&f.parser));

    parse(&f, chunked);
    assert_true(shs__parser_chunk(&f.parser, 5));
    assert_true(shs__parser_content(&f.parser, "hell", 4, false));
    assert_false(shs__parser_chunk_end(&f.parser, 4));

    parse(&f, chunked);
    assert_true(shs__parser_chunk(&f.parser, 4));
    assert_false(shs__parser_content(&f.parser, "hello", 5, false));

    parse(&f, chunked);
    assert_true(shs__parser_chunk(&f.parser, 1));
    assert_false(shs__parser_chunked_end(&f.parser));
}

static void test_chunk_sizes(void **state)
{
    static const uint64_t sizes[] = {1, 9, 10, 15, 16, 255, 256, 0xabcdef, ((uint64_t)1 << 60) - 1};
    struct fixture f;

    SHS_UNUSED(state);
    for (size_t i = 0; i < SHS_ARRAY_LEN(sizes); i++) {
        parse(&f, chunked);
        assert_true(shs__parser_chunk(&f.parser, sizes[i]));
        assert_true(f.parser.llhttp.content_length == sizes[i]);
    }
}

/* And the guard turns each "no" into a refusal. */
static void start_body(struct fixture *f, struct shs_body *body, const char *bytes)
{
    parse(f, bytes);
    shs__body_init(body, &f->head, &limits, &f->parser);
}

static int step(struct shs_body *body, const char *bytes, struct shs_refusal *why)
{
    struct shs_str content;
    size_t used;
    int rc = shs__body_step(body, bytes, strlen(bytes), &used, &content, why);

    if (rc == SHS_OK)
        assert_int_equal(used, strlen(bytes));
    return rc;
}

static void check_refused(struct shs_body *body, const char *bytes)
{
    struct shs_refusal why;

    assert_int_equal(step(body, bytes, &why), SHS_PROTO);
    assert_string_equal(why.rule, "parsers-disagree");
    assert_int_equal(why.status, 400);
}

static void test_refusal(void **state)
{
    struct shs_refusal why;
    struct shs_body body;
    struct fixture f;

    SHS_UNUSED(state);
    start_body(&f, &body, post); /* two views of how long the content is */
    body.left = 6;
    check_refused(&body, "hello!");

    start_body(&f, &body, chunked); /* where a chunk begins */
    assert_true(shs__parser_chunk(&f.parser, 3));
    check_refused(&body, "5\r\n");

    start_body(&f, &body, chunked); /* where it ends */
    assert_int_equal(step(&body, "5\r\nhello", &why), SHS_OK);
    body.size = 4;
    check_refused(&body, "\r\n");

    start_body(&f, &body, chunked); /* what is in it */
    assert_int_equal(step(&body, "5\r\n", &why), SHS_OK);
    body.left = 6;
    check_refused(&body, "hello!");

    start_body(&f, &body, chunked); /* llhttp has seen a trailer, which it never should */
    assert_int_equal(step(&body, "0\r\n", &why), SHS_OK);
    assert_false(llhttp_execute(&f.parser.llhttp, "X: y\r\n", 6) == HPE_OK);
    check_refused(&body, "\r\n");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_method),
        cmocka_unit_test(test_target),
        cmocka_unit_test(test_version),
        cmocka_unit_test(test_keep_alive),
        cmocka_unit_test(test_field_count),
        cmocka_unit_test(test_field_content),
        cmocka_unit_test(test_seen_fields),
        cmocka_unit_test(test_left_out_field),
        cmocka_unit_test(test_framing),
        cmocka_unit_test(test_incomplete_head),
        cmocka_unit_test(test_more_than_one_message),
        cmocka_unit_test(test_length_body),
        cmocka_unit_test(test_chunked_body),
        cmocka_unit_test(test_chunk_sizes),
        cmocka_unit_test(test_refusal),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
