/*
 * mixin.h - what is inside TLSMixIn, for the three files that make it: mixin.c (connections),
 * reload.c (the configuration, and the counters), keeper.c (the thread that watches files).
 */
#ifndef SHS_TLS_MIXIN_H
#define SHS_TLS_MIXIN_H

#include <pthread.h>
#include <stdatomic.h>

#include <shs/tls.h>

#include "server/conn.h"
#include "tls/clients/deny.h"
#include "tls/clients/recheck.h"
#include "tls/config/config.h"
#include "tls/config/context.h"
#include "tls/config/tickets.h"

struct shs_tls_keeper;
struct shs_tls_report;
struct shs_tls_retired;

/* Why the files are read again. */
enum shs_tls_reload_why {
    SHS_TLS_ASKED,   /* somebody wants it: it is logged and counted */
    SHS_TLS_DRAFTED, /* somebody wants it, and says himself what came of it: it is counted */
    SHS_TLS_CHANGED, /* a file is another: likewise, if it says something else */
    SHS_TLS_AGAIN    /* the last time something was kept back: only what is new is said */
};

/*
 * In memory that forked children have in common with their parent: what happens to a connection
 * there is counted here.
 */
struct shs_tls_shared {
    _Atomic uint64_t handshakes, resumed, reloads, reload_failures;
    _Atomic uint64_t causes[SHS_TLS_CAUSE_COUNT];
    _Atomic uint64_t client_reasons[SHS_CLIENT_REASON_COUNT];
    _Atomic uint64_t client_alerts[256];
    _Atomic uint64_t clients_ended[SHS_CLIENT_REASON_COUNT];
    _Atomic uint64_t records[SHS_TLS_STAYS_COUNT];
    _Atomic unsigned rules, denials; /* editions: of the CAs and CRLs, and of the deny list */
};

struct shs_tls_mixin {
    struct shs_layer layer;
    struct shs_conn_names names; /* of its connections, where hosts differ */
    struct shs_tls_config_copy config;
    const char *protocols[2]; /* config.alpn when none was given */
    struct shs_tls_tickets *tickets;
    struct shs_tls_deny *deny;
    struct shs_tls_live_keylog *live; /* NULL: nobody may ask for it. Set before anybody serves */
    pthread_mutex_t lock;             /* guards `context`; held for a reference count */
    struct shs_tls_context *context;
    pthread_mutex_t reloading;       /* one at a time; guards `retired` and `said` */
    char said[240];                  /* why something was kept back the last time; "": nothing */
    _Atomic bool incomplete;         /* something was */
    _Atomic int64_t valid_at;        /* Unix time when a certificate kept back becomes valid */
    _Atomic uint64_t seen;           /* all files, as they were before they were read last */
    struct shs_tls_retired *retired; /* large contexts of before, freed where nobody waits */
    pthread_mutex_t sweeping;        /* one change of the deny list at a time */
    struct shs_tls_rechecks rechecks;
    struct shs_tls_keeper *keeper; /* NULL without a thread */
    /* Unix time: until when the owner was told what is due, and when there is more. The keeper's;
       without one, the serving thread's. */
    int64_t advised, due;
    struct shs_tls_shared *shared;
    /* Is told of each failure, beside the configuration's on_failure; set before anybody serves. */
    void (*observe)(void *ctx, const struct shs_tls_failure *failure);
    void *observe_ctx;
    _Atomic unsigned in_progress; /* of this process: a child that is killed takes its own along */
};

/* The present context, with a reference. Any thread. */
struct shs_tls_context *shs__tls_mixin_context(struct shs_tls_mixin *self);

/* Reads, checks and serves with all files the first time: one that cannot be used is an error. */
int shs__tls_mixin_load(struct shs_tls_mixin *self, struct shs_error *err);

/* Reads them again as shs_tls_reload does; `report` (may be NULL) is initialised. Any thread. */
int shs__tls_mixin_reload(struct shs_tls_mixin *self, enum shs_tls_reload_why why,
                          struct shs_tls_report *report, struct shs_error *err);

/* Logs what the owner of the files should know about them. */
void shs__tls_mixin_advise(struct shs_tls_mixin *self);
/* The same for what has become due since *since, which becomes now. The next time for it. */
int64_t shs__tls_mixin_advise_due(struct shs_tls_mixin *self, int64_t *since);
/* Whether to ask that now: `due` is here, or the clock was set back, and says another time. */
bool shs__tls_mixin_is_due(const struct shs_tls_mixin *self, int64_t due);

/* Frees what is retired, used or not. */
void shs__tls_mixin_free_retired(struct shs_tls_mixin *self);

/*
 * Hands a failure to the configuration's on_failure, or to the log: fills label, text, sni and ja4.
 * Owner thread of the connection.
 */
void shs__tls_mixin_tell(struct shs_tls_mixin *self, const struct shs_tls_stream *tls,
                         struct shs_tls_failure *failure, const char *text);

/* In between no child is forked: it would inherit locks that nobody there gives back. */
void shs__tls_mixin_hold_forks(struct shs_tls_mixin *self);
void shs__tls_mixin_let_fork(struct shs_tls_mixin *self);

/* In a child of ForkingMixIn: what is changed here is changed for this one connection. */
bool shs__tls_mixin_forked(const struct shs_tls_mixin *self);

/*
 * From now on shs__tls_mixin_keylog may be called. Before anybody serves.
 *
 *   fd  where lines are appended to; duplicated
 *
 * SHS_OK; SHS_IO, SHS_NOMEM.
 */
int shs__tls_mixin_allow_keylog(struct shs_tls_mixin *self, int fd);
/* The secrets of handshakes until then, by shs__elapsed_ns, are written there, in the format of
   NSS. Any thread. */
void shs__tls_mixin_keylog(struct shs_tls_mixin *self, int64_t until_ns);

/* TLSMixIn of a server, or NULL. */
struct shs_tls_mixin *shs__tls_mixin_of(struct shs_server *server);

/* -- keeper.c ---------------------------------------------------------------------------------- */

/* Makes one, without a thread: SHS_OK or SHS_NOMEM. */
int shs__tls_keeper_new(struct shs_tls_keeper **out, struct shs_tls_mixin *mixin);
/* Starts its thread, in the process that serves, unless it runs there. SHS_OK or SHS_IO. */
int shs__tls_keeper_start(struct shs_tls_keeper *self, struct shs_error *err);
/* Asks for a reload. Async-signal-safe. */
void shs__tls_keeper_poke(struct shs_tls_keeper *self);
/* Has it look at what there is to do next. NULL is fine. */
void shs__tls_keeper_wake(struct shs_tls_keeper *self);
/* Ends the thread, if there is one in this process, and waits for it; once is enough. A poke after
   it does nothing. NULL is fine. */
void shs__tls_keeper_stop(struct shs_tls_keeper *self);
/* Stops it and frees it. NULL is fine. */
void shs__tls_keeper_free(struct shs_tls_keeper *self);

#endif
