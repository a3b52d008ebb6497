#include "base/base.h"

#include <stdalign.h>

/* The first is small: most requests need little, and malloc has such sizes at hand. */
#define ARENA_FIRST 1024u
#define ARENA_CHUNK 4096u
#define ARENA_ALIGN alignof(max_align_t)

struct shs_arena_chunk {
    struct shs_arena_chunk *next;
    size_t used, cap;
    max_align_t data[];
};

void shs__arena_init(struct shs_arena *a, size_t ceiling)
{
    a->chunks = NULL;
    a->used = 0;
    a->ceiling = ceiling;
}

void *shs__arena_alloc(struct shs_arena *a, size_t size)
{
    struct shs_arena_chunk *chunk = a->chunks;
    void *ptr;

    if (size > a->ceiling)
        return NULL;
    size = (size + ARENA_ALIGN - 1) / ARENA_ALIGN * ARENA_ALIGN;
    if (size > a->ceiling - a->used)
        return NULL;
    if (chunk == NULL || chunk->cap - chunk->used < size) {
        size_t cap = (chunk == NULL ? ARENA_FIRST : ARENA_CHUNK) - sizeof *chunk;

        if (cap < size)
            cap = size;
        chunk = shs__malloc(sizeof *chunk + cap);
        if (chunk == NULL)
            return NULL;
        chunk->next = a->chunks;
        chunk->used = 0;
        chunk->cap = cap;
        a->chunks = chunk;
    }
    ptr = (char *)chunk->data + chunk->used;
    chunk->used += size;
    a->used += size;
    return ptr;
}

struct shs_str shs__arena_copy(struct shs_arena *a, struct shs_str s)
{
    struct shs_str copy = {NULL, 0};
    char *bytes = shs__arena_alloc(a, s.len + 1);

    if (bytes == NULL)
        return copy;
    if (s.len > 0)
        memcpy(bytes, s.ptr, s.len);
    bytes[s.len] = '\0'; /* so that a copy may also be used as a C string */
    copy.ptr = bytes;
    copy.len = s.len;
    return copy;
}

void shs__arena_free(struct shs_arena *a)
{
    while (a->chunks != NULL) {
        struct shs_arena_chunk *next = a->chunks->next;

        shs__free(a->chunks);
        a->chunks = next;
    }
    a->used = 0;
}
