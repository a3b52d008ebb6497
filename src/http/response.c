/*
 * response.c - what a handler says: send_response, send_header, end_headers, write, send_error.
 *
 * Follows CPython Lib/http/server.py for the names and the order; RFC 9110 for what may be said.
 */
#include <inttypes.h>
#include <unistd.h>

#include "http/exchange.h"
#include <shs/text.h>

#include "http/file_watch.h"
#include "http/mistake.h"

/* Fields of an answer that are thought of at first. */
#define FIRST_FIELDS 10u

void shs__exchange_init(struct shs_exchange *x, const struct shs_exchange_ops *ops,
                        size_t max_buffered_response)
{
    shs__zero(x, sizeof *x);
    x->ops = ops;
    x->req.x = x;
    x->res.x = x;
    x->res.file_fd = -1;
    x->req.max_body = UINT64_MAX;
    x->deadline_ns = INT64_MAX;
    shs__arena_init(&x->arena, SHS_EXCHANGE_MEMORY + SHS_EXCHANGE_RESERVE);
    shs__buf_init(&x->res.body, max_buffered_response);
}

/* The body that is not in memory: a file, or a source. */
static void drop_file(struct shs_response *res)
{
    const struct shs_source *source = res->source;

    res->source = NULL;
    if (source != NULL && source->free != NULL)
        source->free(res->source_ctx);
    if (res->file_fd >= 0)
        close(res->file_fd);
    res->file_fd = -1;
    res->file_left = 0;
    res->watch = NULL;
}

void shs__exchange_clear(struct shs_exchange *x)
{
    for (; x->endings != NULL; x->endings = x->endings->next)
        x->endings->fn(x->endings->arg);
    drop_file(&x->res);
    shs__recoding_free(&x->res);
    shs__sink_free(&x->req);
    shs__buf_free(&x->res.body);
    shs__content_free(x->req.content);
    shs__arena_free(&x->arena);
}

shs_method_fn *shs__handler_method(const struct shs_http_handler *handler, struct shs_str method)
{
    shs_method_fn *fn = NULL;

    if (shs__str_eq(method, SHS_STR("GET")))
        fn = handler->do_GET;
    else if (shs__str_eq(method, SHS_STR("HEAD")))
        fn = handler->do_HEAD != NULL ? handler->do_HEAD : handler->do_GET;
    else if (shs__str_eq(method, SHS_STR("POST")))
        fn = handler->do_POST;
    else if (shs__str_eq(method, SHS_STR("PUT")))
        fn = handler->do_PUT;
    else if (shs__str_eq(method, SHS_STR("PATCH")))
        fn = handler->do_PATCH;
    else if (shs__str_eq(method, SHS_STR("DELETE")))
        fn = handler->do_DELETE;
    else if (shs__str_eq(method, SHS_STR("OPTIONS")))
        fn = handler->do_OPTIONS;
    return fn != NULL ? fn : handler->do_any;
}

bool shs__status_without_body(int status)
{
    return status < 200 || status == 204 || status == 205 || status == 304;
}

/* -- the head ---------------------------------------------------------------------------------- */

int shs__response_start(struct shs_response *res, int code, struct shs_str reason)
{
    if (res->started)
        return shs__mistake(res->x, "shs_send_response",
                            "%d: the answer has begun with %d already. A request has one answer",
                            code, res->status);
    if (code < 200 || code > 999)
        return shs__mistake(res->x, "shs_send_response",
                            "%d is not a status of an answer: it is from 200 to 999", code);
    if (reason.len > 0 && !shs_is_field_value(reason))
        return shs__mistake(res->x, "shs_send_response_reason",
                            "the reason has a control character");
    res->status = code;
    res->reason = reason;
    res->started = true;
    res->no_body =
        shs__status_without_body(code) || shs__str_eq(res->x->req.head.method, SHS_STR("HEAD"));
    return SHS_OK;
}

int shs_send_response(struct shs_response *res, int code)
{
    return shs__response_start(res, code, shs__str(shs_http_reason(code)));
}

int shs_send_response_reason(struct shs_response *res, int code, const char *reason)
{
    struct shs_str copy = shs__arena_copy(&res->x->arena, shs__str(reason));

    if (copy.ptr == NULL)
        return SHS_NOMEM;
    return shs__response_start(res, code, copy);
}

