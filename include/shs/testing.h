/*
 * shs/testing.h - for programs that are tested: a handler without a socket, a server in a thread.
 *
 * Concept
 *
 *   A handler is called with a request made of plain values, and what it answered comes back as
 *   plain values. No socket, no thread, no certificate; but the same guard, the same limits and the
 *   same HTTP/1.1 machine as on a connection, so what a test sees is what a client would:
 *
 *       struct shs_test_request ask;
 *       struct shs_test_answer *answer;
 *       struct shs_error err;
 *       shs_test_request_init(&ask);
 *       ask.target = "/items/7";
 *       if (shs_test_call(&answer, &handler, &ask, &err) != SHS_OK)
 *           fail(err.text);
 *       check(shs_test_answer_status(answer) == 200);
 *       shs_test_answer_free(answer);
 *
 *   A test server is the whole thing, for a client that is tested: it listens on a port of the
 *   kernel's choice of 127.0.0.1, in a thread of its own, with a certificate of a throw-away CA,
 *   and it is ready when the call returns:
 *
 *       struct shs_test_server *server;
 *       if (shs_test_server_start(&server, &handler, NULL, &err) != SHS_OK)
 *           fail(err.text);
 *       my_client_get(shs_test_server_url(server), shs_test_server_ca_path(server));
 *       if (shs_test_server_stop(server, &err) != SHS_OK)
 *           fail(err.text);                        "1 request did not end: GET /slow, for 4.0 s"
 *
 *   A fault may end a connection while the client still writes. A client that uses write(2), as
 *   OpenSSL's own sockets do, then gets SIGPIPE, which kills the test: ignore SIGPIPE there.
 *
 *   Any number of them may live at once. Nothing here ends the process, prints, or keeps a state
 *   beside what it hands out; every error is an int and a sentence in a struct shs_error, for the
 *   test runner of your choice. Not for serving: the CA's key is in memory only, its files are in
 *   the temporary directory and go away with the server.
 */
#ifndef SHS_TESTING_H
#define SHS_TESTING_H

#include <shs/certs.h>
#include <shs/http.h>
#include <shs/tls.h>

