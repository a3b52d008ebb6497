#include "tls/config/notify.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/inotify.h>
#include <sys/stat.h>
#include <unistd.h>

#include "tls/config/paths.h"

#define LINKS_MAX 16
#define PATH_CAP 4096
#define ENTRIES_MAX ((size_t)1 << 20)
#define IN_DIRECTORY                                                                               \
    (IN_CREATE | IN_CLOSE_WRITE | IN_MOVED_TO | IN_MOVED_FROM | IN_DELETE | IN_ATTRIB |            \
     IN_DELETE_SELF | IN_MOVE_SELF | IN_ONLYDIR)
#define IN_FILE (IN_MODIFY | IN_CLOSE_WRITE | IN_ATTRIB | IN_DELETE_SELF | IN_MOVE_SELF)
/* About the watched thing itself, whatever its entries are. */
#define IN_SELF (IN_DELETE_SELF | IN_MOVE_SELF | IN_UNMOUNT | IN_IGNORED)

/* A name that matters in what is watched; 0: every one, and the thing itself. */
struct shs_tls_notify_entry {
    int wd;
    uint64_t name;
};

static uint64_t hash(const char *name, size_t len)
{
    uint64_t h = 14695981039346656037u;

    for (size_t i = 0; i < len; i++)
        h = (h ^ (unsigned char)name[i]) * 1099511628211u;
    return h == 0 ? 1 : h;
}

static void add_entry(struct shs_tls_notify *self, int wd, uint64_t name)
{
    if (self->count == self->cap) {
        size_t cap = self->cap == 0 ? 64 : self->cap * 2;
        void *entries =
            cap > ENTRIES_MAX ? NULL : shs__realloc(self->entries, cap * sizeof *self->entries);

        if (entries == NULL) {
            self->whole = false; /* then every event counts */
            return;
        }
        self->entries = entries;
        self->cap = cap;
    }
    self->entries[self->count++] = (struct shs_tls_notify_entry){wd, name};
}

/* What is not there is seen when it comes, in the directory it comes into. */
static bool set_watch(struct shs_tls_notify *self, const char *path, uint32_t events, uint64_t name)
{
    int wd = inotify_add_watch(self->fd, path, events);

    if (wd >= 0)
        add_entry(self, wd, name);
    else if (errno != ENOENT && errno != ENOTDIR && self->failed++ == 0) {
        self->failed_errno = errno;
        snprintf(self->failed_path, sizeof self->failed_path, "%s", path);
    }
    return wd >= 0;
}