/* The calls, as whoever made the mistake knows them. */
static int field_mistake(struct shs_response *res, struct shs_str name, const char *what)
{
    return shs__mistake(res->x, "shs_send_header", "\"%.*s\": %s",
                        name.len > 40 ? 40 : (int)name.len, name.ptr == NULL ? "" : name.ptr, what);
}

static int too_early(struct shs_response *res, const char *call)
{
    return shs__mistake(res->x, call, "no answer has begun. Call shs_send_response first");
}

/* Content-Length as a handler writes it: digits only, no overflow. */
static bool parse_length(struct shs_str s, uint64_t *out)
{
    uint64_t n = 0;

    if (s.len == 0 || s.len > 18)
        return false;
    for (size_t i = 0; i < s.len; i++) {
        if (s.ptr[i] < '0' || s.ptr[i] > '9')
            return false;
        n = n * 10 + (uint64_t)(s.ptr[i] - '0');
    }
    *out = n;
    return true;
}

bool shs__is_one_of(struct shs_str name, const char *const *names, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        if (shs__str_eq_nocase(name, shs__str(names[i])))
            return true;
    }
    return false;
}

bool shs__is_framing_field(struct shs_str name)
{
    static const char *const framing[] = {
        "Content-Length", "Transfer-Encoding", "Connection", "Keep-Alive",
        "Upgrade",        "Trailer",           "TE",
    };

    return shs__is_one_of(name, framing, SHS_ARRAY_LEN(framing));
}

/* Fields that steer the framing: noted, and written by us, so that they are there once. */
static bool take_framing_field(struct shs_response *res, struct shs_str name, struct shs_str value,
                               int *rc)
{
    *rc = SHS_OK;
    if (shs__str_eq_nocase(name, SHS_STR("Content-Length"))) {
        if (res->has_length)
            *rc = field_mistake(res, name, "it has been set already");
        else if (!parse_length(value, &res->length))
            *rc = field_mistake(res, name, "the value is not a number of bytes");
        else
            res->has_length = true;
        return true;
    }
    if (shs__str_eq_nocase(name, SHS_STR("Transfer-Encoding"))) {
        *rc = field_mistake(res, name, "the server sets it where it is needed");
        return true;
    }
    if (shs__str_eq_nocase(name, SHS_STR("Connection"))) {
        if (shs__str_eq_nocase(value, SHS_STR("close"))) {
            res->close = true;
            return true;
        }
        /* keep-alive is what we do anyway, where it can be done. */
        return shs__str_eq_nocase(value, SHS_STR("keep-alive"));
    }
    if (shs__str_eq_nocase(name, SHS_STR("Date")))
        res->has_date = true;
    if (shs__str_eq_nocase(name, SHS_STR("Server")))
        res->has_server = true;
    return false;
}

/* Most answers have few fields; the others get room as they go. */
static int make_field_room(struct shs_response *res)
{
    size_t cap = res->field_cap == 0 ? FIRST_FIELDS : res->field_cap * 2;
    struct shs_field *fields;

    if (res->field_count < res->field_cap)
        return SHS_OK;
    if (res->field_count == SHS_MAX_RESPONSE_FIELDS)
        return shs__over_limit(res->x, "shs_send_header", "an answer has at most %u fields",
                               SHS_MAX_RESPONSE_FIELDS);
    if (cap > SHS_MAX_RESPONSE_FIELDS)
        cap = SHS_MAX_RESPONSE_FIELDS;
    fields = shs__arena_alloc(&res->x->arena, cap * sizeof *fields);
    if (fields == NULL)
        return SHS_NOMEM;
    if (res->field_count > 0)
        memcpy(fields, res->fields, res->field_count * sizeof *fields);
    res->fields = fields;
    res->field_cap = cap;
    return SHS_OK;
}

static int append_field(struct shs_response *res, struct shs_str name, struct shs_str value)
{
    int rc = make_field_room(res);

    if (rc != SHS_OK)
        return rc;
    if (name.len + value.len + 4 > SHS_MAX_RESPONSE_HEAD - res->field_bytes)
        return shs__over_limit(res->x, "shs_send_header",
                               "\"%.*s\": the fields of an answer have at most %u bytes in all",
                               name.len > 40 ? 40 : (int)name.len, name.ptr, SHS_MAX_RESPONSE_HEAD);
    value = shs__arena_copy(&res->x->arena, value);
    if (value.ptr == NULL)
        return SHS_NOMEM;
    res->fields[res->field_count++] = (struct shs_field){name, value};
    res->field_bytes += name.len + value.len + 4;
    return SHS_OK;
}

