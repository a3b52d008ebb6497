/*
 * accounting.c - where the bytes of a connection are.
 *
 *   accounting CERT KEY LOAD_CLIENT
 *
 * A server with ThreadPoolMixIn in this process, clients in another one. Every allocation of this
 * process is counted (malloc_usable_size), under the name of the part of the library that asked for
 * it: the linker puts the functions below around the library's own (cmake/ShsBench.cmake). Prints a
 * line per state and part: "idle-tls connection 224", bytes for each connection.
 */
#include <malloc.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <shs/shs.h>

#include "base/base.h"
#include "server/conn.h"
#include "tls/wire/stream.h"

#define IDLE 1000
#define ACTIVE 32
#define PORT_TEXT 16
#define PLACES (1u << 21)

enum part { OTHER, CONNECTION, ARENA, BUFFERS, SSL_PART, PARTS };
static const char *const names[PARTS] = {"other", "connection", "arena", "buffers", "ssl"};

static _Thread_local enum part now_for;
static _Atomic int64_t bytes_of[PARTS];

/* -- every block and whose it is: an open table ------------------------------------------------ */

static struct {
    uintptr_t block; /* 0: free; 1: was used */
    uint8_t part;
} places[PLACES];
static atomic_flag places_lock = ATOMIC_FLAG_INIT;

void *__libc_malloc(size_t size);
void *__libc_calloc(size_t count, size_t size);
void *__libc_realloc(void *block, size_t size);
void __libc_free(void *block);

static unsigned place_of(uintptr_t block)
{
    return (unsigned)(block * 0x9e3779b97f4a7c15u >> 40) % PLACES;
}

static void *enter(void *block)
{
    unsigned at = place_of((uintptr_t)block);

    if (block == NULL)
        return NULL;
    atomic_fetch_add(&bytes_of[now_for], (int64_t)malloc_usable_size(block));
    while (atomic_flag_test_and_set_explicit(&places_lock, memory_order_acquire))
        continue;
    while (places[at].block > 1)
        at = (at + 1) % PLACES;
    places[at].block = (uintptr_t)block;
    places[at].part = (uint8_t)now_for;
    atomic_flag_clear_explicit(&places_lock, memory_order_release);
    return block;
}

static void leave(void *block)
{
    unsigned at = place_of((uintptr_t)block);

    while (atomic_flag_test_and_set_explicit(&places_lock, memory_order_acquire))
        continue;
    while (places[at].block != 0 && places[at].block != (uintptr_t)block)
        at = (at + 1) % PLACES;
    if (places[at].block != 0) {
        atomic_fetch_sub(&bytes_of[places[at].part], (int64_t)malloc_usable_size(block));
        places[at].block = 1;
    }
    atomic_flag_clear_explicit(&places_lock, memory_order_release);
}

void *malloc(size_t size)
{
    return enter(__libc_malloc(size));
}

void *calloc(size_t count, size_t size)
{
    return enter(__libc_calloc(count, size));
}

void *realloc(void *block, size_t size)
{
    if (block != NULL)
        leave(block);
    return enter(__libc_realloc(block, size));
}

void free(void *block)
{
    if (block == NULL)
        return;
    leave(block);
    __libc_free(block);
}

/* -- who asks ---------------------------------------------------------------------------------- */

struct shs_conn *__real_shs__conn_new(struct shs_server *server, int fd,
                                      const struct sockaddr *address, socklen_t len);
struct shs_conn *__wrap_shs__conn_new(struct shs_server *server, int fd,
                                      const struct sockaddr *address, socklen_t len);
void *__real_shs__arena_alloc(struct shs_arena *a, size_t size);
void *__wrap_shs__arena_alloc(struct shs_arena *a, size_t size);
int __real_shs__tls_stream_new(struct shs_tls_stream **out, struct shs_tls_context *context,
                               struct shs_stream *lower);
int __wrap_shs__tls_stream_new(struct shs_tls_stream **out, struct shs_tls_context *context,
                               struct shs_stream *lower);
int __real_shs__tls_stream_handshake(struct shs_tls_stream *self);
int __wrap_shs__tls_stream_handshake(struct shs_tls_stream *self);
int __real_shs__tls_records_new(struct shs_tls_records **out, const struct shs_tls_suites *suites,
                                unsigned id, const struct shs_tls_traffic *in,
                                const struct shs_tls_traffic *out_traffic);
int __wrap_shs__tls_records_new(struct shs_tls_records **out, const struct shs_tls_suites *suites,
                                unsigned id, const struct shs_tls_traffic *in,
                                const struct shs_tls_traffic *out_traffic);
