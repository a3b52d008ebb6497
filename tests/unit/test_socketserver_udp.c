/* test_socketserver_udp.c - S33 to S36: datagrams, Unix sockets, and what can be wrong there. */
#include "socketserver_support.h"

#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "server/server.h"

/* Says what it got: "<length> <truncated> <socket>:<packet>". */
static int tell_handle(struct shs_request_handler *self)
{
    struct shs_str packet = shs_conn_packet(self->request);
    char text[256];
    int len = snprintf(text, sizeof text, "%zu %d %d:%.*s", packet.len,
                       shs_conn_packet_truncated(self->request), shs_conn_fileno(self->request),
                       packet.len > 100 ? 100 : (int)packet.len, packet.ptr);

    return shs_conn_sendto(self->request, text, (size_t)len);
}

static const struct shs_request_handler_class tell = {
    .name = "Tell", .instance_size = sizeof(struct shs_request_handler), .handle = tell_handle};

static void ask_for(const struct sst_server *s, const struct sst_dir *dir, size_t len,
                    const char *expected)
{
    char packet[128], answer[256];
    int fd = sst_dial(s, dir);
    ssize_t n;

    memset(packet, 'x', sizeof packet);
    sst_say(fd, packet, len);
    n = sst_hear(fd, answer, sizeof answer - 1);
    assert_true(n > 0);
    answer[n] = '\0';
    assert_string_equal(answer, expected);
    close(fd);
}

/* request = (data, socket), of max_packet_size at most; a longer one is cut off and says so. */
static void test_S33_request_is_packet_and_socket(void **state)
{
    const char *const names[] = {"UDPServer", "UnixDatagramServer"};
    struct sst_dir dir;

    (void)state;
    sst_dir_make(&dir);
    for (int i = 0; i < 2; i++) {
        struct sst_server s;
        struct shs_options opt;
        char expected[64];

        sst_options(&opt, sst_class(names[i]), &dir);
        opt.max_packet_size = 10;
        sst_start(&s, sst_class(names[i]), &opt, &tell);
        snprintf(expected, sizeof expected, "3 0 %d:xxx", shs_server_fileno(s.server));
        ask_for(&s, &dir, 3, expected);
        snprintf(expected, sizeof expected, "10 0 %d:xxxxxxxxxx", shs_server_fileno(s.server));
        ask_for(&s, &dir, 10, expected);
        snprintf(expected, sizeof expected, "10 1 %d:xxxxxxxxxx", shs_server_fileno(s.server));
        ask_for(&s, &dir, 11, expected); /* one too many */
        ask_for(&s, &dir, 128, expected);
        snprintf(expected, sizeof expected, "0 0 %d:", shs_server_fileno(s.server));
        ask_for(&s, &dir, 0, expected); /* an empty datagram is one */
        sst_stop(&s);
    }
    sst_dir_remove(&dir);
}

static void test_max_packet_size_has_bounds(void **state)
{
    const size_t bad[] = {0, (size_t)17 * 1024 * 1024};

    (void)state;
    for (int i = 0; i < 2; i++) {
        struct shs_server *server = NULL;
        struct shs_options opt;
        struct shs_error err;

        shs_options_init(&opt);
        assert_int_equal(opt.max_packet_size, 8192);
        opt.max_packet_size = bad[i];
        assert_int_equal(sst_udp_server_new(&server, &opt, &tell, &err), SHS_USAGE);
        assert_non_null(strstr(err.text, "max_packet_size"));
        assert_null(server);
    }
}

/* Nothing listens; the end of a request leaves the shared socket alone. */
static void test_S34_the_socket_stays_open(void **state)
{
    int value = -1;
    socklen_t len = sizeof value;
    struct shs_conn *conn = NULL;
    struct sst_spy spy;
    struct sst_server s;
    struct shs_options opt;
    int fd;

    (void)state;
    sst_options(&opt, NULL, NULL);
    assert_int_equal(sst_udp_server_new(&s.server, &opt, &tell, NULL), SHS_OK);
    sst_spy_push(&spy, s.server);
    assert_int_equal(
        getsockopt(shs_server_fileno(s.server), SOL_SOCKET, SO_ACCEPTCONN, &value, &len), 0);
    assert_int_equal(value, 0);
    assert_int_equal(shs_server_get_request(s.server, &conn), SHS_WAIT_READ);
    fd = sst_dial(&s, NULL);
    for (int i = 0; i < 2; i++) {
        sst_say(fd, "x", 1);
        sst_await_request(&s);
        assert_int_equal(shs_server_get_request(s.server, &conn), SHS_OK);
        shs_server_shutdown_request(s.server, conn);
        assert_int_not_equal(fcntl(shs_server_fileno(s.server), F_GETFD), -1);
    }
    assert_true(sst_spy_is(&spy, "get shutdown close get shutdown close"));
    close(fd);
    shs_server_free(s.server);
}

