/* test_addresses.c - one server at several addresses: all of them, or none. */
#include "socketserver_support.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "loopback.h"
#include "server/server.h"

typedef int push_fn(struct shs_server *server, struct shs_error *err);

static int push_nothing(struct shs_server *server, struct shs_error *err)
{
    SHS_UNUSED(server);
    SHS_UNUSED(err);
    return SHS_OK;
}

static push_fn *const mixins[] = {push_nothing, shs_threading_mixin_push,
                                  shs_thread_pool_mixin_push, shs_forking_mixin_push};

static int dial_path(const char *path)
{
    struct sockaddr_un to = {.sun_family = AF_UNIX};
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

    assert_true(fd >= 0);
    snprintf(to.sun_path, sizeof to.sun_path, "%s", path);
    if (connect(fd, (struct sockaddr *)&to, sizeof to) == 0)
        return fd;
    close(fd);
    return -1;
}

static int dial_v6(unsigned port)
{
    struct sockaddr_in6 to = {.sin6_family = AF_INET6, .sin6_port = htons((uint16_t)port)};
    int fd = socket(AF_INET6, SOCK_STREAM | SOCK_CLOEXEC, 0);

    assert_true(fd >= 0);
    to.sin6_addr = in6addr_loopback;
    assert_int_equal(connect(fd, (struct sockaddr *)&to, sizeof to), 0);
    return fd;
}

static bool has_v6(void)
{
    struct sockaddr_in6 to = {.sin6_family = AF_INET6};
    int fd = socket(AF_INET6, SOCK_STREAM | SOCK_CLOEXEC, 0);
    bool there;

    to.sin6_addr = in6addr_loopback;
    there = fd >= 0 && bind(fd, (struct sockaddr *)&to, sizeof to) == 0;
    if (fd >= 0)
        close(fd);
    return there;
}

static void assert_echoes(int fd)
{
    assert_true(fd >= 0);
    loopback_say(fd, "here?");
    assert_string_equal(loopback_hear(fd), "here?");
    close(fd);
}

static void defaults(struct shs_options *opt)
{
    shs_options_init(opt);
    opt->bind_and_activate = false;
    opt->stop_ms = 60000;
    opt->close_ms = 500;
}

static unsigned port_of(const struct shs_server *server, unsigned i)
{
    return shs_listener_port(shs_server_listener(server, i));
}

/* IPv4, another port of it, a path, and IPv6 where there is any; served, stopped, served again. */
static void serve_at(push_fn *push, const struct shs_options *opt, const char *path)
{
    struct shs_server *server = NULL;
    struct shs_error err = {.code = SHS_OK};

    assert_int_equal(shs_tcp_server_new(&server, opt, &sst_echo, &err), SHS_OK);
    assert_int_equal(push(server, &err), SHS_OK);
    assert_int_equal(shs_server_bind_and_activate(server, &err), SHS_OK);
    assert_int_equal(shs_server_listener_count(server), 1 + opt->more_address_count);
    assert_null(shs_server_listener(server, 1 + opt->more_address_count));
    assert_int_equal(port_of(server, 0), shs_server_port(server));
    assert_int_equal(shs_listener_fileno(shs_server_listener(server, 0)),
                     shs_server_fileno(server));
    assert_true(port_of(server, 1) != 0 && port_of(server, 1) != port_of(server, 0));
    assert_int_equal(shs_listener_family(shs_server_listener(server, 2)), AF_UNIX);
    assert_string_equal(shs_listener_host(shs_server_listener(server, 2)), path);
    for (int turn = 0; turn < 2; turn++) {
        pthread_t thread;
        void *rc = NULL;

        assert_int_equal(pthread_create(&thread, NULL, loopback_serve, server), 0);
        for (int i = 0; i < 3; i++) {
            assert_echoes(loopback_dial(port_of(server, 0)));
            assert_echoes(loopback_dial(port_of(server, 1)));
            assert_echoes(dial_path(path));
            if (opt->more_address_count > 2)
                assert_echoes(dial_v6(port_of(server, 3)));
        }
        assert_int_equal(shs_shutdown_wait(server, (unsigned)patience_ms()), SHS_OK);
        pthread_join(thread, &rc);
        assert_null(rc);
    }
    assert_int_equal(shs_server_close(server), SHS_OK);
    for (unsigned i = 0; i <= opt->more_address_count; i++)
        assert_int_equal(shs_listener_fileno(shs_server_listener(server, i)), -1);
    assert_int_equal(dial_path(path), -1);
    assert_int_equal(access(path, F_OK), -1); /* unlink_on_close */
    shs_server_free(server);
}

