/*
 * truststore.h - CAs as a trust store for Java, which can be told of none in another way.
 *
 * PKCS #12 with the certificates alone, marked as trusted in the way Java wants it (the attribute
 * 2.16.840.1.113894.746875.1.1), not encrypted: nothing in it is a secret.
 */
#ifndef SHS_CERTS_TRUSTSTORE_H
#define SHS_CERTS_TRUSTSTORE_H

#include "base/base.h"

/* Java demands a password, for the integrity of it only. */
#define SHS_TRUSTSTORE_PASSWORD "changeit"

/* Appends it: all certificates of the PEM. SHS_OK; SHS_TLS or SHS_NOMEM with *err. */
int shs__truststore_make(struct shs_buf *out, const char *ca_pem, struct shs_error *err);

#endif
