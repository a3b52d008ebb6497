#include "handler/store.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/file.h>
#include <sys/random.h>
#include <time.h>
#include <unistd.h>

/* A name that is taken by chance is not taken twice. */
#define NAME_TRIES 4
#define PREFIX ".shs-upload-"
#define RANDOM_BYTES 12
#define COPY_SIZE 65536
/* Sweeping: how deep, and how many entries are looked at. */
#define SWEEP_DEPTH 16u
#define SWEEP_ENTRIES 200000u
/* Where there are no locks, only what nobody can be writing any more goes. */
#define SWEEP_AGE_S 86400

/* A hidden name: not served, not listed, and nobody can guess it. */
static int hidden_name(char name[SHS_STORE_NAME_MAX])
{
    unsigned char bits[RANDOM_BYTES];
    int len = snprintf(name, SHS_STORE_NAME_MAX, PREFIX);

    if (getrandom(bits, sizeof bits, GRND_NONBLOCK) != (ssize_t)sizeof bits)
        return SHS_IO;
    for (size_t i = 0; i < sizeof bits; i++)
        len += snprintf(name + len, SHS_STORE_NAME_MAX - (size_t)len, "%02x", bits[i]);
    return SHS_OK;
}

/* -- beginning --------------------------------------------------------------------------------- */

static void proc_path(int fd, char path[40])
{
    snprintf(path, 40, "/proc/self/fd/%d", fd);
}

/* A file without a name that can be given one later. */
static bool open_nameless(struct shs_store *self)
{
    char path[40];

    self->fd = openat(self->dir_fd, ".", O_TMPFILE | O_RDWR | O_CLOEXEC, 0666);
    if (self->fd < 0)
        return false;
    proc_path(self->fd, path);
    if (faccessat(AT_FDCWD, path, F_OK, AT_SYMLINK_NOFOLLOW) == 0) {
        (void)flock(self->fd, LOCK_EX | LOCK_NB); /* for the moment in which it has a hidden name */
        return true;
    }
    close(self->fd); /* no /proc to link it by */
    self->fd = -1;
    return false;
}

static bool names_this(int dir_fd, const char *name, int fd)
{
    struct stat named, open;

    return fstatat(dir_fd, name, &named, AT_SYMLINK_NOFOLLOW) == 0 && fstat(fd, &open) == 0 &&
           named.st_dev == open.st_dev && named.st_ino == open.st_ino;
}

/* Locked before anybody sweeps it away: a lock that somebody else holds is a sweeper's. */
static bool lock_hidden(const struct shs_store *self)
{
    if (flock(self->fd, LOCK_EX | LOCK_NB) != 0 && errno == EWOULDBLOCK)
        return false;
    return names_this(self->dir_fd, self->hidden, self->fd);
}

static int open_hidden(struct shs_store *self)
{
    for (int i = 0; i < NAME_TRIES; i++) {
        if (hidden_name(self->hidden) != SHS_OK)
            break;
        self->fd = openat(self->dir_fd, self->hidden,
                          O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0666);
        if (self->fd >= 0 && lock_hidden(self))
            return SHS_OK;
        if (self->fd < 0 && errno != EEXIST)
            break;
        if (self->fd >= 0)
            close(self->fd);
        self->fd = -1;
    }
    self->hidden[0] = '\0';
    return SHS_IO;
}

int shs__store_begin(struct shs_store *self, int dir_fd)
{
    *self = (struct shs_store){.dir_fd = dir_fd, .fd = -1};
    /* Whatever there is against a file without a name (file systems say it in many ways): what is
       against one with a name as well, the second try tells. */
    return open_nameless(self) ? SHS_OK : open_hidden(self);
}

void shs__store_resemble(struct shs_store *self, const struct stat *st)
{
    struct stat own;

    if (fstat(self->fd, &own) == 0 && (own.st_uid != st->st_uid || own.st_gid != st->st_gid) &&
        fchown(self->fd, st->st_uid, st->st_gid) != 0)
        (void)!fchown(self->fd, (uid_t)-1, st->st_gid); /* a group that we belong to, perhaps */
    (void)fchmod(self->fd, st->st_mode & 0777);
}

