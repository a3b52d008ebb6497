/*
 * recheck.h - open connections of clients with a certificate, for as long as it counts.
 *
 * Concept
 *
 *   A handshake judges a certificate once, and a connection may live for hours after it. So each
 *   connection whose client was let in by its certificate has a struct shs_tls_recheck. Before any
 *   byte is read from it, its owner looks at the clock, and at whether the rules (CAs, CRLs) are
 *   others than those it was judged by: if so, the chain is judged again. Who is put on the deny
 *   list is not waited for: whoever changes the list goes through the open connections and cuts
 *   those it names off.
 *
 *   A client that does not count any more is read from no further. What it has asked for before
 *   goes out, unless it is denied; then the connection ends. When it comes again, the handshake
 *   tells it why.
 */
#ifndef SHS_TLS_RECHECK_H
#define SHS_TLS_RECHECK_H

#include <pthread.h>
#include <stdatomic.h>

#include <shs/tls.h>

#include "tls/clients/deny.h"

struct shs_tls_context;
struct shs_tls_mixin;
struct shs_tls_stream;

struct shs_tls_recheck {
    struct shs_tls_recheck *prev, *next; /* the newest first; under the lock of the list */
    struct shs_tls_mixin *mixin;
    struct shs_conn *conn;
    struct shs_tls_stream *tls;
    struct shs_tls_deny_keys keys;
    int64_t until, crls_until;  /* Unix time: of the chain, and of the CRLs */
    unsigned rules;             /* judged by these */
    _Atomic unsigned denials;   /* looked for in that edition of the deny list */
    _Atomic unsigned char cut;  /* on the deny list */
    unsigned char reason, told; /* enum shs_client_reason: OK while it counts */
};

struct shs_tls_rechecks {
    pthread_mutex_t lock; /* guards the list; held for a few of them */
    struct shs_tls_recheck *first, *last;
};

void shs__tls_rechecks_init(struct shs_tls_rechecks *self);
void shs__tls_rechecks_destroy(struct shs_tls_rechecks *self);

/* Begins: `conn` has just been let in by its certificate. SHS_OK or SHS_NOMEM. Owner thread. */
int shs__tls_recheck_begin(struct shs_tls_mixin *mixin, struct shs_conn *conn,
                           struct shs_tls_stream *tls);

/* May another byte be read from this client? Owner thread. */
bool shs__tls_recheck_look(struct shs_tls_recheck *self);

/* The connection ends. NULL is fine. Owner thread. */
void shs__tls_recheck_end(struct shs_tls_recheck *self);

/* The deny list has another edition: cuts off whom it names. Any thread, one at a time. */
void shs__tls_rechecks_sweep(struct shs_tls_mixin *mixin);

#endif
