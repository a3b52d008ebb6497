#include "server/proxy_header.h"

#include <arpa/inet.h>
#include <stddef.h>

#include "base/chars.h"

static const char v1_first[] = "PROXY ";
static const char v2_first[] = "\r\n\r\n\0\r\nQUIT\n";
#define V1_FIRST (sizeof v1_first - 1)
#define V2_FIRST (sizeof v2_first - 1)

/* Of the 13th byte of version 2, and of the 14th. */
#define V2_VERSION 2u
#define V2_LOCAL 0u
#define V2_PROXY 1u
#define V2_INET 1u
#define V2_INET6 2u
#define V2_UNIX 3u

enum tlv_type {
    TLV_ALPN = 0x01,
    TLV_AUTHORITY = 0x02,
    TLV_CRC32C = 0x03,
    TLV_UNIQUE_ID = 0x05,
    TLV_SSL = 0x20,
    TLV_SSL_VERSION = 0x21,
    TLV_SSL_CN = 0x22,
    TLV_SSL_CIPHER = 0x23,
    TLV_SSL_SIG_ALG = 0x24,
    TLV_SSL_KEY_ALG = 0x25,
    TLV_SSL_CLIENT_CERT = 0x28,
    TLV_NETNS = 0x30
};
#define TLV_HEAD 3u
#define UNIQUE_ID_MAX 128u
#define AUTHORITY_MAX 255u
#define SSL_FIXED 5u /* its bits, and what the verification gave */
#define SSL_WITH_TLS 0x01u
#define SSL_CERT_CONN 0x02u
#define SSL_CERT_SESSION 0x04u

static unsigned byte_at(const char *bytes, size_t i)
{
    return (unsigned char)bytes[i];
}

static size_t two_at(const char *bytes, size_t i)
{
    return (size_t)byte_at(bytes, i) << 8 | byte_at(bytes, i + 1);
}

static uint32_t four_at(const char *bytes, size_t i)
{
    return (uint32_t)two_at(bytes, i) << 16 | (uint32_t)two_at(bytes, i + 2);
}

uint32_t shs__crc32c(const char *bytes, size_t len, size_t hole)
{
    uint32_t crc = 0xffffffffu;

    for (size_t i = 0; i < len; i++) {
        crc ^= i - hole < 4 ? 0 : byte_at(bytes, i);
        for (int bit = 0; bit < 8; bit++)
            crc = crc >> 1 ^ (0x82f63b78u & (0u - (crc & 1)));
    }
    return ~crc;
}

/* -- where it ends ----------------------------------------------------------------------------- */

static bool begins(const char *bytes, size_t have, const char *first, size_t len)
{
    return memcmp(bytes, first, have < len ? have : len) == 0;
}

enum shs__proxy_look shs__proxy_look_first(const char *bytes, size_t have)
{
    bool v1 = begins(bytes, have, v1_first, V1_FIRST);

    if (!v1 && !begins(bytes, have, v2_first, V2_FIRST))
        return SHS__PROXY_BAD;
    return have >= (v1 ? V1_FIRST : V2_FIRST) ? SHS__PROXY_WHOLE : SHS__PROXY_PART;
}

static enum shs__proxy_look bad(enum shs_proxy_cause *to, enum shs_proxy_cause cause)
{
    *to = cause;
    return SHS__PROXY_BAD;
}

static enum shs__proxy_look look_v1(const char *bytes, size_t have, size_t *len,
                                    enum shs_proxy_cause *cause)
{
    size_t seen = have < SHS_PROXY_V1_MAX ? have : SHS_PROXY_V1_MAX;
    const char *lf = memchr(bytes, '\n', seen);

    if (lf != NULL) {
        *len = (size_t)(lf - bytes) + 1;
        return lf[-1] == '\r' ? SHS__PROXY_WHOLE : bad(cause, SHS_PROXY_MALFORMED);
    }
    if (have >= SHS_PROXY_V1_MAX)
        return bad(cause, SHS_PROXY_TOO_LONG);
    *len = SHS_PROXY_V1_MAX;
    return SHS__PROXY_PART;
}