static int add_field(struct shs_response *res, struct shs_str name, struct shs_str value,
                     bool copy_name)
{
    int rc;

    if (!res->started)
        return field_mistake(res, name, "no answer has begun. Call shs_send_response first");
    if (res->head_done)
        return field_mistake(res, name, "it comes after shs_end_headers, or after the body");
    if (name.ptr == NULL || !shs_is_token(name))
        return field_mistake(res, name, "that is not a field name");
    if (value.ptr == NULL)
        return field_mistake(res, name, "the value is NULL");
    if (!shs_is_field_value(value))
        return field_mistake(res, name, "the value has a control character, as CR, LF or NUL");
    if (take_framing_field(res, name, value, &rc))
        return rc;
    if (copy_name)
        name = shs__arena_copy(&res->x->arena, name);
    return name.ptr == NULL ? SHS_NOMEM : append_field(res, name, value);
}

int shs_send_field(struct shs_response *res, struct shs_str name, struct shs_str value)
{
    return add_field(res, name, value, false);
}

int shs_send_length(struct shs_response *res, uint64_t length)
{
    if (!res->started || res->head_done || res->has_length)
        return shs__mistake(res->x, "shs_send_length",
                            "call it once, after shs_send_response and before the body");
    res->has_length = true;
    res->length = length;
    return SHS_OK;
}

int shs_send_header_str(struct shs_response *res, const char *name, struct shs_str value)
{
    return add_field(res, shs__str(name), value, true);
}

int shs_send_header(struct shs_response *res, const char *name, const char *value)
{
    return shs_send_header_str(res, name, shs__str(value));
}

int shs_end_headers(struct shs_response *res)
{
    if (!res->started)
        return too_early(res, "shs_end_headers");
    if (res->head_done)
        return shs__mistake(res->x, "shs_end_headers", "the head has ended already");
    res->head_done = true;
    return SHS_OK;
}

int shs_send_interim(struct shs_response *res, int code, const char *const *fields)
{
    struct shs_field list[SHS_MAX_INTERIM_FIELDS];
    size_t count = 0, bytes = 0;

    if (code < 102 || code > 199 || res->head_sent)
        return shs__mistake(
            res->x, "shs_send_interim",
            "%d: the status must be from 102 to 199, and the real head may not have been sent",
            code);
    for (size_t i = 0; fields != NULL && fields[i] != NULL; i += 2) {
        struct shs_str name = shs__str(fields[i]), value = shs__str(fields[i + 1]);

        if (value.ptr == NULL || !shs_is_token(name) || !shs_is_field_value(value) ||
            shs__is_framing_field(name))
            return shs__mistake(res->x, "shs_send_interim",
                                "this field is not allowed in an interim answer");
        bytes += name.len + value.len + 4;
        if (count == SHS_ARRAY_LEN(list) || bytes > SHS_MAX_RESPONSE_HEAD)
            return shs__over_limit(res->x, "shs_send_interim",
                                   "at most %u fields, and %u bytes of them",
                                   SHS_MAX_INTERIM_FIELDS, SHS_MAX_RESPONSE_HEAD);
        list[count++] = (struct shs_field){name, value};
    }
    if (res->broken)
        return SHS_CLOSED;
    if (res->x->req.head.version < 11) /* RFC 9110 section 15.2 */
        return SHS_OK;
    return res->x->ops->send_interim(res->x, code, list, count);
}

/* What a recipient must know before the content may not come behind it: RFC 9110 section 6.5.1. */
static bool may_be_trailer(struct shs_str name)
{
    static const char *const head_only[] = {
        "Cache-Control",
        "Content-Encoding",
        "Content-Range",
        "Content-Type",
        "Date",
        "Expires",
        "Host",
        "Location",
        "Retry-After",
        "Set-Cookie",
        "Vary",
        "WWW-Authenticate",
        "Content-Location",
        "Age",
    };

    return !shs__is_one_of(name, head_only, SHS_ARRAY_LEN(head_only)) &&
           !shs__is_framing_field(name);
}

