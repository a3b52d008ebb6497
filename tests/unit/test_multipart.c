/* test_multipart.c - multipart/form-data, cut up in every way. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>

#include "h1_lab.h"
#include "http/multipart.h"

/* -- a body in pieces -------------------------------------------------------------------------- */

struct source {
    const char *body;
    size_t len, pos;
    size_t cut[2]; /* a read does not go beyond these */
    size_t piece;  /* nor is it longer than this; 0 = random */
    uint64_t random;
    int fail_at_end;
    bool starves; /* before each read there is nothing, for once */
    bool fasted;
};

static int read_source(void *ctx, void *buf, size_t cap, size_t *got)
{
    struct source *s = ctx;
    size_t end = s->len, piece = s->piece;

    s->fasted = s->starves && !s->fasted;
    if (s->fasted)
        return SHS_WAIT_READ;
    for (size_t i = 0; i < 2; i++) {
        if (s->pos < s->cut[i] && s->cut[i] < end)
            end = s->cut[i];
    }
    if (piece == 0)
        piece = 1 + h1_lab_next_random(&s->random) % 20;
    *got = end - s->pos;
    if (*got > piece)
        *got = piece;
    if (*got > cap)
        *got = cap;
    memcpy(buf, s->body + s->pos, *got);
    s->pos += *got;
    if (*got == 0 && s->fail_at_end != SHS_OK)
        return s->fail_at_end;
    return SHS_OK;
}

/* What came out, as text: name|filename|type|data; and the rule at the end. */
struct result {
    char text[4000];
    int rc;
    const char *rule;
};

static void add(struct result *r, struct shs_str s)
{
    size_t len = strlen(r->text);

    assert_true(len + s.len + 8 < sizeof r->text);
    if (s.ptr == NULL)
        s = SHS_STR("-");
    for (size_t i = 0; i < s.len; i++)
        r->text[len++] = s.ptr[i] == '\0' ? '0' : s.ptr[i];
    r->text[len++] = '|';
    r->text[len] = '\0';
}

/* As often as it waits. */
static int read_again(struct shs_multipart *form, void *buf, size_t cap, size_t *got)
{
    int rc;

    do {
        rc = shs_multipart_read(form, buf, cap, got);
    } while (rc == SHS_WAIT_READ);
    return rc;
}

static int read_part(struct shs_multipart *form, struct result *r, size_t cap)
{
    char data[2000], buf[64];
    size_t len = 0, got = 0;
    int rc;

    do {
        rc = read_again(form, buf, cap, &got);
        if (rc != SHS_OK)
            return rc;
        assert_true(len + got <= sizeof data);
        memcpy(data + len, buf, got);
        len += got;
    } while (got > 0);
    assert_int_equal(shs_multipart_read(form, buf, cap, &got), SHS_OK);
    assert_int_equal(got, 0); /* the end stays the end */
    add(r, (struct shs_str){data, len});
    return SHS_OK;
}

static void parse(struct result *r, const char *type, struct source *source,
                  const struct shs_multipart_limits *limits, size_t cap)
{
    char *memory = malloc(shs__multipart_memory(limits));
    struct shs_multipart *form = calloc(1, sizeof *form);
    const struct shs_part *part;

    memset(r, 0, sizeof *r);
    r->rc = shs__multipart_init(form, read_source, source, (struct shs_str){type, strlen(type)},
                                limits, memory);
    while (r->rc == SHS_OK) {
        do {
            r->rc = shs_multipart_next(form, &part);
        } while (r->rc == SHS_WAIT_READ);
        if (r->rc != SHS_OK || part == NULL)
            break;
        add(r, part->name);
        add(r, part->filename);
        add(r, part->content_type);
        r->rc = read_part(form, r, cap);
    }
    if (r->rc != SHS_OK) {
        assert_int_equal(shs_multipart_next(form, &part), r->rc);
        r->rule = form->why.rule;
    } else {
        assert_int_equal(source->pos, source->len); /* the epilogue, too */
    }
    free(form);
    free(memory);
}

static void parse_whole(struct result *r, const char *type, const char *body, size_t len)
{
    struct source source = {.body = body, .len = len, .piece = SIZE_MAX};
    struct shs_multipart_limits limits;

    shs_multipart_limits_init(&limits);
    limits.max_header_bytes = 500;
    limits.max_parts = 5;
    parse(r, type, &source, &limits, 64);
}

