/*
 * multipart.h - the parser behind shs/multipart.h, over anything that can be read.
 *
 *      PREAMBLE --delimiter--> HEAD --blank line--> DATA --delimiter--> HEAD ...
 *          |                                          |
 *          +-------------- closing delimiter ---------+--> END (the epilogue is thrown away)
 */
#ifndef SHS_HTTP_MULTIPART_H
#define SHS_HTTP_MULTIPART_H

#include <shs/multipart.h>

#include "http/message.h" /* fields and refusals */

/* Fields of one part. */
#define SHS_MULTIPART_FIELDS 16u
#define SHS_MULTIPART_WINDOW ((size_t)16384)
/* RFC 2046 section 5.1.1: a boundary has 1 to 70 characters. */
#define SHS_MULTIPART_BOUNDARY 70u

/* As shs_request_read. */
typedef int shs_multipart_read_fn(void *ctx, void *buf, size_t cap, size_t *got);

enum shs_multipart_state {
    SHS_MULTIPART_PREAMBLE,
    SHS_MULTIPART_HEAD,
    SHS_MULTIPART_DATA,
    SHS_MULTIPART_END
};

struct shs_multipart {
    shs_multipart_read_fn *read;
    void *ctx;
    struct shs_request *req; /* NULL: only in tests */
    struct shs_str fed;      /* instead of reading; borrowed */
    bool is_fed, fed_all;
    struct shs_multipart_limits limits;
    struct shs_refusal why;
    int failed; /* SHS_OK, or what every call returns */
    uint8_t state;
    bool blank_line; /* DATA: its CRLF is still there, and may belong to the delimiter */
    bool ended;      /* the body is read */
    unsigned parts;
    uint64_t total;
    char delimiter[4 + SHS_MULTIPART_BOUNDARY]; /* CR LF - - boundary */
    size_t delimiter_len;
    char *window; /* window[start .. start+len) has been read and not used */
    size_t start, len, cap;
    char *head; /* a copy of this part's header lines; behind it the decoded names; and scratch */
    size_t text_len;
    struct shs_field fields[SHS_MULTIPART_FIELDS];
    size_t field_count;
    struct shs_part part;
};

/* The bytes that an instance needs beside its struct. */
size_t shs__multipart_memory(const struct shs_multipart_limits *limits);
/*
 * Begins to read. `memory` is that many bytes; content_type is the field's value. SHS_OK, SHS_PROTO
 * with self->why.
 */
int shs__multipart_init(struct shs_multipart *self, shs_multipart_read_fn *read, void *ctx,
                        struct shs_str content_type, const struct shs_multipart_limits *limits,
                        char *memory);
/* The next bytes of the part where they lie, until the next call; len 0 at its end. */
int shs__multipart_data(struct shs_multipart *self, struct shs_str *data);

#endif
