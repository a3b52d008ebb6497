#include "base/file_state.h"

#include <stdbool.h>
#include <stddef.h>

void shs__file_state_of(struct shs_file_state *state, const struct stat *st)
{
    state->size = st->st_size;
    state->mtime = st->st_mtim;
    state->ctime = st->st_ctim;
}

static bool same_time(const struct timespec *a, const struct timespec *b)
{
    return a->tv_sec == b->tv_sec && a->tv_nsec == b->tv_nsec;
}

enum shs_file_change shs__file_change(const struct shs_file_state *then, int fd,
                                      struct shs_file_state *now)
{
    struct shs_file_state state;
    struct stat st;

    if (fstat(fd, &st) != 0)
        return SHS_FILE_CHANGED;
    shs__file_state_of(&state, &st);
    if (now != NULL)
        *now = state;
    if (state.size > then->size)
        return SHS_FILE_PERHAPS;
    if (state.size < then->size || !same_time(&state.mtime, &then->mtime))
        return SHS_FILE_CHANGED;
    return same_time(&state.ctime, &then->ctime) ? SHS_FILE_SAME : SHS_FILE_PERHAPS;
}
