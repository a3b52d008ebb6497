/* test_mistakes.c - what a handler did wrong is said, once; and the forms of an error's answer. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <limits.h>
#include <stdio.h>

#include <shs/chain.h>

#include "h1_expect.h"
#include "http/exchange.h"

#define GET "GET /x/y?z=1 HTTP/1.1\r\nHost: a\r\n\r\n"
#define WHO "handler t, GET /x/y: "

static struct h1_lab lab;

static void talk(const struct shs_http_handler *handler)
{
    h1_lab_open(&lab, handler);
    h1_lab_talk(&lab, GET, sizeof GET - 1);
}

/* What a careless program does: it does not look at what a call returns. */
static void ignore(int rc)
{
    (void)rc;
}

static int forgets(struct shs_request *req, struct shs_response *res)
{
    (void)req;
    (void)res;
    return 0;
}

static int status_42(struct shs_request *req, struct shs_response *res)
{
    (void)req;
    return shs_send_response(res, 42);
}

static int status_42_ignored(struct shs_request *req, struct shs_response *res)
{
    (void)req;
    ignore(shs_send_response(res, 42));
    ignore(shs_write(res, "x", 1));
    return 0;
}

static int bad_value(struct shs_request *req, struct shs_response *res)
{
    (void)req;
    SHS_RETURN_IF_ERROR(shs_send_response(res, 200));
    return shs_send_header(res, "X-Name", "a\r\nSet-Cookie: b");
}

static int bad_name(struct shs_request *req, struct shs_response *res)
{
    (void)req;
    SHS_RETURN_IF_ERROR(shs_send_response(res, 200));
    return shs_send_header(res, "X Name", "a");
}

static int field_first(struct shs_request *req, struct shs_response *res)
{
    (void)req;
    return shs_send_header(res, "X-Name", "a");
}

static int write_first(struct shs_request *req, struct shs_response *res)
{
    (void)req;
    return shs_write(res, "a", 1);
}

static int returns_7(struct shs_request *req, struct shs_response *res)
{
    (void)req;
    SHS_RETURN_IF_ERROR(shs_send_response(res, 200));
    return 7;
}

static int returns_usage(struct shs_request *req, struct shs_response *res)
{
    (void)req;
    (void)res;
    return SHS_USAGE;
}

static int too_short(struct shs_request *req, struct shs_response *res)
{
    (void)req;
    SHS_RETURN_IF_ERROR(shs_send_response(res, 200));
    SHS_RETURN_IF_ERROR(shs_send_length(res, 10));
    return shs_write(res, "abc", 3);
}

static int too_long(struct shs_request *req, struct shs_response *res)
{
    (void)req;
    SHS_RETURN_IF_ERROR(shs_send_response(res, 200));
    SHS_RETURN_IF_ERROR(shs_send_length(res, 2));
    return shs_write(res, "abc", 3);
}

static int second_length(struct shs_request *req, struct shs_response *res)
{
    (void)req;
    SHS_RETURN_IF_ERROR(shs_send_response(res, 200));
    SHS_RETURN_IF_ERROR(shs_send_length(res, 2));
    return shs_send_header(res, "content-length", "2");
}

static int stands_cut(struct shs_request *req, struct shs_response *res)
{
    (void)req;
    return shs_response_stand(res, "X-Name", "a\r\nSet-Cookie: b");
}

static int stands_length(struct shs_request *req, struct shs_response *res)
{
    (void)req;
    return shs_response_stand(res, "Content-Length", "5");
}

static int stands_late(struct shs_request *req, struct shs_response *res)
{
    (void)req;
    SHS_RETURN_IF_ERROR(shs_send_response(res, 200));
    SHS_RETURN_IF_ERROR(shs_flush(res));
    return shs_response_stand(res, "X-Name", "a");
}

static int of_a_helper(struct shs_request *req, struct shs_response *res)
{
    (void)req;
    return shs_response_mistake(res, SHS_IO, "my_send", "the table is not open. Call my_open");
}

