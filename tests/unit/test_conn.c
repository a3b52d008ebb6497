/* test_conn.c - one connection, over a stream in memory: its names, its failures, and its waits. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <arpa/inet.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/un.h>
#include <unistd.h>

#include <shs/shs.h>

#include "server/server.h"

/* -- a server without a socket, and one connection of it --------------------------------------- */

/* What a wait does, beside being counted. */
enum action { TIME_PASSES, STOPS, PEER_SENDS, PEER_READS, WE_ARE_LATE };
#define ROOM 1000u
#define LATE_MS 50

static struct {
    struct shs_server *server;
    struct shs_layer layer;
    struct shs_options opt;
    struct shs_conn *conn;
    struct shs_stream *peer;
    enum action action;
    int64_t first_ns; /* WE_ARE_LATE: the deadline of the first wait */
    unsigned waits;
    int what;            /* of the last wait */
    int64_t deadline_ns; /* of the last wait */
    int64_t nap_ns;      /* what it takes */
    size_t moves;        /* bytes that the peer sends, or reads */
} lab;

static int nothing(struct shs_request_handler *handler)
{
    (void)handler;
    return SHS_OK;
}

static const struct shs_request_handler_class handler_class = {
    .name = "nothing", .instance_size = sizeof(struct shs_request_handler), .handle = nothing};

static void peer_sends(const char *text)
{
    size_t put = 0;

    assert_int_equal(shs__stream_write(lab.peer, text, strlen(text), &put), SHS_OK);
    assert_int_equal(put, strlen(text));
}

static size_t peer_reads(size_t len)
{
    char buf[4096];
    size_t got = 0, all = 0;

    while (all < len &&
           shs__stream_read(lab.peer, buf, len - all < sizeof buf ? len - all : sizeof buf, &got) ==
               SHS_OK)
        all += got;
    return all;
}

static int lab_wait(struct shs_layer *layer, struct shs_conn *conn, int what)
{
    (void)layer;
    lab.waits++;
    lab.what = what;
    lab.deadline_ns = conn->deadline_ns;
    if (lab.nap_ns > 0)
        usleep((useconds_t)(lab.nap_ns / 1000));
    switch (lab.action) {
    case TIME_PASSES:
        break;
    case STOPS:
        return SHS_STOPPED;
    case PEER_SENDS:
        for (size_t i = 0; i < lab.moves; i++)
            peer_sends("x");
        return SHS_OK;
    case PEER_READS:
        return peer_reads(lab.moves) > 0 ? SHS_OK : SHS_TIMEOUT;
    case WE_ARE_LATE: /* once, by more than anybody has. In no time nothing is done */
        while (lab.waits == 1 && shs_now_ns() < conn->deadline_ns)
            usleep(1000);
        if (lab.waits == 1)
            lab.first_ns = conn->deadline_ns;
        else if (lab.moves < ROOM || conn->deadline_ns < lab.first_ns + LATE_MS * SHS_NS_PER_MS)
            return SHS_TIMEOUT;
        (void)peer_reads(lab.moves);
        return SHS_OK;
    }
    return SHS_TIMEOUT;
}

static const struct shs_server_ops lab_ops = {.name = "Lab", .wait_request = lab_wait};

static void open_conn(const void *address, size_t len)
{
    lab.conn = shs__conn_new(lab.server, 77, address, (socklen_t)len);
    assert_non_null(lab.conn);
}

static void open_lab(void)
{
    struct shs_options opt;

    memset(&lab, 0, sizeof lab);
    shs_options_init(&opt);
    opt.idle_ms = 70000;
    opt.write_ms = 90000;
    opt.close_ms = 40000;
    opt.min_rate = 100;
    assert_int_equal(shs__server_new(&lab.server, &opt, &handler_class, NULL), SHS_OK);
    assert_int_equal(shs_server_push(lab.server, &lab.layer, &lab_ops), SHS_OK);
}

/* With a peer, whose end holds so many bytes. */
static void open_talk(size_t room)
{
    struct shs_stream *mine = NULL;

    open_lab();
    open_conn(NULL, 0);
    assert_int_equal(shs__memory_stream_pair(&mine, &lab.peer, room, 0), SHS_OK);
    mine->lower = lab.conn->stream;
    shs__conn_push_stream(lab.conn, mine);
}

