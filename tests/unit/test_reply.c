/*
 * The answers of servers that --proxy asks (http/reply.h). Each case is read whole, byte by byte
 * and with every single cut, and must come out the same: the status, the body, whether it is whole,
 * or why it is refused.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "base/base.h"
#include "http/reply.h"

#define OUTCOME_MAX 1024

struct outcome {
    char body[512];
    size_t body_len;
    int fails_after; /* the writer refuses what comes beyond so many bytes; 0: it takes all */
};

static int collect(void *ctx, const char *bytes, size_t len)
{
    struct outcome *out = ctx;

    if (out->fails_after != 0 && out->body_len + len > (size_t)out->fails_after)
        return SHS_TIMEOUT;
    assert_true(out->body_len + len < sizeof out->body);
    memcpy(out->body + out->body_len, bytes, len);
    out->body_len += len;
    return SHS_OK;
}

/* A reader as proxy_talk.c is one: what is not used stays in front of what comes. */
struct reader {
    struct shs_reply reply;
    char kept[80000];
    size_t kept_len;
    bool has_head;
    int rc;
};

static void feed(struct reader *r, const char *bytes, size_t len)
{
    char *exact;
    size_t used = 0;

    if (r->rc != SHS_OK)
        return;
    assert_true(r->kept_len + len <= sizeof r->kept);
    memcpy(r->kept + r->kept_len, bytes, len);
    r->kept_len += len;
    exact = malloc(r->kept_len + 1); /* of exactly that size: a byte too far is seen */
    assert_non_null(exact);
    memcpy(exact, r->kept, r->kept_len);
    if (!r->has_head) {
        r->rc = shs__reply_head(&r->reply, exact, r->kept_len, &used);
        r->has_head = r->rc == SHS_OK;
        if (r->rc == SHS_WAIT_READ)
            r->rc = SHS_OK;
    }
    if (r->has_head && r->rc == SHS_OK) {
        size_t more = 0;

        r->rc = shs__reply_body(&r->reply, exact + used, r->kept_len - used, &more);
        used += more;
    }
    memmove(r->kept, r->kept + used, r->kept_len - used);
    r->kept_len -= used;
    free(exact);
}

/* "200 [body] whole", "200 [bo] torn", "refused: why". */
static void say(char *text, struct reader *r, const struct outcome *out)
{
    int end;

    if (r->rc == SHS_PROTO) {
        assert_non_null(r->reply.wrong);
        snprintf(text, OUTCOME_MAX, "refused: %s", r->reply.wrong);
        return;
    }
    if (r->rc != SHS_OK) {
        snprintf(text, OUTCOME_MAX, "writer: %s", shs_err_name(r->rc));
        return;
    }
    end = shs__reply_end(&r->reply);
    assert_true(end == SHS_OK || end == SHS_TRUNCATED);
    assert_true(end == SHS_TRUNCATED || r->has_head);
    snprintf(text, OUTCOME_MAX, "%d [%.*s] %s", r->has_head ? r->reply.status : 0,
             (int)out->body_len, out->body, end == SHS_OK ? "whole" : "torn");
}

/* Cuts: before `first`, and then after every `step` bytes. */
static void read_cut(char *text, const char *bytes, size_t len, bool no_body, size_t first,
                     size_t step, int fails_after)
{
    struct reader *r = calloc(1, sizeof *r);
    struct outcome out = {.fails_after = fails_after};
    size_t at = 0;

    assert_non_null(r);
    shs__reply_init(&r->reply, no_body, collect, &out);
    while (at < len) {
        size_t n = at == 0 && first > 0 ? first : step;

        if (n > len - at)
            n = len - at;
        feed(r, bytes + at, n);
        at += n;
    }
    say(text, r, &out);
    free(r);
}

static void check(const char *name, const char *bytes, size_t len, bool no_body, const char *wanted)
{
    char text[OUTCOME_MAX];

    for (size_t cut = 0; cut <= len && cut < 700; cut++) {
        read_cut(text, bytes, len, no_body, cut, len + 1, 0);
        if (strcmp(text, wanted) != 0)
            fail_msg("%s, cut at %zu: %s, not %s", name, cut, text, wanted);
    }
    read_cut(text, bytes, len, no_body, 0, 1, 0);
    if (strcmp(text, wanted) != 0)
        fail_msg("%s, byte by byte: %s, not %s", name, text, wanted);
}

#define TWO_LENGTHS "refused: it has two lengths, or one that is not a number"
#define CODING "refused: its transfer coding is another one than chunked"
#define BOTH "refused: it has a length and a transfer coding"
#define BYTES "refused: its head has bytes that no head has, or is too long"
#define FIELD "refused: one of its fields cannot be read"
#define STATUS "refused: its status is none that can be passed on"
#define HEAD "refused: its head is not as HTTP/1.1 has it"
#define CHUNKS "refused: its chunks are not as HTTP/1.1 has them"
#define CHUNKED "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"