static int stands_too_often(struct shs_request *req, struct shs_response *res)
{
    char name[16];

    (void)req;
    for (unsigned i = 0;; i++) {
        snprintf(name, sizeof name, "X-%u", i);
        SHS_RETURN_IF_ERROR(shs_response_stand(res, name, "a"));
    }
}

static int too_many_fields(struct shs_request *req, struct shs_response *res)
{
    (void)req;
    SHS_RETURN_IF_ERROR(shs_send_response(res, 200));
    for (;;)
        SHS_RETURN_IF_ERROR(shs_send_header(res, "X-Name", "a"));
}

static int too_long_fields(struct shs_request *req, struct shs_response *res)
{
    char value[1000];

    (void)req;
    memset(value, 'a', sizeof value);
    SHS_RETURN_IF_ERROR(shs_send_response(res, 200));
    for (;;)
        SHS_RETURN_IF_ERROR(
            shs_send_header_str(res, "X-Name", (struct shs_str){value, sizeof value}));
}

/* What was too much was left out; what is wrong is told. */
static int too_many_then_wrong(struct shs_request *req, struct shs_response *res)
{
    ignore(stands_too_often(req, res));
    return shs_send_response(res, 42);
}

static const struct shs_http_handler itself;

static int calls_itself(struct shs_request *req, struct shs_response *res)
{
    return shs_handler_call(&itself, req, res);
}

static const struct shs_http_handler itself = {.name = "t", .do_GET = calls_itself};

static int answers_and_calls(struct shs_request *req, struct shs_response *res)
{
    SHS_RETURN_IF_ERROR(shs_send_response(res, 200));
    return shs_handler_call(H1_HANDLER(forgets), req, res);
}

static void test_500_and_a_line(void **state)
{
    static const struct {
        shs_method_fn *fn;
        const char *text;
        int code; /* 0: SHS_USAGE */
    } rows[] = {
        {forgets, WHO "it returned 0 without an answer. Call shs_send_response, or", 0},
        {status_42, WHO "shs_send_response: 42 is not a status of an answer: it is from 200 to 999",
         0},
        {status_42_ignored, WHO "shs_send_response: 42 is not a status", 0},
        {bad_value, WHO "shs_send_header: \"X-Name\": the value has a control character, as CR", 0},
        {bad_name, WHO "shs_send_header: \"X Name\": that is not a field name", 0},
        {field_first,
         WHO "shs_send_header: \"X-Name\": no answer has begun. Call shs_send_response", 0},
        {write_first, WHO "shs_write: no answer has begun. Call shs_send_response first", 0},
        {returns_7, WHO "it returned 7. Return 0, or a negative SHS_ code", 0},
        {returns_usage, WHO "it returned SHS_USAGE, but no call for this answer has failed with it",
         0},
        {too_short, WHO "it wrote 3 of the 10 bytes that its Content-Length says. Write them all",
         0},
        {too_long, WHO "shs_write: 3 bytes after 0, and Content-Length says 2", 0},
        {second_length, WHO "shs_send_header: \"content-length\": it has been set already", 0},
        {calls_itself, WHO "shs_handler_call: 64 handlers call one another: does one call itself?",
         0},
        {answers_and_calls, WHO "shs_handler_call: t: an answer has begun already. Either answer,",
         0},
        {stands_cut, WHO "shs_response_stand: \"X-Name\": the value has a control character", 0},
        {stands_length, WHO "shs_response_stand: \"Content-Length\": the server sets it, as a part",
         0},
        {too_many_then_wrong, WHO "shs_send_response: 42 is not a status", 0},
        {of_a_helper, WHO "my_send: the table is not open. Call my_open", SHS_IO},
        {stands_too_often, WHO "shs_response_stand: \"X-16\" is one too many: at most 16",
         SHS_LIMIT},
        {too_many_fields, WHO "shs_send_header: an answer has at most 100 fields", SHS_LIMIT},
        {too_long_fields, WHO "shs_send_header: \"X-Name\": the fields of an answer", SHS_LIMIT},
    };

    (void)state;
    for (size_t i = 0; i < SHS_ARRAY_LEN(rows); i++) {
        talk(H1_HANDLER(rows[i].fn));
        if (h1_count(&lab, "HTTP/1.1 500 Internal Server Error\r\n") != 1 || lab.mistakes != 0 ||
            strncmp(lab.fail_text, rows[i].text, strlen(rows[i].text)) != 0)
            fail_msg("row %zu: \"%s\", not \"%s\"; %s", i, lab.fail_text, rows[i].text,
                     h1_lab_text(&lab));
        assert_string_equal(lab.last_error, lab.fail_text); /* the access log says it too */
        assert_int_equal(lab.fail_code, rows[i].code == 0 ? SHS_USAGE : rows[i].code);
        assert_int_equal(lab.last_status, 500);
        h1_has_not(&lab, "shs_"); /* and the client does not */
        h1_has_not(&lab, "limit");
        h1_lab_close(&lab);
    }
}

