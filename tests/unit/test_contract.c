/* test_contract.c - what a handler may rely on (shs/handler.h), under every composition. */
#include "contract_lab.h"

#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>

#include "server/thread_pool.h"
#include "tls_lab.h"

static const struct contract_variant variants[] = {
    {"none", CONTRACT_NONE, false},     {"thread", CONTRACT_THREAD, false},
    {"pool", CONTRACT_POOL, false},     {"fork", CONTRACT_FORK, false},
    {"none, TLS", CONTRACT_NONE, true}, {"thread, TLS", CONTRACT_THREAD, true},
    {"pool, TLS", CONTRACT_POOL, true}, {"fork, TLS", CONTRACT_FORK, true},
};

#define CLASS(function)                                                                            \
    static const struct shs_request_handler_class function##_class = {                             \
        .name = #function,                                                                         \
        .instance_size = sizeof(struct shs_request_handler),                                       \
        .handle = function,                                                                        \
        .finish = contract_finish,                                                                 \
    }

static int64_t ms_since(int64_t then_ns)
{
    return (shs_now_ns() - then_ns) / SHS_NS_PER_MS;
}

static void await_bytes(uint64_t bytes)
{
    for (int i = 0; i < patience_ms() && atomic_load(&contract_seen->bytes) < bytes; i++)
        poll(NULL, 0, 1);
    assert_int_equal(atomic_load(&contract_seen->bytes), bytes);
}

/* -- the end of data --------------------------------------------------------------------------- */

static int read_to_end(struct shs_request_handler *self)
{
    char buf[4096];
    size_t got = 0;
    int rc;

    contract_called(self);
    while ((rc = shs_conn_read(self->request, buf, sizeof buf, &got)) == SHS_OK)
        atomic_fetch_add(&contract_seen->bytes, got);
    contract_ended(self, rc);
    atomic_store(&contract_seen->again, shs_conn_read(self->request, buf, sizeof buf, &got));
    return rc == SHS_CLOSED ? SHS_OK : rc;
}
CLASS(read_to_end);

static int rfile_to_end(struct shs_request_handler *base)
{
    struct shs_stream_request_handler *self =
        SHS_CONTAINER_OF(base, struct shs_stream_request_handler, base);
    char buf[4096];
    size_t got = 0;
    int rc;

    contract_called(base);
    while ((rc = shs_rfile_read1(self->rfile, buf, sizeof buf, &got)) == SHS_OK)
        atomic_fetch_add(&contract_seen->bytes, got);
    assert_int_equal(shs_rfile_read(self->rfile, buf, sizeof buf, &got), rc);
    assert_int_equal(got, 0);
    assert_int_equal(shs_rfile_readline(self->rfile, buf, sizeof buf, &got), rc);
    contract_ended(base, rc);
    return rc == SHS_CLOSED ? SHS_OK : rc;
}

static void rfile_finish(struct shs_request_handler *self)
{
    shs_stream_request_handler_finish(self);
    contract_finish(self);
}

#define STREAM_CLASS(function)                                                                     \
    static const struct shs_stream_request_handler_class function##_class = {                      \
        .base = {.name = #function,                                                                \
                 .instance_size = sizeof(struct shs_stream_request_handler),                       \
                 .setup = shs_stream_request_handler_setup,                                        \
                 .handle = function,                                                               \
                 .finish = rfile_finish},                                                          \
        .rbufsize = -1,                                                                            \
    }
STREAM_CLASS(rfile_to_end);

static int rfile_lines(struct shs_request_handler *base)
{
    struct shs_stream_request_handler *self =
        SHS_CONTAINER_OF(base, struct shs_stream_request_handler, base);
    char line[64];
    size_t got = 0;
    int rc;

    contract_called(base);
    while ((rc = shs_rfile_readline(self->rfile, line, sizeof line, &got)) == SHS_OK)
        atomic_fetch_add(&contract_seen->bytes, got);
    contract_ended(base, rc);
    return rc == SHS_CLOSED ? SHS_OK : rc;
}
STREAM_CLASS(rfile_lines);

typedef void end_fn(struct contract_client *c);

static void it_ends(const struct contract_variant *v, const struct shs_request_handler_class *cls,
                    end_fn *end, int code)
{
    struct contract_meeting m;
    bool failed = code != SHS_CLOSED;

    contract_prepare(&m, v);
    contract_meet(&m, cls);
    contract_say(&m.c, "abc", 3);
    await_bytes(3);
    if (end != NULL)
        end(&m.c);
    else
        contract_end(&m.s);
    contract_await_finish();
    assert_int_equal(contract_seen->rc, code);
    assert_int_equal(contract_seen->error, failed ? code : SHS_OK);
    if (cls == &read_to_end_class)
        assert_int_equal(contract_seen->again, code);
    if (end != contract_reset_it)
        contract_hang_up(&m.c);
    contract_free(&m.s);
    assert_int_equal(contract_seen->calls, 1);
    if (code == SHS_STOPPED && v->mixin == CONTRACT_FORK)
        return;
    /* A stop between two requests is nobody's failure: the handler has not said that it is busy. */
    assert_int_equal(contract_seen->errors, failed && code != SHS_STOPPED);
    if (failed && code != SHS_STOPPED)
        assert_int_equal(contract_seen->told, code);
}

