/* issue.c - struct shs_issued_cert: a certificate with its key and its chain. */
#include <openssl/err.h>
#include <openssl/pkcs12.h>
#include <openssl/ssl.h>

#include "certs/authority.h"
#include "certs/files.h"
#include "certs/keys.h"
#include "certs/texts.h"
#include "certs/words.h"

#define FIRST_DAY "2000-01-01"
#define LAST_DAY "2049-12-31T23:59:59Z"
#define CN_MAX 64u
#define LIST_MAX 20000u /* names */

void shs_issued_cert_free(struct shs_issued_cert *self)
{
    if (self == NULL)
        return;
    EVP_PKEY_free(self->key);
    X509_free(self->cert);
    sk_X509_pop_free(self->chain, X509_free);
    shs__free(self->pem);
    shs__free(self->leaf_pem);
    shs__free(self->serial);
    shs__text_wipe(self->key_pem);
    OPENSSL_free(self->der);
    shs__free(self);
}

/* -- the chain --------------------------------------------------------------------------------- */

/* Which of the `count` above a leaf are sent, in which order: up to two of each. */
static bool push_chain(STACK_OF(X509) * out, const struct shs_ca *ca, int count, bool reversed,
                       bool twice)
{
    for (int i = 0; i < count; i++) {
        int at = reversed ? count - 1 - i : i;
        X509 *cert = at == 0 ? ca->cert : sk_X509_value(ca->chain, at - 1);

        if (!shs__chain_push(out, cert) || (twice && !shs__chain_push(out, cert)))
            return false;
    }
    return true;
}

int shs__chain_word(STACK_OF(X509) * *out, const struct shs_ca *ca, const char *word,
                    struct shs_error *err)
{
    int all = 1 + sk_X509_num(ca->chain), count = all - 1;
    STACK_OF(X509) * chain;
    bool reversed = false, twice = false;

    if (word == NULL || strcmp(word, "normal") == 0)
        ;
    else if (strcmp(word, "none") == 0)
        count = 0;
    else if (strcmp(word, "root") == 0)
        count = all;
    else if (strcmp(word, "reversed") == 0) {
        count = all;
        reversed = true;
    } else if (strcmp(word, "double") == 0)
        twice = true;
    else
        return shs_error_set(
            err, SHS_USAGE, 0,
            "'%s' is not a chain. Use one of: normal, none, root, reversed, double.", word);
    chain = sk_X509_new_null();
    if (chain == NULL || !push_chain(chain, ca, count, reversed, twice)) {
        sk_X509_pop_free(chain, X509_free);
        return shs__certs_nomem(err);
    }
    *out = chain;
    return SHS_OK;
}

/* -- the certificate --------------------------------------------------------------------------- */

static int check_names(const struct shs_cert_options *opt, struct shs_error *err)
{
    size_t count = 0;

    while (opt->names != NULL && opt->names[count] != NULL) {
        if (++count > LIST_MAX)
            return shs_error_set(err, SHS_USAGE, 0, "A certificate has %u names at most.",
                                 LIST_MAX);
    }
    if (count == 0 && !opt->client && opt->common_name == NULL && opt->subject == NULL)
        return shs_error_set(err, SHS_USAGE, 0,
                             "A server's certificate needs a name, such as localhost.");
    return SHS_OK;
}

/*
 * The common name when none is given: the first DNS name, if it fits. An address is none: OpenSSL
 * holds a common name that looks like a DNS name against an authority's constraints on those.
 */
static const char *default_name(const struct shs_cert_options *opt, bool *has_dns)
{
    *has_dns = opt->common_name != NULL;
    if (opt->common_name != NULL)
        return opt->common_name;
    for (size_t i = 0; opt->names != NULL && opt->names[i] != NULL; i++) {
        const char *name = opt->names[i];

        if (strncmp(name, "dns:", 4) == 0)
            name += 4;
        else if (strchr(name, ':') != NULL || name[strspn(name, "0123456789.")] == '\0')
            continue; /* an address, an e-mail address, a URI */
        *has_dns = true;
        if (name[0] != '\0' && strlen(name) <= CN_MAX)
            return name;
    }
    return opt->client ? "shs test client" : "shs test server";
}

