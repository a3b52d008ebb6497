/*
 * json.c - <shs/json.h>. The only file that includes jansson.
 */
#include <shs/json.h>

#include <stdio.h>

#include "base/base.h"
#include "base/number.h"
#include "base/text.h"

#ifdef SHS_HAVE_JANSSON
#include <jansson.h>
#endif

#define ANSWER_MAX ((size_t)64 << 20)
#define DEPTH_MAX 512u
#define TEXT_MAX 280

void shs_json_limits_init_sized(struct shs_json_limits *limits, size_t size)
{
    struct shs_json_limits defaults = {size, (size_t)1 << 20, 32};

    shs__sized_init(limits, size, &defaults, sizeof defaults);
}

bool shs_json_available(void)
{
#ifdef SHS_HAVE_JANSSON
    return true;
#else
    return false;
#endif
}

int shs_send_json_text(struct shs_response *res, int status, struct shs_str json)
{
    if (json.ptr == NULL)
        return shs_response_mistake(res, SHS_USAGE, "shs_send_json_text", "the text is NULL");
    SHS_RETURN_IF_ERROR(shs_send_response(res, status));
    SHS_RETURN_IF_ERROR(shs_send_header(res, "Content-Type", "application/json"));
    SHS_RETURN_IF_ERROR(shs_end_headers(res));
    return shs_write(res, json.ptr, json.len);
}

#ifdef SHS_HAVE_JANSSON

/* -- in ---------------------------------------------------------------------------------------- */

static bool is_json_type(struct shs_str type)
{
    static const char suffix[] = "+json";
    const size_t len = sizeof suffix - 1;
    const char *end = memchr(type.ptr, ';', type.len);

    if (end != NULL)
        type.len = (size_t)(end - type.ptr);
    while (type.len > 0 && (type.ptr[type.len - 1] == ' ' || type.ptr[type.len - 1] == '\t'))
        type.len--;
    if (shs_str_is_nocase(type, "application/json"))
        return true;
    return type.len > len && memchr(type.ptr, '/', type.len) != NULL &&
           shs_str_is_nocase((struct shs_str){type.ptr + type.len - len, len}, suffix);
}

static int refuse_at(struct shs_request *req, size_t line, size_t column, const char *what)
{
    char text[TEXT_MAX];

    snprintf(text, sizeof text, "The JSON has an error in line %zu, column %zu: %s.", line, column,
             what);
    return shs_request_refuse(req, 400, "bad-json", text);
}

/*
 * Where it is nested more deeply than that, before a parser that recurses sees it; and a NUL, which
 * jansson steps over where it looks ahead: another reader would stop there.
 */
static int check_body(struct shs_request *req, struct shs_str body, unsigned max)
{
    bool in_string = false;
    unsigned depth = 0;
    size_t line = 1, column = 0;
    char what[60];

    for (size_t i = 0; i < body.len; i++) {
        char c = body.ptr[i];

        column++;
        if (c == '\n') {
            line++;
            column = 0;
        }
        if (c == '\0')
            return refuse_at(req, line, column, "JSON may not contain a NUL byte");
        if (in_string) {
            if (c == '\\' && i + 1 < body.len) {
                i++;
                column++;
            } else if (c == '"') {
                in_string = false;
            }
            continue;
        }
        in_string = c == '"';
        if ((c == ']' || c == '}') && depth > 0)
            depth--;
        if (c != '[' && c != '{')
            continue;
        if (++depth > max) {
            snprintf(what, sizeof what, "nested deeper than %u levels", max);
            return refuse_at(req, line, column, what);
        }
    }
    return SHS_OK;
}

static void drop(void *value)
{
    json_decref(value);
}

static int parse(struct shs_request *req, struct shs_str body, json_t **out)
{
    json_error_t why;
    json_t *value = json_loadb(body.ptr, body.len, JSON_REJECT_DUPLICATES | JSON_DECODE_ANY, &why);
    int rc;

    if (value == NULL && json_error_code(&why) == json_error_out_of_memory)
        return SHS_NOMEM;
    if (value == NULL)
        return refuse_at(req, why.line > 0 ? (size_t)why.line : 1,
                         why.column > 0 ? (size_t)why.column : 0, why.text);
    rc = shs_request_on_end(req, drop, value);
    if (rc != SHS_OK) {
        json_decref(value);
        return rc;
    }
    *out = value;
    return SHS_OK;
}

