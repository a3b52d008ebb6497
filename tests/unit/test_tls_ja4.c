#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "base/base.h"
#include "tls/wire/ja4.h"

/* The example of FoxIO's specification: Chrome, with GREASE. */
#define PUBLISHED "t13d1516h2_8daaf6152771_e5627efa2ab1"

static const unsigned suites[] = {0x5a5a, 0x1301, 0x1302, 0x1303, 0xc02b, 0xc02f, 0xc02c, 0xc030,
                                  0xcca9, 0xcca8, 0xc013, 0xc014, 0x009c, 0x009d, 0x002f, 0x0035};
static const unsigned signatures[] = {0x0403, 0x0804, 0x0401, 0x0503,
                                      0x0805, 0x0501, 0x0806, 0x0601};
static const unsigned extensions[] = {0x1a1a, 0x0000, 0x0017, 0xff01, 0x000a, 0x000b,
                                      0x0023, 0x0010, 0x0005, 0x000d, 0x0012, 0x0033,
                                      0x002d, 0x002b, 0x001b, 0x4469, 0x3a3a, 0x0015};

static void put16(struct shs_buf *b, unsigned value)
{
    unsigned char bytes[2] = {(unsigned char)(value >> 8), (unsigned char)value};

    assert_int_equal(shs__buf_append(b, bytes, 2), SHS_OK);
}

static void put(struct shs_buf *b, const char *bytes, size_t len)
{
    assert_int_equal(shs__buf_append(b, bytes, len), SHS_OK);
}

static void put_list(struct shs_buf *b, const unsigned *list, size_t count)
{
    put16(b, (unsigned)count * 2);
    for (size_t i = 0; i < count; i++)
        put16(b, list[i]);
}

static void put_extension(struct shs_buf *b, unsigned type, const char *alpn)
{
    static const char versions[] = "\x06\xfa\xfa\x03\x04\x03\x03";
    static const char name[] = "\0\x0c\0\0\x09localhost";
    size_t len = alpn == NULL ? 0 : strlen(alpn);

    put16(b, type);
    switch (type) {
    case 0x0000:
        put16(b, sizeof name - 1);
        put(b, name, sizeof name - 1);
        return;
    case 0x002b:
        put16(b, sizeof versions - 1);
        put(b, versions, sizeof versions - 1);
        return;
    case 0x0010:
        put16(b, (unsigned)len + 3);
        put16(b, (unsigned)len + 1);
        put(b, (const char[]){(char)len}, 1);
        put(b, alpn, len);
        return;
    case 0x000d:
        put16(b, sizeof signatures / sizeof signatures[0] * 2 + 2);
        put_list(b, signatures, SHS_ARRAY_LEN(signatures));
        return;
    default:
        put16(b, 0);
    }
}

static void make(struct shs_buf *hello, const char *alpn, bool with_extensions)
{
    static const char begin[38] = "\x01\0\0\0\x03\x03";
    struct shs_buf list;

    shs__buf_init(hello, 65536);
    shs__buf_init(&list, 65536);
    put(hello, begin, sizeof begin);
    put(hello, "\0", 1);
    put_list(hello, suites, SHS_ARRAY_LEN(suites));
    put(hello, "\x01\0", 2);
    for (size_t i = 0; with_extensions && i < SHS_ARRAY_LEN(extensions); i++) {
        if (extensions[i] != 0x0010 || alpn != NULL)
            put_extension(&list, extensions[i], alpn);
    }
    if (with_extensions) {
        put16(hello, (unsigned)list.len);
        put(hello, shs__buf_head(&list), list.len);
    }
    shs__buf_free(&list);
}

static void check(const struct shs_buf *hello, const char *want)
{
    char got[SHS_JA4_LEN + 1] = "";

    assert_true(shs__ja4((const unsigned char *)shs__buf_head(hello), hello->len, got));
    assert_string_equal(got, want);
}

static void test_published(void **state)
{
    struct shs_buf hello;

    SHS_UNUSED(state);
    make(&hello, "h2", true);
    check(&hello, PUBLISHED);
    shs__buf_free(&hello);
}

static void test_alpn(void **state)
{
    struct shs_buf hello;

    SHS_UNUSED(state);
    make(&hello, "http/1.1", true);
    check(&hello, "t13d1516h1_8daaf6152771_e5627efa2ab1");
    shs__buf_free(&hello);
    make(&hello, NULL, true);
    check(&hello, "t13d151500_8daaf6152771_e5627efa2ab1");
    shs__buf_free(&hello);
    make(&hello, "\xab", true); /* no letter: its hexadecimal form */
    check(&hello, "t13d1516ab_8daaf6152771_e5627efa2ab1");
    shs__buf_free(&hello);
}

static void test_without_extensions(void **state)
{
    struct shs_buf hello;

    SHS_UNUSED(state);
    make(&hello, NULL, false);
    check(&hello, "t12i150000_8daaf6152771_000000000000");
    shs__buf_free(&hello);
}

/* A hello that ends too early, at every place, is none; nothing is read beyond its end. */
static void test_cut(void **state)
{
    char got[SHS_JA4_LEN + 1];
    struct shs_buf hello, part;
    size_t whole_without;

    SHS_UNUSED(state);
    make(&hello, NULL, false);
    whole_without = hello.len;
    shs__buf_free(&hello);
    make(&hello, "h2", true);
    for (size_t len = 0; len < hello.len; len++) {
        unsigned char *copy = shs__malloc(len + 1); /* for a sanitizer to see its end */

        memcpy(copy, shs__buf_head(&hello), len);
        part.len = len;
        if (len != whole_without)
            assert_false(shs__ja4(copy, part.len, got));
        shs__free(copy);
    }
    shs__buf_head(&hello)[0] = 2; /* a ServerHello */
    assert_false(shs__ja4((const unsigned char *)shs__buf_head(&hello), hello.len, got));
    shs__buf_free(&hello);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_published),
        cmocka_unit_test(test_alpn),
        cmocka_unit_test(test_without_extensions),
        cmocka_unit_test(test_cut),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
