/*
 * test_thread_pool.c - who waits holds no thread, who blocks delays nobody, and it all ends.
 *
 *   test_thread_pool          everything, with 1,000 turns of start and stop
 *   test_thread_pool 10000    as many turns, and nothing else
 */
#include "pool_lab.h"

#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static void test_layers_see_every_connection_once(void **state)
{
    struct shs_options opt;
    struct pool_fixture f;

    (void)state;
    pool_defaults(&opt);
    pool_start(&f, &opt);
    assert_string_equal(
        shs_server_describe(f.server),
        "FakeMixIn > ThreadPoolMixIn > FakeMixIn > HTTPServer > TCPServer > BaseServer");
    for (unsigned i = 0; i < 20; i++) {
        int fd = pool_dial(&f);

        pool_assert_served(fd, "/one");
        pool_assert_served(fd, "/two");
        close(fd);
    }
    pool_finish(&f);
    assert_int_equal(f.above.process, 20);
    assert_int_equal(f.below.process, 0); /* overridden */
    assert_int_equal(f.above.finish, 20);
    assert_int_equal(f.below.finish, 20);
    assert_int_equal(f.below.server_close, 1);
}

#define MANY 300
/* Two workers and the monitor; and a few more, because on a busy machine a worker that waits for a
   page or a lock is taken for blocked, and another one begins. */
#define FEW (MANY / 10)
static void test_parked_connections_hold_no_thread(void **state)
{
    struct shs_options opt;
    struct pool_fixture f;
    int fds[MANY];
    int64_t began;

    (void)state;
    pool_defaults(&opt);
    opt.handshake_ms = opt.head_ms = opt.idle_ms = 600000;
    pool_start(&f, &opt);
    for (unsigned i = 0; i < MANY; i++) {
        fds[i] = pool_dial(&f);
        if (i % 3 == 0)
            pool_assert_served(fds[i], "/"); /* idle now */
        else if (i % 3 == 1)
            loopback_say(fds[i], "GET / HTTP/1.1\r\nHo"); /* half a head; the rest are silent */
    }
    assert_true(pool_threads_of(&f) <= FEW);
    for (unsigned i = 0; i < MANY; i++) {
        if (i % 3 == 1)
            loopback_say(fds[i], "st: a\r\n\r\n");
        else
            loopback_ask(fds[i], "/");
        assert_true(loopback_hears(fds[i], "200 OK"));
    }
    assert_true(pool_threads_of(&f) <= FEW);
    began = shs_now_ns();
    pool_stop_loop(&f);
    assert_int_equal(shs_server_close(f.server), SHS_OK);
    /* idle ones end at once, not after stop_ms */
    assert_true(pool_ms_since(began) < opt.stop_ms / 2);
    shs_server_free(f.server);
    for (unsigned i = 0; i < MANY; i++)
        close(fds[i]);
}

static void test_blocked_handlers_delay_nobody(void **state)
{
    struct shs_options opt;
    struct pool_fixture f;
    int blocked[6], fd;

    (void)state;
    pool_defaults(&opt);
    opt.threads = 1;
    opt.max_threads = 8;
    opt.spare_ms = 50;
    pool_start(&f, &opt);
    pool_set_gate(true);
    for (unsigned i = 0; i < 6; i++) {
        blocked[i] = pool_dial(&f);
        loopback_ask(blocked[i], "/block");
    }
    pool_wait_at_gate(6);
    fd = pool_dial(&f);
    stopwatch_start();
    for (unsigned i = 0; i < 20; i++)
        pool_assert_served(fd, "/quick");
    assert_true(stopwatch_between(0, 2000));
    stopwatch_stop();
    assert_true(pool_threads_of(&f) >= 8); /* six blocked, one that works, the monitor */
    pool_set_gate(false);
    for (unsigned i = 0; i < 6; i++) {
        assert_true(loopback_hears(blocked[i], "/block"));
        close(blocked[i]);
    }
    assert_true(pool_becomes_threads(&f, 2)); /* the spare ones leave */
    pool_assert_served(fd, "/quick");
    close(fd);
    pool_finish(&f);
}

/* What was fetched together with a request whose handler blocks is done by somebody else. */
static void test_a_blocked_worker_gives_its_batch_away(void **state)
{
    struct shs_options opt;
    struct pool_fixture f;
    int fds[12];

    (void)state;
    pool_defaults(&opt);
    opt.threads = 1;
    pool_start(&f, &opt);
    for (unsigned turn = 0; turn < 20; turn++) {
        for (unsigned i = 0; i < 12; i++)
            fds[i] = pool_dial(&f);
        pool_set_gate(true);
        for (unsigned i = 0; i < 12; i++)
            loopback_ask(fds[i], i % 4 == 0 ? "/block" : "/other");
        for (unsigned i = 0; i < 12; i++) {
            if (i % 4 != 0)
                assert_true(loopback_hears(fds[i], "/other"));
        }
        pool_set_gate(false);
        for (unsigned i = 0; i < 12; i++) {
            if (i % 4 == 0)
                assert_true(loopback_hears(fds[i], "/block"));
            close(fds[i]);
        }
    }
    pool_finish(&f);
}

static void test_a_handler_that_reads_slowly_delays_nobody(void **state)
{
    static char body[200000];
    struct shs_options opt;
    struct pool_fixture f;
    int slow[4], fd;

    (void)state;
    pool_defaults(&opt);
    opt.threads = 1;
    memset(body, 'x', sizeof body);
    pool_start(&f, &opt);
    for (unsigned i = 0; i < 4; i++) { /* more than is buffered: the handler reads it */
        slow[i] = pool_dial(&f);
        loopback_say(slow[i], "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 200000\r\n\r\nxxx");
    }
    fd = pool_dial(&f);
    for (unsigned i = 0; i < 10; i++)
        pool_assert_served(fd, "/quick");
    for (unsigned i = 0; i < 4; i++) {
        assert_int_equal(send(slow[i], body, 199997, MSG_NOSIGNAL), 199997);
        assert_true(loopback_hears(slow[i], "200000"));
        close(slow[i]);
    }
    close(fd);
    pool_finish(&f);
}

