/* test_thread_pool_queue.c - who waits for a worker, and whose turn it is: without any thread. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <limits.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "server/thread_pool.h"

static struct shs_pool_group group;
static struct shs_pool_slot slots[6];
static struct shs_pool_worker worker;
static struct shs_pool_line *const a = &group.lines[0], *const b = &group.lines[1];

static int open_group(void **state)
{
    SHS_UNUSED(state);
    memset(&group, 0, sizeof group);
    memset(slots, 0, sizeof slots);
    memset(&worker, 0, sizeof worker);
    pthread_mutex_init(&group.ready_lock, NULL);
    group.kick_fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
    for (unsigned i = 0; i < 2; i++) {
        group.lines[i].group = &group;
        atomic_init(&group.lines[i].bound, UINT_MAX);
    }
    return group.kick_fd >= 0 ? 0 : -1;
}

static int close_group(void **state)
{
    SHS_UNUSED(state);
    close(group.kick_fd);
    pthread_mutex_destroy(&group.ready_lock);
    return 0;
}

/* Slot number n joins a line. */
static void push(unsigned n, const struct shs_pool_line *line)
{
    atomic_store(&slots[n].line, (uint16_t)(line - group.lines));
    shs__pool_ready_push(&group, &slots[n]);
}

/* The number of the one whose turn it is; -1: nobody's. */
static int pop(void)
{
    struct shs_pool_slot *slot = shs__pool_ready_pop(&group, &worker);

    return slot == NULL ? -1 : (int)(slot - slots);
}

static bool was_kicked(void)
{
    uint64_t count;

    return read(group.kick_fd, &count, sizeof count) == (ssize_t)sizeof count;
}

static unsigned ready(void)
{
    return atomic_load(&group.ready_count);
}

static void lines_have_their_turns(void **state)
{
    SHS_UNUSED(state);
    assert_int_equal(pop(), -1);
    push(0, a);
    push(1, b);
    push(2, a);
    push(3, a);
    push(4, b);
    assert_int_equal(ready(), 5);
    assert_int_equal(pop(), 0);
    assert_int_equal(pop(), 1);
    assert_int_equal(pop(), 2);
    assert_int_equal(pop(), 4);
    push(1, b);
    assert_int_equal(pop(), 3);
    assert_int_equal(pop(), 1);
    assert_int_equal(pop(), -1);
    assert_int_equal(ready(), 0);
    assert_false(worker.counted); /* there is no bound */
    assert_int_equal(atomic_load(&a->running) + atomic_load(&b->running), 0);
}

static void a_line_at_its_bound_is_held(void **state)
{
    SHS_UNUSED(state);
    atomic_store(&a->bound, 1);
    push(0, a);
    push(1, a);
    push(2, b);
    assert_int_equal(pop(), 0);
    assert_true(worker.counted);
    assert_int_equal(atomic_load(&a->running), 1);
    assert_int_equal(pop(), 2);
    assert_false(worker.counted);
    assert_int_equal(pop(), -1);
    assert_true(atomic_load(&a->held));
    assert_int_equal(ready(), 0);
    push(3, a); /* behind it, and nobody looks for it */
    assert_int_equal(ready(), 0);
    assert_int_equal(atomic_load(&a->count), 2);
    assert_int_equal(pop(), -1);
    shs__pool_line_release(a); /* there is no room */
    assert_true(atomic_load(&a->held));
    assert_false(was_kicked());
    shs__pool_line_leave(a);
    assert_true(was_kicked());
    assert_false(atomic_load(&a->held));
    assert_int_equal(ready(), 2);
    assert_int_equal(pop(), 1);
    assert_int_equal(atomic_load(&a->running), 1);
    shs__pool_line_release(b); /* it is not held */
    assert_false(was_kicked());
}

static void who_enters_is_counted(void **state)
{
    SHS_UNUSED(state);
    atomic_store(&a->bound, 2);
    assert_true(shs__pool_line_enter(a));
    assert_true(shs__pool_line_enter(a));
    assert_false(shs__pool_line_enter(a));
    assert_int_equal(atomic_load(&a->running), 2);
    shs__pool_line_leave(a);
    assert_true(shs__pool_line_enter(a));
}

/* Those that have waited for too long leave from the front, whatever else their line waits for. */
static void who_has_waited_since_then_leaves(void **state)
{
    SHS_UNUSED(state);
    push(0, a);
    push(1, a);
    slots[0].queued_ns = 100;
    slots[1].queued_ns = 200;
    assert_null(shs__pool_line_pop(a, 99));
    assert_ptr_equal(shs__pool_line_pop(a, 100), &slots[0]);
    assert_null(shs__pool_line_pop(a, 199));
    assert_int_equal(ready(), 1);
    assert_ptr_equal(shs__pool_line_pop(a, INT64_MAX), &slots[1]);
    assert_null(shs__pool_line_pop(a, INT64_MAX));
    assert_int_equal(ready(), 0);
    assert_int_equal(pop(), -1);
}

static void a_held_line_can_become_empty(void **state)
{
    SHS_UNUSED(state);
    atomic_store(&a->bound, 1);
    push(0, a);
    push(1, a);
    push(2, b);
    push(3, b);
    assert_int_equal(pop(), 0);
    assert_int_equal(pop(), 2);
    assert_int_equal(pop(), 3); /* a is held from here on */
    assert_ptr_equal(shs__pool_line_pop(a, INT64_MAX), &slots[1]);
    assert_int_equal(ready(), 0);
    shs__pool_line_leave(a);
    assert_false(atomic_load(&a->held));
    assert_false(was_kicked()); /* for nobody waits */
    push(4, a);
    push(5, b);
    assert_int_equal(ready(), 2);
    assert_int_equal(pop() + pop(), 9);
    assert_int_equal(pop(), -1);
}

#define TEST(function) cmocka_unit_test_setup_teardown(function, open_group, close_group)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(lines_have_their_turns),       TEST(a_line_at_its_bound_is_held),
        TEST(who_enters_is_counted),        TEST(who_has_waited_since_then_leaves),
        TEST(a_held_line_can_become_empty),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
