/* test_sse_channel.c - shs/sse.h: the same news for everybody who listens. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <poll.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <shs/shs.h>
#include <shs/testing.h>

#include "loopback.h"
#include "patience.h"

static int watch(struct shs_request *req, struct shs_response *res)
{
    return shs_sse_channel_serve(shs_request_ctx(req), req, res);
}

static struct shs_http_handler handler_of(struct shs_sse_channel *channel)
{
    return (struct shs_http_handler){.name = "watch", .do_GET = watch, .ctx = channel};
}

static struct shs_sse_channel *make(unsigned keep, size_t bytes, unsigned listen_ms)
{
    struct shs_sse_channel_options opt;
    struct shs_sse_channel *channel;
    struct shs_error err;

    shs_sse_channel_options_init(&opt);
    opt.keep = keep;
    opt.keep_bytes = bytes;
    opt.listen_ms = listen_ms;
    assert_int_equal(shs_sse_channel_new(&channel, &opt, &err), SHS_OK);
    return channel;
}

/* What somebody hears who listens for a moment, in static storage; `last` NULL: he is new. */
static const char *hear(struct shs_sse_channel *channel, const char *last)
{
    const char *const fields[] = {"Last-Event-ID", last, NULL};
    struct shs_http_handler handler = handler_of(channel);
    struct shs_test_request ask;
    struct shs_test_answer *answer;
    static char heard[4096];
    struct shs_error err;

    shs_test_request_init(&ask);
    ask.fields = last == NULL ? NULL : fields;
    assert_int_equal(shs_test_call(&answer, &handler, &ask, &err), SHS_OK);
    assert_int_equal(shs_test_answer_status(answer), 200);
    assert_string_equal(shs_test_answer_header(answer, "Content-Type"), "text/event-stream");
    snprintf(heard, sizeof heard, "%.*s", (int)shs_test_answer_body(answer).len,
             shs_test_answer_body(answer).ptr);
    shs_test_answer_free(answer);
    return heard;
}

/* "7f-": what the channel's ids begin with; of a channel that has sent nothing. */
static void read_prefix(struct shs_sse_channel *channel, char *prefix, size_t cap)
{
    const char *id = strstr(hear(channel, NULL), "id: ");

    assert_non_null(id);
    snprintf(prefix, cap, "%.*s", (int)strcspn(id + 4, "-") + 1, id + 4);
    assert_string_equal(id + 4 + strlen(prefix), "0\n\n");
}

static void expect(struct shs_sse_channel *channel, const char *prefix, const char *last,
                   const char *format)
{
    char id[80], expected[1024];
    size_t n = 0;

    for (const char *c = format; *c != '\0'; c++)
        n += (size_t)snprintf(expected + n, sizeof expected - n, *c == '@' ? "%s" : "%.1s",
                              *c == '@' ? prefix : c);
    snprintf(id, sizeof id, "%s%s", prefix, last);
    assert_string_equal(hear(channel, id), expected);
}

static void test_who_comes_again_gets_what_was_missed(void **state)
{
    struct shs_sse_channel *channel = make(3, 1 << 20, 20);
    char prefix[40];

    (void)state;
    read_prefix(channel, prefix, sizeof prefix);
    for (int i = 1; i <= 4; i++)
        assert_int_equal(shs_sse_channel_send(channel, i % 2 ? "odd" : NULL, i == 4 ? "a\nb" : "x"),
                         SHS_OK);
    expect(channel, prefix, "4", ":\nid: @4\n\n");
    expect(channel, prefix, "3", ":\nid: @3\n\nid: @4\ndata: a\ndata: b\n\n");
    expect(channel, prefix, "1",
           ":\nid: @1\n\nid: @2\ndata: x\n\nevent: odd\nid: @3\ndata: x\n\n"
           "id: @4\ndata: a\ndata: b\n\n");
    /* 1 is no longer kept; what was never sent; what is not a number; another start's. */
    expect(channel, prefix, "0", "event: reset\nid: @4\ndata: {}\n\n");
    expect(channel, prefix, "5", "event: reset\nid: @4\ndata: {}\n\n");
    expect(channel, prefix, "", "event: reset\nid: @4\ndata: {}\n\n");
    expect(channel, prefix, "-1", "event: reset\nid: @4\ndata: {}\n\n");
    expect(channel, prefix, "4x", "event: reset\nid: @4\ndata: {}\n\n");
    assert_non_null(strstr(hear(channel, "1-3"), "event: reset\n"));
    assert_non_null(strstr(hear(channel, "x"), "event: reset\n"));
    shs_sse_channel_free(channel);
}

