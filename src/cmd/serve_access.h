/*
 * serve_access.h - a thread that reads rules of access again when SIGHUP says so.
 */
#ifndef SHS_CMD_SERVE_ACCESS_H
#define SHS_CMD_SERVE_ACCESS_H

#include <pthread.h>
#include <stdatomic.h>

#include <shs/access.h>
#include <shs/server.h>

#include "base/base.h"

/* Zeroed before its first use. */
struct serve_access {
    struct shs_access_rules **rules; /* count of them */
    const char **files;
    size_t count;
    shs_log_fn *log;
    void *log_ctx;
    int wake; /* an eventfd */
    atomic_bool stop;
    pthread_t thread;
    bool started;
};

/* One more. False: no memory. Borrowed until serve_access_stop. */
bool serve_access_add(struct serve_access *self, struct shs_access_rules *rules, const char *file);
/* Nothing to do without any. An exit code. */
int serve_access_start(struct serve_access *self, shs_log_fn *log, void *log_ctx);
/* Ends the thread; as often as you like. */
void serve_access_stop(struct serve_access *self);

#endif
