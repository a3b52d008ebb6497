/*
 * test_tls_memory.c - no memory, at each place in turn: who should be out is never in, nobody is
 * blamed for the server's trouble, and what is loaded is loaded whole or not at all. Every
 * allocation of the library and of OpenSSL fails once: base/memory.c is compiled here over
 * allocators of this file, and OpenSSL is given the same ones.
 *
 * With SHS_SWEEP=1 in the environment really each, else every STRIDE-th.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include <unistd.h>

#include <openssl/err.h>
#include <openssl/ocsp.h>
#include <openssl/pem.h>
#include <openssl/pkcs12.h>
#include <openssl/x509v3.h>

#include <shs/handler.h>
#include <shs/http.h>
#include <shs/server.h>

#include "failing_memory.h"
#include "tls/clients/client.h"
#include "tls/clients/clients.h"
#include "tls/config/identity.h"
#include "tls/config/site.h"
#include "tls/wire/failure.h"
#include "tls/wire/mixin.h"
#include "tls_lab.h"

#ifdef __SANITIZE_THREAD__ /* nothing here has a second thread, and it is slow there */
#define STRIDE 67
#else
#define STRIDE 23
#endif

static long stride(void)
{
    return getenv("SHS_SWEEP") != NULL ? 1 : STRIDE;
}

/* -- who there is ------------------------------------------------------------------------------ */

/* LIFTED: was on hold, and a delta has taken it off the list. */
enum who { GOOD, LIFTED, DENIED, REVOKED, OTHER_CA, WHOS };

static const char *const names[WHOS] = {"good", "lifted", "denied", "revoked", "other"};

static struct tls_lab lab, other;
static EVP_PKEY *client_key;
static X509 *certs[WHOS];
static char dir[] = "/tmp/shs-memory-XXXXXX", ca_path[64], crl_path[64], deny_path[64],
            ocsp_path[64];
static struct shs_buf chain_pem; /* the server's certificate, and its issuer's */

static X509 *client_of(const struct tls_lab *from, const char *name)
{
    int64_t now = (int64_t)time(NULL);
    struct shs_cert_spec spec = {
        .common_name = name,
        .not_before = now - LAB_DAY,
        .not_after = now + LAB_DAY,
        .client_auth = true,
    };
    X509 *cert = NULL;

    assert_int_equal(shs__mint_cert(&cert, &spec, client_key, from->ca, from->ca_key, NULL),
                     SHS_OK);
    return cert;
}

static void write_pem(const char *path, X509 *cert)
{
    FILE *f = fopen(path, "w");

    assert_non_null(f);
    assert_int_equal(PEM_write_X509(f, cert), 1);
    assert_int_equal(fclose(f), 0);
}

static void add_entry(X509_CRL *crl, enum who who, long reason)
{
    X509_REVOKED *entry = X509_REVOKED_new();
    ASN1_TIME *when = ASN1_TIME_set(NULL, time(NULL) - 60);
    ASN1_ENUMERATED *text = ASN1_ENUMERATED_new();

    assert_int_equal(X509_REVOKED_set_revocationDate(entry, when), 1);
    assert_int_equal(X509_REVOKED_set_serialNumber(entry, X509_get_serialNumber(certs[who])), 1);
    assert_int_equal(ASN1_ENUMERATED_set(text, reason), 1);
    assert_int_equal(X509_REVOKED_add1_ext_i2d(entry, NID_crl_reason, text, 0, 0), 1);
    assert_int_equal(X509_CRL_add0_revoked(crl, entry), 1);
    ASN1_ENUMERATED_free(text);
    ASN1_TIME_free(when);
}

static void add_number(X509_CRL *crl, int nid, long number)
{
    ASN1_INTEGER *text = ASN1_INTEGER_new();

    assert_int_equal(ASN1_INTEGER_set(text, number), 1);
    assert_int_equal(X509_CRL_add1_ext_i2d(crl, nid, text, nid == NID_delta_crl, 0), 1);
    ASN1_INTEGER_free(text);
}

