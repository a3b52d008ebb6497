/* test_tls_sites.c - which certificate answers for a name, and when. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "tls/config/names.h"
#include "tls/config/site.h"
#include "tls/config/tickets.h"
#include "tls_lab.h"

#define MOST 6
#define DAYS(n) (now + (int64_t)(n)*LAB_DAY)

static struct tls_lab lab, rsa, ed;
static int64_t now;

/* A configuration whose certificates are made for it; number i is of keys[i % 2]. */
struct made {
    struct shs_tls_config config;
    struct shs_tls_host hosts[2];
    struct shs_tls_cert certs[MOST];
    struct shs_buf pem[MOST];
    size_t count;
    struct shs_tls_context *context;
};

static void begin(struct made *m)
{
    memset(m, 0, sizeof *m);
    shs_tls_config_init(&m->config);
    for (size_t i = 0; i < SHS_ARRAY_LEN(m->hosts); i++)
        shs_tls_host_init(&m->hosts[i]);
    m->config.hosts = m->hosts;
    m->config.host_count = 1;
}

/* One more certificate: for those names (NULL: none at all), between those days. */
static void add(struct made *m, const struct tls_lab *keys, const char *name, int from, int to)
{
    const char *const names[] = {name, NULL};
    struct shs_cert_spec spec = {
        .common_name = "it",
        .names = name == NULL ? NULL : names,
        .not_before = DAYS(from),
        .not_after = DAYS(to),
        .server_auth = true,
    };
    struct shs_buf *pem = &m->pem[m->count];
    X509 *cert = NULL;

    shs__buf_init(pem, 65536);
    assert_int_equal(shs__mint_cert(&cert, &spec, keys->key, keys->ca, keys->ca_key, NULL), SHS_OK);
    assert_int_equal(shs__mint_cert_pem(pem, cert, NULL), SHS_OK);
    X509_free(cert);
    m->certs[m->count] = (struct shs_tls_cert){
        .cert_pem = shs__buf_head(pem),
        .cert_pem_len = pem->len,
        .key_pem = keys->opt.key_pem,
        .key_pem_len = keys->opt.key_pem_len,
    };
    m->count++;
}

static void finish(struct made *m)
{
    struct shs_tls_tickets *tickets = NULL;
    struct shs_error err = {.code = SHS_OK};
    int rc;

    if (m->config.host_count == 1) {
        m->hosts[0].certs = m->certs;
        m->hosts[0].cert_count = m->count;
    }
    assert_int_equal(shs__tls_tickets_new(&tickets, 3600), SHS_OK);
    rc = shs__tls_context_build(&m->context, &m->config, tickets, NULL, now, false, &err);
    if (rc == SHS_OK)
        rc = shs__tls_context_try(m->context, &err);
    if (rc != SHS_OK)
        fail_msg("%s", err.text);
    shs__tls_tickets_free(tickets);
}

static void drop(struct made *m)
{
    shs__tls_context_free(m->context);
    for (size_t i = 0; i < m->count; i++)
        shs__buf_free(&m->pem[i]);
}

/* The numbers of the certificates that answer for a name on that day: "0", "2", "01" (EC, RSA). */
static const char *who(const struct made *m, const char *name, int day)
{
    static char text[8];
    const struct shs_tls_context *context = m->context;
    unsigned period = context->default_period, found;
    const struct shs_tls_site *site;
    size_t len = 0;

    if (name != NULL) {
        assert_true(shs__tls_names_find(context->names, shs__str(name), &found));
        period = context->period_of_name[found];
    }
    site = shs__tls_site_at(context, period, DAYS(day));
    for (size_t k = 0; k < SHS_TLS_KINDS; k++) {
        if (site->pairs[k] != NULL)
            text[len++] = (char)('0' + (site->pairs[k] - context->pairs));
    }
    text[len] = '\0';
    return text;
}

