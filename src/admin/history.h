/*
 * history.h - how the servers did lately: a point for each few seconds, in a ring of fixed size.
 */
#ifndef SHS_ADMIN_HISTORY_H
#define SHS_ADMIN_HISTORY_H

#include <shs/tls.h>

#include "admin/tally.h"

#define SHS_ADMIN_POINTS 300
#define SHS_ADMIN_POINT_MS 2000 /* ten minutes in all */

/* What all servers together have counted up to a moment, and what they are at then. */
struct shs_admin_moment {
    struct shs_admin_tally_sum answers;
    uint64_t accepted, refused, timeouts, stuck;
    uint64_t connections, max_connections;
    uint64_t threads, busy, queue; /* of the pools */
    uint64_t handshakes, resumed;
    uint64_t probes;                              /* no failures, and in no sum of them */
    uint64_t failed, causes[SHS_TLS_CAUSE_COUNT]; /* the sum, and what it is the sum of */
};

/* What happened from one moment to the next. */
struct shs_admin_point {
    int64_t time_ms, took_ms; /* Unix time of its end; how long it was */
    uint32_t connections, threads, busy, queue;
    uint32_t classes[SHS_ADMIN_CLASSES], requests;
    uint32_t handshakes, failed;
    uint32_t p50_us, p99_us; /* 0 when nothing was answered */
};

struct shs_admin_history;

/* With the moment from which on it counts. SHS_OK or SHS_NOMEM. */
int shs__admin_history_new(struct shs_admin_history **out, const struct shs_admin_moment *now);
void shs__admin_history_free(struct shs_admin_history *self); /* NULL is fine */

/*
 * True when it is time for a point, and then nobody else is told so until shs__admin_history_put.
 * Any thread.
 */
bool shs__admin_history_due(struct shs_admin_history *self);
void shs__admin_history_put(struct shs_admin_history *self, const struct shs_admin_moment *now);

/*
 * Copies the points, the oldest first, into `out`, which has room for all; how many. *lately is how
 * long the answers of the last `window` points took.
 */
size_t shs__admin_history_copy(struct shs_admin_history *self, struct shs_admin_point *out,
                               size_t window, uint64_t lately[SHS_ADMIN_DURATIONS]);
/* How many there ever were: another number is news. */
uint64_t shs__admin_history_count(struct shs_admin_history *self);

#endif
