/*
 * test_thread_pool_limits.c - deadlines, queues and bounds of ThreadPoolMixIn.
 */
#include "pool_lab.h"

#include <arpa/inet.h>
#include <limits.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "server/thread_pool.h"

#define QUEUE_MS 3000

static void test_saturation_is_said(void **state)
{
    struct shs_options opt;
    struct pool_fixture f;
    int blocked[2], late, fd;
    const char *said;

    (void)state;
    pool_defaults(&opt);
    opt.threads = 1;
    opt.max_threads = 2;
    /* the others are not to be too late, although a machine stands still */
    opt.queue_ms = QUEUE_MS;
    pool_start(&f, &opt);
    pool_set_gate(true);
    for (unsigned i = 0; i < 2; i++) {
        blocked[i] = pool_dial(&f);
        loopback_ask(blocked[i], "/block");
    }
    pool_wait_at_gate(2);
    late = pool_dial(&f);
    stopwatch_start();
    loopback_ask(late, "/late");
    said = loopback_hear(late);
    assert_non_null(strstr(said, "HTTP/1.1 503"));
    assert_non_null(strstr(said, "Retry-After: "));
    assert_true(stopwatch_between(QUEUE_MS, QUEUE_MS + 1000));
    stopwatch_stop();
    fd = pool_dial(&f); /* waits, and is served: there is a worker in time */
    loopback_ask(fd, "/in-time");
    poll(NULL, 0, 50);
    pool_set_gate(false);
    assert_true(loopback_hears(fd, "/in-time"));
    for (unsigned i = 0; i < 2; i++) {
        assert_true(loopback_hears(blocked[i], "/block"));
        close(blocked[i]);
    }
    close(late);
    close(fd);
    pool_finish(&f);
}

/* Handlers that block one after the other: each finds a worker, and all of them leave again. */
static void test_workers_come_and_go(void **state)
{
    struct shs_options opt;
    struct pool_fixture f;
    int blocked[24];

    (void)state;
    pool_defaults(&opt);
    opt.max_threads = 40;
    opt.spare_ms = 50;
    pool_start(&f, &opt);
    pool_set_gate(true);
    for (unsigned i = 0; i < 24; i++) {
        blocked[i] = pool_dial(&f);
        loopback_ask(blocked[i], "/block");
        pool_wait_at_gate(i + 1);
    }
    assert_true(pool_threads_of(&f) >= 24);
    pool_set_gate(false);
    for (unsigned i = 0; i < 24; i++) {
        assert_true(loopback_hears(blocked[i], "/block"));
        close(blocked[i]);
    }
    assert_true(pool_becomes_threads(&f, 3)); /* two, and the monitor */
    pool_finish(&f);
}

static void test_the_queue_has_a_bound(void **state)
{
    struct shs_options opt;
    struct pool_fixture f;
    struct pollfd p[3];
    int blocked;
    unsigned refused = 0;

    (void)state;
    pool_defaults(&opt);
    opt.threads = opt.max_threads = 1;
    opt.queue_ms = 60000;
    opt.max_queue = 1;
    pool_start(&f, &opt);
    pool_set_gate(true);
    blocked = pool_dial(&f);
    loopback_ask(blocked, "/block");
    pool_wait_at_gate(1);
    for (unsigned i = 0; i < 3; i++) {
        p[i] = (struct pollfd){.fd = pool_dial(&f), .events = POLLIN};
        loopback_ask(p[i].fd, "/queued");
    }
    /* Two are told at once, long before queue_ms, and the third waits. */
    while (refused < 2) {
        assert_true(poll(p, 3, patience_ms()) > 0);
        for (unsigned i = 0; i < 3; i++) {
            if (p[i].revents == 0)
                continue;
            assert_true(loopback_hears(p[i].fd, "503"));
            refused++;
            close(p[i].fd);
            p[i].fd = -1; /* poll passes over it */
        }
    }
    assert_int_equal(poll(p, 3, 100), 0);
    pool_set_gate(false);
    for (unsigned i = 0; i < 3; i++) {
        if (p[i].fd >= 0)
            close(p[i].fd);
    }
    assert_true(loopback_hears(blocked, "/block"));
    close(blocked);
    pool_finish(&f);
}

