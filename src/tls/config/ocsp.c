#include "tls/config/ocsp.h"

#include <time.h>

#include <openssl/err.h>
#include <openssl/ocsp.h>
#include <openssl/x509v3.h>

#include "tls/config/identity.h"
#include "tls/config/source.h"

#define RESPONSE_MAX ((size_t)64 * 1024)
#define STATUS_REQUEST 5 /* the TLS extension that must-staple names */
#define CLOCK_SLACK 300

/* Without memory of its own: a certificate must not become good for ever because there is none. */
bool shs__tls_time_read(const ASN1_TIME *when, int64_t *out)
{
    int64_t year, era, day;
    struct tm tm;

    if (when == NULL || ASN1_TIME_to_tm(when, &tm) != 1)
        return false;
    /* Days since 1970 in the calendar of Gregory, with years that begin in March. */
    year = (int64_t)tm.tm_year + 1900 - (tm.tm_mon < 2);
    era = (year >= 0 ? year : year - 399) / 400;
    day = (153 * (tm.tm_mon + (tm.tm_mon < 2 ? 10 : -2)) + 2) / 5 + tm.tm_mday - 1;
    year -= era * 400;
    day += year * 365 + year / 4 - year / 100 + era * 146097 - 719468;
    *out = ((day * 24 + tm.tm_hour) * 60 + tm.tm_min) * 60 + tm.tm_sec;
    return true;
}

int64_t shs__tls_time(const ASN1_TIME *when)
{
    int64_t time = INT64_MAX;

    return shs__tls_time_read(when, &time) ? time : INT64_MAX;
}

bool shs__tls_must_staple(X509 *leaf)
{
    TLS_FEATURE *feature = X509_get_ext_d2i(leaf, NID_tlsfeature, NULL, NULL);
    bool must = false;

    for (int i = 0; feature != NULL && i < sk_ASN1_INTEGER_num(feature); i++)
        must = must || ASN1_INTEGER_get(sk_ASN1_INTEGER_value(feature, i)) == STATUS_REQUEST;
    TLS_FEATURE_free(feature);
    ERR_clear_error();
    return must;
}

/* The answer about our certificate: by its whole id when the issuer is known, else by serial. */
static OCSP_SINGLERESP *find_single(OCSP_BASICRESP *basic, X509 *leaf, STACK_OF(X509) * chain)
{
    X509 *issuer = sk_X509_num(chain) > 0 ? sk_X509_value(chain, 0) : NULL;
    OCSP_SINGLERESP *found = NULL;

    for (int i = 0; found == NULL && i < OCSP_resp_count(basic); i++) {
        OCSP_SINGLERESP *single = OCSP_resp_get0(basic, i);
        OCSP_CERTID *id = NULL, *have;
        const ASN1_OBJECT *algorithm;
        union {
            const OCSP_CERTID *from;
            OCSP_CERTID *to;
        } cast = {.from = OCSP_SINGLERESP_get0_id(single)};
        ASN1_OBJECT *md = NULL;
        ASN1_INTEGER *serial = NULL;

        have = cast.to;
        if (OCSP_id_get0_info(NULL, &md, NULL, &serial, have) != 1)
            continue;
        if (ASN1_INTEGER_cmp(serial, X509_get0_serialNumber(leaf)) != 0)
            continue;
        algorithm = md;
        if (issuer == NULL) {
            found = single;
            continue;
        }
        id = OCSP_cert_to_id(EVP_get_digestbyobj(algorithm), leaf, issuer);
        if (id != NULL && OCSP_id_cmp(id, have) == 0)
            found = single;
        OCSP_CERTID_free(id);
    }
    return found;
}

