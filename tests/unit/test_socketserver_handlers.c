/* test_socketserver_handlers.c - S52 to S59: the life of a handler, rfile and wfile. */
#include "socketserver_support.h"

#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "server/server.h"

/* -- the life ---------------------------------------------------------------------------------- */

struct living {
    struct shs_request_handler base;
    int state; /* the request's own */
};

static _Atomic int setups, handles, finishes, stale;
static _Atomic int setup_result, handle_result;

static int living_setup(struct shs_request_handler *base)
{
    struct living *self = SHS_CONTAINER_OF(base, struct living, base);

    stale += self->state != 0 || base->request == NULL || base->server == NULL;
    self->state = 1;
    setups++;
    return setup_result;
}
static int living_handle(struct shs_request_handler *base)
{
    struct living *self = SHS_CONTAINER_OF(base, struct living, base);

    stale += self->state != 1;
    self->state = 2;
    handles++;
    return handle_result;
}
static void living_finish(struct shs_request_handler *base)
{
    struct living *self = SHS_CONTAINER_OF(base, struct living, base);

    stale += self->state != 2;
    finishes++;
}

static const struct shs_request_handler_class living_class = {
    .name = "Living",
    .instance_size = sizeof(struct living),
    .setup = living_setup,
    .handle = living_handle,
    .finish = living_finish,
};

static void live(int setup, int handle)
{
    struct sst_spy spy;
    struct sst_server s;
    struct shs_options opt;
    char byte;
    int fd;

    setups = handles = finishes = stale = 0;
    setup_result = setup;
    handle_result = handle;
    sst_options(&opt, NULL, NULL);
    assert_int_equal(sst_tcp_server_new(&s.server, &opt, &living_class, NULL), SHS_OK);
    sst_spy_push(&spy, s.server);
    sst_serve(&s);
    fd = sst_dial(&s, NULL);
    assert_int_equal(sst_hear(fd, &byte, 1), 0); /* whatever happens, the request ends */
    close(fd);
    sst_stop(&s);
    assert_int_equal(spy.errors, setup != SHS_OK || handle != SHS_OK);
    assert_int_equal(stale, 0);
}

static void test_S52_setup_handle_finish(void **state)
{
    (void)state;
    live(SHS_OK, SHS_OK);
    assert_int_equal(setups, 1);
    assert_int_equal(handles, 1);
    assert_int_equal(finishes, 1);
    live(SHS_OK, SHS_IO); /* handle fails: finish all the same */
    assert_int_equal(handles, 1);
    assert_int_equal(finishes, 1);
    live(SHS_IO, SHS_OK); /* setup fails: neither */
    assert_int_equal(setups, 1);
    assert_int_equal(handles, 0);
    assert_int_equal(finishes, 0);
}

static void test_S53_a_fresh_instance_per_request(void **state)
{
    struct sst_server s;
    struct shs_options opt;
    char byte;

    (void)state;
    setups = handles = finishes = stale = 0;
    setup_result = handle_result = SHS_OK;
    sst_options(&opt, NULL, NULL);
    sst_start(&s, sst_class("ThreadingTCPServer"), &opt, &living_class);
    for (int i = 0; i < 20; i++) {
        int fd = sst_dial(&s, NULL);

        assert_int_equal(sst_hear(fd, &byte, 1), 0);
        close(fd);
    }
    sst_stop(&s);
    assert_int_equal(finishes, 20);
    assert_int_equal(stale, 0); /* each found its own state untouched */
}

/* -- StreamRequestHandler ---------------------------------------------------------------------- */

#define STREAM_CLASS(handle_fn)                                                                    \
    {                                                                                              \
        .name = #handle_fn, .instance_size = sizeof(struct shs_stream_request_handler),            \
        .setup = shs_stream_request_handler_setup, .handle = handle_fn,                            \
        .finish = shs_stream_request_handler_finish                                                \
    }
#define SELF(base) SHS_CONTAINER_OF(base, struct shs_stream_request_handler, base)

/* A server with that class, its spy, and one client. */
struct talk {
    struct sst_server s;
    struct sst_spy spy;
    int fd;
};

static void talk_begin(struct talk *t, const struct shs_request_handler_class *cls)
{
    struct shs_options opt;

    sst_options(&opt, NULL, NULL);
    assert_int_equal(sst_tcp_server_new(&t->s.server, &opt, cls, NULL), SHS_OK);
    sst_spy_push(&t->spy, t->s.server);
    sst_serve(&t->s);
    t->fd = sst_dial(&t->s, NULL);
}

