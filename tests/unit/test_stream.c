#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "stream_contract.h"
#include "tls_lab.h"

/* -- memory ------------------------------------------------------------------------------------ */

static void free_both(struct contract_pair *pair)
{
    pair->a->cls->free(pair->a);
    if (pair->b != NULL)
        pair->b->cls->free(pair->b);
}

static void free_b(struct contract_pair *pair)
{
    pair->b->cls->free(pair->b);
    pair->b = NULL;
}

static void reset_b(struct contract_pair *pair)
{
    shs__memory_stream_reset(pair->b);
}

static void open_memory(struct contract_pair *pair)
{
    assert_int_equal(shs__memory_stream_pair(&pair->a, &pair->b, 10000, 0), SHS_OK);
    pair->close = free_both;
    pair->close_b = free_b;
    pair->reset_b = reset_b;
}

static void open_memory_small(struct contract_pair *pair)
{
    assert_int_equal(shs__memory_stream_pair(&pair->a, &pair->b, 100, 3), SHS_OK);
    pair->close = free_both;
    pair->close_b = free_b;
    pair->reset_b = reset_b;
}

static void memory_keeps_the_contract(void **state)
{
    SHS_UNUSED(state);
    contract_all(open_memory);
    contract_all(open_memory_small);
}

static void memory_fails_on_demand(void **state)
{
    struct contract_pair pair = {0};
    struct shs_error err;
    char buf[4];
    size_t n;

    SHS_UNUSED(state);
    open_memory(&pair);
    shs__memory_stream_fail(pair.a, 'r', ENETDOWN);
    assert_int_equal(shs__stream_read(pair.a, buf, sizeof buf, &n), SHS_IO);
    assert_int_equal(shs__stream_describe(pair.a, SHS_IO, &err), SHS_IO);
    assert_int_equal(err.sys_errno, ENETDOWN);
    assert_non_null(strstr(err.text, "Network is down"));
    assert_int_equal(shs__stream_read(pair.a, buf, sizeof buf, &n), SHS_WAIT_READ);
    shs__memory_stream_fail(pair.a, 'w', EPERM);
    assert_int_equal(shs__stream_write(pair.a, "x", 1, &n), SHS_IO);
    assert_int_equal(shs__stream_write(pair.a, "x", 1, &n), SHS_OK);
    pair.close(&pair);
}

/* -- sockets ----------------------------------------------------------------------------------- */

struct sockets {
    int fd[2];
    struct shs_socket_stream end[2];
};

static void close_sockets(struct contract_pair *pair)
{
    struct sockets *own = pair->own;

    close(own->fd[0]);
    if (own->fd[1] >= 0)
        close(own->fd[1]);
    shs__free(own);
}

static void close_socket_b(struct contract_pair *pair)
{
    struct sockets *own = pair->own;

    close(own->fd[1]);
    own->fd[1] = -1;
}

/* A Unix socket that is closed with something unread is reset. */
static void reset_unix_b(struct contract_pair *pair)
{
    struct sockets *own = pair->own;

    assert_int_equal(send(own->fd[0], "x", 1, 0), 1);
    close_socket_b(pair);
}

static void reset_tcp_b(struct contract_pair *pair)
{
    const struct linger at_once = {.l_onoff = 1, .l_linger = 0};
    struct sockets *own = pair->own;

    assert_int_equal(setsockopt(own->fd[1], SOL_SOCKET, SO_LINGER, &at_once, sizeof at_once), 0);
    close_socket_b(pair);
}

/* Two ends of a TCP connection, with little room between them. */
static void connect_tcp(int fd[2])
{
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    int listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), room = 16384;
    socklen_t len = sizeof address;

    assert_true(listener >= 0);
    setsockopt(listener, SOL_SOCKET, SO_RCVBUF, &room, sizeof room);
    assert_int_equal(bind(listener, (struct sockaddr *)&address, len), 0);
    assert_int_equal(listen(listener, 1), 0);
    assert_int_equal(getsockname(listener, (struct sockaddr *)&address, &len), 0);
    fd[1] = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    setsockopt(fd[1], SOL_SOCKET, SO_RCVBUF, &room, sizeof room);
    assert_int_equal(connect(fd[1], (struct sockaddr *)&address, len), 0);
    fd[0] = accept(listener, NULL, NULL);
    assert_true(fd[0] >= 0);
    close(listener);
    for (int i = 0; i < 2; i++) {
        int yes = 1;

        setsockopt(fd[i], SOL_SOCKET, SO_SNDBUF, &room, sizeof room);
        setsockopt(fd[i], IPPROTO_TCP, TCP_NODELAY, &yes, sizeof yes);
        assert_int_equal(fcntl(fd[i], F_SETFL, O_NONBLOCK), 0);
    }
}

