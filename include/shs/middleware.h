/*
 * shs/middleware.h - the middleware that comes with the library.
 *
 * Concept
 *
 *   A struct shs_http_handler answers; one of these looks at the request first and then lets the
 *   next one answer, or does not. They are put together from the inside to the outside:
 *
 *       shs_static_files_new(&files, &opt, &err);
 *       shs_basic_auth_new(&auth, shs_static_files_handler(files), "users", "files", &err);
 *       shs_cors_new(&cors, shs_basic_auth_handler(auth), "https://app.example", &err);
 *       shs_http_server_new(&server, &options, shs_cors_handler(cors), &err);
 *
 *   or stand in a chain (shs/chain.h), for a route, a group or all:
 *
 *       static const unsigned limit_ms = 2000;
 *       struct shs_middleware security = shs_security_middleware(NULL);
 *       struct shs_middleware limit = shs_time_limit_middleware(&limit_ms);
 *       const struct shs_middleware *const chain[] = {
 *           &security, shs_rate_limit_middleware(rate), shs_bearer_middleware(bearer), &limit,
 *           NULL};
 *
 *   A table is copied where it is given; what stands behind its ctx is borrowed. So is everything
 *   here: free it after the server, from the outside to the inside.
 *
 *   Examples of all of them: examples/middleware.c.
 *
 * Follows: RFC 7617 (Basic), RFC 6750 (Bearer), RFC 6585 section 4 (429), the Fetch standard (CORS
 * protocol), crypt(5).
 */
#ifndef SHS_MIDDLEWARE_H
#define SHS_MIDDLEWARE_H

#include <shs/chain.h>

