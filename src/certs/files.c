#include "certs/files.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include <openssl/rand.h>

#define NAME_MAX_BYTES 200u
/* For whoever saves two files, however slow the disk is; not for ever: it may have been stopped. */
#define LOCK_MS 30000
#define LOCK_STEP_MS 5

static int failed(const char *doing, const char *dir, const char *name, struct shs_error *err)
{
    char text[64];
    int saved = errno;

    return shs_error_set(err, SHS_IO, saved, "Cannot %s %s/%s: %s.", doing, dir, name,
                         shs__strerror(saved, text, sizeof text));
}

static int exists(const char *dir, const char *name, struct shs_error *err)
{
    return shs_error_set(err, SHS_USAGE, EEXIST,
                         "%s/%s already exists. Remove it, give another name, or replace it with "
                         "--force.",
                         dir, name);
}

static int check_name(const char *name, struct shs_error *err)
{
    if (name[0] == '\0' || name[0] == '.' || strchr(name, '/') != NULL ||
        strlen(name) > NAME_MAX_BYTES)
        return shs_error_set(
            err, SHS_USAGE, 0,
            "'%s' is not a name for a file: it has no / and no . at the beginning, "
            "and %u bytes at most.",
            name, NAME_MAX_BYTES);
    return SHS_OK;
}

int shs__file_dir(const char *dir, struct shs_error *err)
{
    char text[64];
    int saved;

    if (mkdir(dir, 0700) == 0 || errno == EEXIST)
        return SHS_OK;
    saved = errno;
    return shs_error_set(err, SHS_IO, saved, "Cannot make the directory %s: %s.", dir,
                         shs__strerror(saved, text, sizeof text));
}

static int open_dir(const char *dir, int *out, struct shs_error *err)
{
    char text[64];
    int saved;

    *out = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (*out >= 0)
        return SHS_OK;
    saved = errno;
    return shs_error_set(err, SHS_IO, saved, "Cannot open the directory %s: %s.", dir,
                         shs__strerror(saved, text, sizeof text));
}

/* Something of that name is there that a file must not take the place of. */
static bool is_no_file(int dir_fd, const char *name)
{
    struct stat info;

    return fstatat(dir_fd, name, &info, AT_SYMLINK_NOFOLLOW) == 0 && !S_ISREG(info.st_mode) &&
           !S_ISLNK(info.st_mode);
}

