/*
 * throwaway.h - temporary files and directories that outlive nobody for long.
 *
 * A process that is killed leaves behind what it would have removed. So whoever makes a throw-away
 * holds a lock on it (flock) for as long as it is in use, which the kernel takes back when the
 * process ends, however it ends; and first removes those in the same directory that nobody holds:
 * ours by name, owner and mode, never through a symbolic link. A file system without such locks
 * keeps what was left.
 */
#ifndef SHS_CERTS_THROWAWAY_H
#define SHS_CERTS_THROWAWAY_H

#include <sys/types.h>

#include "base/base.h"

struct shs__throwaway {
    char *path;  /* NULL: there is none; so is one of zeros */
    int fd;      /* holds the lock */
    pid_t maker; /* the process that made it: a child which was forked leaves it alone */
};

/* A directory (0700), or an open file (0600), PLACE/KIND-xxxxxx; `place` NULL is /tmp, the file has
   SUFFIX (or "") at its end. KIND is one of those in throwaway.c. SHS_IO or SHS_NOMEM with *err. */
int shs__throwaway_dir(struct shs__throwaway *out, const char *place, const char *kind,
                       struct shs_error *err);
int shs__throwaway_file(struct shs__throwaway *out, const char *place, const char *kind,
                        const char *suffix, struct shs_error *err);

/* Was it made, and by this process? */
bool shs__throwaway_is_ours(const struct shs__throwaway *self);

/* Removes it, with all that is in it, and lets go; in a forked child it lets go only, for the
   process that made it still uses it. One that is none is fine. */
void shs__throwaway_remove(struct shs__throwaway *self);

#endif
