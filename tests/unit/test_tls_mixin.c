/* test_tls_mixin.c - TLSMixIn in a server, over loopback. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <stdio.h>
#include <sys/socket.h>
#include <unistd.h>

#include <shs/secure_http_server.h>
#include <shs/shs.h>

#include "loopback.h"
#include "patience.h"
#include "tls/config/config.h"
#include "tls/config/context.h"
#include "tls/wire/mixin.h"
#include "tls_lab.h"

/* -- a handler that says what it knows of its session, then echoes ----------------------------- */

static int session_handle(struct shs_request_handler *self)
{
    struct shs_tls_info info;
    char buf[512];
    size_t got = 0;
    int rc;

    if (!shs_conn_tls_info(self->request, &info))
        return shs_conn_fail(self->request, SHS_USAGE, 0, "no TLS below the handler");
    snprintf(buf, sizeof buf, "%s %s sni=%s alpn=%s resumed=%d\n", info.version, info.cipher,
             info.sni, info.alpn, info.resumed);
    rc = shs_conn_write(self->request, buf, strlen(buf));
    while (rc == SHS_OK && (rc = shs_conn_read(self->request, buf, sizeof buf, &got)) == SHS_OK)
        rc = shs_conn_write(self->request, buf, got);
    return rc == SHS_CLOSED ? SHS_OK : rc;
}

static const struct shs_request_handler_class session_class = {
    .name = "Session",
    .instance_size = sizeof(struct shs_request_handler),
    .handle = session_handle,
};

/* -- a server on its own thread, and a layer that keeps the errors ----------------------------- */

struct fixture {
    struct shs_layer layer;
    struct shs_server *server;
    pthread_t thread;
    pthread_mutex_t lock;
    unsigned errors, shutdowns;
    struct shs_error last;
};

static void keep_error(struct shs_layer *layer, struct shs_conn *conn, const struct shs_error *err)
{
    struct fixture *f = SHS_CONTAINER_OF(layer, struct fixture, layer);

    SHS_UNUSED(conn);
    pthread_mutex_lock(&f->lock);
    f->errors++;
    f->last = *err;
    pthread_mutex_unlock(&f->lock);
}

static void count_shutdown(struct shs_layer *layer, struct shs_conn *conn)
{
    struct fixture *f = SHS_CONTAINER_OF(layer, struct fixture, layer);

    pthread_mutex_lock(&f->lock);
    f->shutdowns++;
    pthread_mutex_unlock(&f->lock);
    shs_super_shutdown_request(layer, conn);
}

static const struct shs_server_ops keeper_ops = {
    .name = "Keeper",
    .handle_error = keep_error,
    .shutdown_request = count_shutdown,
};

/* Longer than a machine stands still. */
#define LONG_MS 60000

static void start_with(struct fixture *f, unsigned handshake_ms, const char *const *alpn)
{
    struct shs_tls_simple_config simple;
    struct shs_options opt = group_lab.opt;
    struct shs_error err = {.code = SHS_OK};

    memset(f, 0, sizeof *f);
    pthread_mutex_init(&f->lock, NULL);
    opt.bind_and_activate = false;
    opt.handshake_ms = handshake_ms;
    opt.idle_ms = LONG_MS;
    opt.stop_ms = LONG_MS;
    opt.close_ms = 500;
    assert_int_equal(shs_tcp_server_new(&f->server, &opt, &session_class, &err), SHS_OK);
    shs__tls_simple_config(&simple, &opt);
    simple.config.alpn = alpn;
    if (shs_tls_mixin_push_config(f->server, &simple.config, &err) != SHS_OK)
        fail_msg("%s", err.text);
    assert_int_equal(shs_threading_mixin_push(f->server, &err), SHS_OK);
    assert_int_equal(shs_server_push(f->server, &f->layer, &keeper_ops), SHS_OK);
    assert_string_equal(shs_server_describe(f->server),
                        "Keeper > ThreadingMixIn > TLSMixIn > TCPServer > BaseServer");
    assert_int_equal(shs_server_bind_and_activate(f->server, &err), SHS_OK);
    assert_int_equal(pthread_create(&f->thread, NULL, loopback_serve, f->server), 0);
}

