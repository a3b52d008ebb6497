/*
 * load_client.c - the load: it looks at every answer, and says what it cost itself.
 *
 *   load_client load PORT PATH SECONDS CONNECTIONS THREADS tls|plain [SLOW_PATH PERCENT]
 *       makes all connections, one request on each, and says "ready CONNECTIONS SECONDS"; waits for
 *       a line on stdin; then asks on all of them, the next request when the answer is there. With
 *       SLOW_PATH so many of the requests go there, and are not measured; "-" for it: the client
 *       pauses 100 ms instead, so that the others are asked for just as often.
 *       Prints: requests errors body_bytes p50_us p99_us max_us client_cpu_us seconds
 *   load_client close PORT PATH SECONDS|xCOUNT THREADS full|resumed|plain
 *       one connection per request, over and over; "x1000" is a number instead of a time.
 *       Prints: requests errors resumed seconds
 *   load_client hold PORT PATH COUNT tls|plain
 *       opens COUNT connections, one request on each, and keeps them. Prints "held COUNT SECONDS".
 *       For each line on stdin one request on each of them, in turns; prints the latencies in us:
 *       "median p99 max errors". Ends with stdin.
 *   load_client burst PORT PATH COUNT CONNECTIONS PAUSE_MS tls|plain
 *       COUNT times a request on all connections at the same moment. Prints how long it took until
 *       the last was answered, in us: "median p99 max errors".
 *
 * With CLIENT_PEM in the environment, a file with a certificate, its chain and key, it shows that
 * to who asks. Every answer's status and length are checked. Sources are spread over 127.0.0.0/8,
 * so that ports are not the limit.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

#include <openssl/err.h>
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
    /* One suite for all servers, for some choose it and others leave it to the client: the one that
       browsers have first. */
    if (SSL_CTX_set_ciphersuites(ctx, "TLS_AES_128_GCM_SHA256") != 1)
        exit(1);
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

/* Why an exchange failed, as far as the socket and OpenSSL know. */
static void say_why(const struct link *link, unsigned number, int error)
{
    struct tcp_info info = {0};
    socklen_t len = sizeof info;
    unsigned long code = ERR_peek_error();

    (void)getsockopt(link->fd, IPPROTO_TCP, TCP_INFO, &info, &len);
    fprintf(stderr,
            "load_client: connection %u: %s; TCP state %u, %u ms after the last segment; %s\n",
            number, strerror(error), info.tcpi_state, info.tcpi_last_data_recv,
            code == 0 ? "nothing from OpenSSL" : ERR_reason_error_string(code));
}

