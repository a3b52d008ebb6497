/*
 * compress_middleware.c - <shs/middleware.h>: answers that are made smaller, within a bound.
 *
 * What is whole in memory when its handler returns is compressed at once, and keeps a
 * Content-Length. What streams gets a coder of its own, which lives as long as the answer. Both are
 * counted in one place; beyond the bounds an answer stays as it is.
 */
#include <shs/middleware.h>

#include <stdatomic.h>
#include <stdio.h>

#include "base/base.h"
#include "handler/chain.h"
#include "handler/coding.h"
#include "handler/conditional.h"
#include "handler/mime.h"

#define TYPE_MAX 200

struct shs_compress {
    struct shs_compress_options opt;
    atomic_size_t memory;       /* that is taken, */
    atomic_uint whole, streams; /* and by how many */
    struct shs_http_handler next, handler;
    struct shs_middleware middleware;
};

/* One answer, should it stream. Of the request's memory. */
struct compressed {
    struct shs_compress *owner;
    struct shs_stream_coder *coder;
};

/* -- what may be compressed -------------------------------------------------------------------- */

static bool has_any(const struct shs_response *res, const char *const *names)
{
    struct shs_str value;

    for (; *names != NULL; names++) {
        if (shs_response_header(res, *names, &value))
            return true;
    }
    return false;
}

/* Is that among the members of the list (any case)? */
static bool lists(struct shs_str list, struct shs_str member)
{
    while (list.len > 0) {
        const char *comma = memchr(list.ptr, ',', list.len);
        struct shs_str one = {list.ptr, comma == NULL ? list.len : (size_t)(comma - list.ptr)};

        list.ptr += one.len;
        list.len -= one.len;
        while (one.len > 0 && (one.ptr[0] == ' ' || one.ptr[0] == '\t'))
            one.ptr++, one.len--;
        while (one.len > 0 && (one.ptr[one.len - 1] == ' ' || one.ptr[one.len - 1] == '\t'))
            one.len--;
        if (shs__str_eq_nocase(one, member))
            return true;
        if (list.len > 0)
            list.ptr++, list.len--;
    }
    return false;
}

static bool is_compressible(const struct shs_response *res)
{
    /* A digest is of the bytes that are sent (RFC 9530). */
    static const char *const untouched[] = {"Content-Encoding",
                                            "Content-Range",
                                            "Content-Digest",
                                            "Repr-Digest",
                                            "Digest",
                                            "Content-MD5",
                                            NULL};
    struct shs_str value;
    char type[TYPE_MAX];

    /* A part of bytes that were named as they are; of several parts Content-Range is within. */
    if (shs_response_status(res) == 206 || has_any(res, untouched))
        return false;
    if (shs_response_header(res, "Cache-Control", &value) && lists(value, SHS_STR("no-transform")))
        return false;
    if (!shs_response_header(res, "Content-Type", &value) || value.len >= sizeof type)
        return false;
    memcpy(type, value.ptr, value.len);
    type[value.len] = '\0';
    return shs__mime_compressible(type);
}

static enum shs_coding wanted(const struct shs_request *req)
{
    /* Of equal ones the quickest: this is done again for each answer. */
    static const enum shs_coding order[] = {SHS_CODING_ZSTD, SHS_CODING_GZIP, SHS_CODING_IDENTITY};
    struct shs_coding_wishes wishes;
    struct shs_str name, value;

    shs__coding_wishes_init(&wishes);
    for (size_t i = 0; shs_request_header_at(req, i, &name, &value); i++) {
        if (shs_str_is_nocase(name, "Accept-Encoding"))
            shs__coding_wishes_add(&wishes, value);
    }
    return shs__coding_choose(&wishes, shs__stream_coders(), order);
}

/* -- bounds ------------------------------------------------------------------------------------ */

static bool take(struct shs_compress *self, atomic_uint *places, unsigned max, size_t bytes)
{
    bool fits = atomic_fetch_add(places, 1) < max;

    if (fits && atomic_fetch_add(&self->memory, bytes) + bytes <= self->opt.max_memory)
        return true;
    if (fits)
        atomic_fetch_sub(&self->memory, bytes);
    atomic_fetch_sub(places, 1);
    return false;
}

static void give_back(struct shs_compress *self, atomic_uint *places, size_t bytes)
{
    atomic_fetch_sub(&self->memory, bytes);
    atomic_fetch_sub(places, 1);
}

/* -- an answer that streams -------------------------------------------------------------------- */

static const char *stream_begin(void *ctx, struct shs_request *req, struct shs_response *res,
                                uint64_t length)
{
    struct compressed *self = ctx;
    enum shs_coding coding;

    if (length < SHS_COMPRESS_MIN || !is_compressible(res) ||
        shs_response_stand(res, "Vary", "Accept-Encoding") != SHS_OK)
        return NULL;
    coding = wanted(req);
    if (coding == SHS_CODING_IDENTITY)
        return NULL;
    if (shs_str_is(shs_request_method(req), "HEAD")) /* there is nothing to compress */
        return shs__coding_name(coding);
    if (!take(self->owner, &self->owner->streams, self->owner->opt.max_streams,
              SHS_STREAM_CODER_BYTES))
        return NULL;
    if (shs__stream_coder_new(&self->coder, coding) == SHS_OK)
        return shs__coding_name(coding);
    give_back(self->owner, &self->owner->streams, SHS_STREAM_CODER_BYTES);
    return NULL;
}

static int stream_code(void *ctx, enum shs_coding_step step, struct shs_str *in, void *out,
                       size_t cap, size_t *got)
{
    struct compressed *self = ctx;

    return shs__stream_coder_code(self->coder, step, in, out, cap, got);
}

