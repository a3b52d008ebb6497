#include "tls/config/identity.h"

#include <stdio.h>

#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/pkcs12.h>
#include <openssl/x509v3.h>

#include "tls/config/pem.h"
#include "tls/config/source.h"

/* No certificate chain or key is longer; a wrong path (a log, a disk image) is. */
#define PEM_CEILING ((size_t)1024 * 1024)
#define PASSWORD_CAP ((size_t)1024)
#define CHAIN_MAX 10
/* Whoever has that much can say what is wrong. */
#define PROBE ((size_t)4096)

/* One of the two inputs: the bytes, and what to call them. */
struct pem_source {
    char name[96]; /* "'cert.pem'" or "opt.cert_pem" */
    struct shs_buf bytes;
    unsigned certs, keys; /* blocks of each kind in it */
    struct shs_buf key;   /* the first key's block */
};

/* What the password callback of OpenSSL needs; it asks the user's once, whatever OpenSSL tries. */
struct password_state {
    const struct shs_tls_cert *from;
    bool asked;
    int len; /* of `text`; -1: none */
    char text[PASSWORD_CAP];
};

/*
 * From 3.2 on memory that cannot be made larger says nothing. So the first error is that of whoever
 * wanted it, and speaks of something that failed below, where nothing did. No fault in ASN.1 begins
 * like this (test_tls_memory.c damages each bit).
 */
static bool has_nothing_below(unsigned long code)
{
    int reason = ERR_GET_REASON(code);

    if (ERR_GET_LIB(code) == ERR_LIB_ASN1 &&
        (reason == ERR_R_ASN1_LIB || reason == ERR_R_NESTED_ASN1_ERROR))
        return true;
    return reason == ERR_R_CRYPTO_LIB || reason == ERR_R_BUF_LIB;
}

bool shs__tls_was_nomem(void)
{
    unsigned long code = ERR_peek_error();
    bool found = has_nothing_below(code);

    while ((code = ERR_get_error()) != 0)
        found = found || ERR_GET_REASON(code) == ERR_R_MALLOC_FAILURE;
    return found;
}

/* That it is self-signed is found out once as well; that it is its own issuer, each time. */
static bool knows_itself(X509 *cert)
{
    uint32_t flags = X509_get_extension_flags(cert);

    return (flags & EXFLAG_SI) == 0 || (flags & EXFLAG_SS) != 0 ||
           X509_check_issued(cert, cert) != X509_V_OK;
}

bool shs__tls_is_whole(X509 *cert)
{
    EVP_PKEY *key = X509_get0_pubkey(cert);

    /* What a key says of itself is asked for once, too, and is 0 if that failed. */
    return key != NULL && EVP_PKEY_get_bits(key) > 0 && EVP_PKEY_get_security_bits(key) > 0 &&
           EVP_PKEY_get_size(key) > 0 && X509_check_purpose(cert, -1, 0) == 1 && knows_itself(cert);
}

bool shs__tls_is_short_of_memory(void)
{
    void *ours = shs__malloc(PROBE), *theirs = OPENSSL_malloc(PROBE);
    bool is_short = ours == NULL || theirs == NULL;

    shs__free(ours);
    OPENSSL_free(theirs);
    return is_short;
}

int shs__tls_error(struct shs_error *err, int code, const char *fmt, ...)
{
    unsigned long tls_code = ERR_peek_last_error();
    const char *reason = ERR_reason_error_string(tls_code);
    char text[sizeof err->text];
    va_list ap;

    va_start(ap, fmt);
    vsnprintf(text, sizeof text, fmt, ap);
    va_end(ap);
    /* What fails without a reason has found no memory to say it in; but for a list with a wrong
       name in it, of which OpenSSL 3.5 says nothing. */
    if (shs__tls_was_nomem() || (tls_code == 0 && code != SHS_USAGE)) {
        code = SHS_NOMEM;
        reason = "out of memory";
    }
    shs_error_set(err, code, 0, "%s: %s", text, reason == NULL ? "no reason given" : reason);
    if (err != NULL)
        err->tls_code = tls_code;
    return code;
}

