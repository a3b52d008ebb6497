/*
 * shs/handler.h - request handlers: Python's BaseRequestHandler, and the two made of it,
 * StreamRequestHandler and DatagramRequestHandler.
 *
 * Concept
 *
 *   A handler class says what to do with one request (for a TCP server: one connection). The
 *   server makes a fresh instance for each, zeroed, of `instance_size` bytes, and calls
 *   setup, handle, finish. Embed struct shs_request_handler as the first member of your own struct:
 *   what follows it is the request's own state.
 *
 *       struct echo { struct shs_request_handler base; char buf[512]; };
 *
 *       static int echo_handle(struct shs_request_handler *self)
 *       {
 *           struct echo *me = SHS_CONTAINER_OF(self, struct echo, base);
 *           size_t got;
 *           int rc = shs_conn_read(self->request, me->buf, sizeof me->buf, &got);
 *           return rc == SHS_OK ? shs_conn_write(self->request, me->buf, got) : rc;
 *       }
 *       static const struct shs_request_handler_class echo_class = {
 *           .name = "Echo", .instance_size = sizeof(struct echo), .handle = echo_handle};
 *
 * Rules of the life cycle (CPython Lib/socketserver.py, BaseRequestHandler.__init__)
 *
 *   1. `setup`, if there is one, runs first. If it fails, neither `handle` nor `finish` is called.
 *   2. `handle` must be there: a class without it is refused by the constructor (SHS_USAGE).
 *   3. `finish`, if there is one, always follows `handle`, also one that failed.
 *
 *   `handle` may block, in shs_conn_read and shs_conn_write, which wait under the connection's
 *   deadline. Or it may be written to be resumed: return SHS_WAIT_READ or SHS_WAIT_WRITE, with
 *   shs_conn_set_deadline, and it is called again when the peer is ready or the deadline has
 *   passed. Then no thread is held meanwhile (server.h tells who waits). SHS_YIELD lets others
 *   have their turn: it is called again as soon as they had it.
 *
 * What a handler may rely on, whatever the composition (none, thread, pool, fork; with TLS or not)
 *
 *   Deadlines
 *   4. `setup` and `handle` begin without a deadline (INT64_MAX). The time that a handshake or the
 *      wait for the first byte had is not theirs.
 *   5. No wait is without end. Where no deadline is set, each return of SHS_WAIT_* has opt.idle_ms,
 *      and so have all reads together (of shs_conn_read and of rfile) that wait one after the other
 *      without a write in between: they have it again after a write, and when the peer has kept up
 *      opt.min_rate for so long. A peer that sends a byte now and then holds nobody; who listens to
 *      one that says little, and never answers it, sets a deadline before each read. A write has
 *      opt.write_ms as long as the peer takes opt.min_rate.
 *   6. When a deadline has passed, a blocking call answers SHS_TIMEOUT. A resumed handler is called
 *      once more; if it goes on to wait for the same moment, the request ends with SHS_TIMEOUT.
 *   7. Who returned SHS_WAIT_READ is called at once while something of what has come is unread, in
 *      TLS's record and in rfile too. Who then takes nothing, twice in a row, waits as he asked. A
 *      pool calls him, before his deadline, only when a read does not wait: half a record is no
 *      reason. Where he has a thread of his own it may be one, and the read waits for the rest. Who
 *      returned SHS_YIELD is called again whatever his peer does, until the server's time is up.
 *   Ends
 *   8. A read tells how the data ended (error.h): SHS_CLOSED is the only end that means "all of
 *      it", the three others are in shs_conn_error as well. What came before is read first.
 *   9. A write to a peer that has gone answers SHS_RESET. No signal is raised.
 *   The stop
 *   10. Between two requests (shs_conn_set_idle; so until somebody says otherwise) a connection
 *       ends as soon as the server stops: a read answers SHS_STOPPED, what was written still
 *       leaves, and handle_error is not called.
 *   11. Who has said that he is busy has opt.stop_ms, then reads and writes answer SHS_STOPPED. A
 *       child of ForkingMixIn gets SIGTERM instead.
 *   Errors
 *   12. A negative code from `setup` or `handle` goes to handle_error, once, then shutdown_request,
 *       once. SHS_EXIT is not an error, and ends the loop if the handler runs on its thread.
 */
#ifndef SHS_HANDLER_H
#define SHS_HANDLER_H

#include <shs/server.h>