/* -- cases ------------------------------------------------------------------------------------- */

#define TYPE "multipart/form-data; boundary=B"
#define PART "--B\r\nContent-Disposition: form-data; "
#define END "\r\n--B--\r\n"

static const struct {
    const char *body;
    const char *text; /* of struct result; NULL: refused */
    const char *rule;
} cases[] = {
    {PART "name=\"a\"\r\n\r\nvalue" END, "a|-|text/plain|value|", NULL},
    {PART "name=a\r\n\r\nvalue\r\n--B--", "a|-|text/plain|value|", NULL},
    {"--B--", "", NULL},
    {"--B--\r\n", "", NULL},
    {"--B-- \t\r\nepilogue\r\n--B\r\nnot a part", "", NULL},
    {"preamble\r\n" PART "name=a\r\n\r\nv" END, "a|-|text/plain|v|", NULL},
    {"\r\n" PART "name=a\r\n\r\nv" END, "a|-|text/plain|v|", NULL},
    {"--B \t \r\nContent-Disposition: form-data; name=a\r\n\r\nv\r\n--B \r\n"
     "Content-Disposition: form-data; name=b\r\n\r\nw" END,
     "a|-|text/plain|v|b|-|text/plain|w|", NULL},
    /* no data, with and without a line of its own */
    {PART "name=a\r\n\r\n" END, "a|-|text/plain||", NULL},
    {PART "name=a\r\n\r\n--B--\r\n", "a|-|text/plain||", NULL},
    {PART "name=a\r\n\r\n" PART "name=b\r\n\r\n" PART "name=c\r\n\r\n--B--", NULL, NULL},
    {PART "name=a\r\n\r\n--B\r\nContent-Disposition: form-data; name=b\r\n\r\nx" END,
     "a|-|text/plain||b|-|text/plain|x|", NULL},
    /* data that looks like more */
    {PART "name=a\r\n\r\n\r\n\r\n" END, "a|-|text/plain|\r\n\r\n|", NULL},
    {PART "name=a\r\n\r\n\r\r\n\r\n-\r\n--\r\n--A\r\n-B\r--B\n--B" END,
     "a|-|text/plain|\r\r\n\r\n-\r\n--\r\n--A\r\n-B\r--B\n--B|", NULL},
    {PART "name=a\r\n\r\n--B-\r\nx" END, NULL, "boundary-line"},
    {PART "name=a\r\n\r\nx\r\n--Bx\r\ny" END, NULL, "boundary-line"},
    {PART "name=a\r\n\r\nx\r\n--B-x\r\ny" END, NULL, "boundary-line"},
    {PART "name=a\r\n\r\nx\r\n--B\ny" END, NULL, "boundary-line"},
    {PART "name=a\r\n\r\nx\r\n--B\ry" END, NULL, "boundary-line"},
    {PART "name=a\r\n\r\nx\r\n--B--x", NULL, "boundary-line"},
    {PART "name=a\r\n\r\nx\r\n--B--\r", NULL, "boundary-line"},
    /* files */
    {PART "name=\"f\"; filename=\"a b.txt\"\r\nContent-Type: image/png\r\n\r\nPNG" END,
     "f|a b.txt|image/png|PNG|", NULL},
    {PART "name=\"f\"; filename=\"\"\r\n\r\n" END, "f||text/plain||", NULL},
    {PART "filename=\"C:\\dir\\f.txt\"; name=\"f\"\r\n\r\n" END, "f|C:\\dir\\f.txt|text/plain||",
     NULL},
    {PART "name=\"a\\\"b\\\\c\"; filename=\";name=x\"\r\n\r\n" END, "a\"b\\c|;name=x|text/plain||",
     NULL},
    {PART "name=\"a%22b\"\r\n\r\n" END, "a%22b|-|text/plain||", NULL},
    {PART "name=\"caf\xc3\xa9\"\r\n\r\n" END, "caf\xc3\xa9|-|text/plain||", NULL},
    {PART "name=f; filename=e; filename*=UTF-8''%e2%82%ac%20a.txt\r\n\r\n" END,
     "f|\xe2\x82\xac a.txt|text/plain||", NULL},
    {PART "name=f; filename*=utf-8'en'a%2Fb; filename=e\r\n\r\n" END, "f|a/b|text/plain||", NULL},
    {PART "name=f; filename*=ISO-8859-1''%e4%A3x\r\n\r\n" END, "f|\xc3\xa4\xc2\xa3x|text/plain||",
     NULL},
    {PART "name=f; filename*=UTF-8''\r\n\r\n" END, "f||text/plain||", NULL},
    {PART "name=f; filename*=UTF-8''%\r\n\r\n" END, NULL, "part-filename"},
    {PART "name=f; filename*=UTF-8''%00\r\n\r\n" END, NULL, "part-filename"},
    {PART "name=f; filename*=UTF-8''%ff\r\n\r\n" END, NULL, "part-filename"},
    {PART "name=f; filename*=UTF-16''a\r\n\r\n" END, NULL, "part-filename"},
    {PART "name=f; filename*=UTF-8'a\r\n\r\n" END, NULL, "part-filename"},
    {PART "name=f; filename*=abc\r\n\r\n" END, NULL, "part-filename"},
    {PART "name=f; filename*=\"UTF-8''a\"\r\n\r\n" END, NULL, "part-filename"},
    {PART "name=f; filename*=UTF-8''a; filename*=UTF-8''b\r\n\r\n" END, NULL, "part-filename"},
    /* header lines */
    {"--B\r\nX: y\r\ncontent-disposition:FORM-DATA ;NAME=a;\r\nZ:\r\n\r\nv" END,
     "a|-|text/plain|v|", NULL},
    {"--B\r\nContent-Transfer-Encoding: 8BIT\r\nContent-Disposition: form-data; "
     "name=a\r\n\r\nv" END,
     "a|-|text/plain|v|", NULL},
    {"--B\r\nContent-Transfer-Encoding: base64\r\nContent-Disposition: form-data; "
     "name=a\r\n\r\nv" END,
     NULL, "part-encoding"},
    {"--B\r\n\r\nv" END, NULL, "part-disposition"},
    {"--B\r\nContent-Type: text/plain\r\n\r\nv" END, NULL, "part-disposition"},
    {"--B\r\nContent-Disposition: attachment; name=a\r\n\r\nv" END, NULL, "part-disposition"},
    {"--B\r\nContent-Disposition: form-datax; name=a\r\n\r\nv" END, NULL, "part-disposition"},
    {"--B\r\nContent-Disposition: form-data\r\n\r\nv" END, NULL, "part-without-name"},
    {PART "filename=a\r\n\r\nv" END, NULL, "part-without-name"},
    {PART "name=a; name=b\r\n\r\nv" END, NULL, "part-name-twice"},
    {PART "name=a; filename=b; filename=c\r\n\r\nv" END, NULL, "part-name-twice"},
    {PART "name=\"a\r\n\r\nv" END, NULL, "part-disposition"},
    {PART "name=a filename=b\r\n\r\nv" END, NULL, "part-disposition"},
    {PART "name=\r\n\r\nv" END, NULL, "part-disposition"},
    {PART "name\r\n\r\nv" END, NULL, "part-disposition"},
    {PART "name=a\r\nContent-Disposition: form-data; name=b\r\n\r\nv" END, NULL,
     "part-field-twice"},
    {PART "name=a\r\nContent-Type: a/b\r\ncontent-type: c/d\r\n\r\nv" END, NULL,
     "part-field-twice"},
    {PART "name=a\r\n folded\r\n\r\nv" END, NULL, "obs-fold"},
    {PART "name=a\r\nX : y\r\n\r\nv" END, NULL, "space-before-colon"},
    {PART "name=a\r\nno colon\r\n\r\nv" END, NULL, "no-colon"},
    {PART "name=a\nX: y\r\n\r\nv" END, NULL, "control-char"},
    {PART "name=a\rX: y\r\n\r\nv" END, NULL, "control-char"},
    {"--B\r\n--B\r\n\r\nv" END, NULL, NULL},
    /* the end */
    {"", NULL, "form-cut-off"},
    {"no boundary at all", NULL, "form-cut-off"},
    {"--B", NULL, "boundary-line"},
    {"--B\r\n", NULL, "form-cut-off"},
    {PART "name=a", NULL, "form-cut-off"},
    {PART "name=a\r\n\r\n", NULL, "form-cut-off"},
    {PART "name=a\r\n\r\nv", NULL, "form-cut-off"},
    {PART "name=a\r\n\r\nv\r\n", NULL, "form-cut-off"},
    {PART "name=a\r\n\r\nv\r\n--", NULL, "form-cut-off"},
    {PART "name=a\r\n\r\nv\r\n--B", NULL, "boundary-line"},
    {PART "name=a\r\n\r\nv\r\n--B-", NULL, "boundary-line"},
    /* limits: 500 bytes of header lines, 16 fields, 5 parts */
    {PART "name=a\r\n\r\n" PART "name=a\r\n\r\n" PART "name=a\r\n\r\n" PART "name=a\r\n\r\n" PART
          "name=a\r\n\r\n" END,
     NULL, NULL},
    {PART "name=a\r\na:\r\nb:\r\nc:\r\nd:\r\ne:\r\nf:\r\ng:\r\nh:\r\ni:\r\nj:\r\nk:\r\nl:\r\n"
          "m:\r\nn:\r\no:\r\n\r\nv" END,
     "a|-|text/plain|v|", NULL},
    {PART "name=a\r\na:\r\nb:\r\nc:\r\nd:\r\ne:\r\nf:\r\ng:\r\nh:\r\ni:\r\nj:\r\nk:\r\nl:\r\n"
          "m:\r\nn:\r\no:\r\np:\r\n\r\nv" END,
     NULL, "part-fields"},
};

