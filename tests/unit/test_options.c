/* test_options.c - options of every version, and each number in them at its ends. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <limits.h>
#include <poll.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include <shs/shs.h>

#include "base/base.h"
#include "loopback.h"
#include "patience.h"
#include "tls_lab.h"

static int hello(struct shs_request *req, struct shs_response *res)
{
    SHS_UNUSED(req);
    SHS_RETURN_IF_ERROR(shs_send_response(res, 200));
    SHS_RETURN_IF_ERROR(shs_end_headers(res));
    return shs_write(res, "hello", 5);
}
static const struct shs_http_handler hello_handler = {.name = "hello", .do_GET = hello};

static int nothing(struct shs_request_handler *self)
{
    SHS_UNUSED(self);
    return SHS_OK;
}
static const struct shs_request_handler_class nothing_class = {
    .name = "Nothing", .instance_size = sizeof(struct shs_request_handler), .handle = nothing};

typedef int push_fn(struct shs_server *server, struct shs_error *err);

static int push_nothing(struct shs_server *server, struct shs_error *err)
{
    SHS_UNUSED(server);
    SHS_UNUSED(err);
    return SHS_OK;
}

static push_fn *const mixins[] = {push_nothing, shs_threading_mixin_push,
                                  shs_thread_pool_mixin_push, shs_forking_mixin_push};

/* -- structs with a size ----------------------------------------------------------------------- */

typedef int http_new_fn(struct shs_server **out, const struct shs_options *opt,
                        const struct shs_http_handler *handler, struct shs_error *err);
typedef int new_fn(struct shs_server **out, const struct shs_options *opt,
                   const struct shs_request_handler_class *handler, struct shs_error *err);

static http_new_fn *const http_classes[] = {
    shs_http_server_new,        shs_threading_http_server_new,      shs_forking_http_server_new,
    shs_secure_http_server_new, shs_forking_secure_http_server_new,
};
static new_fn *const classes[] = {
    shs_tcp_server_new,
    shs_udp_server_new,
    shs_unix_stream_server_new,
    shs_unix_datagram_server_new,
    shs_threading_tcp_server_new,
    shs_threading_udp_server_new,
    shs_threading_unix_stream_server_new,
    shs_threading_unix_datagram_server_new,
    shs_forking_tcp_server_new,
    shs_forking_udp_server_new,
    shs_forking_unix_stream_server_new,
    shs_forking_unix_datagram_server_new,
};

static void refused(const struct shs_options *opt, const char *words)
{
    struct shs_server *server = NULL;
    struct shs_error err;

    for (size_t i = 0; i < SHS_ARRAY_LEN(classes); i++) {
        memset(&err, 0, sizeof err);
        assert_int_equal(classes[i](&server, opt, &nothing_class, &err), SHS_USAGE);
        assert_int_equal(err.code, SHS_USAGE);
        assert_non_null(strstr(err.text, words));
        assert_int_equal(classes[i](&server, opt, &nothing_class, NULL), SHS_USAGE);
    }
    for (size_t i = 0; i < SHS_ARRAY_LEN(http_classes); i++) {
        memset(&err, 0, sizeof err);
        assert_int_equal(http_classes[i](&server, opt, &hello_handler, &err), SHS_USAGE);
        assert_non_null(strstr(err.text, words));
    }
    assert_null(server);
}

static void what_was_never_initialised_is_refused(void **state)
{
    struct shs_options opt = {0};

    SHS_UNUSED(state);
    refused(&opt, "shs_options_init");
    opt.size = sizeof opt.size; /* a size, and nothing else */
    refused(&opt, "shs_options_init");
    opt.size = (size_t)-1;
    refused(&opt, "shs_options_init");
    memset(&opt, 0xa5, sizeof opt); /* whatever was on the stack */
    refused(&opt, "shs_options_init");
    refused(NULL, "shs_options_init");
}