/* A datagram whose handler still runs when the server closes: nobody shuts the socket down. */
static _Atomic int held, released, answered;

static int hold_handle(struct shs_request_handler *self)
{
    held = 1;
    for (unsigned i = 0; i < SST_PAUSES && !released; i++)
        sst_pause();
    answered = shs_conn_sendto(self->request, "late", 4);
    return answered;
}

static void assert_is_free(const struct sockaddr_in *address)
{
    int fd = socket(AF_INET, SOCK_DGRAM, 0);

    assert_int_equal(bind(fd, (const struct sockaddr *)address, sizeof *address), 0);
    close(fd);
}

static void test_closing_waits_for_datagrams(void **state)
{
    static const struct shs_request_handler_class cls = {
        .name = "Hold", .instance_size = sizeof(struct shs_request_handler), .handle = hold_handle};
    struct sst_server s;
    struct shs_options opt;
    struct sockaddr_in address;
    socklen_t len = sizeof address;
    int fd, number, others[2];

    (void)state;
    sst_options(&opt, NULL, NULL);
    opt.stop_ms = 100;
    opt.close_ms = 100;
    held = released = 0;
    answered = 1;
    sst_start(&s, sst_class("ThreadingUDPServer"), &opt, &cls);
    fd = sst_dial(&s, NULL);
    sst_say(fd, "x", 1);
    sst_wait_until(held);
    assert_int_equal(shs_shutdown_wait(s.server, (unsigned)patience_ms()), SHS_OK);
    assert_int_equal(sst_join(&s), SHS_OK);
    number = shs_server_fileno(s.server);
    assert_int_equal(getsockname(number, (struct sockaddr *)&address, &len), 0);
    assert_int_equal(shs_server_close(s.server), SHS_TIMEOUT); /* its handler does not return */
    assert_int_equal(shs_server_fileno(s.server), -1);
    /* What is opened now is not what the handler answers through, and the port is free. */
    assert_int_equal(socketpair(AF_UNIX, SOCK_DGRAM | SOCK_NONBLOCK, 0, others), 0);
    assert_int_not_equal(others[0], number);
    assert_int_not_equal(others[1], number);
    assert_is_free(&address);
    released = 1;
    shs_server_free(s.server); /* the last thread frees what it uses */
    sst_wait_until(sst_threads() == 1);
    assert_true(answered < 0);
    assert_int_equal(fcntl(number, F_GETFD), -1);
    close(others[0]);
    close(others[1]);
    close(fd);
}

static void *close_server(void *server)
{
    return (void *)(intptr_t)shs_server_close(server);
}

/* One that returns within the grace is heard. */
static void test_closing_lets_late_answers_out(void **state)
{
    static const struct shs_request_handler_class cls = {
        .name = "Hold", .instance_size = sizeof(struct shs_request_handler), .handle = hold_handle};
    const char *const names[] = {"ThreadingUDPServer", "ThreadingUnixDatagramServer"};
    struct sst_dir dir;

    (void)state;
    sst_dir_make(&dir);
    for (int i = 0; i < 2; i++) {
        struct sst_server s;
        struct shs_options opt;
        pthread_t closer;
        void *rc;
        char buf[8];
        int fd;

        sst_options(&opt, sst_class(names[i]), &dir);
        held = released = 0;
        sst_start(&s, sst_class(names[i]), &opt, &cls);
        fd = sst_dial(&s, i == 1 ? &dir : NULL);
        sst_say(fd, "x", 1);
        sst_wait_until(held);
        assert_int_equal(shs_shutdown_wait(s.server, (unsigned)patience_ms()), SHS_OK);
        assert_int_equal(sst_join(&s), SHS_OK);
        assert_int_equal(pthread_create(&closer, NULL, close_server, s.server), 0);
        sst_wait_until(shs_server_fileno(s.server) == -1);
        released = 1;
        assert_int_equal(sst_hear(fd, buf, sizeof buf), 4);
        assert_int_equal(pthread_join(closer, &rc), 0);
        assert_int_equal((intptr_t)rc, SHS_OK);
        shs_server_free(s.server);
        close(fd);
    }
    sst_dir_remove(&dir);
}

