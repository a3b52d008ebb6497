#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <stdlib.h>

#include <openssl/err.h>

#include "tls_lab.h"

static struct tls_lab lab;

/* -- a lower stream that counts what passes ---------------------------------------------------- */

struct counting {
    struct shs_stream base;
    unsigned writes;
    size_t bytes;
};

#define COUNTING(s) SHS_CONTAINER_OF(s, struct counting, base)

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

static const struct shs_stream_class counting_class = {
    .name = "counting",
    .read = counting_read,
    .write = counting_write,
    .flush = counting_flush,
    .shutdown = counting_shutdown,
    .pending = counting_pending,
    .idle = counting_nothing,
    .free = counting_nothing,
};

/* -- two ends in memory ------------------------------------------------------------------------ */

struct ends {
    struct shs_stream *near, *far; /* the memory pair: the server's and the client's end */
    struct counting count;         /* between the server and `near` */
    struct shs_tls_context *server_context, *client_context;
    struct shs_tls_stream *server, *client;
};

static void open_ends(struct ends *e, int version, size_t capacity, size_t chunk)
{
    memset(e, 0, sizeof *e);
    assert_int_equal(shs__memory_stream_pair(&e->near, &e->far, capacity, chunk), SHS_OK);
    e->count.base.cls = &counting_class;
    e->count.base.lower = e->near;
    e->server_context = lab_server(&lab);
    e->client_context = lab_client(&lab, version);
    assert_int_equal(shs__tls_stream_new(&e->server, e->server_context, &e->count.base), SHS_OK);
    assert_int_equal(shs__tls_stream_new(&e->client, e->client_context, e->far), SHS_OK);
}

static void free_stream(struct shs_stream *s)
{
    if (s != NULL)
        s->cls->free(s);
}

static void close_client(struct ends *e)
{
    if (e->client != NULL)
        free_stream(&e->client->base);
    free_stream(e->far);
    e->client = NULL;
    e->far = NULL;
}

static void close_ends(struct ends *e)
{
    close_client(e);
    free_stream(&e->server->base);
    free_stream(e->near);
    shs__tls_context_free(e->server_context);
    shs__tls_context_free(e->client_context);
    assert_int_equal(ERR_peek_error(), 0); /* nothing left for the thread's next connection */
}

static void meet(struct ends *e)
{
    int rc = lab_handshake(e->server, e->client);
    struct shs_error err;

    if (rc != SHS_OK) {
        shs__stream_describe(&e->server->base, rc, &err);
        fail_msg("%s", err.text);
    }
}

static void say(struct shs_tls_stream *s, const char *text)
{
    size_t put = 0;

    assert_int_equal(shs__stream_write(&s->base, text, strlen(text), &put), SHS_OK);
    assert_int_equal(put, strlen(text));
    assert_int_equal(shs__stream_flush(&s->base), SHS_OK);
}

static void hears(struct shs_tls_stream *s, const char *text)
{
    char buf[256];
    size_t got = 0;

    assert_int_equal(shs__stream_read(&s->base, buf, sizeof buf, &got), SHS_OK);
    assert_int_equal(got, strlen(text));
    assert_memory_equal(buf, text, got);
}

static int read_code(struct shs_tls_stream *s)
{
    char buf[256];
    size_t got;

    return shs__stream_read(&s->base, buf, sizeof buf, &got);
}

static void describes(struct shs_tls_stream *s, int code, const char *words)
{
    struct shs_error err;

    assert_int_equal(shs__stream_describe(&s->base, code, &err), code);
    if (strstr(err.text, words) == NULL)
        fail_msg("'%s' lacks '%s'", err.text, words);
}

static void push_raw(struct ends *e, const void *bytes, size_t len)
{
    size_t put = 0;

    assert_int_equal(shs__stream_write(e->far, bytes, len, &put), SHS_OK);
    assert_int_equal(put, len);
}

/* -- handshakes -------------------------------------------------------------------------------- */

static void handshakes_in_any_pieces(void **state)
{
    static const size_t chunks[] = {0, 1, 2, 3, 5, 7, 100, 1000};
    struct ends e;
    size_t i;
    int version;

    SHS_UNUSED(state);
    for (version = TLS1_2_VERSION; version <= TLS1_3_VERSION; version++) {
        for (i = 0; i < SHS_ARRAY_LEN(chunks); i++) {
            open_ends(&e, version, chunks[i] == 0 ? 65536 : 500, chunks[i]);
            meet(&e);
            assert_int_equal(SSL_version(e.server->ssl), version);
            assert_int_equal(SSL_get_verify_result(e.client->ssl), X509_V_OK);
            close_ends(&e);
        }
    }
}

