#include "tls/clients/verified.h"

#include <pthread.h>

#include <openssl/err.h>
#include <openssl/evp.h>

#include "tls/clients/clients.h"
#include "tls/clients/keys.h"
#include "tls/config/ocsp.h"

/* 64 KiB for each host that asks for certificates, and 32 bytes for each CA of a chain in it; who
   comes later takes a place over. */
#define PLACES 1024
/* Who comes with more is verified from scratch. */
#define OTHERS_MAX 15

struct place {
    unsigned char key[SHS_TLS_VERIFIED_KEY];
    int64_t since, until, crls_until;
    unsigned char (*cas)[SHS_CLIENT_KEY_LEN];
    size_t ca_count;
};

struct shs_tls_verified {
    pthread_mutex_t lock; /* held for a comparison or a copy */
    struct place places[PLACES];
};

struct shs_tls_verified *shs__tls_verified_new(void)
{
    struct shs_tls_verified *self = shs__calloc(1, sizeof *self);

    if (self != NULL)
        pthread_mutex_init(&self->lock, NULL);
    return self;
}

void shs__tls_verified_free(struct shs_tls_verified *self)
{
    if (self == NULL)
        return;
    pthread_mutex_destroy(&self->lock);
    for (size_t i = 0; i < PLACES; i++)
        shs__free(self->places[i].cas);
    shs__free(self);
}

static bool digest(X509 *cert, unsigned char out[SHS_TLS_VERIFIED_KEY])
{
    unsigned char bytes[EVP_MAX_MD_SIZE];
    unsigned len = 0;

    if (X509_digest(cert, EVP_sha256(), bytes, &len) != 1 || len != SHS_TLS_VERIFIED_KEY) {
        ERR_clear_error();
        return false;
    }
    memcpy(out, bytes, len);
    return true;
}

bool shs__tls_verified_key(unsigned char key[SHS_TLS_VERIFIED_KEY], X509 *leaf,
                           STACK_OF(X509) * others)
{
    unsigned char all[OTHERS_MAX + 1][SHS_TLS_VERIFIED_KEY];
    size_t count = 1;
    unsigned len = 0;

    if (!digest(leaf, all[0]))
        return false;
    for (int i = 0; i < sk_X509_num(others); i++) {
        X509 *cert = sk_X509_value(others, i);

        if (cert == leaf) /* OpenSSL has it among the others in a handshake, and not after it */
            continue;
        if (count > OTHERS_MAX || !digest(cert, all[count++]))
            return false;
    }
    if (count == 1)
        memcpy(key, all[0], sizeof all[0]);
    else if (EVP_Digest(all, count * sizeof all[0], key, &len, EVP_sha256(), NULL) != 1)
        return false;
    return true;
}

static struct place *place_of(struct shs_tls_verified *self,
                              const unsigned char key[SHS_TLS_VERIFIED_KEY])
{
    return &self->places[((unsigned)key[0] << 8 | key[1]) % PLACES];
}

int64_t shs__tls_chain_until(STACK_OF(X509) * chain)
{
    int64_t first = INT64_MAX, t;

    for (int i = 0; i < sk_X509_num(chain); i++) {
        t = shs__tls_time(X509_get0_notAfter(sk_X509_value(chain, i)));
        if (t < first)
            first = t;
    }
    return first;
}

static int64_t chain_since(STACK_OF(X509) * chain)
{
    int64_t last = INT64_MIN, t;

    for (int i = 0; i < sk_X509_num(chain); i++) {
        t = shs__tls_time(X509_get0_notBefore(sk_X509_value(chain, i)));
        if (t > last)
            last = t;
    }
    return last;
}

bool shs__tls_verified_find(struct shs_tls_verified *self,
                            const unsigned char key[SHS_TLS_VERIFIED_KEY], int64_t now,
                            struct shs_tls_until *until, struct shs_client_keys *keys)
{
    const struct place *place;
    bool found;

    if (self == NULL)
        return false;
    pthread_mutex_lock(&self->lock);
    place = place_of(self, key);
    found = memcmp(place->key, key, sizeof place->key) == 0 && place->since <= now &&
            place->until > now && place->crls_until > now;
    if (found) {
        *until = (struct shs_tls_until){place->until, place->crls_until};
        keys->count = place->ca_count;
        memcpy(keys->at, place->cas, place->ca_count * sizeof keys->at[0]);
    }
    pthread_mutex_unlock(&self->lock);
    return found;
}

void shs__tls_verified_keep(struct shs_tls_verified *self,
                            const unsigned char key[SHS_TLS_VERIFIED_KEY], STACK_OF(X509) * chain,
                            const struct shs_client_keys *keys, int64_t crls_until)
{
    struct place new_one = {
        .since = chain_since(chain),
        .until = shs__tls_chain_until(chain),
        .crls_until = crls_until,
        .ca_count = keys->count,
    };
    struct place old;

    if (self == NULL || sk_X509_num(chain) <= 0)
        return;
    new_one.cas = shs__calloc(keys->count + 1, sizeof *new_one.cas);
    if (new_one.cas == NULL)
        return;
    memcpy(new_one.cas, keys->at, keys->count * sizeof *new_one.cas);
    memcpy(new_one.key, key, sizeof new_one.key);
    pthread_mutex_lock(&self->lock);
    old = *place_of(self, key);
    *place_of(self, key) = new_one;
    pthread_mutex_unlock(&self->lock);
    shs__free(old.cas);
}
