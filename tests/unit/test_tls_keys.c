/* test_tls_keys.c - keys and signatures that OpenSSL can do are served: ours and a client's. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include <openssl/bio.h>
#include <openssl/rsa.h>

#include "tls/config/config.h"
#include "tls/config/tickets.h"
#include "tls/wire/failure.h"
#include "tls_lab.h"

static const char ca_path[] = "test_tls_keys_ca.pem.tmp";

enum kind { P256, P384, P521, RSA2048, RSA_PSS, ED25519, ED448, BRAINPOOL };

static EVP_PKEY *make_rsa_pss(void)
{
    EVP_PKEY_CTX *ctx = EVP_PKEY_CTX_new_from_name(NULL, "RSA-PSS", NULL);
    EVP_PKEY *key = NULL;

    assert_int_equal(EVP_PKEY_keygen_init(ctx), 1);
    assert_int_equal(EVP_PKEY_CTX_set_rsa_keygen_bits(ctx, 2048), 1);
    assert_int_equal(EVP_PKEY_generate(ctx, &key), 1);
    EVP_PKEY_CTX_free(ctx);
    return key;
}

static EVP_PKEY *make_key(enum kind kind)
{
    switch (kind) {
    case P256:
        return EVP_EC_gen("P-256");
    case P384:
        return EVP_EC_gen("P-384");
    case P521:
        return EVP_EC_gen("P-521");
    case BRAINPOOL:
        return EVP_EC_gen("brainpoolP256r1");
    case RSA2048:
        return EVP_RSA_gen(2048);
    case RSA_PSS:
        return make_rsa_pss();
    case ED25519:
        return EVP_PKEY_Q_keygen(NULL, NULL, "ED25519");
    case ED448:
        return EVP_PKEY_Q_keygen(NULL, NULL, "ED448");
    }
    return NULL;
}

/* A certificate of the lab's CA for that key. */
static X509 *make_cert(EVP_PKEY *key, bool client)
{
    static const char *const names[] = {"localhost", NULL};
    struct shs_cert_spec spec = {
        .common_name = "somebody",
        .names = names,
        .not_before = (int64_t)time(NULL) - LAB_DAY,
        .not_after = (int64_t)time(NULL) + LAB_DAY,
        .client_auth = client,
        .server_auth = !client,
    };
    X509 *cert = NULL;

    assert_non_null(key);
    assert_int_equal(shs__mint_cert(&cert, &spec, key, group_lab.ca, group_lab.ca_key, NULL),
                     SHS_OK);
    return cert;
}

static struct shs_tls_context *build(struct shs_tls_simple_config *simple)
{
    struct shs_tls_context *context = NULL;
    struct shs_tls_tickets *tickets = NULL;
    struct shs_error err = {.code = SHS_OK};

    assert_int_equal(shs__tls_tickets_new(&tickets, 3600), SHS_OK);
    if (shs__tls_context_build(&context, &simple->config, tickets, NULL, (int64_t)time(NULL), true,
                               &err) != SHS_OK)
        fail_msg("%s", err.text);
    shs__tls_tickets_free(tickets);
    return context;
}

struct talk {
    struct shs_stream *a, *b;
    struct shs_tls_stream *server, *client;
};

/* The handshake in memory; takes both contexts. */
static int talk(struct talk *t, struct shs_tls_context *server, struct shs_tls_context *client)
{
    assert_int_equal(shs__memory_stream_pair(&t->a, &t->b, 1 << 18, 0), SHS_OK);
    assert_int_equal(shs__tls_stream_new(&t->server, server, t->a), SHS_OK);
    assert_int_equal(shs__tls_stream_new(&t->client, client, t->b), SHS_OK);
    shs__tls_context_free(server);
    shs__tls_context_free(client);
    return lab_handshake(t->server, t->client);
}

static void hang_up(struct talk *t)
{
    t->server->base.cls->free(&t->server->base);
    t->client->base.cls->free(&t->client->base);
    t->a->cls->free(t->a);
    t->b->cls->free(t->b);
}

/* -- keys of clients --------------------------------------------------------------------------- */

static int greet_client(struct talk *t, enum kind kind, int version)
{
    struct shs_tls_context *client = lab_client(&group_lab, version);
    struct shs_tls_simple_config simple;
    EVP_PKEY *key = make_key(kind);
    X509 *cert = make_cert(key, true);

    shs__tls_simple_config(&simple, &group_lab.opt);
    simple.host.client_auth = SHS_TLS_CLIENT_REQUIRED;
    simple.host.client_ca = ca_path;
    SSL_CTX_set_security_level(client->ssl_ctx, 1);
    assert_int_equal(SSL_CTX_use_cert_and_key(client->ssl_ctx, cert, key, NULL, 1), 1);
    EVP_PKEY_free(key);
    X509_free(cert);
    return talk(t, build(&simple), client);
}

static void clients_with_any_key_are_let_in(void **state)
{
    static const enum kind kinds[] = {P256, P384, P521, RSA2048, RSA_PSS, ED25519, ED448};
    struct talk t;
    size_t i;

    SHS_UNUSED(state);
    for (i = 0; i < 2 * SHS_ARRAY_LEN(kinds); i++) {
        int version = i % 2 == 0 ? TLS1_2_VERSION : TLS1_3_VERSION, rc;

        rc = greet_client(&t, kinds[i / 2], version);
        if (rc != SHS_OK || SSL_get_verify_result(t.server->ssl) != X509_V_OK)
            fail_msg("kind %d, version %x: %d", (int)kinds[i / 2], (unsigned)version, rc);
        hang_up(&t);
    }
}

