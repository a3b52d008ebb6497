/* test_half_close.c - a client that has ended its data sees the end of ours behind the answer. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <poll.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <shs/shs.h>

#include "base/base.h"
#include "loopback.h"
#include "patience.h"

typedef int push_fn(struct shs_server *server, struct shs_error *err);

static int push_nothing(struct shs_server *server, struct shs_error *err)
{
    SHS_UNUSED(server);
    SHS_UNUSED(err);
    return SHS_OK;
}

/* GET /N: N bytes, which leave when the handler has returned. */
static int get_bytes(struct shs_request *req, struct shs_response *res)
{
    static const char data[1 << 20];
    struct shs_str path = shs_request_path(req);
    size_t len = strtoul(path.ptr + 1, NULL, 10);

    SHS_RETURN_IF_ERROR(shs_send_response(res, 200));
    SHS_RETURN_IF_ERROR(shs_end_headers(res));
    return shs_write(res, data, len < sizeof data ? len : sizeof data);
}
static const struct shs_http_handler bytes_handler = {.name = "bytes", .do_GET = get_bytes};

/* Everything until the end of the stream; fails the test if that does not come. */
static size_t hear_all(int fd)
{
    static char buf[65536];
    size_t total = 0;

    for (;;) {
        struct pollfd p = {.fd = fd, .events = POLLIN};
        ssize_t n;

        assert_int_equal(poll(&p, 1, patience_ms()), 1);
        n = recv(fd, buf, sizeof buf, 0);
        assert_true(n >= 0);
        if (n == 0)
            return total;
        total += (size_t)n;
    }
}

/* The end comes at every place: before the answer, while it waits for room, and behind it. */
static void one_client(unsigned port, unsigned bytes, unsigned pause_ms)
{
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), room = 16384;
    char path[32];

    assert_true(fd >= 0);
    setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &room, sizeof room);
    loopback_connect(fd, port);
    snprintf(path, sizeof path, "/%u", bytes);
    loopback_ask(fd, path);
    poll(NULL, 0, (int)pause_ms);
    assert_int_equal(shutdown(fd, SHUT_WR), 0);
    poll(NULL, 0, (int)pause_ms);
    assert_true(hear_all(fd) > bytes);
    close(fd);
}

static void a_half_closed_client_sees_the_end(void **state)
{
    push_fn *push = (push_fn *)(uintptr_t)*state;
    struct shs_server *server;
    struct shs_options opt;
    struct shs_error err;
    pthread_t thread;

    shs_options_init(&opt);
    opt.bind_and_activate = false;
    opt.idle_ms = opt.head_ms = opt.stop_ms = 600000;
    opt.close_ms = 500;
    opt.max_buffered_response = 1 << 20;
    assert_int_equal(shs_http_server_new(&server, &opt, &bytes_handler, &err), SHS_OK);
    assert_int_equal(push(server, &err), SHS_OK);
    assert_int_equal(shs_server_bind_and_activate(server, &err), SHS_OK);
    assert_int_equal(pthread_create(&thread, NULL, loopback_serve, server), 0);
    for (unsigned bytes = 1000; bytes < 1000000; bytes += 50000)
        one_client(shs_server_port(server), bytes, bytes % 100000 == 1000 ? 4 : 0);
    assert_int_equal(shs_shutdown_wait(server, (unsigned)patience_ms()), SHS_OK);
    pthread_join(thread, NULL);
    shs_server_free(server);
}

#define WITH(push)                                                                                 \
    {                                                                                              \
        "a_half_closed_client_sees_the_end, " #push, a_half_closed_client_sees_the_end, NULL,      \
            NULL, (void *)(uintptr_t)(push)                                                        \
    }

int main(void)
{
    const struct CMUnitTest tests[] = {
        WITH(push_nothing),
        WITH(shs_threading_mixin_push),
        WITH(shs_thread_pool_mixin_push),
        WITH(shs_forking_mixin_push),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