/* -- the disk ---------------------------------------------------------------------------------- */

int shs__store_sync(struct shs_store *self)
{
    if (fsync(self->fd) == 0)
        return SHS_OK;
    if (!shs__has_no_sync(errno))
        return SHS_IO;
    self->unsynced = errno;
    return SHS_OK;
}

int shs__store_sync_directory(int dir_fd)
{
    return fsync(dir_fd) == 0 ? SHS_OK : SHS_IO;
}

/* -- the name ---------------------------------------------------------------------------------- */

/* Gives a file without a name the name. */
static int link_as(const struct shs_store *self, const char *name)
{
    char path[40];

    proc_path(self->fd, path);
    return linkat(AT_FDCWD, path, self->dir_fd, name, AT_SYMLINK_FOLLOW) == 0 ? SHS_OK : SHS_IO;
}

/* The file system has files without names, and no way to name them. */
static bool has_no_link(int sys_errno)
{
    return sys_errno == EPERM || sys_errno == EOPNOTSUPP || sys_errno == ENOSYS ||
           sys_errno == EXDEV || sys_errno == EINVAL || sys_errno == EMLINK;
}

static int copy_all(int from, int to)
{
    char *data = shs__malloc(COPY_SIZE);
    off_t at = 0;
    ssize_t n = 1;

    if (data == NULL) {
        errno = ENOMEM;
        return SHS_IO;
    }
    while (n > 0) {
        n = pread(from, data, COPY_SIZE, at);
        for (ssize_t done = 0, w; n > 0 && done < n; done += w) {
            w = shs__pwrite_unsignalled(to, data + done, (size_t)(n - done), at + done);
            if (w <= 0)
                n = -1;
        }
        if (n > 0)
            at += n;
    }
    shs__free(data);
    return n == 0 ? SHS_OK : SHS_IO;
}

/* Becomes a file with a hidden name after all: the bytes are written once more. */
static int rewrite_hidden(struct shs_store *self)
{
    struct shs_store copy = {.dir_fd = self->dir_fd, .fd = -1};
    struct stat st;

    if (open_hidden(&copy) != SHS_OK)
        return SHS_IO;
    if (fstat(self->fd, &st) != 0 || copy_all(self->fd, copy.fd) != SHS_OK) {
        int saved = errno;

        shs__store_drop(&copy);
        errno = saved;
        return SHS_IO;
    }
    shs__store_resemble(&copy, &st);
    (void)futimens(copy.fd, (struct timespec[]){st.st_atim, st.st_mtim});
    if (shs__store_sync(&copy) != SHS_OK) {
        int saved = errno;

        shs__store_drop(&copy);
        errno = saved;
        return SHS_IO;
    }
    close(self->fd);
    *self = copy;
    return SHS_OK;
}

/* Only rename replaces at once, and only a name can be renamed: so it gets a hidden one first. */
static int give_hidden_name(struct shs_store *self)
{
    for (int i = 0; i < NAME_TRIES && self->hidden[0] == '\0'; i++) {
        char name[SHS_STORE_NAME_MAX];

        if (hidden_name(name) != SHS_OK)
            return SHS_IO;
        if (link_as(self, name) == SHS_OK)
            memcpy(self->hidden, name, sizeof name);
        else if (has_no_link(errno))
            return rewrite_hidden(self);
        else if (errno != EEXIST)
            return SHS_IO;
    }
    return self->hidden[0] != '\0' ? SHS_OK : SHS_IO;
}

