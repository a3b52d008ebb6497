/*
 * texts.h - PEM as NUL-terminated text of our own memory.
 */
#ifndef SHS_CERTS_TEXTS_H
#define SHS_CERTS_TEXTS_H

#include <openssl/x509.h>

#include "base/base.h"

/* A certificate, and others behind it (may be NULL); for shs__free. */
int shs__text_certs(char **out, X509 *cert, STACK_OF(X509) * behind, struct shs_error *err);
/* PKCS #8; for shs__text_wipe. */
int shs__text_key(char **out, EVP_PKEY *key, struct shs_error *err);
void shs__text_wipe(char *text); /* wipes and frees; NULL is fine */

/* The key (not encrypted) and all certificates in PEM text. SHS_TLS when either is missing. `key`
   may be NULL: then none is looked for. */
int shs__text_parse(const void *pem, size_t len, EVP_PKEY **key, STACK_OF(X509) * *certs,
                    struct shs_error *err);

#endif
