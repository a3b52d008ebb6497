/*
 * thread_pool_route.c - how much of a handler's time is waiting.
 *
 * A handler that takes long waits, or computes, or lacks a core; only the first is a reason for
 * another worker. The kernel knows: a thread that waits gives its core up by itself, and its CPU
 * clock stands still. Asking costs two system calls before and two after, so it is done for some
 * calls after a turn that took long for what there was to do, and, for a route that waits again and
 * again, now and then by each worker, however many of its calls there are.
 *
 * The estimate is cautious: one call that waits raises it at once, many that do not lower it.
 */
#include <sys/resource.h>
#include <time.h>

#include "server/thread_pool.h"

#define MEASURES 8u
/* While a route waits: a worker measures one call in so long (64 clients, 0.2 ms: one of eight
   instead takes a tenth more CPU for a request). */
#define SAMPLE_NS (25 * SHS_NS_PER_MS)
/* A wait that is worth another worker. */
#define WORTH_NS 20000u
/* What counts as no longer than this, so that a route that has changed is soon known. */
#define MOST_NS 10000000

static int64_t thread_cpu_ns(void)
{
    struct timespec ts;

    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &ts);
    return (int64_t)ts.tv_sec * SHS_NS_PER_S + ts.tv_nsec;
}

static long voluntary_switches(void)
{
    struct rusage used;

    return getrusage(RUSAGE_THREAD, &used) == 0 ? used.ru_nvcsw : 0;
}

static uint32_t load(const _Atomic uint32_t *word)
{
    return atomic_load_explicit(word, memory_order_relaxed);
}

static void store(_Atomic uint32_t *word, uint32_t value)
{
    atomic_store_explicit(word, value, memory_order_relaxed);
}

/* -- the estimate ------------------------------------------------------------------------------ */

static uint32_t clip(int64_t ns)
{
    return ns < 0 ? 0 : ns > MOST_NS ? MOST_NS : (uint32_t)ns;
}

static uint32_t towards(uint32_t mean, uint32_t value, uint32_t up, uint32_t down)
{
    return value > mean ? mean + (value - mean) / up : mean - (mean - value + down - 1) / down;
}

/* One call was measured. Two workers that do so at once lose one of their samples. */
static void learn(struct shs_pool_route *route, uint32_t wait_ns, uint32_t cpu_ns)
{
    uint32_t left = load(&route->measure);

    if (left > 0)
        store(&route->measure, left - 1);
    if (!atomic_load_explicit(&route->known, memory_order_relaxed)) {
        store(&route->wait_ns, wait_ns);
        store(&route->cpu_ns, cpu_ns);
        store(&route->usual_ns, wait_ns);
        store(&route->measure, MEASURES);
        atomic_store_explicit(&route->known, true, memory_order_relaxed);
        return;
    }
    store(&route->wait_ns, towards(load(&route->wait_ns), wait_ns, 4, 64));
    store(&route->cpu_ns, towards(load(&route->cpu_ns), cpu_ns, 8, 8));
    if (wait_ns >= WORTH_NS)
        store(&route->usual_ns, load(&route->usual_ns) < WORTH_NS
                                    ? wait_ns
                                    : towards(load(&route->usual_ns), wait_ns, 16, 2));
}

/* How much of a worker is missing while such a handler runs. */
static int share_of(const struct shs_pool_route *route)
{
    uint64_t wait = load(&route->wait_ns), cpu = load(&route->cpu_ns);

    if (wait < WORTH_NS)
        return 0;
    return (int)((wait * SHS_POOL_ONE + (wait + cpu) / 2) / (wait + cpu));
}

void shs__pool_route_blocks(struct shs_pool_route *route, int64_t for_ns)
{
    if (load(&route->wait_ns) < clip(for_ns))
        store(&route->wait_ns, clip(for_ns));
    if (load(&route->usual_ns) < clip(for_ns))
        store(&route->usual_ns, 0); /* nobody knows, until one is back */
    store(&route->measure, MEASURES);
    atomic_store_explicit(&route->known, true, memory_order_relaxed);
}

/* -- around a handler -------------------------------------------------------------------------- */

/* Others need not wait for it: until then. */
static void go_away(struct shs_pool_worker *self, const struct shs_pool_route *route, int share,
                    int64_t now)
{
    uint32_t usual = load(&route->usual_ns);

    self->waited = true;
    atomic_store_explicit(&self->back_ns, usual == 0 ? INT64_MAX : now + usual,
                          memory_order_relaxed);
    (void)shs__pool_set_away(self, share, now);
}

static void enter(struct shs_activity *activity, uint64_t number)
{
    struct shs_pool_worker *self = SHS_CONTAINER_OF(activity, struct shs_pool_worker, activity);
    struct shs_pool_route *route = &shs__pool_line_at(self)->pool->routes[number % SHS_POOL_ROUTES];
    bool known = atomic_load_explicit(&route->known, memory_order_relaxed);
    int share = known ? share_of(route) : 0;
    int64_t now = share > 0 ? shs_now_ns() : 0;

    atomic_store_explicit(&self->route, route, memory_order_relaxed);
    self->blocking -= self->blocking / 32;
    if (share > 0)
        self->blocking += 2048;
    self->measures = !known || self->suspects > 0 || load(&route->measure) > 0 ||
                     (share > 0 && now >= self->sample_ns);
    if (self->measures) {
        self->suspects -= self->suspects > 0;
        self->meter.switches = voluntary_switches();
        self->meter.cpu_ns = thread_cpu_ns();
        self->meter.wall_ns = now = shs_now_ns();
        self->sample_ns = now + SAMPLE_NS;
    }
    if (share > 0) {
        go_away(self, route, share, now);
    } else if (!known) { /* it may block, and nothing shall wait behind it */
        (void)shs__pool_hand_over(self);
        if (atomic_load(&self->group->ready_count) > 0)
            shs__pool_kick(self->group);
    }
}

static void leave(struct shs_activity *activity)
{
    struct shs_pool_worker *self = SHS_CONTAINER_OF(activity, struct shs_pool_worker, activity);
    struct shs_pool_route *route = atomic_load_explicit(&self->route, memory_order_relaxed);

    if (self->measures) {
        int64_t now = shs_now_ns(), cpu = thread_cpu_ns() - self->meter.cpu_ns;
        bool waited = voluntary_switches() != self->meter.switches;

        learn(route, waited ? clip(now - self->meter.wall_ns - cpu) : 0, clip(cpu));
    }
    atomic_store_explicit(&self->route, NULL, memory_order_relaxed);
    if (atomic_load_explicit(&self->away, memory_order_relaxed) != 0)
        (void)shs__pool_set_away(self, 0, 0);
}

const struct shs_activity_ops shs__pool_activity_ops = {.enter = enter, .leave = leave};