static void start(struct fixture *f, unsigned handshake_ms)
{
    start_with(f, handshake_ms, NULL);
}

/* Ends the server, and with it every conversation: then the counts are final. */
static void stop(struct fixture *f)
{
    void *rc = NULL;

    assert_int_equal(shs_shutdown_wait(f->server, (unsigned)patience_ms()), SHS_OK);
    pthread_join(f->thread, &rc);
    assert_int_equal((intptr_t)rc, SHS_OK);
    shs_server_free(f->server);
    pthread_mutex_destroy(&f->lock);
}

/* Until that many conversations have ended; patience_ms at most. */
static void wait_for_ends(struct fixture *f, unsigned count)
{
    unsigned seen = 0;
    int i;

    for (i = 0; i < patience_ms() / 10 && seen < count; i++) {
        pthread_mutex_lock(&f->lock);
        seen = f->shutdowns;
        pthread_mutex_unlock(&f->lock);
        if (seen < count)
            poll(NULL, 0, 10);
    }
    assert_int_equal(seen, count);
}

/* -- clients ----------------------------------------------------------------------------------- */

static int dial(const struct fixture *f)
{
    return loopback_dial(shs_server_port(f->server));
}

/* All that comes until the end of the stream, within patience_ms each; -1 instead of a reset. */
static ssize_t hear_all(int fd, char *buf, size_t cap)
{
    struct pollfd p = {.fd = fd, .events = POLLIN};
    size_t len = 0;
    ssize_t n = 1;

    while (n > 0 && len < cap - 1) {
        assert_int_equal(poll(&p, 1, patience_ms()), 1);
        n = recv(fd, buf + len, cap - 1 - len, 0);
        if (n < 0)
            return -1;
        len += (size_t)n;
    }
    buf[len] = '\0';
    return (ssize_t)len;
}

struct client {
    int fd;
    struct shs_socket_stream socket;
    struct shs_tls_context *context;
    struct shs_tls_stream *tls;
};

static void open_client(struct client *c, const struct fixture *f, int version)
{
    memset(c, 0, sizeof *c);
    c->fd = dial(f);
    assert_int_equal(fcntl(c->fd, F_SETFL, O_NONBLOCK), 0);
    shs__socket_stream_init(&c->socket, c->fd);
    c->context = lab_client(&group_lab, version);
    assert_int_equal(shs__tls_stream_new(&c->tls, c->context, &c->socket.base), SHS_OK);
    SSL_set_tlsext_host_name(c->tls->ssl, "localhost");
}

static void close_client(struct client *c)
{
    c->tls->base.cls->free(&c->tls->base);
    shs__tls_context_free(c->context);
    close(c->fd);
}

static void wait_client(const struct client *c, int what)
{
    struct pollfd p = {.fd = c->fd, .events = what == SHS_WAIT_READ ? POLLIN : POLLOUT};

    assert_true(what == SHS_WAIT_READ || what == SHS_WAIT_WRITE);
    assert_int_equal(poll(&p, 1, patience_ms()), 1);
}

/* One read: its code, with the text in `buf`. */
static int client_reads(struct client *c, char *buf, size_t cap)
{
    size_t got = 0;
    int rc;

    while ((rc = shs__stream_read(&c->tls->base, buf, cap - 1, &got)) > 0)
        wait_client(c, rc);
    buf[rc == SHS_OK ? got : 0] = '\0';
    return rc;
}

static void client_says(struct client *c, const char *text)
{
    size_t put = 0;
    int rc;

    while ((rc = shs__stream_write(&c->tls->base, text, strlen(text), &put)) > 0)
        wait_client(c, rc);
    assert_int_equal(rc, SHS_OK);
    while ((rc = shs__stream_flush(&c->tls->base)) > 0)
        wait_client(c, rc);
    assert_int_equal(rc, SHS_OK);
}

/* -- tests ------------------------------------------------------------------------------------- */

