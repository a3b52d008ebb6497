/*
 * rate_limit.c - <shs/middleware.h>: a bucket of tokens for each client.
 *
 * A table of fixed size, eight places to a set: who has no place takes that of the one who was seen
 * least lately. Time is kept in the bucket: the moment at which it will be full again, so that
 * nothing has to be filled by anybody.
 */
#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <sys/random.h>

#include <shs/middleware.h>
#include <shs/tls.h>

#include "base/base.h"
#include "base/keyed_hash.h"
#include "handler/chain.h"
#include "handler/client_key.h"

#define WAYS 8u
#define LOCKS 64u
#define KEYS_MAX ((size_t)1 << 24)

struct bucket {
    uint64_t key;
    int64_t full_ns; /* when it is full again; 0: nobody's */
};

struct shs_rate_limit {
    struct shs_http_handler next, handler;
    struct shs_middleware middleware;
    struct shs_rate_options opt;
    uint64_t secret[2];
    int64_t token_ns; /* until one is back */
    size_t sets;
    pthread_mutex_t locks[LOCKS];
    struct bucket *buckets; /* sets * WAYS */
};

/* Takes a token. 0, or how long it is until there is one. */
static int64_t take(struct shs_rate_limit *self, uint64_t key, int64_t now)
{
    size_t set = (size_t)(key % self->sets);
    struct bucket *b = &self->buckets[set * WAYS], *mine = &b[0];
    int64_t depth = self->token_ns * (int64_t)self->opt.burst, wait_ns;

    pthread_mutex_lock(&self->locks[set % LOCKS]);
    for (size_t i = 0; i < WAYS; i++) {
        if (b[i].full_ns != 0 && b[i].key == key) {
            mine = &b[i];
            break;
        }
        if (b[i].full_ns < mine->full_ns)
            mine = &b[i];
    }
    if (mine->key != key || mine->full_ns < now) { /* somebody else's, or full */
        mine->key = key;
        mine->full_ns = now;
    }
    wait_ns = mine->full_ns + self->token_ns - (now + depth);
    if (wait_ns <= 0)
        mine->full_ns += self->token_ns;
    pthread_mutex_unlock(&self->locks[set % LOCKS]);
    return wait_ns > 0 ? wait_ns : 0;
}

/* Whom to count. false: nobody. */
static bool key_of(const struct shs_rate_limit *self, struct shs_request *req, uint64_t *key)
{
    struct shs_conn *conn = shs_request_conn(req);
    const struct shs_client_identity *id;
    struct shs_str s;

    switch (self->opt.by) {
    case SHS_RATE_BY_KEY:
        s = self->opt.key(self->opt.key_ctx, req);
        *key = s.ptr == NULL ? 0 : shs__keyed_hash(self->secret, s.ptr, s.len);
        return s.ptr != NULL;
    case SHS_RATE_BY_USER:
        s = shs_request_user(req);
        id = conn == NULL ? NULL : shs_conn_client_identity(conn);
        if (s.ptr == NULL && id != NULL && id->verified)
            s = shs__str(id->spki_sha256);
        if (s.ptr != NULL) {
            *key = shs__keyed_hash(self->secret, s.ptr, s.len);
            return true;
        }
        break;
    case SHS_RATE_BY_ADDRESS:
        break;
    }
    *key = shs__client_key(self->secret, req);
    return true;
}

static int refuse(struct shs_response *res, int64_t wait_ns)
{
    char seconds[24];

    snprintf(seconds, sizeof seconds, "%lld",
             (long long)((wait_ns + SHS_NS_PER_S - 1) / SHS_NS_PER_S));
    SHS_RETURN_IF_ERROR(shs_response_stand(res, "Retry-After", seconds));
    return shs_send_page(res, 429, "Too many requests. Please come again later.");
}

