/* test_udp_answers.c - from where a datagram's answer comes, and what a lack of memory costs. */
#include "socketserver_support.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "loopback.h"

/* The kernel's memory for sending, for this program: sendmsg is ours. */
static _Atomic int no_buffers, tries;

ssize_t sendmsg(int fd, const struct msghdr *msg, int flags)
{
    tries++;
    if (no_buffers > 0) {
        no_buffers--;
        errno = ENOBUFS;
        return -1;
    }
    return (ssize_t)syscall(SYS_sendmsg, fd, msg, flags);
}

/* Asks for room again and again, and there is some each time. */
static int ask_for_room(struct shs_request_handler *self)
{
    static _Atomic unsigned calls;

    if (++calls % 20 != 0)
        return SHS_WAIT_WRITE;
    return shs_conn_sendto(self->request, "room", 4);
}

static const struct shs_request_handler_class asking = {
    .name = "ask_for_room",
    .instance_size = sizeof(struct shs_request_handler),
    .handle = ask_for_room,
};

static void start(struct shs_server **server, pthread_t *thread, const char *host)
{
    struct shs_options opt;
    struct shs_error err = {.code = SHS_OK};

    shs_options_init(&opt);
    opt.host = host;
    opt.close_ms = 200;
    if (shs_udp_server_new(server, &opt, &sst_datagram_echo, &err) != SHS_OK)
        fail_msg("%s: %s", host, err.text);
    assert_int_equal(pthread_create(thread, NULL, loopback_serve, *server), 0);
}

typedef int push_fn(struct shs_server *server, struct shs_error *err);

static void start_asking(struct shs_server **server, pthread_t *thread, push_fn *push)
{
    struct shs_options opt;
    struct shs_error err = {.code = SHS_OK};

    shs_options_init(&opt);
    opt.host = "127.0.0.1";
    opt.bind_and_activate = false;
    opt.idle_ms = 10 * (unsigned)patience_ms();
    opt.close_ms = 200;
    assert_int_equal(shs_udp_server_new(server, &opt, &asking, &err), SHS_OK);
    if (push != NULL)
        assert_int_equal(push(*server, &err), SHS_OK);
    assert_int_equal(shs_server_bind_and_activate(*server, &err), SHS_OK);
    assert_int_equal(pthread_create(thread, NULL, loopback_serve, *server), 0);
}

static void stop(struct shs_server *server, pthread_t thread)
{
    assert_int_equal(shs_shutdown_wait(server, (unsigned)patience_ms()), SHS_OK);
    pthread_join(thread, NULL);
    shs_server_free(server);
}

/* A client that is connected hears nobody but whom it has asked. */
static void asks(int family, const char *address, unsigned port)
{
    union {
        struct sockaddr sa;
        struct sockaddr_in in;
        struct sockaddr_in6 in6;
    } to;
    int fd = socket(family, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    struct pollfd p = {.fd = fd, .events = POLLIN};
    char buf[16];

    memset(&to, 0, sizeof to);
    to.sa.sa_family = (sa_family_t)family;
    if (family == AF_INET) {
        to.in.sin_port = htons((uint16_t)port);
        assert_int_equal(inet_pton(family, address, &to.in.sin_addr), 1);
    } else {
        to.in6.sin6_port = htons((uint16_t)port);
        assert_int_equal(inet_pton(family, address, &to.in6.sin6_addr), 1);
    }
    assert_true(fd >= 0);
    assert_int_equal(connect(fd, &to.sa, family == AF_INET ? sizeof to.in : sizeof to.in6), 0);
    assert_int_equal(send(fd, "who?", 4, 0), 4);
    if (poll(&p, 1, patience_ms()) != 1)
        fail_msg("no answer from %s", address);
    assert_int_equal(recv(fd, buf, sizeof buf, 0), 4);
    close(fd);
}

static bool has_ipv6(void)
{
    struct sockaddr_in6 address = {.sin6_family = AF_INET6, .sin6_addr = IN6ADDR_LOOPBACK_INIT};
    int fd = socket(AF_INET6, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    bool has = fd >= 0 && bind(fd, (struct sockaddr *)&address, sizeof address) == 0;

    if (fd >= 0)
        close(fd);
    return has;
}

static void test_the_answer_comes_from_the_asked_address(void **state)
{
    static const char *const hosts[] = {"0.0.0.0", "", "127.0.0.1"};
    struct shs_server *server = NULL;
    pthread_t thread;

    (void)state;
    for (size_t i = 0; i < sizeof hosts / sizeof hosts[0]; i++) {
        start(&server, &thread, hosts[i]);
        asks(AF_INET, "127.0.0.1", shs_server_port(server));
        if (i < 2) {
            asks(AF_INET, "127.0.0.2", shs_server_port(server));
            asks(AF_INET, "127.3.2.1", shs_server_port(server));
        }
        if (i == 1 && has_ipv6())
            asks(AF_INET6, "::1", shs_server_port(server));
        stop(server, thread);
    }
}

/* Nobody tells when there is memory again: it is tried now and then, not all the time. */
static void test_no_memory_for_an_answer_does_not_spin(void **state)
{
    struct shs_server *server = NULL;
    pthread_t thread;
    int64_t then;

    (void)state;
    start(&server, &thread, "127.0.0.1");
    tries = 0;
    no_buffers = 20;
    then = shs_now_ns();
    asks(AF_INET, "127.0.0.1", shs_server_port(server));
    assert_int_equal(tries, 21);
    assert_true(shs_now_ns() - then >= 20 * (int64_t)4 * 1000000);
    stop(server, thread);
}

/* Nobody has to tell a handler that there is room. */
static void who_waits_for_room_answers(void **state)
{
    static push_fn *const pushes[] = {NULL, shs_threading_mixin_push, shs_thread_pool_mixin_push};
    struct shs_server *server;
    pthread_t thread;

    (void)state;
    for (size_t i = 0; i < sizeof pushes / sizeof pushes[0]; i++) {
        start_asking(&server, &thread, pushes[i]);
        asks(AF_INET, "127.0.0.1", shs_server_port(server));
        stop(server, thread);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_the_answer_comes_from_the_asked_address),
        cmocka_unit_test(test_no_memory_for_an_answer_does_not_spin),
        cmocka_unit_test(who_waits_for_room_answers),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
