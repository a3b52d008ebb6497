/*
 * ja4.h - JA4, the fingerprint of a TLS client, from its ClientHello.
 *
 * "t13d1516h2_8daaf6152771_02713d6af862": protocol, version, whether it names a host, how many
 * suites and extensions, first ALPN; a hash of the suites; a hash of extensions and signatures.
 *
 * Follows: FoxIO's JA4 technical specification.
 */
#ifndef SHS_TLS_JA4_H
#define SHS_TLS_JA4_H

#include "base/base.h"

#define SHS_JA4_LEN 36

/*
 * `hello` is a whole handshake message of type ClientHello, with its four bytes of header. False
 * when it is malformed.
 */
bool shs__ja4(const unsigned char *hello, size_t len, char out[SHS_JA4_LEN + 1]);

#endif
