/*
 * thread_pool.h - inside ThreadPoolMixIn.
 *
 * Concept
 *
 *   A connection is owned by one thread, or parked. Its slot says which: one atomic word, and
 *   whoever moves it from PARKED to OWNED has the connection. Three may try: a worker that epoll
 *   told about the peer, and the monitor when the deadline has passed; an event that comes while
 *   the connection is owned leaves a mark (POKED) that the owner finds when it parks.
 *
 *   So the descriptor is registered once, edge-triggered, and no system call is spent on arming it
 *   again: a request costs a share of an epoll_wait, one recv and one send. An event that nobody
 *   has read behind (there was an answer to write) is asked for again by who parks to read.
 *
 *   Slots are never freed while the server lives, and every use has its own generation, so an event
 *   that was fetched for a connection which is gone meanwhile is seen to be stale.
 *
 *   Deadlines: a heap of slots by the moment when somebody has to look. A deadline that moves away,
 *   as with every request, leaves the slot where it is; it is put right when its moment comes.
 *
 *   Groups share nothing but the servers; each has its epoll set, its slots, timers and workers.
 *
 *   The workers are a crew, and a server is a member of one: of its own, or of another server's
 *   (shs_thread_pool_share). What belongs to the crew: groups, threads, the monitor, epoll sets,
 *   slots, and a line for each member in each group, with its doors and those of its connections
 *   that wait for a worker. All of that stays until the last member and the last thread are gone,
 *   so an event that was fetched for a server which is gone meanwhile finds nothing, but finds it.
 *   What belongs to a member: its limits, its addresses, what is known of its routes, its end.
 *
 *   A worker holds no reference to a server. The connection that it runs does, until it ends; and a
 *   server that closes makes each worker that is at one of its connections then, or later, hold one
 *   until it has let go (thread_pool_member.c). So a request costs no shared counter for that.
 *
 *   How many workers there are: as many are active as there are cores. One whose handler waits is
 *   away, and then another one takes its place: at once where the route is known to wait (how much
 *   of its time is measured, now and then), else when the monitor sees it. Who comes back makes
 *   one more, and that stays so, because the next handler will wait too, until for a while
 *   somebody was not needed.
 *
 * Locks, from the outside in; the last four are leaves:
 *   crew lock     who is a member, start and end; not taken for connections
 *   lock          a group's workers
 *   count_lock    whose statistics count the threads
 *   ready_lock    connections that wait for a worker
 *   slots_lock    the free list
 *   timer_lock    the heap
 */
#ifndef SHS_THREAD_POOL_H
#define SHS_THREAD_POOL_H

#include <pthread.h>
#include <stdatomic.h>

#include "server/activity.h"
#include "server/load_control.h"
#include "server/server.h"

/* -- a connection's place --------------------------------------------------------------------- */

/* The low bits of shs_pool_slot.state; the generation is above them. */
enum {
    SHS_POOL_FREE = 0,
    SHS_POOL_PARKED = 1,
    SHS_POOL_OWNED = 2,
    SHS_POOL_WHERE = 3,
    SHS_POOL_POKED = 4,   /* an event came while it was owned */
    SHS_POOL_HUNG_UP = 8, /* and it was the end of the peer's data, or worse */
    SHS_POOL_URGENT = 16, /* and it was urgent data */
    SHS_POOL_BITS = 31,
    SHS_POOL_GENERATION = 32
};

/* What epoll is asked to tell of a connection; its room as well, once it has wanted to write. */
#define SHS_POOL_EVENTS (EPOLLIN | EPOLLPRI | EPOLLRDHUP | EPOLLET)

struct shs_pool_group;
struct shs_pool_worker;
struct shs_pool_door;
struct shs_pool_line;

