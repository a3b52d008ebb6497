/*
 * keys.h - private keys by word: "p256", "rsa2048".
 */
#ifndef SHS_CERTS_KEYS_H
#define SHS_CERTS_KEYS_H

#include <stdatomic.h>

#include <openssl/evp.h>

#include "base/base.h"

/* A new key, for EVP_PKEY_free. `lib` may be NULL. SHS_OK; SHS_USAGE for a word that is none;
   SHS_TLS. */
int shs__key_word(EVP_PKEY **out, OSSL_LIB_CTX *lib, const char *word, struct shs_error *err);

/* The same, but a long RSA key gets more than two primes (RFC 8017 3.2): made in a fraction of the
   time and the same to everybody who has its public half. Such a key may take a minute on a busy
   machine: when another thread sets *stop, it is given up at once, SHS_STOPPED. */
int shs__key_quick(EVP_PKEY **out, OSSL_LIB_CTX *lib, const char *word, atomic_bool *stop,
                   struct shs_error *err);

/* Another key of the same kind and, on a curve, of the same size. */
int shs__key_like(EVP_PKEY **out, OSSL_LIB_CTX *lib, EVP_PKEY *key, struct shs_error *err);

/* A "pair" on an EC curve whose private half is another key's: what it signs, the public half
   does not verify. `key` must be an EC key. */
int shs__key_foreign(EVP_PKEY **out, OSSL_LIB_CTX *lib, EVP_PKEY *key, struct shs_error *err);

#endif
