/*
 * access_format.h - one request as one line of an access log.
 *
 * Concept
 *
 *   A struct shs_access_line is plain values: what a line says, without a request or a connection,
 *   so that a test can make one. access_log.c fills it from a struct shs_access. Every byte a
 *   client can choose is escaped and every field is cut at a ceiling: a line is one line, whatever
 *   is sent.
 *
 * Follows: the Common and Combined formats of the Apache and NCSA servers; CPython log_request;
 * RFC 3339 for the time in JSON.
 */
#ifndef SHS_HANDLER_ACCESS_FORMAT_H
#define SHS_HANDLER_ACCESS_FORMAT_H

#include <shs/middleware.h>

#include "base/second_text.h"

struct shs_access_line {
    int64_t when_ns;                        /* wall clock: ns of the Unix epoch */
    struct shs_str client;                  /* address */
    struct shs_str request_line;            /* raw */
    struct shs_str method, target, version; /* ptr NULL when no request could be understood */
    int status;                             /* 0: none was sent */
    uint64_t bytes;
    int64_t duration_ns;
    struct shs_str tls_version, cipher, sni; /* ptr NULL without TLS */
    struct shs_str referer, user_agent;      /* ptr NULL: the request has none */
    struct shs_str error;                    /* ptr NULL: all went well */
    struct shs_str user;                     /* of Basic authentication, or of a verified
                                                certificate: SPIFFE ID or CN; ptr NULL when
                                                there is none, as the next two */
    struct shs_str client_sha256;            /* of that certificate */
    struct shs_str ja4;
    struct shs_str rule;         /* that the request broke; ptr NULL: none */
    struct shs_str request_id;   /* ptr NULL: it has none */
    struct shs_str role, access; /* of shs_request_access: the role and the line that decided;
                                    ptr NULL when nobody asked, role also when there is none */
};

/* The text of the present second, made once for all lines of that second. Zeroed is empty. */
struct shs_access_clock {
    struct shs_second_texts common; /* "21/Nov/2026:14:00:00 +0000" */
    struct shs_second_texts iso;    /* "2026-11-21T14:00:00" */
};

/*
 * Appends the line, without a newline: at most SHS_ACCESS_LINE_MAX bytes. Returns SHS_OK, SHS_LIMIT
 * (out->ceiling is smaller), SHS_NOMEM. `clock` may be NULL. Safe from any thread.
 */
int shs__access_format(struct shs_buf *out, enum shs_access_style style,
                       struct shs_access_clock *clock, const struct shs_access_line *line);

#endif