static void test_pipelined_requests_yield(void **state)
{
    struct shs_options opt;
    struct pool_fixture f;
    unsigned answers = 0;
    char got[65536];
    size_t len = 0;
    int fd;

    (void)state;
    pool_defaults(&opt);
    opt.threads = 1;
    opt.max_requests_per_turn = 4;
    pool_start(&f, &opt);
    fd = pool_dial(&f);
    for (unsigned i = 0; i < 200; i++)
        loopback_ask(fd, "/p");
    while (answers < 200) {
        struct pollfd p = {.fd = fd, .events = POLLIN};
        ssize_t n;

        assert_int_equal(poll(&p, 1, patience_ms()), 1);
        n = recv(fd, got + len, sizeof got - 1 - len, 0);
        assert_true(n > 0);
        len += (size_t)n;
        got[len] = '\0';
        answers = 0;
        for (const char *at = got; (at = strstr(at, "200 OK")) != NULL; at++)
            answers++;
    }
    close(fd);
    pool_finish(&f);
}

static uint64_t connections_of(const struct pool_fixture *f)
{
    struct shs_server_stats stats;

    shs_server_get_stats(f->server, &stats);
    return stats.connections;
}

static uint64_t refused_addresses_of(const struct pool_fixture *f)
{
    struct shs_server_stats stats;

    shs_server_get_stats(f->server, &stats);
    return stats.refused_addresses;
}

static void test_an_address_has_a_bound(void **state)
{
    struct shs_options opt;
    struct pool_fixture f;
    int fds[3], fourth;

    (void)state;
    pool_defaults(&opt);
    opt.max_connections_per_address = 3;
    pool_start(&f, &opt);
    for (unsigned turn = 0; turn < 3; turn++) {
        assert_int_equal(refused_addresses_of(&f), turn);
        for (unsigned i = 0; i < 3; i++) {
            fds[i] = pool_dial(&f);
            pool_assert_served(fds[i], "/");
        }
        fourth = pool_dial(&f);
        assert_string_equal(loopback_hear(fourth), "");
        close(fourth);
        for (unsigned i = 0; i < 3; i++) {
            loopback_say(fds[i], "GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n");
            while (loopback_hear(fds[i])[0] != '\0')
                continue;
            close(fds[i]);
        }
        for (int i = 0; i < patience_ms() && connections_of(&f) > 0; i++)
            poll(NULL, 0, 1);
        assert_int_equal(connections_of(&f), 0); /* it has been counted by then */
    }
    pool_finish(&f);
}

/* By default, one address of the net has its share; where proxies are there is no bound. */
static void test_an_address_has_its_share(void **state)
{
    static const struct {
        const char *address;
        bool bounded;
    } cases[] = {
        {"127.0.0.1", false},   {"10.255.0.1", false},    {"172.15.0.1", true},
        {"172.16.0.1", false},  {"172.31.9.9", false},    {"172.32.0.1", true},
        {"192.168.1.1", false}, {"192.169.1.1", true},    {"169.254.1.1", false},
        {"198.51.100.7", true}, {"::1", false},           {"fe80::1", false},
        {"fd00::1", false},     {"2001:db8::1", true},    {"::ffff:10.0.0.1", false},
        {"fe00::1", true},      {"::ffff:8.8.8.8", true},
    };
    static struct shs_server server;
    struct shs_conn *conn = calloc(1, sizeof *conn);

    (void)state;
    assert_non_null(conn);
    conn->server = &server;
    shs_options_init(&server.opt);
    for (size_t i = 0; i < SHS_ARRAY_LEN(cases); i++) {
        bool v6 = strchr(cases[i].address, ':') != NULL;

        conn->client.sa.sa_family = v6 ? AF_INET6 : AF_INET;
        assert_int_equal(
            inet_pton(conn->client.sa.sa_family, cases[i].address,
                      v6 ? (void *)&conn->client.in6.sin6_addr : (void *)&conn->client.in.sin_addr),
            1);
        server.opt.max_connections = 10000;
        assert_int_equal(shs__pool_address_bound(conn), cases[i].bounded ? 2500 : UINT_MAX);
        server.opt.max_connections = 10;
        assert_int_equal(shs__pool_address_bound(conn), cases[i].bounded ? 64 : UINT_MAX);
        server.opt.max_connections_per_address = 7; /* who says a number means it */
        assert_int_equal(shs__pool_address_bound(conn), 7);
        server.opt.max_connections_per_address = SHS_ADDRESS_SHARE;
    }
    conn->client.sa.sa_family = AF_UNIX;
    assert_int_equal(shs__pool_address_bound(conn), UINT_MAX);
    free(conn);
}

