/*
 * The guard and llhttp behind it, driven as a server drives them: head_scan, head_parse, body_step
 * until the body is done, next request. Each case of http_cases.inc is fed whole, byte by byte and
 * with every single cut, and must come out the same; the driver says what came out in one line.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "http/guard.h"
#include "http/parser.h"
#include "http/rules.h"

#define OUTCOME_MAX 2048
#define CHUNK_LIMIT 256

struct http_case {
    const char *name;
    const char *bytes;
    size_t len;
    const char *outcome;
    const char *why; /* the section that says so, or the reason for a choice of ours */
};

#define CASE(name, bytes, outcome, why) {name, bytes, sizeof(bytes) - 1, outcome, why},
static const struct http_case cases[] = {
#include "http_cases.inc"
};

static const struct shs_guard_limits usual = {
    .max_request_line = 8192,
    .max_head_bytes = 32768,
    .max_headers = 100,
    .max_body_bytes = (uint64_t)1 << 30,
    .max_chunk_line = CHUNK_LIMIT,
    .max_extension_bytes = 4096,
    .max_trailer_bytes = 8192,
};

/* -- the driver -------------------------------------------------------------------------------- */

struct driver {
    const struct shs_guard_limits *limits;
    struct shs_head_scan scan;
    struct shs_parser parser;
    struct shs_head head;
    struct shs_body body;
    struct shs_field *fields;
    char *kept; /* received and not used: an allocation of exactly that size, for the sanitizer */
    size_t kept_len;
    bool in_body, over, keep_alive;
    struct shs_buf content;
    char outcome[OUTCOME_MAX];
    enum shs_rule rule; /* that refused; SHS_RULE_COUNT: none */
    size_t fed_at_refusal, fed;
};

static void say(struct driver *d, const char *fmt, ...) SHS_PRINTF(2, 3);
static void say(struct driver *d, const char *fmt, ...)
{
    size_t len = strlen(d->outcome);
    va_list ap;

    va_start(ap, fmt);
    vsnprintf(d->outcome + len, sizeof d->outcome - len, fmt, ap);
    va_end(ap);
}

static void driver_init(struct driver *d, const struct shs_guard_limits *limits)
{
    memset(d, 0, sizeof *d);
    d->limits = limits;
    d->rule = SHS_RULE_COUNT;
    d->fields = calloc(limits->max_headers, sizeof *d->fields);
    shs__buf_init(&d->content, (size_t)1 << 22);
}

static void driver_free(struct driver *d)
{
    free(d->fields);
    free(d->kept);
    shs__buf_free(&d->content);
}

static void keep(struct driver *d, const char *bytes, size_t len)
{
    char *copy = malloc(len > 0 ? len : 1);

    assert_non_null(copy);
    if (len > 0)
        memcpy(copy, bytes, len);
    free(d->kept);
    d->kept = copy;
    d->kept_len = len;
}

static void drop(struct driver *d, size_t used)
{
    assert_true(used <= d->kept_len);
    keep(d, d->kept + used, d->kept_len - used);
}

static void refused(struct driver *d, const struct shs_refusal *why)
{
    say(d, "%s%d %s", d->in_body ? " " : "", why->status, why->rule);
    assert_true(strlen(why->text) > 20 && why->text[strlen(why->text) - 1] == '.');
    for (int i = 0; i < SHS_RULE_COUNT; i++) {
        if (strcmp(shs__rules[i].rule, why->rule) == 0)
            d->rule = (enum shs_rule)i;
    }
    d->over = true;
    d->fed_at_refusal = d->fed;
}

static void describe_head(struct driver *d)
{
    const struct shs_head *h = &d->head;

    say(d, "%s%.*s %.*s", d->outcome[0] == '\0' ? "" : "; ", (int)h->method.len, h->method.ptr,
        (int)h->path.len, h->path.ptr);
    if (h->query.ptr != NULL)
        say(d, "?%.*s", (int)h->query.len, h->query.ptr);
    say(d, " host=%.*s", (int)h->host.len, h->host.ptr);
    if (h->version != 11)
        say(d, " v%d", h->version);
    if (h->expect_continue)
        say(d, " expect");
    for (size_t i = 0; i < h->field_count; i++) {
        if (h->fields[i].name.len == 1) /* fields named by one letter are shown */
            say(d, " %.*s=<%.*s>", 1, h->fields[i].name.ptr, (int)h->fields[i].value.len,
                h->fields[i].value.ptr);
    }
    d->keep_alive = h->keep_alive;
}

