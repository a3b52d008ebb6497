/*
 * test_tls_door.c - how a connection leaves libssl: a client that seals its records itself says what
 * no library would, before the door and after it.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <time.h>

#include <openssl/err.h>
#include <openssl/ssl.h>

#include "failing_memory.h"
#include "tls/config/config.h"
#include "tls/config/tickets.h"
#include "tls_lab.h"

static const char key_update[] = "\x18\x00\x00\x01";
#define KEY_UPDATE_LEN ((size_t)5) /* its last byte: it asks for none */

/* A server that may leave libssl, and a client of which only the keys are left. */
struct visit {
    struct shs_stream *near, *far;
    struct shs_tls_context *server_context, *client_context;
    struct shs_tls_suites *suites;
    struct shs_tls_stream *server;
    struct shs_tls_records *client;
    struct shs_buf wire; /* what it says next */
};

static struct shs_tls_door *listening; /* takes the client's secrets */

static void on_secret(const SSL *ssl, const char *line)
{
    SHS_UNUSED(ssl);
    if (listening != NULL)
        shs__tls_door_secret(listening, line);
}

static struct shs_tls_context *direct_server(void)
{
    struct shs_tls_context *context = NULL;
    struct shs_tls_simple_config simple;
    struct shs_tls_tickets *tickets;
    struct shs_error err;

    shs__tls_simple_config(&simple, &group_lab.opt);
    simple.config.records = SHS_TLS_RECORDS_DIRECT;
    simple.config.no_tickets = true; /* a ticket is nothing that `client` could hear */
    assert_int_equal(shs__tls_tickets_new(&tickets, simple.config.ticket_epoch_s), SHS_OK);
    assert_int_equal(shs__tls_context_build(&context, &simple.config, tickets, NULL,
                                            (int64_t)time(NULL), false, &err),
                     SHS_OK);
    shs__tls_tickets_free(tickets);
    return context;
}

static void visit_open(struct visit *v)
{
    struct shs_tls_door *door = shs__tls_door_new();
    struct shs_tls_stream *client = NULL;
    int rc = SHS_WAIT_READ, peer = SHS_WAIT_READ;

    memset(v, 0, sizeof *v);
    shs__buf_init(&v->wire, 1 << 20);
    v->server_context = direct_server();
    v->client_context = lab_client(&group_lab, TLS1_3_VERSION);
    SSL_CTX_set_keylog_callback(v->client_context->ssl_ctx, on_secret);
    v->suites = shs__tls_suites_new();
    assert_non_null(v->suites);
    assert_int_equal(shs__memory_stream_pair(&v->near, &v->far, 1 << 20, 0), SHS_OK);
    assert_int_equal(shs__tls_stream_new(&v->server, v->server_context, v->near), SHS_OK);
    assert_int_equal(shs__tls_stream_new(&client, v->client_context, v->far), SHS_OK);
    listening = door;
    for (int i = 0; i < 100 && (rc > 0 || peer > 0); i++) {
        peer = peer > 0 ? shs__tls_stream_handshake(client) : peer;
        if (peer == SHS_OK)
            (void)shs__stream_flush(&client->base);
        rc = rc > 0 ? shs__tls_stream_handshake(v->server) : rc;
    }
    listening = NULL;
    assert_int_equal(rc, SHS_OK);
    assert_int_equal(peer, SHS_OK);
    assert_int_equal(
        shs__tls_records_new(&v->client, v->suites,
                             SSL_CIPHER_get_protocol_id(SSL_get_current_cipher(client->ssl)),
                             &door->out, &door->in),
        SHS_OK);
    shs__tls_door_free(door);
    client->base.cls->free(&client->base);
}

static void visit_close(struct visit *v)
{
    v->server->base.cls->free(&v->server->base);
    shs__tls_records_free(v->client);
    v->near->cls->free(v->near);
    v->far->cls->free(v->far);
    shs__tls_context_free(v->server_context);
    shs__tls_context_free(v->client_context);
    shs__tls_suites_free(v->suites);
    shs__buf_free(&v->wire);
    assert_int_equal(ERR_peek_error(), 0);
}