static void close_lab(void)
{
    if (lab.conn != NULL)
        shs__conn_free(lab.conn);
    if (lab.peer != NULL)
        lab.peer->cls->free(lab.peer);
    shs_server_free(lab.server);
}

/* So many milliseconds from now, or less: a machine may stand still for a minute. */
static void assert_has_ms(int64_t deadline_ns, int64_t ms)
{
    int64_t left = deadline_ns - shs_now_ns();

    if (left > ms * SHS_NS_PER_MS || left < (ms - 60000) * SHS_NS_PER_MS)
        fail_msg("%lld ms are left, not %lld", (long long)(left / SHS_NS_PER_MS), (long long)ms);
}

/* -- names ------------------------------------------------------------------------------------- */

static struct sockaddr_un unix_address(const char *path, size_t len)
{
    struct sockaddr_un un = {.sun_family = AF_UNIX};

    memcpy(un.sun_path, path, len);
    return un;
}

struct name {
    const void *address;
    size_t len;
    const char *host;
    unsigned port;
    const char *peer;  /* for a line of the log */
    const char *text;  /* for a page */
    const char *bytes; /* NULL: no address of IP */
};

static void assert_named(const struct name *name)
{
    struct shs__address address;
    char buf[200];

    memset(buf, 'z', sizeof buf);
    assert_string_equal(shs__conn_peer(lab.conn, buf, sizeof buf), name->peer);
    assert_string_equal(shs_conn_client_host(lab.conn), name->host);
    assert_string_equal(shs_conn_client_host(lab.conn), name->host); /* and again, kept */
    assert_int_equal(shs_conn_client_port(lab.conn), name->port);
    assert_string_equal(shs__conn_peer(lab.conn, buf, sizeof buf), name->peer);
    memset(buf, 'z', sizeof buf);
    assert_string_equal(shs__conn_client_text(lab.conn, buf, sizeof buf), name->text);
    memset(&address, 0x55, sizeof address);
    assert_int_equal(shs__conn_address(lab.conn, &address), name->bytes != NULL);
    if (name->bytes != NULL)
        assert_memory_equal(address.bytes, name->bytes, 16);
}

static void test_names(void **state)
{
    static const char nobody[] = "a client without a name";
    struct sockaddr_in v4 = {.sin_family = AF_INET, .sin_port = htons(4711)};
    struct sockaddr_in v4_no_port = {.sin_family = AF_INET};
    struct sockaddr_in6 v6 = {.sin6_family = AF_INET6, .sin6_port = htons(4712)};
    struct sockaddr_in6 mapped = {.sin6_family = AF_INET6, .sin6_port = htons(4713)};
    struct sockaddr_un path = unix_address("/run/a\nb\x7f"
                                           "c",
                                           10);
    struct sockaddr_un abstract = unix_address("\0name\x1f\x20", 7);
    const size_t before = offsetof(struct sockaddr_un, sun_path);
    const struct name names[] = {
        {&v4, sizeof v4, "192.0.2.1", 4711, "192.0.2.1 port 4711", "192.0.2.1 port 4711",
         "\0\0\0\0\0\0\0\0\0\0\xff\xff\xc0\0\2\1"},
        {&v4_no_port, sizeof v4, "192.0.2.2", 0, "192.0.2.2 port 0", "192.0.2.2",
         "\0\0\0\0\0\0\0\0\0\0\xff\xff\xc0\0\2\2"},
        {&v6, sizeof v6, "2001:db8::7", 4712, "2001:db8::7 port 4712", "2001:db8::7 port 4712",
         "\x20\1\x0d\xb8\0\0\0\0\0\0\0\0\0\0\0\7"},
        {&mapped, sizeof mapped, "192.0.2.3", 4713, "192.0.2.3 port 4713", "192.0.2.3 port 4713",
         "\0\0\0\0\0\0\0\0\0\0\xff\xff\xc0\0\2\3"},
        {&path, sizeof path, "/run/a?b?c", 0, "/run/a?b?c", "/run/a?b?c", NULL},
        {&path, before + 6, "/run/a", 0, "/run/a", "/run/a", NULL},
        {&abstract, before + 7, "@name? ", 0, "@name? ", "@name? ", NULL},
        {&abstract, before + 1, "@", 0, "@", "@", NULL},
        {&abstract, before, "", 0, nobody, nobody, NULL}, /* it has bound no name */
        {&abstract, sizeof abstract.sun_family, "", 0, nobody, nobody, NULL},
        {&v4, 0, "", 0, nobody, nobody, NULL},
        {NULL, sizeof v4, "", 0, nobody, nobody, NULL},
        {NULL, 0, "", 0, nobody, nobody, NULL},
    };

    (void)state;
    v4.sin_addr.s_addr = htonl(0xc0000201);
    v4_no_port.sin_addr.s_addr = htonl(0xc0000202);
    assert_int_equal(inet_pton(AF_INET6, "2001:db8::7", &v6.sin6_addr), 1);
    assert_int_equal(inet_pton(AF_INET6, "::ffff:192.0.2.3", &mapped.sin6_addr), 1);
    open_lab();
    for (size_t i = 0; i < SHS_ARRAY_LEN(names); i++) {
        open_conn(names[i].address, names[i].len);
        assert_named(&names[i]);
        assert_false(lab.conn->renamed);
        /* Another one, for whom a balancer speaks: nothing of the first is left. */
        for (size_t j = 0; j < SHS_ARRAY_LEN(names); j++) {
            if (names[j].address == NULL || names[j].len == 0)
                continue;
            shs__conn_set_client(lab.conn, names[j].address, (socklen_t)names[j].len);
            assert_named(&names[j]);
            assert_true(lab.conn->renamed);
        }
        shs__conn_free(lab.conn);
        lab.conn = NULL;
    }
    close_lab();
}

