/*
 * base_server.c - BaseServer: the loop, the default of every slot, and how it all ends.
 *
 * Follows CPython Lib/socketserver.py BaseServer; the names are the same.
 */
#include <errno.h>
#include <limits.h>
#include <poll.h>
#include <sched.h>
#include <stdio.h>
#include <sys/socket.h>
#include <unistd.h>

#include "server/activity.h"
#include "server/server.h"

/* Connections taken from one wake-up, before service_actions and shutdown get their turn. */
#define ACCEPT_BATCH 64
/* After a failed accept: long enough not to spin, short enough that relief is seen at once. */
#define ACCEPT_BACKOFF_MS 50u
/* Looking after things more often is spinning. */
#define LEAST_TURN_MS 10u

void shs__server_wake(struct shs_server *self)
{
    uint64_t one = 1;
    int saved = errno; /* called from signal handlers */
    ssize_t n = write(self->wake_fd, &one, sizeof one);

    SHS_UNUSED(n); /* a full counter is awake enough */
    errno = saved;
}

static void drain_wake(struct shs_server *self)
{
    uint64_t count;
    ssize_t n = read(self->wake_fd, &count, sizeof count);

    SHS_UNUSED(n);
}

void shs_server_pause_accept(struct shs_server *self)
{
    atomic_fetch_add(&self->pauses, 1);
    atomic_fetch_add_explicit(&self->stats.accept_pauses, 1, memory_order_relaxed);
}

void shs_server_resume_accept(struct shs_server *self)
{
    if (atomic_fetch_sub(&self->pauses, 1) == 1)
        shs__server_wake(self);
}

/* -- one request ------------------------------------------------------------------------------- */

int shs_server_converse(struct shs_server *self, struct shs_conn *conn)
{
    int64_t expired = INT64_MIN;

    for (;;) {
        int rc = shs_server_finish_request(self, conn);

        if (rc != SHS_WAIT_READ && rc != SHS_WAIT_WRITE)
            return rc;
        rc = shs_server_wait_request(self, conn, rc);
        if (rc == SHS_TIMEOUT) {
            /* The conversation is called once more, to end itself. One that goes on waiting for the
               same moment is ended here: nobody waits twice for a deadline that has passed. */
            if (expired == conn->deadline_ns)
                return shs_conn_fail(conn, SHS_TIMEOUT, 0, "the deadline passed");
            expired = conn->deadline_ns;
            continue;
        }
        if (rc == SHS_STOPPED && atomic_load(&conn->idle))
            return SHS_OK; /* between two requests: nothing failed, so there is nothing to say */
        if (rc < 0)
            return shs_conn_fail(conn, rc, errno, "%s", shs_err_text(rc));
    }
}

static void back_off(struct shs_server *self)
{
    atomic_fetch_add_explicit(&self->stats.accept_pauses, 1, memory_order_relaxed);
    atomic_store(&self->accept_retry_ns, shs__deadline_after(shs_now_ns(), ACCEPT_BACKOFF_MS));
}

/* The system has no thread or memory for it: whoever comes next waits in the kernel's queue rather
   than to be closed as well. A bound of ours (of one address, say) is no reason. */
static bool is_exhausted(const struct shs_conn *conn, int rc)
{
    return rc == SHS_NOMEM || (rc == SHS_LIMIT && shs_conn_error(conn)->sys_errno == EAGAIN);
}

int shs__server_get_failed(struct shs_server *self, int rc)
{
    if (rc == SHS_WAIT_READ || rc == SHS_STOPPED)
        return rc;
    atomic_fetch_add_explicit(&self->stats.accept_errors, 1, memory_order_relaxed);
    if (rc == SHS_LIMIT || rc == SHS_NOMEM) {
        back_off(self);
        return SHS_WAIT_READ;
    }
    shs_server_log(self, SHS_LOG_INFO, "a request was lost before it began: %s", shs_err_text(rc));
    return SHS_OK;
}

