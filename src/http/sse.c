/*
 * sse.c - server-sent events, over a streamed answer.
 */
#include <shs/sse.h>

#include "http/mistake.h"
#include "http/sse.h"

int shs_sse_start(struct shs_response *res)
{
    int rc = res->started ? SHS_OK : shs_send_response(res, 200);

    if (rc == SHS_OK)
        rc = shs_send_header(res, "Content-Type", "text/event-stream");
    if (rc == SHS_OK)
        rc = shs_send_header(res, "Cache-Control", "no-store");
    if (rc == SHS_OK) /* nginx and others would collect the events until a buffer is full */
        rc = shs_send_header(res, "X-Accel-Buffering", "no");
    if (rc == SHS_OK)
        rc = shs_end_headers(res);
    return rc == SHS_OK ? shs_flush(res) : rc;
}

/* A listener that goes may do it in any way: all are one to the handler. */
static int gone(struct shs_response *res, int rc)
{
    if (!shs__is_peers_end(rc))
        return rc;
    res->broken = true;
    return SHS_CLOSED;
}

/* One piece of the body, in one write, at once. */
int shs__sse_write(struct shs_response *res, struct shs_str text)
{
    int rc = shs_write(res, text.ptr, text.len);

    if (rc == SHS_OK)
        rc = shs_flush(res);
    return gone(res, rc);
}

static int send_text(struct shs_response *res, struct shs_buf *text, int rc)
{
    if (rc == SHS_OK)
        rc = shs__sse_write(res, (struct shs_str){shs__buf_head(text), text->len});
    shs__buf_free(text);
    return rc;
}

bool shs__sse_is_line(const char *text)
{
    return strpbrk(text, "\r\n") == NULL;
}

/* The next line of the data, without its end; false behind the last. An empty text is one line. */
static bool next_line(struct shs_str *rest, struct shs_str *line)
{
    size_t n = 0, end;

    if (rest->ptr == NULL)
        return false;
    while (n < rest->len && rest->ptr[n] != '\r' && rest->ptr[n] != '\n')
        n++;
    *line = (struct shs_str){rest->ptr, n};
    if (n == rest->len) {
        rest->ptr = NULL;
        return true;
    }
    end = rest->ptr[n] == '\r' && n + 1 < rest->len && rest->ptr[n + 1] == '\n' ? n + 2 : n + 1;
    rest->ptr += end;
    rest->len -= end;
    return true;
}

static int put_lines(struct shs_buf *text, struct shs_str prefix, struct shs_str data)
{
    struct shs_str line;
    int rc = SHS_OK;

    while (rc == SHS_OK && next_line(&data, &line)) {
        rc = shs__buf_append_str(text, prefix);
        if (rc == SHS_OK)
            rc = shs__buf_append_str(text, line);
        if (rc == SHS_OK)
            rc = shs__buf_append_str(text, SHS_STR("\n"));
    }
    return rc;
}

int shs__sse_event(struct shs_buf *out, const char *event, const char *id, struct shs_str data)
{
    int rc = SHS_OK;

    if (event != NULL)
        rc = shs__buf_printf(out, "event: %s\n", event);
    if (rc == SHS_OK && id != NULL)
        rc = shs__buf_printf(out, "id: %s\n", id);
    if (rc == SHS_OK)
        rc = put_lines(out, SHS_STR("data: "), data);
    return rc == SHS_OK ? shs__buf_append_str(out, SHS_STR("\n")) : rc;
}

int shs_sse_send_str(struct shs_response *res, const char *event, const char *id,
                     struct shs_str data)
{
    struct shs_buf text;

    if (!res->head_done || data.ptr == NULL || (event != NULL && !shs__sse_is_line(event)) ||
        (id != NULL && !shs__sse_is_line(id)))
        return shs__mistake(res->x, "shs_sse_send",
                            "call shs_sse_start first; event and id must be one line each");
    shs__buf_init(&text, SHS_SSE_EVENT_MAX);
    return send_text(res, &text, shs__sse_event(&text, event, id, data));
}

int shs_sse_send(struct shs_response *res, const char *event, const char *id, const char *data)
{
    return shs_sse_send_str(res, event, id, shs__str(data));
}

int shs_sse_comment(struct shs_response *res, const char *text)
{
    struct shs_buf out;
    int rc;

    if (!res->head_done)
        return shs__mistake(res->x, "shs_sse_comment", "call shs_sse_start first");
    shs__buf_init(&out, SHS_SSE_EVENT_MAX);
    rc = put_lines(&out, SHS_STR(": "), text == NULL ? SHS_STR("") : shs__str(text));
    if (rc == SHS_OK)
        rc = shs__buf_append_str(&out, SHS_STR("\n"));
    return send_text(res, &out, rc);
}

int shs_sse_retry(struct shs_response *res, unsigned ms)
{
    struct shs_buf out;

    if (!res->head_done)
        return shs__mistake(res->x, "shs_sse_retry", "call shs_sse_start first");
    shs__buf_init(&out, 64);
    return send_text(res, &out, shs__buf_printf(&out, "retry: %u\n\n", ms));
}

int shs__sse_wait(struct shs_response *res, unsigned ms, int wake_fd)
{
    int rc = res->x->ops->wait_peer(res->x, shs__deadline_after(shs_now_ns(), ms), wake_fd);

    if (rc == SHS_IO || rc == SHS_TLS)
        res->broken = true;
    return gone(res, rc);
}

int shs_sse_wait(struct shs_response *res, unsigned ms)
{
    if (!res->head_sent)
        return shs__mistake(res->x, "shs_sse_wait", "call shs_sse_start first");
    if (res->broken || res->no_body)
        return SHS_CLOSED;
    return shs__sse_wait(res, ms, -1);
}

int shs_sse_end(struct shs_response *res, int rc)
{
    SHS_UNUSED(res);
    return shs__is_peers_end(rc) || rc == SHS_STOPPED ? SHS_OK : rc;
}
