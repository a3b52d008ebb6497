#include "cmd/serve_site.h"

#include "cmd/cmd.h"

static int make_files(struct serve_site *self, const struct serve_site_options *o,
                      const char *directory, const char *const *headers, struct shs_error *err)
{
    struct shs_static_options opt;
    int rc;

    shs_static_options_init(&opt);
    opt.directory = directory;
    opt.extra_headers = headers;
    opt.index_pages = o->index.count > 0 ? o->index.items : NULL;
    opt.listing = !o->no_listing;
    opt.spa = o->spa;
    opt.compress = !o->no_compress;
    opt.archive = o->archive;
    opt.upload = o->upload;
    opt.write_origins = o->write_origins.items;
    opt.own_origins = o->own_origins.items;
    if (o->max_upload > 0)
        opt.max_upload = o->max_upload;
    rc = shs_static_files_new(&self->files, &opt, err);
    if (rc == SHS_OK)
        self->handler = *shs_static_files_handler(self->files);
    return rc;
}

/* Behind authentication, so that a user has his name when the rules ask for it. */
static int make_access(struct serve_site *self, const struct serve_site_options *o,
                       struct shs_error *err)
{
    const struct shs_middleware *chain[2] = {NULL, NULL};
    int rc = shs_access_new(&self->access, o->access, err);

    if (rc != SHS_OK)
        return rc;
    chain[0] = shs_access_middleware(self->access);
    rc = shs_chain_new(&self->guarded, chain, &self->handler, err);
    if (rc == SHS_OK)
        self->handler = *shs_chain_handler(self->guarded);
    return rc;
}

/* Who may write may read, also where nobody else may. */
static int make_cors(struct serve_site *self, const struct serve_site_options *o,
                     struct shs_error *err)
{
    const char *readers = o->cors != NULL ? o->cors : o->write_origins.items[0];
    int rc = shs_cors_new(&self->cors, &self->handler, readers, err);

    if (rc == SHS_OK)
        rc = shs_cors_set_writers(self->cors, o->write_origins.items, err);
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
    if (rc == SHS_OK && o->access != NULL)
        rc = make_access(self, o, &err);
    if (rc == SHS_OK && o->auth_file != NULL) {
        rc = shs_basic_auth_new(&self->auth, &self->handler, o->auth_file, "shs", &err);
        if (rc == SHS_OK)
            self->handler = *shs_basic_auth_handler(self->auth);
    }
    if (rc == SHS_OK && (o->cors != NULL || o->write_origins.count > 0))
        rc = make_cors(self, o, &err);
    if (rc != SHS_OK)
        return cmd_fail(rc == SHS_USAGE ? CMD_USAGE : CMD_FAILED, "%s", err.text);
    return CMD_OK;
}

void serve_site_free(struct serve_site *self)
{
    shs_cors_free(self->cors);
    shs_basic_auth_free(self->auth);
    shs_chain_free(self->guarded);
    shs_access_free(self->access);
    shs_static_files_free(self->files);
}
