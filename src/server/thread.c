/*
 * thread.c - how the threads of the mixins are made, and what each does first.
 */
#include <limits.h>
#include <pthread.h>
#include <signal.h>

#include "server/server.h"

/* What the deepest of our own calls need, a TLS handshake with a client's certificate, and room for
   a simple handler. Sanitizers make every frame larger. */
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define LEAST_STACK ((size_t)256 * 1024)
#else
#define LEAST_STACK ((size_t)128 * 1024)
#endif

/* No machine has room for several of more; a mistake is better said than met at each request. */
#define MOST_STACK ((size_t)1 << 30)

int shs__thread_attr_init(pthread_attr_t *attr, size_t stack)
{
    sigset_t mask;

    if (stack > MOST_STACK)
        return SHS_USAGE;
    if (pthread_attr_init(attr) != 0)
        return SHS_NOMEM;
    if (stack < LEAST_STACK)
        stack = LEAST_STACK;
    if (pthread_attr_setstacksize(attr, stack) == 0 &&
        pthread_sigmask(SIG_SETMASK, NULL, &mask) == 0 &&
        pthread_attr_setsigmask_np(attr, &mask) == 0)
        return SHS_OK;
    pthread_attr_destroy(attr);
    return SHS_USAGE;
}

void shs__thread_begin(const char *name)
{
    pthread_setname_np(pthread_self(), name);
}