int shs__server_process_failed(struct shs_server *self, struct shs_conn *conn, int rc)
{
    if (rc != SHS_EXIT) {
        shs_conn_fail(conn, rc, 0, "%s", shs_err_text(rc));
        shs_server_handle_error(self, conn, shs_conn_error(conn));
    }
    if (is_exhausted(conn, rc))
        back_off(self);
    shs_server_shutdown_request(self, conn);
    return rc == SHS_EXIT ? SHS_EXIT : SHS_OK;
}

/* Python's _handle_request_noblock. SHS_OK: go on; SHS_WAIT_READ: nobody; SHS_EXIT; SHS_IO. */
static int handle_request_noblock(struct shs_server *self)
{
    struct shs_conn *conn = NULL;
    int rc = shs_server_get_request(self, &conn);

    if (rc != SHS_OK)
        return shs__server_get_failed(self, rc);
    atomic_fetch_add_explicit(&self->stats.accepted, 1, memory_order_relaxed);
    if (!shs_server_verify_request(self, conn)) {
        atomic_fetch_add_explicit(&self->stats.refused, 1, memory_order_relaxed);
        shs_server_shutdown_request(self, conn);
        return SHS_OK;
    }
    rc = shs_server_process_request(self, conn);
    return rc >= 0 ? SHS_OK : shs__server_process_failed(self, conn, rc);
}

/* -- the loop ---------------------------------------------------------------------------------- */

static bool may_accept(struct shs_server *self, int64_t now)
{
    return atomic_load(&self->pauses) == 0 && atomic_load(&self->accept_retry_ns) <= now &&
           atomic_load_explicit(&self->open_count, memory_order_relaxed) <
               self->opt.max_connections;
}

bool shs__server_may_accept(struct shs_server *self)
{
    return may_accept(self, shs_now_ns());
}

/* In the loop's poll: wake_fd, the mixin's, the listening socket. */
#define FIXED_FDS 3
/* As many groups of workers as there may be. */
#define MORE_LISTENERS 1024

static nfds_t add_listeners(struct shs_server *self, struct pollfd *fds)
{
    int more[MORE_LISTENERS];
    unsigned count = 0;

    if (self->acceptor.listeners != NULL)
        count = self->acceptor.listeners(self->acceptor.layer, more, MORE_LISTENERS);
    for (unsigned i = 0; i < count; i++)
        fds[i] = (struct pollfd){.fd = more[i], .events = POLLIN};
    return count;
}

/* Which listening socket has somebody; those behind the one of last time come first. */
static bool take_ready(struct shs_server *self, const struct pollfd *fds, nfds_t count)
{
    nfds_t from = 0;

    while (from < count && fds[from].fd != self->ready_fd)
        from++;
    for (nfds_t i = 1; i <= count; i++) {
        nfds_t at = (from + i) % count;

        if (fds[at].revents != 0) {
            self->ready_fd = fds[at].fd;
            return true;
        }
    }
    return false;
}

/*
 * Waits for a request, a wake-up, or the deadline. True: look for a request. `listens` is false
 * while somebody else accepts.
 */
static bool wait_for_request(struct shs_server *self, int64_t deadline_ns, bool listens)
{
    int64_t now = shs_now_ns(), retry = atomic_load(&self->accept_retry_ns);
    bool accepting = listens && may_accept(self, now);
    struct pollfd fds[FIXED_FDS + MORE_LISTENERS] = {
        {.fd = self->wake_fd, .events = POLLIN},
        {.fd = self->watch.fd, .events = POLLIN},
        {.fd = accepting ? self->fd : -1, .events = POLLIN},
    };
    nfds_t count = FIXED_FDS + (accepting ? add_listeners(self, fds + FIXED_FDS) : 0);
    unsigned every_ms = self->watch.every_ms;
    int64_t turn;
    int n;

    if (retry > now && retry < deadline_ns)
        deadline_ns = retry;
    if (every_ms == 0 || every_ms > self->opt.poll_interval_ms)
        every_ms = self->opt.poll_interval_ms;
    if (every_ms < LEAST_TURN_MS)
        every_ms = LEAST_TURN_MS;
    turn = shs__deadline_after(now, every_ms);
    if (self->watch.ready != NULL && turn < deadline_ns)
        deadline_ns = turn;
    n = poll(fds, count, shs__poll_ms(deadline_ns, now));
    if (self->watch.ready != NULL && (n == 0 || (n > 0 && fds[1].revents != 0)))
        self->watch.ready(self->watch.layer);
    if (n <= 0)
        return false; /* the time is up, or a signal came: the caller looks at its flags */
    if (fds[0].revents != 0)
        drain_wake(self);
    return take_ready(self, fds + 2, count - 2);
}

