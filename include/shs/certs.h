/*
 * shs/certs.h - the minter: authorities and certificates, right or wrong in one thing.
 *
 * Concept
 *
 *   Whoever tests a TLS client, a server or a probe needs certificates: good ones that last, and
 *   ones that are wrong in exactly one way. An authority is made in memory and signs what it is
 *   asked to; nothing touches the disk unless it is asked for.
 *
 *       struct shs_ca *ca;
 *       struct shs_issued_cert *good, *old;
 *
 *       shs_ca_new(&ca, NULL, &err);
 *       shs_ca_issue(&good, ca, &(struct shs_cert_options){SHS_CERT_FOR("localhost")}, &err);
 *       shs_ca_issue(&old, ca, &(struct shs_cert_options){SHS_CERT_FOR("localhost"),
 *                                                         .not_after = "-1d"}, &err);
 *       shs_issued_cert_use(good, server_ctx, &err);
 *       shs_ca_trust(ca, client_ctx, &err);
 *
 *   What nothing is said about is right: a certificate made without a wish is accepted by
 *   `openssl verify -x509_strict` and by GnuTLS's `certtool --verify`. It is valid from 2000 to the
 *   end of 2049, for a certificate that runs out breaks the test it was made for. Wishes are words,
 *   the same that `shs cert new` takes; a word that is none is SHS_USAGE, and the error has the
 *   word and what may stand there.
 *
 *   Ended by a NULL: every list of strings. 0 and NULL: every member's default. Strings and lists
 *   are read during the call and not kept.
 *
 * Threads: an object by one thread at a time; what is returned as a pointer may be read by any.
 * Follows: RFC 5280, RFC 6960 (OCSP), RFC 7292 (PKCS #12), RFC 7468 (PEM); Python's trustme.
 */
#ifndef SHS_CERTS_H
#define SHS_CERTS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <shs/error.h>

