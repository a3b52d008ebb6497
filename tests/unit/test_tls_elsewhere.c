/* test_tls_elsewhere.c - a request for a host whose rules its connection was not made by. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include <openssl/ssl.h>

#include <shs/shs.h>

#include "loopback.h"
#include "patience.h"
#include "tls_lab.h"

static struct tls_lab other;
static char ca_path[64], twin_path[64]; /* the CAs of closed.example, and of its twin */

/* Hosts, by number: what each asks for. */
enum { OPEN, CLOSED, ALIKE, TWIN, MODERN, LAX, GROUPS_OF_ITS_OWN, HOSTS };
static const char *const names[HOSTS][3] = {
    {"open.example"},   {"closed.example", "*.closed.example"},
    {"alike.example"},  {"twin.example"},
    {"modern.example"}, {"lax.example"},
    {"groups.example"},
};

/* Who comes, what it asks for, and the answer: from one table, on one connection for each row. */
static const struct row {
    const char *sni;  /* NULL: none */
    const char *host; /* "": HTTP/1.0 without the field */
    int status;
} rows[] = {
    {"open.example", "open.example", 200},
    {"open.example", "OPEN.example.:8443", 200},
    {"open.example", "closed.example", 421},
    {"open.example", "closed.example:443", 421},
    {"open.example", "CLOSED.example.", 421},
    {"open.example", "a.closed.example", 421},
    {"open.example", "lax.example", 421},
    {"open.example", "modern.example", 421},
    {"open.example", "groups.example", 421},
    /* The same is asked of everybody there; another certificate is not a rule. */
    {"open.example", "alike.example", 200},
    {"alike.example", "open.example", 200},
    {"closed.example", "twin.example", 200},
    {"twin.example", "b.closed.example", 200},
    {"a.closed.example", "closed.example", 200},
    /* Whoever showed more has not shown it for the other one. */
    {"closed.example", "open.example", 421},
    {"closed.example", "lax.example", 421},
    {"lax.example", "closed.example", 421},
    {"modern.example", "open.example", 421},
    /* What is nobody's is the first host's, in a ClientHello as in a Host field. */
    {NULL, "open.example", 200},
    {NULL, "closed.example", 421},
    {NULL, "127.0.0.1", 200},
    {"nobody.example", "closed.example", 421},
    {"nobody.example", "somebody.example", 200},
    {"open.example", "nobody.example", 200},
    {"open.example", "[::1]:443", 200},
    {"closed.example", "nobody.example", 421},
    {"closed.example", "127.0.0.1:443", 421},
    {"closed.example", "", 200},
};

static atomic_uint handled;

static int say_ok(struct shs_request *req, struct shs_response *res)
{
    SHS_UNUSED(req);
    atomic_fetch_add(&handled, 1);
    SHS_RETURN_IF_ERROR(shs_send_response(res, 200));
    SHS_RETURN_IF_ERROR(shs_send_length(res, 2));
    SHS_RETURN_IF_ERROR(shs_end_headers(res));
    return shs_write(res, "ok", 2);
}

static const struct shs_http_handler ok_handler = {.do_GET = say_ok, .do_POST = say_ok};

/* -- the server -------------------------------------------------------------------------------- */

struct fixture {
    struct shs_server *server;
    pthread_t thread;
};

static void write_ca(const char *path, X509 *ca)
{
    struct shs_buf pem;
    FILE *f = fopen(path, "w");

    assert_non_null(f);
    shs__buf_init(&pem, 65536);
    assert_int_equal(shs__mint_cert_pem(&pem, ca, NULL), SHS_OK);
    assert_int_equal(fwrite(shs__buf_head(&pem), 1, pem.len, f), pem.len);
    assert_int_equal(fclose(f), 0);
    shs__buf_free(&pem);
}

static struct shs_tls_cert cert_of(const struct tls_lab *from)
{
    return (struct shs_tls_cert){
        .cert_pem = from->opt.cert_pem,
        .cert_pem_len = from->opt.cert_pem_len,
        .key_pem = from->opt.key_pem,
        .key_pem_len = from->opt.key_pem_len,
    };
}

