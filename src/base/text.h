/*
 * text.h - the same as <shs/text.h>, into a struct shs_buf, and what that is made of.
 *
 * The functions that append return SHS_OK, or SHS_LIMIT or SHS_NOMEM as shs__buf_append does; what
 * was appended by then stays.
 */
#ifndef SHS_TEXT_BUF_H
#define SHS_TEXT_BUF_H

#include <shs/text.h>

#include "base/base.h"

/* One path segment, for an href or a Location: all but unreserved characters, also "/". */
int shs__percent_encode(struct shs_buf *out, struct shs_str s);

/* & < > " ' as entities: for text and for attribute values. */
int shs__html_escape(struct shs_buf *out, struct shs_str s);

/*
 * The inside of a JSON string, without its quotes. Bytes that are not UTF-8 are read as latin-1 and
 * become \u00XX, so that the result is always valid. What a terminal obeys, or what turns the text
 * beside it, is \uXXXX: the same string to a program, and nothing to who reads it as it is.
 */
int shs__json_escape(struct shs_buf *out, struct shs_str s);

/*
 * How many bytes at its beginning are surely printable ASCII without quote and backslash: what no
 * log and no JSON string replaces. All of it when there is nothing else in it; up to some bytes
 * before the first other one when there is.
 */
size_t shs__plain_length(struct shs_str s);

/* The length of the well-formed UTF-8 sequence at s.ptr[pos]; 0 when there is none. */
size_t shs__utf8_length(struct shs_str s, size_t pos);

/* Is all of it well-formed UTF-8? */
bool shs__is_utf8(struct shs_str s);

/* Does the sequence at s.ptr[pos] change unseen how what is beside it is read: a line's end to some
   (U+2028, U+2029), or another direction (U+061C, U+200E, U+200F, U+202A to U+202E, U+2066 to
   U+2069)? */
bool shs__utf8_turns(struct shs_str s, size_t pos);

/* How much of it is at most max bytes long and ends with no broken sequence. */
size_t shs__utf8_cut(struct shs_str s, size_t max);

/* Its length without a sequence that begins and does not end, as snprintf leaves one. */
size_t shs__utf8_trim(struct shs_str s);

/* Control characters, what turns text, and what is not UTF-8 as \xNN, backslash doubled: one line
   stays one line, and is read as it was written. */
int shs__log_escape(struct shs_buf *out, struct shs_str s);

/*
 * How long the end of a file's name is that says what it is, with its dot: 4 of "a.txt", 7 of
 * "a.tar.gz", 0 of "README" and of ".profile". What is longer than this is a name with a dot in it.
 */
#define SHS_EXTENSION_MAX 16u
size_t shs__extension_length(struct shs_str name);

/* Begins with "spiffe://", in any case. And is then all of it as SPIFFE-ID section 2 has it: words
   of letters, digits, ".", "-" and "_" between "/", none of them empty, "." or ".."; so that nobody
   reads another one in it. `pattern`: a word may be "*" or "**". */
bool shs__is_spiffe(struct shs_str uri);
bool shs__spiffe_is_good(struct shs_str id, bool pattern);

/* Has the decoded segment of a path a part, between its own "/", that is "." or ".."? Who matches
   paths lets none of them through: router and rules of access read them alike. */
bool shs__segment_has_dots(struct shs_str segment);

#endif