static int read_write_handle(struct shs_request_handler *self)
{
    char part[4];
    size_t got = 0;

    /* The packet is a stream of its own length, and each write a datagram. */
    if (shs_conn_read(self->request, part, 2, &got) != SHS_OK || got != 2)
        return SHS_IO;
    if (shs_conn_write(self->request, part, 2) != SHS_OK)
        return SHS_IO;
    if (shs_conn_read(self->request, part, sizeof part, &got) != SHS_OK || got != 3)
        return SHS_IO;
    if (shs_conn_read(self->request, part + 3, 1, &got) != SHS_CLOSED)
        return SHS_IO;
    return shs_conn_write(self->request, part, 3);
}

static void test_a_packet_is_a_short_stream(void **state)
{
    static const struct shs_request_handler_class cls = {.name = "Parts",
                                                         .instance_size =
                                                             sizeof(struct shs_request_handler),
                                                         .handle = read_write_handle};
    struct sst_server s;
    struct shs_options opt;
    char buf[16];
    int fd;

    (void)state;
    sst_options(&opt, NULL, NULL);
    sst_start(&s, sst_class("UDPServer"), &opt, &cls);
    fd = sst_dial(&s, NULL);
    sst_say(fd, "abcde", 5);
    assert_int_equal(sst_hear(fd, buf, sizeof buf), 2);
    assert_memory_equal(buf, "ab", 2);
    assert_int_equal(sst_hear(fd, buf, sizeof buf), 3);
    assert_memory_equal(buf, "cde", 3);
    close(fd);
    sst_stop(&s);
}

static int too_long_handle(struct shs_request_handler *self)
{
    static const char long_answer[70000];

    return shs_conn_sendto(self->request, long_answer, sizeof long_answer);
}

static void test_too_long_an_answer(void **state)
{
    static const struct shs_request_handler_class cls = {.name = "TooLong",
                                                         .instance_size =
                                                             sizeof(struct shs_request_handler),
                                                         .handle = too_long_handle};
    struct sst_spy spy;
    struct sst_server s;
    struct shs_options opt;
    int fd;

    (void)state;
    sst_options(&opt, NULL, NULL);
    assert_int_equal(sst_udp_server_new(&s.server, &opt, &cls, NULL), SHS_OK);
    sst_spy_push(&spy, s.server);
    sst_serve(&s);
    fd = sst_dial(&s, NULL);
    sst_say(fd, "x", 1);
    sst_wait_until(spy.errors == 1);
    assert_int_equal(spy.error_code, SHS_LIMIT);
    assert_non_null(strstr(spy.error_text, "too long for one datagram"));
    close(fd);
    sst_stop(&s);
}

static void test_wrong_compositions_are_refused(void **state)
{
    struct sst_spy spy;
    struct sst_server s;
    struct shs_options opt;
    struct shs_error err;
    int fd;

    (void)state;
    sst_options(&opt, NULL, NULL);
    assert_int_equal(sst_udp_server_new(&s.server, &opt, &sst_stream_echo.base, &err), SHS_OK);
    assert_int_equal(shs_tls_mixin_push(s.server, &err), SHS_USAGE);
    assert_non_null(strstr(err.text, "needs a stream"));
    sst_spy_push(&spy, s.server);
    sst_serve(&s);
    fd = sst_dial(&s, NULL);
    sst_say(fd, "x", 1);
    sst_wait_until(spy.errors == 1);
    assert_non_null(strstr(spy.error_text, "this is a datagram"));
    close(fd);
    sst_stop(&s);

    assert_int_equal(sst_tcp_server_new(&s.server, &opt, &sst_datagram_echo, &err), SHS_OK);
    sst_spy_push(&spy, s.server);
    sst_serve(&s);
    close(sst_dial(&s, NULL));
    sst_wait_until(spy.errors == 1);
    assert_non_null(strstr(spy.error_text, "this is a connection"));
    sst_stop(&s);
}

/* A datagram client without a path of its own cannot be answered, and that is said. */
static void test_S35_datagram_clients_bind_a_path(void **state)
{
    struct sst_spy spy;
    struct sst_server s;
    struct shs_options opt;
    struct sst_dir dir;
    int fd;

    (void)state;
    sst_dir_make(&dir);
    sst_options(&opt, sst_class("UnixDatagramServer"), &dir);
    assert_int_equal(sst_unix_datagram_server_new(&s.server, &opt, &sst_datagram_echo, NULL),
                     SHS_OK);
    sst_spy_push(&spy, s.server);
    sst_serve(&s);
    fd = sst_dial(&s, NULL); /* without a path */
    sst_say(fd, "x\n", 2);
    sst_wait_until(spy.errors == 1);
    assert_non_null(strstr(spy.error_text, "must bind a path"));
    sst_ask(&s, &dir, "x\n", "x\n"); /* with one */
    assert_int_equal(spy.errors, 1);
    close(fd);
    sst_stop(&s);
    sst_dir_remove(&dir);
}

