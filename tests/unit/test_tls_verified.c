/* test_tls_verified.c - a chain that was good is good until its first end, and no other is. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "tls/clients/clients.h"
#include "tls/clients/verified.h"
#include "tls_lab.h"

static void test_until_its_first_end(void **state)
{
    struct shs_tls_verified *verified = shs__tls_verified_new();
    STACK_OF(X509) *chain = sk_X509_new_null();
    int64_t now = (int64_t)time(NULL);
    struct shs_tls_until until = {0, 0};
    struct tls_lab lab;
    X509 *other;

    (void)state;
    lab_open(&lab, SHS_KEY_P256);
    other = lab_leaf(&lab, lab.key, now - LAB_DAY, now + 90 * LAB_DAY);
    assert_non_null(verified);
    assert_true(sk_X509_push(chain, lab.leaf) == 1 && sk_X509_push(chain, lab.ca) == 2);
    assert_false(shs__tls_verified_find(verified, lab.leaf, now, &until));
    shs__tls_verified_keep(verified, lab.leaf, NULL, INT64_MAX); /* no chain, nothing known */
    assert_false(shs__tls_verified_find(verified, lab.leaf, now, &until));
    shs__tls_verified_keep(verified, lab.leaf, chain, INT64_MAX);
    assert_true(shs__tls_verified_find(verified, lab.leaf, now, &until));
    assert_true(until.chain > now + 89 * LAB_DAY &&
                until.chain <= now + 91 * LAB_DAY); /* the leaf's */
    /* The same key and names: another certificate. */
    assert_false(shs__tls_verified_find(verified, other, now, &until));
    assert_false(shs__tls_verified_find(verified, lab.leaf, now + 91 * LAB_DAY, &until));
    assert_false(shs__tls_verified_find(verified, lab.leaf, now - 2 * LAB_DAY, &until));
    /* As long as the CRLs are fresh. */
    shs__tls_verified_keep(verified, lab.leaf, chain, now + 10);
    assert_true(shs__tls_verified_find(verified, lab.leaf, now + 9, &until));
    assert_false(shs__tls_verified_find(verified, lab.leaf, now + 10, &until));
    assert_false(shs__tls_verified_find(NULL, lab.leaf, now, &until));
    shs__tls_verified_keep(NULL, lab.leaf, chain, INT64_MAX);
    sk_X509_free(chain);
    X509_free(other);
    lab_close(&lab);
    shs__tls_verified_free(verified);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_until_its_first_end),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
