/*
 * handlers.c - two handlers for who tests a client: any status, and any delay.
 */
#include <stdio.h>

#include <shs/testing.h>

#include "http/exchange.h"

#define DELAY_MAX_MS 600000u

/* The number that the last segment of the path is; false for anything else. */
static bool last_number(const struct shs_request *req, uint64_t *out)
{
    struct shs_str path = shs_request_path(req);
    uint64_t n = 0;
    size_t i = path.len;

    while (i > 0 && path.ptr[i - 1] != '/')
        i--;
    if (i == path.len || path.len - i > 9)
        return false;
    for (; i < path.len; i++) {
        if (path.ptr[i] < '0' || path.ptr[i] > '9')
            return false;
        n = n * 10 + (uint64_t)(path.ptr[i] - '0');
    }
    *out = n;
    return true;
}

static int status_any(struct shs_request *req, struct shs_response *res)
{
    char body[80];
    uint64_t code;
    int len;

    if (!last_number(req, &code) || code < 200 || code > 999)
        return shs_send_page(res, 404, "The path has to end with a status: /status/418");
    SHS_RETURN_IF_ERROR(shs_send_response(res, (int)code));
    if (code >= 300 && code < 400 && code != 304)
        SHS_RETURN_IF_ERROR(shs_send_header(res, "Location", "/"));
    if (code == 401)
        SHS_RETURN_IF_ERROR(shs_send_header(res, "WWW-Authenticate", "Basic realm=\"test\""));
    if (code == 429 || code == 503)
        SHS_RETURN_IF_ERROR(shs_send_header(res, "Retry-After", "1"));
    SHS_RETURN_IF_ERROR(shs_send_header(res, "Content-Type", "text/plain; charset=utf-8"));
    len = snprintf(body, sizeof body, "%d %s\n", (int)code, shs_http_reason((int)code));
    return shs_write(res, body, (size_t)len);
}

const struct shs_http_handler *shs_status_handler(void)
{
    static const struct shs_http_handler handler = {.name = "status", .do_any = status_any};

    return &handler;
}

/* Who waits for the peer has to have read what it sent. */
static int read_away(struct shs_request *req)
{
    char waste[4096];
    size_t got = 0;
    int rc;

    do {
        rc = shs_request_read(req, waste, sizeof waste, &got);
    } while (rc == SHS_OK && got > 0);
    return rc;
}

static int delay_any(struct shs_request *req, struct shs_response *res)
{
    struct shs_exchange *x = req->x;
    char body[80];
    uint64_t ms;
    int len;

    if (!last_number(req, &ms) || ms > DELAY_MAX_MS)
        return shs_send_page(res, 404,
                             "The path has to end with milliseconds, 600000 at most: /delay/250");
    SHS_RETURN_IF_ERROR(read_away(req));
    SHS_RETURN_IF_ERROR(x->ops->wait_peer(x, shs__deadline_after(shs_now_ns(), (unsigned)ms), -1));
    SHS_RETURN_IF_ERROR(shs_send_response(res, 200));
    SHS_RETURN_IF_ERROR(shs_send_header(res, "Content-Type", "text/plain; charset=utf-8"));
    len = snprintf(body, sizeof body, "after %u ms\n", (unsigned)ms);
    return shs_write(res, body, (size_t)len);
}

const struct shs_http_handler *shs_delay_handler(void)
{
    static const struct shs_http_handler handler = {.name = "delay", .do_any = delay_any};

    return &handler;
}