/* -- who it was: a middleware, or one of the handlers that call one another -------------------- */

static int link_forgets(struct shs_request *req, struct shs_response *res, void *ctx,
                        const struct shs_next *next)
{
    (void)req;
    (void)res;
    (void)ctx;
    (void)next;
    return 0;
}

static int link_returns_7(struct shs_request *req, struct shs_response *res, void *ctx,
                          const struct shs_next *next)
{
    (void)ctx;
    SHS_RETURN_IF_ERROR(shs_next_call(next, req, res));
    return 7;
}

static int link_returns_usage(struct shs_request *req, struct shs_response *res, void *ctx,
                              const struct shs_next *next)
{
    (void)ctx;
    SHS_RETURN_IF_ERROR(shs_next_call(next, req, res));
    return SHS_USAGE;
}

static int link_stands_cut(struct shs_request *req, struct shs_response *res, void *ctx,
                           const struct shs_next *next)
{
    (void)ctx;
    SHS_RETURN_IF_ERROR(shs_response_stand(res, "X-Name", "a\r\nb"));
    return shs_next_call(next, req, res);
}

static int link_status_42(struct shs_request *req, struct shs_response *res, void *ctx,
                          const struct shs_next *next)
{
    (void)ctx;
    ignore(shs_next_call(next, req, res)); /* the handler does not answer; nor does this */
    return shs_send_response(res, 42);
}

static int link_answers_and_calls(struct shs_request *req, struct shs_response *res, void *ctx,
                                  const struct shs_next *next)
{
    (void)ctx;
    SHS_RETURN_IF_ERROR(shs_send_response(res, 200));
    return shs_next_call(next, req, res);
}

static int link_answers_short(struct shs_request *req, struct shs_response *res, void *ctx,
                              const struct shs_next *next)
{
    (void)ctx;
    ignore(shs_next_call(next, req, res));
    return too_short(req, res);
}

static int link_passes_on(struct shs_request *req, struct shs_response *res, void *ctx,
                          const struct shs_next *next)
{
    (void)ctx;
    return shs_next_call(next, req, res);
}

static int answers(struct shs_request *req, struct shs_response *res)
{
    (void)req;
    return shs_send_response(res, 200);
}

static int sink_write(void *ctx, const void *buf, size_t len)
{
    (void)ctx;
    (void)buf;
    (void)len;
    return SHS_OK;
}

static int sink_forgets(void *ctx, struct shs_request *req, struct shs_response *res, int rc)
{
    (void)ctx;
    (void)req;
    (void)res;
    return rc;
}

static int leaves_to_sink(struct shs_request *req, struct shs_response *res)
{
    static const struct shs_sink sink = {sink_write, sink_forgets, NULL};

    (void)res;
    return shs_request_sink(req, &sink, NULL);
}

