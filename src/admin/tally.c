#include "admin/tally.h"

#include <pthread.h>

/* The same thread always has the same one. */
static struct shs_admin_tally_cell *cell_of(struct shs_admin_tally *self)
{
    uint64_t mixed = (uint64_t)(uintptr_t)pthread_self() * 0x9E3779B97F4A7C15U;

    return &self->cells[mixed >> 61];
}

static unsigned class_of(int status)
{
    return status < 100 || status > 599 ? 0 : (unsigned)status / 100;
}

/* 0 to 3 as they are; above, four steps from one power of 2 to the next. */
static size_t step_of(int64_t us)
{
    unsigned power;
    size_t step;

    if (us < 4)
        return us < 0 ? 0 : (size_t)us;
    power = 63 - (unsigned)__builtin_clzll((unsigned long long)us);
    step = 4 * (size_t)(power - 1) + (size_t)((us >> (power - 2)) & 3);
    return step < SHS_ADMIN_DURATIONS ? step : SHS_ADMIN_DURATIONS - 1;
}

/* The least duration of a step. */
static int64_t begin_of(size_t step)
{
    unsigned power = (unsigned)step / 4 + 1;

    return step < 4 ? (int64_t)step : (int64_t)(4 + step % 4) << (power - 2);
}

void shs__admin_tally_count(struct shs_admin_tally *self, int status, int64_t duration_ns)
{
    struct shs_admin_tally_cell *cell = cell_of(self);

    atomic_fetch_add_explicit(&cell->classes[class_of(status)], 1, memory_order_relaxed);
    atomic_fetch_add_explicit(&cell->durations[step_of(duration_ns / 1000)], 1,
                              memory_order_relaxed);
}

void shs__admin_tally_add(struct shs_admin_tally *self, struct shs_admin_tally_sum *sum)
{
    for (size_t c = 0; c < SHS_ADMIN_TALLY_CELLS; c++) {
        struct shs_admin_tally_cell *cell = &self->cells[c];

        for (size_t i = 0; i < SHS_ADMIN_CLASSES; i++)
            sum->classes[i] += atomic_load_explicit(&cell->classes[i], memory_order_relaxed);
        for (size_t i = 0; i < SHS_ADMIN_DURATIONS; i++)
            sum->durations[i] += atomic_load_explicit(&cell->durations[i], memory_order_relaxed);
    }
}

int64_t shs__admin_tally_quantile(const uint64_t durations[SHS_ADMIN_DURATIONS], unsigned percent)
{
    uint64_t all = 0, rank, before = 0;
    size_t i = 0;

    for (size_t n = 0; n < SHS_ADMIN_DURATIONS; n++)
        all += durations[n];
    if (all == 0)
        return 0;
    rank = (all * percent + 99) / 100; /* 1 is the fastest */
    if (rank == 0)
        rank = 1;
    while (before + durations[i] < rank)
        before += durations[i++];
    /* within the step as if they were spread over it */
    return begin_of(i) +
           (begin_of(i + 1) - begin_of(i)) * (int64_t)(rank - before) / (int64_t)durations[i];
}
