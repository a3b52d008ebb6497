/*
 * compress.c - making a content coding: the only file that includes the compressors' headers.
 */
#include "handler/coding.h"

/* Middling levels: for answers that are made while somebody waits. */
#define GZIP_LEVEL 6
#define BR_QUALITY 5
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

static void *br_alloc(void *opaque, size_t size)
{
    SHS_UNUSED(opaque);
    return shs__malloc(size);
}

static void br_free(void *opaque, void *address)
{
    SHS_UNUSED(opaque);
    shs__free(address);
}

static int make_br(const void *data, size_t len, struct shs_buf *out)
{
    BrotliEncoderState *state = BrotliEncoderCreateInstance(br_alloc, br_free, NULL);
    const uint8_t *in = data;
    size_t left = len, room;
    uint8_t *to;
    int rc = SHS_NOMEM;

    if (state == NULL)
        return SHS_NOMEM;
    if (!BrotliEncoderSetParameter(state, BROTLI_PARAM_QUALITY, BR_QUALITY) ||
        !BrotliEncoderSetParameter(state, BROTLI_PARAM_SIZE_HINT, (uint32_t)len))
        goto out;
    rc = shs__buf_reserve(out, BrotliEncoderMaxCompressedSize(len));
    if (rc != SHS_OK)
        goto out;
    to = (uint8_t *)shs__buf_tail(out);
    room = shs__buf_room(out);
    if (!BrotliEncoderCompressStream(state, BROTLI_OPERATION_FINISH, &left, &in, &room, &to, NULL))
        rc = SHS_NOMEM;
    else if (!BrotliEncoderIsFinished(state))
        rc = SHS_LIMIT;
    else
        out->len += shs__buf_room(out) - room;
out:
    BrotliEncoderDestroyInstance(state);
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