static void source_free(struct pem_source *src)
{
    if (src->bytes.data != NULL)
        OPENSSL_cleanse(src->bytes.data, src->bytes.cap);
    if (src->key.data != NULL)
        OPENSSL_cleanse(src->key.data, src->key.cap);
    shs__buf_free(&src->bytes);
    shs__buf_free(&src->key);
}

/* Fills *src from a path or from memory; `what` is "certificate" or "key". */
static int source_load(struct pem_source *src, const char *what, const char *member,
                       const char *path, const void *pem, size_t pem_len, struct shs_error *err)
{
    struct shs_tls_path_name name;
    int rc;

    shs__buf_init(&src->bytes, PEM_CEILING);
    if (path == NULL) {
        snprintf(src->name, sizeof src->name, "opt.%s", member);
        rc = shs__buf_append(&src->bytes, pem, pem_len);
        if (rc != SHS_OK)
            return shs_error_set(err, rc, 0, "%s is longer than 1 MiB, or out of memory.",
                                 src->name);
    } else {
        shs__tls_path_name(&name, path);
        snprintf(src->name, sizeof src->name, "%s", name.text);
        rc = shs__tls_read_file(&src->bytes, path, PEM_CEILING, what, err);
        if (rc != SHS_OK)
            return rc;
    }
    if (src->bytes.len == 0)
        return shs_error_set(err, SHS_TLS, 0,
                             "The %s in %s is empty: there is nothing in it. Write it again.", what,
                             src->name);
    return SHS_OK;
}

static int keep_cert(struct shs_tls_identity *self, const struct pem_source *src, X509 *cert,
                     struct shs_error *err)
{
    if (self->leaf == NULL) {
        self->leaf = cert;
        return SHS_OK;
    }
    if (sk_X509_push(self->chain, cert) != 0)
        return SHS_OK;
    X509_free(cert);
    return shs_error_set(err, SHS_NOMEM, 0, "Out of memory while reading %s.", src->name);
}

/* One block: kept when it is a certificate and there is a `self` for it. */
static int take_block(struct pem_source *src, const struct shs_tls_pem *pem,
                      const struct shs_tls_pem_block *block, struct shs_tls_identity *self,
                      struct shs_error *err)
{
    X509 *cert = NULL;
    int rc;

    if (shs__tls_pem_is_key(block)) {
        if (src->keys++ == 0 && shs__tls_pem_text(block, &src->key) != SHS_OK)
            return shs_error_set(err, SHS_NOMEM, 0, "Out of memory while reading %s.", src->name);
        return SHS_OK;
    }
    if (!shs__tls_pem_is_certificate(block)) {
        if (shs__tls_pem_is(block, PEM_STRING_ECPARAMETERS) ||
            shs__tls_pem_is(block, PEM_STRING_DHPARAMS))
            return SHS_OK; /* openssl ecparam writes it beside the key; the key has it too */
        return shs__tls_pem_stray(pem, block, "certificate or key", err);
    }
    src->certs++;
    if (self == NULL)
        return SHS_OK;
    rc = shs__tls_pem_certificate(&cert, pem, block, err);
    return rc == SHS_OK ? keep_cert(self, src, cert, err) : rc;
}

/*
 * Counts the PEM blocks of *src, keeps the first key's text and, with `self`, the certificates.
 */
static int scan_blocks(struct pem_source *src, struct shs_tls_identity *self, struct shs_error *err)
{
    struct shs_tls_pem_block block;
    struct shs_tls_pem pem;
    int rc;

    shs__buf_init(&src->key, PEM_CEILING + 1);
    shs__tls_pem_begin(&pem, shs__buf_head(&src->bytes), src->bytes.len, src->name);
    while ((rc = shs__tls_pem_next(&pem, &block, err)) == SHS_OK) {
        rc = take_block(src, &pem, &block, self, err);
        shs__tls_pem_drop(&block);
        if (rc != SHS_OK)
            return rc;
    }
    return rc == SHS_CLOSED ? SHS_OK : rc;
}

