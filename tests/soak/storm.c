/*
 * storm.c - everything at once: 64 clients of every manner, and a server that is resized, reloaded,
 * stopped and started under them. For ThreadSanitizer above all.
 *
 *   storm SECONDS [SEED]
 *
 * The server is in this process. A life of it lasts a second or two: another number of threads, of
 * groups, another bound; sometimes a thread per connection. While it lives, the pool is resized and
 * the certificate exchanged ten times a second, and its loop is stopped and begun again now and
 * then. A client that was polite, and whose server was not being stopped meanwhile, must get its
 * answer, byte for byte. Every server_close returns within its bound. At the end threads and
 * descriptors are what they were. The last line says so; the exit code is 0 only then.
 */
#include <dirent.h>
#include <errno.h>
#include <netinet/in.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include <openssl/ssl.h>

#include <shs/shs.h>

#include "base/base.h"
#include "certs/minter.h"

#define CLIENTS 64
#define LARGE (512 * 1024)
#define STOP_MS 20000u
#define CLOSE_MS 500u
/* What the machine may be late by: with a sanitizer, beside other work. */
#define LATE_MS 20000
#define CLIENT_WAIT_S 60

enum kind {
    POLITE,
    RESUMED,
    KEPT,
    BLOCKING,
    UPLOAD,
    PIPELINE,
    LARGE_READ,
    LINGERING,
    FIRST_RUDE,
    MUTE = FIRST_RUDE,
    HALF_HELLO,
    HALF_HEAD,
    HALF_BODY,
    RESET_ANSWER,
    RESET_REQUEST,
    KINDS
};

static const char *const kind_names[KINDS] = {
    "polite",    "resumed",   "kept",         "blocking",     "upload",
    "pipeline",  "large",     "lingering",    "mute",         "half-hello",
    "half-head", "half-body", "reset-answer", "reset-request"};

static _Atomic unsigned port;
static _Atomic unsigned epoch; /* odd while there is nobody to be served by */
static _Atomic bool over;
static _Atomic unsigned long good[KINDS], cut[KINDS], bad, resumed, log_errors;
static char large_text[LARGE];
static SSL_CTX *client_context;

static unsigned roll(unsigned *seed, unsigned below)
{
    *seed = *seed * 1664525u + 1013904223u;
    return (*seed >> 8) % below;
}

static void complain(const char *what, const char *detail)
{
    fprintf(stderr, "storm: %s: %s\n", what, detail);
    atomic_fetch_add(&bad, 1);
}

static void on_log(void *ctx, enum shs_log_level level, const char *line)
{
    (void)ctx;
    if (level > SHS_LOG_ERROR)
        return;
    if (atomic_fetch_add(&log_errors, 1) < 20)
        fprintf(stderr, "storm: logged: %s\n", line);
}

/* -- the server -------------------------------------------------------------------------------- */

static int answer(struct shs_response *res, const char *text, size_t len)
{
    SHS_RETURN_IF_ERROR(shs_send_response(res, 200));
    SHS_RETURN_IF_ERROR(shs_send_header(res, "Content-Type", "text/plain"));
    SHS_RETURN_IF_ERROR(shs_end_headers(res));
    return shs_write(res, text, len);
}

static int storm_get(struct shs_request *req, struct shs_response *res)
{
    struct shs_str path = shs_request_path(req);

    if (path.len > 7 && memcmp(path.ptr, "/block/", 7) == 0) {
        /*
         * 0.2 to 51 ms: what a pool is told of at once, what it finds out, and what it never sees
 */
        struct timespec ts = {.tv_nsec = 100000L << (path.ptr[7] - '0')};

        nanosleep(&ts, NULL);
    }
    if (path.len == 6 && memcmp(path.ptr, "/large", 6) == 0)
        return answer(res, large_text, LARGE);
    return answer(res, path.ptr, path.len);
}

static int storm_post(struct shs_request *req, struct shs_response *res)
{
    char buf[4096];
    size_t got = 0, total = 0;

    do {
        SHS_RETURN_IF_ERROR(shs_request_read(req, buf, sizeof buf, &got));
        total += got;
    } while (got > 0);
    snprintf(buf, sizeof buf, "%zu", total);
    return answer(res, buf, strlen(buf));
}

static const struct shs_http_handler handler = {
    .name = "storm", .do_GET = storm_get, .do_POST = storm_post};

/* -- certificates: two of them, in turns at the same two paths --------------------------------- */

