/*
 * conn.h - one accepted connection, as the rooms of this library see it.
 *
 * A connection has a stack of streams (the socket at the bottom, embedded), a deadline, its handler
 * instance, a slot per layer, and a phase of its end. It belongs to exactly one thread at a time.
 */
#ifndef SHS_CONN_H
#define SHS_CONN_H

#include <netinet/in.h>

#include <shs/handler.h>
#include <shs/server.h>

#include "base/network.h"
#include "stream/stream.h"

/* Where TCPServer.finish_request is with it. */
enum shs_conn_phase {
    SHS_CONN_TALK,   /* the handler's conversation */
    SHS_CONN_FLUSH,  /* what was written is going out, then our end of stream */
    SHS_CONN_LINGER, /* our FIN is out; input is thrown away until the peer's, within close_ms */
    SHS_CONN_OVER
};

struct shs_activity; /* activity.h */

/*
 * Why a connection must not be served. A layer below the application's has found that out, and has
 * no words that the peer would understand: so who speaks on the connection says it. BaseServer
 * calls no handler for it, unless its server class answers refusals: HTTPServer gives this answer
 * to the first request, and ends the connection.
 */
struct shs_conn_refusal {
    int status;           /* of HTTP */
    const char *type;     /* the media type of the text */
    struct shs_str text;  /* may be empty */
    bool names_https_url; /* behind the text: the URL that was asked for, with https:// */
};

struct shs_access; /* shs/http.h */

/*
 * Who looks on from outside, and may be asked by other threads: is told of each request, on the
 * thread that has the connection.
 */
struct shs_conn_watch {
    void (*begin)(struct shs_conn_watch *self, struct shs_str method, struct shs_str path);
    void (*end)(struct shs_conn_watch *self, const struct shs_access *access);
};

/*
 * For which names a connection may be used, where not for all: a layer below the application's has
 * made it by the rules of one of them. Who speaks on the connection asks before each request.
 */
struct shs_conn_names {
    /* True: what is asked for with this name (as in a Host field) belongs on another connection. */
    bool (*elsewhere)(const struct shs_conn_names *self, struct shs_conn *conn,
                      struct shs_str host);
};

struct shs_conn {
    struct shs_server *server;
    struct shs_stream *stream;              /* the top of the stack */
    struct shs_socket_stream socket;        /* its bottom */
    struct shs_conn *prev, *next;           /* the server's live list, under its lock */
    struct shs_request_handler *handler;    /* NULL before it is made */
    struct shs_error *error;                /* NULL while nothing failed */
    char *client_host;                      /* text, made when somebody asks; of AF_UNIX, at once */
    const struct shs_conn_refusal *refusal; /* NULL: it may be served. Of the layer that set it */
    const struct shs_conn_names *names;     /* NULL: for all. Of the layer that set it */
    const struct shs_listener *listener;    /* it came by this one; or NULL */
    struct shs_activity *activity;          /* of the thread that has it; NULL: nobody watches */
    struct shs_conn_watch *watch;           /* of a layer, until its close_request; NULL: nobody */
    int64_t deadline_ns;
    int64_t accepted_ns;
    union {
        struct sockaddr sa;
        struct sockaddr_in in;
        struct sockaddr_in6 in6;
    } client;
    int wake_fd;          /* -1, or what ends a wait early, with SHS_TIMEOUT, when it can be read */
    uint32_t linger_left; /* bytes that LINGER still throws away */
    uint8_t phase;        /* enum shs_conn_phase */
    _Atomic bool idle;    /* server_close may end it at once; read by its thread */
    bool leaving;         /* it was told to make room for another; under the server's lock */
    bool was_cut;         /* in the middle of a request, at the end of the server; likewise */
    bool borrowed;        /* the descriptor is the server's own: a datagram's. Never changes */
    bool set_up : 1;      /* the handler's setup has run */
    bool handled : 1;     /* the handler ran to its end */
    bool on_loop : 1;     /* the serving thread itself talks to this peer */
    bool no_linger : 1;   /* the peer sends no more: its end need not be awaited */
    bool torn : 1;        /* a FIN would be read as the end of an answer: it ends with a RST */
    bool overloaded : 1;  /* no handler may be called: answer 503 */
    bool late : 1;      /* it has waited too long before it was accepted: nothing costly is done */
    bool hurried : 1;   /* more come than can be served: nothing costly is done for who has gone */
    bool lent : 1;      /* it waits without a deadline of its own: deadline_ns is ours */
    bool handed_on : 1; /* another process has the conversation */
    /* a balancer speaks for its client first (ProxyProtocolMixIn); nobody is counted for it yet */
    bool fronted : 1;
    bool renamed : 1;  /* and the client is the one that it named */
    bool has_read : 1; /* shs_conn_read has given something to the handler that runs */
    bool reads : 1;    /* a handler that is no protocol's waits to read */
    bool ahead : 1;    /* its rfile holds something that it has not read yet */
    uint32_t turn;     /* requests left until it yields; 0 = it never does */
    uint32_t served;   /* requests answered on it */
    int write_failed;  /* a write of a handler ended so, and part of it may be out: nobody writes
                          behind it. 0: none did */
    /* of a handler that has set no deadline, since it last wrote, or since the peer kept up
       min_rate for idle_ms: what it has read, and how long it has waited for it */
    uint64_t read_bytes;
    int64_t read_waits_ns;
    /* since when nobody wants anything of it, while `idle` is set; INT64_MAX: it makes no room */
    _Atomic int64_t idle_ns;
    void *slots[]; /* one per layer of the server */
};

