/*
 * h1.c - the states of an HTTP/1.1 connection. Read shs__h1_step at the end first.
 *
 * Follows RFC 9112. What a request may look like is the guard's to say (guard.h).
 */
#include "http/h1.h"

#include <errno.h>
#include <stdio.h>
#include <unistd.h>

#include <shs/version.h>

#include "http/file_watch.h"
#include "http/h1_exchange.h"
#include "http/mistake.h"
#include "http/rules.h"

/* Fields of a head that are kept beside those of the answer, in the first block of the arena. */
#define FEW_FIELDS 14u
/* Room behind a head for its body and the framing lines of that, but for trailers. */
#define BODY_ROOM 1024u

void shs__h1_config_init(struct shs_h1_config *config, const struct shs_options *opt,
                         const struct shs_h1_host *host)
{
    config->host = host;
    config->opt = opt;
    config->dates = NULL;
    config->limits = (struct shs_guard_limits){
        .max_request_line = opt->max_request_line,
        .max_head_bytes = opt->max_head_bytes,
        .max_headers = opt->max_headers,
        .max_body_bytes = opt->max_body_bytes,
        .max_chunk_line = 256,
        .max_extension_bytes = 4096,
        .max_trailer_bytes = 8192,
    };
    config->server_field =
        shs__str(opt->server_version == NULL ? "shs/" SHS_VERSION_STRING : opt->server_version);
}

/* Head and body together; the largest size means "no limit". */
static size_t out_ceiling(size_t body, size_t more)
{
    return body > SIZE_MAX - more ? SIZE_MAX : body + more;
}

void shs__h1_init(struct shs_h1 *h1, const struct shs_h1_config *config, struct shs_stream *stream,
                  void *owner)
{
    memset(h1, 0, sizeof *h1);
    h1->config = config;
    h1->stream = stream;
    h1->owner = owner;
    h1->opened_ns = shs_now_ns();
    shs__buf_init(&h1->in, config->opt->max_head_bytes + SHS_H1_FIRST_READ * 4);
    shs__buf_init(&h1->out, out_ceiling(config->opt->max_buffered_response,
                                        SHS_MAX_RESPONSE_HEAD * 2 + SHS_H1_PIECE * 2));
    config->host->set_deadline(owner, shs__deadline_after(h1->opened_ns, config->opt->head_ms));
}

static void drop_exchange(struct shs_h1 *h1)
{
    if (h1->xchg == NULL)
        return;
    shs__exchange_clear(&h1->xchg->base);
    shs__buf_free(&h1->xchg->early);
    if (h1->xchg->long_head)
        shs__free(h1->xchg->fields);
    if (h1->xchg->outgrown != NULL)
        shs__free(h1->xchg->outgrown);
    shs__free(h1->xchg);
    h1->xchg = NULL;
}

void shs__h1_free(struct shs_h1 *h1)
{
    drop_exchange(h1);
    shs__buf_free(&h1->in);
    shs__buf_free(&h1->out);
}
static bool expired(const struct shs_h1 *h1)
{
    return shs_now_ns() >= h1->config->host->deadline(h1->owner);
}

/* The same for a body, whose deadline moves with what has come of it. */
static bool body_expired(const struct shs_h1 *h1)
{
    h1->config->host->set_deadline(h1->owner, shs__h1_deadline(h1->xchg));
    return expired(h1);
}

/*
 * What has come is looked at before the clock: it is not the client who is late when this process
 * was stopped, or had no core. That may be so between the two looks as well: hence once more. And
 * for that the clock is not asked again: who was not late at its only look is waited for.
 */
static int fill_in_time(struct shs_h1 *h1, bool *late)
{
    int rc = shs__h1_fill(h1);

    *late = rc > 0 && expired(h1);
    return *late ? shs__h1_fill(h1) : rc;
}

static void enter(struct shs_h1 *h1, enum shs_h1_state state)
{
    h1->state = (uint8_t)state;
}

/* Is the end of the connection the only end that the body has? */
static bool ends_with_connection(const struct shs_h1_exchange *x)
{
    const struct shs_response *res = &x->base.res;

    return res->head_sent && !res->no_body && !res->chunked &&
           (!res->has_length || shs__recoding_runs(res));
}

