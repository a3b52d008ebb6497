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

#include "http/h1.h"

/* -- an owner that is no server ---------------------------------------------------------------- */

struct owner {
    struct shs_h1_config config;
    struct shs_options opt;
    struct shs_h1 h1;
    struct shs_stream *server, *client;
    int64_t deadline_ns;
    bool idle, stopping;
    const struct shs_http_handler *handler;
    unsigned calls, logged;
    int last_status, fail_code;
    uint64_t last_bytes;
    char fail_text[200];
    char last_error[200];
    struct shs_buf got; /* what the client has received */
    /* A slow reader: what it takes at the first wait for it, and at each one after; 0: not slow. */
    size_t gulp, sip;
    int64_t longest_wait_ns;
    bool others;    /* they want their turn */
    unsigned turns; /* and had it so often */
};

/* A handler that waits for its client: the client of these tests reads all that there is. */
static int receive(struct owner *o);

/* The time of this wait passes, and then a little is taken. */
static int wait_for_slow_reader(struct owner *o, int64_t deadline_ns)
{
    int64_t wait_ns = deadline_ns - shs_now_ns();
    char buf[4096];

    if (wait_ns > o->longest_wait_ns)
        o->longest_wait_ns = wait_ns;
    if (wait_ns > 0)
        nanosleep(&(struct timespec){wait_ns / 1000000000, wait_ns % 1000000000}, NULL);
    for (size_t left = o->gulp > 0 ? o->gulp : o->sip; left > 0;) {
        size_t got = 0;

        if (shs__stream_read(o->client, buf, left < sizeof buf ? left : sizeof buf, &got) != SHS_OK)
            break;
        left -= got;
    }
    o->gulp = 0;
    return SHS_TIMEOUT;
}

static int owner_wait(void *owner, int what, int64_t deadline_ns)
{
    struct owner *o = owner;

    if (what == SHS_WAIT_WRITE && o->sip > 0)
        return wait_for_slow_reader(o, deadline_ns);

    if (what == SHS_WAIT_WRITE && receive(o) > 0)
        return SHS_OK;
    return shs_now_ns() >= deadline_ns || o->stopping ? SHS_STOPPED : SHS_TIMEOUT;
}
static void owner_set_deadline(void *owner, int64_t deadline_ns)
{
    ((struct owner *)owner)->deadline_ns = deadline_ns;
}
static int64_t owner_deadline(void *owner)
{
    return ((struct owner *)owner)->deadline_ns;
}
static void owner_set_idle(void *owner, bool idle)
{
    ((struct owner *)owner)->idle = idle;
}
static bool owner_stopping(void *owner)
{
    return ((struct owner *)owner)->stopping;
}
static bool owner_turn_over(void *owner)
{
    struct owner *o = owner;

    o->turns += o->others;
    return o->others;
}
static int owner_dispatch(void *owner, struct shs_exchange *x)
{
    struct owner *o = owner;
    shs_method_fn *method = shs__handler_method(o->handler, x->req.head.method);

    x->handler = o->handler;
    o->calls++;
    return method == NULL ? shs_send_error(&x->res, 501, NULL) : method(&x->req, &x->res);
}
static void owner_log(void *owner, const struct shs_access *access)
{
    struct owner *o = owner;

    o->logged++;
    o->last_status = access->status;
    o->last_bytes = access->body_bytes;
    snprintf(o->last_error, sizeof o->last_error, "%s", access->error == NULL ? "" : access->error);
}
static int owner_fail(void *owner, int code, bool stream, const char *text)
{
    struct owner *o = owner;

    (void)stream;
    o->fail_code = code;
    snprintf(o->fail_text, sizeof o->fail_text, "%s", text == NULL ? "" : text);
    return code;
}

