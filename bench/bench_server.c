/*
 * bench_server.c - the server under measurement: every composition, over the public API alone.
 *
 *   bench_server --threading pool|thread|none [--plain] [--cert F --key F] [--port N] [--root DIR]
 *                [--threads N] [--max-threads N] [--max-connections N] [--idle-ms N]
 *                [--client-ca F] [--tls-records libssl|direct]
 *
 *   GET /            13 bytes from memory
 *   GET /f/NAME      DIR/NAME as a file
 *   GET /block/MS    13 bytes, after the handler has slept
 *   GET /sleep/US    the same, in microseconds
 *   GET /spin/US     13 bytes, after the handler has computed for so long
 *   GET /some/US     13 bytes; one of ten sleeps before
 *   GET /tide/S      13 bytes; one of ten sleeps before: 1 ms, and after S seconds each 5 ms,
 *                    100 ms, 1 ms ...
 *
 * For cases that the command `shs serve` cannot show. Prints one line, "PID PORT COMPOSITION".
 */
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <limits.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include <shs/shs.h>

struct bench {
    int root;
};

static struct shs_server *running;

static void on_signal(int sig)
{
    (void)sig;
    shs_shutdown(running);
}

static int answer_text(struct shs_response *res)
{
    SHS_RETURN_IF_ERROR(shs_send_response(res, 200));
    SHS_RETURN_IF_ERROR(shs_send_header(res, "Content-Type", "text/plain"));
    SHS_RETURN_IF_ERROR(shs_end_headers(res));
    return shs_write(res, "Hello, world\n", 13);
}

static int answer_file(const struct bench *self, struct shs_response *res, const char *name)
{
    struct stat st;
    int fd = openat(self->root, name, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);

    if (fd < 0)
        return shs_send_error(res, 404, NULL);
    if (fstat(fd, &st) != 0 || !S_ISREG(st.st_mode)) {
        close(fd);
        return shs_send_error(res, 403, NULL);
    }
    if (shs_send_response(res, 200) != SHS_OK ||
        shs_send_header(res, "Content-Type", "application/octet-stream") != SHS_OK) {
        close(fd);
        return SHS_NOMEM;
    }
    return shs_send_file(res, fd, 0, (uint64_t)st.st_size);
}

static int answer_late(struct shs_response *res, long us)
{
    struct timespec ts = {.tv_sec = us / 1000000, .tv_nsec = us % 1000000 * 1000};

    while (nanosleep(&ts, &ts) != 0 && errno == EINTR)
        continue;
    return answer_text(res);
}

static int64_t thread_cpu_us(void)
{
    struct timespec ts;

    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &ts);
    return (int64_t)ts.tv_sec * 1000000 + ts.tv_nsec / 1000;
}

static int answer_computed(struct shs_response *res, long us)
{
    int64_t until = thread_cpu_us() + us;
    volatile unsigned long sum = 0;

    while (thread_cpu_us() < until) {
        for (unsigned i = 0; i < 1000; i++)
            sum += i;
    }
    return answer_text(res);
}

/* One of ten sleeps. */
static int answer_some(struct shs_response *res, long us)
{
    static _Atomic unsigned turn;

    return atomic_fetch_add(&turn, 1) % 10 == 0 ? answer_late(res, us) : answer_text(res);
}

static int answer_tide(struct shs_response *res, long seconds)
{
    static const long sleeps_us[] = {1000, 5000, 100000};
    struct timespec ts;

    clock_gettime(CLOCK_MONOTONIC, &ts);
    return answer_some(res, sleeps_us[ts.tv_sec / (seconds > 0 ? seconds : 1) % 3]);
}

/* The number behind a prefix of the path, or -1. */
static long number_after(const char *path, const char *prefix)
{
    size_t len = strlen(prefix);

    return strncmp(path, prefix, len) == 0 ? strtol(path + len, NULL, 10) : -1;
}

static int answer_slowly(struct shs_response *res, const char *path)
{
    long n;

    if ((n = number_after(path, "/block/")) >= 0)
        return answer_late(res, n * 1000);
    if ((n = number_after(path, "/sleep/")) >= 0)
        return answer_late(res, n);
    if ((n = number_after(path, "/spin/")) >= 0)
        return answer_computed(res, n);
    if ((n = number_after(path, "/some/")) >= 0)
        return answer_some(res, n);
    if ((n = number_after(path, "/tide/")) >= 0)
        return answer_tide(res, n);
    return shs_send_error(res, 404, NULL);
}

static int bench_get(struct shs_request *req, struct shs_response *res)
{
    const struct bench *self = shs_request_ctx(req);
    struct shs_str path = shs_request_path(req);
    char name[256];

    if (path.len == 1)
        return answer_text(res);
    if (path.len >= sizeof name)
        return shs_send_error(res, 404, NULL);
    memcpy(name, path.ptr, path.len);
    name[path.len] = '\0';
    if (strncmp(name, "/f/", 3) == 0 && strchr(name + 3, '/') == NULL && self->root >= 0)
        return answer_file(self, res, name + 3);
    return answer_slowly(res, name);
}

struct settings {
    struct shs_options opt;
    const char *threading;
    const char *root, *client_ca;
    bool plain, direct;
};

