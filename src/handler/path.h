/*
 * path.h - from the path of a request target to a name below the served directory.
 *
 * Pure text, no file system. Percent-encoding is undone exactly once, then "." and ".." are removed
 * (RFC 3986 section 5.2.4: ".." at the root stays there), so what comes out is a relative name
 * without dot segments, without empty segments and without NUL. openat2(2) with RESOLVE_BENEATH
 * stands behind it: this file makes names, the kernel guards the border.
 *
 * Follows: CPython Lib/http/server.py translate_path; RFC 3986 sections 2.1, 5.2.4.
 */
#ifndef SHS_HANDLER_PATH_H
#define SHS_HANDLER_PATH_H

#include "base/base.h"

/* Longest name that is looked up: Linux refuses longer ones anyway (PATH_MAX). */
#define SHS_STATIC_PATH_MAX 4096

enum shs_path_verdict {
    SHS_PATH_OK,
    SHS_PATH_NOT_FOUND, /* no file can have that name here: NUL, "/" encoded inside it, too long,
                           hidden */
    SHS_PATH_MALFORMED  /* "%" without two hexadecimal digits */
};

struct shs_clean_path {
    char name[SHS_STATIC_PATH_MAX]; /* "a/b", NUL-terminated; "" is the directory itself */
    size_t len;
    bool slash; /* the path ended in "/" or "%2f": a directory is meant (bpo-17324, gh-83661) */
};

/*
 * Cleans the path of a target, as it came ("/a%20b/../c").
 *
 * A segment that begins with "." is hidden (SHS_PATH_NOT_FOUND), but for ".well-known" as the first
 * one (RFC 8615). "%2f" at the end counts as a slash; elsewhere it is part of a name
 * that no file has.
 */
enum shs_path_verdict shs__path_clean(struct shs_str path, struct shs_clean_path *out);

/*
 * Appends the Location for a directory asked for without its slash: `target` as it came, its path
 * with "/" at the end, its query kept as it is. Bytes that have no place in a path (a backslash
 * among them, which browsers take for a slash) leave percent-encoded.
 *
 *   target  "/dir?x=1", or "http://host/dir": then scheme and host stay
 *   path    its path, with a run of leading "/" reduced to one: the result never starts with "//"
 *   query   ptr NULL when there is none
 *
 * Returns SHS_OK, SHS_LIMIT, SHS_NOMEM.
 */
int shs__path_redirect(struct shs_buf *out, struct shs_str target, struct shs_str path,
                       struct shs_str query);

#endif
