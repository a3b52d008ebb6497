/*
 * reference.h - HTTP/1.1 requests read a second time, slowly: what the guard is compared with.
 *
 * Concept
 *
 *   The grammar of RFC 9112, RFC 9110 and RFC 3986, rule by rule, over an input that is there as a
 *   whole. There is no state to keep between calls, no speed to gain and no line in common with
 *   src/http: where the two differ, one of them is wrong.
 *
 *   Where this server is stricter than the RFCs, or takes what they leave open, the rule is marked
 *   "House:" in reference.c. Those marks are the whole list of such decisions.
 */
#ifndef REFERENCE_H
#define REFERENCE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum ref_verdict {
    REF_COMPLETE, /* a request, ref_request.used bytes of the input */
    REF_MORE,     /* may become one */
    REF_REFUSED   /* will never be one */
};

#define REF_MAX_FIELDS 128u

struct ref_limits {
    size_t request_line, head, fields, chunk_line, extensions, trailers;
    uint64_t body;
};

struct ref_text {
    const char *at;
    size_t len;
};

struct ref_field {
    struct ref_text name, value;
};

struct ref_request {
    struct ref_text method, target, path, query, host;
    bool has_query;
    int version; /* 10, 11 */
    struct ref_field fields[REF_MAX_FIELDS];
    size_t field_count;
    bool has_length, chunked, expects, keep_alive;
    uint64_t length;
    bool head_is_right; /* all of the above is known; what follows, if COMPLETE */
    struct ref_field trailers[REF_MAX_FIELDS];
    size_t trailer_count;
    size_t body_len;
    size_t used;
};

/*
 * The first request in the input. `body` has room for as many bytes as the input. Limits: at most
 * REF_MAX_FIELDS fields.
 */
enum ref_verdict ref_read(const char *bytes, size_t len, const struct ref_limits *limits,
                          struct ref_request *request, char *body);

#endif
