/* test_tls_pem.c - PEM without silent losses: what is meant is read, everything else is named. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>

#include <openssl/pem.h>

#include "tls/config/pem.h"
#include "tls_lab.h"

#define B "-----BEGIN "
#define E "-----END "
#define D "-----"
/* "hello, world, hello, world, ..." of 48 bytes: a whole line. */
#define LINE "aGVsbG8sIHdvcmxkLCBoZWxsbywgd29ybGQsIGhlbGxvLCB3b3JsZCwgaGVsbG8h"
#define BODY LINE "\n"
#define BLOCK(label) B label D "\n" BODY E label D "\n"
#define BYTES(literal)                                                                             \
    {                                                                                              \
        literal, sizeof(literal) - 1                                                               \
    }

static struct tls_lab lab;

/* How many blocks are read; -1 with *err. */
static int read_all(const char *text, size_t len, struct shs_error *err)
{
    struct shs_tls_pem_block block;
    struct shs_tls_pem pem;
    int count = 0, rc;

    shs__tls_pem_begin(&pem, text, len, "'a.pem'");
    while ((rc = shs__tls_pem_next(&pem, &block, err)) == SHS_OK) {
        count++;
        shs__tls_pem_drop(&block);
        shs__tls_pem_drop(&block);
    }
    return rc == SHS_CLOSED ? count : -1;
}

static void reads(const char *text, int blocks)
{
    struct shs_error err = {.code = SHS_OK};

    if (read_all(text, strlen(text), &err) != blocks)
        fail_msg("%d blocks wanted of:\n%s%s", blocks, text, err.text);
}

static void refuses(const char *text, const char *line, const char *words)
{
    struct shs_error err = {.code = SHS_OK};

    assert_int_equal(read_all(text, strlen(text), &err), -1);
    assert_int_equal(err.code, SHS_TLS);
    if (strstr(err.text, line) == NULL || strstr(err.text, words) == NULL ||
        strstr(err.text, "'a.pem'") == NULL)
        fail_msg("'%s' lacks '%s' or '%s'", err.text, line, words);
}

static void reads_what_is_meant(void **state)
{
    SHS_UNUSED(state);
    reads("", 0);
    reads("hello\n", 0);
    reads(BLOCK("CERTIFICATE"), 1);
    reads(BLOCK("CERTIFICATE") BLOCK("CERTIFICATE"), 2);
    reads(" " BLOCK("CERTIFICATE"), 1);
    reads("\t \xc2\xa0" BLOCK("CERTIFICATE"), 1);
    reads("\xef\xbb\xbf" BLOCK("CERTIFICATE"), 1);
    reads("\xe2\x80\x8b" BLOCK("CERTIFICATE"), 1);
    reads("\xa0" BLOCK("CERTIFICATE"), 1);
    reads("  " B "CERTIFICATE" D "  \r\n  " LINE " \r\n\t" E "CERTIFICATE" D "\t\r\n", 1);
    reads(B "CERTIFICATE" D "\r" LINE "\r" E "CERTIFICATE" D, 1);
    reads(B "CERTIFICATE" D "\nYQ==\n" E "CERTIFICATE" D "\n", 1);
    reads(B "RSA PRIVATE KEY" D "\nProc-Type: 4,ENCRYPTED\nDEK-Info: AES-256-CBC,00\n\n" BODY E
            "RSA PRIVATE KEY" D "\n",
          1);
    reads(BLOCK("X"), 1);
    reads(B "CERTIFICATE" D "\xc2\xa0\n" BODY E "CERTIFICATE" D "\xe3\x80\x80", 1);
    reads(B D "\n" E D "\n", 0); /* of nothing */
    /* Words of a boundary are no boundary where base64 spells them. */
    reads(B "CERTIFICATE" D "\nMIIBxbEgIn+/\nbegin/CERTIFICATE/END/==\n" E "CERTIFICATE" D "\n", 1);
    reads(B "X509 CRL" D "\r\n  BEGIN+END+KEYS==\t\r\n" E "X509 CRL" D "\r\n", 1);
    /* What openssl writes beside certificates is not a loss. */
    reads(
        "Bag Attributes\n    localKeyID: 01 02 \nsubject=CN = x\nissuer=CN = y\n"
        "Certificate:\n    Data:\n        Version: 3 (0x2)\n            "
        "04:a0:11:22:33:44:55:66:77:88:99:aa:bb:cc:dd:ee\n# --- the certificate of my friend ---\n"
        "SHA256 Fingerprint=AB:CD\n" BLOCK("CERTIFICATE") "-- \nregards\n",
        1);
}

