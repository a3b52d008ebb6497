/*
 * refusal.h - what a client whose certificate is not accepted is told: JSON that says why.
 */
#ifndef SHS_TLS_REFUSAL_H
#define SHS_TLS_REFUSAL_H

#include "tls/wire/stream.h"

/* All of it: 32 names, each of at most 256 bytes before it is escaped, and the rest. */
#define SHS_TLS_REFUSAL_JSON_MAX ((size_t)32 * 1024)

/*
 * Appends the JSON for a stream with a client_reason: {"error", "reason", "verify_code", "depth",
 * "subject", "issuer", "not_after", "expected_cas"}. SHS_OK, SHS_LIMIT or SHS_NOMEM.
 */
int shs__tls_refusal_json(struct shs_buf *out, const struct shs_tls_stream *tls);

#endif
