/*
 * activity.h - what a thread is doing, for whoever watches over it: handlers that do not return.
 *
 * The thread writes a few words before and after each handler, without a lock; the watcher reads
 * them when it likes, and sees by `turn` whether they belong together. A handler is stuck when it
 * has neither returned nor waited for its peer (which has a deadline of its own) for
 * opt.stuck_handler_ms. It is reported then, and again after twice as long, four times as long ...
 */
#ifndef SHS_ACTIVITY_H
#define SHS_ACTIVITY_H

#include <stdatomic.h>

#include "server/conn.h"

#define SHS_ACTIVITY_CLIENT_WORDS 4u
#define SHS_ACTIVITY_TEXT_WORDS 12u
#define SHS_ACTIVITY_TEXT (SHS_ACTIVITY_TEXT_WORDS * 8u)

/* A line about one handler; made under the watcher's lock, said without it. */
struct shs_activity_report {
    bool first;     /* of this handler: it is counted */
    char line[440]; /* empty: nothing to say */
};

struct shs_activity;

/* Around the code of a handler, for a mixin that has to know when its threads may block. */
struct shs_activity_ops {
    /* `route` tells handlers apart that do different things: any number. */
    void (*enter)(struct shs_activity *self, uint64_t route);
    void (*leave)(struct shs_activity *self);
};

struct shs_activity {
    const struct shs_activity_ops *ops; /* NULL: nobody has to know */
    _Atomic int tid;                    /* of the thread, for who looks; 0: it has not begun */
    _Atomic uint32_t turn;  /* odd while a handler runs and the words below are complete */
    _Atomic uint32_t waits; /* odd while it waits for its peer; another number for each wait */
    _Atomic uint64_t client[SHS_ACTIVITY_CLIENT_WORDS];
    _Atomic uint64_t text[SHS_ACTIVITY_TEXT_WORDS]; /* "GET /path"; all zeros: not known */
    _Atomic int64_t began_ns;                       /* 0: the watcher looks often enough */
    bool clocked;
    struct { /* of the watcher, under its lock */
        uint32_t turn, waits;
        int64_t began_ns, still_ns;
        unsigned reports;
    } watch;
};

/* -- the thread's own calls; conn->activity may be NULL ---------------------------------------- */

/* Around a handler's `handle`. */
void shs__activity_begin(struct shs_conn *conn);
static inline void shs__activity_end(struct shs_activity *self)
{
    if (self != NULL)
        atomic_store_explicit(&self->turn,
                              atomic_load_explicit(&self->turn, memory_order_relaxed) + 1,
                              memory_order_relaxed);
}
/* Between the two: which request it is. Copies what there is room for. */
void shs__activity_name(struct shs_activity *self, struct shs_str method, struct shs_str path);
/* Before and after a wait for the peer. */
static inline void shs__activity_wait(struct shs_activity *self)
{
    if (self != NULL)
        atomic_store_explicit(&self->waits,
                              atomic_load_explicit(&self->waits, memory_order_relaxed) + 1,
                              memory_order_relaxed);
}

/*
 * Around a call of code that is not the library's, within the two above. A request's route is its
 * method and the first part of its path, so that /users/1 and /users/2 are one.
 */
uint64_t shs__activity_route(struct shs_str method, struct shs_str path);
static inline void shs__activity_enter(struct shs_activity *self, uint64_t route)
{
    if (self != NULL && self->ops != NULL)
        self->ops->enter(self, route);
}
static inline void shs__activity_leave(struct shs_activity *self)
{
    if (self != NULL && self->ops != NULL)
        self->ops->leave(self);
}

/* -- the watcher's ----------------------------------------------------------------------------- */

/*
 * Looks at one thread: fills *report when there is something to say about its handler. `limit_ns`:
 * how long is too long, opt.stuck_handler_ms or less. `name` is the handler class's.
 */
void shs__activity_look(struct shs_activity *self, int tid, const char *name, int64_t now_ns,
                        int64_t limit_ns, struct shs_activity_report *report);
/* Says it, and counts it in the server's statistics. Without the lock: the log may be slow. */
void shs__activity_say(struct shs_server *server, const struct shs_activity_report *report);

#endif