static void nulls_are_refused(void **state)
{
    struct shs_server *server = NULL;
    struct shs_options opt;
    struct shs_error err;

    SHS_UNUSED(state);
    shs_options_init(&opt);
    opt.bind_and_activate = false;
    for (size_t i = 0; i < SHS_ARRAY_LEN(classes); i++) {
        assert_int_equal(classes[i](NULL, &opt, &nothing_class, &err), SHS_USAGE);
        assert_non_null(strstr(err.text, "out is NULL"));
        assert_int_equal(classes[i](&server, &opt, NULL, &err), SHS_USAGE);
        assert_non_null(strstr(err.text, "handle"));
    }
    for (size_t i = 0; i < SHS_ARRAY_LEN(http_classes); i++) {
        assert_int_equal(http_classes[i](NULL, &opt, &hello_handler, &err), SHS_USAGE);
        assert_non_null(strstr(err.text, "out is NULL"));
        assert_int_equal(http_classes[i](&server, &opt, NULL, &err), SHS_USAGE);
        assert_non_null(strstr(err.text, "handler"));
    }
    assert_null(server);
}

/* As a caller of that version has it: nothing behind its end is ours to read. ASan looks. */
static struct shs_options *of_size(size_t size)
{
    struct shs_options *opt = shs__malloc(size);

    assert_non_null(opt);
    shs_options_init_sized(opt, size);
    return opt;
}

static void older_options_work(void **state)
{
    static const size_t ends[] = {
        offsetof(struct shs_options, address_family),  offsetof(struct shs_options, path),
        offsetof(struct shs_options, max_threads),     offsetof(struct shs_options, handshake_ms),
        offsetof(struct shs_options, server_version),  offsetof(struct shs_options, threads),
        offsetof(struct shs_options, request_id_field)};

    SHS_UNUSED(state);
    for (size_t i = 0; i < SHS_ARRAY_LEN(ends); i++) {
        struct shs_options *opt = of_size(ends[i]);

        for (size_t k = 0; k < SHS_ARRAY_LEN(http_classes); k++) {
            struct shs_server *server = NULL;
            struct shs_error err = {.code = SHS_OK};
            int rc = http_classes[k](&server, opt, &hello_handler, &err);

            if (k >= 3) { /* TLS: a certificate must be named, and this says so */
                assert_int_not_equal(rc, SHS_OK);
                continue;
            }
            assert_int_equal(rc, SHS_OK);
            assert_int_equal(shs_server_options(server)->stuck_handler_ms, 30000);
            assert_true(shs_server_options(server)->size == sizeof *opt);
            shs_server_free(server);
        }
        shs__free(opt);
    }
}

/* A newer header's members are unknown here: they are zeroed, and not read. */
static void newer_options_work(void **state)
{
    struct shs_server *server = NULL;
    struct shs_error err;
    struct shs_options *opt = of_size(sizeof *opt + 64);

    SHS_UNUSED(state);
    for (size_t i = 0; i < 64; i++)
        assert_int_equal(((char *)opt)[sizeof *opt + i], 0);
    opt->bind_and_activate = false;
    assert_int_equal(shs_http_server_new(&server, opt, &hello_handler, &err), SHS_OK);
    shs_server_free(server);
    shs__free(opt);
}

/* The others that begin with a size: without one they are refused, by name. */
static void so_are_the_other_structs(void **state)
{
    struct shs_static_options site = {0};
    struct shs_tls_config config = {0};
    struct shs_tls_host host = {0};
    struct shs_static_files *files = NULL;
    struct shs_server *server = NULL;
    struct shs_options opt;
    struct shs_error err;

    SHS_UNUSED(state);
    assert_int_equal(shs_static_files_new(&files, &site, &err), SHS_USAGE);
    assert_non_null(strstr(err.text, "shs_static_options_init"));
    assert_int_equal(shs_static_files_new(&files, NULL, &err), SHS_USAGE);
    shs_options_init(&opt);
    opt.bind_and_activate = false;
    assert_int_equal(shs_http_server_new(&server, &opt, &hello_handler, &err), SHS_OK);
    assert_int_equal(shs_tls_mixin_push_config(server, &config, &err), SHS_USAGE);
    assert_non_null(strstr(err.text, "shs_tls_config_init"));
    shs_tls_config_init(&config);
    config.hosts = &host;
    config.host_count = 1;
    assert_int_equal(shs_tls_mixin_push_config(server, &config, &err), SHS_USAGE);
    assert_non_null(strstr(err.text, "shs_tls_host_init"));
    shs_server_free(server);
}

