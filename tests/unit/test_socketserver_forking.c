/*
 * test_socketserver_forking.c - S37 to S43, ForkingMixIn, and how children end.
 *
 * Nothing may be asserted in a child: what it has to say goes to its client, or through a pipe.
 */
#include "socketserver_support.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/pidfd.h>
#include <sys/wait.h>
#include <unistd.h>

#include "loopback.h"
#include "server/server.h"

/* -- a child that does as its client says ------------------------------------------------------ */

/*
 * Says its process id first. Then for each byte: 'e' echo, 'f' fail, 'x' exit, 's' sleep for a long
 * time, 't' the same and ignore SIGTERM, 'b' busy from now on, 'q' done.
 */
static int obey(struct shs_request_handler *self, char order)
{
    struct sigaction ignore = {.sa_handler = SIG_IGN};

    switch (order) {
    case 'e':
        return shs_conn_write(self->request, "e", 1);
    case 'f':
        return SHS_USAGE;
    case 'x':
        return SHS_EXIT;
    case 't':
        sigaction(SIGTERM, &ignore, NULL);
        /* fall through */
    case 's':
        shs_conn_set_idle(self->request, false);
        if (shs_conn_write(self->request, "s", 1) != SHS_OK)
            return SHS_IO;
        for (int i = 0; i < 60000; i++)
            sst_pause();
        return SHS_OK;
    case 'b':
        shs_conn_set_idle(self->request, false);
        return shs_conn_write(self->request, "b", 1);
    default:
        return SHS_OK;
    }
}

static int child_handle(struct shs_request_handler *self)
{
    pid_t pid = getpid();
    int rc = shs_conn_write(self->request, &pid, sizeof pid);
    char order = 'e';

    while (rc == SHS_OK && order != 'q') {
        size_t got = 0;

        rc = shs_conn_read(self->request, &order, 1, &got);
        if (rc == SHS_OK)
            rc = obey(self, order);
    }
    return rc == SHS_CLOSED ? SHS_OK : rc;
}

static const struct shs_request_handler_class child_class = {
    .name = "Child", .instance_size = sizeof(struct shs_request_handler), .handle = child_handle};

/* Connects and learns who serves. */
static int dial_child(struct sst_server *s, pid_t *pid)
{
    int fd = sst_dial(s, NULL);

    assert_int_equal(sst_hear(fd, pid, sizeof *pid), sizeof *pid);
    return fd;
}

/*
 * The same in a server without a loop: its one request is handled by then, while the child works.
 */
static int handle_child(struct sst_server *s, pid_t *pid)
{
    int fd = sst_dial(s, NULL);

    assert_int_equal(shs_handle_request(s->server), SHS_OK);
    assert_int_equal(sst_hear(fd, pid, sizeof *pid), sizeof *pid);
    return fd;
}

static void order(int fd, char what, const char *answer)
{
    char got = 0;

    sst_say(fd, &what, 1);
    assert_int_equal(sst_hear(fd, &got, 1), (ssize_t)strlen(answer));
    if (answer[0] != '\0')
        assert_int_equal(got, answer[0]);
}

/* Waits for the child's end and leaves it to whoever reaps it. Its exit code, or -signal. */
static int peek_end(pid_t pid)
{
    siginfo_t how = {.si_pid = 0};

    assert_int_equal(waitid(P_PID, (id_t)pid, &how, WEXITED | WNOWAIT), 0);
    return how.si_code == CLD_EXITED ? how.si_status : -how.si_status;
}

/* Nobody has to wait for it any more; its number may be somebody else's. */
static bool is_reaped(pid_t pid)
{
    return waitpid(pid, NULL, WNOHANG) == -1 && errno == ECHILD;
}

/* Lines of opt.log through a pipe: children have no other way to say something here. */
static int log_pipe[2];

static void log_to_pipe(void *ctx, enum shs_log_level level, const char *line)
{
    ssize_t n = write(log_pipe[1], line, strlen(line));

    (void)ctx;
    (void)level;
    (void)n;
}

