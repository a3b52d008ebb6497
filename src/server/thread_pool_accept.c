/*
 * thread_pool_accept.c - connections that the workers take by themselves: the pool's doors.
 *
 * A listening socket is in its group's epoll set like everything else, edge-triggered, so a new
 * connection costs no hand-over from the serving thread. Several groups have a listening socket
 * each at every address (SO_REUSEPORT), and the kernel spreads the connections over them.
 *
 * What a program sees is the same: where a layer wants to see requests on the serving thread, that
 * one takes them, as in every other composition.
 */
#include <errno.h>
#include <sys/epoll.h>
#include <unistd.h>

#include "server/thread_pool.h"

#define POOL(s) SHS_CONTAINER_OF(s, struct shs_thread_pool, scheduler)

struct shs_pool_door *shs__pool_door_at(struct shs_pool_group *group, unsigned member, unsigned i)
{
    return atomic_load_explicit(&group->lines[member].doors[i], memory_order_acquire);
}

struct shs_pool_door *shs__pool_door_of(struct shs_pool_group *group, uint64_t data)
{
    if (data < SHS_POOL_DOORS || data == SHS_POOL_KICK)
        return NULL;
    data -= SHS_POOL_DOORS;
    return shs__pool_door_at(group, (unsigned)(data / SHS_MAX_ADDRESSES),
                             (unsigned)(data % SHS_MAX_ADDRESSES));
}

static uint64_t ticket_of(const struct shs_pool_door *door)
{
    return SHS_POOL_DOORS + door->number;
}

/* Of this member; once they are made. */
static struct shs_pool_door *door_of(const struct shs_thread_pool *pool, unsigned group, unsigned i)
{
    return shs__pool_door_at(&pool->crew->groups[group], pool->number, i);
}

/* -- one after the other ----------------------------------------------------------------------- */

/*
 * It is not possible now, or not any more. The serving thread tells when it is; it may have looked
 * before we said so, hence the second look.
 */
static bool rests(struct shs_server *server, struct shs_pool_door *door)
{
    if (shs_server_may_accept(server))
        return false;
    atomic_store(&door->resting, true);
    if (!shs_server_may_accept(server) || !atomic_exchange(&door->resting, false)) {
        shs_server_ask_resume(server);
        return true;
    }
    return false;
}

/* With the lock. The kernel looks again, and tells if somebody is there. */
static void look_anew(struct shs_pool_door *door)
{
    struct epoll_event event = {.events = EPOLLIN | EPOLLET, .data.u64 = ticket_of(door)};

    (void)epoll_ctl(door->group->epoll_fd, EPOLL_CTL_MOD, shs_listener_fileno(door->from), &event);
}

/* With the lock. */
static void accept_batch(struct shs_pool_door *door)
{
    struct shs_server *server = door->pool->scheduler.layer.server;
    unsigned most = shs__pool_load_room(door);

    for (unsigned i = 0; i < most; i++) {
        int rc;

        if (atomic_load(&server->shutdown_requested) || rests(server, door))
            return;
        rc = shs_server_take_request(server, door->from);
        if (rc == SHS_OK)
            continue;
        if (rc == SHS_WAIT_READ && !rests(server, door)) /* else a descriptor is missing */
            shs__pool_load_empty(door);
        return;
    }
    if (most > 0)
        look_anew(door); /* others first, and perhaps another worker */
}

void shs__pool_knock(struct shs_pool_door *door)
{
    atomic_store(&door->knocked, true);
    /* Who has the lock sees it when it lets go; so nobody waits here, and nobody is forgotten. */
    while (atomic_load(&door->knocked) && pthread_mutex_trylock(&door->lock) == 0) {
        atomic_store(&door->knocked, false);
        if (door->listens)
            accept_batch(door);
        pthread_mutex_unlock(&door->lock);
    }
}

void shs__pool_knock_again(struct shs_pool_door *door)
{
    atomic_store(&door->knocked, true);
    /* Likewise; and once listening has ended, the descriptor may be closed, or another's. */
    while (atomic_load(&door->knocked) && pthread_mutex_trylock(&door->lock) == 0) {
        atomic_store(&door->knocked, false);
        if (door->listens)
            look_anew(door);
        pthread_mutex_unlock(&door->lock);
    }
}

/* -- the doors --------------------------------------------------------------------------------- */

static struct shs_pool_door *new_door(struct shs_pool_group *group, unsigned number)
{
    struct shs_pool_door *door = shs__calloc(1, sizeof *door);

    if (door == NULL)
        return NULL;
    door->group = group;
    door->number = number;
    atomic_init(&door->own.fd, -1);
    pthread_mutex_init(&door->lock, NULL);
    return door;
}

/* When the server has its addresses. A member before us with this number has left its own. */
static int make_doors(struct shs_pool_group *group, struct shs_thread_pool *pool, unsigned count)
{
    for (unsigned i = 0; i < count; i++) {
        struct shs_pool_door *door = shs__pool_door_at(group, pool->number, i);

        if (door == NULL) {
            door = new_door(group, pool->number * SHS_MAX_ADDRESSES + i);
            if (door == NULL)
                return SHS_NOMEM;
        }
        pthread_mutex_lock(&door->lock);
        door->pool = pool;
        pthread_mutex_unlock(&door->lock);
        atomic_store_explicit(&group->lines[pool->number].doors[i], door, memory_order_release);
    }
    return SHS_OK;
}

