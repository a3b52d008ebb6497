/*
 * compress_stream.c - making a content coding of a body that comes in pieces.
 *
 * Brotli is not here: its encoder takes 16 MiB for each answer, and ends the process when it does
 * not get them (br_arena.h).
 */
#include "handler/coding.h"

/* As in compress.c. */
#define GZIP_LEVEL 6
#define ZSTD_LEVEL 3
/* 64 KiB: what a stream's coder takes is held for as long as its client likes. */
#define ZSTD_WINDOW_BITS 16
#define ZSTD_TABLE_BITS 15

#ifdef SHS_HAVE_ZLIB
#define ZLIB_CONST
#include <zlib.h>
#endif
#ifdef SHS_HAVE_ZSTD
#include <zstd.h>
#endif

struct shs_stream_coder {
    enum shs_coding coding;
    bool ended;
    size_t bytes; /* that zlib has asked for */
#ifdef SHS_HAVE_ZLIB
    z_stream z;
#endif
#ifdef SHS_HAVE_ZSTD
    ZSTD_CCtx *zstd;
#endif
};

unsigned shs__stream_coders(void)
{
    return shs__coders() & ~SHS_CODING_BIT(SHS_CODING_BR);
}

/* -- gzip -------------------------------------------------------------------------------------- */

#ifdef SHS_HAVE_ZLIB
static voidpf zlib_alloc(voidpf opaque, uInt count, uInt size)
{
    struct shs_stream_coder *self = opaque;

    self->bytes += (size_t)count * size;
    return shs__calloc(count, size);
}

static void zlib_free(voidpf opaque, voidpf address)
{
    SHS_UNUSED(opaque);
    shs__free(address);
}

static int gzip_begin(struct shs_stream_coder *self)
{
    self->z = (z_stream){.zalloc = zlib_alloc, .zfree = zlib_free, .opaque = self};
    return deflateInit2(&self->z, GZIP_LEVEL, Z_DEFLATED, 15 + 16, 8, Z_DEFAULT_STRATEGY) == Z_OK
               ? SHS_OK
               : SHS_NOMEM;
}

static int gzip_code(struct shs_stream_coder *self, enum shs_coding_step step, struct shs_str *in,
                     void *out, size_t cap, size_t *got)
{
    static const int flush[] = {Z_NO_FLUSH, Z_SYNC_FLUSH, Z_FINISH};
    const size_t most = (size_t)1 << 30; /* zlib counts in unsigned int */
    size_t take = in->len < most ? in->len : most;
    z_stream *z = &self->z;
    int rc;

    if (cap > most)
        cap = most;
    z->next_in = (const Bytef *)in->ptr;
    z->avail_in = (uInt)take;
    z->next_out = out;
    z->avail_out = (uInt)cap;
    rc = deflate(z, take < in->len ? Z_NO_FLUSH : flush[step]);
    if (rc != Z_OK && rc != Z_STREAM_END &&
        rc != Z_BUF_ERROR) /* the last: there was nothing to do */
        return SHS_NOMEM;
    self->ended = rc == Z_STREAM_END;
    *got = cap - z->avail_out;
    take -= z->avail_in;
    if (take > 0)
        *in = (struct shs_str){in->ptr + take, in->len - take};
    return SHS_OK;
}
#endif

/* -- zstd -------------------------------------------------------------------------------------- */

#ifdef SHS_HAVE_ZSTD
static int zstd_begin(struct shs_stream_coder *self)
{
    static const struct {
        ZSTD_cParameter name;
        int value;
    } parameters[] = {
        {ZSTD_c_compressionLevel, ZSTD_LEVEL},
        {ZSTD_c_windowLog, ZSTD_WINDOW_BITS},
        {ZSTD_c_hashLog, ZSTD_TABLE_BITS},
        {ZSTD_c_chainLog, ZSTD_TABLE_BITS},
    };

    self->zstd = ZSTD_createCCtx();
    if (self->zstd == NULL)
        return SHS_NOMEM;
    for (size_t i = 0; i < SHS_ARRAY_LEN(parameters); i++) {
        if (ZSTD_isError(
                ZSTD_CCtx_setParameter(self->zstd, parameters[i].name, parameters[i].value)))
            return SHS_USAGE;
    }
    return SHS_OK;
}

static int zstd_code(struct shs_stream_coder *self, enum shs_coding_step step, struct shs_str *in,
                     void *out, size_t cap, size_t *got)
{
    static const ZSTD_EndDirective directives[] = {ZSTD_e_continue, ZSTD_e_flush, ZSTD_e_end};
    ZSTD_inBuffer from = {in->ptr, in->len, 0};
    ZSTD_outBuffer to = {out, cap, 0};
    size_t left = ZSTD_compressStream2(self->zstd, &to, &from, directives[step]);

    if (ZSTD_isError(left))
        return SHS_NOMEM;
    self->ended = step == SHS_CODING_END && left == 0;
    *got = to.pos;
    if (from.pos > 0)
        *in = (struct shs_str){in->ptr + from.pos, in->len - from.pos};
    return SHS_OK;
}
#endif

/* -- either ------------------------------------------------------------------------------------ */

int shs__stream_coder_new(struct shs_stream_coder **out, enum shs_coding coding)
{
    struct shs_stream_coder *self = shs__calloc(1, sizeof *self);
    int rc = SHS_USAGE;

    if (self == NULL)
        return SHS_NOMEM;
    self->coding = coding;
#ifdef SHS_HAVE_ZLIB
    if (coding == SHS_CODING_GZIP)
        rc = gzip_begin(self);
#endif
#ifdef SHS_HAVE_ZSTD
    if (coding == SHS_CODING_ZSTD)
        rc = zstd_begin(self);
#endif
    if (rc != SHS_OK) {
        shs__stream_coder_free(self);
        return rc;
    }
    *out = self;
    return SHS_OK;
}

int shs__stream_coder_code(struct shs_stream_coder *self, enum shs_coding_step step,
                           struct shs_str *in, void *out, size_t cap, size_t *got)
{
    *got = 0;
    if (self->ended) /* zstd would begin another frame */
        return SHS_OK;
#ifdef SHS_HAVE_ZLIB
    if (self->coding == SHS_CODING_GZIP)
        return gzip_code(self, step, in, out, cap, got);
#endif
#ifdef SHS_HAVE_ZSTD
    if (self->coding == SHS_CODING_ZSTD)
        return zstd_code(self, step, in, out, cap, got);
#endif
    SHS_UNUSED(step);
    SHS_UNUSED(in);
    SHS_UNUSED(out);
    SHS_UNUSED(cap);
    return SHS_USAGE;
}

size_t shs__stream_coder_bytes(const struct shs_stream_coder *self)
{
#ifdef SHS_HAVE_ZSTD
    if (self->coding == SHS_CODING_ZSTD)
        return sizeof *self + ZSTD_sizeof_CCtx(self->zstd);
#endif
    return sizeof *self + self->bytes;
}

void shs__stream_coder_free(struct shs_stream_coder *self)
{
    if (self == NULL)
        return;
#ifdef SHS_HAVE_ZLIB
    if (self->coding == SHS_CODING_GZIP)
        deflateEnd(&self->z);
#endif
#ifdef SHS_HAVE_ZSTD
    ZSTD_freeCCtx(self->zstd);
#endif
    shs__free(self);
}
