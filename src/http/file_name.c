/*
 * file_name.c - a name for a file, from a name that somebody sent.
 */
#include <shs/multipart.h>

#include "base/text.h"

#define MAX_NAME 255u /* NAME_MAX of every file system that is met */
#define MIN_CAP 16u

/* Behind the last "/" or "\": browsers of old sent whole paths. */
static struct shs_str base_name(struct shs_str s)
{
    size_t start = 0;

    for (size_t i = 0; i < s.len; i++) {
        if (s.ptr[i] == '/' || s.ptr[i] == '\\')
            start = i + 1;
    }
    return (struct shs_str){s.ptr + start, s.len - start};
}

/* Control characters, what Windows forbids, what a shell would act on. */
static bool is_special(unsigned char c)
{
    return c < 0x20 || c == 0x7f || strchr("<>:\"|?*$`&;'!%", c) != NULL;
}

/* C1 controls, and what turns the direction of text, so that "exe.txt" reads as "txt.exe". */
static bool is_invisible(struct shs_str s, size_t i, size_t len)
{
    const unsigned char *p = (const unsigned char *)s.ptr + i;

    if (len == 2)
        return p[0] == 0xc2 && p[1] < 0xa0;
    if (len != 3 || p[0] != 0xe2)
        return false;
    return (p[1] == 0x80 && ((p[2] >= 0x8b && p[2] <= 0x8f) || (p[2] >= 0xa8 && p[2] <= 0xae))) ||
           (p[1] == 0x81 && p[2] >= 0xa0 && p[2] <= 0xaf);
}

/* CON, NUL, COM1 ...: devices on Windows, with any extension. */
static bool is_reserved(struct shs_str s)
{
    static const char *const devices[] = {"CON", "PRN", "AUX", "NUL"};
    size_t stem = 0;

    while (stem < s.len && s.ptr[stem] != '.')
        stem++;
    s.len = stem;
    for (size_t i = 0; i < SHS_ARRAY_LEN(devices); i++) {
        if (shs__str_eq_nocase(s, shs__str(devices[i])))
            return true;
    }
    if (s.len != 4 || s.ptr[3] < '0' || s.ptr[3] > '9')
        return false;
    s.len = 3;
    return shs__str_eq_nocase(s, SHS_STR("COM")) || shs__str_eq_nocase(s, SHS_STR("LPT"));
}

/* Appends what is kept of s to out[*len ..], up to `max`. False: it does not all fit. */
static bool clean(struct shs_str s, char *out, size_t *len, size_t max)
{
    for (size_t i = 0; i < s.len;) {
        size_t n = shs__utf8_length(s, i);
        size_t step = n == 0 ? 1 : n;
        bool replace =
            n == 0 || (n == 1 && is_special((unsigned char)s.ptr[i])) || is_invisible(s, i, n);

        if (*len + step > max)
            return false;
        if (replace)
            out[(*len)++] = '_';
        else
            memcpy(out + *len, s.ptr + i, n);
        if (!replace)
            *len += n;
        i += step;
    }
    return true;
}

static bool is_dot_or_space(char c)
{
    return c == '.' || c == ' ';
}

/* The end of a name says what it is: of one that is too long the middle goes, and the end stays. */
static void keep_extension(struct shs_str s, char *out, size_t *len, size_t max)
{
    char end[2 * SHS_EXTENSION_MAX];
    size_t end_len = 0, extension, stem;

    while (s.len > 0 && is_dot_or_space(s.ptr[s.len - 1]))
        s.len--;
    extension = shs__extension_length(s);
    if (extension == 0 || extension > max / 2 ||
        !clean((struct shs_str){s.ptr + s.len - extension, extension}, end, &end_len, sizeof end))
        return;
    stem = *len < max - end_len ? *len : max - end_len;
    /* Not in the middle of a character: what follows it there is a continuation byte. */
    while (stem > 1 && stem < *len && ((unsigned char)out[stem] & 0xc0) == 0x80)
        stem--;
    while (stem > 1 && is_dot_or_space(out[stem - 1]))
        stem--;
    memcpy(out + stem, end, end_len);
    *len = stem + end_len;
}

size_t shs_safe_file_name(struct shs_str filename, char *out, size_t cap)
{
    struct shs_str s = base_name(filename);
    size_t max = cap - 1 < MAX_NAME ? cap - 1 : MAX_NAME, len = 1, start;

    if (cap < MIN_CAP)
        return 0;
    out[0] = '_'; /* stays in front of a reserved name only */
    if (!clean(s, out, &len, max))
        keep_extension(s, out, &len, max);
    while (len > 1 && is_dot_or_space(out[len - 1]))
        len--;
    for (start = 1; start < len && (is_dot_or_space(out[start]) || out[start] == '-');)
        start++;
    if (start == len) {
        memcpy(out, "upload", sizeof "upload");
        return sizeof "upload" - 1;
    }
    if (is_reserved((struct shs_str){out + start, len - start}))
        out[--start] = '_';
    memmove(out, out + start, len - start);
    out[len - start] = '\0';
    return len - start;
}