static void end_message(struct driver *d)
{
    if (d->head.chunked || d->head.content_length > 0) {
        if (d->content.len <= 64)
            say(d, " [%.*s]", (int)d->content.len,
                d->content.len > 0 ? shs__buf_head(&d->content) : "");
        else
            say(d, " [%zu bytes]", d->content.len);
    }
    if (d->body.trailer_count > 0)
        say(d, " trailers=%u", d->body.trailer_count);
    say(d, d->keep_alive ? " keep" : " close");
    d->over = !d->keep_alive;
    d->in_body = false;
    shs__buf_consume(&d->content, d->content.len);
    memset(&d->scan, 0, sizeof d->scan);
}

/* One call of the guard. True when it made progress. */
static bool step(struct driver *d)
{
    struct shs_refusal why = {0};
    struct shs_str content;
    size_t used = 0;
    int rc;

    if (!d->in_body) {
        rc = shs__head_scan(&d->scan, d->kept, d->kept_len, d->limits, &used, &why);
        if (rc == SHS_OK)
            rc = shs__head_parse(d->kept + d->scan.start, used - d->scan.start, d->limits,
                                 &d->parser, d->fields, &d->head, &why);
        if (rc == SHS_PROTO)
            refused(d, &why);
        if (rc != SHS_OK) {
            assert_true(rc == SHS_PROTO || d->kept_len < d->limits->max_head_bytes + 2);
            return false;
        }
        describe_head(d);
        drop(d, used);
        d->in_body = true;
        shs__body_init(&d->body, &d->head, d->limits, &d->parser);
    } else {
        rc = shs__body_step(&d->body, d->kept, d->kept_len, &used, &content, &why);
        if (rc == SHS_PROTO)
            refused(d, &why);
        if (rc != SHS_OK) {
            assert_true(rc == SHS_PROTO || d->kept_len < d->limits->max_trailer_bytes + 2);
            return false;
        }
        assert_int_equal(shs__buf_append_str(&d->content, content), SHS_OK);
        drop(d, used);
    }
    if (d->body.phase == SHS_BODY_DONE)
        end_message(d);
    return true;
}

static void driver_feed(struct driver *d, const char *bytes, size_t len)
{
    char *both;

    if (d->over)
        return;
    d->fed += len;
    both = malloc(d->kept_len + len + 1);
    assert_non_null(both);
    if (d->kept_len > 0)
        memcpy(both, d->kept, d->kept_len);
    memcpy(both + d->kept_len, bytes, len);
    keep(d, both, d->kept_len + len);
    free(both);
    while (!d->over && d->kept_len > 0 && step(d)) {
    }
}

static const char *driver_finish(struct driver *d)
{
    if (!d->over && (d->in_body || d->kept_len > 0))
        say(d, "%swait", d->outcome[0] == '\0' ? "" : d->in_body ? " " : "; ");
    return d->outcome;
}

/* -- every case, in every cut ------------------------------------------------------------------ */

static void check_outcome(const struct http_case *c, const char *how, size_t at, const char *got)
{
    if (strcmp(got, c->outcome) != 0)
        fail_msg("%s (%s), %s %zu:\n  expected: %s\n  got:      %s", c->name, c->why, how, at,
                 c->outcome, got);
}

static void run_pieces(const struct http_case *c, const struct shs_guard_limits *limits,
                       size_t first, size_t piece, const char *how)
{
    struct driver d;
    size_t pos = first;

    driver_init(&d, limits);
    if (first > 0)
        driver_feed(&d, c->bytes, first);
    while (pos < c->len) {
        size_t len = c->len - pos < piece ? c->len - pos : piece;

        driver_feed(&d, c->bytes + pos, len);
        pos += len;
    }
    check_outcome(c, how, first > 0 ? first : piece, driver_finish(&d));
    driver_free(&d);
}

