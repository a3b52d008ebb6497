/* test_tls_stream.c - the TLS stream once it is open, how it ends, and failures below it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>

#include <openssl/err.h>

#include "tls/clients/recheck.h"
#include "tls/wire/mixin.h"
#include "tls_ends.h"

/* -- after the handshake ----------------------------------------------------------------------- */

static void renegotiation_is_refused(void **state)
{
    struct ends e;
    int i;

    SHS_UNUSED(state);
    ends_open(&e, TLS1_2_VERSION, 65536, 0);
    ends_meet(&e);
    SSL_clear_options(e.client->ssl, SSL_OP_NO_RENEGOTIATION);
    assert_int_equal(SSL_renegotiate(e.client->ssl), 1);
    (void)SSL_do_handshake(e.client->ssl);
    ERR_clear_error();
    assert_int_equal(shs__stream_flush(&e.client->base), SHS_OK);
    assert_int_equal(tls_read_code(e.server), SHS_WAIT_READ); /* answers with a warning, goes on */
    assert_int_equal(e.server->key_updates, 1);
    assert_int_equal(SSL_do_handshake(e.client->ssl) > 0, 0);
    ERR_clear_error();
    assert_int_equal(e.client->alert_in, SSL_AD_NO_RENEGOTIATION);
    tls_says(e.server, "still here");
    for (i = 0; i < 3; i++)
        assert_int_equal(tls_read_code(e.server) == SHS_TLS, 0);
    ends_close(&e);
}

/* Who looks before he reads, as a pool does, hears of it as who reads at once. */
static void a_client_that_counts_no_more_is_told(void **state)
{
    struct shs_tls_mixin mixin = {.shared = NULL};
    struct shs_tls_recheck recheck = {.mixin = &mixin, .reason = SHS_CLIENT_DENIED};
    struct ends e;

    SHS_UNUSED(state);
    ends_open(&e, 0, 65536, 0);
    ends_meet(&e);
    assert_int_equal(shs__stream_ready(&e.server->base), SHS_WAIT_READ);
    tls_says(e.client, "a");
    e.server->recheck = &recheck;
    assert_int_equal(shs__stream_ready(&e.server->base), SHS_OK);
    assert_int_equal(tls_read_code(e.server), SHS_STOPPED);
    tls_describes(e.server, SHS_STOPPED, "no longer accepted");
    e.server->recheck = NULL;
    ends_close(&e);

    ends_open(&e, 0, 65536, 0); /* and so when nothing has come */
    ends_meet(&e);
    e.server->recheck = &recheck;
    assert_int_equal(shs__stream_ready(&e.server->base), SHS_OK);
    e.server->recheck = NULL;
    ends_close(&e);
}

/* The client changes its keys `times` times, each followed by a byte: the server's last answer. */
static int flood(int times, int kind, struct ends *e)
{
    size_t put;
    int i, rc = SHS_OK;

    for (i = 0; i < times && rc == SHS_OK; i++) {
        assert_int_equal(SSL_key_update(e->client->ssl, kind), 1);
        assert_int_equal(shs__stream_write(&e->client->base, "x", 1, &put), SHS_OK);
        assert_int_equal(shs__stream_flush(&e->client->base), SHS_OK);
        rc = tls_read_code(e->server);
    }
    return rc;
}

static void a_flood_of_key_updates_ends(void **state)
{
    struct ends e;

    SHS_UNUSED(state);
    ends_open(&e, TLS1_3_VERSION, 65536, 0);
    ends_meet(&e);
    assert_int_equal(flood(SHS_TLS_KEY_UPDATES_MAX, SSL_KEY_UPDATE_REQUESTED, &e), SHS_OK);
    tls_says(e.server, "fine");
    tls_hears(e.client, "fine");
    ends_close(&e);

    ends_open(&e, TLS1_3_VERSION, 65536, 0);
    ends_meet(&e);
    assert_int_equal(flood(1000, SSL_KEY_UPDATE_NOT_REQUESTED, &e), SHS_TLS);
    assert_int_equal(e.server->key_updates, SHS_TLS_KEY_UPDATES_MAX);
    assert_int_equal(e.server->why, SHS_TLS_WHY_KEY_UPDATES);
    tls_describes(e.server, SHS_TLS, "new keys");
    assert_int_equal(tls_read_code(e.server), SHS_TLS);
    ends_close(&e);
}

