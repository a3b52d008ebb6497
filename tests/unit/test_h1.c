/* test_h1.c - the HTTP/1.1 machine over a stream in memory: whole, byte by byte, and late. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "h1_expect.h"
#include "http/h1_exchange.h"
#include "patience.h"

/* -- a client that sends before the machine looks ---------------------------------------------- */

static void send_bytes(struct h1_lab *lab, const char *bytes, size_t len)
{
    while (len > 0) {
        size_t put = 0;

        assert_int_equal(shs__stream_write(lab->client, bytes, len, &put), SHS_OK);
        bytes += put;
        len -= put;
    }
}

/* Steps until it waits for more, or is over; the client reads all the while. */
static int run(struct h1_lab *lab)
{
    return h1_lab_talk(lab, "", 0);
}

static int talk(struct h1_lab *lab, const char *request)
{
    send_bytes(lab, request, strlen(request));
    return run(lab);
}

/* -- handlers ---------------------------------------------------------------------------------- */

static int hello(struct shs_request *req, struct shs_response *res)
{
    (void)req;
    SHS_RETURN_IF_ERROR(shs_send_response(res, 200));
    SHS_RETURN_IF_ERROR(shs_send_header(res, "Content-Type", "text/plain"));
    SHS_RETURN_IF_ERROR(shs_end_headers(res));
    return shs_write(res, "Hello, world\n", 13);
}

/* The body, back. */
static int echo(struct shs_request *req, struct shs_response *res)
{
    char buf[777];
    size_t got = 0;

    SHS_RETURN_IF_ERROR(shs_send_response(res, 200));
    do {
        SHS_RETURN_IF_ERROR(shs_request_read(req, buf, sizeof buf, &got));
        SHS_RETURN_IF_ERROR(shs_write(res, buf, got));
    } while (got > 0);
    return SHS_OK;
}

/* Looks at the head before the body is read, and answers from it afterwards. */
static int keeps_views(struct shs_request *req, struct shs_response *res)
{
    struct shs_str path = shs_request_path(req), value = {NULL, 0};
    char buf[3000];
    size_t got = 0;

    if (!shs_request_header(req, "X-A", &value))
        return SHS_IO;
    do {
        SHS_RETURN_IF_ERROR(shs_request_read(req, buf, sizeof buf, &got));
    } while (got > 0);
    SHS_RETURN_IF_ERROR(shs_send_response(res, 200));
    SHS_RETURN_IF_ERROR(shs_write(res, path.ptr, path.len));
    return shs_write(res, value.ptr, value.len);
}

static struct h1_lab *listening; /* NULL: it has sent all that it wanted */

/* Listens to its client, who sends the next request meanwhile, and answers from its own head. */
static int listens(struct shs_request *req, struct shs_response *res)
{
    char more[3000];
    int rc;

    if (listening != NULL) {
        memset(more, 'm', sizeof more);
        send_bytes(listening, "GET /2 HTTP/1.1\r\nHost: a\r\nX-A: ", 31);
        send_bytes(listening, more, sizeof more);
        listening = NULL;
    }
    rc = res->x->ops->wait_peer(res->x, shs_now_ns(), -1);

    SHS_RETURN_IF_ERROR(shs_send_response(res, rc == SHS_OK ? 200 : 500));
    return shs_write(res, shs_request_path(req).ptr, shs_request_path(req).len);
}

static int fails(struct shs_request *req, struct shs_response *res)
{
    (void)req;
    (void)res;
    return SHS_IO;
}

static int says_nothing(struct shs_request *req, struct shs_response *res)
{
    (void)req;
    (void)res;
    return SHS_OK;
}

static int streams(struct shs_request *req, struct shs_response *res)
{
    char piece[10000];

    (void)req;
    SHS_RETURN_IF_ERROR(shs_send_response(res, 200));
    for (int i = 0; i < 30; i++) {
        memset(piece, 'a' + i % 26, sizeof piece);
        SHS_RETURN_IF_ERROR(shs_write(res, piece, sizeof piece));
    }
    return SHS_OK;
}

static int stops_in_the_middle(struct shs_request *req, struct shs_response *res)
{
    SHS_RETURN_IF_ERROR(streams(req, res));
    return SHS_IO;
}

static int too_short(struct shs_request *req, struct shs_response *res)
{
    (void)req;
    SHS_RETURN_IF_ERROR(shs_send_response(res, 200));
    SHS_RETURN_IF_ERROR(shs_send_header(res, "Content-Length", "10"));
    return shs_write(res, "123", 3);
}

static int no_content(struct shs_request *req, struct shs_response *res)
{
    (void)req;
    SHS_RETURN_IF_ERROR(shs_send_response(res, 204));
    return shs_write(res, "nobody sees this", 16);
}