static void run_all_ways(const struct http_case *c, const struct shs_guard_limits *limits)
{
    run_pieces(c, limits, 0, c->len, "whole");
    run_pieces(c, limits, 0, 1, "in pieces of");
    run_pieces(c, limits, 0, 7, "in pieces of");
    for (size_t cut = 1; cut < c->len; cut++)
        run_pieces(c, limits, cut, c->len, "cut at");
}

static void test_cases(void **state)
{
    int failed = 0;

    SHS_UNUSED(state);
    for (size_t i = 0; i < SHS_ARRAY_LEN(cases); i++) {
        struct driver d; /* all that are wrong are listed, not only the first */

        driver_init(&d, &usual);
        driver_feed(&d, cases[i].bytes, cases[i].len);
        if (strcmp(driver_finish(&d), cases[i].outcome) != 0) {
            print_error("%s: expected \"%s\", got \"%s\"\n", cases[i].name, cases[i].outcome,
                        d.outcome);
            failed++;
        }
        driver_free(&d);
    }
    assert_int_equal(failed, 0);
    for (size_t i = 0; i < SHS_ARRAY_LEN(cases); i++)
        run_all_ways(&cases[i], &usual);
}

static void test_names_are_unique(void **state)
{
    SHS_UNUSED(state);
    assert_true(SHS_ARRAY_LEN(cases) >= 180);
    for (size_t i = 0; i < SHS_ARRAY_LEN(cases); i++) {
        for (size_t j = 0; j < i; j++) {
            if (strcmp(cases[i].name, cases[j].name) == 0)
                fail_msg("two cases are called %s", cases[i].name);
        }
    }
}

/* -- every rule is somebody's verdict ---------------------------------------------------------- */

/* Rules whose proof is a test of its own below, or in test_parser.c. */
static bool is_tested_elsewhere(enum shs_rule rule)
{
    return rule == SHS_RULE_REQUEST_LINE_TOO_LONG || rule == SHS_RULE_HEAD_TOO_LARGE ||
           rule == SHS_RULE_TOO_MANY_FIELDS || rule == SHS_RULE_CHUNK_LINE_TOO_LONG ||
           rule == SHS_RULE_EXTENSIONS_TOO_LARGE || rule == SHS_RULE_TRAILERS_TOO_LARGE ||
           rule == SHS_RULE_TOO_MANY_TRAILERS || rule == SHS_RULE_DISAGREE;
}

static void test_every_rule_has_a_case(void **state)
{
    bool seen[SHS_RULE_COUNT] = {false};

    SHS_UNUSED(state);
    for (size_t i = 0; i < SHS_ARRAY_LEN(cases); i++) {
        struct driver d;

        driver_init(&d, &usual);
        driver_feed(&d, cases[i].bytes, cases[i].len);
        if (d.rule != SHS_RULE_COUNT)
            seen[d.rule] = true;
        driver_free(&d);
    }
    for (int i = 0; i < SHS_RULE_COUNT; i++) {
        assert_non_null(shs__rules[i].rule);
        if (!seen[i] && !is_tested_elsewhere((enum shs_rule)i))
            fail_msg("no case ends in rule %s", shs__rules[i].rule);
        for (int j = 0; j < i; j++)
            assert_string_not_equal(shs__rules[i].rule, shs__rules[j].rule);
    }
}

/* -- limits: exactly at them, one beyond, in every cut ----------------------------------------- */

static const struct shs_guard_limits tight = {
    .max_request_line = 20,
    .max_head_bytes = 60,
    .max_headers = 3,
    .max_body_bytes = 10,
    .max_chunk_line = 8,
    .max_extension_bytes = 12,
    .max_trailer_bytes = 16,
};

#define LINE "GET / HTTP/1.1\r\n"
#define TIGHT_CHUNKED "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n"

static const struct http_case tight_cases[] = {
#include "http_limit_cases.inc"
};

static void test_limits(void **state)
{
    SHS_UNUSED(state);
    for (size_t i = 0; i < SHS_ARRAY_LEN(tight_cases); i++)
        run_all_ways(&tight_cases[i], &tight);
}

/* -- floods: 32 MiB of something that llhttp alone takes without a word ------------------------ */

struct flood {
    const char *name, *before, *again, *outcome;
    size_t most; /* bytes after which it must be over */
};

