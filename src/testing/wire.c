#include "testing/wire.h"

#include <sys/socket.h>
#include <time.h>

#define EARLY_MAX ((size_t)65536)
#define PEEK ((size_t)4096)

#define WIRE(s) SHS_CONTAINER_OF(s, struct shs_test_wire, base)

void shs__test_wire_reset(int fd)
{
    const struct sockaddr nobody = {.sa_family = AF_UNSPEC};

    /* Dissolving the association of a TCP socket sends RST, whatever was written before. */
    (void)connect(fd, &nobody, sizeof nobody);
}

static int wire_read(struct shs_stream *s, void *buf, size_t cap, size_t *got)
{
    struct shs_test_wire *self = WIRE(s);
    int rc;

    if (self->early.len == 0) {
        rc = shs__stream_read(s->lower, buf, cap, got);
        s->sys_errno = s->lower->sys_errno;
        return rc;
    }
    *got = cap < self->early.len ? cap : self->early.len;
    memcpy(buf, shs__buf_head(&self->early), *got);
    shs__buf_consume(&self->early, *got);
    return SHS_OK;
}

int shs__test_wire_peek(struct shs_test_wire *self)
{
    size_t got = 0;
    int rc = shs__buf_reserve(&self->early, PEEK);

    if (rc == SHS_OK)
        rc = shs__stream_read(self->base.lower, shs__buf_tail(&self->early), PEEK, &got);
    if (rc == SHS_OK)
        self->early.len += got;
    return rc;
}

/* -- writing ----------------------------------------------------------------------------------- */

static void end(struct shs_test_wire *self)
{
    self->ended = true;
    switch (self->end) {
    case SHS_TEST_WIRE_SWALLOW:
        break;
    case SHS_TEST_WIRE_CUT:
        (void)shutdown(self->fd, SHUT_WR);
        break;
    case SHS_TEST_WIRE_RESET:
        shs__test_wire_reset(self->fd);
        break;
    }
}

/* One byte wrong in what is written: all of it is written from a copy of the beginning. */
static int write_wrong(struct shs_test_wire *self, const void *buf, size_t len, size_t at,
                       size_t *put)
{
    unsigned char piece[16384];
    size_t from = at < sizeof piece ? 0 : at; /* what is before goes as it is */
    size_t n = len - from < sizeof piece ? len - from : sizeof piece;
    int rc;

    if (from > 0)
        return shs__stream_write(self->base.lower, buf, from, put);
    memcpy(piece, buf, n);
    piece[at] ^= 0x55;
    rc = shs__stream_write(self->base.lower, piece, n, put);
    return rc;
}

static void nap(const struct shs_test_wire *self)
{
    const struct timespec t = {.tv_sec = self->drip_ms / 1000,
                               .tv_nsec = (int64_t)(self->drip_ms % 1000) * SHS_NS_PER_MS};
    int64_t began_ns = shs_now_ns();

    nanosleep(&t, NULL);
    self->dripped(self->ctx, shs_now_ns() - began_ns);
}

static int wire_write(struct shs_stream *s, const void *buf, size_t len, size_t *put)
{
    struct shs_test_wire *self = WIRE(s);
    size_t take = len < self->limit ? len : self->limit;
    int rc;

    if (self->limit == 0 && !self->ended)
        end(self);
    if (self->ended) {
        *put = len;
        return SHS_OK;
    }
    if (self->drip_ms > 0) {
        if (self->stopping(self->ctx))
            return SHS_CLOSED;
        nap(self);
        take = 1;
    }
    if (self->corrupt_last && take == len)
        rc = write_wrong(self, buf, take, len - 1, put);
    else if (self->corrupt_at < take)
        rc = write_wrong(self, buf, take, self->corrupt_at, put);
    else
        rc = shs__stream_write(s->lower, buf, take, put);
    s->sys_errno = s->lower->sys_errno;
    if (rc != SHS_OK)
        return rc;
    if (self->corrupt_last && *put == len)
        self->corrupt_last = false;
    if (self->corrupt_at != SIZE_MAX)
        self->corrupt_at = self->corrupt_at < *put ? SIZE_MAX : self->corrupt_at - *put;
    if (self->limit != SIZE_MAX)
        self->limit -= *put;
    return SHS_OK;
}

static int wire_flush(struct shs_stream *s)
{
    return shs__stream_flush(s->lower);
}

static int wire_shutdown(struct shs_stream *s)
{
    /* Who is to hear nothing more hears no end either. */
    if (WIRE(s)->ended)
        return SHS_OK;
    return shs__stream_shutdown(s->lower);
}

static bool wire_pending(const struct shs_stream *s)
{
    const struct shs_test_wire *self =
        SHS_CONTAINER_OF((struct shs_stream *)(uintptr_t)s, struct shs_test_wire, base);

    return self->early.len > 0 || shs__stream_pending(s->lower);
}

static void wire_idle(struct shs_stream *s)
{
    struct shs_test_wire *self = WIRE(s);

    if (self->early.len == 0)
        shs__buf_free(&self->early);
    shs__stream_idle(s->lower);
}

static void wire_free(struct shs_stream *s)
{
    struct shs_test_wire *self = WIRE(s);

    shs__buf_free(&self->early);
    shs__free(self);
}

static const struct shs_stream_class wire_class = {
    .name = "wire",
    .read = wire_read,
    .write = wire_write,
    .flush = wire_flush,
    .shutdown = wire_shutdown,
    .pending = wire_pending,
    .idle = wire_idle,
    .free = wire_free,
};

static bool never(void *ctx)
{
    SHS_UNUSED(ctx);
    return false;
}

struct shs_test_wire *shs__test_wire_new(struct shs_stream *lower, int fd)
{
    struct shs_test_wire *self = shs__calloc(1, sizeof *self);

    if (self == NULL)
        return NULL;
    self->base.cls = &wire_class;
    self->base.lower = lower;
    self->fd = fd;
    self->limit = SIZE_MAX;
    self->corrupt_at = SIZE_MAX;
    self->stopping = never;
    shs__buf_init(&self->early, EARLY_MAX);
    return self;
}
