/*
 * open_loop.c - clients that come whether or not the last ones were served: an overload.
 *
 *   open_loop PORT PATH PATIENCE_MS tls|plain RATExSECONDS ...
 *
 * Each client connects, with TLS shakes hands, asks once with "Connection: close", and has its
 * answer or is gone after its patience. RATE is how many come a second; "=N" keeps N of them there
 * instead, which is a closed loop. Prints a line for each piece of the run:
 *
 *   SECONDS CAME SERVED P50_MS P99_MS REFUSED REFUSED_P50_MS GAVE_UP CPU LATE_MS
 *
 * SERVED and the rest are what came to its end meanwhile, REFUSED those who were told 503, or whose
 * connection was reset or ended. P50 of the served is measured from the client's first SYN. CPU is
 * the client's own share of a core: beyond 0.9 the figures are the client's. LATE: how late the
 * latest client came.
 */
#include <errno.h>
#include <netinet/in.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include <openssl/ssl.h>

#define PIECES 16
#define SOURCES 200u /* addresses of loopback that they come from: ports are few */

struct client {
    struct client *prev, *next; /* in the order in which they came; or the free list */
    int fd;
    bool connected, said;
    SSL *ssl;
    double began;
    size_t len;
    char head[16];
};

struct figures {
    unsigned long came, served, refused, gave_up;
    double *served_ms, *refused_ms; /* of the served, of the refused */
    size_t served_cap, refused_cap;
    double late;
};

static struct client oldest = {.prev = &oldest, .next = &oldest}, *spare;
static unsigned long open_clients, total;
static struct figures figures;
static SSL_CTX *context;
static in_port_t port;
static char request[512];
static double patience;
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

/* -- what they found --------------------------------------------------------------------------- */

static void note(double **list, size_t *cap, size_t count, double ms)
{
    if (count == *cap) {
        *cap = *cap == 0 ? 1024 : *cap * 2;
        *list = realloc(*list, *cap * sizeof **list);
        if (*list == NULL)
            die("memory");
    }
    (*list)[count] = ms;
}

static int by_size(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;

    return x < y ? -1 : x > y;
}

static double rank(double *list, size_t count, double q)
{
    if (count == 0)
        return 0;
    qsort(list, count, sizeof *list, by_size);
    return list[(size_t)((double)(count - 1) * q)];
}

static void drop(struct client *c)
{
    if (c->ssl != NULL)
        SSL_free(c->ssl);
    close(c->fd);
    c->prev->next = c->next;
    c->next->prev = c->prev;
    c->next = spare;
    spare = c;
    open_clients--;
}

static void is_over(struct client *c)
{
    double ms = (now() - c->began) * 1000;

    if (c->len >= 12 && memcmp(c->head, "HTTP/1.1 200", 12) == 0) {
        note(&figures.served_ms, &figures.served_cap, figures.served++, ms);
    } else {
        note(&figures.refused_ms, &figures.refused_cap, figures.refused++, ms);
    }
    drop(c);
}

static void lose_patience(double time)
{
    while (oldest.next != &oldest && time - oldest.next->began >= patience) {
        figures.gave_up++;
        drop(oldest.next);
    }
}

/* -- one client -------------------------------------------------------------------------------- */

static void come(void)
{
    struct sockaddr_in from = {.sin_family = AF_INET}, to = {.sin_family = AF_INET};
    struct epoll_event event = {.events = EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLET};
    struct client *c = spare;
    int yes = 1;

    if (c == NULL)
        c = malloc(sizeof *c);
    else
        spare = c->next;
    if (c == NULL)
        die("memory");
    *c = (struct client){.prev = oldest.prev, .next = &oldest, .began = now()};
    c->fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (c->fd < 0)
        die("socket");
    from.sin_addr.s_addr = htonl(INADDR_LOOPBACK + 0x10000u + (unsigned)(total++ % SOURCES));
    to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    to.sin_port = htons(port);
    setsockopt(c->fd, IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, &yes, sizeof yes);
    if (bind(c->fd, (struct sockaddr *)&from, sizeof from) != 0 ||
        (connect(c->fd, (struct sockaddr *)&to, sizeof to) != 0 && errno != EINPROGRESS))
        die("connect");
    event.data.ptr = c;
    if (epoll_ctl(epoll_fd, EPOLL_CTL_ADD, c->fd, &event) != 0)
        die("epoll_ctl");
    c->prev->next = c;
    oldest.prev = c;
    open_clients++;
    figures.came++;
}

/* > 0: bytes; 0: not now; < 0: the end. */
static int receive(struct client *c, void *buf, int cap)
{
    int n;

    if (c->ssl == NULL) {
        n = (int)recv(c->fd, buf, (size_t)cap, 0);
        return n > 0 ? n : n < 0 && errno == EAGAIN ? 0 : -1;
    }
    n = SSL_read(c->ssl, buf, cap);
    return n > 0 ? n : SSL_get_error(c->ssl, n) == SSL_ERROR_WANT_READ ? 0 : -1;
}

