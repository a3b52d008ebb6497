/*
 * shs/sse.h - server-sent events: news for a page, as they happen.
 *
 * Concept
 *
 *   A page says `new EventSource("/clock")`, and the handler's answer never ends: it sends an event
 *   now and then, and waits in between. When the client goes away, or the server closes, the wait
 *   says so and the handler returns.
 *
 *       static int clock_get(struct shs_request *req, struct shs_response *res)
 *       {
 *           int rc = shs_sse_start(res);
 *           while (rc == SHS_OK) {
 *               rc = shs_sse_send(res, "tick", NULL, now_as_text());
 *               if (rc == SHS_OK)
 *                   rc = shs_sse_wait(res, 1000);
 *           }
 *           return shs_sse_end(res, rc);
 *       }
 *
 *   Each call sends what it has at once, and blocks as shs_flush does: a client that does not read
 *   is gone by opt.write_ms. The handler holds its thread all the while. Send a comment every 15
 *   seconds or so when there is no news, or proxies will end it.
 *
 * Follows: HTML Standard section 9.2 (server-sent events). Owner thread only.
 */
#ifndef SHS_SSE_H
#define SHS_SSE_H

#include <shs/http.h>

#ifdef __cplusplus
extern "C" {
#endif

/*
 * Sends the head: 200, text/event-stream, not to be cached. Replaces shs_send_response; to add
 * fields, call shs_send_response(res, 200) and shs_send_header before it.
 */
SHS_API int shs_sse_start(struct shs_response *res) SHS_MUST_CHECK;

/*
 * Sends one event.
 *
 *   event  its type, for addEventListener; NULL = "message"
 *   id     what the browser sends as Last-Event-ID when it connects again; NULL = none; "" = forget
 *   data   any text, UTF-8; its lines (LF, CR or CR LF) arrive joined by LF
 *
 * SHS_USAGE for an event or id with a line end; SHS_LIMIT beyond 1 MiB; SHS_CLOSED when the client
 * has gone; SHS_TIMEOUT, SHS_IO and so on.
 */
SHS_API int shs_sse_send(struct shs_response *res, const char *event, const char *id,
                         const char *data) SHS_MUST_CHECK;
SHS_API int shs_sse_send_str(struct shs_response *res, const char *event, const char *id,
                             struct shs_str data) SHS_MUST_CHECK;

/* A line that no page sees, to keep the connection alive. NULL = an empty one. */
SHS_API int shs_sse_comment(struct shs_response *res, const char *text) SHS_MUST_CHECK;

/* How long the browser waits before it connects again. */
SHS_API int shs_sse_retry(struct shs_response *res, unsigned ms) SHS_MUST_CHECK;

/*
 * Waits: 0 when `ms` have passed; SHS_CLOSED as soon as the client has gone (or closed its side),
 * and at once for HEAD, where nobody listens; SHS_STOPPED when the server closes (seen within 250
 * ms); SHS_USAGE while the request has a body that has not been read.
 */
SHS_API int shs_sse_wait(struct shs_response *res, unsigned ms) SHS_MUST_CHECK;

/*
 * What to return from the handler: that the client has gone or the server closes is how these
 * answers end, and no error. Other codes come back as they are.
 */
SHS_API int shs_sse_end(struct shs_response *res, int rc);

#ifdef __cplusplus
}
#endif

#endif
