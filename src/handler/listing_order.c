/*
 * listing_order.c - the order of a listing: directories first, and names as people count.
 *
 * "file2" comes before "file10", and letters without case, whatever the locale: the same page
 * everywhere. Case is folded one to one for Latin, Greek and Cyrillic letters.
 */
#include <stdlib.h>

#include "base/text.h"
#include "handler/listing.h"

/* What is not UTF-8 comes last, byte by byte. */
#define NOT_UTF8 0x110000u

static bool between(uint32_t c, uint32_t first, uint32_t last)
{
    return c >= first && c <= last;
}

/* The small letter of a capital one. */
static uint32_t fold(uint32_t c)
{
    if (c < 0x80)
        return (uint32_t)shs__lower((unsigned char)c);
    if (between(c, 0xc0, 0xde) && c != 0xd7)
        return c + 32;
    if (between(c, 0x100, 0x12f) || between(c, 0x132, 0x137) || between(c, 0x14a, 0x177) ||
        between(c, 0x1de, 0x1ef) || between(c, 0x1f8, 0x21f) || between(c, 0x1e00, 0x1e95) ||
        between(c, 0x1ea0, 0x1eff))
        return c | 1; /* pairs that begin with an even one */
    if (between(c, 0x139, 0x148) || between(c, 0x179, 0x17e) || between(c, 0x1cd, 0x1dc))
        return c + (c & 1); /* and with an odd one */
    if (between(c, 0x391, 0x3ab) || between(c, 0x410, 0x42f))
        return c + 32;
    if (between(c, 0x388, 0x38a))
        return c + 37;
    if (between(c, 0x400, 0x40f))
        return c + 80;
    switch (c) {
    case 0x178:
        return 0xff;
    case 0x386:
        return 0x3ac;
    case 0x38c:
        return 0x3cc;
    case 0x38e:
    case 0x38f:
        return c + 63;
    default:
        return c;
    }
}

/* The next character, folded; *at goes behind it. */
static uint32_t next_char(struct shs_str s, size_t *at)
{
    size_t len = shs__utf8_length(s, *at);
    uint32_t c = (unsigned char)s.ptr[*at];

    if (len == 0) {
        (*at)++;
        return NOT_UTF8 + c;
    }
    if (len > 1)
        c &= 0x7fu >> len;
    for (size_t i = 1; i < len; i++)
        c = c << 6 | ((unsigned char)s.ptr[*at + i] & 0x3f);
    *at += len;
    return fold(c);
}

static bool is_digit(struct shs_str s, size_t at)
{
    return at < s.len && s.ptr[at] >= '0' && s.ptr[at] <= '9';
}

/* The digits from *at on, without zeros in front; *at goes behind them. */
static struct shs_str next_number(struct shs_str s, size_t *at)
{
    struct shs_str digits;

    while (is_digit(s, *at) && s.ptr[*at] == '0')
        (*at)++;
    digits = (struct shs_str){s.ptr + *at, 0};
    while (is_digit(s, *at)) {
        digits.len++;
        (*at)++;
    }
    return digits;
}

static int compare_numbers(struct shs_str a, struct shs_str b)
{
    if (a.len != b.len)
        return a.len < b.len ? -1 : 1;
    return a.len == 0 ? 0 : memcmp(a.ptr, b.ptr, a.len);
}

int shs__natural_order(struct shs_str a, struct shs_str b)
{
    size_t i = 0, j = 0, common;
    int order;

    while (i < a.len && j < b.len) {
        uint32_t c, d;

        if (is_digit(a, i) && is_digit(b, j)) {
            order = compare_numbers(next_number(a, &i), next_number(b, &j));
            if (order != 0)
                return order;
            continue;
        }
        c = next_char(a, &i);
        d = next_char(b, &j);
        if (c != d)
            return c < d ? -1 : 1;
    }
    if ((i < a.len) != (j < b.len))
        return j < b.len ? -1 : 1;
    /* Equal but for case, or for zeros: by their bytes, so that the order is one. */
    common = a.len < b.len ? a.len : b.len;
    order = memcmp(a.ptr, b.ptr, common);
    return order != 0 ? order : (a.len > b.len) - (a.len < b.len);
}

static int compare_names(const struct shs_listing_entry *a, const struct shs_listing_entry *b)
{
    return shs__natural_order(a->name, b->name);
}

static int compare_sizes(const struct shs_listing_entry *a, const struct shs_listing_entry *b)
{
    /* What is shown without a size is smaller than an empty file. */
    bool a_file = a->kind == SHS_ENTRY_FILE && !a->bare;
    bool b_file = b->kind == SHS_ENTRY_FILE && !b->bare;

    if (a_file != b_file)
        return a_file ? 1 : -1;
    return a_file ? (a->size > b->size) - (a->size < b->size) : 0;
}

static int compare_times(const struct shs_listing_entry *a, const struct shs_listing_entry *b)
{
    return (a->mtime > b->mtime) - (a->mtime < b->mtime);
}

/* Directories are first whichever way it goes; what is equal is by name, ascending. */
static int compare(const void *left, const void *right, void *arg)
{
    const struct shs_listing_entry *a = left, *b = right;
    const struct shs_listing_view *view = arg;
    bool a_dir = a->kind == SHS_ENTRY_DIRECTORY, b_dir = b->kind == SHS_ENTRY_DIRECTORY;
    int order = 0;

    if (a_dir != b_dir)
        return a_dir ? -1 : 1;
    switch (view->column) {
    case SHS_LISTING_NAME:
        order = compare_names(a, b);
        break;
    case SHS_LISTING_SIZE:
        order = compare_sizes(a, b);
        break;
    case SHS_LISTING_TIME:
        order = compare_times(a, b);
        break;
    }
    if (order == 0)
        return compare_names(a, b);
    return view->descending ? -order : order;
}

void shs__listing_sort(struct shs_listing_entry *entries, size_t count,
                       const struct shs_listing_view *view)
{
    struct shs_listing_view copy = *view;

    if (count > 1)
        qsort_r(entries, count, sizeof *entries, compare, &copy);
}
