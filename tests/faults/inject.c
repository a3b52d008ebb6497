#include "inject.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>

#include <openssl/crypto.h>

#include "base/base.h"

#define ERRORS(...)                                                                                \
    {                                                                                              \
        __VA_ARGS__                                                                                \
    }
const struct faults_kind faults_kinds[FAULTS_KINDS] = {
    [FAULTS_MEMORY] = {"memory", {ENOMEM}},
#define CALL(name, errors) [CALL_##name] = {#name, errors},
#define ALIAS(name)
#include "calls.inc"
#undef CALL
#undef ALIAS
    [FAULTS_ONE_BYTE] = {"one byte", {1}},
};

struct faults_shared *faults;

static _Thread_local bool exempt;
static atomic_long live, live_in_openssl;

int faults_due(enum faults_what what)
{
    long n;

    if (exempt || faults == NULL || !atomic_load_explicit(&faults->armed, memory_order_acquire))
        return 0;
    if (atomic_load_explicit(&faults->counting, memory_order_relaxed)) {
        atomic_fetch_add(&faults->counts[what], 1);
        return 0;
    }
    if ((int)what != atomic_load_explicit(&faults->what, memory_order_relaxed))
        return 0;
    n = atomic_fetch_add(&faults->at, 1);
    if (n < atomic_load(&faults->first) || n > atomic_load(&faults->last))
        return 0;
    atomic_store(&faults->fired, true);
    return atomic_load(&faults->error);
}

size_t faults_length(size_t len)
{
    return len > 1 && faults_due(FAULTS_ONE_BYTE) != 0 ? 1 : len;
}

void faults_mine(bool yes)
{
    exempt = !yes;
}

static void begin(bool counting)
{
    atomic_store(&faults->at, 0);
    atomic_store(&faults->fired, false);
    atomic_store(&faults->counting, counting);
    atomic_store_explicit(&faults->armed, true, memory_order_release);
}

void faults_count(void)
{
    for (int i = 0; i < FAULTS_KINDS; i++)
        atomic_store(&faults->counts[i], 0);
    begin(true);
}

void faults_arm(enum faults_what what, int error, long first, long last)
{
    atomic_store(&faults->what, (int)what);
    atomic_store(&faults->error, error);
    atomic_store(&faults->first, first);
    atomic_store(&faults->last, last);
    begin(false);
}

bool faults_disarm(void)
{
    atomic_store(&faults->armed, false);
    return atomic_load(&faults->fired);
}

long faults_live(void)
{
    return atomic_load(&live);
}

long faults_live_in_openssl(void)
{
    return atomic_load(&live_in_openssl);
}

/* -- memory ------------------------------------------------------------------------------------ */

static void *counted(void *ptr)
{
    if (ptr != NULL)
        atomic_fetch_add_explicit(&live, 1, memory_order_relaxed);
    return ptr;
}

static void *faults_malloc(size_t size)
{
    return faults_due(FAULTS_MEMORY) != 0 ? NULL : counted(malloc(size));
}

static void *faults_calloc(size_t count, size_t size)
{
    return faults_due(FAULTS_MEMORY) != 0 ? NULL : counted(calloc(count, size));
}

static void faults_free(void *ptr)
{
    if (ptr != NULL)
        atomic_fetch_sub_explicit(&live, 1, memory_order_relaxed);
    free(ptr);
}

static void *faults_realloc(void *ptr, size_t size)
{
    if (ptr == NULL)
        return faults_malloc(size);
    if (size == 0) { /* as OpenSSL's own realloc */
        faults_free(ptr);
        return NULL;
    }
    return faults_due(FAULTS_MEMORY) != 0 ? NULL : realloc(ptr, size);
}

/* Each in its own count: what went over from one to the other is none of either. */
static void *openssl_counted(void *ptr, long by)
{
    atomic_fetch_sub(&live, by);
    atomic_fetch_add(&live_in_openssl, by);
    return ptr;
}

static void *openssl_malloc(size_t size, const char *file, int line)
{
    void *ptr = size == 0 ? NULL : faults_malloc(size);

    SHS_UNUSED(file);
    SHS_UNUSED(line);
    return openssl_counted(ptr, ptr != NULL);
}

static void *openssl_realloc(void *ptr, size_t size, const char *file, int line)
{
    SHS_UNUSED(file);
    SHS_UNUSED(line);
    if (ptr == NULL)
        return openssl_malloc(size, file, line);
    if (size == 0) {
        openssl_counted(NULL, -1);
        faults_free(ptr);
        return NULL;
    }
    return faults_realloc(ptr, size);
}

static void openssl_free(void *ptr, const char *file, int line)
{
    SHS_UNUSED(file);
    SHS_UNUSED(line);
    openssl_counted(NULL, ptr == NULL ? 0 : -1);
    faults_free(ptr);
}

/* The library's own file over these, in place of the one in libshs.a. */
#define malloc faults_malloc
#define calloc faults_calloc
#define realloc faults_realloc
#define free faults_free
#include "base/memory.c"
#undef malloc
#undef calloc
#undef realloc
#undef free

/* -- a crash, of a forked child too ------------------------------------------------------------ */

static void on_crash(int sig)
{
    if (faults != NULL)
        atomic_store(&faults->crashed, sig);
    (void)signal(sig, SIG_DFL);
    (void)raise(sig);
}

/* The sanitizers call these. */
void __asan_on_error(void);
void __asan_on_error(void)
{
    if (faults != NULL)
        atomic_store(&faults->crashed, -1);
}

bool faults_setup(void)
{
    static const int signals[] = {SIGSEGV, SIGBUS, SIGABRT, SIGFPE, SIGILL};

    faults = mmap(NULL, sizeof *faults, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (faults == MAP_FAILED) {
        faults = NULL;
        return false;
    }
    faults_mine(false);
    (void)signal(SIGPIPE, SIG_IGN); /* the client's: it is told by the answer */
#ifndef __SANITIZE_ADDRESS__
    for (size_t i = 0; i < sizeof signals / sizeof signals[0]; i++) {
        struct sigaction action = {.sa_handler = on_crash};

        (void)sigaction(signals[i], &action, NULL);
    }
#else
    SHS_UNUSED(signals);
    SHS_UNUSED(on_crash);
#endif
    return CRYPTO_set_mem_functions(openssl_malloc, openssl_realloc, openssl_free) == 1;
}
