/* authorities.c - who signs the lab's certificates, and what they say of revocation. */
#include <stdio.h>

#include <openssl/err.h>
#include <openssl/ocsp.h>
#include <openssl/x509v3.h>

#include "certs/words.h"
#include "lab/lab.h"

#define LIST(...) ((const char *const[]){__VA_ARGS__, NULL})
#define ROOTS_CEILING ((size_t)64 << 10)

/* `below` its own place: a root. "$" in a constraint is the lab's domain. */
static const struct authority {
    enum shs__lab_ca below;
    const char *word, *name;
    struct shs_ca_options o;
    int repeat; /* so many intermediates, each under the one before */
} authorities[LAB_CA_COUNT] = {
    [LAB_CA_ROOT] = {.below = LAB_CA_ROOT, .word = "root", .name = "shs lab root"},
    [LAB_CA_ICA] = {.below = LAB_CA_ROOT,
                    .word = "ica",
                    .name = "shs lab intermediate",
                    .o = {.levels = 1, .key_usage = "digitalSignature,keyCertSign,cRLSign"}},
    [LAB_CA_ICA_B] = {.below = LAB_CA_ROOT,
                      .word = "ica-b",
                      .name = "shs lab intermediate B",
                      .o.levels = 1},
    [LAB_CA_UPPER] = {.below = LAB_CA_ROOT,
                      .word = "upper",
                      .name = "shs lab upper intermediate",
                      .o.levels = 2},
    [LAB_CA_BELOW] = {.below = LAB_CA_UPPER,
                      .word = "below",
                      .name = "shs lab lower intermediate",
                      .o.levels = 1},
    [LAB_CA_ODD] = {.below = LAB_CA_ODD,
                    .word = "odd",
                    .name = "shs lab root of odd names",
                    .o.levels = 1},
    [LAB_CA_STRANGER] = {.below = LAB_CA_STRANGER,
                         .word = "stranger",
                         .name = "shs lab root that nobody trusts"},
    [LAB_CA_EXPIRED_ICA] = {.below = LAB_CA_ROOT,
                            .word = "expired",
                            .name = "shs lab expired intermediate",
                            .o = {.not_before = "-100d", .not_after = "-10d"}},
    [LAB_CA_EXPIRED_ROOT] = {.below = LAB_CA_EXPIRED_ROOT,
                             .word = "expired-root",
                             .name = "shs lab expired root",
                             .o = {.not_before = "-1000d", .not_after = "-10d"}},
    [LAB_CA_RSA] = {.below = LAB_CA_ROOT,
                    .word = "rsa",
                    .name = "shs lab RSA intermediate",
                    .o.key = "rsa2048"},
    [LAB_CA_SHA1] = {.below = LAB_CA_ROOT,
                     .word = "sha1",
                     .name = "shs lab SHA-1 intermediate",
                     .o.digest = "sha1"},
    [LAB_CA_CA_FALSE] = {.below = LAB_CA_ROOT,
                         .word = "ca-false",
                         .name = "shs lab end entity that signs",
                         .o = {.key_usage = "digitalSignature",
                               .usage = "serverAuth",
                               .extensions = LIST("basicConstraints=critical,CA:FALSE")}},
    [LAB_CA_NO_BC] = {.below = LAB_CA_ROOT,
                      .word = "no-bc",
                      .name = "shs lab intermediate without basicConstraints",
                      .o.extensions = LIST("basicConstraints=none")},
    [LAB_CA_NO_CERTSIGN] = {.below = LAB_CA_ROOT,
                            .word = "no-certsign",
                            .name = "shs lab intermediate without keyCertSign",
                            .o.key_usage = "cRLSign"},
    [LAB_CA_PATHLEN] = {.below = LAB_CA_ROOT,
                        .word = "pathlen",
                        .name = "shs lab intermediate with pathlen 0",
                        .o.levels = 1},
    [LAB_CA_BELOW_PATHLEN] = {.below = LAB_CA_PATHLEN,
                              .word = "below-pathlen",
                              .name = "shs lab intermediate too deep"},
    [LAB_CA_NC_OK] = {.below = LAB_CA_ROOT,
                      .word = "nc-ok",
                      .name = "shs lab intermediate for the domain",
                      .o.constrain = LIST("$")},
    [LAB_CA_NC_PERMITTED] = {.below = LAB_CA_ROOT,
                             .word = "nc-permitted",
                             .name = "shs lab intermediate for another domain",
                             .o.constrain = LIST("allowed.test")},
    [LAB_CA_NC_EXCLUDED] = {.below = LAB_CA_ROOT,
                            .word = "nc-excluded",
                            .name = "shs lab intermediate not for the domain",
                            .o.exclude = LIST("$")},
    [LAB_CA_NC_IP] = {.below = LAB_CA_ROOT,
                      .word = "nc-ip",
                      .name = "shs lab intermediate for another network",
                      .o.constrain = LIST("$", "127.99.0.0/16")},
    [LAB_CA_NC_WILDCARD] = {.below = LAB_CA_ROOT,
                            .word = "nc-wildcard",
                            .name = "shs lab intermediate not for bar",
                            .o.exclude = LIST("bar.$")},
    [LAB_CA_CRITICAL] = {.below = LAB_CA_ROOT,
                         .word = "critical",
                         .name = "shs lab intermediate with a critical extension",
                         .o.extensions = LIST("1.3.6.1.4.1.55555.1=critical,DER:0500")},
    [LAB_CA_EMAIL] = {.below = LAB_CA_ROOT,
                      .word = "email",
                      .name = "shs lab intermediate for e-mail",
                      .o.usage = "emailProtection"},
    [LAB_CA_REVOKED] = {.below = LAB_CA_ROOT,
                        .word = "revoked",
                        .name = "shs lab revoked intermediate",
                        .o.extensions = LIST("crlDistributionPoints=URI:%/crl/root.der")},
    [LAB_CA_CRL_EXPIRED] = {.below = LAB_CA_ROOT,
                            .word = "crl-expired",
                            .name = "shs lab intermediate, CRL expired"},
    [LAB_CA_CRL_NONE] = {.below = LAB_CA_ROOT,
                         .word = "crl-unreachable",
                         .name = "shs lab intermediate without a CRL"},
    [LAB_CA_CRL_WRONG_ISSUER] = {.below = LAB_CA_ROOT,
                                 .word = "crl-wrong-issuer",
                                 .name = "shs lab intermediate, another's "
                                         "CRL"},
    [LAB_CA_CRL_BAD_SIGNATURE] = {.below = LAB_CA_ROOT,
                                  .word = "crl-bad-signature",
                                  .name = "shs lab intermediate, CRL "
                                          "forged"},
    [LAB_CA_CRL_CRITICAL] = {.below = LAB_CA_ROOT,
                             .word = "crl-critical",
                             .name = "shs lab intermediate, CRL with a critical "
                                     "extension"},
    [LAB_CA_LONG_8] = {.below = LAB_CA_ROOT,
                       .word = "long-8",
                       .name = "shs lab chain",
                       .repeat = 8},
    [LAB_CA_LONG_101] = {.below = LAB_CA_ROOT,
                         .word = "long-101",
                         .name = "shs lab long chain",
                         .repeat = 101},
    [LAB_CA_CLIENTS] = {.below = LAB_CA_CLIENTS,
                        .word = "clients",
                        .name = "shs lab root of clients"},
};

