/*
 * static_upload.c - PUT of a file.
 *
 * What holds: no name but below the served directory, and none that would not be served (a hidden
 * one); a file is complete or not there; what a condition has seen is what is replaced.
 */
#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

#include "handler/beneath.h"
#include "handler/static_write.h"
#include "handler/store.h"

#define COPY_SIZE ((size_t)64 * 1024)

static const char not_that[] = "The file is not what the request takes it to be.";

static int too_large(struct shs_response *res)
{
    return shs_send_page(res, 413, "The file is larger than is accepted here.");
}

static int write_all(int fd, const char *data, size_t len)
{
    ssize_t n;

    while (len > 0) {
        n = shs__pwrite_unsignalled(fd, data, len, -1);
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0) {
            errno = n < 0 ? errno : ENOSPC;
            return SHS_IO;
        }
        data += n;
        len -= (size_t)n;
    }
    return SHS_OK;
}

/* What is there under the name now. */
struct present {
    bool exists;
    struct stat st;
    char content[SHS_CONTENT_TAG_LEN + 1]; /* "": not known, or nobody asked */
};

/* Looks at the name. SHS_IO with errno when nothing can be stored under it. */
static int look(const struct shs_visit *v, int dir_fd, const char *name, struct present *out)
{
    int fd;

    out->exists = false;
    out->content[0] = '\0';
    if (fstatat(dir_fd, name, &out->st, AT_SYMLINK_NOFOLLOW) != 0)
        return errno == ENOENT ? SHS_OK : SHS_IO;
    if (!S_ISREG(out->st.st_mode)) { /* a device or a link is not a file that somebody uploaded */
        errno = S_ISDIR(out->st.st_mode) ? EISDIR : EACCES;
        return SHS_IO;
    }
    out->exists = true;
    if (!shs__asks_by_tag(v->req))
        return SHS_OK;
    fd = openat(dir_fd, name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
    if (fd < 0)
        return SHS_OK; /* nobody can have got it from here: no tag is right */
    if (fstat(fd, &out->st) != 0 ||
        !shs__content_tag(v->site->tags, fd, &out->st, SHS_TAG_MUST, out->content))
        out->content[0] = '\0';
    close(fd);
    return SHS_OK;
}

static bool allowed(const struct shs_visit *v, const struct present *now)
{
    char etag[SHS_ETAG_SIZE], weak[SHS_ETAG_SIZE];
    struct shs_validators validators = {.mtime = 0};

    if (now->exists) {
        shs__etag_weak(weak, &now->st);
        validators = (struct shs_validators){.etag = weak, .weak = weak, .mtime = now->st.st_mtime};
    }
    if (now->exists && now->content[0] != '\0') {
        shs__etag_strong(etag, now->content);
        validators.etag = etag;
        validators.content = now->content;
    }
    return shs__preconditions(v->req, &validators) == SHS_PRECONDITION_HOLDS;
}

/* A body on its way into a file. */
struct arrival {
    struct shs_sha256 *digest;
    char content[SHS_CONTENT_TAG_LEN + 1]; /* "": not known */
    bool read_failed;
};

/* Copies the body into the file: SHS_OK, SHS_LIMIT beyond the maximum, SHS_IO with errno, or as
   shs_request_read, and then read_failed is set. */
static int receive(const struct shs_visit *v, int fd, struct arrival *arrival)
{
    char *data = shs__malloc(COPY_SIZE);
    uint64_t total = 0;
    size_t got = 1;
    int rc = SHS_OK, saved;

    if (data == NULL)
        return SHS_NOMEM;
    while (rc == SHS_OK && got > 0) {
        rc = shs_request_read(v->req, data, COPY_SIZE, &got);
        if (rc != SHS_OK) {
            arrival->read_failed = true;
            break;
        }
        if (got > v->site->max_upload - total)
            rc = SHS_LIMIT;
        else if (got > 0)
            rc = write_all(fd, data, got);
        if (rc == SHS_OK && got > 0)
            rc = shs_sha256_update(arrival->digest, data, got);
        total += got;
    }
    saved = errno;
    shs__free(data);
    if (rc == SHS_OK && !shs__content_tag_end(arrival->digest, arrival->content))
        arrival->content[0] = '\0';
    errno = saved;
    return rc;
}

static int answer_put(struct shs_visit *v, const struct arrival *arrival, bool created)
{
    char etag[SHS_ETAG_SIZE];

    SHS_RETURN_IF_ERROR(shs_send_response(v->res, created ? 201 : 204));
    if (arrival->content[0] != '\0') {
        shs__etag_strong(etag, arrival->content);
        SHS_RETURN_IF_ERROR(shs_send_header(v->res, "ETag", etag));
    }
    return shs_end_headers(v->res);
}

/* Under the lock: what If-Match has seen is what is replaced. */
static int publish_put(struct shs_visit *v, struct shs_store *store, const char *name,
                       const struct arrival *arrival)
{
    struct present now = {.exists = false};
    bool holds = false;
    char text[64];
    int rc, saved;

    if (shs__static_lock(v->site, store->dir_fd) != SHS_OK)
        return shs__static_refuse_store(v, errno);
    rc = look(v, store->dir_fd, name, &now);
    if (rc == SHS_OK) {
        holds = allowed(v, &now);
        if (holds && now.exists)
            shs__store_resemble(store, &now.st);
        if (holds)
            rc = shs__store_publish(store, name, now.exists);
    }
    saved = errno;
    shs__static_unlock(v->site, store->dir_fd);
    if (rc != SHS_OK)
        return shs__static_refuse_store(v, saved);
    if (!holds)
        return shs_send_page(v->res, 412, not_that);
    /* From here on it is stored, and whatever follows is told as that. */
    saved = shs__store_sync_directory(store->dir_fd) == SHS_OK ? store->unsynced : errno;
    if (saved != 0)
        shs__static_log(v, "stored, but a power cut may undo it: fsync: %s",
                        shs__strerror(saved, text, sizeof text));
    return answer_put(v, arrival, !now.exists);
}

static int put_file(struct shs_visit *v, int dir_fd, const char *name)
{
    struct arrival arrival = {.read_failed = false};
    struct shs_store store;
    int rc;

    if (shs__store_begin(&store, dir_fd) != SHS_OK)
        return shs__static_refuse_store(v, errno);
    rc = shs_sha256_new(&arrival.digest);
    if (rc == SHS_OK)
        rc = receive(v, store.fd, &arrival);
    if (rc == SHS_OK) {
        shs__static_outdate_siblings(dir_fd, name, store.fd);
        rc = shs__store_sync(&store);
    }
    if (rc == SHS_OK)
        rc = publish_put(v, &store, name, &arrival);
    else if (rc == SHS_LIMIT && !arrival.read_failed)
        rc = too_large(v->res);
    else if (rc == SHS_IO && !arrival.read_failed)
        rc = shs__static_refuse_store(v, errno);
    shs__store_drop(&store);
    shs_sha256_free(arrival.digest);
    return rc;
}

/* Splits "a/b/c" into its directory, opened for reading, and "c". -1 with errno. */
static int open_parent(struct shs_visit *v, const char **name)
{
    char *slash = memrchr(v->path.name, '/', v->path.len);

    *name = slash == NULL ? v->path.name : slash + 1;
    if (slash != NULL)
        *slash = '\0';
    return shs__open_beneath(v->root->fd, slash == NULL ? "" : v->path.name,
                             O_RDONLY | O_DIRECTORY);
}

/* What a request may not ask of a store, said before its body is read. */
static bool is_refused(struct shs_visit *v, int *rc)
{
    struct shs_str value;
    uint64_t length = 0;

    if (!shs__static_may_write(v, rc))
        return true;
    if (shs_request_header(v->req, "Content-Range", &value)) /* RFC 9110 section 14.5 */
        *rc = shs_send_page(v->res, 400, "A part of a file cannot be stored.");
    else if (shs_request_header(v->req, "Content-Encoding", &value))
        *rc = shs_send_page(v->res, 415, "Files are stored as they are, without a content coding.");
    else if (shs_request_has_body(v->req, &length) && length != UINT64_MAX &&
             length > v->site->max_upload)
        *rc = too_large(v->res);
    else
        return !shs__static_clean_target(v, rc);
    return true;
}

static int put_beneath(struct shs_visit *v)
{
    struct present now;
    const char *name;
    int rc, dir_fd = open_parent(v, &name);

    if (dir_fd < 0)
        return shs__static_refuse_store(v, errno);
    if (look(v, dir_fd, name, &now) != SHS_OK)
        rc = shs__static_refuse_store(v, errno);
    else if (!allowed(v, &now)) /* before a long body is sent for nothing */
        rc = shs_send_page(v->res, 412, not_that);
    else
        rc = put_file(v, dir_fd, name);
    close(dir_fd);
    return rc;
}

int shs__static_put(struct shs_request *req, struct shs_response *res)
{
    struct shs_visit v = {.site = shs_request_ctx(req), .req = req, .res = res};
    int rc;

    if (is_refused(&v, &rc))
        return rc;
    if (v.path.slash || v.path.len == 0)
        return shs_send_page(res, 409, "A directory cannot be stored.");
    if (!shs__static_enter(&v, &rc))
        return rc;
    rc = put_beneath(&v);
    shs__static_leave(&v);
    return rc;
}
