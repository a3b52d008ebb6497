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

static int get_failed(struct shs_server *self, int rc)
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

static int process_failed(struct shs_server *self, struct shs_conn *conn, int rc)
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

/* More of them in a second than anybody wants to read of. */
#define SAY_AGAIN_MS 1000u

void shs__server_refused_late(struct shs_server *self)
{
    int64_t now = shs_now_ns(), until = atomic_load(&self->late_said_ns);
    uint64_t count = atomic_fetch_add(&self->stats.refused_late, 1) + 1;

    if (now < until || !atomic_compare_exchange_strong(&self->late_said_ns, &until,
                                                       shs__deadline_after(now, SAY_AGAIN_MS)))
        return;
    shs_server_log(
        self, SHS_LOG_WARNING,
        "overloaded: more clients come than can be served; %llu that had waited too long "
        "to be accepted were turned away",
        (unsigned long long)count);
}

/* Python's _handle_request_noblock. */
int shs__server_take(struct shs_server *self, struct shs_listener *from)
{
    struct shs_conn *conn = NULL;
    int rc = from == NULL ? shs_server_get_request(self, &conn)
                          : shs_server_accept_request(self, from, &conn);

    if (rc != SHS_OK)
        return get_failed(self, rc);
    atomic_fetch_add_explicit(&self->stats.accepted, 1, memory_order_relaxed);
    if (!shs_server_verify_request(self, conn)) {
        atomic_fetch_add_explicit(&self->stats.refused, 1, memory_order_relaxed);
        shs_server_shutdown_request(self, conn);
        return SHS_OK;
    }
    rc = shs_server_process_request(self, conn);
    return rc >= 0 ? SHS_OK : process_failed(self, conn, rc);
}

/* -- the serving thread as a scheduler --------------------------------------------------------- */

/* One conversation at a time, to its end. */
static int loop_add(struct shs_scheduler *self, struct shs_conn *conn)
{
    int rc;

    conn->on_loop = true;
    rc = shs_server_converse(self->layer.server, conn);
    if (rc < 0)
        return rc;
    shs_server_shutdown_request(self->layer.server, conn);
    return SHS_OK;
}

const struct shs_scheduler_ops shs__loop_ops = {.add = loop_add};

/* -- the loop ---------------------------------------------------------------------------------- */

static bool may_accept(struct shs_server *self, int64_t now)
{
    return atomic_load(&self->pauses) == 0 && atomic_load(&self->accept_retry_ns) <= now &&
           atomic_load_explicit(&self->open_count, memory_order_relaxed) <
               self->opt.max_connections;
}

bool shs_server_may_accept(struct shs_server *self)
{
    return may_accept(self, shs_now_ns());
}

unsigned shs__server_poll_listeners(const struct shs_server *self, struct pollfd *fds)
{
    unsigned count = 0;

    for (const struct shs_listener *l = self->listeners; l != NULL; l = l->next) {
        int fd = atomic_load(&l->fd);

        if (fd >= 0 && count < SHS_MAX_LISTENERS)
            fds[count++] = (struct pollfd){.fd = fd, .events = POLLIN};
    }
    return count;
}

static struct shs_listener *listener_at(struct shs_server *self, int fd)
{
    struct shs_listener *l = self->listeners;

    while (l != NULL && atomic_load(&l->fd) != fd)
        l = l->next;
    return l;
}

/* Which listening socket has somebody; those behind the one of last time come first. */
static bool take_ready(struct shs_server *self, const struct pollfd *fds, unsigned count)
{
    unsigned from = 0;

    while (from < count && fds[from].fd != self->last_ready_fd)
        from++;
    for (unsigned i = 1; i <= count; i++) {
        unsigned at = (from + i) % count;

        if (fds[at].revents != 0) {
            self->last_ready_fd = fds[at].fd;
            self->ready = listener_at(self, fds[at].fd);
            return true;
        }
    }
    return false;
}

