#include "h1_lab.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "http/h1_exchange.h"

static void must(bool condition)
{
    if (!condition)
        abort();
}

uint64_t h1_lab_next_random(uint64_t *state)
{
    uint64_t z = (*state += 0x9e3779b97f4a7c15u);

    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
    return z ^ (z >> 31);
}

size_t h1_lab_one_byte(struct h1_lab *lab)
{
    (void)lab;
    return 1;
}

size_t h1_lab_random_piece(struct h1_lab *lab)
{
    return 1 + h1_lab_next_random(&lab->random) % 16;
}

size_t h1_lab_receive(struct h1_lab *lab)
{
    char buf[4096];
    size_t got = 0, total = 0;

    while (shs__stream_read(lab->client, buf, sizeof buf, &got) == SHS_OK) {
        must(shs__buf_append(&lab->got, buf, got) == SHS_OK);
        total += got;
    }
    return total;
}

/* The client sends one piece more. False when it has nothing to send. */
static bool send_piece(struct h1_lab *lab)
{
    size_t len = lab->piece == NULL ? lab->rest_len : lab->piece(lab);

    if (lab->rest_len == 0) {
        if (!lab->closes || lab->gone)
            return false;
        lab->gone = true;
        return shs__stream_shutdown(lab->client) == SHS_OK;
    }
    if (len > lab->rest_len)
        len = lab->rest_len;
    while (len > 0) {
        size_t put = 0;
        int rc = shs__stream_write(lab->client, lab->rest, len, &put);

        if (rc == SHS_WAIT_WRITE)
            return true; /* the machine has to read first */
        must(rc == SHS_OK);
        lab->rest += put;
        lab->rest_len -= put;
        len -= put;
    }
    return true;
}

/* -- the owner that the machine knows ---------------------------------------------------------- */

static int lab_wait(void *owner, int what, int64_t deadline_ns)
{
    struct h1_lab *lab = owner;

    if (lab->wait != NULL)
        return lab->wait(lab, what, deadline_ns);
    if (h1_lab_receive(lab) > 0 && what == SHS_WAIT_WRITE)
        return SHS_OK;
    if (what == SHS_WAIT_READ && send_piece(lab))
        return SHS_OK;
    if (lab->stopping && !lab->deaf)
        return SHS_STOPPED;
    return SHS_TIMEOUT; /* nothing will come any more: time does not pass here */
}

static void lab_set_deadline(void *owner, int64_t deadline_ns)
{
    ((struct h1_lab *)owner)->deadline_ns = deadline_ns;
}

static int64_t lab_deadline(void *owner)
{
    struct h1_lab *lab = owner;
    int64_t until = lab->deadline_ns;
    size_t put;

    if (lab->meanwhile == NULL)
        return until;
    (void)shs__stream_write(lab->client, lab->meanwhile, strlen(lab->meanwhile), &put);
    lab->meanwhile = NULL;
    if (lab->passes) {
        lab->deadline_ns = shs_now_ns() - 1;
        if (lab->h1.xchg != NULL)
            lab->h1.xchg->progress.deadline_ns = lab->deadline_ns;
    }
    return until;
}

static void lab_set_idle(void *owner, bool idle)
{
    ((struct h1_lab *)owner)->idle = idle;
}

static void lab_must_reset(void *owner)
{
    ((struct h1_lab *)owner)->reset = true;
}

static bool lab_stopping(void *owner)
{
    return ((struct h1_lab *)owner)->stopping;
}

static bool lab_turn_over(void *owner)
{
    struct h1_lab *lab = owner;

    lab->turns += lab->others;
    return lab->others;
}

static int lab_dispatch(void *owner, struct shs_exchange *x)
{
    struct h1_lab *lab = owner;

    if (x->req.sink_over)
        return shs__sink_done(&x->req, &x->res);
    lab->calls++;
    return shs_handler_call(lab->handler, &x->req, &x->res);
}

static void lab_log(void *owner, const struct shs_access *access)
{
    struct h1_lab *lab = owner;

    lab->logged++;
    lab->last_status = access->status;
    lab->last_bytes = access->body_bytes;
    snprintf(lab->last_error, sizeof lab->last_error, "%s",
             access->error == NULL ? "" : access->error);
}

static void lab_mistake(void *owner, const char *text)
{
    struct h1_lab *lab = owner;

    lab->mistakes++;
    snprintf(lab->mistake_text, sizeof lab->mistake_text, "%s", text);
}

static int lab_fail(void *owner, int code, bool stream, const char *text)
{
    struct h1_lab *lab = owner;

    (void)stream;
    lab->fail_code = code;
    snprintf(lab->fail_text, sizeof lab->fail_text, "%s", text == NULL ? "" : text);
    return code;
}

static const struct shs_h1_host lab_host = {
    .wait = lab_wait,
    .set_deadline = lab_set_deadline,
    .deadline = lab_deadline,
    .set_idle = lab_set_idle,
    .must_reset = lab_must_reset,
    .stopping = lab_stopping,
    .turn_over = lab_turn_over,
    .dispatch = lab_dispatch,
    .log = lab_log,
    .mistake = lab_mistake,
    .fail = lab_fail,
};

void h1_lab_open_narrow(struct h1_lab *lab, const struct shs_http_handler *handler, size_t chunk)
{
    memset(lab, 0, sizeof *lab);
    shs_options_init(&lab->opt);
    lab->handler = handler;
    shs__buf_init(&lab->got, (size_t)64 << 20);
    must(shs__memory_stream_pair(&lab->server, &lab->client, (size_t)1 << 20, chunk) == SHS_OK);
    shs__h1_config_init(&lab->config, &lab->opt, &lab_host);
    shs__h1_init(&lab->h1, &lab->config, lab->server, lab);
}

void h1_lab_open(struct h1_lab *lab, const struct shs_http_handler *handler)
{
    h1_lab_open_narrow(lab, handler, 0);
}

void h1_lab_close(struct h1_lab *lab)
{
    shs__h1_free(&lab->h1);
    lab->server->cls->free(lab->server);
    lab->client->cls->free(lab->client);
    shs__buf_free(&lab->got);
}

int h1_lab_talk(struct h1_lab *lab, const char *bytes, size_t len)
{
    lab->rest = bytes;
    lab->rest_len = len;
    for (unsigned long steps = 0; steps < 10000000; steps++) {
        int rc = shs__h1_step(&lab->h1);
        size_t got = h1_lab_receive(lab);

        if (rc <= 0)
            return rc;
        if (!send_piece(lab) && got == 0)
            return rc;
    }
    abort(); /* the machine does not come to rest */
}

const char *h1_lab_text(struct h1_lab *lab)
{
    must(shs__buf_append(&lab->got, "", 1) == SHS_OK);
    lab->got.len--;
    return shs__buf_head(&lab->got);
}
