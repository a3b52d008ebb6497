/* test_life_cycle.c - a server that is made, composed, bound, served and freed in every order. */
#include "socketserver_support.h"

#include <errno.h>
#include <netinet/in.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "fake_layer.h"
#include "loopback.h"
#include "server/server.h"

typedef int push_fn(struct shs_server *server, struct shs_error *err);

static int push_nothing(struct shs_server *server, struct shs_error *err)
{
    SHS_UNUSED(server);
    SHS_UNUSED(err);
    return SHS_OK;
}

static const struct mixin {
    const char *name;
    push_fn *push;
} mixins[] = {
    {"none", push_nothing},
    {"ThreadingMixIn", shs_threading_mixin_push},
    {"ThreadPoolMixIn", shs_thread_pool_mixin_push},
    {"ForkingMixIn", shs_forking_mixin_push},
};
#define EACH_MIXIN(m) for (const struct mixin *m = mixins; m < mixins + SHS_ARRAY_LEN(mixins); m++)

static void defaults(struct shs_options *opt)
{
    shs_options_init(opt);
    opt->bind_and_activate = false;
    opt->poll_interval_ms = 20;
    opt->stop_ms = 60000;
    opt->close_ms = 500;
}

static struct shs_server *make(const struct mixin *m, const struct shs_options *opt)
{
    struct shs_server *server = NULL;
    struct shs_error err = {.code = SHS_OK};

    assert_int_equal(shs_tcp_server_new(&server, opt, &sst_echo, &err), SHS_OK);
    if (m->push(server, &err) != SHS_OK)
        fail_msg("%s: %s", m->name, err.text);
    return server;
}

static void assert_echoes(unsigned port)
{
    int fd = loopback_dial(port);

    loopback_say(fd, "here?");
    assert_string_equal(loopback_hear(fd), "here?");
    close(fd);
}

static int join(pthread_t thread)
{
    void *rc = NULL;

    pthread_join(thread, &rc);
    return (int)(intptr_t)rc;
}

static void serve_once(struct shs_server *server)
{
    pthread_t thread;

    assert_int_equal(pthread_create(&thread, NULL, loopback_serve, server), 0);
    sst_wait_until(shs_server_port(server) != 0);
    assert_echoes(shs_server_port(server));
    assert_int_equal(shs_shutdown_wait(server, (unsigned)patience_ms()), SHS_OK);
    assert_int_equal(join(thread), SHS_OK);
}

/* -- freeing ----------------------------------------------------------------------------------- */

/* Another thread serves, and a client is there: whoever is last frees. */
static void test_free_while_another_thread_serves(void **state)
{
    (void)state;
    EACH_MIXIN(m)
    {
        for (int client = 0; client < 2; client++) {
            struct shs_options opt;
            struct shs_server *server;
            pthread_t thread;
            int fd = -1;

            defaults(&opt);
            server = make(m, &opt);
            assert_int_equal(shs_server_bind_and_activate(server, NULL), SHS_OK);
            assert_int_equal(pthread_create(&thread, NULL, loopback_serve, server), 0);
            if (client == 1) {
                fd = loopback_dial(shs_server_port(server));
                loopback_say(fd, "here?");
                assert_string_equal(loopback_hear(fd), "here?");
            } else {
                assert_echoes(shs_server_port(server));
            }
            shs_shutdown(server);
            shs_server_free(server);
            assert_int_equal(join(thread), SHS_OK);
            if (client == 1)
                close(fd);
        }
    }
}

static _Atomic bool held, release;

static int hold(struct shs_request_handler *self)
{
    (void)self;
    held = true;
    for (unsigned i = 0; i < SST_PAUSES && !release; i++)
        sst_pause();
    return SHS_OK;
}
static const struct shs_request_handler_class hold_class = {
    .name = "Hold", .instance_size = sizeof(struct shs_request_handler), .handle = hold};

