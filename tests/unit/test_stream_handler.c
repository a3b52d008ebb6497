/* test_stream_handler.c - rfile and wfile, and who makes them, over a stream in memory. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <netinet/in.h>
#include <netinet/tcp.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <shs/shs.h>

#include "failing_memory.h"
#include "server/server.h"

#define MOST (16 * 1024 * 1024)

/* -- a server without a socket, and one connection of it --------------------------------------- */

static struct {
    struct shs_server *server;
    struct shs_layer layer;
    struct shs_conn *conn;
    struct shs_stream *peer;
    int fd;
    unsigned waits;
    int64_t deadline_ns; /* of the last wait */
    struct shs_stream_request_handler_class cls;
    union {
        struct shs_stream_request_handler stream;
        struct shs_datagram_request_handler datagram;
    } handler;
} lab;

static int nothing(struct shs_request_handler *handler)
{
    SHS_UNUSED(handler);
    return SHS_OK;
}

static const struct shs_request_handler_class nothing_class = {
    .name = "nothing", .instance_size = sizeof(struct shs_request_handler), .handle = nothing};

/* Nobody comes. */
static int lab_wait(struct shs_layer *layer, struct shs_conn *conn, int what)
{
    SHS_UNUSED(layer);
    SHS_UNUSED(what);
    lab.waits++;
    lab.deadline_ns = shs_conn_deadline(conn);
    return SHS_TIMEOUT;
}

static const struct shs_server_ops lab_ops = {.name = "Lab", .wait_request = lab_wait};

static void open_lab(void)
{
    struct shs_stream *mine = NULL;
    struct shs_options opt;

    memset(&lab, 0, sizeof lab);
    shs_options_init(&opt);
    opt.idle_ms = 70000;
    opt.write_ms = 90000;
    assert_int_equal(shs__server_new(&lab.server, &opt, &nothing_class, NULL), SHS_OK);
    assert_int_equal(shs_server_push(lab.server, &lab.layer, &lab_ops), SHS_OK);
    lab.fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_true(lab.fd >= 0);
    lab.conn = shs__conn_new(lab.server, lab.fd, NULL, 0);
    assert_non_null(lab.conn);
    assert_int_equal(shs__memory_stream_pair(&mine, &lab.peer, 1 << 18, 0), SHS_OK);
    mine->lower = lab.conn->stream;
    shs__conn_push_stream(lab.conn, mine);
    lab.cls.base = nothing_class;
    lab.cls.rbufsize = -1;
    lab.handler.stream.base.cls = &lab.cls.base;
    lab.handler.stream.base.request = lab.conn;
    lab.handler.stream.base.server = lab.server;
}

static void close_lab(void)
{
    shs__conn_free(lab.conn);
    lab.peer->cls->free(lab.peer);
    close(lab.fd);
    shs_server_free(lab.server);
}

static int set_up(void)
{
    return shs_stream_request_handler_setup(&lab.handler.stream.base);
}

static void open_stream(void)
{
    open_lab();
    assert_int_equal(set_up(), SHS_OK);
}

static void close_stream(void)
{
    shs_stream_request_handler_finish(&lab.handler.stream.base);
    assert_null(lab.handler.stream.rfile);
    assert_null(lab.handler.stream.wfile);
    close_lab();
}

static void peer_says(const char *text)
{
    size_t put = 0;

    assert_int_equal(shs__stream_write(lab.peer, text, strlen(text), &put), SHS_OK);
    assert_int_equal(put, strlen(text));
}

/* What has come to the peer is this, and no more. */
static void assert_peer_hears(const char *text)
{
    char buf[64] = "";
    size_t got = 0;
    int rc = shs__stream_read(lab.peer, buf, sizeof buf - 1, &got);

    assert_int_equal(rc, text[0] == '\0' ? SHS_WAIT_READ : SHS_OK);
    assert_string_equal(buf, text);
}

/* -- rfile ------------------------------------------------------------------------------------- */

static struct shs_rfile *rfile(void)
{
    return lab.handler.stream.rfile;
}

static void a_closed_rfile_has_ended(void **state)
{
    char buf[8];
    size_t got = 0;

    SHS_UNUSED(state);
    open_stream();
    peer_says("abc\ndef\n");
    assert_int_equal(shs_rfile_readline(rfile(), buf, sizeof buf, &got), SHS_OK);
    assert_int_equal(got, 4);
    shs_rfile_close(rfile());
    assert_int_equal(shs_rfile_read(rfile(), buf, 1, &got), SHS_CLOSED);
    assert_int_equal(shs_rfile_read1(rfile(), buf, 1, &got), SHS_CLOSED);
    assert_int_equal(shs_rfile_readline(rfile(), buf, sizeof buf, &got), SHS_CLOSED);
    assert_int_equal(lab.waits, 0);
    close_stream();
}