/* More than there is room for is nobody's name. */
static void test_an_address_that_does_not_fit(void **state)
{
    struct sockaddr_storage large = {.ss_family = AF_INET};
    struct sockaddr_in v4 = {.sin_family = AF_INET};
    char buf[64];

    (void)state;
    open_lab();
    open_conn(&large, sizeof lab.conn->client + 1);
    assert_string_equal(shs_conn_client_host(lab.conn), "");
    shs__conn_set_client(lab.conn, (struct sockaddr *)&v4, sizeof v4);
    assert_string_equal(shs_conn_client_host(lab.conn), "0.0.0.0");
    shs__conn_set_client(lab.conn, (struct sockaddr *)&large, sizeof lab.conn->client + 1);
    assert_string_equal(shs_conn_client_host(lab.conn), "");
    assert_string_equal(shs__conn_client_text(NULL, buf, sizeof buf), "a client without a name");
    shs__conn_free(lab.conn);
    open_conn(&large, sizeof lab.conn->client); /* and as much as there is fits */
    assert_string_equal(shs_conn_client_host(lab.conn), "0.0.0.0");
    shs__conn_set_client(lab.conn, (struct sockaddr *)&large, sizeof lab.conn->client);
    assert_string_equal(shs_conn_client_host(lab.conn), "0.0.0.0");
    close_lab();
}

/* -- its state --------------------------------------------------------------------------------- */

static void test_a_new_one(void **state)
{
    (void)state;
    for (int client_first = 0; client_first < 2; client_first++) {
        open_lab();
        lab.server->client_first = client_first;
        open_conn(NULL, 0);
        assert_int_equal(shs_conn_fileno(lab.conn), 77);
        assert_ptr_equal(shs_conn_server(lab.conn), lab.server);
        assert_true(shs_conn_deadline(lab.conn) == INT64_MAX);
        assert_true(atomic_load(&lab.conn->idle));
        assert_true(atomic_load(&lab.conn->idle_ns) ==
                    (client_first ? lab.conn->accepted_ns : INT64_MAX));
        assert_int_equal(shs_conn_error(lab.conn)->code, SHS_OK);
        assert_int_equal(lab.conn->wake_fd, -1);
        shs_conn_set(lab.conn, &lab.layer, &lab);
        assert_ptr_equal(shs_conn_get(lab.conn, &lab.layer), &lab);
        close_lab();
    }
}

static void test_idle(void **state)
{
    int64_t before;

    (void)state;
    open_lab();
    open_conn(NULL, 0);
    shs_conn_set_idle(lab.conn, false);
    assert_false(atomic_load(&lab.conn->idle));
    assert_true(atomic_load(&lab.conn->idle_ns) == INT64_MAX); /* as it was */
    /* It waits until a deadline that is idle_ms away: so it has begun just now. */
    shs_conn_set_deadline(lab.conn, 500000 * (int64_t)SHS_NS_PER_MS);
    shs_conn_set_idle(lab.conn, true);
    assert_true(atomic_load(&lab.conn->idle));
    assert_true(atomic_load(&lab.conn->idle_ns) == (500000 - 70000) * (int64_t)SHS_NS_PER_MS);
    before = shs_now_ns();
    shs_conn_set_deadline(lab.conn, INT64_MAX);
    shs_conn_set_idle(lab.conn, true);
    assert_true(atomic_load(&lab.conn->idle_ns) >= before);
    assert_true(atomic_load(&lab.conn->idle_ns) <= shs_now_ns());
    close_lab();
}

