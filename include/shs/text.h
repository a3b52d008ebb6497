/*
 * shs/text.h - text on its way into a URL, a page, JSON, a log or a field, and out of them.
 *
 * Concept
 *
 *   What a client says is bytes. Where they are written decides what has to be escaped, and each
 *   place has one function here. They write into a buffer of yours and say how long the result is;
 *   it is not NUL-terminated. A buffer that is too small is SHS_LIMIT; what is in it then is of no
 *   use.
 *
 *       char page[6 * 64];
 *       size_t len;
 *       if (name.len <= 64 && shs_html_escape(name, page, sizeof page, &len) == SHS_OK)
 *           shs_write(res, page, len);
 *
 * No function here keeps anything; each is safe from any thread.
 *
 * Follows: RFC 3986 section 2.1, RFC 8259 section 7, RFC 9110 sections 5.5, 5.6.2 and 5.6.7.
 */
#ifndef SHS_TEXT_H
#define SHS_TEXT_H

#include <stdbool.h>
#include <stddef.h>
#include <time.h>

#include <shs/error.h>
#include <shs/str.h>

#ifdef __cplusplus
extern "C" {
#endif

/*
 * Decodes %41 to A, once; what came out is never decoded again. "+" stays "+" (for a query or a
 * form there is shs/query.h). s.len bytes are always enough; `out` may be where s is.
 *
 * Returns 0, SHS_PROTO (a % without two hex digits, %00 or a NUL), SHS_LIMIT.
 */
SHS_API int shs_percent_decode(struct shs_str s, char *out, size_t cap, size_t *len) SHS_MUST_CHECK;

/*
 * One segment of a path, or one value of a query: all but unreserved characters become %XX, also
 * "/". Three times s.len is always enough. Returns 0, SHS_LIMIT.
 */
SHS_API int shs_percent_encode(struct shs_str s, char *out, size_t cap, size_t *len) SHS_MUST_CHECK;

/*
 * & < > " ' as entities: for text of a page and for attribute values in quotes. Six times s.len is
 * always enough. Returns 0, SHS_LIMIT.
 */
SHS_API int shs_html_escape(struct shs_str s, char *out, size_t cap, size_t *len) SHS_MUST_CHECK;

/*
 * The inside of a JSON string, without its quotes. Bytes that are not UTF-8 are read as latin-1 and
 * become \u00XX, so that the result is always valid. Six times s.len is always enough. Returns 0,
 * SHS_LIMIT.
 */
SHS_API int shs_json_escape(struct shs_str s, char *out, size_t cap, size_t *len) SHS_MUST_CHECK;

/*
 * For one line of a log: control characters and what is not UTF-8 become \xNN, a backslash is
 * doubled, UTF-8 stays whole. Four times s.len is always enough. Returns 0, SHS_LIMIT.
 */
SHS_API int shs_log_escape(struct shs_str s, char *out, size_t cap, size_t *len) SHS_MUST_CHECK;

/* May this be the name of a field, a method (RFC 9110 section 5.6.2)? Not empty. */
SHS_API bool shs_is_token(struct shs_str s);
/* May this be the value of a field? No CR, LF, NUL or control character but HTAB. */
SHS_API bool shs_is_field_value(struct shs_str s);

#define SHS_HTTP_DATE_LEN 29u /* "Sun, 06 Nov 1994 08:49:37 GMT" */

/*
 * A date as fields have it, NUL-terminated. A time outside of the years 1 to 9999 becomes the
 * nearest one that can be written. No locale, no time zone of the system.
 */
SHS_API void shs_http_date(time_t when, char out[SHS_HTTP_DATE_LEN + 1]);

/*
 * Reads the date of a field, in each of the three forms of RFC 9110. Exactly: anything else, also a
 * day that does not exist or a wrong day of the week, is false, and the field is to be ignored.
 *
 *   now  decides the century of two digits: no more than 50 years ahead
 */
SHS_API bool shs_http_date_parse(struct shs_str text, time_t now, time_t *when);

#ifdef __cplusplus
}
#endif

#endif
