/*
 * test_thread_pool_accept.c - ThreadPoolMixIn: who accepts, and that nobody is forgotten.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <netinet/in.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include <shs/shs.h>

#include "loopback.h"
#include "patience.h"
#include "server/server.h"

/* -- a server whose handler says on which thread a connection was accepted --------------------- */

struct watcher {
    struct shs_layer layer;
    pthread_t verified_by;
    _Atomic unsigned verified;
};

static bool watcher_verify(struct shs_layer *l, struct shs_conn *conn)
{
    struct watcher *self = SHS_CONTAINER_OF(l, struct watcher, layer);

    self->verified_by = pthread_self();
    self->verified++;
    return shs_super_verify_request(l, conn);
}

static const struct shs_server_ops watcher_ops = {.name = "Watcher",
                                                  .verify_request = watcher_verify};

static _Atomic bool blocked;
static _Atomic unsigned waiting; /* handlers that it holds */

static int test_get(struct shs_request *req, struct shs_response *res)
{
    struct shs_str path = shs_request_path(req);

    if (shs__str_eq(path, SHS_STR("/block"))) {
        waiting++;
        while (atomic_load(&blocked))
            poll(NULL, 0, 2);
    }
    SHS_RETURN_IF_ERROR(shs_send_response(res, 200));
    SHS_RETURN_IF_ERROR(shs_end_headers(res));
    return shs_write(res, path.ptr, path.len);
}

static const struct shs_http_handler handler = {
    .name = "test", .do_GET = test_get, .do_POST = test_get};

static void defaults(struct shs_options *opt)
{
    shs_options_init(opt);
    opt->poll_interval_ms = 120000; /* whoever is only noticed by it is noticed too late */
    opt->threads = 2;
    opt->queue_ms = 60000;
    opt->stop_ms = 60000;
    opt->close_ms = 500;
}

typedef int push_fn(struct shs_server *server, struct shs_error *err);

static struct shs_server *make_with(const struct shs_options *opt, push_fn *push)
{
    struct shs_server *server = NULL;
    struct shs_error err = {.code = SHS_OK};

    assert_int_equal(shs_http_server_new(&server, opt, &handler, &err), SHS_OK);
    assert_int_equal(push(server, &err), SHS_OK);
    return server;
}

static struct shs_server *make(const struct shs_options *opt)
{
    return make_with(opt, shs_thread_pool_mixin_push);
}

static pthread_t start(struct shs_server *server)
{
    pthread_t thread;

    assert_int_equal(pthread_create(&thread, NULL, loopback_serve, server), 0);
    return thread;
}

static void stop(struct shs_server *server, pthread_t thread)
{
    void *rc = NULL;

    assert_int_equal(shs_shutdown_wait(server, (unsigned)patience_ms()), SHS_OK);
    pthread_join(thread, &rc);
    assert_int_equal((intptr_t)rc, SHS_OK);
}

static void finish(struct shs_server *server, pthread_t thread)
{
    stop(server, thread);
    assert_int_equal(shs_server_close(server), SHS_OK);
    shs_server_free(server);
}

/* -- a client ---------------------------------------------------------------------------------- */

static int dial(const struct shs_server *server)
{
    return loopback_dial(shs_server_port(server));
}

static bool hears(int fd, const char *text, int ms)
{
    char buf[4096];
    struct pollfd p = {.fd = fd, .events = POLLIN};
    ssize_t n;

    if (poll(&p, 1, ms) != 1)
        return false;
    n = recv(fd, buf, sizeof buf - 1, 0);
    buf[n < 0 ? 0 : n] = '\0';
    return strstr(buf, text) != NULL;
}

static void assert_served(int fd, const char *path)
{
    loopback_ask(fd, path);
    assert_true(hears(fd, path, patience_ms()));
}

static uint64_t open_connections(const struct shs_server *server)
{
    struct shs_server_stats stats;

    shs_server_get_stats(server, &stats);
    return stats.connections;
}