static void log_pipe_open(struct shs_options *opt)
{
    assert_int_equal(pipe2(log_pipe, O_CLOEXEC | O_NONBLOCK), 0);
    opt->log = log_to_pipe;
}

/* What was logged so far; closes the pipe. */
static const char *log_pipe_close(void)
{
    static char text[4096];
    ssize_t n = read(log_pipe[0], text, sizeof text - 1);

    text[n > 0 ? n : 0] = '\0';
    close(log_pipe[0]);
    close(log_pipe[1]);
    return text;
}

/* valgrind knows none; then children are looked at now and then. */
static unsigned have_pidfds(void)
{
    int fd = pidfd_open(getpid(), 0);

    if (fd >= 0)
        close(fd);
    return fd >= 0;
}

static void start(struct sst_server *s, struct sst_spy *spy, const struct shs_options *opt)
{
    assert_int_equal(shs_forking_tcp_server_new(&s->server, opt, &child_class, NULL), SHS_OK);
    sst_spy_push(spy, s->server);
}

/* -- the lines --------------------------------------------------------------------------------- */

static void test_S37_parent_forks_and_closes_its_copy(void **state)
{
    struct sst_spy spy;
    struct sst_server s;
    struct shs_options opt;
    unsigned descriptors;
    pid_t pid;
    int fd;

    (void)state;
    sst_options(&opt, NULL, NULL);
    start(&s, &spy, &opt);
    descriptors = sst_descriptors();
    fd = handle_child(&s, &pid);
    assert_int_not_equal(pid, getpid());
    assert_int_equal(shs_server_active_children(s.server), 1);
    /* Our end, and the child's pidfd if there are such; the parent's end is closed. */
    assert_int_equal(sst_descriptors(), descriptors + 1 + have_pidfds());
    assert_true(sst_spy_is(&spy, "get verify process close"));
    order(fd, 'e', "e");
    order(fd, 'q', "");
    close(fd);
    assert_int_equal(shs_server_collect_children(s.server, (unsigned)patience_ms()), SHS_OK);
    assert_int_equal(sst_descriptors(), descriptors);
    shs_server_free(s.server);
}

static void test_S38_child_reports_shuts_down_and_exits(void **state)
{
    struct sst_spy spy;
    struct sst_server s;
    struct shs_options opt;
    pid_t pid;
    int fd;

    (void)state;
    sst_options(&opt, NULL, NULL);
    log_pipe_open(&opt);
    start(&s, &spy, &opt);
    fd = handle_child(&s, &pid);
    order(fd, 'q', ""); /* shutdown_request: the end of the stream */
    close(fd);
    assert_int_equal(peek_end(pid), 0);

    fd = handle_child(&s, &pid);
    order(fd, 'f', "");
    close(fd);
    assert_int_equal(peek_end(pid), 1);
    assert_int_equal(shs_server_collect_children(s.server, (unsigned)patience_ms()), SHS_OK);
    assert_int_equal(spy.errors, 0); /* in this process, nothing failed */
    shs_server_free(s.server);
    assert_non_null(strstr(log_pipe_close(), "SHS_USAGE"));
}

static void test_S39_exit_in_a_child_is_no_error(void **state)
{
    struct sst_spy spy;
    struct sst_server s;
    struct shs_options opt;
    pid_t pid;
    int fd;

    (void)state;
    sst_options(&opt, NULL, NULL);
    log_pipe_open(&opt);
    start(&s, &spy, &opt);
    sst_serve(&s);
    fd = dial_child(&s, &pid);
    order(fd, 'x', "");
    close(fd);
    sst_wait_until(shs_server_active_children(s.server) == 0);
    fd = dial_child(&s, &pid); /* the server goes on */
    order(fd, 'q', "");
    close(fd);
    sst_stop(&s);
    assert_string_equal(log_pipe_close(), "");
}

static bool is_full(const struct shs_server *server)
{
    struct shs_server_stats stats;

    shs_server_get_stats(server, &stats);
    return stats.children == 2 && stats.accept_pauses > 0;
}

