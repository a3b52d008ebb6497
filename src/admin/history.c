#include "admin/history.h"

#include <pthread.h>
#include <time.h>

struct slot {
    struct shs_admin_point point;
    uint32_t durations[SHS_ADMIN_DURATIONS];
};

struct shs_admin_history {
    pthread_mutex_t lock; /* of all below */
    struct slot ring[SHS_ADMIN_POINTS];
    uint64_t count;               /* ever */
    struct shs_admin_moment last; /* the end of the last point */
    int64_t last_ns;
    bool taken; /* somebody makes the next one */
};

int shs__admin_history_new(struct shs_admin_history **out, const struct shs_admin_moment *now)
{
    struct shs_admin_history *self = shs__calloc(1, sizeof *self);

    if (self == NULL)
        return SHS_NOMEM;
    pthread_mutex_init(&self->lock, NULL);
    self->last = *now;
    self->last_ns = shs_now_ns();
    *out = self;
    return SHS_OK;
}

void shs__admin_history_free(struct shs_admin_history *self)
{
    if (self == NULL)
        return;
    pthread_mutex_destroy(&self->lock);
    shs__free(self);
}

bool shs__admin_history_due(struct shs_admin_history *self)
{
    bool due;

    pthread_mutex_lock(&self->lock);
    due = !self->taken && shs_now_ns() - self->last_ns >= SHS_ADMIN_POINT_MS * SHS_NS_PER_MS;
    self->taken = self->taken || due;
    pthread_mutex_unlock(&self->lock);
    return due;
}

/* Numbers that only grow; a server that has gone takes its own along. */
static uint32_t since(uint64_t before, uint64_t now)
{
    uint64_t more = now > before ? now - before : 0;

    return more > UINT32_MAX ? UINT32_MAX : (uint32_t)more;
}

static uint32_t cut(uint64_t value)
{
    return since(0, value);
}

static int64_t unix_ms(void)
{
    struct timespec now = {0};

    clock_gettime(CLOCK_REALTIME, &now);
    return (int64_t)now.tv_sec * 1000 + now.tv_nsec / SHS_NS_PER_MS;
}

/* With the lock. */
static void fill(struct shs_admin_history *self, struct slot *slot,
                 const struct shs_admin_moment *now, int64_t now_ns)
{
    const struct shs_admin_moment *before = &self->last;
    uint64_t durations[SHS_ADMIN_DURATIONS];
    struct shs_admin_point *p = &slot->point;

    memset(p, 0, sizeof *p);
    p->time_ms = unix_ms();
    p->took_ms = (now_ns - self->last_ns) / SHS_NS_PER_MS;
    p->connections = cut(now->connections);
    p->threads = cut(now->threads);
    p->busy = cut(now->busy);
    p->queue = cut(now->queue);
    p->handshakes = since(before->handshakes, now->handshakes);
    p->failed = since(before->failed, now->failed);
    for (size_t i = 0; i < SHS_ADMIN_CLASSES; i++) {
        p->classes[i] = since(before->answers.classes[i], now->answers.classes[i]);
        p->requests += p->classes[i];
    }
    for (size_t i = 0; i < SHS_ADMIN_DURATIONS; i++) {
        slot->durations[i] = since(before->answers.durations[i], now->answers.durations[i]);
        durations[i] = slot->durations[i];
    }
    p->p50_us = cut((uint64_t)shs__admin_tally_quantile(durations, 50));
    p->p99_us = cut((uint64_t)shs__admin_tally_quantile(durations, 99));
}

void shs__admin_history_put(struct shs_admin_history *self, const struct shs_admin_moment *now)
{
    int64_t now_ns = shs_now_ns();

    pthread_mutex_lock(&self->lock);
    fill(self, &self->ring[self->count++ % SHS_ADMIN_POINTS], now, now_ns);
    self->last = *now;
    self->last_ns = now_ns;
    self->taken = false;
    pthread_mutex_unlock(&self->lock);
}

size_t shs__admin_history_copy(struct shs_admin_history *self, struct shs_admin_point *out,
                               size_t window, uint64_t lately[SHS_ADMIN_DURATIONS])
{
    size_t kept, first;

    memset(lately, 0, SHS_ADMIN_DURATIONS * sizeof *lately);
    pthread_mutex_lock(&self->lock);
    kept = self->count < SHS_ADMIN_POINTS ? (size_t)self->count : SHS_ADMIN_POINTS;
    first = (size_t)((self->count - kept) % SHS_ADMIN_POINTS);
    for (size_t i = 0; i < kept; i++) {
        const struct slot *slot = &self->ring[(first + i) % SHS_ADMIN_POINTS];

        out[i] = slot->point;
        for (size_t n = 0; kept - i <= window && n < SHS_ADMIN_DURATIONS; n++)
            lately[n] += slot->durations[n];
    }
    pthread_mutex_unlock(&self->lock);
    return kept;
}

uint64_t shs__admin_history_count(struct shs_admin_history *self)
{
    uint64_t count;

    pthread_mutex_lock(&self->lock);
    count = self->count;
    pthread_mutex_unlock(&self->lock);
    return count;
}
