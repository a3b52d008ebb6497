/*
 * conversation.c - a request from its first byte to its last: the handler is called, its peer is
 * waited for. BaseServer's finish_request and wait_request, and who drives them on one thread.
 */
#include <errno.h>
#include <poll.h>
#include <sched.h>
#include <sys/socket.h>

#include "server/activity.h"
#include "server/server.h"

/* -- the handler ------------------------------------------------------------------------------- */

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
    /* Nor does it make room for others, but where its handler says that it is idle. */
    if (conn->server->protocol == NULL)
        atomic_store_explicit(&conn->idle_ns, INT64_MAX, memory_order_relaxed);
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

/* What a stream above the socket holds already, or rfile, is not told by the socket again. SHS_OK:
   there is something; SHS_WAIT_*: what has to come for the next of it. TLS may have to write. */
static int look_for_more(struct shs_conn *conn)
{
    if (conn->ahead)
        return SHS_OK;
    return shs__stream_pending(conn->stream) ? shs__stream_ready(conn->stream) : SHS_WAIT_READ;
}

/*
 * A handler that has read half a record and waits for more is called at once. Not without end: one
 * that takes nothing twice in a row waits as it asked; and HTTP does not ask to wait before it has
 * looked there.
 */
static int call_handler(struct shs_conn *conn)
{
    bool reads = conn->server->protocol == NULL;
    unsigned took_nothing = 0;
    int rc, more;

    conn->reads = false;
    do {
        conn->has_read = false;
        rc = handle(conn);
        if (rc != SHS_WAIT_READ || !reads)
            return rc;
        took_nothing = conn->has_read ? 0 : took_nothing + 1;
        more = took_nothing < 2 ? look_for_more(conn) : SHS_WAIT_READ;
    } while (more == SHS_OK);
    conn->reads = true;
    return more;
}

int shs__base_finish_request(struct shs_layer *layer, struct shs_conn *conn)
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
    if (rc == SHS_WAIT_READ || rc == SHS_WAIT_WRITE || rc == SHS_YIELD)
        return rc;
    shs__conn_finish_handler(conn);
    if (rc < 0 && rc != SHS_EXIT)
        shs_conn_fail(conn, rc, 0, "%s", shs_err_text(rc));
    return rc;
}

/* -- the peer ---------------------------------------------------------------------------------- */

/* Until when a conversation on the loop's own thread may go on: stop_ms from the first notice, or
   as the drain says. */
static int64_t loop_limit(struct shs_server *self, int64_t now)
{
    int64_t cut =
        shs__drain_until(self) == INT64_MAX ? INT64_MAX : atomic_load(&self->drain.cut_ns);

    if (!shs__server_must_end(self, now))
        return INT64_MAX;
    if (self->loop_limit_ns == INT64_MAX)
        self->loop_limit_ns = cut != INT64_MAX ? cut : shs__deadline_after(now, self->opt.stop_ms);
    return cut < self->loop_limit_ns ? cut : self->loop_limit_ns;
}

/* As server_close cuts those of other threads: its reads and writes end from here on. */
static void cut_on_loop(struct shs_conn *conn)
{
    struct shs_server *self = conn->server;
    char names[SHS_DRAIN_NAMES_MAX];

    if (!conn->borrowed)
        shs__socket_stream_cut(&conn->socket, SHUT_RDWR);
    pthread_mutex_lock(&self->lock);
    shs__drain_cut_busy(self, names, sizeof names);
    pthread_mutex_unlock(&self->lock);
    shs__drain_say_cut(self, names, 1);
    errno = 0; /* no call has failed that the wait is about: SHS_STOPPED */
}

/*
 * On the loop's own thread somebody else may be waiting behind this peer: a shutdown ends an idle
 * wait, and so does a new client when this one is only being kept alive, or has its last answer and
 * has been silent for a moment. A request that is under way has the grace of server_close, which
 * cannot be called before the loop has ended.
 */
static int wait_on_loop(struct shs_conn *conn, struct pollfd *peer, struct pollfd *wake)
{
    struct shs_server *self = conn->server;
    struct pollfd fds[3 + SHS_MAX_LISTENERS];
    int64_t now = shs_now_ns(), until = loop_limit(self, now);
    bool stopping = until != INT64_MAX, idle = atomic_load(&conn->idle);
    bool leaves = conn->phase != SHS_CONN_TALK;
    unsigned count = 3;
    int n;

    if (stopping && (idle || now >= until)) {
        if (!idle)
            cut_on_loop(conn);
        return -1;
    }
    fds[0] = *peer;
    fds[1] = (struct pollfd){.fd = stopping ? -1 : self->wake_fd, .events = POLLIN};
    fds[2] = *wake;
    if ((idle && conn->served > 0) || conn->phase == SHS_CONN_LINGER)
        count += shs__server_poll_listeners(self, fds + 3);
    /* In slices, for who hurries us may be a signal handler of another thread. */
    until = stopping ? shs__deadline_after(now, SHS_DRAIN_SLICE_MS) : shs__drain_until(self);
    if (conn->deadline_ns < until)
        until = conn->deadline_ns;
    n = 0;
    if (count > 3 && leaves) { /* he needs it to take his answer: a reset may overtake it */
        int ms = shs__poll_ms(until, now);

        n = poll(fds, 3, ms < (int)SHS_LINGER_LEAST_MS ? ms : (int)SHS_LINGER_LEAST_MS);
        now = shs_now_ns();
    }
    if (n == 0)
        n = poll(fds, count, shs__poll_ms(until, now));
    peer->revents = fds[0].revents;
    wake->revents = fds[2].revents;
    if (n <= 0 || fds[0].revents != 0 || fds[2].revents != 0)
        return n;
    if (fds[1].revents == 0)
        return -1;
    if (!atomic_load(&self->shutdown_requested))
        shs__server_drain_wake(self);
    return 0;
}

