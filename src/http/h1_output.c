/*
 * h1_output.c - answers: from an exchange's response to bytes on the stream.
 */
#include <time.h>

#include "base/number.h"
#include "http/date.h"
#include "http/h1_exchange.h"

/* How often the progress of an answer that waits for its reader is looked at. */
#define PROGRESS_FIRST_LOOK_MS 100
#define PROGRESS_LOOK_MS 500u

static int drain(struct shs_h1 *h1, enum shs_h1_then then)
{
    while (h1->out.len > 0) {
        size_t put = 0;
        int rc = shs__stream_write(h1->stream, shs__buf_head(&h1->out), h1->out.len, &put);

        if (rc != SHS_OK)
            return rc;
        shs__buf_consume(&h1->out, put);
    }
    if (then == SHS_H1_MORE)
        return SHS_OK;
    /* The end of our data leaves with the last of it: one record less, and one packet. */
    return then == SHS_H1_END_DATA ? shs__stream_shutdown(h1->stream)
                                   : shs__stream_flush(h1->stream);
}

/*
 * Hands `out` to the stream. SHS_OK when the kernel has it all. Progress is what the peer took: a
 * buffer that takes some more of an answer says nothing of it.
 */
int shs__h1_drain_out(struct shs_h1 *h1, enum shs_h1_then then)
{
    int rc;

    /* A peer that has taken all there was waits for us, whatever its rate by the clock. */
    if (h1->xchg != NULL && shs__progress_is_late(&h1->xchg->progress) &&
        shs__stream_all_taken(h1->stream))
        shs__progress_again(&h1->xchg->progress);
    rc = drain(h1, then);
    if (h1->xchg == NULL || rc < 0)
        return rc;
    if (rc == SHS_OK) {
        shs__progress_ours(&h1->xchg->progress);
        return rc;
    }
    shs__progress_waits(&h1->xchg->progress);
    shs__progress_total(&h1->xchg->progress, shs__stream_delivered(h1->stream));
    return rc;
}

/*
 * What a peer takes out of the kernel's buffer wakes nobody: so it is looked at now and then, and a
 * peer that took some at once and nothing afterwards has no second deadline for it.
 */
int64_t shs__h1_next_look(const struct shs_h1_exchange *x)
{
    int64_t now = shs_now_ns(), first, look;

    /* Soon after it began, for what the buffers on the way take at once; then less often. */
    first = x->progress.deadline_ns - (int64_t)x->progress.ms * SHS_NS_PER_MS +
            PROGRESS_FIRST_LOOK_MS * SHS_NS_PER_MS;
    look = now < first ? first : shs__deadline_after(now, PROGRESS_LOOK_MS);
    return look < x->progress.deadline_ns ? look : x->progress.deadline_ns;
}

/* The same for a handler that waits: a look that finds nothing new is not the end. */
int shs__h1_drain_out_blocking(struct shs_h1_exchange *x)
{
    struct shs_h1 *h1 = x->h1;
    int64_t deadline_ns, look_ns;

    for (;;) {
        int rc = shs__h1_drain_out(h1, SHS_H1_FLUSH);

        if (rc != SHS_WAIT_READ && rc != SHS_WAIT_WRITE)
            return rc;
        deadline_ns = shs__h1_deadline(x);
        if (shs_now_ns() >= deadline_ns)
            return SHS_TIMEOUT;
        look_ns = shs__h1_next_look(x);
        rc = h1->config->host->wait(h1->owner, rc, look_ns < deadline_ns ? look_ns : deadline_ns);
        if (rc != SHS_OK && rc != SHS_TIMEOUT)
            return rc;
    }
}

static int put(struct shs_h1 *h1, struct shs_str s)
{
    return shs__buf_append_str(&h1->out, s);
}

static int put_field(struct shs_h1 *h1, struct shs_str name, struct shs_str value)
{
    size_t len = name.len + value.len + 4;
    int rc = shs__buf_room(&h1->out) >= len ? SHS_OK : shs__buf_reserve(&h1->out, len);
    char *to = shs__buf_tail(&h1->out);

    if (rc != SHS_OK)
        return rc;
    memcpy(to, name.ptr, name.len);
    to += name.len;
    *to++ = ':';
    *to++ = ' ';
    if (value.len > 0)
        memcpy(to, value.ptr, value.len);
    to += value.len;
    *to++ = '\r';
    *to = '\n';
    h1->out.len += len;
    return SHS_OK;
}

