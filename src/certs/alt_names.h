/*
 * alt_names.h - subjectAltName and nameConstraints from text, as data: never through OpenSSL's
 * configuration syntax.
 */
#ifndef SHS_CERTS_ALT_NAMES_H
#define SHS_CERTS_ALT_NAMES_H

#include <openssl/x509.h>

#include "base/base.h"

/* subjectAltName, if there are any names. SHS_USAGE for one that is none. */
int shs__add_names(X509 *cert, const char *const *names, bool critical, struct shs_error *err);

/* Critical nameConstraints, if either list is not NULL. False: out of memory. */
bool shs__add_constraints(X509 *cert, const char *const *permitted, const char *const *excluded);

#endif
