/*
 * thread_pool_load.c - more clients than the workers can serve.
 *
 * All who have been accepted wait for the workers in one queue, the epoll set. Where more come than
 * can be served it would only hold clients who have given up by the time that they are served. So
 * each door has a control (load_control.h), which is told how long they have waited in front of it
 * (the kernel knows), who is let in, and when a worker begins with him.
 *
 * While a door is not calm, workers and monitor look after it, as its event would have to wait like
 * every other. Who has said nothing yet is counted apart, or a few silent clients could keep all
 * others out.
 */
#include <limits.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stddef.h>
#include <sys/socket.h>

#include "server/thread_pool.h"

/* The door is looked after so often. */
#define VISIT_NS (5 * SHS_NS_PER_MS)

static struct shs_load_bounds bounds_of(const struct shs_pool_door *door)
{
    unsigned workers = atomic_load_explicit(&door->group->target, memory_order_relaxed);

    return (struct shs_load_bounds){
        .late_ms = door->pool->scheduler.layer.server->opt.late_ms,
        .workers = workers > 0 ? workers : 1,
    };
}

/* With the door's lock, as all but the last two: the group knows whether it is to be visited. */
static void tell_group(struct shs_pool_door *door)
{
    bool pressed = door->load.control.phase != SHS_LOAD_CALM;

    if (pressed == door->load.pressed)
        return;
    door->load.pressed = pressed;
    if (pressed)
        atomic_fetch_add(&door->group->pressed, 1);
    else
        atomic_fetch_sub(&door->group->pressed, 1);
}

/* -- who is let in ----------------------------------------------------------------------------- */

unsigned shs__pool_load_room(struct shs_pool_door *door)
{
    unsigned room = shs__load_room(&door->load.control, shs_now_ns());

    door->load.taken = 0;
    tell_group(door);
    return room;
}

void shs__pool_load_empty(struct shs_pool_door *door)
{
    if (!door->load.pressed)
        return;
    shs__load_empty(&door->load.control, shs_now_ns());
    tell_group(door);
}

void shs__pool_load_end(struct shs_pool_door *door)
{
    shs__load_end(&door->load.control);
    tell_group(door);
}

void shs__pool_load_enter(struct shs_pool_door *door, struct shs_pool_slot *slot)
{
    if (!door->load.pressed)
        return;
    slot->said = door->load.said;
    slot->door = door;
    shs__load_enter(&door->load.control, slot->said);
}

void shs__pool_load_leave(struct shs_pool_slot *slot)
{
    struct shs_pool_door *door = slot->door;

    slot->door = NULL;
    shs__load_leave(&door->load.control, bounds_of(door), slot->said, shs_now_ns());
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

/* What the kernel knows of one who was accepted: since when he waits, and if he still does. */
static struct shs_load_client look_at(const struct shs_conn *conn)
{
    struct shs_load_client client = {.waited_ms = 0};
    struct tcp_info info;
    socklen_t len =
        offsetof(struct tcp_info, tcpi_last_data_recv) + sizeof info.tcpi_last_data_recv;

    info.tcpi_last_data_recv = 0;
    info.tcpi_state = TCP_ESTABLISHED;
    if (conn->client.sa.sa_family == AF_UNIX ||
        getsockopt(conn->socket.fd, IPPROTO_TCP, TCP_INFO, &info, &len) != 0)
        return client;
    client.waited_ms = info.tcpi_last_data_recv;
    client.gone = info.tcpi_state != TCP_ESTABLISHED;
    return client;
}

/* There is something to be answered. */
static bool has_said(const struct shs_conn *conn)
{
    char byte;

    return recv(conn->socket.fd, &byte, 1, MSG_PEEK | MSG_DONTWAIT) > 0;
}

bool shs__pool_load_refuses(struct shs_pool_door *door, const struct shs_conn *conn)
{
    struct shs_pool_load *load = &door->load;
    struct shs_load_bounds bounds = bounds_of(door);
    struct shs_load_client client;
    bool refuses;

    /* The first one of a batch is often the only one. */
    if (bounds.late_ms == UINT_MAX || (load->taken++ == 0 && !load->pressed))
        return false;
    client = look_at(conn);
    load->said = client.said = load->pressed && has_said(conn);
    refuses = shs__load_refuses(&load->control, bounds, client, conn->accepted_ns);
    tell_group(door);
    return refuses;
}
