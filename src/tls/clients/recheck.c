#include "tls/clients/recheck.h"

#include <stdio.h>
#include <sys/socket.h>
#include <time.h>

#include <openssl/err.h>

#include "server/conn.h"
#include "tls/clients/client.h"
#include "tls/clients/clients.h"
#include "tls/config/site.h"
#include "tls/wire/mixin.h"
#include "tls/wire/stream.h"

/* So many connections are looked at before the others get the lock. */
#define SWEEP_BATCH 256

void shs__tls_rechecks_init(struct shs_tls_rechecks *self)
{
    pthread_mutex_init(&self->lock, NULL);
    self->first = NULL;
    self->last = NULL;
}

void shs__tls_rechecks_destroy(struct shs_tls_rechecks *self)
{
    pthread_mutex_destroy(&self->lock);
}

/* -- the list, with its lock ------------------------------------------------------------------- */

static void put_first(struct shs_tls_rechecks *list, struct shs_tls_recheck *watch)
{
    watch->prev = NULL;
    watch->next = list->first;
    if (list->first != NULL)
        list->first->prev = watch;
    else
        list->last = watch;
    list->first = watch;
}

static void take_out(struct shs_tls_rechecks *list, struct shs_tls_recheck *watch)
{
    if (watch->prev != NULL)
        watch->prev->next = watch->next;
    else
        list->first = watch->next;
    if (watch->next != NULL)
        watch->next->prev = watch->prev;
    else
        list->last = watch->prev;
}

/* -- the deny list ----------------------------------------------------------------------------- */

/* With the lock: its descriptor is open as long as it is in the list. */
static void look_up(struct shs_tls_recheck *watch, unsigned denials)
{
    atomic_store(&watch->denials, denials);
    if (atomic_load(&watch->cut) != 0 || !shs__tls_deny_has(watch->mixin->deny, &watch->keys))
        return;
    atomic_store(&watch->cut, 1);
    /* wakes its owner, wherever it waits */
    shs__socket_stream_cut(&watch->conn->socket, SHUT_RDWR);
}

void shs__tls_rechecks_sweep(struct shs_tls_mixin *mixin)
{
    struct shs_tls_rechecks *list = &mixin->rechecks;
    unsigned denials = atomic_load(&mixin->shared->denials);
    bool more = true;

    /* From the oldest on; those that were looked at, and those that come now, are at the front. */
    while (more) {
        pthread_mutex_lock(&list->lock);
        for (unsigned i = 0; more && i < SWEEP_BATCH; i++) {
            struct shs_tls_recheck *watch = list->last;

            more = watch != NULL && atomic_load(&watch->denials) != denials;
            if (!more)
                break;
            look_up(watch, denials);
            take_out(list, watch);
            put_first(list, watch);
        }
        pthread_mutex_unlock(&list->lock);
    }
}

/* -- judging again ----------------------------------------------------------------------------- */

/* By the rules of now it may be another CA that vouches for it. */
static bool take_cas(struct shs_tls_stream *tls, const struct shs_client_record *record)
{
    struct shs_client_keys keys;

    if (tls->client == NULL)
        return true; /* nobody has asked */
    shs__client_keys_in(&record->identity, &keys);
    return shs__client_record_set_cas(tls->client, &keys);
}

/* By the rules of now. The host is the one of its handshake. */
static enum shs_client_reason judge_again(struct shs_tls_recheck *self)
{
    struct shs_tls_context *now = shs__tls_mixin_context(self->mixin);
    const struct shs_tls_context *then = self->tls->context;
    const struct shs_tls_clients *clients =
        now->clients[self->tls->facts.site->host - then->config->config.hosts];
    X509_STORE_CTX *ctx = X509_STORE_CTX_new();
    enum shs_client_reason reason = SHS_CLIENT_UNDECIDED;
    struct shs_client_record *record = NULL;
    struct shs_tls_refusal refusal;
    struct shs_tls_until until;

    if (ctx != NULL &&
        shs__tls_clients_prepare(ctx, clients, self->tls->facts.peer, self->tls->facts.chain,
                                 self->tls->facts.security_level)) {
        reason = shs__tls_clients_judge(ctx, clients, now, &until, &refusal, &record)
                     ? SHS_CLIENT_OK
                     : refusal.reason;
        if (reason == SHS_CLIENT_OK && !take_cas(self->tls, record))
            reason = SHS_CLIENT_UNDECIDED;
        if (reason == SHS_CLIENT_OK) {
            self->until = until.chain;
            self->crls_until = until.crls;
            self->rules = now->rules;
        } else if (reason == SHS_CLIENT_UNKNOWN_CA && self->tls->facts.resumed) {
            reason = SHS_CLIENT_OTHER; /* a ticket has no chain in it to judge */
        }
    }
    shs__client_record_free(record);
    X509_STORE_CTX_free(ctx);
    ERR_clear_error();
    shs__tls_context_free(now);
    return reason;
}

