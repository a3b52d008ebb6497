#include "tls/config/site.h"

#include <errno.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

#include <openssl/err.h>

#include "tls/clients/client.h"
#include "tls/clients/deny.h"
#include "tls/config/config.h"
#include "tls/config/names.h"
#include "tls/wire/stream.h"

#define MAX_CERT_LIST (32L * 1024)

/*
 * Mozilla's order, and the server's choice. With 128 bits the suite is as strong as the groups and
 * certificates beside it; and its hash, of which a handshake needs more than a hundred blocks, has
 * instructions of its own in today's processors, which SHA-384 has not.
 */
#define TLS13_SUITES "TLS_AES_128_GCM_SHA256:TLS_AES_256_GCM_SHA384:TLS_CHACHA20_POLY1305_SHA256"

/* ECDHE and AEAD only. */
#define TLS12_SUITES                                                                               \
    "ECDHE-ECDSA-AES128-GCM-SHA256:ECDHE-RSA-AES128-GCM-SHA256:"                                   \
    "ECDHE-ECDSA-AES256-GCM-SHA384:ECDHE-RSA-AES256-GCM-SHA384:"                                   \
    "ECDHE-ECDSA-CHACHA20-POLY1305:ECDHE-RSA-CHACHA20-POLY1305"

/* P-521 comes last: as a key exchange it is slow. But TLS 1.2 takes no certificate, ours or a
   client's, whose curve is not in this list. */
#define GROUPS "X25519:P-256:P-384:P-521"
#define LIST_MAX 1024

/* What certificates of clients may sign with; separate from what our key does. */
#define CLIENT_SIGALGS                                                                             \
    "ECDSA+SHA256:ECDSA+SHA384:ECDSA+SHA512:ed25519:ed448:RSA-PSS+SHA256:RSA-PSS+SHA384:"          \
    "RSA-PSS+SHA512:rsa_pss_pss_sha256:rsa_pss_pss_sha384:rsa_pss_pss_sha512:"                     \
    "RSA+SHA256:RSA+SHA384:RSA+SHA512"

const struct shs_tls_site *shs__tls_site_of(const SSL *ssl)
{
    return SSL_CTX_get_app_data(SSL_get_SSL_CTX(ssl));
}

static int verify_mode(enum shs_tls_client_auth auth)
{
    switch (auth) {
    case SHS_TLS_CLIENT_NONE:
        return SSL_VERIFY_NONE;
    case SHS_TLS_CLIENT_OPTIONAL:
    case SHS_TLS_CLIENT_EXPLAIN:
        return SSL_VERIFY_PEER;
    case SHS_TLS_CLIENT_REQUIRED:
        break;
    }
    return SSL_VERIFY_PEER | SSL_VERIFY_FAIL_IF_NO_PEER_CERT;
}

static int min_version(const struct shs_tls_host *host)
{
    return host->policy == SHS_TLS_MODERN || host->min_version == 13 ? TLS1_3_VERSION
                                                                     : TLS1_2_VERSION;
}

/* -- the ClientHello --------------------------------------------------------------------------- */

/* The host name of a server_name extension (RFC 6066, 3); len 0 when there is none. */
static struct shs_str hello_name(SSL *ssl)
{
    const unsigned char *at;
    struct shs_str none = {"", 0};
    size_t left, list, len;

    if (SSL_client_hello_get0_ext(ssl, TLSEXT_TYPE_server_name, &at, &left) != 1 || left < 5)
        return none;
    list = (size_t)at[0] << 8 | at[1];
    len = (size_t)at[3] << 8 | at[4];
    if (list != left - 2 || at[2] != TLSEXT_NAMETYPE_host_name || len > left - 5)
        return none; /* malformed: OpenSSL says so later */
    return (struct shs_str){(const char *)at + 5, len};
}

