/* test_tls_handshake.c - the TLS stream until it is open: pieces, refusals, ALPN, resumption. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdlib.h>

#include "tls_ends.h"

/* -- handshakes -------------------------------------------------------------------------------- */

static void handshakes_in_any_pieces(void **state)
{
    static const size_t chunks[] = {0, 1, 2, 3, 5, 7, 100, 1000};
    struct ends e;
    size_t i;
    int version;

    SHS_UNUSED(state);
    for (version = TLS1_2_VERSION; version <= TLS1_3_VERSION; version++) {
        for (i = 0; i < SHS_ARRAY_LEN(chunks); i++) {
            ends_open(&e, version, chunks[i] == 0 ? 65536 : 500, chunks[i]);
            ends_meet(&e);
            assert_int_equal(e.server->facts.tls13, version == TLS1_3_VERSION);
            assert_int_equal(SSL_get_verify_result(e.client->ssl), X509_V_OK);
            ends_close(&e);
        }
    }
}

/* The first read or write drives the handshake too. */
static void reading_shakes_hands(void **state)
{
    struct ends e;
    size_t put;
    int i, rc = SHS_WAIT_READ;

    SHS_UNUSED(state);
    ends_open(&e, TLS1_3_VERSION, 65536, 0);
    for (i = 0; i < 10 && rc == SHS_WAIT_READ; i++) {
        assert_int_equal(tls_read_code(e.server), SHS_WAIT_READ);
        rc = shs__stream_write(&e.client->base, "hi", 2, &put);
    }
    assert_int_equal(rc, SHS_OK);
    assert_int_equal(shs__stream_flush(&e.client->base), SHS_OK);
    tls_hears(e.server, "hi");
    ends_close(&e);
}

static void half_a_hello_waits(void **state)
{
    struct ends e;
    char hello[4096];
    size_t got = 0;

    SHS_UNUSED(state);
    ends_open(&e, 0, 65536, 0);
    assert_int_equal(shs__tls_stream_handshake(e.server), SHS_WAIT_READ);
    assert_int_equal(shs__tls_stream_handshake(e.client), SHS_WAIT_READ);
    assert_int_equal(shs__stream_read(e.near, hello, sizeof hello, &got), SHS_OK);
    assert_true(got > 100);
    ends_push(&e, hello, got / 2);
    assert_int_equal(shs__tls_stream_handshake(e.server), SHS_WAIT_READ);
    assert_int_equal(shs__tls_stream_handshake(e.server), SHS_WAIT_READ);
    assert_int_equal(e.count.writes, 0);
    ends_push(&e, hello + got / 2, got - got / 2);
    assert_int_equal(shs__tls_stream_handshake(e.server), SHS_WAIT_READ);
    assert_int_equal(e.count.writes, 1); /* its whole flight */
    ends_close(&e);
}

static void one_send_per_flight_and_answer(void **state)
{
    struct ends e;
    struct shs_stream *s;
    size_t put;

    SHS_UNUSED(state);
    ends_open(&e, TLS1_3_VERSION, 1 << 20, 0);
    assert_int_equal(shs__tls_stream_handshake(e.client), SHS_WAIT_READ);
    assert_int_equal(shs__tls_stream_handshake(e.server), SHS_WAIT_READ);
    assert_int_equal(e.count.writes, 1);
    assert_int_equal(shs__tls_stream_handshake(e.client), SHS_OK);
    tls_says(e.client, "GET / HTTP/1.1\r\n\r\n");
    assert_int_equal(shs__tls_stream_handshake(e.server), SHS_OK);
    assert_int_equal(e.count.writes, 1); /* the ticket is held ... */
    assert_true(e.server->bio.out.len > 0);
    assert_true(shs__stream_pending(&e.server->base)); /* the request came with the Finished */
    tls_hears(e.server, "GET / HTTP/1.1\r\n\r\n");
    s = &e.server->base;
    assert_int_equal(shs__stream_write(s, "head", 4, &put), SHS_OK);
    assert_int_equal(shs__stream_write(s, "body", 4, &put), SHS_OK);
    assert_int_equal(shs__stream_flush(s), SHS_OK);
    assert_int_equal(e.count.writes, 2); /* ... and leaves with the answer */
    shs__stream_idle(s);
    assert_null(e.server->bio.out.data);
    ends_close(&e);
}

