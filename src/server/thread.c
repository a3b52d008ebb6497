/*
 * thread.c - what every thread of a mixin does first.
 */
#include <pthread.h>
#include <sched.h>

#include "server/server.h"

void shs__thread_begin(const char *name)
{
    struct sched_param none = {.sched_priority = 0};

    pthread_setname_np(pthread_self(), name);
    /* Woken by a packet, a thread of the default class takes the core from whoever runs, for the
       sake of one request; as a batch it waits for its turn and finds more to do: fewer switches,
       and the answers are not later. A host that chose a class for its threads keeps it. */
    if (sched_getscheduler(0) == SCHED_OTHER)
        (void)sched_setscheduler(0, SCHED_BATCH, &none);
}
