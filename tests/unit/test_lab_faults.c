/*
 * test_lab_faults.c - each condition of the lab is wrong in one thing, and good in all else.
 *
 * A client that verifies strictly, and goes on whatever it finds, visits them all. What it found
 * has to be exactly what the table says: a row for each condition that is to be refused, or in
 * which clients differ; nothing at all for the others. Where the fault is in the handshake, the
 * client forgives that one thing, and then gets the page.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>

#include <openssl/proverr.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>

#include <shs/lab.h>

#include "base/base.h"
#include "strict_client.h"

#define ALERT(number) (SSL_AD_REASON_OFFSET + (number))
#define VISITORS 4

struct row {
    const char *id;
    int errors[ERRORS_MAX]; /* X509_V_ERR_..., in any order */
    const char *lint;       /* words of `shs cert check --strict`, ' ' between */
    const char *ocsp;       /* what is wrong with the status */
    unsigned forgives;
    enum stage end;
    int reason; /* OpenSSL's, for an end that is none; 0: the connection was reset, or closed */
    int status; /* of the answer; 0: 200 */
};

#define NAME X509_V_ERR_HOSTNAME_MISMATCH
#define ADDRESS X509_V_ERR_IP_ADDRESS_MISMATCH
#define EXPIRED X509_V_ERR_CERT_HAS_EXPIRED
#define PURPOSE X509_V_ERR_INVALID_PURPOSE
#define WEAK_DIGEST X509_V_ERR_CA_MD_TOO_WEAK
#define NO_CRL X509_V_ERR_UNABLE_TO_GET_CRL
#define NO_ISSUER X509_V_ERR_UNABLE_TO_GET_ISSUER_CERT_LOCALLY
/* OpenSSL says both of a chain whose second certificate it does not find. */
#define NO_CHAIN NO_ISSUER, X509_V_ERR_UNABLE_TO_VERIFY_LEAF_SIGNATURE
#define ENDED SSL_R_UNEXPECTED_EOF_WHILE_READING
#define BAD_RECORD SSL_R_DECRYPTION_FAILED_OR_BAD_RECORD_MAC
#if OPENSSL_VERSION_NUMBER < 0x30200000L
#define BAD_RECORD_12 BAD_RECORD
#define OVERSIZED SSL_R_PACKET_LENGTH_TOO_LONG
#define DH512_END PAGE
#define DH512_REASON 0
#else /* in other words; and nobody can compute with 512 bits, whatever a client forgives */
#define BAD_RECORD_12 PROV_R_CIPHER_OPERATION_FAILED
#define OVERSIZED SSL_R_DATA_LENGTH_TOO_LONG
#define DH512_END HANDSHAKE
#define DH512_REASON ENDED
#endif

