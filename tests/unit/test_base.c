/* Floor 0: ceilings hold, text is whole, and time never makes a caller spin. */
#include <errno.h>
#include <limits.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>

#include <cmocka.h>

#include <fcntl.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

#include <shs/options.h>
#include <shs/version.h>

#include "base/base.h"
#include "base/file_state.h"

/* -- struct shs_buf ---------------------------------------------------------------------------- */

static bool buf_is(const struct shs_buf *b, struct shs_str expected)
{
    return shs__str_eq((struct shs_str){b->len > 0 ? shs__buf_head(b) : "", b->len}, expected);
}

static void test_buf_starts_empty(void **state)
{
    struct shs_buf b;

    SHS_UNUSED(state);
    shs__buf_init(&b, 100);
    assert_null(b.data); /* an idle connection costs nothing */
    assert_int_equal(b.len, 0);
    assert_int_equal(shs__buf_append(&b, NULL, 0), SHS_OK);
    assert_null(b.data);
    shs__buf_free(&b);
    shs__buf_free(&b);
}

static void test_buf_append_and_consume(void **state)
{
    struct shs_buf b;

    SHS_UNUSED(state);
    shs__buf_init(&b, 100);
    assert_int_equal(shs__buf_append(&b, "hello ", 6), SHS_OK);
    assert_int_equal(shs__buf_append_str(&b, SHS_STR("world")), SHS_OK);
    assert_true(buf_is(&b, SHS_STR("hello world")));
    shs__buf_consume(&b, 6);
    assert_true(buf_is(&b, SHS_STR("world")));
    shs__buf_consume(&b, 5);
    assert_int_equal(b.len, 0);
    assert_int_equal(b.start, 0); /* the whole room is there again */
    shs__buf_free(&b);
}

static void test_buf_ceiling(void **state)
{
    static const char bytes[101];
    struct shs_buf b;

    SHS_UNUSED(state);
    shs__buf_init(&b, 100);
    assert_int_equal(shs__buf_append(&b, bytes, 101), SHS_LIMIT);
    assert_int_equal(shs__buf_reserve(&b, SIZE_MAX), SHS_LIMIT);
    assert_int_equal(b.len, 0);
    assert_int_equal(shs__buf_append(&b, bytes, 100), SHS_OK);
    assert_true(b.cap <= 100);
    assert_int_equal(shs__buf_append(&b, "x", 1), SHS_LIMIT);
    assert_int_equal(shs__buf_reserve(&b, SIZE_MAX), SHS_LIMIT);
    assert_int_equal(b.len, 100);
    shs__buf_consume(&b, 1);
    assert_int_equal(shs__buf_append(&b, "x", 1), SHS_OK); /* room at the front counts as room */
    assert_int_equal(b.len, 100);
    assert_int_equal(*(shs__buf_tail(&b) - 1), 'x');
    shs__buf_free(&b);
}

static void test_buf_keeps_its_content_when_it_grows(void **state)
{
    struct shs_buf b;
    size_t consumed = 0;

    SHS_UNUSED(state);
    shs__buf_init(&b, 20000);
    for (int i = 0; i < 20000; i++) {
        char c = (char)(i % 251);

        assert_int_equal(shs__buf_append(&b, &c, 1), SHS_OK);
        if (i % 7 == 0) {
            shs__buf_consume(&b, 1);
            consumed++;
        }
    }
    assert_int_equal(b.len, 20000 - consumed);
    for (size_t i = 0; i < b.len; i++)
        assert_int_equal(shs__buf_head(&b)[i], (char)((i + consumed) % 251));
    assert_true(b.cap <= b.ceiling);
    shs__buf_free(&b);
}

/* What points into the old block stays good. */
static void test_buf_renew(void **state)
{
    struct shs_buf b;
    char *old = NULL;
    const char *view;

    SHS_UNUSED(state);
    shs__buf_init(&b, 2000);
    assert_int_equal(shs__buf_append_str(&b, SHS_STR("gone, kept")), SHS_OK);
    shs__buf_consume(&b, 6);
    view = shs__buf_head(&b);
    assert_int_equal(shs__buf_renew(&b, 1997, &old), SHS_LIMIT);
    assert_int_equal(shs__buf_renew(&b, SIZE_MAX, &old), SHS_LIMIT);
    assert_null(old);
    assert_ptr_equal(shs__buf_head(&b), view);
    assert_int_equal(shs__buf_renew(&b, 1996, &old), SHS_OK);
    assert_true(shs__buf_room(&b) >= 1996);
    assert_true(buf_is(&b, SHS_STR("kept")));
    assert_ptr_not_equal(shs__buf_head(&b), view);
    shs__buf_free(&b);
    assert_memory_equal(view, "kept", 4);
    shs__free(old);
    assert_int_equal(shs__buf_renew(&b, 1, &old), SHS_OK); /* nothing is there to be kept */
    assert_null(old);
    shs__buf_free(&b);
}

