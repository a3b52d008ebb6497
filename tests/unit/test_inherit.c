/* test_inherit.c - listening sockets of somebody else, and ours for somebody else. */
#include "socketserver_support.h"

#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "loopback.h"
#include "server/server.h"

static void make(struct shs_server **out, const char *path)
{
    struct shs_options opt;

    shs_options_init(&opt);
    opt.bind_and_activate = false;
    opt.path = path;
    opt.unlink_on_close = true;
    assert_int_equal(path == NULL ? shs_tcp_server_new(out, &opt, &sst_echo, NULL)
                                  : shs_unix_stream_server_new(out, &opt, &sst_echo, NULL),
                     SHS_OK);
    assert_int_equal(shs_thread_pool_mixin_push(*out, NULL), SHS_OK);
}

/* Asks once, and stops it. */
static void serve_once(struct shs_server *server, const char *path)
{
    struct sockaddr_un to = {.sun_family = AF_UNIX};
    pthread_t thread;
    void *rc = NULL;
    int fd;

    assert_int_equal(pthread_create(&thread, NULL, loopback_serve, server), 0);
    if (path == NULL) {
        fd = loopback_dial(shs_server_port(server));
    } else {
        fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
        snprintf(to.sun_path, sizeof to.sun_path, "%s", path);
        assert_int_equal(connect(fd, (struct sockaddr *)&to, sizeof to), 0);
    }
    loopback_say(fd, "here?");
    assert_string_equal(loopback_hear(fd), "here?");
    close(fd);
    assert_int_equal(shs_shutdown_wait(server, (unsigned)patience_ms()), SHS_OK);
    pthread_join(thread, &rc);
    assert_null(rc);
}

static int copy_of(const struct shs_server *server)
{
    int fd =
        fcntl(shs_server_fileno(server), F_DUPFD, 0); /* not closed on exec, as from a parent */

    assert_true(fd >= 0);
    return fd;
}

/* One after the other on the same socket; who waits in its queue in between is not lost. */
static void test_a_second_server_on_the_same_socket(void **state)
{
    struct shs_server *first = NULL, *second = NULL;
    unsigned port;
    int fd, early;

    (void)state;
    make(&first, NULL);
    assert_int_equal(shs_server_bind_and_activate(first, NULL), SHS_OK);
    port = shs_server_port(first);
    fd = copy_of(first);
    serve_once(first, NULL);
    assert_int_equal(shs_server_close(first), SHS_OK);
    early = loopback_dial(port);
    loopback_say(early, "early");
    make(&second, NULL);
    assert_int_equal(shs_server_inherit(second, 0, fd, true), SHS_OK);
    assert_int_equal(shs_server_bind_and_activate(second, NULL), SHS_OK);
    assert_int_equal(shs_server_fileno(second), fd);
    assert_int_equal(fcntl(fd, F_GETFD), FD_CLOEXEC);
    assert_true((fcntl(fd, F_GETFL) & O_NONBLOCK) != 0);
    assert_int_equal(shs_server_port(second), port);
    assert_string_equal(shs_server_host(second), "127.0.0.1");
    serve_once(second, NULL);
    assert_string_equal(loopback_hear(early), "early");
    close(early);
    assert_int_equal(shs_server_inherit(second, 0, fd, true), SHS_USAGE); /* it is bound */
    shs_server_free(second);
    shs_server_free(first);
}

/* Of a path: the one that has handed it over leaves it, and who it is ours for removes it. */
static void test_paths(void **state)
{
    struct sst_dir dir;
    const char *path;

    (void)state;
    sst_dir_make(&dir);
    path = sst_in_dir(&dir, "s");
    for (int ours = 0; ours < 2; ours++) {
        struct shs_server *first = NULL, *second = NULL;
        int fd;

        make(&first, path);
        assert_int_equal(shs_server_bind_and_activate(first, NULL), SHS_OK);
        fd = copy_of(first);
        shs_server_hand_over(first);
        shs_server_free(first);
        assert_int_equal(access(path, F_OK), 0);
        make(&second, "elsewhere");
        assert_int_equal(shs_server_inherit(second, 0, fd, ours == 1), SHS_OK);
        assert_int_equal(shs_server_bind_and_activate(second, NULL), SHS_OK);
        assert_string_equal(shs_server_host(second), path);
        serve_once(second, path);
        shs_server_free(second);
        assert_int_equal(access(path, F_OK), ours == 1 ? -1 : 0);
        (void)unlink(path);
    }
    sst_dir_remove(&dir);
}

static void refuse(int fd, const char *why)
{
    struct shs_server *server = NULL;
    struct shs_error err = {.code = SHS_OK};

    make(&server, NULL);
    assert_int_equal(shs_server_inherit(server, 0, fd, false), SHS_OK);
    assert_int_equal(shs_server_bind_and_activate(server, &err), SHS_USAGE);
    assert_non_null(strstr(err.text, why));
    shs_server_free(server);
}

static void test_what_is_no_listening_socket(void **state)
{
    struct shs_server *server = NULL;
    int fds[2], connected[2], datagrams = socket(AF_INET, SOCK_DGRAM, 0);

    (void)state;
    assert_int_equal(pipe(fds), 0);
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, connected), 0);
    refuse(fds[0], "is not a socket");
    refuse(datagrams, "is a datagram socket");
    refuse(connected[0], "is not a listening socket");
    refuse(9999, "is not open");
    assert_true(fcntl(fds[0], F_GETFD) >= 0); /* and each is still its owner's */
    assert_true(fcntl(datagrams, F_GETFD) >= 0);
    make(&server, NULL);
    assert_int_equal(shs_server_inherit(server, 1, datagrams, false), SHS_USAGE);
    assert_int_equal(shs_server_inherit(server, 0, -1, false), SHS_USAGE);
    shs_server_free(server);
    for (int i = 0; i < 2; i++) {
        close(fds[i]);
        close(connected[i]);
    }
    close(datagrams);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_second_server_on_the_same_socket),
        cmocka_unit_test(test_paths),
        cmocka_unit_test(test_what_is_no_listening_socket),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
