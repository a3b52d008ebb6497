/*
 * crls.h - the certificate revocation lists of a host, and what they say of a chain.
 *
 * Concept
 *
 *   Each CRL belongs to one CA: one of the host, by whose key it is signed, or one below those,
 *   that clients bring along in their chains. Whether it is that one's is found out when it comes
 *   (RFC 5280, 6.3.3 (f) and (g)), and kept. Of a chain, each certificate is looked up in the CRLs
 *   of its own issuer, and in no others: what another CA has published, or has failed to publish,
 *   is nothing to this client.
 *
 *   Of several CRLs of a CA that cover a certificate, the newest fresh one decides. Another one
 *   counts beside it as long as it is not clearly older (by thisUpdate and by CRL number): who
 *   is on it is revoked. Without a fresh one nobody is let in.
 *
 *   A delta CRL (RFC 5280, 5.2.4) adds to that: who is on it is revoked. It takes nobody off, but
 *   for one whom a CRL it continues has on hold, and of whom it says removeFromCRL. It is not a
 *   CRL that a chain can do with alone.
 *
 *   What cannot be understood is refused when it is loaded: indirect CRLs, those for some reasons
 *   only or for attribute certificates, and unknown critical extensions.
 */
#ifndef SHS_TLS_CRLS_H
#define SHS_TLS_CRLS_H

#include <openssl/x509.h>

#include "base/base.h"

struct shs_tls_cas;
struct shs_tls_crl;

struct shs_tls_crls {
    const struct shs_tls_cas *cas; /* the host's, borrowed */
    struct shs_tls_crl *all;
    size_t count, room;
};

/*
 * Reads `path`, a file or a directory. `note` gets the digest of each. SHS_OK; SHS_TLS or SHS_NOMEM
 * with *err. To be freed in any case.
 */
int shs__tls_crls_load(struct shs_tls_crls *self, const struct shs_tls_cas *cas, const char *path,
                       void (*note)(void *ctx, const unsigned char digest[32]), void *ctx,
                       struct shs_error *err);
void shs__tls_crls_free(struct shs_tls_crls *self);

/*
 * Judges a chain that is good, from the client's certificate up. X509_V_OK, and *until is when a
 * CRL that has decided lapses, Unix time; else the X509_V_ERR_ of the certificate number *depth.
 * X509_V_ERR_OUT_OF_MEM: it could not be decided. Any thread.
 */
int shs__tls_crls_judge(const struct shs_tls_crls *self, STACK_OF(X509) * chain, int64_t now,
                        int *depth, int64_t *until);

/*
 * When number `i` begins and lapses (Unix time; INT64_MAX: another of its kind is good for longer,
 * or it does not), which of the CAs it is of, and its file. False: there are no more.
 */
bool shs__tls_crls_end(const struct shs_tls_crls *self, size_t i, int64_t *since, int64_t *when,
                       int *ca, const char **file);

/* What their owner should know: true, with a sentence; `index` counts from 0. */
bool shs__tls_crls_advice(const struct shs_tls_crls *self, unsigned index, int64_t now,
                          struct shs_error *note);

#endif
