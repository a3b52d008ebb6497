/*
 * static_answer.c - a file is open: which representation of it, under which conditions, how much.
 */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <sys/random.h>
#include <unistd.h>

#include <shs/text.h>

#include "handler/beneath.h"
#include "handler/coding.h"
#include "handler/conditional.h"
#include "handler/range.h"
#include "handler/static_site.h"

/* A body up to this is read at once, so that it leaves with its head in one record. */
#define SMALL_FILE_MAX 16384
#define BOUNDARY_LEN 32
#define PART_HEAD_MAX 512
/* "-zstd" in an entity tag. */
#define TAG_ROOM (SHS_ETAG_SIZE + 8)

/* What is sent, and what is said of it. */
struct representation {
    int fd; /* -1: it is not open, because `kept` has all of it */
    const struct shs_kept_file *kept;
    uint64_t size;
    int64_t mtime;
    const char *type;
    enum shs_coding coding;
    bool to_compress; /* fd has the file as it is; the coding is still to be made */
    bool varies;      /* by Accept-Encoding */
    char etag[TAG_ROOM];
    char modified[SHS_HTTP_DATE_LEN + 1];
    /* Under which name it may be kept, and in which state it was found; ptr NULL: it may not. */
    struct shs_file_cache *cache;
    struct shs_str keep_as;
    const struct stat *keep_st;
};

/* -- which one --------------------------------------------------------------------------------- */

/* Another descriptor has what is sent. */
static void replace_fd(struct representation *r, int fd)
{
    if (r->fd >= 0)
        close(r->fd);
    r->fd = fd;
    r->kept = NULL;
    r->keep_as.ptr = NULL;
}

/* A sibling of the file that has it in this coding, and is not older: its descriptor, or -1. */
static int open_sibling(const struct shs_static_files *self, const struct shs_clean_path *path,
                        enum shs_coding coding, const struct stat *original, struct stat *st)
{
    const char *suffix = shs__coding_suffix(coding);
    char name[SHS_STATIC_PATH_MAX + 8];
    int fd;

    if (path->len + strlen(suffix) >= SHS_STATIC_PATH_MAX)
        return -1;
    memcpy(name, path->name, path->len);
    memcpy(name + path->len, suffix, strlen(suffix) + 1);
    fd = shs__open_beneath(self->root_fd, name, O_RDONLY);
    if (fd >= 0 && fstat(fd, st) == 0 && S_ISREG(st->st_mode) && st->st_mtime >= original->st_mtime)
        return fd;
    if (fd >= 0)
        close(fd);
    return -1;
}

/* The tag of what is made of a file is the file's, with the coding's name in it. */
static void tag_coding(char etag[TAG_ROOM], enum shs_coding coding)
{
    size_t len = strlen(etag);

    snprintf(etag + len - 1, TAG_ROOM - (len - 1), "-%s\"", shs__coding_name(coding));
}

static bool read_wishes(const struct shs_request *req, struct shs_coding_wishes *wishes)
{
    struct shs_str name, value;
    bool found = false;

    shs__coding_wishes_init(wishes);
    for (size_t i = 0; shs_request_header_at(req, i, &name, &value); i++) {
        if (!shs__str_eq_nocase(name, SHS_STR("Accept-Encoding")))
            continue;
        shs__coding_wishes_add(wishes, value);
        found = true;
    }
    return found;
}

static bool use_sibling(struct shs_static_files *self, struct representation *r,
                        const struct shs_coding_wishes *wishes, const struct stat *st,
                        const struct shs_clean_path *path)
{
    static const enum shs_coding smallest_first[] = {SHS_CODING_BR, SHS_CODING_ZSTD,
                                                     SHS_CODING_GZIP, SHS_CODING_IDENTITY};
    unsigned left = SHS_CODING_BIT(SHS_CODING_BR) | SHS_CODING_BIT(SHS_CODING_ZSTD) |
                    SHS_CODING_BIT(SHS_CODING_GZIP);
    struct stat sibling;
    int fd;

    for (;;) {
        enum shs_coding coding = shs__coding_choose(wishes, left, smallest_first);

        if (coding == SHS_CODING_IDENTITY)
            return false;
        left &= ~SHS_CODING_BIT(coding);
        fd = open_sibling(self, path, coding, st, &sibling);
        if (fd < 0)
            continue;
        replace_fd(r, fd);
        r->coding = coding;
        r->size = (uint64_t)sibling.st_size;
        r->mtime = sibling.st_mtime;
        shs__etag_format(r->etag, &sibling);
        return true;
    }
}