const char *shs__lab_ca_word(enum shs__lab_ca which)
{
    return authorities[which].word;
}

enum shs__lab_ca shs__lab_ca_find(const char *word, size_t len)
{
    for (int i = 0; i < LAB_CA_COUNT; i++) {
        if (strlen(authorities[i].word) == len && memcmp(authorities[i].word, word, len) == 0)
            return (enum shs__lab_ca)i;
    }
    return LAB_CA_COUNT;
}

/* -- making them ------------------------------------------------------------------------------- */

#define TEXTS_MAX 8
struct texts {
    char *own[2 * TEXTS_MAX];
    const char *lists[2][TEXTS_MAX + 1];
    const char *extensions[TEXTS_MAX + 1];
    size_t count;
};

static bool expand_list(const struct shs_lab *lab, struct texts *t, const char *const **list,
                        const char **room)
{
    size_t i;

    for (i = 0; *list != NULL && (*list)[i] != NULL && i < TEXTS_MAX; i++) {
        char *text = shs__lab_expand(lab, NULL, (*list)[i]);

        if (text == NULL || t->count == SHS_ARRAY_LEN(t->own)) {
            shs__free(text);
            return false;
        }
        t->own[t->count++] = text;
        room[i] = text;
    }
    room[i] = NULL;
    if (*list != NULL)
        *list = room;
    return true;
}

