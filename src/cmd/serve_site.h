/*
 * serve_site.h - the flags of `shs serve` that say what is served and what stands in front of it,
 * and the handler that comes of them.
 */
#ifndef SHS_CMD_SERVE_SITE_H
#define SHS_CMD_SERVE_SITE_H

#include <getopt.h>

#include <shs/middleware.h>
#include <shs/static_files.h>

#include "base/base.h"

#define SERVE_INDEX_MAX 16
#define SERVE_ORIGINS_MAX 16
/* What getopt gives for the flags of this table: the first one. */
#define SERVE_SITE_FIRST 2048

struct serve_site_options {
    const char *index[SERVE_INDEX_MAX + 1]; /* NULL-terminated; none = the usual names */
    size_t index_count;
    const char *cors; /* NULL: none */
    const char *write_origins[SERVE_ORIGINS_MAX + 1], *own_origins[SERVE_ORIGINS_MAX + 1];
    size_t write_count, own_count;
    const char *auth_file;
    bool spa, no_listing, no_compress, upload, archive, given; /* `given`: a flag for files only */
    bool has_max_upload;
    uint64_t max_upload;
};

extern const struct option serve_site_flags[]; /* ended by a NULL name */

/* One of these flags: CMD_OK, or CMD_USAGE and it has been said. */
int serve_site_parse(struct serve_site_options *self, int option, const char *value);
/* What does not go together. */
int serve_site_check(const struct serve_site_options *self, bool files);

/* The handlers, from the inside to the outside. */
struct serve_site {
    struct shs_static_files *files;
    struct shs_basic_auth *auth;
    struct shs_cors *cors;
    struct shs_http_handler handler; /* the outermost */
};

/*
 * Makes them.
 *
 *   inner    NULL: the files of `directory`
 *   headers  name, value, ..., NULL, for the files
 */
int serve_site_make(struct serve_site *self, const struct serve_site_options *o,
                    const struct shs_http_handler *inner, const char *directory,
                    const char *const *headers);
void serve_site_free(struct serve_site *self);

#endif
