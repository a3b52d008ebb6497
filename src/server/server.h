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

#include <pthread.h>
#include <stdatomic.h>

#include <shs/server.h>

#include "server/conn.h"

#define SHS_MAX_LAYERS 32u

struct shs_server {
    struct shs_layer base_layer; /* BaseServer */
    struct shs_layer *top;
    unsigned layer_count;
    char *description; /* made by shs_server_describe */

    struct shs_options opt; /* a copy; its strings are owned here */
    void *opt_strings;
    const struct shs_request_handler_class *handler_class;

    /* class attributes; a server class sets them before it binds */
    int address_family; /* AF_UNSPEC: whatever the host's name gives */
    int socket_type;    /* SOCK_STREAM, SOCK_DGRAM */
    bool client_first;  /* HTTP, TLS: a new connection has nothing to do before its first byte */
    /* what it speaks, by its ALPN name (RFC 7301), static: "http/1.1"; NULL */
    /* What it speaks, by its ALPN name (RFC 7301), static; NULL: whatever the handler does.
       Who sets it answers shs_conn.refusal as well. */
    const char *protocol;

    /* server_address */
    _Atomic int fd; /* listening; -1 when there is none */
    char host[112]; /* room for a Unix socket's path */
    unsigned port;
    bool bound, activated;

    /* the loop */
    _Atomic int wake_fd; /* eventfd: shutdown, resume_accept */
    /* what it was before a fork, or -1: open until the end, for who has read it already */
    int parents_wake_fd;
    _Atomic bool serving;
    _Atomic bool frozen; /* somebody has served: the chain is as it is for good */
    bool
        orphaned; /* shs_server_free could not wait for the loop: it closes and frees. Under lock */
    pid_t pid;    /* who made it, or serves it: a child makes what is shared its own */
    int (*adopt)(struct shs_layer *layer); /* a mixin's part of that; NULL: none */
    struct shs_layer *adopt_layer;
    _Atomic bool shutdown_requested;
    _Atomic bool stopping; /* server_close has begun */
    _Atomic int64_t stop_deadline_ns;
    _Atomic unsigned pauses;         /* shs_server_pause_accept, nested */
    pthread_t loop_thread;           /* valid while serving, under lock */
    _Atomic int64_t accept_retry_ns; /* back-off after a failed accept */
    _Atomic int64_t accept_said_ns;  /* until then the log is not told of another */
    int64_t loop_limit_ns; /* a conversation on the loop ends here; INT64_MAX: no shutdown yet */
    bool closed;
    bool forked;           /* in a child of ForkingMixIn */
    struct {               /* a mixin's descriptor in the loop's poll */
        int fd;            /* -1: none */
        unsigned every_ms; /* not only then, but at least so often; 0: every poll_interval_ms */
        /* on the loop's thread, when fd is readable */
        void (*ready)(struct shs_layer *layer);
        struct shs_layer *layer;
    } watch;
    struct { /* told when serving begins, on the serving thread: serve_forever, handle_request */
        void (*now)(struct shs_layer *layer);
        struct shs_layer *layer;
    } begins;
    /*
     * A mixin that can take connections on its own threads, while serve_forever runs: one hand-over
     * less for each. Only when nobody would see the difference: see shs__server_accepts_plainly.
 */
    struct {
        bool (*start)(struct shs_layer *layer); /* false: the loop accepts, as always */
        void (*stop)(struct shs_layer *layer);  /* after it nothing is accepted any more */
        void (*again)(struct shs_layer *layer); /* accepting was not possible, and is now */
        /* its own listening sockets, which somebody must look at while it does not: how many */
        unsigned (*listeners)(struct shs_layer *layer, int *fds, unsigned max);
        struct shs_layer *layer;
    } acceptor;
    int ready_fd; /* which of several listening sockets get_request is for; -1: the only one */
    _Atomic int accept_result; /* why the acceptor gave up: SHS_OK, SHS_STOPPED */

    pthread_mutex_t fork_lock; /* no child is forked while it is held; taken before `lock` */
    pthread_mutex_t lock;
    pthread_cond_t changed; /* a connection or the loop ended */
    struct shs_conn *live;  /* every connection between get_request and close_request */
    unsigned live_count;
    _Atomic unsigned open_count; /* the same number, to look at without the lock */
    struct shs_error error;

    /* Owner, every live connection and every thread of a mixin hold one; the last frees. */
    _Atomic unsigned references;

    struct {
        _Atomic uint64_t accepted, refused, accept_errors, accept_pauses, errors, timeouts;
        _Atomic uint64_t stuck_handlers;
        _Atomic int64_t threads;
        _Atomic uint64_t children;
    } stats;
};

extern const struct shs_server_ops shs__base_server_ops;

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
/* TCPServer.get_request of the listening socket `fd`. Any thread. */
int shs__tcp_accept(struct shs_server *self, int fd, struct shs_conn **out);
/* Another listening socket at the same address (SO_REUSEPORT): SHS_OK, or SHS_IO. */
int shs__tcp_listen_again(struct shs_server *self, int *fd);
/*
 * True if accepting is nothing but TCPServer's accept and `process`: no layer of anybody's looks at
 * a connection before process_request, or has a right to see it on the serving thread.
 */
bool shs__server_accepts_plainly(struct shs_server *self,
                                 int (*process)(struct shs_layer *, struct shs_conn *));
/* The parts of a turn of the loop, for an acceptor. May another one be accepted? */
bool shs__server_may_accept(struct shs_server *self);
/* get_request has failed with `rc`: counted; SHS_OK: go on, SHS_WAIT_READ: not now, or the end. */
int shs__server_get_failed(struct shs_server *self, int rc);
/* process_request has not taken the connection. SHS_OK, or SHS_EXIT. */
int shs__server_process_failed(struct shs_server *self, struct shs_conn *conn, int rc);

/*
 * In a child, right after fork(2) by the serving thread, which held `lock`: lets it go, and makes
 * the child's own what would otherwise be shared with the parent. Async-signal-safe calls only.
 */
void shs__server_after_fork(struct shs_server *self);

/* Before anybody serves: if this is a child of the process that made the server, what both would
   share is made anew. SHS_OK, or SHS_IO. */
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
/* Which of the mixins that serve requests is there, for a second one's message: SHS_USAGE, or 0. */
int shs__server_may_serve(struct shs_server *self, const char *mixin, struct shs_error *err);

/* The life of a connection in the live list: in; out, still allocated; gone. */
void shs__server_add_conn(struct shs_server *self, struct shs_conn *conn);
void shs__server_remove_conn(struct shs_server *self, struct shs_conn *conn);
void shs__server_conn_gone(struct shs_server *self);

/* Calls `finish` of a handler that was set up, and frees its instance. */
void shs__conn_finish_handler(struct shs_conn *conn);

/* server_close, from the top of the chain. */
int shs__server_close_chain(struct shs_server *self);

/* The caller's options, of whatever version, as one of ours. Strings are borrowed. */
int shs__options_take(struct shs_options *to, const struct shs_options *from,
                      struct shs_error *err);
/* The same with copies of the strings; free *strings with shs__free. */
int shs__options_copy(struct shs_options *to, const struct shs_options *from, void **strings,
                      struct shs_error *err);

#endif
