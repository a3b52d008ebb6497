/* test_h1_edges.c - what the HTTP/1.1 machine tells its owner and its stream, and when. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "h1_expect.h"
#include "http/h1_exchange.h"

#define GET "GET / HTTP/1.1\r\nHost: a\r\n\r\n"

/* An owner, and a stream, that write down what they are told. */
static struct edge {
    struct h1_lab lab;
    struct shs_h1_host host;
    struct shs_stream_class stream;
    unsigned refused, answered, idled, lingers_not, unread_logs, flushed, ended;
    int entered; /* what was entered and not left yet */
    unsigned entries;
    int wake_fd, wakes;
    unsigned reads;
    int read_rc;                          /* not SHS_OK: what every read answers */
    const struct shs_stream_class *below; /* what the stream is else */
    bool draining, pending, nobody_reads;
    int64_t there_ns;
    char note[80], error[80]; /* of the log's last line; empty: none */
} edge;

static void edge_refused(void *owner, struct shs_exchange *x)
{
    assert_ptr_equal(owner, &edge.lab);
    assert_non_null(x->req.head.path.ptr);
    edge.refused++;
}

static void edge_answered(void *owner)
{
    (void)owner;
    edge.answered++;
}

static void edge_needs_no_linger(void *owner)
{
    (void)owner;
    edge.lingers_not++;
}

static void edge_enter_body(void *owner, const struct shs_exchange *x)
{
    (void)owner;
    (void)x;
    edge.entered++;
    edge.entries++;
}

static void edge_leave_body(void *owner)
{
    (void)owner;
    edge.entered--;
}

static void edge_set_wake(void *owner, int fd)
{
    (void)owner;
    edge.wake_fd = fd;
    edge.wakes++;
}

static bool edge_draining(void *owner)
{
    (void)owner;
    return edge.draining;
}

static bool edge_log_is_read(void *owner)
{
    (void)owner;
    return !edge.nobody_reads;
}

static void edge_log(void *owner, const struct shs_access *access)
{
    (void)owner;
    edge.unread_logs += access == NULL;
    edge.lab.logged++;
    if (access == NULL)
        return;
    edge.lab.last_status = access->status;
    snprintf(edge.error, sizeof edge.error, "%s", access->error == NULL ? "" : access->error);
}

static int64_t edge_there_since(void *owner)
{
    (void)owner;
    return edge.there_ns;
}

static void edge_identify(void *owner, uint64_t numbers[2])
{
    (void)owner;
    numbers[0] = 0xabc;
    numbers[1] = 7;
}

static void edge_note(void *owner, const char *text)
{
    (void)owner;
    snprintf(edge.note, sizeof edge.note, "%s", text);
}

static int edge_read(struct shs_stream *self, void *buf, size_t cap, size_t *got)
{
    edge.reads++;
    return edge.read_rc != SHS_OK ? edge.read_rc : edge.below->read(self, buf, cap, got);
}

static int edge_flush(struct shs_stream *self)
{
    (void)self;
    edge.flushed++;
    return SHS_OK;
}

static void edge_idle(struct shs_stream *self)
{
    (void)self;
    edge.idled++;
}

static bool edge_pending(const struct shs_stream *self)
{
    (void)self;
    return edge.pending;
}

static void open_edge(const struct shs_http_handler *handler)
{
    memset(&edge, 0, sizeof edge);
    h1_lab_open(&edge.lab, handler);
    edge.host = *edge.lab.config.host;
    edge.host.refused = edge_refused;
    edge.host.answered = edge_answered;
    edge.host.needs_no_linger = edge_needs_no_linger;
    edge.host.enter_body = edge_enter_body;
    edge.host.leave_body = edge_leave_body;
    edge.host.set_wake = edge_set_wake;
    edge.host.draining = edge_draining;
    edge.host.log_is_read = edge_log_is_read;
    edge.host.log = edge_log;
    edge.host.there_since = edge_there_since;
    edge.host.identify = edge_identify;
    edge.host.note = edge_note;
    edge.lab.config.host = &edge.host;
    edge.stream = *edge.lab.server->cls;
    edge.below = edge.lab.server->cls;
    edge.stream.read = edge_read;
    edge.stream.flush = edge_flush;
    edge.stream.idle = edge_idle;
    edge.stream.pending = edge_pending;
    edge.lab.server->cls = &edge.stream;
}

static void close_edge(void)
{
    h1_lab_close(&edge.lab);
}

static int talk(const char *text)
{
    return h1_lab_talk(&edge.lab, text, strlen(text));
}

/* The same in one step, and all of it there before. */
static int step_once(const char *text)
{
    size_t len = strlen(text), put = 0;

    if (len > 0)
        assert_int_equal(shs__stream_write(edge.lab.client, text, len, &put), SHS_OK);
    assert_int_equal(put, len);
    return shs__h1_step(&edge.lab.h1);
}

/* The stream has room for so many bytes. */
static void narrow_edge(const struct shs_http_handler *handler, size_t room)
{
    open_edge(handler);
    edge.lab.server->cls = edge.below;
    edge.lab.server->cls->free(edge.lab.server);
    edge.lab.client->cls->free(edge.lab.client);
    assert_int_equal(shs__memory_stream_pair(&edge.lab.server, &edge.lab.client, room, 0), SHS_OK);
    edge.lab.h1.stream = edge.lab.server;
}

static void reads(size_t len)
{
    char buf[4096];

    while (len > 0) {
        size_t got = 0;

        assert_int_equal(
            shs__stream_read(edge.lab.client, buf, len < sizeof buf ? len : sizeof buf, &got),
            SHS_OK);
        len -= got;
    }
}

/* The wait that the machine asks for has so many milliseconds, or a little less. */
static void assert_has_ms(int64_t deadline_ns, unsigned ms)
{
    int64_t left = deadline_ns - shs_now_ns(), whole = (int64_t)ms * SHS_NS_PER_MS;

    if (left > whole || left < whole - 60 * (int64_t)SHS_NS_PER_S)
        fail_msg("%lld ms are left, not %u", (long long)(left / SHS_NS_PER_MS), ms);
}

/* -- handlers ---------------------------------------------------------------------------------- */

static int hello(struct shs_request *req, struct shs_response *res)
{
    (void)req;
    SHS_RETURN_IF_ERROR(shs_send_response(res, 200));
    return shs_write(res, "Hello, world\n", 13);
}

static int64_t handlers_deadline_ns; /* that the connection has while a handler runs */

static int looks_at_the_clock(struct shs_request *req, struct shs_response *res)
{
    handlers_deadline_ns = edge.lab.deadline_ns;
    return hello(req, res);
}

static int says_its_id(struct shs_request *req, struct shs_response *res)
{
    struct shs_str id = shs_request_id(req);

    SHS_RETURN_IF_ERROR(shs_send_response(res, 200));
    return shs_write(res, id.ptr, id.len);
}

static int sink_write(void *ctx, const void *buf, size_t len)
{
    (void)ctx;
    (void)buf;
    (void)len;
    assert_int_equal(edge.entered, 1);
    return SHS_OK;
}

static int sink_done(void *ctx, struct shs_request *req, struct shs_response *res, int rc)
{
    (void)ctx;
    assert_int_equal(edge.entered, 0);
    return rc == SHS_OK ? hello(req, res) : rc;
}

static int to_sink(struct shs_request *req, struct shs_response *res)
{
    static const struct shs_sink sink = {.write = sink_write, .done = sink_done};

    (void)res;
    return shs_request_sink(req, &sink, NULL);
}

