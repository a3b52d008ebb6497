#include "base/second_text.h"

/*
 * What is read is only whole if nobody wrote meanwhile. The second alone would not tell: one whose
 * clock was read long ago can bring it back, between two others.
 */
static bool read_slot(struct shs_second_texts *cache, size_t slot, int64_t second,
                      uint64_t text[SHS_SECOND_TEXT_WORDS])
{
    uint64_t turn = atomic_load_explicit(&cache->slots[slot].turn, memory_order_acquire);

    if (turn % 2 == 1 ||
        atomic_load_explicit(&cache->slots[slot].second, memory_order_acquire) != second)
        return false;
    for (size_t i = 0; i < SHS_SECOND_TEXT_WORDS; i++)
        text[i] = atomic_load_explicit(&cache->slots[slot].text[i], memory_order_acquire);
    return atomic_load_explicit(&cache->slots[slot].turn, memory_order_relaxed) == turn;
}

/* Whoever is first writes it; the others have made theirs and go on. */
static void write_slot(struct shs_second_texts *cache, size_t slot, int64_t second,
                       const uint64_t text[SHS_SECOND_TEXT_WORDS])
{
    uint64_t turn = atomic_load_explicit(&cache->slots[slot].turn, memory_order_acquire);

    if (turn % 2 == 1 ||
        atomic_load_explicit(&cache->slots[slot].second, memory_order_relaxed) == second ||
        !atomic_compare_exchange_strong_explicit(&cache->slots[slot].turn, &turn, turn + 1,
                                                 memory_order_acq_rel, memory_order_relaxed))
        return;
    atomic_store_explicit(&cache->slots[slot].second, second, memory_order_release);
    for (size_t i = 0; i < SHS_SECOND_TEXT_WORDS; i++)
        atomic_store_explicit(&cache->slots[slot].text[i], text[i], memory_order_release);
    atomic_store_explicit(&cache->slots[slot].turn, turn + 2, memory_order_release);
}

void shs__second_text(struct shs_second_texts *cache, int64_t second, shs_second_text_fn *make,
                      char text[SHS_SECOND_TEXT_MAX])
{
    uint64_t words[SHS_SECOND_TEXT_WORDS];
    size_t slot = (size_t)second % SHS_ARRAY_LEN(cache->slots);

    if (cache == NULL || second <= 0) {
        make(second, text);
        return;
    }
    if (read_slot(cache, slot, second, words)) {
        memcpy(text, words, sizeof words);
        return;
    }
    make(second, text);
    memcpy(words, text, sizeof words);
    write_slot(cache, slot, second, words);
}
