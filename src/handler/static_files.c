/*
 * static_files.c - from a path to an open file, or to what else there is to say.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <unistd.h>

#include "handler/beneath.h"
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

/* 503, and when to come again. */
int shs__static_come_again(struct shs_response *res, const char *why)
{
    SHS_RETURN_IF_ERROR(shs_response_stand(res, "Retry-After", "2"));
    return shs_send_error(res, 503, why);
}

int shs__static_in_motion(struct shs_response *res)
{
    return shs__static_come_again(res, "The file is being written to just now.");
}

/*
 * What to say when an open failed. A name that the file system refuses is not to be had here,
 * whatever the reason: 404, as CPython. All else is the server's own trouble, and said to be that:
 * a file that is there must not look as if it were not.
 */
int shs__static_refuse(struct shs_visit *v, int sys_errno)
{
    char text[64];

    switch (sys_errno) {
    case ENOENT:
    case ENOTDIR:
    case EACCES:
    case EPERM:
    case ELOOP:
    case EXDEV:
    case ENAMETOOLONG:
    case ENXIO:
    case ENODEV:
        return shs__static_not_found(v);
    case EMFILE:
    case ENFILE:
    case ENOMEM:
    case EAGAIN:
    case EINTR:
        shs__static_log(v, "cannot be opened now: %s", shs__strerror(sys_errno, text, sizeof text));
        return shs__static_come_again(v->res, NULL);
    default:
        shs__static_log(v, "cannot be read: %s", shs__strerror(sys_errno, text, sizeof text));
        return shs_send_error(v->res, 500, "The file cannot be read.");
    }
}