static enum shs__proxy_look look_v2(const char *bytes, size_t have, size_t max, size_t *len,
                                    enum shs_proxy_cause *cause)
{
    *len = SHS_PROXY_V2_FIXED;
    if (have > 12 &&
        (byte_at(bytes, 12) >> 4 != V2_VERSION || (byte_at(bytes, 12) & 15) > V2_PROXY))
        return bad(cause, SHS_PROXY_MALFORMED);
    if (have < SHS_PROXY_V2_FIXED)
        return SHS__PROXY_PART;
    *len = SHS_PROXY_V2_FIXED + two_at(bytes, 14);
    if (*len > max)
        return bad(cause, SHS_PROXY_TOO_LONG);
    return have < *len ? SHS__PROXY_PART : SHS__PROXY_WHOLE;
}

enum shs__proxy_look shs__proxy_look(const char *bytes, size_t have, size_t max, size_t *len,
                                     enum shs_proxy_cause *cause)
{
    switch (shs__proxy_look_first(bytes, have)) {
    case SHS__PROXY_BAD:
        return bad(cause, SHS_PROXY_MISSING);
    case SHS__PROXY_PART:
        *len = SHS_PROXY_V2_FIXED;
        return SHS__PROXY_PART;
    case SHS__PROXY_WHOLE:
        break;
    }
    return bytes[0] == 'P' ? look_v1(bytes, have, len, cause)
                           : look_v2(bytes, have, max, len, cause);
}

/* -- version 1 --------------------------------------------------------------------------------- */

/* Up to the next blank, or the end; *line goes behind it. ptr NULL: nothing is left. */
static struct shs_str next_word(struct shs_str *line)
{
    const char *blank;
    struct shs_str word = *line;

    if (line->ptr == NULL)
        return word;
    blank = memchr(line->ptr, ' ', line->len);
    if (blank == NULL) {
        *line = (struct shs_str){NULL, 0};
        return word;
    }
    word.len = (size_t)(blank - word.ptr);
    line->ptr = blank + 1;
    line->len -= word.len + 1;
    return word;
}

static bool read_port(struct shs_str text, in_port_t *out)
{
    unsigned port;

    if ((text.len > 1 && text.ptr[0] == '0') || !shs__read_port(text, &port))
        return false;
    *out = htons((uint16_t)port);
    return true;
}

static bool read_host(struct shs_str text, int family, void *out)
{
    char copy[INET6_ADDRSTRLEN];

    if (text.ptr == NULL || text.len >= sizeof copy || memchr(text.ptr, '\0', text.len) != NULL)
        return false;
    memcpy(copy, text.ptr, text.len);
    copy[text.len] = '\0';
    return inet_pton(family, copy, out) == 1;
}

static void set_inet(union shs__proxy_address *address, socklen_t *len, const void *host,
                     in_port_t port)
{
    memset(address, 0, sizeof *address);
    address->in.sin_family = AF_INET;
    memcpy(&address->in.sin_addr, host, sizeof address->in.sin_addr);
    address->in.sin_port = port;
    *len = sizeof address->in;
}

static void set_inet6(union shs__proxy_address *address, socklen_t *len, const void *host,
                      in_port_t port)
{
    memset(address, 0, sizeof *address);
    address->in6.sin6_family = AF_INET6;
    memcpy(&address->in6.sin6_addr, host, sizeof address->in6.sin6_addr);
    address->in6.sin6_port = port;
    *len = sizeof address->in6;
}

static const char *parse_v1(const char *bytes, size_t len, struct shs__proxy_header *out)
{
    struct shs_str line = {bytes + V1_FIRST, len - V1_FIRST - 2}, word = next_word(&line);
    unsigned char from[16], to[16];
    in_port_t from_port, to_port;
    int family;

    out->info.version = 1;
    if (shs__str_eq(word, SHS_STR("UNKNOWN"))) { /* and whatever follows */
        out->info.local = true;
        return NULL;
    }
    if (!shs__str_eq(word, SHS_STR("TCP4")) && !shs__str_eq(word, SHS_STR("TCP6")))
        return "its protocol is not TCP4, TCP6 or UNKNOWN";
    family = word.ptr[3] == '4' ? AF_INET : AF_INET6;
    if (!read_host(next_word(&line), family, from) || !read_host(next_word(&line), family, to))
        return "an address in it is not an IP address of its protocol";
    if (!read_port(next_word(&line), &from_port) || !read_port(next_word(&line), &to_port))
        return "a port in it is not a number from 0 to 65535";
    if (line.ptr != NULL)
        return "there is something after its ports";
    if (family == AF_INET) {
        set_inet(&out->from, &out->from_len, from, from_port);
        set_inet(&out->to, &out->to_len, to, to_port);
    } else {
        set_inet6(&out->from, &out->from_len, from, from_port);
        set_inet6(&out->to, &out->to_len, to, to_port);
    }
    return NULL;
}

