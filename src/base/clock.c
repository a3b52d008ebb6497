#include "base/base.h"

#include <limits.h>
#include <time.h>

int64_t shs_now_ns(void)
{
    struct timespec ts;

    /* CLOCK_MONOTONIC cannot fail on Linux; a step of the wall clock moves no deadline. */
    clock_gettime(CLOCK_MONOTONIC, &ts);
    return (int64_t)ts.tv_sec * SHS_NS_PER_S + ts.tv_nsec;
}

int64_t shs__elapsed_ns(void)
{
    struct timespec ts;

    clock_gettime(CLOCK_BOOTTIME, &ts); /* nor can that, from Linux 2.6.39 on */
    return (int64_t)ts.tv_sec * SHS_NS_PER_S + ts.tv_nsec;
}

/* 285 years: their nanoseconds, and those of a second, fit. */
#define SECONDS_MAX 9000000000

int64_t shs__ns_between(const struct timespec *from, const struct timespec *to)
{
    int64_t seconds = (int64_t)to->tv_sec - from->tv_sec;

    if (seconds > SECONDS_MAX)
        seconds = SECONDS_MAX;
    if (seconds < -SECONDS_MAX)
        seconds = -SECONDS_MAX;
    return seconds * SHS_NS_PER_S + (to->tv_nsec - from->tv_nsec);
}

int64_t shs__wall_s(int64_t offset_s)
{
    return (int64_t)time(NULL) + offset_s;
}

int shs__poll_ms(int64_t deadline_ns, int64_t now_ns)
{
    int64_t left;

    if (deadline_ns <= now_ns)
        return 0;
    left = deadline_ns - now_ns;
    if (left / SHS_NS_PER_MS >= INT_MAX)
        return INT_MAX;
    /* Rounded up: poll must not return a moment before the deadline and make the caller spin. */
    return (int)((left + SHS_NS_PER_MS - 1) / SHS_NS_PER_MS);
}

void shs__progress_start(struct shs_progress *p, int64_t now_ns, unsigned ms, unsigned min_rate)
{
    p->ms = ms;
    p->min_rate = min_rate;
    p->moved = 0;
    p->total = UINT64_MAX;
    p->deadline_ns = shs__deadline_after(now_ns, ms);
    p->ours_since_ns = now_ns;
}

void shs__progress_waits(struct shs_progress *p)
{
    int64_t now;

    if (p->ours_since_ns == INT64_MAX)
        return;
    now = shs_now_ns();
    if (now > p->ours_since_ns)
        p->deadline_ns += now - p->ours_since_ns;
    p->ours_since_ns = INT64_MAX;
}

void shs__progress_ours(struct shs_progress *p)
{
    if (p->ours_since_ns == INT64_MAX)
        p->ours_since_ns = shs_now_ns();
}

bool shs__progress_is_late(const struct shs_progress *p)
{
    return p->ours_since_ns == INT64_MAX && shs_now_ns() >= p->deadline_ns;
}

void shs__progress_again(struct shs_progress *p)
{
    int64_t now = shs_now_ns();

    p->moved = 0;
    p->deadline_ns = shs__deadline_after(now, p->ms);
    if (p->ours_since_ns != INT64_MAX)
        p->ours_since_ns = now;
}

void shs__progress_made(struct shs_progress *p, uint64_t bytes)
{
    p->moved += bytes;
    if (p->moved >= (uint64_t)p->ms * p->min_rate / 1000)
        shs__progress_again(p);
}

void shs__progress_total(struct shs_progress *p, uint64_t total)
{
    if (p->total != UINT64_MAX && total > p->total)
        shs__progress_made(p, total - p->total);
    p->total = total;
}