static void test_linger(void **state)
{
    (void)state;
    open_lab();
    open_conn(NULL, 0);
    shs_conn_set_idle(lab.conn, false);
    shs__conn_begin_linger(lab.conn);
    assert_int_equal(lab.conn->phase, SHS_CONN_FLUSH);
    assert_true(lab.conn->linger_left > 0);
    assert_true(atomic_load(&lab.conn->idle)); /* nobody waits for it to end */
    assert_true(atomic_load(&lab.conn->idle_ns) == INT64_MAX);
    assert_has_ms(lab.conn->deadline_ns, 40000);
    /* Once. */
    lab.conn->phase = SHS_CONN_LINGER;
    lab.conn->deadline_ns = 1;
    shs__conn_begin_linger(lab.conn);
    assert_int_equal(lab.conn->phase, SHS_CONN_LINGER);
    assert_true(lab.conn->deadline_ns == 1);
    close_lab();
}

/* The first failure is the cause; what follows from it is not recorded. */
/* A look that finds what came `lay` ms before it began. */
static int look(int64_t deadline_ns, unsigned ms, int64_t lay, size_t bytes)
{
    struct shs__conn_look it;

    shs_conn_set_deadline(lab.conn, deadline_ns);
    it = shs__conn_look_begin(lab.conn, ms);
    assert_true(it.came_ns <= it.began_ns);
    it.came_ns = it.began_ns - lay * SHS_NS_PER_MS;
    lab.conn->socket.bytes_in += bytes;
    return shs__conn_look_end(lab.conn, &it);
}

static void test_looks_at_the_late(void **state)
{
    const int64_t s = SHS_NS_PER_S;
    int64_t now;

    (void)state;
    open_lab();
    open_conn(NULL, 0);
    /* Nothing was there: who is late is late, and who is not has no more time. */
    now = shs_now_ns();
    assert_int_equal(look(now - 1, 60000, 0, 0), SHS_TIMEOUT);
    assert_true(shs_conn_deadline(lab.conn) == now - 1);
    assert_int_equal(look(now + 1000 * s, 60000, 0, 0), SHS_OK);
    assert_true(shs_conn_deadline(lab.conn) == now + 1000 * s);
    /* It lay there for 30 seconds. */
    now = shs_now_ns();
    assert_int_equal(look(now - s, 60000, 30000, 5), SHS_OK);
    assert_true(shs_conn_deadline(lab.conn) >= now + 29 * s);
    assert_true(shs_conn_deadline(lab.conn) <= shs_now_ns() + 30 * s);
    /* For less than he is late; and for longer than the phase, of which he has all. */
    assert_int_equal(look(shs_now_ns() - 1000 * s, 60000, 30000, 5), SHS_TIMEOUT);
    now = shs_now_ns();
    assert_int_equal(look(now - s, 60000, 300000, 5), SHS_OK);
    assert_true(shs_conn_deadline(lab.conn) >= now + 60 * s);
    assert_true(shs_conn_deadline(lab.conn) <= shs_now_ns() + 60 * s);
    /* Who has more time than the phase gives keeps it. */
    assert_int_equal(look(now + 1000 * s, 60000, 30000, 5), SHS_OK);
    assert_true(shs_conn_deadline(lab.conn) == now + 1000 * s);
    close_lab();
}

