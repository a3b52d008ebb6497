#include "patience.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>

#include "base/base.h"

#define TICK_MS 10

int patience_ms(void)
{
    const char *sanitizers = getenv("SHS_SANITIZE");
    bool slow = (sanitizers != NULL && sanitizers[0] != '\0') || getenv("VALGRIND") != NULL;

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
    slow = true;
#endif
    return slow ? 40000 : 10000;
}

static struct {
    pthread_t thread;
    bool running;
    int64_t began_ns;
    _Atomic bool over;
    _Atomic int64_t late_ns;
} watch;

static void *tick(void *unused)
{
    while (!watch.over) {
        int64_t due = shs_now_ns() + TICK_MS * SHS_NS_PER_MS, late;

        poll(NULL, 0, TICK_MS);
        late = shs_now_ns() - due;
        if (late > 0)
            watch.late_ns += late;
    }
    return unused;
}

void stopwatch_start(void)
{
    stopwatch_stop(); /* that of a test that failed */
    watch.over = false;
    watch.late_ns = 0;
    assert_int_equal(pthread_create(&watch.thread, NULL, tick, NULL), 0);
    watch.running = true;
    watch.began_ns = shs_now_ns();
}

bool stopwatch_between(int64_t least_ms, int64_t most_ms)
{
    int64_t took = shs_now_ns() - watch.began_ns, late = watch.late_ns;

    /* Who sleeps may not have told yet how late it is. */
    for (int i = 0; i < 20 && took - late > most_ms * SHS_NS_PER_MS; i++) {
        poll(NULL, 0, TICK_MS);
        late = watch.late_ns;
    }
    if (took >= least_ms * SHS_NS_PER_MS && took - late <= most_ms * SHS_NS_PER_MS)
        return true;
    print_message("it took %lld ms, and the machine was late by %lld ms\n",
                  (long long)(took / SHS_NS_PER_MS), (long long)(late / SHS_NS_PER_MS));
    return false;
}

void stopwatch_stop(void)
{
    if (!watch.running)
        return;
    watch.over = true;
    pthread_join(watch.thread, NULL);
    watch.running = false;
}
