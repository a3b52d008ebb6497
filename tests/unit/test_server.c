/* test_server.c - the object model, the loop, and the ways they end. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include <shs/shs.h>

#include "server/server.h"
#include "socketserver_support.h"

/* -- a fake layer that counts what reaches it -------------------------------------------------- */

struct fake_layer {
    struct shs_layer layer;
    _Atomic unsigned bind, activate, get, verify, process, finish, wait, shutdown, close, error,
        service, server_close, freed;
    bool refuse;
};

#define FAKE(l) SHS_CONTAINER_OF(l, struct fake_layer, layer)

static int fake_bind(struct shs_layer *l)
{
    FAKE(l)->bind++;
    return shs_super_server_bind(l);
}
static int fake_activate(struct shs_layer *l)
{
    FAKE(l)->activate++;
    return shs_super_server_activate(l);
}
static int fake_get(struct shs_layer *l, struct shs_conn **out)
{
    int rc = shs_super_get_request(l, out);

    FAKE(l)->get += rc == SHS_OK;
    return rc;
}
static bool fake_verify(struct shs_layer *l, struct shs_conn *conn)
{
    FAKE(l)->verify++;
    return !FAKE(l)->refuse && shs_super_verify_request(l, conn);
}
static int fake_process(struct shs_layer *l, struct shs_conn *conn)
{
    FAKE(l)->process++;
    return shs_super_process_request(l, conn);
}
static int fake_finish(struct shs_layer *l, struct shs_conn *conn)
{
    int rc = shs_super_finish_request(l, conn);

    FAKE(l)->finish += rc <= 0; /* the conversation ended: once per connection */
    return rc;
}
static int fake_wait(struct shs_layer *l, struct shs_conn *conn, int what)
{
    FAKE(l)->wait++;
    return shs_super_wait_request(l, conn, what);
}
static void fake_shutdown(struct shs_layer *l, struct shs_conn *conn)
{
    FAKE(l)->shutdown++;
    shs_super_shutdown_request(l, conn);
}
static void fake_close(struct shs_layer *l, struct shs_conn *conn)
{
    FAKE(l)->close++;
    shs_super_close_request(l, conn);
}
static void fake_error(struct shs_layer *l, struct shs_conn *conn, const struct shs_error *err)
{
    FAKE(l)->error++;
    shs_super_handle_error(l, conn, err);
}
static void fake_service(struct shs_layer *l)
{
    FAKE(l)->service++;
}
static int fake_server_close(struct shs_layer *l)
{
    FAKE(l)->server_close++;
    return shs_super_server_close(l);
}
static void fake_free(struct shs_layer *l)
{
    FAKE(l)->freed++;
}

static const struct shs_server_ops fake_ops = {
    .name = "FakeMixIn",
    .server_bind = fake_bind,
    .server_activate = fake_activate,
    .get_request = fake_get,
    .verify_request = fake_verify,
    .process_request = fake_process,
    .finish_request = fake_finish,
    .wait_request = fake_wait,
    .shutdown_request = fake_shutdown,
    .close_request = fake_close,
    .handle_error = fake_error,
    .service_actions = fake_service,
    .server_close = fake_server_close,
    .layer_free = fake_free,
};

/* -- an echo handler with its own state -------------------------------------------------------- */

struct echo {
    struct shs_request_handler base;
    int calls;
};

static _Atomic int echo_setups, echo_finishes, echo_result;

static int echo_setup(struct shs_request_handler *self)
{
    struct echo *me = SHS_CONTAINER_OF(self, struct echo, base);

    assert_int_equal(me->calls, 0); /* fresh */
    me->calls = 1;
    echo_setups++;
    return SHS_OK;
}

static int echo_handle(struct shs_request_handler *self)
{
    char buf[4096];
    size_t got = 0;
    int rc;

    while ((rc = shs_conn_read(self->request, buf, sizeof buf, &got)) == SHS_OK) {
        if (got >= 4 && memcmp(buf, "exit", 4) == 0)
            return SHS_EXIT;
        if (got >= 4 && memcmp(buf, "fail", 4) == 0)
            return SHS_USAGE;
        rc = shs_conn_write(self->request, buf, got);
        if (rc != SHS_OK)
            break;
    }
    echo_result = rc;
    return rc == SHS_CLOSED ? SHS_OK : rc;
}

