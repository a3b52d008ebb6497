#include "stream/stream.h"

#include <errno.h>

struct shs_memory_stream {
    struct shs_stream base;
    struct shs_memory_stream *peer; /* NULL once the other end is freed */
    struct shs_buf in;              /* what the peer wrote and we have not read */
    size_t chunk;
    bool ended; /* the peer's shutdown: SHS_CLOSED once `in` is empty */
    bool reset; /* the peer's: SHS_RESET then */
    bool shut;  /* ours */
    int fail_read, fail_write;
    uint64_t taken; /* by the peer, of what we wrote */
};

#define MEMORY(s) SHS_CONTAINER_OF(s, struct shs_memory_stream, base)

static size_t bounded(const struct shs_memory_stream *self, size_t len)
{
    return self->chunk != 0 && len > self->chunk ? self->chunk : len;
}

static int take_failure(struct shs_memory_stream *self, int *failure)
{
    self->base.sys_errno = *failure;
    *failure = 0;
    return SHS_IO;
}

static int memory_read(struct shs_stream *s, void *buf, size_t cap, size_t *got)
{
    struct shs_memory_stream *self = MEMORY(s);
    size_t len;

    if (self->fail_read != 0)
        return take_failure(self, &self->fail_read);
    if (self->in.len == 0 && self->reset) {
        self->base.sys_errno = ECONNRESET;
        return SHS_RESET;
    }
    if (self->in.len == 0) {
        self->base.sys_errno = 0;
        return self->ended || self->peer == NULL ? SHS_CLOSED : SHS_WAIT_READ;
    }
    len = bounded(self, cap < self->in.len ? cap : self->in.len);
    memcpy(buf, shs__buf_head(&self->in), len);
    shs__buf_consume(&self->in, len);
    if (self->peer != NULL)
        self->peer->taken += len;
    *got = len;
    return SHS_OK;
}

static int memory_write(struct shs_stream *s, const void *buf, size_t len, size_t *put)
{
    struct shs_memory_stream *self = MEMORY(s);
    size_t room;
    int rc;

    if (self->fail_write != 0)
        return take_failure(self, &self->fail_write);
    if (self->peer == NULL || self->shut || self->reset) {
        self->base.sys_errno = EPIPE;
        return self->shut ? SHS_CLOSED : SHS_RESET;
    }
    room = self->peer->in.ceiling - self->peer->in.len;
    if (room == 0)
        return SHS_WAIT_WRITE;
    len = bounded(self, len < room ? len : room);
    rc = shs__buf_append(&self->peer->in, buf, len);
    if (rc != SHS_OK)
        return rc;
    *put = len;
    return SHS_OK;
}

static int memory_flush(struct shs_stream *s)
{
    SHS_UNUSED(s);
    return SHS_OK;
}

static int memory_shutdown(struct shs_stream *s)
{
    struct shs_memory_stream *self = MEMORY(s);

    self->shut = true;
    if (self->peer != NULL)
        self->peer->ended = true;
    return SHS_OK;
}

static bool memory_pending(const struct shs_stream *s)
{
    SHS_UNUSED(s);
    return false;
}

static void memory_idle(struct shs_stream *s)
{
    SHS_UNUSED(s);
}

static void memory_free(struct shs_stream *s)
{
    struct shs_memory_stream *self = MEMORY(s);

    if (self->peer != NULL)
        self->peer->peer = NULL;
    shs__buf_free(&self->in);
    shs__free(self);
}

static uint64_t memory_delivered(const struct shs_stream *s)
{
    return MEMORY((struct shs_stream *)(uintptr_t)s)->taken;
}

static bool memory_all_taken(const struct shs_stream *s)
{
    const struct shs_memory_stream *self = MEMORY((struct shs_stream *)(uintptr_t)s);

    return self->peer == NULL || self->peer->in.len == 0;
}

static const struct shs_stream_class memory_class = {
    .name = "memory",
    .read = memory_read,
    .write = memory_write,
    .flush = memory_flush,
    .shutdown = memory_shutdown,
    .pending = memory_pending,
    .idle = memory_idle,
    .free = memory_free,
    .delivered = memory_delivered,
    .all_taken = memory_all_taken,
};

static struct shs_memory_stream *memory_new(size_t capacity, size_t chunk)
{
    struct shs_memory_stream *self = shs__calloc(1, sizeof *self);

    if (self == NULL)
        return NULL;
    self->base.cls = &memory_class;
    self->chunk = chunk;
    shs__buf_init(&self->in, capacity);
    return self;
}

int shs__memory_stream_pair(struct shs_stream **a, struct shs_stream **b, size_t capacity,
                            size_t chunk)
{
    struct shs_memory_stream *one = memory_new(capacity, chunk);
    struct shs_memory_stream *two = memory_new(capacity, chunk);

    if (one == NULL || two == NULL) {
        shs__free(one);
        shs__free(two);
        return SHS_NOMEM;
    }
    one->peer = two;
    two->peer = one;
    *a = &one->base;
    *b = &two->base;
    return SHS_OK;
}

void shs__memory_stream_reset(struct shs_stream *s)
{
    struct shs_memory_stream *self = MEMORY(s);

    if (self->peer != NULL)
        self->peer->reset = true;
}

void shs__memory_stream_fail(struct shs_stream *s, char kind, int sys_errno)
{
    struct shs_memory_stream *self = MEMORY(s);

    if (kind == 'r')
        self->fail_read = sys_errno;
    else
        self->fail_write = sys_errno;
}
