/*
 * load_client.c - a TLS client for what wrk cannot do: resumed handshakes, and holding connections.
 *
 *   load_client close PORT PATH SECONDS|xCOUNT THREADS full|resumed|plain
 *       one connection per request, over and over; "x1000" is a number instead of a time.
 *       Prints: requests errors resumed seconds
 *   load_client hold PORT PATH COUNT tls|plain
 *       opens COUNT connections, one request on each, and keeps them. Prints "held COUNT SECONDS".
 *       For each line on stdin one request on each of them, in turns; prints the latencies in us:
 *       "median p99 max errors". Ends with stdin.
 *
 * With CLIENT_PEM in the environment, a file with a certificate, its chain and key, it shows that
 * to who asks. Every answer's status and length are checked. Sources are spread over 127.0.0.0/8,
 * so that ports are not the limit.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

#include <openssl/ssl.h>

struct link {
    int fd;
    SSL *ssl; /* NULL: plain */
};

static uint16_t port;
static char request[512];
static bool plain, resume;
static long count_left; /* with "xCOUNT"; under the atomics below */
static _Atomic long left = -1;
static _Atomic bool stop;
static _Atomic unsigned long requests, errors, resumed;

static double now_s(void)
{
    struct timespec ts;

    clock_gettime(CLOCK_MONOTONIC, &ts);
    return (double)ts.tv_sec + (double)ts.tv_nsec / 1e9;
}

static int dial(unsigned number)
{
    struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = htons(port)};
    struct sockaddr_in from = {.sin_family = AF_INET};
    struct timeval limit = {.tv_sec = 20};
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), on = 1;

    if (fd < 0)
        return -1;
    to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    from.sin_addr.s_addr = htonl(INADDR_LOOPBACK + 1 + number % 64);
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    setsockopt(fd, IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, &on, sizeof on);
    setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit);
    setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof limit);
    if (bind(fd, (struct sockaddr *)&from, sizeof from) == 0 &&
        connect(fd, (struct sockaddr *)&to, sizeof to) == 0)
        return fd;
    close(fd);
    return -1;
}

static void drop(struct link *link)
{
    if (link->ssl != NULL)
        SSL_free(link->ssl);
    if (link->fd >= 0)
        close(link->fd);
    link->ssl = NULL;
    link->fd = -1;
}

static bool open_link(struct link *link, SSL_CTX *ctx, SSL_SESSION *session, unsigned number)
{
    link->ssl = NULL;
    link->fd = dial(number);
    if (link->fd < 0)
        return false;
    if (plain)
        return true;
    link->ssl = SSL_new(ctx);
    if (link->ssl == NULL || SSL_set_fd(link->ssl, link->fd) != 1 ||
        (session != NULL && SSL_set_session(link->ssl, session) != 1) ||
        SSL_connect(link->ssl) != 1) {
        drop(link);
        return false;
    }
    return true;
}

static long receive(struct link *link, char *buf, size_t cap)
{
    int n =
        link->ssl != NULL ? SSL_read(link->ssl, buf, (int)cap) : (int)recv(link->fd, buf, cap, 0);

    return n;
}

/* One request, its whole answer: status 200 and as many bytes as Content-Length says. */
static bool exchange(struct link *link)
{
    char buf[32768];
    size_t len = strlen(request), have = 0;
    long n = link->ssl != NULL ? SSL_write(link->ssl, request, (int)len)
                               : (long)send(link->fd, request, len, MSG_NOSIGNAL);
    const char *end = NULL, *field;
    unsigned long long want;

    if (n != (long)len)
        return false;
    while (end == NULL && have < sizeof buf - 1) {
        n = receive(link, buf + have, sizeof buf - 1 - have);
        if (n <= 0)
            return false;
        have += (size_t)n;
        buf[have] = '\0';
        end = strstr(buf, "\r\n\r\n");
    }
    field = end == NULL ? NULL : strcasestr(buf, "\r\nContent-Length:");
    if (field == NULL || strncmp(buf, "HTTP/1.1 200", 12) != 0)
        return false;
    want = strtoull(field + 17, NULL, 10);
    have -= (size_t)(end + 4 - buf);
    while (have < want) {
        n = receive(link, buf, sizeof buf);
        if (n <= 0)
            return false;
        have += (size_t)n;
    }
    return have == want;
}

/* -- close ------------------------------------------------------------------------------------- */

static SSL_CTX *new_context(void)
{
    SSL_CTX *ctx = SSL_CTX_new(TLS_client_method());
    const char *pem = getenv("CLIENT_PEM");

    if (ctx == NULL)
        exit(1);
    if (pem != NULL && (SSL_CTX_use_certificate_chain_file(ctx, pem) != 1 ||
                        SSL_CTX_use_PrivateKey_file(ctx, pem, SSL_FILETYPE_PEM) != 1))
        exit(1);
    SSL_CTX_set_min_proto_version(ctx, TLS1_3_VERSION);
    SSL_CTX_set_mode(ctx, SSL_MODE_RELEASE_BUFFERS);
    SSL_CTX_set_session_cache_mode(ctx, SSL_SESS_CACHE_CLIENT | SSL_SESS_CACHE_NO_INTERNAL);
    return ctx;
}

