/* test_answers.c - interim answers, trailers, server-sent events, OPTIONS and Allow. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>

#include <shs/sse.h>

#include "h1_expect.h"

static struct h1_lab lab;

static void talk(const struct shs_http_handler *handler, const char *request)
{
    h1_lab_open(&lab, handler);
    h1_lab_talk(&lab, request, strlen(request));
}

#define GET "GET / HTTP/1.1\r\nHost: a\r\n\r\n"
#define GET10 "GET / HTTP/1.0\r\n\r\n"

/* -- 1xx --------------------------------------------------------------------------------------- */

static int hints(struct shs_request *req, struct shs_response *res)
{
    static const char *const links[] = {"Link", "</a.css>; rel=preload", "Link", "</b.js>", NULL};
    static const char *const bad[][3] = {
        {"Li nk", "x", NULL},          {"Link", "a\r\nb", NULL},      {"Link", NULL, NULL},
        {"Content-Length", "1", NULL}, {"connection", "close", NULL}, {"", "x", NULL},
    };
    const char *many[2 * 33 + 1];

    (void)req;
    for (size_t i = 0; i < SHS_ARRAY_LEN(bad); i++)
        assert_int_equal(shs_send_interim(res, 103, bad[i]), SHS_USAGE);
    assert_int_equal(shs_send_interim(res, 100, NULL), SHS_USAGE);
    assert_int_equal(shs_send_interim(res, 101, NULL), SHS_USAGE);
    assert_int_equal(shs_send_interim(res, 200, NULL), SHS_USAGE);
    for (size_t i = 0; i < 66; i++)
        many[i] = "x";
    many[66] = NULL;
    assert_int_equal(shs_send_interim(res, 103, many), SHS_LIMIT);
    SHS_RETURN_IF_ERROR(shs_send_interim(res, 103, links));
    SHS_RETURN_IF_ERROR(shs_send_response(res, 200));
    SHS_RETURN_IF_ERROR(shs_send_interim(res, 102, NULL)); /* nothing of the 200 has left yet */
    SHS_RETURN_IF_ERROR(shs_write(res, "done", 4));
    SHS_RETURN_IF_ERROR(shs_flush(res));
    assert_int_equal(shs_send_interim(res, 103, links), SHS_USAGE);
    return SHS_OK;
}

static void test_interim(void **state)
{
    static const char interim[] = "HTTP/1.1 103 Early Hints\r\nLink: </a.css>; rel=preload\r\n"
                                  "Link: </b.js>\r\n\r\nHTTP/1.1 102 Processing\r\n\r\n"
                                  "HTTP/1.1 200 OK\r\n";

    (void)state;
    talk(H1_HANDLER(hints), GET);
    assert_memory_equal(h1_lab_text(&lab), interim, sizeof interim - 1);
    h1_has(&lab, "\r\n4\r\ndone\r\n0\r\n\r\n");
    h1_lab_close(&lab);
    talk(H1_HANDLER(hints), GET10); /* which has no interim answers */
    h1_has_not(&lab, "103");
    h1_has_not(&lab, "102");
    h1_has(&lab, "\r\n\r\ndone");
    h1_lab_close(&lab);
}

/* -- trailers ---------------------------------------------------------------------------------- */

static int trails(struct shs_request *req, struct shs_response *res)
{
    assert_int_equal(shs_send_trailer(res, "X", "y"), SHS_USAGE); /* too early */
    SHS_RETURN_IF_ERROR(shs_send_response(res, 200));
    SHS_RETURN_IF_ERROR(shs_write(res, "body", 4));
    if (shs_request_query(req).ptr != NULL)
        SHS_RETURN_IF_ERROR(shs_flush(res));
    SHS_RETURN_IF_ERROR(shs_send_trailer(res, "X-Digest", "abc"));
    SHS_RETURN_IF_ERROR(shs_send_trailer(res, "X-Digest", "def"));
    assert_int_equal(shs_send_trailer(res, "X", "a\nb"), SHS_USAGE);
    assert_int_equal(shs_send_trailer(res, "Content-Length", "1"), SHS_USAGE);
    assert_int_equal(shs_send_trailer(res, "set-cookie", "a=b"), SHS_USAGE);
    return SHS_OK;
}