/* A handler on the loop does not return: free is bounded, and the loop frees when it ends. */
static void test_free_is_bounded(void **state)
{
    struct shs_server *server = NULL;
    struct shs_options opt;
    pthread_t thread;
    unsigned before;
    int64_t then;
    int fd;

    (void)state;
    held = release = false;
    before = sst_descriptors();
    defaults(&opt);
    opt.stop_ms = opt.close_ms = 50;
    assert_int_equal(shs_tcp_server_new(&server, &opt, &hold_class, NULL), SHS_OK);
    assert_int_equal(shs_server_bind_and_activate(server, NULL), SHS_OK);
    assert_int_equal(pthread_create(&thread, NULL, loopback_serve, server), 0);
    fd = loopback_dial(shs_server_port(server));
    sst_wait_until(held);
    then = shs_now_ns();
    shs_server_free(server);
    assert_true(shs_now_ns() - then >= (int64_t)100 * SHS_NS_PER_MS);
    assert_false(release);
    release = true;
    assert_int_equal(join(thread), SHS_OK);
    close(fd);
    assert_int_equal(sst_descriptors(), before);
}

static int free_it(struct shs_request_handler *self)
{
    shs_server_free(self->server);
    return SHS_OK;
}
static const struct shs_request_handler_class free_class = {
    .name = "Free", .instance_size = sizeof(struct shs_request_handler), .handle = free_it};

/* It says "not from a handler"; who does it all the same gets an end, not a crash. */
static void test_free_from_the_loops_own_handler(void **state)
{
    struct shs_server *server = NULL;
    unsigned before = sst_descriptors();
    struct shs_options opt;
    pthread_t thread;
    int fd;

    (void)state;
    defaults(&opt);
    assert_int_equal(shs_tcp_server_new(&server, &opt, &free_class, NULL), SHS_OK);
    assert_int_equal(shs_server_bind_and_activate(server, NULL), SHS_OK);
    assert_int_equal(pthread_create(&thread, NULL, loopback_serve, server), 0);
    fd = loopback_dial(shs_server_port(server));
    assert_int_equal(join(thread), SHS_OK);
    close(fd);
    assert_int_equal(sst_descriptors(), before);
}

/* -- composing --------------------------------------------------------------------------------- */

static void test_push_after_serving_is_refused(void **state)
{
    struct fake_layer late = {.bind = 0};
    struct shs_options opt;
    struct shs_server *server;
    struct shs_error err;
    int fd;

    (void)state;
    defaults(&opt);
    server = make(&mixins[1], &opt);
    assert_int_equal(shs_server_bind_and_activate(server, NULL), SHS_OK);
    serve_once(server);
    assert_int_equal(shs_server_push(server, &late.layer, &fake_layer_request_ops), SHS_USAGE);
    assert_int_equal(shs_thread_pool_mixin_push(server, &err), SHS_USAGE);
    assert_non_null(strstr(err.text, "compose first"));
    serve_once(server);
    shs_server_free(server);

    /* handle_request is serving as well; and a loop of one's own over get_request. */
    server = make(&mixins[0], &opt);
    assert_int_equal(shs_server_bind_and_activate(server, NULL), SHS_OK);
    fd = loopback_dial(shs_server_port(server));
    close(fd);
    assert_int_equal(shs_handle_request(server), SHS_OK);
    assert_int_equal(shs_server_push(server, &late.layer, &fake_layer_request_ops), SHS_USAGE);
    shs_server_free(server);
    server = make(&mixins[0], &opt);
    assert_int_equal(shs_server_bind_and_activate(server, NULL), SHS_OK);
    {
        struct shs_conn *conn = NULL;

        fd = loopback_dial(shs_server_port(server));
        sst_wait_until(shs_server_get_request(server, &conn) == SHS_OK || conn != NULL);
        assert_int_equal(shs_server_push(server, &late.layer, &fake_layer_request_ops), SHS_USAGE);
        shs_server_shutdown_request(server, conn);
        close(fd);
    }
    shs_server_free(server);
}

static void test_one_mixin_serves(void **state)
{
    struct shs_options opt;
    struct shs_error err;

    (void)state;
    defaults(&opt);
    EACH_MIXIN(first)
    {
        EACH_MIXIN(second)
        {
            struct shs_server *server = make(first, &opt);
            bool refused = first != mixins && second != mixins;
            char before[200];

            snprintf(before, sizeof before, "%s", shs_server_describe(server));
            err.text[0] = '\0';
            assert_int_equal(second->push(server, &err), refused ? SHS_USAGE : SHS_OK);
            if (refused) {
                assert_non_null(strstr(err.text, before));
                assert_non_null(strstr(err.text, first->name));
                assert_string_equal(shs_server_describe(server), before);
            }
            shs_server_free(server);
        }
    }
}