/* What is not said is 0: good, and forgiven nothing. */
static const struct row rows[] = {
    {.id = "expired", .errors = {EXPIRED}, .lint = "expired"},
    {.id = "expired-1s", .errors = {EXPIRED}, .lint = "expired"},
    {.id = "not-yet-valid", .errors = {X509_V_ERR_CERT_NOT_YET_VALID}, .lint = "not-yet-valid"},
    {.id = "inverted-dates",
     .errors = {X509_V_ERR_CERT_NOT_YET_VALID, EXPIRED},
     .lint = "inverted-dates"},
    {.id = "expired-intermediate", .errors = {EXPIRED}, .lint = "expired"},
    {.id = "expired-root", .errors = {EXPIRED}},

    {.id = "wrong.host", .errors = {NAME}, .lint = "wrong-name"},
    {.id = "san-mismatch", .errors = {NAME}, .lint = "wrong-name"},
    {.id = "no-san", .errors = {NAME}, .lint = "wrong-name no-san"},
    {.id = "san-email-only", .errors = {NAME}, .lint = "wrong-name"},
    {.id = "san-uri-only", .errors = {NAME}, .lint = "wrong-name"},
    {.id = "san-empty",
     .errors = {X509_V_ERR_EMPTY_SUBJECT_ALT_NAME, NAME},
     .lint = "wrong-name no-san"},
    {.id = "wildcard-apex", .errors = {NAME}, .lint = "wrong-name"},
    {.id = "wildcard-deep", .errors = {NAME}, .lint = "wrong-name"},
    {.id = "wildcard-partial", .errors = {NAME}},
    {.id = "wildcard-middle", .errors = {NAME}, .lint = "wrong-name"},
    {.id = "wildcard-double", .errors = {NAME}, .lint = "wrong-name"},
    {.id = "wildcard-tld", .errors = {NAME}, .lint = "wrong-name"},
    {.id = "wildcard-bare", .errors = {NAME}, .lint = "wrong-name"},
    {.id = "wildcard-xn", .errors = {NAME}, .lint = "wrong-name"},
    {.id = "san-trailing-dot", .errors = {NAME}, .lint = "wrong-name"},
    {.id = "san-nul", .errors = {NAME}, .lint = "wrong-name"},
    {.id = "ip-in-dns-san", .errors = {NAME}, .lint = "wrong-name"},
    {.id = "idn-ulabel", .errors = {NAME}, .lint = "wrong-name"},
    {.id = "tld.test", .errors = {NAME}, .lint = "wrong-name"},
    {.id = "sni-missing", .errors = {NAME}, .lint = "wrong-name"},
    {.id = "cn-case"}, /* who reads the SAN sees nothing */
    {.id = "10000-sans", .forgives = LARGE},
    {.id = "ip-mismatch", .errors = {ADDRESS}, .lint = "wrong-name"},
    {.id = "ip-cn-only", .errors = {ADDRESS}, .lint = "wrong-name no-san"},
    {.id = "ip-leading-zero", .errors = {ADDRESS}, .lint = "wrong-name"},

    {.id = "self-signed",
     .errors = {X509_V_ERR_DEPTH_ZERO_SELF_SIGNED_CERT},
     .lint = "self-signed"},
    {.id = "untrusted-root", .errors = {X509_V_ERR_SELF_SIGNED_CERT_IN_CHAIN}},
    {.id = "incomplete-chain", .errors = {NO_CHAIN}},
    {.id = "wrong-intermediate", .errors = {NO_CHAIN}},
    {.id = "aia-fetchable", .errors = {NO_CHAIN}},
    /* Its intermediate is where the certificate should be. */
    {.id = "reversed-chain", .errors = {NAME}, .lint = "not-a-ca wrong-name no-san ca-as-leaf"},
    {.id = "long-chain-100", .errors = {X509_V_ERR_CERT_CHAIN_TOO_LONG, NO_ISSUER}},
    {.id = "chain-loop", .errors = {NO_ISSUER}},
    /* One of the two ways up: the other is good. */
    {.id = "cross-signed-expired", .lint = "expired"},

    {.id = "ca-false-intermediate",
     .errors = {X509_V_ERR_INVALID_CA, PURPOSE, X509_V_ERR_KEYUSAGE_NO_CERTSIGN},
     .lint = "not-a-ca"},
    {.id = "no-basic-constraints",
     .errors = {X509_V_ERR_INVALID_CA, X509_V_ERR_KU_KEY_CERT_SIGN_INVALID_FOR_NON_CA},
     .lint = "not-a-ca"},
    {.id = "ca-no-certsign",
     .errors = {X509_V_ERR_INVALID_CA, PURPOSE, X509_V_ERR_KEYUSAGE_NO_CERTSIGN},
     .lint = "not-a-ca"},
    {.id = "pathlen-exceeded", .errors = {X509_V_ERR_PATH_LENGTH_EXCEEDED}},
    {.id = "nc-permitted-violation", .errors = {X509_V_ERR_PERMITTED_VIOLATION}},
    {.id = "nc-excluded-violation", .errors = {X509_V_ERR_EXCLUDED_VIOLATION}},
    {.id = "nc-ip-violation", .errors = {X509_V_ERR_PERMITTED_VIOLATION}},
    {.id = "nc-wildcard-san"},                            /* OpenSSL does not see it */
    {.id = "nc-dos", .errors = {X509_V_ERR_UNSPECIFIED}}, /* more than it is willing to compare */
    {.id = "policy-mapping-dos"},
    {.id = "unknown-critical-ext",
     .errors = {X509_V_ERR_UNHANDLED_CRITICAL_EXTENSION},
     .lint = "unknown-critical"},
    {.id = "unknown-critical-ext-ica",
     .errors = {X509_V_ERR_UNHANDLED_CRITICAL_EXTENSION},
     .lint = "unknown-critical"},
    {.id = "ca-as-leaf", .lint = "ca-as-leaf"},
    /* Version 1 has no extensions, so no names. */
    {.id = "x509-v1", .errors = {NAME}, .lint = "wrong-name version1 no-san"},
    /* OpenSSL then takes none of the extensions for good. */
    {.id = "duplicate-ext",
     .errors = {NO_CHAIN, PURPOSE, NAME},
     .lint = "malformed no-aki no-ski wrong-name usage key-usage no-san"},
    {.id = "no-aki", .errors = {X509_V_ERR_MISSING_AUTHORITY_KEY_IDENTIFIER}, .lint = "no-aki"},
    {.id = "no-ski-leaf", .lint = "no-ski"},
    {.id = "eku-client-only", .errors = {PURPOSE}, .lint = "usage"},
    {.id = "eku-email-only", .errors = {PURPOSE}, .lint = "usage"},
    {.id = "eku-any", .errors = {PURPOSE}, .lint = "usage"},
    {.id = "eku-ica-email", .errors = {PURPOSE}},
    {.id = "ku-certsign-only",
     .errors = {PURPOSE, X509_V_ERR_KU_KEY_CERT_SIGN_INVALID_FOR_NON_CA},
     .lint = "key-usage"},
    {.id = "ku-keyencipherment-only", .lint = "key-usage"},

    {.id = "sha1-leaf", .errors = {WEAK_DIGEST}, .lint = "weak-signature"},
    {.id = "sha1-intermediate", .errors = {WEAK_DIGEST}, .lint = "weak-signature"},
    {.id = "md5-leaf", .errors = {WEAK_DIGEST}, .lint = "weak-signature"},
    {.id = "rsa512", .errors = {X509_V_ERR_EE_KEY_TOO_SMALL}, .lint = "weak-key"},
    {.id = "rsa1024", .errors = {X509_V_ERR_EE_KEY_TOO_SMALL}, .lint = "weak-key"},
    {.id = "rsa-2052"},
    {.id = "rsa-pss"},
    {.id = "ed448"},
    {.id = "ecc224", .forgives = CURVES | TLS12},
    {.id = "secp256k1", .forgives = CURVES | TLS12},
    {.id = "brainpool256", .forgives = CURVES | TLS12},
    {.id = "p192", .lint = "weak-key", .forgives = CURVES | WEAK | TLS12},
    {.id = "dsa", .forgives = CURVES | SUITES | WEAK | TLS12},
    {.id = "explicit-curve", .errors = {X509_V_ERR_EC_KEY_EXPLICIT_PARAMS}},
    {.id = "mismatched-key", .end = HANDSHAKE, .reason = SSL_R_BAD_SIGNATURE},
    {.id = "mismatched-key-tls12", .end = HANDSHAKE, .reason = SSL_R_BAD_SIGNATURE},
    {.id = "serial-zero", .lint = "serial"},
    {.id = "serial-negative", .lint = "serial"},
    {.id = "serial-21-bytes", .lint = "serial"},

    {.id = "revoked", .errors = {X509_V_ERR_CERT_REVOKED}, .ocsp = "revoked"},
    {.id = "revoked-intermediate", .errors = {X509_V_ERR_CERT_REVOKED}},
    {.id = "crl-expired", .errors = {X509_V_ERR_CRL_HAS_EXPIRED}},
    {.id = "crl-unreachable", .errors = {NO_CRL}},
    {.id = "crl-wrong-issuer", .errors = {NO_CRL}},
    {.id = "crl-bad-signature", .errors = {X509_V_ERR_CRL_SIGNATURE_FAILURE}},
    {.id = "crl-critical-number", .errors = {X509_V_ERR_UNHANDLED_CRITICAL_CRL_EXTENSION}},
    {.id = "ocsp-revoked", .ocsp = "revoked"},
    {.id = "ocsp-expired", .ocsp = "expired"},
    {.id = "ocsp-future", .ocsp = "future"},
    {.id = "ocsp-unknown", .ocsp = "unknown"},
    {.id = "ocsp-try-later", .ocsp = "trylater"},
    {.id = "ocsp-garbage", .ocsp = "no-response"},
    {.id = "ocsp-wrong-cert", .ocsp = "other-certificate"},
    {.id = "ocsp-wrong-signer", .ocsp = "signer"},
    {.id = "ocsp-delegated-no-eku", .ocsp = "signer"},
    {.id = "must-staple", .ocsp = "none"},

    {.id = "tls-v1-0", .forgives = OLD | WEAK},
    {.id = "tls-v1-1", .forgives = OLD | WEAK},
    {.id = "version-intolerant", .forgives = TLS12},
    {.id = "tls13-downgrade", .end = HANDSHAKE, .reason = SSL_R_INAPPROPRIATE_FALLBACK},
    {.id = "ssl-v3", .end = HANDSHAKE, .reason = SSL_R_UNSUPPORTED_PROTOCOL},
    {.id = "rc4", .end = HANDSHAKE, .reason = SSL_R_UNKNOWN_CIPHER_RETURNED},
    {.id = "export", .end = HANDSHAKE, .reason = SSL_R_UNKNOWN_CIPHER_RETURNED},
    {.id = "compression-deflate", .end = HANDSHAKE, .reason = SSL_R_COMPRESSION_DISABLED},
    {.id = "null", .forgives = SUITES | WEAK | TLS12},
    {.id = "anon", .forgives = SUITES | WEAK | TLS12},
    {.id = "ccm8-only", .forgives = SUITES | WEAK},
    {.id = "no-common-cipher", .end = HANDSHAKE, .reason = ALERT(SSL3_AD_HANDSHAKE_FAILURE)},
    {.id = "static-rsa"},
    {.id = "no-ems"},
    {.id = "no-etm"},
    {.id = "dh2048"},
    {.id = "dh1024", .forgives = WEAK},
    {.id = "dh512", .forgives = WEAK, .end = DH512_END, .reason = DH512_REASON},
    {.id = "dh-composite"},
    {.id = "x448-only"},
    {.id = "legacy-renegotiation",
     .end = HANDSHAKE,
     .reason = SSL_R_UNSAFE_LEGACY_RENEGOTIATION_DISABLED},
    {.id = "sni-alert", .end = HANDSHAKE, .reason = ALERT(TLS1_AD_UNRECOGNIZED_NAME)},
    {.id = "alpn-h2-only", .forgives = H2},
    {.id = "alpn-unoffered", .forgives = SILENT},
    {.id = "stall-hello", .end = HANDSHAKE, .reason = ENDED},
    {.id = "stall-flight", .end = HANDSHAKE, .reason = ENDED},
    {.id = "close-hello", .end = HANDSHAKE, .reason = ENDED},
    {.id = "cut-certificate", .end = HANDSHAKE, .reason = ENDED},
    {.id = "rst-hello", .end = HANDSHAKE},
    {.id = "alert-handshake-failure", .end = HANDSHAKE, .reason = ALERT(SSL3_AD_HANDSHAKE_FAILURE)},
    {.id = "alert-protocol-version", .end = HANDSHAKE, .reason = ALERT(TLS1_AD_PROTOCOL_VERSION)},
    {.id = "alert-internal-error", .end = HANDSHAKE, .reason = ALERT(TLS1_AD_INTERNAL_ERROR)},
    {.id = "alert-access-denied", .end = HANDSHAKE, .reason = ALERT(TLS1_AD_ACCESS_DENIED)},
    {.id = "alert-unrecognized-name", .end = HANDSHAKE, .reason = ALERT(TLS1_AD_UNRECOGNIZED_NAME)},
    {.id = "plain-http", .end = HANDSHAKE, .reason = SSL_R_WRONG_VERSION_NUMBER},
    {.id = "garbage", .end = HANDSHAKE, .reason = SSL_R_WRONG_VERSION_NUMBER},
    {.id = "oversized-record", .end = HANDSHAKE, .reason = OVERSIZED},
    {.id = "bad-mac-handshake", .end = HANDSHAKE, .reason = BAD_RECORD},
    {.id = "warning-flood", .end = HANDSHAKE, .reason = SSL_R_TOO_MANY_WARN_ALERTS},

    {.id = "bad-mac", .end = NOTHING, .reason = BAD_RECORD},
    {.id = "bad-mac-tls12", .end = NOTHING, .reason = BAD_RECORD_12},
    {.id = "rst-mid-record", .end = NOTHING},
    {.id = "empty-reply", .end = NOTHING},
    {.id = "stall-response", .end = NOTHING, .reason = ENDED},
    {.id = "stall-body", .end = CUT, .reason = ENDED},
    {.id = "truncated-length", .end = CUT, .reason = ENDED},
    {.id = "truncated-chunked", .end = CUT, .reason = ENDED},
    {.id = "truncated-eof", .end = CUT, .reason = ENDED},
    {.id = "no-close-notify", .end = CUT, .reason = ENDED}, /* the answer is whole: see below */
    {.id = "renegotiate"},
    {.id = "data-after-close-notify"},
    {.id = "redirect-http", .status = 302},
    {.id = "client", .forgives = CERT},
    {.id = "client-tls12", .forgives = CERT},
    {.id = "client-cert-missing", .end = NOTHING, .reason = ALERT(TLS13_AD_CERTIFICATE_REQUIRED)},
    {.id = "client-post-handshake", .forgives = CERT | LATER},
};

