/* What a test server writes down, and what it does by rule. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <string.h>

#include <shs/shs.h>

#include "patience.h"
#include "testing/client.h"
#include "testing/hello.h"
#include "testing/rules.h"

static struct shs_test_server *server;

static void start_with(const struct shs_http_handler *handler,
                       const struct shs_test_server_options *opt)
{
    struct shs_error err;

    if (shs_test_server_start(&server, handler, opt, &err) != SHS_OK)
        fail_msg("%s", err.text);
}

static int start_server(void **state)
{
    (void)state;
    start_with(shs_echo_handler(), NULL);
    return 0;
}

static int stop_server(void **state)
{
    struct shs_error err;

    (void)state;
    if (shs_test_server_stop(server, &err) == SHS_OK)
        return 0;
    fail_msg("%s", err.text);
    return 1;
}

static const struct shs_test_event *expect(enum shs_test_event_kind kind, const char *what)
{
    const struct shs_test_event *event = NULL;
    struct shs_error err;

    if (shs_test_server_expect(server, kind, what, (unsigned)patience_ms(), &event, &err) != SHS_OK)
        fail_msg("%s", err.text);
    return event;
}

static void no_more(void)
{
    struct shs_error err;

    if (shs_test_server_expect_no_more(server, &err) != SHS_OK)
        fail_msg("%s", err.text);
}

/* The answer; NULL when there is none. */
static struct shs_test_answer *ask(const char *method, const char *target,
                                   const char *const *fields, const char *body)
{
    struct shs_test_answer *answer = NULL;
    struct shs_test_request request;
    struct shs_error err;

    shs_test_request_init(&request);
    request.method = method;
    request.target = target;
    request.fields = fields;
    request.body = body;
    request.body_len = body == NULL ? 0 : strlen(body);
    request.limit_ms = (unsigned)patience_ms();
    return shs_test_server_ask(&answer, server, &request, &err) == SHS_OK ? answer : NULL;
}

static int status_of(const char *method, const char *target, const char *const *fields)
{
    struct shs_test_answer *answer = ask(method, target, fields, NULL);
    int status = answer == NULL ? 0 : shs_test_answer_status(answer);

    shs_test_answer_free(answer);
    return status;
}

static int add(const struct shs_test_rule *rule)
{
    struct shs_error err;
    int rc = shs_test_server_rule(server, rule, &err);

    if (rc != SHS_OK)
        assert_true(strlen(err.text) > 10);
    return rc;
}

/* -- what was seen ----------------------------------------------------------------------------- */

static void a_visit_is_written_down(void **state)
{
    static const char *const fields[] = {"X-One", "1", "X-Two", "2", NULL};
    const struct shs_test_event *event;
    struct shs_error err;

    (void)state;
    shs_test_answer_free(ask("POST", "/items?x=1", fields, "{\"a\": 1}"));
    event = expect(SHS_TEST_HANDSHAKE, "localhost");
    assert_string_equal(event->version, "TLSv1.3");
    assert_int_equal(event->connection, 1);
    event = expect(SHS_TEST_REQUEST, "POST /items?x=1");
    assert_int_equal(event->status, 200);
    assert_int_equal(event->connection, 1);
    assert_string_equal(event->method, "POST");
    assert_string_equal(event->target, "/items?x=1");
    assert_string_equal(event->reason, "");
    assert_string_equal(event->fields[2], "X-One");
    assert_string_equal(event->fields[3], "1");
    assert_int_equal(event->body.len, 8);
    assert_memory_equal(event->body.ptr, "{\"a\": 1}", 8);
    no_more();
    assert_int_equal(shs_test_server_expect(server, SHS_TEST_REQUEST, "/items?x=1", 0, NULL, &err),
                     SHS_TIMEOUT); /* taken already */
    assert_non_null(shs_test_server_event(server, 1));
    assert_null(shs_test_server_event(server, 2));
}