/* A delta of the first one, or that: with everything but its entries. */
static X509_CRL *new_crl(bool delta)
{
    X509_CRL *crl = X509_CRL_new();
    ASN1_TIME *when = ASN1_TIME_set(NULL, time(NULL) - 60);

    assert_int_equal(X509_CRL_set_version(crl, 1), 1);
    assert_int_equal(X509_CRL_set_issuer_name(crl, X509_get_subject_name(lab.ca)), 1);
    assert_int_equal(X509_CRL_set1_lastUpdate(crl, when), 1);
    assert_non_null(ASN1_TIME_set(when, time(NULL) + LAB_DAY));
    assert_int_equal(X509_CRL_set1_nextUpdate(crl, when), 1);
    add_number(crl, NID_crl_number, delta ? 2 : 1);
    if (delta)
        add_number(crl, NID_delta_crl, 1);
    ASN1_TIME_free(when);
    return crl;
}

/* It revokes one, whatever else is asked of it, and another no more. */
static void write_crls(void)
{
    X509_CRL *base = new_crl(false), *delta = new_crl(true);
    FILE *f = fopen(crl_path, "w");

    assert_non_null(f);
    add_entry(base, REVOKED, CRL_REASON_KEY_COMPROMISE);
    add_entry(base, LIFTED, CRL_REASON_CERTIFICATE_HOLD);
    add_entry(delta, LIFTED, CRL_REASON_REMOVE_FROM_CRL);
    for (int i = 0; i < 2; i++) {
        X509_CRL *crl = i == 0 ? base : delta;

        assert_int_equal(X509_CRL_sort(crl), 1);
        assert_true(X509_CRL_sign(crl, lab.ca_key, EVP_sha256()) > 0);
        assert_int_equal(PEM_write_X509_CRL(f, crl), 1);
        X509_CRL_free(crl);
    }
    assert_int_equal(fclose(f), 0);
}

static void write_deny(void)
{
    struct shs_client_record *record = NULL;
    FILE *f = fopen(deny_path, "w");

    assert_non_null(f);
    assert_int_equal(shs__client_record_new(&record, certs[DENIED]), SHS_OK);
    fprintf(f, "serial %.*s %.*s\n", (int)record->identity.serial.len, record->identity.serial.ptr,
            (int)record->identity.issuer.len, record->identity.issuer.ptr);
    shs__client_record_free(record);
    assert_int_equal(fclose(f), 0);
}

/* It says that the server's certificate is good. */
static void write_response(void)
{
    OCSP_BASICRESP *basic = OCSP_BASICRESP_new();
    OCSP_CERTID *id = OCSP_cert_to_id(EVP_sha1(), lab.leaf, lab.ca);
    ASN1_TIME *from = ASN1_TIME_set(NULL, time(NULL) - 60);
    ASN1_TIME *to = ASN1_TIME_set(NULL, time(NULL) + LAB_DAY);
    OCSP_RESPONSE *response;
    unsigned char *der = NULL;
    FILE *f = fopen(ocsp_path, "w");
    int len;

    assert_non_null(f);
    assert_non_null(OCSP_basic_add1_status(basic, id, V_OCSP_CERTSTATUS_GOOD, 0, NULL, from, to));
    assert_int_equal(OCSP_basic_sign(basic, lab.ca, lab.ca_key, EVP_sha256(), NULL, 0), 1);
    response = OCSP_response_create(OCSP_RESPONSE_STATUS_SUCCESSFUL, basic);
    len = i2d_OCSP_RESPONSE(response, &der);
    assert_true(len > 0);
    assert_int_equal(fwrite(der, 1, (size_t)len, f), len);
    assert_int_equal(fclose(f), 0);
    OPENSSL_free(der);
    OCSP_RESPONSE_free(response);
    ASN1_TIME_free(from);
    ASN1_TIME_free(to);
    OCSP_CERTID_free(id);
    OCSP_BASICRESP_free(basic);
}

