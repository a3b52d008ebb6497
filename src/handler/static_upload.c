/*
 * static_upload.c - PUT of a file, and POST of a form's files to a directory.
 *
 * What holds: no name but below the served directory, and none that would not be served (a hidden
 * one); a file is complete or not there; a form's files are all there or none is.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <unistd.h>

#include <shs/multipart.h>

#include "base/text.h"
#include "handler/beneath.h"
#include "handler/conditional.h"
#include "handler/static_site.h"
#include "handler/store.h"

#define COPY_SIZE ((size_t)64 * 1024)
#define FORM_FILES_MAX 64
#define NAME_SIZE 256
/* "a.txt" is taken: "a-1.txt" to "a-999.txt". */
#define NAME_NUMBERS_MAX 999
#define ANSWER_MAX ((size_t)128 * 1024)

/* -- what went wrong --------------------------------------------------------------------------- */

/* An answer for what a write or a rename said, errno. */
static int refuse_store(struct shs_response *res, int sys_errno)
{
    switch (sys_errno) {
    case ENOENT:
    case ENOTDIR:
    case EXDEV:
    case ELOOP:
        return shs_send_page(res, 409, "There is no such directory to put a file into.");
    case EISDIR:
        return shs_send_page(res, 409, "There is a directory of that name.");
    case EACCES:
    case EPERM:
    case EROFS:
        return shs_send_page(res, 403, "Files cannot be stored there.");
    case ENAMETOOLONG:
        return shs_send_page(res, 400, "The name is too long for a file.");
    case ENOSPC:
    case EDQUOT:
    case EFBIG:
        return shs_send_error(res, 507, "There is no room left for the file.");
    case EMFILE:
    case ENFILE:
    case ENOMEM:
        return shs_send_error(res, 503, NULL);
    default:
        return shs_send_error(res, 500, "The file could not be stored.");
    }
}

static int too_large(struct shs_response *res)
{
    return shs_send_page(res, 413, "The file is larger than is accepted here.");
}

