/* test_socketserver_tcp.c - S24 to S32, TCPServer: the socket. S25 is in test_server.c as well. */
#include "socketserver_support.h"

#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "server/server.h"

static int int_option(int fd, int level, int name)
{
    int value = -1;
    socklen_t len = sizeof value;

    assert_int_equal(getsockopt(fd, level, name, &value, &len), 0);
    return value;
}

static struct shs_server *make(const char *name, const struct shs_options *opt)
{
    struct shs_server *server = NULL;
    struct shs_error err = {.text = ""};

    if (sst_class(name)->make(&server, opt, &sst_echo, &err) != SHS_OK)
        fail_msg("%s: %s", name, err.text);
    return server;
}

static void test_S24_constructor_binds_and_listens(void **state)
{
    struct sst_server s;
    struct shs_options opt;

    (void)state;
    sst_options(&opt, NULL, NULL);
    s.server = make("TCPServer", &opt);
    assert_true(shs_server_fileno(s.server) >= 0);
    assert_int_equal(int_option(shs_server_fileno(s.server), SOL_SOCKET, SO_ACCEPTCONN), 1);
    close(sst_dial(&s, NULL));
    shs_server_free(s.server);
}

/* Of every class: 1024 constructions that fail leave no descriptor. */
static void test_S25_failed_constructions_leak_nothing(void **state)
{
    const char *const names[] = {"TCPServer", "UDPServer", "ForkingTCPServer", "UnixStreamServer",
                                 "UnixDatagramServer"};
    struct sst_dir dir;

    (void)state;
    sst_dir_make(&dir);
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        struct shs_server *first, *second = NULL;
        struct shs_options opt;
        struct shs_error err;
        unsigned before;
        char port[8];

        sst_options(&opt, sst_class(names[i]), &dir);
        first = make(names[i], &opt);
        snprintf(port, sizeof port, "%u", shs_server_port(first));
        opt.port = port;
        before = sst_descriptors();
        for (int n = 0; n < 1024; n++) {
            assert_int_equal(sst_class(names[i])->make(&second, &opt, &sst_echo, &err), SHS_IO);
            assert_int_equal(err.sys_errno, EADDRINUSE);
        }
        assert_null(second);
        assert_int_equal(sst_descriptors(), before);
        shs_server_free(first);
        if (opt.path != NULL)
            unlink(opt.path);
    }
    sst_dir_remove(&dir);
}

static void test_S26_bind_and_activate_false(void **state)
{
    struct sst_server s;
    struct shs_options opt;

    (void)state;
    sst_options(&opt, NULL, NULL);
    opt.bind_and_activate = false;
    s.server = make("TCPServer", &opt);
    assert_int_equal(shs_server_fileno(s.server), -1);
    assert_int_equal(shs_server_bind(s.server), SHS_OK);
    assert_true(shs_server_port(s.server) > 0);
    assert_int_equal(int_option(shs_server_fileno(s.server), SOL_SOCKET, SO_ACCEPTCONN), 0);
    assert_int_equal(shs_server_activate(s.server), SHS_OK);
    assert_int_equal(int_option(shs_server_fileno(s.server), SOL_SOCKET, SO_ACCEPTCONN), 1);
    sst_serve(&s); /* does not bind again */
    sst_ask(&s, NULL, "x", "x");
    sst_stop(&s);
}

