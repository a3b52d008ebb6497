/*
 * test_socketserver_base.c - S2 to S23, BaseServer: the loop and what it calls. Some of the lines
 * are in test_server.c.
 */
#include "socketserver_support.h"

#include <errno.h>
#include <netinet/in.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/time.h>
#include <unistd.h>

#include "server/server.h"

/* A server bound, not served, with a spy on top. */
static void make(struct sst_server *s, struct sst_spy *spy, struct shs_options *opt,
                 const struct shs_request_handler_class *handler)
{
    struct shs_error err;

    assert_int_equal(sst_tcp_server_new(&s->server, opt, handler, &err), SHS_OK);
    sst_spy_push(spy, s->server);
}

/* The mixin's overrides win over the server's, whatever lies between. */
static void test_S2_mixin_overrides_win(void **state)
{
    int (*const push[2])(struct shs_server *, struct shs_error *) = {shs_threading_mixin_push,
                                                                     shs_forking_mixin_push};

    (void)state;
    if (!sst_composed("none")) /* it pushes its own: a server has one of them */
        skip();
    for (int i = 0; i < 2; i++) {
        struct sst_spy below;
        struct sst_server s;
        struct shs_options opt;
        struct shs_error err;

        sst_options(&opt, NULL, NULL);
        make(&s, &below, &opt, &sst_stream_echo.base);
        assert_int_equal(push[i](s.server, &err), SHS_OK);
        sst_serve(&s);
        sst_ask(&s, NULL, "x\n", "x\n");
        assert_int_equal(shs_shutdown_wait(s.server, (unsigned)patience_ms()), SHS_OK);
        assert_int_equal(sst_join(&s), SHS_OK);
        shs_server_handle_timeout(s.server);
        assert_int_equal(shs_server_close(s.server), SHS_OK);
        assert_int_equal(below.processes, 0); /* the mixin's instead */
        assert_int_equal(below.closes, 1);    /* the mixin's, which calls super */
        assert_int_equal(below.timeouts, 1);
        assert_true(below.services > 0); /* every layer's */
        shs_server_free(s.server);
    }
}

static void test_S3_constructor_does_no_io(void **state)
{
    struct shs_server *server = NULL;
    struct shs_options opt;

    (void)state;
    shs_options_init(&opt);
    opt.bind_and_activate = false;
    opt.host = "no.such.host.invalid"; /* nobody asks for it */
    opt.port = "8765";
    assert_int_equal(sst_tcp_server_new(&server, &opt, &sst_echo, NULL), SHS_OK);
    assert_int_equal(shs_server_fileno(server), -1);
    assert_int_equal(shs_server_port(server), 0);
    assert_string_equal(shs_server_host(server), "");
    assert_string_equal(shs_server_options(server)->port, "8765");
    assert_ptr_equal(server->handler_class, &sst_echo);
    assert_false(atomic_load(&server->shutdown_requested));
    assert_false(shs_server_stopping(server));
    shs_server_free(server);
}

static void test_S4_serve_forever_ignores_timeout(void **state)
{
    struct sst_spy spy;
    struct sst_server s;
    struct shs_options opt;

    (void)state;
    sst_options(&opt, NULL, NULL);
    opt.timeout_ms = 10;
    opt.poll_interval_ms = 20;
    make(&s, &spy, &opt, &sst_stream_echo.base);
    sst_serve(&s);
    sst_wait_until(spy.services >= 5); /* five turns of 20 ms */
    assert_int_equal(spy.timeouts, 0);
    sst_ask(&s, NULL, "still here\n", "still here\n");
    sst_stop(&s);
}

/* How often it was called before each request. */
static struct sst_spy *watched;
static _Atomic unsigned services_before[5], watched_requests;

static int watching_handle(struct shs_request_handler *self)
{
    (void)self;
    services_before[watched_requests++] = watched->services;
    return SHS_OK;
}

static const struct shs_request_handler_class watching = {
    .name = "watching",
    .instance_size = sizeof(struct shs_request_handler),
    .handle = watching_handle,
};

static void test_S5_service_actions_between_two_requests(void **state)
{
    struct sst_server s;
    struct shs_options opt;
    struct sst_spy spy;
    int fds[5];

    (void)state;
    SST_ONLY(sst_composed("none")); /* others hand them on, many in a turn */
    shs_options_init(&opt);
    make(&s, &spy, &opt, &watching);
    watched = &spy;
    watched_requests = 0;
    for (unsigned i = 0; i < SHS_ARRAY_LEN(fds); i++) {
        fds[i] = sst_dial(&s, NULL);
        shutdown(fds[i], SHUT_WR);
    }
    sst_serve(&s);
    sst_wait_until(watched_requests == SHS_ARRAY_LEN(fds));
    sst_stop(&s);
    for (unsigned i = 0; i < SHS_ARRAY_LEN(fds); i++) {
        assert_true(services_before[i] >= i);
        close(fds[i]);
    }
}

