#include <shs/static_files.h>

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/base.h"
#include "handler/beneath.h"
#include "handler/conditional.h"
#include "handler/listing.h"
#include "handler/mime.h"
#include "handler/path.h"
#include "http/date.h"
#include "http/guard.h"

/* A file up to this is read at once, so that its head and body leave in one record. */
#define SMALL_FILE_MAX 16384
/* One name and value is a small thing; a list of them that is longer is a mistake. */
#define EXTRA_HEADERS_MAX 64
#define REDIRECT_MAX ((size_t)64 * 1024)

struct shs_static_files {
    int root_fd;
    bool listing;
    char **index_pages;   /* NULL-terminated */
    char **extra_headers; /* name, value, ..., NULL */
    struct shs_http_handler handler;
};

static const char *const default_index_pages[] = {"index.html", "index.htm", NULL};

/* Fields of the answer that are the handler's or the server's to set: an extra one does not double
   them (CPython 3.15: "unless already set"). */
static const char *const own_headers[] = {"Content-Type", "Content-Length", "Last-Modified",
                                          "ETag",         "Date",           "Server"};
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

static int not_found(struct shs_response *res)
{
    return shs_send_error(res, 404, "File not found");
}

/*
 * What to say when an open failed. Whatever the file system has against it, the name is not to be
 * had here: 404, as CPython. Only what is the server's own trouble is said to be that.
 */
static int refuse(struct shs_response *res, int sys_errno)
{
    switch (sys_errno) {
    case EMFILE:
    case ENFILE:
    case ENOMEM:
        return shs_send_error(res, 503, NULL);
    case EIO:
        return shs_send_error(res, 500, NULL);
    default:
        return not_found(res);
    }
}