struct shs_pool_slot {
    _Atomic uint64_t state;
    struct shs_conn *conn;          /* of the owner */
    struct shs_pool_worker *worker; /* who runs it; of the owner */
    struct shs_pool_slot *next;     /* in its line, or the free list */
    struct shs_pool_door *door;     /* it counts as inside, and not begun with; or NULL */
    _Atomic int64_t deadline_ns;    /* as it was parked with */
    _Atomic int64_t timer_ns;       /* its moment in the heap; INT64_MAX = not in it */
    int64_t queued_ns;              /* when it joined its line */
    uint32_t index;                 /* in its group */
    uint16_t group;
    _Atomic uint16_t line; /* the number of the member that it belongs to */
    uint32_t heap_at;      /* valid while in the heap; under timer_lock */
    bool counted;          /* among its address's connections */
    bool said;             /* it counts at its door among those that have said something */
    bool expired;          /* owned because its deadline has passed */
    bool out;              /* EPOLLOUT is registered as well */
};

#define SHS_POOL_CHUNK 256u
#define SHS_POOL_CHUNKS 16384u

/* -- workers ---------------------------------------------------------------------------------- */

#define SHS_POOL_BATCH 16u

/* Events that a worker has fetched. When it blocks in one of them, others take the rest. */
struct shs_pool_batch {
    _Atomic uint64_t cursor; /* turn << 16 | next << 8 | count */
    _Atomic uint64_t data[SHS_POOL_BATCH];
    _Atomic uint32_t events[SHS_POOL_BATCH];
};

/* A worker in the counts below; one that is away counts for less, or for nothing. */
#define SHS_POOL_ONE 16

/*
 * What the handlers of one route do, as seen by the workers: many routes may share one. Read for
 * each request, written only for those that are measured.
 */
struct shs_pool_route {
    _Atomic uint32_t wait_ns;  /* of a call, as far as it does not compute; a cautious mean */
    _Atomic uint32_t usual_ns; /* the mean of those that waited; 0: not known */
    _Atomic uint32_t cpu_ns;
    _Atomic uint32_t measure; /* so many of the next calls are measured */
    _Atomic bool known;       /* one has been */
};

#define SHS_POOL_ROUTES 256u

struct shs_pool_meter {
    int64_t wall_ns, cpu_ns;
    long switches; /* voluntary: it has waited for something */
};

struct shs_pool_worker {
    struct shs_pool_group *group;
    struct shs_pool_worker *prev, *next; /* of the group, or of its dead */
    pthread_t thread;
    _Atomic uint32_t busy; /* odd while it runs a connection, another number for each */
    _Atomic int away;      /* how much of SHS_POOL_ONE it waits, or its handler may */
    _Atomic(struct shs_pool_route *) route; /* of the handler that it runs; NULL: none */
    _Atomic int64_t back_ns; /* while it is away: expected back; INT64_MAX: nobody knows */
    _Atomic bool was_away;   /* since it was asked who is not needed */
    /* The line whose connection it runs, or 0; with SHS_POOL_PINNED it holds that server. */
    _Atomic uintptr_t at;

    /* the monitor's */
    uint32_t seen;        /* `busy` at the last look */
    uint32_t looks;       /* and so often before */
    uint32_t still_looks; /* the last so many of them, in which it had computed nothing */
    int64_t cpu_ns;       /* what it had computed at the first of these */
    int64_t looked_ns;    /* when that was */
    int64_t cpu_now_ns;   /* at the last */

    /* asleep; under the group's lock */
    struct shs_pool_worker *next_asleep;
    pthread_cond_t wake;
    bool asleep;
    uint32_t trimmed; /* `busy` when it was asked who is not needed */
    unsigned stayed;  /* so many times it was asked, and had not been away */

    /* its own */
    int64_t busy_since_ns; /* since then every batch was full */
    int64_t told_ns;       /* when the event that it follows had been fetched; 0: no event */
    int64_t through_ns;    /* when its last turn ended; 0: there was nothing to do in it */
    bool counted;          /* in `running` of the line that it is at */
    bool measures;         /* `meter` was read when that handler began */
    uint32_t blocking;     /* how many of its handlers lately might block, of 65536 */
    bool waited;           /* a handler of this turn was known to wait */
    int64_t sample_ns;     /* when it measures a call of a route that waits again */
    int64_t suspect_ns;    /* before it no turn that takes long makes it measure */
    uint32_t suspects;     /* so many of its next calls are measured, for a turn took long */
    struct shs_pool_meter meter;
    struct shs_pool_batch batch;
    struct shs_activity activity;
};