/* Whose certificates are valid at `when`. */
static bool signed_by_issuer(OCSP_BASICRESP *basic, STACK_OF(X509) * chain, int64_t when)
{
    X509_STORE *store;
    bool good;

    if (sk_X509_num(chain) == 0)
        return true; /* no one here to ask; clients check it */
    store = X509_STORE_new();
    good = store != NULL && X509_STORE_add_cert(store, sk_X509_value(chain, 0)) == 1 &&
           X509_STORE_set_flags(store, X509_V_FLAG_PARTIAL_CHAIN) == 1;
    if (good) {
        X509_VERIFY_PARAM_set_time(X509_STORE_get0_param(store), (time_t)when);
        good = OCSP_basic_verify(basic, chain, store, 0) == 1;
    }
    X509_STORE_free(store);
    return good;
}

int shs__tls_ocsp_note(struct shs_tls_ocsp *self, const struct shs_error *why)
{
    if (self->note == NULL)
        self->note = shs__malloc(sizeof *self->note);
    if (self->note == NULL)
        return SHS_NOMEM;
    *self->note = *why;
    return SHS_OK;
}

bool shs__tls_ocsp_fits(const struct shs_tls_ocsp *self, int64_t now)
{
    return self->der != NULL && self->this_update <= now + CLOCK_SLACK && self->next_update > now;
}

/* The moment of its time that is next to this one: a clock that is wrong says nothing of it. */
static int64_t within(const struct shs_tls_ocsp *self, int64_t now)
{
    if (now < self->this_update)
        return self->this_update;
    return now < self->next_update ? now : self->next_update - 1;
}

/* SHS_OK when it can be stapled in its time; SHS_TLS and why not. */
static int check(struct shs_tls_ocsp *self, OCSP_BASICRESP *basic, const char *path, X509 *leaf,
                 STACK_OF(X509) * chain, int64_t now, struct shs_error *err)
{
    ASN1_GENERALIZEDTIME *this_update = NULL, *next_update = NULL;
    OCSP_SINGLERESP *single = find_single(basic, leaf, chain);
    struct shs_tls_path_name name;
    int status;

    shs__tls_path_name(&name, path);
    if (single == NULL)
        return shs_error_set(err, SHS_TLS, 0,
                             "The OCSP response in %s is about another certificate, and is not "
                             "stapled. Fetch one for this certificate.",
                             name.text);
    status = OCSP_single_get0_status(single, NULL, NULL, &this_update, &next_update);
    self->this_update = shs__tls_time(this_update);
    self->next_update = next_update == NULL ? INT64_MAX : shs__tls_time(next_update);
    if (!signed_by_issuer(basic, chain, within(self, now)))
        return shs__tls_error(err, SHS_TLS,
                              "The OCSP response in %s is not signed by the certificate's issuer, "
                              "and is not stapled",
                              name.text);
    if (status != V_OCSP_CERTSTATUS_GOOD)
        return shs_error_set(err, SHS_TLS, 0,
                             "The OCSP response in %s says that the certificate is %s, and is not "
                             "stapled.",
                             name.text, OCSP_cert_status_str(status));
    return SHS_OK;
}

/* The same by the clock, which may be set: it is stapled when its time has come. */
static int check_dates(const struct shs_tls_ocsp *self, const char *path, int64_t now,
                       struct shs_error *err)
{
    struct shs_tls_path_name name;

    shs__tls_path_name(&name, path);
    if (self->next_update <= now)
        return shs_error_set(err, SHS_TLS, 0,
                             "The OCSP response in %s is stale (its nextUpdate has passed), and is "
                             "not stapled. Fetch a new one.",
                             name.text);
    if (self->this_update > now + CLOCK_SLACK)
        return shs_error_set(err, SHS_TLS, 0,
                             "The OCSP response in %s is from the future, and is not stapled. Is "
                             "the clock of this machine right?",
                             name.text);
    return SHS_OK;
}

static int not_one(const char *path, struct shs_error *err)
{
    return shs_error_set(err, SHS_TLS, 0,
                         "'%s' is not an OCSP response in DER. Make it with openssl ocsp -respout.",
                         path);
}

