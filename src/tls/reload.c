#include <stdio.h>
#include <time.h>

#include <openssl/crypto.h>

#include "tls/mixin.h"
#include "tls/source.h"

#define SECRET_FILE_MAX ((size_t)64 * 1024)

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

static void swap(struct shs_tls_mixin *self, struct shs_tls_context *context)
{
    struct shs_tls_context *old;

    pthread_mutex_lock(&self->lock);
    old = self->context;
    self->context = context;
    pthread_mutex_unlock(&self->lock);
    shs__tls_context_free(old); /* goes with its last connection */
}

int shs__tls_mixin_load(struct shs_tls_mixin *self, bool strict, bool dry, struct shs_error *err)
{
    const struct shs_tls_config *config = &self->config.config;
    struct shs_tls_context *context = NULL;
    struct shs_buf secret;
    int rc = SHS_OK;

    shs__buf_init(&secret, SECRET_FILE_MAX);
    if (config->ticket_secret != NULL)
        rc = load_secret(&secret, config->ticket_secret, err);
    if (rc == SHS_OK)
        rc = shs__tls_context_build(&context, config, self->tickets, (int64_t)time(NULL), strict,
                                    err);
    if (rc == SHS_OK)
        rc = shs__tls_context_try(context, err);
    if (rc == SHS_OK && !dry) {
        if (secret.len > 0)
            shs__tls_tickets_set_secret(self->tickets, shs__buf_head(&secret), secret.len);
        swap(self, context);
        context = NULL;
    }
    shs__tls_context_free(context);
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
    rc = shs__tls_mixin_load(self, true, false, &why);
    pthread_mutex_unlock(&self->reloading);
    if (rc == SHS_OK) {
        atomic_fetch_add(&self->stats.reloads, 1);
        shs_server_log(self->layer.server, SHS_LOG_INFO, "TLS configuration reloaded");
        return rc;
    }
    atomic_fetch_add(&self->stats.reload_failures, 1);
    shs_server_log(self->layer.server, SHS_LOG_ERROR,
                   "TLS configuration not reloaded, the old one stays: %s", why.text);
    if (err != NULL)
        *err = why;
    return rc;
}

static int no_mixin(struct shs_error *err)
{
    return shs_error_set(err, SHS_USAGE, 0, "The server has no TLSMixIn.");
}

int shs_tls_reload(struct shs_server *self, struct shs_error *err)
{
    struct shs_tls_mixin *mixin = shs__tls_mixin_of(self);

    return mixin == NULL ? no_mixin(err) : shs__tls_mixin_reload(mixin, err);
}

int shs_tls_check(struct shs_server *self, struct shs_error *err)
{
    struct shs_tls_mixin *mixin = shs__tls_mixin_of(self);

    return mixin == NULL ? no_mixin(err) : shs__tls_mixin_load(mixin, true, true, err);
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
    out->handshakes = atomic_load(&mixin->stats.handshakes);
    out->resumed = atomic_load(&mixin->stats.resumed);
    out->reloads = atomic_load(&mixin->stats.reloads);
    out->reload_failures = atomic_load(&mixin->stats.reload_failures);
    out->in_progress = atomic_load(&mixin->in_progress);
    for (i = 0; i < SHS_TLS_CAUSE_COUNT; i++)
        out->causes[i] = atomic_load(&mixin->stats.causes[i]);
    for (i = 0; i < SHS_CLIENT_REASON_COUNT; i++)
        out->client_reasons[i] = atomic_load(&mixin->stats.client_reasons[i]);
    for (i = 0; i < SHS_ARRAY_LEN(out->client_alerts); i++)
        out->client_alerts[i] = atomic_load(&mixin->stats.client_alerts[i]);
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
