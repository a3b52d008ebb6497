/*
 * test_thread_pool_blocking.c - ThreadPoolMixIn: handlers that wait for a moment, and handlers that
 * compute.
 */
#include "pool_lab.h"

#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#define CLIENTS 32
#define BURSTS_ON_A_BUSY_MACHINE 5
#define WORKERS 8
#define BATCH 16 /* as many as a worker fetches at once */

/* So many ask at the same time, and hear all of it. */
static void burst(const int *fds, unsigned count, const char *path)
{
    char upload[128];

    snprintf(upload, sizeof upload, "POST %s HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\n\r\nx",
             path);
    for (unsigned i = 0; i < count; i++) {
        if (strncmp(path, "/sink/", 6) == 0)
            loopback_say(fds[i], upload);
        else
            loopback_ask(fds[i], path);
    }
    for (unsigned i = 0; i < count; i++)
        assert_true(loopback_hears(fds[i], path));
}

/* Bursts until so many handlers ran at once, within the limit. */
static bool reaches(const int *fds, unsigned count, const char *path, unsigned wanted)
{
    int64_t until = shs__deadline_after(shs_now_ns(), (unsigned)patience_ms());

    (void)pool_most_at_once();
    while (shs_now_ns() < until) {
        burst(fds, count, path);
        if (pool_most_at_once() >= wanted)
            return true;
    }
    return false;
}

static void dial_all(const struct pool_fixture *f, int *fds, unsigned count)
{
    for (unsigned i = 0; i < count; i++)
        fds[i] = pool_dial(f);
}

static void close_all(int *fds, unsigned count)
{
    for (unsigned i = 0; i < count; i++)
        close(fds[i]);
}

/*
 * Shorter than any look of the monitor: it never sees the same request twice. Wherever it is that
 * waits: in the handler, or in what makes or takes the body.
 */
static void short_waits_get_workers(const char *path)
{
    struct shs_options opt;
    struct pool_fixture f;
    int fds[CLIENTS];

    pool_defaults(&opt);
    opt.threads = 1;
    opt.spare_ms = 50;
    pool_start(&f, &opt);
    dial_all(&f, fds, CLIENTS);
    assert_true(reaches(fds, CLIENTS, path, CLIENTS / 2));
    close_all(fds, CLIENTS);
    assert_true(pool_becomes_threads(&f, 2)); /* they leave again */
    pool_finish(&f);
}

static void test_short_waits_get_workers(void **state)
{
    (void)state;
    short_waits_get_workers("/nap/1500");
}

static void test_a_source_may_wait(void **state)
{
    (void)state;
    short_waits_get_workers("/source/1500");
}

static void test_a_sink_may_wait(void **state)
{
    (void)state;
    short_waits_get_workers("/sink/1500");
}

/* All of it is there before a worker looks: each takes one, and none waits behind another. */
static void burst_at_once(const int *fds, const int *blocked)
{
    pool_set_gate(true);
    for (unsigned i = 0; i < WORKERS; i++)
        loopback_ask(blocked[i], "/block");
    pool_wait_at_gate(WORKERS);
    for (unsigned i = 0; i < CLIENTS; i++)
        loopback_ask(fds[i], "/nap/1500");
    pool_set_gate(false);
    for (unsigned i = 0; i < WORKERS; i++)
        assert_true(loopback_hears(blocked[i], "/block"));
    for (unsigned i = 0; i < CLIENTS; i++)
        assert_true(loopback_hears(fds[i], "/nap/1500"));
}

static void test_a_burst_is_shared_out(void **state)
{
    int64_t until = shs__deadline_after(shs_now_ns(), (unsigned)patience_ms());
    struct shs_options opt;
    struct pool_fixture f;
    int fds[CLIENTS], blocked[WORKERS];
    unsigned most = 0;

    (void)state;
    pool_defaults(&opt);
    opt.threads = opt.max_threads = WORKERS;
    pool_start(&f, &opt);
    dial_all(&f, fds, CLIENTS);
    dial_all(&f, blocked, WORKERS);
    for (unsigned i = 0; i < 10; i++)
        pool_assert_served(fds[0], "/nap/1500"); /* that it waits is known then */
    (void)pool_most_at_once();
    while (most < WORKERS && shs_now_ns() < until) {
        burst_at_once(fds, blocked);
        most = pool_most_at_once();
    }
    assert_int_equal(most, WORKERS);
    assert_in_range(pool_threads_of(&f), WORKERS + 1, WORKERS + 1);
    close_all(fds, CLIENTS);
    close_all(blocked, WORKERS);
    pool_finish(&f);
}

