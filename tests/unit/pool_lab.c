#include "pool_lab.h"

#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "server/thread_pool.h"

/* -- a handler that can be held back ---------------------------------------------------------- */

static struct {
    pthread_mutex_t lock;
    pthread_cond_t changed;
    _Atomic bool closed; /* "/block" waits while it is */
    unsigned waiting;    /* how many do */
} gate = {PTHREAD_MUTEX_INITIALIZER, PTHREAD_COND_INITIALIZER, false, 0};

void pool_set_gate(bool closed)
{
    pthread_mutex_lock(&gate.lock);
    gate.closed = closed;
    pthread_cond_broadcast(&gate.changed);
    pthread_mutex_unlock(&gate.lock);
}

static void pass_gate(bool computes)
{
    pthread_mutex_lock(&gate.lock);
    gate.waiting++;
    pthread_cond_broadcast(&gate.changed);
    pthread_mutex_unlock(&gate.lock);
    while (computes && atomic_load(&gate.closed))
        continue;
    pthread_mutex_lock(&gate.lock);
    while (gate.closed)
        pthread_cond_wait(&gate.changed, &gate.lock);
    gate.waiting--;
    pthread_cond_broadcast(&gate.changed);
    pthread_mutex_unlock(&gate.lock);
}

static struct timespec in_seconds(time_t seconds)
{
    struct timespec ts;

    clock_gettime(CLOCK_REALTIME, &ts);
    ts.tv_sec += seconds;
    return ts;
}

void pool_wait_at_gate(unsigned count)
{
    struct timespec until = in_seconds(2 * patience_ms() / 1000);
    int rc = 0;

    pthread_mutex_lock(&gate.lock);
    while (gate.waiting != count && rc == 0)
        rc = pthread_cond_timedwait(&gate.changed, &gate.lock, &until);
    pthread_mutex_unlock(&gate.lock);
    assert_int_equal(rc, 0);
}

/* -- handlers that wait or compute for a while ------------------------------------------------- */

static _Atomic unsigned at_once, most_at_once;

unsigned pool_most_at_once(void)
{
    return atomic_exchange(&most_at_once, 0);
}

static int64_t thread_cpu_ns(void)
{
    struct timespec ts;

    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &ts);
    return (int64_t)ts.tv_sec * SHS_NS_PER_S + ts.tv_nsec;
}

/* "/nap/US", "/source/US" and "/sink/US" sleep, "/compute/US" does not; all are counted. */
static void pass_time(const char *path)
{
    unsigned now = atomic_fetch_add(&at_once, 1) + 1, most = atomic_load(&most_at_once);
    int64_t ns = strtol(strrchr(path, '/') + 1, NULL, 10) * 1000, until = thread_cpu_ns() + ns;
    struct timespec ts = {.tv_sec = ns / SHS_NS_PER_S, .tv_nsec = ns % SHS_NS_PER_S};

    while (now > most && !atomic_compare_exchange_weak(&most_at_once, &most, now))
        continue;
    if (ns > 0 && (path[1] == 'n' || path[1] == 's')) /* even none of them would be a wait */
        nanosleep(&ts, NULL);
    while (path[1] == 'c' && thread_cpu_ns() < until)
        continue;
    atomic_fetch_sub(&at_once, 1);
}

static int answer(struct shs_response *res, struct shs_str text)
{
    SHS_RETURN_IF_ERROR(shs_send_response(res, 200));
    SHS_RETURN_IF_ERROR(shs_end_headers(res));
    return shs_write(res, text.ptr, text.len);
}

/* "/source/US": the handler is done at once, and the body sleeps; "/sink/US": its body does. */
static int source_read(void *ctx, void *buf, size_t cap, size_t *got)
{
    char *path = ctx;
    size_t len = strlen(path);

    if (path[0] == '\0' || len > cap)
        return SHS_OK;
    pass_time(path);
    memcpy(buf, path, len);
    *got = len;
    path[0] = '\0';
    return SHS_OK;
}
static const struct shs_source slow_source = {.read = source_read, .free = free};

static int sink_write(void *ctx, const void *buf, size_t len)
{
    (void)buf, (void)len;
    pass_time(ctx);
    return SHS_OK;
}
static int sink_done(void *ctx, struct shs_request *req, struct shs_response *res, int rc)
{
    (void)ctx;
    return rc == SHS_OK ? answer(res, shs_request_path(req)) : rc;
}
static const struct shs_sink slow_sink = {.write = sink_write, .done = sink_done, .free = free};

static char *copy_of(struct shs_str path)
{
    char *text = malloc(path.len + 1);

    assert_non_null(text);
    memcpy(text, path.ptr, path.len);
    text[path.len] = '\0';
    return text;
}

