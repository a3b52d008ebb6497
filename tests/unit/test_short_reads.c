/*
 * test_short_reads.c - ThreadPoolMixIn: a read that gave less than it may have is not always the
 * last one. The kernel ends one at urgent data, and behind bytes that came with descriptors.
 */
#include "socketserver_support.h"

#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "loopback.h"

/* -- what is said, in two pieces of which one read gives the first ----------------------------- */

enum how { PLAIN, DESCRIPTORS, URGENT };

static void say_with_descriptor(int fd, const char *text)
{
    union {
        struct cmsghdr align;
        char bytes[CMSG_SPACE(sizeof(int))];
    } room = {.align = {0}};
    struct iovec iov = {.iov_base = (void *)(uintptr_t)text, .iov_len = strlen(text)};
    struct msghdr msg = {
        .msg_iov = &iov,
        .msg_iovlen = 1,
        .msg_control = room.bytes,
        .msg_controllen = sizeof room.bytes,
    };
    struct cmsghdr *c = CMSG_FIRSTHDR(&msg);
    int sent = STDERR_FILENO;

    c->cmsg_level = SOL_SOCKET;
    c->cmsg_type = SCM_RIGHTS;
    c->cmsg_len = CMSG_LEN(sizeof sent);
    memcpy(CMSG_DATA(c), &sent, sizeof sent);
    assert_int_equal(sendmsg(fd, &msg, MSG_NOSIGNAL), strlen(text));
}

static void say(int fd, enum how how, const char *first, const char *second)
{
    if (how == DESCRIPTORS)
        say_with_descriptor(fd, first);
    else
        loopback_say(fd, first);
    /* It is no part of the stream. A Unix socket has it since Linux 5.15, if so configured. */
    if (how == URGENT && send(fd, "!", 1, MSG_OOB) != 1)
        skip();
    loopback_say(fd, second);
}

/* -- handlers ---------------------------------------------------------------------------------- */

/* The first word of a client holds its handler until the second one has been said. */
static _Atomic bool held, said;

static void hold(void)
{
    atomic_store(&held, true);
    for (unsigned i = 0; i < SST_PAUSES && !atomic_load(&said); i++)
        sst_pause();
}

struct one_read {
    struct shs_request_handler base;
    bool begun;
    char heard[64];
    size_t len;
};

/* Reads once, and answers the word "abcdef". */
static int one_read_handle(struct shs_request_handler *base)
{
    struct one_read *self = SHS_CONTAINER_OF(base, struct one_read, base);
    size_t got = 0;
    int rc =
        shs_conn_read(base->request, self->heard + self->len, sizeof self->heard - self->len, &got);

    if (rc != SHS_OK)
        return rc == SHS_CLOSED ? SHS_OK : rc;
    if (!self->begun) {
        self->begun = true;
        hold();
        return SHS_WAIT_READ;
    }
    self->len += got;
    if (self->len < 6)
        return SHS_WAIT_READ;
    return shs_conn_write(base->request, self->heard, self->len);
}

static const struct shs_request_handler_class one_read_class = {
    .name = "one_read", .instance_size = sizeof(struct one_read), .handle = one_read_handle};

static int hello_get(struct shs_request *req, struct shs_response *res)
{
    bool first = shs_str_is(shs_request_path(req), "/hold");

    if (first)
        hold();
    SHS_RETURN_IF_ERROR(shs_send_response(res, 200));
    SHS_RETURN_IF_ERROR(shs_end_headers(res));
    return shs_write(res, first ? "first" : "second", first ? 5 : 6);
}

static const struct shs_http_handler hello = {.name = "hello", .do_GET = hello_get};

/* -- the second word is there, all of it, before anybody looks --------------------------------- */

static int make(struct shs_server **out, bool http, const struct shs_options *opt)
{
    if (http)
        return shs_http_server_new(out, opt, &hello, NULL);
    return opt->path != NULL ? shs_unix_stream_server_new(out, opt, &one_read_class, NULL)
                             : shs_tcp_server_new(out, opt, &one_read_class, NULL);
}

/* Answers of HTTP may come in one read. */
static void hear_until(int fd, const char *last)
{
    char all[1024] = "";
    size_t len = 0;

    while (strstr(all, last) == NULL) {
        ssize_t n = sst_hear(fd, all + len, sizeof all - 1 - len);

        assert_true(n > 0);
        len += (size_t)n;
        all[len] = '\0';
    }
}

static void assert_all_is_read(bool http, bool local, enum how how)
{
    struct sst_class cls = {.family = local ? AF_UNIX : AF_INET, .type = SOCK_STREAM};
    struct sst_server s = {.server = NULL};
    struct shs_options opt;
    struct sst_dir dir;
    int fd;

    atomic_store(&held, false);
    atomic_store(&said, false);
    sst_dir_make(&dir);
    sst_options(&opt, &cls, &dir);
    opt.threads = opt.max_threads = 1; /* what is said meanwhile is one event */
    opt.idle_ms = opt.head_ms = (unsigned)patience_ms() * 4; /* nobody is called for that */
    assert_int_equal(make(&s.server, http, &opt), SHS_OK);
    assert_int_equal(shs_thread_pool_mixin_push(s.server, NULL), SHS_OK);
    sst_serve(&s);
    fd = sst_dial(&s, &dir);
    loopback_say(fd, http ? "GET /hold HTTP/1.1\r\nHost: a\r\n\r\n" : "hold");
    sst_wait_until(atomic_load(&held));
    if (http)
        say(fd, how, "GET / HTTP/1.1\r\nHo", "st: a\r\n\r\n");
    else
        say(fd, how, "abc", "def");
    atomic_store(&said, true);
    hear_until(fd, http ? "second" : "abcdef");
    close(fd);
    sst_stop(&s);
    sst_dir_remove(&dir);
}

static void test_descriptors_before_a_raw_handler(void **state)
{
    (void)state;
    assert_all_is_read(false, true, DESCRIPTORS);
}

static void test_descriptors_before_http(void **state)
{
    (void)state;
    assert_all_is_read(true, true, DESCRIPTORS);
}

static void test_urgent_data_before_a_raw_handler(void **state)
{
    (void)state;
    assert_all_is_read(false, false, URGENT);
}

static void test_urgent_data_before_http(void **state)
{
    (void)state;
    assert_all_is_read(true, false, URGENT);
}

static void test_urgent_data_of_a_unix_socket_before_a_raw_handler(void **state)
{
    (void)state;
    assert_all_is_read(false, true, URGENT);
}

static void test_urgent_data_of_a_unix_socket_before_http(void **state)
{
    (void)state;
    assert_all_is_read(true, true, URGENT);
}

static void test_plain_pieces(void **state)
{
    (void)state;
    assert_all_is_read(false, false, PLAIN);
    assert_all_is_read(false, true, PLAIN);
    assert_all_is_read(true, false, PLAIN);
    assert_all_is_read(true, true, PLAIN);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_plain_pieces),
        cmocka_unit_test(test_descriptors_before_a_raw_handler),
        cmocka_unit_test(test_descriptors_before_http),
        cmocka_unit_test(test_urgent_data_before_a_raw_handler),
        cmocka_unit_test(test_urgent_data_before_http),
        cmocka_unit_test(test_urgent_data_of_a_unix_socket_before_a_raw_handler),
        cmocka_unit_test(test_urgent_data_of_a_unix_socket_before_http),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