static void test_failures(void **state)
{
    (void)state;
    open_talk(100);
    assert_int_equal(shs_conn_fail(lab.conn, SHS_TIMEOUT, EAGAIN, "first %d", 1), SHS_TIMEOUT);
    assert_int_equal(shs_conn_fail(lab.conn, SHS_IO, 0, "second"), SHS_IO);
    assert_int_equal(shs_conn_fail(lab.conn, SHS_TIMEOUT, 0, "third"), SHS_TIMEOUT);
    assert_int_equal(shs__conn_fail_stream(lab.conn, SHS_RESET), SHS_RESET);
    assert_int_equal(shs_conn_error(lab.conn)->code, SHS_TIMEOUT);
    assert_int_equal(shs_conn_error(lab.conn)->sys_errno, EAGAIN);
    assert_non_null(strstr(shs_conn_error(lab.conn)->text, "first 1"));
    assert_int_equal(atomic_load(&lab.server->stats.timeouts), 1);
    close_lab();
    open_talk(100);
    assert_int_equal(shs_conn_fail(lab.conn, SHS_IO, 0, "first"), SHS_IO);
    assert_int_equal(atomic_load(&lab.server->stats.timeouts), 0);
    close_lab();
    open_talk(100);
    lab.conn->stream->sys_errno = EPIPE;
    assert_int_equal(shs__conn_fail_stream(lab.conn, SHS_IO), SHS_IO);
    assert_int_equal(shs_conn_error(lab.conn)->code, SHS_IO);
    assert_int_equal(shs_conn_error(lab.conn)->sys_errno, EPIPE);
    close_lab();
}

/* -- reading ----------------------------------------------------------------------------------- */

static void test_reading(void **state)
{
    char buf[16];
    size_t got = 0;

    (void)state;
    open_talk(100);
    peer_sends("abc");
    assert_int_equal(shs_conn_read(lab.conn, buf, sizeof buf, &got), SHS_OK);
    assert_int_equal(got, 3);
    assert_int_equal(lab.waits, 0);
    assert_true(lab.conn->has_read);
    /* It waits, with the deadline that somebody has set. */
    lab.action = PEER_SENDS;
    lab.moves = 2;
    shs_conn_set_deadline(lab.conn, 12345);
    assert_int_equal(shs_conn_read(lab.conn, buf, sizeof buf, &got), SHS_OK);
    assert_int_equal(got, 2);
    assert_int_equal(lab.waits, 1);
    assert_int_equal(lab.what, SHS_WAIT_READ);
    assert_true(lab.deadline_ns == 12345 && shs_conn_deadline(lab.conn) == 12345);
    /* The end is none to complain of. */
    assert_int_equal(shs__stream_shutdown(lab.peer), SHS_OK);
    assert_int_equal(shs_conn_read(lab.conn, buf, sizeof buf, &got), SHS_CLOSED);
    assert_int_equal(shs_conn_error(lab.conn)->code, SHS_OK);
    close_lab();
    open_talk(100);
    shs__memory_stream_fail(lab.conn->stream, 'r', EIO);
    assert_int_equal(shs_conn_read(lab.conn, buf, sizeof buf, &got), SHS_IO);
    assert_int_equal(shs_conn_error(lab.conn)->sys_errno, EIO);
    close_lab();
    open_talk(100);
    assert_int_equal(shs_conn_read(lab.conn, buf, 0, &got), SHS_USAGE);
    assert_non_null(strstr(shs_conn_error(lab.conn)->text, "at least one byte"));
    close_lab();
    open_talk(100);
    assert_int_equal(shs_conn_read(lab.conn, buf, 1, &got), SHS_TIMEOUT);
    assert_non_null(strstr(shs_conn_error(lab.conn)->text, "the client did not send in time"));
    close_lab();
    open_talk(100);
    lab.action = STOPS;
    assert_int_equal(shs_conn_read(lab.conn, buf, 1, &got), SHS_STOPPED);
    assert_non_null(strstr(shs_conn_error(lab.conn)->text, shs_err_text(SHS_STOPPED)));
    close_lab();
}

