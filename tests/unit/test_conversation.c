/* test_conversation.c - a conversation, over a stream in memory: who is called, and who waits. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <shs/shs.h>

#include "patience.h"
#include "server/activity.h"
#include "server/server.h"

/* -- a server without a socket, and one connection of it --------------------------------------- */

static struct {
    struct shs_server *server;
    struct shs_layer layer;
    struct shs_conn *conn;
    struct shs_stream *peer;
    int ends[2];    /* the connection's descriptor, and its peer's */
    int answers[4]; /* of handle; the last one again and again */
    unsigned setups, calls, finishes, waits;
    int setup_answer;
    int wait_answer;
    bool waits_by_poll; /* BaseServer's own wait_request */
    unsigned entered, left;
    uint32_t turn; /* of the activity, while the handler runs */
    unsigned said;
    char line[200]; /* the last of these */
} lab;

static int lab_setup(struct shs_request_handler *handler)
{
    SHS_UNUSED(handler);
    lab.setups++;
    return lab.setup_answer;
}

static int lab_handle(struct shs_request_handler *handler)
{
    unsigned at = lab.calls++;

    if (handler->request->activity != NULL)
        lab.turn = atomic_load(&handler->request->activity->turn);
    return lab.answers[at < SHS_ARRAY_LEN(lab.answers) ? at : SHS_ARRAY_LEN(lab.answers) - 1];
}

static void lab_finish(struct shs_request_handler *handler)
{
    SHS_UNUSED(handler);
    lab.finishes++;
}

static const struct shs_request_handler_class plain_class = {
    .name = "plain",
    .instance_size = sizeof(struct shs_request_handler),
    .setup = lab_setup,
    .handle = lab_handle,
    .finish = lab_finish,
};

static const struct shs_request_handler_class refusing_class = {
    .name = "refusing",
    .instance_size = sizeof(struct shs_request_handler),
    .handle = lab_handle,
    .refuses = true,
};

static int lab_wait(struct shs_layer *layer, struct shs_conn *conn, int what)
{
    if (lab.waits_by_poll)
        return shs_super_wait_request(layer, conn, what);
    lab.waits++;
    return lab.wait_answer;
}

static const struct shs_server_ops lab_ops = {.name = "Lab", .wait_request = lab_wait};

static void keep_line(void *ctx, enum shs_log_level level, const char *line)
{
    SHS_UNUSED(ctx);
    SHS_UNUSED(level);
    lab.said++;
    errno = EBADF; /* a log may leave anything there */
    snprintf(lab.line, sizeof lab.line, "%s", line);
}

static void open_lab(const struct shs_request_handler_class *cls, unsigned stop_ms)
{
    struct shs_stream *mine = NULL;
    struct shs_options opt;

    memset(&lab, 0, sizeof lab);
    shs_options_init(&opt);
    opt.stop_ms = stop_ms;
    opt.log = keep_line;
    opt.log_level = SHS_LOG_INFO;
    assert_int_equal(shs__server_new(&lab.server, &opt, cls, NULL), SHS_OK);
    assert_int_equal(shs_server_push(lab.server, &lab.layer, &lab_ops), SHS_OK);
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, lab.ends),
                     0);
    lab.server->loop_limit_ns = INT64_MAX; /* as when it serves */
    lab.conn = shs__conn_new(lab.server, lab.ends[0], NULL, 0);
    assert_non_null(lab.conn);
    assert_int_equal(shs__memory_stream_pair(&mine, &lab.peer, 4096, 0), SHS_OK);
    mine->lower = lab.conn->stream;
    shs__conn_push_stream(lab.conn, mine);
}

static void answers(int a, int b, int c, int d)
{
    const int all[4] = {a, b, c, d};

    memcpy(lab.answers, all, sizeof all);
}

static void close_lab(void)
{
    shs__conn_finish_handler(lab.conn);
    shs__conn_free(lab.conn);
    lab.peer->cls->free(lab.peer);
    close(lab.ends[0]);
    close(lab.ends[1]);
    shs_server_free(lab.server);
}

static int advance(void)
{
    return shs_conn_advance(lab.conn, false);
}

/* -- the handler ------------------------------------------------------------------------------- */