/* However short the time is, or slow the machine: else he would come again and again. */
static void test_what_was_missed_comes_whole(void **state)
{
    enum { EVENTS = 20000 };
    struct shs_sse_channel *channel = make(EVENTS + 1, 64 << 20, 1);
    struct shs_http_handler handler = handler_of(channel);
    struct shs_test_answer *answer;
    struct shs_test_request ask;
    char prefix[40], first[60], last[80];
    const char *const fields[] = {"Last-Event-ID", first, NULL};
    struct shs_str body;

    (void)state;
    read_prefix(channel, prefix, sizeof prefix);
    for (int i = 0; i < EVENTS; i++)
        assert_int_equal(shs_sse_channel_send(channel, NULL, "x"), SHS_OK);
    snprintf(first, sizeof first, "%s0", prefix);
    snprintf(last, sizeof last, "id: %s%d\ndata: x\n\n", prefix, EVENTS);
    shs_test_request_init(&ask);
    ask.fields = fields;
    assert_int_equal(shs_test_call(&answer, &handler, &ask, NULL), SHS_OK);
    body = shs_test_answer_body(answer);
    assert_true(body.len > strlen(last));
    assert_memory_equal(body.ptr + body.len - strlen(last), last, strlen(last));
    shs_test_answer_free(answer);
    /* And so does the word that some of it is no longer there. */
    assert_non_null(strstr(hear(channel, "x"), "event: reset\n"));
    shs_sse_channel_free(channel);
}

static void test_bytes_are_bounded_and_one_is_always_kept(void **state)
{
    struct shs_sse_channel *channel = make(100, 64, 20);
    char prefix[40], big[200];

    (void)state;
    read_prefix(channel, prefix, sizeof prefix);
    memset(big, 'x', sizeof big - 1);
    big[sizeof big - 1] = '\0';
    assert_int_equal(shs_sse_channel_send(channel, NULL, "a"), SHS_OK);
    assert_int_equal(shs_sse_channel_send(channel, NULL, big), SHS_OK);
    assert_non_null(strstr(hear(channel, NULL), "-2\n\n"));
    expect(channel, prefix, "0", "event: reset\nid: @2\ndata: {}\n\n");
    assert_int_equal(shs_sse_channel_send(channel, NULL, "b"), SHS_OK);
    expect(channel, prefix, "2", ":\nid: @2\n\nid: @3\ndata: b\n\n");
    expect(channel, prefix, "1", "event: reset\nid: @3\ndata: {}\n\n");
    shs_sse_channel_free(channel);
}

static void test_what_is_refused(void **state)
{
    struct shs_sse_channel *channel = make(1, 1, 0);
    struct shs_sse_channel_options opt;
    struct shs_http_handler handler = handler_of(channel);
    struct shs_test_request ask;
    struct shs_test_answer *answer;
    struct shs_error err;
    char *huge = malloc((1 << 20) + 1);

    (void)state;
    assert_non_null(huge);
    memset(huge, 'x', 1 << 20);
    huge[1 << 20] = '\0';
    assert_int_equal(shs_sse_channel_send(channel, "two\nlines", "x"), SHS_USAGE);
    assert_int_equal(shs_sse_channel_send(channel, NULL, NULL), SHS_USAGE);
    assert_int_equal(shs_sse_channel_send(channel, NULL, huge), SHS_LIMIT);
    free(huge);
    shs_test_request_init(&ask);
    ask.method = "HEAD";
    assert_int_equal(shs_test_call(&answer, &handler, &ask, &err), SHS_OK);
    assert_int_equal(shs_test_answer_status(answer), 200);
    shs_test_answer_free(answer);
    shs_sse_channel_free(channel);

    shs_sse_channel_options_init(&opt);
    opt.keep = 0;
    assert_int_equal(shs_sse_channel_new(&channel, &opt, &err), SHS_USAGE);
    opt.keep = 1;
    opt.max_listeners = 0;
    assert_int_equal(shs_sse_channel_new(&channel, &opt, &err), SHS_OK);
    handler = handler_of(channel);
    shs_test_request_init(&ask);
    assert_int_equal(shs_test_call(&answer, &handler, &ask, &err), SHS_OK);
    assert_int_equal(shs_test_answer_status(answer), 503);
    assert_non_null(shs_test_answer_header(answer, "Retry-After"));
    shs_test_answer_free(answer);
    shs_sse_channel_free(channel);
    shs_sse_channel_free(NULL);
}