static int make_files(void **state)
{
    SHS_UNUSED(state);
    assert_non_null(mkdtemp(dir));
    snprintf(ca_path, sizeof ca_path, "%s/ca.pem", dir);
    snprintf(crl_path, sizeof crl_path, "%s/ca.crl", dir);
    snprintf(deny_path, sizeof deny_path, "%s/deny", dir);
    lab_open(&lab, SHS_KEY_P256);
    lab_open(&other, SHS_KEY_P256);
    assert_int_equal(shs__mint_key(&client_key, SHS_KEY_P256, NULL), SHS_OK);
    for (int who = 0; who < WHOS; who++)
        certs[who] = client_of(who == OTHER_CA ? &other : &lab, names[who]);
    write_pem(ca_path, lab.ca);
    write_crls();
    write_deny();
    snprintf(ocsp_path, sizeof ocsp_path, "%s/ocsp", dir);
    write_response();
    shs__buf_init(&chain_pem, 65536);
    assert_int_equal(shs__mint_cert_pem(&chain_pem, lab.leaf, NULL), SHS_OK);
    assert_int_equal(shs__mint_cert_pem(&chain_pem, lab.ca, NULL), SHS_OK);
    return 0;
}

static int remove_files(void **state)
{
    SHS_UNUSED(state);
    for (int who = 0; who < WHOS; who++)
        X509_free(certs[who]);
    EVP_PKEY_free(client_key);
    lab_close(&lab);
    lab_close(&other);
    unlink(ca_path);
    unlink(crl_path);
    unlink(deny_path);
    unlink(ocsp_path);
    shs__buf_free(&chain_pem);
    return rmdir(dir);
}

/* -- a server, and its clients ----------------------------------------------------------------- */

static const struct shs_http_handler handler = {.name = "h"};

struct asks {
    struct shs_tls_cert cert;
    struct shs_tls_host host;
    struct shs_tls_config config;
    unsigned failures; /* that were told of */
};

static void ask_for(struct asks *a, enum shs_tls_client_auth auth)
{
    memset(a, 0, sizeof *a);
    a->cert = (struct shs_tls_cert){
        .cert_pem = shs__buf_head(&chain_pem),
        .cert_pem_len = chain_pem.len,
        .key_pem = lab.opt.key_pem,
        .key_pem_len = lab.opt.key_pem_len,
        .ocspfile = ocsp_path,
    };
    shs_tls_host_init(&a->host);
    shs_tls_config_init(&a->config);
    a->host.certs = &a->cert;
    a->host.cert_count = 1;
    a->host.client_auth = auth;
    a->host.client_ca = ca_path;
    a->host.crl = crl_path;
    a->config.hosts = &a->host;
    a->config.host_count = 1;
    a->config.deny = deny_path;
}

static struct shs_server *new_server(const struct asks *a)
{
    struct shs_server *server = NULL;
    struct shs_options opt;
    struct shs_error err;
    int rc;

    shs_options_init(&opt);
    opt.bind_and_activate = false;
    assert_int_equal(shs_http_server_new(&server, &opt, &handler, &err), SHS_OK);
    rc = shs_tls_mixin_push_config(server, &a->config, &err);
    if (rc != SHS_OK)
        print_error("%s\n", err.text);
    assert_int_equal(rc, SHS_OK);
    return server;
}

static struct shs_tls_context *new_client(enum who who, int version)
{
    struct shs_tls_context *context = lab_client(&lab, version);

    assert_int_equal(SSL_CTX_use_certificate(context->ssl_ctx, certs[who]), 1);
    assert_int_equal(SSL_CTX_use_PrivateKey(context->ssl_ctx, client_key), 1);
    return context;
}

enum verdict { IN, OUT, IN_TROUBLE };

/* What became of one; *label says it as the log does. */
static enum verdict verdict_of(struct shs_tls_stream *tls, int rc, char label[SHS_TLS_LABEL_MAX])
{
    struct shs_tls_failure failure = {.cause = SHS_TLS_CAUSE_NONE};

    snprintf(label, SHS_TLS_LABEL_MAX, "ok");
    if (rc == SHS_OK && tls->client_reason == SHS_CLIENT_OK &&
        SSL_get_verify_result(tls->ssl) == X509_V_OK)
        return IN;
    if (rc == SHS_OK && tls->client_reason != SHS_CLIENT_UNDECIDED)
        failure = (struct shs_tls_failure){
            .cause = SHS_TLS_CAUSE_CLIENT_CERT,
            .client_reason = (enum shs_client_reason)tls->client_reason,
        };
    else
        shs__tls_failure_classify(&failure, tls, rc);
    shs__tls_failure_label(&failure, label);
    return failure.cause == SHS_TLS_CAUSE_INTERNAL ? IN_TROUBLE : OUT;
}

