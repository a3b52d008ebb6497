#include "tls/clients/crls.h"

#include <dirent.h>
#include <errno.h>
#include <stdatomic.h>
#include <stdio.h>
#include <sys/stat.h>
#include <time.h>

#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/x509v3.h>

#include "tls/clients/cas.h"
#include "tls/clients/client.h"
#include "tls/config/identity.h"
#include "tls/config/ocsp.h"
#include "tls/config/pem.h"
#include "tls/config/source.h"

#define CRL_FILE_MAX ((size_t)64 * 1024 * 1024)
#define CRL_FILES_MAX 1024
#define CRLS_MAX ((size_t)65536)

#define BROUGHT (-1) /* of no CA of ours: of one that a client brings along */

struct shs_tls_crl {
    X509_CRL *crl;
    int ca;                        /* of cas: whose it is; or BROUGHT */
    _Atomic(EVP_PKEY *) signer;    /* of a brought CA: the key that is known to have signed it */
    struct shs_tls_path_name name; /* of its file */
    int64_t since, next;       /* thisUpdate and nextUpdate, Unix time; no nextUpdate: INT64_MAX */
    ASN1_INTEGER *number;      /* NULL when it has none */
    ASN1_INTEGER *base;        /* a delta: of this number or a later one; else NULL */
    ISSUING_DIST_POINT *point; /* what it covers; NULL: everything */
    const ASN1_OCTET_STRING *scope; /* the same in DER, of `crl` */
};

static int nomem(struct shs_error *err)
{
    ERR_clear_error();
    return shs_error_set(err, SHS_NOMEM, 0, "Out of memory for CRLs.");
}

/* -- whose it is ------------------------------------------------------------------------------- */

static int ca_count(const struct shs_tls_crls *self)
{
    return sk_X509_num(self->cas->certs);
}

static X509 *ca_at(const struct shs_tls_crls *self, int index)
{
    return sk_X509_value(self->cas->certs, index);
}

/* The CA that has signed it; -1: none of ours. A renewed CA has several certificates of one name
   and key, and goes by the first; *may_sign: one of them may sign CRLs. */
static int find_signer(const struct shs_tls_crls *self, X509_CRL *crl, bool *may_sign)
{
    int found = -1;

    *may_sign = false;
    for (int i = 0; i < ca_count(self) && !*may_sign; i++) {
        X509 *ca = ca_at(self, i);

        if (X509_NAME_cmp(X509_get_subject_name(ca), X509_CRL_get_issuer(crl)) != 0 ||
            X509_CRL_verify(crl, X509_get0_pubkey(ca)) != 1)
            continue;
        if (found < 0)
            found = shs__tls_cas_find(self->cas, ca);
        *may_sign = (X509_get_key_usage(ca) & KU_CRL_SIGN) != 0;
    }
    return found;
}

static bool has_name_of_ours(const struct shs_tls_crls *self, X509_CRL *crl)
{
    for (int i = 0; i < ca_count(self); i++) {
        if (X509_NAME_cmp(X509_get_subject_name(ca_at(self, i)), X509_CRL_get_issuer(crl)) == 0)
            return true;
    }
    return false;
}

static int not_ours(const struct shs_tls_crl *item, struct shs_error *err)
{
    char issuer[128];

    if (!shs__client_name_text(X509_CRL_get_issuer(item->crl), issuer, sizeof issuer))
        return nomem(err);
    return shs_error_set(err, SHS_TLS, 0,
                         "The CRL in %s is not of a CA in the client CA file: its issuer is "
                         "'%s'. Add that CA to the file, or take the CRL away.",
                         item->name.text, issuer);
}

/*
 * Of a CA with the name of one of ours: does it say itself that another key has signed it? So does
 * that of a CA whose key was replaced, and whose old certificate is gone from the file: it must not
 * hold up its going. What says nothing of its key may be damaged. *other: only when SHS_OK.
 */