/* At max_children nobody is accepted until one ends; a child taken away by others is forgotten. */
static void test_S40_max_children(void **state)
{
    struct shs_server_stats stats;
    struct sst_spy spy;
    struct sst_server s;
    struct shs_options opt;
    struct pollfd p = {.events = POLLIN};
    pid_t pids[3];
    int fds[3];

    (void)state;
    sst_options(&opt, NULL, NULL);
    assert_int_equal(opt.max_children, 40);
    opt.max_children = 2;
    /* the loop wakes because a child ends, not because time passes */
    opt.poll_interval_ms = 120000;
    start(&s, &spy, &opt);
    sst_serve(&s);
    fds[0] = dial_child(&s, &pids[0]);
    fds[1] = dial_child(&s, &pids[1]);
    fds[2] = sst_dial(&s, NULL);
    p.fd = fds[2];
    sst_wait_until(is_full(s.server));     /* a child may speak before its parent goes on */
    assert_int_equal(poll(&p, 1, 150), 0); /* in the kernel's queue */
    assert_int_equal(shs_server_active_children(s.server), 2);
    shs_server_get_stats(s.server, &stats);
    assert_int_equal(stats.accepted, 2);
    assert_int_equal(stats.children, 2);
    assert_true(stats.accept_pauses > 0);
    order(fds[1], 'q', "");
    assert_int_equal(poll(&p, 1, patience_ms()), 1);
    assert_int_equal(sst_hear(fds[2], &pids[2], sizeof pids[2]), sizeof pids[2]);
    order(fds[0], 'q', "");
    order(fds[2], 'q', "");
    for (int i = 0; i < 3; i++)
        close(fds[i]);
    sst_wait_until(shs_server_active_children(s.server) == 0);
    sst_stop(&s);
}

static void test_S40_process_request_at_the_bound(void **state)
{
    struct shs_conn *conn = NULL;
    struct sst_spy spy;
    struct sst_server s;
    struct shs_options opt;
    int64_t before;
    pid_t pid;
    int one, two;

    (void)state;
    sst_options(&opt, NULL, NULL);
    opt.max_children = 1;
    opt.stop_ms = 100;
    start(&s, &spy, &opt);
    one = handle_child(&s, &pid);
    two = sst_dial(&s, NULL);
    sst_await_request(&s);
    assert_int_equal(shs_server_get_request(s.server, &conn), SHS_OK);
    before = shs_now_ns();
    assert_int_equal(shs_server_process_request(s.server, conn), SHS_LIMIT); /* Python: for ever */
    assert_true(shs_now_ns() - before >= 100 * (int64_t)SHS_NS_PER_MS);
    assert_non_null(strstr(shs_conn_error(conn)->text, "no child for a request"));
    order(one, 'q', "");
    close(one);
    assert_int_equal(peek_end(pid), 0);
    assert_int_equal(shs_server_process_request(s.server, conn), SHS_OK); /* now there is room */
    assert_int_equal(sst_hear(two, &pid, sizeof pid), sizeof pid);
    close(two);
    shs_server_free(s.server);
}

static void test_S40_stolen_children_are_forgotten(void **state)
{
    struct sigaction ignore = {.sa_handler = SIG_IGN}, before;
    struct sst_spy spy;
    struct sst_server s;
    struct shs_options opt;
    pid_t pid;
    int fd, status;

    (void)state;
    sst_options(&opt, NULL, NULL);
    opt.poll_interval_ms = 5000;
    start(&s, &spy, &opt);
    fd = handle_child(&s, &pid);
    order(fd, 'q', "");
    close(fd);
    assert_int_equal(waitpid(pid, &status, 0), pid); /* somebody waits for whatever ends */
    assert_int_equal(shs_server_active_children(s.server), 1);
    assert_int_equal(shs_server_collect_children(s.server, (unsigned)patience_ms()), SHS_OK);
    assert_int_equal(shs_server_active_children(s.server), 0);

    sigaction(SIGCHLD, &ignore, &before); /* then the kernel does */
    fd = handle_child(&s, &pid);
    order(fd, 'q', "");
    close(fd);
    assert_int_equal(shs_server_collect_children(s.server, (unsigned)patience_ms()), SHS_OK);
    sigaction(SIGCHLD, &before, NULL);
    assert_int_equal(spy.errors, 0);
    shs_server_free(s.server);
}

