/*
 * test_drain.c - a server that says that it will end, goes on for a while, and counts.
 */
#include "pool_lab.h"

#include <poll.h>
#include <string.h>
#include <unistd.h>

#include "socketserver_support.h"

#define LONG_MS 600000

static pool_push_fn *const mixins[] = {shs_thread_pool_mixin_push, shs_threading_mixin_push};
#define MIXINS (sizeof mixins / sizeof mixins[0])

static struct shs_drain_receipt receipt_of(struct pool_fixture *f)
{
    struct shs_drain_receipt receipt;

    shs_server_get_receipt(f->server, &receipt);
    return receipt;
}

/* A client reads its answer before the server has counted it. */
#define NOBODY_IS_BUSY(f) sst_wait_until(receipt_of(f).busy == 0)

/* Whether the answer says that the connection ends. */
static bool answer_says_close(int fd)
{
    const char *text;

    loopback_ask(fd, "/a");
    text = loopback_hear(fd);
    assert_non_null(strstr(text, "200 OK"));
    return strstr(text, "\r\nConnection: close\r\n") != NULL;
}

/* In the middle of a request, and without a thread: then so many are. */
static int dial_busy(struct pool_fixture *f, unsigned wanted)
{
    int fd = pool_dial(f);

    loopback_say(fd, "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 100\r\n\r\nxxx");
    sst_wait_until(receipt_of(f).busy == wanted);
    return fd;
}

static void join_loop(struct pool_fixture *f)
{
    void *rc = NULL;

    pthread_join(f->thread, &rc);
    assert_int_equal((intptr_t)rc, SHS_OK);
}

static void test_answers_say_close_and_it_can_be_taken_back(void **state)
{
    (void)state;
    for (size_t i = 0; i < MIXINS; i++) {
        struct shs_options opt;
        struct pool_fixture f;
        int idle, fresh, kept;

        pool_defaults(&opt);
        pool_start_with(&f, &opt, mixins[i]);
        idle = pool_dial(&f);
        assert_false(answer_says_close(idle));
        assert_false(shs_server_draining(f.server));
        assert_int_equal(receipt_of(&f).took_ms, 0);
        NOBODY_IS_BUSY(&f);

        shs_server_drain(f.server, SHS_DRAIN_ENDLESS, SHS_DRAIN_STOP);
        assert_true(shs_server_draining(f.server));
        assert_true(answer_says_close(idle)); /* it is served, for the last time */
        assert_string_equal(loopback_hear(idle), "");
        fresh = pool_dial(&f);
        assert_true(answer_says_close(fresh));
        sst_wait_until(receipt_of(&f).served == 2);
        sst_wait_until(receipt_of(&f).closed >= 1);

        assert_int_equal(shs_server_undrain(f.server), SHS_OK);
        assert_false(shs_server_draining(f.server));
        assert_int_equal(receipt_of(&f).served, 0);
        kept = pool_dial(&f);
        assert_false(answer_says_close(kept));
        assert_false(answer_says_close(kept));
        assert_int_equal(shs_server_undrain(f.server), SHS_OK); /* there is nothing to take back */
        close(idle);
        close(fresh);
        close(kept);
        pool_finish(&f);
    }
}

static void test_the_loop_ends_after_the_grace(void **state)
{
    (void)state;
    for (size_t i = 0; i < MIXINS; i++) {
        struct shs_options opt;
        struct pool_fixture f;
        int64_t began;
        int fd;

        pool_defaults(&opt);
        opt.poll_interval_ms = LONG_MS; /* it looks at the moment, not now and then */
        pool_start_with(&f, &opt, mixins[i]);
        fd = pool_dial(&f);
        assert_false(answer_says_close(fd));
        began = shs_now_ns();
        shs_server_drain(f.server, 200, SHS_DRAIN_STOP);
        shs_server_drain(f.server, LONG_MS, SHS_DRAIN_STOP); /* the earlier moment counts */
        join_loop(&f);
        assert_true(shs_now_ns() - began >= 200 * SHS_NS_PER_MS);
        assert_true(pool_ms_since(began) < patience_ms());
        assert_int_equal(shs_server_undrain(f.server), SHS_STOPPED);
        assert_true(shs_server_draining(f.server));
        assert_int_equal(shs_server_close(f.server), SHS_OK);
        assert_int_equal(receipt_of(&f).closed, 1);
        assert_int_equal(receipt_of(&f).cut, 0);
        assert_true(receipt_of(&f).took_ms >= 200);
        assert_int_equal(shs_server_undrain(f.server), SHS_STOPPED);
        shs_server_free(f.server);
        close(fd);
    }
}

/* A loop that a drain has ended may be begun again, and knows nothing of it. */
static void test_served_again_after_it(void **state)
{
    struct shs_options opt;
    struct pool_fixture f;
    int fd;

    (void)state;
    pool_defaults(&opt);
    pool_start(&f, &opt);
    shs_server_drain(f.server, 0, SHS_DRAIN_STOP);
    join_loop(&f);
    assert_int_equal(pthread_create(&f.thread, NULL, loopback_serve, f.server), 0);
    fd = pool_dial(&f);
    assert_false(answer_says_close(fd));
    close(fd);
    pool_finish(&f);
}