/* The first read or write drives the handshake too. */
static void reading_shakes_hands(void **state)
{
    struct ends e;
    size_t put;
    int i, rc = SHS_WAIT_READ;

    SHS_UNUSED(state);
    open_ends(&e, TLS1_3_VERSION, 65536, 0);
    for (i = 0; i < 10 && rc == SHS_WAIT_READ; i++) {
        assert_int_equal(read_code(e.server), SHS_WAIT_READ);
        rc = shs__stream_write(&e.client->base, "hi", 2, &put);
    }
    assert_int_equal(rc, SHS_OK);
    assert_int_equal(shs__stream_flush(&e.client->base), SHS_OK);
    hears(e.server, "hi");
    close_ends(&e);
}

static void half_a_hello_waits(void **state)
{
    struct ends e;
    char hello[4096];
    size_t got = 0;

    SHS_UNUSED(state);
    open_ends(&e, 0, 65536, 0);
    assert_int_equal(shs__tls_stream_handshake(e.server), SHS_WAIT_READ);
    assert_int_equal(shs__tls_stream_handshake(e.client), SHS_WAIT_READ);
    assert_int_equal(shs__stream_read(e.near, hello, sizeof hello, &got), SHS_OK);
    assert_true(got > 100);
    push_raw(&e, hello, got / 2);
    assert_int_equal(shs__tls_stream_handshake(e.server), SHS_WAIT_READ);
    assert_int_equal(shs__tls_stream_handshake(e.server), SHS_WAIT_READ);
    assert_int_equal(e.count.writes, 0);
    push_raw(&e, hello + got / 2, got - got / 2);
    assert_int_equal(shs__tls_stream_handshake(e.server), SHS_WAIT_READ);
    assert_int_equal(e.count.writes, 1); /* its whole flight */
    close_ends(&e);
}

static void one_send_per_flight_and_answer(void **state)
{
    struct ends e;
    struct shs_stream *s;
    size_t put;

    SHS_UNUSED(state);
    open_ends(&e, TLS1_3_VERSION, 1 << 20, 0);
    assert_int_equal(shs__tls_stream_handshake(e.client), SHS_WAIT_READ);
    assert_int_equal(shs__tls_stream_handshake(e.server), SHS_WAIT_READ);
    assert_int_equal(e.count.writes, 1);
    assert_int_equal(shs__tls_stream_handshake(e.client), SHS_OK);
    say(e.client, "GET / HTTP/1.1\r\n\r\n");
    assert_int_equal(shs__tls_stream_handshake(e.server), SHS_OK);
    assert_int_equal(e.count.writes, 1); /* the ticket is held ... */
    assert_true(e.server->bio.out.len > 0);
    assert_true(shs__stream_pending(&e.server->base)); /* the request came with the Finished */
    hears(e.server, "GET / HTTP/1.1\r\n\r\n");
    s = &e.server->base;
    assert_int_equal(shs__stream_write(s, "head", 4, &put), SHS_OK);
    assert_int_equal(shs__stream_write(s, "body", 4, &put), SHS_OK);
    assert_int_equal(shs__stream_flush(s), SHS_OK);
    assert_int_equal(e.count.writes, 2); /* ... and leaves with the answer */
    shs__stream_idle(s);
    assert_null(e.server->bio.out.data);
    close_ends(&e);
}

static void a_waiting_read_sends_the_ticket(void **state)
{
    struct ends e;

    SHS_UNUSED(state);
    open_ends(&e, TLS1_3_VERSION, 65536, 0);
    assert_int_equal(shs__tls_stream_handshake(e.client), SHS_WAIT_READ);
    assert_int_equal(shs__tls_stream_handshake(e.server), SHS_WAIT_READ);
    assert_int_equal(shs__tls_stream_handshake(e.client), SHS_OK);
    assert_int_equal(shs__stream_flush(&e.client->base), SHS_OK);
    assert_int_equal(shs__tls_stream_handshake(e.server), SHS_OK);
    assert_int_equal(e.count.writes, 1);
    assert_int_equal(read_code(e.server), SHS_WAIT_READ);
    assert_int_equal(e.count.writes, 2);
    close_ends(&e);
}

static void many_records_leave_at_once(void **state)
{
    struct ends e;
    size_t put = 0, len = 32768;
    char *data = shs__calloc(1, len);
    unsigned before;

    SHS_UNUSED(state);
    assert_non_null(data);
    open_ends(&e, TLS1_3_VERSION, 1 << 20, 0);
    meet(&e);
    before = e.count.writes;
    assert_int_equal(shs__stream_write(&e.server->base, data, len, &put), SHS_OK);
    assert_int_equal(put, len);
    assert_int_equal(e.count.writes, before);
    assert_int_equal(shs__stream_flush(&e.server->base), SHS_OK);
    assert_int_equal(e.count.writes, before + 1);
    /* and what is gathered stays under its ceiling */
    for (put = 0; put < 40; put++) {
        size_t n;

        assert_int_equal(shs__stream_write(&e.server->base, data, 16384, &n), SHS_OK);
        assert_true(e.server->bio.out.cap <= SHS_TLS_OUT_CEILING);
    }
    shs__free(data);
    close_ends(&e);
}

