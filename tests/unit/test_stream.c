#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
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

static void open_memory(struct contract_pair *pair)
{
    assert_int_equal(shs__memory_stream_pair(&pair->a, &pair->b, 10000, 0), SHS_OK);
    pair->close = free_both;
    pair->close_b = free_b;
}

static void open_memory_small(struct contract_pair *pair)
{
    assert_int_equal(shs__memory_stream_pair(&pair->a, &pair->b, 100, 3), SHS_OK);
    pair->close = free_both;
    pair->close_b = free_b;
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

static void open_sockets(struct contract_pair *pair)
{
    struct sockets *own = shs__calloc(1, sizeof *own);
    int i;

    assert_non_null(own);
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, own->fd),
                     0);
    for (i = 0; i < 2; i++)
        shs__socket_stream_init(&own->end[i], own->fd[i]);
    pair->a = &own->end[0].base;
    pair->b = &own->end[1].base;
    pair->own = own;
    pair->close = close_sockets;
    pair->close_b = close_socket_b;
}

static void sockets_keep_the_contract(void **state)
{
    SHS_UNUSED(state);
    contract_all(open_sockets);
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
    assert_int_equal(SSL_version(server->ssl), version);
    pair->a = server_is_a ? &server->base : &client->base;
    pair->b = server_is_a ? &client->base : &server->base;
    pair->own = own;
    pair->close = close_tls;
    pair->close_b = close_tls_b;
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

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(memory_keeps_the_contract),
        cmocka_unit_test(memory_fails_on_demand),
        cmocka_unit_test(sockets_keep_the_contract),
        cmocka_unit_test(sockets_count_bytes),
        cmocka_unit_test(tls_over_memory_keeps_the_contract),
        cmocka_unit_test(tls_over_sockets_keeps_the_contract),
    };

    return cmocka_run_group_tests(tests, lab_setup, lab_teardown);
}
