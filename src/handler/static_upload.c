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

static const char not_that[] =
    "The file has been changed: the condition of the request does not hold.";

static int too_large(struct shs_response *res)
{
    return shs_send_page(res, 413, "The file is larger than this server accepts.");
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

/* A body on its way into a file. As long as it comes, no thread is held. */
struct put {
    struct shs_static_files *site;
    struct shs_open_root *root;
    int dir_fd;
    struct shs_store store;
    struct shs_sha256 *digest;
    uint64_t total;
    int sys_errno;                         /* of a write that failed */
    char content[SHS_CONTENT_TAG_LEN + 1]; /* "": not known */
    char name[];
};

/* SHS_OK; SHS_LIMIT beyond the maximum, SHS_IO. */
static int put_write(void *ctx, const void *data, size_t len)
{
    struct put *self = ctx;
    int rc;

    if (len > self->site->max_upload - self->total)
        return SHS_LIMIT;
    self->total += len;
    rc = shs__write_all(self->store.fd, data, len);
    self->sys_errno = errno;
    return rc == SHS_OK ? shs_sha256_update(self->digest, data, len) : rc;
}

static int answer_put(struct shs_visit *v, const struct put *put, bool created)
{
    char etag[SHS_ETAG_SIZE];

    SHS_RETURN_IF_ERROR(shs_send_response(v->res, created ? 201 : 204));
    if (put->content[0] != '\0') {
        shs__etag_strong(etag, put->content);
        SHS_RETURN_IF_ERROR(shs_send_header(v->res, "ETag", etag));
    }
    return shs_end_headers(v->res);
}

/* Under the lock: what If-Match has seen is what is replaced. */
static int publish_put(struct shs_visit *v, struct put *put)
{
    struct shs_store *store = &put->store;
    struct present now = {.exists = false};
    bool holds = false;
    char text[64];
    int rc, saved;

    if (shs__static_lock(v->site, store->dir_fd) != SHS_OK)
        return shs__static_refuse_store(v, errno);
    rc = look(v, store->dir_fd, put->name, &now);
    if (rc == SHS_OK) {
        holds = allowed(v, &now);
        if (holds && now.exists)
            shs__store_resemble(store, &now.st);
        if (holds)
            rc = shs__store_publish(store, put->name, now.exists);
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
    return answer_put(v, put, !now.exists);
}

static int put_complete(struct shs_visit *v, struct put *self)
{
    if (!shs__content_tag_end(self->digest, self->content))
        self->content[0] = '\0';
    shs__static_outdate_siblings(self->dir_fd, self->name, self->store.fd);
    if (shs__store_sync(&self->store) != SHS_OK)
        return shs__static_refuse_store(v, errno);
    return publish_put(v, self);
}

/* The body is there, or no more of it is wanted. What was not stored is gone before the answer. */
static int put_done(void *ctx, struct shs_request *req, struct shs_response *res, int rc)
{
    struct put *self = ctx;
    struct shs_visit v = {.site = self->site, .root = self->root, .req = req, .res = res};

    if (rc == SHS_OK)
        rc = put_complete(&v, self);
    else if (rc == SHS_LIMIT)
        rc = too_large(res);
    else if (rc == SHS_IO)
        rc = shs__static_refuse_store(&v, self->sys_errno);
    shs__store_drop(&self->store);
    return rc;
}

static void put_free(void *ctx)
{
    struct put *self = ctx;

    shs__store_drop(&self->store);
    shs_sha256_free(self->digest);
    if (self->dir_fd >= 0)
        close(self->dir_fd);
    shs__static_root_leave(self->root);
    shs__free(self);
}

static const struct shs_sink put_sink = {.write = put_write, .done = put_done, .free = put_free};

/* Takes the request's directory, and the open one. */
static int put_file(struct shs_visit *v, int dir_fd, const char *name)
{
    size_t size = strlen(name) + 1;
    struct put *self = shs__calloc(1, sizeof *self + size);
    int saved;

    if (self == NULL) {
        close(dir_fd);
        shs__static_leave(v);
        return SHS_NOMEM;
    }
    memcpy(self->name, name, size);
    self->site = v->site;
    self->root = v->root;
    self->dir_fd = dir_fd;
    if (shs__store_begin(&self->store, dir_fd) != SHS_OK) {
        saved = errno;
        put_free(self);
        return shs__static_refuse_store(v, saved);
    }
    if (shs_sha256_new(&self->digest) != SHS_OK) {
        put_free(self);
        return SHS_NOMEM;
    }
    return shs_request_sink(v->req, &put_sink, self);
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
        *rc =
            shs_send_page(v->res, 400, "Send the whole file: Content-Range is not supported here.");
    else if (shs_request_header(v->req, "Content-Encoding", &value))
        *rc = shs_send_page(
            v->res, 415, "Send the file without Content-Encoding: files are stored as they come.");
    else if (shs_request_has_body(v->req, &length) && length != UINT64_MAX &&
             length > v->site->max_upload)
        *rc = too_large(v->res);
    else
        return !shs__static_clean_target(v, rc);
    return true;
}

/* Takes the request's directory. */
static int put_beneath(struct shs_visit *v)
{
    struct present now;
    const char *name;
    int rc, dir_fd = open_parent(v, &name);

    if (dir_fd >= 0 && look(v, dir_fd, name, &now) == SHS_OK) {
        if (allowed(v, &now))
            return put_file(v, dir_fd, name);
        rc = shs_send_page(v->res, 412, not_that); /* before a long body is sent for nothing */
    } else {
        rc = shs__static_refuse_store(v, errno);
    }
    if (dir_fd >= 0)
        close(dir_fd);
    shs__static_leave(v);
    return rc;
}

int shs__static_put(struct shs_request *req, struct shs_response *res)
{
    struct shs_visit v = {.site = shs_request_ctx(req), .req = req, .res = res};
    int rc;

    if (is_refused(&v, &rc))
        return rc;
    if (v.path.slash || v.path.len == 0)
        return shs_send_page(res, 409, "The path must be that of a file, not of a directory.");
    return shs__static_enter(&v, &rc) ? put_beneath(&v) : rc;
}