/* That were sent. */
static uint64_t body_bytes(const struct shs_response *res)
{
    if (res->no_body)
        return 0;
    if (shs__recoding_runs(res))
        return shs__recoding_sent(res);
    return res->source != NULL ? res->body_total : res->body_total - res->file_left;
}

static void write_log(struct shs_h1_exchange *x, const char *error, int64_t now)
{
    const struct shs_h1_host *host = x->h1->config->host;
    const struct shs_response *res = &x->base.res;
    bool understood = x->base.req.head.path.ptr != NULL;
    bool read = host->log_is_read == NULL || host->log_is_read(x->h1->owner);
    struct shs_access access;

    if (!read && x->base.access_calls == NULL) {
        host->log(x->h1->owner, NULL);
        return;
    }
    access = (struct shs_access){
        .req = understood ? &x->base.req : NULL,
        .conn = x->base.conn,
        .request_line = x->base.req.head.line,
        .status = res->head_sent ? res->status : 0,
        .body_bytes = body_bytes(res),
        .duration_ns = now - x->h1->began_ns,
        .error = error,
        .rule = error != NULL ? x->base.req.refusal.rule : NULL,
        .request_id = shs_request_id(&x->base.req),
    };
    for (struct shs_access_call *call = x->base.access_calls; call != NULL; call = call->next)
        call->fn(call->ctx, &access);
    host->log(x->h1->owner, read ? &access : NULL);
}

/* An exchange ends before its time. Its client may be one that a proxy told of. */
static void log_cut(struct shs_h1_exchange *x, const char *why)
{
    const struct shs_h1_host *host = x->h1->config->host;

    if (x->base.req.head.path.ptr != NULL && host->refused != NULL)
        host->refused(x->h1->owner, &x->base);
    write_log(x, why, shs_now_ns());
}

/*
 * The conversation is over and nothing more can be said. An answer that is not whole is cut, so
 * that the client sees it; and whoever has sent a head has his line in the log.
 */
static int broken(struct shs_h1 *h1, int code, bool stream, const char *text)
{
    const struct shs_h1_host *host = h1->config->host;

    enter(h1, SHS_H1_END);
    if (h1->xchg != NULL)
        log_cut(h1->xchg, stream || text == NULL ? shs_err_text(code) : text);
    if (h1->xchg != NULL && ends_with_connection(h1->xchg) && host->must_reset != NULL)
        host->must_reset(h1->owner);
    return host->fail(h1->owner, code, stream, text);
}

void shs__h1_cut(struct shs_h1 *h1, const char *why)
{
    struct shs_h1_exchange *x = h1->xchg;
    enum shs_h1_state state = (enum shs_h1_state)h1->state;

    enter(h1, SHS_H1_END); /* where whoever was in an exchange has his line */
    if (x != NULL && state != SHS_H1_END)
        log_cut(x, state == SHS_H1_DRAIN ? x->failure : why); /* that answer is out */
}

/* It is over, and rightly so. */
static int conversation_over(struct shs_h1 *h1, const char *why)
{
    enter(h1, SHS_H1_END);
    if (why != NULL && h1->config->host->note != NULL)
        h1->config->host->note(h1->owner, why);
    return SHS_OK;
}
/* -- the states -------------------------------------------------------------------------------- */

/* Room for the fields of a head. A head of so many lines has fewer. */
static bool make_fields(struct shs_h1_exchange *x, size_t lines)
{
    size_t size = lines * sizeof *x->fields;

    if (lines == 0)
        return true;
    x->long_head = lines > FEW_FIELDS;
    x->fields = x->long_head ? shs__malloc(size) : shs__arena_alloc(&x->base.arena, size);
    return x->fields != NULL;
}

static struct shs_h1_exchange *begin_exchange(struct shs_h1 *h1)
{
    struct shs_h1_exchange *x = shs__malloc(sizeof *x);

