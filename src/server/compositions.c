/*
 * compositions.c - the ready classes: a server class, and a mixin on top of it or none.
 *
 * Python:  class ThreadingUDPServer(ThreadingMixIn, UDPServer): pass
 */
#include "server/server.h"

typedef int push_server_fn(struct shs_server *self);
typedef int push_mixin_fn(struct shs_server *self, struct shs_error *err);

static int push_tcp(struct shs_server *self)
{
    return shs__tcp_server_push(self);
}

static int push_unix_stream(struct shs_server *self)
{
    int rc = shs__tcp_server_push(self);

    return rc != SHS_OK ? rc : shs__unix_stream_server_push(self);
}

static int push_unix_datagram(struct shs_server *self)
{
    int rc = shs__udp_server_push(self);

    return rc != SHS_OK ? rc : shs__unix_datagram_server_push(self);
}

static int compose(struct shs_server **out, const struct shs_options *opt,
                   const struct shs_request_handler_class *handler, struct shs_error *err,
                   push_server_fn *push_server, push_mixin_fn *push_mixin)
{
    struct shs_server *self = NULL;
    int rc;

    if (out == NULL)
        return shs_error_set(err, SHS_USAGE, 0, "there is no place for the server: out is NULL");
    rc = shs__server_new(&self, opt, handler, err);
    if (rc != SHS_OK)
        return rc;
    rc = push_server(self);
    if (rc != SHS_OK && err != NULL)
        *err = *shs_server_error(self);
    if (rc == SHS_OK && push_mixin != NULL)
        rc = push_mixin(self, err);
    if (rc != SHS_OK) {
        shs_server_free(self);
        return rc;
    }
    rc = shs__server_finish_new(&self, err);
    if (rc == SHS_OK)
        *out = self;
    return rc;
}

#define COMPOSITION(name, push_server, push_mixin)                                                 \
    int name(struct shs_server **out, const struct shs_options *opt,                               \
             const struct shs_request_handler_class *handler, struct shs_error *err)               \
    {                                                                                              \
        return compose(out, opt, handler, err, push_server, push_mixin);                           \
    }

COMPOSITION(shs_tcp_server_new, push_tcp, NULL)
COMPOSITION(shs_udp_server_new, shs__udp_server_push, NULL)
COMPOSITION(shs_unix_stream_server_new, push_unix_stream, NULL)
COMPOSITION(shs_unix_datagram_server_new, push_unix_datagram, NULL)

COMPOSITION(shs_threading_tcp_server_new, push_tcp, shs_threading_mixin_push)
COMPOSITION(shs_threading_udp_server_new, shs__udp_server_push, shs_threading_mixin_push)
COMPOSITION(shs_threading_unix_stream_server_new, push_unix_stream, shs_threading_mixin_push)
COMPOSITION(shs_threading_unix_datagram_server_new, push_unix_datagram, shs_threading_mixin_push)

COMPOSITION(shs_forking_tcp_server_new, push_tcp, shs_forking_mixin_push)
COMPOSITION(shs_forking_udp_server_new, shs__udp_server_push, shs_forking_mixin_push)
COMPOSITION(shs_forking_unix_stream_server_new, push_unix_stream, shs_forking_mixin_push)
COMPOSITION(shs_forking_unix_datagram_server_new, push_unix_datagram, shs_forking_mixin_push)
