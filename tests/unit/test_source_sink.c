/* test_source_sink.c - bodies that are made, and taken, while no thread waits for the peer. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include <shs/shs.h>

#include "loopback.h"
#include "patience.h"

/* -- a source that counts, and one handler for its ways ---------------------------------------- */

struct counting {
    size_t left, at, step, fails_at;
};

static struct counting made;
static _Atomic unsigned freed;

/* Byte i is i mod 251: a piece that is lost or doubled shows. */
static int counting_read(void *ctx, void *buf, size_t cap, size_t *got)
{
    struct counting *self = ctx;
    size_t n = self->left < self->step ? self->left : self->step;

    if (self->fails_at > 0 && self->at >= self->fails_at)
        return SHS_IO;
    if (n > cap)
        n = cap;
    for (size_t i = 0; i < n; i++)
        ((unsigned char *)buf)[i] = (unsigned char)((self->at + i) % 251);
    self->at += n;
    self->left -= n;
    *got = n;
    return SHS_OK;
}

static void counting_free(void *ctx)
{
    assert_ptr_equal(ctx, &made);
    atomic_fetch_add(&freed, 1);
}

static const struct shs_source counting_source = {.read = counting_read, .free = counting_free};

static struct {
    bool says_length, writes_before, writes_after, trailer;
    uint64_t length;
} way;

static int source_get(struct shs_request *req, struct shs_response *res)
{
    (void)req;
    SHS_RETURN_IF_ERROR(shs_send_response(res, 200));
    if (way.says_length)
        SHS_RETURN_IF_ERROR(shs_send_length(res, way.length));
    if (way.writes_before)
        SHS_RETURN_IF_ERROR(shs_write(res, "x", 1));
    if (way.trailer)
        SHS_RETURN_IF_ERROR(shs_send_trailer(res, "X-Sum", "7"));
    SHS_RETURN_IF_ERROR(shs_send_source(res, &counting_source, &made));
    return way.writes_after ? shs_write(res, "x", 1) : SHS_OK;
}
static const struct shs_http_handler source_handler = {.name = "source", .do_GET = source_get};

static struct shs_test_answer *ask(size_t bytes, size_t step, const char *method)
{
    struct shs_test_request request;
    struct shs_test_answer *answer = NULL;
    struct shs_error err = {.code = SHS_OK};

    made = (struct counting){.left = bytes, .step = step, .fails_at = made.fails_at};
    atomic_store(&freed, 0);
    shs_test_request_init(&request);
    request.method = method;
    if (shs_test_call(&answer, &source_handler, &request, &err) != SHS_OK)
        fail_msg("%s", err.text);
    assert_int_equal(atomic_load(&freed), 1);
    return answer;
}

static void is_whole(struct shs_test_answer *answer, size_t bytes)
{
    struct shs_str body = shs_test_answer_body(answer);

    assert_int_equal(shs_test_answer_status(answer), 200);
    assert_true(shs_test_answer_complete(answer));
    assert_int_equal(shs_test_answer_error(answer)->code, SHS_OK);
    assert_int_equal(body.len, bytes);
    for (size_t i = 0; i < bytes; i++) {
        if ((unsigned char)body.ptr[i] != i % 251)
            fail_msg("byte %zu of %zu", i, bytes);
    }
}

static void a_source_is_the_body(void **state)
{
    static const size_t sizes[] = {0, 1, 16383, 16384, 16385, 200000},
                        steps[] = {1, 7, 16384, 99999};
    struct shs_test_answer *answer;

    (void)state;
    memset(&way, 0, sizeof way);
    for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++) {
        for (size_t k = 0; k < sizeof steps / sizeof steps[0]; k++) {
            way.says_length = false;
            answer = ask(sizes[i], steps[k], "GET");
            is_whole(answer, sizes[i]);
            assert_null(shs_test_answer_header(answer, "Content-Length"));
            shs_test_answer_free(answer);
            way.says_length = true;
            way.length = sizes[i];
            answer = ask(sizes[i], steps[k], "GET");
            is_whole(answer, sizes[i]);
            assert_null(shs_test_answer_header(answer, "Transfer-Encoding"));
            shs_test_answer_free(answer);
        }
    }
}

