/* test_tls_tail.c - all that a client sent before it closed is read, under every composition. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <pthread.h>
#include <stdatomic.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include <shs/shs.h>

#include "loopback.h"
#include "patience.h"
#include "tls_lab.h"

/* More than the first window of a connection: its end is still in the client's kernel when the
   client closes. */
#define SENT 70000u
#define VISITS 40u

/* In memory that a forked child shares. */
static struct counts {
    _Atomic unsigned ended, whole, in_order;
} * counts;

/* Reads to the end, as who stores what is sent. */
static int keep_handle(struct shs_request_handler *self)
{
    char buf[4096];
    size_t got = 0, all = 0;
    int rc;

    while ((rc = shs_conn_read(self->request, buf, sizeof buf, &got)) == SHS_OK)
        all += got;
    if (rc == SHS_CLOSED)
        atomic_fetch_add(&counts->in_order, 1);
    if (all == SENT && (rc == SHS_CLOSED || rc == SHS_TRUNCATED))
        atomic_fetch_add(&counts->whole, 1);
    atomic_fetch_add(&counts->ended, 1);
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

/* In a process of its own: a forked server would have the client's end, too, and keep it open. */
static pid_t begin_visits(SSL_CTX *ctx, unsigned port)
{
    bool good = true;
    pid_t pid = fork();

    assert_true(pid >= 0);
    if (pid != 0)
        return pid;
    for (unsigned i = 0; i < VISITS; i++)
        good = send_and_close(ctx, port, i % 2 == 0) && good;
    _exit(good ? 42 : 1);
}

static void visit(int (*push)(struct shs_server *, struct shs_error *), int version)
{
    struct shs_options opt = group_lab.opt;
    struct shs_error err = {.code = SHS_OK};
    struct shs_tls_context *client = lab_client(&group_lab, version);
    struct shs_server *server;
    pthread_t thread;
    pid_t visitor;
    int status = 0;

    atomic_store(&counts->ended, 0);
    atomic_store(&counts->whole, 0);
    atomic_store(&counts->in_order, 0);
    opt.bind_and_activate = false;
    assert_int_equal(shs_tcp_server_new(&server, &opt, &keep_class, &err), SHS_OK);
    assert_int_equal(shs_tls_mixin_push(server, &err), SHS_OK);
    if (push != NULL)
        assert_int_equal(push(server, &err), SHS_OK);
    assert_int_equal(shs_server_bind_and_activate(server, &err), SHS_OK);
    SSL_CTX_set_mode(client->ssl_ctx, SSL_MODE_AUTO_RETRY);
    SSL_CTX_clear_mode(client->ssl_ctx, SSL_MODE_ENABLE_PARTIAL_WRITE);
    visitor = begin_visits(client->ssl_ctx, shs_server_port(server));
    assert_int_equal(pthread_create(&thread, NULL, loopback_serve, server), 0);
    assert_int_equal(waitpid(visitor, &status, 0), visitor);
    assert_true(WIFEXITED(status) && WEXITSTATUS(status) == 42);
    for (unsigned i = 0; i < (unsigned)patience_ms() && atomic_load(&counts->ended) < VISITS; i++)
        usleep(1000);
    assert_int_equal(atomic_load(&counts->ended), VISITS);
    assert_int_equal(atomic_load(&counts->whole), VISITS);
    assert_int_equal(atomic_load(&counts->in_order),
                     VISITS / 2); /* the others sent no close_notify */
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

static void nothing_is_lost_in_children(void **state)
{
    SHS_UNUSED(state);
    visit(shs_forking_mixin_push, TLS1_3_VERSION);
    visit(shs_forking_mixin_push, TLS1_2_VERSION);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(nothing_is_lost_without_threads),
        cmocka_unit_test(nothing_is_lost_with_threads),
        cmocka_unit_test(nothing_is_lost_in_the_pool),
        cmocka_unit_test(nothing_is_lost_in_children),
    };

    counts = mmap(NULL, sizeof *counts, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (counts == MAP_FAILED)
        return 1;
    return cmocka_run_group_tests(tests, lab_setup, lab_teardown);
}
