/* test_lab.c - the lab in a program: it starts, says what it has, serves, sees, and stops. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <arpa/inet.h>
#include <ctype.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include <openssl/err.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>

#include <shs/certs.h>
#include <shs/lab.h>

#include "base/base.h"
#include "lab/lab.h"

#define PATIENCE_MS 30000

static int start_lab(void **state)
{
    const struct sigaction ignore = {.sa_handler = SIG_IGN};
    struct shs_error err = {.code = SHS_OK};
    struct shs_lab_options o;
    struct shs_lab *lab = NULL;

    sigaction(SIGPIPE, &ignore, NULL);
    shs_lab_options_init(&o);
    o.stall_ms = 500;
    if (shs_lab_start(&lab, &o, &err) != SHS_OK) {
        print_error("%s\n", err.text);
        return -1;
    }
    *state = lab;
    return 0;
}

static int stop_lab(void **state)
{
    char path[256];

    snprintf(path, sizeof path, "%s", shs_lab_ca_path(*state));
    assert_int_equal(access(path, R_OK), 0);
    shs_lab_stop(*state);
    assert_int_not_equal(access(path, F_OK), 0); /* nothing is left */
    return 0;
}

/* -- what is right for whom -------------------------------------------------------------------- */

static void profiles(void **state)
{
    static const struct {
        const char *id, *profile;
        enum shs_lab_expect expect;
    } cases[] = {
        {"expired", "strict", SHS_LAB_REJECT},
        {"good", "strict", SHS_LAB_ACCEPT},
        {"no-san", "strict", SHS_LAB_REJECT},
        {"no-san", "rfc9525", SHS_LAB_REJECT},
        {"no-san", "webpki", SHS_LAB_REJECT},
        {"no-san", "openssl", SHS_LAB_ACCEPT},
        {"no-san", "go", SHS_LAB_REJECT},
        {"eku-any", "rfc9525", SHS_LAB_EITHER},
        {"eku-any", "webpki", SHS_LAB_REJECT},
        {"eku-any", "go", SHS_LAB_ACCEPT},
        {"revoked", "webpki", SHS_LAB_EITHER},
        {"revoked", "strict", SHS_LAB_REJECT},
        {"wildcard-middle", "java", SHS_LAB_ACCEPT},
        {"wildcard-middle", "webpki", SHS_LAB_REJECT},
        {"key-update", "gnutls", SHS_LAB_REJECT},
    };
    enum shs_lab_expect expect = SHS_LAB_EITHER;
    const char *const *names = shs_lab_profiles();
    size_t count = 0;

    while (names[count] != NULL)
        count++;
    assert_int_equal(count, 11);
    for (size_t i = 0; i < SHS_ARRAY_LEN(cases); i++) {
        const struct shs_condition *c = shs_lab_find(*state, cases[i].id);

        assert_non_null(c);
        assert_true(shs_lab_expect_in(c, cases[i].profile, &expect));
        if (expect != cases[i].expect)
            fail_msg("%s in %s: %d", cases[i].id, cases[i].profile, (int)expect);
    }
    assert_false(shs_lab_expect_in(shs_lab_find(*state, "good"), "nobody", &expect));
    /* What a rule refuses is one of those in which good clients differ. */
    for (const struct shs_condition *c = shs_lab_first(*state); c != NULL;
         c = shs_lab_next(*state, c))
        assert_true(c->refused_in[0] == '\0' || c->expect == SHS_LAB_EITHER);
}

static void certificates(void **state)
{
    const struct shs_issued_cert *cert = NULL;
    struct shs_error err = {.code = SHS_OK};

    assert_int_equal(shs_lab_get_cert(*state, shs_lab_find(*state, "expired"), &cert, &err),
                     SHS_OK);
    assert_non_null(strstr(shs_issued_cert_key_pem(cert), "PRIVATE KEY"));
    assert_int_equal(shs_lab_get_cert(*state, shs_lab_find(*state, "ssl-v3"), &cert, &err),
                     SHS_CLOSED);
    assert_int_equal(shs_lab_get_cert(*state, NULL, &cert, &err), SHS_USAGE);
}

