/*
 * load_control.c - see load_control.h.
 */
#include "server/load_control.h"

#include <limits.h>
#include <stddef.h>

#include "base/base.h"

/* It holds for late_ms, and not for less than this; and so much longer where nobody waits for
   late_ms, because the kernel's queue is short, or the burst is about to be over. */
#define LASTS_MS 1000u
#define LONGER_MS 2000u
/* It is over when nobody was late for so long. */
#define CALM_NS (1000 * SHS_NS_PER_MS)
/* Let in at once. */
#define BATCH 32u
/* Who has waited for this part of late_ms is late. */
#define SOON 4u
/* Those who are inside wait for this part of it, the silent ones and the others together. */
#define STANDING 8
/* For each worker so many may be inside where that is not longer than this part of late_ms; */
#define LEAST 4u
#define LONGEST 2
/* and so many until it is known how long it takes. */
#define FIRST 16u
/* How many are begun with is counted for so long. */
#define WINDOW_NS (100 * SHS_NS_PER_MS)
/* Between two calls the process ran for so long at most; beyond the second it stood still. */
#define RAN_NS (100 * SHS_NS_PER_MS)
#define STOOD_NS (1000 * SHS_NS_PER_MS)

/* -- begin and end ----------------------------------------------------------------------------- */

static void begin(struct shs_load *self, struct shs_load_bounds bounds, int64_t now)
{
    self->phase = SHS_LOAD_HOLDS;
    self->since_ns = self->looked_ns = self->late_ns = now;
    self->ran_ns = 0;
    atomic_store(&self->begun, 0);
    atomic_store(&self->window_ns, 0);
    atomic_store(&self->was_full, false);
    atomic_store(&self->most, FIRST * bounds.workers);
}

void shs__load_end(struct shs_load *self)
{
    self->phase = SHS_LOAD_CALM;
}

/* Time passes. It is counted as it is seen to pass: a process that has no core is no proof that
   more come than it could serve. */
static void look(struct shs_load *self, int64_t now)
{
    int64_t passed = now - self->looked_ns;

    if (self->phase == SHS_LOAD_CALM || passed <= 0)
        return;
    self->looked_ns = now;
    self->ran_ns += passed < RAN_NS ? passed : RAN_NS;
    if (passed < STOOD_NS)
        return;
    self->since_ns = now;
    self->phase = SHS_LOAD_HOLDS;
}

/* It is no burst, says the wait of one who came after it had begun. */
static bool lasts(const struct shs_load *self, struct shs_load_bounds bounds, unsigned waited_ms)
{
    int64_t ms = bounds.late_ms > LASTS_MS ? bounds.late_ms : LASTS_MS;

    if (waited_ms <= bounds.late_ms)
        ms += LONGER_MS;
    return self->phase == SHS_LOAD_REFUSES || self->ran_ns >= ms * SHS_NS_PER_MS;
}

/* -- how many are inside ----------------------------------------------------------------------- */

/* So many more of those who have said something, or of the others. */
static unsigned room_for(struct shs_load *self, bool said)
{
    unsigned inside = atomic_load(&self->inside[said]), most = atomic_load(&self->most);

    if (inside < most)
        return most - inside;
    atomic_store_explicit(&self->was_full, true, memory_order_relaxed);
    return 0;
}

unsigned shs__load_room(struct shs_load *self, int64_t now_ns)
{
    unsigned room;

    look(self, now_ns);
    if (self->phase != SHS_LOAD_HOLDS)
        return BATCH;
    /* Who is silent keeps no worker, and nobody out. */
    room = room_for(self, true);
    return room < BATCH ? room : BATCH;
}

void shs__load_enter(struct shs_load *self, bool said)
{
    atomic_fetch_add(&self->inside[said], 1);
}

/* As many as are begun with in a part of late_ms, half of them silent. */
static unsigned most_at(double begun_a_ms, struct shs_load_bounds bounds)
{
    double most = begun_a_ms * bounds.late_ms / STANDING / 2;
    double least = begun_a_ms * bounds.late_ms / LONGEST / 2;

    if (least > LEAST * bounds.workers)
        least = LEAST * bounds.workers;
    if (least < bounds.workers)
        least = bounds.workers;
    most = most < least ? least : most;
    return most < INT_MAX ? (unsigned)most : INT_MAX;
}

/* Not fewer than before where more would have been begun with. */
static void count_begun(struct shs_load *self, struct shs_load_bounds bounds, int64_t now)
{
    int64_t since = atomic_load(&self->window_ns);
    unsigned begun = atomic_fetch_add(&self->begun, 1), most;
    bool was_full;

    if (since != 0 && now - since < WINDOW_NS)
        return;
    if (!atomic_compare_exchange_strong(&self->window_ns, &since, now))
        return; /* another worker does it */
    atomic_fetch_sub(&self->begun, begun);
    was_full = atomic_exchange(&self->was_full, false);
    if (since == 0)
        return;
    most = most_at((double)begun * SHS_NS_PER_MS / (double)(now - since), bounds);
    if (was_full || most > atomic_load(&self->most))
        atomic_store(&self->most, most);
}

void shs__load_leave(struct shs_load *self, struct shs_load_bounds bounds, bool said,
                     int64_t now_ns)
{
    count_begun(self, bounds, now_ns);
    atomic_fetch_sub(&self->inside[said], 1);
}

/* -- who comes --------------------------------------------------------------------------------- */

void shs__load_empty(struct shs_load *self, int64_t now_ns)
{
    look(self, now_ns);
    if (self->phase == SHS_LOAD_HOLDS || now_ns - self->late_ns >= CALM_NS)
        shs__load_end(self);
}

/* Who finds it full is told no. */
static bool refuses(struct shs_load *self, const struct shs_load_client *client,
                    struct shs_load_bounds bounds, int64_t now)
{
    bool full = room_for(self, client->said) == 0;

    self->phase = SHS_LOAD_REFUSES;
    if (full || client->waited_ms > bounds.late_ms / SOON)
        self->late_ns = now;
    else if (now - self->late_ns >= CALM_NS)
        shs__load_end(self);
    return full || client->waited_ms > bounds.late_ms;
}

bool shs__load_refuses(struct shs_load *self, struct shs_load_bounds bounds,
                       struct shs_load_client client, int64_t now_ns)
{
    int64_t came = now_ns - (int64_t)client.waited_ms * SHS_NS_PER_MS;

    look(self, now_ns);
    if (self->phase == SHS_LOAD_CALM && client.waited_ms > bounds.late_ms / SOON)
        begin(self, bounds, now_ns);
    if (self->phase == SHS_LOAD_CALM || !lasts(self, bounds, client.waited_ms))
        return false;
    /* While those are served who are owed an answer, the others wait behind them. */
    if (came < self->since_ns)
        return client.gone && client.waited_ms > bounds.late_ms;
    return refuses(self, &client, bounds, now_ns);
}
