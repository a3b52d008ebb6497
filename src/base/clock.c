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
