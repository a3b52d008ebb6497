/*
 * test_thread_pool_shared.c - several servers with one set of workers (shs_thread_pool_share).
 */
#include "pool_lab.h"

#include <limits.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define MOST 6

struct shared {
    struct pool_fixture of[MOST];
    unsigned count;
};

static void make_one(struct pool_fixture *f, const struct shs_options *opt)
{
    struct shs_error err = {.code = SHS_OK};

    memset(f, 0, sizeof *f);
    assert_int_equal(shs_http_server_new(&f->server, opt, &pool_handler, &err), SHS_OK);
    assert_int_equal(shs_server_push(f->server, &f->below.layer, &fake_layer_request_ops), SHS_OK);
    assert_int_equal(shs_thread_pool_mixin_push(f->server, &err), SHS_OK);
    assert_int_equal(shs_server_push(f->server, &f->above.layer, &fake_layer_request_ops), SHS_OK);
}

static void serve_one(struct pool_fixture *f)
{
    struct shs_error err = {.code = SHS_OK};

    assert_int_equal(shs_server_bind_and_activate(f->server, &err), SHS_OK);
    pool_serve_again(f);
}

static void start_one(struct pool_fixture *f, const struct shs_options *opt,
                      struct shs_server *with)
{
    struct shs_error err = {.code = SHS_OK};

    make_one(f, opt);
    if (with != NULL)
        assert_int_equal(shs_thread_pool_share(f->server, with, &err), SHS_OK);
    serve_one(f);
}

/* So many that share, each of them serving. */
static void start_shared(struct shared *s, const struct shs_options *opt, unsigned count)
{
    s->count = count;
    for (unsigned i = 0; i < count; i++)
        start_one(&s->of[i], opt, i == 0 ? NULL : s->of[i - 1].server);
}

static void assert_each_serves(const struct shared *s)
{
    for (unsigned i = 0; i < s->count; i++) {
        int fd;

        if (s->of[i].server == NULL)
            continue;
        fd = pool_dial(&s->of[i]);
        pool_assert_served(fd, "/a");
        close(fd);
    }
}

static void finish_one(struct pool_fixture *f)
{
    pool_finish(f);
    f->server = NULL;
}

/* -- threads ----------------------------------------------------------------------------------- */

static void test_as_many_threads_as_one_server(void **state)
{
    struct shared s;
    struct shs_options opt;

    (void)state;
    pool_defaults(&opt);
    start_shared(&s, &opt, MOST);
    assert_each_serves(&s);
    /* Two workers and the monitor, and each of them says so. */
    for (unsigned i = 0; i < MOST; i++)
        assert_true(pool_becomes_threads(&s.of[i], 3));
    for (unsigned i = 0; i < MOST; i++)
        finish_one(&s.of[i]);
}

static void test_the_largest_number_of_active_workers_counts(void **state)
{
    struct shared s = {.count = 2};
    struct shs_options opt;

    (void)state;
    pool_defaults(&opt);
    opt.threads = 1;
    start_one(&s.of[0], &opt, NULL);
    opt.threads = 4;
    start_one(&s.of[1], &opt, s.of[0].server);
    assert_each_serves(&s);
    assert_true(pool_becomes_threads(&s.of[0], 5));
    assert_int_equal(shs_thread_pool_resize(s.of[1].server, 6, 8), SHS_OK);
    assert_each_serves(&s);
    assert_true(pool_becomes_threads(&s.of[0], 7));
    finish_one(&s.of[0]);
    finish_one(&s.of[1]);
}

/* -- one that blocks --------------------------------------------------------------------------- */

static void ask_each(int *fds, unsigned count, const struct pool_fixture *f, const char *path)
{
    for (unsigned i = 0; i < count; i++) {
        fds[i] = pool_dial(f);
        loopback_ask(fds[i], path);
    }
}

static void hear_each(int *fds, unsigned count, const char *text)
{
    for (unsigned i = 0; i < count; i++) {
        assert_true(loopback_hears(fds[i], text));
        close(fds[i]);
    }
}