int shs_send_trailer(struct shs_response *res, const char *name, const char *value)
{
    struct shs_str n = shs__str(name), v = shs__str(value);
    struct shs_field *field;

    if (!res->started || res->has_length)
        return shs__mistake(res->x, "shs_send_trailer",
                            "call it after shs_send_response, and without a Content-Length");
    if (v.ptr == NULL || !shs_is_token(n) || !shs_is_field_value(v) || !may_be_trailer(n))
        return shs__mistake(res->x, "shs_send_trailer", "this field is not allowed in a trailer");
    if (res->trailers == NULL)
        res->trailers =
            shs__arena_alloc(&res->x->arena, SHS_MAX_RESPONSE_TRAILERS * sizeof *res->trailers);
    if (res->trailers == NULL)
        return SHS_NOMEM;
    if (res->trailer_count == SHS_MAX_RESPONSE_TRAILERS ||
        n.len + v.len + 4 > SHS_MAX_RESPONSE_HEAD - res->field_bytes)
        return shs__over_limit(
            res->x, "shs_send_trailer",
            "at most %u fields, and %u bytes of them together with those of the head",
            SHS_MAX_RESPONSE_TRAILERS, SHS_MAX_RESPONSE_HEAD);
    field = &res->trailers[res->trailer_count];
    field->name = shs__arena_copy(&res->x->arena, n);
    field->value = shs__arena_copy(&res->x->arena, v);
    if (field->name.ptr == NULL || field->value.ptr == NULL)
        return SHS_NOMEM;
    res->trailer_count++;
    res->field_bytes += n.len + v.len + 4;
    return SHS_OK;
}

/* -- the body ---------------------------------------------------------------------------------- */

/* A body begins: the head must be complete, and no file be the body already. */
static int begin_body(struct shs_response *res, const char *call)
{
    if (!res->started)
        return too_early(res, call);
    if (res->file_fd >= 0)
        return shs__mistake(res->x, call, "the body is a file already");
    if (res->source != NULL)
        return shs__mistake(res->x, call, "the body is a source already");
    if (res->broken)
        return SHS_CLOSED;
    res->head_done = true;
    return SHS_OK;
}

/* What is in the buffer leaves, with the head. */
static int send_buffer(struct shs_response *res, enum shs_coding_step step)
{
    int rc = shs__send_piece(res, shs__buf_head(&res->body), res->body.len, step);

    shs__buf_consume(&res->body, res->body.len);
    res->broken = rc != SHS_OK;
    return rc;
}

static int stream_out(struct shs_response *res, const void *buf, size_t len)
{
    int rc = res->head_sent && res->body.len == 0 ? SHS_OK : send_buffer(res, SHS_CODING_MORE);

    if (rc != SHS_OK)
        return rc;
    rc = shs__send_piece(res, buf, len, SHS_CODING_MORE);
    res->broken = rc != SHS_OK;
    return rc;
}

int shs_write(struct shs_response *res, const void *buf, size_t len)
{
    int rc = begin_body(res, "shs_write");

    if (rc != SHS_OK)
        return rc;
    if (len == 0)
        return SHS_OK;
    /* More than Content-Length said would be read as the beginning of the next answer. */
    if (res->has_length && len > res->length - res->body_total)
        return shs__mistake(res->x, "shs_write",
                            "%zu bytes after %" PRIu64 ", and Content-Length says %" PRIu64, len,
                            res->body_total, res->length);
    res->body_total += len;
    if (res->no_body)
        return SHS_OK;
    rc = res->head_sent ? SHS_LIMIT : shs__buf_append(&res->body, buf, len);
    return rc == SHS_LIMIT ? stream_out(res, buf, len) : rc;
}

int shs_flush(struct shs_response *res)
{
    int rc = begin_body(res, "shs_flush");

    if (rc != SHS_OK)
        return rc;
    if (res->head_sent && res->body.len == 0 && !shs__recoding_pends(res))
        return SHS_OK;
    return send_buffer(res, SHS_CODING_FLUSH);
}

