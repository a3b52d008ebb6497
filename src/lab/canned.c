/* canned.c - bytes that are the same for everybody. */
#include "lab/talk.h"

/*
 * A ServerHello (RFC 5246 7.4.1.3) in a record: version, random, no session id, suite, compression.
 * Clients refuse it for what it chooses before they look at what would come next.
 */
#define RANDOM_8 "\x73\x68\x73\x20\x6c\x61\x62\x2e"
#define SERVER_HELLO(version, suite, compression)                                                  \
    "\x16" version "\x00\x2a\x02\x00\x00\x26" version RANDOM_8 RANDOM_8 RANDOM_8 RANDOM_8          \
    "\x00" suite compression

static const char ssl3[] = SERVER_HELLO("\x03\x00", "\x00\x2f", "\x00");
static const char rc4[] = SERVER_HELLO("\x03\x03", "\x00\x05", "\x00");
static const char export_rsa[] = SERVER_HELLO("\x03\x03", "\x00\x03", "\x00");
/* With a suite that every client of TLS 1.2 offers: only the compression is wrong. */
static const char deflate[] = SERVER_HELLO("\x03\x03", "\xc0\x2f", "\x01");
static const char http[] = "HTTP/1.1 400 Bad Request\r\nContent-Type: text/plain\r\n"
                           "Content-Length: 27\r\nConnection: close\r\n\r\n"
                           "This port speaks HTTP only\n";
static const char ssh[] = "SSH-2.0-OpenSSH_9.2p1 Debian-2+deb12u3\r\n";
static const char oversized[] = "\x16\x03\x03\xff\xff\x02\x00\xff\xfb\x03\x03" RANDOM_8 RANDOM_8;

#define TEXT(array) ((struct shs_str){(array), sizeof(array) - 1})

struct shs_str shs__lab_canned(enum shs__lab_canned which)
{
    switch (which) {
    case LAB_CANNED_SSL3:
        return TEXT(ssl3);
    case LAB_CANNED_RC4:
        return TEXT(rc4);
    case LAB_CANNED_EXPORT:
        return TEXT(export_rsa);
    case LAB_CANNED_DEFLATE:
        return TEXT(deflate);
    case LAB_CANNED_HTTP:
        return TEXT(http);
    case LAB_CANNED_SSH:
        return TEXT(ssh);
    case LAB_CANNED_OVERSIZED:
        return TEXT(oversized);
    }
    return TEXT(ssh);
}
