#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include <openssl/err.h>

#include "tls_lab.h"

#include <shs/digest.h>

/* The files of a test, in a directory of its own. */
struct files {
    struct tls_lab lab;
    char dir[64];
    char cert[96], key[96], both[96], locked[96], locked_both[96], other[96], empty[96], junk[96],
        bad[96], cut[96], der[96], missing[96], chain[96], swapped_chain[96], bad_key[96];
    struct shs_options opt;
    int asked;
    const char *password;
};

static void put_file(const char *path, const void *bytes, size_t len)
{
    int fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);

    assert_true(fd >= 0);
    assert_int_equal(write(fd, bytes, len), len);
    close(fd);
}

static void put_pem(const char *path, const struct shs_buf *a, const struct shs_buf *b)
{
    struct shs_buf all;

    shs__buf_init(&all, 65536);
    assert_int_equal(shs__buf_append(&all, shs__buf_head(a), a->len), SHS_OK);
    if (b != NULL)
        assert_int_equal(shs__buf_append(&all, shs__buf_head(b), b->len), SHS_OK);
    put_file(path, shs__buf_head(&all), all.len);
    shs__buf_free(&all);
}

static void put_variants(struct files *f)
{
    struct shs_buf locked, other, ca;
    EVP_PKEY *key = NULL;
    unsigned char *der = NULL;
    char *text;
    int len;

    shs__buf_init(&locked, 65536);
    shs__buf_init(&other, 65536);
    shs__buf_init(&ca, 65536);
    assert_int_equal(shs__mint_key_pem(&locked, f->lab.key, "open sesame", NULL), SHS_OK);
    assert_int_equal(shs__mint_key(&key, SHS_KEY_P256, NULL), SHS_OK);
    assert_int_equal(shs__mint_key_pem(&other, key, NULL, NULL), SHS_OK);
    assert_int_equal(shs__mint_cert_pem(&ca, f->lab.ca, NULL), SHS_OK);
    EVP_PKEY_free(key);
    put_pem(f->locked, &locked, NULL);
    put_pem(f->locked_both, &f->lab.cert_pem, &locked);
    put_pem(f->other, &other, NULL);
    put_pem(f->chain, &f->lab.cert_pem, &ca);
    put_pem(f->swapped_chain, &ca, &f->lab.cert_pem);
    len = i2d_X509(f->lab.leaf, &der);
    assert_true(len > 0);
    put_file(f->der, der, (size_t)len);
    OPENSSL_free(der);
    /* base64 that is not a certificate, and a certificate cut in its middle */
    text = shs__strndup(shs__buf_head(&f->lab.cert_pem), f->lab.cert_pem.len);
    assert_non_null(text);
    put_file(f->cut, text, f->lab.cert_pem.len / 2);
    memcpy(strchr(text, '\n') + 1, "AAAABBBBCCCC", 12);
    put_file(f->bad, text, f->lab.cert_pem.len);
    shs__free(text);
    text = shs__strndup(shs__buf_head(&f->lab.key_pem), f->lab.key_pem.len);
    assert_non_null(text);
    memcpy(strchr(text, '\n') + 1, "AAAABBBBCCCC", 12);
    put_file(f->bad_key, text, f->lab.key_pem.len);
    shs__free(text);
    shs__buf_free(&locked);
    shs__buf_free(&other);
    shs__buf_free(&ca);
}

static int give_password(void *ctx, char *buf, size_t cap)
{
    struct files *f = ctx;
    size_t len = f->password == NULL ? 0 : strlen(f->password);

    f->asked++;
    if (f->password == NULL || len > cap)
        return -1;
    memcpy(buf, f->password, len);
    return (int)len;
}

