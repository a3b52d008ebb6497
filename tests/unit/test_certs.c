/* test_certs.c - the minter: what is right is right for a strict verifier, and what is wrong is
   wrong in that one thing. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include <openssl/err.h>
#include <openssl/ocsp.h>
#include <openssl/pem.h>
#include <openssl/pkcs12.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>

#include <shs/certs.h>

#include "base/base.h"
#include "certs/keys.h"

#define LIST(...) ((const char *const[]){__VA_ARGS__, NULL})

static X509 *parse(const char *pem)
{
    BIO *bio = BIO_new_mem_buf(pem, -1);
    X509 *cert = PEM_read_bio_X509(bio, NULL, NULL, NULL);

    BIO_free(bio);
    assert_non_null(cert);
    return cert;
}

static STACK_OF(X509) * parse_all(const char *pem)
{
    STACK_OF(X509) *all = sk_X509_new_null();
    BIO *bio = BIO_new_mem_buf(pem, -1);
    X509 *cert;

    while ((cert = PEM_read_bio_X509(bio, NULL, NULL, NULL)) != NULL)
        sk_X509_push(all, cert);
    ERR_clear_error();
    BIO_free(bio);
    return all;
}

/* The verdict of a strict verifier on what a server would send; `crl` may be NULL. */
static int verdict_at(const struct shs_ca *ca, const struct shs_issued_cert *cert, const char *host,
                      const char *crl_pem, const char *purpose)
{
    STACK_OF(X509) *sent = parse_all(shs_issued_cert_pem(cert));
    X509_STORE *store = X509_STORE_new();
    X509_STORE_CTX *ctx = X509_STORE_CTX_new();
    X509 *root = parse(shs_ca_root_pem(ca));
    X509_VERIFY_PARAM *param;
    int result;

    X509_STORE_add_cert(store, root);
    X509_STORE_set_flags(store, X509_V_FLAG_X509_STRICT);
    if (crl_pem != NULL) {
        BIO *bio = BIO_new_mem_buf(crl_pem, -1);
        X509_CRL *crl = PEM_read_bio_X509_CRL(bio, NULL, NULL, NULL);

        assert_non_null(crl);
        X509_STORE_add_crl(store, crl);
        X509_STORE_set_flags(store, X509_V_FLAG_CRL_CHECK | X509_V_FLAG_EXTENDED_CRL_SUPPORT);
        X509_CRL_free(crl);
        BIO_free(bio);
    }
    X509_STORE_CTX_init(ctx, store, sk_X509_value(sent, 0), sent);
    param = X509_STORE_CTX_get0_param(ctx);
    X509_STORE_CTX_set_default(ctx, purpose);
    X509_VERIFY_PARAM_set_auth_level(param, 2);
    if (host != NULL)
        X509_VERIFY_PARAM_set1_host(param, host, 0);
    result = X509_verify_cert(ctx) == 1 ? X509_V_OK : X509_STORE_CTX_get_error(ctx);
    ERR_clear_error();
    X509_STORE_CTX_free(ctx);
    X509_STORE_free(store);
    X509_free(root);
    sk_X509_pop_free(sent, X509_free);
    return result;
}

static int verdict(const struct shs_ca *ca, const struct shs_issued_cert *cert, const char *host)
{
    return verdict_at(ca, cert, host, NULL, "ssl_server");
}

static struct shs_ca *new_ca(const struct shs_ca_options *opt)
{
    struct shs_error err = {.code = SHS_OK};
    struct shs_ca *ca = NULL;

    if (shs_ca_new(&ca, opt, &err) != SHS_OK)
        fail_msg("%s", err.text);
    return ca;
}

static struct shs_issued_cert *issue(const struct shs_ca *ca, const struct shs_cert_options *opt)
{
    struct shs_error err = {.code = SHS_OK};
    struct shs_issued_cert *cert = NULL;

    if (shs_ca_issue(&cert, ca, opt, &err) != SHS_OK)
        fail_msg("%s", err.text);
    return cert;
}

/* -- what is right ----------------------------------------------------------------------------- */

static void good_keys(void **state)
{
    static const char *const keys[] = {"p256",    "p384",  "p521",    "rsa2048", "rsa-e3",
                                       "rsa-pss", "ed448", "ed25519", NULL};

    SHS_UNUSED(state);
    for (size_t i = 0; keys[i] != NULL; i++) {
        struct shs_ca *ca =
            new_ca(&(struct shs_ca_options){.size = sizeof(struct shs_ca_options), .key = keys[i]});
        struct shs_issued_cert *cert =
            issue(ca, &(struct shs_cert_options){SHS_CERT_FOR("localhost"), .key = keys[i]});
        struct shs_issued_cert *client = issue(
            ca, &(struct shs_cert_options){
                    .size = sizeof(struct shs_cert_options), .client = true, .common_name = "bob"});

        assert_int_equal(verdict(ca, cert, "localhost"), X509_V_OK);
        assert_int_equal(verdict(ca, cert, "other"), X509_V_ERR_HOSTNAME_MISMATCH);
        assert_int_equal(verdict_at(ca, client, NULL, NULL, "ssl_client"), X509_V_OK);
        assert_int_equal(verdict(ca, client, NULL), X509_V_ERR_INVALID_PURPOSE);
        shs_issued_cert_free(cert);
        shs_issued_cert_free(client);
        shs_ca_free(ca);
    }
}

struct long_work {
    atomic_bool begun, stop;
    int rc;
};

static void *make_a_long_key(void *arg)
{
    struct long_work *work = arg;
    EVP_PKEY *key = NULL;

    atomic_store(&work->begun, true);
    work->rc = shs__key_quick(&key, NULL, "rsa16384", &work->stop, NULL);
    EVP_PKEY_free(key);
    return NULL;
}

/* It would take half a minute, and no handler may keep a server that stops for so long. */
static void a_long_key_is_given_up(void **state)
{
    struct long_work work = {.rc = SHS_OK};
    const struct timespec moment = {.tv_nsec = 20000000};
    pthread_t thread;

    SHS_UNUSED(state);
    assert_int_equal(pthread_create(&thread, NULL, make_a_long_key, &work), 0);
    while (!atomic_load(&work.begun))
        nanosleep(&moment, NULL);
    nanosleep(&moment, NULL); /* in the middle of it, as a rule; before it, it is the same */
    atomic_store(&work.stop, true);
    pthread_join(thread, NULL);
    assert_int_equal(work.rc, SHS_STOPPED);
}

static void good_digests(void **state)
{
    const struct {
        const char *word;
        int nid;
    } all[] = {{"sha256", NID_ecdsa_with_SHA256},
               {"sha384", NID_ecdsa_with_SHA384},
               {"sha512", NID_ecdsa_with_SHA512},
               {"sha224", NID_ecdsa_with_SHA224},
               {"sha1", NID_ecdsa_with_SHA1}};
    struct shs_ca *ca = new_ca(NULL);

    SHS_UNUSED(state);
    for (size_t i = 0; i < SHS_ARRAY_LEN(all); i++) {
        struct shs_issued_cert *cert =
            issue(ca, &(struct shs_cert_options){SHS_CERT_FOR("a"), .digest = all[i].word});
        X509 *x = parse(shs_issued_cert_leaf_pem(cert));

        assert_int_equal(X509_get_signature_nid(x), all[i].nid);
        X509_free(x);
        shs_issued_cert_free(cert);
    }
    shs_ca_free(ca);
}

