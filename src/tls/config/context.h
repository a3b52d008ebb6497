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
struct shs_tls_period;
struct shs_tls_report;
struct shs_tls_config_copy;
struct shs_tls_suites;

/*
 * Secrets of sessions are also written here until `until_ns` of shs__elapsed_ns has come, which may
 * be moved: one for a server and all the contexts that it has in its life. NULL in a context:
 * nobody may ask for it.
 */
struct shs_tls_live_keylog {
    _Atomic unsigned refs;
    int fd;
    _Atomic int64_t until_ns;
};
/* One reference; the descriptor is duplicated. SHS_OK, SHS_IO, SHS_NOMEM. */
int shs__tls_live_keylog_new(struct shs_tls_live_keylog **out, int fd);
void shs__tls_live_keylog_free(struct shs_tls_live_keylog *self); /* NULL is fine */

struct shs_tls_context {
    struct shs_tls_live_keylog *live;
    SSL_CTX *ssl_ctx; /* the default site's: connections begin with it */
    BIO_METHOD *bio_method;
    _Atomic unsigned refs;
    bool fingerprint;
    uint8_t stays; /* enum shs_tls_stays, of a new connection: NOT_YET, or why it never leaves */
    struct shs_tls_suites *suites;    /* for those that do; NULL */
    _Atomic uint64_t *records_counts; /* by enum shs_tls_stays; the mixin's; NULL: nobody counts */
    bool beside;                      /* is being made while others are served */
    int64_t valid_at;                 /* when the first is that was kept out for it; INT64_MAX */
    /* Of a server; NULL in a context around any SSL_CTX. */
    struct shs_tls_config_copy *config;
    struct shs_tls_tickets *tickets;
    struct shs_tls_deny *deny; /* NULL: nobody is */
    unsigned rules;            /* for clients: that edition of them, set before it is served with */
    struct shs_arena *memory;
    struct shs_tls_clients **clients; /* one per host; those of the context before may be kept */
    struct shs_tls_pair *pairs;
    size_t pair_count;
    struct shs_tls_site *sites;
    size_t site_count;
    struct shs_tls_names *names;         /* a name's number, */
    unsigned *period_of_name;            /* the first of its periods, */
    struct shs_tls_period *periods;      /* and which site it has in each */
    unsigned default_period;             /* for clients without a name */
    const struct shs_tls_site *on_trial; /* while it is tried: that one, whatever the time */
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
 *   strict   a certificate of ours that is out of its dates is an error, not advice
 */
int shs__tls_context_build(struct shs_tls_context **out, const struct shs_tls_config *config,
                           struct shs_tls_tickets *tickets, struct shs_tls_deny *deny, int64_t now,
                           bool strict, struct shs_error *err);

/*
 * The same configuration, with its files read again, beside one that is served with.
 *
 * The transaction is a certificate with its key, or the CAs and CRLs of a host: what cannot be used
 * is kept from `before`, and *report says so. A certificate that is out of its dates replaces none
 * that is in them. Every certificate that is new was tried. SHS_OK; < 0 with *err when there can be
 * no context at all (no memory).
 */
int shs__tls_context_rebuild(struct shs_tls_context **out, const struct shs_tls_context *before,
                             int64_t now, struct shs_tls_report *report, struct shs_error *err);

/*
 * A handshake in memory with each certificate: SHS_OK, or SHS_TLS with *err when one of them could
 * not serve a client. The other form says its number, too.
 */
int shs__tls_context_try(struct shs_tls_context *self, struct shs_error *err);
int shs__tls_context_try_each(struct shs_tls_context *self, size_t *culprit, struct shs_error *err);

/* A context around any SSL_CTX, of a client too; taken on success. SHS_OK or SHS_NOMEM. */
int shs__tls_context_wrap(struct shs_tls_context **out, SSL_CTX *ssl_ctx);

/*
 * After each piece of work on a context that is made beside others: lets whoever waits for this
 * processor have it. A thread that computes for as long as a thousand certificates take is not
 * taken off it in time by every scheduler: handshakes were seen to wait until it was over.
 */
void shs__tls_context_give_way(const struct shs_tls_context *self);

/* From now on secrets go there, too; a reference is taken. Before anybody serves with it. */
void shs__tls_context_set_live(struct shs_tls_context *self, struct shs_tls_live_keylog *live);

/* One more reference, and one less. Safe from any thread that holds one. */
struct shs_tls_context *shs__tls_context_ref(struct shs_tls_context *self);
void shs__tls_context_free(struct shs_tls_context *self);

/*
 * Something about the certificates that works but that their owner should know: true, with a
 * sentence in *note. `index` counts from 0 until the answer is false. `now` is Unix time.
 */
bool shs__tls_context_advice(const struct shs_tls_context *self, unsigned index, int64_t now,
                             struct shs_error *note);

/* What time it is for those who are served with it, Unix time. */
int64_t shs__tls_now(const struct shs_tls_context *self);

/* True when clients are judged by the same CAs and CRLs in both. */
bool shs__tls_context_same_rules(const struct shs_tls_context *a, const struct shs_tls_context *b);

/*
 * The same for what has become due after `since`, until `now`: a certificate ends in 30, in 7 days,
 * tomorrow, or has ended; an OCSP response is no longer fresh.
 */
bool shs__tls_context_due(const struct shs_tls_context *self, unsigned index, int64_t since,
                          int64_t now, struct shs_error *note);
/* When the next of these is due, Unix time; INT64_MAX. */
int64_t shs__tls_context_next_due(const struct shs_tls_context *self, int64_t now);

/* When the first of its certificates expires, Unix time. */
int64_t shs__tls_context_expiry(const struct shs_tls_context *self);

/* shs_tls_each_certificate. */
void shs__tls_context_each(const struct shs_tls_context *self,
                           void (*each)(void *ctx, const struct shs_tls_cert_info *cert),
                           void *ctx);

#endif