static int checks_headers(struct shs_request *req, struct shs_response *res)
{
    (void)req;
    assert_int_equal(shs_send_header(res, "X", "before"), SHS_USAGE);
    assert_int_equal(shs_send_response(res, 42), SHS_USAGE);
    assert_int_equal(shs_send_response_reason(res, 200, "a\r\nb"), SHS_USAGE);
    SHS_RETURN_IF_ERROR(shs_send_response_reason(res, 299, "Fine"));
    assert_int_equal(shs_send_response(res, 200), SHS_USAGE);
    assert_int_equal(shs_send_header(res, "X\r\n", "v"), SHS_USAGE);
    assert_int_equal(shs_send_header(res, "X Y", "v"), SHS_USAGE);
    assert_int_equal(shs_send_header(res, "", "v"), SHS_USAGE);
    assert_int_equal(shs_send_header(res, "X", "a\r\nSet-Cookie: b"), SHS_USAGE);
    assert_int_equal(shs_send_header(res, "X", "a\nb"), SHS_USAGE);
    assert_int_equal(shs_send_header_str(res, "X", (struct shs_str){"a\0b", 3}), SHS_USAGE);
    assert_int_equal(shs_send_header(res, "Transfer-Encoding", "chunked"), SHS_USAGE);
    assert_int_equal(shs_send_header(res, "Content-Length", "-1"), SHS_USAGE);
    for (int i = 0; i < 100; i++)
        SHS_RETURN_IF_ERROR(shs_send_header(res, "X-Many", "v"));
    assert_int_equal(shs_send_header(res, "X-Many", "v"), SHS_LIMIT);
    SHS_RETURN_IF_ERROR(shs_end_headers(res));
    assert_int_equal(shs_send_header(res, "X", "after"), SHS_USAGE);
    return SHS_OK;
}

static int error_after_start(struct shs_request *req, struct shs_response *res)
{
    (void)req;
    SHS_RETURN_IF_ERROR(shs_send_response(res, 200));
    SHS_RETURN_IF_ERROR(shs_send_header(res, "X-Secret", "gone"));
    SHS_RETURN_IF_ERROR(shs_write(res, "gone", 4));
    return shs_send_error(res, 404, "<no such thing>");
}

static int large_file(struct shs_request *req, struct shs_response *res)
{
    char name[] = "/tmp/shs-test-h1-XXXXXX";
    int fd = mkstemp(name);

    (void)req;
    assert_true(fd >= 0);
    unlink(name);
    for (int i = 0; i < 300; i++) {
        char line[1001];

        memset(line, 'A' + i % 26, 1000);
        assert_int_equal(write(fd, line, 1000), 1000);
    }
    SHS_RETURN_IF_ERROR(shs_send_response(res, 200));
    /* 100 bytes of the first line are left out, and the last line. */
    return shs_send_file(res, fd, 100, 300000 - 100 - 1000);
}

static int short_file(struct shs_request *req, struct shs_response *res)
{
    char name[] = "/tmp/shs-test-h1-XXXXXX";
    int fd = mkstemp(name);

    (void)req;
    unlink(name);
    assert_int_equal(write(fd, "abc", 3), 3);
    SHS_RETURN_IF_ERROR(shs_send_response(res, 200));
    return shs_send_file(res, fd, 0, 100);
}

/* -- tests ------------------------------------------------------------------------------------- */

static void test_get(void **state)
{
    struct h1_lab lab;

    (void)state;
    h1_lab_open(&lab, H1_HANDLER(hello));
    assert_int_equal(talk(&lab, "GET / HTTP/1.1\r\nHost: a\r\n\r\n"), SHS_WAIT_READ);
    h1_has(&lab, "HTTP/1.1 200 OK\r\n");
    h1_has(&lab, "\r\nServer: shs/");
    h1_has(&lab, "\r\nDate: ");
    h1_has(&lab, "\r\nContent-Length: 13\r\n");
    h1_has(&lab, "\r\n\r\nHello, world\n");
    h1_has_not(&lab, "Connection: close");
    assert_int_equal(lab.last_status, 200);
    assert_int_equal(lab.last_bytes, 13);
    assert_true(lab.idle);
    /* Idle: every buffer is given back. */
    assert_null(lab.h1.in.data);
    assert_null(lab.h1.out.data);
    assert_null(lab.h1.xchg);
    h1_lab_close(&lab);
}

/* What is kept for a reader who takes little at a time is a piece of the file, and no more. */
static void test_a_slow_reader_costs_a_piece(void **state)
{
    static const char request[] = "GET / HTTP/1.1\r\nHost: a\r\n\r\n";
    size_t got = 0, total = 0, most = 0, put = 0;
    struct h1_lab lab;
    char buf[3000];

    (void)state;
    h1_lab_open(&lab, H1_HANDLER(large_file));
    lab.server->cls->free(lab.server);
    lab.client->cls->free(lab.client);
    assert_int_equal(shs__memory_stream_pair(&lab.server, &lab.client, 10000, 0), SHS_OK);
    lab.h1.stream = lab.server;
    assert_int_equal(shs__stream_write(lab.client, request, sizeof request - 1, &put), SHS_OK);
    while (lab.logged == 0 || total < 298900) {
        (void)shs__h1_step(&lab.h1);
        most = lab.h1.out.len > most ? lab.h1.out.len : most;
        assert_int_equal(shs__stream_read(lab.client, buf, sizeof buf, &got), SHS_OK);
        total += got;
    }
    assert_in_range(most, 10000, SHS_H1_PIECE);
    assert_int_equal(lab.last_bytes, 298900);
    h1_lab_close(&lab);
}

static void test_keep_alive_and_pipelining(void **state)
{
    struct h1_lab lab;

    (void)state;
    h1_lab_open(&lab, H1_HANDLER(hello));
    assert_int_equal(talk(&lab, "GET /1 HTTP/1.1\r\nHost: a\r\n\r\n"
                                "GET /2 HTTP/1.1\r\nHost: a\r\n\r\n"
                                "GET /3 HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n"
                                "GET /4 HTTP/1.1\r\nHost: a\r\n\r\n"),
                     SHS_OK);
    assert_int_equal(lab.calls, 3);
    assert_int_equal(h1_count(&lab, "Hello, world\n"), 3);
    assert_int_equal(h1_count(&lab, "Connection: close\r\n"), 1);
    h1_lab_close(&lab);
}

