/*
 * notify.h - what the kernel tells of changes to the files of a configuration (inotify).
 *
 * A file can become another one in many places: it is written, through any of its names; another is
 * renamed over it; a link on its path, or a directory above it, is replaced, renamed, removed and
 * made again. So every directory on a path is watched for the one name that matters in it, and the
 * file itself. What cannot be watched is said once by the keeper, whose slow look is the net below.
 */
#ifndef SHS_TLS_NOTIFY_H
#define SHS_TLS_NOTIFY_H

#include <shs/tls.h>

#include "base/base.h"

struct shs_tls_notify_entry;

struct shs_tls_notify {
    int fd; /* to wait on; -1: the kernel tells nothing */
    struct shs_tls_notify_entry *entries;
    size_t count, cap;
    bool whole;             /* there was memory for all entries */
    unsigned failed;        /* what cannot be watched, */
    int failed_errno;       /* why the first cannot be, */
    char failed_path[1024]; /* and which that is */
};

/* SHS_OK; SHS_IO with errno when the kernel gives no inotify: fd is -1, and all else is fine. */
int shs__tls_notify_open(struct shs_tls_notify *self);
/* Watches what the paths of the configuration lead to now, and nothing else any more. */
void shs__tls_notify_watch(struct shs_tls_notify *self, const struct shs_tls_config *config);
/* Takes all events: true when one of them is about those paths. */
bool shs__tls_notify_drain(struct shs_tls_notify *self);
void shs__tls_notify_close(struct shs_tls_notify *self);

#endif
