#include "base/number.h"

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
