/*
 * wire.h - between the socket and TLS: a stream that can spoil what passes.
 *
 * On every connection of a test server, and nothing but a pass-through until somebody sets one of
 * its members.
 */
#ifndef SHS_TESTING_WIRE_H
#define SHS_TESTING_WIRE_H

#include "stream/stream.h"

/* What happens to the bytes behind `limit`. */
enum shs_test_wire_end {
    SHS_TEST_WIRE_SWALLOW, /* they are taken, and go nowhere */
    SHS_TEST_WIRE_CUT,     /* the data ends: FIN */
    SHS_TEST_WIRE_RESET    /* RST */
};

struct shs_test_wire {
    struct shs_stream base;
    int fd;
    struct shs_buf early; /* read ahead, and not taken yet */
    size_t limit;         /* SIZE_MAX: none. So much more is written */
    enum shs_test_wire_end end;
    size_t corrupt_at;           /* SIZE_MAX: none. The byte so far ahead is written wrong */
    bool corrupt_last;           /* the last byte of the next write is written wrong */
    unsigned drip_ms;            /* > 0: a byte at a time, and so long before each */
    bool ended;                  /* by `end` */
    bool (*stopping)(void *ctx); /* while it drips: is it time to stop? */
    /* And so much of the peer's time was ours. */
    void (*dripped)(void *ctx, int64_t took_ns);
    void *ctx; /* of both */
};

/* Over `lower` (borrowed), whose socket is `fd`; NULL when out of memory. */
struct shs_test_wire *shs__test_wire_new(struct shs_stream *lower, int fd);

/* Reads ahead into `early`: SHS_OK when there is more of it, else as a stream's read; SHS_LIMIT. */
int shs__test_wire_peek(struct shs_test_wire *self);

/* RST, at once. */
void shs__test_wire_reset(int fd);

#endif