/* A label has 64 bytes at most; and of base64 that is alone, 48 in a line are lost. */
static void bounds_are_exact(void **state)
{
    char label[66], text[300];

    SHS_UNUSED(state);
    memset(label, 'L', sizeof label - 1);
    label[65] = '\0';
    for (size_t at = 0; at < 2; at++) {
        snprintf(text, sizeof text, B "%s" D "\n" BODY E "%s" D "\n", label + at, label + at);
        if (at == 1)
            reads(text, 1);
        else
            refuses(text, "Line 2 ", "base64");
    }
    snprintf(text, sizeof text, "%.48s\n", LINE);
    refuses(text, "Line 1 ", "base64");
    snprintf(text, sizeof text, "%.47s\n", LINE);
    reads(text, 0);
}

static void names_what_is_lost(void **state)
{
    SHS_UNUSED(state);
    refuses("x" BLOCK("CERTIFICATE"), "Line 1 ", "damaged BEGIN");
    refuses("\n\n-" BLOCK("CERTIFICATE"), "Line 3 ", "damaged BEGIN");
    refuses("----BEGIN CERTIFICATE-----\n" BODY E "CERTIFICATE" D "\n", "Line 1 ", "damaged BEGIN");
    refuses(B "CERTIFICATE----\n" BODY E "CERTIFICATE" D "\n", "Line 1 ", "damaged BEGIN");
    refuses(B "CERTIFICATE\n" BODY E "CERTIFICATE" D "\n", "Line 1 ", "damaged BEGIN");
    refuses("-----begin certificate-----\n" BODY E "CERTIFICATE" D "\n", "Line 1 ", "damaged");
    refuses("\xe2\x80\x94\xe2\x80\x94-BEGIN CERTIFICATE-----\n" BODY E "CERTIFICATE" D "\n",
            "Line 1 ", "damaged");
    refuses("-----BEGN CERTIFICATE-----\n" BODY E "CERTIFICATE" D "\n", "Line 2 ", "base64");
    refuses("-----BEGN CERTIFICATE-----\nYQ==\n" E "CERTIFICATE" D "\n", "Line 3 ",
            "no BEGIN line comes before");
    refuses(BODY E "CERTIFICATE" D "\n" BLOCK("CERTIFICATE"), "Line 1 ", "base64");
    refuses(BLOCK("CERTIFICATE") BODY, "Line 4 ", "base64");
    refuses("\xe2\x80\x93"
            "BEGIN CERTIFICATE\n",
            "Line 1 ", "damaged"); /* one dash, of each kind */
    refuses("\xe2\x80\x94"
            "BEGIN CERTIFICATE\n",
            "Line 1 ", "damaged");
    refuses("\xe2\x80\x90"
            "BEGIN CERTIFICATE\n",
            "Line 1 ", "damaged");
    reads("BEGIN CERTIFICATE\n", 0);
    refuses("abc+" BODY, "Line 1 ", "base64");
    refuses("abc/" BODY, "Line 1 ", "base64");
    refuses("abc=" BODY, "Line 1 ", "base64");
    reads("abc:" BODY, 0);
}

/* Nobody sees a block in DER or in UTF-16; beside one in PEM it would be lost. */
static void names_what_is_no_text(void **state)
{
    static const struct {
        struct shs_str text;
        const char *line; /* NULL: it is read */
        int blocks;
    } cases[] = {
        {BYTES(BLOCK("X509 CRL") "0\x82\x01\x02\x02\x01\x01"), "Line 4 ", 0},
        {BYTES("0\x82\x01\x02\n" BLOCK("X509 CRL")), "Line 1 ", 0},
        {BYTES(BLOCK("X509 CRL") "\xff\xfe-\0-\0-\0-\0-\0B\0E\0G\0I\0N\0 \0"), "Line 4 ", 0},
        {BYTES(BLOCK("X509 CRL") "\n\0" BLOCK("X509 CRL")), "Line 5 ", 0},
        {BYTES(BLOCK("X509 CRL") "\x1a"), NULL, 1},
        {BYTES(BLOCK("X509 CRL") "\f\v\t\x7f caf\xc3\xa9 \xe9\n"), NULL, 1},
        {BYTES("0\x82\x01\x02\x02\x01\x01"), NULL, 0}, /* no block: said otherwise */
    };

    SHS_UNUSED(state);
    for (size_t i = 0; i < SHS_ARRAY_LEN(cases); i++) {
        struct shs_error err = {.code = SHS_OK};
        int count = read_all(cases[i].text.ptr, cases[i].text.len, &err);

        if (count != (cases[i].line == NULL ? cases[i].blocks : -1))
            fail_msg("case %zu: %d %s", i, count, err.text);
        if (cases[i].line != NULL &&
            (strstr(err.text, cases[i].line) == NULL || strstr(err.text, "not text") == NULL))
            fail_msg("case %zu: %s", i, err.text);
    }
}

