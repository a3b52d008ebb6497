#include "certs/minter.h"

#include <stdio.h>

#include <openssl/conf.h>
#include <openssl/ec.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/rsa.h>
#include <openssl/x509v3.h>

#include "certs/alt_names.h"
#include "certs/words.h"

#define CN_MAX 64u /* RFC 5280, ub-common-name */

int shs__mint_key(EVP_PKEY **out, enum shs_key_kind kind, struct shs_error *err)
{
    EVP_PKEY *key = NULL;

    ERR_clear_error();
    switch (kind) {
    case SHS_KEY_P256:
        key = EVP_EC_gen("P-256");
        break;
    case SHS_KEY_P384:
        key = EVP_EC_gen("P-384");
        break;
    case SHS_KEY_RSA2048:
        key = EVP_RSA_gen(2048);
        break;
    case SHS_KEY_RSA4096:
        key = EVP_RSA_gen(4096);
        break;
    }
    if (key == NULL)
        return shs__certs_fail(err, "Making a private key");
    *out = key;
    return SHS_OK;
}

/* -- what a CA may sign for -------------------------------------------------------------------- */

bool shs__cert_permitted(X509 *cert, X509 *issuer)
{
    NAME_CONSTRAINTS *all = X509_get_ext_d2i(issuer, NID_name_constraints, NULL, NULL);
    bool good;

    /* OpenSSL looks at the names it keeps beside a certificate, which one just made has not. */
    (void)X509_check_purpose(cert, -1, 0);
    good = all == NULL || NAME_CONSTRAINTS_check(cert, all) == X509_V_OK;
    NAME_CONSTRAINTS_free(all);
    ERR_clear_error();
    return good;
}

/* -- the other extensions ---------------------------------------------------------------------- */

static bool add_ext(X509 *cert, X509 *issuer, int nid, const char *value)
{
    X509V3_CTX ctx;
    X509_EXTENSION *ext;
    int rc;

    X509V3_set_ctx_nodb(&ctx);
    X509V3_set_ctx(&ctx, issuer, cert, NULL, NULL, 0);
    ext = X509V3_EXT_conf_nid(NULL, &ctx, nid, value);
    if (ext == NULL)
        return false;
    rc = X509_add_ext(cert, ext, -1);
    X509_EXTENSION_free(ext);
    return rc == 1;
}

static bool add_ca_usage(X509 *cert, const struct shs_cert_spec *spec)
{
    char constraints[64] = "critical,CA:TRUE";

    if (spec->depth >= 0)
        snprintf(constraints, sizeof constraints, "critical,CA:TRUE,pathlen:%d", spec->depth);
    return add_ext(cert, cert, NID_basic_constraints, constraints) &&
           (spec->key_usage != NULL ||
            add_ext(cert, cert, NID_key_usage, "critical,keyCertSign,cRLSign"));
}

static bool add_usage(X509 *cert, const struct shs_cert_spec *spec, EVP_PKEY *key)
{
    const char *extended = NULL;

    if (spec->ca)
        return add_ca_usage(cert, spec);
    if (spec->server_auth && spec->client_auth)
        extended = "serverAuth,clientAuth";
    else if (spec->server_auth)
        extended = "serverAuth";
    else if (spec->client_auth)
        extended = "clientAuth";
    return add_ext(cert, cert, NID_basic_constraints, "critical,CA:FALSE") &&
           (spec->key_usage != NULL ||
            add_ext(cert, cert, NID_key_usage,
                    EVP_PKEY_is_a(key, "RSA") ? "critical,digitalSignature,keyEncipherment"
                                              : "critical,digitalSignature")) &&
           (spec->usage != NULL || extended == NULL ||
            add_ext(cert, cert, NID_ext_key_usage, extended));
}

/* -- usages by word ---------------------------------------------------------------------------- */