static int connect_lab(const struct shs_lab *lab)
{
    struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = htons((uint16_t)shs_lab_port(lab))};
    const struct timeval limit = {.tv_sec = PATIENCE_MS / 1000};
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

    inet_pton(AF_INET, shs_lab_host(lab), &to.sin_addr);
    assert_int_equal(connect(fd, (struct sockaddr *)&to, sizeof to), 0);
    setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit);
    return fd;
}

/* Everything up to the end of a connection that was sent `text`, NUL-terminated. */
static char *ask(const struct shs_lab *lab, const char *text)
{
    char *answer = shs__malloc(1 << 20);
    int fd = connect_lab(lab);
    size_t used = 0;
    ssize_t n;

    assert_int_equal(write(fd, text, strlen(text)), strlen(text));
    while ((n = read(fd, answer + used, (1 << 20) - 1 - used)) > 0)
        used += (size_t)n;
    answer[used] = '\0';
    close(fd);
    return answer;
}

struct visit {
    bool handshake; /* was completed */
    long verdict;   /* of the certificate */
    bool page;      /* an answer came through */
};

/* A careful client, or with `careless` one that looks at nothing. */
static struct visit visit(const struct shs_lab *lab, const char *id, bool careless)
{
    const struct shs_condition *c = shs_lab_find(lab, id);
    struct visit v = {.handshake = false};
    SSL_CTX *ctx = SSL_CTX_new(TLS_client_method());
    SSL *ssl = NULL;
    char request[400], answer[200] = "";
    int fd = connect_lab(lab), n;

    assert_non_null(c);
    assert_int_equal(SSL_CTX_load_verify_locations(ctx, shs_lab_ca_path(lab), NULL), 1);
    SSL_CTX_set_verify(ctx, careless ? SSL_VERIFY_NONE : SSL_VERIFY_PEER, NULL);
    ssl = SSL_new(ctx);
    SSL_set_fd(ssl, fd);
    SSL_set_tlsext_host_name(ssl, c->host);
    if (!careless)
        SSL_set1_host(ssl, c->host);
    SSL_set_alpn_protos(ssl, (const unsigned char *)"\x08http/1.1", 9);
    v.handshake = SSL_connect(ssl) == 1;
    v.verdict = SSL_get_verify_result(ssl);
    if (v.handshake) {
        snprintf(request, sizeof request, "GET / HTTP/1.1\r\nHost: %s\r\n\r\n", c->host);
        if (SSL_write(ssl, request, (int)strlen(request)) > 0 &&
            (n = SSL_read(ssl, answer, sizeof answer - 1)) > 0)
            v.page = strncmp(answer, "HTTP/1.1 200", 12) == 0;
    }
    ERR_clear_error();
    SSL_free(ssl);
    SSL_CTX_free(ctx);
    close(fd);
    return v;
}

/* -- the table --------------------------------------------------------------------------------- */

/* The table is whole, without doubles, and has words that can be compared. */
static void conditions(void **state)
{
    struct shs_lab *lab = *state;
    size_t count = 0, firm = 0, unservable = 0;

    for (const struct shs_condition *c = shs_lab_first(lab); c != NULL; c = shs_lab_next(lab, c)) {
        count++;
        assert_ptr_equal(shs_lab_find(lab, c->id), c); /* no two of a name */
        assert_true(strlen(c->id) <= 63);
        assert_true(strstr(c->host, ".test") != NULL || strstr(c->needs, "address") != NULL);
        assert_true(c->served[0] != '\0' && c->group[0] != '\0' && c->layer[0] != '\0');
        firm += c->expect != SHS_LAB_EITHER;
        unservable += !c->servable;
        assert_int_equal(c->servable, c->why[0] == '\0');
        /* A rejection has a reason to compare; words are ASCII, for every terminal and shell. */
        if (c->expect == SHS_LAB_REJECT && c->reason[0] == '\0')
            fail_msg("%s has no reason", c->id);
        if (c->expect == SHS_LAB_ACCEPT && c->reason[0] != '\0')
            fail_msg("%s is accepted, and has a reason", c->id);
        for (const char *t = c->reason; *t != '\0'; t++)
            assert_true(islower((unsigned char)*t) || *t == '-');
        if (c->probe_first[0] != '\0')
            assert_non_null(shs_lab_find(lab, c->probe_first));
        assert_non_null(strstr(shs_lab_manifest(lab), c->url));
    }
    assert_int_equal(count, shs_lab_count(lab));
    assert_true(count >= 182 + 40);
    assert_true(firm >= 148);
    assert_true(unservable <= 2);
    assert_null(shs_lab_find(lab, "nothing"));
    assert_string_equal(shs_lab_first(lab)->id, "good");
}