static const struct flood floods[] = {
    {"empty lines", "", "\r\n", "400 empty-lines", 4},
    {"method", "", "A", "414 request-line-too-long", 8193},
    {"spaces before target", "GET ", " ", "414 request-line-too-long", 8193},
    {"spaces before version", "GET /", " ", "414 request-line-too-long", 8193},
    {"target", "GET /", "a", "414 request-line-too-long", 8193},
    {"spaces before value", "GET / HTTP/1.1\r\nX:", " ", "431 head-too-large", 32768},
    {"value", "GET / HTTP/1.1\r\nX:", "a", "431 head-too-large", 32768},
    {"name", "GET / HTTP/1.1\r\n", "a", "431 head-too-large", 32768},
    {"folded lines", "GET / HTTP/1.1\r\nX:\r\n", " a\r\n", "431 too-many-fields", 1000},
    {"fields", "GET / HTTP/1.1\r\n", "X:\r\n", "431 too-many-fields", 1000},
    {"long fields", "GET / HTTP/1.1\r\n",
     "X: "
     "0123456789012345678901234567890123456789"
     "0123456789012345678901234567890123456789012345678901234567890123456789012345678901234567890"
     "0123456789012345678901234567890123456789012345678901234567890123456789012345678901234567890"
     "0123456789012345678901234567890123456789012345678901234567890123456789012345678901234567890"
     "012345678901234567890123456789\r\n",
     "431 head-too-large", 32768},
    {"zeros of a length", "POST / HTTP/1.1\r\nContent-Length: ", "0", "431 head-too-large", 32768},
    {"blanks after a length", "POST / HTTP/1.1\r\nContent-Length: 1", "\t", "431 head-too-large",
     32768},
    {"zeros of a chunk size", TIGHT_CHUNKED, "0", "POST / host=a 400 chunk-line-too-long", 330},
    {"one extension", TIGHT_CHUNKED "1;", "a", "POST / host=a 400 chunk-line-too-long", 330},
    {"extensions", TIGHT_CHUNKED, "1;abcdefghij=klmnopqrst\r\nx\r\n",
     "POST / host=a 400 extensions-too-large", 6000},
    {"trailers", TIGHT_CHUNKED "0\r\n", "X:\r\n", "POST / host=a 431 too-many-trailers", 1000},
    {"one trailer", TIGHT_CHUNKED "0\r\nX:", "a", "POST / host=a 431 trailers-too-large", 8300},
    {"after close", "GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n", "\r\n",
     "GET / host=a close", 60},
};

static void run_flood(const struct flood *f, size_t piece)
{
    size_t len = strlen(f->again), fed = strlen(f->before);
    char *bytes = malloc(piece * len);
    struct driver d;

    assert_non_null(bytes);
    for (size_t i = 0; i < piece; i++)
        memcpy(bytes + i * len, f->again, len);
    driver_init(&d, &usual);
    if (fed > 0)
        driver_feed(&d, f->before, fed);
    while (!d.over && fed < (size_t)32 << 20) {
        driver_feed(&d, bytes, piece * len);
        fed += piece * len;
    }
    if (strcmp(driver_finish(&d), f->outcome) != 0 || d.fed_at_refusal > f->most + piece * len)
        fail_msg("flood of %s by %zu: %s after %zu bytes", f->name, piece, d.outcome,
                 d.fed_at_refusal);
    driver_free(&d);
    free(bytes);
}

static void test_floods(void **state)
{
    SHS_UNUSED(state);
    for (size_t i = 0; i < SHS_ARRAY_LEN(floods); i++) {
        run_flood(&floods[i], floods[i].most < 10000 ? 1 : 61);
        run_flood(&floods[i], 50000);
    }
}

/* Endless chunks are stopped by the sum of their sizes, and a body of any size is never kept. */
static void test_large_body(void **state)
{
    struct shs_guard_limits limits = usual;
    char piece[1024 + 7];
    struct driver d;

    SHS_UNUSED(state);
    limits.max_body_bytes = 1 << 20;
    memcpy(piece, "400\r\n", 5);
    memset(piece + 5, 'x', 1024);
    memcpy(piece + 5 + 1024, "\r\n", 2);
    driver_init(&d, &limits);
    driver_feed(&d, TIGHT_CHUNKED, sizeof TIGHT_CHUNKED - 1);
    for (int i = 0; i < 1024; i++)
        driver_feed(&d, piece, sizeof piece);
    assert_false(d.over);
    assert_int_equal(d.kept_len, 0);
    driver_feed(&d, piece, sizeof piece);
    assert_string_equal(driver_finish(&d), "POST / host=a 413 body-too-large");
    driver_free(&d);
}

