/*
 * handshakes.c - full TLS 1.3 handshakes at a steady rate, one after the other on each thread.
 *
 *   handshakes PORT RATE THREADS CAFILE
 *
 * Verifies the chain and the name "localhost", asks for nothing and closes. It ends with stdin, and
 * then prints a line for each handshake: when it began (ns, CLOCK_MONOTONIC), how long it took from
 * connect(2) on (us), and the serial number of the certificate, or "!" and why there is none.
 */
#include <arpa/inet.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include <openssl/bn.h>
#include <openssl/err.h>
#include <openssl/ssl.h>

#define SAMPLES_MAX (1u << 20)
#define SERIAL_CAP 48

struct sample {
    int64_t began_ns;
    int32_t took_us;
    char serial[SERIAL_CAP];
};

static uint16_t port;
static int64_t period_ns; /* of one thread */
static SSL_CTX *context;
static struct sample *samples;
static _Atomic unsigned used;
static _Atomic bool stop;

static int64_t now_ns(void)
{
    struct timespec ts;

    clock_gettime(CLOCK_MONOTONIC, &ts);
    return (int64_t)ts.tv_sec * 1000000000 + ts.tv_nsec;
}

/* Sources are spread over 127.0.0.0/8, so that ports are not the limit. */
static int dial(unsigned number)
{
    struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = htons(port)};
    struct sockaddr_in from = {.sin_family = AF_INET};
    struct timeval limit = {.tv_sec = 20};
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), on = 1;

    to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    from.sin_addr.s_addr = htonl(INADDR_LOOPBACK + 1 + number % 64);
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    setsockopt(fd, IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, &on, sizeof on);
    setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit);
    setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof limit);
    if (fd >= 0 && bind(fd, (struct sockaddr *)&from, sizeof from) == 0 &&
        connect(fd, (struct sockaddr *)&to, sizeof to) == 0)
        return fd;
    if (fd >= 0)
        close(fd);
    return -1;
}

static void note_serial(SSL *ssl, char *out)
{
    BIGNUM *number =
        ASN1_INTEGER_to_BN(X509_get0_serialNumber(SSL_get0_peer_certificate(ssl)), NULL);
    char *text = BN_bn2hex(number);

    snprintf(out, SERIAL_CAP, "%s", text);
    OPENSSL_free(text);
    BN_free(number);
}

static void shake(struct sample *sample, unsigned number)
{
    SSL *ssl = SSL_new(context);
    int fd;

    sample->began_ns = now_ns();
    fd = dial(number);
    if (fd < 0) {
        snprintf(sample->serial, SERIAL_CAP, "!connect");
    } else if (SSL_set_fd(ssl, fd) != 1 || SSL_set1_host(ssl, "localhost") != 1 ||
               SSL_connect(ssl) != 1) {
        const char *why = ERR_reason_error_string(ERR_peek_last_error());

        snprintf(sample->serial, SERIAL_CAP, "!%s", why == NULL ? "ended" : why);
        ERR_clear_error();
    } else {
        sample->took_us = (int32_t)((now_ns() - sample->began_ns) / 1000);
        note_serial(ssl, sample->serial);
    }
    SSL_free(ssl);
    if (fd >= 0)
        close(fd);
}

static void *run(void *arg)
{
    unsigned number = (unsigned)(uintptr_t)arg;
    int64_t next = now_ns() + (int64_t)number * period_ns / 64;

    while (!atomic_load(&stop)) {
        unsigned at = atomic_fetch_add(&used, 1);
        struct timespec until = {next / 1000000000, next % 1000000000};
        int64_t now;

        if (at >= SAMPLES_MAX) {
            atomic_fetch_sub(&used, 1);
            return NULL;
        }
        clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &until, NULL);
        shake(&samples[at], number += 7);
        now = now_ns();
        next = next + period_ns > now ? next + period_ns : now; /* who is late does not catch up */
    }
    return NULL;
}

int main(int argc, char **argv)
{
    pthread_t threads[64];
    unsigned count, i;
    char waste[64];

    if (argc != 5)
        return 2;
    port = (uint16_t)strtoul(argv[1], NULL, 10);
    count = (unsigned)strtoul(argv[3], NULL, 10) % 64;
    period_ns = (int64_t)(1e9 * count / strtod(argv[2], NULL));
    context = SSL_CTX_new(TLS_client_method());
    samples = calloc(SAMPLES_MAX, sizeof *samples);
    if (context == NULL || samples == NULL ||
        SSL_CTX_load_verify_locations(context, argv[4], NULL) != 1)
        return 1;
    SSL_CTX_set_verify(context, SSL_VERIFY_PEER, NULL);
    SSL_CTX_set_min_proto_version(context, TLS1_3_VERSION);
    SSL_CTX_set_session_cache_mode(context, SSL_SESS_CACHE_OFF);
    for (i = 0; i < count; i++) {
        if (pthread_create(&threads[i], NULL, run, (void *)(uintptr_t)i) != 0)
            return 1;
    }
    while (read(STDIN_FILENO, waste, sizeof waste) > 0)
        continue;
    atomic_store(&stop, true);
    for (i = 0; i < count; i++)
        pthread_join(threads[i], NULL);
    for (i = 0; i < atomic_load(&used); i++)
        printf("%lld %d %s\n", (long long)samples[i].began_ns, (int)samples[i].took_us,
               samples[i].serial);
    SSL_CTX_free(context);
    free(samples);
    return 0;
}
