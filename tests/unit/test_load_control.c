/*
 * test_load_control.c - the control of overload, simulated: clients who come, lose patience and go,
 * workers who need their time for each, an accept queue, and a machine that stands still.
 *
 * All time is the simulation's, so the figures are the same on every machine.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <limits.h>
#include <stdlib.h>
#include <string.h>

#include "base/base.h"
#include "server/load_control.h"

#define BACKLOG 511u
#define CLIENTS 200000u
#define WORKERS 4u
#define STEP_NS (SHS_NS_PER_MS / 4)
#define VISIT_NS (5 * SHS_NS_PER_MS)
#define MONITOR_NS (3 * SHS_NS_PER_MS)
/* When a silent one is ended. */
#define SILENT_NS (10000ll * SHS_NS_PER_MS)

/* -- what is simulated ------------------------------------------------------------------------- */

struct world {
    unsigned late_ms, workers, service_us, patience_ms;
    double a_second, silent_a_second; /* who comes */
    unsigned pause_ms, every_ms;      /* nothing runs for so long, so often; 0: always */
};

struct client {
    int64_t came_ns;
    bool said;
};

struct figures {
    unsigned came, served, in_vain, refused, refused_early, dropped;
    double served_ms[CLIENTS], refused_ms[CLIENTS];
};

/* A queue of numbers. */
struct queue {
    unsigned at[CLIENTS + 16], first, end;
};

#define DOOR UINT_MAX
#define NOBODY (UINT_MAX - 1)

static struct world world;
static struct shs_load load;
static struct client clients[CLIENTS];
static bool counted[CLIENTS];
static struct queue front, inside, silent; /* of the door; of the workers; those who say nothing */
static struct figures figures;
static unsigned count, at_work[WORKERS];
static int64_t now, work_until[WORKERS], visited_ns, monitored_ns;
static double due, silent_due;
static bool door_told;

static void push(struct queue *q, unsigned number)
{
    if (q->end == CLIENTS + 16) {
        memmove(q->at, q->at + q->first, (q->end - q->first) * sizeof *q->at);
        q->end -= q->first;
        q->first = 0;
    }
    assert_true(q->end < CLIENTS + 16);
    q->at[q->end++] = number;
}

static unsigned pop(struct queue *q)
{
    return q->first == q->end ? NOBODY : q->at[q->first++];
}

static struct shs_load_bounds bounds(void)
{
    return (struct shs_load_bounds){world.late_ms, world.workers};
}

static int64_t ms(double of)
{
    return (int64_t)(of * SHS_NS_PER_MS);
}

static double waited_ms(unsigned number)
{
    return (double)(now - clients[number].came_ns) / SHS_NS_PER_MS;
}

static void begin(struct world w)
{
    world = w;
    memset(&load, 0, sizeof load);
    memset(&figures, 0, sizeof figures);
    front.first = front.end = inside.first = inside.end = silent.first = silent.end = 0;
    count = 0;
    now = ms(1000);
    visited_ns = monitored_ns = 0;
    due = silent_due = 0;
    door_told = false;
    for (unsigned i = 0; i < WORKERS; i++)
        at_work[i] = NOBODY;
}

static void tell_door(void)
{
    if (!door_told)
        push(&inside, DOOR);
    door_told = true;
}

static void come(bool said)
{
    assert_true(count < CLIENTS);
    figures.came += said;
    if (front.end - front.first >= BACKLOG) {
        figures.dropped += said;
        return;
    }
    clients[count] = (struct client){now, said};
    counted[count] = false;
    push(&front, count++);
    tell_door();
}

static void tell_no(unsigned number)
{
    double waited = waited_ms(number);

    if (clients[number].said && waited < world.patience_ms)
        figures.refused_ms[figures.refused++] = waited;
}

static bool let_in(unsigned number, bool first)
{
    struct shs_load_client c = {
        .waited_ms = (unsigned)waited_ms(number),
        .said = clients[number].said,
        .gone = waited_ms(number) >= world.patience_ms,
    };

    if (!(first && load.phase == SHS_LOAD_CALM) && shs__load_refuses(&load, bounds(), c, now))
        return false;
    counted[number] = load.phase != SHS_LOAD_CALM;
    if (counted[number])
        shs__load_enter(&load, c.said);
    push(c.said ? &inside : &silent, number);
    return true;
}

static void accept_batch(void)
{
    unsigned room = shs__load_room(&load, now);

    for (unsigned i = 0; i < room; i++) {
        unsigned number = pop(&front);

        if (number == NOBODY) {
            shs__load_empty(&load, now);
            return;
        }
        if (!let_in(number, i == 0))
            tell_no(number);
    }
    if (room > 0 && front.first < front.end)
        tell_door();
}

static void visit(void)
{
    if (load.phase == SHS_LOAD_CALM || now - visited_ns < VISIT_NS)
        return;
    visited_ns = now;
    accept_batch();
}

