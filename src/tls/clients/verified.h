/*
 * verified.h - chains that were found good: a client that comes again is not verified from scratch.
 *
 * Concept
 *
 *   To verify a chain costs a signature or more for each certificate of it, and the same clients
 *   come again and again. What X509_verify_cert says of a certificate depends on the CAs, the CRLs
 *   and the flags, which are those of one struct shs_tls_clients for as long as it lives, on the
 *   time, and on the certificates that came along with it. So one that had a good chain there is
 *   good until the first end of that chain, or of its CRLs, when it comes with the same. Nothing
 *   bad is kept, and nothing else that is judged: the identity, the deny list and the check of the
 *   configuration are asked each time.
 */
#ifndef SHS_TLS_VERIFIED_H
#define SHS_TLS_VERIFIED_H

#include <openssl/x509.h>

#include "base/base.h"

struct shs_tls_verified;
struct shs_client_keys;
struct shs_tls_until;

/* NULL when there is no memory: then nothing is kept. */
struct shs_tls_verified *shs__tls_verified_new(void);
void shs__tls_verified_free(struct shs_tls_verified *self);

/* What is known by: `leaf` and the others a client has sent, NULL when none. False: by nothing. */
#define SHS_TLS_VERIFIED_KEY 32
bool shs__tls_verified_key(unsigned char key[SHS_TLS_VERIFIED_KEY], X509 *leaf,
                           STACK_OF(X509) * others);

/* Is that known to be good at `now`? Then *until says for how long, and *keys by whose word. Any
   thread. */
bool shs__tls_verified_find(struct shs_tls_verified *self,
                            const unsigned char key[SHS_TLS_VERIFIED_KEY], int64_t now,
                            struct shs_tls_until *until, struct shs_client_keys *keys);

/* It is good by this chain, of these keys, while CRLs hold until `crls_until`. Any thread. */
void shs__tls_verified_keep(struct shs_tls_verified *self,
                            const unsigned char key[SHS_TLS_VERIFIED_KEY], STACK_OF(X509) * chain,
                            const struct shs_client_keys *keys, int64_t crls_until);

/* The first notAfter of a chain; INT64_MAX when there is none. */
int64_t shs__tls_chain_until(STACK_OF(X509) * chain);

#endif