static void test_byte_by_byte_and_small_writes(void **state)
{
    static const char request[] = "POST /e HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhello"
                                  "POST /e HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n"
                                  "\r\n3;x=y\r\nabc\r\n2\r\nde\r\n0\r\nT: 1\r\n\r\n"
                                  "GET /e HTTP/1.1\r\nHost: a\r\n\r\n";
    struct h1_lab lab;

    (void)state;
    for (size_t chunk = 0; chunk < 4; chunk++) {
        h1_lab_open_narrow(&lab, H1_HANDLER(echo), chunk);
        for (size_t i = 0; i + 1 < sizeof request; i++) {
            send_bytes(&lab, request + i, 1);
            assert_int_equal(run(&lab), SHS_WAIT_READ);
        }
        assert_int_equal(lab.calls, 3);
        h1_has(&lab, "Content-Length: 5\r\n\r\nhelloHTTP/1.1 200");
        h1_has(&lab, "Content-Length: 5\r\n\r\nabcdeHTTP/1.1 200");
        h1_has(&lab, "Content-Length: 0\r\n\r\n");
        h1_lab_close(&lab);
    }
}

static void test_head_and_bodiless_answers(void **state)
{
    struct h1_lab lab;

    (void)state;
    h1_lab_open(&lab, H1_HANDLER(hello));
    assert_int_equal(talk(&lab, "HEAD / HTTP/1.1\r\nHost: a\r\n\r\n"), SHS_WAIT_READ);
    h1_has(&lab, "Content-Length: 13\r\n");
    h1_has_not(&lab, "Hello");
    assert_int_equal(lab.last_bytes, 0);
    h1_lab_close(&lab);
    h1_lab_open(&lab, H1_HANDLER(no_content));
    assert_int_equal(talk(&lab, "GET / HTTP/1.1\r\nHost: a\r\n\r\n"), SHS_WAIT_READ);
    h1_has(&lab, "204 No Content");
    h1_has_not(&lab, "Content-Length");
    h1_has_not(&lab, "nobody");
    h1_lab_close(&lab);
}

static void test_http_10_closes(void **state)
{
    struct h1_lab lab;

    (void)state;
    h1_lab_open(&lab, H1_HANDLER(hello));
    assert_int_equal(talk(&lab, "GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n"), SHS_OK);
    h1_has(&lab, "HTTP/1.1 200 OK\r\n");
    h1_has(&lab, "Connection: close\r\n");
    h1_lab_close(&lab);
    /* A long answer cannot be chunked for HTTP/1.0: its end is the connection's. */
    h1_lab_open(&lab, H1_HANDLER(streams));
    assert_int_equal(talk(&lab, "GET / HTTP/1.0\r\n\r\n"), SHS_OK);
    h1_has_not(&lab, "chunked");
    h1_has_not(&lab, "Content-Length");
    assert_true(lab.got.len > 300000);
    h1_lab_close(&lab);
}

static int streams_and_fails(struct shs_request *req, struct shs_response *res)
{
    SHS_RETURN_IF_ERROR(shs_send_response(res, 200));
    if (shs_str_is(shs_request_path(req), "/length"))
        SHS_RETURN_IF_ERROR(shs_send_length(res, 100));
    SHS_RETURN_IF_ERROR(shs_write(res, "half", 4));
    SHS_RETURN_IF_ERROR(shs_flush(res));
    return shs_str_is(shs_request_path(req), "/exit") ? SHS_EXIT : SHS_IO;
}

/* Where the end of the connection is the end of the body, an end that is none has to look so. */
static void test_an_end_that_is_none(void **state)
{
    static const struct {
        const char *request;
        bool reset;
    } rows[] = {
        {"GET / HTTP/1.0\r\n\r\n", true},
        {"GET /exit HTTP/1.0\r\n\r\n", true},
        {"GET /length HTTP/1.0\r\n\r\n", false}, /* the length tells */
        {"HEAD / HTTP/1.0\r\n\r\n", false},
        {"GET / HTTP/1.1\r\nHost: a\r\n\r\n", false}, /* the last chunk is not there */
    };
    struct h1_lab lab;

    (void)state;
    for (size_t i = 0; i < SHS_ARRAY_LEN(rows); i++) {
        h1_lab_open(&lab, H1_HANDLER(streams_and_fails));
        (void)talk(&lab, rows[i].request);
        h1_has(&lab, "HTTP/1.1 200 OK\r\n");
        if (lab.reset != rows[i].reset)
            fail_msg("%s: %d", rows[i].request, lab.reset);
        h1_lab_close(&lab);
    }
    h1_lab_open(&lab, H1_HANDLER(streams));
    assert_int_equal(talk(&lab, "GET / HTTP/1.0\r\n\r\n"), SHS_OK);
    assert_false(lab.reset);
    h1_lab_close(&lab);
}