static void leave(unsigned number)
{
    if (counted[number])
        shs__load_leave(&load, bounds(), clients[number].said, now);
    counted[number] = false;
}

static void end_work(unsigned worker)
{
    unsigned number = at_work[worker];
    double waited = waited_ms(number);

    at_work[worker] = NOBODY;
    if (waited < world.patience_ms)
        figures.served_ms[figures.served++] = waited;
    else
        figures.in_vain++;
    visit();
}

static void work(unsigned worker)
{
    while (at_work[worker] == NOBODY) {
        unsigned number = pop(&inside);

        if (number == NOBODY)
            return;
        if (number == DOOR) {
            door_told = false;
            accept_batch();
            continue;
        }
        leave(number);
        at_work[worker] = number;
        work_until[worker] = now + world.service_us * 1000ll;
    }
}

static bool stands_still(void)
{
    return world.every_ms != 0 && now / SHS_NS_PER_MS % world.every_ms < world.pause_ms;
}

static void step(void)
{
    now += STEP_NS;
    for (due += world.a_second * STEP_NS / SHS_NS_PER_S; due >= 1; due--)
        come(true);
    for (silent_due += world.silent_a_second * STEP_NS / SHS_NS_PER_S; silent_due >= 1;
         silent_due--)
        come(false);
    if (stands_still()) {
        for (unsigned i = 0; i < world.workers; i++)
            work_until[i] += STEP_NS;
        return;
    }
    if (now - monitored_ns >= MONITOR_NS) {
        monitored_ns = now;
        visit();
    }
    while (silent.first < silent.end && now - clients[silent.at[silent.first]].came_ns >= SILENT_NS)
        leave(pop(&silent));
    for (unsigned i = 0; i < world.workers; i++) {
        if (at_work[i] != NOBODY && now >= work_until[i])
            end_work(i);
        work(i);
    }
}

static void run(double for_ms)
{
    int64_t until = now + ms(for_ms);

    while (now < until)
        step();
}

static void count_anew(void)
{
    memset(&figures, 0, sizeof figures);
}

static double capacity(void)
{
    return 1e6 * world.workers / world.service_us;
}

static int by_size(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;

    return x < y ? -1 : x > y;
}

static double rank(double *list, unsigned length, double q)
{
    qsort(list, length, sizeof *list, by_size);
    return length == 0 ? 0 : list[(unsigned)((length - 1) * q)];
}

/* -- the tests --------------------------------------------------------------------------------- */

/* For so long it may hold before anybody is told no, and somewhat longer. */
static double until_it_refuses(void)
{
    double most_in_front = BACKLOG * 1000 / capacity();

    return 5000 + 2 * world.late_ms + (most_in_front < 2000 ? most_in_front : 2000);
}

/* Those inside wait for an eighth of late_ms, or behind the fewest; those in front where nobody is
   told no for as long as the queue there is. */
static double longest_median_ms(void)
{
    double each = 1000 / capacity(), least = 10 * each * world.workers;
    double standing = world.late_ms / 8.0;
    double queue = BACKLOG * each < world.late_ms ? BACKLOG * each : 0;

    return 100 + queue + (standing > least ? standing : least);
}

static void overload(struct world w, double times)
{
    unsigned told;

    begin(w);
    world.a_second = capacity() * times;
    run(until_it_refuses());
    count_anew();
    run(4000);
    told = figures.refused + figures.dropped;
    if (figures.served < 0.9 * 4 * capacity() || figures.in_vain > 0.05 * 4 * capacity() ||
        rank(figures.served_ms, figures.served, 0.5) > longest_median_ms() ||
        rank(figures.refused_ms, figures.refused, 0.5) > 100 ||
        told < 0.9 * (figures.came - 4 * capacity()))
        fail_msg("late_ms %u, %u us on %u workers, %g times as many, patience %u: phase %d, %u of "
                 "%u came were served, the median after %.0f ms, %u in vain, %u were told no, the "
                 "median after %.0f ms, %u not accepted",
                 world.late_ms, world.service_us, world.workers, times, world.patience_ms,
                 load.phase, figures.served, figures.came,
                 rank(figures.served_ms, figures.served, 0.5), figures.in_vain, figures.refused,
                 rank(figures.refused_ms, figures.refused, 0.5), figures.dropped);
}

static const unsigned lates[] = {50, 100, 250, 600, 1000, 2500, 5000, 10000};
#define LATES (sizeof lates / sizeof lates[0])

