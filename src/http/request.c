#include "base/number.h"
#include "http/mistake.h"

struct shs_str shs_request_method(const struct shs_request *req)
{
    return req->head.method;
}

struct shs_str shs_request_target(const struct shs_request *req)
{
    return req->head.target;
}

struct shs_str shs_request_user(const struct shs_request *req)
{
    return req->user;
}

struct shs_str shs_request_path(const struct shs_request *req)
{
    return req->head.path;
}

void shs_request_set_path(struct shs_request *req, struct shs_str path)
{
    if (req->full_path.ptr == NULL)
        req->full_path = req->head.path;
    req->head.path = path;
}

struct shs_str shs_request_full_path(const struct shs_request *req)
{
    return req->full_path.ptr == NULL ? req->head.path : req->full_path;
}

struct shs_str shs_request_query(const struct shs_request *req)
{
    return req->head.query;
}

struct shs_str shs_request_line(const struct shs_request *req)
{
    return req->head.line;
}

int shs_request_version(const struct shs_request *req)
{
    return req->head.version;
}

struct shs_str shs_request_host(const struct shs_request *req)
{
    return req->head.host;
}

size_t shs_request_header_count(const struct shs_request *req)
{
    return req->head.field_count;
}

bool shs_request_header_at(const struct shs_request *req, size_t i, struct shs_str *name,
                           struct shs_str *value)
{
    if (i >= req->head.field_count)
        return false;
    *name = req->head.fields[i].name;
    *value = req->head.fields[i].value;
    return true;
}

bool shs_request_header(const struct shs_request *req, const char *name, struct shs_str *value)
{
    struct shs_str wanted = shs__str(name);

    for (size_t i = 0; i < req->head.field_count; i++) {
        if (shs__str_eq_nocase(req->head.fields[i].name, wanted)) {
            *value = req->head.fields[i].value;
            return true;
        }
    }
    return false;
}

int shs_request_limit_body(struct shs_request *req, uint64_t max)
{
    uint64_t length = 0;

    if (max < req->max_body)
        req->max_body = max;
    if (shs_request_has_body(req, &length) && length != UINT64_MAX && length > req->max_body)
        return shs__content_too_long(req);
    return req->body_read > req->max_body ? shs__content_too_long(req) : SHS_OK;
}

int shs_request_refuse(struct shs_request *req, int status, const char *rule, const char *text)
{
    struct shs_str copy = shs__arena_copy(&req->x->arena, shs__str(text));

    return shs__refuse_content(req, SHS_PROTO, status, rule,
                               copy.ptr == NULL ? shs_http_reason(status) : copy.ptr);
}

void shs_request_set_deadline(struct shs_request *req, int64_t deadline_ns)
{
    if (deadline_ns < req->x->deadline_ns)
        req->x->deadline_ns = deadline_ns;
}

int64_t shs_request_deadline(const struct shs_request *req)
{
    return req->x->deadline_ns;
}

int shs_request_on_end(struct shs_request *req, shs_end_fn *fn, void *arg)
{
    struct shs_ending *ending = shs_request_alloc(req, sizeof *ending);

    if (ending == NULL)
        return SHS_NOMEM;
    *ending = (struct shs_ending){fn, arg, req->x->endings};
    req->x->endings = ending;
    return SHS_OK;
}

int shs_request_on_access(struct shs_request *req, shs_access_fn *fn, void *ctx)
{
    struct shs_exchange *x = req->x;
    struct shs_access_call *call = shs__arena_alloc(&x->arena, sizeof *call);

    if (call == NULL)
        return SHS_NOMEM;
    *call = (struct shs_access_call){fn, ctx, x->access_calls};
    x->access_calls = call;
    return SHS_OK;
}

bool shs_request_has_body(const struct shs_request *req, uint64_t *length)
{
    if (!req->head.chunked && req->head.content_length == 0)
        return false;
    *length = req->head.chunked ? UINT64_MAX : req->head.content_length;
    return true;
}

int shs__request_count_body(struct shs_request *req, size_t got)
{
    req->body_read += got;
    return req->body_read > req->max_body ? shs__content_too_long(req) : SHS_OK;
}

int shs_request_read(struct shs_request *req, void *buf, size_t cap, size_t *got)
{
    int rc;

    if (req->body_failed)
        return req->body_code;
    if (cap == 0)
        return shs__mistake(req->x, "shs_request_read", "it needs room for at least one byte");
    if (req->sink != NULL)
        return shs__mistake(req->x, "shs_request_read", "the body goes to a sink already");
    req->body_taken = true;
    rc = req->x->ops->read_body(req->x, buf, cap, got);
    if (rc == SHS_OK)
        rc = shs__request_count_body(req, *got);
    if (rc != SHS_OK) {
        req->body_failed = true;
        req->body_code = rc;
    }
    return rc;
}

