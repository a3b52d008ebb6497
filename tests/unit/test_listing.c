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

#include "handler/beneath.h"
#include "handler/listing.h"

static const struct shs_listing_view by_name = {.column = SHS_LISTING_NAME};

static struct shs_listing_entry entry(const char *name, enum shs_entry_kind kind, uint64_t size)
{
    struct shs_listing_entry e = {.name = shs__str(name), .kind = kind, .size = size};

    return e;
}

/* The page as a C string, for shs__free. */
static char *page_of(const char *path, const struct shs_listing_entry *entries, size_t count,
                     bool complete)
{
    struct shs_buf out;
    char *text;

    shs__buf_init(&out, SHS_LISTING_BYTES_MAX);
    assert_int_equal(shs__listing_page(&out, shs__str(path), entries, count, complete, &by_name),
                     SHS_OK);
    text = shs__strndup(shs__buf_head(&out), out.len);
    shs__buf_free(&out);
    return text;
}

static void assert_in(const char *page, const char *part)
{
    if (strstr(page, part) == NULL)
        fail_msg("'%s' is not in: %s", part, strstr(page, "<body>"));
}

static void assert_not_in(const char *page, const char *part)
{
    if (strstr(page, part) != NULL)
        fail_msg("'%s' is in: %s", part, strstr(page, "<body>"));
}

static void test_sort(void **state)
{
    static const char *const sorted[] = {"A", "a", "a b", "B", "b", "B0", "c", "\xc3\xa4"};
    static const size_t order[] = {5, 3, 0, 7, 1, 6, 4, 2};
    struct shs_listing_entry entries[SHS_ARRAY_LEN(sorted)];

    SHS_UNUSED(state);
    for (size_t i = 0; i < SHS_ARRAY_LEN(sorted); i++)
        entries[i] = entry(sorted[order[i]], SHS_ENTRY_FILE, 0);
    shs__listing_sort(entries, SHS_ARRAY_LEN(entries), &by_name);
    for (size_t i = 0; i < SHS_ARRAY_LEN(sorted); i++)
        assert_string_equal(entries[i].name.ptr, sorted[i]);
}

/* As people count, whatever the locale. */
static void test_natural_order(void **state)
{
    static const char *const sorted[] = {
        "",
        "1",
        "2",
        "10",
        "010a",
        "11",
        "99999999999999999999",
        "100000000000000000000",
        "a",
        "a2",
        "a10",
        "a10b2",
        "a10b10",
        "A11",
        "file",
        "File1",
        "file02",
        "file2",
        "FILE3",
        "file10",
        "file10.txt",
        "file10a",
        "z",
        "\xc3\xa4"
        "1",
        "\xc3\x84"
        "2",
        "\xc3\xa9",
        "\xce\xb1",
        "\xce\x91"
        "2",
        "\xd0\xb0",
        "\xd0\x90"
        "2",
        "\xf0\x9f\x98\x80",
        "\xff",
    };

    SHS_UNUSED(state);
    for (size_t i = 0; i < SHS_ARRAY_LEN(sorted); i++) {
        for (size_t j = 0; j < SHS_ARRAY_LEN(sorted); j++) {
            int order = shs__natural_order(shs__str(sorted[i]), shs__str(sorted[j]));

            if ((order > 0) != (i > j) || (order < 0) != (i < j))
                fail_msg("'%s' and '%s': %d", sorted[i], sorted[j], order);
        }
    }
}

/* What cannot be seen, or turns what is seen round, is shown by its number; the link has the
   bytes. */