static void test_receipt(void **state)
{
    (void)state;
    for (size_t i = 0; i < MIXINS; i++) {
        struct shs_drain_receipt receipt;
        struct shs_options opt;
        struct pool_fixture f;
        struct sst_log log;
        int idle, busy[2], asks;

        pool_defaults(&opt);
        sst_log_init(&log, &opt);
        pool_start_with(&f, &opt, mixins[i]);
        idle = pool_dial(&f);
        assert_false(answer_says_close(idle));
        NOBODY_IS_BUSY(&f);
        busy[0] = dial_busy(&f, 1);
        busy[1] = dial_busy(&f, 2);
        asks = pool_dial(&f);
        shs_server_drain(f.server, SHS_DRAIN_ENDLESS, SHS_DRAIN_STOP);
        assert_true(answer_says_close(asks));
        sst_wait_until(receipt_of(&f).served == 1);
        sst_wait_until(sst_log_has(&log, "draining: connections are taken; "));
        shs_server_drain(f.server, 0, 100);
        join_loop(&f);
        assert_int_equal(shs_server_close(f.server), SHS_OK);
        receipt = receipt_of(&f);
        assert_int_equal(receipt.served, 1);
        assert_int_equal(receipt.closed, 2);
        assert_int_equal(receipt.cut, 2);
        assert_int_equal(receipt.open, 0);
        assert_int_equal(receipt.busy, 0);
        assert_true(receipt.took_ms >= 100);
        assert_true(sst_log_has(&log, "2 requests were cut off"));
        assert_true(sst_log_has(&log, ": 127.0.0.1 port "));
        shs_server_free(f.server);
        close(idle);
        close(asks);
        close(busy[0]);
        close(busy[1]);
    }
}

static void *close_server(void *server)
{
    return (void *)(intptr_t)shs_server_close(server);
}

/* While server_close waits: what it waits for is said, and it can be told not to. */
static void test_hurried_while_it_closes(void **state)
{
    (void)state;
    for (size_t i = 0; i < MIXINS; i++) {
        struct shs_options opt;
        struct pool_fixture f;
        struct sst_log log;
        pthread_t closer;
        void *rc = NULL;
        int64_t began;
        int busy;

        pool_defaults(&opt);
        opt.stop_ms = opt.body_ms = LONG_MS;
        sst_log_init(&log, &opt);
        pool_start_with(&f, &opt, mixins[i]);
        busy = dial_busy(&f, 1);
        if (i == 0)
            shs_server_drain(f.server, 0, SHS_DRAIN_STOP);
        else /* nor need it have been drained */
            shs_shutdown(f.server);
        join_loop(&f);
        began = shs_now_ns();
        assert_int_equal(pthread_create(&closer, NULL, close_server, f.server), 0);
        sst_wait_until(sst_log_has(&log, "stopping: requests may end, "));
        assert_true(shs_now_ns() - began >= 1000 * SHS_NS_PER_MS);
        shs_server_drain(f.server, 0, 0);
        pthread_join(closer, &rc);
        assert_int_equal((intptr_t)rc, SHS_OK);
        assert_true(pool_ms_since(began) < LONG_MS / 2);
        assert_int_equal(receipt_of(&f).cut, 1);
        shs_server_free(f.server);
        close(busy);
    }
}

/* A handler that does not come back is given up soon when there is no time. */
static void test_hurried_with_a_handler_that_stays(void **state)
{
    struct shs_options opt;
    struct pool_fixture f;
    int fd;

    (void)state;
    pool_defaults(&opt);
    opt.stop_ms = LONG_MS;
    opt.close_ms = 50;
    pool_start(&f, &opt);
    pool_set_gate(true);
    fd = pool_dial(&f);
    loopback_ask(fd, "/block");
    pool_wait_at_gate(1);
    shs_server_drain(f.server, 0, 0);
    join_loop(&f);
    assert_int_equal(shs_server_close(f.server), SHS_TIMEOUT);
    assert_int_equal(receipt_of(&f).cut, 1);
    shs_server_free(f.server);
    pool_set_gate(false);
    sst_wait_until(f.below.freed == 1);
    close(fd);
}

static int no_mixin(struct shs_server *server, struct shs_error *err)
{
    (void)server, (void)err;
    return SHS_OK;
}