#ifdef __cplusplus
extern "C" {
#endif

/* -- what is asked ----------------------------------------------------------------------------- */

struct shs_test_request {
    size_t size;               /* set by shs_test_request_init */
    const char *method;        /* "GET" (NULL) */
    const char *target;        /* "/" (NULL); sent as it is, so that bad ones can be */
    const char *const *fields; /* name, value, name, value, ..., NULL. Host, and Content-Length or
                                  Transfer-Encoding where there is a body, are added unless one of
                                  that name is there. NULL = none */
    const void *body;          /* NULL = none */
    size_t body_len;
    bool chunked;      /* false. true: the body is sent in chunks */
    unsigned limit_ms; /* for the whole of it. 10000 */
    size_t max_answer; /* bytes of the answer, head and all. 64 MiB */
    /* shs_test_call: the limits of the server; NULL = the defaults. Host, port and certificates in
       it do not count */
    const struct shs_options *options;
};

SHS_API void shs_test_request_init_sized(struct shs_test_request *request, size_t size);
#define shs_test_request_init(r) shs_test_request_init_sized((r), sizeof *(r))

/* -- what was answered: owned by the caller, one thread at a time ------------------------------ */

struct shs_test_answer;

/* 200 ...; 0 when there was no answer that could be read. */
SHS_API int shs_test_answer_status(const struct shs_test_answer *self);
/* The first field with that name (any case), NUL-terminated; NULL when there is none. Trailers and
   the fields of interim answers do not count. */
SHS_API const char *shs_test_answer_header(const struct shs_test_answer *self, const char *name);
/* All of them, in order: true and the two texts, or false beyond the last. */
SHS_API bool shs_test_answer_header_at(const struct shs_test_answer *self, size_t i,
                                       const char **name, const char **value);
/* A field behind the body; NULL when there is none. */
SHS_API const char *shs_test_answer_trailer(const struct shs_test_answer *self, const char *name);
/* The body without its framing; a NUL stands behind it. ptr is never NULL. */
SHS_API struct shs_str shs_test_answer_body(const struct shs_test_answer *self);
/* How many interim answers (1xx) came before it. */
SHS_API unsigned shs_test_answer_interim(const struct shs_test_answer *self);
/* True when it came to its end: all of Content-Length, the last chunk, or with neither the orderly
   end of the connection. */
SHS_API bool shs_test_answer_complete(const struct shs_test_answer *self);
/*
 * Why it is not what the handler wanted: the code that the handler returned, or for an answer that
 * came over a socket what ended it, and a sentence. code SHS_OK: nothing is wrong.
 */
SHS_API const struct shs_error *shs_test_answer_error(const struct shs_test_answer *self);
SHS_API void shs_test_answer_free(struct shs_test_answer *self); /* NULL is fine */

/*
 * Calls a handler without a socket. The request goes through the real machine over a stream in
 * memory, so a request that the server would refuse is refused here, and the handler is not called.
 * The handler runs on this thread. What it asks of its connection is answered: the client is
 * 127.0.0.1 port 1, there is no TLS, and a wait for the client ends when its time is over.
 *
 *   handler  used during the call only
 *   request  NULL = GET /
 *   out      for shs_test_answer_free; also when the handler failed (shs_test_answer_error)
 *
 * Returns 0; SHS_USAGE (a body together with `fields` that say something else is not: it is sent);
 * SHS_LIMIT when the answer is longer than max_answer; SHS_TIMEOUT after limit_ms, as far as the
 * handler waits for its client or for room; SHS_PROTO when what was answered is not HTTP;
 * SHS_NOMEM. Any thread.
 */
SHS_API int shs_test_call(struct shs_test_answer **out, const struct shs_http_handler *handler,
                          const struct shs_test_request *request,
                          struct shs_error *err) SHS_MUST_CHECK;

/* -- a server ---------------------------------------------------------------------------------- */

struct shs_test_server;

struct shs_test_server_options {
    size_t size; /* set by shs_test_server_options_init */
    bool plain;  /* false. true: no TLS */
    /* DNS names and addresses in the certificate, NULL at the end. NULL = localhost, 127.0.0.1 and
       ::1 */
    const char *const *names;
    const struct shs_ca
        *ca; /* who signs what is made; used during the call. NULL = one that is made
                                and thrown away */
    /* What is wrong with the certificate, a word of shs_cert_fault: "expired", "wrong-name". A
       server does not start with what OpenSSL by itself refuses to serve ("sha1", "md5", "rsa1024",
       "rsa512", "mismatched-key"): SHS_TLS, and the lab has it. NULL = nothing */
    const char *fault;
    /* A certificate of your own instead, without `fault`: PEM, leaf first, then its chain; and its
       key. NULL = one that `ca` signs */
    const char *cert_pem, *key_pem;
    enum shs_tls_client_auth client_auth; /* SHS_TLS_CLIENT_NONE */
    bool client_cert; /* false. true: a client certificate is made also when nobody asks for one */
    const char *client_ca_pem; /* whose clients are let in. NULL = the throw-away CA, which has made
                                  one: shs_test_server_client_cert_path */
    /* Limits, log, threads, host, port; NULL = the defaults, with stop_ms 2000. Certificates in it
       do not count */
    const struct shs_options *options;
    const char *temp_dir; /* where the CA's file is made. NULL = "/tmp" */
};

SHS_API void shs_test_server_options_init_sized(struct shs_test_server_options *opt, size_t size);
#define shs_test_server_options_init(o) shs_test_server_options_init_sized((o), sizeof *(o))

/*
 * Starts a server: ThreadPoolMixIn > TLSMixIn > HTTPServer > ..., serving in a thread of its own
 * when this returns. That thread and the workers leave all signals to yours.
 *
 *   handler  copied; its ctx borrowed until the server is stopped. NULL = what is not said by a
 *            rule is 404
 *   opt      copied; NULL = the defaults
 *
 * Returns 0 with *out, for shs_test_server_stop; SHS_USAGE, SHS_IO, SHS_TLS, SHS_NOMEM, as the
 * constructors of the server.
 */
SHS_API int shs_test_server_start(struct shs_test_server **out,
                                  const struct shs_http_handler *handler,
                                  const struct shs_test_server_options *opt,
                                  struct shs_error *err) SHS_MUST_CHECK;

/* "https://127.0.0.1:41443", no slash at its end; and its port. Owned by the server, any thread, as
   all that follows. */
SHS_API const char *shs_test_server_url(const struct shs_test_server *self);
SHS_API unsigned shs_test_server_port(const struct shs_test_server *self);
/* The throw-away CA: PEM, and a file with it (mode 0600, removed by shs_test_server_stop). NULL for
   a plain server. */
SHS_API const char *shs_test_server_ca_pem(const struct shs_test_server *self);
SHS_API const char *shs_test_server_ca_path(const struct shs_test_server *self);
/* A client certificate of that CA, CN=client, and its key: files that are removed as well. NULL
   unless clients are asked for one, or options.client_cert said so. */
SHS_API const char *shs_test_server_client_cert_path(const struct shs_test_server *self);
SHS_API const char *shs_test_server_client_key_path(const struct shs_test_server *self);
/* The server itself, for its counters, shs_tls_deny and the like. Do not serve or close it. */
SHS_API struct shs_server *shs_test_server_server(const struct shs_test_server *self);

/*
 * Asks it one thing over a connection of its own, with TLS verified against the throw-away CA for
 * "localhost" if there is TLS, and with the client certificate that was made if it asks for one.
 *
 * Returns 0 with *out, also when the answer is not whole (shs_test_answer_complete); else as
 * shs_test_call, SHS_TLS when the handshake failed, SHS_IO, SHS_CLOSED when nothing was answered.
 */
SHS_API int shs_test_server_ask(struct shs_test_answer **out, struct shs_test_server *self,
                                const struct shs_test_request *request,
                                struct shs_error *err) SHS_MUST_CHECK;

/* -- what the server saw ------------------------------------------------------------------------
 *
 * Everything is written down in the order it happened, up to 4,096 entries and 16 MiB of them; what
 * comes then is not. Entries stay where they are until the server is stopped.
 */

enum shs_test_event_kind {
    SHS_TEST_HANDSHAKE,        /* complete, of a client that is let in */
    SHS_TEST_HANDSHAKE_FAILED, /* a connection without a byte (a probe) is none */
    SHS_TEST_REQUEST,          /* its handler has returned, or it was refused before */
    SHS_TEST_FAULT             /* a rule's fault has begun */
};

struct shs_test_event { /* members are only ever added at the end */
    enum shs_test_event_kind kind;
    unsigned connection; /* 1, 2, ... */
    int64_t at_ns;       /* as shs_now_ns */
    /* Of a failed handshake its label, "client-alert:unknown_ca"; of a request the rule that it
       broke, "two-hosts"; of a fault its name. Else "" */
    const char *reason;
    const char *text;    /* the same as a sentence, or "" */
    const char *sni;     /* "" = none */
    const char *version; /* "TLSv1.3"; "" = no TLS, or no handshake */
    const char *client;  /* the common name of a client certificate that was verified; or "" */
    bool resumed;
    const char *method, *target; /* "" where there is no request */
    const char *const *fields;   /* of the request: name, value, ..., NULL */
    struct shs_str body;         /* that the handler has read, its first 64 KiB */
    int status;                  /* of the answer, as the handler left it; 0 = none */
};

/* The i-th, or NULL. */
SHS_API const struct shs_test_event *shs_test_server_event(struct shs_test_server *self, size_t i);

/*
 * Waits until something of that kind has been seen, and takes it: each is found once.
 *
 *   what       SHS_TEST_REQUEST: "GET /a" or "/a"; SHS_TEST_HANDSHAKE_FAILED: a label, or its part
 *              before the ":"; SHS_TEST_HANDSHAKE: the name asked for; SHS_TEST_FAULT: its name.
 *              NULL = any
 *   within_ms  how long it may take; 0 = it has to be there
 *   out        may be NULL
 *
 * Returns 0; SHS_TIMEOUT with *err, which says what was seen instead.
 */
SHS_API int shs_test_server_expect(struct shs_test_server *self, enum shs_test_event_kind kind,
                                   const char *what, unsigned within_ms,
                                   const struct shs_test_event **out,
                                   struct shs_error *err) SHS_MUST_CHECK;

/* SHS_OK when everything that was seen has been taken; SHS_USAGE with *err: what has not. */
SHS_API int shs_test_server_expect_no_more(struct shs_test_server *self,
                                           struct shs_error *err) SHS_MUST_CHECK;

/* -- canned answers, and faults by rule -------------------------------------------------------- */

struct shs_test_rule {
    size_t size; /* set by shs_test_rule_init */
    /* Whom it is for: all of it has to be so. NULL = does not matter */
    const char *method;
    const char *path;   /* "/a"; with a "*" at its end all that begin so */
    const char *sni;    /* "a.test", or "*.test" for all below it; "" = clients that name none */
    const char *header; /* "Name": it is there; "Name: value": with that value */
    unsigned after;     /* not for the first so many that it would be for. 0 */
    unsigned times;     /* for so many after these; 0 = for all */
    /* What they get: a fault, with `ms` for those that take time (0 = its default) ... */
    const char *fault;
    unsigned ms;
    /* ... or an answer. A fault of an answer has the body of this one. */
    int status;                /* 200 to 999; 200 (0) */
    const char *const *fields; /* name, value, ..., NULL; NULL = none */
    const void *body;
    size_t body_len;
};

SHS_API void shs_test_rule_init_sized(struct shs_test_rule *rule, size_t size);
#define shs_test_rule_init(r) shs_test_rule_init_sized((r), sizeof *(r))

/*
 * Adds a rule, behind those that are there: the first one that is for a connection or a request
 * counts, and what none is for goes to the handler. Copies it. Also while the server serves.
 *
 * Returns 0; SHS_USAGE with *err for an unknown fault or alert, a fault of connections with a path,
 * a method or a header, one of TLS for a plain server, a rule that can be for nobody (a path
 * without "/", or with a query), a status that is none, or fields that are none (beside a fault
 * they may be); SHS_LIMIT beyond 256 rules, or 64 MiB for one with its body; SHS_NOMEM.
 */
SHS_API int shs_test_server_rule(struct shs_test_server *self, const struct shs_test_rule *rule,
                                 struct shs_error *err) SHS_MUST_CHECK;
/* Removes them all. */
SHS_API void shs_test_server_clear_rules(struct shs_test_server *self);

/*
 * The i-th fault, NULL after the last, and what it does (`text` may be NULL). Static storage. Those
 * whose names end in "-hello" and "-flight" are for connections, the others for requests. "alert-
 * hello" may have an alert after a colon: "alert-hello:unknown_ca", "alert-hello:48".
 */
SHS_API const char *shs_test_fault(size_t i, const char **text);

/*
 * Stops it: no new connections, options.stop_ms for the requests under way, options.close_ms for
 * the handlers of those that are cut off then, every thread joined, the files removed, memory
 * freed. NULL is fine. Not from a handler, nor in a child that was forked while it ran: there is
 * no thread of it there.
 *
 * Returns 0, also when a request was cut off and its handler has returned; SHS_TIMEOUT when a
 * handler still runs then: *err (may be NULL) says which requests, and what they use is freed when
 * they end.
 */
SHS_API int shs_test_server_stop(struct shs_test_server *self, struct shs_error *err);

/* -- handlers for who tests a client: no state, any number of servers, any thread -------------- */

/* Any method: the status that the path ends with, "/status/418", 200 to 999. A redirection goes to
   "/"; 401 asks for Basic authentication; 429 and 503 have Retry-After: 1. */
SHS_API const struct shs_http_handler *shs_status_handler(void);
/* Any method: 200, after as many milliseconds as the path ends with, "/delay/250", 600000 at most;
   no answer to who has gone before. */
SHS_API const struct shs_http_handler *shs_delay_handler(void);

#ifdef __cplusplus
}
#endif

#endif
