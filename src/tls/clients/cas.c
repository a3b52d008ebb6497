#include "tls/clients/cas.h"

#include <stdio.h>

#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/rsa.h>
#include <openssl/x509v3.h>

#include "tls/clients/client.h"
#include "tls/clients/clients.h"
#include "tls/config/identity.h"
#include "tls/config/pem.h"
#include "tls/config/source.h"

#define CA_FILE_MAX ((size_t)4 * 1024 * 1024)
/* As a handshake has it (site.c). */
#define AUTH_LEVEL 2
/* It signs what nobody is shown. */
#define SMALL_RSA 1024

/* What the rules say of each client of a CA. */
struct shs_tls_ca_fault {
    X509 *ca; /* it, or one above it */
    int code; /* X509_V_ERR_* */
};

static int nomem(struct shs_error *err)
{
    ERR_clear_error();
    return shs_error_set(err, SHS_NOMEM, 0, "Out of memory for the client CAs.");
}

/* -- reading ----------------------------------------------------------------------------------- */

struct loading {
    struct shs_tls_cas *cas;
    X509_STORE *store;
    void (*note)(void *ctx, const unsigned char digest[32]);
    void *ctx;
    struct shs_error *err;
};

/* The name as it is sent to clients: once, whatever number of certificates has it. */
static int add_name(struct shs_tls_cas *self, X509 *ca, struct shs_error *err)
{
    const X509_NAME *subject = X509_get_subject_name(ca);
    X509_NAME *name;
    int len;

    for (int i = 0; i < sk_X509_NAME_num(self->names); i++) {
        if (X509_NAME_cmp(sk_X509_NAME_value(self->names, i), subject) == 0)
            return SHS_OK;
    }
    name = X509_NAME_dup(subject);
    len = name == NULL ? -1 : i2d_X509_NAME(name, NULL);
    if (len < 0 || sk_X509_NAME_push(self->names, name) == 0) {
        X509_NAME_free(name);
        return nomem(err);
    }
    self->names_len += 2 + (size_t)len;
    return SHS_OK;
}

/* Takes the certificate. */
static int add_ca(struct loading *job, X509 *ca)
{
    struct shs_tls_cas *self = job->cas;
    unsigned char digest[EVP_MAX_MD_SIZE];
    unsigned len = 0;

    ERR_clear_error();
    if (sk_X509_push(self->certs, ca) == 0) {
        X509_free(ca);
        return nomem(job->err);
    }
    if (!shs__tls_is_whole(ca)) /* it would refuse every client */
        return shs__tls_error(job->err, SHS_TLS,
                              "Certificate number %d in the client CA file %s cannot be used",
                              sk_X509_num(self->certs), self->name.text);
    if (X509_check_ca(ca) == 0)
        return shs_error_set(job->err, SHS_TLS, 0,
                             "Certificate number %d in the client CA file %s is not a CA "
                             "certificate: it may not sign clients. Put the CA there that has "
                             "signed it.",
                             sk_X509_num(self->certs), self->name.text);
    if (X509_digest(ca, EVP_sha256(), digest, &len) != 1 || len != 32 ||
        X509_STORE_add_cert(job->store, ca) != 1)
        return nomem(job->err);
    job->note(job->ctx, digest);
    return add_name(self, ca, job->err);
}

/* A CRL in here would be lost, and whom it revokes be let in: so that is an error. */
static int add_block(struct loading *job, const struct shs_tls_pem *pem,
                     const struct shs_tls_pem_block *block)
{
    X509 *ca = NULL;
    int rc;

    if (shs__tls_pem_is_key(block) || shs__tls_pem_is(block, PEM_STRING_ECPARAMETERS) ||
        shs__tls_pem_is(block, PEM_STRING_DHPARAMS))
        return SHS_OK; /* nothing that is missed */
    if (!shs__tls_pem_is_certificate(block))
        return shs__tls_pem_stray(pem, block, "client CA", job->err);
    rc = shs__tls_pem_certificate(&ca, pem, block, job->err);
    return rc == SHS_OK ? add_ca(job, ca) : rc;
}

static int read_blocks(struct loading *job, const struct shs_buf *bytes)
{
    char named[sizeof(struct shs_tls_path_name) + 32];
    struct shs_tls_pem_block block;
    struct shs_tls_pem pem;
    int rc = SHS_OK;

    snprintf(named, sizeof named, "the client CA file %s", job->cas->name.text);
    shs__tls_pem_begin(&pem, shs__buf_head(bytes), bytes->len, named);
    while (rc == SHS_OK && (rc = shs__tls_pem_next(&pem, &block, job->err)) == SHS_OK) {
        rc = add_block(job, &pem, &block);
        shs__tls_pem_drop(&block);
    }
    return rc == SHS_CLOSED ? SHS_OK : rc;
}

