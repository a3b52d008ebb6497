#include "tls/config/tickets.h"

#include <pthread.h>
#include <stdatomic.h>

#include <openssl/core_names.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/kdf.h>
#include <openssl/rand.h>

#include "tls/config/identity.h"
#include "tls/openssl.h"

#define SECRET_LEN 64 /* what is kept of a secret, by HKDF-Extract's own hash or as it is */
#define IV_LEN 16
#define CACHED 8 /* two secrets, three epochs, and two of the epoch that has just gone */
#define ANCHOR_VERSION 3

struct cached_key {
    bool used;
    unsigned secret; /* its generation */
    int64_t epoch;
    struct shs_tls_ticket_key key;
};

struct shs_tls_tickets {
    _Atomic unsigned refs;
    unsigned epoch_s;
    EVP_KDF *hkdf;
    EVP_CIPHER *aes;
    pthread_mutex_t lock;                 /* guards what follows; held for a search and a copy */
    unsigned char secrets[2][SECRET_LEN]; /* now and before */
    bool had_before;
    unsigned generation;
    struct cached_key cache[CACHED];
    unsigned next;
};

int shs__tls_tickets_new(struct shs_tls_tickets **out, unsigned epoch_s)
{
    struct shs_tls_tickets *self = shs__openssl_ready() ? shs__calloc(1, sizeof *self) : NULL;

    if (self == NULL)
        return SHS_NOMEM;
    atomic_init(&self->refs, 1);
    pthread_mutex_init(&self->lock, NULL);
    self->epoch_s = epoch_s;
    self->hkdf = EVP_KDF_fetch(NULL, "HKDF", NULL);
    self->aes = EVP_CIPHER_fetch(NULL, "AES-256-CBC", NULL);
    if (self->hkdf == NULL || self->aes == NULL ||
        RAND_priv_bytes(self->secrets[0], SECRET_LEN) != 1) {
        bool was_nomem = ERR_peek_error() == 0 || shs__tls_was_nomem();

        ERR_clear_error();
        shs__tls_tickets_free(self);
        return was_nomem ? SHS_NOMEM : SHS_TLS;
    }
    *out = self;
    return SHS_OK;
}

const char *shs__tls_tickets_trouble(int rc)
{
    return rc == SHS_NOMEM ? "Out of memory while setting up TLS."
                           : "OpenSSL could not be set up for TLS: it has no HKDF, no AES or no "
                             "random numbers. Look at its configuration (openssl.cnf).";
}

struct shs_tls_tickets *shs__tls_tickets_ref(struct shs_tls_tickets *self)
{
    atomic_fetch_add_explicit(&self->refs, 1, memory_order_relaxed);
    return self;
}

void shs__tls_tickets_free(struct shs_tls_tickets *self)
{
    if (self == NULL || atomic_fetch_sub_explicit(&self->refs, 1, memory_order_acq_rel) != 1)
        return;
    EVP_KDF_free(self->hkdf);
    EVP_CIPHER_free(self->aes);
    pthread_mutex_destroy(&self->lock);
    OPENSSL_cleanse(self, sizeof *self);
    shs__free(self);
}

static bool hkdf(const struct shs_tls_tickets *self, const void *secret, size_t secret_len,
                 const void *info, size_t info_len, unsigned char *out, size_t len)
{
    EVP_KDF_CTX *ctx = EVP_KDF_CTX_new(self->hkdf);
    char digest[] = "SHA256";
    union {
        const void *in;
        void *param;
    } key = {.in = secret}, text = {.in = info};
    OSSL_PARAM params[] = {
        OSSL_PARAM_construct_utf8_string(OSSL_KDF_PARAM_DIGEST, digest, 0),
        OSSL_PARAM_construct_octet_string(OSSL_KDF_PARAM_KEY, key.param, secret_len),
        OSSL_PARAM_construct_octet_string(OSSL_KDF_PARAM_INFO, text.param, info_len),
        OSSL_PARAM_construct_end(),
    };
    bool good = ctx != NULL && EVP_KDF_derive(ctx, out, len, params) == 1;

    EVP_KDF_CTX_free(ctx);
    if (!good)
        ERR_clear_error();
    return good;
}

