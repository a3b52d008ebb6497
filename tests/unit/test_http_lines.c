/*
 * test_http_lines.c - BaseHTTPRequestHandler line by line: what a request says to a handler (H25,
 * H26), how long a connection lives (H27 to H33), Expect (H34 to H36), dispatch (H37, H38) and
 * answers (H39 to H50), and server classes (H1 to H3). The lines about request lines, logs, files
 * and the command are in tests/integration/.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>

#include <shs/version.h>

#include "h1_expect.h"
#include "http/date.h"

static struct h1_lab lab;
static int called; /* how often a handler of ours was */

static void talk(const struct shs_http_handler *handler, const char *request)
{
    called = 0;
    h1_lab_open(&lab, handler);
    h1_lab_talk(&lab, request, strlen(request));
}

static void over(void)
{
    h1_lab_close(&lab);
}

/* Bytes that the client has by now: called from within a handler, so there should be none. */
static size_t arrived(void)
{
    char buf[512];
    size_t got = 0;

    return shs__stream_read(lab.client, buf, sizeof buf, &got) == SHS_OK ? got : 0;
}

#define REQUEST(method, path, fields) method " " path " HTTP/1.1\r\nHost: a\r\n" fields "\r\n"
#define GET REQUEST("GET", "/", "")

static int hello(struct shs_request *req, struct shs_response *res)
{
    (void)req;
    called++;
    SHS_RETURN_IF_ERROR(shs_send_response(res, 200));
    SHS_RETURN_IF_ERROR(shs_send_header(res, "Content-Type", "text/plain"));
    SHS_RETURN_IF_ERROR(shs_end_headers(res));
    return shs_write(res, "hello", 5);
}

/* -- server classes ---------------------------------------------------------------------------- */

static void new_options(struct shs_options *opt)
{
    shs_options_init(opt);
    opt->port = "0";
}

/* Python asks the resolver for a name, which may take seconds; here it is what was bound. */
static void test_H1_host_and_port_after_binding(void **state)
{
    struct shs_server *server;
    struct shs_options opt;

    (void)state;
    new_options(&opt);
    assert_int_equal(shs_http_server_new(&server, &opt, H1_HANDLER(hello), NULL), SHS_OK);
    assert_string_equal(shs_server_host(server), "127.0.0.1");
    assert_true(shs_server_port(server) > 0);
    shs_server_free(server);
}

static void test_H2_reuse_address_not_port(void **state)
{
    struct shs_server *server;
    struct shs_options opt;
    int address = 0, port = 1;
    socklen_t len = sizeof(int);

    (void)state;
    new_options(&opt);
    assert_int_equal(shs_http_server_new(&server, &opt, H1_HANDLER(hello), NULL), SHS_OK);
    assert_int_equal(
        getsockopt(shs_server_fileno(server), SOL_SOCKET, SO_REUSEADDR, &address, &len), 0);
    assert_int_equal(getsockopt(shs_server_fileno(server), SOL_SOCKET, SO_REUSEPORT, &port, &len),
                     0);
    assert_int_equal(address, 1);
    assert_int_equal(port, 0);
    shs_server_free(server);
}

static void test_H3_threading_server_has_daemon_threads(void **state)
{
    struct shs_server *server;
    struct shs_options opt;

    (void)state;
    new_options(&opt);
    assert_int_equal(shs_threading_http_server_new(&server, &opt, H1_HANDLER(hello), NULL), SHS_OK);
    assert_true(shs_server_options(server)->daemon_threads);
    assert_non_null(shs_server_layer(server, "ThreadingMixIn"));
    shs_server_free(server);
}

/* -- what a request says ----------------------------------------------------------------------- */

static int looks_at_fields(struct shs_request *req, struct shs_response *res)
{
    struct shs_str name, value;

    assert_true(shs_request_header(req, "x-ONE", &value));
    assert_true(shs__str_eq(value, SHS_STR("1")));
    assert_int_equal(shs_request_header_count(req), 4);
    assert_true(shs_request_header_at(req, 2, &name, &value));
    assert_true(shs__str_eq(name, SHS_STR("x-one")) && shs__str_eq(value, SHS_STR("2")));
    assert_true(shs_request_header_at(req, 3, &name, &value));
    assert_true(shs__str_eq(value, SHS_STR("\xe9\xff")));
    assert_false(shs_request_header_at(req, 4, &name, &value));
    SHS_RETURN_IF_ERROR(shs_send_response(res, 200));
    SHS_RETURN_IF_ERROR(shs_send_header_str(res, "X-Back", value));
    return shs_end_headers(res);
}