static int make_files(void **state)
{
    struct files *f = shs__calloc(1, sizeof *f);
    struct {
        char *path;
        const char *name;
    } paths[] = {{f->cert, "cert.pem"},
                 {f->key, "key.pem"},
                 {f->both, "both.pem"},
                 {f->locked, "locked.pem"},
                 {f->locked_both, "locked_both.pem"},
                 {f->other, "other.pem"},
                 {f->empty, "empty.pem"},
                 {f->junk, "junk.pem"},
                 {f->bad, "bad.pem"},
                 {f->cut, "cut.pem"},
                 {f->der, "cert.der"},
                 {f->missing, "missing.pem"},
                 {f->chain, "chain.pem"},
                 {f->swapped_chain, "swapped_chain.pem"},
                 {f->bad_key, "bad_key.pem"}};
    size_t i;

    assert_non_null(f);
    lab_open(&f->lab, SHS_KEY_P256);
    snprintf(f->dir, sizeof f->dir, "/tmp/shs-test-XXXXXX");
    assert_non_null(mkdtemp(f->dir));
    for (i = 0; i < SHS_ARRAY_LEN(paths); i++)
        snprintf(paths[i].path, sizeof f->cert, "%s/%s", f->dir, paths[i].name);
    put_pem(f->cert, &f->lab.cert_pem, NULL);
    put_pem(f->key, &f->lab.key_pem, NULL);
    put_pem(f->both, &f->lab.key_pem, &f->lab.cert_pem);
    put_file(f->empty, "", 0);
    put_file(f->junk, "hello\n", 6);
    put_variants(f);
    *state = f;
    return 0;
}

static int remove_files(void **state)
{
    struct files *f = *state;
    const char *all[] = {f->cert,  f->key,   f->both,          f->locked, f->locked_both,
                         f->other, f->empty, f->junk,          f->bad,    f->cut,
                         f->der,   f->chain, f->swapped_chain, f->bad_key};
    size_t i;

    for (i = 0; i < SHS_ARRAY_LEN(all); i++)
        unlink(all[i]);
    rmdir(f->dir);
    lab_close(&f->lab);
    shs__free(f);
    return 0;
}

static void name_files(struct files *f, const char *cert, const char *key, const char *password)
{
    shs_options_init(&f->opt);
    f->opt.certfile = cert;
    f->opt.keyfile = key;
    f->opt.password = give_password;
    f->opt.password_ctx = f;
    f->password = password;
    f->asked = 0;
}

static void loads(struct files *f, const char *cert, const char *key, const char *password)
{
    struct shs_tls_context *context = NULL;
    struct shs_error err = {.code = SHS_OK};

    name_files(f, cert, key, password);
    if (shs__tls_context_new(&context, &f->opt, &err) != SHS_OK)
        fail_msg("%s", err.text);
    assert_int_equal(ERR_peek_error(), 0);
    shs__tls_context_free(context);
}

/* It is refused with that code, and the sentence has both words (a file, a reason) in it. */
static void refused(struct files *f, const char *cert, const char *key, const char *password,
                    int code, const char *word, const char *reason)
{
    struct shs_tls_context *context = NULL;
    struct shs_error err = {.code = SHS_OK};

    name_files(f, cert, key, password);
    assert_int_equal(shs__tls_context_new(&context, &f->opt, &err), code);
    assert_null(context);
    assert_int_equal(err.code, code);
    if (strstr(err.text, word) == NULL || strstr(err.text, reason) == NULL)
        fail_msg("'%s' lacks '%s' or '%s'", err.text, word, reason);
    assert_int_equal(ERR_peek_error(), 0);
    assert_int_equal(shs__tls_context_new(&context, &f->opt, NULL), code);
}

static void accepts_what_python_accepts(void **state) /* H4 */
{
    struct files *f = *state;

    loads(f, f->cert, f->key, NULL);
    loads(f, f->both, NULL, NULL);
    loads(f, f->both, f->both, NULL);
    loads(f, f->locked_both, NULL, "open sesame");
    assert_int_equal(f->asked, 1); /* once, whatever OpenSSL tries */
    loads(f, f->cert, f->locked, "open sesame");
    loads(f, f->chain, f->key, NULL);
    loads(f, f->cert, f->key, "not needed");
    assert_int_equal(f->asked, 0);
}

