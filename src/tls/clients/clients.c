#include "tls/clients/clients.h"

#include <stdio.h>
#include <time.h>

#include <openssl/err.h>
#include <openssl/x509v3.h>

#include "tls/clients/client.h"
#include "tls/clients/deny.h"
#include "tls/clients/verified.h"
#include "tls/config/config.h"
#include "tls/config/context.h"
#include "tls/config/ocsp.h"

/* Mixes a digest in, whatever the order: files of a directory have none. */
static void mix(void *ctx, const unsigned char digest[32])
{
    struct shs_tls_clients *self = ctx;

    for (size_t i = 0; i < sizeof self->digest; i++)
        self->digest[i] = (unsigned char)(self->digest[i] + digest[i]);
}

/* -- loading ----------------------------------------------------------------------------------- */

static int load(struct shs_tls_clients *self, const struct shs_tls_host *host,
                struct shs_error *err)
{
    unsigned long flags = (host->client_lax ? 0 : X509_V_FLAG_X509_STRICT) |
                          (host->client_partial ? X509_V_FLAG_PARTIAL_CHAIN : 0);
    int rc;

    self->store = X509_STORE_new();
    self->verified = shs__tls_verified_new();
    if (self->store == NULL || X509_STORE_set_flags(self->store, flags) != 1 ||
        X509_STORE_set_depth(self->store, (int)host->client_depth) != 1 ||
        X509_STORE_set_purpose(self->store, X509_PURPOSE_SSL_CLIENT) != 1)
        return shs_error_set(err, SHS_NOMEM, 0, "Out of memory for the client CAs.");
    rc = shs__tls_cas_load(&self->cas, host, self->store, mix, self, err);
    if (rc == SHS_OK && host->crl != NULL)
        rc = shs__tls_crls_load(&self->crls, &self->cas, host->crl, mix, self, err);
    return rc;
}

int shs__tls_clients_load(struct shs_tls_clients *self, const struct shs_tls_host *host,
                          struct shs_error *err)
{
    int rc = SHS_OK;

    memset(self, 0, sizeof *self);
    self->auth = host->client_auth;
    if (host->client_auth != SHS_TLS_CLIENT_NONE)
        rc = load(self, host, err);
    if (rc != SHS_OK)
        shs__tls_clients_free(self);
    ERR_clear_error();
    return rc;
}

void shs__tls_clients_free(struct shs_tls_clients *self)
{
    X509_STORE_free(self->store);
    shs__tls_crls_free(&self->crls);
    shs__tls_cas_free(&self->cas);
    shs__tls_verified_free(self->verified);
    memset(self, 0, sizeof *self);
}

/* -- reasons ----------------------------------------------------------------------------------- */

