/*
 * thread_pool_monitor.c - the thread that watches: deadlines, handlers that block, requests that no
 * worker is left for.
 *
 * It sleeps until the next deadline. While workers work it looks at them every few milliseconds:
 * one that is with the same connection at two looks, and does not run, is blocked. If it does run,
 * others get what it has fetched besides.
 */
#include <fcntl.h>
#include <stdio.h>
#include <sys/epoll.h>
#include <unistd.h>

#include "server/thread_pool.h"

#define LOOK_MS 3u
#define LOOK_NS (LOOK_MS * SHS_NS_PER_MS)
/* So many looks at nothing, then it rests until a worker begins something. */
#define LOOKS_BEFORE_REST 64u
/* A handler that computes for so long is as good as blocked: others want their turn. Handlers that
   compute for less have no more workers than there are cores. */
#define COMPUTES_NS (500 * SHS_NS_PER_MS)
/* And so long where the others may be another server's, which had cores of its own otherwise. */
#define COMPUTES_SHARED_NS (50 * SHS_NS_PER_MS)
/* When the kernel does not say whether a thread runs: one that has not, for so many looks. */
#define LOOKS_IN_THE_DARK 32u
/* Handlers that do not return which are reported at one look; the others at the next. */
#define REPORTS 4u
/* It looks so late: the process was not running. */
#define NOT_RUNNING_NS (250 * SHS_NS_PER_MS)
/* A queue that stands is waited in for this part of queue_ms. */
#define STANDING 8
/* Fetching what there is while nobody else does, before the timers are looked at. */
#define EVENT_ROUNDS 64u

void shs__pool_monitor_call(struct shs_pool_crew *crew)
{
    pthread_mutex_lock(&crew->monitor_lock);
    crew->monitor_called = true;
    pthread_cond_signal(&crew->monitor_wake);
    pthread_mutex_unlock(&crew->monitor_lock);
}

/* -- workers ---------------------------------------------------------------------------------- */

/*
 * Does the kernel say that this thread runs, or would if there were a core for it? Where it does
 * not say (no /proc, no descriptor), one that has not computed for some looks is known to wait.
 */
static bool is_running(const struct shs_pool_worker *worker)
{
    char path[64], stat[128];
    const char *state;
    ssize_t n = -1;
    int fd;

    snprintf(path, sizeof path, "/proc/self/task/%d/stat", atomic_load(&worker->activity.tid));
    fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd >= 0) {
        n = read(fd, stat, sizeof stat - 1);
        close(fd);
    }
    if (n <= 0)
        return worker->still_looks < LOOKS_IN_THE_DARK;
    stat[n] = '\0';
    state = strrchr(stat, ')'); /* behind the name, which may hold anything */
    return state != NULL && state[1] == ' ' && state[2] == 'R';
}

/* How much it has computed, ever. */
static int64_t cpu_of(const struct shs_pool_worker *worker)
{
    struct timespec ts;
    clockid_t clock;

    if (pthread_getcpuclockid(worker->thread, &clock) != 0 || clock_gettime(clock, &ts) != 0)
        return 0;
    return (int64_t)ts.tv_sec * SHS_NS_PER_S + ts.tv_nsec;
}

enum look { LOOK_FINE, LOOK_STAYS, LOOK_COMPUTES, LOOK_SLEEPS };

/*
 * What a worker is found at that is with the same connection at two looks. One that only lacks a
 * core, because others have them, only stays there: more workers would make it worse. So does one
 * that computes most of the time, and waits for a page or a lock just now.
 */
static enum look look_at_one(struct shs_pool_worker *worker, int64_t now_ns, bool *any)
{
    uint32_t busy = atomic_load(&worker->busy);
    int64_t before, computes_ns;

    if ((busy & 1) == 0) {
        *any = *any || busy != worker->seen;
        worker->seen = busy;
        return LOOK_FINE;
    }
    *any = true;
    if (busy != worker->seen || worker->looks == 0) {
        worker->seen = busy;
        worker->looks = 1;
        worker->still_looks = 0;
        worker->looked_ns = now_ns;
        worker->cpu_ns = worker->cpu_now_ns = cpu_of(worker);
        return LOOK_FINE;
    }
    if (atomic_load(&worker->away) == SHS_POOL_ONE && atomic_load(&worker->back_ns) == INT64_MAX)
        return LOOK_FINE; /* it is known */
    worker->looks++;
    before = worker->cpu_now_ns;
    worker->cpu_now_ns = cpu_of(worker);
    worker->still_looks = worker->cpu_now_ns == before ? worker->still_looks + 1 : 0;
    if (worker->cpu_now_ns - before < LOOK_NS / 2 && !is_running(worker))
        return LOOK_SLEEPS;
    computes_ns = atomic_load(&worker->group->crew->shared) ? COMPUTES_SHARED_NS : COMPUTES_NS;
    return worker->cpu_now_ns - worker->cpu_ns >= computes_ns ? LOOK_COMPUTES : LOOK_STAYS;
}