static void names(void **state)
{
    struct shs_ca *ca = new_ca(NULL);
    struct shs_issued_cert *cert =
        issue(ca, &(struct shs_cert_options){.size = sizeof(struct shs_cert_options),
                                             .names = LIST("a.example", "*.b.example", "127.0.0.1",
                                                           "::1", "email:x@a.example",
                                                           "uri:spiffe://a/b", "dns:10.0.0.1")});
    X509 *x = parse(shs_issued_cert_leaf_pem(cert));
    GENERAL_NAMES *all = X509_get_ext_d2i(x, NID_subject_alt_name, NULL, NULL);
    static const int kinds[] = {GEN_DNS,   GEN_DNS, GEN_IPADD, GEN_IPADD,
                                GEN_EMAIL, GEN_URI, GEN_DNS};

    SHS_UNUSED(state);
    assert_int_equal(sk_GENERAL_NAME_num(all), SHS_ARRAY_LEN(kinds));
    for (int i = 0; i < sk_GENERAL_NAME_num(all); i++)
        assert_int_equal(sk_GENERAL_NAME_value(all, i)->type, kinds[i]);
    assert_int_equal(verdict(ca, cert, "x.b.example"), X509_V_OK);
    GENERAL_NAMES_free(all);
    X509_free(x);
    shs_issued_cert_free(cert);
    shs_ca_free(ca);
}

/* Of names that are the same the first is put in, unless they are to be as they stand. */
static void names_that_are_given_twice(void **state)
{
    struct shs_ca *ca = new_ca(NULL);
    struct shs_issued_cert *cert =
        issue(ca, &(struct shs_cert_options){
                      .size = sizeof(struct shs_cert_options),
                      .names = LIST("a.example", "127.0.0.1", "::1", "A.Example", "0::1",
                                    "127.0.0.1", "*.a.example", "a.example", "uri:spiffe://a/b",
                                    "uri:spiffe://a/B", "uri:spiffe://a/b", "dns:a.example")});
    X509 *x = parse(shs_issued_cert_leaf_pem(cert));
    GENERAL_NAMES *all = X509_get_ext_d2i(x, NID_subject_alt_name, NULL, NULL);
    static const int kinds[] = {GEN_DNS, GEN_IPADD, GEN_IPADD, GEN_DNS, GEN_URI, GEN_URI, GEN_DNS};

    SHS_UNUSED(state);
    assert_int_equal(sk_GENERAL_NAME_num(all), SHS_ARRAY_LEN(kinds));
    for (int i = 0; i < sk_GENERAL_NAME_num(all); i++)
        assert_int_equal(sk_GENERAL_NAME_value(all, i)->type, kinds[i]);
    GENERAL_NAMES_free(all);
    X509_free(x);
    shs_issued_cert_free(cert);
    shs_ca_free(ca);
}

static void subjects(void **state)
{
    const struct {
        const char *const *subject;
        const char *text;
    } all[] = {
        {LIST("C=CY", "O=ops", "OU=oncall", "CN=alice"), "C=CY, O=ops, OU=oncall, CN=alice"},
        {LIST("CN=a", "CN=b"), "CN=a, CN=b"},
        {LIST("O=ops/CN=admin", "CN=mallory"), "O=ops/CN=admin, CN=mallory"},
        {(const char *const[]){NULL}, ""},
    };
    struct shs_ca *ca = new_ca(NULL);

    SHS_UNUSED(state);
    for (size_t i = 0; i < SHS_ARRAY_LEN(all); i++) {
        struct shs_issued_cert *cert =
            issue(ca, &(struct shs_cert_options){SHS_CERT_FOR("a"), .subject = all[i].subject});
        X509 *x = parse(shs_issued_cert_leaf_pem(cert));
        BIO *bio = BIO_new(BIO_s_mem());
        char *text = NULL;
        int critical = 0;

        X509_NAME_print_ex(
            bio, X509_get_subject_name(x), 0,
            (XN_FLAG_ONELINE & ~XN_FLAG_SPC_EQ & ~(unsigned long)ASN1_STRFLGS_ESC_QUOTE));
        BIO_write(bio, "", 1);
        (void)BIO_get_mem_data(bio, &text);
        assert_string_equal(text, all[i].text);
        /* A certificate without a subject has critical names (RFC 5280, 4.2.1.6). */
        GENERAL_NAMES_free(X509_get_ext_d2i(x, NID_subject_alt_name, &critical, NULL));
        assert_int_equal(critical, all[i].text[0] == '\0');
        BIO_free(bio);
        X509_free(x);
        shs_issued_cert_free(cert);
    }
    shs_ca_free(ca);
}

static void chains(void **state)
{
    const struct {
        const char *word;
        int sent; /* certificates */
        int verdict;
    } all[] = {{NULL, 3, X509_V_OK},
               {"normal", 3, X509_V_OK},
               {"none", 1, X509_V_ERR_UNABLE_TO_GET_ISSUER_CERT_LOCALLY},
               {"root", 4, X509_V_OK},
               {"reversed", 4, X509_V_OK},
               {"double", 5, X509_V_OK}};
    struct shs_ca *root = new_ca(NULL), *one = NULL, *two = NULL;
    X509 *top = parse(shs_ca_pem(root));

    SHS_UNUSED(state);
    assert_int_equal(shs_ca_intermediate(&one, root, NULL, NULL), SHS_OK);
    assert_int_equal(
        shs_ca_intermediate(
            &two, one, &(struct shs_ca_options){.size = sizeof(struct shs_ca_options), .levels = 1},
            NULL),
        SHS_OK);
    shs_ca_free(root); /* those below do not need it */
    assert_string_equal(shs_ca_root_pem(two), shs_ca_root_pem(one));
    for (size_t i = 0; i < SHS_ARRAY_LEN(all); i++) {
        struct shs_issued_cert *cert =
            issue(two, &(struct shs_cert_options){SHS_CERT_FOR("a"), .chain = all[i].word});
        STACK_OF(X509) *sent = parse_all(shs_issued_cert_pem(cert));

        assert_int_equal(sk_X509_num(sent), all[i].sent);
        assert_int_equal(verdict(two, cert, "a"), all[i].verdict);
        if (all[i].word != NULL && strcmp(all[i].word, "reversed") == 0)
            assert_int_equal(X509_cmp(sk_X509_value(sent, 1), top), 0);
        sk_X509_pop_free(sent, X509_free);
        shs_issued_cert_free(cert);
    }
    X509_free(top);
    shs_ca_free(one);
    shs_ca_free(two);
}

/* A CA whose own CA clients have never heard of, and the way round it. */
static void cross_signed(void **state)
{
    struct shs_ca *known = new_ca(NULL), *fresh = new_ca(NULL), *cross = NULL;
    struct shs_issued_cert *cert;

    SHS_UNUSED(state);
    assert_int_equal(shs_ca_cross_sign(&cross, known, fresh, NULL, NULL), SHS_OK);
    cert = issue(cross, &(struct shs_cert_options){SHS_CERT_FOR("a")});
    assert_int_equal(verdict(known, cert, "a"), X509_V_OK);
    assert_int_equal(verdict(fresh, cert, "a"), X509_V_OK);
    shs_issued_cert_free(cert);
    shs_ca_free(cross);
    shs_ca_free(known);
    shs_ca_free(fresh);
}