/* SSL_set_SSL_CTX brings certificates, scope, CAs and callbacks; the rest SSL_new has copied. */
static bool move_to(SSL *ssl, const struct shs_tls_site *site)
{
    const struct shs_tls_site *from = shs__tls_site_of(ssl);
    const struct shs_tls_host *host = site->host;

    if (site == from)
        return true;
    if (SSL_set_SSL_CTX(ssl, site->ssl_ctx) == NULL)
        return false;
    if (host == from->host)
        return true;
    SSL_set_verify(ssl, verify_mode(host->client_auth), NULL);
    return SSL_set_min_proto_version(ssl, min_version(host)) == 1 &&
           SSL_set1_groups_list(ssl, host->groups == NULL ? GROUPS : host->groups) == 1;
}

static int on_client_hello(SSL *ssl, int *alert, void *arg)
{
    struct shs_tls_stream *stream = shs__tls_stream_of(ssl);
    const struct shs_tls_context *context = stream->context;
    struct shs_str name = hello_name(ssl);
    unsigned found, period = context->default_period;
    const struct shs_tls_site *site;

    SHS_UNUSED(arg);
    if (name.len > 0 && !shs__tls_name_is_address(name)) {
        if (shs__tls_names_find(context->names, name, &found)) {
            period = context->period_of_name[found];
        } else if (context->config->config.strict_sni) {
            stream->no_name = true;
            *alert = SSL_AD_UNRECOGNIZED_NAME;
            return SSL_CLIENT_HELLO_ERROR;
        }
    }
    site = context->on_trial != NULL ? context->on_trial
                                     : shs__tls_site_at(context, period, shs__tls_now(context));
    if (move_to(ssl, site))
        return SSL_CLIENT_HELLO_SUCCESS;
    *alert = SSL_AD_INTERNAL_ERROR;
    return SSL_CLIENT_HELLO_ERROR;
}

/* Is `name` in a list of names with their lengths before them (RFC 7301, 3.1)? Its place. */
static const unsigned char *find_protocol(const char *name, const unsigned char *in,
                                          unsigned in_len)
{
    size_t len = strlen(name);
    unsigned at = 0;

    while (at < in_len && in[at] < in_len - at) {
        if (in[at] == len && memcmp(&in[at + 1], name, len) == 0)
            return &in[at];
        at += in[at] + 1u;
    }
    return NULL;
}

/* The first of ours that the client offers. */
static int select_alpn(SSL *ssl, const unsigned char **out, unsigned char *out_len,
                       const unsigned char *in, unsigned in_len, void *arg)
{
    const char *const *ours = shs__tls_stream_of(ssl)->context->config->config.alpn;
    const unsigned char *found = NULL;

    SHS_UNUSED(arg);
    while (*ours != NULL && found == NULL)
        found = find_protocol(*ours++, in, in_len);
    /* RFC 7301, 3.2: no_application_protocol, rather than speak what was not offered. */
    if (found == NULL)
        return SSL_TLSEXT_ERR_ALERT_FATAL;
    *out = found + 1;
    *out_len = *found;
    return SSL_TLSEXT_ERR_OK;
}

/* Takes note of the name, so that OpenSSL keeps it with the session too. */
static int accept_name(SSL *ssl, int *alert, void *arg)
{
    const char *name = SSL_get_servername(ssl, TLSEXT_NAMETYPE_host_name);

    SHS_UNUSED(alert);
    SHS_UNUSED(arg);
    return name == NULL || shs__tls_name_is_address(shs__str(name)) ? SSL_TLSEXT_ERR_NOACK
                                                                    : SSL_TLSEXT_ERR_OK;
}

/* -- the client's certificate ------------------------------------------------------------------ */

static int on_verify(X509_STORE_CTX *ctx, void *arg)
{
    SSL *ssl = X509_STORE_CTX_get_ex_data(ctx, SSL_get_ex_data_X509_STORE_CTX_idx());
    struct shs_tls_stream *stream = shs__tls_stream_of(ssl);
    const struct shs_tls_site *site = shs__tls_site_of(ssl);
    struct shs_tls_refusal refusal;
    struct shs_tls_until until;

    SHS_UNUSED(arg);
    shs__client_record_free(stream->client);
    if (shs__tls_clients_judge(ctx, site->clients, stream->context, &until, &refusal,
                               &stream->client)) {
        stream->client_until = until.chain;
        stream->client_crls_until = until.crls;
        return 1;
    }
    stream->client_reason = (uint8_t)refusal.reason;
    if (stream->refusal == NULL)
        stream->refusal = shs__malloc(sizeof refusal);
    if (stream->refusal != NULL)
        *stream->refusal = refusal;
    /* To explain, there must be a session. The mixin lets nobody with a reason through. */
    return site->clients->auth == SHS_TLS_CLIENT_EXPLAIN ? 1 : 0;
}

