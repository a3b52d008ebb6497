#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "handler/conditional.h"

static void test_format(void **state)
{
    struct stat st;
    char etag[SHS_ETAG_SIZE], other[SHS_ETAG_SIZE];

    SHS_UNUSED(state);
    memset(&st, 0, sizeof st);
    st.st_mtim.tv_sec = 1;
    st.st_mtim.tv_nsec = 2;
    st.st_size = 13;
    st.st_ino = 0xabc;
    shs__etag_format(etag, &st);
    assert_string_equal(etag, "\"3b9aca02-d-abc\"");
    st.st_mtim.tv_nsec = 3;
    shs__etag_format(other, &st);
    assert_string_not_equal(etag, other);

    memset(&st, 0xff, sizeof st); /* the longest there is still fits */
    st.st_mtim.tv_sec = -1;
    st.st_mtim.tv_nsec = 0;
    shs__etag_format(etag, &st);
    assert_int_equal(etag[strlen(etag) - 1], '"');
}

static void test_list(void **state)
{
    static const struct {
        const char *list;
        bool found;
    } cases[] = {
        {"\"a-1\"", true},
        {"W/\"a-1\"", true}, /* the weak comparison */
        {"*", true},
        {"\"x\", \"a-1\"", true},
        {"\"x\",W/\"y\",  \"a-1\" ,", true},
        {" , \"a-1\"", true},
        {"\"x, y\", \"a-1\"", true}, /* a comma may stand in a tag */
        {"\"a-1", false},
        {"a-1", false},
        {"\"a-2\"", false},
        {"\"a-1\\\"", false},
        {"\"\"", false},
        {"W/", false},
        {"W/\"", false},
        {"w/\"a-1\"", false},
        {"", false},
        {"**", false},
        {"x, \"a-1\"", false},
    };

    SHS_UNUSED(state);
    for (size_t i = 0; i < SHS_ARRAY_LEN(cases); i++) {
        if (shs__etag_in(shs__str(cases[i].list), "\"a-1\"", false) != cases[i].found)
            fail_msg("If-None-Match: %s", cases[i].list);
    }
}

/* If-Match asks for the very bytes: a weak tag is not enough (RFC 9110 section 13.1.1). */
static void test_strong(void **state)
{
    SHS_UNUSED(state);
    assert_true(shs__etag_in(SHS_STR("\"x\", \"a-1\""), "\"a-1\"", true));
    assert_true(shs__etag_in(SHS_STR("*"), "\"a-1\"", true));
    assert_false(shs__etag_in(SHS_STR("W/\"a-1\""), "\"a-1\"", true));
    assert_true(shs__etag_in(SHS_STR("W/\"a-1\", \"a-1\""), "\"a-1\"", true));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_format),
        cmocka_unit_test(test_list),
        cmocka_unit_test(test_strong),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
