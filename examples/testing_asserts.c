/*
 * testing_asserts.c - a handler and a whole server under test, with nothing but assert(3).
 *
 *     testing_asserts && echo fine
 */
#undef NDEBUG
#include <assert.h>
#include <stdio.h>
#include <string.h>

#include <shs/shs.h>

/* -- what is tested: a greeting ---------------------------------------------------------------- */

static int greet_get(struct shs_request *req, struct shs_response *res)
{
    struct shs_str name = {"world", 5};
    char text[100];
    int len;

    (void)shs_request_header(req, "X-Name", &name);
    if (name.len > 40)
        return shs_send_error(res, 400, "That is not a name.");
    SHS_RETURN_IF_ERROR(shs_send_response(res, 200));
    SHS_RETURN_IF_ERROR(shs_send_header(res, "Content-Type", "text/plain; charset=utf-8"));
    len = snprintf(text, sizeof text, "Hello, %.*s\n", (int)name.len, name.ptr);
    return shs_write(res, text, (size_t)len);
}
static const struct shs_http_handler greeter = {.name = "greeter", .do_GET = greet_get};

/* -- the handler, without a socket ------------------------------------------------------------- */

static void greets(const char *name, int status, const char *body)
{
    const char *fields[] = {"X-Name", name, NULL};
    struct shs_test_answer *answer;
    struct shs_test_request ask;

    shs_test_request_init(&ask);
    ask.fields = name == NULL ? NULL : fields;
    assert(shs_test_call(&answer, &greeter, &ask, NULL) == SHS_OK);
    assert(shs_test_answer_status(answer) == status);
    assert(body == NULL || strcmp(shs_test_answer_body(answer).ptr, body) == 0);
    shs_test_answer_free(answer);
}

/* -- the server, over TLS; and what it does when the third request is cut off ------------------ */

static void serves(void)
{
    struct shs_test_server *server;
    struct shs_test_answer *answer;
    struct shs_test_rule rule;
    struct shs_error err;

    assert(shs_test_server_start(&server, &greeter, NULL, &err) == SHS_OK);
    shs_test_rule_init(&rule);
    rule.fault = "cut-body";
    rule.after = 2;
    assert(shs_test_server_rule(server, &rule, &err) == SHS_OK);
    for (int i = 0; i < 3; i++) {
        assert(shs_test_server_ask(&answer, server, NULL, &err) == SHS_OK);
        assert(shs_test_answer_complete(answer) == (i < 2));
        shs_test_answer_free(answer);
    }
    assert(shs_test_server_expect(server, SHS_TEST_FAULT, "cut-body", 0, NULL, &err) == SHS_OK);
    assert(shs_test_server_stop(server, &err) == SHS_OK);
}

int main(void)
{
    greets(NULL, 200, "Hello, world\n");
    greets("Ada", 200, "Hello, Ada\n");
    greets("01234567890123456789012345678901234567890123456789", 400, NULL);
    serves();
    return 0;
}