static void ends_are_four_answers(void **state)
{
    const struct contract_variant *v = *state;
    const struct shs_request_handler_class *const classes[] = {&read_to_end_class,
                                                               &rfile_to_end_class.base};

    for (size_t i = 0; i < SHS_ARRAY_LEN(classes); i++) {
        it_ends(v, classes[i], contract_end_data, SHS_CLOSED);
        it_ends(v, classes[i], contract_fin, v->tls ? SHS_TRUNCATED : SHS_CLOSED);
        it_ends(v, classes[i], contract_reset_it, SHS_RESET);
        it_ends(v, classes[i], NULL, SHS_STOPPED);
    }
}

/* One read for each call: then somebody else waits for the end. */
static int read_and_return(struct shs_request_handler *self)
{
    char buf[8];
    size_t got = 0;
    int rc;

    contract_called(self);
    rc = shs_conn_read(self->request, buf, sizeof buf, &got);
    if (rc == SHS_OK) {
        atomic_fetch_add(&contract_seen->bytes, got);
        return SHS_WAIT_READ;
    }
    contract_ended(self, rc);
    return rc == SHS_CLOSED ? SHS_OK : rc;
}
CLASS(read_and_return);

/* A stop may end it without another call, and is nobody's failure either way. */
static void who_waits_is_told_the_end(void **state)
{
    static const struct {
        end_fn *end;
        int code, code_tls;
    } ends[] = {
        {contract_end_data, SHS_CLOSED, SHS_CLOSED},
        {contract_fin, SHS_CLOSED, SHS_TRUNCATED},
        {contract_reset_it, SHS_RESET, SHS_RESET},
        {NULL, SHS_STOPPED, SHS_STOPPED},
    };
    const struct contract_variant *v = *state;

    for (size_t i = 0; i < SHS_ARRAY_LEN(ends); i++) {
        int code = v->tls ? ends[i].code_tls : ends[i].code;
        bool failed = code == SHS_RESET || code == SHS_TRUNCATED;
        struct contract_meeting m;

        contract_prepare(&m, v);
        contract_meet(&m, &read_and_return_class);
        contract_say(&m.c, "abc", 3);
        await_bytes(3);
        if (ends[i].end != NULL)
            ends[i].end(&m.c);
        else
            contract_end(&m.s);
        if (code != SHS_STOPPED || v->mixin != CONTRACT_FORK) /* a child may be ended by SIGTERM */
            contract_await_finish();
        if (code != SHS_STOPPED)
            assert_int_equal(contract_seen->rc, code);
        if (ends[i].end != contract_reset_it)
            contract_hang_up(&m.c);
        contract_free(&m.s);
        if (code == SHS_STOPPED && v->mixin == CONTRACT_FORK)
            continue;
        assert_int_equal(contract_seen->errors, failed);
        assert_int_equal(contract_seen->shutdowns, 1);
    }
}

/* -- deadlines --------------------------------------------------------------------------------- */

#define SHORT_MS 60

/* Nothing was set: each read has idle_ms, from its own beginning; and the next, with nothing there,
   has none of it left. */
static void a_read_has_idle_ms(void **state)
{
    const struct contract_variant *v = *state;
    struct contract_meeting m;
    int64_t then;

    contract_prepare(&m, v);
    m.opt.idle_ms = SHORT_MS;
    contract_start(&m.s, v, &m.opt, &read_to_end_class);
    then = shs_now_ns(); /* before it can begin to read */
    contract_dial(&m.c, &m.s);
    contract_say(&m.c, "abc", 3);
    contract_await_finish();
    assert_true(ms_since(then) >= SHORT_MS);
    assert_int_equal(contract_seen->rc, SHS_TIMEOUT);
    assert_int_equal(contract_seen->error, SHS_TIMEOUT);
    assert_int_equal(contract_seen->again, SHS_TIMEOUT);
    assert_true(contract_seen->begin_deadline_ns == INT64_MAX);
    contract_part(&m);
    assert_int_equal(contract_seen->told, SHS_TIMEOUT);
}

static int echo(struct shs_request_handler *self)
{
    char buf[256];
    size_t got = 0;
    int rc;

    contract_called(self);
    while ((rc = shs_conn_read(self->request, buf, sizeof buf, &got)) == SHS_OK &&
           (rc = shs_conn_write(self->request, buf, got)) == SHS_OK)
        atomic_fetch_add(&contract_seen->bytes, got);
    return contract_ended(self, rc) == SHS_CLOSED ? SHS_OK : rc;
}
CLASS(echo);

static int resumed_echo(struct shs_request_handler *self)
{
    char buf[256];
    size_t got = 0;
    int rc;

    contract_called(self);
    if (contract_seen->calls == 1)
        return SHS_WAIT_READ;
    rc = shs_conn_read(self->request, buf, sizeof buf, &got);
    if (rc == SHS_OK)
        rc = shs_conn_write(self->request, buf, got);
    if (rc == SHS_OK)
        return SHS_WAIT_READ;
    return contract_ended(self, rc) == SHS_CLOSED ? SHS_OK : rc;
}
CLASS(resumed_echo);

