#include "base/text.h"

#include "base/chars.h"

static const char hex_lower[] = "0123456789abcdef";
static const char hex_upper[] = "0123456789ABCDEF";

int shs_percent_decode(struct shs_str s, char *out, size_t cap, size_t *len)
{
    size_t written = 0;

    for (size_t i = 0; i < s.len; i++) {
        unsigned high, low;
        char c = s.ptr[i];

        if (c == '%') {
            if (s.len - i < 3)
                return SHS_PROTO;
            high = shs__hex_value(s.ptr[i + 1]);
            low = shs__hex_value(s.ptr[i + 2]);
            if (high > 15 || low > 15)
                return SHS_PROTO;
            c = (char)(high << 4 | low);
            i += 2;
        }
        if (c == '\0') /* would end a file name early */
            return SHS_PROTO;
        if (written == cap)
            return SHS_LIMIT;
        out[written++] = c;
    }
    *len = written;
    return SHS_OK;
}

/*
 * Appends s, each byte that has a replacement replaced. Runs without one are copied at once.
 * `replace` writes up to 8 bytes and returns their number, 0 for "leave it".
 */
typedef size_t replace_fn(unsigned char c, char out[8]);

static int append_replaced(struct shs_buf *out, struct shs_str s, replace_fn *replace)
{
    size_t run = 0;
    char text[8];

    for (size_t i = 0; i < s.len; i++) {
        size_t len = replace((unsigned char)s.ptr[i], text);
        int rc;

        if (len == 0)
            continue;
        rc = shs__buf_append(out, s.ptr + run, i - run);
        if (rc == SHS_OK)
            rc = shs__buf_append(out, text, len);
        if (rc != SHS_OK)
            return rc;
        run = i + 1;
    }
    return shs__buf_append(out, s.ptr + run, s.len - run);
}

static size_t put(char out[8], const char *text)
{
    size_t len = strlen(text);

    memcpy(out, text, len);
    return len;
}

static size_t replace_percent(unsigned char c, char out[8])
{
    if (shs__char_is((char)c, SHS_CHAR_SEGMENT))
        return 0;
    out[0] = '%';
    out[1] = hex_upper[c >> 4];
    out[2] = hex_upper[c & 15];
    return 3;
}

static size_t replace_html(unsigned char c, char out[8])
{
    switch (c) {
    case '&':
        return put(out, "&amp;");
    case '<':
        return put(out, "&lt;");
    case '>':
        return put(out, "&gt;");
    case '"':
        return put(out, "&quot;");
    case '\'':
        return put(out, "&#39;");
    default:
        return 0;
    }
}

static size_t replace_log(unsigned char c, char out[8])
{
    if (c == '\\')
        return put(out, "\\\\");
    if (c >= 0x20 && c < 0x7f)
        return 0;
    out[0] = '\\';
    out[1] = 'x';
    out[2] = hex_lower[c >> 4];
    out[3] = hex_lower[c & 15];
    return 4;
}

static size_t put_json_hex(unsigned char c, char out[8])
{
    size_t len = put(out, "\\u00");

    out[len++] = hex_lower[c >> 4];
    out[len++] = hex_lower[c & 15];
    return len;
}

static size_t replace_json(unsigned char c, char out[8])
{
    switch (c) {
    case '"':
        return put(out, "\\\"");
    case '\\':
        return put(out, "\\\\");
    case '\n':
        return put(out, "\\n");
    case '\r':
        return put(out, "\\r");
    case '\t':
        return put(out, "\\t");
    default:
        return c < 0x20 || c >= 0x7f ? put_json_hex(c, out) : 0;
    }
}

/* The Unicode Standard, table 3-7. */
size_t shs__utf8_length(struct shs_str s, size_t pos)
{
    const unsigned char *p = (const unsigned char *)s.ptr + pos;
    unsigned char low = 0x80, high = 0xbf; /* of the second byte */
    size_t len;

    if (p[0] < 0x80)
        return 1;
    if (p[0] < 0xc2 || p[0] > 0xf4)
        return 0;
    len = p[0] < 0xe0 ? 2 : p[0] < 0xf0 ? 3 : 4;
    if (s.len - pos < len)
        return 0;
    if (p[0] == 0xe0)
        low = 0xa0; /* else overlong */
    if (p[0] == 0xed)
        high = 0x9f; /* else a surrogate */
    if (p[0] == 0xf0)
        low = 0x90;
    if (p[0] == 0xf4)
        high = 0x8f; /* else beyond U+10FFFF */
    if (p[1] < low || p[1] > high)
        return 0;
    for (size_t i = 2; i < len; i++) {
        if ((p[i] & 0xc0) != 0x80)
            return 0;
    }
    return len;
}

bool shs__is_utf8(struct shs_str s)
{
    size_t at = 0, len = 1;

    while (at < s.len && (len = shs__utf8_length(s, at)) > 0)
        at += len;
    return len > 0;
}

