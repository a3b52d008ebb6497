/*
 * thread_pool_crew.c - how many workers are awake.
 *
 * `active` counts those who are awake, each as SHS_POOL_ONE less what it is away: a handler that
 * waits for three quarters of its time leaves a quarter of a worker. There should be `target` of
 * them. When one goes away and too few are left, the last one that went to sleep is woken, or a new
 * one is started, before the handler runs: nobody has to find out that it blocks.
 *
 * When it comes back there is one too many, and it stays: it waits for events like the others, and
 * the next handler that blocks finds it there. So as many are awake as were needed at one moment,
 * not in the mean: a worker that is back from its wait has to wait for a core, and with fewer of
 * them cores are idle meanwhile (64 clients, handlers that wait for 0.2 ms: 24 workers leave 23 %
 * of two cores idle, 64 leave 10). Who had nothing to do for a while, or does not wait any more,
 * goes to sleep; a sleeper leaves when nobody has woken it for opt.spare_ms; far more of them than
 * work do not wait so long.
 */
#include <errno.h>
#include <unistd.h>

#include "server/thread_pool.h"

/* Who had nothing to do for so long is sent to sleep. */
#define TRIM_MS 30u
/* Who was not away, each of the last so many times that this was asked, does not wait. */
#define STAYS 4u
/* Those who sleep beside few who work leave after this. */
#define CROWD_MS 300u
/* No thread was to be had: not tried again before. */
#define START_AGAIN_MS 20u
/* A worker that is expected back so soon is not replaced: waking another one takes as long. */
#define SOON_NS 30000
/* All are away, but one is expected back so soon: then there is somebody. */
#define PATIENCE_NS (SHS_NS_PER_MS / 10)
/* No worker that is not at a connection has begun and ended an odd number of times. */
#define NEVER UINT32_MAX
/* So long it is not counted again who will be back. */
#define ENOUGH_NS 150000
/* And one that is so late is not expected any more, whatever the monitor says. */
#define LATE_NS (50 * SHS_NS_PER_MS)

void shs__pool_kick(struct shs_pool_group *group)
{
    uint64_t one = 1;
    ssize_t n = write(group->kick_fd, &one, sizeof one);

    SHS_UNUSED(n); /* a full counter was an event as well */
}

bool shs__pool_is_over(const struct shs_pool_group *group)
{
    unsigned most = atomic_load(&group->crew->most);

    if (!atomic_load(&group->crew->closing))
        return false;
    for (unsigned n = 0; n < most; n++) {
        if (!atomic_load(&group->lines[n].abandoned) && atomic_load(&group->lines[n].used) > 0)
            return false;
    }
    return true;
}

static int wanted(const struct shs_pool_group *group)
{
    return (int)atomic_load_explicit(&group->target, memory_order_relaxed) * SHS_POOL_ONE;
}

/* Half a worker is missing, or more. */
static bool too_few(const struct shs_pool_group *group, int active)
{
    return active + SHS_POOL_ONE / 2 <= wanted(group);
}

/* -- more -------------------------------------------------------------------------------------- */

static void free_worker(struct shs_pool_worker *worker)
{
    pthread_cond_destroy(&worker->wake);
    shs__free(worker);
}

static struct shs_pool_worker *new_worker(struct shs_pool_group *group)
{
    struct shs_pool_worker *worker = shs__calloc(1, sizeof *worker);
    pthread_condattr_t attr;

    if (worker == NULL)
        return NULL;
    worker->group = group;
    worker->trimmed = NEVER;
    atomic_init(&worker->back_ns, INT64_MAX);
    worker->activity.ops = &shs__pool_activity_ops;
    pthread_condattr_init(&attr);
    pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
    pthread_cond_init(&worker->wake, &attr);
    pthread_condattr_destroy(&attr);
    return worker;
}

