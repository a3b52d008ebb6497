/*
 * static_files.c - from a path to an open file, or to what else there is to say.
 */
#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

#include "handler/beneath.h"
#include "handler/listing.h"
#include "handler/static_site.h"

#define REDIRECT_MAX ((size_t)64 * 1024)

/* Fields that belong into a 304 as well, RFC 9110 section 15.4.5. */
static const char *const cache_headers[] = {"Cache-Control", "Content-Location", "Expires", "Vary"};

static bool name_in(const char *name, const char *const *list, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        if (shs__str_eq_nocase(shs__str(name), shs__str(list[i])))
            return true;
    }
    return false;
}

/* -- answers ----------------------------------------------------------------------------------- */

int shs__static_not_found(struct shs_response *res)
{
    return shs_send_page(res, 404, "File not found");
}

/*
 * What to say when an open failed. Whatever the file system has against it, the name is not to be
 * had here: 404, as CPython. Only what is the server's own trouble is said to be that.
 */
int shs__static_refuse(struct shs_response *res, int sys_errno)
{
    switch (sys_errno) {
    case EMFILE:
    case ENFILE:
    case ENOMEM:
        return shs_send_error(res, 503, NULL);
    case EIO:
        return shs_send_error(res, 500, NULL);
    default:
        return shs__static_not_found(res);
    }
}

int shs__static_extra_headers(const struct shs_static_files *self, struct shs_response *res,
                              bool cache_only)
{
    char *const *pair = self->extra_headers;

    for (; *pair != NULL; pair += 2) {
        if (cache_only && !name_in(pair[0], cache_headers, SHS_ARRAY_LEN(cache_headers)))
            continue;
        SHS_RETURN_IF_ERROR(shs_send_header(res, pair[0], pair[1]));
    }
    return SHS_OK;
}

bool shs__static_is_head(const struct shs_request *req)
{
    return shs__str_eq(shs_request_method(req), SHS_STR("HEAD"));
}

static int send_redirect(struct shs_request *req, struct shs_response *res)
{
    struct shs_buf location;
    int rc;

    shs__buf_init(&location, REDIRECT_MAX);
    rc = shs__path_redirect(&location, shs_request_target(req), shs_request_full_path(req),
                            shs_request_query(req));
    if (rc == SHS_OK)
        rc = shs_send_response(res, 301);
    if (rc == SHS_OK)
        rc = shs_send_header_str(res, "Location",
                                 (struct shs_str){shs__buf_head(&location), location.len});
    if (rc == SHS_OK)
        rc = shs_send_header(res, "Content-Length", "0");
    if (rc == SHS_OK)
        rc = shs_end_headers(res);
    shs__buf_free(&location);
    return rc;
}

/* Lists the open directory `fd`; takes it. */
static int send_listing(struct shs_static_files *self, struct shs_request *req,
                        struct shs_response *res, int fd, struct shs_str name)
{
    struct shs_listing_view view;
    struct shs_buf page;
    int rc;

    shs__listing_view_parse(&view, shs_request_query(req));
    view.upload = self->upload;
    shs__buf_init(&page, SHS_LISTING_BYTES_MAX);
    rc = shs__listing_read(&page, self->root_fd, fd, name, &view);
    if (rc == SHS_IO) {
        rc = shs_send_page(res, 404, "No permission to list directory");
        goto out;
    }
    if (rc == SHS_OK)
        rc = shs_send_response(res, 200);
    if (rc == SHS_OK)
        rc = shs_send_header(res, "Content-Type", "text/html; charset=utf-8");
    if (rc == SHS_OK)
        rc = shs__static_extra_headers(self, res, false);
    if (rc == SHS_OK)
        rc = shs_send_length(res, page.len);
    if (rc == SHS_OK)
        rc = shs_end_headers(res);
    if (rc == SHS_OK && !shs__static_is_head(req))
        rc = shs_write(res, shs__buf_head(&page), page.len);
out:
    shs__buf_free(&page);
    return rc;
}

/* -- finding ----------------------------------------------------------------------------------- */

/* Adds "/name" to a path, or "name" to the empty one. False: it does not fit. */
static bool append_name(struct shs_clean_path *path, const char *name)
{
    size_t len = strlen(name);

    if (path->len + 1 + len >= sizeof path->name)
        return false;
    if (path->len > 0)
        path->name[path->len++] = '/';
    memcpy(path->name + path->len, name, len + 1);
    path->len += len;
    return true;
}

static void cut_to(struct shs_clean_path *path, size_t len)
{
    path->len = len;
    path->name[len] = '\0';
}

/*
 * Opens the first index page of the directory `path` that is a regular file: SHS_OK with *fd, *st
 * and its name left in `path`. Otherwise SHS_IO with *why: ENOENT when there is none; `path` is as
 * it was. A directory of that name is none (bpo-31699).
 */
static int open_index(const struct shs_static_files *self, struct shs_clean_path *path, int *fd,
                      struct stat *st, int *why)
{
    size_t base = path->len;

    *why = ENOENT;
    for (char *const *page = self->index_pages; *page != NULL; page++) {
        if (!append_name(path, *page))
            continue;
        *fd = shs__open_beneath(self->root_fd, path->name, O_RDONLY);
        if (*fd >= 0 && fstat(*fd, st) == 0 && S_ISREG(st->st_mode))
            return SHS_OK;
        if (*fd >= 0)
            close(*fd);
        else if (errno != ENOENT)
            *why = errno;
        cut_to(path, base);
        if (*why == ENOTDIR)
            break; /* the path is a file's: "/file/" */
    }
    return SHS_IO;
}

