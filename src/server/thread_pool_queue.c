/*
 * thread_pool_queue.c - connections that wait for a worker: a line for each member of the crew.
 *
 * The lines that have somebody are in a ring, and each in it gives one in its turn. A line whose
 * bound is reached leaves the ring, with all who are in it, and so does its share of `ready_count`:
 * nobody looks for what may not begin. Whoever is through at one of its connections brings it back.
 */
#include <limits.h>

#include "server/thread_pool.h"

struct shs_pool_line *shs__pool_line_of(struct shs_pool_group *group,
                                        const struct shs_pool_slot *slot)
{
    return &group->lines[atomic_load_explicit(&slot->line, memory_order_relaxed)];
}

/* -- the ring, under ready_lock ---------------------------------------------------------------- */

/* As the last one, behind whoever had the last turn. */
static void ring_add(struct shs_pool_group *group, struct shs_pool_line *line)
{
    if (line->in_ring)
        return;
    if (group->turn == NULL) {
        line->next = line;
    } else {
        line->next = group->turn->next;
        group->turn->next = line;
    }
    group->turn = line;
    line->in_ring = true;
}

static void ring_remove(struct shs_pool_group *group, struct shs_pool_line *line)
{
    struct shs_pool_line *before = line;

    if (!line->in_ring)
        return;
    while (before->next != line)
        before = before->next;
    before->next = line->next;
    if (group->turn == line)
        group->turn = before == line ? NULL : before;
    line->in_ring = false;
}

static unsigned waiting(const struct shs_pool_line *line)
{
    return atomic_load_explicit(&line->count, memory_order_relaxed);
}

/* The first of a line leaves it. */
static struct shs_pool_slot *take_first(struct shs_pool_line *line)
{
    struct shs_pool_group *group = line->group;
    struct shs_pool_slot *slot = line->first;

    line->first = slot->next;
    if (slot->next == NULL)
        line->last = NULL;
    atomic_fetch_sub(&line->count, 1);
    if (!atomic_load(&line->held))
        atomic_fetch_sub(&group->ready_count, 1);
    if (line->first == NULL)
        ring_remove(group, line);
    return slot;
}

/* -- the bound --------------------------------------------------------------------------------- */

static bool has_room(const struct shs_pool_line *line)
{
    return atomic_load(&line->running) < atomic_load(&line->bound);
}

static void let_go(struct shs_pool_line *line)
{
    atomic_store(&line->held, false);
    atomic_fetch_add(&line->group->ready_count, waiting(line));
    if (line->first != NULL)
        ring_add(line->group, line);
}

/* Its bound is reached. Who is through lowers `running` and then looks at `held`; here it is the
   other way round: one of us sees the other. True: it stays so. */
static bool hold(struct shs_pool_line *line)
{
    ring_remove(line->group, line);
    atomic_store(&line->held, true);
    atomic_fetch_sub(&line->group->ready_count, waiting(line));
    if (!has_room(line))
        return true;
    let_go(line);
    return false;
}

void shs__pool_line_release(struct shs_pool_line *line)
{
    bool any = false;

    if (!atomic_load(&line->held))
        return;
    pthread_mutex_lock(&line->group->ready_lock);
    if (atomic_load(&line->held) && has_room(line)) {
        let_go(line);
        any = line->first != NULL;
    }
    pthread_mutex_unlock(&line->group->ready_lock);
    if (any)
        shs__pool_kick(line->group);
}

bool shs__pool_line_enter(struct shs_pool_line *line)
{
    if (atomic_fetch_add(&line->running, 1) < atomic_load(&line->bound))
        return true;
    shs__pool_line_leave(line);
    return false;
}

void shs__pool_line_leave(struct shs_pool_line *line)
{
    atomic_fetch_sub(&line->running, 1);
    shs__pool_line_release(line);
}

/* -- in and out -------------------------------------------------------------------------------- */

void shs__pool_ready_push(struct shs_pool_group *group, struct shs_pool_slot *slot)
{
    struct shs_pool_line *line = shs__pool_line_of(group, slot);

    slot->next = NULL;
    slot->queued_ns = shs_now_ns();
    pthread_mutex_lock(&group->ready_lock);
    if (line->last == NULL)
        line->first = slot;
    else
        line->last->next = slot;
    line->last = slot;
    atomic_fetch_add(&line->count, 1);
    if (!atomic_load(&line->held)) {
        ring_add(group, line);
        atomic_fetch_add(&group->ready_count, 1);
    }
    pthread_mutex_unlock(&group->ready_lock);
}

/* Under ready_lock: the line whose turn it is, with the worker counted at it. NULL: none. */
static struct shs_pool_line *next_line(struct shs_pool_group *group, struct shs_pool_worker *worker)
{
    while (group->turn != NULL) {
        struct shs_pool_line *line = group->turn->next;

        worker->counted = atomic_load(&line->bound) != UINT_MAX;
        if (!worker->counted || atomic_fetch_add(&line->running, 1) < atomic_load(&line->bound)) {
            group->turn = line;
            return line;
        }
        atomic_fetch_sub(&line->running, 1);
        (void)hold(line);
    }
    return NULL;
}

struct shs_pool_slot *shs__pool_ready_pop(struct shs_pool_group *group,
                                          struct shs_pool_worker *worker)
{
    struct shs_pool_slot *slot = NULL;
    struct shs_pool_line *line;

    pthread_mutex_lock(&group->ready_lock);
    line = next_line(group, worker);
    if (line != NULL)
        slot = take_first(line);
    pthread_mutex_unlock(&group->ready_lock);
    return slot;
}

struct shs_pool_slot *shs__pool_line_pop(struct shs_pool_line *line, int64_t before_ns)
{
    struct shs_pool_slot *slot = NULL;

    pthread_mutex_lock(&line->group->ready_lock);
    if (line->first != NULL && line->first->queued_ns <= before_ns)
        slot = take_first(line);
    pthread_mutex_unlock(&line->group->ready_lock);
    return slot;
}
