/*
 * test_thread_pool.c - who waits holds no thread, who blocks delays nobody, and it all ends.
 *
 *   test_thread_pool          everything, with 1,000 turns of start and stop
 *   test_thread_pool 10000    as many turns, and nothing else
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <netinet/in.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include <shs/shs.h>

#include "server/server.h"

/* -- a layer that counts ---------------------------------------------------------------------- */

struct fake_layer {
    struct shs_layer layer;
    _Atomic unsigned process, finished, shutdown, close, server_close, freed;
};

#define FAKE(l) SHS_CONTAINER_OF(l, struct fake_layer, layer)

static int fake_process(struct shs_layer *l, struct shs_conn *conn)
{
    FAKE(l)->process++;
    return shs_super_process_request(l, conn);
}
static int fake_finish(struct shs_layer *l, struct shs_conn *conn)
{
    int rc = shs_super_finish_request(l, conn);

    FAKE(l)->finished += rc <= 0;
    return rc;
}
static void fake_shutdown(struct shs_layer *l, struct shs_conn *conn)
{
    FAKE(l)->shutdown++;
    shs_super_shutdown_request(l, conn);
}
static void fake_close(struct shs_layer *l, struct shs_conn *conn)
{
    FAKE(l)->close++;
    shs_super_close_request(l, conn);
}
static int fake_server_close(struct shs_layer *l)
{
    FAKE(l)->server_close++;
    return shs_super_server_close(l);
}
static void fake_free(struct shs_layer *l)
{
    FAKE(l)->freed++;
}

static const struct shs_server_ops fake_ops = {
    .name = "FakeMixIn",
    .process_request = fake_process,
    .finish_request = fake_finish,
    .shutdown_request = fake_shutdown,
    .close_request = fake_close,
    .server_close = fake_server_close,
    .layer_free = fake_free,
};

/* -- a handler that can be held back ---------------------------------------------------------- */

static struct {
    pthread_mutex_t lock;
    pthread_cond_t changed;
    bool closed;      /* "/block" waits while it is */
    unsigned waiting; /* how many do */
} gate = {PTHREAD_MUTEX_INITIALIZER, PTHREAD_COND_INITIALIZER, false, 0};

static void set_gate(bool closed)
{
    pthread_mutex_lock(&gate.lock);
    gate.closed = closed;
    pthread_cond_broadcast(&gate.changed);
    pthread_mutex_unlock(&gate.lock);
}

static void pass_gate(void)
{
    pthread_mutex_lock(&gate.lock);
    gate.waiting++;
    pthread_cond_broadcast(&gate.changed);
    while (gate.closed)
        pthread_cond_wait(&gate.changed, &gate.lock);
    gate.waiting--;
    pthread_cond_broadcast(&gate.changed);
    pthread_mutex_unlock(&gate.lock);
}

static struct timespec in_seconds(time_t seconds)
{
    struct timespec ts;

    clock_gettime(CLOCK_REALTIME, &ts);
    ts.tv_sec += seconds;
    return ts;
}

static void wait_at_gate(unsigned count)
{
    struct timespec until = in_seconds(20);
    int rc = 0;

    pthread_mutex_lock(&gate.lock);
    while (gate.waiting != count && rc == 0)
        rc = pthread_cond_timedwait(&gate.changed, &gate.lock, &until);
    pthread_mutex_unlock(&gate.lock);
    assert_int_equal(rc, 0);
}

static int answer(struct shs_response *res, struct shs_str text)
{
    SHS_RETURN_IF_ERROR(shs_send_response(res, 200));
    SHS_RETURN_IF_ERROR(shs_end_headers(res));
    return shs_write(res, text.ptr, text.len);
}

static int test_get(struct shs_request *req, struct shs_response *res)
{
    struct shs_str path = shs_request_path(req);

    if (shs__str_eq(path, SHS_STR("/block")))
        pass_gate();
    return answer(res, path);
}

