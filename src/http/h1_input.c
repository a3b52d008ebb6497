/*
 * h1_input.c - request bodies: from the stream, through the guard, to the buffer or the handler.
 */
#include "http/h1_exchange.h"

void shs__h1_start_progress(struct shs_h1_exchange *x, unsigned ms)
{
    shs__h1_start_progress_at(x, shs_now_ns(), ms);
}

void shs__h1_start_progress_at(struct shs_h1_exchange *x, int64_t now_ns, unsigned ms)
{
    shs__progress_start(&x->progress, now_ns, ms, x->h1->config->opt->min_rate);
}

int64_t shs__h1_deadline(const struct shs_h1_exchange *x)
{
    return x->base.deadline_ns < x->progress.deadline_ns ? x->base.deadline_ns
                                                         : x->progress.deadline_ns;
}

/* Reads once into the room that there is. */
int shs__h1_fill(struct shs_h1 *h1)
{
    size_t got = 0;
    int rc = shs__stream_read(h1->stream, shs__buf_tail(&h1->in), shs__buf_room(&h1->in), &got);

    if (rc == SHS_OK)
        h1->in.len += got;
    return rc;
}

/* Once for a request: who needs more has a body, and has asked for all of it. */
int shs__h1_make_room(struct shs_h1_exchange *x, size_t need)
{
    struct shs_buf *in = &x->h1->in;
    size_t there = in->len - x->head_len;

    if (there + shs__buf_room(in) >= need)
        return SHS_OK;
    return x->outgrown != NULL ? SHS_LIMIT : shs__buf_renew(in, need - there, &x->outgrown);
}

/* Whose time it is after a read for the body. */
static int tell_clock(struct shs_h1_exchange *x, int rc)
{
    if (rc == SHS_OK)
        shs__progress_ours(&x->progress);
    else if (rc > 0)
        shs__progress_waits(&x->progress);
    return rc;
}

/*
 * Reads for the body. The head's views point into the buffer, so it does not move: what is behind
 * the head is closed up instead. Only framing is ever left there, which is short.
 */
static int fill_body(struct shs_h1_exchange *x)
{
    struct shs_h1 *h1 = x->h1;
    char *head = shs__buf_head(&h1->in);
    size_t left = h1->in.len - x->body_at;

    memmove(head + x->head_len, head + x->body_at, left);
    x->body_at = x->head_len;
    h1->in.len = x->head_len + left;
    return tell_clock(x, shs__h1_fill(h1));
}

/* A body that cannot be read on: what the handler is told, and what the client. */
static int body_error(struct shs_h1_exchange *x, int rc)
{
    struct shs_request *req = &x->base.req;

    if (rc == SHS_PROTO) {
        x->failure = req->refusal.text;
        rc = req->refusal.status == 413 ? SHS_LIMIT : SHS_PROTO;
    } else if (shs__is_peers_end(rc) ||
               (rc == SHS_STOPPED && !x->h1->config->host->stopping(x->h1->owner))) {
        x->body_closed = true; /* the peer went, or we have cut this one off */
    }
    req->body_failed = true;
    req->body_code = rc;
    x->failure_code = rc;
    return rc;
}

/* The next content: x->pending, or none at the end of the body. SHS_OK, SHS_WAIT_*, or < 0. */
int shs__h1_next_content(struct shs_h1_exchange *x)
{
    struct shs_h1 *h1 = x->h1;

    while (x->pending.len == 0 && x->body.phase != SHS_BODY_DONE) {
        size_t used = 0;
        int rc = SHS_WAIT_READ;

        if (h1->in.len > x->body_at)
            rc = shs__body_step(&x->body, shs__buf_head(&h1->in) + x->body_at,
                                h1->in.len - x->body_at, &used, &x->pending, &x->base.req.refusal);
        if (rc == SHS_OK) {
            x->body_at += used;
            continue;
        }
        if (rc == SHS_WAIT_READ)
            rc = fill_body(x);
        if (rc != SHS_OK)
            return rc < 0 ? body_error(x, rc) : rc;
    }
    return SHS_OK;
}

bool shs__h1_can_drain(const struct shs_h1_exchange *x)
{
    if (x->body.phase == SHS_BODY_DONE)
        return true;
    /* A client that was not told to go on may send the body or not: nobody knows what is next. */
    return !x->continue_due && x->body.phase == SHS_BODY_LENGTH &&
           x->body.left <= SHS_H1_DRAIN_BYTES;
}

static size_t take(struct shs_str *from, void *buf, size_t cap)
{
    size_t len = from->len < cap ? from->len : cap;

    if (len == 0)
        return 0;
    memcpy(buf, from->ptr, len);
    from->ptr += len;
    from->len -= len;
    return len;
}

/* Long bodies go straight from the stream to the handler's memory. */
static int read_direct(struct shs_h1_exchange *x, void *buf, size_t cap, size_t *got)
{
    struct shs_str content = {NULL, 0};
    size_t used = 0;
    int rc;

    if (cap > x->body.left)
        cap = (size_t)x->body.left;
    rc = tell_clock(x, shs__stream_read(x->h1->stream, buf, cap, got));
    if (rc != SHS_OK)
        return rc < 0 ? body_error(x, rc) : rc;
    rc = shs__body_step(&x->body, buf, *got, &used, &content, &x->base.req.refusal);
    return rc == SHS_OK ? rc : body_error(x, SHS_PROTO);
}