/* The time for a handshake and a head is not the handler's: who is active goes on. */
static void who_is_active_goes_on(void **state)
{
    const struct contract_variant *v = *state;
    const struct shs_request_handler_class *const classes[] = {&echo_class, &resumed_echo_class};

    for (size_t i = 0; i < SHS_ARRAY_LEN(classes); i++) {
        struct contract_meeting m;
        int64_t then = shs_now_ns();
        char buf[8];

        contract_prepare(&m, v);
        m.opt.head_ms = SHORT_MS;
        if (!v->tls)
            m.opt.handshake_ms = SHORT_MS;
        contract_meet(&m, classes[i]);
        while (ms_since(then) < 3 * SHORT_MS) {
            contract_say(&m.c, "on", 2);
            assert_int_equal(contract_hear(&m.c, buf, sizeof buf), 2);
            poll(NULL, 0, SHORT_MS / 8);
        }
        contract_end_data(&m.c);
        contract_await_finish();
        assert_int_equal(contract_seen->rc, SHS_CLOSED);
        contract_part(&m);
        assert_int_equal(contract_seen->errors, 0);
    }
}

/* A byte now and then is not worth idle_ms each time, whoever loops: this handler, or rfile. */
static void a_byte_now_and_then_ends(void **state)
{
    const struct contract_variant *v = *state;
    const struct shs_request_handler_class *const classes[] = {
        &read_to_end_class, &rfile_to_end_class.base, &rfile_lines_class.base};

    for (size_t i = 0; i < SHS_ARRAY_LEN(classes); i++) {
        struct contract_meeting m;
        int64_t then;

        contract_prepare(&m, v);
        m.opt.idle_ms = SHORT_MS;
        contract_start(&m.s, v, &m.opt, classes[i]);
        then = shs_now_ns();
        contract_dial(&m.c, &m.s);
        for (int k = 0; k < patience_ms() && atomic_load(&contract_seen->end_ns) == 0; k++) {
            contract_try_to_say(&m.c, "\n", 1);
            poll(NULL, 0, SHORT_MS / 8);
        }
        contract_await_finish();
        assert_true(ms_since(then) >= SHORT_MS);
        assert_int_equal(contract_seen->rc, SHS_TIMEOUT);
        contract_part(&m);
        assert_int_equal(contract_seen->told, SHS_TIMEOUT);
    }
}

/* More than any socket holds. */
enum { LONG_ANSWER = 32 << 20 };

static int write_behind(struct shs_request_handler *self)
{
    struct pollfd fd = {.fd = shs_conn_fileno(self->request), .events = POLLOUT};
    char *answer = shs__malloc(LONG_ANSWER);
    int first = SHS_NOMEM, then;

    contract_called(self);
    if (answer != NULL) {
        memset(answer, 'a', LONG_ANSWER);
        first = shs_conn_write(self->request, answer, LONG_ANSWER);
    }
    shs__free(answer);
    atomic_fetch_add(&contract_seen->bytes, 1); /* now the client reads */
    poll(&fd, 1, patience_ms());
    then = shs_conn_write(self->request, "b", 1);
    contract_ended(self, first == SHS_TIMEOUT ? then : SHS_USAGE);
    return first;
}
CLASS(write_behind);

/* Half an answer, and then another one behind it, would look like one. */
static void nothing_is_written_behind_a_failed_write(void **state)
{
    const struct contract_variant *v = *state;
    struct contract_meeting m;
    char buf[4096];

    contract_prepare(&m, v);
    m.opt.write_ms = SHORT_MS;
    contract_meet(&m, &write_behind_class);
    await_bytes(1);
    while (atomic_load(&contract_seen->end_ns) == 0) {
        size_t n = contract_hear(&m.c, buf, sizeof buf);

        if (n == 0)
            break;
        assert_null(memchr(buf, 'b', n));
    }
    contract_await_finish();
    assert_int_equal(contract_seen->rc, SHS_TIMEOUT);
    contract_part(&m);
}

static int late_byte(struct shs_request_handler *base)
{
    struct shs_stream_request_handler *self =
        SHS_CONTAINER_OF(base, struct shs_stream_request_handler, base);
    struct pollfd fd = {.fd = shs_conn_fileno(base->request), .events = POLLIN};
    char buf[8];
    size_t got = 0;
    int first, then;

    contract_called(base);
    first = shs_rfile_read1(self->rfile, buf, sizeof buf, &got);
    atomic_fetch_add(&contract_seen->bytes, 1); /* now the client sends */
    poll(&fd, 1, patience_ms());
    then = shs_rfile_read1(self->rfile, buf, sizeof buf, &got);
    contract_ended(base, first == SHS_TIMEOUT ? then : SHS_USAGE);
    return first;
}
STREAM_CLASS(late_byte);

/* As in Python: "cannot read from timed out object". */
static void rfile_stays_timed_out(void **state)
{
    const struct contract_variant *v = *state;
    struct contract_meeting m;

    contract_prepare(&m, v);
    m.opt.idle_ms = SHORT_MS;
    contract_meet(&m, &late_byte_class.base);
    await_bytes(1);
    contract_say(&m.c, "x", 1);
    contract_await_finish();
    assert_int_equal(contract_seen->rc, SHS_TIMEOUT);
    contract_part(&m);
}

