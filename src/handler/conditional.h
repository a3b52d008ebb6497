/*
 * conditional.h - "only if it has changed", "only if it has not": entity tags and preconditions.
 *
 * Follows: RFC 9110 sections 8.8.3 (ETag), 13.1 (the five fields), 13.2.2 (their order).
 */
#ifndef SHS_HANDLER_CONDITIONAL_H
#define SHS_HANDLER_CONDITIONAL_H

#include <sys/stat.h>

#include <shs/conditional.h>

#include "base/base.h"

/*
 * An entity tag, NUL-terminated, with its quotes:
 *
 *   "CONTENT"                 a file: content_tag.h
 *   "CONTENT-gzip"            what was made of it for an answer
 *   "CONTENT-SIBLING-gzip"    its sibling "app.js.gz", which is a file of its own
 *   W/"SIZE-MTIME-CTIME"      a file whose content is not known (yet)
 */
#define SHS_ETAG_SIZE 96

void shs__etag_strong(char etag[SHS_ETAG_SIZE], const char *content);
void shs__etag_weak(char etag[SHS_ETAG_SIZE], const struct stat *st);
/* Puts "-part" before the closing quote. */
void shs__etag_add(char etag[SHS_ETAG_SIZE], const char *part);

/* Takes the next tag from a list, with its quotes; false at its end, and where it is not a list. */
bool shs__etag_next(struct shs_str *list, struct shs_str *tag, bool *weak);
/*
 * True if a list of entity tags (`"a", W/"b"` or `*`) has this one. What is not a list matches
 * nothing. `strong`: a weak tag matches nothing either (RFC 9110 section 8.8.3.2).
 */
bool shs__etag_in(struct shs_str list, const char *etag, bool strong);
/* The same for any of the tags above of that content: whichever coding of the file was got. */
bool shs__etag_content_in(struct shs_str list, const char *content, bool strong);

/* What a file is now, for whoever asks on a condition. */
struct shs_validators {
    const char *etag;    /* of the representation; NULL: there is no file */
    const char *content; /* not NULL: a tag of any representation of it will do (PUT) */
    const char *weak;    /* its weak tag, which was said while the other was not known; or NULL */
    int64_t mtime;       /* SHS_TIME_UNKNOWN: dates do not count */
    bool weak_counts;    /* the weak form of a strong etag is of the same version (If-Match) */
};

/* What time it is for the server that was asked: dates that come back are by its clock. */
time_t shs__request_time(const struct shs_request *req);

/* Does the request ask by a tag that only the bytes can answer? Then it is worth to read them. */
bool shs__asks_by_tag(const struct shs_request *req);

enum shs_precondition {
    SHS_PRECONDITION_HOLDS,
    SHS_PRECONDITION_NOT_MODIFIED, /* 304 */
    SHS_PRECONDITION_FAILED        /* 412 */
};

/*
 * If-Match, If-Unmodified-Since, If-None-Match, If-Modified-Since, in the order of RFC 9110 section
 * 13.2.2. A date that cannot be read counts for nothing.
 */
enum shs_precondition shs__preconditions(const struct shs_request *req,
                                         const struct shs_validators *now);

/*
 * If-Range: true if a Range field may be followed: there is no If-Range, or it names exactly this
 * state. A date counts only when the file was not changed in the last second (section 8.8.2.2).
 */
bool shs__if_range(const struct shs_request *req, const char *etag, int64_t mtime);

/* The value of a field that may be there once: false when it is not there, or more than once. */
bool shs__header_once(const struct shs_request *req, const char *name, struct shs_str *value);

#endif