static int source_read(void *ctx, void *buf, size_t cap, size_t *got)
{
    int *left = ctx;

    assert_int_equal(edge.entered, 1);
    *got = 0;
    if (*left == 0)
        return SHS_OK;
    (*left)--;
    assert_true(cap >= 4);
    memcpy(buf, "abcd", 4);
    *got = 4;
    return SHS_OK;
}

static void source_free(void *ctx)
{
    (void)ctx;
}

static int pieces;

static int from_source(struct shs_request *req, struct shs_response *res)
{
    static const struct shs_source source = {.read = source_read, .free = source_free};

    (void)req;
    pieces = 3;
    SHS_RETURN_IF_ERROR(shs_send_response(res, 200));
    return shs_send_source(res, &source, &pieces);
}

static int fails(struct shs_request *req, struct shs_response *res)
{
    (void)req;
    (void)res;
    return SHS_IO;
}

static int result;

static int returns(struct shs_request *req, struct shs_response *res)
{
    (void)req;
    (void)res;
    return result;
}

/* What went wrong with the body is nothing that it passes on. */
static int fails_behind_its_body(struct shs_request *req, struct shs_response *res)
{
    char buf[100];
    size_t got = 0;
    int rc;

    (void)res;
    do {
        rc = shs_request_read(req, buf, sizeof buf, &got);
    } while (rc == SHS_OK && got > 0);
    return SHS_IO;
}

/* -- tests ------------------------------------------------------------------------------------- */

/* Each state has the time that is its own. */
static void test_each_state_has_its_time(void **state)
{
    (void)state;
    open_edge(H1_HANDLER(hello));
    assert_has_ms(edge.lab.deadline_ns, edge.lab.opt.head_ms);
    edge.lab.opt.head_ms = 200000; /* apart, so that one is not taken for another */
    edge.lab.opt.body_ms = 300000;
    edge.lab.opt.write_ms = 400000;
    edge.lab.opt.idle_ms = 500000;
    assert_int_equal(talk(GET), SHS_WAIT_READ);
    assert_true(edge.lab.idle);
    assert_has_ms(edge.lab.deadline_ns, 500000);
    assert_int_equal(talk("G"), SHS_WAIT_READ);
    assert_false(edge.lab.idle);
    assert_has_ms(edge.lab.deadline_ns, 200000);
    assert_int_equal(talk("ET / HT"), SHS_WAIT_READ);
    assert_has_ms(edge.lab.deadline_ns, 200000);
    /* A body that is buffered. */
    assert_int_equal(talk("TP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\na"), SHS_WAIT_READ);
    assert_has_ms(edge.lab.deadline_ns, 300000);
    assert_int_equal(talk("bc"), SHS_WAIT_READ);
    assert_has_ms(edge.lab.deadline_ns, 500000);
    assert_true(edge.lab.idle);
    /* One that is thrown away behind the answer. */
    edge.lab.opt.max_buffered_body = 1;
    assert_int_equal(talk("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\na"),
                     SHS_WAIT_READ);
    assert_int_equal(edge.lab.h1.state, SHS_H1_DRAIN);
    assert_has_ms(edge.lab.deadline_ns, 300000);
    assert_false(edge.lab.idle);
    assert_int_equal(talk("bc"), SHS_WAIT_READ);
    assert_has_ms(edge.lab.deadline_ns, 500000);
    assert_int_equal(edge.lab.calls, 3);
    close_edge();
    /* While the handler runs, where there is no body. */
    open_edge(H1_HANDLER(looks_at_the_clock));
    edge.lab.opt.body_ms = 300000;
    edge.lab.opt.write_ms = 400000;
    assert_int_equal(talk(GET), SHS_WAIT_READ);
    assert_has_ms(handlers_deadline_ns, 300000);
    close_edge();
    /* And while the answer goes out. */
    narrow_edge(H1_HANDLER(hello), 10);
    edge.lab.opt.write_ms = 400000;
    assert_int_equal(step_once("GET / HTT"), SHS_WAIT_READ);
    assert_int_equal(step_once("P/1.1\r\nHo"), SHS_WAIT_READ);
    assert_int_equal(step_once("st: a\r\n"), SHS_WAIT_READ);
    assert_int_equal(step_once("\r\n"), SHS_WAIT_WRITE);
    assert_int_equal(edge.lab.h1.state, SHS_H1_SEND);
    assert_true(edge.lab.deadline_ns <= shs_now_ns() + 500 * SHS_NS_PER_MS); /* it looks soon */
    assert_has_ms(edge.lab.h1.xchg->progress.deadline_ns, 400000);
    close_edge();
    /* And one that goes to a sink. */
    open_edge(H1_HANDLER(to_sink));
    edge.lab.opt.max_buffered_body = 1;
    edge.lab.opt.body_ms = 300000;
    assert_int_equal(talk("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\n"),
                     SHS_WAIT_READ);
    assert_int_equal(edge.lab.h1.state, SHS_H1_SINK);
    assert_has_ms(edge.lab.deadline_ns, 300000);
    close_edge();
}

/* Who sends fast enough has its time anew; in a body that is kept, and in one that nobody wants. */
static void test_bodies_that_make_progress(void **state)
{
    (void)state;
    for (int unwanted = 0; unwanted < 2; unwanted++) {
        int64_t before;

        open_edge(H1_HANDLER(hello));
        edge.lab.opt.body_ms = 600000;
        edge.lab.opt.min_rate = 1; /* 600 bytes buy as much again */
        edge.lab.opt.max_buffered_body = unwanted ? 0 : 9000;
        assert_int_equal(step_once("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 9000\r\n\r\n"),
                         SHS_WAIT_READ);
        assert_int_equal(edge.lab.h1.state, unwanted ? SHS_H1_DRAIN : SHS_H1_BODY);
        before = edge.lab.deadline_ns;
        usleep(30000);
        assert_int_equal(step_once(GET GET GET GET), SHS_WAIT_READ); /* 108 bytes */
        for (int i = 0; i < 6; i++)
            assert_int_equal(step_once(GET GET GET GET), SHS_WAIT_READ);
        assert_true(edge.lab.deadline_ns >= before + 30 * SHS_NS_PER_MS);
        close_edge();
    }
}

static int naps_and_sinks(struct shs_request *req, struct shs_response *res)
{
    usleep(30000);
    handlers_deadline_ns = edge.lab.deadline_ns;
    return to_sink(req, res);
}

/* The time of a body that goes to a sink begins when the handler has said so. */
static void test_time_of_a_sink(void **state)
{
    static const char *const parts[] = {"POST / HT", "TP/1.1\r\nH", "ost: a\r\n", "Content-L",
                                        "ength: 9",  "\r\nExpect",  ": 100-con",  "tinue\r\n"};

    (void)state;
    narrow_edge(H1_HANDLER(naps_and_sinks), 10);
    edge.lab.opt.max_buffered_body = 0;
    for (size_t i = 0; i < SHS_ARRAY_LEN(parts); i++)
        assert_int_equal(step_once(parts[i]), SHS_WAIT_READ);
    /* The client does not even read that it may go on. */
    assert_int_equal(step_once("\r\n"), SHS_WAIT_WRITE);
    assert_int_equal(edge.lab.h1.state, SHS_H1_SINK);
    assert_true(edge.lab.deadline_ns >= handlers_deadline_ns + 30 * SHS_NS_PER_MS);
    close_edge();
}

static void looks_on(void *ctx, const struct shs_access *access)
{
    unsigned *seen = ctx;

    assert_int_equal(access->status, 200);
    (*seen)++;
}

static unsigned seen;

