#include "tls/config/identity.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/pkcs12.h>
#include <openssl/x509v3.h>

/* No certificate chain or key is longer; a wrong path (a log, a disk image) is. */
#define PEM_CEILING ((size_t)1024 * 1024)
#define PASSWORD_CAP ((size_t)1024)
#define CHAIN_MAX 10

/* One of the two inputs: the bytes, and what to call them. */
struct pem_source {
    char name[96]; /* "'cert.pem'" or "opt.cert_pem" */
    struct shs_buf bytes;
    unsigned certs, keys; /* blocks of each kind in it */
};

/* What the password callback of OpenSSL needs; it asks the user's once, whatever OpenSSL tries. */
struct password_state {
    const struct shs_tls_cert *from;
    bool asked;
    int len; /* of `text`; -1: none */
    char text[PASSWORD_CAP];
};

bool shs__tls_was_nomem(void)
{
    unsigned long code;
    bool found = false;

    while ((code = ERR_get_error()) != 0)
        found = found || ERR_GET_REASON(code) == ERR_R_MALLOC_FAILURE;
    return found;
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
    if (shs__tls_was_nomem()) {
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
    shs__buf_free(&src->bytes);
}

static int read_all(struct pem_source *src, int fd, const char *what, struct shs_error *err)
{
    char buf[96];
    struct stat st;
    size_t want = PEM_CEILING;
    ssize_t n;
    int rc;

    /* One allocation: a buffer that grows leaves copies of the key behind. */
    if (fstat(fd, &st) == 0 && S_ISREG(st.st_mode) && (uint64_t)st.st_size < PEM_CEILING)
        want = (size_t)st.st_size + 1;
    rc = shs__buf_reserve(&src->bytes, want);
    if (rc != SHS_OK)
        return shs_error_set(err, rc, 0, "Out of memory while reading %s.", src->name);
    for (;;) {
        if (shs__buf_room(&src->bytes) == 0) {
            if (src->bytes.cap < PEM_CEILING) /* it grew since fstat: read what was there */
                return SHS_OK;
            return shs_error_set(err, SHS_TLS, 0,
                                 "The %s file %s is longer than 1 MiB: that is no PEM file of a "
                                 "certificate or key.",
                                 what, src->name);
        }
        n = read(fd, shs__buf_tail(&src->bytes), shs__buf_room(&src->bytes));
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return shs_error_set(err, SHS_TLS, errno, "Cannot read the %s file %s: %s.", what,
                                 src->name, shs__strerror(errno, buf, sizeof buf));
        if (n == 0)
            return SHS_OK;
        src->bytes.len += (size_t)n;
    }
}

/* What to call a file; of a long path the end, which tells more. */
static void name_source(struct pem_source *src, const char *path)
{
    size_t len = strlen(path), most = sizeof src->name - sizeof "'...'";

    if (len <= most)
        snprintf(src->name, sizeof src->name, "'%s'", path);
    else
        snprintf(src->name, sizeof src->name, "'...%s'", path + len - most);
}

/* Fills *src from a path or from memory; `what` is "certificate" or "key". */
static int source_load(struct pem_source *src, const char *what, const char *member,
                       const char *path, const void *pem, size_t pem_len, struct shs_error *err)
{
    char buf[96];
    int fd, rc;

    shs__buf_init(&src->bytes, PEM_CEILING);
    if (path == NULL) {
        snprintf(src->name, sizeof src->name, "opt.%s", member);
        rc = shs__buf_append(&src->bytes, pem, pem_len);
        if (rc != SHS_OK)
            return shs_error_set(err, rc, 0, "%s is longer than 1 MiB, or out of memory.",
                                 src->name);
    } else {
        name_source(src, path);
        fd = open(path, O_RDONLY | O_CLOEXEC);
        if (fd < 0)
            return shs_error_set(err, SHS_TLS, errno, "Cannot open the %s file %s: %s.", what,
                                 src->name, shs__strerror(errno, buf, sizeof buf));
        rc = read_all(src, fd, what, err);
        close(fd);
        if (rc != SHS_OK)
            return rc;
    }
    if (src->bytes.len == 0)
        return shs_error_set(err, SHS_TLS, 0, "The %s in %s is empty: there is nothing in it.",
                             what, src->name);
    return SHS_OK;
}

static bool is_cert_block(const char *name)
{
    return strcmp(name, PEM_STRING_X509) == 0 || strcmp(name, PEM_STRING_X509_OLD) == 0 ||
           strcmp(name, PEM_STRING_X509_TRUSTED) == 0;
}

static int add_cert(struct shs_tls_identity *self, const struct pem_source *src,
                    const unsigned char *der, long len, struct shs_error *err)
{
    const unsigned char *at = der;
    X509 *cert = d2i_X509(NULL, &at, len);

    if (cert == NULL)
        return shs__tls_error(err, SHS_TLS, "Certificate number %u in %s is malformed", src->certs,
                              src->name);
    if (self->leaf == NULL) {
        self->leaf = cert;
        return SHS_OK;
    }
    if (sk_X509_push(self->chain, cert) == 0) {
        X509_free(cert);
        return shs_error_set(err, SHS_NOMEM, 0, "Out of memory while reading %s.", src->name);
    }
    return SHS_OK;
}

/*
 * Counts the PEM blocks of *src and, with `self`, keeps its certificates.
 */
static int scan_blocks(struct pem_source *src, struct shs_tls_identity *self, struct shs_error *err)
{
    BIO *bio = BIO_new_mem_buf(src->bytes.data, (int)src->bytes.len);
    int rc = SHS_OK;

    if (bio == NULL)
        return shs_error_set(err, SHS_NOMEM, 0, "Out of memory while reading %s.", src->name);
    ERR_clear_error();
    while (rc == SHS_OK) {
        char *name = NULL, *header = NULL;
        unsigned char *data = NULL;
        long len = 0;

        if (PEM_read_bio(bio, &name, &header, &data, &len) != 1) {
            if (ERR_GET_REASON(ERR_peek_last_error()) != PEM_R_NO_START_LINE)
                rc = shs__tls_error(err, SHS_TLS, "PEM block number %u in %s is malformed",
                                    src->certs + src->keys + 1, src->name);
            break;
        }
        if (is_cert_block(name)) {
            src->certs++;
            if (self != NULL)
                rc = add_cert(self, src, data, len, err);
        } else if (strstr(name, PEM_STRING_PKCS8INF) != NULL) {
            src->keys++;
        }
        OPENSSL_free(name);
        OPENSSL_free(header);
        OPENSSL_clear_free(data, (size_t)len);
    }
    ERR_clear_error();
    BIO_free(bio);
    return rc;
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
                             "its own (keyfile), or append it.",
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

static int load_key(struct shs_tls_identity *self, const struct pem_source *src,
                    const struct shs_tls_cert *from, struct shs_error *err)
{
    struct password_state state = {.from = from, .len = -1};
    BIO *bio = BIO_new_mem_buf(src->bytes.data, (int)src->bytes.len);
    int rc = SHS_OK;

    if (bio == NULL)
        return shs_error_set(err, SHS_NOMEM, 0, "Out of memory while reading %s.", src->name);
    ERR_clear_error();
    self->key = PEM_read_bio_PrivateKey(bio, NULL, give_password, &state);
    if (self->key != NULL)
        goto out;
    if (!state.asked)
        rc = shs__tls_error(err, SHS_TLS, "The private key in %s is malformed", src->name);
    else if (state.len < 0)
        rc = shs_error_set(err, SHS_TLS, 0,
                           "The private key in %s is encrypted and there is no password for it. "
                           "Set opt.password, or decrypt the key.",
                           src->name);
    else
        rc = shs_error_set(err, SHS_TLS, 0, "The password does not open the private key in %s.",
                           src->name);
out:
    ERR_clear_error();
    OPENSSL_cleanse(state.text, sizeof state.text);
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

/* -- PKCS #12 ---------------------------------------------------------------------------------- */

static PKCS12 *find_pkcs12(const struct pem_source *src)
{
    const unsigned char *at = (const unsigned char *)shs__buf_head(&src->bytes);
    PKCS12 *p12 = NULL;

    if (at[0] == 0x30)
        p12 = d2i_PKCS12(NULL, &at, (long)src->bytes.len);
    ERR_clear_error();
    return p12;
}

/* Opens it without a password, with an empty one, or with the user's. */
static int open_pkcs12(PKCS12 *p12, const struct pem_source *src, struct password_state *state,
                       const char **password, struct shs_error *err)
{
    char waste[PASSWORD_CAP];

    *password = NULL;
    if (PKCS12_mac_present(p12) == 0 || PKCS12_verify_mac(p12, NULL, 0) == 1)
        return SHS_OK;
    *password = "";
    if (PKCS12_verify_mac(p12, "", 0) == 1)
        return SHS_OK;
    (void)give_password(waste, sizeof waste, 0, state);
    OPENSSL_cleanse(waste, sizeof waste);
    ERR_clear_error();
    if (state->len < 0 || (size_t)state->len >= PASSWORD_CAP)
        return shs_error_set(err, SHS_TLS, 0,
                             "The PKCS #12 file %s is encrypted and there is no password for it. "
                             "Set opt.password.",
                             src->name);
    state->text[state->len] = '\0';
    *password = state->text;
    if (PKCS12_verify_mac(p12, state->text, state->len) == 1)
        return SHS_OK;
    return shs_error_set(err, SHS_TLS, 0, "The password does not open the PKCS #12 file %s.",
                         src->name);
}

static int load_pkcs12(struct shs_tls_identity *self, PKCS12 *p12, const struct pem_source *src,
                       const struct shs_tls_cert *from, struct shs_error *err)
{
    struct password_state state = {.from = from, .len = -1};
    const char *password;
    STACK_OF(X509) *chain = NULL;
    int rc = open_pkcs12(p12, src, &state, &password, err);

    if (rc != SHS_OK)
        goto out;
    if (PKCS12_parse(p12, password, &self->key, &self->leaf, &chain) != 1) {
        rc = shs__tls_error(err, SHS_TLS,
                            "The PKCS #12 file %s cannot be read (old ciphers? Make it anew with "
                            "openssl pkcs12 -export)",
                            src->name);
        goto out;
    }
    if (self->key == NULL || self->leaf == NULL) {
        rc = shs_error_set(err, SHS_TLS, 0,
                           "The PKCS #12 file %s holds no pair of certificate and key.", src->name);
        goto out;
    }
    if (chain != NULL) {
        sk_X509_pop_free(self->chain, X509_free);
        self->chain = chain;
        chain = NULL;
    }
out:
    sk_X509_pop_free(chain, X509_free);
    OPENSSL_cleanse(state.text, sizeof state.text);
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

int shs__tls_identity_load(struct shs_tls_identity *self, const struct shs_tls_cert *opt,
                           struct shs_error *err)
{
    struct pem_source cert, own_key, *key = &cert;
    PKCS12 *p12 = NULL;
    int rc = check_source(opt, err);

    memset(self, 0, sizeof *self);
    memset(&cert, 0, sizeof cert);
    memset(&own_key, 0, sizeof own_key);
    if (rc != SHS_OK)
        return rc;
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
        rc = load_pkcs12(self, p12, &cert, opt, err);
        goto out;
    }
    if (rc == SHS_OK && (opt->keyfile != NULL || opt->key_pem != NULL)) {
        key = &own_key;
        rc = source_load(key, "key", "key_pem", opt->keyfile, opt->key_pem, opt->key_pem_len, err);
    }
    if (rc == SHS_OK)
        rc = load_certs(self, &cert, key, err);
    if (rc == SHS_OK)
        rc = load_key(self, key, opt, err);
    if (rc == SHS_OK)
        rc = check_match(self, &cert, key, err);
out:
    PKCS12_free(p12);
    source_free(&cert);
    source_free(&own_key);
    if (rc != SHS_OK)
        shs__tls_identity_free(self);
    return rc;
}

static bool self_signed(X509 *cert)
{
    return (X509_get_extension_flags(cert) & EXFLAG_SS) != 0;
}

/* The one in `all` that signed `cert`, or NULL. */
static X509 *find_issuer(X509 *cert, STACK_OF(X509) * all)
{
    for (int i = 0; i < sk_X509_num(all); i++) {
        X509 *issuer = sk_X509_value(all, i);

        if (X509_check_issued(issuer, cert) == X509_V_OK &&
            X509_verify(cert, X509_get0_pubkey(issuer)) == 1)
            return issuer;
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

void shs__tls_identity_free(struct shs_tls_identity *self)
{
    X509_free(self->leaf);
    sk_X509_pop_free(self->chain, X509_free);
    EVP_PKEY_free(self->key);
    memset(self, 0, sizeof *self);
}
