/*
 * shs/str.h - struct shs_str: bytes that belong to somebody else, and how they are compared.
 */
#ifndef SHS_STR_H
#define SHS_STR_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

/* A borrowed view. Not NUL-terminated. ptr is NULL only where a function says so. */
struct shs_str {
    const char *ptr;
    size_t len;
};

/* A view of a C string, which must outlive it. NULL gives {NULL, 0}. */
static inline struct shs_str shs_str_of(const char *text)
{
    struct shs_str s;

    s.ptr = text;
    s.len = text == NULL ? 0 : strlen(text);
    return s;
}

/* The same bytes? Two empty ones are equal, whatever their ptr. */
static inline bool shs_str_eq(struct shs_str a, struct shs_str b)
{
    return a.len == b.len && (a.len == 0 || memcmp(a.ptr, b.ptr, a.len) == 0);
}

/* The same, A to Z being a to z: for names of fields, schemes, hosts. No locale. */
static inline bool shs_str_eq_nocase(struct shs_str a, struct shs_str b)
{
    if (a.len != b.len)
        return false;
    for (size_t i = 0; i < a.len; i++) {
        int x = a.ptr[i], y = b.ptr[i];

        if (x != y && ((x | 0x20) != (y | 0x20) || (x | 0x20) < 'a' || (x | 0x20) > 'z'))
            return false;
    }
    return true;
}

/* Are these the bytes of a C string? shs_str_is(shs_request_method(req), "GET") */
static inline bool shs_str_is(struct shs_str s, const char *text)
{
    return shs_str_eq(s, shs_str_of(text));
}

static inline bool shs_str_is_nocase(struct shs_str s, const char *text)
{
    return shs_str_eq_nocase(s, shs_str_of(text));
}

/*
 * A decimal number of digits only, no larger than max: for an id or a limit that a client wrote.
 * false, and *out as it was, for anything else, also for nothing at all.
 */
static inline bool shs_str_number(struct shs_str s, uint64_t max, uint64_t *out)
{
    uint64_t n = 0;

    for (size_t i = 0; i < s.len; i++) {
        uint64_t digit = 0;

        while (digit < 10 && "0123456789"[digit] != s.ptr[i])
            digit++;
        if (digit == 10 || digit > max || n > (max - digit) / 10)
            return false;
        n = n * 10 + digit;
    }
    if (s.len > 0)
        *out = n;
    return s.len > 0;
}

static inline bool shs_str_starts_with(struct shs_str s, const char *text)
{
    size_t len = strlen(text);

    return s.len >= len && memcmp(s.ptr, text, len) == 0;
}

#endif