/* A handshake; while the server is at work, its allocation number n fails (-1: none). */
static enum verdict come(struct shs_tls_context *context, struct shs_tls_context *client, long n,
                         bool *failed, char label[SHS_TLS_LABEL_MAX])
{
    struct shs_stream *near, *far;
    struct shs_tls_stream *tls = NULL, *peer = NULL;
    enum verdict verdict = IN_TROUBLE;
    int rc = SHS_WAIT_READ, theirs = SHS_WAIT_READ;

    snprintf(label, SHS_TLS_LABEL_MAX, "no stream");
    assert_int_equal(shs__memory_stream_pair(&near, &far, 65536, 0), SHS_OK);
    assert_int_equal(shs__tls_stream_new(&peer, client, far), SHS_OK);
    fail_in = n;
    armed = true;
    rc = shs__tls_stream_new(&tls, context, near);
    for (int i = 0; rc == SHS_OK && i < 100; i++) {
        int ours;

        armed = false;
        if (theirs > 0)
            theirs = shs__tls_stream_handshake(peer);
        (void)shs__stream_flush(&peer->base);
        armed = true;
        ours = shs__tls_stream_handshake(tls);
        (void)shs__stream_flush(&tls->base);
        if (ours <= 0) {
            armed = false;
            verdict = verdict_of(tls, ours, label);
            break;
        }
    }
    armed = false;
    *failed = n >= 0 && fail_in < 0;
    if (tls != NULL)
        tls->base.cls->free(&tls->base);
    peer->base.cls->free(&peer->base);
    near->cls->free(near);
    far->cls->free(far);
    ERR_clear_error();
    return verdict;
}

/* What is served with is all there. */
static void check_whole(const struct shs_tls_context *context, const char *when)
{
    const struct shs_tls_pair *pair = &context->pairs[0];

    if (sk_X509_num(pair->identity.chain) != 1)
        fail_msg("%s: the chain is lost", when);
    if (pair->ocsp.der == NULL)
        fail_msg("%s: the OCSP response is lost: %s", when,
                 pair->ocsp.note == NULL ? "" : pair->ocsp.note->text);
    if (pair->name_count != 1)
        fail_msg("%s: %zu names", when, pair->name_count);
}

/* With all memory there is: everybody is where they belong. */
static void check_order(struct shs_tls_context *context, const char *when)
{
    check_whole(context, when);
    for (int who = 0; who < WHOS; who++) {
        struct shs_tls_context *client = new_client((enum who)who, 0);
        char label[SHS_TLS_LABEL_MAX];
        bool failed;
        enum verdict verdict = come(context, client, -1, &failed, label);

        if (verdict != (who <= LIFTED ? IN : OUT))
            fail_msg("%s: the client '%s' is %s (%s)", when, names[who],
                     verdict == IN ? "in" : "not in", label);
        shs__tls_context_free(client);
    }
}

static void sweep_handshake(enum shs_tls_client_auth auth, enum who who, int version)
{
    struct asks a;
    struct shs_server *server = NULL;
    struct shs_tls_context *client = new_client(who, version);
    bool failed = true;
    long n;

    ask_for(&a, auth);
    for (n = 0; failed; n += stride()) {
        struct shs_tls_context *context;
        char label[SHS_TLS_LABEL_MAX];
        enum verdict verdict;

        if (n % (stride() * 64) == 0) { /* what is known of a client is forgotten now and then */
            shs_server_free(server);
            server = new_server(&a);
        }
        context = shs__tls_mixin_context(shs__tls_mixin_of(server));
        verdict = come(context, client, n, &failed, label);
        shs__tls_context_free(context);
        if (who > LIFTED && verdict == IN)
            fail_msg("%s is in without allocation %ld", names[who], n);
        /* Where OpenSSL itself takes a signature that it could not check for one that is bad. */
        if (who <= LIFTED && verdict == OUT && strncmp(label, "client-cert", 11) == 0)
            fail_msg("%s is out, '%s', without allocation %ld", names[who], label, n);
    }
    print_message("%s, auth %d, version %x: %ld allocations\n", names[who], (int)auth, version, n);
    shs_server_free(server);
    shs__tls_context_free(client);
}