static void constraints(void **state)
{
    const struct {
        const char *name;
        int verdict;
    } all[] = {{"a.badssl.test", X509_V_OK},
               {"badssl.test", X509_V_OK},
               {"127.1.2.3", X509_V_OK},
               {"badssl.example", X509_V_ERR_PERMITTED_VIOLATION},
               {"128.0.0.1", X509_V_ERR_PERMITTED_VIOLATION},
               {"not.badssl.test", X509_V_ERR_EXCLUDED_VIOLATION}};
    struct shs_ca *ca =
        new_ca(&(struct shs_ca_options){.size = sizeof(struct shs_ca_options),
                                        .constrain = LIST("badssl.test", "127.0.0.0/8"),
                                        .exclude = LIST("not.badssl.test")});

    SHS_UNUSED(state);
    for (size_t i = 0; i < SHS_ARRAY_LEN(all); i++) {
        struct shs_issued_cert *cert =
            issue(ca, &(struct shs_cert_options){.size = sizeof(struct shs_cert_options),
                                                 .names = LIST(all[i].name),
                                                 .common_name = "x"});

        assert_int_equal(verdict(ca, cert, NULL), all[i].verdict);
        shs_issued_cert_free(cert);
    }
    shs_ca_free(ca);
}

/* A certificate for an address alone is good under an authority that has constraints on names. */
static void common_names(void **state)
{
    const struct {
        const char *const *names;
        bool client;
        const char *common_name;
    } all[] = {{LIST("127.0.0.1"), false, ""}, /* GnuTLS would hold it against them */
               {LIST("::1", "a.test"), false, "a.test"},
               {LIST("dns:b.test"), false, "b.test"},
               {LIST("uri:spiffe://a/b", "email:a@a.test"), true, "shs test client"},
               {LIST("0123456789012345678901234567890123456789012345678901234567890.a.test"), false,
                "shs test server"}};
    struct shs_ca *ca = new_ca(&(struct shs_ca_options){
        .size = sizeof(struct shs_ca_options), .constrain = LIST("test", "127.0.0.0/8", "::1")});

    SHS_UNUSED(state);
    for (size_t i = 0; i < SHS_ARRAY_LEN(all); i++) {
        struct shs_issued_cert *cert =
            issue(ca, &(struct shs_cert_options){.size = sizeof(struct shs_cert_options),
                                                 .names = all[i].names,
                                                 .client = all[i].client});
        X509 *x = parse(shs_issued_cert_leaf_pem(cert));
        char text[100] = "";

        X509_NAME_get_text_by_NID(X509_get_subject_name(x), NID_commonName, text, sizeof text);
        assert_string_equal(text, all[i].common_name);
        assert_int_equal(
            verdict_at(ca, cert, NULL, NULL, all[i].client ? "ssl_client" : "ssl_server"),
            X509_V_OK);
        X509_free(x);
        shs_issued_cert_free(cert);
    }
    shs_ca_free(ca);
}

/* A root says nothing of whose key signs it; what is below it does (RFC 5280, 4.2.1.1). */
static void authority_key_identifiers(void **state)
{
    struct shs_ca *root = new_ca(NULL);
    struct shs_issued_cert *cert = issue(root, &(struct shs_cert_options){SHS_CERT_FOR("a")});
    const char *const all[] = {shs_ca_pem(root), shs_issued_cert_leaf_pem(cert)};

    SHS_UNUSED(state);
    for (size_t i = 0; i < SHS_ARRAY_LEN(all); i++) {
        X509 *x = parse(all[i]);

        assert_int_equal(X509_get_ext_by_NID(x, NID_authority_key_identifier, -1) >= 0, i == 1);
        assert_int_equal(X509_get0_authority_key_id(x) != NULL, i == 1);
        X509_free(x);
    }
    shs_issued_cert_free(cert);
    shs_ca_free(root);
}

static void levels(void **state)
{
    struct shs_ca *root = new_ca(
                      &(struct shs_ca_options){.size = sizeof(struct shs_ca_options), .levels = 1}),
                  *below = NULL;
    struct shs_issued_cert *cert;

    SHS_UNUSED(state);
    cert = issue(root, &(struct shs_cert_options){SHS_CERT_FOR("a")});
    assert_int_equal(verdict(root, cert, "a"), X509_V_OK);
    shs_issued_cert_free(cert);
    assert_int_equal(shs_ca_intermediate(&below, root, NULL, NULL), SHS_OK);
    cert = issue(below, &(struct shs_cert_options){SHS_CERT_FOR("a")});
    assert_int_equal(verdict(root, cert, "a"), X509_V_ERR_PATH_LENGTH_EXCEEDED);
    shs_issued_cert_free(cert);
    shs_ca_free(below);
    shs_ca_free(root);
}

/* -- what is wrong ----------------------------------------------------------------------------- */

static void faults(void **state)
{
    /* What a strict verifier says; -1: it is fine with that. */
    const struct {
        const char *word;
        int verdict;
    } wanted[] = {
        {"expired", X509_V_ERR_CERT_HAS_EXPIRED},
        {"expired-1s", X509_V_ERR_CERT_HAS_EXPIRED},
        {"not-yet-valid", X509_V_ERR_CERT_NOT_YET_VALID},
        {"inverted-dates", X509_V_ERR_CERT_NOT_YET_VALID},
        {"wrong-name", X509_V_ERR_HOSTNAME_MISMATCH},
        {"no-san", X509_V_OK}, /* OpenSSL looks at the common name then */
        {"no-subject", X509_V_OK},
        {"wrong-usage", X509_V_ERR_INVALID_PURPOSE},
        {"client-usage", X509_V_ERR_INVALID_PURPOSE},
        {"server-usage", X509_V_ERR_INVALID_PURPOSE},
        {"certsign-only", X509_V_ERR_KU_KEY_CERT_SIGN_INVALID_FOR_NON_CA},
        {"ca-true", X509_V_OK},
        {"self-signed", X509_V_ERR_DEPTH_ZERO_SELF_SIGNED_CERT},
        {"untrusted", X509_V_ERR_UNABLE_TO_GET_ISSUER_CERT_LOCALLY},
        {"bad-signature", X509_V_ERR_CERT_SIGNATURE_FAILURE},
        {"mismatched-key", X509_V_OK}, /* shown by a handshake alone */
        {"incomplete-chain", X509_V_ERR_UNABLE_TO_GET_ISSUER_CERT_LOCALLY},
        {"sha1", X509_V_ERR_CA_MD_TOO_WEAK},
        {"md5", X509_V_ERR_CA_MD_TOO_WEAK},
        {"rsa1024", X509_V_ERR_EE_KEY_TOO_SMALL},
        {"rsa512", X509_V_ERR_EE_KEY_TOO_SMALL},
        {"explicit-curve", X509_V_ERR_EC_KEY_EXPLICIT_PARAMS},
        {"version1", X509_V_OK},
        {"unknown-critical", X509_V_ERR_UNHANDLED_CRITICAL_EXTENSION},
        {"no-aki", X509_V_ERR_MISSING_AUTHORITY_KEY_IDENTIFIER},
        {"serial-zero", X509_V_OK},
        {"serial-negative", X509_V_OK},
        {"serial-long", X509_V_OK},
        {"must-staple", X509_V_OK},
    };
    struct shs_ca *root = new_ca(&(struct shs_ca_options){.size = sizeof(struct shs_ca_options),
                                                          .key = "rsa2048"}),
                  *ca = NULL;
    const char *word, *text;
    size_t i;

    SHS_UNUSED(state);
    assert_int_equal(
        shs_ca_intermediate(
            &ca, root,
            &(struct shs_ca_options){.size = sizeof(struct shs_ca_options), .key = "rsa2048"},
            NULL),
        SHS_OK);
    for (i = 0; (word = shs_cert_fault(i, &text)) != NULL; i++) {
        bool client = strcmp(word, "server-usage") == 0; /* a fault of theirs alone */
        struct shs_issued_cert *cert;
        int found;

        assert_true(i < SHS_ARRAY_LEN(wanted));
        assert_string_equal(word, wanted[i].word);
        assert_true(text[0] != '\0');
        cert = issue(ca, &(struct shs_cert_options){SHS_CERT_FOR("a.example"), .fault = word,
                                                    .client = client});
        found = verdict_at(root, cert, "a.example", NULL, client ? "ssl_client" : "ssl_server");
        if (found != wanted[i].verdict)
            fail_msg("%s: %s, not %s", word, X509_verify_cert_error_string(found),
                     X509_verify_cert_error_string(wanted[i].verdict));
        shs_issued_cert_free(cert);
    }
    assert_int_equal(i, SHS_ARRAY_LEN(wanted));
    shs_ca_free(ca);
    shs_ca_free(root);
}