/* What waited once is not taken to wait for ever: such handlers have their batches again. */
static void test_a_route_may_change(void **state)
{
    struct shs_options opt;
    struct pool_fixture f;
    int fds[CLIENTS];

    (void)state;
    pool_defaults(&opt);
    opt.threads = 2;
    opt.spare_ms = 20;
    pool_start(&f, &opt);
    dial_all(&f, fds, CLIENTS);
    assert_true(reaches(fds, CLIENTS, "/nap/1000", 8));
    for (unsigned i = 0; i < 200; i++)
        burst(fds, CLIENTS, "/nap/0");
    assert_true(pool_becomes_threads(&f, 3));
    close_all(fds, CLIENTS);
    pool_finish(&f);
}

/*
 * And what has never waited may begin to. Its handlers return before the monitor looks twice, so
 * that would find them by chance alone, after some 600 bursts; a turn that takes long tells.
 */
#define SOON 100
static void test_a_quick_route_may_begin_to_wait(void **state)
{
    struct shs_options opt;
    struct pool_fixture f;
    int fds[CLIENTS];
    unsigned most = 0;

    (void)state;
    pool_defaults(&opt);
    opt.threads = 2;
    pool_start(&f, &opt);
    dial_all(&f, fds, CLIENTS);
    for (unsigned i = 0; i < 200; i++)
        burst(fds, CLIENTS, "/nap/0");
    for (unsigned i = 0; i < SOON && most < CLIENTS / 2; i++) {
        burst(fds, CLIENTS, "/nap/1000");
        most = pool_most_at_once();
    }
    assert_true(most >= CLIENTS / 2);
    close_all(fds, CLIENTS);
    pool_finish(&f);
}

/* A smaller max_threads is obeyed while there is as much to do as before, and all are answered. */
static void test_fewer_while_all_are_needed(void **state)
{
    int64_t until = shs__deadline_after(shs_now_ns(), (unsigned)patience_ms());
    struct shs_options opt;
    struct pool_fixture f;
    int fds[CLIENTS];

    (void)state;
    pool_defaults(&opt);
    pool_start(&f, &opt);
    dial_all(&f, fds, CLIENTS);
    assert_true(reaches(fds, CLIENTS, "/nap/2000", CLIENTS / 2));
    assert_int_equal(shs_thread_pool_resize(f.server, 1, 4), SHS_OK);
    for (unsigned i = 0; i < CLIENTS; i++)
        loopback_ask(fds[i], "/nap/2000");
    while (pool_threads_of(&f) > 5 && shs_now_ns() < until) {
        for (unsigned i = 0; i < CLIENTS; i++) {
            assert_true(loopback_hears(fds[i], "/nap/2000"));
            loopback_ask(fds[i], "/nap/2000");
        }
    }
    assert_in_range(pool_threads_of(&f), 2, 5);
    for (unsigned i = 0; i < CLIENTS; i++)
        assert_true(loopback_hears(fds[i], "/nap/2000"));
    (void)pool_most_at_once();
    burst(fds, CLIENTS, "/nap/2000");
    assert_in_range(pool_most_at_once(), 1, 4);
    close_all(fds, CLIENTS);
    pool_finish(&f);
}

