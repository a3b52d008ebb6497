/*
 * thread_pool_mixin.c - ThreadPoolMixIn: connections that wait hold no thread.
 *
 * Read thread_pool.h first. Overrides process_request (the connection is parked) and wait_request
 * (a handler that waits gives its place to another worker); extends close_request and
 * server_close.
 */
#include <errno.h>
#include <limits.h>
#include <signal.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "server/thread_pool.h"

#define POOL(l) SHS_CONTAINER_OF(l, struct shs_thread_pool, scheduler.layer)

/* Where a connection is; slot NULL: it was refused before it had one. */
struct place {
    struct shs_pool_group *group;
    struct shs_pool_slot *slot;
};

static struct place place_of(const struct shs_layer *layer, const struct shs_conn *conn)
{
    struct shs_thread_pool *pool = POOL((struct shs_layer *)(uintptr_t)layer);
    struct shs_pool_slot *slot = shs_conn_get(conn, layer);
    struct place place = {NULL, slot};

    if (slot != NULL)
        place.group = &pool->crew->groups[slot->group];
    return place;
}

/* -- the slots of the chain ------------------------------------------------------------------- */

/* The monitor: whichever member comes first. */
static bool start(struct shs_pool_crew *crew)
{
    bool started;

    pthread_mutex_lock(&crew->lock);
    if (!crew->started)
        crew->started = shs__pool_monitor_start(crew) == SHS_OK;
    started = crew->started;
    pthread_mutex_unlock(&crew->lock);
    return started;
}

/* As many workers as should run. Without any, nobody would come for the connection. */
static bool has_worker(struct shs_pool_group *group)
{
    bool any;

    if (atomic_load_explicit(&group->active, memory_order_relaxed) > 0)
        return true;
    pthread_mutex_lock(&group->lock);
    shs__pool_replace(group);
    any = group->threads > 0;
    pthread_mutex_unlock(&group->lock);
    return any;
}

/* Before the first byte: the time that the handshake, or else the head, will count from accept
   on. */
static int64_t first_deadline(const struct shs_conn *conn)
{
    const struct shs_options *opt = &conn->server->opt;
    unsigned ms = opt->handshake_ms < opt->head_ms ? opt->handshake_ms : opt->head_ms;

    return shs__deadline_after(conn->accepted_ns, ms);
}

/* Registers a new connection; from here on the workers have it. */
static int admit(struct shs_pool_group *group, struct shs_pool_slot *slot, struct shs_conn *conn)
{
    struct epoll_event event = {.events = SHS_POOL_EVENTS};

    if (conn->deadline_ns == INT64_MAX)
        conn->deadline_ns = first_deadline(conn);
    atomic_store(&slot->deadline_ns, conn->deadline_ns);
    if (shs__pool_timer_set(group, slot) != SHS_OK)
        return shs_conn_fail(conn, SHS_NOMEM, 0, "out of memory for a connection's deadline");
    if (conn->borrowed) { /* a datagram: it is there, and its descriptor is everybody's */
        shs__pool_ready_push(group, slot);
        shs__pool_kick(group);
        return SHS_OK;
    }
    event.data.u64 = shs__pool_slot_ticket(slot);
    if (epoll_ctl(group->epoll_fd, EPOLL_CTL_ADD, conn->socket.fd, &event) != 0)
        return shs_conn_fail(conn, SHS_LIMIT, errno,
                             "epoll takes no more connections: raise fs.epoll.max_user_watches");
    if (conn->late) { /* it is here, and is told no at once: that waits for nobody */
        shs__pool_run(group, NULL, slot);
        return SHS_OK;
    }
    /* Its first bytes are there already; or its handler may be the one who speaks first. */
    if (!conn->server->client_first || !shs__pool_release(slot)) {
        shs__pool_ready_push(group, slot);
        shs__pool_kick(group);
    }
    return SHS_OK;
}

