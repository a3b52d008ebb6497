#include "handler/archive.h"

#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

#include <shs/http.h>

#include "handler/mime.h"

/* A piece, and what a format puts around it; the end of a zip has the names of all entries. */
#define OUT_MAX ((size_t)64 << 20)

static int next_name(DIR *dir, const struct dirent **item)
{
    do {
        errno = 0;
        *item = readdir(dir);
        if (*item == NULL)
            return errno == 0 ? SHS_OK : SHS_IO;
    } while ((*item)->d_name[0] == '.');
    return SHS_OK;
}

/* Is it something that goes into an archive? What went away meanwhile does not. */
static int look(DIR *dir, const char *name, struct stat *st, bool *wanted)
{
    *wanted = false;
    if (fstatat(dirfd(dir), name, st, AT_SYMLINK_NOFOLLOW) != 0)
        return errno == ENOENT ? SHS_OK : SHS_IO;
    *wanted = S_ISREG(st->st_mode) || S_ISDIR(st->st_mode);
    return SHS_OK;
}

static int open_entry(DIR *dir, const char *name, int flags)
{
    return openat(dirfd(dir), name,
                  flags | O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
}

/* Nobody can have it from here, or it is gone: it is left out, as a GET of it would be 404. */
static bool is_not_to_be_had(int sys_errno)
{
    return sys_errno == EACCES || sys_errno == EPERM || sys_errno == ENOENT || sys_errno == ELOOP;
}

/* -- the measure ------------------------------------------------------------------------------- */

struct measure {
    uint64_t bytes, max_bytes;
    unsigned entries;
};

static enum shs_archive_size measure(int fd, unsigned depth, struct measure *m);

static enum shs_archive_size measure_below(DIR *dir, const char *name, unsigned depth,
                                           struct measure *m)
{
    int fd = open_entry(dir, name, O_DIRECTORY);

    if (fd < 0)
        return is_not_to_be_had(errno) ? SHS_ARCHIVE_FITS : SHS_ARCHIVE_FAILS;
    return measure(fd, depth + 1, m);
}

static enum shs_archive_size measure_all(DIR *dir, unsigned depth, struct measure *m)
{
    enum shs_archive_size rc = SHS_ARCHIVE_FITS;
    const struct dirent *item;
    struct stat st;
    bool wanted;

    while (rc == SHS_ARCHIVE_FITS) {
        if (next_name(dir, &item) != SHS_OK)
            return SHS_ARCHIVE_FAILS;
        if (item == NULL)
            break;
        if (look(dir, item->d_name, &st, &wanted) != SHS_OK)
            return SHS_ARCHIVE_FAILS;
        if (!wanted)
            continue;
        if (++m->entries > SHS_ARCHIVE_ENTRIES)
            return SHS_ARCHIVE_TOO_LARGE;
        if (S_ISDIR(st.st_mode))
            rc = measure_below(dir, item->d_name, depth, m);
        else if ((uint64_t)st.st_size > m->max_bytes - m->bytes)
            rc = SHS_ARCHIVE_TOO_LARGE;
        else
            m->bytes += (uint64_t)st.st_size;
    }
    return rc;
}

/* Takes fd. */
static enum shs_archive_size measure(int fd, unsigned depth, struct measure *m)
{
    enum shs_archive_size rc = SHS_ARCHIVE_TOO_LARGE;
    DIR *dir = depth < SHS_ARCHIVE_DEPTH ? fdopendir(fd) : NULL;
    int saved = errno;

    if (dir == NULL) {
        close(fd);
        errno = saved;
        return depth < SHS_ARCHIVE_DEPTH ? SHS_ARCHIVE_FAILS : SHS_ARCHIVE_TOO_LARGE;
    }
    rc = measure_all(dir, depth, m);
    saved = errno;
    closedir(dir);
    errno = saved;
    return rc;
}

enum shs_archive_size shs__archive_measure(int fd, uint64_t max_bytes)
{
    struct measure m = {.max_bytes = max_bytes};
    int own = openat(fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);

    return own < 0 ? SHS_ARCHIVE_FAILS : measure(own, 0, &m);
}

/* -- the walk ---------------------------------------------------------------------------------- */

/* Goes into a directory, whose path self->path is; takes fd. */
static int enter(struct shs_archive *self, int fd)
{
    DIR *dir = self->depth < SHS_ARCHIVE_DEPTH ? fdopendir(fd) : NULL;

    if (dir == NULL) {
        close(fd);
        return self->depth < SHS_ARCHIVE_DEPTH ? SHS_IO : SHS_LIMIT;
    }
    self->levels[self->depth] = dir;
    self->lengths[self->depth++] = self->path_len;
    return SHS_OK;
}

/* Puts the name behind the path of the directory that is walked through. */
static int set_path(struct shs_archive *self, const char *name, bool directory)
{
    size_t start = self->lengths[self->depth - 1], len = strlen(name);

    if (start + len + 2 > sizeof self->path)
        return SHS_LIMIT;
    memcpy(self->path + start, name, len);
    self->path_len = start + len;
    if (directory)
        self->path[self->path_len++] = '/';
    self->path[self->path_len] = '\0';
    return SHS_OK;
}

static int begin_entry(struct shs_archive *self, const struct stat *st)
{
    struct shs_archive_entry entry = {
        .name = {self->path, self->path_len}, .st = st, .directory = S_ISDIR(st->st_mode)};

    if (self->left_entries-- == 0)
        return SHS_LIMIT;
    entry.compressible = !entry.directory && shs__mime_compressible(shs__mime_type(entry.name));
    return self->format->entry(self, &entry);
}

/* Begins with the file or directory that was opened; takes fd. */
static int take(struct shs_archive *self, const char *name, int fd)
{
    struct stat st;
    int rc = SHS_IO;

    if (fstat(fd, &st) == 0)
        rc = S_ISREG(st.st_mode) || S_ISDIR(st.st_mode)
                 ? set_path(self, name, S_ISDIR(st.st_mode))
                 : SHS_IO; /* it became something else between two looks */
    if (rc == SHS_OK && S_ISREG(st.st_mode) && (uint64_t)st.st_size > self->left_bytes)
        rc = SHS_LIMIT;
    if (rc == SHS_OK)
        rc = begin_entry(self, &st);
    if (rc == SHS_OK && S_ISDIR(st.st_mode))
        return enter(self, fd);
    if (rc != SHS_OK) {
        close(fd);
        return rc;
    }
    self->fd = fd;
    shs__file_state_of(&self->state, &st);
    self->file_size = self->file_left = (uint64_t)st.st_size;
    self->left_bytes -= self->file_size;
    return SHS_OK;
}

static int next_entry(struct shs_archive *self)
{
    DIR *dir = self->levels[self->depth - 1];
    const struct dirent *item;
    struct stat st;
    bool wanted;
    int fd;

    SHS_RETURN_IF_ERROR(next_name(dir, &item));
    if (item == NULL) {
        closedir(dir);
        self->depth--;
        return SHS_OK;
    }
    SHS_RETURN_IF_ERROR(look(dir, item->d_name, &st, &wanted));
    if (!wanted)
        return SHS_OK;
    fd = open_entry(dir, item->d_name, S_ISDIR(st.st_mode) ? O_DIRECTORY : 0);
    if (fd < 0)
        return is_not_to_be_had(errno) ? SHS_OK : SHS_IO;
    return take(self, item->d_name, fd);
}

/* The next piece of the file: never more than was said at its head, and never less; and nobody
   wrote into it from its head to its end. */
static int next_piece(struct shs_archive *self)
{
    char piece[SHS_ARCHIVE_PIECE];
    size_t want = self->file_left < sizeof piece ? (size_t)self->file_left : sizeof piece;
    ssize_t n;

    if (want == 0) {
        if (shs__file_change(&self->state, self->fd, NULL) == SHS_FILE_CHANGED)
            return SHS_IO;
        close(self->fd);
        self->fd = -1;
        return self->format->end_entry(self);
    }
    do {
        n = pread(self->fd, piece, want, (off_t)(self->file_size - self->file_left));
    } while (n < 0 && errno == EINTR);
    if (n <= 0)
        return SHS_IO;
    self->file_left -= (uint64_t)n;
    return self->format->data(self, piece, (size_t)n);
}

static int make_more(struct shs_archive *self)
{
    if (self->fd >= 0)
        return next_piece(self);
    if (self->depth > 0)
        return next_entry(self);
    self->ended = true;
    return self->format->end(self);
}

int shs__archive_read(struct shs_archive *self, void *buf, size_t cap, size_t *got)
{
    *got = 0;
    while (self->out.len == 0 && !self->ended)
        SHS_RETURN_IF_ERROR(make_more(self));
    *got = self->out.len < cap ? self->out.len : cap;
    if (*got > 0)
        memcpy(buf, shs__buf_head(&self->out), *got);
    shs__buf_consume(&self->out, *got);
    self->given += *got;
    return SHS_OK;
}

/* -- life -------------------------------------------------------------------------------------- */

int shs__archive_new(struct shs_archive **out, const struct shs_archive_format *format, int fd,
                     struct shs_str name, uint64_t max_bytes)
{
    struct shs_archive *self = shs__calloc(1, sizeof *self);
    struct stat st;
    int rc = SHS_NOMEM;

    if (self == NULL || name.len + 2 > sizeof self->path) {
        shs__free(self);
        close(fd);
        return SHS_NOMEM;
    }
    self->format = format;
    self->fd = -1;
    self->left_bytes = max_bytes;
    self->left_entries = SHS_ARCHIVE_ENTRIES + 1;
    shs__buf_init(&self->out, OUT_MAX);
    memcpy(self->path, name.ptr, name.len);
    self->path[name.len] = '/';
    self->path_len = name.len + 1;
    rc = fstat(fd, &st) == 0 ? format->begin(self) : SHS_IO;
    if (rc == SHS_OK)
        rc = begin_entry(self, &st);
    if (rc == SHS_OK)
        rc = enter(self, fd);
    else
        close(fd);
    if (rc == SHS_OK)
        *out = self;
    else
        shs__archive_free(self);
    return rc;
}

void shs__archive_free(struct shs_archive *self)
{
    if (self == NULL)
        return;
    while (self->depth > 0)
        closedir(self->levels[--self->depth]);
    if (self->fd >= 0)
        close(self->fd);
    self->format->free(self);
    shs__buf_free(&self->out);
    shs__free(self);
}