static char client_name[128];
static _Atomic bool named;

static int name_handle(struct shs_request_handler *self)
{
    snprintf(client_name, sizeof client_name, "%s", shs_conn_client_host(self->request));
    named = true;
    return SHS_OK;
}

static void test_unix_client_address(void **state)
{
    static const struct shs_request_handler_class cls = {
        .name = "Name", .instance_size = sizeof(struct shs_request_handler), .handle = name_handle};
    struct sst_server s;
    struct shs_options opt;
    struct sst_dir dir;
    int fd;

    (void)state;
    sst_dir_make(&dir);
    sst_options(&opt, sst_class("UnixDatagramServer"), &dir);
    named = false;
    sst_start(&s, sst_class("UnixDatagramServer"), &opt, &cls);
    fd = sst_dial(&s, &dir);
    sst_say(fd, "x", 1);
    sst_wait_until(named);
    assert_int_equal(strncmp(client_name, dir.path, strlen(dir.path)), 0);
    assert_non_null(strstr(client_name, "/client-"));
    close(fd);
    sst_stop(&s);

    unlink(opt.path);
    named = false;
    sst_start(&s, sst_class("UnixStreamServer"), &opt, &cls);
    close(sst_dial(&s, &dir));
    sst_wait_until(named);
    assert_string_equal(client_name, ""); /* stream clients have no name unless they bind one */
    sst_stop(&s);
    sst_dir_remove(&dir);
}

static bool exists(const char *path)
{
    struct stat st;

    return lstat(path, &st) == 0;
}

/* Python's way: the path stays, and is in the way. Ours, when asked for: it goes. */
static void check_path(const char *name)
{
    const struct sst_class *cls = sst_class(name);
    struct shs_server *server = NULL, *second = NULL;
    struct shs_options opt;
    struct shs_error err;
    struct sst_dir dir;

    sst_dir_make(&dir);
    sst_options(&opt, cls, &dir);
    assert_int_equal(cls->make(&server, &opt, &sst_echo, &err), SHS_OK);
    assert_string_equal(shs_server_host(server), opt.path);
    assert_int_equal(shs_server_port(server), 0);
    shs_server_free(server);
    assert_true(exists(opt.path));
    assert_int_equal(cls->make(&server, &opt, &sst_echo, &err), SHS_IO);
    assert_int_equal(err.sys_errno, EADDRINUSE);
    assert_non_null(strstr(err.text, "is in use"));
    assert_non_null(strstr(err.text, "unlink_on_bind"));
    assert_true(exists(opt.path));

    opt.unlink_on_bind = true;
    assert_int_equal(cls->make(&server, &opt, &sst_echo, &err), SHS_OK);
    /* But nobody's path is taken while he serves. */
    assert_int_equal(cls->make(&second, &opt, &sst_echo, &err), SHS_IO);
    assert_non_null(strstr(err.text, "a server has it"));
    assert_true(exists(opt.path));
    shs_server_free(server);

    opt.unlink_on_close = true;
    assert_int_equal(cls->make(&server, &opt, &sst_echo, &err), SHS_OK);
    assert_int_equal(shs_server_close(server), SHS_OK);
    assert_false(exists(opt.path));
    shs_server_free(server);

    assert_int_equal(cls->make(&server, &opt, &sst_echo, &err), SHS_OK);
    assert_int_equal(unlink(opt.path), 0);
    close(open(opt.path, O_CREAT | O_WRONLY, 0600)); /* somebody's file, where our path was */
    shs_server_free(server);
    assert_true(exists(opt.path));
    /* And a file that is not a socket is never unlinked. */
    assert_int_equal(cls->make(&server, &opt, &sst_echo, &err), SHS_IO);
    assert_true(exists(opt.path));
    sst_dir_remove(&dir);
}

static void test_S36_socket_paths(void **state)
{
    (void)state;
    check_path("UnixStreamServer");
    check_path("UnixDatagramServer");
}

