/* look_judge.c - why a client would refuse a certificate. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include <openssl/err.h>
#include <openssl/x509v3.h>

#include "certs/look_inside.h"
#include "certs/texts.h"

#define DAY ((int64_t)86400)
#define SERIAL_MAX_LEN 20 /* RFC 5280 4.1.2.2 */
#define SHA1_BITS 80
#define APPLE_DAYS 825

struct judge {
    const struct shs__look *look;
    const struct shs__look_wish *wish;
    struct shs__finding *list;
    size_t count, cap;
};

static void SHS_PRINTF(4, 5)
    found(struct judge *j, enum shs__finding_level level, const char *word, const char *fmt, ...)
{
    struct shs__finding *to;
    va_list ap;

    if (j->count == j->cap)
        return;
    to = &j->list[j->count++];
    to->level = level;
    snprintf(to->word, sizeof to->word, "%s", word);
    va_start(ap, fmt);
    vsnprintf(to->text, sizeof to->text, fmt, ap);
    va_end(ap);
}

/* "the certificate", "the authority at place 2". */
static const char *which(char *buf, size_t cap, int at)
{
    snprintf(buf, cap, at == 0 ? "the certificate" : "certificate %d of the chain", at + 1);
    return buf;
}

static int64_t unix_time(const ASN1_TIME *when)
{
    struct tm tm;

    return ASN1_TIME_to_tm(when, &tm) == 1 ? (int64_t)timegm(&tm) : 0;
}

static void judge_dates(struct judge *j, X509 *cert, int at)
{
    int64_t from = unix_time(X509_get0_notBefore(cert)), to = unix_time(X509_get0_notAfter(cert));
    int64_t now = j->wish->now, left = to - now;
    char name[48];

    which(name, sizeof name, at);
    if (from > to)
        found(j, SHS_FINDING_ERROR, "inverted-dates", "%s ends before it begins", name);
    else if (left < 0)
        found(j, SHS_FINDING_ERROR, "expired",
              "%s ended %" PRId64 " days and %" PRId64 " hours ago", name, -left / DAY,
              -left % DAY / 3600);
    else if (from > now)
        found(j, SHS_FINDING_ERROR, "not-yet-valid",
              "%s begins in %" PRId64 " days and %" PRId64 " hours", name, (from - now) / DAY,
              (from - now) % DAY / 3600);
    else if (left <= j->wish->expires_in)
        found(j, SHS_FINDING_SOON, "expires-soon",
              "%s ends in %" PRId64 " days and %" PRId64 " hours", name, left / DAY,
              left % DAY / 3600);
    if (at == 0 && (to - from) / DAY > APPLE_DAYS)
        found(j, SHS_FINDING_NOTE, "long-validity",
              "it is valid for more than %d days: Apple's systems refuse that", APPLE_DAYS);
}

static void judge_names(struct judge *j, X509 *cert)
{
    GENERAL_NAMES *names = X509_get_ext_d2i(cert, NID_subject_alt_name, NULL, NULL);
    const char *host = j->wish->host;

    if (!j->wish->client && (names == NULL || sk_GENERAL_NAME_num(names) == 0))
        found(j, SHS_FINDING_WARNING, "no-san",
              "it has no subjectAltName: browsers, Go and others refuse it");
    if (host != NULL && X509_check_ip_asc(cert, host, 0) != 1 &&
        X509_check_host(cert, host, 0, X509_CHECK_FLAG_NEVER_CHECK_SUBJECT, NULL) != 1)
        found(j, SHS_FINDING_ERROR, "wrong-name", "it is not for %s", host);
    GENERAL_NAMES_free(names);
}

static void judge_usage(struct judge *j, X509 *cert)
{
    uint32_t flags = X509_get_extension_flags(cert);
    uint32_t wanted = j->wish->client ? XKU_SSL_CLIENT : XKU_SSL_SERVER;

    if ((flags & EXFLAG_XKUSAGE) != 0 && (X509_get_extended_key_usage(cert) & wanted) == 0)
        found(j, SHS_FINDING_ERROR, "usage", "its extended key usage is not %s",
              j->wish->client ? "clientAuth" : "serverAuth");
    if ((flags & EXFLAG_KUSAGE) != 0 && (X509_get_key_usage(cert) & KU_DIGITAL_SIGNATURE) == 0)
        found(j,
              (X509_get_key_usage(cert) & KU_KEY_ENCIPHERMENT) != 0 ? SHS_FINDING_WARNING
                                                                    : SHS_FINDING_ERROR,
              "key-usage", "its key usage has no digitalSignature: TLS 1.3 needs it");
    if ((flags & EXFLAG_CA) != 0)
        found(j, j->wish->strict ? SHS_FINDING_WARNING : SHS_FINDING_NOTE, "ca-as-leaf",
              "it says that it is an authority");
}