static void echo_finish(struct shs_request_handler *self)
{
    assert_int_equal(SHS_CONTAINER_OF(self, struct echo, base)->calls, 1);
    echo_finishes++;
}

static const struct shs_request_handler_class echo_class = {
    .name = "Echo",
    .instance_size = sizeof(struct echo),
    .setup = echo_setup,
    .handle = echo_handle,
    .finish = echo_finish,
};

/* -- helpers ----------------------------------------------------------------------------------- */

static void *serve(void *server)
{
    return (void *)(intptr_t)shs_serve_forever(server);
}

static int dial(unsigned port)
{
    struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = htons((uint16_t)port)};
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

    to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    assert_true(fd >= 0);
    assert_int_equal(connect(fd, (struct sockaddr *)&to, sizeof to), 0);
    return fd;
}

static void say(int fd, const char *text)
{
    assert_int_equal(send(fd, text, strlen(text), MSG_NOSIGNAL), (ssize_t)strlen(text));
}

/* What comes within five seconds; "" at the end of the stream. */
static const char *hear(int fd)
{
    static char buf[256];
    struct pollfd p = {.fd = fd, .events = POLLIN};
    ssize_t n;

    assert_int_equal(poll(&p, 1, 5000), 1);
    n = recv(fd, buf, sizeof buf - 1, 0);
    if (n < 0)
        return "(reset)";
    buf[n] = '\0';
    return buf;
}

struct fixture {
    struct shs_server *server;
    struct fake_layer below, above;
    pthread_t thread;
};

static void start(struct fixture *f, const struct shs_options *opt, bool threads)
{
    struct shs_error err = {.code = SHS_OK};

    memset(f, 0, sizeof *f);
    echo_setups = echo_finishes = 0;
    assert_int_equal(shs_tcp_server_new(&f->server, opt, &echo_class, &err), SHS_OK);
    assert_int_equal(shs_server_push(f->server, &f->below.layer, &fake_ops), SHS_OK);
    if (threads)
        assert_int_equal(shs_threading_mixin_push(f->server, &err), SHS_OK);
    else
        assert_int_equal(sst_compose(f->server, &err), SHS_OK);
    assert_int_equal(shs_server_push(f->server, &f->above.layer, &fake_ops), SHS_OK);
    assert_int_equal(shs_server_bind_and_activate(f->server, &err), SHS_OK);
    assert_int_equal(pthread_create(&f->thread, NULL, serve, f->server), 0);
}

static int stop(struct fixture *f)
{
    void *rc = NULL;

    assert_int_equal(shs_shutdown_wait(f->server, 5000), SHS_OK);
    pthread_join(f->thread, &rc);
    return (int)(intptr_t)rc;
}

static void defaults(struct shs_options *opt)
{
    shs_options_init(opt);
    opt->bind_and_activate = false;
    opt->poll_interval_ms = 20;
    opt->stop_ms = 500;
    opt->close_ms = 500;
}

/* -- tests ------------------------------------------------------------------------------------- */

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
    defaults(&opt);
    assert_int_equal(shs_tcp_server_new(&server, &opt, &echo_class, NULL), SHS_OK);
    assert_string_equal(shs_server_describe(server), "TCPServer > BaseServer");
    assert_int_equal(shs_threading_mixin_push(server, NULL), SHS_OK);
    assert_int_equal(shs_server_push(server, &fake.layer, &fake_ops), SHS_OK);
    assert_string_equal(shs_server_describe(server),
                        "FakeMixIn > ThreadingMixIn > TCPServer > BaseServer");
    assert_ptr_equal(shs_server_layer(server, "FakeMixIn"), &fake.layer);
    assert_null(shs_server_layer(server, "NoSuchMixIn"));
    assert_int_equal(shs_server_push(server, &fake.layer, &fake_ops), SHS_USAGE);
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
    assert_int_equal(shs_tcp_server_new(&server, &opt, &echo_class, NULL), SHS_OK);
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
    assert_int_equal(shs_tcp_server_new(&server, &opt, &echo_class, NULL), SHS_OK);
    assert_int_equal(shs_server_options(server)->max_threads, 1024);
    shs_server_free(server);
}

