/*
 * failing_memory.h - allocators that fail at the wanted place, for the library and for OpenSSL:
 * base/memory.c is compiled here over them, in place of the library's. For one file of a program.
 */
#ifndef FAILING_MEMORY_H
#define FAILING_MEMORY_H

#include <stdbool.h>
#include <stdlib.h>

#include <openssl/crypto.h>

#include "base/base.h"

static bool armed;
static long fail_in = -1; /* while armed: this many succeed, then one fails; -1: all succeed */
static bool for_good;     /* that one, and all after it */

static bool fails(void)
{
    return armed && (fail_in >= 0 ? fail_in-- == 0 : for_good);
}

static void *lab_malloc(size_t size)
{
    return fails() ? NULL : malloc(size);
}

static void *lab_calloc(size_t count, size_t size)
{
    return fails() ? NULL : calloc(count, size);
}

static void *lab_realloc(void *ptr, size_t size)
{
    return fails() ? NULL : realloc(ptr, size);
}

static void *openssl_malloc(size_t size, const char *file, int line)
{
    SHS_UNUSED(file);
    SHS_UNUSED(line);
    return lab_malloc(size);
}

static void *openssl_realloc(void *ptr, size_t size, const char *file, int line)
{
    SHS_UNUSED(file);
    SHS_UNUSED(line);
    return lab_realloc(ptr, size);
}

static void openssl_free(void *ptr, const char *file, int line)
{
    SHS_UNUSED(file);
    SHS_UNUSED(line);
    free(ptr);
}

/* The library's own file over these. */
#define malloc lab_malloc
#define calloc lab_calloc
#define realloc lab_realloc
#include "base/memory.c"
#undef malloc
#undef calloc
#undef realloc

/* From here on the allocation number n fails, when `fault` says so; was there one? */
static void arm(long n)
{
    fail_in = n;
    armed = true;
}

static bool disarm(void)
{
    bool failed = fail_in < 0;

    armed = false;
    return failed;
}

/* Before OpenSSL has allocated anything. */
static bool take_over_openssl(void)
{
    return CRYPTO_set_mem_functions(openssl_malloc, openssl_realloc, openssl_free) == 1;
}

#endif
