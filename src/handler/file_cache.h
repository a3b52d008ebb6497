/*
 * file_cache.h - small files that were served, kept for the next request.
 *
 * Opening, reading and closing a small file costs more than all that HTTP and TLS do with it. What
 * is kept is only used when the file under that name is still the same one in the same state, which
 * is asked of the file system: identity, size, and both times to the nanosecond. What it said
 * holds for every request that was here before it was asked, so that many that came at once ask
 * once; whoever changes a file and then asks for it gets the new one.
 * A file that was changed within the last second is not kept: its next change might have the same
 * time.
 *
 * Bounded: SHS_FILE_CACHE_ENTRIES files of at most SHS_FILE_CACHE_MAX bytes.
 */
#ifndef SHS_HANDLER_FILE_CACHE_H
#define SHS_HANDLER_FILE_CACHE_H

#include <stdatomic.h>
#include <sys/stat.h>

#include <shs/text.h>

#include "base/base.h"
#include "handler/conditional.h"
#include "handler/content_tag.h"

#define SHS_FILE_CACHE_ENTRIES 1024u
#define SHS_FILE_CACHE_MAX ((size_t)16384)

/* A file as it was; nobody changes it, but for the two counters. */
struct shs_kept_file {
    _Atomic unsigned references;
    _Atomic int64_t looked_ns; /* when the file system was last asked, and it was still this */
    struct stat st;
    char content[SHS_CONTENT_TAG_LEN + 1]; /* "": not known */
    char etag[SHS_ETAG_SIZE];
    char modified[SHS_HTTP_DATE_LEN + 1];
    size_t size;
    const char *data;
    size_t name_len;
    char name[];
};

struct shs_file_cache;

int shs__file_cache_new(struct shs_file_cache **out);   /* SHS_OK, SHS_NOMEM */
void shs__file_cache_free(struct shs_file_cache *self); /* NULL is fine */

/*
 * The file of that name beneath the directory, if it is here and has not changed since `since_ns`,
 * a moment of shs_now_ns at which it had been asked for already (0: only now): to be given back
 * with shs__file_cache_release. Otherwise NULL. `self` may be NULL. Any thread.
 */
struct shs_kept_file *shs__file_cache_get(struct shs_file_cache *self, int root_fd,
                                          struct shs_str name, int64_t since_ns);
void shs__file_cache_release(struct shs_kept_file *file);

/*
 * A file of these bytes, which are all of it, read after its state was *st; not kept yet. To be
 * given back with shs__file_cache_release. NULL: no memory.
 */
struct shs_kept_file *shs__file_cache_make(struct shs_str name, const struct stat *st,
                                           const char *data, size_t size);
/* Keeps it, if that is wise. `self` may be NULL. */
void shs__file_cache_keep(struct shs_file_cache *self, struct shs_kept_file *file);
/* Both. */
void shs__file_cache_put(struct shs_file_cache *self, struct shs_str name, const struct stat *st,
                         const char *data, size_t size);

#endif
