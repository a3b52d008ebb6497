/*
 * base_server.c - BaseServer: the default of every slot, and how it all ends.
 *
 * Follows CPython Lib/socketserver.py BaseServer; the names are the same.
 */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <sys/socket.h>

#include "server/server.h"

/* -- how it ends ------------------------------------------------------------------------------- */

/*
 * Wakes whoever waits for these peers: their poll sees the end of the stream. Idle connections end
 * at once; the others are cut when the grace is over.
 */
static void cut_connections(struct shs_server *self, bool all)
{
    for (struct shs_conn *c = self->live; c != NULL; c = c->next) {
        if (c->borrowed)
            continue; /* the descriptor is everybody's: its handler ends by itself */
        if (all)
            shs__socket_stream_cut(&c->socket, SHUT_RDWR);
        else if (atomic_load(&c->idle))
            shs__socket_stream_cut(&c->socket, SHUT_RD);
    }
}

/* With the lock: waits until no connection is left, or the moment; which may become an earlier one,
   for a signal handler may hurry us. Says meanwhile what it waits for. */
static void wait_for_connections(struct shs_server *self, int64_t until_ns,
                                 const _Atomic int64_t *or_earlier)
{
    while (self->live_count > 0) {
        int64_t now = shs_now_ns(), moment = atomic_load(or_earlier);
        int64_t slice = shs__deadline_after(now, SHS_DRAIN_SLICE_MS);
        struct timespec until;

        if (until_ns < moment)
            moment = until_ns;
        if (now >= moment)
            return;
        until = shs__timespec(slice < moment ? slice : moment);
        if (pthread_cond_timedwait(&self->changed, &self->lock, &until) != ETIMEDOUT)
            continue;
        pthread_mutex_unlock(&self->lock);
        shs__drain_look(self);
        pthread_mutex_lock(&self->lock);
    }
}

/* Gives the handlers until `grace_ns`, then cuts their connections, and waits until *until_ns, or
   (NULL) for close_ms from then on. Returns how many have not come back. */
static unsigned wait_for_handlers(struct shs_server *self, int64_t grace_ns,
                                  const _Atomic int64_t *until_ns)
{
    char names[SHS_DRAIN_NAMES_MAX];
    _Atomic int64_t soon;
    unsigned left, cut = 0;

    pthread_mutex_lock(&self->lock);
    wait_for_connections(self, grace_ns, &self->drain.cut_ns);
    if (self->live_count > 0) {
        cut = shs__drain_cut_busy(self, names, sizeof names);
        cut_connections(self, true);
        pthread_mutex_unlock(&self->lock);
        if (cut > 0)
            shs__drain_say_cut(self, names, cut);
        atomic_init(&soon, shs__deadline_after(shs_now_ns(), self->opt.close_ms));
        pthread_mutex_lock(&self->lock);
        wait_for_connections(self, INT64_MAX, until_ns != NULL ? until_ns : &soon);
    }
    left = self->live_count;
    pthread_mutex_unlock(&self->lock);
    return left;
}

static bool close_waits(const struct shs_server *self)
{
    return self->opt.block_on_close && !self->opt.daemon_threads;
}

static int base_server_close(struct shs_layer *layer)
{
    struct shs_server *self = layer->server;
    int64_t began = shs_now_ns(), until = atomic_load(&self->stop_deadline_ns);
    unsigned left = 0;

    pthread_mutex_lock(&self->lock);
    cut_connections(self, false);
    pthread_mutex_unlock(&self->lock);
    if (close_waits(self))
        left = wait_for_handlers(self, until - (int64_t)self->opt.close_ms * SHS_NS_PER_MS,
                                 &self->stop_deadline_ns);
    if (left > 0)
        return shs_server_fail(self, SHS_TIMEOUT, 0,
                               "%u request(s) still run after %" PRId64
                               " ms: their handlers do not return",
                               left, (shs_now_ns() - began) / SHS_NS_PER_MS);
    return SHS_OK;
}

/* However long ago it was closed: who is cut now needs the time to come back. */
void shs__server_close_and_wait(struct shs_server *self)
{
    shs_server_close(self);
    if (!close_waits(self))
        wait_for_handlers(self, shs__deadline_after(shs_now_ns(), self->opt.stop_ms), NULL);
}

