/*
 * static_site.h - between the files that make up <shs/static_files.h>:
 *
 *   static_files.c    finding: from a path to an open file, or to what else there is to say
 *   static_answer.c   answering with an open file: preconditions, ranges, codings
 *   static_upload.c   PUT, and POST of a form
 *   static_options.c  what a site is made from
 */
#ifndef SHS_HANDLER_STATIC_SITE_H
#define SHS_HANDLER_STATIC_SITE_H

#include <pthread.h>
#include <sys/stat.h>

#include <shs/static_files.h>

#include "handler/coded_cache.h"
#include "handler/file_cache.h"
#include "handler/mime.h"
#include "handler/path.h"

struct shs_static_files {
    int root_fd;
    bool listing, spa, upload, precompressed;
    unsigned coders; /* what is compressed on the fly: a mask of SHS_CODING_BIT */
    uint64_t max_upload;
    char **index_pages;            /* NULL-terminated */
    char **extra_headers;          /* name, value, ..., NULL */
    struct shs_mime_map *types;    /* NULL: our own table only */
    struct shs_coded_cache *coded; /* NULL when nothing is compressed */
    struct shs_file_cache *kept;   /* NULL: every answer reads its file */
    pthread_mutex_t storing;       /* between the look at a file and its replacement */
    struct shs_http_handler handler;
};

/* An answer for what the file system said, errno: 404 mostly. */
int shs__static_refuse(struct shs_response *res, int sys_errno);
int shs__static_not_found(struct shs_response *res);
bool shs__static_is_head(const struct shs_request *req);
/* The extra headers; `cache_only`: those that a 304 has as well. */
int shs__static_extra_headers(const struct shs_static_files *self, struct shs_response *res,
                              bool cache_only);

/* Answers with the open regular file `fd` of that name; takes it. */
int shs__static_answer(struct shs_static_files *self, struct shs_request *req,
                       struct shs_response *res, int fd, const struct stat *st,
                       const struct shs_clean_path *path);
/* Answers with a file of that name that was kept, if there is one: SHS_OK, or < 0; 1: none. */
#define SHS_STATIC_NOT_KEPT 1
int shs__static_answer_kept(struct shs_static_files *self, struct shs_request *req,
                            struct shs_response *res, const struct shs_clean_path *path);

int shs__static_get(struct shs_request *req, struct shs_response *res);
/* The methods of a site that takes uploads. */
int shs__static_put(struct shs_request *req, struct shs_response *res);
int shs__static_post(struct shs_request *req, struct shs_response *res);

#endif