static void what_is_missing_is_said(void **state)
{
    struct shs_error err;
    int64_t began = shs_now_ns();

    (void)state;
    assert_int_equal(shs_test_server_expect(server, SHS_TEST_REQUEST, "GET /b", 30, NULL, &err),
                     SHS_TIMEOUT);
    assert_true(shs_now_ns() - began >= 30 * 1000000);
    assert_non_null(strstr(err.text, "No request GET /b within 30 ms. Nothing else"));
    shs_test_answer_free(ask("GET", "/a", NULL, NULL));
    expect(SHS_TEST_HANDSHAKE, NULL);
    (void)shs_test_server_event(server, 0);
    while (shs_test_server_event(server, 1) == NULL)
        assert_int_equal(shs_test_server_expect(server, SHS_TEST_FAULT, NULL, 5, NULL, NULL),
                         SHS_TIMEOUT);
    assert_int_equal(shs_test_server_expect(server, SHS_TEST_REQUEST, "GET /b", 0, NULL, &err),
                     SHS_TIMEOUT);
    assert_non_null(strstr(err.text, "Seen: GET /a 200"));
    assert_int_equal(shs_test_server_expect_no_more(server, &err), SHS_USAGE);
    assert_non_null(strstr(err.text, "GET /a 200"));
}

/* A client that trusts somebody else, and one that has no certificate. */
static void refusals_have_their_reason(void **state)
{
    struct shs_test_client_spec spec = {.host = "127.0.0.1", .tls = true, .name = "localhost"};
    struct shs_test_server_options opt;
    struct shs_test_client client;
    struct shs_ca *other = NULL;
    struct shs_error err;

    (void)state;
    assert_int_equal(shs_ca_new(&other, NULL, &err), SHS_OK);
    spec.port = shs_test_server_port(server);
    spec.ca_pem = shs_ca_pem(other);
    spec.deadline_ns = shs_now_ns() + (int64_t)patience_ms() * 1000000;
    assert_int_equal(shs__test_client_open(&client, &spec, &err), SHS_TLS);
    shs__test_client_close(&client);
    assert_string_equal(expect(SHS_TEST_HANDSHAKE_FAILED, "client-alert:unknown_ca")->sni,
                        "localhost");
    no_more();
    stop_server(NULL);

    shs_test_server_options_init(&opt);
    opt.client_auth = SHS_TLS_CLIENT_REQUIRED;
    start_with(shs_echo_handler(), &opt);
    spec.port = shs_test_server_port(server);
    spec.ca_pem = shs_test_server_ca_pem(server);
    if (shs__test_client_open(&client, &spec, &err) == SHS_OK) {
        char byte;
        size_t got;

        assert_int_not_equal(shs__test_client_read(&client, &byte, 1, &got, &err), SHS_OK);
    }
    assert_int_equal(client.alert, 116); /* certificate_required */
    shs__test_client_close(&client);
    expect(SHS_TEST_HANDSHAKE_FAILED, "client-cert:none");
    shs_test_answer_free(ask("GET", "/", NULL, NULL));
    assert_string_equal(expect(SHS_TEST_REQUEST, NULL)->client, "client");
    shs_ca_free(other);
}

/* A certificate that is wrong in one thing, and the client that says so. */
static void faults_of_certificates(void **state)
{
    static const char *const cases[][2] = {{"expired", "certificate_expired"},
                                           {"not-yet-valid", "certificate_unknown"},
                                           {"wrong-name", ""},
                                           {"self-signed", "unknown_ca"},
                                           {"client-usage", "unsupported_certificate"}};
    struct shs_test_server_options opt;
    char label[80];

    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        stop_server(NULL);
        shs_test_server_options_init(&opt);
        opt.fault = cases[i][0];
        start_with(shs_echo_handler(), &opt);
        assert_int_equal(status_of("GET", "/", NULL), 0);
        snprintf(label, sizeof label, "client-alert%s%s", cases[i][1][0] == '\0' ? "" : ":",
                 cases[i][1]);
        if (i == 1) /* bad_certificate or certificate_unknown, by the version of OpenSSL */
            label[12] = '\0';
        expect(SHS_TEST_HANDSHAKE_FAILED, label);
    }
    shs_test_server_options_init(&opt);
    opt.fault = "nonsense";
    assert_int_equal(shs_test_server_start(&(struct shs_test_server *){NULL}, NULL, &opt, NULL),
                     SHS_USAGE);
}