int shs_send_file(struct shs_response *res, int fd, uint64_t offset, uint64_t length)
{
    int rc = begin_body(res, "shs_send_file");

    if (rc == SHS_OK && (res->body_total > 0 || res->head_sent || fd < 0 ||
                         (res->has_length && res->length != length)))
        rc = shs__mistake(res->x, "shs_send_file",
                          "the file must be the whole body, and as long as Content-Length says");
    if (rc != SHS_OK || res->no_body || length == 0) {
        if (fd >= 0)
            close(fd);
        if (rc != SHS_OK)
            return rc;
    } else {
        res->file_fd = fd;
        res->file_offset = offset;
        res->file_left = length;
        rc = shs__watch_begin(res);
        if (rc != SHS_OK) {
            drop_file(res);
            return rc;
        }
    }
    res->has_length = true;
    res->is_file = true;
    res->length = length;
    res->body_total = length;
    return SHS_OK;
}

int shs_send_source(struct shs_response *res, const struct shs_source *source, void *ctx)
{
    int rc = begin_body(res, "shs_send_source");

    if (rc == SHS_OK && (res->body_total > 0 || res->head_sent))
        rc = shs__mistake(res->x, "shs_send_source", "a part of the body has been written already");
    res->is_source = rc == SHS_OK;
    if (rc != SHS_OK || res->no_body) {
        if (source->free != NULL)
            source->free(ctx);
        if (rc == SHS_OK && res->has_length)
            res->body_total = res->length;
        return rc;
    }
    res->source = source;
    res->source_ctx = ctx;
    res->file_left = UINT64_MAX;
    return SHS_OK;
}

void shs__response_take_back(struct shs_response *res)
{
    drop_file(res);
    shs__recoding_take_back(res);
    shs__buf_consume(&res->body, res->body.len);
    res->is_file = false;
    res->is_source = false;
    res->field_count = 0;
    res->field_bytes = 0;
    res->body_total = 0;
    res->trailer_count = 0;
    res->started = false;
    res->head_done = false;
    res->has_length = false;
    res->has_date = false;
    res->has_server = false;
}

/* -- the answer so far ------------------------------------------------------------------------- */

int shs_response_status(const struct shs_response *res)
{
    return res->started ? res->status : 0;
}

bool shs_response_has_left(const struct shs_response *res)
{
    return res->head_sent;
}

bool shs_response_header(const struct shs_response *res, const char *name, struct shs_str *value)
{
    struct shs_str wanted = shs__str(name);

    for (size_t i = 0; i < res->field_count; i++) {
        if (shs__str_eq_nocase(res->fields[i].name, wanted)) {
            *value = res->fields[i].value;
            return true;
        }
    }
    return false;
}

bool shs_response_body(const struct shs_response *res, struct shs_str *body)
{
    if (!res->started || res->head_sent || res->broken || res->file_fd >= 0 ||
        res->source != NULL || res->body_total != res->body.len)
        return false;
    *body = (struct shs_str){shs__buf_head(&res->body), res->body.len};
    return true;
}

/* A strong tag names these bytes; others have the same meaning at best (RFC 9110 section 8.8.1). */
static int weaken(struct shs_response *res, struct shs_field *f, size_t *bytes)
{
    char *weak;

    if (!shs__str_eq_nocase(f->name, SHS_STR("ETag")) || f->value.len == 0 ||
        f->value.ptr[0] != '"')
        return SHS_OK;
    weak = shs__arena_alloc(&res->x->arena, f->value.len + 2);
    if (weak == NULL)
        return SHS_NOMEM;
    memcpy(weak, "W/", 2);
    memcpy(weak + 2, f->value.ptr, f->value.len);
    f->value = (struct shs_str){weak, f->value.len + 2};
    *bytes += 2;
    return SHS_OK;
}

int shs_response_weaken_etag(struct shs_response *res)
{
    if (res->head_sent)
        return shs__mistake(res->x, "shs_response_weaken_etag",
                            "the head of the answer has been sent already");
    for (size_t i = 0; i < res->field_count; i++)
        SHS_RETURN_IF_ERROR(weaken(res, &res->fields[i], &res->field_bytes));
    for (size_t i = 0; i < res->standing_count; i++)
        SHS_RETURN_IF_ERROR(weaken(res, &res->standing[i], &res->standing_bytes));
    return SHS_OK;
}