void shs__static_log(struct shs_visit *v, const char *fmt, ...)
{
    struct shs_conn *conn = shs_request_conn(v->req);
    struct shs_str method = shs_request_method(v->req), path = shs_request_full_path(v->req);
    char text[400];
    va_list args;

    if (conn == NULL)
        return;
    va_start(args, fmt);
    vsnprintf(text, sizeof text, fmt, args);
    va_end(args);
    shs_server_log(shs_conn_server(conn), SHS_LOG_WARNING, "%.*s %.*s: %s", (int)method.len,
                   method.ptr, (int)(path.len < 200 ? path.len : 200), path.ptr, text);
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

static int send_redirect(struct shs_visit *v)
{
    struct shs_buf location;
    int rc;

    shs__buf_init(&location, REDIRECT_MAX);
    rc = shs__path_redirect(&location, shs_request_target(v->req), shs_request_full_path(v->req),
                            shs_request_query(v->req));
    if (rc == SHS_OK)
        rc = shs_send_response(v->res, 301);
    if (rc == SHS_OK)
        rc = shs_send_header_str(v->res, "Location",
                                 (struct shs_str){shs__buf_head(&location), location.len});
    if (rc == SHS_OK)
        rc = shs_send_header(v->res, "Content-Length", "0");
    if (rc == SHS_OK)
        rc = shs_end_headers(v->res);
    shs__buf_free(&location);
    return rc;
}

/* -- the directory ----------------------------------------------------------------------------- */

bool shs__static_enter(struct shs_visit *v, int *rc)
{
    struct shs_conn *conn = shs_request_conn(v->req);
    bool changed;
    char text[64];
    int why;

    v->root = shs__static_root_enter(&v->site->root, shs_request_since(v->req), &changed);
    why = errno;
    if (changed && conn != NULL)
        shs_server_log(
            shs_conn_server(conn), SHS_LOG_WARNING,
            v->root != NULL ? "The served directory %s is there again."
            : why == EACCES
                ? "The served directory %s has been replaced, and the new one may not be read "
                  "(%s): requests get 503 until it can be. If its mode lets this user read it, a "
                  "sandbox forbids it: restart the server."
                : "The served directory %s is gone (%s): requests get 503 until it is back.",
            v->site->root.directory, shs__strerror(why, text, sizeof text));
    if (v->root != NULL)
        return true;
    *rc = shs__static_come_again(v->res,
                                 "The directory that is served here is missing at the moment.");
    return false;
}

void shs__static_leave(struct shs_visit *v)
{
    shs__static_root_leave(v->root);
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

/* Opens a regular file: its descriptor, or -1 with errno; EISDIR for what is none. */
static int open_file(const struct shs_visit *v, struct stat *st)
{
    int fd = shs__open_beneath(v->root->fd, v->path.name, O_RDONLY), saved = EISDIR;

    if (fd < 0)
        return -1;
    if (fstat(fd, st) != 0)
        saved = errno;
    else if (S_ISREG(st->st_mode))
        return fd;
    close(fd);
    errno = saved;
    return -1;
}

/*
 * Opens the first index page of the directory that is a regular file: its descriptor, with *st and
 * its name left in the path. Otherwise -1 with errno, and the path is as it was: ENOENT when there
 * is none. A directory of that name is none (bpo-31699), and so is a link that leads nowhere here.
 * What else stands in the way of a page that is there is not to be mistaken for that.
 */
static int open_index(struct shs_visit *v, struct stat *st)
{
    size_t base = v->path.len;
    int why = ENOENT, fd;

    for (char *const *page = v->site->index_pages; *page != NULL; page++) {
        if (!append_name(&v->path, *page))
            continue;
        fd = open_file(v, st);
        if (fd >= 0)
            return fd;
        cut_to(&v->path, base);
        switch (errno) {
        case ENOENT:
        case EISDIR:
        case ELOOP:
        case EXDEV:
        case ENAMETOOLONG:
        case ENXIO:
            break;
        case EACCES:
            why = EACCES;
            break;
        default: /* ENOTDIR too: the path is a file's, "/file/" */
            return -1;
        }
    }
    errno = why;
    return -1;
}

/* Answers with the first index page if it was kept. Of the others nobody knows here whether one
   before them is there by now. */
static int answer_kept_index(struct shs_visit *v)
{
    size_t base = v->path.len;
    int rc;

    if (v->site->index_pages[0] == NULL || !append_name(&v->path, v->site->index_pages[0]))
        return SHS_STATIC_NOT_KEPT;
    rc = shs__static_answer_kept(v);
    if (rc == SHS_STATIC_NOT_KEPT)
        cut_to(&v->path, base);
    return rc;
}

/*
 * Is it a page of the application that is asked for? A name with a dot is a file's: for a script
 * that is missing, a page would only be a riddle.
 */
static bool is_route(const struct shs_visit *v)
{
    const char *slash = memrchr(v->path.name, '/', v->path.len);
    const char *last = slash == NULL ? v->path.name : slash + 1;

    return strchr(last, '.') == NULL || shs__static_wants_page(v->req);
}

/* There is no such file: 404, or the page that makes its own routes. */
static int serve_missing(struct shs_visit *v)
{
    struct stat st;
    int fd;

    if (!v->site->spa || !is_route(v))
        return shs__static_not_found(v);
    cut_to(&v->path, 0);
    fd = open_index(v, &st);
    return fd < 0 ? shs__static_refuse(v, errno) : shs__static_answer(v, fd, &st);
}

static int serve_directory(struct shs_visit *v)
{
    const struct shs_archive_format *format;
    int rc = answer_kept_index(v), fd, why;
    struct stat st;

    if (rc != SHS_STATIC_NOT_KEPT)
        return rc;
    fd = open_index(v, &st);
    if (fd >= 0)
        return shs__static_answer(v, fd, &st);
    why = errno;
    if (why != ENOENT && why != EACCES && why != ENOTDIR)
        return shs__static_refuse(v, why);
    if (why == ENOTDIR || !v->site->listing)
        return serve_missing(v);
    fd = shs__open_beneath(v->root->fd, v->path.name, O_RDONLY | O_DIRECTORY);
    if (fd < 0 && errno == EACCES)
        return shs_send_page(v->res, 404, "No permission to list directory");
    if (fd < 0)
        return shs__static_refuse(v, errno);
    if (why == EACCES) {
        close(fd); /* there is an index page, and it is not for everybody */
        return shs__static_not_found(v);
    }
    format = shs__static_wants_archive(v);
    return format != NULL ? shs__static_send_archive(v, fd, format)
                          : shs__static_send_listing(v, fd);
}

/* A directory that may be entered but not read still has index pages: its "/" is all it lacks. */
static int serve_unreadable(struct shs_visit *v)
{
    int fd = shs__open_beneath(v->root->fd, v->path.name, O_PATH | O_DIRECTORY);

    if (fd < 0)
        return shs__static_not_found(v);
    close(fd);
    return send_redirect(v);
}

static int serve_name(struct shs_visit *v)
{
    int rc = shs__static_answer_kept(v), fd, saved;
    struct stat st;

    if (rc != SHS_STATIC_NOT_KEPT)
        return rc;
    fd = shs__open_beneath(v->root->fd, v->path.name, O_RDONLY);
    if (fd < 0 && errno == EACCES)
        return serve_unreadable(v);
    if (fd < 0 && (errno == ENOENT || errno == ENOTDIR))
        return serve_missing(v);
    if (fd < 0)
        return shs__static_refuse(v, errno);
    if (fstat(fd, &st) != 0) {
        saved = errno;
        close(fd);
        return shs__static_refuse(v, saved);
    }
    if (S_ISREG(st.st_mode))
        return shs__static_answer(v, fd, &st);
    close(fd);
    if (S_ISDIR(st.st_mode))
        return send_redirect(v);
    return shs__static_not_found(v); /* a FIFO, a device, a socket */
}

int shs_static_files_serve(struct shs_static_files *self, struct shs_request *req,
                           struct shs_response *res)
{
    struct shs_visit v = {.site = self, .req = req, .res = res};
    enum shs_path_verdict verdict = shs__path_clean(shs_request_path(req), &v.path);
    int rc;

    if (verdict == SHS_PATH_MALFORMED)
        return shs_send_page(res, 400, "Each % in the path must be followed by two hex digits.");
    if (!shs__static_enter(&v, &rc))
        return rc;
    if (verdict == SHS_PATH_NOT_FOUND)
        rc = shs__static_not_found(&v);
    else
        rc = v.path.slash ? serve_directory(&v) : serve_name(&v);
    shs__static_leave(&v);
    return rc;
}

int shs__static_get(struct shs_request *req, struct shs_response *res)
{
    return shs_static_files_serve(shs_request_ctx(req), req, res);
}
