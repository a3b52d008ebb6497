/* How the end of an answer is found, while it comes in pieces. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <string.h>
#include <time.h>

#include "testing/answer.h"

#define ROOM ((size_t)1 << 20)

static struct shs_test_answer *begin(void)
{
    struct shs_test_answer *answer = shs__test_answer_new(ROOM);

    assert_non_null(answer);
    return answer;
}

static void put(struct shs_test_answer *answer, const char *bytes, size_t len)
{
    assert_int_equal(shs__buf_append(&answer->bytes, bytes, len), SHS_OK);
}

/* Byte by byte it is whole at the same one as all at once, or never. */
static void pieces_are_as_good_as_all_at_once(void **state)
{
#define HEAD "HTTP/1.1 200 OK\r\n"
#define CHUNKED HEAD "Transfer-Encoding: chunked\r\n\r\n"
    static const struct {
        const char *whole, *more; /* whole NULL: it never is */
    } all[] = {
        {HEAD "Content-Length: 4\r\n\r\nbody", "more"},
        {NULL, HEAD "\r\nbody"},
        {"HTTP/1.1 204 No\r\nA: b\r\n\r\n", "more"},
        {"HTTP/1.1 103 Hi\r\nA: b\r\n\r\nHTTP/1.1 100 Go\r\n\r\n" CHUNKED
         "3\r\nabc\r\nA;x=y\r\n0123456789\r\n0\r\nT: u\r\n\r\n",
         "more"},
        {CHUNKED "3\r\nabcd\r", "\n"}, /* nothing that comes makes it better */
        {CHUNKED "xyz\r\n", ""},
        {HEAD "no field\r\n", "\r\n"},
        {"SSH-2.0-OpenSSH\r\n", ""},
    };

    (void)state;
    for (size_t i = 0; i < SHS_ARRAY_LEN(all); i++) {
        struct shs_test_answer *slow = begin();
        size_t wanted = all[i].whole == NULL ? 0 : strlen(all[i].whole), whole = 0;
        char text[400];
        size_t len = (size_t)snprintf(text, sizeof text, "%s%s",
                                      all[i].whole == NULL ? "" : all[i].whole, all[i].more);

        for (size_t n = 1; n <= len && whole == 0; n++) {
            struct shs_test_answer *fresh = begin();

            put(slow, text + n - 1, 1);
            put(fresh, text, n);
            if (shs__test_answer_is_whole(slow, false))
                whole = n;
            assert_int_equal(shs__test_answer_is_whole(fresh, false), whole == n);
            shs_test_answer_free(fresh);
        }
        if (whole != wanted)
            fail_msg("%s: whole with %zu bytes, not %zu", text, whole, wanted);
        shs_test_answer_free(slow);
    }
}

static double cpu_seconds(void)
{
    struct timespec now;

    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
    return (double)now.tv_sec + (double)now.tv_nsec / 1e9;
}

/* A head of many fields that drips: to read all of it again for each byte took minutes. */
static void a_long_head_that_drips_costs_little(void **state)
{
    struct shs_test_answer *answer = begin();
    double began = cpu_seconds();
    char field[80];

    (void)state;
    put(answer, "HTTP/1.1 200 OK\r\n", 17);
    for (int i = 0; i < 5000; i++) {
        int len = snprintf(field, sizeof field, "X-Field-%d: one of very many\r\n", i);

        for (int k = 0; k < len; k++) {
            put(answer, field + k, 1);
            assert_false(shs__test_answer_is_whole(answer, false));
        }
    }
    put(answer, "X: ", 3);
    for (int i = 0; i < 200000; i++) {
        put(answer, "x", 1);
        assert_false(shs__test_answer_is_whole(answer, false));
    }
    put(answer, "\r\nContent-Length: 0\r\n\r\n", 23);
    assert_true(shs__test_answer_is_whole(answer, false));
    assert_true(cpu_seconds() - began < 10);
    shs_test_answer_free(answer);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(pieces_are_as_good_as_all_at_once),
        cmocka_unit_test(a_long_head_that_drips_costs_little),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