static int test_post(struct shs_request *req, struct shs_response *res)
{
    char buf[8192];
    size_t got = 0, total = 0;

    do {
        SHS_RETURN_IF_ERROR(shs_request_read(req, buf, sizeof buf, &got));
        total += got;
    } while (got > 0);
    snprintf(buf, sizeof buf, "%zu", total);
    return answer(res, shs__str(buf));
}

static const struct shs_http_handler handler = {
    .name = "test", .do_GET = test_get, .do_POST = test_post};

/* -- helpers ---------------------------------------------------------------------------------- */

struct fixture {
    struct shs_server *server;
    struct fake_layer below, above;
    pthread_t thread;
};

static void *serve(void *server)
{
    return (void *)(intptr_t)shs_serve_forever(server);
}

static void defaults(struct shs_options *opt)
{
    shs_options_init(opt);
    opt->bind_and_activate = false;
    opt->poll_interval_ms = 50;
    opt->threads = 2;
    opt->stop_ms = 2000;
    opt->close_ms = 500;
}

static void start(struct fixture *f, const struct shs_options *opt)
{
    struct shs_error err = {.code = SHS_OK};

    memset(f, 0, sizeof *f);
    assert_int_equal(shs_http_server_new(&f->server, opt, &handler, &err), SHS_OK);
    assert_int_equal(shs_server_push(f->server, &f->below.layer, &fake_ops), SHS_OK);
    assert_int_equal(shs_thread_pool_mixin_push(f->server, &err), SHS_OK);
    assert_int_equal(shs_server_push(f->server, &f->above.layer, &fake_ops), SHS_OK);
    assert_int_equal(shs_server_bind_and_activate(f->server, &err), SHS_OK);
    assert_int_equal(pthread_create(&f->thread, NULL, serve, f->server), 0);
}

static void stop_loop(struct fixture *f)
{
    void *rc = NULL;

    assert_int_equal(shs_shutdown_wait(f->server, 5000), SHS_OK);
    pthread_join(f->thread, &rc);
    assert_int_equal((intptr_t)rc, SHS_OK);
}

static void finish(struct fixture *f)
{
    stop_loop(f);
    assert_int_equal(shs_server_close(f->server), SHS_OK);
    shs_server_free(f->server);
    assert_int_equal(f->below.freed, 1);
    assert_int_equal(f->above.freed, 1);
    assert_int_equal(f->above.shutdown, f->above.process);
    assert_int_equal(f->below.shutdown, f->above.process);
    assert_int_equal(f->above.close, f->above.process);
    assert_int_equal(f->below.close, f->above.process);
}

static int dial(const struct fixture *f)
{
    struct sockaddr_in to = {.sin_family = AF_INET};
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

    to.sin_port = htons((uint16_t)shs_server_port(f->server));
    to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    assert_true(fd >= 0);
    assert_int_equal(connect(fd, (struct sockaddr *)&to, sizeof to), 0);
    return fd;
}

static void say(int fd, const char *text)
{
    assert_int_equal(send(fd, text, strlen(text), MSG_NOSIGNAL), (ssize_t)strlen(text));
}

static void ask(int fd, const char *path)
{
    char text[128];

    snprintf(text, sizeof text, "GET %s HTTP/1.1\r\nHost: a\r\n\r\n", path);
    say(fd, text);
}

/* What comes within ten seconds, one read of it; "" at the end of the stream. */
static const char *hear(int fd)
{
    static char buf[4096];
    struct pollfd p = {.fd = fd, .events = POLLIN};
    ssize_t n;

    assert_int_equal(poll(&p, 1, 10000), 1);
    n = recv(fd, buf, sizeof buf - 1, 0);
    buf[n < 0 ? 0 : n] = '\0';
    return n < 0 ? "(reset)" : buf;
}

static bool hears(int fd, const char *text)
{
    return strstr(hear(fd), text) != NULL;
}

static void assert_served(int fd, const char *path)
{
    ask(fd, path);
    assert_true(hears(fd, path));
}

static unsigned threads_of(const struct fixture *f)
{
    struct shs_server_stats stats;

    shs_server_get_stats(f->server, &stats);
    return (unsigned)stats.threads;
}