/* True: it was answered each time. False: cut off, perhaps because this machine was late. */
static bool talks_for_longer(const struct contract_variant *v, unsigned idle_ms)
{
    struct contract_meeting m;
    int64_t then = shs_now_ns();
    bool answered = true;
    char buf[8];

    contract_prepare(&m, v);
    m.opt.idle_ms = idle_ms;
    contract_meet(&m, &echo_class);
    while (answered && ms_since(then) < (int64_t)(idle_ms + idle_ms / 2)) {
        contract_try_to_say(&m.c, "on", 2);
        answered = contract_hear(&m.c, buf, sizeof buf) == 2;
        poll(NULL, 0, (int)idle_ms / 6);
    }
    contract_part(&m);
    return answered;
}

/* Who answers has the whole time again. */
static void who_is_answered_goes_on(void **state)
{
    bool goes_on = false;

    for (unsigned idle_ms = 2 * SHORT_MS; !goes_on && idle_ms < 100 * SHORT_MS; idle_ms *= 2)
        goes_on = talks_for_longer(*state, idle_ms);
    assert_true(goes_on);
}

static int wait_on(struct shs_request_handler *self)
{
    contract_called(self);
    return SHS_WAIT_READ;
}
CLASS(wait_on);

/* Who waits and set no deadline is called when idle_ms have passed, and ended if he waits on. */
static void a_wait_without_a_deadline_ends(void **state)
{
    const struct contract_variant *v = *state;
    struct contract_meeting m;
    int64_t then;

    contract_prepare(&m, v);
    m.opt.idle_ms = SHORT_MS;
    contract_start(&m.s, v, &m.opt, &wait_on_class);
    then = shs_now_ns();
    contract_dial(&m.c, &m.s);
    contract_await_finish();
    assert_true(ms_since(then) >= SHORT_MS);
    contract_part(&m);
    assert_true(contract_seen->calls >= 2);
    assert_int_equal(contract_seen->errors, 1);
    assert_int_equal(contract_seen->told, SHS_TIMEOUT);
}

/* Answers what it hears; 'n': when it has napped for longer than idle_ms. */
static int echo_or_nap(struct shs_request_handler *self)
{
    char byte;
    size_t got = 0;
    int rc = shs_conn_read(self->request, &byte, 1, &got);

    contract_called(self);
    if (rc == SHS_OK && byte == 'n')
        poll(NULL, 0, (int)shs_server_options(self->server)->idle_ms * 3 / 2);
    if (rc == SHS_OK)
        rc = shs_conn_write(self->request, &byte, 1);
    return rc == SHS_OK ? SHS_WAIT_READ : contract_ended(self, rc);
}
CLASS(echo_or_nap);

static bool is_heard(struct contract_client *c, const char *byte)
{
    char buf[8];

    return contract_try_to_say(c, byte, 1) && contract_hear(c, buf, sizeof buf) == 1 &&
           buf[0] == *byte;
}

/* True: who spoke in time was heard late, and heard again. False: or this machine was late. */
static bool is_heard_after_a_nap(const struct contract_variant *v, unsigned idle_ms)
{
    struct contract_meeting m;
    struct contract_client other;
    char buf[8];
    bool heard;
    int i;

    contract_prepare(&m, v);
    m.opt.idle_ms = idle_ms;
    m.opt.max_threads = 1;
    m.opt.queue_ms = 60000;
    contract_start(&m.s, v, &m.opt, &echo_or_nap_class);
    contract_dial(&m.c, &m.s);
    heard = is_heard(&m.c, "a");
    contract_dial(&other, &m.s);
    heard = heard && contract_try_to_say(&other, "n", 1);
    for (i = 0; heard && i < patience_ms() && atomic_load(&contract_seen->calls) < 2; i++)
        poll(NULL, 0, 1);
    /* The one worker naps, for longer than what is left of the time of this one. */
    heard = heard && contract_try_to_say(&m.c, "b", 1) && contract_hear(&m.c, buf, sizeof buf) == 1;
    poll(NULL, 0, (int)idle_ms / 2);
    heard = heard && is_heard(&m.c, "c");
    contract_hang_up(&other);
    contract_part(&m);
    return heard;
}

/* Whoever was there in time has his time again, though the worker came when it was over. */
static void who_waits_behind_others_goes_on(void **state)
{
    const struct contract_variant *v = *state;
    bool heard = false;

    if (v->mixin != CONTRACT_POOL)
        skip();
    for (unsigned idle_ms = 6 * SHORT_MS; !heard && idle_ms < 40 * SHORT_MS; idle_ms *= 2)
        heard = is_heard_after_a_nap(v, idle_ms);
    assert_true(heard);
}

static int two_halves(struct shs_request_handler *self)
{
    char buf[50];
    size_t got = 0;
    int rc;

    contract_called(self);
    rc = shs_conn_read(self->request, buf, sizeof buf, &got);
    if (rc != SHS_OK)
        return contract_ended(self, rc);
    if (atomic_fetch_add(&contract_seen->bytes, got) + got == 100)
        return contract_ended(self, shs_conn_write(self->request, "whole", 5));
    shs_conn_set_deadline(self->request, shs_now_ns() + (int64_t)3600 * SHS_NS_PER_S);
    return SHS_WAIT_READ;
}
CLASS(two_halves);

