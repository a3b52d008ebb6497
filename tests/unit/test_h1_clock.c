/* test_h1_clock.c - the time that a transfer has is the client's: what we take ourselves is not. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "h1_expect.h"

#define SHORT_MS 60 /* the time that a client has */
#define NAP_MS 150  /* what something of ours takes: longer */

static void nap_ms(int ms)
{
    nanosleep(&(struct timespec){ms / 1000, ms % 1000 * 1000000}, NULL);
}

static void short_times(struct h1_lab *lab)
{
    lab->opt.body_ms = lab->opt.write_ms = SHORT_MS;
    lab->opt.min_rate = 1000;
}

static void client_sends(struct h1_lab *lab, const char *bytes)
{
    size_t put = 0;

    assert_int_equal(shs__stream_write(lab->client, bytes, strlen(bytes), &put), SHS_OK);
    assert_int_equal(put, strlen(bytes));
}

/* The client's deadline passes while it does nothing. */
static void client_is_late(struct h1_lab *lab)
{
    while (shs_now_ns() < lab->deadline_ns)
        nap_ms(5);
}

static void test_progress(void **state)
{
    struct shs_progress p;
    int64_t first;

    (void)state;
    shs__progress_start(&p, shs_now_ns(), SHORT_MS, 1000); /* 60 bytes buy as much again */
    first = p.deadline_ns;
    nap_ms(20);
    shs__progress_waits(&p);
    assert_true(p.deadline_ns >= first + 20 * SHS_NS_PER_MS);
    /* While we wait the clock runs, however often that is said. */
    first = p.deadline_ns;
    nap_ms(20);
    shs__progress_waits(&p);
    assert_true(p.deadline_ns == first);
    /* It stands when it is ours again, and what was waited is gone. */
    shs__progress_ours(&p);
    nap_ms(20);
    shs__progress_ours(&p);
    shs__progress_waits(&p);
    assert_true(p.deadline_ns >= first + 20 * SHS_NS_PER_MS);
    first = p.deadline_ns;
    /* What it gave counts in both. */
    shs__progress_made(&p, 59);
    assert_true(p.deadline_ns == first);
    shs__progress_made(&p, 1);
    assert_true(p.deadline_ns > first);
    first = p.deadline_ns;
    shs__progress_total(&p, 1000); /* where it begins to count */
    assert_true(p.deadline_ns == first);
    shs__progress_total(&p, 1059);
    assert_true(p.deadline_ns == first);
    shs__progress_total(&p, 1060);
    assert_true(p.deadline_ns > first);
    /* Progress in our own time begins that time anew: it is not given back twice. */
    shs__progress_ours(&p);
    nap_ms(20);
    shs__progress_made(&p, 60);
    shs__progress_waits(&p);
    assert_true(p.deadline_ns <= shs_now_ns() + SHORT_MS * SHS_NS_PER_MS);
}

/* Late is only who is waited for, and has had his time. */
static void test_who_is_late(void **state)
{
    struct shs_progress p;

    (void)state;
    shs__progress_start(&p, shs_now_ns(), SHORT_MS, 1000);
    nap_ms(SHORT_MS + 1);
    assert_false(shs__progress_is_late(&p)); /* it was ours */
    p.ms = 60000;
    shs__progress_again(&p);
    shs__progress_waits(&p);
    assert_false(shs__progress_is_late(&p));
    p.ms = SHORT_MS;
    shs__progress_again(&p);
    nap_ms(SHORT_MS + 1);
    assert_true(shs__progress_is_late(&p));
    p.ms = 60000;
    shs__progress_again(&p);
    assert_false(shs__progress_is_late(&p));
}

/* It counts what the other counts, and the time in which the machine is suspended. */
static void test_elapsed(void **state)
{
    int64_t monotonic = shs_now_ns(), first = shs__elapsed_ns(), second;

    (void)state;
    nap_ms(20);
    second = shs__elapsed_ns();
    assert_true(first >= monotonic);
    assert_true(second - first >= 20 * SHS_NS_PER_MS);
}

static int answers(struct shs_response *res, size_t bytes)
{
    char text[32];
    int len = snprintf(text, sizeof text, "%zu bytes", bytes);

    SHS_RETURN_IF_ERROR(shs_send_response(res, 200));
    return shs_write(res, text, (size_t)len);
}

/* -- bodies ------------------------------------------------------------------------------------ */