#ifdef __cplusplus
extern "C" {
#endif

struct ssl_ctx_st;      /* OpenSSL's SSL_CTX */
struct shs_ca;          /* an authority: its key, its certificate, what it has revoked */
struct shs_issued_cert; /* a certificate, its key, and the chain to send with it */

/*
 * Each struct of options begins with its own size, as the caller was compiled: write
 * {.size = sizeof(struct shs_ca_options), ...}, or call shs_ca_options_init(&options), which also
 * sets the rest to its defaults. Size 0 is SHS_USAGE: such a struct was probably never set.
 */

/* -- authorities ------------------------------------------------------------------------------- */

struct shs_ca_options {
    size_t size;             /* sizeof(struct shs_ca_options), or as shs_ca_options_init sets it */
    const char *common_name; /* NULL = "shs test CA " and 8 random digits: two of one name would
                                     be mistaken for each other */
    const char *const *constrain; /* it may sign for these alone: domains ("badssl.test" is also all
                                     under it), addresses, networks ("127.0.0.0/8"); critical */
    const char *const *exclude;   /* it may not sign for these, likewise */
    const char *key;              /* see shs_cert_options */
    const char *digest;           /* likewise; of its own certificate, and what it signs with */
    const char *serial;           /* likewise */
    const char *not_before;       /* likewise */
    const char *not_after;        /* likewise */
    const char *key_usage;        /* likewise; NULL = "keyCertSign,cRLSign" */
    const char *usage;            /* likewise; NULL = none */
    const char *const *extensions; /* likewise */
    int levels;  /* of certificates below it: 1 = no authority may be among them (pathlen:0), 2 = it
                    may have authorities that have none, ...; 0 = any number */
    int64_t now; /* what "now" is for its dates, Unix time; 0 = the system's clock */
};

SHS_API void shs_ca_options_init_sized(struct shs_ca_options *opt, size_t size);
#define shs_ca_options_init(o) shs_ca_options_init_sized((o), sizeof *(o))

/*
 * A root, which signs itself. *out: for shs_ca_free. `opt` may be NULL.
 * Returns SHS_OK; SHS_USAGE (a word that is none), SHS_TLS or SHS_NOMEM with *err (may be NULL).
 */
SHS_API int shs_ca_new(struct shs_ca **out, const struct shs_ca_options *opt,
                       struct shs_error *err) SHS_MUST_CHECK;

/*
 * An authority below `issuer`. It keeps what it needs: the issuer may go first. Its `now` is the
 * issuer's unless it says one.
 */
SHS_API int shs_ca_intermediate(struct shs_ca **out, const struct shs_ca *issuer,
                                const struct shs_ca_options *opt,
                                struct shs_error *err) SHS_MUST_CHECK;

/*
 * A second certificate for the name and the key of `subject`, signed by `issuer`: a cross-sign.
 * What *out issues has that certificate in its chain. `opt` has the dates and the like; its key,
 * name and serial are not looked at.
 */
SHS_API int shs_ca_cross_sign(struct shs_ca **out, const struct shs_ca *issuer,
                              const struct shs_ca *subject, const struct shs_ca_options *opt,
                              struct shs_error *err) SHS_MUST_CHECK;

/*
 * An authority from PEM: its certificate, its key, and whatever chain there is, in any order. For
 * one that was written with shs_ca_save. SHS_TLS when the two do not belong together.
 */
SHS_API int shs_ca_load(struct shs_ca **out, const void *pem, size_t len,
                        struct shs_error *err) SHS_MUST_CHECK;
SHS_API void shs_ca_free(struct shs_ca *self); /* and removes its temporary file */

/* Its certificate. Owned by the authority. */
SHS_API const char *shs_ca_pem(const struct shs_ca *self);
/* The root's certificate, which is what clients have to be given. */
SHS_API const char *shs_ca_root_pem(const struct shs_ca *self);
SHS_API const void *shs_ca_der(const struct shs_ca *self, size_t *len);
/* Its private key, PKCS #8. A secret. */
SHS_API const char *shs_ca_key_pem(const struct shs_ca *self);

/*
 * The path of a file with the root's certificate, made by the first call in `dir` (NULL = "/tmp")
 * and removed by shs_ca_free. Owned by the authority; NULL with *err when it cannot be made.
 */
SHS_API const char *shs_ca_tempfile(struct shs_ca *self, const char *dir, struct shs_error *err);

/*
 * Writes DIR/NAME.pem and DIR/NAME.key (0600), as shs_issued_cert_save does.
 */
SHS_API int shs_ca_save(const struct shs_ca *self, const char *dir, const char *name, bool replace,
                        struct shs_error *err);

/* Lets what uses `ctx` trust this authority's root, beside what it trusts already. SHS_TLS. */
SHS_API int shs_ca_trust(const struct shs_ca *self, struct ssl_ctx_st *ctx, struct shs_error *err);

/* -- certificates ------------------------------------------------------------------------------ */

struct shs_cert_options {
    size_t size; /* sizeof(struct shs_cert_options), or as shs_cert_options_init sets it */
    /* "a.example", "*.a.example", "127.0.0.1", "::1", "email:a@b.example", "uri:spiffe://a/b",
       "dns:TEXT" (as it stands, whatever it is: wrong names are written so). Others that are given
       twice are in it once. */
    const char *const *names;
    bool client; /* for a client: clientAuth, and no name is needed */
    /* NULL = the first DNS name, if it fits in 64 bytes; a server that is an address has none */
    const char *common_name;
    /* The whole subject, instead: "C=CY", "O=ops", "OU=oncall", "CN=alice", in this order, any of
       them again and again. An empty list: an empty subject. */
    const char *const *subject;
    /* p256 p384 p521 p224 p192 secp256k1 brainpool256 p256-explicit ed25519 ed448 rsa2048 (any size
       from 512 to 16384) rsa-e3 rsa-pss dsa. NULL = p256 */
    const char *key;
    /* sha256 sha384 sha512 sha224 sha1 md5: what it is signed with. NULL = the authority's */
    const char *digest;
    /* A decimal number or 0x and digits, also negative or 0; at most 40 bytes. "random21": 21
       bytes, one more than RFC 5280 allows. NULL = 127 random bits */
    const char *serial;
    /* "+30d", "-1s", "now" (units s m h d w y), "2026-11-28", "2026-11-28T08:30:00Z", "@" and Unix
       time. NULL = 2000-01-01 and 2049-12-31T23:59:59Z */
    const char *not_before;
    const char *not_after;
    /* extendedKeyUsage: serverAuth clientAuth emailProtection codeSigning timeStamping OCSPSigning
       any, or OIDs, with commas between; "none". NULL = serverAuth or clientAuth */
    const char *usage;
    /* keyUsage: digitalSignature nonRepudiation keyEncipherment dataEncipherment keyAgreement
       keyCertSign cRLSign encipherOnly decipherOnly, with commas between; "none". NULL = what the
       kind of key is used for */
    const char *key_usage;
    /*
     * Other extensions, "NAME=VALUE" in the words of OpenSSL's x509v3_config(5), NAME also an OID:
     * "tlsfeature=status_request", "1.2.3.4=critical,DER:0500". It takes the place of the one that
     * would be made; "NAME=none" leaves that out; a second one of a name is a second extension.
     * Only for words of your own: it is a language, in which commas and colons have a meaning.
 */
    const char *const *extensions;
    /* What to send with it: "normal" (the chain without the root; NULL), "none", "root" (with it),
       "reversed" (the root first), "double" (each authority twice) */
    const char *chain;
    bool version1; /* X.509 version 1: without any extension */
    /* One of shs_cert_fault's words: it is good but for that. NULL = none. A member that is the
       fault itself (the digest of "md5") is not set beside it, and dates that are must leave the
       fault in: else SHS_USAGE. "incomplete-chain" needs an authority below another */
    const char *fault;
    int64_t now; /* what "now" is for its dates, Unix time; 0 = what it is for the authority */
};

SHS_API void shs_cert_options_init_sized(struct shs_cert_options *opt, size_t size);
#define shs_cert_options_init(o) shs_cert_options_init_sized((o), sizeof *(o))

#ifndef __cplusplus
/* The usual beginning of a struct shs_cert_options, .names with one name. For C: in C++ the list
   would be gone before it is read. There, name an array and set .names. */
#define SHS_CERT_FOR(name)                                                                         \
    .size = sizeof(struct shs_cert_options), .names = (const char *const[])                        \
    {                                                                                              \
        (name), NULL                                                                               \
    }
#endif

/*
 * A key, and a certificate for it that `ca` signs. *out: for shs_issued_cert_free; it does not need
 * `ca` any more. Returns SHS_OK; SHS_USAGE, SHS_TLS or SHS_NOMEM with *err (may be NULL).
 */
SHS_API int shs_ca_issue(struct shs_issued_cert **out, const struct shs_ca *ca,
                         const struct shs_cert_options *opt, struct shs_error *err) SHS_MUST_CHECK;

/*
 * A certificate from PEM: its key, and certificates in any order, of which the key's is the one and
 * the others are its chain. For one that was written with shs_issued_cert_save.
 */
SHS_API int shs_issued_cert_load(struct shs_issued_cert **out, const void *pem, size_t len,
                                 struct shs_error *err) SHS_MUST_CHECK;
SHS_API void shs_issued_cert_free(struct shs_issued_cert *self);

/* The i-th fault, NULL after the last, and what it is (`text` may be NULL). Static storage. */
SHS_API const char *shs_cert_fault(size_t i, const char **text);

/*
 * The certificate, and the chain behind it, as a server sends them. Owned by the certificate.
 * The DER form and shs_issued_cert_leaf_pem are the certificate alone.
 */
SHS_API const char *shs_issued_cert_pem(const struct shs_issued_cert *self);
SHS_API const char *shs_issued_cert_leaf_pem(const struct shs_issued_cert *self);
SHS_API const void *shs_issued_cert_der(const struct shs_issued_cert *self, size_t *len);
/* Its private key, PKCS #8. A secret. */
SHS_API const char *shs_issued_cert_key_pem(const struct shs_issued_cert *self);
/* "0A1B...", as OpenSSL and `shs cert` write it; "-" first for a negative one. */
SHS_API const char *shs_issued_cert_serial(const struct shs_issued_cert *self);

/*
 * PKCS #12 with the key, the certificate and its chain. *bytes: for shs_bytes_free. `password` may
 * be "" but not NULL. SHS_TLS, SHS_NOMEM.
 */
SHS_API int shs_issued_cert_pkcs12(const struct shs_issued_cert *self, const char *password,
                                   void **bytes, size_t *len, struct shs_error *err) SHS_MUST_CHECK;
/* Frees what a function of this header made; wiped before. NULL is fine. */
SHS_API void shs_bytes_free(void *bytes, size_t len);

/*
 * Writes DIR/NAME.pem (the certificate and its chain) and DIR/NAME.key (0600), each complete before
 * it has its name. `dir` is made (0700) if there is none; its parents are not. `name` has no "/".
 * With `replace` false a file that is there is SHS_USAGE, and nothing is written. SHS_IO.
 */
SHS_API int shs_issued_cert_save(const struct shs_issued_cert *self, const char *dir,
                                 const char *name, bool replace, struct shs_error *err);

/* Certificate, key and chain into `ctx`: what it shows to its peer, server or client. SHS_TLS. */
SHS_API int shs_issued_cert_use(const struct shs_issued_cert *self, struct ssl_ctx_st *ctx,
                                struct shs_error *err);

/* -- revocation -------------------------------------------------------------------------------- */

/*
 * Puts a certificate on the authority's list: it is in each CRL and OCSP response made after.
 *
 *   serial  as shs_issued_cert_serial says it
 *   reason  keyCompromise CACompromise affiliationChanged superseded cessationOfOperation
 *           certificateHold removeFromCRL; NULL = none is given
 *   when    as a date above; NULL = a day ago
 */
SHS_API int shs_ca_revoke(struct shs_ca *self, const char *serial, const char *reason,
                          const char *when, struct shs_error *err);

struct shs_crl_options {
    size_t size; /* sizeof(struct shs_crl_options), or as shs_crl_options_init sets it */
    const char *this_update; /* a date; NULL = an hour ago */
    const char *next_update; /* NULL = in 30 days; "none" = not said */
    const char *number;      /* as a serial number; NULL = 1, then 2, ...; "none" = not said */
    const char *delta_base;  /* the number of the CRL that this one adds to; NULL = it is whole */
    const char *digest;
    const char
        *idp; /* issuingDistributionPoint in OpenSSL's words: "onlyuser:TRUE,indirectCRL:TRUE",
                        "fullname:URI:http://a/b.crl"; critical. NULL = none */
    const char *const *extensions; /* as a certificate's */
    const struct shs_ca *signer;   /* who signs, under the authority's name; NULL = itself */
    bool der;                      /* DER instead of PEM */
};

SHS_API void shs_crl_options_init_sized(struct shs_crl_options *opt, size_t size);
#define shs_crl_options_init(o) shs_crl_options_init_sized((o), sizeof *(o))

/* A CRL. *bytes: for shs_bytes_free; PEM has a NUL behind it, which *len does not count. */
SHS_API int shs_ca_crl(struct shs_ca *self, const struct shs_crl_options *opt, void **bytes,
                       size_t *len, struct shs_error *err) SHS_MUST_CHECK;

struct shs_ocsp_options {
    size_t size; /* sizeof(struct shs_ocsp_options), or as shs_ocsp_options_init sets it */
    /* good revoked unknown; or no answer: malformedRequest internalError tryLater sigRequired
       unauthorized. NULL = what shs_ca_revoke says */
    const char *status;
    const char *this_update; /* a date; NULL = an hour ago */
    const char *next_update; /* NULL = in 7 days; "none" = not said */
    const char *reason;      /* of a revocation that the status makes up; as shs_ca_revoke */
    const char *digest;
    const struct shs_ca *signer;             /* who signs instead of the authority ... */
    const struct shs_issued_cert *responder; /* ... or a certificate, which is sent along */
};

SHS_API void shs_ocsp_options_init_sized(struct shs_ocsp_options *opt, size_t size);
#define shs_ocsp_options_init(o) shs_ocsp_options_init_sized((o), sizeof *(o))

/* The OCSP response about one certificate that `self` issued, DER, as a server staples it. */
SHS_API int shs_ca_ocsp(const struct shs_ca *self, const struct shs_issued_cert *cert,
                        const struct shs_ocsp_options *opt, void **bytes, size_t *len,
                        struct shs_error *err) SHS_MUST_CHECK;
/* The same when only its serial number is known. */
SHS_API int shs_ca_ocsp_serial(const struct shs_ca *self, const char *serial,
                               const struct shs_ocsp_options *opt, void **bytes, size_t *len,
                               struct shs_error *err) SHS_MUST_CHECK;

/* -- dates ------------------------------------------------------------------------------------- */

/*
 * A date in the words above, as Unix time. `now` is what "+30d" counts from.
 * SHS_OK with *out; SHS_USAGE with *err.
 */
SHS_API int shs_parse_date(int64_t *out, const char *text, int64_t now, struct shs_error *err);

#ifdef __cplusplus
}
#endif

#endif
