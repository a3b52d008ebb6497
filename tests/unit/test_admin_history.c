/*
 * test_admin_history.c - what the status page is drawn from: durations as they are counted, and the
 * ring of points.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "admin/history.h"

static int by_value(const void *a, const void *b)
{
    int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;

    return x < y ? -1 : x > y;
}

/* A quantile is the true one, within an eighth of it and a microsecond. */
static void assert_near(int64_t got, int64_t wanted)
{
    if (got < wanted - wanted / 4 - 1 || got > wanted + wanted / 4 + 1)
        fail_msg("%lld us, and it should be about %lld", (long long)got, (long long)wanted);
}

static void test_quantiles_are_those_of_the_durations(void **state)
{
    enum { MANY = 20000 };
    static int64_t us[MANY];
    static struct shs_admin_tally tally;
    struct shs_admin_tally_sum sum;
    unsigned seed = 7;

    (void)state;
    for (int spread = 1; spread < 26; spread += 4) {
        memset(&tally, 0, sizeof tally);
        memset(&sum, 0, sizeof sum);
        for (int i = 0; i < MANY; i++) {
            seed = seed * 1103515245u + 12345u;
            us[i] = (int64_t)(seed >> 4) % ((int64_t)1 << spread);
            shs__admin_tally_count(&tally, 200, us[i] * 1000);
        }
        qsort(us, MANY, sizeof us[0], by_value);
        shs__admin_tally_add(&tally, &sum);
        assert_int_equal(sum.classes[2], MANY);
        assert_near(shs__admin_tally_quantile(sum.durations, 50), us[MANY / 2 - 1]);
        assert_near(shs__admin_tally_quantile(sum.durations, 99), us[MANY / 100 * 99 - 1]);
        assert_near(shs__admin_tally_quantile(sum.durations, 100), us[MANY - 1]);
    }
}

static void test_odd_answers_are_counted(void **state)
{
    static const struct {
        int status;
        size_t class;
    } rows[] = {{0, 0},   {99, 0},  {100, 1}, {199, 1}, {204, 2},
                {304, 3}, {499, 4}, {599, 5}, {600, 0}, {-1, 0}};
    static struct shs_admin_tally tally;
    struct shs_admin_tally_sum sum;

    (void)state;
    for (size_t i = 0; i < SHS_ARRAY_LEN(rows); i++) {
        memset(&tally, 0, sizeof tally);
        memset(&sum, 0, sizeof sum);
        shs__admin_tally_count(&tally, rows[i].status, i % 2 == 0 ? -5 : INT64_MAX);
        shs__admin_tally_add(&tally, &sum);
        for (size_t c = 0; c < SHS_ADMIN_CLASSES; c++)
            assert_int_equal(sum.classes[c], c == rows[i].class);
        assert_true(shs__admin_tally_quantile(sum.durations, 99) >= 0);
    }
    memset(&sum, 0, sizeof sum);
    assert_int_equal(shs__admin_tally_quantile(sum.durations, 99), 0);
}

static void test_the_ring_keeps_the_last_points(void **state)
{
    static struct shs_admin_point points[SHS_ADMIN_POINTS];
    uint64_t lately[SHS_ADMIN_DURATIONS], all = 0;
    struct shs_admin_moment now = {.connections = 0};
    struct shs_admin_history *history = NULL;

    (void)state;
    assert_int_equal(shs__admin_history_new(&history, &now), SHS_OK);
    assert_int_equal(shs__admin_history_copy(history, points, 10, lately), 0);
    assert_false(shs__admin_history_due(history));
    for (size_t n = 1; n <= 2 * SHS_ADMIN_POINTS + 7; n++) {
        size_t kept = n < SHS_ADMIN_POINTS ? n : SHS_ADMIN_POINTS;

        now.connections = n;
        now.answers.classes[2] += n;
        now.answers.durations[40] += n;
        now.failed += 2;
        shs__admin_history_put(history, &now);
        assert_int_equal(shs__admin_history_count(history), n);
        assert_int_equal(shs__admin_history_copy(history, points, 2, lately), kept);
        assert_int_equal(points[kept - 1].connections, n);
        assert_int_equal(points[0].connections, n + 1 - kept);
        assert_int_equal(points[kept - 1].requests, n);
        assert_int_equal(points[kept - 1].failed, 2);
        assert_int_equal(lately[40], n == 1 ? 1 : n + n - 1);
    }
    (void)shs__admin_history_copy(history, points, SHS_ADMIN_POINTS, lately);
    for (size_t i = 0; i < SHS_ADMIN_DURATIONS; i++)
        all += lately[i];
    assert_int_equal(all, (2 * SHS_ADMIN_POINTS + 7 + SHS_ADMIN_POINTS + 8) *
                              (uint64_t)SHS_ADMIN_POINTS / 2);
    /* a server that has gone took its numbers along */
    memset(&now, 0, sizeof now);
    shs__admin_history_put(history, &now);
    (void)shs__admin_history_copy(history, points, 1, lately);
    assert_int_equal(points[SHS_ADMIN_POINTS - 1].requests, 0);
    shs__admin_history_free(history);
    shs__admin_history_free(NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_quantiles_are_those_of_the_durations),
        cmocka_unit_test(test_odd_answers_are_counted),
        cmocka_unit_test(test_the_ring_keeps_the_last_points),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