void shs__pool_free_doors(struct shs_pool_group *group)
{
    for (unsigned n = 0; n < SHS_POOL_MEMBERS; n++) {
        for (unsigned i = 0; i < SHS_MAX_ADDRESSES; i++) {
            struct shs_pool_door *door = shs__pool_door_at(group, n, i);

            if (door == NULL)
                break;
            pthread_mutex_destroy(&door->lock);
            shs__free(door);
        }
    }
}

/* At one address: a socket for each group; or for want of them one for all. */
static void open_doors(struct shs_thread_pool *pool, unsigned i)
{
    struct shs_server *server = pool->scheduler.layer.server;
    struct shs_listener *listener = shs_server_listener(server, i);
    unsigned groups = pool->crew->group_count;
    bool each = true;

    for (unsigned g = 1; g < groups && each; g++) {
        struct shs_listener *own = &door_of(pool, g, i)->own;

        if (shs_listener_fileno(own) < 0) /* else it is there from the last time */
            each = shs__tcp_listen_again(server, listener, own) == SHS_OK;
    }
    for (unsigned g = 1; g < groups && !each; g++) {
        int fd = atomic_exchange(&door_of(pool, g, i)->own.fd, -1);

        if (fd >= 0)
            close(fd);
    }
    for (unsigned g = 0; g < groups; g++) {
        struct shs_pool_door *door = door_of(pool, g, i);

        door->from = g == 0 ? listener : each ? &door->own : NULL;
        if (door->from != NULL)
            door->from->owner = door;
        door->alone = !each;
    }
}

static bool listen_in(struct shs_pool_door *door)
{
    struct epoll_event event = {.events = EPOLLIN | EPOLLET, .data.u64 = ticket_of(door)};

    if (door->from == NULL)
        return true;
    pthread_mutex_lock(&door->lock);
    door->listens = epoll_ctl(door->group->epoll_fd, EPOLL_CTL_ADD, shs_listener_fileno(door->from),
                              &event) == 0;
    pthread_mutex_unlock(&door->lock);
    if (atomic_load(&door->knocked)) /* a worker came while we had the lock, and left it to us */
        shs__pool_knock_again(door);
    return door->listens;
}

static void stop_listening(struct shs_pool_door *door)
{
    pthread_mutex_lock(&door->lock);
    if (door->listens)
        (void)epoll_ctl(door->group->epoll_fd, EPOLL_CTL_DEL, shs_listener_fileno(door->from),
                        NULL);
    door->listens = false;
    shs__pool_load_end(door);
    if (door->from != NULL)
        door->from->owner = NULL;
    pthread_mutex_unlock(&door->lock);
}

void shs__pool_close_doors(struct shs_thread_pool *pool)
{
    for (unsigned g = 1; g < pool->crew->group_count; g++) {
        for (unsigned i = 0; i < pool->door_count; i++) {
            int fd = atomic_exchange(&door_of(pool, g, i)->own.fd, -1);

            if (fd >= 0)
                close(fd);
        }
    }
}

/* -- the scheduler's ops ----------------------------------------------------------------------- */

void shs__pool_stop(struct shs_scheduler *scheduler)
{
    struct shs_thread_pool *pool = POOL(scheduler);

    for (unsigned g = 0; g < pool->crew->group_count; g++) {
        for (unsigned i = 0; i < pool->door_count; i++)
            stop_listening(door_of(pool, g, i));
    }
}

bool shs__pool_start(struct shs_scheduler *scheduler, bool may_take)
{
    struct shs_thread_pool *pool = POOL(scheduler);
    unsigned count = shs_server_listener_count(scheduler->layer.server);
    struct shs_pool_group *groups = pool->crew->groups;
    bool ready = may_take;

    for (unsigned g = 0; ready && g < pool->crew->group_count; g++)
        ready = shs__pool_ready(&groups[g]) && make_doors(&groups[g], pool, count) == SHS_OK;
    if (!ready)
        return false;
    pool->door_count = count;
    for (unsigned i = 0; i < count; i++)
        open_doors(pool, i);
    for (unsigned g = 0; ready && g < pool->crew->group_count; g++) {
        for (unsigned i = 0; ready && i < count; i++)
            ready = listen_in(door_of(pool, g, i));
    }
    if (!ready) {
        shs__pool_stop(scheduler);
        shs__pool_close_doors(pool); /* who would look after them? */
    }
    return ready;
}

/* With the serving thread's word that it is possible. */
void shs__pool_resume(struct shs_scheduler *scheduler)
{
    struct shs_thread_pool *pool = POOL(scheduler);

    for (unsigned g = 0; g < pool->crew->group_count; g++) {
        for (unsigned i = 0; i < pool->door_count; i++) {
            if (atomic_exchange(&door_of(pool, g, i)->resting, false))
                shs__pool_knock_again(door_of(pool, g, i));
        }
    }
}