static void tells_der_from_text(void **state)
{
    static const struct {
        struct shs_str bytes;
        bool is_der;
    } cases[] = {{BYTES("0\x82\x01\x02"), true},
                 {BYTES("0\x81\x80"), true},
                 {BYTES("0\x80"), true},
                 {BYTES("1\x82\x01\x02"), false},
                 {BYTES("0 s:CN = localhost\n"), false},
                 {BYTES("0"), false},
                 {BYTES(""), false}};

    SHS_UNUSED(state);
    for (size_t i = 0; i < SHS_ARRAY_LEN(cases); i++) {
        struct shs_buf bytes;

        shs__buf_init(&bytes, 64);
        assert_int_equal(shs__buf_append_str(&bytes, cases[i].bytes), SHS_OK);
        assert_int_equal(shs__tls_is_der(&bytes), cases[i].is_der);
        if (bytes.len > 1) {
            bytes.len = 1; /* whatever is behind it */
            assert_false(shs__tls_is_der(&bytes));
        }
        shs__buf_free(&bytes);
    }
}

static void names_what_is_damaged(void **state)
{
    SHS_UNUSED(state);
    refuses(B "CERTIFICATE" D "\n", "on line 1 ", "no END");
    refuses(B "CERTIFICATE" D "\n" BODY, "on line 1 ", "no END");
    refuses("\n" B "CERTIFICATE" D "\n" BODY BLOCK("CERTIFICATE"), "on line 2 ", "no END");
    refuses(B "CERTIFICATE" D "\n" BODY E "X509 CRL" D "\n", "on line 1 ", "names something else");
    refuses(B "CERTIFICATE" D "\n" BODY "----END CERTIFICATE-----\n", "line 3", "not base64");
    refuses(B "CERTIFICATE" D "\n" E "CERTIFICATE" D "\n", "on line 1 ", "empty");
    refuses(B "CERTIFICATE" D "\n" BODY D "\n", "on line 1 ", "no END");
    refuses(B "CERTIFICATE" D "\n" BODY "----BEGIN CERTIFICATE-----\n", "on line 1 ", "no END");
    refuses(B "CERTIFICATE" D "\nYQ\n" E "CERTIFICATE" D "\n", "on line 1 ", "cut off");
    refuses(B "CERTIFICATE" D "\nYQ==YQ==\n" E "CERTIFICATE" D "\n", "line 2", "after the '='");
    refuses(B "CERTIFICATE" D "\nY===\n" E "CERTIFICATE" D "\n", "line 2", "too many");
    refuses(B "CERTIFICATE" D "\nY Q=\n" E "CERTIFICATE" D "\n", "line 2", "not base64");
    refuses(B "RSA PRIVATE KEY" D "\nProc-Type: 4,ENCRYPTED\n", "on line 1 ", "no END");
}