static int is_of_other_key(const struct shs_tls_crl *item, const struct shs_tls_crls *self,
                           bool *other, struct shs_error *err)
{
    int critical = -1;
    AUTHORITY_KEYID *key =
        X509_CRL_get_ext_d2i(item->crl, NID_authority_key_identifier, &critical, NULL);

    if (key == NULL && shs__tls_was_nomem())
        return nomem(err);
    *other = key != NULL;
    for (int i = 0; i < ca_count(self) && *other; i++) {
        X509 *ca = ca_at(self, i);

        *other = X509_NAME_cmp(X509_get_subject_name(ca), X509_CRL_get_issuer(item->crl)) != 0 ||
                 X509_check_akid(ca, key) != X509_V_OK;
    }
    AUTHORITY_KEYID_free(key);
    return SHS_OK;
}

static int not_signed(const struct shs_tls_crl *item, struct shs_error *err)
{
    char issuer[128];

    if (!shs__client_name_text(X509_CRL_get_issuer(item->crl), issuer, sizeof issuer))
        return nomem(err);
    return shs_error_set(err, SHS_TLS, 0,
                         "The CRL in %s is not signed by '%s', its issuer, as this CA is in the "
                         "client CA file: it is damaged, or of another CA with this name. Fetch "
                         "it again, or take it away.",
                         item->name.text, issuer);
}

/* What nobody here has signed may be of a CA below one of ours: it is checked when that comes. */
static int check_signer(struct shs_tls_crl *item, const struct shs_tls_crls *self,
                        struct shs_error *err)
{
    bool may_sign, other = true;
    int rc = SHS_OK;

    ERR_clear_error();
    item->ca = find_signer(self, item->crl, &may_sign);
    if (item->ca < 0) {
        if (shs__tls_was_nomem())
            return nomem(err);
        item->ca = BROUGHT;
        if (has_name_of_ours(self, item->crl))
            rc = is_of_other_key(item, self, &other, err);
        return rc == SHS_OK && !other ? not_signed(item, err) : rc;
    }
    if (!may_sign)
        return shs_error_set(err, SHS_TLS, 0,
                             "The CRL in %s does not count: its CA may not sign CRLs, for its "
                             "keyUsage lacks cRLSign.",
                             item->name.text);
    return SHS_OK;
}

/* -- what it is -------------------------------------------------------------------------------- */

static int not_understood(const struct shs_tls_crl *item, const char *what, struct shs_error *err)
{
    return shs_error_set(err, SHS_TLS, 0,
                         "The CRL in %s %s, which is not understood. Use a complete CRL of "
                         "the CA.",
                         item->name.text, what);
}

static int unknown_critical(const struct shs_tls_crl *item, X509_EXTENSION *ext, const char *of,
                            struct shs_error *err)
{
    char oid[64], what[160];

    (void)OBJ_obj2txt(oid, sizeof oid, X509_EXTENSION_get_object(ext), 1);
    snprintf(what, sizeof what, "has %s critical extension %s", of, oid);
    return not_understood(item, what, err);
}

/* An extension; NULL when there is none. False: it is there twice or malformed, or no memory. */
static bool take_extension(X509_CRL *crl, int nid, void **out)
{
    int critical = 0;

    *out = X509_CRL_get_ext_d2i(crl, nid, &critical, NULL);
    return *out != NULL || critical == -1;
}

static int read_extensions(struct shs_tls_crl *item, struct shs_error *err)
{
    void *number = NULL, *base = NULL, *point = NULL;
    bool good;

    ERR_clear_error();
    good = take_extension(item->crl, NID_crl_number, &number) &&
           take_extension(item->crl, NID_delta_crl, &base) &&
           take_extension(item->crl, NID_issuing_distribution_point, &point);
    item->number = number;
    item->base = base;
    item->point = point;
    if (!good)
        return shs__tls_was_nomem()
                   ? nomem(err)
                   : shs_error_set(err, SHS_TLS, 0,
                                   "The CRL in %s has a malformed extension, or one twice.",
                                   item->name.text);
    for (int i = 0; i < X509_CRL_get_ext_count(item->crl); i++) {
        X509_EXTENSION *ext = X509_CRL_get_ext(item->crl, i);
        int nid = OBJ_obj2nid(X509_EXTENSION_get_object(ext));

        if (X509_EXTENSION_get_critical(ext) != 0 && nid != NID_delta_crl &&
            nid != NID_issuing_distribution_point && nid != NID_crl_number &&
            nid != NID_authority_key_identifier)
            return unknown_critical(item, ext, "the", err);
    }
    if (item->point != NULL)
        item->scope = X509_EXTENSION_get_data(X509_CRL_get_ext(
            item->crl, X509_CRL_get_ext_by_NID(item->crl, NID_issuing_distribution_point, -1)));
    if (item->base != NULL && item->number == NULL)
        return not_understood(item, "is a delta without a number", err);
    return SHS_OK;
}

