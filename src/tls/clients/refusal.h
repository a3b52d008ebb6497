/*
 * refusal.h - the answer to a client whose certificate is not accepted: 403, and JSON that says
 * why.
 */
#ifndef SHS_TLS_REFUSAL_H
#define SHS_TLS_REFUSAL_H

#include "tls/wire/stream.h"

/*
 * Appends the whole HTTP answer for a stream with a client_reason: {"error", "reason",
 * "verify_code", "depth", "subject", "issuer", "not_after", "expected_cas"}. `head_only`: without
 * its body. SHS_OK, SHS_LIMIT or SHS_NOMEM.
 */
int shs__tls_refusal_answer(struct shs_buf *out, const struct shs_tls_stream *tls, bool head_only);

#endif
