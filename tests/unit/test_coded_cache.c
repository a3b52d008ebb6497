#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <sys/resource.h>
#include <unistd.h>

#include <cmocka.h>

#include "handler/coded_cache.h"

static char bytes[9 << 20];

/* What a tag gives: its size, or -1. */
static long long sizes(struct shs_coded_cache *cache, const char *tag)
{
    uint64_t size = 0;
    int fd = shs__coded_cache_get(cache, tag, &size);

    if (fd < 0)
        return -1;
    close(fd);
    return (long long)size;
}

static void put(struct shs_coded_cache *cache, const char *tag, size_t size)
{
    int fd = shs__coded_cache_put(cache, tag, bytes, size);

    assert_true(fd >= 0);
    assert_int_equal(lseek(fd, 0, SEEK_END), (off_t)size);
    close(fd);
}

static void test_cache(void **state)
{
    struct shs_coded_cache *cache;
    char tag[32], data[5];
    uint64_t size;
    int fd;

    SHS_UNUSED(state);
    assert_int_equal(shs__coded_cache_new(&cache), SHS_OK);
    assert_int_equal(sizes(cache, "\"a\""), -1);
    memcpy(bytes, "hello", 5);
    put(cache, "\"a\"", 5);
    fd = shs__coded_cache_get(cache, "\"a\"", &size);
    assert_int_equal(pread(fd, data, 5, 0), 5);
    assert_memory_equal(data, "hello", 5);
    close(fd);
    /* The least recently used one goes. */
    for (int i = 0; i < SHS_CODED_CACHE_ENTRIES; i++) {
        snprintf(tag, sizeof tag, "\"%d\"", i);
        put(cache, tag, 100);
        assert_int_equal(sizes(cache, "\"a\""), 5);
    }
    assert_int_equal(sizes(cache, "\"0\""), -1);
    assert_int_equal(sizes(cache, "\"1\""), 100);
    /* Four of 8 MiB fit; of five, the oldest goes, and all small ones with it. */
    for (int i = 0; i < 5; i++) {
        snprintf(tag, sizeof tag, "\"big%d\"", i);
        put(cache, tag, SHS_CODED_CACHE_BYTES / 4);
    }
    assert_int_equal(sizes(cache, "\"big0\""), -1);
    assert_int_equal(sizes(cache, "\"big4\""), SHS_CODED_CACHE_BYTES / 4);
    /* One that is too large is made, and not kept. */
    put(cache, "\"huge\"", SHS_CODED_CACHE_BYTES / 4 + 1);
    assert_int_equal(sizes(cache, "\"huge\""), -1);
    shs__coded_cache_free(cache);
    shs__coded_cache_free(NULL);
}

/* Without a descriptor the caller reads the plain file, of whose size nothing is to be changed. */
static void test_without_a_descriptor(void **state)
{
    struct shs_coded_cache *cache;
    struct rlimit before, none;
    uint64_t size = 6000;

    SHS_UNUSED(state);
    assert_int_equal(shs__coded_cache_new(&cache), SHS_OK);
    put(cache, "\"a\"", 5);
    assert_int_equal(getrlimit(RLIMIT_NOFILE, &before), 0);
    none = before;
    none.rlim_cur = 0;
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &none), 0);
    assert_int_equal(shs__coded_cache_get(cache, "\"a\"", &size), -1);
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &before), 0);
    assert_int_equal(size, 6000);
    shs__coded_cache_free(cache);
}

/* Two at a time, and one for the same file: who comes beyond that sends it as it is. */
static void test_workers(void **state)
{
    struct shs_coded_cache *cache;

    SHS_UNUSED(state);
    assert_int_equal(shs__coded_cache_new(&cache), SHS_OK);
    assert_true(shs__coded_cache_begin(cache, "a"));
    assert_false(shs__coded_cache_begin(cache, "a"));
    assert_true(shs__coded_cache_begin(cache, ""));
    assert_false(shs__coded_cache_begin(cache, "b"));
    shs__coded_cache_end(cache, "a");
    assert_true(shs__coded_cache_begin(cache, "")); /* what has no tag is never the same */
    shs__coded_cache_end(cache, "");
    shs__coded_cache_end(cache, "");
    assert_true(shs__coded_cache_begin(cache, "a"));
    assert_true(shs__coded_cache_begin(cache, "b"));
    shs__coded_cache_free(cache);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_cache),
                                       cmocka_unit_test(test_without_a_descriptor),
                                       cmocka_unit_test(test_workers)};

    return cmocka_run_group_tests(tests, NULL, NULL);
}
