/*
 * drain.h - <shs/drain.h> as the loop, server_close and the schedulers see it.
 */
#ifndef SHS_DRAIN_INTERNAL_H
#define SHS_DRAIN_INTERNAL_H

#include <stdatomic.h>

#include <shs/drain.h>

struct shs_conn;

/* In a server. All of it may be touched by a signal handler. */
struct shs_drain {
    _Atomic int64_t until_ns; /* connections are taken so long; 0: nobody drains, 1: it is over */
    _Atomic int64_t cut_ns;   /* requests are cut then */
    _Atomic unsigned stop_ms; /* what it was made of */
    _Atomic int64_t began_ns; /* since then it is counted; 0: it is not */
    _Atomic int64_t ended_ns; /* server_close is over; 0: it is not */
    _Atomic int64_t say_ns;   /* the next line is due */
    _Atomic uint64_t served, closed, cut;
};

/* Room for the names of clients in a line of the log. */
#define SHS_DRAIN_NAMES_MAX 400

/* -- counting ---------------------------------------------------------------------------------- */

void shs__drain_served(struct shs_server *self);
void shs__drain_closed(struct shs_server *self);
/* Under the server's lock, once for each connection. */
void shs__drain_cut(struct shs_server *self, struct shs_conn *conn);
void shs__drain_cut_children(struct shs_server *self, unsigned count);
/* Under the lock: all that are in the middle of a request. How many; `names` is for the line. */
unsigned shs__drain_cut_busy(struct shs_server *self, char *names, size_t cap);
/* Without it. */
void shs__drain_say_cut(struct shs_server *self, const char *names, unsigned count);

/* -- the loop ---------------------------------------------------------------------------------- */

/* Shutdown was asked for, or the grace is over, which asks for it. Whoever has work that always
   begets more asks this between two pieces: requests, connections, conversations. */
bool shs__server_must_end(struct shs_server *self, int64_t now);
/* What comes due: returns the next moment, or `deadline_ns`. */
int64_t shs__drain_turn(struct shs_server *self, int64_t now, int64_t deadline_ns);
/* The end of the grace; INT64_MAX: there is none. */
int64_t shs__drain_until(const struct shs_server *self);
/* The loop begins again after a drain has ended it. */
void shs__drain_serve_again(struct shs_server *self);

/* -- server_close ------------------------------------------------------------------------------ */

/* When requests are cut. It may become earlier while it is waited for: drain.cut_ns. */
int64_t shs__drain_begin_close(struct shs_server *self, int64_t now);
/* After `stopping` is set: the deadline of server_close is no later than what was asked for. */
void shs__drain_hurried(struct shs_server *self);
/* Between two waits: says what is waited for, when that is due. */
void shs__drain_look(struct shs_server *self);
void shs__drain_end_close(struct shs_server *self);

/* So long is waited at a time: a signal handler cannot wake a condition variable. */
#define SHS_DRAIN_SLICE_MS 50u

#endif
