#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <openssl/ocsp.h>
#include <openssl/x509v3.h>

#include <shs/handler.h>
#include <shs/server.h>
#include <shs/tls.h>

#include "loopback.h"
#include "patience.h"
#include "server/conn.h"
#include "tls/clients/clients.h"
#include "tls/config/config.h"
#include "tls/config/site.h"
#include "tls/config/tickets.h"
#include "tls_lab.h"

static struct tls_lab lab, rsa; /* two CAs, an EC and an RSA certificate */
static char ca_path[64];        /* the first one's CA, in a file */

static void write_file(const char *path, const struct shs_buf *bytes)
{
    FILE *f = fopen(path, "w");

    assert_non_null(f);
    assert_int_equal(fwrite(shs__buf_head(bytes), 1, bytes->len, f), bytes->len);
    assert_int_equal(fclose(f), 0);
}

static void pem_of(struct shs_buf *out, const struct tls_lab *from)
{
    shs__buf_init(out, 65536);
    assert_int_equal(shs__mint_cert_pem(out, from->leaf, NULL), SHS_OK);
}

static struct shs_tls_cert cert_of(const struct tls_lab *from)
{
    struct shs_tls_cert cert = {
        .cert_pem = from->opt.cert_pem,
        .cert_pem_len = from->opt.cert_pem_len,
        .key_pem = from->opt.key_pem,
        .key_pem_len = from->opt.key_pem_len,
    };

    return cert;
}

/* A configuration with this one host, which has this one certificate; both borrowed. */
static void one_host(struct shs_tls_config *config, struct shs_tls_host *host,
                     const struct shs_tls_cert *cert)
{
    shs_tls_config_init(config);
    shs_tls_host_init(host);
    host->certs = cert;
    host->cert_count = 1;
    config->hosts = host;
    config->host_count = 1;
}

static struct shs_tls_context *build(const struct shs_tls_config *config)
{
    struct shs_tls_context *context = NULL;
    struct shs_tls_tickets *tickets = NULL;
    struct shs_error err = {.code = SHS_OK};
    int rc;

    assert_int_equal(shs__tls_tickets_new(&tickets, 3600), SHS_OK);
    rc = shs__tls_context_build(&context, config, tickets, NULL, (int64_t)time(NULL), true, &err);
    if (rc == SHS_OK)
        rc = shs__tls_context_try(context, &err);
    if (rc != SHS_OK)
        fail_msg("%s", err.text);
    shs__tls_tickets_free(tickets);
    return context;
}

static void refused(const struct shs_tls_config *config, int code, const char *words)
{
    struct shs_tls_context *context = NULL;
    struct shs_tls_tickets *tickets = NULL;
    struct shs_error err = {.code = SHS_OK};

    assert_int_equal(shs__tls_tickets_new(&tickets, 3600), SHS_OK);
    assert_int_equal(
        shs__tls_context_build(&context, config, tickets, NULL, (int64_t)time(NULL), true, &err),
        code);
    if (strstr(err.text, words) == NULL)
        fail_msg("'%s' has no '%s'", err.text, words);
    shs__tls_tickets_free(tickets);
}

/* -- one connection in memory ------------------------------------------------------------------ */

struct talk {
    struct shs_stream *a, *b;
    struct shs_tls_stream *server, *client;
    int rc;
};

/* A client with a certificate of the lab's CA, if it is given one. */
static struct shs_tls_context *client_context(X509 *cert, EVP_PKEY *key)
{
    struct shs_tls_context *context = NULL;
    SSL_CTX *ctx = SSL_CTX_new(TLS_client_method());

    assert_non_null(ctx);
    SSL_CTX_set_verify(ctx, SSL_VERIFY_NONE, NULL);
    if (cert != NULL)
        assert_int_equal(SSL_CTX_use_cert_and_key(ctx, cert, key, NULL, 1), 1);
    assert_int_equal(shs__tls_context_wrap(&context, ctx), SHS_OK);
    return context;
}

