/*
 * rules.h - every reason for which the guard refuses a message, in one list.
 *
 * Concept
 *
 *   A refusal is one row: the status to answer, a short name that never changes (logs, dashboards
 *   and tests go by it), and a sentence for whoever wrote the client. The code says only
 *   `return shs__refuse(why, SHS_RULE_BARE_LF)`; tests/unit/test_guard.c demands that each row is
 *   the verdict of at least one case in tests/unit/http_cases.inc.
 */
#ifndef SHS_RULES_H
#define SHS_RULES_H

#include "http/message.h"

/* X(symbol, status, rule, text) */
#define SHS_RULE_MAP(X)                                                                            \
    /* lines and bytes: RFC 9112 section 2.2 */                                                    \
    X(BARE_CR, 400, "bare-cr",                                                                     \
      "A carriage return is not followed by a line feed; end each line "                           \
      "with CR LF.")                                                                               \
    X(BARE_LF, 400, "bare-lf",                                                                     \
      "A line feed is not preceded by a carriage return; end each line "                           \
      "with CR LF.")                                                                               \
    X(CONTROL_CHAR, 400, "control-char", "The head contains a control character.")                 \
    X(TLS_ON_HTTP, 400, "tls-on-http",                                                             \
      "This looks like TLS, but this port speaks plain HTTP; use an http:// address.")             \
    X(FIRST_BYTE, 400, "first-byte", "A request begins with the name of a method.")                \
    X(EMPTY_LINES, 400, "empty-lines", "At most one empty line may come before a request.")        \
    X(REQUEST_LINE_TOO_LONG, 414, "request-line-too-long",                                         \
      "The request line is longer than this "                                                      \
      "server accepts.")                                                                           \
    X(HEAD_TOO_LARGE, 431, "head-too-large",                                                       \
      "The header fields together are larger than this "                                           \
      "server accepts.")                                                                           \
    X(TOO_MANY_FIELDS, 431, "too-many-fields",                                                     \
      "There are more header fields than this server "                                             \
      "accepts.")                                                                                  \
    /* the request line: RFC 9112 section 3 */                                                     \
    X(REQUEST_LINE, 400, "request-line",                                                           \
      "A request line is: method, space, target, space, "                                          \
      "HTTP version.")                                                                             \
    X(BAD_METHOD, 400, "bad-method", "The method is not a token, or not followed by one space.")   \
    X(METHOD_TOO_LONG, 501, "method-too-long", "No method that this server knows is that long.")   \
    X(TWO_SPACES, 400, "two-spaces",                                                               \
      "The words of the request line are separated by exactly one "                                \
      "space.")                                                                                    \
    X(HTTP_09, 400, "http-0.9",                                                                    \
      "The request line has no HTTP version; HTTP/0.9 is not supported.")                          \
    X(EXTRA_WORD, 400, "extra-word",                                                               \
      "The request line has more than three words; write a space "                                 \
      "in the target as %20.")                                                                     \
    X(BAD_VERSION, 400, "bad-version", "The HTTP version is not of the form HTTP/1.1.")            \
    X(VERSION_UNSUPPORTED, 505, "version-unsupported",                                             \
      "Only HTTP/1.0 and HTTP/1.1 are supported.")                                                 \
    X(CONNECT, 501, "connect", "This server is not a proxy: CONNECT is not supported.")            \
    /* the target: RFC 9112 section 3.2, RFC 3986 */                                               \
    X(TARGET_FORM, 400, "target-form",                                                             \
      "The target must begin with / or with http:// or "                                           \
      "https://.")                                                                                 \
    X(TARGET_CHAR, 400, "target-char", "The target has a character that must be percent-encoded.") \
    X(FRAGMENT, 400, "fragment", "A fragment (#) is for the client alone and must not be sent.")   \
    X(BAD_PERCENT, 400, "bad-percent", "Each % in the path must be followed by two hex digits.")   \
    X(ASTERISK, 400, "asterisk", "The target * is for OPTIONS only, and stands alone.")            \
    X(BAD_SCHEME, 400, "bad-scheme", "Only http and https targets are served.")                    \
    X(USERINFO, 400, "userinfo", "User names and passwords may not be part of a target.")          \
    X(TARGET_HOST, 400, "target-host", "The target's host or port is not valid.")                  \
    /* fields: RFC 9112 section 5 */                                                               \
    X(OBS_FOLD, 400, "obs-fold",                                                                   \
      "A header line begins with white space; folded lines are not allowed.")                      \
    X(NO_COLON, 400, "no-colon", "A header line has no colon.")                                    \
    X(EMPTY_NAME, 400, "empty-name", "A header line has no name before its colon.")                \
    X(SPACE_BEFORE_COLON, 400, "space-before-colon",                                               \
      "White space between a header's name and "                                                   \
      "its colon is not allowed.")                                                                 \
    X(FIELD_NAME, 400, "field-name", "A header's name has a character that is not allowed.")       \
    /* what the fields say: RFC 9112 sections 3.2, 6; RFC 9110 sections 7.6.1, 8.6, 10.1.1 */      \
    X(NO_HOST, 400, "no-host", "An HTTP/1.1 request must have a Host field.")                      \
    X(TWO_HOSTS, 400, "two-hosts", "There is more than one Host field.")                           \
    X(BAD_HOST, 400, "bad-host",                                                                   \
      "The Host field is not a host name or address with an optional "                             \
      "port.")                                                                                     \
    X(TWO_LENGTHS, 400, "two-lengths", "There is more than one Content-Length field.")             \
    X(BAD_LENGTH, 400, "bad-length", "Content-Length must be a plain decimal number.")             \
    X(LENGTH_TOO_LARGE, 413, "length-too-large",                                                   \
      "The content is larger than this server "                                                    \
      "accepts.")                                                                                  \
    X(TWO_CODINGS, 400, "two-codings", "There is more than one Transfer-Encoding field.")          \
    X(EMPTY_CODING, 400, "empty-coding", "The Transfer-Encoding field is empty.")                  \
    X(NOT_CHUNKED, 400, "not-chunked", "Transfer-Encoding must be exactly: chunked.")              \
    X(UNKNOWN_CODING, 501, "unknown-coding",                                                       \
      "The only transfer coding that is supported is chunked.")                                    \
    X(CODING_IN_10, 400, "coding-in-1.0", "Transfer-Encoding is not allowed in HTTP/1.0.")         \
    X(CODING_AND_LENGTH, 400, "coding-and-length",                                                 \
      "A request has either Transfer-Encoding or "                                                 \
      "Content-Length, not both.")                                                                 \
    X(EXPECT, 417, "expect", "The only expectation that is supported is 100-continue.")            \
    X(BAD_CONNECTION, 400, "bad-connection", "The Connection field is not a list of tokens.")      \
    X(DISAGREE, 400, "parsers-disagree", "The request can be read in more than one way.")          \
    /* the body: RFC 9112 section 7.1 */                                                           \
    X(CHUNK_SIZE, 400, "chunk-size", "A chunk does not begin with its size in hex digits.")        \
    X(CHUNK_SIZE_TOO_LONG, 400, "chunk-size-too-long", "A chunk size has more than 15 digits.")    \
    X(CHUNK_LINE_TOO_LONG, 400, "chunk-line-too-long", "A line with a chunk size is too long.")    \
    X(CHUNK_EXTENSION, 400, "chunk-extension", "A chunk extension is malformed.")                  \
    X(EXTENSIONS_TOO_LARGE, 400, "extensions-too-large",                                           \
      "The chunk extensions together are too "                                                     \
      "large.")                                                                                    \
    X(CHUNK_END, 400, "chunk-end", "A chunk's data does not end with CR LF where its size says.")  \
    X(BODY_TOO_LARGE, 413, "body-too-large", "The content is larger than this server accepts.")    \
    X(TRAILER_FORBIDDEN, 400, "trailer-forbidden",                                                 \
      "A trailer has a field that is allowed in the head only.")                                   \
    X(TRAILERS_TOO_LARGE, 431, "trailers-too-large",                                               \
      "The trailers together are larger than this "                                                \
      "server accepts.")                                                                           \
    X(TOO_MANY_TRAILERS, 431, "too-many-trailers",                                                 \
      "There are more trailers than this server "                                                  \
      "accepts.")

enum shs_rule {
#define SHS_RULE_ENUM(symbol, status, rule, text) SHS_RULE_##symbol,
    SHS_RULE_MAP(SHS_RULE_ENUM)
#undef SHS_RULE_ENUM
        SHS_RULE_COUNT
};

extern const struct shs_refusal shs__rules[SHS_RULE_COUNT];

/* *why is that row; returns SHS_PROTO, so that a check can be `return shs__refuse(...)`. */
int shs__refuse(struct shs_refusal *why, enum shs_rule rule);

/* The option whose bound was met, for the log of whoever sets it: a member of struct shs_options.
   NULL: no bound of an option. */
const char *shs__rule_option(const char *rule);

#endif