static void test_continue(void **state)
{
    struct h1_lab lab;

    (void)state;
    h1_lab_open(&lab, H1_HANDLER(echo));
    assert_int_equal(talk(&lab, "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n"
                                "Expect: 100-continue\r\n\r\n"),
                     SHS_WAIT_READ);
    assert_string_equal(h1_lab_text(&lab), "HTTP/1.1 100 Continue\r\n\r\n");
    assert_int_equal(lab.calls, 0);
    assert_int_equal(talk(&lab, "hello"), SHS_WAIT_READ);
    h1_has(&lab, "\r\n\r\nhello");
    h1_lab_close(&lab);
    /* A client that does not wait is not told to go on. */
    h1_lab_open(&lab, H1_HANDLER(echo));
    assert_int_equal(talk(&lab, "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n"
                                "Expect: 100-continue\r\n\r\nhello"),
                     SHS_WAIT_READ);
    h1_has_not(&lab, "100 Continue");
    h1_has(&lab, "\r\n\r\nhello");
    h1_lab_close(&lab);
    /* A handler that does not want a long body says so without having it sent. */
    h1_lab_open(&lab, H1_HANDLER(hello));
    assert_int_equal(talk(&lab, "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1000000\r\n"
                                "Expect: 100-continue\r\n\r\n"),
                     SHS_OK);
    h1_has_not(&lab, "100 Continue");
    h1_has(&lab, "Connection: close\r\n");
    h1_lab_close(&lab);
}

static void test_unread_bodies(void **state)
{
    struct h1_lab lab;
    char body[5000];

    (void)state;
    memset(body, 'x', sizeof body);
    h1_lab_open(&lab, H1_HANDLER(hello));
    lab.opt.max_buffered_body = 1000;
    send_bytes(&lab, "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5000\r\n\r\n", 50);
    assert_int_equal(run(&lab), SHS_WAIT_READ);
    send_bytes(&lab, body, sizeof body);
    assert_int_equal(talk(&lab, "GET / HTTP/1.1\r\nHost: a\r\n\r\n"), SHS_WAIT_READ);
    assert_int_equal(h1_count(&lab, "200 OK"), 2); /* drained: the second request was found */
    h1_lab_close(&lab);
    h1_lab_open(&lab, H1_HANDLER(hello));
    assert_int_equal(talk(&lab, "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5000000\r\n\r\n"),
                     SHS_OK);
    h1_has(&lab, "Connection: close\r\n"); /* too much to throw away */
    h1_lab_close(&lab);
    h1_lab_open(&lab, H1_HANDLER(hello));
    lab.opt.max_buffered_body = 0;
    assert_int_equal(
        talk(&lab,
             "POST / HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 50\r\n\r\n"),
        SHS_OK);
    h1_has(&lab, "Connection: close\r\n"); /* will it send the body? Nobody has asked for it. */
    h1_has_not(&lab, "100 Continue");
    h1_lab_close(&lab);
}

static void test_long_body_is_pulled(void **state)
{
    struct h1_lab lab;
    char *body = malloc(300000);

    (void)state;
    for (int i = 0; i < 300000; i++)
        body[i] = (char)('a' + i % 25);
    h1_lab_open(&lab, H1_HANDLER(echo));
    send_bytes(&lab, "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 300000\r\n\r\n", 52);
    send_bytes(&lab, body, 300000);
    assert_int_equal(run(&lab), SHS_WAIT_READ);
    h1_has(&lab, "Transfer-Encoding: chunked\r\n");
    assert_true(lab.got.len > 300000);
    assert_memory_equal(shs__buf_tail(&lab.got) - 5, "0\r\n\r\n", 5);
    h1_lab_close(&lab);
    free(body);
}

static void test_streamed_answer(void **state)
{
    struct h1_lab lab;

    (void)state;
    h1_lab_open(&lab, H1_HANDLER(streams));
    assert_int_equal(talk(&lab, "GET / HTTP/1.1\r\nHost: a\r\n\r\n"), SHS_WAIT_READ);
    h1_has(&lab, "Transfer-Encoding: chunked\r\n");
    h1_has_not(&lab, "Content-Length");
    assert_memory_equal(shs__buf_tail(&lab.got) - 7, "\r\n0\r\n\r\n", 7);
    assert_int_equal(lab.last_bytes, 300000);
    h1_lab_close(&lab);
}

static void test_broken_answers_are_cut(void **state)
{
    struct h1_lab lab;

    (void)state;
    h1_lab_open(&lab, H1_HANDLER(stops_in_the_middle));
    assert_int_equal(talk(&lab, "GET / HTTP/1.1\r\nHost: a\r\n\r\n"), SHS_IO);
    h1_has_not(&lab, "\r\n0\r\n\r\n"); /* the client can see that it is not whole */
    assert_int_equal(lab.fail_code, SHS_IO);
    h1_lab_close(&lab);
    h1_lab_open(&lab, H1_HANDLER(short_file));
    assert_int_equal(talk(&lab, "GET / HTTP/1.1\r\nHost: a\r\n\r\n"), SHS_IO);
    h1_has(&lab, "Content-Length: 100\r\n");
    h1_lab_close(&lab);
}

static void test_handler_failures(void **state)
{
    shs_method_fn *const bad[] = {fails, says_nothing, too_short};
    struct h1_lab lab;

    (void)state;
    for (size_t i = 0; i < SHS_ARRAY_LEN(bad); i++) {
        h1_lab_open(&lab, H1_HANDLER(bad[i]));
        assert_int_equal(talk(&lab, "GET / HTTP/1.1\r\nHost: a\r\n\r\n"), SHS_OK);
        h1_has(&lab, "HTTP/1.1 500 Internal Server Error\r\n");
        h1_has(&lab, "Connection: close\r\n");
        assert_int_not_equal(lab.fail_code, SHS_OK);
        assert_true(lab.last_error[0] != '\0');
        h1_lab_close(&lab);
    }
}

