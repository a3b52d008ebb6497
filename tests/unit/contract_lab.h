/*
 * contract_lab.h - one handler under every composition: none, thread, pool and fork, with and
 * without TLS; for the tests of what shs/handler.h lets a handler rely on.
 *
 * What the handler saw is in memory that a forked child shares with the test.
 */
#ifndef CONTRACT_LAB_H
#define CONTRACT_LAB_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <pthread.h>
#include <stdatomic.h>

#include <openssl/ssl.h>

#include <shs/shs.h>

#include "patience.h"

enum contract_mixin { CONTRACT_NONE, CONTRACT_THREAD, CONTRACT_POOL, CONTRACT_FORK };

struct contract_variant {
    const char *name;
    enum contract_mixin mixin;
    bool tls;
};

/* What happened, as far as it has. */
struct contract_seen {
    _Atomic int calls;      /* of handle */
    _Atomic int vain;       /* of those, without anything to read */
    _Atomic int64_t at_ns;  /* the last of them */
    _Atomic uint64_t bytes; /* that the handler has read */
    _Atomic int rc;         /* how its last read or write ended */
    _Atomic int again;      /* what one more read said */
    _Atomic int error;      /* shs_conn_error then */
    _Atomic int64_t begin_deadline_ns;
    _Atomic int64_t end_ns; /* the handler's finish: 0 before */
    _Atomic int errors;     /* calls of handle_error */
    _Atomic int told;       /* the code of the last */
    _Atomic int shutdowns;  /* calls of shutdown_request */
    pid_t test_pid;
    int client_fd; /* a child has a copy, and must not keep the client's end open with it */
};
extern struct contract_seen *contract_seen;

struct contract_server {
    struct shs_layer layer; /* writes down what it is told */
    struct shs_server *server;
    const struct contract_variant *variant;
    pthread_t thread;
    bool ended; /* the loop's thread was joined */
};

/* Long deadlines and a short close; the certificate, if there is TLS. */
void contract_options(const struct contract_variant *v, struct shs_options *opt);
void contract_start(struct contract_server *s, const struct contract_variant *v,
                    const struct shs_options *opt, const struct shs_request_handler_class *cls);
/* shs_shutdown, the loop's end, and server_close, as far as they were not before. */
void contract_end(struct contract_server *s);
void contract_free(struct contract_server *s);

/* Writes down that handle was called, and how it ended. */
void contract_called(struct shs_request_handler *self);
int contract_ended(struct shs_request_handler *self, int rc);
void contract_finish(struct shs_request_handler *self);
/* Until the handler's finish has run. */
void contract_await_finish(void);

struct contract_client {
    int fd;
    SSL *ssl; /* NULL: plain */
};
/* Connected, and through with its handshake. */
void contract_dial(struct contract_client *c, const struct contract_server *s);
void contract_say(struct contract_client *c, const void *bytes, size_t len);
/* The same to a server that may have ended: false when it has. */
bool contract_try_to_say(struct contract_client *c, const void *bytes, size_t len);
/* At most patience_ms: how many bytes; 0 at any end. */
size_t contract_hear(struct contract_client *c, void *buf, size_t cap);
void contract_end_data(struct contract_client *c); /* in order; may still hear */
void contract_fin(struct contract_client *c);      /* FIN alone: TLS is cut off */
void contract_reset_it(struct contract_client *c);
void contract_hang_up(struct contract_client *c);

/* A server with one client: how most of these tests begin and end. */
struct contract_meeting {
    const struct contract_variant *variant;
    struct contract_server s;
    struct contract_client c;
    struct shs_options opt;
};
/* The options; change them before the two meet. */
void contract_prepare(struct contract_meeting *m, const struct contract_variant *v);
void contract_meet(struct contract_meeting *m, const struct shs_request_handler_class *cls);
/* The client hangs up, and the server ends. */
void contract_part(struct contract_meeting *m);

#endif
