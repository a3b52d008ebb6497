/*
 * store.h - a file that appears under its name when it is complete and on the disk, or never.
 *
 * The bytes go into a file without a name (O_TMPFILE). Then fsync(2), and only then the name: by
 * linkat(2), which never replaces, or by renameat(2), which does so at once. A power cut leaves the
 * old file or the new one.
 *
 * Not every file system has all of that, and NFS, CIFS and FUSE are file systems too. Without
 * O_TMPFILE, or without /proc to link it by, the file has a hidden name from the start; without
 * RENAME_NOREPLACE it is linked, and without links its name is reserved first, empty, by O_EXCL.
 * A hidden name that is left behind by a process that was killed is swept: whoever still writes
 * holds a lock (flock) on it.
 */
#ifndef SHS_HANDLER_STORE_H
#define SHS_HANDLER_STORE_H

#include <sys/stat.h>

#include "base/base.h"

#define SHS_STORE_NAME_MAX 48

struct shs_store {
    int dir_fd;   /* borrowed: open for reading, the directory the file is to be in */
    int fd;       /* write here; -1: none */
    int unsynced; /* errno of an fsync that the file system does not have; 0: it is on the disk */
    char hidden[SHS_STORE_NAME_MAX]; /* "" = the file has no name */
};

/* Begins a file in a directory. SHS_OK, or SHS_IO with errno. shs__store_drop in any case. */
int shs__store_begin(struct shs_store *self, int dir_fd);

/* The owner and the mode of the file that this one replaces, as far as that is permitted. */
void shs__store_resemble(struct shs_store *self, const struct stat *st);

/*
 * The file is complete: brings it to the disk, and gives it the name, which has no "/" in it.
 *
 *   replace  true: a file of that name is replaced at once. false: EEXIST when there is one
 *
 * SHS_OK, or SHS_IO with errno; after an error it can be tried again with another name.
 */
int shs__store_sync(struct shs_store *self);
int shs__store_publish(struct shs_store *self, const char *name, bool replace);

/*
 * The directory's entry is on the disk as well: after the last shs__store_publish. SHS_IO with
 * errno when that cannot be had; the file is there all the same.
 */
int shs__store_sync_directory(int dir_fd);

/* Closes it; what was not published is gone. */
void shs__store_drop(struct shs_store *self);

/*
 * Removes what killed processes left, in the directory and those below it, within bounds. Takes
 * nothing that somebody still writes. Returns how many files went.
 */
size_t shs__store_sweep(int dir_fd);

#endif