struct material {
    char dir[64], certfile[96], keyfile[96];
    struct shs_buf cert[2], key[2];
};

static bool mint(struct material *m, int i)
{
    static const char *const names[] = {"localhost", NULL};
    int64_t now = (int64_t)time(NULL);
    struct shs_cert_spec spec = {
        .common_name = "localhost",
        .names = names,
        .not_before = now - 86400,
        .not_after = now + 30 * 86400,
        .server_auth = true,
    };
    EVP_PKEY *key = NULL;
    X509 *cert = NULL;
    bool made;

    shs__buf_init(&m->cert[i], 65536);
    shs__buf_init(&m->key[i], 65536);
    made = shs__mint_key(&key, SHS_KEY_P256, NULL) == SHS_OK &&
           shs__mint_cert(&cert, &spec, key, NULL, NULL, NULL) == SHS_OK &&
           shs__mint_cert_pem(&m->cert[i], cert, NULL) == SHS_OK &&
           shs__mint_key_pem(&m->key[i], key, NULL, NULL) == SHS_OK;
    X509_free(cert);
    EVP_PKEY_free(key);
    return made;
}

static bool write_file(const char *path, const struct shs_buf *buf)
{
    FILE *f = fopen(path, "w");
    bool written = f != NULL && fwrite(shs__buf_head(buf), 1, buf->len, f) == buf->len;

    if (f != NULL && fclose(f) != 0)
        written = false;
    return written;
}

/* The driver is the only one who reads and writes them: no reload sees half of a pair. */
static void exchange_certificate(const struct material *m, unsigned which)
{
    if (!write_file(m->certfile, &m->cert[which % 2]) ||
        !write_file(m->keyfile, &m->key[which % 2]))
        complain("certificate", "cannot be written");
}

static bool make_material(struct material *m)
{
    snprintf(m->dir, sizeof m->dir, "/tmp/shs-storm.XXXXXX");
    if (mkdtemp(m->dir) == NULL || !mint(m, 0) || !mint(m, 1))
        return false;
    snprintf(m->certfile, sizeof m->certfile, "%s/cert.pem", m->dir);
    snprintf(m->keyfile, sizeof m->keyfile, "%s/key.pem", m->dir);
    exchange_certificate(m, 0);
    return true;
}

static void drop_material(struct material *m)
{
    unlink(m->certfile);
    unlink(m->keyfile);
    rmdir(m->dir);
    for (int i = 0; i < 2; i++) {
        shs__buf_free(&m->cert[i]);
        shs__buf_free(&m->key[i]);
    }
}

/* -- clients ----------------------------------------------------------------------------------- */

struct client {
    pthread_t thread;
    unsigned number, seed;
    SSL_SESSION *session;
    SSL *ssl;
    int fd;
};

static int dial(const struct client *c)
{
    struct sockaddr_in from = {.sin_family = AF_INET}, to = {.sin_family = AF_INET};
    struct timeval wait = {.tv_sec = CLIENT_WAIT_S};
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), yes = 1;

    if (fd < 0)
        return -1;
    from.sin_addr.s_addr = htonl(INADDR_LOOPBACK + 1 + c->number);
    to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    to.sin_port = htons((in_port_t)atomic_load(&port));
    setsockopt(fd, IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, &yes, sizeof yes);
    if (bind(fd, (struct sockaddr *)&from, sizeof from) == 0 &&
        connect(fd, (struct sockaddr *)&to, sizeof to) == 0) {
        setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &wait, sizeof wait);
        setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &wait, sizeof wait);
        return fd;
    }
    close(fd);
    return -1;
}

static void hang_up(struct client *c, bool hard)
{
    struct linger at_once = {.l_onoff = 1, .l_linger = 0};

    SSL_free(c->ssl);
    c->ssl = NULL;
    if (hard)
        setsockopt(c->fd, SOL_SOCKET, SO_LINGER, &at_once, sizeof at_once);
    close(c->fd);
    c->fd = -1;
}

/*
 * A process that stood still finds its waits with a limit interrupted (signal(7)): nothing is lost.
 */
static bool interrupted(const struct client *c, int rc)
{
    int cause = errno;

    if (rc > 0 || cause != EINTR)
        return false;
    rc = SSL_get_error(c->ssl, rc);
    return rc == SSL_ERROR_WANT_READ || rc == SSL_ERROR_WANT_WRITE;
}

