/*
 * static_form.c - POST of a form's files to a directory.
 *
 * What holds: the files of a form are all there, or none is; no other file is replaced, nor hidden
 * from those who ask for it (a sibling "late.txt.gz" would be sent for "late.txt").
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <unistd.h>

#include <shs/multipart.h>

#include "base/text.h"
#include "handler/beneath.h"
#include "handler/static_write.h"
#include "handler/store.h"

#define FORM_FILES_MAX 64
#define NAME_SIZE 256
/* A name that a file is given, at most: room for a number stays. */
#define NAME_LEN_MAX 240
/* "a.txt" is taken: "a-1.txt" to "a-999.txt". */
#define NAME_NUMBERS_MAX 999
#define ANSWER_MAX ((size_t)128 * 1024)

struct form_file {
    struct shs_store store;
    char name[NAME_SIZE]; /* what it is to be called; then what it is called */
    bool published;
};

/* A form on its way. As long as it comes, no thread is held. */
struct form_upload {
    struct shs_static_files *site;
    struct shs_open_root *root;
    struct shs_multipart *parts;
    struct form_file *files;
    size_t count, cap;
    int dir_fd;
    uint64_t left; /* bytes that the files may still have */
    bool in_file;  /* the last of them is being written */
    int sys_errno; /* SHS_IO is the disk's, with this, and not the client's; or 0 */
};

/* -- names ------------------------------------------------------------------------------------- */

/* "a.tar.gz" as "a-7.tar.gz". The name has NAME_LEN_MAX bytes at most. */
static void numbered_name(const char *name, unsigned number, char out[NAME_SIZE])
{
    size_t len = strlen(name), end = shs__extension_length(shs__str(name));

    snprintf(out, NAME_SIZE, "%.*s-%u%s", (int)(len - end), name, number, name + len - end);
}

/* Would it be sent instead of another file, as that one in a coding? */
static bool shadows(int dir_fd, const char *name)
{
    size_t len = strlen(name);
    char original[NAME_SIZE];
    struct stat st;

    for (int coding = SHS_CODING_IDENTITY + 1; coding < SHS_CODING_COUNT; coding++) {
        const char *suffix = shs__coding_suffix((enum shs_coding)coding);
        size_t end = strlen(suffix);

        if (len <= end || strcmp(name + len - end, suffix) != 0)
            continue;
        memcpy(original, name, len - end);
        original[len - end] = '\0';
        return fstatat(dir_fd, original, &st, AT_SYMLINK_NOFOLLOW) == 0 || errno != ENOENT;
    }
    return false;
}

static int publish_as(struct form_upload *form, struct form_file *file, const char *name)
{
    if (shadows(form->dir_fd, name)) {
        errno = EEXIST;
        return SHS_IO;
    }
    shs__static_outdate_siblings(form->dir_fd, name, file->store.fd);
    return shs__store_publish(&file->store, name, false);
}

/* Under its name, or the first free one of a thousand: EEXIST when there is none. */
static int publish_file(struct form_upload *form, struct form_file *file)
{
    char name[NAME_SIZE];

    memcpy(name, file->name, sizeof name);
    for (unsigned number = 1;; number++) {
        if (publish_as(form, file, name) == SHS_OK) {
            memcpy(file->name, name, sizeof name);
            file->published = true;
            return SHS_OK;
        }
        if (errno != EEXIST || number > NAME_NUMBERS_MAX)
            return SHS_IO;
        numbered_name(file->name, number, name);
    }
}

/* All of them, or none. */
static int publish_all(struct shs_visit *v, struct form_upload *form)
{
    int rc = SHS_OK, saved;

    for (size_t i = 0; rc == SHS_OK && i < form->count; i++)
        rc = shs__store_sync(&form->files[i].store);
    if (rc == SHS_OK)
        rc = shs__static_lock(v->site, form->dir_fd);
    if (rc != SHS_OK)
        return rc;
    for (size_t i = 0; rc == SHS_OK && i < form->count; i++)
        rc = publish_file(form, &form->files[i]);
    saved = errno;
    for (size_t i = 0; rc != SHS_OK && i < form->count; i++) {
        if (form->files[i].published)
            (void)unlinkat(form->dir_fd, form->files[i].name, 0);
    }
    shs__static_unlock(v->site, form->dir_fd);
    errno = saved;
    return rc;
}