enum shs_client_reason shs__tls_client_reason(int verify_code)
{
    switch (verify_code) {
    case X509_V_OK:
        return SHS_CLIENT_OK;
    case X509_V_ERR_CERT_HAS_EXPIRED:
        return SHS_CLIENT_EXPIRED;
    case X509_V_ERR_CERT_NOT_YET_VALID:
        return SHS_CLIENT_NOT_YET_VALID;
    case X509_V_ERR_UNABLE_TO_GET_ISSUER_CERT:
    case X509_V_ERR_UNABLE_TO_GET_ISSUER_CERT_LOCALLY:
    case X509_V_ERR_UNABLE_TO_VERIFY_LEAF_SIGNATURE:
    case X509_V_ERR_SELF_SIGNED_CERT_IN_CHAIN:
    case X509_V_ERR_CERT_UNTRUSTED:
        return SHS_CLIENT_UNKNOWN_CA;
    case X509_V_ERR_DEPTH_ZERO_SELF_SIGNED_CERT:
        return SHS_CLIENT_SELF_SIGNED;
    case X509_V_ERR_CERT_REVOKED:
        return SHS_CLIENT_REVOKED;
    case X509_V_ERR_INVALID_PURPOSE:
    case X509_V_ERR_KEYUSAGE_NO_DIGITAL_SIGNATURE:
        return SHS_CLIENT_WRONG_PURPOSE;
    case X509_V_ERR_CERT_CHAIN_TOO_LONG:
    case X509_V_ERR_PATH_LENGTH_EXCEEDED:
        return SHS_CLIENT_CHAIN_TOO_DEEP;
    case X509_V_ERR_UNABLE_TO_GET_CRL:
    case X509_V_ERR_UNABLE_TO_GET_CRL_ISSUER:
        return SHS_CLIENT_NO_CRL;
    case X509_V_ERR_CRL_HAS_EXPIRED:
    case X509_V_ERR_CRL_NOT_YET_VALID:
        return SHS_CLIENT_CRL_EXPIRED;
    case X509_V_ERR_CERT_SIGNATURE_FAILURE:
        return SHS_CLIENT_BAD_SIGNATURE;
    case X509_V_ERR_EE_KEY_TOO_SMALL:
    case X509_V_ERR_CA_KEY_TOO_SMALL:
    case X509_V_ERR_CA_MD_TOO_WEAK:
        return SHS_CLIENT_WEAK;
    case X509_V_ERR_MISSING_AUTHORITY_KEY_IDENTIFIER:
    case X509_V_ERR_MISSING_SUBJECT_KEY_IDENTIFIER:
    case X509_V_ERR_CA_BCONS_NOT_CRITICAL:
    case X509_V_ERR_CA_CERT_MISSING_KEY_USAGE:
    case X509_V_ERR_KU_KEY_CERT_SIGN_INVALID_FOR_NON_CA:
    case X509_V_ERR_PATHLEN_INVALID_FOR_NON_CA:
    case X509_V_ERR_PATHLEN_WITHOUT_KU_KEY_CERT_SIGN:
    case X509_V_ERR_EXTENSIONS_REQUIRE_VERSION_3:
    case X509_V_ERR_EMPTY_SUBJECT_ALT_NAME:
    case X509_V_ERR_EMPTY_SUBJECT_SAN_NOT_CRITICAL:
    case X509_V_ERR_ISSUER_NAME_EMPTY:
    case X509_V_ERR_SUBJECT_NAME_EMPTY:
    case X509_V_ERR_SIGNATURE_ALGORITHM_INCONSISTENCY:
    case X509_V_ERR_AUTHORITY_KEY_IDENTIFIER_CRITICAL:
    case X509_V_ERR_SUBJECT_KEY_IDENTIFIER_CRITICAL:
        return SHS_CLIENT_NOT_STRICT;
    case X509_V_ERR_OUT_OF_MEM:
    case X509_V_ERR_UNSPECIFIED: /* OpenSSL's own trouble */
        return SHS_CLIENT_UNDECIDED;
    default:
        return SHS_CLIENT_OTHER;
    }
}

/* A last word on an identity that verified: of the configuration, and of the deny list. */
enum shs_client_reason shs__tls_clients_veto(const struct shs_tls_context *context,
                                             const struct shs_client_identity *identity,
                                             const char **note)
{
    const struct shs_tls_config *config;
    int denied;

    *note = NULL;
    if (context == NULL)
        return SHS_CLIENT_OK;
    config = &context->config->config;
    denied = context->deny == NULL ? 0 : shs__tls_deny_denies(context->deny, identity);
    if (denied < 0)
        return SHS_CLIENT_UNDECIDED;
    if (denied > 0)
        *note = "it is on the deny list";
    else if (config->client_check != NULL)
        *note = config->client_check(config->client_check_ctx, identity);
    return *note == NULL ? SHS_CLIENT_OK : SHS_CLIENT_DENIED;
}

/* The chain is good; is the certificate also an identity, and one that is let in? */
static enum shs_client_reason judge_identity(X509 *leaf, const struct shs_client_keys *keys,
                                             const struct shs_tls_context *context,
                                             const char **note, struct shs_client_record **out)
{
    struct shs_client_record *record = NULL;
    enum shs_client_reason reason;

    if (shs__client_record_new(&record, leaf) != SHS_OK)
        return SHS_CLIENT_UNDECIDED;
    if (!shs__client_record_set_cas(record, keys)) {
        shs__client_record_free(record);
        return SHS_CLIENT_UNDECIDED;
    }
    reason = record->identity.reason;
    *note = record->why;
    if (reason == SHS_CLIENT_OK) {
        record->identity.verified = true;
        reason = shs__tls_clients_veto(context, &record->identity, note);
    }
    if (out != NULL)
        *out = record;
    else
        shs__client_record_free(record);
    return reason;
}

