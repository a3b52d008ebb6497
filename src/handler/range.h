/*
 * range.h - which bytes of a file a Range field asks for. Pure text.
 *
 * A list of ranges can be abused: a thousand of them, or all of them the whole file. So more than
 * SHS_RANGES_MAX are not followed (the whole file is the answer, as if nobody had asked), and
 * ranges that overlap or touch are made one: no byte of a file is ever in an answer twice.
 *
 * Follows: RFC 9110 sections 14.1.2 (byte ranges), 14.2 (Range), 17.15 (overlapping ranges).
 */
#ifndef SHS_HANDLER_RANGE_H
#define SHS_HANDLER_RANGE_H

#include "base/base.h"

#define SHS_RANGES_MAX 16

struct shs_range {
    uint64_t first, length; /* length > 0, and all of it within the file */
};

enum shs_range_verdict {
    SHS_RANGE_WHOLE,        /* malformed, another unit, or too many: ignore the field */
    SHS_RANGE_PARTS,        /* 206 */
    SHS_RANGE_UNSATISFIABLE /* 416 */
};

/*
 * Reads "bytes=0-99, 200-, -50" for a file of `size` bytes. With SHS_RANGE_PARTS, ranges[0..*count)
 * are what to send, in the order they were asked for, disjoint.
 */
enum shs_range_verdict shs__ranges_parse(struct shs_str value, uint64_t size,
                                         struct shs_range ranges[SHS_RANGES_MAX], size_t *count);

#endif
