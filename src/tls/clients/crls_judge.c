#include "tls/clients/crl.h"

#include <openssl/err.h>

#include "tls/config/identity.h"

/* Certificates are looked up one after the other. */
struct looking {
    const struct shs_tls_crls *crls;
    X509 *cert, *issuer;
    int ca; /* of cas: the issuer; or SHS__TLS_CRL_BROUGHT */
    int64_t now;
    bool is_ca, has_points, failed; /* failed: no memory */
    CRL_DIST_POINTS *points;        /* of the certificate, when somebody has asked */
};

/* Their order by number; 0 when one of them has none. */
static int by_number(const ASN1_INTEGER *a, const ASN1_INTEGER *b)
{
    return a == NULL || b == NULL ? 0 : ASN1_INTEGER_cmp(a, b);
}

static bool is_newer(const struct shs_tls_crl *a, const struct shs_tls_crl *b)
{
    return a->since != b->since ? a->since > b->since : by_number(a->number, b->number) > 0;
}

/* About the same certificates: numbers go on from one to the next (RFC 5280, 5.2.3). */
static bool same_scope(const struct shs_tls_crl *a, const struct shs_tls_crl *b)
{
    if (a->scope == NULL || b->scope == NULL)
        return a->scope == b->scope;
    return ASN1_OCTET_STRING_cmp(a->scope, b->scope) == 0;
}

/* Beyond doubt: about all that the other is about, and later by the CA's clock and its counter. */
static bool supersedes(const struct shs_tls_crl *a, const struct shs_tls_crl *b)
{
    int order = by_number(a->number, b->number);

    if (a->scope != NULL && !same_scope(a, b))
        return false;
    return a->since >= b->since && order >= 0 && (a->since > b->since || order > 0);
}

static bool has_name_of(const GENERAL_NAMES *ours, const GENERAL_NAMES *theirs)
{
    for (int i = 0; i < sk_GENERAL_NAME_num(ours); i++) {
        for (int k = 0; k < sk_GENERAL_NAME_num(theirs); k++) {
            if (GENERAL_NAME_cmp(sk_GENERAL_NAME_value(ours, i),
                                 sk_GENERAL_NAME_value(theirs, k)) == 0)
                return true;
        }
    }
    return false;
}

/* By their whole names, where one of them is relative to an issuer. */
static bool is_same_place(const DIST_POINT_NAME *a, const DIST_POINT_NAME *b)
{
    const DIST_POINT_NAME *whole = a->type == 0 ? a : b;
    const X509_NAME *name = a->type == 0 ? b->dpname : a->dpname;

    if (a->type == 0 && b->type == 0)
        return has_name_of(a->name.fullname, b->name.fullname);
    if (a->type != 0 && b->type != 0)
        return X509_NAME_cmp(a->dpname, b->dpname) == 0;
    for (int i = 0; i < sk_GENERAL_NAME_num(whole->name.fullname); i++) {
        const GENERAL_NAME *one = sk_GENERAL_NAME_value(whole->name.fullname, i);

        if (one->type == GEN_DIRNAME && X509_NAME_cmp(one->d.directoryName, name) == 0)
            return true;
    }
    return false;
}

/* RFC 5280, 6.3.3 (b)(2)(i): the certificate sends one to where this CRL is from. */
static bool is_sent_to(struct looking *look, const DIST_POINT_NAME *place)
{
    int critical = 0;

    if (!look->has_points) {
        look->points = X509_get_ext_d2i(look->cert, NID_crl_distribution_points, &critical, NULL);
        /* A malformed one has not come that far. */
        look->failed = look->failed || (look->points == NULL && critical != -1);
        look->has_points = true;
    }
    for (int i = 0; i < sk_DIST_POINT_num(look->points); i++) {
        const DIST_POINT *point = sk_DIST_POINT_value(look->points, i);

        if (point->reasons != NULL || point->CRLissuer != NULL || point->distpoint == NULL)
            continue;
        if (DIST_POINT_set_dpname(point->distpoint, X509_get_issuer_name(look->cert)) != 1)
            look->failed = true;
        else if (is_same_place(point->distpoint, place))
            return true;
    }
    return false;
}

