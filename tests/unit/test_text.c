#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>

#include <cmocka.h>

#include "base/text.h"
#include "h1_lab.h"
#include "random_text.h"

#define CEILING 4096

typedef int escape_fn(struct shs_buf *out, struct shs_str s);

static void check(escape_fn *escape, struct shs_str in, struct shs_str expected)
{
    struct shs_buf out;

    shs__buf_init(&out, CEILING);
    assert_int_equal(escape(&out, in), SHS_OK);
    if (!shs__str_eq((struct shs_str){out.len > 0 ? shs__buf_head(&out) : "", out.len}, expected))
        fail_msg("\"%.*s\" became \"%.*s\", not \"%.*s\"", (int)in.len, in.ptr, (int)out.len,
                 out.len > 0 ? shs__buf_head(&out) : "", (int)expected.len, expected.ptr);
    shs__buf_free(&out);
}

static void check_decode(struct shs_str in, int rc, struct shs_str expected)
{
    char *out = malloc(in.len > 0 ? in.len : 1);
    size_t len = 99;

    assert_non_null(out);
    assert_int_equal(shs_percent_decode(in, out, in.len, &len), rc);
    if (rc == SHS_OK)
        assert_true(shs__str_eq((struct shs_str){out, len}, expected));
    else
        assert_int_equal(len, 99);
    free(out);
}

static void test_percent_decode(void **state)
{
    SHS_UNUSED(state);
    check_decode(SHS_STR(""), SHS_OK, SHS_STR(""));
    check_decode(SHS_STR("/a/b"), SHS_OK, SHS_STR("/a/b"));
    check_decode(SHS_STR("/a%20b%2Fc%2fd"), SHS_OK, SHS_STR("/a b/c/d"));
    check_decode(SHS_STR("%41%4a%4A%fF"), SHS_OK, SHS_STR("AJJ\xff"));
    check_decode(SHS_STR("a+b"), SHS_OK, SHS_STR("a+b"));
    check_decode(SHS_STR("%2525"), SHS_OK, SHS_STR("%25")); /* once */
    check_decode(SHS_STR("%252e%252e"), SHS_OK, SHS_STR("%2e%2e"));
    check_decode(SHS_STR("%"), SHS_PROTO, SHS_STR(""));
    check_decode(SHS_STR("%4"), SHS_PROTO, SHS_STR(""));
    check_decode(SHS_STR("a%4"), SHS_PROTO, SHS_STR(""));
    check_decode(SHS_STR("%g1"), SHS_PROTO, SHS_STR(""));
    check_decode(SHS_STR("%1g"), SHS_PROTO, SHS_STR(""));
    check_decode(SHS_STR("%%41"), SHS_PROTO, SHS_STR(""));
    check_decode(SHS_STR("%u0041"), SHS_PROTO, SHS_STR(""));
    check_decode(SHS_STR("% 41"), SHS_PROTO, SHS_STR(""));
    check_decode(SHS_STR("%00"), SHS_PROTO, SHS_STR(""));
    check_decode(SHS_STR("a%00b"), SHS_PROTO, SHS_STR(""));
    check_decode(SHS_STR("a\0b"), SHS_PROTO, SHS_STR(""));
}

static void test_percent_decode_room(void **state)
{
    char out[3] = "xx";
    size_t len = 99;

    SHS_UNUSED(state);
    assert_int_equal(shs_percent_decode(SHS_STR("ab"), out, 2, &len), SHS_OK);
    assert_int_equal(len, 2);
    assert_int_equal(shs_percent_decode(SHS_STR("%61%62"), out, 2, &len), SHS_OK);
    assert_int_equal(shs_percent_decode(SHS_STR("abc"), out, 2, &len), SHS_LIMIT);
    assert_int_equal(shs_percent_decode(SHS_STR("a"), out, 0, &len), SHS_LIMIT);
    assert_int_equal(shs_percent_decode(SHS_STR(""), out, 0, &len), SHS_OK);
    assert_int_equal(len, 0);
    assert_int_equal(out[2], '\0');
}

