/*
 * fuzz_h1.c - the whole HTTP/1.1 machine, with a handler, over a stream in memory.
 *
 * The first byte of the input chooses options, the rest is what a client sends. What must hold:
 *
 *   - The answers are the same however the bytes were cut up (but for Date, and for 100 Continue,
 *     which is for clients that wait).
 *   - The output is a sequence of well-formed answers, read here by a slow reader of its own.
 *   - An answer that says "Connection: close", as each refusal does, is the last one.
 *   - There are as many answers as calls of the handler, and one refusal at most.
 */
#include "fuzz.h"

#include <string.h>
#include <strings.h>

#include <shs/cookie.h>
#include <shs/multipart.h>
#include <shs/query.h>

#include "h1_lab.h"

enum { STREAMING = 1, SMALL = 2, CLOSES = 4, FORMS = 8 };

/* -- the handler ------------------------------------------------------------------------------- */

/* On whatever answer there will be, an error's too: to HEAD there is no body. */
static int say_method(struct shs_request *req, struct shs_response *res)
{
    bool head = shs_str_is(shs_request_method(req), "HEAD");

    return shs_response_stand(res, "X-Method", head ? "HEAD" : "another");
}

/* Says what it received, in one short line. */
static int digest(struct shs_request *req, struct shs_response *res)
{
    uint64_t hash =
        fuzz_seed((const uint8_t *)shs_request_target(req).ptr, shs_request_target(req).len);
    unsigned char buf[50];
    char line[64];
    size_t got = 0, total = 0;

    SHS_RETURN_IF_ERROR(say_method(req, res));
    for (;;) {
        SHS_RETURN_IF_ERROR(shs_request_read(req, buf, sizeof buf, &got));
        if (got == 0)
            break;
        for (size_t i = 0; i < got; i++)
            hash = (hash ^ buf[i]) * 0x100000001b3u;
        total += got;
    }
    SHS_RETURN_IF_ERROR(shs_send_response(res, 200));
    snprintf(line, sizeof line, "%016llx %zu\n", (unsigned long long)hash, total);
    return shs_write(res, line, strlen(line));
}

/* The body, back, as it comes. */
static int echo(struct shs_request *req, struct shs_response *res)
{
    char buf[100];
    size_t got = 0;

    SHS_RETURN_IF_ERROR(say_method(req, res));
    SHS_RETURN_IF_ERROR(shs_send_response(res, 200));
    do {
        SHS_RETURN_IF_ERROR(shs_request_read(req, buf, sizeof buf, &got));
        SHS_RETURN_IF_ERROR(shs_write(res, buf, got));
        if (got % 7 == 3)
            SHS_RETURN_IF_ERROR(shs_flush(res));
    } while (got > 0);
    return shs_send_trailer(res, "X-End", "yes") == SHS_NOMEM ? SHS_NOMEM : SHS_OK;
}

static uint64_t mix(uint64_t hash, struct shs_str s)
{
    MUST(s.ptr != NULL);
    for (size_t i = 0; i < s.len; i++)
        hash = (hash ^ (unsigned char)s.ptr[i]) * 0x100000001b3u;
    return (hash ^ s.len) * 0x100000001b3u;
}

static uint64_t mix_params(uint64_t hash, const struct shs_params *params)
{
    MUST(params->count <= SHS_MAX_PARAMS);
    for (size_t i = 0; i < params->count; i++)
        hash = mix(mix(hash, params->at[i].name), params->at[i].value);
    return hash;
}

/* Reads the parts in turn in the three ways there are; the third skips. */
static int mix_multipart(struct shs_request *req, uint64_t *hash)
{
    const struct shs_part *part;
    struct shs_multipart *form;
    struct shs_str value;
    char buf[30];
    size_t got;

    SHS_RETURN_IF_ERROR(shs_multipart_new(&form, req, NULL));
    for (unsigned n = 0;; n++) {
        SHS_RETURN_IF_ERROR(shs_multipart_next(form, &part));
        if (part == NULL)
            return SHS_OK;
        *hash = mix(mix(*hash, part->name), part->content_type);
        if (part->filename.ptr != NULL)
            *hash = mix(*hash, part->filename);
        if (n % 3 == 0) {
            SHS_RETURN_IF_ERROR(shs_multipart_value(form, 100, &value));
            *hash = mix(*hash, value);
        }
        for (got = n % 3 == 1; got > 0;) {
            SHS_RETURN_IF_ERROR(shs_multipart_read(form, buf, sizeof buf, &got));
            for (size_t i = 0; i < got; i++)
                *hash = (*hash ^ (unsigned char)buf[i]) * 0x100000001b3u;
        }
    }
}