static int add_key_usage(X509 *cert, const char *words, struct shs_error *err)
{
    static const char *const bits[] = {"digitalSignature", "nonRepudiation", "keyEncipherment",
                                       "dataEncipherment", "keyAgreement",   "keyCertSign",
                                       "cRLSign",          "encipherOnly",   "decipherOnly"};
    ASN1_BIT_STRING *usage;
    char word[SHS_WORD_MAX];
    int rc = SHS_OK;

    if (words == NULL || strcmp(words, "none") == 0)
        return SHS_OK;
    if (words[strspn(words, " ,")] == '\0')
        return shs_error_set(err, SHS_USAGE, 0,
                             "The key usage is an empty list; none is \"none\".");
    usage = ASN1_BIT_STRING_new();
    if (usage == NULL)
        return shs__certs_nomem(err);
    while (rc == SHS_OK && shs__word_next(&words, word)) {
        int bit = 0;

        while (bit < (int)SHS_ARRAY_LEN(bits) && strcmp(word, bits[bit]) != 0)
            bit++;
        if (bit == (int)SHS_ARRAY_LEN(bits))
            rc = shs_error_set(
                err, SHS_USAGE, 0,
                "'%s' is not a key usage. Use one of: digitalSignature nonRepudiation "
                "keyEncipherment dataEncipherment keyAgreement keyCertSign cRLSign "
                "encipherOnly decipherOnly none.",
                word);
        else if (ASN1_BIT_STRING_set_bit(usage, bit, 1) != 1)
            rc = shs__certs_nomem(err);
    }
    if (rc == SHS_OK && X509_add1_ext_i2d(cert, NID_key_usage, usage, 1, X509V3_ADD_DEFAULT) != 1)
        rc = shs__certs_fail(err, "Adding the key usage to a certificate");
    ASN1_BIT_STRING_free(usage);
    return rc;
}

static ASN1_OBJECT *usage_object(const char *word)
{
    static const struct {
        const char *word;
        int nid;
    } known[] = {{"serverAuth", NID_server_auth},  {"clientAuth", NID_client_auth},
                 {"codeSigning", NID_code_sign},   {"emailProtection", NID_email_protect},
                 {"timeStamping", NID_time_stamp}, {"OCSPSigning", NID_OCSP_sign},
                 {"any", NID_anyExtendedKeyUsage}};

    for (size_t i = 0; i < SHS_ARRAY_LEN(known); i++) {
        if (strcmp(word, known[i].word) == 0)
            return OBJ_nid2obj(known[i].nid);
    }
    return word[0] >= '0' && word[0] <= '2' ? OBJ_txt2obj(word, 1) : NULL;
}

static int add_extended_usage(X509 *cert, const char *words, struct shs_error *err)
{
    EXTENDED_KEY_USAGE *usage;
    char word[SHS_WORD_MAX];
    int rc = SHS_OK;

    if (words == NULL || strcmp(words, "none") == 0)
        return SHS_OK;
    if (words[strspn(words, " ,")] == '\0')
        return shs_error_set(err, SHS_USAGE, 0, "The usage is an empty list; none is \"none\".");
    usage = sk_ASN1_OBJECT_new_null();
    if (usage == NULL)
        return shs__certs_nomem(err);
    while (rc == SHS_OK && shs__word_next(&words, word)) {
        ASN1_OBJECT *object = usage_object(word);

        if (object == NULL) {
            rc = shs_error_set(
                err, SHS_USAGE, 0,
                "'%s' is not a usage. Use one of: serverAuth clientAuth emailProtection "
                "codeSigning timeStamping OCSPSigning any none, and OIDs.",
                word);
        } else if (sk_ASN1_OBJECT_push(usage, object) == 0) {
            ASN1_OBJECT_free(object);
            rc = shs__certs_nomem(err);
        }
    }
    if (rc == SHS_OK &&
        X509_add1_ext_i2d(cert, NID_ext_key_usage, usage, 0, X509V3_ADD_DEFAULT) != 1)
        rc = shs__certs_fail(err, "Adding the usage to a certificate");
    sk_ASN1_OBJECT_pop_free(usage, ASN1_OBJECT_free);
    return rc;
}

/* -- extensions of the caller's ---------------------------------------------------------------- */

/* True when an earlier line of the list is about the same extension. */
static bool is_second(const char *const *list, size_t at)
{
    size_t len = strcspn(list[at], "=");

    for (size_t i = 0; i < at; i++) {
        if (strncmp(list[i], list[at], len + 1) == 0)
            return true;
    }
    return false;
}