static int rate_handle(struct shs_request *req, struct shs_response *res, void *ctx,
                       const struct shs_next *next)
{
    struct shs_rate_limit *self = ctx;
    int64_t wait_ns;
    uint64_t key;

    if (key_of(self, req, &key)) {
        wait_ns = take(self, key, shs_now_ns());
        if (wait_ns > 0)
            return refuse(res, wait_ns);
    }
    return shs_next_call(next, req, res);
}

static int rate_any(struct shs_request *req, struct shs_response *res)
{
    struct shs_rate_limit *self = shs_request_ctx(req);
    struct shs_next next = {NULL, &self->next, NULL};

    return rate_handle(req, res, self, &next);
}

/* -- life -------------------------------------------------------------------------------------- */

void shs_rate_options_init_sized(struct shs_rate_options *opt, size_t size)
{
    struct shs_rate_options defaults = {
        .size = size, .by = SHS_RATE_BY_ADDRESS, .burst = 20, .per_minute = 600, .max_keys = 16384};

    shs__sized_init(opt, size, &defaults, sizeof defaults);
}

static int prepare(struct shs_rate_limit *self, struct shs_error *err)
{
    const struct shs_rate_options *o = &self->opt;

    if (o->burst == 0 || o->burst > 1000000 || o->per_minute == 0 || o->per_minute > 60000000)
        return shs_error_set(err, SHS_USAGE, 0,
                             "A rate limit has a burst from 1 to a million, and per_minute from 1 "
                             "to 60 million.");
    if (o->max_keys == 0 || o->max_keys > KEYS_MAX)
        return shs_error_set(err, SHS_USAGE, 0, "max_keys of a rate limit is from 1 to %zu.",
                             KEYS_MAX);
    if (o->by == SHS_RATE_BY_KEY && o->key == NULL)
        return shs_error_set(err, SHS_USAGE, 0, "A rate limit by key needs the function `key`.");
    if (getrandom(self->secret, sizeof self->secret, 0) != (ssize_t)sizeof self->secret)
        return shs_error_set(err, SHS_IO, errno, "The system's random numbers are not ready.");
    self->token_ns = (int64_t)60 * SHS_NS_PER_S / o->per_minute;
    self->sets = (o->max_keys + WAYS - 1) / WAYS;
    self->buckets = shs__calloc(self->sets * WAYS, sizeof *self->buckets);
    return self->buckets == NULL
               ? shs_error_set(err, SHS_NOMEM, 0, "Out of memory for a rate limit.")
               : SHS_OK;
}

int shs_rate_limit_new(struct shs_rate_limit **out, const struct shs_http_handler *next,
                       const struct shs_rate_options *opt, struct shs_error *err)
{
    struct shs_rate_options mine;
    struct shs_rate_limit *self;
    int rc;

    shs_rate_options_init(&mine);
    rc = opt == NULL ? SHS_OK : shs__sized_copy(&mine, sizeof mine, opt, "shs_rate_options", err);
    if (rc != SHS_OK)
        return rc;
    self = shs__calloc(1, sizeof *self);
    if (self == NULL)
        return shs_error_set(err, SHS_NOMEM, 0, "Out of memory for a rate limit.");
    self->opt = mine;
    for (size_t i = 0; i < LOCKS; i++)
        pthread_mutex_init(&self->locks[i], NULL);
    shs__stand_before(&self->next, &self->handler, "RateLimit", rate_any, next, self);
    self->middleware = (struct shs_middleware){"RateLimit", rate_handle, self};
    rc = prepare(self, err);
    if (rc != SHS_OK) {
        shs_rate_limit_free(self);
        return rc;
    }
    *out = self;
    return SHS_OK;
}

void shs_rate_limit_free(struct shs_rate_limit *self)
{
    if (self == NULL)
        return;
    for (size_t i = 0; i < LOCKS; i++)
        pthread_mutex_destroy(&self->locks[i]);
    shs__free(self->buckets);
    shs__free(self);
}

const struct shs_http_handler *shs_rate_limit_handler(const struct shs_rate_limit *self)
{
    return &self->handler;
}

const struct shs_middleware *shs_rate_limit_middleware(const struct shs_rate_limit *self)
{
    return &self->middleware;
}
