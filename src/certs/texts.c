#include "certs/texts.h"

#include <limits.h>

#include <openssl/err.h>
#include <openssl/pem.h>

#include "certs/minter.h"
#include "certs/words.h"

/* A certificate with 10,000 names has 350 kB of text, and a chain of a hundred a third of that. */
#define TEXT_CEILING ((size_t)4 << 20)
#define KEY_CEILING ((size_t)64 << 10)

/* The buffer's content, ended by a NUL, as memory of its own. */
static int take(char **out, struct shs_buf *buf, int rc, struct shs_error *err)
{
    if (rc == SHS_OK && shs__buf_append(buf, "", 1) != SHS_OK)
        rc = shs__certs_nomem(err);
    if (rc == SHS_OK) {
        *out = shs__buf_head(buf);
        buf->data = NULL; /* its memory is *out's now: nothing was consumed, so it begins there */
        buf->cap = 0;
    }
    shs__buf_free(buf);
    return rc;
}

int shs__text_certs(char **out, X509 *cert, STACK_OF(X509) * behind, struct shs_error *err)
{
    struct shs_buf buf;
    int rc;

    shs__buf_init(&buf, TEXT_CEILING);
    rc = shs__mint_cert_pem(&buf, cert, err);
    for (int i = 0; rc == SHS_OK && behind != NULL && i < sk_X509_num(behind); i++)
        rc = shs__mint_cert_pem(&buf, sk_X509_value(behind, i), err);
    return take(out, &buf, rc, err);
}

int shs__text_key(char **out, EVP_PKEY *key, struct shs_error *err)
{
    struct shs_buf buf;
    int rc;

    shs__buf_init(&buf, KEY_CEILING);
    /* At once: growing would leave copies of the key. */
    rc = shs__buf_reserve(&buf, KEY_CEILING / 2) == SHS_OK ? SHS_OK : shs__certs_nomem(err);
    if (rc == SHS_OK)
        rc = shs__mint_key_pem(&buf, key, NULL, err);
    return take(out, &buf, rc, err);
}

void shs__text_wipe(char *text)
{
    if (text != NULL)
        OPENSSL_cleanse(text, strlen(text));
    shs__free(text);
}

/* A key of ours is not encrypted, and nobody is to be asked on a terminal. */
static int no_password(char *buf, int cap, int rwflag, void *arg)
{
    SHS_UNUSED(buf);
    SHS_UNUSED(cap);
    SHS_UNUSED(rwflag);
    SHS_UNUSED(arg);
    return -1;
}

static int parse_certs(BIO *bio, STACK_OF(X509) * all, struct shs_error *err)
{
    X509 *cert;

    while ((cert = PEM_read_bio_X509(bio, NULL, no_password, NULL)) != NULL) {
        if (sk_X509_push(all, cert) == 0) {
            X509_free(cert);
            return shs__certs_nomem(err);
        }
    }
    /* The end of the text is where nothing begins any more. */
    if (ERR_GET_REASON(ERR_peek_last_error()) != PEM_R_NO_START_LINE || sk_X509_num(all) == 0)
        return shs_error_set(err, SHS_TLS, 0,
                             sk_X509_num(all) == 0 ? "There is no certificate (PEM) in it."
                                                   : "A certificate in it is damaged.");
    ERR_clear_error();
    return SHS_OK;
}

int shs__text_parse(const void *pem, size_t len, EVP_PKEY **key, STACK_OF(X509) * *certs,
                    struct shs_error *err)
{
    STACK_OF(X509) *all = sk_X509_new_null();
    BIO *one = NULL, *two = NULL;
    EVP_PKEY *found = NULL;
    int rc = SHS_OK;

    ERR_clear_error();
    if (len > TEXT_CEILING) {
        rc = shs_error_set(err, SHS_LIMIT, 0, "It is too long to be certificates.");
        goto out;
    }
    one = BIO_new_mem_buf(pem, (int)len);
    two = BIO_new_mem_buf(pem, (int)len);
    if (all == NULL || one == NULL || two == NULL) {
        rc = shs__certs_nomem(err);
        goto out;
    }
    rc = parse_certs(one, all, err);
    if (rc == SHS_OK && key != NULL) {
        found = PEM_read_bio_PrivateKey(two, NULL, no_password, NULL);
        if (found == NULL)
            rc = shs_error_set(err, SHS_TLS, 0,
                               "There is no private key (PEM, not encrypted) in it.");
    }
    if (rc == SHS_OK) {
        if (key != NULL)
            *key = found;
        *certs = all;
        all = NULL;
    }
out:
    ERR_clear_error();
    BIO_free(one);
    BIO_free(two);
    sk_X509_pop_free(all, X509_free);
    return rc;
}