static void a_valid_one_comes_first(void **state)
{
    struct made m;

    SHS_UNUSED(state);
    begin(&m);
    add(&m, &lab, "a.example", -90, -1); /* expired */
    add(&m, &lab, "a.example", 5, 90);   /* not yet */
    add(&m, &lab, "a.example", -10, 10);
    finish(&m);
    assert_string_equal(who(&m, "a.example", 0), "2");
    assert_string_equal(who(&m, "a.example", 4), "2");
    assert_string_equal(who(&m, "a.example", 5), "1"); /* the first of those that are valid */
    assert_string_equal(who(&m, "a.example", 11), "1");
    assert_string_equal(who(&m, "a.example", 90), "0"); /* nobody is: the first */
    assert_string_equal(who(&m, "a.example", 9999), "0");
    assert_string_equal(who(&m, NULL, 0), "2"); /* and so for clients without a name */
    assert_string_equal(who(&m, NULL, 50), "1");
    drop(&m);
}

static void the_first_listed_wins_of_two_that_are_valid(void **state)
{
    struct made m;

    SHS_UNUSED(state);
    begin(&m);
    add(&m, &lab, "a.example", -1, 10);
    add(&m, &lab, "a.example", -1, 90);
    finish(&m);
    assert_string_equal(who(&m, "a.example", 0), "0");
    assert_string_equal(who(&m, "a.example", 9), "0");
    assert_string_equal(who(&m, "a.example", 10), "1"); /* that very second */
    drop(&m);
}

static void a_wildcard_stands_in(void **state)
{
    struct made m;

    SHS_UNUSED(state);
    begin(&m);
    add(&m, &lab, "one.b.example", -10, 5);
    add(&m, &rsa, "*.b.example", -10, 50);
    add(&m, &lab, "two.b.example", -10, -1);
    finish(&m);
    assert_string_equal(who(&m, "one.b.example", 0), "01"); /* the RSA for those who need it */
    assert_string_equal(who(&m, "one.b.example", 6), "1");
    assert_string_equal(who(&m, "one.b.example", 51), "0");
    assert_string_equal(who(&m, "two.b.example", 0), "1");
    assert_string_equal(who(&m, "other.b.example", 0), "1");
    drop(&m);
}

static void each_kind_of_key_has_its_own(void **state)
{
    struct made m;

    SHS_UNUSED(state);
    begin(&m);
    add(&m, &rsa, "a.example", -10, 50);
    add(&m, &lab, "a.example", -10, 20);
    add(&m, &lab, "a.example", 10, 60);
    finish(&m);
    assert_string_equal(who(&m, "a.example", 0), "10");
    assert_string_equal(who(&m, "a.example", 20), "20");
    assert_string_equal(who(&m, "a.example", 50), "2"); /* an expired RSA beside it helps nobody */
    assert_string_equal(who(&m, "a.example", 60), "10");
    drop(&m);
}

/* Another host may ask other things of its clients: its certificate never stands in. */
static void only_of_the_same_host(void **state)
{
    struct made m;

    SHS_UNUSED(state);
    begin(&m);
    add(&m, &lab, "one.b.example", -10, -1);
    add(&m, &lab, "*.b.example", -10, 50);
    add(&m, &lab, "one.b.example", -10, 50);
    m.hosts[0].certs = &m.certs[0];
    m.hosts[0].cert_count = 1;
    m.hosts[1].certs = &m.certs[1];
    m.hosts[1].cert_count = 2;
    m.config.host_count = 2;
    finish(&m);
    assert_string_equal(who(&m, "one.b.example", 0), "0");
    assert_string_equal(who(&m, "two.b.example", 0), "1");
    drop(&m);
}

static void names_without_any(void **state)
{
    struct made m;

    SHS_UNUSED(state);
    begin(&m);
    add(&m, &lab, NULL, -10, -1);
    add(&m, &lab, NULL, -10, 50);
    add(&m, &lab, "a.example", -10, 50);
    finish(&m);
    assert_string_equal(who(&m, NULL, 0), "1");
    assert_string_equal(who(&m, NULL, 51), "0");
    drop(&m);
}

/* Many certificates with the same dates cost no site more than before. */
static void no_sites_but_those_that_are_needed(void **state)
{
    struct made m;

    SHS_UNUSED(state);
    begin(&m);
    add(&m, &lab, "a.example", -10, 50);
    add(&m, &lab, "b.example", -20, 60);
    add(&m, &rsa, "b.example", -20, 60);
    finish(&m);
    assert_int_equal(m.context->site_count, 2);
    drop(&m);
}

