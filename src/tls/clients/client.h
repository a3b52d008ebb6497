/*
 * client.h - who a client is: struct shs_client_identity from a certificate.
 */
#ifndef SHS_TLS_CLIENT_H
#define SHS_TLS_CLIENT_H

#include <openssl/x509.h>

#include <shs/tls.h>

#include "base/base.h"
#include "tls/clients/keys.h"

/* More names than this, or a longer one, and the certificate is not an identity. */
#define SHS_CLIENT_SANS_MAX 256
#define SHS_CLIENT_NAME_MAX 1024

struct shs_client_record {
    struct shs_client_identity identity;
    const char *why; /* of the reason, a clause for people, static; NULL: it is an identity */
    struct shs_arena memory;
};

/*
 * Reads the certificate. identity.reason is SHS_CLIENT_OK, SHS_CLIENT_AMBIGUOUS, _TOO_LARGE or
 * _MALFORMED; `verified` stays false: that is for who checked the chain. SHS_OK or SHS_NOMEM.
 */
int shs__client_record_new(struct shs_client_record **out, X509 *cert);
/* By whom it was verified. Those of before stay where they are, for who still looks. False: no
   memory. */
bool shs__client_record_set_cas(struct shs_client_record *self, const struct shs_client_keys *keys);
/* NULL is fine. */
void shs__client_record_free(struct shs_client_record *self);

/* A name for people, RFC 2253, cut at `cap` - 1. False, and an empty text: there was no memory. */
bool shs__client_name_text(const X509_NAME *name, char *buf, size_t cap);

#endif
