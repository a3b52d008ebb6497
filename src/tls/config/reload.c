#include <stdio.h>
#include <time.h>

#include <openssl/crypto.h>

#include "tls/config/source.h"
#include "tls/wire/mixin.h"

#define SECRET_FILE_MAX ((size_t)64 * 1024)
#define SITES_MANY 16

static int no_mixin(struct shs_error *err)
{
    return shs_error_set(err, SHS_USAGE, 0, "The server has no TLSMixIn.");
}

struct shs_tls_context *shs__tls_mixin_context(struct shs_tls_mixin *self)
{
    struct shs_tls_context *context;

    pthread_mutex_lock(&self->lock);
    context = shs__tls_context_ref(self->context);
    pthread_mutex_unlock(&self->lock);
    return context;
}

/* The secret without the newline that editors put at its end. */
static int load_secret(struct shs_buf *secret, const char *path, struct shs_error *err)
{
    int rc = shs__tls_read_file(secret, path, SECRET_FILE_MAX, "ticket secret", err);

    while (rc == SHS_OK && secret->len > 0 &&
           (shs__buf_tail(secret)[-1] == '\n' || shs__buf_tail(secret)[-1] == '\r'))
        secret->len--;
    if (rc == SHS_OK && secret->len < SHS_TLS_SECRET_MIN)
        rc = shs_error_set(err, SHS_TLS, 0,
                           "The ticket secret in '%s' has %zu bytes; it needs %zu or more. Make "
                           "one with: openssl rand -hex 32",
                           path, secret->len, SHS_TLS_SECRET_MIN);
    return rc;
}

/* It would be the only one to know. */
static int in_a_child(struct shs_error *err)
{
    return shs_error_set(err, SHS_USAGE, 0,
                         "This is a forked child, with one connection: what it changes, the server "
                         "does not see. Do it in the process that called serve_forever.");
}

/* -- what was served with before --------------------------------------------------------------- */

/*
 * A context goes with its last connection, on that connection's thread. A thousand certificates
 * take a while to free, and somebody's handshake may wait for that thread: large ones are kept
 * until a later reload finds them unused.
 */
struct shs_tls_retired {
    struct shs_tls_retired *next;
    struct shs_tls_context *context;
};

/* Nobody else can get a reference any more: with one, it is ours alone. */
static void free_unused(struct shs_tls_mixin *self)
{
    struct shs_tls_retired **at = &self->retired;

    while (*at != NULL) {
        struct shs_tls_retired *item = *at;

        if (atomic_load(&item->context->refs) > 1) {
            at = &item->next;
            continue;
        }
        *at = item->next;
        shs__tls_context_free(item->context);
        shs__free(item);
    }
}

void shs__tls_mixin_free_retired(struct shs_tls_mixin *self)
{
    while (self->retired != NULL) {
        struct shs_tls_retired *item = self->retired;

        self->retired = item->next;
        shs__tls_context_free(item->context);
        shs__free(item);
    }
}

static void retire(struct shs_tls_mixin *self, struct shs_tls_context *old)
{
    struct shs_tls_retired *item =
        old == NULL || old->site_count < SITES_MANY ? NULL : shs__malloc(sizeof *item);

    if (item == NULL) {
        shs__tls_context_free(old);
        return;
    }
    item->context = old;
    item->next = self->retired;
    self->retired = item;
}

static void swap(struct shs_tls_mixin *self, struct shs_tls_context *context)
{
    struct shs_tls_context *old = self->context; /* nobody else writes it */
    bool other_rules = old != NULL && !shs__tls_context_same_rules(old, context);

    context->rules = atomic_load(&self->shared->rules) + other_rules;
    pthread_mutex_lock(&self->lock);
    self->context = context;
    pthread_mutex_unlock(&self->lock);
    atomic_store(&self->shared->rules, context->rules); /* open connections see that it is there */
    retire(self, old);
}

/* The file's part of the deny list is this now; who is in it is cut off. */
static void swap_denied(struct shs_tls_mixin *self, struct shs_tls_deny_set *set)
{
    pthread_mutex_lock(&self->sweeping);
    if (shs__tls_deny_replace(self->deny, set)) {
        atomic_fetch_add(&self->shared->denials, 1);
        shs__tls_rechecks_sweep(self);
    }
    pthread_mutex_unlock(&self->sweeping);
}

int shs_tls_deny(struct shs_server *self, const char *entry, struct shs_error *err)
{
    struct shs_tls_mixin *mixin = shs__tls_mixin_of(self);
    int rc;

    if (mixin == NULL)
        return no_mixin(err);
    if (shs__tls_mixin_forked(mixin))
        return in_a_child(err);
    shs__tls_mixin_hold_forks(mixin);
    pthread_mutex_lock(&mixin->sweeping);
    rc = shs__tls_deny_add(mixin->deny, entry, err);
    if (rc == SHS_OK) {
        atomic_fetch_add(&mixin->shared->denials, 1);
        shs__tls_rechecks_sweep(mixin);
    }
    pthread_mutex_unlock(&mixin->sweeping);
    shs__tls_mixin_let_fork(mixin);
    return rc;
}

/* -- the transaction --------------------------------------------------------------------------- */

