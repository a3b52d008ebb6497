/*
 * drain.c - a server that is about to end says so first, waits, and counts what became of its
 * connections.
 *
 * What a signal handler may touch is atomic: until when connections are taken, and when requests
 * are cut. The thread that serves, and then the one that closes, look at both.
 */
#include "server/drain.h"

#include <stdio.h>

#include "server/server.h"

#define NOT_DRAINING INT64_C(0)
/* The loop has ended because of it: earlier than any moment, so nothing replaces it. */
#define DRAIN_OVER INT64_C(1)

/* What is waited for is said so often. */
#define SAY_EVERY_MS 1000u
/* Names in such a line. */
#define NAMES_MAX 4u

static int64_t moment(int64_t now, unsigned ms)
{
    return ms == UINT32_MAX ? INT64_MAX : shs__deadline_after(now, ms);
}

/* *value becomes `to` if that is earlier. */
static void make_earlier(_Atomic int64_t *value, int64_t to)
{
    int64_t was = atomic_load(value);

    while (to < was && !atomic_compare_exchange_weak(value, &was, to))
        ;
}

static void begin(struct shs_drain *drain, int64_t now)
{
    atomic_store(&drain->served, 0);
    atomic_store(&drain->closed, 0);
    atomic_store(&drain->cut, 0);
    atomic_store(&drain->ended_ns, 0);
    atomic_store(&drain->cut_ns, INT64_MAX);
    atomic_store(&drain->say_ns, now);
    atomic_store(&drain->began_ns, now);
}

void shs_server_drain(struct shs_server *self, unsigned grace_ms, unsigned stop_ms)
{
    struct shs_drain *drain = &self->drain;
    int64_t now = shs_now_ns(), until = moment(now, grace_ms), was = NOT_DRAINING, cut;

    if (stop_ms == SHS_DRAIN_STOP)
        stop_ms = self->opt.stop_ms;
    cut = until == INT64_MAX ? INT64_MAX : shs__deadline_after(until, stop_ms);
    if (atomic_load(&drain->until_ns) == NOT_DRAINING && !shs_server_stopping(self))
        begin(drain, now);
    atomic_store(&drain->stop_ms, stop_ms);
    if (!atomic_compare_exchange_strong(&drain->until_ns, &was, until))
        make_earlier(&drain->until_ns, until);
    make_earlier(&drain->cut_ns, cut);
    if (shs_server_stopping(self))
        shs__drain_hurried(self);
    shs__server_wake(self);
}

int shs_server_undrain(struct shs_server *self)
{
    int64_t was = atomic_load(&self->drain.until_ns);

    do {
        if (was == NOT_DRAINING)
            return shs_server_stopping(self) ? SHS_STOPPED : SHS_OK;
        if (was == DRAIN_OVER || shs_server_stopping(self))
            return SHS_STOPPED;
    } while (!atomic_compare_exchange_weak(&self->drain.until_ns, &was, NOT_DRAINING));
    atomic_store(&self->drain.began_ns, 0);
    shs_server_log(self, SHS_LOG_INFO, "draining was taken back: connections are kept again");
    return SHS_OK;
}

bool shs_server_draining(const struct shs_server *self)
{
    return atomic_load_explicit(&self->drain.until_ns, memory_order_relaxed) != NOT_DRAINING;
}

void shs_server_get_receipt(struct shs_server *self, struct shs_drain_receipt *out)
{
    const struct shs_drain *drain = &self->drain;
    int64_t began = atomic_load(&drain->began_ns), ended = atomic_load(&drain->ended_ns);

    memset(out, 0, sizeof *out);
    pthread_mutex_lock(&self->lock);
    out->open = self->live_count;
    for (struct shs_conn *c = self->live; c != NULL; c = c->next)
        out->busy += !atomic_load(&c->idle);
    pthread_mutex_unlock(&self->lock);
    if (began == 0)
        return;
    out->served = atomic_load(&drain->served);
    out->closed = atomic_load(&drain->closed);
    out->cut = atomic_load(&drain->cut);
    out->took_ms = ((ended == 0 ? shs_now_ns() : ended) - began) / SHS_NS_PER_MS;
}

/* -- what is counted --------------------------------------------------------------------------- */

static bool counts(const struct shs_server *self)
{
    return atomic_load_explicit(&self->drain.began_ns, memory_order_relaxed) != 0;
}

void shs__drain_served(struct shs_server *self)
{
    if (counts(self))
        atomic_fetch_add_explicit(&self->drain.served, 1, memory_order_relaxed);
}

void shs__drain_closed(struct shs_server *self)
{
    if (counts(self))
        atomic_fetch_add_explicit(&self->drain.closed, 1, memory_order_relaxed);
}

void shs__drain_cut(struct shs_server *self, struct shs_conn *conn)
{
    if (conn->was_cut)
        return;
    conn->was_cut = true;
    atomic_fetch_add_explicit(&self->drain.cut, 1, memory_order_relaxed);
}

void shs__drain_cut_children(struct shs_server *self, unsigned count)
{
    atomic_fetch_add_explicit(&self->drain.cut, count, memory_order_relaxed);
}

/* -- what is said ------------------------------------------------------------------------------ */

