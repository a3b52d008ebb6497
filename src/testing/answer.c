#include "testing/answer.h"

#include <stdio.h>

#define REQUEST_LIMIT_MS 10000u
#define REQUEST_MAX_ANSWER ((size_t)64 << 20)
#define BODY_PIECE ((size_t)16384)

/* -- the request ------------------------------------------------------------------------------- */

void shs_test_request_init_sized(struct shs_test_request *request, size_t size)
{
    struct shs_test_request defaults = {
        .size = size, .limit_ms = REQUEST_LIMIT_MS, .max_answer = REQUEST_MAX_ANSWER};

    shs__sized_init(request, size, &defaults, sizeof defaults);
}

int shs__test_list_is_paired(const char *const *fields, const char *whose, struct shs_error *err)
{
    size_t count = 0;

    while (fields != NULL && fields[count] != NULL)
        count++;
    if (count % 2 == 0)
        return SHS_OK;
    return shs_error_set(err, SHS_USAGE, 0,
                         "The fields of %s are an odd list, '%.60s' has no value: give name, "
                         "value, ..., NULL.",
                         whose, fields[count - 1]);
}

int shs__test_request_take(struct shs_test_request *to, const struct shs_test_request *from,
                           struct shs_error *err)
{
    int rc = SHS_OK;

    shs_test_request_init(to);
    if (from != NULL)
        rc = shs__sized_copy(to, sizeof *to, from, "shs_test_request", err);
    if (rc == SHS_OK)
        rc = shs__test_list_is_paired(to->fields, "a request", err);
    if (rc != SHS_OK)
        return rc;
    if (to->method == NULL)
        to->method = "GET";
    if (to->target == NULL)
        to->target = "/";
    return SHS_OK;
}

static bool has_field(const struct shs_test_request *request, const char *name)
{
    size_t i;

    for (i = 0; request->fields != NULL && request->fields[i] != NULL; i += 2) {
        if (shs__str_eq_nocase(shs__str(request->fields[i]), shs__str(name)))
            return true;
    }
    return false;
}

/* The body in chunks of BODY_PIECE. */
static int put_chunks(struct shs_buf *out, const char *bytes, size_t len)
{
    int rc = SHS_OK;

    while (len > 0 && rc == SHS_OK) {
        size_t piece = len < BODY_PIECE ? len : BODY_PIECE;

        rc = shs__buf_printf(out, "%zx\r\n", piece);
        if (rc == SHS_OK)
            rc = shs__buf_append(out, bytes, piece);
        if (rc == SHS_OK)
            rc = shs__buf_append_str(out, SHS_STR("\r\n"));
        bytes += piece;
        len -= piece;
    }
    return rc == SHS_OK ? shs__buf_append_str(out, SHS_STR("0\r\n\r\n")) : rc;
}

static int put_head(struct shs_buf *out, const struct shs_test_request *request, const char *host)
{
    bool has_body = request->body != NULL || request->chunked;
    int rc = shs__buf_printf(out, "%s %s HTTP/1.1\r\n", request->method, request->target);
    size_t i;

    if (rc == SHS_OK && !has_field(request, "Host"))
        rc = shs__buf_printf(out, "Host: %s\r\n", host);
    for (i = 0; rc == SHS_OK && request->fields != NULL && request->fields[i] != NULL; i += 2)
        rc = shs__buf_printf(out, "%s: %s\r\n", request->fields[i], request->fields[i + 1]);
    if (rc == SHS_OK && has_body && !has_field(request, "Content-Length") &&
        !has_field(request, "Transfer-Encoding"))
        rc = request->chunked ? shs__buf_append_str(out, SHS_STR("Transfer-Encoding: chunked\r\n"))
                              : shs__buf_printf(out, "Content-Length: %zu\r\n", request->body_len);
    return rc == SHS_OK ? shs__buf_append_str(out, SHS_STR("\r\n")) : rc;
}

int shs__test_request_bytes(struct shs_buf *out, const struct shs_test_request *request,
                            const char *host)
{
    int rc = put_head(out, request, host);

    if (rc != SHS_OK)
        return rc;
    if (request->chunked)
        return put_chunks(out, request->body, request->body == NULL ? 0 : request->body_len);
    return request->body == NULL ? SHS_OK : shs__buf_append(out, request->body, request->body_len);
}

