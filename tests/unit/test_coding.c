#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>

#include <cmocka.h>

#include "handler/br_arena.h"
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

static void test_identity_refused(void **state)
{
    static const struct {
        const char *value;
        bool refused;
    } fields[] = {
        {"", false},
        {"gzip", false},
        {"*", false},
        {"identity;q=0", true},
        {"*;q=0", true},
        {"gzip, *;q=0", true},
        {"identity, *;q=0", false},
        {"identity;q=0.001, *;q=0", false},
        {"*;q=0, identity;q=0", true},
        {"identity;q=0, *", true},
    };

    SHS_UNUSED(state);
    for (size_t i = 0; i < SHS_ARRAY_LEN(fields); i++) {
        struct shs_coding_wishes wishes;

        shs__coding_wishes_init(&wishes);
        shs__coding_wishes_add(&wishes, shs__str(fields[i].value));
        if (shs__coding_refuses_identity(&wishes) != fields[i].refused)
            fail_msg("%s", fields[i].value);
    }
}

static void test_packed(void **state)
{
    SHS_UNUSED(state);
    assert_true(shs__coding_is_packed("\x1f\x8b\x08", 3));
    assert_true(shs__coding_is_packed("PK\x03\x04xx", 6));
    assert_true(shs__coding_is_packed("\x28\xb5\x2f\xfd", 4));
    assert_false(shs__coding_is_packed("\x1f", 1));
    assert_false(shs__coding_is_packed("PK.", 3));
    assert_false(shs__coding_is_packed("", 0));
    assert_false(shs__coding_is_packed("<svg>", 5));
}

#ifdef SHS_HAVE_BROTLI
/* -- brotli's memory --------------------------------------------------------------------------- */

#include <brotli/encode.h>

#define LARGEST ((size_t)4 << 20)

/* The inputs by which the arena was measured. */
static void fill(char *data, size_t len, int kind)
{
    unsigned seed = 1;
    size_t used = 0;

    for (size_t i = 0; i < len; i++) {
        seed = seed * 1103515245u + 12345u;
        switch (kind) {
        case 0:
            data[i] = (char)(seed >> 16);
            break;
        case 1:
            data[i] = 'a';
            break;
        case 2:
            data[i] = "etaoin shrdlu\n"[(seed >> 16) % 14];
            break;
        case 3:
            data[i] = (char)((i / 4096) % 2 ? (int)(seed >> 16) : 'a' + (int)((seed >> 16) % 4));
            break;
        case 4:
            data[i] =
                (char)((seed >> 16) % 8 != 0 && i > 1000 ? data[i - 1000] : (int)(seed >> 16));
            break;
        default:
            if (used == 0) {
                char text[64];

                used = (size_t)snprintf(text, sizeof text, "{\"id\":%zu,\"name\":\"user %zu\"},\n",
                                        i, i * 7919);
                memcpy(data + i, text, used < len - i ? used : len - i);
            }
            used--;
        }
    }
}

/* With its memory in the arena nothing is ever missing: well below what it is given. */
static void test_brotli_fits_its_arena(void **state)
{
    static const size_t lengths[] = {512, 65536, 700000, 1 << 20, (1 << 20) + 1, LARGEST};
    char *data = shs__malloc(LARGEST);
    struct shs_buf out;

    SHS_UNUSED(state);
    assert_non_null(data);
    for (size_t i = 0; i < SHS_ARRAY_LEN(lengths); i++) {
        for (int kind = 0; kind < 6; kind++) {
            fill(data, lengths[i], kind);
            shs__buf_init(&out, 2 * LARGEST);
            assert_int_equal(shs__compress(SHS_CODING_BR, data, lengths[i], &out), SHS_OK);
            assert_true(out.len > 0 && out.len < lengths[i] + 64);
            shs__buf_free(&out);
        }
    }
    shs__free(data);
}

static size_t peak_of(struct shs_br_arena *arena, const char *data, size_t len, char *out,
                      size_t cap)
{
    BrotliEncoderState *encoder = BrotliEncoderCreateInstance(shs__br_alloc, shs__br_free, arena);
    const uint8_t *in = (const uint8_t *)data;
    uint8_t *to = (uint8_t *)out;

    BrotliEncoderSetParameter(encoder, BROTLI_PARAM_QUALITY, 5);
    BrotliEncoderSetParameter(encoder, BROTLI_PARAM_LGWIN, 19);
    BrotliEncoderSetParameter(encoder, BROTLI_PARAM_SIZE_HINT, (uint32_t)len);
    assert_true(
        BrotliEncoderCompressStream(encoder, BROTLI_OPERATION_FINISH, &len, &in, &cap, &to, NULL));
    BrotliEncoderDestroyInstance(encoder);
    return arena->peak;
}

/* What the encoder takes of an arena of that size; 0: it was not enough, and here we are. */
static size_t peak_in(size_t size, const char *data, char *out)
{
    struct shs_br_arena *arena = shs__br_arena_new(size);
    size_t peak;

    assert_non_null(arena);
    if (setjmp(arena->exhausted) != 0) {
        shs__br_arena_free(arena);
        return 0;
    }
    peak = peak_of(arena, data, LARGEST, out, 2 * LARGEST);
    assert_int_equal(arena->used, 0);
    shs__br_arena_free(arena);
    return peak;
}

/* A third of it is never used; and one that is far too small ends the encoder, not the process. */
static void test_brotli_arena(void **state)
{
    char *data = shs__malloc(LARGEST), *out = shs__malloc(2 * LARGEST);
    size_t ended = 0;

    SHS_UNUSED(state);
    for (int kind = 0; kind < 6; kind++) {
        size_t peak;

        fill(data, LARGEST, kind);
        peak = peak_in(SHS_BR_ARENA_SIZE, data, out);
        assert_true(peak > 0 && peak < SHS_BR_ARENA_SIZE / 3 * 2);
    }
    for (size_t size = 4096; size < (size_t)8 << 20; size = size * 5 / 4)
        ended += peak_in(size, data, out) == 0;
    assert_true(ended > 30);
    shs__free(data);
    shs__free(out);
}
#endif

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_choice),
        cmocka_unit_test(test_compress),
        cmocka_unit_test(test_identity_refused),
        cmocka_unit_test(test_packed),
#ifdef SHS_HAVE_BROTLI
        cmocka_unit_test(test_brotli_fits_its_arena),
        cmocka_unit_test(test_brotli_arena),
#endif
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
