/*
 * keeper.c - the thread that reloads: when asked, when a file has changed, when the last reload
 * kept something back; and that speaks up when a certificate is about to end.
 *
 * What the kernel tells of changes (notify.c) only says when to look. Whether anything is another
 * than it was before the files were read last, the look says (paths.c): at everything, when it has
 * been quiet for a moment, and every watch_interval_ms in any case.
 */
#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <stdio.h>
#include <sys/eventfd.h>
#include <time.h>
#include <unistd.h>

#include "base/thread.h"
#include "tls/config/notify.h"
#include "tls/config/paths.h"
#include "tls/wire/mixin.h"

#define QUIET_MS 200
#define LATEST_MS 2000
#define FIRST_RETRY_MS 1000u
#define LAST_RETRY_MS 60000u
/* Unix time may be set: what waits for it looks at the clock that often. */
#define CLOCK_MS 60000u
#define STACK_SIZE ((size_t)512 * 1024)

struct shs_tls_keeper {
    struct shs_tls_mixin *mixin;
    pthread_t thread;
    _Atomic int wake_fd; /* -1: no thread yet */
    _Atomic int pid;     /* of the process it runs in; 0: nowhere */
    _Atomic bool stop, asked;
    struct shs_tls_notify notify;
    bool said_blind;   /* that something cannot be watched */
    int64_t look_ns;   /* when to look next; INT64_MAX */
    int64_t retry_ns;  /* when to try again; INT64_MAX */
    unsigned retry_ms; /* how long it waited for that */
    int64_t due;       /* Unix time: when there is more to tell the owner */
};

/* -- what there is to do ----------------------------------------------------------------------- */

static const struct shs_tls_config *config_of(const struct shs_tls_keeper *self)
{
    return &self->mixin->config.config;
}

static void tell_blind(struct shs_tls_keeper *self, const char *path, int failed)
{
    char text[96];

    if (self->said_blind)
        return;
    self->said_blind = true;
    shs_server_log(
        self->mixin->layer.server, SHS_LOG_WARNING,
        "Cannot watch %.200s for changes: %s.%s What changes there is seen within %u ms.", path,
        shs__strerror(failed, text, sizeof text),
        failed == ENOSPC ? " Raise fs.inotify.max_user_watches." : "",
        config_of(self)->watch_interval_ms);
}

/* Links may lead elsewhere now, and what was not there may be. */
static void watch(struct shs_tls_keeper *self)
{
    if (!config_of(self)->watch || self->notify.fd < 0)
        return;
    shs__tls_notify_watch(&self->notify, config_of(self));
    if (self->notify.failed > 0)
        tell_blind(self, self->notify.failed_path, self->notify.failed_errno);
}

/* After a reload: when the next one is due if this one kept something back. */
static void plan_retry(struct shs_tls_keeper *self, bool again)
{
    int64_t valid_at = atomic_load(&self->mixin->valid_at),
            now = shs__wall_s(config_of(self)->clock_offset_s);
    unsigned ms;

    if (!atomic_load(&self->mixin->incomplete)) {
        self->retry_ns = INT64_MAX;
        self->retry_ms = 0;
        return;
    }
    if (!again || self->retry_ms == 0)
        self->retry_ms = FIRST_RETRY_MS;
    else
        self->retry_ms = self->retry_ms > LAST_RETRY_MS / 2 ? LAST_RETRY_MS : self->retry_ms * 2;
    ms = self->retry_ms;
    if (valid_at > now && valid_at - now < (int64_t)ms / 1000 + 1)
        ms = (unsigned)(valid_at - now) * 1000;
    self->retry_ns = shs__deadline_after(shs_now_ns(), ms);
}

static void reload(struct shs_tls_keeper *self, enum shs_tls_reload_why why)
{
    (void)shs__tls_mixin_reload(self->mixin, why, NULL, NULL);
    watch(self);
    plan_retry(self, why == SHS_TLS_AGAIN);
    self->due = shs__tls_mixin_advise_due(self->mixin, &self->mixin->advised);
}

/* Watches are set before the look: what changes between the two makes another event. */
static void look(struct shs_tls_keeper *self)
{
    watch(self);
    self->look_ns = shs__deadline_after(shs_now_ns(), config_of(self)->watch_interval_ms);
    if (shs__tls_look(config_of(self)) != atomic_load(&self->mixin->seen))
        reload(self, SHS_TLS_CHANGED);
}

/* -- the thread -------------------------------------------------------------------------------- */

static void drain(int fd)
{
    uint64_t waste;

    while (read(fd, &waste, sizeof waste) > 0)
        continue;
}

static bool wanted(struct shs_tls_keeper *self)
{
    return atomic_load(&self->stop) || atomic_load(&self->asked);
}

/* Until nothing has happened to the files for QUIET_MS, LATEST_MS are over, or we are wanted. */
static void settle(struct shs_tls_keeper *self)
{
    int64_t latest = shs__deadline_after(shs_now_ns(), LATEST_MS);
    int64_t quiet = shs__deadline_after(shs_now_ns(), QUIET_MS), now;
    struct pollfd fds[2] = {{.fd = self->notify.fd, .events = POLLIN},
                            {.fd = atomic_load(&self->wake_fd), .events = POLLIN}};

    while (!wanted(self) && (now = shs_now_ns()) < latest && now < quiet) {
        if (poll(fds, 2, shs__poll_ms(quiet < latest ? quiet : latest, now)) <= 0)
            continue;
        drain(fds[1].fd);
        if (shs__tls_notify_drain(&self->notify))
            quiet = shs__deadline_after(shs_now_ns(), QUIET_MS);
    }
}

