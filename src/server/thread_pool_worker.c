/*
 * thread_pool_worker.c - a worker's life, and how many of them are awake.
 *
 * `runnable` counts those who are awake and not away; there should be as many as cores. A worker
 * goes away when its handler waits for the peer, or when the monitor sees that it does not come
 * on. Then a sleeping one is woken, or a new one started. When it comes back there is one too
 * many: whoever notices first goes to sleep, and leaves after a while.
 */
#include <errno.h>
#include <poll.h>
#include <sched.h>
#include <stdio.h>
#include <sys/epoll.h>
#include <unistd.h>

#include "server/thread_pool.h"

/* -- the batch: taken by its owner, and by whoever steals it, one at a time ------------------- */

#define CURSOR_NEXT(c) ((unsigned)((c) >> 8 & 0xff))
#define CURSOR_COUNT(c) ((unsigned)((c)&0xff))

static void batch_fill(struct shs_pool_batch *batch, const struct epoll_event *events, int count)
{
    uint64_t turn = atomic_load_explicit(&batch->cursor, memory_order_relaxed) >> 16;

    for (int i = 0; i < count; i++) {
        atomic_store_explicit(&batch->data[i], events[i].data.u64, memory_order_relaxed);
        atomic_store_explicit(&batch->events[i], events[i].events, memory_order_relaxed);
    }
    atomic_store_explicit(&batch->cursor, (turn + 1) << 16 | (uint64_t)count, memory_order_release);
}

static bool batch_take(struct shs_pool_batch *batch, uint64_t *data, uint32_t *events)
{
    uint64_t cursor = atomic_load_explicit(&batch->cursor, memory_order_acquire);

    do {
        if (CURSOR_NEXT(cursor) >= CURSOR_COUNT(cursor))
            return false;
        *data = atomic_load_explicit(&batch->data[CURSOR_NEXT(cursor)], memory_order_relaxed);
        *events = atomic_load_explicit(&batch->events[CURSOR_NEXT(cursor)], memory_order_relaxed);
        /* Another turn has another number: what was read of it is not taken. */
    } while (!atomic_compare_exchange_weak_explicit(&batch->cursor, &cursor, cursor + (1u << 8),
                                                    memory_order_acq_rel, memory_order_acquire));
    return true;
}

static bool batch_is_empty(const struct shs_pool_batch *batch)
{
    uint64_t cursor = atomic_load_explicit(&batch->cursor, memory_order_relaxed);

    return CURSOR_NEXT(cursor) >= CURSOR_COUNT(cursor);
}

/* Gives what a worker has fetched and not begun to the others. */
static void batch_hand_over(struct shs_pool_worker *worker)
{
    struct shs_pool_group *group = worker->group;
    uint64_t data;
    uint32_t events;

    while (batch_take(&worker->batch, &data, &events)) {
        struct shs_pool_slot *slot = NULL;

        if (data == SHS_POOL_LISTENER)
            shs__pool_knock_again(group);
        else if (data != SHS_POOL_KICK)
            slot = shs__pool_claim(group, data, events);
        if (slot != NULL)
            shs__pool_ready_push(group, slot);
    }
}

/* -- one connection --------------------------------------------------------------------------- */

static void end(struct shs_thread_pool *pool, struct shs_pool_group *group, struct shs_conn *conn,
                int rc)
{
    struct shs_server *server = pool->layer.server;

    SHS_UNUSED(group);
    if (rc < 0 && rc != SHS_EXIT)
        shs_server_handle_error(server, conn, shs_conn_error(conn));
    shs_server_shutdown_request(server, conn);
}

static void end_owned(struct shs_pool_group *group, struct shs_pool_slot *slot)
{
    struct shs_conn *conn = slot->conn;

    conn->activity = NULL;
    slot->worker = NULL;
    (void)shs_conn_fail(conn, SHS_STOPPED, 0, "%s", shs_err_text(SHS_STOPPED));
    end(group->pool, group, conn, SHS_STOPPED);
}

/*
 * Each worker calls it on its way out, after the last connection that it may have parked, and
 * server_close for what there is when it gives up: so none is left, and the server can be freed.
 */
void shs__pool_end_parked(struct shs_pool_group *group)
{
    struct shs_pool_slot *slot;

    while ((slot = shs__pool_ready_pop(group, INT64_MAX)) != NULL)
        end_owned(group, slot);
    for (uint32_t i = 0; (slot = shs__pool_slot_at(group, i)) != NULL; i++) {
        if (shs__pool_claim_parked(slot))
            end_owned(group, slot);
    }
}