static void test_handlers_that_block_take_nothing_from_others(void **state)
{
    struct shared s = {.count = 2};
    struct shs_options opt;
    int blocked[4], waiting[3], fd;

    (void)state;
    pool_defaults(&opt);
    opt.max_threads = 4;
    start_shared(&s, &opt, 2);
    pool_set_gate(true);
    ask_each(blocked, 4, &s.of[0], "/block");
    pool_wait_at_gate(4);
    ask_each(waiting, 3, &s.of[0], "/late"); /* all of its workers are blocked */
    for (int i = 0; i < 50; i++) {
        fd = pool_dial(&s.of[1]);
        pool_assert_served(fd, "/b");
        close(fd);
    }
    for (unsigned i = 0; i < 3; i++) {
        struct pollfd peer = {.fd = waiting[i], .events = POLLIN};

        assert_int_equal(poll(&peer, 1, 0), 0); /* still */
    }
    pool_set_gate(false);
    hear_each(blocked, 4, "/block");
    hear_each(waiting, 3, "/late");
    finish_one(&s.of[0]);
    finish_one(&s.of[1]);
}

/* As many compute as may be active: another server's request does not wait until they are done. */
static void test_handlers_that_compute_give_others_their_turn(void **state)
{
    struct shs_options opt;
    struct shared s;
    int busy[2], fd;

    (void)state;
    pool_defaults(&opt);
    start_shared(&s, &opt, 2);
    fd = pool_dial(&s.of[1]);
    pool_assert_served(fd, "/b");
    ask_each(busy, 2, &s.of[0], "/compute/400000");
    while (pool_most_at_once() < 2)
        poll(NULL, 0, 1);
    pool_assert_served(fd, "/b");
    for (unsigned i = 0; i < 2; i++)
        assert_int_equal(poll(&(struct pollfd){.fd = busy[i], .events = POLLIN}, 1, 0), 0);
    hear_each(busy, 2, "/compute");
    close(fd);
    finish_one(&s.of[0]);
    finish_one(&s.of[1]);
}

/* Each has so many workers as it may have, at most, and the others theirs. */
static void test_max_threads_is_each_servers_own(void **state)
{
    struct shared s = {.count = 2};
    struct shs_options opt;
    int first[5], second[5];

    (void)state;
    pool_defaults(&opt);
    opt.threads = 1;
    opt.max_threads = 2;
    start_one(&s.of[0], &opt, NULL);
    opt.max_threads = 3;
    start_one(&s.of[1], &opt, s.of[0].server);
    pool_set_gate(true);
    ask_each(first, 5, &s.of[0], "/block");
    pool_wait_at_gate(2);
    ask_each(second, 5, &s.of[1], "/block");
    pool_wait_at_gate(5); /* 2 and 3 */
    assert_true(pool_threads_of(&s.of[0]) <= 6);
    pool_set_gate(false);
    hear_each(first, 5, "/block");
    hear_each(second, 5, "/block");
    finish_one(&s.of[1]);
    finish_one(&s.of[0]);
}

static void test_a_blocked_server_says_503_and_the_other_serves(void **state)
{
    struct shared s = {.count = 2};
    struct shs_options opt;
    int blocked[2], late, fd;

    (void)state;
    pool_defaults(&opt);
    opt.max_threads = 2;
    opt.queue_ms = 30;
    start_one(&s.of[0], &opt, NULL);
    opt.queue_ms = 60000;
    start_one(&s.of[1], &opt, s.of[0].server);
    pool_set_gate(true);
    ask_each(blocked, 2, &s.of[0], "/block");
    pool_wait_at_gate(2);
    late = pool_dial(&s.of[0]);
    loopback_ask(late, "/late");
    assert_true(loopback_hears(late, "503"));
    fd = pool_dial(&s.of[1]);
    pool_assert_served(fd, "/b");
    pool_set_gate(false);
    hear_each(blocked, 2, "/block");
    pool_assert_served(fd, "/b");
    close(fd);
    close(late);
    finish_one(&s.of[0]);
    finish_one(&s.of[1]);
}