static int put_number_field(struct shs_h1 *h1, struct shs_str name, uint64_t value)
{
    char digits[SHS_DECIMAL_MAX];

    return put_field(h1, name, shs__decimal(value, digits));
}

static int put_status_line(struct shs_h1 *h1, int status, struct shs_str reason)
{
    char code[4] = {(char)('0' + status / 100), (char)('0' + status / 10 % 10),
                    (char)('0' + status % 10), ' '};
    int rc = put(h1, SHS_STR("HTTP/1.1 "));

    if (rc == SHS_OK)
        rc = put(h1, (struct shs_str){code, sizeof code});
    if (rc == SHS_OK)
        rc = put(h1, reason);
    if (rc == SHS_OK)
        rc = put(h1, SHS_STR("\r\n"));
    return rc;
}

/* How the end of this body can be seen (RFC 9112 section 6.3). `more`: it is not all here yet. */
static int put_framing(struct shs_h1_exchange *x, bool more)
{
    struct shs_response *res = &x->base.res;

    bool coded = shs__recoding_runs(res); /* then nobody knows how long it will be */

    if (res->status == 204 || (res->no_body && coded) ||
        (res->no_body && !res->has_length && (more || res->status == 304)))
        return SHS_OK;
    if (res->status == 205) /* RFC 9110 section 15.3.6: it has content of no bytes */
        return put_number_field(x->h1, SHS_STR("Content-Length"), 0);
    if (res->has_length && !coded)
        return put_number_field(x->h1, SHS_STR("Content-Length"), res->length);
    if (!more)
        return put_number_field(x->h1, SHS_STR("Content-Length"), res->body_total);
    if (x->base.req.head.version >= 11) {
        res->chunked = true;
        return put_field(x->h1, SHS_STR("Transfer-Encoding"), SHS_STR("chunked"));
    }
    x->keep = false; /* HTTP/1.0: the end of the connection is the end of the body */
    return SHS_OK;
}

/* May another request follow on this connection? */
static bool may_keep(const struct shs_h1_exchange *x, bool more, int64_t now_ns)
{
    const struct shs_h1 *h1 = x->h1;
    const struct shs_options *opt = h1->config->opt;

    if (!x->base.req.head.keep_alive || x->base.res.close || x->base.req.body_failed ||
        (x->failure_code != SHS_OK && !x->content_refused))
        return false;
    if (h1->served + 1 >= opt->max_requests_per_connection ||
        now_ns >= shs__deadline_after(h1->opened_ns, opt->connection_age_ms))
        return false;
    /* A handler that streams may be in the middle of the body, and read it to its end. */
    if (!shs__h1_can_drain(x) && !(more && x->reading))
        return false;
    if (h1->config->host->draining != NULL && h1->config->host->draining(h1->owner))
        return false;
    return !h1->config->host->stopping(h1->owner);
}

/* What the server adds by itself, unless somebody has said it. */
static int put_our_fields(struct shs_h1_exchange *x)
{
    const struct shs_h1_config *config = x->h1->config;
    const struct shs_response *res = &x->base.res;
    struct shs_str id_field = shs__str(config->opt->request_id_field);
    char date[SHS_SECOND_TEXT_MAX];
    int rc = SHS_OK;

    if (!res->has_server && config->server_field.len > 0 &&
        !shs__response_stands(res, SHS_STR("Server")))
        rc = put_field(x->h1, SHS_STR("Server"), config->server_field);
    if (rc == SHS_OK && !res->has_date && !shs__response_stands(res, SHS_STR("Date"))) {
        shs__date_cached(config->dates, (time_t)shs__wall_s(config->opt->clock_offset_s), date);
        rc = put_field(x->h1, SHS_STR("Date"), (struct shs_str){date, SHS_HTTP_DATE_LEN});
    }
    if (rc == SHS_OK && id_field.ptr != NULL && !shs__response_says(res, id_field) &&
        !shs__response_stands(res, id_field))
        rc = put_field(x->h1, id_field, shs_request_id(&x->base.req));
    return rc;
}

