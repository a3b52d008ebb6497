#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include <openssl/err.h>
#include <openssl/evp.h>

#include "tls/config/tickets.h"

#define EPOCH 100
#define SECRET "0123456789abcdef0123456789abcdef"
#define NOW ((int64_t)1795269600)

static struct shs_tls_tickets *make(const char *secret)
{
    struct shs_tls_tickets *self = NULL;

    assert_int_equal(shs__tls_tickets_new(&self, EPOCH), SHS_OK);
    if (secret != NULL)
        shs__tls_tickets_set_secret(self, secret, strlen(secret));
    return self;
}

/* 0: it cannot be opened; 1: it can; 2: it can, and should be renewed. */
static int opens(struct shs_tls_tickets *self, int64_t now, const struct shs_tls_ticket_key *sealed)
{
    struct shs_tls_ticket_key key;
    bool renew = false;

    if (!shs__tls_tickets_open(self, now, sealed->name, &key, &renew))
        return 0;
    assert_memory_equal(&key, sealed, sizeof key);
    return renew ? 2 : 1;
}

static void test_epochs(void **state)
{
    struct shs_tls_tickets *a = make(SECRET), *b = make(SECRET), *other = make(SECRET "x");
    struct shs_tls_ticket_key key, next;

    SHS_UNUSED(state);
    assert_true(shs__tls_tickets_seal(a, NOW, &key));
    assert_int_equal(opens(a, NOW + EPOCH - 1, &key), 1);
    assert_int_equal(opens(b, NOW, &key), 1); /* the fleet */
    assert_int_equal(opens(b, NOW + EPOCH, &key), 2);
    assert_int_equal(opens(b, NOW + 2 * EPOCH, &key), 0);
    assert_int_equal(opens(b, NOW + 3 * EPOCH, &key), 0);
    assert_int_equal(opens(a, NOW + 3 * EPOCH, &key), 0); /* where it was made, as well */
    assert_int_equal(opens(b, NOW - EPOCH, &key), 2);     /* a clock that is behind */
    assert_int_equal(opens(b, NOW - 2 * EPOCH, &key), 0);
    assert_int_equal(opens(other, NOW, &key), 0);
    assert_true(shs__tls_tickets_seal(a, NOW + EPOCH, &next));
    assert_memory_not_equal(&key.name, &next.name, sizeof key.name);
    assert_memory_not_equal(&key.aes, &next.aes, sizeof key.aes);
    assert_memory_not_equal(&key.mac, &next.mac, sizeof key.mac);
    /* Around the cache, and back. */
    for (int i = 0; i < 50; i++)
        assert_true(shs__tls_tickets_seal(a, NOW + i * EPOCH, &next));
    assert_int_equal(opens(a, NOW, &key), 1);
    shs__tls_tickets_free(a);
    shs__tls_tickets_free(b);
    shs__tls_tickets_free(other);
}

static void test_a_secret_of_its_own(void **state)
{
    struct shs_tls_tickets *a = make(NULL), *b = make(NULL);
    struct shs_tls_ticket_key key;

    SHS_UNUSED(state);
    assert_true(shs__tls_tickets_seal(a, NOW, &key));
    assert_int_equal(opens(a, NOW, &key), 1);
    assert_int_equal(opens(b, NOW, &key), 0);
    shs__tls_tickets_free(a);
    shs__tls_tickets_free(b);
}

static void test_a_new_secret(void **state)
{
    struct shs_tls_tickets *self = make(SECRET);
    struct shs_tls_ticket_key first, second;

    SHS_UNUSED(state);
    assert_true(shs__tls_tickets_seal(self, NOW, &first));
    shs__tls_tickets_set_secret(self, SECRET, strlen(SECRET)); /* the same: nothing happens */
    assert_int_equal(opens(self, NOW, &first), 1);
    shs__tls_tickets_set_secret(self, "another secret, of enough bytes too", 35);
    assert_int_equal(opens(self, NOW, &first), 2); /* still, but it is to be renewed */
    assert_true(shs__tls_tickets_seal(self, NOW, &second));
    assert_memory_not_equal(&first.name, &second.name, sizeof first.name);
    assert_int_equal(opens(self, NOW, &second), 1);
    shs__tls_tickets_set_secret(self, "and a third secret of enough bytes", 34);
    assert_int_equal(opens(self, NOW, &first), 0);
    assert_int_equal(opens(self, NOW, &second), 2);
    shs__tls_tickets_free(self);
    shs__tls_tickets_free(NULL);
}

