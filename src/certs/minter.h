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
};

/* A new key. SHS_OK, or SHS_TLS with *err. */
int shs__mint_key(EVP_PKEY **out, enum shs_key_kind kind, struct shs_error *err);

/*
 * A certificate for `key`, signed by the issuer, or by `key` itself when issuer is NULL.
 * SHS_OK; SHS_USAGE for a name that is none; SHS_TLS or SHS_NOMEM, with *err.
 */
int shs__mint_cert(X509 **out, const struct shs_cert_spec *spec, EVP_PKEY *key, X509 *issuer,
                   EVP_PKEY *issuer_key, struct shs_error *err);

/* May the issuer sign for all names in the certificate, by its constraints? */
bool shs__cert_permitted(X509 *cert, X509 *issuer);

/* Appends it as PEM. A key is PKCS #8, encrypted with AES-256 if there is a password (or NULL). */
int shs__mint_cert_pem(struct shs_buf *out, X509 *cert, struct shs_error *err);
int shs__mint_key_pem(struct shs_buf *out, EVP_PKEY *key, const char *password,
                      struct shs_error *err);

/* True when the certificate has that DNS name or IP address among its names. */
bool shs__cert_covers(X509 *cert, const char *name);

#endif