    if (x == NULL)
        return NULL;
    shs__zero((char *)x + sizeof x->base, sizeof *x - sizeof x->base);
    shs__exchange_init(&x->base, &shs__h1_exchange_ops, h1->config->opt->max_buffered_response);
    if (!make_fields(x, h1->scan.lines)) {
        shs__free(x);
        return NULL;
    }
    shs__buf_init(&x->early, h1->config->opt->max_buffered_body);
    x->base.opt = h1->config->opt;
    x->h1 = h1;
    x->body.phase = SHS_BODY_DONE;
    h1->xchg = x;
    return x;
}

/*
 * Old clients send an empty line behind a body (RFC 9112 section 2.2): it begins nothing. It stays
 * where it is, for the guard lets no more than one pass.
 */
static bool request_begins(const struct shs_h1 *h1)
{
    return h1->in.len > 2 ||
           (h1->in.len > 0 &&
            (h1->served == 0 || memcmp(shs__buf_head(&h1->in), "\r\n", h1->in.len) != 0));
}

/*
 * The first bytes of a request. Nobody knows how many will come, and they are few: they are read
 * into the stack, so that the block they are kept in is one that malloc(3) has ready, and that
 * there is none where nothing has come.
 */
static int read_first(struct shs_h1 *h1, bool *late)
{
    char first[SHS_H1_FIRST_READ];
    size_t got = 0;
    int rc = shs__stream_read(h1->stream, first, sizeof first, &got);

    *late = rc > 0 && expired(h1); /* as fill_in_time */
    if (*late)
        rc = shs__stream_read(h1->stream, first, sizeof first, &got);
    return rc == SHS_OK ? shs__buf_append(&h1->in, first, got) : rc;
}

/* Waiting for a request's first byte. */
static int step_idle(struct shs_h1 *h1)
{
    bool late;
    int rc;

    while (!request_begins(h1)) {
        if (h1->config->host->stopping(h1->owner))
            return conversation_over(h1, "the server is stopping");
        /* After an answer the next request is rarely there yet: do not ask, wait. */
        if (h1->tried) {
            h1->tried = false;
            return SHS_WAIT_READ;
        }
        rc = read_first(h1, &late);
        if (rc == SHS_WAIT_READ || rc == SHS_WAIT_WRITE) {
            if (h1->in.len == 0)
                shs__buf_free(&h1->in);
            if (h1->in.len == 0 && h1->served > 0)
                shs__stream_idle(h1->stream); /* what it made to look is not needed to wait */
            if (!late)
                return rc;
            /* Nobody wanted anything, or not any more: not an error. Browsers open connections
               that they may need, and leave them. */
            return conversation_over(h1, h1->served == 0 ? "no request within head_ms"
                                                         : "no further request within idle_ms");
        }
        /* However it ended, no request is cut short: browsers reset, and skip close_notify. */
        if (shs__is_peers_end(rc) || rc == SHS_STOPPED)
            return conversation_over(h1, NULL);
        if (rc != SHS_OK)
            return broken(h1, rc, true, NULL);
    }
    h1->began_ns = shs_now_ns();
    memset(&h1->scan, 0, sizeof h1->scan);
    h1->config->host->set_idle(h1->owner, false);
    if (h1->served > 0)
        h1->config->host->set_deadline(h1->owner,
                                       shs__deadline_after(h1->began_ns, h1->config->opt->head_ms));
    enter(h1, SHS_H1_HEAD);
    return SHS_OK;
}

/* Answers a request that was refused; the connection ends after it. */
static int refuse(struct shs_h1 *h1, const struct shs_refusal *why, int code)
{
    struct shs_h1_exchange *x = h1->xchg == NULL ? begin_exchange(h1) : h1->xchg;
    int rc;

    if (x == NULL)
        return broken(h1, SHS_NOMEM, false, "out of memory for a request");
    x->failure = why->text;
    x->failure_code = code;
    x->base.req.refusal = *why;
    x->base.req.head.keep_alive = false;
    if (x->base.req.head.path.ptr != NULL && h1->config->host->refused != NULL)
        h1->config->host->refused(h1->owner, &x->base);
    rc = shs_send_error(&x->base.res, why->status, why->text);
    if (rc != SHS_OK)
        return broken(h1, rc, false, "no memory to say what was wrong with a request");
    enter(h1, SHS_H1_HANDLE);
    x->answer_ready = true;
    return SHS_OK;
}