static void test_unseen_characters(void **state)
{
    struct shs_listing_entry entries[] = {
        entry("\xe2\x80\xae"
              "gpj.exe",
              SHS_ENTRY_FILE, 0),
        entry("a\nb\x7f", SHS_ENTRY_FILE, 0),
        entry("\xd8\x9c\xe2\x81\xa6\xe2\x81\xa9", SHS_ENTRY_FILE, 0),
        entry("\xe2\x80\x8d\xf0\x9f\x98\x80\xd7\x90", SHS_ENTRY_FILE, 0)};
    char *page = page_of("/\xe2\x80\xae/", entries, SHS_ARRAY_LEN(entries), true);

    SHS_UNUSED(state);
    assert_in(page, "href=\"%E2%80%AEgpj.exe\">[U+202E]gpj.exe</a>");
    assert_in(page, "href=\"a%0Ab%7F\">a[U+000A]b[U+007F]</a>");
    assert_in(page, ">[U+061C][U+2066][U+2069]</a>");
    assert_in(page,
              ">\xe2\x80\x8d\xf0\x9f\x98\x80\xd7\x90</a>"); /* a joiner joins, Hebrew is Hebrew */
    assert_in(page, "<title>Directory listing for /[U+202E]/</title>");
    shs__free(page);
}

/* A filter where a page is long, and a form at the top: with a script each, and no page without
   need. */
static void test_tools(void **state)
{
    struct shs_listing_view view = {.upload = true, .archive = true};
    struct shs_listing_entry entries[51];
    struct shs_buf out;
    char *page;

    SHS_UNUSED(state);
    for (size_t i = 0; i < SHS_ARRAY_LEN(entries); i++)
        entries[i] = entry("name", SHS_ENTRY_FILE, 1);
    page = page_of("/", entries, 50, true);
    assert_not_in(page, "<script");
    assert_not_in(page, "type=\"search\"");
    assert_not_in(page, "archive=");
    shs__free(page);
    page = page_of("/", entries, 51, true);
    assert_in(page, "type=\"search\"");
    assert_in(page, "hidden>"); /* until the script that makes it work has run */
    assert_in(page, "<script src=\"?listing.js=");
    assert_in(page, "<p id=\"count\">51 files</p>");
    assert_not_in(page, "id=\"upload\"");
    shs__free(page);
    shs__buf_init(&out, SHS_LISTING_BYTES_MAX);
    assert_int_equal(shs__listing_page(&out, SHS_STR("/"), entries, 1, true, &view), SHS_OK);
    page = shs__strndup(shs__buf_head(&out), out.len);
    shs__buf_free(&out);
    assert_in(page, "href=\"?archive=zip\"");
    assert_true(strstr(page, "id=\"upload\"") < strstr(page, "<table>"));
    assert_in(page, "method=\"post\" enctype=\"multipart/form-data\"");
    assert_in(page, "<script src=\"?listing.js=");
    shs__free(page);
}

/* What a Content-Security-Policy without 'unsafe-inline' forbids is not in any page. */
static void test_nothing_is_inline(void **state)
{
    static const char *const words[] = {"<style", "style=", "<script>", " on", "javascript:"};
    struct shs_listing_view view = {.upload = true, .archive = true};
    struct shs_listing_entry entries[60];
    struct shs_buf out;
    struct shs_str text;
    const char *type;
    char *page;

    SHS_UNUSED(state);
    for (size_t i = 0; i < SHS_ARRAY_LEN(entries); i++)
        entries[i] = entry("name", i % 2 ? SHS_ENTRY_FILE : SHS_ENTRY_DIRECTORY, 1);
    shs__buf_init(&out, SHS_LISTING_BYTES_MAX);
    assert_int_equal(shs__listing_page(&out, SHS_STR("/a/"), entries, 60, false, &view), SHS_OK);
    page = shs__strndup(shs__buf_head(&out), out.len);
    shs__buf_free(&out);
    for (size_t i = 0; i < SHS_ARRAY_LEN(words); i++)
        assert_not_in(page, words[i]);
    assert_in(page, "<link rel=\"stylesheet\" href=\"?listing.css=");
    shs__free(page);
    assert_true(shs__listing_resource(SHS_STR("listing.css"), &type, &text));
    assert_string_equal(type, "text/css; charset=utf-8");
    assert_true(shs__listing_resource(SHS_STR("listing.js=0.0"), &type, &text));
    assert_string_equal(type, "text/javascript; charset=utf-8");
    assert_false(shs__listing_resource(SHS_STR("listing.json"), &type, &text));
    assert_false(shs__listing_resource(SHS_STR("C=N;O=D"), &type, &text));
    assert_false(shs__listing_resource((struct shs_str){NULL, 0}, &type, &text));
}