/* -- lines of an answer ------------------------------------------------------------------------ */

struct reader {
    const char *bytes;
    size_t len, at;
    size_t searched; /* no CRLF begins before it */
};

/* The next line without its CRLF; false when it is not whole. */
static bool next_line(struct reader *r, struct shs_str *line)
{
    size_t from = r->at > r->searched ? r->at : r->searched;
    const char *end = from >= r->len ? NULL : memmem(r->bytes + from, r->len - from, "\r\n", 2);

    if (end == NULL) {
        r->searched = r->len > from ? r->len - 1 : from; /* the last byte may be its CR */
        return false;
    }
    line->ptr = r->bytes + r->at;
    line->len = (size_t)(end - line->ptr);
    r->at += line->len + 2;
    return true;
}

/* "HTTP/1.1 200 OK": the number, or 0. */
static int status_of(struct shs_str line)
{
    const char *c = line.ptr;

    if (line.len < 12 || memcmp(c, "HTTP/1.", 7) != 0 || (c[7] != '0' && c[7] != '1') ||
        c[8] != ' ' || (line.len > 12 && c[12] != ' ') || c[9] < '1' || c[9] > '9' || c[10] < '0' ||
        c[10] > '9' || c[11] < '0' || c[11] > '9')
        return 0;
    return (c[9] - '0') * 100 + (c[10] - '0') * 10 + (c[11] - '0');
}

static void note_length(struct shs_test_framing *f, struct shs_str value)
{
    uint64_t n = 0;

    if (value.len == 0 || value.len > 18)
        f->bad = true;
    for (size_t i = 0; i < value.len && !f->bad; i++) {
        f->bad = value.ptr[i] < '0' || value.ptr[i] > '9';
        n = n * 10 + (uint64_t)(value.ptr[i] - '0');
    }
    f->bad = f->bad || (f->has_length && f->length != n);
    f->has_length = true;
    f->length = n;
}

static bool split_field(struct shs_str line, struct shs_str *name, struct shs_str *value)
{
    const char *colon = memchr(line.ptr, ':', line.len);

    if (colon == NULL || colon == line.ptr)
        return false;
    *name = (struct shs_str){line.ptr, (size_t)(colon - line.ptr)};
    *value = (struct shs_str){colon + 1, line.len - name->len - 1};
    while (value->len > 0 && (value->ptr[0] == ' ' || value->ptr[0] == '\t'))
        value->ptr++, value->len--;
    while (value->len > 0 &&
           (value->ptr[value->len - 1] == ' ' || value->ptr[value->len - 1] == '\t'))
        value->len--;
    return memchr(name->ptr, ' ', name->len) == NULL;
}

typedef bool field_fn(void *ctx, struct shs_str name, struct shs_str value);

/* Fields up to the empty line. 1: read, 0: not whole, and r->at is behind the last whole one, -1:
   no fields. */
static int read_fields(struct reader *r, field_fn *each, void *ctx)
{
    struct shs_str line, name, value;

    while (next_line(r, &line)) {
        if (line.len == 0)
            return 1;
        if (!split_field(line, &name, &value) || !each(ctx, name, value))
            return -1;
    }
    return 0;
}

static bool note_framing(void *ctx, struct shs_str name, struct shs_str value)
{
    struct shs_test_framing *f = ctx;

    if (shs__str_eq_nocase(name, SHS_STR("Content-Length")))
        note_length(f, value);
    if (shs__str_eq_nocase(name, SHS_STR("Transfer-Encoding"))) {
        f->bad = f->bad || !shs__str_eq_nocase(value, SHS_STR("chunked"));
        f->chunked = true;
    }
    return true;
}

static bool count_nothing(void *ctx, struct shs_str name, struct shs_str value)
{
    SHS_UNUSED(ctx);
    SHS_UNUSED(name);
    SHS_UNUSED(value);
    return true;
}

/* -- where it ends ----------------------------------------------------------------------------- */

/* Interim heads and the final one; goes on where it stopped. `shape` is zeros at first. 1: read, 0:
   not whole, -1: no HTTP. */
