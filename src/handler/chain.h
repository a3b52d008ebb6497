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

#endif