static void test_max_queue_is_each_servers_own(void **state)
{
    struct shared s = {.count = 2};
    struct shs_options opt;
    int blocked[2], waiting[2], one_more, fd;

    (void)state;
    pool_defaults(&opt);
    opt.max_threads = 2;
    opt.max_queue = 2;
    start_one(&s.of[0], &opt, NULL);
    opt.max_queue = 1024;
    start_one(&s.of[1], &opt, s.of[0].server);
    pool_set_gate(true);
    ask_each(blocked, 2, &s.of[0], "/block");
    pool_wait_at_gate(2);
    ask_each(waiting, 2, &s.of[0], "/late");
    assert_true(pool_becomes_queue(&s.of[0], 2));
    do { /* until the monitor has seen that they are blocked, more may be in line */
        one_more = pool_dial(&s.of[0]);
        loopback_ask(one_more, "/more");
        fd = pool_dial(&s.of[1]);
        pool_assert_served(fd, "/b");
        close(fd);
    } while (poll(&(struct pollfd){.fd = one_more, .events = POLLIN}, 1, 100) == 0);
    assert_true(loopback_hears(one_more, "503"));
    close(one_more);
    pool_set_gate(false);
    hear_each(blocked, 2, "/block");
    hear_each(waiting, 2, "/late");
    finish_one(&s.of[0]);
    finish_one(&s.of[1]);
}

/* -- ends, in every order ---------------------------------------------------------------------- */

static void test_each_ends_by_itself_in_every_order(void **state)
{
    static const unsigned orders[6][3] = {{0, 1, 2}, {0, 2, 1}, {1, 0, 2},
                                          {1, 2, 0}, {2, 0, 1}, {2, 1, 0}};
    struct shs_options opt;

    (void)state;
    pool_defaults(&opt);
    for (unsigned o = 0; o < 6; o++) {
        struct shared s;

        start_shared(&s, &opt, 3);
        assert_each_serves(&s);
        for (unsigned i = 0; i < 3; i++) {
            finish_one(&s.of[orders[o][i]]);
            assert_each_serves(&s);
        }
    }
}

/* One that never served, and one that shares with whoever is gone meanwhile. */
static void test_servers_that_never_serve(void **state)
{
    struct shared s = {.count = 3};
    struct shs_options opt;

    (void)state;
    pool_defaults(&opt);
    for (unsigned i = 0; i < 3; i++)
        make_one(&s.of[i], &opt);
    assert_int_equal(shs_thread_pool_share(s.of[1].server, s.of[0].server, NULL), SHS_OK);
    assert_int_equal(shs_thread_pool_share(s.of[2].server, s.of[1].server, NULL), SHS_OK);
    shs_server_free(s.of[0].server);
    s.of[0].server = NULL;
    serve_one(&s.of[2]);
    shs_server_free(s.of[1].server);
    s.of[1].server = NULL;
    assert_each_serves(&s);
    finish_one(&s.of[2]);
}

static void test_a_new_server_takes_the_place_of_one_that_left(void **state)
{
    struct shared s = {.count = 2};
    struct shs_options opt;

    (void)state;
    pool_defaults(&opt);
    start_shared(&s, &opt, 2);
    for (int i = 0; i < 100; i++) { /* more than there are places */
        finish_one(&s.of[1]);
        start_one(&s.of[1], &opt, s.of[0].server);
        if (i % 25 == 0)
            assert_each_serves(&s);
    }
    assert_each_serves(&s);
    finish_one(&s.of[0]);
    assert_each_serves(&s);
    finish_one(&s.of[1]);
}