/* They are stored: that a power cut may undo it is for the log. */
static void sync_all(struct shs_visit *v, const struct form_upload *form)
{
    int failed = shs__store_sync_directory(form->dir_fd) == SHS_OK ? 0 : errno;
    char text[64];

    for (size_t i = 0; i < form->count; i++)
        failed = failed == 0 ? form->files[i].store.unsynced : failed;
    if (failed != 0)
        shs__static_log(v, "stored, but a power cut may undo it: fsync: %s",
                        shs__strerror(failed, text, sizeof text));
}

/* -- reading ----------------------------------------------------------------------------------- */

/* Room for another file; few forms have more than one. */
static int more_files(struct form_upload *form)
{
    size_t cap = form->cap == 0 ? 2 : form->cap * 2;
    struct form_file *files;

    if (form->count < form->cap)
        return SHS_OK;
    if (form->count == FORM_FILES_MAX)
        return SHS_LIMIT;
    files = shs__realloc(form->files, cap * sizeof *files);
    if (files == NULL)
        return SHS_NOMEM;
    form->files = files;
    form->cap = cap;
    return SHS_OK;
}

/* A part of the form: its file begins, if it is one. A field without a chosen file has an empty
   name. */
static int begin_part(struct form_upload *form, const struct shs_part *part)
{
    struct form_file *file;

    if (part->filename.ptr == NULL || part->filename.len == 0)
        return SHS_OK;
    SHS_RETURN_IF_ERROR(more_files(form));
    file = &form->files[form->count];
    memset(file, 0, sizeof *file);
    shs_safe_file_name(part->filename, file->name, NAME_LEN_MAX + 1);
    if (shs__store_begin(&file->store, form->dir_fd) != SHS_OK) {
        form->sys_errno = errno;
        return SHS_IO;
    }
    form->count++;
    form->in_file = true;
    return SHS_OK;
}

/* What is there of the file's data. */
static int save_part(struct form_upload *form)
{
    uint64_t written = 0;
    int rc = shs_multipart_save(form->parts, form->files[form->count - 1].store.fd, form->left,
                                &written);

    if (rc == SHS_IO)
        form->sys_errno = errno;
    form->left -= written < form->left ? written : form->left;
    form->in_file = rc == SHS_WAIT_READ;
    return rc;
}

/* As far as what was fed goes: SHS_WAIT_READ, SHS_OK at the end of the form, or < 0. */
static int go_on(struct form_upload *form)
{
    const struct shs_part *part = NULL;
    int rc;

    do {
        rc = form->in_file ? save_part(form) : SHS_OK;
        if (rc == SHS_OK)
            rc = shs_multipart_next(form->parts, &part);
        if (rc == SHS_OK && part != NULL)
            rc = begin_part(form, part);
    } while (rc == SHS_OK && part != NULL);
    return rc;
}

static int form_write(void *ctx, const void *data, size_t len)
{
    struct form_upload *form = ctx;
    int rc = shs_multipart_feed(form->parts, data, len);

    if (rc == SHS_OK)
        rc = go_on(form);
    return rc == SHS_WAIT_READ ? SHS_OK : rc;
}

/* -- answering --------------------------------------------------------------------------------- */

/* The directory's own path, as a Location may have it. */
static int send_location(struct shs_visit *v)
{
    struct shs_buf location;
    struct shs_str path = shs_request_full_path(v->req);
    int rc = SHS_OK;

    shs__buf_init(&location, (size_t)64 * 1024);
    if (path.len > 0 && path.ptr[path.len - 1] == '/')
        path.len--;
    rc = shs__path_redirect(&location, SHS_STR("/"), path, (struct shs_str){NULL, 0});
    if (rc == SHS_OK)
        rc = shs_send_header_str(v->res, "Location",
                                 (struct shs_str){shs__buf_head(&location), location.len});
    shs__buf_free(&location);
    return rc;
}

