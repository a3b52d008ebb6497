#include "handler/path.h"

#include "base/chars.h"

/* The next byte of the path, decoded; how many bytes it took, or 0 when it is malformed. */
static size_t next_byte(struct shs_str path, size_t at, char *out)
{
    unsigned high, low;

    if (path.ptr[at] != '%') {
        *out = path.ptr[at];
        return 1;
    }
    if (path.len - at < 3)
        return 0;
    high = shs__hex_value(path.ptr[at + 1]);
    low = shs__hex_value(path.ptr[at + 2]);
    if (high > 15 || low > 15)
        return 0;
    *out = (char)(high * 16 + low);
    return 3;
}

/*
 * A segment is complete: out->name[start .. out->len). Drops "" and ".", lets ".." take the one
 * before with it, and keeps the rest. False for a hidden one.
 */
static bool end_segment(struct shs_clean_path *out, size_t start)
{
    const char *segment = out->name + start;
    size_t len = out->len - start;

    if (len == 0)
        return true;
    if (segment[0] != '.' || (start == 0 && len == 11 && memcmp(segment, ".well-known", 11) == 0)) {
        out->name[out->len++] = '/';
        return true;
    }
    if (len == 1) {
        out->len = start;
        return true;
    }
    if (len != 2 || segment[1] != '.')
        return false;
    if (start > 0)
        start--; /* the "/" behind the segment that goes */
    while (start > 0 && out->name[start - 1] != '/')
        start--;
    out->len = start;
    return true;
}

enum shs_path_verdict shs__path_clean(struct shs_str path, struct shs_clean_path *out)
{
    size_t at = 0, start = 0, used;
    char byte;

    out->len = 0;
    out->slash = false;
    while (at < path.len && path.ptr[at] != '#' && path.ptr[at] != '?') {
        used = next_byte(path, at, &byte);
        if (used == 0)
            return SHS_PATH_MALFORMED;
        if (byte == '\0')
            return SHS_PATH_NOT_FOUND;
        at += used;
        if (byte == '/' && used == 3 && at < path.len)
            return SHS_PATH_NOT_FOUND;
        out->slash = byte == '/';
        if (byte != '/') {
            /* Room for this byte, the "/" of end_segment and the NUL. */
            if (out->len + 3 > sizeof out->name)
                return SHS_PATH_NOT_FOUND;
            out->name[out->len++] = byte;
            continue;
        }
        if (!end_segment(out, start))
            return SHS_PATH_NOT_FOUND;
        start = out->len;
    }
    if (!end_segment(out, start))
        return SHS_PATH_NOT_FOUND;
    if (out->len > 0)
        out->len--; /* the last "/": out->slash remembers whether it was there */
    out->name[out->len] = '\0';
    return SHS_PATH_OK;
}

/* RFC 3986: unreserved, reserved and "%" are what a URI is made of. */
static bool is_uri_byte(unsigned char c)
{
    if (c <= 0x20 || c >= 0x7f)
        return false;
    return strchr("\"<>\\^`{|}", c) == NULL;
}

static int append_uri(struct shs_buf *out, struct shs_str s)
{
    int rc;

    for (size_t i = 0; i < s.len; i++) {
        unsigned char c = (unsigned char)s.ptr[i];

        rc =
            is_uri_byte(c) ? shs__buf_append(out, &s.ptr[i], 1) : shs__buf_printf(out, "%%%02X", c);
        if (rc != SHS_OK)
            return rc;
    }
    return SHS_OK;
}

/* "http://host" of an absolute target; empty for "/path". */
static struct shs_str origin_of(struct shs_str target)
{
    struct shs_str origin = {target.ptr, 0};
    const char *colon, *end;

    if (target.len == 0 || target.ptr[0] == '/')
        return origin;
    colon = memchr(target.ptr, ':', target.len);
    if (colon == NULL || (size_t)(target.ptr + target.len - colon) < 3 ||
        memcmp(colon, "://", 3) != 0)
        return origin;
    for (end = colon + 3; end < target.ptr + target.len; end++) {
        if (*end == '/' || *end == '?')
            break;
    }
    origin.len = (size_t)(end - target.ptr);
    return origin;
}

int shs__path_redirect(struct shs_buf *out, struct shs_str target, struct shs_str path,
                       struct shs_str query)
{
    int rc = append_uri(out, origin_of(target));

    while (path.len > 1 && path.ptr[0] == '/' && path.ptr[1] == '/') {
        path.ptr++;
        path.len--;
    }
    if (rc == SHS_OK && (path.len == 0 || path.ptr[0] != '/'))
        rc = shs__buf_append(out, "/", 1);
    if (rc == SHS_OK)
        rc = append_uri(out, path);
    if (rc == SHS_OK && path.len > 0)
        rc = shs__buf_append(out, "/", 1);
    if (rc == SHS_OK && query.ptr != NULL) {
        rc = shs__buf_append(out, "?", 1);
        if (rc == SHS_OK)
            rc = shs__buf_append_str(out, query);
    }
    return rc;
}
