/*
 * test_file_cache.c - what is kept is what is there: a file that changes in any way is read again.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#include "handler/file_cache.h"

struct place {
    char path[64];
    int fd;
    struct shs_file_cache *cache;
};

static void write_file(const struct place *p, const char *name, const char *text)
{
    int fd = openat(p->fd, name, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);

    assert_true(fd >= 0);
    assert_int_equal(write(fd, text, strlen(text)), (ssize_t)strlen(text));
    close(fd);
}

/* Waits until a file that was just written may be kept: its time is more than a second ago. */
static void settle(void)
{
    struct timespec ts = {.tv_sec = 1, .tv_nsec = 20000000};

    nanosleep(&ts, NULL);
}

/* What serving the file does: from the cache, or from the disk and then into the cache. */
static bool keep(const struct place *p, const char *name)
{
    char data[64];
    struct stat st;
    ssize_t n;
    int fd = openat(p->fd, name, O_RDONLY | O_CLOEXEC);
    struct shs_kept_file *file;

    assert_true(fd >= 0);
    assert_int_equal(fstat(fd, &st), 0);
    n = read(fd, data, sizeof data);
    close(fd);
    assert_true(n >= 0);
    shs__file_cache_put(p->cache, shs__str(name), &st, data, (size_t)n);
    file = shs__file_cache_get(p->cache, p->fd, shs__str(name), 0);
    if (file != NULL)
        shs__file_cache_release(file);
    return file != NULL;
}

static bool has(const struct place *p, const char *name, const char *text)
{
    struct shs_kept_file *file = shs__file_cache_get(p->cache, p->fd, shs__str(name), 0);
    bool same;

    if (file == NULL)
        return false;
    same = file->size == strlen(text) && memcmp(file->data, text, file->size) == 0;
    shs__file_cache_release(file);
    return same;
}

static int set_up(void **state)
{
    struct place *p = calloc(1, sizeof *p);

    assert_non_null(p);
    snprintf(p->path, sizeof p->path, "/tmp/shs-file-cache.XXXXXX");
    assert_non_null(mkdtemp(p->path));
    p->fd = open(p->path, O_PATH | O_DIRECTORY | O_CLOEXEC);
    assert_int_equal(shs__file_cache_new(&p->cache), SHS_OK);
    *state = p;
    return 0;
}

static int tear_down(void **state)
{
    struct place *p = *state;
    char command[96];

    shs__file_cache_free(p->cache);
    close(p->fd);
    snprintf(command, sizeof command, "rm -rf %s", p->path);
    assert_int_equal(system(command), 0);
    free(p);
    return 0;
}

static void test_a_settled_file_is_kept(void **state)
{
    struct place *p = *state;
    struct shs_kept_file *file;
    struct stat st;
    int64_t begun;
    bool kept;

    begun = shs_now_ns();
    write_file(p, "a", "one");
    kept = keep(p, "a");
    for (int i = 0; i < 20 && shs_now_ns() - begun > SHS_NS_PER_S / 2; i++) { /* too late to tell */
        begun = shs_now_ns();
        write_file(p, "a", "one");
        kept = keep(p, "a");
    }
    assert_false(kept); /* the next change might have the same time */
    settle();
    assert_false(has(p, "a", "one"));
    assert_true(keep(p, "a"));
    assert_true(has(p, "a", "one"));
    assert_false(has(p, "b", "one"));
    file = shs__file_cache_get(p->cache, p->fd, SHS_STR("a"), 0);
    assert_non_null(file);
    assert_int_equal(fstatat(p->fd, "a", &st, 0), 0);
    assert_int_equal(file->st.st_ino, st.st_ino);
    assert_int_equal(file->etag[0], '"');
    shs__file_cache_free(p->cache); /* who has the file keeps it */
    assert_int_equal(shs__file_cache_new(&p->cache), SHS_OK);
    assert_memory_equal(file->data, "one", 3);
    shs__file_cache_release(file);
}