static void a_head_asks_for_nothing(void **state)
{
    struct shs_test_answer *answer;

    (void)state;
    memset(&way, 0, sizeof way);
    way.says_length = true;
    way.length = 5000;
    answer = ask(5000, 100, "HEAD");
    assert_int_equal(made.at, 0);
    assert_string_equal(shs_test_answer_header(answer, "Content-Length"), "5000");
    assert_int_equal(shs_test_answer_body(answer).len, 0);
    shs_test_answer_free(answer);
    way.says_length = false; /* nobody knows how long it would be (RFC 9110 section 8.6) */
    answer = ask(5000, 100, "HEAD");
    assert_int_equal(made.at, 0);
    assert_null(shs_test_answer_header(answer, "Content-Length"));
    shs_test_answer_free(answer);
}

static void trailers_follow_a_source(void **state)
{
    struct shs_test_answer *answer;

    (void)state;
    memset(&way, 0, sizeof way);
    way.trailer = true;
    answer = ask(40000, 1000, "GET");
    is_whole(answer, 40000);
    assert_string_equal(shs_test_answer_trailer(answer, "X-Sum"), "7");
    shs_test_answer_free(answer);
}

/* What fails in the middle, or gives another length than was said, never looks whole. */
static void a_source_that_fails_is_seen(void **state)
{
    static const uint64_t lengths[] = {4999, 5001, 0, 1000000};
    struct shs_test_answer *answer;

    (void)state;
    memset(&way, 0, sizeof way);
    for (int chunked = 0; chunked < 2; chunked++) {
        way.says_length = chunked == 0;
        way.length = 40000;
        made.fails_at = 20000;
        answer = ask(40000, 1000, "GET");
        made.fails_at = 0;
        assert_false(shs_test_answer_complete(answer));
        shs_test_answer_free(answer);
    }
    way.says_length = true;
    for (size_t i = 0; i < 4; i++) {
        way.length = lengths[i];
        answer = ask(5000, 1000, "GET");
        assert_true(shs_test_answer_body(answer).len <= lengths[i]);
        if (lengths[i] > 0) /* all of nothing is there at once */
            assert_false(shs_test_answer_complete(answer));
        shs_test_answer_free(answer);
    }
}

static void nothing_stands_beside_a_source(void **state)
{
    struct shs_test_answer *answer;

    (void)state;
    memset(&way, 0, sizeof way);
    way.writes_before = true;
    answer = ask(100, 10, "GET");
    assert_int_equal(shs_test_answer_status(answer), 500);
    shs_test_answer_free(answer);
    way.writes_before = false;
    way.writes_after = true;
    answer = ask(100, 10, "GET");
    assert_int_equal(shs_test_answer_status(answer), 500);
    shs_test_answer_free(answer);
}

/* -- a sink that checks what it is given ------------------------------------------------------- */

static struct taking {
    size_t at, wrong, refuses_at;
    unsigned dones, frees;
    int done_rc;
    bool reads_first, answers_first;
} taken;

static int taking_write(void *ctx, const void *buf, size_t len)
{
    struct taking *self = ctx;

    assert_true(len > 0);
    for (size_t i = 0; i < len; i++)
        self->wrong += ((const unsigned char *)buf)[i] != (self->at + i) % 251;
    self->at += len;
    return self->refuses_at > 0 && self->at >= self->refuses_at ? SHS_LIMIT : SHS_OK;
}

static int taking_done(void *ctx, struct shs_request *req, struct shs_response *res, int rc)
{
    struct taking *self = ctx;
    char text[64];
    int len = snprintf(text, sizeof text, "%zu", self->at);

    self->dones++;
    self->done_rc = rc;
    assert_ptr_equal(shs_request_ctx(req), &taken);
    assert_true(shs_str_is(shs_request_path(req), "/up"));
    SHS_RETURN_IF_ERROR(shs_send_response(res, rc == SHS_OK ? 200 : 507));
    return shs_write(res, text, (size_t)len);
}

static void taking_free(void *ctx)
{
    ((struct taking *)ctx)->frees++;
}

static const struct shs_sink taking_sink = {
    .write = taking_write, .done = taking_done, .free = taking_free};