/* -- visits ------------------------------------------------------------------------------------ */

static void good(void **state)
{
    struct visit v = visit(*state, "good", false);

    assert_true(v.handshake && v.page);
    assert_int_equal(v.verdict, X509_V_OK);
}

/* One of each group; all of them, with real clients, are in tests/integration/test_lab_serve.py. */
static void verdicts(void **state)
{
    static const struct {
        const char *id;
        long verdict;
    } all[] = {
        {"expired", X509_V_ERR_CERT_HAS_EXPIRED},
        {"not-yet-valid", X509_V_ERR_CERT_NOT_YET_VALID},
        {"wrong.host", X509_V_ERR_HOSTNAME_MISMATCH},
        {"wildcard-deep", X509_V_ERR_HOSTNAME_MISMATCH},
        {"wildcard-bare", X509_V_ERR_HOSTNAME_MISMATCH},
        {"san-nul", X509_V_ERR_HOSTNAME_MISMATCH},
        {"self-signed", X509_V_ERR_DEPTH_ZERO_SELF_SIGNED_CERT},
        {"untrusted-root", X509_V_ERR_SELF_SIGNED_CERT_IN_CHAIN},
        {"incomplete-chain", X509_V_ERR_UNABLE_TO_GET_ISSUER_CERT_LOCALLY},
        {"reversed-chain", X509_V_ERR_HOSTNAME_MISMATCH},
        {"chain-loop", X509_V_ERR_UNABLE_TO_GET_ISSUER_CERT_LOCALLY},
        {"ca-false-intermediate", X509_V_ERR_INVALID_CA},
        {"pathlen-exceeded", X509_V_ERR_PATH_LENGTH_EXCEEDED},
        {"nc-permitted-violation", X509_V_ERR_PERMITTED_VIOLATION},
        {"nc-excluded-violation", X509_V_ERR_EXCLUDED_VIOLATION},
        {"nc-ip-violation", X509_V_ERR_PERMITTED_VIOLATION},
        {"unknown-critical-ext-ica", X509_V_ERR_UNHANDLED_CRITICAL_EXTENSION},
        {"eku-email-only", X509_V_ERR_INVALID_PURPOSE},
        {"sha1-intermediate", X509_V_ERR_CA_MD_TOO_WEAK},
        {"rsa1024", X509_V_ERR_EE_KEY_TOO_SMALL},
        {"mismatched-key", X509_V_OK}, /* only the handshake fails */
        {"rc4", X509_V_OK},
        {"ssl-v3", X509_V_OK},
        {"tls13-downgrade", X509_V_OK},
        {"alert-access-denied", X509_V_OK},
        {"rst-hello", X509_V_OK},
        {"cut-certificate", X509_V_OK},
        {"bad-mac-handshake", X509_V_OK},
        {"stall-flight", X509_V_OK},
        {"legacy-renegotiation", X509_V_OK},
    };

    for (size_t i = 0; i < SHS_ARRAY_LEN(all); i++) {
        struct visit v = visit(*state, all[i].id, false);

        if (v.handshake || v.page || v.verdict != all[i].verdict)
            fail_msg("%s: handshake %d, %s", all[i].id, v.handshake,
                     X509_verify_cert_error_string(v.verdict));
    }
}

static void count_server_hellos(int write_p, int version, int type, const void *message, size_t len,
                                SSL *ssl, void *count)
{
    (void)version;
    (void)ssl;
    if (!write_p && type == SSL3_RT_HANDSHAKE && len > 0 &&
        *(const unsigned char *)message == SSL3_MT_SERVER_HELLO)
        ++*(int *)count;
}

/* How often the lab sent a ServerHello, of which a HelloRetryRequest is one; 0 when it failed. */
static int server_hellos(const struct shs_lab *lab, const char *groups)
{
    SSL_CTX *ctx = SSL_CTX_new(TLS_client_method());
    SSL *ssl = NULL;
    int fd = connect_lab(lab), count = 0;

    assert_int_equal(SSL_CTX_set1_groups_list(ctx, groups), 1);
    ssl = SSL_new(ctx);
    SSL_set_fd(ssl, fd);
    SSL_set_tlsext_host_name(ssl, shs_lab_find(lab, "hello-retry")->host);
    SSL_set_msg_callback(ssl, count_server_hellos);
    SSL_set_msg_callback_arg(ssl, &count);
    if (SSL_connect(ssl) != 1)
        count = 0;
    ERR_clear_error();
    SSL_free(ssl);
    SSL_CTX_free(ctx);
    close(fd);
    return count;
}

