#include "cmd/proxy_talk.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>

#include "base/base.h"
#include "cmd/proxy_fields.h"
#include "cmd/proxy_head.h"
#include "cmd/proxy_wire.h"
#include "http/exchange.h"
#include "http/reply.h"

#define HEAD_MAX ((size_t)65536)
#define PIECE 16384u
#define ENOUGH SHS_WAIT_WRITE /* among our own codes: no more of the body is wanted */

struct talk {
    const struct proxy_target *target;
    struct shs_request *req;
    struct shs_response *res;
    struct proxy_wire wire;
    struct shs_buf in; /* what came and has not been passed on */
    struct shs_reply reply;
    bool has_head; /* its head is passed on */
};

/* -- what is answered -------------------------------------------------------------------------- */

/* The name is borrowed until the answer is out, which is later than talk->in is freed. */
static int send_field(const struct talk *talk, const struct shs_field *field)
{
    char *name = shs_request_alloc(talk->req, field->name.len);

    if (name == NULL)
        return SHS_NOMEM;
    memcpy(name, field->name.ptr, field->name.len);
    return shs_send_field(talk->res, (struct shs_str){name, field->name.len}, field->value);
}

static int answer_head(struct talk *talk)
{
    const struct shs_reply *reply = &talk->reply;
    int rc = shs_send_response(talk->res, reply->status);

    for (size_t i = 0; rc == SHS_OK && i < reply->field_count; i++) {
        const struct shs_field *field = &reply->fields[i];

        if (shs__str_eq_nocase(field->name, SHS_STR("Content-Type")))
            talk->wire.endless = proxy_field_begins(field->value, "text/event-stream");
        if (proxy_passes_to_client(reply, field->name))
            rc = send_field(talk, field);
    }
    if (rc == SHS_OK && reply->has_length && !shs__status_without_body(reply->status))
        rc = shs_send_length(talk->res, reply->length);
    talk->has_head = rc == SHS_OK;
    return rc == SHS_OK ? shs_end_headers(talk->res) : rc;
}

/* Of llhttp, for shs_reply. */
static int pass_on(void *ctx, const char *bytes, size_t len)
{
    struct talk *talk = ctx;
    int rc = shs_write(talk->res, bytes, len);

    talk->wire.ours_failed = rc != SHS_OK;
    return rc;
}

/* The head, when it is whole; fields are views of talk->in, until it is passed on. */
static int take_head(struct talk *talk)
{
    size_t used = 0;
    int rc = shs__reply_head(&talk->reply, shs__buf_head(&talk->in), talk->in.len, &used);

    if (rc == SHS_OK)
        rc = answer_head(talk);
    shs__buf_consume(&talk->in, used);
    return rc == SHS_WAIT_READ ? SHS_OK : rc;
}

/* What arrives is passed on at once, the head too: it may be a stream of events. */
static int take_more(struct talk *talk)
{
    size_t got = 0, used = 0;
    int rc = proxy_wire_receive(&talk->wire, &talk->in, &got);

    if (rc == SHS_OK && got == 0) {
        rc = talk->has_head ? shs__reply_end(&talk->reply) : SHS_IO;
        return rc == SHS_TRUNCATED ? SHS_PROTO : rc;
    }
    if (rc == SHS_OK && !talk->has_head)
        rc = take_head(talk);
    if (rc != SHS_OK || !talk->has_head)
        return rc;
    rc = shs__reply_body(&talk->reply, shs__buf_head(&talk->in), talk->in.len, &used);
    shs__buf_consume(&talk->in, used);
    if (rc == SHS_OK && !talk->reply.complete) {
        rc = shs_flush(talk->res);
        talk->wire.ours_failed = rc != SHS_OK;
    }
    return rc;
}

/* -- the body of the request ------------------------------------------------------------------- */

/* While the body is sent, the answer may begin, and both go on. ENOUGH: it was an error, or is
   over, and nobody waits for the rest of the body. */
static int take_early(struct talk *talk)
{
    int rc = SHS_OK;

    while (rc == SHS_OK && !talk->reply.complete && proxy_wire_can_be_read(&talk->wire))
        rc = take_more(talk);
    if (rc == SHS_OK && (talk->reply.complete || (talk->has_head && talk->reply.status >= 400)))
        return ENOUGH;
    return rc;
}

/* All of it; ENOUGH. */
static int send_all(struct talk *talk, const char *bytes, size_t len)
{
    int64_t deadline = proxy_wire_deadline(&talk->wire);

    while (len > 0) {
        ssize_t n = send(talk->wire.fd, bytes, len, MSG_NOSIGNAL);
        int rc = SHS_OK;

        if (n > 0) {
            bytes += n;
            len -= (size_t)n;
            deadline = proxy_wire_deadline(&talk->wire);
        } else if (n < 0 && (errno == EAGAIN || errno == EINTR)) {
            rc = proxy_wire_wait(&talk->wire, POLLOUT | POLLIN, deadline);
            if (rc == SHS_OK && proxy_wire_can_be_read(&talk->wire)) {
                rc = take_early(talk);
                /* It has said something, which our client may have taken long to read. */
                deadline = proxy_wire_deadline(&talk->wire);
            }
        } else {
            return ENOUGH; /* it may have said why */
        }
        if (rc != SHS_OK)
            return rc;
    }
    return SHS_OK;
}

