#include "tls/config/source.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

static int fill(struct shs_buf *bytes, int fd, const char *path, const char *what,
                struct shs_error *err)
{
    char text[96];
    struct stat st;
    size_t want = 4096;
    ssize_t n;
    int rc;

    /* One allocation where the size is known: a buffer that grows leaves copies of a secret. */
    if (fstat(fd, &st) == 0 && S_ISREG(st.st_mode) && (uint64_t)st.st_size < bytes->ceiling)
        want = (size_t)st.st_size + 1;
    for (;;) {
        rc = shs__buf_reserve(bytes, shs__buf_room(bytes) > 0 ? 1 : want);
        if (rc == SHS_LIMIT)
            return shs_error_set(err, SHS_TLS, 0, "The %s file '%s' is longer than %zu KiB.", what,
                                 path, bytes->ceiling / 1024);
        if (rc != SHS_OK)
            return shs_error_set(err, rc, 0, "Out of memory while reading '%s'.", path);
        n = read(fd, shs__buf_tail(bytes), shs__buf_room(bytes));
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return shs_error_set(err, SHS_TLS, errno, "Cannot read the %s file '%s': %s.", what,
                                 path, shs__strerror(errno, text, sizeof text));
        if (n == 0)
            return SHS_OK;
        bytes->len += (size_t)n;
    }
}

int shs__tls_read_file(struct shs_buf *bytes, const char *path, size_t ceiling, const char *what,
                       struct shs_error *err)
{
    char text[96];
    int fd, rc;

    shs__buf_init(bytes, ceiling);
    fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return shs_error_set(err, SHS_TLS, errno, "Cannot open the %s file '%s': %s.", what, path,
                             shs__strerror(errno, text, sizeof text));
    rc = fill(bytes, fd, path, what, err);
    close(fd);
    return rc;
}