static int read_heads(struct reader *r, bool head, struct shs_test_shape *shape)
{
    struct shs_str line;
    int rc;

    while (shape->body_at == 0) {
        if (!shape->in_fields) {
            if (!next_line(r, &line))
                return 0;
            shape->status = status_of(line);
            if (shape->status == 0)
                return -1;
            shape->fields_at = r->at;
            shape->in_fields = true;
            memset(&shape->framing, 0, sizeof shape->framing);
        }
        rc = read_fields(r, note_framing, &shape->framing);
        if (rc <= 0)
            return rc;
        shape->in_fields = false;
        if (shape->status >= 200)
            shape->body_at = r->at;
        else
            shape->interim++;
    }
    shape->no_body = head || shape->status == 204 || shape->status == 304;
    if (shape->framing.bad || (shape->framing.chunked && shape->framing.has_length))
        return -1;
    return 1;
}

/* "1a;x" as a number; false when it is none. */
static bool chunk_size(struct shs_str line, size_t *size)
{
    size_t n = 0, i;

    for (i = 0; i < line.len && line.ptr[i] != ';' && line.ptr[i] != ' '; i++) {
        char c = (char)shs__lower((unsigned char)line.ptr[i]);
        bool digit = c >= '0' && c <= '9';

        if (i >= 15 || (!digit && (c < 'a' || c > 'f')))
            return false;
        n = n * 16 + (size_t)(digit ? c - '0' : c - 'a' + 10);
    }
    *size = n;
    return i > 0;
}

/* Chunks into `body` (or nowhere); without one it goes on where it stopped. 1: to the last one, 0:
   not whole, -1: no chunks, -2: memory. */
static int read_chunks(struct reader *r, struct shs_test_shape *shape, struct shs_buf *body,
                       field_fn *each, void *ctx)
{
    struct shs_str line;
    size_t size = 0, at;

    for (;;) {
        if (shape->in_trailers)
            return read_fields(r, each, ctx);
        at = r->at;
        if (!next_line(r, &line))
            return 0;
        if (!chunk_size(line, &size))
            return -1;
        shape->in_trailers = size == 0;
        if (size == 0)
            continue;
        if (body != NULL) {
            size_t there = r->len - r->at < size ? r->len - r->at : size;

            if (shs__buf_append(body, r->bytes + r->at, there) != SHS_OK)
                return -2;
        }
        if (r->len - r->at < size + 2) {
            r->at = at;
            return 0;
        }
        if (memcmp(r->bytes + r->at + size, "\r\n", 2) != 0)
            return -1;
        r->at += size + 2;
    }
}

/* Is it, as far as `r` and `shape` have come? */
static bool is_whole(struct reader *r, struct shs_test_shape *shape, bool head)
{
    int rc = r->len == 0 ? 0 : read_heads(r, head, shape);

    if (rc <= 0)
        return rc < 0; /* nothing that comes makes it better */
    if (shape->no_body)
        return true;
    if (shape->framing.chunked)
        return read_chunks(r, shape, NULL, count_nothing, NULL) != 0;
    return shape->framing.has_length && r->len - shape->body_at >= shape->framing.length;
}

bool shs__test_answer_is_whole(struct shs_test_answer *self, bool head)
{
    struct reader r = {
        .bytes = shs__buf_head(&self->bytes),
        .len = self->bytes.len,
        .at = self->looked.at,
        .searched = self->looked.searched,
    };
    bool whole = is_whole(&r, &self->looked.shape, head);

    self->looked.at = r.at;
    self->looked.searched = r.searched;
    return whole;
}

/* -- reading it -------------------------------------------------------------------------------- */

struct shs_test_answer *shs__test_answer_new(size_t max_answer)
{
    struct shs_test_answer *self = shs__calloc(1, sizeof *self);

    if (self == NULL)
        return NULL;
    shs__buf_init(&self->bytes, max_answer);
    shs__buf_init(&self->body, max_answer + 1); /* the NUL */
    self->error.code = SHS_OK;
    snprintf(self->error.text, sizeof self->error.text, "no error");
    return self;
}

/* Cut out in place: the byte behind a name is its colon, behind a value white space or CR. */
static void keep(struct shs_test_field *field, struct shs_str name, struct shs_str value)
{
    field->name = (char *)(uintptr_t)name.ptr;
    field->name[name.len] = '\0';
    field->value = (char *)(uintptr_t)value.ptr;
    field->value[value.len] = '\0';
}

static bool keep_field(void *ctx, struct shs_str name, struct shs_str value)
{
    struct shs_test_answer *self = ctx;

    if (self->field_count == SHS_ARRAY_LEN(self->fields))
        return false;
    keep(&self->fields[self->field_count++], name, value);
    return true;
}

