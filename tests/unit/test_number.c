#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

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

static void shorten(const char *text, const char *want)
{
    char buf[200];
    size_t len;

    snprintf(buf, sizeof buf, "%s", text);
    len = shs__json_shorten(buf, strlen(buf));
    buf[len] = '\0';
    assert_string_equal(buf, want);
}

static void test_reals_of_json(void **state)
{
    uint64_t seed = 7;
    char text[40];
    size_t len;

    SHS_UNUSED(state);
    shorten("[0.0030000000000000001,-0.10000000000000001]", "[0.003,-0.1]");
    shorten("{\"a\":1.0,\"b\":0.30000000000000004,\"c\":[1,2.5]}",
            "{\"a\":1.0,\"b\":0.30000000000000004,\"c\":[1,2.5]}");
    shorten("[3.1999999999999999e25,12345678901234567890,0.33333333333333331]",
            "[3.1999999999999999e25,12345678901234567890,0.3333333333333333]");
    /* a text is a text */
    shorten("[\"0.0030000000000000001\",\"\\\"0.0030000000000000001\\\\\",0.0030000000000000001]",
            "[\"0.0030000000000000001\",\"\\\"0.0030000000000000001\\\\\",0.003]");
    shorten("\"cut off 0.0030000000000000001", "\"cut off 0.0030000000000000001");
    shorten("0.0030000000000000001", "0.003");
    shorten("", "");
    assert_int_equal(shs__json_shorten(NULL, 0), 0);
    for (int i = 0; i < 20000; i++) {
        double value;

        seed = seed * 6364136223846793005u + 1442695040888963407u;
        value = i % 2 == 0 ? (double)(seed >> 44) / 1000 : (double)(seed >> 11) * 0x1p-53;
        len = (size_t)snprintf(text, sizeof text, "%.17g", value);
        len = shs__json_shorten(text, len);
        text[len] = '\0';
        assert_true(strtod(text, NULL) == value);
        assert_true(i % 2 != 0 || len <= 11); /* thousandths have no more to say */
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_like_printf),
        cmocka_unit_test(test_reals_of_json),
        cmocka_unit_test(test_ceiling),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