static void test_handshakes(void **state)
{
    SHS_UNUSED(state);
    for (int who = 0; who < WHOS; who++) {
        if (who == LIFTED)
            continue; /* test_lifted */
        sweep_handshake(SHS_TLS_CLIENT_REQUIRED, (enum who)who, TLS1_3_VERSION);
        sweep_handshake(SHS_TLS_CLIENT_EXPLAIN, (enum who)who, TLS1_2_VERSION);
    }
}

/* -- who was on hold --------------------------------------------------------------------------- */

/* As in a handshake, without one. */
static enum shs_client_reason judge_lifted(const struct shs_tls_clients *clients, long n,
                                           bool *failed)
{
    X509 *leaf = X509_dup(certs[LIFTED]); /* what is known of it is not known before */
    X509_STORE_CTX *ctx = X509_STORE_CTX_new();
    struct shs_tls_refusal refusal = {.reason = SHS_CLIENT_UNDECIDED};
    struct shs_tls_until until;
    bool good;

    assert_non_null(leaf);
    assert_non_null(ctx);
    if (n >= 0)
        arm(n);
    good = shs__tls_clients_prepare(ctx, clients, leaf, NULL, 1) &&
           shs__tls_clients_judge(ctx, clients, NULL, &until, &refusal, NULL);
    *failed = n >= 0 && disarm();
    X509_STORE_CTX_free(ctx);
    X509_free(leaf);
    ERR_clear_error();
    return good ? SHS_CLIENT_OK : refusal.reason;
}

/* An entry's reason tells who is back from who is out: without it nothing can be said. */
static void test_lifted(void **state)
{
    struct shs_tls_clients clients;
    struct shs_error err;
    struct asks a;
    bool failed = true;
    long n, loaded = 0;

    SHS_UNUSED(state);
    ask_for(&a, SHS_TLS_CLIENT_REQUIRED);
    for (n = 0; failed; n++) {
        enum shs_client_reason reason;

        assert_int_equal(shs__tls_clients_load(&clients, &a.host, &err), SHS_OK);
        reason = judge_lifted(&clients, n, &failed);
        if (reason != SHS_CLIENT_OK && reason != SHS_CLIENT_UNDECIDED)
            fail_msg("%s without allocation %ld", shs_client_reason_label(reason), n);
        shs__tls_clients_free(&clients);
    }
    failed = true;
    for (long at = 0; failed; at += (stride() + 3) / 4) {
        int rc;
        bool none;

        arm(at);
        rc = shs__tls_clients_load(&clients, &a.host, &err);
        failed = disarm();
        if (rc != SHS_OK)
            continue;
        loaded++;
        if (judge_lifted(&clients, -1, &none) != SHS_CLIENT_OK)
            fail_msg("out, loaded without allocation %ld", at);
        shs__tls_clients_free(&clients);
    }
    print_message("%ld allocations, %ld loads all the same\n", n, loaded);
    assert_true(loaded > 0);
}

/* -- what OpenSSL says of it ------------------------------------------------------------------- */

/* Takes something apart; false when it could not. */
typedef bool (*takes_apart)(const unsigned char *der, long len);

static bool takes_cert(const unsigned char *der, long len)
{
    X509 *cert = d2i_X509(NULL, &der, len);

    X509_free(cert);
    return cert != NULL;
}

static bool takes_crl(const unsigned char *der, long len)
{
    X509_CRL *crl = d2i_X509_CRL(NULL, &der, len);

    X509_CRL_free(crl);
    return crl != NULL;
}

/* Whole, and each allocation fails in turn: it was memory. */
static long blame_memory(const char *what, takes_apart take, const unsigned char *der, long len)
{
    bool failed = true;
    long n;

    for (n = 0; failed; n++) {
        bool taken, was_nomem;

        ERR_clear_error();
        arm(n);
        taken = take(der, len);
        failed = disarm();
        was_nomem = shs__tls_was_nomem();
        if (!taken && !was_nomem)
            fail_msg("%s, without allocation %ld: not for want of memory?", what, n);
    }
    return n;
}

