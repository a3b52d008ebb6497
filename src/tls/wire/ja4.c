#include "tls/wire/ja4.h"

#include <stdio.h>
#include <stdlib.h>

#include <shs/digest.h>

/* More than this is not a browser: such a hello has no fingerprint. */
#define SUITES_MAX 256u
#define EXTENSIONS_MAX 128u
#define SIGNATURES_MAX 64u

#define EXT_SERVER_NAME 0x0000
#define EXT_SIGNATURES 0x000d
#define EXT_ALPN 0x0010
#define EXT_VERSIONS 0x002b

/* A reader that stays failed once something was missing. */
struct reader {
    const unsigned char *at;
    size_t left;
    bool bad;
};

struct hello {
    uint16_t suites[SUITES_MAX], extensions[EXTENSIONS_MAX], signatures[SIGNATURES_MAX];
    size_t suite_count, extension_count, signature_count;
    uint16_t version;
    bool names_host;
    unsigned char alpn_first, alpn_last;
    bool has_alpn;
};

static struct reader take(struct reader *from, size_t len)
{
    struct reader part = {from->at, len, false};

    if (from->bad || len > from->left) {
        from->bad = true;
        return (struct reader){from->at, 0, true};
    }
    from->at += len;
    from->left -= len;
    return part;
}

static unsigned take8(struct reader *r)
{
    struct reader part = take(r, 1);

    return part.bad ? 0 : part.at[0];
}

static unsigned take16(struct reader *r)
{
    struct reader part = take(r, 2);

    return part.bad ? 0 : (unsigned)part.at[0] << 8 | part.at[1];
}

/* RFC 8701: 0x0a0a, 0x1a1a, ... 0xfafa. */
static bool is_grease(unsigned value)
{
    return (value & 0x0f0f) == 0x0a0a && value >> 8 == (value & 0xff);
}

/* A list of numbers without GREASE; false when there are too many. */
static bool read_list(struct reader *r, uint16_t *list, size_t max, size_t *count)
{
    while (r->left >= 2) {
        unsigned value = take16(r);

        if (is_grease(value))
            continue;
        if (*count == max)
            return false;
        list[(*count)++] = (uint16_t)value;
    }
    return !r->bad && r->left == 0;
}

static bool read_extension(struct hello *hello, unsigned type, struct reader body)
{
    struct reader list, name;

    switch (type) {
    case EXT_SERVER_NAME:
        hello->names_host = true;
        return true;
    case EXT_VERSIONS:
        list = take(&body, take8(&body));
        while (list.left >= 2) {
            unsigned version = take16(&list);

            if (!is_grease(version) && version > hello->version)
                hello->version = (uint16_t)version;
        }
        return !list.bad;
    case EXT_ALPN:
        list = take(&body, take16(&body));
        name = take(&list, take8(&list));
        if (name.bad)
            return false;
        if (name.left == 0)
            return true;
        hello->has_alpn = true;
        hello->alpn_first = name.at[0];
        hello->alpn_last = name.at[name.left - 1];
        return true;
    case EXT_SIGNATURES:
        list = take(&body, take16(&body));
        return read_list(&list, hello->signatures, SIGNATURES_MAX, &hello->signature_count);
    default:
        return true;
    }
}

static bool read_hello(struct hello *hello, struct reader r)
{
    struct reader part;
    unsigned legacy;

    (void)take(&r, 4);
    legacy = take16(&r);
    (void)take(&r, 32);
    (void)take(&r, take8(&r));
    part = take(&r, take16(&r));
    if (part.bad || !read_list(&part, hello->suites, SUITES_MAX, &hello->suite_count))
        return false;
    (void)take(&r, take8(&r));
    if (r.bad)
        return false;
    part = r.left == 0 ? r : take(&r, take16(&r));
    while (part.left > 0) {
        unsigned type = take16(&part);
        struct reader body = take(&part, take16(&part));

        if (body.bad || part.bad || !read_extension(hello, type, body))
            return false;
        if (is_grease(type))
            continue;
        if (hello->extension_count == EXTENSIONS_MAX)
            return false;
        hello->extensions[hello->extension_count++] = (uint16_t)type;
    }
    if (hello->version == 0)
        hello->version = (uint16_t)legacy;
    return !part.bad;
}