/* Neither a certificate nor a key was found in it: what is it? */
static int not_pem(const struct pem_source *src, const char *what, struct shs_error *err)
{
    if ((unsigned char)src->bytes.data[src->bytes.start] == 0x30)
        return shs_error_set(err, SHS_TLS, 0,
                             "The %s in %s is not PEM; it looks like DER. Convert it with openssl "
                             "x509 or openssl pkey, -inform DER.",
                             what, src->name);
    return shs_error_set(err, SHS_TLS, 0,
                         "The %s in %s is not PEM: there is no '-----BEGIN' line of a certificate "
                         "or private key in it.",
                         what, src->name);
}

static int load_certs(struct shs_tls_identity *self, struct pem_source *cert,
                      struct pem_source *key, struct shs_error *err)
{
    int rc = scan_blocks(cert, self, err);

    if (rc == SHS_OK && key != cert)
        rc = scan_blocks(key, NULL, err);
    if (rc != SHS_OK)
        return rc;
    if (cert->certs == 0 && cert->keys == 0)
        return not_pem(cert, "certificate", err);
    if (cert->certs == 0 && key != cert && key->certs > 0 && key->keys == 0)
        return shs_error_set(err, SHS_TLS, 0,
                             "Certificate and key are swapped: %s holds the key and %s the "
                             "certificate. Exchange the two.",
                             cert->name, key->name);
    if (cert->certs == 0)
        return shs_error_set(err, SHS_TLS, 0,
                             "%s was given as the certificate, but it holds a private key and no "
                             "certificate.",
                             cert->name);
    if (key->certs == 0 && key->keys == 0)
        return not_pem(key, "key", err);
    if (key->keys > 0)
        return SHS_OK;
    if (key == cert)
        return shs_error_set(err, SHS_TLS, 0,
                             "%s holds a certificate but no private key. Give the key as a file of "
                             "its own (--key or --admin-key; keyfile), or append it.",
                             cert->name);
    return shs_error_set(err, SHS_TLS, 0,
                         "%s was given as the key, but it holds a certificate and no private key.",
                         key->name);
}

static int give_password(char *buf, int cap, int rwflag, void *arg)
{
    struct password_state *state = arg;

    SHS_UNUSED(rwflag);
    if (!state->asked) {
        state->asked = true;
        state->len = -1;
        if (state->from->password != NULL)
            state->len =
                state->from->password(state->from->password_ctx, state->text, PASSWORD_CAP);
        if (state->len > (int)PASSWORD_CAP)
            state->len = -1;
    }
    if (state->len < 0 || state->len > cap)
        return -1;
    memcpy(buf, state->text, (size_t)state->len);
    return state->len;
}

/*
 * The algorithm that OpenSSL has not, or has put away with the old ones (its legacy provider), if
 * that is why something failed. Empties the queue.
 */
static bool lacks_algorithm(char *name, size_t cap)
{
    const char *data = NULL, *start, *end;
    unsigned long code;
    bool found = false;
    int flags = 0;

    while ((code = ERR_get_error_all(NULL, NULL, NULL, &data, &flags)) != 0) {
        int reason = ERR_GET_REASON(code);

        if (found || ERR_GET_LIB(code) != ERR_LIB_EVP ||
            (reason != ERR_R_UNSUPPORTED && reason != EVP_R_UNSUPPORTED_ALGORITHM &&
             reason != EVP_R_UNKNOWN_PBE_ALGORITHM && reason != EVP_R_UNKNOWN_CIPHER))
            continue;
        found = true;
        start = (flags & ERR_TXT_STRING) == 0 || data == NULL ? NULL : strstr(data, "Algorithm (");
        start = start == NULL ? NULL : start + strlen("Algorithm (");
        end = start == NULL ? NULL : start + strcspn(start, " )");
        snprintf(name, cap, "%.*s", start == NULL ? 3 : (int)(end - start),
                 start == NULL ? "one" : start);
    }
    return found;
}

static int load_key(struct shs_tls_identity *self, const struct pem_source *src,
                    struct password_state *state, struct shs_error *err)
{
    BIO *bio = BIO_new_mem_buf(shs__buf_head(&src->key), (int)src->key.len);
    char algorithm[48];
    int rc = SHS_OK;

