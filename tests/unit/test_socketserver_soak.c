/*
 * test_socketserver_soak.c - many requests, and everything is as it was before them.
 *
 *   test_socketserver_soak                       as ctest runs it: a few hundred of each
 *   SHS_SOAK_REQUESTS=10000 SHS_SOAK_DATAGRAMS=100000 test_socketserver_soak
 */
#include "socketserver_support.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/base.h"

#include "tls_lab.h"

#define CLIENTS 8

static unsigned from_environment(const char *name, unsigned otherwise)
{
    const char *text = getenv(name);
    unsigned long value = text == NULL ? otherwise : strtoul(text, NULL, 10);

    return value > 0 && value < 100000000 ? (unsigned)value : otherwise;
}

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define RSS_TELLS false /* a sanitizer keeps what is freed */
#define REQUESTS 40     /* and is slow */
#else
#define RSS_TELLS true
#define REQUESTS 300
#endif
/* What the allocator may keep of its own accord. */
#define RSS_SLACK_KIB 1024
#define SPARE_MS 20 /* the pool's workers beyond its number, which a busy machine has it begin */
/* The C library keeps up to 40 MiB of stacks of threads that have ended, of which little is in use:
   how many depends on how many ended at once, not on how many there were. */
#define STACKS_SLACK_KIB 6144

struct state {
    unsigned threads, children, descriptors;
    long rss;
};

static void look(struct state *now)
{
    now->threads = sst_threads();
    now->children = sst_children();
    now->descriptors = sst_descriptors();
    now->rss = sst_rss_kib();
}

/* Whoever served is done: threads gone, children taken. */
static bool is_quiet(const struct shs_server *server)
{
    struct shs_server_stats stats;

    shs_server_get_stats(server, &stats);
    return stats.connections == 0 && stats.children == 0;
}

/* -- the clients, in a process of their own ---------------------------------------------------- */

/*
 * So that no child of a forking server inherits a client's end of a connection, or a lock that a
 * client's thread held (of OpenSSL's, say: shs/server.h tells).
 */
typedef bool ask_fn(const struct sst_server *s, const struct sst_dir *dir);

struct clients {
    pid_t pid;
    int orders[2], results[2];
};

static _Noreturn void run_clients(const struct clients *self, const struct sst_server *s,
                                  const struct sst_dir *dir, ask_fn *ask)
{
    unsigned count, good;

    close(self->orders[1]);
    alarm(600); /* whatever happens */
    while (read(self->orders[0], &count, sizeof count) == sizeof count) {
        for (good = 0; good < count && ask(s, dir); good++)
            ;
        if (write(self->results[1], &good, sizeof good) != sizeof good)
            break;
    }
    _exit(0);
}

/* Before the server's thread is there: a fork of this process is only this thread. */
static void clients_start(struct clients *self, const struct sst_server *s,
                          const struct sst_dir *dir, ask_fn *ask)
{
    assert_int_equal(pipe(self->orders), 0);
    assert_int_equal(pipe(self->results), 0);
    self->pid = fork();
    assert_true(self->pid >= 0);
    if (self->pid == 0)
        run_clients(self, s, dir, ask);
}

static void clients_ask(struct clients *self, const struct shs_server *server, unsigned count)
{
    struct pollfd p = {.fd = self->results[0], .events = POLLIN};
    unsigned good = 0;

    assert_int_equal(write(self->orders[1], &count, sizeof count), sizeof count);
    assert_int_equal(poll(&p, 1, 300000), 1);
    assert_int_equal(read(self->results[0], &good, sizeof good), sizeof good);
    assert_int_equal(good, count);
    sst_wait_until(is_quiet(server));
}

static void clients_stop(struct clients *self)
{
    close(self->orders[1]);
    close(self->orders[0]);
    close(self->results[0]);
    close(self->results[1]);
    assert_int_equal(waitpid(self->pid, NULL, 0), self->pid);
}

/* `count` requests one after the other leave threads, children, descriptors, RSS as they were. */
static void soak(struct sst_server *s, const struct sst_dir *dir, const char *name, ask_fn *ask)
{
    unsigned count = from_environment("SHS_SOAK_REQUESTS", REQUESTS);
    bool threads = shs_server_layer(s->server, "ThreadingMixIn") != NULL ||
                   shs_server_layer(s->server, "ThreadPoolMixIn") != NULL;
    long slack = threads ? STACKS_SLACK_KIB : RSS_SLACK_KIB;
    struct state before, after;
    struct clients clients;
    int64_t start, took;

    clients_start(&clients, s, dir, ask);
    sst_serve(s);
    clients_ask(&clients, s->server, REQUESTS / 3); /* whatever is made at first use is made now */
    usleep(100000); /* threads that have been counted out are on their last steps, spare ones go */
    look(&before);
    start = shs_now_ns();
    clients_ask(&clients, s->server, count);
    took = shs_now_ns() - start;
    sst_wait_until(sst_threads() <= before.threads);
    sst_wait_until(sst_descriptors() <= before.descriptors);
    look(&after);
    print_message("%-28s %u requests, %4.0f us each: threads %u -> %u, children %u -> %u, "
                  "descriptors %u -> %u, RSS %ld -> %ld KiB\n",
                  name, count, (double)took / 1000.0 / count, before.threads, after.threads,
                  before.children - 1, after.children - 1, before.descriptors, after.descriptors,
                  before.rss, after.rss);
    assert_int_equal(after.children, before.children);
    assert_true(after.descriptors <= before.descriptors);
    if (RSS_TELLS)
        assert_true(after.rss - before.rss <= slack);
    clients_stop(&clients);
}