int shs__tls_mixin_load(struct shs_tls_mixin *self, bool strict, bool dry, struct shs_error *err)
{
    const struct shs_tls_config *config = &self->config.config;
    struct shs_tls_context *context = NULL;
    struct shs_tls_deny_set *denied = NULL;
    struct shs_buf secret;
    int rc = SHS_OK;

    shs__buf_init(&secret, SECRET_FILE_MAX);
    if (config->ticket_secret != NULL)
        rc = load_secret(&secret, config->ticket_secret, err);
    if (rc == SHS_OK && config->deny != NULL)
        rc = shs__tls_deny_read(&denied, config->deny, err);
    if (rc == SHS_OK)
        rc = shs__tls_context_build(&context, config, self->tickets, self->deny,
                                    (int64_t)time(NULL), strict, err);
    if (rc == SHS_OK)
        rc = shs__tls_context_try(context, err);
    if (rc == SHS_OK && !dry) {
        if (secret.len > 0)
            shs__tls_tickets_set_secret(self->tickets, shs__buf_head(&secret), secret.len);
        swap(self, context);
        swap_denied(self, denied);
        context = NULL;
        denied = NULL;
    }
    shs__tls_context_free(context);
    shs__tls_deny_set_free(denied);
    if (secret.data != NULL)
        OPENSSL_cleanse(secret.data, secret.cap);
    shs__buf_free(&secret);
    return rc;
}

int shs__tls_mixin_reload(struct shs_tls_mixin *self, struct shs_error *err)
{
    struct shs_error why = {.code = SHS_OK};
    int rc;

    pthread_mutex_lock(&self->reloading);
    shs__tls_mixin_hold_forks(self);
    free_unused(self);
    rc = shs__tls_mixin_load(self, true, false, &why);
    shs__tls_mixin_let_fork(self);
    if (rc == SHS_OK)
        shs__tls_mixin_advise(self);
    pthread_mutex_unlock(&self->reloading);
    if (rc == SHS_OK) {
        atomic_fetch_add(&self->shared->reloads, 1);
        shs_server_log(self->layer.server, SHS_LOG_INFO, "TLS configuration reloaded");
        return rc;
    }
    atomic_fetch_add(&self->shared->reload_failures, 1);
    shs_server_log(self->layer.server, SHS_LOG_ERROR,
                   "TLS configuration not reloaded, the old one stays: %s", why.text);
    if (err != NULL)
        *err = why;
    return rc;
}

int shs_tls_reload(struct shs_server *self, struct shs_error *err)
{
    struct shs_tls_mixin *mixin = shs__tls_mixin_of(self);

    if (mixin == NULL)
        return no_mixin(err);
    return shs__tls_mixin_forked(mixin) ? in_a_child(err) : shs__tls_mixin_reload(mixin, err);
}

int shs_tls_check(struct shs_server *self, struct shs_error *err)
{
    struct shs_tls_mixin *mixin = shs__tls_mixin_of(self);
    int rc;

    if (mixin == NULL)
        return no_mixin(err);
    shs__tls_mixin_hold_forks(mixin);
    rc = shs__tls_mixin_load(mixin, true, true, err);
    shs__tls_mixin_let_fork(mixin);
    return rc;
}

void shs_tls_request_reload(struct shs_server *self)
{
    struct shs_tls_mixin *mixin = shs__tls_mixin_of(self);

    if (mixin != NULL && mixin->keeper != NULL)
        shs__tls_keeper_poke(mixin->keeper);
}

bool shs_tls_get_stats(struct shs_server *self, struct shs_tls_stats *out)
{
    struct shs_tls_mixin *mixin = shs__tls_mixin_of(self);
    struct shs_tls_context *context;
    size_t i;

    if (mixin == NULL)
        return false;
    memset(out, 0, sizeof *out);
    out->handshakes = atomic_load(&mixin->shared->handshakes);
    out->resumed = atomic_load(&mixin->shared->resumed);
    out->reloads = atomic_load(&mixin->shared->reloads);
    out->reload_failures = atomic_load(&mixin->shared->reload_failures);
    out->in_progress = atomic_load(&mixin->in_progress);
    for (i = 0; i < SHS_TLS_CAUSE_COUNT; i++)
        out->causes[i] = atomic_load(&mixin->shared->causes[i]);
    for (i = 0; i < SHS_CLIENT_REASON_COUNT; i++) {
        out->client_reasons[i] = atomic_load(&mixin->shared->client_reasons[i]);
        out->clients_ended[i] = atomic_load(&mixin->shared->clients_ended[i]);
    }
    for (i = 0; i < SHS_ARRAY_LEN(out->client_alerts); i++)
        out->client_alerts[i] = atomic_load(&mixin->shared->client_alerts[i]);
    context = shs__tls_mixin_context(mixin);
    out->first_expiry = shs__tls_context_expiry(context);
    shs__tls_context_free(context);
    return true;
}

int shs_tls_each_certificate(struct shs_server *self,
                             void (*each)(void *ctx, const struct shs_tls_cert_info *cert),
                             void *ctx)
{
    struct shs_tls_mixin *mixin = shs__tls_mixin_of(self);
    struct shs_tls_context *context;

    if (mixin == NULL)
        return SHS_USAGE;
    context = shs__tls_mixin_context(mixin);
    shs__tls_context_each(context, each, ctx);
    shs__tls_context_free(context);
    return SHS_OK;
}
