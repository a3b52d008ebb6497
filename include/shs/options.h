/*
 * shs/options.h - the attributes of a server, all in one place.
 *
 * Concept
 *
 *   Python's socketserver keeps its settings as class attributes (request_queue_size, timeout,
 *   daemon_threads ...). Here they are the members of one struct, with the same names where Python
 *   has them. Fill it with shs_options_init, change what you want, hand it to a constructor: the
 *   constructor copies it, with every string in it, so it may go away at once.
 *
 *   Every default is finite: every wait has a deadline, every buffer and every list a ceiling.
 *   0 means 0, not "no limit"; the largest value a member can hold comes as near to "no limit" as
 *   this library goes.
 */
#ifndef SHS_OPTIONS_H
#define SHS_OPTIONS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <shs/error.h>

#ifdef __cplusplus
extern "C" {
#endif

/* Levels of a diagnostic line, RFC 5424's words. */
enum shs_log_level { SHS_LOG_ERROR = 3, SHS_LOG_WARNING = 4, SHS_LOG_INFO = 6, SHS_LOG_DEBUG = 7 };

/* "error", "warning", "info", "debug": for a line of a log. Static storage. Any thread. */
SHS_API const char *shs_log_level_name(enum shs_log_level level);

/*
 * Receives diagnostic lines (no newline at the end, control characters already escaped).
 * Called from any thread, several at once: it must be thread-safe and should not block.
 */
typedef void shs_log_fn(void *log_ctx, enum shs_log_level level, const char *line);

/*
 * Gives the password of an encrypted key: write at most `cap` bytes to `buf`, return how many, or
 * -1 for none. Called while a certificate is loaded, never per connection.
 */
typedef int shs_password_fn(void *password_ctx, char *buf, size_t cap);

/* How an error is told to the client when no handler makes its answer. */
enum shs_error_form {
    SHS_ERRORS_HTML,   /* a small page */
    SHS_ERRORS_TEXT,   /* "404 Not Found", and a sentence */
    SHS_ERRORS_PROBLEM /* application/problem+json, RFC 9457 */
};

/* For shs_options.max_connections_per_address. */
#define SHS_ADDRESS_SHARE 0xfffffffeu

struct shs_request;
struct shs_response;

/*
 * Makes the answer for an error, with shs_send_response and what follows it; Python's
 * error_message_format. An answer of which nothing had left has been taken back.
 *
 *   req      NULL when the request could not be understood
 *   status   400 to 599
 *   message  a sentence, not escaped; never NULL
 *
 * Returns 0; or < 0, and then the page of error_form is sent. Owner thread of the request.
 */
typedef int shs_error_page_fn(void *error_ctx, const struct shs_request *req,
                              struct shs_response *res, int status, const char *message);

/* Where a server listens as well: a host and a port, or a Unix socket's path. As the members of the
   same names below; NULL has the same meaning. */
struct shs_address {
    const char *host, *port;
    const char *path; /* not NULL: host and port are not looked at */
};

/* Sorted by who reads a member. Before 1.0 a minor release may add members in the middle, with a
   new soname; within one soname they are added at the end alone. */
struct shs_options {
    size_t size; /* set by shs_options_init: the struct the caller was built with. A constructor
                    refuses a struct without one, and reads nothing behind it */

    /* -- BaseServer and TCPServer -------------------------------------------------------------- */
    const char *host;          /* "127.0.0.1" (NULL) | a name or address | "" = every interface,
                                 dual-stack where the system can */
    const char *port;          /* "0" (NULL) = the kernel's choice | a number up to 65535 | the
                                 name of a service */
    bool bind_and_activate;    /* true: the constructor binds and listens. false: push mixins, then
                                 shs_server_bind_and_activate */
    bool allow_reuse_address;  /* SO_REUSEADDR. false; HTTPServer sets it */
    bool allow_reuse_port;     /* SO_REUSEPORT, for AF_INET and AF_INET6. false */
    int request_queue_size;    /* listen(2) backlog; longer only keeps who has given up. 511 */
    unsigned timeout_ms;       /* handle_request's limit. UINT_MAX = none */
    unsigned poll_interval_ms; /* service_actions runs at least this often, where the serving thread
                                  has no request of its own; less than 10 is 10. 500
 */
    int address_family;        /* AF_INET or AF_INET6: only such addresses of host. AF_UNSPEC */
    /*
     * Further addresses: the server listens at each of them, beside host and port (or path). All
     * are bound or none is, and the message names the one that failed. Each port "0" is another
     * one. Beside others the host "::" is IPv6 alone, for IPv4 can be said; "" is both. Copied.
 */
    const struct shs_address *more_addresses;
    unsigned more_address_count; /* at most 63. 0 */

    /* -- UDPServer and UnixDatagramServer ------------------------------------------------------ */
    size_t max_packet_size; /* bytes of a datagram; what is beyond is cut off and flagged. 8192 */

    /* -- UnixStreamServer and UnixDatagramServer ----------------------------------------------- */
    const char *path; /* the socket's path; "@name" = an abstract name, "@" = one of the kernel's
                             choice. NULL = host has it. At most 107 bytes */
    bool
        unlink_on_bind; /* a socket at that path which nobody serves any more is removed; of several
                             that start at once, one has it (a lock on the directory, which must be
                             readable). false: it is reported as in use */
    bool unlink_on_close;   /* server_close removes the path, if it is still ours. false */
    unsigned path_mode;     /* of the socket's file: who may connect is who may write, 0660 for one
                               user and a group. It has it before anybody can. UINT_MAX: what the
                               umask leaves. UINT_MAX */
    const char *path_group; /* whose it is, a name or a number. NULL: as it comes */

    /* -- bounds -------------------------------------------------------------------------------- */
    unsigned max_connections; /* open at once. When somebody waits to come in, the longest idle ones
                                 end in order; when none is idle, accepting stops. 10000 */

    /* -- ThreadingMixIn ------------------------------------------------------------------------ */
    unsigned max_threads;     /* alive at once; beyond it the server stops accepting. 1024 */
    bool daemon_threads;      /* false. true: server_close does not wait for handlers that run;
                                 shs_server_free does */
    bool block_on_close;      /* true: server_close waits for its threads, at most stop_ms */
    size_t thread_stack_size; /* bytes per thread, at most 1 GiB; less than 128 KiB, which our own
                                 code needs, is 128 KiB. 256 KiB */

    /* -- ThreadPoolMixIn ----------------------------------------------------------------------- */
    unsigned threads;       /* workers that may run at the same time; 0 = one per core that is for
                               this process (its affinity; its control groups' quota, rounded up).
                               More, up to max_threads, are started while handlers block. 0 */
    unsigned thread_groups; /* sets of workers that share nothing: many cores want several. Each has
                               one worker at least, so no more of them than max_threads. 1 */
    unsigned spare_ms;      /* a worker that is not needed leaves after this. 10000 */
    unsigned queue_ms;      /* a request waits this long for a worker when all are blocked; then 503
                               with Retry-After. Where some have waited all the time for as long,
                               an eighth of it. 2000 */
    unsigned max_queue;     /* requests that wait so at once; more are answered 503 at once. 1024 */
    unsigned max_connections_per_address; /* open at once from one address (of IPv6: one /64); one
                                             more is closed. UINT_MAX = none.
                                             SHS_ADDRESS_SHARE = a quarter of max_connections, but
                                             none for loopback, link-local and private addresses,
                                             where a proxy has all its clients. SHS_ADDRESS_SHARE */
    unsigned max_requests_per_turn;       /* pipelined ones that are answered before others have
                                             their turn; 0 = all. 16 */
    /* How long one may wait until it is begun with. Where more come than can be served, for so long
       and for a second at least: who would wait for an eighth of it is refused, with 503 and
       Retry-After, or before a TLS handshake. UINT_MAX = nobody is. 1000 */
    unsigned late_ms;

    /* -- ForkingMixIn -------------------------------------------------------------------------- */
    unsigned max_children; /* alive at once; beyond it the server stops accepting. 40 */

    /* -- deadlines, each for a whole phase and absolute: a byte now and then does not help ----- */
    unsigned handshake_ms;      /* accept to handshake complete. 10000 */
    unsigned head_ms;           /* first byte (or accept) to the end of the head. 10000 */
    unsigned idle_ms;           /* keep-alive: answer to the next request's first byte. 30000 */
    unsigned body_ms;           /* request body; again when min_rate was kept that long. 20000 */
    unsigned write_ms;          /* answer, restarted only by progress of at least min_rate. 20000 */
    unsigned min_rate;          /* bytes per second a peer must at least read and write. 500 */
    unsigned close_ms;          /* lingering close: after our FIN, until the peer's. 2000. Without a
                                   mixin the next client ends it, after 200 ms of silence */
    unsigned stop_ms;           /* server_close: grace for requests in flight. 10000 */
    unsigned connection_age_ms; /* after this the answer says Connection: close. 3600000 */
    unsigned max_requests_per_connection; /* likewise. 10000 */

    /* -- TLSMixIn ------------------------------------------------------------------------------ */
    const char *certfile; /* PEM: leaf first, then its chain; may hold the key as well */
    const char *keyfile;  /* PEM; NULL = in certfile */
    const void *cert_pem; /* the same in memory instead of a file ... */
    size_t cert_pem_len;
    const void *key_pem;
    size_t key_pem_len;
    shs_password_fn *password; /* for an encrypted key; NULL = none */
    void *password_ctx;

    /* -- HTTP ---------------------------------------------------------------------------------- */
    const char *server_version;   /* the Server field. NULL = "shs/<version>"; "" = no such field */
    size_t max_request_line;      /* bytes; longer is 414. 8192 */
    size_t max_head_bytes;        /* request line and all fields; longer is 431. 32768 */
    size_t max_headers;           /* fields; more is 431. 100 */
    uint64_t max_body_bytes;      /* more is 413. 1 GiB */
    size_t max_buffered_body;     /* a body up to this is read before the handler is called, so that
                                     a slow peer holds no thread; a longer one is pulled by the
                                     handler. 65536 */
    size_t max_buffered_response; /* an answer up to this leaves after the handler returned; a
                                     longer one is streamed. 65536 */
    const char *request_id_field; /* every answer has a field of this name with shs_request_id:
                                     "X-Request-Id". NULL = none */

    /* -- HTTP: the server's own errors, and those of shs_send_error --------------------------- */
    enum shs_error_form error_form; /* 400, 404, 413, 431, 500 ... SHS_ERRORS_HTML */
    shs_error_page_fn *error_page;  /* makes them instead. NULL: nobody */
    void *error_ctx;

    /* -- diagnostics --------------------------------------------------------------------------- */
    shs_log_fn *log; /* NULL: none */
    void *log_ctx;
    enum shs_log_level log_level; /* lines above this are not made. SHS_LOG_INFO */
    unsigned stuck_handler_ms; /* a handler that has neither returned nor waited for its client for
                                  so long is logged with its path and age, and again after twice as
                                  long, four times ...: by ThreadPoolMixIn, and by ThreadingMixIn
                                  while the server serves. 30000 */

    /* -- what time it is ----------------------------------------------------------------------- */
    int64_t clock_offset_s; /* added to the system's clock for Date, for Last-Modified, which is not
                               later, for tickets and for every check of certificates, CRLs and OCSP
                               responses: a server of next month, to be tested today. 0 */
};

/*
 * Fills *opt with the defaults above.
 *
 *   size  sizeof(struct shs_options) as the caller was compiled with; the macro passes it
 *
 * Safe from any thread.
 */
SHS_API void shs_options_init_sized(struct shs_options *opt, size_t size);
#define shs_options_init(opt) shs_options_init_sized((opt), sizeof *(opt))

#ifdef __cplusplus
}
#endif

#endif