/* Whatever late_ms is, and however slow the handlers are. */
static void test_overload(void **state)
{
    static const unsigned services[] = {2000, 10000, 125000};

    (void)state;
    for (unsigned i = 0; i < LATES; i++) {
        for (unsigned s = 0; s < 3; s++) {
            for (double times = 2; times <= 5; times += 3)
                overload((struct world){.late_ms = lates[i],
                                        .workers = 2,
                                        .service_us = services[s],
                                        .patience_ms = 1200},
                         times);
        }
    }
    overload((struct world){.late_ms = 600, .workers = 1, .service_us = 10000, .patience_ms = 5000},
             10);
    overload((struct world){.late_ms = 1000, .workers = 4, .service_us = 4000, .patience_ms = 400},
             10);
}

/* A machine that gives the process a core now and then only: it serves less, that is all. */
static void test_overload_without_a_core(void **state)
{
    struct world w = {
        .late_ms = 600,
        .workers = 1,
        .service_us = 10000,
        .patience_ms = 1200,
        .pause_ms = 300,
        .every_ms = 350,
    };

    (void)state;
    begin(w);
    world.a_second = 500;
    run(20000);
    count_anew();
    run(7000);
    assert_int_equal(load.phase, SHS_LOAD_REFUSES);
    assert_true(figures.served > 0.8 * 7 * capacity() * 50 / 350);
    assert_true(figures.in_vain < figures.served / 10);
    assert_true(figures.refused > 5 * figures.served);
}

/* Fewer come than can be served, in bursts of a second's work, whatever late_ms is. */
static void test_no_overload(void **state)
{
    (void)state;
    for (unsigned i = 0; i < LATES; i++) {
        begin((struct world){
            .late_ms = lates[i], .workers = 2, .service_us = 10000, .patience_ms = 60000});
        for (unsigned second = 0; second < 20; second++) {
            for (unsigned n = 0; n < 150; n++)
                come(true);
            run(1000);
        }
        assert_int_equal(figures.refused + figures.dropped + figures.in_vain, 0);
        assert_int_equal(figures.served, 20 * 150);
    }
}

/* However long it takes: who is in a burst, and waits, is served. */
static void test_a_burst(void **state)
{
    (void)state;
    for (unsigned i = 0; i < LATES; i++) {
        begin((struct world){
            .late_ms = lates[i], .workers = 1, .service_us = 20000, .patience_ms = 60000});
        for (unsigned n = 0; n < BACKLOG; n++)
            come(true);
        run(20 * BACKLOG + 1000);
        assert_int_equal(figures.served, BACKLOG);
        assert_int_equal(load.phase, SHS_LOAD_CALM);
    }
}

/* Soon after the load has gone everybody is served, at once. */
static void test_recovery(void **state)
{
    (void)state;
    for (unsigned i = 0; i < LATES; i++) {
        begin((struct world){
            .late_ms = lates[i], .workers = 2, .service_us = 4000, .patience_ms = 5000});
        world.a_second = capacity() * 5;
        run(until_it_refuses());
        world.a_second = capacity() * 0.3;
        run(2500);
        count_anew();
        run(2000);
        assert_int_equal(figures.refused, 0);
        assert_true(figures.served > 0.29 * 2 * capacity());
        assert_true(rank(figures.served_ms, figures.served, 0.99) < 10);
        assert_int_equal(load.phase, SHS_LOAD_CALM);
    }
}

/* Who came while the process was stopped is owed an answer, also in the middle of an overload. */
static void stopped(double times)
{
    unsigned before;

    begin((struct world){.late_ms = 1000, .workers = 2, .service_us = 10000, .patience_ms = 60000});
    world.a_second = capacity() * times;
    run(until_it_refuses());
    now += ms(1000);
    for (unsigned n = 0; front.end - front.first < BACKLOG; n++)
        come(true);
    now += ms(19000);
    count_anew();
    before = figures.refused;
    world.a_second = 0;
    run(10000);
    assert_int_equal(figures.refused, before);
    assert_true(figures.served >= BACKLOG);
}

static void test_stopped(void **state)
{
    (void)state;
    stopped(0.5);
    stopped(5);
}

/* Clients who say nothing keep nobody else out for longer than it takes to know that it lasts. */
static void test_silent_clients(void **state)
{
    (void)state;
    begin((struct world){.late_ms = 1000,
                         .workers = 2,
                         .service_us = 10000,
                         .patience_ms = 1600,
                         .silent_a_second = 50});
    world.a_second = capacity() * 0.5;
    for (unsigned n = 0; n < 200; n++)
        come(true);
    run(4000);
    assert_int_equal(figures.refused + figures.in_vain, 0);
    assert_true(figures.served > 200 + 0.9 * 4 * 0.5 * capacity());
    world.a_second = capacity() * 3;
    run(6000);
    count_anew();
    run(4000);
    assert_true(figures.served > 0.9 * 4 * capacity());
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_overload),       cmocka_unit_test(test_overload_without_a_core),
        cmocka_unit_test(test_no_overload),    cmocka_unit_test(test_a_burst),
        cmocka_unit_test(test_recovery),       cmocka_unit_test(test_stopped),
        cmocka_unit_test(test_silent_clients),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