/* 50 of 100 bytes of one record are read: the handler is called at once for the others. */
static void half_a_record_is_not_forgotten(void **state)
{
    const struct contract_variant *v = *state;
    struct contract_meeting m;
    char buf[100];

    contract_prepare(&m, v);
    contract_meet(&m, &two_halves_class);
    memset(buf, 'x', sizeof buf);
    contract_say(&m.c, buf, sizeof buf);
    assert_int_equal(contract_hear(&m.c, buf, sizeof buf), 5);
    contract_await_finish();
    contract_part(&m);
    assert_int_equal(contract_seen->calls, 2);
}

/* A line for each call, and the last one ends it. */
static int line_by_line(struct shs_request_handler *base)
{
    struct shs_stream_request_handler *self =
        SHS_CONTAINER_OF(base, struct shs_stream_request_handler, base);
    char line[64];
    size_t got = 0;
    int rc;

    contract_called(base);
    rc = shs_rfile_readline(self->rfile, line, sizeof line, &got);
    if (rc == SHS_OK)
        rc = shs_wfile_write(self->wfile, line, got);
    if (rc == SHS_OK && line[0] != '3')
        return SHS_WAIT_READ;
    return contract_ended(base, rc);
}
STREAM_CLASS(line_by_line);

/* rfile has taken three lines from the peer, who sends no more: the handler is called for each. */
static void what_rfile_holds_is_not_forgotten(void **state)
{
    struct contract_meeting m;
    char buf[9] = "";
    size_t got = 0, n = 1;

    contract_prepare(&m, *state);
    contract_meet(&m, &line_by_line_class.base);
    contract_say(&m.c, "1\n2\n3\n", 6);
    for (; got < 6 && n > 0; got += n)
        n = contract_hear(&m.c, buf + got, sizeof buf - 1 - got);
    assert_string_equal(buf, "1\n2\n3\n");
    contract_await_finish();
    contract_part(&m);
    assert_int_equal(contract_seen->calls, 3);
}

/* Takes a byte, and is through with the others. */
static int close_rfile(struct shs_request_handler *base)
{
    struct shs_stream_request_handler *self =
        SHS_CONTAINER_OF(base, struct shs_stream_request_handler, base);
    char byte;
    size_t got = 0;
    int rc = SHS_OK;

    contract_called(base);
    if (contract_seen->calls == 1)
        rc = shs_rfile_read(self->rfile, &byte, 1, &got);
    if (rc != SHS_OK)
        return contract_ended(base, rc);
    if (contract_seen->calls != 2)
        return SHS_WAIT_READ;
    shs_rfile_close(self->rfile);
    shs_conn_set_deadline(base->request, shs_now_ns() + SHORT_MS * SHS_NS_PER_MS);
    return SHS_WAIT_READ;
}
STREAM_CLASS(close_rfile);

static void what_a_closed_rfile_holds_is_no_call(void **state)
{
    struct contract_meeting m;

    contract_prepare(&m, *state);
    contract_meet(&m, &close_rfile_class.base);
    contract_say(&m.c, "abc", 3);
    contract_await_finish();
    contract_part(&m);
    /* for the byte, for the others, and when the deadline has passed */
    assert_int_equal(contract_seen->calls, 3);
    assert_int_equal(contract_seen->told, SHS_TIMEOUT);
}

/* One byte of a record, and nothing of the others: it waits as it asked, and does not spin. */
static int takes_nothing(struct shs_request_handler *self)
{
    char byte;
    size_t got = 0;

    contract_called(self);
    if (contract_seen->calls > 1)
        return SHS_WAIT_READ;
    shs_conn_set_deadline(self->request, shs_now_ns() + (int64_t)60 * SHS_NS_PER_S);
    if (shs_conn_read(self->request, &byte, 1, &got) != SHS_OK)
        return SHS_IO;
    shs_conn_set_deadline(self->request, shs_now_ns() + SHORT_MS * SHS_NS_PER_MS);
    return SHS_WAIT_READ;
}
CLASS(takes_nothing);

static void who_takes_nothing_does_not_spin(void **state)
{
    const struct contract_variant *v = *state;
    struct contract_meeting m;

    if (!v->tls) /* a plain socket with something in it is ready, whoever asks */
        skip();
    contract_prepare(&m, v);
    contract_meet(&m, &takes_nothing_class);
    contract_say(&m.c, "abc", 3);
    contract_await_finish();
    contract_part(&m);
    assert_true(contract_seen->calls < 20);
    assert_int_equal(contract_seen->told, SHS_TIMEOUT);
}

/* Counted before it reads, for a call in vain does not come back from there. */
static int call_and_echo(struct shs_request_handler *self)
{
    char byte;
    size_t got = 0;
    int rc;

    contract_called(self);
    rc = shs_conn_read(self->request, &byte, 1, &got);
    if (rc == SHS_OK)
        rc = shs_conn_write(self->request, &byte, 1);
    return rc == SHS_OK ? SHS_WAIT_READ : contract_ended(self, rc);
}
CLASS(call_and_echo);

static void await_calls(int calls)
{
    for (int i = 0; i < patience_ms() && atomic_load(&contract_seen->calls) < calls; i++)
        poll(NULL, 0, 1);
    assert_int_equal(atomic_load(&contract_seen->calls), calls);
}

/*
 * The handler reads before its peer speaks, so another worker is told of the byte that this call
 * takes: that is no reason for another call, which would keep a worker for nothing.
 */