/* Line by line, whatever is behind it: with a buffer, with a small one, and without. */
static void lines_come_one_by_one(void **state)
{
    static const int sizes[] = {-1, 3, 0};
    char buf[8];
    size_t got = 0;

    SHS_UNUSED(state);
    for (size_t i = 0; i < SHS_ARRAY_LEN(sizes); i++) {
        open_lab();
        lab.cls.rbufsize = sizes[i];
        assert_int_equal(set_up(), SHS_OK);
        peer_says("abc\n\nlonger than that\nend");
        assert_int_equal(shs__stream_shutdown(lab.peer), SHS_OK);
        assert_int_equal(shs_rfile_readline(rfile(), buf, sizeof buf, &got), SHS_OK);
        assert_int_equal(got, 4);
        assert_memory_equal(buf, "abc\n", 4);
        assert_int_equal(shs_rfile_readline(rfile(), buf, sizeof buf, &got), SHS_OK);
        assert_int_equal(got, 1);
        assert_int_equal(shs_rfile_readline(rfile(), buf, sizeof buf, &got), SHS_OK);
        assert_int_equal(got, 8);
        assert_memory_equal(buf, "longer t", 8);
        assert_int_equal(shs_rfile_read(rfile(), buf, 8, &got), SHS_OK);
        assert_memory_equal(buf, "han that", 8);
        assert_int_equal(shs_rfile_readline(rfile(), buf, sizeof buf, &got), SHS_OK);
        assert_int_equal(got, 1);
        assert_int_equal(shs_rfile_readline(rfile(), buf, sizeof buf, &got), SHS_OK);
        assert_int_equal(got, 3);
        assert_int_equal(shs_rfile_readline(rfile(), buf, sizeof buf, &got), SHS_CLOSED);
        assert_int_equal(shs_rfile_readline(rfile(), buf, 0, &got), SHS_USAGE);
        close_stream();
    }
}

/* The handler is called again for what is in the buffer, and for nothing else. */
static void what_is_read_ahead_is_known(void **state)
{
    char buf[8];
    size_t got = 0;

    SHS_UNUSED(state);
    open_stream();
    peer_says("a\nbc");
    assert_int_equal(shs_rfile_readline(rfile(), buf, sizeof buf, &got), SHS_OK);
    assert_true(lab.conn->ahead);
    lab.conn->has_read = false;
    assert_int_equal(shs_rfile_read1(rfile(), buf, 1, &got), SHS_OK);
    assert_true(lab.conn->ahead);
    assert_true(lab.conn->has_read);
    assert_int_equal(shs_rfile_read(rfile(), buf, 1, &got), SHS_OK);
    assert_false(lab.conn->ahead);
    lab.conn->has_read = false;
    assert_int_equal(shs_rfile_read1(rfile(), buf, 1, &got), SHS_TIMEOUT);
    assert_false(lab.conn->has_read);
    close_stream();

    open_stream();
    peer_says("ab");
    assert_int_equal(shs_rfile_read(rfile(), buf, 1, &got), SHS_OK);
    assert_true(lab.conn->ahead);
    shs_rfile_close(rfile());
    assert_false(lab.conn->ahead);
    close_stream();
}

/* The class's timeout is for one call; the connection has its own deadline before and after. */
static void each_call_has_its_timeout(void **state)
{
    int64_t before = shs_now_ns() + 3600 * (int64_t)SHS_NS_PER_S;
    char buf[8];
    size_t got = 0;

    SHS_UNUSED(state);
    for (int which = 0; which < 3; which++) {
        open_lab();
        lab.cls.timeout_ms = 80000;
        assert_int_equal(set_up(), SHS_OK);
        shs_conn_set_deadline(lab.conn, before);
        if (which == 0)
            assert_int_equal(shs_rfile_read(rfile(), buf, 1, &got), SHS_TIMEOUT);
        else if (which == 1)
            assert_int_equal(shs_rfile_read1(rfile(), buf, 1, &got), SHS_TIMEOUT);
        else
            assert_int_equal(shs_rfile_readline(rfile(), buf, 1, &got), SHS_TIMEOUT);
        assert_int_equal(lab.waits, 1);
        assert_true(lab.deadline_ns < before);
        assert_int_equal(shs_conn_deadline(lab.conn), before);
        peer_says("x"); /* too late: it is timed out for good */
        assert_int_equal(shs_rfile_read(rfile(), buf, 1, &got), SHS_TIMEOUT);
        assert_int_equal(lab.waits, 1);
        close_stream();
    }
}

