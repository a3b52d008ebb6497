/* build.c - the certificate of a condition, from its recipe. */
#include <stdio.h>

#include <openssl/err.h>

#include "certs/keys.h"
#include "certs/words.h"
#include "lab/lab.h"

#define TEXTS_MAX 12
#define NAMES_MAX 10001

/* -- the recipe's texts ------------------------------------------------------------------------ */

char *shs__lab_expand(const struct shs_lab *lab, const struct shs__lab_unit *unit, const char *text)
{
    struct shs_buf out;
    char *result = NULL;
    int rc = SHS_OK;

    shs__buf_init(&out, 65536);
    for (; *text != '\0' && rc == SHS_OK; text++) {
        if (*text == '@' && unit != NULL)
            rc = shs__buf_append_str(&out, shs__str(unit->public.host));
        else if (*text == '$')
            rc = shs__buf_append_str(&out, shs__str(lab->domain));
        else if (*text == '^')
            rc = shs__buf_append_str(&out, shs__str(lab->tld));
        else if (*text == '%')
            rc = shs__buf_append_str(&out, shs__str(lab->base_url));
        else if (*text == '&')
            rc = shs__buf_append_str(&out, shs__str(lab->ip_base));
        else
            rc = shs__buf_append(&out, text, 1);
    }
    if (rc == SHS_OK)
        result = shs__strndup(out.len == 0 ? "" : shs__buf_head(&out), out.len);
    shs__buf_free(&out);
    return result;
}

struct texts {
    char *own[3 * TEXTS_MAX];
    const char *names[TEXTS_MAX + 1], *extensions[TEXTS_MAX + 1];
    size_t count;
};

static bool keep(struct texts *t, char *text)
{
    if (text == NULL || t->count == SHS_ARRAY_LEN(t->own)) {
        shs__free(text);
        return false;
    }
    t->own[t->count++] = text;
    return true;
}

/* An address in an e-mail name is "lab@$": there "@" stands for itself. */
static char *expand_name(const struct shs_lab *lab, const struct shs__lab_unit *unit,
                         const char *text)
{
    char *domain, *name;

    if (strncmp(text, "email:lab@", 10) != 0)
        return shs__lab_expand(lab, unit, text);
    domain = shs__lab_expand(lab, unit, text + 10);
    name = domain == NULL ? NULL : shs__asprintf("email:lab@%s", domain);
    shs__free(domain);
    return name;
}

static bool expand_list(const struct shs_lab *lab, const struct shs__lab_unit *unit,
                        struct texts *t, const char *const **list, const char **room)
{
    size_t i;

    for (i = 0; *list != NULL && (*list)[i] != NULL && i < TEXTS_MAX; i++) {
        if (!keep(t, expand_name(lab, unit, (*list)[i])))
            return false;
        room[i] = t->own[t->count - 1];
    }
    room[i] = NULL;
    if (*list != NULL)
        *list = room;
    return true;
}

static bool expand_options(const struct shs_lab *lab, const struct shs__lab_unit *unit,
                           struct texts *t, struct shs_cert_options *o)
{
    if (o->common_name != NULL) {
        if (!keep(t, shs__lab_expand(lab, unit, o->common_name)))
            return false;
        o->common_name = t->own[t->count - 1];
    }
    return expand_list(lab, unit, t, &o->names, t->names) &&
           expand_list(lab, unit, t, &o->extensions, t->extensions);
}

/* -- keys -------------------------------------------------------------------------------------- */

/* The key of a kind that is slow to make, made once; NULL in *out for all others. */
static int slow_key(struct shs_lab *lab, const char *word, EVP_PKEY **out, struct shs_error *err)
{
    struct shs__lab_key *slot = NULL;
    int rc = SHS_OK;

    *out = NULL;
    for (size_t i = 0; word != NULL && i < SHS_LAB_KEYS && slot == NULL; i++) {
        if (lab->keys[i].word != NULL && strcmp(lab->keys[i].word, word) == 0)
            slot = &lab->keys[i];
    }
    if (slot == NULL)
        return SHS_OK;
    pthread_mutex_lock(&slot->lock);
    if (slot->key == NULL)
        rc = shs__key_quick(&slot->key, lab->lib, word, &lab->stopping, err);
    *out = slot->key;
    pthread_mutex_unlock(&slot->lock);
    return rc;
}

/* -- the staple -------------------------------------------------------------------------------- */

