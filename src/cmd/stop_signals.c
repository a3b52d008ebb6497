#include "cmd/stop_signals.h"

#include <errno.h>
#include <signal.h>
#include <stdatomic.h>
#include <unistd.h>

/* Lock-free, so that a handler may use them on any thread. */
static _Atomic(struct shs_server *) target;
static atomic_bool caught;

static void on_stop(int number)
{
    struct shs_server *server = atomic_load(&target);
    int saved = errno;

    if (atomic_exchange(&caught, true) || server == NULL)
        _exit(128 + number);
    shs_shutdown(server);
    errno = saved;
}

void stop_signals_install(struct shs_server *server)
{
    struct sigaction action = {.sa_handler = on_stop, .sa_flags = SA_RESTART};

    atomic_store(&target, server);
    sigemptyset(&action.sa_mask);
    sigaction(SIGINT, &action, NULL);
    sigaction(SIGTERM, &action, NULL);
}

void stop_signals_forget(void)
{
    atomic_store(&target, NULL);
}

void stop_signals_ignore_pipe(void)
{
    struct sigaction action = {.sa_handler = SIG_IGN};

    sigemptyset(&action.sa_mask);
    sigaction(SIGPIPE, &action, NULL);
}
