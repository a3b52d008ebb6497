/*
 * shs/http.h - BaseHTTPRequestHandler: one function per method, and what it may say.
 *
 * Concept
 *
 *   A struct shs_http_handler has a function per HTTP method, as a Python class has do_GET and
 *   do_POST. The server reads and checks a request (RFC 9112, by two parsers that must agree),
 *   calls the function, and sends the answer. The function is plain, blocking code:
 *
 *       static int hello_get(struct shs_request *req, struct shs_response *res)
 *       {
 *           (void)req;
 *           SHS_RETURN_IF_ERROR(shs_send_response(res, 200));
 *           SHS_RETURN_IF_ERROR(shs_send_header(res, "Content-Type", "text/plain"));
 *           SHS_RETURN_IF_ERROR(shs_end_headers(res));
 *           return shs_write(res, "hello\n", 6);
 *       }
 *       static const struct shs_http_handler hello = {.name = "hello", .do_GET = hello_get};
 *
 * What the server does by itself
 *
 *   - Framing: Content-Length when the whole answer fits opt.max_buffered_response or the handler
 *     said it; chunked otherwise (HTTP/1.0: the connection closes). Head and small body leave in
 *     one write and one TLS record.
 *   - Date and Server; no body for HEAD, 204, 205 and 304 whatever the handler writes.
 *   - A body the handler has not read is drained up to a bound, or the connection closes.
 *   - Expect: 100-continue is answered when the handler's body is about to be read.
 *   - A method without a function is 501, with Allow; OPTIONS without one is 204, with Allow.
 *     `OPTIONS *` comes with the path "*". "GET http://host/a" comes with the path "/a".
 *   - A handler that returns an error before it sent anything gives 500, or the 4xx that the error
 *     of a body, a form or an upload stands for (the connection lives on when the body arrived as
 *     it should), or 503 for SHS_TIMEOUT behind shs_request_deadline; after that, the connection is
 *     cut, so that the client sees that it is incomplete.
 *
 * Views
 *
 *   A struct shs_str borrows: it is valid until the do_X function returns.
 *
 * Follows: RFC 9110, RFC 9112; CPython Lib/http/server.py for the names.
 */
#ifndef SHS_HTTP_H
#define SHS_HTTP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <shs/error.h>
#include <shs/server.h>
#include <shs/str.h>

