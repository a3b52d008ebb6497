/* test_server_limits.c - how much a server takes on: threads, connections, time, descriptors. */
#include "server_lab.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include "server/server.h"

static void test_S51_threads_are_bounded_and_queue(void **state)
{
    struct shs_server_stats stats;
    struct shs_options opt;
    struct server_lab f;
    int fds[4];

    (void)state;
    server_lab_defaults(&opt);
    opt.max_threads = 2;
    server_lab_start(&f, &opt, true);
    for (int i = 0; i < 4; i++)
        fds[i] = loopback_dial(shs_server_port(f.server)); /* two of them wait in the backlog */
    for (int i = 0; i < patience_ms(); i++) { /* before the first one leaves and makes room */
        shs_server_get_stats(f.server, &stats);
        if (stats.accept_pauses > 0)
            break;
        usleep(1000);
    }
    for (int i = 0; i < 4; i++) {
        loopback_say(fds[i], "ping");
        assert_string_equal(loopback_hear(fds[i]), "ping");
        shs_server_get_stats(f.server, &stats);
        assert_true(stats.threads <= 2);
        close(fds[i]);
    }
    shs_server_get_stats(f.server, &stats);
    assert_true(stats.accept_pauses > 0);
    assert_int_equal(server_lab_stop(&f), SHS_OK);
    shs_server_free(f.server);
}

static void test_max_connections(void **state)
{
    struct shs_options opt;
    struct server_lab f;
    int a, b;

    (void)state;
    server_lab_defaults(&opt);
    opt.max_connections = 1;
    server_lab_start(&f, &opt, true);
    a = loopback_dial(shs_server_port(f.server));
    b = loopback_dial(shs_server_port(f.server));
    loopback_say(a, "one");
    assert_string_equal(loopback_hear(a), "one");
    usleep(60000);
    assert_int_equal(f.above.get, 1);
    close(a);
    loopback_say(b, "two"); /* accepted as soon as the first is gone */
    assert_string_equal(loopback_hear(b), "two");
    close(b);
    assert_int_equal(server_lab_stop(&f), SHS_OK);
    shs_server_free(f.server);
}

static void test_read_deadline(void **state)
{
    struct shs_server_stats stats;
    struct shs_options opt;
    struct server_lab f;
    int fd;

    (void)state;
    server_lab_defaults(&opt);
    opt.idle_ms = 150;
    server_lab_start(&f, &opt, true);
    fd = loopback_dial(shs_server_port(f.server));
    assert_string_equal(loopback_hear(fd), "");
    close(fd);
    assert_int_equal(server_lab_stop(&f), SHS_OK);
    shs_server_close(f.server);
    assert_int_equal(server_lab_result, SHS_TIMEOUT);
    shs_server_get_stats(f.server, &stats);
    assert_int_equal(stats.timeouts, 1);
    assert_int_equal(f.above.error, 1);
    shs_server_free(f.server);
}

static _Atomic int timeouts_handled;

static void count_timeout(struct shs_layer *l)
{
    (void)l;
    timeouts_handled++;
}

static void test_S12_handle_timeout(void **state)
{
    const struct shs_server_ops ops = {.name = "TimeoutMixIn", .handle_timeout = count_timeout};
    struct shs_layer layer;
    struct sst_server s = {.server = NULL};
    struct shs_options opt;
    int64_t before = shs_now_ns();
    int fd;

    (void)state;
    shs_options_init(&opt);
    opt.timeout_ms = 100;
    assert_int_equal(shs_tcp_server_new(&s.server, &opt, &server_lab_echo, NULL), SHS_OK);
    assert_int_equal(shs_server_push(s.server, &layer, &ops), SHS_OK);
    assert_int_equal(shs_handle_request(s.server), SHS_OK);
    assert_int_equal(timeouts_handled, 1);
    assert_true(shs_now_ns() - before >= 100 * (int64_t)SHS_NS_PER_MS);
    fd = loopback_dial(shs_server_port(s.server));
    loopback_say(fd, "ping");
    shutdown(fd, SHUT_WR);
    sst_await_request(&s);
    assert_int_equal(shs_handle_request(s.server), SHS_OK);
    assert_string_equal(loopback_hear(fd), "ping");
    assert_int_equal(timeouts_handled, 1);
    close(fd);
    shs_server_free(s.server);
}

static unsigned open_descriptors(void)
{
    unsigned count = 0;

    for (int fd = 0; fd < 2048; fd++)
        count += dup2(fd, fd) == fd;
    return count;
}

