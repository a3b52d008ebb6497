/* look_print.c - a certificate for people and as JSON. */
#include <stdio.h>
#include <time.h>

#include <openssl/err.h>
#include <openssl/x509v3.h>

#include "base/text.h"
#include "certs/look_inside.h"
#include "certs/words.h"

#define FINDINGS_MAX 64

/* What a BIO has, as text of ours; freed with shs__free. Frees the BIO. */
static char *take(BIO *bio)
{
    char *data = NULL, *copy;
    long len = bio == NULL ? 0 : BIO_get_mem_data(bio, &data);

    copy = len > 0 ? shs__strndup(data, (size_t)len) : shs__strdup("");
    BIO_free(bio);
    return copy;
}

static char *name_text(const X509_NAME *name)
{
    BIO *bio = BIO_new(BIO_s_mem());

    if (bio != NULL)
        (void)X509_NAME_print_ex(bio, name, 0,
                                 XN_FLAG_RFC2253 & ~(unsigned long)ASN1_STRFLGS_ESC_MSB);
    return take(bio);
}

static char *names_text(X509 *cert)
{
    GENERAL_NAMES *names = X509_get_ext_d2i(cert, NID_subject_alt_name, NULL, NULL);
    BIO *bio = BIO_new(BIO_s_mem());

    for (int i = 0; bio != NULL && names != NULL && i < sk_GENERAL_NAME_num(names); i++) {
        if (i > 0)
            BIO_puts(bio, ", ");
        GENERAL_NAME_print(bio, sk_GENERAL_NAME_value(names, i));
    }
    GENERAL_NAMES_free(names);
    return take(bio);
}

static char *time_text(const ASN1_TIME *when)
{
    char text[40] = "?";
    struct tm tm;

    if (ASN1_TIME_to_tm(when, &tm) == 1)
        (void)strftime(text, sizeof text, "%Y-%m-%dT%H:%M:%SZ", &tm);
    return shs__strdup(text);
}

static char *key_text(X509 *cert)
{
    EVP_PKEY *key = X509_get0_pubkey(cert);
    char group[64];
    size_t len = 0;

    if (key == NULL)
        return shs__strdup("unreadable");
    if (EVP_PKEY_get_group_name(key, group, sizeof group, &len) == 1)
        return shs__asprintf("%s %s", EVP_PKEY_get0_type_name(key), group);
    return shs__asprintf("%s %d bits", EVP_PKEY_get0_type_name(key), EVP_PKEY_get_bits(key));
}

static char *digest_text(X509 *cert)
{
    unsigned char digest[EVP_MAX_MD_SIZE];
    unsigned len = 0;
    char text[3 * EVP_MAX_MD_SIZE + 1] = "";

    if (X509_digest(cert, EVP_sha256(), digest, &len) != 1)
        len = 0;
    for (unsigned i = 0; i < len; i++)
        snprintf(text + (size_t)3 * i, 4, "%02X%s", digest[i], i + 1 < len ? ":" : "");
    return shs__strdup(text);
}

static char *usage_text(X509 *cert)
{
    EXTENDED_KEY_USAGE *usage = X509_get_ext_d2i(cert, NID_ext_key_usage, NULL, NULL);
    BIO *bio = BIO_new(BIO_s_mem());
    char word[80];

    for (int i = 0; bio != NULL && usage != NULL && i < sk_ASN1_OBJECT_num(usage); i++) {
        const ASN1_OBJECT *object = sk_ASN1_OBJECT_value(usage, i);
        int nid = OBJ_obj2nid(object);

        if (nid == NID_undef)
            (void)OBJ_obj2txt(word, sizeof word, object, 1);
        else
            snprintf(word, sizeof word, "%s", OBJ_nid2sn(nid));
        BIO_printf(bio, "%s%s", i > 0 ? ", " : "", word);
    }
    EXTENDED_KEY_USAGE_free(usage);
    return take(bio);
}

/* One line; control characters, which a name may have, as "?". The value is freed. */
static int line(struct shs_buf *out, bool json, bool *first, const char *label, const char *key,
                char *value)
{
    int rc = SHS_OK;

    if (value == NULL)
        return SHS_NOMEM;
    if (json) {
        rc = shs__buf_printf(out, "%s\"%s\":\"", *first ? "" : ",", key);
        if (rc == SHS_OK)
            rc = shs__json_escape(out, shs__str(value));
        if (rc == SHS_OK)
            rc = shs__buf_append(out, "\"", 1);
    } else if (value[0] != '\0') {
        for (char *c = value; *c != '\0'; c++)
            *c = (unsigned char)*c < 0x20 || *c == 0x7f ? '?' : *c;
        rc = shs__buf_printf(out, "  %-12s %s\n", label, value);
    }
    *first = false;
    shs__free(value);
    return rc;
}

