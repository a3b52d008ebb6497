/*
 * static_options.c - what a site is made from: options are checked, copied and opened.
 */
#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

#include <shs/text.h>

#include "handler/beneath.h"
#include "handler/coding.h"
#include "handler/origin.h"
#include "handler/static_site.h"
#include "handler/store.h"

/* One name and value is a small thing; a list of them that is longer is a mistake. */
#define EXTRA_HEADERS_MAX 64
#define SYSTEM_TYPES "/etc/mime.types"

static const char *const default_index_pages[] = {"index.html", "index.htm", NULL};

/* Fields of the answer that are the handler's or the server's to set: an extra one does not double
   them (CPython 3.15: "unless already set"). */
static const char *const own_headers[] = {"Content-Type", "Content-Length", "Last-Modified",
                                          "ETag",         "Date",           "Server"};
static bool is_own_header(const char *name)
{
    for (size_t i = 0; i < SHS_ARRAY_LEN(own_headers); i++) {
        if (shs__str_eq_nocase(shs__str(name), shs__str(own_headers[i])))
            return true;
    }
    return false;
}

void shs_static_options_init_sized(struct shs_static_options *opt, size_t size)
{
    struct shs_static_options defaults = {
        .size = size,
        .listing = true,
        .precompressed = true,
        .compress = true,
        .keep_small_files = true,
        .max_upload = (uint64_t)1 << 30,
        .max_archive = (uint64_t)4 << 30,
    };

    shs__sized_init(opt, size, &defaults, sizeof defaults);
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
    if (!shs_is_token(shs__str(name)))
        return shs_error_set(err, SHS_USAGE, 0, "Extra header \"%s\": that is not a field name.",
                             name);
    if (!shs_is_field_value(shs__str(value)))
        return shs_error_set(err, SHS_USAGE, 0,
                             "Extra header %s: there is a control character in its value.", name);
    if (shs__str_eq_nocase(shs__str(name), SHS_STR("Transfer-Encoding")))
        return shs_error_set(err, SHS_USAGE, 0,
                             "Extra header %s: the server sets it, as a part of the framing.",
                             name);
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
        if (is_own_header(headers[i]))
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

static int open_root(struct shs_static_files *self, const char *directory, bool keep,
                     struct shs_error *err)
{
    int rc = shs__static_root_init(&self->root, directory, keep), fd;
    char text[32];

    if (rc == SHS_NOMEM)
        return shs_error_set(err, SHS_NOMEM, 0, "Out of memory for the files of a directory.");
    if (rc != SHS_OK)
        return shs_error_set(err, SHS_IO, errno, "Cannot serve the directory %s: %s.", directory,
                             shs__strerror(errno, text, sizeof text));
    /* Better now than a 404 for everything: an old kernel or a seccomp filter without openat2. */
    fd = shs__open_beneath(self->root.now->fd, "", O_PATH | O_DIRECTORY);
    if (fd < 0)
        return shs_error_set(err, SHS_IO, errno,
                             "Cannot serve %s: openat2(2) fails: %s. Linux 5.6 or newer is needed.",
                             directory, shs__strerror(errno, text, sizeof text));
    close(fd);
    if (self->upload)
        (void)shs__store_sweep(self->root.now->fd);
    return SHS_OK;
}

static int copy_origins(char ***out, const char *const *list, const char *what,
                        struct shs_error *err)
{
    for (size_t i = 0; list != NULL && list[i] != NULL; i++) {
        if (!shs__is_origin(list[i]))
            return shs_error_set(
                err, SHS_USAGE, 0,
                "%s \"%s\" is not an origin: write SCHEME://HOST[:PORT], without a "
                "path.",
                what, list[i]);
    }
    *out = copy_list(list);
    if (*out == NULL)
        return shs_error_set(err, SHS_NOMEM, 0, "Out of memory for the files of a directory.");
    return SHS_OK;
}

/* The system's types. Without the usual file our own table is enough; one that was asked for by
   name must be there. */
static int load_types(struct shs_static_files *self, const char *path, struct shs_error *err)
{
    const char *file = path == NULL ? SYSTEM_TYPES : path;
    char text[64];
    int rc;

    if (file[0] == '\0')
        return SHS_OK;
    rc = shs__mime_load(&self->types, file);
    if (rc == SHS_OK || (path == NULL && rc != SHS_NOMEM))
        return SHS_OK;
    return shs_error_set(err, rc, rc == SHS_IO ? errno : 0, "Cannot read the types of %s: %s.",
                         file,
                         rc == SHS_IO ? shs__strerror(errno, text, sizeof text) : shs_err_text(rc));
}

static void set_handler(struct shs_static_files *self)
{
    self->handler = (struct shs_http_handler){
        .name = "StaticFiles",
        .do_GET = shs__static_get,
        .do_HEAD = shs__static_get,
        .do_PUT = self->upload ? shs__static_put : NULL,
        .do_POST = self->upload ? shs__static_post : NULL,
        .ctx = self,
    };
}

static int set_up(struct shs_static_files *self, const struct shs_static_options *o,
                  struct shs_error *err)
{
    self->listing = o->listing && !o->spa;
    self->spa = o->spa;
    self->upload = o->upload;
    self->max_upload = o->max_upload;
    self->archive = o->archive;
    self->max_archive = o->max_archive;
    self->precompressed = o->precompressed;
    self->coders = o->compress ? shs__coders() : 0;
    set_handler(self);
    SHS_RETURN_IF_ERROR(copy_headers(&self->extra_headers, o->extra_headers, err));
    self->index_pages = copy_list(o->index_pages == NULL ? default_index_pages : o->index_pages);
    if (self->index_pages == NULL || shs__coded_cache_new(&self->coded) != SHS_OK ||
        shs__content_tags_new(&self->tags) != SHS_OK)
        return shs_error_set(err, SHS_NOMEM, 0, "Out of memory for the files of a directory.");
    SHS_RETURN_IF_ERROR(load_types(self, o->mime_types, err));
    SHS_RETURN_IF_ERROR(copy_origins(&self->own_origins, o->own_origins, "own_origins:", err));
    SHS_RETURN_IF_ERROR(
        copy_origins(&self->write_origins, o->write_origins, "write_origins:", err));
    return open_root(self, o->directory == NULL ? "." : o->directory, o->keep_small_files, err);
}

int shs_static_files_new(struct shs_static_files **out, const struct shs_static_options *opt,
                         struct shs_error *err)
{
    struct shs_static_options o;
    struct shs_static_files *self;
    int rc;

    if (out == NULL)
        return shs_error_set(err, SHS_USAGE, 0, "There is no place for the handler: out is NULL.");
    shs_static_options_init(&o);
    rc = shs__sized_copy(&o, sizeof o, opt, "shs_static_options", err);
    if (rc != SHS_OK)
        return rc;
    self = shs__calloc(1, sizeof *self);
    if (self == NULL)
        return shs_error_set(err, SHS_NOMEM, 0, "Out of memory for the files of a directory.");
    pthread_mutex_init(&self->storing, NULL);
    rc = set_up(self, &o, err);
    if (rc != SHS_OK) {
        shs_static_files_free(self);
        return rc;
    }
    *out = self;
    return SHS_OK;
}

void shs_static_files_free(struct shs_static_files *self)
{
    if (self == NULL)
        return;
    shs__static_root_free(&self->root);
    free_list(self->index_pages);
    free_list(self->extra_headers);
    free_list(self->own_origins);
    free_list(self->write_origins);
    shs__mime_free(self->types);
    shs__coded_cache_free(self->coded);
    shs__content_tags_free(self->tags);
    pthread_mutex_destroy(&self->storing);
    shs__free(self);
}

const struct shs_http_handler *shs_static_files_handler(const struct shs_static_files *self)
{
    return &self->handler;
}
