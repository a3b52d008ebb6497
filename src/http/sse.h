/*
 * sse.h - server-sent events: what sse.c has for sse_channel.c.
 */
#ifndef SHS_HTTP_SSE_H
#define SHS_HTTP_SSE_H

#include <shs/sse.h>

#include "http/exchange.h"

#define SHS_SSE_EVENT_MAX ((size_t)1 << 20)

/* An event as it is sent. `event` and `id` may be NULL. SHS_OK, SHS_LIMIT, SHS_NOMEM. */
int shs__sse_event(struct shs_buf *out, const char *event, const char *id, struct shs_str data);
/* It can stand in such a field. */
bool shs__sse_is_line(const char *text);
/* A piece of the body, at once. As shs_sse_send. */
int shs__sse_write(struct shs_response *res, struct shs_str text);
/* As shs_sse_wait after its checks; over as well when `wake_fd` can be read. */
int shs__sse_wait(struct shs_response *res, unsigned ms, int wake_fd);

#endif