/*
 * What roots that somebody trusts may sign for: the reserved domain that the lab's is in, or the
 * lab's own, and loopback. Who gets hold of a key of a lab that ran can pretend to be nobody else.
 */
static void constrain_root(const struct shs_lab *lab, const char *list[5])
{
    static const char *const reserved[] = {"test", "example", "invalid", "localhost", "internal"};
    size_t i;

    list[0] = lab->domain;
    for (i = 0; i < SHS_ARRAY_LEN(reserved); i++) {
        if (strcmp(lab->tld, reserved[i]) == 0)
            list[0] = lab->tld;
    }
    list[1] = "127.0.0.0/8";
    list[2] = "::1/128";
    list[3] = NULL;
}

static int make_repeated(const struct authority *a, const struct shs_ca *above,
                         const struct shs_ca_options *o, struct shs_ca **out, struct shs_error *err)
{
    struct shs_ca_options each = *o;
    struct shs_ca *last = NULL, *next = NULL;
    char name[64];
    int rc = SHS_OK;

    for (int i = 1; i <= a->repeat && rc == SHS_OK; i++) {
        snprintf(name, sizeof name, "%s %d", a->name, i);
        each.common_name = name;
        rc = shs_ca_intermediate(&next, last == NULL ? above : last, &each, err);
        if (rc == SHS_OK) {
            shs_ca_free(last);
            last = next;
        }
    }
    if (rc == SHS_OK)
        *out = last;
    else
        shs_ca_free(last);
    return rc;
}

static int get_ca(struct shs_lab *lab, enum shs__lab_ca which, struct shs_ca **out,
                  struct shs_error *err);

static int make_ca(struct shs_lab *lab, enum shs__lab_ca which, struct shs_error *err)
{
    const struct authority *a = &authorities[which];
    struct shs_ca_options o = a->o;
    struct shs_ca *above = NULL;
    struct texts t = {.count = 0};
    const char *root_list[5];
    int rc = SHS_OK;

    o.size = sizeof o; /* the table leaves it out */
    o.common_name = a->name;
    o.now = shs__lab_now(lab);
    if (!expand_list(lab, &t, &o.constrain, t.lists[0]) ||
        !expand_list(lab, &t, &o.exclude, t.lists[1]) ||
        !expand_list(lab, &t, &o.extensions, t.extensions))
        rc = shs_error_set(err, SHS_NOMEM, 0, "Out of memory for the lab.");
    if (which == LAB_CA_ROOT || which == LAB_CA_EXPIRED_ROOT) {
        constrain_root(lab, root_list);
        o.constrain = root_list;
    }
    if (rc == SHS_OK && a->below != which)
        rc = get_ca(lab, a->below, &above, err);
    if (rc == SHS_OK && a->repeat > 0)
        rc = make_repeated(a, above, &o, &lab->cas[which], err);
    else if (rc == SHS_OK && above != NULL)
        rc = shs_ca_intermediate(&lab->cas[which], above, &o, err);
    else if (rc == SHS_OK)
        rc = shs__ca_new_in(&lab->cas[which], lab->lib, &o, err);
    for (size_t i = 0; i < t.count; i++)
        shs__free(t.own[i]);
    return rc;
}

static int get_ca(struct shs_lab *lab, enum shs__lab_ca which, struct shs_ca **out,
                  struct shs_error *err)
{
    int rc = lab->cas[which] != NULL ? SHS_OK : make_ca(lab, which, err);

    if (rc == SHS_OK)
        *out = lab->cas[which];
    return rc;
}

int shs__lab_ca(struct shs_lab *lab, enum shs__lab_ca which, struct shs_ca **out,
                struct shs_error *err)
{
    int rc;

    pthread_mutex_lock(&lab->ca_lock);
    rc = get_ca(lab, which, out, err);
    pthread_mutex_unlock(&lab->ca_lock);
    return rc;
}