static void test_header_rules(void **state)
{
    struct h1_lab lab;

    (void)state;
    h1_lab_open(&lab, H1_HANDLER(checks_headers));
    assert_int_equal(talk(&lab, "GET / HTTP/1.1\r\nHost: a\r\n\r\n"), SHS_WAIT_READ);
    h1_has(&lab, "HTTP/1.1 299 Fine\r\n");
    assert_int_equal(h1_count(&lab, "X-Many: v\r\n"), 100);
    h1_lab_close(&lab);
}

static void test_send_error_replaces(void **state)
{
    struct h1_lab lab;

    (void)state;
    h1_lab_open(&lab, H1_HANDLER(error_after_start));
    assert_int_equal(talk(&lab, "GET / HTTP/1.1\r\nHost: a\r\n\r\n"), SHS_OK);
    h1_has(&lab, "HTTP/1.1 404 Not Found\r\n");
    h1_has(&lab, "&lt;no such thing&gt;");
    h1_has_not(&lab, "gone");
    assert_int_equal(h1_count(&lab, "Date:"), 1);
    assert_int_equal(h1_count(&lab, "Server:"), 1);
    h1_lab_close(&lab);
}

static void test_file(void **state)
{
    struct h1_lab lab;
    const char *body;

    (void)state;
    h1_lab_open(&lab, H1_HANDLER(large_file));
    assert_int_equal(talk(&lab, "GET / HTTP/1.1\r\nHost: a\r\n\r\n"), SHS_WAIT_READ);
    h1_has(&lab, "Content-Length: 298900\r\n");
    body = h1_body(&lab);
    assert_int_equal(strlen(body), 298900);
    assert_int_equal(body[0], 'A');
    assert_int_equal(body[899], 'A');
    assert_int_equal(body[900], 'B');
    h1_lab_close(&lab);
    h1_lab_open(&lab, H1_HANDLER(large_file));
    assert_int_equal(talk(&lab, "HEAD / HTTP/1.1\r\nHost: a\r\n\r\n"), SHS_WAIT_READ);
    h1_has(&lab, "Content-Length: 298900\r\n");
    assert_true(lab.got.len < 500);
    h1_lab_close(&lab);
}

static void test_a_long_file_lets_others_have_their_turn(void **state)
{
    struct h1_lab lab;
    unsigned steps = 0;

    (void)state;
    /* the client has room for all of it: nothing to wait for */
    h1_lab_open(&lab, H1_HANDLER(large_file));
    lab.others = true;
    send_bytes(&lab, "GET / HTTP/1.1\r\nHost: a\r\n\r\n", 27);
    while (shs__h1_step(&lab.h1) == SHS_YIELD)
        steps++;
    assert_in_range(steps, 3, 6); /* 298,900 bytes are four and a half of the pieces */
    assert_int_equal(lab.turns, steps);
    h1_lab_receive(&lab);
    assert_int_equal(strlen(h1_body(&lab)), 298900);
    h1_lab_close(&lab);
}

static void test_refusals(void **state)
{
    static const struct {
        const char *request;
        const char *status;
    } cases[] = {
        {"GET / HTTP/1.1\r\n\r\n", "HTTP/1.1 400 "},
        {"GET / HTTP/1.1\r\nHost: a\r\n\rX", "HTTP/1.1 400 "},
        {"GET / HTTP/2.0\r\nHost: a\r\n\r\n", "HTTP/1.1 505 "},
        {"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n",
         "HTTP/1.1 400 "},
        {"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: gzip, chunked\r\n\r\n", "HTTP/1.1 501 "},
        {"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 99999999999\r\n\r\n", "HTTP/1.1 413 "},
        {"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\nxyz\r\n",
         "HTTP/1.1 400 "},
        {"FOO / HTTP/1.1\r\nHost: a\r\n\r\n", "HTTP/1.1 501 "},
        {"garbage\r\n\r\n", "HTTP/1.1 400 "},
    };
    struct h1_lab lab;

    (void)state;
    for (size_t i = 0; i < SHS_ARRAY_LEN(cases); i++) {
        h1_lab_open(&lab, H1_HANDLER(hello));
        assert_int_equal(talk(&lab, cases[i].request), SHS_OK);
        h1_has(&lab, cases[i].status);
        h1_has(&lab, "Connection: close\r\n");
        assert_int_equal(h1_count(&lab, "\r\nDate: "), 1);
        assert_int_equal(lab.logged, 1);
        h1_lab_close(&lab);
    }
}

static void test_limits(void **state)
{
    struct h1_lab lab;
    char *long_text = malloc(70000);

    (void)state;
    memset(long_text, 'a', 69999);
    long_text[69999] = '\0';
    h1_lab_open(&lab, H1_HANDLER(hello));
    send_bytes(&lab, "GET /", 5);
    assert_int_equal(talk(&lab, long_text), SHS_OK);
    h1_has(&lab, "HTTP/1.1 414 ");
    h1_lab_close(&lab);
    h1_lab_open(&lab, H1_HANDLER(hello));
    send_bytes(&lab, "GET / HTTP/1.1\r\nHost: a\r\nX: ", 28);
    assert_int_equal(talk(&lab, long_text), SHS_OK);
    h1_has(&lab, "HTTP/1.1 431 ");
    h1_lab_close(&lab);
    h1_lab_open(&lab, H1_HANDLER(hello));
    send_bytes(&lab, "GET / HTTP/1.1\r\nHost: a\r\n", 25);
    for (int i = 0; i < 100; i++)
        send_bytes(&lab, "X: y\r\n", 6);
    assert_int_equal(talk(&lab, "\r\n"), SHS_OK);
    h1_has(&lab, "HTTP/1.1 431 ");
    assert_int_equal(lab.calls, 0);
    h1_lab_close(&lab);
    /* Chunks beyond the limit, in a body that a handler pulls. */
    h1_lab_open(&lab, H1_HANDLER(echo));
    lab.config.limits.max_body_bytes = 10;
    assert_int_equal(talk(&lab, "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n"
                                "b\r\nhello world\r\n0\r\n\r\n"),
                     SHS_OK);
    h1_has(&lab, "HTTP/1.1 413 ");
    h1_lab_close(&lab);
    free(long_text);
}

