/* revocation.c - CRLs and OCSP responses, right or wrong in one thing. */
#include <stdio.h>

#include <openssl/err.h>
#include <openssl/ocsp.h>
#include <openssl/pem.h>
#include <openssl/x509v3.h>

#include "certs/authority.h"
#include "certs/words.h"

#define REVOKED_MAX 100000

static const struct {
    const char *word;
    int code;
} reasons[] = {
    {"keyCompromise", CRL_REASON_KEY_COMPROMISE},
    {"CACompromise", CRL_REASON_CA_COMPROMISE},
    {"affiliationChanged", CRL_REASON_AFFILIATION_CHANGED},
    {"superseded", CRL_REASON_SUPERSEDED},
    {"cessationOfOperation", CRL_REASON_CESSATION_OF_OPERATION},
    {"certificateHold", CRL_REASON_CERTIFICATE_HOLD},
    {"removeFromCRL", CRL_REASON_REMOVE_FROM_CRL},
};

static int reason_word(int *out, const char *word, struct shs_error *err)
{
    *out = OCSP_REVOKED_STATUS_NOSTATUS;
    if (word == NULL)
        return SHS_OK;
    for (size_t i = 0; i < SHS_ARRAY_LEN(reasons); i++) {
        if (strcmp(word, reasons[i].word) == 0) {
            *out = reasons[i].code;
            return SHS_OK;
        }
    }
    return shs_error_set(err, SHS_USAGE, 0,
                         "'%s' is no reason for a revocation. There are keyCompromise CACompromise "
                         "affiliationChanged superseded cessationOfOperation certificateHold "
                         "removeFromCRL.",
                         word);
}

static ASN1_TIME *make_time(const char *text, const char *standard, int64_t now, int *rc,
                            struct shs_error *err)
{
    int64_t when;
    ASN1_TIME *made;

    *rc = shs_parse_date(&when, text == NULL ? standard : text, now, err);
    if (*rc != SHS_OK)
        return NULL;
    made = ASN1_TIME_set(NULL, (time_t)when);
    if (made == NULL)
        *rc = shs__certs_nomem(err);
    return made;
}

/* OCSP has GeneralizedTime alone; NULL when the text is "none". */
static ASN1_GENERALIZEDTIME *make_ocsp_time(const char *text, const char *standard, int64_t now,
                                            int *rc, struct shs_error *err)
{
    ASN1_GENERALIZEDTIME *made = NULL;
    ASN1_TIME *when;

    *rc = SHS_OK;
    if (text != NULL && strcmp(text, "none") == 0)
        return NULL;
    when = make_time(text, standard, now, rc, err);
    if (when != NULL)
        made = ASN1_TIME_to_generalizedtime(when, NULL);
    ASN1_TIME_free(when);
    if (*rc == SHS_OK && made == NULL)
        *rc = shs__certs_nomem(err);
    return made;
}

static ASN1_INTEGER *parse_serial(const char *serial, int *rc, struct shs_error *err)
{
    ASN1_INTEGER *made = shs__serial_parse(serial);

    *rc = made != NULL
              ? SHS_OK
              : shs_error_set(err, SHS_USAGE, 0,
                              "'%.60s' is not a serial number: give hexadecimal digits, %d at most "
                              "(a - may stand before them).",
                              serial, SHS_SERIAL_DIGITS);
    ERR_clear_error();
    return made;
}

/* -- the list ---------------------------------------------------------------------------------- */

static int set_reason(X509_REVOKED *entry, int reason, struct shs_error *err)
{
    ASN1_ENUMERATED *number;
    int rc = SHS_OK;

    if (reason == OCSP_REVOKED_STATUS_NOSTATUS)
        return SHS_OK;
    number = ASN1_ENUMERATED_new();
    if (number == NULL || ASN1_ENUMERATED_set(number, reason) != 1 ||
        X509_REVOKED_add1_ext_i2d(entry, NID_crl_reason, number, 0, 0) != 1)
        rc = shs__certs_fail(err, "Revoking a certificate");
    ASN1_ENUMERATED_free(number);
    return rc;
}

int shs_ca_revoke(struct shs_ca *self, const char *serial, const char *reason, const char *when,
                  struct shs_error *err)
{
    X509_REVOKED *entry = NULL;
    ASN1_TIME *date = NULL;
    ASN1_INTEGER *number;
    int code = 0, rc;