static int is_looked_at(struct shs_request *req, struct shs_response *res)
{
    SHS_RETURN_IF_ERROR(shs_request_on_access(req, looks_on, &seen));
    return hello(req, res);
}

/* Who has asked to be told of a request is told, whether or not somebody reads the log. */
static void test_lookers_on(void **state)
{
    (void)state;
    for (int nobody = 0; nobody < 2; nobody++) {
        seen = 0;
        open_edge(H1_HANDLER(is_looked_at));
        edge.nobody_reads = nobody;
        assert_int_equal(talk(GET GET), SHS_WAIT_READ);
        assert_int_equal(seen, 2);
        assert_int_equal(edge.lab.logged, 2);
        assert_int_equal(edge.unread_logs, nobody ? 2 : 0);
        close_edge();
    }
}

static size_t cap_of_a_read; /* 0: it reads nothing */
static size_t got_at_once;

static int reads_once(struct shs_request *req, struct shs_response *res)
{
    static char buf[65536];

    got_at_once = 0;
    if (cap_of_a_read > 0)
        SHS_RETURN_IF_ERROR(shs_request_read(req, buf, cap_of_a_read, &got_at_once));
    return hello(req, res);
}

static const char *body_of_the_wait;

static int sends_the_body(struct h1_lab *lab, int what, int64_t deadline_ns)
{
    size_t len = strlen(body_of_the_wait), put = 0;

    (void)deadline_ns;
    if (what != SHS_WAIT_READ || len == 0)
        return SHS_TIMEOUT;
    assert_int_equal(shs__stream_write(lab->client, body_of_the_wait, len, &put), SHS_OK);
    body_of_the_wait += put;
    return SHS_OK;
}

#define CHUNKED "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n"

/* Who has room for much has it at once, past our buffer. */
static void test_reads_of_a_long_body(void **state)
{
    static const size_t caps[] = {4096, 65536};
    static char body[65537];

    (void)state;
    memset(body, 'b', sizeof body - 1);
    for (size_t i = 0; i < SHS_ARRAY_LEN(caps); i++) {
        cap_of_a_read = caps[i];
        open_edge(H1_HANDLER(reads_once));
        edge.lab.opt.max_buffered_body = 1;
        body_of_the_wait = body;
        edge.lab.wait = sends_the_body;
        (void)step_once("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 66000\r\n\r\n");
        assert_int_equal(edge.lab.calls, 1);
        assert_int_equal(got_at_once, caps[i]);
        close_edge();
    }
}

/* How much of a body may be thrown away for the next request's sake. */
static void test_what_is_thrown_away(void **state)
{
    static const struct {
        const char *request;
        bool keeps;
    } rows[] = {
        {"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 65536\r\n\r\n", true},
        {"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 65537\r\n\r\n", false},
        {CHUNKED "4\r\nabcd\r\n", false}, /* nobody knows how much there will be */
    };

    (void)state;
    cap_of_a_read = 0;
    for (size_t i = 0; i < SHS_ARRAY_LEN(rows); i++) {
        open_edge(H1_HANDLER(reads_once));
        edge.lab.opt.max_buffered_body = 1;
        assert_int_equal(talk(rows[i].request), rows[i].keeps ? SHS_WAIT_READ : SHS_OK);
        assert_int_equal(h1_count(&edge.lab, "Connection: close\r\n"), !rows[i].keeps);
        close_edge();
    }
}

static int echoes(struct shs_request *req, struct shs_response *res)
{
    char buf[16];
    size_t got = 0;

    SHS_RETURN_IF_ERROR(shs_send_response(res, 200));
    do {
        SHS_RETURN_IF_ERROR(shs_request_read(req, buf, sizeof buf, &got));
        SHS_RETURN_IF_ERROR(shs_write(res, buf, got));
    } while (got > 0);
    return SHS_OK;
}

/* The line of a chunk comes in two parts: the first is kept. */
static void test_a_line_in_two_parts(void **state)
{
    (void)state;
    open_edge(H1_HANDLER(echoes));
    assert_int_equal(step_once(CHUNKED), SHS_WAIT_READ);
    assert_int_equal(step_once("3\r\nabc\r\n1"), SHS_WAIT_READ);
    assert_int_equal(step_once("0\r\n0123456789ABCDEF\r\n0\r\n\r\n"), SHS_WAIT_READ);
    h1_lab_receive(&edge.lab);
    assert_string_equal(h1_body(&edge.lab), "abc0123456789ABCDEF");
    close_edge();
}

static void test_an_old_connection(void **state)
{
    (void)state;
    open_edge(H1_HANDLER(hello));
    edge.lab.opt.connection_age_ms = 0;
    assert_int_equal(talk(GET), SHS_OK);
    h1_has(&edge.lab, "Connection: close\r\n");
    close_edge();
}

/* The end of a conversation that is no failure has a reason all the same. */
static void test_notes(void **state)
{
    (void)state;
    open_edge(H1_HANDLER(hello));
    assert_int_equal(talk(GET), SHS_WAIT_READ);
    edge.lab.deadline_ns = shs_now_ns() - 1;
    assert_int_equal(talk(""), SHS_OK);
    assert_string_equal(edge.note, "no further request within idle_ms");
    assert_int_equal(talk(GET), SHS_OK); /* it is over */
    assert_int_equal(edge.lab.calls, 1);
    close_edge();
    open_edge(H1_HANDLER(hello));
    assert_int_equal(talk(""), SHS_WAIT_READ);
    edge.lab.deadline_ns = shs_now_ns() - 1;
    assert_int_equal(talk(""), SHS_OK);
    assert_string_equal(edge.note, "no request within head_ms");
    close_edge();
    open_edge(H1_HANDLER(hello));
    edge.lab.stopping = true;
    assert_int_equal(talk(""), SHS_OK);
    assert_string_equal(edge.note, "the server is stopping");
    assert_int_equal(edge.lab.h1.state, SHS_H1_END);
    close_edge();
    /* The client's own end is none of these. */
    open_edge(H1_HANDLER(hello));
    edge.lab.closes = true;
    assert_int_equal(talk(GET), SHS_OK);
    assert_string_equal(edge.note, "");
    assert_int_equal(edge.lab.fail_code, SHS_OK);
    assert_int_equal(edge.answered, 1);
    close_edge();
}

/* An owner that wants to know of nothing is told of nothing. */
static void test_an_owner_without_ears(void **state)
{
    (void)state;
    open_edge(H1_HANDLER(hello));
    edge.host.note = NULL;
    edge.host.answered = NULL;
    edge.host.refused = NULL;
    edge.host.needs_no_linger = NULL;
    edge.host.must_reset = NULL;
    edge.host.turn_over = NULL;
    edge.host.draining = NULL;
    edge.host.log_is_read = NULL;
    assert_int_equal(talk(GET GET "GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n"),
                     SHS_OK);
    assert_int_equal(edge.lab.logged, 3);
    assert_int_equal(edge.unread_logs, 0);
    close_edge();
    open_edge(H1_HANDLER(hello));
    edge.host.note = NULL;
    edge.host.refused = NULL;
    edge.lab.stopping = true;
    assert_int_equal(talk(""), SHS_OK);
    close_edge();
    open_edge(H1_HANDLER(hello));
    edge.host.refused = NULL;
    assert_int_equal(talk("GET / HTTP/2.0\r\nHost: a\r\n\r\n"), SHS_OK);
    close_edge();
}

