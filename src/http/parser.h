/*
 * parser.h - llhttp behind the guard: the only file, with parser.c, that includes <llhttp.h>.
 *
 * Concept
 *
 *   llhttp is given a message that the guard has accepted, in canonical form: white space around
 *   values cut off, Upgrade and Proxy-Connection left out (it would stop at the one and obey the
 *   other), a method it knows in place of one it does not, chunk sizes without extensions, no
 *   trailers. It must see exactly what the guard saw. Each function returns whether it does; the
 *   first false is final.
 *
 *   Nothing is copied: llhttp reads the connection's buffer itself. A head that is canonical
 *   already, as those of browsers are, is one call.
 */
#ifndef SHS_PARSER_H
#define SHS_PARSER_H

#include <llhttp.h>

#include "http/message.h"

struct shs_parser {
    llhttp_t llhttp;
    const struct shs_head *head; /* what it must find; only during shs__parser_head */
    size_t fields_seen;          /* of head->fields, the left out ones included */
    size_t target_bytes;
    size_t values_seen;     /* not empty ones */
    size_t value_of;        /* fields_seen when the last value came */
    uint64_t content_bytes; /* of the body, or of this chunk */
    int method;             /* the llhttp_method_t that it must find */
    bool headers_complete, message_complete, disagrees;
};

/* A new message: does llhttp read the same request line, fields and framing? */
bool shs__parser_head(struct shs_parser *parser, const struct shs_head *head, const char *raw,
                      size_t len);
/* Content, of a Content-Length body or of a chunk. `last`: it ends the Content-Length body. */
bool shs__parser_content(struct shs_parser *parser, const char *bytes, size_t len, bool last);
/* The size line of a chunk, also of the last one (size 0). */
bool shs__parser_chunk(struct shs_parser *parser, uint64_t size);
/* The end of a chunk's data, `size` bytes of it. */
bool shs__parser_chunk_end(struct shs_parser *parser, uint64_t size);
/* The end of a chunked message, behind its trailers. */
bool shs__parser_chunked_end(struct shs_parser *parser);

#endif