/* A name of its own where there are no links: taken, empty, by whoever is first; then replaced. */
static int reserve_and_rename(const struct shs_store *self, const char *name)
{
    int fd = openat(self->dir_fd, name, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
    int saved;

    if (fd < 0)
        return SHS_IO;
    close(fd);
    if (renameat(self->dir_fd, self->hidden, self->dir_fd, name) == 0)
        return SHS_OK;
    saved = errno;
    (void)unlinkat(self->dir_fd, name, 0);
    errno = saved;
    return SHS_IO;
}

/* The hidden file gets a name that nobody has: EEXIST when somebody does. */
static int rename_new(const struct shs_store *self, const char *name)
{
    if (renameat2(self->dir_fd, self->hidden, self->dir_fd, name, RENAME_NOREPLACE) == 0)
        return SHS_OK;
    if (errno != EINVAL && errno != ENOSYS && errno != EOPNOTSUPP)
        return SHS_IO;
    if (linkat(self->dir_fd, self->hidden, self->dir_fd, name, 0) != 0)
        return has_no_link(errno) ? reserve_and_rename(self, name) : SHS_IO;
    (void)unlinkat(self->dir_fd, self->hidden, 0);
    return SHS_OK;
}

int shs__store_publish(struct shs_store *self, const char *name, bool replace)
{
    int rc;

    if (!replace && self->hidden[0] == '\0') {
        rc = link_as(self, name);
        if (rc == SHS_OK || !has_no_link(errno))
            return rc;
        if (rewrite_hidden(self) != SHS_OK)
            return SHS_IO;
    }
    if (replace && give_hidden_name(self) != SHS_OK)
        return SHS_IO;
    if (replace)
        rc = renameat(self->dir_fd, self->hidden, self->dir_fd, name) == 0 ? SHS_OK : SHS_IO;
    else
        rc = rename_new(self, name);
    if (rc == SHS_OK)
        self->hidden[0] = '\0';
    return rc;
}

void shs__store_drop(struct shs_store *self)
{
    if (self->hidden[0] != '\0')
        (void)unlinkat(self->dir_fd, self->hidden, 0);
    self->hidden[0] = '\0';
    if (self->fd >= 0)
        close(self->fd);
    self->fd = -1;
}

/* -- sweeping ---------------------------------------------------------------------------------- */

static bool is_ours(const char *name)
{
    size_t prefix = sizeof PREFIX - 1;

    return strncmp(name, PREFIX, prefix) == 0 &&
           strlen(name) == prefix + 2 * (size_t)RANDOM_BYTES &&
           strspn(name + prefix, "0123456789abcdef") == 2 * (size_t)RANDOM_BYTES;
}

/* Nobody writes it any more: its lock is free, or there are no locks here and it is old. */
static bool is_left(int fd)
{
    struct stat st;

    if (flock(fd, LOCK_EX | LOCK_NB) == 0)
        return true;
    return errno != EWOULDBLOCK && fstat(fd, &st) == 0 && st.st_mtime < time(NULL) - SWEEP_AGE_S;
}

static bool sweep_file(int dir_fd, const char *name)
{
    int fd = openat(dir_fd, name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
    bool swept = false;
    struct stat st;

    if (fd < 0)
        return false;
    if (fstat(fd, &st) == 0 && S_ISREG(st.st_mode) && is_left(fd) && names_this(dir_fd, name, fd))
        swept = unlinkat(dir_fd, name, 0) == 0;
    close(fd);
    return swept;
}

static size_t sweep(int fd, unsigned depth, unsigned *entries)
{
    DIR *dir = fdopendir(fd);
    const struct dirent *item;
    size_t swept = 0;
    int below;

    if (dir == NULL) {
        close(fd);
        return 0;
    }
    while (*entries > 0 && (item = readdir(dir)) != NULL) {
        (*entries)--;
        if (is_ours(item->d_name))
            swept += sweep_file(dirfd(dir), item->d_name);
        if (item->d_name[0] == '.' || depth == 0 ||
            (item->d_type != DT_DIR && item->d_type != DT_UNKNOWN))
            continue;
        below = openat(dirfd(dir), item->d_name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
        if (below >= 0)
            swept += sweep(below, depth - 1, entries);
    }
    closedir(dir);
    return swept;
}

size_t shs__store_sweep(int dir_fd)
{
    int fd = openat(dir_fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    unsigned entries = SWEEP_ENTRIES;

    return fd < 0 ? 0 : sweep(fd, SWEEP_DEPTH, &entries);
}
