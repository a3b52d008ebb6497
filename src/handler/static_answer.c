/*
 * static_answer.c - a file is open: which representation of it, and under which conditions.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <time.h>
#include <unistd.h>

#include "handler/beneath.h"
#include "handler/static_site.h"

/* A body up to this is read at once, so that it leaves with its head in one record. */
#define SMALL_FILE_MAX SHS_FILE_CACHE_MAX

/* -- which one --------------------------------------------------------------------------------- */

/* Another descriptor has what is sent. */
static void replace_fd(struct shs_representation *r, int fd)
{
    if (r->fd >= 0)
        close(r->fd);
    r->fd = fd;
    r->kept = NULL;
}

static bool not_older(const struct stat *a, const struct stat *b)
{
    return a->st_mtim.tv_sec != b->st_mtim.tv_sec ? a->st_mtim.tv_sec > b->st_mtim.tv_sec
                                                  : a->st_mtim.tv_nsec >= b->st_mtim.tv_nsec;
}

/* A sibling of the file that has it in this coding, and is not older: its descriptor, or -1. */
static int open_sibling(const struct shs_visit *v, enum shs_coding coding,
                        const struct stat *original, struct stat *st)
{
    const char *suffix = shs__coding_suffix(coding);
    char name[SHS_STATIC_PATH_MAX + 8];
    int fd;

    if (v->path.len + strlen(suffix) >= SHS_STATIC_PATH_MAX)
        return -1;
    memcpy(name, v->path.name, v->path.len);
    memcpy(name + v->path.len, suffix, strlen(suffix) + 1);
    fd = shs__open_beneath(v->root->fd, name, O_RDONLY);
    if (fd >= 0 && fstat(fd, st) == 0 && S_ISREG(st->st_mode) && not_older(st, original))
        return fd;
    if (fd >= 0)
        close(fd);
    return -1;
}

bool shs__static_wishes(const struct shs_request *req, struct shs_coding_wishes *wishes)
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

/* Its tag has the file's in it: who has got it has got the file. */
static void tag_sibling(const struct shs_visit *v, struct shs_representation *r,
                        const struct stat *st)
{
    enum shs_tag_need need = shs__asks_by_tag(v->req) ? SHS_TAG_MUST : SHS_TAG_AT_HAND;
    char content[SHS_CONTENT_TAG_LEN + 1];

    if (r->content[0] != '\0' && shs__content_tag(v->site->tags, r->fd, st, need, content)) {
        content[SHS_CONTENT_TAG_LEN / 2] = '\0';
        shs__etag_strong(r->etag, r->content);
        shs__etag_add(r->etag, content);
    } else {
        shs__etag_weak(r->etag, st);
    }
    shs__etag_add(r->etag, shs__coding_name(r->coding));
}

static bool use_sibling(const struct shs_visit *v, struct shs_representation *r,
                        const struct shs_coding_wishes *wishes, const struct stat *st)
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
        fd = open_sibling(v, coding, st, &sibling);
        if (fd < 0)
            continue;
        replace_fd(r, fd);
        r->coding = coding;
        r->size = (uint64_t)sibling.st_size;
        r->mtime = sibling.st_mtime;
        shs__file_state_of(&r->state, &sibling);
        tag_sibling(v, r, &sibling);
        r->weak[0] = '\0';
        return true;
    }
}

/* Is what is in the file compressed already, whatever its name says? */
static bool is_packed(const struct shs_representation *r)
{
    char begin[8];
    size_t got = 0, want = r->size < sizeof begin ? (size_t)r->size : sizeof begin;

    return shs__static_read_at(r, 0, begin, want, &got) == SHS_OK &&
           shs__coding_is_packed(begin, got);
}

/* "a.svgz" is an image with a coding of its own, if it has one. */
static bool has_own_coding(const struct shs_visit *v, const struct shs_representation *r)
{
    char begin[2] = "";
    size_t got = 0;

    return shs__mime_is_gzipped((struct shs_str){v->path.name, v->path.len}) && r->size > 2 &&
           shs__static_read_at(r, 0, begin, sizeof begin, &got) == SHS_OK && got == 2 &&
           memcmp(begin, "\x1f\x8b", 2) == 0;
}

