#include "handler/br_arena.h"

#include <stddef.h>
#include <stdint.h>

#define ALIGN _Alignof(max_align_t)

struct shs_br_block {
    size_t size; /* of the bytes behind it */
    struct shs_br_block *previous;
    bool taken;
};

/* A block's own place, a multiple of the alignment. */
#define HEAD ((sizeof(struct shs_br_block) + ALIGN - 1) / ALIGN * ALIGN)

struct shs_br_arena *shs__br_arena_new(size_t size)
{
    size_t own = (sizeof(struct shs_br_arena) + ALIGN - 1) / ALIGN * ALIGN;
    char *memory = shs__malloc(own + size);
    struct shs_br_arena *self = (struct shs_br_arena *)(void *)memory;

    if (self == NULL)
        return NULL;
    self->size = size;
    self->used = 0;
    self->peak = 0;
    self->first = (struct shs_br_block *)(void *)(memory + own);
    *self->first = (struct shs_br_block){.size = size - HEAD};
    return self;
}

void shs__br_arena_free(struct shs_br_arena *self)
{
    shs__free(self);
}

/* The block behind this one; NULL at the end of the arena. */
static struct shs_br_block *next(const struct shs_br_arena *self, struct shs_br_block *block)
{
    char *at = (char *)block + HEAD + block->size, *end = (char *)self->first + self->size;

    return at >= end ? NULL : (struct shs_br_block *)(void *)at;
}

/* Cuts what is not needed from a free block. */
static void split(struct shs_br_arena *self, struct shs_br_block *block, size_t size)
{
    struct shs_br_block *rest, *after;

    if (block->size < size + HEAD + ALIGN)
        return;
    after = next(self, block);
    rest = (struct shs_br_block *)(void *)((char *)block + HEAD + size);
    *rest = (struct shs_br_block){.size = block->size - size - HEAD, .previous = block};
    if (after != NULL)
        after->previous = rest;
    block->size = size;
}

void *shs__br_alloc(void *arena, size_t size)
{
    struct shs_br_arena *self = arena;
    struct shs_br_block *block = self->first;

    if (size > self->size)
        longjmp(self->exhausted, 1);
    size = size == 0 ? ALIGN : (size + ALIGN - 1) / ALIGN * ALIGN;
    while (block != NULL && (block->taken || block->size < size))
        block = next(self, block);
    if (block == NULL)
        longjmp(self->exhausted, 1);
    split(self, block, size);
    block->taken = true;
    self->used += block->size + HEAD;
    if (self->used > self->peak)
        self->peak = self->used;
    return (char *)block + HEAD;
}

/* Makes one of two free neighbours. */
static void join(struct shs_br_arena *self, struct shs_br_block *block)
{
    struct shs_br_block *second = next(self, block), *after;

    if (second == NULL || second->taken || block->taken)
        return;
    after = next(self, second);
    block->size += HEAD + second->size;
    if (after != NULL)
        after->previous = block;
}

void shs__br_free(void *arena, void *address)
{
    struct shs_br_arena *self = arena;
    struct shs_br_block *block;

    if (address == NULL)
        return;
    block = (struct shs_br_block *)(void *)((char *)address - HEAD);
    block->taken = false;
    self->used -= block->size + HEAD;
    join(self, block);
    if (block->previous != NULL)
        join(self, block->previous);
}