static void talk_end(struct talk *t)
{
    close(t->fd);
    sst_stop(&t->s);
}

static _Atomic int nodelay, left_in_kernel, read_result, connection_is_request;
static _Atomic int64_t read_took;

static int attributes_handle(struct shs_request_handler *base)
{
    struct shs_stream_request_handler *self = SELF(base);
    int fd = shs_conn_fileno(self->connection), value = -1;
    socklen_t len = sizeof value;
    char line[64], peek[64];
    size_t got = 0;

    connection_is_request = self->connection == base->request;
    getsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &value, &len);
    nodelay = value != 0;
    if (shs_rfile_readline(self->rfile, line, sizeof line, &got) != SHS_OK)
        return SHS_IO;
    left_in_kernel = (int)recv(fd, peek, sizeof peek, MSG_PEEK | MSG_DONTWAIT);
    return shs_wfile_write(self->wfile, line, got);
}

static void attributes_of(const struct shs_stream_request_handler_class *cls)
{
    struct talk t;
    char buf[64];

    talk_begin(&t, &cls->base);
    sst_say(t.fd, "one\ntwo\n", 8);
    assert_int_equal(sst_hear(t.fd, buf, sizeof buf), 4);
    assert_memory_equal(buf, "one\n", 4);
    assert_true(connection_is_request);
    talk_end(&t);
}

static int silent_handle(struct shs_request_handler *base)
{
    int64_t before = shs_now_ns();
    char byte;
    size_t got;

    read_result = shs_rfile_read(SELF(base)->rfile, &byte, 1, &got);
    read_took = shs_now_ns() - before;
    return SHS_OK;
}

static int held_back_handle(struct shs_request_handler *base)
{
    struct shs_stream_request_handler *self = SELF(base);
    char byte;
    size_t got;

    if (shs_wfile_write(self->wfile, "buffered", 8) != SHS_OK)
        return SHS_IO;
    /* Not before the client asks for it. */
    if (shs_rfile_read(self->rfile, &byte, 1, &got) != SHS_OK)
        return SHS_IO;
    return shs_wfile_write(self->wfile, " and whole", 10);
}

static void test_S54_class_attributes(void **state)
{
    const struct shs_stream_request_handler_class
        defaults = {.base = STREAM_CLASS(attributes_handle), .rbufsize = -1},
        others = {.base = STREAM_CLASS(attributes_handle),
                  .rbufsize = 0,
                  .disable_nagle_algorithm = true},
        silent = {.base = STREAM_CLASS(silent_handle), .rbufsize = -1, .timeout_ms = 100},
        held_back = {.base = STREAM_CLASS(held_back_handle), .wbufsize = 64};
    struct pollfd p = {.events = POLLIN};
    struct talk t;
    char buf[64];

    (void)state;
    attributes_of(&defaults);
    assert_int_equal(nodelay, 0);
    assert_int_equal(left_in_kernel, -1); /* the buffer has it */
    attributes_of(&others);
    assert_int_equal(nodelay, 1);
    assert_int_equal(left_in_kernel, 4); /* not a byte beyond the line was taken */

    talk_begin(&t, &silent.base);
    assert_int_equal(sst_hear(t.fd, buf, 1), 0);
    assert_int_equal(read_result, SHS_TIMEOUT);
    assert_true(read_took >= 100 * (int64_t)SHS_NS_PER_MS);
    assert_true(read_took < 30000 * (int64_t)SHS_NS_PER_MS); /* idle_ms is a minute */
    talk_end(&t);

    talk_begin(&t, &held_back.base);
    p.fd = t.fd;
    assert_int_equal(poll(&p, 1, 100), 0); /* written, and not sent */
    sst_say(t.fd, "x", 1);
    assert_int_equal(sst_hear(t.fd, buf, sizeof buf), 18); /* together, by finish */
    assert_memory_equal(buf, "buffered and whole", 18);
    talk_end(&t);
}

static _Atomic int closed_writes;

static int writes_and_closes(struct shs_request_handler *base)
{
    struct shs_stream_request_handler *self = SELF(base);
    int rc = shs_wfile_write(self->wfile, "last words", 10);

    if (rc != SHS_OK || shs_wfile_close(self->wfile) != SHS_OK)
        return SHS_IO;
    shs_rfile_close(self->rfile);
    closed_writes = shs_wfile_writable(self->wfile) ? 1 : 0;
    return SHS_OK;
}

static _Atomic bool may_finish;