/* -- version 2 --------------------------------------------------------------------------------- */

struct tlv {
    unsigned type;
    struct shs_str value;
};

/* The next one; false: nothing is left, or with *whole false less than one. */
static bool next_tlv(struct shs_str *left, struct tlv *out, bool *whole)
{
    size_t len;

    *whole = left->len == 0;
    if (left->len < TLV_HEAD)
        return false;
    len = two_at(left->ptr, 1);
    if (len > left->len - TLV_HEAD)
        return false;
    *whole = true;
    out->type = byte_at(left->ptr, 0);
    out->value = (struct shs_str){left->ptr + TLV_HEAD, len};
    left->ptr += TLV_HEAD + len;
    left->len -= TLV_HEAD + len;
    return true;
}

struct shs_str shs_proxy_tlv(const struct shs_proxy_info *info, unsigned type)
{
    struct shs_str left = info->tlvs;
    struct tlv tlv;
    bool whole;

    while (next_tlv(&left, &tlv, &whole)) {
        if (tlv.type == type)
            return tlv.value;
    }
    return (struct shs_str){NULL, 0};
}

/* A type that says who somebody is must not be there twice: which one counts? */
static const char *set_once(struct shs_str *to, struct shs_str value)
{
    if (to->ptr != NULL)
        return "one of its types is there twice";
    *to = value;
    return NULL;
}

static struct shs_str *place_of_ssl(struct shs_proxy_info *info, unsigned type)
{
    switch (type) {
    case TLV_SSL_VERSION:
        return &info->tls_version;
    case TLV_SSL_CN:
        return &info->common_name;
    case TLV_SSL_CIPHER:
        return &info->cipher;
    case TLV_SSL_SIG_ALG:
        return &info->signature;
    case TLV_SSL_KEY_ALG:
        return &info->key;
    case TLV_SSL_CLIENT_CERT:
        return &info->client_cert;
    default:
        return NULL;
    }
}

static const char *parse_ssl(struct shs_str value, struct shs_proxy_info *info)
{
    struct shs_str left, *to;
    const char *wrong = NULL;
    struct tlv tlv;
    unsigned bits;
    bool whole = true;

    if (value.len < SSL_FIXED)
        return "its SSL type is too short";
    left = (struct shs_str){value.ptr + SSL_FIXED, value.len - SSL_FIXED};
    bits = byte_at(value.ptr, 0);
    info->tls = (bits & SSL_WITH_TLS) != 0;
    info->has_cert = info->tls && (bits & (SSL_CERT_CONN | SSL_CERT_SESSION)) != 0;
    info->cert_verified = info->has_cert && four_at(value.ptr, 1) == 0;
    while (wrong == NULL && next_tlv(&left, &tlv, &whole)) {
        to = place_of_ssl(info, tlv.type);
        if (to != NULL)
            wrong = set_once(to, tlv.value);
    }
    return wrong == NULL && !whole ? "a type within its SSL type is longer than that" : wrong;
}

/* A host name, as in SNI: what of it ends in logs must not be able to forge a line. */
static bool is_authority(struct shs_str value)
{
    for (size_t i = 0; i < value.len; i++) {
        if (byte_at(value.ptr, i) <= ' ' || byte_at(value.ptr, i) == 0x7f)
            return false;
    }
    return value.len > 0 && value.len <= AUTHORITY_MAX;
}

