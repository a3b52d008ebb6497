/*
 * Where a head ends, and that nothing is in it that no head can contain.
 *
 * There are two readers of the same bytes. scan_exact is the definition: one byte at a time, and
 * the verdict is that of the first byte that breaks a rule. scan_fast only ever says "all of this
 * is fine": it looks for line ends with memchr and for control characters in a loop that the
 * compiler makes wide, many times faster. At the slightest doubt it hands over.
 */
#include "base/chars.h"
#include "http/guard.h"
#include "http/rules.h"

#define SCAN_IN_DOUBT 99 /* of scan_fast alone: let scan_exact decide */

/* No control character but HTAB, CR and LF, no DEL; and as many CR as there are lines. */
static bool block_is_clean(const unsigned char *bytes, size_t len, size_t *crs)
{
    unsigned char bad = 0, cr = 0; /* bytes, so that 16 or 32 fit into a register */

    for (size_t i = 0; i < len; i++) {
        unsigned char c = bytes[i];

        bad |=
            (unsigned char)(((c < 0x20) & (c != '\t') & (c != '\r') & (c != '\n')) | (c == 0x7f));
        cr = (unsigned char)(cr + (c == '\r'));
    }
    *crs += cr;
    return bad == 0;
}

/* A byte counts to 255; and the rest of a head is seldom longer than this. */
#define BLOCK 64u

static bool region_is_clean(const char *buf, size_t len, size_t lines)
{
    unsigned char last[BLOCK];
    const unsigned char *bytes = (const unsigned char *)buf;
    size_t crs = 0;

    for (; len >= BLOCK; len -= BLOCK, bytes += BLOCK) {
        if (!block_is_clean(bytes, BLOCK, &crs))
            return false;
    }
    /* Filled up, so that it is as wide as the others. */
    memset(last, ' ', sizeof last);
    memcpy(last, bytes, len);
    return block_is_clean(last, BLOCK, &crs) && crs == lines;
}

static int scan_fast(struct shs_head_scan *scan, const char *buf, size_t len,
                     const struct shs_guard_limits *limits, size_t *head_len)
{
    size_t from = scan->pos, pos = scan->pos, line_start = scan->line_start, lines = 0;
    const char *lf;

    if (scan->pos == scan->start && (len == scan->pos || !shs__char_is(buf[pos], SHS_CHAR_TOKEN)))
        return SCAN_IN_DOUBT;
    while ((lf = memchr(buf + pos, '\n', len - pos)) != NULL) {
        size_t end = (size_t)(lf - buf); /* of the line, with its CR */

        if (end == line_start || buf[end - 1] != '\r')
            return SCAN_IN_DOUBT;
        lines++;
        pos = end + 1;
        if (end == line_start + 1) { /* an empty line */
            if (pos - scan->start > limits->max_head_bytes ||
                !region_is_clean(buf + from, pos - from, lines))
                return SCAN_IN_DOUBT;
            scan->pos = pos;
            *head_len = pos;
            return SHS_OK;
        }
        if (++scan->lines > limits->max_headers + 1 ||
            (scan->lines == 1 && end - 1 - line_start > limits->max_request_line))
            return SCAN_IN_DOUBT;
        line_start = pos;
    }
    pos = len > pos && buf[len - 1] == '\r' ? len - 1 : len;
    if (len - scan->start >= limits->max_head_bytes || pos < from ||
        (scan->lines == 0 && pos - scan->start > limits->max_request_line) ||
        !region_is_clean(buf + from, pos - from, lines))
        return SCAN_IN_DOUBT;
    scan->pos = pos;
    scan->line_start = line_start;
    return SHS_WAIT_READ;
}

/* An ordinary byte: no part of a line end. */
static int check_byte(const struct shs_head_scan *scan, char c,
                      const struct shs_guard_limits *limits, struct shs_refusal *why)
{
    bool first = scan->lines == 0 && scan->pos == scan->start;

    if (scan->lines == 0 && scan->pos - scan->start >= limits->max_request_line)
        return shs__refuse(why, SHS_RULE_REQUEST_LINE_TOO_LONG);
    if (c == '\n')
        return shs__refuse(why, SHS_RULE_BARE_LF);
    if (first && c == 0x16) /* the record type of a ClientHello */
        return shs__refuse(why, SHS_RULE_TLS_ON_HTTP);
    if (!shs__char_is(c, SHS_CHAR_VALUE))
        return shs__refuse(why, SHS_RULE_CONTROL_CHAR);
    if (first && !shs__char_is(c, SHS_CHAR_TOKEN))
        return shs__refuse(why, SHS_RULE_FIRST_BYTE);
    return SHS_OK;
}

/* Behind a CRLF. SHS_OK at the end of the head, SHS_WAIT_READ when it goes on. */
static int end_line(struct shs_head_scan *scan, const struct shs_guard_limits *limits,
                    struct shs_refusal *why)
{
    bool empty = scan->pos == scan->line_start + 2;

    scan->line_start = scan->pos;
    if (empty && scan->lines > 0)
        return SHS_OK;
    if (empty && scan->start > 0)
        return shs__refuse(why, SHS_RULE_EMPTY_LINES);
    if (empty) {
        scan->start = scan->pos; /* RFC 9112 section 2.2: SHOULD ignore at least one */
        return SHS_WAIT_READ;
    }
    if (++scan->lines > limits->max_headers + 1)
        return shs__refuse(why, SHS_RULE_TOO_MANY_FIELDS);
    return SHS_WAIT_READ;
}

static int refuse_large(const struct shs_head_scan *scan, struct shs_refusal *why)
{
    return shs__refuse(why,
                       scan->lines == 0 ? SHS_RULE_REQUEST_LINE_TOO_LONG : SHS_RULE_HEAD_TOO_LARGE);
}

static int scan_exact(struct shs_head_scan *scan, const char *buf, size_t len,
                      const struct shs_guard_limits *limits, size_t *head_len,
                      struct shs_refusal *why)
{
    int rc;

    while (scan->pos < len) {
        if (scan->pos - scan->start >= limits->max_head_bytes)
            return refuse_large(scan, why);
        if (buf[scan->pos] != '\r') {
            rc = check_byte(scan, buf[scan->pos], limits, why);
            if (rc != SHS_OK)
                return rc;
            scan->pos++;
            continue;
        }
        if (scan->pos + 1 == len)
            break; /* what a CR means, its next byte says */
        if (scan->pos + 1 - scan->start >= limits->max_head_bytes)
            return refuse_large(scan, why);
        if (buf[scan->pos + 1] != '\n')
            return shs__refuse(why, SHS_RULE_BARE_CR);
        scan->pos += 2;
        rc = end_line(scan, limits, why);
        if (rc == SHS_OK)
            *head_len = scan->pos;
        if (rc != SHS_WAIT_READ)
            return rc;
    }
    if (len - scan->start >= limits->max_head_bytes)
        return refuse_large(scan, why); /* full, and not complete: no byte more is needed */
    return SHS_WAIT_READ;
}

int shs__head_scan(struct shs_head_scan *scan, const char *buf, size_t len,
                   const struct shs_guard_limits *limits, size_t *head_len, struct shs_refusal *why)
{
    struct shs_head_scan fast = *scan;
    int rc = scan_fast(&fast, buf, len, limits, head_len);

    if (rc == SCAN_IN_DOUBT)
        return scan_exact(scan, buf, len, limits, head_len, why);
    *scan = fast;
    return rc;
}