/* Takes what is there, a bounded number of them. */
static int accept_batch(struct shs_server *self)
{
    for (int i = 0; i < ACCEPT_BATCH; i++) {
        int rc = handle_request_noblock(self);

        if (rc == SHS_WAIT_READ)
            return SHS_OK;
        if (rc != SHS_OK)
            return rc;
        if (atomic_load(&self->shutdown_requested) || !may_accept(self, shs_now_ns()))
            return SHS_OK;
    }
    return SHS_OK;
}

/* The loop lets go. Who wanted to free the server meanwhile, and could not wait, left it to us. */
static void end_serving(struct shs_server *self)
{
    bool orphaned;

    pthread_mutex_lock(&self->lock);
    atomic_store(&self->serving, false);
    orphaned = self->orphaned;
    pthread_cond_broadcast(&self->changed);
    pthread_mutex_unlock(&self->lock);
    if (orphaned) {
        shs_server_close(self);
        shs__server_unref(self);
    }
    shs__server_unref(self);
}

/* Freezes the chain and takes the loop for this thread. */
static int begin_serving(struct shs_server *self)
{
    bool taken;
    int rc = SHS_OK;

    if (self->closed)
        return shs_server_fail(self, SHS_USAGE, 0, "the server is closed");
    if (!self->activated)
        rc = shs_server_bind_and_activate(self, NULL);
    if (rc == SHS_OK)
        rc = shs__server_adopt(self);
    if (rc != SHS_OK)
        return rc;
    pthread_mutex_lock(&self->lock);
    taken = self->orphaned || atomic_load(&self->serving);
    if (!taken) {
        atomic_store(&self->serving, true);
        self->loop_thread = pthread_self();
    }
    pthread_mutex_unlock(&self->lock);
    /* Not shs_server_fail: the error belongs to the thread that serves. */
    if (taken)
        return SHS_USAGE;
    shs__server_ref(self); /* whoever frees it meanwhile */
    atomic_store(&self->frozen, true);
    self->loop_limit_ns = INT64_MAX;
    if (self->begins.now != NULL)
        self->begins.now(self->begins.layer);
    return SHS_OK;
}

static int loop_ended(struct shs_server *self, int rc)
{
    if (rc == SHS_STOPPED)
        return shs_server_fail(self, SHS_IO, EBADF, "the listening socket is gone");
    return rc;
}

/* The loop while it accepts by itself. */
static int64_t turn_ends(const struct shs_server *self)
{
    unsigned ms = self->opt.poll_interval_ms;

    return shs__deadline_after(shs_now_ns(), ms < LEAST_TURN_MS ? LEAST_TURN_MS : ms);
}

static int serve_by_loop(struct shs_server *self)
{
    int rc = SHS_OK;

    while (rc == SHS_OK && !atomic_load(&self->shutdown_requested)) {
        bool ready = wait_for_request(self, turn_ends(self), true);

        /* Asked to stop while we waited: a request that is ready is not begun (bpo-35017). */
        if (atomic_load(&self->shutdown_requested))
            break;
        if (ready)
            rc = accept_batch(self);
        shs_server_service_actions(self);
    }
    return rc;
}