/* Until it is so, ten seconds at most. */
static bool becomes_threads(const struct fixture *f, unsigned count)
{
    for (unsigned i = 0; i < 2000; i++) {
        if (threads_of(f) == count)
            return true;
        poll(NULL, 0, 5);
    }
    return false;
}

static int64_t ms_since(int64_t then_ns)
{
    return (shs_now_ns() - then_ns) / SHS_NS_PER_MS;
}

/* -- tests ------------------------------------------------------------------------------------ */

static void test_layers_see_every_connection_once(void **state)
{
    struct shs_options opt;
    struct fixture f;

    (void)state;
    defaults(&opt);
    start(&f, &opt);
    assert_string_equal(
        shs_server_describe(f.server),
        "FakeMixIn > ThreadPoolMixIn > FakeMixIn > HTTPServer > TCPServer > BaseServer");
    for (unsigned i = 0; i < 20; i++) {
        int fd = dial(&f);

        assert_served(fd, "/one");
        assert_served(fd, "/two");
        close(fd);
    }
    finish(&f);
    assert_int_equal(f.above.process, 20);
    assert_int_equal(f.below.process, 0); /* overridden */
    assert_int_equal(f.above.finished, 20);
    assert_int_equal(f.below.finished, 20);
    assert_int_equal(f.below.server_close, 1);
}

#define MANY 300

static void test_parked_connections_hold_no_thread(void **state)
{
    struct shs_options opt;
    struct fixture f;
    int fds[MANY];
    int64_t began;

    (void)state;
    defaults(&opt);
    start(&f, &opt);
    for (unsigned i = 0; i < MANY; i++) {
        fds[i] = dial(&f);
        if (i % 3 == 0)
            assert_served(fds[i], "/"); /* idle now */
        else if (i % 3 == 1)
            say(fds[i], "GET / HTTP/1.1\r\nHo"); /* half a head; the rest are silent */
    }
    assert_true(threads_of(&f) <= 3); /* two workers and the monitor */
    for (unsigned i = 0; i < MANY; i++) {
        if (i % 3 == 1)
            say(fds[i], "st: a\r\n\r\n");
        else
            ask(fds[i], "/");
        assert_true(hears(fds[i], "200 OK"));
    }
    assert_true(threads_of(&f) <= 3);
    began = shs_now_ns();
    stop_loop(&f);
    assert_int_equal(shs_server_close(f.server), SHS_OK);
    assert_true(ms_since(began) < 1500); /* idle ones end at once, not after stop_ms */
    shs_server_free(f.server);
    for (unsigned i = 0; i < MANY; i++)
        close(fds[i]);
}

static void test_blocked_handlers_delay_nobody(void **state)
{
    struct shs_options opt;
    struct fixture f;
    int blocked[6], fd;
    int64_t began;

    (void)state;
    defaults(&opt);
    opt.threads = 1;
    opt.max_threads = 8;
    opt.spare_ms = 50;
    start(&f, &opt);
    set_gate(true);
    for (unsigned i = 0; i < 6; i++) {
        blocked[i] = dial(&f);
        ask(blocked[i], "/block");
    }
    wait_at_gate(6);
    fd = dial(&f);
    began = shs_now_ns();
    for (unsigned i = 0; i < 20; i++)
        assert_served(fd, "/quick");
    assert_true(ms_since(began) < 2000);
    assert_true(threads_of(&f) >= 8); /* six blocked, one that works, the monitor */
    set_gate(false);
    for (unsigned i = 0; i < 6; i++) {
        assert_true(hears(blocked[i], "/block"));
        close(blocked[i]);
    }
    assert_true(becomes_threads(&f, 2)); /* the spare ones leave */
    assert_served(fd, "/quick");
    close(fd);
    finish(&f);
}