static int make_responder(struct shs_issued_cert **out, const struct shs_ca *ca, bool right,
                          struct shs_error *err)
{
    const struct shs_cert_options o = {
        .size = sizeof o,
        .client = true,
        .common_name = "shs lab responder",
        .usage = right ? "OCSPSigning" : "clientAuth",
    };

    return shs_ca_issue(out, ca, &o, err);
}

static int garbage(struct shs__lab_unit *unit, struct shs_error *err)
{
    unit->staple_len = 16;
    unit->staple = shs__calloc(1, unit->staple_len);
    if (unit->staple == NULL)
        return shs__certs_nomem(err);
    memset(unit->staple, 0x5a, unit->staple_len);
    return SHS_OK;
}

static int make_staple(struct shs_lab *lab, struct shs__lab_unit *unit, const struct shs_ca *ca,
                       struct shs_error *err)
{
    struct shs_ocsp_options o = {.size = sizeof o, .status = "good"};
    struct shs_issued_cert *responder = NULL;
    struct shs_ca *other = NULL;
    const char *serial = shs_issued_cert_serial(unit->cert);
    int rc = SHS_OK;

    switch (unit->row->make.staple) {
    case LAB_STAPLE_NONE:
        return SHS_OK;
    case LAB_STAPLE_GARBAGE:
        return garbage(unit, err);
    case LAB_STAPLE_GOOD:
        break;
    case LAB_STAPLE_REVOKED:
        o.status = "revoked";
        o.reason = "keyCompromise";
        break;
    case LAB_STAPLE_EXPIRED:
        o.this_update = "-20d";
        o.next_update = "-13d";
        break;
    case LAB_STAPLE_FUTURE:
        o.this_update = "+2d";
        break;
    case LAB_STAPLE_UNKNOWN:
        o.status = "unknown";
        break;
    case LAB_STAPLE_TRY_LATER:
        o.status = "tryLater";
        break;
    case LAB_STAPLE_WRONG_CERT:
        serial = "1234567890";
        break;
    case LAB_STAPLE_WRONG_SIGNER:
        rc = shs__lab_ca(lab, LAB_CA_STRANGER, &other, err);
        o.signer = other;
        break;
    case LAB_STAPLE_DELEGATED:
    case LAB_STAPLE_DELEGATED_NO_EKU:
        rc = make_responder(&responder, ca, unit->row->make.staple == LAB_STAPLE_DELEGATED, err);
        o.responder = responder;
        break;
    }
    if (rc == SHS_OK)
        rc = shs_ca_ocsp_serial(ca, serial, &o, &unit->staple, &unit->staple_len, err);
    shs_issued_cert_free(responder);
    return rc;
}

/* -- the certificate --------------------------------------------------------------------------- */

/* From the recipe's options, with these names instead if there are any. */
static int issue(struct shs_lab *lab, struct shs__lab_unit *unit, const char *const *names,
                 struct shs_error *err)
{
    struct shs_cert_options o = unit->row->make.o;
    struct texts t = {.count = 0};
    struct shs_ca *ca = NULL;
    EVP_PKEY *key = NULL;
    int rc = SHS_OK;

    o.size = sizeof o; /* the rows leave it out */
    if (!expand_options(lab, unit, &t, &o))
        rc = shs__certs_nomem(err);
    if (names != NULL)
        o.names = names;
    if (rc == SHS_OK)
        rc = shs__lab_ca(lab, unit->row->make.ca, &ca, err);
    if (rc == SHS_OK)
        rc = slow_key(lab, o.key, &key, err);
    if (rc == SHS_OK)
        rc = shs__ca_issue_for(&unit->cert, ca, key, &o, err);
    if (rc == SHS_OK)
        rc = make_staple(lab, unit, ca, err);
    for (size_t i = 0; i < t.count; i++)
        shs__free(t.own[i]);
    return rc;
}

int shs__lab_make_cert(struct shs_lab *lab, struct shs__lab_unit *unit, struct shs_error *err)
{
    if (unit->row->make.build != NULL)
        return unit->row->make.build(lab, unit, err);
    return issue(lab, unit, NULL, err);
}

/* The certificate for its host, whatever else is done to it. */
static int issue_host(struct shs_lab *lab, struct shs__lab_unit *unit, struct shs_error *err)
{
    return issue(lab, unit, (const char *const[]){unit->public.host, NULL}, err);
}