/*
 * Makes a connection around an accepted, non-blocking descriptor (taken on success). *address may
 * be NULL. Returns NULL when out of memory. For get_request of a server class.
 */
struct shs_conn *shs__conn_new(struct shs_server *server, int fd, const struct sockaddr *address,
                               socklen_t address_len);
/* Frees it with its streams; does not close the descriptor. For shs_server_close_request only. */
void shs__conn_free(struct shs_conn *conn);

/*
 * The client is another than the peer: from now on `client` and its text are this address. Owner
 * thread; others that ask for its name meanwhile have the server's lock.
 */
void shs__conn_set_client(struct shs_conn *conn, const struct sockaddr *address,
                          socklen_t address_len);

/* The address of an IP peer; false: it has none. */
bool shs__conn_address(const struct shs_conn *conn, struct shs__address *out);

/* Puts a stream on top: top->lower must be conn->stream. The connection frees it (cls->free). */
void shs__conn_push_stream(struct shs_conn *conn, struct shs_stream *top);

/*
 * Ends the conversation here: the handler is not called (again); the next super().finish_request
 * flushes, sends our end of stream, lingers, and then returns the code of shs_conn_error.
 */
void shs__conn_begin_linger(struct shs_conn *conn);
/* While the server is being closed, or the next client waits for this thread, our end of a
   connection waits for so long a silence, instead of close_ms: who is there takes his answer. */
#define SHS_LINGER_LEAST_MS 200u

/*
 * Time in which what the peer had sent lay here is not the peer's: this process may have been
 * stopped, or without a core. So in a phase of `ms` a look is begun, the streams are read, and the
 * deadline comes so much later if something was there. SHS_OK: the peer may be waited for again;
 * SHS_TIMEOUT: it was late before the look, and is still.
 */
struct shs__conn_look {
    unsigned ms;
    int64_t began_ns;
    int64_t came_ns; /* the last of what was there when it began */
    uint64_t had;
};
struct shs__conn_look shs__conn_look_begin(const struct shs_conn *conn, unsigned ms);
int shs__conn_look_end(struct shs_conn *conn, const struct shs__conn_look *look);

/* The server stops: no further request on this connection, and no end is waited for that may never
   come. On the loop's own thread server_close cannot have begun: a shutdown or a drain says it. */
bool shs__conn_stopping(const struct shs_conn *conn);
/* ... and until then a request that is under way may go on. */
int64_t shs__conn_stop_deadline(const struct shs_conn *conn);

/*
 * Makes the handler's instance, zeroed, without calling its setup. BaseServer.finish_request does
 * it; ForkingMixIn does it before the fork, so that nothing is allocated between fork and setup.
 */
int shs__conn_make_handler(struct shs_conn *conn);

/* shs_conn_write with a limit of its own instead of opt.write_ms. */
int shs__conn_write_within(struct shs_conn *conn, const void *buf, size_t len, unsigned ms);

/*
 * The name of a Unix socket as text: its path; "@name" for an abstract one, control characters
 * as "?"; NULL when it has none or there is no memory. For shs__free.
 */
char *shs__unix_name(const struct sockaddr *address, socklen_t address_len);

/* "127.0.0.1 port 80", "/run/x.sock", "a client without a name": for messages. Returns buf. */
const char *shs__conn_client_text(struct shs_conn *conn, char *buf, size_t cap);

/* The same on any thread, with the server's lock. */
const char *shs__conn_peer(const struct shs_conn *conn, char *buf, size_t cap);

/* Records the failure of a stream call, with its own words, and returns the code. */
int shs__conn_fail_stream(struct shs_conn *conn, int code);

#endif
