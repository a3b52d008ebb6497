/* ca.c - struct shs_ca: an authority in memory. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/rand.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>

#include "certs/authority.h"
#include "certs/files.h"
#include "certs/keys.h"
#include "certs/texts.h"
#include "certs/words.h"

#define FIRST_DAY "2000-01-01"
#define LAST_DAY "2049-12-31T23:59:59Z"
#define LEVELS_MAX 100

int64_t shs__ca_now(const struct shs_ca *ca)
{
    return ca->now != 0 ? ca->now : (int64_t)time(NULL);
}

bool shs__chain_push(STACK_OF(X509) * chain, X509 *cert)
{
    return X509_add_cert(chain, cert, X509_ADD_FLAG_UP_REF) == 1;
}

/* Both dates; SHS_USAGE names the one that is none. */
static int parse_dates(struct shs_cert_spec *spec, const char *before, const char *after,
                       int64_t now, struct shs_error *err)
{
    int rc = shs_parse_date(&spec->not_before, before == NULL ? FIRST_DAY : before, now, err);

    if (rc == SHS_OK)
        rc = shs_parse_date(&spec->not_after, after == NULL ? LAST_DAY : after, now, err);
    return rc;
}

void shs_ca_free(struct shs_ca *self)
{
    if (self == NULL)
        return;
    shs__throwaway_remove(&self->tempfile);
    EVP_PKEY_free(self->key);
    X509_free(self->cert);
    sk_X509_pop_free(self->chain, X509_free);
    sk_X509_REVOKED_pop_free(self->revoked, X509_REVOKED_free);
    shs__free(self->digest);
    shs__free(self->pem);
    shs__free(self->root_pem);
    shs__text_wipe(self->key_pem);
    OPENSSL_free(self->der);
    shs__free(self);
}

static int alloc_ca(struct shs_ca **out, OSSL_LIB_CTX *lib, int64_t now, const char *digest,
                    struct shs_error *err)
{
    struct shs_ca *self = shs__calloc(1, sizeof *self);

    if (self == NULL)
        return shs__certs_nomem(err);
    self->lib = lib;
    self->now = now;
    self->chain = sk_X509_new_null();
    self->revoked = sk_X509_REVOKED_new_null();
    self->digest = shs__strdup(digest);
    if (self->chain == NULL || self->revoked == NULL || (digest != NULL && self->digest == NULL)) {
        shs_ca_free(self);
        return shs__certs_nomem(err);
    }
    *out = self;
    return SHS_OK;
}

/* The texts of a new authority, which the getters hand out. */
static int finish(struct shs_ca *self, struct shs_error *err)
{
    int above = sk_X509_num(self->chain);
    X509 *root = above == 0 ? self->cert : sk_X509_value(self->chain, above - 1);
    int rc = shs__text_certs(&self->pem, self->cert, NULL, err);

    /* OpenSSL reads the extensions at their first use, and keeps them in the certificate: not when
       two threads have it already. */
    (void)X509_check_purpose(self->cert, -1, 0);
    ERR_clear_error();
    if (rc == SHS_OK)
        rc = shs__text_certs(&self->root_pem, root, NULL, err);
    if (rc == SHS_OK)
        rc = shs__text_key(&self->key_pem, self->key, err);
    if (rc == SHS_OK) {
        self->der_len = i2d_X509(self->cert, &self->der);
        if (self->der_len <= 0)
            rc = shs__certs_fail(err, "Writing a certificate");
    }
    return rc;
}

static int random_name(char *name, size_t cap, struct shs_error *err)
{
    unsigned char tag[4];

    if (RAND_bytes(tag, sizeof tag) != 1)
        return shs__certs_fail(err, "Making a name");
    snprintf(name, cap, "shs test CA %02x%02x%02x%02x", tag[0], tag[1], tag[2], tag[3]);
    return SHS_OK;
}

/* The specification of an authority's certificate: `name` has room for a name that is made up. */
static int describe(struct shs_cert_spec *spec, const struct shs_ca *self,
                    const struct shs_ca_options *opt, char *name, size_t cap, struct shs_error *err)
{
    int rc = SHS_OK;

    *spec = (struct shs_cert_spec){
        .common_name = opt->common_name,
        .ca = true,
        .permitted = opt->constrain,
        .excluded = opt->exclude,
        .depth = opt->levels == 0 ? SHS_DEPTH_ANY : opt->levels - 1,
        .digest = opt->digest,
        .serial = opt->serial,
        .usage = opt->usage,
        .key_usage = opt->key_usage,
        .extensions = opt->extensions,
        .lib = self->lib,
    };
    if (opt->levels < 0 || opt->levels > LEVELS_MAX)
        return shs_error_set(err, SHS_USAGE, 0, "%d is not a number of levels from 0 to %d.",
                             opt->levels, LEVELS_MAX);
    if (spec->common_name == NULL) {
        spec->common_name = name;
        rc = random_name(name, cap, err);
    }
    if (rc == SHS_OK)
        rc = shs__check_constraints(opt->constrain, err);
    if (rc == SHS_OK)
        rc = shs__check_constraints(opt->exclude, err);
    if (rc == SHS_OK)
        rc = parse_dates(spec, opt->not_before, opt->not_after, shs__ca_now(self), err);
    return rc;
}