static void refuses_with_a_sentence(void **state) /* H5 */
{
    struct files *f = *state;
    char far[256];

    refused(f, NULL, NULL, NULL, SHS_USAGE, "opt.certfile", "needs a certificate");
    refused(f, f->missing, f->key, NULL, SHS_TLS, "missing.pem", "No such file");
    snprintf(far, sizeof far, "%s/%0150d/%s", f->dir, 0, "far.pem");
    refused(f, far, f->key, NULL, SHS_TLS, "00/far.pem': ", "No such file");
    refused(f, f->cert, f->missing, NULL, SHS_TLS, "missing.pem", "No such file");
    refused(f, f->dir, f->key, NULL, SHS_TLS, f->dir, "Is a directory");
    refused(f, f->empty, f->key, NULL, SHS_TLS, "empty.pem", "is empty");
    refused(f, f->cert, f->empty, NULL, SHS_TLS, "empty.pem", "is empty");
    refused(f, f->junk, f->key, NULL, SHS_TLS, "junk.pem", "not PEM");
    refused(f, f->cert, f->junk, NULL, SHS_TLS, "junk.pem", "not PEM");
    refused(f, f->der, f->key, NULL, SHS_TLS, "cert.der", "DER");
    refused(f, f->bad, f->key, NULL, SHS_TLS, "bad.pem", "malformed");
    refused(f, f->cut, f->key, NULL, SHS_TLS, "cut.pem", "malformed");
    refused(f, f->cert, NULL, NULL, SHS_TLS, "cert.pem", "no private key");
    refused(f, f->key, NULL, NULL, SHS_TLS, "key.pem", "no certificate");
    refused(f, f->key, f->key, NULL, SHS_TLS, "key.pem", "no certificate");
    refused(f, f->cert, f->cert, NULL, SHS_TLS, "cert.pem", "no private key");
    refused(f, f->key, f->cert, NULL, SHS_TLS, "key.pem", "swapped");
    refused(f, f->locked, f->cert, NULL, SHS_TLS, "locked.pem", "swapped");
    refused(f, f->cert, f->bad_key, NULL, SHS_TLS, "bad_key.pem", "malformed");
    refused(f, f->cert, f->bad_key, "password", SHS_TLS, "bad_key.pem", "malformed");
    refused(f, f->cert, f->other, NULL, SHS_TLS, "other.pem", "does not belong");
    refused(f, f->swapped_chain, f->key, NULL, SHS_TLS, "swapped_chain.pem", "wrong order");
    refused(f, f->cert, f->locked, "wrong", SHS_TLS, "locked.pem", "password does not open");
    refused(f, f->cert, f->locked, "", SHS_TLS, "locked.pem", "password does not open");
    refused(f, f->cert, f->locked, NULL, SHS_TLS, "locked.pem", "no password");
    refused(f, f->locked_both, NULL, "wrong", SHS_TLS, "locked_both.pem", "password");
}

static void refuses_what_is_too_long(void **state)
{
    struct files *f = *state;
    struct shs_tls_context *context = NULL;
    struct shs_error err;
    char *large = shs__calloc(1, (size_t)2 << 20);

    assert_non_null(large);
    memset(large, '-', (size_t)2 << 20);
    assert_int_equal(unlink(f->other), 0);
    put_file(f->other, large, (size_t)2 << 20);
    refused(f, f->other, f->key, NULL, SHS_TLS, "other.pem", "longer than 1 MiB");
    f->opt = f->lab.opt;
    f->opt.cert_pem = large;
    f->opt.cert_pem_len = (size_t)2 << 20;
    assert_true(shs__tls_context_new(&context, &f->opt, &err) < 0);
    assert_non_null(strstr(err.text, "opt.cert_pem"));
    shs__free(large);
}

static void refuses_an_unreadable_file(void **state)
{
    struct files *f = *state;

    if (geteuid() == 0) /* root may read everything */
        skip();
    assert_int_equal(chmod(f->other, 0), 0);
    refused(f, f->cert, f->other, NULL, SHS_TLS, "other.pem", "Permission denied");
}

