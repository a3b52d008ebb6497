/* test_server.c - the object model: the chain of layers, and the loop that calls it. */
#include "server_lab.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "server/server.h"

static void test_base_table_is_dense(void **state)
{
    const struct shs_server_ops *ops = &shs__base_server_ops;

    (void)state;
    assert_non_null(ops->name);
    assert_non_null(ops->server_bind);
    assert_non_null(ops->server_activate);
    assert_non_null(ops->get_request);
    assert_non_null(ops->verify_request);
    assert_non_null(ops->process_request);
    assert_non_null(ops->finish_request);
    assert_non_null(ops->wait_request);
    assert_non_null(ops->shutdown_request);
    assert_non_null(ops->close_request);
    assert_non_null(ops->handle_error);
    assert_non_null(ops->handle_timeout);
    assert_non_null(ops->service_actions);
    assert_non_null(ops->server_close);
    assert_non_null(ops->layer_free);
}

static void test_handler_without_handle_is_refused(void **state)
{
    const struct shs_request_handler_class none = {.name = "None", .instance_size = 64};
    struct shs_server *server = NULL;
    struct shs_options opt;
    struct shs_error err;

    (void)state;
    shs_options_init(&opt);
    assert_int_equal(shs_tcp_server_new(&server, &opt, &none, &err), SHS_USAGE);
    assert_null(server);
    assert_non_null(strstr(err.text, "handle"));
}

static void test_describe_and_layer(void **state)
{
    struct shs_server *server = NULL;
    struct fake_layer fake = {.bind = 0};
    struct shs_options opt;

    (void)state;
    server_lab_defaults(&opt);
    assert_int_equal(shs_tcp_server_new(&server, &opt, &server_lab_echo, NULL), SHS_OK);
    assert_string_equal(shs_server_describe(server), "TCPServer > BaseServer");
    assert_int_equal(shs_threading_mixin_push(server, NULL), SHS_OK);
    assert_int_equal(shs_server_push(server, &fake.layer, &fake_layer_ops), SHS_OK);
    assert_string_equal(shs_server_describe(server),
                        "FakeMixIn > ThreadingMixIn > TCPServer > BaseServer");
    assert_ptr_equal(shs_server_layer(server, "FakeMixIn"), &fake.layer);
    assert_null(shs_server_layer(server, "NoSuchMixIn"));
    assert_int_equal(shs_server_push(server, &fake.layer, &fake_layer_ops), SHS_USAGE);
    shs_server_free(server);
    assert_int_equal(fake.freed, 1);
}

static void test_options_are_copied(void **state)
{
    struct shs_server *server = NULL;
    struct shs_options opt;
    char host[] = "127.0.0.1";

    (void)state;
    shs_options_init(&opt);
    opt.host = host;
    assert_int_equal(shs_tcp_server_new(&server, &opt, &server_lab_echo, NULL), SHS_OK);
    memset(host, 'x', sizeof host - 1);
    assert_string_equal(shs_server_options(server)->host, "127.0.0.1");
    shs_server_free(server);
}

static void test_older_options_are_understood(void **state)
{
    struct shs_server *server = NULL;
    struct shs_options opt;

    (void)state;
    memset(&opt, 0xff, sizeof opt); /* what an older caller does not have must not be read */
    shs_options_init_sized(&opt, offsetof(struct shs_options, allow_reuse_port));
    assert_int_equal(shs_tcp_server_new(&server, &opt, &server_lab_echo, NULL), SHS_OK);
    assert_int_equal(shs_server_options(server)->max_threads, 1024);
    shs_server_free(server);
}

/* Every extend slot is seen exactly once above and below the mixin; broadcast by all. */
static void check_layers(bool threads)
{
    struct shs_options opt;
    struct server_lab f;
    int fd;

    server_lab_defaults(&opt);
    server_lab_start(&f, &opt, threads);
    for (int i = 0; i < 3; i++) {
        fd = loopback_dial(shs_server_port(f.server));
        loopback_say(fd, "ping");
        assert_string_equal(loopback_hear(fd), "ping");
        shutdown(fd, SHUT_WR);
        assert_string_equal(loopback_hear(fd), "");
        close(fd);
    }
    assert_int_equal(server_lab_stop(&f), SHS_OK);
    assert_int_equal(shs_server_close(f.server), SHS_OK);
    assert_int_equal(shs_server_close(f.server), SHS_OK); /* again: nothing to do */
    assert_int_equal(shs_server_fileno(f.server), -1);
    for (int i = 0; i < 2; i++) {
        const struct fake_layer *l = i == 0 ? &f.above : &f.below;

        assert_int_equal(l->bind, 1);
        assert_int_equal(l->activate, 1);
        assert_int_equal(l->get, 3);
        assert_int_equal(l->verify, 3);
        assert_int_equal(l->finish, 3);
        assert_int_equal(l->shutdown, 3);
        assert_int_equal(l->close, 3);
        assert_int_equal(l->server_close, 1);
        assert_true(l->service > 0);
        assert_int_equal(l->error, 0);
    }
    assert_int_equal(f.above.process, 3);
    /* ThreadingMixIn overrides process_request: what is below it is not asked. */
    assert_int_equal(f.below.process, threads ? 0 : 3);
    assert_int_equal(server_lab_setups, 3);
    assert_int_equal(server_lab_finishes, 3);
    shs_server_free(f.server);
    assert_int_equal(f.above.freed, 1);
    assert_int_equal(f.below.freed, 1);
}

