/*
 * keys.h - public keys by their digests: those of the CAs in a file, and of a verified chain.
 */
#ifndef SHS_TLS_CLIENT_KEYS_H
#define SHS_TLS_CLIENT_KEYS_H

#include <openssl/x509.h>

#include <shs/tls.h>

#include "base/base.h"

#define SHS_CLIENT_KEY_LEN 32

/* The keys of the CAs of a chain, the issuer's first. */
struct shs_client_keys {
    size_t count;
    unsigned char at[SHS_CLIENT_CAS_MAX][SHS_CLIENT_KEY_LEN];
};

/* SHA-256 over the SubjectPublicKeyInfo. False: no memory. */
bool shs__client_key_digest(X509 *cert, unsigned char out[SHS_CLIENT_KEY_LEN]);

/* As an identity has them. */
void shs__client_keys_in(const struct shs_client_identity *identity, struct shs_client_keys *out);

/* Of a chain with at most SHS_CLIENT_CAS_MAX CAs above its leaf. False: no memory. */
bool shs__client_keys_of(struct shs_client_keys *out, STACK_OF(X509) * chain);

/* 64 hexadecimal digits of SHA-256 over a SubjectPublicKeyInfo. Not SHS_OK ends it. */
typedef int shs_tls_key_fn(void *ctx, const char spki_sha256[65]);

/*
 * Every certificate of a file, PEM or one in DER. SHS_OK; SHS_TLS with *err, for a file without
 * any too; SHS_NOMEM; or what `each` returns.
 */
int shs__tls_file_keys(const char *file, shs_tls_key_fn *each, void *ctx, struct shs_error *err);

#endif
