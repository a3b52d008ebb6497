/*
 * thread_pool_slot.c - who owns a connection, who is next, and whose time is up.
 */
#include "server/thread_pool.h"

#include <sys/epoll.h>

/* A slot whose deadline has passed while somebody owns it is looked at again after this. */
#define OWNED_LOOK_MS 100u

/* -- slots ------------------------------------------------------------------------------------ */

static uint64_t generation_of(uint64_t state)
{
    return state / SHS_POOL_GENERATION;
}

/* With slots_lock: another chunk of free ones. */
static bool add_chunk(struct shs_pool_group *group)
{
    unsigned number = group->slot_count / SHS_POOL_CHUNK;
    struct shs_pool_slot *chunk;

    if (number == SHS_POOL_CHUNKS)
        return false;
    chunk = shs__calloc(SHS_POOL_CHUNK, sizeof *chunk);
    if (chunk == NULL)
        return false;
    for (unsigned i = SHS_POOL_CHUNK; i-- > 0;) {
        chunk[i].index = group->slot_count + i;
        chunk[i].group = group->number;
        atomic_init(&chunk[i].timer_ns, INT64_MAX);
        chunk[i].next = group->free_slots;
        group->free_slots = &chunk[i];
    }
    group->slot_count += SHS_POOL_CHUNK;
    atomic_store_explicit(&group->chunks[number], chunk, memory_order_release);
    return true;
}

struct shs_pool_slot *shs__pool_slot_new(struct shs_pool_line *line, struct shs_conn *conn)
{
    struct shs_pool_group *group = line->group;
    struct shs_pool_slot *slot = NULL;
    uint64_t state;

    pthread_mutex_lock(&group->slots_lock);
    if (group->free_slots != NULL || add_chunk(group)) {
        slot = group->free_slots;
        group->free_slots = slot->next;
    }
    pthread_mutex_unlock(&group->slots_lock);
    if (slot == NULL)
        return NULL;
    atomic_fetch_add_explicit(&line->used, 1, memory_order_relaxed);
    atomic_store_explicit(&slot->line, (uint16_t)(line - group->lines), memory_order_relaxed);
    slot->conn = conn;
    slot->worker = NULL;
    slot->next = NULL;
    slot->door = NULL;
    slot->counted = false;
    slot->expired = false;
    slot->out = false;
    atomic_store_explicit(&slot->deadline_ns, INT64_MAX, memory_order_relaxed);
    state = atomic_load_explicit(&slot->state, memory_order_relaxed);
    atomic_store_explicit(&slot->state,
                          (generation_of(state) + 1) * SHS_POOL_GENERATION | SHS_POOL_OWNED,
                          memory_order_release);
    return slot;
}

static void timer_clear(struct shs_pool_group *group, struct shs_pool_slot *slot);

void shs__pool_slot_end(struct shs_pool_group *group, struct shs_pool_slot *slot)
{
    uint64_t state = atomic_load_explicit(&slot->state, memory_order_relaxed);

    timer_clear(group, slot);
    slot->conn = NULL;
    atomic_store_explicit(&slot->state, generation_of(state) * SHS_POOL_GENERATION | SHS_POOL_FREE,
                          memory_order_release);
}

void shs__pool_slot_free(struct shs_pool_group *group, struct shs_pool_slot *slot)
{
    struct shs_pool_line *line = shs__pool_line_of(group, slot);

    pthread_mutex_lock(&group->slots_lock);
    slot->next = group->free_slots;
    group->free_slots = slot;
    pthread_mutex_unlock(&group->slots_lock);
    if (atomic_fetch_sub(&line->used, 1) != 1 || !atomic_load(&line->closing))
        return;
    pthread_mutex_lock(&group->lock); /* its server_close waits for that */
    pthread_cond_broadcast(&group->gone);
    pthread_mutex_unlock(&group->lock);
}

uint64_t shs__pool_slot_ticket(const struct shs_pool_slot *slot)
{
    uint64_t state = atomic_load_explicit(&slot->state, memory_order_relaxed);

    return generation_of(state) << 32 | slot->index;
}

static struct shs_pool_slot *find(struct shs_pool_group *group, uint64_t ticket)
{
    uint32_t index = (uint32_t)ticket;
    struct shs_pool_slot *chunk =
        atomic_load_explicit(&group->chunks[index / SHS_POOL_CHUNK], memory_order_acquire);