static void test_S5_service_actions_each_turn(void **state)
{
    int64_t before = shs_now_ns();
    struct sst_spy spy;
    struct sst_server s;
    struct shs_options opt;
    unsigned seen;

    (void)state;
    sst_options(&opt, NULL, NULL);
    opt.poll_interval_ms = 10;
    make(&s, &spy, &opt, &sst_stream_echo.base);
    sst_serve(&s);
    sst_wait_until(spy.services >= 10); /* nobody has connected */
    assert_true(shs_now_ns() - before >= 90 * (int64_t)SHS_NS_PER_MS);
    sst_ask(&s, NULL, "x\n", "x\n");
    seen = spy.services;
    sst_wait_until(spy.services > seen);
    sst_stop(&s);
}

/* Shutdown while the poll waits, and a request becomes ready at the same moment. */
static void test_S6_no_request_after_shutdown(void **state)
{
    struct sst_spy spy;
    struct sst_server s;
    struct shs_options opt;
    int fd;

    (void)state;
    SST_ONLY(!sst_composed("fork"));
    sst_options(&opt, NULL, NULL);
    opt.poll_interval_ms = 120000;
    make(&s, &spy, &opt, &sst_stream_echo.base);
    sst_serve(&s);
    sst_ask(&s, NULL, "it serves\n", "it serves\n");
    sst_wait_until(spy.services == 1);
    usleep(20000); /* most likely it waits again; it must not matter */
    atomic_store(&s.server->shutdown_requested, true); /* shs_shutdown, before it wakes the loop */
    fd = sst_dial(&s, NULL);                           /* this wakes it */
    assert_int_equal(sst_join(&s), SHS_OK);
    /* What runs beside the loop may have something left to do; another request is not among it. */
    assert_true(sst_spy_becomes(&spy, "get verify process finish shutdown close"));
    close(fd);
    shs_server_free(s.server);
}

static _Atomic int slow_done;
static _Atomic bool slow_may_go;

static int slow_handle(struct shs_request_handler *self)
{
    (void)self;
    for (unsigned i = 0; i < SST_PAUSES && !slow_may_go; i++)
        sst_pause();
    usleep(50000); /* whoever waits for it is waiting by now */
    slow_done = 1;
    return SHS_OK;
}

static const struct shs_request_handler_class slow_class = {
    .name = "Slow", .instance_size = sizeof(struct shs_request_handler), .handle = slow_handle};

static void test_S7_shutdown_blocks_until_the_loop_ends(void **state)
{
    struct sst_spy spy;
    struct sst_server s;
    struct shs_options opt;
    int fd;

    (void)state;
    SST_ONLY(sst_composed("none"));
    sst_options(&opt, NULL, NULL);
    make(&s, &spy, &opt, &slow_class);
    sst_serve(&s);
    fd = sst_dial(&s, NULL);
    sst_wait_until(spy.processes == 1);
    assert_int_equal(shs_shutdown_wait(s.server, 20), SHS_TIMEOUT); /* the handler is in the way */
    assert_int_equal(slow_done, 0);
    slow_may_go = true;
    assert_int_equal(shs_shutdown_wait(s.server, (unsigned)patience_ms()), SHS_OK);
    assert_int_equal(slow_done, 1);
    assert_false(atomic_load(&s.server->serving));
    assert_int_equal(sst_join(&s), SHS_OK);
    close(fd);
    shs_server_free(s.server);
}

static void on_alarm(int number)
{
    (void)number;
}

/* At most one request; a limit on the monotonic clock that signals do not prolong or shorten. */
static void test_S11_handle_request_serves_one(void **state)
{
    struct itimerval often = {{0, 5000}, {0, 5000}}, never = {{0, 0}, {0, 0}};
    struct sigaction action = {.sa_handler = on_alarm}, before;
    int64_t start, took;
    struct sst_spy spy;
    struct sst_server s;
    struct shs_options opt;
    int one, two;

    (void)state;
    sst_options(&opt, NULL, NULL);
    opt.timeout_ms = 200;
    make(&s, &spy, &opt, &sst_stream_echo.base);
    one = sst_dial(&s, NULL);
    two = sst_dial(&s, NULL);
    sst_say(one, "1\n", 2);
    sst_say(two, "2\n", 2);
    shutdown(one, SHUT_WR);
    shutdown(two, SHUT_WR);
    for (unsigned i = 0; i < 2; i++) {
        sst_await_request(&s);
        assert_int_equal(shs_handle_request(s.server), SHS_OK);
        assert_int_equal(spy.processes, i + 1);
    }
    close(one);
    close(two);

    sigaction(SIGALRM, &action, &before);
    setitimer(ITIMER_REAL, &often, NULL);
    start = shs_now_ns();
    assert_int_equal(shs_handle_request(s.server), SHS_OK);
    took = shs_now_ns() - start;
    setitimer(ITIMER_REAL, &never, NULL);
    sigaction(SIGALRM, &before, NULL);
    assert_int_equal(spy.processes, 2);
    assert_int_equal(spy.timeouts, 1);
    assert_true(took >= 200 * (int64_t)SHS_NS_PER_MS);
    /* One that begins again at each signal would never be over. */
    assert_true(took < patience_ms() * (int64_t)SHS_NS_PER_MS);
    shs_server_free(s.server);
}