/* -- each number at its ends ------------------------------------------------------------------- */

enum kind { UNSIGNED, SIZE, U64, INT };

struct number {
    const char *name;
    size_t offset;
    enum kind kind;
    bool no_zero, no_max; /* refused, by a message with its name in it */
};

#define NUMBER(member, kind, ...)                                                                  \
    {                                                                                              \
#member, offsetof(struct shs_options, member), kind, __VA_ARGS__                           \
    }

static const struct number numbers[] = {
    NUMBER(request_queue_size, INT, false, false),
    NUMBER(timeout_ms, UNSIGNED, false, false),
    NUMBER(poll_interval_ms, UNSIGNED, false, false),
    NUMBER(max_packet_size, SIZE, false, false),
    NUMBER(max_connections, UNSIGNED, true, false),
    NUMBER(max_threads, UNSIGNED, true, false),
    NUMBER(thread_stack_size, SIZE, false, true),
    NUMBER(max_children, UNSIGNED, true, false),
    NUMBER(handshake_ms, UNSIGNED, false, false),
    NUMBER(head_ms, UNSIGNED, false, false),
    NUMBER(idle_ms, UNSIGNED, false, false),
    NUMBER(body_ms, UNSIGNED, false, false),
    NUMBER(write_ms, UNSIGNED, false, false),
    NUMBER(min_rate, UNSIGNED, false, false),
    NUMBER(close_ms, UNSIGNED, false, false),
    NUMBER(stop_ms, UNSIGNED, false, false),
    NUMBER(connection_age_ms, UNSIGNED, false, false),
    NUMBER(max_requests_per_connection, UNSIGNED, false, false),
    NUMBER(max_request_line, SIZE, false, false),
    NUMBER(max_head_bytes, SIZE, true, true),
    NUMBER(max_headers, SIZE, true, true),
    NUMBER(max_body_bytes, U64, false, false),
    NUMBER(max_buffered_body, SIZE, false, false),
    NUMBER(max_buffered_response, SIZE, false, false),
    NUMBER(threads, UNSIGNED, false, false),
    NUMBER(thread_groups, UNSIGNED, false, false),
    NUMBER(spare_ms, UNSIGNED, false, false),
    NUMBER(queue_ms, UNSIGNED, false, false),
    NUMBER(max_queue, UNSIGNED, false, false),
    NUMBER(max_connections_per_address, UNSIGNED, false, false),
    NUMBER(max_requests_per_turn, UNSIGNED, false, false),
    NUMBER(stuck_handler_ms, UNSIGNED, false, false),
    NUMBER(late_ms, UNSIGNED, false, false),
};

static void set_number(struct shs_options *opt, const struct number *n, uint64_t value)
{
    void *at = (char *)opt + n->offset;

    switch (n->kind) {
    case UNSIGNED:
        *(unsigned *)at = value > UINT_MAX ? UINT_MAX : (unsigned)value;
        break;
    case SIZE:
        *(size_t *)at = value > SIZE_MAX ? SIZE_MAX : (size_t)value;
        break;
    case U64:
        *(uint64_t *)at = value;
        break;
    case INT:
        *(int *)at = value > INT_MAX ? INT_MAX : (int)value;
        break;
    }
}

/* One request, with whatever answer, or none: within the limit, and without a crash. Largest values
   mean "no limit": the answer is whole then. */