static bool ask_line(const struct sst_server *s, const struct sst_dir *dir)
{
    char buf[16];
    int fd = sst_dial(s, dir);
    bool good = send(fd, "a request\n", 10, MSG_NOSIGNAL) == 10 &&
                sst_hear(fd, buf, sizeof buf) == 10 && memcmp(buf, "a request\n", 10) == 0;

    close(fd);
    if (shs_server_socket_type(s->server) == SOCK_DGRAM &&
        shs_server_address_family(s->server) == AF_UNIX)
        sst_dir_forget_clients(dir);
    return good;
}

static void test_soak_each_class(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof sst_classes / sizeof sst_classes[0]; i++) {
        const struct sst_class *cls = &sst_classes[i];
        struct sst_server s;
        struct shs_options opt;
        struct sst_dir dir;

        sst_dir_make(&dir);
        sst_options(&opt, cls, &dir);
        assert_int_equal(
            cls->make(&s.server, &opt,
                      cls->type == SOCK_DGRAM ? &sst_datagram_echo : &sst_stream_echo.base, NULL),
            SHS_OK);
        soak(&s, &dir, cls->name, ask_line);
        sst_stop(&s);
        sst_dir_remove(&dir);
    }
}

/* -- HTTP and HTTPS ---------------------------------------------------------------------------- */

static int hello_get(struct shs_request *req, struct shs_response *res)
{
    (void)req;
    if (shs_send_response(res, 200) != SHS_OK)
        return SHS_USAGE;
    return shs_write(res, "hello", 5);
}

static const struct shs_http_handler hello = {.name = "hello", .do_GET = hello_get};
static const char request[] = "GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n";

static bool ask_http(const struct sst_server *s, const struct sst_dir *dir)
{
    char answer[1024];
    size_t have = 0;
    ssize_t n = -1;
    int fd = sst_dial(s, dir);

    if (send(fd, request, sizeof request - 1, MSG_NOSIGNAL) == (ssize_t)sizeof request - 1) {
        while ((n = sst_hear(fd, answer + have, sizeof answer - 1 - have)) > 0)
            have += (size_t)n;
    }
    answer[have] = '\0';
    close(fd);
    return n == 0 && strstr(answer, "\r\n\r\nhello") != NULL;
}

static SSL_CTX *client_ctx;

static bool ask_https(const struct sst_server *s, const struct sst_dir *dir)
{
    SSL *ssl = SSL_new(client_ctx);
    char answer[1024];
    size_t have = 0;
    int fd = sst_dial(s, dir), n;

    if (SSL_set_fd(ssl, fd) == 1 && SSL_connect(ssl) == 1 &&
        SSL_write(ssl, request, sizeof request - 1) == (int)sizeof request - 1) {
        while ((n = SSL_read(ssl, answer + have, (int)(sizeof answer - 1 - have))) > 0)
            have += (size_t)n;
    }
    answer[have] = '\0';
    SSL_free(ssl);
    close(fd);
    return strstr(answer, "\r\n\r\nhello") != NULL;
}

/* HTTP under threads, a pool and fork, plain and over TLS; and TLS on a Unix socket. */
static void test_soak_http(void **state)
{
    static const struct {
        const char *name;
        int (*make)(struct shs_server **, const struct shs_options *,
                    const struct shs_http_handler *, struct shs_error *);
        bool tls, local;
    } servers[] = {
        {"HTTPServer", shs_http_server_new, false, false},
        {"ThreadingHTTPServer", shs_threading_http_server_new, false, false},
        {"ForkingHTTPServer", shs_forking_http_server_new, false, false},
        {"SecureHTTPServer", shs_secure_http_server_new, true, false},
        {"ForkingSecureHTTPServer", shs_forking_secure_http_server_new, true, false},
        {"SecureHTTPServer (Unix)", shs_secure_http_server_new, true, true},
    };
    struct tls_lab lab;

    (void)state;
    lab_open(&lab, SHS_KEY_P256);
    client_ctx = SSL_CTX_new(TLS_client_method());
    for (size_t i = 0; i < sizeof servers / sizeof servers[0]; i++) {
        struct shs_error err = {.text = ""};
        struct sst_server s;
        struct shs_options opt;
        struct sst_dir dir;

        sst_dir_make(&dir);
        sst_options(&opt, servers[i].local ? sst_class("UnixStreamServer") : NULL, &dir);
        opt.spare_ms = SPARE_MS;
        if (servers[i].tls) {
            opt.cert_pem = lab.opt.cert_pem;
            opt.cert_pem_len = lab.opt.cert_pem_len;
            opt.key_pem = lab.opt.key_pem;
            opt.key_pem_len = lab.opt.key_pem_len;
        }
        if (servers[i].make(&s.server, &opt, &hello, &err) != SHS_OK)
            fail_msg("%s: %s", servers[i].name, err.text);
        soak(&s, &dir, servers[i].name, servers[i].tls ? ask_https : ask_http);
        sst_stop(&s);
        sst_dir_remove(&dir);
    }
    SSL_CTX_free(client_ctx);
    lab_close(&lab);
}