static void who_was_heard_is_not_called_in_vain(void **state)
{
    const struct contract_variant *v = *state;
    struct contract_meeting m;

    if (v->mixin != CONTRACT_POOL)
        skip();
    contract_prepare(&m, v);
    m.opt.threads = 4;
    contract_meet(&m, &call_and_echo_class);
    await_calls(1);
    for (int round = 0; round < 20; round++) {
        struct contract_client other;
        int calls = atomic_load(&contract_seen->calls);

        contract_dial(&other, &m.s);
        await_calls(calls + 1);
        assert_true(is_heard(&other, "a"));
        poll(NULL, 0, 2);
        assert_int_equal(atomic_load(&contract_seen->calls), calls + 1);
        assert_true(is_heard(&other, "b"));
        assert_int_equal(atomic_load(&contract_seen->calls), calls + 2);
        contract_hang_up(&other);
        await_calls(calls + 3); /* for the end of it */
    }
    contract_part(&m);
}

/* Reads only what there is, and counts the calls for nothing. */
static int look_and_echo(struct shs_request_handler *self)
{
    struct pollfd peer = {.fd = shs_conn_fileno(self->request), .events = POLLIN};
    char byte;
    size_t got = 0;
    int rc;

    contract_called(self);
    if (poll(&peer, 1, 0) == 0) {
        atomic_fetch_add(&contract_seen->vain, 1);
        return SHS_WAIT_READ;
    }
    rc = shs_conn_read(self->request, &byte, 1, &got);
    if (rc == SHS_OK)
        rc = shs_conn_write(self->request, &byte, 1);
    return rc == SHS_OK ? SHS_WAIT_READ : contract_ended(self, rc);
}
CLASS(look_and_echo);

/* The only connection, once it waits for its peer. */
static struct shs_pool_slot *claim_parked(struct shs_pool_group *group)
{
    struct shs_pool_slot *slot;

    for (int i = 0; i < patience_ms(); i++) {
        slot = shs__pool_slot_at(group, 0);
        for (uint32_t k = 0; slot != NULL; slot = shs__pool_slot_at(group, ++k)) {
            if (shs__pool_claim_parked(slot))
                return slot;
        }
        poll(NULL, 0, 1);
    }
    fail();
    return NULL;
}

/*
 * What a worker has fetched waits behind its other events, and meanwhile another worker has the
 * connection, reads what the event was for, and parks it.
 */
static void an_event_that_is_late_is_no_call(void **state)
{
    const struct contract_variant *v = *state;
    struct contract_meeting m;
    struct shs_thread_pool *pool;
    struct shs_pool_group *group;
    struct shs_pool_worker late = {.told_ns = 1};

    if (v->mixin != CONTRACT_POOL || v->tls) /* where poll knows what there is */
        skip();
    contract_prepare(&m, v);
    contract_meet(&m, &look_and_echo_class);
    await_calls(1); /* the first one, before the peer speaks */
    assert_true(is_heard(&m.c, "a"));
    await_calls(2);
    pool = SHS_CONTAINER_OF(m.s.server->scheduler, struct shs_thread_pool, scheduler);
    late.group = group = &pool->crew->groups[0];
    shs__pool_run(group, &late, claim_parked(group));
    assert_int_equal(contract_seen->vain, 1); /* the first one */
    assert_true(is_heard(&m.c, "b"));
    contract_part(&m);
    assert_int_equal(contract_seen->vain, 1);
}

/* Asks for room again and again, and there is some each time. */
static int ask_for_room(struct shs_request_handler *self)
{
    contract_called(self);
    if (contract_seen->calls < 20)
        return SHS_WAIT_WRITE;
    return contract_ended(self, shs_conn_write(self->request, "room", 4));
}
CLASS(ask_for_room);

static void who_waits_for_room_that_there_is_goes_on(void **state)
{
    struct contract_meeting m;
    char buf[4];

    contract_prepare(&m, *state);
    contract_meet(&m, &ask_for_room_class);
    assert_int_equal(contract_hear(&m.c, buf, sizeof buf), 4);
    contract_await_finish();
    contract_part(&m);
    assert_int_equal(contract_seen->calls, 20);
    assert_int_equal(contract_seen->errors, 0);
}

/* The next record, by hand. */
static size_t seal_byte(struct contract_client *c, char byte, char *sealed, size_t cap)
{
    BIO *kept = BIO_new(BIO_s_mem());
    int len;

    assert_non_null(kept);
    SSL_set0_wbio(c->ssl, kept);
    assert_int_equal(SSL_write(c->ssl, &byte, 1), 1);
    len = BIO_read(kept, sealed, (int)cap);
    assert_true(len > 1 && (size_t)len < cap);
    return (size_t)len;
}