static int refuse_late(struct shs_h1 *h1, const char *rule, const char *text)
{
    struct shs_refusal why = {408, rule, text};

    return refuse(h1, &why, SHS_TIMEOUT);
}

/*
 * From here on there are views into `in`, which does not move any more. Most requests have nothing
 * behind their head. A line of framing is looked at when it is complete, and a trailer's may be
 * long.
 */
static int read_head(struct shs_h1 *h1, struct shs_h1_exchange *x, struct shs_refusal *why)
{
    int rc = shs__head_parse(shs__buf_head(&h1->in) + h1->scan.start, x->head_len - h1->scan.start,
                             &h1->config->limits, &x->parser, x->fields, &x->base.req.head, why);

    if (rc != SHS_OK)
        return rc;
    shs__body_init(&x->body, &x->base.req.head, &h1->config->limits, &x->parser);
    if (x->body.phase == SHS_BODY_DONE)
        return SHS_OK;
    return shs__h1_make_room(
        x, BODY_ROOM + (x->base.req.head.chunked ? h1->config->limits.max_trailer_bytes : 0));
}

/* The whole head is there: read it, and prepare for its body. */
static int head_complete(struct shs_h1 *h1, size_t head_len)
{
    struct shs_h1_exchange *x;
    struct shs_refusal why;
    struct shs_head *head;
    int rc;

    x = begin_exchange(h1);
    if (x == NULL)
        return broken(h1, SHS_NOMEM, false, "out of memory for a request");
    head = &x->base.req.head;
    x->head_len = head_len;
    x->body_at = head_len;
    rc = read_head(h1, x, &why);
    if (rc == SHS_PROTO)
        return refuse(h1, &why, SHS_PROTO);
    if (rc != SHS_OK)
        return broken(h1, rc, false, "out of memory for a request");
    if (x->body.phase == SHS_BODY_DONE)
        shs__h1_start_progress_at(x, h1->began_ns, h1->config->opt->body_ms);
    else
        shs__h1_start_progress(x, h1->config->opt->body_ms);
    h1->config->host->set_deadline(h1->owner, x->progress.deadline_ns);
    if (x->body.phase == SHS_BODY_DONE) {
        enter(h1, SHS_H1_HANDLE);
        return SHS_OK;
    }
    x->continue_due = head->expect_continue && h1->in.len == head_len;
    /* A long body is the handler's to read; it may also refuse it unread. */
    if (!head->chunked && head->content_length > h1->config->opt->max_buffered_body) {
        enter(h1, SHS_H1_HANDLE);
        return SHS_OK;
    }
    enter(h1, SHS_H1_BODY);
    return x->continue_due ? shs__h1_put_continue(x) : SHS_OK;
}

static int step_head(struct shs_h1 *h1)
{
    struct shs_refusal why;
    size_t head_len = 0;
    bool late = false;
    int rc = shs__head_scan(&h1->scan, shs__buf_head(&h1->in), h1->in.len, &h1->config->limits,
                            &head_len, &why);

    if (rc == SHS_OK)
        return head_complete(h1, head_len);
    if (rc != SHS_WAIT_READ)
        return refuse(h1, &why, SHS_PROTO);
    rc = shs__buf_reserve(&h1->in, 1);
    if (rc == SHS_OK)
        rc = fill_in_time(h1, &late);
    if (rc < 0)
        return broken(h1, rc, rc != SHS_NOMEM && rc != SHS_CLOSED && rc != SHS_TRUNCATED,
                      "the client closed in the middle of a request's head");
    /* What a head may have bounds how long it goes on with who is late by the clock. */
    if (rc > 0 && late)
        return refuse_late(h1, "head-timeout", "The request's head did not arrive in time.");
    return rc;
}

/* The body cannot be read on, now or at all. */
static int body_waits_or_ends(struct shs_h1 *h1, int rc, bool late)
{
    struct shs_h1_exchange *x = h1->xchg;

    if (rc == SHS_PROTO || rc == SHS_LIMIT)
        return refuse(h1, &x->base.req.refusal, rc);
    if (rc < 0)
        return broken(h1, rc, rc != SHS_CLOSED && rc != SHS_TRUNCATED,
                      "the client closed in the middle of a request's body");
    if (!late)
        return rc;
    return refuse_late(h1, "body-timeout", "The request's body did not arrive in time.");
}

