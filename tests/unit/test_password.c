#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include <shs/digest.h>

#include "handler/password.h"

/* "secret" and "another", by the system's own mkpasswd: SHA-512 and bcrypt with few rounds. */
static const char file[] =
    "# users\n"
    "\n"
    "ann:$6$rounds=1000$abcdefgh$"
    "LsTcmDKVfZvGdE5JO4PLpTXKxcBYyyRDp8ETWQwwSZhnTgVsw9xG6TfPyN5BMqJRWRzhNjN8GSqZbBQrN2Qay/\r\n";

static int parse(struct shs_users **users, const char *text, struct shs_error *err)
{
    return shs__users_parse(users, shs__str(text), "users", err);
}

static void test_files(void **state)
{
    static const struct {
        const char *text, *words;
    } bad[] = {
        {"", "has no user in it"},
        {"# nobody\n", "has no user in it"},
        {"ann\n", "users, line 1: that is not \"user:hash\"."},
        {"\n:$6$abcdefgh$abcdefgh\n", "users, line 2"},
        {"ann:secret\n", "line 1: the hash is not yescrypt, bcrypt or SHA-crypt"},
        {"ann:rl0uE1oQZ6LkI\n", "the hash is not"},                /* DES */
        {"ann:$1$abcdefgh$abcdefghijklmnop\n", "the hash is not"}, /* MD5 */
        {"ann:{SHA}0DPiKuNIrrVmD8IUCuw1hQxNqZc=\n", "the hash is not"},
        {"ann:*\n", "the hash is not"},
        {"ann:$6$abcdefgh\n", "the hash is not"}, /* nothing behind a salt */
        {"ann:$6$abcdefgh$abc efgh\n", "the hash is not"},
        {"ann:$6$abcdefgh$abc\x7f"
         "efgh\n",
         "the hash is not"},
        {"ann:$6$abcdefgh$abcdefgh\nann:$6$abcdefgh$abcdefgh\n", "line 2: this user is listed"},
    };
    struct shs_users *users;
    struct shs_error err;

    SHS_UNUSED(state);
    for (size_t i = 0; i < SHS_ARRAY_LEN(bad); i++) {
        assert_int_equal(parse(&users, bad[i].text, &err), SHS_USAGE);
        if (strstr(err.text, bad[i].words) == NULL)
            fail_msg("%s: %s", bad[i].text, err.text);
    }
    assert_int_equal(shs__users_load(&users, "/nonexistent/users", &err), SHS_IO);
    assert_non_null(strstr(err.text, "/nonexistent/users"));
    assert_int_equal(parse(&users, file, &err), SHS_OK);
    shs__users_free(users);
    shs__users_free(NULL);
}

static int parse_line(size_t name_len, size_t hash_len)
{
    struct shs_users *users = NULL;
    char text[1024];
    int rc;

    memset(text, 'u', sizeof text);
    memcpy(text + name_len, ":$6$", 4);
    text[name_len + 1 + hash_len] = '\0';
    rc = parse(&users, text, NULL);
    shs__users_free(rc == SHS_OK ? users : NULL);
    return rc;
}

/* Names and hashes at their ends, and how many users there are. */
static void test_bounds(void **state)
{
    const char *first_hash = "$6$!aaaaaaa~", *line_end = ":$6$aaaaaaaaa\n";
    struct shs_users *users;
    struct shs_error err;
    struct shs_buf text;

    SHS_UNUSED(state);
    assert_int_equal(parse_line(SHS_USER_NAME_MAX, 12), SHS_OK);
    assert_int_equal(parse_line(SHS_USER_NAME_MAX + 1, 12), SHS_USAGE);
    assert_int_equal(parse_line(1, 11), SHS_USAGE);
    assert_int_equal(parse_line(1, 383), SHS_OK);
    assert_int_equal(parse_line(1, 384), SHS_USAGE);
    shs__buf_init(&text, SHS_USERS_BYTES_MAX);
    assert_int_equal(shs__buf_printf(&text, "first:%s\n", first_hash), SHS_OK);
    for (unsigned i = 1; i < SHS_USERS_MAX; i++)
        assert_int_equal(shs__buf_printf(&text, "%x%s", i, line_end), SHS_OK);
    assert_int_equal(
        shs__users_parse(&users, (struct shs_str){shs__buf_head(&text), text.len}, "users", &err),
        SHS_OK);
    shs__users_free(users);
    assert_int_equal(shs__buf_printf(&text, "last%s", line_end), SHS_OK);
    assert_int_equal(
        shs__users_parse(&users, (struct shs_str){shs__buf_head(&text), text.len}, "users", &err),
        SHS_LIMIT);
    shs__buf_free(&text);
}

