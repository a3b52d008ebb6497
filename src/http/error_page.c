/*
 * error_page.c - what an error looks like: HTML, text, JSON, or what the program makes of it.
 *
 * Follows CPython Lib/http/server.py send_error and error_message_format; RFC 9457 for JSON.
 */
#include "base/text.h"
#include "http/mistake.h"

/* A message is a sentence; a longer one is cut where it is escaped. */
#define PAGE_MAX SHS_MAX_RESPONSE_HEAD

/* A policy that stands would keep a style in the page from being used, and have each such page
   reported as an attack: so there is none then. */
static const char *style_of(const struct shs_response *res)
{
    return shs__response_stands(res, SHS_STR("Content-Security-Policy"))
               ? ""
               : " style=\"margin: 2.5rem auto; max-width: 40rem; padding: 0 1rem;"
                 " font: 1rem/1.5 system-ui, sans-serif\"";
}

static int html_page(struct shs_buf *page, const char *style, int code, struct shs_str reason,
                     struct shs_str message)
{
    int rc = shs__buf_printf(page,
                             "<!DOCTYPE html>\n<html lang=\"en\">\n<head><meta charset=\"utf-8\">"
                             "<meta name=\"viewport\" content=\"width=device-width\">"
                             "<meta name=\"color-scheme\" content=\"light dark\">"
                             "<title>%d %.*s</title></head>\n"
                             "<body%s>\n<h1>%d %.*s</h1>\n<p>",
                             code, (int)reason.len, reason.ptr, style, code, (int)reason.len,
                             reason.ptr);

    if (rc == SHS_OK)
        rc = shs__html_escape(page, message);
    if (rc == SHS_OK)
        rc = shs__buf_append_str(page, SHS_STR("</p>\n</body>\n</html>\n"));
    return rc;
}

static int text_page(struct shs_buf *page, int code, struct shs_str reason, struct shs_str message)
{
    SHS_RETURN_IF_ERROR(shs__buf_printf(page, "%d %.*s\n", code, (int)reason.len, reason.ptr));
    if (message.ptr == reason.ptr)
        return SHS_OK;
    SHS_RETURN_IF_ERROR(shs__buf_append_str(page, message));
    return shs__buf_append(page, "\n", 1);
}

/* RFC 9457 section 4.2.1: "about:blank" says that there is no more to it than the status. */
static int problem(struct shs_buf *page, int code, struct shs_str reason, struct shs_str message)
{
    SHS_RETURN_IF_ERROR(
        shs__buf_printf(page, "{\"type\":\"about:blank\",\"title\":\"%.*s\",\"status\":%d",
                        (int)reason.len, reason.ptr, code));
    if (message.ptr != reason.ptr) {
        SHS_RETURN_IF_ERROR(shs__buf_append_str(page, SHS_STR(",\"detail\":\"")));
        SHS_RETURN_IF_ERROR(shs__json_escape(page, message));
        SHS_RETURN_IF_ERROR(shs__buf_append(page, "\"", 1));
    }
    return shs__buf_append_str(page, SHS_STR("}\n"));
}

static int make_page(struct shs_buf *page, const char *style, enum shs_error_form form, int code,
                     struct shs_str reason, struct shs_str message)
{
    switch (form) {
    case SHS_ERRORS_TEXT:
        return text_page(page, code, reason, message);
    case SHS_ERRORS_PROBLEM:
        return problem(page, code, reason, message);
    case SHS_ERRORS_HTML:
        break;
    }
    return html_page(page, style, code, reason, message);
}

static const char *type_of(enum shs_error_form form)
{
    return form == SHS_ERRORS_TEXT      ? "text/plain; charset=utf-8"
           : form == SHS_ERRORS_PROBLEM ? "application/problem+json"
                                        : "text/html;charset=utf-8";
}

static int send_form(struct shs_response *res, enum shs_error_form form, int code,
                     const char *message)
{
    struct shs_str reason = shs__str(shs_http_reason(code));
    struct shs_buf page;
    int rc;

    if (res->head_sent)
        return shs__mistake(res->x, "shs_send_error", "%d: an answer with %d has been sent already",
                            code, res->status);
    if (reason.len == 0)
        reason = SHS_STR("???");
    shs__response_take_back(res);
    rc = shs__response_start(res, code, reason);
    if (rc != SHS_OK)
        return rc;
    if (shs__status_without_body(code))
        return shs_end_headers(res);
    shs__buf_init(&page, PAGE_MAX);
    rc = make_page(&page, style_of(res), form, code, reason,
                   message == NULL ? reason : shs__str(message));
    if (rc == SHS_OK)
        rc = shs_send_header(res, "Content-Type", type_of(form));
    if (rc == SHS_OK)
        rc = shs_write(res, shs__buf_head(&page), page.len);
    shs__buf_free(&page);
    return rc;
}

/* The program's own page. false: it has none, or could not make it, and nothing has left. */
static bool send_own(struct shs_response *res, int code, const char *message, int *rc)
{
    struct shs_exchange *x = res->x;
    const struct shs_options *opt = x->opt;

    if (opt == NULL || opt->error_page == NULL || x->making_error || res->head_sent)
        return false;
    x->making_error = true; /* what it does wrong is answered with a page of ours */
    shs__response_take_back(res);
    *rc = opt->error_page(opt->error_ctx, x->req.head.path.ptr == NULL ? NULL : &x->req, res, code,
                          message == NULL ? shs_http_reason(code) : message);
    x->making_error = false;
    return res->head_sent || (*rc == SHS_OK && res->started);
}

int shs_send_page(struct shs_response *res, int code, const char *message)
{
    const struct shs_options *opt = res->x->opt;
    int rc;

    if (send_own(res, code, message, &rc))
        return rc;
    return send_form(res, opt == NULL ? SHS_ERRORS_HTML : opt->error_form, code, message);
}

int shs_send_problem(struct shs_response *res, int code, const char *detail)
{
    return send_form(res, SHS_ERRORS_PROBLEM, code, detail);
}

int shs_send_error(struct shs_response *res, int code, const char *message)
{
    int rc = shs_send_page(res, code, message);

    if (rc == SHS_OK)
        res->close = true;
    return rc;
}
