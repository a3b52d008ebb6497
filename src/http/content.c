/*
 * content.c - the whole body at once, and the small grammar of fields that describe content.
 */
#include "http/content.h"
#include "http/mistake.h"

#include "base/chars.h"

struct shs_content *shs__content(struct shs_request *req)
{
    if (req->content == NULL) {
        req->content = shs_request_alloc(req, sizeof *req->content);
        if (req->content == NULL)
            return NULL;
        memset(req->content, 0, sizeof *req->content);
    }
    return req->content;
}

void shs__content_free(struct shs_content *content)
{
    if (content == NULL)
        return;
    shs__buf_free(&content->body);
    shs__free(content->query.block);
    shs__free(content->form.block);
}

int shs__refuse_content(struct shs_request *req, int code, int status, const char *rule,
                        const char *text)
{
    req->refusal = (struct shs_refusal){status, rule, text};
    req->content_code = code;
    return code;
}

/* -- the body ---------------------------------------------------------------------------------- */

int shs__content_too_long(struct shs_request *req)
{
    return shs__refuse_content(req, SHS_LIMIT, 413, "content-too-long",
                               "The content is larger than this server accepts.");
}

/* Reads to the end of the body. One byte beyond max is asked for, to see that there is none. */
static int read_all(struct shs_request *req, size_t max, struct shs_buf *body)
{
    char beyond;
    size_t got = 0;
    int rc;

    do {
        size_t room = max - body->len;

        if (room > 0) {
            rc = shs__buf_reserve(body, room < 4096 ? room : 4096);
            if (rc != SHS_OK)
                return rc;
            if (room > shs__buf_room(body))
                room = shs__buf_room(body);
            rc = shs_request_read(req, shs__buf_tail(body), room, &got);
            if (rc == SHS_OK)
                body->len += got;
        } else {
            rc = shs_request_read(req, &beyond, 1, &got);
            if (rc == SHS_OK && got > 0)
                return shs__content_too_long(req);
        }
    } while (rc == SHS_OK && got > 0);
    return rc;
}

int shs_request_body(struct shs_request *req, size_t max, struct shs_str *out)
{
    struct shs_content *content = shs__content(req);
    uint64_t length = 0;
    int rc;

    if (content == NULL)
        return SHS_NOMEM;
    if (content->body_code != SHS_OK)
        return content->body_code;
    if (content->have_body && content->body.len > max)
        return shs__content_too_long(req);
    if (!content->have_body) {
        if (req->body_failed || req->body_taken)
            return req->body_failed
                       ? req->body_code
                       : shs__mistake(req->x, "shs_request_body",
                                      "a part of it has been read by shs_request_read");
        if (shs_request_has_body(req, &length) && length != UINT64_MAX && length > max)
            return shs__content_too_long(req);
        shs__buf_init(&content->body, max);
        rc = length == UINT64_MAX ? SHS_OK : shs__buf_reserve(&content->body, (size_t)length);
        if (rc == SHS_OK)
            rc = read_all(req, max, &content->body);
        if (rc != SHS_OK) {
            content->body_code = rc;
            return rc;
        }
        content->have_body = true;
    }
    *out = content->body.len > 0
               ? (struct shs_str){shs__buf_head(&content->body), content->body.len}
               : SHS_STR("");
    return SHS_OK;
}

/* -- fields that describe content -------------------------------------------------------------- */

static struct shs_str skip_blanks(struct shs_str s)
{
    while (s.len > 0 && shs__is_blank(s.ptr[0])) {
        s.ptr++;
        s.len--;
    }
    return s;
}

bool shs__media_type_is(struct shs_str value, struct shs_str type)
{
    struct shs_str rest;

    if (value.len < type.len || !shs__str_eq_nocase((struct shs_str){value.ptr, type.len}, type))
        return false;
    rest = skip_blanks((struct shs_str){value.ptr + type.len, value.len - type.len});
    return rest.len == 0 || rest.ptr[0] == ';';
}

static size_t token_length(struct shs_str s)
{
    size_t n = 0;

    while (n < s.len && shs__char_is(s.ptr[n], SHS_CHAR_TOKEN))
        n++;
    return n;
}

/* The bytes up to the closing quote; s begins behind the opening one. */
static int quoted_length(struct shs_str s, size_t *len)
{
    for (size_t i = 0; i < s.len; i++) {
        if (s.ptr[i] == '"') {
            *len = i;
            return SHS_OK;
        }
        if (s.ptr[i] == '\\' && i + 1 < s.len && (s.ptr[i + 1] == '"' || s.ptr[i + 1] == '\\'))
            i++;
    }
    return SHS_PROTO;
}

static struct shs_str advance(struct shs_str s, size_t n)
{
    return (struct shs_str){s.ptr + n, s.len - n};
}

int shs__next_parameter(struct shs_str *rest, struct shs_str *name, struct shs_str *value,
                        bool *quoted)
{
    struct shs_str s = skip_blanks(*rest);
    size_t len;

    *name = (struct shs_str){NULL, 0};
    while (s.len > 0 && s.ptr[0] == ';') /* an empty parameter is allowed: RFC 9110 5.6.6 */
        s = skip_blanks(advance(s, 1));
    if (s.len == 0) {
        *rest = s;
        return SHS_OK;
    }
    if (s.ptr == skip_blanks(*rest).ptr) /* no ";" between two parameters */
        return SHS_PROTO;
    len = token_length(s);
    if (len == 0 || len == s.len || s.ptr[len] != '=')
        return SHS_PROTO;
    *name = (struct shs_str){s.ptr, len};
    s = advance(s, len + 1);
    *quoted = s.len > 0 && s.ptr[0] == '"';
    if (*quoted) {
        s = advance(s, 1);
        if (quoted_length(s, &len) != SHS_OK)
            return SHS_PROTO;
    } else {
        len = token_length(s);
        if (len == 0)
            return SHS_PROTO;
    }
    *value = (struct shs_str){s.ptr, len};
    *rest = advance(s, *quoted ? len + 1 : len);
    return SHS_OK;
}

size_t shs__unquote(struct shs_str s, char *out)
{
    size_t len = 0;

    for (size_t i = 0; i < s.len; i++) {
        if (s.ptr[i] == '\\' && i + 1 < s.len && (s.ptr[i + 1] == '"' || s.ptr[i + 1] == '\\'))
            i++;
        out[len++] = s.ptr[i];
    }
    return len;
}
