/*
 * store.h - a file that appears under its name when it is complete and on the disk, or never.
 *
 * The bytes go into a file without a name (O_TMPFILE; where a file system has none, into a hidden
 * one that is removed). Then fsync(2), and only then the name: by linkat(2), which never replaces,
 * or by renameat(2), which does so at once. A power cut leaves the old file or the new one.
 */
#ifndef SHS_HANDLER_STORE_H
#define SHS_HANDLER_STORE_H

#include <sys/stat.h>

#include "base/base.h"

#define SHS_STORE_NAME_MAX 48

struct shs_store {
    int dir_fd; /* borrowed: open for reading, the directory the file is to be in */
    int fd;     /* write here; -1: none */
    char hidden[SHS_STORE_NAME_MAX]; /* "" = the file has no name */
};

/* Begins a file in a directory. SHS_OK, or SHS_IO with errno. shs__store_drop in any case. */
int shs__store_begin(struct shs_store *self, int dir_fd);

/*
 * The file is complete: gives it the name, which has no "/" in it.
 *
 *   replace  true: a file of that name is replaced at once. false: EEXIST when there is one
 *
 * SHS_OK, or SHS_IO with errno; after an error it can be tried again with another name.
 */
int shs__store_sync(struct shs_store *self);
int shs__store_publish(struct shs_store *self, const char *name, bool replace);

/* The directory's entry is on the disk as well: after the last shs__store_publish. */
int shs__store_sync_directory(int dir_fd);

/* Closes it; what was not published is gone. */
void shs__store_drop(struct shs_store *self);

#endif