static void serves_both_versions(void **state)
{
    struct fixture f;
    struct client c;
    char buf[512];

    SHS_UNUSED(state);
    start(&f, LONG_MS);
    open_client(&c, &f, TLS1_3_VERSION);
    assert_int_equal(client_reads(&c, buf, sizeof buf), SHS_OK);
    assert_non_null(strstr(buf, "TLSv1.3 TLS_"));
    assert_non_null(strstr(buf, "sni=localhost alpn= resumed=0"));
    client_says(&c, "hello");
    assert_int_equal(client_reads(&c, buf, sizeof buf), SHS_OK);
    assert_string_equal(buf, "hello");
    assert_int_equal(shs__stream_shutdown(&c.tls->base), SHS_OK);
    assert_int_equal(client_reads(&c, buf, sizeof buf), SHS_CLOSED);
    assert_int_equal(c.tls->why, SHS_TLS_WHY_CLOSE_NOTIFY);
    close_client(&c);
    open_client(&c, &f, TLS1_2_VERSION);
    assert_int_equal(client_reads(&c, buf, sizeof buf), SHS_OK);
    assert_non_null(strstr(buf, "TLSv1.2 ECDHE-ECDSA-"));
    close_client(&c);
    wait_for_ends(&f, 2);
    stop(&f);
}

/* Other keys than P-256: the signature list goes by the key. */
static void other_keys_serve_both_versions(void **state)
{
    static const enum shs_key_kind kinds[] = {SHS_KEY_RSA2048, SHS_KEY_P384};
    struct tls_lab p256 = group_lab;
    struct fixture f;
    struct client c;
    char buf[512];
    size_t i;
    int version;

    SHS_UNUSED(state);
    for (i = 0; i < SHS_ARRAY_LEN(kinds); i++) {
        lab_open(&group_lab, kinds[i]);
        start(&f, LONG_MS);
        for (version = TLS1_2_VERSION; version <= TLS1_3_VERSION; version++) {
            open_client(&c, &f, version);
            assert_int_equal(client_reads(&c, buf, sizeof buf), SHS_OK);
            if (version == TLS1_2_VERSION)
                assert_non_null(strstr(buf, i == 0 ? " ECDHE-RSA-" : " ECDHE-ECDSA-"));
            close_client(&c);
        }
        wait_for_ends(&f, 2);
        stop(&f);
        lab_close(&group_lab);
    }
    group_lab = p256;
}

/* What the handler is told of ALPN and of a session that is resumed. */
static void the_handler_knows_its_session(void **state)
{
    static const unsigned char alpn[] = "\x02h2\x08http/1.1";
    SSL_SESSION *session = NULL;
    struct fixture f;
    struct client c;
    char buf[512];
    int i;

    SHS_UNUSED(state);
    start(&f, LONG_MS);
    for (i = 0; i < 2; i++) {
        open_client(&c, &f, 0);
        SSL_set_alpn_protos(c.tls->ssl, alpn, sizeof alpn - 1);
        if (session != NULL)
            SSL_set_session(c.tls->ssl, session);
        assert_int_equal(client_reads(&c, buf, sizeof buf), SHS_OK);
        /* A TCPServer speaks what it likes: what a client offers is not looked at. */
        assert_non_null(strstr(buf, "sni=localhost alpn= "));
        assert_non_null(strstr(buf, i == 0 ? "resumed=0" : "resumed=1"));
        SSL_SESSION_free(session);
        session = SSL_get1_session(c.tls->ssl);
        assert_int_equal(shs__stream_shutdown(&c.tls->base), SHS_OK);
        close_client(&c);
    }
    SSL_SESSION_free(session);
    wait_for_ends(&f, 2);
    assert_int_equal(f.errors, 0);
    stop(&f);
}

/* Protocols of one's own: the first of ours that the client has, none for who offers none, and an
   alert for who has others only. */
