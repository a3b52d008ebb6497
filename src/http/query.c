/*
 * query.c - application/x-www-form-urlencoded: "a=1&b=2", from a query or from a body.
 */
#include <shs/query.h>

#include <inttypes.h>
#include <stdio.h>

#include "base/text.h"
#include "http/content.h"

struct shs_str shs_params_get(const struct shs_params *params, const char *name, size_t n)
{
    struct shs_str wanted = shs__str(name);

    for (size_t i = 0; i < params->count; i++) {
        if (shs__str_eq(params->at[i].name, wanted) && n-- == 0)
            return params->at[i].value;
    }
    return (struct shs_str){NULL, 0};
}

/* The next piece between "&"; false at the end. */
static bool next_piece(struct shs_str *text, struct shs_str *piece)
{
    while (text->len > 0) {
        const char *amp = memchr(text->ptr, '&', text->len);
        size_t len = amp == NULL ? text->len : (size_t)(amp - text->ptr);

        *piece = (struct shs_str){text->ptr, len};
        text->ptr += amp == NULL ? len : len + 1;
        text->len -= amp == NULL ? len : len + 1;
        if (len > 0)
            return true;
    }
    return false;
}

/* Decodes once, to *out, which is moved behind it. */
static int decode(struct shs_str s, char **out, struct shs_str *decoded)
{
    size_t len = 0;
    int rc;

    /* "+" first, in the raw bytes: a %2B must stay a plus. */
    for (size_t i = 0; i < s.len; i++)
        (*out)[i] = s.ptr[i] == '+' ? ' ' : s.ptr[i];
    rc = shs_percent_decode((struct shs_str){*out, s.len}, *out, s.len, &len);
    if (rc != SHS_OK)
        return rc;
    *decoded = (struct shs_str){*out, len};
    *out += len;
    return SHS_OK;
}

static int decode_pair(struct shs_str piece, char **out, struct shs_param *param)
{
    const char *equals = memchr(piece.ptr, '=', piece.len);
    size_t name = equals == NULL ? piece.len : (size_t)(equals - piece.ptr);
    size_t value = equals == NULL ? piece.len : name + 1;
    int rc = decode((struct shs_str){piece.ptr, name}, out, &param->name);

    if (rc == SHS_OK)
        rc = decode((struct shs_str){piece.ptr + value, piece.len - value}, out, &param->value);
    return rc;
}

int shs__params_parse(struct shs_str text, struct shs_param_list *list)
{
    struct shs_str rest = text, piece;
    struct shs_param *block;
    size_t count = 0, i = 0;
    char *out;

    while (next_piece(&rest, &piece)) {
        if (++count > SHS_MAX_PARAMS)
            return SHS_LIMIT;
    }
    block = shs__malloc(count * sizeof *block + text.len + 1);
    if (block == NULL)
        return SHS_NOMEM;
    out = (char *)(block + count);
    for (rest = text; next_piece(&rest, &piece); i++) {
        int rc = decode_pair(piece, &out, &block[i]);

        if (rc != SHS_OK) {
            shs__free(block);
            return rc;
        }
    }
    *list = (struct shs_param_list){block, count};
    return SHS_OK;
}

static int parse_once(struct shs_request *req, struct shs_str text, struct shs_param_list *list,
                      struct shs_params *out)
{
    int rc = list->block == NULL ? shs__params_parse(text, list) : SHS_OK;

    if (rc == SHS_PROTO)
        return shs__refuse_content(req, rc, 400, "bad-parameters",
                                   "Each % in a parameter must be followed by two hex digits, and "
                                   "a NUL may not be in it.");
    if (rc == SHS_LIMIT)
        return shs__refuse_content(req, rc, 413, "too-many-parameters",
                                   "There are more parameters than this server accepts.");
    if (rc == SHS_OK)
        *out = (struct shs_params){list->block, list->count};
    return rc;
}

int shs_request_query_params(struct shs_request *req, struct shs_params *out)
{
    struct shs_content *content = shs__content(req);

    if (content == NULL)
        return SHS_NOMEM;
    return parse_once(req, req->head.query, &content->query, out);
}

int shs_request_query_param(struct shs_request *req, const char *name, struct shs_str *out)
{
    struct shs_params params;
    int rc = shs_request_query_params(req, &params);

    if (rc == SHS_OK)
        *out = shs_params_get(&params, name, 0);
    return rc;
}

int shs_request_query_number(struct shs_request *req, const char *name, uint64_t max, uint64_t *out)
{
    struct shs_str value;
    char text[160];

    SHS_RETURN_IF_ERROR(shs_request_query_param(req, name, &value));
    if (value.ptr == NULL || shs_str_number(value, max, out))
        return SHS_OK;
    snprintf(text, sizeof text, "The parameter %.40s must be a number from 0 to %" PRIu64 ".", name,
             max);
    return shs_request_refuse(req, 400, "bad-number", text);
}

int shs_request_form(struct shs_request *req, size_t max, struct shs_params *out)
{
    struct shs_content *content = shs__content(req);
    struct shs_str type, body;
    uint64_t length;
    int rc;

    if (content == NULL)
        return SHS_NOMEM;
    if (shs_request_has_body(req, &length) &&
        (!shs_request_header(req, "Content-Type", &type) ||
         !shs__media_type_is(type, SHS_STR("application/x-www-form-urlencoded"))))
        return shs__refuse_content(req, SHS_PROTO, 415, "not-a-form",
                                   "A form of type application/x-www-form-urlencoded is expected.");
    rc = shs_request_body(req, max, &body);
    return rc == SHS_OK ? parse_once(req, body, &content->form, out) : rc;
}
