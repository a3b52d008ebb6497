#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>

#include <cmocka.h>

#include "handler/range.h"

/* What came out, as text: "whole", "416", or "0+5 7+1". */
static const char *outcome(const char *value, uint64_t size, char *text, size_t cap)
{
    struct shs_range ranges[SHS_RANGES_MAX + 1];
    size_t count = 0, len = 0;

    switch (shs__ranges_parse(shs__str(value), size, ranges, &count)) {
    case SHS_RANGE_WHOLE:
        return "whole";
    case SHS_RANGE_UNSATISFIABLE:
        return "416";
    case SHS_RANGE_PARTS:
        break;
    }
    text[0] = '\0';
    for (size_t i = 0; i < count; i++) {
        assert_true(ranges[i].length > 0);
        assert_true(ranges[i].first + ranges[i].length <= size);
        len += (size_t)snprintf(text + len, cap - len, "%s%llu+%llu", i == 0 ? "" : " ",
                                (unsigned long long)ranges[i].first,
                                (unsigned long long)ranges[i].length);
    }
    return text;
}

static const struct {
    const char *value;
    uint64_t size;
    const char *outcome;
} cases[] = {
    /* RFC 9110 section 14.1.2 */
    {"bytes=0-499", 10000, "0+500"},
    {"bytes=500-999", 10000, "500+500"},
    {"bytes=-500", 10000, "9500+500"},
    {"bytes=9500-", 10000, "9500+500"},
    {"bytes=0-0,-1", 10000, "0+1 9999+1"},
    {"bytes= 0-0, 4500-5499 ,-1000", 10000, "0+1 4500+1000 9000+1000"},
    {"BYTES=0-1", 10, "0+2"}, /* range units are case-insensitive */
    {"bytes=0-99", 10, "0+10"},
    {"bytes=-99", 10, "0+10"},
    {"bytes=9-9", 10, "9+1"},
    {"bytes=,0-1,,3-4,", 10, "0+2 3+2"},
    {"bytes=3-4,0-1", 10, "3+2 0+2"}, /* in the order that was asked for */
    /* not there */
    {"bytes=10-", 10, "416"},
    {"bytes=10-20", 10, "416"},
    {"bytes=-0", 10, "416"},
    {"bytes=10-,20-30", 10, "416"},
    {"bytes=10-,0-1", 10, "0+2"},
    /* overlaps, and what touches, become one */
    {"bytes=0-4,3-8", 10, "0+9"},
    {"bytes=0-4,5-9", 10, "0+10"},
    {"bytes=0-1,4-5,2-3", 10, "0+6"},
    {"bytes=0-0,2-2,4-4,0-9", 10, "0+10"},
    {"bytes=8-9,0-1,1-8", 10, "0+10"},
    {"bytes=6-7,0-1,3-3,2-2", 10, "6+2 0+4"},
    {"bytes=0-,0-,0-,0-,0-,0-,0-,0-", 10, "0+10"},
    {"bytes=0-18446744073709551615", 10, "0+10"},
    {"bytes=0-99999999999999999999999999", 10, "0+10"},
    {"bytes=99999999999999999999999999-", 10, "416"},
    {"bytes=-99999999999999999999999999", 10, "0+10"},
    /* malformed, or another unit: as if nobody had asked */
    {"", 10, "whole"},
    {"bytes", 10, "whole"},
    {"bytes=", 10, "whole"},
    {"bytes=,", 10, "whole"},
    {"bytes=-", 10, "whole"},
    {"bytes=1", 10, "whole"},
    {"bytes=a-b", 10, "whole"},
    {"bytes=5-4", 10, "whole"},
    {"bytes=0-1,5-4", 10, "whole"},
    {"bytes=0-1 5-6", 10, "whole"},
    {"bytes=0 -1", 10, "whole"},
    {"bytes=0x1-2", 10, "whole"},
    {"bytes=0x1", 10, "whole"},
    {"bytes=+1-2", 10, "whole"},
    {"lines=0-1", 10, "whole"},
    {"bytes =0-1", 10, "whole"},
    {"bytes=0-", 0, "whole"},
    {"bytes=-1", 0, "whole"},
    /* sixteen, and one too many */
    {"bytes=0-0,2-2,4-4,6-6,8-8,10-10,12-12,14-14,16-16,18-18,20-20,22-22,24-24,26-26,28-28,30-30",
     99, "0+1 2+1 4+1 6+1 8+1 10+1 12+1 14+1 16+1 18+1 20+1 22+1 24+1 26+1 28+1 30+1"},
    {"bytes=0-0,2-2,4-4,6-6,8-8,10-10,12-12,14-14,16-16,18-18,20-20,22-22,24-24,26-26,28-28,30-30,"
     "32-32",
     99, "whole"},
};

static void test_cases(void **state)
{
    char text[512];

    SHS_UNUSED(state);
    for (size_t i = 0; i < SHS_ARRAY_LEN(cases); i++) {
        const char *got = outcome(cases[i].value, cases[i].size, text, sizeof text);

        if (strcmp(got, cases[i].outcome) != 0)
            fail_msg("%s of %llu: %s, wanted %s", cases[i].value, (unsigned long long)cases[i].size,
                     got, cases[i].outcome);
    }
}

/* A value ends where its length says, whatever is behind it. */
static void test_cut(void **state)
{
    struct shs_range ranges[SHS_RANGES_MAX];
    size_t count = 0;

    SHS_UNUSED(state);
    assert_int_equal(shs__ranges_parse((struct shs_str){"bytes=1-2", 7}, 10, ranges, &count),
                     SHS_RANGE_WHOLE);
    assert_int_equal(shs__ranges_parse((struct shs_str){"bytes=1-2,", 9}, 10, ranges, &count),
                     SHS_RANGE_PARTS);
    assert_int_equal(shs__ranges_parse((struct shs_str){"bytes=1-2x", 9}, 10, ranges, &count),
                     SHS_RANGE_PARTS);
}

/* Whatever is asked for: disjoint, not touching, and never more than the file. */
static void test_never_more_than_the_file(void **state)
{
    struct shs_range ranges[SHS_RANGES_MAX + 1];
    uint32_t seed = 1;
    char value[256];

    SHS_UNUSED(state);
    for (int round = 0; round < 20000; round++) {
        size_t len = (size_t)snprintf(value, sizeof value, "bytes="), count = 0;
        uint64_t total = 0;

        for (int i = 0; i < 8; i++) {
            unsigned first, more;

            seed = seed * 1664525u + 1013904223u;
            first = seed >> 16 & 63;
            more = seed >> 24 & 15;
            len += (size_t)snprintf(value + len, sizeof value - len, "%u-%u,", first, first + more);
        }
        if (shs__ranges_parse(shs__str(value), 50, ranges, &count) != SHS_RANGE_PARTS)
            continue;
        for (size_t i = 0; i < count; i++) {
            total += ranges[i].length;
            for (size_t j = 0; j < i; j++)
                assert_true(ranges[i].first + ranges[i].length < ranges[j].first ||
                            ranges[j].first + ranges[j].length < ranges[i].first);
        }
        assert_true(total <= 50);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_cases),
        cmocka_unit_test(test_cut),
        cmocka_unit_test(test_never_more_than_the_file),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
