#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include <inttypes.h>
#include <time.h>

#include "base/text.h"
#include "h1_lab.h"
#include "handler/access_format.h"
#include "random_text.h"

#define WHEN ((int64_t)1795269600 * SHS_NS_PER_S) /* 2026-11-21 14:00:00 UTC */

static struct shs_access_line sample(void)
{
    struct shs_access_line line = {
        .when_ns = WHEN + 7 * SHS_NS_PER_MS,
        .client = SHS_STR("192.0.2.7"),
        .request_line = SHS_STR("GET /a?b=1 HTTP/1.1"),
        .method = SHS_STR("GET"),
        .target = SHS_STR("/a?b=1"),
        .version = SHS_STR("HTTP/1.1"),
        .status = 200,
        .bytes = 13,
        .duration_ns = 1234567,
        .tls_version = SHS_STR("TLSv1.3"),
        .cipher = SHS_STR("TLS_AES_256_GCM_SHA384"),
        .sni = SHS_STR("localhost"),
        .user_agent = SHS_STR("curl/7.88.1"),
    };

    return line;
}

static void check(enum shs_access_style style, const struct shs_access_line *line, const char *want)
{
    struct shs_access_clock clock = {0};
    struct shs_buf out;

    shs__buf_init(&out, SHS_ACCESS_LINE_MAX);
    assert_int_equal(shs__access_format(&out, style, &clock, line), SHS_OK);
    if (!shs__str_eq((struct shs_str){shs__buf_head(&out), out.len}, shs__str(want)))
        fail_msg("got: %.*s\nnot: %s", (int)out.len, shs__buf_head(&out), want);
    shs__buf_free(&out);
}

static void test_common(void **state)
{
    struct shs_access_line line = sample();

    SHS_UNUSED(state);
    check(SHS_ACCESS_COMMON, &line,
          "192.0.2.7 - - [21/Nov/2026:14:00:00 +0000] \"GET /a?b=1 HTTP/1.1\" 200 13");
    line.status = 304;
    line.bytes = 0;
    check(SHS_ACCESS_COMMON, &line,
          "192.0.2.7 - - [21/Nov/2026:14:00:00 +0000] \"GET /a?b=1 HTTP/1.1\" 304 -");
}

static void test_combined(void **state)
{
    struct shs_access_line line = sample();

    SHS_UNUSED(state);
    check(SHS_ACCESS_COMBINED, &line,
          "192.0.2.7 - - [21/Nov/2026:14:00:00 +0000] \"GET /a?b=1 HTTP/1.1\" 200 13 \"-\" "
          "\"curl/7.88.1\"");
}

/* What a client sends stays in its quotes and on its line (H54). */
static void test_combined_escapes(void **state)
{
    struct shs_access_line line = sample();

    SHS_UNUSED(state);
    line.request_line = SHS_STR("GET /\x1b[2J\\\x7f\xc2\x80 x");
    line.user_agent = SHS_STR("a\" 200 1 \"b\"\"\n");
    line.referer = SHS_STR("https://e.example/");
    check(
        SHS_ACCESS_COMBINED, &line,
        "192.0.2.7 - - [21/Nov/2026:14:00:00 +0000] \"GET /\\x1b[2J\\\\\\x7f\\xc2\\x80 x\" 200 13 "
        "\"https://e.example/\" \"a\\x22 200 1 \\x22b\\x22\\x22\\x0a\"");
}

static void test_nothing_understood(void **state)
{
    struct shs_access_line line = {.when_ns = WHEN, .status = 0};

    SHS_UNUSED(state);
    check(SHS_ACCESS_COMBINED, &line, "- - - [21/Nov/2026:14:00:00 +0000] \"-\" - - \"-\" \"-\"");
    check(SHS_ACCESS_JSON, &line,
          "{\"time\":\"2026-11-21T14:00:00.000Z\",\"client\":null,\"method\":null,\"target\":null,"
          "\"version\":null,\"status\":0,\"bytes\":0,\"duration_ms\":0.000,\"tls_version\":null,"
          "\"tls_cipher\":null,\"sni\":null,\"user_agent\":null,\"referer\":null,\"error\":null,"
          "\"rule\":null,\"request_id\":null}");
}

#define JSON_UNTIL_THE_RULE                                                                        \
    "{\"time\":\"2026-11-21T14:00:00.007Z\",\"client\":\"192.0.2.7\",\"method\":\"GET\","          \
    "\"target\":\"/a?b=1\",\"version\":\"HTTP/1.1\",\"status\":200,\"bytes\":13,"                  \
    "\"duration_ms\":1.234,\"tls_version\":\"TLSv1.3\","                                           \
    "\"tls_cipher\":\"TLS_AES_256_GCM_SHA384\",\"sni\":\"localhost\","                             \
    "\"user_agent\":\"a\\\"b\\\\\\u0001\\u00ff\xc3\xa4\",\"referer\":null,"                        \
    "\"error\":\"the peer closed the connection\",\"rule\":"

