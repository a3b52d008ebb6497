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

#include "http/exchange.h"
#include "server/server.h"
#include "testing/hello.h"
#include "testing/pki.h"
#include "testing/record.h"
#include "testing/rules.h"
#include "testing/wire.h"

/* A request that a handler is at work on; on that handler's stack. */
struct shs_test_running {
    struct shs_test_running *prev, *next;
    struct shs_request *req;
    int64_t began_ns;
    const struct shs_exchange_ops *real; /* of the exchange, while `tee` stands in its place */
    struct shs_exchange_ops tee;
    struct shs_buf body; /* what the handler has read */
};

struct shs_test_server {
    struct shs_layer layer; /* on top: it sees a connection first, and the server's end */
    struct shs_layer seen;  /* below TLSMixIn: it sees a connection whose handshake is complete */
    struct shs_server *server;
    struct shs_http_handler handler, shim;
    struct shs_test_pki pki;
    struct shs_test_record record;
    struct shs_test_rules rules;
    char *url;
    pthread_t thread;
    bool plain, has_client;
    int serve_rc; /* of the thread, for who has joined it */
    _Atomic unsigned references;
    _Atomic unsigned connections;

    pthread_mutex_t lock; /* what follows */
    struct shs_test_running *running;
    unsigned running_count;
};

void shs__test_server_unref(struct shs_test_server *self);

/* -- traffic.c -- */

extern const struct shs_server_ops shs__test_ops, shs__test_seen_ops;
/* The handler that stands before the test's own. */
void shs__test_make_shim(struct shs_test_server *self, const struct shs_http_handler *handler);
/* For struct shs_tls_config. */
void shs__test_record_failure(void *self, const struct shs_tls_failure *failure);

/* What is kept of a connection. */
struct shs_test_conn {
    struct shs_test_server *server;
    struct shs_conn *conn;
    struct shs_test_wire *wire; /* the connection's */
    unsigned number;
    char sni[SHS_HELLO_NAME_MAX];
    struct shs_test_kept_rule *rule; /* of a fault of the connection; or NULL */
    int64_t until_ns;                /* of a fault that waits; 0: it has not begun */
    bool decided;                    /* what this connection gets */
    bool seen;                       /* its handshake is written down */
};

#endif