static void test_who_is_refused(void **state)
{
    static const struct {
        const char *request;
        unsigned refused;
        const char *fault;
    } rows[] = {
        {"garbage\r\n\r\n", 0, "["},
        {"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\nxyz\r\n", 1, "["},
    };

    (void)state;
    for (size_t i = 0; i < SHS_ARRAY_LEN(rows); i++) {
        open_edge(H1_HANDLER(hello));
        assert_int_equal(talk(rows[i].request), SHS_OK);
        assert_int_equal(edge.refused, rows[i].refused);
        assert_int_equal(edge.answered, 1);
        assert_int_equal(edge.lab.calls, 0);
        assert_int_equal(edge.lab.fail_code, SHS_PROTO);
        assert_non_null(strstr(edge.lab.fail_text, rows[i].fault)); /* the rule, by its name */
        assert_int_equal(edge.lingers_not, 0);
        close_edge();
    }
}

/* Whoever runs the server reads which option it was. */
static void test_bounds_are_named(void **state)
{
    static const struct {
        const char *request, *words;
    } rows[] = {
        {"GET /0123456789012345678901234567890123456789 HTTP/1.1\r\nHost: a\r\n\r\n",
         "[request-line-too-long], see max_request_line"},
        {"GET / HTTP/1.1\r\nHost: a\r\nA: 0123456789012345678901234567890123456789\r\n\r\n",
         "[head-too-large], see max_head_bytes"},
        {"GET / HTTP/1.1\r\nHost: a\r\nA: 1\r\nB: 2\r\nC: 3\r\n\r\n",
         "[too-many-fields], see max_headers"},
        {"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 11\r\n\r\n",
         "[length-too-large], see max_body_bytes"},
        {"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n"
         "b\r\n0123456789a\r\n0\r\n\r\n",
         "[body-too-large], see max_body_bytes"},
        {"GET / HTTP/2.0\r\nHost: a\r\n\r\n", "[version-unsupported]"},
    };

    (void)state;
    for (size_t i = 0; i < SHS_ARRAY_LEN(rows); i++) {
        size_t len, words = strlen(rows[i].words);

        open_edge(H1_HANDLER(hello));
        edge.lab.config.limits.max_request_line = 40;
        edge.lab.config.limits.max_head_bytes = 64;
        edge.lab.config.limits.max_headers = 3;
        edge.lab.config.limits.max_body_bytes = 10;
        (void)talk(rows[i].request);
        len = strlen(edge.lab.fail_text);
        assert_true(len > words);
        assert_string_equal(edge.lab.fail_text + len - words, rows[i].words);
        close_edge();
    }
}

/* Around what a handler has put there for a body. */
static void test_bodies_of_handlers(void **state)
{
    (void)state;
    open_edge(H1_HANDLER(to_sink));
    edge.lab.opt.max_buffered_body = 1;
    assert_int_equal(talk("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\nabc"),
                     SHS_WAIT_READ);
    assert_int_equal(edge.entries, 1);
    h1_has(&edge.lab, "Hello");
    close_edge();
    open_edge(H1_HANDLER(from_source));
    assert_int_equal(talk(GET), SHS_WAIT_READ);
    assert_int_equal(edge.entered, 0);
    assert_true(edge.entries >= 1);
    h1_has(&edge.lab, "abcdabcdabcd\r\n0\r\n\r\n");
    close_edge();
}

/* A peer that has nothing more to send, and has sent nothing more, needs no lingering close. */
static void test_who_needs_no_linger(void **state)
{
    static const struct {
        const char *request;
        unsigned lingers_not;
    } rows[] = {
        {"GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n", 1},
        {"GET / HTTP/1.0\r\n\r\n", 1},
        {"GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\nG", 0},
        {"POST / HTTP/1.1\r\nHost: a\r\nConnection: close\r\nContent-Length: 3\r\n\r\nabc", 1},
        {"POST / HTTP/1.1\r\nHost: a\r\nConnection: close\r\nContent-Length: 9000000\r\n\r\nabc",
         0},
    };

    (void)state;
    for (size_t i = 0; i < SHS_ARRAY_LEN(rows); i++) {
        open_edge(H1_HANDLER(hello));
        assert_int_equal(talk(rows[i].request), SHS_OK);
        if (edge.lingers_not != rows[i].lingers_not)
            fail_msg("%s: %u", rows[i].request, edge.lingers_not);
        assert_int_equal(edge.answered, 1);
        close_edge();
    }
    /* Whom we send away may be in the middle of his next request. */
    open_edge(H1_HANDLER(hello));
    edge.draining = true;
    assert_int_equal(talk(GET), SHS_OK);
    h1_has(&edge.lab, "Connection: close\r\n");
    assert_int_equal(edge.lingers_not, 0);
    close_edge();
}

static void test_nobody_reads_the_log(void **state)
{
    (void)state;
    for (int nobody = 0; nobody < 2; nobody++) {
        open_edge(H1_HANDLER(hello));
        edge.nobody_reads = nobody;
        assert_int_equal(talk(GET), SHS_WAIT_READ);
        assert_int_equal(edge.lab.logged, 1);
        assert_int_equal(edge.unread_logs, nobody);
        assert_int_equal(edge.lab.last_status, nobody ? 0 : 200);
        close_edge();
    }
}

/* Whose head was read has one line, and his client's true address is asked for. */
static void test_lines_of_who_is_cut_off(void **state)
{
    static const struct {
        const char *sent;
        unsigned lines, refused;
        int status;
        const char *error;
    } rows[] = {
        {"", 0, 0, 0, ""},
        {"POST / HTTP/1.1\r\nHost: a\r\nContent-Le", 0, 0, 0, ""},
        {"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\na", 1, 1, 0, "why"},
        /* The answer is out, and its handler did not want the body. */
        {"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 9000\r\n\r\na", 1, 1, 200, ""},
        {GET, 1, 0, 200, ""},
    };

    (void)state;
    for (size_t i = 0; i < SHS_ARRAY_LEN(rows); i++) {
        open_edge(H1_HANDLER(hello));
        if (rows[i].status == 200)
            edge.lab.opt.max_buffered_body = 1;
        assert_int_equal(talk(rows[i].sent), SHS_WAIT_READ);
        for (int again = 0; again < 2; again++) {
            shs__h1_cut(&edge.lab.h1, "why");
            if (edge.lab.logged != rows[i].lines || edge.refused != rows[i].refused)
                fail_msg("%s: %u lines, refused %u", rows[i].sent, edge.lab.logged, edge.refused);
            assert_int_equal(edge.lab.h1.state, SHS_H1_END);
        }
        assert_int_equal(edge.lab.last_status, rows[i].status);
        assert_string_equal(edge.error, rows[i].error);
        close_edge();
    }
    /* The same where it is the client that ends it. */
    open_edge(H1_HANDLER(hello));
    edge.lab.closes = true;
    assert_int_equal(talk(rows[2].sent), SHS_CLOSED);
    assert_int_equal(edge.lab.h1.state, SHS_H1_END);
    shs__h1_cut(&edge.lab.h1, "why");
    assert_int_equal(edge.lab.logged, 1);
    assert_int_equal(edge.refused, 1);
    assert_string_not_equal(edge.error, "why");
    close_edge();
}

static void test_numbers_of_requests(void **state)
{
    (void)state;
    open_edge(H1_HANDLER(says_its_id));
    assert_int_equal(talk(GET GET), SHS_WAIT_READ);
    h1_has(&edge.lab, "abc-7-1HTTP/1.1 200");
    h1_has(&edge.lab, "abc-7-2");
    close_edge();
    open_edge(H1_HANDLER(says_its_id));
    edge.host.identify = NULL;
    assert_int_equal(talk(GET), SHS_WAIT_READ);
    h1_has(&edge.lab, "Content-Length: 0\r\n");
    close_edge();
}

