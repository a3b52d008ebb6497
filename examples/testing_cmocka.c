/*
 * testing_cmocka.c - a client under test: one server that it takes, and two that it must refuse.
 *
 * The client is `curl`; put yours in its place. What it did is asked of the server, not only of the
 * client: "it failed" is not enough, it has to fail for the reason that was meant.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>

#include <shs/shs.h>

static bool my_client_get(const char *url, const char *ca_path)
{
    char command[600];

    snprintf(command, sizeof command, "curl -sS -o /dev/null --cacert '%s' '%s/'", ca_path, url);
    return system(command) == 0;
}

/* -- the test ---------------------------------------------------------------------------------- */

static struct shs_error err;

/* Whether the client takes a server whose certificate has this fault; and what the server saw. */
static bool visits(const char *fault, enum shs_test_event_kind kind, const char *what)
{
    struct shs_test_server_options opt;
    struct shs_test_server *server;
    bool taken;

    shs_test_server_options_init(&opt);
    opt.fault = fault;
    if (shs_test_server_start(&server, shs_echo_handler(), &opt, &err) != SHS_OK)
        fail_msg("%s", err.text);
    taken = my_client_get(shs_test_server_url(server), shs_test_server_ca_path(server));
    if (shs_test_server_expect(server, kind, what, 1000, NULL, &err) != SHS_OK)
        fail_msg("%s", err.text);
    assert_int_equal(shs_test_server_stop(server, &err), SHS_OK);
    return taken;
}

static void certificates(void **state)
{
    (void)state;
    assert_true(visits(NULL, SHS_TEST_REQUEST, "GET /"));
    assert_false(visits("expired", SHS_TEST_HANDSHAKE_FAILED, "client-alert:certificate_expired"));
    assert_false(visits("wrong-name", SHS_TEST_HANDSHAKE, NULL)); /* curl looks after it */
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(certificates)};

    return cmocka_run_group_tests(tests, NULL, NULL);
}