static void test_S27_reuse_options(void **state)
{
    struct shs_server *server, *other;
    struct shs_options opt;
    struct sst_dir dir;
    char port[8];

    (void)state;
    sst_dir_make(&dir);
    sst_options(&opt, NULL, NULL);
    server = make("TCPServer", &opt);
    assert_int_equal(int_option(shs_server_fileno(server), SOL_SOCKET, SO_REUSEADDR), 0);
    assert_int_equal(int_option(shs_server_fileno(server), SOL_SOCKET, SO_REUSEPORT), 0);
    shs_server_free(server);
    opt.allow_reuse_address = true;
    server = make("TCPServer", &opt);
    assert_int_equal(int_option(shs_server_fileno(server), SOL_SOCKET, SO_REUSEADDR), 1);
    shs_server_free(server);

    opt.allow_reuse_address = false;
    opt.allow_reuse_port = true;
    for (int i = 0; i < 2; i++) { /* two servers at one port: AF_INET, stream and datagram */
        const char *name = i == 0 ? "TCPServer" : "UDPServer";

        opt.port = "0";
        server = make(name, &opt);
        assert_int_equal(int_option(shs_server_fileno(server), SOL_SOCKET, SO_REUSEPORT), 1);
        snprintf(port, sizeof port, "%u", shs_server_port(server));
        opt.port = port;
        other = make(name, &opt);
        assert_int_equal(shs_server_port(other), shs_server_port(server));
        shs_server_free(other);
        shs_server_free(server);
    }
    opt.host = "::1";
    opt.port = "0";
    if (sst_class("TCPServer")->make(&server, &opt, &sst_echo, NULL) == SHS_OK) {
        assert_int_equal(int_option(shs_server_fileno(server), SOL_SOCKET, SO_REUSEPORT), 1);
        assert_int_equal(shs_server_address_family(server), AF_INET6);
        shs_server_free(server);
    }
    /* Linux refuses it elsewhere since 6.12.9, so it is not set there. */
    sst_options(&opt, sst_class("UnixStreamServer"), &dir);
    opt.allow_reuse_port = true;
    server = make("UnixStreamServer", &opt);
    assert_int_equal(int_option(shs_server_fileno(server), SOL_SOCKET, SO_REUSEPORT), 0);
    shs_server_free(server);
    sst_dir_remove(&dir);
}

static void test_S28_port_0_gives_the_real_port(void **state)
{
    const char *const names[] = {"TCPServer", "UDPServer"};

    (void)state;
    for (int i = 0; i < 2; i++) {
        struct sockaddr_in address;
        socklen_t len = sizeof address;
        struct shs_server *server;
        struct shs_options opt;

        sst_options(&opt, NULL, NULL);
        opt.port = "0";
        server = make(names[i], &opt);
        assert_int_equal(getsockname(shs_server_fileno(server), (struct sockaddr *)&address, &len),
                         0);
        assert_int_not_equal(shs_server_port(server), 0);
        assert_int_equal(shs_server_port(server), ntohs(address.sin_port));
        assert_string_equal(shs_server_host(server), "127.0.0.1");
        shs_server_free(server);
    }
}

/* The options say which family a name is looked up in. */
static void test_address_family(void **state)
{
    struct shs_server *server = NULL;
    struct shs_options opt;
    struct shs_error err;

    (void)state;
    sst_options(&opt, NULL, NULL);
    opt.host = "127.0.0.1";
    opt.address_family = AF_INET6;
    assert_int_equal(sst_tcp_server_new(&server, &opt, &sst_echo, &err), SHS_IO);
    opt.address_family = AF_INET;
    assert_int_equal(sst_tcp_server_new(&server, &opt, &sst_echo, &err), SHS_OK);
    assert_int_equal(shs_server_address_family(server), AF_INET);
    shs_server_free(server);
}

/* An accepted connection: its answers are not held back, and an idle one outlives eleven probes
   that the kernel has lost. */