/* -- wfile ------------------------------------------------------------------------------------- */

static struct shs_wfile *wfile(void)
{
    return lab.handler.stream.wfile;
}

static void a_buffer_is_written_when_it_is_full(void **state)
{
    SHS_UNUSED(state);
    open_lab();
    lab.cls.wbufsize = 4;
    assert_int_equal(set_up(), SHS_OK);
    assert_int_equal(shs_wfile_write(wfile(), "ab", 2), SHS_OK);
    assert_peer_hears("");
    assert_int_equal(shs_wfile_write(wfile(), "cd", 2), SHS_OK);
    assert_peer_hears("");
    assert_int_equal(shs_wfile_write(wfile(), "e", 1), SHS_OK);
    assert_peer_hears("abcd");
    assert_int_equal(shs_wfile_write(wfile(), "1234", 4), SHS_OK);
    assert_peer_hears("e1234");
    assert_int_equal(shs_wfile_write(wfile(), "x", 1), SHS_OK);
    assert_int_equal(shs_wfile_flush(wfile()), SHS_OK);
    assert_peer_hears("x");
    assert_int_equal(shs_wfile_write(wfile(), "y", 1), SHS_OK);
    assert_true(shs_wfile_writable(wfile()));
    assert_int_equal(shs_wfile_close(wfile()), SHS_OK);
    assert_false(shs_wfile_writable(wfile()));
    assert_peer_hears("y");
    assert_int_equal(shs_wfile_close(wfile()), SHS_OK);
    assert_int_equal(shs_wfile_write(wfile(), "z", 1), SHS_USAGE);
    assert_int_equal(shs_conn_error(lab.conn)->code, SHS_USAGE);
    close_stream();
}

static void without_a_buffer_all_is_written(void **state)
{
    SHS_UNUSED(state);
    open_stream();
    assert_int_equal(shs_wfile_write(wfile(), "ab", 2), SHS_OK);
    assert_peer_hears("ab");
    assert_int_equal(shs_wfile_write(wfile(), "", 0), SHS_OK);
    assert_int_equal(shs_wfile_fileno(wfile()), lab.fd);
    close_stream();
}

/* Nothing is buffered: nothing can fail, and the peer's time to speak is not given again. */
static void an_empty_flush_does_nothing(void **state)
{
    SHS_UNUSED(state);
    open_stream();
    lab.conn->write_failed = SHS_RESET;
    lab.conn->read_waits_ns = 5;
    assert_int_equal(shs_wfile_flush(wfile()), SHS_OK);
    assert_int_equal(shs_wfile_write(wfile(), "", 0), SHS_OK);
    assert_int_equal(lab.conn->read_waits_ns, 5);
    close_stream();
}

/* Of what was in a write that failed nobody knows how much is out: it is not sent again. */
static void what_failed_is_not_written_again(void **state)
{
    SHS_UNUSED(state);
    open_lab();
    lab.cls.wbufsize = -1;
    assert_int_equal(set_up(), SHS_OK);
    assert_int_equal(shs_wfile_write(wfile(), "ab", 2), SHS_OK);
    lab.conn->write_failed = SHS_RESET;
    assert_int_equal(shs_wfile_flush(wfile()), SHS_RESET);
    lab.conn->write_failed = SHS_OK;
    assert_int_equal(shs_wfile_flush(wfile()), SHS_OK);
    assert_peer_hears("");
    close_stream();
}

/* -- who makes them ---------------------------------------------------------------------------- */

static void a_buffer_has_16_mib_at_most(void **state)
{
    SHS_UNUSED(state);
    for (int which = 0; which < 2; which++) {
        int *size;

        open_lab();
        size = which == 0 ? &lab.cls.rbufsize : &lab.cls.wbufsize;
        *size = MOST + 1;
        assert_int_equal(set_up(), SHS_USAGE);
        assert_non_null(strstr(shs_conn_error(lab.conn)->text, "16 MiB"));
        *size = MOST;
        assert_int_equal(set_up(), SHS_OK);
        close_stream();
    }
}

static void each_wants_requests_of_its_kind(void **state)
{
    SHS_UNUSED(state);
    open_lab();
    lab.conn->borrowed = true;
    assert_int_equal(set_up(), SHS_USAGE);
    assert_non_null(strstr(shs_conn_error(lab.conn)->text, "this is a datagram"));
    lab.conn->borrowed = false;
    close_lab();

    open_lab();
    assert_int_equal(shs_datagram_request_handler_setup(&lab.handler.datagram.base), SHS_USAGE);
    assert_non_null(strstr(shs_conn_error(lab.conn)->text, "this is a connection"));
    close_lab();
}