static int send_extra_headers(const struct shs_static_files *self, struct shs_response *res,
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

static bool is_head(const struct shs_request *req)
{
    return shs__str_eq(shs_request_method(req), SHS_STR("HEAD"));
}

static int send_not_modified(struct shs_static_files *self, struct shs_response *res,
                             const char *etag, const char *modified)
{
    SHS_RETURN_IF_ERROR(shs_send_response(res, 304));
    SHS_RETURN_IF_ERROR(shs_send_header(res, "Last-Modified", modified));
    SHS_RETURN_IF_ERROR(shs_send_header(res, "ETag", etag));
    SHS_RETURN_IF_ERROR(send_extra_headers(self, res, true));
    return shs_end_headers(res);
}

static int send_length(struct shs_response *res, uint64_t length)
{
    char text[24];

    snprintf(text, sizeof text, "%" PRIu64, length);
    return shs_send_header(res, "Content-Length", text);
}

/* Reads what there is of `want` bytes: a file that is cut shorter meanwhile is a shorter file. */
static int read_small(int fd, char *data, size_t want, size_t *got)
{
    ssize_t n;

    *got = 0;
    while (*got < want) {
        n = read(fd, data + *got, want - *got);
        if (n == 0)
            break;
        if (n < 0 && errno != EINTR)
            return SHS_IO;
        if (n > 0)
            *got += (size_t)n;
    }
    return SHS_OK;
}

/* The head that every 200 for a file has; Content-Length and the end of it are the caller's. */
static int begin_file(struct shs_static_files *self, struct shs_response *res, const char *type,
                      const char *etag, const char *modified)
{
    SHS_RETURN_IF_ERROR(shs_send_response(res, 200));
    SHS_RETURN_IF_ERROR(shs_send_header(res, "Content-Type", type));
    SHS_RETURN_IF_ERROR(shs_send_header(res, "Last-Modified", modified));
    SHS_RETURN_IF_ERROR(shs_send_header(res, "ETag", etag));
    return send_extra_headers(self, res, false);
}

static int send_small(struct shs_static_files *self, struct shs_response *res, int fd, size_t size,
                      const char *type, const char *etag, const char *modified)
{
    char data[SMALL_FILE_MAX];
    size_t got;

    if (read_small(fd, data, size, &got) != SHS_OK)
        return refuse(res, EIO);
    SHS_RETURN_IF_ERROR(begin_file(self, res, type, etag, modified));
    SHS_RETURN_IF_ERROR(send_length(res, got));
    SHS_RETURN_IF_ERROR(shs_end_headers(res));
    return got == 0 ? SHS_OK : shs_write(res, data, got);
}

static int send_head_only(struct shs_static_files *self, struct shs_response *res, uint64_t size,
                          const char *type, const char *etag, const char *modified)
{
    SHS_RETURN_IF_ERROR(begin_file(self, res, type, etag, modified));
    SHS_RETURN_IF_ERROR(send_length(res, size));
    return shs_end_headers(res);
}

/* Answers with the open regular file `fd`; takes it. `name` tells its type. */
static int send_regular(struct shs_static_files *self, struct shs_request *req,
                        struct shs_response *res, int fd, const struct stat *st,
                        struct shs_str name)
{
    const char *type = shs__mime_type(name);
    uint64_t size = (uint64_t)st->st_size;
    char modified[SHS_DATE_LEN + 1], etag[SHS_ETAG_SIZE];
    int rc;

    shs__etag_format(etag, st);
    shs__date_format(st->st_mtime, modified);
    if (shs__not_modified(req, etag, st->st_mtime)) {
        rc = send_not_modified(self, res, etag, modified);
    } else if (is_head(req)) {
        rc = send_head_only(self, res, size, type, etag, modified);
    } else if (size <= SMALL_FILE_MAX) {
        rc = send_small(self, res, fd, (size_t)size, type, etag, modified);
    } else {
        rc = begin_file(self, res, type, etag, modified);
        if (rc == SHS_OK)
            return shs_send_file(res, fd, 0, size);
    }
    close(fd);
    return rc;
}

static int send_redirect(struct shs_request *req, struct shs_response *res)
{
    struct shs_buf location;
    int rc;

    shs__buf_init(&location, REDIRECT_MAX);
    rc = shs__path_redirect(&location, shs_request_target(req), shs_request_path(req),
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
    struct shs_buf page;
    int rc;

    shs__buf_init(&page, SHS_LISTING_BYTES_MAX);
    rc = shs__listing_read(&page, self->root_fd, fd, name);
    if (rc == SHS_IO) {
        rc = shs_send_error(res, 404, "No permission to list directory");
        goto out;
    }
    if (rc == SHS_OK)
        rc = shs_send_response(res, 200);
    if (rc == SHS_OK)
        rc = shs_send_header(res, "Content-Type", "text/html; charset=utf-8");
    if (rc == SHS_OK)
        rc = send_extra_headers(self, res, false);
    if (rc == SHS_OK)
        rc = send_length(res, page.len);
    if (rc == SHS_OK)
        rc = shs_end_headers(res);
    if (rc == SHS_OK && !is_head(req))
        rc = shs_write(res, shs__buf_head(&page), page.len);
out:
    shs__buf_free(&page);
    return rc;
}

/* -- finding ----------------------------------------------------------------------------------- */

/*
 * Opens the first index page of the directory `path` that is a regular file: SHS_OK with *fd, *st
 * and its name left in `path`. Otherwise SHS_IO with *why: ENOENT when there is none; `path` is as
 * it was. A directory of that name is none (bpo-31699).
 */
static int open_index(const struct shs_static_files *self, struct shs_clean_path *path, int *fd,
                      struct stat *st, int *why)
{
    size_t base = path->len, len;

    *why = ENOENT;
    for (char *const *page = self->index_pages; *page != NULL; page++) {
        len = strlen(*page);
        if (base + 1 + len >= sizeof path->name)
            continue;
        if (base > 0)
            path->name[path->len++] = '/';
        memcpy(path->name + path->len, *page, len + 1);
        path->len += len;
        *fd = shs__open_beneath(self->root_fd, path->name, O_RDONLY);
        if (*fd >= 0 && fstat(*fd, st) == 0 && S_ISREG(st->st_mode))
            return SHS_OK;
        if (*fd >= 0)
            close(*fd);
        else if (errno != ENOENT)
            *why = errno;
        path->len = base;
        path->name[base] = '\0';
        if (*why == ENOTDIR)
            break; /* the path is a file's: "/file/" */
    }
    return SHS_IO;
}

static int serve_directory(struct shs_static_files *self, struct shs_request *req,
                           struct shs_response *res, struct shs_clean_path *path)
{
    struct stat st;
    int fd, why;

    if (open_index(self, path, &fd, &st, &why) == SHS_OK)
        return send_regular(self, req, res, fd, &st, (struct shs_str){path->name, path->len});
    if (why == ENOTDIR || !self->listing)
        return not_found(res);
    fd = shs__open_beneath(self->root_fd, path->name, O_RDONLY | O_DIRECTORY);
    if (fd < 0 && errno == EACCES)
        return shs_send_error(res, 404, "No permission to list directory");
    if (fd < 0)
        return refuse(res, errno);
    if (why == EACCES) {
        close(fd); /* there is an index page, and it is not for everybody */
        return not_found(res);
    }
    return send_listing(self, req, res, fd, (struct shs_str){path->name, path->len});
}

/* A directory that may be entered but not read still has index pages: its "/" is all it lacks. */
static int serve_unreadable(struct shs_static_files *self, struct shs_request *req,
                            struct shs_response *res, const struct shs_clean_path *path)
{
    int fd = shs__open_beneath(self->root_fd, path->name, O_PATH | O_DIRECTORY);

    if (fd < 0)
        return not_found(res);
    close(fd);
    return send_redirect(req, res);
}

static int serve_name(struct shs_static_files *self, struct shs_request *req,
                      struct shs_response *res, struct shs_clean_path *path)
{
    struct stat st;
    int fd = shs__open_beneath(self->root_fd, path->name, O_RDONLY), saved;

    if (fd < 0 && errno == EACCES)
        return serve_unreadable(self, req, res, path);
    if (fd < 0)
        return refuse(res, errno);
    if (fstat(fd, &st) != 0) {
        saved = errno;
        close(fd);
        return refuse(res, saved);
    }
    if (S_ISREG(st.st_mode))
        return send_regular(self, req, res, fd, &st, (struct shs_str){path->name, path->len});
    close(fd);
    if (S_ISDIR(st.st_mode))
        return send_redirect(req, res);
    return not_found(res); /* a FIFO, a device, a socket */
}

int shs_static_files_serve(struct shs_static_files *self, struct shs_request *req,
                           struct shs_response *res)
{
    struct shs_clean_path path;

    switch (shs__path_clean(shs_request_path(req), &path)) {
    case SHS_PATH_OK:
        break;
    case SHS_PATH_NOT_FOUND:
        return not_found(res);
    case SHS_PATH_MALFORMED:
        return shs_send_error(res, 400,
                              "The path has a \"%\" without two hexadecimal digits behind it.");
    }
    if (path.slash)
        return serve_directory(self, req, res, &path);
    return serve_name(self, req, res, &path);
}

static int static_get(struct shs_request *req, struct shs_response *res)
{
    return shs_static_files_serve(shs_request_ctx(req), req, res);
}

/* -- life -------------------------------------------------------------------------------------- */

void shs_static_options_init_sized(struct shs_static_options *opt, size_t size)
{
    struct shs_static_options defaults = {.size = size, .listing = true};

    memcpy(opt, &defaults, size < sizeof defaults ? size : sizeof defaults);
}

static void free_list(char **list)
{
    if (list == NULL)
        return;
    for (char **item = list; *item != NULL; item++)
        shs__free(*item);
    shs__free(list);
}

static size_t list_length(const char *const *list)
{
    size_t count = 0;

    while (list != NULL && list[count] != NULL)
        count++;
    return count;
}

static char **copy_list(const char *const *list)
{
    size_t count = list_length(list);
    char **copy = shs__calloc(count + 1, sizeof *copy);

    if (copy == NULL)
        return NULL;
    for (size_t i = 0; i < count; i++) {
        copy[i] = shs__strdup(list[i]);
        if (copy[i] == NULL) {
            free_list(copy);
            return NULL;
        }
    }
    return copy;
}

static int check_header(const char *name, const char *value, struct shs_error *err)
{
    if (!shs__is_token(shs__str(name)))
        return shs_error_set(err, SHS_USAGE, 0, "Extra header \"%s\": that is not a field name.",
                             name);
    if (!shs__is_field_value(shs__str(value)))
        return shs_error_set(err, SHS_USAGE, 0,
                             "Extra header %s: there is a control character in its value.", name);
    if (shs__str_eq_nocase(shs__str(name), SHS_STR("Transfer-Encoding")))
        return shs_error_set(err, SHS_USAGE, 0,
                             "Extra header %s: framing is the server's own affair.", name);
    return SHS_OK;
}

/* Copies the pairs that can be sent beside the handler's own fields. */
static int copy_headers(char ***out, const char *const *headers, struct shs_error *err)
{
    const char *kept[2 * EXTRA_HEADERS_MAX + 1];
    size_t count = list_length(headers), keep = 0;

    if (count % 2 != 0)
        return shs_error_set(err, SHS_USAGE, 0, "Extra header %s has no value.",
                             headers[count - 1]);
    if (count > 2 * EXTRA_HEADERS_MAX)
        return shs_error_set(err, SHS_USAGE, 0, "More than %d extra headers.", EXTRA_HEADERS_MAX);
    for (size_t i = 0; i < count; i += 2) {
        SHS_RETURN_IF_ERROR(check_header(headers[i], headers[i + 1], err));
        if (name_in(headers[i], own_headers, SHS_ARRAY_LEN(own_headers)))
            continue;
        kept[keep++] = headers[i];
        kept[keep++] = headers[i + 1];
    }
    kept[keep] = NULL;
    *out = copy_list(kept);
    if (*out == NULL)
        return shs_error_set(err, SHS_NOMEM, 0, "Out of memory for the files of a directory.");
    return SHS_OK;
}

static int open_root(struct shs_static_files *self, const char *directory, struct shs_error *err)
{
    char text[32];
    int fd;

    self->root_fd = open(directory, O_PATH | O_DIRECTORY | O_CLOEXEC);
    if (self->root_fd < 0)
        return shs_error_set(err, SHS_IO, errno, "Cannot serve the directory %s: %s.", directory,
                             shs__strerror(errno, text, sizeof text));
    /* Better now than a 404 for everything: an old kernel or a seccomp filter without openat2. */
    fd = shs__open_beneath(self->root_fd, "", O_PATH | O_DIRECTORY);
    if (fd < 0)
        return shs_error_set(err, SHS_IO, errno,
                             "Cannot serve %s: openat2(2) fails: %s. Linux 5.6 or newer is needed.",
                             directory, shs__strerror(errno, text, sizeof text));
    close(fd);
    return SHS_OK;
}

int shs_static_files_new(struct shs_static_files **out, const struct shs_static_options *opt,
                         struct shs_error *err)
{
    struct shs_static_options o;
    struct shs_static_files *self;
    int rc;

    shs_static_options_init(&o);
    memcpy(&o, opt, opt->size < sizeof o ? opt->size : sizeof o);
    self = shs__calloc(1, sizeof *self);
    if (self == NULL)
        return shs_error_set(err, SHS_NOMEM, 0, "Out of memory for the files of a directory.");
    self->root_fd = -1;
    self->listing = o.listing;
    self->handler = (struct shs_http_handler){
        .name = "StaticFiles", .do_GET = static_get, .do_HEAD = static_get, .ctx = self};
    rc = copy_headers(&self->extra_headers, o.extra_headers, err);
    if (rc != SHS_OK)
        goto out;
    self->index_pages = copy_list(o.index_pages == NULL ? default_index_pages : o.index_pages);
    if (self->index_pages == NULL) {
        rc = shs_error_set(err, SHS_NOMEM, 0, "Out of memory for the files of a directory.");
        goto out;
    }
    rc = open_root(self, o.directory == NULL ? "." : o.directory, err);
    if (rc != SHS_OK)
        goto out;
    *out = self;
    self = NULL;
out:
    shs_static_files_free(self);
    return rc;
}

void shs_static_files_free(struct shs_static_files *self)
{
    if (self == NULL)
        return;
    if (self->root_fd >= 0)
        close(self->root_fd);
    free_list(self->index_pages);
    free_list(self->extra_headers);
    shs__free(self);
}

const struct shs_http_handler *shs_static_files_handler(const struct shs_static_files *self)
{
    return &self->handler;
}