/* -- binding ----------------------------------------------------------------------------------- */

static void test_bind_then_serve(void **state)
{
    unsigned before = sst_descriptors(), port;
    struct shs_options opt;
    struct shs_server *server;
    pthread_t thread;
    int fd;

    (void)state;
    defaults(&opt);
    server = make(&mixins[0], &opt);
    assert_int_equal(shs_server_bind(server), SHS_OK);
    port = shs_server_port(server);
    fd = shs_server_fileno(server);
    assert_int_equal(shs_server_bind(server), SHS_USAGE);
    assert_int_equal(pthread_create(&thread, NULL, loopback_serve, server), 0);
    assert_int_equal(shs_server_port(server), port);
    assert_int_equal(shs_server_fileno(server), fd);
    /* It may not listen yet; its port is its own already. */
    for (int i = 0; i < patience_ms(); i++) {
        struct shs_server_stats stats;
        struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = htons((uint16_t)port)};
        int client = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

        to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
        (void)!connect(client, (struct sockaddr *)&to, sizeof to);
        close(client);
        shs_server_get_stats(server, &stats);
        if (stats.accepted > 0)
            break;
        sst_pause();
    }
    assert_echoes(port);
    assert_int_equal(shs_shutdown_wait(server, (unsigned)patience_ms()), SHS_OK);
    assert_int_equal(join(thread), SHS_OK);
    assert_int_equal(shs_server_bind_and_activate(server, NULL), SHS_USAGE);
    shs_server_free(server);
    assert_int_equal(sst_descriptors(), before);

    server = make(&mixins[0], &opt);
    assert_int_equal(shs_server_activate(server), SHS_USAGE);
    assert_non_null(strstr(shs_server_error(server)->text, "shs_server_bind"));
    shs_server_free(server);
}

static void test_ports(void **state)
{
    static const char *const bad[] = {
        "70000", "65536",          "-1", "http ", " 80", "", "99999999999999999999999", "8080x",
        "0x50",  "no-such-service"};
    struct shs_options opt;
    struct shs_error err;

    (void)state;
    defaults(&opt);
    opt.bind_and_activate = true;
    for (size_t i = 0; i < SHS_ARRAY_LEN(bad); i++) {
        struct shs_server *server = NULL;
        int rc;

        opt.port = bad[i];
        rc = shs_tcp_server_new(&server, &opt, &sst_echo, &err);
        if (rc != SHS_USAGE && !(rc == SHS_IO && i + 1 == SHS_ARRAY_LEN(bad)))
            fail_msg("\"%s\": %d %s", bad[i], rc, err.text);
        assert_non_null(strstr(err.text, bad[i]));
    }
    opt.port = "00000";
    {
        struct shs_server *server = NULL;

        assert_int_equal(shs_tcp_server_new(&server, &opt, &sst_echo, &err), SHS_OK);
        assert_int_not_equal(shs_server_port(server), 0);
        shs_server_free(server);
    }
}

/* Sockets for several groups are for one server: another one is told that the port is taken. */
static void test_groups_share_with_nobody(void **state)
{
    struct shs_server *one, *two;
    struct shs_options opt;
    struct shs_error err;
    char port[8];

    (void)state;
    defaults(&opt);
    opt.thread_groups = 2;
    opt.allow_reuse_address = true;
    one = make(&mixins[2], &opt);
    assert_int_equal(shs_server_bind_and_activate(one, NULL), SHS_OK);
    serve_once(one); /* with all its sockets */
    snprintf(port, sizeof port, "%u", shs_server_port(one));
    opt.port = port;
    two = make(&mixins[2], &opt);
    assert_int_equal(shs_server_bind_and_activate(two, &err), SHS_IO);
    assert_int_equal(err.sys_errno, EADDRINUSE);
    shs_server_free(two);
    serve_once(one);
    shs_server_free(one);
}

/* -- stopping ---------------------------------------------------------------------------------- */

static void test_stop_twice_then_serve(void **state)
{
    (void)state;
    EACH_MIXIN(m)
    {
        struct shs_options opt;
        struct shs_server *server;

        defaults(&opt);
        server = make(m, &opt);
        assert_int_equal(shs_server_bind_and_activate(server, NULL), SHS_OK);
        serve_once(server);
        /* Nobody serves: as S8 says, that ends the next one, once, however often it was said. */
        assert_int_equal(shs_shutdown_wait(server, 0), SHS_OK);
        shs_shutdown(server);
        assert_int_equal(shs_serve_forever(server), SHS_OK);
        serve_once(server);
        shs_server_free(server);
    }
}