static int writes_to_nobody(struct shs_request_handler *base)
{
    static char much[1 << 20];

    for (unsigned i = 0; i < SST_PAUSES && !may_finish; i++)
        sst_pause();
    return shs_wfile_write(SELF(base)->wfile, much, sizeof much); /* into the buffer */
}

static void test_S55_finish_flushes_and_ignores_errors(void **state)
{
    const struct shs_stream_request_handler_class closing = {.base =
                                                                 STREAM_CLASS(writes_and_closes),
                                                             .wbufsize = 4096},
                                                  nobody = {.base = STREAM_CLASS(writes_to_nobody),
                                                            .wbufsize = 1 << 21};
    struct linger reset = {.l_onoff = 1, .l_linger = 0};
    struct talk t;
    char buf[64];

    (void)state;
    talk_begin(&t, &closing.base);
    assert_int_equal(sst_hear(t.fd, buf, sizeof buf), 10);
    assert_int_equal(sst_hear(t.fd, buf, sizeof buf), 0);
    assert_int_equal(closed_writes, 0);
    talk_end(&t);
    assert_int_equal(t.spy.errors, 0);

    may_finish = false;
    talk_begin(&t, &nobody.base);
    sst_wait_until(t.spy.processes == 1);
    setsockopt(t.fd, SOL_SOCKET, SO_LINGER, &reset, sizeof reset);
    close(t.fd); /* a reset: the flush in finish will fail */
    t.fd = sst_dial(&t.s, NULL);
    may_finish = true;
    sst_wait_until(t.spy.processes == 2);
    talk_end(&t); /* both have ended */
    assert_int_equal(t.spy.errors, 0);
}

static _Atomic int write_result;

static int writes_unbuffered(struct shs_request_handler *base)
{
    static char bytes[300000];
    struct shs_stream_request_handler *self = SELF(base);
    char byte;
    size_t got;

    for (size_t i = 0; i < sizeof bytes; i++)
        bytes[i] = (char)(i % 251);
    write_result = shs_wfile_write(self->wfile, bytes, sizeof bytes);
    return shs_rfile_read(self->rfile, &byte, 1, &got); /* no flush, no finish yet */
}

static void test_S56_unbuffered_write_sends_everything(void **state)
{
    const struct shs_stream_request_handler_class cls = {.base = STREAM_CLASS(writes_unbuffered),
                                                         .wbufsize = 0};
    size_t have = 0;
    struct talk t;
    char buf[4096];

    (void)state;
    write_result = 1;
    talk_begin(&t, &cls.base);
    while (have < 300000) {
        ssize_t n = sst_hear(t.fd, buf, sizeof buf);

        assert_true(n > 0);
        for (ssize_t i = 0; i < n; i++)
            assert_int_equal((unsigned char)buf[i], (have + (size_t)i) % 251);
        have += (size_t)n;
    }
    sst_say(t.fd, "x", 1);
    assert_int_equal(sst_hear(t.fd, buf, sizeof buf), 0);
    assert_int_equal(write_result, SHS_OK);
    talk_end(&t);
}

#define HUGE_WRITE ((size_t)16 * 1024 * 1024)

static char *huge;

static int writes_hugely(struct shs_request_handler *base)
{
    write_result = shs_wfile_write(SELF(base)->wfile, huge, HUGE_WRITE);
    return write_result;
}

static _Atomic unsigned signals_seen;
static _Atomic bool storm_over;

static void on_signal(int number)
{
    (void)number;
    signals_seen++;
}

/* Hits the thread that writes, again and again. */
static void *storm(void *thread)
{
    struct timespec pause = {.tv_nsec = 50000};

    while (!storm_over) {
        pthread_kill(*(pthread_t *)thread, SIGUSR1);
        nanosleep(&pause, NULL);
    }
    return NULL;
}