/* With all memory there is, and a bit wrong, or the end missing: it was not. */
static long blame_input(const char *what, takes_apart take, unsigned char *der, long len)
{
    long refused = 0;

    for (long i = 0; i < 9 * len; i++) {
        bool taken;

        ERR_clear_error();
        if (i < 8 * len) {
            der[i / 8] ^= (unsigned char)(1 << i % 8);
            taken = take(der, len);
            der[i / 8] ^= (unsigned char)(1 << i % 8);
        } else {
            taken = take(der, i - 8 * len);
        }
        refused += !taken;
        if (!taken && shs__tls_was_nomem())
            fail_msg("%s, damage %ld of %ld bytes: for want of memory?", what, i, len);
    }
    return refused;
}

static void check_blame(const char *what, takes_apart take, unsigned char *der, int len)
{
    long allocations, refused;

    assert_true(len > 0);
    allocations = blame_memory(what, take, der, len);
    refused = blame_input(what, take, der, len);
    print_message("%s: %ld allocations, %ld damages refused\n", what, allocations, refused);
    assert_true(refused > len); /* all that are cut short, and then some */
    OPENSSL_free(der);
}

static void test_blame(void **state)
{
    unsigned char *der = NULL;
    FILE *f = fopen(crl_path, "r");
    X509_CRL *crl;
    int len;

    SHS_UNUSED(state);
    assert_non_null(f);
    crl = PEM_read_X509_CRL(f, NULL, NULL, NULL);
    assert_int_equal(fclose(f), 0);
    len = i2d_X509(certs[GOOD], &der);
    check_blame("a certificate", takes_cert, der, len);
    der = NULL;
    len = i2d_X509_CRL(crl, &der);
    check_blame("a CRL", takes_crl, der, len);
    X509_CRL_free(crl);
}

/* -- loading ----------------------------------------------------------------------------------- */

static void test_reload(void **state)
{
    struct asks a;
    struct shs_server *server;
    bool failed = true;
    long n, done = 0;

    SHS_UNUSED(state);
    ask_for(&a, SHS_TLS_CLIENT_REQUIRED);
    server = new_server(&a);
    for (n = 0; failed; n += 4 * stride()) {
        struct shs_tls_mixin *mixin = shs__tls_mixin_of(server);
        struct shs_tls_context *before = mixin->context;
        struct shs_error err = {.code = SHS_OK};
        char when[64];
        int rc;

        arm(n);
        rc = shs_tls_reload(server, &err);
        failed = disarm();
        snprintf(when, sizeof when, "allocation %ld, answer %d", n, rc);
        if (rc != SHS_OK) {
            assert_true(err.text[0] != '\0');
            assert_ptr_equal(mixin->context, before);
            continue;
        }
        done++;
        assert_ptr_not_equal(mixin->context, before);
        check_order(mixin->context, when);
    }
    print_message("%ld allocations, %ld reloads all the same\n", n, done);
    check_order(shs__tls_mixin_of(server)->context, "at the end");
    shs_server_free(server);
}

/* What cannot be set up for want of memory is said to be just that, whatever is being read. */
static void sweep_start(const char *what, const struct shs_tls_config *config, long step)
{
    bool failed = true;
    unsigned refused = 0;
    long n;

    for (n = 0; failed; n += stride() == 1 ? 1 : step) {
        struct shs_server *server = NULL;
        struct shs_error err = {.code = SHS_OK};
        struct shs_options opt;
        int rc;

        shs_options_init(&opt);
        opt.bind_and_activate = false;
        assert_int_equal(shs_http_server_new(&server, &opt, &handler, NULL), SHS_OK);
        arm(n);
        rc = shs_tls_mixin_push_config(server, config, &err);
        failed = disarm();
        ERR_clear_error();
        if (rc == SHS_OK && config->hosts[0].certs[0].ocspfile != NULL) {
            char when[64];

            snprintf(when, sizeof when, "%s, allocation %ld", what, n);
            check_whole(shs__tls_mixin_of(server)->context, when);
        }
        shs_server_free(server);
        if (rc == SHS_OK)
            continue;
        refused++;
        if (rc != SHS_NOMEM || err.code != rc || strstr(err.text, "memory") == NULL)
            fail_msg("%s, without allocation %ld: %d, '%s'", what, n, rc, err.text);
    }
    print_message("%s%s: %ld allocations, %u refused\n", what, for_good ? ", for good" : "", n,
                  refused);
    assert_true(refused > 0);
}