/* Every extend slot is seen exactly once above and below the mixin; broadcast by all. */
static void check_layers(bool threads)
{
    struct shs_options opt;
    struct fixture f;
    int fd;

    defaults(&opt);
    start(&f, &opt, threads);
    for (int i = 0; i < 3; i++) {
        fd = dial(shs_server_port(f.server));
        say(fd, "ping");
        assert_string_equal(hear(fd), "ping");
        shutdown(fd, SHUT_WR);
        assert_string_equal(hear(fd), "");
        close(fd);
    }
    assert_int_equal(stop(&f), SHS_OK);
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
    assert_int_equal(echo_setups, 3);
    assert_int_equal(echo_finishes, 3);
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
    struct fixture f;

    (void)state;
    defaults(&opt);
    start(&f, &opt, true);
    close(dial(shs_server_port(f.server))); /* it serves */
    while (f.above.get == 0)
        usleep(1000);
    assert_int_equal(shs_server_push(f.server, &late.layer, &fake_ops), SHS_USAGE);
    assert_int_equal(shs_server_close(f.server), SHS_USAGE);
    assert_int_equal(stop(&f), SHS_OK);
    shs_server_free(f.server);
}

static void test_late_push_that_binds_is_refused(void **state)
{
    struct fake_layer late = {.bind = 0};
    struct shs_server *server = NULL;
    struct shs_options opt;

    (void)state;
    shs_options_init(&opt);
    assert_int_equal(shs_tcp_server_new(&server, &opt, &echo_class, NULL), SHS_OK);
    assert_int_equal(shs_server_push(server, &late.layer, &fake_ops), SHS_USAGE);
    assert_non_null(strstr(shs_server_error(server)->text, "bind_and_activate"));
    shs_server_free(server);
}

static void test_S14_verify_request_false(void **state)
{
    struct shs_server_stats stats;
    struct shs_options opt;
    struct fixture f;
    int fd;

    (void)state;
    defaults(&opt);
    start(&f, &opt, true);
    f.above.refuse = true;
    fd = dial(shs_server_port(f.server));
    assert_string_equal(hear(fd), "");
    close(fd);
    assert_int_equal(stop(&f), SHS_OK);
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
    struct fixture f;
    int fd;

    (void)state;
    defaults(&opt);
    for (int threads = 0; threads < 2; threads++) {
        start(&f, &opt, threads == 1);
        fd = dial(shs_server_port(f.server));
        say(fd, "fail");
        assert_string_equal(hear(fd), "");
        close(fd);
        fd = dial(shs_server_port(f.server)); /* and serving goes on */
        say(fd, "ping");
        assert_string_equal(hear(fd), "ping");
        close(fd);
        assert_int_equal(stop(&f), SHS_OK);
        shs_server_close(f.server);
        assert_int_equal(f.above.error, 1);
        assert_int_equal(f.above.shutdown, 2);
        shs_server_free(f.server);
    }
}

static void test_S17_exit_ends_the_loop_and_is_no_error(void **state)
{
    struct shs_options opt;
    struct fixture f;
    void *rc = NULL;
    int fd;

    (void)state;
    SST_ONLY(sst_composed("none"));
    defaults(&opt);
    start(&f, &opt, false);
    fd = dial(shs_server_port(f.server));
    say(fd, "exit");
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
        assert_int_equal(shs_tcp_server_new(&server, &opt, &echo_class, NULL), SHS_OK);
        assert_int_equal(pthread_create(&thread, NULL, serve, server), 0);
        shs_shutdown(server);
        pthread_join(thread, NULL); /* whoever came first */
        shs_server_free(server);
    }
}

