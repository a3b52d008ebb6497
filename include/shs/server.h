/*
 * shs/server.h - the class family of Python's socketserver, and how a mixin joins it.
 *
 *          BaseServer
 *              |
 *          TCPServer ------- UnixStreamServer
 *           |      |
 *     HTTPServer  UDPServer ------- UnixDatagramServer
 *
 *   mixins, pushed on top of any of them: ThreadingMixIn, ThreadPoolMixIn, ForkingMixIn, TLSMixIn
 *   and ProxyProtocolMixIn (over streams), and yours.
 *
 * Concept: a mixin is one link of the server's own method chain
 *
 *   In Python, `class SecureHTTPServer(ThreadingMixIn, HTTPServer)` works although ThreadingMixIn
 *   inherits from nothing, because of two rules: the base class always calls self.process_request,
 *   looked up from the top; and super() means "the next definition after mine", whatever class has
 *   it. Here a server is a chain of layers, and each layer has a table with the methods it defines:
 *
 *       ThreadingMixIn > TLSMixIn > HTTPServer > TCPServer > BaseServer
 *
 *       shs_server_process_request(server, conn)   self.process_request(...): from the top
 *       shs_super_process_request(layer, conn)     super().process_request(...): below this layer
 *
 *   A NULL slot inherits. BaseServer defines them all, so every walk ends.
 *
 *   Your own mixin is a struct with a struct shs_layer in it, a table, and a call of
 *   shs_server_push (examples/my_mixin.c).
 *
 * The slots: who may do what (Python's "May be overridden" and "May be extended")
 *
 *   override    define it, and call super or not
 *   extend      define it, and call super exactly once on every path
 *   broadcast   no super: the core calls every layer that defines it, from the top down
 *
 * Who waits, and where
 *
 *   finish_request advances a connection as far as it goes WITHOUT WAITING for the peer, and
 *   returns 0 (the conversation is over), a negative error, or SHS_WAIT_READ / SHS_WAIT_WRITE with
 *   an absolute deadline in the connection. It is then called again when the peer is ready or the
 *   deadline has passed; after SHS_YIELD, when others had their turn. wait_request is the slot that
 *   waits. Which thread calls them is what a scheduler decides (scheduler.h): none (the serving
 *   thread), one per connection, a child process, or a pool. A handler that blocks does it in
 *   shs_conn_read and shs_conn_write, which come down to wait_request as well.
 *
 * Life cycle
 *
 *   1. A constructor (shs_tcp_server_new, shs_http_server_new, shs_secure_http_server_new) makes
 *      the chain, and binds and listens unless opt.bind_and_activate is false.
 *   2. Mixins are pushed. One that defines server_bind or server_activate must come before binding.
 *   3. shs_serve_forever, shs_handle_request or shs_server_get_request freezes the chain, for good:
 *      from then on shs_server_push answers SHS_USAGE.
 *   4. shs_shutdown ends the loop; shs_serve_forever may be called again.
 *   5. shs_server_close stops listening, ends every connection and waits for every thread, within
 *      opt.stop_ms + opt.close_ms.
 *   6. shs_server_free ends the loop and closes if need be, tells every layer (layer_free), and
 *      frees.
 *
 *   A process may be forked between 1 and 3 (daemon(3), several that serve one socket): each that
 *   serves makes what it would share with the others its own. After 3 the threads and connections
 *   are those of the process that served, and another one's shs_serve_forever answers SHS_USAGE.
 *
 * Follows: CPython Lib/socketserver.py. Where this differs on purpose: the loop is woken, not
 * polled; shutdown does not deadlock; accept errors back off and are counted; threads are bounded;
 * server_close unblocks whoever waits before it joins.
 */
#ifndef SHS_SERVER_H
#define SHS_SERVER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/socket.h>

#include <shs/error.h>
#include <shs/options.h>
#include <shs/str.h>