static unsigned number(const char *text)
{
    unsigned long value = strtoul(text, NULL, 10);

    return value > UINT_MAX ? UINT_MAX : (unsigned)value;
}

static int parse(struct settings *set, int argc, char **argv)
{
    static const struct option longs[] = {
        {"threading", 1, NULL, 't'}, {"plain", 0, NULL, 'P'},
        {"cert", 1, NULL, 'c'},      {"key", 1, NULL, 'k'},
        {"port", 1, NULL, 'p'},      {"root", 1, NULL, 'r'},
        {"threads", 1, NULL, 'n'},   {"max-threads", 1, NULL, 'm'},
        {"idle-ms", 1, NULL, 'i'},   {"max-connections", 1, NULL, 'C'},
        {"client-ca", 1, NULL, 'a'}, {"tls-records", 1, NULL, 'R'},
        {NULL, 0, NULL, 0},
    };
    int c;

    while ((c = getopt_long(argc, argv, "", longs, NULL)) != -1) {
        switch (c) {
        case 't':
            set->threading = optarg;
            break;
        case 'P':
            set->plain = true;
            break;
        case 'c':
            set->opt.certfile = optarg;
            break;
        case 'k':
            set->opt.keyfile = optarg;
            break;
        case 'p':
            set->opt.port = optarg;
            break;
        case 'r':
            set->root = optarg;
            break;
        case 'n':
            set->opt.threads = number(optarg);
            break;
        case 'm':
            set->opt.max_threads = number(optarg);
            break;
        case 'i':
            set->opt.idle_ms = number(optarg);
            break;
        case 'C':
            set->opt.max_connections = number(optarg);
            break;
        case 'a':
            set->client_ca = optarg;
            break;
        case 'R':
            set->direct = strcmp(optarg, "direct") == 0;
            break;
        default:
            return -1;
        }
    }
    return optind == argc ? 0 : -1;
}

static int push_tls(struct shs_server *server, const struct settings *set, struct shs_error *err)
{
    struct shs_tls_cert cert = {.certfile = set->opt.certfile, .keyfile = set->opt.keyfile};
    struct shs_tls_config config;
    struct shs_tls_host host;

    if (set->client_ca == NULL && !set->direct)
        return shs_tls_mixin_push(server, err);
    shs_tls_host_init(&host);
    shs_tls_config_init(&config);
    host.certs = &cert;
    host.cert_count = 1;
    if (set->client_ca != NULL) {
        host.client_auth = SHS_TLS_CLIENT_REQUIRED;
        host.client_ca = set->client_ca;
    }
    config.hosts = &host;
    config.host_count = 1;
    config.records = set->direct ? SHS_TLS_RECORDS_DIRECT : SHS_TLS_RECORDS_LIBSSL;
    return shs_tls_mixin_push_config(server, &config, err);
}

static int compose(struct shs_server **out, const struct settings *set,
                   const struct shs_http_handler *handler, struct shs_error *err)
{
    int rc = shs_http_server_new(out, &set->opt, handler, err);

    if (rc == SHS_OK && !set->plain)
        rc = push_tls(*out, set, err);
    if (rc == SHS_OK && strcmp(set->threading, "thread") == 0)
        rc = shs_threading_mixin_push(*out, err);
    else if (rc == SHS_OK && strcmp(set->threading, "pool") == 0)
        rc = shs_thread_pool_mixin_push(*out, err);
    return rc == SHS_OK ? shs_server_bind_and_activate(*out, err) : rc;
}

int main(int argc, char **argv)
{
    struct settings set = {.threading = "pool"};
    struct bench bench = {.root = -1};
    struct rlimit files = {.rlim_cur = 1 << 20, .rlim_max = 1 << 20};
    struct sigaction stop = {.sa_handler = on_signal};
    struct shs_http_handler handler = {.name = "bench", .do_GET = bench_get, .ctx = &bench};
    struct shs_error err;
    int rc;

    shs_options_init(&set.opt);
    set.opt.bind_and_activate = false;
    set.opt.max_connections = 200000;
    set.opt.max_requests_per_connection = UINT_MAX;
    if (parse(&set, argc, argv) != 0) {
        fprintf(stderr, "usage: the comment at the top of bench_server.c\n");
        return 2;
    }
    if (setrlimit(RLIMIT_NOFILE, &files) != 0 && getrlimit(RLIMIT_NOFILE, &files) == 0) {
        files.rlim_cur = files.rlim_max;
        setrlimit(RLIMIT_NOFILE, &files);
    }
    if (set.root != NULL)
        bench.root = open(set.root, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    rc = compose(&running, &set, &handler, &err);
    if (rc != SHS_OK) {
        fprintf(stderr, "%s\n", err.text);
        shs_server_free(running);
        return 1;
    }
    sigaction(SIGINT, &stop, NULL);
    sigaction(SIGTERM, &stop, NULL);
    printf("%ld %u %s\n", (long)getpid(), shs_server_port(running), shs_server_describe(running));
    fflush(stdout);
    rc = shs_serve_forever(running);
    shs_server_free(running);
    return rc == SHS_OK ? 0 : 1;
}