/* What a responder has said instead of an answer; and bytes that clients would stumble over. */
static int check_form(OCSP_RESPONSE *response, size_t left, const char *path, struct shs_error *err)
{
    int status = OCSP_response_status(response);
    struct shs_tls_path_name name;

    shs__tls_path_name(&name, path);
    if (status != OCSP_RESPONSE_STATUS_SUCCESSFUL)
        return shs_error_set(err, SHS_TLS, 0,
                             "The OCSP response in %s says only '%s', and is not stapled. Fetch "
                             "another one.",
                             name.text, OCSP_response_status_str(status));
    if (left > 0)
        return shs_error_set(err, SHS_TLS, 0,
                             "The OCSP response in %s ends %zu bytes before the file does, and is "
                             "not stapled. Fetch a new one.",
                             name.text, left);
    return SHS_OK;
}

int shs__tls_ocsp_load(struct shs_tls_ocsp *self, const char *path, X509 *leaf,
                       STACK_OF(X509) * chain, int64_t now, struct shs_error *err)
{
    OCSP_RESPONSE *response = NULL;
    OCSP_BASICRESP *basic = NULL;
    struct shs_error unfit;
    const unsigned char *at;
    struct shs_buf bytes;
    size_t left;
    int rc;

    memset(self, 0, sizeof *self);
    rc = shs__tls_read_file(&bytes, path, RESPONSE_MAX, "OCSP response", err);
    if (rc != SHS_OK) {
        shs__buf_free(&bytes);
        return rc;
    }
    ERR_clear_error();
    at = (const unsigned char *)shs__buf_head(&bytes);
    response = bytes.len == 0 ? NULL : d2i_OCSP_RESPONSE(NULL, &at, (long)bytes.len);
    if (response == NULL) {
        rc = not_one(path, err);
        goto out;
    }
    if (OCSP_response_status(response) == OCSP_RESPONSE_STATUS_SUCCESSFUL &&
        (basic = OCSP_response_get1_basic(response)) == NULL) {
        rc = not_one(path, err);
        goto out;
    }
    left = bytes.len - (size_t)(at - (const unsigned char *)shs__buf_head(&bytes));
    if (check_form(response, left, path, &unfit) != SHS_OK ||
        check(self, basic, path, leaf, chain, now, &unfit) != SHS_OK) {
        rc = shs__tls_ocsp_note(self, &unfit);
        if (rc != SHS_OK)
            shs_error_set(err, rc, 0, "Out of memory for an OCSP response.");
        goto out;
    }
    self->der = shs__malloc(bytes.len);
    if (self->der == NULL ||
        (check_dates(self, path, now, &unfit) != SHS_OK && shs__tls_ocsp_note(self, &unfit) != 0)) {
        rc = shs_error_set(err, SHS_NOMEM, 0, "Out of memory for an OCSP response.");
        goto out;
    }
    memcpy(self->der, shs__buf_head(&bytes), bytes.len);
    self->len = bytes.len;
out:
    OCSP_BASICRESP_free(basic);
    OCSP_RESPONSE_free(response);
    shs__buf_free(&bytes);
    ERR_clear_error();
    return rc;
}

int shs__tls_ocsp_share(struct shs_tls_ocsp *self, const struct shs_tls_ocsp *from)
{
    unsigned char *copy = shs__malloc(from->len);

    if (copy == NULL)
        return SHS_NOMEM;
    memcpy(copy, from->der, from->len);
    shs__free(self->der);
    self->der = copy;
    self->len = from->len;
    self->this_update = from->this_update;
    self->next_update = from->next_update;
    return SHS_OK;
}

bool shs__tls_ocsp_same(const struct shs_tls_ocsp *a, const struct shs_tls_ocsp *b)
{
    return a->len == b->len && (a->len == 0 || memcmp(a->der, b->der, a->len) == 0);
}

void shs__tls_ocsp_free(struct shs_tls_ocsp *self)
{
    shs__free(self->der);
    shs__free(self->note);
    memset(self, 0, sizeof *self);
}
