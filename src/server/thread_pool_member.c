/*
 * thread_pool_member.c - several servers, one crew: who is in it, who holds whom, and the end.
 *
 * Who holds a server while a worker is in the middle of its code? Its connection does, until the
 * worker has ended that; but then the way out still leads through the server's layers. So
 * server_close marks its lines, and pins each worker that is at one of them: takes a reference in
 * its name, which it gives back when it has let go. Who comes to a marked line later pins itself.
 * Both look for each other: the worker says where it is and then looks for the mark, server_close
 * the other way round.
 *
 * server_close of a member waits for its own connections and for the workers that are at them, and
 * for nobody else. The last one to close ends the crew: the workers leave, and are joined here, or
 * by the monitor when some cannot be waited for.
 */
#include <errno.h>
#include <limits.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "server/thread_pool.h"

#define MAX_GROUPS 1024u

/* -- who holds a server ------------------------------------------------------------------------ */

/* `server` is alive. */
static void pin(struct shs_pool_worker *worker, struct shs_pool_line *line,
                struct shs_server *server)
{
    uintptr_t at = (uintptr_t)line;

    shs__server_ref(server);
    if (!atomic_compare_exchange_strong(&worker->at, &at, at | SHS_POOL_PINNED))
        shs__server_unref(server); /* it is pinned, or has gone on; never the last reference */
}

void shs__pool_come(struct shs_pool_worker *worker, struct shs_pool_line *line,
                    struct shs_pool_slot *slot)
{
    atomic_store(&worker->at, (uintptr_t)line);
    if (atomic_load(&line->closing))
        pin(worker, line, slot->conn->server);
}

/* Who waits for this in server_close is told. */
static void tell(struct shs_pool_group *group)
{
    pthread_mutex_lock(&group->lock);
    pthread_cond_broadcast(&group->gone);
    pthread_mutex_unlock(&group->lock);
    if (atomic_load(&group->crew->closing)) /* and who waits for the last connection */
        shs__pool_kick(group);
}

/* With its server held. Who abandons the line sets the mark under the lock and then looks for
   parked connections: what was parked before that is found there, what after it here. */
static void end_abandoned(struct shs_pool_line *line)
{
    bool abandoned;

    pthread_mutex_lock(&line->group->lock);
    abandoned = atomic_load(&line->abandoned);
    pthread_mutex_unlock(&line->group->lock);
    if (abandoned)
        shs__pool_end_parked(line);
}

void shs__pool_go(struct shs_pool_worker *worker, struct shs_pool_line *line,
                  struct shs_server *server)
{
    uintptr_t at = (uintptr_t)line;

    if (worker->counted)
        shs__pool_line_leave(line);
    if (atomic_compare_exchange_strong(&worker->at, &at, 0))
        return;
    end_abandoned(line);
    shs__server_unref(server);
    atomic_store(&worker->at, 0);
    tell(line->group);
}

void shs__pool_guest_come(struct shs_pool_line *line, struct shs_server *server)
{
    atomic_fetch_add(&line->guests, 1);
    shs__server_ref(server);
}

void shs__pool_guest_go(struct shs_pool_line *line, struct shs_server *server)
{
    end_abandoned(line);
    shs__server_unref(server);
    atomic_fetch_sub(&line->guests, 1);
    if (atomic_load(&line->closing))
        tell(line->group);
}

struct shs_server *shs__pool_visit(struct shs_pool_line *line)
{
    struct shs_server *server = line->pool->scheduler.layer.server;

    if (!shs__server_try_ref(server))
        return NULL;
    atomic_fetch_add(&line->guests, 1);
    return server;
}

/* -- the statistics ---------------------------------------------------------------------------- */

void shs__pool_count_threads(struct shs_pool_crew *crew, int delta)
{
    pthread_mutex_lock(&crew->count_lock);
    crew->threads += delta;
    for (unsigned n = 0; n < SHS_POOL_MEMBERS; n++) {
        if (crew->members[n] != NULL && crew->members[n]->counts)
            shs_server_count_threads(crew->members[n]->scheduler.layer.server, delta);
    }
    pthread_mutex_unlock(&crew->count_lock);
}

/* A member has closed, and the threads go on for others. */
static void stop_counting(struct shs_thread_pool *pool)
{
    struct shs_pool_crew *crew = pool->crew;

    pthread_mutex_lock(&crew->count_lock);
    if (pool->counts)
        shs_server_count_threads(pool->scheduler.layer.server, -crew->threads);
    pool->counts = false;
    pthread_mutex_unlock(&crew->count_lock);
}

/* -- bounds ------------------------------------------------------------------------------------ */