static void *closer(void *arg)
{
    unsigned number = (unsigned)(uintptr_t)arg;
    SSL_CTX *ctx = new_context();
    SSL_SESSION *session = NULL;

    while (!atomic_load(&stop) && (count_left < 0 || atomic_fetch_sub(&left, 1) > 0)) {
        struct link link;

        number += 7;
        if (!open_link(&link, ctx, session, number) || !exchange(&link)) {
            atomic_fetch_add(&errors, 1);
            drop(&link);
            continue;
        }
        atomic_fetch_add(&requests, 1);
        if (link.ssl != NULL && SSL_session_reused(link.ssl) == 1)
            atomic_fetch_add(&resumed, 1);
        if (link.ssl != NULL && resume) { /* the ticket came before the answer */
            SSL_SESSION_free(session);
            session = SSL_get1_session(link.ssl);
            SSL_set_quiet_shutdown(link.ssl, 1);
            SSL_set_shutdown(link.ssl, SSL_SENT_SHUTDOWN | SSL_RECEIVED_SHUTDOWN);
        }
        drop(&link);
    }
    SSL_SESSION_free(session);
    SSL_CTX_free(ctx);
    return NULL;
}

static int run_close(char **argv)
{
    unsigned threads = (unsigned)strtoul(argv[5], NULL, 10);
    pthread_t *thread = calloc(threads, sizeof *thread);
    double began = now_s();

    plain = strcmp(argv[6], "plain") == 0;
    resume = strcmp(argv[6], "resumed") == 0;
    count_left = argv[4][0] == 'x' ? 0 : -1;
    if (count_left == 0)
        atomic_store(&left, strtol(argv[4] + 1, NULL, 10));
    for (unsigned i = 0; i < threads; i++) {
        if (pthread_create(&thread[i], NULL, closer, (void *)(uintptr_t)(i * 1000)) != 0)
            return 1;
    }
    if (count_left != 0) {
        sleep((unsigned)strtoul(argv[4], NULL, 10));
        atomic_store(&stop, true);
    }
    for (unsigned i = 0; i < threads; i++)
        pthread_join(thread[i], NULL);
    free(thread);
    printf("%lu %lu %lu %.3f\n", atomic_load(&requests), atomic_load(&errors),
           atomic_load(&resumed), now_s() - began);
    return 0;
}

/* -- hold -------------------------------------------------------------------------------------- */

static int by_value(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;

    return x < y ? -1 : x > y;
}

static void ask_all(struct link *links, unsigned count, double *us)
{
    unsigned bad = 0;

    for (unsigned i = 0; i < count; i++) {
        double began = now_s();

        bad += links[i].fd < 0 || !exchange(&links[i]);
        us[i] = (now_s() - began) * 1e6;
    }
    qsort(us, count, sizeof *us, by_value);
    printf("%.0f %.0f %.0f %u\n", us[count / 2], us[count * 99 / 100], us[count - 1], bad);
    fflush(stdout);
}

static int run_hold(char **argv)
{
    unsigned count = (unsigned)strtoul(argv[4], NULL, 10), held = 0;
    struct link *links = calloc(count, sizeof *links);
    double *us = calloc(count, sizeof *us);
    double began = now_s();
    char line[64];
    SSL_CTX *ctx = new_context();

    plain = strcmp(argv[5], "plain") == 0;
    for (unsigned i = 0; i < count; i++) {
        if (open_link(&links[i], ctx, NULL, i) && exchange(&links[i]))
            held++;
        else
            drop(&links[i]);
    }
    printf("held %u %.3f\n", held, now_s() - began);
    fflush(stdout);
    while (fgets(line, sizeof line, stdin) != NULL)
        ask_all(links, count, us);
    for (unsigned i = 0; i < count; i++)
        drop(&links[i]);
    SSL_CTX_free(ctx);
    free(links);
    free(us);
    return 0;
}

int main(int argc, char **argv)
{
    struct rlimit files = {.rlim_cur = 1 << 18, .rlim_max = 1 << 18};
    bool closes = argc == 7 && strcmp(argv[1], "close") == 0;

    if (!closes && !(argc == 6 && strcmp(argv[1], "hold") == 0)) {
        fprintf(stderr, "usage: the comment at the top of load_client.c\n");
        return 2;
    }
    if (setrlimit(RLIMIT_NOFILE, &files) != 0 && getrlimit(RLIMIT_NOFILE, &files) == 0) {
        files.rlim_cur = files.rlim_max;
        setrlimit(RLIMIT_NOFILE, &files);
    }
    port = (uint16_t)strtoul(argv[2], NULL, 10);
    snprintf(request, sizeof request, "GET %s HTTP/1.1\r\nHost: localhost:%u\r\n%s\r\n", argv[3],
             (unsigned)port, closes ? "Connection: close\r\n" : "");
    return closes ? run_close(argv) : run_hold(argv);
}