static void test_percent_decode_in_place(void **state)
{
    char text[] = "/a%20b%2fc";
    size_t len;

    SHS_UNUSED(state);
    assert_int_equal(shs_percent_decode(shs__str(text), text, sizeof text - 1, &len), SHS_OK);
    assert_true(shs__str_eq((struct shs_str){text, len}, SHS_STR("/a b/c")));
}

static void test_percent_encode(void **state)
{
    SHS_UNUSED(state);
    check(shs__percent_encode, SHS_STR(""), SHS_STR(""));
    check(shs__percent_encode, SHS_STR("aZ09-._~"), SHS_STR("aZ09-._~"));
    check(shs__percent_encode, SHS_STR("a b/c?d#e%"), SHS_STR("a%20b%2Fc%3Fd%23e%25"));
    check(shs__percent_encode, SHS_STR("\"<>'&:;@\\"), SHS_STR("%22%3C%3E%27%26%3A%3B%40%5C"));
    check(shs__percent_encode, SHS_STR("\xc3\xa9\xff\n"), SHS_STR("%C3%A9%FF%0A"));
}

/* Whatever the bytes of a file name are: encoded and decoded, they are the same. */
static void test_round_trip(void **state)
{
    SHS_UNUSED(state);
    for (int c = 1; c < 256; c++) {
        char in[3] = {'a', (char)c, 'b'}, out[16];
        struct shs_buf buf;
        size_t len;

        shs__buf_init(&buf, CEILING);
        assert_int_equal(shs__percent_encode(&buf, (struct shs_str){in, 3}), SHS_OK);
        assert_int_equal(shs_percent_decode((struct shs_str){shs__buf_head(&buf), buf.len}, out,
                                            sizeof out, &len),
                         SHS_OK);
        assert_true(shs__str_eq((struct shs_str){out, len}, (struct shs_str){in, 3}));
        shs__buf_free(&buf);
    }
}

static void test_html(void **state)
{
    SHS_UNUSED(state);
    check(shs__html_escape, SHS_STR(""), SHS_STR(""));
    check(shs__html_escape, SHS_STR("plain"), SHS_STR("plain"));
    check(shs__html_escape, SHS_STR("<a href=\"x\" b='y'>&amp;</a>"),
          SHS_STR("&lt;a href=&quot;x&quot; b=&#39;y&#39;&gt;&amp;amp;&lt;/a&gt;"));
    check(shs__html_escape, SHS_STR("\xc3\xa9"), SHS_STR("\xc3\xa9"));
}

static void test_json(void **state)
{
    SHS_UNUSED(state);
    check(shs__json_escape, SHS_STR(""), SHS_STR(""));
    check(shs__json_escape, SHS_STR("a\"b\\c/d"), SHS_STR("a\\\"b\\\\c/d"));
    check(shs__json_escape, SHS_STR("\n\r\t\x01\x1f\x7f\0"),
          SHS_STR("\\n\\r\\t\\u0001\\u001f\\u007f\\u0000"));
    check(shs__json_escape, SHS_STR("\xc3\xa9\xe2\x82\xac\xf0\x9f\x98\x80"),
          SHS_STR("\xc3\xa9\xe2\x82\xac\xf0\x9f\x98\x80"));
    check(shs__json_escape, SHS_STR("a\xe9z"), SHS_STR("a\\u00e9z")); /* latin-1 */
    check(shs__json_escape, SHS_STR("\xc3"), SHS_STR("\\u00c3"));     /* cut short */
    check(shs__json_escape, SHS_STR("\xe2\x82"), SHS_STR("\\u00e2\\u0082"));
    check(shs__json_escape, SHS_STR("\xe2\x82z"), SHS_STR("\\u00e2\\u0082z"));
    check(shs__json_escape, SHS_STR("\xc0\xaf"), SHS_STR("\\u00c0\\u00af")); /* overlong */
    check(shs__json_escape, SHS_STR("\xe0\x80\xaf"), SHS_STR("\\u00e0\\u0080\\u00af"));
    check(shs__json_escape, SHS_STR("\xed\xa0\x80"), SHS_STR("\\u00ed\\u00a0\\u0080"));
    check(shs__json_escape, SHS_STR("\xf4\x90\x80\x80"), SHS_STR("\\u00f4\\u0090\\u0080\\u0080"));
    check(shs__json_escape, SHS_STR("\xf0\x80\x80\x80"), SHS_STR("\\u00f0\\u0080\\u0080\\u0080"));
    /* The same string, and nothing to a terminal. */
    check(shs__json_escape,
          SHS_STR("a\xe2\x80\xae"
                  "b\xd8\x9c\xe2\x81\xa6\xc2\x9b\xe2\x80\xa8"),
          SHS_STR("a\\u202eb\\u061c\\u2066\\u009b\\u2028"));
    check(shs__json_escape, SHS_STR("\xe2\x80\xaf\xe2\x81\xaa\xd8\x9d"),
          SHS_STR("\xe2\x80\xaf\xe2\x81\xaa\xd8\x9d"));
    check(shs__json_escape, SHS_STR("\x80\xc3\xa9\""), SHS_STR("\\u0080\xc3\xa9\\\""));
}