static void test_kinds(void **state)
{
    struct shs_listing_entry entries[] = {
        entry("dir", SHS_ENTRY_DIRECTORY, 4096), entry("file", SHS_ENTRY_FILE, 13),
        entry("linkdir", SHS_ENTRY_DIRECTORY, 0), entry("linkfile", SHS_ENTRY_FILE, 1),
        entry("nowhere", SHS_ENTRY_OTHER, 99)};
    char *page;

    SHS_UNUSED(state);
    entries[2].link = entries[3].link = entries[4].link = true;
    page = page_of("/", entries, SHS_ARRAY_LEN(entries), true);
    assert_in(page, "<h1>Directory listing for /</h1>");
    assert_in(page, "<title>Directory listing for /</title>");
    assert_in(page, "<meta charset=\"utf-8\">");
    assert_in(page, "href=\"dir/\">dir/</a>");
    assert_in(page, "href=\"file\">file</a></td><td class=\"size\">13 B<");
    assert_in(page, "href=\"linkdir/\">linkdir@</a>");
    assert_in(page, "href=\"linkfile\">linkfile@</a>");
    assert_in(page, "<td><b>nowhere@</b></td><td class=\"size\"></td>");
    assert_not_in(page, "href=\"nowhere");
    assert_not_in(page, "4096");
    assert_not_in(page, "href=\"../\"");
    assert_not_in(page, "<script");
    shs__free(page);
}

static void test_escapes(void **state)
{
    struct shs_listing_entry entries[] = {
        entry("<i>&amp;\"dq\" 'sq'", SHS_ENTRY_FILE, 0), entry("q? f# %A4", SHS_ENTRY_FILE, 0),
        entry("\xc3\xa4", SHS_ENTRY_FILE, 0), entry("x\xa4y\xff", SHS_ENTRY_FILE, 0),
        entry("javascript:alert(1)", SHS_ENTRY_FILE, 0)};
    char *page = page_of("/<b>&\xe4/", entries, SHS_ARRAY_LEN(entries), true);

    SHS_UNUSED(state);
    assert_in(page, "<title>Directory listing for /&lt;b&gt;&amp;\xEF\xBF\xBD/</title>");
    assert_not_in(page, "<b>&");
    assert_in(page,
              "<h1>Directory listing for <a href=\"../\">/</a>&lt;b&gt;&amp;\xEF\xBF\xBD/</h1>");
    assert_in(page, "href=\"%3Ci%3E%26amp%3B%22dq%22%20%27sq%27\">"
                    "&lt;i&gt;&amp;amp;&quot;dq&quot; &#39;sq&#39;</a>");
    assert_in(page, "href=\"q%3F%20f%23%20%25A4\">q? f# %A4</a>");
    assert_in(page, "href=\"%C3%A4\">\xc3\xa4</a>");
    assert_in(page, "href=\"x%A4y%FF\">x\xEF\xBF\xBDy\xEF\xBF\xBD</a>");
    assert_in(page, "href=\"javascript%3Aalert%281%29\"");
    assert_in(page, "href=\"../\">../</a>");
    shs__free(page);
}

static void test_sizes(void **state)
{
    static const struct {
        uint64_t size;
        const char *text;
    } cases[] = {
        {0, "0 B"},
        {1023, "1023 B"},
        {1024, "1.0 KiB"},
        {1434, "1.4 KiB"},
        {10 * 1024, "10 KiB"},
        {1024 * 1024 - 1, "1024 KiB"},
        {1024 * 1024, "1.0 MiB"},
        {(uint64_t)20 << 30, "20 GiB"},
        {(uint64_t)5 << 60, "5.0 EiB"},
        {UINT64_MAX, "16 EiB"},
    };

    SHS_UNUSED(state);
    for (size_t i = 0; i < SHS_ARRAY_LEN(cases); i++) {
        struct shs_listing_entry e = entry("f", SHS_ENTRY_FILE, cases[i].size);
        char want[64], *page = page_of("/", &e, 1, true);

        snprintf(want, sizeof want, "<td class=\"size\">%s</td>", cases[i].text);
        assert_in(page, want);
        shs__free(page);
    }
}

