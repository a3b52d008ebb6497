/*
 * truststore.h - a CA as a trust store for Java.
 *
 * PKCS #12 with the certificate alone, marked as trusted in the way Java wants it (the attribute
 * 2.16.840.1.113894.746875.1.1), not encrypted: nothing in it is a secret.
 */
#ifndef SHS_TESTING_TRUSTSTORE_H
#define SHS_TESTING_TRUSTSTORE_H

#include "base/base.h"

/* Java demands a password, for the integrity of it only. */
#define SHS_TRUSTSTORE_PASSWORD "changeit"

/* Appends it. SHS_OK; SHS_TLS or SHS_NOMEM with *err. */
int shs__truststore_make(struct shs_buf *out, const char *ca_pem, struct shs_error *err);

#endif
