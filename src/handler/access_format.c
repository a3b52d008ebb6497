#include "handler/access_format.h"

#include <stdio.h>
#include <time.h>

#include <shs/http.h>

#include "base/number.h"
#include "base/text.h"

/* Bytes of a client's text that are logged; escaping makes six of one at most. */
#define LINE_FIELD_MAX 2048u
#define FIELD_MAX 512u
#define WORD_MAX 64u

/* strftime would ask the locale for the name of the month. */
static struct tm split(int64_t second)
{
    time_t when = (time_t)second;
    struct tm tm;

    memset(&tm, 0, sizeof tm);
    gmtime_r(&when, &tm);
    tm.tm_year = (tm.tm_year + 1900) % 10000;
    return tm;
}

static void copy(char to[SHS_SECOND_TEXT_MAX], const char *text)
{
    memset(to, 0, SHS_SECOND_TEXT_MAX);
    memcpy(to, text, strnlen(text, SHS_SECOND_TEXT_MAX - 1));
}

static void common_time(int64_t second, char out[SHS_SECOND_TEXT_MAX])
{
    static const char months[12][4] = {"Jan", "Feb", "Mar", "Apr", "May", "Jun",
                                       "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"};
    struct tm tm = split(second);
    char text[72];

    snprintf(text, sizeof text, "%02d/%s/%04d:%02d:%02d:%02d +0000", tm.tm_mday, months[tm.tm_mon],
             tm.tm_year, tm.tm_hour, tm.tm_min, tm.tm_sec);
    copy(out, text);
}

static void iso_time(int64_t second, char out[SHS_SECOND_TEXT_MAX])
{
    struct tm tm = split(second);
    char text[80];

    snprintf(text, sizeof text, "%04d-%02d-%02dT%02d:%02d:%02d", tm.tm_year, tm.tm_mon + 1,
             tm.tm_mday, tm.tm_hour, tm.tm_min, tm.tm_sec);
    copy(out, text);
}

static struct shs_str cut(struct shs_str s, size_t max)
{
    if (s.len > max)
        s.len = shs__utf8_cut(s, max);
    return s;
}

static int append_char(struct shs_buf *out, char c)
{
    return shs__buf_append(out, &c, 1);
}

/* shs__log_escape, and a quote as \x22: what stands in quotes must not end them. */
static int append_escaped(struct shs_buf *out, struct shs_str s)
{
    const char *quote;
    struct shs_str part;

    if (shs__plain_length(s) == s.len) /* nearly always */
        return shs__buf_append_str(out, s);
    while (s.len > 0) {
        quote = memchr(s.ptr, '"', s.len);
        part.ptr = s.ptr;
        part.len = quote == NULL ? s.len : (size_t)(quote - s.ptr);
        SHS_RETURN_IF_ERROR(shs__log_escape(out, part));
        if (quote == NULL)
            break;
        SHS_RETURN_IF_ERROR(shs__buf_append_str(out, SHS_STR("\\x22")));
        s.len -= part.len + 1;
        s.ptr = quote + 1;
    }
    return SHS_OK;
}

/* "text", escaped; "-" in the quotes when there is none. */
static int append_quoted(struct shs_buf *out, struct shs_str s, size_t max)
{
    struct shs_str text = cut(s, max);

    if (text.len == 0)
        return shs__buf_append_str(out, SHS_STR("\"-\""));
    SHS_RETURN_IF_ERROR(append_char(out, '"'));
    SHS_RETURN_IF_ERROR(append_escaped(out, text));
    if (s.len > max)
        SHS_RETURN_IF_ERROR(shs__buf_append_str(out, SHS_STR("...")));
    return append_char(out, '"');
}

/* A word that stands between spaces: its own are \x20, and a NULL one is a dash. */
static int append_word(struct shs_buf *out, struct shs_str s)
{
    const char *space;
    struct shs_str part;

    if (s.len == 0)
        return append_char(out, '-');
    s = cut(s, WORD_MAX);
    while (s.len > 0) {
        space = memchr(s.ptr, ' ', s.len);
        part.ptr = s.ptr;
        part.len = space == NULL ? s.len : (size_t)(space - s.ptr);
        SHS_RETURN_IF_ERROR(append_escaped(out, part));
        if (space == NULL)
            break;
        SHS_RETURN_IF_ERROR(shs__buf_append_str(out, SHS_STR("\\x20")));
        s.len -= part.len + 1;
        s.ptr = space + 1;
    }
    return SHS_OK;
}