int shs__lab_roots(struct shs_lab *lab, char **out, struct shs_error *err)
{
    static const enum shs__lab_ca roots[] = {LAB_CA_ROOT, LAB_CA_EXPIRED_ROOT, LAB_CA_ODD};
    struct shs_buf all;
    int rc = SHS_OK;

    shs__buf_init(&all, ROOTS_CEILING);
    for (size_t i = 0; rc == SHS_OK && i < SHS_ARRAY_LEN(roots); i++) {
        struct shs_ca *ca = NULL;

        rc = shs__lab_ca(lab, roots[i], &ca, err);
        if (rc == SHS_OK)
            rc = shs__buf_append_str(&all, shs__str(shs_ca_pem(ca)));
    }
    if (rc == SHS_OK) {
        *out = shs__strndup(shs__buf_head(&all), all.len);
        rc = *out == NULL ? SHS_NOMEM : SHS_OK;
    }
    shs__buf_free(&all);
    return rc == SHS_OK ? rc : shs_error_set(err, rc, 0, "Out of memory for the lab.");
}

int shs__lab_use_up_odd(struct shs_lab *lab, struct shs_error *err)
{
    struct shs_ca *ca = NULL;
    SSL_CTX *ctx = NULL;
    int rc = shs__lab_ca(lab, LAB_CA_ODD, &ca, err);

    for (size_t i = 0; rc == SHS_OK && i < lab->count; i++) {
        if (lab->units[i].row->make.ca == LAB_CA_ODD)
            rc = shs__lab_context(lab, &lab->units[i], &ctx, err);
    }
    if (rc == SHS_OK)
        shs__ca_forget_key(ca);
    return rc;
}

/* -- CRLs -------------------------------------------------------------------------------------- */

/* The certificates that are to be on an authority's list exist. */
static int make_revoked(struct shs_lab *lab, enum shs__lab_ca which, struct shs_error *err)
{
    int rc = SHS_OK;

    for (size_t i = 0; rc == SHS_OK && i < lab->count; i++) {
        struct shs__lab_unit *unit = &lab->units[i];
        SSL_CTX *ctx = NULL;

        if (unit->row->make.revoked && unit->row->make.ca == which)
            rc = shs__lab_context(lab, unit, &ctx, err);
    }
    return rc;
}

/* The authority with a list of its own: the units' certificates and, for the root, the revoked
   intermediate. The one that all threads share stays as it is: others make staples of it meanwhile.
   The list is freed by the caller, also after a failure. */
static int with_list(struct shs_ca *own, struct shs_lab *lab, enum shs__lab_ca which,
                     struct shs_error *err)
{
    struct shs_ca *shared = NULL, *revoked = NULL;
    char *serial;
    int rc = shs__lab_ca(lab, which, &shared, err);

    memset(own, 0, sizeof *own);
    if (rc == SHS_OK)
        rc = make_revoked(lab, which, err);
    if (rc != SHS_OK)
        return rc;
    *own = *shared;
    own->revoked = sk_X509_REVOKED_new_null();
    if (own->revoked == NULL)
        return shs_error_set(err, SHS_NOMEM, 0, "Out of memory for a CRL.");
    if (which == LAB_CA_ROOT) {
        rc = shs__lab_ca(lab, LAB_CA_REVOKED, &revoked, err);
        serial = rc == SHS_OK ? shs__serial_text(X509_get0_serialNumber(revoked->cert)) : NULL;
        if (rc == SHS_OK && serial == NULL)
            rc = shs_error_set(err, SHS_NOMEM, 0, "Out of memory for a CRL.");
        if (rc == SHS_OK)
            rc = shs_ca_revoke(own, serial, "CACompromise", NULL, err);
        shs__free(serial);
    }
    for (size_t i = 0; rc == SHS_OK && i < lab->count; i++) {
        const struct shs__lab_unit *unit = &lab->units[i];

        if (unit->row->make.revoked && unit->row->make.ca == which)
            rc = shs_ca_revoke(own, shs_issued_cert_serial(unit->cert), "keyCompromise", NULL, err);
    }
    return rc;
}

int shs__lab_crl(struct shs_lab *lab, enum shs__lab_ca which, bool der, void **bytes, size_t *len,
                 struct shs_error *err)
{
    static const char *const critical[] = {"crlNumber=critical,DER:020101", NULL};
    struct shs_crl_options o = {.size = sizeof o, .der = der};
    struct shs_ca own, issuer, *other = NULL;
    int rc;

