/*
 * conditional.h - "only if it has changed": entity tags and the preconditions of GET.
 *
 * Follows: RFC 9110 sections 8.8.3 (ETag), 13.1.2 (If-None-Match), 13.1.3 (If-Modified-Since),
 * 13.2.2 (which wins).
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
 * True if a list of entity tags (`"a", W/"b"` or `*`) has this one, by the weak comparison. What is
 * not a list matches nothing.
 */
bool shs__etag_in(struct shs_str list, const char *etag);

/*
 * True if a GET or HEAD is to be answered 304. If-None-Match, when it is there, decides alone; a
 * date that cannot be read counts for nothing.
 */
bool shs__not_modified(const struct shs_request *req, const char *etag, int64_t mtime);

#endif
