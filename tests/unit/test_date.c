#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>

#include <cmocka.h>

#include "http/date.h"

#define NOW 1800000000 /* Fri, 15 Jan 2027 08:00:00 GMT */

static void check_format(time_t when, const char *expected)
{
    char text[SHS_HTTP_DATE_LEN + 1];

    memset(text, 'x', sizeof text);
    shs_http_date(when, text);
    assert_string_equal(text, expected);
}

static void test_format(void **state)
{
    SHS_UNUSED(state);
    check_format(784111777, "Sun, 06 Nov 1994 08:49:37 GMT"); /* RFC 9110 section 5.6.7 */
    check_format(0, "Thu, 01 Jan 1970 00:00:00 GMT");
    check_format(-1, "Wed, 31 Dec 1969 23:59:59 GMT");
    check_format(951782400, "Tue, 29 Feb 2000 00:00:00 GMT");
    check_format(951868800, "Wed, 01 Mar 2000 00:00:00 GMT");
    check_format(4107542399, "Sun, 28 Feb 2100 23:59:59 GMT");
    check_format(4107542400, "Mon, 01 Mar 2100 00:00:00 GMT");
    check_format((time_t)1 << 31, "Tue, 19 Jan 2038 03:14:08 GMT");
    check_format(NOW, "Fri, 15 Jan 2027 08:00:00 GMT");
}

static void test_format_ends_of_time(void **state)
{
    SHS_UNUSED(state);
    check_format(-62135596800, "Mon, 01 Jan 0001 00:00:00 GMT");
    check_format(-62135596801, "Mon, 01 Jan 0001 00:00:00 GMT");
    check_format(INT64_MIN, "Mon, 01 Jan 0001 00:00:00 GMT");
    check_format(253402300799, "Fri, 31 Dec 9999 23:59:59 GMT");
    check_format(253402300800, "Fri, 31 Dec 9999 23:59:59 GMT");
    check_format(INT64_MAX, "Fri, 31 Dec 9999 23:59:59 GMT");
}

/* Every day of 800 years, and back; glibc says the same. */
static void test_against_gmtime(void **state)
{
    SHS_UNUSED(state);
    for (int64_t day = -200000; day < 100000; day += 1) {
        time_t when = (time_t)(day * 86400 + (day * 7919 % 86400 + 86400) % 86400), back;
        char text[SHS_HTTP_DATE_LEN + 1], expected[64];
        struct tm tm;

        assert_non_null(gmtime_r(&when, &tm));
        assert_int_equal(strftime(expected, sizeof expected, "%a, %d %b %Y %H:%M:%S GMT", &tm),
                         SHS_HTTP_DATE_LEN);
        shs_http_date(when, text);
        assert_string_equal(text, expected);
        assert_true(shs_http_date_parse(shs__str(text), NOW, &back));
        assert_true(back == when);
    }
}

static void check_parse(const char *text, time_t expected)
{
    time_t when = 1;

    if (!shs_http_date_parse(shs__str(text), NOW, &when) || when != expected)
        fail_msg("\"%s\" gives %lld, not %lld", text, (long long)when, (long long)expected);
}

static void test_parse_three_forms(void **state)
{
    SHS_UNUSED(state);
    check_parse("Sun, 06 Nov 1994 08:49:37 GMT", 784111777);
    check_parse("Sunday, 06-Nov-94 08:49:37 GMT", 784111777);
    check_parse("Sun Nov  6 08:49:37 1994", 784111777);
    check_parse("Wed Nov 16 08:49:37 1994", 784975777);
    check_parse("Tue, 29 Feb 2000 00:00:00 GMT", 951782400);
    check_parse("Sat, 31 Dec 2016 23:59:60 GMT", 1483228800); /* a leap second */
    check_parse("Thu, 01 Jan 1970 00:00:00 GMT", 0);
}

static void test_century(void **state)
{
    SHS_UNUSED(state); /* now is 2027 */
    check_parse("Friday, 15-Jan-27 08:00:00 GMT", 1800000000);
    check_parse("Friday, 01-Jan-77 00:00:00 GMT", 3376684800); /* 2077: 50 years ahead */
    check_parse("Sunday, 01-Jan-78 00:00:00 GMT", 252460800);  /* 2078 would be 51: 1978 */
    check_parse("Saturday, 01-Jan-00 00:00:00 GMT", 946684800);
}

