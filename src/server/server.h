/*
 * server.h - what is inside struct shs_server; for this room and the composition roots.
 *
 * Locks: `lock` guards the live list, the sticky error and the loop's end. It is a leaf: nothing is
 * called with it held but list work and shutdown(2). `fork_lock` is held over a fork, and by
 * whoever has locks that a child must not inherit (a reload of certificates): for as long as a
 * second, so nothing but ForkingMixIn waits for it.
 */
#ifndef SHS_SERVER_INTERNAL_H
#define SHS_SERVER_INTERNAL_H

#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>

#include <shs/scheduler.h>
#include <shs/server.h>

#include "server/conn.h"
#include "server/drain.h"

#define SHS_MAX_LAYERS 32u
/* A name of a server, with its NUL, as the admin plane and /metrics have it: the path of a Unix
   socket is one. */
#define SHS_SERVER_NAME_CAP 300
#define SHS_MAX_ADDRESSES 64u
/* With what groups of workers open beside them. */
#define SHS_MAX_LISTENERS 1088u

/* A listening socket. */
struct shs_listener {
    struct shs_listener *next;
    _Atomic int fd;   /* -1 when there is none */
    unsigned address; /* its number */
    int family;       /* once bound */
    char host[112];   /* room for a Unix socket's path */
    unsigned port;
    int inherited;                /* a descriptor and 1: it is that socket; 0: it is to be bound */
    bool inherited_ours;          /* and the path, when it has one, is ours to remove */
    int late_fd;                  /* of a datagram socket: udp_server.c. -1: none */
    struct shs_unix_place *place; /* of a Unix socket's path: unix_server.c. NULL: none */
    void *owner;                  /* of the scheduler that takes requests from it */
};

struct shs_server {
    struct shs_scheduler base; /* BaseServer, and the serving thread as a scheduler */
    struct shs_scheduler *scheduler;
    struct shs_layer *top;
    unsigned layer_count;
    _Atomic(char *) description; /* made by shs_server_describe, whoever asks first */

    struct shs_options opt; /* a copy; its strings are owned here */
    /* opt.log_level, until then another one (shs_server_set_log_level) */
    _Atomic int log_level;
    _Atomic int64_t log_level_until_ns;
    void *opt_strings;
    const struct shs_request_handler_class *handler_class;

    /* class attributes; a server class sets them before it binds */
    int address_family; /* AF_UNSPEC: whatever the host's name gives */
    int socket_type;    /* SOCK_STREAM, SOCK_DGRAM */
    bool handshakes;    /* TLS: before one there are no words that a client would understand */
    bool client_first;  /* HTTP, TLS: a new connection has nothing to do before its first byte */
    /* what it speaks, by its ALPN name (RFC 7301), static: "http/1.1"; NULL */
    /* What it speaks, by its ALPN name (RFC 7301), static; NULL: whatever the handler does.
       Who sets it answers shs_conn.refusal as well. */
    const char *protocol;

    /* server_address */
    struct shs_listener *addresses; /* one for each; the first is server_address */
    unsigned address_count;
    struct shs_listener *listeners; /* these, and what else a scheduler has opened. Of the thread
                                       that composes or serves */
    struct shs_listener *ready; /* get_request is for it: somebody is there. NULL: look at all */
    int last_ready_fd;          /* the next one is looked at first */
    bool bound, activated;
    _Atomic bool handed_over; /* paths belong to somebody else: they stay */
    bool undo; /* binding or listening has failed: what was bound before that goes as well */

    /* the loop */
    _Atomic int wake_fd; /* eventfd: shutdown, resume_accept */
    /* what it was before a fork, or -1: open until the end, for who has read it already */
    int parents_wake_fd;
    _Atomic bool serving;
    _Atomic bool frozen; /* somebody has served: the chain is as it is for good */
    bool
        orphaned; /* shs_server_free could not wait for the loop: it closes and frees. Under lock */
    pid_t pid;    /* who made it, or serves it: a child makes what is shared its own */
    _Atomic bool shutdown_requested;
    _Atomic bool stopping; /* server_close has begun */
    _Atomic int64_t stop_deadline_ns;
    _Atomic unsigned pauses;         /* shs_server_pause_accept, nested */
    pthread_t loop_thread;           /* valid while serving, under lock */
    _Atomic int64_t accept_retry_ns; /* back-off after a failed accept */
    _Atomic int64_t accept_said_ns;  /* until then the log is not told of another */
    _Atomic int64_t late_said_ns;    /* nor of those that came late */
    int64_t loop_limit_ns; /* a conversation on the loop ends here; INT64_MAX: no shutdown yet */
    bool closed;
    struct shs_drain drain;
    bool forked;               /* in a child of ForkingMixIn */
    int leave_fd;              /* there: readable once the parent closes the server, or is gone */
    _Atomic int accept_result; /* why a scheduler that accepts by itself could not go on; SHS_OK */