/* -- refusals ---------------------------------------------------------------------------------- */

static void garbage_gets_an_alert(void **state)
{
    static const char record[] = "\x16\x03\x01\x00\x10garbage garbage!";
    struct ends e;
    unsigned char alert[64];
    size_t got = 0;

    SHS_UNUSED(state);
    open_ends(&e, 0, 65536, 0);
    push_raw(&e, record, sizeof record - 1);
    assert_int_equal(shs__tls_stream_handshake(e.server), SHS_TLS);
    assert_int_equal(shs__tls_stream_handshake(e.server), SHS_TLS); /* sticky */
    assert_int_equal(read_code(e.server), SHS_TLS);
    assert_true(e.server->tls_code != 0);
    describes(e.server, SHS_TLS, "TLS");
    assert_int_equal(shs__stream_shutdown(&e.server->base), SHS_OK);
    assert_int_equal(shs__stream_read(e.far, alert, sizeof alert, &got), SHS_OK);
    assert_int_equal(got, 7);
    assert_int_equal(alert[0], 21);
    assert_int_equal(alert[5], 2);
    assert_int_equal(shs__stream_read(e.far, alert, sizeof alert, &got), SHS_CLOSED);
    close_ends(&e);
}

static void what_is_no_tls_is_refused(void **state)
{
    struct ends e;
    struct shs_error err;

    SHS_UNUSED(state);
    open_ends(&e, 0, 65536, 0);
    push_raw(&e, "\x05\x01\x00 binary", 10);
    assert_int_equal(shs__tls_stream_handshake(e.server), SHS_TLS);
    shs__stream_describe(&e.server->base, SHS_TLS, &err);
    assert_string_equal(err.text, "What the client sent is not TLS.");
    close_ends(&e);
}

/* Sends `request` in pieces to the server's port and returns the answer, for shs__free. */
static char *plain_answer(const char *request, size_t chunk)
{
    struct ends e;
    char *answer = shs__calloc(1, 2048);
    size_t put, at = 0, got = 0, len = strlen(request);
    int rc = SHS_WAIT_READ;

    assert_non_null(answer);
    open_ends(&e, 0, 65536, chunk);
    for (; len > 0; request += put, len -= put)
        assert_int_equal(shs__stream_write(e.far, request, len, &put), SHS_OK);
    rc = shs__tls_stream_handshake(e.server);
    assert_int_equal(rc, SHS_TLS);
    describes(e.server, SHS_TLS, "plain HTTP");
    assert_int_equal(shs__stream_shutdown(&e.server->base), SHS_OK);
    while ((rc = shs__stream_read(e.far, answer + at, 2047 - at, &got)) == SHS_OK)
        at += got;
    assert_int_equal(rc, SHS_CLOSED);
    close_ends(&e);
    return answer;
}

static void plain_http_gets_a_readable_answer(void **state)
{
    char *answer = plain_answer("GET /x HTTP/1.1\r\nHost: box.example:8443\r\n\r\n", 0);
    const char *body;

    SHS_UNUSED(state);
    assert_int_equal(strncmp(answer, "HTTP/1.1 400 Bad Request\r\n", 26), 0);
    assert_non_null(strstr(answer, "Connection: close\r\n"));
    body = strstr(answer, "\r\n\r\n");
    assert_non_null(body);
    body += 4;
    assert_non_null(strstr(body, "https://box.example:8443/"));
    assert_int_equal(strtoul(strstr(answer, "Content-Length: ") + 16, NULL, 10), strlen(body));
    shs__free(answer);
    /* one byte at a time: no Host is seen, the answer is there all the same */
    answer = plain_answer("POST / HTTP/1.1\r\nHost: box\r\n\r\n", 1);
    assert_int_equal(strncmp(answer, "HTTP/1.1 400 ", 13), 0);
    assert_non_null(strstr(answer, "https://"));
    shs__free(answer);
    /* a Host that is none is not repeated */
    answer = plain_answer("GET / HTTP/1.1\r\nHost: a<script>\r\n\r\n", 0);
    assert_null(strstr(answer, "script"));
    shs__free(answer);
    answer = plain_answer("GET / HTTP/1.1\r\nHost: cut.exam", 0);
    assert_null(strstr(answer, "cut"));
    shs__free(answer);
    /* and HEAD has no body */
    answer = plain_answer("HEAD / HTTP/1.1\r\nHost: box\r\n\r\n", 0);
    body = strstr(answer, "\r\n\r\n");
    assert_non_null(body);
    assert_string_equal(body, "\r\n\r\n");
    shs__free(answer);
}

