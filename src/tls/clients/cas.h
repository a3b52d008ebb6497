/*
 * cas.h - the CAs whose clients are let in: read from a file, and looked through before anybody
 * comes: what the rules would say of each client of a CA is said of the CA, at start.
 */
#ifndef SHS_TLS_CAS_H
#define SHS_TLS_CAS_H

#include <openssl/x509.h>

#include <shs/tls.h>

#include "base/base.h"
#include "tls/config/source.h"

/* As many bytes of names fit into a CertificateRequest, and as many Java 17 reads. */
#define SHS_TLS_CA_NAMES_MAX ((size_t)65400)
#define SHS_TLS_CA_NAMES_ADVISED ((size_t)32768)

struct shs_tls_ca_fault;

struct shs_tls_cas {
    STACK_OF(X509) * certs;
    STACK_OF(X509_NAME) * names; /* each once */
    size_t names_len;            /* as they are sent */
    int *parents;                /* of each: the one that signed it; -1: none of them, or itself */
    struct shs_tls_path_name name; /* of the file */
    bool lax, sends_names;
    struct shs_tls_ca_fault *faults; /* of CAs whose clients are refused */
    size_t fault_count;
};

/*
 * Reads the host's client CA file, and puts what is in it into `store`, which has the flags that
 * clients are judged with. `note` gets the digest of each. SHS_OK; SHS_TLS or SHS_NOMEM with *err.
 * To be freed in any case.
 */
int shs__tls_cas_load(struct shs_tls_cas *self, const struct shs_tls_host *host, X509_STORE *store,
                      void (*note)(void *ctx, const unsigned char digest[32]), void *ctx,
                      struct shs_error *err);
void shs__tls_cas_free(struct shs_tls_cas *self);

/* The CA of that name and key, for it may have several certificates; -1: none of ours. */
int shs__tls_cas_find(const struct shs_tls_cas *self, X509 *cert);

/* What their owner should know: true, with a sentence; `index` counts from 0. */
bool shs__tls_cas_advice(const struct shs_tls_cas *self, unsigned index, struct shs_error *note);

/* For a rule of RFC 5280 that X509_V_FLAG_X509_STRICT asks for: how to keep it, for people. */
const char *shs__tls_strict_remedy(int verify_code);

#endif