static void ask_all(struct link *links, unsigned count, double *us)
{
    unsigned bad = 0;

    for (unsigned i = 0; i < count; i++) {
        double began = now_s();
        bool good;

        errno = 0;
        ERR_clear_error();
        good = links[i].fd >= 0 && exchange(&links[i]);
        if (!good && bad++ < 3) /* the first few tell enough */
            say_why(&links[i], i, errno);
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

/* -- burst ------------------------------------------------------------------------------------- */

static bool say(struct link *link)
{
    size_t len = strlen(request);
    long n = link->ssl != NULL ? SSL_write(link->ssl, request, (int)len)
                               : (long)send(link->fd, request, len, MSG_NOSIGNAL);

    return n == (long)len;
}

/* Waits for the answer to what was said; it is short, and comes in one piece. */
static bool hear(struct link *link)
{
    char buf[4096];
    long n = receive(link, buf, sizeof buf - 1);

    if (n <= 0)
        return false;
    buf[n] = '\0';
    return strncmp(buf, "HTTP/1.1 200", 12) == 0 && strstr(buf, "\r\n\r\n") != NULL;
}

static int run_burst(char **argv)
{
    unsigned turns = (unsigned)strtoul(argv[4], NULL, 10);
    unsigned count = (unsigned)strtoul(argv[5], NULL, 10), bad = 0;
    unsigned pause_ms = (unsigned)strtoul(argv[6], NULL, 10);
    struct link *links = calloc(count, sizeof *links);
    double *us = calloc(turns, sizeof *us);
    SSL_CTX *ctx = new_context();

    plain = strcmp(argv[7], "plain") == 0;
    for (unsigned i = 0; i < count; i++) {
        if (!open_link(&links[i], ctx, NULL, i) || !exchange(&links[i]))
            return 1;
    }
    for (unsigned turn = 0; turn < turns; turn++) {
        double began = now_s();

        for (unsigned i = 0; i < count; i++)
            bad += !say(&links[i]);
        for (unsigned i = 0; i < count; i++)
            bad += !hear(&links[i]);
        us[turn] = (now_s() - began) * 1e6;
        usleep(pause_ms * 1000);
    }
    qsort(us, turns, sizeof *us, by_value);
    printf("%.0f %.0f %.0f %u\n", us[turns / 2], us[turns * 99 / 100], us[turns - 1], bad);
    for (unsigned i = 0; i < count; i++)
        drop(&links[i]);
    SSL_CTX_free(ctx);
    free(links);
    free(us);
    return 0;
}

/* -- load -------------------------------------------------------------------------------------- */

#define STEPS 64u /* of a latency's octave */
#define OCTAVES 32u
#define PAUSE_S 0.1

struct talk {
    struct link link;
    struct talk *next; /* of those who pause */
    char head[2048];
    size_t have;   /* of the head */
    uint64_t left; /* of the body */
    double began, until;
    bool in_body, slow;
};

struct loader {
    pthread_t thread;
    unsigned number, count, seed;
    SSL_CTX *ctx;
    struct talk *talks;
    struct talk *first, *last; /* those who pause, in order */
    int epoll_fd;
    uint64_t requests, errors, bytes;
    double worst;
    uint32_t histogram[OCTAVES * STEPS];
};

static char slow_request[512];
static unsigned slow_percent;
static bool slow_pauses;
static double load_until;
static pthread_barrier_t all_connected, go;

static unsigned bucket_of(double us)
{
    uint64_t v = us < 1 ? 1 : (uint64_t)us;
    unsigned octave = 63u - (unsigned)__builtin_clzll(v);
    unsigned step = octave < 6 ? (unsigned)(v << (6 - octave)) : (unsigned)(v >> (octave - 6));
    unsigned at = octave * STEPS + (step - STEPS);

    return at < OCTAVES * STEPS ? at : OCTAVES * STEPS - 1;
}

static double bucket_us(unsigned at)
{
    return (double)(STEPS + at % STEPS + 0.5) / STEPS * (double)(1ull << at / STEPS);
}

static void give_up(struct loader *self, struct talk *talk)
{
    self->errors++;
    drop(&talk->link);
}

static void ask(struct loader *self, struct talk *talk)
{
    const char *text = request;
    size_t len;
    long n;

    self->seed = self->seed * 1664525u + 1013904223u;
    talk->slow = slow_percent > 0 && (self->seed >> 8) % 100 < slow_percent;
    talk->began = now_s();
    talk->have = 0;
    talk->in_body = false;
    if (talk->slow && slow_pauses) {
        talk->until = talk->began + PAUSE_S;
        talk->next = NULL;
        if (self->last != NULL)
            self->last->next = talk;
        else
            self->first = talk;
        self->last = talk;
        return;
    }
    if (talk->slow)
        text = slow_request;
    len = strlen(text);
    n = talk->link.ssl != NULL ? SSL_write(talk->link.ssl, text, (int)len)
                               : (long)send(talk->link.fd, text, len, MSG_NOSIGNAL);
    if (n != (long)len) /* a request is small, and what was before it has been answered */
        give_up(self, talk);
}

static void answered(struct loader *self, struct talk *talk)
{
    double us = (now_s() - talk->began) * 1e6;

    if (!talk->slow) {
        self->requests++;
        self->histogram[bucket_of(us)]++;
        if (us > self->worst)
            self->worst = us;
    }
    if (talk->began < load_until)
        ask(self, talk);
}

/* Bytes that came. False: they are not answer as it should be. */
static bool take(struct loader *self, struct talk *talk, const char *bytes, size_t len)
{
    const char *end, *field;
    size_t room = sizeof talk->head - 1 - talk->have, n = len < room ? len : room, before;

    if (!talk->in_body) {
        before = talk->have;
        memcpy(talk->head + talk->have, bytes, n);
        talk->have += n;
        talk->head[talk->have] = '\0';
        end = strstr(talk->head, "\r\n\r\n");
        if (end == NULL)
            return talk->have < sizeof talk->head - 1;
        field = strcasestr(talk->head, "\r\nContent-Length:");
        if (field == NULL || field > end || strncmp(talk->head, "HTTP/1.1 200", 12) != 0)
            return false;
        talk->left = strtoull(field + 17, NULL, 10);
        talk->in_body = true;
        n = (size_t)(end + 4 - talk->head) - before;
        bytes += n;
        len -= n;
    }
    if (len > talk->left)
        return false;
    talk->left -= len;
    self->bytes += len;
    if (talk->left == 0)
        answered(self, talk);
    return true;
}

static void listen_to(struct loader *self, struct talk *talk)
{
    char buf[32768];
    int n;

    while (talk->link.fd >= 0) {
        n = (int)receive(&talk->link, buf, sizeof buf);
        if (n > 0) {
            if (take(self, talk, buf, (size_t)n))
                continue;
            give_up(self, talk);
            return;
        }
        if (talk->link.ssl != NULL ? SSL_get_error(talk->link.ssl, n) != SSL_ERROR_WANT_READ
                                   : n == 0 || errno != EAGAIN)
            give_up(self, talk);
        return;
    }
}

/* Those whose pause is over ask again; returns how many ms until the next one's is. */
static int wake_up(struct loader *self)
{
    double now = now_s();

    while (self->first != NULL && self->first->until <= now) {
        struct talk *talk = self->first;

        self->first = talk->next;
        if (self->first == NULL)
            self->last = NULL;
        ask(self, talk);
    }
    return self->first == NULL ? 50 : (int)((self->first->until - now) * 1e3) + 1;
}

static void connect_all(struct loader *self)
{
    for (unsigned i = 0; i < self->count; i++) {
        struct talk *talk = &self->talks[i];
        struct epoll_event event = {.events = EPOLLIN | EPOLLET, .data.ptr = talk};

        if (!open_link(&talk->link, self->ctx, NULL, self->number * 10000 + i) ||
            !exchange(&talk->link)) {
            give_up(self, talk);
            continue;
        }
        fcntl(talk->link.fd, F_SETFL, O_NONBLOCK);
        epoll_ctl(self->epoll_fd, EPOLL_CTL_ADD, talk->link.fd, &event);
    }
}

static void *load(void *arg)
{
    struct loader *self = arg;
    struct epoll_event events[64];

    connect_all(self);
    pthread_barrier_wait(&all_connected);
    pthread_barrier_wait(&go);
    for (unsigned i = 0; i < self->count; i++) {
        if (self->talks[i].link.fd >= 0)
            ask(self, &self->talks[i]);
    }
    while (now_s() < load_until) {
        int n = epoll_wait(self->epoll_fd, events, 64, wake_up(self));

        for (int i = 0; i < n; i++)
            listen_to(self, events[i].data.ptr);
    }
    for (unsigned i = 0; i < self->count; i++)
        drop(&self->talks[i].link);
    return NULL;
}

static double percentile(const uint32_t *histogram, uint64_t total, double share)
{
    uint64_t seen = 0;

    for (unsigned i = 0; i < OCTAVES * STEPS; i++) {
        seen += histogram[i];
        if (total > 0 && (double)seen >= share * (double)total)
            return bucket_us(i);
    }
    return 0;
}

static double cpu_us(void)
{
    struct rusage used;

    getrusage(RUSAGE_SELF, &used);
    return ((double)used.ru_utime.tv_sec + (double)used.ru_stime.tv_sec) * 1e6 +
           (double)used.ru_utime.tv_usec + (double)used.ru_stime.tv_usec;
}

static void print_load(struct loader *loaders, unsigned threads, double cpu, double seconds)
{
    static uint32_t histogram[OCTAVES * STEPS];
    uint64_t all = 0, bad = 0, bytes = 0;
    double worst = 0;

    for (unsigned t = 0; t < threads; t++) {
        all += loaders[t].requests;
        bad += loaders[t].errors;
        bytes += loaders[t].bytes;
        worst = loaders[t].worst > worst ? loaders[t].worst : worst;
        for (unsigned i = 0; i < OCTAVES * STEPS; i++)
            histogram[i] += loaders[t].histogram[i];
    }
    printf("%llu %llu %llu %.0f %.0f %.0f %.0f %.3f\n", (unsigned long long)all,
           (unsigned long long)bad, (unsigned long long)bytes, percentile(histogram, all, 0.5),
           percentile(histogram, all, 0.99), worst, cpu, seconds);
}

static int run_load(int argc, char **argv)
{
    unsigned count = (unsigned)strtoul(argv[5], NULL, 10), made = 0;
    unsigned threads = (unsigned)strtoul(argv[6], NULL, 10);
    struct loader *loaders = calloc(threads, sizeof *loaders);
    struct talk *talks = calloc(count, sizeof *talks);
    double began = now_s(), cpu;
    char line[16];

    plain = strcmp(argv[7], "plain") == 0;
    if (argc == 10) {
        slow_pauses = strcmp(argv[8], "-") == 0;
        slow_percent = (unsigned)strtoul(argv[9], NULL, 10);
        snprintf(slow_request, sizeof slow_request, "GET %s HTTP/1.1\r\nHost: localhost\r\n\r\n",
                 argv[8]);
    }
    pthread_barrier_init(&all_connected, NULL, threads + 1);
    pthread_barrier_init(&go, NULL, threads + 1);
    for (unsigned t = 0; t < threads; t++) {
        loaders[t] = (struct loader){.number = t, .seed = t + 1, .ctx = new_context()};
        loaders[t].talks = talks + made;
        loaders[t].count = count / threads + (t < count % threads);
        loaders[t].epoll_fd = epoll_create1(EPOLL_CLOEXEC);
        made += loaders[t].count;
        if (pthread_create(&loaders[t].thread, NULL, load, &loaders[t]) != 0)
            return 1;
    }
    pthread_barrier_wait(&all_connected);
    printf("ready %u %.3f\n", count, now_s() - began);
    fflush(stdout);
    if (fgets(line, sizeof line, stdin) == NULL)
        return 1;
    cpu = cpu_us();
    began = now_s();
    load_until = began + strtod(argv[4], NULL);
    pthread_barrier_wait(&go);
    for (unsigned t = 0; t < threads; t++)
        pthread_join(loaders[t].thread, NULL);
    print_load(loaders, threads, cpu_us() - cpu, now_s() - began);
    for (unsigned t = 0; t < threads; t++) {
        close(loaders[t].epoll_fd);
        SSL_CTX_free(loaders[t].ctx);
    }
    free(talks);
    free(loaders);
    return 0;
}

int main(int argc, char **argv)
{
    struct rlimit files = {.rlim_cur = 1 << 18, .rlim_max = 1 << 18};
    bool closes = argc == 7 && strcmp(argv[1], "close") == 0;
    struct sigaction ignore = {.sa_handler = SIG_IGN};
    bool bursts = argc == 8 && strcmp(argv[1], "burst") == 0;
    bool loads = (argc == 8 || argc == 10) && strcmp(argv[1], "load") == 0;

    if (!closes && !loads && !bursts && !(argc == 6 && strcmp(argv[1], "hold") == 0)) {
        fprintf(stderr, "usage: the comment at the top of load_client.c\n");
        return 2;
    }
    if (setrlimit(RLIMIT_NOFILE, &files) != 0 && getrlimit(RLIMIT_NOFILE, &files) == 0) {
        files.rlim_cur = files.rlim_max;
        setrlimit(RLIMIT_NOFILE, &files);
    }
    sigaction(SIGPIPE, &ignore, NULL); /* OpenSSL writes with write(2) */
    port = (uint16_t)strtoul(argv[2], NULL, 10);
    snprintf(request, sizeof request, "GET %s HTTP/1.1\r\nHost: localhost:%u\r\n%s\r\n", argv[3],
             (unsigned)port, closes ? "Connection: close\r\n" : "");
    if (loads)
        return run_load(argc, argv);
    if (bursts)
        return run_burst(argv);
    return closes ? run_close(argv) : run_hold(argv);
}