static void test_time(void **state)
{
    struct shs_listing_entry e = entry("f", SHS_ENTRY_FILE, 1);
    char *page;

    SHS_UNUSED(state);
    e.mtime = 1795269600; /* 2026-11-21 14:00:00 UTC */
    page = page_of("/", &e, 1, true);
    assert_in(page, "<td class=\"time\">2026-11-21<span> 14:00</span></td>");
    shs__free(page);
    e.mtime = INT64_MAX; /* no such year: no time, and no crash */
    page = page_of("/", &e, 1, true);
    assert_in(page, "<td class=\"time\"></td>");
    shs__free(page);
}

static void test_empty_and_incomplete(void **state)
{
    struct shs_listing_entry e = entry("f", SHS_ENTRY_FILE, 1);
    char *page = page_of("/d/", NULL, 0, true);

    SHS_UNUSED(state);
    assert_in(page, "This directory is empty.");
    shs__free(page);
    page = page_of("/d/", &e, 1, false);
    assert_in(page, "Only 1 entries are shown; the directory has more.");
    shs__free(page);
}

/* A page that would be too large ends well-formed, and says that it is not complete. */
static void test_ceiling(void **state)
{
    struct shs_listing_entry entries[100];
    struct shs_buf out;
    char *text;

    SHS_UNUSED(state);
    for (size_t i = 0; i < SHS_ARRAY_LEN(entries); i++)
        entries[i] = entry("name", SHS_ENTRY_FILE, 1);
    shs__buf_init(&out, 8192);
    assert_int_equal(
        shs__listing_page(&out, shs__str("/"), entries, SHS_ARRAY_LEN(entries), true, &by_name),
        SHS_OK);
    assert_true(out.len <= 8192);
    text = shs__strndup(shs__buf_head(&out), out.len);
    assert_in(text, "the directory has more");
    assert_in(text, "</html>\n");
    shs__free(text);
    shs__buf_free(&out);

    shs__buf_init(&out, 100);
    assert_int_equal(shs__listing_page(&out, shs__str("/"), NULL, 0, true, &by_name), SHS_LIMIT);
    shs__buf_free(&out);
}

/* -- a directory on disk ----------------------------------------------------------------------- */

static int remove_one(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
    SHS_UNUSED(st);
    SHS_UNUSED(type);
    SHS_UNUSED(ftw);
    return remove(path);
}

static void make_file(int dir, const char *name)
{
    int fd = openat(dir, name, O_CREAT | O_WRONLY | O_CLOEXEC, 0644);

    assert_true(fd >= 0);
    assert_int_equal(write(fd, "hello", 5), 5);
    close(fd);
}

static void test_read(void **state)
{
    char path[] = "/tmp/shs-listing-XXXXXX", *text;
    struct shs_buf out;
    int root, fd;

    SHS_UNUSED(state);
    assert_non_null(mkdtemp(path));
    root = open(path, O_PATH | O_DIRECTORY | O_CLOEXEC);
    assert_true(root >= 0);
    assert_int_equal(mkdirat(root, "sub", 0755), 0);
    assert_int_equal(mkdirat(root, "sub/deep", 0755), 0);
    make_file(root, "sub/file");
    make_file(root, "sub/.hidden");
    assert_int_equal(symlinkat("../sub/deep", root, "sub/inside"), 0);
    assert_int_equal(symlinkat("/etc", root, "sub/outside"), 0);
    assert_int_equal(symlinkat("gone", root, "sub/dangling"), 0);

    fd = shs__open_beneath(root, "sub", O_RDONLY | O_DIRECTORY);
    assert_true(fd >= 0);
    shs__buf_init(&out, SHS_LISTING_BYTES_MAX);
    assert_int_equal(shs__listing_read(&out, root, fd, SHS_STR("sub"), &by_name), SHS_OK);
    text = shs__strndup(shs__buf_head(&out), out.len);
    assert_in(text, "Directory listing for /sub/");
    assert_in(text, "href=\"deep/\">deep/</a>");
    assert_in(text, "href=\"file\">file</a></td><td class=\"size\">5 B<");
    assert_in(text, "href=\"inside/\">inside@</a>");
    assert_in(text, "<b>outside@</b></td><td class=\"size\"></td>");
    assert_in(text, "<b>dangling@</b>");
    assert_not_in(text, "hidden");
    shs__free(text);
    shs__buf_free(&out);
    assert_int_equal(fcntl(fd, F_GETFD), -1); /* taken */
    close(root);
    nftw(path, remove_one, 8, FTW_DEPTH | FTW_PHYS);
}