static int check_scope(const struct shs_tls_crl *item, struct shs_error *err)
{
    const ISSUING_DIST_POINT *point = item->point;

    if (point == NULL)
        return SHS_OK;
    if (point->indirectCRL > 0)
        return not_understood(item, "is an indirect one", err);
    if (point->onlysomereasons != NULL)
        return not_understood(item, "is for some reasons only", err);
    if (point->onlyattr > 0)
        return not_understood(item, "is for attribute certificates", err);
    if (point->distpoint != NULL &&
        DIST_POINT_set_dpname(point->distpoint, X509_CRL_get_issuer(item->crl)) != 1)
        return nomem(err); /* of one that is relative to its issuer: the whole name */
    return SHS_OK;
}

/* Its reason can be read: a client is judged by it. */
static int check_reason(const struct shs_tls_crl *item, const X509_REVOKED *entry,
                        struct shs_error *err)
{
    int critical = -1;
    ASN1_ENUMERATED *reason = X509_REVOKED_get_ext_d2i(entry, NID_crl_reason, &critical, NULL);

    if (reason == NULL && critical != -1)
        return shs__tls_was_nomem()
                   ? nomem(err)
                   : shs_error_set(err, SHS_TLS, 0,
                                   "The CRL in %s has an entry whose reason is malformed, or there "
                                   "twice.",
                                   item->name.text);
    ASN1_ENUMERATED_free(reason);
    return SHS_OK;
}

static int check_entries(const struct shs_tls_crl *item, struct shs_error *err)
{
    STACK_OF(X509_REVOKED) *entries = X509_CRL_get_REVOKED(item->crl);
    int rc = SHS_OK;

    ERR_clear_error();
    for (int i = 0; i < sk_X509_REVOKED_num(entries); i++) {
        const X509_REVOKED *entry = sk_X509_REVOKED_value(entries, i);

        for (int k = 0; k < X509_REVOKED_get_ext_count(entry); k++) {
            X509_EXTENSION *ext = X509_REVOKED_get_ext(entry, k);
            int nid = OBJ_obj2nid(X509_EXTENSION_get_object(ext));

            if (nid == NID_certificate_issuer)
                return not_understood(item, "is an indirect one", err);
            if (X509_EXTENSION_get_critical(ext) != 0 && nid != NID_crl_reason)
                return unknown_critical(item, ext, "an entry with the", err);
            if (nid == NID_crl_reason)
                rc = check_reason(item, entry, err);
            if (rc != SHS_OK)
                return rc;
        }
    }
    return SHS_OK;
}

static int read_times(struct shs_tls_crl *item, struct shs_error *err)
{
    const ASN1_TIME *next = X509_CRL_get0_nextUpdate(item->crl);

    item->next = INT64_MAX;
    if (shs__tls_time_read(X509_CRL_get0_lastUpdate(item->crl), &item->since) &&
        (next == NULL || shs__tls_time_read(next, &item->next)))
        return SHS_OK;
    return shs_error_set(err, SHS_TLS, 0, "The CRL in %s has a malformed date.", item->name.text);
}

/* -- loading ----------------------------------------------------------------------------------- */

static void free_item(struct shs_tls_crl *item)
{
    EVP_PKEY_free(atomic_load(&item->signer));
    X509_CRL_free(item->crl);
    ASN1_INTEGER_free(item->number);
    ASN1_INTEGER_free(item->base);
    ISSUING_DIST_POINT_free(item->point);
}

struct loading {
    struct shs_tls_crls *crls;
    void (*note)(void *ctx, const unsigned char digest[32]);
    void *ctx;
    struct shs_error *err;
};