static int add_extension(STACK_OF(X509_EXTENSION) * *all, const char *line, bool second,
                         CONF *empty, X509V3_CTX *ctx, struct shs_error *err)
{
    const char *value = strchr(line, '=');
    char *name = value == NULL ? NULL : shs__strndup(line, (size_t)(value - line));
    ASN1_OBJECT *object = name == NULL ? NULL : OBJ_txt2obj(name, 0);
    X509_EXTENSION *ext = NULL;
    int at, rc = SHS_OK;

    if (object == NULL) {
        rc = shs_error_set(
            err, SHS_USAGE, 0,
            "'%s' is not an extension. Give NAME=VALUE with a name of OpenSSL's or an "
            "OID, such as tlsfeature=status_request or 1.2.3.4=critical,DER:0500.",
            line);
        goto out;
    }
    while (!second && (at = X509v3_get_ext_by_OBJ(*all, object, -1)) >= 0)
        X509_EXTENSION_free(X509v3_delete_ext(*all, at));
    if (strcmp(value + 1, "none") == 0)
        goto out;
    ext = X509V3_EXT_nconf(empty, ctx, name, value + 1);
    if (ext == NULL) {
        const char *reason = ERR_reason_error_string(ERR_peek_last_error());

        rc = shs_error_set(err, SHS_USAGE, 0, "OpenSSL cannot make the extension '%s': %s.", line,
                           reason == NULL ? "no reason" : reason);
    } else if (X509v3_add_ext(all, ext, -1) == NULL) {
        rc = shs__certs_nomem(err);
    }
out:
    ERR_clear_error();
    X509_EXTENSION_free(ext);
    ASN1_OBJECT_free(object);
    shs__free(name);
    return rc;
}

int shs__add_extensions(STACK_OF(X509_EXTENSION) * *all, const char *const *list, X509 *issuer,
                        X509 *subject, X509_CRL *crl, struct shs_error *err)
{
    CONF *empty; /* some extensions insist on a configuration, though they need nothing of it */
    X509V3_CTX ctx;
    int rc = SHS_OK;

    if (list == NULL || list[0] == NULL)
        return SHS_OK;
    empty = NCONF_new(NULL);
    if (empty == NULL)
        return shs__certs_nomem(err);
    X509V3_set_ctx(&ctx, issuer, subject, NULL, crl, 0);
    X509V3_set_nconf(&ctx, empty);
    for (size_t i = 0; rc == SHS_OK && list[i] != NULL; i++)
        rc = add_extension(all, list[i], is_second(list, i), empty, &ctx, err);
    NCONF_free(empty);
    return rc;
}

/* X509 gives no way to its list but one at a time. */
static int apply_extensions(X509 *cert, const char *const *list, X509 *issuer,
                            struct shs_error *err)
{
    STACK_OF(X509_EXTENSION) *all = NULL;
    X509_EXTENSION *ext;
    int rc = SHS_OK;

    if (list == NULL || list[0] == NULL)
        return SHS_OK;
    all = sk_X509_EXTENSION_new_null();
    while (all != NULL && (ext = X509_delete_ext(cert, 0)) != NULL) {
        if (sk_X509_EXTENSION_push(all, ext) == 0) {
            X509_EXTENSION_free(ext);
            rc = shs__certs_nomem(err);
        }
    }
    ERR_clear_error();
    if (all == NULL)
        return shs__certs_nomem(err);
    if (rc == SHS_OK)
        rc = shs__add_extensions(&all, list, issuer, cert, NULL, err);
    for (int i = 0; rc == SHS_OK && i < sk_X509_EXTENSION_num(all); i++) {
        if (X509_add_ext(cert, sk_X509_EXTENSION_value(all, i), -1) != 1)
            rc = shs__certs_nomem(err);
    }
    sk_X509_EXTENSION_pop_free(all, X509_EXTENSION_free);
    return rc;
}

/* -- the certificate --------------------------------------------------------------------------- */

static int set_subject_list(X509_NAME *name, const char *const *list, struct shs_error *err)
{
    for (; *list != NULL; list++) {
        const char *value = strchr(*list, '=');
        char type[SHS_WORD_MAX];
        size_t len = value == NULL ? 0 : (size_t)(value - *list);

        if (len > 0 && len < sizeof type) {
            memcpy(type, *list, len);
            type[len] = '\0';
            if (X509_NAME_add_entry_by_txt(name, type, MBSTRING_UTF8,
                                           (const unsigned char *)value + 1, -1, -1, 0) == 1)
                continue;
        }
        ERR_clear_error();
        return shs_error_set(
            err, SHS_USAGE, 0,
            "'%s' is not a part of a subject. Give TYPE=TEXT with a type of OpenSSL's "
            "(C ST L O OU CN serialNumber emailAddress ...), 64 bytes of text at "
            "most, 2 for C.",
            *list);
    }
    return SHS_OK;
}