/* A group's part of `all`, one at least. */
static unsigned share_of(const struct shs_pool_group *group, unsigned all)
{
    unsigned groups = group->crew->group_count;
    unsigned share = all / groups + (group->number < all % groups);

    return share > 0 ? share : 1;
}

static unsigned threads_of(const struct shs_thread_pool *pool)
{
    return pool->threads == 0 ? pool->crew->cores : pool->threads;
}

/* So many are active as the one wants who wants most; so many in all as all may have. */
static void set_group_bounds(struct shs_pool_group *group)
{
    struct shs_pool_crew *crew = group->crew;
    unsigned target = 1, max = 0;

    for (unsigned n = 0; n < SHS_POOL_MEMBERS; n++) {
        const struct shs_thread_pool *pool = crew->members[n];
        unsigned threads, most;

        if (pool == NULL || atomic_load(&group->lines[n].closing))
            continue;
        most = share_of(group, pool->max_threads);
        threads = share_of(group, threads_of(pool));
        if (threads > most)
            threads = most;
        target = threads > target ? threads : target;
        max = max > UINT_MAX - most ? UINT_MAX : max + most;
        /* Alone, it has them all: nobody needs to count. */
        atomic_store(&group->lines[n].bound, crew->open > 1 ? most : UINT_MAX);
        shs__pool_line_release(&group->lines[n]);
    }
    pthread_mutex_lock(&group->lock);
    group->max = max > 0 ? max : 1;
    atomic_store(&group->target, target);
    shs__pool_fit(group);
    pthread_mutex_unlock(&group->lock);
}

void shs__pool_set_bounds(struct shs_pool_crew *crew)
{
    atomic_store(&crew->shared, crew->open > 1);
    for (unsigned i = 0; i < crew->group_count; i++)
        set_group_bounds(&crew->groups[i]);
}

/* -- in and out -------------------------------------------------------------------------------- */

/* With the crew's lock; < 0: all are taken. */
static int free_number(const struct shs_pool_crew *crew)
{
    for (unsigned n = 0; n < SHS_POOL_MEMBERS; n++) {
        if (crew->members[n] == NULL)
            return (int)n;
    }
    return -1;
}

static void open_line(struct shs_pool_group *group, struct shs_thread_pool *pool)
{
    const struct shs_options *opt = &pool->scheduler.layer.server->opt;
    struct shs_pool_line *line = &group->lines[pool->number];

    pthread_mutex_lock(&group->lock);
    if (line->group == NULL)
        line->group = group;
    atomic_store(&line->max_queue, opt->max_queue);
    atomic_store(&line->queue_ms, opt->queue_ms);
    atomic_store(&line->bound, UINT_MAX);
    atomic_store(&line->closing, false);
    atomic_store(&line->abandoned, false);
    line->pool = pool;
    pthread_mutex_unlock(&group->lock);
}

int shs__pool_join(struct shs_pool_crew *crew, struct shs_thread_pool *pool)
{
    int number, rc = SHS_OK;

    pthread_mutex_lock(&crew->lock);
    number = free_number(crew);
    if (atomic_load(&crew->closing))
        rc = SHS_USAGE;
    else if (number < 0)
        rc = SHS_LIMIT;
    if (rc == SHS_OK) {
        atomic_fetch_add(&crew->references, 1);
        pool->crew = crew;
        pool->number = (unsigned)number;
        for (unsigned i = 0; i < crew->group_count; i++)
            open_line(&crew->groups[i], pool);
        if (atomic_load(&crew->most) <= pool->number)
            atomic_store(&crew->most, pool->number + 1);
        crew->open++;
        pthread_mutex_lock(&crew->count_lock);
        crew->members[number] = pool;
        shs_server_count_threads(pool->scheduler.layer.server, crew->threads);
        pool->counts = true;
        pthread_mutex_unlock(&crew->count_lock);
        shs__pool_set_bounds(crew);
    }
    pthread_mutex_unlock(&crew->lock);
    return rc;
}

void shs__pool_part(struct shs_pool_crew *crew, unsigned number)
{
    pthread_mutex_lock(&crew->lock);
    for (unsigned i = 0; i < crew->group_count; i++) {
        pthread_mutex_lock(&crew->groups[i].lock);
        crew->groups[i].lines[number].pool = NULL;
        pthread_mutex_unlock(&crew->groups[i].lock);
    }
    pthread_mutex_lock(&crew->count_lock);
    crew->members[number] = NULL;
    pthread_mutex_unlock(&crew->count_lock);
    pthread_mutex_unlock(&crew->lock);
    shs__pool_crew_unref(crew);
}

/* -- the end of a member ----------------------------------------------------------------------- */