static const char *take_tlv(const struct tlv *tlv, struct shs_proxy_info *info, struct shs_str *crc,
                            bool *has_ssl)
{
    switch (tlv->type) {
    case TLV_ALPN:
        return set_once(&info->alpn, tlv->value);
    case TLV_AUTHORITY:
        if (!is_authority(tlv->value))
            return "its AUTHORITY is not the name of a host";
        return set_once(&info->authority, tlv->value);
    case TLV_UNIQUE_ID:
        if (tlv->value.len > UNIQUE_ID_MAX)
            return "its UNIQUE_ID is longer than 128 bytes";
        return set_once(&info->unique_id, tlv->value);
    case TLV_NETNS:
        return set_once(&info->netns, tlv->value);
    case TLV_CRC32C:
        if (tlv->value.len != 4)
            return "its CRC32C is not 4 bytes long";
        return set_once(crc, tlv->value);
    case TLV_SSL:
        if (*has_ssl)
            return "one of its types is there twice";
        *has_ssl = true;
        return parse_ssl(tlv->value, info);
    default:
        return NULL;
    }
}

static const char *parse_tlvs(struct shs_str header, struct shs_str tlvs,
                              struct shs_proxy_info *info, enum shs_proxy_cause *cause)
{
    struct shs_str left = tlvs, crc = {NULL, 0};
    const char *wrong = NULL;
    struct tlv tlv;
    bool whole, has_ssl = false;

    info->tlvs = tlvs;
    while (wrong == NULL && next_tlv(&left, &tlv, &whole))
        wrong = take_tlv(&tlv, info, &crc, &has_ssl);
    if (wrong != NULL)
        return wrong;
    if (!whole)
        return "a type in it is longer than the header";
    if (crc.ptr == NULL ||
        four_at(crc.ptr, 0) == shs__crc32c(header.ptr, header.len, (size_t)(crc.ptr - header.ptr)))
        return NULL;
    *cause = SHS_PROXY_CHECKSUM;
    return "its CRC32C is wrong: it was changed on its way";
}

/* A path ends at its first NUL, or fills its place; an abstract name begins with one, and the NULs
   behind it are its filling. */
static void set_unix(union shs__proxy_address *address, socklen_t *len, const char *path)
{
    size_t used = sizeof address->un.sun_path;

    memset(address, 0, sizeof *address);
    address->un.sun_family = AF_UNIX;
    memcpy(address->un.sun_path, path, used);
    if (path[0] != '\0')
        used = strnlen(path, used);
    else
        while (used > 0 && path[used - 1] == '\0')
            used--;
    *len = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + used);
}

static const char *parse_v2(const char *bytes, size_t len, struct shs__proxy_header *out,
                            enum shs_proxy_cause *cause)
{
    static const size_t sizes[] = {0, 12, 36, 216};
    const char *at = bytes + SHS_PROXY_V2_FIXED;
    size_t left = len - SHS_PROXY_V2_FIXED;
    unsigned family = byte_at(bytes, 13) >> 4, transport = byte_at(bytes, 13) & 15;
    in_port_t ports[2];

    out->info.version = 2;
    if ((byte_at(bytes, 12) & 15) == V2_LOCAL) {
        out->info.local = true;
        return NULL;
    }
    if (family > V2_UNIX || transport > 2)
        return "its family or transport is unknown";
    if (family == 0 || transport == 0) {
        out->info.local = true;
        return NULL;
    }
    if (left < sizes[family])
        return "it is shorter than its addresses";
    if (family == V2_UNIX) {
        set_unix(&out->from, &out->from_len, at);
        set_unix(&out->to, &out->to_len, at + 108);
    } else {
        size_t host = family == V2_INET ? 4 : 16;

        memcpy(ports, at + 2 * host, sizeof ports);
        if (family == V2_INET) {
            set_inet(&out->from, &out->from_len, at, ports[0]);
            set_inet(&out->to, &out->to_len, at + host, ports[1]);
        } else {
            set_inet6(&out->from, &out->from_len, at, ports[0]);
            set_inet6(&out->to, &out->to_len, at + host, ports[1]);
        }
    }
    return parse_tlvs((struct shs_str){bytes, len},
                      (struct shs_str){at + sizes[family], left - sizes[family]}, &out->info,
                      cause);
}

const char *shs__proxy_parse(const char *bytes, size_t len, struct shs__proxy_header *out,
                             enum shs_proxy_cause *cause)
{
    memset(out, 0, sizeof *out);
    *cause = SHS_PROXY_MALFORMED;
    return bytes[0] == 'P' ? parse_v1(bytes, len, out) : parse_v2(bytes, len, out, cause);
}