/* The border, without HTTP in front of it. */
static void test_beneath(void **state)
{
    static const char *const outside[] = {"..",         "../..", "/etc/passwd", "sub/../..", "out",
                                          "out/passwd", "abs",   "sub/up",      "magic"};
    char path[] = "/tmp/shs-beneath-XXXXXX";
    int root, fd;

    SHS_UNUSED(state);
    assert_non_null(mkdtemp(path));
    root = open(path, O_PATH | O_DIRECTORY | O_CLOEXEC);
    assert_int_equal(mkdirat(root, "sub", 0755), 0);
    make_file(root, "file");
    assert_int_equal(symlinkat("/etc", root, "out"), 0);
    assert_int_equal(symlinkat("/etc/passwd", root, "abs"), 0);
    assert_int_equal(symlinkat("../../etc", root, "sub/up"), 0);
    assert_int_equal(symlinkat("/proc/self/exe", root, "magic"), 0);
    assert_int_equal(symlinkat("../file", root, "sub/ok"), 0);
    assert_int_equal(mkfifoat(root, "fifo", 0644), 0);
    for (size_t i = 0; i < SHS_ARRAY_LEN(outside); i++) {
        assert_int_equal(shs__open_beneath(root, outside[i], O_RDONLY), -1);
        assert_true(errno == EXDEV || errno == ELOOP);
    }
    fd = shs__open_beneath(root, "sub/ok", O_RDONLY);
    assert_true(fd >= 0);
    assert_true((fcntl(fd, F_GETFD) & FD_CLOEXEC) != 0);
    close(fd);
    fd = shs__open_beneath(root, "fifo", O_RDONLY); /* without a writer, and at once */
    assert_true(fd >= 0);
    close(fd);
    fd = shs__open_beneath(root, "", O_PATH | O_DIRECTORY);
    assert_true(fd >= 0);
    close(fd);
    close(root);
    nftw(path, remove_one, 8, FTW_DEPTH | FTW_PHYS);
}

static void test_view(void **state)
{
    static const struct {
        const char *query;
        enum shs_listing_column column;
        bool descending;
    } cases[] = {
        {"C=N;O=A", SHS_LISTING_NAME, false}, {"C=S;O=D", SHS_LISTING_SIZE, true},
        {"C=M&O=A", SHS_LISTING_TIME, false}, {"O=D", SHS_LISTING_NAME, true},
        {"C=S", SHS_LISTING_SIZE, false},     {"", SHS_LISTING_NAME, false},
        {"C=X;O=X", SHS_LISTING_NAME, false}, {"XC=S", SHS_LISTING_NAME, false},
        {"C=SS", SHS_LISTING_NAME, false},    {"x=1&C=M", SHS_LISTING_TIME, false},
    };
    struct shs_listing_view view;

    SHS_UNUSED(state);
    for (size_t i = 0; i < SHS_ARRAY_LEN(cases); i++) {
        shs__listing_view_parse(&view, shs__str(cases[i].query));
        if (view.column != cases[i].column || view.descending != cases[i].descending)
            fail_msg("%s", cases[i].query);
    }
    shs__listing_view_parse(&view, (struct shs_str){NULL, 0});
    assert_int_equal(view.column, SHS_LISTING_NAME);
}

