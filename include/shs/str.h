/*
 * shs/str.h - struct shs_str: bytes that belong to somebody else.
 */
#ifndef SHS_STR_H
#define SHS_STR_H

#include <stddef.h>

/* A borrowed view. Not NUL-terminated. ptr is NULL only where a function says so. */
struct shs_str {
    const char *ptr;
    size_t len;
};

#endif