/* -- many at once ------------------------------------------------------------------------------ */

#define LISTENERS 6
#define EVENTS 300

/* Reads until `count` events came, each the next one. */
static void hear_all(int fd, int count)
{
    char line[64];
    static char buf[65536];
    size_t len = 0;

    for (int n = 0; n < count;) {
        struct pollfd p = {.fd = fd, .events = POLLIN};
        char *end, *at = buf;
        ssize_t got;

        assert_int_equal(poll(&p, 1, patience_ms()), 1);
        got = recv(fd, buf + len, sizeof buf - 1 - len, 0);
        assert_true(got > 0);
        len += (size_t)got;
        buf[len] = '\0';
        while ((end = strchr(at, '\n')) != NULL) {
            if (strncmp(at, "data: ", 6) == 0) {
                snprintf(line, sizeof line, "data: %d\n", n++);
                assert_memory_equal(at, line, strlen(line));
            }
            at = end + 1;
        }
        len -= (size_t)(at - buf);
        memmove(buf, at, len);
    }
}

static void *send_all(void *channel)
{
    char text[16];

    for (int i = 0; i < EVENTS; i++) {
        snprintf(text, sizeof text, "%d", i);
        if (shs_sse_channel_send(channel, "n", text) != SHS_OK)
            return channel;
    }
    return NULL;
}

static void await_listeners(struct shs_sse_channel *channel, unsigned count)
{
    for (int i = 0; i < patience_ms() && shs_sse_channel_listeners(channel) != count; i++)
        poll(NULL, 0, 1);
    assert_int_equal(shs_sse_channel_listeners(channel), count);
}

typedef int new_server_fn(struct shs_server **, const struct shs_options *,
                          const struct shs_http_handler *, struct shs_error *);

static int new_pool_server(struct shs_server **out, const struct shs_options *opt,
                           const struct shs_http_handler *handler, struct shs_error *err)
{
    struct shs_options o = *opt;
    int rc;

    o.bind_and_activate = false;
    rc = shs_http_server_new(out, &o, handler, err);
    if (rc == SHS_OK)
        rc = shs_thread_pool_mixin_push(*out, err);
    return rc == SHS_OK ? shs_server_bind_and_activate(*out, err) : rc;
}

/* Everybody hears all of it in order; who goes is forgotten; the server's end is everybody's. */
static void hear_together(new_server_fn *new_server)
{
    struct shs_sse_channel *channel = make(EVENTS, 1 << 20, 600000);
    struct shs_http_handler handler = handler_of(channel);
    struct shs_server *server;
    struct shs_options opt;
    struct shs_error err;
    pthread_t loop, sender;
    int fds[LISTENERS];
    void *failed;

    shs_options_init(&opt);
    opt.stop_ms = (unsigned)patience_ms();
    assert_int_equal(new_server(&server, &opt, &handler, &err), SHS_OK);
    assert_int_equal(pthread_create(&loop, NULL, loopback_serve, server), 0);
    for (int i = 0; i < LISTENERS; i++) {
        fds[i] = loopback_dial(shs_server_port(server));
        loopback_ask(fds[i], "/");
        while (!loopback_hears(fds[i], "\nid: "))
            continue;
    }
    assert_int_equal(shs_sse_channel_listeners(channel), LISTENERS);
    assert_int_equal(pthread_create(&sender, NULL, send_all, channel), 0);
    for (int i = 0; i < LISTENERS; i++)
        hear_all(fds[i], EVENTS);
    assert_int_equal(pthread_join(sender, &failed), 0);
    assert_null(failed);
    close(fds[0]);
    close(fds[3]);
    await_listeners(channel, LISTENERS - 2);
    shs_shutdown(server);
    assert_int_equal(pthread_join(loop, NULL), 0);
    assert_int_equal(shs_server_close(server), SHS_OK);
    for (int i = 1; i < LISTENERS; i++) {
        if (i == 3)
            continue;
        while (strstr(loopback_hear(fds[i]), "0\r\n\r\n") == NULL) /* in order, and not cut */
            continue;
        close(fds[i]);
    }
    assert_int_equal(shs_sse_channel_listeners(channel), 0);
    shs_server_free(server);
    shs_sse_channel_free(channel);
}