static int make_room(struct shs_tls_crls *self, struct shs_error *err)
{
    size_t room = self->room == 0 ? 8 : self->room * 2;
    void *all;

    if (self->count < self->room)
        return SHS_OK;
    if (self->count == CRLS_MAX)
        return shs_error_set(err, SHS_LIMIT, 0, "More than %zu CRLs.", CRLS_MAX);
    all = shs__realloc(self->all, room * sizeof *self->all);
    if (all == NULL)
        return nomem(err);
    self->all = all;
    self->room = room;
    return SHS_OK;
}

/* The entries are put in order when one is looked up for the first time: now, by one thread. */
static void sort_entries(const struct shs_tls_crls *self, const struct shs_tls_crl *item)
{
    X509_REVOKED *entry;

    (void)X509_CRL_get0_by_serial(item->crl, &entry, X509_get0_serialNumber(ca_at(self, 0)));
}

/* Takes the CRL. */
static int add_crl(struct loading *job, X509_CRL *crl, const char *path)
{
    struct shs_tls_crls *self = job->crls;
    struct shs_error *err = job->err;
    unsigned char digest[EVP_MAX_MD_SIZE];
    struct shs_tls_crl *item;
    unsigned len = 0;
    int rc = make_room(self, err);

    if (rc != SHS_OK) {
        X509_CRL_free(crl);
        return rc;
    }
    item = &self->all[self->count++]; /* freed with the others */
    *item = (struct shs_tls_crl){.crl = crl};
    shs__tls_path_name(&item->name, path);
    rc = check_signer(item, self, err);
    if (rc == SHS_OK)
        rc = read_times(item, err);
    if (rc == SHS_OK)
        rc = read_extensions(item, err);
    if (rc == SHS_OK)
        rc = check_scope(item, err);
    if (rc == SHS_OK)
        rc = check_entries(item, err);
    if (rc == SHS_OK && (X509_CRL_digest(crl, EVP_sha256(), digest, &len) != 1 || len != 32))
        rc = nomem(err);
    if (rc != SHS_OK)
        return rc;
    sort_entries(self, item);
    job->note(job->ctx, digest);
    return SHS_OK;
}

static const char *named(struct shs_tls_path_name *name, const char *path)
{
    shs__tls_path_name(name, path);
    return name->text;
}

static int read_der(struct loading *job, const struct shs_buf *bytes, const char *path)
{
    struct shs_tls_path_name name;
    const unsigned char *at = (const unsigned char *)shs__buf_head(bytes);
    X509_CRL *crl = d2i_X509_CRL(NULL, &at, (long)bytes->len);
    size_t left;

    if (crl == NULL)
        return shs__tls_error(job->err, SHS_TLS, "The CRL in %s is malformed", named(&name, path));
    left = bytes->len - (size_t)(at - (const unsigned char *)shs__buf_head(bytes));
    if (left == 0)
        return add_crl(job, crl, path);
    X509_CRL_free(crl);
    return shs_error_set(job->err, SHS_TLS, 0,
                         "The CRL in %s ends %zu bytes before the file does, and what follows "
                         "would be lost. Of CRLs in DER, each needs a file of its own.",
                         named(&name, path), left);
}

static int add_block(struct loading *job, const struct shs_tls_pem *pem,
                     const struct shs_tls_pem_block *block, const char *path)
{
    const unsigned char *at = block->der;
    X509_CRL *crl;

    if (shs__tls_pem_is_certificate(block) || shs__tls_pem_is_key(block))
        return SHS_OK; /* nothing that is missed */
    if (!shs__tls_pem_is(block, PEM_STRING_X509_CRL))
        return shs__tls_pem_stray(pem, block, "CRL", job->err);
    crl = d2i_X509_CRL(NULL, &at, (long)block->len);
    if (crl == NULL)
        return shs__tls_error(job->err, SHS_TLS, "The CRL on line %u of %s is malformed",
                              block->line, pem->name);
    if (at == block->der + block->len)
        return add_crl(job, crl, path);
    X509_CRL_free(crl);
    return shs_error_set(job->err, SHS_TLS, 0,
                         "The CRL on line %u of %s is malformed: it goes on after it. Each CRL "
                         "needs a block of its own.",
                         block->line, pem->name);
}