static int test_get(struct shs_request *req, struct shs_response *res)
{
    struct shs_str path = shs_request_path(req);
    char text[64];

    if (shs__str_eq(path, SHS_STR("/block")))
        pass_gate(false);
    if (shs__str_eq(path, SHS_STR("/spin")))
        pass_gate(true);
    if (path.len > 8 && memcmp(path.ptr, "/source/", 8) == 0) {
        SHS_RETURN_IF_ERROR(shs_send_response(res, 200));
        return shs_send_source(res, &slow_source, copy_of(path));
    }
    if (path.len < sizeof text && path.len > 5 && path.ptr[path.len - 1] != '/') {
        memcpy(text, path.ptr, path.len);
        text[path.len] = '\0';
        if (strncmp(text, "/nap/", 5) == 0 || strncmp(text, "/compute/", 9) == 0)
            pass_time(text);
    }
    return answer(res, path);
}

static int test_post(struct shs_request *req, struct shs_response *res)
{
    char buf[8192];
    size_t got = 0, total = 0;
    struct shs_str path = shs_request_path(req);

    if (path.len > 6 && memcmp(path.ptr, "/sink/", 6) == 0)
        return shs_request_sink(req, &slow_sink, copy_of(path));
    do {
        SHS_RETURN_IF_ERROR(shs_request_read(req, buf, sizeof buf, &got));
        total += got;
    } while (got > 0);
    snprintf(buf, sizeof buf, "%zu", total);
    return answer(res, shs__str(buf));
}

const struct shs_http_handler pool_handler = {
    .name = "test", .do_GET = test_get, .do_POST = test_post};

/* -- helpers ---------------------------------------------------------------------------------- */

void pool_defaults(struct shs_options *opt)
{
    shs_options_init(opt);
    opt->bind_and_activate = false;
    opt->poll_interval_ms = 50;
    opt->threads = 2;
    opt->queue_ms = 60000;
    opt->stop_ms = 60000;
    opt->close_ms = 500;
}

void pool_start_with(struct pool_fixture *f, const struct shs_options *opt, pool_push_fn *push)
{
    struct shs_error err = {.code = SHS_OK};

    memset(f, 0, sizeof *f);
    assert_int_equal(shs_http_server_new(&f->server, opt, &pool_handler, &err), SHS_OK);
    assert_int_equal(shs_server_push(f->server, &f->below.layer, &fake_layer_request_ops), SHS_OK);
    assert_int_equal(push(f->server, &err), SHS_OK);
    assert_int_equal(shs_server_push(f->server, &f->above.layer, &fake_layer_request_ops), SHS_OK);
    assert_int_equal(shs_server_bind_and_activate(f->server, &err), SHS_OK);
    assert_int_equal(pthread_create(&f->thread, NULL, loopback_serve, f->server), 0);
}

void pool_start(struct pool_fixture *f, const struct shs_options *opt)
{
    pool_start_with(f, opt, shs_thread_pool_mixin_push);
}

void pool_stop_loop(struct pool_fixture *f)
{
    void *rc = NULL;

    assert_int_equal(shs_shutdown_wait(f->server, (unsigned)patience_ms()), SHS_OK);
    pthread_join(f->thread, &rc);
    assert_int_equal((intptr_t)rc, SHS_OK);
}

void pool_finish(struct pool_fixture *f)
{
    pool_stop_loop(f);
    assert_int_equal(shs_server_close(f->server), SHS_OK);
    shs_server_free(f->server);
    assert_int_equal(f->below.freed, 1);
    assert_int_equal(f->above.freed, 1);
    assert_int_equal(f->above.shutdown, f->above.process);
    assert_int_equal(f->below.shutdown, f->above.process);
    assert_int_equal(f->above.close, f->above.process);
    assert_int_equal(f->below.close, f->above.process);
}

int pool_dial(const struct pool_fixture *f)
{
    return loopback_dial(shs_server_port(f->server));
}

void pool_assert_served(int fd, const char *path)
{
    loopback_ask(fd, path);
    assert_true(loopback_hears(fd, path));
}

unsigned pool_threads_of(const struct pool_fixture *f)
{
    struct shs_server_stats stats;

    shs_server_get_stats(f->server, &stats);
    return (unsigned)stats.threads;
}

bool pool_becomes_threads(const struct pool_fixture *f, unsigned count)
{
    for (int i = 0; i < patience_ms() / 5; i++) {
        if (pool_threads_of(f) == count)
            return true;
        poll(NULL, 0, 5);
    }
    return false;
}

bool pool_becomes_queue(const struct pool_fixture *f, unsigned count)
{
    struct shs_pool_figures figures;

    for (int i = 0; i < patience_ms() / 5; i++) {
        if (shs__pool_figures(f->server, &figures) && figures.queue == count)
            return true;
        poll(NULL, 0, 5);
    }
    return false;
}

int pool_dial_early(const struct pool_fixture *f, const char *text)
{
    int fd = pool_dial(f);

    loopback_say(fd, text);
    return fd;
}

void pool_serve_again(struct pool_fixture *f)
{
    assert_int_equal(pthread_create(&f->thread, NULL, loopback_serve, f->server), 0);
}

int64_t pool_ms_since(int64_t then_ns)
{
    return (shs_now_ns() - then_ns) / SHS_NS_PER_MS;
}
