/*
 * static_archive.c - a directory on request as one file: "?archive=zip", "?archive=tar".
 */
#include <errno.h>
#include <unistd.h>

#include "base/text.h"
#include "handler/archive.h"
#include "handler/static_site.h"

/* Sent at a time: each takes a processor now and then, and descriptors. */
#define ARCHIVES_MAX 4u
#define DISPOSITION_MAX ((size_t)2048)

struct sending {
    struct shs_static_files *site;
    struct shs_archive *archive;
};

static int read_archive(void *ctx, void *buf, size_t cap, size_t *got)
{
    return shs__archive_read(((struct sending *)ctx)->archive, buf, cap, got);
}

static void free_sending(void *ctx)
{
    struct sending *self = ctx;

    atomic_fetch_sub(&self->site->archives, 1);
    shs__archive_free(self->archive);
    shs__free(self);
}

static const struct shs_source source = {read_archive, free_sending};

const struct shs_archive_format *shs__static_wants_archive(const struct shs_visit *v)
{
    struct shs_str query = shs_request_query(v->req);

    if (!v->site->archive || query.ptr == NULL)
        return NULL;
    if (shs__str_eq(query, SHS_STR("archive=tar")))
        return &shs__archive_tar;
    return shs__str_eq(query, SHS_STR("archive=zip")) ? &shs__archive_zip : NULL;
}

/* The directory's own name; the served one has none that is anybody's business. */
static struct shs_str name_of(const struct shs_visit *v)
{
    const char *slash = memrchr(v->path.name, '/', v->path.len);
    const char *name = slash == NULL ? v->path.name : slash + 1;

    return v->path.len == 0 ? SHS_STR("files") : shs__str(name);
}

/* RFC 6266: a name for all, and the right one for who reads RFC 8187. */
static int send_disposition(struct shs_visit *v, struct shs_str name, const char *suffix)
{
    struct shs_buf value;
    int rc;

    shs__buf_init(&value, DISPOSITION_MAX);
    rc = shs__buf_append_str(&value, SHS_STR("attachment; filename=\""));
    for (size_t i = 0; rc == SHS_OK && i < name.len; i++) {
        char c = name.ptr[i];
        bool plain = c > ' ' && c <= '~' && strchr("\"\\%/", c) == NULL;

        rc = shs__buf_append(&value, plain ? &c : "_", 1);
    }
    if (rc == SHS_OK)
        rc = shs__buf_printf(&value, "%s\"; filename*=UTF-8''", suffix);
    if (rc == SHS_OK)
        rc = shs__percent_encode(&value, name);
    if (rc == SHS_OK)
        rc = shs__buf_append_str(&value, shs__str(suffix));
    if (rc == SHS_OK)
        rc = shs_send_header_str(v->res, "Content-Disposition",
                                 (struct shs_str){shs__buf_head(&value), value.len});
    shs__buf_free(&value);
    return rc;
}

static int send_head(struct shs_visit *v, const struct shs_archive_format *format,
                     struct shs_str name)
{
    SHS_RETURN_IF_ERROR(shs_send_response(v->res, 200));
    SHS_RETURN_IF_ERROR(shs_send_header(v->res, "Content-Type", format->type));
    SHS_RETURN_IF_ERROR(send_disposition(v, name, format->suffix));
    return shs__static_extra_headers(v->site, v->res, false);
}

/* The place among those that are sent has been taken; takes fd. */
static int send_it(struct shs_visit *v, int fd, const struct shs_archive_format *format)
{
    struct sending *sending = shs__calloc(1, sizeof *sending);
    struct shs_str name = name_of(v);
    int rc;

    if (sending == NULL) {
        atomic_fetch_sub(&v->site->archives, 1);
        close(fd);
        return SHS_NOMEM;
    }
    sending->site = v->site;
    rc = shs__archive_new(&sending->archive, format, fd, name, v->site->max_archive);
    if (rc == SHS_IO || rc == SHS_USAGE) {
        rc = shs__static_refuse(v, rc == SHS_USAGE ? ENOENT : errno);
        free_sending(sending);
        return rc;
    }
    if (rc == SHS_OK)
        rc = send_head(v, format, name);
    if (rc != SHS_OK || shs__static_is_head(v->req)) {
        free_sending(sending);
        return rc == SHS_OK ? shs_end_headers(v->res) : rc;
    }
    return shs_send_source(v->res, &source, sending);
}

int shs__static_send_archive(struct shs_visit *v, int fd, const struct shs_archive_format *format)
{
    enum shs_archive_size size = shs__archive_measure(fd, v->site->max_archive);
    int saved = errno;

    if (size == SHS_ARCHIVE_FITS && atomic_fetch_add(&v->site->archives, 1) < ARCHIVES_MAX)
        return send_it(v, fd, format);
    close(fd);
    if (size == SHS_ARCHIVE_FAILS)
        return shs__static_refuse(v, saved);
    if (size == SHS_ARCHIVE_TOO_LARGE)
        return shs_send_page(v->res, 403, "The directory is too large for one archive.");
    atomic_fetch_sub(&v->site->archives, 1);
    return shs__static_come_again(
        v->res, "Too many archives are being sent at the moment. Please try again.");
}