static void assert_tcp_options(struct sst_server *s)
{
    int fd = socket(shs_server_address_family(s->server), SOCK_STREAM | SOCK_CLOEXEC, 0), accepted;
    struct sockaddr_storage address;
    socklen_t len = sizeof address;
    struct shs_conn *conn = NULL;

    assert_true(fd >= 0);
    assert_int_equal(getsockname(shs_server_fileno(s->server), (struct sockaddr *)&address, &len),
                     0);
    assert_int_equal(connect(fd, (struct sockaddr *)&address, len), 0);
    sst_await_request(s);
    assert_int_equal(shs_server_get_request(s->server, &conn), SHS_OK);
    accepted = shs_conn_fileno(conn);
    assert_int_equal(int_option(accepted, IPPROTO_TCP, TCP_NODELAY), 1);
    assert_int_equal(int_option(accepted, IPPROTO_TCP, TCP_NOTSENT_LOWAT), 256 * 1024);
    assert_int_equal(int_option(accepted, SOL_SOCKET, SO_KEEPALIVE), 1);
    assert_int_equal(int_option(accepted, IPPROTO_TCP, TCP_KEEPIDLE), 60);
    assert_int_equal(int_option(accepted, IPPROTO_TCP, TCP_KEEPINTVL), 10);
    assert_int_equal(int_option(accepted, IPPROTO_TCP, TCP_KEEPCNT), 12);
    shs_server_shutdown_request(s->server, conn);
    close(fd);
}

/* A listening socket of somebody else, with no option set. */
static struct shs_server *make_from(int family)
{
    struct sockaddr_storage address = {.ss_family = (sa_family_t)family};
    int fd = socket(family, SOCK_STREAM | SOCK_CLOEXEC, 0);
    struct shs_server *server = NULL;
    struct shs_options opt;
    struct shs_error err;

    if (family == AF_INET)
        ((struct sockaddr_in *)&address)->sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    else
        ((struct sockaddr_in6 *)&address)->sin6_addr = in6addr_loopback;
    assert_true(fd >= 0);
    assert_int_equal(bind(fd, (struct sockaddr *)&address, sizeof address), 0);
    assert_int_equal(listen(fd, 5), 0);
    assert_int_equal(int_option(fd, SOL_SOCKET, SO_KEEPALIVE), 0);
    sst_options(&opt, NULL, NULL);
    opt.bind_and_activate = false;
    assert_int_equal(sst_tcp_server_new(&server, &opt, &sst_echo, &err), SHS_OK);
    assert_int_equal(shs_server_inherit(server, 0, fd, true), SHS_OK);
    assert_int_equal(shs_server_bind_and_activate(server, &err), SHS_OK);
    return server;
}

static void test_accepted_connections_have_the_options(void **state)
{
    static const struct {
        int family;
        const char *host;
    } cases[] = {{AF_INET, "127.0.0.1"}, {AF_INET6, "::1"}};

    (void)state;
    for (size_t i = 0; i < SHS_ARRAY_LEN(cases); i++) {
        struct sst_server s = {.server = NULL};
        struct shs_options opt;
        struct shs_error err;

        sst_options(&opt, NULL, NULL);
        opt.host = cases[i].host;
        if (sst_tcp_server_new(&s.server, &opt, &sst_echo, &err) != SHS_OK) {
            assert_int_equal(cases[i].family, AF_INET6); /* a machine without IPv6 */
            continue;
        }
        assert_tcp_options(&s);
        shs_server_free(s.server);
        s.server = make_from(cases[i].family);
        assert_tcp_options(&s);
        shs_server_free(s.server);
    }
}

static void test_S29_request_queue_size(void **state)
{
    struct shs_server *server;
    struct tcp_info info;
    socklen_t len = sizeof info;
    struct shs_options opt;

    (void)state;
    sst_options(&opt, NULL, NULL);
    opt.request_queue_size = 3;
    server = make("TCPServer", &opt);
    /* Of a listening socket, Linux puts the length of its queue there. */
    assert_int_equal(getsockopt(shs_server_fileno(server), IPPROTO_TCP, TCP_INFO, &info, &len), 0);
    assert_int_equal(info.tcpi_sacked, 3);
    shs_server_free(server);
    /* Not all that the kernel would keep: under overload they give up before their turn. */
    sst_options(&opt, NULL, NULL);
    assert_int_equal(opt.request_queue_size, 511);
}

