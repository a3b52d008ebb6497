#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include <inttypes.h>
#include <stdio.h>

#include "base/number.h"
#include "h1_lab.h"

static void check(uint64_t number)
{
    char digits[SHS_DECIMAL_MAX], hex[SHS_HEX_MAX], want[24];
    struct shs_buf out;

    snprintf(want, sizeof want, "%" PRIu64, number);
    assert_true(shs__str_eq(shs__decimal(number, digits), shs__str(want)));
    shs__buf_init(&out, 64);
    assert_int_equal(shs__buf_append(&out, "n=", 2), SHS_OK);
    assert_int_equal(shs__buf_append_number(&out, number), SHS_OK);
    assert_int_equal(out.len, 2 + strlen(want));
    assert_memory_equal(shs__buf_head(&out) + 2, want, strlen(want));
    shs__buf_free(&out);
    snprintf(want, sizeof want, "%" PRIx64, number);
    assert_true(shs__str_eq(shs__hex(number, hex), shs__str(want)));
}

/* What printf makes of it. */
static void test_like_printf(void **state)
{
    uint64_t seed = 1, power = 1;

    SHS_UNUSED(state);
    for (int i = 0; i < 20; i++, power *= 10) {
        check(power - 1);
        check(power);
    }
    for (unsigned bit = 0; bit < 64; bit++) {
        check((uint64_t)1 << bit);
        check(((uint64_t)1 << bit) - 1);
    }
    check(UINT64_MAX);
    for (int i = 0; i < 20000; i++)
        check(h1_lab_next_random(&seed) >> (i % 64));
}

static void test_ceiling(void **state)
{
    struct shs_buf out;

    SHS_UNUSED(state);
    shs__buf_init(&out, 4);
    assert_int_equal(shs__buf_append_number(&out, 123), SHS_OK);
    assert_int_equal(shs__buf_append_number(&out, 45), SHS_LIMIT);
    assert_int_equal(out.len, 3);
    shs__buf_free(&out);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_like_printf),
        cmocka_unit_test(test_ceiling),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