/* What epoll has to tell about it is told, from now on. False: run it again. */
static int park(struct shs_pool_group *group, struct shs_pool_slot *slot, int what)
{
    struct shs_conn *conn = slot->conn;
    int64_t deadline = conn->deadline_ns;

    atomic_store(&slot->deadline_ns, deadline);
    if (deadline < atomic_load(&slot->timer_ns) && shs__pool_timer_set(group, slot) != SHS_OK)
        return SHS_NOMEM;
    /* Edge-triggered: what is there already is not told again unless the kernel is asked anew. The
       peer's end may have been told to a writer, who had no use for it. */
    if (!conn->borrowed &&
        ((what == SHS_WAIT_WRITE && !slot->out) ||
         (what == SHS_WAIT_READ && (!conn->socket.drained || conn->socket.hung_up)))) {
        struct epoll_event event = {.events = EPOLLIN | EPOLLRDHUP | EPOLLET};

        slot->out = slot->out || what == SHS_WAIT_WRITE;
        if (slot->out)
            event.events |= EPOLLOUT;
        event.data.u64 = shs__pool_slot_ticket(slot);
        if (epoll_ctl(group->epoll_fd, EPOLL_CTL_MOD, conn->socket.fd, &event) != 0)
            return shs_conn_fail(conn, SHS_IO, errno, "epoll refuses the connection");
    }
    return shs__pool_release(slot) ? SHS_OK : SHS_WAIT_READ;
}

/*
 * A worker with nothing else to do lets others have its core before it parks who has filled its
 * socket: when the reader is one of them, there is room again, and the connection stays on the core
 * that has its data (100 MiB to two readers: a sixth less time). Not again before something
 * has gone: a kernel that is short of memory says that there is room, and takes nothing.
 */
static bool has_room_after_others(struct shs_pool_worker *worker, const struct shs_conn *conn)
{
    struct pollfd peer = {.fd = conn->socket.fd, .events = POLLOUT};

    if (worker == NULL || conn->borrowed || !batch_is_empty(&worker->batch) ||
        atomic_load_explicit(&worker->group->ready_count, memory_order_relaxed) > 0)
        return false;
    sched_yield();
    return poll(&peer, 1, 0) == 1 && peer.revents == POLLOUT;
}

/* The connection waits for its peer. SHS_OK: parked; SHS_WAIT_READ: go on with it; < 0: end it.
   `yields`: the worker, if it may let others have its core first; or NULL. */
static int wait_parked(struct shs_thread_pool *pool, struct shs_pool_group *group,
                       struct shs_pool_worker *yields, struct shs_pool_slot *slot, int what,
                       int64_t expired_ns)
{
    struct shs_conn *conn = slot->conn;

    /* It was told that its time is up, and goes on waiting for the same moment. */
    if (expired_ns != INT64_MIN && expired_ns == conn->deadline_ns)
        return shs_conn_fail(conn, SHS_TIMEOUT, 0, "the deadline passed");
    if (atomic_load_explicit(&pool->abandoned, memory_order_relaxed))
        return shs_conn_fail(conn, SHS_STOPPED, 0, "%s", shs_err_text(SHS_STOPPED));
    if (!conn->yielded)
        return what == SHS_WAIT_WRITE && has_room_after_others(yields, conn)
                   ? SHS_WAIT_READ
                   : park(group, slot, what);
    conn->yielded = false;
    slot->worker = NULL;
    shs__pool_ready_push(group, slot);
    return SHS_OK;
}

void shs__pool_run(struct shs_thread_pool *pool, struct shs_pool_group *group,
                   struct shs_pool_worker *worker, struct shs_pool_slot *slot)
{
    struct shs_server *server = pool->layer.server;
    struct shs_conn *conn = slot->conn;
    int64_t expired_ns = slot->expired ? conn->deadline_ns : INT64_MIN;
    uint64_t gone = UINT64_MAX; /* of its bytes, when it last waited */
    int rc;

    slot->expired = false;
    slot->worker = worker;
    conn->socket.told_ns = worker == NULL ? 0 : worker->told_ns;
    conn->overloaded = worker == NULL;
    conn->activity = worker == NULL ? NULL : &worker->activity;
    do {
        conn->turn = server->opt.max_requests_per_turn;
        rc = shs_server_finish_request(server, conn);
        if (rc != SHS_WAIT_READ && rc != SHS_WAIT_WRITE)
            break;
        slot->worker = NULL;
        rc = wait_parked(pool, group, conn->socket.bytes_out != gone ? worker : NULL, slot, rc,
                         expired_ns);
        if (rc == SHS_OK)
            return; /* somebody else may have it already */
        slot->worker = worker;
        gone = conn->socket.bytes_out;
        expired_ns = INT64_MIN;
    } while (rc == SHS_WAIT_READ);
    end(pool, group, conn, rc);
}

/* -- awake, away, asleep ---------------------------------------------------------------------- */