/* What is asked for is made, or it is said why not: nobody gets a good one for a bad one. */
static void faults_that_cannot_be(void **state)
{
    const struct {
        const char *ca_key;
        struct shs_cert_options o;
        const char *words; /* of the error; NULL: it is made */
    } all[] = {
        {NULL, {.fault = "md5"}, "(EC, 256 bits) does not sign over md5"},
        {NULL, {.digest = "md5"}, "such as rsa2048"},
        {"ed25519", {.fault = "md5"}, "(ED25519, "},
        {"ed25519", {.fault = "sha1"}, "does not sign over sha1"},
        {"ed25519", {.digest = "sha512"}, "does not sign over sha512"},
        {"ed448", {.digest = "sha256"}, "does not sign over sha256"},
        {"ed25519", {.fault = "expired"}, NULL},
        {"rsa-pss", {.fault = "md5"}, "does not sign over md5"},
        {"rsa-pss", {.fault = "sha1"}, NULL},
        {"dsa", {.fault = "md5"}, "(DSA, 2048 bits)"},
        {"rsa512", {.digest = "sha512"}, "(RSA, 512 bits)"},
        {"rsa2048", {.fault = "md5"}, NULL},
        /* Nothing is between a root and what it signs. */
        {NULL, {.fault = "incomplete-chain"}, "shs cert ca --below"},
        /* Two that say different things. */
        {NULL, {.fault = "sha1", .digest = "sha384"}, "sha1 decides the digest"},
        {NULL, {.fault = "rsa1024", .key = "p384"}, "rsa1024 decides the key"},
        {NULL, {.fault = "serial-zero", .serial = "7"}, "serial-zero decides the serial"},
        {NULL, {.fault = "wrong-usage", .usage = "serverAuth"}, "wrong-usage decides the usage"},
        {NULL, {.fault = "certsign-only", .key_usage = "digitalSignature"}, "the key usage"},
        {NULL, {.fault = "no-subject", .subject = LIST("CN=a")}, "no-subject decides the subject"},
        {NULL, {.fault = "expired", .not_after = "+1d"}, "it is not expired"},
        {NULL, {.fault = "expired", .not_before = "+1d"}, "it is not expired"},
        {NULL, {.fault = "expired", .not_after = "-3y"}, "it is not expired"}, /* inverted */
        {NULL, {.fault = "expired", .not_before = "-5y", .not_after = "-3y"}, NULL},
        {NULL, {.fault = "expired-1s", .now = 4102444800}, NULL},
        {NULL, {.fault = "not-yet-valid", .not_before = "-1d"}, "it is not not-yet-valid"},
        {NULL, {.fault = "not-yet-valid", .not_after = "+300d"}, NULL},
        {NULL, {.fault = "inverted-dates", .not_before = "-20d"}, "it is not inverted-dates"},
        /* For whom it is the right thing. */
        {NULL, {.fault = "server-usage"}, "no fault for a server"},
        {NULL, {.fault = "server-usage", .client = true}, NULL},
        {NULL, {.fault = "client-usage", .client = true}, "no fault for a client"},
    };

    SHS_UNUSED(state);
    for (size_t i = 0; i < SHS_ARRAY_LEN(all); i++) {
        struct shs_ca *ca = new_ca(
            &(struct shs_ca_options){.size = sizeof(struct shs_ca_options), .key = all[i].ca_key});
        struct shs_cert_options o = all[i].o;
        struct shs_issued_cert *cert = NULL;
        struct shs_error err = {.code = SHS_OK};
        int rc;

        o.size = sizeof o;
        o.names = LIST("a.example");
        rc = shs_ca_issue(&cert, ca, &o, &err);
        if (all[i].words == NULL ? rc != SHS_OK
                                 : rc != SHS_USAGE || strstr(err.text, all[i].words) == NULL)
            fail_msg("%s of %s: %s", o.fault != NULL ? o.fault : o.digest,
                     all[i].ca_key != NULL ? all[i].ca_key : "p256",
                     rc == SHS_OK ? "made" : err.text);
        shs_issued_cert_free(cert);
        shs_ca_free(ca);
    }
}

/* The digest that an authority usually takes does not stand in the way of a key with its own. */
static void usual_digests(void **state)
{
    struct shs_ca *root = new_ca(&(struct shs_ca_options){
        .size = sizeof(struct shs_ca_options), .key = "rsa2048", .digest = "sha384"});
    struct shs_ca *below = NULL, *again = NULL;
    struct shs_error err = {.code = SHS_OK};
    void *crl = NULL;
    size_t len = 0;

    SHS_UNUSED(state);
    if (shs_ca_intermediate(&below, root,
                            &(struct shs_ca_options){.size = sizeof(struct shs_ca_options),
                                                     .key = "ed25519",
                                                     .digest = "sha384"},
                            &err) != SHS_OK ||
        shs_ca_intermediate(&again, below,
                            &(struct shs_ca_options){.size = sizeof(struct shs_ca_options),
                                                     .key = "rsa2048",
                                                     .digest = "sha512"},
                            &err) != SHS_OK ||
        shs_ca_crl(below, NULL, &crl, &len, &err) != SHS_OK)
        fail_msg("%s", err.text);
    shs_issued_cert_free(issue(below, &(struct shs_cert_options){SHS_CERT_FOR("a")}));
    shs_issued_cert_free(issue(again, &(struct shs_cert_options){SHS_CERT_FOR("a")}));
    shs_bytes_free(crl, len);
    shs_ca_free(again);
    shs_ca_free(below);
    shs_ca_free(root);
}

static void serials(void **state)
{
    const struct {
        const char *word, *text;
        int bytes; /* 0: whatever */
    } all[] = {
        {"0", "0", 0},       {"-1000", "-03E8", 0},  {"0x0123456789abcdef", "0123456789ABCDEF", 0},
        {"-0xff", "-FF", 0}, {"random21", NULL, 21}, {NULL, NULL, 16}};
    struct shs_ca *ca = new_ca(NULL);

    SHS_UNUSED(state);
    for (size_t i = 0; i < SHS_ARRAY_LEN(all); i++) {
        struct shs_issued_cert *cert =
            issue(ca, &(struct shs_cert_options){SHS_CERT_FOR("a"), .serial = all[i].word});

        if (all[i].text != NULL)
            assert_string_equal(shs_issued_cert_serial(cert), all[i].text);
        else
            assert_int_equal(strlen(shs_issued_cert_serial(cert)), 2 * (size_t)all[i].bytes);
        shs_issued_cert_free(cert);
    }
    shs_ca_free(ca);
}

