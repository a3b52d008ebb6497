/* test_basic_auth.c - HTTP's Basic: what is decoded, who is let in, and what a realm is. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <shs/middleware.h>

#include "h1_expect.h"

#ifdef SHS_HAVE_CRYPT
#include <crypt.h>

/* In base64 this name has the first and the last of each kind of digit: A Z a z 0 9 + / */
#define EVERY_DIGIT "xx~xx?xxYxxZxxsxxtxx}xx@"

static struct h1_lab lab;

static int who(struct shs_request *req, struct shs_response *res)
{
    struct shs_str user = shs_request_user(req);

    SHS_RETURN_IF_ERROR(shs_send_response(res, 200));
    if (user.ptr != NULL)
        SHS_RETURN_IF_ERROR(shs_send_header_str(res, "X-User", user));
    return shs_end_headers(res);
}

static const struct shs_http_handler handler = {.name = "who", .do_GET = who};

/* All of them have the password "secret". */
static void write_users(char *path)
{
    static const char *const names[] = {"ann", "bo", EVERY_DIGIT, "\xff\xff\xff"};
    struct crypt_data data = {.initialized = 0};
    const char *hash = crypt_rn("secret", "$6$rounds=1000$abcdefgh", &data, (int)sizeof data);
    FILE *file = fdopen(mkstemp(path), "w");

    assert_non_null(hash);
    assert_non_null(file);
    for (size_t i = 0; i < SHS_ARRAY_LEN(names); i++)
        assert_true(fprintf(file, "%s:%s\n", names[i], hash) > 0);
    assert_int_equal(fclose(file), 0);
}

static void who_is_let_in(void **state)
{
    static const struct {
        const char *authorization, *user; /* NULL: 401 */
    } cases[] = {
        {"Basic YW5uOnNlY3JldA==", "ann"},
        {"Basic YW5uOnNlY3JldA", "ann"}, /* without its filling */
        {"basic  YW5uOnNlY3JldA==", "ann"},
        {"Basic eHh+eHg/eHhZeHhaeHhzeHh0eHh9eHhAOnNlY3JldA==", EVERY_DIGIT},
        {"Basic Ym86c2VjcmV0", "bo"},
        {"Basic Ym86c2VjcmV0A", NULL}, /* a digit that is a part of nothing */
        {"Basic ****OnNlY3JldA==", NULL},
        {"Basic YW5uOlNlY3JldA==", NULL}, /* Secret */
        {"Basic YW5u", NULL},
        {"Basic =", NULL},
        {"Basic", NULL},
        {"Basic:YW5uOnNlY3JldA==", NULL},
        {"Basiq YW5uOnNlY3JldA==", NULL},
        {"Bearer YW5uOnNlY3JldA==", NULL},
    };
    char path[] = "/tmp/shs-users-XXXXXX", request[6001], user[64];
    struct shs_basic_auth *self = NULL;

    (void)state;
    write_users(path);
    assert_int_equal(shs_basic_auth_new(&self, &handler, path, "r", NULL), SHS_OK);
    for (size_t i = 0; i < SHS_ARRAY_LEN(cases); i++) {
        snprintf(request, sizeof request, "GET / HTTP/1.1\r\nHost: a\r\nAuthorization: %s\r\n\r\n",
                 cases[i].authorization);
        h1_lab_open(&lab, shs_basic_auth_handler(self));
        h1_lab_talk(&lab, request, strlen(request));
        if (lab.last_status != (cases[i].user != NULL ? 200 : 401))
            fail_msg("%s: %d", cases[i].authorization, lab.last_status);
        if (cases[i].user != NULL) {
            snprintf(user, sizeof user, "\r\nX-User: %s\r\n", cases[i].user);
            h1_has(&lab, user);
        } else {
            h1_has(&lab, "\r\nWWW-Authenticate: Basic realm=\"r\", charset=\"UTF-8\"\r\n");
        }
        h1_lab_close(&lab);
    }
    /* Far more than a name and a password have. */
    memset(request, 'A', sizeof request);
    memcpy(request, "GET / HTTP/1.1\r\nHost: a\r\nAuthorization: Basic ", 46);
    memcpy(request + sizeof request - 5, "\r\n\r\n", 5);
    h1_lab_open(&lab, shs_basic_auth_handler(self));
    h1_lab_talk(&lab, request, strlen(request));
    assert_int_equal(lab.last_status, 401);
    h1_lab_close(&lab);
    shs_basic_auth_free(self);
    assert_int_equal(unlink(path), 0);
}

static void realms(void **state)
{
    char path[] = "/tmp/shs-users-XXXXXX", longest[102];
    const struct {
        const char *realm;
        int rc;
    } cases[] = {{"", SHS_OK},         {"a b", SHS_OK},      {"a\nb", SHS_USAGE},
                 {"a\"b", SHS_USAGE},  {"a\\b", SHS_USAGE},  {longest + 1, SHS_OK},
                 {longest, SHS_USAGE}, {"a\x7f", SHS_USAGE}, {"\x01", SHS_USAGE}};

    (void)state;
    memset(longest, 'x', sizeof longest - 1);
    longest[sizeof longest - 1] = '\0';
    write_users(path);
    for (size_t i = 0; i < SHS_ARRAY_LEN(cases); i++) {
        struct shs_basic_auth *self = NULL;

        if (shs_basic_auth_new(&self, &handler, path, cases[i].realm, NULL) != cases[i].rc)
            fail_msg("realm %zu", i);
        shs_basic_auth_free(self);
    }
    assert_int_equal(unlink(path), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(who_is_let_in),
        cmocka_unit_test(realms),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
#else
int main(void)
{
    puts("skipped: this build has no libcrypt");
    return 77;
}
#endif
