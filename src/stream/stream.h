/*
 * stream.h - floor 1: a stack of byte streams; a TCP socket at the bottom, TLS above it.
 *
 * Concept
 *
 *   A stream class is a const table; an instance begins with struct shs_stream and points to the
 *   stream below. Nothing here ever waits for the peer: a call that cannot go on returns
 *   SHS_WAIT_READ or SHS_WAIT_WRITE, which says what to wait for on the descriptor before the same
 *   call is made again. (TLS may answer SHS_WAIT_WRITE to a read, and the reverse.)
 *
 * The contract, which tests/unit/stream_contract.h checks for every class
 *
 *   read      SHS_OK with 1 <= *got <= cap; SHS_WAIT_*; one of the ends; SHS_IO or SHS_TLS.
 *             cap > 0. What the peer sent before it went is given first. The ends, each of which is
 *             given again at every later call:
 *               SHS_CLOSED     the orderly end of the peer's data (FIN; with TLS close_notify)
 *               SHS_TRUNCATED  the stream below ended where this one was not at its end
 *               SHS_RESET      the peer has reset the connection
 *               SHS_STOPPED    we have cut it ourselves (shs__socket_stream_cut)
 *   write     SHS_OK with 1 <= *put <= len: taken, perhaps held back until flush; SHS_WAIT_*;
 *             SHS_RESET when the peer takes no more (EPIPE, ECONNRESET); SHS_STOPPED after a cut of
 *             ours; SHS_CLOSED after our own shutdown. len > 0. After SHS_WAIT_* the caller comes
 *             again with the same bytes, perhaps at another address, perhaps more. A write that
 *             failed takes nothing from the reader: what has come in can still be read.
 *   flush     everything written is with the kernel: SHS_OK; or SHS_WAIT_*; or as write.
 *   shutdown  the end of our data: flushes, then says so to the peer (close_notify, FIN). SHS_OK at
 *             once when done before; SHS_WAIT_*. Nothing may be written after the first call.
 *   pending   true when read would give something without asking the descriptor.
 *   ready     SHS_OK when a read would not wait: there is data, an end or a failure, which the read
 *             tells. Else SHS_WAIT_*. It may take bytes from the stream below and hold them.
 *             Optional: NULL is ready when it is pending, or the stream below is ready; at the
 *             bottom, always.
 *   idle      a hint: nothing is under way, memory may be given back.
 *   delivered grows by each byte that the peer takes of us, from any number on. What waits in a
 *             buffer of ours or of the kernel does not count: that is how a peer that reads is told
 *             from one that does not. A Unix socket knows it by whole writes, and counts what each
 *             costs. Optional: NULL asks the stream below.
 *   all_taken  nothing waits in the kernel for the peer: it is the peer who waits. Optional: NULL
 *             asks the stream below; at the bottom it is not known, and false.
 *   acknowledge  a hint: what has come is acknowledged now, not with the next data. Optional.
 *   free      frees the instance, not the one below, and never waits. Sends nothing.
 *
 *   Whoever calls read and is told SHS_WAIT_READ must have flushed first, or both sides wait: so
 *   TLS flushes by itself before it answers SHS_WAIT_READ; all but a ticket, which nobody waits
 *   for.
 */
#ifndef SHS_STREAM_H
#define SHS_STREAM_H

#include "base/base.h"

#include <stdatomic.h>
#include <sys/types.h>

struct shs_stream;

struct shs_stream_class {
    const char *name;
    int (*read)(struct shs_stream *self, void *buf, size_t cap, size_t *got);
    int (*write)(struct shs_stream *self, const void *buf, size_t len, size_t *put);
    int (*flush)(struct shs_stream *self);
    int (*shutdown)(struct shs_stream *self);
    bool (*pending)(const struct shs_stream *self);
    void (*idle)(struct shs_stream *self);
    void (*free)(struct shs_stream *self);
    /* Optional (NULL): one sentence on the last failure into *err. The default says errno. */
    void (*describe)(const struct shs_stream *self, struct shs_error *err);
    uint64_t (*delivered)(const struct shs_stream *self);
    bool (*all_taken)(const struct shs_stream *self);
    void (*acknowledge)(struct shs_stream *self);
    int (*ready)(struct shs_stream *self);
};

struct shs_stream {
    const struct shs_stream_class *cls;
    struct shs_stream *lower; /* NULL at the bottom */
    int sys_errno;            /* of the last failure */
};