int shs__tls_tickets_set_secret(struct shs_tls_tickets *self, const void *secret, size_t len)
{
    static const char info[] = "shs ticket secret";
    unsigned char fixed[SECRET_LEN];
    bool other;

    /* Of one length whatever the file has; HKDF mixes all of it in. */
    if (!hkdf(self, secret, len, info, sizeof info - 1, fixed, sizeof fixed))
        return SHS_NOMEM;
    pthread_mutex_lock(&self->lock);
    other = CRYPTO_memcmp(fixed, self->secrets[0], SECRET_LEN) != 0;
    if (other) {
        memcpy(self->secrets[1], self->secrets[0], SECRET_LEN);
        memcpy(self->secrets[0], fixed, SECRET_LEN);
        self->had_before = true;
        self->generation++;
    }
    pthread_mutex_unlock(&self->lock);
    OPENSSL_cleanse(fixed, sizeof fixed);
    return other ? 1 : 0;
}

/* Under the lock. `which`: 0 the secret of now, 1 the one before. */
static const struct shs_tls_ticket_key *key_of(struct shs_tls_tickets *self, unsigned which,
                                               int64_t epoch)
{
    unsigned char info[16] = {'s', 'h', 's', ' ', 'e', 'p', 'o', 'c'}, bytes[80];
    unsigned secret = self->generation - which;
    struct cached_key *cached;
    size_t i;

    for (i = 0; i < CACHED; i++) {
        cached = &self->cache[i];
        if (cached->used && cached->secret == secret && cached->epoch == epoch)
            return &cached->key;
    }
    for (i = 0; i < 8; i++)
        info[8 + i] = (unsigned char)((uint64_t)epoch >> (56 - 8 * i));
    if (!hkdf(self, self->secrets[which], SECRET_LEN, info, sizeof info, bytes, sizeof bytes))
        return NULL;
    cached = &self->cache[self->next++ % CACHED];
    cached->used = true;
    cached->secret = secret;
    cached->epoch = epoch;
    memcpy(cached->key.name, bytes, 16);
    memcpy(cached->key.aes, bytes + 16, 32);
    memcpy(cached->key.mac, bytes + 48, 32);
    OPENSSL_cleanse(bytes, sizeof bytes);
    return &cached->key;
}

bool shs__tls_tickets_seal(struct shs_tls_tickets *self, int64_t now,
                           struct shs_tls_ticket_key *key)
{
    const struct shs_tls_ticket_key *found;

    pthread_mutex_lock(&self->lock);
    found = key_of(self, 0, now / (int64_t)self->epoch_s);
    if (found != NULL)
        *key = *found;
    pthread_mutex_unlock(&self->lock);
    return found != NULL;
}

bool shs__tls_tickets_open(struct shs_tls_tickets *self, int64_t now, const unsigned char name[16],
                           struct shs_tls_ticket_key *key, bool *renew)
{
    static const int around[] = {0, -1, 1};
    int64_t epoch = now / (int64_t)self->epoch_s;
    const struct shs_tls_ticket_key *found = NULL;
    unsigned which;
    size_t i;

    pthread_mutex_lock(&self->lock);
    for (which = 0; found == NULL && which < (self->had_before ? 2u : 1u); which++) {
        for (i = 0; found == NULL && i < SHS_ARRAY_LEN(around); i++) {
            const struct shs_tls_ticket_key *k = key_of(self, which, epoch + around[i]);

            if (k == NULL || memcmp(k->name, name, sizeof k->name) != 0)
                continue;
            found = k;
            *key = *k;
            *renew = which != 0 || around[i] != 0;
        }
    }
    pthread_mutex_unlock(&self->lock);
    return found != NULL;
}