static void who_is_through_is_not_called_again(void **state)
{
    SHS_UNUSED(state);
    open_lab(&plain_class, 1000);
    answers(SHS_OK, SHS_IO, SHS_IO, SHS_IO);
    assert_int_equal(advance(), SHS_OK);
    assert_int_equal(advance(), SHS_OK);
    assert_int_equal(lab.calls, 1);
    assert_int_equal(lab.finishes, 1);
    close_lab();

    open_lab(&plain_class, 1000);
    lab.setup_answer = SHS_LIMIT;
    assert_int_equal(advance(), SHS_LIMIT);
    assert_int_equal(advance(), SHS_OK);
    assert_int_equal(lab.setups, 1);
    assert_int_equal(lab.calls, 0);
    close_lab();
    assert_int_equal(lab.finishes, 0);
}

static void without_a_worker_only_who_refuses_is_called(void **state)
{
    SHS_UNUSED(state);
    open_lab(&plain_class, 1000);
    shs_conn_set_overloaded(lab.conn, true);
    assert_int_equal(advance(), SHS_LIMIT);
    assert_int_equal(lab.setups + lab.calls, 0);
    assert_non_null(strstr(shs_conn_error(lab.conn)->text, "every worker is busy"));
    close_lab();

    open_lab(&refusing_class, 1000);
    shs_conn_set_overloaded(lab.conn, true);
    assert_int_equal(advance(), SHS_OK);
    assert_int_equal(lab.calls, 1);
    close_lab();
}

static void a_failure_has_its_code(void **state)
{
    SHS_UNUSED(state);
    open_lab(&plain_class, 1000);
    answers(SHS_PROTO, SHS_OK, SHS_OK, SHS_OK);
    assert_int_equal(advance(), SHS_PROTO);
    assert_int_equal(shs_conn_error(lab.conn)->code, SHS_PROTO);
    assert_int_equal(lab.finishes, 1);
    close_lab();

    open_lab(&plain_class, 1000);
    answers(SHS_EXIT, SHS_OK, SHS_OK, SHS_OK); /* is none */
    assert_int_equal(advance(), SHS_EXIT);
    assert_int_equal(shs_conn_error(lab.conn)->code, SHS_OK);
    close_lab();
}

/* Nobody's connection makes room for others before its handler has said that it is idle. */
static void a_handler_begins_as_one_that_stays(void **state)
{
    SHS_UNUSED(state);
    open_lab(&plain_class, 1000);
    answers(SHS_WAIT_READ, SHS_WAIT_READ, SHS_WAIT_READ, SHS_WAIT_READ);
    atomic_store(&lab.conn->idle_ns, 5);
    lab.conn->deadline_ns = 7;
    assert_int_equal(shs_conn_advance(lab.conn, false), SHS_WAIT_READ);
    assert_int_equal(atomic_load(&lab.conn->idle_ns), INT64_MAX);
    assert_int_equal(lab.finishes, 0);
    close_lab();
}

/* Something is there still: once for it, and once more, then it waits. */
static void what_is_held_is_told_twice(void **state)
{
    SHS_UNUSED(state);
    open_lab(&plain_class, 1000);
    answers(SHS_WAIT_READ, SHS_WAIT_READ, SHS_WAIT_READ, SHS_WAIT_READ);
    lab.conn->ahead = true;
    assert_int_equal(advance(), SHS_WAIT_READ);
    assert_int_equal(lab.calls, 2);
    lab.conn->ahead = false;
    assert_int_equal(advance(), SHS_WAIT_READ);
    assert_int_equal(lab.calls, 3);
    close_lab();
}

static void count_enter(struct shs_activity *self, uint64_t route)
{
    SHS_UNUSED(self);
    SHS_UNUSED(route);
    lab.entered++;
}

static void count_leave(struct shs_activity *self)
{
    SHS_UNUSED(self);
    lab.left++;
}

static const struct shs_activity_ops counting = {.enter = count_enter, .leave = count_leave};