    if (bio == NULL)
        return shs_error_set(err, SHS_NOMEM, 0, "Out of memory while reading %s.", src->name);
    ERR_clear_error();
    self->key = PEM_read_bio_PrivateKey(bio, NULL, give_password, state);
    if (self->key != NULL)
        goto out;
    if (!state->asked)
        rc = shs__tls_error(err, SHS_TLS, "The private key in %s is malformed", src->name);
    else if (state->len < 0)
        rc = shs_error_set(err, SHS_TLS, 0,
                           "The private key in %s is encrypted and there is no password for it. "
                           "Give it with --password-file (opt.password), or decrypt the key.",
                           src->name);
    else if (lacks_algorithm(algorithm, sizeof algorithm))
        rc = shs_error_set(err, SHS_TLS, 0,
                           "The private key in %s is encrypted with an algorithm that OpenSSL has "
                           "retired (%s). Convert it: openssl pkey -provider legacy -provider "
                           "default -aes256 -in OLD -out NEW",
                           src->name, algorithm);
    else
        rc = shs_error_set(err, SHS_TLS, 0, "The password does not open the private key in %s.",
                           src->name);
out:
    ERR_clear_error();
    BIO_free(bio);
    return rc;
}

static int check_match(const struct shs_tls_identity *self, const struct pem_source *cert,
                       const struct pem_source *key, struct shs_error *err)
{
    int i;

    if (X509_check_private_key(self->leaf, self->key) == 1)
        return SHS_OK;
    ERR_clear_error();
    for (i = 0; i < sk_X509_num(self->chain); i++) {
        if (X509_check_private_key(sk_X509_value(self->chain, i), self->key) == 1)
            return shs_error_set(
                err, SHS_TLS, 0,
                "The certificates in %s are in the wrong order: the one of the key "
                "must come first, and it is number %d.",
                cert->name, i + 2);
        ERR_clear_error();
    }
    return shs_error_set(err, SHS_TLS, 0,
                         "The private key in %s does not belong to the certificate in %s.",
                         key->name, cert->name);
}

/*
 * A certificate is taken apart once and for all, and what could not be for want of memory is never
 * tried again: its key would have no size for ever. A copy is whole then.
 */
static bool lacks_a_part(X509 *cert)
{
    X509 *copy = shs__tls_is_whole(cert) ? NULL : X509_dup(cert);
    bool lacks = copy == NULL ? !shs__tls_is_whole(cert) : shs__tls_is_whole(copy);

    X509_free(copy);
    return lacks;
}

static int check_whole(const struct shs_tls_identity *self, struct shs_error *err)
{
    bool lacks = lacks_a_part(self->leaf);

    for (int i = 0; !lacks && i < sk_X509_num(self->chain); i++)
        lacks = lacks_a_part(sk_X509_value(self->chain, i));
    ERR_clear_error();
    return lacks ? shs_error_set(err, SHS_NOMEM, 0, "Out of memory for a certificate.") : SHS_OK;
}

/* -- PKCS #12 ---------------------------------------------------------------------------------- */

static PKCS12 *find_pkcs12(const struct pem_source *src)
{
    const unsigned char *at = (const unsigned char *)shs__buf_head(&src->bytes);
    PKCS12 *p12 = NULL;

    if (shs__tls_is_der(&src->bytes))
        p12 = d2i_PKCS12(NULL, &at, (long)src->bytes.len);
    ERR_clear_error();
    return p12;
}

/* Certificates and the first key of a PKCS #12 file, as they are found. */
struct bags {
    EVP_PKEY *key;
    STACK_OF(X509) * certs;
    const char *password; /* NULL: none */
    int len;
};

#define NESTED_MAX 4

static bool take_bags(struct bags *to, const STACK_OF(PKCS12_SAFEBAG) * safes, unsigned depth);