/* Whatever a client offers, it is asked again: of the first group it sends a key. */
static void hello_retry(void **state)
{
    static const char *const offers[] = {
        "X25519:P-256:X448:P-521:P-384", /* OpenSSL */
        "X25519:P-256:P-384",            /* Chromium, but for its post-quantum group */
        "P-521:P-384",
        "P-256:X25519",
        "X25519:X448",
    };

    for (size_t i = 0; i < SHS_ARRAY_LEN(offers); i++) {
        if (server_hellos(*state, offers[i]) != 2)
            fail_msg("%s: no HelloRetryRequest, or no handshake", offers[i]);
    }
    assert_int_equal(server_hellos(*state, "X25519"), 1); /* there is nothing to ask for */
}

/* A client that looks at nothing gets a page from each of these: the fault is where it is said. */
static void careless(void **state)
{
    struct shs_lab *lab = *state;
    size_t caught = 0;

    for (const struct shs_condition *c = shs_lab_first(lab); c != NULL; c = shs_lab_next(lab, c)) {
        if (c->expect != SHS_LAB_REJECT || strcmp(c->layer, "certificate") != 0 || !c->servable ||
            c->tier != SHS_LAB_CRITICAL || strncmp(c->id, "rsa", 3) == 0)
            continue;
        if (!visit(lab, c->id, true).page)
            fail_msg("%s: a client that looks at nothing is refused", c->id);
        caught++;
    }
    assert_true(caught >= 15);
}

static void seen(void **state)
{
    struct shs_lab *lab = *state;
    struct shs_lab_seen before, after = {.last_alert = -1};
    const struct shs_condition *c = shs_lab_find(lab, "inverted-dates");
    const struct shs_condition none = {.id = "none"};
    uint64_t connections = shs_lab_connections(lab);

    assert_int_equal(shs_lab_get_seen(lab, c, &before), SHS_OK);
    assert_int_equal(before.connections + before.handshakes + before.requests, 0);
    assert_int_equal(before.last_alert, -1);
    assert_int_equal(shs_lab_get_seen(lab, &none, &after), SHS_USAGE);
    (void)visit(lab, "inverted-dates", false);
    /* The client's alert is on its way when it has gone. */
    for (int64_t end = shs_now_ns() + PATIENCE_MS * (int64_t)SHS_NS_PER_MS;
         shs_now_ns() < end && after.last_alert != SSL_AD_BAD_CERTIFICATE; poll(NULL, 0, 5))
        assert_int_equal(shs_lab_get_seen(lab, c, &after), SHS_OK);
    assert_int_equal(after.last_alert, SSL_AD_BAD_CERTIFICATE);
    assert_int_equal(after.connections, 1);
    assert_int_equal(after.requests, 0);
    assert_int_equal(after.no_alpn, 0);
    assert_true(shs_lab_connections(lab) > connections);
}

/* -- plain HTTP -------------------------------------------------------------------------------- */