/* Or it would be unread at a client that sends and closes, and turn its close into a reset. */
static void a_waiting_read_holds_the_ticket(void **state)
{
    struct ends e;
    size_t put = 0;

    SHS_UNUSED(state);
    ends_open(&e, TLS1_3_VERSION, 65536, 0);
    assert_int_equal(shs__tls_stream_handshake(e.client), SHS_WAIT_READ);
    assert_int_equal(shs__tls_stream_handshake(e.server), SHS_WAIT_READ);
    assert_int_equal(shs__tls_stream_handshake(e.client), SHS_OK);
    assert_int_equal(shs__stream_flush(&e.client->base), SHS_OK);
    assert_int_equal(shs__tls_stream_handshake(e.server), SHS_OK);
    assert_int_equal(e.count.writes, 1);
    assert_int_equal(tls_read_code(e.server), SHS_WAIT_READ);
    assert_int_equal(tls_read_code(e.server), SHS_WAIT_READ);
    assert_int_equal(e.count.writes, 1);
    assert_int_equal(e.count.acknowledged, 1); /* instead, and once */
    /* With something to say it is not held back, whoever flushes. */
    assert_int_equal(shs__stream_write(&e.server->base, "x", 1, &put), SHS_OK);
    assert_int_equal(tls_read_code(e.server), SHS_WAIT_READ);
    assert_int_equal(e.count.writes, 2);
    tls_hears(e.client, "x");
    assert_int_equal(tls_read_code(e.client), SHS_WAIT_READ);
    assert_int_equal(SSL_SESSION_is_resumable(SSL_get_session(e.client->ssl)), 1);
    ends_close(&e);
}

static void many_records_leave_at_once(void **state)
{
    struct ends e;
    size_t put = 0, len = 32768;
    char *data = shs__calloc(1, len);
    unsigned before;

    SHS_UNUSED(state);
    assert_non_null(data);
    ends_open(&e, TLS1_3_VERSION, 1 << 20, 0);
    ends_meet(&e);
    before = e.count.writes;
    assert_int_equal(shs__stream_write(&e.server->base, data, len, &put), SHS_OK);
    assert_int_equal(put, len);
    assert_int_equal(e.count.writes, before);
    assert_int_equal(shs__stream_flush(&e.server->base), SHS_OK);
    assert_int_equal(e.count.writes, before + 1);
    /* and what is gathered stays under its ceiling */
    for (put = 0; put < 40; put++) {
        size_t n;

        assert_int_equal(shs__stream_write(&e.server->base, data, 16384, &n), SHS_OK);
        assert_true(e.server->bio.out.cap <= SHS_TLS_OUT_CEILING);
    }
    shs__free(data);
    ends_close(&e);
}

/* -- refusals ---------------------------------------------------------------------------------- */

static void garbage_gets_an_alert(void **state)
{
    static const char record[] = "\x16\x03\x01\x00\x10garbage garbage!";
    struct ends e;
    unsigned char alert[64];
    size_t got = 0;

    SHS_UNUSED(state);
    ends_open(&e, 0, 65536, 0);
    ends_push(&e, record, sizeof record - 1);
    assert_int_equal(shs__tls_stream_handshake(e.server), SHS_TLS);
    assert_int_equal(shs__tls_stream_handshake(e.server), SHS_TLS); /* sticky */
    assert_int_equal(tls_read_code(e.server), SHS_TLS);
    assert_true(e.server->tls_code != 0);
    tls_describes(e.server, SHS_TLS, "TLS");
    assert_int_equal(shs__stream_shutdown(&e.server->base), SHS_OK);
    assert_int_equal(shs__stream_read(e.far, alert, sizeof alert, &got), SHS_OK);
    assert_int_equal(got, 7);
    assert_int_equal(alert[0], 21);
    assert_int_equal(alert[5], 2);
    assert_int_equal(shs__stream_read(e.far, alert, sizeof alert, &got), SHS_CLOSED);
    ends_close(&e);
}

static void what_is_no_tls_is_refused(void **state)
{
    struct ends e;
    struct shs_error err;

    SHS_UNUSED(state);
    ends_open(&e, 0, 65536, 0);
    ends_push(&e, "\x05\x01\x00 binary", 10);
    assert_int_equal(shs__tls_stream_handshake(e.server), SHS_TLS);
    shs__stream_describe(&e.server->base, SHS_TLS, &err);
    assert_string_equal(err.text, "What the client sent is not TLS.");
    ends_close(&e);
}

/* A client that speaks none: that is found out at its first byte, and nothing is said in TLS. What
   it is told is for who speaks on the connection (test_tls_plain). */