static void test_deadlines_of_parked_connections(void **state)
{
    struct shs_options opt;
    struct pool_fixture f;
    int silent, half, idle;

    (void)state;
    pool_defaults(&opt);
    opt.head_ms = 1000;
    opt.idle_ms = 3000;
    pool_start(&f, &opt);
    pool_stop_loop(&f);
    silent = pool_dial(&f);
    half = pool_dial_early(&f, "GET / HTTP/1.1\r\n");
    idle = pool_dial_early(&f, "GET /idle HTTP/1.1\r\nHost: a\r\n\r\n");
    stopwatch_start();
    pool_serve_again(&f);
    assert_true(loopback_hears(idle, "/idle"));
    assert_true(loopback_hears(half, "408"));
    assert_true(stopwatch_between(1000, 1000 + 1000));
    assert_string_equal(loopback_hear(silent), "");
    assert_true(stopwatch_between(1000, 1000 + 1000));
    assert_string_equal(loopback_hear(idle), "");
    assert_true(stopwatch_between(3000, 3000 + 1000));
    stopwatch_stop();
    close(silent);
    close(half);
    close(idle);
    pool_finish(&f);
}

/* A deadline that comes nearer while the connection is in the heap for a later one. */
static void test_a_nearer_deadline_counts(void **state)
{
    struct shs_options opt;
    struct pool_fixture f;
    int fd, other[40];
    int64_t began;

    (void)state;
    pool_defaults(&opt);
    opt.idle_ms = 600000;
    opt.handshake_ms = opt.head_ms = 1000;
    pool_start(&f, &opt);
    pool_stop_loop(&f);
    for (unsigned i = 0; i < 40; i++)
        other[i] = pool_dial_early(&f, "GET / HTTP/1.1\r\nHost: a\r\n\r\n");
    fd = pool_dial_early(&f, "GET / HTTP/1.1\r\nHost: a\r\n\r\n");
    pool_serve_again(&f);
    for (unsigned i = 0; i < 40; i++)
        assert_true(loopback_hears(other[i], "200 OK"));
    assert_true(loopback_hears(fd, "200 OK"));
    poll(NULL, 0, 1100); /* the timer of the head has followed to the idle deadline */
    began = shs_now_ns();
    loopback_say(fd, "GET / HT");
    assert_true(loopback_hears(fd, "408"));
    assert_true(pool_ms_since(began) >= 1000); /* and long before idle_ms: it was waited for */
    close(fd);
    for (unsigned i = 0; i < 40; i++) {
        pool_assert_served(other[i], "/");
        close(other[i]);
    }
    pool_finish(&f);
}

/* Each group has a worker, so there are no more groups than there may be workers. */
static void test_groups_keep_to_max_threads(void **state)
{
    struct shs_options opt;
    struct pool_fixture f;
    int fds[24];

    (void)state;
    pool_defaults(&opt);
    opt.threads = 1;
    opt.max_threads = 2;
    opt.thread_groups = 4;
    pool_start(&f, &opt);
    for (unsigned i = 0; i < 24; i++)
        fds[i] = pool_dial(&f);
    for (unsigned i = 0; i < 24; i++)
        pool_assert_served(fds[i], "/nap/100");
    assert_in_range(pool_threads_of(&f), 2, 3);
    for (unsigned i = 0; i < 24; i++)
        close(fds[i]);
    pool_finish(&f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_saturation_is_said),
        cmocka_unit_test(test_workers_come_and_go),
        cmocka_unit_test(test_the_queue_has_a_bound),
        cmocka_unit_test(test_groups_keep_to_max_threads),
        cmocka_unit_test(test_pipelined_requests_yield),
        cmocka_unit_test(test_an_address_has_a_bound),
        cmocka_unit_test(test_an_address_has_its_share),
        cmocka_unit_test(test_deadlines_of_parked_connections),
        cmocka_unit_test(test_a_nearer_deadline_counts),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
