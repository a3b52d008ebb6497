#include "cmd/reload_signal.h"

#include <errno.h>
#include <signal.h>
#include <stdatomic.h>

#include <shs/tls.h>

/* Lock-free, so that a handler may use it on any thread. */
static _Atomic(struct shs_server *) target;

static void on_reload(int number)
{
    struct shs_server *server = atomic_load(&target);
    int saved = errno;

    (void)number;
    if (server != NULL)
        shs_tls_request_reload(server);
    errno = saved;
}

void reload_signal_install(struct shs_server *server)
{
    struct sigaction action = {.sa_handler = on_reload, .sa_flags = SA_RESTART};

    atomic_store(&target, server);
    sigemptyset(&action.sa_mask);
    sigaction(SIGHUP, &action, NULL);
}