static void plain_http_is_told_from_tls(void **state)
{
    static const char request[] = "GET /x HTTP/1.1\r\nHost: box.example:8443\r\n\r\n";
    struct ends e;
    char byte;
    size_t got = 0;

    SHS_UNUSED(state);
    ends_open(&e, 0, 65536, 0);
    ends_push(&e, request, sizeof request - 1);
    assert_int_equal(shs__tls_stream_handshake(e.server), SHS_TLS);
    tls_describes(e.server, SHS_TLS, "plain HTTP");
    assert_int_equal(shs__stream_flush(&e.server->base), SHS_OK);
    assert_int_equal(shs__stream_shutdown(&e.server->base), SHS_OK);
    assert_int_equal(shs__stream_read(e.far, &byte, 1, &got), SHS_CLOSED);
    ends_close(&e);
}

static void old_versions_are_refused(void **state)
{
    struct ends e;
    SSL *ssl;

    SHS_UNUSED(state);
    ends_open(&e, 0, 65536, 0);
    ssl = e.client->ssl;
    SSL_set_security_level(ssl, 0);
    SSL_set_cipher_list(ssl, "ALL:@SECLEVEL=0");
    SSL_set_min_proto_version(ssl, TLS1_VERSION);
    SSL_set_max_proto_version(ssl, TLS1_1_VERSION);
    assert_int_equal(lab_handshake(e.server, e.client), SHS_TLS);
    tls_describes(e.server, SHS_TLS, "too old");
    assert_int_equal(e.server->alert_out, SSL_AD_PROTOCOL_VERSION);
    ends_close(&e);
}

static void suites_without_forward_secrecy_are_refused(void **state)
{
    struct ends e;

    SHS_UNUSED(state);
    ends_open(&e, TLS1_2_VERSION, 65536, 0);
    assert_int_equal(SSL_set_cipher_list(e.client->ssl, "AES128-GCM-SHA256:AES128-SHA"), 1);
    assert_int_equal(lab_handshake(e.server, e.client), SHS_TLS);
    tls_describes(e.server, SHS_TLS, "cipher suite");
    ends_close(&e);
}

/* A client whose `set` narrows what it offers is refused, with these words. */
static void refuses_offer(int version, int (*set)(SSL *ssl), const char *words)
{
    struct ends e;

    ends_open(&e, version, 65536, 0);
    assert_int_equal(set(e.client->ssl), 1);
    assert_int_equal(lab_handshake(e.server, e.client), SHS_TLS);
    tls_describes(e.server, SHS_TLS, words);
    ends_close(&e);
}
static int offer_x448(SSL *ssl)
{
    return (int)SSL_set1_groups_list(ssl, "X448");
}
static int offer_rsa_signatures(SSL *ssl)
{
    return (int)SSL_set1_sigalgs_list(ssl, "RSA-PSS+SHA256:RSA+SHA256");
}

static void what_we_do_not_offer_is_named(void **state)
{
    SHS_UNUSED(state);
    refuses_offer(TLS1_3_VERSION, offer_x448, "X25519");
    refuses_offer(TLS1_3_VERSION, offer_rsa_signatures, "signature");
    refuses_offer(TLS1_2_VERSION, offer_rsa_signatures, "signature");
}

/* The client's own verdict on our certificate, by the clock it goes by. */
static void a_client_says_that_it_has_expired(void **state)
{
    struct ends e;

    SHS_UNUSED(state);
    ends_open(&e, 0, 65536, 0);
    X509_VERIFY_PARAM_set_time(SSL_get0_param(e.client->ssl), time(NULL) + 95 * LAB_DAY);
    (void)lab_handshake(e.server, e.client);
    (void)shs__stream_flush(&e.client->base);
    assert_int_equal(tls_read_code(e.server), SHS_TLS);
    assert_int_equal(e.server->alert_in, SSL_AD_CERTIFICATE_EXPIRED);
    tls_describes(e.server, SHS_TLS, "has expired (alert 45)");
    ends_close(&e);

    ends_open(&e, 0, 65536, 0);
    ends_meet(&e);
    shs__tls_stream_message(0, TLS1_3_VERSION, SSL3_RT_ALERT, "\x02\x50", 2, NULL, e.server);
    e.server->why = SHS_TLS_WHY_PROTOCOL;
    tls_describes(e.server, SHS_TLS, "alert 80, internal error");
    ends_close(&e);
}

static void a_client_that_does_not_trust_us_says_so(void **state)
{
    struct ends e;

    SHS_UNUSED(state);
    ends_open(&e, 0, 65536, 0);
    SSL_set0_verify_cert_store(e.client->ssl, X509_STORE_new()); /* empty */
    (void)lab_handshake(e.server, e.client);
    (void)shs__stream_flush(&e.client->base);
    assert_int_equal(tls_read_code(e.server), SHS_TLS);
    assert_int_equal(e.server->alert_in, SSL_AD_UNKNOWN_CA);
    tls_describes(e.server, SHS_TLS, "does not trust");
    ends_close(&e);
}

