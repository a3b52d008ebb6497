/* test_tls_crl_entries.c - entries of a CRL that say what is not understood: refused at load. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include <unistd.h>

#include <openssl/pem.h>
#include <openssl/x509v3.h>

#include "tls/clients/clients.h"
#include "tls_lab.h"

static char dir[] = "/tmp/shs-crls-XXXXXX", ca_path[64], crl_path[64];

static int make_files(void **state)
{
    FILE *f;

    SHS_UNUSED(state);
    if (mkdtemp(dir) == NULL)
        return -1;
    snprintf(ca_path, sizeof ca_path, "%s/ca.pem", dir);
    snprintf(crl_path, sizeof crl_path, "%s/ca.crl", dir);
    lab_open(&group_lab, SHS_KEY_P256);
    f = fopen(ca_path, "w");
    assert_non_null(f);
    assert_int_equal(PEM_write_X509(f, group_lab.ca), 1);
    return fclose(f);
}

static int remove_files(void **state)
{
    SHS_UNUSED(state);
    lab_close(&group_lab);
    unlink(ca_path);
    unlink(crl_path);
    return rmdir(dir);
}

/* One entry, with this extension, "critical,DER:0500" or the like; NULL: none. */
static void write_crl(const char *oid, const char *value)
{
    X509_CRL *crl = X509_CRL_new();
    X509_REVOKED *entry = X509_REVOKED_new();
    ASN1_TIME *when = ASN1_TIME_set(NULL, time(NULL) - 60);
    X509_EXTENSION *ext = value == NULL ? NULL : X509V3_EXT_conf(NULL, NULL, oid, value);
    FILE *f = fopen(crl_path, "w");

    assert_non_null(f);
    if (value != NULL && ext == NULL)
        fail_msg("%s = %s", oid, value);
    assert_int_equal(X509_CRL_set_version(crl, 1), 1);
    assert_int_equal(X509_CRL_set_issuer_name(crl, X509_get_subject_name(group_lab.ca)), 1);
    assert_int_equal(X509_CRL_set1_lastUpdate(crl, when), 1);
    assert_int_equal(X509_REVOKED_set_revocationDate(entry, when), 1);
    assert_non_null(ASN1_TIME_set(when, time(NULL) + LAB_DAY));
    assert_int_equal(X509_CRL_set1_nextUpdate(crl, when), 1);
    assert_int_equal(X509_REVOKED_set_serialNumber(entry, X509_get_serialNumber(group_lab.leaf)),
                     1);
    if (ext != NULL)
        assert_int_equal(X509_REVOKED_add_ext(entry, ext, -1), 1);
    assert_int_equal(X509_CRL_add0_revoked(crl, entry), 1);
    assert_true(X509_CRL_sign(crl, group_lab.ca_key, EVP_sha256()) > 0);
    assert_int_equal(PEM_write_X509_CRL(f, crl), 1);
    assert_int_equal(fclose(f), 0);
    X509_EXTENSION_free(ext);
    ASN1_TIME_free(when);
    X509_CRL_free(crl);
}

static void test_entries(void **state)
{
    static const struct {
        const char *oid, *value, *why; /* NULL: it is taken */
    } cases[] = {
        {NULL, NULL, NULL},
        {"2.5.29.21", "DER:0a0101", NULL},
        {"2.5.29.21", "critical,DER:0a0101", NULL},
        {"2.5.29.21", "DER:0a02", "whose reason is malformed"},
        {"2.5.29.21", "critical,DER:0500", "whose reason is malformed"},
        {"1.2.3.4", "DER:0500", NULL}, /* not critical: it may be passed over */
        {"1.2.3.4", "critical,DER:0500", "an entry with the critical extension 1.2.3.4"},
        {"2.5.29.29", "critical,DER:3003820178", "is an indirect one"},
        {"2.5.29.29", "DER:3003820178", "is an indirect one"},
    };

    SHS_UNUSED(state);
    for (size_t i = 0; i < SHS_ARRAY_LEN(cases); i++) {
        struct shs_tls_clients clients;
        struct shs_error err = {.code = SHS_OK};
        struct shs_tls_host host;
        int rc;

        write_crl(cases[i].oid, cases[i].value);
        shs_tls_host_init(&host);
        host.client_auth = SHS_TLS_CLIENT_REQUIRED;
        host.client_ca = ca_path;
        host.crl = crl_path;
        rc = shs__tls_clients_load(&clients, &host, &err);
        assert_int_equal(rc, cases[i].why == NULL ? SHS_OK : SHS_TLS);
        if (cases[i].why != NULL &&
            (strstr(err.text, cases[i].why) == NULL || strstr(err.text, crl_path) == NULL))
            fail_msg("'%s' lacks '%s'", err.text, cases[i].why);
        shs__tls_clients_free(&clients);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_entries),
    };

    return cmocka_run_group_tests(tests, make_files, remove_files);
}