/* One line, and it names the one that has to be mended. */
static void test_who_it_was(void **state)
{
    static const struct {
        shs_middleware_fn *link;
        shs_method_fn *fn;
        const char *text;
    } rows[] = {
        {link_forgets, answers,
         "middleware second, GET /x/y: it returned 0 without an answer. Answer, return what"},
        {link_returns_7, answers, "middleware second, GET /x/y: it returned 7. Return 0, or"},
        {link_returns_usage, answers, "middleware second, GET /x/y: it returned SHS_USAGE, but"},
        {link_stands_cut, answers, "middleware second, GET /x/y: shs_response_stand: \"X-Name\""},
        {link_status_42, forgets, "middleware second, GET /x/y: shs_send_response: 42 is no"},
        {link_answers_and_calls, answers,
         "middleware second, GET /x/y: shs_handler_call: end: an answer has begun already"},
        {link_answers_short, forgets, "middleware second, GET /x/y: it wrote 3 of the 10 bytes"},
        {link_passes_on, forgets, "handler end, GET /x/y: it returned 0 without an answer. Call"},
        {link_passes_on, returns_7, "handler end, GET /x/y: it returned 7. Return 0, or"},
        {link_passes_on, too_short, "handler end, GET /x/y: it wrote 3 of the 10 bytes"},
        {link_passes_on, status_42, "handler end, GET /x/y: shs_send_response: 42 is not a status"},
        {link_passes_on, leaves_to_sink, "handler end, GET /x/y: it returned 0 without an answer"},
    };
    static const struct shs_middleware first = {"first", link_passes_on, NULL};

    (void)state;
    for (size_t i = 0; i < SHS_ARRAY_LEN(rows); i++) {
        const struct shs_middleware second = {"second", rows[i].link, NULL};
        const struct shs_middleware *const links[] = {&first, &second, NULL};
        struct shs_http_handler end = {.name = "end", .do_GET = rows[i].fn};
        struct shs_chain *chain;

        assert_int_equal(shs_chain_new(&chain, links, &end, NULL), SHS_OK);
        talk(shs_chain_handler(chain));
        if (lab.last_status != 500 || strncmp(lab.fail_text, rows[i].text, strlen(rows[i].text)))
            fail_msg("row %zu: %d, \"%s\", not \"%s\"", i, lab.last_status, lab.fail_text,
                     rows[i].text);
        h1_lab_close(&lab);
        shs_chain_free(chain);
    }
}

static const struct shs_http_handler *inner_handler;

static int answers_instead(struct shs_request *req, struct shs_response *res)
{
    SHS_RETURN_IF_ERROR(shs_handler_call(inner_handler, req, res));
    return shs_response_status(res) == 0 ? answers(req, res) : SHS_OK;
}

/* Who answers where another one did not makes no mistake. */
static void test_another_answers(void **state)
{
    struct shs_http_handler inner = {.name = "inner", .do_GET = forgets};
    static const struct shs_middleware links[] = {{"first", link_passes_on, NULL}};
    const struct shs_middleware *const list[] = {&links[0], NULL};
    struct shs_chain *chain;

    (void)state;
    inner_handler = &inner;
    assert_int_equal(shs_chain_new(&chain, list, H1_HANDLER(answers_instead), NULL), SHS_OK);
    talk(shs_chain_handler(chain));
    assert_int_equal(lab.last_status, 200);
    assert_string_equal(lab.fail_text, "");
    assert_int_equal(lab.mistakes, 0);
    h1_lab_close(&lab);
    shs_chain_free(chain);
}

/* -- which statuses there are ------------------------------------------------------------------ */

static int status_now, status_rc;

static int with_status(struct shs_request *req, struct shs_response *res)
{
    (void)req;
    status_rc = shs_send_response(res, status_now);
    SHS_RETURN_IF_ERROR(status_rc);
    return shs_write(res, "body", 4);
}

static int with_interim(struct shs_request *req, struct shs_response *res)
{
    (void)req;
    status_rc = shs_send_interim(res, status_now, NULL);
    SHS_RETURN_IF_ERROR(shs_send_response(res, 200));
    return shs_write(res, "body", 4);
}