static void check_case(size_t i, const struct result *r)
{
    if (cases[i].text != NULL && (r->rc != SHS_OK || strcmp(r->text, cases[i].text) != 0))
        fail_msg("%s\n gave %s %s\n not %s", cases[i].body, r->text, r->rule == NULL ? "" : r->rule,
                 cases[i].text);
    if (cases[i].text == NULL && cases[i].rule != NULL &&
        (r->rc == SHS_OK || strcmp(r->rule, cases[i].rule) != 0))
        fail_msg("%s\n gave %s %s\n not %s", cases[i].body, r->text, r->rule == NULL ? "" : r->rule,
                 cases[i].rule);
}

static void test_cases(void **state)
{
    (void)state;
    for (size_t i = 0; i < SHS_ARRAY_LEN(cases); i++) {
        struct result r;

        parse_whole(&r, TYPE, cases[i].body, strlen(cases[i].body));
        check_case(i, &r);
    }
}

/* The same outcome, to the rule, for every cut, every pair of cuts and every size of buffer. */
static void test_every_split(void **state)
{
    struct shs_multipart_limits limits;

    (void)state;
    shs_multipart_limits_init(&limits);
    limits.max_header_bytes = 500;
    limits.max_parts = 5;
    for (size_t i = 0; i < SHS_ARRAY_LEN(cases); i++) {
        size_t len = strlen(cases[i].body);
        struct result whole, r;

        parse_whole(&whole, TYPE, cases[i].body, len);
        for (size_t a = 0; a <= len; a++) {
            for (size_t b = a; b <= len && b < a + 12; b++) {
                struct source source = {
                    .body = cases[i].body,
                    .len = len,
                    .cut = {a, b},
                    .piece = SIZE_MAX,
                    .starves = (a + b) % 2 == 1,
                };

                parse(&r, TYPE, &source, &limits, 1 + a % 64);
                assert_int_equal(r.rc, whole.rc);
                assert_true(r.rule == whole.rule);
                if (r.rc == SHS_OK)
                    assert_string_equal(r.text, whole.text);
            }
        }
        for (size_t piece = 0; piece < 6; piece++) {
            struct source source = {
                .body = cases[i].body, .len = len, .piece = piece, .random = 42 + i};

            parse(&r, TYPE, &source, &limits, 1 + piece);
            assert_int_equal(r.rc, whole.rc);
            assert_true(r.rule == whole.rule);
            source = (struct source){
                .body = cases[i].body,
                .len = len,
                .piece = piece,
                .random = 42 + i,
                .starves = true,
            };
            parse(&r, TYPE, &source, &limits, 1 + piece);
            assert_int_equal(r.rc, whole.rc);
            assert_true(r.rule == whole.rule);
        }
    }
}

