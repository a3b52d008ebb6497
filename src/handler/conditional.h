/*
 * conditional.h - "only if it has changed", "only if it has not": entity tags and preconditions.
 *
 * Follows: RFC 9110 sections 8.8.3 (ETag), 13.1 (the five fields), 13.2.2 (their order).
 */
#ifndef SHS_HANDLER_CONDITIONAL_H
#define SHS_HANDLER_CONDITIONAL_H

#include <sys/stat.h>

#include <shs/http.h>

#include "base/base.h"

/* Three 64-bit numbers in hexadecimal, two dashes, two quotes, NUL. */
#define SHS_ETAG_SIZE (3 * 16 + 2 + 2 + 1)

/* A strong entity tag of a file: its time (ns), size and inode. NUL-terminated, with its quotes. */
void shs__etag_format(char etag[SHS_ETAG_SIZE], const struct stat *st);

/*
 * True if a list of entity tags (`"a", W/"b"` or `*`) has this one. What is not a list matches
 * nothing. `strong`: a weak tag matches nothing either (RFC 9110 section 8.8.3.2).
 */
bool shs__etag_in(struct shs_str list, const char *etag, bool strong);

enum shs_precondition {
    SHS_PRECONDITION_HOLDS,
    SHS_PRECONDITION_NOT_MODIFIED, /* 304 */
    SHS_PRECONDITION_FAILED        /* 412 */
};

/*
 * If-Match, If-Unmodified-Since, If-None-Match, If-Modified-Since, in the order of RFC 9110 section
 * 13.2.2. A date that cannot be read counts for nothing.
 *
 *   etag   of what the target is now; NULL when it does not exist yet
 *   mtime  likewise
 */
enum shs_precondition shs__preconditions(const struct shs_request *req, const char *etag,
                                         int64_t mtime);

/*
 * If-Range: true if a Range field may be followed: there is no If-Range, or it names exactly this
 * state. A date counts only when the file was not changed in the last second (section 8.8.2.2).
 */
bool shs__if_range(const struct shs_request *req, const char *etag, int64_t mtime);

/* The value of a field that may be there once: false when it is not there, or more than once. */
bool shs__header_once(const struct shs_request *req, const char *name, struct shs_str *value);

#endif