static void test_many_hear_the_same(void **state)
{
    (void)state;
    hear_together(new_pool_server);
}

static void test_many_hear_the_same_in_threads(void **state)
{
    (void)state;
    hear_together(shs_threading_http_server_new);
}

#define BEHIND 1500
#define LARGE 16384

/* How much comes until the end of the stream; false: the answer was cut. */
static bool hear_to_the_end(int fd, size_t *total)
{
    char tail[5] = "", buf[65536];
    ssize_t got;

    for (*total = 0; (got = recv(fd, buf, sizeof buf, 0)) > 0; *total += (size_t)got) {
        size_t fresh = (size_t)got < sizeof tail ? (size_t)got : sizeof tail;

        memmove(tail, tail + fresh, sizeof tail - fresh);
        memcpy(tail + sizeof tail - fresh, buf + got - fresh, fresh);
    }
    return got == 0 && memcmp(tail, "0\r\n\r\n", sizeof tail) == 0;
}

static void *close_server(void *server)
{
    return shs_server_close(server) == SHS_OK ? NULL : server;
}

/* There is always one more event that the listener has not had: a stop is the end of the answer all
   the same, and not at the last of them. */
static void stop_who_is_behind(new_server_fn *new_server, bool on_loop)
{
    struct shs_sse_channel *channel = make(BEHIND + 1, (size_t)BEHIND * (LARGE + 128), 0);
    struct shs_http_handler handler = handler_of(channel);
    struct shs_server *server;
    struct shs_options opt;
    struct shs_error err;
    pthread_t loop, closer;
    char *text = malloc(LARGE + 1);
    void *failed;
    size_t total;
    int fd;

    assert_non_null(text);
    memset(text, 'x', LARGE);
    text[LARGE] = '\0';
    shs_options_init(&opt);
    opt.stop_ms = opt.write_ms = (unsigned)patience_ms();
    assert_int_equal(new_server(&server, &opt, &handler, &err), SHS_OK);
    assert_int_equal(pthread_create(&loop, NULL, loopback_serve, server), 0);
    fd = loopback_dial(shs_server_port(server));
    loopback_ask(fd, "/");
    while (!loopback_hears(fd, "\nid: "))
        continue;
    for (int i = 0; i < BEHIND; i++)
        assert_int_equal(shs_sse_channel_send(channel, NULL, text), SHS_OK);
    shs_shutdown(server);
    if (!on_loop) { /* whose loop ends when this answer does */
        assert_int_equal(pthread_join(loop, NULL), 0);
        assert_int_equal(pthread_create(&closer, NULL, close_server, server), 0);
        while (!shs_server_stopping(server))
            poll(NULL, 0, 1);
    }
    assert_true(hear_to_the_end(fd, &total));
    assert_true(total < (size_t)BEHIND * LARGE);
    if (on_loop) {
        assert_int_equal(pthread_join(loop, NULL), 0);
        assert_int_equal(pthread_create(&closer, NULL, close_server, server), 0);
    }
    assert_int_equal(pthread_join(closer, &failed), 0);
    assert_null(failed);
    close(fd);
    assert_int_equal(shs_sse_channel_listeners(channel), 0);
    shs_server_free(server);
    shs_sse_channel_free(channel);
    free(text);
}

static void test_who_is_behind_at_a_stop(void **state)
{
    (void)state;
    stop_who_is_behind(new_pool_server, false);
    stop_who_is_behind(shs_threading_http_server_new, false);
    stop_who_is_behind(shs_http_server_new, true);
}