static void protocols_are_the_owners(void **state)
{
    static const char *const ours[] = {"mqtt", "coap", NULL};
    static const struct {
        const char *offers;
        int code;
        const char *says;
    } cases[] = {{"\x04"
                  "coap\x04mqtt",
                  SHS_OK, "alpn=mqtt "},
                 {"\x02h2\x04"
                  "coap",
                  SHS_OK, "alpn=coap "},
                 {"", SHS_OK, "alpn= "},
                 {"\x02h2\x08http/1.1", SHS_TLS, ""},
                 {"\x03mqt", SHS_TLS, ""},
                 {"\x05mqttx", SHS_TLS, ""}};
    size_t i;

    SHS_UNUSED(state);
    for (i = 0; i < SHS_ARRAY_LEN(cases); i++) {
        struct fixture f;
        struct client c;
        char buf[512];

        start_with(&f, LONG_MS, ours);
        open_client(&c, &f, 0);
        SSL_set_alpn_protos(c.tls->ssl, (const unsigned char *)cases[i].offers,
                            (unsigned)strlen(cases[i].offers));
        assert_int_equal(client_reads(&c, buf, sizeof buf), cases[i].code);
        assert_non_null(strstr(buf, cases[i].says));
        close_client(&c);
        wait_for_ends(&f, 1);
        stop(&f);
    }
}

#define CROWD 6
#define VISITS 5

struct visitor {
    pthread_t thread;
    const struct fixture *f;
    bool good;
};

/* Says what it found instead of asserting it: a failed assert belongs to the main thread. */
static void *visit(void *arg)
{
    struct visitor *v = arg;
    struct client c;
    char buf[512];
    size_t got = 0;
    int i, rc;

    for (i = 0, v->good = true; i < VISITS && v->good; i++) {
        struct pollfd p = {.events = POLLIN};
        int64_t deadline = shs_now_ns() + patience_ms() * (int64_t)SHS_NS_PER_MS;

        open_client(&c, v->f, i % 2 == 0 ? TLS1_3_VERSION : TLS1_2_VERSION);
        p.fd = c.fd;
        while ((rc = shs__stream_read(&c.tls->base, buf, sizeof buf, &got)) == SHS_WAIT_READ &&
               shs_now_ns() < deadline)
            poll(&p, 1, 100);
        v->good = rc == SHS_OK && got > 20 && memcmp(buf, "TLSv1.", 6) == 0;
        close_client(&c);
    }
    return NULL;
}

/* Handshakes in many threads at once, on one context: for the thread sanitizer, above all. */
static void a_crowd_is_served(void **state)
{
    struct visitor crowd[CROWD];
    struct fixture f;
    int i;

    SHS_UNUSED(state);
    start(&f, LONG_MS);
    for (i = 0; i < CROWD; i++) {
        crowd[i].f = &f;
        assert_int_equal(pthread_create(&crowd[i].thread, NULL, visit, &crowd[i]), 0);
    }
    for (i = 0; i < CROWD; i++) {
        pthread_join(crowd[i].thread, NULL);
        assert_true(crowd[i].good);
    }
    wait_for_ends(&f, CROWD * VISITS);
    stop(&f);
}

static void a_silent_client_delays_nobody(void **state)
{
    struct fixture f;
    struct client c;
    char buf[512];
    int silent;

    SHS_UNUSED(state);
    start(&f, 3000); /* the other one has to be through by then, although the machine is slow */
    stopwatch_start();
    silent = dial(&f);
    open_client(&c, &f, 0);
    assert_int_equal(client_reads(&c, buf, sizeof buf), SHS_OK);
    assert_true(stopwatch_between(0, 2500));
    /* The silent one is cut off at its deadline, without lingering ... */
    assert_int_equal(hear_all(silent, buf, sizeof buf), 0);
    assert_true(stopwatch_between(3000, 3000 + 1000));
    stopwatch_stop();
    wait_for_ends(&f, 1);
    assert_int_equal(f.errors, 1);
    assert_int_equal(f.last.code, SHS_TIMEOUT);
    assert_non_null(strstr(f.last.text, "3000 ms"));
    /* ... and that deadline does not touch a session that is complete. */
    client_says(&c, "still here");
    assert_int_equal(client_reads(&c, buf, sizeof buf), SHS_OK);
    assert_string_equal(buf, "still here");
    close_client(&c);
    close(silent);
    stop(&f);
}