static void test_buf_odd_ceilings(void **state)
{
    SHS_UNUSED(state);
    for (size_t ceiling = 0; ceiling < 3000; ceiling += 37) {
        struct shs_buf b;
        size_t len = 0;

        shs__buf_init(&b, ceiling);
        while (shs__buf_append(&b, "abc", 3) == SHS_OK)
            len += 3;
        assert_int_equal(len, ceiling / 3 * 3);
        assert_true(b.cap <= ceiling);
        shs__buf_free(&b);
    }
}

static void test_buf_reserve_gives_room(void **state)
{
    struct shs_buf b;

    SHS_UNUSED(state);
    shs__buf_init(&b, 4096);
    assert_int_equal(shs__buf_append(&b, "abcdef", 6), SHS_OK);
    shs__buf_consume(&b, 3);
    assert_int_equal(shs__buf_reserve(&b, 4093), SHS_OK);
    assert_true(shs__buf_room(&b) >= 4093);
    assert_true(buf_is(&b, SHS_STR("def")));
    assert_int_equal(shs__buf_reserve(&b, 4094), SHS_LIMIT);
    assert_true(buf_is(&b, SHS_STR("def")));
    shs__buf_free(&b);
}

static void test_buf_printf(void **state)
{
    struct shs_buf b;

    SHS_UNUSED(state);
    shs__buf_init(&b, 12);
    assert_int_equal(shs__buf_printf(&b, "%d-%s", 42, "abc"), SHS_OK);
    assert_true(buf_is(&b, SHS_STR("42-abc")));
    assert_int_equal(shs__buf_printf(&b, "%s", "123456789"), SHS_LIMIT);
    assert_true(buf_is(&b, SHS_STR("42-abc"))); /* as it was */
    shs__buf_free(&b);
}

/* -- struct shs_arena -------------------------------------------------------------------------- */

static void test_arena_aligns_and_separates(void **state)
{
    struct shs_arena a;
    char *before = NULL;

    SHS_UNUSED(state);
    shs__arena_init(&a, 1 << 20);
    assert_null(a.chunks);
    for (size_t size = 1; size < 300; size++) {
        char *p = shs__arena_alloc(&a, size);

        assert_non_null(p);
        assert_int_equal((uintptr_t)p % _Alignof(max_align_t), 0);
        memset(p, (int)(size & 0x7f), size);
        if (before != NULL) /* the one before is untouched */
            assert_int_equal(before[size - 2], (char)((size - 1) & 0x7f));
        before = p;
    }
    shs__arena_free(&a);
    assert_int_equal(a.used, 0);
    assert_non_null(shs__arena_alloc(&a, 10)); /* usable again */
    shs__arena_free(&a);
    shs__arena_free(&a);
}

static void test_arena_ceiling(void **state)
{
    struct shs_arena a;

    SHS_UNUSED(state);
    shs__arena_init(&a, 1000);
    assert_null(shs__arena_alloc(&a, 1001));
    assert_null(shs__arena_alloc(&a, SIZE_MAX));
    assert_null(shs__arena_alloc(&a, SIZE_MAX - 8));
    assert_int_equal(a.used, 0);
    assert_non_null(shs__arena_alloc(&a, 900));
    assert_null(shs__arena_alloc(&a, 200));
    assert_non_null(shs__arena_alloc(&a, 80)); /* what fits still goes in */
    assert_true(a.used <= 1000);
    shs__arena_free(&a);
}

static void test_arena_large_block(void **state)
{
    struct shs_arena a;
    char *p;

    SHS_UNUSED(state);
    shs__arena_init(&a, 1 << 20);
    p = shs__arena_alloc(&a, 100000); /* more than a chunk */
    assert_non_null(p);
    memset(p, 1, 100000);
    assert_non_null(shs__arena_alloc(&a, 1));
    shs__arena_free(&a);
}