static void talk(struct talk *t, struct shs_tls_context *server, struct shs_tls_context *client,
                 const char *name, SSL_SESSION *session)
{
    char byte;
    size_t n;

    assert_int_equal(shs__memory_stream_pair(&t->a, &t->b, 1 << 18, 0), SHS_OK);
    assert_int_equal(shs__tls_stream_new(&t->server, server, t->a), SHS_OK);
    assert_int_equal(shs__tls_stream_new(&t->client, client, t->b), SHS_OK);
    if (name != NULL)
        assert_int_equal(SSL_set_tlsext_host_name(t->client->ssl, name), 1);
    if (session != NULL)
        assert_int_equal(SSL_set_session(t->client->ssl, session), 1);
    t->rc = lab_handshake(t->server, t->client);
    if (t->rc == SHS_OK) {
        (void)shs__stream_read(&t->client->base, &byte, 1, &n); /* the ticket */
        assert_int_equal(shs__tls_stream_handshake(t->client), SHS_OK);
    }
}

static void hang_up(struct talk *t)
{
    /* Else OpenSSL holds that the session broke off, and never resumes it. */
    SSL_set_shutdown(t->client->ssl, SSL_SENT_SHUTDOWN | SSL_RECEIVED_SHUTDOWN);
    t->server->base.cls->free(&t->server->base);
    t->client->base.cls->free(&t->client->base);
    t->a->cls->free(t->a);
    t->b->cls->free(t->b);
}

/* A certificate for a client of the lab. */
static X509 *client_cert(const char *name, int64_t until)
{
    struct shs_cert_spec spec = {
        .common_name = name,
        .not_before = (int64_t)time(NULL) - LAB_DAY,
        .not_after = until,
        .client_auth = true,
    };
    X509 *cert = NULL;

    assert_int_equal(shs__mint_cert(&cert, &spec, lab.key, lab.ca, lab.ca_key, NULL), SHS_OK);
    return cert;
}

/* -- tests ------------------------------------------------------------------------------------- */

/* Two hosts, one of which asks for certificates: all of it follows the name. */
static void test_hosts(void **state)
{
    static const char *const open_names[] = {"open.example", NULL};
    static const char *const closed_names[] = {"closed.example", "*.closed.example", NULL};
    struct shs_tls_cert certs[2] = {cert_of(&lab), cert_of(&rsa)};
    struct shs_tls_host hosts[2];
    struct shs_tls_config config;
    struct shs_tls_context *context, *client = client_context(NULL, NULL);
    SSL_SESSION *session;
    struct talk t;

    SHS_UNUSED(state);
    shs_tls_config_init(&config);
    shs_tls_host_init(&hosts[0]);
    shs_tls_host_init(&hosts[1]);
    hosts[0].names = open_names;
    hosts[0].certs = &certs[0];
    hosts[1].names = closed_names;
    hosts[1].certs = &certs[1];
    hosts[0].cert_count = hosts[1].cert_count = 1;
    hosts[1].client_auth = SHS_TLS_CLIENT_REQUIRED;
    hosts[1].client_ca = ca_path;
    hosts[1].policy = SHS_TLS_MODERN;
    hosts[1].groups = "P-384";
    config.hosts = hosts;
    config.host_count = 2;
    context = build(&config);
    talk(&t, context, client, "open.example", NULL);
    assert_int_equal(t.rc, SHS_OK);
    assert_int_equal(X509_cmp(SSL_get0_peer_certificate(t.client->ssl), lab.leaf), 0);
    assert_int_equal(SSL_get_negotiated_group(t.server->ssl), NID_X25519);
    session = SSL_get1_session(t.client->ssl);
    hang_up(&t);
    talk(&t, context, client, "open.example", session);
    assert_int_equal(SSL_session_reused(t.server->ssl), 1);
    hang_up(&t);
    /* CVE-2025-23419: a session of a host that asks for nothing, brought to one that does. */
    talk(&t, context, client, "x.closed.example", session);
    assert_int_equal(t.rc, SHS_TLS);
    assert_int_equal(t.server->client_reason, SHS_CLIENT_NONE);
    assert_int_equal(SSL_session_reused(t.server->ssl), 0);
    assert_int_equal(X509_cmp(SSL_get0_peer_certificate(t.client->ssl), rsa.leaf), 0);
    assert_int_equal(SSL_get_negotiated_group(t.server->ssl), NID_secp384r1);
    hang_up(&t);
    SSL_SESSION_free(session);
    shs__tls_context_free(client);
    shs__tls_context_free(context);
}

static const char *deny_bob(void *ctx, const struct shs_client_identity *identity)
{
    unsigned *asked = ctx;

    ++*asked;
    assert_true(identity->verified);
    return shs__str_eq(identity->common_name, SHS_STR("bob")) && *asked > 1 ? "bob has left" : NULL;
}

