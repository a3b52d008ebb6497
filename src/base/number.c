#include "base/number.h"

#include <stdio.h>
#include <stdlib.h>

#include <endian.h>

struct shs_str shs__decimal(uint64_t number, char digits[SHS_DECIMAL_MAX])
{
    size_t at = SHS_DECIMAL_MAX;

    do {
        digits[--at] = (char)('0' + number % 10);
        number /= 10;
    } while (number > 0);
    return (struct shs_str){digits + at, SHS_DECIMAL_MAX - at};
}

/* The last eight hex digits of a number, a byte each, the first one in the highest byte. */
static uint64_t eight_digits(uint64_t number)
{
    uint64_t v = number & 0xffffffffU, letters;

    v = (v | v << 16) & 0x0000ffff0000ffffU;
    v = (v | v << 8) & 0x00ff00ff00ff00ffU;
    v = (v | v << 4) & 0x0f0f0f0f0f0f0f0fU;
    letters = (v + 0x0606060606060606U) >> 4 & 0x0101010101010101U; /* of those above 9 */
    return v + 0x3030303030303030U + letters * ('a' - '0' - 10);
}

struct shs_str shs__hex(uint64_t number, char digits[SHS_HEX_MAX])
{
    uint64_t high = htobe64(eight_digits(number >> 32)), low = htobe64(eight_digits(number));
    size_t skip = number == 0 ? SHS_HEX_MAX - 1 : (size_t)__builtin_clzll(number) / 4;

    memcpy(digits, &high, sizeof high);
    memcpy(digits + sizeof high, &low, sizeof low);
    return (struct shs_str){digits + skip, SHS_HEX_MAX - skip};
}

int shs__buf_append_number(struct shs_buf *b, uint64_t number)
{
    char digits[SHS_DECIMAL_MAX];

    return shs__buf_append_str(b, shs__decimal(number, digits));
}

/* -- real numbers ------------------------------------------------------------------------------ */

/* What 15 digits say for sure, and what every double is told by. */
#define SURE_DIGITS 15
#define ALL_DIGITS 17
#define REAL_MAX 40

/* The bytes of a string of JSON that begins there, with its quotes. */
static size_t string_length(const char *text, size_t len)
{
    size_t at = 1;

    while (at < len && text[at] != '"')
        at += text[at] == '\\' ? 2 : 1;
    return at < len ? at + 1 : len;
}

/* Fewer digits for a real, if there are any that say the same; how long it is now. */
static size_t shorten(char *real, size_t len)
{
    char was[REAL_MAX], now[REAL_MAX];
    char *end;
    double value;
    int n = 0;

    if (len >= sizeof was)
        return len;
    memcpy(was, real, len);
    was[len] = '\0';
    value = strtod(was, &end);
    if (*end != '\0') /* a locale that has another point */
        return len;
    for (int digits = SURE_DIGITS; digits < ALL_DIGITS; digits++) {
        n = snprintf(now, sizeof now, "%.*g", digits, value);
        if (strtod(now, NULL) == value)
            break;
        n = 0;
    }
    if (n <= 0 || (size_t)n >= len || strspn(now, "-0123456789.") != (size_t)n ||
        strchr(now, '.') == NULL)
        return len;
    memcpy(real, now, (size_t)n);
    return (size_t)n;
}

size_t shs__json_shorten(char *text, size_t len)
{
    size_t to = 0;

    for (size_t at = 0; at < len;) {
        size_t n = 1, now;

        if (text[at] == '"')
            n = string_length(text + at, len - at);
        else if (text[at] == '-' || (text[at] >= '0' && text[at] <= '9'))
            while (at + n < len && strchr("0123456789+-.eE", text[at + n]) != NULL &&
                   text[at + n] != '\0')
                n++;
        /* Shorter ones are as short as they can be: 15 digits, a sign, a point. */
        now = text[at] != '"' && n > SURE_DIGITS + 1 && memchr(text + at, '.', n) != NULL
                  ? shorten(text + at, n)
                  : n;
        if (to != at)
            memmove(text + to, text + at, now);
        to += now;
        at += n;
    }
    return to;
}
