/*
 * attack.c - thousands of clients that want to hold a server, from one thread.
 *
 *   attack PORT TLS DEADLINE HEADS SILENT BODIES DEAF
 *
 * TLS is 1 or 0. First all of them connect, and finish their handshakes but for the silent ones;
 * then it writes "connected N". Heads and bodies get a byte every two seconds. When all are gone,
 * or after three times the deadline in seconds, it writes a line for each: its kind, and after how
 * many seconds it was gone, or "-". Time runs from the connection, with TLS from the end of the
 * handshake.
 */
#include <errno.h>
#include <netinet/in.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include <openssl/ssl.h>

#define AT_ONCE 200 /* handshakes under way */
#define PAUSE 2.0

enum kind { HEAD, SILENT, BODY, DEAF, KINDS };
enum state { CONNECTING, HOLDING, OVER };

static const char *const names[KINDS] = {"head", "silent", "body", "deaf"};
static const char *const firsts[KINDS] = {
    "GET / HTTP/1.1\r\nHost: a\r\nX: ",
    "",
    "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 50000\r\n\r\n",
    "GET /large.bin HTTP/1.1\r\nHost: a\r\n\r\n",
};

struct attacker {
    enum kind kind;
    enum state state;
    int fd;
    SSL *ssl; /* NULL: plain, or silent */
    double began, gone, next;
};

static struct attacker *attackers;
static size_t count, opened, pending, over;
static SSL_CTX *context;
static in_port_t port;
static int epoll_fd;

static double now(void)
{
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static void die(const char *what)
{
    perror(what);
    exit(1);
}

static void watch(struct attacker *a, int op, unsigned events)
{
    struct epoll_event event = {.events = events | EPOLLRDHUP, .data.ptr = a};

    if (epoll_ctl(epoll_fd, op, a->fd, &event) != 0)
        die("epoll_ctl");
}

static void is_gone(struct attacker *a)
{
    if (a->state == CONNECTING)
        pending--;
    a->state = OVER;
    a->gone = now();
    over++;
    epoll_ctl(epoll_fd, EPOLL_CTL_DEL, a->fd, NULL);
}

static void say(struct attacker *a, const char *text)
{
    size_t len = strlen(text);

    if (len == 0)
        return;
    if (a->ssl != NULL)
        SSL_write(a->ssl, text, (int)len); /* whether it is gone, the kernel says */
    else if (send(a->fd, text, len, MSG_NOSIGNAL) < 0 && errno != EAGAIN)
        is_gone(a);
}

/* Connected, and the handshake done: the attack begins. */
static void hold(struct attacker *a)
{
    a->state = HOLDING;
    pending--;
    a->began = now();
    a->next = a->began + PAUSE;
    /* Who does not read sees the end by the kernel's word for it, not by reading. */
    watch(a, EPOLL_CTL_MOD, a->kind == DEAF ? 0 : EPOLLIN);
    say(a, firsts[a->kind]);
}

static void go_on(struct attacker *a)
{
    int rc;

    if (a->ssl == NULL) {
        hold(a);
        return;
    }
    rc = SSL_connect(a->ssl);
    if (rc == 1)
        hold(a);
    else if (SSL_get_error(a->ssl, rc) == SSL_ERROR_WANT_READ)
        watch(a, EPOLL_CTL_MOD, EPOLLIN);
    else if (SSL_get_error(a->ssl, rc) == SSL_ERROR_WANT_WRITE)
        watch(a, EPOLL_CTL_MOD, EPOLLOUT);
    else {
        fprintf(stderr, "a handshake failed\n");
        is_gone(a);
    }
}

static void open_one(struct attacker *a)
{
    struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = htons(port)};
    int small = 4096;

    to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    a->fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (a->fd < 0)
        die("socket");
    if (a->kind == DEAF)
        setsockopt(a->fd, SOL_SOCKET, SO_RCVBUF, &small, sizeof small);
    if (connect(a->fd, (struct sockaddr *)&to, sizeof to) != 0 && errno != EINPROGRESS)
        die("connect");
    if (context != NULL && a->kind != SILENT) {
        a->ssl = SSL_new(context);
        if (a->ssl == NULL || SSL_set_fd(a->ssl, a->fd) != 1)
            die("SSL_new");
    }
    pending++;
    watch(a, EPOLL_CTL_ADD, EPOLLOUT);
}