/* The check of the configuration is asked in a full handshake and at a resumption. */
static void test_client_check(void **state)
{
    struct shs_tls_cert cert = cert_of(&lab);
    X509 *bob = client_cert("bob", (int64_t)time(NULL) + LAB_DAY);
    struct shs_tls_context *context, *client = client_context(bob, lab.key);
    struct shs_tls_config config;
    struct shs_tls_host host;
    struct shs_error err;
    SSL_SESSION *session;
    unsigned asked = 0;
    struct talk t;

    SHS_UNUSED(state);
    one_host(&config, &host, &cert);
    host.client_auth = SHS_TLS_CLIENT_REQUIRED;
    host.client_ca = ca_path;
    config.client_check = deny_bob;
    config.client_check_ctx = &asked;
    context = build(&config);
    talk(&t, context, client, "localhost", NULL);
    assert_int_equal(t.rc, SHS_OK);
    assert_int_equal(asked, 1);
    session = SSL_get1_session(t.client->ssl);
    hang_up(&t);
    /* Now he is denied: the ticket is no use, and the full handshake refuses him, with a word. */
    talk(&t, context, client, "localhost", session);
    assert_int_equal(t.rc, SHS_TLS);
    assert_int_equal(t.server->client_reason, SHS_CLIENT_DENIED);
    assert_int_equal(asked, 3);
    (void)shs__stream_describe(&t.server->base, t.rc, &err);
    assert_non_null(strstr(err.text, "bob has left"));
    hang_up(&t);
    SSL_SESSION_free(session);
    X509_free(bob);
    shs__tls_context_free(client);
    shs__tls_context_free(context);
}

/* A chain of certificates that is longer than any needs to be: a bound, and its reason. */
static void test_too_large_a_chain(void **state)
{
    struct shs_tls_cert cert = cert_of(&lab);
    X509 *bob = client_cert("bob", (int64_t)time(NULL) + LAB_DAY);
    struct shs_tls_context *context, *client = client_context(bob, lab.key);
    struct shs_tls_config config;
    struct shs_tls_host host;
    struct talk t;

    SHS_UNUSED(state);
    for (int i = 0; i < 200; i++)
        assert_int_equal(SSL_CTX_add1_chain_cert(client->ssl_ctx, lab.ca), 1);
    one_host(&config, &host, &cert);
    host.client_auth = SHS_TLS_CLIENT_EXPLAIN;
    host.client_ca = ca_path;
    context = build(&config);
    talk(&t, context, client, "localhost", NULL);
    assert_int_equal(t.rc, SHS_TLS);
    assert_int_equal(t.server->client_reason, SHS_CLIENT_TOO_LARGE);
    hang_up(&t);
    X509_free(bob);
    shs__tls_context_free(client);
    shs__tls_context_free(context);
}

/* -- OCSP -------------------------------------------------------------------------------------- */

/* A response of the lab's CA about `cert`, good from a minute ago until `next` seconds from now. */
static void write_response(const char *path, X509 *cert, int status, long next)
{
    OCSP_BASICRESP *basic = OCSP_BASICRESP_new();
    OCSP_CERTID *id = OCSP_cert_to_id(EVP_sha1(), cert, lab.ca);
    ASN1_TIME *from = X509_gmtime_adj(NULL, -60), *to = X509_gmtime_adj(NULL, next);
    ASN1_TIME *revoked = status == V_OCSP_CERTSTATUS_REVOKED ? from : NULL;
    OCSP_RESPONSE *response;
    unsigned char *der = NULL;
    struct shs_buf bytes;
    int len;

    assert_non_null(OCSP_basic_add1_status(basic, id, status, 0, revoked, from, to));
    assert_int_equal(OCSP_basic_sign(basic, lab.ca, lab.ca_key, EVP_sha256(), NULL, 0), 1);
    response = OCSP_response_create(OCSP_RESPONSE_STATUS_SUCCESSFUL, basic);
    len = i2d_OCSP_RESPONSE(response, &der);
    assert_true(len > 0);
    shs__buf_init(&bytes, 65536);
    assert_int_equal(shs__buf_append(&bytes, der, (size_t)len), SHS_OK);
    write_file(path, &bytes);
    shs__buf_free(&bytes);
    OPENSSL_free(der);
    OCSP_RESPONSE_free(response);
    OCSP_BASICRESP_free(basic);
    OCSP_CERTID_free(id);
    ASN1_TIME_free(from);
    ASN1_TIME_free(to);
}