int shs_response_replace_body(struct shs_response *res, const void *body, size_t len,
                              const char *name, const char *value)
{
    struct shs_str before;
    bool head_done = res->head_done;
    int rc = SHS_OK;

    if (!shs_response_body(res, &before))
        return shs__mistake(res->x, "shs_response_replace_body",
                            "the body has been sent already, or is a file");
    if (len > before.len)
        rc = shs__buf_reserve(&res->body, len - before.len);
    if (rc == SHS_OK)
        rc = shs_response_weaken_etag(res);
    if (rc == SHS_OK && name != NULL) {
        res->head_done = false; /* nothing of it has left */
        rc = shs_send_header(res, name, value);
        res->head_done = head_done;
    }
    if (rc != SHS_OK)
        return rc;
    if (len > 0)
        memmove(shs__buf_head(&res->body), body, len);
    res->body.len = len;
    res->body_total = len;
    if (res->has_length)
        res->length = len;
    return SHS_OK;
}

/* -- a method that the handler lacks ----------------------------------------------------------- */

/* The methods of the handler, as Allow lists them (RFC 9110 section 10.2.1). */
static int allow(const struct shs_http_handler *handler, char *out, size_t cap)
{
    static const char *const names[] = {"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"};
    size_t len = 0;

    for (size_t i = 0; i < SHS_ARRAY_LEN(names); i++) {
        bool ours = i + 1 == SHS_ARRAY_LEN(names); /* OPTIONS is always answered */
        struct shs_str name = shs__str(names[i]);

        if (!ours && shs__handler_method(handler, name) == NULL)
            continue;
        if (len + name.len + 3 > cap)
            return SHS_LIMIT;
        if (len > 0) {
            out[len++] = ',';
            out[len++] = ' ';
        }
        memcpy(out + len, name.ptr, name.len);
        len += name.len;
    }
    out[len] = '\0';
    return SHS_OK;
}

static int method_lacks(const struct shs_http_handler *handler, const struct shs_request *req,
                        struct shs_response *res)
{
    bool options = shs__str_eq(req->head.method, SHS_STR("OPTIONS"));
    char list[64];
    int rc = allow(handler, list, sizeof list);

    if (rc == SHS_OK)
        rc = options ? shs_send_response(res, 204)
                     : shs_send_error(res, 501, "This server does not support this method.");
    if (rc != SHS_OK)
        return rc;
    res->head_done = false; /* nothing of it has left */
    rc = shs_send_header(res, "Allow", list);
    return rc == SHS_OK ? shs_end_headers(res) : rc;
}

int shs_handler_call(const struct shs_http_handler *next, struct shs_request *req,
                     struct shs_response *res)
{
    shs_method_fn *method = shs__handler_method(next, req->head.method);
    struct shs_exchange *x = req->x;
    const struct shs_http_handler *before = x->handler;
    const char *middleware = x->middleware;
    int rc;

    if (res->started)
        return shs__mistake(
            x, "shs_handler_call",
            "%s: an answer has begun already. Either answer, or call another handler",
            next->name == NULL ? "the next handler" : next->name);
    if (x->depth == SHS_MAX_HANDLER_DEPTH)
        return shs__mistake(x, "shs_handler_call",
                            "%u handlers call one another: does one call itself?",
                            SHS_MAX_HANDLER_DEPTH);
    x->depth++;
    x->handler = next;
    x->middleware = NULL;
    rc = method == NULL ? method_lacks(next, req, res) : method(req, res);
    if (before != NULL) /* the outermost one stays: mistakes are told with its name */
        x->handler = before;
    x->middleware = middleware;
    x->depth--;
    shs__note_result(x, rc, next->name, false);
    return rc;
}

const char *shs_request_enter_middleware(struct shs_request *req, const char *name)
{
    const char *before = req->x->middleware;

    req->x->middleware = name == NULL ? "without a name" : name;
    return before;
}

void shs_request_leave_middleware(struct shs_request *req, const char *before, int rc)
{
    shs__note_result(req->x, rc, req->x->middleware, true);
    req->x->middleware = before;
}

bool shs_handler_has(const struct shs_http_handler *handler, struct shs_str method)
{
    return shs__handler_method(handler, method) != NULL;
}