/* An event is there when it was sent, not when somebody looks again: that would be 250 ms each. */
static void test_an_event_wakes(void **state)
{
    struct shs_sse_channel *channel = make(10, 1 << 20, 600000);
    struct shs_http_handler handler = handler_of(channel);
    struct shs_server *server;
    struct shs_options opt;
    struct shs_error err;
    pthread_t loop;
    int fd;

    (void)state;
    shs_options_init(&opt);
    assert_int_equal(shs_threading_http_server_new(&server, &opt, &handler, &err), SHS_OK);
    assert_int_equal(pthread_create(&loop, NULL, loopback_serve, server), 0);
    fd = loopback_dial(shs_server_port(server));
    loopback_ask(fd, "/");
    while (!loopback_hears(fd, "\nid: "))
        continue;
    stopwatch_start();
    for (int i = 0; i < 20; i++) {
        assert_int_equal(shs_sse_channel_send(channel, NULL, "now"), SHS_OK);
        while (!loopback_hears(fd, "data: now"))
            continue;
    }
    assert_true(stopwatch_between(0, 1000));
    stopwatch_stop();
    close(fd);
    await_listeners(channel, 0);
    shs_server_free(server);
    pthread_join(loop, NULL);
    shs_sse_channel_free(channel);
}

/* 0 is never: a quiet listener hears nothing, costs nothing, and is there when something comes. */
static void test_no_comments_and_no_end(void **state)
{
    struct shs_sse_channel_options channel_opt;
    struct shs_sse_channel *channel;
    struct shs_http_handler handler;
    struct shs_server *server;
    struct shs_options opt;
    struct shs_error err;
    struct pollfd p = {.events = POLLIN};
    pthread_t loop;

    (void)state;
    shs_sse_channel_options_init(&channel_opt);
    channel_opt.comment_ms = channel_opt.listen_ms = 0;
    assert_int_equal(shs_sse_channel_new(&channel, &channel_opt, &err), SHS_OK);
    handler = handler_of(channel);
    shs_options_init(&opt);
    assert_int_equal(shs_threading_http_server_new(&server, &opt, &handler, &err), SHS_OK);
    assert_int_equal(pthread_create(&loop, NULL, loopback_serve, server), 0);
    p.fd = loopback_dial(shs_server_port(server));
    loopback_ask(p.fd, "/");
    while (!loopback_hears(p.fd, "\nid: "))
        continue;
    assert_int_equal(poll(&p, 1, 100), 0);
    assert_int_equal(shs_sse_channel_send(channel, NULL, "now"), SHS_OK);
    while (!loopback_hears(p.fd, "data: now"))
        continue;
    close(p.fd);
    await_listeners(channel, 0);
    shs_server_free(server);
    pthread_join(loop, NULL);
    shs_sse_channel_free(channel);
}

static void test_no_channel(void **state)
{
    struct shs_http_handler handler = handler_of(NULL);
    struct shs_test_answer *answer;
    struct shs_test_request ask;
    struct shs_error err;

    (void)state;
    assert_int_equal(shs_sse_channel_send(NULL, NULL, "x"), SHS_USAGE);
    assert_int_equal(shs_sse_channel_send_str(NULL, NULL, shs_str_of("x")), SHS_USAGE);
    assert_int_equal(shs_sse_channel_listeners(NULL), 0);
    shs_test_request_init(&ask);
    assert_int_equal(shs_test_call(&answer, &handler, &ask, &err), SHS_OK);
    assert_int_equal(shs_test_answer_status(answer), 500);
    assert_int_equal(shs_test_answer_error(answer)->code, SHS_USAGE);
    assert_non_null(strstr(shs_test_answer_error(answer)->text, "NULL"));
    shs_test_answer_free(answer);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_who_comes_again_gets_what_was_missed),
        cmocka_unit_test(test_what_was_missed_comes_whole),
        cmocka_unit_test(test_bytes_are_bounded_and_one_is_always_kept),
        cmocka_unit_test(test_what_is_refused),
        cmocka_unit_test(test_no_channel),
        cmocka_unit_test(test_many_hear_the_same),
        cmocka_unit_test(test_many_hear_the_same_in_threads),
        cmocka_unit_test(test_an_event_wakes),
        cmocka_unit_test(test_who_is_behind_at_a_stop),
        cmocka_unit_test(test_no_comments_and_no_end),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
