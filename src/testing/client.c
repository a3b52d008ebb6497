#include "testing/client.h"

#include <errno.h>
#include <netdb.h>
#include <poll.h>
#include <stdio.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>

#define PIECE ((size_t)16384)
#define REQUEST_MAX ((size_t)1 << 30)

/* -- the socket -------------------------------------------------------------------------------- */

static int fail_errno(struct shs_error *err, int code, int sys_errno, const char *what)
{
    char why[96];

    return shs_error_set(err, code, sys_errno, "%s: %s.", what,
                         shs__strerror(sys_errno, why, sizeof why));
}

static int wait_until(struct shs_test_client *self, short events, int64_t deadline_ns,
                      const char *what, struct shs_error *err)
{
    struct pollfd pfd = {.fd = self->fd, .events = events};
    int n = poll(&pfd, 1, shs__poll_ms(deadline_ns, shs_now_ns()));

    if (n > 0 || (n < 0 && errno == EINTR))
        return SHS_OK;
    if (n < 0)
        return fail_errno(err, SHS_IO, errno, "Waiting for the server failed");
    return shs_error_set(err, SHS_TIMEOUT, 0, "The server did not %s in time.", what);
}

static int wait_for(struct shs_test_client *self, short events, const char *what,
                    struct shs_error *err)
{
    return wait_until(self, events, self->deadline_ns, what, err);
}

static int connect_one(struct shs_test_client *self, const struct addrinfo *ai, int64_t deadline_ns,
                       struct shs_error *err)
{
    int failed = 0, rc;
    socklen_t len = sizeof failed;

    self->fd = socket(ai->ai_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (self->fd < 0)
        return fail_errno(err, SHS_IO, errno, "Cannot make a socket");
    if (connect(self->fd, ai->ai_addr, ai->ai_addrlen) == 0)
        return SHS_OK;
    if (errno != EINPROGRESS)
        return fail_errno(err, SHS_IO, errno, "Cannot connect");
    rc = wait_until(self, POLLOUT, deadline_ns, "accept the connection", err);
    if (rc != SHS_OK)
        return rc;
    if (getsockopt(self->fd, SOL_SOCKET, SO_ERROR, &failed, &len) == 0 && failed == 0)
        return SHS_OK;
    return fail_errno(err, SHS_IO, failed, "Cannot connect");
}

static int connect_to_path(struct shs_test_client *self, const char *path, struct shs_error *err)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    struct addrinfo ai = {
        .ai_family = AF_UNIX, .ai_addr = (struct sockaddr *)&address, .ai_addrlen = sizeof address};

    if (strlen(path) >= sizeof address.sun_path)
        return shs_error_set(err, SHS_USAGE, 0, "The path of a Unix socket is too long.");
    memcpy(address.sun_path, path, strlen(path));
    return connect_one(self, &ai, self->deadline_ns, err);
}

static int connect_to(struct shs_test_client *self, const struct shs_test_client_spec *spec,
                      struct shs_error *err)
{
    struct addrinfo hints = {.ai_socktype = SOCK_STREAM, .ai_flags = AI_NUMERICSERV}, *list = NULL;
    char port[16];
    size_t left = 0;
    int rc;

    snprintf(port, sizeof port, "%u", spec->port);
    rc = getaddrinfo(spec->host, port, &hints, &list);
    if (rc != 0)
        return shs_error_set(err, SHS_IO, 0, "'%s' has no address: %s.", spec->host,
                             gai_strerror(rc));
    rc = SHS_IO;
    for (const struct addrinfo *ai = list; ai != NULL; ai = ai->ai_next)
        left++;
    for (const struct addrinfo *ai = list; ai != NULL && rc != SHS_OK; ai = ai->ai_next) {
        if (self->fd >= 0)
            close(self->fd);
        self->fd = -1;
        rc =
            connect_one(self, ai, shs__deadline_part(shs_now_ns(), self->deadline_ns, left--), err);
    }
    freeaddrinfo(list);
    return rc;
}

static int send_all(struct shs_test_client *self, const char *bytes, size_t len,
                    struct shs_error *err)
{
    while (len > 0) {
        ssize_t n = send(self->fd, bytes, len, MSG_NOSIGNAL);

        if (n > 0) {
            bytes += n;
            len -= (size_t)n;
            continue;
        }
        if (errno != EAGAIN && errno != EINTR)
            return fail_errno(err, SHS_CLOSED, errno, "The server took no more");
        if (errno == EAGAIN) {
            int rc = wait_for(self, POLLOUT, "read what was sent to it", err);

            if (rc != SHS_OK)
                return rc;
        }
    }
    return SHS_OK;
}