static void test_log(void **state)
{
    SHS_UNUSED(state);
    check(shs__log_escape, SHS_STR("GET / HTTP/1.1"), SHS_STR("GET / HTTP/1.1"));
    check(shs__log_escape, SHS_STR("a\nb\r\x1b[31m\0"), SHS_STR("a\\x0ab\\x0d\\x1b[31m\\x00"));
    check(shs__log_escape, SHS_STR("\\x41"), SHS_STR("\\\\x41"));
    check(shs__log_escape, SHS_STR("\x7f\x80\x9f\xa0\xff ~"),
          SHS_STR("\\x7f\\x80\\x9f\\xa0\\xff ~"));
    /* UTF-8 stays whole, also with bytes 0x80 to 0x9f in it; U+0080 to U+009f do not. */
    check(shs__log_escape, SHS_STR("\xc3\x84\xe2\x80\x9c\xf0\x9f\x98\x80"),
          SHS_STR("\xc3\x84\xe2\x80\x9c\xf0\x9f\x98\x80"));
    check(shs__log_escape, SHS_STR("\xc2\x9b\x31m\xc2\xa0\xe2\x80"),
          SHS_STR("\\xc2\\x9b1m\xc2\xa0\\xe2\\x80"));
    /* What turns the text beside it, or ends a line to some; and what is next to those. */
    check(
        shs__log_escape,
        SHS_STR("/\xe2\x80\xaegpj.exe \xe2\x81\xa9\xe2\x80\x8f\xe2\x80\xa9\xd8\x9c"),
        SHS_STR("/\\xe2\\x80\\xaegpj.exe \\xe2\\x81\\xa9\\xe2\\x80\\x8f\\xe2\\x80\\xa9\\xd8\\x9c"));
    check(shs__log_escape, SHS_STR("\xe2\x80\x8d\xe2\x80\xa7\xe2\x80\xaf\xe2\x81\xa5\xe2\x81\xaa"),
          SHS_STR("\xe2\x80\x8d\xe2\x80\xa7\xe2\x80\xaf\xe2\x81\xa5\xe2\x81\xaa"));
}