/* -- mutations: whatever the bytes are, how they were cut changes nothing ---------------------- */

static uint64_t next_random(uint64_t *seed) /* xorshift64: the same on every run */
{
    *seed ^= *seed << 13;
    *seed ^= *seed >> 7;
    *seed ^= *seed << 17;
    return *seed;
}

static size_t mutate(char *bytes, size_t len, size_t cap, uint64_t *seed)
{
    static const char likely[] = "\r\n\r\n\t :;,=\"\\0159afx%/?#*@[]\x00\x7f\x80\xff";
    size_t changes = 1 + next_random(seed) % 3;

    while (changes-- > 0 && len > 1) {
        size_t at = next_random(seed) % len;
        char c = likely[next_random(seed) % (sizeof likely - 1)];

        switch (next_random(seed) % 4) {
        case 0: /* another byte */
            bytes[at] = c;
            break;
        case 1: /* one less */
            memmove(bytes + at, bytes + at + 1, len - at - 1);
            len--;
            break;
        case 2: /* one more */
            if (len < cap) {
                memmove(bytes + at + 1, bytes + at, len - at);
                bytes[at] = c;
                len++;
            }
            break;
        default: /* a bit */
            bytes[at] = (char)(bytes[at] ^ (1 << next_random(seed) % 8));
            break;
        }
    }
    return len;
}

static void test_mutations(void **state)
{
    uint64_t seed = 0x9e3779b97f4a7c15;
    unsigned accepted = 0;

    SHS_UNUSED(state);
    for (int i = 0; i < 40000; i++) {
        const struct http_case *from = &cases[next_random(&seed) % SHS_ARRAY_LEN(cases)];
        char bytes[512], outcome[OUTCOME_MAX];
        struct http_case c = {"mutation", bytes, from->len, outcome, from->name};
        struct driver d;

        assert_true(from->len < sizeof bytes - 8);
        memcpy(bytes, from->bytes, from->len);
        c.len = mutate(bytes, from->len, sizeof bytes, &seed);
        driver_init(&d, i % 2 == 0 ? &usual : &tight);
        driver_feed(&d, bytes, c.len);
        snprintf(outcome, sizeof outcome, "%s", driver_finish(&d));
        if (d.rule == SHS_RULE_DISAGREE)
            fail_msg("mutation %d of %s: the guard accepts what llhttp does not", i, from->name);
        accepted += d.rule == SHS_RULE_COUNT;
        run_pieces(&c, d.limits, 0, 1, "in pieces of");
        run_pieces(&c, d.limits, 1 + next_random(&seed) % c.len, 1 + next_random(&seed) % 30,
                   "first cut at");
        driver_free(&d);
    }
    assert_true(accepted > 1000); /* or the mutations prove nothing */
}

/* -- what a caller may rely on ----------------------------------------------------------------- */

static void test_refused_head_keeps_its_line(void **state)
{
    static const char bytes[] = "GET /secret HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n";
    struct shs_field fields[4];
    struct shs_parser parser;
    struct shs_refusal why;
    struct shs_head head;

    SHS_UNUSED(state);
    assert_int_equal(shs__head_parse(bytes, sizeof bytes - 1, &tight, &parser, fields, &head, &why),
                     SHS_PROTO);
    assert_string_equal(why.rule, "two-hosts");
    assert_true(shs__str_eq(head.line, SHS_STR("GET /secret HTTP/1.1")));
    assert_null(head.method.ptr);
    assert_null(head.fields);
    assert_int_equal(head.field_count, 0);
    assert_false(head.keep_alive);
}