/* With the lock: a new worker, counted as active. */
static bool start_worker(struct shs_pool_group *group)
{
    struct shs_pool_crew *crew = group->crew;
    struct shs_pool_worker *worker;

    if (group->start_ns != 0 && shs_now_ns() < group->start_ns)
        return false;
    group->start_ns = 0;
    worker = new_worker(group);
    if (worker != NULL) {
        atomic_fetch_add(&crew->references, 1);
        if (pthread_create(&worker->thread, &crew->attr, shs__pool_worker_main, worker) != 0) {
            atomic_fetch_sub(&crew->references, 1); /* the caller's is there */
            free_worker(worker);
            worker = NULL;
        }
    }
    if (worker == NULL) {
        group->start_ns = shs__deadline_after(shs_now_ns(), START_AGAIN_MS);
        return false;
    }
    worker->next = group->workers;
    if (group->workers != NULL)
        group->workers->prev = worker;
    group->workers = worker;
    group->threads++;
    atomic_fetch_add(&group->active, SHS_POOL_ONE);
    shs__pool_count_threads(crew, 1);
    return true;
}

/* With the lock: one more, a sleeper or a new one. False: there is none to be had. */
static bool add_one(struct shs_pool_group *group)
{
    struct shs_pool_worker *sleeper = group->asleep;

    if (sleeper == NULL)
        return group->threads < group->max && start_worker(group);
    group->asleep = sleeper->next_asleep;
    group->sleeping--;
    sleeper->asleep = false;
    sleeper->trimmed = NEVER;
    sleeper->stayed = 0;
    atomic_fetch_add(&group->active, SHS_POOL_ONE);
    pthread_cond_signal(&sleeper->wake);
    return true;
}

/* A number, not a moment: while they are started, those before them may go away again. */
static void add(struct shs_pool_group *group, int missing)
{
    for (; missing >= SHS_POOL_ONE / 2; missing -= SHS_POOL_ONE) {
        if (!add_one(group))
            return;
    }
}

void shs__pool_replace(struct shs_pool_group *group)
{
    add(group, wanted(group) - atomic_load(&group->active));
}

/* -- away -------------------------------------------------------------------------------------- */

/*
 * With the lock: how much of those who are away is about to be back, or is back and only lacks a
 * core. Others in their place would make it worse. Who is much later than expected waits for
 * something else.
 */
static int back_by(const struct shs_pool_group *group, int64_t now_ns, int64_t by_ns)
{
    int back = 0;

    for (const struct shs_pool_worker *worker = group->workers; worker != NULL;
         worker = worker->next) {
        int64_t when = atomic_load_explicit(&worker->back_ns, memory_order_relaxed);

        if (when <= by_ns && now_ns - when < LATE_NS)
            back += atomic_load_explicit(&worker->away, memory_order_relaxed);
    }
    return back;
}

bool shs__pool_fill_up(struct shs_pool_group *group)
{
    int64_t now = shs_now_ns();
    int active = atomic_load(&group->active);
    bool any = active + back_by(group, now, now + PATIENCE_NS) >= SHS_POOL_ONE / 2;
    int missing = wanted(group) - active - back_by(group, now, now + SOON_NS);

    add(group, missing);
    if (missing < SHS_POOL_ONE / 2) /* counting costs more than it brings, for a moment */
        atomic_store_explicit(&group->enough_ns, now + ENOUGH_NS, memory_order_relaxed);
    return any || atomic_load(&group->active) > 0;
}

int shs__pool_set_away(struct shs_pool_worker *worker, int away, int64_t now_ns)
{
    struct shs_pool_group *group = worker->group;
    int before = atomic_exchange(&worker->away, away);
    int more = away - before;

    if (more <= 0) {
        if (more < 0)
            atomic_fetch_sub(&group->active, more);
        return before;
    }
    atomic_store_explicit(&worker->was_away, true, memory_order_relaxed);
    (void)shs__pool_hand_over(worker);
    if (too_few(group, atomic_fetch_sub(&group->active, more) - more) &&
        now_ns >= atomic_load_explicit(&group->enough_ns, memory_order_relaxed)) {
        pthread_mutex_lock(&group->lock);
        (void)shs__pool_fill_up(group);
        pthread_mutex_unlock(&group->lock);
    }
    if (atomic_load(&group->ready_count) > 0)
        shs__pool_kick(group);
    return before;
}