static void extensions(void **state)
{
    struct shs_ca *ca = new_ca(NULL);
    struct shs_issued_cert *cert =
        issue(ca, &(struct shs_cert_options){
                      SHS_CERT_FOR("a"),
                      .extensions = LIST("1.2.3.4=critical,DER:0500", "subjectAltName=DNS:b",
                                         "subjectAltName=DNS:c", "authorityKeyIdentifier=none",
                                         "certificatePolicies=1.3.6.1.4.1.55555.7")});
    X509 *x = parse(shs_issued_cert_leaf_pem(cert));
    int first = X509_get_ext_by_NID(x, NID_subject_alt_name, -1);

    SHS_UNUSED(state);
    assert_true(first >= 0);
    assert_true(X509_get_ext_by_NID(x, NID_subject_alt_name, first) > first); /* a second one */
    assert_true(X509_get_ext_by_NID(x, NID_authority_key_identifier, -1) < 0);
    assert_true(X509_get_ext_by_NID(x, NID_certificate_policies, -1) >= 0);
    assert_true(X509_get_ext_by_NID(x, NID_basic_constraints, -1) >= 0);
    /* Two of one kind: OpenSSL takes it for no certificate of anybody's. */
    assert_int_equal(verdict(ca, cert, NULL), X509_V_ERR_UNABLE_TO_GET_ISSUER_CERT_LOCALLY);
    X509_free(x);
    shs_issued_cert_free(cert);
    shs_ca_free(ca);
}

/* A word that is none: the error has the word, and something that may stand there. */
static void words(void **state)
{
    const struct {
        struct shs_cert_options o;
        const char *word, *allowed;
    } all[] = {
        {{.key = "rsa"}, "'rsa'", "p256"},
        {{.key = "rsa256"}, "'rsa256'", "rsa512"},
        {{.key = "rsa99999"}, "'rsa99999'", "rsa16384"},
        {{.digest = "sha3"}, "'sha3'", "sha256"},
        {{.serial = "0x"}, "'0x'", "0x and digits"},
        {{.serial = "12z"}, "'12z'", "random21"},
        {{.not_after = "soon"}, "'soon'", "+30d"},
        {{.not_after = "2026-02-30"}, "'2026-02-30'", "2026-11-28"},
        {{.not_before = "+1"}, "'+1'", "s m h d w y"},
        {{.not_before = "+99999999999y"}, "y'", "s m h d w y"},
        {{.usage = "server"}, "'server'", "serverAuth"},
        {{.usage = "serverAuth,,bad"}, "'bad'", "OIDs"},
        {{.key_usage = "sign"}, "'sign'", "digitalSignature"},
        {{.chain = "short"}, "'short'", "reversed"},
        {{.fault = "wrong"}, "'wrong'", "expired"},
        {{.names = LIST("a b")}, "'a b'", "DNS name"},
        {{.subject = LIST("alice")}, "'alice'", "TYPE=TEXT"},
        {{.common_name = ""}, "common name", "leave it out"},
        {{.common_name = "\xff"}, "common name", "UTF-8"},
        {{.subject = LIST("C=CYP")}, "'C=CYP'", "2 for C"},
        {{.extensions = LIST("nonsense")}, "'nonsense'", "NAME=VALUE"},
        {{.extensions = LIST("1.2.3=DER:0")}, "'1.2.3=DER:0'", "OpenSSL"},
        {{.extensions = LIST("subjectAltName=@names")}, "@names", "OpenSSL"},
        {{.fault = "mismatched-key", .key = "rsa2048"}, "mismatched-key", "p256"},
        {{.names = NULL, .client = false}, "needs a name", "localhost"},
    };
    struct shs_ca *ca = new_ca(NULL);

    SHS_UNUSED(state);
    for (size_t i = 0; i < SHS_ARRAY_LEN(all); i++) {
        const char *const one[] = {"a", NULL};
        struct shs_cert_options o = all[i].o;
        struct shs_issued_cert *cert = NULL;
        struct shs_error err = {.code = SHS_OK};

        o.size = sizeof o;
        if (o.names == NULL && strcmp(all[i].word, "needs a name") != 0)
            o.names = one;
        assert_int_equal(shs_ca_issue(&cert, ca, &o, &err), SHS_USAGE);
        assert_null(cert);
        if (strstr(err.text, all[i].word) == NULL || strstr(err.text, all[i].allowed) == NULL)
            fail_msg("%s", err.text);
    }
    shs_ca_free(ca);
}

static void words_of_authorities(void **state)
{
    const struct {
        struct shs_ca_options o;
        const char *word;
    } all[] = {{{.constrain = LIST("localhost:8443")}, "knows no ports"},
               {{.constrain = LIST("https://a.example/")}, "Of a URL give the name alone"},
               {{.exclude = LIST("a@b.example")}, "email:TEXT"},
               {{.constrain = LIST("[::1]")}, "without brackets"},
               {{.constrain = LIST("10.0.0.0/33")}, "'10.0.0.0/33'"},
               {{.constrain = LIST("10.0.0.0/x")}, "'10.0.0.0/x'"},
               {{.constrain = LIST("a/8")}, "'a/8'"},
               {{.exclude = LIST("")}, "''"},
               {{.key = "dh"}, "'dh'"},
               {{.levels = -1}, "-1"},
               {{.common_name = ""}, "leave it out"},
               {{.common_name = "a\xff"}, "UTF-8"},
               {{.not_after = "x"}, "'x'"}};

    SHS_UNUSED(state);
    for (size_t i = 0; i < SHS_ARRAY_LEN(all); i++) {
        struct shs_ca_options o = all[i].o;
        struct shs_error err = {.code = SHS_OK};
        struct shs_ca *ca = NULL;

        o.size = sizeof o;
        assert_int_equal(shs_ca_new(&ca, &o, &err), SHS_USAGE);
        if (strstr(err.text, all[i].word) == NULL)
            fail_msg("%s", err.text);
    }
}

/* What was never set is not believed, whichever options it is. */
static void options_without_a_size(void **state)
{
    const struct shs_ca_options of_ca = {.size = 0};
    const struct shs_cert_options of_cert = {.size = 0, .client = true, .common_name = "x"};
    const struct shs_crl_options of_crl = {.size = 0};
    const struct shs_ocsp_options of_ocsp = {.size = 0};
    struct shs_cert_options by_init;
    struct shs_ca *ca = new_ca(NULL), *second = NULL;
    struct shs_issued_cert *cert = NULL;
    struct shs_error err[6];
    void *bytes = NULL;
    size_t len = 0;

    SHS_UNUSED(state);
    assert_int_equal(shs_ca_new(&second, &of_ca, &err[0]), SHS_USAGE);
    assert_int_equal(shs_ca_intermediate(&second, ca, &of_ca, &err[1]), SHS_USAGE);
    assert_int_equal(shs_ca_issue(&cert, ca, &of_cert, &err[2]), SHS_USAGE);
    assert_int_equal(shs_ca_issue(&cert, ca, NULL, &err[3]), SHS_USAGE);
    assert_int_equal(shs_ca_crl(ca, &of_crl, &bytes, &len, &err[4]), SHS_USAGE);
    assert_int_equal(shs_ca_ocsp_serial(ca, "01", &of_ocsp, &bytes, &len, &err[5]), SHS_USAGE);
    for (size_t i = 0; i < SHS_ARRAY_LEN(err); i++) {
        if (strstr(err[i].text, "_options_init") == NULL)
            fail_msg("%s", err[i].text);
    }
    shs_cert_options_init(&by_init);
    by_init.client = true;
    by_init.common_name = "x";
    shs_issued_cert_free(issue(ca, &by_init));
    shs_ca_free(ca);
}