/* -- over a connection ------------------------------------------------------------------------- */

/* The common name and end that a client gets; 0 when it is refused. */
static int64_t answered(struct shs_tls_context *server, const char *sni)
{
    struct shs_tls_context *client = lab_client(&lab, 0);
    struct shs_tls_stream *near_tls = NULL, *far_tls = NULL;
    struct shs_stream *a, *b;
    int64_t end = 0;

    SSL_CTX_set_verify(client->ssl_ctx, SSL_VERIFY_NONE, NULL);
    assert_int_equal(shs__memory_stream_pair(&a, &b, 1 << 18, 0), SHS_OK);
    assert_int_equal(shs__tls_stream_new(&near_tls, server, a), SHS_OK);
    assert_int_equal(shs__tls_stream_new(&far_tls, client, b), SHS_OK);
    if (sni != NULL)
        assert_int_equal(SSL_set_tlsext_host_name(far_tls->ssl, sni), 1);
    if (lab_handshake(near_tls, far_tls) == SHS_OK)
        end = shs__tls_time(X509_get0_notAfter(SSL_get0_peer_certificate(far_tls->ssl)));
    near_tls->base.cls->free(&near_tls->base);
    far_tls->base.cls->free(&far_tls->base);
    a->cls->free(a);
    b->cls->free(b);
    shs__tls_context_free(client);
    return end;
}

static void an_address_is_no_name(void **state)
{
    static const char *const addresses[] = {"127.0.0.1",    "::1",         "[::1]",
                                            "fe80::1%eth0", "2001:db8::7", "127.0.0.1."};
    static const char *const names[] = {"other.example", "127.0.0.1.example", "1", "127.0.0.1.5",
                                        "127.0.0.1.."};
    struct made m;

    SHS_UNUSED(state);
    begin(&m);
    add(&m, &lab, "a.example", -10, 50);
    add(&m, &lab, "*.example", -10, 60);
    m.config.strict_sni = true;
    finish(&m);
    assert_int_equal(answered(m.context, NULL), DAYS(50));
    assert_int_equal(answered(m.context, "x.example"), DAYS(60));
    for (size_t i = 0; i < SHS_ARRAY_LEN(addresses); i++)
        assert_int_equal(answered(m.context, addresses[i]), DAYS(50));
    assert_int_equal(answered(m.context, names[0]), DAYS(60));
    for (size_t i = 1; i < SHS_ARRAY_LEN(names); i++)
        assert_int_equal(answered(m.context, names[i]), 0);
    drop(&m);
}

/* The end of the certificate that a client gets which can do these signatures, and that version. */
static int64_t answered_for(struct shs_tls_context *context, const char *name, const char *sigalgs,
                            int version)
{
    SSL_CTX *ctx = SSL_CTX_new(TLS_client_method());
    struct shs_tls_context *client = NULL;
    struct shs_tls_stream *near_tls = NULL, *far_tls = NULL;
    struct shs_stream *near, *far;
    int64_t end = 0;

    assert_non_null(ctx);
    SSL_CTX_set_verify(ctx, SSL_VERIFY_NONE, NULL);
    SSL_CTX_set_min_proto_version(ctx, version);
    SSL_CTX_set_max_proto_version(ctx, version);
    assert_int_equal(SSL_CTX_set1_sigalgs_list(ctx, sigalgs), 1);
    assert_int_equal(shs__tls_context_wrap(&client, ctx), SHS_OK);
    assert_int_equal(shs__memory_stream_pair(&near, &far, 1 << 18, 0), SHS_OK);
    assert_int_equal(shs__tls_stream_new(&near_tls, context, near), SHS_OK);
    assert_int_equal(shs__tls_stream_new(&far_tls, client, far), SHS_OK);
    assert_int_equal(SSL_set_tlsext_host_name(far_tls->ssl, name), 1);
    if (lab_handshake(near_tls, far_tls) == SHS_OK)
        end = shs__tls_time(X509_get0_notAfter(SSL_get0_peer_certificate(far_tls->ssl)));
    near_tls->base.cls->free(&near_tls->base);
    far_tls->base.cls->free(&far_tls->base);
    near->cls->free(near);
    far->cls->free(far);
    shs__tls_context_free(client);
    return end;
}