/* -- tickets ----------------------------------------------------------------------------------- */

static int on_ticket_key(SSL *ssl, unsigned char *name, unsigned char *iv, EVP_CIPHER_CTX *cipher,
                         EVP_MAC_CTX *mac, int enc)
{
    const struct shs_tls_stream *stream = shs__tls_stream_of(ssl);

    return shs__tls_ticket_crypt(stream->context->tickets, shs__tls_now(stream->context), name, iv,
                                 cipher, mac, enc);
}

static bool read_anchor(SSL_SESSION *session, struct shs_tls_anchor *anchor)
{
    void *data = NULL;
    size_t len = 0;

    return SSL_SESSION_get0_ticket_appdata(session, &data, &len) == 1 && data != NULL &&
           shs__tls_anchor_read(anchor, data, len);
}

struct shs_tls_until shs__tls_client_until(SSL *ssl)
{
    const struct shs_tls_stream *stream = shs__tls_stream_of(ssl);
    SSL_SESSION *session = SSL_get_session(ssl);
    struct shs_tls_anchor anchor;

    if (SSL_session_reused(ssl) != 1)
        return (struct shs_tls_until){stream->client_until, stream->client_crls_until};
    if (session == NULL || !read_anchor(session, &anchor))
        return (struct shs_tls_until){0, 0};
    return (struct shs_tls_until){anchor.chain_not_after, anchor.crls_until};
}

bool shs__tls_client_keys(SSL *ssl, struct shs_client_keys *out)
{
    SSL_SESSION *session = SSL_get_session(ssl);
    struct shs_tls_anchor anchor;

    if (SSL_session_reused(ssl) != 1 || session == NULL || !read_anchor(session, &anchor))
        return false;
    *out = anchor.cas;
    return true;
}

/* A ticket is about to be made: what it has to prove later. */
static int on_ticket_made(SSL *ssl, void *arg)
{
    const struct shs_tls_stream *stream = shs__tls_stream_of(ssl);
    SSL_SESSION *session = SSL_get_session(ssl);
    unsigned char bytes[SHS_TLS_ANCHOR_MAX];
    struct shs_tls_anchor anchor;
    size_t len;

    SHS_UNUSED(arg);
    if (SSL_session_reused(ssl) == 1 && read_anchor(session, &anchor))
        return 1; /* it goes on as it began */
    memset(&anchor, 0, sizeof anchor);
    anchor.began = shs__tls_now(stream->context);
    anchor.chain_not_after = INT64_MAX;
    anchor.crls_until = INT64_MAX;
    if (SSL_get0_peer_certificate(ssl) != NULL) {
        anchor.verified =
            stream->client_reason == SHS_CLIENT_OK && SSL_get_verify_result(ssl) == X509_V_OK;
        anchor.chain_not_after = stream->client_until;
        anchor.crls_until = stream->client_crls_until;
        if (anchor.verified && stream->client != NULL)
            shs__client_keys_in(&stream->client->identity, &anchor.cas);
    }
    memcpy(anchor.scope, shs__tls_site_of(ssl)->scope, SHS_TLS_SCOPE_LEN);
    len = shs__tls_anchor_write(&anchor, bytes);
    return SSL_SESSION_set1_ticket_appdata(session, bytes, len) == 1 ? 1 : 0;
}

/* The client of a session, looked at again: dates, the deny list, and the check of the
   configuration. CRLs are in the scope: with other CRLs no ticket of before is good; and those of
   its chain must not have lapsed. */