/* OpenSSL's error for a reason of ours: bad_certificate, certificate_revoked, internal_error. */
static int code_of(enum shs_client_reason reason)
{
    if (reason == SHS_CLIENT_UNDECIDED)
        return X509_V_ERR_OUT_OF_MEM;
    return reason == SHS_CLIENT_DENIED ? X509_V_ERR_CERT_REVOKED : X509_V_ERR_CERT_REJECTED;
}

/* What the CRLs say of a chain that is good otherwise. */
static bool judge_revocation(X509_STORE_CTX *ctx, const struct shs_tls_clients *clients,
                             int64_t now, int64_t *until)
{
    STACK_OF(X509) *chain = X509_STORE_CTX_get0_chain(ctx);
    int depth = 0, code;

    *until = INT64_MAX;
    if (clients->crls.count == 0)
        return true;
    code = shs__tls_crls_judge(&clients->crls, chain, now, &depth, until);
    if (code == X509_V_OK)
        return true;
    X509_STORE_CTX_set_error(ctx, code);
    X509_STORE_CTX_set_error_depth(ctx, depth);
    X509_STORE_CTX_set_current_cert(ctx, sk_X509_value(chain, depth));
    return false;
}

/* OpenSSL asks the system's clock by itself. */
static void set_time(X509_STORE_CTX *ctx, const struct shs_tls_clients *clients)
{
    if (clients->clock_offset_s != 0)
        X509_STORE_CTX_set_time(ctx, 0, (time_t)shs__wall_s(clients->clock_offset_s));
}

/* By whose word it is good. */
static bool take_keys(X509_STORE_CTX *ctx, struct shs_client_keys *keys)
{
    STACK_OF(X509) *chain = X509_STORE_CTX_get0_chain(ctx);

    if (sk_X509_num(chain) > SHS_CLIENT_CAS_MAX + 1)
        X509_STORE_CTX_set_error(ctx, X509_V_ERR_CERT_CHAIN_TOO_LONG);
    else if (!shs__client_keys_of(keys, chain))
        X509_STORE_CTX_set_error(ctx, X509_V_ERR_OUT_OF_MEM);
    else
        return true;
    return false;
}

/*
 * X509_verify_cert and the CRLs, but for a chain that was good before: of this certificate, with
 * these beside it. Who shows less than another did is not let in by what that one showed.
 */
static bool verify(X509_STORE_CTX *ctx, const struct shs_tls_clients *clients,
                   struct shs_tls_until *until, struct shs_client_keys *keys)
{
    unsigned char key[SHS_TLS_VERIFIED_KEY];
    int64_t now = shs__wall_s(clients->clock_offset_s);
    bool keyed = shs__tls_verified_key(key, X509_STORE_CTX_get0_cert(ctx),
                                       X509_STORE_CTX_get0_untrusted(ctx));

    if (keyed && shs__tls_verified_find(clients->verified, key, now, until, keys)) {
        /* The very same certificate was good: what has no key now had no memory for it. */
        bool whole = X509_get0_pubkey(X509_STORE_CTX_get0_cert(ctx)) != NULL;

        X509_STORE_CTX_set_error(ctx, whole ? X509_V_OK : X509_V_ERR_OUT_OF_MEM);
        return whole;
    }
    set_time(ctx, clients);
    if (X509_verify_cert(ctx) != 1 || !judge_revocation(ctx, clients, now, &until->crls))
        return false;
    if (!take_keys(ctx, keys))
        return false;
    until->chain = shs__tls_chain_until(X509_STORE_CTX_get0_chain(ctx));
    if (keyed)
        shs__tls_verified_keep(clients->verified, key, X509_STORE_CTX_get0_chain(ctx), keys,
                               until->crls);
    return true;
}

/* -- whose fault it is ------------------------------------------------------------------------- */