/* Listening sockets of that port, as the kernel knows them. */
static unsigned listeners(unsigned port)
{
    FILE *file = fopen("/proc/net/tcp", "r");
    char line[512];
    unsigned count = 0;

    assert_non_null(file);
    while (fgets(line, sizeof line, file) != NULL) {
        unsigned address = 0, local = 0, state = 0;

        if (sscanf(line, " %*u: %x:%x %*x:%*x %x", &address, &local, &state) == 3)
            count += address == htonl(INADDR_LOOPBACK) && local == port && state == 0x0a;
    }
    fclose(file);
    return count;
}

/*
 * Until so many listen: a group may begin late, and a table that others change is read in pieces.
 */
static bool becomes_listeners(unsigned port, unsigned count)
{
    for (int i = 0; i < patience_ms() / 5; i++) {
        if (listeners(port) == count)
            return true;
        poll(NULL, 0, 5);
    }
    return false;
}

/* -- tests ------------------------------------------------------------------------------------- */

static void test_a_layer_that_verifies_is_called_by_the_serving_thread(void **state)
{
    struct watcher watcher = {.verified = 0};
    struct shs_server *server;
    struct shs_options opt;
    pthread_t thread;

    (void)state;
    defaults(&opt);
    server = make(&opt);
    assert_int_equal(shs_server_push(server, &watcher.layer, &watcher_ops), SHS_OK);
    thread = start(server);
    for (unsigned i = 0; i < 10; i++) {
        int fd = dial(server);

        assert_served(fd, "/seen");
        close(fd);
        assert_true(pthread_equal(watcher.verified_by, thread));
    }
    finish(server, thread);
    assert_int_equal(watcher.verified, 10);
}

/* A layer that says it may be asked on any thread spares its server the hand-over, and is asked. */
static const struct shs_server_ops anywhere_ops = {
    .name = "Anywhere", .verify_request = watcher_verify, .any_thread = true};

static void test_a_layer_that_any_thread_may_ask(void **state)
{
    struct watcher watcher = {.verified = 0};
    struct shs_server *server;
    struct shs_options opt;
    pthread_t thread;

    (void)state;
    defaults(&opt);
    server = make(&opt);
    assert_int_equal(shs_server_push(server, &watcher.layer, &anywhere_ops), SHS_OK);
    thread = start(server);
    for (unsigned i = 1; i <= 10; i++) {
        int fd = dial(server);

        assert_served(fd, "/seen");
        close(fd);
        assert_int_equal(watcher.verified, i);
        assert_false(pthread_equal(watcher.verified_by, thread));
    }
    finish(server, thread);
}

static void test_each_group_listens(void **state)
{
    struct shs_server *server;
    struct shs_options opt;
    pthread_t thread;
    int fds[64];

    (void)state;
    defaults(&opt);
    opt.threads = 4;
    opt.thread_groups = 3;
    server = make(&opt);
    assert_true(becomes_listeners(shs_server_port(server), 1));
    thread = start(server);
    for (unsigned turn = 0; turn < 3; turn++) {
        for (unsigned i = 0; i < 64; i++) {
            fds[i] = dial(server);
            assert_served(fds[i], "/group");
        }
        assert_true(becomes_listeners(shs_server_port(server), 3));
        for (unsigned i = 0; i < 64; i++)
            close(fds[i]);
        stop(server, thread); /* and again, with the same sockets */
        thread = start(server);
    }
    finish(server, thread);
}

static unsigned idle_connections(struct shs_server *server)
{
    unsigned count = 0;

    pthread_mutex_lock(&server->lock);
    for (const struct shs_conn *c = server->live; c != NULL; c = c->next)
        count += atomic_load(&c->idle);
    pthread_mutex_unlock(&server->lock);
    return count;
}

static void becomes_idle(struct shs_server *server, unsigned count)
{
    for (int i = 0; i < patience_ms() && idle_connections(server) != count; i++)
        poll(NULL, 0, 1);
    assert_int_equal(idle_connections(server), count);
}

/* In the middle of a request: the server has said that it has read as much. */
static void begin_again(int fd)
{
    loopback_say(fd, "POST /again HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\n"
                     "Expect: 100-continue\r\n\r\n");
    assert_true(hears(fd, "100 Continue", patience_ms()));
}

/* Eight who are served, and in the middle of another request. */
static void fill(struct shs_server *server, int *fds)
{
    for (unsigned i = 0; i < 8; i++) {
        fds[i] = dial(server);
        assert_served(fds[i], "/in");
        begin_again(fds[i]);
    }
    assert_int_equal(idle_connections(server), 0);
}

