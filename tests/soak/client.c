/*
 * client.c - makes TLS connections to 127.0.0.1, many and of every kind.
 *
 *   client PORT TOTAL STEP THREADS
 *
 * After every STEP connections it writes how many were made and how many failed, and waits for a
 * line on stdin: whoever drives it looks at the server meanwhile. It verifies no certificate;
 * others do.
 */
#include <errno.h>
#include <netinet/in.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <openssl/ssl.h>

#define KINDS 16
#define THREADS_MAX 64
#define WAIT_S 30

enum kind { POLITE, RESUMED, MUTE, BROKEN_HANDSHAKE, RESET_ANSWER, GONE };

static const enum kind kinds[KINDS] = {
    POLITE,  RESUMED, POLITE,           MUTE,   POLITE,  RESUMED, POLITE,      GONE, POLITE,
    RESUMED, POLITE,  BROKEN_HANDSHAKE, POLITE, RESUMED, POLITE,  RESET_ANSWER};

static SSL_CTX *context;
static in_port_t port;
static atomic_long next, failed;
static long limit; /* of this step; the threads run between two steps only */

struct worker {
    pthread_t thread;
    unsigned number;
    SSL_SESSION *session;
};

/* A socket from an address of the worker's own: one address alone runs out of ports. */
static int open_socket(const struct worker *w)
{
    struct sockaddr_in from = {.sin_family = AF_INET}, to = {.sin_family = AF_INET};
    struct timeval wait = {.tv_sec = WAIT_S};
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), yes = 1;

    if (fd < 0)
        return -1;
    from.sin_addr.s_addr = htonl(INADDR_LOOPBACK + 1 + w->number);
    to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    to.sin_port = htons(port);
    setsockopt(fd, IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, &yes, sizeof yes);
    setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &wait, sizeof wait);
    if (bind(fd, (struct sockaddr *)&from, sizeof from) == 0 &&
        connect(fd, (struct sockaddr *)&to, sizeof to) == 0)
        return fd;
    close(fd);
    return -1;
}

static void close_hard(int fd)
{
    struct linger at_once = {.l_onoff = 1, .l_linger = 0};

    setsockopt(fd, SOL_SOCKET, SO_LINGER, &at_once, sizeof at_once);
    close(fd);
}

/* Asks for a file and reads the answer to its end. */
static bool ask(SSL *ssl)
{
    static const char request[] =
        "GET /a.txt HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n";
    char answer[4096];
    int n, len = 0;

    if (SSL_write(ssl, request, sizeof request - 1) <= 0)
        return false;
    while (len < (int)sizeof answer &&
           (n = SSL_read(ssl, answer + len, (int)sizeof answer - len)) > 0)
        len += n;
    return len > 15 && memcmp(answer, "HTTP/1.1 200 OK", 15) == 0;
}

/* Reads a little of a long answer, and leaves. */
static bool begin_long(SSL *ssl)
{
    static const char request[] = "GET /large.bin HTTP/1.1\r\nHost: localhost\r\n\r\n";
    char answer[1000];

    return SSL_write(ssl, request, sizeof request - 1) > 0 &&
           SSL_read(ssl, answer, sizeof answer) > 0;
}

static void keep_session(struct worker *w, SSL *ssl)
{
    SSL_SESSION_free(w->session);
    w->session = SSL_get1_session(ssl);
}

/* The conversation; `hard`: end with RST. */
static bool talk(struct worker *w, SSL *ssl, int fd, enum kind kind, bool *hard)
{
    bool good;

    SSL_set_fd(ssl, fd);
    if (kind == RESUMED && w->session != NULL)
        SSL_set_session(ssl, w->session);
    if (SSL_connect(ssl) != 1)
        return false;
    switch (kind) {
    case POLITE:
    case RESUMED:
        good = ask(ssl);
        keep_session(w, ssl);
        SSL_shutdown(ssl);
        return good;
    case RESET_ANSWER:
        *hard = true;
        return begin_long(ssl);
    case GONE:
    case MUTE:
    case BROKEN_HANDSHAKE:
        break;
    }
    return true;
}

static bool connect_once(struct worker *w, enum kind kind)
{
    static const char half_hello[] = "\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03";
    bool good = true, hard = kind == BROKEN_HANDSHAKE;
    int fd = open_socket(w);
    SSL *ssl;

    if (fd < 0)
        return false;
    if (kind == BROKEN_HANDSHAKE)
        good = send(fd, half_hello, sizeof half_hello, MSG_NOSIGNAL) > 0;
    if (kind != BROKEN_HANDSHAKE && kind != MUTE) {
        ssl = SSL_new(context);
        good = ssl != NULL && talk(w, ssl, fd, kind, &hard);
        SSL_free(ssl);
    }
    if (hard)
        close_hard(fd);
    else
        close(fd);
    return good;
}

static void *work(void *arg)
{
    struct worker *w = arg;
    long number;

    while ((number = atomic_fetch_add(&next, 1)) < limit) {
        if (!connect_once(w, kinds[number % KINDS]))
            atomic_fetch_add(&failed, 1);
    }
    return NULL;
}

/* One step: every worker runs until `limit` connections were made. */
static bool run_step(struct worker *workers, unsigned count)
{
    unsigned made = 0;

    for (; made < count; made++) {
        if (pthread_create(&workers[made].thread, NULL, work, &workers[made]) != 0)
            break;
    }
    for (unsigned i = 0; i < made; i++)
        pthread_join(workers[i].thread, NULL);
    atomic_store(&next, limit);
    return made > 0;
}

int main(int argc, char **argv)
{
    static struct worker workers[THREADS_MAX];
    long total, step;
    unsigned count;

    if (argc != 5) {
        fputs("usage: client PORT TOTAL STEP THREADS\n", stderr);
        return 2;
    }
    port = (in_port_t)strtoul(argv[1], NULL, 10);
    total = strtol(argv[2], NULL, 10);
    step = strtol(argv[3], NULL, 10);
    count = (unsigned)strtoul(argv[4], NULL, 10);
    if (count == 0 || count > THREADS_MAX || step <= 0)
        return 2;
    for (unsigned i = 0; i < count; i++)
        workers[i].number = i;
    context = SSL_CTX_new(TLS_client_method());
    if (context == NULL)
        return 1;
    for (limit = step; limit <= total; limit += step) {
        if (!run_step(workers, count))
            return 1;
        printf("%ld %ld\n", limit, atomic_load(&failed));
        fflush(stdout);
        if (getchar() == EOF)
            return 1;
    }
    for (unsigned i = 0; i < count; i++)
        SSL_SESSION_free(workers[i].session);
    SSL_CTX_free(context);
    return 0;
}
