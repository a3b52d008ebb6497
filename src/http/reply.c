#include "http/reply.h"

#include <shs/http.h>

#include "base/base.h"

#define INTERIM_MAX 8u

static struct shs_reply *self_of(llhttp_t *llhttp)
{
    return SHS_CONTAINER_OF(llhttp, struct shs_reply, parser.llhttp);
}

/* llhttp and the guard must have read the same framing. */
static int on_headers_complete(llhttp_t *llhttp)
{
    struct shs_reply *self = self_of(llhttp);
    bool chunked = (llhttp->flags & F_CHUNKED) != 0;
    bool length = (llhttp->flags & F_CONTENT_LENGTH) != 0;

    if (llhttp->http_major != 1 || chunked != self->chunked || length != self->has_length ||
        (length && llhttp->content_length != self->length) || llhttp->upgrade != 0)
        return HPE_USER;
    self->status = llhttp->status_code;
    /* 1: there is no body, whatever the fields say (RFC 9112 section 6.3); llhttp waits for it. */
    return self->no_body || self->status == 204 || self->status == 304 ? 1 : 0;
}

static int on_body(llhttp_t *llhttp, const char *at, size_t len)
{
    struct shs_reply *self = self_of(llhttp);

    self->parser.content_bytes += len;
    if (len > 0 && self->status >= 200)
        self->rc = self->write(self->ctx, at, len);
    return self->rc == SHS_OK ? 0 : HPE_USER;
}

/* What comes behind it is not an answer to anything. Behind chunks the guard gives nothing more. */
static int on_message_complete(llhttp_t *llhttp)
{
    struct shs_reply *self = self_of(llhttp);

    self->complete = self->parser.message_complete = true;
    return self->chunked ? 0 : HPE_PAUSED;
}

static const llhttp_settings_t settings = {
    .on_headers_complete = on_headers_complete,
    .on_body = on_body,
    .on_message_complete = on_message_complete,
};

/* However long it is: it is passed on as it comes. */
static const struct shs_guard_limits body_limits = {
    .max_headers = SHS_REPLY_FIELDS_MAX,
    .max_body_bytes = UINT64_MAX,
    .max_chunk_line = SHS_REPLY_CHUNK_LINE_MAX,
    .max_extension_bytes = SIZE_MAX,
    .max_trailer_bytes = SHS_REPLY_HEAD_MAX,
};

static int refuse(struct shs_reply *self, const char *why)
{
    self->wrong = why;
    return SHS_PROTO;
}

static void restart(struct shs_reply *self)
{
    memset(&self->parser, 0, sizeof self->parser);
    llhttp_init(&self->parser.llhttp, HTTP_RESPONSE, &settings);
    memset(&self->scan, 0, sizeof self->scan);
    self->status = 0;
    self->field_count = 0;
    self->has_length = self->chunked = self->complete = false;
    self->length = 0;
}

void shs__reply_init(struct shs_reply *self, bool no_body,
                     int (*write)(void *ctx, const char *bytes, size_t len), void *ctx)
{
    memset(self, 0, sizeof *self);
    self->no_body = no_body;
    self->write = write;
    self->ctx = ctx;
    restart(self);
}

/* Digits alone: no sign, no list. */
static bool read_length(struct shs_str text, uint64_t *out)
{
    uint64_t value = 0;

    if (text.len == 0 || text.len > 18)
        return false;
    for (size_t i = 0; i < text.len; i++) {
        if (text.ptr[i] < '0' || text.ptr[i] > '9')
            return false;
        value = value * 10 + (uint64_t)(text.ptr[i] - '0');
    }
    *out = value;
    return true;
}

static int take_framing(struct shs_reply *self, const struct shs_field *field)
{
    if (shs__str_eq_nocase(field->name, SHS_STR("Content-Length"))) {
        if (self->has_length || !read_length(field->value, &self->length))
            return refuse(self, "it has two lengths, or one that is not a number");
        self->has_length = true;
    } else if (shs__str_eq_nocase(field->name, SHS_STR("Transfer-Encoding"))) {
        if (self->chunked || !shs__str_eq_nocase(field->value, SHS_STR("chunked")))
            return refuse(self, "its transfer coding is another one than chunked");
        self->chunked = true;
    }
    if (self->has_length && self->chunked)
        return refuse(self, "it has a length and a transfer coding");
    return SHS_OK;
}