static void who_watches_is_told(void **state)
{
    struct shs_activity activity = {.ops = &counting};

    SHS_UNUSED(state);
    open_lab(&plain_class, 1000);
    lab.conn->activity = &activity;
    assert_int_equal(advance(), SHS_OK);
    assert_int_equal(lab.entered, 1);
    assert_int_equal(lab.left, 1);
    assert_int_equal(lab.turn % 2, 1);
    assert_int_equal(atomic_load(&activity.turn) % 2, 0);
    close_lab();

    open_lab(&refusing_class, 1000); /* tells of its requests itself */
    lab.conn->activity = &activity;
    assert_int_equal(advance(), SHS_OK);
    assert_int_equal(lab.entered + lab.left, 0);
    close_lab();
}

/* -- a stream that must write before it can read ----------------------------------------------- */

static bool always_pending(const struct shs_stream *s)
{
    SHS_UNUSED(s);
    return true;
}

static int ready_after_writing(struct shs_stream *s)
{
    SHS_UNUSED(s);
    return SHS_WAIT_WRITE;
}

static void what_must_be_written_first_is_waited_for(void **state)
{
    struct shs_stream_class cls;

    SHS_UNUSED(state);
    open_lab(&plain_class, 1000);
    answers(SHS_WAIT_READ, SHS_OK, SHS_OK, SHS_OK);
    cls = *lab.conn->stream->cls;
    cls.pending = always_pending;
    cls.ready = ready_after_writing;
    lab.conn->stream->cls = &cls;
    assert_int_equal(advance(), SHS_WAIT_WRITE);
    assert_int_equal(lab.calls, 1);
    assert_int_equal(shs_conn_look(lab.conn), SHS_WAIT_WRITE); /* of who waits for a read still */
    assert_int_equal(advance(), SHS_OK);
    close_lab();
}

static int always_ready(struct shs_stream *s)
{
    SHS_UNUSED(s);
    return SHS_OK;
}

/* HTTP has looked there by itself: it is not called again for what a stream holds. */
static void a_protocol_waits_as_it_asked(void **state)
{
    struct shs_stream_class cls;

    SHS_UNUSED(state);
    open_lab(&plain_class, 1000);
    lab.server->protocol = "a protocol";
    answers(SHS_WAIT_READ, SHS_OK, SHS_OK, SHS_OK);
    cls = *lab.conn->stream->cls;
    cls.pending = always_pending;
    cls.ready = always_ready;
    lab.conn->stream->cls = &cls;
    assert_int_equal(advance(), SHS_WAIT_READ);
    assert_int_equal(lab.calls, 1);
    close_lab();
}

/* -- who yields -------------------------------------------------------------------------------- */

static void open_yielding(unsigned stop_ms)
{
    open_lab(&plain_class, stop_ms);
    answers(SHS_YIELD, SHS_YIELD, SHS_YIELD, SHS_YIELD);
    assert_int_equal(advance(), SHS_YIELD);
    assert_int_equal(lab.finishes, 0);
}

static void who_yields_goes_on_while_there_is_time(void **state)
{
    SHS_UNUSED(state);
    open_yielding(60000);
    atomic_store(&lab.server->stopping, true);
    atomic_store(&lab.server->stop_deadline_ns, INT64_MAX);
    assert_int_equal(advance(), SHS_YIELD);
    atomic_store(&lab.server->stop_deadline_ns, 1);
    assert_int_equal(advance(), SHS_STOPPED);
    assert_int_equal(shs_conn_error(lab.conn)->code, SHS_STOPPED);
    close_lab();

    open_yielding(60000); /* the server's time is not up, but this one was cut off */
    shs__socket_stream_cut(&lab.conn->socket, SHUT_RDWR);
    assert_int_equal(advance(), SHS_YIELD);
    atomic_store(&lab.server->stopping, true);
    atomic_store(&lab.server->stop_deadline_ns, INT64_MAX);
    assert_int_equal(advance(), SHS_STOPPED);
    close_lab();
}

static void on_the_loop_a_shutdown_counts(void **state)
{
    SHS_UNUSED(state);
    open_yielding(60000);
    lab.conn->on_loop = true;
    assert_int_equal(advance(), SHS_YIELD);
    atomic_store(&lab.server->shutdown_requested, true);
    assert_int_equal(advance(), SHS_YIELD);
    lab.server->loop_limit_ns = 1;
    assert_int_equal(advance(), SHS_STOPPED);
    close_lab();
}