#ifdef __cplusplus
extern "C" {
#endif

struct shs_server; /* the whole object: Python's `self` */
struct shs_conn;   /* one request: an accepted connection */
struct shs_server_ops;
struct shs_listener;              /* a listening socket: scheduler.h */
struct shs_request_handler_class; /* handler.h */

/* The struct that has *p as its member: from a layer to the mixin around it. */
#define SHS_CONTAINER_OF(p, type, member) ((type *)(void *)((char *)(p)-offsetof(type, member)))

/*
 * One link of the chain. Embed it in the mixin's struct, beside the mixin's state. shs_server_push
 * fills it; a mixin only reads it.
 */
struct shs_layer {
    const struct shs_server_ops *ops; /* what this layer defines; NULL slot = inherit */
    struct shs_layer *super;          /* the next link down; NULL only under BaseServer */
    struct shs_server *server;        /* self: call through it to start again from the top */
    unsigned index;                   /* 0 is BaseServer; also the number of its place in a conn */
};

/* What a layer defines: static const, with designated initialisers. In calling order. */
struct shs_server_ops {
    const char *name; /* "ThreadingMixIn": for shs_server_describe and messages */

    /* override: create the socket, bind it, learn the real address */
    int (*server_bind)(struct shs_layer *self);
    /* extend: listen */
    int (*server_activate)(struct shs_layer *self);
    /* broadcast: shs_serve_forever or shs_handle_request begins, on this thread */
    void (*begin_serving)(struct shs_layer *self);
    /* extend: accept one. SHS_OK with *out, SHS_WAIT_READ when there is none, < 0 on an error.
       No I/O with the peer: a handshake belongs in finish_request */
    int (*get_request)(struct shs_layer *self, struct shs_conn **out);
    /* extend: the same from that listening socket, on any thread (shs/scheduler.h). A layer that
       defines get_request alone is always asked, on the serving thread */
    int (*accept_request)(struct shs_layer *self, struct shs_listener *from, struct shs_conn **out);
    /* not a slot: verify_request and process_request of this layer may be called on any thread */
    bool any_thread;
    /* override: false refuses: process_request is not called, shutdown_request is */
    bool (*verify_request)(struct shs_layer *self, struct shs_conn *conn);
    /* override: 0 = taken: someone will call shutdown_request, exactly once, on any thread.
       < 0 = not taken: the caller calls handle_error and shutdown_request */
    int (*process_request)(struct shs_layer *self, struct shs_conn *conn);
    /* extend: go on with the conversation without waiting. 0, < 0, SHS_WAIT_* or SHS_YIELD */
    int (*finish_request)(struct shs_layer *self, struct shs_conn *conn);
    /* override: wait until the peer is ready for `what` (SHS_WAIT_READ or SHS_WAIT_WRITE):
       SHS_OK, SHS_TIMEOUT (the connection's deadline), SHS_STOPPED, or SHS_IO */
    int (*wait_request)(struct shs_layer *self, struct shs_conn *conn, int what);
    /* extend: the conversation is over; ends in close_request. Never waits */
    void (*shutdown_request)(struct shs_layer *self, struct shs_conn *conn);
    /* extend: free what this layer keeps for the connection, then super. `conn` is gone after it */
    void (*close_request)(struct shs_layer *self, struct shs_conn *conn);
    /* override: a request failed. The default writes a line to opt.log. `conn` may be NULL */
    void (*handle_error)(struct shs_layer *self, struct shs_conn *conn,
                         const struct shs_error *err);
    /* override: shs_handle_request's timeout passed */
    void (*handle_timeout)(struct shs_layer *self);
    /* broadcast: once per turn of the loop, also when there was nothing to accept. A turn is one
       request, or with a mixin up to 64 that are handed on */
    void (*service_actions)(struct shs_layer *self);
    /* extend: stop. Call super FIRST: it closes the listening socket and wakes every connection;
       then wait for what is yours, until the deadline of shs_server_stop_deadline */
    int (*server_close)(struct shs_layer *self);
    /* broadcast: the server is going; free the layer if you allocated it */
    void (*layer_free)(struct shs_layer *self);
};

/* -- composing -------------------------------------------------------------------------------- */

/*
 * TCPServer(server_address, RequestHandlerClass): TCPServer > BaseServer.
 *
 *   out      the server; free it with shs_server_free
 *   opt      copied
 *   handler  borrowed until the server is freed; must have `handle`
 *   err      may be NULL; filled when the call fails
 *
 * Returns 0, or < 0 with *err: SHS_USAGE (no handler, out or opt is NULL, opt was not initialised,
 * a value that cannot be used), SHS_IO (bind or listen failed, errno there), SHS_NOMEM. After an
 * error nothing is left open.
 */
SHS_API int shs_tcp_server_new(struct shs_server **out, const struct shs_options *opt,
                               const struct shs_request_handler_class *handler,
                               struct shs_error *err) SHS_MUST_CHECK;

/*
 * The other server classes. Each is as shs_tcp_server_new, and differs in what is said here.
 *
 * UDPServer > TCPServer > BaseServer: a request is one datagram of at most opt.max_packet_size
 * bytes (shs_conn_packet). The socket is the server's; answers go out by shs_conn_sendto, or with
 * each shs_conn_write as one datagram.
 *
 * UnixStreamServer > TCPServer > BaseServer and UnixDatagramServer > UDPServer > ...: at opt.path,
 * or opt.host when that is NULL. shs_server_host is the path ("@name" for an abstract one),
 * shs_server_port 0. A datagram client must bind a path of its own to be answered.
 */
SHS_API int shs_udp_server_new(struct shs_server **out, const struct shs_options *opt,
                               const struct shs_request_handler_class *handler,
                               struct shs_error *err) SHS_MUST_CHECK;
SHS_API int shs_unix_stream_server_new(struct shs_server **out, const struct shs_options *opt,
                                       const struct shs_request_handler_class *handler,
                                       struct shs_error *err) SHS_MUST_CHECK;
SHS_API int shs_unix_datagram_server_new(struct shs_server **out, const struct shs_options *opt,
                                         const struct shs_request_handler_class *handler,
                                         struct shs_error *err) SHS_MUST_CHECK;

/*
 * Ready compositions, as in Python: class ThreadingTCPServer(ThreadingMixIn, TCPServer): pass. They
 * fail as their parts do.
 */
SHS_API int shs_threading_tcp_server_new(struct shs_server **out, const struct shs_options *opt,
                                         const struct shs_request_handler_class *handler,
                                         struct shs_error *err) SHS_MUST_CHECK;
SHS_API int shs_threading_udp_server_new(struct shs_server **out, const struct shs_options *opt,
                                         const struct shs_request_handler_class *handler,
                                         struct shs_error *err) SHS_MUST_CHECK;
SHS_API int shs_threading_unix_stream_server_new(struct shs_server **out,
                                                 const struct shs_options *opt,
                                                 const struct shs_request_handler_class *handler,
                                                 struct shs_error *err) SHS_MUST_CHECK;
SHS_API int shs_threading_unix_datagram_server_new(struct shs_server **out,
                                                   const struct shs_options *opt,
                                                   const struct shs_request_handler_class *handler,
                                                   struct shs_error *err) SHS_MUST_CHECK;
SHS_API int shs_forking_tcp_server_new(struct shs_server **out, const struct shs_options *opt,
                                       const struct shs_request_handler_class *handler,
                                       struct shs_error *err) SHS_MUST_CHECK;
SHS_API int shs_forking_udp_server_new(struct shs_server **out, const struct shs_options *opt,
                                       const struct shs_request_handler_class *handler,
                                       struct shs_error *err) SHS_MUST_CHECK;
SHS_API int shs_forking_unix_stream_server_new(struct shs_server **out,
                                               const struct shs_options *opt,
                                               const struct shs_request_handler_class *handler,
                                               struct shs_error *err) SHS_MUST_CHECK;
SHS_API int shs_forking_unix_datagram_server_new(struct shs_server **out,
                                                 const struct shs_options *opt,
                                                 const struct shs_request_handler_class *handler,
                                                 struct shs_error *err) SHS_MUST_CHECK;

/*
 * Puts a layer on top of the chain.
 *
 *   layer  borrowed: it must outlive the server, or free itself in layer_free
 *   ops    borrowed; static const
 *
 * Returns 0; SHS_USAGE when the server serves or has served, if the layer is in a chain already, or
 * if it defines server_bind or server_activate and the server is bound; SHS_LIMIT beyond 32 layers.
 * Not thread-safe: compose, then serve.
 */
SHS_API int shs_server_push(struct shs_server *self, struct shs_layer *layer,
                            const struct shs_server_ops *ops) SHS_MUST_CHECK;

/*
 * ThreadingMixIn: process_request starts a thread for each request (opt.max_threads at most; then
 * the server stops accepting until one ends; the kernel's backlog is the queue). A finished thread
 * is joined at once. server_close waits for all of them unless opt.daemon_threads or not
 * opt.block_on_close, and never longer than its deadline.
 *
 * The threads have the signal mask of the thread that composes, and so have the programs that a
 * handler starts. One mixin serves a server's requests: ThreadingMixIn, ThreadPoolMixIn or
 * ForkingMixIn.
 *
 * Returns 0, SHS_USAGE (there is one already, or thread_stack_size cannot be used), SHS_NOMEM or
 * what shs_server_push returns.
 */
SHS_API int shs_threading_mixin_push(struct shs_server *self, struct shs_error *err) SHS_MUST_CHECK;

/*
 * ForkingMixIn: process_request forks, and the child has the conversation: finish_request,
 * handle_error if it failed, shutdown_request, _exit (0, or 1 when it failed). It never returns
 * into the loop, no exit handler runs and no stdio buffer is flushed in it: a handler that prints
 * calls fflush. The parent closes its copy (close_request) and accepts the next.
 *
 *   - opt.max_children at most; then the server stops accepting until one ends. Called directly at
 *     the bound, process_request waits for that at most opt.stop_ms, then answers SHS_LIMIT.
 *   - Only children that were made here are waited for, each by itself: the host's own children
 *     keep their exit codes. The loop wakes when one ends.
 *   - A child that a signal killed is reported to handle_error (with a NULL connection).
 *   - server_close ends idle connections at once and lets the others answer the request they have,
 *     in opt.stop_ms at most. Then it sends SIGTERM, after opt.close_ms more SIGKILL, and has
 *     waited for them all when it returns; unless not opt.block_on_close. When the parent dies, its
 *     children end the same way, each with the answer it is at.
 *   - shs_handle_request's timeout becomes 300 s, as in Python, if none was set.
 *
 * What a handler may do, in a process that has other threads
 *
 *   The child has only the thread that forked. No other thread's lock is needed to get there: the
 *   server's own lock is held over fork and let go on both sides, and between fork and the
 *   handler's setup only async-signal-safe calls are made. From there on a handler may allocate
 *   memory (glibc keeps malloc and stdio safe over fork), read, write, and call opt.log. A lock
 *   that another thread of the host may hold at the moment of the fork must be prepared for it
 *   (pthread_atfork), or the handler must not take it; that goes for opt.log as well.
 *
 *   OpenSSL has such locks: it does not prepare its own (its random generator's, for one). With
 *   TLSMixIn, whose handshake is in the child, no other thread of the process may use OpenSSL while
 *   the server serves, or a child may wait for ever. The server itself has no other thread.
 *
 *   A handler in a child must not call shs_serve_forever, shs_server_close or shs_server_free on
 *   the server it came by; shs_shutdown ends only its own conversation, between two requests.
 *   Descriptors are copied: the end of a stream is not seen while another child has a copy of the
 *   other end. The parent's statistics do not see what happens in a child.
 *
 * Returns 0; SHS_USAGE (max_children is 0; or as shs_threading_mixin_push), SHS_NOMEM, SHS_IO (no
 * descriptors), or what shs_server_push returns.
 */
SHS_API int shs_forking_mixin_push(struct shs_server *self, struct shs_error *err) SHS_MUST_CHECK;

/*
 * collect_children: takes the children that have ended, and waits for all of them at most
 * timeout_ms; 0 only looks. Python's active_children is how many have not ended, as far as is
 * known.
 *
 * Returns 0 when none is left, SHS_TIMEOUT, or SHS_USAGE without ForkingMixIn. On the serving
 * thread, or while nobody serves. shs_server_active_children: any thread.
 */
SHS_API int shs_server_collect_children(struct shs_server *self,
                                        unsigned timeout_ms) SHS_MUST_CHECK;
SHS_API unsigned shs_server_active_children(const struct shs_server *self);

/*
 * ThreadPoolMixIn: nobody waits. A connection whose peer is slow, silent or idle is parked in epoll
 * and holds no thread; a worker picks it up when the peer is ready or the deadline has passed.
 *
 * opt.threads workers may run at once (as many as cores by default). A handler may block: this is
 * noticed within a few milliseconds and another worker takes the place, up to opt.max_threads in
 * all; who is not needed leaves after opt.spare_ms. When every worker is blocked, a request waits
 * for opt.queue_ms, and is then answered 503 with Retry-After. Workers start with the first
 * request.
 *
 * Handlers run on several threads at once, and one connection's requests on different threads.
 *
 * Returns 0, SHS_USAGE as shs_threading_mixin_push, SHS_NOMEM, SHS_IO (no descriptor for epoll) or
 * what shs_server_push returns.
 */
SHS_API int shs_thread_pool_mixin_push(struct shs_server *self,
                                       struct shs_error *err) SHS_MUST_CHECK;

/*
 * One set of workers for several servers: `self` gives up its own pool, and the workers of `with`
 * serve both. Both have a ThreadPoolMixIn. Six listeners then have as many threads as one, and any
 * worker that is free serves whichever of them has something to do; those that have have their
 * turns one after the other.
 *
 *   self  has not served yet, and nobody shares its workers
 *   with  may serve already, and may share another's workers: then all of them share these
 *   err   may be NULL
 *
 * What stays each server's own: its connections, max_connections and max_connections_per_address;
 * its deadlines, max_queue and queue_ms; its drain, its receipt and its statistics, but that
 * `threads` counts all of the workers and the monitor in each. Each may be shut down, closed and
 * freed while the others serve, in any order, and its server_close waits for its own requests and
 * nobody else's; the workers end with the last server that closes. Handlers of one server that
 * block take nothing from the others: no more than max_threads workers are at one server's
 * connections at once, and so many more are started for the others. When all of a server's own are
 * blocked its requests wait for queue_ms and are then answered 503, whatever the others do. A
 * handler that computes for more than 50 ms counts as blocked.
 *
 * What becomes common: as many workers are active as the one server wants whose `threads` is
 * largest, and as many are alive as all their max_threads together, at most. thread_stack_size,
 * thread_groups and spare_ms are those of the server that had the pool first.
 *
 * Returns 0, also if they share already; < 0 with *err, and nothing has changed: SHS_USAGE (there
 * is not a ThreadPoolMixIn; `self` has served, or shares its own with others; the workers of `with`
 * have ended with the last server that closed), SHS_LIMIT (128 servers share these workers). On the
 * composing thread of `self`; `with` may be serving on others, but must not be freed meanwhile.
 */
SHS_API int shs_thread_pool_share(struct shs_server *self, struct shs_server *with,
                                  struct shs_error *err) SHS_MUST_CHECK;

/*
 * Changes opt.threads and opt.max_threads of a ThreadPoolMixIn in this server, also while it
 * serves: missing workers start with the next work, extra ones leave when they are next idle, and
 * those beyond max_threads when they are through with a request; each of opt.thread_groups keeps
 * one. 0 for `threads` is one per core. Returns 0; SHS_USAGE when there is no ThreadPoolMixIn or
 * max_threads is less than threads. Any thread.
 */
SHS_API int shs_thread_pool_resize(struct shs_server *self, unsigned threads,
                                   unsigned max_threads) SHS_MUST_CHECK;

/*
 * server_bind, then server_activate; for servers made with opt.bind_and_activate = false. If either
 * fails, server_close runs before this returns.
 *
 * Returns 0, or < 0 with *err (may be NULL).
 */
SHS_API int shs_server_bind_and_activate(struct shs_server *self,
                                         struct shs_error *err) SHS_MUST_CHECK;

/*
 * The composition, top first: "ThreadingMixIn > HTTPServer > TCPServer > BaseServer".
 * Owned by the server, valid until the next push. Any thread, but not while another one composes.
 */
SHS_API const char *shs_server_describe(struct shs_server *self);

/* The layer with that ops name, nearest the top, or NULL. Not while another thread composes. */
SHS_API struct shs_layer *shs_server_layer(struct shs_server *self, const char *name);

/* -- serving ---------------------------------------------------------------------------------- */

/*
 * Accepts and processes requests until shs_shutdown. Binds first, if nobody has.
 *
 * Returns 0 after shs_shutdown; SHS_EXIT when a handler on the serving thread returned that;
 * SHS_USAGE when the server is closed or already serving; SHS_IO when the listening socket is gone.
 * shs_server_error has the text. Errors of single requests and of accept(2) never end it.
 */
SHS_API int shs_serve_forever(struct shs_server *self) SHS_MUST_CHECK;

/* One of several has ended, with what its shs_serve_forever would have returned. */
typedef void shs_served_fn(void *ctx, struct shs_server *server, int rc);

/*
 * shs_serve_forever for several servers on this one thread, until each of them has been told to end
 * (shs_shutdown, a drain) or has failed. One that ends leaves the others alone. With
 * shs_thread_pool_share a process has one thread for all of its listening sockets, and one set of
 * workers behind them.
 *
 * Each needs a mixin that brings requests to other threads, for nobody may be waited for here:
 * ThreadPoolMixIn, ThreadingMixIn, ForkingMixIn, or a scheduler of your own.
 *
 *   servers  borrowed until this returns; each of them may be freed when `ended` was called for it,
 *            not before
 *   ended    called on this thread, once for each, when its loop has ended; may be NULL. It may
 *            shut down others; it may close and free the server, but the others wait for it
 *            meanwhile
 *
 * Returns 0 when all have ended after shs_shutdown, else what came of the first one that failed.
 * SHS_USAGE if one has no such mixin, and SHS_NOMEM before anything was begun: `ended` was not
 * called then.
 */
SHS_API int shs_serve_all(struct shs_server *const *servers, size_t count, shs_served_fn *ended,
                          void *ctx) SHS_MUST_CHECK;

/*
 * Serves at most one request, waiting for it opt.timeout_ms at most; then handle_timeout is called.
 * Returns 0 (also after the timeout), or < 0 as shs_serve_forever does. shs_shutdown ends one call.
 */
SHS_API int shs_handle_request(struct shs_server *self) SHS_MUST_CHECK;

/*
 * Asks the loop of shs_serve_forever to end, and returns at once. Before serving has begun, it
 * makes the coming shs_serve_forever return at once. Idempotent.
 * Safe from any thread and from a signal handler.
 */
SHS_API void shs_shutdown(struct shs_server *self);

/*
 * Python's shutdown(): shs_shutdown, then waits until no shs_serve_forever runs.
 * Returns 0; SHS_DEADLOCK from the serving thread itself (the loop will end when it gets control
 * back); SHS_TIMEOUT after timeout_ms. Safe from any thread, not from a signal handler.
 */
SHS_API int shs_shutdown_wait(struct shs_server *self, unsigned timeout_ms) SHS_MUST_CHECK;

/*
 * server_close: stops listening, ends idle connections at once, gives requests in flight
 * opt.stop_ms, then cuts them off, and waits for every thread. Returns 0, or SHS_TIMEOUT when a
 * handler still runs after that (it is left alone and the last thread frees what it uses); a second
 * call returns 0. SHS_USAGE while another thread is in shs_serve_forever.
 */
SHS_API int shs_server_close(struct shs_server *self);

/*
 * server_close, if nobody has, then frees. NULL is fine. Handlers that server_close left alone
 * (opt.daemon_threads, not opt.block_on_close) are waited for here, as it waits for others: when it
 * returns, what they use can be freed, unless one has not returned in all that time.
 *
 * While another thread is in shs_serve_forever, that is ended first, as by shs_shutdown_wait, in
 * opt.stop_ms + opt.close_ms at most; if it does not end in time (a handler on it does not return),
 * it closes and frees the server when it ends. Not from a handler: there the loop does so when that
 * has returned.
 */
SHS_API void shs_server_free(struct shs_server *self);

/* The listening descriptor, for a poll loop of your own; -1 when there is none. Any thread. */
SHS_API int shs_server_fileno(const struct shs_server *self);

/*
 * server_address as text, "127.0.0.1" and its port, the real one after port 0. Empty string and 0
 * before binding. Owned by the server. Safe from any thread once bound.
 */
SHS_API const char *shs_server_host(const struct shs_server *self);
SHS_API unsigned shs_server_port(const struct shs_server *self);

/*
 * The listening sockets, one for each address: host and port (or path), which is number 0 and what
 * the functions above and address_family speak of, then opt.more_addresses. NULL beyond them. Owned
 * by the server. Any thread once bound.
 */
SHS_API unsigned shs_server_listener_count(const struct shs_server *self);
SHS_API struct shs_listener *shs_server_listener(const struct shs_server *self, unsigned i);

/* Its descriptor, non-blocking, -1 when it is closed; its address, as shs_server_host and _port and
   shs_server_address_family say it. */
SHS_API int shs_listener_fileno(const struct shs_listener *self);
SHS_API const char *shs_listener_host(const struct shs_listener *self);
SHS_API unsigned shs_listener_port(const struct shs_listener *self);
SHS_API int shs_listener_family(const struct shs_listener *self);

/*
 * A listening socket that somebody else has opened (systemd, the process before this one) instead
 * of one of our own; Python: server.socket = socket.socket(fileno=fd).
 *
 *   i     the number of the address, 0 for host and port (or path): shs_server_bind then takes `fd`
 *         for it and does not look at what the options say of that address
 *   fd    a listening socket of the server's type. From shs_server_bind on it is the server's:
 *         non-blocking, closed on exec, and closed by server_close. One that is refused stays open
 *   ours  its path, when it is a Unix socket, goes as opt.unlink_on_close says; false: it stays
 *
 * Call it before shs_server_bind (opt.bind_and_activate = false). What `fd` is, is looked at there:
 * SHS_USAGE when it is not such a socket. Returns 0, or SHS_USAGE when the server is bound or has
 * no such address. Composing thread only.
 */
SHS_API int shs_server_inherit(struct shs_server *self, unsigned i, int fd,
                               bool ours) SHS_MUST_CHECK;

/*
 * The listening sockets have been given to another process, which serves on them: server_close
 * closes our descriptors, and the paths of Unix sockets stay. Any thread.
 */
SHS_API void shs_server_hand_over(struct shs_server *self);

/* address_family, AF_INET, AF_INET6 or AF_UNIX once bound, and socket_type, SOCK_STREAM or
   SOCK_DGRAM. Any thread once bound. */
SHS_API int shs_server_address_family(const struct shs_server *self);
SHS_API int shs_server_socket_type(const struct shs_server *self);

/* Why the last bind, activate, serve or close failed; SHS_OK if none did. Owned by the server. */
SHS_API const struct shs_error *shs_server_error(const struct shs_server *self);

/* The server's copy of its options. Owned by the server. Any thread. */
SHS_API const struct shs_options *shs_server_options(const struct shs_server *self);

/* What time it is for the server: Unix time, opt.clock_offset_s from the system's. Any thread. */
SHS_API int64_t shs_server_time(const struct shs_server *self);

/* Counters since construction. Each is exact; together they are not one instant. */
struct shs_server_stats {
    uint64_t accepted;       /* connections handed to verify_request */
    uint64_t refused;        /* verify_request said no */
    uint64_t accept_errors;  /* accept(2) failed, other than "none there" */
    uint64_t accept_pauses;  /* times accepting stopped: a bound or a lack of descriptors */
    uint64_t errors;         /* calls of handle_error */
    uint64_t timeouts;       /* connections that ran into a deadline, but for those that
                                waited for a request */
    uint64_t connections;    /* open now */
    uint64_t threads;        /* threads of a mixin, alive now */
    uint64_t children;       /* processes of ForkingMixIn, alive as far as is known */
    uint64_t stuck_handlers; /* handlers that were reported by opt.stuck_handler_ms */
    uint64_t made_room;      /* idle connections that were ended because of opt.max_connections */
    uint64_t refused_addresses; /* connections over opt.max_connections_per_address */
    uint64_t refused_late; /* that had waited too long to be accepted, while more came than can be
                              served: they are ended before a handshake, or told 503 */
};

/* Copies the counters. Safe from any thread, at any time. */
SHS_API void shs_server_get_stats(const struct shs_server *self, struct shs_server_stats *out);

/* -- the methods: self.X() and super().X(), a pair per slot ----------------------------------- */

SHS_API int shs_server_bind(struct shs_server *self);
SHS_API int shs_super_server_bind(struct shs_layer *self);
SHS_API int shs_server_activate(struct shs_server *self);
SHS_API int shs_super_server_activate(struct shs_layer *self);
SHS_API int shs_server_get_request(struct shs_server *self, struct shs_conn **out);
SHS_API int shs_super_get_request(struct shs_layer *self, struct shs_conn **out);
SHS_API int shs_server_accept_request(struct shs_server *self, struct shs_listener *from,
                                      struct shs_conn **out);
SHS_API int shs_super_accept_request(struct shs_layer *self, struct shs_listener *from,
                                     struct shs_conn **out);
SHS_API bool shs_server_verify_request(struct shs_server *self, struct shs_conn *conn);
SHS_API bool shs_super_verify_request(struct shs_layer *self, struct shs_conn *conn);
SHS_API int shs_server_process_request(struct shs_server *self, struct shs_conn *conn);
SHS_API int shs_super_process_request(struct shs_layer *self, struct shs_conn *conn);
SHS_API int shs_server_finish_request(struct shs_server *self, struct shs_conn *conn);
SHS_API int shs_super_finish_request(struct shs_layer *self, struct shs_conn *conn);
SHS_API int shs_server_wait_request(struct shs_server *self, struct shs_conn *conn, int what);
SHS_API int shs_super_wait_request(struct shs_layer *self, struct shs_conn *conn, int what);
/* Both give the connection up: `conn` is freed when they return. */
SHS_API void shs_server_shutdown_request(struct shs_server *self, struct shs_conn *conn);
SHS_API void shs_server_close_request(struct shs_server *self, struct shs_conn *conn);
SHS_API void shs_super_shutdown_request(struct shs_layer *self, struct shs_conn *conn);
SHS_API void shs_super_close_request(struct shs_layer *self, struct shs_conn *conn);
SHS_API void shs_server_handle_error(struct shs_server *self, struct shs_conn *conn,
                                     const struct shs_error *err);
SHS_API void shs_super_handle_error(struct shs_layer *self, struct shs_conn *conn,
                                    const struct shs_error *err);
SHS_API void shs_server_handle_timeout(struct shs_server *self);
SHS_API void shs_super_handle_timeout(struct shs_layer *self);
SHS_API void shs_server_service_actions(struct shs_server *self); /* calls every layer */
SHS_API int shs_super_server_close(struct shs_layer *self);

/* -- for mixins ------------------------------------------------------------------------------- */

/*
 * Drives a conversation to its end on this thread: finish_request and wait_request in turn.
 * Returns what the last of them did: 0 or a negative code (then shs_conn_error has the reason).
 * The caller goes on with handle_error, if need be, and shutdown_request. Owner thread only.
 */
SHS_API int shs_server_converse(struct shs_server *self, struct shs_conn *conn);

/*
 * Stops and restarts accepting; the calls nest and may come from any thread. For a mixin that has
 * no room for another request.
 */
SHS_API void shs_server_pause_accept(struct shs_server *self);
SHS_API void shs_server_resume_accept(struct shs_server *self);

/* True once server_close has begun: end conversations at the next good place. Any thread. */
SHS_API bool shs_server_stopping(const struct shs_server *self);

/* When server_close must have returned, ns of CLOCK_MONOTONIC; INT64_MAX before it began. */
SHS_API int64_t shs_server_stop_deadline(const struct shs_server *self);

/* Records why a slot failed and returns the code. Serving or composing thread only. */
SHS_API int shs_server_fail(struct shs_server *self, int code, int sys_errno, const char *fmt, ...)
    SHS_PRINTF(4, 5);

/* A line to opt.log, if there is one and the level is wanted; cut at 511 bytes. Any thread. */
SHS_API void shs_server_log(struct shs_server *self, enum shs_log_level level, const char *fmt, ...)
    SHS_PRINTF(3, 4);

/*
 * Another level than opt.log_level, for so long; then that of the options is back by itself.
 * UINT_MAX: for good. shs_server_log_level: the level now; *left_ms (may be NULL) is how long it
 * stays, UINT_MAX when it has no end. Any thread.
 */
SHS_API void shs_server_set_log_level(struct shs_server *self, enum shs_log_level level,
                                      unsigned for_ms);
SHS_API enum shs_log_level shs_server_log_level(const struct shs_server *self, unsigned *left_ms);

/* Adds to the `threads` counter of the statistics (delta may be negative). Any thread. */
SHS_API void shs_server_count_threads(struct shs_server *self, int delta);

/* -- one connection --------------------------------------------------------------------------- */

/* The server it belongs to. */
SHS_API struct shs_server *shs_conn_server(const struct shs_conn *conn);

/* Its descriptor; for a datagram, the server's. Do not read, write or close it. */
SHS_API int shs_conn_fileno(const struct shs_conn *conn);

/* client_address as text: "127.0.0.1", "::1", "/tmp/client", "@name"; empty for a Unix client that
   has not bound a name. Behind a balancer, with ProxyProtocolMixIn (proxy.h), the true client from
   its header on; the text of before is gone then. Owned by the connection. Owner thread only. */
SHS_API const char *shs_conn_client_host(struct shs_conn *conn);
/* Its port, 0 where there is none. */
SHS_API unsigned shs_conn_client_port(const struct shs_conn *conn);

/*
 * A mixin's own state for this connection: one pointer per layer, NULL at first. Free it in
 * close_request. Owner thread only.
 */
SHS_API void *shs_conn_get(const struct shs_conn *conn, const struct shs_layer *layer);
SHS_API void shs_conn_set(struct shs_conn *conn, const struct shs_layer *layer, void *state);

/*
 * The deadline of the present phase, absolute, ns of CLOCK_MONOTONIC (shs_now_ns). Owner thread.
 */
SHS_API int64_t shs_conn_deadline(const struct shs_conn *conn);
SHS_API void shs_conn_set_deadline(struct shs_conn *conn, int64_t deadline_ns);
SHS_API int64_t shs_now_ns(void);

/*
 * Says whether the connection is between requests: server_close then ends it at once instead of
 * giving it opt.stop_ms. Owner thread only. True until somebody says otherwise.
 */
SHS_API void shs_conn_set_idle(struct shs_conn *conn, bool idle);

/*
 * Reads at least one byte, waiting for it until the connection's deadline; through TLS if there is.
 * Returns 0 with *got > 0; SHS_CLOSED at the orderly end of the stream, which is no failure; or
 * what shs_conn_error then tells as well: SHS_TRUNCATED, SHS_RESET or SHS_STOPPED at another end
 * (error.h), SHS_TIMEOUT, SHS_IO, SHS_TLS. SHS_TIMEOUT ends nothing: one more call takes what
 * has come since, and waits again only after a new deadline or a write. Owner thread only.
 */
SHS_API int shs_conn_read(struct shs_conn *conn, void *buf, size_t cap, size_t *got) SHS_MUST_CHECK;

/*
 * Writes all of it, waiting as long as the peer makes progress of opt.min_rate within opt.write_ms.
 * Returns 0; SHS_RESET when the peer takes no more; SHS_STOPPED when server_close has cut it off;
 * SHS_TIMEOUT, SHS_IO, SHS_TLS. shs_conn_error has the reason. `buf` is not used after the call.
 * After such an end a stream takes no more, and the call returns the same again: part of `buf` may
 * be out, and what came behind it would be read as its rest. Owner thread only.
 */
SHS_API int shs_conn_write(struct shs_conn *conn, const void *buf, size_t len) SHS_MUST_CHECK;

/*
 * True while no thread is left that may wait or run a handler for long: the request must be refused
 * (HTTPServer answers 503). For handlers with `refuses` (handler.h). Owner thread only.
 */
SHS_API bool shs_conn_overloaded(const struct shs_conn *conn);

/* -- one datagram: Python's request is (data, socket) ------------------------------------------ */

/*
 * Its bytes; it may have none. {NULL, 0} for a connection. A view: valid until the handler's finish
 * has returned. Any thread.
 */
SHS_API struct shs_str shs_conn_packet(const struct shs_conn *conn);

/* True if the datagram was longer than opt.max_packet_size: its end is lost. Any thread. */
SHS_API bool shs_conn_packet_truncated(const struct shs_conn *conn);

/*
 * socket.sendto(data, client_address): sends one datagram to the client, empty if len is 0. Waits
 * for room in the socket at most opt.write_ms. Returns 0; SHS_LIMIT when it is too long for a
 * datagram; SHS_RESET when a Unix client's socket is gone; SHS_TIMEOUT; SHS_IO; SHS_USAGE for a
 * connection. Owner thread only.
 */
SHS_API int shs_conn_sendto(struct shs_conn *conn, const void *buf, size_t len) SHS_MUST_CHECK;

/* Why the conversation failed; code SHS_OK if it did not. Owned by the connection. Owner thread. */
SHS_API const struct shs_error *shs_conn_error(const struct shs_conn *conn);

/* Records why, once: a later reason does not replace the first. Returns the code. Owner thread. */
SHS_API int shs_conn_fail(struct shs_conn *conn, int code, int sys_errno, const char *fmt, ...)
    SHS_PRINTF(4, 5);

#ifdef __cplusplus
}
#endif

#endif