/* However much has come at once: from the key update that is too many on, nothing counts. */
static void what_follows_a_flood_is_not_heard(void **state)
{
    struct ends e;
    size_t put;

    SHS_UNUSED(state);
    for (int times = SHS_TLS_KEY_UPDATES_MAX; times <= SHS_TLS_KEY_UPDATES_MAX + 1; times++) {
        ends_open(&e, TLS1_3_VERSION, 65536, 0);
        ends_meet(&e);
        for (int i = 0; i < times; i++) {
            assert_int_equal(SSL_key_update(e.client->ssl, SSL_KEY_UPDATE_NOT_REQUESTED), 1);
            assert_int_equal(SSL_do_handshake(e.client->ssl), 1);
        }
        assert_int_equal(shs__stream_write(&e.client->base, "late", 4, &put), SHS_OK);
        assert_int_equal(shs__stream_flush(&e.client->base), SHS_OK);
        if (times == SHS_TLS_KEY_UPDATES_MAX) {
            assert_int_equal(tls_read_code(e.server), SHS_OK);
        } else {
            assert_int_equal(tls_read_code(e.server), SHS_TLS);
            assert_int_equal(e.server->why, SHS_TLS_WHY_KEY_UPDATES);
            assert_int_equal(e.server->alert_out, 255); /* none */
        }
        ends_close(&e);
    }
}

/* Writes until it must wait, and leaves room for not even an alert: how much was written. */
static size_t fill_up(struct ends *e)
{
    char data[8192];
    size_t put, sent = 0;
    int i, rc = SHS_OK;

    memset(data, 'x', sizeof data);
    for (i = 0; i < 100 && rc == SHS_OK; i++) {
        rc = shs__stream_write(&e->server->base, data, sizeof data, &put);
        sent += rc == SHS_OK ? put : 0;
    }
    assert_int_equal(rc, SHS_WAIT_WRITE);
    e->server->bio.out.ceiling = e->server->bio.out.len + 20;
    return sent;
}

static void drain(struct ends *e, size_t sent)
{
    char data[8192];
    size_t got, seen = 0;
    int i;

    for (i = 0; i < 100 && seen < sent; i++) {
        if (shs__stream_read(&e->client->base, data, sizeof data, &got) == SHS_OK)
            seen += got;
        else
            (void)shs__stream_flush(&e->server->base);
    }
    assert_int_equal(seen, sent);
    e->server->bio.out.ceiling = SHS_TLS_OUT_CEILING;
}

/* The peer asks for new keys, and for an end, and reads nothing: we wait, and lose nothing. */
static void what_we_owe_waits_for_room(void **state)
{
    struct ends e;
    size_t put, sent;

    SHS_UNUSED(state);
    ends_open(&e, TLS1_3_VERSION, 20000, 0);
    ends_meet(&e);
    sent = fill_up(&e);
    assert_int_equal(SSL_key_update(e.client->ssl, SSL_KEY_UPDATE_REQUESTED), 1);
    tls_says(e.client, "after the key");
    tls_hears(e.server, "after the key");
    assert_int_equal(shs__stream_write(&e.server->base, "x", 1, &put), SHS_WAIT_WRITE);
    drain(&e, sent);
    tls_says(e.server, "new key");
    tls_hears(e.client, "new key");
    assert_int_equal(e.client->key_updates, 1);
    ends_close(&e);

    ends_open(&e, TLS1_3_VERSION, 20000, 0);
    ends_meet(&e);
    sent = fill_up(&e);
    assert_int_equal(shs__stream_shutdown(&e.server->base), SHS_WAIT_WRITE);
    drain(&e, sent);
    assert_int_equal(shs__stream_shutdown(&e.server->base), SHS_OK);
    assert_int_equal(tls_read_code(e.client), SHS_CLOSED);
    assert_int_equal(e.client->why, SHS_TLS_WHY_CLOSE_NOTIFY);
    ends_close(&e);
}

/* Not even a handshake's flight may pass the ceiling: it waits in the middle, and goes on. */
static void a_flight_waits_for_room(void **state)
{
    struct ends e;
    char waste[600];
    size_t got, total = 0;
    int i;

    SHS_UNUSED(state);
    ends_open(&e, TLS1_2_VERSION, 600, 0);
    e.server->bio.out.ceiling = 600;
    (void)shs__tls_stream_handshake(e.client);
    for (i = 0; i < 10; i++) {
        int rc = shs__tls_stream_handshake(e.server);

        if (rc == SHS_WAIT_READ)
            break;
        assert_int_equal(rc, i == 0 ? SHS_WAIT_WRITE : rc);
        while (shs__stream_read(e.far, waste, sizeof waste, &got) == SHS_OK)
            total += got;
    }
    assert_true(i > 0 && i < 10);
    while (shs__stream_read(e.far, waste, sizeof waste, &got) == SHS_OK)
        total += got;
    assert_true(total > 600);
    ends_close(&e);
}

