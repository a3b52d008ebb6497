/*
 * thread_pool_worker.c - what a worker does: events are fetched, connections go on.
 */
#include <errno.h>
#include <limits.h>
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

bool shs__pool_hand_over(struct shs_pool_worker *worker)
{
    struct shs_pool_group *group = worker->group;
    bool any = false;
    uint64_t data;
    uint32_t events;

    while (batch_take(&worker->batch, &data, &events)) {
        struct shs_pool_slot *slot = NULL;

        struct shs_pool_door *door = shs__pool_door_of(group, data);

        if (door != NULL)
            shs__pool_knock_again(door);
        else if (data != SHS_POOL_KICK)
            slot = shs__pool_claim(group, data, events);
        if (slot != NULL)
            shs__pool_ready_push(group, slot);
        any = any || slot != NULL;
    }
    return any;
}

/* -- one connection --------------------------------------------------------------------------- */

static void end_owned(struct shs_pool_slot *slot)
{
    struct shs_conn *conn = slot->conn;

    conn->activity = NULL;
    slot->worker = NULL;
    (void)shs_conn_fail(conn, SHS_STOPPED, 0, "%s", shs_err_text(SHS_STOPPED));
    shs_server_end_request(conn->server, conn, SHS_STOPPED);
}

/*
 * Each worker that was at one of them calls it, after the last one that it may have parked, and
 * server_close for what there is when it gives up: so none is left, and the server can be freed.
 */