    number = parse_serial(serial, &rc, err);
    if (rc == SHS_OK && sk_X509_REVOKED_num(self->revoked) >= REVOKED_MAX)
        rc = shs_error_set(err, SHS_LIMIT, 0, "An authority revokes %d certificates at most.",
                           REVOKED_MAX);
    if (rc == SHS_OK)
        rc = reason_word(&code, reason, err);
    if (rc == SHS_OK)
        date = make_time(when, "-1d", shs__ca_now(self), &rc, err);
    if (rc == SHS_OK) {
        entry = X509_REVOKED_new();
        if (entry == NULL || X509_REVOKED_set_serialNumber(entry, number) != 1 ||
            X509_REVOKED_set_revocationDate(entry, date) != 1)
            rc = shs__certs_nomem(err);
    }
    if (rc == SHS_OK)
        rc = set_reason(entry, code, err);
    if (rc == SHS_OK && sk_X509_REVOKED_push(self->revoked, entry) == 0)
        rc = shs__certs_nomem(err);
    if (rc == SHS_OK)
        entry = NULL;
    X509_REVOKED_free(entry);
    ASN1_TIME_free(date);
    ASN1_INTEGER_free(number);
    return rc;
}

/* -- CRLs -------------------------------------------------------------------------------------- */

/* Its own, or that of the CRL which it adds to: that extension is critical. */
static int add_crl_number(X509_CRL *crl, const char *word, bool base, struct shs_error *err)
{
    ASN1_INTEGER *number = ASN1_INTEGER_new();
    int rc = SHS_OK;

    if (number == NULL)
        rc = shs__certs_nomem(err);
    else if (base)
        rc = shs__number_word(number, word, "the number of a CRL that is added to", "or random21",
                              err);
    else
        rc = shs__number_word(number, word, "the number of a CRL", "random21, or none", err);
    if (rc == SHS_OK &&
        X509_CRL_add1_ext_i2d(crl, base ? NID_delta_crl : NID_crl_number, number, base, 0) != 1)
        rc = shs__certs_fail(err, "Numbering a CRL");
    ASN1_INTEGER_free(number);
    return rc;
}

static int add_crl_extensions(X509_CRL *crl, struct shs_ca *ca, const struct shs_crl_options *opt,
                              struct shs_error *err)
{
    const char *idp[2] = {NULL, NULL};
    char counted[24], *line = NULL;
    STACK_OF(X509_EXTENSION) *all = NULL;
    int rc = SHS_OK;

    snprintf(counted, sizeof counted, "%ld", ca->crl_number + 1);
    if (opt->number == NULL || strcmp(opt->number, "none") != 0)
        rc = add_crl_number(crl, opt->number == NULL ? counted : opt->number, false, err);
    if (rc == SHS_OK && opt->delta_base != NULL)
        rc = add_crl_number(crl, opt->delta_base, true, err);
    if (rc == SHS_OK && opt->idp != NULL) {
        line = shs__asprintf("issuingDistributionPoint=critical,%s", opt->idp);
        idp[0] = line;
        rc = line == NULL ? shs__certs_nomem(err) : SHS_OK;
    }
    all = sk_X509_EXTENSION_new_null();
    if (all == NULL && rc == SHS_OK)
        rc = shs__certs_nomem(err);
    if (rc == SHS_OK) {
        static const char *const aki[] = {"authorityKeyIdentifier=keyid", NULL};

        rc = shs__add_extensions(&all, aki, ca->cert, NULL, crl, err);
    }
    if (rc == SHS_OK)
        rc = shs__add_extensions(&all, idp, ca->cert, NULL, crl, err);
    if (rc == SHS_OK)
        rc = shs__add_extensions(&all, opt->extensions, ca->cert, NULL, crl, err);
    for (int i = 0; rc == SHS_OK && i < sk_X509_EXTENSION_num(all); i++) {
        if (X509_CRL_add_ext(crl, sk_X509_EXTENSION_value(all, i), -1) != 1)
            rc = shs__certs_nomem(err);
    }
    sk_X509_EXTENSION_pop_free(all, X509_EXTENSION_free);
    shs__free(line);
    return rc;
}

static int add_entries(X509_CRL *crl, const struct shs_ca *ca, struct shs_error *err)
{
    for (int i = 0; i < sk_X509_REVOKED_num(ca->revoked); i++) {
        X509_REVOKED *entry = X509_REVOKED_dup(sk_X509_REVOKED_value(ca->revoked, i));

        if (entry == NULL || X509_CRL_add0_revoked(crl, entry) != 1) {
            X509_REVOKED_free(entry);
            return shs__certs_nomem(err);
        }
    }
    return SHS_OK;
}

