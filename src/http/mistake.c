#include "http/mistake.h"

#include <inttypes.h>
#include <stdio.h>

/* As much as a struct shs_error holds. */
#define TEXT_MAX 240
#define NAME_MAX_SHOWN 32
#define PATH_MAX_SHOWN 64

static int shown(struct shs_str s, int max)
{
    return s.len > (size_t)max ? max : (int)s.len;
}

static int record(struct shs_exchange *x, int code, const char *call, const char *fmt, va_list ap)
{
    const struct shs_head *head = &x->req.head;
    const char *name = x->handler == NULL ? NULL : x->handler->name;
    char *text;
    int len;

    /* What is wrong is told rather than what is too much. */
    if (x->mistake != NULL && (x->mistake_code == code || code != SHS_USAGE))
        return code;
    x->mistake_code = code;
    text = shs__arena_alloc(&x->arena, TEXT_MAX);
    if (text == NULL) {
        x->mistake = "a handler used the API wrongly, and there is no memory to say how";
        return code;
    }
    len = snprintf(text, TEXT_MAX, "handler %.*s, %.*s %.*s: %s%s", NAME_MAX_SHOWN,
                   name == NULL ? "without a name" : name, shown(head->method, NAME_MAX_SHOWN),
                   head->method.ptr, shown(head->path, PATH_MAX_SHOWN), head->path.ptr,
                   call == NULL ? "" : call, call == NULL ? "" : ": ");
    if (len > 0 && len < TEXT_MAX)
        vsnprintf(text + len, (size_t)(TEXT_MAX - len), fmt, ap);
    x->mistake = text;
    return code;
}

int shs__mistake_of(struct shs_exchange *x, int code, const char *call, const char *fmt, ...)
{
    va_list ap;
    int rc;

    va_start(ap, fmt);
    rc = record(x, code, call, fmt, ap);
    va_end(ap);
    return rc;
}

int shs_response_mistake(struct shs_response *res, int code, const char *call, const char *text)
{
    return shs__mistake_of(res->x, code < 0 ? code : SHS_USAGE, call, "%s", text);
}

static int result_without_answer(struct shs_exchange *x)
{
    return shs__mistake(x, NULL,
                        "it returned 0 without an answer. Call shs_send_response, or return an "
                        "error");
}

int shs__mistake_in_result(struct shs_exchange *x, int rc)
{
    const struct shs_response *res = &x->res;

    if (rc > 0)
        return shs__mistake(x, NULL, "it returned %d. Return 0, or a negative SHS_ code", rc);
    if (rc == SHS_USAGE)
        return shs__mistake(x, NULL, "it returned SHS_USAGE, but no call of this answer failed so");
    if (rc != SHS_OK)
        return rc;
    if (!res->started)
        return result_without_answer(x);
    if (res->has_length && !res->no_body && res->source == NULL && res->body_total != res->length)
        return shs__mistake(x, NULL,
                            "it wrote %" PRIu64 " of the %" PRIu64
                            " bytes that its Content-Length says. Write them all, or leave the "
                            "field to the server",
                            res->body_total, res->length);
    return SHS_OK;
}