static const struct {
    const char *name, *bytes, *outcome;
    bool no_body;
} cases[] = {
    /* where it ends */
    {"length", "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi", "200 [hi] whole", false},
    {"length 0", "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", "200 [] whole", false},
    {"until it closes", "HTTP/1.1 200 OK\r\n\r\nhi", "200 [hi] whole", false},
    {"until it closes, at once", "HTTP/1.1 200 OK\r\n\r\n", "200 [] whole", false},
    {"HTTP/1.0", "HTTP/1.0 200 OK\r\n\r\nhi", "200 [hi] whole", false},
    {"204", "HTTP/1.1 204 No Content\r\n\r\n", "204 [] whole", false},
    {"304 has a length and no body", "HTTP/1.1 304 x\r\nContent-Length: 9\r\n\r\n", "304 [] whole",
     false},
    {"304 of a chunked one", "HTTP/1.1 304 x\r\nTransfer-Encoding: chunked\r\n\r\n", "304 [] whole",
     false},
    {"204 with a length", "HTTP/1.1 204 x\r\nContent-Length: 9\r\n\r\n", "204 [] whole", false},
    {"HEAD", "HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n", "200 [] whole", true},
    {"HEAD, chunked", CHUNKED, "200 [] whole", true},
    {"behind its end", "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhiHTTP/1.1 200 OK\r\n\r\n",
     "200 [hi] whole", false},
    {"chunks", CHUNKED "2\r\nhi\r\n3\r\n yo\r\n0\r\n\r\n", "200 [hi yo] whole", false},
    {"chunks in upper case", CHUNKED "A\r\n0123456789\r\n0\r\n\r\n", "200 [0123456789] whole",
     false},
    {"chunk extension", CHUNKED "2;a=b\r\nhi\r\n0\r\n\r\n", "200 [hi] whole", false},
    {"chunk extension in quotes", CHUNKED "2;c=\"d\"\r\nhi\r\n0\r\n\r\n", "200 [hi] whole", false},
    {"chunk extension without a value", CHUNKED "2;z\r\nhi\r\n0;z\r\n\r\n", "200 [hi] whole",
     false},
    /* RFC 9112 section 7.1.1; llhttp 8.1 refuses these */
    {"two chunk extensions", CHUNKED "2;a=b;c=d\r\nhi\r\n0;e;f=g;h\r\n\r\n", "200 [hi] whole",
     false},
    {"chunk extension with a quote in it", CHUNKED "2;a=\"b\\\";\"\r\nhi\r\n0\r\n\r\n",
     "200 [hi] whole", false},
    {"chunk extension with blanks", CHUNKED "2 ; a = b\r\nhi\r\n0\r\n\r\n", "200 [hi] whole",
     false},
    {"trailer", CHUNKED "2\r\nhi\r\n0\r\nX-Sum: 1\r\n\r\n", "200 [hi] whole", false},
    /* torn */
    {"nothing", "", "0 [] torn", false},
    {"within the status line", "HTTP/1.1 20", "0 [] torn", false},
    {"within the fields", "HTTP/1.1 200 OK\r\nContent-Le", "0 [] torn", false},
    {"before the last line", "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n", "0 [] torn", false},
    {"within the body", "HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nhi", "200 [hi] torn", false},
    {"within a chunk", CHUNKED "5\r\nhi", "200 [hi] torn", false},
    {"between chunks", CHUNKED "2\r\nhi\r\n", "200 [hi] torn", false},
    {"within the last chunk", CHUNKED "2\r\nhi\r\n0\r\n", "200 [hi] torn", false},
    {"only 100", "HTTP/1.1 100 Continue\r\n\r\n", "0 [] torn", false},
    /* interim answers */
    {"100 in front", "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi",
     "200 [hi] whole", false},
    {"103 with fields, twice",
     "HTTP/1.1 103 x\r\nLink: </a>\r\n\r\nHTTP/1.1 103 x\r\nLink: </b>\r\n\r\nHTTP/1.1 404 No\r\n"
     "Content-Length: 1\r\n\r\n!",
     "404 [!] whole", false},
    {"100 before an answer to HEAD",
     "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n", "200 [] whole",
     true},
    {"101 was not asked for", "HTTP/1.1 101 x\r\nUpgrade: y\r\nConnection: upgrade\r\n\r\n", HEAD,
     false},
    /* lengths */
    {"two lengths", "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Length: 3\r\n\r\nhi",
     TWO_LENGTHS, false},
    {"the same length twice", "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Length: 2\r\n\r\nhi",
     TWO_LENGTHS, false},
    {"a list of lengths", "HTTP/1.1 200 OK\r\nContent-Length: 2, 2\r\n\r\nhi", TWO_LENGTHS, false},
    {"a sign", "HTTP/1.1 200 OK\r\nContent-Length: +2\r\n\r\nhi", TWO_LENGTHS, false},
    {"minus", "HTTP/1.1 200 OK\r\nContent-Length: -2\r\n\r\nhi", TWO_LENGTHS, false},
    {"hexadecimal", "HTTP/1.1 200 OK\r\nContent-Length: 0x2\r\n\r\nhi", TWO_LENGTHS, false},
    {"empty length", "HTTP/1.1 200 OK\r\nContent-Length: \r\n\r\nhi", TWO_LENGTHS, false},
    {"19 digits", "HTTP/1.1 200 OK\r\nContent-Length: 1000000000000000000\r\n\r\n", TWO_LENGTHS,
     false},
    {"both", "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\nhi", BOTH,
     false},
    {"both, the other way round",
     "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nContent-Length: 2\r\n\r\nhi", BOTH, false},
    {"two codings", "HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, chunked\r\n\r\n", CODING, false},
    {"chunked twice",
     "HTTP/1.1 200 x\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n", CODING,
     false},
    {"identity", "HTTP/1.1 200 OK\r\nTransfer-Encoding: identity\r\n\r\nhi", CODING, false},
    /* chunks */
    {"size is no number", CHUNKED "z\r\n", CHUNKS, false},
    {"size has a sign", CHUNKED "-2\r\nhi\r\n0\r\n\r\n", CHUNKS, false},
    {"size has a prefix", CHUNKED "0x2\r\nhi\r\n0\r\n\r\n", CHUNKS, false},
    {"size of 17 digits", CHUNKED "11111111111111111\r\n", CHUNKS, false},
    {"data longer than its size", CHUNKED "2\r\nhixx0\r\n\r\n", CHUNKS, false},
    {"chunk extension without a name", CHUNKED "2;=b\r\nhi\r\n0\r\n\r\n", CHUNKS, false},
    {"chunk extension that does not end", CHUNKED "2;a=\"b\r\nhi\r\n0\r\n\r\n", CHUNKS, false},
    {"control character in an extension", CHUNKED "2;a=b\001\r\nhi\r\n0\r\n\r\n", CHUNKS, false},
    {"bare CR in an extension", CHUNKED "2;a=b\rc\r\nhi\r\n0\r\n\r\n", CHUNKS, false},
    {"trailer without a name", CHUNKED "2\r\nhi\r\n0\r\n: 1\r\n\r\n", CHUNKS, false},
    {"a length as a trailer", CHUNKED "2\r\nhi\r\n0\r\nContent-Length: 2\r\n\r\n", CHUNKS, false},
    {"bare LF behind the size", CHUNKED "2\nhi\r\n0\r\n\r\n", CHUNKS, false},
    /* lines */
    {"folded", "HTTP/1.1 200 OK\r\nX: a\r\n b\r\nContent-Length: 0\r\n\r\n", FIELD, false},
    {"folded length", "HTTP/1.1 200 OK\r\nContent-Length:\r\n 2\r\n\r\nhi", TWO_LENGTHS, false},
    {"blank before the colon", "HTTP/1.1 200 OK\r\nContent-Length : 2\r\n\r\nhi", FIELD, false},
    {"no name", "HTTP/1.1 200 OK\r\n: x\r\n\r\n", FIELD, false},
    {"no colon", "HTTP/1.1 200 OK\r\nx\r\n\r\n", FIELD, false},
    {"bare LF", "HTTP/1.1 200 OK\nContent-Length: 2\n\nhi", BYTES, false},
    {"bare CR", "HTTP/1.1 200 OK\r\nX: a\rb\r\n\r\n", BYTES, false},
    {"control character", "HTTP/1.1 200 OK\r\nX: a\001b\r\n\r\n", BYTES, false},
    {"empty line in front", "\r\nHTTP/1.1 200 OK\r\n\r\n", "refused: it begins with an empty line",
     false},
    {"another version", "HTTP/2.0 200 OK\r\n\r\n", HEAD, false},
    {"no HTTP at all", "SSH-2.0-OpenSSH_9.2\r\n\r\n", HEAD, false},
    {"600", "HTTP/1.1 600 x\r\n\r\n", STATUS, false},
    {"four digits", "HTTP/1.1 2000 x\r\n\r\n", HEAD, false},
    {"two digits", "HTTP/1.1 20 x\r\n\r\n", HEAD, false},
};