static void old_versions_are_refused(void **state)
{
    struct ends e;
    SSL *ssl;

    SHS_UNUSED(state);
    open_ends(&e, 0, 65536, 0);
    ssl = e.client->ssl;
    SSL_set_security_level(ssl, 0);
    SSL_set_cipher_list(ssl, "ALL:@SECLEVEL=0");
    SSL_set_min_proto_version(ssl, TLS1_VERSION);
    SSL_set_max_proto_version(ssl, TLS1_1_VERSION);
    assert_int_equal(lab_handshake(e.server, e.client), SHS_TLS);
    describes(e.server, SHS_TLS, "too old");
    assert_int_equal(e.server->alert_out, SSL_AD_PROTOCOL_VERSION);
    close_ends(&e);
}

static void suites_without_forward_secrecy_are_refused(void **state)
{
    struct ends e;

    SHS_UNUSED(state);
    open_ends(&e, TLS1_2_VERSION, 65536, 0);
    assert_int_equal(SSL_set_cipher_list(e.client->ssl, "AES128-GCM-SHA256:AES128-SHA"), 1);
    assert_int_equal(lab_handshake(e.server, e.client), SHS_TLS);
    describes(e.server, SHS_TLS, "cipher suite");
    close_ends(&e);
}

/* A client whose `set` narrows what it offers is refused, with these words. */
static void refuses_offer(int version, int (*set)(SSL *ssl), const char *words)
{
    struct ends e;

    open_ends(&e, version, 65536, 0);
    assert_int_equal(set(e.client->ssl), 1);
    assert_int_equal(lab_handshake(e.server, e.client), SHS_TLS);
    describes(e.server, SHS_TLS, words);
    close_ends(&e);
}
static int offer_p521(SSL *ssl)
{
    return (int)SSL_set1_groups_list(ssl, "P-521");
}
static int offer_rsa_signatures(SSL *ssl)
{
    return (int)SSL_set1_sigalgs_list(ssl, "RSA-PSS+SHA256:RSA+SHA256");
}

static void what_we_do_not_offer_is_named(void **state)
{
    SHS_UNUSED(state);
    refuses_offer(TLS1_3_VERSION, offer_p521, "X25519");
    refuses_offer(TLS1_3_VERSION, offer_rsa_signatures, "signature");
    refuses_offer(TLS1_2_VERSION, offer_rsa_signatures, "signature");
}

/* The client's own verdict on our certificate, by the clock it goes by. */
static void a_client_says_that_it_has_expired(void **state)
{
    struct ends e;

    SHS_UNUSED(state);
    open_ends(&e, 0, 65536, 0);
    X509_VERIFY_PARAM_set_time(SSL_get0_param(e.client->ssl), time(NULL) + 95 * LAB_DAY);
    (void)lab_handshake(e.server, e.client);
    (void)shs__stream_flush(&e.client->base);
    assert_int_equal(read_code(e.server), SHS_TLS);
    assert_int_equal(e.server->alert_in, SSL_AD_CERTIFICATE_EXPIRED);
    describes(e.server, SHS_TLS, "has expired (alert 45)");
    close_ends(&e);

    open_ends(&e, 0, 65536, 0);
    meet(&e);
    shs__tls_stream_message(0, TLS1_3_VERSION, SSL3_RT_ALERT, "\x02\x50", 2, NULL, e.server);
    e.server->why = SHS_TLS_WHY_PROTOCOL;
    describes(e.server, SHS_TLS, "alert 80, internal error");
    close_ends(&e);
}

static void a_client_that_does_not_trust_us_says_so(void **state)
{
    struct ends e;

    SHS_UNUSED(state);
    open_ends(&e, 0, 65536, 0);
    SSL_set0_verify_cert_store(e.client->ssl, X509_STORE_new()); /* empty */
    (void)lab_handshake(e.server, e.client);
    (void)shs__stream_flush(&e.client->base);
    assert_int_equal(read_code(e.server), SHS_TLS);
    assert_int_equal(e.server->alert_in, SSL_AD_UNKNOWN_CA);
    describes(e.server, SHS_TLS, "does not trust");
    close_ends(&e);
}

/* -- ALPN, names, resumption ------------------------------------------------------------------- */

static void alpn_is_http11_or_nothing(void **state)
{
    static const unsigned char both[] = "\x02h2\x08http/1.1", h2[] = "\x02h2";
    const unsigned char *got = NULL;
    unsigned len = 0;
    struct ends e;

    SHS_UNUSED(state);
    open_ends(&e, 0, 65536, 0);
    SSL_set_alpn_protos(e.client->ssl, both, sizeof both - 1);
    meet(&e);
    SSL_get0_alpn_selected(e.client->ssl, &got, &len);
    assert_int_equal(len, 8);
    assert_memory_equal(got, "http/1.1", 8);
    close_ends(&e);

    open_ends(&e, 0, 65536, 0);
    SSL_set_alpn_protos(e.client->ssl, h2, sizeof h2 - 1);
    assert_int_equal(lab_handshake(e.server, e.client), SHS_TLS);
    assert_int_equal(e.server->alert_out, SSL_AD_NO_APPLICATION_PROTOCOL);
    describes(e.server, SHS_TLS, "http/1.1");
    assert_int_equal(shs__stream_flush(&e.server->base), SHS_OK);
    (void)shs__tls_stream_handshake(e.client);
    assert_int_equal(e.client->alert_in, SSL_AD_NO_APPLICATION_PROTOCOL);
    close_ends(&e);

    open_ends(&e, 0, 65536, 0);
    meet(&e);
    SSL_get0_alpn_selected(e.server->ssl, &got, &len);
    assert_int_equal(len, 0);
    close_ends(&e);
}