static int write_all(int fd, const char *data, size_t len)
{
    ssize_t n;

    while (len > 0) {
        n = write(fd, data, len);
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

/* -- PUT --------------------------------------------------------------------------------------- */

/* What is there under the name now. */
struct present {
    bool exists;
    char etag[SHS_ETAG_SIZE];
    int64_t mtime;
};

/* Looks at the name. SHS_IO with errno when nothing can be stored under it. */
static int look(int dir_fd, const char *name, struct present *out)
{
    struct stat st;

    out->exists = false;
    out->mtime = 0;
    if (fstatat(dir_fd, name, &st, AT_SYMLINK_NOFOLLOW) != 0)
        return errno == ENOENT ? SHS_OK : SHS_IO;
    if (!S_ISREG(st.st_mode)) { /* a device or a link is not a file that somebody uploaded */
        errno = S_ISDIR(st.st_mode) ? EISDIR : EACCES;
        return SHS_IO;
    }
    out->exists = true;
    out->mtime = st.st_mtime;
    shs__etag_format(out->etag, &st);
    return SHS_OK;
}

static bool allowed(const struct shs_request *req, const struct present *now)
{
    return shs__preconditions(req, now->exists ? now->etag : NULL, now->mtime) ==
           SHS_PRECONDITION_HOLDS;
}

/* Copies the body into the file: SHS_OK, SHS_LIMIT beyond max, SHS_IO with errno, or as
   shs_request_read, and then *read_failed is set. */
static int receive(struct shs_request *req, int fd, uint64_t max, bool *read_failed)
{
    char *data = shs__malloc(COPY_SIZE);
    uint64_t total = 0;
    size_t got = 1;
    int rc = SHS_OK, saved;

    if (data == NULL)
        return SHS_NOMEM;
    while (rc == SHS_OK && got > 0) {
        rc = shs_request_read(req, data, COPY_SIZE, &got);
        if (rc != SHS_OK) {
            *read_failed = true;
            break;
        }
        if (got > max - total)
            rc = SHS_LIMIT;
        else if (got > 0)
            rc = write_all(fd, data, got);
        total += got;
    }
    saved = errno;
    shs__free(data);
    errno = saved;
    return rc;
}

static int answer_put(struct shs_response *res, int fd, bool created)
{
    char etag[SHS_ETAG_SIZE];
    struct stat st;

    SHS_RETURN_IF_ERROR(shs_send_response(res, created ? 201 : 204));
    if (fstat(fd, &st) == 0) {
        shs__etag_format(etag, &st);
        SHS_RETURN_IF_ERROR(shs_send_header(res, "ETag", etag));
    }
    return shs_end_headers(res);
}

/* Between the look and the rename nobody else of this server stores: what If-Match has seen is what
   is replaced. */
static int publish_put(struct shs_static_files *self, struct shs_request *req,
                       struct shs_response *res, struct shs_store *store, const char *name)
{
    struct present now = {.exists = false};
    bool holds = false;
    int rc, saved;

    pthread_mutex_lock(&self->storing);
    rc = look(store->dir_fd, name, &now);
    if (rc == SHS_OK) {
        holds = allowed(req, &now);
        if (holds)
            rc = shs__store_publish(store, name, now.exists);
    }
    saved = errno;
    pthread_mutex_unlock(&self->storing);
    if (rc != SHS_OK)
        return refuse_store(res, saved);
    if (!holds)
        return shs_send_page(res, 412, "The file is not what the request takes it to be.");
    if (shs__store_sync_directory(store->dir_fd) != SHS_OK)
        return refuse_store(res, errno);
    return answer_put(res, store->fd, !now.exists);
}

static int put_file(struct shs_static_files *self, struct shs_request *req,
                    struct shs_response *res, int dir_fd, const char *name)
{
    struct shs_store store;
    bool read_failed = false;
    int rc;

    if (shs__store_begin(&store, dir_fd) != SHS_OK)
        return refuse_store(res, errno);
    rc = receive(req, store.fd, self->max_upload, &read_failed);
    if (rc == SHS_OK && !read_failed)
        rc = shs__store_sync(&store);
    if (rc == SHS_OK)
        rc = publish_put(self, req, res, &store, name);
    else if (rc == SHS_LIMIT && !read_failed)
        rc = too_large(res);
    else if (rc == SHS_IO && !read_failed)
        rc = refuse_store(res, errno);
    shs__store_drop(&store);
    return rc;
}

/* Splits "a/b/c" into its directory, opened for reading, and "c". -1 with errno. */
static int open_parent(const struct shs_static_files *self, struct shs_clean_path *path,
                       const char **name)
{
    char *slash = memrchr(path->name, '/', path->len);

    *name = slash == NULL ? path->name : slash + 1;
    if (slash != NULL)
        *slash = '\0';
    return shs__open_beneath(self->root_fd, slash == NULL ? "" : path->name,
                             O_RDONLY | O_DIRECTORY);
}

/* True when the path is one that can be stored under; otherwise it has been answered with *rc. */
static bool clean_target(struct shs_request *req, struct shs_response *res,
                         struct shs_clean_path *path, int *rc)
{
    switch (shs__path_clean(shs_request_path(req), path)) {
    case SHS_PATH_OK:
        return true;
    case SHS_PATH_NOT_FOUND:
        *rc = shs_send_page(res, 403, "A file cannot have that name here.");
        return false;
    case SHS_PATH_MALFORMED:
        break;
    }
    *rc = shs_send_page(res, 400, "The path has a \"%\" without two hexadecimal digits behind it.");
    return false;
}

/* What a request may not ask of a store, said before its body is read. */
static int refuse_put(struct shs_static_files *self, struct shs_request *req,
                      struct shs_response *res, bool *refused)
{
    struct shs_str value;
    uint64_t length = 0;

    *refused = true;
    if (shs_request_header(req, "Content-Range", &value)) /* RFC 9110 section 14.5 */
        return shs_send_page(res, 400, "A part of a file cannot be stored.");
    if (shs_request_header(req, "Content-Encoding", &value))
        return shs_send_page(res, 415, "Files are stored as they are, without a content coding.");
    if (shs_request_has_body(req, &length) && length != UINT64_MAX && length > self->max_upload)
        return too_large(res);
    *refused = false;
    return SHS_OK;
}

int shs__static_put(struct shs_request *req, struct shs_response *res)
{
    struct shs_static_files *self = shs_request_ctx(req);
    struct shs_clean_path path;
    struct present now;
    const char *name;
    bool refused;
    int rc, dir_fd;

    rc = refuse_put(self, req, res, &refused);
    if (refused || !clean_target(req, res, &path, &rc))
        return rc;
    if (path.slash || path.len == 0)
        return shs_send_page(res, 409, "A directory cannot be stored.");
    dir_fd = open_parent(self, &path, &name);
    if (dir_fd < 0)
        return refuse_store(res, errno);
    if (look(dir_fd, name, &now) != SHS_OK)
        rc = refuse_store(res, errno);
    else if (!allowed(req, &now)) /* before a long body is sent for nothing */
        rc = shs_send_page(res, 412, "The file is not what the request takes it to be.");
    else
        rc = put_file(self, req, res, dir_fd, name);
    close(dir_fd);
    return rc;
}

/* -- POST of a form ---------------------------------------------------------------------------- */

struct form_file {
    struct shs_store store;
    char name[NAME_SIZE]; /* what it is to be called; then what it is called */
    bool published;
};

struct form_upload {
    struct form_file *files;
    size_t count;
    int dir_fd;
};

/* "a.txt" as "a-7.txt". */
static void numbered_name(const char *name, unsigned number, char out[NAME_SIZE])
{
    const char *dot = strrchr(name, '.');
    size_t stem = dot == NULL || dot == name ? strlen(name) : (size_t)(dot - name);
    size_t tail = strlen(name) - stem;

    if (stem + tail > NAME_SIZE - 6) /* "-999" and the NUL */
        stem = NAME_SIZE - 6 - tail;
    snprintf(out, NAME_SIZE, "%.*s-%u%s", (int)stem, name, number, name + strlen(name) - tail);
}

static int publish_file(struct form_file *file)
{
    char name[NAME_SIZE];

    memcpy(name, file->name, sizeof name);
    for (unsigned number = 1; number <= NAME_NUMBERS_MAX; number++) {
        if (shs__store_publish(&file->store, name, false) == SHS_OK) {
            memcpy(file->name, name, sizeof name);
            file->published = true;
            return SHS_OK;
        }
        if (errno != EEXIST)
            return SHS_IO;
        numbered_name(file->name, number, name);
    }
    return SHS_IO;
}

/* All of them, or none. */
static int publish_form(struct form_upload *form)
{
    int rc = SHS_OK, saved;

    for (size_t i = 0; rc == SHS_OK && i < form->count; i++)
        rc = shs__store_sync(&form->files[i].store);
    for (size_t i = 0; rc == SHS_OK && i < form->count; i++)
        rc = publish_file(&form->files[i]);
    if (rc == SHS_OK)
        rc = shs__store_sync_directory(form->dir_fd);
    if (rc == SHS_OK)
        return SHS_OK;
    saved = errno;
    for (size_t i = 0; i < form->count; i++) {
        if (form->files[i].published)
            (void)unlinkat(form->dir_fd, form->files[i].name, 0);
    }
    errno = saved;
    return rc;
}

/* One part of the form: its file, if it is one. A field without a chosen file has an empty name. */
static int take_part(struct form_upload *form, struct shs_multipart *parts,
                     const struct shs_part *part, uint64_t *left, bool *io)
{
    struct form_file *file;
    uint64_t written = 0;
    int rc;

    if (part->filename.ptr == NULL || part->filename.len == 0)
        return SHS_OK;
    if (form->count == FORM_FILES_MAX)
        return SHS_LIMIT;
    file = &form->files[form->count];
    memset(file, 0, sizeof *file);
    shs_safe_file_name(part->filename, file->name, 240);
    *io = true;
    if (shs__store_begin(&file->store, form->dir_fd) != SHS_OK)
        return SHS_IO;
    form->count++;
    rc = shs_multipart_save(parts, file->store.fd, *left, &written);
    *io = rc == SHS_IO;
    *left -= written < *left ? written : *left;
    return rc;
}

static int receive_form(struct form_upload *form, struct shs_request *req, uint64_t max, bool *io)
{
    struct shs_multipart *parts;
    const struct shs_part *part;

    SHS_RETURN_IF_ERROR(shs_multipart_new(&parts, req, NULL));
    for (;;) {
        SHS_RETURN_IF_ERROR(shs_multipart_next(parts, &part));
        if (part == NULL)
            return SHS_OK;
        SHS_RETURN_IF_ERROR(take_part(form, parts, part, &max, io));
    }
}

/* A person in a browser comes back to the listing; a program is told the names. */
static int answer_form(struct shs_request *req, struct shs_response *res,
                       const struct form_upload *form)
{
    struct shs_str accept;
    struct shs_buf names;
    bool person = shs_request_header(req, "Accept", &accept) &&
                  memmem(accept.ptr, accept.len, "text/html", 9) != NULL;
    int rc = SHS_OK;

    shs__buf_init(&names, ANSWER_MAX);
    for (size_t i = 0; rc == SHS_OK && i < form->count; i++) {
        rc = shs__buf_append_str(&names, shs__str(form->files[i].name));
        if (rc == SHS_OK)
            rc = shs__buf_append(&names, "\n", 1);
    }
    if (rc == SHS_OK)
        rc = shs_send_response(res, person ? 303 : 201);
    if (rc == SHS_OK)
        rc = shs_send_header_str(res, "Location", shs_request_full_path(req));
    if (rc == SHS_OK)
        rc = shs_send_header(res, "Content-Type", "text/plain; charset=utf-8");
    if (rc == SHS_OK)
        rc = shs_write(res, shs__buf_head(&names), names.len);
    shs__buf_free(&names);
    return rc;
}

static int post_to_directory(struct shs_static_files *self, struct shs_request *req,
                             struct shs_response *res, struct form_upload *form)
{
    bool io = false;
    int rc = receive_form(form, req, self->max_upload, &io);

    if (rc == SHS_IO && io)
        return refuse_store(res, errno);
    if (rc == SHS_LIMIT && form->count == FORM_FILES_MAX)
        return shs_send_page(res, 413, "That are too many files at once.");
    if (rc != SHS_OK)
        return rc; /* a body that is none: the server has the words for it */
    if (form->count == 0)
        return shs_send_page(res, 400, "There is no file in the form.");
    if (publish_form(form) != SHS_OK)
        return refuse_store(res, errno);
    return answer_form(req, res, form);
}

/*
 * A page of another site can make a browser send a form here, and nobody would have asked for it.
 * Browsers say where a form comes from: it must be from here.
 */
static bool from_elsewhere(const struct shs_request *req)
{
    struct shs_str origin, host = shs_request_host(req), site;
    const char *at;

    if (shs_request_header(req, "Sec-Fetch-Site", &site) &&
        (shs__str_eq(site, SHS_STR("cross-site")) || shs__str_eq(site, SHS_STR("same-site"))))
        return true;
    if (!shs_request_header(req, "Origin", &origin))
        return false;
    at = memmem(origin.ptr, origin.len, "://", 3);
    if (at == NULL)
        return true; /* "null" */
    at += 3;
    return !shs__str_eq_nocase((struct shs_str){at, origin.len - (size_t)(at - origin.ptr)}, host);
}

int shs__static_post(struct shs_request *req, struct shs_response *res)
{
    struct shs_static_files *self = shs_request_ctx(req);
    struct form_upload form = {.files = NULL};
    struct shs_clean_path path;
    int rc;

    if (from_elsewhere(req))
        return shs_send_page(res, 403, "The form is not from this server.");
    if (!clean_target(req, res, &path, &rc))
        return rc;
    if (!path.slash)
        return shs_send_page(res, 405, "Files are sent to a directory, whose path ends in \"/\".");
    form.dir_fd = shs__open_beneath(self->root_fd, path.name, O_RDONLY | O_DIRECTORY);
    if (form.dir_fd < 0)
        return shs__static_refuse(res, errno);
    form.files = shs__calloc(FORM_FILES_MAX, sizeof *form.files);
    rc = form.files == NULL ? SHS_NOMEM : post_to_directory(self, req, res, &form);
    for (size_t i = 0; i < form.count; i++)
        shs__store_drop(&form.files[i].store);
    shs__free(form.files);
    close(form.dir_fd);
    return rc;
}