static void test_S9_serves_again_after_shutdown(void **state)
{
    struct shs_options opt;
    struct fixture f;
    int fd;

    (void)state;
    defaults(&opt);
    start(&f, &opt, true);
    assert_int_equal(stop(&f), SHS_OK);
    assert_int_equal(pthread_create(&f.thread, NULL, serve, f.server), 0);
    fd = dial(shs_server_port(f.server));
    say(fd, "ping");
    assert_string_equal(hear(fd), "ping");
    close(fd);
    assert_int_equal(stop(&f), SHS_OK);
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
    assert_int_equal(pthread_create(&thread, NULL, serve, server), 0);
    fd = dial(shs_server_port(server));
    pthread_join(thread, NULL); /* Python would hang here for ever */
    assert_int_equal(wait_from_loop, SHS_DEADLOCK);
    close(fd);
    shs_server_free(server);
}

static void test_close_wakes_silent_clients(void **state)
{
    struct shs_options opt;
    struct fixture f;
    int fds[20];
    int64_t before;

    (void)state;
    defaults(&opt);
    opt.stop_ms = 5000;
    start(&f, &opt, true);
    for (int i = 0; i < 20; i++)
        fds[i] = dial(shs_server_port(f.server));
    while (f.above.get < 20)
        usleep(1000);
    assert_int_equal(stop(&f), SHS_OK);
    before = shs_now_ns();
    assert_int_equal(shs_server_close(f.server), SHS_OK);
    assert_true(shs_now_ns() - before < 4 * (int64_t)SHS_NS_PER_S);
    assert_int_equal(f.above.close, 20);
    for (int i = 0; i < 20; i++)
        close(fds[i]);
    shs_server_free(f.server);
}

static int stubborn_handle(struct shs_request_handler *self)
{
    shs_conn_set_idle(self->request, false);
    for (;;) {
        char byte;
        size_t got = 0;
        int rc = shs_conn_read(self->request, &byte, 1, &got);

        if (rc != SHS_OK)
            return rc;
    }
}

static void test_close_cuts_who_is_busy_after_the_grace(void **state)
{
    const struct shs_request_handler_class cls = {.name = "Stubborn",
                                                  .instance_size =
                                                      sizeof(struct shs_request_handler),
                                                  .handle = stubborn_handle};
    struct shs_server *server = NULL;
    struct shs_server_stats stats;
    struct shs_options opt;
    pthread_t thread;
    int64_t before;
    int fd;

    (void)state;
    defaults(&opt);
    opt.stop_ms = 300;
    assert_int_equal(shs_tcp_server_new(&server, &opt, &cls, NULL), SHS_OK);
    assert_int_equal(shs_threading_mixin_push(server, NULL), SHS_OK);
    assert_int_equal(shs_server_bind_and_activate(server, NULL), SHS_OK);
    assert_int_equal(pthread_create(&thread, NULL, serve, server), 0);
    fd = dial(shs_server_port(server));
    do {
        shs_server_get_stats(server, &stats);
        usleep(1000);
    } while (stats.threads == 0);
    usleep(50000); /* into the handler */
    assert_int_equal(shs_shutdown_wait(server, 5000), SHS_OK);
    pthread_join(thread, NULL);
    before = shs_now_ns();
    assert_int_equal(shs_server_close(server), SHS_OK);
    assert_true(shs_now_ns() - before >= 250 * (int64_t)SHS_NS_PER_MS);
    assert_true(shs_now_ns() - before < 3 * (int64_t)SHS_NS_PER_S);
    shs_server_get_stats(server, &stats);
    assert_int_equal(stats.threads, 0);
    close(fd);
    shs_server_free(server);
}

