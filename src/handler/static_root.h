/*
 * static_root.h - the served directory, by its name: looked up again for each request.
 *
 * A deployment swaps a link, renames a directory or builds it again; what was opened at the start
 * is the old tree then, or an empty one. So the name is asked of the file system, once for all
 * requests that were there; a request keeps the directory that it began with to its end.
 */
#ifndef SHS_HANDLER_STATIC_ROOT_H
#define SHS_HANDLER_STATIC_ROOT_H

#include <pthread.h>
#include <stdatomic.h>
#include <sys/stat.h>

#include "base/base.h"
#include "handler/file_cache.h"

/* A directory that was found under the name. */
struct shs_open_root {
    _Atomic unsigned references;
    int fd; /* O_PATH */
    dev_t dev;
    ino_t ino;
    struct shs_file_cache *kept; /* of its files; NULL: none is kept */
};

struct shs_static_root {
    pthread_mutex_t lock;
    char *directory;           /* as it was given */
    char *absolute;            /* the same from "/" on, when it was not */
    int base_fd;               /* what a relative name is relative to: the directory of the start */
    bool keep;                 /* small files */
    bool missing;              /* it was not there at the last look */
    _Atomic int64_t looked_ns; /* when it was last looked up; written with the lock */
    int64_t found_ns;          /* and when it was found */
    struct shs_open_root *now; /* NULL: not there */
};

/*
 * Opens it for the first time. The struct is zeroed. SHS_OK, SHS_IO with errno, SHS_NOMEM;
 * shs__static_root_free in any case.
 */
int shs__static_root_init(struct shs_static_root *self, const char *directory, bool keep);
void shs__static_root_free(struct shs_static_root *self);

/*
 * The directory as it is now, or was at a moment since `since_ns` (0: only now); NULL with errno
 * when there is none. *changed: it has just gone, or come back. shs__static_root_leave gives it
 * back. Any thread.
 */
struct shs_open_root *shs__static_root_enter(struct shs_static_root *self, int64_t since_ns,
                                             bool *changed);
void shs__static_root_leave(struct shs_open_root *root);

#endif