static void dates(void **state)
{
    const struct {
        const char *text;
        int64_t unix_time;
    } all[] = {{"now", 1790000000},
               {"+1s", 1790000001},
               {"-2m", 1790000000 - 120},
               {"+3h", 1790000000 + 3 * 3600},
               {"-10d", 1790000000 - 864000},
               {"+1w", 1790000000 + 604800},
               {"+1y", 1790000000 + 31536000},
               {"1970-01-01", 0},
               {"2026-11-28T08:30:00Z", 1795854600},
               {"2000-02-29", 951782400},
               {"9999-12-31T23:59:59Z", 253402300799},
               {"@42", 42},
               {"@-42", -42}};
    static const char *const bad[] = {
        "",     "+", "+d", "1d",  "+1x",      "2026-13-01",  "2025-02-29",    "2026-1-1",
        "+1dd", "@", "@x", "@1x", "tomorrow", "2026-11-28T", "@999999999999", "+-1d",
        NULL};
    int64_t when;

    SHS_UNUSED(state);
    for (size_t i = 0; i < SHS_ARRAY_LEN(all); i++) {
        assert_int_equal(shs_parse_date(&when, all[i].text, 1790000000, NULL), SHS_OK);
        assert_int_equal(when, all[i].unix_time);
    }
    for (size_t i = 0; bad[i] != NULL; i++)
        assert_int_equal(shs_parse_date(&when, bad[i], 1790000000, NULL), SHS_USAGE);
}

/* The authority's clock, not the system's. */
static void virtual_clock(void **state)
{
    struct shs_ca *ca =
        new_ca(&(struct shs_ca_options){.size = sizeof(struct shs_ca_options), .now = 1000000000});
    struct shs_issued_cert *cert = issue(
        ca, &(struct shs_cert_options){SHS_CERT_FOR("a"), .not_before = "-1d", .not_after = "+1d"});
    X509 *x = parse(shs_issued_cert_leaf_pem(cert));
    time_t then = 1000000000;

    SHS_UNUSED(state);
    assert_true(X509_cmp_time(X509_get0_notBefore(x), &then) < 0);
    assert_true(X509_cmp_time(X509_get0_notAfter(x), &then) > 0);
    assert_int_equal(verdict(ca, cert, "a"), X509_V_ERR_CERT_HAS_EXPIRED);
    X509_free(x);
    shs_issued_cert_free(cert);
    shs_ca_free(ca);
}

/* -- revocation -------------------------------------------------------------------------------- */

static char *crl_of(struct shs_ca *ca, const struct shs_crl_options *opt)
{
    struct shs_error err = {.code = SHS_OK};
    void *bytes = NULL;
    size_t len = 0;

    if (shs_ca_crl(ca, opt, &bytes, &len, &err) != SHS_OK)
        fail_msg("%s", err.text);
    return bytes;
}

static void crls(void **state)
{
    struct shs_ca *ca = new_ca(NULL), *other = new_ca(NULL);
    struct shs_issued_cert *good = issue(ca, &(struct shs_cert_options){SHS_CERT_FOR("a")});
    struct shs_issued_cert *bad = issue(ca, &(struct shs_cert_options){SHS_CERT_FOR("b")});
    const struct {
        struct shs_crl_options o;
        int good, bad;
    } all[] = {
        {{.size = 0}, X509_V_OK, X509_V_ERR_CERT_REVOKED},
        {{.next_update = "-1s", .this_update = "-2d"},
         X509_V_ERR_CRL_HAS_EXPIRED,
         X509_V_ERR_CRL_HAS_EXPIRED},
        {{.this_update = "+1d"}, X509_V_ERR_CRL_NOT_YET_VALID, X509_V_ERR_CRL_NOT_YET_VALID},
        {{.next_update = "none"}, X509_V_OK, X509_V_ERR_CERT_REVOKED},
        {{.idp = "onlyuser:TRUE"}, X509_V_OK, X509_V_ERR_CERT_REVOKED},
        {{.idp = "onlyCA:TRUE"}, X509_V_ERR_DIFFERENT_CRL_SCOPE, X509_V_ERR_DIFFERENT_CRL_SCOPE},
        {{.extensions = LIST("1.2.3.4=critical,DER:0500")},
         X509_V_ERR_UNHANDLED_CRITICAL_CRL_EXTENSION,
         X509_V_ERR_UNHANDLED_CRITICAL_CRL_EXTENSION},
    };
    char *pem;

    SHS_UNUSED(state);
    assert_int_equal(shs_ca_revoke(ca, shs_issued_cert_serial(bad), "keyCompromise", NULL, NULL),
                     SHS_OK);
    for (size_t i = 0; i < SHS_ARRAY_LEN(all); i++) {
        struct shs_crl_options o = all[i].o;

        o.size = sizeof o;
        pem = crl_of(ca, &o);
        assert_int_equal(verdict_at(ca, good, "a", pem, "ssl_server"), all[i].good);
        assert_int_equal(verdict_at(ca, bad, "b", pem, "ssl_server"), all[i].bad);
        shs_bytes_free(pem, strlen(pem));
    }
    pem = crl_of(
        ca, &(struct shs_crl_options){.size = sizeof(struct shs_crl_options), .signer = other});
    assert_int_equal(verdict_at(ca, good, "a", pem, "ssl_server"),
                     X509_V_ERR_CRL_SIGNATURE_FAILURE);
    shs_bytes_free(pem, strlen(pem));
    pem = crl_of(other, NULL);
    assert_int_equal(verdict_at(ca, good, "a", pem, "ssl_server"), X509_V_ERR_UNABLE_TO_GET_CRL);
    shs_bytes_free(pem, strlen(pem));
    shs_issued_cert_free(good);
    shs_issued_cert_free(bad);
    shs_ca_free(ca);
    shs_ca_free(other);
}

static void crl_numbers(void **state)
{
    struct shs_ca *ca = new_ca(NULL);
    const struct {
        struct shs_crl_options o;
        long number, base; /* -1: not said */
    } all[] = {{{.size = 0}, 1, -1},
               {{.size = 0}, 2, -1},
               {{.number = "77", .delta_base = "2"}, 77, 2},
               {{.number = "none"}, -1, -1}};

    SHS_UNUSED(state);
    for (size_t i = 0; i < SHS_ARRAY_LEN(all); i++) {
        struct shs_crl_options o = all[i].o;
        const unsigned char *at;
        ASN1_INTEGER *number;
        void *der = NULL;
        size_t len = 0;
        X509_CRL *crl;

        o.size = sizeof o;
        o.der = true;
        assert_int_equal(shs_ca_crl(ca, &o, &der, &len, NULL), SHS_OK);
        at = der;
        crl = d2i_X509_CRL(NULL, &at, (long)len);
        assert_non_null(crl);
        number = X509_CRL_get_ext_d2i(crl, NID_crl_number, NULL, NULL);
        assert_int_equal(number == NULL ? -1 : ASN1_INTEGER_get(number), all[i].number);
        ASN1_INTEGER_free(number);
        number = X509_CRL_get_ext_d2i(crl, NID_delta_crl, NULL, NULL);
        assert_int_equal(number == NULL ? -1 : ASN1_INTEGER_get(number), all[i].base);
        ASN1_INTEGER_free(number);
        X509_CRL_free(crl);
        shs_bytes_free(der, len);
    }
    shs_ca_free(ca);
}