    return &chunk[index % SHS_POOL_CHUNK];
}

/* What an event says that stays so. */
static uint64_t marks_of(uint32_t events)
{
    return ((events & (EPOLLRDHUP | EPOLLHUP | EPOLLERR)) != 0 ? SHS_POOL_HUNG_UP : 0u) |
           ((events & EPOLLPRI) != 0 ? SHS_POOL_URGENT : 0u);
}

/* The owner tells it to the connection. */
static void tell(struct shs_conn *conn, uint64_t marks)
{
    if ((marks & SHS_POOL_HUNG_UP) != 0)
        conn->socket.hung_up = true;
    if ((marks & SHS_POOL_URGENT) != 0)
        shs_conn_told_urgent(conn);
}

struct shs_pool_slot *shs__pool_claim(struct shs_pool_group *group, uint64_t ticket,
                                      uint32_t events)
{
    struct shs_pool_slot *slot = find(group, ticket);
    uint64_t marks = marks_of(events);
    uint64_t state = atomic_load_explicit(&slot->state, memory_order_relaxed);
    uint64_t to;

    do {
        if ((uint32_t)generation_of(state) != (uint32_t)(ticket >> 32) ||
            (state & SHS_POOL_WHERE) == SHS_POOL_FREE)
            return NULL;
        if ((state & SHS_POOL_WHERE) == SHS_POOL_PARKED)
            to = generation_of(state) * SHS_POOL_GENERATION | SHS_POOL_OWNED;
        else
            to = state | SHS_POOL_POKED | marks;
    } while (!atomic_compare_exchange_weak_explicit(&slot->state, &state, to, memory_order_acq_rel,
                                                    memory_order_relaxed));
    if ((to & SHS_POOL_POKED) != 0)
        return NULL;
    tell(slot->conn, marks);
    return slot;
}

bool shs__pool_release(struct shs_pool_slot *slot)
{
    uint64_t state = atomic_load_explicit(&slot->state, memory_order_relaxed);
    uint64_t clean = generation_of(state) * SHS_POOL_GENERATION;

    /* No mark: parked. The first one who claims it now is the owner, so nothing may follow. */
    if ((state & SHS_POOL_POKED) == 0 &&
        atomic_compare_exchange_strong_explicit(&slot->state, &state, clean | SHS_POOL_PARKED,
                                                memory_order_release, memory_order_relaxed))
        return true;
    state = atomic_exchange_explicit(&slot->state, clean | SHS_POOL_OWNED, memory_order_acquire);
    tell(slot->conn, state);
    return false;
}

struct shs_pool_slot *shs__pool_slot_at(struct shs_pool_group *group, uint32_t index)
{
    bool there;

    pthread_mutex_lock(&group->slots_lock);
    there = index < group->slot_count;
    pthread_mutex_unlock(&group->slots_lock);
    return there ? find(group, index) : NULL;
}

/* -- the heap, under timer_lock ------------------------------------------------------------------
 *
 * Four children to a node: fewer cache lines on the way down than with two.
 */

static void place(struct shs_pool_group *group, unsigned at, struct shs_pool_timer timer)
{
    group->heap[at] = timer;
    timer.slot->heap_at = at;
}

static void sift_up(struct shs_pool_group *group, unsigned at, struct shs_pool_timer timer)
{
    while (at > 0 && group->heap[(at - 1) / 4].when_ns > timer.when_ns) {
        place(group, at, group->heap[(at - 1) / 4]);
        at = (at - 1) / 4;
    }
    place(group, at, timer);
}

static void sift_down(struct shs_pool_group *group, unsigned at, struct shs_pool_timer timer)
{
    for (;;) {
        unsigned child = at * 4 + 1, end = child + 4, least;

        if (child >= group->heap_len)
            break;
        least = child;
        for (end = end < group->heap_len ? end : group->heap_len; child < end; child++) {
            if (group->heap[child].when_ns < group->heap[least].when_ns)
                least = child;
        }
        if (group->heap[least].when_ns >= timer.when_ns)
            break;
        place(group, at, group->heap[least]);
        at = least;
    }
    place(group, at, timer);
}

static void heap_move(struct shs_pool_group *group, struct shs_pool_slot *slot, int64_t when_ns)
{
    struct shs_pool_timer timer = {when_ns, slot};
    unsigned at = slot->heap_at;

    if (at > 0 && group->heap[(at - 1) / 4].when_ns > when_ns)
        sift_up(group, at, timer);
    else
        sift_down(group, at, timer);
}

