/*
 * serve_service.h - a thread for whoever looks after the process: a service manager that is told
 * how it is (notify.h), and the process that takes its place (hand_over.h). Without either there
 * is no such thread.
 *
 * The watchdog is told that all is well only when each listener has taken a connection and ended it
 * again, as it does when its loop and a worker are alive; or is full, which is a bound and no
 * fault.
 */
#ifndef SHS_CMD_SERVE_SERVICE_H
#define SHS_CMD_SERVE_SERVICE_H

#include <pthread.h>
#include <stdatomic.h>

#include <shs/server.h>

#include "cmd/serve_options.h"

struct serve_service {
    struct shs_server *const *servers; /* all that serve, operators' too */
    size_t count;
    struct shs_server *const *inside; /* the admin plane's */
    size_t inside_count;
    const struct serve_options *o;
    shs_log_fn *log;
    void *log_ctx;
    char url[512]; /* of the first listener */
    /* inside */
    int wake; /* an eventfd */
    pthread_t thread;
    bool started;
    atomic_bool stop;
    int64_t ping_ns;    /* the watchdog is due; INT64_MAX: there is none */
    uint64_t *accepted; /* of each server, at the last look */
    bool said_stopping, handed_over, silent;
};

/* The members above are set. Says READY, after the process before us has left us its place.
   CMD_OK, or a failure already said. */
int serve_service_start(struct serve_service *self);
void serve_service_stop(struct serve_service *self);

/* SIGUSR2 asks for a hand-over; before there is a thread for it it ends nobody. First of all. */
void serve_service_catch_signal(void);

#endif