static int read_pem(struct loading *job, const struct shs_buf *bytes, const char *path)
{
    struct shs_tls_pem_block block;
    struct shs_tls_path_name name;
    struct shs_tls_pem pem;
    int rc = SHS_OK;

    shs__tls_path_name(&name, path);
    shs__tls_pem_begin(&pem, shs__buf_head(bytes), bytes->len, name.text);
    while (rc == SHS_OK && (rc = shs__tls_pem_next(&pem, &block, job->err)) == SHS_OK) {
        ERR_clear_error();
        rc = add_block(job, &pem, &block, path);
        shs__tls_pem_drop(&block);
    }
    return rc == SHS_CLOSED ? SHS_OK : rc;
}

static int load_file(struct loading *job, const char *path)
{
    struct shs_tls_path_name name;
    size_t before = job->crls->count;
    struct shs_buf bytes;
    int rc = shs__tls_read_file(&bytes, path, CRL_FILE_MAX, "CRL", job->err);

    ERR_clear_error();
    if (rc == SHS_OK && bytes.len > 0)
        rc = shs__tls_is_der(&bytes) ? read_der(job, &bytes, path) : read_pem(job, &bytes, path);
    shs__buf_free(&bytes);
    if (rc == SHS_OK && job->crls->count == before)
        rc = shs_error_set(job->err, SHS_TLS, 0, "There is no CRL in %s, neither PEM nor DER.",
                           named(&name, path));
    ERR_clear_error();
    return rc;
}

/* A file of the directory; *files counts them. What cannot be looked at must not be lost. */
static int load_entry(struct loading *job, const char *path, unsigned *files)
{
    struct shs_tls_path_name name;
    char text[96];
    struct stat st;

    if (stat(path, &st) != 0)
        return shs_error_set(job->err, SHS_TLS, errno, "Cannot read the CRL file %s: %s.",
                             named(&name, path), shs__strerror(errno, text, sizeof text));
    if (S_ISDIR(st.st_mode))
        return SHS_OK;
    if (!S_ISREG(st.st_mode))
        return shs_error_set(job->err, SHS_TLS, 0,
                             "%s in the CRL directory is not a file. Take it out.",
                             named(&name, path));
    if (++*files > CRL_FILES_MAX)
        return shs_error_set(job->err, SHS_TLS, 0,
                             "There are more than %d files in the CRL directory of %s.",
                             CRL_FILES_MAX, named(&name, path));
    return load_file(job, path);
}

static int load_dir(struct loading *job, DIR *dir, const char *path)
{
    struct shs_tls_path_name name;
    struct dirent *entry;
    unsigned files = 0;
    int rc = SHS_OK;

    while (rc == SHS_OK && (errno = 0, entry = readdir(dir)) != NULL) {
        char *file;

        if (entry->d_name[0] == '.')
            continue;
        file = shs__asprintf("%s/%s", path, entry->d_name);
        if (file == NULL)
            return nomem(job->err);
        rc = load_entry(job, file, &files);
        shs__free(file);
    }
    if (rc == SHS_OK && errno != 0)
        rc = shs_error_set(job->err, SHS_TLS, errno, "Cannot read the CRL directory %s.",
                           named(&name, path));
    if (rc == SHS_OK && job->crls->count == 0)
        rc = shs_error_set(job->err, SHS_TLS, 0, "There is no CRL in the directory %s.",
                           named(&name, path));
    return rc;
}

/* Without one of a CA in the file, nobody would be let in: it is the wrong file. */
static int check_any_of_ours(const struct shs_tls_crls *self, struct shs_error *err)
{
    for (size_t i = 0; i < self->count; i++) {
        if (self->all[i].ca != BROUGHT)
            return SHS_OK;
    }
    return not_ours(&self->all[0], err);
}

int shs__tls_crls_load(struct shs_tls_crls *self, const struct shs_tls_cas *cas, const char *path,
                       void (*note)(void *ctx, const unsigned char digest[32]), void *ctx,
                       struct shs_error *err)
{
    struct shs_tls_path_name name;
    struct loading job = {.crls = self, .note = note, .ctx = ctx, .err = err};
    char text[96];
    struct stat st;
    DIR *dir;
    int rc;