static int describe(struct shs_cert_spec *spec, const struct shs_ca *ca,
                    const struct shs_cert_options *opt, struct shs_error *err)
{
    /* Without a DNS name GnuTLS holds any common name against an authority's constraints on those:
       a server that is an address has none. */
    static const char *const an_address[] = {"O=shs test server", NULL};
    int64_t now = opt->now != 0 ? opt->now : shs__ca_now(ca);
    bool has_dns;
    int rc = check_names(opt, err);

    *spec = (struct shs_cert_spec){
        .common_name = default_name(opt, &has_dns),
        .names = opt->names,
        .server_auth = !opt->client,
        .client_auth = opt->client,
        .subject = opt->subject != NULL || has_dns || opt->client ? opt->subject : an_address,
        .digest = opt->digest,
        .serial = opt->serial,
        .usage = opt->usage,
        .key_usage = opt->key_usage,
        .extensions = opt->extensions,
        .version1 = opt->version1,
        .lib = ca->lib,
    };
    if (rc == SHS_OK)
        rc = shs_parse_date(&spec->not_before,
                            opt->not_before == NULL ? FIRST_DAY : opt->not_before, now, err);
    if (rc == SHS_OK)
        rc = shs_parse_date(&spec->not_after, opt->not_after == NULL ? LAST_DAY : opt->not_after,
                            now, err);
    return rc;
}

/* Dates that were given beside the fault: it still has to be there. */
static int check_dates(const struct shs__fault_how *how, const struct shs_cert_spec *spec,
                       int64_t now, const char *fault, struct shs_error *err)
{
    bool ended = spec->not_after<now, later = spec->not_before> now;
    bool inverted = spec->not_before > spec->not_after, good = true;

    if (how->dates == SHS_FAULT_ENDED)
        good = ended && !inverted && !later;
    else if (how->dates == SHS_FAULT_LATER)
        good = later && !inverted;
    else if (how->dates == SHS_FAULT_INVERTED)
        good = inverted;
    return good ? SHS_OK
                : shs_error_set(err, SHS_USAGE, 0,
                                "With these dates it is not %s: leave them out, or the fault.",
                                fault);
}

/* Signed by `key`, over what was asked for or what the authority usually takes. */
static int mint_by(struct shs_issued_cert *self, const struct shs_ca *ca,
                   const struct shs_cert_spec *given, X509 *issuer, EVP_PKEY *key,
                   struct shs_error *err)
{
    struct shs_cert_spec spec = *given;

    spec.digest = shs__sign_digest(key, given->digest, ca->digest);
    return shs__mint_cert(&self->cert, &spec, self->key, issuer, issuer == NULL ? NULL : key, err);
}

/* Signs with what the fault asks for. */
static int mint(struct shs_issued_cert *self, const struct shs_ca *ca,
                const struct shs_cert_spec *spec, const struct shs__fault_how *how,
                struct shs_error *err)
{
    struct shs_ca *stranger = NULL;
    EVP_PKEY *other = NULL;
    int rc;

    if (how->self_signed)
        return mint_by(self, ca, spec, NULL, self->key, err);
    if (how->untrusted) {
        rc = shs__ca_new_in(&stranger, ca->lib, NULL, err);
        if (rc == SHS_OK)
            rc = mint_by(self, ca, spec, stranger->cert, stranger->key, err);
        shs_ca_free(stranger);
        return rc;
    }
    /* Of the same kind, or the signature would not even be looked at. */
    rc = how->forged ? shs__key_like(&other, ca->lib, ca->key, err) : SHS_OK;
    if (rc == SHS_OK)
        rc = mint_by(self, ca, spec, ca->cert, how->forged ? other : ca->key, err);
    EVP_PKEY_free(other);
    return rc;
}

