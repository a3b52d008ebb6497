#include "handler/access_format.h"

#include <inttypes.h>
#include <stdio.h>
#include <time.h>

#include <shs/http.h>

#include "base/text.h"

/* Bytes of a client's text that are logged; escaping makes six of one at most. */
#define LINE_FIELD_MAX 2048u
#define FIELD_MAX 512u
#define WORD_MAX 64u
#define CLOCK_TEXT sizeof(((struct shs_access_clock *)0)->common)

void shs__access_clock_init(struct shs_access_clock *clock)
{
    memset(clock, 0, sizeof *clock);
    clock->second = INT64_MIN;
    pthread_mutex_init(&clock->lock, NULL);
}

void shs__access_clock_free(struct shs_access_clock *clock)
{
    pthread_mutex_destroy(&clock->lock);
}

/* strftime would ask the locale for the name of the month. */
static void format_second(struct shs_access_clock *clock, int64_t second)
{
    static const char months[12][4] = {"Jan", "Feb", "Mar", "Apr", "May", "Jun",
                                       "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"};
    time_t when = (time_t)second;
    struct tm tm;

    memset(&tm, 0, sizeof tm);
    gmtime_r(&when, &tm);
    snprintf(clock->common, sizeof clock->common, "%02d/%s/%04d:%02d:%02d:%02d +0000", tm.tm_mday,
             months[tm.tm_mon], (tm.tm_year + 1900) % 10000, tm.tm_hour, tm.tm_min, tm.tm_sec);
    snprintf(clock->iso, sizeof clock->iso, "%04d-%02d-%02dT%02d:%02d:%02d",
             (tm.tm_year + 1900) % 10000, tm.tm_mon + 1, tm.tm_mday, tm.tm_hour, tm.tm_min,
             tm.tm_sec);
    clock->second = second;
}

/* Copies the text of a second in one of the two forms. */
static void clock_text(struct shs_access_clock *clock, int64_t second, bool iso,
                       char text[CLOCK_TEXT])
{
    pthread_mutex_lock(&clock->lock);
    if (clock->second != second)
        format_second(clock, second);
    memcpy(text, iso ? clock->iso : clock->common, CLOCK_TEXT);
    pthread_mutex_unlock(&clock->lock);
}

static struct shs_str cut(struct shs_str s, size_t max)
{
    s.len = shs__utf8_cut(s, max);
    return s;
}

/* shs__log_escape, and a quote as \x22: what stands in quotes must not end them. */
static int append_escaped(struct shs_buf *out, struct shs_str s)
{
    const char *quote;
    struct shs_str part;

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
    SHS_RETURN_IF_ERROR(shs__buf_append(out, "\"", 1));
    if (s.len == 0)
        SHS_RETURN_IF_ERROR(shs__buf_append(out, "-", 1));
    else
        SHS_RETURN_IF_ERROR(append_escaped(out, cut(s, max)));
    if (s.len > max)
        SHS_RETURN_IF_ERROR(shs__buf_append(out, "...", 3));
    return shs__buf_append(out, "\"", 1);
}

/* A word that stands between spaces: its own are \x20, and a NULL one is a dash. */
static int append_word(struct shs_buf *out, struct shs_str s)
{
    const char *space;
    struct shs_str part;

    if (s.len == 0)
        return shs__buf_append(out, "-", 1);
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
    char when[CLOCK_TEXT];

    clock_text(clock, line->when_ns / SHS_NS_PER_S, false, when);
    SHS_RETURN_IF_ERROR(append_word(out, line->client));
    SHS_RETURN_IF_ERROR(shs__buf_append_str(out, SHS_STR(" - ")));
    SHS_RETURN_IF_ERROR(append_word(out, line->user));
    SHS_RETURN_IF_ERROR(shs__buf_append_str(out, SHS_STR(" [")));
    SHS_RETURN_IF_ERROR(shs__buf_append_str(out, shs__str(when)));
    SHS_RETURN_IF_ERROR(shs__buf_append_str(out, SHS_STR("] ")));
    SHS_RETURN_IF_ERROR(append_quoted(out, line->request_line, LINE_FIELD_MAX));
    if (line->status == 0)
        return shs__buf_append_str(out, SHS_STR(" - -"));
    SHS_RETURN_IF_ERROR(shs__buf_printf(out, " %d ", line->status));
    if (line->bytes == 0)
        return shs__buf_append(out, "-", 1); /* %b: no bytes are a dash */
    return shs__buf_printf(out, "%" PRIu64, line->bytes);
}