void shs__pool_kick(struct shs_pool_group *group)
{
    uint64_t one = 1;
    ssize_t n = write(group->kick_fd, &one, sizeof one);

    SHS_UNUSED(n); /* a full counter was an event as well */
}

static void *worker_main(void *arg);

/* With the lock: a new worker, counted as runnable. */
static bool start_worker(struct shs_pool_group *group)
{
    struct shs_pool_worker *worker = shs__calloc(1, sizeof *worker);
    struct shs_server *server = group->pool->layer.server;

    if (worker == NULL)
        return false;
    worker->group = group;
    shs__server_ref(server);
    if (pthread_create(&worker->thread, &group->pool->attr, worker_main, worker) != 0) {
        shs__server_unref(server);
        shs__free(worker);
        return false;
    }
    worker->next = group->workers;
    if (group->workers != NULL)
        group->workers->prev = worker;
    group->workers = worker;
    group->threads++;
    atomic_fetch_add(&group->runnable, 1);
    shs_server_count_threads(server, 1);
    return true;
}

void shs__pool_replace(struct shs_pool_group *group)
{
    while (atomic_load(&group->runnable) < shs__pool_wanted(group)) {
        if (group->sleeping > group->tokens) {
            group->tokens++;
            atomic_fetch_add(&group->runnable, 1);
            pthread_cond_signal(&group->spare);
        } else if (group->threads >= group->max || !start_worker(group)) {
            return;
        }
    }
}

void shs__pool_went_away(struct shs_pool_worker *worker)
{
    struct shs_pool_group *group = worker->group;

    if (atomic_exchange(&worker->away, true))
        return;
    atomic_fetch_sub(&group->runnable, 1);
    batch_hand_over(worker);
    shs__pool_replace(group);
    if (atomic_load(&group->ready_count) > 0)
        shs__pool_kick(group);
}

void shs__pool_came_back(struct shs_pool_worker *worker)
{
    if (atomic_exchange(&worker->away, false))
        atomic_fetch_add(&worker->group->runnable, 1);
}

/* Nothing is left to do, ever. */
static bool is_over(const struct shs_thread_pool *pool)
{
    return atomic_load(&pool->closing) &&
           (atomic_load(&pool->abandoned) || atomic_load(&pool->layer.server->open_count) == 0);
}

/* With the lock: one too many is awake; sleeps until it is needed. False: it is not needed any
   more. */
static bool sleep_spare(struct shs_pool_group *group)
{
    struct shs_thread_pool *pool = group->pool;
    unsigned spare_ms = pool->layer.server->opt.spare_ms;
    int64_t until = shs__deadline_after(shs_now_ns(), spare_ms);
    struct timespec ts = {.tv_sec = until / SHS_NS_PER_S, .tv_nsec = until % SHS_NS_PER_S};
    int rc = 0;

    atomic_fetch_sub(&group->runnable, 1);
    group->sleeping++;
    while (group->tokens == 0 && rc == 0 && !is_over(pool))
        rc = pthread_cond_timedwait(&group->spare, &group->lock, &ts);
    group->sleeping--;
    if (group->tokens > 0) {
        group->tokens--; /* who gave it has counted us */
        return true;
    }
    return false;
}

/* True: go on; the worker may have slept. False: it leaves, and is not counted any more. */
static bool stays(struct shs_pool_worker *worker)
{
    struct shs_pool_group *group = worker->group;
    bool awake = true, over;

    if (atomic_load_explicit(&group->runnable, memory_order_relaxed) <= shs__pool_wanted(group) &&
        !atomic_load_explicit(&group->pool->closing, memory_order_relaxed))
        return true;
    /* Others may have to do what this one would have seen. */
    if (atomic_load(&group->ready_count) > 0)
        shs__pool_kick(group);
    pthread_mutex_lock(&group->lock);
    over = is_over(group->pool);
    while (!over && awake && atomic_load(&group->runnable) > shs__pool_wanted(group)) {
        awake = sleep_spare(group);
        over = is_over(group->pool);
    }
    if (over && awake)
        atomic_fetch_sub(&group->runnable, 1);
    pthread_mutex_unlock(&group->lock);
    return awake && !over;
}

/* -- a worker --------------------------------------------------------------------------------- */

static void work(struct shs_pool_worker *worker, struct shs_pool_slot *slot)
{
    struct shs_thread_pool *pool = worker->group->pool;

    /* In this order, and the monitor the other way round: one of us sees the other. */
    atomic_fetch_add(&worker->busy, 1);
    if (atomic_load(&pool->monitor_rests))
        shs__pool_monitor_call(pool);
    shs__pool_run(pool, worker->group, worker, slot);
    atomic_fetch_add(&worker->busy, 1);
    if (!atomic_load(&worker->away))
        return;
    pthread_mutex_lock(&worker->group->lock);
    shs__pool_came_back(worker);
    pthread_mutex_unlock(&worker->group->lock);
}

