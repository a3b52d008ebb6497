/*
 * test_server_close.c - server_close: whom it waits for, whom it wakes, and whom it cuts off.
 */
#include "pool_lab.h"

#include <poll.h>
#include <string.h>
#include <unistd.h>

#include "server_lab.h"

/* Nobody waits for this, and a machine that stands still is not taken for somebody who does. */
#define CLOSE_MS 60000

static void *close_server(void *server)
{
    return (void *)(intptr_t)shs_server_close(server);
}

/*
 * A request ends after server_close has begun, and its client reads the answer and keeps the
 * connection: server_close does not wait for that client.
 */
static void close_beside_a_client_who_stays(pool_push_fn *push, const char *request,
                                            const char *answer)
{
    struct shs_options opt;
    struct pool_fixture f;
    pthread_t closer;
    void *rc = NULL;
    int64_t opened;
    int fd;

    pool_defaults(&opt);
    opt.stop_ms = CLOSE_MS;
    opt.close_ms = CLOSE_MS;
    pool_start_with(&f, &opt, push);
    pool_set_gate(true);
    fd = pool_dial(&f);
    loopback_say(fd, request);
    pool_wait_at_gate(1);
    pool_stop_loop(&f);
    assert_int_equal(pthread_create(&closer, NULL, close_server, f.server), 0);
    sst_wait_until(shs_server_stopping(f.server));
    poll(NULL, 0, 50); /* it waits for the handler */
    pool_set_gate(false);
    opened = shs_now_ns();
    /* whole, although there may be input that nobody read */
    assert_true(loopback_hears(fd, answer));
    pthread_join(closer, &rc);
    assert_int_equal((intptr_t)rc, SHS_OK);
    assert_true(pool_ms_since(opened) < CLOSE_MS / 2);
    shs_server_free(f.server);
    close(fd);
}

static void test_no_lingering_for_who_stays(void **state)
{
    static const char plain[] = "GET /block HTTP/1.1\r\nHost: a\r\n\r\n";
    static const char more[] = "GET /block HTTP/1.1\r\nHost: a\r\n\r\nGET /next HTTP/1.1\r\nHo";

    (void)state;
    close_beside_a_client_who_stays(shs_thread_pool_mixin_push, plain, "/block");
    close_beside_a_client_who_stays(shs_threading_mixin_push, plain, "/block");
    close_beside_a_client_who_stays(shs_thread_pool_mixin_push, more, "/block");
    close_beside_a_client_who_stays(shs_threading_mixin_push, more, "/block");
}

/* One that lingers already when server_close begins is ended by it. */
static void end_who_lingers(pool_push_fn *push)
{
    struct shs_options opt;
    struct pool_fixture f;
    int64_t began;
    int fd;

    pool_defaults(&opt);
    opt.stop_ms = CLOSE_MS;
    opt.close_ms = CLOSE_MS;
    pool_start_with(&f, &opt, push);
    fd = pool_dial(&f);
    loopback_say(fd, "GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\nmore");
    assert_true(loopback_hears(fd, "200 OK"));
    assert_string_equal(loopback_hear(fd), "");
    pool_stop_loop(&f);
    began = shs_now_ns();
    assert_int_equal(shs_server_close(f.server), SHS_OK);
    assert_true(pool_ms_since(began) < CLOSE_MS / 2);
    shs_server_free(f.server);
    close(fd);
}

static void test_who_lingers_is_ended(void **state)
{
    (void)state;
    end_who_lingers(shs_thread_pool_mixin_push);
    end_who_lingers(shs_threading_mixin_push);
}

#define HALF 60 /* more than a worker takes in one turn */