/* A person in a browser comes back to the listing; a program is told the names. */
static int answer_form(struct shs_visit *v, const struct form_upload *form)
{
    bool person = shs__static_wants_page(v->req);
    struct shs_buf names;
    int rc;

    SHS_RETURN_IF_ERROR(shs_send_response(v->res, person ? 303 : 201));
    SHS_RETURN_IF_ERROR(send_location(v));
    SHS_RETURN_IF_ERROR(shs_send_header(v->res, "Content-Type", "text/plain; charset=utf-8"));
    shs__buf_init(&names, ANSWER_MAX);
    rc = SHS_OK;
    for (size_t i = 0; rc == SHS_OK && i < form->count; i++) {
        rc = shs__buf_append_str(&names, shs__str(form->files[i].name));
        if (rc == SHS_OK)
            rc = shs__buf_append(&names, "\n", 1);
    }
    /* Without memory for their names they are stored all the same. */
    rc = rc == SHS_OK ? shs_write(v->res, shs__buf_head(&names), names.len)
                      : shs_end_headers(v->res);
    shs__buf_free(&names);
    return rc;
}

static int form_complete(struct shs_visit *v, struct form_upload *form, int rc)
{
    if (rc == SHS_OK)
        rc = shs_multipart_feed(form->parts, NULL, 0);
    if (rc == SHS_OK)
        rc = go_on(form);
    if (rc == SHS_IO && form->sys_errno != 0)
        return shs__static_refuse_store(v, form->sys_errno);
    if (rc == SHS_LIMIT && form->count == FORM_FILES_MAX)
        return shs_send_page(v->res, 413, "There are too many files in one form.");
    if (rc != SHS_OK)
        return rc; /* a body that is none: the server has the words for it */
    if (form->count == 0)
        return shs_send_page(v->res, 400, "There is no file in the form.");
    if (publish_all(v, form) != SHS_OK)
        return shs__static_refuse_store(v, errno);
    sync_all(v, form);
    return answer_form(v, form);
}

static void drop_files(struct form_upload *form)
{
    for (size_t i = 0; i < form->count; i++)
        shs__store_drop(&form->files[i].store);
}

/* The form is there, or no more of it is wanted. What was not stored is gone before the answer. */
static int form_done(void *ctx, struct shs_request *req, struct shs_response *res, int rc)
{
    struct form_upload *form = ctx;
    struct shs_visit v = {.site = form->site, .root = form->root, .req = req, .res = res};

    rc = form_complete(&v, form, rc);
    drop_files(form);
    return rc;
}

static void form_free(void *ctx)
{
    struct form_upload *form = ctx;

    drop_files(form);
    shs__free(form->files);
    if (form->dir_fd >= 0)
        close(form->dir_fd);
    shs__static_root_leave(form->root);
    shs__free(form);
}

static const struct shs_sink form_sink = {
    .write = form_write, .done = form_done, .free = form_free};

/* Takes the request's directory. */
static int post_beneath(struct shs_visit *v)
{
    struct form_upload *form = shs__calloc(1, sizeof *form);
    int rc = SHS_NOMEM;

    if (form == NULL) {
        shs__static_leave(v);
        return rc;
    }
    form->site = v->site;
    form->root = v->root;
    form->left = v->site->max_upload;
    form->dir_fd = shs__open_beneath(v->root->fd, v->path.name, O_RDONLY | O_DIRECTORY);
    rc = form->dir_fd < 0 ? shs__static_refuse(v, errno)
                          : shs_multipart_new_fed(&form->parts, v->req, NULL);
    if (form->dir_fd >= 0 && rc == SHS_OK)
        return shs_request_sink(v->req, &form_sink, form);
    form_free(form);
    return rc;
}

int shs__static_post(struct shs_request *req, struct shs_response *res)
{
    struct shs_visit v = {.site = shs_request_ctx(req), .req = req, .res = res};
    int rc;

    if (!shs__static_may_write(&v, &rc) || !shs__static_clean_target(&v, &rc))
        return rc;
    if (!v.path.slash) {
        SHS_RETURN_IF_ERROR(shs_response_stand(res, "Allow", "GET, HEAD, PUT, OPTIONS"));
        return shs_send_page(res, 405, "Files are sent to a directory, whose path ends in \"/\".");
    }
    return shs__static_enter(&v, &rc) ? post_beneath(&v) : rc;
}