static void start(struct fixture *f, bool pool)
{
    struct shs_tls_cert certs[2] = {cert_of(&group_lab), cert_of(&other)};
    struct shs_tls_host hosts[HOSTS];
    struct shs_tls_config config;
    struct shs_options opt;
    struct shs_error err = {.code = SHS_OK};

    shs_options_init(&opt);
    opt.bind_and_activate = false;
    shs_tls_config_init(&config);
    for (int i = 0; i < HOSTS; i++) {
        shs_tls_host_init(&hosts[i]);
        hosts[i].names = names[i];
        hosts[i].certs = &certs[i % 2];
        hosts[i].cert_count = 1;
    }
    hosts[CLOSED].client_auth = hosts[TWIN].client_auth = hosts[LAX].client_auth =
        SHS_TLS_CLIENT_REQUIRED;
    hosts[CLOSED].client_ca = hosts[LAX].client_ca = ca_path;
    hosts[TWIN].client_ca = twin_path;
    hosts[LAX].client_lax = true;
    hosts[MODERN].policy = SHS_TLS_MODERN;
    hosts[GROUPS_OF_ITS_OWN].groups = "P-384";
    config.hosts = hosts;
    config.host_count = HOSTS;
    assert_int_equal(shs_http_server_new(&f->server, &opt, &ok_handler, &err), SHS_OK);
    if (shs_tls_mixin_push_config(f->server, &config, &err) != SHS_OK)
        fail_msg("%s", err.text);
    if (pool)
        assert_int_equal(shs_thread_pool_mixin_push(f->server, &err), SHS_OK);
    else
        assert_int_equal(shs_threading_mixin_push(f->server, &err), SHS_OK);
    assert_int_equal(shs_server_bind_and_activate(f->server, &err), SHS_OK);
    assert_int_equal(pthread_create(&f->thread, NULL, loopback_serve, f->server), 0);
}

static void stop(struct fixture *f)
{
    void *rc = NULL;

    assert_int_equal(shs_shutdown_wait(f->server, (unsigned)patience_ms()), SHS_OK);
    pthread_join(f->thread, &rc);
    assert_int_equal((intptr_t)rc, SHS_OK);
    shs_server_free(f->server);
}

/* -- a client, which waits in OpenSSL ---------------------------------------------------------- */

struct client {
    SSL_CTX *ctx;
    SSL *ssl;
    int fd;
    X509 *cert;
};

static void open_client(struct client *c, const struct fixture *f, const char *sni, int version)
{
    struct timeval limit = {.tv_sec = patience_ms() / 1000};
    struct shs_cert_spec spec = {
        .common_name = "client",
        .not_before = (int64_t)time(NULL) - LAB_DAY,
        .not_after = (int64_t)time(NULL) + LAB_DAY,
        .client_auth = true,
    };

    c->fd = loopback_dial(shs_server_port(f->server));
    setsockopt(c->fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit);
    c->ctx = SSL_CTX_new(TLS_client_method());
    assert_non_null(c->ctx);
    assert_int_equal(
        shs__mint_cert(&c->cert, &spec, group_lab.key, group_lab.ca, group_lab.ca_key, NULL),
        SHS_OK);
    assert_int_equal(SSL_CTX_use_cert_and_key(c->ctx, c->cert, group_lab.key, NULL, 1), 1);
    SSL_CTX_set_min_proto_version(c->ctx, version);
    SSL_CTX_set_max_proto_version(c->ctx, version);
    c->ssl = SSL_new(c->ctx);
    assert_int_equal(SSL_set_fd(c->ssl, c->fd), 1);
    if (sni != NULL)
        assert_int_equal(SSL_set_tlsext_host_name(c->ssl, sni), 1);
    assert_int_equal(SSL_connect(c->ssl), 1);
}

static void close_client(struct client *c)
{
    SSL_free(c->ssl);
    SSL_CTX_free(c->ctx);
    X509_free(c->cert);
    close(c->fd);
}