/* What was fetched together with a request whose handler blocks is done by somebody else. */
static void test_a_blocked_worker_gives_its_batch_away(void **state)
{
    struct shs_options opt;
    struct fixture f;
    int fds[12];

    (void)state;
    defaults(&opt);
    opt.threads = 1;
    start(&f, &opt);
    for (unsigned turn = 0; turn < 20; turn++) {
        for (unsigned i = 0; i < 12; i++)
            fds[i] = dial(&f);
        set_gate(true);
        for (unsigned i = 0; i < 12; i++)
            ask(fds[i], i % 4 == 0 ? "/block" : "/other");
        for (unsigned i = 0; i < 12; i++) {
            if (i % 4 != 0)
                assert_true(hears(fds[i], "/other"));
        }
        set_gate(false);
        for (unsigned i = 0; i < 12; i++) {
            if (i % 4 == 0)
                assert_true(hears(fds[i], "/block"));
            close(fds[i]);
        }
    }
    finish(&f);
}

static void test_a_handler_that_reads_slowly_delays_nobody(void **state)
{
    static char body[200000];
    struct shs_options opt;
    struct fixture f;
    int slow[4], fd;

    (void)state;
    defaults(&opt);
    opt.threads = 1;
    memset(body, 'x', sizeof body);
    start(&f, &opt);
    for (unsigned i = 0; i < 4; i++) { /* more than is buffered: the handler reads it */
        slow[i] = dial(&f);
        say(slow[i], "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 200000\r\n\r\nxxx");
    }
    fd = dial(&f);
    for (unsigned i = 0; i < 10; i++)
        assert_served(fd, "/quick");
    for (unsigned i = 0; i < 4; i++) {
        assert_int_equal(send(slow[i], body, 199997, MSG_NOSIGNAL), 199997);
        assert_true(hears(slow[i], "200000"));
        close(slow[i]);
    }
    close(fd);
    finish(&f);
}

static void test_deadlines_of_parked_connections(void **state)
{
    struct shs_options opt;
    struct fixture f;
    int silent, half, idle;
    int64_t began;

    (void)state;
    defaults(&opt);
    opt.head_ms = 300;
    opt.idle_ms = 700;
    start(&f, &opt);
    began = shs_now_ns();
    silent = dial(&f);
    half = dial(&f);
    idle = dial(&f);
    say(half, "GET / HTTP/1.1\r\n");
    assert_served(idle, "/");
    assert_true(hears(half, "408"));
    assert_true(ms_since(began) >= 250);
    assert_string_equal(hear(silent), "");
    assert_true(ms_since(began) < 650);
    assert_string_equal(hear(idle), "");
    assert_true(ms_since(began) >= 650);
    assert_true(ms_since(began) < 1500);
    close(silent);
    close(half);
    close(idle);
    finish(&f);
}

/* A deadline that comes nearer while the connection is in the heap for a later one. */
static void test_a_nearer_deadline_counts(void **state)
{
    struct shs_options opt;
    struct fixture f;
    int fd, other[40];
    int64_t began;

    (void)state;
    defaults(&opt);
    opt.idle_ms = 20000;
    opt.handshake_ms = opt.head_ms = 200;
    start(&f, &opt);
    for (unsigned i = 0; i < 40; i++) {
        other[i] = dial(&f);
        assert_served(other[i], "/");
    }
    fd = dial(&f);
    assert_served(fd, "/");
    poll(NULL, 0, 300); /* the timer of the head has followed to the idle deadline */
    began = shs_now_ns();
    say(fd, "GET / HT");
    assert_true(hears(fd, "408"));
    assert_true(ms_since(began) >= 150);
    assert_true(ms_since(began) < 2000);
    close(fd);
    for (unsigned i = 0; i < 40; i++) {
        assert_served(other[i], "/");
        close(other[i]);
    }
    finish(&f);
}

