#include "cmd/pid_file.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "cmd/cmd.h"

static int failed(const char *path, int e)
{
    char text[64];

    return cmd_fail(CMD_FAILED, "cannot write the pid file %s: %s", path,
                    shs__strerror(e, text, sizeof text));
}

int pid_file_write(const char *path)
{
    char *fresh, line[24];
    int fd, len, e = 0;

    if (path == NULL)
        return CMD_OK;
    fresh = shs__asprintf("%s.%ld", path, (long)getpid());
    if (fresh == NULL)
        return cmd_fail(CMD_FAILED, "out of memory");
    len = snprintf(line, sizeof line, "%ld\n", (long)getpid());
    fd = open(fresh, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0644);
    if (fd < 0 || shs__write_all(fd, line, (size_t)len) != SHS_OK)
        e = errno;
    if (fd >= 0 && close(fd) != 0 && e == 0)
        e = errno;
    if (e == 0 && rename(fresh, path) != 0)
        e = errno;
    if (e != 0 && fd >= 0)
        (void)unlink(fresh);
    shs__free(fresh);
    return e == 0 ? CMD_OK : failed(path, e);
}

void pid_file_remove(const char *path)
{
    char line[24] = "";
    ssize_t n = 0;
    int fd = path == NULL ? -1 : open(path, O_RDONLY | O_CLOEXEC);

    if (fd < 0)
        return;
    n = read(fd, line, sizeof line - 1);
    (void)close(fd);
    if (n > 0 && strtol(line, NULL, 10) == (long)getpid())
        (void)unlink(path);
}
