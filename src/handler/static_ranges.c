/*
 * static_ranges.c - parts of a file: 206 with one of them or with several, 416.
 *
 * Follows: RFC 9110 sections 14.2 (Range), 14.6 (multipart/byteranges), 15.3.7, 15.5.17.
 */
#include <inttypes.h>
#include <stdio.h>
#include <sys/random.h>
#include <unistd.h>

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
    static const char text[] = "The requested range is beyond the end of the file.\n";

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

/* Several parts on their way to a reader who may be slow. */
struct parts {
    struct shs_representation r; /* its descriptor is ours */
    struct shs_range ranges[SHS_RANGES_MAX + 1];
    size_t count, at; /* the part that is being sent */
    bool headed;      /* its head is in `text`, or has been sent */
    uint64_t done;    /* of its bytes */
    char boundary[BOUNDARY_LEN + 1], text[PART_HEAD_MAX];
    size_t text_at, text_len; /* what is to be sent before the bytes */
};

/* The next head, or what closes the last part; false at the end. */
static bool next_text(struct parts *self)
{
    int len;

    if (self->at > self->count)
        return false;
    if (self->at == self->count) {
        len = snprintf(self->text, sizeof self->text, "\r\n--%s--\r\n", self->boundary);
        self->at++;
    } else {
        len =
            part_head(self->text, &self->r, &self->ranges[self->at], self->boundary, self->at == 0);
        self->headed = true;
        self->done = 0;
    }
    self->text_at = 0;
    self->text_len = (size_t)len;
    return true;
}

static int read_part(struct parts *self, void *buf, size_t cap, size_t *got)
{
    const struct shs_range *range = &self->ranges[self->at];
    uint64_t left = range->length - self->done;
    size_t want = left < cap ? (size_t)left : cap;

    SHS_RETURN_IF_ERROR(shs__static_read_at(&self->r, range->first + self->done, buf, want, got));
    if (*got < want)
        return SHS_IO; /* it became shorter: the length that was said cannot be kept */
    self->done += *got;
    if (self->done == range->length) {
        if (shs__static_was_overwritten(&self->r))
            return SHS_IO;
        self->at++;
        self->headed = false;
    }
    return SHS_OK;
}

static int read_parts(void *ctx, void *buf, size_t cap, size_t *got)
{
    struct parts *self = ctx;

    *got = 0;
    if (self->text_at == self->text_len && self->headed)
        return read_part(self, buf, cap, got);
    if (self->text_at == self->text_len && !next_text(self))
        return SHS_OK;
    *got = self->text_len - self->text_at < cap ? self->text_len - self->text_at : cap;
    memcpy(buf, self->text + self->text_at, *got);
    self->text_at += *got;
    return SHS_OK;
}

static void free_parts(void *ctx)
{
    struct parts *self = ctx;

    if (self->r.fd >= 0)
        close(self->r.fd);
    shs__free(self);
}

/* A file that is in memory is small, and may be gone when its reader comes to it: sent at once. */
static int write_parts(struct shs_response *res, struct parts *self)
{
    char data[PIECE];
    size_t got = 1;
    int rc = SHS_OK;

    while (rc == SHS_OK && got > 0) {
        rc = read_parts(self, data, sizeof data, &got);
        if (rc == SHS_OK && got > 0)
            rc = shs_write(res, data, got);
    }
    free_parts(self);
    return rc;
}

static uint64_t length_of(const struct parts *self)
{
    char head[PART_HEAD_MAX];
    uint64_t length = (uint64_t)BOUNDARY_LEN + 8; /* CR LF -- boundary -- CR LF */

    for (size_t i = 0; i < self->count; i++)
        length += (uint64_t)part_head(head, &self->r, &self->ranges[i], self->boundary, i == 0) +
                  self->ranges[i].length;
    return length;
}

static int send_parts(const struct shs_visit *v, struct shs_representation *r,
                      const struct shs_range *ranges, size_t count)
{
    static const struct shs_source source = {read_parts, free_parts};
    struct parts *self = shs__calloc(1, sizeof *self);
    char text[PART_HEAD_MAX];
    int rc;

    if (self == NULL || make_boundary(self->boundary) != SHS_OK) {
        shs__free(self);
        return shs__static_come_again(v->res, NULL);
    }
    self->r = *r;
    r->taken = true;
    self->count = count;
    memcpy(self->ranges, ranges, count * sizeof *ranges);
    snprintf(text, sizeof text, "multipart/byteranges; boundary=%s", self->boundary);
    rc = shs__static_begin_content(v, r, 206, text);
    if (rc == SHS_OK)
        rc = shs_send_length(v->res, length_of(self));
    if (rc == SHS_OK)
        rc = shs_end_headers(v->res);
    if (rc != SHS_OK) {
        free_parts(self);
        return rc;
    }
    return r->kept != NULL ? write_parts(v->res, self) : shs_send_source(v->res, &source, self);
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