/* Between two requests the stream may give its memory back, once nothing is under way. */
static void test_idle_streams(void **state)
{
    (void)state;
    open_edge(H1_HANDLER(hello));
    assert_int_equal(step_once(""), SHS_WAIT_READ);
    assert_int_equal(edge.idled, 0); /* it has not done anything yet */
    assert_int_equal(edge.reads, 1);
    assert_int_equal(step_once(GET), SHS_WAIT_READ);
    assert_int_equal(edge.idled, 1);
    assert_int_equal(edge.reads, 2); /* the next one is rarely there: it is not looked for */
    assert_int_equal(step_once(""), SHS_WAIT_READ);
    assert_int_equal(edge.idled, 2); /* the look was for nothing */
    assert_int_equal(edge.reads, 3);
    close_edge();
    /* What the stream has is asked for at once. */
    open_edge(H1_HANDLER(hello));
    edge.pending = true;
    assert_int_equal(step_once(GET), SHS_WAIT_READ);
    assert_int_equal(edge.reads, 2);
    close_edge();
    /* Not with the next request here. */
    open_edge(H1_HANDLER(hello));
    assert_int_equal(step_once(GET "GET"), SHS_WAIT_READ);
    assert_int_equal(edge.idled, 0);
    close_edge();
}

/* Cut off between two requests: nobody has failed. */
static void test_cut_while_idle(void **state)
{
    (void)state;
    open_edge(H1_HANDLER(hello));
    assert_int_equal(talk(GET), SHS_WAIT_READ);
    edge.read_rc = SHS_STOPPED;
    assert_int_equal(talk(""), SHS_OK);
    assert_int_equal(edge.lab.fail_code, SHS_OK);
    close_edge();
    /* In the middle of a head it has. */
    open_edge(H1_HANDLER(hello));
    assert_int_equal(talk("GET"), SHS_WAIT_READ);
    edge.read_rc = SHS_STOPPED;
    assert_int_equal(talk(""), SHS_STOPPED);
    assert_int_equal(edge.lab.fail_code, SHS_STOPPED);
    close_edge();
}

/* Who expects to be told to go on, and has nothing to send, is told nothing. */
static void test_expects_for_nothing(void **state)
{
    (void)state;
    open_edge(H1_HANDLER(hello));
    assert_int_equal(talk("GET / HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\n\r\n"),
                     SHS_WAIT_READ);
    h1_has(&edge.lab, "HTTP/1.1 200 ");
    h1_has_not(&edge.lab, "100 Continue");
    close_edge();
}

/* What may be buffered is, to its last byte, before the handler is called. */
static void test_a_body_of_the_limit(void **state)
{
    static const char head[] = "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\nab";

    (void)state;
    for (unsigned limit = 2; limit <= 3; limit++) {
        open_edge(H1_HANDLER(hello));
        edge.lab.opt.max_buffered_body = limit;
        assert_int_equal(talk(head), SHS_WAIT_READ);
        assert_int_equal(edge.lab.calls, limit == 2);
        assert_int_equal(talk("c"), SHS_WAIT_READ);
        assert_int_equal(edge.lab.calls, 1);
        close_edge();
    }
}

/* What went wrong in the server is the log's, not the client's. */
static void test_our_affairs(void **state)
{
    (void)state;
    open_edge(H1_HANDLER(fails));
    assert_int_equal(talk(GET), SHS_OK);
    h1_has(&edge.lab, "HTTP/1.1 500 ");
    h1_has_not(&edge.lab, shs_err_text(SHS_IO));
    assert_string_equal(edge.lab.fail_text, shs_err_text(SHS_IO));
    close_edge();
}

/* -- a slow reader ----------------------------------------------------------------------------- */

#define LONG_BODY 200000

static int long_read(void *ctx, void *buf, size_t cap, size_t *got)
{
    size_t *left = ctx;

    *got = cap < *left ? cap : *left;
    memset(buf, 'x', *got);
    *left -= *got;
    return SHS_OK;
}

static size_t long_left;

static int long_source(struct shs_request *req, struct shs_response *res)
{
    static const struct shs_source source = {.read = long_read, .free = source_free};

    (void)req;
    long_left = LONG_BODY;
    SHS_RETURN_IF_ERROR(shs_send_response(res, 200));
    SHS_RETURN_IF_ERROR(shs_send_length(res, LONG_BODY));
    return shs_send_source(res, &source, &long_left);
}

static FILE *long_file;

static int sends_long_file(struct shs_request *req, struct shs_response *res)
{
    static char text[LONG_BODY];

    (void)req;
    long_file = tmpfile();
    assert_non_null(long_file);
    memset(text, 'x', sizeof text);
    assert_int_equal(fwrite(text, 1, sizeof text, long_file), sizeof text);
    assert_int_equal(fflush(long_file), 0);
    SHS_RETURN_IF_ERROR(shs_send_response(res, 200));
    return shs_send_file(res, dup(fileno(long_file)), 0, LONG_BODY);
}

/* What is kept for it is a piece, and another one only when less than a piece is left. */
static void test_a_slow_reader_of_a_source(void **state)
{
    size_t head;

    (void)state;
    open_edge(H1_HANDLER(long_source));
    assert_int_equal(talk(GET), SHS_WAIT_READ);
    head = (size_t)(h1_body(&edge.lab) - h1_lab_text(&edge.lab));
    assert_int_equal(edge.lab.got.len, head + LONG_BODY);
    close_edge();
    narrow_edge(H1_HANDLER(long_source), head); /* who takes the head, and waits */
    assert_int_equal(step_once(GET), SHS_WAIT_WRITE);
    assert_int_equal(edge.lab.h1.out.len, SHS_H1_SOURCE_PIECE);
    assert_int_equal(step_once(""), SHS_WAIT_WRITE);
    assert_int_equal(edge.lab.h1.out.len, SHS_H1_SOURCE_PIECE);
    reads(1);
    assert_int_equal(step_once(""), SHS_WAIT_WRITE);
    assert_int_equal(edge.lab.h1.out.len, SHS_H1_SOURCE_PIECE - 1);
    assert_int_equal(step_once(""), SHS_WAIT_WRITE);
    assert_int_equal(edge.lab.h1.out.len, 2 * SHS_H1_SOURCE_PIECE - 1);
    close_edge();
    narrow_edge(H1_HANDLER(sends_long_file), head);
    assert_int_equal(step_once(GET), SHS_WAIT_WRITE);
    for (int i = 0; i < 3; i++) { /* it has read nothing: that is no fault of the file */
        assert_int_equal(step_once(""), SHS_WAIT_WRITE);
        assert_true(edge.lab.h1.out.len <= SHS_H1_PIECE);
    }
    fclose(long_file);
    close_edge();
}