static void test_H25_fields_without_case_in_order_latin1(void **state)
{
    (void)state;
    talk(H1_HANDLER(looks_at_fields),
         REQUEST("GET", "/", "X-One: 1\r\nx-one: 2\r\nX-Latin: \xe9\xff\r\n"));
    h1_has(&lab, "HTTP/1.1 200 OK\r\n");
    h1_has(&lab, "X-Back: \xe9\xff\r\n");
    over();
}

static int looks_at_the_line(struct shs_request *req, struct shs_response *res)
{
    assert_true(shs__str_eq(shs_request_line(req), SHS_STR("GET /a%20b?x=1 HTTP/1.1")));
    assert_true(shs__str_eq(shs_request_method(req), SHS_STR("GET")));
    assert_true(shs__str_eq(shs_request_path(req), SHS_STR("/a%20b")));
    assert_true(shs__str_eq(shs_request_query(req), SHS_STR("x=1")));
    assert_int_equal(shs_request_version(req), 11);
    return hello(req, res);
}

static void test_H26_what_the_request_line_says(void **state)
{
    (void)state;
    talk(H1_HANDLER(looks_at_the_line), REQUEST("GET", "/a%20b?x=1", ""));
    assert_int_equal(called, 1);
    over();
}

/* -- how long a connection lives --------------------------------------------------------------- */

static void test_H27_H30_http_11_stays_open(void **state)
{
    (void)state;
    talk(H1_HANDLER(hello), GET GET GET);
    assert_int_equal(called, 3);
    h1_has_not(&lab, "Connection: close");
    over();
}

static void test_H28_connection_close(void **state)
{
    (void)state;
    talk(H1_HANDLER(hello), REQUEST("GET", "/", "Connection: close\r\n") GET);
    assert_int_equal(called, 1);
    h1_has(&lab, "Connection: close\r\n");
    over();
}

static int says_close(struct shs_request *req, struct shs_response *res)
{
    (void)req;
    called++;
    SHS_RETURN_IF_ERROR(shs_send_response(res, 200));
    SHS_RETURN_IF_ERROR(shs_send_header(res, "Connection", "close"));
    return shs_end_headers(res);
}

static void test_H29_a_handler_says_close(void **state)
{
    (void)state;
    talk(H1_HANDLER(says_close), GET GET);
    assert_int_equal(called, 1);
    assert_int_equal(h1_count(&lab, "Connection: close\r\n"), 1);
    over();
}

static void test_H31_http_10_closes(void **state)
{
    (void)state;
    talk(H1_HANDLER(hello), "GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n" GET);
    assert_int_equal(called, 1);
    assert_string_equal(h1_body(&lab), "hello"); /* and not a byte more */
    over();
}

static void test_H33_an_unread_body_is_no_request(void **state)
{
    (void)state;
    talk(H1_HANDLER(hello), "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 35\r\n\r\n"
                            "GET /evil HTTP/1.1\r\nHost: a\r\n\r\n1234" GET);
    assert_int_equal(called, 2);
    over();
    talk(H1_HANDLER(hello), "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n"
                            "Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n" GET);
    assert_int_equal(called, 0);
    h1_has(&lab, "HTTP/1.1 400 ");
    over();
}

/* -- Expect ------------------------------------------------------------------------------------ */

static int reads(struct shs_request *req, struct shs_response *res)
{
    struct shs_str text;

    SHS_RETURN_IF_ERROR(shs_request_body(req, 100, &text));
    SHS_RETURN_IF_ERROR(shs_send_response(res, 200));
    return shs_write(res, text.ptr, text.len);
}

static void test_H34_continue_before_the_answer(void **state)
{
    static const char head[] = "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n"
                               "Expect: 100-continue\r\n\r\n";

    (void)state;
    talk(H1_HANDLER(reads), head);
    assert_string_equal(h1_lab_text(&lab), "HTTP/1.1 100 Continue\r\n\r\n");
    h1_lab_talk(&lab, "hi", 2);
    h1_has(&lab, "HTTP/1.1 200 OK\r\n");
    over();
}

static void test_H35_no_continue_for_http_10(void **state)
{
    (void)state;
    talk(H1_HANDLER(reads),
         "POST / HTTP/1.0\r\nContent-Length: 2\r\nExpect: 100-continue\r\n\r\nhi");
    h1_has_not(&lab, "100 Continue");
    h1_has(&lab, "HTTP/1.1 200 OK\r\n");
    over();
}

static int refuses(struct shs_request *req, struct shs_response *res)
{
    (void)req;
    called++;
    return shs_send_error(res, 417, NULL);
}

static void test_H36_a_body_that_nobody_wants(void **state)
{
    (void)state;
    talk(H1_HANDLER(refuses), "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 100000\r\n"
                              "Expect: 100-continue\r\n\r\n");
    h1_has_not(&lab, "100 Continue");
    h1_has(&lab, "HTTP/1.1 417 ");
    assert_int_equal(h1_count(&lab, "Connection: close\r\n"), 1);
    over();
}