static void test_spiffe(void **state)
{
    static const char *const good[] = {"spiffe://a", "SPIFFE://corp.test/ns/ops/sa/x_1-2.3",
                                       "spiffe://a/...", "spiffe://a/.b"};
    static const char *const bad[] = {
        "spiffe://",      "spiffe:///x",     "spiffe://a/",         "spiffe://a//b",
        "spiffe://a/.",   "spiffe://a/../b", "spiffe://a/%2e%2e/b", "spiffe://a/b?c",
        "spiffe://a/b#c", "spiffe://u@a/b",  "spiffe://a:1/b",      "spiffe://a/\xc3\xa9",
        "spiffe://a/b c", "spiffe://a/*",    "spiffe://a/b\\c"};

    SHS_UNUSED(state);
    for (size_t i = 0; i < SHS_ARRAY_LEN(good); i++)
        assert_true(shs__spiffe_is_good(shs__str(good[i]), false));
    for (size_t i = 0; i < SHS_ARRAY_LEN(bad); i++) {
        assert_true(shs__is_spiffe(shs__str(bad[i])));
        assert_false(shs__spiffe_is_good(shs__str(bad[i]), false));
    }
    assert_true(shs__spiffe_is_good(SHS_STR("spiffe://a/*/b/**"), true));
    assert_false(shs__spiffe_is_good(SHS_STR("spiffe://a/*/../**"), true));
    assert_false(shs__is_spiffe(SHS_STR("spiffe:/")));
    assert_false(shs__is_spiffe(SHS_STR("https://a/../b")));
}

static void test_cut(void **state)
{
    struct shs_str s = SHS_STR("a\xc3\x84\xf0\x9f\x98\x80z");
    static const size_t wanted[] = {0, 1, 1, 3, 3, 3, 3, 7, 8, 8};

    SHS_UNUSED(state);
    for (size_t max = 0; max < SHS_ARRAY_LEN(wanted); max++)
        assert_int_equal(shs__utf8_cut(s, max), wanted[max]);
    assert_int_equal(shs__utf8_cut(SHS_STR("\x80\x80\x80\x80\x80\x80"), 3), 3);
}

static void test_trim(void **state)
{
    static const struct {
        const char *text;
        size_t len;
    } rows[] = {
        {"", 0},
        {"a", 1},
        {"a\xc3", 1},
        {"a\xc3\x84", 3},
        {"\xe2\x80", 0},
        {"\xe2\x80\x9c", 3},
        {"a\xf0\x9f\x98", 1},
        {"a\xf0\x9f\x98\x80", 5},
        {"\x80\x80\x80\x80\x80", 5}, /* broken before: nothing of it is ours to mend */
        {"a\xff", 1},
    };

    SHS_UNUSED(state);
    for (size_t i = 0; i < SHS_ARRAY_LEN(rows); i++)
        assert_int_equal(shs__utf8_trim(shs__str(rows[i].text)), rows[i].len);
}

/* The public ones are the same, into memory of the caller's, and say when it is too small. */
static void test_into_memory(void **state)
{
    char out[12];
    size_t len = 99;

    SHS_UNUSED(state);
    assert_int_equal(shs_html_escape(SHS_STR("<&"), out, sizeof out, &len), SHS_OK);
    assert_true(shs__str_eq((struct shs_str){out, len}, SHS_STR("&lt;&amp;")));
    assert_int_equal(shs_json_escape(SHS_STR("\"\xc3\x84"), out, sizeof out, &len), SHS_OK);
    assert_true(shs__str_eq((struct shs_str){out, len}, SHS_STR("\\\"\xc3\x84")));
    assert_int_equal(shs_log_escape(SHS_STR("\n"), out, 4, &len), SHS_OK);
    assert_true(shs__str_eq((struct shs_str){out, len}, SHS_STR("\\x0a")));
    assert_int_equal(shs_percent_encode(SHS_STR("a/b"), out, 5, &len), SHS_OK);
    assert_true(shs__str_eq((struct shs_str){out, len}, SHS_STR("a%2Fb")));
    assert_int_equal(shs_percent_encode(SHS_STR("a/b"), out, 4, &len), SHS_LIMIT);
    assert_int_equal(len, 5);
}