static void test_json(void **state)
{
    struct shs_access_line line = sample();

    SHS_UNUSED(state);
    line.user_agent = SHS_STR("a\"b\\\x01\xff\xc3\xa4");
    line.error = SHS_STR("the peer closed the connection");
    check(SHS_ACCESS_JSON, &line, JSON_UNTIL_THE_RULE "null,\"request_id\":null}");
    line.rule = SHS_STR("bare-lf");
    line.request_id = SHS_STR("1f-2-3");
    check(SHS_ACCESS_JSON, &line, JSON_UNTIL_THE_RULE "\"bare-lf\",\"request_id\":\"1f-2-3\"}");
}

/* The worst that every field can hold fits the buffer that the log has for a line. */
static void test_ceiling(void **state)
{
    static char long_text[100000];
    struct shs_access_line line = sample();
    struct shs_access_clock clock = {0};
    struct shs_str text = {long_text, sizeof long_text};
    enum shs_access_style style;

    SHS_UNUSED(state);
    memset(long_text, 1, sizeof long_text); /* six bytes each in JSON, four in the others */
    line.client = line.request_line = line.method = line.target = line.version = text;
    line.tls_version = line.cipher = line.sni = line.referer = line.user_agent = text;
    line.error = line.rule = line.request_id = text;
    line.bytes = UINT64_MAX;
    line.duration_ns = INT64_MAX;
    for (style = SHS_ACCESS_COMMON; style <= SHS_ACCESS_JSON; style++) {
        struct shs_buf out;

        shs__buf_init(&out, SHS_ACCESS_LINE_MAX);
        assert_int_equal(shs__access_format(&out, style, &clock, &line), SHS_OK);
        assert_true(out.len > 8192);
        assert_null(memchr(shs__buf_head(&out), '\n', out.len));
        shs__buf_free(&out);
    }
}

/* What is cut is cut between characters, in every field and wherever the bound falls. */
static void test_cut_between_characters(void **state)
{
    static char text[8000];
    struct shs_access_clock clock = {0};

    SHS_UNUSED(state);
    for (size_t shift = 0; shift < 4; shift++) {
        struct shs_access_line line = sample();

        memset(text, 'a', shift);
        for (size_t i = shift; i + 4 <= sizeof text; i += 4)
            memcpy(text + i, "\xf0\x9f\x98\x80", 4);
        line.client = line.request_line = line.method = line.target = line.version =
            line.tls_version = line.cipher = line.sni = line.referer = line.user_agent =
                line.error = line.user = line.client_sha256 = line.ja4 = line.rule =
                    line.request_id = (struct shs_str){text, sizeof text - 4};
        for (enum shs_access_style style = SHS_ACCESS_COMMON; style <= SHS_ACCESS_JSON; style++) {
            struct shs_buf out;
            struct shs_str got;
            size_t pos = 0, len = 1;

            shs__buf_init(&out, SHS_ACCESS_LINE_MAX);
            assert_int_equal(shs__access_format(&out, style, &clock, &line), SHS_OK);
            got = (struct shs_str){shs__buf_head(&out), out.len};
            for (; pos < got.len && len > 0; pos += len)
                len = shs__utf8_length(got, pos);
            assert_int_equal(pos, got.len);                  /* all of it is UTF-8, */
            assert_null(memmem(got.ptr, got.len, "\\x", 2)); /* and nothing had to be escaped */
            assert_null(memmem(got.ptr, got.len, "\\u00", 4));
            shs__buf_free(&out);
        }
    }
}

/* A client on a Unix socket chooses its name. */
static void test_client_is_a_word(void **state)
{
    struct shs_access_line line = sample();

    SHS_UNUSED(state);
    line.client = SHS_STR("/tmp/a b\"\xc2\x9b\xff");
    check(SHS_ACCESS_COMMON, &line,
          "/tmp/a\\x20b\\x22\\xc2\\x9b\\xff - - [21/Nov/2026:14:00:00 +0000] \"GET /a?b=1 "
          "HTTP/1.1\" 200 13");
}

