/*
 * patience.h - how long a test waits for what must come, and how late the machine is meanwhile.
 *
 * A bound on a wait only says that the code hangs: patience_ms. Where a duration is what a test is
 * about, its lower bound is exact; for the upper one a thread that does nothing but sleep tells how
 * late it woke up, and so much is taken off: the whole process may have stood still.
 */
#ifndef PATIENCE_H
#define PATIENCE_H

#include <stdbool.h>
#include <stdint.h>

/* Ten seconds; four times as long with a sanitizer or under valgrind. */
int patience_ms(void);

/* One watch in a process; it has a thread of its own until it is stopped. */
void stopwatch_start(void);
/* Did it take so long at least, and, but for what the machine was late by, so long at most? */
bool stopwatch_between(int64_t least_ms, int64_t most_ms);
void stopwatch_stop(void);

#endif