struct shs_pool_timer {
    int64_t when_ns;
    struct shs_pool_slot *slot;
};

/* What a door knows of those who wait in front of it, and behind it: thread_pool_load.c. */
struct shs_pool_load {
    struct shs_load control;
    /* under the door's lock */
    unsigned taken; /* of the batch that is being let in */
    bool said;      /* the last one of them has sent something */
    bool pressed;   /* it counts in its group's `pressed` */

    _Atomic int64_t visit_ns; /* the door is looked after then */
};

/*
 * A listening socket in a group: the server's own in the first one, in the others one more at the
 * same address, or none. Accepting is done by whoever finds `knocked` and gets the lock.
 */
struct shs_pool_door {
    struct shs_pool_group *group;
    struct shs_thread_pool *pool; /* whose it is; with the lock, while it listens */
    unsigned number;              /* in its group: what epoll carries for it */
    struct shs_listener *from;    /* where requests are taken from; NULL: from nowhere */
    struct shs_listener own;
    bool alone; /* no other group has one at this address: it is there for all of them */
    pthread_mutex_t lock;
    bool listens; /* under the lock */
    struct shs_pool_load load;
    _Atomic bool knocked; /* epoll said that somebody waits there */
    _Atomic bool resting; /* somebody may wait there, but accepting was not possible */
};

/* So many servers may share a crew. */
#define SHS_POOL_MEMBERS 128u

/*
 * A member in a group: its doors, and its connections that are owned by nobody in particular and
 * wait for a worker, first in, first out. Members have their turns one after the other, so one with
 * a long line does not keep the others waiting.
 *
 * Where several share the crew, no more workers than `bound` are at one member's connections; the
 * line is held then, as if there were no others.
 */
struct shs_pool_line {
    struct shs_pool_group *group; /* set once, before `most` of the crew tells of it */
    struct shs_thread_pool *pool; /* NULL: nobody has this number. Changes under the group's lock */
    _Atomic(struct shs_pool_door *) doors[SHS_MAX_ADDRESSES]; /* as many as there have been */

    /* under ready_lock */
    struct shs_pool_slot *first, *last;
    struct shs_pool_line *next; /* whose turn it is after this one; a ring */
    bool in_ring;
    _Atomic bool held; /* it waits until one of its own is through */

    _Atomic unsigned count;   /* how many wait */
    _Atomic unsigned running; /* workers at its connections, if there is a bound */
    _Atomic unsigned bound;   /* UINT_MAX: it is the group's */
    _Atomic unsigned used;    /* slots of it */
    _Atomic unsigned guests;  /* threads that are not workers, at its connections, and hold it */
    _Atomic bool saturated;   /* the monitor: it is held, and all who run it wait */

    _Atomic bool closing;   /* its server_close has begun */
    _Atomic bool abandoned; /* and its time is up: connections end rather than to be parked */

    _Atomic unsigned max_queue, queue_ms; /* of the member's options */
    int64_t queue_since_ns;               /* the monitor's: it has not been empty since; 0: it is */
};

struct shs_pool_crew;

struct shs_pool_group {
    struct shs_pool_crew *crew;
    uint16_t number;
    int epoll_fd, kick_fd;

    struct shs_pool_line lines[SHS_POOL_MEMBERS];

    pthread_mutex_t slots_lock;
    struct shs_pool_slot *free_slots;
    unsigned slot_count;
    _Atomic(struct shs_pool_slot *) chunks[SHS_POOL_CHUNKS];

    pthread_mutex_t ready_lock;
    struct shs_pool_line *turn;   /* the last one that had its turn; NULL: all are empty or held */
    _Atomic unsigned ready_count; /* in all lines that are not held */

