/*
 * origin.h - whose page a request comes from, and who is trusted with what.
 *
 * Follows: RFC 6454 section 6.2 (how an origin is written), the Fetch standard ("Origin" header).
 */
#ifndef SHS_HANDLER_ORIGIN_H
#define SHS_HANDLER_ORIGIN_H

#include "base/base.h"

/* scheme "://" host [":" port], without a path: browsers compare it byte by byte. */
bool shs__is_origin(const char *text);
/* Is it one of the list, which ends with NULL and may be NULL? */
bool shs__origin_in(struct shs_str origin, char *const *list);

#endif