static void handle(struct attacker *a, unsigned events)
{
    char buf[16384];
    ssize_t got;

    if (a->state == OVER)
        return;
    if (a->state == CONNECTING && !(events & (EPOLLHUP | EPOLLERR | EPOLLRDHUP))) {
        go_on(a);
        return;
    }
    if (events & EPOLLIN) {
        got = recv(a->fd, buf, sizeof buf, 0); /* below TLS: only its end is of interest */
        if (got > 0 && !(events & EPOLLRDHUP))
            return;
    }
    if (events & (EPOLLHUP | EPOLLERR | EPOLLRDHUP))
        is_gone(a);
}

static void drip(void)
{
    double time = now();

    for (size_t i = 0; i < count; i++) {
        struct attacker *a = &attackers[i];

        if (a->state != HOLDING || (a->kind != HEAD && a->kind != BODY) || time < a->next)
            continue;
        a->next = time + PAUSE;
        say(a, "x");
    }
}

static void turn(void)
{
    struct epoll_event events[256];
    int n;

    while (opened < count && pending < AT_ONCE)
        open_one(&attackers[opened++]);
    n = epoll_wait(epoll_fd, events, 256, 20);
    for (int i = 0; i < n; i++)
        handle(events[i].data.ptr, events[i].events);
}

static void prepare(char **argv)
{
    size_t numbers[KINDS], left = 0;

    port = (in_port_t)atol(argv[1]);
    for (int k = 0; k < KINDS; k++)
        count += numbers[k] = (size_t)atol(argv[4 + k]);
    attackers = calloc(count, sizeof *attackers);
    epoll_fd = epoll_create1(EPOLL_CLOEXEC);
    if (attackers == NULL || epoll_fd < 0)
        die("no room for them");
    for (size_t i = 0; i < count; i++) { /* in turns, so that every kind is there from the start */
        do {
            left = (left + 1) % KINDS;
        } while (numbers[left] == 0);
        numbers[left]--;
        attackers[i].kind = (enum kind)left;
    }
    if (atol(argv[2]) == 0)
        return;
    context = SSL_CTX_new(TLS_client_method());
    if (context == NULL)
        die("SSL_CTX_new");
    SSL_CTX_set_verify(context, SSL_VERIFY_NONE, NULL);
    SSL_CTX_set_session_cache_mode(context, SSL_SESS_CACHE_OFF);
    SSL_CTX_set_mode(context, SSL_MODE_RELEASE_BUFFERS);
}

int main(int argc, char **argv)
{
    double end, next_drip = 0;
    bool told = false;

    if (argc != 4 + KINDS) {
        fprintf(stderr, "usage: attack PORT TLS DEADLINE HEADS SILENT BODIES DEAF\n");
        return 2;
    }
    sigaction(SIGPIPE, &(struct sigaction){.sa_handler = SIG_IGN}, NULL);
    prepare(argv);
    end = now() + 300;
    while (over < count && now() < end) {
        turn();
        if (now() >= next_drip) {
            drip();
            next_drip = now() + 0.05;
        }
        if (!told && opened == count && pending == 0) {
            told = true;
            printf("connected %zu\n", count);
            fflush(stdout);
            end = now() + 3 * atof(argv[3]);
        }
    }
    for (size_t i = 0; i < count; i++) {
        const struct attacker *a = &attackers[i];

        if (a->gone > 0)
            printf("%s %.3f\n", names[a->kind], a->gone - a->began);
        else
            printf("%s -\n", names[a->kind]);
    }
    return 0;
}