static int trails_too_much(struct shs_request *req, struct shs_response *res)
{
    (void)req;
    SHS_RETURN_IF_ERROR(shs_send_response(res, 200));
    for (int i = 0; i < 16; i++)
        SHS_RETURN_IF_ERROR(shs_send_trailer(res, "X", "y"));
    assert_int_equal(shs_send_trailer(res, "X", "y"), SHS_LIMIT);
    return shs_send_error(res, 418, NULL); /* takes all of it back */
}

static int trails_with_length(struct shs_request *req, struct shs_response *res)
{
    (void)req;
    SHS_RETURN_IF_ERROR(shs_send_response(res, 200));
    SHS_RETURN_IF_ERROR(shs_send_header(res, "Content-Length", "4"));
    assert_int_equal(shs_send_trailer(res, "X", "y"), SHS_USAGE);
    return shs_write(res, "body", 4);
}

static void test_trailers(void **state)
{
    (void)state;
    talk(H1_HANDLER(trails), GET "GET /?flush HTTP/1.1\r\nHost: a\r\n\r\n" GET);
    h1_has(&lab, "Transfer-Encoding: chunked\r\n\r\n4\r\nbody\r\n0\r\nX-Digest: abc\r\nX-Digest: "
                 "def\r\n\r\n");
    h1_has_not(&lab, "Content-Length");
    assert_int_equal(lab.calls, 3); /* the connection goes on */
    h1_lab_close(&lab);
    talk(H1_HANDLER(trails), "HEAD / HTTP/1.1\r\nHost: a\r\n\r\n" GET);
    h1_has(&lab, "Content-Length: 4\r\n\r\nHTTP/1.1 200");
    h1_lab_close(&lab);
    talk(H1_HANDLER(trails), GET10);
    h1_has_not(&lab, "X-Digest");
    h1_has_not(&lab, "chunked");
    h1_has(&lab, "\r\n\r\nbody");
    h1_lab_close(&lab);
    talk(H1_HANDLER(trails_too_much), GET);
    h1_has(&lab, "HTTP/1.1 418 ");
    h1_has_not(&lab, "X: y");
    h1_has(&lab, "Content-Length: ");
    h1_lab_close(&lab);
    talk(H1_HANDLER(trails_with_length), GET);
    h1_has(&lab, "Content-Length: 4\r\n\r\nbody");
    h1_lab_close(&lab);
}

/* -- server-sent events ------------------------------------------------------------------------ */

static int ending; /* what the wait of `events` said */
static unsigned waits;

static int events(struct shs_request *req, struct shs_response *res)
{
    (void)req;
    assert_int_equal(shs_sse_send(res, NULL, NULL, "x"), SHS_USAGE); /* before the start */
    assert_int_equal(shs_sse_comment(res, "x"), SHS_USAGE);
    assert_int_equal(shs_sse_retry(res, 1), SHS_USAGE);
    assert_int_equal(shs_sse_wait(res, 1), SHS_USAGE);
    SHS_RETURN_IF_ERROR(shs_sse_start(res));
    SHS_RETURN_IF_ERROR(shs_sse_retry(res, 1500));
    SHS_RETURN_IF_ERROR(shs_sse_send(res, "tick", "7", "one\ntwo\r\nthree\rfour\n"));
    SHS_RETURN_IF_ERROR(shs_sse_send(res, NULL, "", ""));
    SHS_RETURN_IF_ERROR(shs_sse_send_str(res, NULL, NULL, (struct shs_str){"a: b", 4}));
    SHS_RETURN_IF_ERROR(shs_sse_comment(res, NULL));
    SHS_RETURN_IF_ERROR(shs_sse_comment(res, "still\nhere"));
    assert_int_equal(shs_sse_send(res, "a\nb", NULL, "x"), SHS_USAGE);
    assert_int_equal(shs_sse_send(res, NULL, "a\rb", "x"), SHS_USAGE);
    assert_int_equal(shs_sse_send(res, NULL, NULL, NULL), SHS_USAGE);
    for (waits = 0; waits < 5; waits++) {
        ending = shs_sse_wait(res, 2);
        if (ending != SHS_OK)
            break;
    }
    return shs_sse_end(res, ending);
}

