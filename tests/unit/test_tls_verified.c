/* test_tls_verified.c - a chain that was good is good until its first end, and no other is. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "tls/clients/clients.h"
#include "tls/clients/keys.h"
#include "tls/clients/verified.h"
#include "tls_lab.h"

static void test_until_its_first_end(void **state)
{
    struct shs_tls_verified *verified = shs__tls_verified_new();
    unsigned char key[SHS_TLS_VERIFIED_KEY], others[SHS_TLS_VERIFIED_KEY];
    STACK_OF(X509) *chain = sk_X509_new_null(), *empty = sk_X509_new_null();
    struct shs_tls_until until = {0, 0};
    struct shs_client_keys keys = {.count = 0}, got = {.count = 0};
    int64_t now = (int64_t)time(NULL);
    struct tls_lab lab;
    X509 *other;

    (void)state;
    lab_open(&lab, SHS_KEY_P256);
    other = lab_leaf(&lab, lab.key, now - LAB_DAY, now + 90 * LAB_DAY);
    assert_non_null(verified);
    assert_true(sk_X509_push(chain, lab.leaf) == 1 && sk_X509_push(chain, lab.ca) == 2);
    assert_true(shs__client_keys_of(&keys, chain));
    assert_int_equal(keys.count, 1);
    assert_true(shs__tls_verified_key(key, lab.leaf, NULL));
    assert_false(shs__tls_verified_find(verified, key, now, &until, &got));
    shs__tls_verified_keep(verified, key, NULL, &keys, INT64_MAX); /* no chain, nothing known */
    assert_false(shs__tls_verified_find(verified, key, now, &until, &got));
    shs__tls_verified_keep(verified, key, empty, &keys, INT64_MAX); /* nor by nobody's word */
    assert_false(shs__tls_verified_find(verified, key, now, &until, &got));
    shs__tls_verified_keep(verified, key, chain, &keys, INT64_MAX);
    assert_true(shs__tls_verified_find(verified, key, now, &until, &got));
    assert_true(until.crls == INT64_MAX);
    assert_int_equal(got.count, 1); /* by whose word */
    assert_memory_equal(got.at, keys.at, sizeof keys.at[0]);
    assert_true(until.chain > now + 89 * LAB_DAY && until.chain <= now + 91 * LAB_DAY); /* leaf's */
    /* The same key and names: another certificate. */
    assert_true(shs__tls_verified_key(others, other, NULL));
    assert_false(shs__tls_verified_find(verified, others, now, &until, &got));
    assert_false(shs__tls_verified_find(verified, key, now + 91 * LAB_DAY, &until, &got));
    assert_false(shs__tls_verified_find(verified, key, now - 2 * LAB_DAY, &until, &got));
    /* As long as the CRLs are fresh. */
    shs__tls_verified_keep(verified, key, chain, &keys, now + 10);
    assert_true(shs__tls_verified_find(verified, key, now + 9, &until, &got));
    assert_true(until.crls == now + 10);
    assert_false(shs__tls_verified_find(verified, key, now + 10, &until, &got));
    assert_false(shs__tls_verified_find(NULL, key, now, &until, &got));
    shs__tls_verified_keep(NULL, key, chain, &keys, INT64_MAX);
    sk_X509_free(chain);
    sk_X509_free(empty);
    X509_free(other);
    lab_close(&lab);
    shs__tls_verified_free(verified);
}

/* What came along is a part of what is known: who comes without it is somebody else. */
static void test_what_came_along(void **state)
{
    unsigned char alone[SHS_TLS_VERIFIED_KEY], with[SHS_TLS_VERIFIED_KEY],
        again[SHS_TLS_VERIFIED_KEY];
    STACK_OF(X509) *sent = sk_X509_new_null();
    struct tls_lab lab;

    (void)state;
    lab_open(&lab, SHS_KEY_P256);
    assert_true(shs__tls_verified_key(alone, lab.leaf, NULL));
    assert_true(sk_X509_push(sent, lab.leaf) == 1); /* itself: in a handshake it is there, too */
    assert_true(shs__tls_verified_key(again, lab.leaf, sent));
    assert_memory_equal(alone, again, sizeof alone);
    assert_true(sk_X509_push(sent, lab.ca) == 2);
    assert_true(shs__tls_verified_key(with, lab.leaf, sent));
    assert_memory_not_equal(alone, with, sizeof alone);
    (void)sk_X509_shift(sent);
    assert_true(shs__tls_verified_key(again, lab.leaf, sent));
    assert_memory_equal(with, again, sizeof with);
    while (sk_X509_num(sent) < 15)
        assert_true(sk_X509_push(sent, lab.ca) > 0);
    assert_true(shs__tls_verified_key(again, lab.leaf, sent));
    assert_true(sk_X509_push(sent, lab.ca) > 0);
    assert_false(shs__tls_verified_key(again, lab.leaf, sent));
    sk_X509_free(sent);
    lab_close(&lab);
}

/* What cannot be encoded is not known, and its key neither: nothing is taken for it. */
static void test_what_has_no_bytes(void **state)
{
    unsigned char key[SHS_TLS_VERIFIED_KEY];
    STACK_OF(X509) *chain = sk_X509_new_null();
    struct shs_client_keys keys;
    X509 *hollow = X509_new();
    struct tls_lab lab;

    (void)state;
    lab_open(&lab, SHS_KEY_P256);
    assert_false(shs__tls_verified_key(key, hollow, NULL));
    assert_true(sk_X509_push(chain, lab.leaf) == 1 && sk_X509_push(chain, hollow) == 2);
    assert_false(shs__tls_verified_key(key, lab.leaf, chain));
    assert_false(shs__client_keys_of(&keys, chain));
    sk_X509_free(chain);
    X509_free(hollow);
    lab_close(&lab);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_until_its_first_end),
        cmocka_unit_test(test_what_came_along),
        cmocka_unit_test(test_what_has_no_bytes),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