/* RFC 9110 section 15: three digits; 1xx comes before an answer, and 101 is another protocol. */
static void test_statuses(void **state)
{
    static const struct {
        int status;
        bool answer, interim;
    } rows[] = {
        {INT_MIN, false, false}, {-200, false, false}, {0, false, false},       {42, false, false},
        {99, false, false},      {100, false, false},  {101, false, false},     {102, false, true},
        {103, false, true},      {199, false, true},   {200, true, false},      {204, true, false},
        {205, true, false},      {304, true, false},   {599, true, false},      {600, true, false},
        {999, true, false},      {1000, false, false}, {INT_MAX, false, false},
    };
    char line[64];

    (void)state;
    for (size_t i = 0; i < SHS_ARRAY_LEN(rows); i++) {
        int status = status_now = rows[i].status;
        bool empty = status == 204 || status == 205 || status == 304;

        talk(H1_HANDLER(with_status));
        if ((status_rc == SHS_OK) != rows[i].answer ||
            lab.last_status != (rows[i].answer ? status : 500))
            fail_msg("%d: %d, answered %d", status, status_rc, lab.last_status);
        if (rows[i].answer) {
            snprintf(line, sizeof line, "HTTP/1.1 %d ", status);
            h1_has(&lab, line);
            assert_string_equal(h1_body(&lab), empty ? "" : "body");
            assert_int_equal(h1_count(&lab, "\r\nContent-Length: 0\r\n"), status == 205);
            assert_int_equal(h1_count(&lab, "\r\nContent-Length: 4\r\n"), !empty);
        }
        h1_lab_close(&lab);
        talk(H1_HANDLER(with_interim));
        if ((status_rc == SHS_OK) != rows[i].interim)
            fail_msg("%d as an interim answer: %d", status, status_rc);
        snprintf(line, sizeof line, "HTTP/1.1 %d ", status);
        assert_int_equal(h1_count(&lab, line), rows[i].interim || status == 200);
        h1_has(&lab, "HTTP/1.1 200 OK\r\n");
        h1_lab_close(&lab);
    }
}

static void test_a_head_that_has_left(void **state)
{
    (void)state;
    talk(H1_HANDLER(stands_late));
    assert_string_equal(
        lab.fail_text,
        WHO "shs_response_stand: \"X-Name\": the head of the answer has been sent already");
    h1_lab_close(&lab);
}

/* -- fields that stand ------------------------------------------------------------------------- */

static int stands(struct shs_request *req, struct shs_response *res)
{
    static const char *const rows[] = {
        "Content-Type", "text/first", "ETag",   "\"first\"", "X-Own",        "first",
        "Date",         "first",      "Server", "first",     "X-Request-Id", "first",
        "Vary",         "first",      "X-Two",  "first",     "x-two",        "second",
        "Set-Cookie",   "a=1",        "Vary",   "second",    "Set-Cookie",   "b=2",
    };

    for (size_t i = 0; i < SHS_ARRAY_LEN(rows); i += 2)
        SHS_RETURN_IF_ERROR(shs_response_stand(res, rows[i], rows[i + 1]));
    if (shs_request_query(req).len == 3)
        return shs_send_page(res, 404, NULL);
    SHS_RETURN_IF_ERROR(shs_send_response(res, 200));
    SHS_RETURN_IF_ERROR(shs_send_header(res, "content-type", "text/own"));
    SHS_RETURN_IF_ERROR(shs_send_header(res, "Vary", "own"));
    return shs_send_header(res, "X-own", "own");
}

/* A field is there once: two Content-Types, or two Access-Control-Allow-Origins, are none. */
static void test_fields_that_stand(void **state)
{
    (void)state;
    h1_lab_open(&lab, H1_HANDLER(stands));
    lab.opt.request_id_field = "X-Request-ID";
    h1_lab_talk(&lab, GET, sizeof GET - 1); /* ?z=1: a page */
    h1_has(&lab, "\r\nContent-Type: text/html;charset=utf-8\r\n");
    assert_int_equal(h1_count(&lab, "Content-Type:"), 1);
    h1_has(&lab, "\r\nETag: \"first\"\r\n");
    h1_lab_close(&lab);
    h1_lab_open(&lab, H1_HANDLER(stands));
    lab.opt.request_id_field = "X-Request-ID";
    h1_lab_talk(&lab, "GET / HTTP/1.1\r\nHost: a\r\n\r\n", 27);
    h1_has(&lab, "HTTP/1.1 200 OK\r\ncontent-type: text/own\r\nVary: own\r\nX-own: own\r\n"
                 "ETag: \"first\"\r\nDate: first\r\nServer: first\r\nX-Request-Id: first\r\n"
                 "Vary: first\r\nX-Two: second\r\nSet-Cookie: a=1\r\nVary: second\r\n"
                 "Set-Cookie: b=2\r\nContent-Length: 0\r\n\r\n");
    h1_lab_close(&lab);
}

