/*
 * authority.h - struct shs_ca and struct shs_issued_cert from inside, for the lab: with OpenSSL's
 * objects, and in a library context of its own.
 */
#ifndef SHS_CERTS_AUTHORITY_H
#define SHS_CERTS_AUTHORITY_H

#include <openssl/x509.h>

#include <shs/certs.h>

#include "base/base.h"
#include "certs/minter.h"
#include "certs/throwaway.h"

struct shs_ca {
    OSSL_LIB_CTX *lib; /* borrowed; NULL = OpenSSL's default */
    int64_t now;       /* 0 = the clock */
    EVP_PKEY *key;
    X509 *cert;
    STACK_OF(X509) * chain; /* above it, the root last; empty for a root */
    STACK_OF(X509_REVOKED) * revoked;
    char *digest; /* NULL = the default */
    long crl_number;
    char *pem, *root_pem, *key_pem;
    struct shs__throwaway tempfile;
    unsigned char *der;
    int der_len;
};

struct shs_issued_cert {
    OSSL_LIB_CTX *lib;
    EVP_PKEY *key;
    X509 *cert;
    STACK_OF(X509) * chain; /* what is sent behind it */
    char *pem, *leaf_pem, *key_pem, *serial;
    unsigned char *der;
    int der_len;
};

/* As shs_ca_new, in a library context, which must outlive the authority and what it issues. */
int shs__ca_new_in(struct shs_ca **out, OSSL_LIB_CTX *lib, const struct shs_ca_options *opt,
                   struct shs_error *err);
/* As shs_ca_issue; with `key`, that one instead of a new one (it is counted up). */
int shs__ca_issue_for(struct shs_issued_cert **out, const struct shs_ca *ca, EVP_PKEY *key,
                      const struct shs_cert_options *opt, struct shs_error *err);

/* It signs nothing any more. */
void shs__ca_forget_key(struct shs_ca *ca);

/* What "now" is for an authority. */
int64_t shs__ca_now(const struct shs_ca *ca);

/* As shs_ca_tempfile, with that text. */
const char *shs__ca_tempfile_of(struct shs_ca *self, const char *dir, const char *pem,
                                struct shs_error *err);

/* The shapes that a chain may be sent in, by word; *out is for sk_X509_pop_free. */
int shs__chain_word(STACK_OF(X509) * *out, const struct shs_ca *ca, const char *word,
                    struct shs_error *err);

/* Counts up and appends; false: out of memory. */
bool shs__chain_push(STACK_OF(X509) * chain, X509 *cert);

/*
 * The options with a fault in them: a copy into *out, whose lists are in *room. *how tells what
 * options cannot say. SHS_USAGE for a fault that is none.
 */
struct shs__fault_how {
    bool self_signed;          /* by its own key */
    bool untrusted;            /* by an authority that nobody trusts */
    bool forged;               /* by another key under the authority's name */
    bool foreign_key;          /* what its key signs, it does not verify */
    bool chainless;            /* what is between is not sent: there has to be something between */
    bool of_client, of_server; /* a fault of those alone */
    /* Dates that were given beside it have to be like this. */
    enum { SHS_FAULT_ANY_TIME, SHS_FAULT_ENDED, SHS_FAULT_LATER, SHS_FAULT_INVERTED } dates;
};
#define SHS_EXTENSIONS_MAX 64
struct shs__fault_room {
    const char *extensions[SHS_EXTENSIONS_MAX + 2];
};
int shs__fault_apply(struct shs_cert_options *out, const struct shs_cert_options *opt,
                     struct shs__fault_room *room, struct shs__fault_how *how,
                     struct shs_error *err);

/* SHS_USAGE unless each is a domain, an address or a network. `names` may be NULL. */
int shs__check_constraints(const char *const *names, struct shs_error *err);

#endif
