/* test_socketserver_threading.c - S44 to S51; S49 and S51 are in test_server_limits.c. */
#include "socketserver_support.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "server/server.h"

static _Atomic unsigned slot, begun, done;
static _Atomic bool may_go;
static char names[8][16];
static pthread_t threads[8];

/* Notes its thread, and works until it may go. */
static int work_handle(struct shs_request_handler *self)
{
    unsigned i = atomic_fetch_add(&slot, 1) % 8;

    threads[i] = pthread_self();
    pthread_getname_np(pthread_self(), names[i], sizeof names[i]);
    begun++;
    shs_conn_set_idle(self->request, false);
    for (unsigned n = 0; n < SST_PAUSES && !may_go; n++)
        sst_pause();
    done++;
    return SHS_OK;
}

static const struct shs_request_handler_class work = {
    .name = "Work", .instance_size = sizeof(struct shs_request_handler), .handle = work_handle};

static void start(struct sst_server *s, struct sst_spy *spy, const struct shs_options *opt,
                  const struct shs_request_handler_class *handler)
{
    slot = begun = done = 0;
    may_go = false;
    assert_int_equal(shs_threading_tcp_server_new(&s->server, opt, handler, NULL), SHS_OK);
    sst_spy_push(spy, s->server);
    sst_serve(s);
}

static void end_loop(struct sst_server *s)
{
    assert_int_equal(shs_shutdown_wait(s->server, (unsigned)patience_ms()), SHS_OK);
    assert_int_equal(sst_join(s), SHS_OK);
}

static int64_t close_takes_ms(struct sst_server *s)
{
    int64_t before = shs_now_ns();

    assert_int_equal(shs_server_close(s->server), SHS_OK);
    return (shs_now_ns() - before) / SHS_NS_PER_MS;
}

static void test_S44_one_thread_per_request(void **state)
{
    struct shs_server_stats stats;
    struct sst_spy spy;
    struct sst_server s;
    struct shs_options opt;
    int fds[3];

    (void)state;
    sst_options(&opt, NULL, NULL);
    start(&s, &spy, &opt, &work);
    for (unsigned i = 0; i < 3; i++) {
        fds[i] = sst_dial(&s, NULL);
        sst_wait_until(begun == i + 1); /* while the ones before are at work */
    }
    for (unsigned i = 0; i < 3; i++) {
        char expected[16];

        snprintf(expected, sizeof expected, "Thread-%u", i + 1);
        assert_string_equal(names[i], expected);
        assert_false(pthread_equal(threads[i], s.thread));
        assert_false(pthread_equal(threads[i], threads[(i + 1) % 3]));
    }
    shs_server_get_stats(s.server, &stats);
    assert_int_equal(stats.threads, 3);
    may_go = true;
    sst_wait_until(done == 3);
    for (int i = 0; i < 3; i++)
        close(fds[i]);
    sst_stop(&s);
}

static void *let_go(void *unused)
{
    (void)unused;
    usleep(100000);
    may_go = true;
    return NULL;
}

/* Whoever closes does not wait for the threads, and they may go on; who frees does: what their
   handlers use is freed next. */
static void close_leaves_threads_alone(const struct shs_options *opt)
{
    struct sst_spy spy;
    struct sst_server s;
    pthread_t other;
    int fd;

    start(&s, &spy, opt, &work);
    fd = sst_dial(&s, NULL);
    sst_wait_until(begun == 1);
    end_loop(&s);
    assert_true(close_takes_ms(&s) < opt->stop_ms / 2);
    assert_int_equal(done, 0);
    assert_int_equal(pthread_create(&other, NULL, let_go, NULL), 0);
    shs_server_free(s.server);
    assert_int_equal(done, 1);
    pthread_join(other, NULL);
    sst_wait_until(spy.freed);
    close(fd);
}

static void test_S44_daemon_threads(void **state)
{
    struct shs_options opt;

    (void)state;
    sst_options(&opt, NULL, NULL);
    opt.daemon_threads = true;
    close_leaves_threads_alone(&opt);
}