/* Query, cookies and content, each as what it says it is. */
static int forms(struct shs_request *req, struct shs_response *res)
{
    struct shs_cookie_walk walk = {0, 0};
    struct shs_params params;
    struct shs_str name, value;
    uint64_t hash = 1;
    char line[64];

    SHS_RETURN_IF_ERROR(say_method(req, res));
    SHS_RETURN_IF_ERROR(shs_request_query_params(req, &params));
    hash = mix_params(hash, &params);
    while (shs_request_next_cookie(req, &walk, &name, &value))
        hash = mix(mix(hash, name), value);
    if (shs_request_header(req, "Content-Type", &value) && value.len > 0 && value.ptr[0] == 'm') {
        SHS_RETURN_IF_ERROR(mix_multipart(req, &hash));
    } else {
        SHS_RETURN_IF_ERROR(shs_request_form(req, 500, &params));
        hash = mix_params(hash, &params);
    }
    SHS_RETURN_IF_ERROR(shs_send_response(res, 200));
    snprintf(line, sizeof line, "%016llx\n", (unsigned long long)hash);
    return shs_write(res, line, strlen(line));
}

static const struct shs_http_handler readers = {.name = "forms", .do_GET = forms, .do_POST = forms};
static const struct shs_http_handler digests = {
    .name = "digest", .do_GET = digest, .do_POST = digest};
static const struct shs_http_handler echoes = {.name = "echo", .do_GET = echo, .do_POST = echo};

/* -- a reader of answers ----------------------------------------------------------------------- */

struct answer {
    struct shs_str head; /* with its blank line */
    int status;
    bool close, chunked, has_length, head_request;
    size_t length;
    unsigned dates;
};

static bool line_is(const char *line, size_t len, const char *wanted)
{
    return len == strlen(wanted) && memcmp(line, wanted, len) == 0;
}

static void read_field(struct answer *a, const char *line, size_t len)
{
    static const char length[] = "Content-Length: ";

    MUST(len > 0 && memchr(line, '\r', len) == NULL && memchr(line, ':', len) != NULL);
    if (line_is(line, len, "Connection: close"))
        a->close = true;
    if (line_is(line, len, "Transfer-Encoding: chunked"))
        a->chunked = true;
    if (line_is(line, len, "X-Method: HEAD"))
        a->head_request = true;
    if (len > 6 && memcmp(line, "Date: ", 6) == 0)
        a->dates++;
    if (len > sizeof length - 1 && memcmp(line, length, sizeof length - 1) == 0) {
        MUST(!a->has_length);
        a->has_length = true;
        for (size_t i = sizeof length - 1; i < len; i++) {
            MUST(line[i] >= '0' && line[i] <= '9' && a->length < SIZE_MAX / 100);
            a->length = a->length * 10 + (size_t)(line[i] - '0');
        }
    }
}

/* False when the head is not whole. */
static bool read_head(struct answer *a, const char *p, size_t len)
{
    const char *end = memmem(p, len, "\r\n\r\n", 4), *line = p;

    memset(a, 0, sizeof *a);
    if (end == NULL)
        return false;
    a->head = (struct shs_str){p, (size_t)(end - p) + 4};
    MUST(a->head.len > 15 && memcmp(p, "HTTP/1.1 ", 9) == 0 && p[12] == ' ');
    a->status = (p[9] - '0') * 100 + (p[10] - '0') * 10 + (p[11] - '0');
    MUST(a->status >= 100 && a->status <= 599);
    for (;;) {
        line = (const char *)memmem(line, (size_t)(end + 2 - line), "\r\n", 2) + 2;
        if (line == end + 2)
            break;
        read_field(
            a, line,
            (size_t)((const char *)memmem(line, (size_t)(end + 2 - line), "\r\n", 2) - line));
    }
    MUST(!(a->chunked && a->has_length));
    return true;
}

/* The length of a chunked body with its trailers; SIZE_MAX when it is not whole. */
static size_t chunked_length(const char *p, size_t len)
{
    size_t at = 0;

    for (;;) {
        const char *eol = memmem(p + at, len - at, "\r\n", 2);
        size_t size = 0;

        if (eol == NULL)
            return SIZE_MAX;
        for (const char *c = p + at; c < eol; c++)
            size = size * 16 + (size_t)(*c <= '9' ? *c - '0' : *c - 'a' + 10);
        at = (size_t)(eol - p) + 2;
        if (size == 0)
            break;
        if (len - at < size + 2)
            return SIZE_MAX;
        MUST(memcmp(p + at + size, "\r\n", 2) == 0);
        at += size + 2;
    }
    for (;;) {
        const char *eol = memmem(p + at, len - at, "\r\n", 2);

        if (eol == NULL)
            return SIZE_MAX;
        if (eol == p + at)
            return at + 2;
        at = (size_t)(eol - p) + 2;
    }
}