/* A byte now and then does not move the deadline. */
static void a_dripping_client_is_cut_off(void **state)
{
    static const char hello[5 + 512] = "\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03 and then more";
    struct fixture f;
    size_t i;
    int fd;

    SHS_UNUSED(state);
    start(&f, 300);
    stopwatch_start();
    fd = dial(&f);
    for (i = 0; i < sizeof hello - 1; i++) { /* it would take twenty seconds */
        struct pollfd p = {.fd = fd, .events = POLLIN};

        if (send(fd, hello + i, 1, MSG_NOSIGNAL) != 1 || poll(&p, 1, 40) != 0)
            break;
    }
    assert_true(i < sizeof hello - 1);
    assert_true(stopwatch_between(300, 300 + 1000));
    stopwatch_stop();
    wait_for_ends(&f, 1);
    assert_int_equal(f.last.code, SHS_TIMEOUT);
    close(fd);
    stop(&f);
}

/* Who speaks on this connection has no words of HTTP: it ends, and nobody reads its own text. */
static void plain_text_ends_without_an_answer(void **state)
{
    static const char request[] = "GET / HTTP/1.1\r\nHost: localhost\r\n\r\n";
    struct fixture f;
    char buf[2048];
    int fd;

    SHS_UNUSED(state);
    start(&f, LONG_MS);
    fd = dial(&f);
    assert_int_equal(send(fd, request, sizeof request - 1, MSG_NOSIGNAL), sizeof request - 1);
    assert_int_equal(hear_all(fd, buf, sizeof buf), 0);
    close(fd);
    wait_for_ends(&f, 1);
    assert_int_equal(f.errors, 1);
    assert_int_equal(f.last.code, SHS_TLS);
    assert_non_null(strstr(f.last.text, "plain HTTP"));
    stop(&f);
}

/* The handler of a TCPServer would be reached by who is not let in: that is no place to explain. */
static void only_http_can_explain(void **state)
{
    struct shs_tls_simple_config simple;
    struct shs_options opt = group_lab.opt;
    struct shs_error err = {.code = SHS_OK};
    struct shs_server *server;

    SHS_UNUSED(state);
    opt.bind_and_activate = false;
    assert_int_equal(shs_tcp_server_new(&server, &opt, &session_class, &err), SHS_OK);
    shs__tls_simple_config(&simple, &opt);
    simple.host.client_auth = SHS_TLS_CLIENT_EXPLAIN;
    simple.host.client_ca = "/dev/null";
    assert_int_equal(shs_tls_mixin_push_config(server, &simple.config, &err), SHS_USAGE);
    assert_non_null(strstr(err.text, "HTTP"));
    assert_string_equal(shs_server_describe(server), "TCPServer > BaseServer");
    shs_server_free(server);
}

/* SecureHTTPServer takes a whole configuration in one call, and refuses what contradicts itself. */
static void one_call_for_a_configuration(void **state)
{
    static const struct shs_http_handler nothing = {.name = "nothing"};
    struct shs_tls_simple_config simple;
    struct shs_options opt = group_lab.opt, bare;
    struct shs_error err = {.code = SHS_OK};
    SecureHTTPServer *server = NULL;

    SHS_UNUSED(state);
    shs__tls_simple_config(&simple, &opt);
    simple.host.client_auth = SHS_TLS_CLIENT_EXPLAIN; /* as only HTTP can */
    simple.host.client_ca = opt.certfile;
    shs_options_init(&bare); /* no certificate in here */
    if (opt.certfile == NULL)
        simple.host.client_auth = SHS_TLS_CLIENT_NONE;
    if (shs_secure_http_server_new_config(&server, &bare, &simple.config, &nothing, &err) != SHS_OK)
        fail_msg("%s", err.text);
    assert_string_equal(shs_server_describe(server),
                        "ThreadPoolMixIn > TLSMixIn > HTTPServer > TCPServer > BaseServer");
    assert_true(shs_server_port(server) > 0);
    shs_server_free(server);
    simple.config.host_count = 0;
    assert_int_equal(
        shs_secure_http_server_new_config(&server, &bare, &simple.config, &nothing, &err),
        SHS_USAGE);
    assert_int_equal(shs_secure_http_server_new_config(&server, &bare, NULL, &nothing, &err),
                     SHS_USAGE); /* neither */
}