static void test_cases(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++)
        check(cases[i].name, cases[i].bytes, strlen(cases[i].bytes), cases[i].no_body,
              cases[i].outcome);
}

static size_t copy_to(char *at, const char *text)
{
    size_t len = strlen(text);

    memcpy(at, text, len);
    return len;
}

/* `count` times `line` between a status line and an answer's end. */
static char *with_lines(const char *line, size_t count, size_t *len)
{
    static const char begin[] = "HTTP/1.1 200 OK\r\n", end[] = "Content-Length: 2\r\n\r\nhi";
    char *text = malloc(sizeof begin + sizeof end + count * strlen(line)), *at = text;

    assert_non_null(text);
    at += copy_to(at, begin);
    for (size_t i = 0; i < count; i++)
        at += copy_to(at, line);
    at += copy_to(at, end);
    *len = (size_t)(at - text);
    return text;
}

static void test_limits(void **state)
{
    char outcome[OUTCOME_MAX], *text, *line;
    size_t len;

    (void)state;
    text = with_lines("X: y\r\n", SHS_REPLY_FIELDS_MAX - 1, &len);
    read_cut(outcome, text, len, false, 0, 7, 0);
    assert_string_equal(outcome, "200 [hi] whole");
    free(text);
    text = with_lines("X: y\r\n", SHS_REPLY_FIELDS_MAX, &len);
    read_cut(outcome, text, len, false, 0, 7, 0);
    assert_true(strncmp(outcome, "refused: ", 9) == 0);
    free(text);
    /* One byte of the head more than there may be, and exactly as many. */
    for (size_t more = 0; more < 2; more++) {
        size_t rest = strlen("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n");

        line = malloc(SHS_REPLY_HEAD_MAX + 2);
        assert_non_null(line);
        memset(line, 'v', SHS_REPLY_HEAD_MAX + 1);
        memcpy(line, "X: ", 3);
        memcpy(line + SHS_REPLY_HEAD_MAX - rest + more - 2, "\r\n", 3);
        text = with_lines(line, 1, &len);
        read_cut(outcome, text, len, false, 0, 4096, 0);
        assert_string_equal(outcome, more == 0 ? "200 [hi] whole" : BYTES);
        free(text);
        free(line);
    }
}

