/*
 * test_activity.c - a handler that does not return is reported, with what it is doing.
 */
#include "pool_lab.h"

#include <arpa/inet.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "server/activity.h"

#define SECOND ((int64_t)SHS_NS_PER_S)

/* -- one thread's activity, at moments of our choice ------------------------------------------- */

static struct shs_conn conn;

struct lab {
    struct shs_activity activity;
    struct shs_activity_report report;
};

static void lab_init(struct lab *lab, const char *host, uint16_t port)
{
    memset(lab, 0, sizeof *lab);
    memset(&conn, 0, sizeof conn);
    conn.activity = &lab->activity;
    conn.client.in.sin_family = AF_INET;
    conn.client.in.sin_port = htons(port);
    assert_int_equal(inet_pton(AF_INET, host, &conn.client.in.sin_addr), 1);
}

static const char *look(struct lab *lab, int64_t now_ns)
{
    shs__activity_look(&lab->activity, 1234, "test", now_ns, 10 * SECOND, &lab->report);
    return lab->report.line;
}

static void begin(struct lab *lab, const char *path)
{
    shs__activity_begin(&conn);
    shs__activity_name(&lab->activity, SHS_STR("GET"), shs__str(path));
}

static void test_the_line_says_what_and_how_long(void **state)
{
    struct lab lab;

    (void)state;
    lab_init(&lab, "127.0.0.1", 5555);
    assert_string_equal(look(&lab, 0), "");
    begin(&lab, "/slow");
    assert_string_equal(look(&lab, SECOND), "");
    assert_string_equal(look(&lab, 13 * SECOND + SECOND / 3),
                        "a handler does not return: GET /slow for 12.3 s, thread 1234, client "
                        "127.0.0.1:5555");
    assert_true(lab.report.first);
    shs__activity_end(&lab.activity);
    assert_string_equal(look(&lab, 60 * SECOND), "");
}

static void test_a_handler_that_is_not_http_has_its_class_name(void **state)
{
    struct lab lab;

    (void)state;
    lab_init(&lab, "10.1.2.3", 80);
    shs__activity_begin(&conn);
    look(&lab, 0);
    assert_non_null(strstr(look(&lab, 10 * SECOND), ": handler test for 10.0 s,"));
    shs__activity_end(&lab.activity);
}

static void test_it_is_said_again_at_growing_intervals(void **state)
{
    unsigned said[200] = {0}, count = 0;
    struct lab lab;

    (void)state;
    lab_init(&lab, "127.0.0.1", 1);
    begin(&lab, "/");
    for (unsigned s = 0; s < 200; s++) {
        if (look(&lab, s * SECOND)[0] == '\0')
            continue;
        assert_int_equal(lab.report.first, count == 0);
        said[count++] = s;
    }
    assert_int_equal(count, 5);
    assert_int_equal(said[0], 10);
    assert_int_equal(said[1], 20);
    assert_int_equal(said[2], 40);
    assert_int_equal(said[3], 80);
    assert_int_equal(said[4], 160);
}

/* A new handler begins again, also one that came between two looks. */
static void test_each_handler_has_its_own_time(void **state)
{
    struct lab lab;

    (void)state;
    lab_init(&lab, "127.0.0.1", 1);
    begin(&lab, "/one");
    look(&lab, 0);
    assert_string_not_equal(look(&lab, 11 * SECOND), "");
    shs__activity_end(&lab.activity);
    begin(&lab, "/two");
    assert_string_equal(look(&lab, 12 * SECOND), "");
    assert_string_equal(look(&lab, 21 * SECOND), "");
    assert_non_null(strstr(look(&lab, 22 * SECOND), "GET /two for 10.0 s"));
    assert_true(lab.report.first);
}

static void test_waiting_for_the_peer_is_not_being_stuck(void **state)
{
    struct lab lab;

    (void)state;
    lab_init(&lab, "127.0.0.1", 1);
    begin(&lab, "/download");
    look(&lab, 0);
    shs__activity_wait(&lab.activity); /* it waits, which has its own deadline */
    assert_string_equal(look(&lab, 30 * SECOND), "");
    shs__activity_wait(&lab.activity); /* it has waited */
    assert_string_equal(look(&lab, 31 * SECOND), "");
    shs__activity_wait(&lab.activity); /* and again, between two looks */
    shs__activity_wait(&lab.activity);
    assert_string_equal(look(&lab, 40 * SECOND), "");
    assert_string_equal(look(&lab, 49 * SECOND), "");
    assert_non_null(strstr(look(&lab, 50 * SECOND), "GET /download for 50.0 s"));
}