static void plain(void **state)
{
    static const struct {
        const char *request, *status, *has;
    } all[] = {
        {"GET / HTTP/1.1\r\n\r\n", "200", "id=\"expired\""},
        {"GET http://localhost/ HTTP/1.1\r\n\r\n", "200", "TLS lab"},
        {"GET http://badssl.test:80 HTTP/1.1\r\n\r\n", "200", "TLS lab"},
        {"GET http://[::1]:81/ca.pem HTTP/1.1\r\n\r\n", "200", "BEGIN CERTIFICATE"},
        {"GET http://[::1]/ca.pem HTTP/1.1\r\n\r\n", "200", "BEGIN CERTIFICATE"},
        {"HEAD /manifest.json HTTP/1.1\r\n\r\n", "200", "application/json"},
        {"GET /manifest.json HTTP/1.0\r\n\r\n", "200", "\"sanity\":\"good\""},
        {"GET /ca.pem HTTP/1.1\r\n\r\n", "200", "BEGIN CERTIFICATE"},
        {"GET /proxy.pac HTTP/1.1\r\n\r\n", "200", "FindProxyForURL"},
        {"GET /crl/ica.pem HTTP/1.1\r\n\r\n", "200", "BEGIN X509 CRL"},
        {"GET /crl/root.der HTTP/1.1\r\n\r\n", "200", "application/pkix-crl"},
        {"GET /crl/crl-unreachable.der HTTP/1.1\r\n\r\n", "503", "condition"},
        {"GET /crl/nothing.der HTTP/1.1\r\n\r\n", "404", "no such"},
        {"GET /crl/ica HTTP/1.1\r\n\r\n", "404", "no such"},
        {"GET /crl/odd.der HTTP/1.1\r\n\r\n", "503", "condition"},
        {"GET /aia/ica.der HTTP/1.1\r\n\r\n", "200", "pkix-cert"},
        {"GET /log HTTP/1.1\r\n\r\n", "200", "\"id\":\"good\""},
        {"GET /hello HTTP/1.1\r\n\r\n", "200", "cipher_suites"},
        {"POST /ocsp HTTP/1.1\r\nContent-Length: 3\r\n\r\nabc", "200", "ocsp-response"},
        {"GET /ocsp/%2b%zz HTTP/1.1\r\n\r\n", "200", "ocsp-response"},
        {"POST / HTTP/1.1\r\nContent-Length: 0\r\n\r\n", "405", "Allow"},
        {"GET /nothing HTTP/1.1\r\n\r\n", "404", "/manifest.json"},
        {"GET\r\n\r\n", "400", ""},
        {"CONNECT example.com:443 HTTP/1.1\r\n\r\n", "403", "no proxy"},
        {"CONNECT badssl.test.example.com:443 HTTP/1.1\r\n\r\n", "403", "no proxy"},
        {"CONNECT evilbadssl.test:443 HTTP/1.1\r\n\r\n", "403", "no proxy"},
        {"CONNECT badssl.test HTTP/1.1\r\n\r\n", "403", "no proxy"},
        {"CONNECT 127.example.com:443 HTTP/1.1\r\n\r\n", "403", "no proxy"},
        {"GET http://example.com/ca.pem HTTP/1.1\r\n\r\n", "403", "no proxy"},
        {"GET http://badssl.test:80@example.com/ HTTP/1.1\r\n\r\n", "403", "no proxy"},
        {"GET http:///ca.pem HTTP/1.1\r\n\r\n", "403", "no proxy"},
        {"HEAD http://example.com?badssl.test HTTP/1.1\r\n\r\n", "403", ""},
    };

    (void)visit(*state, "good", false);
    for (size_t i = 0; i < SHS_ARRAY_LEN(all); i++) {
        char *answer = ask(*state, all[i].request);

        if (strncmp(answer, "HTTP/1.1 ", 9) != 0 || strncmp(answer + 9, all[i].status, 3) != 0 ||
            strstr(answer, all[i].has) == NULL)
            fail_msg("%s\n%.300s", all[i].request, answer);
        shs__free(answer);
    }
}

/* A name may end with a dot, and its letters are of any case. */
static void names_of_the_lab(void **state)
{
    static const char *const all[] = {"good.badssl.test", "good.badssl.test.", "GOOD.badssl.TEST.",
                                      "LocalHost",        "localhost.",        "127.0.0.9"};

    for (size_t i = 0; i < SHS_ARRAY_LEN(all); i++) {
        char text[100], answer[12] = "";
        int fd = connect_lab(*state);

        snprintf(text, sizeof text, "CONNECT %s:443 HTTP/1.1\r\n\r\n", all[i]);
        assert_int_equal(write(fd, text, strlen(text)), strlen(text));
        assert_int_equal(recv(fd, answer, sizeof answer, MSG_WAITALL), sizeof answer);
        if (memcmp(answer, "HTTP/1.1 200", sizeof answer) != 0)
            fail_msg("%s: %.12s", all[i], answer);
        close(fd);
    }
}

