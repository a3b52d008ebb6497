#include <inttypes.h>
#include <stdio.h>

#include "handler/conditional.h"
#include "handler/content_tag.h"

void shs__etag_strong(char etag[SHS_ETAG_SIZE], const char *content)
{
    snprintf(etag, SHS_ETAG_SIZE, "\"%s\"", content);
}

static uint64_t ns_of(const struct timespec *t)
{
    return (uint64_t)t->tv_sec * SHS_NS_PER_S + (uint64_t)t->tv_nsec;
}

void shs__etag_weak(char etag[SHS_ETAG_SIZE], const struct stat *st)
{
    snprintf(etag, SHS_ETAG_SIZE, "W/\"%" PRIx64 "-%" PRIx64 "-%" PRIx64 "\"",
             (uint64_t)st->st_size, ns_of(&st->st_mtim), ns_of(&st->st_ctim));
}

void shs__etag_add(char etag[SHS_ETAG_SIZE], const char *part)
{
    size_t len = strlen(etag);

    snprintf(etag + len - 1, SHS_ETAG_SIZE - (len - 1), "-%s\"", part);
}

bool shs__etag_next(struct shs_str *list, struct shs_str *tag, bool *weak)
{
    const char *at = list->ptr, *end = list->ptr + list->len, *quote;

    while (at < end && (*at == ' ' || *at == '\t' || *at == ','))
        at++;
    *weak = end - at > 2 && at[0] == 'W' && at[1] == '/';
    if (*weak)
        at += 2;
    if (at == end || *at != '"')
        return false;
    quote = memchr(at + 1, '"', (size_t)(end - at) - 1);
    if (quote == NULL)
        return false;
    *tag = (struct shs_str){at, (size_t)(quote + 1 - at)};
    *list = (struct shs_str){quote + 1, (size_t)(end - quote) - 1};
    return true;
}

bool shs__etag_in(struct shs_str list, const char *etag, bool strong)
{
    bool ours_weak = etag[0] == 'W', weak;
    struct shs_str tag, ours = shs__str(ours_weak ? etag + 2 : etag);

    if (shs__str_eq(list, SHS_STR("*")))
        return true;
    while (shs__etag_next(&list, &tag, &weak)) {
        if (!(strong && (weak || ours_weak)) && shs__str_eq(tag, ours))
            return true;
    }
    return false;
}

bool shs__etag_content_in(struct shs_str list, const char *content, bool strong)
{
    struct shs_str tag;
    bool weak;

    if (shs__str_eq(list, SHS_STR("*")))
        return true;
    while (shs__etag_next(&list, &tag, &weak)) {
        if (!(strong && weak) && tag.len >= SHS_CONTENT_TAG_LEN + 2 &&
            memcmp(tag.ptr + 1, content, SHS_CONTENT_TAG_LEN) == 0 &&
            (tag.ptr[SHS_CONTENT_TAG_LEN + 1] == '"' || tag.ptr[SHS_CONTENT_TAG_LEN + 1] == '-'))
            return true;
    }
    return false;
}