/* Data of the bytes that delimiters are made of, cut at random: comes out as it went in. */
static void test_random_data(void **state)
{
    static const char alphabet[] = "\r\n-Bx";
    uint64_t random = 20240607;
    struct shs_multipart_limits limits;

    (void)state;
    shs_multipart_limits_init(&limits);
    for (int round = 0; round < 3000; round++) {
        char body[1000] = "", wanted[1000] = "";
        struct source source = {.body = body, .random = (uint64_t)round, .starves = round % 2 == 1};
        struct result r;
        unsigned parts = 1 + (unsigned)(h1_lab_next_random(&random) % 3);

        for (unsigned p = 0; p < parts; p++) {
            char data[80] = "";
            size_t n = h1_lab_next_random(&random) % 60, at = strlen(body);

            for (size_t i = 0; i < n; i++)
                data[i] = alphabet[h1_lab_next_random(&random) % 5];
            if (strstr(data, "--B") != NULL)
                data[0] = '\0'; /* no client would choose B */
            n = strlen(wanted);
            snprintf(wanted + n, sizeof wanted - n, "a|-|text/plain|%s|", data);
            snprintf(body + at, sizeof body - at, PART "name=a\r\n\r\n%s\r\n", data);
        }
        source.len = strlen(body);
        snprintf(body + source.len, sizeof body - source.len, "--B--\r\n");
        source.len = strlen(body);
        parse(&r, TYPE, &source, &limits, 1 + (size_t)round % 64);
        assert_int_equal(r.rc, SHS_OK);
        assert_string_equal(r.text, wanted);
    }
}