#ifdef __cplusplus
extern "C" {
#endif

struct shs_request_handler;

struct shs_request_handler_class {
    const char *name;     /* for messages; not NULL */
    size_t instance_size; /* bytes, at least sizeof(struct shs_request_handler) */
    int (*setup)(struct shs_request_handler *self);   /* may be NULL */
    int (*handle)(struct shs_request_handler *self);  /* 0 = done, < 0, SHS_WAIT_*, SHS_YIELD */
    void (*finish)(struct shs_request_handler *self); /* may be NULL */
    /* `handle` never blocks while shs_conn_overloaded is true, and says no to the peer then.
       Without it, a connection for which no worker is left is closed. */
    bool refuses;
};

struct shs_request_handler {
    const struct shs_request_handler_class *cls;
    struct shs_conn *request;  /* the connection; valid until finish has returned */
    struct shs_server *server; /* the server it came by */
};

/* -- rfile and wfile --------------------------------------------------------------------------- */

/*
 * Files around a request, as Python's rfile and wfile. Made by setup, freed by finish; in between
 * for the thread that runs the request only.
 */
struct shs_rfile;
struct shs_wfile;

/*
 * rfile.read(cap): exactly `cap` bytes, waiting for them; fewer only when the orderly end of the
 * stream comes before. Returns 0 with *got > 0; SHS_CLOSED at that end, or after shs_rfile_close;
 * < 0 as shs_conn_read, with *got bytes in `buf` that came before the failure.
 *
 * The class's timeout_ms is for the whole call. Without one, and without a deadline of the
 * connection, the peer has opt.idle_ms and must keep up opt.min_rate from then on (see 5 above).
 * After SHS_TIMEOUT rfile stays timed out, as Python's does ("cannot read from timed out object"):
 * only what it had read ahead can still be taken. shs_conn_read goes on.
 */
SHS_API int shs_rfile_read(struct shs_rfile *self, void *buf, size_t cap,
                           size_t *got) SHS_MUST_CHECK;

/* rfile.read1(cap): what is there, at least one byte. Otherwise as shs_rfile_read. */
SHS_API int shs_rfile_read1(struct shs_rfile *self, void *buf, size_t cap,
                            size_t *got) SHS_MUST_CHECK;

/*
 * rfile.readline(cap): a line with its '\n', or its first `cap` bytes when it is longer, or what
 * there is before the end of the stream. Not NUL-terminated. Returns as shs_rfile_read; the timeout
 * is one for the whole line.
 */
SHS_API int shs_rfile_readline(struct shs_rfile *self, char *buf, size_t cap,
                               size_t *got) SHS_MUST_CHECK;

SHS_API void shs_rfile_close(struct shs_rfile *self);

/*
 * wfile.write(data): all of it, as sendall: on the wire when this returns if wbufsize is 0, copied
 * or on the wire otherwise. In a DatagramRequestHandler it is collected: SHS_LIMIT beyond 65535
 * bytes. Returns 0 or < 0 as shs_conn_write; SHS_USAGE after shs_wfile_close.
 */
SHS_API int shs_wfile_write(struct shs_wfile *self, const void *buf, size_t len) SHS_MUST_CHECK;

/* wfile.flush(): what is buffered goes out. Nothing to do in a DatagramRequestHandler. */
SHS_API int shs_wfile_flush(struct shs_wfile *self) SHS_MUST_CHECK;

/* Flushes and closes; the connection stays open. Returns what the flush did; a second call, 0. */
SHS_API int shs_wfile_close(struct shs_wfile *self);

SHS_API bool shs_wfile_writable(const struct shs_wfile *self); /* until it is closed */
SHS_API int shs_wfile_fileno(const struct shs_wfile *self);    /* the request's descriptor; for a
                                                                  datagram, the server's */

/* -- StreamRequestHandler ---------------------------------------------------------------------- */

/*
 * A handler class for connections, with Python's class attributes:
 *
 *     static int upper_handle(struct shs_request_handler *base)
 *     {
 *         struct shs_stream_request_handler *self =
 *             SHS_CONTAINER_OF(base, struct shs_stream_request_handler, base);
 *         char line[256];
 *         size_t len;
 *
 *         int rc = shs_rfile_readline(self->rfile, line, sizeof line, &len);
 *
 *         ...
 *         return rc == SHS_OK ? shs_wfile_write(self->wfile, line, len) : rc;
 *     }
 *     static const struct shs_stream_request_handler_class upper = {
 *         .base = {.name = "Upper",
 *                  .instance_size = sizeof(struct shs_stream_request_handler),
 *                  .setup = shs_stream_request_handler_setup,
 *                  .handle = upper_handle,
 *                  .finish = shs_stream_request_handler_finish},
 *         .rbufsize = -1,
 *     };
 *     shs_tcp_server_new(&server, &opt, &upper.base, &err);
 *
 * A setup of your own calls shs_stream_request_handler_setup first (Python: super().setup()) and,
 * if it fails afterwards, shs_stream_request_handler_finish: nobody else will. A finish of your own
 * calls shs_stream_request_handler_finish last.
 */
struct shs_stream_request_handler_class {
    struct shs_request_handler_class base;
    int rbufsize;        /* -1: buffered, 8192 bytes; 0: not; else so many bytes */
    int wbufsize;        /* 0: each write is sent; else a buffer of so many bytes, -1 = 8192 */
    unsigned timeout_ms; /* for each call of rfile and wfile; 0 = the server's own deadlines */
    bool disable_nagle_algorithm; /* TCP_NODELAY: true sets it, false clears it */
};

struct shs_stream_request_handler {
    struct shs_request_handler base;
    struct shs_conn *connection; /* the request */
    struct shs_rfile *rfile;
    struct shs_wfile *wfile;
};

/* setup: makes rfile and wfile as the class says. SHS_OK, SHS_NOMEM or SHS_USAGE (a datagram). */
SHS_API int shs_stream_request_handler_setup(struct shs_request_handler *self);
/* finish: flushes wfile unless it is closed, whatever becomes of it; closes and frees both. */
SHS_API void shs_stream_request_handler_finish(struct shs_request_handler *self);

/* -- DatagramRequestHandler -------------------------------------------------------------------- */

/*
 * A handler of datagrams: rfile reads the packet; what is written to wfile is collected, and finish
 * sends it to the client as ONE datagram, also when it is empty. Its class is a plain struct
 * shs_request_handler_class with these setup and finish.
 */
struct shs_datagram_request_handler {
    struct shs_request_handler base;
    struct shs_str packet; /* the datagram */
    int socket;            /* the server's: shs_conn_sendto sends on it */
    struct shs_rfile *rfile;
    struct shs_wfile *wfile;
};

/* SHS_OK, SHS_NOMEM or SHS_USAGE (not a datagram). */
SHS_API int shs_datagram_request_handler_setup(struct shs_request_handler *self);
/* Sends the answer; if that fails, the request fails and handle_error is called. */
SHS_API void shs_datagram_request_handler_finish(struct shs_request_handler *self);

#ifdef __cplusplus
}
#endif

#endif