/* The loop while a mixin's threads accept: what is left is to look after it. */
static int serve_by_acceptor(struct shs_server *self)
{
    int rc = SHS_OK;

    while (rc == SHS_OK && !atomic_load(&self->shutdown_requested)) {
        (void)wait_for_request(self, turn_ends(self), false);
        rc = atomic_load(&self->accept_result);
        if (rc == SHS_OK && !atomic_load(&self->shutdown_requested) &&
            may_accept(self, shs_now_ns()))
            self->acceptor.again(self->acceptor.layer);
        shs_server_service_actions(self);
    }
    self->acceptor.stop(self->acceptor.layer);
    return rc;
}

int shs_serve_forever(struct shs_server *self)
{
    int rc = begin_serving(self);

    if (rc != SHS_OK)
        return rc;
    atomic_store(&self->accept_result, SHS_OK);
    if (self->acceptor.start != NULL && !atomic_load(&self->shutdown_requested) &&
        self->acceptor.start(self->acceptor.layer))
        rc = serve_by_acceptor(self);
    else
        rc = serve_by_loop(self);
    atomic_store(&self->shutdown_requested, false);
    rc = loop_ended(self, rc);
    end_serving(self);
    return rc;
}

int shs_handle_request(struct shs_server *self)
{
    int64_t deadline = INT64_MAX;
    int rc = begin_serving(self);

    if (rc != SHS_OK)
        return rc;
    if (self->opt.timeout_ms != UINT_MAX)
        deadline = shs__deadline_after(shs_now_ns(), self->opt.timeout_ms);
    rc = SHS_WAIT_READ;
    while (rc == SHS_WAIT_READ && !atomic_load(&self->shutdown_requested)) {
        if (wait_for_request(self, deadline, true)) {
            rc = handle_request_noblock(self);
        } else if (shs_now_ns() >= deadline) {
            shs_server_handle_timeout(self);
            rc = SHS_OK;
        }
    }
    /* Asked once, ended once: or who calls us in a loop would spin. */
    if (rc == SHS_WAIT_READ)
        atomic_store(&self->shutdown_requested, false);
    rc = loop_ended(self, rc == SHS_WAIT_READ ? SHS_OK : rc);
    end_serving(self);
    return rc;
}

void shs_shutdown(struct shs_server *self)
{
    atomic_store(&self->shutdown_requested, true);
    shs__server_wake(self);
}

/* The end of a wait on `changed`, which counts in CLOCK_MONOTONIC. */
static struct timespec to_timespec(int64_t ns)
{
    struct timespec ts = {.tv_sec = ns / SHS_NS_PER_S, .tv_nsec = ns % SHS_NS_PER_S};

    return ts;
}

int shs_shutdown_wait(struct shs_server *self, unsigned timeout_ms)
{
    struct timespec until = to_timespec(shs__deadline_after(shs_now_ns(), timeout_ms));
    int rc = SHS_OK;

    shs_shutdown(self);
    pthread_mutex_lock(&self->lock);
    if (atomic_load(&self->serving) && pthread_equal(self->loop_thread, pthread_self()))
        rc = SHS_DEADLOCK;
    while (rc == SHS_OK && atomic_load(&self->serving)) {
        if (pthread_cond_timedwait(&self->changed, &self->lock, &until) == ETIMEDOUT &&
            atomic_load(&self->serving))
            rc = SHS_TIMEOUT;
    }
    pthread_mutex_unlock(&self->lock);
    return rc;
}

/* -- how it ends ------------------------------------------------------------------------------- */

/*
 * Wakes whoever waits for these peers: their poll sees the end of the stream. Idle connections end
 * at once; the others are cut when the grace is over.
 */
static void cut_connections(struct shs_server *self, bool all)
{
    for (struct shs_conn *c = self->live; c != NULL; c = c->next) {
        if (c->borrowed)
            continue; /* the descriptor is everybody's: its handler ends by itself */
        if (all)
            shs__socket_stream_cut(&c->socket, SHUT_RDWR);
        else if (atomic_load(&c->idle))
            shs__socket_stream_cut(&c->socket, SHUT_RD);
    }
}