bool shs__pool_ready(struct shs_pool_group *group)
{
    /* Once there are workers, there is a monitor. */
    return (atomic_load_explicit(&group->active, memory_order_relaxed) > 0 || start(group->crew)) &&
           has_worker(group);
}

/* One more of its address's connections, which has a bound. */
static int count_address(struct shs_thread_pool *pool, struct shs_pool_slot *slot,
                         struct shs_conn *conn)
{
    unsigned max = shs__pool_address_bound(conn);
    int rc = max == UINT_MAX ? SHS_OK : shs__pool_addresses_add(pool->addresses, conn, max);

    if (rc == SHS_LIMIT)
        atomic_fetch_add_explicit(&conn->server->stats.refused_addresses, 1, memory_order_relaxed);
    if (rc != SHS_OK)
        return shs_conn_fail(conn, rc, 0, "this address has %u connections open already", max);
    slot->counted = max != UINT_MAX;
    return SHS_OK;
}

static int pool_client_known(struct shs_scheduler *scheduler, struct shs_conn *conn)
{
    struct shs_thread_pool *pool = POOL(&scheduler->layer);
    struct shs_pool_slot *slot = shs_conn_get(conn, &scheduler->layer);

    if (pool->addresses == NULL || slot == NULL || slot->counted)
        return SHS_OK;
    return count_address(pool, slot, conn);
}

static int add_to(struct shs_thread_pool *pool, struct shs_pool_group *group,
                  struct shs_pool_door *door, struct shs_conn *conn)
{
    struct shs_layer *layer = &pool->scheduler.layer;
    struct shs_pool_slot *slot;

    if (!shs__pool_ready(group))
        return shs_conn_fail(conn, SHS_LIMIT, EAGAIN,
                             "no thread for the pool: the system's limit on threads or memory is "
                             "reached");
    slot = shs__pool_slot_new(&group->lines[pool->number], conn);
    if (slot == NULL)
        return shs_conn_fail(conn, SHS_NOMEM, 0, "out of memory for another connection");
    shs_conn_set(conn, layer, slot);
    if (pool->addresses != NULL && !conn->fronted) {
        int rc = count_address(pool, slot, conn);

        if (rc != SHS_OK)
            return rc;
    }
    if (door != NULL && !conn->late)
        shs__pool_load_enter(door, slot);
    return admit(group, slot, conn);
}

/* The group that listens where it came from has it, else they take turns. */
static int pool_add(struct shs_scheduler *scheduler, struct shs_conn *conn)
{
    struct shs_thread_pool *pool = POOL(&scheduler->layer);
    struct shs_pool_door *door = conn->listener == NULL ? NULL : conn->listener->owner;
    unsigned turn;

    if (door != NULL) /* we are in the middle of its batch */
        conn->late = shs__pool_load_refuses(door, conn);
    if (conn->late) {
        shs__server_refused_late(conn->server);
        if (conn->server->handshakes || !conn->server->handler_class->refuses)
            return shs_conn_fail(conn, SHS_LIMIT, 0, "it has waited too long to be accepted");
    }
    if (door != NULL && !door->alone)
        return add_to(pool, door->group, door, conn);
    turn = atomic_fetch_add_explicit(&pool->next_group, 1, memory_order_relaxed);
    return add_to(pool, &pool->crew->groups[turn % pool->crew->group_count], door, conn);
}

/* A handler waits for its peer, on a worker: another one takes over meanwhile. */
static int pool_wait_request(struct shs_layer *layer, struct shs_conn *conn, int what)
{
    struct place place = place_of(layer, conn);
    struct shs_pool_worker *worker = place.slot == NULL ? NULL : place.slot->worker;
    int before, rc;

    if (worker == NULL)
        return shs_super_wait_request(layer, conn, what);
    atomic_store_explicit(&worker->back_ns, INT64_MAX, memory_order_relaxed);
    before = shs__pool_set_away(worker, SHS_POOL_ONE, INT64_MAX);
    rc = shs_super_wait_request(layer, conn, what);
    (void)shs__pool_set_away(worker, before, 0);
    return rc;
}