static void judge_algorithms(struct judge *j, X509 *cert, int at)
{
    EVP_PKEY *key = X509_get0_pubkey(cert);
    bool own = X509_check_issued(cert, cert) == X509_V_OK;
    int digest = 0, bits = 0;
    uint32_t flags = 0;
    char name[48];

    which(name, sizeof name, at);
    if (key == NULL) {
        found(j, SHS_FINDING_ERROR, "key", "the key of %s cannot be read", name);
    } else if (EVP_PKEY_get_security_bits(key) < 112) {
        found(j, SHS_FINDING_ERROR, "weak-key", "the key of %s is too short: %d bits", name,
              EVP_PKEY_get_bits(key));
    }
    /* Nobody looks at the signature of a root. */
    if (!own && X509_get_signature_info(cert, &digest, NULL, &bits, &flags) == 1 &&
        (digest == NID_md5 || digest == NID_sha1 || (bits >= 0 && bits < SHA1_BITS)))
        found(j, SHS_FINDING_ERROR, "weak-signature", "the signature of %s is over %s", name,
              OBJ_nid2ln(digest));
}

static void judge_form(struct judge *j, X509 *cert, int at)
{
    uint32_t flags = X509_get_extension_flags(cert);
    const ASN1_INTEGER *serial = X509_get0_serialNumber(cert);
    enum shs__finding_level strict = j->wish->strict ? SHS_FINDING_ERROR : SHS_FINDING_NOTE;
    char name[48];

    which(name, sizeof name, at);
    if ((flags & EXFLAG_CRITICAL) != 0)
        found(j, SHS_FINDING_ERROR, "unknown-critical",
              "%s has a critical extension that clients do not know", name);
    if ((flags & EXFLAG_INVALID) != 0)
        found(j, SHS_FINDING_ERROR, "malformed", "%s has an extension that is damaged or twice",
              name);
    if (X509_get_version(cert) != X509_VERSION_3) {
        found(j, SHS_FINDING_WARNING, "version1", "%s is X.509 version %ld: it has no extensions",
              name, X509_get_version(cert) + 1);
        return;
    }
    if ((ASN1_STRING_type((const ASN1_STRING *)serial) & V_ASN1_NEG) != 0 ||
        ASN1_STRING_length((const ASN1_STRING *)serial) > SERIAL_MAX_LEN)
        found(j, SHS_FINDING_WARNING, "serial",
              "the serial number of %s is negative or longer than %d bytes", name, SERIAL_MAX_LEN);
    else if (ASN1_INTEGER_get(serial) == 0)
        found(j, SHS_FINDING_WARNING, "serial", "the serial number of %s is 0", name);
    if ((flags & EXFLAG_SS) == 0 && X509_get0_authority_key_id(cert) == NULL)
        found(j, strict == SHS_FINDING_ERROR ? strict : SHS_FINDING_WARNING, "no-aki",
              "%s has no authorityKeyIdentifier: Python 3.13 and other strict clients refuse it",
              name);
    if (X509_get0_subject_key_id(cert) == NULL && (at > 0 || j->wish->strict))
        found(j, strict, "no-ski", "%s has no subjectKeyIdentifier", name);
    if (at > 0 && X509_check_ca(cert) != 1)
        found(j, SHS_FINDING_ERROR, "not-a-ca", "%s follows it, but is not an authority", name);
}

/* -- the chain --------------------------------------------------------------------------------- */

/* Its issuer among those that were sent; -1 = none. */
static int find_issuer(const struct shs__look *look, int at)
{
    for (int i = 0; i < sk_X509_num(look->certs); i++) {
        if (i != at && X509_check_issued(sk_X509_value(look->certs, i),
                                         sk_X509_value(look->certs, at)) == X509_V_OK)
            return i;
    }
    return -1;
}

static void judge_chain(struct judge *j)
{
    int count = sk_X509_num(j->look->certs), at = 0, steps;
    X509 *cert = NULL;

    for (steps = 0; steps < count; steps++) {
        int next = find_issuer(j->look, at);

        cert = sk_X509_value(j->look->certs, at);
        if ((X509_get_extension_flags(cert) & EXFLAG_SS) != 0 || next < 0)
            break;
        if (X509_verify(cert, X509_get0_pubkey(sk_X509_value(j->look->certs, next))) != 1)
            found(j, SHS_FINDING_ERROR, "bad-signature",
                  "the signature of certificate %d is not its issuer's", at + 1);
        if (next != at + 1)
            found(j, SHS_FINDING_NOTE, "order",
                  "certificate %d is followed by %d, not by its "
                  "issuer: RFC 8446 asks clients to accept that",
                  at + 1, at + 2);
        at = next;
    }
    ERR_clear_error();
    cert = sk_X509_value(j->look->certs, at);
    if ((X509_get_extension_flags(cert) & EXFLAG_SS) != 0)
        found(j, at == 0 && j->wish->ca_pem == NULL ? SHS_FINDING_WARNING : SHS_FINDING_NOTE,
              at == 0 ? "self-signed" : "root-included",
              at == 0 ? "it is signed by itself: each client must be told to trust it"
                      : "the root is sent as well, which nobody needs");
}

