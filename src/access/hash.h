/*
 * hash.h - a hash for tables that only their owner fills: it need not withstand anybody.
 */
#ifndef SHS_ACCESS_HASH_H
#define SHS_ACCESS_HASH_H

#include "base/base.h"

static inline uint64_t shs__mix(uint64_t h, uint64_t word)
{
    h = (h ^ word) * UINT64_C(0x9e3779b97f4a7c15);
    return h ^ h >> 32;
}

static inline uint64_t shs__access_hash(uint64_t h, struct shs_str s)
{
    uint64_t word;
    size_t i = 0;

    h = shs__mix(h, s.len);
    for (; i + sizeof word <= s.len; i += sizeof word) {
        memcpy(&word, s.ptr + i, sizeof word);
        h = shs__mix(h, word);
    }
    word = 0;
    if (i < s.len)
        memcpy(&word, s.ptr + i, s.len - i);
    return shs__mix(h, word);
}

#endif