/* What a responder says that has no time. */
static void write_refusal(const char *path)
{
    OCSP_RESPONSE *response = OCSP_response_create(OCSP_RESPONSE_STATUS_TRYLATER, NULL);
    unsigned char *der = NULL;
    int len = i2d_OCSP_RESPONSE(response, &der);
    FILE *f = fopen(path, "w");

    assert_non_null(f);
    assert_true(len > 0);
    assert_int_equal(fwrite(der, 1, (size_t)len, f), len);
    assert_int_equal(fclose(f), 0);
    OPENSSL_free(der);
    OCSP_RESPONSE_free(response);
}

static void append_byte(const char *path)
{
    FILE *f = fopen(path, "a");

    assert_non_null(f);
    assert_int_equal(fputc('\n', f), '\n');
    assert_int_equal(fclose(f), 0);
}

/* How long the stapled response is that a client gets; -1 when there is none. */
static long stapled(struct shs_tls_context *context, struct shs_tls_context *client)
{
    const unsigned char *response = NULL;
    struct talk t;
    long len;

    SSL_CTX_set_tlsext_status_type(client->ssl_ctx, TLSEXT_STATUSTYPE_ocsp);
    talk(&t, context, client, "localhost", NULL);
    assert_int_equal(t.rc, SHS_OK);
    len = SSL_get_tlsext_status_ocsp_resp(t.client->ssl, &response);
    hang_up(&t);
    return len;
}

/* Asks again and again, until there is none: each time by the clock before and after. */
static void assert_stapled_until(struct shs_tls_context *context, struct shs_tls_context *client,
                                 int64_t earliest, int64_t latest)
{
    for (;;) {
        int64_t before = (int64_t)time(NULL);

        if (stapled(context, client) <= 0)
            break;
        assert_true(before < latest);
        usleep(100000);
    }
    assert_true((int64_t)time(NULL) >= earliest);
}

/* Served without a staple, and said. */
static void left_out(const struct shs_tls_config *config, struct shs_tls_context *client,
                     const char *words)
{
    struct shs_tls_context *context = build(config);
    struct shs_error note = {.code = SHS_OK};
    bool said = false;

    for (unsigned i = 0; !said && shs__tls_context_advice(context, i, (int64_t)time(NULL), &note);
         i++)
        said = strstr(note.text, words) != NULL && strstr(note.text, "not stapled") != NULL;
    assert_true(said);
    assert_true(stapled(context, client) <= 0);
    shs__tls_context_free(context);
}

/* Stapled while it is fresh, and no longer; stale, revoked or another's, it hinders nothing. */
static void test_stapling(void **state)
{
    char path[] = "/tmp/shs-test-XXXXXX";
    struct shs_tls_cert cert = cert_of(&lab);
    struct shs_tls_context *context, *client = client_context(NULL, NULL);
    struct shs_tls_config config;
    struct shs_tls_host host;
    int fd = mkstemp(path);
    int64_t earliest, latest;

    SHS_UNUSED(state);
    assert_true(fd >= 0);
    close(fd);
    cert.ocspfile = path;
    one_host(&config, &host, &cert);
    earliest = (int64_t)time(NULL) + 5;
    write_response(path, lab.leaf, V_OCSP_CERTSTATUS_GOOD, 5);
    latest = (int64_t)time(NULL) + 5;
    context = build(&config);
    assert_stapled_until(context, client, earliest, latest);
    shs__tls_context_free(context);
    left_out(&config, client, "is stale");
    write_response(path, lab.leaf, V_OCSP_CERTSTATUS_REVOKED, 100);
    left_out(&config, client, "revoked");
    write_response(path, rsa.leaf, V_OCSP_CERTSTATUS_GOOD, 100);
    left_out(&config, client, "another certificate");
    write_response(path, lab.leaf, V_OCSP_CERTSTATUS_GOOD, 100);
    append_byte(path);
    left_out(&config, client, "ends 1 bytes before the file does");
    write_refusal(path);
    left_out(&config, client, "says only 'trylater'");
    unlink(path);
    refused(&config, SHS_TLS, "Cannot open the OCSP response file");
    shs__tls_context_free(client);
}