/* The scheduler's descriptor is looked at no later than this; INT64_MAX: it has none. */
static int64_t scheduler_turn(const struct shs_server *self, int64_t now)
{
    unsigned every_ms = self->scheduler->every_ms;

    if (self->scheduler->ops->told_ready == NULL)
        return INT64_MAX;
    if (every_ms == 0 || every_ms > self->opt.poll_interval_ms)
        every_ms = self->opt.poll_interval_ms;
    return shs__deadline_after(now, every_ms < LEAST_TURN_MS ? LEAST_TURN_MS : every_ms);
}

/* In the loop's poll: wake_fd and the scheduler's, before the listening sockets. */
#define FIXED_FDS 2

/* At the bound on connections: how often it is looked whether somebody waits to come in. */
#define ROOM_LOOK_MS 50u

/* Somebody is in front of a listening socket. */
static bool somebody_waits(struct shs_server *self)
{
    struct pollfd fds[SHS_MAX_LISTENERS];
    unsigned count = shs__server_poll_listeners(self, fds);

    return poll(fds, count, 0) > 0;
}

/* What comes due on this thread, beside the requests: returns the next moment, or `deadline_ns`. */
static int64_t look_after(struct shs_server *self, int64_t now, int64_t deadline_ns)
{
    int64_t trim = atomic_load(&self->trim_ns), look = shs__deadline_after(now, ROOM_LOOK_MS);

    if (trim != 0 && trim <= now)
        shs__server_give_memory_back(self, now);
    else if (trim != 0 && trim < deadline_ns)
        deadline_ns = trim;
    if (atomic_load_explicit(&self->open_count, memory_order_relaxed) < self->opt.max_connections ||
        atomic_load(&self->pauses) > 0)
        return deadline_ns;
    if (somebody_waits(self))
        shs__server_make_room(self);
    return look < deadline_ns ? look : deadline_ns;
}

/* What one server waits for. */
struct turn {
    struct pollfd *fds;
    unsigned count;      /* of them, behind the fixed ones: listening sockets */
    int64_t deadline_ns; /* something comes due */
    int64_t scheduler_ns;
};

/* Before the wait. `listens` is false while the scheduler takes requests itself. */
static void begin_turn(struct shs_server *self, struct turn *turn, int64_t deadline_ns,
                       bool listens)
{
    int64_t now = shs_now_ns(), retry = atomic_load(&self->accept_retry_ns);

    turn->count = 0;
    turn->scheduler_ns = scheduler_turn(self, now);
    deadline_ns = shs__drain_turn(self, now, look_after(self, now, deadline_ns));
    turn->fds[0] = (struct pollfd){.fd = self->wake_fd, .events = POLLIN};
    turn->fds[1] = (struct pollfd){.fd = self->scheduler->fd, .events = POLLIN};
    if (listens && may_accept(self, now))
        turn->count = shs__server_poll_listeners(self, turn->fds + FIXED_FDS);
    if (retry > now && retry < deadline_ns)
        deadline_ns = retry;
    if (turn->scheduler_ns < deadline_ns)
        deadline_ns = turn->scheduler_ns;
    turn->deadline_ns = deadline_ns;
}

/* After it, with what poll(2) has returned. True: look for a request. */
static bool end_turn(struct shs_server *self, const struct turn *turn, int n)
{
    if (turn->scheduler_ns != INT64_MAX &&
        (n == 0 || (n > 0 && (turn->fds[1].revents != 0 || shs_now_ns() >= turn->scheduler_ns))))
        self->scheduler->ops->told_ready(self->scheduler);
    if (n <= 0)
        return false; /* the time is up, or a signal came: the caller looks at its flags */
    if (turn->fds[0].revents != 0)
        shs__server_drain_wake(self);
    /* Asked to stop while we waited: a request that is ready is not begun (bpo-35017). */
    return !shs__server_must_end(self, shs_now_ns()) &&
           take_ready(self, turn->fds + FIXED_FDS, turn->count);
}

/* Waits for a request, a wake-up, or the deadline. True: look for a request. */
static bool wait_for_request(struct shs_server *self, int64_t deadline_ns, bool listens)
{
    struct pollfd fds[FIXED_FDS + SHS_MAX_LISTENERS];
    struct turn turn = {.fds = fds};

    begin_turn(self, &turn, deadline_ns, listens);
    return end_turn(
        self, &turn,
        poll(fds, FIXED_FDS + turn.count, shs__poll_ms(turn.deadline_ns, shs_now_ns())));
}