static void test_S51_threads_are_bounded_and_queue(void **state)
{
    struct shs_server_stats stats;
    struct shs_options opt;
    struct fixture f;
    int fds[4];

    (void)state;
    defaults(&opt);
    opt.max_threads = 2;
    start(&f, &opt, true);
    for (int i = 0; i < 4; i++)
        fds[i] = dial(shs_server_port(f.server)); /* two of them wait in the backlog */
    for (int i = 0; i < 4; i++) {
        say(fds[i], "ping");
        assert_string_equal(hear(fds[i]), "ping");
        shs_server_get_stats(f.server, &stats);
        assert_true(stats.threads <= 2);
        close(fds[i]);
    }
    shs_server_get_stats(f.server, &stats);
    assert_true(stats.accept_pauses > 0);
    assert_int_equal(stop(&f), SHS_OK);
    shs_server_free(f.server);
}

static void test_max_connections(void **state)
{
    struct shs_options opt;
    struct fixture f;
    int a, b;

    (void)state;
    defaults(&opt);
    opt.max_connections = 1;
    start(&f, &opt, true);
    a = dial(shs_server_port(f.server));
    b = dial(shs_server_port(f.server));
    say(a, "one");
    assert_string_equal(hear(a), "one");
    usleep(60000);
    assert_int_equal(f.above.get, 1);
    close(a);
    say(b, "two"); /* accepted as soon as the first is gone */
    assert_string_equal(hear(b), "two");
    close(b);
    assert_int_equal(stop(&f), SHS_OK);
    shs_server_free(f.server);
}

static void test_read_deadline(void **state)
{
    struct shs_server_stats stats;
    struct shs_options opt;
    struct fixture f;
    int fd;

    (void)state;
    defaults(&opt);
    opt.idle_ms = 150;
    start(&f, &opt, true);
    fd = dial(shs_server_port(f.server));
    assert_string_equal(hear(fd), "");
    close(fd);
    assert_int_equal(stop(&f), SHS_OK);
    shs_server_close(f.server);
    assert_int_equal(echo_result, SHS_TIMEOUT);
    shs_server_get_stats(f.server, &stats);
    assert_int_equal(stats.timeouts, 1);
    assert_int_equal(f.above.error, 1);
    shs_server_free(f.server);
}

static _Atomic int timeouts_handled;

static void count_timeout(struct shs_layer *l)
{
    (void)l;
    timeouts_handled++;
}

static void test_S12_handle_timeout(void **state)
{
    const struct shs_server_ops ops = {.name = "TimeoutMixIn", .handle_timeout = count_timeout};
    struct shs_server *server = NULL;
    struct shs_layer layer;
    struct shs_options opt;
    int64_t before = shs_now_ns();
    int fd;

    (void)state;
    shs_options_init(&opt);
    opt.timeout_ms = 100;
    opt.idle_ms = 2000;
    assert_int_equal(shs_tcp_server_new(&server, &opt, &echo_class, NULL), SHS_OK);
    assert_int_equal(shs_server_push(server, &layer, &ops), SHS_OK);
    assert_int_equal(shs_handle_request(server), SHS_OK);
    assert_int_equal(timeouts_handled, 1);
    assert_true(shs_now_ns() - before >= 100 * (int64_t)SHS_NS_PER_MS);
    fd = dial(shs_server_port(server));
    say(fd, "ping");
    shutdown(fd, SHUT_WR);
    assert_int_equal(shs_handle_request(server), SHS_OK);
    assert_string_equal(hear(fd), "ping");
    assert_int_equal(timeouts_handled, 1);
    close(fd);
    shs_server_free(server);
}

static unsigned open_descriptors(void)
{
    unsigned count = 0;

    for (int fd = 0; fd < 2048; fd++)
        count += dup2(fd, fd) == fd;
    return count;
}

static void test_S25_failed_bind_leaks_nothing(void **state)
{
    struct shs_server *first = NULL, *second = NULL;
    struct shs_options opt;
    struct shs_error err;
    char port[8];
    unsigned before;

    (void)state;
    shs_options_init(&opt);
    assert_int_equal(shs_tcp_server_new(&first, &opt, &echo_class, NULL), SHS_OK);
    snprintf(port, sizeof port, "%u", shs_server_port(first));
    opt.port = port;
    before = open_descriptors();
    for (int i = 0; i < 1024; i++) {
        assert_int_equal(shs_tcp_server_new(&second, &opt, &echo_class, &err), SHS_IO);
        assert_int_equal(err.sys_errno, EADDRINUSE);
    }
    assert_int_equal(open_descriptors(), before);
    assert_non_null(strstr(err.text, port));
    shs_server_free(first);
}

