/*
 * thread_pool_load.c - more clients than the workers can serve.
 *
 * All who have been accepted wait for the workers in one queue, the epoll set. Where more come than
 * can be served it would only hold clients who have given up by the time that they are served. So,
 * while clients are found that have waited for opt.late_ms before they were accepted (the kernel
 * knows), those who are let in are counted as inside until a worker begins with them, and so is how
 * many are begun with in a tenth of a second. That tells how long the next one would wait.
 *
 * Who would wait for longer stays in front of the door at first: it may be a burst. Where this
 * lasts he is told no, and at once: workers and monitor look after the door, as its event would
 * have to wait like every other (the idea is that of CoDel, RFC 8289). Who has said nothing yet is
 * counted apart, or a few silent clients could keep all others out.
 *
 * Nobody is refused who was there before all this, nor one who came while the process was stopped,
 * or had no core: they are owed an answer.
 */
#include <limits.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stddef.h>
#include <sys/socket.h>

#include "server/thread_pool.h"

/* It is not a burst any more. */
#define LASTS_MS 1000u
/* It is over when nobody has come late for so long. */
#define CALM_MS 1000u
/* Let in at once, before the worker looks at what else there is. */
#define BATCH 32u
/* For each worker that may be active so many may be inside, however long it takes; */
#define LEAST 4u
/* and as many until it is known how long it takes. */
#define FIRST 16u
/* How many are begun with is counted for so long. */
#define WINDOW_NS (100 * SHS_NS_PER_MS)
/* The door is looked after so often. */
#define VISIT_NS (5 * SHS_NS_PER_MS)

static unsigned late_ms_of(const struct shs_pool_door *door)
{
    return door->pool->scheduler.layer.server->opt.late_ms;
}

static unsigned for_each_worker(const struct shs_pool_door *door, unsigned count)
{
    return count * atomic_load_explicit(&door->group->target, memory_order_relaxed);
}

static bool is_over(int64_t since_ns, unsigned ms, int64_t now)
{
    return now >= shs__deadline_after(since_ns, ms);
}

/* -- begin and end ----------------------------------------------------------------------------- */

/* With the door's lock, as all that follows: somebody has come late. */
static void press(struct shs_pool_door *door, int64_t now)
{
    struct shs_pool_load *load = &door->load;

    if (load->late_ns == 0) {
        load->since_ns = now;
        atomic_store(&load->begun, 0);
        atomic_store(&load->window_ns, 0);
        atomic_store(&load->most, for_each_worker(door, FIRST));
        atomic_fetch_add(&door->group->pressed, 1);
    }
    load->late_ns = now;
}

void shs__pool_load_end(struct shs_pool_door *door)
{
    if (door->load.late_ns == 0)
        return;
    door->load.late_ns = 0;
    atomic_fetch_sub(&door->group->pressed, 1);
}

static bool lasts(const struct shs_pool_load *load, int64_t now)
{
    return load->late_ns != 0 && is_over(load->since_ns, LASTS_MS, now);
}

/* -- how many are inside ----------------------------------------------------------------------- */

/* Of those who have said something, or of the others. */
static bool is_full(struct shs_pool_load *load, bool said)
{
    return atomic_load(&load->inside[said]) >= atomic_load(&load->most);
}

unsigned shs__pool_load_room(struct shs_pool_door *door)
{
    struct shs_pool_load *load = &door->load;
    int64_t now;

    load->taken = 0;
    if (load->late_ns == 0)
        return BATCH;
    now = shs_now_ns();
    if (is_over(load->late_ns, CALM_MS, now))
        shs__pool_load_end(door);
    if (load->late_ns == 0 || lasts(load, now))
        return BATCH;
    return is_full(load, true) || is_full(load, false) ? 0 : BATCH;
}

void shs__pool_load_enter(struct shs_pool_door *door, struct shs_pool_slot *slot)
{
    if (door->load.late_ns == 0)
        return;
    slot->said = door->load.said;
    slot->door = door;
    atomic_fetch_add(&door->load.inside[slot->said], 1);
}