/* server_close of one waits for its own requests, not for the other's. */
static void test_close_waits_for_its_own_requests_only(void **state)
{
    struct shared s = {.count = 2};
    struct shs_options opt;
    int blocked;

    (void)state;
    pool_defaults(&opt);
    start_shared(&s, &opt, 2);
    pool_set_gate(true);
    ask_each(&blocked, 1, &s.of[0], "/block");
    pool_wait_at_gate(1);
    finish_one(&s.of[1]); /* while a handler of the other one runs */
    pool_set_gate(false);
    hear_each(&blocked, 1, "/block");
    assert_each_serves(&s);
    finish_one(&s.of[0]);
}

/* The lowest layer of ours: when it is freed, so are all above it. */
static struct {
    struct shs_layer layer;
    _Atomic bool freed;
} lowest;

static void lowest_free(struct shs_layer *layer)
{
    (void)layer;
    atomic_store(&lowest.freed, true);
}

static const struct shs_server_ops lowest_ops = {.name = "LowestMixIn", .layer_free = lowest_free};

/* A handler that does not return, in the server that is closed first: the other one is served and
   ends, and what the handler uses stays until it is back. */
static void test_a_handler_that_outlives_its_server(void **state)
{
    static struct pool_fixture gone;
    struct pool_fixture other;
    struct shs_options opt;
    int blocked;

    (void)state;
    pool_defaults(&opt);
    start_one(&other, &opt, NULL);
    opt.stop_ms = 0;
    opt.close_ms = 50;
    assert_int_equal(shs_http_server_new(&gone.server, &opt, &pool_handler, NULL), SHS_OK);
    assert_int_equal(shs_server_push(gone.server, &lowest.layer, &lowest_ops), SHS_OK);
    assert_int_equal(shs_thread_pool_mixin_push(gone.server, NULL), SHS_OK);
    assert_int_equal(shs_thread_pool_share(gone.server, other.server, NULL), SHS_OK);
    serve_one(&gone);
    pool_set_gate(true);
    ask_each(&blocked, 1, &gone, "/block");
    pool_wait_at_gate(1);
    pool_stop_loop(&gone);
    assert_int_equal(shs_server_close(gone.server), SHS_TIMEOUT);
    assert_each_serves(&(struct shared){.of = {other}, .count = 1});
    shs_server_free(gone.server);
    assert_false(atomic_load(&lowest.freed)); /* the handler has it */
    finish_one(&other);
    pool_set_gate(false);
    for (int i = 0; i < patience_ms() / 5 && !atomic_load(&lowest.freed); i++)
        poll(NULL, 0, 5);
    assert_true(atomic_load(&lowest.freed));
    close(blocked);
}

/* -- under load -------------------------------------------------------------------------------- */

struct load {
    struct pool_fixture *f;
    pthread_t thread;
    _Atomic bool stop;
    _Atomic unsigned served, failed;
};

/* Connects, asks twice, closes. What fails is counted: its server may be gone. */
static bool visit(unsigned port)
{
    struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = htons((uint16_t)port)};
    static const char ask[] = "GET /x HTTP/1.1\r\nHost: a\r\n\r\n";
    struct timeval limit = {.tv_sec = patience_ms() / 1000};
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    char buf[512];
    bool ok = false;

    to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit);
    if (connect(fd, (struct sockaddr *)&to, sizeof to) == 0) {
        ok = true;
        for (int i = 0; i < 2 && ok; i++)
            ok =
                send(fd, ask, sizeof ask - 1, MSG_NOSIGNAL) > 0 && recv(fd, buf, sizeof buf, 0) > 0;
    }
    close(fd);
    return ok;
}

static void *load_main(void *arg)
{
    struct load *load = arg;
    unsigned port = shs_server_port(load->f->server);

    while (!atomic_load(&load->stop)) {
        if (visit(port))
            atomic_fetch_add(&load->served, 1);
        else
            atomic_fetch_add(&load->failed, 1);
    }
    return NULL;
}

static void wait_for_more(struct load *load)
{
    unsigned before = atomic_load(&load->served);

    for (int i = 0; i < patience_ms() && atomic_load(&load->served) < before + 20; i++)
        poll(NULL, 0, 1);
    assert_true(atomic_load(&load->served) >= before + 20);
}