/* False when something in it cannot be opened. */
static bool take_bag(struct bags *to, const PKCS12_SAFEBAG *bag, unsigned depth)
{
    PKCS8_PRIV_KEY_INFO *opened;
    X509 *cert;

    switch (PKCS12_SAFEBAG_get_nid(bag)) {
    case NID_keyBag:
        if (to->key == NULL)
            to->key = EVP_PKCS82PKEY(PKCS12_SAFEBAG_get0_p8inf(bag));
        return to->key != NULL;
    case NID_pkcs8ShroudedKeyBag:
        if (to->key != NULL)
            return true;
        opened = PKCS12_decrypt_skey(bag, to->password, to->len);
        to->key = opened == NULL ? NULL : EVP_PKCS82PKEY(opened);
        PKCS8_PRIV_KEY_INFO_free(opened);
        return to->key != NULL;
    case NID_certBag:
        if (PKCS12_SAFEBAG_get_bag_nid(bag) != NID_x509Certificate)
            return true;
        cert = PKCS12_SAFEBAG_get1_cert(bag);
        if (cert != NULL && sk_X509_push(to->certs, cert) > 0)
            return true;
        X509_free(cert);
        return false;
    case NID_safeContentsBag:
        return depth < NESTED_MAX && take_bags(to, PKCS12_SAFEBAG_get0_safes(bag), depth + 1);
    default:
        return true; /* a CRL, a secret: not for us */
    }
}

static bool take_bags(struct bags *to, const STACK_OF(PKCS12_SAFEBAG) * safes, unsigned depth)
{
    bool good = true;

    for (int i = 0; good && i < sk_PKCS12_SAFEBAG_num(safes); i++)
        good = take_bag(to, sk_PKCS12_SAFEBAG_value(safes, i), depth);
    return good;
}

/*
 * All that is in the file, with this password. PKCS12_parse does the same, but insists on a MAC and
 * does not tell a wrong password from an algorithm it lacks.
 */
static bool unpack_pkcs12(struct bags *to, const PKCS12 *p12, const char *password, int len)
{
    STACK_OF(PKCS7) *parts = PKCS12_unpack_authsafes(p12);
    bool good = parts != NULL;

    EVP_PKEY_free(to->key);
    sk_X509_pop_free(to->certs, X509_free);
    *to = (struct bags){.certs = sk_X509_new_null(), .password = password, .len = len};
    good = good && to->certs != NULL;
    for (int i = 0; good && i < sk_PKCS7_num(parts); i++) {
        PKCS7 *part = sk_PKCS7_value(parts, i);
        STACK_OF(PKCS12_SAFEBAG) *safes = NULL;

        if (PKCS7_type_is_data(part))
            safes = PKCS12_unpack_p7data(part);
        else if (PKCS7_type_is_encrypted(part))
            safes = PKCS12_unpack_p7encdata(part, password, len);
        else
            continue; /* sealed for somebody's public key */
        good = safes != NULL && take_bags(to, safes, 0);
        sk_PKCS12_SAFEBAG_pop_free(safes, PKCS12_SAFEBAG_free);
    }
    sk_PKCS7_pop_free(parts, PKCS7_free);
    return good;
}

static int fail_algorithm(const struct pem_source *src, const char *algorithm,
                          struct shs_error *err)
{
    return shs_error_set(err, SHS_TLS, 0,
                         "The PKCS #12 file %s uses an algorithm that OpenSSL has retired (%s). "
                         "Convert it: openssl pkcs12 -legacy -nodes -in OLD -out NEW.pem, and give "
                         "NEW.pem.",
                         src->name, algorithm);
}

static bool is_ascii(const char *text, int len)
{
    for (int i = 0; i < len; i++) {
        if ((text[i] & 0x80) != 0)
            return false;
    }
    return true;
}

