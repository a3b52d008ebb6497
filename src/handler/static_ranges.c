/*
 * static_ranges.c - parts of a file: 206 with one of them or with several, 416.
 *
 * Follows: RFC 9110 sections 14.2 (Range), 14.6 (multipart/byteranges), 15.3.7, 15.5.17.
 */
#include <inttypes.h>
#include <stdio.h>
#include <sys/random.h>

#include "handler/range.h"
#include "handler/static_site.h"

#define PIECE 16384
#define BOUNDARY_LEN 32
#define PART_HEAD_MAX 512

static int send_content_range(struct shs_response *res, const struct shs_range *range,
                              uint64_t size)
{
    char text[80];

    if (range == NULL)
        snprintf(text, sizeof text, "bytes */%" PRIu64, size);
    else
        snprintf(text, sizeof text, "bytes %" PRIu64 "-%" PRIu64 "/%" PRIu64, range->first,
                 range->first + range->length - 1, size);
    return shs_send_header(res, "Content-Range", text);
}

static int send_unsatisfiable(struct shs_response *res, const struct shs_representation *r)
{
    static const char text[] = "The file has no such bytes.\n";

    SHS_RETURN_IF_ERROR(shs_send_response(res, 416));
    SHS_RETURN_IF_ERROR(send_content_range(res, NULL, r->size));
    SHS_RETURN_IF_ERROR(shs_send_header(res, "Content-Type", "text/plain; charset=utf-8"));
    SHS_RETURN_IF_ERROR(shs_end_headers(res));
    return shs_write(res, text, sizeof text - 1);
}

/* No file has 128 random bits in it by chance. */
static int make_boundary(char boundary[BOUNDARY_LEN + 1])
{
    unsigned char bits[BOUNDARY_LEN / 2];

    if (getrandom(bits, sizeof bits, GRND_NONBLOCK) != (ssize_t)sizeof bits)
        return SHS_IO;
    for (size_t i = 0; i < sizeof bits; i++)
        snprintf(boundary + 2 * i, 3, "%02x", bits[i]);
    return SHS_OK;
}

static int part_head(char head[PART_HEAD_MAX], const struct shs_representation *r,
                     const struct shs_range *range, const char *boundary, bool first)
{
    return snprintf(head, PART_HEAD_MAX,
                    "%s--%s\r\nContent-Type: %s\r\nContent-Range: bytes %" PRIu64 "-%" PRIu64
                    "/%" PRIu64 "\r\n\r\n",
                    first ? "" : "\r\n", boundary, r->type, range->first,
                    range->first + range->length - 1, r->size);
}

static int write_range(const struct shs_representation *r, struct shs_response *res,
                       const struct shs_range *range)
{
    char data[PIECE];
    uint64_t done = 0, left;
    size_t want, got;

    while (done < range->length) {
        left = range->length - done;
        want = left < sizeof data ? (size_t)left : sizeof data;
        SHS_RETURN_IF_ERROR(shs__static_read_at(r, range->first + done, data, want, &got));
        if (got < want)
            return SHS_IO; /* it became shorter: the length that was said cannot be kept */
        SHS_RETURN_IF_ERROR(shs_write(res, data, got));
        done += got;
    }
    return SHS_OK;
}

static int send_parts(const struct shs_visit *v, const struct shs_representation *r,
                      const struct shs_range *ranges, size_t count)
{
    char boundary[BOUNDARY_LEN + 1], head[PART_HEAD_MAX], text[PART_HEAD_MAX];
    uint64_t length = 0;

    if (make_boundary(boundary) != SHS_OK)
        return shs__static_come_again(v->res, NULL);
    for (size_t i = 0; i < count; i++)
        length += (uint64_t)part_head(head, r, &ranges[i], boundary, i == 0) + ranges[i].length;
    length += (uint64_t)snprintf(head, sizeof head, "\r\n--%s--\r\n", boundary);
    snprintf(text, sizeof text, "multipart/byteranges; boundary=%s", boundary);
    SHS_RETURN_IF_ERROR(shs__static_begin_content(v, r, 206, text));
    SHS_RETURN_IF_ERROR(shs_send_length(v->res, length));
    SHS_RETURN_IF_ERROR(shs_end_headers(v->res));
    for (size_t i = 0; i < count; i++) {
        size_t len = (size_t)part_head(text, r, &ranges[i], boundary, i == 0);

        SHS_RETURN_IF_ERROR(shs_write(v->res, text, len));
        SHS_RETURN_IF_ERROR(write_range(r, v->res, &ranges[i]));
    }
    return shs_write(v->res, head, strlen(head));
}

bool shs__static_many_ranges(const struct shs_request *req)
{
    struct shs_str value;

    return shs__header_once(req, "Range", &value) && value.len > 0 &&
           memchr(value.ptr, ',', value.len) != NULL;
}

/* What Range asks for, if it is to be followed at all (RFC 9110 section 14.2: GET only). */
static enum shs_range_verdict wanted_ranges(const struct shs_request *req,
                                            const struct shs_representation *r,
                                            struct shs_range *ranges, size_t *count)
{
    enum shs_range_verdict verdict;
    struct shs_str value;

    if (!shs__str_eq(shs_request_method(req), SHS_STR("GET")) ||
        !shs__header_once(req, "Range", &value) || !shs__if_range(req, r->etag, r->mtime))
        return SHS_RANGE_WHOLE;
    verdict = shs__ranges_parse(value, r->size, ranges, count);
    /* The coding would be that of the whole answer, with the heads of its parts: of no use. */
    if (verdict == SHS_RANGE_PARTS && *count > 1 && r->coding != SHS_CODING_IDENTITY)
        return SHS_RANGE_WHOLE;
    return verdict;
}

int shs__static_send_ranges(struct shs_visit *v, struct shs_representation *r)
{
    struct shs_range ranges[SHS_RANGES_MAX + 1];
    size_t count = 0;

    switch (wanted_ranges(v->req, r, ranges, &count)) {
    case SHS_RANGE_WHOLE:
        return SHS_STATIC_WHOLE;
    case SHS_RANGE_UNSATISFIABLE:
        return send_unsatisfiable(v->res, r);
    case SHS_RANGE_PARTS:
        break;
    }
    if (count > 1)
        return send_parts(v, r, ranges, count);
    SHS_RETURN_IF_ERROR(shs__static_begin_content(v, r, 206, r->type));
    SHS_RETURN_IF_ERROR(send_content_range(v->res, &ranges[0], r->size));
    return shs__static_send_bytes(v, r, ranges[0].first, ranges[0].length);
}
