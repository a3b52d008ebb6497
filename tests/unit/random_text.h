/*
 * random_text.h - texts that are the same in each run, for tests that compare what is fast with
 * what is plain. Their numbers are those of h1_lab_next_random.
 */
#ifndef RANDOM_TEXT_H
#define RANDOM_TEXT_H

#include <stddef.h>
#include <stdint.h>

/* Up to `cap` bytes of what clients send: mostly printable, with all that is escaped in between,
   whole and broken UTF-8. Returns their number. */
size_t random_text(uint64_t *seed, char *out, size_t cap);

#endif