static const char event_text[] = "retry: 1500\n\n"
                                 "event: tick\nid: 7\ndata: one\ndata: two\ndata: three\n"
                                 "data: four\ndata: \n\n"
                                 "id: \ndata: \n\n"
                                 "data: a: b\n\n"
                                 ": \n\n"
                                 ": still\n: here\n\n";

/* The content of a chunked body. */
static void unchunk(const char *p, char *out, size_t cap)
{
    size_t len = 0;

    p = strstr(p, "\r\n\r\n") + 4;
    for (;;) {
        char *end;
        size_t size = strtoul(p, &end, 16);

        assert_memory_equal(end, "\r\n", 2);
        if (size == 0)
            break;
        assert_true(len + size < cap);
        memcpy(out + len, end + 2, size);
        len += size;
        assert_memory_equal(end + 2 + size, "\r\n", 2);
        p = end + 2 + size + 2;
    }
    out[len] = '\0';
}

static void test_events(void **state)
{
    char text[1000];

    (void)state;
    talk(H1_HANDLER(events), GET GET); /* the second request waits, and is answered after */
    h1_has(&lab, "Content-Type: text/event-stream\r\n");
    h1_has(&lab, "Cache-Control: no-store\r\n");
    h1_has(&lab, "Transfer-Encoding: chunked\r\n");
    unchunk(h1_lab_text(&lab), text, sizeof text);
    assert_string_equal(text, event_text);
    assert_int_equal(ending, SHS_OK);
    assert_int_equal(waits, 5);
    assert_int_equal(lab.calls, 2);
    h1_lab_close(&lab);
    talk(H1_HANDLER(events), GET10); /* no chunks: as it is, to the end of the connection */
    h1_has(&lab, event_text);
    h1_has(&lab, "Connection: close\r\n");
    h1_lab_close(&lab);
    talk(H1_HANDLER(events), "HEAD / HTTP/1.1\r\nHost: a\r\n\r\n" GET);
    assert_int_equal(lab.calls, 2);
    h1_has(&lab, "text/event-stream");
    h1_lab_close(&lab);
    talk(H1_HANDLER(events), "HEAD / HTTP/1.1\r\nHost: a\r\n\r\n");
    h1_has_not(&lab, "data:");
    h1_has_not(&lab, "Content-Length");
    assert_int_equal(ending, SHS_CLOSED); /* nobody listens: at once */
    assert_int_equal(waits, 0);
    h1_lab_close(&lab);
}

static void test_events_end(void **state)
{
    const char *request = GET;

    (void)state;
    /* The client goes. */
    h1_lab_open(&lab, H1_HANDLER(events));
    lab.closes = true;
    h1_lab_talk(&lab, request, strlen(request));
    assert_int_equal(ending, SHS_CLOSED);
    assert_int_equal(lab.fail_code, SHS_CLOSED);
    h1_has_not(&lab, "\r\n0\r\n\r\n");
    h1_lab_close(&lab);
}

static int stops(struct shs_request *req, struct shs_response *res)
{
    (void)req;
    SHS_RETURN_IF_ERROR(shs_sse_start(res));
    SHS_RETURN_IF_ERROR(shs_sse_wait(res, 0));
    lab.stopping = true;
    lab.deaf = true; /* as a thread in poll(2): the wait has to look by itself */
    ending = shs_sse_wait(res, 1000);
    return shs_sse_end(res, ending);
}

static int waits_with_a_body(struct shs_request *req, struct shs_response *res)
{
    (void)req;
    SHS_RETURN_IF_ERROR(shs_sse_start(res));
    ending = shs_sse_wait(res, 0);
    return shs_sse_end(res, SHS_OK);
}

static int sends_too_much(struct shs_request *req, struct shs_response *res)
{
    char *data = malloc((1 << 20) + 1);

    (void)req;
    memset(data, 'x', (1 << 20) + 1);
    SHS_RETURN_IF_ERROR(shs_sse_start(res));
    ending = shs_sse_send_str(res, NULL, NULL, (struct shs_str){data, (1 << 20) + 1});
    free(data);
    return shs_sse_end(res, SHS_OK);
}