/* SOCK_MAX_SIZE bytes to a client that reads now and then, under a storm of signals. */
static void test_S57_huge_write_under_signals(void **state)
{
    const struct shs_stream_request_handler_class cls = {.base = STREAM_CLASS(writes_hugely)};
    struct sigaction action = {.sa_handler = on_signal}, before; /* no SA_RESTART */
    size_t have = 0;
    pthread_t weather;
    struct talk t;
    char *got = malloc(HUGE_WRITE);

    (void)state;
    huge = malloc(HUGE_WRITE);
    assert_non_null(huge);
    assert_non_null(got);
    for (size_t i = 0; i < HUGE_WRITE; i++)
        huge[i] = (char)((i * 2654435761u) >> 16);
    sigaction(SIGUSR1, &action, &before);
    write_result = 1;
    storm_over = false;
    signals_seen = 0;
    talk_begin(&t, &cls.base);
    assert_int_equal(pthread_create(&weather, NULL, storm, &t.s.thread), 0);
    for (int i = 0; have < HUGE_WRITE; i++) {
        ssize_t n;

        if (i % 2 == 0)
            sst_pause(); /* the socket fills up, and the writer waits */
        if (i % 8 == 0)
            sst_wait_until(signals_seen > (unsigned)i / 8); /* the storm keeps up, if it is slow */
        n = sst_hear(t.fd, got + have, HUGE_WRITE - have < 65536 ? HUGE_WRITE - have : 65536);
        if (n < 0 && errno == EINTR)
            continue;
        assert_true(n > 0);
        have += (size_t)n;
    }
    storm_over = true;
    pthread_join(weather, NULL);
    assert_int_equal(memcmp(got, huge, HUGE_WRITE), 0);
    assert_int_equal(sst_hear(t.fd, got, 1), 0);
    assert_int_equal(write_result, SHS_OK);
    assert_true(signals_seen > 20);
    talk_end(&t);
    sigaction(SIGUSR1, &before, NULL);
    print_message("16 MiB whole under %u signals\n", signals_seen);
    free(huge);
    free(got);
}

static _Atomic int wfile_is_right;

static int looks_at_wfile(struct shs_request_handler *base)
{
    struct shs_stream_request_handler *self = SELF(base);

    wfile_is_right = shs_wfile_fileno(self->wfile) == shs_conn_fileno(base->request) &&
                     shs_wfile_writable(self->wfile);
    return SHS_OK;
}

static void test_S58_wfile_fileno(void **state)
{
    const struct shs_stream_request_handler_class cls = {.base = STREAM_CLASS(looks_at_wfile)};
    struct talk t;
    char byte;

    (void)state;
    wfile_is_right = 0;
    talk_begin(&t, &cls.base);
    assert_int_equal(sst_hear(t.fd, &byte, 1), 0);
    assert_true(wfile_is_right);
    talk_end(&t);
}

/* -- what rfile does at its ends --------------------------------------------------------------- */

static char transcript[256];

static void note(const char *what, int rc, const char *bytes, size_t len)
{
    size_t have = strlen(transcript);

    snprintf(transcript + have, sizeof transcript - have, "%s %s %zu[%.*s] ", what,
             shs_err_name(rc), len, (int)len, bytes);
}

static int reads_everything(struct shs_request_handler *base)
{
    struct shs_rfile *rfile = SELF(base)->rfile;
    char buf[64];
    size_t n = 0;
    int rc;

    transcript[0] = '\0';
    rc = shs_rfile_readline(rfile, buf, sizeof buf, &n);
    note("line", rc, buf, n > 0 ? n - 1 : 0);
    rc = shs_rfile_readline(rfile, buf, 4, &n); /* a ceiling */
    note("cut", rc, buf, n);
    rc = shs_rfile_read(rfile, buf, 3, &n);
    note("read", rc, buf, n);
    rc = shs_rfile_read1(rfile, buf, 2, &n);
    note("read1", rc, buf, n);
    rc = shs_rfile_readline(rfile, buf, 0, &n);
    note("none", rc, buf, 0);
    rc = shs_rfile_read(rfile, buf, sizeof buf, &n); /* beyond the end */
    note("rest", rc, buf, n);
    rc = shs_rfile_readline(rfile, buf, sizeof buf, &n);
    note("end", rc, buf, 0);
    return SHS_OK;
}

static void test_rfile_reads_as_a_file_does(void **state)
{
    const int sizes[] = {-1, 0, 1, 5};

    (void)state;
    for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++) {
        const struct shs_stream_request_handler_class cls = {.base = STREAM_CLASS(reads_everything),
                                                             .rbufsize = sizes[i]};
        struct talk t;
        char byte;

        talk_begin(&t, &cls.base);
        sst_say(t.fd, "first\nabcdefgHIjkl", 18);
        shutdown(t.fd, SHUT_WR);
        assert_int_equal(sst_hear(t.fd, &byte, 1), 0);
        talk_end(&t);
        assert_string_equal(transcript,
                            "line SHS_OK 5[first] cut SHS_OK 4[abcd] read SHS_OK 3[efg] "
                            "read1 SHS_OK 2[HI] none SHS_USAGE 0[] rest SHS_OK 3[jkl] "
                            "end SHS_CLOSED 0[] ");
    }
}