/*
 * A CRL of its chain has lapsed: another of the same CA may be fresh. A forked child does not see
 * to it that its locks are its own: there the client has to come again.
 */
static enum shs_client_reason crl_lapsed(struct shs_tls_recheck *self)
{
    return shs__tls_mixin_forked(self->mixin) ? SHS_CLIENT_CRL_EXPIRED : judge_again(self);
}

/*
 * In a forked child there are neither new rules nor a new list to judge by: it has to come again.
 */
static enum shs_client_reason rules_changed(struct shs_tls_recheck *self)
{
    struct shs_tls_mixin *mixin = self->mixin;

    if (shs__tls_mixin_forked(mixin))
        return SHS_CLIENT_OTHER;
    return atomic_load(&mixin->shared->rules) == self->rules ? SHS_CLIENT_OK : judge_again(self);
}

/* -- the life of one --------------------------------------------------------------------------- */

int shs__tls_recheck_begin(struct shs_tls_mixin *mixin, struct shs_conn *conn,
                           struct shs_tls_stream *tls)
{
    const struct shs_client_identity *identity = shs_conn_client_identity(conn);
    struct shs_tls_recheck *self = shs__calloc(1, sizeof *self);

    if (self == NULL || identity == NULL || !shs__tls_deny_keys_of(&self->keys, identity)) {
        shs__free(self);
        return SHS_NOMEM;
    }
    self->mixin = mixin;
    self->conn = conn;
    self->tls = tls;
    self->until = tls->client_until;
    self->crls_until = tls->client_crls_until;
    self->rules = tls->context->rules;
    tls->recheck = self;
    pthread_mutex_lock(&mixin->rechecks.lock);
    put_first(&mixin->rechecks, self);
    /* A list that changed since the certificate was judged is seen here, or sees us. */
    look_up(self, atomic_load(&mixin->shared->denials));
    pthread_mutex_unlock(&mixin->rechecks.lock);
    return SHS_OK;
}

static void tell(struct shs_tls_recheck *self)
{
    struct shs_tls_failure failure = {
        .cause = self->reason == SHS_CLIENT_UNDECIDED ? SHS_TLS_CAUSE_INTERNAL
                                                      : SHS_TLS_CAUSE_CLIENT_CERT,
        .client_reason = self->reason == SHS_CLIENT_UNDECIDED
                             ? SHS_CLIENT_OK
                             : (enum shs_client_reason)self->reason,
        .alert = -1,
        .conn = self->conn,
        .open = true,
    };
    char text[160];

    if (self->told)
        return;
    self->told = true;
    atomic_fetch_add(&self->mixin->shared->clients_ended[self->reason], 1);
    if (self->reason == SHS_CLIENT_UNDECIDED)
        snprintf(text, sizeof text,
                 "The certificate of this open connection's client could not be judged again: the "
                 "server has no memory.");
    else
        snprintf(text, sizeof text,
                 "The certificate of this open connection's client is no longer accepted: %s.",
                 self->reason == SHS_CLIENT_OTHER
                     ? "the rules have changed, and it has to come again"
                     : shs_client_reason_label(failure.client_reason));
    shs__tls_mixin_tell(self->mixin, self->tls, &failure, text);
}

bool shs__tls_recheck_look(struct shs_tls_recheck *self)
{
    const struct shs_tls_shared *shared = self->mixin->shared;
    int64_t now = shs__wall_s(self->mixin->config.config.clock_offset_s);

    if (self->reason != SHS_CLIENT_OK)
        return false;
    if (atomic_load(&self->cut) != 0)
        self->reason = SHS_CLIENT_DENIED;
    else if (atomic_load(&shared->rules) != self->rules ||
             atomic_load(&shared->denials) != atomic_load(&self->denials))
        self->reason = (unsigned char)rules_changed(self);
    if (self->reason == SHS_CLIENT_OK && self->until <= now)
        self->reason = SHS_CLIENT_EXPIRED;
    else if (self->reason == SHS_CLIENT_OK && self->crls_until <= now)
        self->reason = (unsigned char)crl_lapsed(self);
    if (self->reason == SHS_CLIENT_OK)
        return true;
    tell(self);
    return false;
}

void shs__tls_recheck_end(struct shs_tls_recheck *self)
{
    if (self == NULL)
        return;
    pthread_mutex_lock(&self->mixin->rechecks.lock);
    take_out(&self->mixin->rechecks, self);
    pthread_mutex_unlock(&self->mixin->rechecks.lock);
    if (atomic_load(&self->cut) != 0 && self->reason == SHS_CLIENT_OK) {
        self->reason = SHS_CLIENT_DENIED; /* it was cut off while it was being answered */
        tell(self);
    }
    self->tls->recheck = NULL;
    shs__free(self);
}
