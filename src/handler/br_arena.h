/*
 * br_arena.h - memory for one brotli encoder, reserved before it begins.
 *
 * A first-fit allocator in one block. What does not fit ends the encoder with longjmp, because a
 * NULL would end the process (BrotliAllocate of 1.0.9 calls exit).
 */
#ifndef SHS_HANDLER_BR_ARENA_H
#define SHS_HANDLER_BR_ARENA_H

#include <setjmp.h>

#include "base/base.h"

/*
 * Measured with quality 5 and a window of 512 KiB over 512 bytes to 4 MiB of noise, text, JSON,
 * copies and all of that in turns: 9.2 MB at most. tests/unit/test_coding.c has the same inputs.
 */
#define SHS_BR_ARENA_SIZE ((size_t)16 << 20)

struct shs_br_block; /* free or not: size and place, then the bytes */

struct shs_br_arena {
    jmp_buf exhausted;
    size_t size, used, peak; /* used: bytes that are given out, with what they cost */
    struct shs_br_block *first;
};

struct shs_br_arena *shs__br_arena_new(size_t size); /* NULL: no memory */
void shs__br_arena_free(struct shs_br_arena *self);

/* As the encoder wants them: `arena` is the opaque pointer. alloc never returns NULL. */
void *shs__br_alloc(void *arena, size_t size);
void shs__br_free(void *arena, void *address);

#endif
