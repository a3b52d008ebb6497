/*
 * forking_mixin.c - ForkingMixIn: a child process per request.
 *
 * The parent forks, closes its copy and goes on. It waits for its children by a pidfd each, in one
 * epoll that the loop polls: it is awake when one ends, and no other process of the host is ever
 * waited for. Where the kernel has no pidfds (valgrind, before Linux 5.3) it looks at each child
 * once a turn.
 *
 * The child is this thread alone, in a copy of the process. Between fork and the handler's setup
 * only async-signal-safe calls are made: the handler's instance exists before the fork, and the
 * lock of the server is held over it. What the child does after that is said in shs/server.h.
 *
 * A pipe that nobody reads tells the children that the server closes, or that its process has died:
 * those that wait between two requests end at once, the others with the answer to the one they
 * have.
 *
 * Follows CPython Lib/socketserver.py ForkingMixIn.
 */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <sys/epoll.h>
#include <sys/pidfd.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "server/server.h"

/*
 * Python's ForkingMixIn.timeout: handle_timeout, which collects, after so long without a request.
 */
#define FORKING_TIMEOUT_MS 300000u
/* How often children without a pidfd are looked at by those who wait for one to end. */
#define BLIND_RETRY_MS 20
/* From SIGKILL to the child's end: the kernel needs only to get to it. */
#define KILL_MS 2000u
#define COLLECT_BATCH 64

struct child {
    struct child *prev, *next;
    pid_t pid;
    int pidfd; /* -1: not to be had */
    char client[120];
};

struct forking_mixin {
    struct shs_scheduler scheduler;
    int epoll_fd;
    int stop_pipe[2]; /* [0] is readable, or at its end, once the children have to go */
    struct child *children;
    unsigned count, blind; /* children; those of them without a pidfd */
    bool paused;           /* accepting is stopped because `count` is at its bound */
    bool closing;          /* how a child ends is our own doing now */
    bool in_child;
};

#define MIXIN(l) SHS_CONTAINER_OF(l, struct forking_mixin, scheduler.layer)

/* -- the children ------------------------------------------------------------------------------ */

static void set_count(struct forking_mixin *self, unsigned count)
{
    struct shs_server *server = self->scheduler.layer.server;
    /* A connection is its child's alone: so the bound on connections is one on children. */
    bool full = count >= server->opt.max_children || count >= server->opt.max_connections;

    self->count = count;
    atomic_store(&server->stats.children, count);
    if (full && !self->paused)
        shs_server_pause_accept(server);
    else if (!full && self->paused)
        shs_server_resume_accept(server);
    self->paused = full;
    self->scheduler.every_ms = self->blind > 0 ? BLIND_RETRY_MS : 0;
}

static void add_child(struct forking_mixin *self, struct child *child, pid_t pid)
{
    struct epoll_event event = {.events = EPOLLIN, .data.ptr = child};

    child->pid = pid;
    child->pidfd = pidfd_open(pid, 0);
    if (child->pidfd >= 0 && epoll_ctl(self->epoll_fd, EPOLL_CTL_ADD, child->pidfd, &event) != 0) {
        close(child->pidfd);
        child->pidfd = -1;
    }
    self->blind += child->pidfd < 0;
    child->prev = NULL;
    child->next = self->children;
    if (self->children != NULL)
        self->children->prev = child;
    self->children = child;
    set_count(self, self->count + 1);
}

static void forget_child(struct forking_mixin *self, struct child *child)
{
    if (child->prev != NULL)
        child->prev->next = child->next;
    else
        self->children = child->next;
    if (child->next != NULL)
        child->next->prev = child->prev;
    if (child->pidfd >= 0) {
        /* Closing is not enough: a younger child may still have a copy of the descriptor. */
        epoll_ctl(self->epoll_fd, EPOLL_CTL_DEL, child->pidfd, NULL);
        close(child->pidfd);
    } else {
        self->blind--;
    }
    set_count(self, self->count - 1);
    shs__free(child);
}

/* A child that a signal ended could not say so itself. */
static void report_signal(struct forking_mixin *self, const struct child *child,
                          const siginfo_t *how)
{
    const char *text = sigdescr_np(how->si_status);
    struct shs_error err;

    if (self->closing && (how->si_status == SIGTERM || how->si_status == SIGKILL))
        return;
    shs_error_set(&err, SHS_IO, 0, "child %ld, which served %s, was killed by signal %d (%s)%s",
                  (long)child->pid, child->client, how->si_status, text == NULL ? "?" : text,
                  how->si_code == CLD_DUMPED ? ", core dumped" : "");
    shs_server_handle_error(self->scheduler.layer.server, NULL, &err);
}

