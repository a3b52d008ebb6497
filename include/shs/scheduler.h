/*
 * shs/scheduler.h - which thread goes on with a connection, and which one accepts.
 *
 * Concept
 *
 *   finish_request never waits (shs/server.h), so somebody has to: to call it again when the peer
 *   is ready, when the deadline has passed, or, after SHS_YIELD, when others had their turn. That
 *   is the scheduler. It is a layer of the chain with a second table: a mixin that knows threads.
 *
 *       BaseServer         the serving thread itself; no more than one conversation at a time
 *       ThreadingMixIn     a thread for each
 *       ForkingMixIn       a child process for each
 *       ThreadPoolMixIn    a few threads for all of them
 *       yours              one thread and poll(2), say
 *
 *   All of them are written over what is in this header. A server has one scheduler: BaseServer's,
 *   until a mixin brings another. Which one it is changes who waits, and nothing else.
 *
 * How a connection comes to it
 *
 *   The serving thread takes connections from the listening sockets: get_request, verify_request,
 *   process_request. BaseServer's process_request, and a mixin's that is shs_schedule_request, give
 *   each to `add`; it is the scheduler's then, until shs_server_end_request.
 *
 *   A scheduler with threads of its own may spare that hand-over: when `start` is told that
 *   requests may be taken on any thread, it may listen itself and call shs_server_take_request.
 *   They may unless some layer wants to see them on the serving thread: one that defines
 *   get_request without accept_request, or verify_request or process_request without
 *   ops->any_thread.
 *
 * What a scheduler does with a connection
 *
 *   1. shs_conn_advance. SHS_WAIT_READ or SHS_WAIT_WRITE: wait until shs_conn_fileno is ready for
 *      that, or shs_conn_deadline has passed, and advance again. SHS_YIELD: let others have their
 *      turn, and advance again. Anything else: shs_server_end_request, once.
 *   2. One thread at a time, each with the memory that the last one has left: a lock, or epoll,
 *      between them.
 *   3. server_close of the mixin calls super first, which wakes whoever waits for a peer: its
 *      descriptor becomes readable. Connections are then ended as always. Who cannot wait for them
 *      any longer, at shs_server_stop_deadline, ends them with SHS_STOPPED.
 */
#ifndef SHS_SCHEDULER_H
#define SHS_SCHEDULER_H

#include <shs/server.h>