static int set_crl_dates(X509_CRL *crl, const struct shs_ca *ca, const struct shs_crl_options *opt,
                         struct shs_error *err)
{
    ASN1_TIME *from = NULL, *to = NULL;
    int rc;

    from = make_time(opt->this_update, "-1h", shs__ca_now(ca), &rc, err);
    if (rc == SHS_OK && (opt->next_update == NULL || strcmp(opt->next_update, "none") != 0))
        to = make_time(opt->next_update, "+30d", shs__ca_now(ca), &rc, err);
    if (rc == SHS_OK && (X509_CRL_set1_lastUpdate(crl, from) != 1 ||
                         (to != NULL && X509_CRL_set1_nextUpdate(crl, to) != 1)))
        rc = shs__certs_nomem(err);
    ASN1_TIME_free(from);
    ASN1_TIME_free(to);
    return rc;
}

static int sign_crl(X509_CRL *crl, const struct shs_ca *ca, const struct shs_crl_options *opt,
                    struct shs_error *err)
{
    const struct shs_ca *signer = opt->signer == NULL ? ca : opt->signer;
    const char *digest = shs__sign_digest(signer->key, opt->digest, signer->digest);
    EVP_MD_CTX *ctx = NULL;
    int rc = shs__sign_ctx(&ctx, ca->lib, signer->key, digest, err);

    if (rc == SHS_OK && (X509_CRL_sort(crl) != 1 || X509_CRL_sign_ctx(crl, ctx) <= 0))
        rc = shs__sign_failed(err, signer->key, digest, "Signing a CRL");
    EVP_MD_CTX_free(ctx);
    return rc;
}

/* What was written into a BIO, as memory of ours with a NUL behind it. */
static int take_bio(BIO *bio, bool good, void **bytes, size_t *len, struct shs_error *err)
{
    char *data = NULL, *copy;
    long size = bio == NULL ? 0 : BIO_get_mem_data(bio, &data);

    copy = good && size > 0 ? shs__malloc((size_t)size + 1) : NULL;
    if (copy == NULL) {
        BIO_free(bio);
        return shs__certs_nomem(err);
    }
    memcpy(copy, data, (size_t)size);
    copy[size] = '\0';
    BIO_free(bio);
    *bytes = copy;
    *len = (size_t)size;
    return SHS_OK;
}

void shs_crl_options_init_sized(struct shs_crl_options *opt, size_t size)
{
    struct shs_crl_options defaults = {.size = size};

    shs__sized_init(opt, size, &defaults, sizeof defaults);
}

int shs_ca_crl(struct shs_ca *self, const struct shs_crl_options *given, void **bytes, size_t *len,
               struct shs_error *err)
{
    struct shs_crl_options opt;
    X509_CRL *crl;
    BIO *bio;
    int rc;

    shs_crl_options_init(&opt);
    rc = given == NULL ? SHS_OK : shs__sized_copy(&opt, sizeof opt, given, "shs_crl_options", err);
    if (rc != SHS_OK)
        return rc;
    ERR_clear_error();
    crl = X509_CRL_new_ex(self->lib, NULL);
    if (crl == NULL || X509_CRL_set_version(crl, X509_CRL_VERSION_2) != 1 ||
        X509_CRL_set_issuer_name(crl, X509_get_subject_name(self->cert)) != 1)
        rc = shs__certs_nomem(err);
    else
        rc = set_crl_dates(crl, self, &opt, err);
    if (rc == SHS_OK)
        rc = add_entries(crl, self, err);
    if (rc == SHS_OK)
        rc = add_crl_extensions(crl, self, &opt, err);
    if (rc == SHS_OK)
        rc = sign_crl(crl, self, &opt, err);
    if (rc == SHS_OK) {
        bio = BIO_new(BIO_s_mem());
        rc = take_bio(bio,
                      bio != NULL && (opt.der ? i2d_X509_CRL_bio(bio, crl)
                                              : PEM_write_bio_X509_CRL(bio, crl)) == 1,
                      bytes, len, err);
    }
    if (rc == SHS_OK)
        self->crl_number++;
    X509_CRL_free(crl);
    return rc;
}

/* -- OCSP -------------------------------------------------------------------------------------- */