static bool client_still_good(const struct shs_tls_context *context, X509 *peer,
                              const struct shs_client_keys *keys, int64_t now)
{
    const struct shs_tls_config *config = &context->config->config;
    struct shs_client_record *record = NULL;
    const char *note = NULL;
    bool good;

    if (shs__tls_time(X509_get0_notAfter(peer)) <= now ||
        shs__tls_time(X509_get0_notBefore(peer)) > now)
        return false;
    if (config->client_check == NULL &&
        (context->deny == NULL || shs__tls_deny_is_empty(context->deny)))
        return true;
    if (shs__client_record_new(&record, peer) != SHS_OK)
        return false;
    record->identity.verified = true;
    good = shs__client_record_set_cas(record, keys) && record->identity.reason == SHS_CLIENT_OK &&
           shs__tls_clients_veto(context, &record->identity, &note) == SHS_CLIENT_OK;
    shs__client_record_free(record);
    return good;
}

static bool may_resume(const SSL *ssl, SSL_SESSION *session, int64_t now)
{
    const struct shs_tls_stream *stream = shs__tls_stream_of(ssl);
    const struct shs_tls_config *config = &stream->context->config->config;
    const struct shs_tls_site *site = shs__tls_site_of(ssl);
    X509 *peer = SSL_SESSION_get0_peer(session);
    struct shs_tls_anchor anchor;

    if (!read_anchor(session, &anchor) ||
        memcmp(anchor.scope, site->scope, SHS_TLS_SCOPE_LEN) != 0 ||
        now - anchor.began >= (int64_t)config->session_age_s ||
        anchor.began > now + (int64_t)config->ticket_epoch_s)
        return false;
    if (site->clients->auth == SHS_TLS_CLIENT_NONE)
        return true;
    if (peer == NULL)
        return site->clients->auth == SHS_TLS_CLIENT_OPTIONAL;
    return anchor.verified && anchor.chain_not_after > now && anchor.crls_until > now &&
           client_still_good(stream->context, peer, &anchor.cas, now);
}

static SSL_TICKET_RETURN on_ticket_opened(SSL *ssl, SSL_SESSION *session, const unsigned char *name,
                                          size_t name_len, SSL_TICKET_STATUS status, void *arg)
{
    SHS_UNUSED(name);
    SHS_UNUSED(name_len);
    SHS_UNUSED(arg);
    switch (status) {
    case SSL_TICKET_SUCCESS:
    case SSL_TICKET_SUCCESS_RENEW:
        if (!may_resume(ssl, session, shs__tls_now(shs__tls_stream_of(ssl)->context)))
            return SSL_TICKET_RETURN_IGNORE_RENEW;
        /* TLS 1.3: a ticket is for one use (RFC 8446, C.4), so each connection brings the next. */
        if (status == SSL_TICKET_SUCCESS_RENEW || SSL_version(ssl) == TLS1_3_VERSION)
            return SSL_TICKET_RETURN_USE_RENEW;
        return SSL_TICKET_RETURN_USE;
    case SSL_TICKET_EMPTY:
    case SSL_TICKET_NO_DECRYPT:
        return SSL_TICKET_RETURN_IGNORE_RENEW;
    default:
        return SSL_TICKET_RETURN_ABORT;
    }
}

/* -- what else is asked ------------------------------------------------------------------------ */

static int on_status(SSL *ssl, void *arg)
{
    const struct shs_tls_site *site = shs__tls_site_of(ssl);
    const X509 *leaf = SSL_get_certificate(ssl);
    int64_t now = shs__tls_now(shs__tls_stream_of(ssl)->context);

    SHS_UNUSED(arg);
    for (size_t i = 0; i < SHS_TLS_KINDS; i++) {
        const struct shs_tls_pair *pair = site->pairs[i];
        unsigned char *copy;

        if (pair == NULL || pair->identity.leaf != leaf || !shs__tls_ocsp_fits(&pair->ocsp, now))
            continue;
        copy = OPENSSL_memdup(pair->ocsp.der, pair->ocsp.len);
        if (copy == NULL)
            break;
        SSL_set_tlsext_status_ocsp_resp(ssl, copy, (long)pair->ocsp.len); /* takes it */
        return SSL_TLSEXT_ERR_OK;
    }
    return SSL_TLSEXT_ERR_NOACK;
}