static void test_events_other_ends(void **state)
{
    static const char post[] = "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\nabc";

    (void)state;
    talk(H1_HANDLER(stops), GET);
    assert_int_equal(ending, SHS_STOPPED);
    h1_has(&lab, "\r\n\r\n0\r\n\r\n"); /* ended in good order */
    assert_int_equal(lab.fail_code, SHS_OK);
    h1_lab_close(&lab);
    h1_lab_open(&lab, H1_HANDLER(waits_with_a_body));
    lab.opt.max_buffered_body = 0;
    h1_lab_talk(&lab, post, sizeof post - 1);
    assert_int_equal(ending, SHS_USAGE);
    h1_lab_close(&lab);
    talk(H1_HANDLER(sends_too_much), GET);
    assert_int_equal(ending, SHS_LIMIT);
    h1_lab_close(&lab);
    assert_int_equal(shs_sse_end(NULL, SHS_TIMEOUT), SHS_TIMEOUT);
}

/* A client that sends more and more behind its request is not kept for ever. */
static void test_events_and_a_flood(void **state)
{
    char *request = malloc(100000);
    size_t len = strlen(GET);

    (void)state;
    memcpy(request, GET, len);
    memset(request + len, 'G', 100000 - len);
    h1_lab_open(&lab, H1_HANDLER(events));
    h1_lab_talk(&lab, request, 100000);
    assert_int_equal(ending, SHS_LIMIT);
    h1_lab_close(&lab);
    free(request);
}

/* -- OPTIONS and Allow ------------------------------------------------------------------------- */

static int says_path(struct shs_request *req, struct shs_response *res)
{
    struct shs_str path = shs_request_path(req), host = shs_request_host(req);

    SHS_RETURN_IF_ERROR(shs_send_response(res, 200));
    SHS_RETURN_IF_ERROR(shs_write(res, path.ptr, path.len));
    SHS_RETURN_IF_ERROR(shs_write(res, " at ", 4));
    return shs_write(res, host.ptr, host.len);
}

static void test_options(void **state)
{
    static const struct shs_http_handler get = {.name = "t", .do_GET = says_path};
    static const struct shs_http_handler all = {.name = "t", .do_any = says_path};
    static const struct shs_http_handler own = {
        .name = "t", .do_OPTIONS = says_path, .do_POST = says_path, .do_DELETE = says_path};

    (void)state;
    talk(&get, "OPTIONS * HTTP/1.1\r\nHost: a\r\n\r\nOPTIONS /x HTTP/1.1\r\nHost: a\r\n\r\n" GET);
    h1_has(&lab, "HTTP/1.1 204 No Content\r\n");
    h1_has(&lab, "\r\nAllow: GET, HEAD, OPTIONS\r\n\r\nHTTP/1.1 204");
    h1_has_not(&lab, "Content-Length: 0");
    h1_has(&lab, "/ at a"); /* the connection went on */
    h1_lab_close(&lab);
    talk(&get, "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n");
    h1_has(&lab, "HTTP/1.1 501 Not Implemented\r\n");
    h1_has(&lab, "\r\nAllow: GET, HEAD, OPTIONS\r\n");
    h1_has(&lab, "Connection: close\r\n");
    h1_lab_close(&lab);
    talk(&own, "BREW / HTTP/1.1\r\nHost: a\r\n\r\n");
    h1_has(&lab, "HTTP/1.1 501 ");
    h1_has(&lab, "\r\nAllow: POST, DELETE, OPTIONS\r\n");
    h1_lab_close(&lab);
    talk(&own, "OPTIONS * HTTP/1.1\r\nHost: a\r\n\r\n");
    h1_has(&lab, "\r\n\r\n* at a");
    h1_lab_close(&lab);
    talk(&all, "BREW http://h.example:81/p//q?x HTTP/1.1\r\nHost: a\r\n\r\n"
               "OPTIONS http://h.example HTTP/1.1\r\nHost: a\r\n\r\n"
               "GET http://h.example HTTP/1.1\r\nHost: a\r\n\r\n");
    h1_has(&lab, "/p//q at h.example:81");
    h1_has(&lab, "* at h.example");
    h1_has(&lab, "/ at h.example");
    h1_lab_close(&lab);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_interim),
        cmocka_unit_test(test_trailers),
        cmocka_unit_test(test_events),
        cmocka_unit_test(test_events_end),
        cmocka_unit_test(test_events_other_ends),
        cmocka_unit_test(test_events_and_a_flood),
        cmocka_unit_test(test_options),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