static void who_yields_waits_for_nobody(void **state)
{
    SHS_UNUSED(state);
    open_lab(&plain_class, 1000);
    answers(SHS_YIELD, SHS_YIELD, SHS_OK, SHS_IO);
    lab.wait_answer = SHS_IO;
    assert_int_equal(shs_server_converse(lab.server, lab.conn), SHS_OK);
    assert_int_equal(lab.calls, 3);
    assert_int_equal(lab.waits, 0);
    close_lab();
}

/* -- the stop ---------------------------------------------------------------------------------- */

static void a_stop_between_two_requests_is_no_failure(void **state)
{
    SHS_UNUSED(state);
    for (int idle = 0; idle < 2; idle++) {
        open_lab(&plain_class, 1000);
        answers(SHS_WAIT_READ, SHS_IO, SHS_IO, SHS_IO);
        lab.wait_answer = SHS_STOPPED;
        shs_conn_set_idle(lab.conn, idle);
        assert_int_equal(shs_server_converse(lab.server, lab.conn), idle ? SHS_OK : SHS_STOPPED);
        assert_int_equal(shs_conn_error(lab.conn)->code, idle ? SHS_OK : SHS_STOPPED);
        assert_int_equal(lab.waits, 1);
        assert_int_equal(lab.calls, 1);
        close_lab();
    }
}

/* Waits for the peer, who is silent, as the serving thread does. */
static int wait_on_loop(void)
{
    lab.conn->on_loop = true;
    lab.waits_by_poll = true;
    shs_conn_set_deadline(lab.conn, shs__deadline_after(shs_now_ns(), (unsigned)patience_ms()));
    return shs_server_wait_request(lab.server, lab.conn, SHS_WAIT_READ);
}

/* Something can be read there, for as long as it is. */
static int open_full_pipe(int ends[2])
{
    assert_int_equal(pipe(ends), 0);
    assert_int_equal(write(ends[1], "x", 1), 1);
    return ends[0];
}

static void close_pipe(const int ends[2])
{
    close(ends[0]);
    close(ends[1]);
}

static void what_wakes_it_ends_a_wait_on_the_loop(void **state)
{
    int ends[2];

    SHS_UNUSED(state);
    open_lab(&plain_class, 1000);
    lab.conn->wake_fd = open_full_pipe(ends);
    shs_conn_set_idle(lab.conn, false);
    assert_int_equal(wait_on_loop(), SHS_TIMEOUT);
    assert_true(shs_now_ns() < shs_conn_deadline(lab.conn));
    close_pipe(ends);
    close_lab();
}

/* One that is only kept alive makes room for the next client; a request under way does not. */
static void a_client_in_front_of_the_door_ends_an_idle_wait(void **state)
{
    struct shs_listener door = {.next = NULL};
    int ends[2];

    SHS_UNUSED(state);
    open_lab(&plain_class, 1000);
    atomic_init(&door.fd, open_full_pipe(ends));
    lab.server->listeners = &door;
    lab.conn->served = 1;
    shs_conn_set_idle(lab.conn, true);
    assert_int_equal(wait_on_loop(), SHS_STOPPED);
    assert_true(shs_now_ns() < shs_conn_deadline(lab.conn));

    shs_conn_set_idle(lab.conn, false);
    assert_int_equal(write(lab.ends[1], "x", 1), 1);
    assert_int_equal(wait_on_loop(), SHS_OK);
    lab.server->listeners = NULL;
    close_pipe(ends);
    close_lab();
}