/* What is said of handlers that do not return, and to which servers; they are held until then. */
struct reports {
    struct shs_activity_report of[REPORTS];
    struct shs_pool_line *lines[REPORTS];
    struct shs_server *servers[REPORTS];
    unsigned count;
};

/* With the group's lock. Once a line is abandoned nothing more is said: who closed its server may
   have closed the log as well. `all`: however long they have run. */
static void look_for_stuck(struct reports *reports, struct shs_pool_worker *worker, int64_t now_ns,
                           bool all)
{
    struct shs_pool_line *line = shs__pool_line_at(worker);
    struct shs_activity_report *report = &reports->of[reports->count];
    const struct shs_server *server;
    int64_t limit_ns;

    if (reports->count == REPORTS || line == NULL || line->pool == NULL ||
        atomic_load(&line->abandoned))
        return;
    server = line->pool->scheduler.layer.server;
    limit_ns = all ? 0 : (int64_t)server->opt.stuck_handler_ms * SHS_NS_PER_MS;
    shs__activity_look(&worker->activity, atomic_load(&worker->activity.tid),
                       server->handler_class->name, now_ns, limit_ns, report);
    if (report->line[0] == '\0')
        return;
    reports->lines[reports->count] = line;
    reports->servers[reports->count] = shs__pool_visit(line);
    reports->count += reports->servers[reports->count] != NULL;
}

/* Without the lock: the log may be slow. */
static void say(const struct reports *reports)
{
    for (unsigned i = 0; i < reports->count; i++) {
        shs__activity_say(reports->servers[i], &reports->of[i]);
        shs__pool_guest_go(reports->lines[i], reports->servers[i]);
    }
}

void shs__pool_report_stuck(struct shs_pool_line *line)
{
    struct shs_pool_group *group = line->group;
    struct reports reports = {.count = 0};

    pthread_mutex_lock(&group->lock);
    for (struct shs_pool_worker *worker = group->workers; worker != NULL; worker = worker->next) {
        if (shs__pool_line_at(worker) == line)
            look_for_stuck(&reports, worker, shs_now_ns(), true);
    }
    pthread_mutex_unlock(&group->lock);
    say(&reports);
}

/* Looks at every worker of a group; true when any of them does something. */
static bool look_at(struct shs_pool_group *group, int64_t now)
{
    struct reports reports = {.count = 0};
    struct shs_pool_worker *worker;
    struct shs_pool_route *route;
    enum look look;
    bool any = false;

    pthread_mutex_lock(&group->lock);
    for (worker = group->workers; worker != NULL; worker = worker->next) {
        look_for_stuck(&reports, worker, now, false);
        look = look_at_one(worker, now, &any);
        if (look == LOOK_FINE)
            continue;
        if (look == LOOK_STAYS) { /* what it has fetched does not wait for it */
            if (shs__pool_hand_over(worker))
                shs__pool_kick(group);
            continue;
        }
        route = atomic_load_explicit(&worker->route, memory_order_relaxed);
        if (look == LOOK_SLEEPS && route != NULL)
            shs__pool_route_blocks(route, now - worker->looked_ns);
        shs__pool_found_blocked(worker);
    }
    any |= shs__pool_trim(group, now);
    pthread_mutex_unlock(&group->lock);
    say(&reports);
    return any;
}

/* -- too much --------------------------------------------------------------------------------- */

static bool is_saturated(struct shs_pool_group *group)
{
    bool saturated;

    if (atomic_load(&group->active) > 0)
        return false;
    pthread_mutex_lock(&group->lock);
    /* A thread that could not be made then can perhaps be made now. */
    saturated = group->threads > 0 && !shs__pool_fill_up(group);
    pthread_mutex_unlock(&group->lock);
    return saturated;
}