static int put_head(struct shs_h1_exchange *x, bool more, int64_t now_ns)
{
    struct shs_h1 *h1 = x->h1;
    struct shs_response *res = &x->base.res;
    int rc;

    x->keep = may_keep(x, more, now_ns);
    rc = put_status_line(h1, res->status, res->reason);
    if (rc == SHS_OK)
        rc = put_our_fields(x);
    for (size_t i = 0; rc == SHS_OK && i < res->field_count; i++)
        rc = put_field(h1, res->fields[i].name, res->fields[i].value);
    for (size_t i = 0; rc == SHS_OK && i < res->standing_count; i++) {
        if (shs__standing_is_sent(res, &res->standing[i]))
            rc = put_field(h1, res->standing[i].name, res->standing[i].value);
    }
    if (rc == SHS_OK)
        rc = put_framing(x, more);
    if (rc == SHS_OK && !x->keep)
        rc = put_field(h1, SHS_STR("Connection"), SHS_STR("close"));
    if (rc == SHS_OK)
        rc = put(h1, SHS_STR("\r\n"));
    res->head_sent = rc == SHS_OK;
    return rc;
}

static int put_chunk(struct shs_h1 *h1, const char *bytes, size_t len)
{
    int rc = shs__buf_printf(&h1->out, "%zx\r\n", len);

    if (rc == SHS_OK)
        rc = shs__buf_append(&h1->out, bytes, len);
    if (rc == SHS_OK)
        rc = put(h1, SHS_STR("\r\n"));
    return rc;
}

/* The last chunk, and the trailers behind it (RFC 9112 section 7.1.2). */
static int put_last_chunk(struct shs_h1 *h1, const struct shs_response *res)
{
    int rc = put(h1, SHS_STR("0\r\n"));

    for (size_t i = 0; rc == SHS_OK && i < res->trailer_count; i++)
        rc = put_field(h1, res->trailers[i].name, res->trailers[i].value);
    return rc == SHS_OK ? put(h1, SHS_STR("\r\n")) : rc;
}

/* Puts the rest of the answer where SEND takes it from. */
int shs__h1_serialise(struct shs_h1_exchange *x, int64_t now_ns)
{
    struct shs_h1 *h1 = x->h1;
    struct shs_response *res = &x->base.res;
    int rc = shs__buf_reserve(&h1->out, res->field_bytes + res->body.len + 512);

    if (rc == SHS_OK && !res->head_sent) /* trailers and sources without a length need chunks */
        rc = put_head(
            x, (res->trailer_count > 0 && !res->no_body) || res->source != NULL || res->is_source,
            now_ns);
    if (rc == SHS_OK && res->body.len > 0)
        rc = res->chunked ? put_chunk(h1, shs__buf_head(&res->body), res->body.len)
                          : shs__buf_append(&h1->out, shs__buf_head(&res->body), res->body.len);
    shs__buf_free(&res->body);
    if (rc == SHS_OK && res->chunked && res->source == NULL)
        rc = put_last_chunk(h1, res);
    return rc;
}

/* Asks until the piece is full, so that a source may give as little at a time as it likes. */
static int ask_source(struct shs_response *res, char *to, size_t cap, size_t *got)
{
    size_t n = 1;
    int rc = SHS_OK;

    *got = 0;
    while (rc == SHS_OK && n > 0 && *got < cap) {
        n = 0;
        rc = res->source->read(res->source_ctx, to + *got, cap - *got, &n);
        if (rc == SHS_OK && n > cap - *got)
            rc = SHS_USAGE;
        if (rc == SHS_OK)
            *got += n;
    }
    if (rc == SHS_OK && n == 0)
        res->file_left = 0; /* that was its end */
    return rc;
}

/* A chunk's size in as many digits as the largest has: so it is known where the chunk begins. */
#define CHUNK_LINE 6u

static void write_chunk_line(char to[CHUNK_LINE], size_t len)
{
    static const char digits[] = "0123456789abcdef";

    for (unsigned i = 0; i < CHUNK_LINE - 2; i++)
        to[i] = digits[len >> (4 * (CHUNK_LINE - 3 - i)) & 15];
    memcpy(to + CHUNK_LINE - 2, "\r\n", 2);
}

