/*
 * context.h - what all TLS connections of one configuration share.
 *
 * Concept
 *
 *   A struct shs_tls_context is a configuration with its files read: certificates, an SSL_CTX for
 *   each set of names that has its own, client CAs, and a hash from name to SSL_CTX. It is complete
 *   before the first connection uses it and read only from then on, with a reference count. Every
 *   TLS stream holds a reference, so a context can be replaced under load: make the new one, swap
 *   the pointer under a lock, free the old one; it goes with its last connection.
 */
#ifndef SHS_TLS_CONTEXT_H
#define SHS_TLS_CONTEXT_H

#include <stdatomic.h>

#include <openssl/ssl.h>

#include <shs/options.h>
#include <shs/tls.h>

#include "base/base.h"

struct shs_tls_tickets;
struct shs_tls_deny;
struct shs_tls_clients;
struct shs_tls_pair;
struct shs_tls_site;
struct shs_tls_names;
struct shs_tls_config_copy;

struct shs_tls_context {
    SSL_CTX *ssl_ctx; /* the default site's: connections begin with it */
    BIO_METHOD *bio_method;
    _Atomic unsigned refs;
    bool fingerprint;
    bool beside; /* is being made while others are served */
    /* Of a server; NULL in a context around any SSL_CTX. */
    struct shs_tls_config_copy *config;
    struct shs_tls_tickets *tickets;
    struct shs_tls_deny *deny; /* NULL: nobody is */
    unsigned rules;            /* for clients: that edition of them, set before it is served with */
    struct shs_arena *memory;
    struct shs_tls_clients *clients; /* one per host */
    struct shs_tls_pair *pairs;
    size_t pair_count;
    struct shs_tls_site *sites;
    size_t site_count, default_site;
    struct shs_tls_names *names; /* a name's number, */
    unsigned *site_of_name;      /* and its site */
    int keylog_fd;
    _Atomic int keylog_errno; /* of a line that could not be written; -1: its owner knows */
};

/*
 * The context of a server's options, with ticket keys of its own.
 * Returns SHS_OK with one reference; SHS_USAGE, SHS_TLS or SHS_NOMEM with *err, a sentence
 * that names the file. Safe from any thread.
 */
int shs__tls_context_new(struct shs_tls_context **out, const struct shs_options *opt,
                         struct shs_error *err);

/*
 * The context of a configuration (copied).
 *
 *   tickets  referenced
 *   deny     referenced; NULL is fine
 *   now      Unix time
 *   strict   a certificate of ours that has expired is an error, not advice
 */
int shs__tls_context_build(struct shs_tls_context **out, const struct shs_tls_config *config,
                           struct shs_tls_tickets *tickets, struct shs_tls_deny *deny, int64_t now,
                           bool strict, struct shs_error *err);

/*
 * A handshake in memory with each certificate: SHS_OK, or SHS_TLS with *err when one of them could
 * not serve a client.
 */
int shs__tls_context_try(struct shs_tls_context *self, struct shs_error *err);

/* A context around any SSL_CTX, of a client too; taken on success. SHS_OK or SHS_NOMEM. */
int shs__tls_context_wrap(struct shs_tls_context **out, SSL_CTX *ssl_ctx);

/*
 * After each piece of work on a context that is made beside others: lets whoever waits for this
 * processor have it. A thread that computes for as long as a thousand certificates take is not
 * taken off it in time by every scheduler: handshakes were seen to wait until it was over.
 */
void shs__tls_context_give_way(const struct shs_tls_context *self);

/* One more reference, and one less. Safe from any thread that holds one. */
struct shs_tls_context *shs__tls_context_ref(struct shs_tls_context *self);
void shs__tls_context_free(struct shs_tls_context *self);

/*
 * Something about the certificates that works but that their owner should know: true, with a
 * sentence in *note. `index` counts from 0 until the answer is false. `now` is Unix time.
 */
bool shs__tls_context_advice(const struct shs_tls_context *self, unsigned index, int64_t now,
                             struct shs_error *note);

/* True when clients are judged by the same CAs and CRLs in both. */
bool shs__tls_context_same_rules(const struct shs_tls_context *a, const struct shs_tls_context *b);

/* When the first of its certificates expires, Unix time. */
int64_t shs__tls_context_expiry(const struct shs_tls_context *self);

/* shs_tls_each_certificate. */
void shs__tls_context_each(const struct shs_tls_context *self,
                           void (*each)(void *ctx, const struct shs_tls_cert_info *cert),
                           void *ctx);

#endif