static int make_texts(struct shs_issued_cert *self, struct shs_error *err)
{
    int rc = shs__text_certs(&self->pem, self->cert, self->chain, err);

    if (rc == SHS_OK)
        rc = shs__text_certs(&self->leaf_pem, self->cert, NULL, err);
    if (rc == SHS_OK)
        rc = shs__text_key(&self->key_pem, self->key, err);
    if (rc == SHS_OK) {
        self->serial = shs__serial_text(X509_get0_serialNumber(self->cert));
        self->der_len = i2d_X509(self->cert, &self->der);
        if (self->serial == NULL || self->der_len <= 0)
            rc = shs__certs_nomem(err);
    }
    return rc;
}

static int make_key(struct shs_issued_cert *self, const struct shs_ca *ca, EVP_PKEY *key,
                    const char *word, struct shs_error *err)
{
    if (key == NULL)
        return shs__key_word(&self->key, ca->lib, word, err);
    EVP_PKEY_up_ref(key);
    self->key = key;
    return SHS_OK;
}

/* The certificate is made for a key, and then given another one. */
static int swap_key(struct shs_issued_cert *self, struct shs_error *err)
{
    EVP_PKEY *foreign = NULL;
    int rc;

    if (!EVP_PKEY_is_a(self->key, "EC"))
        return shs_error_set(err, SHS_USAGE, 0,
                             "The fault mismatched-key needs a key on a curve, such as p256.");
    rc = shs__key_foreign(&foreign, self->lib, self->key, err);
    if (rc == SHS_OK) {
        EVP_PKEY_free(self->key);
        self->key = foreign;
    }
    return rc;
}

void shs_cert_options_init_sized(struct shs_cert_options *opt, size_t size)
{
    struct shs_cert_options defaults = {.size = size};

    shs__sized_init(opt, size, &defaults, sizeof defaults);
}

int shs__ca_issue_for(struct shs_issued_cert **out, const struct shs_ca *ca, EVP_PKEY *key,
                      const struct shs_cert_options *given, struct shs_error *err)
{
    struct shs_cert_options full, opt;
    struct shs__fault_room room;
    struct shs__fault_how how;
    struct shs_cert_spec spec;
    struct shs_issued_cert *self = NULL;
    int rc = SHS_OK;

    shs_cert_options_init(&full);
    rc = shs__sized_copy(&full, sizeof full, given, "shs_cert_options", err);
    if (rc == SHS_OK)
        rc = shs__fault_apply(&opt, &full, &room, &how, err);
    if (rc == SHS_OK && how.chainless && sk_X509_num(ca->chain) == 0)
        rc = shs_error_set(err, SHS_USAGE, 0,
                           "Nothing is between a certificate and this authority, which is a root: "
                           "%s needs one below it (shs_ca_intermediate, 'shs cert ca --below').",
                           opt.fault);
    if (rc == SHS_OK)
        rc = describe(&spec, ca, &opt, err);
    if (rc == SHS_OK)
        rc = check_dates(&how, &spec, opt.now != 0 ? opt.now : shs__ca_now(ca), opt.fault, err);
    if (rc != SHS_OK)
        return rc;
    self = shs__calloc(1, sizeof *self);
    if (self == NULL)
        return shs__certs_nomem(err);
    self->lib = ca->lib;
    rc = make_key(self, ca, key, opt.key, err);
    if (rc == SHS_OK)
        rc = mint(self, ca, &spec, &how, err);
    if (rc == SHS_OK && how.foreign_key)
        rc = swap_key(self, err);
    if (rc == SHS_OK)
        rc = shs__chain_word(&self->chain, ca,
                             how.self_signed || how.untrusted ? "none" : opt.chain, err);
    if (rc == SHS_OK)
        rc = make_texts(self, err);
    if (rc == SHS_OK)
        *out = self;
    else
        shs_issued_cert_free(self);
    return rc;
}