/* To a moment of Unix time; what is far away is asked for again, for clocks are set. */
static unsigned ms_until(const struct shs_tls_keeper *self, int64_t when)
{
    int64_t left = when - shs__wall_s(config_of(self)->clock_offset_s);

    if (left <= 0)
        return 0;
    return left >= (int64_t)CLOCK_MS / 1000 ? CLOCK_MS : (unsigned)left * 1000;
}

/* Until an event of ours, a wake-up, or the next thing that is due. True: an event. */
static bool wait_for_work(struct shs_tls_keeper *self)
{
    struct pollfd fds[2] = {{.fd = atomic_load(&self->wake_fd), .events = POLLIN},
                            {.fd = self->notify.fd, .events = POLLIN}};
    int64_t now = shs_now_ns();
    int64_t until = shs__deadline_after(now, ms_until(self, self->due));

    if (self->look_ns < until)
        until = self->look_ns;
    if (self->retry_ns < until)
        until = self->retry_ns;
    if (poll(fds, 2, shs__poll_ms(until, now)) <= 0)
        return false;
    drain(fds[0].fd);
    return shs__tls_notify_drain(&self->notify);
}

static void *keep(void *arg)
{
    struct shs_tls_keeper *self = arg;

    self->due = shs__tls_mixin_advise_due(self->mixin, &self->mixin->advised);
    if (config_of(self)->watch)
        look(self); /* what has changed since the files were read */
    while (!atomic_load(&self->stop)) {
        bool event;

        if (atomic_exchange(&self->asked, false)) {
            reload(self, SHS_TLS_ASKED);
            continue;
        }
        if (atomic_load(&self->mixin->incomplete) && self->retry_ns == INT64_MAX)
            plan_retry(self, false); /* of a reload on another thread */
        event = wait_for_work(self);
        if (event)
            settle(self);
        if (wanted(self)) {
            if (event)
                self->look_ns = 0; /* first what we are wanted for */
            continue;
        }
        if (event || shs_now_ns() >= self->look_ns)
            look(self);
        if (shs_now_ns() >= self->retry_ns)
            reload(self, SHS_TLS_AGAIN);
        if (shs__tls_mixin_is_due(self->mixin, self->due))
            self->due = shs__tls_mixin_advise_due(self->mixin, &self->mixin->advised);
    }
    return NULL;
}

static int start_thread(struct shs_tls_keeper *self)
{
    return shs__thread_start_sized(&self->thread, STACK_SIZE, "shs-keeper", keep, self);
}

/* Those of another process, whose thread is not here, are that one's. */
static void close_descriptors(struct shs_tls_keeper *self)
{
    int fd = atomic_exchange(&self->wake_fd, -1);

    if (fd >= 0)
        close(fd);
    shs__tls_notify_close(&self->notify);
}

static int open_descriptors(struct shs_tls_keeper *self)
{
    int fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);

    if (fd < 0)
        return errno;
    atomic_store(&self->wake_fd, fd);
    self->notify.fd = -1;
    if (config_of(self)->watch && shs__tls_notify_open(&self->notify) != SHS_OK)
        tell_blind(self, "files", errno); /* the slow look remains */
    return 0;
}

int shs__tls_keeper_new(struct shs_tls_keeper **out, struct shs_tls_mixin *mixin)
{
    struct shs_tls_keeper *self = shs__calloc(1, sizeof *self);

    if (self == NULL)
        return SHS_NOMEM;
    self->mixin = mixin;
    self->notify.fd = -1;
    self->look_ns = self->retry_ns = self->due = INT64_MAX;
    atomic_init(&self->wake_fd, -1);
    *out = self;
    return SHS_OK;
}

int shs__tls_keeper_start(struct shs_tls_keeper *self, struct shs_error *err)
{
    char text[96];
    int failed;

    if (atomic_load(&self->pid) == getpid() || atomic_load(&self->stop))
        return SHS_OK;
    close_descriptors(self); /* we were forked after it began */
    failed = open_descriptors(self);
    if (failed == 0)
        failed = start_thread(self);
    if (failed == 0) {
        atomic_store(&self->pid, getpid());
        return SHS_OK;
    }
    close_descriptors(self);
    return shs_error_set(err, SHS_IO, failed,
                         "Cannot start the thread that reloads TLS: %s. Certificates are served as "
                         "they are.",
                         shs__strerror(failed, text, sizeof text));
}

void shs__tls_keeper_wake(struct shs_tls_keeper *self)
{
    uint64_t one = 1;
    int saved = errno, fd = self == NULL ? -1 : atomic_load(&self->wake_fd);

    if (fd >= 0 && write(fd, &one, sizeof one) < 0)
        errno = saved; /* full: it is awake */
    errno = saved;
}

void shs__tls_keeper_poke(struct shs_tls_keeper *self)
{
    atomic_store(&self->asked, true);
    shs__tls_keeper_wake(self);
}

void shs__tls_keeper_stop(struct shs_tls_keeper *self)
{
    if (self == NULL || atomic_exchange(&self->stop, true))
        return;
    if (atomic_load(&self->pid) != getpid())
        return; /* there is no such thread in this process */
    shs__tls_keeper_wake(self);
    pthread_join(self->thread, NULL);
}

void shs__tls_keeper_free(struct shs_tls_keeper *self)
{
    if (self == NULL)
        return;
    shs__tls_keeper_stop(self);
    close_descriptors(self);
    shs__free(self);
}