/* A head that no scan has seen: what would overrun or mislead is refused here as well. */
static void check_parse_alone(const char *bytes, const char *rule)
{
    struct shs_field fields[3];
    struct shs_parser parser;
    struct shs_refusal why = {0};
    struct shs_head head;

    assert_int_equal(shs__head_parse(bytes, strlen(bytes), &tight, &parser, fields, &head, &why),
                     SHS_PROTO);
    assert_string_equal(why.rule, rule);
}

static void test_parse_without_scan(void **state)
{
    SHS_UNUSED(state);
    check_parse_alone("", "bare-lf");
    check_parse_alone("GET / HTTP/1.1", "bare-lf");
    check_parse_alone("\nHost: a\r\n\r\n", "bare-lf");
    check_parse_alone("GET / HTTP/1.1\nHost: a\r\n\r\n", "bare-lf");
    check_parse_alone("GET / HTTP/1.1\r\nHost: a\n\r\n", "bare-lf");
    check_parse_alone("GET / HTTP/1.1\r\n\nHost: a\r\n\r\n", "bare-lf");
    check_parse_alone("GET / HTTP/1.1\r\nHost: a", "bare-lf");
    check_parse_alone("GET /1234567 HTTP/1.1\r\nHost: a\r\n\r\n", "request-line-too-long");
    check_parse_alone(LINE "Host: a\r\nX:\r\nX:\r\nX:\r\n\r\n", "too-many-fields");
    check_parse_alone(LINE "Host: a\r\n", "parsers-disagree"); /* no empty line at its end */
    check_parse_alone(LINE "Host: a\r\n\r\r", "parsers-disagree");
}

static void test_views_are_into_the_buffer(void **state)
{
    static const char bytes[] = "GET //a?b HTTP/1.1\r\nHost: h\r\nX:  y \r\n\r\n";
    struct shs_field fields[4];
    struct shs_parser parser;
    struct shs_refusal why;
    struct shs_head head;

    SHS_UNUSED(state);
    assert_int_equal(shs__head_parse(bytes, sizeof bytes - 1, &tight, &parser, fields, &head, &why),
                     SHS_OK);
    assert_ptr_equal(head.line.ptr, bytes);
    assert_true(shs__str_eq(head.target, SHS_STR("//a?b")));
    assert_ptr_equal(head.path.ptr, bytes + 5);
    assert_ptr_equal(head.query.ptr, bytes + 8);
    assert_ptr_equal(head.fields, fields);
    assert_int_equal(head.field_count, 2);
    assert_true(shs__str_eq(fields[1].name, SHS_STR("X")));
    assert_true(shs__str_eq(fields[1].value, SHS_STR("y")));
    assert_int_equal(head.form, SHS_TARGET_ORIGIN);
    assert_int_equal(head.version, 11);
    assert_false(head.has_length);
}

static void test_forms_and_framing(void **state)
{
    static const struct {
        const char *bytes;
        enum shs_target_form form;
        bool has_length, chunked;
        uint64_t length;
    } heads[] = {
        {"GET / HTTP/1.1\r\nHost: a\r\n\r\n", SHS_TARGET_ORIGIN, false, false, 0},
        {"OPTIONS * HTTP/1.1\r\nHost: a\r\n\r\n", SHS_TARGET_ASTERISK, false, false, 0},
        {"GET http://b HTTP/1.1\r\nHost: a\r\n\r\n", SHS_TARGET_ABSOLUTE, false, false, 0},
        {LINE "Host: a\r\nContent-Length: 0\r\n\r\n", SHS_TARGET_ORIGIN, true, false, 0},
        {LINE "Host: a\r\nContent-Length: 1073741824\r\n\r\n", SHS_TARGET_ORIGIN, true, false,
         1073741824},
        {TIGHT_CHUNKED, SHS_TARGET_ORIGIN, false, true, 0},
    };

    SHS_UNUSED(state);
    for (size_t i = 0; i < SHS_ARRAY_LEN(heads); i++) {
        struct shs_field fields[100];
        struct shs_parser parser;
        struct shs_refusal why;
        struct shs_head head;

        assert_int_equal(shs__head_parse(heads[i].bytes, strlen(heads[i].bytes), &usual, &parser,
                                         fields, &head, &why),
                         SHS_OK);
        assert_int_equal(head.form, heads[i].form);
        assert_int_equal(head.has_length, heads[i].has_length);
        assert_int_equal(head.chunked, heads[i].chunked);
        assert_true(head.content_length == heads[i].length);
    }
}