/* Our own key is changed in time; TLS 1.2, which cannot, ends the connection. */
static void keys_do_not_seal_for_ever(void **state)
{
    struct ends e;
    size_t put;

    SHS_UNUSED(state);
    ends_open(&e, TLS1_3_VERSION, 65536, 0);
    ends_meet(&e);
    e.server->records_left = 2;
    tls_says(e.server, "one");
    tls_hears(e.client, "one");
    assert_int_equal(e.client->key_updates, 0);
    tls_says(e.server, "two");
    tls_hears(e.client, "two");
    assert_int_equal(e.client->key_updates, 1);
    ends_close(&e);

    ends_open(&e, TLS1_2_VERSION, 65536, 0);
    ends_meet(&e);
    e.server->records_left = 1;
    assert_int_equal(shs__stream_write(&e.server->base, "x", 1, &put), SHS_TLS);
    tls_describes(e.server, SHS_TLS, "one key of TLS 1.2");
    ends_close(&e);
}

static void close_notify_is_told_from_truncation(void **state)
{
    struct ends e;
    size_t put;
    int version;

    SHS_UNUSED(state);
    for (version = TLS1_2_VERSION; version <= TLS1_3_VERSION; version++) {
        ends_open(&e, version, 65536, 0);
        ends_meet(&e);
        tls_says(e.client, "bye");
        assert_int_equal(shs__stream_shutdown(&e.client->base), SHS_OK);
        tls_hears(e.server, "bye");
        assert_int_equal(tls_read_code(e.server), SHS_CLOSED);
        assert_int_equal(tls_read_code(e.server), SHS_CLOSED);
        assert_int_equal(e.server->base.sys_errno, 0);
        assert_int_equal(e.server->why, SHS_TLS_WHY_CLOSE_NOTIFY);
        tls_describes(e.server, SHS_CLOSED, "closed the TLS session");
        assert_int_equal(shs__stream_shutdown(&e.server->base), SHS_OK);
        assert_int_equal(tls_read_code(e.client), SHS_CLOSED);
        assert_int_equal(e.client->why, SHS_TLS_WHY_CLOSE_NOTIFY);
        ends_close(&e);

        ends_open(&e, version, 65536, 0);
        ends_meet(&e);
        tls_says(e.client, "bye");
        assert_int_equal(shs__stream_shutdown(e.far), SHS_OK); /* FIN, no close_notify */
        tls_hears(e.server, "bye");
        assert_int_equal(tls_read_code(e.server), SHS_TRUNCATED);
        assert_int_equal(tls_read_code(e.server), SHS_TRUNCATED);
        assert_int_equal(e.server->base.sys_errno, EPROTO);
        tls_describes(e.server, SHS_TRUNCATED, "without ending the TLS session");
        tls_says(e.server, "the answer"); /* may still be given */
        tls_hears(e.client, "the answer");
        assert_int_equal(shs__stream_shutdown(&e.server->base), SHS_OK);
        assert_int_equal(tls_read_code(e.client), SHS_CLOSED);
        assert_int_equal(e.client->why, SHS_TLS_WHY_CLOSE_NOTIFY);
        assert_int_equal(shs__stream_write(&e.server->base, "x", 1, &put), SHS_CLOSED);
        ends_close(&e);
    }
}

static void before_the_handshake_nothing_is_said(void **state)
{
    struct ends e;
    char buf[16];
    size_t got;

    SHS_UNUSED(state);
    ends_open(&e, 0, 65536, 0);
    assert_int_equal(shs__stream_shutdown(&e.server->base), SHS_OK);
    assert_int_equal(shs__stream_read(e.far, buf, sizeof buf, &got), SHS_CLOSED);
    ends_close(&e);

    ends_open(&e, 0, 65536, 0);
    assert_int_equal(shs__stream_shutdown(e.far), SHS_OK);
    assert_int_equal(shs__tls_stream_handshake(e.server), SHS_CLOSED);
    assert_int_equal(shs__tls_stream_handshake(e.server), SHS_CLOSED);
    assert_int_equal(e.server->bio.bytes_in, 0);
    tls_describes(e.server, SHS_CLOSED, "during the TLS handshake");
    assert_int_equal(shs__stream_shutdown(&e.server->base), SHS_OK);
    assert_int_equal(shs__stream_read(e.far, buf, sizeof buf, &got), SHS_CLOSED);
    ends_close(&e);
}

/* -- failures below ---------------------------------------------------------------------------- */

