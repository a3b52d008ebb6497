/* lab_here.c - a note of where the lab is that this user has started last. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "cmd/lab_env.h"

#define NOTE_MAX 128

/* For shs__free. In a directory that others write to, the name has the user's number, and who reads
   the file looks whose it is. */
static char *note_path(void)
{
    const char *run = getenv("XDG_RUNTIME_DIR"), *temp = getenv("TMPDIR");

    if (run != NULL && run[0] == '/')
        return shs__asprintf("%s/shs-lab", run);
    return shs__asprintf("%s/shs-lab-%lu", temp != NULL && temp[0] == '/' ? temp : "/tmp",
                         (unsigned long)geteuid());
}

static bool write_note(int fd, const char *host, unsigned port)
{
    char line[NOTE_MAX];
    int len = snprintf(line, sizeof line, "%s %u %ld\n", host, port, (long)getpid());

    return len > 0 && (size_t)len < sizeof line && write(fd, line, (size_t)len) == len;
}

void lab_here_note(const char *host, unsigned port)
{
    char *path = note_path(), *fresh = path == NULL ? NULL : shs__asprintf("%s.XXXXXX", path);
    int fd = fresh == NULL ? -1 : mkostemp(fresh, O_CLOEXEC);
    bool good = fd >= 0 && write_note(fd, host, port);

    if (fd >= 0)
        close(fd);
    if (fd >= 0 && (!good || rename(fresh, path) != 0))
        (void)unlink(fresh);
    shs__free(fresh);
    shs__free(path);
}

/* A regular file of ours, and nothing that another put there. */
static bool read_note(char host[LAB_HOST_MAX], unsigned *port, long *pid)
{
    char *path = note_path(), line[NOTE_MAX] = "";
    int fd =
        path == NULL ? -1 : open(path, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
    struct stat st;
    bool good = fd >= 0 && fstat(fd, &st) == 0 && S_ISREG(st.st_mode) && st.st_uid == geteuid() &&
                read(fd, line, sizeof line - 1) > 0;

    if (fd >= 0)
        close(fd);
    shs__free(path);
    return good && sscanf(line, "%63s %u %ld", host, port, pid) == 3 && *port > 0 && *port < 65536;
}

bool lab_here_find(char host[LAB_HOST_MAX], unsigned *port)
{
    long pid;

    return read_note(host, port, &pid);
}

void lab_here_forget(void)
{
    char host[LAB_HOST_MAX], *path;
    unsigned port;
    long pid;

    if (!read_note(host, &port, &pid) || pid != (long)getpid())
        return;
    path = note_path();
    if (path != NULL)
        (void)unlink(path);
    shs__free(path);
}
