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

size_t shs_safe_file_name(struct shs_str filename, char *out, size_t cap)
{
    struct shs_str s = base_name(filename);
    size_t max = cap - 1 < MAX_NAME ? cap - 1 : MAX_NAME, len = 1, start;

    if (cap < MIN_CAP)
        return 0;
    out[0] = '_'; /* stays in front of a reserved name only */
    for (size_t i = 0; i < s.len;) {
        size_t n = shs__utf8_length(s, i);
        size_t step = n == 0 ? 1 : n;
        bool replace =
            n == 0 || (n == 1 && is_special((unsigned char)s.ptr[i])) || is_invisible(s, i, n);

        if (len + step > max)
            break;
        if (replace)
            out[len++] = '_';
        else
            memcpy(out + len, s.ptr + i, n);
        if (!replace)
            len += n;
        i += step;
    }
    while (len > 1 && (out[len - 1] == '.' || out[len - 1] == ' '))
        len--;
    for (start = 1; start < len && (out[start] == '.' || out[start] == ' ' || out[start] == '-');)
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
