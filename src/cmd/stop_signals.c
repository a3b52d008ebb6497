#include "cmd/stop_signals.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdint.h>
#include <unistd.h>

#include "base/base.h"

/* Lock-free, so that a handler may use them on any thread. */
static _Atomic(struct shs_server *) targets[STOP_SIGNALS_MAX];
static atomic_bool installed;
static atomic_bool cutting;
static atomic_uint caught, grace;
static atomic_uint late; /* those that came when all was closed */

static atomic_int told = -1;

static void tell(void)
{
    const uint64_t one = 1;
    int fd = atomic_load(&told);

    if (fd >= 0)
        (void)!write(fd, &one, sizeof one);
}

static void drain_all(unsigned grace_ms, unsigned stop_ms)
{
    for (size_t i = 0; i < STOP_SIGNALS_MAX; i++) {
        struct shs_server *server = atomic_load(&targets[i]);

        if (server != NULL)
            shs_server_drain(server, grace_ms, stop_ms);
    }
}

/* All of them still take connections. */
static bool grace_lasts(void)
{
    for (size_t i = 0; i < STOP_SIGNALS_MAX; i++) {
        struct shs_server *server = atomic_load(&targets[i]);

        if (server != NULL && shs_server_stopping(server))
            return false;
    }
    return atomic_load(&grace) > 0;
}

static void on_stop(int number)
{
    int saved = errno;

    if (atomic_load(&cutting))
        _exit(128 + number);
    if (!atomic_load(&installed)) {
        /* All is closed, and the process ends as it was told, with its own exit code. Who says so
           once more must not turn that into a failure; twice, and it goes at once. */
        if (atomic_load(&caught) == 0 || atomic_fetch_add(&late, 1) > 0)
            _exit(128 + number);
        return;
    }
    if (atomic_fetch_add(&caught, 1) == 0) {
        drain_all(atomic_load(&grace), SHS_DRAIN_STOP);
    } else if (atomic_load(&caught) == 2 && grace_lasts()) {
        drain_all(0, SHS_DRAIN_STOP);
    } else {
        atomic_store(&cutting, true);
        drain_all(0, 0);
    }
    tell();
    errno = saved;
}

void stop_signals_install(struct shs_server *const *servers, size_t count, unsigned grace_ms)
{
    struct sigaction action = {.sa_handler = on_stop, .sa_flags = SA_RESTART};

    for (size_t i = 0; i < count && i < STOP_SIGNALS_MAX; i++)
        atomic_store(&targets[i], servers[i]);
    atomic_store(&grace, grace_ms);
    atomic_store(&installed, true);
    sigemptyset(&action.sa_mask);
    sigaction(SIGINT, &action, NULL);
    sigaction(SIGTERM, &action, NULL);
}

void stop_signals_tell(int fd)
{
    atomic_store(&told, fd);
}

const char *stop_signals_hint(void)
{
    if (atomic_load(&caught) == 0 || isatty(STDERR_FILENO) == 0)
        return "";
    if (atomic_load(&cutting))
        return "; Ctrl-C ends it at once";
    return atomic_load(&caught) == 1 && grace_lasts() ? "; Ctrl-C ends the grace"
                                                      : "; Ctrl-C cuts them off";
}

void stop_signals_forget(void)
{
    atomic_store(&installed, false);
    for (size_t i = 0; i < STOP_SIGNALS_MAX; i++)
        atomic_store(&targets[i], NULL);
}

static _Atomic(const char *) log_path;
static int log_fd;

/* open(2), fcntl(2), dup3(2) and close(2) may be called in a signal handler. */
static void on_reopen(int number)
{
    const char *path = atomic_load(&log_path);
    int saved = errno, fd = path == NULL ? -1 : open(path, STOP_SIGNALS_LOG_FLAGS, 0640);

    SHS_UNUSED(number);
    if (fd >= 0) {
        (void)fcntl(fd, F_SETFL, O_APPEND); /* writes wait again */
        (void)dup3(fd, log_fd, O_CLOEXEC);
        close(fd);
    }
    errno = saved;
}

void stop_signals_reopen(const char *path, int fd)
{
    struct sigaction action = {.sa_handler = on_reopen, .sa_flags = SA_RESTART};

    log_fd = fd;
    atomic_store(&log_path, path);
    sigemptyset(&action.sa_mask);
    sigaction(SIGUSR1, &action, NULL);
}

void stop_signals_ignore_pipe(void)
{
    struct sigaction action = {.sa_handler = SIG_IGN};

    sigemptyset(&action.sa_mask);
    sigaction(SIGPIPE, &action, NULL);
}