/* The application's own child keeps its exit code, whatever the server does meanwhile. */
static void test_S41_the_applications_children_are_its_own(void **state)
{
    struct sst_spy spy;
    struct sst_server s;
    struct shs_options opt;
    int fd, status = 0;
    pid_t own, pid;

    (void)state;
    sst_options(&opt, NULL, NULL);
    start(&s, &spy, &opt);
    own = fork();
    if (own == 0)
        _exit(42);
    assert_int_equal(peek_end(own), 42);
    sst_serve(&s);
    for (int i = 0; i < 5; i++) {
        fd = dial_child(&s, &pid);
        order(fd, 'q', "");
        close(fd);
    }
    sst_wait_until(shs_server_active_children(s.server) == 0);
    sst_stop(&s);
    assert_int_equal(waitpid(own, &status, 0), own);
    assert_true(WIFEXITED(status));
    assert_int_equal(WEXITSTATUS(status), 42);
}

static void test_S42_timeout_and_service_actions_collect(void **state)
{
    struct sst_spy spy;
    struct sst_server s;
    struct shs_options opt;
    pid_t pid;
    int fd;

    (void)state;
    sst_options(&opt, NULL, NULL);
    start(&s, &spy, &opt);
    assert_int_equal(shs_server_options(s.server)->timeout_ms, 300000);
    for (int i = 0; i < 2; i++) {
        fd = sst_dial(&s, NULL);
        assert_int_equal(shs_handle_request(s.server), SHS_OK);
        assert_int_equal(sst_hear(fd, &pid, sizeof pid), sizeof pid);
        order(fd, 'q', "");
        close(fd);
        assert_int_equal(peek_end(pid), 0);
        assert_int_equal(shs_server_active_children(s.server), 1);
        if (i == 0)
            shs_server_handle_timeout(s.server);
        else
            shs_server_service_actions(s.server);
        assert_int_equal(shs_server_active_children(s.server), 0);
        assert_true(is_reaped(pid));
    }
    assert_int_equal(spy.timeouts, 1);
    shs_server_free(s.server);

    opt.timeout_ms = 50; /* one that was set stays */
    start(&s, &spy, &opt);
    assert_int_equal(shs_handle_request(s.server), SHS_OK);
    assert_int_equal(spy.timeouts, 1);
    shs_server_free(s.server);
}

/* Serves one client, stops the loop, and leaves the rest to the caller. */
static int serve_one(struct sst_server *s, pid_t *pid)
{
    int fd;

    sst_serve(s);
    fd = dial_child(s, pid);
    assert_int_equal(shs_shutdown_wait(s->server, (unsigned)patience_ms()), SHS_OK);
    assert_int_equal(sst_join(s), SHS_OK);
    return fd;
}

static int64_t close_takes_ms(struct sst_server *s, int expected)
{
    int64_t before = shs_now_ns();

    assert_int_equal(shs_server_close(s->server), expected);
    return (shs_now_ns() - before) / SHS_NS_PER_MS;
}