static void clear_chain(struct shs_issued_cert *cert)
{
    while (sk_X509_num(cert->chain) > 0)
        X509_free(sk_X509_pop(cert->chain));
}

/* -- the recipes that are functions ------------------------------------------------------------ */

/* subjectAltName "host NUL .example", which no text can say. */
int shs__lab_build_san_nul(struct shs_lab *lab, struct shs__lab_unit *unit, struct shs_error *err)
{
    const char *host = unit->public.host;
    size_t host_len = strlen(host), len = host_len + 9, at;
    unsigned char name[200];
    char line[600];
    const char *extensions[2] = {line, NULL};
    struct shs_cert_options o = {.size = sizeof o, .common_name = "x", .extensions = extensions};
    struct shs_ca *ca = NULL;
    int rc;

    if (len > 120)
        return shs_error_set(err, SHS_USAGE, 0, "The domain is too long for %s.", unit->public.id);
    memcpy(name, host, host_len);
    memcpy(name + host_len, "\0.example", 9);
    at = (size_t)snprintf(line, sizeof line, "subjectAltName=DER:30%02zx82%02zx", len + 2, len);
    for (size_t i = 0; i < len; i++)
        at += (size_t)snprintf(line + at, sizeof line - at, "%02x", name[i]);
    rc = shs__lab_ca(lab, unit->row->make.ca, &ca, err);
    if (rc == SHS_OK)
        rc = shs_ca_issue(&unit->cert, ca, &o, err);
    return rc;
}

/* .arg names, the host the last of them. */
int shs__lab_build_many_names(struct shs_lab *lab, struct shs__lab_unit *unit,
                              struct shs_error *err)
{
    size_t count = (size_t)unit->row->make.arg;
    const char **names = shs__calloc(count + 1, sizeof *names);
    int rc = names == NULL || count > NAMES_MAX ? shs__certs_nomem(err) : SHS_OK;
    size_t i, made = 0;

    for (i = 0; rc == SHS_OK && i + 1 < count; i++) {
        char *name = shs__asprintf("n%zu.%s", i, unit->public.host);

        if (name == NULL)
            rc = shs__certs_nomem(err);
        else
            names[made++] = name;
    }
    if (rc == SHS_OK) {
        names[made] = unit->public.host;
        rc = issue(lab, unit, names, err);
    }
    for (i = 0; i < made; i++)
        shs__free((char *)(uintptr_t)names[i]);
    shs__free(names);
    return rc;
}

int shs__lab_build_wrong_intermediate(struct shs_lab *lab, struct shs__lab_unit *unit,
                                      struct shs_error *err)
{
    struct shs_ca *other = NULL;
    int rc = issue_host(lab, unit, err);

    if (rc == SHS_OK)
        rc = shs__lab_ca(lab, LAB_CA_ICA_B, &other, err);
    if (rc == SHS_OK) {
        clear_chain(unit->cert);
        rc = shs__chain_push(unit->cert->chain, other->cert) ? SHS_OK : shs__certs_nomem(err);
    }
    return rc;
}

/* The intermediate first: the server's key is the intermediate's, or it could not go on. */
int shs__lab_build_reversed(struct shs_lab *lab, struct shs__lab_unit *unit, struct shs_error *err)
{
    struct shs_ca *ca = NULL;
    struct shs_issued_cert *cert;
    int rc = issue_host(lab, unit, err);

    if (rc == SHS_OK)
        rc = shs__lab_ca(lab, LAB_CA_ICA, &ca, err);
    if (rc != SHS_OK)
        return rc;
    cert = unit->cert;
    clear_chain(cert);
    if (!shs__chain_push(cert->chain, cert->cert))
        return shs__certs_nomem(err);
    X509_free(cert->cert);
    EVP_PKEY_free(cert->key);
    cert->cert = ca->cert;
    cert->key = ca->key;
    X509_up_ref(cert->cert);
    EVP_PKEY_up_ref(cert->key);
    return SHS_OK;
}

int shs__lab_build_unordered(struct shs_lab *lab, struct shs__lab_unit *unit, struct shs_error *err)
{
    int rc = issue_host(lab, unit, err);

    if (rc == SHS_OK) {
        X509 *first = sk_X509_shift(unit->cert->chain);

        if (first == NULL || sk_X509_push(unit->cert->chain, first) == 0) {
            X509_free(first);
            rc = shs__certs_nomem(err);
        }
    }
    return rc;
}