/* A peer that sends a record byte by byte keeps no worker meanwhile. */
static void half_a_record_is_no_call(void **state)
{
    const struct contract_variant *v = *state;
    struct contract_meeting m;
    char sealed[256], byte;
    size_t len;

    if (v->mixin != CONTRACT_POOL || !v->tls)
        skip();
    contract_prepare(&m, v);
    contract_meet(&m, &call_and_echo_class);
    assert_true(is_heard(&m.c, "a"));
    len = seal_byte(&m.c, 'b', sealed, sizeof sealed);
    for (size_t i = 0; i < len; i++) {
        assert_int_equal(atomic_load(&contract_seen->calls), 1);
        assert_int_equal(send(m.c.fd, sealed + i, 1, MSG_NOSIGNAL), 1);
        poll(NULL, 0, 2);
    }
    assert_int_equal(contract_hear(&m.c, &byte, 1), 1);
    assert_int_equal(byte, 'b');
    assert_int_equal(contract_seen->calls, 2);
    contract_part(&m);
}

static int read_much(struct shs_request_handler *base)
{
    struct shs_stream_request_handler *self =
        SHS_CONTAINER_OF(base, struct shs_stream_request_handler, base);
    char buf[4096];
    size_t got = 0;
    int rc;

    contract_called(base);
    rc = shs_rfile_read(self->rfile, buf, sizeof buf, &got);
    atomic_store(&contract_seen->bytes, got);
    return contract_ended(base, rc);
}
STREAM_CLASS(read_much);

/* A byte now and then, each long before idle_ms: rfile.read ends all the same. */
static void drops_do_not_hold_a_read(void **state)
{
    const struct contract_variant *v = *state;
    struct contract_meeting m;
    int64_t then;
    int sent = 0;

    contract_prepare(&m, v);
    m.opt.idle_ms = 2 * SHORT_MS;
    m.opt.min_rate = 100000;
    contract_start(&m.s, v, &m.opt, &read_much_class.base);
    then = shs_now_ns();
    contract_dial(&m.c, &m.s);
    for (; atomic_load(&contract_seen->end_ns) == 0 && ms_since(then) < patience_ms(); sent++) {
        if (contract_seen->rc == SHS_OK)
            contract_say(&m.c, "x", 1);
        poll(NULL, 0, SHORT_MS / 8);
    }
    assert_true(ms_since(then) >= 2 * SHORT_MS);
    contract_await_finish();
    assert_int_equal(contract_seen->rc, SHS_TIMEOUT);
    assert_true(contract_seen->bytes <= (uint64_t)sent);
    contract_part(&m);
}

/* -- writing ----------------------------------------------------------------------------------- */

static int write_on(struct shs_request_handler *self)
{
    static const char data[65536];
    int rc;

    contract_called(self);
    do
        rc = shs_conn_write(self->request, data, sizeof data);
    while (rc == SHS_OK);
    return contract_ended(self, rc);
}
CLASS(write_on);

static void a_reader_that_is_gone(void **state)
{
    const struct contract_variant *v = *state;
    struct contract_meeting m;
    char buf[1024];

    contract_prepare(&m, v);
    contract_meet(&m, &write_on_class);
    assert_true(contract_hear(&m.c, buf, sizeof buf) > 0);
    contract_reset_it(&m.c);
    contract_await_finish();
    assert_int_equal(contract_seen->rc, SHS_RESET);
    assert_int_equal(contract_seen->error, SHS_RESET);
    contract_free(&m.s);
    assert_int_equal(contract_seen->errors, 1);
    assert_int_equal(contract_seen->shutdowns, v->mixin == CONTRACT_FORK ? 1 : 1);
}

static void a_reader_that_does_not_read(void **state)
{
    const struct contract_variant *v = *state;
    struct contract_meeting m;
    int64_t then;

    contract_prepare(&m, v);
    m.opt.write_ms = SHORT_MS;
    contract_start(&m.s, v, &m.opt, &write_on_class);
    then = shs_now_ns();
    contract_dial(&m.c, &m.s);
    contract_await_finish();
    assert_true(ms_since(then) >= SHORT_MS);
    assert_int_equal(contract_seen->rc, SHS_TIMEOUT);
    assert_int_equal(contract_seen->error, SHS_TIMEOUT);
    contract_part(&m);
}

/* -- the stop ---------------------------------------------------------------------------------- */

static int busy_to_end(struct shs_request_handler *self)
{
    shs_conn_set_idle(self->request, false);
    return read_to_end(self);
}
CLASS(busy_to_end);

/* Who says that he is busy has stop_ms; what still comes meanwhile is his. */
static void who_is_busy_has_stop_ms(void **state)
{
    const struct contract_variant *v = *state;
    struct contract_meeting m;
    int64_t then;

    if (v->mixin == CONTRACT_FORK) /* SIGTERM: test_socketserver_forking.c */
        skip();
    contract_prepare(&m, v);
    m.opt.stop_ms = SHORT_MS;
    contract_meet(&m, &busy_to_end_class);
    contract_say(&m.c, "abc", 3);
    await_bytes(3);
    then = shs_now_ns();
    contract_end(&m.s);
    contract_await_finish();
    assert_true(ms_since(then) >= SHORT_MS);
    assert_int_equal(contract_seen->rc, SHS_STOPPED);
    assert_int_equal(contract_seen->error, SHS_STOPPED);
    contract_part(&m);
    assert_int_equal(contract_seen->errors, 1);
    assert_int_equal(contract_seen->told, SHS_STOPPED);
}

/* -- turns ------------------------------------------------------------------------------------- */

#define TURNS 5

static int yields(struct shs_request_handler *self)
{
    contract_called(self);
    if (atomic_load(&contract_seen->calls) < TURNS)
        return SHS_YIELD;
    return contract_ended(self, shs_conn_write(self->request, "now", 3));
}
CLASS(yields);