/* -- the table --------------------------------------------------------------------------------- */

static const struct row *find_row(const struct shs_condition *c)
{
    static const struct row good = {.id = ""};

    for (size_t i = 0; i < SHS_ARRAY_LEN(rows); i++) {
        if (strcmp(rows[i].id, c->id) == 0)
            return &rows[i];
    }
    return &good;
}

static bool same_errors(const struct row *row, const struct visit *v)
{
    size_t count = 0;

    while (count < ERRORS_MAX && row->errors[count] != 0)
        count++;
    for (size_t i = 0; i < count; i++) {
        bool found = false;

        for (size_t k = 0; k < v->count; k++)
            found = found || v->errors[k] == row->errors[i];
        if (!found)
            return false;
    }
    return count == v->count;
}

static bool same_words(const char *wanted, const char *found)
{
    return strcmp(wanted == NULL ? "" : wanted, found) == 0;
}

/* Prints what was found, where it is not what the table has. */
static bool is_as_said(const struct row *row, const struct visit *v, const char *id)
{
    static const char *const ends[] = {"a page", "a page that is cut", "no answer", "no handshake"};
    int status = row->status != 0 ? row->status : row->end <= CUT ? 200 : 0;

    if (same_errors(row, v) && same_words(row->lint, v->lint) && same_words(row->ocsp, v->ocsp) &&
        row->end == v->end && row->reason == v->reason && status == v->status)
        return true;
    print_error("%s: %s, status %d, reason %d; lint: '%s', OCSP: '%s'\n", id, ends[v->end],
                v->status, v->reason, v->lint, v->ocsp);
    for (size_t i = 0; i < v->count; i++)
        print_error("    %s (%d)\n", X509_verify_cert_error_string(v->errors[i]), v->errors[i]);
    return false;
}