static void test_arena_copy(void **state)
{
    char bytes[] = "abc";
    struct shs_arena a;
    struct shs_str copy;

    SHS_UNUSED(state);
    shs__arena_init(&a, 64);
    copy = shs__arena_copy(&a, (struct shs_str){bytes, 2});
    bytes[0] = 'x';
    assert_int_equal(copy.len, 2);
    assert_string_equal(copy.ptr, "ab"); /* also a C string */
    copy = shs__arena_copy(&a, (struct shs_str){NULL, 0});
    assert_non_null(copy.ptr);
    assert_string_equal(copy.ptr, "");
    copy = shs__arena_copy(&a, (struct shs_str){bytes, 64}); /* refused before it is read */
    assert_null(copy.ptr);
    assert_int_equal(copy.len, 0);
    shs__arena_free(&a);
}

/* -- strings ----------------------------------------------------------------------------------- */

static void test_str(void **state)
{
    SHS_UNUSED(state);
    assert_int_equal(shs__str("abc").len, 3);
    assert_null(shs__str(NULL).ptr);
    assert_int_equal(shs__str(NULL).len, 0);
    assert_int_equal(SHS_STR("a\0b").len, 3);
    assert_true(shs__str_eq(SHS_STR("abc"), shs__str("abc")));
    assert_false(shs__str_eq(SHS_STR("abc"), SHS_STR("abC")));
    assert_false(shs__str_eq(SHS_STR("abc"), SHS_STR("ab")));
    assert_false(shs__str_eq(SHS_STR("a\0b"), SHS_STR("a\0c")));
    assert_true(shs__str_eq(shs__str(NULL), SHS_STR("")));
    assert_true(shs__str_eq_nocase(SHS_STR("Content-Length"), SHS_STR("cOnTeNt-lEnGtH")));
    assert_false(shs__str_eq_nocase(SHS_STR("abc"), SHS_STR("abcd")));
    assert_true(shs__str_eq_nocase(shs__str(NULL), SHS_STR("")));
    /* Letters only: @ and `, [ and { differ in the same bit; so do bytes beyond ASCII. */
    assert_false(shs__str_eq_nocase(SHS_STR("@"), SHS_STR("`")));
    assert_false(shs__str_eq_nocase(SHS_STR("["), SHS_STR("{")));
    assert_false(shs__str_eq_nocase(SHS_STR("\xc9"), SHS_STR("\xe9")));
}

static void test_copies(void **state)
{
    char *text;

    SHS_UNUSED(state);
    assert_null(shs__strdup(NULL));
    text = shs__strdup("abc");
    assert_string_equal(text, "abc");
    shs__free(text);
    text = shs__strndup("abcdef", 2);
    assert_string_equal(text, "ab");
    shs__free(text);
    text = shs__strndup(NULL, 0);
    assert_string_equal(text, "");
    shs__free(text);
    text = shs__asprintf("%s:%d", "host", 443);
    assert_string_equal(text, "host:443");
    shs__free(text);
    shs__free(NULL);
}

/* -- errors ------------------------------------------------------------------------------------ */