static int receive(struct shs_test_client *self, void *buf, size_t cap, size_t *got,
                   struct shs_error *err)
{
    for (;;) {
        ssize_t n = recv(self->fd, buf, cap, 0);
        int rc;

        if (n > 0) {
            *got = (size_t)n;
            return SHS_OK;
        }
        if (n == 0) {
            self->ended = true;
            return shs_error_set(err, SHS_CLOSED, 0, "The server closed the connection.");
        }
        if (errno == EINTR)
            continue;
        if (errno != EAGAIN) {
            self->ended = self->cut = true;
            return fail_errno(err, SHS_CLOSED, errno, "The connection broke");
        }
        rc = wait_for(self, POLLIN, "answer", err);
        if (rc != SHS_OK)
            return rc;
    }
}

/* -- TLS, over two buffers of OpenSSL's: so no SIGPIPE, and every wait is ours ----------------- */

static int fail_tls(struct shs_test_client *self, const char *what, struct shs_error *err)
{
    unsigned long code = ERR_peek_last_error();
    long verify = self->ssl == NULL ? X509_V_OK : SSL_get_verify_result(self->ssl);
    const char *reason =
        verify != X509_V_OK ? X509_verify_cert_error_string(verify) : ERR_reason_error_string(code);

    shs_error_set(err, SHS_TLS, 0, "%s: %s.", what, reason == NULL ? "no reason" : reason);
    if (err != NULL)
        err->tls_code = code;
    ERR_clear_error();
    return SHS_TLS;
}

static int flush(struct shs_test_client *self, struct shs_error *err)
{
    BIO *out = SSL_get_wbio(self->ssl);
    char piece[PIECE];
    int n;

    while ((n = BIO_read(out, piece, sizeof piece)) > 0) {
        int rc = send_all(self, piece, (size_t)n, err);

        if (rc != SHS_OK)
            return rc;
    }
    return SHS_OK;
}

/* More bytes for OpenSSL. At their end it is told so once, to say what is missing. */
static int feed(struct shs_test_client *self, struct shs_error *err)
{
    char piece[PIECE];
    size_t got = 0;
    int rc = receive(self, piece, sizeof piece, &got, err);

    if (rc == SHS_OK && BIO_write(SSL_get_rbio(self->ssl), piece, (int)got) != (int)got)
        return shs_error_set(err, SHS_NOMEM, 0, "Out of memory for what the server sent.");
    return rc;
}

/* What a call that did not succeed means. SHS_OK: do it again. */
static int go_on(struct shs_test_client *self, int ret, const char *what, struct shs_error *err)
{
    int kind = SSL_get_error(self->ssl, ret), rc;

    if (kind == SSL_ERROR_ZERO_RETURN) {
        self->ended = true;
        return shs_error_set(err, SHS_CLOSED, 0, "The server ended its data.");
    }
    if (kind != SSL_ERROR_WANT_READ && kind != SSL_ERROR_WANT_WRITE) {
        rc = fail_tls(self, what, err);
        (void)flush(self, NULL); /* our alert, so that the server knows why */
        return rc;
    }
    rc = flush(self, err);
    /* A server that has refused us may take no more, and still have said why. */
    if (rc != SHS_OK && rc != SHS_CLOSED)
        return rc;
    rc = feed(self, err);
    if (rc == SHS_CLOSED)
        self->cut = true;
    return rc;
}

static void note_alert(const SSL *ssl, int where, int value)
{
    struct shs_test_client *self = SSL_get_app_data(ssl);

    if ((where & SSL_CB_READ_ALERT) == SSL_CB_READ_ALERT && (value >> 8) == SSL3_AL_FATAL)
        self->alert = value & 0xff;
}

/* OpenSSL asks: so the server has asked. What there is has been set already. */
static int note_wish(SSL *ssl, void *arg)
{
    struct shs_test_client *self = SSL_get_app_data(ssl);

    SHS_UNUSED(arg);
    self->wanted = true;
    return 1;
}

static int no_password(char *buf, int size, int writing, void *arg)
{
    SHS_UNUSED(buf);
    SHS_UNUSED(size);
    SHS_UNUSED(writing);
    SHS_UNUSED(arg);
    return -1;
}

/* The leaf, and what stands behind it as the chain to send; and nothing that OpenSSL finds. */
static bool use_certificate(SSL_CTX *ctx, const char *cert_pem, const char *key_pem)
{
    BIO *certs = BIO_new_mem_buf(cert_pem, -1), *keys = BIO_new_mem_buf(key_pem, -1);
    X509 *cert = certs == NULL ? NULL : PEM_read_bio_X509(certs, NULL, no_password, NULL);
    EVP_PKEY *key = keys == NULL ? NULL : PEM_read_bio_PrivateKey(keys, NULL, no_password, NULL);
    bool done = cert != NULL && key != NULL && SSL_CTX_use_certificate(ctx, cert) == 1 &&
                SSL_CTX_use_PrivateKey(ctx, key) == 1;

    SSL_CTX_set_mode(ctx, SSL_MODE_NO_AUTO_CHAIN);
    X509_free(cert);
    EVP_PKEY_free(key);
    while (done && (cert = PEM_read_bio_X509(certs, NULL, no_password, NULL)) != NULL) {
        done = SSL_CTX_add0_chain_cert(ctx, cert) == 1;
        if (!done)
            X509_free(cert);
    }
    if (done)
        ERR_clear_error(); /* the end of the PEM was not an error */
    BIO_free(certs);
    BIO_free(keys);
    return done;
}

