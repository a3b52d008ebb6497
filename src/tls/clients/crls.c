#include "tls/clients/crl.h"

#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <sys/stat.h>

#include <openssl/err.h>
#include <openssl/pem.h>

#include "tls/clients/client.h"
#include "tls/config/identity.h"
#include "tls/config/ocsp.h"
#include "tls/config/pem.h"

#define CRL_FILE_MAX ((size_t)64 * 1024 * 1024)
#define CRL_FILES_MAX 1024
#define CRLS_MAX ((size_t)65536)

static int nomem(struct shs_error *err)
{
    ERR_clear_error();
    return shs_error_set(err, SHS_NOMEM, 0, "Out of memory for CRLs.");
}

/* -- whose it is ------------------------------------------------------------------------------- */

/* The CA that has signed it; -1: none of ours. A renewed CA has several certificates of one name
   and key, and goes by the first; *may_sign: one of them may sign CRLs. */
static int find_signer(const struct shs_tls_crls *self, X509_CRL *crl, bool *may_sign)
{
    int found = -1;

    *may_sign = false;
    for (int i = 0; i < shs__tls_crls_ca_count(self) && !*may_sign; i++) {
        X509 *ca = shs__tls_crls_ca_at(self, i);

        if (X509_NAME_cmp(X509_get_subject_name(ca), X509_CRL_get_issuer(crl)) != 0 ||
            X509_CRL_verify(crl, X509_get0_pubkey(ca)) != 1)
            continue;
        if (found < 0)
            found = shs__tls_cas_find(self->cas, ca);
        *may_sign = (X509_get_key_usage(ca) & KU_CRL_SIGN) != 0;
    }
    return found;
}

bool shs__tls_crls_has_name_of_ours(const struct shs_tls_crls *self, X509_CRL *crl)
{
    for (int i = 0; i < shs__tls_crls_ca_count(self); i++) {
        if (X509_NAME_cmp(X509_get_subject_name(shs__tls_crls_ca_at(self, i)),
                          X509_CRL_get_issuer(crl)) == 0)
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
    for (int i = 0; i < shs__tls_crls_ca_count(self) && *other; i++) {
        X509 *ca = shs__tls_crls_ca_at(self, i);

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
        item->ca = SHS__TLS_CRL_BROUGHT;
        if (shs__tls_crls_has_name_of_ours(self, item->crl))
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

    (void)X509_CRL_get0_by_serial(item->crl, &entry,
                                  X509_get0_serialNumber(shs__tls_crls_ca_at(self, 0)));
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
        if (self->all[i].ca != SHS__TLS_CRL_BROUGHT)
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
