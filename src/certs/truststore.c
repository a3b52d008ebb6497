#include "certs/truststore.h"

#include <stdio.h>

#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/pkcs12.h>

#define TRUSTED "2.16.840.1.113894.746875.1.1"
#define ANY_USAGE "2.5.29.37.0"
#define MAC_ITERATIONS 2048

static bool mark_trusted(PKCS12_SAFEBAG *bag)
{
    ASN1_OBJECT *usage = OBJ_txt2obj(ANY_USAGE, 1);
    /* With a length of -1 the "bytes" are the object itself. */
    bool done = usage != NULL && PKCS12_add1_attr_by_txt(bag, TRUSTED, V_ASN1_OBJECT,
                                                         (const unsigned char *)usage, -1) == 1;

    ASN1_OBJECT_free(usage);
    return done;
}

/* Each under a name of its own: two of one name would be one for Java. */
static bool add(STACK_OF(PKCS12_SAFEBAG) * *bags, X509 *ca, unsigned number)
{
    PKCS12_SAFEBAG *bag = PKCS12_add_cert(bags, ca);
    char name[24];

    snprintf(name, sizeof name, number == 0 ? "shs" : "shs-%u", number + 1);
    return bag != NULL && mark_trusted(bag) && PKCS12_add_friendlyname_utf8(bag, name, -1) == 1;
}

static bool add_all(STACK_OF(PKCS12_SAFEBAG) * *bags, const char *pem)
{
    BIO *bio = BIO_new_mem_buf(pem, -1);
    unsigned count = 0;
    bool good = bio != NULL;
    X509 *ca;

    while (good && (ca = PEM_read_bio_X509(bio, NULL, NULL, NULL)) != NULL) {
        good = add(bags, ca, count++);
        X509_free(ca);
    }
    BIO_free(bio);
    return good && count > 0;
}

static PKCS12 *make(const char *pem)
{
    STACK_OF(PKCS12_SAFEBAG) *bags = NULL;
    STACK_OF(PKCS7) *safes = NULL;
    PKCS12 *p12 = NULL;

    if (add_all(&bags, pem) && PKCS12_add_safe(&safes, bags, -1, 0, NULL) == 1)
        p12 = PKCS12_add_safes(safes, NID_pkcs7_data);
    if (p12 != NULL && PKCS12_set_mac(p12, SHS_TRUSTSTORE_PASSWORD, -1, NULL, 0, MAC_ITERATIONS,
                                      EVP_sha256()) != 1) {
        PKCS12_free(p12);
        p12 = NULL;
    }
    sk_PKCS12_SAFEBAG_pop_free(bags, PKCS12_SAFEBAG_free);
    sk_PKCS7_pop_free(safes, PKCS7_free);
    return p12;
}

int shs__truststore_make(struct shs_buf *out, const char *ca_pem, struct shs_error *err)
{
    PKCS12 *p12 = make(ca_pem);
    unsigned char *der = NULL;
    int len = p12 == NULL ? -1 : i2d_PKCS12(p12, &der);
    int rc = SHS_OK;

    if (len <= 0)
        rc = shs_error_set(err, SHS_TLS, 0, "The CA cannot be made a trust store for Java.");
    else if (shs__buf_append(out, der, (size_t)len) != SHS_OK)
        rc = shs_error_set(err, SHS_NOMEM, 0, "Out of memory for a trust store.");
    OPENSSL_free(der);
    PKCS12_free(p12);
    ERR_clear_error();
    return rc;
}