static int read_some(const struct client *c, void *buf, size_t cap)
{
    int rc;

    do {
        errno = 0;
        rc = SSL_read(c->ssl, buf, (int)cap);
    } while (interrupted(c, rc));
    return rc;
}

static bool write_all(const struct client *c, const void *bytes, size_t len)
{
    int rc;

    do {
        errno = 0;
        rc = SSL_write(c->ssl, bytes, (int)len);
    } while (interrupted(c, rc));
    return rc == (int)len;
}

static bool shake_hands(struct client *c, bool resume)
{
    int rc;

    c->ssl = SSL_new(client_context);
    if (c->ssl == NULL || SSL_set_fd(c->ssl, c->fd) != 1)
        return false;
    if (resume && c->session != NULL)
        SSL_set_session(c->ssl, c->session);
    do {
        errno = 0;
        rc = SSL_connect(c->ssl);
    } while (interrupted(c, rc));
    if (rc != 1)
        return false;
    if (SSL_session_reused(c->ssl) == 1)
        atomic_fetch_add(&resumed, 1);
    return true;
}

static bool say(struct client *c, const char *text)
{
    return write_all(c, text, strlen(text));
}

/*
 * One answer of status 200 with this body, and nothing behind it; `body` may be as long as LARGE.
 */
static bool hear(struct client *c, const char *body, size_t len)
{
    char buf[2048];
    size_t have = 0, seen = 0;
    char *end = NULL;
    int n;

    /* A byte at a time in the head, so that a pipelined answer behind it stays where it is. */
    while (end == NULL && have < sizeof buf - 1) {
        if (read_some(c, buf + have, 1) != 1)
            return false;
        buf[++have] = '\0';
        if (buf[have - 1] == '\n')
            end = strstr(buf, "\r\n\r\n");
    }
    if (end == NULL || strncmp(buf, "HTTP/1.1 200 ", 13) != 0)
        return false;
    if (strstr(buf, "chunked") != NULL) /* the large one, streamed: its size is what counts */
        return len == LARGE;
    while (seen < len) {
        size_t cap = len - seen < sizeof buf ? len - seen : sizeof buf;

        n = read_some(c, buf, cap);
        if (n <= 0 || memcmp(buf, body + seen, (size_t)n) != 0)
            return false;
        seen += (size_t)n;
    }
    return true;
}

static bool ask(struct client *c, const char *path)
{
    char text[128];

    snprintf(text, sizeof text, "GET %s HTTP/1.1\r\nHost: localhost\r\n\r\n", path);
    return say(c, text) && hear(c, path, strlen(path));
}

static bool pipeline(struct client *c)
{
    char text[2048] = "";
    size_t len = 0;

    for (unsigned i = 0; i < 30; i++)
        len += (size_t)snprintf(text + len, sizeof text - len,
                                "GET /p%02u HTTP/1.1\r\nHost: localhost\r\n\r\n", i);
    if (!say(c, text))
        return false;
    for (unsigned i = 0; i < 30; i++) {
        snprintf(text, sizeof text, "/p%02u", i);
        if (!hear(c, text, 4))
            return false;
    }
    return true;
}

static bool upload(struct client *c, unsigned bytes)
{
    static const char chunk[8192] = {'x'};
    char text[128];

    snprintf(text, sizeof text,
             "POST /up HTTP/1.1\r\nHost: localhost\r\nContent-Length: %u\r\n\r\n", bytes);
    if (!say(c, text))
        return false;
    for (unsigned sent = 0; sent < bytes;) {
        unsigned n = bytes - sent < sizeof chunk ? bytes - sent : (unsigned)sizeof chunk;

        if (!write_all(c, chunk, n))
            return false;
        sent += n;
    }
    snprintf(text, sizeof text, "%u", bytes);
    return hear(c, text, strlen(text));
}

static bool is_over(void)
{
    return atomic_load(&over);
}

static void pause_ms(unsigned ms)
{
    poll(NULL, 0, (int)ms);
}