/* What fails for want of memory is not an answer: it is asked twice, as OpenSSL may not say so. */
static bool is_same_key(struct looking *look, const EVP_PKEY *a, const EVP_PKEY *b)
{
    bool same = EVP_PKEY_eq(a, b) == 1 || EVP_PKEY_eq(a, b) == 1;

    look->failed = look->failed || (!same && shs__tls_is_short_of_memory());
    return same;
}

/* The issuer came along with the client: is it the one that has signed this CRL? */
static bool is_signed_by_brought(struct looking *look, struct shs_tls_crl *item)
{
    EVP_PKEY *key = X509_get0_pubkey(look->issuer), *signer = atomic_load(&item->signer);

    if (X509_NAME_cmp(X509_get_subject_name(look->issuer), X509_CRL_get_issuer(item->crl)) != 0 ||
        (X509_get_key_usage(look->issuer) & KU_CRL_SIGN) == 0)
        return false;
    ERR_clear_error();
    if (key != NULL && signer != NULL) /* whose signature it is does not change */
        return is_same_key(look, signer, key);
    if (X509_CRL_verify(item->crl, key) != 1 && X509_CRL_verify(item->crl, key) != 1) {
        look->failed = look->failed || shs__tls_was_nomem() || shs__tls_is_short_of_memory();
        return false;
    }
    if (EVP_PKEY_up_ref(key) == 1 && !atomic_compare_exchange_strong(&item->signer, &signer, key))
        EVP_PKEY_free(key); /* another thread was first */
    return true;
}

/* Of the issuer, and about certificates as this one? */
static bool covers(struct looking *look, struct shs_tls_crl *item)
{
    const ISSUING_DIST_POINT *point = item->point;

    if (item->ca != look->ca ||
        (item->ca == SHS__TLS_CRL_BROUGHT && !is_signed_by_brought(look, item)))
        return false;
    if (point == NULL)
        return true;
    if ((point->onlyuser > 0 && look->is_ca) || (point->onlyCA > 0 && !look->is_ca))
        return false;
    return point->distpoint == NULL || is_sent_to(look, point->distpoint);
}

enum says { NOTHING, REVOKED, ON_HOLD, REMOVED };

/* The reason of an entry, by its own words: what OpenSSL made of it when it read the list may lack
   something for want of memory. */
static enum says say(struct looking *look, const struct shs_tls_crl *item)
{
    X509_REVOKED *entry = NULL;
    ASN1_ENUMERATED *text;
    int found = X509_CRL_get0_by_cert(item->crl, &entry, look->cert), critical = -1;
    long reason;

    if (found == 0)
        return NOTHING;
    text = X509_REVOKED_get_ext_d2i(entry, NID_crl_reason, &critical, NULL);
    if (text == NULL) {
        look->failed = look->failed || critical != -1; /* it is there, and has been read before */
        return critical == -1 ? REVOKED : NOTHING;
    }
    reason = ASN1_ENUMERATED_get(text);
    ASN1_ENUMERATED_free(text);
    if (reason == CRL_REASON_REMOVE_FROM_CRL && item->base != NULL)
        return REMOVED;
    return reason == CRL_REASON_CERTIFICATE_HOLD ? ON_HOLD : REVOKED;
}

/* A fresh delta that continues `item` has taken it off the list. */
static bool is_removed_since(struct looking *look, const struct shs_tls_crl *item)
{
    for (size_t i = 0; i < look->crls->count; i++) {
        struct shs_tls_crl *delta = &look->crls->all[i];

        if (delta->base != NULL && item->number != NULL &&
            shs__tls_crl_is_fresh(delta, look->now) && delta->since >= item->since &&
            by_number(delta->number, item->number) > 0 &&
            (item->base != NULL || by_number(item->number, delta->base) >= 0) &&
            same_scope(delta, item) && covers(look, delta) && say(look, delta) == REMOVED)
            return true;
    }
    return false;
}

static bool is_revoked_by(struct looking *look, const struct shs_tls_crl *item)
{
    enum says says = say(look, item);

    return says == REVOKED || (says == ON_HOLD && !is_removed_since(look, item));
}