static int bad_common_name(const char *text, struct shs_error *err)
{
    ERR_clear_error();
    if (text[0] == '\0')
        return shs_error_set(err, SHS_USAGE, 0, "A common name cannot be empty: leave it out.");
    return shs_error_set(err, SHS_USAGE, 0, "The common name '%s' is not UTF-8.", text);
}

static int set_subject(X509 *cert, const struct shs_cert_spec *spec, struct shs_error *err)
{
    X509_NAME *name = X509_get_subject_name(cert);

    if (spec->subject_name != NULL)
        return X509_set_subject_name(cert, spec->subject_name) == 1 ? SHS_OK
                                                                    : shs__certs_nomem(err);
    if (spec->subject != NULL)
        return set_subject_list(name, spec->subject, err);
    if (spec->common_name == NULL)
        return SHS_OK;
    if (strlen(spec->common_name) > CN_MAX)
        return shs_error_set(err, SHS_USAGE, 0, "The common name '%s' is longer than %u bytes.",
                             spec->common_name, CN_MAX);
    if (X509_NAME_add_entry_by_NID(name, NID_commonName, MBSTRING_UTF8,
                                   (const unsigned char *)spec->common_name, -1, -1, 0) != 1)
        return bad_common_name(spec->common_name, err);
    return SHS_OK;
}

/* Ed25519 and Ed448 have a digest of their own. */
static bool has_own_digest(EVP_PKEY *key)
{
    return EVP_PKEY_is_a(key, "ED25519") || EVP_PKEY_is_a(key, "ED448");
}

const char *shs__sign_digest(EVP_PKEY *key, const char *asked, const char *usual)
{
    return asked != NULL || has_own_digest(key) ? asked : usual;
}

int shs__sign_failed(struct shs_error *err, EVP_PKEY *key, const char *digest, const char *doing)
{
    const char *kind = EVP_PKEY_get0_type_name(key);

    if (digest == NULL)
        return shs__certs_fail(err, doing);
    ERR_clear_error();
    return shs_error_set(
        err, SHS_USAGE, 0,
        "The key that signs (%s, %d bits) does not sign over %s: give the "
        "authority another kind of key, such as rsa2048, or choose another digest.",
        kind == NULL ? "unknown" : kind, EVP_PKEY_get_bits(key), digest);
}

int shs__sign_ctx(EVP_MD_CTX **out, OSSL_LIB_CTX *lib, EVP_PKEY *key, const char *digest,
                  struct shs_error *err)
{
    bool plain = has_own_digest(key);
    EVP_MD_CTX *ctx = NULL;
    EVP_PKEY_CTX *pctx = NULL;
    const char *name = NULL;
    int rc = shs__digest_word(&name, digest, err);

    if (rc != SHS_OK)
        return rc;
    if (plain && digest != NULL)
        return shs__sign_failed(err, key, digest, "Signing");
    ctx = EVP_MD_CTX_new();
    if (ctx == NULL)
        return shs__certs_nomem(err);
    if (EVP_DigestSignInit_ex(ctx, &pctx, plain ? NULL : name, lib, NULL, key, NULL) != 1 ||
        (EVP_PKEY_is_a(key, "RSA-PSS") &&
         EVP_PKEY_CTX_set_rsa_pss_saltlen(pctx, RSA_PSS_SALTLEN_DIGEST) != 1)) {
        EVP_MD_CTX_free(ctx);
        return shs__sign_failed(err, key, digest, "Signing");
    }
    *out = ctx;
    return SHS_OK;
}

static int sign(X509 *cert, const struct shs_cert_spec *spec, EVP_PKEY *key, struct shs_error *err)
{
    EVP_MD_CTX *ctx = NULL;
    int rc = shs__sign_ctx(&ctx, spec->lib, key, spec->digest, err);

    if (rc == SHS_OK && X509_sign_ctx(cert, ctx) <= 0)
        rc = shs__sign_failed(err, key, spec->digest, "Signing a certificate");
    EVP_MD_CTX_free(ctx);
    return rc;
}

/* Whose key signs. Who signs itself need not say so, and an authority without a key identifier
   gives none: OpenSSL would write the extension without one (RFC 5280, 4.2.1.1). */
static bool add_authority_key(X509 *cert, X509 *signer)
{
    return signer == cert || X509_get_ext_by_NID(signer, NID_subject_key_identifier, -1) < 0 ||
           add_ext(cert, signer, NID_authority_key_identifier, "keyid");
}