/* What it says of a response when it is built by a clock that is `offset` off. */
static struct shs_tls_context *build_at(struct shs_tls_config *config, int64_t offset,
                                        const char *words)
{
    int64_t now = (int64_t)time(NULL) + offset;
    struct shs_tls_context *context = NULL;
    struct shs_tls_tickets *tickets = NULL;
    struct shs_error err = {.code = SHS_OK}, note;
    bool said = false;

    config->clock_offset_s = offset;
    assert_int_equal(shs__tls_tickets_new(&tickets, 3600), SHS_OK);
    if (shs__tls_context_build(&context, config, tickets, NULL, now, false, &err) != SHS_OK)
        fail_msg("%s", err.text);
    shs__tls_tickets_free(tickets);
    for (unsigned i = 0; !said && shs__tls_context_advice(context, i, now, &note); i++)
        said = strstr(note.text, words) != NULL && strstr(note.text, "not stapled") != NULL;
    assert_true(said);
    return context;
}

/* A board starts in 1970, or the clock was ahead: what was left out for that is stapled when the
   clock is right. */
static void test_stapling_when_the_clock_is_set(void **state)
{
    static const struct {
        int64_t offset;
        const char *words;
    } rows[] = {{-20000 * LAB_DAY, "from the future"},
                {-2 * LAB_DAY, "from the future"},
                {3 * LAB_DAY, "is stale"},
                {1000 * LAB_DAY, "is stale"}};
    char path[] = "/tmp/shs-test-XXXXXX";
    struct shs_tls_cert cert = cert_of(&lab);
    struct shs_tls_context *client = client_context(NULL, NULL);
    struct shs_tls_config config;
    struct shs_tls_host host;
    struct shs_buf pem;
    int fd = mkstemp(path);

    SHS_UNUSED(state);
    assert_true(fd >= 0);
    close(fd);
    /* With the issuer, whose dates are looked at as well. */
    shs__buf_init(&pem, 65536);
    assert_int_equal(shs__buf_append(&pem, cert.cert_pem, cert.cert_pem_len), SHS_OK);
    assert_int_equal(shs__mint_cert_pem(&pem, lab.ca, NULL), SHS_OK);
    cert.cert_pem = shs__buf_head(&pem);
    cert.cert_pem_len = pem.len;
    cert.ocspfile = path;
    one_host(&config, &host, &cert);
    write_response(path, lab.leaf, V_OCSP_CERTSTATUS_GOOD, LAB_DAY);
    for (size_t i = 0; i < SHS_ARRAY_LEN(rows); i++) {
        struct shs_tls_context *context = build_at(&config, rows[i].offset, rows[i].words);

        assert_true(stapled(context, client) <= 0);
        context->config->config.clock_offset_s = 0;
        assert_true(stapled(context, client) > 0);
        context->config->config.clock_offset_s = rows[i].offset;
        assert_true(stapled(context, client) <= 0);
        shs__tls_context_free(context);
    }
    unlink(path);
    shs__buf_free(&pem);
    shs__tls_context_free(client);
}

static void test_contradictions(void **state)
{
    struct shs_tls_cert cert = cert_of(&lab);
    struct shs_tls_config config;
    struct shs_tls_host host;

    SHS_UNUSED(state);
    shs_tls_config_init(&config);
    refused(&config, SHS_USAGE, "at least one host");
    shs_tls_host_init(&host);
    config.hosts = &host;
    config.host_count = 1;
    refused(&config, SHS_USAGE, "needs a certificate");
    host.certs = &cert;
    host.cert_count = 1;
    host.min_version = 11;
    refused(&config, SHS_USAGE, "must be 12");
    host.min_version = 0;
    host.client_auth = SHS_TLS_CLIENT_OPTIONAL;
    refused(&config, SHS_USAGE, "no CA is named");
    host.client_auth = SHS_TLS_CLIENT_NONE;
    host.client_ca = ca_path;
    refused(&config, SHS_USAGE, "client_auth is none");
    host.client_ca = NULL;
    config.deny = ca_path;
    refused(&config, SHS_USAGE, "deny is set");
    config.deny = NULL;
    config.ticket_epoch_s = 0;
    refused(&config, SHS_USAGE, "ticket_epoch_s");
    config.ticket_epoch_s = 1;
    host.ciphers = "NONSENSE";
    refused(&config, SHS_USAGE, "knows no cipher suite by the names");
    host.ciphers = NULL;
    host.groups = "NONSENSE";
    refused(&config, SHS_USAGE, "groups");
}