/* The password is right by the file's own MAC, or there is no MAC to know it by. */
static int open_with(struct bags *bags, const PKCS12 *p12, const char *password, int len,
                     const struct pem_source *src, struct shs_error *err)
{
    char algorithm[48];

    ERR_clear_error();
    if (unpack_pkcs12(bags, p12, password, len))
        return SHS_OK;
    if (PKCS12_mac_present(p12) != 0 &&
        ERR_GET_REASON(ERR_peek_last_error()) == ERR_R_MALLOC_FAILURE)
        return shs_error_set(err, SHS_NOMEM, 0, "Out of memory while reading %s.", src->name);
    if (lacks_algorithm(algorithm, sizeof algorithm))
        return fail_algorithm(src, algorithm, err);
    /* The MAC knows the password in UTF-16, and new ciphers by its bytes. */
    if (PKCS12_mac_present(p12) != 0 && !is_ascii(password, len))
        return shs_error_set(err, SHS_TLS, 0,
                             "The PKCS #12 file %s was made with the same password in another "
                             "encoding (UTF-8, Latin-1): its content cannot be read. Give the "
                             "password in that one, or make the file with one in ASCII.",
                             src->name);
    if (PKCS12_mac_present(p12) != 0)
        return shs_error_set(err, SHS_TLS, 0,
                             "The PKCS #12 file %s is damaged: the password is right, and its "
                             "content cannot be read.",
                             src->name);
    return shs_error_set(err, SHS_TLS, 0,
                         "The password does not open the PKCS #12 file %s, or it is damaged (it "
                         "has no MAC by which to tell).",
                         src->name);
}

static int ask_password(struct password_state *state, const struct pem_source *src,
                        struct shs_error *err)
{
    char waste[PASSWORD_CAP];

    (void)give_password(waste, sizeof waste, 0, state);
    OPENSSL_cleanse(waste, sizeof waste);
    if (state->len < 0 || (size_t)state->len >= PASSWORD_CAP)
        return shs_error_set(err, SHS_TLS, 0,
                             "The PKCS #12 file %s is encrypted and there is no password for it. "
                             "Give it with --password-file (opt.password).",
                             src->name);
    state->text[state->len] = '\0';
    return SHS_OK;
}

/* By its MAC: with no password, an empty one, or the user's. */
static int open_by_mac(struct bags *bags, PKCS12 *p12, struct password_state *state,
                       const struct pem_source *src, struct shs_error *err)
{
    const ASN1_OBJECT *digest = NULL;
    const X509_ALGOR *mac = NULL;
    char algorithm[48];
    int rc;

    if (PKCS12_verify_mac(p12, NULL, 0) == 1)
        return open_with(bags, p12, NULL, 0, src, err);
    if (PKCS12_verify_mac(p12, "", 0) == 1)
        return open_with(bags, p12, "", 0, src, err);
    PKCS12_get0_mac(NULL, &mac, NULL, NULL, p12);
    X509_ALGOR_get0(&digest, NULL, NULL, mac);
    if (EVP_get_digestbyobj(digest) == NULL) {
        OBJ_obj2txt(algorithm, sizeof algorithm, digest, 0);
        return shs_error_set(err, SHS_TLS, 0,
                             "The PKCS #12 file %s has a MAC that this OpenSSL does not know (%s). "
                             "Make it again with openssl pkcs12 -export, or give PEM.",
                             src->name, algorithm);
    }
    rc = ask_password(state, src, err);
    if (rc != SHS_OK)
        return rc;
    ERR_clear_error();
    if (PKCS12_verify_mac(p12, state->text, state->len) == 1)
        return open_with(bags, p12, state->text, state->len, src, err);
    if (lacks_algorithm(algorithm, sizeof algorithm))
        return fail_algorithm(src, algorithm, err);
    return shs_error_set(err, SHS_TLS, 0, "The password does not open the PKCS #12 file %s.",
                         src->name);
}

static int open_pkcs12(struct bags *bags, PKCS12 *p12, struct password_state *state,
                       const struct pem_source *src, struct shs_error *err)
{
    int rc;

    if (PKCS12_mac_present(p12) != 0)
        return open_by_mac(bags, p12, state, src, err);
    if (unpack_pkcs12(bags, p12, NULL, 0) || unpack_pkcs12(bags, p12, "", 0))
        return SHS_OK;
    rc = ask_password(state, src, err);
    return rc == SHS_OK ? open_with(bags, p12, state->text, state->len, src, err) : rc;
}

