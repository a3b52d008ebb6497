/*
 * second_text.h - the text of a second, made once for all who need it in that second: the Date of
 * every answer, the time of every line of a log.
 *
 * Zeroed is empty. Any thread; nobody waits for anybody.
 */
#ifndef SHS_SECOND_TEXT_H
#define SHS_SECOND_TEXT_H

#include <stdatomic.h>

#include "base/base.h"

#define SHS_SECOND_TEXT_MAX 32u /* bytes, with the zeros behind a shorter text */
#define SHS_SECOND_TEXT_WORDS (SHS_SECOND_TEXT_MAX / 8)

/* The last few seconds. */
struct shs_second_texts {
    struct {
        _Atomic uint64_t turn;  /* goes up with each text; odd while one is written */
        _Atomic int64_t second; /* whose text it is; 0: nobody's yet */
        _Atomic uint64_t text[SHS_SECOND_TEXT_WORDS];
    } slots[4];
};

/* Writes the text of a Unix time, and zeros behind it. */
typedef void shs_second_text_fn(int64_t second, char text[SHS_SECOND_TEXT_MAX]);

/*
 * The text that `make` makes of that second, which may be any. `cache` is for one `make` only; NULL
 * keeps nothing.
 */
void shs__second_text(struct shs_second_texts *cache, int64_t second, shs_second_text_fn *make,
                      char text[SHS_SECOND_TEXT_MAX]);

#endif