#ifdef __cplusplus
extern "C" {
#endif

struct shs_scheduler_ops;

/* Embed it in the mixin's struct, beside its state. shs_server_push_scheduler fills it. */
struct shs_scheduler {
    struct shs_layer layer;
    const struct shs_scheduler_ops *ops;
    /* For told_ready: the serving thread polls this descriptor beside the listening sockets. -1
       after the push; set by the mixin, on the thread that composes or serves. -1: none */
    int fd;
    unsigned every_ms; /* told_ready is called at least so often; 0: every poll_interval_ms */
};

/* What a scheduler does. static const; only `add` must be there. */
struct shs_scheduler_ops {
    /*
     * A connection begins. 0: it is the scheduler's. < 0: not taken, with shs_conn_fail; the caller
     * ends it. On the serving thread, or on whichever has called shs_server_take_request; also
     * before `start`, for shs_handle_request does not start anything.
 */
    int (*add)(struct shs_scheduler *self, struct shs_conn *conn);
    /*
     * shs_serve_forever begins, on its thread. True: from now on until `stop` the scheduler takes
     * requests from every listening socket itself, which it may only if `may_take`. False: the
     * serving thread does.
 */
    bool (*start)(struct shs_scheduler *self, bool may_take);
    /* The scheduler's `start` was true, and accepting was not possible for a while (a bound, no
       descriptors); now it is. On the serving thread, at least once after shs_server_ask_resume. */
    void (*resume)(struct shs_scheduler *self);
    /* shs_serve_forever ends: after this nothing is taken. What was taken goes on. */
    void (*stop)(struct shs_scheduler *self);
    /* `fd` is readable, or every_ms have passed. On the serving thread, also in handle_request */
    void (*told_ready)(struct shs_scheduler *self);
    /* This is a child of the process that made the server, nobody has served, and somebody is about
       to: what both processes would share (epoll sets, pipes) is made again. 0, or < 0 with
       shs_server_fail */
    int (*adopt)(struct shs_scheduler *self);
    /* A balancer has named a connection's client (proxy.h), which was not known when it was added:
       bounds for each client apply to it now. 0, or < 0 with shs_conn_fail. Its owner thread */
    int (*client_known)(struct shs_scheduler *self, struct shs_conn *conn);
};

/*
 * shs_server_push for a layer that is a scheduler.
 *
 *   scheduler  borrowed, as shs_server_push borrows a layer
 *   layer_ops  its slots in the chain; process_request is shs_schedule_request as a rule
 *   ops        borrowed; static const
 *   err        may be NULL
 *
 * Returns 0, or < 0 with *err: SHS_USAGE (the server has such a layer already, or has served, or
 * there is no `add`), or what shs_server_push returns. Composing thread only.
 */
SHS_API int shs_server_push_scheduler(struct shs_server *self, struct shs_scheduler *scheduler,
                                      const struct shs_server_ops *layer_ops,
                                      const struct shs_scheduler_ops *ops,
                                      struct shs_error *err) SHS_MUST_CHECK;

/* process_request of a layer that is a scheduler, and BaseServer's: `add`. */
SHS_API int shs_schedule_request(struct shs_layer *self, struct shs_conn *conn);

/* -- conversations ---------------------------------------------------------------------------- */

/*
 * finish_request, for whoever waits afterwards.
 *
 *   expired  the deadline has passed. A conversation that then goes on to wait for the same moment
 *            has failed, with SHS_TIMEOUT
 *
 * Returns SHS_WAIT_READ, SHS_WAIT_WRITE or SHS_YIELD; else the conversation is over, well (0) or
 * not (< 0). Owner thread only.
 */
SHS_API int shs_conn_advance(struct shs_conn *conn, bool expired) SHS_MUST_CHECK;

/*
 * A conversation is over, with what shs_conn_advance or shs_server_converse has returned:
 * handle_error if it failed, and shutdown_request. `conn` is gone after it.
 */
SHS_API void shs_server_end_request(struct shs_server *self, struct shs_conn *conn, int rc);

/* It may answer so many requests that are there, or send so many pieces of a long answer, before it
   returns SHS_YIELD. 0, and always at first: it never does. Owner thread only. */
SHS_API void shs_conn_set_turn(struct shs_conn *conn, unsigned turns);

/* Sets what shs_conn_overloaded says: there is no thread for a handler. Owner thread only. */
SHS_API void shs_conn_set_overloaded(struct shs_conn *conn, bool overloaded);

/*
 * A poll has told of the peer, for edge-triggered ones. Each time: what one has told it does not
 * tell again, though nobody may have read it yet (the connection had an answer to write).
 *
 *   ended    that its data has ended, or worse (EPOLLRDHUP, EPOLLHUP, EPOLLERR)
 *   told_ns  when it was there at the latest (shs_now_ns); 0: not known
 *
 * Owner thread only.
 */
SHS_API void shs_conn_told_ready(struct shs_conn *conn, bool ended, int64_t told_ns);

/*
 * It has told of urgent data (EPOLLPRI), which ends a read before the socket is empty: from then on
 * one that gave less than was asked for is not taken for the last. Who does not ask an
 * edge-triggered poll for that lets a connection with such data wait for its peer, who has sent
 * everything. Beside shs_conn_told_ready; owner thread only.
 */
SHS_API void shs_conn_told_urgent(struct shs_conn *conn);

/* True if the last read has emptied the socket, and nothing was told since, nor its end: then an
   edge-triggered poll tells of what comes next. False: it has to be asked again (EPOLL_CTL_MOD).
   For SHS_WAIT_WRITE always: a handler may ask for room that there is. Owner thread. */
SHS_API bool shs_conn_is_drained(const struct shs_conn *conn);

/*
 * Looks at a connection that a handler left with SHS_WAIT_READ, for whoever has only few threads:
 * of a handler that reads with shs_conn_read each call costs one, until there is something. What a
 * poll has told may have been read since, or be half a record of TLS.
 *
 * Returns SHS_OK when a read would not wait, and always for a connection of HTTP or after another
 * answer: call shs_conn_advance. SHS_WAIT_READ or SHS_WAIT_WRITE: it waits for that, until the same
 * deadline. Owner thread only.
 */
SHS_API int shs_conn_look(struct shs_conn *conn) SHS_MUST_CHECK;

/* A datagram is all there when it is added, and its descriptor is the server's: not for epoll. Any
   thread. */
SHS_API bool shs_conn_is_datagram(const struct shs_conn *conn);

/* True if there is nothing to do for a new connection before its first byte (HTTP, TLS). Any
   thread. */
SHS_API bool shs_server_client_first(const struct shs_server *self);

/* -- accepting -------------------------------------------------------------------------------- */

/*
 * Takes one request from a listening socket: accept_request, verify_request, process_request. On a
 * thread of a scheduler between `start` and `stop`; several may do it at once.
 *
 * Returns 0: look for another; SHS_WAIT_READ: nobody is there, or accepting is not possible for a
 * while; < 0: it is over, and the loop has been told.
 */
SHS_API int shs_server_take_request(struct shs_server *self,
                                    struct shs_listener *from) SHS_MUST_CHECK;

/* False while no connection may be taken: accepting is paused, max_connections are open, or there
   were not descriptors a moment ago. Any thread. */
SHS_API bool shs_server_may_accept(struct shs_server *self);

/* `resume` is wanted when shs_server_may_accept is true again. It may be so already: look once more
   after this. Any thread. */
SHS_API void shs_server_ask_resume(struct shs_server *self);

#ifdef __cplusplus
}
#endif

#endif