/* The response's status; with a certificate status, also that it verifies against the authority. */
static int ocsp_status(const struct shs_ca *ca, const struct shs_issued_cert *cert,
                       const struct shs_ocsp_options *opt, int *verified)
{
    struct shs_error err = {.code = SHS_OK};
    void *der = NULL;
    size_t len = 0;
    const unsigned char *at;
    OCSP_RESPONSE *response;
    OCSP_BASICRESP *basic;
    X509_STORE *store = X509_STORE_new();
    STACK_OF(X509) *none = sk_X509_new_null();
    X509 *root = parse(shs_ca_root_pem(ca));
    int status;

    if (shs_ca_ocsp(ca, cert, opt, &der, &len, &err) != SHS_OK)
        fail_msg("%s", err.text);
    at = der;
    response = d2i_OCSP_RESPONSE(NULL, &at, (long)len);
    assert_non_null(response);
    status = -OCSP_response_status(response);
    basic = OCSP_response_get1_basic(response);
    if (basic != NULL) {
        OCSP_SINGLERESP *single = OCSP_resp_get0(basic, 0);
        ASN1_GENERALIZEDTIME *from, *to;

        X509_STORE_add_cert(store, root);
        sk_X509_push(none, root);
        status = OCSP_single_get0_status(single, NULL, NULL, &from, &to);
        *verified = OCSP_basic_verify(basic, none, store, 0) == 1 &&
                    OCSP_check_validity(from, to, 0, -1) == 1;
    }
    ERR_clear_error();
    OCSP_BASICRESP_free(basic);
    OCSP_RESPONSE_free(response);
    sk_X509_free(none);
    X509_STORE_free(store);
    X509_free(root);
    shs_bytes_free(der, len);
    return status;
}

static void ocsp(void **state)
{
    struct shs_ca *ca = new_ca(NULL), *other = new_ca(NULL);
    struct shs_issued_cert *cert = issue(ca, &(struct shs_cert_options){SHS_CERT_FOR("a")});
    struct shs_issued_cert *responder =
        issue(ca, &(struct shs_cert_options){.size = sizeof(struct shs_cert_options),
                                             .client = true,
                                             .common_name = "responder",
                                             .usage = "OCSPSigning"});
    struct shs_issued_cert *no_usage =
        issue(ca, &(struct shs_cert_options){.size = sizeof(struct shs_cert_options),
                                             .client = true,
                                             .common_name = "responder"});
    const struct {
        struct shs_ocsp_options o;
        int status;
        bool verified;
    } all[] = {
        {{.size = 0}, V_OCSP_CERTSTATUS_GOOD, true},
        {{.status = "good"}, V_OCSP_CERTSTATUS_GOOD, true},
        {{.status = "revoked", .reason = "superseded"}, V_OCSP_CERTSTATUS_REVOKED, true},
        {{.status = "unknown"}, V_OCSP_CERTSTATUS_UNKNOWN, true},
        {{.status = "tryLater"}, -OCSP_RESPONSE_STATUS_TRYLATER, false},
        {{.this_update = "-20d", .next_update = "-13d"}, V_OCSP_CERTSTATUS_GOOD, false},
        {{.this_update = "+1d"}, V_OCSP_CERTSTATUS_GOOD, false},
        {{.next_update = "none"}, V_OCSP_CERTSTATUS_GOOD, true},
        {{.signer = other}, V_OCSP_CERTSTATUS_GOOD, false},
        {{.responder = responder}, V_OCSP_CERTSTATUS_GOOD, true},
        {{.responder = no_usage}, V_OCSP_CERTSTATUS_GOOD, false},
    };
    int verified;

    SHS_UNUSED(state);
    for (size_t i = 0; i < SHS_ARRAY_LEN(all); i++) {
        struct shs_ocsp_options o = all[i].o;

        o.size = sizeof o;
        verified = 0;
        assert_int_equal(ocsp_status(ca, cert, &o, &verified), all[i].status);
        assert_int_equal(verified, all[i].verified);
    }
    assert_int_equal(shs_ca_revoke(ca, shs_issued_cert_serial(cert), NULL, "-3d", NULL), SHS_OK);
    assert_int_equal(ocsp_status(ca, cert, NULL, &verified), V_OCSP_CERTSTATUS_REVOKED);
    shs_issued_cert_free(cert);
    shs_issued_cert_free(responder);
    shs_issued_cert_free(no_usage);
    shs_ca_free(ca);
    shs_ca_free(other);
}

static void revocation_words(void **state)
{
    struct shs_ca *ca = new_ca(NULL);
    struct shs_error err = {.code = SHS_OK};
    void *bytes = NULL;
    size_t len = 0;

    SHS_UNUSED(state);
    assert_int_equal(shs_ca_revoke(ca, "xyz", NULL, NULL, &err), SHS_USAGE);
    assert_non_null(strstr(err.text, "'xyz'"));
    assert_int_equal(shs_ca_revoke(ca, "01", "lost", NULL, &err), SHS_USAGE);
    assert_non_null(strstr(err.text, "keyCompromise"));
    assert_int_equal(shs_ca_revoke(ca, "01", NULL, "once", &err), SHS_USAGE);
    assert_int_equal(shs_ca_crl(ca,
                                &(struct shs_crl_options){.size = sizeof(struct shs_crl_options),
                                                          .idp = "what:TRUE"},
                                &bytes, &len, &err),
                     SHS_USAGE);
    assert_int_equal(
        shs_ca_ocsp_serial(
            ca, "01",
            &(struct shs_ocsp_options){.size = sizeof(struct shs_ocsp_options), .status = "fine"},
            &bytes, &len, &err),
        SHS_USAGE);
    assert_non_null(strstr(err.text, "'fine'"));
    shs_ca_free(ca);
}

/* -- files and contexts ------------------------------------------------------------------------ */

static mode_t mode_of(const char *dir, const char *name)
{
    struct stat info;
    char path[256];

    snprintf(path, sizeof path, "%s/%s", dir, name);
    assert_int_equal(stat(path, &info), 0);
    assert_int_equal(unlink(path), 0);
    return info.st_mode & 0777;
}

static void saved(void **state)
{
    char root[] = "/tmp/shs-test-XXXXXX", dir[64];
    struct shs_ca *ca = new_ca(NULL), *again = NULL;
    struct shs_issued_cert *cert = issue(ca, &(struct shs_cert_options){SHS_CERT_FOR("a")});
    struct shs_error err = {.code = SHS_OK};
    const char *path;

    SHS_UNUSED(state);
    assert_non_null(mkdtemp(root));
    snprintf(dir, sizeof dir, "%s/new", root);
    assert_int_equal(shs_issued_cert_save(cert, dir, "a", false, NULL), SHS_OK);
    assert_int_equal(shs_issued_cert_save(cert, dir, "a", false, &err), SHS_USAGE);
    assert_non_null(strstr(err.text, "already exists"));
    assert_int_equal(shs_issued_cert_save(cert, dir, "a", true, NULL), SHS_OK);
    assert_int_equal(shs_issued_cert_save(cert, dir, "../a", true, NULL), SHS_USAGE);
    assert_int_equal(shs_issued_cert_save(cert, "/nowhere/at/all", "a", true, &err), SHS_IO);
    assert_int_equal(mode_of(dir, "a.key"), 0600);
    assert_int_equal(mode_of(dir, "a.pem"), 0644);
    assert_int_equal(rmdir(dir), 0); /* nothing else is left */

    path = shs_ca_tempfile(ca, root, NULL);
    assert_non_null(path);
    assert_string_equal(shs_ca_tempfile(ca, root, NULL), path);
    assert_int_equal(access(path, R_OK), 0);
    assert_null(shs_ca_tempfile(again = new_ca(NULL), "/nowhere", &err));
    assert_int_equal(err.code, SHS_IO);
    shs_ca_free(again);
    shs_ca_free(ca);
    assert_int_equal(rmdir(root), 0); /* the temporary file went with the authority */
    shs_issued_cert_free(cert);
}

