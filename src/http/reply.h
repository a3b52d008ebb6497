/*
 * reply.h - an answer that this program has asked another server for: its head, and where its body
 * ends. What cmd/proxy_talk.c passes on.
 *
 * As strict as for requests, for what two readers read differently is how answers are smuggled:
 * every line goes through the guard (no bare CR or LF, no control character, no folded line), those
 * of chunks and trailers too, and llhttp reads the same status and framing. Two lengths, a length
 * beside Transfer-Encoding, a coding other than chunked, another version than HTTP/1.x, a status
 * out of 200 to 599, more than 8 interim answers: refused.
 *
 * No allocation, no I/O; the caller has the buffers.
 */
#ifndef SHS_HTTP_REPLY_H
#define SHS_HTTP_REPLY_H

#include "http/guard.h"
#include "http/parser.h"

#define SHS_REPLY_HEAD_MAX ((size_t)32768)
#define SHS_REPLY_FIELDS_MAX 100u
#define SHS_REPLY_CHUNK_LINE_MAX ((size_t)4096)

struct shs_reply {
    struct shs_parser parser;
    struct shs_body body; /* of chunks */
    struct shs_head_scan scan;
    unsigned interim; /* so many answers of 1xx came before it */
    bool no_body;     /* HEAD was asked for */
    int status;       /* 0: the head has not ended */
    struct shs_field fields[SHS_REPLY_FIELDS_MAX];
    size_t field_count;
    bool has_length, chunked;
    uint64_t length;
    bool complete;     /* the whole answer has been read */
    const char *wrong; /* why it is refused, in words; static */
    int (*write)(void *ctx, const char *bytes, size_t len);
    void *ctx;
    int rc; /* what `write` has returned, if it was not SHS_OK */
};

/* write: takes the body as it comes; SHS_OK, or it ends. */
void shs__reply_init(struct shs_reply *self, bool no_body,
                     int (*write)(void *ctx, const char *bytes, size_t len), void *ctx);

/*
 * Looks for the head: `buf` has all that came so far and was not used. SHS_OK with *used bytes
 * that it took, and self->status is there; SHS_WAIT_READ, also with *used (interim answers); or
 * SHS_PROTO and self->wrong. Fields are views of buf.
 */
int shs__reply_head(struct shs_reply *self, const char *buf, size_t len, size_t *used);

/*
 * The next bytes of the body: all that came and was not used. SHS_OK with *used bytes that it took,
 * and self->complete when it has ended; SHS_PROTO; or what `write` returned. What is not used is
 * the beginning of a line, or is behind the end.
 */
int shs__reply_body(struct shs_reply *self, const char *buf, size_t len, size_t *used);
/* The server has closed: SHS_OK if that is where the answer ends, else SHS_TRUNCATED. */
int shs__reply_end(struct shs_reply *self);

#endif
