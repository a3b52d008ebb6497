/*
 * llhttp is built strict. LLHTTP_STRICT_MODE must be defined on the compiler's command line for
 * llhttp.c; a lost -D would bring CVE-2023-30589 and CVE-2025-23167 back without a word. Here
 * llhttp is alone, without the guard in front.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>
#include <llhttp.h>

static llhttp_errno_t parse(const char *bytes)
{
    static const llhttp_settings_t no_callbacks;
    llhttp_t llhttp;

    llhttp_init(&llhttp, HTTP_REQUEST, &no_callbacks);
    return llhttp_execute(&llhttp, bytes, strlen(bytes));
}

static void test_cr_ends_no_head(void **state) /* CVE-2025-23167 */
{
    (void)state;
    assert_int_equal(parse("GET / HTTP/1.1\r\nHost: a\r\n\rX"), HPE_STRICT);
}

static void test_cr_ends_no_field(void **state) /* CVE-2023-30589 */
{
    (void)state;
    assert_int_not_equal(parse("POST / HTTP/1.1\r\nHost: a\r\n"
                               "X-Abc:\rxTransfer-Encoding: chunked\r\n"
                               "\r\n1\r\nA\r\n0\r\n\r\n"),
                         HPE_OK);
}

static void test_chunk_data_needs_crlf(void **state)
{
    (void)state;
    assert_int_equal(parse("POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n"
                           "5\r\nhelloXX0\r\n\r\n"),
                     HPE_STRICT);
}

static void test_it_accepts_what_is_right(void **state) /* or the others would prove nothing */
{
    (void)state;
    assert_int_equal(parse("GET / HTTP/1.1\r\nHost: a\r\n\r\n"), HPE_OK);
    assert_int_equal(parse("POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n"
                           "5\r\nhello\r\n0\r\n\r\n"),
                     HPE_OK);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_cr_ends_no_head),
        cmocka_unit_test(test_cr_ends_no_field),
        cmocka_unit_test(test_chunk_data_needs_crlf),
        cmocka_unit_test(test_it_accepts_what_is_right),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