static void loaded(void **state)
{
    struct shs_ca *root = new_ca(NULL), *ca = NULL, *again = NULL;
    struct shs_issued_cert *cert;
    struct shs_error err = {.code = SHS_OK};
    char *text;

    SHS_UNUSED(state);
    assert_int_equal(shs_ca_intermediate(&ca, root, NULL, NULL), SHS_OK);
    /* The root first, and the key in the middle. */
    text = shs__asprintf("%s%s%s", shs_ca_pem(root), shs_ca_key_pem(ca), shs_ca_pem(ca));
    assert_int_equal(shs_ca_load(&again, text, strlen(text), &err), SHS_OK);
    assert_string_equal(shs_ca_root_pem(again), shs_ca_pem(root));
    cert = issue(again, &(struct shs_cert_options){SHS_CERT_FOR("a")});
    assert_int_equal(verdict(root, cert, "a"), X509_V_OK);
    assert_int_equal(shs_ca_load(&again, shs_ca_pem(ca), strlen(shs_ca_pem(ca)), &err), SHS_TLS);
    assert_non_null(strstr(err.text, "no private key"));
    shs__free(text);
    text = shs__asprintf("%s%s", shs_issued_cert_leaf_pem(cert), shs_issued_cert_key_pem(cert));
    shs_ca_free(again);
    again = NULL;
    assert_int_equal(shs_ca_load(&again, text, strlen(text), &err), SHS_TLS);
    assert_non_null(strstr(err.text, "not an authority"));
    shs__free(text);
    text = shs__asprintf("%s%s", shs_ca_key_pem(root), shs_ca_pem(ca));
    assert_int_equal(shs_ca_load(&again, text, strlen(text), &err), SHS_TLS);
    assert_non_null(strstr(err.text, "belongs to none"));
    assert_null(again);
    shs__free(text);
    shs_issued_cert_free(cert);
    shs_ca_free(ca);
    shs_ca_free(root);
}

static void pkcs12(void **state)
{
    struct shs_ca *root = new_ca(NULL), *ca = NULL;
    struct shs_issued_cert *cert;
    EVP_PKEY *key = NULL;
    X509 *leaf = NULL, *same;
    STACK_OF(X509) *chain = NULL;
    const unsigned char *at;
    void *bytes = NULL;
    size_t len = 0;
    PKCS12 *p12;

    SHS_UNUSED(state);
    assert_int_equal(shs_ca_intermediate(&ca, root, NULL, NULL), SHS_OK);
    cert = issue(ca, &(struct shs_cert_options){SHS_CERT_FOR("a")});
    assert_int_equal(shs_issued_cert_pkcs12(cert, "secret", &bytes, &len, NULL), SHS_OK);
    at = bytes;
    p12 = d2i_PKCS12(NULL, &at, (long)len);
    assert_int_equal(PKCS12_parse(p12, "wrong", &key, &leaf, &chain), 0);
    assert_int_equal(PKCS12_parse(p12, "secret", &key, &leaf, &chain), 1);
    same = parse(shs_issued_cert_leaf_pem(cert));
    assert_int_equal(X509_cmp(leaf, same), 0);
    assert_int_equal(X509_check_private_key(leaf, key), 1);
    assert_int_equal(sk_X509_num(chain), 1);
    ERR_clear_error();
    X509_free(same);
    X509_free(leaf);
    EVP_PKEY_free(key);
    sk_X509_pop_free(chain, X509_free);
    PKCS12_free(p12);
    shs_bytes_free(bytes, len);
    shs_issued_cert_free(cert);
    shs_ca_free(ca);
    shs_ca_free(root);
}

/* A handshake in memory: 1, or 0 with what the client thinks of the server's certificate. */
static int handshake(const struct shs_ca *ca, const struct shs_issued_cert *cert, long *result)
{
    SSL_CTX *server_ctx = SSL_CTX_new(TLS_server_method());
    SSL_CTX *client_ctx = SSL_CTX_new(TLS_client_method());
    SSL *server, *client;
    BIO *one, *two;
    int done = 0;

    assert_int_equal(shs_issued_cert_use(cert, server_ctx, NULL), SHS_OK);
    assert_int_equal(shs_ca_trust(ca, client_ctx, NULL), SHS_OK);
    SSL_CTX_set_verify(client_ctx, SSL_VERIFY_PEER, NULL);
    server = SSL_new(server_ctx);
    client = SSL_new(client_ctx);
    assert_int_equal(BIO_new_bio_pair(&one, 0, &two, 0), 1);
    SSL_set_bio(server, one, one);
    SSL_set_bio(client, two, two);
    SSL_set_accept_state(server);
    SSL_set_connect_state(client);
    SSL_set1_host(client, "localhost");
    for (int i = 0; i < 10 && done != 1; i++) {
        done = SSL_do_handshake(client);
        (void)SSL_do_handshake(server);
    }
    *result = SSL_get_verify_result(client);
    ERR_clear_error();
    SSL_free(server);
    SSL_free(client);
    SSL_CTX_free(server_ctx);
    SSL_CTX_free(client_ctx);
    return done == 1;
}

static void used(void **state)
{
    struct shs_ca *root = new_ca(NULL), *ca = NULL;
    const struct {
        const char *fault;
        int done;
        long verdict;
    } all[] = {{NULL, 1, X509_V_OK},
               {"expired", 0, X509_V_ERR_CERT_HAS_EXPIRED},
               {"incomplete-chain", 0, X509_V_ERR_UNABLE_TO_GET_ISSUER_CERT_LOCALLY},
               {"mismatched-key", 0, X509_V_OK}};
    long result;

    SHS_UNUSED(state);
    assert_int_equal(shs_ca_intermediate(&ca, root, NULL, NULL), SHS_OK);
    for (size_t i = 0; i < SHS_ARRAY_LEN(all); i++) {
        struct shs_issued_cert *cert =
            issue(ca, &(struct shs_cert_options){SHS_CERT_FOR("localhost"), .fault = all[i].fault});

        assert_int_equal(handshake(ca, cert, &result), all[i].done);
        assert_int_equal(result, all[i].verdict);
        shs_issued_cert_free(cert);
    }
    shs_ca_free(ca);
    shs_ca_free(root);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(good_keys),
        cmocka_unit_test(a_long_key_is_given_up),
        cmocka_unit_test(good_digests),
        cmocka_unit_test(names),
        cmocka_unit_test(names_that_are_given_twice),
        cmocka_unit_test(subjects),
        cmocka_unit_test(chains),
        cmocka_unit_test(cross_signed),
        cmocka_unit_test(constraints),
        cmocka_unit_test(levels),
        cmocka_unit_test(authority_key_identifiers),
        cmocka_unit_test(common_names),
        cmocka_unit_test(faults),
        cmocka_unit_test(faults_that_cannot_be),
        cmocka_unit_test(usual_digests),
        cmocka_unit_test(serials),
        cmocka_unit_test(extensions),
        cmocka_unit_test(words),
        cmocka_unit_test(words_of_authorities),
        cmocka_unit_test(options_without_a_size),
        cmocka_unit_test(dates),
        cmocka_unit_test(virtual_clock),
        cmocka_unit_test(crls),
        cmocka_unit_test(crl_numbers),
        cmocka_unit_test(ocsp),
        cmocka_unit_test(revocation_words),
        cmocka_unit_test(saved),
        cmocka_unit_test(loaded),
        cmocka_unit_test(pkcs12),
        cmocka_unit_test(used),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