#ifdef __cplusplus
extern "C" {
#endif

struct shs_cors;

/*
 * Lets pages of other origins read the answers: Access-Control-Allow-Origin on all of them, and
 * answers to the preflight questions of browsers.
 *
 *   next    copied; its ctx borrowed
 *   origin  "*", or one origin as a browser writes it: "https://app.example:8443"; copied
 *
 * Returns 0, SHS_USAGE (an origin that is none), SHS_NOMEM.
 */
SHS_API int shs_cors_new(struct shs_cors **out, const struct shs_http_handler *next,
                         const char *origin, struct shs_error *err) SHS_MUST_CHECK;
/*
 * Only pages of these origins may ask with other methods than GET and HEAD; they may read, too.
 * Until it is called, whoever may read may ask with any method that the handler has.
 *
 *   origins  NULL-terminated, copied; NULL or empty: nobody
 *
 * Before the server serves. Returns 0, SHS_USAGE (an origin that is none, "*" too), SHS_NOMEM.
 */
SHS_API int shs_cors_set_writers(struct shs_cors *self, const char *const *origins,
                                 struct shs_error *err) SHS_MUST_CHECK;
SHS_API void shs_cors_free(struct shs_cors *self); /* NULL is fine */
SHS_API const struct shs_http_handler *shs_cors_handler(const struct shs_cors *self);
SHS_API const struct shs_middleware *shs_cors_middleware(const struct shs_cors *self);

struct shs_basic_auth;

/*
 * Asks for a user's name and password before anything is answered: 401 without, or with a wrong
 * one. Only behind TLS are passwords secret on their way.
 *
 *   next   copied; its ctx borrowed
 *   file   lines of "user:hash", read once; "#" begins a comment. Hashes are those of crypt(5) that
 *          are slow on purpose: yescrypt ($y$), bcrypt ($2b$), SHA-512 ($6$), SHA-256 ($5$), as
 *          mkpasswd(1) or htpasswd -B make them
 *   realm  shown by browsers; copied
 *
 * A password that was right is known again until it was not used for a minute (and verified again
 * after an hour), so that who is active pays once. Equal ones that come at the same time are
 * verified once. Two verifications run at a time; the others wait, for at most ten seconds, up to
 * 64 of them and 16 of one address; beyond it 503 with Retry-After. An address that guessed wrong
 * waits behind those that did not, and never has both: a flood of guesses hurts whoever sends it.
 *
 * Returns 0, SHS_IO (the file cannot be read), SHS_USAGE (a line that is none, with its number, or
 * no user at all; or a library built without libcrypt), SHS_NOMEM.
 */
SHS_API int shs_basic_auth_new(struct shs_basic_auth **out, const struct shs_http_handler *next,
                               const char *file, const char *realm,
                               struct shs_error *err) SHS_MUST_CHECK;
SHS_API void shs_basic_auth_free(struct shs_basic_auth *self); /* NULL is fine */
SHS_API const struct shs_http_handler *shs_basic_auth_handler(const struct shs_basic_auth *self);
/* For a chain; `next` is NULL then. So it is with every other one that has both. */
SHS_API const struct shs_middleware *shs_basic_auth_middleware(const struct shs_basic_auth *self);

/* -- small ones: by value; what ctx points to is yours, and borrowed -------------------------- */

/* A field with the name of the request (shs_request_id) on every answer; field NULL:
   X-Request-Id. */
SHS_API struct shs_middleware shs_request_id_middleware(const char *field);

/* No longer body than this: 413. As shs_request_limit_body. */
SHS_API struct shs_middleware shs_body_limit_middleware(const uint64_t *max_bytes);

/*
 * What has not begun to leave so many milliseconds after it came here is 503, and nothing behind it
 * waits longer for the client. A handler that computes looks at shs_request_deadline itself.
 */
SHS_API struct shs_middleware shs_time_limit_middleware(const unsigned *ms);

/*
 * Fields that tell a browser to be careful. NULL is the default that is named, "" no such field.
 * Strict-Transport-Security is sent over TLS only (RFC 6797 section 7.2).
 */
struct shs_security_fields {
    const char *hsts SHS_OPTIONAL;               /* "max-age=31536000" */
    const char *content_security SHS_OPTIONAL;   /* "default-src 'self'; frame-ancestors 'none';
                                                    base-uri 'none'; object-src 'none'" */
    const char *referrer_policy SHS_OPTIONAL;    /* "no-referrer" */
    const char *permissions_policy SHS_OPTIONAL; /* "camera=(), geolocation=(), microphone=()" */
    const char *content_type SHS_OPTIONAL;       /* X-Content-Type-Options: "nosniff" */
};

/*
 * NULL: all defaults. A field that a handler sets itself counts instead. The listings of
 * shs/static_files.h look and work the same under the default policy; a page of yours with a
 * <style> or a <script> inside needs another one, or a file of its own for them.
 */
SHS_API struct shs_middleware shs_security_middleware(const struct shs_security_fields *fields);

/*
 * What a handler's error code becomes, as long as nothing of its answer has left; the connection
 * lives on. What is not in the table stays as it is.
 */
struct shs_error_answer {
    int code; /* SHS_LIMIT ...; 0 ends the table */
    int status SHS_OPTIONAL;
    const char *message SHS_OPTIONAL; /* for the client; NULL = the usual sentence */
};
SHS_API struct shs_middleware shs_error_map_middleware(const struct shs_error_answer *table);

/* -- compression ------------------------------------------------------------------------------ */

struct shs_compress;

struct shs_compress_options {
    size_t size;          /* set by shs_compress_options_init */
    size_t max_memory;    /* of all that is compressed at a time: 32 MiB */
    unsigned max_whole;   /* answers that are whole, at a time: 4 */
    unsigned max_streams; /* answers that stream, at a time: 32; 1 MiB of max_memory each */
};
SHS_API void shs_compress_options_init_sized(struct shs_compress_options *opt, size_t size);
#define shs_compress_options_init(opt) shs_compress_options_init_sized((opt), sizeof *(opt))

/*
 * Compresses bodies of a type that gains by it, for a client that wants it: gzip or zstd.
 *
 *   - A body that is whole in memory when its handler returns, from 512 bytes on, has a
 *     Content-Length.
 *   - A body that streams (it was flushed, is longer than opt.max_buffered_response, or a source
 *     gives it) is compressed as it goes. shs_flush and shs_sse_send let everything out that was
 *     written, so that it can be decoded at once; other writes may wait in the coder.
 *   - A file, a 206, and what has a Content-Encoding, a Content-Range, a digest or Cache-Control:
 *     no-transform stay as they are; so does what is beyond the bounds.
 *
 * A strong ETag becomes weak; Vary is there also where nothing was compressed. Do not put a secret
 * and what a stranger chooses into one answer that is compressed: its length tells of the secret.
 *
 *   next  NULL for a chain; copied, its ctx borrowed
 *   opt   copied; NULL = the defaults
 *
 * Returns 0, SHS_NOMEM.
 */
SHS_API int shs_compress_new(struct shs_compress **out, const struct shs_http_handler *next,
                             const struct shs_compress_options *opt,
                             struct shs_error *err) SHS_MUST_CHECK;
SHS_API void shs_compress_free(struct shs_compress *self); /* NULL is fine */
SHS_API const struct shs_http_handler *shs_compress_handler(const struct shs_compress *self);
SHS_API const struct shs_middleware *shs_compress_middleware(const struct shs_compress *self);

/* -- Bearer tokens, RFC 6750 ------------------------------------------------------------------ */

struct shs_bearer;

/* A token is only known by its digest: `printf %s TOKEN | sha256sum`. */
struct shs_bearer_token {
    const char *sha256;            /* 64 hexadecimal digits; NULL ends the list */
    const char *user SHS_OPTIONAL; /* whose it is: shs_request_user; copied */
};

/*
 * Looks at a token that is in no list. SHS_OK with *user (its bytes: yours, or of
 * shs_request_alloc)
 * lets it in; user->ptr NULL refuses it; < 0 is an error as of a handler. May block.
 */
typedef int shs_bearer_fn(void *ctx, struct shs_request *req, struct shs_str token,
                          struct shs_str *user);

/*
 * Asks for "Authorization: Bearer TOKEN": 401 without a good one. All tokens of the list are
 * compared, in a time that does not tell which fits.
 *
 *   next    NULL for a chain; copied, its ctx borrowed
 *   tokens  copied; at most 10,000; NULL = none
 *   verify  NULL = none
 *   realm   shown to the client; copied
 *
 * Returns 0; SHS_USAGE for a digest that is none, or neither tokens nor verify; SHS_NOMEM.
 */
SHS_API int shs_bearer_new(struct shs_bearer **out, const struct shs_http_handler *next,
                           const struct shs_bearer_token *tokens, shs_bearer_fn *verify, void *ctx,
                           const char *realm, struct shs_error *err) SHS_MUST_CHECK;
SHS_API void shs_bearer_free(struct shs_bearer *self); /* NULL is fine */
SHS_API const struct shs_http_handler *shs_bearer_handler(const struct shs_bearer *self);
SHS_API const struct shs_middleware *shs_bearer_middleware(const struct shs_bearer *self);

/* -- so many requests, and no more ------------------------------------------------------------ */

struct shs_rate_limit;

enum shs_rate_by {
    SHS_RATE_BY_ADDRESS, /* of the client; of IPv6 the first 64 bits */
    SHS_RATE_BY_USER, /* shs_request_user, or the key of a verified certificate; else the address */
    SHS_RATE_BY_KEY   /* what `key` gives */
};

/* The bytes to count by; until the request ends. ptr NULL: this request is not counted. */
typedef struct shs_str shs_rate_key_fn(void *ctx, struct shs_request *req);

struct shs_rate_options {
    size_t size;         /* set by shs_rate_options_init */
    enum shs_rate_by by; /* SHS_RATE_BY_ADDRESS */
    unsigned burst;      /* at once, after a rest; 20 */
    unsigned per_minute; /* that come back; 600 */
    size_t max_keys;     /* that are remembered: 16 bytes each. 16384. Beyond it, who came least
                            lately is forgotten, and begins again */
    shs_rate_key_fn *key;
    void *key_ctx;
};
SHS_API void shs_rate_options_init_sized(struct shs_rate_options *opt, size_t size);
#define shs_rate_options_init(opt) shs_rate_options_init_sized((opt), sizeof *(opt))

/*
 * A bucket of tokens for each key: a request takes one; without one it is 429 with Retry-After.
 *
 * Returns 0, SHS_USAGE (no burst or rate, more than 16 million keys, BY_KEY without a function),
 * SHS_NOMEM.
 */
SHS_API int shs_rate_limit_new(struct shs_rate_limit **out, const struct shs_http_handler *next,
                               const struct shs_rate_options *opt,
                               struct shs_error *err) SHS_MUST_CHECK;
SHS_API void shs_rate_limit_free(struct shs_rate_limit *self); /* NULL is fine */
SHS_API const struct shs_http_handler *shs_rate_limit_handler(const struct shs_rate_limit *self);
SHS_API const struct shs_middleware *shs_rate_limit_middleware(const struct shs_rate_limit *self);

/* -- access logs ------------------------------------------------------------------------------ */

/* Common and Combined as of the Apache and NCSA servers; JSON with the time in RFC 3339. */
enum shs_access_style { SHS_ACCESS_COMMON, SHS_ACCESS_COMBINED, SHS_ACCESS_JSON };

/* The longest line there is, without a newline. */
#define SHS_ACCESS_LINE_MAX 32768

/*
 * One line of an access log: for a log_request of yours. Every byte that a client can choose is
 * escaped, UTF-8 stays whole, and each part is cut at a bound: a line is one line.
 *
 *   buf, cap  SHS_ACCESS_LINE_MAX bytes are always enough; no newline, no NUL
 *
 * Returns 0 with *len, SHS_LIMIT. Owner thread of the request.
 */
SHS_API int shs_access_line(const struct shs_access *access, enum shs_access_style style, char *buf,
                            size_t cap, size_t *len) SHS_MUST_CHECK;

struct shs_access_log;

struct shs_access_log_options {
    size_t size;                 /* set by shs_access_log_options_init */
    enum shs_access_style style; /* SHS_ACCESS_COMBINED */
    size_t max_waiting;          /* bytes of lines that wait for a slow reader: 1 MiB */
    unsigned stop_ms;            /* how long shs_access_log_free waits for it: 2000 */
};
SHS_API void shs_access_log_options_init_sized(struct shs_access_log_options *opt, size_t size);
#define shs_access_log_options_init(opt) shs_access_log_options_init_sized((opt), sizeof *(opt))

/*
 * An access log that no request waits for: lines go into a bounded buffer, and a thread of its own
 * writes them to `fd`. A reader that is too slow costs lines, and a line says how many.
 *
 *   next  for shs_access_log_handler; NULL for a chain; copied, its ctx borrowed
 *   fd    borrowed until shs_access_log_free; its flags stay as they are
 *   opt   copied; NULL = the defaults
 *
 * Returns 0, SHS_USAGE (a style that is none), SHS_NOMEM, SHS_IO (no thread is to be had).
 */
SHS_API int shs_access_log_new(struct shs_access_log **out, const struct shs_http_handler *next,
                               int fd, const struct shs_access_log_options *opt,
                               struct shs_error *err) SHS_MUST_CHECK;
/* `next`, and everything that the server answers is in the log, also what reaches no handler. */
SHS_API const struct shs_http_handler *shs_access_log_handler(const struct shs_access_log *self);
/* For a chain: what comes past here is in the log, for a route, a group or all. */
SHS_API const struct shs_middleware *shs_access_log_middleware(const struct shs_access_log *self);
/* For a handler table of yours: .log_request, with the log as .log_ctx. Any thread. */
SHS_API void shs_access_log_request(void *log, const struct shs_access *access);
/*
 * A line of your own among the others, without its newline, at most SHS_ACCESS_LINE_MAX bytes of
 * it; it is written as it is. False: it was dropped. Any thread.
 */
SHS_API bool shs_access_log_write(struct shs_access_log *self, const char *line, size_t len);
/*
 * Writes what waits, within timeout_ms, and ends the thread; lines that come later are lost. Once.
 * *lost (may be NULL): how many lines were never written. 0, SHS_TIMEOUT, SHS_IO.
 */
SHS_API int shs_access_log_stop(struct shs_access_log *self, unsigned timeout_ms, uint64_t *lost);
/* Stops it if nobody has. After the server. NULL is fine. */
SHS_API void shs_access_log_free(struct shs_access_log *self);

#ifdef __cplusplus
}
#endif

#endif