static void test_content_types(void **state)
{
    static const struct {
        const char *type;
        const char *rule; /* NULL: fine */
    } types[] = {
        {"multipart/form-data; boundary=B", NULL},
        {"Multipart/Form-Data;charset=utf-8 ; Boundary=\"B\"", NULL},
        {"multipart/form-data", "no-boundary"},
        {"multipart/form-data; x=B", "no-boundary"},
        {"multipart/mixed; boundary=B", "not-multipart"},
        {"multipart/form-data2; boundary=B", "not-multipart"},
        {"", "not-multipart"},
        {"multipart/form-data; boundary=", "bad-content-type"},
        {"multipart/form-data; boundary=\"\"", "bad-boundary"},
        {"multipart/form-data; boundary=\"B \"", "bad-boundary"},
        {"multipart/form-data; boundary=\"B", "bad-content-type"},
        {"multipart/form-data; boundary=B; boundary=B", "bad-boundary"},
        {"multipart/form-data; boundary=\"a\\\"b\"", "bad-boundary"},
        {"multipart/form-data; boundary=a[b", "bad-content-type"},
        {"multipart/form-data; boundary=a\"b\"", "bad-content-type"},
        {"multipart/form-data; boundary====; boundary====", "bad-boundary"},
        {"multipart/form-data; xboundary====", "bad-content-type"},
        {"multipart/form-data, boundary=B", "not-multipart"},
        {"multipart/form-data boundary=B", "not-multipart"},
        {"multipart/form-data; boundary=B x", "bad-content-type"},
        {"multipart/form-data; boundary="
         "1234567890123456789012345678901234567890123456789012345678901234567890x",
         "bad-boundary"},
    };
    /* As clients that are out there write them: the grammar wants quotes, or has no such
       character. */
    static const char *const real[][2] = {
        {"multipart/form-data; boundary=*****", "*****"},
        {"multipart/form-data;boundary=\"*****\"", "*****"},
        {"multipart/form-data; boundary====1===", "===1==="},
        {"multipart/form-data; boundary=\"===============7330845974216740156==\"",
         "===============7330845974216740156=="},
        {"multipart/form-data; boundary=--x&y", "--x&y"},
        {"multipart/form-data; boundary=a/b=c; charset=utf-8", "a/b=c"},
        {"multipart/form-data; charset=utf-8;  BOUNDARY=a:b?(c),'d'", "a:b?(c),'d'"},
        {"multipart/form-data; boundary=#$!|~^%`", "#$!|~^%`"},
        {"multipart/form-data; boundary=-", "-"},
        {"multipart/form-data; boundary="
         "1234567890123456789012345678901234567890123456789012345678901234567890",
         "1234567890123456789012345678901234567890123456789012345678901234567890"},
    };
    static const char special[] = "multipart/form-data; boundary=\"'()+_,-./:=? 9\"";
    static const char body[] = "--'()+_,-./:=? 9\r\nContent-Disposition: form-data; name=a\r\n\r\n"
                               "v\r\n--'()+_,-./:=? 9--";
    struct result r;
    char text[400];

    (void)state;
    for (size_t i = 0; i < SHS_ARRAY_LEN(real); i++) {
        const char *b = real[i][1];
        int len =
            snprintf(text, sizeof text,
                     "--%s\r\nContent-Disposition: form-data; name=a\r\n\r\nv\r\n--%s--", b, b);

        parse_whole(&r, real[i][0], text, (size_t)len);
        if (r.rc != SHS_OK || strcmp(r.text, "a|-|text/plain|v|") != 0)
            fail_msg("%s: %s", real[i][0], r.rc == SHS_OK ? r.text : r.rule);
    }
    for (size_t i = 0; i < SHS_ARRAY_LEN(types); i++) {
        parse_whole(&r, types[i].type, "--B--", 5);
        if (types[i].rule == NULL)
            assert_int_equal(r.rc, SHS_OK);
        else if (r.rc != SHS_PROTO || strcmp(r.rule, types[i].rule) != 0)
            fail_msg("%s: %s", types[i].type, r.rule == NULL ? "accepted" : r.rule);
    }
    parse_whole(&r, special, body, sizeof body - 1);
    assert_string_equal(r.text, "a|-|text/plain|v|");
}