/* A short head is in a short block. What comes behind it needs more; the head stays readable. */
static void test_more_behind_a_short_head(void **state)
{
    char more[3000];
    struct h1_lab lab;

    (void)state;
    memset(more, 'm', sizeof more);
    h1_lab_open(&lab, H1_HANDLER(keeps_views));
    lab.opt.max_buffered_body = 10; /* the handler reads the rest */
    send_bytes(&lab,
               "POST /p HTTP/1.1\r\nHost: a\r\nX-A: value\r\n"
               "Transfer-Encoding: chunked\r\n\r\nbb8\r\n",
               74);
    assert_int_equal(run(&lab), SHS_WAIT_READ);
    send_bytes(&lab, more, sizeof more);
    send_bytes(&lab, "\r\n0\r\nTrailer-Of-Many: ", 22);
    send_bytes(&lab, more, sizeof more);
    assert_int_equal(talk(&lab, "\r\n\r\n"), SHS_WAIT_READ);
    h1_has(&lab, "HTTP/1.1 200 ");
    assert_string_equal(h1_body(&lab), "/pvalue");
    h1_lab_close(&lab);
    /* The next request, which comes while the first one's handler listens. */
    h1_lab_open(&lab, H1_HANDLER(listens));
    listening = &lab;
    assert_int_equal(talk(&lab, "GET /1 HTTP/1.1\r\nHost: a\r\n\r\n"), SHS_WAIT_READ);
    assert_int_equal(talk(&lab, "\r\n\r\n"), SHS_WAIT_READ);
    assert_int_equal(h1_count(&lab, "HTTP/1.1 200 "), 2);
    h1_has(&lab, "/1HTTP/1.1 200 ");
    assert_string_equal(strstr(h1_lab_text(&lab), "/2"), "/2");
    h1_lab_close(&lab);
}

/* The process is stopped between the looks at the socket and at the clock, and the rest comes. */
static void test_the_clock_is_not_the_last_word(void **state)
{
    static const char post[] = "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nab";
    struct h1_lab lab;

    (void)state;
    h1_lab_open(&lab, H1_HANDLER(hello));
    assert_int_equal(run(&lab), SHS_WAIT_READ);
    lab.deadline_ns = shs_now_ns() - 1;
    lab.meanwhile = "GET / HTTP/1.1\r\nHost: a\r\n\r\n";
    (void)run(&lab);
    h1_has(&lab, "HTTP/1.1 200 ");
    h1_lab_close(&lab);
    h1_lab_open(&lab, H1_HANDLER(hello));
    assert_int_equal(talk(&lab, "GET / HTTP/1.1\r\nHo"), SHS_WAIT_READ);
    lab.deadline_ns = shs_now_ns() - 1;
    lab.meanwhile = "st: a\r\n\r\n";
    (void)run(&lab);
    h1_has(&lab, "HTTP/1.1 200 ");
    h1_lab_close(&lab);
    h1_lab_open(&lab, H1_HANDLER(echo));
    assert_int_equal(talk(&lab, post), SHS_WAIT_READ);
    lab.h1.xchg->progress.deadline_ns = shs_now_ns() - 1;
    lab.meanwhile = "cde";
    (void)run(&lab);
    h1_has(&lab, "HTTP/1.1 200 ");
    assert_int_equal(lab.calls, 1);
    h1_lab_close(&lab);
}

/* The same behind its look at the clock, which was in time. */
static void test_the_clock_is_asked_once(void **state)
{
    static const char *const halves[][2] = {
        {"", "GET / HTTP/1.1\r\nHost: a\r\n\r\n"},
        {"GET / HTTP/1.1\r\nHo", "st: a\r\n\r\n"},
        {"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nab", "cde"},
    };
    struct h1_lab lab;

    (void)state;
    for (size_t i = 0; i < SHS_ARRAY_LEN(halves); i++) {
        h1_lab_open(&lab, H1_HANDLER(echo));
        lab.passes = true;
        lab.meanwhile = halves[i][1];
        assert_int_equal(talk(&lab, halves[i][0]), SHS_WAIT_READ);
        assert_null(lab.meanwhile);
        assert_int_equal(lab.got.len, 0);
        (void)run(&lab);
        h1_has(&lab, "HTTP/1.1 200 ");
        assert_int_equal(lab.calls, 1);
        h1_lab_close(&lab);
    }
}