/* With the lock: waits until no connection is left, or the moment. */
static void wait_for_connections(struct shs_server *self, int64_t until_ns)
{
    struct timespec until = to_timespec(until_ns);

    while (self->live_count > 0) {
        if (pthread_cond_timedwait(&self->changed, &self->lock, &until) == ETIMEDOUT)
            return;
    }
}

static unsigned saturating_sum(unsigned a, unsigned b)
{
    return a > UINT_MAX - b ? UINT_MAX : a + b;
}

static int base_server_close(struct shs_layer *layer)
{
    struct shs_server *self = layer->server;
    bool wait = self->opt.block_on_close && !self->opt.daemon_threads;
    int64_t grace = shs__deadline_after(shs_now_ns(), self->opt.stop_ms);
    unsigned left;

    pthread_mutex_lock(&self->lock);
    cut_connections(self, false);
    if (wait)
        wait_for_connections(self, grace);
    if (wait && self->live_count > 0) {
        cut_connections(self, true);
        wait_for_connections(self, atomic_load(&self->stop_deadline_ns));
    }
    left = wait ? self->live_count : 0;
    pthread_mutex_unlock(&self->lock);
    if (left > 0)
        return shs_server_fail(self, SHS_TIMEOUT, 0,
                               "%u request(s) still run after %u ms: their handlers do not return",
                               left, saturating_sum(self->opt.stop_ms, self->opt.close_ms));
    return SHS_OK;
}

int shs_server_close(struct shs_server *self)
{
    int64_t until;

    if (self->closed)
        return SHS_OK;
    if (atomic_load(&self->serving))
        return SHS_USAGE; /* shs_shutdown_wait first; the error is the serving thread's */
    self->closed = true;
    until = shs__deadline_after(shs_now_ns(), self->opt.stop_ms);
    atomic_store(&self->stop_deadline_ns, shs__deadline_after(until, self->opt.close_ms));
    atomic_store(&self->stopping, true);
    return shs__server_close_chain(self);
}

/* -- BaseServer's slots ------------------------------------------------------------------------ */

static int base_nothing(struct shs_layer *layer)
{
    SHS_UNUSED(layer);
    return SHS_OK;
}

static void base_ignore(struct shs_layer *layer)
{
    SHS_UNUSED(layer);
}

static int base_get_request(struct shs_layer *layer, struct shs_conn **out)
{
    SHS_UNUSED(out);
    return shs_server_fail(layer->server, SHS_USAGE, 0,
                           "BaseServer has no socket: compose with TCPServer");
}

static bool base_verify_request(struct shs_layer *layer, struct shs_conn *conn)
{
    SHS_UNUSED(layer);
    SHS_UNUSED(conn);
    return true;
}

static int base_process_request(struct shs_layer *layer, struct shs_conn *conn)
{
    int rc;

    conn->on_loop = true;
    rc = shs_server_converse(layer->server, conn);
    if (rc < 0)
        return rc;
    shs_server_shutdown_request(layer->server, conn);
    return SHS_OK;
}

/* A fresh instance per connection; its setup. */
static int begin_handler(struct shs_conn *conn)
{
    const struct shs_request_handler_class *cls = conn->server->handler_class;
    int rc = shs__conn_make_handler(conn);

    if (rc != SHS_OK)
        return rc;
    /* What the composition has waited with for the first byte is over: the handler begins without a
       deadline, whoever it is that has called it. */
    conn->deadline_ns = INT64_MAX;
    rc = cls->setup == NULL ? SHS_OK : cls->setup(conn->handler);
    if (rc != SHS_OK) {
        conn->handled = true; /* no finish after a failed setup */
        return shs_conn_fail(conn, rc, 0, "setup of handler %s failed: %s", cls->name,
                             shs_err_text(rc));
    }
    conn->set_up = true;
    return SHS_OK;
}

int shs__conn_make_handler(struct shs_conn *conn)
{
    const struct shs_request_handler_class *cls = conn->server->handler_class;

    if (conn->handler != NULL)
        return SHS_OK;
    conn->handler = shs__calloc(1, cls->instance_size);
    if (conn->handler == NULL)
        return shs_conn_fail(conn, SHS_NOMEM, 0, "out of memory for a %s handler", cls->name);
    conn->handler->cls = cls;
    conn->handler->request = conn;
    conn->handler->server = conn->server;
    return SHS_OK;
}