static void write_in_place(const struct place *p, const char *name)
{
    write_file(p, name, "two"); /* as long as before */
}

static void rename_over(const struct place *p, const char *name)
{
    assert_int_equal(renameat(p->fd, "new", p->fd, name), 0);
}

static void set_time_back(const struct place *p, const char *name)
{
    const struct timespec long_ago[2] = {{.tv_sec = 1000000000}, {.tv_sec = 1000000000}};
    int fd = openat(p->fd, name, O_WRONLY | O_CLOEXEC);

    assert_int_equal(pwrite(fd, "TWO", 3, 0), 3);
    close(fd);
    assert_int_equal(utimensat(p->fd, name, long_ago, 0), 0);
}

static void forbid(const struct place *p, const char *name)
{
    assert_int_equal(fchmodat(p->fd, name, 0, 0), 0); /* not for everybody any more */
}

static void remove_it(const struct place *p, const char *name)
{
    assert_int_equal(unlinkat(p->fd, name, 0), 0);
}

static void test_every_change_is_seen(void **state)
{
    static const struct {
        const char *name;
        void (*change)(const struct place *p, const char *name);
    } rows[] = {
        {"in-place", write_in_place}, {"renamed", rename_over},
        {"set-back", set_time_back},  {"mode", forbid},
        {"removed", remove_it},
    };
    struct place *p = *state;

    write_file(p, "new", "two");
    for (size_t i = 0; i < SHS_ARRAY_LEN(rows); i++)
        write_file(p, rows[i].name, "one");
    settle();
    for (size_t i = 0; i < SHS_ARRAY_LEN(rows); i++)
        assert_true(keep(p, rows[i].name));
    for (size_t i = 0; i < SHS_ARRAY_LEN(rows); i++) {
        assert_true(has(p, rows[i].name, "one"));
        rows[i].change(p, rows[i].name);
        if (has(p, rows[i].name, "one"))
            fail_msg("%s", rows[i].name);
    }
}

/* Does it have the file for a request that was there at that moment? */
static bool has_since(const struct place *p, const char *name, int64_t since_ns)
{
    struct shs_kept_file *file = shs__file_cache_get(p->cache, p->fd, shs__str(name), since_ns);

    if (file != NULL)
        shs__file_cache_release(file);
    return file != NULL;
}

static void test_one_look_serves_all_who_were_there(void **state)
{
    struct place *p = *state;
    int64_t before, after;

    write_file(p, "a", "one");
    settle();
    assert_true(keep(p, "a"));
    before = shs_now_ns();
    assert_true(has_since(p, "a", before)); /* looks, since nobody has since then */
    after = shs_now_ns() + 1;
    write_file(p, "a", "two");
    assert_true(has_since(p, "a", before)); /* asked for before the change: that look will do */
    assert_true(has_since(p, "a", before - SHS_NS_PER_S));
    assert_false(has_since(p, "a", after)); /* asked for after it */
    assert_false(has_since(p, "a", before));

    settle();
    assert_true(keep(p, "a"));
    before = shs_now_ns();
    assert_true(has_since(p, "a", before));
    write_file(p, "a", "one");
    assert_false(has_since(p, "a", 0)); /* nobody knows when it was asked for */
}

static void test_a_link_that_leads_elsewhere_is_seen(void **state)
{
    struct place *p = *state;

    assert_int_equal(mkdirat(p->fd, "v1", 0755), 0);
    assert_int_equal(mkdirat(p->fd, "v2", 0755), 0);
    write_file(p, "v1/a", "one");
    write_file(p, "v2/a", "two");
    assert_int_equal(symlinkat("v1", p->fd, "now"), 0);
    settle();
    assert_true(keep(p, "now/a"));
    assert_true(has(p, "now/a", "one"));
    assert_int_equal(symlinkat("v2", p->fd, "next"), 0);
    assert_int_equal(renameat(p->fd, "next", p->fd, "now"), 0); /* as releases are swapped */
    assert_false(has(p, "now/a", "one"));
    assert_true(keep(p, "now/a"));
    assert_true(has(p, "now/a", "two"));
}

