/* test_health.c - shs/health.h: what /livez and /readyz say. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <string.h>

#include <shs/health.h>
#include <shs/testing.h>

struct part {
    bool good;
    const char *reason;
};

static bool look_at_part(void *ctx, char *reason)
{
    const struct part *part = ctx;

    if (!part->good)
        snprintf(reason, SHS_HEALTH_REASON_MAX, "%s", part->reason);
    return part->good;
}

static void expect(const struct shs_health *health, const char *target, int status,
                   const char *body)
{
    struct shs_test_request ask;
    struct shs_test_answer *answer;
    struct shs_error err;

    shs_test_request_init(&ask);
    ask.target = target;
    assert_int_equal(shs_test_call(&answer, shs_health_handler(health), &ask, &err), SHS_OK);
    assert_int_equal(shs_test_answer_status(answer), status);
    if (body != NULL) {
        assert_string_equal(shs_test_answer_body(answer).ptr, body);
        assert_string_equal(shs_test_answer_header(answer, "Cache-Control"), "no-store");
    }
    shs_test_answer_free(answer);
}

static void test_without_checks(void **state)
{
    struct shs_health *health;

    (void)state;
    assert_int_equal(shs_health_new(&health, NULL), SHS_OK);
    expect(health, "/livez", 200, "ok\n");
    expect(health, "/readyz", 200, "ok\n");
    expect(health, "/readyz?verbose", 200, "[+]ready ok\nready\n");
    expect(health, "/", 404, NULL);
    expect(health, "/readyz/", 404, NULL);
    expect(health, "/livez2", 404, NULL);
    shs_health_set_ready(health, false, "draining");
    assert_false(shs_health_is_ready(health));
    expect(health, "/livez", 200, "ok\n");
    expect(health, "/readyz", 503, "[-]ready failed: draining\n");
    shs_health_set_ready(health, true, NULL);
    assert_true(shs_health_is_ready(health));
    expect(health, "/readyz", 200, "ok\n");
    shs_health_free(health);
}

static void test_checks(void **state)
{
    struct part disk = {true, ""}, database = {false, "no answer\r\nin 5 s"};
    struct shs_health *health;

    (void)state;
    assert_int_equal(shs_health_new(&health, NULL), SHS_OK);
    assert_int_equal(shs_health_add_check(health, "disk", look_at_part, &disk, NULL), SHS_OK);
    assert_int_equal(shs_health_add_check(health, "db", look_at_part, &database, NULL), SHS_OK);
    assert_false(shs_health_is_ready(health));
    expect(health, "/readyz", 503, "[-]db failed: no answer  in 5 s\n");
    expect(health, "/readyz?verbose", 503,
           "[+]ready ok\n[+]disk ok\n[-]db failed: no answer  in 5 s\nnot ready\n");
    expect(health, "/readyz?a=b&verbose=1", 503,
           "[+]ready ok\n[+]disk ok\n[-]db failed: no answer  in 5 s\nnot ready\n");
    expect(health, "/readyz?verbosely", 503, "[-]db failed: no answer  in 5 s\n");
    expect(health, "/readyz?noverbose", 503, "[-]db failed: no answer  in 5 s\n");
    database.good = true;
    expect(health, "/readyz?x&verbose&y", 200, "[+]ready ok\n[+]disk ok\n[+]db ok\nready\n");
    shs_health_free(health);
}

static void test_bad_checks(void **state)
{
    const char *const bad[] = {"", "two words", "a\nb", "\xc3\xa4", "ready", "a=b"};
    struct part part = {true, ""};
    struct shs_health *health;
    struct shs_error err;
    char name[80];

    (void)state;
    assert_int_equal(shs_health_new(&health, NULL), SHS_OK);
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++)
        assert_int_equal(shs_health_add_check(health, bad[i], look_at_part, &part, &err),
                         SHS_USAGE);
    memset(name, 'n', 65);
    name[65] = '\0';
    assert_int_equal(shs_health_add_check(health, name, look_at_part, &part, &err), SHS_USAGE);
    for (int i = 0; i < SHS_HEALTH_CHECKS_MAX; i++) {
        snprintf(name, sizeof name, "check-%d", i);
        assert_int_equal(shs_health_add_check(health, name, look_at_part, &part, &err), SHS_OK);
        assert_int_equal(shs_health_add_check(health, name, look_at_part, &part, &err), SHS_USAGE);
    }
    assert_int_equal(shs_health_add_check(health, "more", look_at_part, &part, &err), SHS_LIMIT);
    assert_true(shs_health_is_ready(health));
    shs_health_free(health);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_without_checks),
        cmocka_unit_test(test_checks),
        cmocka_unit_test(test_bad_checks),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