/* One that keeps to the rules: true when all of its answers came. */
static bool behave(struct client *c, enum kind kind)
{
    char path[32];
    bool fine = shake_hands(c, kind == RESUMED);

    if (!fine)
        return false;
    snprintf(path, sizeof path, "/%s/%u", kind_names[kind], c->number);
    if (kind == KEPT || kind == LINGERING) {
        for (unsigned i = 0; i < 10 && fine; i++) {
            fine = ask(c, path);
            if (kind == LINGERING)
                pause_ms(roll(&c->seed, 60));
        }
    } else if (kind == BLOCKING) {
        snprintf(path, sizeof path, "/block/%u", 1 + roll(&c->seed, 9));
        fine = ask(c, path);
    } else if (kind == UPLOAD) {
        fine = upload(c, 1000 + roll(&c->seed, 200000));
    } else if (kind == PIPELINE) {
        fine = pipeline(c);
    } else if (kind == LARGE_READ) {
        fine =
            say(c, "GET /large HTTP/1.1\r\nHost: localhost\r\n\r\n") && hear(c, large_text, LARGE);
    } else {
        fine = ask(c, path);
    }
    if (fine && (kind == RESUMED || kind == POLITE)) {
        SSL_SESSION_free(c->session);
        c->session = SSL_get1_session(c->ssl);
        SSL_shutdown(c->ssl);
    }
    return fine;
}

/* One that does not; what becomes of it is not our business. */
static void misbehave(struct client *c, enum kind kind)
{
    static const char half_hello[] = "\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03";
    char buf[512];

    if (kind == MUTE) {
        pause_ms(roll(&c->seed, 100));
    } else if (kind == HALF_HELLO) {
        (void)!send(c->fd, half_hello, sizeof half_hello, MSG_NOSIGNAL);
        pause_ms(roll(&c->seed, 100));
    } else if (shake_hands(c, true)) {
        if (kind == HALF_HEAD && say(c, "GET / HTTP/1.1\r\nHo"))
            pause_ms(roll(&c->seed, 100));
        if (kind == HALF_BODY &&
            say(c, "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 300000\r\n\r\nxxx"))
            pause_ms(roll(&c->seed, 100));
        if (kind == RESET_ANSWER && say(c, "GET /large HTTP/1.1\r\nHost: a\r\n\r\n"))
            (void)SSL_read(c->ssl, buf, sizeof buf);
        if (kind == RESET_REQUEST)
            (void)say(c, "GET /block/9 HTTP/1.1\r\nHost: a\r\n\r\n");
    }
}

static void visit(struct client *c, enum kind kind)
{
    unsigned before = atomic_load(&epoch);
    bool fine;

    c->fd = dial(c);
    if (c->fd < 0) {
        if (before % 2 == 0 && atomic_load(&epoch) == before)
            complain(kind_names[kind], "no connection");
        return;
    }
    if (kind >= FIRST_RUDE) {
        misbehave(c, kind);
        atomic_fetch_add(&good[kind], 1);
    } else {
        fine = behave(c, kind);
        atomic_fetch_add(fine ? &good[kind] : &cut[kind], 1);
        if (!fine && before % 2 == 0 && atomic_load(&epoch) == before)
            complain(kind_names[kind], "no answer, although nobody stopped the server");
    }
    hang_up(c, kind == RESET_ANSWER || kind == RESET_REQUEST || kind == HALF_HELLO);
}

static void *run_client(void *arg)
{
    struct client *c = arg;

    while (!is_over()) {
        if (atomic_load(&epoch) % 2 == 1)
            pause_ms(5);
        else
            visit(c, (enum kind)roll(&c->seed, KINDS));
    }
    SSL_SESSION_free(c->session);
    return NULL;
}

/* -- the driver -------------------------------------------------------------------------------- */

struct driver {
    struct material material;
    unsigned seed;
    unsigned long lives, resizes, reloads, restarts;
    int64_t longest_close_ms;
    struct shs_server *server;
    pthread_t loop;
};

static void *serve(void *server)
{
    return (void *)(intptr_t)shs_serve_forever(server);
}

static void begin_loop(struct driver *d)
{
    if (pthread_create(&d->loop, NULL, serve, d->server) != 0) {
        complain("driver", "no thread for the loop");
        _exit(1);
    }
}

static void end_loop(struct driver *d)
{
    void *rc = NULL;

    if (shs_shutdown_wait(d->server, STOP_MS + LATE_MS) != SHS_OK) {
        complain("shs_shutdown_wait", "the loop does not end");
        _exit(1);
    }
    pthread_join(d->loop, &rc);
    if ((intptr_t)rc != SHS_OK)
        complain("shs_serve_forever", shs_err_name((enum shs_err)(intptr_t)rc));
}

static bool is_pool(const struct driver *d)
{
    return shs_server_layer(d->server, "ThreadPoolMixIn") != NULL;
}

