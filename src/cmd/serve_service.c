#include "cmd/serve_service.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

#include <shs/drain.h>

#include "base/thread.h"
#include "cmd/cmd.h"
#include "cmd/hand_over.h"
#include "cmd/listen_fds.h"
#include "cmd/notify.h"
#include "cmd/serve_fds.h"
#include "cmd/stop_signals.h"

#define PLACE_MS 10000    /* until the process before us has left its place */
#define READY_MS 60000    /* until the new one serves */
#define OLD_GRACE_MS 2000 /* then those who are connected here are told to come again */
#define LINE_MAX_BYTES 640

/* Lock-free, so that a handler may use them on any thread. */
static atomic_int signal_fd = -1;
static atomic_bool wanted;

static void on_hand_over(int number)
{
    const uint64_t one = 1;
    int saved = errno, fd = atomic_load(&signal_fd);

    SHS_UNUSED(number);
    atomic_store(&wanted, true);
    if (fd >= 0)
        (void)!write(fd, &one, sizeof one);
    errno = saved;
}

void serve_service_catch_signal(void)
{
    struct sigaction action = {.sa_handler = on_hand_over, .sa_flags = SA_RESTART};

    sigemptyset(&action.sa_mask);
    sigaction(SIGUSR2, &action, NULL);
}

static void say(struct serve_service *self, enum shs_log_level level, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));
static void say(struct serve_service *self, enum shs_log_level level, const char *fmt, ...)
{
    char line[LINE_MAX_BYTES];
    va_list ap;

    if (level > self->o->log_level)
        return;
    va_start(ap, fmt);
    vsnprintf(line, sizeof line, fmt, ap);
    va_end(ap);
    self->log(self->log_ctx, level, line);
}

/* -- is it well? ------------------------------------------------------------------------------- */

/* Connects, says that no more will come, and sees the end: what a client without a request gets. */
static bool answers(int listening, int64_t deadline)
{
    struct sockaddr_storage to;
    socklen_t len = sizeof to;
    struct pollfd p = {.events = POLLIN};
    char byte;
    bool fine = false;

    if (getsockname(listening, (struct sockaddr *)&to, &len) != 0)
        return true; /* it is being closed */
    p.fd = socket(to.ss_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (p.fd < 0)
        return false;
    if (connect(p.fd, (struct sockaddr *)&to, len) == 0 || errno == EINPROGRESS) {
        p.events = POLLOUT;
        fine = poll(&p, 1, shs__poll_ms(deadline, shs_now_ns())) == 1;
        (void)shutdown(p.fd, SHUT_WR);
        p.events = POLLIN;
        fine = fine && poll(&p, 1, shs__poll_ms(deadline, shs_now_ns())) == 1 &&
               recv(p.fd, &byte, 1, 0) >= 0;
    }
    (void)close(p.fd);
    return fine;
}

/* It took others meanwhile, or may take no more. */
static bool is_busy(struct serve_service *self, size_t i)
{
    struct shs_server_stats stats;
    bool moves;

    shs_server_get_stats(self->servers[i], &stats);
    /* Those that a probe of ours made wait are not in there: it was not accepted. */
    moves = stats.accepted + stats.timeouts != self->accepted[i];
    self->accepted[i] = stats.accepted + stats.timeouts;
    return moves || stats.connections >= shs_server_options(self->servers[i])->max_connections;
}

static bool is_well(struct serve_service *self, unsigned ms, const struct shs_listener **silent)
{
    for (size_t i = 0; i < self->count; i++) {
        struct shs_server *server = self->servers[i];
        unsigned count = shs_server_listener_count(server);

        for (unsigned l = 0; l < count && !shs_server_stopping(server); l++) {
            const struct shs_listener *at = shs_server_listener(server, l);
            int fd = shs_listener_fileno(at);

            *silent = at;
            if (fd >= 0 && !answers(fd, shs__deadline_after(shs_now_ns(), ms)) && !is_busy(self, i))
                return false;
        }
    }
    return true;
}

static void ping(struct serve_service *self, int64_t now)
{
    unsigned ms = notify_watchdog_ms();
    const struct shs_listener *silent = NULL;
    char name[SERVE_PLACE_MAX];

    if (now < self->ping_ns)
        return;
    self->ping_ns = shs__deadline_after(now, ms / 3);
    if (is_well(self, ms / 4, &silent)) {
        (void)notify_send("WATCHDOG=1");
        self->silent = false;
        return;
    }
    serve_place_name(silent, name, sizeof name);
    if (!self->silent)
        say(self, SHS_LOG_ERROR,
            "watchdog: %s has not answered for %u ms: the service manager is not told that all is "
            "well",
            name, ms / 4);
    self->silent = true;
}

/* -- hand-over --------------------------------------------------------------------------------- */

static void take_no_more(struct shs_server *const *servers, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        shs_server_hand_over(servers[i]);
        shs_server_pause_accept(servers[i]);
    }
}