/* Nor does one that has its answer and stays, but for as long as he needs to take it. */
static void a_client_in_front_of_the_door_ends_a_linger(void **state)
{
    struct shs_listener door = {.next = NULL};
    int ends[2];

    SHS_UNUSED(state);
    for (unsigned served = 0; served < 2; served++) {
        int64_t began;

        open_lab(&plain_class, 1000);
        lab.server->opt.close_ms = (unsigned)patience_ms();
        atomic_init(&door.fd, open_full_pipe(ends));
        lab.server->listeners = &door;
        lab.conn->on_loop = lab.waits_by_poll = true;
        lab.conn->served = served;
        began = shs_now_ns();
        shs__conn_begin_linger(lab.conn);
        lab.conn->phase = SHS_CONN_LINGER;
        assert_int_equal(shs_server_wait_request(lab.server, lab.conn, SHS_WAIT_READ), SHS_STOPPED);
        assert_true(shs_now_ns() >= began + (int64_t)SHS_LINGER_LEAST_MS * SHS_NS_PER_MS);
        assert_true(shs_now_ns() < shs_conn_deadline(lab.conn));
        lab.server->listeners = NULL;
        close_pipe(ends);
        close_lab();
    }
}

/* The loop was woken for something else: the wait goes on, and is not woken again for that. */
static void a_wake_up_is_taken(void **state)
{
    struct pollfd wake = {.events = POLLIN};

    SHS_UNUSED(state);
    open_lab(&plain_class, 1000);
    shs_conn_set_idle(lab.conn, true);
    shs__server_wake(lab.server);
    wake.fd = lab.server->wake_fd;
    assert_int_equal(poll(&wake, 1, 0), 1);
    lab.conn->on_loop = lab.waits_by_poll = true;
    for (int ms = 20; ms <= patience_ms() && poll(&wake, 1, 0) == 1; ms *= 2) {
        shs_conn_set_deadline(lab.conn, shs__deadline_after(shs_now_ns(), (unsigned)ms));
        assert_int_equal(shs_server_wait_request(lab.server, lab.conn, SHS_WAIT_READ), SHS_TIMEOUT);
    }
    assert_int_equal(poll(&wake, 1, 0), 0);
    close_lab();
}

static void who_watches_is_told_of_waits(void **state)
{
    struct shs_activity activity = {.ops = NULL};

    SHS_UNUSED(state);
    open_lab(&plain_class, 1000);
    lab.conn->activity = &activity;
    assert_int_equal(write(lab.ends[1], "x", 1), 1);
    assert_int_equal(wait_on_loop(), SHS_OK);
    assert_int_equal(atomic_load(&activity.waits), 2); /* odd while it waits */
    close_lab();
}

static void who_is_cut_off_on_the_loop_is_named(void **state)
{
    size_t put = 0;

    SHS_UNUSED(state);
    open_lab(&plain_class, 1000);
    shs_conn_set_idle(lab.conn, false);
    lab.server->live = lab.conn;
    atomic_store(&lab.server->shutdown_requested, true);
    lab.server->loop_limit_ns = 1;
    assert_int_equal(wait_on_loop(), SHS_STOPPED);
    assert_true(lab.conn->was_cut);
    assert_int_equal(lab.said, 1);
    assert_non_null(strstr(lab.line, "1 request was cut off"));
    assert_int_equal(shs__stream_write(&lab.conn->socket.base, "x", 1, &put), SHS_STOPPED);
    lab.server->live = NULL;
    close_lab();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(who_is_through_is_not_called_again),
        cmocka_unit_test(without_a_worker_only_who_refuses_is_called),
        cmocka_unit_test(a_failure_has_its_code),
        cmocka_unit_test(a_handler_begins_as_one_that_stays),
        cmocka_unit_test(what_is_held_is_told_twice),
        cmocka_unit_test(who_watches_is_told),
        cmocka_unit_test(what_must_be_written_first_is_waited_for),
        cmocka_unit_test(a_protocol_waits_as_it_asked),
        cmocka_unit_test(who_yields_goes_on_while_there_is_time),
        cmocka_unit_test(on_the_loop_a_shutdown_counts),
        cmocka_unit_test(who_yields_waits_for_nobody),
        cmocka_unit_test(a_stop_between_two_requests_is_no_failure),
        cmocka_unit_test(what_wakes_it_ends_a_wait_on_the_loop),
        cmocka_unit_test(a_client_in_front_of_the_door_ends_an_idle_wait),
        cmocka_unit_test(a_client_in_front_of_the_door_ends_a_linger),
        cmocka_unit_test(a_wake_up_is_taken),
        cmocka_unit_test(who_watches_is_told_of_waits),
        cmocka_unit_test(who_is_cut_off_on_the_loop_is_named),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