static void test_out_of_descriptors_backs_off(void **state)
{
    struct shs_server_stats stats;
    struct rlimit old, low;
    struct shs_options opt;
    struct fixture f;
    int fds[64], n = 0, a, b;

    (void)state;
    defaults(&opt);
    start(&f, &opt, true);
    a = dial(shs_server_port(f.server));
    say(a, "ping");
    assert_string_equal(hear(a), "ping");
    b = socket(AF_INET, SOCK_STREAM, 0);
    getrlimit(RLIMIT_NOFILE, &old);
    low = old;
    low.rlim_cur = 64;
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &low), 0);
    while (n < 64 && (fds[n] = dup(0)) >= 0)
        n++;
    {
        struct sockaddr_in to = {.sin_family = AF_INET,
                                 .sin_port = htons((uint16_t)shs_server_port(f.server))};

        to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
        assert_int_equal(connect(b, (struct sockaddr *)&to, sizeof to), 0);
    }
    say(b, "late");
    usleep(200000);
    shs_server_get_stats(f.server, &stats);
    assert_true(stats.accept_errors > 0);
    assert_true(stats.accept_errors < 20); /* it backs off, it does not spin */
    say(a, "ping");                        /* those who are in are served meanwhile */
    assert_string_equal(hear(a), "ping");
    while (n > 0)
        close(fds[--n]);
    assert_string_equal(hear(b), "late");
    setrlimit(RLIMIT_NOFILE, &old);
    close(a);
    close(b);
    assert_int_equal(stop(&f), SHS_OK);
    shs_server_free(f.server);
}

static void test_S49_threads_do_not_pile_up(void **state)
{
    struct shs_server_stats stats;
    struct shs_options opt;
    struct fixture f;

    (void)state;
    defaults(&opt);
    start(&f, &opt, true);
    for (int i = 0; i < 2000; i++) {
        int fd = dial(shs_server_port(f.server));

        say(fd, "x");
        assert_string_equal(hear(fd), "x");
        close(fd);
    }
    for (int i = 0; i < 5000; i++) {
        shs_server_get_stats(f.server, &stats);
        if (stats.threads == 0 && stats.connections == 0)
            break;
        usleep(1000);
    }
    assert_int_equal(stats.threads, 0);
    assert_int_equal(stats.connections, 0);
    assert_int_equal(stats.accepted, 2000);
    assert_int_equal(stop(&f), SHS_OK);
    shs_server_free(f.server);
}

/* An address is bound when the name is "" (every interface), IPv4 and IPv6 alike. */
static void test_every_interface(void **state)
{
    struct shs_options opt;
    struct fixture f;
    int fd;

    (void)state;
    defaults(&opt);
    opt.host = "";
    start(&f, &opt, true);
    fd = dial(shs_server_port(f.server));
    say(fd, "four");
    assert_string_equal(hear(fd), "four");
    close(fd);
    assert_int_equal(stop(&f), SHS_OK);
    shs_server_free(f.server);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
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
        cmocka_unit_test(test_close_wakes_silent_clients),
        cmocka_unit_test(test_close_cuts_who_is_busy_after_the_grace),
        cmocka_unit_test(test_S51_threads_are_bounded_and_queue),
        cmocka_unit_test(test_max_connections),
        cmocka_unit_test(test_read_deadline),
        cmocka_unit_test(test_S12_handle_timeout),
        cmocka_unit_test(test_S25_failed_bind_leaks_nothing),
        cmocka_unit_test(test_out_of_descriptors_backs_off),
        cmocka_unit_test(test_S49_threads_do_not_pile_up),
        cmocka_unit_test(test_every_interface),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