/* Whose time it is while an answer goes out: ours till the client has to take some of it. */
static void test_time_of_an_answer(void **state)
{
    struct shs_progress *progress;
    int64_t before;

    (void)state;
    narrow_edge(H1_HANDLER(long_source), 1000);
    edge.lab.opt.write_ms = 600000;
    edge.lab.opt.min_rate = 1; /* 600 bytes buy as much again */
    assert_int_equal(step_once(GET), SHS_WAIT_WRITE);
    progress = &edge.lab.h1.xchg->progress;
    before = progress->deadline_ns;
    progress->ours_since_ns = shs_now_ns() - SHS_NS_PER_S;
    assert_int_equal(shs__h1_drain_out(&edge.lab.h1, SHS_H1_MORE), SHS_WAIT_WRITE);
    assert_true(progress->deadline_ns >= before + SHS_NS_PER_S);
    assert_true(progress->ours_since_ns == INT64_MAX);
    /* What it takes moves its deadline. */
    progress->deadline_ns = before;
    usleep(1000);
    reads(1000);
    assert_int_equal(shs__h1_drain_out(&edge.lab.h1, SHS_H1_MORE), SHS_WAIT_WRITE);
    assert_true(progress->deadline_ns > before);
    while (edge.lab.h1.out.len > 1000) {
        reads(1000);
        assert_int_equal(shs__h1_drain_out(&edge.lab.h1, SHS_H1_MORE), SHS_WAIT_WRITE);
        assert_true(progress->ours_since_ns == INT64_MAX);
    }
    reads(1000);
    assert_int_equal(shs__h1_drain_out(&edge.lab.h1, SHS_H1_MORE), SHS_OK);
    assert_true(progress->ours_since_ns != INT64_MAX);
    close_edge();
}

static int reads_on_demand(struct h1_lab *lab, int what, int64_t deadline_ns)
{
    (void)lab;
    assert_int_equal(what, SHS_WAIT_WRITE);
    assert_true(deadline_ns > edge.lab.h1.began_ns);
    reads(1);
    return SHS_OK;
}

static int says_wait(struct shs_request *req, struct shs_response *res)
{
    const struct shs_progress *progress = &edge.lab.h1.xchg->progress;
    int64_t before = progress->deadline_ns;

    SHS_RETURN_IF_ERROR(shs_send_interim(res, 102, NULL));
    assert_true(progress->deadline_ns == before); /* the body's, if there were one */
    return hello(req, res);
}

/* An interim answer has the time of an answer, not what is left of the body's. */
static void test_time_of_an_interim_answer(void **state)
{
    static const char *const parts[] = {"GET / HTT", "P/1.1\r\nHo", "st: a\r\n"};

    (void)state;
    narrow_edge(H1_HANDLER(says_wait), 10);
    edge.lab.opt.body_ms = 0;
    edge.lab.wait = reads_on_demand;
    for (size_t i = 0; i < SHS_ARRAY_LEN(parts); i++)
        assert_int_equal(step_once(parts[i]), SHS_WAIT_READ);
    assert_int_equal(step_once("\r\n"), SHS_WAIT_WRITE);
    assert_int_equal(edge.lab.h1.state, SHS_H1_SEND);
    assert_int_equal(edge.lab.h1.xchg->failure_code, SHS_OK);
    close_edge();
}

/* The client is slow, and the file is another one in the end. */
static void test_a_file_is_overwritten(void **state)
{
    (void)state;
    narrow_edge(H1_HANDLER(sends_long_file), 40000);
    assert_int_equal(step_once(GET), SHS_WAIT_WRITE);
    assert_int_equal(fseek(long_file, 0, SEEK_SET), 0);
    for (int i = 0; i < LONG_BODY; i++)
        assert_int_equal(fputc('y', long_file), 'y');
    assert_int_equal(fclose(long_file), 0);
    assert_int_equal(talk(""), SHS_IO);
    assert_non_null(strstr(edge.lab.fail_text, "a file was overwritten while it was sent"));
    close_edge();
}

/* Others have their turn after each piece, also of a source. */
static void test_turns_of_others(void **state)
{
    unsigned turns = 0;

    (void)state;
    open_edge(H1_HANDLER(long_source)); /* who is alone goes on */
    assert_int_equal(step_once(GET), SHS_WAIT_READ);
    assert_int_equal(edge.flushed, 1); /* at the end: more of it follows at once till then */
    close_edge();
    open_edge(H1_HANDLER(long_source));
    edge.lab.others = true;
    assert_int_equal(step_once(GET), SHS_YIELD);
    for (turns = 1; step_once("") == SHS_YIELD; turns++)
        assert_true(turns < 100);
    assert_int_equal(turns, LONG_BODY / SHS_H1_SOURCE_PIECE);
    close_edge();
}

/* -- what a handler makes of it ---------------------------------------------------------------- */

static struct {
    int status;      /* that it refuses its content with; 0: it does not */
    int64_t time_ns; /* until its deadline; INT64_MAX: it has none */
    bool reads;      /* and it reads first */
    int rc;          /* what it returns then; SHS_OK: what the call has returned */
} manner;

static int has_manners(struct shs_request *req, struct shs_response *res)
{
    char buf[100];
    size_t got = 0;
    int rc = SHS_OK;

    (void)res;
    if (manner.time_ns != INT64_MAX)
        shs_request_set_deadline(req, shs_now_ns() + manner.time_ns);
    do {
        rc = manner.reads ? shs_request_read(req, buf, sizeof buf, &got) : SHS_OK;
    } while (rc == SHS_OK && got > 0);
    if (manner.status != 0)
        rc = shs_request_refuse(req, manner.status, "a-rule", "A sentence.");
    return manner.rc != SHS_OK ? manner.rc : rc;
}

static void test_refused_content(void **state)
{
    static const struct {
        int status, rc;
        const char *line;
        bool keeps;
    } rows[] = {
        {400, SHS_OK, "HTTP/1.1 400 ", true},
        {499, SHS_OK, "HTTP/1.1 499 ", true},
        {399, SHS_OK, "HTTP/1.1 399 ", false}, /* what it may not say says nothing of the client */
        {500, SHS_OK, "HTTP/1.1 500 ", false},
        {400, SHS_IO, "HTTP/1.1 500 ", false}, /* it has failed at something else */
    };

    (void)state;
    for (size_t i = 0; i < SHS_ARRAY_LEN(rows); i++) {
        memset(&manner, 0, sizeof manner);
        manner.status = rows[i].status;
        manner.rc = rows[i].rc;
        manner.time_ns = INT64_MAX;
        open_edge(H1_HANDLER(has_manners));
        (void)talk(GET);
        h1_has(&edge.lab, rows[i].line);
        assert_int_equal(h1_count(&edge.lab, "Connection: close\r\n"), !rows[i].keeps);
        assert_int_equal(edge.lab.h1.state, rows[i].keeps ? SHS_H1_IDLE : SHS_H1_END);
        close_edge();
    }
}

#define NOT_READY "The answer was not ready in time."

static void test_whose_time_is_over(void **state)
{
    static const char whole[] = GET;
    static const char part[] = "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\na";
    static const struct {
        const char *request;
        int64_t time_ns;
        int rc;
        const char *line;
        bool not_ready; /* the client is told that */
    } rows[] = {
        {whole, 0, SHS_TIMEOUT, "HTTP/1.1 503 ", true},
        {whole, INT64_MAX, SHS_TIMEOUT, "HTTP/1.1 500 ", false}, /* of something else */
        {whole, 600 * (int64_t)SHS_NS_PER_S, SHS_TIMEOUT, "HTTP/1.1 500 ", false},
        {whole, 0, SHS_IO, "HTTP/1.1 500 ", false},
        {part, 0, SHS_OK, "HTTP/1.1 408 ", false}, /* the body had not come by then */
    };

    (void)state;
    for (size_t i = 0; i < SHS_ARRAY_LEN(rows); i++) {
        memset(&manner, 0, sizeof manner);
        manner.reads = rows[i].request == part;
        manner.rc = rows[i].rc;
        manner.time_ns = rows[i].time_ns;
        open_edge(H1_HANDLER(has_manners));
        edge.lab.opt.max_buffered_body = 1;
        assert_int_equal(talk(rows[i].request), SHS_OK);
        h1_has(&edge.lab, rows[i].line);
        assert_int_equal(h1_count(&edge.lab, NOT_READY), rows[i].not_ready);
        close_edge();
    }
}

