/*
 * The handlers without a server: an exchange is enough for them. Every allocation is made to fail
 * once: base/memory.c is compiled here, over allocators of this file, in place of the library's.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <sys/stat.h>
#include <unistd.h>

#include <shs/echo.h>
#include <shs/static_files.h>

#include "base/base.h"
#include "base/log_queue.h"
#include "http/exchange.h"

/* -- allocators that fail at the wanted place ---------------------------------------- */

static long fail_in = -1; /* this many succeed, then one fails; -1: all succeed */
static long live;

static bool fails(void)
{
    if (fail_in < 0)
        return false;
    return fail_in-- == 0;
}

static void *lab_malloc(size_t size)
{
    void *ptr = fails() ? NULL : malloc(size);

    live += ptr != NULL;
    return ptr;
}

static void *lab_calloc(size_t count, size_t size)
{
    void *ptr = fails() ? NULL : calloc(count, size);

    live += ptr != NULL;
    return ptr;
}

static void *lab_realloc(void *ptr, size_t size)
{
    void *grown = fails() ? NULL : realloc(ptr, size);

    live += ptr == NULL && grown != NULL;
    return grown;
}

static void lab_free(void *ptr)
{
    live -= ptr != NULL;
    free(ptr);
}

/* The library's own file over these. */
#define malloc lab_malloc
#define calloc lab_calloc
#define realloc lab_realloc
#define free lab_free
#include "base/memory.c"
#undef malloc
#undef calloc
#undef realloc
#undef free

/* -- a directory to serve ---------------------------------------- */

static char root[] = "/tmp/shs-static-XXXXXX";

static void make_file(int dir, const char *name, size_t size)
{
    int fd = openat(dir, name, O_CREAT | O_WRONLY | O_CLOEXEC, 0644);

    assert_true(fd >= 0);
    assert_int_equal(ftruncate(fd, (off_t)size), 0);
    close(fd);
}

static int make_root(void **state)
{
    int dir;

    SHS_UNUSED(state);
    if (mkdtemp(root) == NULL)
        return -1;
    dir = open(root, O_PATH | O_DIRECTORY | O_CLOEXEC);
    make_file(dir, "small.txt", 13);
    make_file(dir, "large.bin", 100000);
    assert_int_equal(mkdirat(dir, "list", 0755), 0);
    make_file(dir, "list/a", 1);
    make_file(dir, "list/b", 2);
    assert_int_equal(symlinkat("a", dir, "list/link"), 0);
    close(dir);
    return 0;
}

static int remove_one(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
    SHS_UNUSED(st);
    SHS_UNUSED(type);
    SHS_UNUSED(ftw);
    return remove(path);
}

static int remove_root(void **state)
{
    SHS_UNUSED(state);
    return nftw(root, remove_one, 8, FTW_DEPTH | FTW_PHYS);
}

/* -- an exchange without a connection ---------------------------------------- */

static int no_body(struct shs_exchange *x, void *buf, size_t cap, size_t *got)
{
    SHS_UNUSED(x);
    SHS_UNUSED(buf);
    SHS_UNUSED(cap);
    *got = 0;
    return SHS_OK;
}

static int discard(struct shs_exchange *x, const void *buf, size_t len)
{
    SHS_UNUSED(buf);
    SHS_UNUSED(len);
    x->res.head_sent = true;
    return SHS_OK;
}

static const struct shs_exchange_ops ops = {.read_body = no_body, .send_body = discard};

/* What the handler answers to GET path: its code; *x to look at, for shs__exchange_clear. */
static int get(struct shs_exchange *x, const struct shs_http_handler *handler, const char *path)
{
    struct shs_head *head = &x->req.head;
    shs_method_fn *fn;

    shs__exchange_init(x, &ops, 65536);
    x->handler = handler;
    head->method = SHS_STR("GET");
    head->target = head->path = shs__str(path);
    head->version = 11;
    fn = shs__handler_method(handler, head->method);
    assert_non_null(fn);
    return fn(&x->req, &x->res);
}