/* Under another name first: whoever is killed in between leaves no half of a file. */
static int write_at(int dir_fd, const char *dir, const char *name, mode_t mode, const void *bytes,
                    size_t len, bool replace, struct shs_error *err)
{
    unsigned char tag[8] = {0};
    char fresh[NAME_MAX_BYTES + 40];
    int fd, rc = SHS_OK;

    if (is_no_file(dir_fd, name))
        return shs_error_set(err, SHS_USAGE, EEXIST,
                             "%s/%s is not a file, but a directory or a device: it stays.", dir,
                             name);
    if (RAND_bytes(tag, sizeof tag) != 1)
        return shs_error_set(err, SHS_TLS, 0, "OpenSSL has no random numbers.");
    snprintf(fresh, sizeof fresh, ".%s.%02x%02x%02x%02x%02x%02x", name, tag[0], tag[1], tag[2],
             tag[3], tag[4], tag[5]);
    fd = openat(dir_fd, fresh, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (fd < 0)
        return failed("make", dir, fresh, err);
    if (shs__write_all(fd, bytes, len) != SHS_OK || fchmod(fd, mode) != 0)
        rc = failed("write", dir, name, err);
    if (close(fd) != 0 && rc == SHS_OK)
        rc = failed("write", dir, name, err);
    if (rc == SHS_OK && replace && renameat(dir_fd, fresh, dir_fd, name) != 0)
        rc = failed("replace", dir, name, err);
    if (rc == SHS_OK && !replace && linkat(dir_fd, fresh, dir_fd, name, 0) != 0)
        rc = errno == EEXIST ? exists(dir, name, err) : failed("make", dir, name, err);
    if (rc != SHS_OK || !replace)
        (void)unlinkat(dir_fd, fresh, 0);
    return rc;
}

int shs__file_write(const char *dir, const char *name, mode_t mode, const void *bytes, size_t len,
                    bool replace, struct shs_error *err)
{
    int dir_fd = -1, rc = check_name(name, err);

    if (rc == SHS_OK)
        rc = open_dir(dir, &dir_fd, err);
    if (rc == SHS_OK)
        rc = write_at(dir_fd, dir, name, mode, bytes, len, replace, err);
    if (dir_fd >= 0)
        close(dir_fd);
    return rc;
}

/* Until the directory is closed. Who is killed has none: half of a pair is then of nobody. Where
   there are no locks it goes without: nothing is replaced all the same. */
static void lock_dir(int dir_fd)
{
    const struct timespec step = {.tv_nsec = LOCK_STEP_MS * SHS_NS_PER_MS};
    int64_t until = shs__deadline_after(shs_now_ns(), LOCK_MS);

    while (flock(dir_fd, LOCK_EX | LOCK_NB) != 0 && (errno == EWOULDBLOCK || errno == EINTR) &&
           shs_now_ns() < until)
        nanosleep(&step, NULL);
}

int shs__files_save(const char *dir, const char *name, const char *pem, const char *key_pem,
                    bool replace, struct shs_error *err)
{
    char cert_name[NAME_MAX_BYTES + 8], key_name[NAME_MAX_BYTES + 8];
    int dir_fd = -1, rc = check_name(name, err);

    if (rc != SHS_OK)
        return rc;
    snprintf(cert_name, sizeof cert_name, "%s.pem", name);
    snprintf(key_name, sizeof key_name, "%s.key", name);
    rc = shs__file_dir(dir, err);
    if (rc == SHS_OK)
        rc = open_dir(dir, &dir_fd, err);
    if (rc == SHS_OK)
        lock_dir(dir_fd);
    if (rc == SHS_OK && !replace && faccessat(dir_fd, cert_name, F_OK, AT_SYMLINK_NOFOLLOW) == 0)
        rc = exists(dir, cert_name, err);
    if (rc == SHS_OK && !replace && faccessat(dir_fd, key_name, F_OK, AT_SYMLINK_NOFOLLOW) == 0)
        rc = exists(dir, key_name, err);
    if (rc == SHS_OK)
        rc = write_at(dir_fd, dir, key_name, 0600, key_pem, strlen(key_pem), replace, err);
    if (rc == SHS_OK) {
        rc = write_at(dir_fd, dir, cert_name, 0644, pem, strlen(pem), replace, err);
        if (rc != SHS_OK && !replace)
            (void)unlinkat(dir_fd, key_name, 0);
    }
    if (dir_fd >= 0)
        close(dir_fd);
    return rc;
}

int shs__file_read(const char *path, size_t ceiling, char **out, size_t *len, struct shs_error *err)
{
    int rc = SHS_IO, saved, fd = open(path, O_RDONLY | O_CLOEXEC);
    struct shs_buf bytes;
    char text[64];

    shs__buf_init(&bytes, ceiling + 1); /* and a NUL */
    if (fd >= 0)
        rc = shs__read_all(fd, &bytes);
    saved = errno;
    if (fd >= 0)
        close(fd);
    if (rc == SHS_OK)
        rc = shs__buf_append(&bytes, "", 1);
    if (rc == SHS_OK) {
        *out = bytes.data;
        *len = bytes.len - 1;
        return SHS_OK;
    }
    shs__buf_free(&bytes);
    if (rc == SHS_LIMIT)
        return shs_error_set(err, SHS_LIMIT, 0, "%s is longer than %zu bytes.", path, ceiling);
    if (rc == SHS_NOMEM)
        saved = ENOMEM;
    return shs_error_set(err, SHS_IO, saved, "Cannot read %s: %s.", path,
                         shs__strerror(saved, text, sizeof text));
}