/* It has something else to do first. */
static int naps_and_reads(struct shs_request *req, struct shs_response *res)
{
    char buf[16];
    size_t got = 0, all = 0;

    nap_ms(NAP_MS);
    do {
        SHS_RETURN_IF_ERROR(shs_request_read(req, buf, sizeof buf, &got));
        all += got;
    } while (got > 0);
    return answers(res, all);
}

/* Comes only when nobody is late by the clock. */
static int sends_when_asked(struct h1_lab *lab, int what, int64_t deadline_ns)
{
    if (shs_now_ns() >= deadline_ns || what != SHS_WAIT_READ)
        return SHS_TIMEOUT;
    client_sends(lab, "hello");
    return SHS_OK;
}

static void test_a_handler_reads_late(void **state)
{
    struct h1_lab lab;

    (void)state;
    h1_lab_open(&lab, H1_HANDLER(naps_and_reads));
    short_times(&lab);
    lab.opt.max_buffered_body = 1; /* the handler reads it */
    lab.wait = sends_when_asked;
    client_sends(&lab, "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n"
                       "Expect: 100-continue\r\n\r\n");
    assert_int_equal(shs__h1_step(&lab.h1), SHS_WAIT_READ);
    h1_lab_receive(&lab);
    h1_has(&lab, "HTTP/1.1 200 OK\r\n");
    h1_has(&lab, "5 bytes");
    h1_lab_close(&lab);
}

/* Answers each piece before it reads the next. */
static int talks(struct shs_request *req, struct shs_response *res)
{
    char buf[16];
    size_t got = 0;

    SHS_RETURN_IF_ERROR(shs_send_response(res, 200));
    do {
        SHS_RETURN_IF_ERROR(shs_request_read(req, buf, sizeof buf, &got));
        SHS_RETURN_IF_ERROR(shs_write(res, buf, got));
        SHS_RETURN_IF_ERROR(shs_flush(res));
    } while (got > 0);
    return SHS_OK;
}

#define LONG_MS 600000
static unsigned waits_with[2]; /* of a handler that reads, with a short time and with a long one */

static int sends_more(struct h1_lab *lab, int what, int64_t deadline_ns)
{
    waits_with[deadline_ns - shs_now_ns() > (int64_t)SHORT_MS * SHS_NS_PER_MS]++;
    assert_int_equal(what, SHS_WAIT_READ);
    client_sends(lab, "hello");
    return SHS_OK;
}

/* What it has written before has another limit, which is over then. */
static void test_a_handler_reads_and_writes_in_turn(void **state)
{
    (void)state;
    for (unsigned is_long = 0; is_long < 2; is_long++) {
        struct h1_lab lab;

        h1_lab_open(&lab, H1_HANDLER(talks));
        lab.opt.body_ms = is_long ? LONG_MS : SHORT_MS;
        lab.opt.write_ms = is_long ? SHORT_MS : LONG_MS;
        lab.opt.max_buffered_body = 1;
        lab.wait = sends_more;
        memset(waits_with, 0, sizeof waits_with);
        client_sends(&lab, "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 20\r\n\r\n");
        assert_int_equal(shs__h1_step(&lab.h1), SHS_WAIT_READ);
        h1_lab_receive(&lab);
        h1_has(&lab, "HTTP/1.1 200 OK\r\n");
        h1_has(&lab, "0\r\n\r\n");
        assert_int_equal(waits_with[is_long], 4);
        assert_int_equal(waits_with[!is_long], 0);
        h1_lab_close(&lab);
    }
}

struct sink {
    size_t all;
    int nap_ms;
};

static int sink_write(void *ctx, const void *buf, size_t len)
{
    struct sink *sink = ctx;

    (void)buf;
    sink->all += len;
    nap_ms(sink->nap_ms);
    return SHS_OK;
}

static int sink_done(void *ctx, struct shs_request *req, struct shs_response *res, int rc)
{
    struct sink *sink = ctx;

    (void)req;
    return rc == SHS_OK ? answers(res, sink->all) : rc;
}

static struct sink sunk;

static int to_sink(struct shs_request *req, struct shs_response *res)
{
    static const struct shs_sink sink = {.write = sink_write, .done = sink_done};

    (void)res;
    return shs_request_sink(req, &sink, &sunk);
}

