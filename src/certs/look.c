/* look.c - where the certificates come from: a file's bytes, a server. */
#include <errno.h>
#include <fcntl.h>
#include <netdb.h>
#include <poll.h>
#include <stdio.h>
#include <sys/socket.h>
#include <unistd.h>

#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>

#include "certs/look_inside.h"
#include "certs/minter.h"
#include "certs/texts.h"
#include "certs/words.h"

void shs__look_free(struct shs__look *self)
{
    if (self == NULL)
        return;
    sk_X509_pop_free(self->certs, X509_free);
    EVP_PKEY_free(self->key);
    shs__free(self);
}

static int alloc_look(struct shs__look **out, struct shs_error *err)
{
    *out = shs__calloc(1, sizeof **out);
    return *out == NULL ? shs__certs_nomem(err) : SHS_OK;
}

static int no_password(char *buf, int cap, int rwflag, void *arg)
{
    SHS_UNUSED(buf);
    SHS_UNUSED(cap);
    SHS_UNUSED(rwflag);
    SHS_UNUSED(arg);
    return -1;
}

int shs__look_bytes(struct shs__look **out, const void *bytes, size_t len, struct shs_error *err)
{
    struct shs__look *self = NULL;
    const unsigned char *at = bytes;
    X509 *der = NULL;
    BIO *bio = NULL;
    int rc = alloc_look(&self, err);

    if (rc == SHS_OK && len > 0 && len < ((size_t)4 << 20) && at[0] == 0x30) {
        der = d2i_X509(NULL, &at, (long)len);
        self->certs = sk_X509_new_null();
        if (der == NULL || self->certs == NULL || sk_X509_push(self->certs, der) == 0) {
            X509_free(der);
            rc = shs_error_set(err, SHS_TLS, 0, "It is not a certificate, neither PEM nor DER.");
        }
    } else if (rc == SHS_OK) {
        rc = shs__text_parse(bytes, len, NULL, &self->certs, err);
    }
    if (rc == SHS_OK && (bio = BIO_new_mem_buf(bytes, (int)len)) != NULL)
        self->key = PEM_read_bio_PrivateKey(bio, NULL, no_password, NULL);
    BIO_free(bio);
    ERR_clear_error();
    if (rc == SHS_OK)
        *out = self;
    else
        shs__look_free(self);
    return rc;
}

int shs__look_authorities(const struct shs__look *self, int64_t now, bool *over,
                          struct shs_error *err)
{
    time_t when = (time_t)now;
    char name[100] = "";

    *over = false;
    if (self->key != NULL)
        return shs_error_set(
            err, SHS_USAGE, 0,
            "it has a private key as well, which is nobody else's business: give a "
            "file with the certificate alone");
    for (int i = 0; i < sk_X509_num(self->certs); i++) {
        X509 *cert = sk_X509_value(self->certs, i);

        X509_NAME_oneline(X509_get_subject_name(cert), name, sizeof name);
        if (X509_check_ca(cert) == 0) {
            ERR_clear_error();
            return shs_error_set(
                err, SHS_USAGE, 0,
                "the certificate of %s in it is not an authority: it is what a server or "
                "client shows. Give the certificate of who signed it, such as ca.pem",
                name);
        }
        *over = *over || X509_cmp_time(X509_get0_notAfter(cert), &when) < 0;
    }
    ERR_clear_error();
    return SHS_OK;
}

size_t shs__look_count(const struct shs__look *self)
{
    return (size_t)sk_X509_num(self->certs);
}

int shs__look_copy(const struct shs__look *self, size_t n, struct shs_buf *pem,
                   char fingerprint[SHS_LOOK_FINGERPRINT], struct shs_error *err)
{
    X509 *cert = sk_X509_value(self->certs, (int)n);
    unsigned char digest[EVP_MAX_MD_SIZE];
    unsigned len = 0;

    if (X509_digest(cert, EVP_sha256(), digest, &len) != 1 || 3 * len > SHS_LOOK_FINGERPRINT)
        return shs__certs_fail(err, "Making a SHA-256 fingerprint");
    for (unsigned i = 0; i < len; i++)
        snprintf(fingerprint + 3u * i, 4, "%02X%s", digest[i], i + 1 < len ? ":" : "");
    return shs__mint_cert_pem(pem, cert, err);
}