/* Of three lives two are with records of our own. */
static int push_tls(const struct driver *d, struct shs_error *err)
{
    struct shs_tls_cert pair = {.certfile = d->material.certfile, .keyfile = d->material.keyfile};
    struct shs_tls_config config;
    struct shs_tls_host host;

    shs_tls_host_init(&host);
    host.certs = &pair;
    host.cert_count = 1;
    shs_tls_config_init(&config);
    config.hosts = &host;
    config.host_count = 1;
    if (d->lives % 3 != 0)
        config.records = SHS_TLS_RECORDS_DIRECT;
    return shs_tls_mixin_push_config(d->server, &config, err);
}

static bool begin_life(struct driver *d)
{
    struct shs_options opt;
    struct shs_error err;
    int rc;

    shs_options_init(&opt);
    opt.bind_and_activate = false;
    opt.certfile = d->material.certfile;
    opt.keyfile = d->material.keyfile;
    opt.stop_ms = STOP_MS;
    opt.close_ms = CLOSE_MS;
    opt.spare_ms = roll(&d->seed, 100);
    /* A machine may be so busy that a handshake takes seconds: that is not what is tested. */
    opt.queue_ms = opt.handshake_ms = opt.head_ms = opt.idle_ms = CLIENT_WAIT_S * 1000;
    opt.body_ms = opt.write_ms = opt.late_ms = CLIENT_WAIT_S * 1000;
    opt.max_threads = 6 + roll(&d->seed, 40);
    opt.threads = 1 + roll(&d->seed, 6);
    opt.thread_groups = 1 + roll(&d->seed, 2);
    opt.poll_interval_ms = 50;
    opt.log = on_log;
    opt.log_level = SHS_LOG_ERROR;
    rc = shs_http_server_new(&d->server, &opt, &handler, &err);
    if (rc == SHS_OK)
        rc = push_tls(d, &err);
    if (rc == SHS_OK)
        rc = d->lives % 4 == 3 ? shs_threading_mixin_push(d->server, &err)
                               : shs_thread_pool_mixin_push(d->server, &err);
    if (rc == SHS_OK)
        rc = shs_server_bind_and_activate(d->server, &err);
    if (rc != SHS_OK) {
        complain("a new server", err.text);
        return false;
    }
    atomic_store(&port, shs_server_port(d->server));
    begin_loop(d);
    atomic_fetch_add(&epoch, 1);
    return true;
}

static void end_life(struct driver *d)
{
    int64_t began = shs_now_ns(), took;
    int rc;

    atomic_fetch_add(&epoch, 1);
    end_loop(d);
    rc = shs_server_close(d->server);
    if (rc != SHS_OK)
        complain("shs_server_close", shs_server_error(d->server)->text);
    shs_server_free(d->server);
    took = (shs_now_ns() - began) / SHS_NS_PER_MS;
    if (took > d->longest_close_ms)
        d->longest_close_ms = took;
    if (took > (int64_t)(STOP_MS + CLOSE_MS) + LATE_MS)
        complain("stopping", "it took too long");
    d->lives++;
}

/* A tenth of a second of a server's life. */
static void turn(struct driver *d)
{
    struct shs_server_stats stats;
    struct shs_error err;

    if (is_pool(d)) {
        unsigned threads = 1 + roll(&d->seed, 8);

        if (shs_thread_pool_resize(d->server, threads, threads + 4 + roll(&d->seed, 30)) != SHS_OK)
            complain("resize", "refused");
        d->resizes++;
    }
    exchange_certificate(&d->material, (unsigned)d->reloads);
    if (shs_tls_reload(d->server, &err) != SHS_OK)
        complain("reload", err.text);
    d->reloads++;
    shs_server_get_stats(d->server, &stats);
    if (roll(&d->seed, 8) == 0) {
        atomic_fetch_add(&epoch, 1);
        end_loop(d);
        begin_loop(d);
        atomic_fetch_add(&epoch, 1);
        d->restarts++;
    }
    pause_ms(100);
}

static unsigned entries(const char *path)
{
    DIR *dir = opendir(path);
    unsigned n = 0;

    while (dir != NULL && readdir(dir) != NULL)
        n++;
    if (dir != NULL)
        closedir(dir);
    return n;
}

static void *nothing(void *arg)
{
    return arg;
}

/* A sanitizer may start a thread of its own beside the first one: before we count. */
static void warm_up(void)
{
    pthread_t thread;

    if (pthread_create(&thread, NULL, nothing, NULL) == 0)
        pthread_join(thread, NULL);
    pause_ms(50);
}