static int format_combined(struct shs_buf *out, struct shs_access_clock *clock,
                           const struct shs_access_line *line)
{
    SHS_RETURN_IF_ERROR(format_common(out, clock, line));
    SHS_RETURN_IF_ERROR(shs__buf_append(out, " ", 1));
    SHS_RETURN_IF_ERROR(append_quoted(out, line->referer, FIELD_MAX));
    SHS_RETURN_IF_ERROR(shs__buf_append(out, " ", 1));
    return append_quoted(out, line->user_agent, FIELD_MAX);
}

/* , "key": "text" or null */
static int append_member(struct shs_buf *out, const char *key, struct shs_str s, size_t max)
{
    SHS_RETURN_IF_ERROR(shs__buf_printf(out, ",\"%s\":", key));
    if (s.ptr == NULL)
        return shs__buf_append_str(out, SHS_STR("null"));
    SHS_RETURN_IF_ERROR(shs__buf_append(out, "\"", 1));
    SHS_RETURN_IF_ERROR(shs__json_escape(out, cut(s, max)));
    if (s.len > max)
        SHS_RETURN_IF_ERROR(shs__buf_append(out, "...", 3));
    return shs__buf_append(out, "\"", 1);
}

/* The same, or nothing. */
static int append_optional(struct shs_buf *out, const char *key, struct shs_str s)
{
    return s.len == 0 ? SHS_OK : append_member(out, key, s, FIELD_MAX);
}

static int format_json(struct shs_buf *out, struct shs_access_clock *clock,
                       const struct shs_access_line *line)
{
    int64_t us = line->duration_ns / 1000;
    char when[CLOCK_TEXT];

    clock_text(clock, line->when_ns / SHS_NS_PER_S, true, when);
    SHS_RETURN_IF_ERROR(shs__buf_printf(out, "{\"time\":\"%s.%03dZ\"", when,
                                        (int)(line->when_ns % SHS_NS_PER_S / SHS_NS_PER_MS)));
    SHS_RETURN_IF_ERROR(append_member(out, "client", line->client, WORD_MAX));
    SHS_RETURN_IF_ERROR(append_member(out, "method", line->method, WORD_MAX));
    SHS_RETURN_IF_ERROR(append_member(out, "target", line->target, LINE_FIELD_MAX));
    SHS_RETURN_IF_ERROR(append_member(out, "version", line->version, WORD_MAX));
    SHS_RETURN_IF_ERROR(shs__buf_printf(
        out, ",\"status\":%d,\"bytes\":%" PRIu64 ",\"duration_ms\":%" PRId64 ".%03d", line->status,
        line->bytes, us / 1000, (int)(us % 1000)));
    SHS_RETURN_IF_ERROR(append_member(out, "tls_version", line->tls_version, WORD_MAX));
    SHS_RETURN_IF_ERROR(append_member(out, "tls_cipher", line->cipher, WORD_MAX));
    SHS_RETURN_IF_ERROR(append_member(out, "sni", line->sni, FIELD_MAX));
    SHS_RETURN_IF_ERROR(append_member(out, "user_agent", line->user_agent, FIELD_MAX));
    SHS_RETURN_IF_ERROR(append_member(out, "referer", line->referer, FIELD_MAX));
    SHS_RETURN_IF_ERROR(append_member(out, "error", line->error, FIELD_MAX));
    SHS_RETURN_IF_ERROR(append_optional(out, "user", line->user));
    SHS_RETURN_IF_ERROR(append_optional(out, "client_sha256", line->client_sha256));
    SHS_RETURN_IF_ERROR(append_optional(out, "ja4", line->ja4));
    if (line->access.ptr != NULL) {
        SHS_RETURN_IF_ERROR(append_member(out, "role", line->role, WORD_MAX));
        SHS_RETURN_IF_ERROR(append_member(out, "access", line->access, 2 * WORD_MAX));
    }
    SHS_RETURN_IF_ERROR(append_member(out, "rule", line->rule, WORD_MAX));
    SHS_RETURN_IF_ERROR(append_member(out, "request_id", line->request_id, WORD_MAX));
    return shs__buf_append(out, "}", 1);
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