static const struct shs_h1_host host = {
    .wait = owner_wait,
    .set_deadline = owner_set_deadline,
    .deadline = owner_deadline,
    .set_idle = owner_set_idle,
    .stopping = owner_stopping,
    .turn_over = owner_turn_over,
    .dispatch = owner_dispatch,
    .log = owner_log,
    .fail = owner_fail,
};

static int receive(struct owner *o)
{
    char buf[4096];
    size_t got = 0;
    int total = 0;

    while (shs__stream_read(o->client, buf, sizeof buf, &got) == SHS_OK) {
        assert_int_equal(shs__buf_append(&o->got, buf, got), SHS_OK);
        total += (int)got;
    }
    return total;
}

static void open_owner(struct owner *o, const struct shs_http_handler *handler, size_t chunk)
{
    memset(o, 0, sizeof *o);
    shs_options_init(&o->opt);
    o->handler = handler;
    shs__buf_init(&o->got, (size_t)64 << 20);
    assert_int_equal(shs__memory_stream_pair(&o->server, &o->client, (size_t)1 << 20, chunk),
                     SHS_OK);
    shs__h1_config_init(&o->config, &o->opt, &host);
    shs__h1_init(&o->h1, &o->config, o->server, o);
}

static void close_owner(struct owner *o)
{
    shs__h1_free(&o->h1);
    o->server->cls->free(o->server);
    o->client->cls->free(o->client);
    shs__buf_free(&o->got);
}

static void send_bytes(struct owner *o, const char *bytes, size_t len)
{
    while (len > 0) {
        size_t put = 0;

        assert_int_equal(shs__stream_write(o->client, bytes, len, &put), SHS_OK);
        bytes += put;
        len -= put;
    }
}

/* Steps until it waits for more, or is over; the client reads all the while. */
static int run(struct owner *o)
{
    for (int i = 0; i < 100000; i++) {
        int rc = shs__h1_step(&o->h1);
        int got = receive(o);

        if (rc <= 0)
            return rc;
        if (rc == SHS_WAIT_READ && got == 0)
            return rc;
    }
    fail_msg("the machine does not come to rest");
    return 0;
}

static const char *text_of(struct owner *o)
{
    assert_int_equal(shs__buf_append(&o->got, "", 1), SHS_OK);
    o->got.len--;
    return shs__buf_head(&o->got);
}

static int talk(struct owner *o, const char *request)
{
    send_bytes(o, request, strlen(request));
    return run(o);
}

static void assert_has(struct owner *o, const char *part)
{
    if (strstr(text_of(o), part) == NULL)
        fail_msg("\"%s\" is not in:\n%s", part, text_of(o));
}

static void assert_has_not(struct owner *o, const char *part)
{
    if (strstr(text_of(o), part) != NULL)
        fail_msg("\"%s\" is in:\n%s", part, text_of(o));
}