/* Its fields, line by line. The scan has seen that lines end with CRLF, and the last is empty. */
static int read_fields(struct shs_reply *self, const char *head, size_t len)
{
    const char *at = memchr(head, '\n', len), *end = head + len - 2;
    struct shs_refusal why;

    for (at++; at < end;) {
        const char *next = memchr(at, '\n', (size_t)(end - at));
        struct shs_field *field = &self->fields[self->field_count];

        if (next == NULL || self->field_count == SHS_REPLY_FIELDS_MAX)
            return refuse(self, "it has too many fields");
        if (shs__field_parse(at, (size_t)(next - 1 - at), field, &why) != SHS_OK)
            return refuse(self, "one of its fields cannot be read");
        self->field_count++;
        SHS_RETURN_IF_ERROR(take_framing(self, field));
        at = next + 1;
    }
    return SHS_OK;
}

static int take_head(struct shs_reply *self, const char *head, size_t len)
{
    struct shs_head framing = {.chunked = true};
    enum llhttp_errno rc;

    if (self->scan.start != 0)
        return refuse(self, "it begins with an empty line");
    SHS_RETURN_IF_ERROR(read_fields(self, head, len));
    rc = llhttp_execute(&self->parser.llhttp, head, len);
    /* A status of less than three digits: llhttp 9 refuses it, llhttp 8 does not. */
    if ((rc != HPE_OK && !(rc == HPE_PAUSED && self->complete)) || self->status < 100)
        return refuse(self, "its head is not as HTTP/1.1 has it");
    if (self->status == 101 || self->status > 599)
        return refuse(self, "its status is none that can be passed on");
    if (self->chunked)
        shs__body_init(&self->body, &framing, &body_limits, &self->parser);
    return SHS_OK;
}

int shs__reply_head(struct shs_reply *self, const char *buf, size_t len, size_t *used)
{
    static const struct shs_guard_limits limits = {
        .max_request_line = 8192,
        .max_head_bytes = SHS_REPLY_HEAD_MAX,
        .max_headers = SHS_REPLY_FIELDS_MAX,
    };
    struct shs_refusal why;
    size_t head_len = 0;
    int rc;

    *used = 0;
    for (;;) {
        rc = shs__head_scan(&self->scan, buf + *used, len - *used, &limits, &head_len, &why);
        if (rc == SHS_WAIT_READ)
            return rc;
        if (rc != SHS_OK)
            return refuse(self, "its head has bytes that no head has, or is too long");
        SHS_RETURN_IF_ERROR(take_head(self, buf + *used, head_len));
        *used += head_len;
        if (self->status >= 200)
            return SHS_OK;
        if (++self->interim > INTERIM_MAX)
            return refuse(self, "it has too many interim answers");
        restart(self);
    }
}

/* The guard reads the lines, for llhttp 8.1 refuses extensions that RFC 9112 section 7.1.1 has. */
static int read_chunks(struct shs_reply *self, const char *buf, size_t len, size_t *used)
{
    struct shs_refusal why;
    struct shs_str content;
    int rc = SHS_OK;

    while (rc == SHS_OK && !self->complete && *used < len) {
        size_t step = 0;

        rc = shs__body_step(&self->body, buf + *used, len - *used, &step, &content, &why);
        *used += step;
    }
    if (self->rc != SHS_OK)
        return self->rc;
    if (rc != SHS_OK && rc != SHS_WAIT_READ)
        return refuse(self, "its chunks are not as HTTP/1.1 has them");
    return SHS_OK;
}

int shs__reply_body(struct shs_reply *self, const char *buf, size_t len, size_t *used)
{
    enum llhttp_errno rc;

    *used = 0;
    if (self->chunked && !self->complete)
        return read_chunks(self, buf, len, used);
    *used = len;
    if (self->complete || len == 0)
        return SHS_OK;
    rc = llhttp_execute(&self->parser.llhttp, buf, len);
    if (self->rc != SHS_OK)
        return self->rc;
    if (rc == HPE_OK || (rc == HPE_PAUSED && self->complete))
        return SHS_OK;
    return refuse(self, "its body is not as HTTP/1.1 has it");
}

int shs__reply_end(struct shs_reply *self)
{
    if (self->complete)
        return SHS_OK;
    if (self->status >= 200 && !self->has_length && !self->chunked) {
        self->complete = true;
        return SHS_OK;
    }
    return SHS_TRUNCATED;
}