bool shs__utf8_turns(struct shs_str s, size_t pos)
{
    const unsigned char *p = (const unsigned char *)s.ptr + pos;
    size_t len = shs__utf8_length(s, pos);

    if (len == 2)
        return p[0] == 0xd8 && p[1] == 0x9c;
    if (len != 3 || p[0] != 0xe2)
        return false;
    return (p[1] == 0x80 && (p[2] == 0x8e || p[2] == 0x8f || (p[2] >= 0xa8 && p[2] <= 0xae))) ||
           (p[1] == 0x81 && p[2] >= 0xa6 && p[2] <= 0xa9);
}

/* The length of a sequence that can stand in a line as it is; 0: it is to be escaped. */
static size_t plain_sequence(struct shs_str s, size_t pos)
{
    size_t len = shs__utf8_length(s, pos);
    bool control = len == 2 && (unsigned char)s.ptr[pos] == 0xc2 && /* U+0080 to U+009f */
                   (unsigned char)s.ptr[pos + 1] < 0xa0;

    return len <= 1 || control || shs__utf8_turns(s, pos) ? 0 : len;
}

/* \uXXXX: those sequences are below U+FFFF. */
static int append_code(struct shs_buf *out, struct shs_str s, size_t pos, size_t len)
{
    const unsigned char *p = (const unsigned char *)s.ptr + pos;
    unsigned code = len == 2 ? (p[0] & 0x1fu) << 6 | (p[1] & 0x3fu)
                             : (p[0] & 0x0fu) << 12 | (p[1] & 0x3fu) << 6 | (p[2] & 0x3fu);

    return shs__buf_printf(out, "\\u%04x", code);
}

/* The same byte eight times. */
#define BYTES(c) (0x0101010101010101U * (c))

/* Is there another byte than printable ASCII without quote and backslash in these eight? Bit 7 of
   one of them is set then; what a byte borrows from the next makes no difference to that. */
static bool has_odd(uint64_t eight)
{
    uint64_t quote = eight ^ BYTES('"'), backslash = eight ^ BYTES('\\'), del = eight ^ BYTES(0x7f);
    uint64_t found = (eight - BYTES(0x20)) | (quote - BYTES(1)) | (backslash - BYTES(1)) |
                     (del - BYTES(1)) | eight;

    return (found & BYTES(0x80)) != 0;
}

static bool is_odd(char c)
{
    return (unsigned char)(c - 0x20) >= 0x7f - 0x20 || c == '"' || c == '\\';
}

size_t shs__plain_length(struct shs_str s)
{
    uint64_t eight;
    size_t pos = 0;

    for (; s.len - pos >= sizeof eight; pos += sizeof eight) {
        memcpy(&eight, s.ptr + pos, sizeof eight);
        if (has_odd(eight))
            return pos;
    }
    if (pos > 0 && pos < s.len) { /* the rest with some of what was looked at */
        memcpy(&eight, s.ptr + s.len - sizeof eight, sizeof eight);
        return has_odd(eight) ? pos : s.len;
    }
    while (pos < s.len && !is_odd(s.ptr[pos]))
        pos++;
    return pos;
}

int shs__json_escape(struct shs_buf *out, struct shs_str s)
{
    size_t pos = shs__plain_length(s);
    int rc = shs__buf_append(out, s.ptr, pos);

    if (rc != SHS_OK)
        return rc;
    while (pos < s.len) {
        size_t start = pos, len;

        /* As much of one kind as there is: either ASCII and broken bytes, or whole sequences. */
        while (pos < s.len && (len = shs__utf8_length(s, pos)) <= 1)
            pos++;
        rc = append_replaced(out, (struct shs_str){s.ptr + start, pos - start}, replace_json);
        if (rc != SHS_OK)
            return rc;
        start = pos;
        while (pos < s.len && (len = plain_sequence(s, pos)) > 0)
            pos += len;
        rc = shs__buf_append(out, s.ptr + start, pos - start);
        if (rc == SHS_OK && pos < s.len && (len = shs__utf8_length(s, pos)) > 1) {
            rc = append_code(out, s, pos, len);
            pos += len;
        }
        if (rc != SHS_OK)
            return rc;
    }
    return SHS_OK;
}

int shs__percent_encode(struct shs_buf *out, struct shs_str s)
{
    return append_replaced(out, s, replace_percent);
}

int shs__html_escape(struct shs_buf *out, struct shs_str s)
{
    return append_replaced(out, s, replace_html);
}

/* What is not text becomes \\xNN, byte by byte: control characters, also U+0080 to U+009f, which a
   terminal obeys, what turns text, and broken sequences. */