/* Sends what is in `wire`. */
static void leaves(struct visit *v)
{
    size_t put = 0;

    assert_int_equal(shs__stream_write(v->far, shs__buf_head(&v->wire), v->wire.len, &put), SHS_OK);
    assert_int_equal(put, v->wire.len);
    shs__buf_consume(&v->wire, v->wire.len);
}

static void client_says(struct visit *v, enum shs_tls_content type, const void *data, size_t len)
{
    assert_int_equal(shs__tls_records_seal(v->client, type, data, len, &v->wire), SHS_OK);
    leaves(v);
}

static int reads(struct visit *v, char *byte)
{
    size_t got = 0;

    return shs__stream_read(&v->server->base, byte, 1, &got);
}

static void server_hears(struct visit *v, char want)
{
    char byte = 0;

    assert_int_equal(reads(v, &byte), SHS_OK);
    assert_int_equal(byte, want);
}

/* There is nothing for it: it is about to wait, which is when a connection leaves libssl. */
static void server_waits(struct visit *v)
{
    char byte;

    assert_int_equal(reads(v, &byte), SHS_WAIT_READ);
    shs__stream_idle(&v->server->base);
}

static void server_refuses(struct visit *v, int alert)
{
    char byte;

    assert_int_equal(reads(v, &byte), SHS_TLS);
    assert_int_equal(v->server->alert_out, alert);
}

static void what_was_read_opens_it(void **state)
{
    struct visit v;

    SHS_UNUSED(state);
    visit_open(&v);
    client_says(&v, SHS_TLS_DATA, "a", 1);
    server_hears(&v, 'a');
    assert_int_equal(v.server->stays, SHS_TLS_STAYS_NOT_YET);
    server_waits(&v);
    assert_int_equal(v.server->stays, SHS_TLS_STAYS_NO);
    client_says(&v, SHS_TLS_DATA, "b", 1);
    server_hears(&v, 'b');
    visit_close(&v);
}

/* 5.1: a message may be spread over records. libssl keeps its first bytes, and nobody sees it. */
static void a_message_that_has_begun_shuts_it(void **state)
{
    struct visit v;

    SHS_UNUSED(state);
    for (size_t cut = 1; cut < KEY_UPDATE_LEN; cut++) {
        visit_open(&v);
        client_says(&v, SHS_TLS_DATA, "a", 1);
        server_hears(&v, 'a');
        client_says(&v, SHS_TLS_HANDSHAKE, key_update, cut);
        server_waits(&v);
        assert_int_equal(v.server->stays, SHS_TLS_STAYS_NOT_YET);
        client_says(&v, SHS_TLS_HANDSHAKE, key_update + cut, KEY_UPDATE_LEN - cut);
        server_waits(&v);
        assert_int_equal(v.server->key_updates, 1);
        assert_int_equal(v.server->stays, SHS_TLS_STAYS_KEY_UPDATE);
        visit_close(&v);
        visit_open(&v); /* nothing may come in between */
        client_says(&v, SHS_TLS_DATA, "a", 1);
        server_hears(&v, 'a');
        client_says(&v, SHS_TLS_HANDSHAKE, key_update, cut);
        server_waits(&v);
        client_says(&v, SHS_TLS_DATA, "b", 1);
        server_refuses(&v, SSL_AD_UNEXPECTED_MESSAGE);
        visit_close(&v);
    }
}

/* The bounds hold for a connection, not for each of those who read its records. */
static void what_libssl_has_counted_shuts_it(void **state)
{
    struct visit v;

    SHS_UNUSED(state);
    visit_open(&v);
    client_says(&v, SHS_TLS_DATA, "a", 1);
    server_hears(&v, 'a');
    for (int i = 0; i < 20; i++)
        client_says(&v, SHS_TLS_DATA, "", 0);
    server_waits(&v);
    for (int i = 0; i < 13; i++)
        client_says(&v, SHS_TLS_DATA, "", 0);
    server_refuses(&v, SSL_AD_UNEXPECTED_MESSAGE);
    visit_close(&v);
    visit_open(&v);
    client_says(&v, SHS_TLS_DATA, "a", 1);
    server_hears(&v, 'a');
    for (int i = 0; i < 4; i++)
        client_says(&v, SHS_TLS_ALERT, "\x01\x5a", 2);
    server_waits(&v);
    client_says(&v, SHS_TLS_ALERT, "\x01\x5a", 2);
    server_refuses(&v, SSL_AD_UNEXPECTED_MESSAGE);
    visit_close(&v);
}