/* -- dispatch ---------------------------------------------------------------------------------- */

static void test_H37_method_names_are_functions(void **state)
{
    static const char *const unknown[] = {REQUEST("get", "/", ""), REQUEST("GETs", "/", ""),
                                          REQUEST("FOO", "/", ""), REQUEST("DELETE", "/", "")};

    (void)state;
    for (size_t i = 0; i < SHS_ARRAY_LEN(unknown); i++) {
        talk(H1_HANDLER(hello), unknown[i]);
        assert_int_equal(called, 0);
        h1_has(&lab, "HTTP/1.1 501 Not Implemented\r\n");
        h1_has(&lab, "Allow: GET, HEAD, POST, OPTIONS\r\n");
        over();
    }
    talk(H1_HANDLER(hello), REQUEST("POST", "/", "Content-Length: 0\r\n"));
    assert_int_equal(called, 1);
    over();
}

static int steps(struct shs_request *req, struct shs_response *res)
{
    (void)req;
    SHS_RETURN_IF_ERROR(shs_send_response(res, 200));
    SHS_RETURN_IF_ERROR(shs_send_header(res, "X-A", "1"));
    assert_int_equal(arrived(), 0);
    SHS_RETURN_IF_ERROR(shs_end_headers(res));
    SHS_RETURN_IF_ERROR(shs_write(res, "hello", 5));
    assert_int_equal(arrived(), 0); /* head and body leave together */
    return SHS_OK;
}

static void test_H38_H41_nothing_leaves_before_its_time(void **state)
{
    (void)state;
    talk(H1_HANDLER(steps), GET);
    h1_has(&lab, "X-A: 1\r\n");
    assert_string_equal(h1_body(&lab), "hello");
    over();
}

/* Python writes head and body of an error apart; here they leave as one. */
static int error_steps(struct shs_request *req, struct shs_response *res)
{
    (void)req;
    SHS_RETURN_IF_ERROR(shs_send_error(res, 404, NULL));
    assert_int_equal(arrived(), 0);
    return SHS_OK;
}

static void test_H42_an_error_is_one_answer(void **state)
{
    (void)state;
    talk(H1_HANDLER(error_steps), GET);
    assert_int_equal(h1_count(&lab, "HTTP/1.1 404 Not Found\r\n"), 1);
    assert_true(strlen(h1_body(&lab)) > 20);
    over();
}

/* -- answers ----------------------------------------------------------------------------------- */

static int custom(struct shs_request *req, struct shs_response *res)
{
    (void)req;
    SHS_RETURN_IF_ERROR(shs_send_response(res, 999));
    assert_int_equal(shs_send_response(res, 200), SHS_USAGE);
    return shs_end_headers(res);
}

static void test_H39_status_line_server_and_date(void **state)
{
    (void)state;
    talk(H1_HANDLER(custom), GET);
    h1_has(&lab, "HTTP/1.1 999 \r\nServer: ");
    h1_has(&lab, "\r\nDate: ");
    over();
}

static void test_H40_each_field_once(void **state)
{
    (void)state;
    talk(H1_HANDLER(hello), GET);
    assert_int_equal(h1_count(&lab, "Server: "), 1);
    assert_int_equal(h1_count(&lab, "Date: "), 1);
    assert_int_equal(h1_count(&lab, "Content-Type: "), 1);
    assert_int_equal(h1_count(&lab, "Content-Length: "), 1);
    over();
}

static int error_code;

static int sends_error(struct shs_request *req, struct shs_response *res)
{
    (void)req;
    return shs_send_error(res, error_code, error_code == 404 ? "<a & b> \"c\"" : NULL);
}

static void error_of(int code, const char *request)
{
    error_code = code;
    talk(H1_HANDLER(sends_error), request);
}

static void test_H43_unknown_codes_have_a_page_too(void **state)
{
    (void)state;
    error_of(999, GET);
    h1_has(&lab, "HTTP/1.1 999 ???\r\n");
    h1_has(&lab, "<h1>999 ??\?</h1>");
    over();
    error_of(503, GET);
    h1_has(&lab, "<h1>503 Service Unavailable</h1>");
    over();
}

static void test_H44_length_of_an_error(void **state)
{
    char field[64];

    (void)state;
    error_of(500, GET);
    snprintf(field, sizeof field, "Content-Length: %zu\r\n", strlen(h1_body(&lab)));
    h1_has(&lab, field);
    over();
}