/* As fill_in_time. */
static int content_in_time(struct shs_h1 *h1, bool *late)
{
    struct shs_h1_exchange *x = h1->xchg;
    int rc = shs__h1_next_content(x);

    *late = rc > 0 && body_expired(h1);
    return *late ? shs__h1_next_content(x) : rc;
}

/* 100 Continue, if it was put there. */
static int flush_continue(struct shs_h1 *h1)
{
    int rc = h1->out.len == 0 ? SHS_OK : shs__h1_drain_out(h1, SHS_H1_FLUSH);

    if (rc < 0)
        return broken(h1, rc, true, NULL);
    if (rc != SHS_OK && expired(h1))
        return broken(h1, SHS_TIMEOUT, false, "the client did not read");
    return rc;
}

/* Buffers a short body, so that a slow client holds no thread. */
static int step_body(struct shs_h1 *h1)
{
    struct shs_h1_exchange *x = h1->xchg;
    bool late;
    int rc = flush_continue(h1);

    while (rc == SHS_OK) {
        rc = content_in_time(h1, &late);
        if (rc == SHS_OK) {
            shs__progress_made(&x->progress, x->pending.len);
            if (x->pending.len == 0)
                break;
            if (shs__buf_append(&x->early, x->pending.ptr, x->pending.len) != SHS_OK)
                break; /* full: the handler takes the rest as it comes */
            x->pending.len = 0;
            continue;
        }
        return body_waits_or_ends(h1, rc, late);
    }
    if (rc != SHS_OK)
        return rc;
    enter(h1, SHS_H1_HANDLE);
    return SHS_OK;
}

/* A handler looked at shs_request_deadline and gave up, as it should. */
static bool handlers_time_is_over(const struct shs_h1_exchange *x, int rc)
{
    return rc == SHS_TIMEOUT && !x->base.req.body_failed && shs_now_ns() >= x->base.deadline_ns;
}

/* What the client is told when a handler returned an error and has sent nothing. */
static int status_for(const struct shs_h1_exchange *x, int rc)
{
    const struct shs_request *req = &x->base.req;

    if ((req->body_failed && req->body_code == rc) || req->content_code == rc) {
        if ((rc == SHS_PROTO || rc == SHS_LIMIT) && req->refusal.status != 0)
            return req->refusal.status;
        if (rc == SHS_TIMEOUT)
            return 408;
    }
    return rc == SHS_STOPPED || handlers_time_is_over(x, rc) ? 503 : 500;
}

/* The client sent something that a handler does not take: that says nothing of the connection. */
static bool content_is_refused(const struct shs_h1_exchange *x, int rc)
{
    const struct shs_request *req = &x->base.req;

    return !req->body_failed && req->content_code == rc && req->refusal.status >= 400 &&
           req->refusal.status < 500;
}

/* The sentence for the client: none where what went wrong is our affair. */
static const char *message_for(const struct shs_h1_exchange *x, int rc)
{
    if ((x->base.mistake != NULL && x->base.mistake_code == rc) || status_for(x, rc) == 500)
        return NULL;
    return handlers_time_is_over(x, rc) ? "The answer was not ready in time." : x->failure;
}

/* The handler has returned: make an answer of what there is. */
static int handler_returned(struct shs_h1_exchange *x, int rc)
{
    const struct shs_h1_host *host = x->h1->config->host;
    struct shs_response *res = &x->base.res;

    rc = shs__mistake_in_result(&x->base, rc);
    if (rc == SHS_OK) { /* a mistake that the answer survived is still worth a line */
        if (x->base.mistake != NULL && host->mistake != NULL)
            host->mistake(x->h1->owner, x->base.mistake);
        return SHS_OK;
    }
    if (x->base.mistake != NULL && rc == x->base.mistake_code)
        x->failure = x->base.mistake;
    if (x->failure == NULL && x->base.req.content_code == rc)
        x->failure = x->base.req.refusal.text;
    if (x->failure == NULL)
        x->failure = shs_err_text(rc);
    x->failure_code = rc;
    if (res->head_sent || x->body_closed || shs__is_peers_end(rc)) {
        res->broken = true;
        return SHS_OK;
    }
    x->content_refused = content_is_refused(x, rc);
    return x->content_refused ? shs_send_page(res, status_for(x, rc), x->failure)
                              : shs_send_error(res, status_for(x, rc), message_for(x, rc));
}