static int sink_put(struct shs_request *req, struct shs_response *res)
{
    char byte;
    size_t got;

    if (taken.reads_first)
        SHS_RETURN_IF_ERROR(shs_request_read(req, &byte, 1, &got));
    if (taken.answers_first)
        SHS_RETURN_IF_ERROR(shs_send_response(res, 200));
    return shs_request_sink(req, &taking_sink, &taken);
}
static const struct shs_http_handler sink_handler = {
    .name = "sink", .do_PUT = sink_put, .ctx = &taken};

static unsigned char content[300000];

static int put(struct shs_test_answer **answer, size_t len, bool chunked, const char *expect,
               const struct shs_options *opt)
{
    const char *fields[] = {"Expect", expect, NULL};
    struct shs_test_request request;
    struct shs_error err = {.code = SHS_OK};
    int rc;

    taken.at = taken.wrong = 0;
    taken.dones = taken.frees = 0;
    shs_test_request_init(&request);
    request.method = "PUT";
    request.target = "/up";
    request.body = content;
    request.body_len = len;
    request.chunked = chunked;
    request.options = opt;
    if (expect != NULL)
        request.fields = fields;
    rc = shs_test_call(answer, &sink_handler, &request, &err);
    if (rc != SHS_OK)
        fail_msg("%s", err.text);
    assert_int_equal(taken.frees, 1);
    assert_int_equal(taken.wrong, 0);
    return shs_test_answer_status(*answer);
}

static void a_sink_takes_every_body(void **state)
{
    static const size_t sizes[] = {0, 1, 1000, 65535, 65536, 65537, 300000};
    struct shs_test_answer *answer;

    (void)state;
    memset(&taken, 0, sizeof taken);
    for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++) {
        for (int chunked = 0; chunked < 2; chunked++) {
            for (int expect = 0; expect < 2; expect++) {
                assert_int_equal(
                    put(&answer, sizes[i], chunked != 0, expect != 0 ? "100-continue" : NULL, NULL),
                    200);
                assert_int_equal(taken.at, sizes[i]);
                assert_int_equal(taken.dones, 1);
                assert_int_equal(taken.done_rc, SHS_OK);
                shs_test_answer_free(answer);
            }
        }
    }
}

/* Who has had enough says so, and what the client is told is his. */
static void a_sink_may_refuse(void **state)
{
    struct shs_test_answer *answer;

    (void)state;
    memset(&taken, 0, sizeof taken);
    for (taken.refuses_at = 1; taken.refuses_at <= 200000; taken.refuses_at += 70000) {
        assert_int_equal(put(&answer, 300000, false, NULL, NULL), 507);
        assert_int_equal(taken.dones, 1);
        assert_int_equal(taken.done_rc, SHS_LIMIT);
        assert_true(taken.at >= taken.refuses_at && taken.at < 300000);
        shs_test_answer_free(answer);
    }
}

/* Too much for the server is 413, and nobody is told that the body is done. */
static void a_sink_is_behind_the_limits(void **state)
{
    struct shs_test_answer *answer;
    struct shs_options opt;

    (void)state;
    memset(&taken, 0, sizeof taken);
    shs_options_init(&opt);
    opt.max_body_bytes = 100000;
    opt.max_buffered_body = 100;
    assert_int_equal(put(&answer, 100001, true, NULL, &opt), 413);
    assert_int_equal(taken.dones, 0);
    shs_test_answer_free(answer);
    assert_int_equal(put(&answer, 100000, true, NULL, &opt), 200);
    shs_test_answer_free(answer);
}

static void a_sink_comes_first(void **state)
{
    struct shs_test_answer *answer;

    (void)state;
    memset(&taken, 0, sizeof taken);
    taken.reads_first = true;
    assert_int_equal(put(&answer, 10, false, NULL, NULL), 500);
    assert_int_equal(taken.dones, 0);
    shs_test_answer_free(answer);
    taken.reads_first = false;
    taken.answers_first = true;
    assert_int_equal(put(&answer, 10, false, NULL, NULL), 500);
    shs_test_answer_free(answer);
}

/* -- over sockets, in the pool ----------------------------------------------------------------- */