static void test_token_and_value(void **state)
{
    SHS_UNUSED(state);
    assert_true(shs_is_token(SHS_STR("X-Abc_1.~")));
    assert_false(shs_is_token(SHS_STR("")));
    assert_false(shs_is_token(SHS_STR("a b")));
    assert_false(shs_is_token(SHS_STR("a:")));
    assert_false(shs_is_token(SHS_STR("a\0")));
    assert_false(shs_is_token(SHS_STR("\x80")));
    assert_true(shs_is_field_value(SHS_STR("")));
    assert_true(shs_is_field_value(SHS_STR("a b\tc\xff")));
    assert_false(shs_is_field_value(SHS_STR("a\r\nSet-Cookie: x")));
    assert_false(shs_is_field_value(SHS_STR("a\n")));
    assert_false(shs_is_field_value(SHS_STR("a\0b")));
    assert_false(shs_is_field_value(SHS_STR("\x7f")));
}

/* Eight bytes are looked at together: each byte, in each place among them and behind them. */
static void test_value_byte_by_byte(void **state)
{
    char text[20];

    SHS_UNUSED(state);
    for (size_t at = 0; at < sizeof text; at++) {
        for (unsigned c = 0; c < 256; c++) {
            bool fine = c == '\t' || (c >= 0x20 && c != 0x7f);

            memset(text, at % 2 == 0 ? 'v' : 0xe9, sizeof text);
            text[at] = (char)c;
            for (size_t len = at + 1; len <= sizeof text; len++)
                assert_int_equal(shs_is_field_value((struct shs_str){text, len}), fine);
            assert_true(shs_is_field_value((struct shs_str){text, at}));
        }
    }
}

/* -- the second opinion ------------------------------------------------------------------------ */

/* Reads the head into *d; its body is about to begin. */
static void begin_body(struct driver *d, const char *head)
{
    driver_init(d, &usual);
    driver_feed(d, head, strlen(head));
    assert_true(d->in_body);
}

/* The body is refused with that rule, since llhttp was told something else before. */
static void assert_disagrees(struct driver *d, const char *bytes)
{
    driver_feed(d, bytes, strlen(bytes));
    assert_int_equal(d->rule, SHS_RULE_DISAGREE);
    driver_free(d);
}

/*
 * Guard and llhttp never disagree on a body that they have both read, which is what the table
 * shows. So here llhttp is told something behind the guard's back, in each place where it is asked.
 */
static void test_disagreement_in_a_body(void **state)
{
    static const char chunked[] =
        "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n";
    static const char length[] = "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\n";
    struct driver d;

    (void)state;
    begin_body(&d, length);
    assert_true(shs__parser_content(&d.parser, "he", 2, false));
    assert_disagrees(&d, "hello");
    begin_body(&d, chunked);
    assert_true(shs__parser_chunk(&d.parser, 3));
    assert_disagrees(&d, "5\r\n"); /* at once, not by the data behind it */
    begin_body(&d, chunked);
    driver_feed(&d, "5\r\nhello", 8);
    assert_true(shs__parser_chunk_end(&d.parser, 5));
    assert_disagrees(&d, "\r\n");
    begin_body(&d, chunked);
    driver_feed(&d, "0\r\n", 3);
    assert_false(shs__parser_chunk(&d.parser, 7)); /* a trailer without a colon */
    assert_disagrees(&d, "\r\n");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_cases),
        cmocka_unit_test(test_names_are_unique),
        cmocka_unit_test(test_every_rule_has_a_case),
        cmocka_unit_test(test_limits),
        cmocka_unit_test(test_floods),
        cmocka_unit_test(test_large_body),
        cmocka_unit_test(test_mutations),
        cmocka_unit_test(test_disagreement_in_a_body),
        cmocka_unit_test(test_refused_head_keeps_its_line),
        cmocka_unit_test(test_parse_without_scan),
        cmocka_unit_test(test_views_are_into_the_buffer),
        cmocka_unit_test(test_forms_and_framing),
        cmocka_unit_test(test_token_and_value),
        cmocka_unit_test(test_value_byte_by_byte),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