    if (which == LAB_CA_CRL_NONE || which == LAB_CA_ODD)
        return SHS_CLOSED;
    rc = with_list(&own, lab, which, err);
    if (rc == SHS_OK)
        rc = shs__lab_ca(lab, LAB_CA_STRANGER, &other, err);
    issuer = own;
    if (which == LAB_CA_CRL_EXPIRED) {
        o.this_update = "-20d";
        o.next_update = "-10d";
    } else if (which == LAB_CA_CRL_BAD_SIGNATURE) {
        o.signer = other;
    } else if (which == LAB_CA_CRL_CRITICAL) {
        o.number = "none";
        o.extensions = critical;
    } else if (which == LAB_CA_CRL_WRONG_ISSUER && rc == SHS_OK) {
        issuer = *other;
    }
    issuer.crl_number =
        atomic_fetch_add(&lab->crls_made, 1); /* one series for all: it only grows */
    if (rc == SHS_OK)
        rc = shs_ca_crl(&issuer, &o, bytes, len, err);
    sk_X509_REVOKED_pop_free(own.revoked, X509_REVOKED_free);
    return rc;
}

/* -- OCSP -------------------------------------------------------------------------------------- */

/* The authority whose key the request means; LAB_CA_COUNT: none that is there. */
static enum shs__lab_ca find_issuer(struct shs_lab *lab, OCSP_CERTID *id)
{
    ASN1_OCTET_STRING *wanted = NULL;
    unsigned char hash[EVP_MAX_MD_SIZE];
    unsigned len = 0;
    int i;

    if (OCSP_id_get0_info(NULL, NULL, &wanted, NULL, id) != 1)
        return LAB_CA_COUNT;
    pthread_mutex_lock(&lab->ca_lock);
    for (i = 0; i < LAB_CA_COUNT; i++) {
        const ASN1_BIT_STRING *key;

        if (lab->cas[i] == NULL || i == LAB_CA_ODD)
            continue;
        key = X509_get0_pubkey_bitstr(lab->cas[i]->cert);
        if (EVP_Digest(ASN1_STRING_get0_data(key), (size_t)ASN1_STRING_length(key), hash, &len,
                       EVP_sha1(), NULL) == 1 &&
            ASN1_STRING_length(wanted) == (int)len &&
            memcmp(ASN1_STRING_get0_data(wanted), hash, len) == 0)
            break;
    }
    pthread_mutex_unlock(&lab->ca_lock);
    return (enum shs__lab_ca)i;
}

int shs__lab_ocsp(struct shs_lab *lab, const void *request, size_t request_len, void **bytes,
                  size_t *len, struct shs_error *err)
{
    const unsigned char *at = request;
    OCSP_REQUEST *parsed = d2i_OCSP_REQUEST(NULL, &at, (long)request_len);
    OCSP_ONEREQ *one = parsed == NULL ? NULL : OCSP_request_onereq_get0(parsed, 0);
    OCSP_CERTID *id = one == NULL ? NULL : OCSP_onereq_get0_id(one);
    enum shs__lab_ca which = LAB_CA_ROOT;
    struct shs_ocsp_options o = {.size = sizeof o};
    ASN1_INTEGER *serial = NULL;
    struct shs_ca own;
    char *text = NULL;
    int rc;

    if (id == NULL || OCSP_id_get0_info(NULL, NULL, NULL, &serial, id) != 1) {
        o.status = "malformedRequest";
    } else {
        which = find_issuer(lab, id);
        text = shs__serial_text(serial);
        if (which == LAB_CA_COUNT || text == NULL)
            o.status = "unauthorized"; /* RFC 6960 2.3: not one we can speak of */
    }
    which = which == LAB_CA_COUNT ? LAB_CA_ROOT : which;
    rc = with_list(&own, lab, which, err);
    if (rc == SHS_OK)
        rc = shs_ca_ocsp_serial(&own, text == NULL ? "00" : text, &o, bytes, len, err);
    sk_X509_REVOKED_pop_free(own.revoked, X509_REVOKED_free);
    shs__free(text);
    OCSP_REQUEST_free(parsed);
    ERR_clear_error();
    return rc;
}
