#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "handler/path.h"

static const struct {
    const char *path;
    enum shs_path_verdict verdict;
    const char *name;
    bool slash;
} cases[] = {
    {"/", SHS_PATH_OK, "", true},
    {"/a", SHS_PATH_OK, "a", false},
    {"/a/", SHS_PATH_OK, "a", true},
    {"/a%2f", SHS_PATH_OK, "a", true},
    {"/a%2F", SHS_PATH_OK, "a", true},
    {"/%2f", SHS_PATH_OK, "", true},
    {"/a/b.txt", SHS_PATH_OK, "a/b.txt", false},
    {"//a///b//", SHS_PATH_OK, "a/b", true},
    {"a/b", SHS_PATH_OK, "a/b", false},
    {"", SHS_PATH_OK, "", false},
    /* decoded once */
    {"/a%20b", SHS_PATH_OK, "a b", false},
    {"/%61", SHS_PATH_OK, "a", false},
    {"/%2541", SHS_PATH_OK, "%41", false},
    {"/%252e%252e/x", SHS_PATH_OK, "%2e%2e/x", false},
    {"/a+b", SHS_PATH_OK, "a+b", false},
    {"/%ff", SHS_PATH_OK, "\xff", false},
    {"/q%3f", SHS_PATH_OK, "q?", false},
    /* query and fragment are not part of a name */
    {"/a?b/", SHS_PATH_OK, "a", false},
    {"/a/#b", SHS_PATH_OK, "a", true},
    {"/f%23", SHS_PATH_OK, "f#", false},
    /* dot segments; ".." at the root stays there */
    {"/.", SHS_PATH_OK, "", false},
    {"/./a", SHS_PATH_OK, "a", false},
    {"/a/./b/.", SHS_PATH_OK, "a/b", false},
    {"/a/..", SHS_PATH_OK, "", false},
    {"/a/../", SHS_PATH_OK, "", true},
    {"/a/b/../c", SHS_PATH_OK, "a/c", false},
    {"/a/b/../../c", SHS_PATH_OK, "c", false},
    {"/../../etc/passwd", SHS_PATH_OK, "etc/passwd", false},
    {"/%2e%2e/%2E./x", SHS_PATH_OK, "x", false},
    {"/a/%2e%2e/b", SHS_PATH_OK, "b", false},
    {"/.well-known/../x", SHS_PATH_OK, "x", false},
    /* hidden names */
    {"/.git/config", SHS_PATH_NOT_FOUND, NULL, false},
    {"/a/.env", SHS_PATH_NOT_FOUND, NULL, false},
    {"/%2egit", SHS_PATH_NOT_FOUND, NULL, false},
    {"/...", SHS_PATH_NOT_FOUND, NULL, false},
    {"/..a", SHS_PATH_NOT_FOUND, NULL, false},
    {"/a/.b", SHS_PATH_NOT_FOUND, NULL, false},
    {"/.git/../x", SHS_PATH_NOT_FOUND, NULL, false},
    {"/.well-known/acme-challenge/t", SHS_PATH_OK, ".well-known/acme-challenge/t", false},
    {"/a/.well-known/t", SHS_PATH_NOT_FOUND, NULL, false},
    {"/.well-knownx", SHS_PATH_NOT_FOUND, NULL, false},
    {"/.well-known/.git", SHS_PATH_NOT_FOUND, NULL, false},
    {"/a.b", SHS_PATH_OK, "a.b", false},
    {"/a/b..", SHS_PATH_OK, "a/b..", false},
    /* no name has these */
    {"/a%00", SHS_PATH_NOT_FOUND, NULL, false},
    {"/a%2fb", SHS_PATH_NOT_FOUND, NULL, false},
    {"/..%2fetc/passwd", SHS_PATH_NOT_FOUND, NULL, false},
    {"/a%2f/", SHS_PATH_NOT_FOUND, NULL, false},
    {"/%zz", SHS_PATH_MALFORMED, NULL, false},
    {"/%z4", SHS_PATH_MALFORMED, NULL, false},
    {"/%4z", SHS_PATH_MALFORMED, NULL, false},
    {"/%4", SHS_PATH_MALFORMED, NULL, false},
    {"/%", SHS_PATH_MALFORMED, NULL, false},
    {"/% 1", SHS_PATH_MALFORMED, NULL, false},
};

static void test_clean(void **state)
{
    struct shs_clean_path out;

    SHS_UNUSED(state);
    for (size_t i = 0; i < SHS_ARRAY_LEN(cases); i++) {
        enum shs_path_verdict verdict = shs__path_clean(shs__str(cases[i].path), &out);

        if (verdict != cases[i].verdict)
            fail_msg("%s: verdict %d", cases[i].path, (int)verdict);
        if (verdict != SHS_PATH_OK)
            continue;
        if (strcmp(out.name, cases[i].name) != 0 || out.slash != cases[i].slash)
            fail_msg("%s: name '%s', slash %d", cases[i].path, out.name, out.slash);
        assert_int_equal(out.len, strlen(out.name));
    }
}