/* With the group's lock: nobody is at its connections, and there are none. */
static bool is_quiet(const struct shs_pool_line *line)
{
    if (atomic_load(&line->used) > 0 || atomic_load(&line->guests) > 0)
        return false;
    for (const struct shs_pool_worker *w = line->group->workers; w != NULL; w = w->next) {
        if (shs__pool_line_at(w) == line)
            return false;
    }
    return true;
}

static bool wait_until_quiet(struct shs_pool_line *line, int64_t until)
{
    struct shs_pool_group *group = line->group;
    struct timespec ts = shs__timespec(until);
    bool quiet;
    int rc = 0;

    pthread_mutex_lock(&group->lock);
    for (quiet = is_quiet(line); !quiet && rc == 0; quiet = is_quiet(line))
        rc = pthread_cond_timedwait(&group->gone, &group->lock, &ts);
    pthread_mutex_unlock(&group->lock);
    return quiet;
}

/* From now on whoever is at one of its connections holds the server. */
static void mark(struct shs_pool_line *line, struct shs_server *server)
{
    atomic_store(&line->closing, true);
    pthread_mutex_lock(&line->group->lock);
    for (struct shs_pool_worker *w = line->group->workers; w != NULL; w = w->next)
        pin(w, line, server);
    pthread_mutex_unlock(&line->group->lock);
}

/* Those that run on are told not to wait for anybody any more. */
static void abandon(struct shs_pool_line *line)
{
    shs__pool_report_stuck(line);
    pthread_mutex_lock(&line->group->lock);
    atomic_store(&line->abandoned, true);
    pthread_mutex_unlock(&line->group->lock);
    shs__pool_end_parked(line);
}

/* -- the end of the crew ----------------------------------------------------------------------- */

/* With the lock: how many could leave now. Those at a connection are at one whose server has given
   them up, or does not wait. */
static unsigned idle_workers(const struct shs_pool_group *group)
{
    unsigned count = 0;

    for (const struct shs_pool_worker *w = group->workers; w != NULL; w = w->next)
        count += shs__pool_line_at(w) == NULL;
    return count;
}

/* True: all have left. */
static bool wait_for_workers(struct shs_pool_group *group, int64_t until)
{
    struct timespec ts = shs__timespec(until);
    bool gone;
    int rc = 0;

    pthread_mutex_lock(&group->lock);
    shs__pool_wake_all(group);
    shs__pool_kick(group);
    while (shs__pool_is_over(group) && idle_workers(group) > 0 && rc == 0)
        rc = pthread_cond_timedwait(&group->gone, &group->lock, &ts);
    gone = group->threads == 0;
    pthread_mutex_unlock(&group->lock);
    return gone;
}

static void end_crew(struct shs_pool_crew *crew, int64_t until)
{
    bool gone = true;

    for (unsigned i = 0; i < crew->group_count; i++)
        gone = wait_for_workers(&crew->groups[i], until) && gone;
    shs__pool_monitor_end(crew, gone);
    for (unsigned i = 0; i < crew->group_count; i++)
        shs__pool_reap(&crew->groups[i]);
}

/* With the crew's lock. */
static bool close_one(struct shs_thread_pool *pool)
{
    struct shs_pool_crew *crew = pool->crew;
    bool last = --crew->open == 0;

    if (last)
        atomic_store(&crew->closing, true);
    else
        shs__pool_set_bounds(crew);
    return last && crew->started;
}

void shs__pool_close(struct shs_thread_pool *pool)
{
    struct shs_server *server = pool->scheduler.layer.server;
    struct shs_pool_crew *crew = pool->crew;
    bool wait = server->opt.block_on_close && !server->opt.daemon_threads, over = true, last;
    int64_t until = wait ? shs_server_stop_deadline(server) : 0;

    for (unsigned i = 0; i < crew->group_count; i++)
        mark(&crew->groups[i].lines[pool->number], server);
    for (unsigned i = 0; i < crew->group_count; i++)
        over = wait_until_quiet(&crew->groups[i].lines[pool->number], until) && over;
    for (unsigned i = 0; i < crew->group_count && !over && wait; i++)
        abandon(&crew->groups[i].lines[pool->number]);
    pthread_mutex_lock(&crew->lock);
    last = close_one(pool);
    if (over && crew->open > 0)
        stop_counting(pool);
    pthread_mutex_unlock(&crew->lock);
    if (last)
        end_crew(crew, until);
}

/* -- making one -------------------------------------------------------------------------------- */

static void close_descriptors(struct shs_pool_group *group)
{
    if (group->epoll_fd >= 0)
        close(group->epoll_fd);
    if (group->kick_fd >= 0)
        close(group->kick_fd);
    group->epoll_fd = group->kick_fd = -1;
}