static void stop_load(struct load *load)
{
    atomic_store(&load->stop, true);
    pthread_join(load->thread, NULL);
}

static void test_one_of_three_ends_under_load(void **state)
{
    struct shs_options opt;

    (void)state;
    pool_defaults(&opt);
    for (unsigned gone = 0; gone < 3; gone++) {
        struct load load[3];
        struct shared s;

        memset(load, 0, sizeof load);
        start_shared(&s, &opt, 3);
        for (unsigned i = 0; i < 3; i++) {
            load[i].f = &s.of[i];
            assert_int_equal(pthread_create(&load[i].thread, NULL, load_main, &load[i]), 0);
        }
        for (unsigned i = 0; i < 3; i++)
            wait_for_more(&load[i]);
        finish_one(&s.of[gone]); /* its clients are in the middle of it */
        stop_load(&load[gone]);
        for (unsigned i = 0; i < 3; i++) {
            if (i == gone)
                continue;
            wait_for_more(&load[i]);
            stop_load(&load[i]);
            assert_int_equal(atomic_load(&load[i].failed), 0);
            finish_one(&s.of[i]);
        }
    }
}

/* -- one serving thread ------------------------------------------------------------------------ */

struct all {
    struct shs_server *servers[3];
    struct shs_server *ended[3];
    int results[3];
    _Atomic unsigned count; /* so many have ended */
    bool and_others;        /* who ends, ends the others */
    int rc;
    pthread_t thread;
};

static void one_ended(void *ctx, struct shs_server *server, int rc)
{
    struct all *all = ctx;
    unsigned at = atomic_load(&all->count);

    all->ended[at] = server;
    all->results[at] = rc;
    atomic_store(&all->count, at + 1);
    for (unsigned i = 0; all->and_others && i < 3; i++)
        shs_shutdown(all->servers[i]);
}

static void *all_main(void *arg)
{
    struct all *all = arg;

    all->rc = shs_serve_all(all->servers, 3, one_ended, all);
    return NULL;
}

static void start_all(struct shared *s, struct all *all, const struct shs_options *opt)
{
    struct shs_error err = {.code = SHS_OK};

    s->count = 3;
    for (unsigned i = 0; i < 3; i++) {
        make_one(&s->of[i], opt);
        if (i > 0)
            assert_int_equal(shs_thread_pool_share(s->of[i].server, s->of[0].server, &err), SHS_OK);
        assert_int_equal(shs_server_bind_and_activate(s->of[i].server, &err), SHS_OK);
        all->servers[i] = s->of[i].server;
    }
    assert_int_equal(pthread_create(&all->thread, NULL, all_main, all), 0);
}

static void close_and_free(struct pool_fixture *f)
{
    assert_int_equal(shs_server_close(f->server), SHS_OK);
    shs_server_free(f->server);
    assert_int_equal(f->above.freed, 1);
    f->server = NULL;
}

static void test_one_thread_serves_all_and_one_ends_alone(void **state)
{
    struct all all = {.and_others = false};
    struct shs_options opt;
    struct shared s;

    (void)state;
    pool_defaults(&opt);
    start_all(&s, &all, &opt);
    assert_each_serves(&s);
    assert_int_equal(shs_shutdown_wait(s.of[1].server, (unsigned)patience_ms()), SHS_OK);
    for (int i = 0; i < patience_ms() && atomic_load(&all.count) < 1; i++)
        poll(NULL, 0, 1);
    assert_int_equal(atomic_load(&all.count), 1);
    assert_ptr_equal(all.ended[0], s.of[1].server);
    close_and_free(&s.of[1]);
    assert_each_serves(&s);
    shs_shutdown(s.of[0].server);
    shs_shutdown(s.of[2].server);
    pthread_join(all.thread, NULL);
    assert_int_equal(all.rc, SHS_OK);
    assert_int_equal(atomic_load(&all.count), 3);
    close_and_free(&s.of[2]);
    close_and_free(&s.of[0]);
}

