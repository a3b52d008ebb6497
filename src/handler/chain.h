/*
 * chain.h - running a chain of middleware; <shs/chain.h> is what it is for.
 */
#ifndef SHS_HANDLER_CHAIN_H
#define SHS_HANDLER_CHAIN_H

#include <shs/chain.h>

#define SHS_CHAIN_MAX 32u

/* What is left of a chain. On the stack of whoever calls: a request allocates nothing for it. */
struct shs_next {
    const struct shs_middleware *const *rest; /* ends with NULL; NULL: nothing is left */
    const struct shs_http_handler *end;
    const char *allow; /* "GET, HEAD": what the end takes; NULL: ask the handler */
};

/*
 * For middleware that is also a handler in front of another one: keeps a copy of `next` (NULL: it
 * is for chains only, and as a handler it is 404) and makes the handler, whose method is `any`.
 */
void shs__stand_before(struct shs_http_handler *kept, struct shs_http_handler *handler,
                       const char *name, shs_method_fn *any, const struct shs_http_handler *next,
                       void *ctx);

#endif