static void test_S45_errors_in_a_thread(void **state)
{
    struct sst_spy spy;
    struct sst_server s;
    struct shs_options opt;
    char byte;
    int fd;

    (void)state;
    sst_options(&opt, NULL, NULL);
    start(&s, &spy, &opt, &sst_echo);
    fd = sst_dial(&s, NULL);
    sst_say(fd, "fail", 4);
    assert_int_equal(sst_hear(fd, &byte, 1), 0); /* shut down */
    close(fd);
    sst_wait_until(spy.errors == 1);
    sst_stop(&s);
    assert_true(sst_spy_is(&spy, "get verify process finish error shutdown close"));
}

static void test_S46_exit_in_a_thread_is_no_error(void **state)
{
    struct sst_spy spy;
    struct sst_server s;
    struct shs_options opt;
    char byte;
    int fd;

    (void)state;
    sst_options(&opt, NULL, NULL);
    start(&s, &spy, &opt, &sst_echo);
    fd = sst_dial(&s, NULL);
    sst_say(fd, "exit", 4);
    assert_int_equal(sst_hear(fd, &byte, 1), 0);
    close(fd);
    sst_ask(&s, NULL, "it serves on", "it serves on");
    sst_stop(&s);
    assert_int_equal(spy.errors, 0);
}

/* When the server closes, and not at once: whoever does not wait has returned by then. */
static void *let_go_later(void *server)
{
    for (unsigned n = 0; n < SST_PAUSES && !shs_server_stopping(server); n++)
        sst_pause();
    usleep(200000);
    may_go = true;
    return NULL;
}

static void test_S47_server_close_joins(void **state)
{
    struct shs_server_stats stats;
    struct sst_spy spy;
    struct sst_server s;
    struct shs_options opt;
    pthread_t later;
    int fds[3];

    (void)state;
    sst_options(&opt, NULL, NULL);
    start(&s, &spy, &opt, &work);
    for (unsigned i = 0; i < 3; i++)
        fds[i] = sst_dial(&s, NULL);
    sst_wait_until(begun == 3);
    end_loop(&s);
    assert_int_equal(pthread_create(&later, NULL, let_go_later, s.server), 0);
    assert_int_equal(shs_server_close(s.server), SHS_OK);
    assert_int_equal(done, 3);
    shs_server_get_stats(s.server, &stats);
    assert_int_equal(stats.threads, 0);
    pthread_join(later, NULL);
    assert_int_equal(sst_threads_settle(1), 1);
    for (int i = 0; i < 3; i++)
        close(fds[i]);
    shs_server_free(s.server);
}

static void test_S48_block_on_close_false(void **state)
{
    struct shs_options opt;

    (void)state;
    sst_options(&opt, NULL, NULL);
    opt.block_on_close = false;
    close_leaves_threads_alone(&opt);
}

/* Of each class, right after construction. */
static void test_S50_close_immediately(void **state)
{
    unsigned before = sst_descriptors();
    struct sst_dir dir;

    (void)state;
    sst_dir_make(&dir);
    for (size_t i = 0; i < sizeof sst_classes / sizeof sst_classes[0]; i++) {
        struct shs_server *server = NULL;
        struct shs_options opt;

        sst_options(&opt, &sst_classes[i], &dir);
        opt.unlink_on_close = true;
        assert_int_equal(sst_classes[i].make(&server, &opt, &sst_echo, NULL), SHS_OK);
        assert_int_equal(shs_server_close(server), SHS_OK);
        assert_int_equal(shs_server_fileno(server), -1);
        shs_server_free(server);
    }
    assert_int_equal(sst_descriptors(), before);
    sst_dir_remove(&dir);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_S44_one_thread_per_request),
        cmocka_unit_test(test_S44_daemon_threads),
        cmocka_unit_test(test_S45_errors_in_a_thread),
        cmocka_unit_test(test_S46_exit_in_a_thread_is_no_error),
        cmocka_unit_test(test_S47_server_close_joins),
        cmocka_unit_test(test_S48_block_on_close_false),
        cmocka_unit_test(test_S50_close_immediately),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