/* One byte more than fits is refused, and what fits is all there. */
static void test_clean_length(void **state)
{
    static char path[SHS_STATIC_PATH_MAX + 8];
    struct shs_clean_path out;
    size_t longest = SHS_STATIC_PATH_MAX - 2;

    SHS_UNUSED(state);
    memset(path, 'x', sizeof path);
    path[0] = '/';
    assert_int_equal(shs__path_clean((struct shs_str){path, 1 + longest}, &out), SHS_PATH_OK);
    assert_int_equal(out.len, longest);
    assert_int_equal(shs__path_clean((struct shs_str){path, 2 + longest}, &out),
                     SHS_PATH_NOT_FOUND);
}

/* A path ends where its length says, whatever is behind it. */
static void test_clean_cut(void **state)
{
    struct shs_clean_path out;

    SHS_UNUSED(state);
    for (size_t len = 3; len < 5; len++)
        assert_int_equal(shs__path_clean((struct shs_str){"/a%41", len}, &out), SHS_PATH_MALFORMED);
    assert_int_equal(shs__path_clean((struct shs_str){"/a%41", 5}, &out), SHS_PATH_OK);
}

static const struct {
    const char *target, *path, *query, *location;
} redirects[] = {
    {"/dir", "/dir", NULL, "/dir/"},
    {"/dir?x=1&y=%2f", "/dir", "x=1&y=%2f", "/dir/?x=1&y=%2f"},
    {"/dir?", "/dir", "", "/dir/?"},
    {"//evil.example/..", "/evil.example/..", NULL, "/evil.example/../"},
    {"//evil.example/..", "//evil.example/..", NULL, "/evil.example/../"},
    {"/\\evil.example/..", "/\\evil.example/..", NULL, "/%5Cevil.example/../"},
    {"/a%20b", "/a%20b", NULL, "/a%20b/"},
    {"/a\"b", "/a\"b", NULL, "/a%22b/"},
    {"http://h.example:81/dir?q", "/dir", "q", "http://h.example:81/dir/?q"},
    {"http://h.example", "", NULL, "http://h.example/"},
    {"http://h.example?q", "/", "q", "http://h.example//?q"},
    {"dir", "dir", NULL, "/dir/"},
    /* what is an origin, and what only looks like one */
    {"/a://b/dir", "/a://b/dir", NULL, "/a://b/dir/"},
    {"dir:xyz", "dir:xyz", NULL, "/dir:xyz/"},
    {"http://", "", NULL, "http:///"},
    {NULL, "/dir", NULL, "/dir/"},
    /* each end of what a URI is made of */
    {"/!~", "/!~", NULL, "/!~/"},
    {"/ \x1f\x7f\xff", "/ \x1f\x7f\xff", NULL, "/%20%1F%7F%FF/"},
};

static void test_redirect(void **state)
{
    SHS_UNUSED(state);
    /* "//?q" cannot happen: "/" has its slash. It pins that nothing is lost. */
    for (size_t i = 0; i < SHS_ARRAY_LEN(redirects); i++) {
        struct shs_buf out;

        shs__buf_init(&out, 4096);
        assert_int_equal(shs__path_redirect(&out, shs__str(redirects[i].target),
                                            shs__str(redirects[i].path),
                                            shs__str(redirects[i].query)),
                         SHS_OK);
        if (!shs__str_eq((struct shs_str){shs__buf_head(&out), out.len},
                         shs__str(redirects[i].location)))
            fail_msg("%s: %.*s", redirects[i].target, (int)out.len, shs__buf_head(&out));
        shs__buf_free(&out);
    }
}

/* A target ends where its length says: "http:/" has no origin. */
static void test_redirect_cut(void **state)
{
    struct shs_buf out;

    SHS_UNUSED(state);
    shs__buf_init(&out, 4096);
    assert_int_equal(
        shs__path_redirect(&out, (struct shs_str){"http://h", 6}, shs__str("/dir"), shs__str(NULL)),
        SHS_OK);
    assert_true(shs_str_is((struct shs_str){shs__buf_head(&out), out.len}, "/dir/"));
    shs__buf_free(&out);
}

static void test_redirect_ceiling(void **state)
{
    struct shs_buf out;

    SHS_UNUSED(state);
    shs__buf_init(&out, 4);
    assert_int_equal(shs__path_redirect(&out, shs__str("/dir"), shs__str("/dir"), shs__str(NULL)),
                     SHS_LIMIT);
    shs__buf_free(&out);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_clean),        cmocka_unit_test(test_clean_length),
        cmocka_unit_test(test_clean_cut),    cmocka_unit_test(test_redirect),
        cmocka_unit_test(test_redirect_cut), cmocka_unit_test(test_redirect_ceiling),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
