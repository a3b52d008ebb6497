/*
 * loop.c - the serving thread: its loop, how requests come in, and how it is asked to end.
 *
 * Follows CPython Lib/socketserver.py BaseServer; the names are the same.
 */
#include <errno.h>
#include <limits.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

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

void shs__server_drain_wake(struct shs_server *self)
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
        shs__server_drain_wake(self);
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

int shs_shutdown_wait(struct shs_server *self, unsigned timeout_ms)
{
    struct timespec until = shs__timespec(shs__deadline_after(shs_now_ns(), timeout_ms));
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
