/*
 * static_site.h - between the files that make up <shs/static_files.h>:
 *
 *   static_files.c    finding: from a path to an open file, or to what else there is to say
 *   static_answer.c   answering with an open file: which representation, under which conditions
 *   static_ranges.c   and which parts of it
 *   static_pages.c    pages of our own: listings, and the way back from what is not there
 *   static_archive.c  a directory in one file
 *   static_upload.c   PUT of a file
 *   static_form.c     POST of a form's files
 *   static_write.c    who may write, and what both have in common
 *   static_options.c  what a site is made from
 */
#ifndef SHS_HANDLER_STATIC_SITE_H
#define SHS_HANDLER_STATIC_SITE_H

#include <pthread.h>
#include <stdatomic.h>
#include <sys/stat.h>

#include <shs/static_files.h>
#include <shs/text.h>

#include "base/file_state.h"
#include "handler/coded_cache.h"
#include "handler/coding.h"
#include "handler/conditional.h"
#include "handler/content_tag.h"
#include "handler/file_cache.h"
#include "handler/mime.h"
#include "handler/path.h"
#include "handler/static_root.h"

struct shs_static_files {
    struct shs_static_root root;
    bool listing, spa, upload, precompressed, archive;
    unsigned coders; /* what is compressed on the fly: a mask of SHS_CODING_BIT */
    uint64_t max_upload, max_archive;
    _Atomic unsigned archives;     /* that are being sent */
    char **index_pages;            /* NULL-terminated */
    char **extra_headers;          /* name, value, ..., NULL */
    char **own_origins;            /* of this server, as browsers name it */
    char **write_origins;          /* others, whose pages may write here; "*": all */
    struct shs_mime_map *types;    /* NULL: our own table only */
    struct shs_coded_cache *coded; /* what was compressed */
    struct shs_content_tags *tags; /* what the contents of files are called */
    pthread_mutex_t storing;       /* between the look at a file and its replacement */
    struct shs_http_handler handler;
};

/* One request. */
struct shs_visit {
    struct shs_static_files *site;
    struct shs_open_root *root; /* the served directory as it was when the request came */
    struct shs_request *req;
    struct shs_response *res;
    struct shs_clean_path path;
};

/* What is sent, and what is said of it. */
struct shs_representation {
    int fd; /* -1: it is not open, because `kept` has all of it */
    const struct shs_kept_file *kept;
    struct shs_file_state state; /* of the file in fd, when it was chosen */
    uint64_t size;
    int64_t mtime;
    const char *type;
    enum shs_coding coding;
    bool to_compress; /* fd has the file as it is; the coding is still to be made */
    bool made;        /* it was made, and fd has it: nobody else writes there */
    bool varies;      /* by Accept-Encoding */
    bool refused;     /* the client takes no representation that there is */
    bool must_code;   /* and not the file as it is */
    bool taken;       /* fd belongs to the answer */
    char content[SHS_CONTENT_TAG_LEN + 1]; /* of the file as it is; "": not known */
    char etag[SHS_ETAG_SIZE];
    char plain_etag[SHS_ETAG_SIZE]; /* of the file as it is */
    char weak[SHS_ETAG_SIZE];
    char modified[SHS_HTTP_DATE_LEN + 1];
};

/* An answer for what the file system said, errno: 404 mostly. */
int shs__static_refuse(struct shs_visit *v, int sys_errno);
int shs__static_not_found(struct shs_visit *v);
int shs__static_come_again(struct shs_response *res, const char *why); /* 503, Retry-After */
/* 503 for a file that somebody writes to just now. */
int shs__static_in_motion(struct shs_response *res);
bool shs__static_is_head(const struct shs_request *req);
bool shs__static_wants_page(const struct shs_request *req); /* a person in front of a browser */
/* The extra headers; `cache_only`: those that a 304 has as well. */
int shs__static_extra_headers(const struct shs_static_files *self, struct shs_response *res,
                              bool cache_only);
/* Takes the request's directory. False: there is none, and it has been answered with *rc. */
bool shs__static_enter(struct shs_visit *v, int *rc);
void shs__static_leave(struct shs_visit *v);
/* A line of the server's log, where there is a server. */
void shs__static_log(struct shs_visit *v, const char *fmt, ...) SHS_PRINTF(2, 3);

/* Answers with the open regular file `fd` of that name; takes it. */
int shs__static_answer(struct shs_visit *v, int fd, const struct stat *st);
/* Answers with a file of that name that was kept, if there is one: SHS_OK, or < 0; 1: none. */
#define SHS_STATIC_NOT_KEPT 1
int shs__static_answer_kept(struct shs_visit *v);

/* static_answer.c for static_ranges.c */
int shs__static_begin_content(const struct shs_visit *v, const struct shs_representation *r,
                              int status, const char *type);
int shs__static_send_bytes(const struct shs_visit *v, struct shs_representation *r, uint64_t first,
                           uint64_t length);
int shs__static_read_at(const struct shs_representation *r, uint64_t offset, char *data,
                        size_t want, size_t *got);
/* What was said of the file is not true of bytes that were read of it. */
bool shs__static_was_overwritten(const struct shs_representation *r);
/* Answers with the parts that Range asks for: SHS_OK, or < 0; 1: with the whole file, please. */
#define SHS_STATIC_WHOLE 1
int shs__static_send_ranges(struct shs_visit *v, struct shs_representation *r);
/* Asks the request for more than one range? */
bool shs__static_many_ranges(const struct shs_request *req);

/* What Accept-Encoding says; false: nothing. */
bool shs__static_wishes(const struct shs_request *req, struct shs_coding_wishes *wishes);
/* Answers with the page, compressed if the client likes and a worker is free. Its bytes may be
   taken. */
int shs__static_send_page(struct shs_visit *v, int status, const char *type, struct shs_buf *page);
/* Lists the open directory `fd`; takes it. */
int shs__static_send_listing(struct shs_visit *v, int fd);

/* What the request wants of a directory in one file; NULL: nothing of the kind. */
struct shs_archive_format;
const struct shs_archive_format *shs__static_wants_archive(const struct shs_visit *v);
/* Sends the open directory `fd` so; takes it. */
int shs__static_send_archive(struct shs_visit *v, int fd, const struct shs_archive_format *format);

int shs__static_get(struct shs_request *req, struct shs_response *res);
/* The methods of a site that takes uploads. */
int shs__static_put(struct shs_request *req, struct shs_response *res);
int shs__static_post(struct shs_request *req, struct shs_response *res);

#endif
