/*
 * failed.c - says at once where a test failed.
 *
 * cmocka leaves the function of a test that fails and says why afterwards. The servers of that test
 * run on meanwhile, with what it had on its stack, and may end the program before cmocka has said
 * anything. So its own _fail is called by this one.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <dlfcn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

void _fail(const char *const file, const int line)
{
    void (*fail_of_cmocka)(const char *, int);
    void *symbol = dlsym(RTLD_NEXT, "_fail");

    fprintf(stderr, "%s:%d: this failed\n", file, line);
    if (symbol == NULL)
        abort();
    memcpy(&fail_of_cmocka, &symbol, sizeof symbol);
    fail_of_cmocka(file, line);
    abort(); /* it does not return */
}