static bool trust(SSL_CTX *ctx, const struct shs_test_client_spec *spec)
{
    BIO *bio;
    X509 *ca;
    bool done;

    if (spec->ca_pem == NULL)
        return SSL_CTX_load_verify_file(ctx, spec->ca_path) == 1;
    bio = BIO_new_mem_buf(spec->ca_pem, -1);
    ca = bio == NULL ? NULL : PEM_read_bio_X509(bio, NULL, no_password, NULL);
    done = ca != NULL && X509_STORE_add_cert(SSL_CTX_get_cert_store(ctx), ca) == 1;
    X509_free(ca);
    BIO_free(bio);
    return done;
}

static SSL_CTX *make_context(const struct shs_test_client_spec *spec)
{
    SSL_CTX *ctx = SSL_CTX_new(TLS_client_method());
    int version = spec->version == 0 ? 0 : spec->version == 12 ? TLS1_2_VERSION : TLS1_3_VERSION;
    bool done = ctx != NULL;

    if (!done)
        return NULL;
    /* A bad certificate of one's own is sent all the same: the server has to find out. */
    SSL_CTX_set_security_level(ctx, 0);
    SSL_CTX_set_info_callback(ctx, note_alert);
    SSL_CTX_set_cert_cb(ctx, note_wish, NULL);
    done = SSL_CTX_set_min_proto_version(ctx, version == 0 ? TLS1_2_VERSION : version) == 1 &&
           SSL_CTX_set_max_proto_version(ctx, version) == 1;
    if (spec->ca_pem != NULL || spec->ca_path != NULL) {
        SSL_CTX_set_verify(ctx, SSL_VERIFY_PEER, NULL);
        done = done && trust(ctx, spec);
    }
    if (spec->cert_pem != NULL)
        done = done && use_certificate(ctx, spec->cert_pem, spec->key_pem);
    if (done)
        return ctx;
    SSL_CTX_free(ctx);
    return NULL;
}

static bool is_address(const char *name)
{
    ASN1_OCTET_STRING *ip = a2i_IPADDRESS(name);
    bool is = ip != NULL;

    ASN1_OCTET_STRING_free(ip);
    ERR_clear_error();
    return is;
}

static int make_ssl(struct shs_test_client *self, const struct shs_test_client_spec *spec,
                    struct shs_error *err)
{
    const char *name = spec->name != NULL ? spec->name : spec->host;
    SSL_CTX *ctx;
    BIO *in = BIO_new(BIO_s_mem()), *out = BIO_new(BIO_s_mem());
    bool done = in != NULL && out != NULL;

    ERR_clear_error();
    ctx = make_context(spec);
    self->ssl = ctx == NULL ? NULL : SSL_new(ctx);
    SSL_CTX_free(ctx); /* the SSL has a reference */
    if (!done || self->ssl == NULL) {
        BIO_free(in);
        BIO_free(out);
        return fail_tls(self, "TLS cannot be set up", err);
    }
    BIO_set_mem_eof_return(in, -1);
    BIO_set_mem_eof_return(out, -1);
    SSL_set_bio(self->ssl, in, out);
    SSL_set_app_data(self->ssl, self);
    SSL_set_connect_state(self->ssl);
    if (is_address(name))
        done = X509_VERIFY_PARAM_set1_ip_asc(SSL_get0_param(self->ssl), name) == 1;
    else
        done =
            SSL_set_tlsext_host_name(self->ssl, name) == 1 && SSL_set1_host(self->ssl, name) == 1;
    return done ? SHS_OK : fail_tls(self, "TLS cannot be set up", err);
}

static int handshake(struct shs_test_client *self, struct shs_error *err)
{
    int rc = SHS_OK;

    while (rc == SHS_OK) {
        int ret = SSL_do_handshake(self->ssl);

        if (ret == 1)
            return flush(self, err);
        rc = go_on(self, ret, "The TLS handshake failed", err);
    }
    return rc;
}

/* -- one connection ---------------------------------------------------------------------------- */

int shs__test_client_open(struct shs_test_client *self, const struct shs_test_client_spec *spec,
                          struct shs_error *err)
{
    int rc;