static int read_file(struct loading *job, const char *path)
{
    struct shs_buf bytes;
    bool is_der;
    int rc = shs__tls_read_file(&bytes, path, CA_FILE_MAX, "client CA", job->err);

    is_der = rc == SHS_OK && shs__tls_is_der(&bytes);
    if (rc == SHS_OK && bytes.len > 0 && !is_der)
        rc = read_blocks(job, &bytes);
    shs__buf_free(&bytes);
    if (rc == SHS_OK && sk_X509_num(job->cas->certs) == 0)
        rc = shs_error_set(
            job->err, SHS_TLS, 0, "There is no CA certificate in %s: %s", job->cas->name.text,
            is_der ? "it looks like DER. Convert it: openssl x509 -inform DER, or, if it is "
                     "PKCS #12, openssl pkcs12 -nokeys."
                   : "a '-----BEGIN CERTIFICATE' line is missing.");
    ERR_clear_error();
    return rc;
}

/* The end of a file's name, for a sentence that has more to say. */
static const char *short_name(const struct shs_tls_cas *self, char *buf, size_t cap)
{
    size_t len = strlen(self->name.text);

    if (len < cap)
        return self->name.text;
    snprintf(buf, cap, "'...%s", self->name.text + len - (cap - 5));
    return buf;
}

/* -- who signed whom --------------------------------------------------------------------------- */

static bool has_name_and_key_of(X509 *ca, X509 *cert)
{
    return ca == cert ||
           (X509_NAME_cmp(X509_get_subject_name(ca), X509_get_subject_name(cert)) == 0 &&
            X509_get0_pubkey(cert) != NULL &&
            EVP_PKEY_eq(X509_get0_pubkey(ca), X509_get0_pubkey(cert)) == 1);
}

int shs__tls_cas_find(const struct shs_tls_cas *self, X509 *cert)
{
    for (int i = 0; i < sk_X509_num(self->certs); i++) {
        if (has_name_and_key_of(sk_X509_value(self->certs, i), cert))
            return i;
    }
    return -1;
}

/* Has a CA a new key and its old name? */
static bool has_namesakes(const struct shs_tls_cas *self)
{
    for (int i = 0; i < sk_X509_num(self->certs); i++) {
        X509 *ca = sk_X509_value(self->certs, i);

        for (int k = 0; k < i; k++) {
            X509 *other = sk_X509_value(self->certs, k);

            if (X509_NAME_cmp(X509_get_subject_name(other), X509_get_subject_name(ca)) == 0 &&
                !has_name_and_key_of(other, ca))
                return true;
        }
    }
    return false;
}

static bool is_signed_by(X509 *cert, X509 *ca)
{
    bool is;

    ERR_set_mark();
    is = X509_check_issued(ca, cert) == X509_V_OK && X509_verify(cert, X509_get0_pubkey(ca)) == 1;
    ERR_pop_to_mark();
    return is;
}

/* The server's own clock, where it is another than the system's; else 0. */
static time_t set_time_of(X509_STORE_CTX *ctx)
{
    X509_VERIFY_PARAM *param = X509_STORE_CTX_get0_param(ctx);

    return (X509_VERIFY_PARAM_get_flags(param) & X509_V_FLAG_USE_CHECK_TIME) == 0
               ? 0
               : X509_VERIFY_PARAM_get_time(param);
}

/*
 * OpenSSL takes the first CA of the name, whose key may be another one. Of namesakes it is the one
 * that has signed, and is valid if one of these is. Only where there are any: it costs a signature.
 */
static int find_issuer(X509 **issuer, X509_STORE_CTX *ctx, X509 *cert)
{
    time_t set = set_time_of(ctx), *now = set == 0 ? NULL : &set;
    STACK_OF(X509) *all = X509_STORE_CTX_get1_certs(ctx, X509_get_issuer_name(cert));
    X509 *found = NULL;
    bool valid = false;

    for (int i = 0; !valid && i < sk_X509_num(all); i++) {
        X509 *ca = sk_X509_value(all, i);

        if (!is_signed_by(cert, ca))
            continue;
        valid = X509_cmp_time(X509_get0_notBefore(ca), now) < 0 &&
                X509_cmp_time(X509_get0_notAfter(ca), now) > 0;
        found = found == NULL || valid ? ca : found;
    }
    if (found != NULL && X509_up_ref(found) != 1)
        found = NULL;
    *issuer = found;
    sk_X509_pop_free(all, X509_free);
    return found != NULL ? 1 : X509_STORE_CTX_get1_issuer(issuer, ctx, cert);
}