/* Those who sleep are not woken by each one that leaves: that made more work than they had had. */
#define SLEEPERS 200
static void test_who_leaves_wakes_nobody(void **state)
{
    struct rusage before, after;
    struct shs_options opt;
    struct pool_fixture f;
    int fds[SLEEPERS];
    int64_t began;

    (void)state;
    pool_defaults(&opt);
    opt.spare_ms = 500;
    pool_start(&f, &opt);
    dial_all(&f, fds, SLEEPERS);
    pool_set_gate(true);
    for (unsigned i = 0; i < SLEEPERS; i++)
        loopback_ask(fds[i], "/block");
    pool_wait_at_gate(SLEEPERS);
    pool_set_gate(false);
    for (unsigned i = 0; i < SLEEPERS; i++)
        assert_true(loopback_hears(fds[i], "/block"));
    assert_int_equal(getrusage(RUSAGE_SELF, &before), 0);
    began = shs_now_ns();
    assert_true(pool_becomes_threads(&f, 3));
    assert_int_equal(getrusage(RUSAGE_SELF, &after), 0);
    /* Four for each worker, and those of the monitor and of us, who look again and again. Where all
       are woken it is twenty and more. */
    assert_true(after.ru_nvcsw - before.ru_nvcsw < 8 * SLEEPERS + pool_ms_since(began));
    close_all(fds, SLEEPERS);
    pool_finish(&f);
}

/* More threads than cores would only take them from each other. */
static void test_computing_handlers_get_no_workers(void **state)
{
    struct shs_options opt;
    struct pool_fixture f;
    int fds[CLIENTS];

    (void)state;
    pool_defaults(&opt);
    pool_start(&f, &opt);
    dial_all(&f, fds, CLIENTS);
    (void)pool_most_at_once();
    burst(fds, CLIENTS, "/compute/8000");
    assert_in_range(pool_most_at_once(), 1, 3);
    assert_in_range(pool_threads_of(&f), 3, 4);
    close_all(fds, CLIENTS);
    pool_finish(&f);
}

/*
 * Nor do they keep those that were there for others, who waited. Whoever has heard asks again at
 * once, so the workers have something to do all the time, and hardly one sleeps for want of it.
 */
#define UNTIL_THEY_SLEEP 40
static void test_who_computes_gives_up_the_workers_of_who_waited(void **state)
{
    struct shs_options opt;
    struct pool_fixture f;
    int fds[CLIENTS];
    unsigned most = CLIENTS;

    (void)state;
    pool_defaults(&opt);
    pool_start(&f, &opt);
    dial_all(&f, fds, CLIENTS);
    assert_true(reaches(fds, CLIENTS, "/nap/5000", CLIENTS / 2));
    for (unsigned i = 0; i < CLIENTS; i++)
        loopback_ask(fds[i], "/compute/4000");
    for (unsigned i = 0; i < UNTIL_THEY_SLEEP && most > 3; i++) {
        (void)pool_most_at_once();
        for (unsigned n = 0; n < CLIENTS; n++) {
            assert_true(loopback_hears(fds[n], "/compute/4000"));
            loopback_ask(fds[n], "/compute/4000");
        }
        most = pool_most_at_once();
    }
    for (unsigned i = 0; i < CLIENTS; i++)
        assert_true(loopback_hears(fds[i], "/compute/4000"));
    assert_in_range(most, 1, 3);
    close_all(fds, CLIENTS);
    pool_finish(&f);
}

/*
 * While both workers compute, a request comes that takes longer than any look, and others behind
 * it, so that one worker fetches all of them. True: the others were answered before the long one.
 */
static bool overtake(const int *fds, const int *spinning)
{
    struct pollfd slow = {.fd = fds[0], .events = POLLIN};
    bool good;

    pool_set_gate(true);
    loopback_ask(spinning[0], "/spin");
    loopback_ask(spinning[1], "/spin");
    pool_wait_at_gate(2);
    loopback_ask(fds[0], "/compute/400000");
    for (unsigned i = 1; i < BATCH; i++)
        loopback_ask(fds[i], "/nap/0");
    pool_set_gate(false);
    assert_true(loopback_hears(spinning[0], "/spin"));
    assert_true(loopback_hears(spinning[1], "/spin"));
    for (unsigned i = 1; i < BATCH; i++)
        assert_true(loopback_hears(fds[i], "/nap/0"));
    good = poll(&slow, 1, 0) == 0;
    assert_true(loopback_hears(fds[0], "/compute/400000"));
    return good;
}