/* What a response is about: a status of a certificate, or why there is none. */
struct answer {
    int response; /* OCSP_RESPONSE_STATUS_* */
    int cert;     /* V_OCSP_CERTSTATUS_* */
    int reason;
    ASN1_TIME *revoked_at; /* of an entry of the list, or a copy; freed by the caller */
};

static int status_word(struct answer *out, const char *word, struct shs_error *err)
{
    static const struct {
        const char *word;
        int response, cert;
    } all[] = {{"good", OCSP_RESPONSE_STATUS_SUCCESSFUL, V_OCSP_CERTSTATUS_GOOD},
               {"revoked", OCSP_RESPONSE_STATUS_SUCCESSFUL, V_OCSP_CERTSTATUS_REVOKED},
               {"unknown", OCSP_RESPONSE_STATUS_SUCCESSFUL, V_OCSP_CERTSTATUS_UNKNOWN},
               {"malformedRequest", OCSP_RESPONSE_STATUS_MALFORMEDREQUEST, 0},
               {"internalError", OCSP_RESPONSE_STATUS_INTERNALERROR, 0},
               {"tryLater", OCSP_RESPONSE_STATUS_TRYLATER, 0},
               {"sigRequired", OCSP_RESPONSE_STATUS_SIGREQUIRED, 0},
               {"unauthorized", OCSP_RESPONSE_STATUS_UNAUTHORIZED, 0}};

    for (size_t i = 0; i < SHS_ARRAY_LEN(all); i++) {
        if (strcmp(word, all[i].word) == 0) {
            out->response = all[i].response;
            out->cert = all[i].cert;
            return SHS_OK;
        }
    }
    return shs_error_set(err, SHS_USAGE, 0,
                         "'%s' is not an OCSP status. Use one of: good revoked unknown, and "
                         "malformedRequest internalError tryLater sigRequired unauthorized.",
                         word);
}

static X509_REVOKED *find_revoked(const struct shs_ca *ca, const ASN1_INTEGER *serial)
{
    for (int i = 0; i < sk_X509_REVOKED_num(ca->revoked); i++) {
        X509_REVOKED *entry = sk_X509_REVOKED_value(ca->revoked, i);

        if (ASN1_INTEGER_cmp(X509_REVOKED_get0_serialNumber(entry), serial) == 0)
            return entry;
    }
    return NULL;
}

static int find_answer(struct answer *out, const struct shs_ca *ca, const ASN1_INTEGER *serial,
                       const struct shs_ocsp_options *opt, struct shs_error *err)
{
    X509_REVOKED *entry = find_revoked(ca, serial);
    ASN1_ENUMERATED *number;
    int rc;

    memset(out, 0, sizeof *out);
    rc = reason_word(&out->reason, opt->reason, err);
    if (rc == SHS_OK)
        rc = status_word(
            out, opt->status != NULL ? opt->status : (entry != NULL ? "revoked" : "good"), err);
    if (rc != SHS_OK || out->cert != V_OCSP_CERTSTATUS_REVOKED)
        return rc;
    if (entry == NULL) {
        out->revoked_at = make_time(NULL, "-1d", shs__ca_now(ca), &rc, err);
        return rc;
    }
    number = X509_REVOKED_get_ext_d2i(entry, NID_crl_reason, NULL, NULL);
    if (number != NULL && opt->reason == NULL)
        out->reason = (int)ASN1_ENUMERATED_get(number);
    ASN1_ENUMERATED_free(number);
    out->revoked_at = ASN1_STRING_dup(X509_REVOKED_get0_revocationDate(entry));
    return out->revoked_at == NULL ? shs__certs_nomem(err) : SHS_OK;
}

static OCSP_CERTID *make_id(const struct shs_ca *ca, const ASN1_INTEGER *serial)
{
    /* RFC 5019 2.1.1 has SHA-1 for this, and all clients can do it: it is not a signature. */
    EVP_MD *md = EVP_MD_fetch(ca->lib, "SHA1", NULL);
    OCSP_CERTID *id = md == NULL ? NULL
                                 : OCSP_cert_id_new(md, X509_get_subject_name(ca->cert),
                                                    X509_get0_pubkey_bitstr(ca->cert), serial);

    EVP_MD_free(md);
    return id;
}

static int add_status(OCSP_BASICRESP *basic, const struct shs_ca *ca, const ASN1_INTEGER *serial,
                      const struct answer *answer, const struct shs_ocsp_options *opt,
                      struct shs_error *err)
{
    ASN1_GENERALIZEDTIME *from, *to = NULL;
    OCSP_CERTID *id = NULL;
    int rc;