static int find_parents(struct shs_tls_cas *self, struct shs_error *err)
{
    int count = sk_X509_num(self->certs);

    self->parents = shs__calloc((size_t)count, sizeof *self->parents);
    if (self->parents == NULL)
        return nomem(err);
    for (int i = 0; i < count; i++) {
        X509 *cert = sk_X509_value(self->certs, i);
        bool is_root = X509_self_signed(cert, 1) == 1;

        self->parents[i] = -1;
        for (int k = 0; k < count && !is_root && self->parents[i] < 0; k++) {
            X509 *ca = sk_X509_value(self->certs, k);

            if (k != i && X509_check_issued(ca, cert) == X509_V_OK &&
                X509_verify(cert, X509_get0_pubkey(ca)) == 1)
                self->parents[i] = k;
        }
    }
    if (shs__tls_was_nomem())
        return nomem(err);
    return SHS_OK;
}

static bool leads_to_a_root(const struct shs_tls_cas *self, int at)
{
    for (int steps = 0; at >= 0 && steps <= sk_X509_num(self->certs); steps++) {
        if (X509_self_signed(sk_X509_value(self->certs, at), 0) == 1)
            return true;
        at = self->parents[at];
    }
    return false;
}

/* A chain ends with a root: of a CA whose root is not here, no client would get in. */
static int check_roots(const struct shs_tls_cas *self, struct shs_error *err)
{
    int count = sk_X509_num(self->certs);
    char name[32], file[60];

    for (int i = 0; i < count; i++) {
        X509 *cert = sk_X509_value(self->certs, i);
        bool leads = leads_to_a_root(self, i);

        for (int k = 0; !leads && k < count; k++)
            leads = has_name_and_key_of(sk_X509_value(self->certs, k), cert) &&
                    leads_to_a_root(self, k);
        if (leads)
            continue;
        if (!shs__client_name_text(X509_get_subject_name(cert), name, sizeof name))
            return nomem(err);
        return shs_error_set(err, SHS_TLS, 0,
                             "'%s' in the client CA file %s is not a root, and its issuer is not "
                             "in the file. Add that, or trust this CA alone: --client-ca-partial "
                             "(client_partial).",
                             name, short_name(self, file, sizeof file));
    }
    return SHS_OK;
}

/* -- what would be said of their clients ------------------------------------------------------- */

static int note_first_fault(int ok, X509_STORE_CTX *ctx)
{
    struct shs_tls_ca_fault *fault = X509_STORE_CTX_get_app_data(ctx);

    if (ok == 0 && X509_STORE_CTX_get_error_depth(ctx) > 0 && fault->code == X509_V_OK) {
        fault->code = X509_STORE_CTX_get_error(ctx);
        fault->ca = X509_STORE_CTX_get_current_cert(ctx);
    }
    return 1; /* what is above matters, and nothing else */
}

/* Ed25519 and Ed448 have a hash of their own. */
static bool signs_itself(EVP_PKEY *key)
{
    return EVP_PKEY_is_a(key, "ED25519") || EVP_PKEY_is_a(key, "ED448");
}

/*
 * A key of the kind that `theirs` is: OpenSSL looks for the issuer of a certificate among those
 * whose key may have made such a signature. Small, for it protects nothing. NULL: none can be made.
 */
static EVP_PKEY *make_key_like(EVP_PKEY *theirs)
{
    const char *kind = EVP_PKEY_get0_type_name(theirs);
    EVP_PKEY_CTX *ctx;
    EVP_PKEY *key = NULL;

    if (EVP_PKEY_is_a(theirs, "EC"))
        return EVP_EC_gen("P-256");
    ctx = kind == NULL ? NULL : EVP_PKEY_CTX_new_from_name(NULL, kind, NULL);
    if (ctx == NULL || EVP_PKEY_keygen_init(ctx) != 1 ||
        ((EVP_PKEY_is_a(theirs, "RSA") || EVP_PKEY_is_a(theirs, "RSA-PSS")) &&
         EVP_PKEY_CTX_set_rsa_keygen_bits(ctx, SMALL_RSA) != 1) ||
        EVP_PKEY_keygen(ctx, &key) != 1)
        key = NULL;
    EVP_PKEY_CTX_free(ctx);
    return key;
}

