#include <shs/digest.h>

#include <openssl/err.h>
#include <openssl/evp.h>

#include "base/base.h"
#include "tls/openssl.h"

/* Fetched once an instance, not looked up in every digest as EVP_sha256() would be: an instance is
   meant to be used again. */
struct shs_sha256 {
    EVP_MD *md;
    EVP_MD_CTX *ctx;
};

int shs_sha256_new(struct shs_sha256 **out)
{
    struct shs_sha256 *self = shs__openssl_ready() ? shs__calloc(1, sizeof *self) : NULL;

    if (self == NULL)
        return SHS_NOMEM;
    self->md = EVP_MD_fetch(NULL, "SHA256", NULL);
    self->ctx = EVP_MD_CTX_new();
    if (self->md == NULL || self->ctx == NULL ||
        EVP_DigestInit_ex2(self->ctx, self->md, NULL) != 1) {
        ERR_clear_error();
        shs_sha256_free(self);
        return SHS_NOMEM;
    }
    *out = self;
    return SHS_OK;
}

int shs_sha256_update(struct shs_sha256 *self, const void *bytes, size_t len)
{
    return EVP_DigestUpdate(self->ctx, bytes, len) == 1 ? SHS_OK : SHS_TLS;
}

int shs_sha256_final(struct shs_sha256 *self, unsigned char out[SHS_SHA256_LEN])
{
    unsigned len = 0;

    if (EVP_DigestFinal_ex(self->ctx, out, &len) != 1 || len != SHS_SHA256_LEN ||
        EVP_DigestInit_ex2(self->ctx, self->md, NULL) != 1)
        return SHS_TLS;
    return SHS_OK;
}

void shs_sha256_free(struct shs_sha256 *self)
{
    if (self == NULL)
        return;
    EVP_MD_CTX_free(self->ctx);
    EVP_MD_free(self->md);
    shs__free(self);
}

bool shs_equal_secret(const void *a, const void *b, size_t len)
{
    const volatile unsigned char *x = a, *y = b;
    unsigned char difference = 0;

    for (size_t i = 0; i < len; i++)
        difference = (unsigned char)(difference | (x[i] ^ y[i]));
    return difference == 0;
}
