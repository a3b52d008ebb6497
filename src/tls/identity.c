#include "tls/identity.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#include <openssl/err.h>
#include <openssl/pem.h>

/* No certificate chain or key is longer; a wrong path (a log, a disk image) is. */
#define PEM_CEILING ((size_t)1024 * 1024)
#define PASSWORD_CAP ((size_t)1024)

/* One of the two inputs: the bytes, and what to call them. */
struct pem_source {
    char name[96]; /* "'cert.pem'" or "opt.cert_pem" */
    struct shs_buf bytes;
    unsigned certs, keys; /* blocks of each kind in it */
};

/* What the password callback of OpenSSL needs; it asks the user's once, whatever OpenSSL tries. */
struct password_state {
    const struct shs_options *opt;
    bool asked;
    int len; /* of `text`; -1: none */
    char text[PASSWORD_CAP];
};

int shs__tls_error(struct shs_error *err, int code, const char *fmt, ...)
{
    unsigned long tls_code = ERR_peek_last_error();
    const char *reason = ERR_reason_error_string(tls_code);
    char text[sizeof err->text];
    va_list ap;

    va_start(ap, fmt);
    vsnprintf(text, sizeof text, fmt, ap);
    va_end(ap);
    ERR_clear_error();
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
        if (state->opt->password != NULL)
            state->len = state->opt->password(state->opt->password_ctx, state->text, PASSWORD_CAP);
        if (state->len > (int)PASSWORD_CAP)
            state->len = -1;
    }
    if (state->len < 0 || state->len > cap)
        return -1;
    memcpy(buf, state->text, (size_t)state->len);
    return state->len;
}

static int load_key(struct shs_tls_identity *self, const struct pem_source *src,
                    const struct shs_options *opt, struct shs_error *err)
{
    struct password_state state = {.opt = opt, .len = -1};
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

/* What the options name must be one certificate, and at most one key. */
static int check_options(const struct shs_options *opt, struct shs_error *err)
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

int shs__tls_identity_load(struct shs_tls_identity *self, const struct shs_options *opt,
                           struct shs_error *err)
{
    struct pem_source cert, own_key, *key = &cert;
    int rc = check_options(opt, err);

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
    source_free(&cert);
    source_free(&own_key);
    if (rc != SHS_OK)
        shs__tls_identity_free(self);
    return rc;
}

void shs__tls_identity_free(struct shs_tls_identity *self)
{
    X509_free(self->leaf);
    sk_X509_pop_free(self->chain, X509_free);
    EVP_PKEY_free(self->key);
    memset(self, 0, sizeof *self);
}