    pthread_mutex_t timer_lock;
    struct shs_pool_timer *heap;
    unsigned heap_len, heap_cap;

    /* Who is awake: thread_pool_crew.c */
    pthread_mutex_t lock;
    pthread_cond_t gone; /* a worker has left, or let go of a server that closes */
    struct shs_pool_worker *workers, *dead;
    struct shs_pool_worker *asleep; /* the last one first */
    _Atomic unsigned target; /* as many should be active as there are cores, or as was said */
    _Atomic int active; /* those who are awake, less what they are away; in parts of SHS_POOL_ONE */
    _Atomic unsigned pressed;   /* at so many of its doors more come than can be served */
    _Atomic int dismiss;        /* so many of those who are awake go to sleep */
    int64_t trim_ns;            /* the monitor's: when it asks again who is not needed */
    _Atomic int64_t enough_ns;  /* until then there are enough, says who has counted them */
    _Atomic int64_t crowded_ns; /* until then no worker yields its core: others kept it too long */
    int64_t start_ns; /* before this moment no thread is started: there was none to be had */
    unsigned max, threads, sleeping;
    unsigned leaving; /* of `threads`: they have been told so */
};

struct shs_pool_addresses;

/* The workers, and who shares them. */
struct shs_pool_crew {
    _Atomic unsigned references; /* each member and each thread has one; the last frees */
    struct shs_pool_group *groups;
    unsigned group_count;
    unsigned cores, spare_ms;
    pthread_attr_t attr;
    _Atomic bool closing; /* no member is open: workers leave with the last connection */

    pthread_mutex_t lock;
    struct shs_thread_pool *members[SHS_POOL_MEMBERS];
    _Atomic unsigned most; /* no line beyond it has ever been used */
    unsigned open;         /* members that have not closed */
    _Atomic bool shared;   /* more than one of them */
    bool started;
    pid_t pid; /* whose descriptors they are */

    pthread_mutex_t count_lock;
    int threads; /* alive, with the monitor */

    pthread_mutex_t monitor_lock;
    pthread_cond_t monitor_wake;
    pthread_t monitor;
    _Atomic bool monitor_rests;       /* it must be told when a worker begins something */
    _Atomic int64_t monitor_until_ns; /* it looks again at this moment */
    int64_t resumed_ns; /* its own: when the process ran again that had been stopped; or 0 */
    bool monitor_called, monitor_gone, monitor_detached;
};

/* ThreadPoolMixIn in a server: a member of a crew. */
struct shs_thread_pool {
    struct shs_scheduler scheduler;
    struct shs_pool_crew *crew;           /* until the server has served it may become another */
    unsigned number;                      /* of its line in each group */
    unsigned threads, max_threads;        /* as was asked for; under the crew's lock */
    bool counts;                          /* threads in its statistics; under count_lock */
    struct shs_pool_addresses *addresses; /* NULL: no bound per address */
    struct shs_pool_route routes[SHS_POOL_ROUTES];
    _Atomic unsigned next_group;
    unsigned door_count; /* of each group; 0 before the start */
};

/* thread_pool_slot.c -------------------------------------------------------------------------- */

/* A slot for a connection, OWNED; NULL: no memory, or too many. */
struct shs_pool_slot *shs__pool_slot_new(struct shs_pool_line *line, struct shs_conn *conn);
/* Ends this use of it; the timer goes. The second half gives it back. */
void shs__pool_slot_end(struct shs_pool_group *group, struct shs_pool_slot *slot);
void shs__pool_slot_free(struct shs_pool_group *group, struct shs_pool_slot *slot);
/* What epoll carries for it: its index and generation. */
uint64_t shs__pool_slot_ticket(const struct shs_pool_slot *slot);
/* An event: the slot if it is the caller's now; NULL when its owner will see to it, or it is
   stale. */
struct shs_pool_slot *shs__pool_claim(struct shs_pool_group *group, uint64_t ticket,
                                      uint32_t events);