static unsigned open_files(void)
{
    unsigned count = 0;

    for (int fd = 0; fd < 256; fd++)
        count += fcntl(fd, F_GETFD) != -1;
    return count;
}

/* -- the tests ---------------------------------------- */

static struct shs_static_files *new_files(const struct shs_static_options *opt)
{
    struct shs_static_files *files;
    struct shs_error err;

    if (shs_static_files_new(&files, opt, &err) != SHS_OK)
        fail_msg("%s", err.text);
    return files;
}

static void test_new_errors(void **state)
{
    static const char *const bad_name[] = {"X Y", "1", NULL}, *const bad_value[] = {"X", "a\nb",
                                                                                    NULL};
    static const char *const odd[] = {"X", NULL};
    static const char *const framing[] = {"transfer-encoding", "chunked", NULL};
    const char *const *const lists[] = {bad_name, bad_value, odd, framing};
    struct shs_static_options opt;
    struct shs_static_files *files = NULL;
    struct shs_error err;

    SHS_UNUSED(state);
    for (size_t i = 0; i < SHS_ARRAY_LEN(lists); i++) {
        shs_static_options_init(&opt);
        opt.extra_headers = lists[i];
        assert_int_equal(shs_static_files_new(&files, &opt, &err), SHS_USAGE);
        assert_true(strncmp(err.text, "Extra header ", 13) == 0);
    }
    shs_static_options_init(&opt);
    opt.directory = "/nonexistent/directory";
    assert_int_equal(shs_static_files_new(&files, &opt, &err), SHS_IO);
    assert_int_equal(err.sys_errno, ENOENT);
    assert_non_null(strstr(err.text, "/nonexistent/directory"));
    assert_int_equal(shs_static_files_new(&files, &opt, NULL), SHS_IO);
    opt.directory = "/proc/self/cmdline";
    assert_int_equal(shs_static_files_new(&files, &opt, &err), SHS_IO);
    assert_int_equal(err.sys_errno, ENOTDIR);
    assert_null(files);
    shs_static_files_free(NULL);
    assert_int_equal(live, 0);
}

/* A caller that was built with a shorter struct gets the defaults of what it does not know. */
static void test_older_options(void **state)
{
    struct shs_static_options opt;
    struct shs_static_files *files;
    struct shs_exchange x;

    SHS_UNUSED(state);
    shs_static_options_init(&opt);
    opt.directory = root;
    opt.listing = false; /* behind the end of that struct: not read */
    opt.size = offsetof(struct shs_static_options, listing);
    files = new_files(&opt);
    assert_int_equal(get(&x, shs_static_files_handler(files), "/list/"), SHS_OK);
    assert_int_equal(x.res.status, 200);
    shs__exchange_clear(&x);
    shs_static_files_free(files);
}

static void test_listing_off(void **state)
{
    static const char *const pages[] = {"none", "b", NULL};
    struct shs_static_options opt;
    struct shs_static_files *files;
    struct shs_exchange x;

    SHS_UNUSED(state);
    shs_static_options_init(&opt);
    opt.directory = root;
    opt.listing = false;
    files = new_files(&opt);
    assert_int_equal(get(&x, shs_static_files_handler(files), "/list/"), SHS_OK);
    assert_int_equal(x.res.status, 404);
    shs__exchange_clear(&x);
    shs_static_files_free(files);

    opt.index_pages = pages;
    files = new_files(&opt);
    assert_int_equal(get(&x, shs_static_files_handler(files), "/list/"), SHS_OK);
    assert_int_equal(x.res.status, 200);
    assert_int_equal(x.res.length, 2);
    shs__exchange_clear(&x);
    shs_static_files_free(files);
    assert_int_equal(live, 0);
}