static void open_socket_ends(struct contract_pair *pair, bool tcp)
{
    struct sockets *own = shs__calloc(1, sizeof *own);
    int i;

    assert_non_null(own);
    if (tcp)
        connect_tcp(own->fd);
    else
        assert_int_equal(
            socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, own->fd), 0);
    for (i = 0; i < 2; i++)
        shs__socket_stream_init(&own->end[i], own->fd[i]);
    pair->a = &own->end[0].base;
    pair->b = &own->end[1].base;
    pair->own = own;
    pair->close = close_sockets;
    pair->close_b = close_socket_b;
    pair->reset_b = tcp ? reset_tcp_b : reset_unix_b;
}

static void open_sockets(struct contract_pair *pair)
{
    open_socket_ends(pair, false);
}

static void open_tcp(struct contract_pair *pair)
{
    open_socket_ends(pair, true);
}

static void sockets_keep_the_contract(void **state)
{
    SHS_UNUSED(state);
    contract_all(open_sockets);
}

/* Waits for what is on its way from b, an end at least. */
static void await_a(const struct contract_pair *pair)
{
    const struct sockets *own = pair->own;
    struct pollfd peer = {.fd = own->fd[0], .events = POLLIN};

    assert_int_equal(poll(&peer, 1, 10000), 1);
}

static int read_a(const struct contract_pair *pair)
{
    char buf[64];
    size_t got;

    return shs__stream_read(pair->a, buf, sizeof buf, &got);
}

static int write_a(const struct contract_pair *pair)
{
    size_t put;

    return shs__stream_write(pair->a, "anybody?", 8, &put);
}

static void the_end_is_told_for_good(struct contract_pair *pair, int code)
{
    for (int i = 0; i < 3; i++)
        assert_int_equal(read_a(pair), code);
    pair->close(pair);
}

/* The four ends, in the orders in which they can come. */
static void tcp_ends_are_told_apart(void **state)
{
    struct contract_pair pair = {0};
    struct sockets *own;

    SHS_UNUSED(state);
    open_tcp(&pair); /* in order, with last words; and then the close that our words reset */
    contract_write(pair.b, "last words", 10);
    close_socket_b(&pair);
    await_a(&pair);
    assert_int_equal(write_a(&pair), SHS_OK);
    for (int i = 0; i < 1000 && write_a(&pair) == SHS_OK; i++)
        poll(NULL, 0, 1); /* until the reset is here */
    assert_int_equal(write_a(&pair), SHS_RESET);
    assert_int_equal(read_a(&pair), SHS_OK);
    the_end_is_told_for_good(&pair, SHS_CLOSED);

    open_tcp(&pair); /* a reset behind words, which a write has seen first */
    contract_write(pair.b, "last words", 10);
    await_a(&pair);
    reset_tcp_b(&pair);
    for (int i = 0; i < 1000 && write_a(&pair) == SHS_OK; i++)
        poll(NULL, 0, 1);
    assert_int_equal(read_a(&pair), SHS_OK);
    the_end_is_told_for_good(&pair, SHS_RESET);

    open_tcp(&pair); /* ours: what came before it can be read, and something may be said */
    own = pair.own;
    contract_write(pair.b, "last words", 10);
    await_a(&pair);
    shs__socket_stream_cut(&own->end[0], SHUT_RD);
    assert_int_equal(read_a(&pair), SHS_OK);
    assert_int_equal(read_a(&pair), SHS_STOPPED);
    assert_int_equal(write_a(&pair), SHS_OK);
    shs__socket_stream_cut(&own->end[0], SHUT_RDWR);
    shs__socket_stream_cut(&own->end[0], SHUT_RD);
    assert_int_equal(write_a(&pair), SHS_STOPPED);
    the_end_is_told_for_good(&pair, SHS_STOPPED);

    open_tcp(&pair); /* ours, and the peer had come to its end before */
    own = pair.own;
    close_socket_b(&pair);
    await_a(&pair);
    shs__socket_stream_cut(&own->end[0], SHUT_RDWR);
    the_end_is_told_for_good(&pair, SHS_CLOSED);

    open_tcp(&pair); /* our own end is no failure of anybody's */
    assert_int_equal(shs__stream_shutdown(pair.a), SHS_OK);
    assert_int_equal(write_a(&pair), SHS_CLOSED);
    assert_int_equal(read_a(&pair), SHS_WAIT_READ);
    pair.close(&pair);
}