/* Above a new one is its issuer, and what is above that. */
static int inherit_chain(struct shs_ca *self, const struct shs_ca *issuer, struct shs_error *err)
{
    bool good = shs__chain_push(self->chain, issuer->cert);

    for (int i = 0; good && i < sk_X509_num(issuer->chain); i++)
        good = shs__chain_push(self->chain, sk_X509_value(issuer->chain, i));
    return good ? SHS_OK : shs__certs_nomem(err);
}

void shs_ca_options_init_sized(struct shs_ca_options *opt, size_t size)
{
    struct shs_ca_options defaults = {.size = size};

    shs__sized_init(opt, size, &defaults, sizeof defaults);
}

/* The options as this library has them, whatever the caller was built with. */
static int read_options(struct shs_ca_options *full, const struct shs_ca_options *opt,
                        struct shs_error *err)
{
    shs_ca_options_init(full);
    return opt == NULL ? SHS_OK : shs__sized_copy(full, sizeof *full, opt, "shs_ca_options", err);
}

static int make_ca(struct shs_ca **out, OSSL_LIB_CTX *lib, const struct shs_ca *issuer,
                   const struct shs_ca *subject, const struct shs_ca_options *given,
                   struct shs_error *err)
{
    struct shs_ca_options full, *opt = &full;
    struct shs_ca *self = NULL;
    struct shs_cert_spec spec;
    char name[64];
    int rc = read_options(&full, given, err);

    if (rc == SHS_OK)
        rc = alloc_ca(&self, lib, opt->now == 0 && issuer != NULL ? issuer->now : opt->now,
                      subject != NULL ? subject->digest : opt->digest, err);
    if (rc == SHS_OK)
        rc = describe(&spec, self, opt, name, sizeof name, err);
    if (rc == SHS_OK && subject != NULL) {
        spec.subject_name = X509_get_subject_name(subject->cert);
        self->key = subject->key;
        EVP_PKEY_up_ref(self->key);
    } else if (rc == SHS_OK) {
        rc = shs__key_word(&self->key, lib, opt->key, err);
    }
    /* The digest is of what it signs, too: an issuer that has no choice leaves it for that. */
    if (rc == SHS_OK && issuer != NULL)
        spec.digest =
            shs__sign_digest(issuer->key, NULL, spec.digest == NULL ? issuer->digest : spec.digest);
    if (rc == SHS_OK)
        rc = shs__mint_cert(&self->cert, &spec, self->key, issuer == NULL ? NULL : issuer->cert,
                            issuer == NULL ? NULL : issuer->key, err);
    if (rc == SHS_OK && issuer != NULL)
        rc = inherit_chain(self, issuer, err);
    if (rc == SHS_OK)
        rc = finish(self, err);
    if (rc == SHS_OK)
        *out = self;
    else
        shs_ca_free(self);
    return rc;
}

int shs__ca_new_in(struct shs_ca **out, OSSL_LIB_CTX *lib, const struct shs_ca_options *opt,
                   struct shs_error *err)
{
    return make_ca(out, lib, NULL, NULL, opt, err);
}

int shs_ca_new(struct shs_ca **out, const struct shs_ca_options *opt, struct shs_error *err)
{
    return make_ca(out, NULL, NULL, NULL, opt, err);
}

int shs_ca_intermediate(struct shs_ca **out, const struct shs_ca *issuer,
                        const struct shs_ca_options *opt, struct shs_error *err)
{
    return make_ca(out, issuer->lib, issuer, NULL, opt, err);
}

int shs_ca_cross_sign(struct shs_ca **out, const struct shs_ca *issuer,
                      const struct shs_ca *subject, const struct shs_ca_options *opt,
                      struct shs_error *err)
{
    return make_ca(out, issuer->lib, issuer, subject, opt, err);
}

void shs__ca_forget_key(struct shs_ca *ca)
{
    EVP_PKEY_free(ca->key);
    ca->key = NULL;
    shs__text_wipe(ca->key_pem);
    ca->key_pem = NULL;
}