#define SLOW 200u

static int endless_read(void *ctx, void *buf, size_t cap, size_t *got)
{
    (void)ctx;
    memset(buf, 'x', cap);
    *got = cap;
    return SHS_OK;
}
static void endless_free(void *ctx)
{
    (void)ctx;
    atomic_fetch_add(&freed, 1);
}
static const struct shs_source endless = {.read = endless_read, .free = endless_free};

static int endless_get(struct shs_request *req, struct shs_response *res)
{
    SHS_RETURN_IF_ERROR(shs_send_response(res, 200));
    if (shs_str_is(shs_request_path(req), "/short"))
        return shs_write(res, "short", 5);
    return shs_send_source(res, &endless, NULL);
}

static int endless_write(void *ctx, const void *buf, size_t len)
{
    (void)ctx, (void)buf, (void)len;
    return SHS_OK;
}
static int endless_done(void *ctx, struct shs_request *req, struct shs_response *res, int rc)
{
    (void)ctx, (void)req, (void)rc;
    return shs_send_page(res, 500, NULL);
}
static const struct shs_sink swallow = {
    .write = endless_write, .done = endless_done, .free = endless_free};

static int swallow_put(struct shs_request *req, struct shs_response *res)
{
    (void)res;
    return shs_request_sink(req, &swallow, NULL);
}
static const struct shs_http_handler slow_handler = {
    .name = "slow", .do_GET = endless_get, .do_PUT = swallow_put};

/* Readers that do not read and writers that stop in the middle hold no thread, and others are
   served beside them. All that was theirs is given back when they go. */
static void slow_peers_hold_no_thread(void **state)
{
    static const char upload[] =
        "PUT /up HTTP/1.1\r\nHost: a\r\nContent-Length: 1000000\r\n\r\nhalf";
    struct shs_test_server_options opt;
    struct shs_test_server *server;
    struct shs_test_answer *answer;
    struct shs_test_request request;
    struct shs_server_stats stats;
    struct shs_options limits;
    struct shs_error err = {.code = SHS_OK};
    int fds[SLOW];

    (void)state;
    atomic_store(&freed, 0);
    shs_options_init(&limits);
    limits.threads = 2;
    limits.stop_ms = 100;
    shs_test_server_options_init(&opt);
    opt.plain = true;
    opt.options = &limits;
    assert_int_equal(shs_test_server_start(&server, &slow_handler, &opt, &err), SHS_OK);
    for (unsigned i = 0; i < SLOW; i++) {
        fds[i] = loopback_dial(shs_test_server_port(server));
        if (i % 2 == 0)
            loopback_ask(fds[i], "/long");
        else
            loopback_say(fds[i], upload);
    }
    shs_test_request_init(&request);
    request.target = "/short";
    for (unsigned i = 0; i < 20; i++) {
        assert_int_equal(shs_test_server_ask(&answer, server, &request, &err), SHS_OK);
        assert_int_equal(shs_test_answer_body(answer).len, 5);
        shs_test_answer_free(answer);
    }
    shs_server_get_stats(shs_test_server_server(server), &stats);
    assert_true(stats.threads <= 2 + 4);
    for (unsigned i = 0; i < SLOW; i++)
        close(fds[i]);
    for (int i = 0; i < patience_ms() && atomic_load(&freed) < SLOW; i++)
        usleep(1000);
    assert_int_equal(atomic_load(&freed), SLOW);
    (void)shs_test_server_stop(server, &err);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_source_is_the_body),
        cmocka_unit_test(a_head_asks_for_nothing),
        cmocka_unit_test(trailers_follow_a_source),
        cmocka_unit_test(a_source_that_fails_is_seen),
        cmocka_unit_test(nothing_stands_beside_a_source),
        cmocka_unit_test(a_sink_takes_every_body),
        cmocka_unit_test(a_sink_may_refuse),
        cmocka_unit_test(a_sink_is_behind_the_limits),
        cmocka_unit_test(a_sink_comes_first),
        cmocka_unit_test(slow_peers_hold_no_thread),
    };

    for (size_t i = 0; i < sizeof content; i++)
        content[i] = (unsigned char)(i % 251);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
