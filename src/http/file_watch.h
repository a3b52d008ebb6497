/*
 * file_watch.h - a file that is the body of an answer, and must be the same one to its end.
 *
 * An answer takes as long as its reader does. A file that is overwritten meanwhile would leave as
 * the beginning of the old and the end of the new, under a length and a tag that say nothing of it:
 * such an answer is broken off instead. A file that only grows goes on being sent, as long as what
 * was sent of it is still there.
 */
#ifndef SHS_FILE_WATCH_H
#define SHS_FILE_WATCH_H

#include "base/file_state.h"
#include "http/exchange.h"

/* How many bytes leave between two looks at the file; there is always one before the last leave. */
#define SHS_WATCH_EVERY ((uint64_t)1 << 20)
#define SHS_WATCH_SAMPLE 256u

struct shs_file_watch {
    struct shs_file_state state;
    bool looked;         /* at least once */
    uint64_t looked_at;  /* offset in the file that had been read then */
    uint64_t sample_at;  /* some bytes that were read of it before it changed ... */
    unsigned sample_len; /* 0: none yet */
    char sample[SHS_WATCH_SAMPLE];
};

/*
 * Before the first byte of res->file_fd is read. SHS_OK, SHS_NOMEM. What is not a file is let be.
 */
int shs__watch_begin(struct shs_response *res);

/*
 * These bytes were read of it at `offset`, and are to leave; `last`: there will be no more. False:
 * it is not the file any more that it was.
 */
bool shs__watch_allows(struct shs_response *res, uint64_t offset, const char *bytes, size_t len,
                       bool last);

#endif
