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

/* Who does it, as the log names it. */
struct who {
    const char *kind, *name;
};

static struct who who_runs(const struct shs_exchange *x)
{
    if (x->middleware != NULL)
        return (struct who){"middleware", x->middleware};
    return (struct who){"handler", x->handler == NULL ? NULL : x->handler->name};
}

static int record(struct shs_exchange *x, struct who who, int code, const char *call,
                  const char *fmt, va_list ap)
{
    struct shs_str method = x->req.head.method, path = shs_request_full_path(&x->req);
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
    len = snprintf(text, TEXT_MAX, "%s %.*s, %.*s %.*s: %s%s", who.kind, NAME_MAX_SHOWN,
                   who.name == NULL ? "without a name" : who.name, shown(method, NAME_MAX_SHOWN),
                   method.ptr, shown(path, PATH_MAX_SHOWN), path.ptr, call == NULL ? "" : call,
                   call == NULL ? "" : ": ");
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
    rc = record(x, who_runs(x), code, call, fmt, ap);
    va_end(ap);
    return rc;
}

int shs_response_mistake(struct shs_response *res, int code, const char *call, const char *text)
{
    return shs__mistake_of(res->x, code < 0 ? code : SHS_USAGE, call, "%s", text);
}

void shs__note_result(struct shs_exchange *x, int rc, const char *name, bool middleware)
{
    bool started = x->res.started;

    if ((rc < 0 && rc != SHS_USAGE) || (x->req.sink != NULL && !x->req.sink_over))
        return;
    if (x->culprit != NULL && x->culprit_rc == rc && x->culprit_started == started)
        return;
    x->culprit = name == NULL ? "without a name" : name;
    x->culprit_rc = rc;
    x->culprit_started = started;
    x->culprit_is_middleware = middleware;
}

/* What is wrong with the result is told of whoever it came from. */
static int wrong_result(struct shs_exchange *x, int rc, const char *fmt, ...) SHS_PRINTF(3, 4);
static int wrong_result(struct shs_exchange *x, int rc, const char *fmt, ...)
{
    struct who who = who_runs(x);
    va_list ap;

    if (x->culprit != NULL && x->culprit_rc == rc && x->culprit_started == x->res.started)
        who = (struct who){x->culprit_is_middleware ? "middleware" : "handler", x->culprit};
    va_start(ap, fmt);
    rc = record(x, who, SHS_USAGE, NULL, fmt, ap);
    va_end(ap);
    return rc;
}

static int no_answer(struct shs_exchange *x)
{
    return wrong_result(x, SHS_OK,
                        x->culprit != NULL && x->culprit_is_middleware
                            ? "it returned 0 without an answer. Answer, return what shs_next_call "
                              "returns, or return an error"
                            : "it returned 0 without an answer. Call shs_send_response, or return "
                              "an error");
}

int shs__mistake_in_result(struct shs_exchange *x, int rc)
{
    const struct shs_response *res = &x->res;

    if (rc > 0)
        return wrong_result(x, rc, "it returned %d. Return 0, or a negative SHS_ code", rc);
    if (rc == SHS_USAGE)
        return wrong_result(
            x, rc, "it returned SHS_USAGE, but no call for this answer has failed with it");
    if (rc != SHS_OK)
        return rc;
    if (!res->started)
        return no_answer(x);
    if (res->has_length && !res->no_body && res->source == NULL && res->body_total != res->length)
        return wrong_result(x, rc,
                            "it wrote %" PRIu64 " of the %" PRIu64
                            " bytes that its Content-Length says. Write them all, or leave the "
                            "field to the server",
                            res->body_total, res->length);
    return SHS_OK;
}