int shs__log_escape(struct shs_buf *out, struct shs_str s)
{
    size_t pos = shs__plain_length(s);
    int rc = shs__buf_append(out, s.ptr, pos);

    if (rc != SHS_OK)
        return rc;
    while (pos < s.len) {
        size_t start = pos, len;

        while (pos < s.len && plain_sequence(s, pos) == 0)
            pos += (len = shs__utf8_length(s, pos)) > 1 ? len : 1;
        rc = append_replaced(out, (struct shs_str){s.ptr + start, pos - start}, replace_log);
        if (rc != SHS_OK)
            return rc;
        start = pos;
        while (pos < s.len && (len = plain_sequence(s, pos)) > 0)
            pos += len;
        rc = shs__buf_append(out, s.ptr + start, pos - start);
        if (rc != SHS_OK)
            return rc;
    }
    return SHS_OK;
}

size_t shs__utf8_cut(struct shs_str s, size_t max)
{
    size_t start = max;

    if (s.len <= max)
        return s.len;
    while (start > 0 && max - start < 3 && ((unsigned char)s.ptr[start] & 0xc0) == 0x80)
        start--;
    return shs__utf8_length(s, start) > max - start && ((unsigned char)s.ptr[max] & 0xc0) == 0x80
               ? start
               : max;
}

size_t shs__utf8_trim(struct shs_str s)
{
    for (size_t back = 1; back <= 3 && back <= s.len; back++) {
        unsigned char c = (unsigned char)s.ptr[s.len - back];
        size_t len = c >= 0xf0 ? 4 : c >= 0xe0 ? 3 : c >= 0xc2 ? 2 : 1;

        if ((c & 0xc0) != 0x80)
            return len > back ? s.len - back : s.len;
    }
    return s.len;
}

/* -- the same into a caller's memory ----------------------------------------------------------- */

typedef int append_fn(struct shs_buf *out, struct shs_str s);

/* A buffer that is as large as its ceiling neither grows nor is freed. */
static int into(append_fn *append, struct shs_str s, char *out, size_t cap, size_t *len)
{
    struct shs_buf buf = {.data = out, .cap = cap, .ceiling = cap};
    int rc = append(&buf, s);

    if (rc == SHS_OK)
        *len = buf.len;
    return rc;
}

int shs_percent_encode(struct shs_str s, char *out, size_t cap, size_t *len)
{
    return into(shs__percent_encode, s, out, cap, len);
}

int shs_html_escape(struct shs_str s, char *out, size_t cap, size_t *len)
{
    return into(shs__html_escape, s, out, cap, len);
}

int shs_json_escape(struct shs_str s, char *out, size_t cap, size_t *len)
{
    return into(shs__json_escape, s, out, cap, len);
}

int shs_log_escape(struct shs_str s, char *out, size_t cap, size_t *len)
{
    return into(shs__log_escape, s, out, cap, len);
}

size_t shs__extension_length(struct shs_str s)
{
    size_t dot = s.len;

    while (dot > 1 && s.ptr[dot - 1] != '.')
        dot--;
    if (dot < 2 || s.len - dot > SHS_EXTENSION_MAX)
        return 0;
    if (dot > 5 && shs__str_eq_nocase((struct shs_str){s.ptr + dot - 5, 4}, SHS_STR(".tar")))
        dot -= 4;
    return s.len - (dot - 1);
}

static bool is_dots(struct shs_str s)
{
    return (s.len == 1 && s.ptr[0] == '.') || (s.len == 2 && s.ptr[0] == '.' && s.ptr[1] == '.');
}

bool shs__segment_has_dots(struct shs_str s)
{
    size_t from = 0;

    for (size_t i = 0; i <= s.len; i++) {
        if (i < s.len && s.ptr[i] != '/')
            continue;
        if (is_dots((struct shs_str){s.ptr + from, i - from}))
            return true;
        from = i + 1;
    }
    return false;
}

static bool is_spiffe_word(struct shs_str s, bool domain)
{
    for (size_t i = 0; i < s.len; i++) {
        unsigned char c = (unsigned char)s.ptr[i];

        if (!((c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
              c == '.' || c == '-' || c == '_'))
            return false;
    }
    return s.len > 0 && (domain || !is_dots(s));
}

bool shs__is_spiffe(struct shs_str uri)
{
    static const char scheme[] = "spiffe://";
    struct shs_str head = {uri.ptr, sizeof scheme - 1};

    return uri.len >= head.len && shs_str_eq_nocase(head, SHS_STR(scheme));
}

bool shs__spiffe_is_good(struct shs_str id, bool pattern)
{
    size_t from = sizeof "spiffe://" - 1;
    bool domain = true;

    for (size_t i = from; i <= id.len; i++) {
        struct shs_str word = {id.ptr + from, i - from};

        if (i < id.len && id.ptr[i] != '/')
            continue;
        if (!is_spiffe_word(word, domain) &&
            !(pattern && (shs_str_is(word, "*") || shs_str_is(word, "**"))))
            return false;
        domain = false;
        from = i + 1;
    }
    return true;
}
