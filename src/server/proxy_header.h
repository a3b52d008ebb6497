/*
 * proxy_header.h - a header of the PROXY protocol, as bytes: where it ends, and what it says.
 *
 * Nothing here reads from a connection or allocates. Follows haproxy's proxy-protocol.txt.
 */
#ifndef SHS_PROXY_HEADER_H
#define SHS_PROXY_HEADER_H

#include <netinet/in.h>
#include <sys/un.h>

#include <shs/proxy.h>

#include "base/base.h"

#define SHS_PROXY_V1_MAX 107u /* with its CRLF */
#define SHS_PROXY_V2_FIXED 16u
#define SHS_PROXY_FIRST_MAX 12u /* what tells a header from anything else */

union shs__proxy_address {
    struct sockaddr sa;
    struct sockaddr_in in;
    struct sockaddr_in6 in6;
    struct sockaddr_un un;
};

struct shs__proxy_header {
    /* of no family when info.local */
    union shs__proxy_address from, to;
    socklen_t from_len, to_len;
    struct shs_proxy_info info; /* without `host` and `port`, `to_host` and `to_port` */
};

enum shs__proxy_look {
    SHS__PROXY_PART,  /* all of it belongs to a header, and more has to come */
    SHS__PROXY_WHOLE, /* the header is there */
    SHS__PROXY_BAD    /* it is none, or cannot become one that is taken */
};

/*
 * Is that the beginning of a header?
 *
 *   max    bytes of a version 2 header at most
 *   len    WHOLE: its length, at most `have`. PART: how long it is at least, more than `have`
 *   cause  BAD: MISSING, MALFORMED or TOO_LONG
 */
enum shs__proxy_look shs__proxy_look(const char *bytes, size_t have, size_t max, size_t *len,
                                     enum shs_proxy_cause *cause);

/* The same for the signature alone: PART, WHOLE or BAD. */
enum shs__proxy_look shs__proxy_look_first(const char *bytes, size_t have);

/*
 * What a whole header says. The views in *out are of `bytes`.
 *
 * Returns NULL; or what is wrong with it, as "its X is Y", with *cause: MALFORMED or CHECKSUM.
 */
const char *shs__proxy_parse(const char *bytes, size_t len, struct shs__proxy_header *out,
                             enum shs_proxy_cause *cause);

/* CRC32C (Castagnoli) of `len` bytes, with four of them at `hole` taken as zeros. */
uint32_t shs__crc32c(const char *bytes, size_t len, size_t hole);

#endif
