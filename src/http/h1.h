/*
 * h1.h - HTTP/1.1 on one connection: a state machine over a stream, which never waits.
 *
 *      IDLE --first byte--> HEAD --complete--> BODY --buffered--> HANDLE --returned--> SEND
 *        ^                    |refused                                                  |
 *        +------ keep-alive --+----------------------- DRAIN <--unread body-------------+
 *                             +--> SEND the refusal --> END
 *
 *      HANDLE --it hands the body to a sink--> SINK --all of it taken--> HANDLE, for its answer
 *
 * Each state has its own absolute deadline. The handler runs in HANDLE, plain blocking code; the
 * states before and after it hold no thread: whoever drives the machine waits as it likes.
 *
 * The owner of the connection is known by a table only, so that a test can drive the machine over
 * a stream in memory.
 */
#ifndef SHS_H1_H
#define SHS_H1_H

#include <shs/options.h>

#include "http/date.h"
#include "http/exchange.h"
#include "http/guard.h"
#include "stream/stream.h"

struct shs_h1;

/* What the machine asks of the owner of the connection. */
struct shs_h1_host {
    /* Waits, for a handler that reads or writes: SHS_OK, SHS_TIMEOUT, SHS_STOPPED, SHS_IO. */
    int (*wait)(void *owner, int what, int64_t deadline_ns);
    /* A wait also ends, with SHS_TIMEOUT, when this descriptor can be read; -1: no more. NULL: it
       does not. */
    void (*set_wake)(void *owner, int fd);
    void (*set_deadline)(void *owner, int64_t deadline_ns);
    int64_t (*deadline)(void *owner);
    void (*set_idle)(void *owner, bool idle);
    /* The peer has said that it sends no more: no lingering close is needed. May be NULL. */
    void (*needs_no_linger)(void *owner);
    /* The answer ends with the connection and is not whole: that end must look like none. May be
       NULL. */
    void (*must_reset)(void *owner);
    /* The server is closing: no further request on this connection. */
    bool (*stopping)(void *owner);
    /* The server would like to be without this connection: the answer says that it is the last.
       NULL: never. */
    bool (*draining)(void *owner);
    /* A request was answered to its end. NULL: nobody counts. */
    void (*answered)(void *owner);
    /* Another request is here already, or another piece of a file has gone. True: others have their
       turn first, and shs__h1_step returns SHS_YIELD. */
    bool (*turn_over)(void *owner); /* NULL: never */
    /* Calls the handler's method. */
    int (*dispatch)(void *owner, struct shs_exchange *x);
    /* A request whose head is known ends without `dispatch`: before its page is made, or its line.
       Also after `dispatch`, and more than once. NULL: nobody needs to know. */
    void (*refused)(void *owner, struct shs_exchange *x);
    /* Before, and after, a source or a sink of a handler's is called: it may take as long as a
       handler. NULL: nobody counts. */
    void (*enter_body)(void *owner, const struct shs_exchange *x);
    void (*leave_body)(void *owner);
    /* One answer is out, or there will be none: the request was cut off. */
    void (*log)(void *owner, const struct shs_access *access);
    /* Does anybody read what `log` is told? False: it is called with NULL. NULL: always. */
    bool (*log_is_read)(void *owner);
    /* A moment at which the bytes read last were there already, as far as that is known; 0: it is
       not. NULL: never. */
    int64_t (*there_since)(void *owner);
    /* The server's random number and the connection's own: for shs_request_id. NULL: none. */
    void (*identify)(void *owner, uint64_t numbers[2]);
    /* The conversation ends as it may at any time, and this is why: for who looks closely. NULL:
       nobody does. */
    void (*note)(void *owner, const char *text);
    /* A handler used the API wrongly, and its answer goes out all the same: for whoever wrote it.
       NULL: nobody is told. */
    void (*mistake)(void *owner, const char *text);
    /* Records why the conversation ends; returns the code. `stream` true: the stream knows why. */
    int (*fail)(void *owner, int code, bool stream, const char *text);
};

/* The same for every connection of a server. */
struct shs_h1_config {
    const struct shs_h1_host *host;
    const struct shs_options *opt; /* borrowed */
    struct shs_guard_limits limits;
    struct shs_str server_field;    /* value of Server; len 0 = none */
    struct shs_second_texts *dates; /* NULL: each Date is made again; borrowed */
};

enum shs_h1_state {
    SHS_H1_IDLE,
    SHS_H1_HEAD,
    SHS_H1_BODY,
    SHS_H1_HANDLE,
    SHS_H1_SINK,
    SHS_H1_SEND,
    SHS_H1_DRAIN,
    SHS_H1_END
};

struct shs_h1_exchange;

/* One connection. Small while idle: buffers and exchange are given back. */
struct shs_h1 {
    const struct shs_h1_config *config;
    struct shs_stream *stream;
    void *owner;
    struct shs_buf in;            /* received, from the first byte of this request on */
    struct shs_buf out;           /* serialised, not taken by the stream yet */
    struct shs_h1_exchange *xchg; /* NULL between requests */
    struct shs_head_scan scan;
    int64_t began_ns;    /* first byte of this request */
    int64_t answered_ns; /* the end of the one before; 0: there was none */
    int64_t opened_ns;
    unsigned served;
    uint8_t state; /* enum shs_h1_state */
    bool tried;    /* IDLE: nothing of the next request is there; it need not be asked for */
};

void shs__h1_config_init(struct shs_h1_config *config, const struct shs_options *opt,
                         const struct shs_h1_host *host);
void shs__h1_init(struct shs_h1 *h1, const struct shs_h1_config *config, struct shs_stream *stream,
                  void *owner);
void shs__h1_free(struct shs_h1 *h1);
/* Nobody calls shs__h1_step any more: a request that is in the middle has its line in the log, with
   this reason. */
void shs__h1_cut(struct shs_h1 *h1, const char *why);

/*
 * Goes on as far as it can without waiting. 0: the conversation is over and everything is written,
 * the stream wants its shutdown. SHS_WAIT_*: call again when the stream is ready, or the deadline
 * has passed. SHS_YIELD: call again, after others. < 0: over, and nothing more can be said to the
 * peer; or SHS_EXIT from a handler.
 */
int shs__h1_step(struct shs_h1 *h1);

#endif