int __real_shs__buf_reserve_slow(struct shs_buf *b, size_t more);
int __wrap_shs__buf_reserve_slow(struct shs_buf *b, size_t more);
int __real_shs__buf_append_slow(struct shs_buf *b, const void *bytes, size_t len);
int __wrap_shs__buf_append_slow(struct shs_buf *b, const void *bytes, size_t len);

struct shs_conn *__wrap_shs__conn_new(struct shs_server *server, int fd,
                                      const struct sockaddr *address, socklen_t len)
{
    enum part before = now_for;
    struct shs_conn *conn;

    now_for = CONNECTION;
    conn = __real_shs__conn_new(server, fd, address, len);
    now_for = before;
    return conn;
}

void *__wrap_shs__arena_alloc(struct shs_arena *a, size_t size)
{
    enum part before = now_for;
    void *block;

    now_for = ARENA;
    block = __real_shs__arena_alloc(a, size);
    now_for = before;
    return block;
}

int __wrap_shs__buf_reserve_slow(struct shs_buf *b, size_t more)
{
    enum part before = now_for;
    int rc;

    now_for = BUFFERS;
    rc = __real_shs__buf_reserve_slow(b, more);
    now_for = before;
    return rc;
}

int __wrap_shs__buf_append_slow(struct shs_buf *b, const void *bytes, size_t len)
{
    enum part before = now_for;
    int rc;

    now_for = BUFFERS;
    rc = __real_shs__buf_append_slow(b, bytes, len);
    now_for = before;
    return rc;
}

/* The TLS stream, and what OpenSSL makes for it. */
int __wrap_shs__tls_stream_new(struct shs_tls_stream **out, struct shs_tls_context *context,
                               struct shs_stream *lower)
{
    enum part before = now_for;
    int rc;

    now_for = SSL_PART;
    rc = __real_shs__tls_stream_new(out, context, lower);
    now_for = before;
    return rc;
}

int __wrap_shs__tls_stream_handshake(struct shs_tls_stream *self)
{
    enum part before = now_for;
    int rc;

    now_for = SSL_PART;
    rc = __real_shs__tls_stream_handshake(self);
    now_for = before;
    return rc;
}

int __wrap_shs__tls_records_new(struct shs_tls_records **out, const struct shs_tls_suites *suites,
                                unsigned id, const struct shs_tls_traffic *in,
                                const struct shs_tls_traffic *out_traffic)
{
    enum part before = now_for;
    int rc;

    now_for = SSL_PART;
    rc = __real_shs__tls_records_new(out, suites, id, in, out_traffic);
    now_for = before;
    return rc;
}

/* -- the server -------------------------------------------------------------------------------- */

static int get(struct shs_request *req, struct shs_response *res)
{
    struct shs_str path = shs_request_path(req);
    struct timespec second = {.tv_sec = 2};

    if (path.len > 1)
        nanosleep(&second, NULL);
    SHS_RETURN_IF_ERROR(shs_send_response(res, 200));
    SHS_RETURN_IF_ERROR(shs_end_headers(res));
    return shs_write(res, "Hello, world\n", 13);
}

static const struct shs_http_handler handler = {.name = "accounting", .do_GET = get};

static void *serve(void *server)
{
    return (void *)(intptr_t)shs_serve_forever(server);
}

static int push_tls(struct shs_server *server, const char *cert, const char *key, bool direct,
                    struct shs_error *err)
{
    struct shs_tls_cert pair = {.certfile = cert, .keyfile = key};
    struct shs_tls_config config;
    struct shs_tls_host host;

    shs_tls_host_init(&host);
    host.certs = &pair;
    host.cert_count = 1;
    shs_tls_config_init(&config);
    config.hosts = &host;
    config.host_count = 1;
    config.records = direct ? SHS_TLS_RECORDS_DIRECT : SHS_TLS_RECORDS_LIBSSL;
    return shs_tls_mixin_push_config(server, &config, err);
}

static struct shs_server *start(pthread_t *thread, const char *cert, const char *key, bool direct)
{
    struct shs_server *server = NULL;
    struct shs_options opt;
    struct shs_error err;
    int rc;

    shs_options_init(&opt);
    opt.idle_ms = opt.head_ms = opt.handshake_ms = 120000;
    opt.threads = 2;
    opt.spare_ms = 60000;
    opt.certfile = cert;
    opt.keyfile = key;
    rc = shs_http_server_new(&server, &opt, &handler, &err);
    if (rc == SHS_OK && cert != NULL)
        rc = push_tls(server, cert, key, direct, &err);
    if (rc == SHS_OK)
        rc = shs_thread_pool_mixin_push(server, &err);
    if (rc != SHS_OK || pthread_create(thread, NULL, serve, server) != 0) {
        fprintf(stderr, "%s\n", err.text);
        exit(1);
    }
    return server;
}

