#include "admin/handshakes.h"

#include <pthread.h>
#include <stdio.h>
#include <time.h>

struct ring {
    struct shs_admin_handshake items[SHS_ADMIN_HANDSHAKES];
    uint64_t count; /* ever */
};

struct shs_admin_handshakes {
    pthread_mutex_t lock;
    struct ring failed, done;
};

int shs__admin_handshakes_new(struct shs_admin_handshakes **out)
{
    struct shs_admin_handshakes *self = shs__calloc(1, sizeof *self);

    if (self == NULL)
        return SHS_NOMEM;
    pthread_mutex_init(&self->lock, NULL);
    *out = self;
    return SHS_OK;
}

void shs__admin_handshakes_free(struct shs_admin_handshakes *self)
{
    if (self == NULL)
        return;
    pthread_mutex_destroy(&self->lock);
    shs__free(self);
}

/* -- in ---------------------------------------------------------------------------------------- */

const char *shs__admin_failure_reason(const struct shs_tls_failure *failure)
{
    if (failure->cause != SHS_TLS_CAUSE_CLIENT_CERT)
        return failure->text;
    switch (failure->client_reason) {
    case SHS_CLIENT_NONE:
        return "no client certificate";
    case SHS_CLIENT_WRONG_PURPOSE:
        return "the client certificate is not for clients: its extended key usage lacks clientAuth";
    case SHS_CLIENT_DENIED:
        return "the client certificate is on the deny list, or the program refuses it";
    default:
        return failure->text;
    }
}

static void cut(char *to, size_t cap, struct shs_str s)
{
    snprintf(to, cap, "%.*s", (int)(s.len < cap ? s.len : cap), s.ptr == NULL ? "" : s.ptr);
}

static void begin(struct shs_admin_handshake *item, const char *server, struct shs_conn *conn)
{
    const struct shs_client_identity *id = shs_conn_client_identity(conn);
    struct timespec now = {0};

    memset(item, 0, sizeof *item);
    clock_gettime(CLOCK_REALTIME, &now);
    item->when_ms = (int64_t)now.tv_sec * 1000 + now.tv_nsec / SHS_NS_PER_MS;
    snprintf(item->server, sizeof item->server, "%s", server);
    snprintf(item->peer, sizeof item->peer, "%s", shs_conn_client_host(conn));
    item->port = shs_conn_client_port(conn);
    if (id == NULL)
        return;
    cut(item->subject, sizeof item->subject, id->subject);
    memcpy(item->cert_sha256, id->cert_sha256, sizeof item->cert_sha256);
}

static void push(struct shs_admin_handshakes *self, struct ring *ring,
                 struct shs_admin_handshake *item)
{
    pthread_mutex_lock(&self->lock);
    item->number = ring->count + 1;
    ring->items[ring->count++ % SHS_ADMIN_HANDSHAKES] = *item;
    pthread_mutex_unlock(&self->lock);
}

void shs__admin_handshakes_failed(struct shs_admin_handshakes *self, const char *server,
                                  const struct shs_tls_failure *failure)
{
    struct shs_admin_handshake item;

    begin(&item, server, failure->conn);
    item.failed = true;
    item.open = failure->open;
    snprintf(item.label, sizeof item.label, "%s", failure->label);
    snprintf(item.reason, sizeof item.reason, "%s", shs__admin_failure_reason(failure));
    snprintf(item.sni, sizeof item.sni, "%s", failure->sni);
    snprintf(item.ja4, sizeof item.ja4, "%s", failure->ja4);
    if (failure->cert_sha256[0] != '\0') {
        snprintf(item.subject, sizeof item.subject, "%s", failure->cert_subject);
        snprintf(item.cert_sha256, sizeof item.cert_sha256, "%s", failure->cert_sha256);
    }
    push(self, &self->failed, &item);
}

void shs__admin_handshakes_done(struct shs_admin_handshakes *self, const char *server,
                                struct shs_conn *conn, const struct shs_admin_client *client)
{
    struct shs_admin_handshake item;

    begin(&item, server, conn);
    item.resumed = client->resumed;
    snprintf(item.sni, sizeof item.sni, "%s", client->sni);
    snprintf(item.version, sizeof item.version, "%s", client->version);
    push(self, &self->done, &item);
}

/* -- out --------------------------------------------------------------------------------------- */

/* The n-th before the latest; NULL: there is none any more. */
static const struct shs_admin_handshake *latest(const struct ring *ring, uint64_t n)
{
    if (n >= ring->count || n >= SHS_ADMIN_HANDSHAKES)
        return NULL;
    return &ring->items[(ring->count - 1 - n) % SHS_ADMIN_HANDSHAKES];
}

size_t shs__admin_handshakes_copy(struct shs_admin_handshakes *self, bool failed,
                                  struct shs_admin_handshake *out)
{
    const struct shs_admin_handshake *a, *b;
    uint64_t from_failed = 0, from_done = 0;
    size_t count = 0;

    pthread_mutex_lock(&self->lock);
    for (;;) {
        a = latest(&self->failed, from_failed);
        b = failed ? NULL : latest(&self->done, from_done);
        if (a == NULL && b == NULL)
            break;
        if (b == NULL || (a != NULL && a->when_ms >= b->when_ms)) {
            out[count++] = *a;
            from_failed++;
        } else {
            out[count++] = *b;
            from_done++;
        }
    }
    pthread_mutex_unlock(&self->lock);
    return count;
}

uint64_t shs__admin_handshakes_count(struct shs_admin_handshakes *self, bool failed)
{
    uint64_t count;

    pthread_mutex_lock(&self->lock);
    count = failed ? self->failed.count : self->done.count;
    pthread_mutex_unlock(&self->lock);
    return count;
}