/* Strict, as a reload is: an expired certificate replaces none. */
static void test_expired(void **state)
{
    int64_t now = (int64_t)time(NULL);
    X509 *leaf = lab_leaf(&lab, lab.key, now - 10 * LAB_DAY, now - LAB_DAY);
    struct tls_lab expired = {.leaf = leaf};
    struct shs_tls_cert cert = cert_of(&lab);
    struct shs_tls_config config;
    struct shs_tls_host host;
    struct shs_buf pem;

    SHS_UNUSED(state);
    pem_of(&pem, &expired);
    cert.cert_pem = shs__buf_head(&pem);
    cert.cert_pem_len = pem.len;
    one_host(&config, &host, &cert);
    refused(&config, SHS_TLS, "has expired");
    shs__buf_free(&pem);
    X509_free(leaf);
}

/* -- over a server ----------------------------------------------------------------------------- */

static int nothing(struct shs_request_handler *self)
{
    SHS_UNUSED(self);
    return SHS_OK;
}

static const struct shs_request_handler_class nothing_class = {
    .name = "Nothing", .instance_size = sizeof(struct shs_request_handler), .handle = nothing};

static void see_certificate(void *ctx, const struct shs_tls_cert_info *cert)
{
    unsigned *seen = ctx;

    ++*seen;
    assert_string_equal(cert->source, "cert_pem");
    assert_string_equal(cert->names, "localhost");
    assert_string_equal(cert->subject, "CN=localhost");
    assert_int_equal(strlen(cert->sha256), 64);
    assert_true(cert->not_after > (int64_t)time(NULL) + 89 * LAB_DAY);
}

static struct shs_server *make_server(const struct shs_tls_config *config)
{
    struct shs_server *server = NULL;
    struct shs_options opt;
    struct shs_error err = {.code = SHS_OK};

    shs_options_init(&opt);
    assert_int_equal(shs_tcp_server_new(&server, &opt, &nothing_class, &err), SHS_OK);
    if (shs_tls_mixin_push_config(server, config, &err) != SHS_OK)
        fail_msg("%s", err.text);
    return server;
}

/* A good file is taken, a bad one changes nothing; either is counted; a check does neither. */
static void test_reload(void **state)
{
    char path[] = "/tmp/shs-test-XXXXXX";
    struct shs_tls_cert cert = {.certfile = path};
    struct shs_tls_config config;
    struct shs_tls_stats stats;
    struct shs_tls_host host;
    struct shs_server *server;
    struct shs_error err;
    struct shs_buf both;
    unsigned seen = 0;
    pthread_t serving;
    int fd = mkstemp(path);

    SHS_UNUSED(state);
    assert_true(fd >= 0);
    close(fd);
    shs__buf_init(&both, 65536);
    shs__buf_append(&both, lab.opt.cert_pem, lab.opt.cert_pem_len);
    shs__buf_append(&both, lab.opt.key_pem, lab.opt.key_pem_len);
    write_file(path, &both);
    one_host(&config, &host, &cert);
    config.reload_thread = true;
    server = make_server(&config);
    assert_int_equal(shs_tls_check(server, &err), SHS_OK);
    assert_int_equal(shs_tls_reload(server, &err), SHS_OK);
    assert_int_equal(shs_tls_deny(server, "serial 12 CN=x", &err), SHS_OK);
    assert_int_equal(shs_tls_deny(server, "serial 12", &err), SHS_USAGE);
    assert_non_null(strstr(err.text, "'serial 12'"));
    assert_int_equal(shs_tls_deny(server, "", NULL), SHS_USAGE);
    both.len = 100;
    write_file(path, &both);
    assert_int_equal(shs_tls_check(server, &err), SHS_TLS);
    assert_int_equal(shs_tls_reload(server, &err), SHS_TLS);
    assert_non_null(strstr(err.text, path));
    assert_int_equal(shs_tls_reload(server, NULL), SHS_TLS);
    assert_true(shs_tls_get_stats(server, &stats));
    assert_int_equal(stats.reloads, 1);
    assert_int_equal(stats.reload_failures, 2);
    assert_true(stats.first_expiry > (int64_t)time(NULL) + 89 * LAB_DAY);
    shs_tls_request_reload(server); /* before there is a thread for it: kept in mind */
    assert_int_equal(pthread_create(&serving, NULL, loopback_serve, server), 0);
    for (int i = 0; i < patience_ms() / 10 && stats.reload_failures < 3; i++) {
        usleep(10000);
        assert_true(shs_tls_get_stats(server, &stats));
    }
    assert_int_equal(stats.reload_failures, 3);
    assert_int_equal(shs_shutdown_wait(server, (unsigned)patience_ms()), SHS_OK);
    pthread_join(serving, NULL);
    assert_int_equal(shs_server_close(server), SHS_OK);
    shs_tls_request_reload(server); /* too late, and harmless */
    shs_server_free(server);
    unlink(path);
    shs__buf_free(&both);

    cert = cert_of(&lab);
    server = make_server(&config);
    assert_int_equal(shs_tls_each_certificate(server, see_certificate, &seen), SHS_OK);
    assert_int_equal(seen, 1);
    shs_server_free(server);
}