static void test_parse_refuses(void **state)
{
    static const char *const bad[] = {
        "",
        "x",
        "0",
        "Sun",
        "784111777",
        "Mon, 06 Nov 1994 08:49:37 GMT", /* it was a Sunday */
        "Sun, 6 Nov 1994 08:49:37 GMT",
        "sun, 06 nov 1994 08:49:37 gmt",
        "Sun, 06 Nov 1994 08:49:37 UTC",
        "Sun, 06 Nov 1994 08:49:37 +0000",
        "Sun, 06 Nov 1994 08:49:37",
        "Sun, 06 Nov 1994 08:49:37 GMT ",
        " Sun, 06 Nov 1994 08:49:37 GMT",
        "Sun, 06 Nov 1994 08:49:37 GMT, x",
        "Sun, 06 Nov 1994 8:49:37 GMT",
        "Sun, 06 Nov 1994 24:00:00 GMT",
        "Sun, 06 Nov 1994 08:60:37 GMT",
        "Sun, 06 Nov 1994 08:49:61 GMT",
        "Sun, 00 Nov 1994 08:49:37 GMT",
        "Thu, 31 Nov 1994 08:49:37 GMT",
        "Wed, 29 Feb 2023 00:00:00 GMT",
        "Mon, 29 Feb 2100 00:00:00 GMT",
        "Sun, 06 Nvo 1994 08:49:37 GMT",
        "Sat, 01 Jan 0000 00:00:00 GMT",
        "Sun, 06 Nov 19945 08:49:37 GMT",
        "Sun, -6 Nov 1994 08:49:37 GMT",
        "Sun, 06-Nov-94 08:49:37 GMT", /* RFC 850 has the whole name of the day */
        "Sunday, 06-Nov-1994 08:49:37 GMT",
        "Sunday, 06 Nov 94 08:49:37 GMT",
        "Monday, 06-Nov-94 08:49:37 GMT",
        "Sunday, 06-Nov-94 08:49:37 GMT ",
        "Sun, 06 Nov 1994 08:4/:37 GMT", /* the neighbours of digits are none */
        "Sun, 06 Nov 1994 08:3::37 GMT",
        "Sun Nov 6 08:49:37 1994",
        "Sun Nov 06 08:49:37 94",
        "Sun Nov  6 08:49:37 1994 GMT",
    };
    time_t when = 77;

    SHS_UNUSED(state);
    for (size_t i = 0; i < SHS_ARRAY_LEN(bad); i++) {
        if (shs_http_date_parse(shs__str(bad[i]), NOW, &when))
            fail_msg("\"%s\" was taken for a date", bad[i]);
    }
    assert_false(shs_http_date_parse((struct shs_str){NULL, 0}, NOW, &when));
    assert_int_equal(when, 77); /* written on success only */
}

static void test_every_prefix_is_refused(void **state)
{
    static const char *const good[] = {
        "Sun, 06 Nov 1994 08:49:37 GMT",
        "Sunday, 06-Nov-94 08:49:37 GMT",
        "Sun Nov  6 08:49:37 1994",
    };

    SHS_UNUSED(state);
    for (size_t i = 0; i < SHS_ARRAY_LEN(good); i++) {
        for (size_t len = 0; len < strlen(good[i]); len++) {
            char *exact = malloc(len > 0 ? len : 1); /* so that a sanitizer sees one byte too far */
            time_t when;

            assert_non_null(exact);
            memcpy(exact, good[i], len);
            assert_false(shs_http_date_parse((struct shs_str){exact, len}, NOW, &when));
            free(exact);
        }
    }
}

#define CLOCKS 4
#define READINGS 100000

/* Threads whose clocks jump by a second each time, all over one cache: many to a slot. */
static void *read_clock(void *arg)
{
    struct shs_second_texts *cache = arg;
    char got[SHS_SECOND_TEXT_MAX], want[9][SHS_HTTP_DATE_LEN + 1];

    for (int i = 0; i < 9; i++)
        shs_http_date(NOW + i, want[i]);
    for (int i = 0; i < READINGS; i++) {
        int step = i / 3 % 9;

        shs__date_cached(cache, NOW + step, got);
        if (strcmp(got, want[step]) != 0)
            return cache;
    }
    return NULL;
}

static void test_cached_is_never_another_second(void **state)
{
    struct shs_second_texts *cache = calloc(1, sizeof *cache);
    char got[SHS_SECOND_TEXT_MAX], want[SHS_SECOND_TEXT_MAX];
    pthread_t threads[CLOCKS];
    void *wrong;

    SHS_UNUSED(state);
    assert_non_null(cache);
    for (int i = 0; i < CLOCKS; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, read_clock, cache), 0);
    for (int i = 0; i < CLOCKS; i++) {
        assert_int_equal(pthread_join(threads[i], &wrong), 0);
        assert_null(wrong);
    }
    /* What is there is used: a mark in it comes back. */
    shs__date_cached(cache, NOW + 100, want);
    atomic_fetch_xor(&cache->slots[(NOW + 100) % 4].text[0], 1);
    shs__date_cached(cache, NOW + 100, got);
    want[0] ^= 1;
    assert_string_equal(got, want);
    free(cache);
    for (time_t when = -1; when <= 0; when++) {
        shs__date_cached(NULL, when, got);
        shs_http_date(when, want);
        assert_string_equal(got, want);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_format),
        cmocka_unit_test(test_format_ends_of_time),
        cmocka_unit_test(test_against_gmtime),
        cmocka_unit_test(test_parse_three_forms),
        cmocka_unit_test(test_century),
        cmocka_unit_test(test_parse_refuses),
        cmocka_unit_test(test_every_prefix_is_refused),
        cmocka_unit_test(test_cached_is_never_another_second),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