/* A certificate that `ca` might have issued. It has not: what is said of it is passed over. */
static X509 *make_client(X509 *ca, EVP_PKEY *key)
{
    X509 *cert = X509_new();
    X509_NAME *name = X509_NAME_new();
    bool good;

    good = cert != NULL && name != NULL &&
           X509_NAME_add_entry_by_txt(name, "CN", MBSTRING_ASC, (const unsigned char *)"client", -1,
                                      -1, 0) == 1 &&
           X509_set_version(cert, X509_VERSION_3) == 1 &&
           ASN1_INTEGER_set(X509_get_serialNumber(cert), 1) == 1 &&
           X509_set_subject_name(cert, name) == 1 &&
           X509_set_issuer_name(cert, X509_get_subject_name(ca)) == 1 &&
           X509_gmtime_adj(X509_getm_notBefore(cert), -3600) != NULL &&
           X509_gmtime_adj(X509_getm_notAfter(cert), 3600) != NULL &&
           X509_set_pubkey(cert, key) == 1 &&
           X509_sign(cert, key, signs_itself(key) ? NULL : EVP_sha256()) > 0;
    X509_NAME_free(name);
    if (good)
        return cert;
    X509_free(cert);
    return NULL;
}

static bool show_client(X509 *ca, EVP_PKEY *key, X509_STORE *store, struct shs_tls_ca_fault *fault)
{
    X509_STORE_CTX *ctx = X509_STORE_CTX_new();
    X509 *client = make_client(ca, key);
    STACK_OF(X509) *with = sk_X509_new_null();
    bool good = ctx != NULL && client != NULL && with != NULL && sk_X509_push(with, ca) > 0 &&
                X509_STORE_CTX_init(ctx, store, client, with) == 1 &&
                X509_STORE_CTX_set_app_data(ctx, fault) == 1;

    if (good) {
        X509_STORE_CTX_set_verify_cb(ctx, note_first_fault);
        X509_VERIFY_PARAM_set_auth_level(X509_STORE_CTX_get0_param(ctx), AUTH_LEVEL);
        good = X509_verify_cert(ctx) >= 0 && X509_STORE_CTX_get_error(ctx) != X509_V_ERR_OUT_OF_MEM;
    }
    X509_STORE_CTX_free(ctx);
    sk_X509_free(with);
    X509_free(client);
    return good && !shs__tls_was_nomem();
}

/* Of one CA, with a key like its own in *key, which may be that of the CA before. */
static int find_fault(struct shs_tls_cas *self, X509 *ca, X509_STORE *store, EVP_PKEY **key,
                      struct shs_error *err)
{
    struct shs_tls_ca_fault *fault = &self->faults[self->fault_count];
    EVP_PKEY *theirs = X509_get0_pubkey(ca);

    ERR_clear_error();
    if (*key == NULL || !EVP_PKEY_is_a(*key, EVP_PKEY_get0_type_name(theirs))) {
        EVP_PKEY_free(*key);
        *key = make_key_like(theirs);
    }
    if (*key == NULL) /* of a kind that is not made any more: its clients will tell */
        return shs__tls_was_nomem() || shs__tls_is_short_of_memory() ? nomem(err) : SHS_OK;
    if (!show_client(ca, *key, store, fault))
        return nomem(err);
    if (fault->code != X509_V_OK) {
        fault->ca = ca; /* the context's own are gone */
        self->fault_count++;
    }
    return SHS_OK;
}

static int find_faults(struct shs_tls_cas *self, X509_STORE *store, struct shs_error *err)
{
    int count = sk_X509_num(self->certs), rc = SHS_OK;
    EVP_PKEY *key = NULL;

    self->faults = shs__calloc((size_t)count, sizeof *self->faults);
    if (self->faults == NULL)
        return nomem(err);
    for (int i = 0; rc == SHS_OK && i < count; i++)
        rc = find_fault(self, sk_X509_value(self->certs, i), store, &key, err);
    EVP_PKEY_free(key);
    ERR_clear_error();
    return rc;
}

/* -- loading ----------------------------------------------------------------------------------- */