/* What waits for a worker when the pool is given up ends all the same: nothing is left for ever. */
static void test_what_waits_ends_with_the_pool(void **state)
{
    struct shs_options opt;
    struct pool_fixture f;
    int stuck, half[HALF];

    (void)state;
    pool_defaults(&opt);
    opt.threads = opt.max_threads = 1;
    opt.queue_ms = 60000;
    opt.stop_ms = 50;
    opt.close_ms = 50;
    pool_start(&f, &opt);
    pool_set_gate(true);
    for (unsigned i = 0; i < HALF; i++) {
        half[i] = pool_dial(&f);
        loopback_say(half[i], "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 100\r\n\r\nxxx");
    }
    stuck = pool_dial(&f);
    pool_assert_served(stuck, "/after-them");
    loopback_ask(stuck, "/block");
    pool_wait_at_gate(1);
    pool_stop_loop(&f);
    assert_int_equal(shs_server_close(f.server), SHS_TIMEOUT);
    shs_server_free(f.server);
    for (unsigned i = 0; i < HALF; i++) {
        assert_true(loopback_hear(half[i])[0] != 'H');
        close(half[i]);
    }
    pool_set_gate(false);
    sst_wait_until(f.below.freed == 1);
    close(stuck);
}

static void test_close_wakes_silent_clients(void **state)
{
    struct shs_options opt;
    struct server_lab f;
    int fds[20];
    int64_t before;

    (void)state;
    server_lab_defaults(&opt);
    server_lab_start(&f, &opt, true);
    for (int i = 0; i < 20; i++)
        fds[i] = loopback_dial(shs_server_port(f.server));
    sst_wait_until(f.above.get == 20);
    assert_int_equal(server_lab_stop(&f), SHS_OK);
    before = shs_now_ns();
    assert_int_equal(shs_server_close(f.server), SHS_OK);
    assert_true(shs_now_ns() - before < opt.stop_ms / 2 * (int64_t)SHS_NS_PER_MS);
    assert_int_equal(f.above.close, 20);
    for (int i = 0; i < 20; i++)
        close(fds[i]);
    shs_server_free(f.server);
}

static _Atomic bool stubborn;

static int stubborn_handle(struct shs_request_handler *self)
{
    shs_conn_set_idle(self->request, false);
    stubborn = true;
    for (;;) {
        char byte;
        size_t got = 0;
        int rc = shs_conn_read(self->request, &byte, 1, &got);

        if (rc != SHS_OK)
            return rc;
    }
}

static void test_close_cuts_who_is_busy_after_the_grace(void **state)
{
    const struct shs_request_handler_class cls = {.name = "Stubborn",
                                                  .instance_size =
                                                      sizeof(struct shs_request_handler),
                                                  .handle = stubborn_handle};
    struct shs_server *server = NULL;
    struct shs_server_stats stats;
    struct shs_options opt;
    pthread_t thread;
    int fd;

    (void)state;
    server_lab_defaults(&opt);
    opt.stop_ms = 300;
    opt.close_ms = CLOSE_MS; /* of which it needs nothing: it leaves when it is cut */
    opt.idle_ms = 2 * CLOSE_MS;
    assert_int_equal(shs_tcp_server_new(&server, &opt, &cls, NULL), SHS_OK);
    assert_int_equal(shs_threading_mixin_push(server, NULL), SHS_OK);
    assert_int_equal(shs_server_bind_and_activate(server, NULL), SHS_OK);
    assert_int_equal(pthread_create(&thread, NULL, loopback_serve, server), 0);
    fd = loopback_dial(shs_server_port(server));
    sst_wait_until(stubborn);
    assert_int_equal(shs_shutdown_wait(server, (unsigned)patience_ms()), SHS_OK);
    pthread_join(thread, NULL);
    stopwatch_start();
    assert_int_equal(shs_server_close(server), SHS_OK);
    assert_true(stopwatch_between(300, 300 + 1000));
    stopwatch_stop();
    shs_server_get_stats(server, &stats);
    assert_int_equal(stats.threads, 0);
    close(fd);
    shs_server_free(server);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_no_lingering_for_who_stays),
        cmocka_unit_test(test_who_lingers_is_ended),
        cmocka_unit_test(test_what_waits_ends_with_the_pool),
        cmocka_unit_test(test_close_wakes_silent_clients),
        cmocka_unit_test(test_close_cuts_who_is_busy_after_the_grace),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