/* `cut`: the conversation was aborted, so that the last answer may be incomplete. */
static void check_output(struct h1_lab *lab, bool cut)
{
    const char *p = h1_lab_text(lab);
    size_t len = lab->got.len;
    unsigned answers = 0;
    bool closed = false;

    while (len > 0) {
        struct answer a;
        size_t body;

        MUST(!closed);
        if (!read_head(&a, p, len)) {
            MUST(cut);
            return;
        }
        p += a.head.len;
        len -= a.head.len;
        if (a.status < 200)
            continue;
        MUST(a.dates == 1);
        answers++;
        closed = a.close;
        body = a.chunked ? chunked_length(p, len) : a.length;
        if (a.head_request || (a.close && len == 0))
            body = 0;
        if (a.close && !a.chunked && !a.has_length) /* its end is the end */
            body = len;
        if (body > len) {
            MUST(cut);
            body = len;
        }
        p += body;
        len -= body;
    }
    MUST(answers <= lab->calls + 1);
    /* An answer is logged when what is left of its request has been read. */
    MUST(cut || answers == lab->logged + (lab->h1.state == SHS_H1_DRAIN));
}

/* -- the comparison ---------------------------------------------------------------------------- */

/* Without what may differ: dates, and 100 Continue. */
static void normalise(struct h1_lab *lab, struct shs_buf *out)
{
    static const char go_on[] = "HTTP/1.1 100 Continue\r\n\r\n", date[] = "\r\nDate: ";
    const char *p = h1_lab_text(lab), *end = p + lab->got.len;

    while (p < end) {
        size_t left = (size_t)(end - p);

        if (left >= sizeof go_on - 1 && memcmp(p, go_on, sizeof go_on - 1) == 0) {
            p += sizeof go_on - 1;
            continue;
        }
        if (left > 40 && memcmp(p, date, sizeof date - 1) == 0) {
            p += sizeof date - 1 + 29;
            continue;
        }
        MUST(shs__buf_append(out, p, 1) == SHS_OK);
        p++;
    }
}

static int run(const uint8_t *data, size_t size, unsigned flags, bool split, struct shs_buf *out)
{
    struct h1_lab lab;
    int rc;

    h1_lab_open(&lab, flags & FORMS ? &readers : flags & STREAMING ? &echoes : &digests);
    lab.opt.max_headers = 20;
    lab.config.limits.max_headers = 20;
    lab.closes = (flags & CLOSES) != 0;
    if (flags & SMALL) {
        lab.opt.max_buffered_body = 16;
        lab.opt.max_buffered_response = 32;
        lab.config.limits.max_body_bytes = 1000;
        lab.config.limits.max_request_line = 100;
        lab.opt.max_requests_per_connection = 5;
    }
    if (split) {
        lab.piece = h1_lab_random_piece;
        lab.random = fuzz_seed(data, size);
    }
    rc = h1_lab_talk(&lab, (const char *)data, size);
    check_output(&lab, rc < 0);
    normalise(&lab, out);
    h1_lab_close(&lab);
    return rc;
}

/*
 * A client that waits for 100 Continue and gets an answer at once is not asked for its body: the
 * connection ends. One whose body is there already is drained, and goes on. Both are right.
 */
static bool may_wait(const uint8_t *data, size_t size)
{
    static const char expect[] = "100-continue";

    for (size_t i = 0; i + sizeof expect - 1 <= size; i++) {
        if (strncasecmp((const char *)data + i, expect, sizeof expect - 1) == 0)
            return true;
    }
    return false;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct shs_buf whole, split;
    unsigned flags;
    int rc_whole, rc_split;

    if (size == 0 || size > 65536)
        return 0;
    flags = data[0];
    shs__buf_init(&whole, (size_t)64 << 20);
    shs__buf_init(&split, (size_t)64 << 20);
    rc_whole = run(data + 1, size - 1, flags, false, &whole);
    rc_split = run(data + 1, size - 1, flags, true, &split);
    /* there, chunks are as long as what was read */
    if ((!(flags & STREAMING) || flags & FORMS) && !may_wait(data, size)) {
        MUST(rc_whole == rc_split);
        MUST(whole.len == split.len);
        MUST(whole.len == 0 ||
             memcmp(shs__buf_head(&whole), shs__buf_head(&split), whole.len) == 0);
    }
    shs__buf_free(&whole);
    shs__buf_free(&split);
    return 0;
}
