/*
 * number.h - numbers as text: where printf would cost more than all the rest, and the shortest text
 * of a real number.
 */
#ifndef SHS_NUMBER_H
#define SHS_NUMBER_H

#include "base/base.h"

/* The digits of a number, in memory of the caller's: what printf makes of %PRIu64 and %PRIx64. */
#define SHS_DECIMAL_MAX 20u
#define SHS_HEX_MAX 16u
struct shs_str shs__decimal(uint64_t number, char digits[SHS_DECIMAL_MAX]);
struct shs_str shs__hex(uint64_t number, char digits[SHS_HEX_MAX]);

/* The decimal digits, as shs__buf_append. */
int shs__buf_append_number(struct shs_buf *b, uint64_t number);

/*
 * Makes the real numbers in a text of JSON as short as they can be read back the same: 0.003 where
 * 0.0030000000000000001 was written. In place; the new length.
 */
size_t shs__json_shorten(char *text, size_t len);

#endif