void shs__pool_end_parked(struct shs_pool_line *line)
{
    struct shs_pool_group *group = line->group;
    struct shs_pool_slot *slot;

    while ((slot = shs__pool_line_pop(line, INT64_MAX)) != NULL)
        end_owned(slot);
    for (uint32_t i = 0; (slot = shs__pool_slot_at(group, i)) != NULL; i++) {
        if (shs__pool_line_of(group, slot) != line || !shs__pool_claim_parked(slot))
            continue;
        if (shs__pool_line_of(group, slot) == line) {
            end_owned(slot);
        } else if (!shs__pool_release(slot)) { /* another's meanwhile, and its peer has sent */
            shs__pool_ready_push(group, slot);
            shs__pool_kick(group);
        }
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
    /* Edge-triggered: what is there already is not told again unless the kernel is asked again. It
       may have been told to a writer, who had no use for it. And of room it tells after a write
       that found none: a handler may ask for room that there is. */
    if (!shs_conn_is_datagram(conn) &&
        ((what == SHS_WAIT_WRITE && (!slot->out || !conn->socket.filled)) ||
         (what == SHS_WAIT_READ && !shs_conn_is_drained(conn)))) {
        struct epoll_event event = {.events = SHS_POOL_EVENTS};

        slot->out = slot->out || what == SHS_WAIT_WRITE;
        if (slot->out)
            event.events |= EPOLLOUT;
        event.data.u64 = shs__pool_slot_ticket(slot);
        if (epoll_ctl(group->epoll_fd, EPOLL_CTL_MOD, conn->socket.fd, &event) != 0)
            return shs_conn_fail(conn, SHS_IO, errno, "epoll refuses the connection");
    }
    if (shs__pool_release(slot))
        return SHS_OK;
    shs_conn_told_ready(conn, false, 0);
    return SHS_WAIT_READ;
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

    if (worker == NULL || !batch_is_empty(&worker->batch) ||
        atomic_load_explicit(&worker->group->ready_count, memory_order_relaxed) > 0)
        return false;
    sched_yield();
    return poll(&peer, 1, 0) == 1 && peer.revents == POLLOUT;
}

/* A datagram's descriptor is everybody's, so epoll tells nobody of room there: it is waited for
   here. SHS_WAIT_READ: go on with it. */
static int wait_for_room(struct shs_pool_group *group, struct shs_pool_slot *slot)
{
    struct shs_conn *conn = slot->conn;
    int rc = shs_server_wait_request(conn->server, conn, SHS_WAIT_WRITE);

    if (rc == SHS_TIMEOUT) /* parked, its time is up */
        return park(group, slot, SHS_WAIT_WRITE);
    return rc == SHS_OK ? SHS_WAIT_READ : shs_conn_fail(conn, rc, 0, "%s", shs_err_text(rc));
}

/* The connection waits for its peer. SHS_OK: parked; SHS_WAIT_READ: go on with it; < 0: end it.
   `yields`: the worker, if it may let others have its core first; or NULL. */
static int wait_parked(struct shs_pool_group *group, struct shs_pool_worker *yields,
                       struct shs_pool_slot *slot, int what)
{
    struct shs_conn *conn = slot->conn;

    if (atomic_load_explicit(&shs__pool_line_of(group, slot)->abandoned, memory_order_relaxed))
        return shs_conn_fail(conn, SHS_STOPPED, 0, "%s", shs_err_text(SHS_STOPPED));
    if (what == SHS_WAIT_WRITE && shs_conn_is_datagram(conn))
        return wait_for_room(group, slot);
    if (what != SHS_YIELD)
        return what == SHS_WAIT_WRITE && has_room_after_others(yields, conn)
                   ? SHS_WAIT_READ
                   : park(group, slot, what);
    slot->worker = NULL;
    shs__pool_ready_push(group, slot);
    return SHS_OK;
}

void shs__pool_run(struct shs_pool_group *group, struct shs_pool_worker *worker,
                   struct shs_pool_slot *slot)
{
    struct shs_conn *conn = slot->conn;
    struct shs_server *server = conn->server;
    uint64_t gone = UINT64_MAX; /* of its bytes, when it last waited */
    bool expired = slot->expired;
    int rc;

    slot->expired = false;
    if (slot->door != NULL)
        shs__pool_load_leave(slot);
    slot->worker = worker;
    shs_conn_told_ready(conn, false, worker == NULL ? 0 : worker->told_ns);
    shs_conn_set_overloaded(conn, worker == NULL || conn->late);
    conn->hurried = atomic_load_explicit(&group->pressed, memory_order_relaxed) > 0;
    conn->activity = worker == NULL ? NULL : &worker->activity;
    do {
        shs_conn_set_turn(conn, server->opt.max_requests_per_turn);
        rc = expired ? SHS_OK : shs_conn_look(conn);
        if (rc == SHS_OK)
            rc = shs_conn_advance(conn, expired);
        if (rc != SHS_WAIT_READ && rc != SHS_WAIT_WRITE && rc != SHS_YIELD)
            break;
        slot->worker = NULL;
        rc = wait_parked(group, conn->socket.bytes_out != gone ? worker : NULL, slot, rc);
        if (rc == SHS_OK)
            return; /* somebody else may have it already */
        slot->worker = worker;
        gone = conn->socket.bytes_out;
        expired = false;
    } while (rc == SHS_WAIT_READ);
    shs_server_end_request(server, conn, rc);
}

void shs__pool_refuse(struct shs_pool_group *group, struct shs_pool_slot *slot)
{
    struct shs_pool_line *line = shs__pool_line_of(group, slot);
    struct shs_server *server = slot->conn->server;

    shs__pool_guest_come(line, server);
    shs_conn_set_overloaded(slot->conn, true);
    shs__pool_run(group, NULL, slot);
    shs__pool_guest_go(line, server);
}

/* -- a worker --------------------------------------------------------------------------------- */

/* One that is owned, and counted in its line. */
static void work(struct shs_pool_worker *worker, struct shs_pool_slot *slot)
{
    struct shs_pool_group *group = worker->group;
    struct shs_pool_line *line = shs__pool_line_of(group, slot);
    struct shs_server *server = slot->conn->server;

    shs__pool_come(worker, line, slot);
    /* In this order, and the monitor the other way round: one of us sees the other. */
    atomic_fetch_add(&worker->busy, 1);
    if (atomic_load(&group->crew->monitor_rests))
        shs__pool_monitor_call(group->crew);
    shs__pool_run(group, worker, slot);
    atomic_fetch_add(&worker->busy, 1);
    if (atomic_load(&worker->away) != 0)
        (void)shs__pool_set_away(worker, 0, 0);
    shs__pool_go(worker, line, server);
    if (atomic_load_explicit(&group->pressed, memory_order_relaxed) > 0)
        shs__pool_load_visit(group);
}

/* The peer of this one has something to say. It waits in line where enough workers are at others
   of its server; where all of these wait, and too many are in line, it is told so. */
static void work_told(struct shs_pool_worker *worker, struct shs_pool_slot *slot)
{
    struct shs_pool_group *group = worker->group;
    struct shs_pool_line *line = shs__pool_line_of(group, slot);

    worker->counted = atomic_load_explicit(&line->bound, memory_order_relaxed) != UINT_MAX;
    if (!worker->counted || shs__pool_line_enter(line))
        work(worker, slot);
    else if (atomic_load(&line->saturated) &&
             atomic_load(&line->count) >= atomic_load(&line->max_queue))
        shs__pool_refuse(group, slot);
    else
        shs__pool_ready_push(group, slot);
}

/*
 * An event of the group itself: somebody wants to be accepted, or waits in the queue, or it all
 * ends.
 */
static bool is_group_event(struct shs_pool_group *group, uint64_t data)
{
    struct shs_pool_door *door;

    if (data < SHS_POOL_DOORS)
        return false;
    door = shs__pool_door_of(group, data);
    if (door != NULL) {
        shs__pool_knock(door);
        return true;
    }
    /* Each wakes one: passed on, as long as there is something to be done. */
    if (atomic_load(&group->ready_count) > 1 || shs__pool_is_over(group) ||
        atomic_load(&group->dismiss) > 0)
        shs__pool_kick(group);
    return true;
}

/*
 * A worker that has found a full batch for this long lets others have its core: who waits for the
 * answers may wait for the core as well, and would until the kernel's next tick. More often costs
 * more than it brings (64 connections on two cores: p99 halved, 3 % more time for a request).
 */
#define YIELD_NS (SHS_NS_PER_MS / 5)

/* A turn is not expected to take longer than this, and so much for each event. */
#define LONG_NS 60000
#define SHORT_NS 30000
/* After one that does, so many handlers are measured; and then none for so long, for where others
   use the cores each turn is long. */
#define SUSPECTS 8u
#define SUSPECT_NS (25 * SHS_NS_PER_MS)

/* Events that have been fetched, while nobody else takes them. */
static void work_events(struct shs_pool_worker *worker, int64_t told_ns)
{
    struct shs_pool_group *group = worker->group;
    uint64_t data;
    uint32_t what;

    while (batch_take(&worker->batch, &data, &what)) {
        struct shs_pool_slot *slot;

        if (is_group_event(group, data))
            continue;
        slot = shs__pool_claim(group, data, what);
        worker->told_ns = (what & EPOLLIN) != 0 ? told_ns : 0;
        if (slot != NULL)
            work_told(worker, slot);
    }
    worker->told_ns = 0;
}

static void work_ready(struct shs_pool_worker *worker, unsigned ready)
{
    for (unsigned i = 0; i < ready && i < SHS_POOL_BATCH; i++) {
        struct shs_pool_slot *slot = shs__pool_ready_pop(worker->group, worker);

        if (slot == NULL)
            return;
        work(worker, slot);
    }
}

/* It took long for what there was: perhaps because a handler waits, and nobody knows. */
static void suspect(struct shs_pool_worker *worker, int64_t took_ns, unsigned count)
{
    if (took_ns <= LONG_NS + (int64_t)count * SHORT_NS || worker->waited ||
        worker->through_ns < worker->suspect_ns)
        return;
    worker->suspects = SUSPECTS;
    worker->suspect_ns = worker->through_ns + SUSPECT_NS;
}

/*
 * Before a worker whose handlers wait goes to sleep, it yields its core once and looks for events.
 * The client that sends the next request may run meanwhile, and need not wake a sleeping worker,
 * which costs both of them (64 clients, handlers that wait for 0.5 ms: a fifth less CPU for a
 * request). Not while the yield takes long: then other programs use the cores, and keep them.
 */
#define CROWDED_NS (3 * SHS_NS_PER_MS)
#define CROWDED_FOR_NS (50 * SHS_NS_PER_MS)

static int look_after_others(struct shs_pool_worker *worker, struct epoll_event *event)
{
    struct shs_pool_group *group = worker->group;
    int64_t through = worker->through_ns, now;
    int count;

    if (through == 0 || through < atomic_load_explicit(&group->crowded_ns, memory_order_relaxed))
        return 0;
    sched_yield();
    count = epoll_wait(group->epoll_fd, event, 1, 0);
    now = shs_now_ns();
    if (now - through > CROWDED_NS)
        atomic_store_explicit(&group->crowded_ns, now + CROWDED_FOR_NS, memory_order_relaxed);
    return count;
}

static void work_turn(struct shs_pool_worker *worker)
{
    struct shs_pool_group *group = worker->group;
    struct epoll_event events[SHS_POOL_BATCH];
    unsigned ready = atomic_load(&group->ready_count);
    int most = shs__pool_batch_size(worker);
    int count = ready == 0 && most == 1 ? look_after_others(worker, events) : 0;
    int64_t told_ns;

    if (count <= 0)
        count = epoll_wait(group->epoll_fd, events, most, ready > 0 ? 0 : -1);
    told_ns = count > 0 || ready > 0 ? shs_now_ns() : 0;
    worker->through_ns = 0;
    worker->waited = false;
    if (count > 0) {
        batch_fill(&worker->batch, events, count);
        work_events(worker, told_ns);
    }
    ready = atomic_load(&group->ready_count);
    if (ready > 0)
        work_ready(worker, ready);
    if (told_ns != 0) {
        worker->through_ns = shs_now_ns();
        suspect(worker, worker->through_ns - told_ns, (unsigned)(count > 0 ? count : 0) + ready);
    }
    if (count < (int)SHS_POOL_BATCH) {
        worker->busy_since_ns = told_ns;
    } else if (told_ns - worker->busy_since_ns >= YIELD_NS) {
        sched_yield();
        worker->busy_since_ns = shs_now_ns();
    }
}

void *shs__pool_worker_main(void *arg)
{
    struct shs_pool_worker *worker = arg;

    atomic_store(&worker->activity.tid, (int)gettid());
    shs__thread_begin("shs-worker");
    while (shs__pool_stays(worker))
        work_turn(worker);
    shs__pool_leave(worker);
    return NULL;
}