static void test_S13_failed_get_request_is_counted(void **state)
{
    struct shs_server_stats stats;
    struct sst_log log;
    struct sst_spy spy;
    struct sst_server s;
    struct shs_options opt;

    (void)state;
    sst_options(&opt, NULL, NULL);
    sst_log_init(&log, &opt);
    make(&s, &spy, &opt, &sst_stream_echo.base);
    spy.fail_get = true;
    sst_serve(&s);
    sst_ask(&s, NULL, "goes on\n", "goes on\n");
    shs_server_get_stats(s.server, &stats);
    assert_int_equal(stats.accept_errors, 1);
    assert_int_equal(stats.accepted, 1);
    assert_int_equal(spy.errors, 0); /* nobody's request failed */
    assert_true(sst_log_has(&log, "lost before it began"));
    sst_stop(&s);
}

static void test_S15_verify_request_accepts(void **state)
{
    struct sst_spy spy;
    struct sst_server s;
    struct shs_options opt;

    (void)state;
    sst_options(&opt, NULL, NULL);
    make(&s, &spy, &opt, &sst_stream_echo.base);
    sst_serve(&s);
    sst_ask(&s, NULL, "x\n", "x\n");
    assert_true(spy.super_said);
    sst_stop(&s);
}

static pthread_t handler_thread;

static int note_thread(struct shs_request_handler *self)
{
    handler_thread = pthread_self();
    return shs_conn_write(self->request, "x", 1);
}

static void test_S18_default_process_request(void **state)
{
    static const struct shs_request_handler_class cls = {
        .name = "Note", .instance_size = sizeof(struct shs_request_handler), .handle = note_thread};
    struct sst_spy spy;
    struct sst_server s;
    struct shs_options opt;

    (void)state;
    SST_ONLY(sst_composed("none"));
    sst_options(&opt, NULL, NULL);
    make(&s, &spy, &opt, &cls);
    sst_serve(&s);
    sst_ask(&s, NULL, "x", "x");
    assert_int_equal(shs_shutdown_wait(s.server, (unsigned)patience_ms()), SHS_OK);
    assert_true(pthread_equal(handler_thread, s.thread));
    assert_int_equal(sst_join(&s), SHS_OK);
    assert_true(sst_spy_is(&spy, "get verify process finish shutdown close"));
    shs_server_free(s.server);
}

struct seen {
    const struct shs_request_handler_class *cls;
    struct shs_server *server;
    char host[64];
    unsigned port;
    bool server_is_conns;
    _Atomic bool done;
};
static struct seen seen;

static int see(struct shs_request_handler *self)
{
    seen.cls = self->cls;
    seen.server = self->server;
    snprintf(seen.host, sizeof seen.host, "%s", shs_conn_client_host(self->request));
    seen.port = shs_conn_client_port(self->request);
    seen.server_is_conns = shs_conn_server(self->request) == self->server;
    seen.done = true;
    return SHS_OK;
}

static void test_S19_finish_request_constructs_the_handler(void **state)
{
    static const struct shs_request_handler_class cls = {
        .name = "See", .instance_size = sizeof(struct shs_request_handler), .handle = see};
    struct sockaddr_in own;
    socklen_t len = sizeof own;
    struct sst_spy spy;
    struct sst_server s;
    struct shs_options opt;
    int fd;

    (void)state;
    SST_ONLY(!sst_composed("fork"));
    sst_options(&opt, NULL, NULL);
    make(&s, &spy, &opt, &cls);
    sst_serve(&s);
    fd = sst_dial(&s, NULL);
    getsockname(fd, (struct sockaddr *)&own, &len);
    sst_wait_until(seen.done);
    assert_ptr_equal(seen.cls, &cls);
    assert_ptr_equal(seen.server, s.server);
    assert_true(seen.server_is_conns);
    assert_string_equal(seen.host, "127.0.0.1");
    assert_int_equal(seen.port, ntohs(own.sin_port));
    close(fd);
    sst_stop(&s);
}