/* -- rules ------------------------------------------------------------------------------------- */

static void canned_answers(void **state)
{
    static const char *const fields[] = {"Content-Type", "application/json", "X-Y", "z", NULL};
    struct shs_test_answer *answer;
    struct shs_test_rule rule;

    (void)state;
    shs_test_rule_init(&rule);
    rule.path = "/api/*";
    rule.method = "PUT";
    rule.status = 201;
    rule.fields = fields;
    rule.body = "{}";
    rule.body_len = 2;
    assert_int_equal(add(&rule), SHS_OK);
    answer = ask("PUT", "/api/7", NULL, "a body");
    assert_int_equal(shs_test_answer_status(answer), 201);
    assert_string_equal(shs_test_answer_header(answer, "X-Y"), "z");
    assert_string_equal(shs_test_answer_body(answer).ptr, "{}");
    shs_test_answer_free(answer);
    assert_int_equal(expect(SHS_TEST_REQUEST, "PUT /api/7")->body.len, 6);
    assert_int_equal(status_of("GET", "/api/7", NULL), 200); /* the handler's */
    shs_test_server_clear_rules(server);
    answer = ask("PUT", "/api/7", NULL, "a body");
    assert_int_equal(shs_test_answer_status(answer), 200);
    shs_test_answer_free(answer);
}

/* The first that is for a request counts, with `after` and `times`. */
static void rules_are_for_some(void **state)
{
    static const char *const bad[] = {"X-Bad", "1", NULL}, *const other[] = {"X-Bad", "2", NULL};
    static const struct {
        const char *method, *path, *sni, *header;
        unsigned after, times;
        int status;
    } rules[] = {
        {"GET", "/a", NULL, NULL, 1, 2, 401},       {"GET", "/a", NULL, NULL, 0, 1, 402},
        {NULL, NULL, NULL, "x-bad: 1", 0, 0, 403},  {NULL, NULL, NULL, "X-Bad", 0, 0, 404},
        {NULL, "/n", "localhost", NULL, 0, 0, 405}, {NULL, "/m", "*.localhost", NULL, 0, 0, 406},
        {NULL, "/o", "", NULL, 0, 0, 407},
    };

    (void)state;
    for (size_t i = 0; i < sizeof rules / sizeof rules[0]; i++) {
        struct shs_test_rule rule;

        shs_test_rule_init(&rule);
        rule.method = rules[i].method;
        rule.path = rules[i].path;
        rule.sni = rules[i].sni;
        rule.header = rules[i].header;
        rule.after = rules[i].after;
        rule.times = rules[i].times;
        rule.status = rules[i].status;
        assert_int_equal(add(&rule), SHS_OK);
    }
    assert_int_equal(status_of("GET", "/a", NULL), 402);
    assert_int_equal(status_of("GET", "/a", NULL), 401);
    assert_int_equal(status_of("GET", "/a", NULL), 401);
    assert_int_equal(status_of("GET", "/a", NULL), 200);
    assert_int_equal(status_of("GET", "/", bad), 403);
    assert_int_equal(status_of("GET", "/", other), 404);
    assert_int_equal(status_of("GET", "/n", NULL), 405);
    assert_int_equal(status_of("GET", "/m", NULL), 200);
    assert_int_equal(status_of("GET", "/o", NULL), 200);
}