/* The one place that hands the lines on; libssl wipes each. One write a line: several processes may
   append to the same file. */
void shs__tls_on_keylog(const SSL *ssl, const char *line)
{
    struct shs_tls_stream *stream = shs__tls_stream_of(ssl);
    struct shs_tls_live_keylog *live = stream->context->live;
    union {
        const char *from;
        char *to;
    } cast = {.from = line};
    char newline[] = "\n";
    int none = 0;
    struct iovec parts[2] = {{cast.to, strlen(line)}, {newline, 1}};

    shs__tls_stream_secret(stream, line);
    if (live != NULL &&
        atomic_load_explicit(&live->until_ns, memory_order_acquire) > shs__elapsed_ns())
        (void)!writev(live->fd, parts, 2);
    /* A full disk is no reason to refuse a client. */
    if (stream->context->keylog_fd >= 0 && writev(stream->context->keylog_fd, parts, 2) < 0)
        (void)atomic_compare_exchange_strong(&stream->context->keylog_errno, &none, errno);
}

/* -- making the SSL_CTX ------------------------------------------------------------------------ */

/* The signatures a key can make, best first: a short list costs less to match. In TLS 1.2 the hash
   does not depend on the curve (RFC 5246, 7.4.1.4.1), and a client may offer any one alone. NULL:
   what OpenSSL can. */
static const char *sigalgs_of(const struct shs_tls_pair *pair)
{
    int bits = EVP_PKEY_get_bits(pair->identity.key);

    if (pair->kind == SHS_TLS_KIND_OTHER) {
        if (EVP_PKEY_is_a(pair->identity.key, "ED25519") == 1)
            return "ed25519";
        if (EVP_PKEY_is_a(pair->identity.key, "ED448") == 1)
            return "ed448";
        return EVP_PKEY_is_a(pair->identity.key, "RSA-PSS") == 1
                   ? "rsa_pss_pss_sha256:rsa_pss_pss_sha384:rsa_pss_pss_sha512"
                   : NULL;
    }
    if (pair->kind == SHS_TLS_KIND_RSA)
        return "RSA-PSS+SHA256:RSA-PSS+SHA384:RSA-PSS+SHA512:RSA+SHA256:RSA+SHA384:RSA+SHA512";
    if (bits <= 256)
        return "ECDSA+SHA256:ECDSA+SHA384:ECDSA+SHA512";
    return bits <= 384 ? "ECDSA+SHA384:ECDSA+SHA256:ECDSA+SHA512"
                       : "ECDSA+SHA512:ECDSA+SHA256:ECDSA+SHA384";
}

/* Adds the certificate to use; its signatures come after those that are in the list. */
static int add_certificate(SSL_CTX *ctx, struct shs_tls_site *site, const struct shs_tls_pair *pair,
                           struct shs_buf *sigalgs, struct shs_error *err)
{
    const char *more = sigalgs_of(pair);

    if (SSL_CTX_use_cert_and_key(ctx, pair->identity.leaf, pair->identity.key, pair->identity.chain,
                                 1) != 1) {
        site->culprit = pair;
        return shs__tls_error(err, SHS_TLS,
                              "OpenSSL refuses the certificate in '%.80s' (an RSA key needs "
                              "2048 bits or more, and no signature may be over SHA-1)",
                              pair->from->certfile == NULL ? "cert_pem" : pair->from->certfile);
    }
    if (more != NULL)
        (void)shs__buf_printf(sigalgs, "%s%s", sigalgs->len > 0 ? ":" : "", more);
    return SHS_OK;
}

static int set_certificates(SSL_CTX *ctx, struct shs_tls_site *site, struct shs_error *err)
{
    struct shs_buf sigalgs;
    bool listed = true;
    char text[LIST_MAX];
    int rc;

    shs__buf_init(&sigalgs, sizeof text);
    sigalgs.data = text;
    sigalgs.cap = sizeof text;
    /* Those that stand in for others come last. */
    for (size_t i = 0; i < 2 * SHS_TLS_KINDS; i++) {
        const struct shs_tls_pair *pair = site->pairs[i % SHS_TLS_KINDS];

        if (pair == NULL || site->stands_in[i % SHS_TLS_KINDS] != (i >= SHS_TLS_KINDS))
            continue;
        rc = add_certificate(ctx, site, pair, &sigalgs, err);
        if (rc != SHS_OK)
            return rc;
        listed = listed && sigalgs_of(pair) != NULL;
    }
    if (listed && SSL_CTX_set1_sigalgs_list(ctx, text) != 1)
        return shs__tls_error(err, SHS_TLS, "OpenSSL refuses the signature list");
    return SHS_OK;
}

