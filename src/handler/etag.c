#include "handler/conditional.h"

#include <inttypes.h>
#include <stdio.h>

void shs__etag_format(char etag[SHS_ETAG_SIZE], const struct stat *st)
{
    uint64_t modified = (uint64_t)st->st_mtim.tv_sec * SHS_NS_PER_S + (uint64_t)st->st_mtim.tv_nsec;

    snprintf(etag, SHS_ETAG_SIZE, "\"%" PRIx64 "-%" PRIx64 "-%" PRIx64 "\"", modified,
             (uint64_t)st->st_size, (uint64_t)st->st_ino);
}

bool shs__etag_in(struct shs_str list, const char *etag, bool strong)
{
    const char *at = list.ptr, *end = list.ptr + list.len, *quote;
    size_t len = strlen(etag);
    bool weak;

    if (shs__str_eq(list, SHS_STR("*")))
        return true;
    while (at < end) {
        if (*at == ' ' || *at == '\t' || *at == ',') {
            at++;
            continue;
        }
        weak = end - at > 2 && at[0] == 'W' && at[1] == '/';
        if (weak)
            at += 2;
        if (*at != '"')
            return false;
        quote = memchr(at + 1, '"', (size_t)(end - at) - 1);
        if (quote == NULL)
            return false;
        if (!(weak && strong) && (size_t)(quote + 1 - at) == len && memcmp(at, etag, len) == 0)
            return true;
        at = quote + 1;
    }
    return false;
}