static unsigned count(struct owner *o, const char *part)
{
    unsigned n = 0;

    for (const char *p = text_of(o); (p = strstr(p, part)) != NULL; p++)
        n++;
    return n;
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

#define GET(fn) (&(const struct shs_http_handler){.name = "t", .do_GET = (fn), .do_POST = (fn)})

/* -- tests ------------------------------------------------------------------------------------- */

static void test_get(void **state)
{
    struct owner o;

    (void)state;
    open_owner(&o, GET(hello), 0);
    assert_int_equal(talk(&o, "GET / HTTP/1.1\r\nHost: a\r\n\r\n"), SHS_WAIT_READ);
    assert_has(&o, "HTTP/1.1 200 OK\r\n");
    assert_has(&o, "\r\nServer: shs/");
    assert_has(&o, "\r\nDate: ");
    assert_has(&o, "\r\nContent-Length: 13\r\n");
    assert_has(&o, "\r\n\r\nHello, world\n");
    assert_has_not(&o, "Connection: close");
    assert_int_equal(o.last_status, 200);
    assert_int_equal(o.last_bytes, 13);
    assert_true(o.idle);
    /* Idle: every buffer is given back. */
    assert_null(o.h1.in.data);
    assert_null(o.h1.out.data);
    assert_null(o.h1.xchg);
    close_owner(&o);
}

static void test_keep_alive_and_pipelining(void **state)
{
    struct owner o;

    (void)state;
    open_owner(&o, GET(hello), 0);
    assert_int_equal(talk(&o, "GET /1 HTTP/1.1\r\nHost: a\r\n\r\n"
                              "GET /2 HTTP/1.1\r\nHost: a\r\n\r\n"
                              "GET /3 HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n"
                              "GET /4 HTTP/1.1\r\nHost: a\r\n\r\n"),
                     SHS_OK);
    assert_int_equal(o.calls, 3);
    assert_int_equal(count(&o, "Hello, world\n"), 3);
    assert_int_equal(count(&o, "Connection: close\r\n"), 1);
    close_owner(&o);
}

static void test_byte_by_byte_and_small_writes(void **state)
{
    static const char request[] = "POST /e HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhello"
                                  "POST /e HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n"
                                  "\r\n3;x=y\r\nabc\r\n2\r\nde\r\n0\r\nT: 1\r\n\r\n"
                                  "GET /e HTTP/1.1\r\nHost: a\r\n\r\n";
    struct owner o;

    (void)state;
    for (size_t chunk = 0; chunk < 4; chunk++) {
        open_owner(&o, GET(echo), chunk);
        for (size_t i = 0; i + 1 < sizeof request; i++) {
            send_bytes(&o, request + i, 1);
            assert_int_equal(run(&o), SHS_WAIT_READ);
        }
        assert_int_equal(o.calls, 3);
        assert_has(&o, "Content-Length: 5\r\n\r\nhelloHTTP/1.1 200");
        assert_has(&o, "Content-Length: 5\r\n\r\nabcdeHTTP/1.1 200");
        assert_has(&o, "Content-Length: 0\r\n\r\n");
        close_owner(&o);
    }
}

static void test_head_and_bodiless_answers(void **state)
{
    struct owner o;

    (void)state;
    open_owner(&o, GET(hello), 0);
    assert_int_equal(talk(&o, "HEAD / HTTP/1.1\r\nHost: a\r\n\r\n"), SHS_WAIT_READ);
    assert_has(&o, "Content-Length: 13\r\n");
    assert_has_not(&o, "Hello");
    assert_int_equal(o.last_bytes, 0);
    close_owner(&o);
    open_owner(&o, GET(no_content), 0);
    assert_int_equal(talk(&o, "GET / HTTP/1.1\r\nHost: a\r\n\r\n"), SHS_WAIT_READ);
    assert_has(&o, "204 No Content");
    assert_has_not(&o, "Content-Length");
    assert_has_not(&o, "nobody");
    close_owner(&o);
}

static void test_http_10_closes(void **state)
{
    struct owner o;

    (void)state;
    open_owner(&o, GET(hello), 0);
    assert_int_equal(talk(&o, "GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n"), SHS_OK);
    assert_has(&o, "HTTP/1.1 200 OK\r\n");
    assert_has(&o, "Connection: close\r\n");
    close_owner(&o);
    /* A long answer cannot be chunked for HTTP/1.0: its end is the connection's. */
    open_owner(&o, GET(streams), 0);
    assert_int_equal(talk(&o, "GET / HTTP/1.0\r\n\r\n"), SHS_OK);
    assert_has_not(&o, "chunked");
    assert_has_not(&o, "Content-Length");
    assert_true(o.got.len > 300000);
    close_owner(&o);
}

static void test_continue(void **state)
{
    struct owner o;

    (void)state;
    open_owner(&o, GET(echo), 0);
    assert_int_equal(talk(&o, "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n"
                              "Expect: 100-continue\r\n\r\n"),
                     SHS_WAIT_READ);
    assert_string_equal(text_of(&o), "HTTP/1.1 100 Continue\r\n\r\n");
    assert_int_equal(o.calls, 0);
    assert_int_equal(talk(&o, "hello"), SHS_WAIT_READ);
    assert_has(&o, "\r\n\r\nhello");
    close_owner(&o);
    /* A client that does not wait is not told to go on. */
    open_owner(&o, GET(echo), 0);
    assert_int_equal(talk(&o, "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n"
                              "Expect: 100-continue\r\n\r\nhello"),
                     SHS_WAIT_READ);
    assert_has_not(&o, "100 Continue");
    assert_has(&o, "\r\n\r\nhello");
    close_owner(&o);
    /* A handler that does not want a long body says so without having it sent. */
    open_owner(&o, GET(hello), 0);
    assert_int_equal(talk(&o, "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1000000\r\n"
                              "Expect: 100-continue\r\n\r\n"),
                     SHS_OK);
    assert_has_not(&o, "100 Continue");
    assert_has(&o, "Connection: close\r\n");
    close_owner(&o);
}

static void test_unread_bodies(void **state)
{
    struct owner o;
    char body[5000];

    (void)state;
    memset(body, 'x', sizeof body);
    open_owner(&o, GET(hello), 0);
    o.opt.max_buffered_body = 1000;
    send_bytes(&o, "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5000\r\n\r\n", 50);
    assert_int_equal(run(&o), SHS_WAIT_READ);
    send_bytes(&o, body, sizeof body);
    assert_int_equal(talk(&o, "GET / HTTP/1.1\r\nHost: a\r\n\r\n"), SHS_WAIT_READ);
    assert_int_equal(count(&o, "200 OK"), 2); /* drained: the second request was found */
    close_owner(&o);
    open_owner(&o, GET(hello), 0);
    assert_int_equal(talk(&o, "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5000000\r\n\r\n"),
                     SHS_OK);
    assert_has(&o, "Connection: close\r\n"); /* too much to throw away */
    close_owner(&o);
}

static void test_long_body_is_pulled(void **state)
{
    struct owner o;
    char *body = malloc(300000);

    (void)state;
    for (int i = 0; i < 300000; i++)
        body[i] = (char)('a' + i % 25);
    open_owner(&o, GET(echo), 0);
    send_bytes(&o, "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 300000\r\n\r\n", 52);
    send_bytes(&o, body, 300000);
    assert_int_equal(run(&o), SHS_WAIT_READ);
    assert_has(&o, "Transfer-Encoding: chunked\r\n");
    assert_true(o.got.len > 300000);
    assert_memory_equal(shs__buf_tail(&o.got) - 5, "0\r\n\r\n", 5);
    close_owner(&o);
    free(body);
}

static void test_streamed_answer(void **state)
{
    struct owner o;

    (void)state;
    open_owner(&o, GET(streams), 0);
    assert_int_equal(talk(&o, "GET / HTTP/1.1\r\nHost: a\r\n\r\n"), SHS_WAIT_READ);
    assert_has(&o, "Transfer-Encoding: chunked\r\n");
    assert_has_not(&o, "Content-Length");
    assert_memory_equal(shs__buf_tail(&o.got) - 7, "\r\n0\r\n\r\n", 7);
    assert_int_equal(o.last_bytes, 300000);
    close_owner(&o);
}

static void test_broken_answers_are_cut(void **state)
{
    struct owner o;

    (void)state;
    open_owner(&o, GET(stops_in_the_middle), 0);
    assert_int_equal(talk(&o, "GET / HTTP/1.1\r\nHost: a\r\n\r\n"), SHS_IO);
    assert_has_not(&o, "\r\n0\r\n\r\n"); /* the client can see that it is not whole */
    assert_int_equal(o.fail_code, SHS_IO);
    close_owner(&o);
    open_owner(&o, GET(short_file), 0);
    assert_int_equal(talk(&o, "GET / HTTP/1.1\r\nHost: a\r\n\r\n"), SHS_IO);
    assert_has(&o, "Content-Length: 100\r\n");
    close_owner(&o);
}

static void test_handler_failures(void **state)
{
    shs_method_fn *const bad[] = {fails, says_nothing, too_short};
    struct owner o;

    (void)state;
    for (size_t i = 0; i < SHS_ARRAY_LEN(bad); i++) {
        open_owner(&o, GET(bad[i]), 0);
        assert_int_equal(talk(&o, "GET / HTTP/1.1\r\nHost: a\r\n\r\n"), SHS_OK);
        assert_has(&o, "HTTP/1.1 500 Internal Server Error\r\n");
        assert_has(&o, "Connection: close\r\n");
        assert_int_not_equal(o.fail_code, SHS_OK);
        assert_true(o.last_error[0] != '\0');
        close_owner(&o);
    }
}

static void test_header_rules(void **state)
{
    struct owner o;

    (void)state;
    open_owner(&o, GET(checks_headers), 0);
    assert_int_equal(talk(&o, "GET / HTTP/1.1\r\nHost: a\r\n\r\n"), SHS_WAIT_READ);
    assert_has(&o, "HTTP/1.1 299 Fine\r\n");
    assert_int_equal(count(&o, "X-Many: v\r\n"), 100);
    close_owner(&o);
}

static void test_send_error_replaces(void **state)
{
    struct owner o;

    (void)state;
    open_owner(&o, GET(error_after_start), 0);
    assert_int_equal(talk(&o, "GET / HTTP/1.1\r\nHost: a\r\n\r\n"), SHS_OK);
    assert_has(&o, "HTTP/1.1 404 Not Found\r\n");
    assert_has(&o, "&lt;no such thing&gt;");
    assert_has_not(&o, "gone");
    assert_int_equal(count(&o, "Date:"), 1);
    assert_int_equal(count(&o, "Server:"), 1);
    close_owner(&o);
}

static void test_file(void **state)
{
    struct owner o;
    const char *body;

    (void)state;
    open_owner(&o, GET(large_file), 0);
    assert_int_equal(talk(&o, "GET / HTTP/1.1\r\nHost: a\r\n\r\n"), SHS_WAIT_READ);
    assert_has(&o, "Content-Length: 298900\r\n");
    body = strstr(text_of(&o), "\r\n\r\n") + 4;
    assert_int_equal(strlen(body), 298900);
    assert_int_equal(body[0], 'A');
    assert_int_equal(body[899], 'A');
    assert_int_equal(body[900], 'B');
    close_owner(&o);
    open_owner(&o, GET(large_file), 0);
    assert_int_equal(talk(&o, "HEAD / HTTP/1.1\r\nHost: a\r\n\r\n"), SHS_WAIT_READ);
    assert_has(&o, "Content-Length: 298900\r\n");
    assert_true(o.got.len < 500);
    close_owner(&o);
}

static void test_a_long_file_lets_others_have_their_turn(void **state)
{
    struct owner o;
    unsigned steps = 0;

    (void)state;
    open_owner(&o, GET(large_file), 0); /* the client has room for all of it: nothing to wait for */
    o.others = true;
    send_bytes(&o, "GET / HTTP/1.1\r\nHost: a\r\n\r\n", 27);
    while (shs__h1_step(&o.h1) == SHS_WAIT_WRITE)
        steps++;
    assert_in_range(steps, 3, 6); /* 298,900 bytes are four and a half of the pieces */
    assert_int_equal(o.turns, steps);
    receive(&o);
    assert_int_equal(strlen(strstr(text_of(&o), "\r\n\r\n") + 4), 298900);
    close_owner(&o);
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
    struct owner o;

    (void)state;
    for (size_t i = 0; i < SHS_ARRAY_LEN(cases); i++) {
        open_owner(&o, GET(hello), 0);
        assert_int_equal(talk(&o, cases[i].request), SHS_OK);
        assert_has(&o, cases[i].status);
        assert_has(&o, "Connection: close\r\n");
        assert_int_equal(count(&o, "\r\nDate: "), 1);
        assert_int_equal(o.logged, 1);
        close_owner(&o);
    }
}

static void test_limits(void **state)
{
    struct owner o;
    char *long_text = malloc(70000);

    (void)state;
    memset(long_text, 'a', 69999);
    long_text[69999] = '\0';
    open_owner(&o, GET(hello), 0);
    send_bytes(&o, "GET /", 5);
    assert_int_equal(talk(&o, long_text), SHS_OK);
    assert_has(&o, "HTTP/1.1 414 ");
    close_owner(&o);
    open_owner(&o, GET(hello), 0);
    send_bytes(&o, "GET / HTTP/1.1\r\nHost: a\r\nX: ", 28);
    assert_int_equal(talk(&o, long_text), SHS_OK);
    assert_has(&o, "HTTP/1.1 431 ");
    close_owner(&o);
    open_owner(&o, GET(hello), 0);
    send_bytes(&o, "GET / HTTP/1.1\r\nHost: a\r\n", 25);
    for (int i = 0; i < 100; i++)
        send_bytes(&o, "X: y\r\n", 6);
    assert_int_equal(talk(&o, "\r\n"), SHS_OK);
    assert_has(&o, "HTTP/1.1 431 ");
    assert_int_equal(o.calls, 0);
    close_owner(&o);
    /* Chunks beyond the limit, in a body that a handler pulls. */
    open_owner(&o, GET(echo), 0);
    o.config.limits.max_body_bytes = 10;
    assert_int_equal(talk(&o, "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n"
                              "b\r\nhello world\r\n0\r\n\r\n"),
                     SHS_OK);
    assert_has(&o, "HTTP/1.1 413 ");
    close_owner(&o);
    free(long_text);
}

static void test_deadlines(void **state)
{
    struct owner o;

    (void)state;
    /* Nothing came: nothing is said to the client, but the log has the cause. */
    open_owner(&o, GET(hello), 0);
    assert_int_equal(run(&o), SHS_WAIT_READ);
    o.deadline_ns = shs_now_ns() - 1;
    assert_int_equal(run(&o), SHS_TIMEOUT);
    assert_int_equal(o.got.len, 0);
    assert_int_equal(o.fail_code, SHS_TIMEOUT);
    assert_string_equal(o.fail_text, "the client sent no request in time");
    close_owner(&o);
    /* Half a head, then nothing: 408. */
    open_owner(&o, GET(hello), 0);
    assert_int_equal(talk(&o, "GET / HTTP/1.1\r\nHo"), SHS_WAIT_READ);
    o.deadline_ns = shs_now_ns() - 1;
    assert_int_equal(run(&o), SHS_OK);
    assert_has(&o, "HTTP/1.1 408 ");
    assert_int_equal(o.fail_code, SHS_TIMEOUT);
    close_owner(&o);
    /* Half a body. */
    open_owner(&o, GET(echo), 0);
    o.opt.body_ms = 0;
    assert_int_equal(talk(&o, "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nab"), SHS_OK);
    assert_has(&o, "HTTP/1.1 408 ");
    assert_int_equal(o.calls, 0);
    close_owner(&o);
    /* Half a body that a handler pulls. */
    open_owner(&o, GET(echo), 0);
    o.opt.max_buffered_body = 1;
    assert_int_equal(talk(&o, "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nab"), SHS_OK);
    assert_has(&o, "HTTP/1.1 408 ");
    close_owner(&o);
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

/* A handler that streams is held up by its reader for as long as min_rate is kept, not longer. */
static void test_slow_reader_of_a_stream(void **state)
{
    static const char request[] = "GET / HTTP/1.1\r\nHost: a\r\n\r\n";
    int64_t began, took;
    struct owner o;
    int rc;

    (void)state;
    /* Takes much at once, and then three bytes now and then: gone write_ms after it took much. */
    open_owner(&o, GET(streams_much), 0);
    o.opt.max_buffered_response = 1000;
    o.opt.write_ms = 1000;
    o.opt.min_rate = 1000;
    o.gulp = 5000;
    o.sip = 3;
    send_bytes(&o, request, sizeof request - 1);
    began = shs_now_ns();
    assert_int_equal(shs__h1_step(&o.h1), SHS_TIMEOUT);
    took = shs_now_ns() - began;
    assert_true(took >= 1000 * SHS_NS_PER_MS && took < 1700 * SHS_NS_PER_MS);
    assert_true(o.longest_wait_ns <= 500 * SHS_NS_PER_MS);
    close_owner(&o);
    /* Slow, and fast enough: it gets everything, long after the first deadline. */
    open_owner(&o, GET(streams_much), 0);
    o.opt.max_buffered_response = 1000;
    o.opt.write_ms = 600;
    o.opt.min_rate = 1000;
    o.sip = 20000;
    send_bytes(&o, request, sizeof request - 1);
    began = shs_now_ns();
    do {
        rc = shs__h1_step(&o.h1);
        receive(&o);
    } while (rc == SHS_WAIT_WRITE);
    assert_int_equal(rc, SHS_WAIT_READ);
    assert_int_equal(o.last_bytes, 160 * 8192);
    assert_true(shs_now_ns() - began > 600 * SHS_NS_PER_MS);
    close_owner(&o);
}

static void test_client_goes_away(void **state)
{
    struct owner o;

    (void)state;
    open_owner(&o, GET(hello), 0);
    assert_int_equal(talk(&o, "GET / HTTP/1.1\r\nHo"), SHS_WAIT_READ);
    shs__stream_shutdown(o.client);
    assert_int_equal(run(&o), SHS_CLOSED);
    assert_int_equal(o.calls, 0);
    close_owner(&o);
    open_owner(&o, GET(echo), 0);
    assert_int_equal(talk(&o, "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nab"),
                     SHS_WAIT_READ);
    shs__stream_shutdown(o.client);
    assert_int_equal(run(&o), SHS_CLOSED); /* half a body is never handed to a handler */
    assert_int_equal(o.calls, 0);
    close_owner(&o);
    open_owner(&o, GET(hello), 0);
    shs__memory_stream_fail(o.server, 'w', EIO);
    assert_int_equal(talk(&o, "GET / HTTP/1.1\r\nHost: a\r\n\r\n"), SHS_IO);
    close_owner(&o);
}

static void test_ages(void **state)
{
    struct owner o;

    (void)state;
    open_owner(&o, GET(hello), 0);
    o.opt.max_requests_per_connection = 2;
    assert_int_equal(talk(&o, "GET / HTTP/1.1\r\nHost: a\r\n\r\n"), SHS_WAIT_READ);
    assert_int_equal(talk(&o, "GET / HTTP/1.1\r\nHost: a\r\n\r\n"), SHS_OK);
    assert_int_equal(count(&o, "Connection: close"), 1);
    close_owner(&o);
    open_owner(&o, GET(hello), 0);
    o.stopping = true;
    assert_int_equal(talk(&o, "GET / HTTP/1.1\r\nHost: a\r\n\r\n"), SHS_OK);
    assert_int_equal(count(&o, "Connection: close"), 0); /* stopping: not even begun */
    close_owner(&o);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_get),
        cmocka_unit_test(test_keep_alive_and_pipelining),
        cmocka_unit_test(test_byte_by_byte_and_small_writes),
        cmocka_unit_test(test_head_and_bodiless_answers),
        cmocka_unit_test(test_http_10_closes),
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
        cmocka_unit_test(test_deadlines),
        cmocka_unit_test(test_slow_reader_of_a_stream),
        cmocka_unit_test(test_client_goes_away),
        cmocka_unit_test(test_ages),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