/* Chooses the content coding. A part of a file is a part of what is on the disk: a request for a
   range is never compressed on the fly. */
static void choose_coding(struct shs_static_files *self, struct representation *r,
                          const struct shs_request *req, const struct stat *st,
                          const struct shs_clean_path *path)
{
    static const enum shs_coding fastest_first[] = {SHS_CODING_ZSTD, SHS_CODING_BR, SHS_CODING_GZIP,
                                                    SHS_CODING_IDENTITY};
    struct shs_coding_wishes wishes;
    struct shs_str ignored;

    if ((!self->precompressed && self->coders == 0) || !shs__mime_compressible(r->type))
        return;
    r->varies = true;
    if (!read_wishes(req, &wishes) ||
        (self->precompressed && use_sibling(self, r, &wishes, st, path)))
        return;
    if (r->size < SHS_COMPRESS_MIN || r->size > SHS_COMPRESS_MAX ||
        shs_request_header(req, "Range", &ignored))
        return;
    r->coding = shs__coding_choose(&wishes, self->coders, fastest_first);
    r->to_compress = r->coding != SHS_CODING_IDENTITY;
    if (r->to_compress)
        tag_coding(r->etag, r->coding);
}

/* -- heads ------------------------------------------------------------------------------------- */

static int begin(const struct representation *r, struct shs_response *res, int status)
{
    SHS_RETURN_IF_ERROR(shs_send_response(res, status));
    SHS_RETURN_IF_ERROR(shs_send_field(res, SHS_STR("Last-Modified"), shs__str(r->modified)));
    SHS_RETURN_IF_ERROR(shs_send_field(res, SHS_STR("ETag"), shs__str(r->etag)));
    if (r->varies)
        SHS_RETURN_IF_ERROR(shs_send_field(res, SHS_STR("Vary"), SHS_STR("Accept-Encoding")));
    return SHS_OK;
}

/* The head of a 200 or 206, but for its length. */
static int begin_content(const struct shs_static_files *self, const struct representation *r,
                         struct shs_response *res, int status, const char *type)
{
    SHS_RETURN_IF_ERROR(begin(r, res, status));
    SHS_RETURN_IF_ERROR(shs_send_header(res, "Content-Type", type));
    SHS_RETURN_IF_ERROR(shs_send_field(res, SHS_STR("Accept-Ranges"), SHS_STR("bytes")));
    if (r->coding != SHS_CODING_IDENTITY)
        SHS_RETURN_IF_ERROR(shs_send_header(res, "Content-Encoding", shs__coding_name(r->coding)));
    return shs__static_extra_headers(self, res, false);
}

static int send_not_modified(const struct shs_static_files *self, const struct representation *r,
                             struct shs_response *res)
{
    SHS_RETURN_IF_ERROR(begin(r, res, 304));
    SHS_RETURN_IF_ERROR(shs__static_extra_headers(self, res, true));
    return shs_end_headers(res);
}

/* -- bodies ------------------------------------------------------------------------------------ */

/* Reads what there is of `want` bytes: a file that is cut shorter meanwhile is a shorter file. */
static int read_at(const struct representation *r, uint64_t offset, char *data, size_t want,
                   size_t *got)
{
    ssize_t n;

    *got = 0;
    if (r->kept != NULL) {
        memcpy(data, r->kept->data + offset, want);
        *got = want;
        return SHS_OK;
    }
    while (*got < want) {
        n = pread(r->fd, data + *got, want - *got, (off_t)(offset + *got));
        if (n == 0)
            break;
        if (n < 0 && errno != EINTR)
            return SHS_IO;
        if (n > 0)
            *got += (size_t)n;
    }
    return SHS_OK;
}

static int send_kept(struct shs_response *res, const char *data, size_t length)
{
    SHS_RETURN_IF_ERROR(shs_send_length(res, length));
    SHS_RETURN_IF_ERROR(shs_end_headers(res));
    return length == 0 ? SHS_OK : shs_write(res, data, length);
}

/* Length, end of the head, and these bytes of r->fd, which is taken when *taken is set. */
static int send_bytes(const struct representation *r, struct shs_response *res, uint64_t first,
                      uint64_t length, bool *taken)
{
    char data[SMALL_FILE_MAX];
    size_t got;

    if (r->kept != NULL)
        return send_kept(res, r->kept->data + first, (size_t)length);
    if (length > sizeof data) {
        *taken = true;
        return shs_send_file(res, r->fd, first, length);
    }
    if (read_at(r, first, data, (size_t)length, &got) != SHS_OK)
        return shs__static_refuse(res, EIO);
    if (r->keep_as.ptr != NULL && got == length && length == r->size)
        shs__file_cache_put(r->cache, r->keep_as, r->keep_st, data, got);
    SHS_RETURN_IF_ERROR(shs_send_length(res, got));
    SHS_RETURN_IF_ERROR(shs_end_headers(res));
    return got == 0 ? SHS_OK : shs_write(res, data, got);
}

