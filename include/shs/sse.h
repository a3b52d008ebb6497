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
 *   News that many wait for goes through a channel: whoever makes it calls shs_sse_channel_send,
 *   and a handler of one line has it sent to everybody who listens:
 *
 *       static int watch(struct shs_request *req, struct shs_response *res)
 *       {
 *           return shs_sse_channel_serve(channel, req, res);
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

/* -- a channel: the same news for everybody who listens ---------------------------------------- */

/*
 * A channel numbers its events and keeps the last of them: who comes again with Last-Event-ID, as
 * browsers do by themselves, gets what was sent meanwhile. Who has missed more than is kept, or
 * whose last event is from before the program started, gets an event of the type "reset", with the
 * data {}: read everything again.
 *
 *   Nobody who sends waits for a listener. A listener that takes its events too slowly gets "reset"
 *   in place of those that are no longer kept, and one that takes nothing is gone by opt.write_ms.
 *   Each holds a thread. With ForkingMixIn a listener hears nothing: it is in another process.
 */
struct shs_sse_channel;

struct shs_sse_channel_options {
    size_t size;            /* set by shs_sse_channel_options_init */
    unsigned keep;          /* events that are kept; at least 1. 1000 */
    size_t keep_bytes;      /* and no more than so much of them, but always the last one. 4 MiB */
    unsigned max_listeners; /* at once; more are 503 with Retry-After. 256 */
    unsigned comment_ms;    /* when nothing is sent for so long, a comment is; 0 = none is. 15000 */
    unsigned listen_ms;     /* then an answer ends, but not before the client has what it had missed
                               when it came. It comes again, and whether it still may is asked
                               again. 0 = an answer does not end by itself. 600000 */
};
SHS_API void shs_sse_channel_options_init_sized(struct shs_sse_channel_options *opt, size_t size);
#define shs_sse_channel_options_init(opt) shs_sse_channel_options_init_sized((opt), sizeof *(opt))

/*
 *   opt  copied; NULL: the defaults
 *
 * Returns 0; SHS_USAGE (opt was not initialised, a value that cannot be used); SHS_NOMEM; SHS_IO
 * without random numbers. Free it after the servers whose handlers serve it.
 */
SHS_API int shs_sse_channel_new(struct shs_sse_channel **out,
                                const struct shs_sse_channel_options *opt,
                                struct shs_error *err) SHS_MUST_CHECK;
SHS_API void shs_sse_channel_free(struct shs_sse_channel *self); /* NULL is fine */

/*
 * Sends an event to all who listen. Events arrive in the order of these calls.
 *
 *   event  its type; NULL = "message"
 *   data   copied; as for shs_sse_send
 *
 * Returns 0, also when nobody listens; SHS_USAGE for an event with a line end, or without data;
 * SHS_LIMIT beyond 1 MiB; SHS_NOMEM. Any thread. It does not wait for listeners.
 */
SHS_API int shs_sse_channel_send(struct shs_sse_channel *self, const char *event, const char *data);
SHS_API int shs_sse_channel_send_str(struct shs_sse_channel *self, const char *event,
                                     struct shs_str data);

/*
 * Answers a request with the channel's events from now on, or from its Last-Event-ID on; to be
 * returned from the handler. The first thing that is sent has the id of the last event so far: what
 * is read after that has arrived is not older than what the events will say.
 */
SHS_API int shs_sse_channel_serve(struct shs_sse_channel *self, struct shs_request *req,
                                  struct shs_response *res) SHS_MUST_CHECK;

/* How many listen now. Any thread. */
SHS_API unsigned shs_sse_channel_listeners(struct shs_sse_channel *self);

#ifdef __cplusplus
}
#endif

#endif