static void test_deadlines(void **state)
{
    struct h1_lab lab;

    (void)state;
    /* Nothing came: no request has failed, so nothing is said. */
    h1_lab_open(&lab, H1_HANDLER(hello));
    assert_int_equal(run(&lab), SHS_WAIT_READ);
    lab.deadline_ns = shs_now_ns() - 1;
    assert_int_equal(run(&lab), SHS_OK);
    assert_int_equal(lab.got.len, 0);
    assert_int_equal(lab.fail_code, SHS_OK);
    h1_lab_close(&lab);
    /* Half a head, then nothing: 408. */
    h1_lab_open(&lab, H1_HANDLER(hello));
    assert_int_equal(talk(&lab, "GET / HTTP/1.1\r\nHo"), SHS_WAIT_READ);
    lab.deadline_ns = shs_now_ns() - 1;
    assert_int_equal(run(&lab), SHS_OK);
    h1_has(&lab, "HTTP/1.1 408 ");
    assert_int_equal(lab.fail_code, SHS_TIMEOUT);
    h1_lab_close(&lab);
    /* Half a body. */
    h1_lab_open(&lab, H1_HANDLER(echo));
    lab.opt.body_ms = 0;
    assert_int_equal(talk(&lab, "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nab"),
                     SHS_OK);
    h1_has(&lab, "HTTP/1.1 408 ");
    assert_int_equal(lab.calls, 0);
    h1_lab_close(&lab);
    /* Half a body that a handler pulls. */
    h1_lab_open(&lab, H1_HANDLER(echo));
    lab.opt.max_buffered_body = 1;
    assert_int_equal(talk(&lab, "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nab"),
                     SHS_OK);
    h1_has(&lab, "HTTP/1.1 408 ");
    h1_lab_close(&lab);
}

/* Old clients send an empty line behind a body: nobody has begun a request by that. */
static void test_an_empty_line_begins_nothing(void **state)
{
    static const char *const tails[] = {"", "\r", "\r\n"};
    struct h1_lab lab;

    (void)state;
    for (int apart = 0; apart < 2; apart++) {
        for (size_t i = 0; i < SHS_ARRAY_LEN(tails); i++) {
            char text[128];

            h1_lab_open(&lab, H1_HANDLER(echo));
            snprintf(text, sizeof text,
                     "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhello%s",
                     apart ? "" : tails[i]);
            assert_int_equal(talk(&lab, text), SHS_WAIT_READ);
            if (apart)
                assert_int_equal(talk(&lab, tails[i]), SHS_WAIT_READ);
            /* Idle, and with the time of the idle: not head_ms, however short that is. */
            assert_true(lab.idle);
            assert_true(lab.deadline_ns - shs_now_ns() >
                        ((int64_t)lab.opt.idle_ms - 5000) * SHS_NS_PER_MS);
            assert_int_equal(lab.calls, 1);
            if (i == 1)
                assert_int_equal(talk(&lab, "\n"), SHS_WAIT_READ);
            if (apart) {
                assert_int_equal(talk(&lab, "GET /2 HTTP/1.1\r\nHost: a\r\n\r\n"), SHS_WAIT_READ);
                assert_int_equal(lab.calls, 2);
                assert_int_equal(lab.last_status, 200);
            } else { /* idle_ms is over: an end without a word, and no error */
                size_t answered = lab.got.len;

                lab.deadline_ns = shs_now_ns() - 1;
                assert_int_equal(run(&lab), SHS_OK);
                assert_int_equal(lab.got.len, answered);
                assert_int_equal(lab.fail_code, SHS_OK);
            }
            h1_lab_close(&lab);
        }
    }
    /* No more than one passes, as before. */
    h1_lab_open(&lab, H1_HANDLER(echo));
    assert_int_equal(talk(&lab, "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhello\r\n"),
                     SHS_WAIT_READ);
    (void)talk(&lab, "\r\n");
    assert_int_equal(lab.last_status, 400);
    h1_lab_close(&lab);
}

static int streams_much(struct shs_request *req, struct shs_response *res)
{
    static const char piece[8192];

    (void)req;
    SHS_RETURN_IF_ERROR(shs_send_response(res, 200));
    for (int i = 0; i < 160; i++) /* somewhat more than the stream holds */
        SHS_RETURN_IF_ERROR(shs_write(res, piece, sizeof piece));
    return SHS_OK;
}

/* A client that takes much at its first wait, and a little at each one after. */
struct slow_reader {
    struct h1_lab lab;
    size_t gulp, sip;
    int64_t longest_wait_ns;
};

/* The time of this wait passes, and then a little is taken. */
static int wait_for_slow_reader(struct h1_lab *lab, int what, int64_t deadline_ns)
{
    struct slow_reader *reader = SHS_CONTAINER_OF(lab, struct slow_reader, lab);
    int64_t wait_ns = deadline_ns - shs_now_ns();
    char buf[4096];

    assert_int_equal(what, SHS_WAIT_WRITE);
    if (wait_ns > reader->longest_wait_ns)
        reader->longest_wait_ns = wait_ns;
    if (wait_ns > 0)
        nanosleep(&(struct timespec){wait_ns / 1000000000, wait_ns % 1000000000}, NULL);
    for (size_t left = reader->gulp > 0 ? reader->gulp : reader->sip; left > 0;) {
        size_t got = 0;

        if (shs__stream_read(lab->client, buf, left < sizeof buf ? left : sizeof buf, &got) !=
            SHS_OK)
            break;
        left -= got;
    }
    reader->gulp = 0;
    return SHS_TIMEOUT;
}