/* -- from PEM ---------------------------------------------------------------------------------- */

/* The certificates in any order: the one of the key is ours, the others are above it. */
static int sort_certs(struct shs_ca *self, STACK_OF(X509) * all, struct shs_error *err)
{
    X509 *at;
    int left;

    for (int i = 0; i < sk_X509_num(all) && self->cert == NULL; i++) {
        if (X509_check_private_key(sk_X509_value(all, i), self->key) == 1)
            self->cert = sk_X509_delete(all, i);
    }
    if (self->cert == NULL)
        return shs_error_set(err, SHS_TLS, 0,
                             "The key of the authority belongs to none of its certificates.");
    at = self->cert;
    do {
        left = sk_X509_num(all);
        for (int i = 0; i < sk_X509_num(all); i++) {
            X509 *next = sk_X509_value(all, i);

            if (X509_check_issued(next, at) != X509_V_OK || X509_check_issued(at, at) == X509_V_OK)
                continue;
            (void)sk_X509_delete(all, i);
            if (sk_X509_push(self->chain, next) == 0) {
                X509_free(next);
                return shs__certs_nomem(err);
            }
            at = next;
            break;
        }
    } while (sk_X509_num(all) < left);
    return SHS_OK;
}

int shs_ca_load(struct shs_ca **out, const void *pem, size_t len, struct shs_error *err)
{
    STACK_OF(X509) *all = NULL;
    struct shs_ca *self = NULL;
    int rc = alloc_ca(&self, NULL, 0, NULL, err);

    if (rc == SHS_OK)
        rc = shs__text_parse(pem, len, &self->key, &all, err);
    if (rc == SHS_OK)
        rc = sort_certs(self, all, err);
    if (rc == SHS_OK && X509_check_ca(self->cert) == 0)
        rc = shs_error_set(err, SHS_TLS, 0, "The certificate is not an authority's: its %s so.",
                           (X509_get_extension_flags(self->cert) & EXFLAG_CA) != 0
                               ? "key usage says"
                               : "basicConstraints say");
    if (rc == SHS_OK)
        rc = finish(self, err);
    sk_X509_pop_free(all, X509_free);
    ERR_clear_error();
    if (rc == SHS_OK)
        *out = self;
    else
        shs_ca_free(self);
    return rc;
}

/* -- what it is asked for ---------------------------------------------------------------------- */

const char *shs_ca_pem(const struct shs_ca *self)
{
    return self->pem;
}

const char *shs_ca_root_pem(const struct shs_ca *self)
{
    return self->root_pem;
}

const void *shs_ca_der(const struct shs_ca *self, size_t *len)
{
    *len = (size_t)self->der_len;
    return self->der;
}

const char *shs_ca_key_pem(const struct shs_ca *self)
{
    return self->key_pem;
}

const char *shs_ca_tempfile(struct shs_ca *self, const char *dir, struct shs_error *err)
{
    return shs__ca_tempfile_of(self, dir, self->root_pem, err);
}

const char *shs__ca_tempfile_of(struct shs_ca *self, const char *dir, const char *pem,
                                struct shs_error *err)
{
    struct shs__throwaway *file = &self->tempfile;
    char why[64];
    int saved;

    if (file->path != NULL)
        return file->path;
    if (shs__throwaway_file(file, dir, "shs-root", ".pem", err) != SHS_OK)
        return NULL;
    if (shs__write_all(file->fd, pem, strlen(pem)) == SHS_OK && fchmod(file->fd, 0644) == 0)
        return file->path;
    saved = errno;
    shs_error_set(err, SHS_IO, saved, "Cannot write the authority's certificate to %s: %s.",
                  file->path, shs__strerror(saved, why, sizeof why));
    shs__throwaway_remove(file);
    return NULL;
}

int shs_ca_save(const struct shs_ca *self, const char *dir, const char *name, bool replace,
                struct shs_error *err)
{
    char *pem = NULL;
    int rc = shs__text_certs(&pem, self->cert, self->chain, err);

    if (rc == SHS_OK)
        rc = shs__files_save(dir, name, pem, self->key_pem, replace, err);
    shs__free(pem);
    return rc;
}

int shs_ca_trust(const struct shs_ca *self, struct ssl_ctx_st *ctx, struct shs_error *err)
{
    int above = sk_X509_num(self->chain);
    X509 *root = above == 0 ? self->cert : sk_X509_value(self->chain, above - 1);

    ERR_clear_error();
    if (X509_STORE_add_cert(SSL_CTX_get_cert_store(ctx), root) != 1)
        return shs__certs_fail(err, "Trusting an authority");
    return SHS_OK;
}
