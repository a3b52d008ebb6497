/*
 * methods.c - self.X() and super().X(): the walk along the chain, a pair per slot.
 *
 * BaseServer's table has every slot that can be inherited, so each walk ends (a test asserts it).
 * The chain does not change while anybody serves: no lock is needed to read it.
 */
#include "server/server.h"

#define FIND(layer, from, slot)                                                                    \
    struct shs_layer *layer = (from);                                                              \
    while (layer->ops->slot == NULL)                                                               \
    layer = layer->super

int shs_server_bind(struct shs_server *self)
{
    int rc;

    FIND(layer, self->top, server_bind);
    if (self->closed || self->bound)
        return shs_server_fail(self, SHS_USAGE, 0, "the server is %s",
                               self->closed ? "closed" : "bound already");
    rc = layer->ops->server_bind(layer);
    self->bound = rc == SHS_OK;
    return rc;
}

int shs_super_server_bind(struct shs_layer *self)
{
    FIND(layer, self->super, server_bind);
    return layer->ops->server_bind(layer);
}

int shs_server_activate(struct shs_server *self)
{
    int rc;

    FIND(layer, self->top, server_activate);
    rc = layer->ops->server_activate(layer);
    self->activated = self->activated || rc == SHS_OK;
    self->undo = !self->activated;
    return rc;
}

int shs_super_server_activate(struct shs_layer *self)
{
    FIND(layer, self->super, server_activate);
    return layer->ops->server_activate(layer);
}

int shs_server_get_request(struct shs_server *self, struct shs_conn **out)
{
    int rc;

    FIND(layer, self->top, get_request);
    if (!atomic_load_explicit(&self->frozen, memory_order_relaxed))
        atomic_store(&self->frozen, true);
    rc = layer->ops->get_request(layer, out);
    if (rc == SHS_OK)
        shs__server_add_conn(self, *out);
    return rc;
}

int shs_super_get_request(struct shs_layer *self, struct shs_conn **out)
{
    FIND(layer, self->super, get_request);
    return layer->ops->get_request(layer, out);
}

int shs_server_accept_request(struct shs_server *self, struct shs_listener *from,
                              struct shs_conn **out)
{
    int rc;

    FIND(layer, self->top, accept_request);
    rc = layer->ops->accept_request(layer, from, out);
    if (rc == SHS_OK)
        shs__server_add_conn(self, *out);
    return rc;
}

int shs_super_accept_request(struct shs_layer *self, struct shs_listener *from,
                             struct shs_conn **out)
{
    FIND(layer, self->super, accept_request);
    return layer->ops->accept_request(layer, from, out);
}

bool shs_server_verify_request(struct shs_server *self, struct shs_conn *conn)
{
    FIND(layer, self->top, verify_request);
    return layer->ops->verify_request(layer, conn);
}

bool shs_super_verify_request(struct shs_layer *self, struct shs_conn *conn)
{
    FIND(layer, self->super, verify_request);
    return layer->ops->verify_request(layer, conn);
}

int shs_server_process_request(struct shs_server *self, struct shs_conn *conn)
{
    FIND(layer, self->top, process_request);
    return layer->ops->process_request(layer, conn);
}

int shs_super_process_request(struct shs_layer *self, struct shs_conn *conn)
{
    FIND(layer, self->super, process_request);
    return layer->ops->process_request(layer, conn);
}

/*
 * No wait is without end: who waits and has set no deadline is lent one, for this wait. When it has
 * passed it stays, so that a conversation which goes on waiting is ended as by one of its own.
 */
static void lend_deadline(struct shs_conn *conn)
{
    conn->deadline_ns = shs__deadline_after(shs_now_ns(), conn->server->opt.idle_ms);
    conn->lent = true;
}

static void take_deadline_back(struct shs_conn *conn)
{
    if (shs_now_ns() < conn->deadline_ns)
        conn->deadline_ns = INT64_MAX;
    conn->lent = false;
}

int shs_server_finish_request(struct shs_server *self, struct shs_conn *conn)
{
    int rc;

    FIND(layer, self->top, finish_request);
    if (conn->lent)
        take_deadline_back(conn);
    rc = layer->ops->finish_request(layer, conn);
    if ((rc == SHS_WAIT_READ || rc == SHS_WAIT_WRITE) && conn->deadline_ns == INT64_MAX)
        lend_deadline(conn);
    return rc;
}

int shs_super_finish_request(struct shs_layer *self, struct shs_conn *conn)
{
    FIND(layer, self->super, finish_request);
    return layer->ops->finish_request(layer, conn);
}

int shs_server_wait_request(struct shs_server *self, struct shs_conn *conn, int what)
{
    FIND(layer, self->top, wait_request);
    return layer->ops->wait_request(layer, conn, what);
}

int shs_super_wait_request(struct shs_layer *self, struct shs_conn *conn, int what)
{
    FIND(layer, self->super, wait_request);
    return layer->ops->wait_request(layer, conn, what);
}

void shs_server_shutdown_request(struct shs_server *self, struct shs_conn *conn)
{
    FIND(layer, self->top, shutdown_request);
    layer->ops->shutdown_request(layer, conn);
}

void shs_super_shutdown_request(struct shs_layer *self, struct shs_conn *conn)
{
    FIND(layer, self->super, shutdown_request);
    layer->ops->shutdown_request(layer, conn);
}

void shs_server_close_request(struct shs_server *self, struct shs_conn *conn)
{
    FIND(layer, self->top, close_request);
    /* Off the list first: server_close must not shut down a descriptor that is closed, and perhaps
       somebody else's already. */
    shs__server_remove_conn(self, conn);
    shs__conn_finish_handler(conn);
    layer->ops->close_request(layer, conn);
    shs__conn_free(conn);
    shs__server_conn_gone(self);
}

void shs_super_close_request(struct shs_layer *self, struct shs_conn *conn)
{
    FIND(layer, self->super, close_request);
    layer->ops->close_request(layer, conn);
}

void shs_server_handle_error(struct shs_server *self, struct shs_conn *conn,
                             const struct shs_error *err)
{
    FIND(layer, self->top, handle_error);
    /* We have ended it between two requests: nothing failed, so there is nothing to say. */
    if (conn != NULL && err->code == SHS_STOPPED && atomic_load(&conn->idle))
        return;
    atomic_fetch_add_explicit(&self->stats.errors, 1, memory_order_relaxed);
    layer->ops->handle_error(layer, conn, err);
}

void shs_super_handle_error(struct shs_layer *self, struct shs_conn *conn,
                            const struct shs_error *err)
{
    FIND(layer, self->super, handle_error);
    layer->ops->handle_error(layer, conn, err);
}

void shs_server_handle_timeout(struct shs_server *self)
{
    FIND(layer, self->top, handle_timeout);
    layer->ops->handle_timeout(layer);
}

void shs_super_handle_timeout(struct shs_layer *self)
{
    FIND(layer, self->super, handle_timeout);
    layer->ops->handle_timeout(layer);
}

void shs_server_service_actions(struct shs_server *self)
{
    for (struct shs_layer *layer = self->top; layer != NULL; layer = layer->super) {
        if (layer->ops->service_actions != NULL)
            layer->ops->service_actions(layer);
    }
}

int shs_super_server_close(struct shs_layer *self)
{
    FIND(layer, self->super, server_close);
    return layer->ops->server_close(layer);
}

int shs__server_close_chain(struct shs_server *self)
{
    FIND(layer, self->top, server_close);
    return layer->ops->server_close(layer);
}