/* The handler has left the body, and the answer, to a sink. */
static bool hands_to_sink(const struct shs_h1_exchange *x)
{
    return x->base.req.sink != NULL && !x->base.req.sink_over && !x->base.res.started;
}

static int begin_sink(struct shs_h1 *h1)
{
    struct shs_h1_exchange *x = h1->xchg;

    x->reading = true;
    shs__h1_start_progress(x, h1->config->opt->body_ms);
    h1->config->host->set_deadline(h1->owner, x->progress.deadline_ns);
    enter(h1, SHS_H1_SINK);
    return x->continue_due && x->body.phase != SHS_BODY_DONE ? shs__h1_put_continue(x) : SHS_OK;
}

/* It has had its last byte, or wants no more: its answer is made as a handler's is. */
static int sink_over(struct shs_h1 *h1, int rc)
{
    struct shs_h1_exchange *x = h1->xchg;

    x->base.req.sink_over = true;
    x->base.req.sink_rc = rc;
    enter(h1, SHS_H1_HANDLE);
    return SHS_OK;
}

/* The body goes to a sink as it comes. */
static int step_sink(struct shs_h1 *h1)
{
    struct shs_h1_exchange *x = h1->xchg;
    struct shs_request *req = &x->base.req;
    char piece[SHS_H1_SOURCE_PIECE];
    unsigned pieces = 0;
    size_t got = 0;
    bool late;
    int rc = flush_continue(h1);

    while (rc == SHS_OK) {
        rc = shs__h1_take_body(x, piece, sizeof piece, &got);
        late = rc > 0 && body_expired(h1); /* as fill_in_time */
        if (late)
            rc = shs__h1_take_body(x, piece, sizeof piece, &got);
        if (rc != SHS_OK)
            return body_waits_or_ends(h1, rc, late);
        if (got == 0)
            return sink_over(h1, SHS_OK);
        rc = shs__request_count_body(req, got);
        if (rc != SHS_OK)
            return refuse(h1, &req->refusal, rc);
        shs__h1_enter_body(x);
        rc = req->sink->write(req->sink_ctx, piece, got);
        shs__h1_leave_body(x);
        if (rc != SHS_OK)
            return sink_over(h1, rc < 0 ? rc : SHS_USAGE);
        if (++pieces % SHS_H1_SINK_TURN == 0 && h1->config->host->turn_over != NULL &&
            h1->config->host->turn_over(h1->owner))
            return SHS_YIELD;
    }
    return rc;
}

static int step_handle(struct shs_h1 *h1)
{
    struct shs_h1_exchange *x = h1->xchg;
    int64_t now;
    int rc = SHS_OK;

    if (!x->answer_ready) {
        int handler_rc = h1->config->host->dispatch(h1->owner, &x->base);

        if (handler_rc == SHS_OK && hands_to_sink(x))
            return begin_sink(h1);
        x->answer_ready = true;
        rc = handler_returned(x, handler_rc);
        if (handler_rc == SHS_EXIT)
            return broken(h1, SHS_EXIT, false, "the handler asked the server to stop");
    }
    if (rc == SHS_OK && !x->base.res.broken)
        rc = shs__recoding_settle(&x->base.res);
    now = shs_now_ns();
    if (rc == SHS_OK && !x->base.res.broken)
        rc = shs__h1_serialise(x, now);
    if (rc != SHS_OK)
        return broken(h1, rc, false, "no memory for an answer");
    shs__h1_start_progress_at(x, now, h1->config->opt->write_ms);
    enter(h1, SHS_H1_SEND); /* which sets the deadline if it has to wait */
    return SHS_OK;
}