static int format_common(struct shs_buf *out, struct shs_access_clock *clock,
                         const struct shs_access_line *line)
{
    char when[SHS_SECOND_TEXT_MAX];

    shs__second_text(clock == NULL ? NULL : &clock->common, line->when_ns / SHS_NS_PER_S,
                     common_time, when);
    SHS_RETURN_IF_ERROR(append_word(out, line->client));
    SHS_RETURN_IF_ERROR(shs__buf_append_str(out, SHS_STR(" - ")));
    SHS_RETURN_IF_ERROR(append_word(out, line->user));
    SHS_RETURN_IF_ERROR(shs__buf_append_str(out, SHS_STR(" [")));
    SHS_RETURN_IF_ERROR(shs__buf_append_str(out, shs__str(when)));
    SHS_RETURN_IF_ERROR(shs__buf_append_str(out, SHS_STR("] ")));
    SHS_RETURN_IF_ERROR(append_quoted(out, line->request_line, LINE_FIELD_MAX));
    if (line->status == 0)
        return shs__buf_append_str(out, SHS_STR(" - -"));
    SHS_RETURN_IF_ERROR(append_char(out, ' '));
    SHS_RETURN_IF_ERROR(shs__buf_append_number(out, (unsigned)line->status));
    SHS_RETURN_IF_ERROR(append_char(out, ' '));
    if (line->bytes == 0)
        return append_char(out, '-'); /* %b: no bytes are a dash */
    return shs__buf_append_number(out, line->bytes);
}

static int format_combined(struct shs_buf *out, struct shs_access_clock *clock,
                           const struct shs_access_line *line)
{
    SHS_RETURN_IF_ERROR(format_common(out, clock, line));
    SHS_RETURN_IF_ERROR(append_char(out, ' '));
    SHS_RETURN_IF_ERROR(append_quoted(out, line->referer, FIELD_MAX));
    SHS_RETURN_IF_ERROR(append_char(out, ' '));
    return append_quoted(out, line->user_agent, FIELD_MAX);
}

/* The key, `,"name":`, and "text" or null. */
static int append_member(struct shs_buf *out, struct shs_str key, struct shs_str s, size_t max)
{
    SHS_RETURN_IF_ERROR(shs__buf_append_str(out, key));
    if (s.ptr == NULL)
        return shs__buf_append_str(out, SHS_STR("null"));
    SHS_RETURN_IF_ERROR(append_char(out, '"'));
    SHS_RETURN_IF_ERROR(shs__json_escape(out, cut(s, max)));
    if (s.len > max)
        SHS_RETURN_IF_ERROR(shs__buf_append_str(out, SHS_STR("...")));
    return append_char(out, '"');
}
#define MEMBER(out, name, s, max) append_member((out), SHS_STR(",\"" name "\":"), (s), (max))

/* The same, or nothing. */
static int append_optional(struct shs_buf *out, struct shs_str key, struct shs_str s)
{
    return s.len == 0 ? SHS_OK : append_member(out, key, s, FIELD_MAX);
}
#define OPTIONAL(out, name, s) append_optional((out), SHS_STR(",\"" name "\":"), (s))

/* ".007" */
static int append_thousandths(struct shs_buf *out, unsigned value)
{
    char text[4] = {'.', (char)('0' + value / 100), (char)('0' + value / 10 % 10),
                    (char)('0' + value % 10)};

    return shs__buf_append(out, text, sizeof text);
}