static void test_one_ends_and_the_program_ends_the_others(void **state)
{
    struct all all = {.and_others = true};
    struct shs_options opt;
    struct shared s;

    (void)state;
    pool_defaults(&opt);
    opt.poll_interval_ms = 60000; /* it is woken */
    start_all(&s, &all, &opt);
    assert_each_serves(&s);
    shs_shutdown(s.of[2].server);
    pthread_join(all.thread, NULL);
    assert_int_equal(all.rc, SHS_OK);
    for (unsigned i = 0; i < 3; i++)
        close_and_free(&s.of[i]);
}

/* One that cannot begin is told of, and the others serve. */
static void test_one_that_fails_leaves_the_others_alone(void **state)
{
    struct shs_options opt;
    struct shared s = {.count = 3};
    struct all all = {.and_others = false};

    (void)state;
    pool_defaults(&opt);
    for (unsigned i = 0; i < 3; i++) {
        make_one(&s.of[i], &opt);
        assert_int_equal(shs_server_bind_and_activate(s.of[i].server, NULL), SHS_OK);
        all.servers[i] = s.of[i].server;
    }
    assert_int_equal(shs_server_close(s.of[1].server), SHS_OK);
    assert_int_equal(pthread_create(&all.thread, NULL, all_main, &all), 0);
    assert_each_serves(&(struct shared){.of = {s.of[0], s.of[2]}, .count = 2});
    assert_ptr_equal(all.ended[0], s.of[1].server);
    assert_int_equal(all.results[0], SHS_USAGE);
    shs_shutdown(s.of[0].server);
    shs_shutdown(s.of[2].server);
    pthread_join(all.thread, NULL);
    assert_int_equal(all.rc, SHS_USAGE);
    for (unsigned i = 0; i < 3; i++)
        close_and_free(&s.of[i]);
}

static void test_who_serves_on_the_loop_is_not_served_beside_others(void **state)
{
    struct shs_server *servers[2];
    struct shs_options opt;

    (void)state;
    pool_defaults(&opt);
    for (unsigned i = 0; i < 2; i++)
        assert_int_equal(shs_http_server_new(&servers[i], &opt, &pool_handler, NULL), SHS_OK);
    assert_int_equal(shs_thread_pool_mixin_push(servers[0], NULL), SHS_OK);
    assert_int_equal(shs_serve_all(servers, 2, NULL, NULL), SHS_USAGE);
    assert_int_equal(shs_serve_all(servers, 0, NULL, NULL), SHS_OK);
    shs_shutdown(servers[0]);
    assert_int_equal(shs_serve_all(servers, 1, NULL, NULL), SHS_OK);
    for (unsigned i = 0; i < 2; i++)
        shs_server_free(servers[i]);
}

/* -- misuse ------------------------------------------------------------------------------------ */

