#include "testing/respell.h"

#include <openssl/bn.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/x509.h>

static X509 *read_cert(const char *pem)
{
    BIO *bio = BIO_new_mem_buf(pem, -1);
    X509 *cert = bio == NULL ? NULL : PEM_read_bio_X509(bio, NULL, NULL, NULL);

    BIO_free(bio);
    return cert;
}

static EVP_PKEY *read_key(const char *pem)
{
    BIO *bio = BIO_new_mem_buf(pem, -1);
    EVP_PKEY *key = bio == NULL ? NULL : PEM_read_bio_PrivateKey(bio, NULL, NULL, NULL);

    BIO_free(bio);
    return key;
}

static char *write_cert(X509 *cert)
{
    BIO *bio = BIO_new(BIO_s_mem());
    char *bytes, *pem = NULL;
    long len;

    if (bio != NULL && PEM_write_bio_X509(bio, cert) == 1 &&
        (len = BIO_get_mem_data(bio, &bytes)) > 0)
        pem = shs__strndup(bytes, (size_t)len);
    BIO_free(bio);
    return pem;
}

/* The bytes as they are, as UTF8String: OpenSSL's own limits do not apply to a given type. */
static bool set_subject(X509 *cert, struct shs_str name)
{
    X509_NAME *subject = X509_NAME_new();
    ASN1_STRING *value = ASN1_STRING_type_new(V_ASN1_UTF8STRING);
    X509_NAME_ENTRY *entry = NULL;
    bool done =
        subject != NULL && value != NULL && ASN1_STRING_set(value, name.ptr, (int)name.len) == 1;

    if (done)
        entry = X509_NAME_ENTRY_new();
    done = entry != NULL && X509_NAME_ENTRY_set_object(entry, OBJ_nid2obj(NID_commonName)) == 1 &&
           X509_NAME_ENTRY_set_data(entry, V_ASN1_UTF8STRING, ASN1_STRING_get0_data(value),
                                    ASN1_STRING_length(value)) == 1 &&
           X509_NAME_add_entry(subject, entry, -1, 0) == 1 &&
           X509_set_subject_name(cert, subject) == 1;
    X509_NAME_ENTRY_free(entry);
    ASN1_STRING_free(value);
    X509_NAME_free(subject);
    return done;
}

int shs__respell(char **out, const char *leaf_pem, struct shs_str name, const char *ca_key_pem,
                 struct shs_error *err)
{
    X509 *cert = read_cert(leaf_pem);
    EVP_PKEY *key = read_key(ca_key_pem);
    char *pem = NULL;

    if (cert != NULL && key != NULL && set_subject(cert, name) &&
        X509_sign(cert, key, EVP_sha256()) > 0)
        pem = write_cert(cert);
    X509_free(cert);
    EVP_PKEY_free(key);
    ERR_clear_error();
    if (pem == NULL)
        return shs_error_set(err, SHS_TLS, 0, "A certificate with an odd name cannot be made.");
    *out = pem;
    return SHS_OK;
}

int shs__serial_of(char **out, const void *der, size_t len, struct shs_error *err)
{
    const unsigned char *bytes = der;
    X509 *cert = d2i_X509(NULL, &bytes, (long)len);
    BIGNUM *number = cert == NULL ? NULL : ASN1_INTEGER_to_BN(X509_get0_serialNumber(cert), NULL);
    char *hex = number == NULL ? NULL : BN_bn2hex(number);

    *out = hex == NULL ? NULL : shs__strdup(hex);
    OPENSSL_free(hex);
    BN_free(number);
    X509_free(cert);
    return *out != NULL ? SHS_OK
                        : shs_error_set(err, SHS_TLS, 0, "A serial number cannot be read.");
}