/* SHS_USAGE: it gives another length than was said. */
static int count_source(struct shs_response *res, size_t got)
{
    if (shs__recoding_runs(res)) { /* which has looked at it */
        shs__recoding_count(res, got);
        return SHS_OK;
    }
    res->body_total += got;
    return res->has_length && (res->body_total > res->length ||
                               (res->file_left == 0 && res->body_total < res->length))
               ? SHS_USAGE
               : SHS_OK;
}

int shs__h1_fill_from_source(struct shs_h1_exchange *x)
{
    struct shs_h1 *h1 = x->h1;
    struct shs_response *res = &x->base.res;
    size_t before = res->chunked ? CHUNK_LINE : 0, got = 0;
    int rc = shs__buf_reserve(&h1->out, SHS_H1_SOURCE_PIECE + CHUNK_LINE + 2);
    char *to = shs__buf_tail(&h1->out);

    if (rc != SHS_OK)
        return rc;
    shs__h1_enter_body(x);
    rc = ask_source(res, to + before, SHS_H1_SOURCE_PIECE, &got);
    shs__h1_leave_body(x);
    if (rc != SHS_OK)
        return rc;
    res->file_offset += got;
    rc = count_source(res, got);
    if (rc != SHS_OK)
        return rc;
    if (got > 0 && res->chunked)
        write_chunk_line(to, got);
    h1->out.len += got > 0 ? before + got : 0;
    if (got > 0 && res->chunked)
        rc = put(h1, SHS_STR("\r\n"));
    return rc == SHS_OK && res->file_left == 0 && res->chunked ? put_last_chunk(h1, res) : rc;
}

/* -- what a handler's calls come down to ------------------------------------------------------- */

int shs__h1_put_continue(struct shs_h1_exchange *x)
{
    int rc = put(x->h1, SHS_STR("HTTP/1.1 100 Continue\r\n\r\n"));

    x->continue_due = false;
    return rc;
}

int shs__h1_send_body(struct shs_exchange *base, const void *buf, size_t len)
{
    struct shs_h1_exchange *x = SHS_H1_X(base);
    struct shs_h1 *h1 = x->h1;
    const char *bytes = buf;
    int rc = SHS_OK;

    int64_t now = shs_now_ns();

    shs__h1_start_progress_at(x, now, h1->config->opt->write_ms);
    if (!base->res.head_sent)
        rc = put_head(x, true, now);
    do {
        size_t piece = len < SHS_H1_PIECE ? len : SHS_H1_PIECE;

        if (rc == SHS_OK && piece > 0 && base->res.chunked)
            rc = put_chunk(h1, bytes, piece);
        else if (rc == SHS_OK && piece > 0)
            rc = shs__buf_append(&h1->out, bytes, piece);
        if (rc == SHS_OK)
            rc = shs__h1_drain_out_blocking(x);
        len -= piece;
        if (len > 0)
            bytes += piece;
    } while (rc == SHS_OK && len > 0);
    if (rc != SHS_OK && x->failure_code == SHS_OK)
        x->failure_code = rc;
    /* The two talk: what comes next of the body has the time of a body, from now on. */
    if (rc == SHS_OK && x->body.phase != SHS_BODY_DONE)
        shs__h1_start_progress(x, h1->config->opt->body_ms);
    return rc;
}

int shs__h1_send_interim(struct shs_exchange *base, int status, const struct shs_field *fields,
                         size_t count)
{
    struct shs_h1_exchange *x = SHS_H1_X(base);
    struct shs_h1 *h1 = x->h1;
    int rc = put_status_line(h1, status, shs__str(shs_http_reason(status)));

    for (size_t i = 0; rc == SHS_OK && i < count; i++)
        rc = put_field(h1, fields[i].name, fields[i].value);
    if (rc == SHS_OK)
        rc = put(h1, SHS_STR("\r\n"));
    if (rc == SHS_OK) {
        /* The body that is being read keeps its clock. */
        struct shs_progress reading = x->progress;

        shs__h1_start_progress(x, h1->config->opt->write_ms);
        rc = shs__h1_drain_out_blocking(x);
        x->progress = reading;
    }
    if (rc != SHS_OK && x->failure_code == SHS_OK)
        x->failure_code = rc;
    return rc;
}
