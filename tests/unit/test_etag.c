#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include <fcntl.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#include "handler/conditional.h"
#include "handler/content_tag.h"

/* What a tag is made of, and what is not in it: a server of its own, an inode. */
static void test_format(void **state)
{
    char content[SHS_CONTENT_TAG_LEN + 1], etag[SHS_ETAG_SIZE], other[SHS_ETAG_SIZE];
    struct stat st;

    SHS_UNUSED(state);
    assert_true(shs__content_tag_of("hello\n", 6, content));
    assert_string_equal(content, "5891b5b522d5df086d0ff0b110fbd9d2"); /* sha256sum, half of it */
    shs__etag_strong(etag, content);
    assert_string_equal(etag, "\"5891b5b522d5df086d0ff0b110fbd9d2\"");
    shs__etag_add(etag, "gzip");
    assert_string_equal(etag, "\"5891b5b522d5df086d0ff0b110fbd9d2-gzip\"");
    assert_true(shs__content_tag_of("", 0, content));
    assert_string_equal(content, "e3b0c44298fc1c149afbf4c8996fb924");

    memset(&st, 0, sizeof st);
    st.st_mtim.tv_sec = 1;
    st.st_mtim.tv_nsec = 2;
    st.st_ctim.tv_nsec = 3;
    st.st_size = 13;
    shs__etag_weak(etag, &st);
    assert_string_equal(etag, "W/\"d-3b9aca02-3\"");
    st.st_ino = 7;
    st.st_dev = 8;
    shs__etag_weak(other, &st);
    assert_string_equal(etag, other);
    st.st_ctim.tv_nsec = 4;
    shs__etag_weak(other, &st);
    assert_string_not_equal(etag, other);

    memset(&st, 0xff, sizeof st); /* the longest there is still fits, with what is added */
    shs__etag_weak(etag, &st);
    shs__etag_add(etag, "zstd");
    assert_non_null(strstr(etag, "-zstd\""));
    memset(content, 'f', SHS_CONTENT_TAG_LEN);
    shs__etag_strong(etag, content);
    shs__etag_add(etag, "ffffffffffffffff");
    shs__etag_add(etag, "zstd");
    assert_non_null(strstr(etag, "-zstd\""));
}

/* PUT of a file that was got in another coding: the same file. */
static void test_content(void **state)
{
    static const char content[] = "00112233445566778899aabbccddeeff";
    static const struct {
        const char *list;
        bool found, strong;
    } cases[] = {
        {"\"00112233445566778899aabbccddeeff\"", true, true},
        {"\"00112233445566778899aabbccddeeff-gzip\"", true, true},
        {"\"00112233445566778899aabbccddeeff-0123456789abcdef-br\"", true, true},
        {"\"x\", \"00112233445566778899aabbccddeeff-br\"", true, true},
        {"W/\"00112233445566778899aabbccddeeff-gzip\"", true, false},
        {"*", true, true},
        {"\"00112233445566778899aabbccddeef\"", false, false},
        {"\"00112233445566778899aabbccddeeff0\"", false, false},
        {"\"-00112233445566778899aabbccddeeff\"", false, false},
        {"\"10112233445566778899aabbccddeeff-gzip\"", false, false},
        {"00112233445566778899aabbccddeeff", false, false},
        {"", false, false},
    };

    SHS_UNUSED(state);
    for (size_t i = 0; i < SHS_ARRAY_LEN(cases); i++) {
        if (shs__etag_content_in(shs__str(cases[i].list), content, false) != cases[i].found ||
            shs__etag_content_in(shs__str(cases[i].list), content, true) != cases[i].strong)
            fail_msg("%s", cases[i].list);
    }
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
    /* And one of ours that is weak names no bytes. */
    assert_false(shs__etag_in(SHS_STR("W/\"a-1\", \"a-1\""), "W/\"a-1\"", true));
    assert_true(shs__etag_in(SHS_STR("W/\"a-1\""), "W/\"a-1\"", false));
    assert_true(shs__etag_in(SHS_STR("\"a-1\""), "W/\"a-1\"", false));
}

/* -- many at once ask for the tag of a file that was just written ------------------------------ */

#define ASKERS 32u
#define SIZE ((size_t)8 << 20)

static struct {
    struct shs_content_tags *tags;
    enum shs_tag_need need;
    int fd;
    pthread_barrier_t together;
    _Atomic unsigned made;
} many;

static int64_t process_cpu_ns(void)
{
    struct timespec ts;

    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &ts);
    return (int64_t)ts.tv_sec * SHS_NS_PER_S + ts.tv_nsec;
}

static bool tag_of_it(enum shs_tag_need need)
{
    char tag[SHS_CONTENT_TAG_LEN + 1];
    struct stat st;

    assert_int_equal(fstat(many.fd, &st), 0);
    if (!shs__content_tag(many.tags, many.fd, &st, need, tag))
        return false;
    assert_string_equal(tag, "2daeb1f36095b44b318410b3f4e8b5d9"); /* sha256sum of 8 MiB of zeros */
    return true;
}

static void *ask(void *unused)
{
    pthread_barrier_wait(&many.together);
    if (tag_of_it(many.need))
        atomic_fetch_add(&many.made, 1);
    return unused;
}

static void *ask_nothing(void *unused)
{
    pthread_barrier_wait(&many.together);
    return unused;
}

/* What so many at once cost of the processors. */
static int64_t all_at_once(void *(*do_it)(void *))
{
    pthread_t threads[ASKERS];
    int64_t began = process_cpu_ns();

    pthread_barrier_init(&many.together, NULL, ASKERS);
    for (unsigned i = 0; i < ASKERS; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, do_it, NULL), 0);
    for (unsigned i = 0; i < ASKERS; i++)
        pthread_join(threads[i], NULL);
    pthread_barrier_destroy(&many.together);
    return process_cpu_ns() - began;
}

/* It is read for all of them, and not for each; who can do without its tag does not wait for it. */
static void test_read_once_for_all(void **state)
{
    static const enum shs_tag_need needs[] = {SHS_TAG_MUST, SHS_TAG_AT_HAND};
    char path[] = "/tmp/shs-etag.XXXXXX";
    int64_t began, once, threads;

    (void)state;
    many.fd = mkstemp(path);
    assert_true(many.fd >= 0);
    assert_int_equal(ftruncate(many.fd, SIZE), 0);
    for (size_t n = 0; n < SHS_ARRAY_LEN(needs); n++) {
        assert_int_equal(shs__content_tags_new(&many.tags), SHS_OK);
        many.need = needs[n];
        atomic_store(&many.made, 0);
        assert_int_equal(futimens(many.fd, NULL), 0);
        began = process_cpu_ns();
        assert_true(tag_of_it(many.need));
        once = process_cpu_ns() - began;
        threads = all_at_once(ask_nothing);
        assert_int_equal(futimens(many.fd, NULL), 0);
        assert_true(all_at_once(ask) < ASKERS / 2 * once + 2 * threads);
        if (many.need == SHS_TAG_MUST)
            assert_int_equal(many.made, ASKERS);
        assert_true(many.made > 0);
        shs__content_tags_free(many.tags);
    }
    close(many.fd);
    unlink(path);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_format),
        cmocka_unit_test(test_content),
        cmocka_unit_test(test_list),
        cmocka_unit_test(test_strong),
        cmocka_unit_test(test_read_once_for_all),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
