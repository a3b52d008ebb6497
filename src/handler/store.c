#include "handler/store.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/random.h>
#include <unistd.h>

/* A name that is taken by chance is not taken twice. */
#define NAME_TRIES 4

/* A hidden name: not served, not listed, and nobody can guess it. */
static int hidden_name(char name[SHS_STORE_NAME_MAX])
{
    unsigned char bits[12];
    int len = snprintf(name, SHS_STORE_NAME_MAX, ".shs-upload-");

    if (getrandom(bits, sizeof bits, GRND_NONBLOCK) != (ssize_t)sizeof bits)
        return SHS_IO;
    for (size_t i = 0; i < sizeof bits; i++)
        len += snprintf(name + len, SHS_STORE_NAME_MAX - (size_t)len, "%02x", bits[i]);
    return SHS_OK;
}

int shs__store_begin(struct shs_store *self, int dir_fd)
{
    *self = (struct shs_store){.dir_fd = dir_fd, .fd = -1};
    self->fd = openat(dir_fd, ".", O_TMPFILE | O_WRONLY | O_CLOEXEC, 0666);
    if (self->fd >= 0)
        return SHS_OK;
    /* EISDIR: a kernel that does not know the flag; EOPNOTSUPP: a file system that has no such
       files. Anything else would go wrong with a name as well. */
    if (errno != EISDIR && errno != EOPNOTSUPP && errno != ENOENT)
        return SHS_IO;
    for (int i = 0; i < NAME_TRIES && self->fd < 0; i++) {
        if (hidden_name(self->hidden) != SHS_OK)
            break;
        self->fd = openat(dir_fd, self->hidden,
                          O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0666);
        if (self->fd < 0 && errno != EEXIST)
            break;
    }
    if (self->fd >= 0)
        return SHS_OK;
    self->hidden[0] = '\0';
    return SHS_IO;
}

int shs__store_sync(struct shs_store *self)
{
    return fsync(self->fd) == 0 ? SHS_OK : SHS_IO;
}

/* Gives a file without a name the name. */
static int link_as(const struct shs_store *self, const char *name)
{
    char path[40];

    snprintf(path, sizeof path, "/proc/self/fd/%d", self->fd);
    return linkat(AT_FDCWD, path, self->dir_fd, name, AT_SYMLINK_FOLLOW) == 0 ? SHS_OK : SHS_IO;
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
        else if (errno != EEXIST)
            return SHS_IO;
    }
    return self->hidden[0] != '\0' ? SHS_OK : SHS_IO;
}

int shs__store_publish(struct shs_store *self, const char *name, bool replace)
{
    int rc;

    if (!replace && self->hidden[0] == '\0')
        return link_as(self, name);
    if (replace && give_hidden_name(self) != SHS_OK)
        return SHS_IO;
    rc = replace ? renameat(self->dir_fd, self->hidden, self->dir_fd, name)
                 : renameat2(self->dir_fd, self->hidden, self->dir_fd, name, RENAME_NOREPLACE);
    if (rc != 0)
        return SHS_IO;
    self->hidden[0] = '\0';
    return SHS_OK;
}

int shs__store_sync_directory(int dir_fd)
{
    return fsync(dir_fd) == 0 ? SHS_OK : SHS_IO;
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
