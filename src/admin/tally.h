/*
 * tally.h - how many requests were answered, with what, and how long that took.
 *
 * Counted by many threads, in cells that they seldom share; read now and then. No locks.
 */
#ifndef SHS_ADMIN_TALLY_H
#define SHS_ADMIN_TALLY_H

#include <stdatomic.h>

#include "base/base.h"

/* 0: no answer was sent; 1 to 5: the first digit of its status. */
#define SHS_ADMIN_CLASSES 6
/* Four for each power of 2 microseconds, so that a duration is known within an eighth of it. */
#define SHS_ADMIN_DURATIONS 108
#define SHS_ADMIN_TALLY_CELLS 8

struct shs_admin_tally_cell {
    _Atomic uint64_t classes[SHS_ADMIN_CLASSES];
    _Atomic uint64_t durations[SHS_ADMIN_DURATIONS];
    char gap[64]; /* the next one begins on another line */
};

struct shs_admin_tally {
    struct shs_admin_tally_cell cells[SHS_ADMIN_TALLY_CELLS];
};

struct shs_admin_tally_sum {
    uint64_t classes[SHS_ADMIN_CLASSES];
    uint64_t durations[SHS_ADMIN_DURATIONS];
};

void shs__admin_tally_count(struct shs_admin_tally *self, int status, int64_t duration_ns);
/* Adds what was counted so far to *sum. */
void shs__admin_tally_add(struct shs_admin_tally *self, struct shs_admin_tally_sum *sum);

/* How long the `percent` fastest of a hundred took at most, in microseconds; 0 when there were
   none. */
int64_t shs__admin_tally_quantile(const uint64_t durations[SHS_ADMIN_DURATIONS], unsigned percent);

#endif
