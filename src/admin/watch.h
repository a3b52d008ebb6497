/*
 * watch.h - a layer that looks on: which connections a server has, and what they do.
 *
 * Concept
 *
 *   The layer is on top of a server's chain. It keeps a record of each connection, which its owner
 *   writes while it has the connection, and anybody may read. Who reads copies some records at a
 *   time: no worker waits for a listing.
 *
 *   It also says no: to clients that a struct shs_admin_denied names, in the handshake, at
 *   resumption and when a Unix socket accepts; and ends connections that are open.
 *
 *   The watch lives as long as the server has its layer; who made it has a reference, and hands it
 *   back by shs__admin_watch_forget.
 */
#ifndef SHS_ADMIN_WATCH_H
#define SHS_ADMIN_WATCH_H

#include <stdatomic.h>

#include <shs/server.h>
#include <shs/tls.h>

#include "admin/denied.h"
#include "admin/tally.h"

#define SHS_ADMIN_REQUEST_MAX 160

/* Who a client is, once it is known: never written again. Strings are its own; NULL: none. */
struct shs_admin_client {
    _Atomic unsigned refs;
    bool tls, resumed, has_uid;
    uid_t uid;
    gid_t gid;
    pid_t pid;
    const char *version, *cipher, *sni, *alpn;
    const char *common_name, *organization, *spiffe_id, *subject, *issuer, *serial;
    const char *cert_sha256, *spki_sha256;
    size_t spiffe_len;
    char text[];
};

enum shs_admin_state {
    SHS_ADMIN_HANDSHAKE, /* TLS is not agreed yet */
    SHS_ADMIN_WAITING,   /* for the rest of a request, or for the peer to take an answer */
    SHS_ADMIN_IDLE,      /* between two requests */
    SHS_ADMIN_RUNNING,   /* a thread is at it */
    SHS_ADMIN_STATES     /* how many there are */
};
const char *shs__admin_state_name(enum shs_admin_state state);

/* A copy of a record. */
struct shs_admin_row {
    uint64_t id;
    char peer[112];
    unsigned port;
    struct shs_admin_client *client; /* a reference; NULL: not known yet */
    enum shs_admin_state state;
    int64_t accepted_ns, deadline_ns; /* deadline_ns INT64_MAX: none */
    uint64_t requests, bytes_in, bytes_out;
    pid_t tid;                           /* 0: no thread has it */
    char request[SHS_ADMIN_REQUEST_MAX]; /* "GET /path"; "": none under way */
    int64_t request_ns;                  /* when it began */
    bool ending;                         /* somebody has asked for its end */
};

struct shs_admin_watch;

/* What a watch tells of, beside its records; any thread, several at once. */
struct shs_admin_watch_events {
    void (*handshake)(void *ctx, struct shs_admin_watch *watch, struct shs_conn *conn,
                      const struct shs_admin_client *client);
    void (*failure)(void *ctx, struct shs_admin_watch *watch,
                    const struct shs_tls_failure *failure);
    /* once in each turn of the server's loop, every poll_interval_ms */
    void (*turn)(void *ctx);
    void *ctx;
};

/*
 * Pushes the layer. `denied` and *events are borrowed until shs__admin_watch_forget. Of the ids it
 * gives, each is `number` by SHS_ADMIN_ID_STEP: several watches have none in common.
 * SHS_OK, SHS_USAGE, SHS_NOMEM.
 */
#define SHS_ADMIN_ID_STEP 100u
int shs__admin_watch_new(struct shs_admin_watch **out, struct shs_server *server, const char *name,
                         unsigned number, struct shs_admin_denied *denied,
                         const struct shs_admin_watch_events *events, struct shs_error *err);
/* Nothing is told any more, and the reference is given back. NULL is fine. */
void shs__admin_watch_forget(struct shs_admin_watch *self);

const char *shs__admin_watch_name(const struct shs_admin_watch *self);
struct shs_server *shs__admin_watch_server(const struct shs_admin_watch *self);

/*
 * Copies up to `cap` records with an id above `after`, in their order. How many; give each back by
 * shs__admin_row_free.
 */
size_t shs__admin_watch_rows(struct shs_admin_watch *self, uint64_t after,
                             struct shs_admin_row *rows, size_t cap);
void shs__admin_row_free(struct shs_admin_row *row);
/* Adds its requests to *sum. */
void shs__admin_watch_add(struct shs_admin_watch *self, struct shs_admin_tally_sum *sum);
/* The number of records. */
size_t shs__admin_watch_count(struct shs_admin_watch *self);

/*
 * Ends the connection: what is under way is answered, then we say goodbye; `now`: it is cut.
 * False: there is none of that id. *before (may be NULL) is its record then.
 */
bool shs__admin_watch_end(struct shs_admin_watch *self, uint64_t id, bool now,
                          struct shs_admin_row *before);
/* Is it this one's own? */
bool shs__admin_watch_is_id_of(const struct shs_conn *conn, uint64_t id);
/* Cuts those off that the deny list names now. How many. */
size_t shs__admin_watch_sweep(struct shs_admin_watch *self);

#endif
