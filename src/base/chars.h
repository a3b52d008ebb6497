/*
 * chars.h - which characters may stand where, in one table of 256 bytes.
 */
#ifndef SHS_CHARS_H
#define SHS_CHARS_H

#include "base/base.h"

enum {
    SHS_CHAR_TOKEN = 1,    /* tchar, RFC 9110 section 5.6.2 */
    SHS_CHAR_PATH = 2,     /* pchar and "/", RFC 3986 section 3.3, without "%"; and what browsers
                              and fetch() leave as it is: [ ] { } | ^ ` " */
    SHS_CHAR_QUERY = 4,    /* the same, "?" and the backslash, which in a path may mean "/" */
    SHS_CHAR_HOST = 8,     /* letters, digits, - . _ ~ */
    SHS_CHAR_HEX = 16,     /* 0-9 a-f A-F */
    SHS_CHAR_VALUE = 32,   /* field content: HTAB, SP, VCHAR, obs-text */
    SHS_CHAR_QUOTED = 64,  /* qdtext, RFC 9110 section 5.6.4: VALUE without " and backslash */
    SHS_CHAR_SEGMENT = 128 /* unreserved: what percent_encode leaves alone in any part of a URI */
};

extern const unsigned char shs__chars[256];

static inline bool shs__char_is(char c, unsigned set)
{
    return (shs__chars[(unsigned char)c] & set) != 0;
}

/* The value of a hex digit; 16 or more for any other character. */
static inline unsigned shs__hex_value(char c)
{
    if (c >= '0' && c <= '9')
        return (unsigned)(c - '0');
    if (c >= 'a' && c <= 'f')
        return (unsigned)(c - 'a') + 10;
    if (c >= 'A' && c <= 'F')
        return (unsigned)(c - 'A') + 10;
    return 16;
}

static inline bool shs__is_digit(char c)
{
    return c >= '0' && c <= '9';
}

static inline bool shs__is_blank(char c) /* OWS: SP or HTAB */
{
    return c == ' ' || c == '\t';
}

/* Without blanks and tabs at both ends: OWS, RFC 9110 section 5.6.3. */
static inline struct shs_str shs__trim(struct shs_str s)
{
    while (s.len > 0 && shs__is_blank(s.ptr[0])) {
        s.ptr++;
        s.len--;
    }
    while (s.len > 0 && shs__is_blank(s.ptr[s.len - 1]))
        s.len--;
    return s;
}

/* 0 to 65535, in at most five digits. */
static inline bool shs__read_port(struct shs_str text, unsigned *port)
{
    *port = 0;
    if (text.len == 0 || text.len > 5)
        return false;
    for (size_t i = 0; i < text.len; i++) {
        if (!shs__is_digit(text.ptr[i]))
            return false;
        *port = *port * 10 + (unsigned)(text.ptr[i] - '0');
    }
    return *port <= 65535;
}

#endif
