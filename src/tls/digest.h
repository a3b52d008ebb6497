/*
 * digest.h - SHA-256, piece by piece, for rooms that may not include OpenSSL.
 */
#ifndef SHS_TLS_DIGEST_H
#define SHS_TLS_DIGEST_H

#include "base/base.h"

#define SHS_SHA256_LEN 32

struct shs_sha256;

/* A new one in *out: SHS_OK or SHS_NOMEM. Safe from any thread; each used by one at a time. */
int shs__sha256_init(struct shs_sha256 **out);
int shs__sha256_update(struct shs_sha256 *self, const void *bytes, size_t len);
/* Writes the digest and starts anew, for another one. Both: SHS_OK, or SHS_TLS (OpenSSL failed). */
int shs__sha256_final(struct shs_sha256 *self, unsigned char out[SHS_SHA256_LEN]);
void shs__sha256_free(struct shs_sha256 *self);

#endif
