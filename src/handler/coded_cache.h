/*
 * coded_cache.h - files that were compressed for an answer, kept for the next one.
 *
 * Compressing costs a thousand times what sending does; whoever asks for the same file again and
 * again must not cost it again and again. Contents are in memory (memfd), known by the entity tag
 * of what they are: a file that changes has another. The least recently used one goes first.
 */
#ifndef SHS_HANDLER_CODED_CACHE_H
#define SHS_HANDLER_CODED_CACHE_H

#include "base/base.h"

#define SHS_CODED_CACHE_ENTRIES 64
#define SHS_CODED_CACHE_BYTES ((uint64_t)32 << 20)

struct shs_coded_cache;

int shs__coded_cache_new(struct shs_coded_cache **out);   /* SHS_OK, SHS_NOMEM */
void shs__coded_cache_free(struct shs_coded_cache *self); /* NULL is fine */

/* A descriptor of the caller's own with *size bytes, to be read with pread; -1: it is not here. */
int shs__coded_cache_get(struct shs_coded_cache *self, const char *tag, uint64_t *size);

/*
 * Puts these bytes into a descriptor like the one above, and keeps them. Returns it, or -1 with
 * errno when there is no memory. Both: any thread.
 */
int shs__coded_cache_put(struct shs_coded_cache *self, const char *tag, const void *bytes,
                         size_t size);

/*
 * Compressing takes a processor, and memory: SHS_CODED_WORKERS do so at a time, and one for the
 * same tag. False: not now; send the file as it is. True: shs__coded_cache_end with the same tag
 * follows. "" stands for what has no tag.
 */
#define SHS_CODED_WORKERS 2u
bool shs__coded_cache_begin(struct shs_coded_cache *self, const char *tag);
void shs__coded_cache_end(struct shs_coded_cache *self, const char *tag);

#endif