static void test_each_address_under_each_mixin(void **state)
{
    struct sst_dir dir;
    const char *path;

    (void)state;
    sst_dir_make(&dir);
    path = sst_in_dir(&dir, "s");
    for (size_t i = 0; i < SHS_ARRAY_LEN(mixins); i++) {
        for (unsigned groups = 1; groups <= 3; groups += 2) {
            struct shs_address more[3] = {{.port = "0"}, {.path = path}, {.host = "::1"}};
            struct shs_options opt;

            defaults(&opt);
            opt.threads = 4;
            opt.thread_groups = groups;
            opt.unlink_on_close = true;
            opt.more_addresses = more;
            opt.more_address_count = has_v6() ? 3 : 2;
            serve_at(mixins[i], &opt, path);
        }
    }
    sst_dir_remove(&dir);
}

static void start(struct shs_server *server, pthread_t *thread)
{
    assert_int_equal(pthread_create(thread, NULL, loopback_serve, server), 0);
}

static void stop(struct shs_server *server, pthread_t thread)
{
    void *rc = NULL;

    assert_int_equal(shs_shutdown_wait(server, (unsigned)patience_ms()), SHS_OK);
    pthread_join(thread, &rc);
    assert_null(rc);
    assert_int_equal(shs_server_close(server), SHS_OK);
    shs_server_free(server);
}

/* Datagrams: an answer comes from the address that was asked. */
static void test_datagrams_at_each_address(void **state)
{
    (void)state;
    for (size_t m = 0; m < SHS_ARRAY_LEN(mixins); m++) {
        const struct shs_address more[] = {{.port = "0"}, {.port = "0"}};
        struct shs_server *server = NULL;
        struct shs_options opt;
        pthread_t thread;

        defaults(&opt);
        opt.more_addresses = more;
        opt.more_address_count = SHS_ARRAY_LEN(more);
        assert_int_equal(shs_udp_server_new(&server, &opt, &sst_echo, NULL), SHS_OK);
        assert_int_equal(mixins[m](server, NULL), SHS_OK);
        assert_int_equal(shs_server_bind_and_activate(server, NULL), SHS_OK);
        start(server, &thread);
        for (unsigned i = 0; i < shs_server_listener_count(server); i++) {
            int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);

            loopback_connect(fd, port_of(server, i)); /* hears nobody else */
            assert_echoes(fd);
        }
        stop(server, thread);
    }
}

/* One port at "0.0.0.0" and at "::", which alone would take both. */
static void test_both_families_at_one_port(void **state)
{
    struct shs_address more[] = {{.host = "::"}};
    struct shs_server *holder = NULL, *server = NULL;
    struct shs_options opt;
    pthread_t thread;
    char port[16];

    (void)state;
    if (!has_v6())
        skip();
    defaults(&opt);
    opt.host = "0.0.0.0";
    opt.allow_reuse_address = true;
    /* Bound, so that nobody else gets it, and not listening, so that we do. */
    assert_int_equal(shs_tcp_server_new(&holder, &opt, &sst_echo, NULL), SHS_OK);
    assert_int_equal(shs_server_bind(holder), SHS_OK);
    snprintf(port, sizeof port, "%u", shs_server_port(holder));
    opt.port = more[0].port = port;
    opt.thread_groups = 2;
    opt.more_addresses = more;
    opt.more_address_count = 1;
    assert_int_equal(shs_tcp_server_new(&server, &opt, &sst_echo, NULL), SHS_OK);
    assert_int_equal(shs_thread_pool_mixin_push(server, NULL), SHS_OK);
    assert_int_equal(shs_server_bind_and_activate(server, NULL), SHS_OK);
    assert_int_equal(port_of(server, 0), port_of(server, 1));
    start(server, &thread);
    for (int i = 0; i < 8; i++) { /* whichever group it comes to */
        assert_echoes(loopback_dial(port_of(server, 0)));
        assert_echoes(dial_v6(port_of(server, 1)));
    }
    stop(server, thread);
    shs_server_free(holder);
}

/* shs_handle_request, again and again: nobody is left out. */
static void test_handle_request_looks_at_all(void **state)
{
    const struct shs_address more[] = {{.port = "0"}};
    struct shs_server *server = NULL;
    struct shs_options opt;
    int fds[2];

    (void)state;
    SST_ONLY(sst_composed("none"));
    defaults(&opt);
    opt.bind_and_activate = true;
    opt.more_addresses = more;
    opt.more_address_count = 1;
    assert_int_equal(shs_tcp_server_new(&server, &opt, &sst_echo, NULL), SHS_OK);
    for (unsigned i = 0; i < 2; i++) {
        fds[i] = loopback_dial(port_of(server, i));
        loopback_say(fds[i], "here?");
        shutdown(fds[i], SHUT_WR);
    }
    for (unsigned i = 0; i < 2; i++)
        assert_int_equal(shs_handle_request(server), SHS_OK);
    for (unsigned i = 0; i < 2; i++) {
        assert_string_equal(loopback_hear(fds[i]), "here?");
        close(fds[i]);
    }
    shs_server_free(server);
}

