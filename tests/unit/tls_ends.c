#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <openssl/err.h>

#include "tls_ends.h"

/* -- a lower stream that counts what passes ---------------------------------------------------- */

#define COUNTING(s) SHS_CONTAINER_OF(s, struct ends_counting, base)

static int counting_read(struct shs_stream *s, void *buf, size_t cap, size_t *got)
{
    return shs__stream_read(s->lower, buf, cap, got);
}
static int counting_write(struct shs_stream *s, const void *buf, size_t len, size_t *put)
{
    int rc = shs__stream_write(s->lower, buf, len, put);

    if (rc == SHS_OK) {
        COUNTING(s)->writes++;
        COUNTING(s)->bytes += *put;
    }
    s->sys_errno = s->lower->sys_errno;
    return rc;
}
static int counting_flush(struct shs_stream *s)
{
    return shs__stream_flush(s->lower);
}
static int counting_shutdown(struct shs_stream *s)
{
    return shs__stream_shutdown(s->lower);
}
static bool counting_pending(const struct shs_stream *s)
{
    return shs__stream_pending(s->lower);
}
static void counting_nothing(struct shs_stream *s)
{
    SHS_UNUSED(s);
}

static void counting_acknowledge(struct shs_stream *s)
{
    COUNTING(s)->acknowledged++;
}

static const struct shs_stream_class counting_class = {
    .name = "counting",
    .read = counting_read,
    .write = counting_write,
    .flush = counting_flush,
    .shutdown = counting_shutdown,
    .pending = counting_pending,
    .idle = counting_nothing,
    .free = counting_nothing,
    .acknowledge = counting_acknowledge,
};

/* -- two ends in memory ------------------------------------------------------------------------ */

void ends_open(struct ends *e, int version, size_t capacity, size_t chunk)
{
    memset(e, 0, sizeof *e);
    assert_int_equal(shs__memory_stream_pair(&e->near, &e->far, capacity, chunk), SHS_OK);
    e->count.base.cls = &counting_class;
    e->count.base.lower = e->near;
    e->server_context = lab_server(&group_lab);
    e->client_context = lab_client(&group_lab, version);
    assert_int_equal(shs__tls_stream_new(&e->server, e->server_context, &e->count.base), SHS_OK);
    assert_int_equal(shs__tls_stream_new(&e->client, e->client_context, e->far), SHS_OK);
}

void ends_free(struct shs_stream *s)
{
    if (s != NULL)
        s->cls->free(s);
}

void ends_close_client(struct ends *e)
{
    if (e->client != NULL)
        ends_free(&e->client->base);
    ends_free(e->far);
    e->client = NULL;
    e->far = NULL;
}

void ends_close(struct ends *e)
{
    ends_close_client(e);
    ends_free(&e->server->base);
    ends_free(e->near);
    shs__tls_context_free(e->server_context);
    shs__tls_context_free(e->client_context);
    assert_int_equal(ERR_peek_error(), 0); /* nothing left for the thread's next connection */
}

void ends_meet(struct ends *e)
{
    int rc = lab_handshake(e->server, e->client);
    struct shs_error err;

    if (rc != SHS_OK) {
        shs__stream_describe(&e->server->base, rc, &err);
        fail_msg("%s", err.text);
    }
}

void tls_says(struct shs_tls_stream *s, const char *text)
{
    size_t put = 0;

    assert_int_equal(shs__stream_write(&s->base, text, strlen(text), &put), SHS_OK);
    assert_int_equal(put, strlen(text));
    assert_int_equal(shs__stream_flush(&s->base), SHS_OK);
}

void tls_hears(struct shs_tls_stream *s, const char *text)
{
    char buf[256];
    size_t got = 0;

    assert_int_equal(shs__stream_read(&s->base, buf, sizeof buf, &got), SHS_OK);
    assert_int_equal(got, strlen(text));
    assert_memory_equal(buf, text, got);
}

int tls_read_code(struct shs_tls_stream *s)
{
    char buf[256];
    size_t got;

    return shs__stream_read(&s->base, buf, sizeof buf, &got);
}

void tls_describes(struct shs_tls_stream *s, int code, const char *words)
{
    struct shs_error err;

    assert_int_equal(shs__stream_describe(&s->base, code, &err), code);
    if (strstr(err.text, words) == NULL)
        fail_msg("'%s' lacks '%s'", err.text, words);
}

void ends_push(struct ends *e, const void *bytes, size_t len)
{
    size_t put = 0;

    assert_int_equal(shs__stream_write(e->far, bytes, len, &put), SHS_OK);
    assert_int_equal(put, len);
}