int shs_request_json(struct shs_request *req, const struct shs_json_limits *limits,
                     struct json_t **out)
{
    struct shs_json_limits l;
    struct shs_str type, body;

    shs_json_limits_init(&l);
    if (limits != NULL && shs__sized_copy(&l, sizeof l, limits, "shs_json_limits", NULL) != SHS_OK)
        return SHS_USAGE;
    if (l.max_depth > DEPTH_MAX)
        l.max_depth = DEPTH_MAX;
    if (!shs_request_header(req, "Content-Type", &type) || !is_json_type(type))
        return shs_request_refuse(req, 415, "not-json",
                                  "The content must be JSON, with Content-Type: application/json.");
    SHS_RETURN_IF_ERROR(shs_request_body(req, l.max_bytes, &body));
    if (body.len == 0)
        return shs_request_refuse(req, 400, "bad-json", "There is no JSON: the body is empty.");
    SHS_RETURN_IF_ERROR(check_body(req, body, l.max_depth));
    return parse(req, body, out);
}

/* -- out --------------------------------------------------------------------------------------- */

static int append(const char *bytes, size_t len, void *ctx)
{
    return shs__buf_append(ctx, bytes, len) == SHS_OK ? 0 : -1;
}

static int no_value(struct shs_response *res, const char *call)
{
    return shs_response_mistake(res, SHS_NOMEM, call,
                                "the value is NULL. json_pack gives that for a format that its "
                                "values do not fit, and for text that is not UTF-8");
}

/* The text of a value, which is taken. */
static int dump(struct shs_response *res, const char *call, struct shs_buf *out, json_t *value)
{
    int failed;

    if (value == NULL)
        return no_value(res, call);
    failed = json_dump_callback(value, append, out, JSON_COMPACT | JSON_ENCODE_ANY);
    json_decref(value);
    if (failed == 0) {
        out->len = shs__json_shorten(shs__buf_head(out), out->len);
        return SHS_OK;
    }
    if (out->len + 1 < out->ceiling && out->cap != out->ceiling)
        return SHS_NOMEM;
    return shs_response_mistake(res, SHS_LIMIT, call,
                                "the value is longer than 64 MiB. Stream it: shs_json_array_begin");
}

static int send_value(struct shs_response *res, const char *call, int status, const char *type,
                      json_t *value)
{
    struct shs_buf text;
    int rc;

    shs__buf_init(&text, ANSWER_MAX);
    rc = dump(res, call, &text, value);
    if (rc == SHS_OK)
        rc = shs_send_response(res, status);
    if (rc == SHS_OK)
        rc = shs_send_header(res, "Content-Type", type);
    if (rc == SHS_OK)
        rc = shs_end_headers(res);
    if (rc == SHS_OK)
        rc = shs_write(res, shs__buf_head(&text), text.len);
    shs__buf_free(&text);
    return rc;
}

int shs_send_json(struct shs_response *res, int status, struct json_t *value)
{
    return send_value(res, "shs_send_json", status, "application/json", value);
}

/* Text from anywhere: what is not UTF-8 in it becomes U+FFFD. */
static json_t *text_value(struct shs_str s)
{
    struct shs_buf text;
    json_t *value = NULL;
    int rc = SHS_OK;

    shs__buf_init(&text, s.len * 3 + 1);
    for (size_t at = 0; rc == SHS_OK && at < s.len;) {
        size_t len = shs__utf8_length(s, at);

        rc = len == 0 ? shs__buf_append_str(&text, SHS_STR("\xEF\xBF\xBD"))
                      : shs__buf_append(&text, s.ptr + at, len);
        at += len == 0 ? 1 : len;
    }
    if (rc == SHS_OK)
        value = json_stringn(text.len == 0 ? "" : shs__buf_head(&text), text.len);
    shs__buf_free(&text);
    return value;
}