static void test_what_is_not_kept(void **state)
{
    struct place *p = *state;
    char *large = calloc(1, SHS_FILE_CACHE_MAX + 1);
    struct stat st;

    assert_non_null(large);
    write_file(p, "a", "one");
    settle();
    assert_int_equal(fstatat(p->fd, "a", &st, 0), 0);
    shs__file_cache_put(p->cache, SHS_STR("a"), &st, "on", 2); /* it became shorter meanwhile */
    assert_false(has(p, "a", "on"));
    st.st_size = (off_t)SHS_FILE_CACHE_MAX + 1;
    shs__file_cache_put(p->cache, SHS_STR("a"), &st, large, SHS_FILE_CACHE_MAX + 1);
    assert_null(shs__file_cache_get(p->cache, p->fd, SHS_STR("a"), 0));
    assert_null(shs__file_cache_get(NULL, p->fd, SHS_STR("a"), 0));
    shs__file_cache_put(NULL, SHS_STR("a"), &st, "one", 3);
    free(large);
}

static void test_it_has_a_bound(void **state)
{
    struct place *p = *state;
    unsigned kept = 0, count = 3 * SHS_FILE_CACHE_ENTRIES;
    char name[16];

    for (unsigned i = 0; i < count; i++) {
        snprintf(name, sizeof name, "%u", i);
        write_file(p, name, name);
    }
    settle();
    for (unsigned i = 0; i < count; i++) {
        snprintf(name, sizeof name, "%u", i);
        assert_true(keep(p, name)); /* the newest always has room */
    }
    for (unsigned i = 0; i < count; i++) {
        snprintf(name, sizeof name, "%u", i);
        kept += has(p, name, name);
    }
    assert_in_range(kept, SHS_FILE_CACHE_ENTRIES / 2, SHS_FILE_CACHE_ENTRIES);
}

static void *churn(void *arg)
{
    struct place *p = arg;

    for (unsigned i = 0; i < 20000; i++) {
        char name[16];

        snprintf(name, sizeof name, "%u", i % 8);
        if (i % 16 < 8)
            (void)keep(p, name);
        else
            (void)has(p, name, name);
    }
    return NULL;
}

static void test_threads(void **state)
{
    struct place *p = *state;
    pthread_t threads[4];
    char name[16];

    for (unsigned i = 0; i < 8; i++) {
        snprintf(name, sizeof name, "%u", i);
        write_file(p, name, name);
    }
    settle();
    for (unsigned i = 0; i < 4; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, churn, p), 0);
    for (unsigned i = 0; i < 4; i++)
        pthread_join(threads[i], NULL);
    for (unsigned i = 0; i < 8; i++) {
        snprintf(name, sizeof name, "%u", i);
        assert_true(has(p, name, name));
    }
}

static int run_at_once(const struct CMUnitTest *tests, size_t count)
{
    int failed = 0, status;

    for (size_t i = 0; i < count; i++) {
        const struct CMUnitTest one[] = {tests[i]};
        pid_t child = fork();

        if (child == 0)
            exit(cmocka_run_group_tests(one, NULL, NULL) == 0 ? 0 : 1);
        failed += child < 0;
    }
    while (wait(&status) > 0)
        failed += !WIFEXITED(status) || WEXITSTATUS(status) != 0;
    return failed;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_a_settled_file_is_kept, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_every_change_is_seen, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_one_look_serves_all_who_were_there, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_a_link_that_leads_elsewhere_is_seen, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(test_what_is_not_kept, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_it_has_a_bound, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_threads, set_up, tear_down),
    };

    /* Most of it is waiting: each in a process of its own, all at the same time. */
    return run_at_once(tests, SHS_ARRAY_LEN(tests));
}
