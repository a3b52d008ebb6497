/*
 * plain.h - a client that speaks without TLS to a port that expects it: what it says goes past TLS.
 */
#ifndef SHS_TLS_PLAIN_H
#define SHS_TLS_PLAIN_H

#include "tls/wire/stream.h"

/*
 * A stream over `tls`, whose handshake found that the client speaks none: it reads what was seen so
 * far, then the stream below TLS, and writes to that. Takes the bytes. SHS_OK or SHS_NOMEM.
 */
int shs__tls_plain_stream_new(struct shs_stream **out, struct shs_tls_stream *tls);

#endif