/* Takes one that is parked, whoever's turn it is. False: it is not parked. */
bool shs__pool_claim_parked(struct shs_pool_slot *slot);
/* The slots one by one, used or not; NULL: there are no more. */
struct shs_pool_slot *shs__pool_slot_at(struct shs_pool_group *group, uint32_t index);
/* Gives it up. False: something has happened meanwhile, it is still the caller's. */
bool shs__pool_release(struct shs_pool_slot *slot);

/* Somebody has to look at this slot at its deadline_ns. SHS_OK, SHS_NOMEM. */
int shs__pool_timer_set(struct shs_pool_group *group, struct shs_pool_slot *slot);
/* The first slot whose deadline has passed, now the caller's; NULL: none. *next_ns: look again. */
struct shs_pool_slot *shs__pool_timer_expire(struct shs_pool_group *group, int64_t now_ns,
                                             int64_t *next_ns);

/* thread_pool_queue.c ------------------------------------------------------------------------- */

struct shs_pool_line *shs__pool_line_of(struct shs_pool_group *group,
                                        const struct shs_pool_slot *slot);
/* The slot joins its line. */
void shs__pool_ready_push(struct shs_pool_group *group, struct shs_pool_slot *slot);
/* The next one, for this worker, which is counted as running it. NULL: none. */
struct shs_pool_slot *shs__pool_ready_pop(struct shs_pool_group *group,
                                          struct shs_pool_worker *worker);
/* The first of this line, held or not, if it has been there since `before_ns`. NULL: none. */
struct shs_pool_slot *shs__pool_line_pop(struct shs_pool_line *line, int64_t before_ns);
/* One more worker at its connections; false: there are enough. For lines that have a bound. */
bool shs__pool_line_enter(struct shs_pool_line *line);
/* One is through. */
void shs__pool_line_leave(struct shs_pool_line *line);
/* Its bound may be another now. */
void shs__pool_line_release(struct shs_pool_line *line);

/* thread_pool_member.c ------------------------------------------------------------------------ */

/* In `at` of a worker. */
#define SHS_POOL_PINNED ((uintptr_t)1)

static inline struct shs_pool_line *shs__pool_line_at(const struct shs_pool_worker *worker)
{
    /* lines are aligned */
    return (struct shs_pool_line *)(atomic_load_explicit(&worker->at, memory_order_relaxed) &
                                    ~SHS_POOL_PINNED);
}

/* The worker begins with the slot, which it owns. */
void shs__pool_come(struct shs_pool_worker *worker, struct shs_pool_line *line,
                    struct shs_pool_slot *slot);
/* It has parked or ended it. `server` is of that slot, and may be gone. */
void shs__pool_go(struct shs_pool_worker *worker, struct shs_pool_line *line,
                  struct shs_server *server);
/* The same for a thread that is not a worker. */
void shs__pool_guest_come(struct shs_pool_line *line, struct shs_server *server);
void shs__pool_guest_go(struct shs_pool_line *line, struct shs_server *server);
/* With the group's lock: `server` of a line, held as by a guest. NULL: it is about to be gone. */
struct shs_server *shs__pool_visit(struct shs_pool_line *line);

/* A crew that nobody is in. NULL: no memory, no descriptors (errno), or (USAGE) a bad stack size */
int shs__pool_crew_new(struct shs_pool_crew **out, const struct shs_options *opt);
void shs__pool_crew_unref(struct shs_pool_crew *crew);
/* SHS_OK, or SHS_USAGE (it has ended), SHS_LIMIT (too many are). */
int shs__pool_join(struct shs_pool_crew *crew, struct shs_thread_pool *pool);
/* That member is gone: its server is freed, or is in another crew now. */
void shs__pool_part(struct shs_pool_crew *crew, unsigned number);
/* The bounds of all members are put together. With the crew's lock. */
void shs__pool_set_bounds(struct shs_pool_crew *crew);
/* The threads of the crew are so many more. */
void shs__pool_count_threads(struct shs_pool_crew *crew, int delta);
/* What server_close of a member does to the crew; super's is through. */
void shs__pool_close(struct shs_thread_pool *pool);
/* A child's own descriptors. SHS_OK, SHS_IO. */
int shs__pool_adopt(struct shs_pool_crew *crew);