static int wait_for_peer(struct shs_conn *conn, int what)
{
    struct pollfd fds[2] = {
        {.fd = conn->socket.fd, .events = what == SHS_WAIT_READ ? POLLIN : POLLOUT},
        {.fd = conn->wake_fd, .events = POLLIN},
    };

    for (;;) {
        int64_t now = shs_now_ns();
        int n;

        /* The socket before the clock: this process may have been stopped, or without a core. */
        if (now >= conn->deadline_ns)
            return what == SHS_WAIT_READ && poll(fds, 1, 0) > 0 ? SHS_OK : SHS_TIMEOUT;
        errno = 0;
        if (conn->on_loop) {
            n = wait_on_loop(conn, &fds[0], &fds[1]);
        } else {
            /* Others first: when there are any, what we wait for is often there when our turn
               comes again, and this thread need not sleep and be woken, which costs more. */
            sched_yield();
            n = poll(fds, SHS_ARRAY_LEN(fds), shs__poll_ms(conn->deadline_ns, now));
        }
        if (n > 0)
            return fds[0].revents != 0 ? SHS_OK : SHS_TIMEOUT;
        if (n < 0 && errno == 0)
            return SHS_STOPPED;
        if (n < 0 && errno != EINTR)
            return SHS_IO;
    }
}

int shs__base_wait_request(struct shs_layer *layer, struct shs_conn *conn, int what)
{
    int rc;

    SHS_UNUSED(layer);
    shs__activity_wait(conn->activity);
    rc = wait_for_peer(conn, what);
    shs__activity_wait(conn->activity);
    return rc;
}

/* -- both in turn ------------------------------------------------------------------------------ */

bool shs__conn_stopping(const struct shs_conn *conn)
{
    return shs_server_stopping(conn->server) ||
           (conn->on_loop && shs__server_must_end(conn->server, shs_now_ns()));
}

int64_t shs__conn_stop_deadline(const struct shs_conn *conn)
{
    return conn->on_loop ? loop_limit(conn->server, shs_now_ns())
                         : shs_server_stop_deadline(conn->server);
}

/* Who yields waits for nobody, so nothing tells him that the server's time is up. */
static bool may_go_on(const struct shs_conn *conn)
{
    struct shs_server *self = conn->server;
    int64_t now;

    if (conn->on_loop) {
        now = shs_now_ns();
        return now < loop_limit(self, now);
    }
    return !atomic_load(&self->stopping) || (!shs__socket_is_cut(&conn->socket) &&
                                             shs_now_ns() < atomic_load(&self->stop_deadline_ns));
}

int shs_conn_advance(struct shs_conn *conn, bool expired)
{
    int64_t moment;
    int rc;

    /* Its peer was there in time: that others had their turn before it is not held against it. */
    if (conn->lent && !expired)
        conn->deadline_ns = INT64_MAX;
    moment = conn->deadline_ns;
    rc = shs_server_finish_request(conn->server, conn);

    if (rc == SHS_YIELD)
        return may_go_on(conn)
                   ? rc
                   : shs_conn_fail(conn, SHS_STOPPED, 0, "%s", shs_err_text(SHS_STOPPED));
    /* It was called once more, to end itself, and goes on waiting for the same moment. */
    if (rc > 0 && expired && moment == conn->deadline_ns)
        return shs_conn_fail(conn, SHS_TIMEOUT, 0, "the deadline passed");
    return rc;
}

int shs_server_converse(struct shs_server *self, struct shs_conn *conn)
{
    bool expired = false;

    for (;;) {
        int rc = shs_conn_advance(conn, expired);

        if (rc != SHS_WAIT_READ && rc != SHS_WAIT_WRITE && rc != SHS_YIELD)
            return rc;
        expired = false;
        if (rc == SHS_YIELD) {
            sched_yield();
            continue;
        }
        rc = shs_server_wait_request(self, conn, rc);
        if (rc == SHS_TIMEOUT)
            expired = true;
        else if (rc == SHS_STOPPED && atomic_load(&conn->idle))
            return SHS_OK; /* between two requests: nothing failed, so there is nothing to say */
        else if (rc < 0)
            return shs_conn_fail(conn, rc, errno, "%s", shs_err_text(rc));
    }
}
