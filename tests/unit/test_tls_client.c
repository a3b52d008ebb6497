#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include <openssl/x509v3.h>

#include "tls/clients/client.h"
#include "tls_lab.h"

/* A certificate with odd things in it, which the minter would refuse to make. */
static X509 *blank(void)
{
    X509 *cert = X509_dup(group_lab.leaf);
    X509_NAME *name = X509_NAME_new();
    int at = X509_get_ext_by_NID(cert, NID_subject_alt_name, -1);

    assert_true(at >= 0);
    X509_EXTENSION_free(X509_delete_ext(cert, at));
    assert_int_equal(X509_set_subject_name(cert, name), 1);
    X509_NAME_free(name);
    return cert;
}

static void add_attribute(X509 *cert, int nid, int type, const char *bytes, int len)
{
    assert_int_equal(X509_NAME_add_entry_by_NID(X509_get_subject_name(cert), nid, type,
                                                (const unsigned char *)bytes, len, -1, 0),
                     1);
}

static void add_san(GENERAL_NAMES *names, int type, const char *bytes, int len)
{
    GENERAL_NAME *name = GENERAL_NAME_new();
    ASN1_IA5STRING *text = ASN1_IA5STRING_new();

    assert_int_equal(ASN1_STRING_set(text, bytes, len), 1);
    GENERAL_NAME_set0_value(name, type, text);
    assert_true(sk_GENERAL_NAME_push(names, name) > 0);
}

static void set_sans(X509 *cert, GENERAL_NAMES *names)
{
    assert_int_equal(X509_add1_ext_i2d(cert, NID_subject_alt_name, names, 0, X509V3_ADD_REPLACE),
                     1);
    sk_GENERAL_NAME_pop_free(names, GENERAL_NAME_free);
}

static struct shs_client_record *read_it(X509 *cert, enum shs_client_reason reason)
{
    struct shs_client_record *record = NULL;
    X509 *fresh = NULL;
    unsigned char *der = NULL;
    const unsigned char *at;
    int len;

    /* As it comes over the wire: parsed again. */
    assert_true(X509_sign(cert, group_lab.key, EVP_sha256()) > 0);
    len = i2d_X509(cert, &der);
    assert_true(len > 0);
    at = der;
    fresh = d2i_X509(NULL, &at, len);
    assert_non_null(fresh);
    OPENSSL_free(der);
    assert_int_equal(shs__client_record_new(&record, fresh), SHS_OK);
    assert_string_equal(shs_client_reason_label(record->identity.reason),
                        shs_client_reason_label(reason));
    assert_false(record->identity.verified);
    X509_free(fresh);
    X509_free(cert);
    return record;
}

static void discard(X509 *cert, enum shs_client_reason reason)
{
    shs__client_record_free(read_it(cert, reason));
}

static bool is(struct shs_str s, const char *text)
{
    return shs__str_eq(s, shs__str(text));
}

static void test_exact_bytes(void **state)
{
    X509 *cert = blank();
    GENERAL_NAMES *names = sk_GENERAL_NAME_new_null();
    struct shs_client_record *record;
    const struct shs_client_identity *id;

    SHS_UNUSED(state);
    add_attribute(cert, NID_organizationName, V_ASN1_UTF8STRING, "ops/CN=admin", -1);
    add_attribute(cert, NID_organizationalUnitName, V_ASN1_UTF8STRING, "CN=admin", -1);
    add_attribute(cert, NID_commonName, V_ASN1_UTF8STRING, "Mallory, the \"great\"", -1);
    add_san(names, GEN_DNS, "a.example", 9);
    add_san(names, GEN_EMAIL, "m@a.example", 11);
    add_san(names, GEN_URI, "SPIFFE://lab/x", 14);
    set_sans(cert, names);
    record = read_it(cert, SHS_CLIENT_OK);
    id = &record->identity;
    assert_true(is(id->common_name, "Mallory, the \"great\""));
    assert_true(is(id->organization, "ops/CN=admin"));
    assert_true(is(id->spiffe_id, "SPIFFE://lab/x"));
    assert_int_equal(id->san_count, 3);
    assert_int_equal(id->sans[1].kind, SHS_SAN_EMAIL);
    assert_true(is(id->sans[1].value, "m@a.example"));
    assert_int_equal(strlen(id->cert_sha256), 64);
    assert_int_equal(strlen(id->spki_sha256), 64);
    assert_true(id->not_before < id->not_after);
    assert_int_equal(id->serial.len, 32);
    shs__client_record_free(record);
    shs__client_record_free(NULL);
}