static void stream_free(void *ctx)
{
    struct compressed *self = ctx;

    if (self->coder == NULL)
        return;
    shs__stream_coder_free(self->coder);
    give_back(self->owner, &self->owner->streams, SHS_STREAM_CODER_BYTES);
}

static const struct shs_content_coding stream_coding = {
    .begin = stream_begin, .code = stream_code, .free = stream_free};

/* Another one that stands around this one does it already: SHS_OK. */
static int offer(struct shs_compress *self, struct shs_request *req, struct shs_response *res)
{
    struct compressed *answer = shs_request_alloc(req, sizeof *answer);
    int rc;

    if (answer == NULL)
        return SHS_NOMEM;
    *answer = (struct compressed){.owner = self};
    rc = shs_response_set_coding(res, &stream_coding, answer);
    return rc == SHS_LIMIT ? SHS_OK : rc;
}

/* -- an answer that is whole ------------------------------------------------------------------- */

static int compress_whole(const struct shs_request *req, struct shs_response *res,
                          struct shs_str body)
{
    enum shs_coding coding = wanted(req);
    struct shs_buf small;
    int rc = SHS_OK;

    if (coding == SHS_CODING_IDENTITY)
        return SHS_OK;
    shs__buf_init(&small, body.len * 2); /* coders ask for the room of the worst case */
    if (shs__compress(coding, body.ptr, body.len, &small) == SHS_OK && small.len < body.len)
        rc = shs_response_replace_body(res, shs__buf_head(&small), small.len, "Content-Encoding",
                                       shs__coding_name(coding));
    shs__buf_free(&small);
    return rc;
}

/* Has the client a copy under the strong tag, of the bytes as they are? */
static bool has_strong(const struct shs_request *req, struct shs_str tag)
{
    struct shs_str name, value, one;
    bool weak;

    for (size_t i = 0; shs_request_header_at(req, i, &name, &value); i++) {
        if (!shs_str_is_nocase(name, "If-None-Match"))
            continue;
        while (shs__etag_next(&value, &one, &weak)) {
            if (!weak && shs__str_eq(one, tag))
                return true;
        }
    }
    return false;
}

/*
 * As the answer that it stands for (RFC 9110 section 15.4.5). Whether that would be compressed,
 * its body would tell; so it is what the client has got: under the weak tag what was compressed.
 */
static int not_modified(const struct shs_request *req, struct shs_response *res)
{
    struct shs_str tag;

    SHS_RETURN_IF_ERROR(shs_response_stand(res, "Vary", "Accept-Encoding"));
    if (wanted(req) == SHS_CODING_IDENTITY ||
        (shs_response_header(res, "ETag", &tag) && has_strong(req, tag)))
        return SHS_OK;
    return shs_response_weaken_etag(res);
}

static int compress_handle(struct shs_request *req, struct shs_response *res, void *ctx,
                           const struct shs_next *next)
{
    struct shs_compress *self = ctx;
    struct shs_str body;
    size_t bytes;
    int rc = offer(self, req, res);

    if (rc == SHS_OK)
        rc = shs_next_call(next, req, res);
    if (rc != SHS_OK || shs_response_has_left(res))
        return rc;
    if (shs_response_status(res) == 304)
        return not_modified(req, res);
    if (!shs_response_body(res, &body) || body.len < SHS_COMPRESS_MIN ||
        body.len > SHS_COMPRESS_MAX || !is_compressible(res))
        return SHS_OK;
    SHS_RETURN_IF_ERROR(shs_response_stand(res, "Vary", "Accept-Encoding"));
    bytes = body.len * 2 + SHS_WHOLE_CODER_BYTES;
    if (!take(self, &self->whole, self->opt.max_whole, bytes))
        return SHS_OK;
    rc = compress_whole(req, res, body);
    give_back(self, &self->whole, bytes);
    return rc;
}

static int compress_any(struct shs_request *req, struct shs_response *res)
{
    struct shs_compress *self = shs_request_ctx(req);
    struct shs_next next = {NULL, &self->next, NULL};

    return compress_handle(req, res, self, &next);
}

/* -- life -------------------------------------------------------------------------------------- */

void shs_compress_options_init_sized(struct shs_compress_options *opt, size_t size)
{
    struct shs_compress_options defaults = {
        .size = size, .max_memory = (size_t)32 << 20, .max_whole = 4, .max_streams = 32};

    shs__sized_init(opt, size, &defaults, sizeof defaults);
}

int shs_compress_new(struct shs_compress **out, const struct shs_http_handler *next,
                     const struct shs_compress_options *opt, struct shs_error *err)
{
    struct shs_compress_options mine;
    struct shs_compress *self;
    int rc;

    shs_compress_options_init(&mine);
    rc = opt == NULL ? SHS_OK
                     : shs__sized_copy(&mine, sizeof mine, opt, "shs_compress_options", err);
    if (rc != SHS_OK)
        return rc;
    self = shs__calloc(1, sizeof *self);
    if (self == NULL)
        return shs_error_set(err, SHS_NOMEM, 0, "Out of memory for compression.");
    self->opt = mine;
    shs__stand_before(&self->next, &self->handler, "Compress", compress_any, next, self);
    self->middleware = (struct shs_middleware){"Compress", compress_handle, self};
    *out = self;
    return SHS_OK;
}

void shs_compress_free(struct shs_compress *self)
{
    shs__free(self);
}

const struct shs_http_handler *shs_compress_handler(const struct shs_compress *self)
{
    return &self->handler;
}

const struct shs_middleware *shs_compress_middleware(const struct shs_compress *self)
{
    return &self->middleware;
}