/* The numbers in hex, a dash between them. */
static size_t format_id(char id[SHS_REQUEST_ID_MAX], const uint64_t numbers[3])
{
    char digits[SHS_HEX_MAX];
    struct shs_str hex;
    size_t len = 0;

    for (size_t i = 0; i < 3; i++) {
        hex = shs__hex(numbers[i], digits);
        memcpy(id + len, hex.ptr, hex.len);
        len += hex.len;
        if (i < 2)
            id[len++] = '-';
    }
    return len;
}

struct shs_str shs_request_id(struct shs_request *req)
{
    const struct shs_exchange_ops *ops = req->x->ops;
    char id[SHS_REQUEST_ID_MAX];
    uint64_t numbers[3];

    if (req->id.len == 0 && ops->identify != NULL && ops->identify(req->x, numbers))
        req->id = shs__arena_copy(&req->x->arena, (struct shs_str){id, format_id(id, numbers)});
    return req->id.ptr == NULL ? SHS_STR("") : req->id;
}

void *shs_request_ctx(const struct shs_request *req)
{
    return req->x->handler->ctx;
}

static struct shs_slot *find_slot(const struct shs_request *req, const void *key)
{
    struct shs_slot *slot = req->slots;

    while (slot != NULL && slot->key != key)
        slot = slot->next;
    return slot;
}

void *shs_request_slot(const struct shs_request *req, const void *key)
{
    const struct shs_slot *slot = find_slot(req, key);

    return slot == NULL ? NULL : slot->value;
}

int shs_request_set_slot(struct shs_request *req, const void *key, void *value)
{
    struct shs_slot *slot = find_slot(req, key);

    if (key == NULL)
        return shs__mistake(req->x, "shs_request_set_slot", "the key is NULL");
    if (slot == NULL) {
        slot = shs_request_alloc(req, sizeof *slot);
        if (slot == NULL)
            return SHS_NOMEM;
        slot->key = key;
        slot->next = req->slots;
        req->slots = slot;
    }
    slot->value = value;
    return SHS_OK;
}

int shs_request_sink(struct shs_request *req, const struct shs_sink *sink, void *ctx)
{
    if (req->sink != NULL || req->body_taken || req->x->res.started) {
        if (sink->free != NULL)
            sink->free(ctx);
        return shs__mistake(req->x, "shs_request_sink",
                            "call it before the body is read and before an answer begins");
    }
    req->sink = sink;
    req->sink_ctx = ctx;
    req->sink_handler = req->x->handler;
    return SHS_OK;
}

int shs__sink_done(struct shs_request *req, struct shs_response *res)
{
    const struct shs_http_handler *before = req->x->handler;
    int rc;

    req->x->handler = req->sink_handler;
    rc = req->sink->done(req->sink_ctx, req, res, req->sink_rc);
    shs__note_result(req->x, rc, req->x->handler->name, false);
    req->x->handler = before;
    return rc;
}

void shs__sink_free(struct shs_request *req)
{
    const struct shs_sink *sink = req->sink;

    req->sink = NULL;
    if (sink != NULL && sink->free != NULL)
        sink->free(req->sink_ctx);
}

int shs_request_set_user(struct shs_request *req, struct shs_str name)
{
    struct shs_str copy;

    if (name.ptr == NULL)
        return shs__mistake(req->x, "shs_request_set_user", "the name is NULL");
    copy = shs__arena_copy(&req->x->arena, name);
    if (copy.ptr == NULL)
        return SHS_NOMEM;
    req->user = copy;
    return SHS_OK;
}

int64_t shs_request_since(const struct shs_request *req)
{
    const struct shs_exchange_ops *ops = req->x->ops;

    return ops->there_since == NULL ? 0 : ops->there_since(req->x);
}

struct shs_conn *shs_request_conn(const struct shs_request *req)
{
    return req->x->conn;
}

char *shs_request_copy(struct shs_request *req, struct shs_str s)
{
    char *copy = s.ptr == NULL ? NULL : shs_request_alloc(req, s.len + 1);

    if (copy != NULL) {
        memcpy(copy, s.ptr, s.len);
        copy[s.len] = '\0';
    }
    return copy;
}

void *shs_request_alloc(struct shs_request *req, size_t size)
{
    struct shs_arena *arena = &req->x->arena;

    if (arena->used >= SHS_EXCHANGE_MEMORY || size > SHS_EXCHANGE_MEMORY - arena->used)
        return NULL;
    return shs__arena_alloc(arena, size);
}