/* Splits a list into suites of TLS 1.3, which have names of their own, and the others. */
static int set_suites(SSL_CTX *ctx, const char *list, struct shs_error *err)
{
    char new_ones[LIST_MAX] = "", others[LIST_MAX] = "";
    const char *at = list;

    if (list == NULL) {
        if (SSL_CTX_set_ciphersuites(ctx, TLS13_SUITES) == 1 &&
            SSL_CTX_set_cipher_list(ctx, TLS12_SUITES) == 1)
            return SHS_OK;
        return shs__tls_error(err, SHS_TLS, "OpenSSL lacks our cipher suites");
    }
    if (strlen(list) >= LIST_MAX)
        return shs_error_set(err, SHS_USAGE, 0, "The list of cipher suites is too long.");
    while (*at != '\0') {
        size_t len = strcspn(at, ":");
        char *to = strncmp(at, "TLS_", 4) == 0 ? new_ones : others;
        size_t used = strlen(to);

        if (used > 0)
            to[used++] = ':';
        memcpy(to + used, at, len);
        to[used + len] = '\0';
        at += len + (at[len] == ':');
    }
    if (SSL_CTX_set_ciphersuites(ctx, new_ones[0] != '\0' ? new_ones : TLS13_SUITES) != 1 ||
        SSL_CTX_set_cipher_list(ctx, others[0] != '\0' ? others : TLS12_SUITES) != 1)
        return shs__tls_error(err, SHS_USAGE, "OpenSSL knows no cipher suite by the names '%.100s'",
                              list);
    return SHS_OK;
}

/* Everything that depends on the host. OpenSSL's configuration file was applied by SSL_CTX_new:
   what is said here overrides it. */
static int set_policy(SSL_CTX *ctx, const struct shs_tls_host *host, bool no_tickets,
                      struct shs_error *err)
{
    int rc;

    SSL_CTX_clear_options(ctx, SSL_OP_ALLOW_UNSAFE_LEGACY_RENEGOTIATION |
                                   SSL_OP_ALLOW_CLIENT_RENEGOTIATION | SSL_OP_NO_TICKET |
                                   SSL_OP_IGNORE_UNEXPECTED_EOF | SSL_OP_LEGACY_SERVER_CONNECT |
                                   SSL_OP_NO_TLSv1_2 | SSL_OP_NO_TLSv1_3);
    SSL_CTX_set_options(ctx, SSL_OP_NO_RENEGOTIATION | SSL_OP_NO_COMPRESSION |
                                 SSL_OP_CIPHER_SERVER_PREFERENCE | SSL_OP_PRIORITIZE_CHACHA |
                                 (no_tickets ? SSL_OP_NO_TICKET : 0));
#ifdef SSL_OP_NO_RX_CERTIFICATE_COMPRESSION
    /* RFC 8879, from OpenSSL 3.2 on: nothing is unpacked for a client that is not known yet. */
    SSL_CTX_set_options(ctx, SSL_OP_NO_RX_CERTIFICATE_COMPRESSION);
#endif
    rc = set_suites(ctx, host->ciphers, err);
    if (rc != SHS_OK)
        return rc;
    if (SSL_CTX_get_security_level(ctx) < 2)
        SSL_CTX_set_security_level(ctx, 2);
    if (host->groups != NULL && SSL_CTX_set1_groups_list(ctx, host->groups) != 1)
        return shs__tls_error(err, SHS_USAGE, "OpenSSL does not know all of the groups '%.100s'",
                              host->groups);
    if ((host->groups == NULL && SSL_CTX_set1_groups_list(ctx, GROUPS) != 1) ||
        SSL_CTX_set_min_proto_version(ctx, min_version(host)) != 1 ||
        SSL_CTX_set_max_proto_version(ctx, 0) != 1 ||
        SSL_CTX_set_num_tickets(ctx, no_tickets ? 0 : 1) != 1 ||
        SSL_CTX_set1_client_sigalgs_list(ctx, CLIENT_SIGALGS) != 1)
        return shs__tls_error(err, SHS_TLS, "OpenSSL could not be set up for TLS");
    return SHS_OK;
}

