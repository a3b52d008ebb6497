/*
 * clients.h - what a host asks of its clients: the CAs, the CRLs, and the judgement.
 *
 * Everything is loaded and checked once; OpenSSL builds the chain at each full handshake, and then
 * the CRLs of that chain are looked at: a missing or stale one refuses.
 */
#ifndef SHS_TLS_CLIENTS_H
#define SHS_TLS_CLIENTS_H

#include <openssl/ssl.h>

#include <shs/tls.h>

#include "base/base.h"
#include "tls/clients/cas.h"
#include "tls/clients/crls.h"

struct shs_client_record;
struct shs_tls_context;
struct shs_tls_verified;

struct shs_tls_clients {
    enum shs_tls_client_auth auth;
    X509_STORE *store; /* NULL when nobody is asked */
    struct shs_tls_cas cas;
    unsigned char digest[32]; /* of the CAs and the CRLs: the rules, for a ticket's scope */
    struct shs_tls_crls crls; /* none: nobody asks */
    int64_t clock_offset_s;
    struct shs_tls_verified *verified; /* the one thing in here that changes */
};

/* For how long a client that was let in counts, Unix time. */
struct shs_tls_until {
    int64_t chain; /* the first end of its chain */
    int64_t crls;  /* then a CRL that has decided lapses; INT64_MAX when none has */
};

/* Why a client was refused, for whom it concerns. */
struct shs_tls_refusal {
    enum shs_client_reason reason;
    int code, depth; /* X509_V_ERR_*, and which certificate of the chain: 0 = the client's */
    int64_t not_after;
    const char *note; /* what is wrong with who it is, or why it is denied; NULL: see `code` */
    char subject[256], issuer[256];
    char leaf[256], leaf_sha256[65]; /* the client's own certificate; "" without memory */
};

int shs__tls_clients_load(struct shs_tls_clients *self, const struct shs_tls_host *host,
                          struct shs_error *err);
void shs__tls_clients_free(struct shs_tls_clients *self);

/* What OpenSSL's verify error means. */
enum shs_client_reason shs__tls_client_reason(int verify_code);

/* Does anything speak against an identity that verified? SHS_CLIENT_DENIED with a *note, or
   SHS_CLIENT_UNDECIDED. Without a context nothing does. */
enum shs_client_reason shs__tls_clients_veto(const struct shs_tls_context *context,
                                             const struct shs_client_identity *identity,
                                             const char **note);

/* A sentence into *err; `refusal` may be NULL. */
void shs__tls_refusal_text(struct shs_error *err, enum shs_client_reason reason,
                           const struct shs_tls_refusal *refusal);

/*
 * Judges the chain in *ctx: fills *refusal and returns false, or *until and returns true. Sets the
 * error of *ctx, from which OpenSSL makes the alert. Who it is, is left in *record (NULL: nobody
 * asks), for the caller to free: NULL when the chain is not even good.
 */
bool shs__tls_clients_judge(X509_STORE_CTX *ctx, const struct shs_tls_clients *clients,
                            const struct shs_tls_context *context, struct shs_tls_until *until,
                            struct shs_tls_refusal *refusal, struct shs_client_record **record);

/* Prepares *ctx as libssl does in a handshake. False: no memory. */
bool shs__tls_clients_prepare(X509_STORE_CTX *ctx, const struct shs_tls_clients *clients,
                              X509 *leaf, STACK_OF(X509) * others, int auth_level);

/* What the owner of the CAs and CRLs should know: true, with a sentence; `index` counts from 0. */
bool shs__tls_clients_advice(const struct shs_tls_clients *self, unsigned index, int64_t now,
                             struct shs_error *note);

#endif