/* Another owner of the connection may have read what epoll told of. */
static void what_was_told_may_be_gone(void **state)
{
    struct contract_pair pair = {0};
    struct sockets *own;

    SHS_UNUSED(state);
    open_tcp(&pair);
    own = pair.own;
    own->end[0].told_ns = shs_now_ns();
    assert_int_equal(shs__stream_ready(pair.a), SHS_WAIT_READ);
    contract_write(pair.b, "x", 1);
    await_a(&pair);
    assert_int_equal(shs__stream_ready(pair.a), SHS_OK);
    pair.close(&pair);
}

static void a_reset_of_tcp_is_told(void **state)
{
    SHS_UNUSED(state);
    contract_reset(open_tcp);
}

/* Each of many short writes costs a Unix socket more than its bytes: yet what is read is seen. */
static void a_unix_socket_tells_of_short_writes(void **state)
{
    static const char piece[100];
    struct shs_socket_stream a;
    char buf[20 * sizeof piece];
    uint64_t before, after;
    size_t put = 0;
    int fd[2], rc;

    SHS_UNUSED(state);
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, fd), 0);
    shs__socket_stream_init(&a, fd[0]);
    do {
        rc = shs__stream_write(&a.base, piece, sizeof piece, &put);
    } while (rc == SHS_OK);
    assert_int_equal(rc, SHS_WAIT_WRITE);
    before = shs__stream_delivered(&a.base);
    assert_int_equal(recv(fd[1], buf, sizeof buf, 0), sizeof buf);
    after = shs__stream_delivered(&a.base);
    assert_true(after >= before + sizeof buf);
    assert_int_equal(shs__stream_delivered(&a.base), after);
    close(fd[0]);
    close(fd[1]);
}

/* epoll has told one thread of it, and another has read it before that one had its turn. */
static void what_was_told_may_have_been_read(void **state)
{
    struct shs_socket_stream a;
    size_t got = 0;
    char byte;
    int fd[2];

    SHS_UNUSED(state);
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, fd), 0);
    shs__socket_stream_init(&a, fd[0]);
    assert_int_equal(send(fd[1], "x", 1, MSG_NOSIGNAL), 1);
    a.told_ns = shs_now_ns();
    assert_int_equal(shs__stream_ready(&a.base), SHS_OK);
    assert_int_equal(shs__stream_read(&a.base, &byte, 1, &got), SHS_OK);
    a.told_ns = shs_now_ns();
    assert_int_equal(shs__stream_ready(&a.base), SHS_WAIT_READ);
    close(fd[1]);
    assert_int_equal(shs__stream_ready(&a.base), SHS_OK); /* the end is something to read */
    close(fd[0]);
}

static void sockets_count_bytes(void **state)
{
    struct contract_pair pair = {0};
    struct sockets *own;

    SHS_UNUSED(state);
    open_sockets(&pair);
    own = pair.own;
    contract_move(pair.a, pair.b, 1234, 100);
    assert_int_equal(own->end[0].bytes_out, 1234);
    assert_int_equal(own->end[1].bytes_in, 1234);
    pair.close(&pair);
}

/* -- TLS, over both ---------------------------------------------------------------------------- */

struct tls_over {
    struct contract_pair lower;
    struct shs_tls_context *server, *client;
};

static void close_tls(struct contract_pair *pair)
{
    struct tls_over *own = pair->own;

    pair->a->cls->free(pair->a);
    if (pair->b != NULL)
        pair->b->cls->free(pair->b);
    own->lower.close(&own->lower);
    shs__tls_context_free(own->server);
    shs__tls_context_free(own->client);
    shs__free(own);
}

static void reset_tls_b(struct contract_pair *pair)
{
    struct tls_over *own = pair->own;

    own->lower.reset_b(&own->lower);
}

static void close_tls_b(struct contract_pair *pair)
{
    struct tls_over *own = pair->own;

    free_b(pair);
    own->lower.close_b(&own->lower);
}

