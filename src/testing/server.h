/*
 * server.h - what is inside a test server; for this room.
 *
 * Who holds it: its owner, until shs_test_server_stop, and the struct shs_server whose top layer it
 * is, until its last connection is gone. The last of the two frees it, so a handler that never
 * returns keeps what it uses.
 */
#ifndef SHS_TESTING_SERVER_H
#define SHS_TESTING_SERVER_H

#include <pthread.h>

#include <shs/testing.h>

#include "server/server.h"
#include "testing/pki.h"

/* A request that a handler is at work on; on that handler's stack. */
struct shs_test_running {
    struct shs_test_running *prev, *next;
    const struct shs_request *req;
    int64_t began_ns;
};

struct shs_test_server {
    struct shs_layer layer; /* on top: it sees the server's end */
    struct shs_server *server;
    struct shs_http_handler handler, shim;
    struct shs_test_pki pki;
    char *url;
    pthread_t thread;
    bool plain, has_client;
    _Atomic unsigned references;

    pthread_mutex_t lock; /* what follows */
    pthread_cond_t changed;
    struct shs_test_running *running;
    unsigned running_count;
    int serve_rc;
};

#endif
