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

/* -- the driver --------------------------------------------------------------------------------------- */

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

/* -- every case, in every cut ----------------------------------------------------------------------- */

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

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_cases),
        cmocka_unit_test(test_names_are_unique),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