int shs__tls_ticket_crypt(struct shs_tls_tickets *self, int64_t now, unsigned char *name,
                          unsigned char *iv, EVP_CIPHER_CTX *cipher, EVP_MAC_CTX *mac, int enc)
{
    struct shs_tls_ticket_key key;
    char digest[] = "SHA256";
    OSSL_PARAM params[] = {
        OSSL_PARAM_construct_octet_string(OSSL_MAC_PARAM_KEY, key.mac, sizeof key.mac),
        OSSL_PARAM_construct_utf8_string(OSSL_MAC_PARAM_DIGEST, digest, 0),
        OSSL_PARAM_construct_end(),
    };
    bool renew = false, good;

    if (enc != 0) {
        good = shs__tls_tickets_seal(self, now, &key) && RAND_bytes(iv, IV_LEN) == 1;
        if (good)
            memcpy(name, key.name, sizeof key.name);
        good = good && EVP_EncryptInit_ex2(cipher, self->aes, key.aes, iv, NULL) == 1;
    } else {
        if (!shs__tls_tickets_open(self, now, name, &key, &renew))
            return 0; /* not one of ours, or too old: a full handshake */
        good = EVP_DecryptInit_ex2(cipher, self->aes, key.aes, iv, NULL) == 1;
    }
    good = good && EVP_MAC_CTX_set_params(mac, params) == 1;
    OPENSSL_cleanse(&key, sizeof key);
    if (!good)
        return enc != 0 ? 0 : -1; /* no ticket; or OpenSSL is broken */
    return renew ? 2 : 1;
}

/* -- the anchor -------------------------------------------------------------------------------- */

static void put64(unsigned char *at, int64_t value)
{
    for (int i = 0; i < 8; i++)
        at[i] = (unsigned char)((uint64_t)value >> (56 - 8 * i));
}

static int64_t get64(const unsigned char *at)
{
    uint64_t value = 0;

    for (int i = 0; i < 8; i++)
        value = value << 8 | at[i];
    return (int64_t)value;
}

size_t shs__tls_anchor_write(const struct shs_tls_anchor *anchor,
                             unsigned char bytes[SHS_TLS_ANCHOR_MAX])
{
    size_t keys = anchor->cas.count * SHS_CLIENT_KEY_LEN;

    bytes[0] = ANCHOR_VERSION;
    put64(bytes + 1, anchor->began);
    put64(bytes + 9, anchor->chain_not_after);
    put64(bytes + 17, anchor->crls_until);
    bytes[25] = anchor->verified;
    memcpy(bytes + 26, anchor->scope, SHS_TLS_SCOPE_LEN);
    memcpy(bytes + SHS_TLS_ANCHOR_LEN, anchor->cas.at, keys);
    return SHS_TLS_ANCHOR_LEN + keys;
}

bool shs__tls_anchor_read(struct shs_tls_anchor *anchor, const unsigned char *bytes, size_t len)
{
    size_t keys = len < SHS_TLS_ANCHOR_LEN ? 0 : len - SHS_TLS_ANCHOR_LEN;

    if (len < SHS_TLS_ANCHOR_LEN || keys % SHS_CLIENT_KEY_LEN != 0 ||
        keys > sizeof anchor->cas.at || bytes[0] != ANCHOR_VERSION)
        return false;
    anchor->began = get64(bytes + 1);
    anchor->chain_not_after = get64(bytes + 9);
    anchor->crls_until = get64(bytes + 17);
    anchor->verified = bytes[25] != 0;
    memcpy(anchor->scope, bytes + 26, SHS_TLS_SCOPE_LEN);
    anchor->cas.count = keys / SHS_CLIENT_KEY_LEN;
    memcpy(anchor->cas.at, bytes + SHS_TLS_ANCHOR_LEN, keys);
    return true;
}