static int look_at(const struct child *child, siginfo_t *how)
{
    if (child->pidfd >= 0) {
        int rc = waitid(P_PIDFD, (id_t)child->pidfd, how, WEXITED | WNOHANG);

        if (rc == 0 || errno != EINVAL)
            return rc; /* else this is Linux 5.3: pidfds, but no waiting for them */
    }
    return waitid(P_PID, (id_t)child->pid, how, WEXITED | WNOHANG);
}

/* Takes the child's end, if it has come. Never any other process's. */
static void reap(struct forking_mixin *self, struct child *child)
{
    siginfo_t how = {.si_pid = 0};
    int rc;

    do {
        rc = look_at(child, &how);
    } while (rc != 0 && errno == EINTR);
    if (rc == 0 && how.si_pid == 0)
        return; /* it is at work */
    /* ECHILD: the host ignores SIGCHLD, or has waited for every process there is. */
    if (rc == 0 && (how.si_code == CLD_KILLED || how.si_code == CLD_DUMPED))
        report_signal(self, child, &how);
    if (!self->closing)
        shs__drain_closed(self->scheduler.layer.server);
    forget_child(self, child);
}

static void reap_blind(struct forking_mixin *self)
{
    struct child *next;

    for (struct child *child = self->children; child != NULL && self->blind > 0; child = next) {
        next = child->next;
        if (child->pidfd < 0)
            reap(self, child);
    }
}

/* Takes the children that have ended; waits `ms` for the first, if none has. */
static void collect_some(struct forking_mixin *self, int ms)
{
    struct epoll_event events[COLLECT_BATCH];
    unsigned before = self->count;
    int n;

    if (before == 0)
        return;
    reap_blind(self);
    if (self->count < before)
        ms = 0; /* one has ended */
    else if (self->blind > 0 && ms > BLIND_RETRY_MS)
        ms = BLIND_RETRY_MS;
    do {
        n = epoll_wait(self->epoll_fd, events, COLLECT_BATCH, ms);
        for (int i = 0; i < n; i++)
            reap(self, events[i].data.ptr);
        ms = 0;
    } while (n == COLLECT_BATCH);
}

/* Until fewer than `bound` are left, or the moment. */
static bool collect_until(struct forking_mixin *self, unsigned bound, int64_t until_ns)
{
    collect_some(self, 0);
    while (self->count >= bound) {
        int64_t now = shs_now_ns();

        if (now >= until_ns)
            return false;
        collect_some(self, shs__poll_ms(until_ns, now));
    }
    return true;
}

int shs_server_collect_children(struct shs_server *server, unsigned timeout_ms)
{
    struct shs_layer *layer = shs_server_layer(server, "ForkingMixIn");

    if (layer == NULL)
        return SHS_USAGE;
    if (!collect_until(MIXIN(layer), 1, shs__deadline_after(shs_now_ns(), timeout_ms)))
        return SHS_TIMEOUT;
    return SHS_OK;
}

static void collect(struct shs_layer *layer)
{
    collect_some(MIXIN(layer), 0);
}

static void told_ready(struct shs_scheduler *scheduler)
{
    collect(&scheduler->layer);
}

static void forking_handle_timeout(struct shs_layer *layer)
{
    collect(layer);
    shs_super_handle_timeout(layer);
}

/* -- in the child ------------------------------------------------------------------------------ */

/* What is the parent's: async-signal-safe calls only. */
static void leave_parent(struct forking_mixin *self, struct shs_conn *conn)
{
    struct shs_server *server = self->scheduler.layer.server;

    self->in_child = true;
    shs__server_after_fork(server, self->stop_pipe[0]);
    close(self->stop_pipe[1]);
    close(self->epoll_fd);
    for (const struct child *c = self->children; c != NULL; c = c->next) {
        if (c->pidfd >= 0)
            close(c->pidfd);
    }
    /* Who holds the listening socket keeps its port, and clients waiting in its queue. */
    for (struct shs_listener *l = conn->borrowed ? NULL : server->listeners; l != NULL;
         l = l->next) {
        if (l->fd >= 0)
            close(atomic_exchange(&l->fd, -1));
    }
}

static _Noreturn void run_child(struct forking_mixin *self, struct shs_conn *conn)
{
    struct shs_server *server = self->scheduler.layer.server;
    int rc;

    leave_parent(self, conn);
    rc = shs_server_converse(server, conn);
    shs_server_end_request(server, conn, rc);
    _exit(rc == SHS_OK ? 0 : 1);
}

/* The server closes, or shs_shutdown was called here: an idle connection has seen its last request.
   As in server_close, its reader finds the end of the stream. */
static void end_idle(struct forking_mixin *self, struct shs_conn *conn)
{
    atomic_store(&self->scheduler.layer.server->stopping, true);
    shs__socket_stream_cut(&conn->socket, SHUT_RD);
}

