/*
 * thread_pool_accept.c - connections that the workers accept by themselves.
 *
 * The listening socket is in the group's epoll set like everything else, edge-triggered, so a new
 * connection costs no hand-over from the serving thread. Several groups have a listening socket
 * each (SO_REUSEPORT), and the kernel spreads the connections over them.
 *
 * What a program sees is the same: if any layer but the pool's own has a get_request, a
 * verify_request or a process_request, the serving thread accepts as in every other composition.
 */
#include <errno.h>
#include <sys/epoll.h>
#include <unistd.h>

#include "server/thread_pool.h"

/* Connections taken in one go, before this worker looks at what else there is. */
#define ACCEPT_BATCH 32

#define POOL(l) SHS_CONTAINER_OF(l, struct shs_thread_pool, layer)

/* -- one after the other ----------------------------------------------------------------------- */

/* A connection that waits, if there is one: SHS_OK, SHS_WAIT_READ, SHS_STOPPED. */
static int accept_one(struct shs_thread_pool *pool, struct shs_pool_group *group)
{
    struct shs_server *server = pool->layer.server;
    struct shs_conn *conn = NULL;
    int rc = shs__tcp_accept(server, group->listen_fd, &conn);

    if (rc != SHS_OK)
        return shs__server_get_failed(server, rc);
    shs__server_add_conn(server, conn);
    atomic_fetch_add_explicit(&server->stats.accepted, 1, memory_order_relaxed);
    if (pool->one_listener)
        rc = shs__pool_process_request(&pool->layer, conn);
    else
        rc = shs__pool_take(pool, group, conn);
    return rc >= 0 ? SHS_OK : shs__server_process_failed(server, conn, rc);
}

/*
 * It is not possible now, or not any more. The serving thread tells when it is; it may have looked
 * before we said so, hence the second look.
 */
static bool rests(struct shs_server *server, struct shs_pool_group *group)
{
    if (shs__server_may_accept(server))
        return false;
    atomic_store(&group->resting, true);
    if (!shs__server_may_accept(server) || !atomic_exchange(&group->resting, false)) {
        shs__server_wake(server); /* it has a moment to wait for */
        return true;
    }
    return false;
}

/* With accept_lock. The kernel looks anew, and tells if somebody is there. */
static void look_anew(struct shs_pool_group *group)
{
    struct epoll_event event = {.events = EPOLLIN | EPOLLET, .data.u64 = SHS_POOL_LISTENER};

    (void)epoll_ctl(group->epoll_fd, EPOLL_CTL_MOD, group->listen_fd, &event);
}

/* With accept_lock. */
static void accept_batch(struct shs_thread_pool *pool, struct shs_pool_group *group)
{
    struct shs_server *server = pool->layer.server;

    for (int i = 0; i < ACCEPT_BATCH; i++) {
        int rc;

        if (atomic_load(&server->shutdown_requested) || rests(server, group))
            return;
        rc = accept_one(pool, group);
        if (rc == SHS_OK)
            continue;
        if (rc == SHS_WAIT_READ) { /* nobody is there, or a descriptor is missing */
            (void)rests(server, group);
            return;
        }
        atomic_store(&server->accept_result, rc);
        shs__server_wake(server);
        return;
    }
    look_anew(group); /* others first, and perhaps another worker */
}

void shs__pool_knock(struct shs_pool_group *group)
{
    atomic_store(&group->knocked, true);
    /* Who has the lock sees it when it lets go; so nobody waits here, and nobody is forgotten. */
    while (atomic_load(&group->knocked) && pthread_mutex_trylock(&group->accept_lock) == 0) {
        atomic_store(&group->knocked, false);
        if (group->listens)
            accept_batch(group->pool, group);
        pthread_mutex_unlock(&group->accept_lock);
    }
}

void shs__pool_knock_again(struct shs_pool_group *group)
{
    atomic_store(&group->knocked, true);
    /* Likewise; and once listening has ended, the descriptor may be closed, or another's. */
    while (atomic_load(&group->knocked) && pthread_mutex_trylock(&group->accept_lock) == 0) {
        atomic_store(&group->knocked, false);
        if (group->listens)
            look_anew(group);
        pthread_mutex_unlock(&group->accept_lock);
    }
}