/* Twice with one session: the second handshake resumes, and knows the name again. */
static void one_ticket_resumes(void **state)
{
    struct shs_tls_stream *server = NULL, *client = NULL;
    struct shs_stream *near, *far;
    SSL_SESSION *session;
    struct ends e;
    int version;

    SHS_UNUSED(state);
    for (version = TLS1_2_VERSION; version <= TLS1_3_VERSION; version++) {
        open_ends(&e, version, 65536, 0);
        SSL_set_tlsext_host_name(e.client->ssl, "localhost");
        meet(&e);
        assert_string_equal(SSL_get_servername(e.server->ssl, TLSEXT_NAMETYPE_host_name),
                            "localhost");
        assert_int_equal(SSL_session_reused(e.server->ssl), 0);
        say(e.server, "hello");
        hears(e.client, "hello"); /* and reads the ticket on the way */
        session = SSL_get1_session(e.client->ssl);
        assert_non_null(session);
        assert_int_equal(SSL_SESSION_is_resumable(session), 1);
        assert_int_equal(shs__memory_stream_pair(&near, &far, 65536, 0), SHS_OK);
        assert_int_equal(shs__tls_stream_new(&server, e.server_context, near), SHS_OK);
        assert_int_equal(shs__tls_stream_new(&client, e.client_context, far), SHS_OK);
        SSL_set_tlsext_host_name(client->ssl, "localhost");
        SSL_set_session(client->ssl, session);
        assert_int_equal(lab_handshake(server, client), SHS_OK);
        assert_int_equal(SSL_session_reused(server->ssl), 1);
        assert_string_equal(SSL_get_servername(server->ssl, TLSEXT_NAMETYPE_host_name),
                            "localhost");
        if (version == TLS1_3_VERSION) { /* a ticket is for one use: the next one comes along */
            say(server, "again");
            hears(client, "again");
            assert_ptr_not_equal(SSL_get0_session(client->ssl), session);
            assert_int_equal(SSL_SESSION_is_resumable(SSL_get0_session(client->ssl)), 1);
        }
        SSL_SESSION_free(session);
        free_stream(&server->base);
        free_stream(&client->base);
        free_stream(near);
        free_stream(far);
        close_ends(&e);
    }
}

/* -- after the handshake ----------------------------------------------------------------------- */

static void renegotiation_is_refused(void **state)
{
    struct ends e;
    int i;

    SHS_UNUSED(state);
    open_ends(&e, TLS1_2_VERSION, 65536, 0);
    meet(&e);
    SSL_clear_options(e.client->ssl, SSL_OP_NO_RENEGOTIATION);
    assert_int_equal(SSL_renegotiate(e.client->ssl), 1);
    (void)SSL_do_handshake(e.client->ssl);
    ERR_clear_error();
    assert_int_equal(shs__stream_flush(&e.client->base), SHS_OK);
    assert_int_equal(read_code(e.server), SHS_WAIT_READ); /* answers with a warning, goes on */
    assert_int_equal(e.server->key_updates, 1);
    assert_int_equal(SSL_do_handshake(e.client->ssl) > 0, 0);
    ERR_clear_error();
    assert_int_equal(e.client->alert_in, SSL_AD_NO_RENEGOTIATION);
    say(e.server, "still here");
    for (i = 0; i < 3; i++)
        assert_int_equal(read_code(e.server) == SHS_TLS, 0);
    close_ends(&e);
}

/* The client changes its keys `times` times, each followed by a byte: the server's last answer. */
static int flood(int times, int kind, struct ends *e)
{
    size_t put;
    int i, rc = SHS_OK;

    for (i = 0; i < times && rc == SHS_OK; i++) {
        assert_int_equal(SSL_key_update(e->client->ssl, kind), 1);
        assert_int_equal(shs__stream_write(&e->client->base, "x", 1, &put), SHS_OK);
        assert_int_equal(shs__stream_flush(&e->client->base), SHS_OK);
        rc = read_code(e->server);
    }
    return rc;
}

