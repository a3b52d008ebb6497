/*
 * keeper.c - the thread that reloads: when asked, and when a file has changed.
 *
 * It watches directories, not files: an editor, certbot and Kubernetes replace a file or a symbolic
 * link on its path by renaming. Whatever happens in one of them, the files are looked at (device,
 * number, time, size) once it has been quiet for a moment; if one is another than before, all are
 * reloaded.
 */
#include <errno.h>
#include <poll.h>
#include <semaphore.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <sys/inotify.h>
#include <sys/stat.h>
#include <unistd.h>

#include "tls/wire/mixin.h"

#define QUIET_MS 200
#define LATEST_MS 2000
#define LINKS_MAX 16
#define PATH_CAP 4096
#define STACK_SIZE ((size_t)512 * 1024)
#define EVENTS                                                                                     \
    (IN_CREATE | IN_CLOSE_WRITE | IN_MOVED_TO | IN_MOVED_FROM | IN_DELETE | IN_ATTRIB | IN_ONLYDIR)

struct shs_tls_keeper {
    struct shs_tls_mixin *mixin;
    pthread_t thread;
    sem_t began;
    int wake_fd, watch_fd; /* watch_fd: -1 when nothing is watched */
    _Atomic bool stop, asked;
    uint64_t seen; /* all files, as they were when they were last read */
};

/* -- what is watched --------------------------------------------------------------------------- */

typedef void each_path_fn(struct shs_tls_keeper *self, const char *path, void *ctx);

static void each_path(struct shs_tls_keeper *self, each_path_fn *fn, void *ctx)
{
    const struct shs_tls_config *config = &self->mixin->config.config;

    if (config->ticket_secret != NULL)
        fn(self, config->ticket_secret, ctx);
    if (config->deny != NULL)
        fn(self, config->deny, ctx);
    for (size_t h = 0; h < config->host_count; h++) {
        const struct shs_tls_host *host = &config->hosts[h];

        if (host->client_ca != NULL)
            fn(self, host->client_ca, ctx);
        if (host->crl != NULL)
            fn(self, host->crl, ctx);
        for (size_t i = 0; i < host->cert_count; i++) {
            const struct shs_tls_cert *cert = &host->certs[i];

            if (cert->certfile != NULL)
                fn(self, cert->certfile, ctx);
            if (cert->keyfile != NULL)
                fn(self, cert->keyfile, ctx);
            if (cert->ocspfile != NULL)
                fn(self, cert->ocspfile, ctx);
        }
    }
}

/* The directory a path is in; watching one twice is one watch. */
static void watch_parent(struct shs_tls_keeper *self, const char *path)
{
    char dir[PATH_CAP];
    const char *slash = strrchr(path, '/');
    size_t len = slash == NULL ? 0 : (size_t)(slash - path);

    if (len >= sizeof dir)
        return;
    if (slash == NULL) {
        dir[0] = '.';
        len = 1;
    } else if (len == 0) {
        dir[len++] = '/';
    } else {
        memcpy(dir, path, len);
    }
    dir[len] = '\0';
    (void)inotify_add_watch(self->watch_fd, dir, EVENTS);
}

/* The target of a link, as a path from where we are: false when it is too long. */
static bool follow(char path[PATH_CAP], size_t component_end)
{
    char target[PATH_CAP], rest[PATH_CAP], whole[PATH_CAP];
    char saved = path[component_end];
    const char *slash;
    ssize_t n;
    int len;

    path[component_end] = '\0';
    n = readlink(path, target, sizeof target - 1);
    slash = strrchr(path, '/');
    if (n < 0)
        return false;
    target[n] = '\0';
    snprintf(rest, sizeof rest, "%c%s", saved, saved == '\0' ? "" : path + component_end + 1);
    if (target[0] == '/' || slash == NULL)
        len = snprintf(whole, sizeof whole, "%s%s", target, rest);
    else
        len = snprintf(whole, sizeof whole, "%.*s/%s%s", (int)(slash - path), path, target, rest);
    if (len < 0 || (size_t)len >= sizeof whole)
        return false;
    memcpy(path, whole, (size_t)len + 1);
    return true;
}

/* Every directory in which a link or the file itself can be replaced. */
static void watch_path(struct shs_tls_keeper *self, const char *from, void *ctx)
{
    char path[PATH_CAP];
    struct stat st;
    int links = 0;
    size_t at = 1;

    SHS_UNUSED(ctx);
    if (strlen(from) >= sizeof path)
        return;
    memcpy(path, from, strlen(from) + 1);
    while (path[0] != '\0' && path[at - 1] != '\0') {
        char saved;

        at += strcspn(path + at, "/");
        saved = path[at];
        path[at] = '\0';
        if (lstat(path, &st) == 0 && S_ISLNK(st.st_mode) && links++ < LINKS_MAX) {
            watch_parent(self, path);
            path[at] = saved;
            if (!follow(path, at))
                return;
            at = 1;
            continue;
        }
        if (saved == '\0')
            break;
        path[at++] = saved;
    }
    watch_parent(self, path);
    if (stat(path, &st) == 0 && S_ISDIR(st.st_mode))
        (void)inotify_add_watch(self->watch_fd, path, EVENTS);
}

/* -- what has changed -------------------------------------------------------------------------- */

static uint64_t mix(uint64_t hash, const void *bytes, size_t len)
{
    const unsigned char *at = bytes;

    for (size_t i = 0; i < len; i++)
        hash = (hash ^ at[i]) * 1099511628211u;
    return hash;
}