/* -- begin and end ----------------------------------------------------------------------------- */

/* A listening socket for each group, or for want of them one for all. */
static void open_listeners(struct shs_thread_pool *pool)
{
    struct shs_server *server = pool->layer.server;
    int fd = -1;

    pool->groups[0].listen_fd = server->fd;
    pool->one_listener = false;
    for (unsigned i = 1; i < pool->group_count && !pool->one_listener; i++) {
        if (pool->groups[i].listen_fd >= 0)
            continue; /* from the last time */
        if (shs__tcp_listen_again(server, &fd) == SHS_OK)
            pool->groups[i].listen_fd = fd;
        else
            pool->one_listener = true;
    }
    if (pool->one_listener)
        shs__pool_close_listeners(pool);
}

static bool listen_in(struct shs_pool_group *group)
{
    struct epoll_event event = {.events = EPOLLIN | EPOLLET, .data.u64 = SHS_POOL_LISTENER};

    if (group->listen_fd < 0)
        return true;
    pthread_mutex_lock(&group->accept_lock);
    group->listens = epoll_ctl(group->epoll_fd, EPOLL_CTL_ADD, group->listen_fd, &event) == 0;
    pthread_mutex_unlock(&group->accept_lock);
    if (atomic_load(&group->knocked)) /* a worker came while we had the lock, and left it to us */
        shs__pool_knock_again(group);
    return group->listens;
}

static void acceptor_stop(struct shs_layer *layer)
{
    struct shs_thread_pool *pool = POOL(layer);

    for (unsigned i = 0; i < pool->group_count; i++) {
        struct shs_pool_group *group = &pool->groups[i];

        pthread_mutex_lock(&group->accept_lock);
        if (group->listens)
            (void)epoll_ctl(group->epoll_fd, EPOLL_CTL_DEL, group->listen_fd, NULL);
        group->listens = false;
        pthread_mutex_unlock(&group->accept_lock);
    }
}

static bool acceptor_start(struct shs_layer *layer)
{
    struct shs_thread_pool *pool = POOL(layer);
    bool ready = shs__server_accepts_plainly(layer->server, shs__pool_process_request);

    if (!ready)
        return false;
    for (unsigned i = 0; ready && i < pool->group_count; i++)
        ready = shs__pool_ready(pool, &pool->groups[i]);
    if (ready)
        open_listeners(pool);
    for (unsigned i = 0; ready && i < pool->group_count; i++)
        ready = listen_in(&pool->groups[i]);
    if (!ready) {
        acceptor_stop(layer);
        shs__pool_close_listeners(pool); /* who would look after them? */
    }
    return ready;
}

/* With the serving thread's word that it is possible. */
static void acceptor_again(struct shs_layer *layer)
{
    struct shs_thread_pool *pool = POOL(layer);

    for (unsigned i = 0; i < pool->group_count; i++) {
        if (atomic_exchange(&pool->groups[i].resting, false))
            shs__pool_knock_again(&pool->groups[i]);
    }
}

/* Who came by the others' sockets is served as well while the loop accepts by itself. */
static unsigned acceptor_listeners(struct shs_layer *layer, int *fds, unsigned max)
{
    struct shs_thread_pool *pool = POOL(layer);
    unsigned count = 0;

    for (unsigned i = 1; i < pool->group_count && count < max; i++) {
        if (pool->groups[i].listen_fd >= 0)
            fds[count++] = pool->groups[i].listen_fd;
    }
    return count;
}

void shs__pool_close_listeners(struct shs_thread_pool *pool)
{
    for (unsigned i = 1; i < pool->group_count; i++) {
        if (pool->groups[i].listen_fd >= 0)
            close(pool->groups[i].listen_fd);
        pool->groups[i].listen_fd = -1;
    }
}

void shs__pool_acceptor_init(struct shs_thread_pool *pool)
{
    struct shs_server *server = pool->layer.server;

    server->acceptor.start = acceptor_start;
    server->acceptor.stop = acceptor_stop;
    server->acceptor.again = acceptor_again;
    server->acceptor.listeners = acceptor_listeners;
    server->acceptor.layer = &pool->layer;
}
