#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <time.h>

#include "tls_lab.h"

#include "tls/config/config.h"
#include "tls/config/tickets.h"

struct tls_lab group_lab;

X509 *lab_leaf(const struct tls_lab *lab, EVP_PKEY *key, int64_t from, int64_t to)
{
    static const char *const names[] = {"localhost", "127.0.0.1", "::1", NULL};
    struct shs_cert_spec spec = {
        .common_name = "localhost",
        .names = names,
        .not_before = from,
        .not_after = to,
        .server_auth = true,
    };
    X509 *cert = NULL;

    assert_int_equal(shs__mint_cert(&cert, &spec, key, lab->ca, lab->ca_key, NULL), SHS_OK);
    return cert;
}

void lab_open(struct tls_lab *lab, enum shs_key_kind kind)
{
    int64_t now = (int64_t)time(NULL);
    struct shs_cert_spec ca = {
        .common_name = "test CA",
        .not_before = now - LAB_DAY,
        .not_after = now + 100 * LAB_DAY,
        .ca = true,
    };

    memset(lab, 0, sizeof *lab);
    shs__buf_init(&lab->cert_pem, 65536);
    shs__buf_init(&lab->key_pem, 65536);
    assert_int_equal(shs__mint_key(&lab->ca_key, SHS_KEY_P256, NULL), SHS_OK);
    assert_int_equal(shs__mint_key(&lab->key, kind, NULL), SHS_OK);
    assert_int_equal(shs__mint_cert(&lab->ca, &ca, lab->ca_key, NULL, NULL, NULL), SHS_OK);
    lab->leaf = lab_leaf(lab, lab->key, now - LAB_DAY, now + 90 * LAB_DAY);
    assert_int_equal(shs__mint_cert_pem(&lab->cert_pem, lab->leaf, NULL), SHS_OK);
    assert_int_equal(shs__mint_key_pem(&lab->key_pem, lab->key, NULL, NULL), SHS_OK);
    shs_options_init(&lab->opt);
    lab->opt.cert_pem = shs__buf_head(&lab->cert_pem);
    lab->opt.cert_pem_len = lab->cert_pem.len;
    lab->opt.key_pem = shs__buf_head(&lab->key_pem);
    lab->opt.key_pem_len = lab->key_pem.len;
}

void lab_close(struct tls_lab *lab)
{
    EVP_PKEY_free(lab->ca_key);
    EVP_PKEY_free(lab->key);
    X509_free(lab->ca);
    X509_free(lab->leaf);
    shs__buf_free(&lab->cert_pem);
    shs__buf_free(&lab->key_pem);
}

bool lab_is_direct(void)
{
    const char *mode = getenv("SHS_TEST_RECORDS");

    return mode != NULL && strcmp(mode, "direct") == 0;
}

struct shs_tls_context *lab_server(const struct tls_lab *lab)
{
    static const char *const protocols[] = {"http/1.1", NULL};
    struct shs_tls_context *context = NULL;
    struct shs_tls_simple_config simple;
    struct shs_tls_tickets *tickets;
    struct shs_error err;
    int rc;

    shs__tls_simple_config(&simple, &lab->opt);
    simple.config.alpn = protocols;
    if (lab_is_direct())
        simple.config.records = SHS_TLS_RECORDS_DIRECT;
    assert_int_equal(shs__tls_tickets_new(&tickets, simple.config.ticket_epoch_s), SHS_OK);
    rc = shs__tls_context_build(&context, &simple.config, tickets, NULL, (int64_t)time(NULL), false,
                                &err);
    shs__tls_tickets_free(tickets);
    if (rc != SHS_OK)
        print_error("%s\n", err.text);
    assert_int_equal(rc, SHS_OK);
    return context;
}

struct shs_tls_context *lab_client(const struct tls_lab *lab, int version)
{
    struct shs_tls_context *context = NULL;
    SSL_CTX *ctx = SSL_CTX_new(TLS_client_method());

    assert_non_null(ctx);
    X509_STORE_add_cert(SSL_CTX_get_cert_store(ctx), lab->ca);
    SSL_CTX_set_verify(ctx, SSL_VERIFY_PEER, NULL);
    SSL_CTX_set_mode(ctx, SSL_MODE_ENABLE_PARTIAL_WRITE | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER);
    SSL_CTX_set_read_ahead(ctx, 1);
    if (version != 0) {
        SSL_CTX_set_min_proto_version(ctx, version);
        SSL_CTX_set_max_proto_version(ctx, version);
    }
    assert_int_equal(shs__tls_context_wrap(&context, ctx), SHS_OK);
    return context;
}

static int meet(struct shs_tls_stream *server, struct shs_tls_stream *client)
{
    int i, rc = SHS_WAIT_READ, peer = SHS_WAIT_READ;

    for (i = 0; i < 100000; i++) {
        if (peer > 0)
            peer = shs__tls_stream_handshake(client);
        if (peer == SHS_OK) /* a client holds its last flight until it reads or writes */
            (void)shs__stream_flush(&client->base);
        if (rc > 0)
            rc = shs__tls_stream_handshake(server);
        if (rc == SHS_OK) /* and a server its ticket */
            (void)shs__stream_flush(&server->base);
        if (rc < 0 || (rc == SHS_OK && peer <= 0))
            return rc;
        if (peer < 0 && client->bio.out.len > 0)
            (void)shs__stream_flush(&client->base); /* its alert */
    }
    fail_msg("the handshake does not end: server %d, client %d", rc, peer);
    return rc;
}

int lab_handshake(struct shs_tls_stream *server, struct shs_tls_stream *client)
{
    int rc = meet(server, client);

    if (rc == SHS_OK && lab_is_direct() && shs__tls_is_established(server)) {
        shs__tls_stream_go_direct(server);
        if (server->facts.tls13)
            assert_int_equal(server->stays, SHS_TLS_STAYS_NO);
        else
            assert_int_equal(server->stays, SHS_TLS_STAYS_VERSION);
    }
    return rc;
}

int lab_setup(void **state)
{
    SHS_UNUSED(state);
    lab_open(&group_lab, SHS_KEY_P256);
    return 0;
}

int lab_teardown(void **state)
{
    SHS_UNUSED(state);
    lab_close(&group_lab);
    return 0;
}