/* Chooses what is made for this answer. */
static void choose_coder(const struct shs_visit *v, struct shs_representation *r,
                         const struct shs_coding_wishes *wishes)
{
    static const enum shs_coding fastest_first[] = {SHS_CODING_ZSTD, SHS_CODING_BR, SHS_CODING_GZIP,
                                                    SHS_CODING_IDENTITY};

    if (r->size > SHS_COMPRESS_MAX || r->content[0] == '\0')
        return;
    r->coding = shs__coding_choose(wishes, v->site->coders, fastest_first);
    r->to_compress = r->coding != SHS_CODING_IDENTITY;
    if (r->to_compress)
        shs__etag_add(r->etag, shs__coding_name(r->coding));
}

/*
 * Chooses the content coding. A part of a file is a part of what is on the disk: a request for a
 * range is not compressed on the fly, and one for several has the file as it is, for the parts of a
 * coding can be decoded by nobody. All that is overruled by a client who refuses the file as it is.
 */
static void choose_coding(const struct shs_visit *v, struct shs_representation *r,
                          const struct stat *st)
{
    bool compressible = shs__mime_compressible(r->type), asked;
    struct shs_coding_wishes wishes;
    struct shs_str ignored;

    if (has_own_coding(v, r)) {
        r->coding = SHS_CODING_GZIP;
        return;
    }
    asked = shs__static_wishes(v->req, &wishes);
    r->must_code = asked && shs__coding_refuses_identity(&wishes);
    if (v->site->precompressed || v->site->coders != 0)
        r->varies = compressible || r->must_code;
    if (asked && r->varies && (r->must_code || !shs__static_many_ranges(v->req)) &&
        !(v->site->precompressed && use_sibling(v, r, &wishes, st)) &&
        (r->must_code || (r->size >= SHS_COMPRESS_MIN &&
                          !shs_request_header(v->req, "Range", &ignored) && !is_packed(r))))
        choose_coder(v, r, &wishes);
    r->refused = r->must_code && r->coding == SHS_CODING_IDENTITY;
}

/* The file as it is after all. */
static void undo_coding(struct shs_representation *r)
{
    r->to_compress = false;
    r->coding = SHS_CODING_IDENTITY;
    memcpy(r->etag, r->plain_etag, sizeof r->etag);
}

/* -- heads ------------------------------------------------------------------------------------- */

static int begin(const struct shs_visit *v, const struct shs_representation *r, int status)
{
    SHS_RETURN_IF_ERROR(shs_send_response(v->res, status));
    SHS_RETURN_IF_ERROR(shs_send_field(v->res, SHS_STR("Last-Modified"), shs__str(r->modified)));
    SHS_RETURN_IF_ERROR(shs_send_field(v->res, SHS_STR("ETag"), shs__str(r->etag)));
    if (r->varies)
        SHS_RETURN_IF_ERROR(shs_send_field(v->res, SHS_STR("Vary"), SHS_STR("Accept-Encoding")));
    return SHS_OK;
}

int shs__static_begin_content(const struct shs_visit *v, const struct shs_representation *r,
                              int status, const char *type)
{
    SHS_RETURN_IF_ERROR(begin(v, r, status));
    SHS_RETURN_IF_ERROR(shs_send_header(v->res, "Content-Type", type));
    SHS_RETURN_IF_ERROR(shs_send_field(v->res, SHS_STR("Accept-Ranges"), SHS_STR("bytes")));
    if (r->coding != SHS_CODING_IDENTITY)
        SHS_RETURN_IF_ERROR(
            shs_send_header(v->res, "Content-Encoding", shs__coding_name(r->coding)));
    return shs__static_extra_headers(v->site, v->res, false);
}

static int send_not_modified(const struct shs_visit *v, const struct shs_representation *r)
{
    SHS_RETURN_IF_ERROR(begin(v, r, 304));
    SHS_RETURN_IF_ERROR(shs__static_extra_headers(v->site, v->res, true));
    return shs_end_headers(v->res);
}

/* -- bodies ------------------------------------------------------------------------------------ */

