/*
 * ocsp.h - an OCSP response from a file, to be stapled as long as it is fresh.
 */
#ifndef SHS_TLS_OCSP_H
#define SHS_TLS_OCSP_H

#include <openssl/x509.h>

#include "base/base.h"

struct shs_tls_ocsp {
    unsigned char *der; /* NULL: none */
    size_t len;
    int64_t this_update, next_update; /* Unix time */
    struct shs_error *note;           /* why that of the file is not stapled, now; or NULL */
    bool kept;                        /* the file could not even be read */
};

/*
 * Reads a DER response about `leaf`, issued by chain's first. SHS_OK; one that is about another
 * certificate, or says "revoked", is left out, and self->note says so. It also says so of one that
 * is not fresh at `now`, which is there all the same, for clocks are set.
 * SHS_TLS with *err when the file cannot be read or is not a response; SHS_NOMEM.
 */
int shs__tls_ocsp_load(struct shs_tls_ocsp *self, const char *path, X509 *leaf,
                       STACK_OF(X509) * chain, int64_t now, struct shs_error *err);
/* True when it is to be stapled now: there is one, and it is fresh. */
bool shs__tls_ocsp_fits(const struct shs_tls_ocsp *self, int64_t now);
/* Takes the bytes of another (never its note). SHS_OK or SHS_NOMEM, as the next. */
int shs__tls_ocsp_share(struct shs_tls_ocsp *self, const struct shs_tls_ocsp *from);
int shs__tls_ocsp_note(struct shs_tls_ocsp *self, const struct shs_error *why);
/* True when clients get the same bytes. */
bool shs__tls_ocsp_same(const struct shs_tls_ocsp *a, const struct shs_tls_ocsp *b);
void shs__tls_ocsp_free(struct shs_tls_ocsp *self);

/* True when the certificate demands a stapled response (RFC 7633, "must-staple"). */
bool shs__tls_must_staple(X509 *leaf);

/* Unix time of an ASN1_TIME: false when it is none. */
bool shs__tls_time_read(const ASN1_TIME *when, int64_t *out);
/* The same; INT64_MAX when it is none. */
int64_t shs__tls_time(const ASN1_TIME *when);

#endif
