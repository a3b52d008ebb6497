#include "handler/static_root.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <unistd.h>

/* Two renames take the place of a directory: between them the name is nobody's for a moment. */
#define GRACE_NS (2 * (int64_t)SHS_NS_PER_S)

/* Does its mode allow to read it, and does something else, a sandbox, not let us? O_PATH asks
   neither, so all that is in it would look as if it were not there. */
static bool is_hidden(int fd)
{
    int read_fd = openat(fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);

    if (read_fd >= 0)
        (void)close(read_fd);
    return read_fd < 0 && errno == EACCES && faccessat(fd, ".", R_OK, AT_EACCESS) == 0;
}

static struct shs_open_root *open_at(int base_fd, const char *name, bool keep)
{
    struct shs_open_root *root;
    struct stat st;
    int fd = openat(base_fd, name, O_PATH | O_DIRECTORY | O_CLOEXEC), saved;

    if (fd < 0)
        return NULL;
    root = shs__calloc(1, sizeof *root);
    errno = ENOMEM;
    if (root == NULL || fstat(fd, &st) != 0 || (keep && shs__file_cache_new(&root->kept) != SHS_OK))
        goto failed;
    errno = ENOENT;
    if (st.st_nlink == 0) /* removed, and only open still */
        goto failed;
    if (is_hidden(fd)) /* EACCES */
        goto failed;
    atomic_init(&root->references, 1);
    root->fd = fd;
    root->dev = st.st_dev;
    root->ino = st.st_ino;
    return root;
failed:
    saved = errno;
    if (root != NULL)
        shs__file_cache_free(root->kept);
    shs__free(root);
    close(fd);
    errno = saved;
    return NULL;
}

void shs__static_root_leave(struct shs_open_root *root)
{
    if (root == NULL || atomic_fetch_sub_explicit(&root->references, 1, memory_order_acq_rel) != 1)
        return;
    shs__file_cache_free(root->kept);
    close(root->fd);
    shs__free(root);
}

/* "/where/it/began/dist" for "dist"; NULL when it cannot be said. */
static char *absolute_name(const char *directory)
{
    char here[PATH_MAX];

    if (directory[0] == '/' || getcwd(here, sizeof here) == NULL || here[0] != '/')
        return NULL;
    return strcmp(directory, ".") == 0 ? shs__strdup(here)
                                       : shs__asprintf("%s/%s", here, directory);
}

int shs__static_root_init(struct shs_static_root *self, const char *directory, bool keep)
{
    pthread_mutex_init(&self->lock, NULL);
    self->keep = keep;
    self->base_fd = -1;
    self->directory = shs__strdup(directory);
    if (self->directory == NULL)
        return SHS_NOMEM;
    self->absolute = absolute_name(directory);
    if (directory[0] != '/') {
        self->base_fd = open(".", O_PATH | O_DIRECTORY | O_CLOEXEC);
        if (self->base_fd < 0)
            return SHS_IO;
    }
    self->now = open_at(self->base_fd, directory, keep);
    self->found_ns = shs_now_ns();
    atomic_init(&self->looked_ns, self->found_ns);
    if (self->now == NULL)
        return errno == ENOMEM ? SHS_NOMEM : SHS_IO;
    return SHS_OK;
}

void shs__static_root_free(struct shs_static_root *self)
{
    if (self->directory == NULL)
        return;
    shs__static_root_leave(self->now);
    if (self->base_fd >= 0)
        close(self->base_fd);
    shs__free(self->directory);
    shs__free(self->absolute);
    pthread_mutex_destroy(&self->lock);
    self->directory = NULL;
}

static bool is_same(const struct shs_open_root *root, const struct stat *st)
{
    return root != NULL && st->st_nlink > 0 && root->dev == st->st_dev && root->ino == st->st_ino;
}

/*
 * What the name leads to: `old`, when it is still that, or another one (a reference is the
 * caller's); NULL with errno. The directory in which the server was started may itself have been
 * removed and built again: then the name from "/" on leads there.
 */