int shs__lab_build_thrice(struct shs_lab *lab, struct shs__lab_unit *unit, struct shs_error *err)
{
    int rc = issue_host(lab, unit, err);

    for (int i = 0; rc == SHS_OK && i < 2; i++) {
        if (!shs__chain_push(unit->cert->chain, sk_X509_value(unit->cert->chain, 0)))
            rc = shs__certs_nomem(err);
    }
    return rc;
}

int shs__lab_build_extra(struct shs_lab *lab, struct shs__lab_unit *unit, struct shs_error *err)
{
    static const enum shs__lab_ca others[] = {LAB_CA_ICA_B, LAB_CA_STRANGER, LAB_CA_UPPER,
                                              LAB_CA_BELOW};
    int rc = issue_host(lab, unit, err);

    for (size_t i = 0; rc == SHS_OK && i < SHS_ARRAY_LEN(others); i++) {
        struct shs_ca *other = NULL;

        rc = shs__lab_ca(lab, others[i], &other, err);
        if (rc == SHS_OK && !shs__chain_push(unit->cert->chain, other->cert))
            rc = shs__certs_nomem(err);
    }
    return rc;
}

/* Behind the intermediate, the trusted root's name and key in a certificate of a root that nobody
   trusts; .arg: and it has expired. */
int shs__lab_build_cross(struct shs_lab *lab, struct shs__lab_unit *unit, struct shs_error *err)
{
    struct shs_ca *root = NULL, *stranger = NULL, *cross = NULL;
    struct shs_ca_options o = {.size = sizeof o};
    int rc = issue_host(lab, unit, err);

    if (unit->row->make.arg == 1) {
        o.not_before = "-100d";
        o.not_after = "-10d";
    }
    if (rc == SHS_OK)
        rc = shs__lab_ca(lab, LAB_CA_ROOT, &root, err);
    if (rc == SHS_OK)
        rc = shs__lab_ca(lab, LAB_CA_STRANGER, &stranger, err);
    if (rc == SHS_OK)
        rc = shs_ca_cross_sign(&cross, stranger, root, &o, err);
    if (rc == SHS_OK && !shs__chain_push(unit->cert->chain, cross->cert))
        rc = shs__certs_nomem(err);
    shs_ca_free(cross);
    return rc;
}

/* Two authorities that sign each other, and no root. */
int shs__lab_build_loop(struct shs_lab *lab, struct shs__lab_unit *unit, struct shs_error *err)
{
    struct shs_ca *one = NULL, *two = NULL, *one_by_two = NULL, *two_by_one = NULL;
    struct shs_cert_options o = {.size = sizeof o,
                                 .names = (const char *const[]){unit->public.host, NULL}};
    struct shs_ca_options first = {.size = sizeof first, .common_name = "shs lab loop 1"};
    struct shs_ca_options second = {.size = sizeof second, .common_name = "shs lab loop 2"};
    int rc;

    first.now = second.now = shs__lab_now(lab);
    rc = shs__ca_new_in(&one, lab->lib, &first, err);
    if (rc == SHS_OK)
        rc = shs__ca_new_in(&two, lab->lib, &second, err);
    if (rc == SHS_OK)
        rc = shs_ca_cross_sign(&one_by_two, two, one, NULL, err);
    if (rc == SHS_OK)
        rc = shs_ca_cross_sign(&two_by_one, one, two, NULL, err);
    if (rc == SHS_OK)
        rc = shs_ca_issue(&unit->cert, one, &o, err);
    if (rc == SHS_OK && (!shs__chain_push(unit->cert->chain, one_by_two->cert) ||
                         !shs__chain_push(unit->cert->chain, two_by_one->cert)))
        rc = shs__certs_nomem(err);
    shs_ca_free(one);
    shs_ca_free(two);
    shs_ca_free(one_by_two);
    shs_ca_free(two_by_one);
    return rc;
}