/* One that has sent its request. */
static void open_slow_reader(struct slow_reader *reader, unsigned write_ms, size_t gulp, size_t sip)
{
    static const char request[] = "GET / HTTP/1.1\r\nHost: a\r\n\r\n";
    static const struct shs_http_handler handler = {.name = "t", .do_GET = streams_much};

    *reader = (struct slow_reader){.gulp = gulp, .sip = sip};
    h1_lab_open(&reader->lab, &handler);
    reader->lab.opt.max_buffered_response = 1000;
    reader->lab.opt.write_ms = write_ms;
    reader->lab.opt.min_rate = 1000;
    reader->lab.wait = wait_for_slow_reader;
    send_bytes(&reader->lab, request, sizeof request - 1);
}

/* A handler that streams is held up by its reader for as long as min_rate is kept, not longer. */
static void test_slow_reader_of_a_stream(void **state)
{
    struct slow_reader reader;
    int64_t began;
    int rc;

    (void)state;
    /* Takes much at once, and then three bytes now and then: gone write_ms after it took much. */
    open_slow_reader(&reader, 1000, 5000, 3);
    stopwatch_start();
    assert_int_equal(shs__h1_step(&reader.lab.h1), SHS_TIMEOUT);
    assert_true(stopwatch_between(1000, 1000 + 1000));
    stopwatch_stop();
    assert_true(reader.longest_wait_ns <= 500 * SHS_NS_PER_MS);
    h1_lab_close(&reader.lab);
    /* Slow, and fast enough: it gets everything, long after the first deadline. */
    open_slow_reader(&reader, 600, 0, 20000);
    began = shs_now_ns();
    do {
        rc = shs__h1_step(&reader.lab.h1);
        h1_lab_receive(&reader.lab);
    } while (rc == SHS_WAIT_WRITE);
    assert_int_equal(rc, SHS_WAIT_READ);
    assert_int_equal(reader.lab.last_bytes, 160 * 8192);
    assert_true(shs_now_ns() - began > 600 * SHS_NS_PER_MS);
    h1_lab_close(&reader.lab);
}

static void test_client_goes_away(void **state)
{
    struct h1_lab lab;

    (void)state;
    h1_lab_open(&lab, H1_HANDLER(hello));
    assert_int_equal(talk(&lab, "GET / HTTP/1.1\r\nHo"), SHS_WAIT_READ);
    shs__stream_shutdown(lab.client);
    assert_int_equal(run(&lab), SHS_CLOSED);
    assert_int_equal(lab.calls, 0);
    h1_lab_close(&lab);
    h1_lab_open(&lab, H1_HANDLER(echo));
    assert_int_equal(talk(&lab, "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nab"),
                     SHS_WAIT_READ);
    shs__stream_shutdown(lab.client);
    assert_int_equal(run(&lab), SHS_CLOSED); /* half a body is never handed to a handler */
    assert_int_equal(lab.calls, 0);
    h1_lab_close(&lab);
    h1_lab_open(&lab, H1_HANDLER(hello));
    shs__memory_stream_fail(lab.server, 'w', EIO);
    assert_int_equal(talk(&lab, "GET / HTTP/1.1\r\nHost: a\r\n\r\n"), SHS_IO);
    h1_lab_close(&lab);
}

static void test_ages(void **state)
{
    struct h1_lab lab;

    (void)state;
    h1_lab_open(&lab, H1_HANDLER(hello));
    lab.opt.max_requests_per_connection = 2;
    assert_int_equal(talk(&lab, "GET / HTTP/1.1\r\nHost: a\r\n\r\n"), SHS_WAIT_READ);
    assert_int_equal(talk(&lab, "GET / HTTP/1.1\r\nHost: a\r\n\r\n"), SHS_OK);
    assert_int_equal(h1_count(&lab, "Connection: close"), 1);
    h1_lab_close(&lab);
    h1_lab_open(&lab, H1_HANDLER(hello));
    lab.stopping = true;
    assert_int_equal(talk(&lab, "GET / HTTP/1.1\r\nHost: a\r\n\r\n"), SHS_OK);
    assert_int_equal(h1_count(&lab, "Connection: close"), 0); /* stopping: not even begun */
    h1_lab_close(&lab);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_get),
        cmocka_unit_test(test_a_slow_reader_costs_a_piece),
        cmocka_unit_test(test_keep_alive_and_pipelining),
        cmocka_unit_test(test_more_behind_a_short_head),
        cmocka_unit_test(test_byte_by_byte_and_small_writes),
        cmocka_unit_test(test_head_and_bodiless_answers),
        cmocka_unit_test(test_http_10_closes),
        cmocka_unit_test(test_an_end_that_is_none),
        cmocka_unit_test(test_continue),
        cmocka_unit_test(test_unread_bodies),
        cmocka_unit_test(test_long_body_is_pulled),
        cmocka_unit_test(test_streamed_answer),
        cmocka_unit_test(test_broken_answers_are_cut),
        cmocka_unit_test(test_handler_failures),
        cmocka_unit_test(test_header_rules),
        cmocka_unit_test(test_send_error_replaces),
        cmocka_unit_test(test_file),
        cmocka_unit_test(test_a_long_file_lets_others_have_their_turn),
        cmocka_unit_test(test_refusals),
        cmocka_unit_test(test_limits),
        cmocka_unit_test(test_the_clock_is_asked_once),
        cmocka_unit_test(test_deadlines),
        cmocka_unit_test(test_the_clock_is_not_the_last_word),
        cmocka_unit_test(test_an_empty_line_begins_nothing),
        cmocka_unit_test(test_slow_reader_of_a_stream),
        cmocka_unit_test(test_client_goes_away),
        cmocka_unit_test(test_ages),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
