#include "tls/context.h"

#include <openssl/err.h>

#include "tls/bio.h"
#include "tls/identity.h"
#include "tls/stream.h"

#define MAX_CERT_LIST (32L * 1024)
#define TICKET_SECONDS 7200L
#define RSA_BITS_ADVISED 3072
#define DAYS_WARNED 14

/* ECDHE and AEAD only. TLS 1.3 keeps OpenSSL's own three suites. */
#define TLS12_SUITES                                                                               \
    "ECDHE-ECDSA-AES128-GCM-SHA256:ECDHE-RSA-AES128-GCM-SHA256:"                                   \
    "ECDHE-ECDSA-AES256-GCM-SHA384:ECDHE-RSA-AES256-GCM-SHA384:"                                   \
    "ECDHE-ECDSA-CHACHA20-POLY1305:ECDHE-RSA-CHACHA20-POLY1305"

#define GROUPS "X25519:P-256:P-384"

/* What certificates of clients may sign with; separate from what our key does. */
#define CLIENT_SIGALGS                                                                             \
    "ECDSA+SHA256:ECDSA+SHA384:ECDSA+SHA512:ed25519:RSA-PSS+SHA256:RSA-PSS+SHA384:"                \
    "RSA-PSS+SHA512:RSA+SHA256:RSA+SHA384:RSA+SHA512"

/* Length-prefixed, as on the wire (RFC 7301, 3.1). */
static const unsigned char alpn_http11[] = {8, 'h', 't', 't', 'p', '/', '1', '.', '1'};

static int select_alpn(SSL *ssl, const unsigned char **out, unsigned char *out_len,
                       const unsigned char *in, unsigned in_len, void *arg)
{
    unsigned at = 0;

    SHS_UNUSED(ssl);
    SHS_UNUSED(arg);
    while (at < in_len && in[at] < in_len - at) {
        if (in[at] == alpn_http11[0] && memcmp(&in[at], alpn_http11, sizeof alpn_http11) == 0) {
            *out = &in[at + 1];
            *out_len = in[at];
            return SSL_TLSEXT_ERR_OK;
        }
        at += in[at] + 1u;
    }
    /* RFC 7301, 3.2: no_application_protocol, rather than speak what was not offered. */
    return SSL_TLSEXT_ERR_ALERT_FATAL;
}

/* Takes note of the name, so that OpenSSL keeps it with the session too. */
static int accept_name(SSL *ssl, int *alert, void *arg)
{
    SHS_UNUSED(alert);
    SHS_UNUSED(arg);
    return SSL_get_servername(ssl, TLSEXT_NAMETYPE_host_name) == NULL ? SSL_TLSEXT_ERR_NOACK
                                                                      : SSL_TLSEXT_ERR_OK;
}

/* The signatures our key can make, best first: a short list costs less to match. */
static const char *sigalgs_of(EVP_PKEY *key)
{
    if (EVP_PKEY_is_a(key, "RSA"))
        return "RSA-PSS+SHA256:RSA-PSS+SHA384:RSA-PSS+SHA512:RSA+SHA256:RSA+SHA384:RSA+SHA512";
    if (EVP_PKEY_is_a(key, "EC")) {
        int bits = EVP_PKEY_get_bits(key);

        if (bits <= 256)
            return "ECDSA+SHA256";
        return bits <= 384 ? "ECDSA+SHA384:ECDSA+SHA256" : "ECDSA+SHA512:ECDSA+SHA256";
    }
    return NULL; /* Ed25519, RSA-PSS keys: one or few anyway, OpenSSL's list serves */
}

/* Everything that does not depend on the certificate. OpenSSL's configuration file was applied by
   SSL_CTX_new: what is said here overrides it. */
static bool set_policy(SSL_CTX *ctx)
{
    static const unsigned char context_id[] = "shs";

    SSL_CTX_clear_options(ctx, SSL_OP_ALLOW_UNSAFE_LEGACY_RENEGOTIATION |
                                   SSL_OP_ALLOW_CLIENT_RENEGOTIATION | SSL_OP_NO_TICKET |
                                   SSL_OP_IGNORE_UNEXPECTED_EOF | SSL_OP_LEGACY_SERVER_CONNECT);
    SSL_CTX_set_options(ctx, SSL_OP_NO_RENEGOTIATION | SSL_OP_NO_COMPRESSION |
                                 SSL_OP_CIPHER_SERVER_PREFERENCE | SSL_OP_PRIORITIZE_CHACHA);
    SSL_CTX_set_mode(ctx, SSL_MODE_RELEASE_BUFFERS | SSL_MODE_ENABLE_PARTIAL_WRITE |
                              SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER);
    SSL_CTX_set_read_ahead(ctx, 1);
    SSL_CTX_set_session_cache_mode(ctx, SSL_SESS_CACHE_OFF);
    SSL_CTX_set_timeout(ctx, TICKET_SECONDS);
    SSL_CTX_set_max_cert_list(ctx, MAX_CERT_LIST);
    SSL_CTX_set_max_early_data(ctx, 0);
    SSL_CTX_set_alpn_select_cb(ctx, select_alpn, NULL);
    SSL_CTX_set_tlsext_servername_callback(ctx, accept_name);
    if (SSL_CTX_get_security_level(ctx) < 2)
        SSL_CTX_set_security_level(ctx, 2);
    return SSL_CTX_set_min_proto_version(ctx, TLS1_2_VERSION) == 1 &&
           SSL_CTX_set_num_tickets(ctx, 1) == 1 &&
           SSL_CTX_set_cipher_list(ctx, TLS12_SUITES) == 1 &&
           SSL_CTX_set1_groups_list(ctx, GROUPS) == 1 &&
           SSL_CTX_set1_client_sigalgs_list(ctx, CLIENT_SIGALGS) == 1 &&
           SSL_CTX_set_session_id_context(ctx, context_id, sizeof context_id - 1) == 1;
}