/*
 * An event of the group itself: somebody wants to be accepted, or waits in the queue, or it all
 * ends.
 */
static bool is_group_event(struct shs_pool_group *group, uint64_t data)
{
    if (data == SHS_POOL_LISTENER) {
        shs__pool_knock(group);
        return true;
    }
    if (data != SHS_POOL_KICK)
        return false;
    /* Each wakes one: passed on, as long as there is something to be done. */
    if (atomic_load(&group->ready_count) > 1 || is_over(group->pool) ||
        atomic_load(&group->runnable) > shs__pool_wanted(group))
        shs__pool_kick(group);
    return true;
}

/*
 * A worker that has found a full batch for this long lets others have its core: who waits for the
 * answers may wait for the core as well, and would until the kernel's next tick. More often costs
 * more than it brings (64 connections on two cores: p99 halved, 3 % more time for a request).
 */
#define YIELD_NS (SHS_NS_PER_MS / 5)

static void work_turn(struct shs_pool_worker *worker)
{
    struct shs_pool_group *group = worker->group;
    struct epoll_event events[SHS_POOL_BATCH];
    unsigned ready = atomic_load(&group->ready_count);
    /* Where handlers block again and again, nothing is taken that would wait behind one. */
    int most = atomic_load_explicit(&group->extra, memory_order_relaxed) > 0 ? 1 : SHS_POOL_BATCH;
    int count = epoll_wait(group->epoll_fd, events, most, ready > 0 ? 0 : -1);
    int64_t told_ns = count > 0 ? shs_now_ns() : 0;
    uint64_t data;
    uint32_t what;

    if (count > 0)
        batch_fill(&worker->batch, events, count);
    while (batch_take(&worker->batch, &data, &what)) {
        struct shs_pool_slot *slot;

        if (is_group_event(group, data))
            continue;
        slot = shs__pool_claim(group, data, what);
        worker->told_ns = (what & EPOLLIN) != 0 ? told_ns : 0;
        if (slot != NULL)
            work(worker, slot);
    }
    worker->told_ns = 0;
    ready = atomic_load(&group->ready_count);
    for (unsigned i = 0; i < ready && i < SHS_POOL_BATCH; i++) {
        struct shs_pool_slot *slot = shs__pool_ready_pop(group, INT64_MAX);

        if (slot == NULL)
            break;
        work(worker, slot);
    }
    if (count < (int)SHS_POOL_BATCH) {
        worker->busy_since_ns = told_ns;
    } else if (told_ns - worker->busy_since_ns >= YIELD_NS) {
        sched_yield();
        worker->busy_since_ns = shs_now_ns();
    }
}

static void unlink_worker(struct shs_pool_group *group, struct shs_pool_worker *worker)
{
    if (worker->prev != NULL)
        worker->prev->next = worker->next;
    else
        group->workers = worker->next;
    if (worker->next != NULL)
        worker->next->prev = worker->prev;
}

/* The last that a worker does. Somebody joins it, or it frees the server if it is the last of
   all. */
static void leave(struct shs_pool_worker *worker)
{
    struct shs_pool_group *group = worker->group;
    struct shs_server *server = group->pool->layer.server;
    bool abandoned;

    if (atomic_load(&group->pool->abandoned)) {
        batch_hand_over(worker);
        shs__pool_end_parked(group);
    }
    shs_server_count_threads(server, -1);
    shs__pool_kick(group); /* the next one, if it all ends */
    pthread_mutex_lock(&group->lock);
    unlink_worker(group, worker);
    group->threads--;
    abandoned = atomic_load(&group->pool->abandoned);
    if (!abandoned) {
        worker->next = group->dead;
        group->dead = worker;
    }
    pthread_cond_broadcast(&group->spare);
    pthread_cond_broadcast(&group->gone);
    pthread_mutex_unlock(&group->lock);
    if (!abandoned)
        return;
    pthread_detach(pthread_self());
    shs__free(worker);
    shs__server_unref(server);
}

static void *worker_main(void *arg)
{
    struct shs_pool_worker *worker = arg;

    atomic_store(&worker->tid, (int)gettid());
    shs__thread_begin("shs-worker");
    while (stays(worker))
        work_turn(worker);
    leave(worker);
    return NULL;
}

void shs__pool_reap(struct shs_pool_group *group)
{
    struct shs_pool_worker *dead;

    pthread_mutex_lock(&group->lock);
    dead = group->dead;
    group->dead = NULL;
    pthread_mutex_unlock(&group->lock);
    while (dead != NULL) {
        struct shs_pool_worker *next = dead->next;

        pthread_join(dead->thread, NULL);
        shs__free(dead);
        shs__server_unref(group->pool->layer.server);
        dead = next;
    }
}