/* The certificate of the key is the leaf; the others are its chain. */
static int take_identity(struct shs_tls_identity *self, struct bags *bags,
                         const struct pem_source *src, struct shs_error *err)
{
    if (bags->key == NULL || sk_X509_num(bags->certs) == 0)
        return shs_error_set(err, SHS_TLS, 0,
                             "The PKCS #12 file %s holds no pair of certificate and key: %s is "
                             "missing.",
                             src->name, bags->key == NULL ? "the private key" : "the certificate");
    for (int i = 0; self->leaf == NULL && i < sk_X509_num(bags->certs); i++) {
        if (X509_check_private_key(sk_X509_value(bags->certs, i), bags->key) == 1)
            self->leaf = sk_X509_delete(bags->certs, i);
    }
    if (self->leaf == NULL)
        return shs_error_set(err, SHS_TLS, 0,
                             "The PKCS #12 file %s holds no pair of certificate and key: the key "
                             "belongs to none of its certificates.",
                             src->name);
    self->key = bags->key;
    bags->key = NULL;
    sk_X509_pop_free(self->chain, X509_free);
    self->chain = bags->certs;
    bags->certs = NULL;
    return SHS_OK;
}

static int load_pkcs12(struct shs_tls_identity *self, PKCS12 *p12, const struct pem_source *src,
                       struct password_state *state, struct shs_error *err)
{
    struct bags bags = {.key = NULL};
    int rc = open_pkcs12(&bags, p12, state, src, err);

    if (rc == SHS_OK)
        rc = take_identity(self, &bags, src, err);
    EVP_PKEY_free(bags.key);
    sk_X509_pop_free(bags.certs, X509_free);
    ERR_clear_error();
    return rc;
}

/* -- the whole --------------------------------------------------------------------------------- */

/* What is named must be one certificate, and at most one key. */
static int check_source(const struct shs_tls_cert *opt, struct shs_error *err)
{
    if (opt->certfile == NULL && opt->cert_pem == NULL)
        return shs_error_set(err, SHS_USAGE, 0,
                             "TLS needs a certificate: set opt.certfile (and opt.keyfile), or "
                             "opt.cert_pem.");
    if ((opt->certfile != NULL && opt->cert_pem != NULL) ||
        (opt->keyfile != NULL && opt->key_pem != NULL))
        return shs_error_set(err, SHS_USAGE, 0,
                             "Give each of certificate and key once: as a file or as PEM in "
                             "memory, not both.");
    return SHS_OK;
}

static int load(struct shs_tls_identity *self, const struct shs_tls_cert *opt,
                struct password_state *state, struct shs_error *err)
{
    struct pem_source cert, own_key, *key = &cert;
    PKCS12 *p12 = NULL;
    int rc;

    memset(self, 0, sizeof *self);
    memset(&cert, 0, sizeof cert);
    memset(&own_key, 0, sizeof own_key);
    self->chain = sk_X509_new_null();
    if (self->chain == NULL) {
        rc = shs_error_set(err, SHS_NOMEM, 0, "Out of memory while reading the certificate.");
        goto out;
    }
    rc = source_load(&cert, "certificate", "cert_pem", opt->certfile, opt->cert_pem,
                     opt->cert_pem_len, err);
    if (rc == SHS_OK)
        p12 = find_pkcs12(&cert);
    if (p12 != NULL) {
        rc = load_pkcs12(self, p12, &cert, state, err);
        goto out;
    }
    if (rc == SHS_OK && (opt->keyfile != NULL || opt->key_pem != NULL)) {
        key = &own_key;
        rc = source_load(key, "key", "key_pem", opt->keyfile, opt->key_pem, opt->key_pem_len, err);
    }
    if (rc == SHS_OK)
        rc = load_certs(self, &cert, key, err);
    if (rc == SHS_OK)
        rc = load_key(self, key, state, err);
    if (rc == SHS_OK)
        rc = check_match(self, &cert, key, err);
out:
    if (rc == SHS_OK)
        rc = check_whole(self, err);
    PKCS12_free(p12);
    source_free(&cert);
    source_free(&own_key);
    if (rc != SHS_OK)
        shs__tls_identity_free(self);
    return rc;
}