static int read_some(struct shs_h1_exchange *x, void *buf, size_t cap, size_t *got)
{
    int rc;

    if (x->pending.len == 0 && x->h1->in.len == x->body_at && x->body.phase == SHS_BODY_LENGTH &&
        cap >= SHS_H1_FIRST_READ)
        return read_direct(x, buf, cap, got);
    rc = shs__h1_next_content(x);
    if (rc == SHS_OK)
        *got = take(&x->pending, buf, cap);
    return rc;
}

int shs__h1_take_body(struct shs_h1_exchange *x, void *buf, size_t cap, size_t *got)
{
    struct shs_str early = {shs__buf_head(&x->early), x->early.len};
    int rc = SHS_OK;

    *got = 0;
    if (early.len > 0) {
        *got = take(&early, buf, cap);
        shs__buf_consume(&x->early, *got);
        if (x->early.len == 0) /* the rest may take long to come */
            shs__buf_free(&x->early);
    } else {
        rc = read_some(x, buf, cap, got);
    }
    if (rc == SHS_OK)
        shs__progress_made(&x->progress, *got);
    return rc;
}

static int h1_read_body(struct shs_exchange *base, void *buf, size_t cap, size_t *got)
{
    struct shs_h1_exchange *x = SHS_H1_X(base);
    struct shs_h1 *h1 = x->h1;
    int rc;

    x->reading = true;
    if (x->continue_due && x->body.phase != SHS_BODY_DONE && !base->res.head_sent) {
        rc = shs__h1_put_continue(x);
        if (rc == SHS_OK)
            rc = shs__h1_drain_out_blocking(x);
        if (rc != SHS_OK)
            return body_error(x, rc);
    }
    for (;;) {
        rc = shs__h1_take_body(x, buf, cap, got);
        if (rc != SHS_WAIT_READ && rc != SHS_WAIT_WRITE)
            return rc;
        rc = h1->config->host->wait(h1->owner, rc, shs__h1_deadline(x));
        if (rc != SHS_OK)
            return body_error(x, rc);
    }
}

/*
 * How often a handler that waits looks whether the server is closing: a thread in poll(2) is not
 * woken for that.
 */
#define STOP_LOOK_MS 250u

/*
 * What a peer sends while it listens is the next request: kept, up to the room that is made once.
 */
static int wait_peer(struct shs_h1_exchange *x, int64_t deadline_ns, bool can_be_woken)
{
    struct shs_h1 *h1 = x->h1;

    if (x->body.phase != SHS_BODY_DONE || x->pending.len > 0)
        return SHS_USAGE;
    for (;;) {
        int64_t now = shs_now_ns(), until = shs__deadline_after(now, STOP_LOOK_MS);
        int rc;

        if (h1->config->host->stopping(h1->owner))
            return SHS_STOPPED;
        rc = shs__buf_room(&h1->in) > 0
                 ? SHS_OK
                 : shs__h1_make_room(x, h1->in.len - x->head_len + SHS_H1_FIRST_READ);
        if (rc == SHS_OK)
            rc = shs__h1_fill(h1);
        if (rc < 0)
            return rc;
        if (rc == SHS_OK)
            continue;
        if (now >= deadline_ns)
            return SHS_OK;
        if (until > deadline_ns)
            until = deadline_ns;
        rc = h1->config->host->wait(h1->owner, rc, until);
        if (rc == SHS_TIMEOUT && can_be_woken && shs_now_ns() < until)
            return SHS_OK; /* it is awake */
        if (rc != SHS_OK && rc != SHS_TIMEOUT)
            return rc;
    }
}

static int h1_wait_peer(struct shs_exchange *base, int64_t deadline_ns, int wake_fd)
{
    struct shs_h1 *h1 = SHS_H1_X(base)->h1;
    int rc;

    if (h1->config->host->set_wake != NULL)
        h1->config->host->set_wake(h1->owner, wake_fd);
    rc = wait_peer(SHS_H1_X(base), deadline_ns, wake_fd >= 0);
    if (h1->config->host->set_wake != NULL)
        h1->config->host->set_wake(h1->owner, -1);
    return rc;
}

static bool h1_identify(struct shs_exchange *base, uint64_t numbers[3])
{
    struct shs_h1 *h1 = SHS_H1_X(base)->h1;

    if (h1->config->host->identify == NULL)
        return false;
    h1->config->host->identify(h1->owner, numbers);
    numbers[2] = h1->served + 1u;
    return true;
}

/* Longer than that, the connection may have been somebody else's in between. */
#define THERE_MAX_NS (2 * SHS_NS_PER_MS)

static int64_t h1_there_since(struct shs_exchange *base)
{
    const struct shs_h1 *h1 = SHS_H1_X(base)->h1;
    int64_t there_ns =
        h1->config->host->there_since == NULL ? 0 : h1->config->host->there_since(h1->owner);

    /* What was told before the last answer was out may have been told of the request before. */
    return there_ns >= h1->answered_ns && h1->began_ns - there_ns <= THERE_MAX_NS ? there_ns : 0;
}

const struct shs_exchange_ops shs__h1_exchange_ops = {
    .identify = h1_identify,
    .there_since = h1_there_since,
    .read_body = h1_read_body,
    .send_body = shs__h1_send_body,
    .send_interim = shs__h1_send_interim,
    .wait_peer = h1_wait_peer,
};