static void a_flood_of_key_updates_ends(void **state)
{
    struct ends e;

    SHS_UNUSED(state);
    open_ends(&e, TLS1_3_VERSION, 65536, 0);
    meet(&e);
    assert_int_equal(flood(SHS_TLS_KEY_UPDATES_MAX, SSL_KEY_UPDATE_REQUESTED, &e), SHS_OK);
    say(e.server, "fine");
    hears(e.client, "fine");
    close_ends(&e);

    open_ends(&e, TLS1_3_VERSION, 65536, 0);
    meet(&e);
    assert_int_equal(flood(1000, SSL_KEY_UPDATE_NOT_REQUESTED, &e), SHS_TLS);
    assert_int_equal(e.server->key_updates, SHS_TLS_KEY_UPDATES_MAX);
    assert_int_equal(e.server->why, SHS_TLS_WHY_KEY_UPDATES);
    describes(e.server, SHS_TLS, "new keys");
    assert_int_equal(read_code(e.server), SHS_TLS);
    close_ends(&e);
}

/* Writes until it must wait, and leaves room for not even an alert: how much was written. */
static size_t fill_up(struct ends *e)
{
    char data[8192];
    size_t put, sent = 0;
    int i, rc = SHS_OK;

    memset(data, 'x', sizeof data);
    for (i = 0; i < 100 && rc == SHS_OK; i++) {
        rc = shs__stream_write(&e->server->base, data, sizeof data, &put);
        sent += rc == SHS_OK ? put : 0;
    }
    assert_int_equal(rc, SHS_WAIT_WRITE);
    e->server->bio.out.ceiling = e->server->bio.out.len + 20;
    return sent;
}

static void drain(struct ends *e, size_t sent)
{
    char data[8192];
    size_t got, seen = 0;
    int i;

    for (i = 0; i < 100 && seen < sent; i++) {
        if (shs__stream_read(&e->client->base, data, sizeof data, &got) == SHS_OK)
            seen += got;
        else
            (void)shs__stream_flush(&e->server->base);
    }
    assert_int_equal(seen, sent);
    e->server->bio.out.ceiling = SHS_TLS_OUT_CEILING;
}

/* The peer asks for new keys, and for an end, and reads nothing: we wait, and lose nothing. */
static void what_we_owe_waits_for_room(void **state)
{
    struct ends e;
    size_t put, sent;

    SHS_UNUSED(state);
    open_ends(&e, TLS1_3_VERSION, 20000, 0);
    meet(&e);
    sent = fill_up(&e);
    assert_int_equal(SSL_key_update(e.client->ssl, SSL_KEY_UPDATE_REQUESTED), 1);
    say(e.client, "after the key");
    hears(e.server, "after the key");
    assert_int_equal(shs__stream_write(&e.server->base, "x", 1, &put), SHS_WAIT_WRITE);
    drain(&e, sent);
    say(e.server, "new key");
    hears(e.client, "new key");
    assert_int_equal(e.client->key_updates, 1);
    close_ends(&e);

    open_ends(&e, TLS1_3_VERSION, 20000, 0);
    meet(&e);
    sent = fill_up(&e);
    assert_int_equal(shs__stream_shutdown(&e.server->base), SHS_WAIT_WRITE);
    drain(&e, sent);
    assert_int_equal(shs__stream_shutdown(&e.server->base), SHS_OK);
    assert_int_equal(read_code(e.client), SHS_CLOSED);
    assert_int_equal(e.client->why, SHS_TLS_WHY_CLOSE_NOTIFY);
    close_ends(&e);
}

/* Not even a handshake's flight may pass the ceiling: it waits in the middle, and goes on. */
static void a_flight_waits_for_room(void **state)
{
    struct ends e;
    char waste[600];
    size_t got, total = 0;
    int i;

    SHS_UNUSED(state);
    open_ends(&e, TLS1_2_VERSION, 600, 0);
    e.server->bio.out.ceiling = 600;
    (void)shs__tls_stream_handshake(e.client);
    for (i = 0; i < 10; i++) {
        int rc = shs__tls_stream_handshake(e.server);

        if (rc == SHS_WAIT_READ)
            break;
        assert_int_equal(rc, i == 0 ? SHS_WAIT_WRITE : rc);
        while (shs__stream_read(e.far, waste, sizeof waste, &got) == SHS_OK)
            total += got;
    }
    assert_true(i > 0 && i < 10);
    while (shs__stream_read(e.far, waste, sizeof waste, &got) == SHS_OK)
        total += got;
    assert_true(total > 600);
    close_ends(&e);
}

/* Our own key is changed in time; TLS 1.2, which cannot, ends the connection. */
static void keys_do_not_seal_for_ever(void **state)
{
    struct ends e;
    size_t put;

    SHS_UNUSED(state);
    open_ends(&e, TLS1_3_VERSION, 65536, 0);
    meet(&e);
    e.server->records_left = 2;
    say(e.server, "one");
    hears(e.client, "one");
    assert_int_equal(e.client->key_updates, 0);
    say(e.server, "two");
    hears(e.client, "two");
    assert_int_equal(e.client->key_updates, 1);
    close_ends(&e);

    open_ends(&e, TLS1_2_VERSION, 65536, 0);
    meet(&e);
    e.server->records_left = 1;
    assert_int_equal(shs__stream_write(&e.server->base, "x", 1, &put), SHS_TLS);
    describes(e.server, SHS_TLS, "one key of TLS 1.2");
    close_ends(&e);
}