static int say(struct client *c)
{
    size_t len = strlen(request);

    c->said = true;
    if (c->ssl == NULL)
        return send(c->fd, request, len, MSG_NOSIGNAL) == (ssize_t)len ? 0 : -1;
    return SSL_write(c->ssl, request, (int)len) == (int)len ? 0 : -1;
}

static int shake_hands(struct client *c)
{
    int rc;

    if (c->ssl == NULL) {
        c->ssl = SSL_new(context);
        if (c->ssl == NULL || SSL_set_fd(c->ssl, c->fd) != 1)
            die("SSL_new");
    }
    rc = SSL_connect(c->ssl);
    if (rc == 1)
        return 1;
    rc = SSL_get_error(c->ssl, rc);
    return rc == SSL_ERROR_WANT_READ || rc == SSL_ERROR_WANT_WRITE ? 0 : -1;
}

/* As far as it gets. False: it is over. */
static bool go_on(struct client *c, unsigned events)
{
    char buf[4096];
    int n;

    if ((events & (EPOLLERR | EPOLLHUP)) != 0 && !c->connected)
        return false;
    if (!c->connected && (events & EPOLLOUT) == 0)
        return true;
    c->connected = true;
    if (!c->said) {
        n = context == NULL ? 1 : shake_hands(c);
        if (n <= 0)
            return n == 0;
        if (say(c) != 0)
            return false;
    }
    while ((n = receive(c, buf, sizeof buf)) > 0) {
        size_t room = sizeof c->head - c->len, more = (size_t)n < room ? (size_t)n : room;

        memcpy(c->head + c->len, buf, more);
        c->len += more;
    }
    return n == 0;
}

/* -- the run ----------------------------------------------------------------------------------- */

static void turn(int wait_ms)
{
    struct epoll_event events[512];
    int n = epoll_wait(epoll_fd, events, 512, wait_ms);

    for (int i = 0; i < n; i++) {
        struct client *c = events[i].data.ptr;

        if (!go_on(c, events[i].events))
            is_over(c);
    }
    lose_patience(now());
}

static double cpu_s(void)
{
    struct rusage used;

    getrusage(RUSAGE_SELF, &used);
    return (double)(used.ru_utime.tv_sec + used.ru_stime.tv_sec) +
           (double)(used.ru_utime.tv_usec + used.ru_stime.tv_usec) / 1e6;
}

static void piece(const char *text)
{
    bool closed = text[0] == '=';
    char *end;
    double rate = strtod(text + closed, &end), seconds = *end == 'x' ? strtod(end + 1, NULL) : 0;
    double began = now(), cpu = cpu_s(), next = began, time = began;

    if (rate <= 0 || seconds <= 0) {
        fprintf(stderr, "open_loop: \"%s\" is not of the form RATExSECONDS\n", text);
        exit(2);
    }
    figures.came = figures.served = figures.refused = figures.gave_up = 0;
    figures.late = 0;
    for (; time < began + seconds; time = now()) {
        /* A few at a time, so that those who are there are looked at as well. */
        for (int i = 0; i < 64 && (closed ? open_clients < (unsigned long)rate : next <= time);
             i++) {
            if (!closed && time - next > figures.late)
                figures.late = time - next;
            come();
            next += 1 / rate;
        }
        turn(!closed && next <= now() ? 0 : 1);
    }
    time -= began;
    printf("%.2f %lu %lu %.1f %.1f %lu %.1f %lu %.2f %.0f\n", time, figures.came, figures.served,
           rank(figures.served_ms, figures.served, 0.5),
           rank(figures.served_ms, figures.served, 0.99), figures.refused,
           rank(figures.refused_ms, figures.refused, 0.5), figures.gave_up, (cpu_s() - cpu) / time,
           figures.late * 1000);
    fflush(stdout);
}

int main(int argc, char **argv)
{
    struct rlimit files;

    if (argc < 6 || argc > 5 + PIECES ||
        (strcmp(argv[4], "tls") != 0 && strcmp(argv[4], "plain") != 0)) {
        fprintf(stderr, "usage: open_loop PORT PATH PATIENCE_MS tls|plain RATExSECONDS ...\n");
        return 2;
    }
    port = (in_port_t)strtol(argv[1], NULL, 10);
    snprintf(request, sizeof request,
             "GET %s HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n", argv[2]);
    patience = strtod(argv[3], NULL) / 1000;
    sigaction(SIGPIPE, &(struct sigaction){.sa_handler = SIG_IGN}, NULL);
    getrlimit(RLIMIT_NOFILE, &files);
    files.rlim_cur = files.rlim_max;
    setrlimit(RLIMIT_NOFILE, &files);
    epoll_fd = epoll_create1(EPOLL_CLOEXEC);
    if (argv[4][0] == 't') {
        context = SSL_CTX_new(TLS_client_method());
        if (context == NULL)
            die("SSL_CTX_new");
        SSL_CTX_set_verify(context, SSL_VERIFY_NONE, NULL);
        SSL_CTX_set_session_cache_mode(context, SSL_SESS_CACHE_OFF);
    }
    for (int i = 5; i < argc; i++)
        piece(argv[i]);
    return 0;
}