static int compare(const void *a, const void *b)
{
    return *(const uint16_t *)a - *(const uint16_t *)b;
}

/* "1301,1302" appended; `skip` leaves out the name and ALPN, which depend on the site. */
static void print_list(struct shs_buf *out, const uint16_t *list, size_t count, bool skip)
{
    const char *comma = "";

    for (size_t i = 0; i < count; i++) {
        if (skip && (list[i] == EXT_SERVER_NAME || list[i] == EXT_ALPN))
            continue;
        (void)shs__buf_printf(out, "%s%04x", comma, list[i]);
        comma = ",";
    }
}

static bool hash12(const struct shs_buf *text, char out[13])
{
    unsigned char digest[SHS_SHA256_LEN];
    struct shs_sha256 *sha;
    bool good;

    if (shs_sha256_new(&sha) != SHS_OK)
        return false;
    good = shs_sha256_update(sha, shs__buf_head(text), text->len) == SHS_OK &&
           shs_sha256_final(sha, digest) == SHS_OK;
    shs_sha256_free(sha);
    for (size_t i = 0; good && i < 6; i++)
        snprintf(out + 2 * i, 3, "%02x", digest[i]);
    return good;
}

static const char *version_text(unsigned version)
{
    switch (version) {
    case 0x0304:
        return "13";
    case 0x0303:
        return "12";
    case 0x0302:
        return "11";
    case 0x0301:
        return "10";
    case 0x0300:
        return "s3";
    default:
        return "00";
    }
}

static bool is_alnum(unsigned char c)
{
    return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
}

/* First and last letter of the first ALPN; of its hexadecimal form when one is not a letter. */
static void alpn_text(const struct hello *hello, char out[3])
{
    static const char hex[] = "0123456789abcdef";

    out[0] = out[1] = '0';
    out[2] = '\0';
    if (!hello->has_alpn)
        return;
    if (is_alnum(hello->alpn_first) && is_alnum(hello->alpn_last)) {
        out[0] = (char)hello->alpn_first;
        out[1] = (char)hello->alpn_last;
    } else {
        out[0] = hex[hello->alpn_first >> 4];
        out[1] = hex[hello->alpn_last & 15];
    }
}

static unsigned at_most_99(size_t n)
{
    return n > 99 ? 99 : (unsigned)n;
}

bool shs__ja4(const unsigned char *bytes, size_t len, char out[SHS_JA4_LEN + 1])
{
    char suites[13] = "000000000000", extensions[13] = "000000000000", alpn[3];
    struct hello hello = {.version = 0};
    char text[8 * (EXTENSIONS_MAX + SIGNATURES_MAX + SUITES_MAX)];
    struct shs_buf buf;
    bool good = true;

    if (len < 4 || bytes[0] != 1 || !read_hello(&hello, (struct reader){bytes, len, false}))
        return false;
    shs__buf_init(&buf, sizeof text);
    buf.data = text;
    buf.cap = sizeof text;
    qsort(hello.suites, hello.suite_count, sizeof hello.suites[0], compare);
    qsort(hello.extensions, hello.extension_count, sizeof hello.extensions[0], compare);
    alpn_text(&hello, alpn);
    if (hello.suite_count > 0) {
        print_list(&buf, hello.suites, hello.suite_count, false);
        good = hash12(&buf, suites);
    }
    buf.len = 0;
    if (hello.extension_count > 0) {
        print_list(&buf, hello.extensions, hello.extension_count, true);
        if (hello.signature_count > 0)
            (void)shs__buf_append(&buf, "_", 1);
        print_list(&buf, hello.signatures, hello.signature_count, false);
        good = good && hash12(&buf, extensions);
    }
    snprintf(out, SHS_JA4_LEN + 1, "t%s%c%02u%02u%s_%s_%s", version_text(hello.version),
             hello.names_host ? 'd' : 'i', at_most_99(hello.suite_count),
             at_most_99(hello.extension_count), alpn, suites, extensions);
    return good;
}