/* Answers with the first index page if it was kept. Of the others nobody knows here whether one
   before them is there by now. */
static int answer_kept_index(struct shs_static_files *self, struct shs_request *req,
                             struct shs_response *res, struct shs_clean_path *path)
{
    size_t base = path->len;
    int rc;

    if (self->index_pages[0] == NULL || !append_name(path, self->index_pages[0]))
        return SHS_STATIC_NOT_KEPT;
    rc = shs__static_answer_kept(self, req, res, path);
    if (rc == SHS_STATIC_NOT_KEPT)
        cut_to(path, base);
    return rc;
}

/*
 * Is it a page of the application that is asked for? A name with a dot is a file's: for a script
 * that is missing, a page would only be a riddle.
 */
static bool is_route(const struct shs_request *req, const struct shs_clean_path *path)
{
    const char *slash = memrchr(path->name, '/', path->len);
    const char *last = slash == NULL ? path->name : slash + 1;
    struct shs_str accept;

    if (strchr(last, '.') == NULL)
        return true;
    return shs_request_header(req, "Accept", &accept) &&
           memmem(accept.ptr, accept.len, "text/html", 9) != NULL;
}

/* There is no such file: 404, or the page that makes its own routes. */
static int serve_missing(struct shs_static_files *self, struct shs_request *req,
                         struct shs_response *res, struct shs_clean_path *path)
{
    struct stat st;
    int fd, why;

    if (!self->spa || !is_route(req, path))
        return shs__static_not_found(res);
    path->len = 0;
    path->name[0] = '\0';
    if (open_index(self, path, &fd, &st, &why) != SHS_OK)
        return shs__static_not_found(res);
    return shs__static_answer(self, req, res, fd, &st, path);
}

static int serve_directory(struct shs_static_files *self, struct shs_request *req,
                           struct shs_response *res, struct shs_clean_path *path)
{
    int rc = answer_kept_index(self, req, res, path), fd, why;
    struct stat st;

    if (rc != SHS_STATIC_NOT_KEPT)
        return rc;
    if (open_index(self, path, &fd, &st, &why) == SHS_OK)
        return shs__static_answer(self, req, res, fd, &st, path);
    if (why == ENOTDIR || !self->listing)
        return serve_missing(self, req, res, path);
    fd = shs__open_beneath(self->root_fd, path->name, O_RDONLY | O_DIRECTORY);
    if (fd < 0 && errno == EACCES)
        return shs_send_page(res, 404, "No permission to list directory");
    if (fd < 0)
        return shs__static_refuse(res, errno);
    if (why == EACCES) {
        close(fd); /* there is an index page, and it is not for everybody */
        return shs__static_not_found(res);
    }
    return send_listing(self, req, res, fd, (struct shs_str){path->name, path->len});
}

/* A directory that may be entered but not read still has index pages: its "/" is all it lacks. */
static int serve_unreadable(struct shs_static_files *self, struct shs_request *req,
                            struct shs_response *res, const struct shs_clean_path *path)
{
    int fd = shs__open_beneath(self->root_fd, path->name, O_PATH | O_DIRECTORY);

    if (fd < 0)
        return shs__static_not_found(res);
    close(fd);
    return send_redirect(req, res);
}

static int serve_name(struct shs_static_files *self, struct shs_request *req,
                      struct shs_response *res, struct shs_clean_path *path)
{
    int rc = shs__static_answer_kept(self, req, res, path), fd, saved;
    struct stat st;

    if (rc != SHS_STATIC_NOT_KEPT)
        return rc;
    fd = shs__open_beneath(self->root_fd, path->name, O_RDONLY);
    if (fd < 0 && errno == EACCES)
        return serve_unreadable(self, req, res, path);
    if (fd < 0 && (errno == ENOENT || errno == ENOTDIR))
        return serve_missing(self, req, res, path);
    if (fd < 0)
        return shs__static_refuse(res, errno);
    if (fstat(fd, &st) != 0) {
        saved = errno;
        close(fd);
        return shs__static_refuse(res, saved);
    }
    if (S_ISREG(st.st_mode))
        return shs__static_answer(self, req, res, fd, &st, path);
    close(fd);
    if (S_ISDIR(st.st_mode))
        return send_redirect(req, res);
    return shs__static_not_found(res); /* a FIFO, a device, a socket */
}

int shs_static_files_serve(struct shs_static_files *self, struct shs_request *req,
                           struct shs_response *res)
{
    struct shs_clean_path path;

    switch (shs__path_clean(shs_request_path(req), &path)) {
    case SHS_PATH_OK:
        break;
    case SHS_PATH_NOT_FOUND:
        return shs__static_not_found(res);
    case SHS_PATH_MALFORMED:
        return shs_send_page(res, 400,
                             "The path has a \"%\" without two hexadecimal digits behind it.");
    }
    if (path.slash)
        return serve_directory(self, req, res, &path);
    return serve_name(self, req, res, &path);
}

int shs__static_get(struct shs_request *req, struct shs_response *res)
{
    return shs_static_files_serve(shs_request_ctx(req), req, res);
}