static void test_resize_while_it_serves(void **state)
{
    struct shs_options opt;
    struct pool_fixture f;
    int fd;

    (void)state;
    pool_defaults(&opt);
    opt.spare_ms = 20;
    pool_start(&f, &opt);
    fd = pool_dial(&f);
    pool_assert_served(fd, "/");
    assert_true(pool_becomes_threads(&f, 3));
    assert_int_equal(shs_thread_pool_resize(f.server, 6, 10), SHS_OK);
    assert_true(pool_becomes_threads(&f, 7));
    pool_assert_served(fd, "/");
    assert_int_equal(shs_thread_pool_resize(f.server, 1, 10), SHS_OK);
    assert_true(pool_becomes_threads(&f, 2));
    pool_assert_served(fd, "/");
    assert_int_equal(shs_thread_pool_resize(f.server, 4, 3), SHS_USAGE);
    close(fd);
    pool_finish(&f);
}

static void test_groups(void **state)
{
    struct shs_options opt;
    struct pool_fixture f;
    int fds[32];

    (void)state;
    pool_defaults(&opt);
    opt.threads = 4;
    opt.thread_groups = 2;
    opt.spare_ms = 20; /* a busy machine may have more of them for a moment */
    pool_start(&f, &opt);
    for (unsigned i = 0; i < 32; i++)
        fds[i] = pool_dial(&f);
    for (unsigned turn = 0; turn < 3; turn++) {
        for (unsigned i = 0; i < 32; i++)
            pool_assert_served(fds[i], "/");
    }
    assert_true(pool_becomes_threads(&f, 5));
    for (unsigned i = 0; i < 32; i++)
        close(fds[i]);
    pool_finish(&f);
}

static void test_a_handler_that_does_not_return_is_left_behind(void **state)
{
    struct shs_options opt;
    struct pool_fixture f;
    int fd, idle;

    (void)state;
    pool_defaults(&opt);
    opt.stop_ms = 100;
    opt.close_ms = 100;
    pool_start(&f, &opt);
    pool_set_gate(true);
    fd = pool_dial(&f);
    idle = pool_dial(&f);
    pool_assert_served(idle, "/");
    loopback_ask(fd, "/block");
    pool_wait_at_gate(1);
    pool_stop_loop(&f);
    stopwatch_start();
    assert_int_equal(shs_server_close(f.server), SHS_TIMEOUT);
    assert_true(stopwatch_between(100, 100 + 100 + 1000));
    stopwatch_stop();
    shs_server_free(f.server);
    assert_int_equal(f.above.freed, 0); /* the handler still uses it */
    pool_set_gate(false);
    for (int i = 0; i < patience_ms() && f.below.freed == 0; i++) /* the last one of this frame */
        poll(NULL, 0, 1);
    assert_int_equal(f.above.freed, 1);
    assert_int_equal(f.below.freed, 1);
    close(fd);
    close(idle);
}

static void test_serving_again(void **state)
{
    struct shs_options opt;
    struct pool_fixture f;
    int fd;

    (void)state;
    pool_defaults(&opt);
    pool_start(&f, &opt);
    fd = pool_dial(&f);
    for (unsigned i = 0; i < 5; i++) {
        pool_assert_served(fd, "/kept");
        pool_stop_loop(&f);
        pool_assert_served(fd, "/also-while-nobody-accepts");
        pool_serve_again(&f);
    }
    close(fd);
    pool_finish(&f);
}

static unsigned turns = 1000;

static void test_start_stop(void **state)
{
    struct shs_options opt;

    (void)state;
    pool_defaults(&opt);
    for (unsigned i = 0; i < turns; i++) {
        struct pool_fixture f;
        int fd, idle;

        pool_start(&f, &opt);
        idle = pool_dial(&f);
        fd = pool_dial(&f);
        if (i % 2 == 0)
            pool_assert_served(fd, "/");
        else
            loopback_ask(fd, "/"); /* perhaps in flight when it ends */
        if (i % 3 == 0)
            close(fd);
        pool_stop_loop(&f);
        shs_server_free(f.server);
        assert_int_equal(f.above.freed, 1);
        assert_int_equal(f.above.close, f.above.process);
        if (i % 3 != 0)
            close(fd);
        close(idle);
    }
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_layers_see_every_connection_once),
        cmocka_unit_test(test_parked_connections_hold_no_thread),
        cmocka_unit_test(test_blocked_handlers_delay_nobody),
        cmocka_unit_test(test_a_blocked_worker_gives_its_batch_away),
        cmocka_unit_test(test_a_handler_that_reads_slowly_delays_nobody),
        cmocka_unit_test(test_resize_while_it_serves),
        cmocka_unit_test(test_groups),
        cmocka_unit_test(test_a_handler_that_does_not_return_is_left_behind),
        cmocka_unit_test(test_serving_again),
        cmocka_unit_test(test_start_stop),
    };
    const struct CMUnitTest loop[] = {cmocka_unit_test(test_start_stop)};

    if (argc > 1) {
        turns = (unsigned)strtoul(argv[1], NULL, 10);
        return cmocka_run_group_tests(loop, NULL, NULL);
    }
    return cmocka_run_group_tests(tests, NULL, NULL);
}
