/*
 * plain.h - the answer to a client that speaks plain HTTP to a TLS port.
 */
#ifndef SHS_TLS_PLAIN_H
#define SHS_TLS_PLAIN_H

#include "base/base.h"

/*
 * Replaces the beginning of the client's request in *text by a whole 400 answer, which names the
 * URL to use when there was a Host field in it. SHS_OK, SHS_LIMIT or SHS_NOMEM.
 */
int shs__tls_plain_answer(struct shs_buf *text);

#endif