static int send_whole(const struct shs_static_files *self, struct shs_request *req,
                      struct shs_response *res, const struct representation *r, bool *taken)
{
    SHS_RETURN_IF_ERROR(begin_content(self, r, res, 200, r->type));
    if (!shs__static_is_head(req))
        return send_bytes(r, res, 0, r->size, taken);
    SHS_RETURN_IF_ERROR(shs_send_length(res, r->size));
    return shs_end_headers(res);
}

/* r->fd becomes a descriptor with the coded bytes; SHS_IO with errno, SHS_NOMEM. */
static int make_coding(struct shs_static_files *self, struct representation *r)
{
    struct shs_buf plain, coded;
    size_t got = 0;
    int rc, fd;

    fd = shs__coded_cache_get(self->coded, r->etag, &r->size);
    shs__buf_init(&plain, SHS_COMPRESS_MAX);
    shs__buf_init(&coded, SHS_COMPRESS_MAX + SHS_COMPRESS_MAX / 4 + 4096);
    if (fd < 0) {
        rc = shs__buf_reserve(&plain, (size_t)r->size);
        if (rc == SHS_OK)
            rc = read_at(r, 0, shs__buf_tail(&plain), (size_t)r->size, &got);
        if (rc == SHS_OK)
            rc = shs__compress(r->coding, shs__buf_head(&plain), got, &coded);
        if (rc != SHS_OK)
            goto out;
        fd = shs__coded_cache_put(self->coded, r->etag, shs__buf_head(&coded), coded.len);
        r->size = coded.len;
    }
    rc = fd < 0 ? SHS_IO : SHS_OK;
    if (fd >= 0)
        replace_fd(r, fd);
out:
    shs__buf_free(&plain);
    shs__buf_free(&coded);
    return rc;
}

/* -- ranges ------------------------------------------------------------------------------------ */

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

static int send_unsatisfiable(struct shs_response *res, const struct representation *r)
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

static int part_head(char head[PART_HEAD_MAX], const struct representation *r,
                     const struct shs_range *range, const char *boundary, bool first)
{
    return snprintf(head, PART_HEAD_MAX,
                    "%s--%s\r\nContent-Type: %s\r\nContent-Range: bytes %" PRIu64 "-%" PRIu64
                    "/%" PRIu64 "\r\n\r\n",
                    first ? "" : "\r\n", boundary, r->type, range->first,
                    range->first + range->length - 1, r->size);
}

static int write_range(const struct representation *r, struct shs_response *res,
                       const struct shs_range *range)
{
    char data[SMALL_FILE_MAX];
    uint64_t done = 0, left;
    size_t want, got;

    while (done < range->length) {
        left = range->length - done;
        want = left < sizeof data ? (size_t)left : sizeof data;
        SHS_RETURN_IF_ERROR(read_at(r, range->first + done, data, want, &got));
        if (got < want)
            return SHS_IO; /* it became shorter: the length that was said cannot be kept */
        SHS_RETURN_IF_ERROR(shs_write(res, data, got));
        done += got;
    }
    return SHS_OK;
}

/* multipart/byteranges, RFC 9110 section 14.6. */
static int send_parts(const struct shs_static_files *self, struct shs_response *res,
                      const struct representation *r, const struct shs_range *ranges, size_t count)
{
    char boundary[BOUNDARY_LEN + 1], head[PART_HEAD_MAX], text[PART_HEAD_MAX];
    uint64_t length = 0;

    if (make_boundary(boundary) != SHS_OK)
        return shs_send_error(res, 503, NULL);
    for (size_t i = 0; i < count; i++)
        length += (uint64_t)part_head(head, r, &ranges[i], boundary, i == 0) + ranges[i].length;
    length += (uint64_t)snprintf(head, sizeof head, "\r\n--%s--\r\n", boundary);
    snprintf(text, sizeof text, "multipart/byteranges; boundary=%s", boundary);
    SHS_RETURN_IF_ERROR(begin_content(self, r, res, 206, text));
    SHS_RETURN_IF_ERROR(shs_send_length(res, length));
    SHS_RETURN_IF_ERROR(shs_end_headers(res));
    for (size_t i = 0; i < count; i++) {
        size_t len = (size_t)part_head(text, r, &ranges[i], boundary, i == 0);

        SHS_RETURN_IF_ERROR(shs_write(res, text, len));
        SHS_RETURN_IF_ERROR(write_range(r, res, &ranges[i]));
    }
    return shs_write(res, head, strlen(head));
}