static X509_STORE *make_store(const struct judge *j)
{
    STACK_OF(X509) *trusted = NULL;
    X509_STORE *store = X509_STORE_new();

    if (store == NULL ||
        shs__text_parse(j->wish->ca_pem, j->wish->ca_pem_len, NULL, &trusted, NULL) != SHS_OK) {
        X509_STORE_free(store);
        return NULL;
    }
    for (int i = 0; i < sk_X509_num(trusted); i++)
        (void)X509_STORE_add_cert(store, sk_X509_value(trusted, i));
    sk_X509_pop_free(trusted, X509_free);
    return store;
}

/* As a client with these authorities does it. */
static void judge_trust(struct judge *j)
{
    X509_STORE *store;
    X509_STORE_CTX *ctx = X509_STORE_CTX_new();
    X509_VERIFY_PARAM *param;

    if (j->wish->ca_pem == NULL)
        goto out;
    store = make_store(j);
    if (store == NULL) {
        found(j, SHS_FINDING_ERROR, "ca", "the authorities to trust cannot be read");
        goto out;
    }
    if (ctx != NULL &&
        X509_STORE_CTX_init(ctx, store, sk_X509_value(j->look->certs, 0), j->look->certs) == 1) {
        X509_STORE_CTX_set_default(ctx, j->wish->client ? "ssl_client" : "ssl_server");
        param = X509_STORE_CTX_get0_param(ctx);
        X509_VERIFY_PARAM_set_time(param, (time_t)j->wish->now);
        X509_VERIFY_PARAM_set_auth_level(param, 2);
        if (j->wish->strict)
            X509_VERIFY_PARAM_set_flags(param, X509_V_FLAG_X509_STRICT);
        if (X509_verify_cert(ctx) != 1)
            found(j, SHS_FINDING_ERROR, "chain", "OpenSSL says at depth %d: %s",
                  X509_STORE_CTX_get_error_depth(ctx),
                  X509_verify_cert_error_string(X509_STORE_CTX_get_error(ctx)));
        X509_STORE_CTX_cleanup(ctx);
    }
    X509_STORE_free(store);
out:
    X509_STORE_CTX_free(ctx);
    ERR_clear_error();
}

static void judge_key(struct judge *j)
{
    unsigned char signature[2048];
    size_t len = sizeof signature;
    EVP_MD_CTX *sign = EVP_MD_CTX_new(), *verify = EVP_MD_CTX_new();
    EVP_PKEY *public = X509_get0_pubkey(sk_X509_value(j->look->certs, 0));
    const unsigned char text[] = "shs";

    /* The two halves may look alike and not belong together. */
    if (j->look->key != NULL && public != NULL && sign != NULL && verify != NULL &&
        (EVP_DigestSignInit(sign, NULL, NULL, NULL, j->look->key) != 1 ||
         EVP_DigestSign(sign, signature, &len, text, sizeof text) != 1 ||
         EVP_DigestVerifyInit(verify, NULL, NULL, NULL, public) != 1 ||
         EVP_DigestVerify(verify, signature, len, text, sizeof text) != 1))
        found(j, SHS_FINDING_ERROR, "mismatched-key", "the key in the file is not its key");
    EVP_MD_CTX_free(sign);
    EVP_MD_CTX_free(verify);
    ERR_clear_error();
}

static int worse(const void *a, const void *b)
{
    const struct shs__finding *one = a, *two = b;

    return (int)two->level - (int)one->level;
}

size_t shs__look_judge(const struct shs__look *self, const struct shs__look_wish *wish,
                       struct shs__finding *list, size_t cap)
{
    struct judge j = {.look = self, .wish = wish, .list = list, .cap = cap};
    X509 *leaf = sk_X509_value(self->certs, 0);

    for (int i = 0; i < sk_X509_num(self->certs); i++) {
        X509 *cert = sk_X509_value(self->certs, i);

        (void)X509_check_purpose(cert, -1, 0); /* so that OpenSSL has looked at the extensions */
        judge_dates(&j, cert, i);
        judge_algorithms(&j, cert, i);
        judge_form(&j, cert, i);
    }
    judge_names(&j, leaf);
    judge_usage(&j, leaf);
    judge_key(&j);
    judge_chain(&j);
    judge_trust(&j);
    ERR_clear_error();
    qsort(list, j.count, sizeof *list, worse);
    return j.count;
}