static bool has_ended(int fd)
{
    struct pollfd p = {.fd = fd, .events = POLLIN};
    char byte;

    return poll(&p, 1, 0) == 1 && recv(fd, &byte, 1, MSG_PEEK) == 0;
}

/* Who has been idle for the longest time ends, in order, and nobody else does. */
static void the_longest_idle_makes_room(push_fn *push)
{
    struct shs_server_stats stats;
    struct shs_server *server;
    struct shs_options opt;
    pthread_t thread;
    int fds[8], late[3];

    defaults(&opt);
    opt.max_connections = 8;
    opt.idle_ms = 600000;
    server = make_with(&opt, push);
    thread = start(server);
    fill(server, fds);
    for (unsigned i = 0; i < 3; i++) { /* the others are in the middle of something */
        unsigned at = (i * 5 + 3) % 8;

        loopback_say(fds[at], "x");
        assert_true(hears(fds[at], "/again", patience_ms()));
        becomes_idle(server, i + 1);
    }
    for (unsigned i = 0; i < 3; i++) {
        late[i] = dial(server);
        assert_served(late[i], "/late");
        begin_again(late[i]);
        assert_string_equal(loopback_hear(fds[(i * 5 + 3) % 8]), ""); /* the end, and no reset */
        becomes_idle(server, 2 - i);
    }
    for (unsigned i = 0; i < 8; i++) {
        assert_int_equal(has_ended(fds[i]), i == 3 || i == 0 || i == 5);
        close(fds[i]);
    }
    shs_server_get_stats(server, &stats);
    assert_int_equal(stats.made_room, 3);
    for (unsigned i = 0; i < 3; i++)
        close(late[i]);
    finish(server, thread);
}

static void test_the_longest_idle_makes_room(void **state)
{
    (void)state;
    the_longest_idle_makes_room(shs_thread_pool_mixin_push);
    the_longest_idle_makes_room(shs_threading_mixin_push);
}

/* Nobody is idle when he comes; he comes in when somebody is, and no later. */
static void test_room_is_made_later(void **state)
{
    struct shs_server *server;
    struct shs_options opt;
    pthread_t thread;
    int fds[8], late;

    (void)state;
    defaults(&opt);
    opt.max_connections = 8;
    opt.idle_ms = 600000;
    server = make(&opt);
    thread = start(server);
    fill(server, fds);
    late = dial(server);
    loopback_ask(late, "/late");
    assert_false(hears(late, "/late", 100));
    loopback_say(fds[5], "x");
    assert_true(hears(fds[5], "/again", patience_ms()));
    assert_true(hears(late, "/late", patience_ms()));
    assert_string_equal(loopback_hear(fds[5]), "");
    close(late);
    for (unsigned i = 0; i < 8; i++)
        close(fds[i]);
    finish(server, thread);
}

static void test_a_full_server_goes_on_when_one_leaves(void **state)
{
    struct shs_server *server;
    struct shs_options opt;
    pthread_t thread;
    int fds[8], late;

    (void)state;
    defaults(&opt);
    opt.max_connections = 8;
    server = make(&opt);
    thread = start(server);
    fill(server, fds);
    late = dial(server); /* the kernel takes it; the server does not */
    loopback_ask(late, "/late");
    assert_false(hears(late, "/late", 150));
    assert_int_equal(open_connections(server), 8);
    close(fds[3]);
    assert_true(hears(late, "/late", patience_ms()));
    close(late);
    for (unsigned i = 0; i < 8; i++) {
        if (i != 3)
            close(fds[i]);
    }
    finish(server, thread);
}

static void test_a_pause_ends_when_it_is_told(void **state)
{
    struct shs_server *server;
    struct shs_options opt;
    pthread_t thread;
    int fd, late;

    (void)state;
    defaults(&opt);
    server = make(&opt);
    thread = start(server);
    fd = dial(server);
    assert_served(fd, "/before");
    shs_server_pause_accept(server);
    late = dial(server);
    loopback_ask(late, "/late");
    assert_false(hears(late, "/late", 150));
    assert_served(fd, "/those-who-are-in");
    shs_server_resume_accept(server);
    assert_true(hears(late, "/late", patience_ms()));
    close(fd);
    close(late);
    finish(server, thread);
}

