/*
 * clients.h - what a host asks of its clients: the CAs, the CRLs, and the judgement.
 *
 * Everything is loaded and checked once; OpenSSL builds the chain at each full handshake. CRLs are
 * looked at for every certificate of the chain, and a missing or stale one refuses.
 */
#ifndef SHS_TLS_CLIENTS_H
#define SHS_TLS_CLIENTS_H

#include <openssl/ssl.h>

#include <shs/tls.h>

#include "base/base.h"

struct shs_client_record;
struct shs_tls_context;
struct shs_tls_verified;

struct shs_tls_clients {
    enum shs_tls_client_auth auth;
    X509_STORE *store; /* NULL when nobody is asked */
    STACK_OF(X509) * cas;
    STACK_OF(X509_NAME) * names;
    unsigned char digest[32]; /* of the CAs and the CRLs: the rules, for a ticket's scope */
    unsigned crls, stale;     /* stale: past its nextUpdate */
    unsigned without_crl;     /* CAs of the bundle, while crls > 0 */
    int64_t crl_expiry;       /* the first nextUpdate; INT64_MAX */
    struct shs_tls_verified *verified; /* the one thing in here that changes */
};

/* Why a client was refused, for whom it concerns. */
struct shs_tls_refusal {
    enum shs_client_reason reason;
    int code, depth; /* X509_V_ERR_*, and which certificate of the chain: 0 = the client's */
    int64_t not_after;
    const char *note; /* of the check of the configuration; or NULL */
    char subject[256], issuer[256];
};

int shs__tls_clients_load(struct shs_tls_clients *self, const struct shs_tls_host *host,
                          int64_t now, struct shs_error *err);
void shs__tls_clients_free(struct shs_tls_clients *self);

/* What OpenSSL's verify error means. */
enum shs_client_reason shs__tls_client_reason(int verify_code);

/* NULL when nothing speaks against an identity that verified, else why not. */
const char *shs__tls_clients_veto(const struct shs_tls_context *context,
                                  const struct shs_client_identity *identity);

/* A sentence into *err; `refusal` may be NULL. */
void shs__tls_refusal_text(struct shs_error *err, enum shs_client_reason reason,
                           const struct shs_tls_refusal *refusal);

/*
 * Judges the chain in *ctx: fills *refusal and returns false, or returns true. Sets the error of
 * *ctx, from which OpenSSL makes the alert. Who it is, is left in *record (NULL: nobody asks), for
 * the caller to free: NULL when the chain is not even good. refusal->not_after is in any case set:
 * for one that is let in, to the first end of its chain.
 */
bool shs__tls_clients_judge(X509_STORE_CTX *ctx, const struct shs_tls_clients *clients,
                            const struct shs_tls_context *context, struct shs_tls_refusal *refusal,
                            struct shs_client_record **record);

#endif