static void close_notify_is_told_from_truncation(void **state)
{
    struct ends e;
    size_t put;
    int version;

    SHS_UNUSED(state);
    for (version = TLS1_2_VERSION; version <= TLS1_3_VERSION; version++) {
        open_ends(&e, version, 65536, 0);
        meet(&e);
        say(e.client, "bye");
        assert_int_equal(shs__stream_shutdown(&e.client->base), SHS_OK);
        hears(e.server, "bye");
        assert_int_equal(read_code(e.server), SHS_CLOSED);
        assert_int_equal(read_code(e.server), SHS_CLOSED);
        assert_int_equal(e.server->base.sys_errno, 0);
        assert_int_equal(e.server->why, SHS_TLS_WHY_CLOSE_NOTIFY);
        describes(e.server, SHS_CLOSED, "closed the TLS session");
        assert_int_equal(shs__stream_shutdown(&e.server->base), SHS_OK);
        assert_int_equal(read_code(e.client), SHS_CLOSED);
        assert_int_equal(e.client->why, SHS_TLS_WHY_CLOSE_NOTIFY);
        close_ends(&e);

        open_ends(&e, version, 65536, 0);
        meet(&e);
        say(e.client, "bye");
        assert_int_equal(shs__stream_shutdown(e.far), SHS_OK); /* FIN, no close_notify */
        hears(e.server, "bye");
        assert_int_equal(read_code(e.server), SHS_CLOSED);
        assert_int_equal(read_code(e.server), SHS_CLOSED);
        assert_int_equal(e.server->base.sys_errno, EPROTO);
        describes(e.server, SHS_CLOSED, "without ending the TLS session");
        say(e.server, "the answer"); /* may still be given */
        hears(e.client, "the answer");
        assert_int_equal(shs__stream_shutdown(&e.server->base), SHS_OK);
        assert_int_equal(read_code(e.client), SHS_CLOSED);
        assert_int_equal(e.client->why, SHS_TLS_WHY_CLOSE_NOTIFY);
        assert_int_equal(shs__stream_write(&e.server->base, "x", 1, &put), SHS_CLOSED);
        close_ends(&e);
    }
}

static void before_the_handshake_nothing_is_said(void **state)
{
    struct ends e;
    char buf[16];
    size_t got;

    SHS_UNUSED(state);
    open_ends(&e, 0, 65536, 0);
    assert_int_equal(shs__stream_shutdown(&e.server->base), SHS_OK);
    assert_int_equal(shs__stream_read(e.far, buf, sizeof buf, &got), SHS_CLOSED);
    close_ends(&e);

    open_ends(&e, 0, 65536, 0);
    assert_int_equal(shs__stream_shutdown(e.far), SHS_OK);
    assert_int_equal(shs__tls_stream_handshake(e.server), SHS_CLOSED);
    assert_int_equal(shs__tls_stream_handshake(e.server), SHS_CLOSED);
    assert_int_equal(e.server->bio.bytes_in, 0);
    describes(e.server, SHS_CLOSED, "during the TLS handshake");
    assert_int_equal(shs__stream_shutdown(&e.server->base), SHS_OK);
    assert_int_equal(shs__stream_read(e.far, buf, sizeof buf, &got), SHS_CLOSED);
    close_ends(&e);
}

/* -- failures below ---------------------------------------------------------------------------- */

static void failures_of_the_lower_stream_pass_through(void **state)
{
    struct ends e;
    size_t put;

    SHS_UNUSED(state);
    open_ends(&e, 0, 65536, 0);
    shs__memory_stream_fail(e.near, 'r', ETIMEDOUT);
    e.server->bio.lower = e.near;
    assert_int_equal(shs__tls_stream_handshake(e.server), SHS_IO);
    assert_int_equal(e.server->base.sys_errno, ETIMEDOUT);
    describes(e.server, SHS_IO, "imed out");
    close_ends(&e);

    open_ends(&e, 0, 65536, 0);
    meet(&e);
    e.server->bio.lower = e.near;
    shs__memory_stream_fail(e.near, 'w', ENETDOWN);
    assert_int_equal(shs__stream_write(&e.server->base, "x", 1, &put), SHS_OK); /* held */
    assert_int_equal(shs__stream_flush(&e.server->base), SHS_IO);
    assert_int_equal(shs__stream_write(&e.server->base, "x", 1, &put), SHS_IO);
    describes(e.server, SHS_IO, "Network is down");
    close_ends(&e);

    open_ends(&e, 0, 65536, 0);
    meet(&e);
    close_client(&e);
    assert_int_equal(shs__stream_write(&e.server->base, "x", 1, &put), SHS_OK);
    assert_int_equal(shs__stream_flush(&e.server->base), SHS_CLOSED);
    assert_int_equal(e.server->base.sys_errno, EPIPE);
    close_ends(&e);
}