/* There is no memory for the first of the two files, or for the second: then there is none. */
static void both_are_made_or_none(void **state)
{
    SHS_UNUSED(state);
    for (int n = 0; n < 2; n++) {
        open_lab();
        arm(n);
        assert_int_equal(set_up(), SHS_NOMEM);
        assert_true(disarm());
        assert_null(lab.handler.stream.rfile);
        assert_null(lab.handler.stream.wfile);
        close_lab();
    }
}

static void nagle_is_as_the_class_says(void **state)
{
    SHS_UNUSED(state);
    for (int disable = 0; disable < 2; disable++) {
        int value = !disable;
        socklen_t len = sizeof value;

        open_lab();
        assert_int_equal(setsockopt(lab.fd, IPPROTO_TCP, TCP_NODELAY, &value, sizeof value), 0);
        lab.cls.disable_nagle_algorithm = disable;
        assert_int_equal(set_up(), SHS_OK);
        assert_int_equal(getsockopt(lab.fd, IPPROTO_TCP, TCP_NODELAY, &value, &len), 0);
        assert_int_equal(value != 0, disable);
        close_stream();
    }
}

/* A peer that has gone before the last of the answer is no failure of the request; another one,
   which was there before, stays. */
static void the_last_flush_may_fail(void **state)
{
    SHS_UNUSED(state);
    for (int failed = 0; failed < 2; failed++) {
        open_lab();
        lab.cls.wbufsize = -1;
        assert_int_equal(set_up(), SHS_OK);
        assert_int_equal(shs_wfile_write(wfile(), "ab", 2), SHS_OK);
        shs__memory_stream_reset(lab.peer);
        if (failed)
            shs_conn_fail(lab.conn, SHS_PROTO, 0, "nonsense");
        shs_stream_request_handler_finish(&lab.handler.stream.base);
        assert_int_equal(shs_conn_error(lab.conn)->code, failed ? SHS_PROTO : SHS_OK);
        assert_int_equal(lab.conn->write_failed, SHS_RESET);
        close_lab();
    }
}

/* -- datagrams --------------------------------------------------------------------------------- */

static void open_datagram(void)
{
    open_lab();
    lab.conn->borrowed = true;
    assert_int_equal(shs_datagram_request_handler_setup(&lab.handler.datagram.base), SHS_OK);
    assert_int_equal(lab.handler.datagram.socket, lab.fd);
}

static void close_datagram(void)
{
    shs_datagram_request_handler_finish(&lab.handler.datagram.base);
    assert_null(lab.handler.datagram.rfile);
    assert_null(lab.handler.datagram.wfile);
    lab.conn->borrowed = false;
    close_lab();
}

static void an_answer_is_collected(void **state)
{
    static const char much[65535];
    struct shs_wfile *out;

    SHS_UNUSED(state);
    open_datagram();
    out = lab.handler.datagram.wfile;
    assert_int_equal(shs_wfile_write(out, much, sizeof much), SHS_OK);
    assert_int_equal(shs_wfile_flush(out), SHS_OK);
    assert_peer_hears("");
    assert_int_equal(shs_conn_error(lab.conn)->code, SHS_OK);
    assert_int_equal(shs_wfile_write(out, "x", 1), SHS_LIMIT);
    assert_int_equal(shs_conn_error(lab.conn)->code, SHS_LIMIT);
    assert_peer_hears("");
    close_datagram();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_closed_rfile_has_ended),
        cmocka_unit_test(lines_come_one_by_one),
        cmocka_unit_test(what_is_read_ahead_is_known),
        cmocka_unit_test(each_call_has_its_timeout),
        cmocka_unit_test(a_buffer_is_written_when_it_is_full),
        cmocka_unit_test(without_a_buffer_all_is_written),
        cmocka_unit_test(an_empty_flush_does_nothing),
        cmocka_unit_test(what_failed_is_not_written_again),
        cmocka_unit_test(a_buffer_has_16_mib_at_most),
        cmocka_unit_test(each_wants_requests_of_its_kind),
        cmocka_unit_test(both_are_made_or_none),
        cmocka_unit_test(nagle_is_as_the_class_says),
        cmocka_unit_test(the_last_flush_may_fail),
        cmocka_unit_test(an_answer_is_collected),
    };

    if (!take_over_openssl())
        return 1;
    return cmocka_run_group_tests(tests, NULL, NULL);
}
