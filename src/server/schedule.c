/*
 * schedule.c - what a scheduler is given: a connection, and its way through the conversation.
 */
#include "server/server.h"

int shs_server_push_scheduler(struct shs_server *self, struct shs_scheduler *scheduler,
                              const struct shs_server_ops *layer_ops,
                              const struct shs_scheduler_ops *ops, struct shs_error *err)
{
    int rc = shs__server_may_serve(self, layer_ops->name, err);

    if (rc != SHS_OK)
        return rc;
    if (ops->add == NULL)
        return shs_error_set(err, SHS_USAGE, 0,
                             "the scheduler %s needs an `add`: no connection would be served",
                             layer_ops->name);
    rc = shs_server_push(self, &scheduler->layer, layer_ops);
    if (rc != SHS_OK) {
        if (err != NULL)
            *err = *shs_server_error(self);
        return rc;
    }
    scheduler->ops = ops;
    scheduler->fd = -1;
    self->scheduler = scheduler;
    return SHS_OK;
}

int shs_schedule_request(struct shs_layer *self, struct shs_conn *conn)
{
    struct shs_scheduler *scheduler = self->server->scheduler;

    return scheduler->ops->add(scheduler, conn);
}

void shs_server_end_request(struct shs_server *self, struct shs_conn *conn, int rc)
{
    if (rc < 0 && rc != SHS_EXIT)
        shs_server_handle_error(self, conn, shs_conn_error(conn));
    shs_server_shutdown_request(self, conn);
}

/* -- what it says to a connection, and asks ---------------------------------------------------- */

void shs_conn_set_turn(struct shs_conn *conn, unsigned turns)
{
    conn->turn = turns;
}

void shs_conn_set_overloaded(struct shs_conn *conn, bool overloaded)
{
    conn->overloaded = overloaded;
}

void shs_conn_told_ready(struct shs_conn *conn, bool ended, int64_t told_ns)
{
    conn->socket.hung_up = conn->socket.hung_up || ended;
    conn->socket.drained = false; /* who does not read now has used up what was told */
    conn->socket.filled = false;  /* nor who does not write */
    conn->socket.told_ns = told_ns;
}

void shs_conn_told_urgent(struct shs_conn *conn)
{
    conn->socket.urgent = true;
}

bool shs_conn_is_drained(const struct shs_conn *conn)
{
    return conn->socket.drained && !conn->socket.hung_up;
}

int shs_conn_look(struct shs_conn *conn)
{
    return conn->reads ? shs__stream_ready(conn->stream) : SHS_OK;
}

bool shs_conn_is_datagram(const struct shs_conn *conn)
{
    return conn->borrowed;
}

bool shs_server_client_first(const struct shs_server *self)
{
    return self->client_first;
}

/* -- accepting --------------------------------------------------------------------------------- */

bool shs__server_takes_anywhere(const struct shs_server *self)
{
    for (const struct shs_layer *l = self->top; l != NULL; l = l->super) {
        const struct shs_server_ops *ops = l->ops;

        if (ops->get_request != NULL && ops->accept_request == NULL)
            return false;
        if ((ops->verify_request != NULL || ops->process_request != NULL) && !ops->any_thread)
            return false;
    }
    return atomic_load(&self->addresses[0].fd) >= 0;
}

unsigned shs_server_listener_count(const struct shs_server *self)
{
    return self->address_count;
}

struct shs_listener *shs_server_listener(const struct shs_server *self, unsigned i)
{
    return i < self->address_count ? &self->addresses[i] : NULL;
}

int shs_listener_fileno(const struct shs_listener *self)
{
    return atomic_load(&self->fd);
}

const char *shs_listener_host(const struct shs_listener *self)
{
    return self->host;
}

unsigned shs_listener_port(const struct shs_listener *self)
{
    return self->port;
}

int shs_listener_family(const struct shs_listener *self)
{
    return self->family;
}

int shs_server_take_request(struct shs_server *self, struct shs_listener *from)
{
    int rc = shs__server_take(self, from);

    if (rc >= 0)
        return rc;
    atomic_store(&self->accept_result, rc);
    shs__server_wake(self);
    return rc;
}

void shs_server_ask_resume(struct shs_server *self)
{
    shs__server_wake(self); /* the loop has a moment to wait for */
}
