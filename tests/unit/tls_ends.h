/*
 * tls_ends.h - two ends of TLS in memory, a server and its client, for tests that look at each step
 * between them; and a layer below the server that counts what it sends.
 */
#ifndef TLS_ENDS_H
#define TLS_ENDS_H

#include "tls_lab.h"

/* A lower stream that counts what is written. */
struct ends_counting {
    struct shs_stream base;
    unsigned writes;
    size_t bytes;
    unsigned acknowledged; /* how often it was asked for */
};

struct ends {
    struct shs_stream *near, *far; /* the memory pair: the server's and the client's end */
    struct ends_counting count;    /* between the server and `near` */
    struct shs_tls_context *server_context, *client_context;
    struct shs_tls_stream *server, *client;
};

/* Of group_lab; version 0 = any. There is room for `capacity` bytes between them, and `chunk` of
   them pass at a time (0: all). */
void ends_open(struct ends *e, int version, size_t capacity, size_t chunk);
void ends_close_client(struct ends *e);
/* What is left of them; nothing may be left in OpenSSL's queue of errors. */
void ends_close(struct ends *e);
void ends_free(struct shs_stream *s); /* NULL is fine */

/* The handshake, which must succeed. */
void ends_meet(struct ends *e);
/* Bytes from the client's side that no TLS has touched. */
void ends_push(struct ends *e, const void *bytes, size_t len);

/* Says it, and it leaves at once; hears exactly that, in one read. */
void tls_says(struct shs_tls_stream *s, const char *text);
void tls_hears(struct shs_tls_stream *s, const char *text);
/* One read: its code. */
int tls_read_code(struct shs_tls_stream *s);
/* The stream's own words for that code have these among them. */
void tls_describes(struct shs_tls_stream *s, int code, const char *words);

#endif