static void test_unix_addresses(void **state)
{
    struct sst_server s;
    struct shs_options opt;
    struct shs_error err;
    struct sst_dir dir;
    char name[64], long_path[120];

    (void)state;
    sst_dir_make(&dir);
    sst_options(&opt, NULL, NULL);
    assert_int_equal(sst_unix_stream_server_new(&s.server, &opt, &sst_echo, &err), SHS_USAGE);
    assert_non_null(strstr(err.text, "needs a path"));
    memset(long_path, 'x', sizeof long_path);
    long_path[108] = '\0';
    opt.path = long_path;
    assert_int_equal(sst_unix_stream_server_new(&s.server, &opt, &sst_echo, &err), SHS_USAGE);
    assert_non_null(strstr(err.text, "at most 107"));
    opt.path = sst_in_dir(&dir, "no/such/directory");
    assert_int_equal(sst_unix_stream_server_new(&s.server, &opt, &sst_echo, &err), SHS_IO);
    assert_int_equal(err.sys_errno, ENOENT);

    /* host is a path as well */
    opt.path = NULL;
    opt.host = sst_in_dir(&dir, "by-host");
    sst_start(&s, sst_class("UnixStreamServer"), &opt, &sst_stream_echo.base);
    assert_string_equal(shs_server_host(s.server), sst_in_dir(&dir, "by-host"));
    sst_ask(&s, &dir, "x\n", "x\n");
    sst_stop(&s);

    /* abstract: no file, and gone with the server */
    snprintf(name, sizeof name, "@shs-test-%ld", (long)getpid());
    opt.host = NULL;
    opt.path = name;
    for (int i = 0; i < 2; i++) {
        sst_start(&s, sst_class(i == 0 ? "UnixStreamServer" : "UnixDatagramServer"), &opt,
                  i == 0 ? &sst_stream_echo.base : &sst_datagram_echo);
        assert_string_equal(shs_server_host(s.server), name);
        sst_ask(&s, &dir, "x\n", "x\n");
        sst_stop(&s);
    }
    opt.path = "@"; /* the kernel's choice */
    sst_start(&s, sst_class("UnixStreamServer"), &opt, &sst_stream_echo.base);
    assert_true(strlen(shs_server_host(s.server)) > 1);
    sst_ask(&s, &dir, "x\n", "x\n");
    sst_stop(&s);
    sst_dir_remove(&dir);
}

/* HTTPServer on a Unix socket: opt.path is enough. */
static int hello_get(struct shs_request *req, struct shs_response *res)
{
    (void)req;
    if (shs_send_response(res, 200) != SHS_OK)
        return SHS_USAGE;
    return shs_write(res, "hello", 5);
}

static void test_http_over_a_unix_socket(void **state)
{
    const struct shs_http_handler handler = {.name = "hello", .do_GET = hello_get};
    struct sst_server s;
    struct shs_options opt;
    struct shs_error err;
    struct sst_dir dir;
    char answer[512];
    ssize_t n;
    int fd;

    (void)state;
    sst_dir_make(&dir);
    sst_options(&opt, sst_class("UnixStreamServer"), &dir);
    assert_int_equal(shs_threading_http_server_new(&s.server, &opt, &handler, &err), SHS_OK);
    assert_string_equal(shs_server_describe(s.server),
                        "ThreadingMixIn > HTTPServer > UnixStreamServer > TCPServer > BaseServer");
    sst_serve(&s);
    fd = sst_dial(&s, &dir);
    sst_say(fd, "GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n", 46);
    n = sst_hear(fd, answer, sizeof answer - 1);
    assert_true(n > 0);
    answer[n] = '\0';
    assert_non_null(strstr(answer, "200 OK"));
    assert_non_null(strstr(answer, "hello"));
    close(fd);
    sst_stop(&s);
    sst_dir_remove(&dir);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_S33_request_is_packet_and_socket),
        cmocka_unit_test(test_max_packet_size_has_bounds),
        cmocka_unit_test(test_S34_the_socket_stays_open),
        cmocka_unit_test(test_closing_waits_for_datagrams),
        cmocka_unit_test(test_closing_lets_late_answers_out),
        cmocka_unit_test(test_a_packet_is_a_short_stream),
        cmocka_unit_test(test_too_long_an_answer),
        cmocka_unit_test(test_wrong_compositions_are_refused),
        cmocka_unit_test(test_S35_datagram_clients_bind_a_path),
        cmocka_unit_test(test_unix_client_address),
        cmocka_unit_test(test_S36_socket_paths),
        cmocka_unit_test(test_unix_addresses),
        cmocka_unit_test(test_http_over_a_unix_socket),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