static void pool_close_request(struct shs_layer *layer, struct shs_conn *conn)
{
    struct place place = place_of(layer, conn);

    if (place.slot == NULL) { /* it was refused */
        shs_super_close_request(layer, conn);
        return;
    }
    shs_conn_set(conn, layer, NULL);
    if (place.slot->door != NULL)
        shs__pool_load_leave(place.slot);
    if (place.slot->counted)
        shs__pool_addresses_remove(POOL(layer)->addresses, conn);
    shs__pool_slot_end(place.group, place.slot);
    shs_super_close_request(layer, conn);
    shs__pool_slot_free(place.group, place.slot);
}

/* -- the end ---------------------------------------------------------------------------------- */

static int pool_server_close(struct shs_layer *layer)
{
    struct shs_thread_pool *pool = POOL(layer);
    int rc = shs_super_server_close(layer);

    shs__pool_close_doors(pool);
    shs__pool_close(pool);
    return rc;
}

static int adopt(struct shs_scheduler *scheduler)
{
    if (shs__pool_adopt(POOL(&scheduler->layer)->crew) == SHS_OK)
        return SHS_OK;
    return shs_server_fail(scheduler->layer.server, SHS_IO, errno,
                           "no descriptor for ThreadPoolMixIn: raise ulimit -n");
}

static void pool_free(struct shs_thread_pool *pool)
{
    if (pool->crew != NULL)
        shs__pool_part(pool->crew, pool->number);
    shs__pool_addresses_free(pool->addresses);
    shs__free(pool);
}

static void pool_layer_free(struct shs_layer *layer)
{
    pool_free(POOL(layer));
}

static const struct shs_server_ops thread_pool_ops = {
    .name = "ThreadPoolMixIn",
    .process_request = shs_schedule_request,
    .any_thread = true,
    .wait_request = pool_wait_request,
    .close_request = pool_close_request,
    .server_close = pool_server_close,
    .layer_free = pool_layer_free,
};

static const struct shs_scheduler_ops scheduler_ops = {
    .add = pool_add,
    .start = shs__pool_start,
    .resume = shs__pool_resume,
    .stop = shs__pool_stop,
    .adopt = adopt,
    .client_known = pool_client_known,
};

/* -- making one ------------------------------------------------------------------------------- */

int shs_thread_pool_resize(struct shs_server *self, unsigned threads, unsigned max_threads)
{
    struct shs_thread_pool *pool;

    if (self->scheduler->ops != &scheduler_ops || max_threads == 0 || max_threads < threads)
        return SHS_USAGE;
    pool = POOL(&self->scheduler->layer);
    pthread_mutex_lock(&pool->crew->lock);
    pool->threads = threads;
    pool->max_threads = max_threads;
    shs__pool_set_bounds(pool->crew);
    pthread_mutex_unlock(&pool->crew->lock);
    return SHS_OK;
}

static void add_figures(struct shs_pool_group *group, unsigned number, struct shs_pool_figures *out)
{
    struct shs_pool_line *line = &group->lines[number];

    pthread_mutex_lock(&group->lock);
    out->threads += group->threads;
    for (const struct shs_pool_worker *w = group->workers; w != NULL; w = w->next)
        out->busy += shs__pool_line_at(w) == line;
    pthread_mutex_unlock(&group->lock);
    out->queue += atomic_load_explicit(&line->count, memory_order_relaxed);
}

bool shs__pool_figures(struct shs_server *server, struct shs_pool_figures *out)
{
    struct shs_layer *layer = shs_server_layer(server, thread_pool_ops.name);
    struct shs_thread_pool *pool = layer == NULL ? NULL : POOL(layer);

    memset(out, 0, sizeof *out);
    if (pool != NULL)
        out->crew = pool->crew;
    for (unsigned i = 0; pool != NULL && i < pool->crew->group_count; i++)
        add_figures(&pool->crew->groups[i], pool->number, out);
    return pool != NULL;
}