/* By names and key identifiers; the signature may be what is wrong on purpose. */
static int check_issuer(X509 *cert, const void *ca_der, size_t ca_len, struct shs_error *err)
{
    const unsigned char *at = ca_der;
    X509 *ca = d2i_X509(NULL, &at, (long)ca_len);
    char name[100] = "";
    int how, rc = SHS_OK;

    if (ca == NULL)
        return shs__certs_fail(err, "Reading the authority");
    how = X509_check_issued(ca, cert);
    if (how != X509_V_OK && how != X509_V_ERR_KEYUSAGE_NO_CERTSIGN) {
        X509_NAME_oneline(X509_get_issuer_name(cert), name, sizeof name);
        rc = shs_error_set(err, SHS_USAGE, 0,
                           "This authority has not issued it: its issuer is %s. A serial number is "
                           "taken without a file.",
                           name);
    }
    X509_free(ca);
    ERR_clear_error();
    return rc;
}

int shs__look_serial(char **out, const void *bytes, size_t len, const void *ca_der, size_t ca_len,
                     struct shs_error *err)
{
    struct shs__look *look = NULL;
    int rc = shs__look_bytes(&look, bytes, len, err);

    if (rc == SHS_OK)
        rc = check_issuer(sk_X509_value(look->certs, 0), ca_der, ca_len, err);
    if (rc == SHS_OK) {
        *out = shs__serial_text(X509_get0_serialNumber(sk_X509_value(look->certs, 0)));
        rc = *out == NULL ? shs__certs_nomem(err) : SHS_OK;
    }
    shs__look_free(look);
    return rc;
}

/* -- a server ---------------------------------------------------------------------------------- */

/* Waits for the socket; SHS_TIMEOUT at the deadline. */
static int wait_for(int fd, short events, int64_t deadline)
{
    struct pollfd p = {.fd = fd, .events = events};
    int n;

    do {
        n = poll(&p, 1, shs__poll_ms(deadline, shs_now_ns()));
    } while (n < 0 && errno == EINTR);
    return n > 0 ? SHS_OK : n == 0 ? SHS_TIMEOUT : SHS_IO;
}