static void test_numbers(void **state)
{
    uint64_t n = 7;

    SHS_UNUSED(state);
    assert_true(shs_str_number(SHS_STR("0"), 0, &n) && n == 0);
    assert_true(shs_str_number(SHS_STR("0012"), 12, &n) && n == 12);
    assert_true(shs_str_number(SHS_STR("18446744073709551615"), UINT64_MAX, &n) && n == UINT64_MAX);
    n = 7;
    assert_false(shs_str_number(SHS_STR("18446744073709551616"), UINT64_MAX, &n));
    assert_false(shs_str_number(SHS_STR("99999999999999999999"), UINT64_MAX, &n));
    assert_false(shs_str_number(SHS_STR("13"), 12, &n));
    assert_false(shs_str_number(SHS_STR("1"), 0, &n));
    assert_false(shs_str_number(SHS_STR(""), 12, &n));
    assert_false(shs_str_number(SHS_STR("-1"), 12, &n));
    assert_false(shs_str_number(SHS_STR("1 "), 12, &n));
    assert_false(shs_str_number(SHS_STR("1\0"), 12, &n));
    assert_int_equal(n, 7);
}

static void test_compare(void **state)
{
    SHS_UNUSED(state);
    assert_true(shs_str_is(SHS_STR("GET"), "GET") && !shs_str_is(SHS_STR("GET"), "get"));
    assert_true(shs_str_is_nocase(SHS_STR("GeT"), "gEt"));
    assert_false(shs_str_is_nocase(SHS_STR("@[`{"), "`{@[")); /* letters only */
    assert_false(shs_str_is_nocase(SHS_STR("\xc4"), "\xe4"));
    assert_true(shs_str_starts_with(SHS_STR("/api/x"), "/api/"));
    assert_false(shs_str_starts_with(SHS_STR("/ap"), "/api/"));
    assert_true(shs_str_eq(shs_str_of(NULL), SHS_STR("")));
}

static void test_ceiling(void **state)
{
    struct shs_buf out;

    SHS_UNUSED(state);
    shs__buf_init(&out, 8);
    assert_int_equal(shs__html_escape(&out, SHS_STR("ab&c")), SHS_OK); /* 8 bytes */
    assert_int_equal(out.len, 8);
    assert_int_equal(shs__html_escape(&out, SHS_STR("d")), SHS_LIMIT);
    assert_int_equal(shs__json_escape(&out, SHS_STR("\"")), SHS_LIMIT);
    assert_int_equal(shs__json_escape(&out, SHS_STR("\xc3\xa9")), SHS_LIMIT);
    assert_int_equal(shs__percent_encode(&out, SHS_STR(" ")), SHS_LIMIT);
    assert_int_equal(shs__log_escape(&out, SHS_STR("\n")), SHS_LIMIT);
    assert_int_equal(out.len, 8);
    shs__buf_free(&out);
}

/* -- the same, byte by byte -------------------------------------------------------------------- */

/* What is escaped of a whole sequence: it is a control character, or turns text. */
static bool obeyed(struct shs_str s, size_t pos, size_t len)
{
    return (len == 2 && (unsigned char)s.ptr[pos] == 0xc2 &&
            (unsigned char)s.ptr[pos + 1] < 0xa0) ||
           shs__utf8_turns(s, pos);
}

static void plain_log(struct shs_buf *out, struct shs_str s)
{
    size_t len;

    for (size_t pos = 0; pos < s.len; pos += len) {
        size_t whole = shs__utf8_length(s, pos);
        unsigned char c = (unsigned char)s.ptr[pos];

        len = whole == 0 ? 1 : whole;
        if (c == '\\')
            shs__buf_printf(out, "\\\\");
        else if ((whole == 1 && c >= 0x20 && c < 0x7f) || (whole > 1 && !obeyed(s, pos, whole)))
            shs__buf_append(out, s.ptr + pos, len);
        else
            for (size_t i = 0; i < len; i++)
                shs__buf_printf(out, "\\x%02x", (unsigned char)s.ptr[pos + i]);
    }
}

static unsigned code_of(struct shs_str s, size_t pos, size_t len)
{
    const unsigned char *p = (const unsigned char *)s.ptr + pos;

    return len == 2 ? (p[0] & 0x1fu) << 6 | (p[1] & 0x3fu)
                    : (p[0] & 0x0fu) << 12 | (p[1] & 0x3fu) << 6 | (p[2] & 0x3fu);
}