static void test_bytes_of_the_client_are_escaped_and_cut(void **state)
{
    char path[400];
    struct lab lab;

    (void)state;
    lab_init(&lab, "127.0.0.1", 1);
    begin(&lab, "/a\n\x1b[31m\\ \xff");
    look(&lab, 0);
    assert_non_null(strstr(look(&lab, 10 * SECOND), ": GET /a\\x0A\\x1B[31m\\x5C \\xFF for 10.0"));
    shs__activity_end(&lab.activity);
    memset(path, 0x7f, sizeof path);
    path[0] = '/';
    path[sizeof path - 1] = '\0';
    begin(&lab, path);
    look(&lab, 20 * SECOND);
    look(&lab, 30 * SECOND);
    assert_int_equal(strspn(lab.report.line, " !-~abcdefghijklmnopqrstuvwxyz:,.GET/\\x0123456789F"),
                     strlen(lab.report.line));
    assert_non_null(strstr(lab.report.line, "client 127.0.0.1:1"));
}

static void test_ipv6_clients(void **state)
{
    struct lab lab;

    (void)state;
    lab_init(&lab, "127.0.0.1", 1);
    memset(&conn.client, 0, sizeof conn.client);
    conn.client.in6.sin6_family = AF_INET6;
    conn.client.in6.sin6_port = htons(443);
    conn.client.in6.sin6_addr = in6addr_loopback;
    begin(&lab, "/");
    look(&lab, 0);
    assert_non_null(strstr(look(&lab, 10 * SECOND), "client [::1]:443"));
    shs__activity_end(&lab.activity);
    inet_pton(AF_INET6, "::ffff:192.0.2.7", &conn.client.in6.sin6_addr);
    begin(&lab, "/");
    look(&lab, 20 * SECOND);
    assert_non_null(strstr(look(&lab, 30 * SECOND), "client 192.0.2.7:443"));
}

/* -- a watcher beside a thread that is quick --------------------------------------------------- */

static _Atomic bool hammer_over;

static void *hammer(void *arg)
{
    struct lab *lab = arg;
    char path[88];

    for (unsigned i = 0; !atomic_load(&hammer_over); i++) {
        memset(path, 'a' + (int)(i % 26), sizeof path - 1);
        path[sizeof path - 1] = '\0';
        begin(lab, path);
        shs__activity_end(&lab->activity);
    }
    return NULL;
}

/* Whatever is said is of one handler: never half of one and half of the next. */
static void test_a_line_is_never_of_two_handlers(void **state)
{
    struct lab lab;
    pthread_t thread;
    int64_t deadline = shs_now_ns() + patience_ms() * (int64_t)SHS_NS_PER_MS;
    unsigned said = 0;

    (void)state;
    lab_init(&lab, "127.0.0.1", 1);
    assert_int_equal(pthread_create(&thread, NULL, hammer, &lab), 0);
    /* Until it has met it in a handler, for which the other thread needs a core. */
    for (unsigned i = 0; i < 300000 || (said == 0 && shs_now_ns() < deadline); i++) {
        const char *at;

        shs__activity_look(&lab.activity, 1, "test", (int64_t)i, 0, &lab.report);
        at = strstr(lab.report.line, "GET ");
        if (at == NULL)
            continue;
        at += 4;
        assert_int_equal(strspn(at, (char[]){at[0], '\0'}), 87);
        said++;
    }
    atomic_store(&hammer_over, true);
    pthread_join(thread, NULL);
    assert_true(said > 0);
}

/* -- in a server ------------------------------------------------------------------------------- */

static struct {
    pthread_mutex_t lock;
    unsigned count;
    char first[512], last[512];
} said = {PTHREAD_MUTEX_INITIALIZER, 0, "", ""};

static void on_log(void *ctx, enum shs_log_level level, const char *line)
{
    (void)ctx;
    if (level != SHS_LOG_WARNING || strstr(line, "does not return") == NULL)
        return;
    pthread_mutex_lock(&said.lock);
    snprintf(said.count == 0 ? said.first : said.last, sizeof said.first, "%s", line);
    said.count++;
    pthread_mutex_unlock(&said.lock);
}

static unsigned lines(void)
{
    unsigned count;

    pthread_mutex_lock(&said.lock);
    count = said.count;
    pthread_mutex_unlock(&said.lock);
    return count;
}

static bool becomes_lines(unsigned count)
{
    for (int i = 0; i < patience_ms() && lines() < count; i++)
        poll(NULL, 0, 1);
    return lines() >= count;
}

