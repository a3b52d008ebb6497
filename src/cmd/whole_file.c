/*
 * whole_file.c - a file that has its name when it is complete: who finds it, now or after a disk
 * was full, never reads half of it.
 */
#include "cmd/whole_file.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "cmd/cmd.h"

bool whole_file_is_device(const char *path)
{
    struct stat info;

    return strncmp(path, "/dev/", 5) == 0 || strncmp(path, "/proc/", 6) == 0 ||
           (stat(path, &info) == 0 && (S_ISCHR(info.st_mode) || S_ISFIFO(info.st_mode)));
}

static int failed(struct whole_file *self, const char *path, int e)
{
    char why[96];
    int code = cmd_fail(CMD_FAILED, "cannot write %s: %s", path, shs__strerror(e, why, sizeof why));

    shs__free(self->path);
    shs__free(self->fresh);
    return code;
}

/* With the mode of what it will replace, or one that the user's umask allows. */
static int open_fresh(const struct whole_file *self)
{
    struct stat info;
    int fd;

    (void)unlink(self->fresh); /* of a process with our number, that was killed */
    fd = open(self->fresh, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0666);
    if (fd >= 0 && stat(self->path, &info) == 0)
        (void)fchmod(fd, info.st_mode & 0777);
    return fd;
}

int whole_file_open(struct whole_file *self, const char *path)
{
    char real[PATH_MAX];
    const char *slash;
    struct stat info;
    int fd, e;

    memset(self, 0, sizeof *self);
    self->path = shs__strdup(realpath(path, real) == NULL ? path : real);
    if (self->path == NULL)
        return failed(self, path, ENOMEM);
    if (whole_file_is_device(path)) {
        self->to = fopen(path, "we");
        return self->to != NULL ? CMD_OK : failed(self, path, errno);
    }
    if (stat(path, &info) == 0 && S_ISDIR(info.st_mode))
        return failed(self, path, EISDIR);
    slash = strrchr(self->path, '/');
    self->fresh =
        shs__asprintf("%.*s.shs-%ld.new", slash == NULL ? 0 : (int)(slash + 1 - self->path),
                      self->path, (long)getpid());
    if (self->fresh == NULL)
        return failed(self, path, ENOMEM);
    fd = open_fresh(self);
    self->to = fd < 0 ? NULL : fdopen(fd, "w");
    if (self->to != NULL)
        return CMD_OK;
    e = errno;
    if (fd >= 0) {
        close(fd);
        (void)unlink(self->fresh);
    }
    return failed(self, path, e);
}

static void forget(struct whole_file *self, bool remove_it)
{
    if (remove_it && self->fresh != NULL)
        (void)unlink(self->fresh);
    shs__free(self->path);
    shs__free(self->fresh);
}

int whole_file_close(struct whole_file *self)
{
    char why[96];
    int e = 0, code = CMD_OK;

    errno = 0;
    if (fflush(self->to) != 0 || ferror(self->to) != 0)
        e = errno != 0 ? errno : ENOSPC; /* an earlier write failed, and its reason is lost */
    if (fclose(self->to) != 0 && e == 0)
        e = errno;
    if (self->fresh != NULL && e == 0 && rename(self->fresh, self->path) != 0)
        e = errno;
    if (e != 0)
        code = cmd_fail(CMD_FAILED, "cannot write %s: %s", self->path,
                        shs__strerror(e, why, sizeof why));
    forget(self, e != 0);
    return code;
}

void whole_file_drop(struct whole_file *self)
{
    (void)fclose(self->to);
    forget(self, true);
}