/* A name has an EC certificate (or Ed25519), its wildcard an RSA one: nobody is turned away, and
   whoever can do with the name's own gets that. */
static void a_wildcard_for_other_kinds_of_keys(void **state)
{
    static const char rsa_only[] = "RSA-PSS+SHA256:RSA+SHA256", ec_only[] = "ECDSA+SHA256",
                      edwards[] = "ed25519", all[] = "RSA-PSS+SHA256:ECDSA+SHA256:ed25519";
    static const int versions[] = {TLS1_2_VERSION, TLS1_3_VERSION};
    struct made m;

    SHS_UNUSED(state);
    begin(&m);
    add(&m, &lab, "ec.b.example", -10, 40);
    add(&m, &rsa, "*.b.example", -10, 50);
    add(&m, &lab, "*.b.example", -10, 60);
    add(&m, &rsa, "rsa.b.example", -10, 70);
    add(&m, &ed, "ed.b.example", -10, 80);
    finish(&m);
    for (size_t i = 0; i < SHS_ARRAY_LEN(versions); i++) {
        int v = versions[i];

        assert_int_equal(answered_for(m.context, "ec.b.example", rsa_only, v), DAYS(50));
        assert_int_equal(answered_for(m.context, "ec.b.example", ec_only, v), DAYS(40));
        assert_int_equal(answered_for(m.context, "ec.b.example", all, v), DAYS(40));
        assert_int_equal(answered_for(m.context, "rsa.b.example", rsa_only, v), DAYS(70));
        assert_int_equal(answered_for(m.context, "rsa.b.example", all, v), DAYS(70));
        assert_int_equal(answered_for(m.context, "ed.b.example", edwards, v), DAYS(80));
        assert_int_equal(answered_for(m.context, "ed.b.example", all, v), DAYS(80));
        assert_int_equal(answered_for(m.context, "ed.b.example", ec_only, v), DAYS(60));
        assert_int_equal(answered_for(m.context, "ed.b.example", rsa_only, v), DAYS(50));
    }
    drop(&m);
}

/* It changes while it is served, without anybody doing anything. */
static void one_expires_while_serving(void **state)
{
    int64_t end = (int64_t)time(NULL) + 3, before, got;
    struct shs_cert_spec spec = {
        .common_name = "a.example",
        .not_before = end - LAB_DAY,
        .not_after = end,
        .server_auth = true,
    };
    const char *const names[] = {"a.example", NULL};
    X509 *cert = NULL;
    struct made m;

    SHS_UNUSED(state);
    spec.names = names;
    begin(&m);
    add(&m, &lab, "a.example", -10, 1);
    add(&m, &lab, "a.example", -10, 50);
    assert_int_equal(shs__mint_cert(&cert, &spec, lab.key, lab.ca, lab.ca_key, NULL), SHS_OK);
    shs__buf_consume(&m.pem[0], m.pem[0].len);
    assert_int_equal(shs__mint_cert_pem(&m.pem[0], cert, NULL), SHS_OK);
    m.certs[0].cert_pem = shs__buf_head(&m.pem[0]);
    m.certs[0].cert_pem_len = m.pem[0].len;
    X509_free(cert);
    finish(&m);
    do {
        before = (int64_t)time(NULL);
        got = answered(m.context, "a.example");
        if (got == end)
            usleep(20000);
        assert_true(got == end ? before < end : (int64_t)time(NULL) >= end);
    } while (got == end);
    assert_int_equal(got, DAYS(50));
    drop(&m);
}

/* -- what is said about them ------------------------------------------------------------------- */

static bool advised(const struct shs_tls_context *context, const char *words)
{
    struct shs_error note;

    for (unsigned i = 0; shs__tls_context_advice(context, i, now, &note); i++) {
        if (strstr(note.text, words) != NULL)
            return true;
    }
    return false;
}