/* The alert arrives although the client has sent far more than was read: no reset eats it. */
static void the_alert_arrives(void **state)
{
    struct fixture f;
    char buf[8192];
    int fd;

    SHS_UNUSED(state);
    start(&f, LONG_MS);
    fd = dial(&f);
    memset(buf, 'x', sizeof buf);
    memcpy(buf, "\x16\x03\x01\x00\x40", 5);
    assert_int_equal(send(fd, buf, sizeof buf, MSG_NOSIGNAL), sizeof buf);
    assert_int_equal(hear_all(fd, buf, sizeof buf), 7);
    assert_int_equal(buf[0], 21);
    close(fd);
    wait_for_ends(&f, 1);
    assert_int_equal(f.last.code, SHS_TLS);
    assert_true(f.last.tls_code != 0);
    stop(&f);
}

static void who_says_nothing_is_no_error(void **state)
{
    struct fixture f;
    char buf[64];
    int fd;

    SHS_UNUSED(state);
    start(&f, LONG_MS);
    fd = dial(&f); /* a health check */
    shutdown(fd, SHUT_WR);
    assert_int_equal(hear_all(fd, buf, sizeof buf), 0);
    close(fd);
    wait_for_ends(&f, 1);
    assert_int_equal(f.errors, 0);
    fd = dial(&f); /* and one that gives up in the middle is one */
    assert_int_equal(send(fd, "\x16\x03", 2, MSG_NOSIGNAL), 2);
    shutdown(fd, SHUT_WR);
    assert_int_equal(hear_all(fd, buf, sizeof buf), 0);
    close(fd);
    wait_for_ends(&f, 2);
    assert_int_equal(f.errors, 1);
    assert_int_equal(f.last.code, SHS_CLOSED);
    assert_non_null(strstr(f.last.text, "during the TLS handshake"));
    stop(&f);
}

static void closing_ends_a_handshake(void **state)
{
    struct fixture f;
    char buf[64];
    int64_t began;
    int fd;

    SHS_UNUSED(state);
    start(&f, LONG_MS);
    fd = dial(&f);
    assert_int_equal(send(fd, "\x16\x03", 2, MSG_NOSIGNAL), 2);
    poll(NULL, 0, 50);
    began = shs_now_ns();
    stop(&f);
    assert_true(shs_now_ns() - began < LONG_MS / 2 * (int64_t)SHS_NS_PER_MS);
    assert_true(hear_all(fd, buf, sizeof buf) <= 0);
    close(fd);
}

static void a_bad_certificate_is_told_when_pushed(void **state)
{
    struct shs_server *server = NULL;
    struct shs_options opt;
    struct shs_error err;

    SHS_UNUSED(state);
    shs_options_init(&opt);
    opt.bind_and_activate = false;
    opt.certfile = "/nonexistent/cert.pem";
    assert_int_equal(shs_tcp_server_new(&server, &opt, &session_class, NULL), SHS_OK);
    assert_int_equal(shs_tls_mixin_push(server, &err), SHS_TLS);
    assert_int_equal(err.sys_errno, ENOENT);
    assert_non_null(strstr(err.text, "/nonexistent/cert.pem"));
    assert_string_equal(shs_server_describe(server), "TCPServer > BaseServer");
    shs_server_free(server);
}

static void keep_line(void *ctx, enum shs_log_level level, const char *line)
{
    if (level == SHS_LOG_WARNING)
        snprintf(ctx, 256, "%s", line);
}