/* Found by comparing dates, or by looking into lists: memory has no part in it. */
static bool is_certain(int code)
{
    switch (code) {
    case X509_V_ERR_CERT_HAS_EXPIRED:
    case X509_V_ERR_CERT_NOT_YET_VALID:
    case X509_V_ERR_CERT_REVOKED:
    case X509_V_ERR_UNABLE_TO_GET_CRL:
    case X509_V_ERR_CRL_HAS_EXPIRED:
    case X509_V_ERR_CRL_NOT_YET_VALID:
    case X509_V_ERR_OUT_OF_MEM:
    case X509_V_ERR_CERT_CHAIN_TOO_LONG:
        return true;
    default:
        return false;
    }
}

/* Taken apart again. */
static STACK_OF(X509) * copy_certs(STACK_OF(X509) * certs)
{
    STACK_OF(X509) *copy = sk_X509_new_null();

    for (int i = 0; copy != NULL && i < sk_X509_num(certs); i++) {
        X509 *cert = X509_dup(sk_X509_value(certs, i));

        if (cert == NULL || sk_X509_push(copy, cert) == 0) {
            X509_free(cert);
            sk_X509_pop_free(copy, X509_free);
            return NULL;
        }
    }
    return copy;
}

bool shs__tls_clients_prepare(X509_STORE_CTX *ctx, const struct shs_tls_clients *clients,
                              X509 *leaf, STACK_OF(X509) * others, int auth_level)
{
    if (X509_STORE_CTX_init(ctx, clients->store, leaf, others) != 1 ||
        X509_STORE_CTX_set_default(ctx, "ssl_client") != 1)
        return false;
    X509_VERIFY_PARAM_set_auth_level(X509_STORE_CTX_get0_param(ctx), auth_level);
    set_time(ctx, clients);
    return true;
}

/*
 * A certificate whose key or extensions could not be taken apart for want of memory looks as one
 * that is bad, and OpenSSL does not tell the two apart. What is wrong with it is wrong with a copy.
 */
static bool is_reproduced(X509_STORE_CTX *ctx, const struct shs_tls_clients *clients, int code)
{
    int level = X509_VERIFY_PARAM_get_auth_level(X509_STORE_CTX_get0_param(ctx));
    X509 *leaf = X509_dup(X509_STORE_CTX_get0_cert(ctx));
    STACK_OF(X509) *others = copy_certs(X509_STORE_CTX_get0_untrusted(ctx));
    X509_STORE_CTX *again = X509_STORE_CTX_new();
    bool same = leaf != NULL && others != NULL && again != NULL &&
                shs__tls_clients_prepare(again, clients, leaf, others, level) &&
                X509_verify_cert(again) != 1 && X509_STORE_CTX_get_error(again) == code;

    X509_STORE_CTX_free(again);
    sk_X509_pop_free(others, X509_free);
    X509_free(leaf);
    return same;
}

/* Its fingerprint, hexadecimal; "" when there is no memory. */
static void digest_text(const X509 *cert, char text[65])
{
    unsigned char digest[32];
    unsigned len = 0;

    text[0] = '\0';
    if (X509_digest(cert, EVP_sha256(), digest, &len) != 1 || len != sizeof digest)
        return;
    for (unsigned i = 0; i < len; i++)
        snprintf(text + 2 * (size_t)i, 3, "%02x", digest[i]);
}

/* -- the judgement ----------------------------------------------------------------------------- */

bool shs__tls_clients_judge(X509_STORE_CTX *ctx, const struct shs_tls_clients *clients,
                            const struct shs_tls_context *context, struct shs_tls_until *until,
                            struct shs_tls_refusal *refusal, struct shs_client_record **record)
{
    X509 *leaf = X509_STORE_CTX_get0_cert(ctx), *cert = leaf;
    struct shs_client_keys keys = {.count = 0};
    bool good;