int shs_send_problem_json(struct shs_response *res, int status, const char *detail,
                          struct json_t *members)
{
    static const char call[] = "shs_send_problem_json";
    json_t *problem;

    if (members == NULL)
        return no_value(res, call);
    if (!json_is_object(members)) {
        json_decref(members);
        return shs_response_mistake(res, SHS_USAGE, call, "the members are not an object");
    }
    problem = json_pack("{s:s, s:s, s:i}", "type", "about:blank", "title", shs_http_reason(status),
                        "status", status);
    if (problem == NULL || json_object_update(problem, members) != 0 ||
        json_object_set_new(problem, "status", json_integer(status)) != 0 ||
        (detail != NULL &&
         json_object_set_new(problem, "detail", text_value(shs__str(detail))) != 0)) {
        json_decref(problem);
        json_decref(members);
        return SHS_NOMEM;
    }
    json_decref(members);
    return send_value(res, call, status, "application/problem+json", problem);
}

static int let_go(struct shs_json_array *self)
{
    int rc = self->held_len == 0 ? SHS_OK : shs_write(self->res, self->held, self->held_len);

    self->held_len = 0;
    return rc;
}

static int hold(struct shs_json_array *self, const char *bytes, size_t len)
{
    if (len > sizeof self->held - self->held_len)
        SHS_RETURN_IF_ERROR(let_go(self));
    if (len > sizeof self->held)
        return shs_write(self->res, bytes, len);
    memcpy(self->held + self->held_len, bytes, len);
    self->held_len += len;
    return SHS_OK;
}

int shs_json_array_begin(struct shs_json_array *self, struct shs_response *res, int status)
{
    self->res = res;
    self->count = self->held_len = 0;
    self->rc = shs_send_response(res, status);
    if (self->rc == SHS_OK)
        self->rc = shs_send_header(res, "Content-Type", "application/json");
    if (self->rc == SHS_OK)
        self->rc = shs_end_headers(res);
    if (self->rc == SHS_OK)
        self->rc = hold(self, "[", 1);
    return self->rc;
}

int shs_json_array_add(struct shs_json_array *self, struct json_t *value)
{
    struct shs_buf text;

    if (self->rc != SHS_OK) {
        json_decref(value);
        return self->rc;
    }
    shs__buf_init(&text, ANSWER_MAX);
    self->rc = dump(self->res, "shs_json_array_add", &text, value);
    if (self->rc == SHS_OK && self->count++ > 0)
        self->rc = hold(self, ",", 1);
    if (self->rc == SHS_OK)
        self->rc = hold(self, shs__buf_head(&text), text.len);
    shs__buf_free(&text);
    return self->rc;
}

int shs_json_array_end(struct shs_json_array *self)
{
    if (self->rc == SHS_OK)
        self->rc = hold(self, "]\n", 2);
    if (self->rc == SHS_OK)
        self->rc = let_go(self);
    return self->rc;
}

#else /* without jansson */

int shs_request_json(struct shs_request *req, const struct shs_json_limits *limits,
                     struct json_t **out)
{
    SHS_UNUSED(limits);
    SHS_UNUSED(out);
    return shs_request_refuse(req, 500, "no-json", "This library was built without jansson.");
}

static int no_json(struct shs_response *res)
{
    int rc = shs_send_error(res, 500, "This library was built without jansson.");

    return rc == SHS_OK ? SHS_USAGE : rc;
}

int shs_send_json(struct shs_response *res, int status, struct json_t *value)
{
    SHS_UNUSED(status);
    SHS_UNUSED(value);
    return no_json(res);
}

int shs_send_problem_json(struct shs_response *res, int status, const char *detail,
                          struct json_t *members)
{
    SHS_UNUSED(members);
    return shs_send_problem(res, status, detail);
}

int shs_json_array_begin(struct shs_json_array *self, struct shs_response *res, int status)
{
    SHS_UNUSED(status);
    self->rc = SHS_USAGE;
    return no_json(res);
}

int shs_json_array_add(struct shs_json_array *self, struct json_t *value)
{
    SHS_UNUSED(value);
    return self->rc;
}

int shs_json_array_end(struct shs_json_array *self)
{
    return self->rc;
}

#endif
