/*
 * fake_layer.h - a layer that counts what reaches it, to be pushed above and below a mixin: each
 * slot that is extended has to be seen exactly once in both places, whatever is between them.
 */
#ifndef FAKE_LAYER_H
#define FAKE_LAYER_H

#include <stdatomic.h>
#include <stdbool.h>

#include <shs/server.h>

struct fake_layer {
    struct shs_layer layer;
    _Atomic unsigned bind, activate, get, verify, process, finish, wait, shutdown, close, error,
        service, server_close, freed; /* finish: conversations that ended */
    bool refuse;                      /* verify_request says no */
};

/* "FakeMixIn", both of them: every slot there is ... */
extern const struct shs_server_ops fake_layer_ops;
/* ... or only what befalls a request that was let in: with slots that are inherited, as most mixins
   have them. */
extern const struct shs_server_ops fake_layer_request_ops;

#endif