    *until = (struct shs_tls_until){0, 0};
    good = verify(ctx, clients, until, &keys);
    if (record != NULL)
        *record = NULL;
    memset(refusal, 0, sizeof *refusal);
    if (good) {
        refusal->reason = judge_identity(leaf, &keys, context, &refusal->note, record);
        if (refusal->reason == SHS_CLIENT_OK)
            return true;
        refusal->code = code_of(refusal->reason);
        X509_STORE_CTX_set_error(ctx, refusal->code);
    } else {
        refusal->code = X509_STORE_CTX_get_error(ctx);
        if (refusal->code == X509_V_OK || /* it could not even begin */
            (!is_certain(refusal->code) && !is_reproduced(ctx, clients, refusal->code))) {
            refusal->code = X509_V_ERR_OUT_OF_MEM;
            X509_STORE_CTX_set_error(ctx, refusal->code);
        }
        refusal->reason = shs__tls_client_reason(refusal->code);
        refusal->depth = X509_STORE_CTX_get_error_depth(ctx);
        if (X509_STORE_CTX_get_current_cert(ctx) != NULL)
            cert = X509_STORE_CTX_get_current_cert(ctx);
    }
    /* Without memory they are empty: they are for people. */
    (void)shs__client_name_text(X509_get_subject_name(cert), refusal->subject,
                                sizeof refusal->subject);
    (void)shs__client_name_text(X509_get_issuer_name(cert), refusal->issuer,
                                sizeof refusal->issuer);
    refusal->not_after = shs__tls_time(X509_get0_notAfter(cert));
    (void)shs__client_name_text(X509_get_subject_name(leaf), refusal->leaf, sizeof refusal->leaf);
    digest_text(leaf, refusal->leaf_sha256);
    ERR_clear_error();
    return false;
}

/* The keys of clients that site.c asks for. */
#define KEYS "EC (P-256, P-384, P-521), RSA, RSA-PSS, Ed25519, Ed448"

void shs__tls_refusal_text(struct shs_error *err, enum shs_client_reason reason,
                           const struct shs_tls_refusal *refusal)
{
    const char *label = shs_client_reason_label(reason);

    if (reason == SHS_CLIENT_NONE)
        shs_error_set(err, SHS_TLS, 0,
                      "The client gave no certificate, and one is required. (Its key must be "
                      "of one of these kinds: " KEYS ".)");
    else if (reason == SHS_CLIENT_UNSUPPORTED_KEY)
        shs_error_set(err, SHS_TLS, 0,
                      "The client's certificate has a key of a kind that is not accepted here; "
                      "accepted are " KEYS ".");
    else if (reason == SHS_CLIENT_TOO_LARGE && refusal == NULL)
        shs_error_set(err, SHS_TLS, 0, "The client's certificates are longer than 32 KiB.");
    else if (reason == SHS_CLIENT_UNDECIDED)
        shs_error_set(err, SHS_NOMEM, 0,
                      "The client's certificate could not be judged: the server has no memory.");
    else if (refusal == NULL)
        shs_error_set(err, SHS_TLS, 0, "The client's certificate is refused: %s.", label);
    else if (reason == SHS_CLIENT_NOT_STRICT)
        shs_error_set(
            err, SHS_TLS, 0,
            "The client's certificate is refused, %s: %s, '%.30s'. Make that %s again with "
            "%s, or use --client-lax.",
            label, X509_verify_cert_error_string(refusal->code), refusal->subject,
            refusal->depth > 0 ? "CA" : "certificate", shs__tls_strict_remedy(refusal->code));
    else if (reason == SHS_CLIENT_NO_CRL)
        shs_error_set(err, SHS_TLS, 0,
                      "The client's certificate is refused, %s: there is no CRL of '%.80s', which "
                      "issued '%.80s'. Add it, and that CA to the client CA file.",
                      label, refusal->issuer, refusal->subject);
    else
        shs_error_set(err, SHS_TLS, 0,
                      "The client's certificate is refused, %s: %s; at depth %d, '%.80s'.", label,
                      refusal->note != NULL ? refusal->note
                                            : X509_verify_cert_error_string(refusal->code),
                      refusal->depth, refusal->subject);
}

bool shs__tls_clients_advice(const struct shs_tls_clients *self, unsigned index, int64_t now,
                             struct shs_error *note)
{
    unsigned of_cas = 0;

    for (; shs__tls_cas_advice(&self->cas, of_cas, note); of_cas++) {
        if (of_cas == index)
            return true;
    }
    return shs__tls_crls_advice(&self->crls, index - of_cas, now, note);
}