static int append_time(struct shs_buf *out, struct shs_access_clock *clock, int64_t when_ns)
{
    int64_t second = when_ns / SHS_NS_PER_S;
    unsigned ms = (unsigned)(when_ns < 0 ? 0 : when_ns % SHS_NS_PER_S / SHS_NS_PER_MS);
    char when[SHS_SECOND_TEXT_MAX];

    shs__second_text(clock == NULL ? NULL : &clock->iso, second, iso_time, when);
    SHS_RETURN_IF_ERROR(shs__buf_append_str(out, SHS_STR("{\"time\":\"")));
    SHS_RETURN_IF_ERROR(shs__buf_append_str(out, shs__str(when)));
    SHS_RETURN_IF_ERROR(append_thousandths(out, ms));
    return shs__buf_append_str(out, SHS_STR("Z\""));
}

static int append_outcome(struct shs_buf *out, const struct shs_access_line *line)
{
    uint64_t us = line->duration_ns < 0 ? 0 : (uint64_t)line->duration_ns / 1000;

    SHS_RETURN_IF_ERROR(shs__buf_append_str(out, SHS_STR(",\"status\":")));
    SHS_RETURN_IF_ERROR(shs__buf_append_number(out, (unsigned)line->status));
    SHS_RETURN_IF_ERROR(shs__buf_append_str(out, SHS_STR(",\"bytes\":")));
    SHS_RETURN_IF_ERROR(shs__buf_append_number(out, line->bytes));
    SHS_RETURN_IF_ERROR(shs__buf_append_str(out, SHS_STR(",\"duration_ms\":")));
    SHS_RETURN_IF_ERROR(shs__buf_append_number(out, us / 1000));
    return append_thousandths(out, (unsigned)(us % 1000));
}

static int format_json(struct shs_buf *out, struct shs_access_clock *clock,
                       const struct shs_access_line *line)
{
    SHS_RETURN_IF_ERROR(append_time(out, clock, line->when_ns));
    SHS_RETURN_IF_ERROR(MEMBER(out, "client", line->client, WORD_MAX));
    SHS_RETURN_IF_ERROR(MEMBER(out, "method", line->method, WORD_MAX));
    SHS_RETURN_IF_ERROR(MEMBER(out, "target", line->target, LINE_FIELD_MAX));
    SHS_RETURN_IF_ERROR(MEMBER(out, "version", line->version, WORD_MAX));
    SHS_RETURN_IF_ERROR(append_outcome(out, line));
    SHS_RETURN_IF_ERROR(MEMBER(out, "tls_version", line->tls_version, WORD_MAX));
    SHS_RETURN_IF_ERROR(MEMBER(out, "tls_cipher", line->cipher, WORD_MAX));
    SHS_RETURN_IF_ERROR(MEMBER(out, "sni", line->sni, FIELD_MAX));
    SHS_RETURN_IF_ERROR(MEMBER(out, "user_agent", line->user_agent, FIELD_MAX));
    SHS_RETURN_IF_ERROR(MEMBER(out, "referer", line->referer, FIELD_MAX));
    SHS_RETURN_IF_ERROR(MEMBER(out, "error", line->error, FIELD_MAX));
    SHS_RETURN_IF_ERROR(OPTIONAL(out, "user", line->user));
    SHS_RETURN_IF_ERROR(OPTIONAL(out, "client_sha256", line->client_sha256));
    SHS_RETURN_IF_ERROR(OPTIONAL(out, "ja4", line->ja4));
    if (line->access.ptr != NULL) {
        SHS_RETURN_IF_ERROR(MEMBER(out, "role", line->role, WORD_MAX));
        SHS_RETURN_IF_ERROR(MEMBER(out, "access", line->access, 2 * WORD_MAX));
    }
    SHS_RETURN_IF_ERROR(MEMBER(out, "rule", line->rule, WORD_MAX));
    SHS_RETURN_IF_ERROR(MEMBER(out, "request_id", line->request_id, WORD_MAX));
    return append_char(out, '}');
}

int shs__access_format(struct shs_buf *out, enum shs_access_style style,
                       struct shs_access_clock *clock, const struct shs_access_line *line)
{
    switch (style) {
    case SHS_ACCESS_COMMON:
        return format_common(out, clock, line);
    case SHS_ACCESS_COMBINED:
        return format_combined(out, clock, line);
    case SHS_ACCESS_JSON:
        return format_json(out, clock, line);
    }
    return SHS_USAGE;
}