#ifdef __cplusplus
extern "C" {
#endif

struct shs_request;
struct shs_response;

/* One method of a handler. 0, or < 0 when it could not answer. */
typedef int shs_method_fn(struct shs_request *req, struct shs_response *res);

/* Leaves the function with the code when an expression gives one other than 0. */
#define SHS_RETURN_IF_ERROR(expr)                                                                  \
    do {                                                                                           \
        int shs_rc_ = (expr);                                                                      \
        if (shs_rc_ != SHS_OK)                                                                     \
            return shs_rc_;                                                                        \
    } while (0)

/* One line of an access log, made when the answer is out, or has failed; or when a request whose
   head was read is cut off. A child of ForkingMixIn that is killed makes none. */
struct shs_access {
    const struct shs_request *req; /* NULL when no request could be understood */
    struct shs_conn *conn;
    struct shs_str request_line; /* raw, escaped by nobody */
    int status;                  /* of the answer; 0 when none was sent */
    uint64_t body_bytes;         /* sent, without head and chunk framing */
    int64_t duration_ns;         /* from the first byte of the request */
    const char *error;           /* why it failed, a sentence; NULL when it did not */
    const char *rule;            /* the rule that a refused request broke, "bare-lf"; or NULL */
    struct shs_str request_id;   /* as shs_request_id, also when req is NULL; may be empty */
};

/* A member of a table that C++ may leave out, as C may, without a warning. */
#if defined(__cplusplus) && __cplusplus >= 201402L
#define SHS_OPTIONAL = {}
#else
#define SHS_OPTIONAL
#endif

struct shs_http_handler { /* static const; a NULL method answers 501 */
    const char *name SHS_OPTIONAL;
    shs_method_fn *do_GET SHS_OPTIONAL;
    shs_method_fn *do_HEAD SHS_OPTIONAL; /* NULL: do_GET, its body discarded */
    shs_method_fn *do_POST SHS_OPTIONAL;
    shs_method_fn *do_PUT SHS_OPTIONAL;
    shs_method_fn *do_PATCH SHS_OPTIONAL;
    shs_method_fn *do_DELETE SHS_OPTIONAL;
    shs_method_fn *do_OPTIONS SHS_OPTIONAL;
    shs_method_fn *do_any SHS_OPTIONAL; /* any other method, or one of the above that is NULL */
    /* After each answer, on the thread that ran it. NULL: none. Must not block. */
    void (*log_request)(void *log_ctx, const struct shs_access *access) SHS_OPTIONAL;
    void *log_ctx SHS_OPTIONAL; /* yours: handed to log_request */
    void *ctx SHS_OPTIONAL;     /* yours: shs_request_ctx */
};

/*
 * HTTPServer(server_address, RequestHandlerClass): HTTPServer > TCPServer > BaseServer, plain HTTP,
 * one request after the other on the serving thread until a mixin changes that.
 *
 *   handler  borrowed until the server is freed
 *
 * Otherwise as shs_tcp_server_new. Sets allow_reuse_address.
 */
SHS_API int shs_http_server_new(struct shs_server **out, const struct shs_options *opt,
                                const struct shs_http_handler *handler,
                                struct shs_error *err) SHS_MUST_CHECK;

/*
 * ThreadingMixIn > HTTPServer > ..., with opt.daemon_threads, as Python's ThreadingHTTPServer; and
 * ForkingMixIn > HTTPServer > .... HTTPServer stands on UnixStreamServer when opt.path is set.
 */
SHS_API int shs_threading_http_server_new(struct shs_server **out, const struct shs_options *opt,
                                          const struct shs_http_handler *handler,
                                          struct shs_error *err) SHS_MUST_CHECK;
SHS_API int shs_forking_http_server_new(struct shs_server **out, const struct shs_options *opt,
                                        const struct shs_http_handler *handler,
                                        struct shs_error *err) SHS_MUST_CHECK;

/* -- the request: owner thread only, until do_X returns ---------------------------------------- */

/* "GET": case-sensitive (RFC 9110 section 9.1). */
SHS_API struct shs_str shs_request_method(const struct shs_request *req);
/* The request target as it came: "/a%20b?x=1", "http://host/", "*". */
SHS_API struct shs_str shs_request_target(const struct shs_request *req);
/* The target's path, as it came (not decoded), "/a%20b"; a run of leading "/" is one "/". */
SHS_API struct shs_str shs_request_path(const struct shs_request *req);
/*
 * For a handler that stands in front of one for a part of the paths: shs_request_path is this one
 * from here on. It must be a part of the path that is there, or live as long as the request. (A
 * router does so for a handler under "{path...}".)
 */
SHS_API void shs_request_set_path(struct shs_request *req, struct shs_str path);
/* The path before that: what a client has to be told, as in a Location. */
SHS_API struct shs_str shs_request_full_path(const struct shs_request *req);
/* What follows "?", without it; ptr is NULL when there is none. */
SHS_API struct shs_str shs_request_query(const struct shs_request *req);
/* The raw request line, without its CRLF. */
SHS_API struct shs_str shs_request_line(const struct shs_request *req);
/* 10 for HTTP/1.0, 11 for HTTP/1.1. */
SHS_API int shs_request_version(const struct shs_request *req);
/* The Host field's value, or the authority of an absolute target (which wins). May be empty. */
SHS_API struct shs_str shs_request_host(const struct shs_request *req);

/* Whom shs_basic_auth let in: the name, as it was verified. ptr is NULL when there was nobody. */
SHS_API struct shs_str shs_request_user(const struct shs_request *req);
/* For authentication of yours: who it is. Copies. 0, SHS_USAGE, SHS_NOMEM. */
SHS_API int shs_request_set_user(struct shs_request *req, struct shs_str name) SHS_MUST_CHECK;

/* Fields in the order they came; values without surrounding white space, bytes as they came. */
SHS_API size_t shs_request_header_count(const struct shs_request *req);
SHS_API bool shs_request_header_at(const struct shs_request *req, size_t i, struct shs_str *name,
                                   struct shs_str *value);
/* The first field with that name (any case): true and *value, or false. */
SHS_API bool shs_request_header(const struct shs_request *req, const char *name,
                                struct shs_str *value);

/* True if the request has a body; *length is its Content-Length, UINT64_MAX when chunked. */
SHS_API bool shs_request_has_body(const struct shs_request *req, uint64_t *length);
/*
 * Reads the next bytes of the body. 0 with *got > 0; 0 with *got == 0 at its end; SHS_LIMIT beyond
 * opt.max_body_bytes, SHS_PROTO, SHS_TIMEOUT; SHS_CLOSED, SHS_TRUNCATED or SHS_RESET when the
 * client went before its end; and so on. A handler may return the code: the right answer (413, 400,
 * 408) is then sent for it.
 */
SHS_API int shs_request_read(struct shs_request *req, void *buf, size_t cap,
                             size_t *got) SHS_MUST_CHECK;

/*
 * The whole body at once, up to `max` bytes of it. Memory of the request's, freed with it; a second
 * call gives the same bytes. out->ptr is never NULL.
 *
 * Returns 0; SHS_LIMIT when it is longer (a handler that returns that has 413 sent; of a body whose
 * Content-Length says so, nothing is read); SHS_NOMEM; SHS_USAGE after shs_request_read; or as
 * shs_request_read.
 */
SHS_API int shs_request_body(struct shs_request *req, size_t max,
                             struct shs_str *out) SHS_MUST_CHECK;

/*
 * A body that is taken as it comes, and holds no thread for a slow client: an upload. Constant;
 * what belongs to one request is behind `ctx`.
 *
 *   write  the next bytes, len > 0. 0; or < 0: no more of it is wanted
 *   done   the whole body was written (rc 0), or `write` has returned rc: answers as a do_X
 *          function does, and returns as one. Not called when the body could not be read: its
 *          client gets the 4xx that it should, or has gone
 *   free   when it is needed no more, in any case and last; once. May be NULL
 *
 * All of them are called by any thread of the server, one at a time, after do_X has returned. The
 * request and its views live until `free`.
 */
struct shs_sink {
    int (*write)(void *ctx, const void *buf, size_t len);
    int (*done)(void *ctx, struct shs_request *req, struct shs_response *res, int rc);
    void (*free)(void *ctx);
};

/*
 * Hands the body of this request to `sink`. do_X returns what this returns, and has not begun an
 * answer: `done` gives it. Takes `ctx`, also on an error. 0; SHS_USAGE after shs_request_read, or
 * when an answer was begun.
 */
SHS_API int shs_request_sink(struct shs_request *req, const struct shs_sink *sink,
                             void *ctx) SHS_MUST_CHECK;

/*
 * No more of the body than this: for a route that takes less than opt.max_body_bytes. The least of
 * several counts. 0; SHS_LIMIT at once when Content-Length says more, and later from whatever reads
 * beyond it (a handler that returns that has 413 sent).
 */
SHS_API int shs_request_limit_body(struct shs_request *req, uint64_t max) SHS_MUST_CHECK;

/*
 * The client's content is not what it should be: for helpers that read it. A handler that returns
 * the code has this status and sentence answered.
 *
 *   status  400 to 499
 *   rule    a short name that does not change, for logs: a literal
 *   text    a sentence for the client; copied
 *
 * Returns SHS_PROTO.
 */
SHS_API int shs_request_refuse(struct shs_request *req, int status, const char *rule,
                               const char *text) SHS_MUST_CHECK;

/*
 * Until when this request may be worked on, by shs_now_ns; the earliest of several counts. Nothing
 * that reads its body or writes its answer waits longer: SHS_TIMEOUT. A handler that computes, or
 * waits for something else, looks itself: INT64_MAX is not a deadline.
 */
SHS_API void shs_request_set_deadline(struct shs_request *req, int64_t deadline_ns);
SHS_API int64_t shs_request_deadline(const struct shs_request *req);

/*
 * Calls fn(arg) when the answer is out, or has failed: for what lives as long as the request. The
 * latest is called first. SHS_NOMEM, and then fn is not called.
 */
typedef void shs_end_fn(void *arg);
SHS_API int shs_request_on_end(struct shs_request *req, shs_end_fn *fn, void *arg) SHS_MUST_CHECK;

/*
 * Calls fn(ctx, access) when the answer is out, or has failed: what log_request is for a whole
 * server, for one that stands in a chain. As log_request, and before it; the latest is called
 * first. SHS_NOMEM, and then fn is not called.
 */
typedef void shs_access_fn(void *ctx, const struct shs_access *access);
SHS_API int shs_request_on_access(struct shs_request *req, shs_access_fn *fn,
                                  void *ctx) SHS_MUST_CHECK;

/*
 * A name for this request that no other one of this server has: for logs. The server's own random
 * number, the connection's and the request's. Empty where no server made it (in a test).
 */
SHS_API struct shs_str shs_request_id(struct shs_request *req);
SHS_API void *shs_request_ctx(const struct shs_request *req); /* the handler's ctx */
SHS_API struct shs_conn *shs_request_conn(const struct shs_request *req);
/*
 * A moment by shs_now_ns at which the request was here already: what was true then and later may be
 * answered. 0: not known.
 */
SHS_API int64_t shs_request_since(const struct shs_request *req);
/*
 * A value of the request, from one handler for those that it calls.
 *
 *   key    an address that only you have: of a static variable of yours; compared, never read
 *   value  borrowed: keep it at least as long as the request, as shs_request_alloc does
 *
 * set: 0 (a second call replaces the value), SHS_USAGE without a key, SHS_NOMEM. It costs a few
 * bytes of the request's memory and nothing else. get: the value, or NULL.
 */
SHS_API int shs_request_set_slot(struct shs_request *req, const void *key,
                                 void *value) SHS_MUST_CHECK;
SHS_API void *shs_request_slot(const struct shs_request *req, const void *key);
/* Memory that is freed when the answer is out; NULL when there is none or beyond 1 MiB. */
SHS_API void *shs_request_alloc(struct shs_request *req, size_t size);
/* A copy there with a NUL behind it, of what other libraries take as a string; a NUL in it is an
   end to them. NULL: no memory, or s.ptr is NULL. Owner thread only. */
SHS_API char *shs_request_copy(struct shs_request *req, struct shs_str s);

/* -- the answer: owner thread only, until do_X returns ----------------------------------------- */

/*
 * Starts the answer: its status, the usual reason, Server and Date. Before it, nothing is sent; a
 * second call is SHS_USAGE.
 *
 *   code  200 to 999. HTTP has 100 to 599 (RFC 9110 section 15): what is beyond 599 is for clients
 *         of your own, others take it for an error of the server. What is below 200 is not an
 *         answer but comes before one: shs_send_interim; 100 is the server's, 101 there is none
 */
SHS_API int shs_send_response(struct shs_response *res, int code) SHS_MUST_CHECK;
/* The same with a reason of your own: printable ASCII, copied. */
SHS_API int shs_send_response_reason(struct shs_response *res, int code,
                                     const char *reason) SHS_MUST_CHECK;
/*
 * Adds a field; copies both. SHS_USAGE if the name is not a token or the value has CR, LF, NUL or
 * another control character but HTAB (RFC 9110 section 5.5), if it is Transfer-Encoding, or before
 * shs_send_response or after shs_end_headers; SHS_LIMIT beyond 100 fields or 16 KiB.
 * "Content-Length" is checked: a longer body is SHS_USAGE, a shorter one gives 500 or cuts the
 * connection. "Connection: close" closes.
 */
SHS_API int shs_send_header(struct shs_response *res, const char *name,
                            const char *value) SHS_MUST_CHECK;
SHS_API int shs_send_header_str(struct shs_response *res, const char *name,
                                struct shs_str value) SHS_MUST_CHECK;
/* The same, and the name is not copied: it is a literal, or lives until the answer is out. */
SHS_API int shs_send_field(struct shs_response *res, struct shs_str name,
                           struct shs_str value) SHS_MUST_CHECK;
/* Content-Length, as a number. SHS_USAGE if it was said already, or as shs_send_header. */
SHS_API int shs_send_length(struct shs_response *res, uint64_t length) SHS_MUST_CHECK;
/*
 * A field for whatever answer there will be, an error's too: for a handler that stands around
 * others, and for one more field on an answer that one call makes (shs_send_json, shs_send_page).
 * It is sent once: what the answer says itself under that name counts instead, and of two that
 * stand the later. Only lists add up: Set-Cookie, Vary, Link, WWW-Authenticate, Server-Timing,
 * Access-Control-Expose-Headers and the like.
 *
 * Copies both. Any time before the head has left; SHS_USAGE later, for what cannot be a field, and
 * for one that steers the framing; SHS_LIMIT beyond 16 of them, or 16 KiB.
 */
SHS_API int shs_response_stand(struct shs_response *res, const char *name,
                               const char *value) SHS_MUST_CHECK;
/*
 * An interim answer, before the real one and without touching it: 103 with Link fields, 102.
 *
 *   code    102 to 199. (100 is sent by the server itself; 101 would be another protocol.)
 *   fields  name, value, name, value ..., NULL; borrowed during the call; NULL = none
 *
 * Sends it at once and blocks as shs_flush does. To an HTTP/1.0 client nothing is sent, and that is
 * SHS_OK. SHS_USAGE for what cannot be sent, or when the real head has left; SHS_LIMIT beyond 32
 * fields or 16 KiB.
 */
SHS_API int shs_send_interim(struct shs_response *res, int code,
                             const char *const *fields) SHS_MUST_CHECK;
/*
 * A field behind the body, for what is known only at its end: a digest, a signature. Copies both.
 * Any time until do_X returns; the body is then chunked. Lost on HTTP/1.0, for HEAD, and with many
 * clients and proxies: nothing may depend on it. Announce it with a "Trailer" header if you like.
 * SHS_USAGE with a Content-Length, and for fields that belong in the head (RFC 9110 section 6.5.1);
 * SHS_LIMIT beyond 16 of them.
 */
SHS_API int shs_send_trailer(struct shs_response *res, const char *name,
                             const char *value) SHS_MUST_CHECK;
/* Ends the head. It leaves with the first bytes of the body, in one write. */
SHS_API int shs_end_headers(struct shs_response *res) SHS_MUST_CHECK;
/*
 * A piece of the body; copies it, or has sent it on return. Ends the headers if nobody has.
 * Blocks, with the connection's write deadline, once opt.max_buffered_response is exceeded.
 */
SHS_API int shs_write(struct shs_response *res, const void *buf, size_t len) SHS_MUST_CHECK;
/*
 * Sends what has been written so far, with the head if it has not gone: for an answer that is made
 * slowly. Blocks as shs_write. From here on the body is chunked unless Content-Length was said.
 */
SHS_API int shs_flush(struct shs_response *res) SHS_MUST_CHECK;
/*
 * The body is `length` bytes of the open file `fd` from `offset` on. Takes the descriptor, also on
 * an error. Sets Content-Length. Sent after do_X has returned, without holding a thread for a slow
 * peer. Nothing may be written before or after it.
 *
 * A file that is overwritten while it is sent, or becomes shorter, breaks the answer off, so that
 * nobody takes half of the old and half of the new for a whole one: replace a file by rename(2).
 * One that only grows, as a log, is sent as far as `length` says. (Not seen: what is written twice
 * within a tick of the file system's clock, some milliseconds, and through mappings.)
 */
SHS_API int shs_send_file(struct shs_response *res, int fd, uint64_t offset,
                          uint64_t length) SHS_MUST_CHECK;
/*
 * A body that is made while its reader takes it, and holds no thread for a slow one: a listing, an
 * archive, the rows of a query. Constant; what belongs to one answer is behind `ctx`.
 *
 *   read  the next bytes: at most `cap` of them into `buf`. 0 with *got > 0; 0 with *got == 0 at
 *         the end; < 0, and the answer is broken off, so that the client sees that it is not
 *         whole. It is called when there is room, by any thread of the server but one at a time,
 *         and again and again: it may read a file, and should not wait for anything slower
 *   free  when it is needed no more, whole or not; once. May be NULL
 *
 * It is used after do_X has returned. What it needs must live until `free`: memory of
 * shs_request_alloc does, and so do views of the request.
 */
struct shs_source {
    int (*read)(void *ctx, void *buf, size_t cap, size_t *got);
    void (*free)(void *ctx);
};

/*
 * The body is what `source` gives. Ends the headers; with shs_send_length before it the source must
 * give just so much, else the body is chunked. Takes `ctx`, also on an error. Nothing may be
 * written before or after it. 0, or SHS_USAGE.
 */
SHS_API int shs_send_source(struct shs_response *res, const struct shs_source *source,
                            void *ctx) SHS_MUST_CHECK;

/*
 * A whole answer for an error: status (as of shs_send_response), a small page with the code, its
 * reason and `message` (escaped; NULL = the usual sentence) in the form of opt.error_form or from
 * opt.error_page, and Connection: close. Replaces an answer of which nothing has been sent yet;
 * SHS_USAGE afterwards. No body for 204, 205, 304 and HEAD.
 */
SHS_API int shs_send_error(struct shs_response *res, int code, const char *message) SHS_MUST_CHECK;

/*
 * As shs_send_error, and the connection lives on: for an error that says nothing of the connection,
 * as a 404. It is closed all the same when the request's body cannot be read to its end.
 */
SHS_API int shs_send_page(struct shs_response *res, int code, const char *message) SHS_MUST_CHECK;

/* The same as JSON, whatever opt.error_form is: application/problem+json, RFC 9457. */
SHS_API int shs_send_problem(struct shs_response *res, int code, const char *detail) SHS_MUST_CHECK;

/* -- the answer so far: for who stands around a handler, after it has returned ----------------- */

/* The status that shs_send_response was given; 0 before. */
SHS_API int shs_response_status(const struct shs_response *res);
/* Has something of the answer left? Then it cannot be replaced any more. */
SHS_API bool shs_response_has_left(const struct shs_response *res);
/* The value of the first field with that name (any case) which the handler set; or false. */
SHS_API bool shs_response_header(const struct shs_response *res, const char *name,
                                 struct shs_str *value);
/*
 * The whole body, when nothing of it has left and it is not a file: true and *body, until the next
 * call that changes it.
 */
SHS_API bool shs_response_body(const struct shs_response *res, struct shs_str *body);
/*
 * Puts another body in its place, with another Content-Length, and one more field (NULL: none),
 * as "Content-Encoding". A strong ETag becomes weak. Copies. 0, SHS_USAGE when shs_response_body
 * is false, SHS_LIMIT, SHS_NOMEM; the answer is as it was then.
 */
SHS_API int shs_response_replace_body(struct shs_response *res, const void *body, size_t len,
                                      const char *name, const char *value) SHS_MUST_CHECK;

/*
 * For whoever changes the bytes of an answer by another way: a strong ETag of it becomes weak, as
 * "W/\"7\"", because it named other bytes. 0, SHS_USAGE when the head has left, SHS_NOMEM.
 */
SHS_API int shs_response_weaken_etag(struct shs_response *res) SHS_MUST_CHECK;

/*
 * A content coding for a body that streams: for middleware, before it calls the next one. Constant;
 * what belongs to one answer is behind `ctx`.
 *
 *   begin  the head is about to leave, and the body is not whole in memory: it was flushed, is
 *          longer than opt.max_buffered_response, or a source gives it; or there is no body because
 *          it is HEAD that was asked. The name of the coding ("gzip", static storage), and from
 *          there on the body goes through `code`; or NULL: it stays as it is. It may look at the
 *          answer and call shs_response_stand. Once, and never for a file. `length` is what the
 *          body will have, UINT64_MAX when that is not known
 *   code   takes bytes from the front of *in (moves it on) and puts coded ones into out: at most
 *          `cap` of them, *got says how many. Called again for as long as it fills `out` or leaves
 *          something in *in. 0, or < 0: the answer is broken off
 *   free   when it is needed no more, in any case; once. May be NULL
 *
 * begin and code run on the owner's thread, or, for what is left of a body and for a source, after
 * do_X has returned on any thread of the server, one at a time. The answer has the coding's name in
 * Content-Encoding, no Content-Length (what the handler wrote is still held against the one it
 * said), and a weak ETag. What is written need not leave before it is flushed.
 */
enum shs_coding_step {
    SHS_CODING_MORE,  /* there will be more; nothing has to come out yet */
    SHS_CODING_FLUSH, /* all that went in comes out, so that it can be decoded */
    SHS_CODING_END    /* that was the end of the body */
};
struct shs_content_coding {
    const char *(*begin)(void *ctx, struct shs_request *req, struct shs_response *res,
                         uint64_t length);
    int (*code)(void *ctx, enum shs_coding_step step, struct shs_str *in, void *out, size_t cap,
                size_t *got);
    void (*free)(void *ctx);
};
/*
 * Takes `ctx`, also on an error. 0; SHS_LIMIT when the answer has a coding already (the outermost
 * counts); SHS_USAGE when its head has left; SHS_NOMEM.
 */
SHS_API int shs_response_set_coding(struct shs_response *res,
                                    const struct shs_content_coding *coding,
                                    void *ctx) SHS_MUST_CHECK;

/*
 * For a helper of yours that handlers call: it was used wrongly, or for too much. The line of the
 * log has the handler, the method and the path, then `call` and `text`; the client is told 500, and
 * nothing of it. The first one of a request counts, as with the calls of this library.
 *
 *   code  < 0: what the helper returns, and the handler after it
 *   call  the name of the helper
 *   text  what is wrong and what to do; copied
 *
 * Returns code.
 */
SHS_API int shs_response_mistake(struct shs_response *res, int code, const char *call,
                                 const char *text);

/* -- handlers that call handlers: owner thread only -------------------------------------------- */

/*
 * Lets another handler answer this request: its method is called, with its ctx, as the server would
 * call it; a method that it lacks is answered as above. Returns what it returned. Afterwards
 * shs_request_ctx is yours again. SHS_USAGE when an answer has begun already, and beyond 64
 * handlers within one another.
 */
SHS_API int shs_handler_call(const struct shs_http_handler *next, struct shs_request *req,
                             struct shs_response *res) SHS_MUST_CHECK;
/*
 * For a chain of your own (shs/chain.h has one): who makes a mistake from here on is the middleware
 * of that name, until it calls a handler or has returned; so the line of the log names it. Returns
 * what ran before it, for the second call, with what the middleware has returned.
 *
 *   name  until the request ends; NULL is "without a name"
 */
SHS_API const char *shs_request_enter_middleware(struct shs_request *req, const char *name);
SHS_API void shs_request_leave_middleware(struct shs_request *req, const char *before, int rc);
/* Has it a function for that method? */
SHS_API bool shs_handler_has(const struct shs_http_handler *handler, struct shs_str method);

/* "Not Found" for 404; "" for a code without a usual reason. Static storage. Any thread. */
SHS_API const char *shs_http_reason(int code);

#ifdef __cplusplus
}
#endif

#endif