static void ask_once(unsigned port, const char *name, bool must_answer)
{
    int fd = loopback_dial(port);
    struct pollfd p = {.fd = fd, .events = POLLIN};
    char buf[1024];
    ssize_t n;

    loopback_ask(fd, "/");
    assert_int_equal(poll(&p, 1, patience_ms()), 1);
    n = recv(fd, buf, sizeof buf - 1, 0);
    buf[n < 0 ? 0 : n] = '\0';
    if (must_answer && strstr(buf, "200 OK") == NULL)
        fail_msg("%s: \"%s\"", name, buf);
    /* A child has a copy of it: closing alone would not tell the server. */
    shutdown(fd, SHUT_RDWR);
    close(fd);
}

static void try_value(const struct number *n, uint64_t value, push_fn *push)
{
    struct shs_server *server = NULL;
    struct shs_error err = {.code = SHS_OK};
    struct shs_options opt;
    pthread_t thread;
    void *served = NULL;
    int rc;

    shs_options_init(&opt);
    opt.bind_and_activate = false;
    opt.close_ms = 200;
    set_number(&opt, n, value);
    rc = shs_http_server_new(&server, &opt, &hello_handler, &err);
    if (rc == SHS_OK) {
        rc = push(server, &err);
        if (rc != SHS_OK)
            shs_server_free(server);
    }
    if (rc != SHS_OK) {
        bool may = value == 0 ? n->no_zero : value == 1 ? n->no_zero : n->no_max;

        if (!may || rc != SHS_USAGE || strstr(err.text, n->name) == NULL)
            fail_msg("%s = %llu: %d %s", n->name, (unsigned long long)value, rc, err.text);
        return;
    }
    assert_int_equal(shs_server_bind_and_activate(server, &err), SHS_OK);
    assert_int_equal(pthread_create(&thread, NULL, loopback_serve, server), 0);
    ask_once(shs_server_port(server), n->name, value > 1);
    ask_once(shs_server_port(server), n->name, value > 1);
    assert_int_equal(shs_shutdown_wait(server, (unsigned)patience_ms()), SHS_OK);
    pthread_join(thread, &served);
    assert_int_equal((intptr_t)served, SHS_OK);
    shs_server_free(server);
}

static void every_number_at_its_ends(void **state)
{
    push_fn *push = (push_fn *)(uintptr_t)*state;

    for (size_t i = 0; i < SHS_ARRAY_LEN(numbers); i++) {
        try_value(&numbers[i], 0, push);
        try_value(&numbers[i], 1, push);
        try_value(&numbers[i], UINT64_MAX, push);
    }
}

static void no_limit_for_several_groups(void **state)
{
    struct shs_server *server = NULL;
    struct shs_options opt;
    pthread_t thread;

    SHS_UNUSED(state);
    shs_options_init(&opt);
    opt.bind_and_activate = false;
    opt.close_ms = 200;
    opt.max_threads = UINT_MAX;
    opt.stop_ms = UINT_MAX;
    opt.thread_groups = 2;
    assert_int_equal(shs_http_server_new(&server, &opt, &hello_handler, NULL), SHS_OK);
    assert_int_equal(shs_thread_pool_mixin_push(server, NULL), SHS_OK);
    assert_int_equal(shs_server_bind_and_activate(server, NULL), SHS_OK);
    assert_int_equal(pthread_create(&thread, NULL, loopback_serve, server), 0);
    for (int i = 0; i < 20; i++)
        ask_once(shs_server_port(server), "groups", true);
    assert_int_equal(shs_shutdown_wait(server, (unsigned)patience_ms()), SHS_OK);
    pthread_join(thread, NULL);
    assert_int_equal(shs_server_close(server), SHS_OK);
    /* That is 49 days from now, not a moment of the past. */
    assert_true(shs_server_stop_deadline(server) - shs_now_ns() > (int64_t)4000000 * SHS_NS_PER_S);
    shs_server_free(server);
}

