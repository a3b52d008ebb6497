/*
 * test_server_close.c - server_close and connections that end while it waits.
 */
#include "pool_lab.h"

#include <poll.h>
#include <string.h>
#include <unistd.h>

#define CLOSE_MS 4000

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
    opt.stop_ms = 10000;
    opt.close_ms = CLOSE_MS;
    pool_start_with(&f, &opt, push);
    pool_set_gate(true);
    fd = pool_dial(&f);
    pool_say(fd, request);
    pool_wait_at_gate(1);
    pool_stop_loop(&f);
    assert_int_equal(pthread_create(&closer, NULL, close_server, f.server), 0);
    while (!shs_server_stopping(f.server))
        poll(NULL, 0, 1);
    poll(NULL, 0, 50); /* it waits for the handler */
    pool_set_gate(false);
    opened = shs_now_ns();
    assert_true(pool_hears(fd, answer)); /* whole, although there may be input that nobody read */
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
    opt.stop_ms = 10000;
    opt.close_ms = CLOSE_MS;
    pool_start_with(&f, &opt, push);
    fd = pool_dial(&f);
    pool_say(fd, "GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\nmore");
    assert_true(pool_hears(fd, "200 OK"));
    assert_string_equal(pool_hear(fd), "");
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
        pool_say(half[i], "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 100\r\n\r\nxxx");
    }
    stuck = pool_dial(&f);
    pool_assert_served(stuck, "/after-them");
    pool_ask(stuck, "/block");
    pool_wait_at_gate(1);
    pool_stop_loop(&f);
    assert_int_equal(shs_server_close(f.server), SHS_TIMEOUT);
    shs_server_free(f.server);
    for (unsigned i = 0; i < HALF; i++) {
        assert_true(pool_hear(half[i])[0] != 'H');
        close(half[i]);
    }
    pool_set_gate(false);
    for (unsigned i = 0; i < 2000 && f.below.freed == 0; i++)
        poll(NULL, 0, 5);
    assert_int_equal(f.below.freed, 1);
    close(stuck);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_no_lingering_for_who_stays),
        cmocka_unit_test(test_who_lingers_is_ended),
        cmocka_unit_test(test_what_waits_ends_with_the_pool),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