/* A rule that can be for nobody would let a test pass without its fault. */
static void rules_for_nobody_are_refused(void **state)
{
    const struct shs_test_rule all[] = {
        {.fault = "cut:now"},
        {.fault = "alert-hello:"},
        {.fault = "alert-hello:nope"},
        {.fault = "alert-hello:256"},
        {.fault = "alert-hello:-1"},
        {.fault = "cut", .path = "a"},
        {.fault = "cut", .path = ""},
        {.fault = "cut", .method = ""},
        {.fault = "cut", .header = ""},
        {.fault = "cut", .header = ": x"},
        {.path = "/a?b=1"},
        {.path = "/a#b"},
        {.path = "/a b"},
        {.method = "G T"},
        {.header = "Name : x"},
        {.header = "Name: x "},
        {.header = "Name: x\r\ny"},
        {.sni = "*"},
        {.sni = "a.*.test"},
        {.fields = (const char *const[]){"Name", NULL}},
        {.fields = (const char *const[]){"Name", "a\r\nb", NULL}},
        {.fields = (const char *const[]){"a b", "c", NULL}},
    };
    static const char *const good[] = {"alert-hello", "alert-hello:unknown_ca", "alert-hello:255",
                                       "alert-hello:0"};

    (void)state;
    for (size_t i = 0; i < SHS_ARRAY_LEN(all); i++) {
        struct shs_test_rule rule = all[i];

        rule.size = sizeof rule;
        if (add(&rule) != SHS_USAGE)
            fail_msg("the rule %zu was taken", i);
    }
    for (size_t i = 0; i < SHS_ARRAY_LEN(good); i++)
        assert_int_equal(
            add(&(struct shs_test_rule){.size = sizeof(struct shs_test_rule), .fault = good[i]}),
            SHS_OK);
}

/* Nor does a server without TLS have faults of TLS. */
static void a_plain_server_has_no_faults_of_tls(void **state)
{
    static const char *const all[] = {
        "alert-hello", "plain-hello",    "garbage-hello", "stall-flight", "cut-flight",
        "rst-flight",  "corrupt-flight", "alert-body",    "close-cut",    "corrupt"};
    struct shs_test_server_options opt;
    struct shs_test_rule rule;

    (void)state;
    stop_server(NULL);
    shs_test_server_options_init(&opt);
    opt.plain = true;
    start_with(shs_echo_handler(), &opt);
    shs_test_rule_init(&rule);
    for (size_t i = 0; i < SHS_ARRAY_LEN(all); i++) {
        rule.fault = all[i];
        assert_int_equal(add(&rule), SHS_USAGE);
    }
    rule.fault = NULL;
    rule.sni = "a.test";
    assert_int_equal(add(&rule), SHS_USAGE);
}

/* A fault says its fields as they are, of any length. */
static void long_fields_beside_a_fault(void **state)
{
    struct shs_test_answer *answer;
    struct shs_test_rule rule;
    char value[3000];

    (void)state;
    memset(value, 'v', sizeof value);
    value[sizeof value - 1] = '\0';
    shs_test_rule_init(&rule);
    rule.fault = "end-body";
    rule.fields = (const char *const[]){"X-Long", value, "X-Next", "1", NULL};
    assert_int_equal(add(&rule), SHS_OK);
    answer = ask("GET", "/", NULL, NULL);
    assert_non_null(answer);
    assert_string_equal(shs_test_answer_header(answer, "X-Long"), value);
    assert_string_equal(shs_test_answer_header(answer, "X-Next"), "1");
    /* And an answer that is not whole has a reason, also when it ended in good order. */
    assert_false(shs_test_answer_complete(answer));
    assert_int_equal(shs_test_answer_error(answer)->code, SHS_CLOSED);
    shs_test_answer_free(answer);
}