/* -- an answer that survives ------------------------------------------------------------------- */

static int twice(struct shs_request *req, struct shs_response *res)
{
    (void)req;
    SHS_RETURN_IF_ERROR(shs_send_response(res, 201));
    ignore(shs_send_response(res, 200));
    ignore(shs_send_response(res, 43));
    return shs_write(res, "made", 4);
}

static int twice_after_a_flush(struct shs_request *req, struct shs_response *res)
{
    (void)req;
    SHS_RETURN_IF_ERROR(shs_send_response(res, 201));
    SHS_RETURN_IF_ERROR(shs_write(res, "made", 4));
    SHS_RETURN_IF_ERROR(shs_flush(res));
    ignore(shs_send_error(res, 404, NULL));
    return SHS_OK;
}

static void test_a_line_beside_the_answer(void **state)
{
    static const char first[] = WHO "shs_send_response: 200: the answer has begun with 201 already";

    (void)state;
    talk(H1_HANDLER(twice));
    h1_has(&lab, "HTTP/1.1 201 Created\r\n");
    assert_string_equal(h1_body(&lab), "made");
    assert_int_equal(lab.mistakes, 1); /* the first of them */
    assert_memory_equal(lab.mistake_text, first, sizeof first - 1);
    assert_int_equal(lab.fail_code, 0);
    assert_string_equal(lab.last_error, "");
    h1_lab_close(&lab);
    talk(H1_HANDLER(twice_after_a_flush));
    h1_has(&lab, "\r\n4\r\nmade\r\n0\r\n\r\n");
    assert_int_equal(lab.mistakes, 1);
    assert_non_null(
        strstr(lab.mistake_text, "shs_send_error: 404: an answer with 201 has been sent"));
    h1_lab_close(&lab);
}

/* What comes from outside is cut and escaped, and the line stays a line. */
static void test_long_names(void **state)
{
    static char request[4096], name[400];
    struct shs_http_handler handler = {.name = name, .do_any = forgets, .do_GET = forgets};

    (void)state;
    memset(name, 'n', sizeof name - 1);
    snprintf(request, sizeof request, "GET /%02000d HTTP/1.1\r\nHost: a\r\n\r\n", 0);
    h1_lab_open(&lab, &handler);
    h1_lab_talk(&lab, request, strlen(request));
    h1_has(&lab, "HTTP/1.1 500 ");
    assert_non_null(strstr(lab.fail_text, "it returned 0 without an answer"));
    h1_lab_close(&lab);
}

/* -- the form of an error ---------------------------------------------------------------------- */

static int not_found(struct shs_request *req, struct shs_response *res)
{
    (void)req;
    SHS_RETURN_IF_ERROR(shs_response_stand(res, "X-Stands", "yes"));
    return shs_send_page(res, 404, "No \"<b>\" here");
}

static int own_page(void *ctx, const struct shs_request *req, struct shs_response *res, int status,
                    const char *message)
{
    unsigned *calls = ctx;
    char text[200];
    int len = snprintf(text, sizeof text, "own:%d:%s:%s", status,
                       req == NULL ? "unread" : "understood", message);

    ++*calls;
    SHS_RETURN_IF_ERROR(shs_send_response(res, status));
    SHS_RETURN_IF_ERROR(shs_send_header(res, "Content-Type", "text/own"));
    return shs_write(res, text, (size_t)len);
}

static int bad_own_page(void *ctx, const struct shs_request *req, struct shs_response *res,
                        int status, const char *message)
{
    unsigned *calls = ctx;

    (void)req;
    ++*calls;
    if (*calls == 1)
        return SHS_OK; /* no answer at all */
    return shs_send_error(res, status, message) == SHS_OK ? SHS_NOMEM : SHS_OK;
}