static void test_wide_strings(void **state)
{
    X509 *cert = blank();
    struct shs_client_record *record;

    SHS_UNUSED(state);
    add_attribute(cert, NID_commonName, V_ASN1_BMPSTRING, "\0J\0\xf6\0r\0g", 8);
    record = read_it(cert, SHS_CLIENT_OK);
    assert_true(is(record->identity.common_name, "J\xc3\xb6rg"));
    shs__client_record_free(record);
}

static void test_nothing_in_it(void **state)
{
    struct shs_client_record *record = read_it(blank(), SHS_CLIENT_OK);

    SHS_UNUSED(state);
    assert_null(record->identity.common_name.ptr);
    assert_null(record->identity.organization.ptr);
    assert_null(record->identity.spiffe_id.ptr);
    assert_int_equal(record->identity.san_count, 0);
    shs__client_record_free(record);
}

static void test_two_common_names(void **state)
{
    X509 *cert = blank();

    SHS_UNUSED(state);
    add_attribute(cert, NID_commonName, V_ASN1_UTF8STRING, "alice", -1);
    add_attribute(cert, NID_organizationName, V_ASN1_UTF8STRING, "ops", -1);
    add_attribute(cert, NID_commonName, V_ASN1_UTF8STRING, "alice", -1);
    discard(cert, SHS_CLIENT_AMBIGUOUS);
}

static void test_nul(void **state)
{
    X509 *cert = blank();
    GENERAL_NAMES *names = sk_GENERAL_NAME_new_null();

    SHS_UNUSED(state);
    add_attribute(cert, NID_commonName, V_ASN1_UTF8STRING, "admin\0.evil", 11);
    discard(cert, SHS_CLIENT_AMBIGUOUS);
    cert = blank();
    add_attribute(cert, NID_commonName, V_ASN1_BMPSTRING, "\0a\0\0\0b", 6);
    discard(cert, SHS_CLIENT_AMBIGUOUS);
    cert = blank();
    add_san(names, GEN_DNS, "good.example\0.evil.example", 26);
    set_sans(cert, names);
    discard(cert, SHS_CLIENT_AMBIGUOUS);
}

static void test_spiffe(void **state)
{
    static const char *const uris[][2] = {{"spiffe://lab/a", "spiffe://lab/b"},
                                          {"spiffe://lab/a", "https://a.example/"},
                                          {"https://a.example/", "sPiFfE://lab/a"}};
    GENERAL_NAMES *names;
    X509 *cert;

    SHS_UNUSED(state);
    for (size_t i = 0; i < SHS_ARRAY_LEN(uris); i++) {
        cert = blank();
        names = sk_GENERAL_NAME_new_null();
        for (size_t k = 0; k < 2; k++)
            add_san(names, GEN_URI, uris[i][k], (int)strlen(uris[i][k]));
        set_sans(cert, names);
        discard(cert, SHS_CLIENT_AMBIGUOUS);
    }
    /* In a CA certificate. */
    cert = X509_dup(group_lab.ca);
    assert_int_equal(X509_set_pubkey(cert, group_lab.key), 1);
    names = sk_GENERAL_NAME_new_null();
    add_san(names, GEN_URI, "spiffe://lab/a", 14);
    set_sans(cert, names);
    discard(cert, SHS_CLIENT_AMBIGUOUS);
}

/* 10,000 names, and one of 64 KiB: refused, with a bound on what that costs. */
static void test_too_much(void **state)
{
    GENERAL_NAMES *names = sk_GENERAL_NAME_new_null();
    char *huge = shs__malloc(65536);
    X509 *cert = blank();

    SHS_UNUSED(state);
    memset(huge, 'a', 65536);
    for (int i = 0; i < 10000; i++)
        add_san(names, GEN_DNS, "a.example", 9);
    set_sans(cert, names);
    discard(cert, SHS_CLIENT_TOO_LARGE);
    cert = blank();
    names = sk_GENERAL_NAME_new_null();
    add_san(names, GEN_URI, huge, 65536);
    set_sans(cert, names);
    discard(cert, SHS_CLIENT_TOO_LARGE);
    cert = blank();
    names = sk_GENERAL_NAME_new_null();
    for (int i = 0; i < SHS_CLIENT_SANS_MAX; i++)
        add_san(names, GEN_DNS, huge, SHS_CLIENT_NAME_MAX);
    set_sans(cert, names);
    discard(cert, SHS_CLIENT_OK); /* the most there may be */
    shs__free(huge);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_exact_bytes),   cmocka_unit_test(test_wide_strings),
        cmocka_unit_test(test_nothing_in_it), cmocka_unit_test(test_two_common_names),
        cmocka_unit_test(test_nul),           cmocka_unit_test(test_spiffe),
        cmocka_unit_test(test_too_much),
    };

    return cmocka_run_group_tests(tests, lab_setup, lab_teardown);
}