/* Ten pieces, each within its time, all of them together not. */
static void test_a_long_upload_to_a_sink(void **state)
{
    static const char piece[] = "0123456789012345678901234567890123456789"
                                "0123456789012345678901234567890123456789";
    struct h1_lab lab;
    int64_t first;

    (void)state;
    sunk = (struct sink){0};
    h1_lab_open(&lab, H1_HANDLER(to_sink));
    short_times(&lab);
    lab.opt.max_buffered_body = 1;
    client_sends(&lab, "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 800\r\n\r\n");
    assert_int_equal(shs__h1_step(&lab.h1), SHS_WAIT_READ);
    first = lab.deadline_ns;
    for (int i = 0; i < 10; i++) {
        nap_ms(SHORT_MS / 3);
        client_sends(&lab, piece);
        assert_int_equal(shs__h1_step(&lab.h1), SHS_WAIT_READ);
    }
    h1_lab_receive(&lab);
    h1_has(&lab, "HTTP/1.1 200 OK\r\n");
    h1_has(&lab, "800 bytes");
    assert_true(shs_now_ns() > first);
    h1_lab_close(&lab);
    /* Who stops in the middle is late all the same, and so is who sends a byte now and then. */
    for (int trickles = 0; trickles < 2; trickles++) {
        int rc = SHS_WAIT_READ;

        h1_lab_open(&lab, H1_HANDLER(to_sink));
        short_times(&lab);
        lab.opt.max_buffered_body = 1;
        client_sends(&lab, "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 800\r\n\r\n");
        assert_int_equal(shs__h1_step(&lab.h1), SHS_WAIT_READ);
        client_sends(&lab, piece);
        assert_int_equal(shs__h1_step(&lab.h1), SHS_WAIT_READ);
        for (int i = 0; trickles && rc == SHS_WAIT_READ && i < 10; i++) {
            nap_ms(SHORT_MS / 3);
            client_sends(&lab, "x");
            rc = shs__h1_step(&lab.h1);
        }
        if (!trickles) {
            client_is_late(&lab);
            rc = shs__h1_step(&lab.h1);
        }
        assert_int_equal(rc, SHS_OK);
        h1_lab_receive(&lab);
        h1_has(&lab, "HTTP/1.1 408 ");
        h1_lab_close(&lab);
    }
}

/* A disk that is slow is not the client's fault. */
static void test_a_slow_sink(void **state)
{
    struct h1_lab lab;

    (void)state;
    sunk = (struct sink){.nap_ms = NAP_MS};
    h1_lab_open(&lab, H1_HANDLER(to_sink));
    short_times(&lab);
    lab.opt.max_buffered_body = 1;
    client_sends(&lab, "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 9\r\n\r\n");
    for (int i = 0; i < 3; i++) {
        client_sends(&lab, "abc"); /* too little to count as progress */
        assert_int_equal(shs__h1_step(&lab.h1), SHS_WAIT_READ);
    }
    h1_lab_receive(&lab);
    h1_has(&lab, "9 bytes");
    h1_lab_close(&lab);
}

/* -- answers ----------------------------------------------------------------------------------- */

#define PIECES 100
#define PIECE_NAP_MS 2 /* the stream holds a megabyte: full after longer than SHORT_MS */

static int slow_read(void *ctx, void *buf, size_t cap, size_t *got)
{
    int *left = ctx;

    *got = 0;
    if (*left == 0)
        return SHS_OK;
    (*left)--;
    nap_ms(PIECE_NAP_MS);
    memset(buf, 'x', cap);
    *got = cap;
    return SHS_OK;
}

static void nothing(void *ctx)
{
    (void)ctx;
}

static int pieces = PIECES, pieces_left;

static int slow_source(struct shs_request *req, struct shs_response *res)
{
    static const struct shs_source source = {.read = slow_read, .free = nothing};

    (void)req;
    pieces_left = pieces;
    SHS_RETURN_IF_ERROR(shs_send_response(res, 200));
    return shs_send_source(res, &source, &pieces_left);
}