static inline int shs__stream_read(struct shs_stream *s, void *buf, size_t cap, size_t *got)
{
    return s->cls->read(s, buf, cap, got);
}
static inline int shs__stream_write(struct shs_stream *s, const void *buf, size_t len, size_t *put)
{
    return s->cls->write(s, buf, len, put);
}
static inline int shs__stream_flush(struct shs_stream *s)
{
    return s->cls->flush(s);
}
static inline int shs__stream_shutdown(struct shs_stream *s)
{
    return s->cls->shutdown(s);
}
static inline bool shs__stream_pending(const struct shs_stream *s)
{
    return s->cls->pending(s);
}
static inline void shs__stream_idle(struct shs_stream *s)
{
    s->cls->idle(s);
}
int shs__stream_ready(struct shs_stream *s);
uint64_t shs__stream_delivered(const struct shs_stream *s);
bool shs__stream_all_taken(const struct shs_stream *s);
void shs__stream_acknowledge(struct shs_stream *s);
/* Why the last call failed, as a sentence; fills *err with `code`. */
int shs__stream_describe(const struct shs_stream *s, int code, struct shs_error *err);

/* -- the socket, at the bottom --------------------------------------------------------------------
 *
 * Embedded in its connection. Borrows the descriptor, which must be non-blocking: whoever accepted
 * it closes it. recv and send with MSG_NOSIGNAL, so SIGPIPE is never raised and never touched.
 */
struct shs_socket_stream {
    struct shs_stream base;
    int fd;
    int8_t ended; /* what every further read answers; SHS_OK before the end */
    bool reset;   /* a call has seen ECONNRESET, which the kernel tells only once */
    /* Bits: we have cut it, and what of it. Set by any thread, before shutdown(2) */
    _Atomic uint8_t cut;
    bool shut;    /* our FIN is out */
    bool drained; /* the last read took all there was: epoll tells when there is more */
    bool filled;  /* the last write found no room: epoll tells when there is some */
    bool hung_up; /* the peer's data has ended, as epoll said: a read never waits any more */
    bool is_unix; /* a read ends behind bytes that came with descriptors, and says so */
    bool urgent;  /* the peer has sent such data, as epoll said: a read ends there, and does not */
    uint64_t bytes_in, bytes_out;
    int64_t told_ns; /* epoll said before this moment that there is something to read; 0: unknown */
    /* what the last read took, or its beginning, was there at this moment; or 0 */
    int64_t there_ns;
};
void shs__socket_stream_init(struct shs_socket_stream *self, int fd);
/* As read, but what it gives stays there, to be read. */
int shs__socket_stream_peek(struct shs_socket_stream *self, void *buf, size_t cap, size_t *got);
/*
 * Ends it from our side, SHUT_RD or SHUT_RDWR: whoever waits for it wakes, and is told SHS_STOPPED,
 * not that the peer had ended. From any thread that keeps the descriptor open meanwhile.
 */
void shs__socket_stream_cut(struct shs_socket_stream *self, int how);
/* Cut in both directions. */
bool shs__socket_is_cut(const struct shs_socket_stream *self);
/* Bytes that the kernel holds because the peer has not acknowledged them. */
size_t shs__socket_unsent(const struct shs_socket_stream *self);
/* For so long nothing came from the peer. 0 where the kernel does not tell: on a Unix socket. */
unsigned shs__socket_silent_ms(const struct shs_socket_stream *self);

/* -- bytes that were read already -----------------------------------------------------------------
 *
 * Gives these bytes first, SHS_REPLAY_MAX at most, and then what the stream below gives: for who
 * has had to look at a beginning before he knew whose it is. Returns SHS_OK or SHS_NOMEM.
 */
#define SHS_REPLAY_MAX 12u
int shs__replay_stream_new(struct shs_stream **out, struct shs_stream *lower, const void *bytes,
                           size_t len);

/* -- a pair in memory, for tests ------------------------------------------------------------------
 *
 * What is written to one end is read from the other, through a buffer of `capacity` bytes a
 * direction: a full one answers SHS_WAIT_WRITE. `chunk` is the most that one read or write moves (0
 * = no bound), which shows code that counts on whole transfers.
 */
struct shs_memory_stream;
int shs__memory_stream_pair(struct shs_stream **a, struct shs_stream **b, size_t capacity,
                            size_t chunk);
/* This end goes without a word: the other reads what there is, then SHS_RESET. */
void shs__memory_stream_reset(struct shs_stream *s);
/* The next call of that kind on this end fails with SHS_IO and this errno. 'r' or 'w'. */
void shs__memory_stream_fail(struct shs_stream *s, char kind, int sys_errno);

#endif