static int set_identity(SSL_CTX *ctx, const struct shs_tls_identity *id, struct shs_error *err)
{
    const char *sigalgs = sigalgs_of(id->key);

    if (SSL_CTX_use_cert_and_key(ctx, id->leaf, id->key, id->chain, 1) != 1)
        return shs__tls_error(err, SHS_TLS,
                              "OpenSSL refuses the certificate (RSA needs 2048 bits or more, and "
                              "the chain no SHA-1)");
    if (sigalgs != NULL && SSL_CTX_set1_sigalgs_list(ctx, sigalgs) != 1)
        return shs__tls_error(err, SHS_TLS, "OpenSSL refuses the signature list");
    return SHS_OK;
}

int shs__tls_context_new(struct shs_tls_context **out, const struct shs_options *opt,
                         struct shs_error *err)
{
    struct shs_tls_identity id;
    SSL_CTX *ctx = NULL;
    int rc = shs__tls_identity_load(&id, opt, err);

    if (rc != SHS_OK)
        return rc;
    ERR_clear_error();
    ctx = SSL_CTX_new(TLS_server_method());
    if (ctx == NULL || !set_policy(ctx)) {
        rc = shs__tls_error(err, SHS_TLS, "OpenSSL could not be set up for TLS");
        goto out;
    }
    rc = set_identity(ctx, &id, err);
    if (rc != SHS_OK)
        goto out;
    rc = shs__tls_context_wrap(out, ctx);
    if (rc == SHS_OK)
        ctx = NULL;
    else
        shs_error_set(err, rc, 0, "Out of memory while setting up TLS.");
out:
    SSL_CTX_free(ctx);
    shs__tls_identity_free(&id);
    ERR_clear_error();
    return rc;
}

int shs__tls_context_wrap(struct shs_tls_context **out, SSL_CTX *ssl_ctx)
{
    struct shs_tls_context *self = shs__calloc(1, sizeof *self);

    if (self == NULL)
        return SHS_NOMEM;
    self->bio_method = shs__tls_bio_method_new();
    if (self->bio_method == NULL) {
        shs__free(self);
        return SHS_NOMEM;
    }
    SSL_CTX_set_msg_callback(ssl_ctx, shs__tls_stream_message);
    self->ssl_ctx = ssl_ctx;
    atomic_init(&self->refs, 1);
    *out = self;
    return SHS_OK;
}

struct shs_tls_context *shs__tls_context_ref(struct shs_tls_context *self)
{
    atomic_fetch_add_explicit(&self->refs, 1, memory_order_relaxed);
    return self;
}

void shs__tls_context_free(struct shs_tls_context *self)
{
    if (self == NULL || atomic_fetch_sub_explicit(&self->refs, 1, memory_order_acq_rel) != 1)
        return;
    SSL_CTX_free(self->ssl_ctx);
    BIO_meth_free(self->bio_method);
    shs__free(self);
}

/* The certificate's dates against `now`; false when there is nothing to say. */
static bool advise_dates(const X509 *leaf, int64_t now, struct shs_error *note)
{
    time_t at = (time_t)now;
    int days = 0, seconds = 0;
    ASN1_TIME *when = ASN1_TIME_set(NULL, at);
    bool said = true;

    if (when == NULL)
        return false;
    if (ASN1_TIME_diff(&days, &seconds, when, X509_get0_notAfter(leaf)) != 1)
        said = false;
    else if (days < 0 || seconds < 0)
        shs_error_set(
            note, SHS_TLS, 0,
            "The certificate has expired (%d days ago): clients will refuse it. Renew it.", -days);
    else if (ASN1_TIME_compare(X509_get0_notBefore(leaf), when) > 0)
        shs_error_set(note, SHS_TLS, 0,
                      "The certificate is not valid yet: clients will refuse it. Is the clock of "
                      "this machine right?");
    else if (days < DAYS_WARNED)
        shs_error_set(note, SHS_TLS, 0, "The certificate expires in less than %d days. Renew it.",
                      days + 1);
    else
        said = false;
    ASN1_TIME_free(when);
    return said;
}

static bool advise_key(X509 *leaf, struct shs_error *note)
{
    EVP_PKEY *key = X509_get0_pubkey(leaf);

    if (key == NULL || !EVP_PKEY_is_a(key, "RSA") || EVP_PKEY_get_bits(key) <= RSA_BITS_ADVISED)
        return false;
    shs_error_set(note, SHS_TLS, 0,
                  "The certificate has an RSA key of %d bits: a handshake costs about ten times "
                  "that of 2048 bits, and more of P-256. Consider an EC P-256 key.",
                  EVP_PKEY_get_bits(key));
    return true;
}

bool shs__tls_context_advice(const struct shs_tls_context *self, unsigned index, int64_t now,
                             struct shs_error *note)
{
    X509 *leaf = SSL_CTX_get0_certificate(self->ssl_ctx);
    unsigned said = 0;

    if (leaf == NULL)
        return false;
    if (advise_dates(leaf, now, note) && said++ == index)
        return true;
    return advise_key(leaf, note) && said == index;
}