static int send_ranges(const struct shs_static_files *self, struct shs_response *res,
                       const struct representation *r, const struct shs_range *ranges, size_t count,
                       bool *taken)
{
    if (count > 1)
        return send_parts(self, res, r, ranges, count);
    SHS_RETURN_IF_ERROR(begin_content(self, r, res, 206, r->type));
    SHS_RETURN_IF_ERROR(send_content_range(res, &ranges[0], r->size));
    return send_bytes(r, res, ranges[0].first, ranges[0].length, taken);
}

/* What Range asks for, if it is to be followed at all (RFC 9110 section 14.2: GET only). */
static enum shs_range_verdict wanted_ranges(const struct shs_request *req,
                                            const struct representation *r,
                                            struct shs_range *ranges, size_t *count)
{
    struct shs_str value;

    if (!shs__str_eq(shs_request_method(req), SHS_STR("GET")) ||
        !shs__header_once(req, "Range", &value) || !shs__if_range(req, r->etag, r->mtime))
        return SHS_RANGE_WHOLE;
    return shs__ranges_parse(value, r->size, ranges, count);
}

static int answer(struct shs_static_files *self, struct shs_request *req, struct shs_response *res,
                  struct representation *r, bool *taken)
{
    struct shs_range ranges[SHS_RANGES_MAX + 1];
    size_t count = 0;

    switch (shs__preconditions(req, r->etag, r->mtime)) {
    case SHS_PRECONDITION_HOLDS:
        break;
    case SHS_PRECONDITION_NOT_MODIFIED:
        return send_not_modified(self, r, res);
    case SHS_PRECONDITION_FAILED:
        return shs_send_page(res, 412, "The file is not what the request takes it to be.");
    }
    if (r->to_compress && make_coding(self, r) != SHS_OK)
        return shs_send_error(res, 503, NULL);
    switch (wanted_ranges(req, r, ranges, &count)) {
    case SHS_RANGE_PARTS:
        return send_ranges(self, res, r, ranges, count, taken);
    case SHS_RANGE_UNSATISFIABLE:
        return send_unsatisfiable(res, r);
    case SHS_RANGE_WHOLE:
        break;
    }
    return send_whole(self, req, res, r, taken);
}

/* The rest of an answer, once it is known which file it is; closes it. */
static int answer_with(struct shs_static_files *self, struct shs_request *req,
                       struct shs_response *res, struct representation *r, const struct stat *st,
                       const struct shs_clean_path *path)
{
    bool taken = false;
    int rc;

    r->size = (uint64_t)st->st_size;
    r->mtime = st->st_mtime;
    r->type = shs__mime_lookup(self->types, (struct shs_str){path->name, path->len});
    choose_coding(self, r, req, st, path);
    if (r->kept == NULL)
        shs_http_date((time_t)r->mtime, r->modified);
    rc = answer(self, req, res, r, &taken);
    if (!taken && r->fd >= 0)
        close(r->fd);
    return rc;
}

int shs__static_answer(struct shs_static_files *self, struct shs_request *req,
                       struct shs_response *res, int fd, const struct stat *st,
                       const struct shs_clean_path *path)
{
    struct representation r = {.fd = fd, .cache = self->kept, .keep_st = st};

    r.keep_as = (struct shs_str){path->name, path->len};
    shs__etag_format(r.etag, st);
    return answer_with(self, req, res, &r, st, path);
}

int shs__static_answer_kept(struct shs_static_files *self, struct shs_request *req,
                            struct shs_response *res, const struct shs_clean_path *path)
{
    int64_t since_ns = shs_request_since(req);
    struct shs_kept_file *kept = shs__file_cache_get(
        self->kept, self->root_fd, (struct shs_str){path->name, path->len}, since_ns);
    struct representation r = {.fd = -1, .kept = kept};
    int rc;

    if (kept == NULL)
        return SHS_STATIC_NOT_KEPT;
    memcpy(r.etag, kept->etag, sizeof kept->etag);
    memcpy(r.modified, kept->modified, sizeof r.modified);
    rc = answer_with(self, req, res, &r, &kept->st, path);
    shs__file_cache_release(kept);
    return rc;
}
