#include "tls/config/source.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#define MIB ((size_t)1024 * 1024)

void shs__tls_path_name(struct shs_tls_path_name *name, const char *path)
{
    size_t len = strlen(path), most = sizeof name->text - sizeof "'...'";

    if (len <= most)
        snprintf(name->text, sizeof name->text, "'%s'", path);
    else
        snprintf(name->text, sizeof name->text, "'...%s'", path + len - most);
}

/* What to do about an errno; "" when it says enough. */
static const char *remedy(int sys_errno)
{
    switch (sys_errno) {
    case ENOENT:
    case ENOTDIR:
        return " Is the path right?";
    case EACCES:
    case EPERM:
        return " Let the user of this process read it (chown, chgrp, chmod).";
    case EISDIR:
        return " Name a file in it.";
    case EMFILE:
    case ENFILE:
        return " Raise the limit of open files (ulimit -n).";
    default:
        return "";
    }
}

static int fail(const char *what, const char *path, const char *verb, int sys_errno,
                struct shs_error *err)
{
    struct shs_tls_path_name name;
    char text[96];

    shs__tls_path_name(&name, path);
    return shs_error_set(err, SHS_TLS, sys_errno, "Cannot %s the %s file %s: %s.%s", verb, what,
                         name.text, shs__strerror(sys_errno, text, sizeof text), remedy(sys_errno));
}

static int too_long(const char *what, const char *path, size_t ceiling, struct shs_error *err)
{
    struct shs_tls_path_name name;
    bool mib = ceiling >= MIB;

    shs__tls_path_name(&name, path);
    return shs_error_set(
        err, SHS_TLS, 0, "The %s file %s is longer than %zu %s: that is no %s. Is the path right?",
        what, name.text, mib ? ceiling / MIB : ceiling / 1024, mib ? "MiB" : "KiB", what);
}

/* A pipe may never begin; what is read from a device ends at the ceiling. */
static int check_kind(int fd, const char *path, size_t ceiling, const char *what,
                      struct shs_error *err)
{
    struct shs_tls_path_name name;
    struct stat st;

    if (fstat(fd, &st) != 0)
        return fail(what, path, "examine", errno, err);
    if (S_ISDIR(st.st_mode))
        return fail(what, path, "read", EISDIR, err);
    if (S_ISFIFO(st.st_mode) || S_ISSOCK(st.st_mode)) {
        shs__tls_path_name(&name, path);
        return shs_error_set(err, SHS_TLS, 0,
                             "The %s file %s is a pipe: it is read again at each reload, and must "
                             "not block. Copy the content into a file.",
                             what, name.text);
    }
    if (S_ISREG(st.st_mode) && (uint64_t)st.st_size > ceiling)
        return too_long(what, path, ceiling, err);
    return SHS_OK;
}

int shs__tls_read_file(struct shs_buf *bytes, const char *path, size_t ceiling, const char *what,
                       struct shs_error *err)
{
    int fd, rc;

    shs__buf_init(bytes, ceiling);
    /* Not waiting: to open a pipe is to wait for its writer. */
    fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
    if (fd < 0)
        return fail(what, path, "open", errno, err);
    rc = check_kind(fd, path, ceiling, what, err);
    if (rc == SHS_OK) {
        rc = shs__read_all(fd, bytes);
        if (rc == SHS_LIMIT)
            rc = too_long(what, path, ceiling, err);
        else if (rc == SHS_NOMEM)
            rc = shs_error_set(err, rc, 0, "Out of memory while reading '%.150s'.", path);
        else if (rc != SHS_OK)
            rc = fail(what, path, "read", errno, err);
    }
    close(fd);
    return rc;
}

bool shs__tls_open_to_others(const char *path)
{
    struct stat st;

    return stat(path, &st) == 0 && S_ISREG(st.st_mode) && (st.st_mode & 06) != 0;
}