/* The status of the answer to a request, whose content has come, too. */
static int ask(struct client *c, const char *method, const char *host)
{
    char buf[4096];
    const char *content = strcmp(method, "POST") == 0 ? "Content-Length: 5\r\n\r\nhello" : "\r\n";
    const char *end = NULL;
    size_t len = 0, wanted = 0;
    int n;

    if (host[0] == '\0')
        n = snprintf(buf, sizeof buf, "%s / HTTP/1.0\r\n%s", method, content);
    else
        n = snprintf(buf, sizeof buf, "%s / HTTP/1.1\r\nHost: %s\r\n%s", method, host, content);
    assert_int_equal(SSL_write(c->ssl, buf, n), n);
    while (end == NULL || len < wanted) {
        n = SSL_read(c->ssl, buf + len, (int)(sizeof buf - 1 - len));
        assert_true(n > 0);
        len += (size_t)n;
        buf[len] = '\0';
        end = strstr(buf, "\r\n\r\n");
        if (end != NULL) {
            const char *field = strstr(buf, "Content-Length: ");

            assert_non_null(field);
            wanted = (size_t)(end + 4 - buf) + strtoul(field + 16, NULL, 10);
        }
    }
    assert_int_equal(strncmp(buf, "HTTP/1.1 ", 9), 0);
    return (int)strtol(buf + 9, NULL, 10);
}

/* -- tests ------------------------------------------------------------------------------------- */

static void check_row(const struct fixture *f, const struct row *row, int version)
{
    unsigned before = atomic_load(&handled);
    const char *own = row->sni == NULL ? "127.0.0.1" : row->sni;
    struct client c;
    int got;

    if (row->sni != NULL && strcmp(row->sni, "modern.example") == 0 && version != TLS1_3_VERSION)
        return;
    open_client(&c, f, row->sni, version);
    got = ask(&c, "GET", row->host);
    if (got != row->status)
        fail_msg("%s on a connection for %s: %d, wanted %d", row->host, own, got, row->status);
    assert_int_equal(atomic_load(&handled), before + (row->status == 200));
    if (row->host[0] != '\0') { /* it goes on: with content, and with its own name */
        assert_int_equal(ask(&c, "POST", row->host), row->status);
        assert_int_equal(ask(&c, "GET", own), 200);
    }
    close_client(&c);
}

static void each_row(bool pool)
{
    struct fixture f;

    start(&f, pool);
    for (size_t i = 0; i < SHS_ARRAY_LEN(rows); i++) {
        check_row(&f, &rows[i], TLS1_3_VERSION);
        check_row(&f, &rows[i], TLS1_2_VERSION);
    }
    stop(&f);
}

static void under_the_pool(void **state)
{
    SHS_UNUSED(state);
    each_row(true);
}

static void under_threads(void **state)
{
    SHS_UNUSED(state);
    each_row(false);
}

/* What the files say now counts: also for connections of before. */
static void after_a_reload(void **state)
{
    struct fixture f;
    struct shs_error err;
    struct client c;

    SHS_UNUSED(state);
    start(&f, true);
    open_client(&c, &f, "closed.example", TLS1_3_VERSION);
    assert_int_equal(ask(&c, "GET", "twin.example"), 200);
    write_ca(twin_path, other.ca);
    assert_int_equal(shs_tls_reload(f.server, &err), SHS_OK);
    assert_int_equal(ask(&c, "GET", "twin.example"), 421);
    assert_int_equal(ask(&c, "GET", "closed.example"), 200);
    close_client(&c);
    stop(&f);
    write_ca(twin_path, group_lab.ca);
}

static int set_up(void **state)
{
    if (lab_setup(state) != 0)
        return -1;
    lab_open(&other, SHS_KEY_P256);
    snprintf(ca_path, sizeof ca_path, "/tmp/shs-test-elsewhere-%ld.pem", (long)getpid());
    snprintf(twin_path, sizeof twin_path, "/tmp/shs-test-elsewhere-%ld-2.pem", (long)getpid());
    write_ca(ca_path, group_lab.ca);
    write_ca(twin_path, group_lab.ca);
    return 0;
}

static int tear_down(void **state)
{
    unlink(ca_path);
    unlink(twin_path);
    lab_close(&other);
    return lab_teardown(state);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(under_the_pool),
        cmocka_unit_test(under_threads),
        cmocka_unit_test(after_a_reload),
    };

    return cmocka_run_group_tests(tests, set_up, tear_down);
}