    pthread_mutex_t fork_lock; /* no child is forked while it is held; taken before `lock` */
    pthread_mutex_t lock;
    pthread_cond_t changed; /* a connection or the loop ended */
    struct shs_conn *live;  /* every connection between get_request and close_request */
    unsigned live_count;
    _Atomic unsigned open_count; /* the same number, to look at without the lock */
    unsigned leaving_count;      /* of them, told to make room for others */
    int64_t room_ns;             /* and before this moment no more are, unless those have gone */
    unsigned most_live;          /* of them since memory was given back; under the lock */
    int64_t trimmed_ns;          /* when it was last */
    _Atomic int64_t trim_ns;     /* memory is given back then; 0: there is no need */
    struct shs_error error;

    /* Owner, every live connection and every thread of a mixin hold one; the last frees. */
    _Atomic unsigned references;

    struct {
        _Atomic uint64_t accepted, refused, accept_errors, accept_pauses, errors, timeouts;
        _Atomic uint64_t stuck_handlers, made_room, refused_addresses, refused_late;
        _Atomic int64_t threads;
        _Atomic uint64_t children;
    } stats;
};

extern const struct shs_server_ops shs__base_server_ops;
extern const struct shs_scheduler_ops shs__loop_ops;

/* BaseServer's slots that are not in base_server.c: conversation.c. */
int shs__base_finish_request(struct shs_layer *layer, struct shs_conn *conn);
int shs__base_wait_request(struct shs_layer *layer, struct shs_conn *conn, int what);

/* BaseServer alone: no socket yet. *out is freed with shs_server_free. */
int shs__server_new(struct shs_server **out, const struct shs_options *opt,
                    const struct shs_request_handler_class *handler, struct shs_error *err);
/* Add a server class: TCPServer on BaseServer, the others on TCPServer. */
int shs__tcp_server_push(struct shs_server *self);
int shs__udp_server_push(struct shs_server *self);
int shs__unix_stream_server_push(struct shs_server *self);
int shs__unix_datagram_server_push(struct shs_server *self); /* on UDPServer */
/* TCPServer, and UnixStreamServer on it when opt.path says so. */
int shs__stream_server_push(struct shs_server *self);
/* The end of every constructor: binds if the options say so; on an error frees *server. */
int shs__server_finish_new(struct shs_server **server, struct shs_error *err);

/* What a failed accept(2) or recvmsg(2) means for the loop: SHS_WAIT_READ, SHS_STOPPED ... */
int shs__accept_failed(struct shs_server *self, int sys_errno);
/* Binds one address; on an error nothing of it is left open. */
int shs__tcp_bind(struct shs_server *self, struct shs_listener *listener, const char *host,
                  const char *port);
int shs__unix_bind(struct shs_server *self, struct shs_listener *listener, const char *path);
/* True: the socket was to be an inherited one, and *rc is what came of it. */
bool shs__server_take_inherited(struct shs_server *self, struct shs_listener *listener, int *rc);
/* What the socket's address is, whichever family it has. */
int shs__tcp_learn(struct shs_server *self, struct shs_listener *listener);
int shs__unix_learn(struct shs_server *self, struct shs_listener *listener);
/* The addresses behind the first one, which was bound with `rc`: all of them, or none. */
int shs__server_bind_others(struct shs_server *self, int rc);
/* The socket's path goes, if it is ours and should. Before the socket is closed. */
void shs__unix_forget(struct shs_server *self, struct shs_listener *listener);
/* The group of a Unix socket, by a name or a number. */
int shs__unix_find_group(struct shs_server *self, const char *name, gid_t *gid);
/* Says so once when the path was removed, or is another's by now. The loop's thread. */
void shs__unix_look(struct shs_server *self);
/* Every address is listened at: what is kept for undoing it goes. */
void shs__unix_settle(struct shs_server *self);
/* Another listening socket at the same address (SO_REUSEPORT): SHS_OK, or SHS_IO. */
int shs__tcp_listen_again(struct shs_server *self, const struct shs_listener *at,
                          struct shs_listener *out);