static int forking_wait_request(struct shs_layer *layer, struct shs_conn *conn, int what)
{
    struct forking_mixin *self = MIXIN(layer);
    struct shs_server *server = layer->server;

    if (!self->in_child || conn->borrowed || !atomic_load(&conn->idle) ||
        atomic_load(&server->stopping))
        return shs_super_wait_request(layer, conn, what);
    for (;;) {
        struct pollfd fds[3] = {
            {.fd = conn->socket.fd, .events = what == SHS_WAIT_READ ? POLLIN : POLLOUT},
            {.fd = self->stop_pipe[0], .events = POLLIN},
            {.fd = server->wake_fd, .events = POLLIN},
        };
        int64_t now = shs_now_ns();
        int n;

        if (now >= conn->deadline_ns) /* the socket before the clock, as base_wait_request */
            return what == SHS_WAIT_READ && poll(fds, 1, 0) > 0 ? SHS_OK : SHS_TIMEOUT;
        n = poll(fds, SHS_ARRAY_LEN(fds), shs__poll_ms(conn->deadline_ns, now));
        if (n < 0 && errno != EINTR)
            return SHS_IO;
        if (n > 0 && fds[0].revents != 0)
            return SHS_OK;
        /* Nothing but shs_shutdown writes to a child's wake_fd. */
        if (n > 0) {
            end_idle(self, conn);
            return SHS_OK;
        }
    }
}

/* -- in the parent ----------------------------------------------------------------------------- */

static int prepare(struct forking_mixin *self, struct shs_conn *conn, struct child **out)
{
    const struct shs_options *opt = &self->scheduler.layer.server->opt;
    int64_t until = shs__deadline_after(shs_now_ns(), opt->stop_ms);
    struct child *child;
    int rc;

    /* The loop does not accept beyond the bound: only who calls process_request himself waits. */
    if (!collect_until(self, opt->max_children, until))
        return shs_conn_fail(conn, SHS_LIMIT, 0,
                             "no child for a request: none of %u has ended within %u ms",
                             opt->max_children, opt->stop_ms);
    rc = shs__conn_make_handler(conn);
    if (rc != SHS_OK)
        return rc;
    child = shs__calloc(1, sizeof *child);
    if (child == NULL)
        return shs_conn_fail(conn, SHS_NOMEM, 0, "out of memory for a child");
    shs__conn_client_text(conn, child->client, sizeof child->client);
    *out = child;
    return SHS_OK;
}

static int forking_add(struct shs_scheduler *scheduler, struct shs_conn *conn)
{
    struct forking_mixin *self = MIXIN(&scheduler->layer);
    struct shs_server *server = scheduler->layer.server;
    struct child *child = NULL;
    int rc = prepare(self, conn, &child);
    pid_t pid;

    if (rc != SHS_OK)
        return rc;
    pthread_mutex_lock(&server->fork_lock);
    pthread_mutex_lock(&server->lock);
    pid = fork();
    if (pid == 0)
        run_child(self, conn);
    rc = errno;
    pthread_mutex_unlock(&server->lock);
    pthread_mutex_unlock(&server->fork_lock);
    if (pid < 0) {
        shs__free(child);
        return shs_conn_fail(conn, SHS_LIMIT, rc,
                             "no child for a request: the system's limit on processes or memory "
                             "is reached");
    }
    add_child(self, child, pid);
    conn->handed_on = true;
    shs_server_close_request(server, conn);
    return SHS_OK;
}

/* -- how it ends ------------------------------------------------------------------------------- */

/*
 * Who gives out pidfds may refuse signals through them: a filter of system calls, or valgrind 3.24.
 * The pid serves as well: nobody else gets it before we have waited for the child. ESRCH: somebody
 * else has.
 */
static void signal_child(const struct child *child, int number)
{
    if (child->pidfd < 0 ||
        (pidfd_send_signal(child->pidfd, number, NULL, 0) != 0 && errno != ESRCH))
        kill(child->pid, number);
}

static void signal_children(struct forking_mixin *self, int number)
{
    for (const struct child *c = self->children; c != NULL; c = c->next)
        signal_child(c, number);
}

/* Until none is left, or a moment, which may become earlier: who hurries us may be a signal handler
   of another thread. */
static bool collect_all_until(struct forking_mixin *self, unsigned less_ms)
{
    struct shs_server *server = self->scheduler.layer.server;

    for (;;) {
        int64_t now = shs_now_ns(), slice = shs__deadline_after(now, SHS_DRAIN_SLICE_MS);
        int64_t until = shs_server_stop_deadline(server) - (int64_t)less_ms * SHS_NS_PER_MS;

        if (collect_until(self, 1, slice < until ? slice : until))
            return true;
        if (shs_now_ns() >= until)
            return false;
    }
}

