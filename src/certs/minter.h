/*
 * minter.h - makes keys and certificates: the CA of a local server, and the lab of the tests.
 *
 * What is made follows RFC 5280 and the CA/Browser Forum's rules where they apply: a random serial
 * number of 127 bits, critical basicConstraints and keyUsage, key identifiers, names in
 * subjectAltName.
 */
#ifndef SHS_CERTS_MINTER_H
#define SHS_CERTS_MINTER_H

#include <openssl/evp.h>
#include <openssl/x509.h>

#include "base/base.h"

enum shs_key_kind { SHS_KEY_P256, SHS_KEY_P384, SHS_KEY_RSA2048, SHS_KEY_RSA4096 };

struct shs_cert_spec {
    const char *common_name;  /* of the subject; NULL = none */
    const char *const *names; /* DNS names and IP addresses, ended by NULL; NULL = none */
    int64_t not_before;       /* Unix time */
    int64_t not_after;
    bool ca; /* may sign leaves, and only leaves */
    /* A CA's: the domains ("test" is also everything under it) and networks ("10.0.0.0/8", an
       address) that it may sign for, ended by NULL. NULL: whatever it likes. */
    const char *const *permitted;
    bool server_auth, client_auth;

    /* Wishes beyond that; the words are those of struct shs_cert_options (shs/certs.h). */
    const char *const *excluded; /* a CA's: what it may not sign for */
    int depth;                  /* a CA's: how many CAs may be below it; SHS_DEPTH_ANY = no bound */
    const char *const *subject; /* "CN=alice", ...; instead of common_name */
    const X509_NAME *subject_name; /* instead of both */
    const char *digest, *serial, *usage, *key_usage;
    const char *const *extensions;
    bool version1;
    OSSL_LIB_CTX *lib; /* NULL = OpenSSL's default */
};

#define SHS_DEPTH_ANY (-1)

/* A new key. SHS_OK, or SHS_TLS with *err. */
int shs__mint_key(EVP_PKEY **out, enum shs_key_kind kind, struct shs_error *err);

/*
 * A certificate for `key`, signed by the issuer, or by `key` itself when issuer is NULL.
 * SHS_OK; SHS_USAGE for a name that is none; SHS_TLS or SHS_NOMEM, with *err.
 */
int shs__mint_cert(X509 **out, const struct shs_cert_spec *spec, EVP_PKEY *key, X509 *issuer,
                   EVP_PKEY *issuer_key, struct shs_error *err);

/* Signs what ASN1_item_sign_ctx-like functions take: a context for `key` and the digest's word, for
   EVP_MD_CTX_free. SHS_USAGE when a key of that kind does not sign over it. */
int shs__sign_ctx(EVP_MD_CTX **out, OSSL_LIB_CTX *lib, EVP_PKEY *key, const char *digest,
                  struct shs_error *err);
/* The digest that was asked for, or else the usual one where a key lets one choose; or NULL. */
const char *shs__sign_digest(EVP_PKEY *key, const char *asked, const char *usual);
/* OpenSSL has refused to sign: why, in *err. Returns SHS_USAGE or SHS_TLS. */
int shs__sign_failed(struct shs_error *err, EVP_PKEY *key, const char *digest, const char *doing);

/*
 * The extensions that `list` asks for ("NAME=VALUE", "NAME=none"), in place of those that `all` has
 * already. `subject` may be NULL and `crl` as well; `issuer` may not.
 */
int shs__add_extensions(STACK_OF(X509_EXTENSION) * *all, const char *const *list, X509 *issuer,
                        X509 *subject, X509_CRL *crl, struct shs_error *err);

/* May the issuer sign for all names in the certificate, by its constraints? */
bool shs__cert_permitted(X509 *cert, X509 *issuer);

/* Appends it as PEM. A key is PKCS #8, encrypted with AES-256 if there is a password (or NULL). */
int shs__mint_cert_pem(struct shs_buf *out, X509 *cert, struct shs_error *err);
int shs__mint_key_pem(struct shs_buf *out, EVP_PKEY *key, const char *password,
                      struct shs_error *err);

/* True when the certificate has that DNS name or IP address among its names. */
bool shs__cert_covers(X509 *cert, const char *name);

#endif
