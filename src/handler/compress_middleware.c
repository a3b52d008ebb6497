/*
 * compress_middleware.c - <shs/middleware.h>: an answer that is whole, made smaller.
 */
#include <shs/middleware.h>

#include <stdio.h>

#include "base/base.h"
#include "handler/coding.h"
#include "handler/mime.h"

#define TYPE_MAX 200
#define TAG_MAX 200

static bool is_compressible(const struct shs_response *res)
{
    struct shs_str value;
    char type[TYPE_MAX];

    if (shs_response_header(res, "Content-Encoding", &value) ||
        shs_response_header(res, "Content-Range", &value))
        return false;
    if (shs_response_header(res, "Cache-Control", &value) &&
        memmem(value.ptr, value.len, "no-transform", 12) != NULL)
        return false;
    if (!shs_response_header(res, "Content-Type", &value) || value.len >= sizeof type)
        return false;
    memcpy(type, value.ptr, value.len);
    type[value.len] = '\0';
    return shs__mime_compressible(type);
}

static enum shs_coding wanted(const struct shs_request *req)
{
    /* Of equal ones the quickest: this is done for each answer anew. */
    static const enum shs_coding order[] = {SHS_CODING_ZSTD, SHS_CODING_GZIP, SHS_CODING_IDENTITY};
    struct shs_coding_wishes wishes;
    struct shs_str name, value;

    shs__coding_wishes_init(&wishes);
    for (size_t i = 0; shs_request_header_at(req, i, &name, &value); i++) {
        if (shs_str_is_nocase(name, "Accept-Encoding"))
            shs__coding_wishes_add(&wishes, value);
    }
    return shs__coding_choose(&wishes, shs__coders() & ~SHS_CODING_BIT(SHS_CODING_BR), order);
}

static int compress_handle(struct shs_request *req, struct shs_response *res, void *ctx,
                           const struct shs_next *next)
{
    int rc = shs_next_call(next, req, res);
    enum shs_coding coding;
    struct shs_str body;
    struct shs_buf small;

    SHS_UNUSED(ctx);
    if (rc != SHS_OK || !shs_response_body(res, &body) || body.len < SHS_COMPRESS_MIN ||
        body.len > SHS_COMPRESS_MAX || !is_compressible(res))
        return rc;
    SHS_RETURN_IF_ERROR(shs_response_stand(res, "Vary", "Accept-Encoding"));
    coding = wanted(req);
    if (coding == SHS_CODING_IDENTITY)
        return SHS_OK;
    shs__buf_init(&small, body.len * 2); /* coders ask for the room of the worst case */
    if (shs__compress(coding, body.ptr, body.len, &small) == SHS_OK && small.len < body.len)
        rc = shs_response_replace_body(res, shs__buf_head(&small), small.len, "Content-Encoding",
                                       shs__coding_name(coding));
    shs__buf_free(&small);
    return rc;
}

struct shs_middleware shs_compress_middleware(void)
{
    return (struct shs_middleware){"Compress", compress_handle, NULL};
}