    from = make_ocsp_time(opt->this_update, "-1h", shs__ca_now(ca), &rc, err);
    if (rc == SHS_OK)
        to = make_ocsp_time(opt->next_update, "+7d", shs__ca_now(ca), &rc, err);
    if (rc == SHS_OK) {
        id = make_id(ca, serial);
        if (id == NULL || OCSP_basic_add1_status(basic, id, answer->cert, answer->reason,
                                                 answer->revoked_at, from, to) == NULL)
            rc = shs__certs_fail(err, "Making an OCSP response");
    }
    OCSP_CERTID_free(id);
    ASN1_GENERALIZEDTIME_free(from);
    ASN1_GENERALIZEDTIME_free(to);
    return rc;
}

static int sign_answer(OCSP_BASICRESP *basic, const struct shs_ca *ca,
                       const struct shs_ocsp_options *opt, struct shs_error *err)
{
    const struct shs_ca *signer = opt->signer == NULL ? ca : opt->signer;
    EVP_PKEY *key = opt->responder != NULL ? opt->responder->key : signer->key;
    X509 *cert = opt->responder != NULL ? opt->responder->cert : signer->cert;
    EVP_MD_CTX *ctx = NULL;
    int rc = shs__sign_ctx(&ctx, ca->lib, key, opt->digest, err);

    /* A responder's certificate goes along; the authority's own, every client has. */
    if (rc == SHS_OK &&
        OCSP_basic_sign_ctx(basic, cert, ctx, NULL, opt->responder != NULL ? 0 : OCSP_NOCERTS) != 1)
        rc = shs__sign_failed(err, key, opt->digest, "Signing an OCSP response");
    EVP_MD_CTX_free(ctx);
    return rc;
}

void shs_ocsp_options_init_sized(struct shs_ocsp_options *opt, size_t size)
{
    struct shs_ocsp_options defaults = {.size = size};

    shs__sized_init(opt, size, &defaults, sizeof defaults);
}

static int ocsp(const struct shs_ca *ca, const ASN1_INTEGER *serial,
                const struct shs_ocsp_options *given, void **bytes, size_t *len,
                struct shs_error *err)
{
    struct shs_ocsp_options opt;
    struct answer answer;
    OCSP_BASICRESP *basic = NULL;
    OCSP_RESPONSE *response = NULL;
    BIO *bio;
    int rc;

    shs_ocsp_options_init(&opt);
    rc = given == NULL ? SHS_OK : shs__sized_copy(&opt, sizeof opt, given, "shs_ocsp_options", err);
    if (rc != SHS_OK)
        return rc;
    ERR_clear_error();
    rc = find_answer(&answer, ca, serial, &opt, err);
    if (rc == SHS_OK && answer.response == OCSP_RESPONSE_STATUS_SUCCESSFUL) {
        basic = OCSP_BASICRESP_new();
        rc = basic == NULL ? shs__certs_nomem(err)
                           : add_status(basic, ca, serial, &answer, &opt, err);
        if (rc == SHS_OK)
            rc = sign_answer(basic, ca, &opt, err);
    }
    if (rc == SHS_OK) {
        response = OCSP_response_create(answer.response, basic);
        bio = BIO_new(BIO_s_mem());
        rc = take_bio(bio,
                      response != NULL && bio != NULL && i2d_OCSP_RESPONSE_bio(bio, response) == 1,
                      bytes, len, err);
    }
    ASN1_TIME_free(answer.revoked_at);
    OCSP_RESPONSE_free(response);
    OCSP_BASICRESP_free(basic);
    return rc;
}

int shs_ca_ocsp(const struct shs_ca *self, const struct shs_issued_cert *cert,
                const struct shs_ocsp_options *opt, void **bytes, size_t *len,
                struct shs_error *err)
{
    return ocsp(self, X509_get0_serialNumber(cert->cert), opt, bytes, len, err);
}

int shs_ca_ocsp_serial(const struct shs_ca *self, const char *serial,
                       const struct shs_ocsp_options *opt, void **bytes, size_t *len,
                       struct shs_error *err)
{
    int rc;
    ASN1_INTEGER *number = parse_serial(serial, &rc, err);

    if (rc == SHS_OK)
        rc = ocsp(self, number, opt, bytes, len, err);
    ASN1_INTEGER_free(number);
    return rc;
}