static void test_without_the_mixin(void **state)
{
    struct shs_server *server = NULL;
    struct shs_tls_stats stats;
    struct shs_options opt;
    struct shs_error err;

    SHS_UNUSED(state);
    shs_options_init(&opt);
    assert_int_equal(shs_tcp_server_new(&server, &opt, &nothing_class, NULL), SHS_OK);
    assert_int_equal(shs_tls_reload(server, &err), SHS_USAGE);
    assert_non_null(strstr(err.text, "no TLSMixIn"));
    assert_int_equal(shs_tls_check(server, NULL), SHS_USAGE);
    assert_int_equal(shs_tls_deny(server, "serial 12 CN=x", NULL), SHS_USAGE);
    assert_false(shs_tls_get_stats(server, &stats));
    assert_int_equal(shs_tls_each_certificate(server, see_certificate, NULL), SHS_USAGE);
    shs_tls_request_reload(server);
    shs_server_free(server);
}

/* More connections than handshakes may run: the rest is refused before it costs anything. */
static void test_overload(void **state)
{
    struct shs_tls_cert cert = cert_of(&lab);
    struct shs_tls_config config;
    struct shs_tls_stats stats;
    struct shs_tls_host host;
    struct shs_server *server;
    int fds[3];

    SHS_UNUSED(state);
    one_host(&config, &host, &cert);
    config.max_handshakes = 0;
    server = make_server(&config);
    for (size_t i = 0; i < SHS_ARRAY_LEN(fds); i++) {
        fds[i] = loopback_dial(shs_server_port(server));
        assert_int_equal(shs_handle_request(server), SHS_OK);
        close(fds[i]);
    }
    assert_true(shs_tls_get_stats(server, &stats));
    assert_int_equal(stats.causes[SHS_TLS_CAUSE_OVERLOAD], 3);
    assert_int_equal(stats.in_progress, 0);
    assert_int_equal(stats.handshakes, 0);
    shs_server_free(server);
}

/* What a scheduler says of a connection that it had no time for. */
struct hurry {
    struct shs_layer layer;
    bool hurried;
};

static int hurry_finish_request(struct shs_layer *layer, struct shs_conn *conn)
{
    conn->hurried = SHS_CONTAINER_OF(layer, struct hurry, layer)->hurried;
    return shs_super_finish_request(layer, conn);
}
static const struct shs_server_ops hurry_ops = {.name = "HurryMixIn",
                                                .finish_request = hurry_finish_request};

/* A client comes, says so much, and hangs up, by a RST if it `resets`; then it is its turn. */
static void come_and_go(struct shs_server *server, const char *text, bool resets)
{
    const struct linger at_once = {.l_onoff = resets};
    int fd = loopback_dial(shs_server_port(server));

    assert_int_equal(send(fd, text, strlen(text), 0), strlen(text));
    assert_int_equal(setsockopt(fd, SOL_SOCKET, SO_LINGER, &at_once, sizeof at_once), 0);
    close(fd);
    assert_int_equal(shs_handle_request(server), SHS_OK);
}