/* Who lets others have their turn has his as well, whether his peer says something or not. */
static void who_yields_is_called_again(void **state)
{
    struct contract_meeting m;
    char buf[8];

    contract_options(*state, &m.opt);
    contract_start(&m.s, *state, &m.opt, &yields_class);
    contract_dial(&m.c, &m.s);
    contract_say(&m.c, "a", 1);
    assert_int_equal(contract_hear(&m.c, buf, sizeof buf), 3);
    contract_await_finish();
    assert_int_equal(contract_seen->calls, TURNS);
    assert_int_equal(contract_seen->rc, SHS_OK);
    contract_part(&m);
    assert_int_equal(contract_seen->errors, 0);
}

static int yields_on(struct shs_request_handler *self)
{
    shs_conn_set_idle(self->request, false);
    contract_called(self);
    return SHS_YIELD;
}
CLASS(yields_on);

/* ... but not for ever: the server's time is the end of his. */
static void who_yields_has_stop_ms(void **state)
{
    const struct contract_variant *v = *state;
    struct contract_meeting m;
    int64_t then;

    if (v->mixin == CONTRACT_FORK) /* SIGTERM: test_socketserver_forking.c */
        skip();
    contract_prepare(&m, v);
    m.opt.stop_ms = SHORT_MS;
    contract_meet(&m, &yields_on_class);
    contract_say(&m.c, "a", 1);
    for (int i = 0; i < patience_ms() && atomic_load(&contract_seen->calls) < TURNS; i++)
        poll(NULL, 0, 1);
    assert_true(atomic_load(&contract_seen->calls) >= TURNS);
    then = shs_now_ns();
    contract_end(&m.s);
    contract_await_finish();
    assert_true(ms_since(then) >= SHORT_MS);
    contract_part(&m);
    assert_int_equal(contract_seen->errors, 1);
    assert_int_equal(contract_seen->told, SHS_STOPPED);
    assert_int_equal(contract_seen->shutdowns, 1);
}

/* -- errors ------------------------------------------------------------------------------------ */

static int fail_it(struct shs_request_handler *self)
{
    contract_called(self);
    return contract_ended(self, shs_conn_fail(self->request, SHS_PROTO, 0, "no such command"));
}
CLASS(fail_it);

static void a_failure_is_told_once(void **state)
{
    const struct contract_variant *v = *state;
    struct contract_meeting m;
    char buf[16];

    contract_prepare(&m, v);
    contract_meet(&m, &fail_it_class);
    contract_await_finish();
    assert_int_equal(contract_hear(&m.c, buf, sizeof buf), 0);
    contract_part(&m);
    assert_int_equal(contract_seen->calls, 1);
    assert_int_equal(contract_seen->errors, 1);
    assert_int_equal(contract_seen->told, SHS_PROTO);
    assert_int_equal(contract_seen->shutdowns, 1);
}

/* -- each of them under each composition ------------------------------------------------------- */

#define TEST(name)                                                                                 \
    {                                                                                              \
#name, name                                                                                \
    }
static const struct {
    const char *name;
    void (*run)(void **state);
} lines[] = {
    TEST(ends_are_four_answers),
    TEST(who_waits_is_told_the_end),
    TEST(a_read_has_idle_ms),
    TEST(who_is_active_goes_on),
    TEST(a_wait_without_a_deadline_ends),
    TEST(a_byte_now_and_then_ends),
    TEST(rfile_stays_timed_out),
    TEST(nothing_is_written_behind_a_failed_write),
    TEST(who_is_answered_goes_on),
    TEST(who_waits_behind_others_goes_on),
    TEST(half_a_record_is_not_forgotten),
    TEST(what_rfile_holds_is_not_forgotten),
    TEST(what_a_closed_rfile_holds_is_no_call),
    TEST(who_takes_nothing_does_not_spin),
    TEST(who_was_heard_is_not_called_in_vain),
    TEST(an_event_that_is_late_is_no_call),
    TEST(who_waits_for_room_that_there_is_goes_on),
    TEST(half_a_record_is_no_call),
    TEST(drops_do_not_hold_a_read),
    TEST(a_reader_that_is_gone),
    TEST(a_reader_that_does_not_read),
    TEST(who_is_busy_has_stop_ms),
    TEST(who_yields_is_called_again),
    TEST(who_yields_has_stop_ms),
    TEST(a_failure_is_told_once),
};

int main(void)
{
    static char names[SHS_ARRAY_LEN(lines) * SHS_ARRAY_LEN(variants)][80];
    static struct CMUnitTest tests[SHS_ARRAY_LEN(names)];
    size_t n = 0;

    for (size_t i = 0; i < SHS_ARRAY_LEN(lines); i++) {
        for (size_t k = 0; k < SHS_ARRAY_LEN(variants); k++, n++) {
            snprintf(names[n], sizeof names[n], "%s (%s)", lines[i].name, variants[k].name);
            tests[n].name = names[n];
            tests[n].test_func = lines[i].run;
            tests[n].initial_state = (void *)(uintptr_t)&variants[k];
        }
    }
    return cmocka_run_group_tests(tests, lab_setup, lab_teardown);
}