int shs_server_close(struct shs_server *self)
{
    int64_t cut;
    int rc;

    if (self->closed)
        return SHS_OK;
    if (atomic_load(&self->serving))
        return SHS_USAGE; /* shs_shutdown_wait first; the error is the serving thread's */
    self->closed = true;
    cut = shs__drain_begin_close(self, shs_now_ns());
    atomic_store(&self->stop_deadline_ns, shs__deadline_after(cut, self->opt.close_ms));
    atomic_store(&self->stopping, true);
    /* Who has hurried us since, did not see that we were stopping. */
    shs__drain_hurried(self);
    rc = shs__server_close_chain(self);
    shs__drain_end_close(self);
    return rc;
}

/* -- BaseServer's slots ------------------------------------------------------------------------ */

static int base_nothing(struct shs_layer *layer)
{
    SHS_UNUSED(layer);
    return SHS_OK;
}

static void base_ignore(struct shs_layer *layer)
{
    SHS_UNUSED(layer);
}

static int base_get_request(struct shs_layer *layer, struct shs_conn **out)
{
    SHS_UNUSED(out);
    return shs_server_fail(layer->server, SHS_USAGE, 0,
                           "BaseServer has no socket: compose with TCPServer");
}

static int base_accept_request(struct shs_layer *layer, struct shs_listener *from,
                               struct shs_conn **out)
{
    SHS_UNUSED(from);
    return base_get_request(layer, out);
}

static bool base_verify_request(struct shs_layer *layer, struct shs_conn *conn)
{
    SHS_UNUSED(layer);
    SHS_UNUSED(conn);
    return true;
}

static void base_shutdown_request(struct shs_layer *layer, struct shs_conn *conn)
{
    shs_server_close_request(layer->server, conn);
}

static void base_close_request(struct shs_layer *layer, struct shs_conn *conn)
{
    SHS_UNUSED(layer);
    SHS_UNUSED(conn);
}

/* What a peer does is no fault of ours, and not worth waking anybody for. */
static enum shs_log_level level_of(enum shs_err code)
{
    switch (code) {
    case SHS_CLOSED:
    case SHS_RESET:
    case SHS_TRUNCATED:
    case SHS_TIMEOUT:
    case SHS_STOPPED:
    case SHS_PROTO:
    case SHS_TLS:
    case SHS_LIMIT:
    case SHS_IO:
        return SHS_LOG_INFO;
    case SHS_OK:
    case SHS_USAGE:
    case SHS_NOMEM:
    case SHS_EXIT:
    case SHS_DEADLOCK:
    case SHS_WAIT_READ:
    case SHS_WAIT_WRITE:
    case SHS_YIELD:
        break;
    }
    return SHS_LOG_ERROR;
}

static void base_handle_error(struct shs_layer *layer, struct shs_conn *conn,
                              const struct shs_error *err)
{
    char client[160];

    if (conn != NULL && conn->late)
        return;       /* one of thousands: shs__server_refused_late has said it */
    if (conn == NULL) /* not a peer's doing, then */
        shs_server_log(layer->server, SHS_LOG_ERROR, "%s (%s)", err->text, shs_err_name(err->code));
    else
        shs_server_log(layer->server, level_of(err->code), "request from %s failed: %s (%s)",
                       shs__conn_client_text(conn, client, sizeof client), err->text,
                       shs_err_name(err->code));
}

const struct shs_server_ops shs__base_server_ops = {
    .name = "BaseServer",
    .server_bind = base_nothing,
    .server_activate = base_nothing,
    .begin_serving = base_ignore,
    .get_request = base_get_request,
    .accept_request = base_accept_request,
    .any_thread = true,
    .verify_request = base_verify_request,
    .process_request = shs_schedule_request,
    .finish_request = shs__base_finish_request,
    .wait_request = shs__base_wait_request,
    .shutdown_request = base_shutdown_request,
    .close_request = base_close_request,
    .handle_error = base_handle_error,
    .handle_timeout = base_ignore,
    .service_actions = base_ignore,
    .server_close = base_server_close,
    .layer_free = base_ignore,
};