/* What libssl calls: 1, 2 to renew, 0 for no ticket of ours. */
static void test_crypt(void **state)
{
    struct shs_tls_tickets *self = make(SECRET), *other = make(SECRET "x");
    EVP_MAC *hmac = EVP_MAC_fetch(NULL, "HMAC", NULL),
            *siphash = EVP_MAC_fetch(NULL, "SIPHASH", NULL);
    EVP_MAC_CTX *mac = EVP_MAC_CTX_new(hmac), *wrong = EVP_MAC_CTX_new(siphash);
    EVP_CIPHER_CTX *cipher = EVP_CIPHER_CTX_new();
    unsigned char name[16], iv[EVP_MAX_IV_LENGTH];

    SHS_UNUSED(state);
    assert_int_equal(shs__tls_ticket_crypt(self, NOW, name, iv, cipher, mac, 1), 1);
    assert_int_equal(shs__tls_ticket_crypt(self, NOW, name, iv, cipher, mac, 0), 1);
    assert_int_equal(shs__tls_ticket_crypt(self, NOW + EPOCH, name, iv, cipher, mac, 0), 2);
    assert_int_equal(shs__tls_ticket_crypt(self, NOW + 2 * EPOCH, name, iv, cipher, mac, 0), 0);
    assert_int_equal(shs__tls_ticket_crypt(other, NOW, name, iv, cipher, mac, 0), 0);
    /* A MAC that does not take the key is a failure, and no ticket. */
    assert_int_equal(shs__tls_ticket_crypt(self, NOW, name, iv, cipher, wrong, 0), -1);
    assert_int_equal(shs__tls_ticket_crypt(self, NOW, name, iv, cipher, wrong, 1), 0);
    EVP_MAC_CTX_free(mac);
    EVP_MAC_CTX_free(wrong);
    EVP_MAC_free(hmac);
    EVP_MAC_free(siphash);
    EVP_CIPHER_CTX_free(cipher);
    ERR_clear_error();
    shs__tls_tickets_free(self);
    shs__tls_tickets_free(other);
}

static void test_anchor(void **state)
{
    struct shs_tls_anchor anchor = {.began = NOW, .chain_not_after = INT64_MAX, .verified = true};
    unsigned char bytes[SHS_TLS_ANCHOR_MAX];
    struct shs_tls_anchor got;
    size_t len;

    SHS_UNUSED(state);
    anchor.crls_until = 1234567890123;
    memset(anchor.scope, 0xa5, sizeof anchor.scope);
    anchor.cas.count = 2;
    memset(anchor.cas.at, 0x5a, sizeof anchor.cas.at);
    len = shs__tls_anchor_write(&anchor, bytes);
    assert_int_equal(len, SHS_TLS_ANCHOR_LEN + 2 * SHS_CLIENT_KEY_LEN);
    assert_true(shs__tls_anchor_read(&got, bytes, len));
    assert_int_equal(got.cas.count, 2);
    assert_memory_equal(got.cas.at, anchor.cas.at, 2 * SHS_CLIENT_KEY_LEN);
    assert_int_equal(got.began, NOW);
    assert_true(got.chain_not_after == INT64_MAX);
    assert_true(got.verified);
    assert_true(got.crls_until == anchor.crls_until);
    assert_memory_equal(got.scope, anchor.scope, sizeof got.scope);
    assert_false(shs__tls_anchor_read(&got, bytes, len - 1));
    assert_false(shs__tls_anchor_read(&got, bytes, SHS_TLS_ANCHOR_LEN - 1));
    assert_false(shs__tls_anchor_read(&got, bytes, sizeof bytes + SHS_CLIENT_KEY_LEN));
    assert_false(shs__tls_anchor_read(&got, bytes, 0));
    assert_true(shs__tls_anchor_read(&got, bytes, sizeof bytes)); /* the most keys there may be */
    assert_true(got.cas.count * SHS_CLIENT_KEY_LEN == sizeof got.cas.at);
    assert_true(shs__tls_anchor_read(&got, bytes, SHS_TLS_ANCHOR_LEN)); /* and none */
    assert_int_equal(got.cas.count, 0);
    bytes[0]++; /* of another version of this library */
    assert_false(shs__tls_anchor_read(&got, bytes, len));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_epochs),       cmocka_unit_test(test_a_secret_of_its_own),
        cmocka_unit_test(test_a_new_secret), cmocka_unit_test(test_crypt),
        cmocka_unit_test(test_anchor),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