/* A file cannot be sent to its end: the answer is broken off, with this reason. */
static int file_fails(struct shs_h1_exchange *x, const char *why)
{
    x->failure = why;
    return SHS_IO;
}

/* The next piece of the file behind what `out` holds. A file that is another one now breaks it. */
static int fill_from_file(struct shs_h1_exchange *x)
{
    struct shs_h1 *h1 = x->h1;
    struct shs_response *res = &x->base.res;
    /* A stream that seals takes a record at a time: what was just read is still in the cache. */
    size_t piece = h1->stream->lower != NULL ? SHS_H1_SEALED_PIECE : SHS_H1_PIECE - h1->out.len;
    size_t len = res->file_left < piece ? (size_t)res->file_left : piece;
    int rc = shs__buf_reserve(&h1->out, len);
    char *to = shs__buf_tail(&h1->out);
    ssize_t n;

    if (rc != SHS_OK)
        return rc;
    do {
        n = pread(res->file_fd, to, len, (off_t)res->file_offset);
    } while (n < 0 && errno == EINTR);
    if (n <= 0)
        return file_fails(x, n == 0 ? "a file became shorter while it was sent"
                                    : "a file cannot be read while it is sent");
    if (!shs__watch_allows(res, res->file_offset, to, (size_t)n, (uint64_t)n == res->file_left))
        return file_fails(x, "a file was overwritten while it was sent. Write the new one beside "
                             "it, and rename it");
    h1->out.len += (size_t)n;
    res->file_offset += (uint64_t)n;
    res->file_left -= (uint64_t)n;
    return SHS_OK;
}

/* Records why a request was refused, with the rule that it broke: one line of the log. */
static void fail_with_rule(struct shs_h1_exchange *x)
{
    const struct shs_h1_host *host = x->h1->config->host;
    const char *rule = x->base.req.refusal.rule, *option;
    char text[256];

    if (rule == NULL || x->failure == NULL) {
        host->fail(x->h1->owner, x->failure_code, false, x->failure);
        return;
    }
    option = shs__rule_option(rule);
    snprintf(text, sizeof text, "%s [%s]%s%s", x->failure, rule, option == NULL ? "" : ", see ",
             option == NULL ? "" : option);
    host->fail(x->h1->owner, x->failure_code, false, text);
}

/* The answer is out. */
static int exchange_done(struct shs_h1 *h1)
{
    struct shs_h1_exchange *x = h1->xchg;
    int failure_code = x->failure_code;
    bool keep = x->keep;
    /* The client said that this was its last request, and all of it was read: nothing can come that
       a reset would answer. */
    bool clean = !x->base.req.head.keep_alive && x->body.phase == SHS_BODY_DONE &&
                 failure_code == SHS_OK && h1->in.len == x->body_at;
    size_t used = x->body_at;
    int64_t now = shs_now_ns();

    if (h1->config->host->answered != NULL)
        h1->config->host->answered(h1->owner);
    write_log(x, x->failure, now);
    if (failure_code != SHS_OK)
        fail_with_rule(x);
    h1->served++;
    h1->answered_ns = now;
    drop_exchange(h1);
    shs__buf_consume(&h1->in, used);
    if (!keep && clean && h1->config->host->needs_no_linger != NULL)
        h1->config->host->needs_no_linger(h1->owner);
    if (!keep)
        return conversation_over(h1, NULL);
    if (h1->in.len == 0) {
        shs__buf_free(&h1->in);
        shs__buf_free(&h1->out);
        shs__stream_idle(h1->stream);
    }
    h1->tried = h1->in.len == 0 && !shs__stream_pending(h1->stream);
    h1->config->host->set_deadline(h1->owner, shs__deadline_after(now, h1->config->opt->idle_ms));
    h1->config->host->set_idle(h1->owner, true);
    enter(h1, SHS_H1_IDLE);
    if (!h1->tried && h1->config->host->turn_over != NULL && h1->config->host->turn_over(h1->owner))
        return SHS_YIELD;
    return SHS_OK;
}

/* A fast reader of a long file is no reason to let others wait: they have their turn in between. */
static bool gives_way(const struct shs_h1_exchange *x)
{
    const struct shs_h1_host *host = x->h1->config->host;

    return host->turn_over != NULL && host->turn_over(x->h1->owner);
}