static void data_opens_it_again(void **state)
{
    struct visit v;

    SHS_UNUSED(state);
    visit_open(&v);
    client_says(&v, SHS_TLS_DATA, "a", 1);
    server_hears(&v, 'a');
    client_says(&v, SHS_TLS_ALERT, "\x01\x5a", 2);
    client_says(&v, SHS_TLS_DATA, "", 0);
    server_waits(&v);
    assert_int_equal(v.server->stays, SHS_TLS_STAYS_NOT_YET);
    client_says(&v, SHS_TLS_DATA, "b", 1);
    server_hears(&v, 'b');
    server_waits(&v);
    assert_int_equal(v.server->stays, SHS_TLS_STAYS_NO);
    client_says(&v, SHS_TLS_DATA, "c", 1);
    server_hears(&v, 'c');
    visit_close(&v);
}

/* What the server has said, whole records of it, opens with the client's keys, and is "yes". */
static void client_heard_nothing_else(struct visit *v)
{
    struct shs_tls_fault fault = {.alert = 0};
    enum shs_tls_opened opened = SHS_TLS_OPENED_UPDATED;
    char text[16];
    size_t got = 0;

    while (opened == SHS_TLS_OPENED_UPDATED || opened == SHS_TLS_OPENED_DATA) {
        size_t room = 0, came = 0;
        void *at = shs__tls_records_room(v->client, &room);

        if (shs__stream_read(v->far, at, room, &came) == SHS_OK)
            shs__tls_records_came(v->client, came);
        opened = shs__tls_records_open(v->client, text, sizeof text, &got, &fault);
        if (opened == SHS_TLS_OPENED_DATA) {
            assert_int_equal(got, 3);
            assert_memory_equal(text, "yes", 3);
        }
    }
    if (opened != SHS_TLS_OPENED_END)
        assert_int_equal(opened, SHS_TLS_OPENED_MORE);
}

/* It leaves libssl, changes both keys, answers and says goodbye; allocation number n fails. */
static bool lives_without(long n)
{
    static const char asks[] = "\x18\x00\x00\x01\x01";
    struct visit v;
    size_t put = 0;
    char byte = 0;
    bool failed;
    int rc;

    visit_open(&v);
    client_says(&v, SHS_TLS_DATA, "a", 1);
    server_hears(&v, 'a');
    arm(n);
    rc = reads(&v, &byte);
    shs__stream_idle(&v.server->base);
    armed = false;
    client_says(&v, SHS_TLS_HANDSHAKE, asks, sizeof asks - 1);
    assert_int_equal(shs__tls_records_update(v.client, &v.wire), SHS_OK);
    shs__buf_consume(&v.wire, v.wire.len); /* it was said above; only the key counts */
    client_says(&v, SHS_TLS_DATA, "b", 1);
    armed = true;
    if (rc == SHS_WAIT_READ) {
        rc = reads(&v, &byte);
        assert_true(rc == SHS_NOMEM || (rc == SHS_OK && byte == 'b'));
    }
    if (rc == SHS_OK)
        rc = shs__stream_write(&v.server->base, "yes", 3, &put);
    (void)shs__stream_flush(&v.server->base);
    (void)shs__stream_shutdown(&v.server->base);
    failed = disarm();
    assert_true(failed || (rc == SHS_OK && v.server->stays == SHS_TLS_STAYS_NO));
    client_heard_nothing_else(&v);
    visit_close(&v);
    return failed;
}

static void without_memory_nothing_wrong_is_said(void **state)
{
    long n = 0;

    SHS_UNUSED(state);
    while (lives_without(n))
        n++;
    assert_true(n > 10); /* there were some */
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_was_read_opens_it),
        cmocka_unit_test(a_message_that_has_begun_shuts_it),
        cmocka_unit_test(what_libssl_has_counted_shuts_it),
        cmocka_unit_test(data_opens_it_again),
        cmocka_unit_test(without_memory_nothing_wrong_is_said),
    };

    if (!take_over_openssl())
        return 1;

    return cmocka_run_group_tests(tests, lab_setup, lab_teardown);
}