/* For how long /block has been running, by that line; -1 when it is about something else. */
static double says_seconds(const char *line)
{
    const char *at = strstr(line, ": GET /block for ");
    double seconds = -1;

    return at != NULL && sscanf(at, ": GET /block for %lf s,", &seconds) == 1 ? seconds : -1;
}

static uint64_t stuck_of(const struct pool_fixture *f)
{
    struct shs_server_stats stats;

    shs_server_get_stats(f->server, &stats);
    return stats.stuck_handlers;
}

static unsigned port_of(int fd)
{
    struct sockaddr_in address;
    socklen_t len = sizeof address;

    assert_int_equal(getsockname(fd, (struct sockaddr *)&address, &len), 0);
    return ntohs(address.sin_port);
}

/* A handler that sleeps is reported, and again; the others are not. */
static void report_in(pool_push_fn *push)
{
    struct shs_options opt;
    struct pool_fixture f;
    char client[64];
    int64_t began;
    int stuck, other, slow;

    said.count = 0; /* no server is there yet */
    said.first[0] = said.last[0] = '\0';
    pool_defaults(&opt);
    opt.stuck_handler_ms = 300;
    opt.log = on_log;
    pool_start_with(&f, &opt, push);
    slow = pool_dial(&f); /* its handler waits for the rest of the body: that is no fault of it */
    loopback_say(slow, "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 200000\r\n\r\nxxx");
    pool_set_gate(true);
    stuck = pool_dial(&f);
    other = pool_dial(&f);
    began = shs_now_ns();
    loopback_ask(stuck, "/block?secret=1");
    pool_wait_at_gate(1);
    pool_assert_served(other, "/other");
    assert_true(becomes_lines(1));
    assert_true(pool_ms_since(began) >= 300);
    assert_true(says_seconds(said.first) >= 0.3);
    assert_null(strstr(said.first, "secret"));
    snprintf(client, sizeof client, "client 127.0.0.1:%u", port_of(stuck));
    assert_non_null(strstr(said.first, client));
    assert_true(becomes_lines(2));
    assert_true(pool_ms_since(began) >= 600);
    assert_int_equal(stuck_of(&f), 1);
    pool_set_gate(false);
    assert_true(loopback_hears(stuck, "/block"));
    assert_int_equal(stuck_of(&f), 1);
    close(slow);
    close(stuck);
    close(other);
    pool_finish(&f);
}

/* What still runs when server_close gives up is said, however young it is. */
static void report_at_close(pool_push_fn *push)
{
    struct shs_options opt;
    struct pool_fixture f;
    int stuck;

    said.count = 0; /* no server is there yet */
    said.first[0] = said.last[0] = '\0';
    pool_defaults(&opt);
    opt.stop_ms = 50;
    opt.close_ms = 50;
    opt.log = on_log;
    pool_start_with(&f, &opt, push);
    pool_set_gate(true);
    stuck = pool_dial(&f);
    loopback_ask(stuck, "/block");
    pool_wait_at_gate(1);
    pool_stop_loop(&f);
    assert_int_equal(shs_server_close(f.server), SHS_TIMEOUT);
    assert_int_equal(lines(), 1);
    assert_true(says_seconds(said.first) >= 0.0);
    assert_int_equal(stuck_of(&f), 1);
    shs_server_free(f.server);
    pool_set_gate(false);
    for (int i = 0; i < patience_ms() && f.below.freed == 0; i++)
        poll(NULL, 0, 1);
    assert_int_equal(f.below.freed, 1);
    close(stuck);
}

static void test_server_close_reports(void **state)
{
    (void)state;
    report_at_close(shs_thread_pool_mixin_push);
    report_at_close(shs_threading_mixin_push);
}

static void test_the_pool_reports(void **state)
{
    (void)state;
    report_in(shs_thread_pool_mixin_push);
}

static void test_threading_mixin_reports(void **state)
{
    (void)state;
    report_in(shs_threading_mixin_push);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_the_line_says_what_and_how_long),
        cmocka_unit_test(test_a_handler_that_is_not_http_has_its_class_name),
        cmocka_unit_test(test_it_is_said_again_at_growing_intervals),
        cmocka_unit_test(test_each_handler_has_its_own_time),
        cmocka_unit_test(test_waiting_for_the_peer_is_not_being_stuck),
        cmocka_unit_test(test_bytes_of_the_client_are_escaped_and_cut),
        cmocka_unit_test(test_ipv6_clients),
        cmocka_unit_test(test_a_line_is_never_of_two_handlers),
        cmocka_unit_test(test_the_pool_reports),
        cmocka_unit_test(test_threading_mixin_reports),
        cmocka_unit_test(test_server_close_reports),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
