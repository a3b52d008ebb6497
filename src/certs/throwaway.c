/* throwaway.c - see throwaway.h. */
#include "certs/throwaway.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#define DEPTH_MAX 16
#define TRIES_MAX 16
/* So much of a place is looked at, and so many of those left behind are removed, each time. */
#define LOOK_MAX 20000
#define SWEEP_MAX 64

/* Nothing else is ever swept. A directory's name ends with the six characters of mkdtemp. */
static const struct {
    const char *kind;
    bool directory;
} kinds[] = {
    {"shs-test-server", true},
    {"shs-lab-client", true},
    {"shs-root", false},
};

/* -- removing ---------------------------------------------------------------------------------- */

/* What is in the directory; `fd` is closed. */
static void empty(int fd, unsigned depth)
{
    DIR *dir = fdopendir(fd);
    const struct dirent *entry;
    int below;

    if (dir == NULL) {
        close(fd);
        return;
    }
    while ((entry = readdir(dir)) != NULL) {
        if (strcmp(entry->d_name, ".") == 0 || strcmp(entry->d_name, "..") == 0 ||
            unlinkat(fd, entry->d_name, 0) == 0 || depth == DEPTH_MAX)
            continue;
        below = openat(fd, entry->d_name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
        if (below >= 0)
            empty(below, depth + 1);
        (void)unlinkat(fd, entry->d_name, AT_REMOVEDIR);
    }
    closedir(dir);
}

/* `fd` is the thing itself, open; `at` is where `name` is. */
static void remove_it(int at, const char *name, int fd, bool directory)
{
    int copy;

    if (!directory) {
        (void)unlinkat(at, name, 0);
        return;
    }
    /* The lock is the open file's: a descriptor of its own is read, so that this one keeps it. */
    copy = openat(fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (copy >= 0)
        empty(copy, 0);
    (void)unlinkat(at, name, AT_REMOVEDIR);
}

/* -- those that were left ---------------------------------------------------------------------- */

/* Which kind it is, by its name; -1: none of ours. */
static int kind_of(const char *name)
{
    for (size_t i = 0; i < SHS_ARRAY_LEN(kinds); i++) {
        size_t len = strlen(kinds[i].kind);

        if (strncmp(name, kinds[i].kind, len) == 0 && name[len] == '-' &&
            strlen(name + len + 1) >= 6)
            return (int)i;
    }
    return -1;
}

/* Removes it, if it is this user's and nobody holds it. */
static bool sweep_one(int place, const char *name, bool directory)
{
    struct stat st;
    bool stale = false;
    int fd = openat(place, name,
                    O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY | O_CLOEXEC |
                        (directory ? O_DIRECTORY : 0));

    if (fd < 0)
        return false;
    if (fstat(fd, &st) == 0 && st.st_uid == geteuid() &&
        (directory ? S_ISDIR(st.st_mode) && (st.st_mode & 0777) == 0700
                   : S_ISREG(st.st_mode) && st.st_nlink == 1))
        stale = flock(fd, LOCK_EX | LOCK_NB) == 0;
    if (stale)
        remove_it(place, name, fd, directory);
    close(fd);
    return stale;
}

static void sweep(const char *place)
{
    DIR *dir = opendir(place);
    const struct dirent *entry;
    unsigned looked = 0, swept = 0;

    while (dir != NULL && (entry = readdir(dir)) != NULL && looked++ < LOOK_MAX &&
           swept < SWEEP_MAX) {
        int kind = kind_of(entry->d_name);

        if (kind >= 0 && sweep_one(dirfd(dir), entry->d_name, kinds[kind].directory))
            swept++;
    }
    if (dir != NULL)
        closedir(dir);
}

/* -- making ------------------------------------------------------------------------------------ */

static int no_memory(struct shs_error *err)
{
    return shs_error_set(err, SHS_NOMEM, 0, "Out of memory for the name of a temporary file.");
}

/*
 * Between its making and the lock somebody who sweeps may have taken it for left behind: then it is
 * gone, or he has the lock. True: it is ours, or this file system has no locks, and nobody sweeps.
 */
static bool hold(int fd)
{
    struct stat st;

    if (flock(fd, LOCK_EX | LOCK_NB) != 0)
        return errno != EWOULDBLOCK;
    return fstat(fd, &st) == 0 && st.st_nlink > 0;
}

/* One try: 1 it is made, 0 it was swept at once, -1 with errno. */
static int make(struct shs__throwaway *out, bool directory, size_t suffix_len)
{
    int saved;

    if (directory && mkdtemp(out->path) == NULL)
        return -1;
    out->fd = directory ? open(out->path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC)
                        : mkostemps(out->path, (int)suffix_len, O_CLOEXEC);
    if (out->fd < 0)
        return directory && errno == ENOENT ? 0 : -1;
    if (hold(out->fd))
        return 1;
    saved = errno;
    close(out->fd);
    errno = saved;
    return 0;
}

static int make_one(struct shs__throwaway *out, const char *place, const char *kind,
                    const char *suffix, bool directory, struct shs_error *err)
{
    int made = 0, saved = 0;
    char why[96];

    *out = (struct shs__throwaway){NULL, -1, 0};
    if (place == NULL)
        place = "/tmp";
    sweep(place);
    for (int i = 0; i < TRIES_MAX && made == 0; i++) {
        shs__free(out->path);
        out->path = shs__asprintf("%s/%s-XXXXXX%s", place, kind, suffix);
        if (out->path == NULL)
            return no_memory(err);
        made = make(out, directory, strlen(suffix));
        saved = errno;
    }
    out->maker = getpid();
    if (made == 1)
        return SHS_OK;
    shs_error_set(err, SHS_IO, saved, "Cannot make a temporary %s in %s: %s.",
                  directory ? "directory" : "file", place,
                  made == 0 ? "somebody removes it at once"
                            : shs__strerror(saved, why, sizeof why));
    shs__free(out->path);
    out->path = NULL;
    return SHS_IO;
}

int shs__throwaway_dir(struct shs__throwaway *out, const char *place, const char *kind,
                       struct shs_error *err)
{
    return make_one(out, place, kind, "", true, err);
}

int shs__throwaway_file(struct shs__throwaway *out, const char *place, const char *kind,
                        const char *suffix, struct shs_error *err)
{
    return make_one(out, place, kind, suffix, false, err);
}

bool shs__throwaway_is_ours(const struct shs__throwaway *self)
{
    return self->path != NULL && self->maker == getpid();
}

void shs__throwaway_remove(struct shs__throwaway *self)
{
    struct stat st;

    if (self->path == NULL)
        return;
    if (shs__throwaway_is_ours(self) && fstat(self->fd, &st) == 0)
        remove_it(AT_FDCWD, self->path, self->fd, S_ISDIR(st.st_mode));
    close(self->fd);
    shs__free(self->path);
    *self = (struct shs__throwaway){NULL, -1, 0};
}
