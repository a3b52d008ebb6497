#include "base/chars.h"

#include <shs/text.h>

#define ALNUM(c)                                                                                   \
    (((c) >= '0' && (c) <= '9') || ((c) >= 'a' && (c) <= 'z') || ((c) >= 'A' && (c) <= 'Z'))
#define UNRESERVED(c) (ALNUM(c) || (c) == '-' || (c) == '.' || (c) == '_' || (c) == '~')
#define SUB_DELIM(c)                                                                               \
    ((c) == '!' || (c) == '$' || (c) == '&' || (c) == '\'' || (c) == '(' || (c) == ')' ||          \
     (c) == '*' || (c) == '+' || (c) == ',' || (c) == ';' || (c) == '=')
#define TOKEN(c)                                                                                   \
    (ALNUM(c) || (c) == '!' || (c) == '#' || (c) == '$' || (c) == '%' || (c) == '&' ||             \
     (c) == '\'' || (c) == '*' || (c) == '+' || (c) == '-' || (c) == '.' || (c) == '^' ||          \
     (c) == '_' || (c) == '`' || (c) == '|' || (c) == '~')
#define AS_SENT(c)                                                                                 \
    ((c) == '[' || (c) == ']' || (c) == '{' || (c) == '}' || (c) == '|' || (c) == '^' ||           \
     (c) == '`' || (c) == '"')
#define PATH(c)                                                                                    \
    (UNRESERVED(c) || SUB_DELIM(c) || AS_SENT(c) || (c) == ':' || (c) == '@' || (c) == '/')
#define QUERY(c) (PATH(c) || (c) == '?' || (c) == '\\')
#define HEX(c)                                                                                     \
    (((c) >= '0' && (c) <= '9') || ((c) >= 'a' && (c) <= 'f') || ((c) >= 'A' && (c) <= 'F'))
#define VALUE(c) ((c) == '\t' || ((c) >= 0x20 && (c) != 0x7f))
#define QUOTED(c) (VALUE(c) && (c) != '"' && (c) != '\\')

#define SETS(c)                                                                                    \
    ((TOKEN(c) ? SHS_CHAR_TOKEN : 0) | (PATH(c) ? SHS_CHAR_PATH : 0) |                             \
     (QUERY(c) ? SHS_CHAR_QUERY : 0) | (UNRESERVED(c) ? SHS_CHAR_HOST | SHS_CHAR_SEGMENT : 0) |    \
     (HEX(c) ? SHS_CHAR_HEX : 0) | (VALUE(c) ? SHS_CHAR_VALUE : 0) |                               \
     (QUOTED(c) ? SHS_CHAR_QUOTED : 0))
#define ROW4(c) SETS(c), SETS((c) + 1), SETS((c) + 2), SETS((c) + 3)
#define ROW(c) ROW4(c), ROW4((c) + 4), ROW4((c) + 8), ROW4((c) + 12)

const unsigned char shs__chars[256] = {
    ROW(0x00), ROW(0x10), ROW(0x20), ROW(0x30), ROW(0x40), ROW(0x50), ROW(0x60), ROW(0x70),
    ROW(0x80), ROW(0x90), ROW(0xa0), ROW(0xb0), ROW(0xc0), ROW(0xd0), ROW(0xe0), ROW(0xf0),
};

bool shs_is_token(struct shs_str s)
{
    for (size_t i = 0; i < s.len; i++) {
        if (!shs__char_is(s.ptr[i], SHS_CHAR_TOKEN))
            return false;
    }
    return s.len > 0;
}

#define EACH(byte) (UINT64_C(0x0101010101010101) * (byte))

/* Eight at once: none of them is below SP, or DEL. */
static bool are_ordinary(const char *s)
{
    uint64_t eight, del;

    memcpy(&eight, s, sizeof eight);
    del = eight ^ EACH(0x7f); /* zero where it is one */
    return ((((eight - EACH(0x20)) & ~eight) | ((del - EACH(1)) & ~del)) & EACH(0x80)) == 0;
}

bool shs_is_field_value(struct shs_str s)
{
    size_t i = 0;

    while (s.len - i >= 8 && are_ordinary(s.ptr + i))
        i += 8;
    for (; i < s.len; i++) {
        if (!shs__char_is(s.ptr[i], SHS_CHAR_VALUE))
            return false;
    }
    return true;
}