/* What RFC 5280 asks for, and then what was asked for beside it. */
static int add_extensions(X509 *cert, const struct shs_cert_spec *spec, EVP_PKEY *key, X509 *signer,
                          struct shs_error *err)
{
    int rc;

    if (!add_usage(cert, spec, key) ||
        (spec->ca && !shs__add_constraints(cert, spec->permitted, spec->excluded)) ||
        !add_ext(cert, signer, NID_subject_key_identifier, "hash") ||
        !add_authority_key(cert, signer))
        return shs__certs_fail(err, "Making a certificate");
    rc = add_key_usage(cert, spec->key_usage, err);
    if (rc == SHS_OK)
        rc = add_extended_usage(cert, spec->usage, err);
    /* Critical when there is no subject to go by (RFC 5280, 4.2.1.6). */
    if (rc == SHS_OK)
        rc = shs__add_names(cert, spec->names,
                            X509_NAME_entry_count(X509_get_subject_name(cert)) == 0, err);
    if (rc == SHS_OK)
        rc = apply_extensions(cert, spec->extensions, signer, err);
    return rc;
}

int shs__mint_cert(X509 **out, const struct shs_cert_spec *spec, EVP_PKEY *key, X509 *issuer,
                   EVP_PKEY *issuer_key, struct shs_error *err)
{
    X509 *cert = X509_new_ex(spec->lib, NULL);
    X509 *signer = issuer == NULL ? cert : issuer;
    int rc;

    ERR_clear_error();
    if (cert == NULL)
        return shs__certs_nomem(err);
    rc = set_subject(cert, spec, err);
    if (rc == SHS_OK)
        rc = shs__serial_word(X509_get_serialNumber(cert), spec->serial, err);
    if (rc == SHS_OK &&
        (X509_set_version(cert, spec->version1 ? X509_VERSION_1 : X509_VERSION_3) != 1 ||
         X509_set_issuer_name(cert, X509_get_subject_name(signer)) != 1 ||
         ASN1_TIME_set(X509_getm_notBefore(cert), (time_t)spec->not_before) == NULL ||
         ASN1_TIME_set(X509_getm_notAfter(cert), (time_t)spec->not_after) == NULL ||
         X509_set_pubkey(cert, key) != 1))
        rc = shs__certs_fail(err, "Making a certificate");
    if (rc == SHS_OK && !spec->version1)
        rc = add_extensions(cert, spec, key, signer, err);
    if (rc == SHS_OK)
        rc = sign(cert, spec, issuer == NULL ? key : issuer_key, err);
    if (rc == SHS_OK) {
        *out = cert;
        cert = NULL;
    }
    X509_free(cert);
    return rc;
}

/* Appends what was written to `bio`, and frees that. */
static int take_pem(struct shs_buf *out, BIO *bio, bool good, struct shs_error *err)
{
    char *data = NULL;
    long len;
    int rc;

    if (bio == NULL || !good) {
        BIO_free(bio);
        return shs__certs_fail(err, "Writing PEM");
    }
    len = BIO_get_mem_data(bio, &data);
    rc = shs__buf_append(out, data, (size_t)len);
    OPENSSL_cleanse(data, (size_t)len);
    BIO_free(bio);
    return rc == SHS_OK ? rc : shs_error_set(err, rc, 0, "Out of memory for PEM.");
}

int shs__mint_cert_pem(struct shs_buf *out, X509 *cert, struct shs_error *err)
{
    BIO *bio = BIO_new(BIO_s_mem());

    return take_pem(out, bio, bio != NULL && PEM_write_bio_X509(bio, cert) == 1, err);
}

int shs__mint_key_pem(struct shs_buf *out, EVP_PKEY *key, const char *password,
                      struct shs_error *err)
{
    BIO *bio = BIO_new(BIO_s_secmem());
    int len = password == NULL ? 0 : (int)strlen(password);
    bool good =
        bio != NULL && PEM_write_bio_PKCS8PrivateKey(bio, key, len == 0 ? NULL : EVP_aes_256_cbc(),
                                                     password, len, NULL, NULL) == 1;

    return take_pem(out, bio, good, err);
}

bool shs__cert_covers(X509 *cert, const char *name)
{
    bool covers = X509_check_ip_asc(cert, name, 0) == 1 ||
                  X509_check_host(cert, name, 0, X509_CHECK_FLAG_NEVER_CHECK_SUBJECT, NULL) == 1;

    ERR_clear_error();
    return covers;
}