static void bad_rules_are_refused(void **state)
{
    /* Fields that frame the answer, beside a body of 3 bytes. */
    static const struct {
        const char *method, *fault, *name, *value;
        int rc;
    } framed[] = {
        {NULL, NULL, "content-length", "4", SHS_USAGE},
        {NULL, NULL, "Content-Length", "x", SHS_USAGE},
        {NULL, NULL, "Transfer-Encoding", "chunked", SHS_USAGE},
        {NULL, NULL, "Content-Length", "3", SHS_OK},
        {"HEAD", NULL, "Content-Length", "4000", SHS_OK},
        {NULL, "length-long", "Content-Length", "4", SHS_OK},
    };
    static const char byte;
    struct shs_test_rule rule;

    (void)state;
    shs_test_rule_init(&rule);
    rule.body = &byte;
    rule.body_len = (size_t)100 << 20;
    assert_int_equal(add(&rule), SHS_LIMIT);
    rule.body_len = SIZE_MAX;
    assert_int_equal(add(&rule), SHS_LIMIT);
    shs_test_rule_init(&rule);
    rule.fault = "no-such-fault";
    assert_int_equal(add(&rule), SHS_USAGE);
    rule.fault = "rst-hello";
    rule.path = "/";
    assert_int_equal(add(&rule), SHS_USAGE);
    for (size_t i = 0; i < SHS_ARRAY_LEN(framed); i++) {
        shs_test_rule_init(&rule);
        rule.method = framed[i].method;
        rule.fault = framed[i].fault;
        rule.fields = (const char *const[]){framed[i].name, framed[i].value, NULL};
        rule.body = "abc";
        rule.body_len = 3;
        assert_int_equal(add(&rule), framed[i].rc);
    }
    shs_test_rule_init(&rule);
    rule.status = 99;
    assert_int_equal(add(&rule), SHS_USAGE);
    rule.status = 200;
    for (unsigned i = 3; i < SHS_TEST_RULES_MAX; i++)
        assert_int_equal(add(&rule), SHS_OK);
    assert_int_equal(add(&rule), SHS_LIMIT);
    assert_non_null(shs_test_fault(0, NULL));
    assert_null(shs_test_fault(1000, NULL));
}

/* Every fault is seen by the client as something else than the answer, but for those that are good.
   And the server says that it happened. */
static void every_fault_over_both(void **state)
{
    static const char *const good[] = {"drip",         "interim",    "gzip-bad",   "gzip-cut",
                                       "length-short", "header-nul", "header-long"};
    const char *name;

    (void)state;
    for (size_t i = 0; (name = shs_test_fault(i, NULL)) != NULL; i++) {
        struct shs_test_answer *answer;
        struct shs_test_rule rule;
        bool is_good = false, whole;

        for (size_t k = 0; k < sizeof good / sizeof good[0]; k++)
            is_good = is_good || strcmp(good[k], name) == 0;
        shs_test_rule_init(&rule);
        rule.fault = name;
        rule.ms = is_good ? 1 : 50;
        rule.body = "a short body";
        rule.body_len = 12;
        if (strcmp(name, "stall-flight") == 0 || strcmp(name, "drip-flight") == 0)
            continue; /* they take their time: test_exec has them */
        assert_int_equal(add(&rule), SHS_OK);
        answer = ask("GET", "/x", NULL, NULL);
        whole = answer != NULL && shs_test_answer_complete(answer) &&
                shs_test_answer_status(answer) == 200 &&
                shs_test_answer_body(answer).len >= 6; /* length-short has half of it */
        if (whole != is_good)
            fail_msg("%s: the answer is %s", name, whole ? "whole" : "not");
        shs_test_answer_free(answer);
        expect(SHS_TEST_FAULT, name);
        shs_test_server_clear_rules(server);
    }
}

/* The time for a handshake is the peer's, and he waits for the next byte. */
static void a_drip_is_no_time_of_its_peer(void **state)
{
    struct shs_test_server_options opt;
    struct shs_options options;
    struct shs_test_rule rule;

    (void)state;
    assert_int_equal(stop_server(NULL), 0);
    shs_options_init(&options);
    options.handshake_ms = 1500;
    shs_test_server_options_init(&opt);
    opt.options = &options;
    start_with(shs_echo_handler(), &opt);
    shs_test_rule_init(&rule);
    rule.fault = "drip-flight";
    rule.ms = 4; /* more than 600 bytes */
    assert_int_equal(add(&rule), SHS_OK);
    stopwatch_start();
    assert_int_equal(status_of("GET", "/x", NULL), 200);
    assert_true(stopwatch_between(options.handshake_ms, INT64_MAX / SHS_NS_PER_MS / 2));
    stopwatch_stop();
}

