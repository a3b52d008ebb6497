#include "tls/wire/plain.h"

#define PLAIN(s) SHS_CONTAINER_OF(s, struct plain_stream, base)
#define PLAIN_CONST(s)                                                                             \
    SHS_CONTAINER_OF((struct shs_stream *)(uintptr_t)(s), struct plain_stream, base)

struct plain_stream {
    struct shs_stream base;
    struct shs_stream *past; /* what is below TLS */
    struct shs_buf seen;     /* that TLS has read, and nobody else yet */
};

static int plain_read(struct shs_stream *s, void *buf, size_t cap, size_t *got)
{
    struct plain_stream *self = PLAIN(s);
    int rc;

    if (self->seen.len > 0) {
        *got = cap < self->seen.len ? cap : self->seen.len;
        memcpy(buf, shs__buf_head(&self->seen), *got);
        shs__buf_consume(&self->seen, *got);
        return SHS_OK;
    }
    rc = shs__stream_read(self->past, buf, cap, got);
    s->sys_errno = self->past->sys_errno;
    return rc;
}

static int plain_write(struct shs_stream *s, const void *buf, size_t len, size_t *put)
{
    struct plain_stream *self = PLAIN(s);
    int rc = shs__stream_write(self->past, buf, len, put);

    s->sys_errno = self->past->sys_errno;
    return rc;
}

static int plain_flush(struct shs_stream *s)
{
    return shs__stream_flush(PLAIN(s)->past);
}

static int plain_shutdown(struct shs_stream *s)
{
    return shs__stream_shutdown(PLAIN(s)->past);
}

static bool plain_pending(const struct shs_stream *s)
{
    const struct plain_stream *self = PLAIN_CONST(s);

    return self->seen.len > 0 || shs__stream_pending(self->past);
}

static void plain_idle(struct shs_stream *s)
{
    shs__stream_idle(PLAIN(s)->past);
}

static void plain_free(struct shs_stream *s)
{
    struct plain_stream *self = PLAIN(s);

    shs__buf_free(&self->seen);
    shs__free(self);
}

static void plain_describe(const struct shs_stream *s, struct shs_error *err)
{
    (void)shs__stream_describe(PLAIN_CONST(s)->past, SHS_IO, err);
}

static const struct shs_stream_class plain_class = {
    .name = "plain",
    .read = plain_read,
    .write = plain_write,
    .flush = plain_flush,
    .shutdown = plain_shutdown,
    .pending = plain_pending,
    .idle = plain_idle,
    .free = plain_free,
    .describe = plain_describe,
};

int shs__tls_plain_stream_new(struct shs_stream **out, struct shs_tls_stream *tls)
{
    struct plain_stream *self = shs__calloc(1, sizeof *self);

    if (self == NULL)
        return SHS_NOMEM;
    self->base.cls = &plain_class;
    self->base.lower = &tls->base;
    self->past = tls->bio.lower;
    self->seen = tls->bio.out; /* as bio.h says, it is there */
    shs__buf_init(&tls->bio.out, SHS_TLS_OUT_CEILING);
    *out = &self->base;
    return SHS_OK;
}
