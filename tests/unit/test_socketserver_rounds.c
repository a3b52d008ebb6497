/*
 * test_socketserver_rounds.c - S1, S60 to S71: each class of the family, three requests one after
 * the other, and then everything is as it was.
 */
#include "socketserver_support.h"

#include <string.h>
#include <unistd.h>

static void round_trip(const char *name)
{
    const struct sst_class *cls = sst_class(name);
    const struct shs_request_handler_class *handler =
        cls->type == SOCK_DGRAM ? &sst_datagram_echo : &sst_stream_echo.base;
    unsigned descriptors, threads = sst_threads();
    struct shs_server_stats stats;
    struct sst_server s;
    struct shs_options opt;
    struct sst_dir dir;

    sst_dir_make(&dir);
    descriptors = sst_descriptors();
    sst_options(&opt, cls, &dir);
    sst_start(&s, cls, &opt, handler);
    sst_assert_described(s.server, cls);
    assert_int_equal(shs_server_address_family(s.server), cls->family);
    assert_int_equal(shs_server_socket_type(s.server), cls->type);
    sst_ask(&s, &dir, "hello world\n", "hello world\n");
    sst_ask(&s, &dir, "\xe4\xf6\xfc, and a second\n", "\xe4\xf6\xfc, and a second\n");
    sst_ask(&s, &dir, "3\n", "3\n");
    shs_server_get_stats(s.server, &stats);
    assert_int_equal(stats.accepted, 3);
    sst_stop(&s);
    assert_int_equal(sst_descriptors(), descriptors);
    assert_int_equal(sst_threads_settle(threads), threads);
    assert_int_equal(sst_children(), 0);
    sst_dir_remove(&dir);
}

/* The names are spelled out, so that each line has its test. */
static void test_S60_TCPServer(void **state)
{
    (void)state;
    round_trip("TCPServer");
}
static void test_S61_ThreadingTCPServer(void **state)
{
    (void)state;
    round_trip("ThreadingTCPServer");
}
static void test_S62_ForkingTCPServer(void **state)
{
    (void)state;
    round_trip("ForkingTCPServer");
}
static void test_S63_UnixStreamServer(void **state)
{
    (void)state;
    round_trip("UnixStreamServer");
}
static void test_S64_ThreadingUnixStreamServer(void **state)
{
    (void)state;
    round_trip("ThreadingUnixStreamServer");
}
static void test_S65_ForkingUnixStreamServer(void **state)
{
    (void)state;
    round_trip("ForkingUnixStreamServer");
}
static void test_S66_UDPServer(void **state)
{
    (void)state;
    round_trip("UDPServer");
}
static void test_S67_ThreadingUDPServer(void **state)
{
    (void)state;
    round_trip("ThreadingUDPServer");
}
static void test_S68_ForkingUDPServer(void **state)
{
    (void)state;
    round_trip("ForkingUDPServer");
}
static void test_S69_UnixDatagramServer(void **state)
{
    (void)state;
    round_trip("UnixDatagramServer");
}
static void test_S70_ThreadingUnixDatagramServer(void **state)
{
    (void)state;
    round_trip("ThreadingUnixDatagramServer");
}
static void test_S71_ForkingUnixDatagramServer(void **state)
{
    (void)state;
    round_trip("ForkingUnixDatagramServer");
}

/* Every class and mixin of the module is there, and each class is the composition Python has. */
static void test_S1_exported_set(void **state)
{
    struct shs_server *server = NULL;
    struct shs_options opt;
    struct shs_error err;

    (void)state;
    for (size_t i = 0; i < sizeof sst_classes / sizeof sst_classes[0]; i++) {
        shs_options_init(&opt);
        opt.bind_and_activate = false;
        assert_int_equal(sst_classes[i].make(&server, &opt, &sst_echo, &err), SHS_OK);
        sst_assert_described(server, &sst_classes[i]);
        shs_server_free(server);
    }
    /* The mixins by themselves, on any of them. */
    assert_int_equal(shs_udp_server_new(&server, &opt, &sst_echo, &err), SHS_OK);
    assert_int_equal(shs_threading_mixin_push(server, &err), SHS_OK);
    assert_string_equal(shs_server_describe(server),
                        "ThreadingMixIn > UDPServer > TCPServer > BaseServer");
    shs_server_free(server);
    assert_int_equal(shs_udp_server_new(&server, &opt, &sst_echo, &err), SHS_OK);
    assert_int_equal(shs_forking_mixin_push(server, &err), SHS_OK);
    assert_string_equal(shs_server_describe(server),
                        "ForkingMixIn > UDPServer > TCPServer > BaseServer");
    shs_server_free(server);
    /* The handler classes: base, stream and datagram. */
    assert_non_null(sst_echo.handle);
    assert_ptr_equal(sst_stream_echo.base.setup, shs_stream_request_handler_setup);
    assert_ptr_equal(sst_datagram_echo.setup, shs_datagram_request_handler_setup);
}

/* ThreadPoolMixIn as well, although Python has none: sequential and with many at once. */
static void test_thread_pool_over_each(void **state)
{
    const char *const names[] = {"TCPServer", "UnixStreamServer", "UDPServer",
                                 "UnixDatagramServer"};

    (void)state;
    if (!sst_composed("none")) /* it pushes its own: a server has one of them */
        skip();
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        const struct sst_class *cls = sst_class(names[i]);
        struct shs_server_stats stats;
        struct sst_server s;
        struct shs_options opt;
        struct sst_dir dir;
        int fds[20];
        char buf[16];

        sst_dir_make(&dir);
        sst_options(&opt, cls, &dir);
        assert_int_equal(
            cls->make(&s.server, &opt,
                      cls->type == SOCK_DGRAM ? &sst_datagram_echo : &sst_stream_echo.base, NULL),
            SHS_OK);
        assert_int_equal(shs_thread_pool_mixin_push(s.server, NULL), SHS_OK);
        sst_serve(&s);
        for (int n = 0; n < 10; n++)
            sst_ask(&s, &dir, "one at a time\n", "one at a time\n");
        for (int n = 0; n < 20; n++) {
            fds[n] = sst_dial(&s, &dir);
            sst_say(fds[n], "at once\n", 8);
        }
        for (int n = 0; n < 20; n++) {
            assert_int_equal(sst_hear(fds[n], buf, sizeof buf), 8);
            close(fds[n]);
        }
        shs_server_get_stats(s.server, &stats);
        assert_int_equal(stats.errors, 0);
        sst_stop(&s);
        sst_dir_remove(&dir);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_S1_exported_set),
        cmocka_unit_test(test_S60_TCPServer),
        cmocka_unit_test(test_S61_ThreadingTCPServer),
        cmocka_unit_test(test_S62_ForkingTCPServer),
        cmocka_unit_test(test_S63_UnixStreamServer),
        cmocka_unit_test(test_S64_ThreadingUnixStreamServer),
        cmocka_unit_test(test_S65_ForkingUnixStreamServer),
        cmocka_unit_test(test_S66_UDPServer),
        cmocka_unit_test(test_S67_ThreadingUDPServer),
        cmocka_unit_test(test_S68_ForkingUDPServer),
        cmocka_unit_test(test_S69_UnixDatagramServer),
        cmocka_unit_test(test_S70_ThreadingUnixDatagramServer),
        cmocka_unit_test(test_S71_ForkingUnixDatagramServer),
        cmocka_unit_test(test_thread_pool_over_each),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
