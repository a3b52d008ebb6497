#include "stream/stream.h"

struct replay_stream {
    struct shs_stream base;
    uint8_t at, len;
    char bytes[SHS_REPLAY_MAX];
};

#define REPLAY(s) SHS_CONTAINER_OF(s, struct replay_stream, base)
#define REPLAY_CONST(s)                                                                            \
    SHS_CONTAINER_OF((struct shs_stream *)(uintptr_t)(s), struct replay_stream, base)

/* What the stream below said of its failure is what we say. */
static int as_below(struct shs_stream *s, int rc)
{
    s->sys_errno = s->lower->sys_errno;
    return rc;
}

static int replay_read(struct shs_stream *s, void *buf, size_t cap, size_t *got)
{
    struct replay_stream *self = REPLAY(s);
    size_t len = (size_t)(self->len - self->at);

    if (len == 0)
        return as_below(s, shs__stream_read(s->lower, buf, cap, got));
    if (len > cap)
        len = cap;
    memcpy(buf, self->bytes + self->at, len);
    self->at = (uint8_t)(self->at + len);
    *got = len;
    return SHS_OK;
}

static int replay_write(struct shs_stream *s, const void *buf, size_t len, size_t *put)
{
    return as_below(s, shs__stream_write(s->lower, buf, len, put));
}

static int replay_flush(struct shs_stream *s)
{
    return as_below(s, shs__stream_flush(s->lower));
}

static int replay_shutdown(struct shs_stream *s)
{
    return as_below(s, shs__stream_shutdown(s->lower));
}

static bool replay_pending(const struct shs_stream *s)
{
    const struct replay_stream *self = REPLAY_CONST(s);

    return self->at < self->len || shs__stream_pending(s->lower);
}

static void replay_idle(struct shs_stream *s)
{
    shs__stream_idle(s->lower);
}

static void replay_free(struct shs_stream *s)
{
    shs__free(REPLAY(s));
}

static const struct shs_stream_class replay_class = {
    .name = "socket",
    .read = replay_read,
    .write = replay_write,
    .flush = replay_flush,
    .shutdown = replay_shutdown,
    .pending = replay_pending,
    .idle = replay_idle,
    .free = replay_free,
};

int shs__replay_stream_new(struct shs_stream **out, struct shs_stream *lower, const void *bytes,
                           size_t len)
{
    struct replay_stream *self = shs__calloc(1, sizeof *self);

    if (self == NULL)
        return SHS_NOMEM;
    self->base.cls = &replay_class;
    self->base.lower = lower;
    self->len = (uint8_t)(len < SHS_REPLAY_MAX ? len : SHS_REPLAY_MAX);
    memcpy(self->bytes, bytes, self->len);
    *out = &self->base;
    return SHS_OK;
}