static void test_limits(void **state)
{
    static const char body[] = PART "name=a\r\n\r\n0123456789" END;
    struct shs_multipart_limits limits;
    char large[1000], big[20000];
    struct result r;
    int n;

    (void)state;
    shs_multipart_limits_init(&limits);
    for (size_t max = sizeof body - 2; max <= sizeof body - 1; max++) {
        struct source source = {.body = body, .len = sizeof body - 1, .piece = 7};

        limits.max_bytes = max;
        parse(&r, TYPE, &source, &limits, 64);
        assert_int_equal(r.rc, max == sizeof body - 1 ? SHS_OK : SHS_LIMIT);
        if (r.rc != SHS_OK)
            assert_string_equal(r.rule, "form-too-large");
    }
    /* header lines: exactly 500 bytes, and one more */
    for (int extra = 0; extra < 2; extra++) {
        const char *line = "Content-Disposition: form-data; name=a\r\nX: ";

        n = snprintf(large, sizeof large, "--B\r\n%s%0*d\r\n\r\nv" END, line,
                     500 + extra - (int)strlen(line) - 2, 0);
        parse_whole(&r, TYPE, large, (size_t)n);
        assert_int_equal(r.rc, extra == 0 ? SHS_OK : SHS_LIMIT);
    }
    /* white space behind a boundary: exactly 128, and one more */
    for (int padding = 128; padding <= 129; padding++) {
        n = snprintf(large, sizeof large, PART "name=a\r\n\r\nv\r\n--B--%*s", padding, "");
        parse_whole(&r, TYPE, large, (size_t)n);
        assert_int_equal(r.rc, padding == 128 ? SHS_OK : SHS_PROTO);
    }
    n = snprintf(big, sizeof big, PART "name=a\r\nX: %019000d", 0); /* no end of it */
    parse_whole(&r, TYPE, big, (size_t)n);
    assert_string_equal(r.rule, "part-header-too-large");
    /* parts: five, and one more */
    for (int parts = 5; parts <= 6; parts++) {
        size_t at = 0;

        for (int i = 0; i < parts; i++)
            at += (size_t)snprintf(large + at, sizeof large - at, PART "name=a\r\n\r\nv\r\n");
        at += (size_t)snprintf(large + at, sizeof large - at, "--B--");
        parse_whole(&r, TYPE, large, at);
        assert_int_equal(r.rc, parts == 5 ? SHS_OK : SHS_LIMIT);
        if (parts == 6)
            assert_string_equal(r.rule, "too-many-parts");
    }
    /* what the body says when it cannot be read is passed on */
    for (size_t len = 0; len < sizeof body - 9; len++) {
        struct source source = {.body = body, .len = len, .piece = 5, .fail_at_end = SHS_TIMEOUT};

        shs_multipart_limits_init(&limits);
        parse(&r, TYPE, &source, &limits, 64);
        assert_int_equal(r.rc, SHS_TIMEOUT);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_cases),       cmocka_unit_test(test_every_split),
        cmocka_unit_test(test_random_data), cmocka_unit_test(test_content_types),
        cmocka_unit_test(test_limits),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