/* It has asked for a sink and has answered by itself: then the answer is this one. */
static int sinks_and_answers(struct shs_request *req, struct shs_response *res)
{
    SHS_RETURN_IF_ERROR(to_sink(req, res));
    return hello(req, res);
}

static void test_a_sink_and_an_answer(void **state)
{
    (void)state;
    open_edge(H1_HANDLER(sinks_and_answers));
    assert_int_equal(talk("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\nabc"),
                     SHS_WAIT_READ);
    assert_int_equal(edge.entries, 0);
    assert_int_equal(h1_count(&edge.lab, "Hello, world\n"), 1);
    close_edge();
}

/* A connection begins the same in any memory. */
static void test_init(void **state)
{
    (void)state;
    open_edge(H1_HANDLER(hello));
    memset(&edge.lab.h1, 0x55, sizeof edge.lab.h1);
    shs__h1_init(&edge.lab.h1, &edge.lab.config, edge.lab.server, &edge.lab);
    assert_int_equal(talk(GET GET), SHS_WAIT_READ);
    assert_int_equal(h1_count(&edge.lab, "Hello, world\n"), 2);
    close_edge();
}

/* -- what goes wrong with a body --------------------------------------------------------------- */

static int cuts(struct h1_lab *lab, int what, int64_t deadline_ns)
{
    (void)lab;
    (void)what;
    (void)deadline_ns;
    return SHS_STOPPED;
}

static int stops(struct h1_lab *lab, int what, int64_t deadline_ns)
{
    lab->stopping = true;
    return cuts(lab, what, deadline_ns);
}

/* Who returns that its peer has gone has nobody to answer. */
static void test_results_without_answer(void **state)
{
    static const int ends[] = {SHS_CLOSED, SHS_TRUNCATED, SHS_RESET};

    (void)state;
    for (size_t i = 0; i < SHS_ARRAY_LEN(ends); i++) {
        result = ends[i];
        open_edge(H1_HANDLER(returns));
        assert_int_equal(talk(GET), ends[i]);
        assert_int_equal(edge.lab.got.len, 0);
        close_edge();
    }
    /* And who asks the server to stop is not one who failed. */
    result = SHS_EXIT;
    open_edge(H1_HANDLER(returns));
    assert_int_equal(talk(GET), SHS_EXIT);
    assert_int_equal(edge.lab.got.len, 0);
    assert_string_equal(edge.lab.fail_text, "the handler asked the server to stop");
    close_edge();
}

/* -- a handler that listens to its client ------------------------------------------------------ */

static struct {
    int64_t ms; /* from now on */
    int fd, rc;
    int64_t until_ns, took_ns;
} listened;

static int listens(struct shs_request *req, struct shs_response *res)
{
    int64_t began = shs_now_ns();

    listened.until_ns = began + listened.ms * SHS_NS_PER_MS;
    listened.rc = res->x->ops->wait_peer(res->x, listened.until_ns, listened.fd);
    listened.took_ns = shs_now_ns() - began;
    return hello(req, res);
}

static int listens_in_the_middle(struct shs_request *req, struct shs_response *res)
{
    char byte;
    size_t got = 0;

    SHS_RETURN_IF_ERROR(shs_request_read(req, &byte, 1, &got));
    return listens(req, res);
}

/* Its client has sent more by then: the next request. */
static int hears_more(struct shs_request *req, struct shs_response *res)
{
    size_t put = 0;

    assert_int_equal(shs__stream_write(edge.lab.client, GET, sizeof GET - 1, &put), SHS_OK);
    return listens(req, res);
}

/* What the owner's wait does. */
static struct {
    int rc;
    unsigned calls;
    int wake_fd;        /* that was set then */
    bool until_the_end; /* it waits as long as it may */
} waited;

static int edge_wait(struct h1_lab *lab, int what, int64_t deadline_ns)
{
    (void)lab;
    assert_int_equal(what, SHS_WAIT_READ);
    waited.calls++;
    waited.wake_fd = edge.wake_fd;
    /* Not longer than the handler said, and often enough to see that the server is closing. */
    assert_true(deadline_ns <= listened.until_ns);
    assert_true(deadline_ns <= shs_now_ns() + 250 * SHS_NS_PER_MS);
    while (waited.until_the_end && shs_now_ns() < deadline_ns)
        usleep(1000);
    return waited.rc;
}

static void listen_for(int64_t ms, int fd, int rc, bool until_the_end)
{
    memset(&waited, 0, sizeof waited);
    memset(&listened, 0, sizeof listened);
    waited.rc = rc;
    waited.until_the_end = until_the_end;
    listened.ms = ms;
    listened.fd = fd;
    open_edge(H1_HANDLER(listens));
    edge.wake_fd = -2;
    edge.lab.wait = edge_wait;
    (void)talk(GET);
    assert_int_equal(edge.lab.calls, 1);
    assert_int_equal(edge.wake_fd, -1); /* afterwards, whatever came of it */
    assert_int_equal(edge.wakes, 2);
    close_edge();
}

static void test_listening(void **state)
{
    (void)state;
    /* Woken: long before its time is over. One wait is enough where the machine does not stall. */
    listen_for(600000, 5, SHS_TIMEOUT, false);
    assert_int_equal(listened.rc, SHS_OK);
    assert_in_range(waited.calls, 1, 100);
    assert_int_equal(waited.wake_fd, 5);
    /* Nothing wakes it, and it has its time; the server's closing is looked for now and then. */
    for (int fd = -1; fd <= 5; fd += 6) {
        listen_for(300, fd, SHS_TIMEOUT, true);
        assert_int_equal(listened.rc, SHS_OK);
        assert_true(listened.took_ns >= 300 * SHS_NS_PER_MS);
        assert_true(waited.calls >= 1 && waited.calls <= 3);
    }
    /* One that cannot be woken and whose wait ends before its time waits again. */
    listen_for(20, -1, SHS_TIMEOUT, false);
    assert_int_equal(listened.rc, SHS_OK);
    assert_true(listened.took_ns >= 20 * SHS_NS_PER_MS);
    /* What else a wait ends with is the handler's. */
    listen_for(600000, 5, SHS_STOPPED, false);
    assert_int_equal(listened.rc, SHS_STOPPED);
    assert_int_equal(waited.calls, 1);
}

static void listen_through(shs_method_fn *handler)
{
    memset(&waited, 0, sizeof waited);
    waited.rc = SHS_TIMEOUT;
    listened.ms = 600000;
    listened.fd = 5;
    open_edge(H1_HANDLER(handler));
    edge.lab.wait = edge_wait;
    edge.lab.opt.max_requests_per_connection = 1;
    assert_int_equal(step_once(GET), SHS_OK);
    assert_int_equal(listened.rc, SHS_OK);
    assert_in_range(waited.calls, 1, 100);
    close_edge();
}

static int stops_soon(struct h1_lab *lab, int what, int64_t deadline_ns)
{
    (void)what;
    (void)deadline_ns;
    lab->stopping = true;
    return SHS_TIMEOUT;
}

static int goes_away(struct h1_lab *lab, int what, int64_t deadline_ns)
{
    (void)what;
    (void)deadline_ns;
    assert_int_equal(shs__stream_shutdown(lab->client), SHS_OK);
    return SHS_OK;
}