static int send_piece(struct talk *talk, const char *piece, size_t len, bool chunked)
{
    char line[24];
    int rc = SHS_OK;

    snprintf(line, sizeof line, "%zx\r\n", len);
    if (chunked)
        rc = send_all(talk, line, strlen(line));
    if (rc == SHS_OK)
        rc = send_all(talk, piece, len);
    if (rc == SHS_OK && chunked)
        rc = send_all(talk, "\r\n", 2);
    return rc;
}

/* The body, piece by piece as it comes. A client that breaks off leaves it without its end. */
static int send_body(struct talk *talk)
{
    char piece[PIECE];
    uint64_t length = 0;
    size_t got = 0;
    int rc = SHS_OK;

    if (!shs_request_has_body(talk->req, &length))
        return SHS_OK;
    while (rc == SHS_OK) {
        rc = shs_request_read(talk->req, piece, sizeof piece, &got);
        if (rc != SHS_OK) {
            talk->wire.ours_failed = true;
            return rc;
        }
        if (got == 0)
            return length == UINT64_MAX ? send_all(talk, "0\r\n\r\n", 5) : SHS_OK;
        rc = take_early(talk);
        if (rc == SHS_OK)
            rc = send_piece(talk, piece, got, length == UINT64_MAX);
    }
    return rc;
}

static int ask(struct talk *talk, bool exact)
{
    struct shs_buf head;
    int rc;

    shs__buf_init(&head, HEAD_MAX);
    rc = proxy_head_make(&head, talk->req, talk->target, exact);
    if (rc == SHS_OK)
        rc = send_all(talk, shs__buf_head(&head), head.len);
    shs__buf_free(&head);
    if (rc == SHS_OK)
        rc = send_body(talk);
    return rc == ENOUGH ? SHS_OK : rc;
}

/* -- how it goes wrong ------------------------------------------------------------------------- */

/* For who runs the server; a client is told less. */
static void log_failure(const struct talk *talk, int rc)
{
    char text[64];
    const char *why = rc == SHS_WAIT_READ     ? "it did not answer in time (--proxy-timeout)"
                      : talk->wire.error != 0 ? shs__strerror(talk->wire.error, text, sizeof text)
                      : talk->reply.wrong != NULL ? talk->reply.wrong
                      : talk->has_head            ? "its answer broke off"
                      : rc == SHS_IO              ? "it closed without an answer"
                                                  : "its answer does not fit";

    shs_server_log(
        shs_conn_server(shs_request_conn(talk->req)), SHS_LOG_WARNING, "--proxy %s=%s: %s",
        talk->target->prefix[0] == '\0' ? "/" : talk->target->prefix, talk->target->given, why);
}

static int answer_failure(const struct talk *talk, int rc)
{
    if (talk->wire.ours_failed || rc == SHS_NOMEM)
        return rc;
    log_failure(talk, rc);
    /* Half of an answer has left: the connection is cut, and nobody takes it for a whole one. */
    if (shs_response_has_left(talk->res))
        return rc == SHS_WAIT_READ ? SHS_TIMEOUT : rc;
    if (rc == SHS_WAIT_READ)
        return shs_send_error(talk->res, 504, "The server behind this one did not answer in time.");
    return shs_send_error(talk->res, 502,
                          rc == SHS_IO ? "The server behind this one cannot be reached."
                                       : "The server behind this one gave no answer that can be "
                                         "passed on.");
}

/* The server stops, which is how events end, as shs_sse_end says: their end is sent. */
static bool is_end_of_events(const struct talk *talk, int rc)
{
    return rc == SHS_STOPPED && talk->wire.endless && !talk->reply.has_length;
}

static int converse(struct talk *talk, bool exact)
{
    int rc = proxy_wire_open(&talk->wire, talk->target);

    if (rc == SHS_OK) {
        talk->wire.error = 0;
        rc = ask(talk, exact);
    }
    while (rc == SHS_OK && !talk->reply.complete)
        rc = take_more(talk);
    return rc == SHS_OK || is_end_of_events(talk, rc) ? SHS_OK : answer_failure(talk, rc);
}

int proxy_talk(struct shs_request *req, struct shs_response *res, const struct proxy_target *target,
               unsigned timeout_ms, bool exact)
{
    struct talk *talk = shs__calloc(1, sizeof *talk);
    int rc;

    if (talk == NULL)
        return SHS_NOMEM;
    talk->target = target;
    talk->req = req;
    talk->res = res;
    talk->wire = (struct proxy_wire){.req = req, .timeout_ms = timeout_ms, .fd = -1};
    shs__buf_init(&talk->in, HEAD_MAX);
    shs__reply_init(&talk->reply, shs_str_is(shs_request_method(req), "HEAD"), pass_on, talk);
    rc = converse(talk, exact);
    proxy_wire_close(&talk->wire);
    shs__buf_free(&talk->in);
    shs__free(talk);
    return rc;
}