static void test_interim_answers_have_an_end(void **state)
{
    static const char interim[] = "HTTP/1.1 102 Processing\r\n\r\n";
    static const char last[] = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi";
    char text[1024];

    (void)state;
    for (size_t count = 8; count <= 9; count++) {
        char *at = text;

        for (size_t i = 0; i < count; i++)
            at += copy_to(at, interim);
        at += copy_to(at, last);
        check("interim", text, (size_t)(at - text), false,
              count == 8 ? "200 [hi] whole" : "refused: it has too many interim answers");
    }
}

/* The client's side fails: that is what comes back, and nothing more is written. */
static void test_writer_fails(void **state)
{
    static const char chunks[] = CHUNKED "2\r\nhi\r\n2\r\nyo\r\n0\r\n\r\n";
    static const char length[] = "HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nhiyo";
    char outcome[OUTCOME_MAX];

    (void)state;
    read_cut(outcome, chunks, sizeof chunks - 1, false, 0, 1, 2);
    assert_string_equal(outcome, "writer: SHS_TIMEOUT");
    read_cut(outcome, length, sizeof length - 1, false, 0, 1, 2);
    assert_string_equal(outcome, "writer: SHS_TIMEOUT");
    read_cut(outcome, chunks, sizeof chunks - 1, false, 0, 1, 4);
    assert_string_equal(outcome, "200 [hiyo] whole");
}

static void test_fields(void **state)
{
    static const char text[] = "HTTP/1.1 201 Made\r\nSet-Cookie: a=b\r\nSet-Cookie:  c=d \t\r\n"
                               "Content-Length: 0\r\n\r\n";
    struct shs_reply reply;
    struct outcome out = {.body_len = 0};
    size_t used = 0;

    (void)state;
    shs__reply_init(&reply, false, collect, &out);
    assert_int_equal(shs__reply_head(&reply, text, sizeof text - 1, &used), SHS_OK);
    assert_int_equal(used, sizeof text - 1);
    assert_int_equal(reply.status, 201);
    assert_int_equal(reply.field_count, 3);
    assert_true(shs__str_eq(reply.fields[0].value, SHS_STR("a=b")));
    assert_true(shs__str_eq(reply.fields[1].name, SHS_STR("Set-Cookie")));
    assert_true(shs__str_eq(reply.fields[1].value, SHS_STR("c=d")));
    assert_true(reply.has_length && reply.length == 0 && !reply.chunked);
    assert_true(reply.complete);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_cases),
        cmocka_unit_test(test_limits),
        cmocka_unit_test(test_interim_answers_have_an_end),
        cmocka_unit_test(test_writer_fails),
        cmocka_unit_test(test_fields),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