static void failures_of_the_lower_stream_pass_through(void **state)
{
    struct ends e;
    size_t put;

    SHS_UNUSED(state);
    ends_open(&e, 0, 65536, 0);
    shs__memory_stream_fail(e.near, 'r', ETIMEDOUT);
    e.server->bio.lower = e.near;
    assert_int_equal(shs__tls_stream_handshake(e.server), SHS_IO);
    assert_int_equal(e.server->base.sys_errno, ETIMEDOUT);
    tls_describes(e.server, SHS_IO, "imed out");
    ends_close(&e);

    ends_open(&e, 0, 65536, 0);
    ends_meet(&e);
    e.server->bio.lower = e.near;
    shs__memory_stream_fail(e.near, 'w', ENETDOWN);
    assert_int_equal(shs__stream_write(&e.server->base, "x", 1, &put), SHS_OK); /* held */
    assert_int_equal(shs__stream_flush(&e.server->base), SHS_IO);
    assert_int_equal(shs__stream_write(&e.server->base, "x", 1, &put), SHS_IO);
    tls_describes(e.server, SHS_IO, "Network is down");
    ends_close(&e);

    ends_open(&e, 0, 65536, 0);
    ends_meet(&e);
    ends_close_client(&e);
    assert_int_equal(shs__stream_write(&e.server->base, "x", 1, &put), SHS_OK);
    assert_int_equal(shs__stream_flush(&e.server->base), SHS_RESET);
    assert_int_equal(e.server->base.sys_errno, EPIPE);
    ends_close(&e);
}

static void a_broken_record_is_fatal(void **state)
{
    struct ends e;
    char forged[] = "\x17\x03\x03\x00\x20"
                    "0123456789abcdef0123456789abcdef";

    SHS_UNUSED(state);
    ends_open(&e, TLS1_3_VERSION, 65536, 0);
    ends_meet(&e);
    ends_push(&e, forged, sizeof forged - 1);
    assert_int_equal(tls_read_code(e.server), SHS_TLS);
    assert_int_equal(tls_read_code(e.server), SHS_TLS);
    assert_int_equal(e.server->alert_out, SSL_AD_BAD_RECORD_MAC);
    tls_describes(e.server, SHS_TLS, "alert 20");
    assert_false(shs__stream_pending(&e.server->base));
    assert_int_equal(shs__stream_shutdown(&e.server->base), SHS_OK);
    assert_int_equal(tls_read_code(e.client), SHS_TLS);
    assert_int_equal(e.client->alert_in, SSL_AD_BAD_RECORD_MAC);
    ends_close(&e);
}

static void half_a_record_is_not_pending(void **state)
{
    struct ends e;
    char wire[512];
    size_t put, got = 0;

    SHS_UNUSED(state);
    ends_open(&e, TLS1_3_VERSION, 65536, 0);
    ends_meet(&e);
    assert_int_equal(shs__stream_write(&e.client->base, "in two parts", 12, &put), SHS_OK);
    got = e.client->bio.out.len;
    assert_true(got < sizeof wire);
    memcpy(wire, shs__buf_head(&e.client->bio.out), got);
    shs__buf_consume(&e.client->bio.out, got);
    ends_push(&e, wire, got / 2);
    assert_int_equal(tls_read_code(e.server), SHS_WAIT_READ);
    assert_false(shs__stream_pending(&e.server->base)); /* or its caller would never wait */
    ends_push(&e, wire + got / 2, got - got / 2);
    tls_hears(e.server, "in two parts");
    ends_close(&e);
}

/* What a reload counts on: the old context lives as long as its last connection. */
static void a_context_lives_as_long_as_its_streams(void **state)
{
    struct ends e;

    SHS_UNUSED(state);
    ends_open(&e, 0, 65536, 0);
    shs__tls_context_free(e.server_context);
    e.server_context = NULL;
    ends_meet(&e);
    tls_says(e.server, "still here");
    tls_hears(e.client, "still here");
    ends_close(&e);
}

static void find_sees_through_a_stack(void **state)
{
    struct ends e;

    SHS_UNUSED(state);
    ends_open(&e, 0, 65536, 0);
    assert_ptr_equal(shs__tls_stream_find(&e.server->base), e.server);
    assert_null(shs__tls_stream_find(e.near));
    assert_null(shs__tls_stream_find(NULL));
    ends_close(&e);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(renegotiation_is_refused),
        cmocka_unit_test(a_client_that_counts_no_more_is_told),
        cmocka_unit_test(a_flood_of_key_updates_ends),
        cmocka_unit_test(what_follows_a_flood_is_not_heard),
        cmocka_unit_test(what_we_owe_waits_for_room),
        cmocka_unit_test(a_flight_waits_for_room),
        cmocka_unit_test(keys_do_not_seal_for_ever),
        cmocka_unit_test(close_notify_is_told_from_truncation),
        cmocka_unit_test(before_the_handshake_nothing_is_said),
        cmocka_unit_test(failures_of_the_lower_stream_pass_through),
        cmocka_unit_test(a_broken_record_is_fatal),
        cmocka_unit_test(half_a_record_is_not_pending),
        cmocka_unit_test(a_context_lives_as_long_as_its_streams),
        cmocka_unit_test(find_sees_through_a_stack),
    };

    return cmocka_run_group_tests(tests, lab_setup, lab_teardown);
}