#ifdef SHS_HAVE_CRYPT
#include <crypt.h>

/* A file of users made here, with each kind of hash: then right ones and wrong ones. */
static void test_check(void **state)
{
    static const char *const kinds[] = {"$y$j75$abcdefghijklmnop", "$2b$04$abcdefghijklmnopqrstuu",
                                        "$6$rounds=1000$abcdefgh", "$5$rounds=1000$abcdefgh"};
    static const struct {
        const char *user, *password;
        bool right;
    } tries[] = {
        {"u0", "secret 0", true},   {"u1", "secret 1", true},  {"u2", "secret 2", true},
        {"u3", "secret 3", true},   {"u0", "secret 1", false}, {"u0", "secret ", false},
        {"u0", "secret 00", false}, {"u0", "", false},         {"u9", "secret 0", false},
        {"", "secret 0", false},    {"U0", "secret 0", false},
    };
    static char longest[SHS_PASSWORD_MAX + 1], too_long[100000];
    struct crypt_data data;
    struct shs_users *users;
    struct shs_error err;
    char text[2048] = "", password[16];
    bool right;

    SHS_UNUSED(state);
    for (size_t i = 0; i < SHS_ARRAY_LEN(kinds); i++) {
        size_t len = strlen(text);

        memset(&data, 0, sizeof data);
        snprintf(password, sizeof password, "secret %zu", i);
        snprintf(text + len, sizeof text - len, "u%zu:%s\n", i,
                 crypt_rn(password, kinds[i], &data, (int)sizeof data));
    }
    memset(longest, 'x', sizeof longest - 1);
    memset(too_long, 'x', sizeof too_long - 1);
    memset(&data, 0, sizeof data);
    snprintf(text + strlen(text), sizeof text - strlen(text), "long:%s\n",
             crypt_rn(longest, kinds[2], &data, (int)sizeof data));
    if (parse(&users, text, &err) != SHS_OK)
        fail_msg("%s\n%s", err.text, text);
    for (size_t i = 0; i < SHS_ARRAY_LEN(tries); i++) {
        assert_int_equal(shs__password_check(users, shs__str(tries[i].user),
                                             shs__str(tries[i].password), &right),
                         SHS_OK);
        if (right != tries[i].right)
            fail_msg("%s with %s", tries[i].user, tries[i].password);
    }
    assert_int_equal(shs__password_check(users, SHS_STR("long"), shs__str(longest), &right),
                     SHS_OK);
    assert_true(right);
    assert_int_equal(shs__password_check(users, SHS_STR("long"), shs__str(too_long), &right),
                     SHS_OK);
    assert_false(right);
    assert_int_equal(shs__password_check(users, SHS_STR("u0"), SHS_STR("secret 0\0x"), &right),
                     SHS_OK);
    assert_false(right);
    shs__users_free(users);
}
#endif

static void test_equal(void **state)
{
    SHS_UNUSED(state);
    assert_true(shs_equal_secret("abc", "abc", 3));
    assert_true(shs_equal_secret("abc", "abd", 2));
    assert_false(shs_equal_secret("abc", "abd", 3));
    assert_false(shs_equal_secret("bbc", "abc", 3));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_files),
        cmocka_unit_test(test_bounds),
#ifdef SHS_HAVE_CRYPT
        cmocka_unit_test(test_check),
#endif
        cmocka_unit_test(test_equal),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