static void test_S43_server_close_waits_for_children(void **state)
{
    struct sst_spy spy;
    struct sst_server s;
    struct shs_options opt;
    int64_t took;
    pid_t pid;
    int fd;

    (void)state;
    sst_options(&opt, NULL, NULL);
    /* A request in flight is given its time. */
    start(&s, &spy, &opt);
    fd = serve_one(&s, &pid);
    order(fd, 'b', "b");
    sst_say(fd, "eq", 2); /* it has not been read when the server closes, perhaps */
    took = close_takes_ms(&s, SHS_OK);
    assert_true(took < opt.stop_ms / 2);
    assert_int_equal(shs_server_active_children(s.server), 0);
    assert_true(is_reaped(pid));
    close(fd);
    shs_server_free(s.server);

    /* Not block_on_close: nobody waits. */
    opt.block_on_close = false;
    start(&s, &spy, &opt);
    fd = serve_one(&s, &pid);
    order(fd, 's', "s");
    took = close_takes_ms(&s, SHS_OK);
    assert_true(took < opt.stop_ms / 2);
    assert_int_equal(kill(pid, 0), 0); /* it is at work */
    shs_server_free(s.server);
    kill(pid, SIGKILL);
    assert_int_equal(waitpid(pid, NULL, 0), pid); /* nobody's but ours now */
    close(fd);
}

/* An idle connection does not hold the server up. */
static void test_closing_ends_idle_children_at_once(void **state)
{
    struct sst_spy spy;
    struct sst_server s;
    struct shs_options opt;
    int64_t took;
    pid_t pid;
    int fd;

    (void)state;
    sst_options(&opt, NULL, NULL);
    log_pipe_open(&opt);
    start(&s, &spy, &opt);
    fd = serve_one(&s, &pid);
    took = close_takes_ms(&s, SHS_OK);
    assert_true(took < opt.stop_ms / 2); /* lingering included */
    assert_int_equal(shs_server_active_children(s.server), 0);
    assert_int_equal(sst_hear(fd, &pid, 1), 0); /* an orderly end */
    close(fd);
    shs_server_free(s.server);
    assert_string_equal(log_pipe_close(), "");
}

/* Handlers that do not return: SIGTERM after stop_ms, SIGKILL after close_ms more. */
static void test_closing_kills_at_a_bound(void **state)
{
    const char orders[] = {'s', 't'};

    (void)state;
    for (int i = 0; i < 2; i++) {
        struct sst_spy spy;
        struct sst_server s;
        struct shs_options opt;
        pid_t pid;
        int fd;

        sst_options(&opt, NULL, NULL);
        opt.stop_ms = 200;
        opt.close_ms = 300;
        start(&s, &spy, &opt);
        fd = serve_one(&s, &pid);
        order(fd, orders[i], "s");
        stopwatch_start();
        assert_int_equal(shs_server_close(s.server), SHS_OK);
        assert_true(stopwatch_between(i == 0 ? 200 : 500, 500 + 1000));
        stopwatch_stop();
        assert_int_equal(shs_server_active_children(s.server), 0);
        assert_true(is_reaped(pid));
        assert_int_equal(spy.errors, 0); /* our own doing */
        close(fd);
        shs_server_free(s.server);
    }
}

static void test_a_childs_signal_is_reported(void **state)
{
    struct shs_server_stats stats;
    struct sst_log log;
    struct sst_spy spy;
    struct sst_server s;
    struct shs_options opt;
    char expected[64];
    pid_t pid;
    int fd;

    (void)state;
    sst_options(&opt, NULL, NULL);
    sst_log_init(&log, &opt);
    start(&s, &spy, &opt);
    sst_serve(&s);
    fd = dial_child(&s, &pid);
    kill(pid, SIGKILL);
    sst_wait_until(spy.errors == 1);
    snprintf(expected, sizeof expected, "child %ld, which served 127.0.0.1 port ", (long)pid);
    assert_non_null(strstr(spy.error_text, expected));
    assert_non_null(strstr(spy.error_text, "was killed by signal 9 (Killed)"));
    assert_true(sst_log_has(&log, expected));
    shs_server_get_stats(s.server, &stats);
    assert_int_equal(stats.errors, 1);
    close(fd);
    fd = dial_child(&s, &pid); /* and the others are served */
    order(fd, 'q', "");
    close(fd);
    sst_stop(&s);
}