/* thread_pool_accept.c ------------------------------------------------------------------------ */

/* What epoll carries for the eventfd; below it are the doors. */
#define SHS_POOL_KICK UINT64_MAX
#define SHS_POOL_DOORS (UINT64_MAX - SHS_MAX_ADDRESSES * SHS_POOL_MEMBERS)

/* The door that this is the event of; NULL: it is something else's. */
struct shs_pool_door *shs__pool_door_of(struct shs_pool_group *group, uint64_t data);
/* A member's door at its address i; NULL: there is none yet. Any thread. */
struct shs_pool_door *shs__pool_door_at(struct shs_pool_group *group, unsigned member, unsigned i);
/* Somebody waits at the door. Any thread. */
void shs__pool_knock(struct shs_pool_door *door);
/* The same, told by epoll once more to whoever comes next. */
void shs__pool_knock_again(struct shs_pool_door *door);
/* The scheduler's start, resume and stop. */
bool shs__pool_start(struct shs_scheduler *scheduler, bool may_take);
void shs__pool_resume(struct shs_scheduler *scheduler);
void shs__pool_stop(struct shs_scheduler *scheduler);
/* Closes the member's listening sockets that are not the server's own. */
void shs__pool_close_doors(struct shs_thread_pool *pool);
void shs__pool_free_doors(struct shs_pool_group *group);

/* thread_pool_load.c -------------------------------------------------------------------------- */

/* With the door's lock, but for the last two. */

/* A batch begins: so many may be let in. 0: none, until a visit finds that some may. */
unsigned shs__pool_load_room(struct shs_pool_door *door);
/* Nobody is there any more. */
void shs__pool_load_empty(struct shs_pool_door *door);
/* Nobody is let in any more. */
void shs__pool_load_end(struct shs_pool_door *door);
/* This one was accepted: true if it has waited too long for what it would cost. */
bool shs__pool_load_refuses(struct shs_pool_door *door, const struct shs_conn *conn);
/* It was let in; its slot says so until it is begun with. */
void shs__pool_load_enter(struct shs_pool_door *door, struct shs_pool_slot *slot);
/* Somebody begins with it, or it ends. By its owner, without the door's lock. */
void shs__pool_load_leave(struct shs_pool_slot *slot);
/* While the group is pressed, now and then: looks after the doors. Any thread, without the lock. */
void shs__pool_load_visit(struct shs_pool_group *group);

/* thread_pool_mixin.c ------------------------------------------------------------------------- */

/* Starts what has not been started: the monitor, and as many workers as should run. */
bool shs__pool_ready(struct shs_pool_group *group);

/* What the pool of a server is at, for who looks on. The threads are those of its crew. */
struct shs_pool_figures {
    const void *crew; /* the same one: the same threads */
    unsigned threads; /* alive */
    unsigned busy;    /* of them, at a connection of this server */
    unsigned queue;   /* of its connections, wait for one */
};

/* False: the server has no ThreadPoolMixIn. Any thread. */
bool shs__pool_figures(struct shs_server *server, struct shs_pool_figures *out);

/* thread_pool_worker.c ------------------------------------------------------------------------ */

/* Goes on with a connection that the caller owns, until it is parked or gone. */
void shs__pool_run(struct shs_pool_group *group, struct shs_pool_worker *worker,
                   struct shs_pool_slot *slot);
/* This connection's request gets no handler: the conversation goes on without one. */
void shs__pool_refuse(struct shs_pool_group *group, struct shs_pool_slot *slot);
/* Gives what a worker has fetched and not begun to the others. Any thread. True: it waits for one
   of them now, who may have to be kicked. */