/* The text of a second is kept, and made again for another one, also an earlier one. */
static void test_clock(void **state)
{
    static const struct {
        int64_t when;
        const char *text;
    } steps[] = {{WHEN, "[21/Nov/2026:14:00:00 +0000]"},
                 {WHEN + 999999999, "[21/Nov/2026:14:00:00 +0000]"},
                 {WHEN + SHS_NS_PER_S, "[21/Nov/2026:14:00:01 +0000]"},
                 {WHEN, "[21/Nov/2026:14:00:00 +0000]"},
                 {0, "[01/Jan/1970:00:00:00 +0000]"}};
    struct shs_access_line line = sample();
    struct shs_access_clock clock = {0};

    SHS_UNUSED(state);
    for (size_t i = 0; i < SHS_ARRAY_LEN(steps); i++) {
        struct shs_buf out;

        shs__buf_init(&out, 4096);
        line.when_ns = steps[i].when;
        assert_int_equal(shs__access_format(&out, SHS_ACCESS_COMMON, &clock, &line), SHS_OK);
        assert_memory_equal(shs__buf_head(&out) + 14, steps[i].text, strlen(steps[i].text));
        shs__buf_free(&out);
    }
}

/* -- the same by printf ------------------------------------------------------------------------ */

#define TEXT_MAX 700

/* A field of a line: nothing, or some text. */
static struct shs_str any_text(uint64_t *seed, char text[TEXT_MAX])
{
    size_t cap = h1_lab_next_random(seed) % 8 == 0 ? TEXT_MAX : 80;

    return h1_lab_next_random(seed) % 6 == 0 ? (struct shs_str){NULL, 0}
                                             : (struct shs_str){text, random_text(seed, text, cap)};
}

static struct shs_access_line any_line(uint64_t *seed, char texts[16][TEXT_MAX])
{
    static const int statuses[] = {0, 100, 200, 206, 304, 404, 500, 599};
    struct shs_access_line line = {
        .when_ns = (int64_t)(h1_lab_next_random(seed) % 4000000000U) * SHS_NS_PER_S +
                   (int64_t)(h1_lab_next_random(seed) % SHS_NS_PER_S),
        .status = statuses[h1_lab_next_random(seed) % SHS_ARRAY_LEN(statuses)],
        .bytes = h1_lab_next_random(seed) >> (h1_lab_next_random(seed) % 65 & 63),
        .duration_ns = (int64_t)(h1_lab_next_random(seed) >> (1 + h1_lab_next_random(seed) % 60)),
    };
    struct shs_str *fields[] = {
        &line.client,        &line.request_line, &line.method, &line.target,
        &line.version,       &line.tls_version,  &line.cipher, &line.sni,
        &line.referer,       &line.user_agent,   &line.error,  &line.user,
        &line.client_sha256, &line.ja4,          &line.rule,   &line.request_id};

    if (h1_lab_next_random(seed) % 4 == 0)
        line.bytes = 0;
    for (size_t i = 0; i < SHS_ARRAY_LEN(fields); i++)
        *fields[i] = any_text(seed, texts[i]);
    if (h1_lab_next_random(seed) % 2 == 0) {
        line.access = SHS_STR("rules.txt:3");
        line.role = h1_lab_next_random(seed) % 2 == 0 ? SHS_STR("admin") : line.role;
    }
    return line;
}

/* Of the log's own forms: what is in quotes, or (`word`) between spaces. */
static void plain_text(struct shs_buf *out, struct shs_str s, size_t max, bool word)
{
    size_t len = shs__utf8_cut(s, max);

    if (s.len == 0)
        shs__buf_printf(out, "-");
    for (size_t pos = 0, n; pos < len; pos += n) {
        struct shs_str one = {s.ptr + pos, 1};

        n = shs__utf8_length((struct shs_str){s.ptr, len}, pos);
        one.len = n = n == 0 ? 1 : n;
        if (one.ptr[0] == '"' || (word && one.ptr[0] == ' '))
            shs__buf_printf(out, "\\x%02x", (unsigned)one.ptr[0]);
        else
            assert_int_equal(shs__log_escape(out, one), SHS_OK);
    }
    if (s.len > max && !word)
        shs__buf_printf(out, "...");
}

static void plain_line(struct shs_buf *out, bool combined, const struct shs_access_line *line)
{
    time_t when = (time_t)(line->when_ns / SHS_NS_PER_S);
    char text[64];
    struct tm tm;

    strftime(text, sizeof text, "%d/%b/%Y:%H:%M:%S +0000", gmtime_r(&when, &tm));
    plain_text(out, line->client, 64, true);
    shs__buf_printf(out, " - ");
    plain_text(out, line->user, 64, true);
    shs__buf_printf(out, " [%s] \"", text);
    plain_text(out, line->request_line, 2048, false);
    if (line->status == 0)
        shs__buf_printf(out, "\" - -");
    else if (line->bytes == 0)
        shs__buf_printf(out, "\" %d -", line->status);
    else
        shs__buf_printf(out, "\" %d %" PRIu64, line->status, line->bytes);
    if (!combined)
        return;
    shs__buf_printf(out, " \"");
    plain_text(out, line->referer, 512, false);
    shs__buf_printf(out, "\" \"");
    plain_text(out, line->user_agent, 512, false);
    shs__buf_printf(out, "\"");
}

