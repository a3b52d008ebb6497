/*
 * test_pages.c - what is made from the tables of the commands has every row: --help, the man
 * pages, and the completion of three shells. It is compared with the tables themselves.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <unistd.h>

#include <cmocka.h>

#include "cmd/cmd.h"
#include "cmd/man/options.h"
#include "cmd/pages.h"
#include "cmd/serve_options.h"

#define TEXT_MAX ((size_t)512 * 1024)

static struct pages pages;
static char text[TEXT_MAX];

/* -- what is printed --------------------------------------------------------------------------- */

static int saved;
static FILE *scratch;

static void capture(void)
{
    fflush(stdout);
    scratch = tmpfile();
    assert_non_null(scratch);
    saved = dup(STDOUT_FILENO);
    assert_true(saved >= 0);
    assert_true(dup2(fileno(scratch), STDOUT_FILENO) >= 0);
}

/* What was printed since, in `text`. */
static void captured(void)
{
    size_t len;

    fflush(stdout);
    assert_true(dup2(saved, STDOUT_FILENO) >= 0);
    close(saved);
    rewind(scratch);
    len = fread(text, 1, sizeof text - 1, scratch);
    fclose(scratch);
    assert_in_range(len, 1, sizeof text - 2);
    text[len] = '\0';
}

static size_t count(const char *what)
{
    size_t n = 0;

    for (const char *at = text; (at = strstr(at, what)) != NULL; at += strlen(what))
        n++;
    return n;
}

static bool printed(const char *fmt, ...) SHS_PRINTF(1, 2);

static bool printed(const char *fmt, ...)
{
    char what[512];
    va_list args;

    va_start(args, fmt);
    vsnprintf(what, sizeof what, fmt, args);
    va_end(args);
    if (strstr(text, what) != NULL)
        return true;
    print_error("not there: '%s'\n", what);
    return false;
}

/* An option named in any of the ways that end its name. */
static bool has_name(const char *before, const char *name, const char *ends)
{
    char what[128];

    snprintf(what, sizeof what, "%s%s", before, name);
    for (const char *at = text; (at = strstr(at, what)) != NULL; at++) {
        if (strchr(ends, at[strlen(what)]) != NULL)
            return true;
    }
    print_error("no option '%s'\n", name);
    return false;
}

static const struct page *serve_page(void)
{
    const struct page *page = pages_find(&pages, "serve");

    assert_non_null(page);
    return page;
}

/* -- shs serve --------------------------------------------------------------------------------- */

static void test_help(void **state)
{
    char name[] = "serve", help[] = "--help", *argv[] = {name, help, NULL};
    static struct serve_plan plan;
    int code;

    SHS_UNUSED(state);
    capture();
    (void)serve_plan_read(&plan, 2, argv, &code);
    captured();
    serve_plan_free(&plan);
    assert_int_equal(code, CMD_OK);
    for (size_t i = 0; i < serve_settings.count; i++)
        assert_true(has_name("--", serve_settings.rows[i].name, " [\n"));
    /* One line begins with each, and with --help. */
    assert_int_equal(count("\n      --") + count("\n  -"), serve_settings.count + 1);
}

static void test_man_options(void **state)
{
    SHS_UNUSED(state);
    capture();
    man_page(serve_page());
    captured();
    for (size_t i = 0; i < serve_settings.count; i++) {
        const struct setting *row = &serve_settings.rows[i];

        assert_true(has_name("Fl \\-", row->name, " \n"));
        if (row->preset != NULL && strpbrk(row->preset, " -") == NULL)
            assert_true(printed("Default: %s.", row->preset));
    }
    assert_int_equal(count("\n.It Fl "), serve_settings.count);
}

static void test_man_keys(void **state)
{
    size_t keys = 0;

    SHS_UNUSED(state);
    capture();
    man_keys(serve_page());
    captured();
    for (size_t i = 0; i < serve_settings.count; i++) {
        const struct setting *row = &serve_settings.rows[i];

        keys += !row->flag_only;
        if (!row->flag_only)
            assert_true(printed("\n.It Cm %s : Ar ", settings_key(row)));
    }
    assert_int_equal(count("\n.It Cm "), keys);
}

/* -- all commands ------------------------------------------------------------------------------ */

static void test_every_command_has_a_page(void **state)
{
    SHS_UNUSED(state);
    assert_true(pages.count > 20);
    for (size_t i = 0; i < pages.count; i++) {
        const struct page *page = &pages.items[i];

        if (page->row != NULL && page->row->bare)
            continue;
        assert_true(page->list != NULL || page->about != NULL);
        if (page->list == NULL)
            assert_int_equal(strncmp(page->about, "usage: shs ", 11), 0);
    }
}

static void print_completion(char *shell)
{
    char name[] = "completion", *argv[] = {name, shell, NULL};

    capture();
    assert_int_equal(cmd_completion(2, argv), CMD_OK);
    captured();
}

static void test_bash(void **state)
{
    char shell[] = "bash";

    SHS_UNUSED(state);
    print_completion(shell);
    for (size_t i = 0; i < pages.count; i++) {
        const struct page *page = &pages.items[i];

        for (size_t f = 0; f < page->option_count; f++) {
            const struct page_option *option = &page->options[f];

            assert_true(has_name("--", option->name, " '"));
            if (option->value != NULL)
                assert_true(printed("'%s --%s'", page->command, option->name));
        }
    }
}

static void test_zsh(void **state)
{
    char shell[] = "zsh";

    SHS_UNUSED(state);
    print_completion(shell);
    for (size_t i = 0; i < pages.count; i++) {
        for (size_t f = 0; f < pages.items[i].option_count; f++)
            assert_true(has_name("--", pages.items[i].options[f].name, "=["));
    }
}

static void test_fish(void **state)
{
    char shell[] = "fish";

    SHS_UNUSED(state);
    print_completion(shell);
    for (size_t i = 0; i < pages.count; i++) {
        const struct page *page = &pages.items[i];

        for (size_t f = 0; f < page->option_count; f++)
            assert_true(printed("'__shs_at %s' -l %s ", page->command, page->options[f].name));
    }
}

static void test_unknown_shell(void **state)
{
    char name[] = "completion", shell[] = "csh", *argv[] = {name, shell, NULL};

    SHS_UNUSED(state);
    assert_int_equal(cmd_completion(2, argv), CMD_USAGE);
    assert_int_equal(cmd_completion(1, argv), CMD_USAGE);
}

static int setup(void **state)
{
    SHS_UNUSED(state);
    return pages_collect(&pages) == CMD_OK ? 0 : -1;
}

static int teardown(void **state)
{
    SHS_UNUSED(state);
    pages_free(&pages);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_help),     cmocka_unit_test(test_man_options),
        cmocka_unit_test(test_man_keys), cmocka_unit_test(test_every_command_has_a_page),
        cmocka_unit_test(test_bash),     cmocka_unit_test(test_zsh),
        cmocka_unit_test(test_fish),     cmocka_unit_test(test_unknown_shell),
    };

    return cmocka_run_group_tests(tests, setup, teardown);
}
