/*
 * message.h - what a request head says, once the guard and llhttp have agreed on it.
 *
 * Everything here is views into the connection's input buffer, which does not move while the
 * request is under way.
 */
#ifndef SHS_MESSAGE_H
#define SHS_MESSAGE_H

#include "base/base.h"

struct shs_field {
    struct shs_str name, value; /* value: surrounding white space cut off */
};

/* The four shapes of a request target, RFC 9112 section 3.2. */
enum shs_target_form { SHS_TARGET_ORIGIN, SHS_TARGET_ABSOLUTE, SHS_TARGET_ASTERISK };

struct shs_head {
    struct shs_str line; /* the request line, without CRLF */
    struct shs_str method;
    struct shs_str target; /* as it came */
    struct shs_str path;   /* as it came, leading "/" run reduced to one; "*" for asterisk */
    struct shs_str query;  /* after "?"; ptr NULL when there is none */
    struct shs_str host;   /* authority of an absolute target, else the Host field; "" if none */
    enum shs_target_form form;
    int version;              /* 10 or 11 */
    struct shs_field *fields; /* in order, from the caller's array */
    size_t field_count;
    bool forwarded;          /* fields of proxies are there, that nobody has looked at */
    bool has_length;         /* Content-Length is there */
    bool chunked;            /* Transfer-Encoding: chunked is there */
    bool expect_continue;    /* Expect: 100-continue, on HTTP/1.1 and with content to come */
    bool keep_alive;         /* what version and Connection say; false for HTTP/1.0 always */
    uint64_t content_length; /* 0 unless has_length */
};

/* Why a message was refused: what to answer, and which rule it broke. Texts are static. */
struct shs_refusal {
    int status;       /* 400, 413, 414, 417, 431, 501, 505 */
    const char *rule; /* short and stable, for logs and tests: "bare-lf", "two-hosts" */
    const char *text; /* a sentence for the client */
};

#endif
