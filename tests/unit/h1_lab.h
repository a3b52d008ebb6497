/*
 * h1_lab.h - the HTTP/1.1 machine without a server: a client in memory that sends in pieces.
 *
 * For unit tests and fuzz targets, so it needs no test library: what cannot be, aborts.
 */
#ifndef H1_LAB_H
#define H1_LAB_H

#include "http/h1.h"

struct h1_lab {
    struct shs_h1_config config;
    struct shs_options opt; /* change it between h1_lab_open and the first byte */
    struct shs_h1 h1;
    struct shs_stream *server, *client;
    const struct shs_http_handler *handler;
    int64_t deadline_ns;
    const char *meanwhile; /* comes when the clock is looked at, once; NULL: nothing */
    bool passes; /* and the deadline then passes: the process was stopped behind the look */
    bool idle, stopping;
    bool reset;             /* the answer's end must not look like one */
    unsigned calls, logged; /* of the handler, of the log */
    int last_status, fail_code;
    uint64_t last_bytes; /* of the body, as logged */
    char last_error[240], fail_text[240];
    char mistake_text[240]; /* of an answer that went out all the same */
    unsigned mistakes;      /* such */
    struct shs_buf got;     /* what the client has received */
    /* What the client still has to send, and in pieces of which size. */
    const char *rest;
    size_t rest_len;
    size_t (*piece)(struct h1_lab *lab); /* NULL: all at once */
    uint64_t random;                     /* of a piece function */
    bool gone;                           /* the client has closed its side */
    bool deaf;                           /* a handler that waits is not told of `stopping` */
    bool closes;                         /* it does so when it has sent everything */
    bool others;                         /* other connections want their turn ... */
    unsigned turns;                      /* ... and had it so often */
    /* What a handler's wait is; NULL: no time passes, and what can move moves. */
    int (*wait)(struct h1_lab *lab, int what, int64_t deadline_ns);
};

void h1_lab_open(struct h1_lab *lab, const struct shs_http_handler *handler);
/* The same over a stream that takes `chunk` bytes at a time; 0: all there is room for. */
void h1_lab_open_narrow(struct h1_lab *lab, const struct shs_http_handler *handler, size_t chunk);
void h1_lab_close(struct h1_lab *lab);

/* Sends these bytes piece by piece; runs until nothing moves. As shs__h1_step, the last time. */
int h1_lab_talk(struct h1_lab *lab, const char *bytes, size_t len);

/* The client takes what there is for it: so many bytes. h1_lab_talk does so after each step. */
size_t h1_lab_receive(struct h1_lab *lab);
/* Everything received so far, NUL-terminated. */
const char *h1_lab_text(struct h1_lab *lab);

/* Piece functions: one byte; 1 to 16 bytes, from lab->random. */
size_t h1_lab_one_byte(struct h1_lab *lab);
size_t h1_lab_random_piece(struct h1_lab *lab);
/* splitmix64: the same numbers from the same seed on every machine. */
uint64_t h1_lab_next_random(uint64_t *state);

#endif
