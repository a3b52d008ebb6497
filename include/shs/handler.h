/*
 * shs/handler.h - request handlers, Python's BaseRequestHandler.
 *
 * Concept
 *
 *   A handler class says what to do with one request (for a TCP server: one connection). The
 *   server makes a fresh instance for each, zeroed, of `instance_size` bytes, and calls
 *   setup, handle, finish. Embed struct shs_request_handler as the first member of your own struct:
 *   what follows it is the request's own state.
 *
 *       struct echo { struct shs_request_handler base; char buf[512]; };
 *
 *       static int echo_handle(struct shs_request_handler *self)
 *       {
 *           struct echo *me = SHS_CONTAINER_OF(self, struct echo, base);
 *           size_t got;
 *           int rc = shs_conn_read(self->request, me->buf, sizeof me->buf, &got);
 *           return rc == SHS_OK ? shs_conn_write(self->request, me->buf, got) : rc;
 *       }
 *       static const struct shs_request_handler_class echo_class = {
 *           .name = "Echo", .instance_size = sizeof(struct echo), .handle = echo_handle};
 *
 * Rules of the life cycle (CPython Lib/socketserver.py, BaseRequestHandler.__init__)
 *
 *   1. `setup`, if there is one, runs first. If it fails, neither `handle` nor `finish` is called.
 *   2. `handle` must be there: a class without it is refused by the constructor (SHS_USAGE).
 *   3. `finish`, if there is one, always follows `handle`, also one that failed.
 *
 *   `handle` may block, in shs_conn_read and shs_conn_write, which wait under the connection's
 *   deadline. Or it may be written to be resumed: return SHS_WAIT_READ or SHS_WAIT_WRITE, with
 *   shs_conn_set_deadline, and it is called again when the peer is ready or the deadline has
 *   passed. Then no thread is held meanwhile (server.h tells who waits).
 */
#ifndef SHS_HANDLER_H
#define SHS_HANDLER_H

#include <shs/server.h>

#ifdef __cplusplus
extern "C" {
#endif

struct shs_request_handler;

struct shs_request_handler_class {
    const char *name;     /* for messages; not NULL */
    size_t instance_size; /* bytes, at least sizeof(struct shs_request_handler) */
    int (*setup)(struct shs_request_handler *self);   /* may be NULL */
    int (*handle)(struct shs_request_handler *self);  /* 0 = done, < 0, or SHS_WAIT_* */
    void (*finish)(struct shs_request_handler *self); /* may be NULL */
    /* `handle` never blocks while shs_conn_overloaded is true, and says no to the peer then.
       Without it, a connection for which no worker is left is closed. */
    bool refuses;
};

struct shs_request_handler {
    const struct shs_request_handler_class *cls;
    struct shs_conn *request;  /* the connection; valid until finish has returned */
    struct shs_server *server; /* the server it came by */
};

#ifdef __cplusplus
}
#endif

#endif