static void test_handle_request_after_shutdown(void **state)
{
    struct shs_options opt;
    struct shs_server *server;
    int64_t then;

    (void)state;
    defaults(&opt);
    opt.timeout_ms = 100;
    server = make(&mixins[0], &opt);
    assert_int_equal(shs_server_bind_and_activate(server, NULL), SHS_OK);
    shs_shutdown(server);
    assert_int_equal(shs_handle_request(server), SHS_OK); /* at once */
    then = shs_now_ns();
    for (int i = 0; i < 2; i++)
        assert_int_equal(shs_handle_request(server), SHS_OK);
    assert_true(shs_now_ns() - then >= (int64_t)200 * SHS_NS_PER_MS); /* each waited */
    shs_server_free(server);
}

/* Clients that come by any of the sockets of several groups are served. */
static void test_handle_request_with_groups(void **state)
{
    struct shs_options opt;
    struct shs_server *server;
    int fds[20];

    (void)state;
    defaults(&opt);
    opt.thread_groups = 4;
    opt.timeout_ms = (unsigned)patience_ms();
    server = make(&mixins[2], &opt);
    assert_int_equal(shs_server_bind_and_activate(server, NULL), SHS_OK);
    serve_once(server);
    for (size_t i = 0; i < SHS_ARRAY_LEN(fds); i++) {
        fds[i] = loopback_dial(shs_server_port(server));
        loopback_say(fds[i], "here?");
        assert_int_equal(shs_handle_request(server), SHS_OK);
        assert_string_equal(loopback_hear(fds[i]), "here?");
    }
    for (size_t i = 0; i < SHS_ARRAY_LEN(fds); i++)
        close(fds[i]);
    serve_once(server);
    shs_server_free(server);
}

/* -- another process --------------------------------------------------------------------------- */

/* Made here, served in two children at once, as daemon(3) and pre-forking do. */
static void test_create_fork_serve(void **state)
{
    /* How many children have had their turns; shared with them. */
    _Atomic int *done =
        mmap(NULL, sizeof *done, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);

    (void)state;
    assert_true(done != MAP_FAILED);
    EACH_MIXIN(m)
    {
        struct shs_options opt;
        struct shs_server *server;
        pid_t children[2];
        int status;

        defaults(&opt);
        opt.stop_ms = 2000;
        *done = 0;
        server = make(m, &opt);
        assert_int_equal(shs_server_bind_and_activate(server, NULL), SHS_OK);
        for (size_t i = 0; i < SHS_ARRAY_LEN(children); i++) {
            children[i] = fork();
            assert_true(children[i] >= 0);
            if (children[i] == 0) {
                pthread_t thread;
                bool well;

                alarm((unsigned)(4 * patience_ms() / 1000));
                well = pthread_create(&thread, NULL, loopback_serve, server) == 0;
                for (int turn = 0; well && turn < 20; turn++) {
                    int fd = loopback_dial(shs_server_port(server));

                    loopback_say(fd, "here?");
                    well = strcmp(loopback_hear(fd), "here?") == 0;
                    close(fd);
                }
                /* Either child accepts the other's clients, so none stops before both are done. */
                ++*done;
                for (int ms = 0; ms < patience_ms() && *done < (int)SHS_ARRAY_LEN(children); ms++)
                    usleep(1000);
                well = shs_shutdown_wait(server, (unsigned)patience_ms()) == SHS_OK && well;
                pthread_join(thread, NULL);
                shs_server_free(server);
                _exit(well ? 0 : 1);
            }
        }
        for (size_t i = 0; i < SHS_ARRAY_LEN(children); i++) {
            assert_int_equal(waitpid(children[i], &status, 0), children[i]);
            if (status != 0)
                fail_msg("%s: a child ended with %x", m->name, (unsigned)status);
        }
        serve_once(server); /* and the parent's own is as it was */
        shs_server_free(server);
    }
    munmap((void *)done, sizeof *done);
}

