#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "handler/coding.h"

#define ALL                                                                                        \
    (SHS_CODING_BIT(SHS_CODING_BR) | SHS_CODING_BIT(SHS_CODING_ZSTD) |                             \
     SHS_CODING_BIT(SHS_CODING_GZIP))

static const struct {
    const char *accept;
    unsigned available;
    enum shs_coding chosen;
} cases[] = {
    {"gzip", ALL, SHS_CODING_GZIP},
    {"gzip, deflate, br", ALL, SHS_CODING_BR},
    {"gzip, deflate, br, zstd", ALL, SHS_CODING_BR},
    {"gzip, deflate, br", SHS_CODING_BIT(SHS_CODING_GZIP), SHS_CODING_GZIP},
    {"gzip, deflate, br", 0, SHS_CODING_IDENTITY},
    {"GZIP", ALL, SHS_CODING_GZIP},
    {"x-gzip", ALL, SHS_CODING_GZIP},
    {"br;q=0.5, gzip;q=0.8", ALL, SHS_CODING_GZIP},
    {"br;q=0.5 , gzip ; q=0.501", ALL, SHS_CODING_GZIP},
    {"br;q=0.5, gzip;Q=0.4", ALL, SHS_CODING_BR},
    {"br;q=0", ALL, SHS_CODING_IDENTITY},
    {"br;q=0.000, gzip;q=0.001", ALL, SHS_CODING_GZIP},
    {"*", ALL, SHS_CODING_BR},
    {"*;q=0.1, br;q=0", ALL, SHS_CODING_ZSTD},
    {"gzip;q=0, *;q=0", ALL, SHS_CODING_IDENTITY},
    {"identity", ALL, SHS_CODING_IDENTITY},
    {"identity, gzip;q=0.5", ALL, SHS_CODING_IDENTITY},
    {"identity;q=0.5, gzip", ALL, SHS_CODING_GZIP},
    {"identity;q=0, gzip", ALL, SHS_CODING_GZIP},
    {"gzip;q=1.0", ALL, SHS_CODING_GZIP},
    /* what cannot be read is skipped */
    {"gzip;q=2", ALL, SHS_CODING_IDENTITY},
    {"gzip;q=1.001", ALL, SHS_CODING_IDENTITY},
    {"gzip;q=0.1234", ALL, SHS_CODING_IDENTITY},
    {"gzip;q=-1, br", ALL, SHS_CODING_BR},
    {"gzip;q=, br;q=0.1", ALL, SHS_CODING_BR},
    {"deflate", ALL, SHS_CODING_IDENTITY},
    {"", ALL, SHS_CODING_IDENTITY},
    {",,,", ALL, SHS_CODING_IDENTITY},
    {"gzipped", ALL, SHS_CODING_IDENTITY},
};

static void test_choice(void **state)
{
    static const enum shs_coding order[] = {SHS_CODING_BR, SHS_CODING_ZSTD, SHS_CODING_GZIP,
                                            SHS_CODING_IDENTITY};

    SHS_UNUSED(state);
    for (size_t i = 0; i < SHS_ARRAY_LEN(cases); i++) {
        struct shs_coding_wishes wishes;
        enum shs_coding chosen;

        shs__coding_wishes_init(&wishes);
        shs__coding_wishes_add(&wishes, shs__str(cases[i].accept));
        chosen = shs__coding_choose(&wishes, cases[i].available, order);
        if (chosen != cases[i].chosen)
            fail_msg("%s: %s, wanted %s", cases[i].accept, shs__coding_name(chosen),
                     shs__coding_name(cases[i].chosen));
    }
}

/* Whether the bytes are right is for other programs to say: tests/integration/test_codings.py. */
static void test_compress(void **state)
{
    static char text[200000];
    static const unsigned char gzip_magic[] = {0x1f, 0x8b}, zstd_magic[] = {0x28, 0xb5, 0x2f, 0xfd};

    SHS_UNUSED(state);
    for (size_t i = 0; i < sizeof text; i++)
        text[i] = "the quick brown fox "[i % 20];
    for (int c = SHS_CODING_BR; c < SHS_CODING_COUNT; c++) {
        enum shs_coding coding = (enum shs_coding)c;
        struct shs_buf first, second, tight;

        shs__buf_init(&first, 400000);
        shs__buf_init(&second, 400000);
        shs__buf_init(&tight, 100);
        if ((shs__coders() & SHS_CODING_BIT(coding)) == 0) {
            assert_int_equal(shs__compress(coding, text, sizeof text, &first), SHS_USAGE);
            continue;
        }
        assert_int_equal(shs__compress(coding, text, sizeof text, &first), SHS_OK);
        assert_true(first.len > 0 && first.len < sizeof text / 50);
        assert_int_equal(shs__compress(coding, text, sizeof text, &second), SHS_OK);
        assert_int_equal(first.len, second.len); /* a strong entity tag stands for these bytes */
        assert_memory_equal(shs__buf_head(&first), shs__buf_head(&second), first.len);
        if (coding == SHS_CODING_GZIP)
            assert_memory_equal(shs__buf_head(&first), gzip_magic, sizeof gzip_magic);
        if (coding == SHS_CODING_ZSTD)
            assert_memory_equal(shs__buf_head(&first), zstd_magic, sizeof zstd_magic);
        assert_int_equal(shs__compress(coding, text, sizeof text, &tight), SHS_LIMIT);
        shs__buf_free(&first);
        shs__buf_free(&second);
        shs__buf_free(&tight);
    }
    assert_int_equal(shs__compress(SHS_CODING_GZIP, text, SHS_COMPRESS_MAX + 1, NULL), SHS_LIMIT);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_choice),
        cmocka_unit_test(test_compress),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