/* -- the clients ------------------------------------------------------------------------------- */

struct client {
    pid_t pid;
    FILE *out;
    int in;
};

static void run_client(struct client *self, char *const argv[])
{
    int in[2], out[2];

    if (pipe(in) != 0 || pipe(out) != 0)
        exit(1);
    self->pid = fork();
    if (self->pid == 0) {
        dup2(in[0], 0);
        dup2(out[1], 1);
        close(in[1]);
        close(out[0]);
        execv(argv[0], argv);
        _exit(127);
    }
    close(in[0]);
    close(out[1]);
    self->in = in[1];
    self->out = fdopen(out[0], "r");
}

static void end_client(struct client *self)
{
    char line[128];

    close(self->in);
    while (fgets(line, sizeof line, self->out) != NULL)
        continue;
    fclose(self->out);
    waitpid(self->pid, NULL, 0);
}

static void pause_ms(long ms)
{
    struct timespec ts = {.tv_sec = ms / 1000, .tv_nsec = ms % 1000 * 1000000};

    nanosleep(&ts, NULL);
}

static void look(int64_t *bytes)
{
    for (unsigned i = 0; i < PARTS; i++)
        bytes[i] = atomic_load(&bytes_of[i]);
}

static void tell(const char *state, const int64_t *before, unsigned count)
{
    int64_t now[PARTS], all = 0;

    look(now);
    for (unsigned i = 0; i < PARTS; i++) {
        printf("%s %s %lld\n", state, names[i], (long long)((now[i] - before[i]) / count));
        all += now[i] - before[i];
    }
    printf("%s all %lld\n", state, (long long)(all / count));
    fflush(stdout);
}

static void wait_for_clients(const struct shs_server *server, unsigned count)
{
    struct shs_server_stats stats;

    for (unsigned i = 0; i < 600; i++) {
        shs_server_get_stats(server, &stats);
        if (stats.connections == count)
            break;
        pause_ms(50);
    }
    pause_ms(500);
}

static void measure(const char *state, const char *cert, const char *key, bool direct,
                    char *const idle[], char *const busy[])
{
    struct client client;
    int64_t before[PARTS];
    char line[128];
    pthread_t thread;
    struct shs_server *server = start(&thread, cert, key, direct);

    snprintf(idle[2], PORT_TEXT, "%u", shs_server_port(server)); /* busy[2] is the same */
    for (int turn = 0; turn < 2; turn++) { /* once for what is made at first use */
        wait_for_clients(server, 0);
        look(before);
        run_client(&client, idle);
        if (fgets(line, sizeof line, client.out) == NULL)
            exit(1);
        wait_for_clients(server, IDLE);
        if (turn == 1) {
            snprintf(line, sizeof line, "idle-%s", state);
            tell(line, before, IDLE);
        }
        end_client(&client);
    }
    for (int turn = 0; turn < 2; turn++) {
        wait_for_clients(server, 0);
        look(before);
        run_client(&client, busy);
        pause_ms(1200);
        if (turn == 1) {
            snprintf(line, sizeof line, "active-%s", state);
            tell(line, before, ACTIVE);
        }
        end_client(&client);
    }
    if (shs_shutdown_wait(server, 5000) != SHS_OK)
        exit(1);
    pthread_join(thread, NULL);
    shs_server_free(server);
}

int main(int argc, char **argv)
{
    static char port[PORT_TEXT] = "", count[] = "1000", jobs[] = "x32", threads[] = "32";
    static char hold[] = "hold", close_word[] = "close", root[] = "/", slow[] = "/slow";
    static char tls[] = "tls", plain[] = "plain", full[] = "full";

    if (argc != 4) {
        fprintf(stderr, "usage: accounting CERT KEY LOAD_CLIENT\n");
        return 2;
    }
    measure("plain", NULL, NULL, false, (char *[]){argv[3], hold, port, root, count, plain, NULL},
            (char *[]){argv[3], close_word, port, slow, jobs, threads, plain, NULL});
    measure("tls", argv[1], argv[2], false, (char *[]){argv[3], hold, port, root, count, tls, NULL},
            (char *[]){argv[3], close_word, port, slow, jobs, threads, full, NULL});
    measure("tls-direct", argv[1], argv[2], true,
            (char *[]){argv[3], hold, port, root, count, tls, NULL},
            (char *[]){argv[3], close_word, port, slow, jobs, threads, full, NULL});
    return 0;
}