/* Under load nothing is computed for who has hung up before the handshake; else nobody looks. */
static void test_gone(void **state)
{
    static const char hello[] = "\x16\x03\x01\x02";
    struct shs_tls_cert cert = cert_of(&lab);
    struct hurry hurry = {.hurried = true};
    struct shs_tls_config config;
    struct shs_tls_stats stats;
    struct shs_tls_host host;
    struct shs_server *server;

    SHS_UNUSED(state);
    one_host(&config, &host, &cert);
    server = make_server(&config);
    assert_int_equal(shs_server_push(server, &hurry.layer, &hurry_ops), SHS_OK);
    come_and_go(server, hello, false);
    come_and_go(server, "", false);
    come_and_go(server, "", true);
    hurry.hurried = false;
    come_and_go(server, hello, false);
    assert_true(shs_tls_get_stats(server, &stats));
    assert_int_equal(stats.causes[SHS_TLS_CAUSE_GONE], 1);
    assert_int_equal(stats.causes[SHS_TLS_CAUSE_PROBE], 2);
    assert_int_equal(stats.causes[SHS_TLS_CAUSE_RESET], 1);
    assert_int_equal(stats.in_progress, 0);
    shs_server_free(server);
}

static int open_labs(void **state)
{
    struct shs_buf pem;

    SHS_UNUSED(state);
    lab_open(&lab, SHS_KEY_P256);
    lab_open(&rsa, SHS_KEY_RSA2048);
    shs__buf_init(&pem, 65536);
    if (shs__mint_cert_pem(&pem, lab.ca, NULL) != SHS_OK)
        return -1;
    snprintf(ca_path, sizeof ca_path, "/tmp/shs-test-ca-%ld.pem", (long)getpid());
    write_file(ca_path, &pem);
    shs__buf_free(&pem);
    return 0;
}

static int close_labs(void **state)
{
    SHS_UNUSED(state);
    unlink(ca_path);
    lab_close(&lab);
    lab_close(&rsa);
    return 0;
}

/* A session is as old as its full handshake, however often its ticket was renewed since. */
static void test_age_of_renewed_tickets(void **state)
{
    const int64_t age = 3;
    struct shs_tls_cert cert = cert_of(&lab);
    struct shs_tls_context *context, *client = client_context(NULL, NULL);
    int64_t earliest = (int64_t)time(NULL), latest;
    struct shs_tls_config config;
    struct shs_tls_host host;
    SSL_SESSION *session;
    struct talk t;
    unsigned renewed = 0;
    bool over = false;

    SHS_UNUSED(state);
    one_host(&config, &host, &cert);
    config.session_age_s = (unsigned)age;
    context = build(&config);
    talk(&t, context, client, NULL, NULL);
    assert_int_equal(t.rc, SHS_OK);
    assert_int_equal(SSL_version(t.server->ssl), TLS1_3_VERSION);
    latest = (int64_t)time(NULL); /* it began between the two */
    session = SSL_get1_session(t.client->ssl);
    hang_up(&t);
    while (!over) {
        const struct timespec moment = {.tv_nsec = 100 * SHS_NS_PER_MS};
        int64_t before = (int64_t)time(NULL);
        bool reused;

        talk(&t, context, client, NULL, session);
        assert_int_equal(t.rc, SHS_OK);
        reused = SSL_session_reused(t.server->ssl) == 1;
        if (before >= latest + age)
            assert_false(reused);
        if ((int64_t)time(NULL) < earliest + age)
            assert_true(reused);
        renewed += reused;
        over = !reused;
        SSL_SESSION_free(session);
        session = SSL_get1_session(t.client->ssl);
        hang_up(&t);
        (void)clock_nanosleep(CLOCK_MONOTONIC, 0, &moment, NULL);
    }
    print_message("%u renewed tickets were good\n", renewed);
    SSL_SESSION_free(session);
    shs__tls_context_free(client);
    shs__tls_context_free(context);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_hosts),
        cmocka_unit_test(test_client_check),
        cmocka_unit_test(test_age_of_renewed_tickets),
        cmocka_unit_test(test_too_large_a_chain),
        cmocka_unit_test(test_stapling),
        cmocka_unit_test(test_stapling_when_the_clock_is_set),
        cmocka_unit_test(test_contradictions),
        cmocka_unit_test(test_expired),
        cmocka_unit_test(test_reload),
        cmocka_unit_test(test_without_the_mixin),
        cmocka_unit_test(test_overload),
        cmocka_unit_test(test_gone),
    };

    return cmocka_run_group_tests(tests, open_labs, close_labs);
}