static void test_saturation_is_said(void **state)
{
    struct shs_options opt;
    struct fixture f;
    int blocked[2], late, fd;
    const char *said;
    int64_t began;

    (void)state;
    defaults(&opt);
    opt.threads = 1;
    opt.max_threads = 2;
    opt.queue_ms = 200;
    start(&f, &opt);
    set_gate(true);
    for (unsigned i = 0; i < 2; i++) {
        blocked[i] = dial(&f);
        ask(blocked[i], "/block");
    }
    wait_at_gate(2);
    late = dial(&f);
    began = shs_now_ns();
    ask(late, "/late");
    said = hear(late);
    assert_non_null(strstr(said, "HTTP/1.1 503"));
    assert_non_null(strstr(said, "Retry-After: "));
    assert_true(ms_since(began) >= 190);
    assert_true(ms_since(began) < 2000);
    fd = dial(&f); /* waits, and is served: there is a worker in time */
    ask(fd, "/in-time");
    poll(NULL, 0, 50);
    set_gate(false);
    assert_true(hears(fd, "/in-time"));
    for (unsigned i = 0; i < 2; i++) {
        assert_true(hears(blocked[i], "/block"));
        close(blocked[i]);
    }
    close(late);
    close(fd);
    finish(&f);
}

static void test_the_queue_has_a_bound(void **state)
{
    struct shs_options opt;
    struct fixture f;
    int blocked, fds[3];
    unsigned refused = 0;
    int64_t began;

    (void)state;
    defaults(&opt);
    opt.threads = opt.max_threads = 1;
    opt.queue_ms = 60000;
    opt.max_queue = 1;
    start(&f, &opt);
    set_gate(true);
    blocked = dial(&f);
    ask(blocked, "/block");
    wait_at_gate(1);
    began = shs_now_ns();
    for (unsigned i = 0; i < 3; i++) {
        fds[i] = dial(&f);
        ask(fds[i], "/queued");
    }
    for (unsigned i = 0; i < 3; i++) {
        struct pollfd p = {.fd = fds[i], .events = POLLIN};

        poll(&p, 1, 1000);
        refused += p.revents != 0 && hears(fds[i], "503");
    }
    assert_int_equal(refused, 2);
    assert_true(ms_since(began) < 5000);
    set_gate(false);
    for (unsigned i = 0; i < 3; i++)
        close(fds[i]);
    assert_true(hears(blocked, "/block"));
    close(blocked);
    finish(&f);
}

static void test_pipelined_requests_yield(void **state)
{
    struct shs_options opt;
    struct fixture f;
    unsigned answers = 0;
    char got[65536];
    size_t len = 0;
    int fd;

    (void)state;
    defaults(&opt);
    opt.threads = 1;
    opt.max_requests_per_turn = 4;
    start(&f, &opt);
    fd = dial(&f);
    for (unsigned i = 0; i < 200; i++)
        ask(fd, "/p");
    while (answers < 200) {
        struct pollfd p = {.fd = fd, .events = POLLIN};
        ssize_t n;

        assert_int_equal(poll(&p, 1, 10000), 1);
        n = recv(fd, got + len, sizeof got - 1 - len, 0);
        assert_true(n > 0);
        len += (size_t)n;
        got[len] = '\0';
        answers = 0;
        for (const char *at = got; (at = strstr(at, "200 OK")) != NULL; at++)
            answers++;
    }
    close(fd);
    finish(&f);
}

static void test_an_address_has_a_bound(void **state)
{
    struct shs_options opt;
    struct fixture f;
    int fds[3], fourth;

    (void)state;
    defaults(&opt);
    opt.max_connections_per_address = 3;
    start(&f, &opt);
    for (unsigned turn = 0; turn < 3; turn++) {
        for (unsigned i = 0; i < 3; i++) {
            fds[i] = dial(&f);
            assert_served(fds[i], "/");
        }
        fourth = dial(&f);
        assert_string_equal(hear(fourth), "");
        close(fourth);
        for (unsigned i = 0; i < 3; i++) { /* the server closes: when that is seen, it is counted */
            say(fds[i], "GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n");
            while (hear(fds[i])[0] != '\0')
                continue;
            close(fds[i]);
        }
        poll(NULL, 0, 50);
    }
    finish(&f);
}