static void test_S20_base_defaults_do_nothing(void **state)
{
    struct shs_server *server = NULL;
    struct shs_options opt;
    struct sst_spy spy;
    struct shs_conn *conn;
    int fd = dup(0);

    (void)state;
    shs_options_init(&opt);
    assert_int_equal(shs__server_new(&server, &opt, &sst_echo, NULL), SHS_OK);
    sst_spy_push(&spy, server);
    conn = shs__conn_new(server, fd, NULL, 0);
    shs__server_add_conn(server, conn);
    shs_server_shutdown_request(server, conn); /* which calls close_request */
    assert_true(sst_spy_is(&spy, "shutdown close"));
    assert_int_equal(close(fd), 0); /* BaseServer did not */
    assert_int_equal(shs_server_activate(server), SHS_OK);
    shs_server_service_actions(server);
    shs_server_handle_timeout(server);
    assert_int_equal(shs_server_close(server), SHS_OK);
    shs_server_free(server);
}

static void test_S21_default_handle_error_says_who_and_why(void **state)
{
    char expected[128];
    struct sockaddr_in own;
    socklen_t len = sizeof own;
    struct sst_log log;
    struct sst_spy spy;
    struct sst_server s;
    struct shs_options opt;
    int fd;

    (void)state;
    SST_ONLY(!sst_composed("fork"));
    sst_options(&opt, NULL, NULL);
    sst_log_init(&log, &opt);
    make(&s, &spy, &opt, &sst_echo);
    sst_serve(&s);
    fd = sst_dial(&s, NULL);
    getsockname(fd, (struct sockaddr *)&own, &len);
    sst_say(fd, "fail", 4);
    sst_wait_until(spy.errors == 1);
    sst_ask(&s, NULL, "on\n", "on\n"); /* and returned */
    snprintf(expected, sizeof expected, "request from 127.0.0.1 port %u failed: %s (SHS_USAGE)\n",
             ntohs(own.sin_port), shs_err_text(SHS_USAGE));
    assert_true(sst_log_has(&log, expected));
    close(fd);
    sst_stop(&s);
}

static void test_S22_free_closes(void **state)
{
    struct shs_server *server = NULL;
    struct shs_options opt;
    unsigned before = sst_descriptors();

    (void)state;
    shs_options_init(&opt);
    assert_int_equal(sst_tcp_server_new(&server, &opt, &sst_echo, NULL), SHS_OK);
    assert_int_equal(shs_server_close(server), SHS_OK);
    assert_int_equal(shs_server_fileno(server), -1);
    shs_server_free(server); /* after close */
    assert_int_equal(sst_tcp_server_new(&server, &opt, &sst_echo, NULL), SHS_OK);
    shs_server_free(server); /* without */
    shs_server_free(NULL);
    assert_int_equal(sst_descriptors(), before);
}

static void test_S23_fileno_for_a_poll_loop(void **state)
{
    struct pollfd p = {.events = POLLIN};
    struct sst_spy spy;
    struct sst_server s;
    struct shs_options opt;
    int fd;

    (void)state;
    sst_options(&opt, NULL, NULL);
    make(&s, &spy, &opt, &sst_stream_echo.base);
    p.fd = shs_server_fileno(s.server);
    assert_int_equal(poll(&p, 1, 0), 0);
    fd = sst_dial(&s, NULL);
    sst_say(fd, "x\n", 2);
    shutdown(fd, SHUT_WR);
    assert_int_equal(poll(&p, 1, patience_ms()), 1);
    assert_int_equal(shs_handle_request(s.server), SHS_OK);
    assert_int_equal(spy.processes, 1);
    assert_int_equal(poll(&p, 1, 0), 0);
    close(fd);
    shs_server_free(s.server);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_S2_mixin_overrides_win),
        cmocka_unit_test(test_S3_constructor_does_no_io),
        cmocka_unit_test(test_S4_serve_forever_ignores_timeout),
        cmocka_unit_test(test_S5_service_actions_each_turn),
        cmocka_unit_test(test_S5_service_actions_between_two_requests),
        cmocka_unit_test(test_S6_no_request_after_shutdown),
        cmocka_unit_test(test_S7_shutdown_blocks_until_the_loop_ends),
        cmocka_unit_test(test_S11_handle_request_serves_one),
        cmocka_unit_test(test_S13_failed_get_request_is_counted),
        cmocka_unit_test(test_S15_verify_request_accepts),
        cmocka_unit_test(test_S18_default_process_request),
        cmocka_unit_test(test_S19_finish_request_constructs_the_handler),
        cmocka_unit_test(test_S20_base_defaults_do_nothing),
        cmocka_unit_test(test_S21_default_handle_error_says_who_and_why),
        cmocka_unit_test(test_S22_free_closes),
        cmocka_unit_test(test_S23_fileno_for_a_poll_loop),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
