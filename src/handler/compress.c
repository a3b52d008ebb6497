/*
 * compress.c - making a content coding of what is whole. With compress_stream.c the only file that
 * includes the compressors' headers.
 */
#include "handler/coding.h"

/* Middling levels: for answers that are made while somebody waits. */
#define GZIP_LEVEL 6
#define BR_QUALITY 5
/* 512 KiB: larger ones gain a percent, and take two and three times the memory. */
#define BR_WINDOW_BITS 19
#define ZSTD_LEVEL 3

#ifdef SHS_HAVE_ZLIB
#define ZLIB_CONST
#include <zlib.h>

static voidpf zlib_alloc(voidpf opaque, uInt count, uInt size)
{
    SHS_UNUSED(opaque);
    return shs__calloc(count, size);
}

static void zlib_free(voidpf opaque, voidpf address)
{
    SHS_UNUSED(opaque);
    shs__free(address);
}

static int make_gzip(const void *data, size_t len, struct shs_buf *out)
{
    z_stream z = {.zalloc = zlib_alloc, .zfree = zlib_free};
    int rc;

    /* 15 + 16: a window of 32 KiB, in gzip's frame, without a time or a name. */
    if (deflateInit2(&z, GZIP_LEVEL, Z_DEFLATED, 15 + 16, 8, Z_DEFAULT_STRATEGY) != Z_OK)
        return SHS_NOMEM;
    rc = shs__buf_reserve(out, deflateBound(&z, (uLong)len));
    if (rc == SHS_OK) {
        z.next_in = data;
        z.avail_in = (uInt)len;
        z.next_out = (Bytef *)shs__buf_tail(out);
        z.avail_out = (uInt)shs__buf_room(out);
        rc = deflate(&z, Z_FINISH) == Z_STREAM_END ? SHS_OK : SHS_LIMIT;
    }
    if (rc == SHS_OK)
        out->len += z.total_out;
    deflateEnd(&z);
    return rc;
}
#endif

#ifdef SHS_HAVE_BROTLI
#include <brotli/encode.h>

#include "handler/br_arena.h"

/*
 * Debian's encoder ends the process when its allocator has no memory for it. So it gets all that it
 * may need before it begins, and if that should not be enough, it is left where it stands: its
 * state is in the arena and nowhere else, and goes with it.
 */
static int make_br_in(struct shs_br_arena *arena, const void *data, size_t len, struct shs_buf *out)
{
    BrotliEncoderState *state;
    const uint8_t *in = data;
    size_t left = len, room = shs__buf_room(out);
    uint8_t *to = (uint8_t *)shs__buf_tail(out);

    if (setjmp(arena->exhausted) != 0)
        return SHS_NOMEM;
    state = BrotliEncoderCreateInstance(shs__br_alloc, shs__br_free, arena);
    if (state == NULL || !BrotliEncoderSetParameter(state, BROTLI_PARAM_QUALITY, BR_QUALITY) ||
        !BrotliEncoderSetParameter(state, BROTLI_PARAM_LGWIN, BR_WINDOW_BITS) ||
        !BrotliEncoderSetParameter(state, BROTLI_PARAM_SIZE_HINT, (uint32_t)len) ||
        !BrotliEncoderCompressStream(state, BROTLI_OPERATION_FINISH, &left, &in, &room, &to, NULL))
        return SHS_NOMEM;
    if (!BrotliEncoderIsFinished(state))
        return SHS_LIMIT;
    out->len += shs__buf_room(out) - room;
    return SHS_OK;
}

static int make_br(const void *data, size_t len, struct shs_buf *out)
{
    struct shs_br_arena *arena;
    int rc = shs__buf_reserve(out, BrotliEncoderMaxCompressedSize(len));

    if (rc != SHS_OK)
        return rc;
    arena = shs__br_arena_new(SHS_BR_ARENA_SIZE);
    if (arena == NULL)
        return SHS_NOMEM;
    rc = make_br_in(arena, data, len, out);
    shs__br_arena_free(arena);
    return rc;
}
#endif

#ifdef SHS_HAVE_ZSTD
#include <zstd.h>

static int make_zstd(const void *data, size_t len, struct shs_buf *out)
{
    int rc = shs__buf_reserve(out, ZSTD_compressBound(len));
    size_t made;

    if (rc != SHS_OK)
        return rc;
    made = ZSTD_compress(shs__buf_tail(out), shs__buf_room(out), data, len, ZSTD_LEVEL);
    if (ZSTD_isError(made))
        return SHS_NOMEM;
    out->len += made;
    return SHS_OK;
}
#endif

unsigned shs__coders(void)
{
    unsigned mask = 0;

#ifdef SHS_HAVE_ZLIB
    mask |= SHS_CODING_BIT(SHS_CODING_GZIP);
#endif
#ifdef SHS_HAVE_BROTLI
    mask |= SHS_CODING_BIT(SHS_CODING_BR);
#endif
#ifdef SHS_HAVE_ZSTD
    mask |= SHS_CODING_BIT(SHS_CODING_ZSTD);
#endif
    return mask;
}

int shs__compress(enum shs_coding coding, const void *data, size_t len, struct shs_buf *out)
{
    if (len > SHS_COMPRESS_MAX)
        return SHS_LIMIT;
    switch (coding) {
#ifdef SHS_HAVE_ZLIB
    case SHS_CODING_GZIP:
        return make_gzip(data, len, out);
#endif
#ifdef SHS_HAVE_BROTLI
    case SHS_CODING_BR:
        return make_br(data, len, out);
#endif
#ifdef SHS_HAVE_ZSTD
    case SHS_CODING_ZSTD:
        return make_zstd(data, len, out);
#endif
    default:
        SHS_UNUSED(data);
        SHS_UNUSED(out);
        return SHS_USAGE;
    }
}