/* -- ALPN, names, resumption ------------------------------------------------------------------- */

static void alpn_is_http11_or_nothing(void **state)
{
    static const unsigned char both[] = "\x02h2\x08http/1.1", h2[] = "\x02h2";
    const unsigned char *got = NULL;
    unsigned len = 0;
    struct ends e;

    SHS_UNUSED(state);
    ends_open(&e, 0, 65536, 0);
    SSL_set_alpn_protos(e.client->ssl, both, sizeof both - 1);
    ends_meet(&e);
    SSL_get0_alpn_selected(e.client->ssl, &got, &len);
    assert_int_equal(len, 8);
    assert_memory_equal(got, "http/1.1", 8);
    ends_close(&e);

    ends_open(&e, 0, 65536, 0);
    SSL_set_alpn_protos(e.client->ssl, h2, sizeof h2 - 1);
    assert_int_equal(lab_handshake(e.server, e.client), SHS_TLS);
    assert_int_equal(e.server->alert_out, SSL_AD_NO_APPLICATION_PROTOCOL);
    tls_describes(e.server, SHS_TLS, "ALPN");
    assert_int_equal(shs__stream_flush(&e.server->base), SHS_OK);
    (void)shs__tls_stream_handshake(e.client);
    assert_int_equal(e.client->alert_in, SSL_AD_NO_APPLICATION_PROTOCOL);
    ends_close(&e);

    ends_open(&e, 0, 65536, 0);
    ends_meet(&e);
    assert_string_equal(e.server->facts.alpn, "");
    ends_close(&e);
}

/* Twice with one session: the second handshake resumes, and knows the name again. */
static void one_ticket_resumes(void **state)
{
    struct shs_tls_stream *server = NULL, *client = NULL;
    struct shs_stream *near, *far;
    SSL_SESSION *session;
    struct ends e;
    int version;

    SHS_UNUSED(state);
    for (version = TLS1_2_VERSION; version <= TLS1_3_VERSION; version++) {
        ends_open(&e, version, 65536, 0);
        SSL_set_tlsext_host_name(e.client->ssl, "localhost");
        ends_meet(&e);
        assert_string_equal(e.server->facts.sni, "localhost");
        assert_false(e.server->facts.resumed);
        tls_says(e.server, "hello");
        tls_hears(e.client, "hello"); /* and reads the ticket on the way */
        session = SSL_get1_session(e.client->ssl);
        assert_non_null(session);
        assert_int_equal(SSL_SESSION_is_resumable(session), 1);
        assert_int_equal(shs__memory_stream_pair(&near, &far, 65536, 0), SHS_OK);
        assert_int_equal(shs__tls_stream_new(&server, e.server_context, near), SHS_OK);
        assert_int_equal(shs__tls_stream_new(&client, e.client_context, far), SHS_OK);
        SSL_set_tlsext_host_name(client->ssl, "localhost");
        SSL_set_session(client->ssl, session);
        assert_int_equal(lab_handshake(server, client), SHS_OK);
        assert_true(server->facts.resumed);
        assert_string_equal(server->facts.sni, "localhost");
        if (version == TLS1_3_VERSION) { /* a ticket is for one use: the next one comes along */
            tls_says(server, "again");
            tls_hears(client, "again");
            assert_ptr_not_equal(SSL_get0_session(client->ssl), session);
            assert_int_equal(SSL_SESSION_is_resumable(SSL_get0_session(client->ssl)), 1);
        }
        SSL_SESSION_free(session);
        ends_free(&server->base);
        ends_free(&client->base);
        ends_free(near);
        ends_free(far);
        ends_close(&e);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(handshakes_in_any_pieces),
        cmocka_unit_test(reading_shakes_hands),
        cmocka_unit_test(half_a_hello_waits),
        cmocka_unit_test(one_send_per_flight_and_answer),
        cmocka_unit_test(a_waiting_read_holds_the_ticket),
        cmocka_unit_test(many_records_leave_at_once),
        cmocka_unit_test(garbage_gets_an_alert),
        cmocka_unit_test(what_is_no_tls_is_refused),
        cmocka_unit_test(plain_http_is_told_from_tls),
        cmocka_unit_test(old_versions_are_refused),
        cmocka_unit_test(suites_without_forward_secrecy_are_refused),
        cmocka_unit_test(what_we_do_not_offer_is_named),
        cmocka_unit_test(a_client_says_that_it_has_expired),
        cmocka_unit_test(a_client_that_does_not_trust_us_says_so),
        cmocka_unit_test(alpn_is_http11_or_nothing),
        cmocka_unit_test(one_ticket_resumes),
    };

    return cmocka_run_group_tests(tests, lab_setup, lab_teardown);
}
