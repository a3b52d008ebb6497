/*
 * identity.h - a certificate, its chain and its private key, from PEM or PKCS #12, and checked.
 *
 * Each thing that can be wrong has its own sentence, which names the file and says what to do.
 */
#ifndef SHS_TLS_IDENTITY_H
#define SHS_TLS_IDENTITY_H

#include <openssl/evp.h>
#include <openssl/x509.h>

#include <shs/tls.h>

#include "base/base.h"

struct shs_tls_identity {
    X509 *leaf;
    STACK_OF(X509) * chain; /* without the leaf; may be empty */
    EVP_PKEY *key;
};

/*
 * Reads what *cert names into *self. Returns SHS_OK; SHS_USAGE (nothing or too much is named),
 * SHS_TLS (a file, with errno if it cannot be read) or SHS_NOMEM, with *err and an empty *self.
 */
int shs__tls_identity_load(struct shs_tls_identity *self, const struct shs_tls_cert *cert,
                           struct shs_error *err);

/*
 * Puts the chain in order, from the leaf's issuer up; takes what is missing from `pool` (may be
 * NULL), but no root; leaves out what is not part of the chain. *unused counts the
 * latter. SHS_OK or SHS_NOMEM.
 */
int shs__tls_identity_complete(struct shs_tls_identity *self, STACK_OF(X509) * pool,
                               unsigned *unused);
/* The same in two places. SHS_OK or SHS_NOMEM, with an empty *self. */
int shs__tls_identity_share(struct shs_tls_identity *self, const struct shs_tls_identity *from);
void shs__tls_identity_free(struct shs_tls_identity *self);

/* Fills *err with OpenSSL's last reason at its end: "<sentence>: <reason>". Returns the code. */
int shs__tls_error(struct shs_error *err, int code, const char *fmt, ...) SHS_PRINTF(3, 4);

/* Could all of it be taken apart: its key, its extensions? */
bool shs__tls_is_whole(X509 *cert);

/* Is there next to no memory at this moment? Then that is what is wrong. */
bool shs__tls_is_short_of_memory(void);

/* Was it memory? By OpenSSL's queue of errors, which is empty afterwards. */
bool shs__tls_was_nomem(void);

#endif