static void no_callback_is_no_password(void **state)
{
    struct files *f = *state;
    struct shs_tls_context *context = NULL;
    struct shs_error err;

    name_files(f, f->cert, f->locked, NULL);
    f->opt.password = NULL;
    assert_int_equal(shs__tls_context_new(&context, &f->opt, &err), SHS_TLS);
    assert_non_null(strstr(err.text, "encrypted"));
}

static void memory_and_file_are_one_too_many(void **state)
{
    struct files *f = *state;
    struct shs_tls_context *context = NULL;
    struct shs_error err;

    f->opt = f->lab.opt;
    f->opt.certfile = f->cert;
    assert_int_equal(shs__tls_context_new(&context, &f->opt, &err), SHS_USAGE);
    f->opt.certfile = NULL;
    f->opt.key_pem = "x";
    f->opt.key_pem_len = 1;
    assert_int_equal(shs__tls_context_new(&context, &f->opt, &err), SHS_TLS);
    assert_non_null(strstr(err.text, "opt.key_pem"));
    f->opt.key_pem_len = 0;
    assert_int_equal(shs__tls_context_new(&context, &f->opt, &err), SHS_TLS);
    assert_non_null(strstr(err.text, "is empty"));
}

static void policy_is_set(void **state)
{
    struct files *f = *state;
    struct shs_tls_context *context = lab_server(&f->lab);
    SSL_CTX *ctx = context->ssl_ctx;

    assert_int_equal(SSL_CTX_get_min_proto_version(ctx), TLS1_2_VERSION);
    assert_int_equal(SSL_CTX_get_num_tickets(ctx), 1);
    assert_int_equal(SSL_CTX_get_session_cache_mode(ctx), SSL_SESS_CACHE_OFF);
    assert_true((SSL_CTX_get_options(ctx) & SSL_OP_NO_RENEGOTIATION) != 0);
    assert_true((SSL_CTX_get_options(ctx) & SSL_OP_NO_COMPRESSION) != 0);
    assert_true((SSL_CTX_get_options(ctx) & SSL_OP_IGNORE_UNEXPECTED_EOF) == 0);
    assert_int_equal(SSL_CTX_get_max_early_data(ctx), 0);
    assert_true(SSL_CTX_get_security_level(ctx) >= 2);
    assert_ptr_equal(shs__tls_context_ref(context), context);
    shs__tls_context_free(context);
    shs__tls_context_free(context);
    shs__tls_context_free(NULL);
}

static void advice_is_given(void **state)
{
    struct files *f = *state;
    struct shs_tls_context *context = lab_server(&f->lab);
    struct shs_error note;
    int64_t now = (int64_t)time(NULL);

    assert_false(shs__tls_context_advice(context, 0, now, &note));
    assert_true(shs__tls_context_advice(context, 0, now + 80 * LAB_DAY, &note));
    assert_non_null(strstr(note.text, "expires in"));
    assert_true(shs__tls_context_advice(context, 0, now + 91 * LAB_DAY, &note));
    assert_non_null(strstr(note.text, "has expired"));
    assert_true(shs__tls_context_advice(context, 0, now - 10 * LAB_DAY, &note));
    assert_non_null(strstr(note.text, "not valid yet"));
    assert_false(shs__tls_context_advice(context, 1, now - 10 * LAB_DAY, &note));
    shs__tls_context_free(context);
}

/* Puts an RSA key of so many bits, and a certificate for it, in the place of the lab's. */
static void use_rsa(struct tls_lab *lab, unsigned bits)
{
    int64_t now = (int64_t)time(NULL);

    EVP_PKEY_free(lab->key);
    X509_free(lab->leaf);
    lab->key = EVP_RSA_gen(bits);
    assert_non_null(lab->key);
    lab->leaf = lab_leaf(lab, lab->key, now - LAB_DAY, now + 90 * LAB_DAY);
    shs__buf_consume(&lab->cert_pem, lab->cert_pem.len);
    shs__buf_consume(&lab->key_pem, lab->key_pem.len);
    assert_int_equal(shs__mint_cert_pem(&lab->cert_pem, lab->leaf, NULL), SHS_OK);
    assert_int_equal(shs__mint_key_pem(&lab->key_pem, lab->key, NULL, NULL), SHS_OK);
    lab->opt.cert_pem = shs__buf_head(&lab->cert_pem);
    lab->opt.cert_pem_len = lab->cert_pem.len;
    lab->opt.key_pem = shs__buf_head(&lab->key_pem);
    lab->opt.key_pem_len = lab->key_pem.len;
}