static int open_descriptors(struct shs_pool_group *group)
{
    struct epoll_event kick = {.events = EPOLLIN | EPOLLET, .data.u64 = SHS_POOL_KICK};

    group->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
    group->kick_fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
    if (group->epoll_fd < 0 || group->kick_fd < 0 ||
        epoll_ctl(group->epoll_fd, EPOLL_CTL_ADD, group->kick_fd, &kick) != 0)
        return SHS_IO;
    return SHS_OK;
}

int shs__pool_adopt(struct shs_pool_crew *crew)
{
    int rc = SHS_OK;

    pthread_mutex_lock(&crew->lock);
    /* Another member may have done it, and serve. */
    for (unsigned i = 0; crew->pid != getpid() && i < crew->group_count && rc == SHS_OK; i++) {
        close_descriptors(&crew->groups[i]);
        rc = open_descriptors(&crew->groups[i]);
    }
    if (rc == SHS_OK)
        crew->pid = getpid();
    pthread_mutex_unlock(&crew->lock);
    return rc;
}

/* A condition whose waits are by the monotonic clock. */
static void init_cond(pthread_cond_t *cond)
{
    pthread_condattr_t attr;

    pthread_condattr_init(&attr);
    pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
    pthread_cond_init(cond, &attr);
    pthread_condattr_destroy(&attr);
}

static int init_group(struct shs_pool_group *group, struct shs_pool_crew *crew)
{
    group->crew = crew;
    group->epoll_fd = group->kick_fd = -1;
    pthread_mutex_init(&group->slots_lock, NULL);
    pthread_mutex_init(&group->ready_lock, NULL);
    pthread_mutex_init(&group->timer_lock, NULL);
    pthread_mutex_init(&group->lock, NULL);
    init_cond(&group->gone);
    return open_descriptors(group);
}

static void free_group(struct shs_pool_group *group)
{
    for (unsigned i = 0; i < SHS_POOL_CHUNKS && group->chunks[i] != NULL; i++)
        shs__free(group->chunks[i]);
    shs__free(group->heap);
    close_descriptors(group);
    shs__pool_free_doors(group);
    pthread_mutex_destroy(&group->slots_lock);
    pthread_mutex_destroy(&group->ready_lock);
    pthread_mutex_destroy(&group->timer_lock);
    pthread_mutex_destroy(&group->lock);
    pthread_cond_destroy(&group->gone);
}

static void crew_free(struct shs_pool_crew *crew)
{
    for (unsigned i = 0; i < crew->group_count; i++)
        free_group(&crew->groups[i]);
    shs__free(crew->groups);
    pthread_mutex_destroy(&crew->lock);
    pthread_mutex_destroy(&crew->count_lock);
    pthread_mutex_destroy(&crew->monitor_lock);
    pthread_cond_destroy(&crew->monitor_wake);
    pthread_attr_destroy(&crew->attr);
    shs__free(crew);
}

void shs__pool_crew_unref(struct shs_pool_crew *crew)
{
    if (atomic_fetch_sub(&crew->references, 1) == 1)
        crew_free(crew);
}

static int init_groups(struct shs_pool_crew *crew, unsigned groups)
{
    int rc = SHS_OK;

    if (groups < 1)
        groups = 1;
    if (groups > MAX_GROUPS)
        groups = MAX_GROUPS;
    crew->groups = shs__calloc(groups, sizeof *crew->groups);
    if (crew->groups == NULL)
        return SHS_NOMEM;
    for (; crew->group_count < groups && rc == SHS_OK; crew->group_count++) {
        crew->groups[crew->group_count].number = (uint16_t)crew->group_count;
        rc = init_group(&crew->groups[crew->group_count], crew);
    }
    return rc;
}

int shs__pool_crew_new(struct shs_pool_crew **out, const struct shs_options *opt)
{
    struct shs_pool_crew *crew = shs__calloc(1, sizeof *crew);
    int rc;

    if (crew == NULL)
        return SHS_NOMEM;
    rc = shs__thread_attr_init(&crew->attr, opt->thread_stack_size);
    if (rc != SHS_OK) {
        shs__free(crew);
        return rc;
    }
    atomic_init(&crew->references, 1);
    pthread_mutex_init(&crew->lock, NULL);
    pthread_mutex_init(&crew->count_lock, NULL);
    pthread_mutex_init(&crew->monitor_lock, NULL);
    init_cond(&crew->monitor_wake);
    crew->cores = shs__usable_cores();
    crew->spare_ms = opt->spare_ms;
    crew->pid = getpid();
    /* each group has one worker at least, and all of them no more than max_threads */
    rc = init_groups(crew,
                     opt->thread_groups < opt->max_threads ? opt->thread_groups : opt->max_threads);
    if (rc != SHS_OK) {
        int saved = errno;

        shs__pool_crew_unref(crew);
        errno = saved;
        return rc;
    }
    *out = crew;
    return SHS_OK;
}