/* Three columns, both ways; what is equal in one is by name. */
static void test_sort_columns(void **state)
{
    static const struct {
        struct shs_listing_view view;
        const char *order;
    } cases[] = {
        {{.column = SHS_LISTING_NAME}, "dabc"}, /* a directory is first whichever way it goes */
        {{.column = SHS_LISTING_NAME, .descending = true}, "dcba"},
        {{.column = SHS_LISTING_SIZE}, "dbac"},
        {{.column = SHS_LISTING_SIZE, .descending = true}, "dacb"},
        {{.column = SHS_LISTING_TIME}, "dcab"},
        {{.column = SHS_LISTING_TIME, .descending = true}, "dbac"},
    };

    SHS_UNUSED(state);
    for (size_t i = 0; i < SHS_ARRAY_LEN(cases); i++) {
        struct shs_listing_entry entries[] = {
            entry("b", SHS_ENTRY_FILE, 5),
            entry("d", SHS_ENTRY_DIRECTORY, 0),
            entry("a", SHS_ENTRY_FILE, 7),
            entry("c", SHS_ENTRY_FILE, 7),
        };
        char order[5] = "";

        entries[0].mtime = 30;
        entries[1].mtime = 30;
        entries[2].mtime = 20;
        entries[3].mtime = 10;
        shs__listing_sort(entries, SHS_ARRAY_LEN(entries), &cases[i].view);
        for (size_t j = 0; j < SHS_ARRAY_LEN(entries); j++)
            order[j] = entries[j].name.ptr[0];
        assert_string_equal(order, cases[i].order);
    }
}

static void test_heads_are_links(void **state)
{
    struct shs_listing_view view = {.column = SHS_LISTING_SIZE, .upload = true};
    struct shs_buf out;

    SHS_UNUSED(state);
    shs__buf_init(&out, 100000);
    assert_int_equal(shs__listing_page(&out, SHS_STR("/"), NULL, 0, true, &view), SHS_OK);
    assert_int_equal(shs__buf_append(&out, "", 1), SHS_OK);
    assert_non_null(strstr(shs__buf_head(&out), "<a href=\"?C=N;O=A\">Name</a>"));
    assert_non_null(
        strstr(shs__buf_head(&out), "aria-sort=\"ascending\"><a href=\"?C=S;O=D\">Size</a>"));
    assert_non_null(strstr(shs__buf_head(&out), "enctype=\"multipart/form-data\""));
    shs__buf_free(&out);
}

/* Where one is, each directory on the way a link; what is in it, counted. */
static void test_heading_and_summary(void **state)
{
    struct shs_listing_entry entries[] = {entry("a", SHS_ENTRY_DIRECTORY, 0),
                                          entry("b", SHS_ENTRY_FILE, 0),
                                          entry("c", SHS_ENTRY_OTHER, 0)};
    char deep[2 * 34 + 2] = "/", *page = page_of("/a b/<c>/d/", entries, 3, true);

    SHS_UNUSED(state);
    assert_in(page,
              "<h1>Directory listing for <a href=\"../../../\">/</a><a href=\"../../\">a b/</a>"
              "<a href=\"../\">&lt;c&gt;/</a>d/</h1>");
    assert_in(page, "<p>1 directory, 2 files</p>");
    shs__free(page);
    for (int i = 0; i < 34; i++)
        memcpy(deep + 1 + 2 * i, "a/", 3);
    page = page_of(deep, entries, 1, true);
    assert_in(page, "<h1>Directory listing for /a/a/a/"); /* no page of links alone */
    assert_in(page, "<p>1 directory</p>");
    shs__free(page);
    page = page_of("/", entries + 1, 1, false);
    assert_in(page, "<p>1 file, and more</p>");
    shs__free(page);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_sort),
        cmocka_unit_test(test_natural_order),
        cmocka_unit_test(test_unseen_characters),
        cmocka_unit_test(test_tools),
        cmocka_unit_test(test_nothing_is_inline),
        cmocka_unit_test(test_kinds),
        cmocka_unit_test(test_escapes),
        cmocka_unit_test(test_sizes),
        cmocka_unit_test(test_time),
        cmocka_unit_test(test_empty_and_incomplete),
        cmocka_unit_test(test_ceiling),
        cmocka_unit_test(test_read),
        cmocka_unit_test(test_beneath),
        cmocka_unit_test(test_view),
        cmocka_unit_test(test_sort_columns),
        cmocka_unit_test(test_heads_are_links),
        cmocka_unit_test(test_heading_and_summary),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