static void test_new_without_memory(void **state)
{
    static const char *const headers[] = {"X-One", "1", "Content-Type", "dropped", "X-Two",
                                          "2",     NULL};
    struct shs_static_options opt;
    struct shs_static_files *files;
    unsigned before = open_files();
    struct shs_error err;
    int rc = SHS_NOMEM, failures;

    SHS_UNUSED(state);
    shs_static_options_init(&opt);
    opt.directory = root;
    opt.extra_headers = headers;
    for (failures = 0; rc != SHS_OK; failures++) {
        fail_in = failures;
        rc = shs_static_files_new(&files, &opt, &err);
        fail_in = -1;
        if (rc == SHS_OK)
            break;
        assert_int_equal(rc, SHS_NOMEM);
        assert_int_equal(err.code, SHS_NOMEM);
        assert_int_equal(live, 0);
        assert_int_equal(open_files(), before);
    }
    assert_true(failures >= 8); /* itself, two lists, four strings, two pages */
    shs_static_files_free(files);
    assert_int_equal(live, 0);
    assert_int_equal(open_files(), before);
}

/*
 * A request with each of its allocations failing: a code for a 500, or an answer that is whole.
 * Nothing is left, no descriptor either. The files are new ones each time, for those that are kept
 * hold what they have read. `opt` NULL: of EchoHandler.
 */
static void sweep(const struct shs_static_options *opt, const char *path, int status)
{
    unsigned before = open_files();
    struct shs_exchange x;
    bool failed = true;
    int failures, rc;

    for (failures = 0; failed; failures++) {
        struct shs_static_files *files = opt == NULL ? NULL : new_files(opt);

        fail_in = failures;
        rc = get(&x, opt == NULL ? shs_echo_handler() : shs_static_files_handler(files), path);
        failed = fail_in < 0; /* it came to that allocation */
        fail_in = -1;
        /* Without memory the handler may say so itself (503), or do without what it was for. */
        if (rc == SHS_OK && !(failed && x.res.status == 503))
            assert_int_equal(x.res.status, status);
        else if (rc != SHS_OK)
            assert_int_equal(rc, SHS_NOMEM);
        assert_true(failed || rc == SHS_OK);
        shs__exchange_clear(&x);
        shs_static_files_free(files);
        assert_int_equal(live, 0);
        assert_int_equal(open_files(), before);
        assert_true(failures < 1000);
    }
    assert_true(failures > 1);
}

/* Written so long ago that it may be kept in memory. */
static void settle_file(const char *name)
{
    static const struct timespec times[2] = {{.tv_sec = 1700000000}, {.tv_sec = 1700000000}};
    int dir = open(root, O_PATH | O_DIRECTORY | O_CLOEXEC);

    assert_int_equal(utimensat(dir, name, times, 0), 0);
    close(dir);
}

static void test_get_without_memory(void **state)
{
    struct shs_static_options opt;

    SHS_UNUSED(state);
    shs_static_options_init(&opt);
    opt.directory = root;
    sweep(&opt, "/small.txt", 200); /* just written, on most machines */
    settle_file("small.txt");
    settle_file("large.bin");
    sweep(&opt, "/small.txt", 200);
    sweep(&opt, "/large.bin", 200);
    sweep(&opt, "/list/", 200);
    sweep(&opt, "/list", 301);
    sweep(&opt, "/none", 404);
    sweep(&opt, "/%zz", 400);
    sweep(NULL, "/x", 200);
}

static void test_log_queue_without_memory(void **state)
{
    struct shs_log_queue *queue;
    unsigned before = open_files();
    int failures, rc = SHS_NOMEM, null = open("/dev/null", O_WRONLY | O_CLOEXEC);

    SHS_UNUSED(state);
    for (failures = 0; rc != SHS_OK; failures++) {
        fail_in = failures;
        rc = shs__log_queue_new(&queue, null, 0, NULL);
        fail_in = -1;
        if (rc != SHS_OK)
            assert_int_equal(rc, SHS_NOMEM);
    }
    assert_true(failures > 3);
    shs__log_queue_free(queue);
    close(null);
    assert_int_equal(live, 0);
    assert_int_equal(open_files(), before);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_new_errors),         cmocka_unit_test(test_older_options),
        cmocka_unit_test(test_listing_off),        cmocka_unit_test(test_new_without_memory),
        cmocka_unit_test(test_get_without_memory), cmocka_unit_test(test_log_queue_without_memory),
    };

    return cmocka_run_group_tests(tests, make_root, remove_root);
}