static void report(const struct driver *d, int64_t began)
{
    unsigned long all = 0, lost = 0;

    printf(
        "%lld s: %lu lives, %lu loops begun again, %lu resizes, %lu reloads, %lu resumed, longest "
        "stop %lld ms\n",
        (long long)((shs_now_ns() - began) / SHS_NS_PER_S), d->lives, d->restarts, d->resizes,
        d->reloads, atomic_load(&resumed), (long long)d->longest_close_ms);
    for (unsigned k = 0; k < KINDS; k++) {
        all += atomic_load(&good[k]);
        lost += atomic_load(&cut[k]);
        printf("%s %lu%s", kind_names[k], atomic_load(&good[k]), k + 1 < KINDS ? ", " : "\n");
    }
    printf("%lu visits, %lu cut by a stop, %lu faults\n", all, lost, atomic_load(&bad));
    fflush(stdout);
}

/* Threads that were joined, and descriptors that were closed, are gone a moment later. */
static void look_around(unsigned threads, unsigned descriptors)
{
    char text[96];

    for (unsigned i = 0; i < 400 && (entries("/proc/self/task") > threads ||
                                     entries("/proc/self/fd") > descriptors);
         i++)
        pause_ms(50);
    snprintf(text, sizeof text, "threads %u then %u, descriptors %u then %u", threads,
             entries("/proc/self/task"), descriptors, entries("/proc/self/fd"));
    if (entries("/proc/self/task") > threads || entries("/proc/self/fd") > descriptors)
        complain("something is left", text);
    printf("%s\n", text);
}

static void run(struct driver *d, int64_t seconds)
{
    int64_t began = shs_now_ns(), end = began + seconds * SHS_NS_PER_S;
    int64_t next_report = began + (int64_t)60 * SHS_NS_PER_S;

    while (shs_now_ns() < end && atomic_load(&bad) == 0) {
        if (!begin_life(d))
            break;
        for (unsigned i = 3 + roll(&d->seed, 15); i > 0 && shs_now_ns() < end; i--)
            turn(d);
        end_life(d);
        if (shs_now_ns() > next_report) {
            report(d, began);
            next_report = shs_now_ns() + (int64_t)60 * SHS_NS_PER_S;
        }
    }
    report(d, began);
}

static bool prepare(struct driver *d)
{
    for (unsigned i = 0; i < LARGE; i++)
        large_text[i] = (char)('a' + i % 23);
    client_context = SSL_CTX_new(TLS_client_method());
    if (client_context == NULL || !make_material(&d->material))
        return false;
    SSL_CTX_set_session_cache_mode(client_context,
                                   SSL_SESS_CACHE_CLIENT | SSL_SESS_CACHE_NO_INTERNAL);
    return true;
}

int main(int argc, char **argv)
{
    static struct client clients[CLIENTS];
    static struct driver d;
    struct sigaction ignore = {.sa_handler = SIG_IGN};
    long seconds = argc > 1 ? strtol(argv[1], NULL, 10) : 0;
    unsigned threads, descriptors;

    if (argc > 3 || seconds <= 0) {
        fputs("usage: storm SECONDS [SEED]\n", stderr);
        return 2;
    }
    d.seed = argc > 2 ? (unsigned)strtoul(argv[2], NULL, 10) : 1;
    sigaction(SIGPIPE, &ignore, NULL); /* the clients' OpenSSL writes with write(2) */
    atomic_store(&epoch, 1);
    if (!prepare(&d)) {
        fputs("storm: no certificate\n", stderr);
        return 1;
    }
    warm_up();
    threads = entries("/proc/self/task");
    descriptors = entries("/proc/self/fd");
    for (unsigned i = 0; i < CLIENTS; i++) {
        clients[i] = (struct client){.number = i, .seed = d.seed * 1000 + i, .fd = -1};
        if (pthread_create(&clients[i].thread, NULL, run_client, &clients[i]) != 0)
            return 1;
    }
    run(&d, seconds);
    atomic_store(&over, true);
    for (unsigned i = 0; i < CLIENTS; i++)
        pthread_join(clients[i].thread, NULL);
    look_around(threads, descriptors);
    SSL_CTX_free(client_context);
    drop_material(&d.material);
    printf("%s\n", atomic_load(&bad) == 0 && atomic_load(&log_errors) == 0 ? "passed" : "FAILED");
    return atomic_load(&bad) == 0 && atomic_load(&log_errors) == 0 ? 0 : 1;
}