/* The second of three is taken: it is named, the others are free again, and no path is left. */
static void test_one_in_use_undoes_the_others(void **state)
{
    struct shs_server *first = NULL, *second = NULL;
    struct shs_error err = {.code = SHS_OK};
    struct shs_options opt;
    struct sst_dir dir;
    const char *path;
    char port[16], words[64];

    (void)state;
    sst_dir_make(&dir);
    path = sst_in_dir(&dir, "s");
    defaults(&opt);
    opt.bind_and_activate = true;
    assert_int_equal(shs_tcp_server_new(&first, &opt, &sst_echo, &err), SHS_OK);
    snprintf(port, sizeof port, "%u", shs_server_port(first));
    snprintf(words, sizeof words, "cannot bind to 127.0.0.1 port %s", port);
    for (int turn = 0; turn < 2; turn++) { /* the first turn has left nothing in the second's way */
        const struct shs_address more[] = {{.path = path}, {.port = port}, {.port = "0"}};

        opt.more_addresses = more;
        opt.more_address_count = SHS_ARRAY_LEN(more);
        assert_int_equal(shs_tcp_server_new(&second, &opt, &sst_echo, &err), SHS_IO);
        assert_null(second);
        assert_int_equal(err.sys_errno, EADDRINUSE);
        assert_non_null(strstr(err.text, words));
        assert_int_equal(access(path, F_OK), -1);
    }
    shs_server_free(first);
    sst_dir_remove(&dir);
}

/*
 * Two that have bound the same port (SO_REUSEADDR allows it until one listens), the second one
 * behind a path: whatever groups there are, only one may listen, and of the other nothing is left.
 */
static void share_no_port(unsigned groups, const char *path)
{
    struct shs_server *first = NULL, *second = NULL;
    struct shs_error err = {.code = SHS_OK};
    struct shs_options opt;
    struct shs_address more[] = {{.host = NULL}, {.path = path}};
    char port[16], words[64];

    defaults(&opt);
    opt.thread_groups = groups;
    opt.allow_reuse_address = true;
    assert_int_equal(shs_tcp_server_new(&first, &opt, &sst_echo, &err), SHS_OK);
    assert_int_equal(shs_thread_pool_mixin_push(first, &err), SHS_OK);
    assert_int_equal(shs_server_bind(first), SHS_OK);
    snprintf(port, sizeof port, "%u", shs_server_port(first));
    snprintf(words, sizeof words, "cannot listen on 127.0.0.1 port %s", port);
    more[0].port = port;
    opt.more_addresses = more;
    opt.more_address_count = SHS_ARRAY_LEN(more);
    assert_int_equal(shs_tcp_server_new(&second, &opt, &sst_echo, &err), SHS_OK);
    assert_int_equal(shs_thread_pool_mixin_push(second, &err), SHS_OK);
    assert_int_equal(shs_server_bind(second), SHS_OK);
    assert_int_equal(shs_server_activate(first), SHS_OK);
    assert_int_equal(shs_server_bind_and_activate(second, &err), SHS_IO);
    assert_int_equal(err.sys_errno, EADDRINUSE);
    assert_non_null(strstr(err.text, words));
    for (unsigned i = 0; i <= SHS_ARRAY_LEN(more); i++)
        assert_int_equal(shs_listener_fileno(shs_server_listener(second, i)), -1);
    assert_int_equal(access(path, F_OK), -1);
    shs_server_free(second);
    shs_server_free(first);
}

static void test_two_servers_share_no_port(void **state)
{
    struct sst_dir dir;

    (void)state;
    sst_dir_make(&dir);
    for (unsigned groups = 1; groups <= 3; groups++)
        share_no_port(groups, sst_in_dir(&dir, "s"));
    sst_dir_remove(&dir);
}

static void test_what_cannot_be_meant(void **state)
{
    const struct shs_address more[SHS_MAX_ADDRESSES] = {{.port = "0"}};
    struct shs_server *server = NULL;
    struct shs_error err = {.code = SHS_OK};
    struct shs_options opt;

    (void)state;
    defaults(&opt);
    opt.more_address_count = 1;
    assert_int_equal(shs_tcp_server_new(&server, &opt, &sst_echo, &err), SHS_USAGE);
    assert_non_null(strstr(err.text, "more_addresses is NULL"));
    opt.more_addresses = more;
    opt.more_address_count = SHS_MAX_ADDRESSES;
    assert_int_equal(shs_tcp_server_new(&server, &opt, &sst_echo, &err), SHS_USAGE);
    assert_non_null(strstr(err.text, "more_address_count"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_each_address_under_each_mixin),
        cmocka_unit_test(test_datagrams_at_each_address),
        cmocka_unit_test(test_both_families_at_one_port),
        cmocka_unit_test(test_handle_request_looks_at_all),
        cmocka_unit_test(test_one_in_use_undoes_the_others),
        cmocka_unit_test(test_two_servers_share_no_port),
        cmocka_unit_test(test_what_cannot_be_meant),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