void shs__pool_found_blocked(struct shs_pool_worker *worker)
{
    struct shs_pool_group *group = worker->group;
    int before = atomic_exchange(&worker->away, SHS_POOL_ONE);

    /* Not expected any more, so that others are: see back_by. */
    atomic_store_explicit(&worker->back_ns, INT64_MAX, memory_order_relaxed);
    if (before < SHS_POOL_ONE) {
        (void)shs__pool_hand_over(worker);
        atomic_fetch_sub(&group->active, SHS_POOL_ONE - before);
    }
    if (too_few(group, atomic_load(&group->active)))
        (void)shs__pool_fill_up(group);
    /* It marks what it begins and ends, and then looks whether it is away; this is the other order,
       so one of us sees the other. */
    if (atomic_load(&worker->busy) != worker->seen)
        atomic_fetch_add(&group->active, atomic_exchange(&worker->away, 0));
    if (atomic_load(&group->ready_count) > 0)
        shs__pool_kick(group);
}

/* -- fewer ------------------------------------------------------------------------------------- */

/* With the lock: it computes, time and again. */
static bool stays_here(struct shs_pool_worker *worker)
{
    if (atomic_exchange_explicit(&worker->was_away, false, memory_order_relaxed) ||
        atomic_load_explicit(&worker->away, memory_order_relaxed) != 0)
        worker->stayed = 0;
    else
        worker->stayed++;
    return worker->stayed >= STAYS;
}

/*
 * With the lock: so many of those who are awake had nothing to do since this was asked last, or do
 * not wait. The kernel gives an event to the worker that began to wait last, so who is not needed
 * stays idle.
 */
static int count_spare(struct shs_pool_group *group)
{
    int spare = 0;

    for (struct shs_pool_worker *worker = group->workers; worker != NULL; worker = worker->next) {
        uint32_t busy = atomic_load_explicit(&worker->busy, memory_order_relaxed);
        bool idle = (busy & 1) == 0 && busy == worker->trimmed, stays = stays_here(worker);

        spare += !worker->asleep && (idle || stays);
        worker->trimmed = busy;
    }
    return spare;
}

/* With the lock: how many there are that may not be, because max_threads is less than it was. */
static int excess(const struct shs_pool_group *group)
{
    unsigned stay = group->threads - group->leaving;

    return stay > group->max ? (int)(stay - group->max) : 0;
}

bool shs__pool_trim(struct shs_pool_group *group, int64_t now_ns)
{
    int spare, most;

    if (now_ns >= group->trim_ns) {
        group->trim_ns = shs__deadline_after(now_ns, TRIM_MS);
        spare = count_spare(group);
        most = (atomic_load(&group->active) - wanted(group)) / SHS_POOL_ONE;
        spare = spare < most ? spare : most;
        spare = spare > 0 ? (spare + 1) / 2 : 0;
        spare = spare > excess(group) ? spare : excess(group);
        atomic_store(&group->dismiss, spare);
        if (spare > 0)
            shs__pool_kick(group);
    }
    return group->threads - group->sleeping > atomic_load(&group->target);
}

static void forget_sleeper(struct shs_pool_group *group, const struct shs_pool_worker *worker)
{
    struct shs_pool_worker **at = &group->asleep;

    while (*at != worker)
        at = &(*at)->next_asleep;
    *at = worker->next_asleep;
    group->sleeping--;
}

/* With the lock: far more sleep than work. */
static bool is_crowd(const struct shs_pool_group *group)
{
    unsigned few = atomic_load(&group->target), work = group->threads - group->sleeping;

    return group->sleeping > few && group->sleeping > work / 4;
}

