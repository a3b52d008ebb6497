#include <limits.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <shs/http.h>

#include "base/base.h"

static void test_known(void **state)
{
    SHS_UNUSED(state);
    assert_string_equal(shs_http_reason(100), "Continue");
    assert_string_equal(shs_http_reason(200), "OK");
    assert_string_equal(shs_http_reason(204), "No Content");
    assert_string_equal(shs_http_reason(304), "Not Modified");
    assert_string_equal(shs_http_reason(404), "Not Found");
    assert_string_equal(shs_http_reason(413), "Content Too Large"); /* RFC 9110's name */
    assert_string_equal(shs_http_reason(421), "Misdirected Request");
    assert_string_equal(shs_http_reason(431), "Request Header Fields Too Large");
    assert_string_equal(shs_http_reason(503), "Service Unavailable");
    assert_string_equal(shs_http_reason(511), "Network Authentication Required");
}

static void test_unknown(void **state)
{
    static const int none[] = {INT_MIN, -1,  0,   1,   99,  104, 299, 306,
                               418,     427, 430, 509, 512, 600, 999, INT_MAX};

    SHS_UNUSED(state);
    for (size_t i = 0; i < SHS_ARRAY_LEN(none); i++)
        assert_string_equal(shs_http_reason(none[i]), "");
}

/* It goes into a status line: printable ASCII, no CR LF, and each code has its own. */
static void test_all(void **state)
{
    int known = 0;

    SHS_UNUSED(state);
    for (int code = 0; code < 1000; code++) {
        const char *text = shs_http_reason(code);

        assert_non_null(text);
        known += text[0] != '\0';
        for (const char *p = text; *p != '\0'; p++)
            assert_true(*p >= ' ' && *p < 0x7f);
        for (int other = 100; other < code && text[0] != '\0'; other++)
            assert_string_not_equal(text, shs_http_reason(other));
    }
    assert_int_equal(known, 61);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_known),
        cmocka_unit_test(test_unknown),
        cmocka_unit_test(test_all),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
