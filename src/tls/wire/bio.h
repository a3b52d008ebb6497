/*
 * bio.h - OpenSSL's end of a struct shs_stream: our own BIO.
 *
 * Concept
 *
 *   OpenSSL reads and writes through a BIO. Reads go straight to the lower stream. Writes are
 *   gathered in a buffer until shs__tls_bio_flush, so that a whole handshake flight, or a ticket
 *   with head and body of an answer, or seven records of a long one leave in one send. OpenSSL's
 *   own flushes, one per flight, do nothing here: the stream above flushes before anybody waits.
 *
 *   The state is embedded in the stream that owns it; OpenSSL's BIO only borrows it.
 */
#ifndef SHS_TLS_BIO_H
#define SHS_TLS_BIO_H

#include <openssl/bio.h>

#include "stream/stream.h"

/* The most that is gathered: two full records, and room for what OpenSSL says by itself. More are
   slower: what was sealed first is no longer in the cache when it is sent. */
#define SHS_TLS_OUT_CEILING ((size_t)2 * (16384 + 512) + 1024)

struct shs_tls_bio {
    struct shs_stream *lower;
    struct shs_buf out; /* gathered, not yet with the lower stream */
    uint64_t bytes_in;  /* that the lower stream gave */
    int8_t wait;        /* what the last read that could not go on waits for */
    int8_t status;      /* SHS_OK, or how the lower stream ended or failed */
    bool sniff;         /* look at the first byte before OpenSSL does */
    bool plain;         /* it was a letter: no TLS. The bytes are in `out`, OpenSSL saw none */
    bool handshaking;   /* what is gathered is what the peer waits for: it is sent before we read */
    bool stop;          /* read no more: the stream above has given the peer up */
};

/* The method table, for every BIO of a context; NULL when out of memory. BIO_meth_free frees it. */
BIO_METHOD *shs__tls_bio_method_new(void);

/* A BIO over *self, which must outlive it, for SSL_set_bio to take; NULL when out of memory. */
BIO *shs__tls_bio_new(const BIO_METHOD *method, struct shs_tls_bio *self);

/* Hands what is gathered to the lower stream, and flushes that: SHS_OK, SHS_WAIT_*, or an error. */
int shs__tls_bio_flush(struct shs_tls_bio *self);

/* How much can be gathered before a flush is needed. */
static inline size_t shs__tls_bio_room(const struct shs_tls_bio *self)
{
    return self->out.ceiling - self->out.len;
}

#endif
