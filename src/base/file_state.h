/*
 * file_state.h - was a file changed while it was read?
 *
 * Who replaces a file by rename(2) changes nothing for those who have it open. Who writes into it
 * does: what is read before and behind the write are parts of two files. The file system tells by
 * size and time. It does not tell two writes within a tick of its clock (a few milliseconds) apart,
 * nor when a mapping is written to.
 */
#ifndef SHS_BASE_FILE_STATE_H
#define SHS_BASE_FILE_STATE_H

#include <sys/stat.h>

struct shs_file_state {
    off_t size;
    struct timespec mtime, ctime;
};

void shs__file_state_of(struct shs_file_state *state, const struct stat *st);

enum shs_file_change {
    SHS_FILE_SAME,
    SHS_FILE_PERHAPS, /* It is longer: a log, most likely. Or only its entry was touched: renamed,
                         unlinked, another mode; or written to, and its time put back */
    SHS_FILE_CHANGED  /* written to, shorter, or nobody can tell */
};

/* What has become of it since `then`; *now (may be NULL) is how it is. */
enum shs_file_change shs__file_change(const struct shs_file_state *then, int fd,
                                      struct shs_file_state *now);

#endif