static bool has_no_threads(const struct shs_server *server)
{
    struct shs_server_stats stats;

    shs_server_get_stats(server, &stats);
    return stats.threads == 0;
}

/* -- every answer goes to its own sender ------------------------------------------------------- */

struct sender {
    struct sst_server *server;
    unsigned number, count, lost;
    char wrong[128]; /* what came that was not ours; empty: nothing */
    int fd;
    pthread_t thread;
};

/* An answer to what was asked twice, because the first one was late. */
static bool is_old(const struct sender *self, unsigned asked, const char *answer)
{
    unsigned number, i;

    return self->lost > 0 && sscanf(answer, "client %u, datagram %u\n", &number, &i) == 2 &&
           number == self->number && i < asked;
}

/* One question, its answer. True when it came; one that is lost on the way is asked again. */
static bool exchange(struct sender *self, unsigned i)
{
    struct pollfd p = {.fd = self->fd, .events = POLLIN};
    char question[48], answer[64];
    ssize_t n;

    snprintf(question, sizeof question, "client %u, datagram %u\n", self->number, i);
    if (send(self->fd, question, strlen(question), 0) != (ssize_t)strlen(question))
        return false;
    while (poll(&p, 1, 2000) == 1) {
        n = recv(self->fd, answer, sizeof answer - 1, 0);
        answer[n > 0 ? n : 0] = '\0';
        if (strcmp(answer, question) == 0)
            return true;
        if (is_old(self, i, answer))
            continue;
        snprintf(self->wrong, sizeof self->wrong, "asked %.40s, got %.60s", question, answer);
        return false;
    }
    return false;
}

static void *send_all(void *arg)
{
    struct sender *self = arg;

    for (unsigned i = 0; i < self->count && self->wrong[0] == '\0'; i++) {
        while (!exchange(self, i) && self->wrong[0] == '\0' && ++self->lost < 100)
            ;
    }
    return NULL;
}

/* `total` questions from eight clients at once; how many had to be asked again. */
static unsigned send_round(struct sst_server *s, unsigned total)
{
    struct sender senders[CLIENTS];
    unsigned lost = 0;

    for (unsigned i = 0; i < CLIENTS; i++) {
        senders[i] = (struct sender){.server = s, .number = i, .count = total / CLIENTS};
        senders[i].fd = sst_dial(s, NULL);
        assert_int_equal(pthread_create(&senders[i].thread, NULL, send_all, &senders[i]), 0);
    }
    for (unsigned i = 0; i < CLIENTS; i++) {
        pthread_join(senders[i].thread, NULL);
        close(senders[i].fd);
        assert_string_equal(senders[i].wrong, "");
        lost += senders[i].lost;
    }
    sst_wait_until(is_quiet(s->server) && has_no_threads(s->server));
    return lost;
}

static void test_soak_datagrams_to_their_own_senders(void **state)
{
    unsigned total = from_environment("SHS_SOAK_DATAGRAMS", 4000), lost;
    struct shs_server_stats stats;
    struct state before, after;
    struct sst_server s;
    struct shs_options opt;
    int64_t start, took;

    (void)state;
    sst_options(&opt, NULL, NULL);
    sst_start(&s, sst_class("ThreadingUDPServer"), &opt, &sst_datagram_echo);
    send_round(&s, 1000);
    look(&before);
    start = shs_now_ns();
    lost = send_round(&s, total);
    took = shs_now_ns() - start;
    shs_server_get_stats(s.server, &stats);
    assert_true(stats.accepted >= total / CLIENTS * CLIENTS + 1000);
    assert_int_equal(stats.errors, 0);
    sst_wait_until(sst_threads() <= before.threads);
    look(&after);
    print_message(
        "%u datagrams from %u clients, %.1f us each, %u lost and sent again: threads %u -> "
        "%u, descriptors %u -> %u, RSS %ld -> %ld KiB\n",
        total, CLIENTS, (double)took / 1000.0 / total, lost, before.threads, after.threads,
        before.descriptors, after.descriptors, before.rss, after.rss);
    assert_true(lost < total / 100 + 1);
    assert_true(after.threads <= before.threads);
    assert_int_equal(after.descriptors, before.descriptors);
    if (RSS_TELLS)
        assert_true(after.rss - before.rss <= STACKS_SLACK_KIB);
    sst_stop(&s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_soak_each_class),
        cmocka_unit_test(test_soak_http),
        cmocka_unit_test(test_soak_datagrams_to_their_own_senders),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
