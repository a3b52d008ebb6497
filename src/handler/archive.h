/*
 * archive.h - a directory as one file, made while it is sent: tar (pax) or zip (deflate).
 *
 * Regular files and directories, as they are served: no hidden names, no links, nothing that cannot
 * be opened for want of permission. What goes wrong in the middle breaks the archive off, so that
 * nobody takes it for whole. Bounded: in entries, in depth, and in bytes.
 *
 *   archive.c       the walk, and the files' bytes
 *   archive_tar.c   POSIX.1-2001 pax interchange format
 *   archive_zip.c   APPNOTE.TXT 6.3.3: deflate, data descriptors, zip64 where it is needed, UTF-8
 */
#ifndef SHS_HANDLER_ARCHIVE_H
#define SHS_HANDLER_ARCHIVE_H

#include <dirent.h>
#include <sys/stat.h>

#include "base/base.h"
#include "base/file_state.h"

#define SHS_ARCHIVE_DEPTH 32u
#define SHS_ARCHIVE_ENTRIES 100000u
#define SHS_ARCHIVE_PATH 4096u
/* What is read of a file at a time; what a format has not given away yet is little more. */
#define SHS_ARCHIVE_PIECE ((size_t)32768)

struct shs_archive;
struct shs_zip;

/* One file or directory on its way. */
struct shs_archive_entry {
    struct shs_str name; /* "docs/a.txt", "docs/sub/" */
    const struct stat *st;
    bool directory, compressible;
};

/* A format: appends to self->out. Each SHS_OK or < 0. */
struct shs_archive_format {
    const char *suffix, *type;
    int (*begin)(struct shs_archive *self);
    int (*entry)(struct shs_archive *self, const struct shs_archive_entry *entry);
    int (*data)(struct shs_archive *self, const char *bytes, size_t len);
    int (*end_entry)(struct shs_archive *self); /* of a file */
    int (*end)(struct shs_archive *self);
    void (*free)(struct shs_archive *self);
};

extern const struct shs_archive_format shs__archive_tar;
extern const struct shs_archive_format shs__archive_zip; /* begin fails: not in this build */

struct shs_archive {
    const struct shs_archive_format *format;
    struct shs_buf out;  /* made and not given away */
    uint64_t given;      /* bytes before those */
    uint64_t left_bytes; /* of files that may still come */
    unsigned left_entries;
    DIR *levels[SHS_ARCHIVE_DEPTH];
    size_t lengths[SHS_ARCHIVE_DEPTH]; /* of the path of each, with its "/" */
    unsigned depth;
    char path[SHS_ARCHIVE_PATH];
    size_t path_len;
    int fd;                      /* the file that is read; -1: none */
    struct shs_file_state state; /* of it, when its head was made */
    uint64_t file_size, file_left;
    bool ended;
    struct shs_zip *zip;
};

/* What a directory is, before a byte of it is sent. */
enum shs_archive_size { SHS_ARCHIVE_FITS, SHS_ARCHIVE_TOO_LARGE, SHS_ARCHIVE_FAILS /* errno */ };

/* Looks whether the directory `fd` (borrowed) is within the bounds. */
enum shs_archive_size shs__archive_measure(int fd, uint64_t max_bytes);

/*
 * Begins with the directory `fd`, which is taken; its entries are below "name/". SHS_OK, SHS_NOMEM,
 * SHS_IO with errno, SHS_USAGE when the format is not in this build.
 */
int shs__archive_new(struct shs_archive **out, const struct shs_archive_format *format, int fd,
                     struct shs_str name, uint64_t max_bytes);
void shs__archive_free(struct shs_archive *self); /* NULL is fine */

/* The next bytes; *got 0 at the end. SHS_OK, or < 0: it is not whole. As struct shs_source. */
int shs__archive_read(struct shs_archive *self, void *buf, size_t cap, size_t *got);

#endif