static void test_layers_without_threads(void **state)
{
    (void)state;
    SST_ONLY(sst_composed("none"));
    check_layers(false);
}

static void test_layers_with_threads(void **state)
{
    (void)state;
    check_layers(true);
}

static void test_frozen_while_serving(void **state)
{
    struct fake_layer late = {.bind = 0};
    struct shs_options opt;
    struct server_lab f;

    (void)state;
    server_lab_defaults(&opt);
    server_lab_start(&f, &opt, true);
    close(loopback_dial(shs_server_port(f.server))); /* it serves */
    sst_wait_until(f.above.get > 0);
    assert_int_equal(shs_server_push(f.server, &late.layer, &fake_layer_ops), SHS_USAGE);
    assert_int_equal(shs_server_close(f.server), SHS_USAGE);
    assert_int_equal(server_lab_stop(&f), SHS_OK);
    shs_server_free(f.server);
}

static void test_late_push_that_binds_is_refused(void **state)
{
    struct fake_layer late = {.bind = 0};
    struct shs_server *server = NULL;
    struct shs_options opt;

    (void)state;
    shs_options_init(&opt);
    assert_int_equal(shs_tcp_server_new(&server, &opt, &server_lab_echo, NULL), SHS_OK);
    assert_int_equal(shs_server_push(server, &late.layer, &fake_layer_ops), SHS_USAGE);
    assert_non_null(strstr(shs_server_error(server)->text, "bind_and_activate"));
    shs_server_free(server);
}

static void test_S14_verify_request_false(void **state)
{
    struct shs_server_stats stats;
    struct shs_options opt;
    struct server_lab f;
    int fd;

    (void)state;
    server_lab_defaults(&opt);
    server_lab_start(&f, &opt, true);
    f.above.refuse = true;
    fd = loopback_dial(shs_server_port(f.server));
    assert_string_equal(loopback_hear(fd), "");
    close(fd);
    assert_int_equal(server_lab_stop(&f), SHS_OK);
    assert_int_equal(f.above.process, 0);
    assert_int_equal(f.above.shutdown, 1);
    shs_server_get_stats(f.server, &stats);
    assert_int_equal(stats.accepted, 1);
    assert_int_equal(stats.refused, 1);
    shs_server_free(f.server);
}

static void test_S16_handler_error_is_handled(void **state)
{
    struct shs_options opt;
    struct server_lab f;
    int fd;

    (void)state;
    server_lab_defaults(&opt);
    for (int threads = 0; threads < 2; threads++) {
        server_lab_start(&f, &opt, threads == 1);
        fd = loopback_dial(shs_server_port(f.server));
        loopback_say(fd, "fail");
        assert_string_equal(loopback_hear(fd), "");
        close(fd);
        fd = loopback_dial(shs_server_port(f.server)); /* and serving goes on */
        loopback_say(fd, "ping");
        assert_string_equal(loopback_hear(fd), "ping");
        close(fd);
        assert_int_equal(server_lab_stop(&f), SHS_OK);
        shs_server_close(f.server);
        assert_int_equal(f.above.error, 1);
        assert_int_equal(f.above.shutdown, 2);
        shs_server_free(f.server);
    }
}

static void test_S17_exit_ends_the_loop_and_is_no_error(void **state)
{
    struct shs_options opt;
    struct server_lab f;
    void *rc = NULL;
    int fd;

    (void)state;
    SST_ONLY(sst_composed("none"));
    server_lab_defaults(&opt);
    server_lab_start(&f, &opt, false);
    fd = loopback_dial(shs_server_port(f.server));
    loopback_say(fd, "exit");
    pthread_join(f.thread, &rc);
    assert_int_equal((int)(intptr_t)rc, SHS_EXIT);
    assert_int_equal(f.above.error, 0);
    assert_int_equal(f.above.shutdown, 1);
    close(fd);
    shs_server_free(f.server);
}

