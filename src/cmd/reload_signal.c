#include "cmd/reload_signal.h"

#include <errno.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <unistd.h>

/* Lock-free, so that a handler may use them on any thread. */
static atomic_int listener = -1;
static atomic_bool early; /* one came before there was anybody to tell */

/* False: nobody listens yet. */
static bool tell(void)
{
    const uint64_t one = 1;
    int fd = atomic_load(&listener);

    return fd >= 0 && write(fd, &one, sizeof one) == (ssize_t)sizeof one;
}

static void on_reload(int number)
{
    int saved = errno;

    (void)number;
    if (!tell())
        atomic_store(&early, true);
    errno = saved;
}

void reload_signal_install(void)
{
    struct sigaction action = {.sa_handler = on_reload, .sa_flags = SA_RESTART};

    sigemptyset(&action.sa_mask);
    sigaction(SIGHUP, &action, NULL);
}

void reload_signal_tell(int fd)
{
    atomic_store(&listener, fd);
    if (fd >= 0 && atomic_exchange(&early, false))
        (void)tell();
}