/* Without a deadline all waits together have idle_ms, until it writes or enough has come. */
static void test_waits_together(void **state)
{
    char buf[8000];
    size_t got = 0;
    int64_t waited;

    (void)state;
    open_talk(10000);
    lab.action = PEER_SENDS;
    lab.moves = 1;
    lab.nap_ns = 5 * SHS_NS_PER_MS;
    assert_int_equal(shs_conn_read(lab.conn, buf, 1, &got), SHS_OK);
    assert_has_ms(lab.deadline_ns, 70000);
    assert_true(shs_conn_deadline(lab.conn) == INT64_MAX); /* nobody has set one */
    waited = lab.conn->read_waits_ns;
    assert_true(waited >= 5 * SHS_NS_PER_MS);
    assert_int_equal(shs_conn_read(lab.conn, buf, 1, &got), SHS_OK);
    assert_true(lab.conn->read_waits_ns >= waited + 5 * SHS_NS_PER_MS);
    assert_int_equal(lab.conn->read_bytes, 2);
    /* What was waited is not there any more. */
    lab.conn->read_waits_ns = 69000 * (int64_t)SHS_NS_PER_MS;
    assert_int_equal(shs_conn_read(lab.conn, buf, 1, &got), SHS_OK);
    assert_true(lab.deadline_ns <= shs_now_ns() + 1000 * SHS_NS_PER_MS);
    lab.conn->read_waits_ns = 80000 * (int64_t)SHS_NS_PER_MS;
    assert_int_equal(shs_conn_read(lab.conn, buf, 1, &got), SHS_OK);
    assert_true(lab.deadline_ns <= shs_now_ns()); /* none is left; but it is not in the past */
    assert_true(lab.deadline_ns >= shs_now_ns() - 60 * (int64_t)SHS_NS_PER_S);
    /* min_rate for idle_ms is 7000 bytes: then it begins anew. */
    lab.conn->read_bytes = 6998;
    assert_int_equal(shs_conn_read(lab.conn, buf, 1, &got), SHS_OK);
    assert_int_equal(lab.conn->read_bytes, 6999);
    assert_int_equal(shs_conn_read(lab.conn, buf, 1, &got), SHS_OK);
    assert_int_equal(lab.conn->read_bytes, 0);
    assert_true(lab.conn->read_waits_ns == 0);
    /* And it does when the handler has written. */
    assert_int_equal(shs_conn_read(lab.conn, buf, 1, &got), SHS_OK);
    assert_true(lab.conn->read_bytes > 0 && lab.conn->read_waits_ns > 0);
    assert_int_equal(shs_conn_write(lab.conn, "x", 1), SHS_OK);
    assert_true(lab.conn->read_bytes == 0 && lab.conn->read_waits_ns == 0);
    close_lab();
}

/* -- writing ----------------------------------------------------------------------------------- */

static char much[100000];

static void test_writing(void **state)
{
    (void)state;
    open_talk(1000);
    lab.action = PEER_READS;
    lab.moves = 500;
    lab.conn->deadline_ns = 12345;
    assert_int_equal(shs_conn_write(lab.conn, much, 5000), SHS_OK);
    assert_int_equal(lab.what, SHS_WAIT_WRITE);
    assert_has_ms(lab.deadline_ns, 90000);
    assert_true(lab.conn->deadline_ns == 12345);
    assert_int_equal(lab.conn->write_failed, SHS_OK);
    assert_int_equal(peer_reads(5000), 1000); /* all of it has been there */
    /* Nothing is nothing, and is let out all the same. */
    assert_int_equal(shs_conn_write(lab.conn, much, 0), SHS_OK);
    close_lab();
}

/* A look that finds nothing taken is not the end; a second one by the same deadline is. */
static void test_a_writer_waits_once_more(void **state)
{
    (void)state;
    open_talk(1000);
    lab.action = TIME_PASSES;
    assert_int_equal(shs_conn_write(lab.conn, much, 5000), SHS_TIMEOUT);
    assert_int_equal(lab.waits, 1);
    assert_non_null(strstr(shs_conn_error(lab.conn)->text, "the client did not read in time"));
    /* What is out nobody knows: nothing goes behind it. */
    assert_int_equal(lab.conn->write_failed, SHS_TIMEOUT);
    assert_int_equal(peer_reads(5000), 1000);
    assert_int_equal(shs_conn_write(lab.conn, "x", 1), SHS_TIMEOUT);
    assert_int_equal(peer_reads(1), 0);
    assert_int_equal(lab.waits, 1);
    close_lab();
    open_talk(1000);
    lab.action = STOPS;
    assert_int_equal(shs_conn_write(lab.conn, much, 5000), SHS_STOPPED);
    assert_non_null(strstr(shs_conn_error(lab.conn)->text, shs_err_text(SHS_STOPPED)));
    close_lab();
    open_talk(1000);
    shs__memory_stream_fail(lab.conn->stream, 'w', EPIPE);
    assert_int_equal(shs_conn_write(lab.conn, "x", 1), SHS_IO);
    assert_int_equal(shs_conn_error(lab.conn)->sys_errno, EPIPE);
    close_lab();
    /* Each datagram is whole: one that failed says nothing of the next. */
    open_talk(1000);
    lab.conn->borrowed = true;
    shs__memory_stream_fail(lab.conn->stream, 'w', EPIPE);
    assert_int_equal(shs_conn_write(lab.conn, "x", 1), SHS_IO);
    assert_int_equal(shs_conn_write(lab.conn, "y", 1), SHS_OK);
    assert_int_equal(peer_reads(2), 1);
    close_lab();
}