static int reads_slow_line(struct shs_request_handler *base)
{
    int64_t before = shs_now_ns();
    char line[65536]; /* never full: only the deadline ends it */
    size_t got;

    read_result = shs_rfile_readline(SELF(base)->rfile, line, sizeof line, &got);
    read_took = shs_now_ns() - before;
    return SHS_OK;
}

/* A byte now and then does not keep a line's reader. */
static void test_readline_has_one_deadline(void **state)
{
    const struct shs_stream_request_handler_class cls = {
        .base = STREAM_CLASS(reads_slow_line), .rbufsize = -1, .timeout_ms = 200};
    struct pollfd p = {.events = POLLIN};
    struct talk t;

    (void)state;
    read_result = SHS_OK;
    talk_begin(&t, &cls.base);
    p.fd = t.fd;
    stopwatch_start();
    while (poll(&p, 1, 20) == 0 && stopwatch_between(0, patience_ms())) {
        if (send(t.fd, "x", 1, MSG_NOSIGNAL) != 1) /* it has just been closed */
            break;
    }
    assert_int_equal(read_result, SHS_TIMEOUT);
    assert_true(read_took >= 200 * (int64_t)SHS_NS_PER_MS);
    assert_true(stopwatch_between(0, 200 + 1000));
    stopwatch_stop();
    talk_end(&t);
}

/* -- DatagramRequestHandler -------------------------------------------------------------------- */

static _Atomic int datagram_mode, packet_is_right;

static int datagram_handle(struct shs_request_handler *base)
{
    struct shs_datagram_request_handler *self =
        SHS_CONTAINER_OF(base, struct shs_datagram_request_handler, base);
    static char much[65536];
    char buf[64];
    size_t n = 0;
    int rc = shs_rfile_read(self->rfile, buf, sizeof buf, &n);

    packet_is_right = rc == SHS_OK && n == self->packet.len &&
                      memcmp(buf, self->packet.ptr, n) == 0 &&
                      self->socket == shs_server_fileno(base->server);
    if (datagram_mode == 0) /* nothing written */
        return SHS_OK;
    if (datagram_mode == 2)
        return shs_wfile_write(self->wfile, much, sizeof much);
    rc = shs_wfile_write(self->wfile, buf, n);
    if (rc == SHS_OK)
        rc = shs_wfile_flush(self->wfile); /* sends nothing */
    return rc == SHS_OK ? shs_wfile_write(self->wfile, "+more", 5) : rc;
}

static void test_S59_one_datagram_collected(void **state)
{
    static const struct shs_request_handler_class cls = {
        .name = "Collect",
        .instance_size = sizeof(struct shs_datagram_request_handler),
        .setup = shs_datagram_request_handler_setup,
        .handle = datagram_handle,
        .finish = shs_datagram_request_handler_finish,
    };
    struct sst_spy spy;
    struct sst_server s;
    struct shs_options opt;
    char buf[64];
    int fd;

    (void)state;
    sst_options(&opt, NULL, NULL);
    assert_int_equal(sst_udp_server_new(&s.server, &opt, &cls, NULL), SHS_OK);
    sst_spy_push(&spy, s.server);
    sst_serve(&s);
    fd = sst_dial(&s, NULL);
    datagram_mode = 1;
    sst_say(fd, "packet", 6);
    assert_int_equal(sst_hear(fd, buf, sizeof buf), 11);
    assert_memory_equal(buf, "packet+more", 11);
    assert_true(packet_is_right);
    datagram_mode = 0;
    sst_say(fd, "silent", 6);
    assert_int_equal(sst_hear(fd, buf, sizeof buf), 0); /* one, and it is empty */
    assert_int_equal(spy.errors, 0);
    datagram_mode = 2; /* more than any datagram has */
    sst_say(fd, "much", 4);
    sst_wait_until(spy.errors == 1);
    assert_int_equal(spy.error_code, SHS_LIMIT);
    close(fd);
    sst_stop(&s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_S52_setup_handle_finish),
        cmocka_unit_test(test_S53_a_fresh_instance_per_request),
        cmocka_unit_test(test_S54_class_attributes),
        cmocka_unit_test(test_S55_finish_flushes_and_ignores_errors),
        cmocka_unit_test(test_S56_unbuffered_write_sends_everything),
        cmocka_unit_test(test_S57_huge_write_under_signals),
        cmocka_unit_test(test_S58_wfile_fileno),
        cmocka_unit_test(test_rfile_reads_as_a_file_does),
        cmocka_unit_test(test_readline_has_one_deadline),
        cmocka_unit_test(test_S59_one_datagram_collected),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