/* -- all of them, by several visitors ---------------------------------------------------------- */

struct round {
    struct shs_lab *lab;
    const struct shs_condition *next;
    size_t visited, wrong;
    pthread_mutex_t lock;
};

/* Of dh-small-subgroup one handshake in some fails. */
static bool is_chance(const struct shs_condition *c)
{
    return strcmp(c->id, "dh-small-subgroup") == 0;
}

static const struct shs_condition *take(struct round *round)
{
    const struct shs_condition *c;

    pthread_mutex_lock(&round->lock);
    do {
        c = round->next;
        if (c != NULL)
            round->next = shs_lab_next(round->lab, c);
    } while (c != NULL && (!c->servable || is_chance(c)));
    pthread_mutex_unlock(&round->lock);
    return c;
}

static void *visitor(void *arg)
{
    struct round *round = arg;
    const struct shs_condition *c;
    struct visit v;

    while ((c = take(round)) != NULL) {
        const struct row *row = find_row(c);
        bool good;

        strict_visit(&v, round->lab, c, row->forgives);
        good = is_as_said(row, &v, c->id);
        pthread_mutex_lock(&round->lock);
        round->visited++;
        round->wrong += !good;
        pthread_mutex_unlock(&round->lock);
    }
    return NULL;
}

static void each_is_wrong_in_one_thing(void **state)
{
    struct round round = {.lab = *state, .next = shs_lab_first(*state)};
    pthread_t threads[VISITORS];

    pthread_mutex_init(&round.lock, NULL);
    for (size_t i = 0; i < VISITORS; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, visitor, &round), 0);
    for (size_t i = 0; i < VISITORS; i++)
        pthread_join(threads[i], NULL);
    pthread_mutex_destroy(&round.lock);
    assert_int_equal(round.wrong, 0);
    assert_true(round.visited >= 225);
}