/* loop.c: one request is taken, from `self->ready` or from one socket on any thread. SHS_OK: go on;
   SHS_WAIT_READ: nobody, or not now; else the end. */
int shs__server_take(struct shs_server *self, struct shs_listener *from);
/* One more was refused because it had waited for too long: counted, and now and then logged. */
void shs__server_refused_late(struct shs_server *self);
/* The listening sockets that are open, for poll(2): how many, SHS_MAX_LISTENERS at most. Of the
   serving thread. */
unsigned shs__server_poll_listeners(const struct shs_server *self, struct pollfd *fds);
/* No layer insists on seeing a request on the serving thread before its conversation. */
bool shs__server_takes_anywhere(const struct shs_server *self);

/*
 * In a child, right after fork(2) by the serving thread, which held `lock`: lets it go, and makes
 * the child's own what would otherwise be shared with the parent. Async-signal-safe calls only.
 * `leave_fd` becomes readable when the child has to go.
 */
void shs__server_after_fork(struct shs_server *self, int leave_fd);

/* Before anybody serves: if this is a child of the process that made the server, what both would
   share is made again. SHS_OK, or SHS_IO. */
int shs__server_adopt(struct shs_server *self);

/* A deadline for pthread_cond_timedwait; the conditions here count in CLOCK_MONOTONIC. */
static inline struct timespec shs__timespec(int64_t ns)
{
    struct timespec ts = {.tv_sec = ns / SHS_NS_PER_S, .tv_nsec = ns % SHS_NS_PER_S};

    return ts;
}

/* References for a mixin's threads. unref may free the server, on whatever thread. */
void shs__server_ref(struct shs_server *self);
void shs__server_unref(struct shs_server *self);
/* For who knows that its memory is still there: false if the last one was given back. */
bool shs__server_try_ref(struct shs_server *self);

void shs__server_wake(struct shs_server *self);
/* The serving thread has seen that it was woken. */
void shs__server_drain_wake(struct shs_server *self);

/*
 * For threads that run handlers: the stack, no less than what our own code needs, and the signal
 * mask of the thread that composes. What a handler starts (popen, posix_spawn) inherits the mask.
 */
int shs__thread_attr_init(pthread_attr_t *attr, size_t stack);
/* The first call of a mixin's thread: its name (15 bytes). */
void shs__thread_begin(const char *name);
/* How many cores this process may use, by its affinity and by the quotas of its control groups; at
   least 1. Looked up again. */
unsigned shs__usable_cores(void);
/* By the quotas alone, rounded up; UINT_MAX: there are none. `prefix` stands before each path. */
unsigned shs__quota_cores(const char *prefix);
/* A scheduler may be pushed: SHS_OK, or SHS_USAGE with the words. */
int shs__server_may_serve(struct shs_server *self, const char *mixin, struct shs_error *err);

/* Open connections are as many as there may be: the longest idle ones are told to end. */
void shs__server_make_room(struct shs_server *self);
/* A wave of connections has gone: what they used goes back to the system. On the serving thread. */
void shs__server_give_memory_back(struct shs_server *self, int64_t now_ns);

/* The life of a connection in the live list: in; out, still allocated; gone. */
void shs__server_add_conn(struct shs_server *self, struct shs_conn *conn);
void shs__server_remove_conn(struct shs_server *self, struct shs_conn *conn);
void shs__server_conn_gone(struct shs_server *self);

/* Calls `finish` of a handler that was set up, and frees its instance. */
void shs__conn_finish_handler(struct shs_conn *conn);

/* server_close, from the top of the chain. */
int shs__server_close_chain(struct shs_server *self);

/* server_close, and then a wait for the handlers it left alone: what they use is freed next. */
void shs__server_close_and_wait(struct shs_server *self);

/* The caller's options, of whatever version, as one of ours. Strings are borrowed. */
int shs__options_take(struct shs_options *to, const struct shs_options *from,
                      struct shs_error *err);
/* The same with copies of the strings; free *strings with shs__free. */
int shs__options_copy(struct shs_options *to, const struct shs_options *from, void **strings,
                      struct shs_error *err);

#endif
