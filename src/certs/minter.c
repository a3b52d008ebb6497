#include "certs/minter.h"

#include <openssl/bn.h>
#include <openssl/ec.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/rand.h>
#include <openssl/rsa.h>
#include <openssl/x509v3.h>

#define SERIAL_LEN 16
#define CN_MAX 64u /* RFC 5280, ub-common-name */
#define DNS_MAX 253u

/* Fails with OpenSSL's last reason. */
static int fail(struct shs_error *err, const char *what)
{
    unsigned long tls_code = ERR_peek_last_error();
    const char *reason = ERR_reason_error_string(tls_code);

    shs_error_set(err, SHS_TLS, 0, "%s failed: %s.", what, reason == NULL ? "no reason" : reason);
    if (err != NULL)
        err->tls_code = tls_code;
    ERR_clear_error();
    return SHS_TLS;
}

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
        return fail(err, "Making a private key");
    *out = key;
    return SHS_OK;
}

static bool is_dns_name(const char *name)
{
    size_t i, len = strlen(name);

    if (len == 0 || len > DNS_MAX || name[0] == '.')
        return false;
    for (i = 0; i < len; i++) {
        char c = name[i];

        if (!((c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
              c == '-' || c == '.' || c == '_' || (c == '*' && i == 0)))
            return false;
    }
    return true;
}

static GENERAL_NAME *make_name(const char *name)
{
    GENERAL_NAME *gen = GENERAL_NAME_new();
    ASN1_OCTET_STRING *ip = a2i_IPADDRESS(name);
    ASN1_IA5STRING *dns = NULL;

    ERR_clear_error(); /* it was not an address: no error */
    if (gen != NULL && ip != NULL) {
        GENERAL_NAME_set0_value(gen, GEN_IPADD, ip);
        return gen;
    }
    dns = ASN1_IA5STRING_new();
    if (gen == NULL || dns == NULL || ASN1_STRING_set(dns, name, (int)strlen(name)) != 1) {
        ASN1_OCTET_STRING_free(ip);
        ASN1_IA5STRING_free(dns);
        GENERAL_NAME_free(gen);
        return NULL;
    }
    GENERAL_NAME_set0_value(gen, GEN_DNS, dns);
    return gen;
}

static bool is_name(const char *name)
{
    ASN1_OCTET_STRING *ip = a2i_IPADDRESS(name);
    bool good = ip != NULL || is_dns_name(name);

    ASN1_OCTET_STRING_free(ip);
    ERR_clear_error();
    return good;
}

static int add_names(X509 *cert, const struct shs_cert_spec *spec, struct shs_error *err)
{
    GENERAL_NAMES *all;
    int rc = SHS_OK;
    size_t i;

    if (spec->names == NULL || spec->names[0] == NULL)
        return SHS_OK;
    all = sk_GENERAL_NAME_new_null();
    if (all == NULL)
        return shs_error_set(err, SHS_NOMEM, 0, "Out of memory for a certificate.");
    for (i = 0; spec->names[i] != NULL && rc == SHS_OK; i++) {
        GENERAL_NAME *gen = NULL;

        if (!is_name(spec->names[i])) {
            rc = shs_error_set(err, SHS_USAGE, 0, "'%s' is neither a DNS name nor an IP address.",
                               spec->names[i]);
            break;
        }
        gen = make_name(spec->names[i]);
        if (gen == NULL || sk_GENERAL_NAME_push(all, gen) == 0) {
            GENERAL_NAME_free(gen);
            rc = shs_error_set(err, SHS_NOMEM, 0, "Out of memory for a certificate.");
        }
    }
    /* Critical when there is no subject to go by (RFC 5280, 4.2.1.6). */
    if (rc == SHS_OK && X509_add1_ext_i2d(cert, NID_subject_alt_name, all,
                                          spec->common_name == NULL, X509V3_ADD_DEFAULT) != 1)
        rc = fail(err, "Adding the names to a certificate");
    sk_GENERAL_NAME_pop_free(all, GENERAL_NAME_free);
    return rc;
}

/* -- what a CA may sign for -------------------------------------------------------------------- */

/* "10.0.0.0/8" as address and mask, one after the other (RFC 5280, 4.2.1.10); NULL: it is none. */
static ASN1_OCTET_STRING *make_network(const char *text)
{
    const char *slash = strchr(text, '/');
    size_t len = slash == NULL ? strlen(text) : (size_t)(slash - text);
    char address[64];
    unsigned char bytes[32] = {0};
    ASN1_OCTET_STRING *ip, *network;
    size_t size, bits, i;

    if (len >= sizeof address)
        return NULL;
    memcpy(address, text, len);
    address[len] = '\0';
    ip = a2i_IPADDRESS(address);
    ERR_clear_error(); /* a name is no error */
    if (ip == NULL)
        return NULL;
    size = (size_t)ASN1_STRING_length(ip);
    memcpy(bytes, ASN1_STRING_get0_data(ip), size);
    ASN1_OCTET_STRING_free(ip);
    bits = slash == NULL ? size * 8 : strtoul(slash + 1, NULL, 10);
    for (i = 0; i < size * 8 && i < bits; i++)
        bytes[size + i / 8] |= (unsigned char)(0x80u >> i % 8);
    network = ASN1_OCTET_STRING_new();
    if (network != NULL && ASN1_OCTET_STRING_set(network, bytes, (int)(2 * size)) != 1) {
        ASN1_OCTET_STRING_free(network);
        network = NULL;
    }
    return network;
}

static GENERAL_SUBTREE *make_subtree(const char *name)
{
    GENERAL_SUBTREE *tree = GENERAL_SUBTREE_new();
    ASN1_OCTET_STRING *network = make_network(name);
    GENERAL_NAME *base = NULL;

    if (network == NULL) {
        base = make_name(name);
    } else {
        base = GENERAL_NAME_new();
        if (base != NULL)
            GENERAL_NAME_set0_value(base, GEN_IPADD, network);
        else
            ASN1_OCTET_STRING_free(network);
    }
    if (tree == NULL || base == NULL) {
        GENERAL_SUBTREE_free(tree);
        GENERAL_NAME_free(base);
        return NULL;
    }
    GENERAL_NAME_free(tree->base);
    tree->base = base;
    return tree;
}

static bool add_constraints(X509 *cert, const char *const *permitted)
{
    NAME_CONSTRAINTS *all = NAME_CONSTRAINTS_new();
    bool good = all != NULL;

    if (good) {
        all->permittedSubtrees = sk_GENERAL_SUBTREE_new_null();
        good = all->permittedSubtrees != NULL;
    }
    for (; good && *permitted != NULL; permitted++) {
        GENERAL_SUBTREE *tree = make_subtree(*permitted);

        good = tree != NULL && sk_GENERAL_SUBTREE_push(all->permittedSubtrees, tree) > 0;
        if (!good)
            GENERAL_SUBTREE_free(tree);
    }
    good = good && X509_add1_ext_i2d(cert, NID_name_constraints, all, 1, X509V3_ADD_DEFAULT) == 1;
    NAME_CONSTRAINTS_free(all);
    return good;
}

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

static bool add_usage(X509 *cert, const struct shs_cert_spec *spec, EVP_PKEY *key)
{
    const char *extended = NULL;

    if (spec->ca)
        return add_ext(cert, cert, NID_basic_constraints, "critical,CA:TRUE,pathlen:0") &&
               add_ext(cert, cert, NID_key_usage, "critical,keyCertSign,cRLSign") &&
               (spec->permitted == NULL || add_constraints(cert, spec->permitted));
    if (spec->server_auth && spec->client_auth)
        extended = "serverAuth,clientAuth";
    else if (spec->server_auth)
        extended = "serverAuth";
    else if (spec->client_auth)
        extended = "clientAuth";
    return add_ext(cert, cert, NID_basic_constraints, "critical,CA:FALSE") &&
           add_ext(cert, cert, NID_key_usage,
                   EVP_PKEY_is_a(key, "RSA") ? "critical,digitalSignature,keyEncipherment"
                                             : "critical,digitalSignature") &&
           (extended == NULL || add_ext(cert, cert, NID_ext_key_usage, extended));
}

static bool set_serial(X509 *cert)
{
    unsigned char bytes[SERIAL_LEN];
    BIGNUM *bn;
    bool good;

    if (RAND_bytes(bytes, sizeof bytes) != 1)
        return false;
    /* Positive (top bit 0), and always of the same length. */
    bytes[0] = (unsigned char)((bytes[0] & 0x7f) | 0x40);
    bn = BN_bin2bn(bytes, sizeof bytes, NULL);
    good = bn != NULL && BN_to_ASN1_INTEGER(bn, X509_get_serialNumber(cert)) != NULL;
    BN_free(bn);
    return good;
}

static bool set_subject(X509 *cert, const char *common_name)
{
    X509_NAME *name = X509_get_subject_name(cert);

    return common_name == NULL ||
           X509_NAME_add_entry_by_NID(name, NID_commonName, MBSTRING_UTF8,
                                      (const unsigned char *)common_name, -1, -1, 0) == 1;
}

int shs__mint_cert(X509 **out, const struct shs_cert_spec *spec, EVP_PKEY *key, X509 *issuer,
                   EVP_PKEY *issuer_key, struct shs_error *err)
{
    X509 *cert = X509_new();
    X509 *signer = issuer == NULL ? cert : issuer;
    int rc = SHS_OK;

    ERR_clear_error();
    if (cert == NULL)
        return shs_error_set(err, SHS_NOMEM, 0, "Out of memory for a certificate.");
    if (spec->common_name != NULL && strlen(spec->common_name) > CN_MAX) {
        rc = shs_error_set(err, SHS_USAGE, 0, "The common name '%s' is longer than %u bytes.",
                           spec->common_name, CN_MAX);
        goto out;
    }
    if (X509_set_version(cert, X509_VERSION_3) != 1 || !set_serial(cert) ||
        !set_subject(cert, spec->common_name) ||
        X509_set_issuer_name(cert, X509_get_subject_name(signer)) != 1 ||
        ASN1_TIME_set(X509_getm_notBefore(cert), (time_t)spec->not_before) == NULL ||
        ASN1_TIME_set(X509_getm_notAfter(cert), (time_t)spec->not_after) == NULL ||
        X509_set_pubkey(cert, key) != 1 || !add_usage(cert, spec, key) ||
        !add_ext(cert, signer, NID_subject_key_identifier, "hash") ||
        !add_ext(cert, signer, NID_authority_key_identifier, "keyid")) {
        rc = fail(err, "Making a certificate");
        goto out;
    }
    rc = add_names(cert, spec, err);
    if (rc != SHS_OK)
        goto out;
    if (X509_sign(cert, issuer == NULL ? key : issuer_key, EVP_sha256()) == 0) {
        rc = fail(err, "Signing a certificate");
        goto out;
    }
    *out = cert;
    cert = NULL;
out:
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
        return fail(err, "Writing PEM");
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