/* Reads what there is of `want` bytes: a file that is cut shorter meanwhile is a shorter file. */
int shs__static_read_at(const struct shs_representation *r, uint64_t offset, char *data,
                        size_t want, size_t *got)
{
    ssize_t n;

    *got = 0;
    if (r->kept != NULL) {
        if (want > 0)
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

static int send_memory(struct shs_response *res, const char *data, size_t length)
{
    SHS_RETURN_IF_ERROR(shs_send_length(res, length));
    SHS_RETURN_IF_ERROR(shs_end_headers(res));
    return length == 0 ? SHS_OK : shs_write(res, data, length);
}

bool shs__static_was_overwritten(const struct shs_representation *r)
{
    return r->kept == NULL && !r->made &&
           shs__file_change(&r->state, r->fd, NULL) == SHS_FILE_CHANGED;
}

/* The answer keeps an eye on the file from here on; before, it was for us to do. */
static int send_file(const struct shs_visit *v, struct shs_representation *r, uint64_t first,
                     uint64_t length)
{
    r->taken = true;
    SHS_RETURN_IF_ERROR(shs_send_file(v->res, r->fd, first, length));
    return shs__static_was_overwritten(r) ? shs__static_in_motion(v->res) : SHS_OK;
}

/* Length, end of the head, and these bytes. */
int shs__static_send_bytes(const struct shs_visit *v, struct shs_representation *r, uint64_t first,
                           uint64_t length)
{
    char data[SMALL_FILE_MAX];
    size_t got;

    if (r->kept != NULL)
        return send_memory(v->res, r->kept->data + first, (size_t)length);
    if (length > sizeof data)
        return send_file(v, r, first, length);
    if (shs__static_read_at(r, first, data, (size_t)length, &got) != SHS_OK)
        return shs_send_error(v->res, 500, "The file cannot be read.");
    if (got < length || shs__static_was_overwritten(r))
        return shs__static_in_motion(v->res);
    return send_memory(v->res, data, got);
}

static int send_whole(const struct shs_visit *v, struct shs_representation *r)
{
    SHS_RETURN_IF_ERROR(shs__static_begin_content(v, r, 200, r->type));
    if (!shs__static_is_head(v->req))
        return shs__static_send_bytes(v, r, 0, r->size);
    SHS_RETURN_IF_ERROR(shs_send_length(v->res, r->size));
    return shs_end_headers(v->res);
}

/* Compresses the file into a descriptor of its own: -1 when that cannot be done now. */
static int compress_file(const struct shs_visit *v, struct shs_representation *r)
{
    struct shs_buf plain, coded;
    size_t got = 0;
    int rc, fd = -1;

    shs__buf_init(&plain, SHS_COMPRESS_MAX);
    shs__buf_init(&coded, SHS_COMPRESS_MAX + SHS_COMPRESS_MAX / 4 + 4096);
    rc = shs__buf_reserve(&plain, (size_t)r->size);
    if (rc == SHS_OK)
        rc = shs__static_read_at(r, 0, shs__buf_tail(&plain), (size_t)r->size, &got);
    if (rc == SHS_OK && got == r->size && !shs__static_was_overwritten(r))
        rc = shs__compress(r->coding, shs__buf_tail(&plain), got, &coded);
    else
        rc = SHS_IO;
    if (rc == SHS_OK)
        fd = shs__coded_cache_put(v->site->coded, r->etag, shs__buf_head(&coded), coded.len);
    if (fd >= 0)
        r->size = coded.len;
    shs__buf_free(&plain);
    shs__buf_free(&coded);
    return fd;
}

/* The coded bytes become what is sent. False: not now. */
static bool make_coding(const struct shs_visit *v, struct shs_representation *r)
{
    int fd = shs__coded_cache_get(v->site->coded, r->etag, &r->size);

    if (fd < 0 && shs__coded_cache_begin(v->site->coded, r->etag)) {
        fd = compress_file(v, r);
        shs__coded_cache_end(v->site->coded, r->etag);
    }
    if (fd < 0)
        return false;
    replace_fd(r, fd);
    r->made = true;
    return true;
}

static int answer(struct shs_visit *v, struct shs_representation *r)
{
    struct shs_validators now = {
        .etag = r->etag, .weak = r->weak[0] == '\0' ? NULL : r->weak, .mtime = r->mtime};
    int rc;

    switch (shs__preconditions(v->req, &now)) {
    case SHS_PRECONDITION_HOLDS:
        break;
    case SHS_PRECONDITION_NOT_MODIFIED:
        return send_not_modified(v, r);
    case SHS_PRECONDITION_FAILED:
        return shs_send_page(
            v->res, 412, "The file has been changed: the condition of the request does not hold.");
    }
    if (r->to_compress && !make_coding(v, r)) {
        if (r->must_code)
            return shs__static_come_again(v->res, NULL);
        undo_coding(r);
        return answer(v, r); /* once: nothing is to be compressed any more */
    }
    rc = shs__static_send_ranges(v, r);
    return rc == SHS_STATIC_WHOLE ? send_whole(v, r) : rc;
}

/* -- the file ---------------------------------------------------------------------------------- */

/* The rest of an answer, once it is known which file it is; closes it. */
static int answer_with(struct shs_visit *v, struct shs_representation *r, const struct stat *st)
{
    time_t now;
    int rc;

    r->mtime = st->st_mtime;
    r->type = shs__mime_lookup(v->site->types, (struct shs_str){v->path.name, v->path.len});
    memcpy(r->plain_etag, r->etag, sizeof r->etag);
    choose_coding(v, r, st);
    if (r->modified[0] == '\0' || r->mtime != st->st_mtime) {
        now = shs__request_time(v->req); /* RFC 9110 section 8.8.2.1: never later than Date */
        shs_http_date((time_t)r->mtime < now ? (time_t)r->mtime : now, r->modified);
    }
    if (r->refused)
        rc = shs_send_page(v->res, 406,
                           "The file is not available in any encoding that the request accepts.");
    else
        rc = answer(v, r);
    if (!r->taken && r->fd >= 0)
        close(r->fd);
    return rc;
}

static int answer_from(struct shs_visit *v, struct shs_kept_file *kept, bool dated)
{
    struct shs_representation r = {.fd = -1, .kept = kept, .size = kept->size};

    memcpy(r.content, kept->content, sizeof r.content);
    memcpy(r.etag, kept->etag, sizeof r.etag);
    if (dated && kept->st.st_mtime <= shs__request_time(v->req)) /* the clock may be set back */
        memcpy(r.modified, kept->modified, sizeof r.modified);
    return answer_with(v, &r, &kept->st);
}

/* How often a small file is read again that is changed while it is read. */
#define READ_AGAIN 3

/* All of a small file: read once, for its tag and for what is sent. NULL with errno. */
static struct shs_kept_file *read_small(const struct shs_visit *v, int fd, const struct stat *st)
{
    struct shs_representation r = {.fd = fd};
    struct shs_kept_file *file;
    char data[SMALL_FILE_MAX];
    size_t got;

    if (shs__static_read_at(&r, 0, data, (size_t)st->st_size, &got) != SHS_OK)
        return NULL;
    shs__file_state_of(&r.state, st);
    if (shs__static_was_overwritten(&r)) {
        errno = EAGAIN;
        return NULL;
    }
    file = shs__file_cache_make((struct shs_str){v->path.name, v->path.len}, st, data, got);
    if (file == NULL)
        errno = ENOMEM;
    else
        shs__file_cache_keep(v->root->kept, file);
    return file;
}

/* NULL with errno; EAGAIN: it is changed again and again, or was small. */
static struct shs_kept_file *read_steady(const struct shs_visit *v, int fd, const struct stat *st)
{
    struct shs_kept_file *file = read_small(v, fd, st);
    struct stat now;

    for (int i = 0; file == NULL && errno == EAGAIN && i < READ_AGAIN; i++) {
        if (fstat(fd, &now) != 0)
            return NULL;
        errno = EAGAIN;
        if ((uint64_t)now.st_size <= SMALL_FILE_MAX)
            file = read_small(v, fd, &now);
    }
    return file;
}

static int answer_small(struct shs_visit *v, int fd, const struct stat *st)
{
    struct shs_kept_file *file = read_steady(v, fd, st);
    int rc, saved = errno;

    close(fd);
    if (file == NULL)
        return saved == EAGAIN ? shs__static_in_motion(v->res) : shs__static_refuse(v, saved);
    rc = answer_from(v, file, false);
    shs__file_cache_release(file);
    return rc;
}

int shs__static_answer(struct shs_visit *v, int fd, const struct stat *st)
{
    enum shs_tag_need need = shs__asks_by_tag(v->req) ? SHS_TAG_MUST : SHS_TAG_AT_HAND;
    struct shs_representation r = {.fd = fd, .size = (uint64_t)st->st_size};

    if ((uint64_t)st->st_size <= SMALL_FILE_MAX)
        return answer_small(v, fd, st);
    shs__file_state_of(&r.state, st);
    shs__etag_weak(r.weak, st);
    if (shs__content_tag(v->site->tags, fd, st, need, r.content)) {
        shs__etag_strong(r.etag, r.content);
    } else {
        r.content[0] = '\0';
        memcpy(r.etag, r.weak, sizeof r.etag);
    }
    return answer_with(v, &r, st);
}

int shs__static_answer_kept(struct shs_visit *v)
{
    struct shs_kept_file *kept =
        shs__file_cache_get(v->root->kept, v->root->fd, (struct shs_str){v->path.name, v->path.len},
                            shs_request_since(v->req));
    int rc;

    if (kept == NULL)
        return SHS_STATIC_NOT_KEPT;
    rc = answer_from(v, kept, true);
    shs__file_cache_release(kept);
    return rc;
}