/* A curve that no version of TLS here has: the refusal says that it is the key. */
static void a_key_that_stays_out_is_named(void **state)
{
    struct shs_tls_failure failure;
    struct shs_error err;
    struct talk t;
    int rc;

    SHS_UNUSED(state);
    rc = greet_client(&t, BRAINPOOL, TLS1_2_VERSION);
    assert_int_equal(rc, SHS_TLS);
    shs__tls_failure_classify(&failure, t.server, rc);
    assert_int_equal(failure.cause, SHS_TLS_CAUSE_CLIENT_CERT);
    (void)shs__stream_describe(&t.server->base, rc, &err);
    if (strstr(err.text, "Ed448") == NULL)
        fail_msg("%s", err.text);
    hang_up(&t);
}

/* -- our own ----------------------------------------------------------------------------------- */

/* What a server with that key says to a client that takes these signatures only (NULL: all). */
static int greet_server(struct talk *t, enum kind kind, int version, const char *sigalgs)
{
    struct shs_tls_context *client = lab_client(&group_lab, version);
    struct shs_tls_simple_config simple;
    struct shs_options opt = group_lab.opt;
    EVP_PKEY *key = make_key(kind);
    X509 *cert = make_cert(key, false);
    struct shs_buf cert_pem, key_pem;
    struct shs_tls_context *server;

    shs__buf_init(&cert_pem, 65536);
    shs__buf_init(&key_pem, 65536);
    assert_int_equal(shs__mint_cert_pem(&cert_pem, cert, NULL), SHS_OK);
    assert_int_equal(shs__mint_key_pem(&key_pem, key, NULL, NULL), SHS_OK);
    opt.cert_pem = shs__buf_head(&cert_pem);
    opt.cert_pem_len = cert_pem.len;
    opt.key_pem = shs__buf_head(&key_pem);
    opt.key_pem_len = key_pem.len;
    shs__tls_simple_config(&simple, &opt);
    server = build(&simple);
    if (sigalgs != NULL)
        assert_int_equal(SSL_CTX_set1_sigalgs_list(client->ssl_ctx, sigalgs), 1);
    EVP_PKEY_free(key);
    X509_free(cert);
    shs__buf_free(&cert_pem);
    shs__buf_free(&key_pem);
    return talk(t, server, client);
}

static void servers_with_any_key_serve(void **state)
{
    static const enum kind kinds[] = {P256, P384, P521, RSA2048, RSA_PSS, ED25519, ED448};
    struct talk t;
    size_t i;

    SHS_UNUSED(state);
    for (i = 0; i < 2 * SHS_ARRAY_LEN(kinds); i++) {
        int version = i % 2 == 0 ? TLS1_2_VERSION : TLS1_3_VERSION, rc;

        rc = greet_server(&t, kinds[i / 2], version, NULL);
        if (rc != SHS_OK)
            fail_msg("kind %d, version %x: %d", (int)kinds[i / 2], (unsigned)version, rc);
        hang_up(&t);
    }
}

/* RFC 5246, 7.4.1.4.1: in TLS 1.2 a hash does not depend on the curve. In 1.3 it does. */
static void any_hash_with_any_curve(void **state)
{
    static const enum kind kinds[] = {P256, P384, P521};
    static const char *const offers[] = {"ECDSA+SHA256", "ECDSA+SHA384", "ECDSA+SHA512"};
    struct talk t;
    size_t i, j;

    SHS_UNUSED(state);
    for (i = 0; i < SHS_ARRAY_LEN(kinds); i++) {
        for (j = 0; j < SHS_ARRAY_LEN(offers); j++) {
            char both[64];

            /* The CA's own signature is with SHA-256. */
            snprintf(both, sizeof both, "%s", offers[j]);
            if (greet_server(&t, kinds[i], TLS1_2_VERSION, both) != SHS_OK)
                fail_msg("kind %d, %s, TLS 1.2", (int)kinds[i], both);
            hang_up(&t);
            assert_int_equal(greet_server(&t, kinds[i], TLS1_3_VERSION, both),
                             i == j ? SHS_OK : SHS_TLS);
            hang_up(&t);
        }
    }
}

/* -- what contexts take of the process --------------------------------------------------------- */

/* OpenSSL has 128 indices of kinds of BIO for a process, and takes none back. */
static void contexts_use_up_no_index(void **state)
{
    int before = BIO_get_new_index(), i;

    SHS_UNUSED(state);
    for (i = 0; i < 20; i++) {
        struct shs_tls_context *context = lab_server(&group_lab);

        assert_int_equal(shs__tls_context_try(context, NULL), SHS_OK);
        shs__tls_context_free(context);
    }
    assert_int_equal(BIO_get_new_index(), before + 1);
}

static int setup(void **state)
{
    struct shs_buf pem;
    FILE *f = fopen(ca_path, "w");

    if (f == NULL || lab_setup(state) != 0)
        return -1;
    shs__buf_init(&pem, 65536);
    assert_int_equal(shs__mint_cert_pem(&pem, group_lab.ca, NULL), SHS_OK);
    assert_int_equal(fwrite(shs__buf_head(&pem), 1, pem.len, f), pem.len);
    shs__buf_free(&pem);
    return fclose(f);
}

static int teardown(void **state)
{
    (void)unlink(ca_path);
    return lab_teardown(state);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(clients_with_any_key_are_let_in),
        cmocka_unit_test(a_key_that_stays_out_is_named),
        cmocka_unit_test(servers_with_any_key_serve),
        cmocka_unit_test(any_hash_with_any_curve),
        cmocka_unit_test(contexts_use_up_no_index),
    };

    return cmocka_run_group_tests(tests, setup, teardown);
}