static void large_rsa_keys_are_advised_against(void **state)
{
    struct tls_lab lab;
    struct shs_tls_context *context;
    struct shs_error note;
    int64_t now = (int64_t)time(NULL);

    SHS_UNUSED(state);
    lab_open(&lab, SHS_KEY_P256);
    use_rsa(&lab, 3080); /* 4096 takes seconds to make */
    context = lab_server(&lab);
    assert_true(shs__tls_context_advice(context, 0, now, &note));
    assert_non_null(strstr(note.text, "3080"));
    assert_false(shs__tls_context_advice(context, 1, now, &note));
    assert_true(shs__tls_context_advice(context, 1, now + 100 * LAB_DAY, &note));
    assert_non_null(strstr(note.text, "3080"));
    shs__tls_context_free(context);
    lab_close(&lab);
}

static void weak_keys_are_refused(void **state)
{
    struct tls_lab lab;
    struct shs_tls_context *context = NULL;
    struct shs_error err;

    SHS_UNUSED(state);
    lab_open(&lab, SHS_KEY_P256);
    use_rsa(&lab, 1024);
    assert_int_equal(shs__tls_context_new(&context, &lab.opt, &err), SHS_TLS);
    assert_non_null(strstr(err.text, "2048"));
    lab_close(&lab);
}

static void sha256_matches_fips_180(void **state)
{
    static const unsigned char abc[SHS_SHA256_LEN] = {
        0xba, 0x78, 0x16, 0xbf, 0x8f, 0x01, 0xcf, 0xea, 0x41, 0x41, 0x40,
        0xde, 0x5d, 0xae, 0x22, 0x23, 0xb0, 0x03, 0x61, 0xa3, 0x96, 0x17,
        0x7a, 0x9c, 0xb4, 0x10, 0xff, 0x61, 0xf2, 0x00, 0x15, 0xad};
    static const unsigned char empty[4] = {0xe3, 0xb0, 0xc4, 0x42};
    unsigned char out[SHS_SHA256_LEN];
    struct shs_sha256 *sha = NULL;
    int i;

    SHS_UNUSED(state);
    assert_int_equal(shs_sha256_new(&sha), SHS_OK);
    for (i = 0; i < 2; i++) { /* and again, after final */
        assert_int_equal(shs_sha256_update(sha, "a", 1), SHS_OK);
        assert_int_equal(shs_sha256_update(sha, "bc", 2), SHS_OK);
        assert_int_equal(shs_sha256_final(sha, out), SHS_OK);
        assert_memory_equal(out, abc, sizeof out);
    }
    assert_int_equal(shs_sha256_final(sha, out), SHS_OK);
    assert_memory_equal(out, empty, sizeof empty);
    shs_sha256_free(sha);
    shs_sha256_free(NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(accepts_what_python_accepts, make_files, remove_files),
        cmocka_unit_test_setup_teardown(refuses_with_a_sentence, make_files, remove_files),
        cmocka_unit_test_setup_teardown(refuses_what_is_too_long, make_files, remove_files),
        cmocka_unit_test_setup_teardown(refuses_an_unreadable_file, make_files, remove_files),
        cmocka_unit_test_setup_teardown(no_callback_is_no_password, make_files, remove_files),
        cmocka_unit_test_setup_teardown(memory_and_file_are_one_too_many, make_files, remove_files),
        cmocka_unit_test_setup_teardown(policy_is_set, make_files, remove_files),
        cmocka_unit_test_setup_teardown(advice_is_given, make_files, remove_files),
        cmocka_unit_test(large_rsa_keys_are_advised_against),
        cmocka_unit_test(weak_keys_are_refused),
        cmocka_unit_test(sha256_matches_fips_180),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
