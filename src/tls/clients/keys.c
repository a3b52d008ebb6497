#include "tls/clients/keys.h"

#include <stdio.h>

#include <openssl/err.h>
#include <openssl/x509.h>

#include "base/chars.h"
#include "tls/clients/client.h"
#include "tls/config/pem.h"
#include "tls/config/source.h"

#define FILE_MAX ((size_t)4 * 1024 * 1024)

bool shs__client_key_digest(X509 *cert, unsigned char out[SHS_CLIENT_KEY_LEN])
{
    unsigned char digest[EVP_MAX_MD_SIZE], *spki = NULL;
    unsigned len = 0;
    int spki_len = i2d_X509_PUBKEY(X509_get_X509_PUBKEY(cert), &spki);
    bool good = spki_len > 0 &&
                EVP_Digest(spki, (size_t)spki_len, digest, &len, EVP_sha256(), NULL) == 1 &&
                len == SHS_CLIENT_KEY_LEN;

    if (good)
        memcpy(out, digest, SHS_CLIENT_KEY_LEN);
    else
        ERR_clear_error();
    OPENSSL_free(spki);
    return good;
}

static void read_key(const char text[65], unsigned char out[SHS_CLIENT_KEY_LEN])
{
    for (size_t i = 0; i < SHS_CLIENT_KEY_LEN; i++)
        out[i] =
            (unsigned char)(shs__hex_value(text[2 * i]) << 4 | shs__hex_value(text[2 * i + 1]));
}

void shs__client_keys_in(const struct shs_client_identity *identity, struct shs_client_keys *out)
{
    out->count = identity->ca_count;
    for (size_t i = 0; i < out->count; i++)
        read_key(identity->ca_spki_sha256[i], out->at[i]);
}

bool shs__client_keys_of(struct shs_client_keys *out, STACK_OF(X509) * chain)
{
    out->count = 0;
    for (int i = 1; i < sk_X509_num(chain) && out->count < SHS_CLIENT_CAS_MAX; i++) {
        if (!shs__client_key_digest(sk_X509_value(chain, i), out->at[out->count++]))
            return false;
    }
    return true;
}

static int tell(X509 *cert, shs_tls_key_fn *each, void *ctx, struct shs_error *err)
{
    unsigned char key[SHS_CLIENT_KEY_LEN];
    char text[2 * SHS_CLIENT_KEY_LEN + 1];

    if (!shs__client_key_digest(cert, key))
        return shs_error_set(err, SHS_NOMEM, 0, "Out of memory for the keys of CAs.");
    for (size_t i = 0; i < sizeof key; i++)
        snprintf(text + 2 * i, 3, "%02x", key[i]);
    return each(ctx, text);
}

static int read_blocks(const struct shs_buf *bytes, const char *name, shs_tls_key_fn *each,
                       void *ctx, size_t *count, struct shs_error *err)
{
    struct shs_tls_pem_block block;
    struct shs_tls_pem pem;
    int rc = SHS_OK;

    shs__tls_pem_begin(&pem, shs__buf_head(bytes), bytes->len, name);
    while (rc == SHS_OK && (rc = shs__tls_pem_next(&pem, &block, err)) == SHS_OK) {
        X509 *cert = NULL;

        if (shs__tls_pem_is_certificate(&block)) {
            rc = shs__tls_pem_certificate(&cert, &pem, &block, err);
            if (rc == SHS_OK)
                rc = tell(cert, each, ctx, err);
            X509_free(cert);
            ++*count;
        }
        shs__tls_pem_drop(&block);
    }
    return rc == SHS_CLOSED ? SHS_OK : rc;
}

static int read_der(const struct shs_buf *bytes, shs_tls_key_fn *each, void *ctx, size_t *count,
                    struct shs_error *err)
{
    const unsigned char *at = (const unsigned char *)shs__buf_head(bytes);
    X509 *cert = d2i_X509(NULL, &at, (long)bytes->len);
    int rc = SHS_OK;

    if (cert != NULL) {
        rc = tell(cert, each, ctx, err);
        ++*count;
    }
    X509_free(cert);
    return rc;
}

int shs__tls_file_keys(const char *file, shs_tls_key_fn *each, void *ctx, struct shs_error *err)
{
    char named[sizeof(struct shs_tls_path_name) + 32];
    struct shs_tls_path_name name;
    struct shs_buf bytes;
    size_t count = 0;
    int rc;

    shs__tls_path_name(&name, file);
    snprintf(named, sizeof named, "the CA file %s", name.text);
    rc = shs__tls_read_file(&bytes, file, FILE_MAX, "CA", err);
    if (rc == SHS_OK && bytes.len > 0)
        rc = shs__tls_is_der(&bytes) ? read_der(&bytes, each, ctx, &count, err)
                                     : read_blocks(&bytes, named, each, ctx, &count, err);
    shs__buf_free(&bytes);
    ERR_clear_error();
    if (rc == SHS_OK && count == 0)
        rc = shs_error_set(err, SHS_TLS, 0, "there is no certificate in %s.", named);
    return rc;
}
