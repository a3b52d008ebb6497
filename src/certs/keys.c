#include "certs/keys.h"

#include <stdlib.h>

#include <openssl/bn.h>
#include <openssl/core_names.h>
#include <openssl/ec.h>
#include <openssl/err.h>
#include <openssl/param_build.h>
#include <openssl/rsa.h>

#include "certs/words.h"

#define RSA_MIN_BITS 512ul
#define RSA_MAX_BITS 16384ul
#define DSA_BITS 2048u

static EVP_PKEY *generate(EVP_PKEY_CTX *ctx)
{
    EVP_PKEY *key = NULL;

    if (ctx != NULL && EVP_PKEY_generate(ctx, &key) != 1)
        key = NULL;
    EVP_PKEY_CTX_free(ctx);
    return key;
}

/* With the curve by name, or spelled out in parameters, which nobody should accept. */
static EVP_PKEY *ec_key(OSSL_LIB_CTX *lib, const char *curve, bool spelled_out)
{
    EVP_PKEY_CTX *ctx = EVP_PKEY_CTX_new_from_name(lib, "EC", NULL);
    OSSL_PARAM params[3];

    params[0] = OSSL_PARAM_construct_utf8_string(OSSL_PKEY_PARAM_GROUP_NAME, (char *)curve, 0);
    params[1] = OSSL_PARAM_construct_utf8_string(
        OSSL_PKEY_PARAM_EC_ENCODING,
        (char *)(spelled_out ? OSSL_PKEY_EC_ENCODING_EXPLICIT : OSSL_PKEY_EC_ENCODING_GROUP), 0);
    params[2] = OSSL_PARAM_construct_end();
    if (ctx == NULL || EVP_PKEY_keygen_init(ctx) != 1 ||
        EVP_PKEY_CTX_set_params(ctx, params) != 1) {
        EVP_PKEY_CTX_free(ctx);
        return NULL;
    }
    return generate(ctx);
}

/* OpenSSL asks between one candidate for a prime and the next. */
static int goes_on(EVP_PKEY_CTX *ctx)
{
    const atomic_bool *stop = EVP_PKEY_CTX_get_app_data(ctx);

    return !atomic_load(stop);
}

/* `stop` may be NULL. */
static EVP_PKEY *rsa_key(OSSL_LIB_CTX *lib, const char *type, unsigned long bits,
                         unsigned long exponent, int primes, atomic_bool *stop)
{
    EVP_PKEY_CTX *ctx = EVP_PKEY_CTX_new_from_name(lib, type, NULL);
    BIGNUM *e = BN_new();
    EVP_PKEY *key = NULL;

    if (ctx != NULL && e != NULL && BN_set_word(e, exponent) == 1 &&
        EVP_PKEY_keygen_init(ctx) == 1 && EVP_PKEY_CTX_set_rsa_keygen_bits(ctx, (int)bits) == 1 &&
        EVP_PKEY_CTX_set1_rsa_keygen_pubexp(ctx, e) == 1 &&
        (primes == 2 || EVP_PKEY_CTX_set_rsa_keygen_primes(ctx, primes) == 1)) {
        if (stop != NULL) {
            EVP_PKEY_CTX_set_app_data(ctx, stop);
            EVP_PKEY_CTX_set_cb(ctx, goes_on);
        }
        key = generate(ctx);
        ctx = NULL;
    }
    EVP_PKEY_CTX_free(ctx);
    BN_free(e);
    return key;
}

static EVP_PKEY *dsa_key(OSSL_LIB_CTX *lib)
{
    EVP_PKEY_CTX *ctx = EVP_PKEY_CTX_new_from_name(lib, "DSA", NULL);
    unsigned bits = DSA_BITS;
    OSSL_PARAM params[2];
    EVP_PKEY *domain = NULL, *key = NULL;

    params[0] = OSSL_PARAM_construct_uint(OSSL_PKEY_PARAM_FFC_PBITS, &bits);
    params[1] = OSSL_PARAM_construct_end();
    if (ctx == NULL || EVP_PKEY_paramgen_init(ctx) != 1 ||
        EVP_PKEY_CTX_set_params(ctx, params) != 1) {
        EVP_PKEY_CTX_free(ctx);
        return NULL;
    }
    domain = generate(ctx);
    ctx = domain == NULL ? NULL : EVP_PKEY_CTX_new_from_pkey(lib, domain, NULL);
    if (ctx != NULL && EVP_PKEY_keygen_init(ctx) == 1)
        key = generate(ctx);
    else
        EVP_PKEY_CTX_free(ctx);
    EVP_PKEY_free(domain);
    return key;
}

static const struct {
    const char *word, *curve;
} curves[] = {{"p256", "P-256"},
              {"p384", "P-384"},
              {"p521", "P-521"},
              {"p224", "P-224"},
              {"p192", "P-192"},
              {"secp256k1", "secp256k1"},
              {"brainpool256", "brainpoolP256r1"}};

/* The size in "rsa2048"; 0: it is none. */
static unsigned long rsa_bits(const char *word)
{
    unsigned long bits;

    if (strncmp(word, "rsa", 3) != 0 || word[3] < '1' || word[3] > '9' || strlen(word) > 8 ||
        word[3 + strspn(word + 3, "0123456789")] != '\0')
        return 0;
    bits = strtoul(word + 3, NULL, 10);
    return bits < RSA_MIN_BITS || bits > RSA_MAX_BITS ? 0 : bits;
}

int shs__key_quick(EVP_PKEY **out, OSSL_LIB_CTX *lib, const char *word, atomic_bool *stop,
                   struct shs_error *err)
{
    unsigned long bits = rsa_bits(word);
    EVP_PKEY *key;