static void test_error_names(void **state)
{
    SHS_UNUSED(state);
#define CHECK_NAME(name, value, text)                                                              \
    assert_int_equal(SHS_##name, value);                                                           \
    assert_string_equal(shs_err_name(SHS_##name), "SHS_" #name);                                   \
    assert_string_equal(shs_err_text(SHS_##name), text);
    SHS_ERR_MAP(CHECK_NAME)
#undef CHECK_NAME
    assert_string_equal(shs_err_name(SHS_WAIT_READ), "SHS_WAIT_READ");
    assert_string_equal(shs_err_name(SHS_WAIT_WRITE), "SHS_WAIT_WRITE");
    assert_string_equal(shs_err_name(12345), "SHS_UNKNOWN");
    assert_string_equal(shs_err_name(INT_MIN), "SHS_UNKNOWN");
    assert_string_equal(shs_err_text(12345), "unknown error");
}

static void test_error_set(void **state)
{
    char long_text[1000];
    struct shs_error err = {.tls_code = 5};

    SHS_UNUSED(state);
    assert_int_equal(shs_error_set(NULL, SHS_IO, EPIPE, "x"), SHS_IO);
    assert_int_equal(shs_error_set(&err, SHS_IO, EPIPE, "cannot %s %d", "write", 7), SHS_IO);
    assert_int_equal(err.code, SHS_IO);
    assert_int_equal(err.sys_errno, EPIPE);
    assert_int_equal(err.tls_code, 0); /* nothing is left of an earlier failure */
    assert_string_equal(err.text, "cannot write 7");
    memset(long_text, 'x', sizeof long_text - 1);
    long_text[sizeof long_text - 1] = '\0';
    shs_error_set(&err, SHS_USAGE, 0, "%s", long_text);
    assert_int_equal(strlen(err.text), sizeof err.text - 1);
    /* A name is not cut in the middle of a character. */
    for (size_t i = 0; i + 2 < sizeof long_text; i += 2)
        memcpy(long_text + i, "\xc3\x84", 2);
    for (int shift = 0; shift < 2; shift++) {
        shs_error_set(&err, SHS_USAGE, 0, "%.*s%s", shift, "x", long_text);
        assert_int_equal((unsigned char)err.text[strlen(err.text) - 1], 0x84);
    }
}

/* What follows a sentence that has ended is a sentence of its own. */
static void test_say_more(void **state)
{
    static const struct {
        const char *text, *more, *want;
    } cases[] = {
        {"Is the path right?", "the file is missing", "Is the path right? The file is missing"},
        {"It is gone.", "taken: 'a'", "It is gone. Taken: 'a'"},
        {"address in use", "choose another", "address in use; choose another"},
        {"It is gone.", "2 files", "It is gone. 2 files"},
        {"It is gone.", "", "It is gone."},
        {"", "more", "; more"},
    };
    char text[64];

    (void)state;
    for (size_t i = 0; i < SHS_ARRAY_LEN(cases); i++) {
        snprintf(text, sizeof text, "%s", cases[i].text);
        shs__say_more(text, sizeof text, cases[i].more);
        assert_string_equal(text, cases[i].want);
    }
    memcpy(text, "No.", sizeof "No.");
    shs__say_more(text, 8, "there is no room");
    assert_string_equal(text, "No. The");
}

static void test_strerror(void **state)
{
    char text[32];

    SHS_UNUSED(state);
    assert_string_equal(shs__strerror(ENOENT, text, sizeof text), "No such file or directory");
    assert_string_equal(shs__strerror(99999, text, sizeof text), "errno 99999");
}

/* -- files ------------------------------------------------------------------------------------- */

/* As much as fits, and the word that there is more; of a file and of a pipe. */
static void test_read_and_write_all(void **state)
{
    static const size_t lens[] = {0, 1, 4095, 4096, 4097, 60000};
    static char data[60000];

    SHS_UNUSED(state);
    for (size_t i = 0; i < sizeof data; i++)
        data[i] = (char)(i % 251);
    for (size_t i = 0; i < 2 * SHS_ARRAY_LEN(lens); i++) {
        size_t len = lens[i / 2];
        struct shs_buf got;
        int ends[2], rc;

        if (i % 2 == 0) {
            ends[0] = ends[1] = memfd_create("test", MFD_CLOEXEC);
        } else {
            assert_int_equal(pipe(ends), 0);
        }
        assert_int_equal(shs__write_all(ends[1], data, len), SHS_OK);
        if (i % 2 == 0)
            assert_int_equal(lseek(ends[0], 0, SEEK_SET), 0);
        else
            close(ends[1]);
        shs__buf_init(&got, 4097);
        assert_int_equal(shs__buf_append(&got, "x", 1), SHS_OK);
        rc = shs__read_all(ends[0], &got);
        assert_int_equal(rc, len > 4096 ? SHS_LIMIT : SHS_OK);
        assert_int_equal(got.len, 1 + (len > 4096 ? 4096 : len));
        assert_memory_equal(shs__buf_head(&got) + 1, data, got.len - 1);
        shs__buf_free(&got);
        close(ends[0]);
    }
    errno = 0;
    assert_int_equal(shs__write_all(-1, data, 1), SHS_IO);
    assert_int_equal(errno, EBADF);
}

/* -- time -------------------------------------------------------------------------------------- */

static void test_poll_ms(void **state)
{
    const int64_t now = (int64_t)5 * SHS_NS_PER_S;

    SHS_UNUSED(state);
    assert_int_equal(shs__poll_ms(now, now), 0);
    assert_int_equal(shs__poll_ms(now - 1, now), 0);
    assert_int_equal(shs__poll_ms(0, now), 0);
    assert_int_equal(shs__poll_ms(now + 1, now), 1); /* rounded up: else poll returns too early */
    assert_int_equal(shs__poll_ms(now + SHS_NS_PER_MS, now), 1);
    assert_int_equal(shs__poll_ms(now + SHS_NS_PER_MS + 1, now), 2);
    assert_int_equal(shs__poll_ms(now + (int64_t)INT_MAX * SHS_NS_PER_MS, now), INT_MAX);
    /* Rounded up it would be one more than an int has: no end at all, for poll. */
    assert_int_equal(shs__poll_ms(now + (int64_t)INT_MAX * SHS_NS_PER_MS + 1, now), INT_MAX);
    assert_int_equal(shs__poll_ms(INT64_MAX, now), INT_MAX);
}

static void test_deadlines(void **state)
{
    int64_t first = shs_now_ns(), second = shs_now_ns();

    SHS_UNUSED(state);
    assert_true(first > 0 && second >= first);
    assert_int_equal(shs__deadline_after(1000, 0), 1000);
    assert_int_equal(shs__deadline_part(1000, 1900, 3), 1300);
    assert_int_equal(shs__deadline_part(1300, 1900, 2), 1600);
    assert_int_equal(shs__deadline_part(1600, 1900, 1), 1900);
    assert_int_equal(shs__deadline_part(1900, 1900, 2), 1900);
    assert_int_equal(shs__deadline_part(5000, 1900, 2), 1900);
    assert_true(shs__deadline_part(0, INT64_MAX, 1) == INT64_MAX);
    assert_int_equal(shs__deadline_after(0, 1), SHS_NS_PER_MS);
    assert_true(shs__deadline_after(first, UINT_MAX) - first == (int64_t)UINT_MAX * SHS_NS_PER_MS);
}

/* -- files that change ------------------------------------------------------------------------- */

/* What each of these does to a file of five bytes whose times are of long ago. */
static void write_same(int fd)
{
    assert_int_equal(pwrite(fd, "HELLO", 5, 0), 5);
}

static void write_and_put_back(int fd)
{
    const struct timespec long_ago[2] = {{1600000000, 7}, {1600000000, 7}};

    write_same(fd);
    assert_int_equal(futimens(fd, long_ago), 0);
}

static void grow(int fd)
{
    assert_int_equal(pwrite(fd, "!", 1, 5), 1);
}

static void shrink(int fd)
{
    assert_int_equal(ftruncate(fd, 4), 0);
}

static void only_read(int fd)
{
    char text[5];

    assert_int_equal(pread(fd, text, sizeof text, 0), 5);
}

static void another_mode(int fd)
{
    assert_int_equal(fchmod(fd, 0640), 0);
}

static void test_file_change(void **state)
{
    static const struct {
        void (*change)(int fd);
        enum shs_file_change found;
    } rows[] = {
        {only_read, SHS_FILE_SAME},       {write_same, SHS_FILE_CHANGED},
        {shrink, SHS_FILE_CHANGED},       {write_and_put_back, SHS_FILE_PERHAPS},
        {another_mode, SHS_FILE_PERHAPS}, {grow, SHS_FILE_PERHAPS},
    };
    const struct timespec long_ago[2] = {{1600000000, 7}, {1600000000, 7}};

    SHS_UNUSED(state);
    for (size_t i = 0; i < SHS_ARRAY_LEN(rows); i++) {
        char name[] = "/tmp/shs-state-XXXXXX";
        int fd = mkstemp(name);
        struct shs_file_state then, now;
        struct stat st;

        assert_true(fd >= 0);
        unlink(name);
        assert_int_equal(write(fd, "hello", 5), 5);
        assert_int_equal(futimens(fd, long_ago), 0);
        assert_int_equal(fstat(fd, &st), 0);
        shs__file_state_of(&then, &st);
        do { /* a tick of the file system's clock later */
            assert_int_equal(fchmod(fd, 0600), 0);
            assert_int_equal(fstat(fd, &st), 0);
        } while (st.st_ctim.tv_sec == then.ctime.tv_sec &&
                 st.st_ctim.tv_nsec == then.ctime.tv_nsec);
        shs__file_state_of(&then, &st);
        rows[i].change(fd);
        while (rows[i].found == SHS_FILE_PERHAPS &&
               shs__file_change(&then, fd, &now) == SHS_FILE_SAME)
            rows[i].change(fd); /* it was within one */
        assert_int_equal(shs__file_change(&then, fd, &now), rows[i].found);
        assert_int_equal(shs__file_change(&now, fd, NULL), SHS_FILE_SAME);
        close(fd);
        assert_int_equal(shs__file_change(&then, -1, NULL), SHS_FILE_CHANGED);
    }
}

/* A file's time is what somebody has set it to: 1677, 9999, and beyond. */
static void test_ns_between(void **state)
{
    const struct timespec now = {1800000000, 5}, soon = {1800000001, 3}, far = {253402300900, 0},
                          past = {-62135596800, 999999999};

    SHS_UNUSED(state);
    assert_int_equal(shs__ns_between(&now, &soon), SHS_NS_PER_S - 2);
    assert_int_equal(shs__ns_between(&soon, &now), 2 - SHS_NS_PER_S);
    assert_true(shs__ns_between(&now, &far) >= 285LL * 365 * 86400 * SHS_NS_PER_S);
    assert_true(shs__ns_between(&far, &now) <= -285LL * 365 * 86400 * SHS_NS_PER_S);
    assert_true(shs__ns_between(&past, &far) > 0 && shs__ns_between(&far, &past) < 0);
}

/* -- options ----------------------------------------------------------------------------------- */

static void test_options(void **state)
{
    struct shs_options opt;
    char older[sizeof opt];

    SHS_UNUSED(state);
    memset(&opt, 0xff, sizeof opt);
    shs_options_init(&opt);
    assert_int_equal(opt.size, sizeof opt);
    assert_true(opt.max_connections > 0 && opt.max_threads > 0); /* nothing is unlimited */
    assert_true(opt.handshake_ms > 0 && opt.head_ms > 0 && opt.body_ms > 0 && opt.idle_ms > 0 &&
                opt.write_ms > 0 && opt.close_ms > 0);
    assert_true(opt.max_request_line > 0 && opt.max_head_bytes > opt.max_request_line &&
                opt.max_headers > 0 && opt.max_body_bytes > 0);
    memset(older, 0x55, sizeof older); /* a caller whose struct is one byte shorter */
    shs_options_init_sized((struct shs_options *)(void *)older, sizeof older - 1);
    assert_int_equal(older[sizeof older - 1], 0x55);
}

static void test_container_of(void **state)
{
    struct outer {
        int before;
        struct shs_str inner;
    } o;

    SHS_UNUSED(state);
    assert_ptr_equal(SHS_CONTAINER_OF(&o.inner, struct outer, inner), &o);
    assert_true(strlen(shs_version()) > 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_buf_starts_empty),
        cmocka_unit_test(test_buf_append_and_consume),
        cmocka_unit_test(test_buf_ceiling),
        cmocka_unit_test(test_buf_keeps_its_content_when_it_grows),
        cmocka_unit_test(test_buf_renew),
        cmocka_unit_test(test_buf_odd_ceilings),
        cmocka_unit_test(test_buf_reserve_gives_room),
        cmocka_unit_test(test_buf_printf),
        cmocka_unit_test(test_arena_aligns_and_separates),
        cmocka_unit_test(test_arena_ceiling),
        cmocka_unit_test(test_arena_large_block),
        cmocka_unit_test(test_arena_copy),
        cmocka_unit_test(test_str),
        cmocka_unit_test(test_copies),
        cmocka_unit_test(test_error_names),
        cmocka_unit_test(test_error_set),
        cmocka_unit_test(test_say_more),
        cmocka_unit_test(test_strerror),
        cmocka_unit_test(test_read_and_write_all),
        cmocka_unit_test(test_poll_ms),
        cmocka_unit_test(test_deadlines),
        cmocka_unit_test(test_file_change),
        cmocka_unit_test(test_ns_between),
        cmocka_unit_test(test_options),
        cmocka_unit_test(test_container_of),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