/* The same bytes as OpenSSL's reader, and all of a certificate. */
static void agrees_with_openssl(void **state)
{
    struct shs_tls_pem_block block;
    struct shs_tls_pem pem;
    struct shs_error err = {.code = SHS_OK};
    struct shs_buf text;
    BIO *trusted = BIO_new(BIO_s_mem());
    X509 *cert = NULL;
    char *bytes;
    long len;

    SHS_UNUSED(state);
    shs__tls_pem_begin(&pem, lab.opt.cert_pem, lab.opt.cert_pem_len, "'a.pem'");
    assert_int_equal(shs__tls_pem_next(&pem, &block, &err), SHS_OK);
    assert_true(shs__tls_pem_is_certificate(&block));
    assert_false(shs__tls_pem_is_key(&block));
    assert_int_equal(shs__tls_pem_certificate(&cert, &pem, &block, &err), SHS_OK);
    assert_int_equal(X509_cmp(cert, lab.leaf), 0);
    X509_free(cert);
    block.len--;
    assert_int_equal(shs__tls_pem_certificate(&cert, &pem, &block, &err), SHS_TLS);
    assert_non_null(strstr(err.text, "malformed"));
    assert_null(cert);
    shs__tls_pem_drop(&block);
    assert_int_equal(shs__tls_pem_next(&pem, &block, &err), SHS_CLOSED);

    shs__tls_pem_begin(&pem, lab.opt.key_pem, lab.opt.key_pem_len, "'k.pem'");
    assert_int_equal(shs__tls_pem_next(&pem, &block, &err), SHS_OK);
    assert_true(shs__tls_pem_is_key(&block));
    shs__buf_init(&text, 65536);
    assert_int_equal(shs__tls_pem_text(&block, &text), SHS_OK);
    assert_int_equal(text.len, lab.opt.key_pem_len);
    assert_memory_equal(shs__buf_head(&text), lab.opt.key_pem, text.len);
    shs__buf_free(&text);
    shs__tls_pem_drop(&block);

    assert_int_equal(PEM_write_bio_X509_AUX(trusted, lab.leaf), 1);
    len = BIO_get_mem_data(trusted, &bytes);
    shs__tls_pem_begin(&pem, bytes, (size_t)len, "'t.pem'");
    assert_int_equal(shs__tls_pem_next(&pem, &block, &err), SHS_OK);
    assert_true(shs__tls_pem_is(&block, "TRUSTED CERTIFICATE"));
    assert_true(shs__tls_pem_is_certificate(&block));
    block.label = SHS_STR("X509 CERTIFICATE"); /* as it was called once */
    assert_true(shs__tls_pem_is_certificate(&block));
    block.label = SHS_STR("CERTIFICATE REQUEST");
    assert_false(shs__tls_pem_is_certificate(&block));
    assert_int_equal(shs__tls_pem_certificate(&cert, &pem, &block, &err), SHS_OK);
    assert_int_equal(X509_cmp(cert, lab.leaf), 0);
    X509_free(cert);
    shs__tls_pem_drop(&block);
    BIO_free(trusted);
}

static void strays_have_a_remedy(void **state)
{
    static const struct {
        const char *text, *remedy;
    } cases[] = {{BLOCK("PKCS7"), "openssl pkcs7 -print_certs"},
                 {BLOCK("CMS"), "openssl pkcs7 -print_certs"},
                 {BLOCK("X509 CRL"), "a file of their own"},
                 {BLOCK("CERTIFICATE REQUEST"), "have its CA sign it"},
                 {BLOCK("NONSENSE"), "Take it out"}};

    SHS_UNUSED(state);
    for (size_t i = 0; i < SHS_ARRAY_LEN(cases); i++) {
        struct shs_tls_pem_block block;
        struct shs_tls_pem pem;
        struct shs_error err;

        shs__tls_pem_begin(&pem, cases[i].text, strlen(cases[i].text), "'a.pem'");
        assert_int_equal(shs__tls_pem_next(&pem, &block, &err), SHS_OK);
        assert_int_equal(shs__tls_pem_stray(&pem, &block, "client CA", &err), SHS_TLS);
        assert_non_null(strstr(err.text, cases[i].remedy));
        assert_non_null(strstr(err.text, "line 1 of 'a.pem'"));
        shs__tls_pem_drop(&block);
    }
}

/* Whatever bytes come, it ends, and reads nothing beyond them. */
static void any_bytes_end(void **state)
{
    static const char seed[] = "  " BLOCK("CERTIFICATE") "x\n" BLOCK("X509 CRL");
    size_t len = sizeof seed - 1;
    uint32_t random = 1;

    SHS_UNUSED(state);
    for (int round = 0; round < 20000; round++) {
        char *text = shs__malloc(len);
        struct shs_error err;
        size_t cut;

        memcpy(text, seed, len);
        for (int i = 0; i < 3; i++) {
            random = random * 1664525u + 1013904223u;
            text[(random >> 8) % len] = (char)(random >> 24);
        }
        cut = random % (len + 1);
        (void)read_all(text, cut, &err);
        shs__free(text);
    }
}

static int open_lab(void **state)
{
    SHS_UNUSED(state);
    lab_open(&lab, SHS_KEY_P256);
    return 0;
}

static int close_lab(void **state)
{
    SHS_UNUSED(state);
    lab_close(&lab);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(reads_what_is_meant),   cmocka_unit_test(names_what_is_lost),
        cmocka_unit_test(names_what_is_no_text), cmocka_unit_test(tells_der_from_text),
        cmocka_unit_test(names_what_is_damaged), cmocka_unit_test(agrees_with_openssl),
        cmocka_unit_test(bounds_are_exact),      cmocka_unit_test(strays_have_a_remedy),
        cmocka_unit_test(any_bytes_end),
    };

    return cmocka_run_group_tests(tests, open_lab, close_lab);
}