/* Names and constraints whose product is large: who looks at each pair is busy for a while. */
int shs__lab_build_nc_dos(struct shs_lab *lab, struct shs__lab_unit *unit, struct shs_error *err)
{
    size_t count = (size_t)unit->row->make.arg, made = 0;
    const char **excluded = shs__calloc(count + 1, sizeof *excluded);
    const char **names = shs__calloc(count + 1, sizeof *names);
    struct shs_ca_options o = {.size = sizeof o, .common_name = "shs lab constraints"};
    struct shs_ca *root = NULL, *ca = NULL;
    int rc = excluded == NULL || names == NULL ? shs__certs_nomem(err) : SHS_OK;

    for (; rc == SHS_OK && made < count - 1; made++) {
        excluded[made] = shs__asprintf("x%zu.%s", made, lab->domain);
        names[made] = shs__asprintf("n%zu.%s", made, unit->public.host);
        if (excluded[made] == NULL || names[made] == NULL)
            rc = shs__certs_nomem(err);
    }
    if (rc == SHS_OK)
        rc = shs__lab_ca(lab, LAB_CA_ROOT, &root, err);
    o.exclude = excluded;
    if (rc == SHS_OK)
        rc = shs_ca_intermediate(&ca, root, &o, err);
    if (rc == SHS_OK) {
        struct shs_cert_options leaf = {.size = sizeof leaf, .names = names};

        names[made] = unit->public.host;
        rc = shs_ca_issue(&unit->cert, ca, &leaf, err);
        names[made] = NULL;
    }
    for (size_t i = 0; i <= made && i < count; i++) {
        if (excluded != NULL)
            shs__free((char *)(uintptr_t)excluded[i]);
        if (names != NULL)
            shs__free((char *)(uintptr_t)names[i]);
    }
    shs__free(excluded);
    shs__free(names);
    shs_ca_free(ca);
    return rc;
}

#define POLICIES 8
#define POLICY "2.16.840.1.101.3.2.1.48." /* of NIST, for tests */

/* "certificatePolicies=a,b,..." and "policyMappings=a:a,a:b,...", for shs__free. */
static char *policies_text(void)
{
    struct shs_buf out;
    char *text = NULL;
    int rc;

    shs__buf_init(&out, 4096);
    rc = shs__buf_printf(&out, "certificatePolicies=");
    for (int i = 1; i <= POLICIES && rc == SHS_OK; i++)
        rc = shs__buf_printf(&out, "%s" POLICY "%d", i == 1 ? "" : ",", i);
    if (rc == SHS_OK)
        text = shs__strndup(shs__buf_head(&out), out.len);
    shs__buf_free(&out);
    return text;
}

static char *mappings_text(void)
{
    struct shs_buf out;
    char *text = NULL;
    int rc;

    shs__buf_init(&out, (size_t)16 * 1024);
    rc = shs__buf_printf(&out, "policyMappings=");
    for (int i = 0; i < POLICIES * POLICIES && rc == SHS_OK; i++)
        rc = shs__buf_printf(&out, "%s" POLICY "%d:" POLICY "%d", i == 0 ? "" : ",",
                             i / POLICIES + 1, i % POLICIES + 1);
    if (rc == SHS_OK)
        text = shs__strndup(shs__buf_head(&out), out.len);
    shs__buf_free(&out);
    return text;
}

/* Each authority takes every policy for every other: who draws the whole tree has 8 to the power of
   their number to draw. */
int shs__lab_build_policy_dos(struct shs_lab *lab, struct shs__lab_unit *unit,
                              struct shs_error *err)
{
    char *policies = policies_text(), *mappings = mappings_text();
    const char *const of_ca[] = {policies, mappings, NULL}, *const of_leaf[] = {policies, NULL};
    const char *const names[] = {unit->public.host, NULL};
    const struct shs_ca_options o = {
        .size = sizeof o, .common_name = "shs lab policies", .extensions = of_ca};
    const struct shs_cert_options leaf = {
        .size = sizeof leaf, .names = names, .extensions = of_leaf};
    struct shs_ca *root = NULL, *ca = NULL, *below = NULL;
    int rc = policies == NULL || mappings == NULL ? shs__certs_nomem(err)
                                                  : shs__lab_ca(lab, LAB_CA_ROOT, &root, err);

    for (int i = 0; i < unit->row->make.arg && rc == SHS_OK; i++) {
        rc = shs_ca_intermediate(&below, ca == NULL ? root : ca, &o, err);
        if (rc == SHS_OK) {
            shs_ca_free(ca);
            ca = below;
        }
    }
    if (rc == SHS_OK)
        rc = shs_ca_issue(&unit->cert, ca, &leaf, err);
    shs_ca_free(ca);
    shs__free(policies);
    shs__free(mappings);
    return rc;
}