    memset(self, 0, sizeof *self);
    self->cas = cas;
    if (stat(path, &st) != 0 || !S_ISDIR(st.st_mode)) {
        rc = load_file(&job, path);
        return rc == SHS_OK ? check_any_of_ours(self, err) : rc;
    }
    dir = opendir(path);
    if (dir == NULL)
        return shs_error_set(err, SHS_TLS, errno, "Cannot open the CRL directory %s: %s.",
                             named(&name, path), shs__strerror(errno, text, sizeof text));
    rc = load_dir(&job, dir, path);
    closedir(dir);
    return rc == SHS_OK ? check_any_of_ours(self, err) : rc;
}

void shs__tls_crls_free(struct shs_tls_crls *self)
{
    for (size_t i = 0; i < self->count; i++)
        free_item(&self->all[i]);
    shs__free(self->all);
    memset(self, 0, sizeof *self);
}

/* -- what they say of a certificate ------------------------------------------------------------ */

/* Certificates are looked up one after the other. */
struct looking {
    const struct shs_tls_crls *crls;
    X509 *cert, *issuer;
    int ca; /* of cas: the issuer; or BROUGHT */
    int64_t now;
    bool is_ca, has_points, failed; /* failed: no memory */
    CRL_DIST_POINTS *points;        /* of the certificate, when somebody has asked */
};