static void test_S30_get_request_gives_connection_and_address(void **state)
{
    struct sockaddr_in own, peer;
    socklen_t own_len = sizeof own, peer_len = sizeof peer;
    struct shs_conn *conn = NULL;
    struct sst_server s;
    struct shs_options opt;
    int fd;

    (void)state;
    sst_options(&opt, NULL, NULL);
    s.server = make("TCPServer", &opt);
    assert_int_equal(shs_server_get_request(s.server, &conn), SHS_WAIT_READ); /* nobody there */
    fd = sst_dial(&s, NULL);
    sst_await_request(&s);
    assert_int_equal(shs_server_get_request(s.server, &conn), SHS_OK);
    assert_int_not_equal(shs_conn_fileno(conn), shs_server_fileno(s.server));
    getsockname(fd, (struct sockaddr *)&own, &own_len);
    getpeername(shs_conn_fileno(conn), (struct sockaddr *)&peer, &peer_len);
    assert_int_equal(peer.sin_port, own.sin_port);
    assert_int_equal(shs_conn_client_port(conn), ntohs(own.sin_port));
    assert_string_equal(shs_conn_client_host(conn), "127.0.0.1");
    shs_server_shutdown_request(s.server, conn);
    close(fd);
    shs_server_free(s.server);
}

static void test_S31_shutdown_request(void **state)
{
    struct linger reset = {.l_onoff = 1, .l_linger = 0};
    struct shs_conn *conn = NULL;
    struct sst_spy spy;
    struct sst_server s;
    struct shs_options opt;
    int fd, theirs;
    char byte;

    (void)state;
    sst_options(&opt, NULL, NULL);
    s.server = make("TCPServer", &opt);
    sst_spy_push(&spy, s.server);
    fd = sst_dial(&s, NULL);
    sst_await_request(&s);
    assert_int_equal(shs_server_get_request(s.server, &conn), SHS_OK);
    theirs = dup(shs_conn_fileno(conn)); /* somebody else has a copy: closing alone says nothing */
    shs_server_shutdown_request(s.server, conn);
    assert_int_equal(sst_hear(fd, &byte, 1), 0); /* shutdown(SHUT_WR) did */
    assert_true(sst_spy_is(&spy, "get shutdown close"));
    close(theirs);
    close(fd);

    fd = sst_dial(&s, NULL); /* and of one that is gone already, the error is ignored */
    sst_await_request(&s);
    assert_int_equal(shs_server_get_request(s.server, &conn), SHS_OK);
    theirs = shs_conn_fileno(conn);
    setsockopt(fd, SOL_SOCKET, SO_LINGER, &reset, sizeof reset);
    close(fd);
    shs_server_shutdown_request(s.server, conn);
    assert_int_equal(spy.errors, 0);
    assert_int_equal(fcntl(theirs, F_GETFD), -1);
    shs_server_free(s.server);
}

static void test_S32_server_close_closes_the_socket(void **state)
{
    struct shs_options opt;
    struct shs_server *server;
    int fd;

    (void)state;
    sst_options(&opt, NULL, NULL);
    server = make("TCPServer", &opt);
    fd = shs_server_fileno(server);
    assert_int_equal(shs_server_close(server), SHS_OK);
    assert_int_equal(shs_server_fileno(server), -1);
    assert_int_equal(fcntl(fd, F_GETFD), -1);
    assert_int_equal(errno, EBADF);
    shs_server_free(server);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_S24_constructor_binds_and_listens),
        cmocka_unit_test(test_S25_failed_constructions_leak_nothing),
        cmocka_unit_test(test_S26_bind_and_activate_false),
        cmocka_unit_test(test_S27_reuse_options),
        cmocka_unit_test(test_S28_port_0_gives_the_real_port),
        cmocka_unit_test(test_address_family),
        cmocka_unit_test(test_accepted_connections_have_the_options),
        cmocka_unit_test(test_S29_request_queue_size),
        cmocka_unit_test(test_S30_get_request_gives_connection_and_address),
        cmocka_unit_test(test_S31_shutdown_request),
        cmocka_unit_test(test_S32_server_close_closes_the_socket),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
