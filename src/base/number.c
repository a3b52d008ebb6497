#include "base/number.h"

struct shs_str shs__decimal(uint64_t number, char digits[SHS_DECIMAL_MAX])
{
    size_t at = SHS_DECIMAL_MAX;

    do {
        digits[--at] = (char)('0' + number % 10);
        number /= 10;
    } while (number > 0);
    return (struct shs_str){digits + at, SHS_DECIMAL_MAX - at};
}

struct shs_str shs__hex(uint64_t number, char digits[SHS_HEX_MAX])
{
    size_t at = SHS_HEX_MAX;

    do {
        digits[--at] = "0123456789abcdef"[number & 15];
        number >>= 4;
    } while (number > 0);
    return (struct shs_str){digits + at, SHS_HEX_MAX - at};
}

int shs__buf_append_number(struct shs_buf *b, uint64_t number)
{
    char digits[SHS_DECIMAL_MAX];

    return shs__buf_append_str(b, shs__decimal(number, digits));
}