/* What takes us long to make is not what the client did not read. */
static void test_a_slow_source(void **state)
{
    static const char request[] = "GET / HTTP/1.1\r\nHost: a\r\n\r\n";

    (void)state;
    for (int others = 0; others < 2; others++) {
        struct h1_lab lab;
        unsigned waits = 0;
        int rc;

        h1_lab_open(&lab, H1_HANDLER(slow_source));
        short_times(&lab);
        lab.others = others;
        client_sends(&lab, request);
        while ((rc = shs__h1_step(&lab.h1)) == SHS_WAIT_WRITE || rc == SHS_YIELD) {
            waits += rc == SHS_WAIT_WRITE;
            if (rc == SHS_WAIT_WRITE)
                assert_true(h1_lab_receive(&lab) > 0);
        }
        h1_lab_receive(&lab);
        assert_int_equal(rc, SHS_WAIT_READ);
        assert_int_equal(lab.fail_code, SHS_OK);
        assert_string_equal(lab.last_error, "");
        assert_true(waits > 0);
        h1_lab_close(&lab);
        /* And who does not read is late all the same. */
        h1_lab_open(&lab, H1_HANDLER(slow_source));
        short_times(&lab);
        lab.others = others;
        client_sends(&lab, request);
        while ((rc = shs__h1_step(&lab.h1)) == SHS_WAIT_WRITE || rc == SHS_YIELD)
            if (rc == SHS_WAIT_WRITE)
                client_is_late(&lab);
        assert_int_equal(rc, SHS_TIMEOUT);
        h1_lab_close(&lab);
    }
}

/* We were late, not a client that has taken all there was: whatever its rate is by the clock. */
static void test_who_has_taken_all(void **state)
{
    struct h1_lab lab;
    unsigned waits = 0;
    int rc;

    (void)state;
    h1_lab_open(&lab, H1_HANDLER(slow_source));
    short_times(&lab);
    lab.opt.min_rate = 1000000000;
    pieces = 2 * PIECES; /* the stream is full more than once */
    client_sends(&lab, "GET / HTTP/1.1\r\nHost: a\r\n\r\n");
    while ((rc = shs__h1_step(&lab.h1)) == SHS_WAIT_WRITE || rc == SHS_YIELD) {
        if (rc != SHS_WAIT_WRITE)
            continue;
        waits++;
        assert_true(h1_lab_receive(&lab) > 0);
        nap_ms(2 * PIECES * PIECE_NAP_MS); /* more than the source, which is ours, gives back */
    }
    h1_lab_receive(&lab);
    assert_int_equal(rc, SHS_WAIT_READ);
    assert_string_equal(lab.last_error, "");
    assert_true(waits > 1);
    pieces = PIECES;
    h1_lab_close(&lab);
}

/* Others may have long turns between two pieces of a file. */
static int sends_file(struct shs_request *req, struct shs_response *res)
{
    char piece[8192] = "";
    FILE *file = tmpfile();
    int fd;

    (void)req;
    assert_non_null(file);
    for (int i = 0; i < 64; i++)
        assert_int_equal(fwrite(piece, 1, sizeof piece, file), sizeof piece);
    fflush(file);
    fd = dup(fileno(file));
    fclose(file);
    SHS_RETURN_IF_ERROR(shs_send_response(res, 200));
    return shs_send_file(res, fd, 0, 64 * sizeof piece);
}

static void test_long_turns_of_others(void **state)
{
    struct h1_lab lab;
    int rc;

    (void)state;
    h1_lab_open(&lab, H1_HANDLER(sends_file));
    short_times(&lab);
    lab.others = true;
    client_sends(&lab, "GET / HTTP/1.1\r\nHost: a\r\n\r\n");
    while ((rc = shs__h1_step(&lab.h1)) == SHS_YIELD)
        nap_ms(SHORT_MS / 2);
    assert_int_equal(rc, SHS_WAIT_READ);
    assert_string_equal(lab.last_error, "");
    assert_int_equal(lab.last_bytes, 64 * 8192);
    assert_in_range(lab.turns, 4, 16);
    h1_lab_close(&lab);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_progress),
        cmocka_unit_test(test_who_is_late),
        cmocka_unit_test(test_elapsed),
        cmocka_unit_test(test_a_handler_reads_late),
        cmocka_unit_test(test_a_handler_reads_and_writes_in_turn),
        cmocka_unit_test(test_a_long_upload_to_a_sink),
        cmocka_unit_test(test_a_slow_sink),
        cmocka_unit_test(test_a_slow_source),
        cmocka_unit_test(test_who_has_taken_all),
        cmocka_unit_test(test_long_turns_of_others),
    };

    return cmocka_run_group_tests_name("the clock of HTTP/1.1", tests, NULL, NULL);
}
