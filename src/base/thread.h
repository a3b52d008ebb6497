/*
 * thread.h - a thread of the library's own, begun in one way everywhere.
 */
#ifndef SHS_BASE_THREAD_H
#define SHS_BASE_THREAD_H

#include <pthread.h>

typedef void *shs_thread_fn(void *arg);

/*
 * Starts a thread that is called `name` (at most 15 characters; NULL = as its maker), and returns
 * once it runs. It leaves all signals to the program's own threads. Whoever forks afterwards finds
 * none of the locks held that are held while a thread begins: a child would wait for them for ever
 * (AddressSanitizer's are held by nobody's rules).
 * `attr` may be NULL. 0, or an errno of pthread_create; then there is no thread.
 */
int shs__thread_start(pthread_t *thread, const pthread_attr_t *attr, const char *name,
                      shs_thread_fn *run, void *arg);
/* The same, with a stack of that many bytes instead of `attr`. */
int shs__thread_start_sized(pthread_t *thread, size_t stack, const char *name, shs_thread_fn *run,
                            void *arg);

#endif
