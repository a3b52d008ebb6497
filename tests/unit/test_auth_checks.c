/* test_auth_checks.c - who verifies a password now, who waits, and what is verified once. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/keyed_hash.h"
#include "handler/auth_checks.h"
#include "patience.h"

#define GOOD_HOME 1u
#define BAD_HOME 2u

static struct shs_checks *checks;

static void pause_a_little(void)
{
    usleep(500);
}

/* Threads are on the stack of the test that waits, so it cannot be left: all is over. */
#define WAIT_UNTIL(condition)                                                                      \
    do {                                                                                           \
        int64_t until_ = shs_now_ns() + (int64_t)patience_ms() * SHS_NS_PER_MS;                    \
                                                                                                   \
        while (!(condition)) {                                                                     \
            if (shs_now_ns() > until_) {                                                           \
                fprintf(stderr, "line %d: not seen: %s\n", __LINE__, #condition);                  \
                _Exit(1);                                                                          \
            }                                                                                      \
            pause_a_little();                                                                      \
        }                                                                                          \
    } while (0)

/* A verification goes on until the gate is open, or a ticket is there. */
static atomic_uint verifying, verified;
static atomic_int tickets; /* how many may pass the gate */

struct visit {
    pthread_t thread;
    uint64_t address;
    unsigned char password;
    bool right, fails, guilty;
    enum shs_check_turn turn; /* as it came out */
    uint64_t order;           /* in which its turn came */
    atomic_bool over;
};

static void *go(void *arg)
{
    struct visit *v = arg;
    struct shs_check check;

    memset(check.digest, v->password, sizeof check.digest);
    check.address = v->address;
    v->turn = shs__checks_enter(checks, &check);
    if (v->turn == SHS_CHECK_YOURS) {
        v->order = check.turn;
        v->guilty = check.guilty;
        atomic_fetch_add(&verifying, 1);
        for (;;) {
            int left = atomic_load(&tickets);

            if (left > 0 && atomic_compare_exchange_weak(&tickets, &left, left - 1))
                break;
            pause_a_little();
        }
        atomic_fetch_add(&verified, 1);
        atomic_fetch_sub(&verifying, 1);
        shs__checks_done(checks, &check, v->right, v->fails);
    }
    atomic_store(&v->over, true);
    return NULL;
}

static void begin(struct visit *v, uint64_t address, unsigned char password, bool right)
{
    *v = (struct visit){.address = address, .password = password, .right = right};
    assert_int_equal(pthread_create(&v->thread, NULL, go, v), 0);
}

static void end(struct visit *v)
{
    WAIT_UNTIL(atomic_load(&v->over));
    assert_int_equal(pthread_join(v->thread, NULL), 0);
}

static void open_checks(unsigned wait_ms)
{
    assert_int_equal(shs__checks_new(&checks, wait_ms), SHS_OK);
    atomic_store(&verifying, 0);
    atomic_store(&verified, 0);
    atomic_store(&tickets, 0);
}

/* One visit alone, which is verified if it has to be. */
static enum shs_check_turn visit(uint64_t address, unsigned char password, bool right)
{
    struct visit v;

    atomic_store(&tickets, 1);
    begin(&v, address, password, right);
    end(&v);
    atomic_store(&tickets, 0);
    return v.turn;
}

static void test_equal_ones_are_verified_once(void **state)
{
    struct visit first, others[20];

    (void)state;
    open_checks(60000);
    begin(&first, GOOD_HOME, 'a', true);
    WAIT_UNTIL(atomic_load(&verifying) == 1);
    for (unsigned i = 0; i < 20; i++)
        begin(&others[i], GOOD_HOME, 'a', true);
    atomic_store(&tickets, 1);
    end(&first);
    assert_int_equal(first.turn, SHS_CHECK_YOURS);
    for (unsigned i = 0; i < 20; i++) {
        end(&others[i]);
        assert_int_equal(others[i].turn, SHS_CHECK_RIGHT);
    }
    assert_int_equal(atomic_load(&verified), 1);
    assert_int_equal(visit(BAD_HOME, 'a', true), SHS_CHECK_RIGHT); /* known from anywhere */
    shs__checks_free(checks);
}

/* Wrong ones are told to those who wait as well, and not remembered. */
static void test_wrong_ones(void **state)
{
    struct visit first, other;

    (void)state;
    open_checks(60000);
    begin(&first, GOOD_HOME, 'a', false);
    WAIT_UNTIL(atomic_load(&verifying) == 1);
    begin(&other, GOOD_HOME, 'a', false);
    atomic_store(&tickets, 2); /* in case the second came late, and verifies itself */
    end(&first);
    end(&other);
    assert_true(other.turn == SHS_CHECK_WRONG || other.turn == SHS_CHECK_YOURS);
    assert_int_equal(visit(GOOD_HOME, 'a', true), SHS_CHECK_YOURS);
    assert_int_equal(visit(GOOD_HOME, 'a', true), SHS_CHECK_RIGHT);
    shs__checks_free(checks);
}

/* A verification that failed for want of memory says nothing: who waited does it again. */
static void test_a_failed_one(void **state)
{
    struct visit first = {.address = GOOD_HOME, .password = 'a', .fails = true}, other;

    (void)state;
    open_checks(60000);
    assert_int_equal(pthread_create(&first.thread, NULL, go, &first), 0);
    WAIT_UNTIL(atomic_load(&verifying) == 1);
    begin(&other, GOOD_HOME, 'a', true);
    atomic_store(&tickets, 2);
    end(&first);
    end(&other);
    assert_int_equal(other.turn, SHS_CHECK_YOURS);
    shs__checks_free(checks);
}

static void make_guilty(uint64_t address)
{
    for (unsigned i = 0; i <= SHS_CHECKS_FORGIVEN; i++)
        assert_int_equal(visit(address, (unsigned char)('A' + i), false), SHS_CHECK_YOURS);
}

/* A guesser has one place at most, and comes behind those who have not guessed. */
static void test_guessers_wait(void **state)
{
    struct visit bad[8], good[2];
    unsigned earlier = 0;

    (void)state;
    open_checks(60000);
    make_guilty(BAD_HOME);
    for (unsigned i = 0; i < 8; i++)
        begin(&bad[i], BAD_HOME, (unsigned char)i, false);
    WAIT_UNTIL(atomic_load(&verifying) == 1);
    begin(&good[0], GOOD_HOME, 'g', true);
    WAIT_UNTIL(atomic_load(&verifying) == 2); /* at once, beside one of eight */
    begin(&good[1], GOOD_HOME, 'h', true);
    WAIT_UNTIL(shs__checks_waiting(checks) == 8);
    atomic_store(&tickets, 100);
    end(&good[0]);
    end(&good[1]);
    assert_int_equal(good[0].turn, SHS_CHECK_YOURS);
    assert_int_equal(good[1].turn, SHS_CHECK_YOURS);
    for (unsigned i = 0; i < 8; i++) {
        end(&bad[i]);
        assert_int_equal(bad[i].turn, SHS_CHECK_YOURS); /* none is turned away */
        earlier += bad[i].order < good[1].order;
    }
    assert_int_equal(earlier, 1); /* the one that ran already, and none of those that waited */
    shs__checks_free(checks);
}

/* An address that has its place in the table with a guesser's: 1024 of them have one each. */
static void test_a_neighbour_is_innocent(void **state)
{
    struct visit v;

    (void)state;
    open_checks(60000);
    make_guilty(BAD_HOME);
    atomic_store(&tickets, 2);
    begin(&v, BAD_HOME, 'x', true);
    end(&v);
    assert_true(v.guilty);
    begin(&v, BAD_HOME + 1024, 'y', true);
    end(&v);
    assert_int_equal(v.turn, SHS_CHECK_YOURS);
    assert_false(v.guilty);
    shs__checks_free(checks);
}

/* Who would follow a check that is followed by as many as may. */
static void test_followers_have_a_bound(void **state)
{
    struct shs_check leader = {.address = GOOD_HOME};
    struct visit v;

    (void)state;
    open_checks(60000);
    memset(leader.digest, 'a', sizeof leader.digest);
    assert_int_equal(shs__checks_enter(checks, &leader), SHS_CHECK_YOURS);
    leader.followers = SHS_CHECKS_FOLLOWERS;
    begin(&v, GOOD_HOME, 'a', true);
    end(&v);
    assert_int_equal(v.turn, SHS_CHECK_TOO_MANY);
    leader.followers = 0;
    shs__checks_done(checks, &leader, true, false);
    assert_int_equal(visit(GOOD_HOME, 'a', true), SHS_CHECK_RIGHT);
    shs__checks_free(checks);
}

static void test_bounds(void **state)
{
    struct visit running[2], waiting[SHS_CHECKS_WAITING], late;
    struct shs_check one_more;
    unsigned count = 0;

    (void)state;
    open_checks(60000);
    begin(&running[0], 100, 200, true);
    begin(&running[1], 101, 201, true);
    WAIT_UNTIL(atomic_load(&verifying) == 2);
    for (unsigned i = 0; i < SHS_CHECKS_WAITING_OF_ONE; i++)
        begin(&waiting[count++], BAD_HOME, (unsigned char)i, false);
    WAIT_UNTIL(shs__checks_waiting(checks) == SHS_CHECKS_WAITING_OF_ONE);
    memset(one_more.digest, 199, sizeof one_more.digest);
    one_more.address = BAD_HOME;
    assert_int_equal(shs__checks_enter(checks, &one_more), SHS_CHECK_TOO_MANY);
    for (; count < SHS_CHECKS_WAITING; count++) /* others have room, up to the bound for all */
        begin(&waiting[count], 1000 + count, (unsigned char)count, true);
    WAIT_UNTIL(shs__checks_waiting(checks) == SHS_CHECKS_WAITING);
    begin(&late, GOOD_HOME, 'g', true);
    end(&late);
    assert_int_equal(late.turn, SHS_CHECK_TOO_MANY);
    atomic_store(&tickets, 100000);
    for (unsigned i = 0; i < count; i++) {
        end(&waiting[i]);
        assert_int_equal(waiting[i].turn, SHS_CHECK_YOURS);
    }
    end(&running[0]);
    end(&running[1]);
    shs__checks_free(checks);
}

static void test_nobody_waits_for_ever(void **state)
{
    struct visit running[2], late, equal;
    int64_t began;

    (void)state;
    open_checks(50);
    begin(&running[0], 100, 200, true);
    begin(&running[1], 101, 201, true);
    WAIT_UNTIL(atomic_load(&verifying) == 2);
    began = shs_now_ns();
    begin(&late, GOOD_HOME, 'g', true);
    begin(&equal, GOOD_HOME, 200, true);
    end(&late);
    end(&equal);
    assert_true(shs_now_ns() - began >= 50 * SHS_NS_PER_MS);
    assert_int_equal(late.turn, SHS_CHECK_TOO_MANY);
    assert_int_equal(equal.turn, SHS_CHECK_TOO_MANY);
    atomic_store(&tickets, 2);
    end(&running[0]);
    end(&running[1]);
    shs__checks_free(checks);
    shs__checks_free(NULL);
}

/* The vectors of SipHash-1-3, key 00 01 .. 0f, input 00 01 .. len - 1. */
static void test_keyed_hash(void **state)
{
    static const uint64_t wanted[] = {UINT64_C(0xabac0158050fc4dc), UINT64_C(0xc9f49bf37d57ca93),
                                      UINT64_C(0x82cb9b024dc7d44d), UINT64_C(0x8bf80ab8e7ddf7fb)};
    const uint64_t key[2] = {UINT64_C(0x0706050403020100), UINT64_C(0x0f0e0d0c0b0a0908)};
    const unsigned char in[] = {0, 1, 2, 3};

    (void)state;
    for (size_t len = 0; len < SHS_ARRAY_LEN(wanted); len++)
        assert_true(shs__keyed_hash(key, in, len) == wanted[len]);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_equal_ones_are_verified_once),
        cmocka_unit_test(test_wrong_ones),
        cmocka_unit_test(test_a_failed_one),
        cmocka_unit_test(test_guessers_wait),
        cmocka_unit_test(test_a_neighbour_is_innocent),
        cmocka_unit_test(test_followers_have_a_bound),
        cmocka_unit_test(test_bounds),
        cmocka_unit_test(test_nobody_waits_for_ever),
        cmocka_unit_test(test_keyed_hash),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