/*
 * Takes what is there, a bounded number of them. Each may take its time, so it is asked again.
 * Without a mixin each is a conversation to its end, and whoever counts on service_actions would
 * wait for all of them.
 */
static int accept_batch(struct shs_server *self)
{
    int most = self->scheduler->ops == &shs__loop_ops ? 1 : ACCEPT_BATCH;

    for (int i = 0; i < most; i++) {
        int rc = shs__server_take(self, NULL);
        int64_t now = shs_now_ns();

        if (rc == SHS_WAIT_READ)
            return SHS_OK;
        if (rc != SHS_OK)
            return rc;
        if (shs__server_must_end(self, now) || !may_accept(self, now))
            return SHS_OK;
    }
    return SHS_OK;
}

/* The loop lets go. Who wanted to free the server meanwhile, and could not wait, left it to us. */
static void end_serving(struct shs_server *self)
{
    bool orphaned;

    self->ready = NULL;
    pthread_mutex_lock(&self->lock);
    atomic_store(&self->serving, false);
    orphaned = self->orphaned;
    pthread_cond_broadcast(&self->changed);
    pthread_mutex_unlock(&self->lock);
    if (orphaned) {
        shs__server_close_and_wait(self);
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
    shs__drain_serve_again(self);
    for (struct shs_layer *l = self->top; l != NULL; l = l->super) {
        if (l->ops->begin_serving != NULL)
            l->ops->begin_serving(l);
    }
    return SHS_OK;
}

static int loop_ended(struct shs_server *self, int rc)
{
    if (rc == SHS_STOPPED)
        return shs_server_fail(self, SHS_IO, EBADF, "the listening socket is gone");
    return rc;
}

static int64_t turn_ends(const struct shs_server *self)
{
    unsigned ms = self->opt.poll_interval_ms;

    return shs__deadline_after(shs_now_ns(), ms < LEAST_TURN_MS ? LEAST_TURN_MS : ms);
}

/* A turn while the scheduler takes requests: what is left is to look after it. */
static int look_after_scheduler(struct shs_server *self)
{
    int rc = atomic_load(&self->accept_result);

    if (rc == SHS_OK && self->scheduler->ops->resume != NULL && may_accept(self, shs_now_ns()))
        self->scheduler->ops->resume(self->scheduler);
    return rc;
}

/* What a turn has brought. `ready`: a request. */
static int after_turn(struct shs_server *self, bool listens, bool ready)
{
    int rc = SHS_OK;

    if (atomic_load(&self->shutdown_requested))
        return rc;
    if (!listens)
        rc = look_after_scheduler(self);
    else if (ready)
        rc = accept_batch(self);
    shs_server_service_actions(self);
    return rc;
}

/* The loop begins; true: it takes requests itself. */
static bool start_scheduler(struct shs_server *self)
{
    const struct shs_scheduler_ops *ops = self->scheduler->ops;

    atomic_store(&self->accept_result, SHS_OK);
    return ops->start == NULL || atomic_load(&self->shutdown_requested) ||
           !ops->start(self->scheduler, shs__server_takes_anywhere(self));
}

/* And ends, with what shs_serve_forever returns. */
static int stop_scheduler(struct shs_server *self, bool listens, int rc)
{
    if (!listens && self->scheduler->ops->stop != NULL)
        self->scheduler->ops->stop(self->scheduler);
    atomic_store(&self->shutdown_requested, false);
    rc = loop_ended(self, rc);
    end_serving(self);
    return rc;
}

int shs_serve_forever(struct shs_server *self)
{
    int rc = begin_serving(self);
    bool listens;

    if (rc != SHS_OK)
        return rc;
    listens = start_scheduler(self);
    while (rc == SHS_OK && !atomic_load(&self->shutdown_requested))
        rc = after_turn(self, listens, wait_for_request(self, turn_ends(self), listens));
    return stop_scheduler(self, listens, rc);
}

/* -- several on one thread --------------------------------------------------------------------- */

struct one {
    struct shs_server *server; /* NULL: it has ended */
    struct turn turn;
    bool listens;
};

struct several {
    struct one *of;
    size_t count, left;
    struct pollfd *fds;
    shs_served_fn *ended;
    void *ctx;
    int rc; /* the first that is none of SHS_OK */
};

static void one_ended(struct several *self, struct one *one, int rc)
{
    struct shs_server *server = one->server;

    one->server = NULL;
    self->left--;
    if (self->rc == SHS_OK)
        self->rc = rc;
    if (self->ended != NULL)
        self->ended(self->ctx, server, rc);
}

/* All of them wait in one poll. What poll(2) returned. */
static int wait_for_all(struct several *self)
{
    int64_t until = INT64_MAX;
    unsigned count = 0;

    for (size_t i = 0; i < self->count; i++) {
        struct one *one = &self->of[i];

        if (one->server == NULL)
            continue;
        one->turn.fds = self->fds + count;
        begin_turn(one->server, &one->turn, turn_ends(one->server), one->listens);
        count += FIXED_FDS + one->turn.count;
        if (atomic_load(&one->server->shutdown_requested))
            until = 0; /* somebody may have read the wake-up */
        else if (one->turn.deadline_ns < until)
            until = one->turn.deadline_ns;
    }
    return poll(self->fds, count, shs__poll_ms(until, shs_now_ns()));
}

static void turn_for_all(struct several *self)
{
    int n = wait_for_all(self);

    for (size_t i = 0; i < self->count; i++) {
        struct one *one = &self->of[i];
        int rc;

        if (one->server == NULL)
            continue;
        rc = after_turn(one->server, one->listens, end_turn(one->server, &one->turn, n));
        if (rc != SHS_OK || atomic_load(&one->server->shutdown_requested))
            one_ended(self, one, stop_scheduler(one->server, one->listens, rc));
    }
}

/* How many descriptors they may have in all; nobody opens another one from here on. */
static size_t most_fds(const struct several *self)
{
    size_t most = 1;

    for (size_t i = 0; i < self->count; i++) {
        if (self->of[i].server == NULL)
            continue;
        most += FIXED_FDS;
        for (const struct shs_listener *l = self->of[i].server->listeners; l != NULL; l = l->next)
            most++;
    }
    return most;
}

static void start_all(struct several *self, struct shs_server *const *servers)
{
    for (size_t i = 0; i < self->count; i++) {
        struct one *one = &self->of[i];
        int rc = begin_serving(servers[i]);

        one->server = servers[i];
        if (rc == SHS_OK)
            one->listens = start_scheduler(one->server);
        else
            one_ended(self, one, rc);
    }
}

static void stop_all(struct several *self, int rc)
{
    for (size_t i = 0; i < self->count; i++) {
        struct one *one = &self->of[i];

        if (one->server != NULL)
            one_ended(self, one, stop_scheduler(one->server, one->listens, rc));
    }
}

static bool may_serve_beside_others(struct shs_server *const *servers, size_t count)
{
    if (servers == NULL && count > 0)
        return false;
    for (size_t i = 0; i < count; i++) {
        if (servers[i] == NULL || servers[i]->scheduler->ops == &shs__loop_ops)
            return false; /* a conversation would hold up the others */
    }
    return true;
}

int shs_serve_all(struct shs_server *const *servers, size_t count, shs_served_fn *ended, void *ctx)
{
    struct several self = {.count = count, .left = count, .ended = ended, .ctx = ctx};

    if (!may_serve_beside_others(servers, count))
        return SHS_USAGE;
    self.of = shs__calloc(count + 1, sizeof *self.of);
    if (self.of == NULL)
        return SHS_NOMEM;
    start_all(&self, servers);
    self.fds = shs__calloc(most_fds(&self), sizeof *self.fds);
    if (self.fds == NULL)
        stop_all(&self, SHS_NOMEM);
    while (self.left > 0)
        turn_for_all(&self);
    shs__free(self.fds);
    shs__free(self.of);
    return self.rc;
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
            rc = shs__server_take(self, NULL);
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