static void test_resize_while_it_serves(void **state)
{
    struct shs_options opt;
    struct fixture f;
    int fd;

    (void)state;
    defaults(&opt);
    opt.spare_ms = 20;
    start(&f, &opt);
    fd = dial(&f);
    assert_served(fd, "/");
    assert_true(becomes_threads(&f, 3));
    assert_int_equal(shs_thread_pool_resize(f.server, 6, 10), SHS_OK);
    assert_true(becomes_threads(&f, 7));
    assert_served(fd, "/");
    assert_int_equal(shs_thread_pool_resize(f.server, 1, 10), SHS_OK);
    assert_true(becomes_threads(&f, 2));
    assert_served(fd, "/");
    assert_int_equal(shs_thread_pool_resize(f.server, 4, 3), SHS_USAGE);
    close(fd);
    finish(&f);
}

static void test_groups(void **state)
{
    struct shs_options opt;
    struct fixture f;
    int fds[32];

    (void)state;
    defaults(&opt);
    opt.threads = 4;
    opt.thread_groups = 2;
    start(&f, &opt);
    for (unsigned i = 0; i < 32; i++)
        fds[i] = dial(&f);
    for (unsigned turn = 0; turn < 3; turn++) {
        for (unsigned i = 0; i < 32; i++)
            assert_served(fds[i], "/");
    }
    assert_true(becomes_threads(&f, 5));
    for (unsigned i = 0; i < 32; i++)
        close(fds[i]);
    finish(&f);
}

static void test_a_handler_that_does_not_return_is_left_behind(void **state)
{
    struct shs_options opt;
    struct fixture f;
    int fd, idle;
    int64_t began;

    (void)state;
    defaults(&opt);
    opt.stop_ms = 100;
    opt.close_ms = 100;
    start(&f, &opt);
    set_gate(true);
    fd = dial(&f);
    idle = dial(&f);
    assert_served(idle, "/");
    ask(fd, "/block");
    wait_at_gate(1);
    stop_loop(&f);
    began = shs_now_ns();
    assert_int_equal(shs_server_close(f.server), SHS_TIMEOUT);
    assert_true(ms_since(began) < 3000);
    shs_server_free(f.server);
    assert_int_equal(f.above.freed, 0); /* the handler still uses it */
    set_gate(false);
    for (unsigned i = 0; i < 2000 && f.below.freed == 0; i++) /* the last one of this frame */
        poll(NULL, 0, 5);
    assert_int_equal(f.above.freed, 1);
    assert_int_equal(f.below.freed, 1);
    close(fd);
    close(idle);
}

static void test_serving_again(void **state)
{
    struct shs_options opt;
    struct fixture f;
    int fd;

    (void)state;
    defaults(&opt);
    start(&f, &opt);
    fd = dial(&f);
    for (unsigned i = 0; i < 5; i++) {
        assert_served(fd, "/kept");
        stop_loop(&f);
        assert_served(fd, "/also-while-nobody-accepts");
        assert_int_equal(pthread_create(&f.thread, NULL, serve, f.server), 0);
    }
    close(fd);
    finish(&f);
}

static unsigned turns = 1000;

static void test_start_stop(void **state)
{
    struct shs_options opt;

    (void)state;
    defaults(&opt);
    for (unsigned i = 0; i < turns; i++) {
        struct fixture f;
        int fd, idle;

        start(&f, &opt);
        idle = dial(&f);
        fd = dial(&f);
        if (i % 2 == 0)
            assert_served(fd, "/");
        else
            ask(fd, "/"); /* perhaps in flight when it ends */
        if (i % 3 == 0)
            close(fd);
        stop_loop(&f);
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
        cmocka_unit_test(test_deadlines_of_parked_connections),
        cmocka_unit_test(test_a_nearer_deadline_counts),
        cmocka_unit_test(test_saturation_is_said),
        cmocka_unit_test(test_the_queue_has_a_bound),
        cmocka_unit_test(test_pipelined_requests_yield),
        cmocka_unit_test(test_an_address_has_a_bound),
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