/* Those who come now come to the new one; those who are here are told so with their next answer. */
static void leave(struct serve_service *self, int pid)
{
    unsigned grace =
        self->o->drain_grace_ms > OLD_GRACE_MS ? self->o->drain_grace_ms : OLD_GRACE_MS;

    self->handed_over = true;
    take_no_more(self->servers, self->count);
    take_no_more(self->inside, self->inside_count);
    say(self, SHS_LOG_INFO, "hand-over: process %d serves; this one ends", pid);
    for (size_t i = 0; i < self->count; i++)
        shs_server_drain(self->servers[i], grace, SHS_DRAIN_STOP);
}

static void hand_over(struct serve_service *self)
{
    struct hand_over_fd fds[HAND_OVER_FDS_MAX];
    const struct serve_fds_note *notes;
    const char *why = NULL;
    size_t count, used = 0;
    int ready, pid = 0;

    notes = serve_fds_notes(&count);
    for (size_t i = 0; i < count && used < HAND_OVER_FDS_MAX; i++) {
        int fd = shs_listener_fileno(shs_server_listener(notes[i].server, notes[i].address));

        if (fd >= 0)
            fds[used++] = (struct hand_over_fd){fd, notes[i].name};
    }
    ready = hand_over_begin(fds, used, &pid, &why);
    if (ready < 0) {
        say(self, SHS_LOG_ERROR, "hand-over: %s; this process goes on", why);
        return;
    }
    if (!hand_over_wait(ready, READY_MS)) {
        hand_over_end(ready, false);
        say(self, SHS_LOG_ERROR,
            "hand-over: process %d could not serve (it says why on its standard error); this one "
            "goes on",
            pid);
        (void)notify_send("STATUS=The hand-over to a new process failed, see the log. %s",
                          self->url);
        return;
    }
    (void)notify_send("MAINPID=%d", pid);
    hand_over_end(ready, true);
    leave(self, pid);
}

static void look_at_hand_over(struct serve_service *self)
{
    if (!atomic_exchange(&wanted, false) || self->handed_over)
        return;
    if (hand_over_is_open())
        hand_over(self);
    else
        say(self, SHS_LOG_WARNING, "SIGUSR2 hands over to a new process only with --hand-over");
}

/* -- the thread -------------------------------------------------------------------------------- */

static void look_at_stop(struct serve_service *self)
{
    if (self->said_stopping || self->handed_over || self->count == 0 ||
        !shs_server_draining(self->servers[0]))
        return;
    self->said_stopping = true;
    (void)notify_send("STOPPING=1\nSTATUS=Stopping: requests under way may end");
}

static void *run(void *arg)
{
    struct serve_service *self = arg;
    struct pollfd p = {.fd = self->wake, .events = POLLIN};

    while (!atomic_load(&self->stop)) {
        int64_t until = self->ping_ns;
        uint64_t times;

        (void)poll(&p, 1, until == INT64_MAX ? -1 : shs__poll_ms(until, shs_now_ns()));
        (void)!read(self->wake, &times, sizeof times);
        if (self->handed_over) {
            self->ping_ns = INT64_MAX;
            continue;
        }
        look_at_stop(self);
        look_at_hand_over(self);
        ping(self, shs_now_ns());
    }
    return NULL;
}

/* The place of the process before us, when there is one. */
static int take_place(void)
{
    for (size_t i = 0; i < listen_fds_count(); i++) {
        struct listen_fd *fd = listen_fds_at(i);

        if (strcmp(fd->name, LISTEN_FDS_READY) != 0 || fd->taken)
            continue;
        fd->taken = true;
        if (!hand_over_take(fd->fd, PLACE_MS))
            return cmd_fail(CMD_FAILED, "hand-over: the process before this one goes on");
    }
    return CMD_OK;
}

int serve_service_start(struct serve_service *self)
{
    const uint64_t one = 1;
    char text[64];
    int e = take_place();

    if (e != CMD_OK)
        return e;
    if (!notify_is_open() && !hand_over_is_open())
        return CMD_OK;
    self->wake = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    self->accepted = shs__calloc(self->count, sizeof *self->accepted);
    if (self->wake < 0 || self->accepted == NULL)
        return cmd_fail(CMD_FAILED, "no memory or no descriptor to look after the service");
    self->ping_ns = notify_watchdog_ms() == 0 ? INT64_MAX : 0;
    e = shs__thread_start(&self->thread, NULL, "shs-service", run, self);
    if (e != 0)
        return cmd_fail(CMD_FAILED, "cannot start a thread: %s",
                        shs__strerror(e, text, sizeof text));
    self->started = true;
    atomic_store(&signal_fd, self->wake);
    if (atomic_load(&wanted)) /* it came before there was anybody to wake */
        (void)!write(self->wake, &one, sizeof one);
    stop_signals_tell(self->wake);
    (void)notify_send("READY=1\nMAINPID=%ld\nSTATUS=Serving at %s", (long)getpid(), self->url);
    return CMD_OK;
}

void serve_service_stop(struct serve_service *self)
{
    const uint64_t one = 1;

    atomic_store(&signal_fd, -1);
    stop_signals_tell(-1);
    if (self->started) {
        atomic_store(&self->stop, true);
        (void)!write(self->wake, &one, sizeof one);
        pthread_join(self->thread, NULL);
        self->started = false;
        (void)close(self->wake);
        if (!self->handed_over && !self->said_stopping)
            (void)notify_send("STOPPING=1");
    }
    shs__free(self->accepted);
    self->accepted = NULL;
}