/* With the lock: the first few that are in the middle of a request, and how many are. */
static unsigned name_busy(struct shs_server *self, char *text, size_t cap)
{
    int64_t now = shs_now_ns();
    unsigned busy = 0;
    size_t used = 0;

    text[0] = '\0';
    for (struct shs_conn *c = self->live; c != NULL; c = c->next) {
        char client[160];

        if (atomic_load(&c->idle))
            continue;
        if (++busy <= NAMES_MAX && used < cap)
            used +=
                (size_t)snprintf(text + used, cap - used, "%s%s, connected for %.1f s",
                                 busy == 1 ? ": " : "; ", shs__conn_peer(c, client, sizeof client),
                                 (double)(now - c->accepted_ns) / (double)SHS_NS_PER_S);
    }
    if (busy > NAMES_MAX && used < cap)
        snprintf(text + used, cap - used, "; and %u more", busy - NAMES_MAX);
    return busy;
}

static double seconds_to(int64_t then, int64_t now)
{
    return then < now ? 0 : (double)(then - now) / (double)SHS_NS_PER_S;
}

/* With grace: connections are still taken. */
static void say(struct shs_server *self, int64_t until, bool grace)
{
    char names[SHS_DRAIN_NAMES_MAX], left[64] = "";
    int64_t now = shs_now_ns();
    unsigned open, busy;

    pthread_mutex_lock(&self->lock);
    open = self->live_count;
    busy = name_busy(self, names, sizeof names);
    pthread_mutex_unlock(&self->lock);
    if (!grace && open == 0)
        return;
    if (until != INT64_MAX)
        snprintf(left, sizeof left, ", %.1f s more", seconds_to(until, now));
    shs_server_log(self, SHS_LOG_INFO,
                   grace ? "draining: connections are taken%s; %u open, %u with a request under "
                           "way%s"
                         : "stopping: requests may end%s; %u open, %u with a request under way%s",
                   left, open, busy, names);
}

/* True: it is time to say something again. */
static bool may_say(struct shs_drain *drain, int64_t now)
{
    if (now < atomic_load(&drain->say_ns))
        return false;
    atomic_store(&drain->say_ns, shs__deadline_after(now, SAY_EVERY_MS));
    return true;
}

void shs__drain_say_cut(struct shs_server *self, const char *names, unsigned count)
{
    shs_server_log(self, SHS_LOG_WARNING, "%u request%s cut off, for the time to stop is over%s",
                   count, count == 1 ? " was" : "s were", names);
}

unsigned shs__drain_cut_busy(struct shs_server *self, char *names, size_t cap)
{
    unsigned busy = name_busy(self, names, cap), cut = 0;

    for (struct shs_conn *c = self->live; c != NULL && busy > 0; c = c->next) {
        if (c->was_cut || atomic_load(&c->idle) || c->borrowed)
            continue;
        shs__drain_cut(self, c);
        cut++;
    }
    return cut;
}

/* -- the thread that serves -------------------------------------------------------------------- */

static bool is_over(struct shs_server *self, int64_t now)
{
    int64_t until = atomic_load(&self->drain.until_ns);

    if (until == NOT_DRAINING || until > now)
        return false;
    /* From here on it cannot be taken back. */
    while (!atomic_compare_exchange_weak(&self->drain.until_ns, &until, DRAIN_OVER)) {
        if (until == NOT_DRAINING || until > now)
            return false;
    }
    atomic_store(&self->shutdown_requested, true);
    return true;
}

bool shs__server_must_end(struct shs_server *self, int64_t now)
{
    return atomic_load(&self->shutdown_requested) || is_over(self, now);
}

int64_t shs__drain_turn(struct shs_server *self, int64_t now, int64_t deadline_ns)
{
    int64_t until = atomic_load(&self->drain.until_ns), say_ns;

    if (until == NOT_DRAINING || is_over(self, now))
        return until == NOT_DRAINING ? deadline_ns : now;
    if (may_say(&self->drain, now))
        say(self, until, true);
    say_ns = atomic_load(&self->drain.say_ns);
    if (say_ns < deadline_ns)
        deadline_ns = say_ns;
    return until < deadline_ns ? until : deadline_ns;
}

int64_t shs__drain_until(const struct shs_server *self)
{
    int64_t until = atomic_load(&self->drain.until_ns);

    return until == NOT_DRAINING ? INT64_MAX : until;
}

/* -- the thread that closes -------------------------------------------------------------------- */

void shs__drain_serve_again(struct shs_server *self)
{
    int64_t over = DRAIN_OVER;

    if (atomic_compare_exchange_strong(&self->drain.until_ns, &over, NOT_DRAINING))
        atomic_store(&self->drain.began_ns, 0);
}

int64_t shs__drain_begin_close(struct shs_server *self, int64_t now)
{
    struct shs_drain *drain = &self->drain;
    int64_t cut = shs__deadline_after(now, self->opt.stop_ms);

    if (atomic_load(&drain->began_ns) == 0)
        begin(drain, now);
    else if (atomic_load(&drain->until_ns) != NOT_DRAINING)
        /* The loop may have ended before the grace has: shs_shutdown. */
        cut = shs__deadline_after(now, atomic_load(&drain->stop_ms));
    make_earlier(&drain->cut_ns, cut);
    atomic_store(&drain->say_ns, shs__deadline_after(now, SAY_EVERY_MS));
    return atomic_load(&drain->cut_ns);
}

void shs__drain_hurried(struct shs_server *self)
{
    int64_t cut = atomic_load(&self->drain.cut_ns);

    if (cut != INT64_MAX)
        make_earlier(&self->stop_deadline_ns, shs__deadline_after(cut, self->opt.close_ms));
}

void shs__drain_look(struct shs_server *self)
{
    if (may_say(&self->drain, shs_now_ns()))
        say(self, atomic_load(&self->drain.cut_ns), false);
}

void shs__drain_end_close(struct shs_server *self)
{
    atomic_store(&self->drain.ended_ns, shs_now_ns());
}