/* All workers are away: whoever waits for one is put in the queue. How many were told of. */
static int queue_events(struct shs_pool_group *group)
{
    struct epoll_event events[SHS_POOL_BATCH];
    struct shs_pool_slot *slot;
    int count = epoll_wait(group->epoll_fd, events, (int)SHS_POOL_BATCH, 0);

    for (int i = 0; i < count; i++) {
        struct shs_pool_door *door = shs__pool_door_of(group, events[i].data.u64);
        struct shs_pool_line *line;

        if (door != NULL)
            shs__pool_knock(door);
        if (events[i].data.u64 >= SHS_POOL_DOORS)
            continue;
        slot = shs__pool_claim(group, events[i].data.u64, events[i].events);
        if (slot == NULL)
            continue;
        line = shs__pool_line_of(group, slot);
        if (atomic_load(&line->count) >= atomic_load(&line->max_queue))
            shs__pool_refuse(group, slot);
        else
            shs__pool_ready_push(group, slot);
    }
    return count;
}

/*
 * How long one may wait in the queue: queue_ms. But one that has not been empty for so long is no
 * burst: then all who are served have waited as long as that, and would as well with less.
 */
static int64_t patience_ns(const struct shs_pool_line *line, int64_t now)
{
    int64_t most = (int64_t)atomic_load(&line->queue_ms) * SHS_NS_PER_MS;

    return line->queue_since_ns != 0 && now - line->queue_since_ns > most ? most / STANDING : most;
}

/*
 * All workers of this line are away. Who waits for one is refused when it was too long; the time in
 * which this process was stopped, or had no core, does not count.
 */
static void refuse_late(struct shs_pool_line *line, int64_t now)
{
    int64_t patience = now - patience_ns(line, now);
    struct shs_pool_slot *slot;

    if (patience < line->group->crew->resumed_ns)
        patience = INT64_MIN;
    while ((slot = shs__pool_line_pop(line, patience)) != NULL)
        shs__pool_refuse(line->group, slot);
}

/* No worker is left. */
static void serve_saturated(struct shs_pool_group *group, int64_t now)
{
    unsigned most = atomic_load(&group->crew->most);

    for (unsigned i = 0; i < EVENT_ROUNDS && queue_events(group) == (int)SHS_POOL_BATCH; i++)
        continue;
    for (unsigned n = 0; n < most; n++)
        refuse_late(&group->lines[n], now);
    /* Somebody came back while we fetched, and may have gone to wait for what we hold. */
    if (atomic_load(&group->active) > 0)
        shs__pool_kick(group);
}

/* Does nobody of those who are at its connections compute? Others might run, and may not. */
static bool line_is_saturated(struct shs_pool_line *line)
{
    struct shs_pool_group *group = line->group;
    int active = 0;

    if (!atomic_load(&line->held))
        return false;
    pthread_mutex_lock(&group->lock);
    for (const struct shs_pool_worker *w = group->workers; w != NULL; w = w->next) {
        if (shs__pool_line_at(w) == line)
            active += SHS_POOL_ONE - atomic_load(&w->away);
    }
    pthread_mutex_unlock(&group->lock);
    return active <= 0 && atomic_load(&line->held);
}

/* Each line by itself: since when somebody waits there, and who has waited for too long because its
   own workers are all away. True: there is such a one. */
static bool look_at_lines(struct shs_pool_group *group, int64_t now)
{
    unsigned most = atomic_load(&group->crew->most);
    bool any = false;

    for (unsigned n = 0; n < most; n++) {
        struct shs_pool_line *line = &group->lines[n];
        bool saturated = line_is_saturated(line);

        if (atomic_load(&line->count) == 0)
            line->queue_since_ns = 0;
        else if (line->queue_since_ns == 0)
            line->queue_since_ns = now;
        atomic_store(&line->saturated, saturated);
        if (saturated)
            refuse_late(line, now);
        any = any || atomic_load(&line->held);
    }
    return any;
}

/* -- time ------------------------------------------------------------------------------------- */

/*
 * Hands every connection whose time is up to the workers, or sees to it here when there is none;
 * returns when the next one's is.
 */
static int64_t expire(struct shs_pool_group *group, int64_t now, bool saturated)
{
    int64_t next;
    struct shs_pool_slot *slot;
    bool any = false;

    while ((slot = shs__pool_timer_expire(group, now, &next)) != NULL) {
        if (saturated || atomic_load(&shs__pool_line_of(group, slot)->saturated)) {
            shs__pool_refuse(group, slot);
        } else {
            shs__pool_ready_push(group, slot);
            any = true;
        }
    }
    if (any)
        shs__pool_kick(group);
    return next;
}