static int try_address(const struct addrinfo *at, int64_t deadline, int *out)
{
    int fd = socket(at->ai_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    int failed = 0, rc = SHS_IO;
    socklen_t len = sizeof failed;

    if (fd < 0)
        return SHS_IO;
    if (connect(fd, at->ai_addr, at->ai_addrlen) == 0) {
        rc = SHS_OK;
    } else if (errno == EINPROGRESS) {
        rc = wait_for(fd, POLLOUT, deadline);
        if (rc == SHS_OK && getsockopt(fd, SOL_SOCKET, SO_ERROR, &failed, &len) != 0)
            failed = errno;
        if (rc == SHS_OK && failed != 0) {
            errno = failed;
            rc = SHS_IO;
        }
    }
    if (rc == SHS_OK) {
        *out = fd;
        return rc;
    }
    failed = errno;
    close(fd);
    errno = failed;
    return rc;
}

static int connect_to(int *out, const char *host, const char *port, int64_t deadline,
                      struct shs_error *err)
{
    struct addrinfo hints = {.ai_socktype = SOCK_STREAM, .ai_flags = AI_ADDRCONFIG}, *all = NULL;
    int rc = SHS_IO, failed = getaddrinfo(host, port, &hints, &all);
    size_t left = 0;
    char text[64];

    if (failed != 0)
        return shs_error_set(err, SHS_IO, 0, "Cannot find %s port %s: %s.", host, port,
                             gai_strerror(failed));
    for (const struct addrinfo *at = all; at != NULL; at = at->ai_next)
        left++;
    for (const struct addrinfo *at = all; at != NULL && rc != SHS_OK; at = at->ai_next)
        rc = try_address(at, shs__deadline_part(shs_now_ns(), deadline, left--), out);
    failed = errno;
    freeaddrinfo(all);
    if (rc == SHS_TIMEOUT)
        return shs_error_set(err, rc, 0, "%s port %s did not answer in time.", host, port);
    if (rc != SHS_OK)
        return shs_error_set(err, rc, failed, "Cannot connect to %s port %s: %s.", host, port,
                             shs__strerror(failed, text, sizeof text));
    return SHS_OK;
}

/* Any version and any suite: this is to look, not to trust. */
static SSL *make_ssl(SSL_CTX *ctx, int fd, const char *sni)
{
    SSL *ssl = NULL;

    SSL_CTX_set_security_level(ctx, 0);
    SSL_CTX_set_verify(ctx, SSL_VERIFY_NONE, NULL);
    SSL_CTX_set_min_proto_version(ctx, TLS1_VERSION);
    SSL_CTX_set_options(ctx, SSL_OP_LEGACY_SERVER_CONNECT);
    SSL_CTX_set_cipher_list(ctx, "ALL:@SECLEVEL=0");
    SSL_CTX_set_max_cert_list(ctx, 1 << 20);
    ssl = SSL_new(ctx);
    if (ssl != NULL &&
        (SSL_set_fd(ssl, fd) != 1 || (sni != NULL && SSL_set_tlsext_host_name(ssl, sni) != 1))) {
        SSL_free(ssl);
        ssl = NULL;
    }
    return ssl;
}

static int handshake(SSL *ssl, int fd, int64_t deadline, struct shs_error *err)
{
    int rc = SHS_OK;

    while (rc == SHS_OK) {
        int done, why;

        ERR_clear_error();
        done = SSL_connect(ssl);
        if (done == 1)
            return SHS_OK;
        why = SSL_get_error(ssl, done);
        if (why == SSL_ERROR_WANT_READ || why == SSL_ERROR_WANT_WRITE)
            rc = wait_for(fd, why == SSL_ERROR_WANT_READ ? POLLIN : POLLOUT, deadline);
        /* The certificates came before whatever went wrong after them. */
        else if (SSL_get_peer_cert_chain(ssl) != NULL)
            return SHS_OK;
        else if (ERR_peek_error() == 0)
            return shs_error_set(err, SHS_CLOSED, 0,
                                 "The server closed the connection in the handshake.");
        else
            return shs__certs_fail(err, "The handshake");
    }
    return shs_error_set(err, rc, 0, "The handshake was not over in time.");
}

int shs__look_host(struct shs__look **out, const char *host, const char *port, const char *sni,
                   unsigned timeout_ms, struct shs_error *err)
{
    int64_t deadline = shs__deadline_after(shs_now_ns(), timeout_ms);
    struct shs__look *self = NULL;
    SSL_CTX *ctx = NULL;
    SSL *ssl = NULL;
    int fd = -1, rc = alloc_look(&self, err);

    if (rc == SHS_OK)
        rc = connect_to(&fd, host, port, deadline, err);
    if (rc == SHS_OK) {
        ctx = SSL_CTX_new(TLS_client_method());
        ssl = ctx == NULL ? NULL : make_ssl(ctx, fd, sni);
        rc =
            ssl == NULL ? shs__certs_fail(err, "Preparing TLS") : handshake(ssl, fd, deadline, err);
    }
    if (rc == SHS_OK && SSL_get_peer_cert_chain(ssl) == NULL)
        rc = shs_error_set(err, SHS_TLS, 0, "The server sent no certificate.");
    if (rc == SHS_OK) {
        self->certs = X509_chain_up_ref(SSL_get_peer_cert_chain(ssl));
        snprintf(self->protocol, sizeof self->protocol, "%s", SSL_get_version(ssl));
        rc = self->certs == NULL ? shs__certs_nomem(err) : SHS_OK;
    }
    SSL_free(ssl);
    SSL_CTX_free(ctx);
    if (fd >= 0)
        close(fd);
    ERR_clear_error();
    if (rc == SHS_OK)
        *out = self;
    else
        shs__look_free(self);
    return rc;
}