/* The serving thread is with a client, and has to see it all the same. */
static void test_one_thread(void **state)
{
    struct shs_options opt;
    struct pool_fixture f;
    int idle, busy;

    (void)state;
    pool_defaults(&opt);
    opt.idle_ms = opt.body_ms = LONG_MS;
    pool_start_with(&f, &opt, no_mixin);
    idle = pool_dial(&f);
    assert_false(answer_says_close(idle));
    shs_server_drain(f.server, 50, SHS_DRAIN_STOP);
    join_loop(&f);
    assert_int_equal(shs_server_close(f.server), SHS_OK);
    assert_int_equal(receipt_of(&f).closed, 1);
    assert_int_equal(receipt_of(&f).cut, 0);
    shs_server_free(f.server);
    close(idle);

    pool_start_with(&f, &opt, no_mixin);
    busy = dial_busy(&f, 1);
    shs_server_drain(f.server, 50, LONG_MS);
    sst_wait_until(f.server->shutdown_requested);
    shs_server_drain(f.server, 0, 0);
    join_loop(&f);
    assert_int_equal(shs_server_close(f.server), SHS_OK);
    assert_int_equal(receipt_of(&f).cut, 1);
    shs_server_free(f.server);
    close(busy);
}

static void test_children(void **state)
{
    struct shs_options opt;
    struct pool_fixture f;
    int idle, busy;

    (void)state;
    pool_defaults(&opt);
    opt.close_ms = 10000;
    pool_start_with(&f, &opt, shs_forking_mixin_push);
    idle = pool_dial(&f);
    assert_false(answer_says_close(idle));
    busy = pool_dial(&f);
    loopback_say(
        busy, "POST / HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 100\r\n\r\n");
    assert_true(loopback_hears(busy, "100 Continue"));
    shs_server_drain(f.server, 0, 300);
    join_loop(&f);
    assert_int_equal(shs_server_close(f.server), SHS_OK);
    assert_int_equal(receipt_of(&f).cut, 1);
    assert_int_equal(receipt_of(&f).closed, 1);
    shs_server_free(f.server);
    close(idle);
    close(busy);
}

/* Whose first client is what it is told to end by. */
struct told_by_a_client {
    struct shs_layer layer;
    unsigned clients;
};

static bool tell(struct shs_layer *l, struct shs_conn *conn)
{
    struct told_by_a_client *self = SHS_CONTAINER_OF(l, struct told_by_a_client, layer);

    (void)conn;
    if (self->clients++ == 0)
        shs_server_drain(l->server, 0, SHS_DRAIN_STOP);
    return false;
}

/* Clients that come without end do not keep it: it looks between two of them. */
static void test_no_client_is_taken_after_it(void **state)
{
    static const struct shs_server_ops ops = {.name = "ToldMixIn", .verify_request = tell};
    pool_push_fn *const push[] = {no_mixin, shs_threading_mixin_push, shs_forking_mixin_push};

    (void)state;
    for (size_t i = 0; i < sizeof push / sizeof push[0]; i++) {
        struct told_by_a_client told = {.clients = 0};
        struct shs_options opt;
        struct pool_fixture f;
        struct shs_error err;
        int fds[8];

        memset(&f, 0, sizeof f);
        pool_defaults(&opt);
        assert_int_equal(shs_http_server_new(&f.server, &opt, &pool_handler, &err), SHS_OK);
        assert_int_equal(push[i](f.server, &err), SHS_OK);
        assert_int_equal(shs_server_push(f.server, &told.layer, &ops), SHS_OK);
        assert_int_equal(shs_server_bind_and_activate(f.server, &err), SHS_OK);
        for (size_t k = 0; k < 8; k++)
            fds[k] = pool_dial(&f);
        assert_int_equal(shs_serve_forever(f.server), SHS_OK);
        assert_int_equal(told.clients, 1);
        shs_server_free(f.server);
        for (size_t k = 0; k < 8; k++)
            close(fds[k]);
    }
}

static void test_readiness_follows(void **state)
{
    struct shs_health *health;
    struct shs_options opt;
    struct pool_fixture f;

    (void)state;
    pool_defaults(&opt);
    pool_start(&f, &opt);
    assert_int_equal(shs_health_new(&health, NULL), SHS_OK);
    assert_int_equal(shs_health_add_server(health, "serving", f.server, NULL), SHS_OK);
    assert_int_equal(shs_health_add_server(health, "serving", f.server, NULL), SHS_USAGE);
    assert_true(shs_health_is_ready(health));
    shs_server_drain(f.server, SHS_DRAIN_ENDLESS, SHS_DRAIN_STOP);
    assert_false(shs_health_is_ready(health));
    assert_int_equal(shs_server_undrain(f.server), SHS_OK);
    assert_true(shs_health_is_ready(health));
    pool_finish(&f);
    shs_health_free(health);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_children), /* before any thread */
        cmocka_unit_test(test_answers_say_close_and_it_can_be_taken_back),
        cmocka_unit_test(test_the_loop_ends_after_the_grace),
        cmocka_unit_test(test_served_again_after_it),
        cmocka_unit_test(test_receipt),
        cmocka_unit_test(test_hurried_while_it_closes),
        cmocka_unit_test(test_hurried_with_a_handler_that_stays),
        cmocka_unit_test(test_one_thread),
        cmocka_unit_test(test_no_client_is_taken_after_it),
        cmocka_unit_test(test_readiness_follows),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