#define BAD "GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n"
#define PUT "PUT / HTTP/1.1\r\nHost: a\r\n\r\n"

static void with(enum shs_error_form form, const char *request, const char *head, const char *body)
{
    h1_lab_open(&lab, H1_HANDLER(not_found));
    lab.opt.error_form = form;
    h1_lab_talk(&lab, request, strlen(request));
    h1_has(&lab, head);
    assert_string_equal(h1_body(&lab), body);
    h1_lab_close(&lab);
}

static void test_forms(void **state)
{
    (void)state;
    with(SHS_ERRORS_TEXT, GET, "\r\nContent-Type: text/plain; charset=utf-8\r\nX-Stands: yes\r\n",
         "404 Not Found\nNo \"<b>\" here\n");
    with(SHS_ERRORS_PROBLEM, GET, "\r\nContent-Type: application/problem+json\r\nX-Stands: yes\r\n",
         "{\"type\":\"about:blank\",\"title\":\"Not Found\",\"status\":404,"
         "\"detail\":\"No \\\"<b>\\\" here\"}\n");
    with(SHS_ERRORS_PROBLEM, BAD, "HTTP/1.1 400 Bad Request\r\n",
         "{\"type\":\"about:blank\",\"title\":\"Bad Request\",\"status\":400,"
         "\"detail\":\"There is more than one Host field.\"}\n");
    with(SHS_ERRORS_TEXT, PUT, "Allow: GET, HEAD, POST, OPTIONS\r\n",
         "501 Not Implemented\nThis server does not support this method.\n");
    h1_lab_open(&lab, H1_HANDLER(not_found));
    h1_lab_talk(&lab, GET, sizeof GET - 1);
    h1_has(&lab, "\r\nContent-Type: text/html;charset=utf-8\r\n");
    h1_has(&lab, "<p>No &quot;&lt;b&gt;&quot; here</p>");
    h1_lab_close(&lab);
}

static void test_own_form(void **state)
{
    unsigned calls = 0;

    (void)state;
    h1_lab_open(&lab, H1_HANDLER(not_found));
    lab.opt.error_page = own_page;
    lab.opt.error_ctx = &calls;
    h1_lab_talk(&lab, GET, sizeof GET - 1);
    h1_has(&lab, "HTTP/1.1 404 Not Found\r\n");
    h1_has(&lab, "\r\nContent-Type: text/own\r\nX-Stands: yes\r\n");
    assert_string_equal(h1_body(&lab), "own:404:understood:No \"<b>\" here");
    h1_lab_close(&lab);
    h1_lab_open(&lab, H1_HANDLER(not_found));
    lab.opt.error_page = own_page;
    lab.opt.error_ctx = &calls;
    h1_lab_talk(&lab, BAD, sizeof BAD - 1);
    assert_string_equal(h1_body(&lab), "own:400:unread:There is more than one Host field.");
    h1_has(&lab, "\r\nConnection: close\r\n");
    h1_lab_close(&lab);
    assert_int_equal(calls, 2);
}

/* One that fails, or answers with the very call that it is asked from: the usual page. */
static void test_own_form_that_fails(void **state)
{
    unsigned calls = 0;

    (void)state;
    for (unsigned i = 1; i <= 2; i++) {
        h1_lab_open(&lab, H1_HANDLER(not_found));
        lab.opt.error_page = bad_own_page;
        lab.opt.error_ctx = &calls;
        h1_lab_talk(&lab, GET, sizeof GET - 1);
        assert_int_equal(h1_count(&lab, "HTTP/1.1 404 Not Found\r\n"), 1);
        h1_has(&lab, "<p>No &quot;&lt;b&gt;&quot; here</p>");
        assert_int_equal(calls, i);
        h1_lab_close(&lab);
    }
}

/* -- what a handler may take, and how long------------------------------------------------------ */

static int takes_four(struct shs_request *req, struct shs_response *res)
{
    struct shs_str body;

    SHS_RETURN_IF_ERROR(shs_request_limit_body(req, 9));
    SHS_RETURN_IF_ERROR(shs_request_limit_body(req, 4)); /* the least counts */
    SHS_RETURN_IF_ERROR(shs_request_limit_body(req, 7));
    SHS_RETURN_IF_ERROR(shs_request_body(req, 100, &body));
    SHS_RETURN_IF_ERROR(shs_send_response(res, 200));
    return shs_write(res, body.ptr, body.len);
}

