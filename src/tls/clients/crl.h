/*
 * crl.h - one CRL as it was loaded: for crls.c, which reads and checks it, crls_judge.c, which asks
 * it about a certificate, and crls_advice.c, which says what its owner should know of it.
 */
#ifndef SHS_TLS_CRL_H
#define SHS_TLS_CRL_H

#include <stdatomic.h>

#include <openssl/x509v3.h>

#include "tls/clients/cas.h"
#include "tls/clients/crls.h"
#include "tls/config/source.h"

#define SHS__TLS_CRL_BROUGHT (-1) /* of no CA of ours: of one that a client brings along */

struct shs_tls_crl {
    X509_CRL *crl;
    int ca;                        /* of cas: whose it is; or SHS__TLS_CRL_BROUGHT */
    _Atomic(EVP_PKEY *) signer;    /* of a brought CA: the key that is known to have signed it */
    struct shs_tls_path_name name; /* of its file */
    int64_t since, next;       /* thisUpdate and nextUpdate, Unix time; no nextUpdate: INT64_MAX */
    ASN1_INTEGER *number;      /* NULL when it has none */
    ASN1_INTEGER *base;        /* a delta: of this number or a later one; else NULL */
    ISSUING_DIST_POINT *point; /* what it covers; NULL: everything */
    const ASN1_OCTET_STRING *scope; /* the same in DER, of `crl` */
};

static inline int shs__tls_crls_ca_count(const struct shs_tls_crls *self)
{
    return sk_X509_num(self->cas->certs);
}

static inline X509 *shs__tls_crls_ca_at(const struct shs_tls_crls *self, int index)
{
    return sk_X509_value(self->cas->certs, index);
}

static inline bool shs__tls_crl_is_fresh(const struct shs_tls_crl *item, int64_t now)
{
    return item->since <= now && item->next > now;
}

/* A CA of ours has the name of its issuer, whatever its key is. */
bool shs__tls_crls_has_name_of_ours(const struct shs_tls_crls *self, X509_CRL *crl);

#endif
