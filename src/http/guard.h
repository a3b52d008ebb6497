/*
 * guard.h - the raw-byte grammar of HTTP/1.1 in front of llhttp: it decides, llhttp agrees.
 *
 * Concept
 *
 *   A request is refused on its raw bytes, before llhttp sees one of them: line ends, control
 *   characters, request line, fields, Host, framing. What passes is written again in canonical form
 *   and given to llhttp, which must report the same message; a disagreement is a refusal as well
 *   (rule "parsers-disagree"). Lenient reading of a message is how requests are smuggled: every
 *   doubt is a 4xx or 501 and the end of the connection.
 *
 *   All state is in the structs of the caller. No allocation. No I/O. Split-proof: the verdict does
 *   not depend on how the bytes were cut up on the way.
 *
 *   The caller's input buffer must be able to hold max_head_bytes + 2 (one leading CRLF), and
 *   max_chunk_line + 2 and max_trailer_bytes + 2; with that, SHS_WAIT_READ never meets a full one.
 *
 *   Every refusal is a row of rules.h. After one, answer it and close: nothing that follows on the
 *   connection can be understood.
 *
 * Follows: RFC 9112 (all of it), RFC 9110 sections 5, 6.5, 7.2, 8.6, 10.1.1; RFC 3986 for targets.
 */
#ifndef SHS_GUARD_H
#define SHS_GUARD_H

#include <shs/text.h>

#include "http/message.h"
struct shs_parser; /* parser.h */

/* Raw-byte ceilings, counted before llhttp sees anything. */
struct shs_guard_limits {
    size_t max_request_line;    /* 414 beyond it */
    size_t max_head_bytes;      /* 431 beyond it */
    size_t max_headers;         /* 431 beyond it; also the length of the caller's field array */
    uint64_t max_body_bytes;    /* 413 beyond it, for Content-Length and for the sum of chunks */
    size_t max_chunk_line;      /* 400 beyond it: 256 */
    size_t max_extension_bytes; /* chunk extensions of one message, 400: 4096 */
    size_t max_trailer_bytes;   /* 431: 8192 */
};

/* -- finding the end of a head ----------------------------------------------------------------- */

struct shs_head_scan {
    size_t pos;   /* bytes looked at so far */
    size_t start; /* where the head begins: behind at most one CRLF */
    size_t line_start;
    size_t lines; /* complete lines seen */
};

/*
 * Looks at the bytes that are new since the last call: refuses at once what no head can contain.
 *
 *   scan  all zero before the first call for a request
 *   buf, len  everything received for this request so far, from its first byte on; may have moved
 *
 * Returns SHS_OK with *head_len (offset just behind the CRLFCRLF), SHS_WAIT_READ when the head is
 * not complete, SHS_PROTO with *why.
 */
int shs__head_scan(struct shs_head_scan *scan, const char *buf, size_t len,
                   const struct shs_guard_limits *limits, size_t *head_len,
                   struct shs_refusal *why);

/*
 * Reads a complete head and has llhttp confirm it.
 *
 *   buf, len  what shs__head_scan delimited: from buf + scan->start, head_len - scan->start bytes
 *   fields  room for limits->max_headers of them; head->fields will point to it
 *   parser  llhttp's state for this message; stays with it until the body is done
 *
 * Returns SHS_OK with *head, SHS_PROTO with *why (then head->line is set as far as it is known, for
 * the log, and nothing else; but all of it when nothing is wrong with the head, and what it asks
 * for is refused: a body that is too long, an unknown expectation). SHS_NOMEM cannot happen.
 */
int shs__head_parse(const char *buf, size_t len, const struct shs_guard_limits *limits,
                    struct shs_parser *parser, struct shs_field *fields, struct shs_head *head,
                    struct shs_refusal *why);

/* -- the body ---------------------------------------------------------------------------------- */

enum shs_body_phase {
    SHS_BODY_LENGTH, /* Content-Length bytes to come */
    SHS_BODY_CHUNK_LINE,
    SHS_BODY_CHUNK_DATA,
    SHS_BODY_CHUNK_END,
    SHS_BODY_TRAILER,
    SHS_BODY_DONE
};

struct shs_body {
    enum shs_body_phase phase;
    uint64_t left;  /* of the content or of this chunk */
    uint64_t size;  /* of this chunk */
    uint64_t total; /* content bytes delivered so far */
    size_t extension_bytes, trailer_bytes;
    unsigned trailer_count;
    const struct shs_guard_limits *limits; /* borrowed */
    struct shs_parser *parser;             /* borrowed: the second opinion */
};

/* For the request whose head this is: SHS_BODY_DONE at once when it has no body. */
void shs__body_init(struct shs_body *body, const struct shs_head *head,
                    const struct shs_guard_limits *limits, struct shs_parser *parser);

/*
 * Takes framing off the front of the input and says where content is.
 *
 *   buf, len   what has been received and not been used yet
 *   *used      how many bytes of it are done with: framing, and the content below
 *   *content   a view into buf of content bytes (len 0 when there is none in this call)
 *
 * Returns SHS_OK when something was used (call again with the rest, also when body->phase is
 * SHS_BODY_DONE: then there is nothing more to do), SHS_WAIT_READ when more bytes are needed, and
 * SHS_PROTO with *why. A chunk line or trailer line that is not complete is not used: the caller
 * keeps it; it is never longer than the limits.
 */
int shs__body_step(struct shs_body *body, const char *buf, size_t len, size_t *used,
                   struct shs_str *content, struct shs_refusal *why);

/* -- pieces other rooms need ------------------------------------------------------------------- */

/* "name: value" without its CRLF. SHS_OK with *field, or SHS_PROTO. */
int shs__field_parse(const char *line, size_t len, struct shs_field *field,
                     struct shs_refusal *why);

#endif