/* Progress moves the deadline: what the peer has taken, at min_rate. */
static void test_progress_of_a_writer(void **state)
{
    int64_t first;

    (void)state;
    open_talk(1000);
    lab.action = PEER_READS;
    lab.moves = 9; /* 100 bytes a second for the tenth of one that it has are 10 */
    first = shs_now_ns();
    assert_int_equal(shs__conn_write_within(lab.conn, much, 1009, 100), SHS_OK);
    assert_true(lab.deadline_ns >= first + 100 * SHS_NS_PER_MS);
    lab.nap_ns = 30 * SHS_NS_PER_MS;
    lab.moves = 20;
    first = shs_now_ns();
    assert_int_equal(shs__conn_write_within(lab.conn, much, 200, 100), SHS_OK);
    /* Longer than its first tenth, for it reads fast enough. */
    assert_true(lab.waits > 9);
    assert_true(lab.deadline_ns >= first + 200 * SHS_NS_PER_MS);
    close_lab();
}

/* This process was stopped while it waited, and the peer has gone on. One that has taken all there
   was is not late, whatever the rate; one that has not is. */
static void test_a_writer_that_is_late_itself(void **state)
{
    (void)state;
    for (size_t taken = ROOM - 1; taken <= ROOM; taken++) {
        open_talk(ROOM);
        lab.server->opt.min_rate = 1000000000;
        lab.action = WE_ARE_LATE;
        lab.moves = taken;
        assert_int_equal(shs__conn_write_within(lab.conn, much, 5 * ROOM, LATE_MS),
                         taken == ROOM ? SHS_OK : SHS_TIMEOUT);
        close_lab();
    }
}

static struct shs_stream_class slow_class;
static int (*fast_write)(struct shs_stream *self, const void *buf, size_t len, size_t *put);

#define SLOW_MS 20

static int slow_write(struct shs_stream *self, const void *buf, size_t len, size_t *put)
{
    usleep(SLOW_MS * 1000);
    return fast_write(self, buf, len, put);
}

/* What we take ourselves, to seal it for one, is not the peer's time. */
static void test_a_slow_writer(void **state)
{
    int64_t first, second;

    (void)state;
    open_talk(1000);
    slow_class = *lab.conn->stream->cls;
    fast_write = slow_class.write;
    slow_class.write = slow_write;
    lab.conn->stream->cls = &slow_class;
    lab.action = PEER_READS;
    lab.moves = 200;
    first = shs_now_ns();
    assert_int_equal(shs__conn_write_within(lab.conn, much, 1200, 60000), SHS_OK);
    assert_int_equal(lab.waits, 1); /* behind two writes */
    second = lab.deadline_ns;
    assert_true(second >= first + (60000 + 2 * SLOW_MS) * (int64_t)SHS_NS_PER_MS);
    /* It is full: a wait, a write that is taken, and one that is not. */
    first = shs_now_ns();
    assert_int_equal(shs__conn_write_within(lab.conn, much, 400, 60000), SHS_OK);
    assert_int_equal(lab.waits, 3);
    assert_true(lab.deadline_ns >= first + (60000 + 2 * SLOW_MS) * (int64_t)SHS_NS_PER_MS);
    close_lab();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_names),
        cmocka_unit_test(test_an_address_that_does_not_fit),
        cmocka_unit_test(test_a_new_one),
        cmocka_unit_test(test_idle),
        cmocka_unit_test(test_linger),
        cmocka_unit_test(test_looks_at_the_late),
        cmocka_unit_test(test_failures),
        cmocka_unit_test(test_reading),
        cmocka_unit_test(test_waits_together),
        cmocka_unit_test(test_writing),
        cmocka_unit_test(test_a_writer_waits_once_more),
        cmocka_unit_test(test_progress_of_a_writer),
        cmocka_unit_test(test_a_writer_that_is_late_itself),
        cmocka_unit_test(test_a_slow_writer),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