static void post(const char *body, const char *status)
{
    h1_lab_open(&lab, H1_HANDLER(takes_four));
    h1_lab_talk(&lab, body, strlen(body));
    h1_has(&lab, status);
    h1_lab_close(&lab);
}

static void test_limit_of_a_body(void **state)
{
    (void)state;
    post("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\n\r\nabcd", "HTTP/1.1 200 OK\r\n");
    post("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nabcde", "HTTP/1.1 413 ");
    post("POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nabcd\r\n0\r\n\r\n",
         "HTTP/1.1 200 OK\r\n");
    post("POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nabcd\r\n1\r\ne\r\n0"
         "\r\n\r\n",
         "HTTP/1.1 413 ");
}

static void count_up(void *arg)
{
    ++*(unsigned *)arg;
}

static unsigned ended;

static int has_endings(struct shs_request *req, struct shs_response *res)
{
    static const int key_a, key_b;

    assert_null(shs_request_slot(req, &key_a));
    SHS_RETURN_IF_ERROR(shs_request_set_slot(req, &key_a, &ended));
    SHS_RETURN_IF_ERROR(shs_request_set_slot(req, &key_b, NULL));
    SHS_RETURN_IF_ERROR(shs_request_set_slot(req, &key_b, req));
    assert_ptr_equal(shs_request_slot(req, &key_a), &ended);
    assert_ptr_equal(shs_request_slot(req, &key_b), req);
    SHS_RETURN_IF_ERROR(shs_request_on_end(req, count_up, &ended));
    SHS_RETURN_IF_ERROR(shs_request_on_end(req, count_up, &ended));
    assert_int_equal(shs_request_deadline(req), INT64_MAX);
    shs_request_set_deadline(req, 1000);
    shs_request_set_deadline(req, 2000);
    assert_int_equal(shs_request_deadline(req), 1000);
    return shs_send_response(res, 204);
}

/* A slot is a few bytes of the request's memory, and no memory of its own. */
static int has_many_slots(struct shs_request *req, struct shs_response *res)
{
    static const char keys[20];
    const struct shs_arena *arena = &req->x->arena;
    const struct shs_arena_chunk *chunk;
    size_t used;

    assert_non_null(shs_request_alloc(req, 1));
    chunk = arena->chunks;
    used = arena->used;
    for (size_t i = 0; i < sizeof keys; i++)
        SHS_RETURN_IF_ERROR(shs_request_set_slot(req, &keys[i], req));
    assert_ptr_equal(arena->chunks, chunk);
    assert_true(arena->used - used <= sizeof keys * 32);
    return shs_send_response(res, 204);
}

static void test_what_slots_cost(void **state)
{
    (void)state;
    talk(H1_HANDLER(has_many_slots));
    h1_has(&lab, "HTTP/1.1 204 ");
    h1_lab_close(&lab);
}

static void test_slots_and_endings(void **state)
{
    (void)state;
    ended = 0;
    talk(H1_HANDLER(has_endings));
    h1_has(&lab, "HTTP/1.1 204 ");
    assert_int_equal(ended, 2);
    h1_lab_close(&lab);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_statuses),
        cmocka_unit_test(test_500_and_a_line),
        cmocka_unit_test(test_who_it_was),
        cmocka_unit_test(test_another_answers),
        cmocka_unit_test(test_a_head_that_has_left),
        cmocka_unit_test(test_fields_that_stand),
        cmocka_unit_test(test_a_line_beside_the_answer),
        cmocka_unit_test(test_long_names),
        cmocka_unit_test(test_forms),
        cmocka_unit_test(test_own_form),
        cmocka_unit_test(test_own_form_that_fails),
        cmocka_unit_test(test_limit_of_a_body),
        cmocka_unit_test(test_slots_and_endings),
        cmocka_unit_test(test_what_slots_cost),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