int shs__tls_cas_load(struct shs_tls_cas *self, const struct shs_tls_host *host, X509_STORE *store,
                      void (*note)(void *ctx, const unsigned char digest[32]), void *ctx,
                      struct shs_error *err)
{
    struct loading job = {.cas = self, .store = store, .note = note, .ctx = ctx, .err = err};
    int rc;

    memset(self, 0, sizeof *self);
    shs__tls_path_name(&self->name, host->client_ca);
    self->lax = host->client_lax;
    self->sends_names = !host->client_no_ca_names;
    self->certs = sk_X509_new_null();
    self->names = sk_X509_NAME_new_null();
    if (self->certs == NULL || self->names == NULL)
        return nomem(err);
    rc = read_file(&job, host->client_ca);
    if (rc == SHS_OK && self->sends_names && self->names_len > SHS_TLS_CA_NAMES_MAX)
        rc = shs_error_set(err, SHS_TLS, 0,
                           "The names of the CAs in the client CA file %s take %zu bytes, and "
                           "TLS has room for 64 KiB. Take CAs out, or send no names: "
                           "--client-no-ca-names.",
                           self->name.text, self->names_len);
    if (rc == SHS_OK)
        rc = find_parents(self, err);
    if (rc == SHS_OK && !host->client_partial)
        rc = check_roots(self, err);
    if (rc == SHS_OK && has_namesakes(self))
        X509_STORE_set_get_issuer(store, find_issuer);
    if (rc == SHS_OK)
        rc = find_faults(self, store, err);
    return rc;
}

void shs__tls_cas_free(struct shs_tls_cas *self)
{
    sk_X509_pop_free(self->certs, X509_free);
    sk_X509_NAME_pop_free(self->names, X509_NAME_free);
    shs__free(self->parents);
    shs__free(self->faults);
    memset(self, 0, sizeof *self);
}

/* -- what their owner should know -------------------------------------------------------------- */

const char *shs__tls_strict_remedy(int verify_code)
{
    switch (verify_code) {
    case X509_V_ERR_CA_CERT_MISSING_KEY_USAGE:
    case X509_V_ERR_PATHLEN_WITHOUT_KU_KEY_CERT_SIGN:
        return "-addext keyUsage=critical,keyCertSign,cRLSign";
    case X509_V_ERR_CA_BCONS_NOT_CRITICAL:
        return "-addext basicConstraints=critical,CA:TRUE";
    case X509_V_ERR_MISSING_SUBJECT_KEY_IDENTIFIER:
    case X509_V_ERR_SUBJECT_KEY_IDENTIFIER_CRITICAL:
        return "-addext subjectKeyIdentifier=hash";
    case X509_V_ERR_MISSING_AUTHORITY_KEY_IDENTIFIER:
    case X509_V_ERR_AUTHORITY_KEY_IDENTIFIER_CRITICAL:
        return "authorityKeyIdentifier=keyid (-addext, or a line of -extfile)";
    default:
        return "what RFC 5280 asks for";
    }
}

static void advise_fault(const struct shs_tls_cas *self, const struct shs_tls_ca_fault *fault,
                         struct shs_error *note)
{
    const char *why = X509_verify_cert_error_string(fault->code);
    char name[32], file[44];

    if (!shs__client_name_text(X509_get_subject_name(fault->ca), name, sizeof name))
        snprintf(name, sizeof name, "(no memory for its name)");
    if (shs__tls_client_reason(fault->code) == SHS_CLIENT_NOT_STRICT)
        shs_error_set(note, SHS_TLS, 0,
                      "Clients of '%s' in %s are refused: %s. Make that CA again with %s, or "
                      "use --client-lax.",
                      name, short_name(self, file, sizeof file), why,
                      shs__tls_strict_remedy(fault->code));
    else
        shs_error_set(note, SHS_TLS, 0,
                      "Clients of '%s' in %s are refused, for it or a CA above it is: %s.", name,
                      self->name.text, why);
}

bool shs__tls_cas_advice(const struct shs_tls_cas *self, unsigned index, struct shs_error *note)
{
    if (index < self->fault_count) {
        advise_fault(self, &self->faults[index], note);
        return true;
    }
    if (index > self->fault_count || !self->sends_names ||
        self->names_len <= SHS_TLS_CA_NAMES_ADVISED)
        return false;
    shs_error_set(note, SHS_TLS, 0,
                  "The names of the CAs in the client CA file %s take %zu bytes: Java 17 and "
                  "others give up beyond 32 KiB. --client-no-ca-names sends none.",
                  self->name.text, self->names_len);
    return true;
}