static bool keep_trailer(void *ctx, struct shs_str name, struct shs_str value)
{
    struct shs_test_answer *self = ctx;

    if (self->trailer_count == SHS_ARRAY_LEN(self->trailers))
        return false;
    keep(&self->trailers[self->trailer_count++], name, value);
    return true;
}

/* 1: the whole body, 0: not all of it, -1: no body, -2: memory. */
static int read_body(struct shs_test_answer *self, struct reader *r, struct shs_test_shape *shape,
                     bool ended)
{
    size_t there = r->len - r->at;

    if (shape->no_body)
        return 1;
    if (shape->framing.chunked)
        return read_chunks(r, shape, &self->body, keep_trailer, self);
    if (shape->framing.has_length && there > shape->framing.length)
        there = (size_t)shape->framing.length;
    if (shs__buf_append(&self->body, r->bytes + r->at, there) != SHS_OK)
        return -2;
    return shape->framing.has_length ? there == shape->framing.length : ended;
}

int shs__test_answer_read(struct shs_test_answer *self, bool head, bool ended,
                          struct shs_error *err)
{
    struct reader r = {.bytes = shs__buf_head(&self->bytes), .len = self->bytes.len};
    struct shs_test_shape shape = {.status = 0};
    int rc = r.len == 0 ? 0 : read_heads(&r, head, &shape);

    if (rc == 0)
        return shs_error_set(err, SHS_CLOSED, 0, "The connection ended %s.",
                             r.len == 0 ? "without an answer" : "in the head of the answer");
    if (rc < 0)
        return shs_error_set(err, SHS_PROTO, 0, "What was answered is not HTTP/1.1: \"%.*s\"",
                             (int)(r.len < 80 ? r.len : 80), r.bytes);
    self->status = shape.status;
    self->interim = shape.interim;
    rc = read_body(self, &r, &shape, ended);
    if (rc == -1)
        return shs_error_set(err, SHS_PROTO, 0,
                             "The chunks of the answer's body are none, after %zu bytes.",
                             self->body.len);
    if (rc == -2 || shs__buf_append(&self->body, "", 1) != SHS_OK)
        return shs_error_set(err, SHS_NOMEM, 0, "Out of memory for an answer.");
    self->body.len--;
    self->complete = rc == 1;
    r.at = shape.fields_at;
    if (read_fields(&r, keep_field, self) < 0)
        return shs_error_set(err, SHS_LIMIT, 0, "The answer has more than %u fields.",
                             SHS_TEST_FIELDS_MAX);
    return SHS_OK;
}

/* -- what a test asks it ----------------------------------------------------------------------- */

int shs_test_answer_status(const struct shs_test_answer *self)
{
    return self->status;
}

static const char *find(const struct shs_test_field *fields, size_t count, const char *name)
{
    for (size_t i = 0; i < count; i++) {
        if (shs__str_eq_nocase(shs__str(fields[i].name), shs__str(name)))
            return fields[i].value;
    }
    return NULL;
}

const char *shs_test_answer_header(const struct shs_test_answer *self, const char *name)
{
    return find(self->fields, self->field_count, name);
}

bool shs_test_answer_header_at(const struct shs_test_answer *self, size_t i, const char **name,
                               const char **value)
{
    if (i >= self->field_count)
        return false;
    *name = self->fields[i].name;
    *value = self->fields[i].value;
    return true;
}

const char *shs_test_answer_trailer(const struct shs_test_answer *self, const char *name)
{
    return find(self->trailers, self->trailer_count, name);
}

struct shs_str shs_test_answer_body(const struct shs_test_answer *self)
{
    const char *bytes = shs__buf_head(&self->body);

    return (struct shs_str){bytes == NULL ? "" : bytes, self->body.len};
}

unsigned shs_test_answer_interim(const struct shs_test_answer *self)
{
    return self->interim;
}

bool shs_test_answer_complete(const struct shs_test_answer *self)
{
    return self->complete;
}

const struct shs_error *shs_test_answer_error(const struct shs_test_answer *self)
{
    return &self->error;
}

void shs_test_answer_free(struct shs_test_answer *self)
{
    if (self == NULL)
        return;
    shs__buf_free(&self->bytes);
    shs__buf_free(&self->body);
    shs__free(self);
}