/*
 * More of a body that is not in memory, if there is room for it. A reader that is slow is not worth
 * more memory than a piece: what it has not taken yet comes first.
 */
static int fill(struct shs_h1_exchange *x)
{
    if (x->base.res.file_left == 0 || x->h1->out.len >= SHS_H1_SOURCE_PIECE)
        return SHS_OK;
    return x->base.res.source != NULL ? shs__h1_fill_from_source(x) : fill_from_file(x);
}

static const char *why_unfinished(const struct shs_h1_exchange *x, int rc)
{
    if (x->base.res.source == NULL)
        return x->failure;
    return rc == SHS_USAGE ? "the source of an answer gave another length than was said"
                           : "the source of an answer failed";
}

static int step_send(struct shs_h1 *h1)
{
    struct shs_h1_exchange *x = h1->xchg;
    struct shs_response *res = &x->base.res;
    int rc;

    if (res->broken)
        return broken(h1, x->failure_code == SHS_OK ? SHS_CLOSED : x->failure_code, false,
                      x->failure);
    do {
        /* What is there already goes first: who wakes us need not have room for more. */
        rc = fill(x);
        if (rc != SHS_OK)
            return broken(h1, rc, false, why_unfinished(x, rc));
        rc = shs__h1_drain_out(h1, res->file_left > 0 ? SHS_H1_MORE
                                   : x->keep          ? SHS_H1_FLUSH
                                                      : SHS_H1_END_DATA);
    } while (rc == SHS_OK && res->file_left > 0 && !gives_way(x));
    if (rc == SHS_OK && res->file_left > 0)
        rc = SHS_YIELD;
    if (rc > 0) {
        /* Who lets others have their turn does not wait for the client. */
        shs__progress_waits(&x->progress);
        if (rc != SHS_YIELD && shs_now_ns() >= x->progress.deadline_ns)
            return broken(h1, SHS_TIMEOUT, false, "the client did not read its answer in time");
        h1->config->host->set_deadline(h1->owner, shs__h1_next_look(x));
        if (rc == SHS_YIELD)
            shs__progress_ours(&x->progress);
        return rc;
    }
    if (rc != SHS_OK)
        return broken(h1, rc, true, NULL);
    x->keep = x->keep && shs__h1_can_drain(x);
    if (!x->keep || x->body.phase == SHS_BODY_DONE)
        return exchange_done(h1);
    shs__h1_start_progress(x, h1->config->opt->body_ms);
    enter(h1, SHS_H1_DRAIN);
    return SHS_OK;
}

/* Throws away a short body that the handler did not read, to come to the next request. */
static int step_drain(struct shs_h1 *h1)
{
    struct shs_h1_exchange *x = h1->xchg;

    for (;;) {
        int rc = shs__h1_next_content(x);

        if (rc == SHS_OK && x->pending.len > 0) {
            shs__progress_made(&x->progress, x->pending.len);
            x->pending.len = 0;
            continue;
        }
        if (rc == SHS_OK)
            return exchange_done(h1);
        h1->config->host->set_deadline(h1->owner, x->progress.deadline_ns);
        if (rc > 0 && !expired(h1))
            return rc;
        x->keep = false;
        return exchange_done(h1);
    }
}

int shs__h1_step(struct shs_h1 *h1)
{
    int rc = SHS_OK;

    while (rc == SHS_OK) {
        switch ((enum shs_h1_state)h1->state) {
        case SHS_H1_IDLE:
            rc = step_idle(h1);
            break;
        case SHS_H1_HEAD:
            rc = step_head(h1);
            break;
        case SHS_H1_BODY:
            rc = step_body(h1);
            break;
        case SHS_H1_HANDLE:
            rc = step_handle(h1);
            break;
        case SHS_H1_SINK:
            rc = step_sink(h1);
            break;
        case SHS_H1_SEND:
            rc = step_send(h1);
            break;
        case SHS_H1_DRAIN:
            rc = step_drain(h1);
            break;
        case SHS_H1_END:
            return SHS_OK;
        }
    }
    return rc;
}