/* So many were begun with in a window: as many may be inside as are begun with in late_ms, half of
   them silent. */
static void count_begun(struct shs_pool_door *door)
{
    struct shs_pool_load *load = &door->load;
    int64_t now = shs_now_ns(), since = atomic_load(&load->window_ns);
    unsigned begun = atomic_fetch_add(&load->begun, 1), least = for_each_worker(door, LEAST);
    double most;

    if (since != 0 && now - since < WINDOW_NS)
        return;
    if (!atomic_compare_exchange_strong(&load->window_ns, &since, now))
        return; /* another worker does it */
    atomic_fetch_sub(&load->begun, begun);
    if (since == 0)
        return;
    most = (double)begun * late_ms_of(door) / 2 * SHS_NS_PER_MS / (double)(now - since);
    atomic_store(&load->most, most < least ? least : most < INT_MAX ? (unsigned)most : INT_MAX);
}

void shs__pool_load_leave(struct shs_pool_slot *slot)
{
    struct shs_pool_door *door = slot->door;

    slot->door = NULL;
    count_begun(door);
    atomic_fetch_sub(&door->load.inside[slot->said], 1);
}

void shs__pool_load_visit(struct shs_pool_group *group)
{
    int64_t now = shs_now_ns();
    unsigned most = atomic_load(&group->crew->most);

    for (unsigned n = 0; n < most; n++) {
        for (unsigned i = 0; i < SHS_MAX_ADDRESSES; i++) {
            struct shs_pool_door *door = shs__pool_door_at(group, n, i);
            int64_t next;

            if (door == NULL)
                break;
            next = atomic_load_explicit(&door->load.visit_ns, memory_order_relaxed);
            if (now >= next &&
                atomic_compare_exchange_strong(&door->load.visit_ns, &next, now + VISIT_NS))
                shs__pool_knock(door);
        }
    }
}

/* -- who comes too late ------------------------------------------------------------------------ */

/* Since it has sent something, or since it was there; 0: nobody knows. */
static unsigned waited_ms(const struct shs_conn *conn)
{
    struct tcp_info info;
    socklen_t len =
        offsetof(struct tcp_info, tcpi_last_data_recv) + sizeof info.tcpi_last_data_recv;

    info.tcpi_last_data_recv = 0;
    if (conn->client.sa.sa_family == AF_UNIX ||
        getsockopt(conn->socket.fd, IPPROTO_TCP, TCP_INFO, &info, &len) != 0)
        return 0;
    return info.tcpi_last_data_recv;
}

/* There is something to be answered. */
static bool has_said(const struct shs_conn *conn)
{
    char byte;

    return recv(conn->socket.fd, &byte, 1, MSG_PEEK | MSG_DONTWAIT) > 0;
}

/* He came while the monitor looked again and again: so the process ran, and did not come to him. */
static bool came_while_it_ran(const struct shs_pool_crew *crew, int64_t came, int64_t now)
{
    return now - atomic_load(&crew->looked_ns) < SHS_POOL_NOT_RUNNING_NS &&
           came >= atomic_load(&crew->looks_since_ns);
}

bool shs__pool_load_refuses(struct shs_pool_door *door, const struct shs_conn *conn)
{
    struct shs_pool_load *load = &door->load;
    unsigned late_ms = late_ms_of(door), ms;
    int64_t now = conn->accepted_ns, came;
    bool full;

    /* The first one of a batch is often the only one. */
    if (late_ms == UINT_MAX || (load->taken++ == 0 && load->late_ns == 0))
        return false;
    ms = waited_ms(conn);
    load->said = load->late_ns != 0 && has_said(conn);
    full = load->late_ns != 0 && is_full(load, load->said);
    if (ms > late_ms || full)
        press(door, now);
    if ((ms <= late_ms && !full) || !lasts(load, now))
        return false;
    came = now - (int64_t)ms * SHS_NS_PER_MS;
    return came >= load->since_ns && came_while_it_ran(door->group->crew, came, now);
}