/* The directory that a path is in, for that name in it. */
static bool watch_parent(struct shs_tls_notify *self, const char *path)
{
    char dir[PATH_CAP];
    const char *slash = strrchr(path, '/'), *name = slash == NULL ? path : slash + 1;
    size_t len = slash == NULL ? 0 : (size_t)(slash - path);

    if (slash == NULL)
        dir[len++] = '.';
    else if (len == 0)
        dir[len++] = '/';
    else
        memcpy(dir, path, len);
    dir[len] = '\0';
    return *name == '\0' || set_watch(self, dir, IN_DIRECTORY, hash(name, strlen(name)));
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

/*
 * Every place on the path where a directory, a link or the file itself can be replaced; *path is at
 * the end without links. True when the last directory is watched.
 */
static bool watch_way(struct shs_tls_notify *self, char path[PATH_CAP])
{
    struct stat st;
    int links = 0;
    size_t at = path[0] == '/' ? 1 : 0;
    bool watched = true;

    while (path[at] != '\0') {
        char saved;

        at += strcspn(path + at, "/");
        saved = path[at];
        path[at] = '\0';
        watched = watch_parent(self, path);
        if (lstat(path, &st) == 0 && S_ISLNK(st.st_mode) && links++ < LINKS_MAX) {
            path[at] = saved;
            if (!follow(path, at))
                return watched;
            at = path[0] == '/' ? 1 : 0;
            continue;
        }
        path[at] = saved;
        while (path[at] == '/')
            at++;
    }
    return watched;
}

static void watch_path(void *ctx, const char *from, bool whole)
{
    struct shs_tls_notify *self = ctx;
    char path[PATH_CAP];
    unsigned failed;
    bool watched;

    if (strlen(from) >= sizeof path)
        return;
    memcpy(path, from, strlen(from) + 1);
    watched = watch_way(self, path);
    failed = self->failed;
    (void)set_watch(self, path, whole ? IN_DIRECTORY : IN_FILE, 0);
    /* One that may not be read cannot be watched either; its directory tells when it may. */
    if (watched && self->failed > failed && !whole &&
        (self->failed_errno == EACCES || self->failed > 1))
        self->failed = failed;
}

static int by_watch(const void *a, const void *b)
{
    const struct shs_tls_notify_entry *x = a, *y = b;

    if (x->wd != y->wd)
        return x->wd < y->wd ? -1 : 1;
    return x->name < y->name ? -1 : x->name > y->name;
}

static bool has_watch(const struct shs_tls_notify *self, int wd)
{
    size_t low = 0, high = self->count;

    while (low < high) {
        size_t middle = low + (high - low) / 2;

        if (self->entries[middle].wd < wd)
            low = middle + 1;
        else
            high = middle;
    }
    return low < self->count && self->entries[low].wd == wd;
}

static bool has_entry(const struct shs_tls_notify *self, int wd, uint64_t name)
{
    const struct shs_tls_notify_entry key = {wd, name};

    return self->count > 0 &&
           bsearch(&key, self->entries, self->count, sizeof key, by_watch) != NULL;
}

int shs__tls_notify_open(struct shs_tls_notify *self)
{
    *self = (struct shs_tls_notify){.whole = true};
    self->fd = inotify_init1(IN_NONBLOCK | IN_CLOEXEC);
    return self->fd < 0 ? SHS_IO : SHS_OK;
}

void shs__tls_notify_watch(struct shs_tls_notify *self, const struct shs_tls_config *config)
{
    struct shs_tls_notify_entry *old = self->entries;
    size_t old_count = self->count;

    if (self->fd < 0)
        return;
    self->entries = NULL;
    self->count = self->cap = 0;
    self->whole = true;
    self->failed = 0;
    shs__tls_each_path(config, watch_path, self);
    if (self->count > 0)
        qsort(self->entries, self->count, sizeof *self->entries, by_watch);
    for (size_t i = 0; i < old_count; i++) {
        if ((i == 0 || old[i].wd != old[i - 1].wd) && !has_watch(self, old[i].wd))
            (void)inotify_rm_watch(self->fd, old[i].wd); /* gone by itself is fine */
    }
    shs__free(old);
}

static bool concerns(const struct shs_tls_notify *self, const struct inotify_event *event)
{
    if ((event->mask & IN_Q_OVERFLOW) != 0 || !self->whole)
        return true;
    if (!has_watch(self, event->wd))
        return false;
    if ((event->mask & IN_SELF) != 0 || event->len == 0 || has_entry(self, event->wd, 0))
        return true;
    return has_entry(self, event->wd, hash(event->name, strlen(event->name)));
}

bool shs__tls_notify_drain(struct shs_tls_notify *self)
{
    _Alignas(struct inotify_event) char bytes[4096];
    bool ours = false;
    ssize_t n;

    while (self->fd >= 0 && (n = read(self->fd, bytes, sizeof bytes)) > 0) {
        const char *at = bytes;

        while (at < bytes + n) {
            struct inotify_event event;

            memcpy(&event, at, sizeof event);
            ours = ours || concerns(self, (const struct inotify_event *)(const void *)at);
            at += sizeof event + event.len;
        }
    }
    return ours;
}

void shs__tls_notify_close(struct shs_tls_notify *self)
{
    if (self->fd >= 0)
        close(self->fd);
    self->fd = -1;
    shs__free(self->entries);
    self->entries = NULL;
    self->count = self->cap = 0;
}
