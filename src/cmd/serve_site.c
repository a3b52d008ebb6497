#include "cmd/serve_site.h"

#include "cmd/cmd.h"
#include "cmd/serve_limits.h"

enum {
    SITE_INDEX = SERVE_SITE_FIRST,
    SITE_NO_LISTING,
    SITE_SPA,
    SITE_NO_COMPRESS,
    SITE_CORS,
    SITE_CORS_WRITE,
    SITE_PUBLIC_ORIGIN,
    SITE_ARCHIVE,
    SITE_UPLOAD,
    SITE_MAX_UPLOAD,
    SITE_AUTH_FILE
};

const struct option serve_site_flags[] = {
    {"index", required_argument, NULL, SITE_INDEX},
    {"no-listing", no_argument, NULL, SITE_NO_LISTING},
    {"spa", no_argument, NULL, SITE_SPA},
    {"no-compress", no_argument, NULL, SITE_NO_COMPRESS},
    {"cors", optional_argument, NULL, SITE_CORS},
    {"cors-write", required_argument, NULL, SITE_CORS_WRITE},
    {"public-origin", required_argument, NULL, SITE_PUBLIC_ORIGIN},
    {"archive", no_argument, NULL, SITE_ARCHIVE},
    {"upload", no_argument, NULL, SITE_UPLOAD},
    {"max-upload", required_argument, NULL, SITE_MAX_UPLOAD},
    {"auth-file", required_argument, NULL, SITE_AUTH_FILE},
    {NULL, 0, NULL, 0},
};

static int add_origin(const char *option, const char **list, size_t *count, const char *value)
{
    if (*count == SERVE_ORIGINS_MAX)
        return cmd_fail(CMD_USAGE, "more than %d times %s", SERVE_ORIGINS_MAX, option);
    list[(*count)++] = value;
    return CMD_OK;
}

int serve_site_parse(struct serve_site_options *self, int option, const char *value)
{
    if (option != SITE_CORS && option != SITE_AUTH_FILE)
        self->given = true;
    switch (option) {
    case SITE_INDEX:
        if (self->index_count == SERVE_INDEX_MAX)
            return cmd_fail(CMD_USAGE, "more than %d index pages", SERVE_INDEX_MAX);
        if (value[0] == '\0' || strchr(value, '/') != NULL)
            return cmd_fail(
                CMD_USAGE, "--index, --no-listing, --spa, --no-compress, --archive, --upload, "
                           "--max-upload, --cors-write and --public-origin go with --handler files "
                           "only");
        self->index[self->index_count++] = value;
        return CMD_OK;
    case SITE_NO_LISTING:
        self->no_listing = true;
        return CMD_OK;
    case SITE_SPA:
        self->spa = true;
        return CMD_OK;
    case SITE_NO_COMPRESS:
        self->no_compress = true;
        return CMD_OK;
    case SITE_CORS:
        self->cors = value == NULL ? "*" : value;
        return CMD_OK;
    case SITE_CORS_WRITE:
        return add_origin("--cors-write", self->write_origins, &self->write_count, value);
    case SITE_PUBLIC_ORIGIN:
        return add_origin("--public-origin", self->own_origins, &self->own_count, value);
    case SITE_ARCHIVE:
        self->archive = true;
        return CMD_OK;
    case SITE_UPLOAD:
        self->upload = true;
        return CMD_OK;
    case SITE_MAX_UPLOAD:
        if (!serve_parse_bytes(value, 1, (uint64_t)1 << 50, &self->max_upload))
            return cmd_fail(CMD_USAGE,
                            "--max-upload '%s' is not a number of bytes (k, m and g may be used)",
                            value);
        self->has_max_upload = true;
        return CMD_OK;
    default:
        self->auth_file = value;
        return CMD_OK;
    }
}

int serve_site_check(const struct serve_site_options *self, bool files)
{
    if (self->given && !files)
        return cmd_fail(CMD_USAGE, "--index, --no-listing, --spa, --no-compress, "
                                   "--upload, --max-upload, --cors-write and --public-origin go "
                                   "with --handler files only");
    if (self->has_max_upload && !self->upload)
        return cmd_fail(CMD_USAGE, "--max-upload goes with --upload only");
    if ((self->write_count > 0 || self->own_count > 0) && !self->upload)
        return cmd_fail(CMD_USAGE, "%s goes with --upload only",
                        self->write_count > 0 ? "--cors-write" : "--public-origin");
    return CMD_OK;
}

static int make_files(struct serve_site *self, const struct serve_site_options *o,
                      const char *directory, const char *const *headers, struct shs_error *err)
{
    struct shs_static_options opt;
    int rc;

    shs_static_options_init(&opt);
    opt.directory = directory;
    opt.extra_headers = headers;
    opt.index_pages = o->index_count > 0 ? o->index : NULL;
    opt.listing = !o->no_listing;
    opt.spa = o->spa;
    opt.compress = !o->no_compress;
    opt.archive = o->archive;
    opt.upload = o->upload;
    opt.write_origins = o->write_origins;
    opt.own_origins = o->own_origins;
    if (o->has_max_upload)
        opt.max_upload = o->max_upload;
    rc = shs_static_files_new(&self->files, &opt, err);
    if (rc == SHS_OK)
        self->handler = *shs_static_files_handler(self->files);
    return rc;
}

/* Who may write may read, also where nobody else may. */
static int make_cors(struct serve_site *self, const struct serve_site_options *o,
                     struct shs_error *err)
{
    const char *readers = o->cors != NULL ? o->cors : o->write_origins[0];
    int rc = shs_cors_new(&self->cors, &self->handler, readers, err);

    if (rc == SHS_OK)
        rc = shs_cors_set_writers(self->cors, o->write_origins, err);
    if (rc == SHS_OK)
        self->handler = *shs_cors_handler(self->cors);
    return rc;
}

int serve_site_make(struct serve_site *self, const struct serve_site_options *o,
                    const struct shs_http_handler *inner, const char *directory,
                    const char *const *headers)
{
    struct shs_error err = {.code = SHS_OK};
    int rc = SHS_OK;

    if (inner != NULL)
        self->handler = *inner;
    else
        rc = make_files(self, o, directory, headers, &err);
    if (rc == SHS_OK && o->auth_file != NULL) {
        rc = shs_basic_auth_new(&self->auth, &self->handler, o->auth_file, "shs", &err);
        if (rc == SHS_OK)
            self->handler = *shs_basic_auth_handler(self->auth);
    }
    if (rc == SHS_OK && (o->cors != NULL || o->write_count > 0))
        rc = make_cors(self, o, &err);
    if (rc != SHS_OK)
        return cmd_fail(rc == SHS_USAGE ? CMD_USAGE : CMD_FAILED, "%s", err.text);
    return CMD_OK;
}

void serve_site_free(struct serve_site *self)
{
    shs_cors_free(self->cors);
    shs_basic_auth_free(self->auth);
    shs_static_files_free(self->files);
}