static int say_password(void *ctx, char *buf, size_t cap)
{
    SHS_UNUSED(ctx);
    return snprintf(buf, cap, "password");
}

static int make_pkcs12(unsigned char **der)
{
    PKCS12 *p12 = PKCS12_create("password", NULL, lab.key, lab.leaf, NULL, 0, 0, 100, 100, 0);
    int len = i2d_PKCS12(p12, der);

    assert_true(len > 0);
    PKCS12_free(p12);
    return len;
}

static void test_start(void **state)
{
    struct asks pem, p12, locked;
    struct shs_buf key;
    unsigned char *der = NULL;
    int len;

    SHS_UNUSED(state);
    ask_for(&pem, SHS_TLS_CLIENT_REQUIRED);
    ask_for(&p12, SHS_TLS_CLIENT_OPTIONAL);
    len = make_pkcs12(&der);
    p12.cert = (struct shs_tls_cert){
        .cert_pem = der, .cert_pem_len = (size_t)len, .password = say_password};
    ask_for(&locked, SHS_TLS_CLIENT_OPTIONAL);
    shs__buf_init(&key, 65536);
    assert_int_equal(shs__mint_key_pem(&key, lab.key, "password", NULL), SHS_OK);
    locked.cert.key_pem = shs__buf_head(&key);
    locked.cert.key_pem_len = key.len;
    locked.cert.password = say_password;
    for (int both = 0; both < 2; both++) {
        for_good = both == 1;
        sweep_start("PEM", &pem.config, 9 * STRIDE);
        sweep_start("PKCS #12", &p12.config, 11 * STRIDE);
        sweep_start("an encrypted key", &locked.config, 11 * STRIDE);
    }
    for_good = false;
    shs__buf_free(&key);
    OPENSSL_free(der);
}

/* A denial that could not be taken note of is an error, and the list is as it was. */
static void test_deny(void **state)
{
    struct shs_tls_deny *deny = NULL;
    struct shs_client_record *record = NULL;
    bool failed = true;
    char entry[256];

    SHS_UNUSED(state);
    assert_int_equal(shs__client_record_new(&record, certs[GOOD]), SHS_OK);
    snprintf(entry, sizeof entry, "serial %.*s %.*s", (int)record->identity.serial.len,
             record->identity.serial.ptr, (int)record->identity.issuer.len,
             record->identity.issuer.ptr);
    for (long n = 0; failed; n++) {
        struct shs_tls_deny_set *set = NULL;
        struct shs_error err;
        int rc;

        assert_int_equal(shs__tls_deny_new(&deny), SHS_OK);
        arm(n);
        rc = shs__tls_deny_add(deny, entry, &err);
        failed = disarm();
        assert_int_equal(shs__tls_deny_denies(deny, &record->identity), rc == SHS_OK);
        if (rc != SHS_OK) {
            assert_int_equal(rc, SHS_NOMEM);
            assert_non_null(strstr(err.text, "memory"));
        }
        shs__tls_deny_free(deny);
        arm(n);
        rc = shs__tls_deny_read(&set, deny_path, &err);
        failed = disarm() || failed;
        if (rc != SHS_OK) {
            assert_int_equal(rc, SHS_NOMEM);
            assert_non_null(strstr(err.text, "memory"));
        }
        shs__tls_deny_set_free(set);
    }
    shs__client_record_free(record);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_blame),  cmocka_unit_test(test_handshakes),
        cmocka_unit_test(test_lifted), cmocka_unit_test(test_start),
        cmocka_unit_test(test_reload), cmocka_unit_test(test_deny),
    };

    if (!take_over_openssl())
        return 1;
    return cmocka_run_group_tests(tests, make_files, remove_files);
}