static void plain_json(struct shs_buf *out, struct shs_str s)
{
    size_t len;

    for (size_t pos = 0; pos < s.len; pos += len) {
        size_t whole = shs__utf8_length(s, pos);
        char c = s.ptr[pos];

        len = whole == 0 ? 1 : whole;
        if (whole > 1 && obeyed(s, pos, whole))
            shs__buf_printf(out, "\\u%04x", code_of(s, pos, whole));
        else if (whole > 1)
            shs__buf_append(out, s.ptr + pos, len);
        else if (c == '"' || c == '\\')
            shs__buf_printf(out, "\\%c", c);
        else if (c == '\n' || c == '\r' || c == '\t')
            shs__buf_printf(out, "\\%c", c == '\n' ? 'n' : c == '\r' ? 'r' : 't');
        else if (c >= 0x20 && c < 0x7f)
            shs__buf_append(out, &c, 1);
        else
            shs__buf_printf(out, "\\u%04x", (unsigned char)c);
    }
}

/* Nothing but plain bytes before the length, and all of it if there is nothing else. */
static void check_plain_length(struct shs_str s)
{
    size_t plain = 0, got = shs__plain_length(s);

    while (plain < s.len && s.ptr[plain] >= 0x20 && s.ptr[plain] < 0x7f && s.ptr[plain] != '"' &&
           s.ptr[plain] != '\\')
        plain++;
    assert_true(got <= plain);
    assert_true(plain < s.len || got == s.len);
}

static void test_like_byte_by_byte(void **state)
{
    uint64_t seed = 2026;
    struct shs_buf want;

    SHS_UNUSED(state);
    shs__buf_init(&want, CEILING);
    for (int i = 0; i < 20000; i++) {
        char *text = malloc(101); /* its end is the end of the memory: nothing is read behind */
        struct shs_str s = {text, 0};

        assert_non_null(text);
        s.len = random_text(&seed, text, (size_t)(h1_lab_next_random(&seed) % 101));
        memmove(text + 101 - s.len, text, s.len);
        s.ptr = text + 101 - s.len;
        check_plain_length(s);
        plain_log(&want, s);
        check(shs__log_escape, s,
              (struct shs_str){want.len > 0 ? shs__buf_head(&want) : "", want.len});
        shs__buf_consume(&want, want.len);
        plain_json(&want, s);
        check(shs__json_escape, s,
              (struct shs_str){want.len > 0 ? shs__buf_head(&want) : "", want.len});
        shs__buf_consume(&want, want.len);
        free(text);
    }
    shs__buf_free(&want);
}

/* Each byte at each place among plain ones. */
static void test_plain_length(void **state)
{
    char text[33];

    SHS_UNUSED(state);
    for (size_t len = 0; len <= sizeof text; len++) {
        memset(text, 'a', sizeof text);
        assert_int_equal(shs__plain_length((struct shs_str){text, len}), len);
        for (size_t at = 0; at < len; at++) {
            for (unsigned c = 0; c < 256; c++) {
                text[at] = (char)c;
                check_plain_length((struct shs_str){text, len});
            }
            text[at] = 'a';
        }
    }
    assert_int_equal(shs__plain_length((struct shs_str){NULL, 0}), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_percent_decode),
        cmocka_unit_test(test_percent_decode_room),
        cmocka_unit_test(test_percent_decode_in_place),
        cmocka_unit_test(test_percent_encode),
        cmocka_unit_test(test_round_trip),
        cmocka_unit_test(test_html),
        cmocka_unit_test(test_json),
        cmocka_unit_test(test_log),
        cmocka_unit_test(test_spiffe),
        cmocka_unit_test(test_cut),
        cmocka_unit_test(test_trim),
        cmocka_unit_test(test_into_memory),
        cmocka_unit_test(test_numbers),
        cmocka_unit_test(test_compare),
        cmocka_unit_test(test_ceiling),
        cmocka_unit_test(test_plain_length),
        cmocka_unit_test(test_like_byte_by_byte),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
