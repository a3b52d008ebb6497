#include "http/file_watch.h"

#include <unistd.h>

int shs__watch_begin(struct shs_response *res)
{
    struct shs_file_watch *watch;
    struct stat st;

    if (fstat(res->file_fd, &st) != 0 || !S_ISREG(st.st_mode))
        return SHS_OK;
    watch = shs__arena_alloc(&res->x->arena, sizeof *watch);
    if (watch == NULL)
        return SHS_NOMEM;
    shs__zero(watch, sizeof *watch);
    watch->looked_at = res->file_offset;
    shs__file_state_of(&watch->state, &st);
    res->watch = watch;
    return SHS_OK;
}

/* The end of what was read: it was there before the file was looked at, and found unchanged. */
static void take_sample(struct shs_file_watch *watch, uint64_t offset, const char *bytes,
                        size_t len)
{
    size_t size = len < SHS_WATCH_SAMPLE ? len : SHS_WATCH_SAMPLE;

    memcpy(watch->sample, bytes + len - size, size);
    watch->sample_at = offset + len - size;
    watch->sample_len = (unsigned)size;
}

/* Is what was sent of it still there? Of what was not sent yet nobody has anything. */
static bool has_sample(const struct shs_file_watch *watch, int fd)
{
    char now[SHS_WATCH_SAMPLE];

    return watch->sample_len == 0 || (pread(fd, now, watch->sample_len, (off_t)watch->sample_at) ==
                                          (ssize_t)watch->sample_len &&
                                      memcmp(now, watch->sample, watch->sample_len) == 0);
}

bool shs__watch_allows(struct shs_response *res, uint64_t offset, const char *bytes, size_t len,
                       bool last)
{
    struct shs_file_watch *watch = res->watch;
    struct shs_file_state now;

    if (watch == NULL ||
        (watch->looked && !last && offset + len - watch->looked_at < SHS_WATCH_EVERY))
        return true;
    watch->looked = true;
    watch->looked_at = offset + len;
    switch (shs__file_change(&watch->state, res->file_fd, &now)) {
    case SHS_FILE_SAME:
        take_sample(watch, offset, bytes, len);
        return true;
    case SHS_FILE_PERHAPS:
        watch->state = now;
        return has_sample(watch, res->file_fd);
    case SHS_FILE_CHANGED:
        break;
    }
    return false;
}
