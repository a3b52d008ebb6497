#include "handler/range.h"

struct cursor {
    const char *at, *end;
};

static void skip_blanks(struct cursor *c)
{
    while (c->at < c->end && (*c->at == ' ' || *c->at == '\t'))
        c->at++;
}

/* Digits, at most UINT64_MAX: no file is larger. False when there are none. */
static bool read_number(struct cursor *c, uint64_t *out)
{
    const char *start = c->at;
    uint64_t n = 0, digit;

    for (; c->at < c->end && *c->at >= '0' && *c->at <= '9'; c->at++) {
        digit = (uint64_t)(*c->at - '0');
        n = n > (UINT64_MAX - digit) / 10 ? UINT64_MAX : n * 10 + digit;
    }
    *out = n;
    return c->at > start;
}

/* One "first-last", "first-" or "-suffix". False: malformed. length 0: there is no such byte. */
static bool read_spec(struct cursor *c, uint64_t size, struct shs_range *range)
{
    uint64_t first, last = UINT64_MAX;

    range->length = 0;
    if (c->at < c->end && *c->at == '-') {
        c->at++;
        if (!read_number(c, &last))
            return false;
        range->length = last < size ? last : size;
        range->first = size - range->length;
        return true;
    }
    if (!read_number(c, &first) || c->at == c->end || *c->at != '-')
        return false;
    c->at++;
    if (c->at < c->end && *c->at >= '0' && *c->at <= '9') {
        if (!read_number(c, &last) || last < first)
            return false;
    }
    if (first >= size)
        return true;
    range->first = first;
    range->length = (last < size ? last : size - 1) - first + 1;
    return true;
}

/* Adds a range; those that it overlaps or touches become one with it, at the place of the first. */
static void add_range(struct shs_range *ranges, size_t *count, struct shs_range range)
{
    uint64_t end = range.first + range.length, other_end;
    size_t i = 0, place = *count;

    while (i < *count) {
        other_end = ranges[i].first + ranges[i].length;
        if (end < ranges[i].first || other_end < range.first) {
            i++;
            continue;
        }
        if (ranges[i].first < range.first)
            range.first = ranges[i].first;
        if (other_end > end)
            end = other_end;
        range.length = end - range.first;
        if (i < place)
            place = i;
        memmove(&ranges[i], &ranges[i + 1], (*count - i - 1) * sizeof *ranges);
        (*count)--;
        i = 0; /* it has grown: those before may touch it now */
    }
    if (place > *count)
        place = *count;
    memmove(&ranges[place + 1], &ranges[place], (*count - place) * sizeof *ranges);
    ranges[place] = range;
    (*count)++;
}

static bool is_bytes(struct cursor *c)
{
    static const char unit[] = "bytes=";

    for (size_t i = 0; i < sizeof unit - 1; i++, c->at++) {
        if (c->at == c->end || shs__lower((unsigned char)*c->at) != (unsigned char)unit[i])
            return false;
    }
    return true;
}

enum shs_range_verdict shs__ranges_parse(struct shs_str value, uint64_t size,
                                         struct shs_range ranges[SHS_RANGES_MAX], size_t *count)
{
    struct cursor c = {value.ptr, value.ptr + value.len};
    struct shs_range range;
    size_t asked = 0;

    *count = 0;
    if (size == 0 || !is_bytes(&c)) /* an empty file has no range that Content-Range could name */
        return SHS_RANGE_WHOLE;
    for (;;) {
        skip_blanks(&c);
        if (c.at < c.end && *c.at == ',') { /* an empty element: RFC 9110 section 5.6.1.2 */
            c.at++;
            continue;
        }
        if (c.at == c.end)
            break;
        if (++asked > SHS_RANGES_MAX || !read_spec(&c, size, &range))
            return SHS_RANGE_WHOLE;
        skip_blanks(&c);
        if (c.at < c.end && *c.at != ',')
            return SHS_RANGE_WHOLE;
        if (range.length > 0)
            add_range(ranges, count, range);
    }
    if (asked == 0)
        return SHS_RANGE_WHOLE;
    return *count > 0 ? SHS_RANGE_PARTS : SHS_RANGE_UNSATISFIABLE;
}