int shs__tls_identity_load(struct shs_tls_identity *self, const struct shs_tls_cert *opt,
                           struct shs_error *err)
{
    struct password_state state = {.from = opt, .len = -1};
    int rc = check_source(opt, err);

    memset(self, 0, sizeof *self);
    if (rc != SHS_OK)
        return rc;
    rc = load(self, opt, &state, err);
    /* OpenSSL does not always tell that there was no memory: what is bad is so a second time. */
    if (rc == SHS_TLS)
        rc = load(self, opt, &state, err);
    OPENSSL_cleanse(state.text, sizeof state.text);
    return rc;
}

static bool self_signed(X509 *cert)
{
    return (X509_get_extension_flags(cert) & EXFLAG_SS) != 0;
}

/* Without memory a signature looks as one that is bad: what is bad is so a second time. */
static bool has_signed(X509 *issuer, X509 *cert)
{
    bool good = false;

    for (int i = 0; !good && i < 2; i++)
        good = X509_check_issued(issuer, cert) == X509_V_OK &&
               X509_verify(cert, X509_get0_pubkey(issuer)) == 1;
    return good;
}

/* The one in `all` that signed `cert`, or NULL. */
static X509 *find_issuer(X509 *cert, STACK_OF(X509) * all)
{
    for (int i = 0; i < sk_X509_num(all); i++) {
        if (has_signed(sk_X509_value(all, i), cert))
            return sk_X509_value(all, i);
    }
    ERR_clear_error();
    return NULL;
}

int shs__tls_identity_complete(struct shs_tls_identity *self, STACK_OF(X509) * pool,
                               unsigned *unused)
{
    STACK_OF(X509) *chain = sk_X509_new_null();
    X509 *at = self->leaf, *issuer;

    if (chain == NULL)
        return SHS_NOMEM;
    while (!self_signed(at) && sk_X509_num(chain) < CHAIN_MAX) {
        bool given = true;

        issuer = find_issuer(at, self->chain);
        if (issuer == NULL) {
            given = false;
            issuer = find_issuer(at, pool);
        }
        /* A root is for the client to have: it is sent only when the file has it, on purpose. */
        if (issuer == NULL || (self_signed(issuer) && !given))
            break;
        if (X509_up_ref(issuer) != 1 || sk_X509_push(chain, issuer) == 0) {
            sk_X509_pop_free(chain, X509_free);
            return SHS_NOMEM;
        }
        at = issuer;
    }
    if (!self_signed(at) && shs__tls_is_short_of_memory()) { /* there may be more of it */
        sk_X509_pop_free(chain, X509_free);
        return SHS_NOMEM;
    }
    *unused = 0;
    for (int i = 0; i < sk_X509_num(self->chain); i++) {
        X509 *cert = sk_X509_value(self->chain, i);
        bool used = self_signed(cert);

        for (int k = 0; !used && k < sk_X509_num(chain); k++)
            used = X509_cmp(cert, sk_X509_value(chain, k)) == 0;
        *unused += !used;
    }
    sk_X509_pop_free(self->chain, X509_free);
    self->chain = chain;
    return SHS_OK;
}

int shs__tls_identity_share(struct shs_tls_identity *self, const struct shs_tls_identity *from)
{
    memset(self, 0, sizeof *self);
    self->chain = X509_chain_up_ref(from->chain);
    if (self->chain == NULL)
        return SHS_NOMEM;
    if (X509_up_ref(from->leaf) == 1)
        self->leaf = from->leaf;
    if (EVP_PKEY_up_ref(from->key) == 1)
        self->key = from->key;
    if (self->leaf != NULL && self->key != NULL)
        return SHS_OK;
    shs__tls_identity_free(self);
    return SHS_NOMEM;
}

void shs__tls_identity_free(struct shs_tls_identity *self)
{
    X509_free(self->leaf);
    sk_X509_pop_free(self->chain, X509_free);
    EVP_PKEY_free(self->key);
    memset(self, 0, sizeof *self);
}
