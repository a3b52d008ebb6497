/* test_tls_tail.c - all that a client sent before it closed is read, under every composition. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <pthread.h>
#include <stdatomic.h>
#include <unistd.h>

#include <shs/shs.h>

#include "loopback.h"
#include "patience.h"
#include "tls_lab.h"

/* More than the first window of a connection: its end is still in the client's kernel when the
   client closes. */
#define SENT 70000u
#define VISITS 40u

static _Atomic unsigned ended, whole, in_order;

/* Reads to the end, as who stores what is sent. */
static int keep_handle(struct shs_request_handler *self)
{
    char buf[4096];
    size_t got = 0, all = 0;
    int rc;

    while ((rc = shs_conn_read(self->request, buf, sizeof buf, &got)) == SHS_OK)
        all += got;
    if (rc == SHS_CLOSED)
        atomic_fetch_add(&in_order, 1);
    if (all == SENT && (rc == SHS_CLOSED || rc == SHS_TRUNCATED))
        atomic_fetch_add(&whole, 1);
    atomic_fetch_add(&ended, 1);
    return SHS_OK;
}

static const struct shs_request_handler_class keep_class = {
    .name = "Keep",
    .instance_size = sizeof(struct shs_request_handler),
    .handle = keep_handle,
};

/* Handshake, everything, close; nothing is read. True: it was all taken. */
static bool send_and_close(SSL_CTX *ctx, unsigned port, bool notify)
{
    static const char data[SENT];
    int fd = loopback_dial(port);
    SSL *ssl = SSL_new(ctx);
    bool good;

    assert_non_null(ssl);
    SSL_set_fd(ssl, fd);
    good = SSL_connect(ssl) == 1 && SSL_write(ssl, data, sizeof data) == (int)SENT;
    if (good && notify)
        (void)SSL_shutdown(ssl);
    close(fd);
    SSL_free(ssl);
    return good;
}

static void visit(int (*push)(struct shs_server *, struct shs_error *), int version)
{
    struct shs_options opt = group_lab.opt;
    struct shs_error err = {.code = SHS_OK};
    struct shs_tls_context *client = lab_client(&group_lab, version);
    struct shs_server *server;
    pthread_t thread;
    unsigned i;

    atomic_store(&ended, 0);
    atomic_store(&whole, 0);
    atomic_store(&in_order, 0);
    opt.bind_and_activate = false;
    assert_int_equal(shs_tcp_server_new(&server, &opt, &keep_class, &err), SHS_OK);
    assert_int_equal(shs_tls_mixin_push(server, &err), SHS_OK);
    if (push != NULL)
        assert_int_equal(push(server, &err), SHS_OK);
    assert_int_equal(shs_server_bind_and_activate(server, &err), SHS_OK);
    assert_int_equal(pthread_create(&thread, NULL, loopback_serve, server), 0);
    SSL_CTX_set_mode(client->ssl_ctx, SSL_MODE_AUTO_RETRY);
    SSL_CTX_clear_mode(client->ssl_ctx, SSL_MODE_ENABLE_PARTIAL_WRITE);
    for (i = 0; i < VISITS; i++)
        assert_true(send_and_close(client->ssl_ctx, shs_server_port(server), i % 2 == 0));
    for (i = 0; i < (unsigned)patience_ms() && atomic_load(&ended) < VISITS; i++)
        usleep(1000);
    assert_int_equal(atomic_load(&ended), VISITS);
    assert_int_equal(atomic_load(&whole), VISITS);
    assert_int_equal(atomic_load(&in_order), VISITS / 2); /* the others sent no close_notify */
    assert_int_equal(shs_shutdown_wait(server, (unsigned)patience_ms()), SHS_OK);
    pthread_join(thread, NULL);
    shs_server_free(server);
    shs__tls_context_free(client);
}

static void nothing_is_lost_without_threads(void **state)
{
    SHS_UNUSED(state);
    visit(NULL, TLS1_3_VERSION);
    visit(NULL, TLS1_2_VERSION);
}

static void nothing_is_lost_with_threads(void **state)
{
    SHS_UNUSED(state);
    visit(shs_threading_mixin_push, TLS1_3_VERSION);
    visit(shs_threading_mixin_push, TLS1_2_VERSION);
}

static void nothing_is_lost_in_the_pool(void **state)
{
    SHS_UNUSED(state);
    visit(shs_thread_pool_mixin_push, TLS1_3_VERSION);
    visit(shs_thread_pool_mixin_push, TLS1_2_VERSION);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(nothing_is_lost_without_threads),
        cmocka_unit_test(nothing_is_lost_with_threads),
        cmocka_unit_test(nothing_is_lost_in_the_pool),
    };

    return cmocka_run_group_tests(tests, lab_setup, lab_teardown);
}