void shs__conn_finish_handler(struct shs_conn *conn)
{
    struct shs_request_handler *handler = conn->handler;

    if (handler == NULL || !conn->set_up)
        return;
    conn->handled = true;
    if (handler->cls->finish != NULL)
        handler->cls->finish(handler);
    conn->handler = NULL;
    shs__free(handler);
}

/* A handler of HTTP tells its requests apart; of any other this is all that is known. */
static int handle(struct shs_conn *conn)
{
    const struct shs_request_handler_class *cls = conn->handler->cls;
    int rc;

    shs__activity_begin(conn);
    if (!cls->refuses)
        shs__activity_enter(conn->activity, 0);
    rc = cls->handle(conn->handler);
    if (!cls->refuses)
        shs__activity_leave(conn->activity);
    shs__activity_end(conn->activity);
    return rc;
}

/*
 * What a stream above the socket holds already is not told by the socket again: a handler that has
 * read half a record and waits for more is called at once. Not without end: one that takes nothing
 * twice in a row waits as it asked.
 */
static int call_handler(struct shs_conn *conn)
{
    unsigned took_nothing = 0;
    int rc;

    do {
        conn->has_read = false;
        rc = handle(conn);
        took_nothing = conn->has_read ? 0 : took_nothing + 1;
    } while (rc == SHS_WAIT_READ && !conn->yielded && took_nothing < 2 &&
             shs__stream_pending(conn->stream));
    return rc;
}

static int base_finish_request(struct shs_layer *layer, struct shs_conn *conn)
{
    int rc;

    SHS_UNUSED(layer);
    if (conn->handled)
        return SHS_OK;
    if (conn->refusal != NULL && conn->server->protocol == NULL)
        return shs_conn_fail(conn, SHS_TLS, 0, "the peer is not let in");
    if (conn->overloaded && !conn->server->handler_class->refuses)
        return shs_conn_fail(conn, SHS_LIMIT, 0, "every worker is busy; raise max_threads");
    if (!conn->set_up) {
        rc = begin_handler(conn);
        if (rc != SHS_OK)
            return rc;
    }
    rc = call_handler(conn);
    if (rc == SHS_WAIT_READ || rc == SHS_WAIT_WRITE)
        return rc;
    shs__conn_finish_handler(conn);
    if (rc < 0 && rc != SHS_EXIT)
        shs_conn_fail(conn, rc, 0, "%s", shs_err_text(rc));
    return rc;
}

/* Until when a conversation on the loop's own thread may go on: stop_ms from the first notice. */
static int64_t loop_limit(struct shs_server *self, int64_t now)
{
    if (!atomic_load(&self->shutdown_requested))
        return INT64_MAX;
    if (self->loop_limit_ns == INT64_MAX)
        self->loop_limit_ns = shs__deadline_after(now, self->opt.stop_ms);
    return self->loop_limit_ns;
}

/*
 * On the loop's own thread somebody else may be waiting behind this peer: a shutdown ends an idle
 * wait, and so does a new client when this one is only being kept alive. A request that is under
 * way has the grace of server_close, which cannot be called before the loop has ended.
 */
static int wait_on_loop(struct shs_conn *conn, struct pollfd *peer)
{
    struct shs_server *self = conn->server;
    int64_t now = shs_now_ns(), until = loop_limit(self, now);
    bool stopping = until != INT64_MAX, idle = atomic_load(&conn->idle);
    bool yields = idle && conn->served > 0;
    struct pollfd fds[3] = {
        *peer,
        {.fd = stopping ? -1 : self->wake_fd, .events = POLLIN},
        {.fd = yields ? self->fd : -1, .events = POLLIN},
    };
    int n;

    if (stopping && (idle || now >= until))
        return -1;
    if (conn->deadline_ns < until)
        until = conn->deadline_ns;
    n = poll(fds, SHS_ARRAY_LEN(fds), shs__poll_ms(until, now));
    peer->revents = fds[0].revents;
    if (n <= 0 || fds[0].revents != 0)
        return n;
    if (fds[1].revents == 0)
        return -1;
    if (!atomic_load(&self->shutdown_requested))
        drain_wake(self);
    return 0;
}