static void test_descriptors_run_out_and_come_back(void **state)
{
    struct rlimit limit, few;
    struct shs_server *server;
    struct shs_options opt;
    pthread_t thread;
    int late, fd, spare[16];
    unsigned held = 0;

    (void)state;
    defaults(&opt);
    server = make(&opt);
    thread = start(server);
    fd = dial(server);
    assert_served(fd, "/before");
    late = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    while (held < 4)
        spare[held++] = dup(fd);
    assert_int_equal(getrlimit(RLIMIT_NOFILE, &limit), 0);
    few = limit;
    few.rlim_cur = (rlim_t)spare[3] + 1; /* all that may be are taken */
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &few), 0);
    poll(NULL, 0, 20); /* the monitor may have had one for a moment, to look at a worker */
    while (held < 16 && (spare[held] = dup(fd)) >= 0)
        held++;
    loopback_connect(late, shs_server_port(server));
    loopback_ask(late, "/late");
    assert_false(hears(late, "/late", 200));
    assert_served(fd, "/those-who-are-in");
    while (held > 0)
        close(spare[--held]);
    assert_true(hears(late, "/late", patience_ms()));
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &limit), 0);
    close(late);
    close(fd);
    finish(server, thread);
}

static void test_nobody_is_forgotten_when_all_workers_block(void **state)
{
    struct shs_server *server;
    struct shs_options opt;
    pthread_t thread;
    int slow[2], late;

    (void)state;
    defaults(&opt);
    opt.max_threads = 2;
    opt.queue_ms = 3000; /* the two who block are not to be too late */
    server = make(&opt);
    thread = start(server);
    atomic_store(&blocked, true);
    for (unsigned i = 0; i < 2; i++) {
        slow[i] = dial(server);
        loopback_ask(slow[i], "/block");
    }
    for (int i = 0; i < patience_ms() && atomic_load(&waiting) < 2; i++)
        poll(NULL, 0, 1);
    assert_int_equal(atomic_load(&waiting), 2);
    late = dial(server); /* after the last worker is gone */
    loopback_ask(late, "/late");
    assert_true(hears(late, " 503 ", patience_ms()));
    atomic_store(&blocked, false);
    for (unsigned i = 0; i < 2; i++) {
        assert_true(hears(slow[i], "/block", patience_ms()));
        close(slow[i]);
    }
    close(late);
    finish(server, thread);
}

static void test_storms_of_connections_while_it_stops_and_starts(void **state)
{
    struct shs_server *server;
    struct shs_options opt;
    struct shs_server_stats stats;
    pthread_t thread;

    (void)state;
    defaults(&opt);
    opt.thread_groups = 2;
    server = make(&opt);
    thread = start(server);
    for (unsigned turn = 0; turn < 40; turn++) {
        int fds[32];

        for (unsigned i = 0; i < 32; i++)
            fds[i] = dial(server);
        if (turn % 4 == 3) {
            stop(server, thread);
            thread = start(server);
        }
        for (unsigned i = 0; i < 32; i++) {
            if (i % 3 != 0)
                assert_served(fds[i], "/storm");
            close(fds[i]);
        }
    }
    shs_server_get_stats(server, &stats);
    assert_int_equal(stats.accept_errors, 0);
    finish(server, thread);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_layer_that_verifies_is_called_by_the_serving_thread),
        cmocka_unit_test(test_a_layer_that_any_thread_may_ask),
        cmocka_unit_test(test_each_group_listens),
        cmocka_unit_test(test_the_longest_idle_makes_room),
        cmocka_unit_test(test_room_is_made_later),
        cmocka_unit_test(test_a_full_server_goes_on_when_one_leaves),
        cmocka_unit_test(test_a_pause_ends_when_it_is_told),
        cmocka_unit_test(test_descriptors_run_out_and_come_back),
        cmocka_unit_test(test_nobody_is_forgotten_when_all_workers_block),
        cmocka_unit_test(test_storms_of_connections_while_it_stops_and_starts),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