    memset(self, 0, sizeof *self);
    self->fd = -1;
    self->alert = -1;
    self->deadline_ns = spec->deadline_ns;
    rc = spec->path != NULL ? connect_to_path(self, spec->path, err) : connect_to(self, spec, err);
    self->connected = rc == SHS_OK;
    if (rc == SHS_OK && spec->tls)
        rc = make_ssl(self, spec, err);
    if (rc == SHS_OK && spec->tls)
        rc = handshake(self, err);
    return rc;
}

int shs__test_client_write(struct shs_test_client *self, const void *bytes, size_t len,
                           struct shs_error *err)
{
    const char *at = bytes;

    if (self->ssl == NULL)
        return send_all(self, bytes, len, err);
    while (len > 0) {
        size_t piece = len < PIECE ? len : PIECE;
        int ret = SSL_write(self->ssl, at, (int)piece), rc;

        if (ret > 0) {
            at += ret;
            len -= (size_t)ret;
            rc = flush(self, err);
        } else {
            rc = go_on(self, ret, "Sending failed", err);
        }
        if (rc != SHS_OK)
            return rc;
    }
    return SHS_OK;
}

int shs__test_client_read(struct shs_test_client *self, void *buf, size_t cap, size_t *got,
                          struct shs_error *err)
{
    int rc = SHS_OK;

    if (self->ssl == NULL)
        return receive(self, buf, cap, got, err);
    while (rc == SHS_OK) {
        int ret = SSL_read(self->ssl, buf, cap < PIECE ? (int)cap : (int)PIECE);

        if (ret > 0) {
            *got = (size_t)ret;
            return SHS_OK;
        }
        rc = go_on(self, ret, "Receiving failed", err);
    }
    return rc;
}

void shs__test_client_close(struct shs_test_client *self)
{
    if (self->ssl != NULL) {
        if (SSL_is_init_finished(self->ssl) == 1) {
            (void)SSL_shutdown(self->ssl);
            self->deadline_ns = 0; /* as far as it goes without waiting */
            (void)flush(self, NULL);
        }
        SSL_free(self->ssl);
        ERR_clear_error();
    }
    if (self->fd >= 0)
        close(self->fd);
    self->ssl = NULL;
    self->fd = -1;
}

/* -- a request and its answer ------------------------------------------------------------------ */

static int receive_answer(struct shs_test_client *client, struct shs_test_answer *answer, bool head,
                          struct shs_error *err)
{
    int rc = SHS_OK;

    while (rc == SHS_OK && !shs__test_answer_is_whole(answer, head)) {
        char piece[PIECE];
        size_t got = 0;

        rc = shs__test_client_read(client, piece, sizeof piece, &got, err);
        if (rc == SHS_OK && shs__buf_append(&answer->bytes, piece, got) != SHS_OK)
            rc = shs_error_set(err, SHS_LIMIT, 0, "The answer is longer than max_answer (%zu).",
                               answer->bytes.ceiling);
    }
    return rc;
}

int shs__test_client_ask(struct shs_test_answer **out, const struct shs_test_client_spec *spec,
                         const struct shs_test_request *request, struct shs_test_client *client,
                         struct shs_error *err)
{
    struct shs_test_answer *answer = shs__test_answer_new(request->max_answer);
    bool head = strcmp(request->method, "HEAD") == 0;
    struct shs_error why = {.code = SHS_OK};
    struct shs_buf bytes;
    char host[300];
    int rc;

    shs__buf_init(&bytes, REQUEST_MAX);
    snprintf(host, sizeof host, "%s:%u", spec->name != NULL ? spec->name : spec->host, spec->port);
    rc = answer == NULL ? SHS_NOMEM : shs__test_request_bytes(&bytes, request, host);
    if (rc != SHS_OK)
        shs_error_set(err, rc, 0, "The request does not fit into memory.");
    if (rc == SHS_OK)
        rc = shs__test_client_open(client, spec, err);
    if (rc == SHS_OK) {
        /* A server may answer, and be gone, before it has read all. */
        (void)shs__test_client_write(client, shs__buf_head(&bytes), bytes.len, &why);
        rc = receive_answer(client, answer, head, &why);
        if (rc != SHS_LIMIT && rc != SHS_NOMEM && answer->bytes.len > 0) {
            if (rc != SHS_OK && (client->cut || !client->ended))
                answer->error = why;
            rc = shs__test_answer_read(answer, head, client->ended && !client->cut, err);
            if (rc == SHS_OK && !answer->complete && answer->error.code == SHS_OK)
                answer->error = why; /* an end in good order, and too early */
        } else if (rc != SHS_OK && err != NULL) {
            *err = why;
        }
    }
    shs__test_client_close(client);
    shs__buf_free(&bytes);
    if (rc != SHS_OK) {
        shs_test_answer_free(answer);
        return rc;
    }
    *out = answer;
    return SHS_OK;
}