/* The smallest stack is what a TLS handshake and an answer need. */
static void small_stacks_are_large_enough(void **state)
{
    static const size_t sizes[] = {0, 1, 16384};

    SHS_UNUSED(state);
    for (size_t i = 0; i < SHS_ARRAY_LEN(sizes); i++) {
        for (size_t k = 1; k < 3; k++) {
            struct shs_options opt = group_lab.opt;
            struct shs_tls_context *context = lab_client(&group_lab, 0);
            struct shs_server *server = NULL;
            pthread_t thread;
            char buf[1024];
            SSL *ssl;
            int fd, n;

            opt.bind_and_activate = false;
            opt.close_ms = 200;
            opt.thread_stack_size = sizes[i];
            assert_int_equal(shs_http_server_new(&server, &opt, &hello_handler, NULL), SHS_OK);
            assert_int_equal(shs_tls_mixin_push(server, NULL), SHS_OK);
            assert_int_equal(mixins[k](server, NULL), SHS_OK);
            assert_int_equal(shs_server_bind_and_activate(server, NULL), SHS_OK);
            assert_int_equal(pthread_create(&thread, NULL, loopback_serve, server), 0);
            fd = loopback_dial(shs_server_port(server));
            ssl = SSL_new(context->ssl_ctx);
            assert_non_null(ssl);
            assert_int_equal(SSL_set_fd(ssl, fd), 1);
            assert_int_equal(SSL_connect(ssl), 1);
            assert_true(SSL_write(ssl, "GET / HTTP/1.1\r\nHost: a\r\n\r\n", 27) == 27);
            n = SSL_read(ssl, buf, sizeof buf - 1);
            assert_true(n > 0);
            buf[n] = '\0';
            assert_non_null(strstr(buf, "200 OK"));
            SSL_free(ssl);
            close(fd);
            shs__tls_context_free(context);
            assert_int_equal(shs_shutdown_wait(server, (unsigned)patience_ms()), SHS_OK);
            pthread_join(thread, NULL);
            shs_server_free(server);
        }
    }
}

static void an_interval_of_nothing_does_not_spin(void **state)
{
    struct shs_server *server = NULL;
    struct shs_options opt;
    struct rusage from, to;
    pthread_t thread;
    int64_t cpu_us;

    SHS_UNUSED(state);
    shs_options_init(&opt);
    opt.poll_interval_ms = 0;
    assert_int_equal(shs_http_server_new(&server, &opt, &hello_handler, NULL), SHS_OK);
    getrusage(RUSAGE_SELF, &from);
    assert_int_equal(pthread_create(&thread, NULL, loopback_serve, server), 0);
    poll(NULL, 0, 300);
    getrusage(RUSAGE_SELF, &to);
    assert_int_equal(shs_shutdown_wait(server, (unsigned)patience_ms()), SHS_OK);
    pthread_join(thread, NULL);
    shs_server_free(server);
    cpu_us =
        (to.ru_utime.tv_sec + to.ru_stime.tv_sec - from.ru_utime.tv_sec - from.ru_stime.tv_sec) *
            1000000 +
        to.ru_utime.tv_usec + to.ru_stime.tv_usec - from.ru_utime.tv_usec - from.ru_stime.tv_usec;
    assert_true(cpu_us < 100000); /* a loop that spins uses all of the 300 ms, or its share */
}

#define WITH(push)                                                                                 \
    {                                                                                              \
        "every_number_at_its_ends, " #push, every_number_at_its_ends, NULL, NULL,                  \
            (void *)(uintptr_t)(push)                                                              \
    }

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_was_never_initialised_is_refused),
        cmocka_unit_test(nulls_are_refused),
        cmocka_unit_test(older_options_work),
        cmocka_unit_test(newer_options_work),
        cmocka_unit_test(so_are_the_other_structs),
        WITH(push_nothing),
        WITH(shs_threading_mixin_push),
        WITH(shs_thread_pool_mixin_push),
        WITH(shs_forking_mixin_push),
        cmocka_unit_test(no_limit_for_several_groups),
        cmocka_unit_test(small_stacks_are_large_enough),
        cmocka_unit_test(an_interval_of_nothing_does_not_spin),
    };

    return cmocka_run_group_tests(tests, lab_setup, lab_teardown);
}