/* The grace, then SIGTERM, then SIGKILL. */
static int end_children(struct forking_mixin *self)
{
    struct shs_server *server = self->scheduler.layer.server;

    if (collect_all_until(self, server->opt.close_ms))
        return SHS_OK;
    self->closing = true;
    shs_server_log(server, SHS_LOG_WARNING, "%u children were ended: their handlers did not return",
                   self->count);
    shs__drain_cut_children(server, self->count);
    signal_children(self, SIGTERM);
    if (collect_all_until(self, 0))
        return SHS_OK;
    signal_children(self, SIGKILL);
    if (collect_until(self, 1, shs__deadline_after(shs_now_ns(), KILL_MS)))
        return SHS_OK;
    return shs_server_fail(server, SHS_TIMEOUT, 0, "%u children did not end, not even by SIGKILL",
                           self->count);
}

static int forking_server_close(struct shs_layer *layer)
{
    struct forking_mixin *self = MIXIN(layer);
    struct shs_server *server = layer->server;
    int rc, ended;

    if (self->in_child)
        return shs_super_server_close(layer);
    /* A byte for those whose writing end a fork of the host's own has copied. */
    while (write(self->stop_pipe[1], "", 1) < 0 && errno == EINTR)
        ;
    rc = shs_super_server_close(layer);
    if (!server->opt.block_on_close) {
        collect_some(self, 0);
        return rc;
    }
    ended = end_children(self);
    return rc != SHS_OK ? rc : ended;
}

static void forking_layer_free(struct shs_layer *layer)
{
    struct forking_mixin *self = MIXIN(layer);

    collect_some(self, 0);
    while (self->children != NULL)
        forget_child(self, self->children);
    close(self->epoll_fd);
    close(self->stop_pipe[0]);
    close(self->stop_pipe[1]);
    shs__free(self);
}

static const struct shs_server_ops forking_mixin_ops = {
    .name = "ForkingMixIn",
    .process_request = shs_schedule_request,
    .wait_request = forking_wait_request,
    .handle_timeout = forking_handle_timeout,
    .service_actions = collect,
    .server_close = forking_server_close,
    .layer_free = forking_layer_free,
};

static int open_descriptors(struct forking_mixin *self)
{
    self->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
    if (self->epoll_fd < 0)
        return SHS_IO;
    if (pipe2(self->stop_pipe, O_CLOEXEC | O_NONBLOCK) == 0)
        return SHS_OK;
    close(self->epoll_fd);
    return SHS_IO;
}

static void close_descriptors(struct forking_mixin *self)
{
    close(self->epoll_fd);
    close(self->stop_pipe[0]);
    close(self->stop_pipe[1]);
}

/* In a child of the process that has made the server: set and pipe would be one for both. */
static int adopt(struct shs_scheduler *scheduler)
{
    struct forking_mixin *self = MIXIN(&scheduler->layer), anew;

    if (open_descriptors(&anew) != SHS_OK)
        return shs_server_fail(scheduler->layer.server, SHS_IO, errno,
                               "no descriptors for ForkingMixIn: raise ulimit -n");
    close_descriptors(self);
    self->epoll_fd = anew.epoll_fd;
    memcpy(self->stop_pipe, anew.stop_pipe, sizeof self->stop_pipe);
    self->scheduler.fd = self->epoll_fd;
    return SHS_OK;
}

static const struct shs_scheduler_ops forking_scheduler_ops = {
    .add = forking_add,
    .told_ready = told_ready,
    .adopt = adopt,
};

int shs_forking_mixin_push(struct shs_server *server, struct shs_error *err)
{
    struct forking_mixin *self;
    int rc = shs__server_may_serve(server, "ForkingMixIn", err);

    if (rc != SHS_OK)
        return rc;
    if (server->opt.max_children == 0)
        return shs_error_set(err, SHS_USAGE, 0, "max_children must be at least 1");
    self = shs__calloc(1, sizeof *self);
    if (self == NULL)
        return shs_error_set(err, SHS_NOMEM, 0, "out of memory for ForkingMixIn");
    if (open_descriptors(self) != SHS_OK) {
        rc = shs_error_set(err, SHS_IO, errno, "no descriptors for ForkingMixIn: raise ulimit -n");
        shs__free(self);
        return rc;
    }
    rc = shs_server_push_scheduler(server, &self->scheduler, &forking_mixin_ops,
                                   &forking_scheduler_ops, err);
    if (rc != SHS_OK) {
        close_descriptors(self);
        shs__free(self);
        return rc;
    }
    self->scheduler.fd = self->epoll_fd;
    if (server->opt.timeout_ms == UINT_MAX)
        server->opt.timeout_ms = FORKING_TIMEOUT_MS;
    return SHS_OK;
}