bool shs__pool_hand_over(struct shs_pool_worker *worker);
/* The line is abandoned: ends the connections that nobody runs. */
void shs__pool_end_parked(struct shs_pool_line *line);
/* A worker's thread; `arg` is the worker. */
void *shs__pool_worker_main(void *arg);

/* thread_pool_crew.c -------------------------------------------------------------------------- */

/* With the group's lock: as many active workers as there should be, if it can be. */
void shs__pool_replace(struct shs_pool_group *group);
/* With the lock: the same, but nobody is replaced who will be back as soon as another one would be
   there. False: nobody is left, and nobody can be had. */
bool shs__pool_fill_up(struct shs_pool_group *group);
/*
 * `away` of a worker, from now on; returns what it was. Others do what it has fetched; and where
 * too few are active now, another one is woken or started. The worker itself, without the lock.
 * `now_ns` may be 0 where `away` is none.
 */
int shs__pool_set_away(struct shs_pool_worker *worker, int away, int64_t now_ns);
/* The monitor, with the lock: it blocks. Taken back when it has gone on meanwhile. */
void shs__pool_found_blocked(struct shs_pool_worker *worker);
/* The monitor, with the lock, at each look: who is not needed goes to sleep. True: there may be
   somebody at the next look. */
bool shs__pool_trim(struct shs_pool_group *group, int64_t now_ns);
/* True: go on; the worker may have slept. False: it leaves, and is not counted any more. */
bool shs__pool_stays(struct shs_pool_worker *worker);
/* With the lock: all who sleep, for the end. */
void shs__pool_wake_all(struct shs_pool_group *group);
/* With the lock: the bounds are other ones. Who is missing starts, who is too many leaves. */
void shs__pool_fit(struct shs_pool_group *group);
/* Nothing is left to do, ever. */
bool shs__pool_is_over(const struct shs_pool_group *group);
/* Wakes a worker that waits in epoll_wait. */
void shs__pool_kick(struct shs_pool_group *group);
/* The last that a worker does; it is left to shs__pool_reap. */
void shs__pool_leave(struct shs_pool_worker *worker);
/* Joins those that have left. */
void shs__pool_reap(struct shs_pool_group *group);

/* thread_pool_route.c ------------------------------------------------------------------------- */

/* What a worker does around the code of a handler. */
extern const struct shs_activity_ops shs__pool_activity_ops;
/* The monitor has found a handler that waits, for `for_ns`: the next of its route will, too. */
void shs__pool_route_blocks(struct shs_pool_route *route, int64_t for_ns);
/* How many events this worker may fetch at once: nothing waits behind a handler that blocks. */
static inline int shs__pool_batch_size(const struct shs_pool_worker *worker)
{
    return worker->blocking > 1024 ? 1 : (int)SHS_POOL_BATCH;
}

/* thread_pool_address.c: how many connections each address has; any thread */
struct shs_pool_addresses *shs__pool_addresses_new(void);
void shs__pool_addresses_free(struct shs_pool_addresses *self);
/* How many its address may have; UINT_MAX: there is no bound. */
unsigned shs__pool_address_bound(const struct shs_conn *conn);
/* One more, if it has fewer than `max`: SHS_OK, SHS_LIMIT, SHS_NOMEM. */
int shs__pool_addresses_add(struct shs_pool_addresses *self, const struct shs_conn *conn,
                            unsigned max);
void shs__pool_addresses_remove(struct shs_pool_addresses *self, const struct shs_conn *conn);

/* thread_pool_monitor.c ----------------------------------------------------------------------- */

int shs__pool_monitor_start(struct shs_pool_crew *crew);
void shs__pool_monitor_call(struct shs_pool_crew *crew);
/* It ends with the workers; it is joined, or left to itself. */
void shs__pool_monitor_end(struct shs_pool_crew *crew, bool join);
/* Says which of its handlers run: the time of server_close is up. */
void shs__pool_report_stuck(struct shs_pool_line *line);

#endif