static void test_what_a_listener_hears(void **state)
{
    static const struct {
        int (*wait)(struct h1_lab *lab, int what, int64_t deadline_ns);
        int rc;
    } rows[] = {{stops_soon, SHS_STOPPED}, {goes_away, SHS_CLOSED}};

    (void)state;
    for (size_t i = 0; i < SHS_ARRAY_LEN(rows); i++) {
        listened.ms = 600000;
        listened.fd = -1;
        open_edge(H1_HANDLER(listens));
        edge.lab.wait = rows[i].wait;
        (void)talk(GET);
        assert_int_equal(listened.rc, rows[i].rc);
        close_edge();
    }
    /* Who has not read its body would take it for the next request. */
    open_edge(H1_HANDLER(listens));
    edge.lab.opt.max_buffered_body = 1;
    (void)talk("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\nabc");
    assert_int_equal(listened.rc, SHS_USAGE);
    close_edge();
    open_edge(H1_HANDLER(listens_in_the_middle));
    edge.lab.opt.max_buffered_body = 1;
    (void)step_once("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\nabc");
    assert_int_equal(listened.rc, SHS_USAGE);
    close_edge();
    /* What comes meanwhile is kept, and waited behind. */
    listen_through(hears_more);
    /* An owner that wakes nobody is not asked to. */
    listened.ms = 0;
    open_edge(H1_HANDLER(listens));
    edge.host.set_wake = NULL;
    assert_int_equal(talk(GET), SHS_WAIT_READ);
    assert_int_equal(listened.rc, SHS_OK);
    close_edge();
}

/* -- when a request was here ------------------------------------------------------------------- */

static struct {
    bool known;     /* the owner knows a moment: */
    int64_t before; /* so long before the machine has seen it */
    int64_t told;   /* how long before, the handler is told; -1: nothing */
} there;

static int asks_since_when(struct shs_request *req, struct shs_response *res)
{
    int64_t since;

    edge.there_ns = there.known ? edge.lab.h1.began_ns - there.before : 0;
    since = res->x->ops->there_since(res->x);
    there.told = since == 0 ? -1 : edge.lab.h1.began_ns - since;
    return hello(req, res);
}

static void test_since_when_it_is_there(void **state)
{
    static const struct {
        bool known;
        int64_t before, told;
    } rows[] = {
        {true, 1000, 1000},
        {true, 2 * SHS_NS_PER_MS, 2 * SHS_NS_PER_MS},
        {true, 2 * SHS_NS_PER_MS + 1, -1}, /* the connection was perhaps another one's meanwhile */
        {false, 0, -1},
    };

    (void)state;
    for (size_t i = 0; i <= SHS_ARRAY_LEN(rows); i++) {
        bool asked = i < SHS_ARRAY_LEN(rows);

        there.known = !asked || rows[i].known;
        there.before = asked ? rows[i].before : 1;
        open_edge(H1_HANDLER(asks_since_when));
        if (!asked)
            edge.host.there_since = NULL;
        assert_int_equal(talk(GET), SHS_WAIT_READ);
        assert_int_equal(there.told, asked ? rows[i].told : -1);
        close_edge();
    }
}

static struct {
    int64_t first_ns; /* while the first request is handled */
    bool again;       /* the owner was told of the second one then, too; or: just before it */
    int64_t since;    /* what the second one is told */
} told_late;

static int asks_again_since_when(struct shs_request *req, struct shs_response *res)
{
    if (edge.lab.h1.served == 0) {
        told_late.first_ns = shs_now_ns();
    } else {
        edge.there_ns = told_late.again ? told_late.first_ns : edge.lab.h1.began_ns;
        told_late.since = res->x->ops->there_since(res->x);
    }
    return hello(req, res);
}

/* A worker was told of the first one, which another has read and answered before he had his turn:
   that says nothing of when the second one came. */
static void test_a_moment_of_the_request_before(void **state)
{
    (void)state;
    for (int again = 0; again < 2; again++) {
        told_late.again = again == 1;
        told_late.since = -1;
        open_edge(H1_HANDLER(asks_again_since_when));
        assert_int_equal(talk(GET), SHS_WAIT_READ);
        assert_int_equal(talk(GET), SHS_WAIT_READ);
        assert_int_equal(told_late.since, told_late.again ? 0 : edge.lab.h1.began_ns);
        close_edge();
    }
}

/* Who went in the middle of its body is told nothing, whatever the handler makes of it. */
static void test_gone_in_the_body(void **state)
{
    (void)state;
    open_edge(H1_HANDLER(fails_behind_its_body));
    edge.lab.opt.max_buffered_body = 1;
    edge.lab.closes = true;
    (void)talk("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\na");
    assert_int_equal(edge.lab.calls, 1);
    assert_int_equal(edge.lab.got.len, 0);
    close_edge();
    /* Nor is there an answer whose end could be taken for a whole one. */
    open_edge(H1_HANDLER(hello));
    edge.lab.closes = true;
    assert_int_equal(talk("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\na"), SHS_CLOSED);
    assert_false(edge.lab.reset);
    assert_int_equal(edge.lab.h1.state, SHS_H1_END); /* and it stays over */
    assert_int_equal(step_once(""), SHS_OK);
    close_edge();
    /* So is one that we have cut off; but not when the server is closing. */
    for (int stopping = 0; stopping < 2; stopping++) {
        open_edge(H1_HANDLER(fails_behind_its_body));
        edge.lab.opt.max_buffered_body = 1;
        edge.lab.wait = stopping ? stops : cuts;
        (void)talk("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\na");
        assert_int_equal(edge.lab.calls, 1);
        assert_int_equal(edge.lab.got.len > 0, stopping);
        close_edge();
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_each_state_has_its_time),
        cmocka_unit_test(test_bodies_that_make_progress),
        cmocka_unit_test(test_time_of_a_sink),
        cmocka_unit_test(test_lookers_on),
        cmocka_unit_test(test_reads_of_a_long_body),
        cmocka_unit_test(test_what_is_thrown_away),
        cmocka_unit_test(test_a_line_in_two_parts),
        cmocka_unit_test(test_an_old_connection),
        cmocka_unit_test(test_notes),
        cmocka_unit_test(test_an_owner_without_ears),
        cmocka_unit_test(test_who_is_refused),
        cmocka_unit_test(test_bounds_are_named),
        cmocka_unit_test(test_bodies_of_handlers),
        cmocka_unit_test(test_who_needs_no_linger),
        cmocka_unit_test(test_nobody_reads_the_log),
        cmocka_unit_test(test_lines_of_who_is_cut_off),
        cmocka_unit_test(test_numbers_of_requests),
        cmocka_unit_test(test_idle_streams),
        cmocka_unit_test(test_cut_while_idle),
        cmocka_unit_test(test_expects_for_nothing),
        cmocka_unit_test(test_a_body_of_the_limit),
        cmocka_unit_test(test_our_affairs),
        cmocka_unit_test(test_results_without_answer),
        cmocka_unit_test(test_listening),
        cmocka_unit_test(test_what_a_listener_hears),
        cmocka_unit_test(test_since_when_it_is_there),
        cmocka_unit_test(test_a_moment_of_the_request_before),
        cmocka_unit_test(test_gone_in_the_body),
        cmocka_unit_test(test_a_slow_reader_of_a_source),
        cmocka_unit_test(test_time_of_an_answer),
        cmocka_unit_test(test_time_of_an_interim_answer),
        cmocka_unit_test(test_a_file_is_overwritten),
        cmocka_unit_test(test_turns_of_others),
        cmocka_unit_test(test_refused_content),
        cmocka_unit_test(test_whose_time_is_over),
        cmocka_unit_test(test_a_sink_and_an_answer),
        cmocka_unit_test(test_init),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