static void test_H45_answers_without_a_body(void **state)
{
    static const int codes[] = {204, 205, 304};

    (void)state;
    for (size_t i = 0; i < SHS_ARRAY_LEN(codes); i++) {
        error_of(codes[i], GET);
        assert_string_equal(h1_body(&lab), "");
        h1_has_not(&lab, "Content-Type");
        if (codes[i] == 205) /* RFC 9110 section 15.3.6: its length must be seen to be 0 */
            h1_has(&lab, "Content-Length: 0\r\n");
        else
            h1_has_not(&lab, "Content-Length");
        over();
    }
    error_code = 102;
    talk(H1_HANDLER(sends_error), GET); /* 1xx is not an answer */
    h1_has(&lab, "HTTP/1.1 500 ");
    over();
}

static void test_H46_head_of_an_error(void **state)
{
    char length[64], *line;

    (void)state;
    error_of(404, GET);
    line = strstr(h1_lab_text(&lab), "Content-Length: ");
    assert_non_null(line);
    snprintf(length, sizeof length, "%.*s", (int)strcspn(line, "\r"), line);
    over();
    error_of(404, REQUEST("HEAD", "/", ""));
    h1_has(&lab, length);
    assert_string_equal(h1_body(&lab), "");
    over();
}

static void test_H47_errors_close(void **state)
{
    (void)state;
    error_of(404, GET GET);
    assert_int_equal(h1_count(&lab, "HTTP/1.1 404 "), 1);
    h1_has(&lab, "Connection: close\r\n");
    over();
}

static void test_H48_messages_are_escaped(void **state)
{
    (void)state;
    error_of(404, GET);
    h1_has(&lab, "&lt;a &amp; b&gt;");
    h1_has_not(&lab, "<a &");
    over();
}

static int injects(struct shs_request *req, struct shs_response *res)
{
    static const char *const bad[] = {"a\rb", "a\nb", "a\r\nSet-Cookie: x", "a\x01", "a\x7f"};

    (void)req;
    SHS_RETURN_IF_ERROR(shs_send_response(res, 200));
    for (size_t i = 0; i < SHS_ARRAY_LEN(bad); i++) {
        assert_int_equal(shs_send_header(res, "X", bad[i]), SHS_USAGE);
        assert_int_equal(shs_send_header(res, bad[i], "x"), SHS_USAGE);
    }
    assert_int_equal(shs_send_header_str(res, "X", SHS_STR("a\0b")), SHS_USAGE);
    SHS_RETURN_IF_ERROR(shs_send_header(res, "X-Latin", "\xe9"));
    return shs_end_headers(res);
}

static void test_H49_nothing_is_injected(void **state)
{
    (void)state;
    talk(H1_HANDLER(injects), GET);
    h1_has(&lab, "X-Latin: \xe9\r\n");
    h1_has_not(&lab, "Set-Cookie");
    over();
}

static void test_H50_version_and_date(void **state)
{
    const char *date;
    time_t when;

    (void)state;
    talk(H1_HANDLER(hello), GET);
    h1_has(&lab, "Server: shs/" SHS_VERSION_STRING "\r\n");
    date = strstr(h1_lab_text(&lab), "Date: ");
    assert_non_null(date);
    assert_true(
        shs_http_date_parse((struct shs_str){date + 6, SHS_HTTP_DATE_LEN}, time(NULL), &when));
    assert_true(llabs((long long)when - (long long)time(NULL)) < 5);
    over();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_H1_host_and_port_after_binding),
        cmocka_unit_test(test_H2_reuse_address_not_port),
        cmocka_unit_test(test_H3_threading_server_has_daemon_threads),
        cmocka_unit_test(test_H25_fields_without_case_in_order_latin1),
        cmocka_unit_test(test_H26_what_the_request_line_says),
        cmocka_unit_test(test_H27_H30_http_11_stays_open),
        cmocka_unit_test(test_H28_connection_close),
        cmocka_unit_test(test_H29_a_handler_says_close),
        cmocka_unit_test(test_H31_http_10_closes),
        cmocka_unit_test(test_H33_an_unread_body_is_no_request),
        cmocka_unit_test(test_H34_continue_before_the_answer),
        cmocka_unit_test(test_H35_no_continue_for_http_10),
        cmocka_unit_test(test_H36_a_body_that_nobody_wants),
        cmocka_unit_test(test_H37_method_names_are_functions),
        cmocka_unit_test(test_H38_H41_nothing_leaves_before_its_time),
        cmocka_unit_test(test_H42_an_error_is_one_answer),
        cmocka_unit_test(test_H39_status_line_server_and_date),
        cmocka_unit_test(test_H40_each_field_once),
        cmocka_unit_test(test_H43_unknown_codes_have_a_page_too),
        cmocka_unit_test(test_H44_length_of_an_error),
        cmocka_unit_test(test_H45_answers_without_a_body),
        cmocka_unit_test(test_H46_head_of_an_error),
        cmocka_unit_test(test_H47_errors_close),
        cmocka_unit_test(test_H48_messages_are_escaped),
        cmocka_unit_test(test_H49_nothing_is_injected),
        cmocka_unit_test(test_H50_version_and_date),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