/* A crew of its own. */
static int init_pool(struct shs_thread_pool *pool, struct shs_server *server, struct shs_error *err)
{
    const struct shs_options *opt = &server->opt;
    struct shs_pool_crew *crew;
    int rc;

    pool->threads = opt->threads;
    pool->max_threads = opt->max_threads;
    if (opt->max_connections_per_address != UINT_MAX) {
        pool->addresses = shs__pool_addresses_new();
        if (pool->addresses == NULL)
            return shs_error_set(err, SHS_NOMEM, 0, "out of memory for ThreadPoolMixIn");
    }
    rc = shs__pool_crew_new(&crew, opt);
    if (rc == SHS_USAGE)
        return shs_error_set(err, rc, 0, "thread_stack_size %zu cannot be used",
                             opt->thread_stack_size);
    if (rc != SHS_OK)
        return shs_error_set(err, rc, errno,
                             "no memory or descriptor for ThreadPoolMixIn's epoll sets: "
                             "raise ulimit -n");
    pool->scheduler.layer.server = server;
    rc = shs__pool_join(crew, pool);
    shs__pool_crew_unref(crew);
    return rc;
}

int shs_thread_pool_mixin_push(struct shs_server *server, struct shs_error *err)
{
    struct shs_thread_pool *pool;
    int rc = shs__server_may_serve(server, "ThreadPoolMixIn", err);

    if (rc != SHS_OK)
        return rc;
    pool = shs__calloc(1, sizeof *pool);
    if (pool == NULL)
        return shs_error_set(err, SHS_NOMEM, 0, "out of memory for ThreadPoolMixIn");
    rc = init_pool(pool, server, err);
    if (rc == SHS_OK)
        rc = shs_server_push_scheduler(server, &pool->scheduler, &thread_pool_ops, &scheduler_ops,
                                       err);
    if (rc != SHS_OK)
        pool_free(pool);
    return rc;
}

/* Nobody else is in its crew, and nothing has begun there. */
static bool is_new(struct shs_pool_crew *crew)
{
    bool alone;

    pthread_mutex_lock(&crew->lock);
    alone = !crew->started && crew->open == 1;
    pthread_mutex_unlock(&crew->lock);
    return alone;
}

static int join_failed(int rc, struct shs_error *err)
{
    if (rc == SHS_LIMIT)
        return shs_error_set(err, rc, 0, "%u servers share these workers already, no more can",
                             SHS_POOL_MEMBERS);
    return shs_error_set(err, rc, 0, "the workers to be shared have ended: their server is closed");
}

int shs_thread_pool_share(struct shs_server *self, struct shs_server *with, struct shs_error *err)
{
    struct shs_thread_pool *pool;
    struct shs_pool_crew *to, *own;
    unsigned number;
    int rc;

    if (self->scheduler->ops != &scheduler_ops || with->scheduler->ops != &scheduler_ops)
        return shs_error_set(
            err, SHS_USAGE, 0, "%s has no ThreadPoolMixIn: push it on both servers, then share",
            shs_server_describe(self->scheduler->ops != &scheduler_ops ? self : with));
    pool = POOL(&self->scheduler->layer);
    to = POOL(&with->scheduler->layer)->crew;
    own = pool->crew;
    number = pool->number;
    if (to == own)
        return SHS_OK;
    if (self->closed || atomic_load(&self->frozen) || !is_new(own))
        return shs_error_set(err, SHS_USAGE, 0,
                             "share workers before a server serves, and before others share "
                             "its own");
    rc = shs__pool_join(to, pool); /* it is in both, for a moment: its own is still unused */
    if (rc != SHS_OK)
        return join_failed(rc, err);
    shs__pool_part(own, number);
    return SHS_OK;
}