static int heap_insert(struct shs_pool_group *group, struct shs_pool_slot *slot, int64_t when_ns)
{
    if (group->heap_len == group->heap_cap) {
        unsigned cap = group->heap_cap == 0 ? 64 : group->heap_cap * 2;
        struct shs_pool_timer *heap = shs__realloc(group->heap, cap * sizeof *heap);

        if (heap == NULL)
            return SHS_NOMEM;
        group->heap = heap;
        group->heap_cap = cap;
    }
    sift_up(group, group->heap_len++, (struct shs_pool_timer){when_ns, slot});
    return SHS_OK;
}

static void heap_remove(struct shs_pool_group *group, struct shs_pool_slot *slot)
{
    struct shs_pool_timer last = group->heap[--group->heap_len];

    atomic_store(&slot->timer_ns, INT64_MAX);
    if (last.slot == slot)
        return;
    last.slot->heap_at = slot->heap_at;
    heap_move(group, last.slot, last.when_ns);
}

/* -- deadlines -------------------------------------------------------------------------------- */

static void timer_clear(struct shs_pool_group *group, struct shs_pool_slot *slot)
{
    pthread_mutex_lock(&group->timer_lock);
    if (atomic_load(&slot->timer_ns) != INT64_MAX)
        heap_remove(group, slot);
    pthread_mutex_unlock(&group->timer_lock);
}

int shs__pool_timer_set(struct shs_pool_group *group, struct shs_pool_slot *slot)
{
    int64_t when = atomic_load(&slot->deadline_ns);
    int rc = SHS_OK;

    pthread_mutex_lock(&group->timer_lock);
    if (atomic_load(&slot->timer_ns) == INT64_MAX)
        rc = heap_insert(group, slot, when);
    else
        heap_move(group, slot, when);
    if (rc == SHS_OK)
        atomic_store(&slot->timer_ns, when);
    pthread_mutex_unlock(&group->timer_lock);
    if (rc == SHS_OK && when < atomic_load(&group->crew->monitor_until_ns))
        shs__pool_monitor_call(group->crew);
    return rc;
}

/*
 * The slot's moment has come, but its deadline has moved on. The owner sets a deadline and then
 * looks where the timer stands; here the timer is set and then the deadline is looked at again: one
 * of the two sees the other.
 */
static void follow(struct shs_pool_group *group, struct shs_pool_slot *slot, int64_t at_least_ns)
{
    int64_t when;

    do {
        when = atomic_load(&slot->deadline_ns);
        if (when < at_least_ns)
            when = at_least_ns;
        atomic_store(&slot->timer_ns, when);
    } while (atomic_load(&slot->deadline_ns) < when && when > at_least_ns);
    if (when == INT64_MAX)
        heap_remove(group, slot);
    else
        heap_move(group, slot, when);
}

bool shs__pool_claim_parked(struct shs_pool_slot *slot)
{
    uint64_t state = atomic_load_explicit(&slot->state, memory_order_relaxed);
    uint64_t clean = generation_of(state) * SHS_POOL_GENERATION;

    return (state & SHS_POOL_WHERE) == SHS_POOL_PARKED &&
           atomic_compare_exchange_strong_explicit(&slot->state, &state, clean | SHS_POOL_OWNED,
                                                   memory_order_acq_rel, memory_order_relaxed);
}

struct shs_pool_slot *shs__pool_timer_expire(struct shs_pool_group *group, int64_t now_ns,
                                             int64_t *next_ns)
{
    struct shs_pool_slot *slot = NULL;

    pthread_mutex_lock(&group->timer_lock);
    *next_ns = INT64_MAX;
    while (group->heap_len > 0 && slot == NULL) {
        struct shs_pool_slot *first = group->heap[0].slot;

        if (group->heap[0].when_ns > now_ns) {
            *next_ns = group->heap[0].when_ns;
            break;
        }
        if (atomic_load(&first->deadline_ns) > now_ns) {
            follow(group, first, now_ns + 1);
        } else if (shs__pool_claim_parked(first)) {
            slot = first;
            heap_remove(group, slot);
        } else {
            follow(group, first, shs__deadline_after(now_ns, OWNED_LOOK_MS));
        }
    }
    pthread_mutex_unlock(&group->timer_lock);
    if (slot != NULL)
        slot->expired = true;
    return slot;
}