static void open_tls(struct contract_pair *pair, contract_open_fn *open_lower, int version,
                     bool server_is_a)
{
    struct tls_over *own = shs__calloc(1, sizeof *own);
    struct shs_tls_stream *server = NULL, *client = NULL;

    assert_non_null(own);
    open_lower(&own->lower);
    own->server = lab_server(&group_lab);
    own->client = lab_client(&group_lab, version);
    assert_int_equal(
        shs__tls_stream_new(&server, own->server, server_is_a ? own->lower.a : own->lower.b),
        SHS_OK);
    assert_int_equal(
        shs__tls_stream_new(&client, own->client, server_is_a ? own->lower.b : own->lower.a),
        SHS_OK);
    assert_int_equal(lab_handshake(server, client), SHS_OK);
    assert_int_equal(server->facts.tls13, version == TLS1_3_VERSION);
    pair->a = server_is_a ? &server->base : &client->base;
    pair->b = server_is_a ? &client->base : &server->base;
    pair->own = own;
    pair->close = close_tls;
    pair->close_b = close_tls_b;
    pair->reset_b = reset_tls_b;
}

static void open_tls13_memory(struct contract_pair *pair)
{
    open_tls(pair, open_memory, TLS1_3_VERSION, true);
}
static void open_tls13_memory_small(struct contract_pair *pair)
{
    open_tls(pair, open_memory_small, TLS1_3_VERSION, true);
}
static void open_tls12_memory(struct contract_pair *pair)
{
    open_tls(pair, open_memory, TLS1_2_VERSION, true);
}
static void open_tls13_client(struct contract_pair *pair)
{
    open_tls(pair, open_memory, TLS1_3_VERSION, false);
}
static void open_tls13_sockets(struct contract_pair *pair)
{
    open_tls(pair, open_sockets, TLS1_3_VERSION, true);
}
static void open_tls12_sockets(struct contract_pair *pair)
{
    open_tls(pair, open_sockets, TLS1_2_VERSION, true);
}

static void tls_over_memory_keeps_the_contract(void **state)
{
    SHS_UNUSED(state);
    contract_all(open_tls13_memory);
    contract_all(open_tls13_memory_small);
    contract_all(open_tls12_memory);
    contract_all(open_tls13_client);
}

static void tls_over_sockets_keeps_the_contract(void **state)
{
    SHS_UNUSED(state);
    contract_all(open_tls13_sockets);
    contract_all(open_tls12_sockets);
}

/* What a connection that was reset has not sent is never sent: nobody should wait for it. */
static void nothing_is_unsent_after_a_reset(void **state)
{
    const struct linger at_once = {.l_onoff = 1, .l_linger = 0};
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t len = sizeof address;
    struct shs_socket_stream stream = {.fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0)};
    int listener = socket(AF_INET, SOCK_STREAM, 0), peer;
    struct pollfd reset = {.fd = stream.fd};
    static const char bytes[65536];

    (void)state;
    assert_int_equal(bind(listener, (struct sockaddr *)&address, len), 0);
    assert_int_equal(listen(listener, 1), 0);
    assert_int_equal(getsockname(listener, (struct sockaddr *)&address, &len), 0);
    (void)connect(stream.fd, (struct sockaddr *)&address, len);
    peer = accept(listener, NULL, NULL);
    assert_true(peer >= 0);
    while (send(stream.fd, bytes, sizeof bytes, MSG_NOSIGNAL) > 0)
        continue; /* until neither end has room */
    assert_true(shs__socket_unsent(&stream) > 0);
    assert_int_equal(setsockopt(peer, SOL_SOCKET, SO_LINGER, &at_once, sizeof at_once), 0);
    close(peer);
    assert_int_equal(poll(&reset, 1, 60000), 1);
    assert_int_equal(shs__socket_unsent(&stream), 0);
    close(stream.fd);
    close(listener);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(nothing_is_unsent_after_a_reset),
        cmocka_unit_test(memory_keeps_the_contract),
        cmocka_unit_test(memory_fails_on_demand),
        cmocka_unit_test(sockets_keep_the_contract),
        cmocka_unit_test(tcp_ends_are_told_apart),
        cmocka_unit_test(what_was_told_may_be_gone),
        cmocka_unit_test(a_reset_of_tcp_is_told),
        cmocka_unit_test(what_was_told_may_have_been_read),
        cmocka_unit_test(sockets_count_bytes),
        cmocka_unit_test(a_unix_socket_tells_of_short_writes),
        cmocka_unit_test(tls_over_memory_keeps_the_contract),
        cmocka_unit_test(tls_over_sockets_keeps_the_contract),
    };

    return cmocka_run_group_tests(tests, lab_setup, lab_teardown);
}