/* After serving, its threads and connections are the parent's: refused, and said. */
static void test_fork_after_serving(void **state)
{
    struct shs_options opt;
    struct shs_server *server;
    int status = -1;
    pid_t child;

    (void)state;
    defaults(&opt);
    server = make(&mixins[2], &opt);
    assert_int_equal(shs_server_bind_and_activate(server, NULL), SHS_OK);
    serve_once(server);
    child = fork();
    if (child == 0)
        _exit(shs_serve_forever(server) == SHS_USAGE &&
                      strstr(shs_server_error(server)->text, "forked") != NULL
                  ? 0
                  : 1);
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_int_equal(status, 0);
    serve_once(server);
    shs_server_free(server);
}

/* What a handler starts has the process's own signal mask and scheduling. */
static int say_mask(struct shs_request_handler *self)
{
    char line[4096] = "";
    FILE *f = popen("grep SigBlk /proc/self/status; chrt -p $$ 2>/dev/null | head -1", "r");
    size_t n = f == NULL ? 0 : fread(line, 1, sizeof line - 1, f);

    if (f != NULL)
        pclose(f);
    return shs_conn_write(self->request, line, n);
}
static const struct shs_request_handler_class mask_class = {
    .name = "Mask", .instance_size = sizeof(struct shs_request_handler), .handle = say_mask};

static void test_children_of_handlers(void **state)
{
    (void)state;
    EACH_MIXIN(m)
    {
        struct shs_server *server = NULL;
        struct shs_options opt;
        pthread_t thread;
        char text[4096];
        int fd;

        defaults(&opt);
        opt.stop_ms = 20000;
        assert_int_equal(shs_tcp_server_new(&server, &opt, &mask_class, NULL), SHS_OK);
        assert_int_equal(m->push(server, NULL), SHS_OK);
        assert_int_equal(shs_server_bind_and_activate(server, NULL), SHS_OK);
        assert_int_equal(pthread_create(&thread, NULL, loopback_serve, server), 0);
        fd = loopback_dial(shs_server_port(server));
        snprintf(text, sizeof text, "%s", loopback_hear(fd));
        close(fd);
        if (strstr(text, "SigBlk:\t0000000000000000") == NULL)
            fail_msg("%s: %s", m->name, text);
        assert_null(strstr(text, "SCHED_BATCH"));
        assert_int_equal(shs_shutdown_wait(server, (unsigned)patience_ms()), SHS_OK);
        assert_int_equal(join(thread), SHS_OK);
        shs_server_free(server);
    }
}

/* -- from another thread ----------------------------------------------------------------------- */

static _Atomic bool asking;

static void *ask_fileno(void *arg)
{
    struct shs_server *server = arg;
    int seen = 0;

    while (asking) {
        int fd = shs_server_fileno(server);

        seen += fd >= 0;
        (void)shs_server_options(server);
    }
    return (void *)(intptr_t)seen;
}

static void test_fileno_from_another_thread(void **state)
{
    struct shs_options opt;
    struct shs_server *server;
    pthread_t thread;

    (void)state;
    defaults(&opt);
    asking = true;
    server = make(&mixins[1], &opt);
    assert_int_equal(pthread_create(&thread, NULL, ask_fileno, server), 0);
    assert_int_equal(shs_server_bind_and_activate(server, NULL), SHS_OK);
    serve_once(server);
    assert_int_equal(shs_server_close(server), SHS_OK);
    assert_int_equal(shs_server_fileno(server), -1);
    asking = false;
    (void)join(thread);
    shs_server_free(server);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_free_while_another_thread_serves),
        cmocka_unit_test(test_free_is_bounded),
        cmocka_unit_test(test_free_from_the_loops_own_handler),
        cmocka_unit_test(test_push_after_serving_is_refused),
        cmocka_unit_test(test_one_mixin_serves),
        cmocka_unit_test(test_bind_then_serve),
        cmocka_unit_test(test_ports),
        cmocka_unit_test(test_groups_share_with_nobody),
        cmocka_unit_test(test_stop_twice_then_serve),
        cmocka_unit_test(test_handle_request_after_shutdown),
        cmocka_unit_test(test_handle_request_with_groups),
        cmocka_unit_test(test_create_fork_serve),
        cmocka_unit_test(test_fork_after_serving),
        cmocka_unit_test(test_children_of_handlers),
        cmocka_unit_test(test_fileno_from_another_thread),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