static void test_S8_shutdown_before_serving(void **state)
{
    (void)state;
    for (int i = 0; i < 20; i++) {
        struct shs_server *server = NULL;
        struct shs_options opt;
        pthread_t thread;

        shs_options_init(&opt);
        assert_int_equal(shs_tcp_server_new(&server, &opt, &server_lab_echo, NULL), SHS_OK);
        assert_int_equal(pthread_create(&thread, NULL, loopback_serve, server), 0);
        shs_shutdown(server);
        pthread_join(thread, NULL); /* whoever came first */
        shs_server_free(server);
    }
}

static void test_S9_serves_again_after_shutdown(void **state)
{
    struct shs_options opt;
    struct server_lab f;
    int fd;

    (void)state;
    server_lab_defaults(&opt);
    server_lab_start(&f, &opt, true);
    assert_int_equal(server_lab_stop(&f), SHS_OK);
    assert_int_equal(pthread_create(&f.thread, NULL, loopback_serve, f.server), 0);
    fd = loopback_dial(shs_server_port(f.server));
    loopback_say(fd, "ping");
    assert_string_equal(loopback_hear(fd), "ping");
    close(fd);
    assert_int_equal(server_lab_stop(&f), SHS_OK);
    shs_server_free(f.server);
}

static _Atomic int wait_from_loop;

static int shutdown_handle(struct shs_request_handler *self)
{
    wait_from_loop = shs_shutdown_wait(self->server, 5000);
    return SHS_OK;
}

static void test_S10_shutdown_from_the_serving_thread(void **state)
{
    const struct shs_request_handler_class cls = {.name = "Stopper",
                                                  .instance_size =
                                                      sizeof(struct shs_request_handler),
                                                  .handle = shutdown_handle};
    struct shs_server *server = NULL;
    struct shs_options opt;
    pthread_t thread;
    int fd;

    (void)state;
    shs_options_init(&opt);
    assert_int_equal(shs_tcp_server_new(&server, &opt, &cls, NULL), SHS_OK);
    assert_int_equal(pthread_create(&thread, NULL, loopback_serve, server), 0);
    fd = loopback_dial(shs_server_port(server));
    pthread_join(thread, NULL); /* Python would hang here for ever */
    assert_int_equal(wait_from_loop, SHS_DEADLOCK);
    close(fd);
    shs_server_free(server);
}

/* -- the server's own lines -------------------------------------------------------------------- */

static void keep_line(void *log_ctx, enum shs_log_level level, const char *line)
{
    (void)level;
    snprintf(log_ctx, 4096, "%s", line);
}

/* What a client can have put into it stays text, on its line; and what is cut is cut between
   characters. */
static void test_log_lines_are_escaped(void **state)
{
    static char line[4096], name[2000];
    struct shs_server *server = NULL;
    struct shs_options opt;

    (void)state;
    server_lab_defaults(&opt);
    opt.log = keep_line;
    opt.log_ctx = line;
    assert_int_equal(shs_tcp_server_new(&server, &opt, &server_lab_echo, NULL), SHS_OK);
    shs_server_log(server, SHS_LOG_ERROR, "%s", "a\nb\x1b[2J\xc2\x9b\xff\\ \xc3\x84");
    assert_string_equal(line, "a\\x0ab\\x1b[2J\\xc2\\x9b\\xff\\\\ \xc3\x84");
    for (size_t i = 0; i + 2 < sizeof name; i += 2)
        memcpy(name + i, "\xc3\x84", 2);
    for (int shift = 0; shift < 2; shift++) {
        shs_server_log(server, SHS_LOG_ERROR, "%.*s%s", shift, "x", name);
        assert_null(strchr(line, '\\'));
        assert_true(strlen(line) > 500);
    }
    shs_server_free(server);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_log_lines_are_escaped),
        cmocka_unit_test(test_base_table_is_dense),
        cmocka_unit_test(test_handler_without_handle_is_refused),
        cmocka_unit_test(test_describe_and_layer),
        cmocka_unit_test(test_options_are_copied),
        cmocka_unit_test(test_older_options_are_understood),
        cmocka_unit_test(test_layers_without_threads),
        cmocka_unit_test(test_layers_with_threads),
        cmocka_unit_test(test_frozen_while_serving),
        cmocka_unit_test(test_late_push_that_binds_is_refused),
        cmocka_unit_test(test_S14_verify_request_false),
        cmocka_unit_test(test_S16_handler_error_is_handled),
        cmocka_unit_test(test_S17_exit_ends_the_loop_and_is_no_error),
        cmocka_unit_test(test_S8_shutdown_before_serving),
        cmocka_unit_test(test_S9_serves_again_after_shutdown),
        cmocka_unit_test(test_S10_shutdown_from_the_serving_thread),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