static bool is_fresh(const struct shs_tls_crl *item, int64_t now)
{
    return item->since <= now && item->next > now;
}

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

    if (item->ca != look->ca || (item->ca == BROUGHT && !is_signed_by_brought(look, item)))
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

        if (delta->base != NULL && item->number != NULL && is_fresh(delta, look->now) &&
            delta->since >= item->since && by_number(delta->number, item->number) > 0 &&
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

        if (other->base == NULL && is_fresh(other, look->now) && supersedes(other, item) &&
            covers(look, other))
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
        if (is_fresh(item, look->now))
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
        .crls = self, .cert = cert, .issuer = issuer, .ca = ca < 0 ? BROUGHT : ca, .now = now};
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
    for (int steps = 0;
         code == X509_V_OK && at >= 0 && self->cas->parents[at] >= 0 && steps < ca_count(self);
         steps++) {
        code = judge_by(self, ca_at(self, at), ca_at(self, self->cas->parents[at]), now, until);
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

/* -- what their owner should know -------------------------------------------------------------- */

static void time_text(int64_t when, char *buf, size_t cap)
{
    time_t t = (time_t)when;
    struct tm tm;

    if (gmtime_r(&t, &tm) == NULL || strftime(buf, cap, "%Y-%m-%dT%H:%M:%SZ", &tm) == 0)
        snprintf(buf, cap, "long ago");
}

/* A fresh complete one of the same CA. */
static bool has_fresh(const struct shs_tls_crls *self, const struct shs_tls_crl *than, int64_t now)
{
    for (size_t i = 0; i < self->count; i++) {
        const struct shs_tls_crl *item = &self->all[i];

        if (item->ca == than->ca && item->base == NULL && is_fresh(item, now) &&
            X509_NAME_cmp(X509_CRL_get_issuer(item->crl), X509_CRL_get_issuer(than->crl)) == 0)
            return true;
    }
    return false;
}

static void issuer_text(const struct shs_tls_crl *item, char *buf, size_t cap)
{
    if (!shs__client_name_text(X509_CRL_get_issuer(item->crl), buf, cap))
        snprintf(buf, cap, "(no memory for its name)");
}

static void advise_brought(const struct shs_tls_crls *self, const struct shs_tls_crl *item,
                           struct shs_error *note)
{
    char name[64];

    issuer_text(item, name, sizeof name);
    if (has_name_of_ours(self, item->crl)) {
        shs_error_set(note, SHS_TLS, 0,
                      "The CRL in %s is signed with another key than '%s' has in the client CA "
                      "file: it counts for clients that bring a CA with that key along. If that "
                      "key is out of use, take the CRL away.",
                      item->name.text, name);
        return;
    }
    shs_error_set(note, SHS_TLS, 0,
                  "The CRL in %s is of '%s', which is not in the client CA file: it counts for "
                  "clients that bring this CA along, and is checked then.",
                  item->name.text, name);
}

static void advise_early(const struct shs_tls_crls *self, const struct shs_tls_crl *item,
                         int64_t now, struct shs_error *note)
{
    char name[64], since[32];

    issuer_text(item, name, sizeof name);
    time_text(item->since, since, sizeof since);
    shs_error_set(
        note, SHS_TLS, 0, "The %s in %s is not good before %s, its thisUpdate: clients of '%s' %s",
        item->base == NULL ? "CRL" : "delta CRL", item->name.text, since, name,
        has_fresh(self, item, now) ? "are judged by another until then."
                                   : "are refused until then. Is the clock of this machine right?");
}

static void advise_stale(const struct shs_tls_crls *self, const struct shs_tls_crl *item,
                         int64_t now, struct shs_error *note)
{
    char name[64], since[32];

    issuer_text(item, name, sizeof name);
    time_text(item->next, since, sizeof since);
    shs_error_set(note, SHS_TLS, 0,
                  "The %s in %s is past its nextUpdate since %s: clients of '%s' %s",
                  item->base == NULL ? "CRL" : "delta CRL", item->name.text, since, name,
                  has_fresh(self, item, now) ? "are judged by another that is fresh."
                                             : "are refused. Fetch a new one.");
}

/* CAs that no CRL speaks of: their clients will be refused. *first: of them. */
static unsigned count_without(const struct shs_tls_crls *self, int *first)
{
    unsigned count = 0;

    for (int ca = 0; ca < ca_count(self); ca++) {
        bool found = false;

        for (size_t i = 0; !found && i < self->count; i++)
            found = self->all[i].base == NULL &&
                    (self->all[i].ca == ca ||
                     shs__tls_cas_find(self->cas, ca_at(self, ca)) == self->all[i].ca);
        if (!found && count++ == 0)
            *first = ca;
    }
    return count;
}

bool shs__tls_crls_advice(const struct shs_tls_crls *self, unsigned index, int64_t now,
                          struct shs_error *note)
{
    unsigned said = 0, without;
    char name[64];
    int first = 0;

    for (size_t i = 0; i < self->count; i++) {
        if (self->all[i].next <= now && said++ == index) {
            advise_stale(self, &self->all[i], now, note);
            return true;
        }
        if (self->all[i].since > now && said++ == index) {
            advise_early(self, &self->all[i], now, note);
            return true;
        }
        if (self->all[i].ca == BROUGHT && said++ == index) {
            advise_brought(self, &self->all[i], note);
            return true;
        }
    }
    without = self->count == 0 ? 0 : count_without(self, &first);
    if (without == 0 || said != index)
        return false;
    if (!shs__client_name_text(X509_get_subject_name(ca_at(self, first)), name, sizeof name))
        snprintf(name, sizeof name, "(no memory for its name)");
    shs_error_set(
        note, SHS_TLS, 0,
        "%u client CA(s) have no CRL, '%s'%s: with CRLs in use, whom such a CA has issued "
        "is refused. Fetch its CRL (a root has one for the CAs below it).",
        without, name, without > 1 ? " and others" : "");
    return true;
}

/* Do they cover the same? A delta never stands in for a whole one, nor one part for another. */
static bool is_alike(const struct shs_tls_crl *a, const struct shs_tls_crl *b)
{
    return a->ca == b->ca && (a->base == NULL) == (b->base == NULL) && a->point == NULL &&
           b->point == NULL;
}

bool shs__tls_crls_end(const struct shs_tls_crls *self, size_t i, int64_t *since, int64_t *when,
                       int *ca, const char **file)
{
    if (i >= self->count)
        return false;
    *since = self->all[i].since;
    *when = self->all[i].next;
    *ca = self->all[i].ca;
    *file = self->all[i].name.text;
    for (size_t k = 0; k < self->count; k++) {
        if (k != i && is_alike(&self->all[k], &self->all[i]) &&
            (self->all[k].next > *when || (self->all[k].next == *when && k < i))) {
            *when = INT64_MAX;
            break;
        }
    }
    return true;
}