/* What is neither HTTP nor TLS ends, and nothing else happens. */
static void nonsense(void **state)
{
    static const char *const all[] = {"\x16\x03\x01\xff\xff",
                                      "\x16\x03\x01\x00\x05\x02\x00\x00\x01\x00",
                                      "\x16\x02\x01\x00\x01z", "\x80\x2e\x01", "\x16"};

    for (size_t i = 0; i < SHS_ARRAY_LEN(all); i++) {
        int fd = connect_lab(*state);
        char byte;

        assert_true(write(fd, all[i], strlen(all[i]) + 1) > 0);
        shutdown(fd, SHUT_WR);
        while (read(fd, &byte, 1) > 0)
            ;
        close(fd);
    }
    assert_true(visit(*state, "good", false).page);
}

/* -- options ----------------------------------------------------------------------------------- */

static void refused(void **state)
{
    static const struct {
        const char *host, *domain, *word;
    } all[] = {{"0.0.0.0", NULL, "loopback"},
               {"192.0.2.1", NULL, "loopback"},
               {NULL, "nodots", "'nodots'"},
               {NULL, "UPPER.test", "'UPPER.test'"},
               {NULL, "", "''"},
               {NULL, ".test", "'.test'"}};

    SHS_UNUSED(state);
    for (size_t i = 0; i < SHS_ARRAY_LEN(all); i++) {
        struct shs_error err = {.code = SHS_OK};
        struct shs_lab_options o;
        struct shs_lab *lab = NULL;

        shs_lab_options_init(&o);
        o.host = all[i].host;
        o.domain = all[i].domain != NULL ? all[i].domain : o.domain;
        assert_int_equal(shs_lab_start(&lab, &o, &err), SHS_USAGE);
        assert_null(lab);
        if (strstr(err.text, all[i].word) == NULL)
            fail_msg("%s", err.text);
    }
}

/* Another domain, another time, CONNECT refused: and two labs beside each other. */
static void another(void **state)
{
    struct shs_error err = {.code = SHS_OK};
    struct shs_lab_options o;
    struct shs_lab *lab = NULL;
    char *answer;

    shs_lab_options_init(&o);
    o.domain = "lab.example";
    o.no_connect = true;
    o.now = 1000000000; /* 2001 */
    if (shs_lab_start(&lab, &o, &err) != SHS_OK)
        fail_msg("%s", err.text);
    assert_string_equal(shs_lab_find(lab, "expired")->host, "expired.lab.example");
    assert_string_equal(shs_lab_find(lab, "tld.test")->host, "tld.example");
    assert_int_equal(visit(lab, "good", false).verdict, X509_V_OK);
    /* What ends in an hour then, has ended long ago now. */
    assert_int_equal(visit(lab, "expires-soon", false).verdict, X509_V_ERR_CERT_HAS_EXPIRED);
    answer = ask(lab, "CONNECT good.lab.example:443 HTTP/1.1\r\n\r\n");
    assert_non_null(strstr(answer, "403"));
    shs__free(answer);
    assert_int_equal(visit(*state, "expires-soon", false).verdict, X509_V_OK);
    shs_lab_stop(lab);
}

/* A slow key may take longer than anybody waits for a lab that stops: it is given up. */
static void stops_without_slow_keys(void **state)
{
    static const char *const slow[] = {"rsa8192", NULL};
    const struct shs_issued_cert *cert = NULL;
    struct shs_error err = {.code = SHS_OK};
    struct shs_lab *lab = NULL;
    struct shs_lab_options o;

    SHS_UNUSED(state);
    shs_lab_options_init(&o);
    o.only = slow;
    assert_int_equal(shs_lab_start(&lab, &o, &err), SHS_OK);
    atomic_store(&lab->stopping, true); /* as shs_lab_stop does first */
    assert_int_equal(shs_lab_get_cert(lab, shs_lab_find(lab, "rsa8192"), &cert, &err), SHS_STOPPED);
    assert_null(cert);
    shs_lab_stop(lab);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(profiles),    cmocka_unit_test(certificates),
        cmocka_unit_test(conditions),  cmocka_unit_test(good),
        cmocka_unit_test(verdicts),    cmocka_unit_test(careless),
        cmocka_unit_test(seen),        cmocka_unit_test(plain),
        cmocka_unit_test(nonsense),    cmocka_unit_test(names_of_the_lab),
        cmocka_unit_test(refused),     cmocka_unit_test(another),
        cmocka_unit_test(hello_retry), cmocka_unit_test(stops_without_slow_keys),
    };

    return cmocka_run_group_tests(tests, start_lab, stop_lab);
}