/* On a busy machine the monitor may look too late; then another time it does not. */
static void test_nobody_waits_behind_who_computes(void **state)
{
    struct shs_options opt;
    struct pool_fixture f;
    int fds[BATCH], spinning[2];
    bool good = false;

    (void)state;
    pool_defaults(&opt);
    pool_start(&f, &opt);
    dial_all(&f, fds, BATCH);
    dial_all(&f, spinning, 2);
    pool_assert_served(fds[0], "/spin"); /* that none of them waits is known then */
    pool_assert_served(fds[0], "/compute/400000");
    for (unsigned i = 0; i < 20; i++)
        burst(fds, BATCH, "/nap/0");
    for (int i = 0; i < BURSTS_ON_A_BUSY_MACHINE && !good; i++)
        good = overtake(fds, spinning);
    assert_true(good);
    close_all(fds, BATCH);
    close_all(spinning, 2);
    pool_finish(&f);
}

/* How many handlers that compute ran at once, without a descriptor to look at their threads. */
static bool computes_in_the_dark(void)
{
    struct rlimit before, none;
    struct shs_options opt;
    struct pool_fixture f;
    int fds[CLIENTS];
    unsigned most, threads;

    pool_defaults(&opt);
    pool_start(&f, &opt);
    dial_all(&f, fds, CLIENTS);
    burst(fds, CLIENTS, "/"); /* all are accepted */
    assert_int_equal(getrlimit(RLIMIT_NOFILE, &before), 0);
    none = before;
    none.rlim_cur = 3;
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &none), 0);
    (void)pool_most_at_once();
    burst(fds, CLIENTS, "/compute/20000");
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &before), 0);
    most = pool_most_at_once();
    threads = pool_threads_of(&f);
    close_all(fds, CLIENTS);
    pool_finish(&f);
    return most >= 1 && most <= 3 && threads >= 3 && threads <= 4;
}

/*
 * Without a descriptor the monitor cannot ask the kernel what a thread does. One that gets no core
 * for many looks, on a busy machine, is then taken for one that waits, and costs a worker more; so
 * one burst of several has to be as it should. Where all that compute are taken for waiting, none
 * is.
 */
static void test_no_descriptor_is_no_reason_for_threads(void **state)
{
    bool good = false;

    (void)state;
    for (int i = 0; i < BURSTS_ON_A_BUSY_MACHINE && !good; i++)
        good = computes_in_the_dark();
    assert_true(good);
}

/* And those that do wait are found all the same. */
static void test_who_waits_is_found_without_a_descriptor(void **state)
{
    struct rlimit before, none;
    struct shs_options opt;
    struct pool_fixture f;
    int fds[5];

    (void)state;
    pool_defaults(&opt);
    pool_start(&f, &opt);
    dial_all(&f, fds, 5);
    burst(fds, 5, "/");
    assert_int_equal(getrlimit(RLIMIT_NOFILE, &before), 0);
    none = before;
    none.rlim_cur = 3;
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &none), 0);
    pool_set_gate(true);
    for (unsigned i = 0; i < 4; i++)
        loopback_ask(fds[i], "/block");
    pool_wait_at_gate(4);
    pool_assert_served(fds[4], "/quick");
    pool_set_gate(false);
    for (unsigned i = 0; i < 4; i++)
        assert_true(loopback_hears(fds[i], "/block"));
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &before), 0);
    close_all(fds, 5);
    pool_finish(&f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_short_waits_get_workers),
        cmocka_unit_test(test_a_source_may_wait),
        cmocka_unit_test(test_a_sink_may_wait),
        cmocka_unit_test(test_a_burst_is_shared_out),
        cmocka_unit_test(test_a_route_may_change),
        cmocka_unit_test(test_a_quick_route_may_begin_to_wait),
        cmocka_unit_test(test_fewer_while_all_are_needed),
        cmocka_unit_test(test_who_leaves_wakes_nobody),
        cmocka_unit_test(test_computing_handlers_get_no_workers),
        cmocka_unit_test(test_who_computes_gives_up_the_workers_of_who_waited),
        cmocka_unit_test(test_nobody_waits_behind_who_computes),
        cmocka_unit_test(test_no_descriptor_is_no_reason_for_threads),
        cmocka_unit_test(test_who_waits_is_found_without_a_descriptor),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