static int print_cert(const struct shs__look *self, int at, bool json, struct shs_buf *out)
{
    X509 *cert = sk_X509_value(self->certs, at);
    bool first = true;
    int rc = json
                 ? shs__buf_printf(out, "%s{", at == 0 ? "" : ",")
                 : shs__buf_printf(out, "certificate %d of %d\n", at + 1, sk_X509_num(self->certs));

    if (rc == SHS_OK)
        rc = line(out, json, &first, "subject", "subject", name_text(X509_get_subject_name(cert)));
    if (rc == SHS_OK)
        rc = line(out, json, &first, "names", "names", names_text(cert));
    if (rc == SHS_OK)
        rc = line(out, json, &first, "issuer", "issuer", name_text(X509_get_issuer_name(cert)));
    if (rc == SHS_OK)
        rc = line(out, json, &first, "serial", "serial",
                  shs__serial_text(X509_get0_serialNumber(cert)));
    if (rc == SHS_OK)
        rc = line(out, json, &first, "from", "not_before", time_text(X509_get0_notBefore(cert)));
    if (rc == SHS_OK)
        rc = line(out, json, &first, "to", "not_after", time_text(X509_get0_notAfter(cert)));
    if (rc == SHS_OK)
        rc = line(out, json, &first, "key", "key", key_text(cert));
    if (rc == SHS_OK)
        rc = line(out, json, &first, "signature", "signature",
                  shs__strdup(OBJ_nid2ln(X509_get_signature_nid(cert))));
    if (rc == SHS_OK)
        rc = line(out, json, &first, "usage", "usage", usage_text(cert));
    if (rc == SHS_OK)
        rc = line(out, json, &first, "authority", "ca",
                  shs__strdup(X509_check_ca(cert) == 1 ? "yes"
                              : json                   ? "no"
                                                       : ""));
    if (rc == SHS_OK)
        rc = line(out, json, &first, "SHA-256", "sha256", digest_text(cert));
    if (rc == SHS_OK && json)
        rc = shs__buf_append(out, "}", 1);
    return rc;
}

static int print_findings(const struct shs__look *self, const struct shs__look_wish *wish,
                          bool json, struct shs_buf *out)
{
    static const char *const levels[] = {"note", "warning", "soon", "error"};
    struct shs__finding *list = shs__calloc(FINDINGS_MAX, sizeof *list);
    size_t i, count = list == NULL ? 0 : shs__look_judge(self, wish, list, FINDINGS_MAX);
    int rc = list == NULL ? SHS_NOMEM : SHS_OK;

    if (rc == SHS_OK && json)
        rc = shs__buf_printf(out, "],\"findings\":[");
    for (i = 0; rc == SHS_OK && i < count; i++) {
        if (!json) {
            rc = shs__buf_printf(out, "%-9s %s: %s\n", levels[list[i].level], list[i].word,
                                 list[i].text);
            continue;
        }
        rc = shs__buf_printf(out, "%s{\"level\":\"%s\",\"word\":\"%s\",\"text\":\"",
                             i == 0 ? "" : ",", levels[list[i].level], list[i].word);
        if (rc == SHS_OK)
            rc = shs__json_escape(out, shs__str(list[i].text));
        if (rc == SHS_OK)
            rc = shs__buf_append(out, "\"}", 2);
    }
    shs__free(list);
    return rc;
}

int shs__look_print(const struct shs__look *self, const struct shs__look_wish *wish, bool json,
                    struct shs_buf *out)
{
    int rc = SHS_OK;

    if (json)
        rc = shs__buf_printf(out, "{\"protocol\":\"%s\",\"certificates\":[", self->protocol);
    else if (self->protocol[0] != '\0')
        rc = shs__buf_printf(out, "protocol %s\n", self->protocol);
    for (int i = 0; rc == SHS_OK && i < sk_X509_num(self->certs); i++)
        rc = print_cert(self, i, json, out);
    if (rc == SHS_OK)
        rc = print_findings(self, wish, json, out);
    if (rc == SHS_OK && json)
        rc = shs__buf_printf(out, "]}\n");
    ERR_clear_error();
    return rc;
}