/* Each row is of a condition that there is, and what is to be refused has one. */
static void the_table_is_whole(void **state)
{
    for (const struct shs_condition *c = shs_lab_first(*state); c != NULL;
         c = shs_lab_next(*state, c)) {
        if (c->expect != SHS_LAB_ACCEPT && c->servable && !is_chance(c) &&
            find_row(c)->id[0] == '\0')
            fail_msg("%s is not in the table of this test: what is wrong with it?", c->id);
    }
    for (size_t i = 0; i < SHS_ARRAY_LEN(rows); i++) {
        if (shs_lab_find(*state, rows[i].id) == NULL)
            fail_msg("there is no condition %s", rows[i].id);
    }
}

static int start_lab(void **state)
{
    const struct sigaction ignore = {.sa_handler = SIG_IGN};
    struct shs_error err = {.code = SHS_OK};
    struct shs_lab_options o;
    struct shs_lab *lab = NULL;

    sigaction(SIGPIPE, &ignore, NULL);
    shs_lab_options_init(&o);
    o.stall_ms = 300;
    if (shs_lab_start(&lab, &o, &err) != SHS_OK) {
        print_error("%s\n", err.text);
        return -1;
    }
    *state = lab;
    return 0;
}

static int stop_lab(void **state)
{
    shs_lab_stop(*state);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_table_is_whole),
        cmocka_unit_test(each_is_wrong_in_one_thing),
    };

    return cmocka_run_group_tests(tests, start_lab, stop_lab);
}