static struct shs_open_root *look_up(const struct shs_static_root *self, struct shs_open_root *old)
{
    struct shs_open_root *found;
    struct stat st;

    if (fstatat(self->base_fd, self->directory, &st, 0) == 0 && is_same(old, &st))
        return old;
    found = open_at(self->base_fd, self->directory, self->keep);
    if (found != NULL || self->absolute == NULL || errno == EMFILE || errno == ENFILE)
        return found;
    if (fstatat(AT_FDCWD, self->absolute, &st, 0) == 0 && is_same(old, &st))
        return old;
    return open_at(AT_FDCWD, self->absolute, self->keep);
}

/* The name is nobody's, but was a moment ago, and the directory is not removed. */
static bool may_stay(const struct shs_static_root *self, const struct shs_open_root *old)
{
    struct stat st;

    return old != NULL && shs_now_ns() - self->found_ns < GRACE_NS && fstat(old->fd, &st) == 0 &&
           st.st_nlink > 0;
}

static struct shs_open_root *take(struct shs_open_root *root)
{
    if (root != NULL)
        atomic_fetch_add_explicit(&root->references, 1, memory_order_relaxed);
    return root;
}

/* Notes what a look at `looked_ns` has found; another one may have been quicker. */
static struct shs_open_root *note(struct shs_static_root *self, struct shs_open_root *found,
                                  int64_t looked_ns, bool *changed)
{
    struct shs_open_root *before = NULL;

    pthread_mutex_lock(&self->lock);
    if (looked_ns >= atomic_load(&self->looked_ns)) {
        atomic_store(&self->looked_ns, looked_ns);
        if (found != NULL)
            self->found_ns = looked_ns;
        *changed = self->missing != (found == NULL);
        self->missing = found == NULL;
        if (found != NULL && self->now != NULL && found->dev == self->now->dev &&
            found->ino == self->now->ino) {
            before = found; /* somebody else has opened the same one meanwhile, or it is that */
            found = take(self->now);
        } else {
            before = self->now;
            self->now = take(found);
        }
    }
    pthread_mutex_unlock(&self->lock);
    shs__static_root_leave(before);
    return found;
}

/* The usual case, in which the lock is taken once: the name leads where it did. NULL: else. */
static struct shs_open_root *enter_again(struct shs_static_root *self, int64_t since_ns)
{
    struct shs_open_root *root = NULL;
    int64_t now = shs_now_ns();
    bool looked = since_ns != 0 && atomic_load(&self->looked_ns) >= since_ns;
    struct stat st = {.st_nlink = 0};

    if (!looked && fstatat(self->base_fd, self->directory, &st, 0) != 0)
        return NULL;
    pthread_mutex_lock(&self->lock);
    if (looked || is_same(self->now, &st))
        root = take(self->now);
    if (root != NULL && !looked && now > atomic_load(&self->looked_ns)) {
        atomic_store(&self->looked_ns, now);
        self->found_ns = now;
    }
    pthread_mutex_unlock(&self->lock);
    return root;
}

struct shs_open_root *shs__static_root_enter(struct shs_static_root *self, int64_t since_ns,
                                             bool *changed)
{
    struct shs_open_root *old, *found = enter_again(self, since_ns);
    int64_t now = shs_now_ns();
    int saved;

    *changed = false;
    if (found != NULL)
        return found;
    pthread_mutex_lock(&self->lock);
    old = take(self->now);
    pthread_mutex_unlock(&self->lock);
    found = look_up(self, old);
    saved = errno;
    if (found == NULL && (saved == EMFILE || saved == ENFILE || saved == ENOMEM)) {
        shs__static_root_leave(old); /* nothing was learnt of the name */
        errno = saved;
        return NULL;
    }
    if (found == NULL && may_stay(self, old))
        return old;
    if (found == old)
        (void)take(old); /* so that both are given back in the same way, whichever they are */
    found = note(self, found, now, changed);
    shs__static_root_leave(old);
    errno = saved;
    return found;
}