static void test_misuse_is_refused_and_changes_nothing(void **state)
{
    struct shared s = {.count = 3};
    struct shs_error err = {.code = SHS_OK};
    struct shs_server *plain;
    struct shs_options opt;

    (void)state;
    pool_defaults(&opt);
    start_shared(&s, &opt, 2);
    assert_each_serves(&s); /* they have served */
    make_one(&s.of[2], &opt);
    assert_int_equal(shs_http_server_new(&plain, &opt, &pool_handler, &err), SHS_OK);
    assert_int_equal(shs_thread_pool_share(plain, s.of[0].server, &err), SHS_USAGE);
    assert_non_null(strstr(err.text, "has no ThreadPoolMixIn"));
    assert_int_equal(shs_thread_pool_share(s.of[2].server, plain, &err), SHS_USAGE);
    assert_int_equal(shs_thread_pool_share(s.of[0].server, s.of[2].server, &err), SHS_USAGE);
    assert_non_null(strstr(err.text, "before a server serves"));
    assert_int_equal(shs_thread_pool_share(s.of[1].server, s.of[0].server, &err), SHS_OK);
    assert_int_equal(shs_thread_pool_share(s.of[1].server, s.of[1].server, &err), SHS_OK);
    pool_stop_loop(&s.of[0]);
    assert_int_equal(shs_server_close(s.of[0].server), SHS_OK);
    /* The workers are still there, for the second. */
    assert_int_equal(shs_thread_pool_share(s.of[2].server, s.of[0].server, &err), SHS_OK);
    shs_server_free(s.of[0].server);
    s.of[0].server = NULL;
    serve_one(&s.of[2]);
    assert_each_serves(&s);
    finish_one(&s.of[1]);
    pool_stop_loop(&s.of[2]);
    assert_int_equal(shs_server_close(s.of[2].server), SHS_OK);
    make_one(&s.of[0], &opt);
    assert_int_equal(shs_thread_pool_share(s.of[0].server, s.of[2].server, &err), SHS_USAGE);
    assert_non_null(strstr(err.text, "have ended"));
    shs_server_free(s.of[2].server);
    s.of[1].server = s.of[2].server = NULL;
    serve_one(&s.of[0]); /* with its own */
    assert_each_serves(&s);
    finish_one(&s.of[0]);
    shs_server_free(plain);
}

static void test_so_many_may_share(void **state)
{
    struct shs_error err = {.code = SHS_OK};
    struct pool_fixture of[129];
    struct shs_options opt;

    (void)state;
    pool_defaults(&opt);
    for (unsigned i = 0; i < 129; i++)
        make_one(&of[i], &opt);
    for (unsigned i = 1; i < 128; i++)
        assert_int_equal(shs_thread_pool_share(of[i].server, of[0].server, &err), SHS_OK);
    assert_int_equal(shs_thread_pool_share(of[128].server, of[0].server, &err), SHS_LIMIT);
    assert_non_null(strstr(err.text, "128 servers"));
    for (unsigned i = 0; i < 129; i++)
        shs_server_free(of[i].server);
}

static void test_serve_all_of_none(void **state)
{
    struct shs_options opt;
    struct pool_fixture one;
    struct shs_server *servers[2];

    (void)state;
    shs_options_init(&opt);
    opt.bind_and_activate = false;
    make_one(&one, &opt);
    servers[0] = one.server;
    servers[1] = NULL;
    assert_int_equal(shs_serve_all(NULL, 1, NULL, NULL), SHS_USAGE);
    assert_int_equal(shs_serve_all(servers, 2, NULL, NULL), SHS_USAGE);
    shs_server_free(one.server);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_serve_all_of_none),
        cmocka_unit_test(test_as_many_threads_as_one_server),
        cmocka_unit_test(test_the_largest_number_of_active_workers_counts),
        cmocka_unit_test(test_handlers_that_block_take_nothing_from_others),
        cmocka_unit_test(test_handlers_that_compute_give_others_their_turn),
        cmocka_unit_test(test_max_threads_is_each_servers_own),
        cmocka_unit_test(test_a_blocked_server_says_503_and_the_other_serves),
        cmocka_unit_test(test_max_queue_is_each_servers_own),
        cmocka_unit_test(test_each_ends_by_itself_in_every_order),
        cmocka_unit_test(test_servers_that_never_serve),
        cmocka_unit_test(test_a_new_server_takes_the_place_of_one_that_left),
        cmocka_unit_test(test_close_waits_for_its_own_requests_only),
        cmocka_unit_test(test_a_handler_that_outlives_its_server),
        cmocka_unit_test(test_one_of_three_ends_under_load),
        cmocka_unit_test(test_one_thread_serves_all_and_one_ends_alone),
        cmocka_unit_test(test_one_ends_and_the_program_ends_the_others),
        cmocka_unit_test(test_one_that_fails_leaves_the_others_alone),
        cmocka_unit_test(test_who_serves_on_the_loop_is_not_served_beside_others),
        cmocka_unit_test(test_misuse_is_refused_and_changes_nothing),
        cmocka_unit_test(test_so_many_may_share),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