/* By a complete CRL that is fresh, and speaks of this certificate as well. */
static bool is_superseded(struct looking *look, const struct shs_tls_crl *item)
{
    for (size_t i = 0; i < look->crls->count; i++) {
        struct shs_tls_crl *other = &look->crls->all[i];

        if (other->base == NULL && shs__tls_crl_is_fresh(other, look->now) &&
            supersedes(other, item) && covers(look, other))
            return true;
    }
    return false;
}

/* The newest complete CRL that is fresh. *why: what to say when there is none. */
static const struct shs_tls_crl *find_newest(struct looking *look, int *why)
{
    const struct shs_tls_crl *newest = NULL;

    *why = X509_V_ERR_UNABLE_TO_GET_CRL;
    for (size_t i = 0; i < look->crls->count; i++) {
        struct shs_tls_crl *item = &look->crls->all[i];

        if (item->base != NULL || !covers(look, item))
            continue;
        if (shs__tls_crl_is_fresh(item, look->now))
            newest = newest == NULL || is_newer(item, newest) ? item : newest;
        else if (item->next <= look->now)
            *why = X509_V_ERR_CRL_HAS_EXPIRED;
        else if (*why == X509_V_ERR_UNABLE_TO_GET_CRL)
            *why = X509_V_ERR_CRL_NOT_YET_VALID;
    }
    return newest;
}

static int judge_one(struct looking *look, int64_t *until)
{
    const struct shs_tls_crl *newest;
    int why;

    look->is_ca = X509_check_ca(look->cert) != 0;
    newest = find_newest(look, &why);
    for (size_t i = 0; i < look->crls->count; i++) {
        struct shs_tls_crl *item = &look->crls->all[i];

        /* Without memory, what takes it off the list may have been overlooked. */
        if (covers(look, item) && is_revoked_by(look, item) && !is_superseded(look, item))
            return look->failed ? X509_V_ERR_OUT_OF_MEM : X509_V_ERR_CERT_REVOKED;
    }
    if (look->failed)
        return X509_V_ERR_OUT_OF_MEM;
    if (newest == NULL)
        return why;
    if (newest->next < *until)
        *until = newest->next;
    return X509_V_OK;
}

static int judge_by(const struct shs_tls_crls *self, X509 *cert, X509 *issuer, int64_t now,
                    int64_t *until)
{
    int ca = shs__tls_cas_find(self->cas, issuer);
    struct looking look = {
        .crls = self,
        .cert = cert,
        .issuer = issuer,
        .ca = ca < 0 ? SHS__TLS_CRL_BROUGHT : ca,
        .now = now,
    };
    int code = judge_one(&look, until);

    CRL_DIST_POINTS_free(look.points);
    return code;
}

/*
 * The anchor of a chain. A root is judged by nobody, unless it comes as a client; a CA that is
 * trusted without its root, by what is above it in the file, if anything is.
 */
static int judge_anchor(const struct shs_tls_crls *self, X509 *cert, bool alone, int64_t now,
                        int64_t *until)
{
    int at = shs__tls_cas_find(self->cas, cert), code = X509_V_OK;

    if (X509_self_signed(cert, 0) == 1)
        return alone ? judge_by(self, cert, cert, now, until) : X509_V_OK;
    for (int steps = 0; code == X509_V_OK && at >= 0 && self->cas->parents[at] >= 0 &&
                        steps < shs__tls_crls_ca_count(self);
         steps++) {
        code = judge_by(self, shs__tls_crls_ca_at(self, at),
                        shs__tls_crls_ca_at(self, self->cas->parents[at]), now, until);
        at = self->cas->parents[at];
    }
    return code;
}

int shs__tls_crls_judge(const struct shs_tls_crls *self, STACK_OF(X509) * chain, int64_t now,
                        int *depth, int64_t *until)
{
    int last = sk_X509_num(chain) - 1, code = X509_V_OK;

    *until = INT64_MAX;
    *depth = 0;
    for (int i = 0; code == X509_V_OK && i < last; i++) {
        *depth = i;
        code = judge_by(self, sk_X509_value(chain, i), sk_X509_value(chain, i + 1), now, until);
    }
    if (code == X509_V_OK && last >= 0) {
        *depth = last;
        code = judge_anchor(self, sk_X509_value(chain, last), last == 0, now, until);
    }
    ERR_clear_error();
    return code;
}