static void a_certificate_without_names_is_said(void **state)
{
    struct made m;

    SHS_UNUSED(state);
    begin(&m);
    add(&m, &lab, "a.example", -10, 50);
    finish(&m);
    assert_false(advised(m.context, "subjectAltName"));
    drop(&m);
    begin(&m);
    add(&m, &lab, NULL, -10, 50);
    finish(&m);
    assert_true(advised(m.context, "no subjectAltName"));
    assert_true(advised(m.context, "cert_pem"));
    drop(&m);
}

static unsigned due(const struct made *m, int64_t since, int64_t until, const char *words)
{
    struct shs_error note;
    unsigned count = 0;

    while (shs__tls_context_due(m->context, count, since, until, &note)) {
        if (strstr(note.text, words) == NULL)
            fail_msg("'%s' lacks '%s'", note.text, words);
        count++;
    }
    return count;
}

/* 30, 7 and 1 days before its end, and then: once each, however long nobody looked. */
static void an_end_is_announced(void **state)
{
    struct made m;

    SHS_UNUSED(state);
    begin(&m);
    add(&m, &lab, "a.example", -10, 50);
    finish(&m);
    assert_int_equal(shs__tls_context_next_due(m.context, now), DAYS(20));
    assert_int_equal(due(&m, now, DAYS(20) - 1, ""), 0);
    assert_int_equal(due(&m, DAYS(20) - 1, DAYS(20), "less than 31 days"), 1);
    assert_int_equal(due(&m, DAYS(20), DAYS(43) - 1, ""), 0);
    assert_int_equal(shs__tls_context_next_due(m.context, DAYS(20)), DAYS(43));
    assert_int_equal(due(&m, DAYS(20), DAYS(43), "less than 8 days"), 1);
    assert_int_equal(due(&m, DAYS(43), DAYS(49) + 1, "less than 1 day."), 1);
    assert_int_equal(due(&m, DAYS(49) + 1, DAYS(50), "has expired"), 1);
    assert_int_equal(due(&m, now, DAYS(60), "has expired"), 1);
    assert_int_equal(due(&m, DAYS(50), DAYS(60), ""), 0);
    assert_true(shs__tls_context_next_due(m.context, DAYS(50)) == INT64_MAX);
    drop(&m);
}

static int open_labs(void **state)
{
    SHS_UNUSED(state);
    lab_open(&lab, SHS_KEY_P256);
    lab_open(&rsa, SHS_KEY_RSA2048);
    lab_open(&ed, SHS_KEY_P256);
    EVP_PKEY_free(ed.key);
    ed.key = EVP_PKEY_Q_keygen(NULL, NULL, "ED25519");
    shs__buf_consume(&ed.key_pem, ed.key_pem.len);
    if (ed.key == NULL || shs__mint_key_pem(&ed.key_pem, ed.key, NULL, NULL) != SHS_OK)
        return -1;
    ed.opt.key_pem = shs__buf_head(&ed.key_pem);
    ed.opt.key_pem_len = ed.key_pem.len;
    now = (int64_t)time(NULL);
    return 0;
}

static int close_labs(void **state)
{
    SHS_UNUSED(state);
    lab_close(&lab);
    lab_close(&rsa);
    lab_close(&ed);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_valid_one_comes_first),
        cmocka_unit_test(the_first_listed_wins_of_two_that_are_valid),
        cmocka_unit_test(a_wildcard_stands_in),
        cmocka_unit_test(a_wildcard_for_other_kinds_of_keys),
        cmocka_unit_test(each_kind_of_key_has_its_own),
        cmocka_unit_test(only_of_the_same_host),
        cmocka_unit_test(names_without_any),
        cmocka_unit_test(no_sites_but_those_that_are_needed),
        cmocka_unit_test(an_address_is_no_name),
        cmocka_unit_test(one_expires_while_serving),
        cmocka_unit_test(a_certificate_without_names_is_said),
        cmocka_unit_test(an_end_is_announced),
    };

    return cmocka_run_group_tests(tests, open_labs, close_labs);
}