int shs_ca_issue(struct shs_issued_cert **out, const struct shs_ca *ca,
                 const struct shs_cert_options *opt, struct shs_error *err)
{
    return shs__ca_issue_for(out, ca, NULL, opt, err);
}

int shs_issued_cert_load(struct shs_issued_cert **out, const void *pem, size_t len,
                         struct shs_error *err)
{
    struct shs_issued_cert *self = shs__calloc(1, sizeof *self);
    int rc = self == NULL ? shs__certs_nomem(err)
                          : shs__text_parse(pem, len, &self->key, &self->chain, err);

    for (int i = 0; rc == SHS_OK && self->cert == NULL && i < sk_X509_num(self->chain); i++) {
        if (X509_check_private_key(sk_X509_value(self->chain, i), self->key) == 1)
            self->cert = sk_X509_delete(self->chain, i);
    }
    ERR_clear_error();
    if (rc == SHS_OK && self->cert == NULL)
        rc = shs_error_set(err, SHS_TLS, 0, "The key belongs to none of the certificates.");
    if (rc == SHS_OK)
        rc = make_texts(self, err);
    if (rc == SHS_OK)
        *out = self;
    else
        shs_issued_cert_free(self);
    return rc;
}

/* -- what it is asked for ---------------------------------------------------------------------- */

const char *shs_issued_cert_pem(const struct shs_issued_cert *self)
{
    return self->pem;
}

const char *shs_issued_cert_leaf_pem(const struct shs_issued_cert *self)
{
    return self->leaf_pem;
}

const void *shs_issued_cert_der(const struct shs_issued_cert *self, size_t *len)
{
    *len = (size_t)self->der_len;
    return self->der;
}

const char *shs_issued_cert_key_pem(const struct shs_issued_cert *self)
{
    return self->key_pem;
}

const char *shs_issued_cert_serial(const struct shs_issued_cert *self)
{
    return self->serial;
}

int shs_issued_cert_pkcs12(const struct shs_issued_cert *self, const char *password, void **bytes,
                           size_t *len, struct shs_error *err)
{
    PKCS12 *p12;
    unsigned char *der = NULL;
    void *copy = NULL;
    int der_len = 0, rc = SHS_OK;

    ERR_clear_error();
    p12 = PKCS12_create_ex(password, NULL, self->key, self->cert, self->chain, 0, 0, 0, 0, 0,
                           self->lib, NULL);
    if (p12 != NULL)
        der_len = i2d_PKCS12(p12, &der);
    if (p12 == NULL || der_len <= 0)
        rc = shs__certs_fail(err, "Writing PKCS #12");
    else if ((copy = shs__malloc((size_t)der_len)) == NULL)
        rc = shs__certs_nomem(err);
    if (rc == SHS_OK) {
        memcpy(copy, der, (size_t)der_len);
        *bytes = copy;
        *len = (size_t)der_len;
    }
    if (der != NULL)
        OPENSSL_clear_free(der, (size_t)der_len);
    PKCS12_free(p12);
    return rc;
}

void shs_bytes_free(void *bytes, size_t len)
{
    if (bytes != NULL)
        OPENSSL_cleanse(bytes, len);
    shs__free(bytes);
}

int shs_issued_cert_save(const struct shs_issued_cert *self, const char *dir, const char *name,
                         bool replace, struct shs_error *err)
{
    return shs__files_save(dir, name, self->pem, self->key_pem, replace, err);
}

int shs_issued_cert_use(const struct shs_issued_cert *self, struct ssl_ctx_st *ctx,
                        struct shs_error *err)
{
    ERR_clear_error();
    if (SSL_CTX_use_cert_and_key(ctx, self->cert, self->key, self->chain, 1) != 1)
        return shs__certs_fail(err, "Using a certificate");
    /* What is sent is this chain and nothing that OpenSSL finds elsewhere. */
    SSL_CTX_set_mode(ctx, SSL_MODE_NO_AUTO_CHAIN);
    return SHS_OK;
}
