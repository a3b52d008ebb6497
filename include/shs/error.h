/*
 * shs/error.h - how every function of libshs says that something went wrong.
 *
 * Concept
 *
 *   A function that can fail returns an int: 0 (SHS_OK) or one of the negative codes below. There
 *   are few codes, because code decides on them; people read the text. The text, with errno and
 *   OpenSSL's code where they apply, is in a struct shs_error: the one the caller handed in, or the
 *   one of the object that failed (shs_conn_error). It is written once, at the place that failed,
 *   and it says what to do where that is known.
 *
 *   Three positive codes are not errors: SHS_WAIT_READ and SHS_WAIT_WRITE say "I have gone as far
 *   as I can without waiting for the peer"; SHS_YIELD says "I could go on, but I have had my turn".
 *   Who waits, and who is next, is for the caller to decide (see server.h).
 *
 * The end of data: four answers, so that who stores what it reads knows whether it has all of it
 *
 *   SHS_CLOSED     the peer ended its data in order: FIN, with TLS close_notify. What came is whole
 *   SHS_TRUNCATED  the connection ended without TLS's close_notify: anybody on the way can do that,
 *                  so the rest may be missing (RFC 8446 section 6.1)
 *   SHS_RESET      the peer reset the connection, or takes nothing more: it has gone away
 *   SHS_STOPPED    we ended it ourselves: the server is shutting down
 *
 *   Whichever comes is given again by each later read. Only the last three are failures, which
 *   shs_conn_error tells as well. A FIN of plain TCP is an orderly end for this library; whether a
 *   message was complete is then for the protocol above to say, by a length or a last line.
 *
 * Conventions of all headers
 *
 *   - Data leaves through out-parameters, which are written on success only.
 *   - Every ..._free(NULL) is legal and does nothing.
 *   - Strings are NUL-terminated and UTF-8 unless they are a struct shs_str (pointer and length).
 *   - Times are milliseconds (unsigned, _ms) in the API; deadlines are absolute, nanoseconds of
 *     CLOCK_MONOTONIC (int64_t, _ns).
 *   - Each function says who owns what ("copies", "borrows until ...") and which threads may call
 *     it ("safe from any thread", "owner thread only": the thread that runs the request).
 */
#ifndef SHS_ERROR_H
#define SHS_ERROR_H

#include <stddef.h>

#if defined(__GNUC__)
#define SHS_API __attribute__((visibility("default")))
#define SHS_MUST_CHECK __attribute__((warn_unused_result))
#define SHS_PRINTF(fmt, args) __attribute__((format(printf, fmt, args)))
#else
#define SHS_API
#define SHS_MUST_CHECK
#define SHS_PRINTF(fmt, args)
#endif

#ifdef __cplusplus
extern "C" {
#endif

/* One list, three products: the enum, the names, the texts. X(name, value, text) */
#define SHS_ERR_MAP(X)                                                                             \
    X(OK, 0, "no error")                                                                           \
    X(USAGE, -1, "the API was used wrongly")                                                       \
    X(NOMEM, -2, "out of memory")                                                                  \
    X(IO, -3, "system call failed")                                                                \
    X(CLOSED, -4, "the peer ended its data")                                                       \
    X(TIMEOUT, -5, "the deadline passed")                                                          \
    X(TLS, -6, "TLS failure")                                                                      \
    X(PROTO, -7, "malformed HTTP")                                                                 \
    X(LIMIT, -8, "a limit was reached")                                                            \
    X(STOPPED, -9, "the server is shutting down")                                                  \
    X(EXIT, -10, "the handler asked the server to stop")                                           \
    X(DEADLOCK, -11, "the call would wait for itself")                                             \
    X(RESET, -12, "the peer reset the connection")                                                 \
    X(TRUNCATED, -13, "the connection ended in the middle of the TLS session")

enum shs_err {
#define SHS_ERR_ENUM(name, value, text) SHS_##name = (value),
    SHS_ERR_MAP(SHS_ERR_ENUM)
#undef SHS_ERR_ENUM
    /* Not errors: the conversation needs the peer before it can go on. */
    SHS_WAIT_READ = 1,
    SHS_WAIT_WRITE = 2,
    /* Neither: it could go on, and others have their turn first. */
    SHS_YIELD = 3
};

/* Why something failed. `text` is always NUL-terminated and is a whole sentence for a person. */
struct shs_error {
    enum shs_err code;      /* SHS_OK when nothing failed */
    int sys_errno;          /* errno at the place that failed, or 0 */
    unsigned long tls_code; /* OpenSSL's ERR_get_error() value, or 0 */
    char text[240];
};

/*
 * The name of a code, "SHS_TIMEOUT"; "SHS_UNKNOWN" for a number that is none.
 * Static storage, never NULL. Safe from any thread.
 */
SHS_API const char *shs_err_name(int code);

/*
 * One short English phrase for a code, "the deadline passed". Static storage, never NULL.
 * Safe from any thread.
 */
SHS_API const char *shs_err_text(int code);

/*
 * Fills *err with a code, an errno (0 for none) and a printf-style text, and returns the code, so
 * that a mixin can write `return shs_error_set(err, SHS_USAGE, 0, "...")`.
 *
 *   err    may be NULL: then only the code is returned
 *   code   a negative SHS_* code
 *   fmt    the sentence; cut at 239 bytes
 *
 * Safe from any thread (on its own *err).
 */
SHS_API int shs_error_set(struct shs_error *err, int code, int sys_errno, const char *fmt, ...)
    SHS_PRINTF(4, 5);

#ifdef __cplusplus
}
#endif

#endif
