#include "cmd/reload_signal.h"

#include <errno.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdint.h>
#include <unistd.h>

#include <shs/tls.h>

#include "cmd/stop_signals.h"

/* Lock-free, so that a handler may use them on any thread. */
static _Atomic(struct shs_server *) targets[STOP_SIGNALS_MAX];
static atomic_bool early; /* one came before there was a server */
static atomic_int listener = -1;
static atomic_bool early_for_listener;

/* False: nobody listens yet. */
static bool tell(void)
{
    const uint64_t one = 1;
    int fd = atomic_load(&listener);

    return fd >= 0 && write(fd, &one, sizeof one) == (ssize_t)sizeof one;
}

/* False: there is none yet. */
static bool request_all(void)
{
    bool any = false;

    for (size_t i = 0; i < STOP_SIGNALS_MAX; i++) {
        struct shs_server *server = atomic_load(&targets[i]);

        if (server != NULL)
            shs_tls_request_reload(server);
        any = any || server != NULL;
    }
    return any;
}

static void on_reload(int number)
{
    int saved = errno;

    (void)number;
    if (!request_all())
        atomic_store(&early, true);
    if (!tell())
        atomic_store(&early_for_listener, true);
    errno = saved;
}

void reload_signal_install(struct shs_server *const *servers, size_t count)
{
    struct sigaction action = {.sa_handler = on_reload, .sa_flags = SA_RESTART};

    for (size_t i = 0; i < STOP_SIGNALS_MAX; i++)
        atomic_store(&targets[i], i < count ? servers[i] : NULL);
    sigemptyset(&action.sa_mask);
    sigaction(SIGHUP, &action, NULL);
    if (count > 0 && atomic_exchange(&early, false))
        (void)request_all();
}

void reload_signal_tell(int fd)
{
    atomic_store(&listener, fd);
    if (fd >= 0 && atomic_exchange(&early_for_listener, false))
        (void)tell();
}