    if (atomic_load(stop))
        return shs_error_set(err, SHS_STOPPED, 0,
                             "A private key was not made: its lab is stopping.");
    if (bits < 3072)
        return shs__key_word(out, lib, word, err);
    ERR_clear_error();
    key = rsa_key(lib, "RSA", bits, RSA_F4,
                  bits < 4096   ? 3
                  : bits < 8192 ? 4
                                : 5, /* OpenSSL's largest numbers */
                  stop);
    if (key == NULL && atomic_load(stop)) {
        ERR_clear_error();
        return shs_error_set(err, SHS_STOPPED, 0,
                             "A private key was not made: its lab is stopping.");
    }
    if (key == NULL)
        return shs__certs_fail(err, "Making a private key");
    *out = key;
    return SHS_OK;
}

int shs__key_word(EVP_PKEY **out, OSSL_LIB_CTX *lib, const char *word, struct shs_error *err)
{
    EVP_PKEY *key = NULL;
    unsigned long bits;
    bool known = true;

    ERR_clear_error();
    if (word == NULL)
        word = "p256";
    bits = rsa_bits(word);
    if (bits > 0)
        key = rsa_key(lib, "RSA", bits, RSA_F4, 2, NULL);
    else if (strcmp(word, "rsa-e3") == 0)
        key = rsa_key(lib, "RSA", 2048, RSA_3, 2, NULL);
    else if (strcmp(word, "rsa-pss") == 0)
        key = rsa_key(lib, "RSA-PSS", 2048, RSA_F4, 2, NULL);
    else if (strcmp(word, "p256-explicit") == 0)
        key = ec_key(lib, "P-256", true);
    else if (strcmp(word, "ed25519") == 0)
        key = EVP_PKEY_Q_keygen(lib, NULL, "ED25519");
    else if (strcmp(word, "ed448") == 0)
        key = EVP_PKEY_Q_keygen(lib, NULL, "ED448");
    else if (strcmp(word, "dsa") == 0)
        key = dsa_key(lib);
    else
        known = false;
    for (size_t i = 0; i < SHS_ARRAY_LEN(curves) && !known; i++) {
        if (strcmp(word, curves[i].word) == 0) {
            known = true;
            key = ec_key(lib, curves[i].curve, false);
        }
    }
    if (!known)
        return shs_error_set(
            err, SHS_USAGE, 0,
            "'%s' is not a kind of key. Use one of: p256 p384 p521 p224 p192 secp256k1 "
            "brainpool256 p256-explicit ed25519 ed448 rsa512 ... rsa16384 rsa-e3 "
            "rsa-pss dsa.",
            word);
    if (key == NULL)
        return shs__certs_fail(err, "Making a private key");
    *out = key;
    return SHS_OK;
}

int shs__key_like(EVP_PKEY **out, OSSL_LIB_CTX *lib, EVP_PKEY *key, struct shs_error *err)
{
    EVP_PKEY_CTX *ctx = EVP_PKEY_CTX_new_from_pkey(lib, key, NULL);
    EVP_PKEY *made = NULL;

    if (ctx != NULL && EVP_PKEY_keygen_init(ctx) == 1)
        made = generate(ctx);
    else
        EVP_PKEY_CTX_free(ctx);
    if (made == NULL)
        return shs__certs_fail(err, "Making a private key");
    *out = made;
    return SHS_OK;
}

int shs__key_foreign(EVP_PKEY **out, OSSL_LIB_CTX *lib, EVP_PKEY *key, struct shs_error *err)
{
    unsigned char point[256];
    char group[64];
    size_t point_len = 0, group_len = 0;
    OSSL_PARAM_BLD *build = OSSL_PARAM_BLD_new();
    OSSL_PARAM *params = NULL;
    EVP_PKEY *other = NULL, *made = NULL;
    EVP_PKEY_CTX *ctx = NULL;
    BIGNUM *secret = NULL;

    if (build != NULL &&
        EVP_PKEY_get_utf8_string_param(key, OSSL_PKEY_PARAM_GROUP_NAME, group, sizeof group,
                                       &group_len) == 1 &&
        EVP_PKEY_get_octet_string_param(key, OSSL_PKEY_PARAM_PUB_KEY, point, sizeof point,
                                        &point_len) == 1 &&
        (other = ec_key(lib, group, false)) != NULL &&
        EVP_PKEY_get_bn_param(other, OSSL_PKEY_PARAM_PRIV_KEY, &secret) == 1 &&
        OSSL_PARAM_BLD_push_utf8_string(build, OSSL_PKEY_PARAM_GROUP_NAME, group, 0) == 1 &&
        OSSL_PARAM_BLD_push_octet_string(build, OSSL_PKEY_PARAM_PUB_KEY, point, point_len) == 1 &&
        OSSL_PARAM_BLD_push_BN(build, OSSL_PKEY_PARAM_PRIV_KEY, secret) == 1)
        params = OSSL_PARAM_BLD_to_param(build);
    ctx = params == NULL ? NULL : EVP_PKEY_CTX_new_from_name(lib, "EC", NULL);
    if (ctx != NULL && EVP_PKEY_fromdata_init(ctx) == 1)
        (void)EVP_PKEY_fromdata(ctx, &made, EVP_PKEY_KEYPAIR, params);
    EVP_PKEY_CTX_free(ctx);
    OSSL_PARAM_free(params);
    OSSL_PARAM_BLD_free(build);
    EVP_PKEY_free(other);
    BN_clear_free(secret);
    if (made == NULL)
        return shs__certs_fail(err, "Making a key that does not match");
    *out = made;
    return SHS_OK;
}