static void a_broken_record_is_fatal(void **state)
{
    struct ends e;
    char forged[] = "\x17\x03\x03\x00\x20"
                    "0123456789abcdef0123456789abcdef";

    SHS_UNUSED(state);
    open_ends(&e, TLS1_3_VERSION, 65536, 0);
    meet(&e);
    push_raw(&e, forged, sizeof forged - 1);
    assert_int_equal(read_code(e.server), SHS_TLS);
    assert_int_equal(read_code(e.server), SHS_TLS);
    assert_int_equal(e.server->alert_out, SSL_AD_BAD_RECORD_MAC);
    describes(e.server, SHS_TLS, "alert 20");
    assert_false(shs__stream_pending(&e.server->base));
    assert_int_equal(shs__stream_shutdown(&e.server->base), SHS_OK);
    assert_int_equal(read_code(e.client), SHS_TLS);
    assert_int_equal(e.client->alert_in, SSL_AD_BAD_RECORD_MAC);
    close_ends(&e);
}

static void half_a_record_is_not_pending(void **state)
{
    struct ends e;
    char wire[512];
    size_t put, got = 0;

    SHS_UNUSED(state);
    open_ends(&e, TLS1_3_VERSION, 65536, 0);
    meet(&e);
    assert_int_equal(shs__stream_write(&e.client->base, "in two parts", 12, &put), SHS_OK);
    got = e.client->bio.out.len;
    assert_true(got < sizeof wire);
    memcpy(wire, shs__buf_head(&e.client->bio.out), got);
    shs__buf_consume(&e.client->bio.out, got);
    push_raw(&e, wire, got / 2);
    assert_int_equal(read_code(e.server), SHS_WAIT_READ);
    assert_false(shs__stream_pending(&e.server->base)); /* or its caller would never wait */
    push_raw(&e, wire + got / 2, got - got / 2);
    hears(e.server, "in two parts");
    close_ends(&e);
}

/* What a reload counts on: the old context lives as long as its last connection. */
static void a_context_lives_as_long_as_its_streams(void **state)
{
    struct ends e;

    SHS_UNUSED(state);
    open_ends(&e, 0, 65536, 0);
    shs__tls_context_free(e.server_context);
    e.server_context = NULL;
    meet(&e);
    say(e.server, "still here");
    hears(e.client, "still here");
    close_ends(&e);
}

static void find_sees_through_a_stack(void **state)
{
    struct ends e;

    SHS_UNUSED(state);
    open_ends(&e, 0, 65536, 0);
    assert_ptr_equal(shs__tls_stream_find(&e.server->base), e.server);
    assert_null(shs__tls_stream_find(e.near));
    assert_null(shs__tls_stream_find(NULL));
    close_ends(&e);
}

static int make_lab(void **state)
{
    SHS_UNUSED(state);
    lab_open(&lab, SHS_KEY_P256);
    return 0;
}

static int end_lab(void **state)
{
    SHS_UNUSED(state);
    lab_close(&lab);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(handshakes_in_any_pieces),
        cmocka_unit_test(reading_shakes_hands),
        cmocka_unit_test(half_a_hello_waits),
        cmocka_unit_test(one_send_per_flight_and_answer),
        cmocka_unit_test(a_waiting_read_sends_the_ticket),
        cmocka_unit_test(many_records_leave_at_once),
        cmocka_unit_test(garbage_gets_an_alert),
        cmocka_unit_test(what_is_no_tls_is_refused),
        cmocka_unit_test(plain_http_gets_a_readable_answer),
        cmocka_unit_test(old_versions_are_refused),
        cmocka_unit_test(suites_without_forward_secrecy_are_refused),
        cmocka_unit_test(what_we_do_not_offer_is_named),
        cmocka_unit_test(a_client_says_that_it_has_expired),
        cmocka_unit_test(a_client_that_does_not_trust_us_says_so),
        cmocka_unit_test(alpn_is_http11_or_nothing),
        cmocka_unit_test(one_ticket_resumes),
        cmocka_unit_test(renegotiation_is_refused),
        cmocka_unit_test(a_flood_of_key_updates_ends),
        cmocka_unit_test(what_we_owe_waits_for_room),
        cmocka_unit_test(a_flight_waits_for_room),
        cmocka_unit_test(keys_do_not_seal_for_ever),
        cmocka_unit_test(close_notify_is_told_from_truncation),
        cmocka_unit_test(before_the_handshake_nothing_is_said),
        cmocka_unit_test(failures_of_the_lower_stream_pass_through),
        cmocka_unit_test(a_broken_record_is_fatal),
        cmocka_unit_test(half_a_record_is_not_pending),
        cmocka_unit_test(a_context_lives_as_long_as_its_streams),
        cmocka_unit_test(find_sees_through_a_stack),
    };

    return cmocka_run_group_tests(tests, make_lab, end_lab);
}