static int wait_for_peer(struct shs_conn *conn, int what)
{
    struct pollfd peer = {.fd = conn->socket.fd,
                          .events = what == SHS_WAIT_READ ? POLLIN : POLLOUT};

    for (;;) {
        int64_t now = shs_now_ns();
        int n;

        /* The socket before the clock: this process may have been stopped, or without a core. */
        if (now >= conn->deadline_ns)
            return what == SHS_WAIT_READ && poll(&peer, 1, 0) > 0 ? SHS_OK : SHS_TIMEOUT;
        errno = 0;
        if (conn->on_loop) {
            n = wait_on_loop(conn, &peer);
        } else {
            /* Others first: when there are any, what we wait for is often there when our turn
               comes again, and this thread need not sleep and be woken, which costs more. */
            sched_yield();
            n = poll(&peer, 1, shs__poll_ms(conn->deadline_ns, now));
        }
        if (n > 0)
            return SHS_OK;
        if (n < 0 && errno == 0)
            return SHS_STOPPED;
        if (n < 0 && errno != EINTR)
            return SHS_IO;
    }
}

static int base_wait_request(struct shs_layer *layer, struct shs_conn *conn, int what)
{
    int rc;

    SHS_UNUSED(layer);
    shs__activity_wait(conn->activity);
    rc = wait_for_peer(conn, what);
    shs__activity_wait(conn->activity);
    return rc;
}

static void base_shutdown_request(struct shs_layer *layer, struct shs_conn *conn)
{
    shs_server_close_request(layer->server, conn);
}

static void base_close_request(struct shs_layer *layer, struct shs_conn *conn)
{
    SHS_UNUSED(layer);
    SHS_UNUSED(conn);
}

/* What a peer does is no fault of ours, and not worth waking anybody for. */
static enum shs_log_level level_of(enum shs_err code)
{
    switch (code) {
    case SHS_CLOSED:
    case SHS_RESET:
    case SHS_TRUNCATED:
    case SHS_TIMEOUT:
    case SHS_STOPPED:
    case SHS_PROTO:
    case SHS_TLS:
    case SHS_LIMIT:
    case SHS_IO:
        return SHS_LOG_INFO;
    case SHS_OK:
    case SHS_USAGE:
    case SHS_NOMEM:
    case SHS_EXIT:
    case SHS_DEADLOCK:
    case SHS_WAIT_READ:
    case SHS_WAIT_WRITE:
        break;
    }
    return SHS_LOG_ERROR;
}

static void base_handle_error(struct shs_layer *layer, struct shs_conn *conn,
                              const struct shs_error *err)
{
    char client[160];

    if (conn == NULL) /* not a peer's doing, then */
        shs_server_log(layer->server, SHS_LOG_ERROR, "%s (%s)", err->text, shs_err_name(err->code));
    else
        shs_server_log(layer->server, level_of(err->code), "request from %s failed: %s (%s)",
                       shs__conn_client_text(conn, client, sizeof client), err->text,
                       shs_err_name(err->code));
}

const struct shs_server_ops shs__base_server_ops = {
    .name = "BaseServer",
    .server_bind = base_nothing,
    .server_activate = base_nothing,
    .get_request = base_get_request,
    .verify_request = base_verify_request,
    .process_request = base_process_request,
    .finish_request = base_finish_request,
    .wait_request = base_wait_request,
    .shutdown_request = base_shutdown_request,
    .close_request = base_close_request,
    .handle_error = base_handle_error,
    .handle_timeout = base_ignore,
    .service_actions = base_ignore,
    .server_close = base_server_close,
    .layer_free = base_ignore,
};