/* Bounds and callbacks: the same for every site, for SSL_new takes them from the default one. */
static bool set_common(SSL_CTX *ctx, const struct shs_tls_site *site,
                       const struct shs_tls_config *config)
{
    union {
        const struct shs_tls_site *from;
        struct shs_tls_site *to;
    } cast = {.from = site};

    SSL_CTX_set_mode(ctx, SSL_MODE_RELEASE_BUFFERS | SSL_MODE_ENABLE_PARTIAL_WRITE |
                              SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER);
    SSL_CTX_set_read_ahead(ctx, 1);
    SSL_CTX_set_session_cache_mode(ctx, SSL_SESS_CACHE_OFF);
    SSL_CTX_set_timeout(ctx, (long)config->session_age_s);
    SSL_CTX_set_max_cert_list(ctx, MAX_CERT_LIST);
    SSL_CTX_set_max_early_data(ctx, 0);
    SSL_CTX_set_client_hello_cb(ctx, on_client_hello, NULL);
    if (config->alpn != NULL && config->alpn[0] != NULL)
        SSL_CTX_set_alpn_select_cb(ctx, select_alpn, NULL);
    SSL_CTX_set_tlsext_servername_callback(ctx, accept_name);
    SSL_CTX_set_tlsext_status_cb(ctx, on_status);
    if (config->keylog != NULL || config->records == SHS_TLS_RECORDS_DIRECT)
        SSL_CTX_set_keylog_callback(ctx, shs__tls_on_keylog);
    return SSL_CTX_set_app_data(ctx, cast.to) == 1 &&
           SSL_CTX_set_tlsext_ticket_key_evp_cb(ctx, on_ticket_key) == 1 &&
           SSL_CTX_set_session_ticket_cb(ctx, on_ticket_made, on_ticket_opened, NULL) == 1 &&
           SSL_CTX_set_session_id_context(ctx, site->scope, SHS_TLS_SCOPE_LEN) == 1;
}

static bool set_clients(SSL_CTX *ctx, const struct shs_tls_clients *clients)
{
    STACK_OF(X509_NAME) * names;

    SSL_CTX_set_verify(ctx, verify_mode(clients->auth), NULL);
    SSL_CTX_set_cert_verify_callback(ctx, on_verify, NULL);
    if (clients->auth == SHS_TLS_CLIENT_NONE)
        return true;
    names =
        clients->cas.sends_names ? SSL_dup_CA_list(clients->cas.names) : sk_X509_NAME_new_null();
    if (names == NULL || SSL_CTX_set1_verify_cert_store(ctx, clients->store) != 1)
        return false;
    SSL_CTX_set_client_CA_list(ctx, names); /* takes it */
    return true;
}

int shs__tls_site_open(struct shs_tls_site *site, const struct shs_tls_context *context,
                       struct shs_error *err)
{
    const struct shs_tls_config *config = &context->config->config;
    SSL_CTX *ctx;
    int rc;

    ERR_clear_error();
    ctx = SSL_CTX_new(TLS_server_method());
    if (ctx == NULL || !set_common(ctx, site, config) || !set_clients(ctx, site->clients)) {
        SSL_CTX_free(ctx);
        return shs__tls_error(err, SHS_TLS, "OpenSSL could not be set up for TLS");
    }
    rc = set_policy(ctx, site->host, config->no_tickets, err);
    if (rc == SHS_OK)
        rc = set_certificates(ctx, site, err);
    if (rc == SHS_OK)
        site->ssl_ctx = ctx;
    else
        SSL_CTX_free(ctx);
    ERR_clear_error();
    return rc;
}