static void an_owner_is_told_of_a_date_that_nears(void **state)
{
    struct shs_server *server = NULL;
    struct shs_options opt = group_lab.opt;
    struct shs_error err;
    struct shs_buf pem;
    char line[256] = "";
    int64_t now = (int64_t)time(NULL);
    X509 *leaf = lab_leaf(&group_lab, group_lab.key, now - LAB_DAY, now + 5 * LAB_DAY + 100);

    SHS_UNUSED(state);
    shs__buf_init(&pem, 65536);
    assert_int_equal(shs__mint_cert_pem(&pem, leaf, NULL), SHS_OK);
    opt.bind_and_activate = false;
    opt.cert_pem = shs__buf_head(&pem);
    opt.cert_pem_len = pem.len;
    opt.log = keep_line;
    opt.log_ctx = line;
    assert_int_equal(shs_tcp_server_new(&server, &opt, &session_class, NULL), SHS_OK);
    assert_int_equal(shs_tls_mixin_push(server, &err), SHS_OK);
    assert_non_null(strstr(line, "expires in less than 6 days"));
    shs_server_free(server);
    shs__buf_free(&pem);
    X509_free(leaf);
}

/* A clock that was ahead is set right: what it had passed is told when its time has come. */
static void a_clock_that_is_set_back_is_followed(void **state)
{
    struct shs_server *server = NULL;
    struct shs_options opt = group_lab.opt;
    struct shs_tls_mixin *mixin;
    int64_t due, now = (int64_t)time(NULL);
    char line[256] = "";

    SHS_UNUSED(state);
    opt.bind_and_activate = false;
    opt.log = keep_line;
    opt.log_ctx = line;
    assert_int_equal(shs_tcp_server_new(&server, &opt, &session_class, NULL), SHS_OK);
    assert_int_equal(shs_tls_mixin_push(server, NULL), SHS_OK);
    mixin = shs__tls_mixin_of(server);
    mixin->config.config.clock_offset_s = 1000 * LAB_DAY;
    mixin->context->config->config.clock_offset_s = 1000 * LAB_DAY;
    due = shs__tls_mixin_advise_due(mixin, &mixin->advised);
    assert_true(due == INT64_MAX);
    assert_false(shs__tls_mixin_is_due(mixin, due));
    assert_non_null(strstr(line, "has expired"));
    line[0] = '\0';
    mixin->config.config.clock_offset_s = 0;
    mixin->context->config->config.clock_offset_s = 0;
    assert_true(shs__tls_mixin_is_due(mixin, due));
    due = shs__tls_mixin_advise_due(mixin, &mixin->advised);
    assert_true(due > now + 50 * LAB_DAY && due < now + 61 * LAB_DAY);
    assert_false(shs__tls_mixin_is_due(mixin, due));
    assert_string_equal(line, "");
    mixin->config.config.clock_offset_s = 60 * LAB_DAY + 100;
    mixin->context->config->config.clock_offset_s = 60 * LAB_DAY + 100;
    assert_true(shs__tls_mixin_is_due(mixin, due));
    (void)shs__tls_mixin_advise_due(mixin, &mixin->advised);
    assert_non_null(strstr(line, "expires in less than 30 days"));
    shs_server_free(server);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(serves_both_versions),
        cmocka_unit_test(other_keys_serve_both_versions),
        cmocka_unit_test(the_handler_knows_its_session),
        cmocka_unit_test(protocols_are_the_owners),
        cmocka_unit_test(a_crowd_is_served),
        cmocka_unit_test(a_silent_client_delays_nobody),
        cmocka_unit_test(a_dripping_client_is_cut_off),
        cmocka_unit_test(plain_text_ends_without_an_answer),
        cmocka_unit_test(only_http_can_explain),
        cmocka_unit_test(the_alert_arrives),
        cmocka_unit_test(who_says_nothing_is_no_error),
        cmocka_unit_test(one_call_for_a_configuration),
        cmocka_unit_test(closing_ends_a_handshake),
        cmocka_unit_test(a_bad_certificate_is_told_when_pushed),
        cmocka_unit_test(an_owner_is_told_of_a_date_that_nears),
        cmocka_unit_test(a_clock_that_is_set_back_is_followed),
    };

    return cmocka_run_group_tests(tests, lab_setup, lab_teardown);
}
