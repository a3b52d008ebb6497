#include <semaphore.h>
#include <signal.h>

#include "base/base.h"
#include "base/thread.h"

struct beginning {
    const char *name;
    shs_thread_fn *run;
    void *arg;
    sem_t begun;
};

static void *begin(void *beginning)
{
    struct beginning *b = beginning;
    shs_thread_fn *run = b->run;
    void *arg = b->arg;

    if (b->name != NULL)
        pthread_setname_np(pthread_self(), b->name);
    sem_post(&b->begun); /* the last use of *b: its owner goes on */
    return run(arg);
}

int shs__thread_start(pthread_t *thread, const pthread_attr_t *attr, const char *name,
                      shs_thread_fn *run, void *arg)
{
    struct beginning b = {.name = name, .run = run, .arg = arg};
    sigset_t all, before;
    int rc;

    sem_init(&b.begun, 0, 0);
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    rc = pthread_create(thread, attr, begin, &b);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    while (rc == 0 && sem_wait(&b.begun) != 0) /* EINTR: a signal of the program's */
        ;
    sem_destroy(&b.begun);
    return rc;
}

int shs__thread_start_sized(pthread_t *thread, size_t stack, const char *name, shs_thread_fn *run,
                            void *arg)
{
    pthread_attr_t attr;
    int rc = pthread_attr_init(&attr);

    if (rc != 0)
        return rc;
    pthread_attr_setstacksize(&attr, stack);
    rc = shs__thread_start(thread, &attr, name, run, arg);
    pthread_attr_destroy(&attr);
    return rc;
}