static void look_at(struct shs_tls_keeper *self, const char *path, void *ctx)
{
    uint64_t *hash = ctx, facts[5] = {0};
    struct stat st;

    SHS_UNUSED(self);
    if (stat(path, &st) == 0) {
        facts[0] = (uint64_t)st.st_dev;
        facts[1] = (uint64_t)st.st_ino;
        facts[2] = (uint64_t)st.st_size;
        facts[3] = (uint64_t)st.st_mtim.tv_sec;
        facts[4] = (uint64_t)st.st_mtim.tv_nsec;
    }
    *hash = mix(*hash, facts, sizeof facts);
}

static uint64_t look(struct shs_tls_keeper *self)
{
    uint64_t hash = 14695981039346656037u;

    each_path(self, look_at, &hash);
    return hash;
}

/* -- the thread -------------------------------------------------------------------------------- */

static void drain(int fd)
{
    _Alignas(struct inotify_event) char waste[4096];

    while (read(fd, waste, sizeof waste) > 0)
        continue;
}

/* Waits until nothing has happened for QUIET_MS, or LATEST_MS are over, or we shall stop. */
static void settle(struct shs_tls_keeper *self)
{
    int64_t latest = shs__deadline_after(shs_now_ns(), LATEST_MS);
    struct pollfd fds[2] = {{.fd = self->watch_fd, .events = POLLIN},
                            {.fd = self->wake_fd, .events = POLLIN}};

    while (!atomic_load(&self->stop) && shs_now_ns() < latest) {
        if (poll(fds, 2, QUIET_MS) == 0)
            return;
        drain(self->watch_fd);
        drain(self->wake_fd);
    }
}

static void check_files(struct shs_tls_keeper *self)
{
    uint64_t now = look(self);

    if (now == self->seen)
        return;
    self->seen = now; /* before reading: what changes meanwhile is seen the next time */
    (void)shs__tls_mixin_reload(self->mixin, NULL);
    each_path(self, watch_path, NULL); /* links may lead elsewhere now */
}

static void *keep(void *arg)
{
    struct shs_tls_keeper *self = arg;
    struct pollfd fds[2] = {{.fd = self->wake_fd, .events = POLLIN},
                            {.fd = self->watch_fd, .events = POLLIN}};

    pthread_setname_np(pthread_self(), "shs-keeper");
    sem_post(&self->began);
    while (!atomic_load(&self->stop)) {
        if (poll(fds, 2, -1) < 0 && errno != EINTR)
            break;
        drain(self->wake_fd);
        if (atomic_load(&self->stop))
            break;
        if (atomic_exchange(&self->asked, false)) {
            self->seen = look(self);
            (void)shs__tls_mixin_reload(self->mixin, NULL);
            if (self->watch_fd >= 0)
                each_path(self, watch_path, NULL);
        }
        if (self->watch_fd < 0 || (fds[1].revents & POLLIN) == 0)
            continue;
        settle(self);
        check_files(self);
    }
    return NULL;
}

static int start_thread(struct shs_tls_keeper *self)
{
    pthread_attr_t attr;
    sigset_t all, before;
    int rc;

    pthread_attr_init(&attr);
    pthread_attr_setstacksize(&attr, STACK_SIZE);
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    rc = pthread_create(&self->thread, &attr, keep, self);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    pthread_attr_destroy(&attr);
    /* A child that is forked while a thread begins may find locks held for ever that no fork sees
       to: AddressSanitizer's. */
    while (rc == 0 && sem_wait(&self->began) != 0)
        ;
    return rc;
}

static void free_keeper(struct shs_tls_keeper *self)
{
    sem_destroy(&self->began);
    if (self->wake_fd >= 0)
        close(self->wake_fd);
    if (self->watch_fd >= 0)
        close(self->watch_fd);
    shs__free(self);
}

int shs__tls_keeper_start(struct shs_tls_keeper **out, struct shs_tls_mixin *mixin,
                          struct shs_error *err)
{
    struct shs_tls_keeper *self = shs__calloc(1, sizeof *self);
    char text[96];
    int failed;

    if (self == NULL)
        return shs_error_set(err, SHS_NOMEM, 0, "Out of memory for the thread that reloads TLS.");
    self->mixin = mixin;
    self->watch_fd = -1;
    sem_init(&self->began, 0, 0);
    self->wake_fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
    if (self->wake_fd >= 0 && mixin->config.config.watch) {
        self->watch_fd = inotify_init1(IN_NONBLOCK | IN_CLOEXEC);
        if (self->watch_fd < 0)
            goto failed;
        each_path(self, watch_path, NULL);
        self->seen = look(self);
    }
    if (self->wake_fd < 0)
        goto failed;
    failed = start_thread(self);
    if (failed == 0) {
        *out = self;
        return SHS_OK;
    }
    errno = failed;
failed:
    failed = errno;
    free_keeper(self);
    return shs_error_set(err, SHS_IO, failed, "Cannot start the thread that reloads TLS: %s.",
                         shs__strerror(failed, text, sizeof text));
}

static void wake(struct shs_tls_keeper *self)
{
    uint64_t one = 1;
    int saved = errno;

    if (write(self->wake_fd, &one, sizeof one) < 0)
        errno = saved; /* full: it is awake */
    errno = saved;
}

void shs__tls_keeper_poke(struct shs_tls_keeper *self)
{
    atomic_store(&self->asked, true);
    wake(self);
}

void shs__tls_keeper_stop(struct shs_tls_keeper *self)
{
    if (self == NULL || atomic_exchange(&self->stop, true))
        return;
    wake(self);
    pthread_join(self->thread, NULL);
}

void shs__tls_keeper_free(struct shs_tls_keeper *self)
{
    if (self == NULL)
        return;
    shs__tls_keeper_stop(self);
    free_keeper(self);
}