static void plain_member(struct shs_buf *out, const char *key, struct shs_str s, size_t max)
{
    shs__buf_printf(out, ",\"%s\":%s", key, s.ptr == NULL ? "null" : "\"");
    if (s.ptr == NULL)
        return;
    assert_int_equal(shs__json_escape(out, (struct shs_str){s.ptr, shs__utf8_cut(s, max)}), SHS_OK);
    shs__buf_printf(out, "%s\"", s.len > max ? "..." : "");
}

static void plain_optional(struct shs_buf *out, const char *key, struct shs_str s)
{
    if (s.len > 0)
        plain_member(out, key, s, 512);
}

static void plain_json(struct shs_buf *out, const struct shs_access_line *line)
{
    time_t when = (time_t)(line->when_ns / SHS_NS_PER_S);
    int64_t us = line->duration_ns / 1000;
    char text[64];
    struct tm tm;

    strftime(text, sizeof text, "%Y-%m-%dT%H:%M:%S", gmtime_r(&when, &tm));
    shs__buf_printf(out, "{\"time\":\"%s.%03dZ\"", text,
                    (int)(line->when_ns % SHS_NS_PER_S / SHS_NS_PER_MS));
    plain_member(out, "client", line->client, 64);
    plain_member(out, "method", line->method, 64);
    plain_member(out, "target", line->target, 2048);
    plain_member(out, "version", line->version, 64);
    shs__buf_printf(out, ",\"status\":%d,\"bytes\":%" PRIu64 ",\"duration_ms\":%" PRId64 ".%03d",
                    line->status, line->bytes, us / 1000, (int)(us % 1000));
    plain_member(out, "tls_version", line->tls_version, 64);
    plain_member(out, "tls_cipher", line->cipher, 64);
    plain_member(out, "sni", line->sni, 512);
    plain_member(out, "user_agent", line->user_agent, 512);
    plain_member(out, "referer", line->referer, 512);
    plain_member(out, "error", line->error, 512);
    plain_optional(out, "user", line->user);
    plain_optional(out, "client_sha256", line->client_sha256);
    plain_optional(out, "ja4", line->ja4);
    if (line->access.ptr != NULL) {
        plain_member(out, "role", line->role, 64);
        plain_member(out, "access", line->access, 128);
    }
    plain_member(out, "rule", line->rule, 64);
    plain_member(out, "request_id", line->request_id, 64);
    shs__buf_printf(out, "}");
}

/* Every style of any line is what printf makes of it. */
static void test_like_printf(void **state)
{
    static char texts[16][TEXT_MAX];
    struct shs_access_clock clock = {0};
    struct shs_buf got, want;
    uint64_t seed = 14;

    SHS_UNUSED(state);
    shs__buf_init(&got, SHS_ACCESS_LINE_MAX);
    shs__buf_init(&want, 2 * SHS_ACCESS_LINE_MAX);
    for (int i = 0; i < 3000; i++) {
        struct shs_access_line line = any_line(&seed, texts);

        for (enum shs_access_style style = SHS_ACCESS_COMMON; style <= SHS_ACCESS_JSON; style++) {
            if (style == SHS_ACCESS_JSON)
                plain_json(&want, &line);
            else
                plain_line(&want, style == SHS_ACCESS_COMBINED, &line);
            assert_int_equal(shs__access_format(&got, style, i % 2 == 0 ? &clock : NULL, &line),
                             SHS_OK);
            assert_int_equal(got.len, want.len);
            assert_memory_equal(shs__buf_head(&got), shs__buf_head(&want), got.len);
            shs__buf_consume(&got, got.len);
            shs__buf_consume(&want, want.len);
        }
    }
    shs__buf_free(&got);
    shs__buf_free(&want);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_common),
        cmocka_unit_test(test_combined),
        cmocka_unit_test(test_combined_escapes),
        cmocka_unit_test(test_nothing_understood),
        cmocka_unit_test(test_json),
        cmocka_unit_test(test_ceiling),
        cmocka_unit_test(test_cut_between_characters),
        cmocka_unit_test(test_client_is_a_word),
        cmocka_unit_test(test_clock),
        cmocka_unit_test(test_like_printf),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
