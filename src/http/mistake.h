/*
 * mistake.h - what a handler did wrong, in a sentence for whoever wrote it.
 */
#ifndef SHS_MISTAKE_H
#define SHS_MISTAKE_H

#include "http/exchange.h"

/*
 * Records a wrong use of the API: "handler NAME, GET /path: CALL: what to do". The first one of a
 * request counts: the others usually follow from it. Returns SHS_USAGE.
 *
 *   call  the function, "shs_write"; NULL = none
 */
#define shs__mistake(x, call, ...) shs__mistake_of((x), SHS_USAGE, (call), __VA_ARGS__)

/* The same for what is right but too much: returns SHS_LIMIT. */
#define shs__over_limit(x, call, ...) shs__mistake_of((x), SHS_LIMIT, (call), __VA_ARGS__)

/* Both: returns `code`. */
int shs__mistake_of(struct shs_exchange *x, int code, const char *call, const char *fmt, ...)
    SHS_PRINTF(4, 5);

/*
 * A handler or a middleware of that name has returned rc: should that be the end of it, and wrong,
 * then it was the innermost one that did it, which is the first that returns.
 */
void shs__note_result(struct shs_exchange *x, int rc, const char *name, bool middleware);

/*
 * The handler has returned rc. SHS_OK, or what went wrong: rc itself, or SHS_USAGE for what is no
 * result or no answer. x->mistake says it when x->mistake_code is what is returned.
 */
int shs__mistake_in_result(struct shs_exchange *x, int rc);

#endif