static void test_S25_failed_bind_leaks_nothing(void **state)
{
    struct shs_server *first = NULL, *second = NULL;
    struct shs_options opt;
    struct shs_error err;
    char port[8];
    unsigned before;

    (void)state;
    shs_options_init(&opt);
    assert_int_equal(shs_tcp_server_new(&first, &opt, &server_lab_echo, NULL), SHS_OK);
    snprintf(port, sizeof port, "%u", shs_server_port(first));
    opt.port = port;
    before = open_descriptors();
    for (int i = 0; i < 1024; i++) {
        assert_int_equal(shs_tcp_server_new(&second, &opt, &server_lab_echo, &err), SHS_IO);
        assert_int_equal(err.sys_errno, EADDRINUSE);
    }
    assert_int_equal(open_descriptors(), before);
    assert_non_null(strstr(err.text, port));
    shs_server_free(first);
}

static uint64_t accept_errors(const struct server_lab *f)
{
    struct shs_server_stats stats;

    shs_server_get_stats(f->server, &stats);
    return stats.accept_errors;
}

static void test_out_of_descriptors_backs_off(void **state)
{
    struct rlimit old, low;
    struct shs_options opt;
    struct server_lab f;
    int fds[64], n = 0, a, b;
    int64_t began;

    (void)state;
    server_lab_defaults(&opt);
    server_lab_start(&f, &opt, true);
    a = loopback_dial(shs_server_port(f.server));
    loopback_say(a, "ping");
    assert_string_equal(loopback_hear(a), "ping");
    b = socket(AF_INET, SOCK_STREAM, 0);
    getrlimit(RLIMIT_NOFILE, &old);
    low = old;
    low.rlim_cur = 64;
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &low), 0);
    while (n < 64 && (fds[n] = dup(a)) >= 0)
        n++;
    began = shs_now_ns();
    loopback_connect(b, shs_server_port(f.server));
    loopback_say(b, "late");
    sst_wait_until(accept_errors(&f) > 0);
    usleep(200000);
    /* it backs off, it does not spin: that would be thousands */
    assert_true(accept_errors(&f) < 20 + (uint64_t)((shs_now_ns() - began) / SHS_NS_PER_MS / 10));
    loopback_say(a, "ping"); /* those who are in are served meanwhile */
    assert_string_equal(loopback_hear(a), "ping");
    while (n > 0)
        close(fds[--n]);
    assert_string_equal(loopback_hear(b), "late");
    setrlimit(RLIMIT_NOFILE, &old);
    close(a);
    close(b);
    assert_int_equal(server_lab_stop(&f), SHS_OK);
    shs_server_free(f.server);
}

static void test_S49_threads_do_not_pile_up(void **state)
{
    struct shs_server_stats stats;
    struct shs_options opt;
    struct server_lab f;

    (void)state;
    server_lab_defaults(&opt);
    server_lab_start(&f, &opt, true);
    for (int i = 0; i < 2000; i++) {
        int fd = loopback_dial(shs_server_port(f.server));

        loopback_say(fd, "x");
        assert_string_equal(loopback_hear(fd), "x");
        close(fd);
    }
    for (int i = 0; i < patience_ms(); i++) {
        shs_server_get_stats(f.server, &stats);
        if (stats.threads == 0 && stats.connections == 0)
            break;
        usleep(1000);
    }
    assert_int_equal(stats.threads, 0);
    assert_int_equal(stats.connections, 0);
    assert_int_equal(stats.accepted, 2000);
    assert_int_equal(server_lab_stop(&f), SHS_OK);
    shs_server_free(f.server);
}

/* An address is bound when the name is "" (every interface), IPv4 and IPv6 alike. */
static void test_every_interface(void **state)
{
    struct shs_options opt;
    struct server_lab f;
    int fd;

    (void)state;
    server_lab_defaults(&opt);
    opt.host = "";
    server_lab_start(&f, &opt, true);
    fd = loopback_dial(shs_server_port(f.server));
    loopback_say(fd, "four");
    assert_string_equal(loopback_hear(fd), "four");
    close(fd);
    assert_int_equal(server_lab_stop(&f), SHS_OK);
    shs_server_free(f.server);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_S51_threads_are_bounded_and_queue),
        cmocka_unit_test(test_max_connections),
        cmocka_unit_test(test_read_deadline),
        cmocka_unit_test(test_S12_handle_timeout),
        cmocka_unit_test(test_S25_failed_bind_leaks_nothing),
        cmocka_unit_test(test_out_of_descriptors_backs_off),
        cmocka_unit_test(test_S49_threads_do_not_pile_up),
        cmocka_unit_test(test_every_interface),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