/* -- the name in a ClientHello ----------------------------------------------------------------- */

static void names_in_hellos(void **state)
{
    /* A record with a ClientHello that has two extensions: the name "A.Test", and an empty one. */
    static const unsigned char hello[] = {22,
                                          3,
                                          1,
                                          0,
                                          70,
                                          1,
                                          0,
                                          0,
                                          66,
                                          3,
                                          3,
                                          1,
                                          2,
                                          3,
                                          4,
                                          5,
                                          6,
                                          7,
                                          8,
                                          9,
                                          10,
                                          11,
                                          12,
                                          13,
                                          14,
                                          15,
                                          16,
                                          17,
                                          18,
                                          19,
                                          20,
                                          21,
                                          22,
                                          23,
                                          24,
                                          25,
                                          26,
                                          27,
                                          28,
                                          29,
                                          30,
                                          31,
                                          32,
                                          0,
                                          0,
                                          2,
                                          19,
                                          1,
                                          1,
                                          0,
                                          /* extensions */ 0,
                                          23,
                                          0,
                                          0xaa,
                                          0,
                                          0,
                                          0,
                                          0,
                                          0,
                                          11,
                                          0,
                                          9,
                                          0,
                                          0,
                                          6,
                                          'A',
                                          '.',
                                          'T',
                                          'e',
                                          's',
                                          't',
                                          0,
                                          21,
                                          0,
                                          0};
    char name[SHS_HELLO_NAME_MAX];
    unsigned char broken[sizeof hello];

    (void)state;
    for (size_t len = 0; len < sizeof hello; len++)
        assert_int_equal(shs__hello_name(hello, len, name), SHS_WAIT_READ);
    assert_int_equal(shs__hello_name(hello, sizeof hello, name), SHS_OK);
    assert_string_equal(name, "a.test");
    assert_int_equal(shs__hello_name("GET / HTTP/1.1", 14, name), SHS_OK);
    assert_string_equal(name, "");
    /* Nothing that a client can write makes it read what is not there (ASan looks). */
    for (size_t at = 0; at < sizeof hello; at++) {
        for (unsigned value = 0; value < 256; value += 5) {
            memcpy(broken, hello, sizeof hello);
            broken[at] = (unsigned char)value;
            (void)shs__hello_name(broken, sizeof broken, name);
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(a_visit_is_written_down, start_server, stop_server),
        cmocka_unit_test_setup_teardown(what_is_missing_is_said, start_server, stop_server),
        cmocka_unit_test_setup_teardown(refusals_have_their_reason, start_server, stop_server),
        cmocka_unit_test_setup_teardown(faults_of_certificates, start_server, stop_server),
        cmocka_unit_test_setup_teardown(canned_answers, start_server, stop_server),
        cmocka_unit_test_setup_teardown(rules_are_for_some, start_server, stop_server),
        cmocka_unit_test_setup_teardown(bad_rules_are_refused, start_server, stop_server),
        cmocka_unit_test_setup_teardown(rules_for_nobody_are_refused, start_server, stop_server),
        cmocka_unit_test_setup_teardown(long_fields_beside_a_fault, start_server, stop_server),
        cmocka_unit_test_setup_teardown(a_plain_server_has_no_faults_of_tls, start_server,
                                        stop_server),
        cmocka_unit_test_setup_teardown(every_fault_over_both, start_server, stop_server),
        cmocka_unit_test_setup_teardown(a_drip_is_no_time_of_its_peer, start_server, stop_server),
        cmocka_unit_test(names_in_hellos),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