static bool tick(struct shs_pool_crew *crew, int64_t now, int64_t *until)
{
    bool any = false;

    *until = INT64_MAX;
    for (unsigned i = 0; i < crew->group_count; i++) {
        struct shs_pool_group *group = &crew->groups[i];
        bool saturated = is_saturated(group);
        int64_t next;

        any |= look_at_lines(group, now);
        /* What the peers have sent comes before their deadlines. */
        if (saturated)
            serve_saturated(group, now);
        next = expire(group, now, saturated);
        if (next < *until)
            *until = next;
        any |= look_at(group, now) || saturated;
        if (atomic_load(&group->pressed) > 0) {
            shs__pool_load_visit(group);
            any = true;
        }
        shs__pool_reap(group);
    }
    return any;
}

/* With the lock: sleeps until it is called or the moment has come. */
static void rest(struct shs_pool_crew *crew, int64_t until)
{
    struct timespec ts = shs__timespec(until);

    while (!crew->monitor_called) {
        if (until == INT64_MAX)
            pthread_cond_wait(&crew->monitor_wake, &crew->monitor_lock);
        else if (pthread_cond_timedwait(&crew->monitor_wake, &crew->monitor_lock, &ts) != 0)
            break;
    }
    crew->monitor_called = false;
}

static bool has_workers(struct shs_pool_crew *crew)
{
    unsigned threads = 0;

    for (unsigned i = 0; i < crew->group_count; i++) {
        pthread_mutex_lock(&crew->groups[i].lock);
        threads += crew->groups[i].threads;
        pthread_mutex_unlock(&crew->groups[i].lock);
    }
    return threads > 0;
}

static void watch(struct shs_pool_crew *crew)
{
    unsigned quiet = 0;

    while (!atomic_load(&crew->closing) || has_workers(crew)) {
        int64_t now = shs_now_ns(), until, look;

        /* Set before the look at the timers: one that is set meanwhile finds it and calls. */
        atomic_store(&crew->monitor_until_ns, INT64_MAX);
        atomic_store(&crew->monitor_rests, quiet >= LOOKS_BEFORE_REST);
        if (tick(crew, now, &until))
            quiet = 0;
        else if (quiet < LOOKS_BEFORE_REST)
            quiet++;
        look = shs__deadline_after(now, LOOK_MS);
        if (!(quiet >= LOOKS_BEFORE_REST && atomic_load(&crew->monitor_rests)) && look < until)
            until = look;
        pthread_mutex_lock(&crew->monitor_lock);
        atomic_store(&crew->monitor_until_ns, until);
        rest(crew, until);
        pthread_mutex_unlock(&crew->monitor_lock);
        if (until != INT64_MAX && shs_now_ns() - until > NOT_RUNNING_NS)
            crew->resumed_ns = shs_now_ns();
        if (atomic_exchange(&crew->monitor_rests, false))
            quiet = LOOKS_BEFORE_REST / 2;
    }
}

static void *monitor_main(void *arg)
{
    struct shs_pool_crew *crew = arg;
    bool detached;

    pthread_setname_np(pthread_self(), "shs-monitor");
    watch(crew);
    shs__pool_count_threads(crew, -1);
    pthread_mutex_lock(&crew->monitor_lock);
    crew->monitor_gone = true;
    detached = crew->monitor_detached;
    pthread_mutex_unlock(&crew->monitor_lock);
    if (!detached)
        return NULL;
    pthread_detach(pthread_self());
    for (unsigned i = 0; i < crew->group_count; i++)
        shs__pool_reap(&crew->groups[i]);
    shs__pool_crew_unref(crew);
    return NULL;
}

int shs__pool_monitor_start(struct shs_pool_crew *crew)
{
    atomic_fetch_add(&crew->references, 1);
    if (pthread_create(&crew->monitor, &crew->attr, monitor_main, crew) != 0) {
        atomic_fetch_sub(&crew->references, 1); /* the caller's is there */
        return SHS_LIMIT;
    }
    shs__pool_count_threads(crew, 1);
    return SHS_OK;
}

void shs__pool_monitor_end(struct shs_pool_crew *crew, bool join)
{
    shs__pool_monitor_call(crew);
    pthread_mutex_lock(&crew->monitor_lock);
    join = join || crew->monitor_gone;
    crew->monitor_detached = !join;
    pthread_mutex_unlock(&crew->monitor_lock);
    if (!join)
        return;
    pthread_join(crew->monitor, NULL);
    shs__pool_crew_unref(crew); /* never the last: the caller's is there */
}