/* The child does not keep the port, nor the parent's connections. */
static void test_a_child_lets_the_port_go(void **state)
{
    struct sst_spy spy;
    struct sst_server s, next;
    struct shs_options opt;
    char port[8];
    pid_t pid;
    int fd;

    (void)state;
    sst_options(&opt, NULL, NULL);
    opt.block_on_close = false;
    opt.allow_reuse_address = true;
    start(&s, &spy, &opt);
    snprintf(port, sizeof port, "%u", shs_server_port(s.server));
    fd = serve_one(&s, &pid);
    order(fd, 's', "s");
    assert_int_equal(shs_server_close(s.server), SHS_OK);
    opt.port = port;
    assert_int_equal(shs_tcp_server_new(&next.server, &opt, &sst_echo, NULL), SHS_OK);
    shs_server_free(next.server);
    shs_server_free(s.server);
    kill(pid, SIGKILL);
    assert_int_equal(waitpid(pid, NULL, 0), pid);
    close(fd);
}

/* In a process of its own: a server that serves one request and then waits to be killed. */
static _Noreturn void host(int news)
{
    struct shs_server *server = NULL;
    struct shs_options opt;
    unsigned port;

    sst_options(&opt, NULL, NULL);
    if (shs_forking_tcp_server_new(&server, &opt, &child_class, NULL) != SHS_OK)
        _exit(1);
    port = shs_server_port(server);
    if (write(news, &port, sizeof port) != sizeof port)
        _exit(2);
    if (shs_handle_request(server) != SHS_OK)
        _exit(3);
    for (int i = 0; i < 60000; i++)
        sst_pause();
    _exit(4);
}

/* A parent that dies without a word takes its idle children along, although their clients stay. */
static void test_children_end_with_their_parent(void **state)
{
    unsigned port = 0;
    int news[2], fd;
    pid_t parent, child;
    char byte;

    (void)state;
    assert_int_equal(pipe(news), 0);
    parent = fork();
    if (parent == 0)
        host(news[1]);
    assert_int_equal(read(news[0], &port, sizeof port), sizeof port);
    fd = loopback_dial(port);
    assert_int_equal(sst_hear(fd, &child, sizeof child), sizeof child);
    order(fd, 'e', "e");
    kill(parent, SIGKILL);
    assert_int_equal(waitpid(parent, NULL, 0), parent);
    assert_int_equal(sst_hear(fd, &byte, 1), 0); /* idle_ms is a minute */
    close(fd);
    close(news[0]);
    close(news[1]);
}

static void test_bad_options(void **state)
{
    struct shs_server *server = NULL;
    struct shs_options opt;
    struct shs_error err;
    unsigned before = sst_descriptors();

    (void)state;
    shs_options_init(&opt);
    opt.max_children = 0;
    assert_int_equal(shs_forking_tcp_server_new(&server, &opt, &sst_echo, &err), SHS_USAGE);
    assert_non_null(strstr(err.text, "max_children"));
    assert_int_equal(sst_descriptors(), before);
    assert_int_equal(shs_tcp_server_new(&server, &opt, &sst_echo, &err), SHS_OK);
    assert_int_equal(shs_server_collect_children(server, 0), SHS_USAGE);
    assert_int_equal(shs_server_active_children(server), 0);
    shs_server_free(server);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_S37_parent_forks_and_closes_its_copy),
        cmocka_unit_test(test_S38_child_reports_shuts_down_and_exits),
        cmocka_unit_test(test_S39_exit_in_a_child_is_no_error),
        cmocka_unit_test(test_S40_max_children),
        cmocka_unit_test(test_S40_process_request_at_the_bound),
        cmocka_unit_test(test_S40_stolen_children_are_forgotten),
        cmocka_unit_test(test_S41_the_applications_children_are_its_own),
        cmocka_unit_test(test_S42_timeout_and_service_actions_collect),
        cmocka_unit_test(test_S43_server_close_waits_for_children),
        cmocka_unit_test(test_closing_ends_idle_children_at_once),
        cmocka_unit_test(test_closing_kills_at_a_bound),
        cmocka_unit_test(test_a_childs_signal_is_reported),
        cmocka_unit_test(test_a_child_lets_the_port_go),
        cmocka_unit_test(test_children_end_with_their_parent),
        cmocka_unit_test(test_bad_options),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
