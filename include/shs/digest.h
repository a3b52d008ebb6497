/*
 * shs/digest.h - SHA-256, and comparing what must not be guessed.
 *
 * For names of contents (an ETag), and for tokens that are compared by their digest. Passwords need
 * a slow hash instead: shs_basic_auth_new.
 */
#ifndef SHS_DIGEST_H
#define SHS_DIGEST_H

#include <stdbool.h>
#include <stddef.h>

#include <shs/error.h>

#ifdef __cplusplus
extern "C" {
#endif

#define SHS_SHA256_LEN 32

struct shs_sha256;

/* A new one in *out: 0 or SHS_NOMEM. Safe from any thread; each used by one at a time. */
SHS_API int shs_sha256_new(struct shs_sha256 **out) SHS_MUST_CHECK;
SHS_API int shs_sha256_update(struct shs_sha256 *self, const void *bytes,
                              size_t len) SHS_MUST_CHECK;
/* Writes the digest and starts again, for another one. Both: 0, or SHS_TLS (OpenSSL failed). */
SHS_API int shs_sha256_final(struct shs_sha256 *self,
                             unsigned char out[SHS_SHA256_LEN]) SHS_MUST_CHECK;
SHS_API void shs_sha256_free(struct shs_sha256 *self); /* NULL is fine */

/* Equal, in a time that does not tell where they differ. Safe from any thread. */
SHS_API bool shs_equal_secret(const void *a, const void *b, size_t len);

#ifdef __cplusplus
}
#endif

#endif