/* With the lock: sleeps until it is needed. False: it is not needed any more. */
static bool sleep_spare(struct shs_pool_worker *worker)
{
    struct shs_pool_group *group = worker->group;
    int64_t now = shs_now_ns(), until = shs__deadline_after(now, group->crew->spare_ms);
    int rc = 0;

    atomic_fetch_sub(&group->active, SHS_POOL_ONE);
    worker->asleep = true;
    worker->next_asleep = group->asleep;
    group->asleep = worker;
    group->sleeping++;
    while (worker->asleep && !shs__pool_is_over(group) && excess(group) == 0 &&
           (rc == 0 || (now < until && !is_crowd(group)))) {
        int64_t next = shs__deadline_after(now, CROWD_MS);
        struct timespec ts;

        next = next < until ? next : until;
        ts = shs__timespec(next);
        rc = pthread_cond_timedwait(&worker->wake, &group->lock, &ts);
        now = shs_now_ns();
    }
    if (!worker->asleep)
        return true; /* who woke us has counted us */
    forget_sleeper(group, worker);
    return false;
}

void shs__pool_wake_all(struct shs_pool_group *group)
{
    for (struct shs_pool_worker *worker = group->asleep; worker != NULL;
         worker = worker->next_asleep)
        pthread_cond_signal(&worker->wake);
}

void shs__pool_fit(struct shs_pool_group *group)
{
    if (excess(group) > 0) { /* those who sleep are the first */
        shs__pool_wake_all(group);
        atomic_store(&group->dismiss, excess(group));
    } else if (group->threads > 0) {
        shs__pool_replace(group);
    }
    shs__pool_kick(group);
}

bool shs__pool_stays(struct shs_pool_worker *worker)
{
    struct shs_pool_group *group = worker->group;
    bool awake = true, over;

    if (atomic_load_explicit(&group->dismiss, memory_order_relaxed) == 0 &&
        !atomic_load_explicit(&group->crew->closing, memory_order_relaxed))
        return true;
    /* Others may have to do what this one would have seen. */
    if (atomic_load(&group->ready_count) > 0)
        shs__pool_kick(group);
    pthread_mutex_lock(&group->lock);
    over = shs__pool_is_over(group);
    if (!over && atomic_load(&group->dismiss) > 0) {
        if (excess(group) == 0 && too_few(group, atomic_load(&group->active) - SHS_POOL_ONE)) {
            atomic_store(&group->dismiss, 0); /* it is needed, after all */
        } else {
            if (atomic_fetch_sub(&group->dismiss, 1) > 1)
                shs__pool_kick(group); /* the next one, if all of them wait for events */
            awake = sleep_spare(worker);
            over = shs__pool_is_over(group);
        }
    }
    if (over && awake)
        atomic_fetch_sub(&group->active, SHS_POOL_ONE);
    group->leaving += !awake || over;
    pthread_mutex_unlock(&group->lock);
    return awake && !over;
}

/* -- the end of one ---------------------------------------------------------------------------- */

static void unlink_worker(struct shs_pool_group *group, struct shs_pool_worker *worker)
{
    if (worker->prev != NULL)
        worker->prev->next = worker->next;
    else
        group->workers = worker->next;
    if (worker->next != NULL)
        worker->next->prev = worker->prev;
}

void shs__pool_leave(struct shs_pool_worker *worker)
{
    struct shs_pool_group *group = worker->group;

    shs__pool_count_threads(group->crew, -1);
    shs__pool_kick(group); /* the next one, if it all ends */
    pthread_mutex_lock(&group->lock);
    unlink_worker(group, worker);
    group->threads--;
    group->leaving--;
    worker->next = group->dead;
    group->dead = worker;
    pthread_cond_broadcast(&group->gone);
    if (atomic_load(&group->crew->closing)) {
        shs__pool_wake_all(group);
        shs__pool_monitor_call(group->crew); /* who is left to join us is the monitor, perhaps */
    }
    pthread_mutex_unlock(&group->lock);
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
        free_worker(dead);
        shs__pool_crew_unref(group->crew); /* never the last: the caller's is there */
        dead = next;
    }
}
