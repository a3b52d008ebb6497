/*
 * deaths.c - a client dies at every byte: of its handshake, of its request, of the answer. By FIN,
 * by RST, and by saying nothing more.
 *
 *   deaths [--every N] [--only TEXT]
 *
 * After each group the server is where it was before: no connection, no descriptor and no thread
 * more, and the next client is served. The table goes to stdout, what went wrong to stderr.
 */
#include "world.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include <openssl/err.h>

#include "inject.h"

#define TOGETHER 100 /* clients that die before the server is looked at */
#define GROWTH 60    /* allocations that a server may have kept */

enum way { FIN, RST, SILENCE, WAYS };

struct group {
    const char *name;
    enum threading threading;
    enum over over;
    const char *ask;
    size_t body;
    const char *end; /* with which the answer ends */
};

#define GET(path) "GET " path " HTTP/1.1\r\nHost: localhost\r\n\r\n"

static const struct group groups[] = {
    {"get, pool", POOL, PLAIN, GET("/files/small.txt"), 0, ""},
    {"get, a thread each", THREAD, PLAIN, GET("/files/small.txt"), 0, ""},
    {"get, a process each", FORK, PLAIN, GET("/"), 0, ""},
    {"post, pool", POOL, PLAIN,
     "POST /pull HTTP/1.1\r\nHost: localhost\r\nContent-Length: 500\r\n\r\n", 500, ""},
    {"chunks, pool", POOL, PLAIN,
     "POST /echo HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n"
     "5\r\nhello\r\n7;x=y\r\n, world\r\n0\r\nT: x\r\n\r\n",
     0, ""},
    {"upload, pool", POOL, PLAIN,
     "PUT /files/up/new.txt HTTP/1.1\r\nHost: localhost\r\nContent-Length: 300\r\n\r\n", 300, ""},
    {"PROXY header", POOL, PROXY, "PROXY TCP4 192.0.2.1 127.0.0.1 1000 80\r\n" GET("/"), 0, ""},
    {"TLS 1.2, pool", POOL, TLS12, GET("/"), 0, ""},
    {"TLS 1.3, pool", POOL, TLS13, GET("/"), 0, ""},
    {"TLS 1.3, a thread each", THREAD, TLS13, GET("/"), 0, ""},
    {"client certificate", POOL, MTLS, GET("/"), 0, ""},
    {"records of our own", POOL, DIRECT, GET("/"), 0, ""},
};

static long every = 1;
static const char *only;

/* What both have taken and not given back. */
static long faults_live_all(void)
{
    return faults_live() + faults_live_in_openssl();
}

/* -- one client -------------------------------------------------------------------------------- */

/* It says at most `says` bytes and hears at most `hears`, of the wire. */
struct dying {
    struct line line;
    BIO *in, *out;
    long says, hears;
    long said, heard;
    bool over; /* it has said or heard all that it may, or the server has ended it */
};

static bool dial(struct dying *d, const struct world *world)
{
    struct timeval patience = {.tv_sec = FAULTS_PATIENCE_MS / 1000};

    d->line =
        (struct line){.fd = socket(world->place.address.ss_family, SOCK_STREAM | SOCK_CLOEXEC, 0)};
    (void)setsockopt(d->line.fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);
    if (connect(d->line.fd, (const struct sockaddr *)&world->place.address, world->place.len) != 0)
        return false;
    if (world->client == NULL)
        return true;
    d->line.ssl = SSL_new(world->client);
    d->in = BIO_new(BIO_s_mem());
    d->out = BIO_new(BIO_s_mem());
    SSL_set_bio(d->line.ssl, d->in, d->out);
    SSL_set_tlsext_host_name(d->line.ssl, "localhost");
    SSL_set_connect_state(d->line.ssl);
    return true;
}

static void wire_say(struct dying *d, const char *bytes, size_t len)
{
    size_t may = d->says - d->said < (long)len ? (size_t)(d->says - d->said) : len;
    size_t at = 0;

    while (at < may) {
        ssize_t n = send(d->line.fd, bytes + at, may - at, MSG_NOSIGNAL);

        if (n <= 0) {
            d->over = true;
            return;
        }
        at += (size_t)n;
    }
    d->said += (long)may;
    if (may < len)
        d->over = true;
}

/* Hears one piece; 0 at the end of what it may hear, or of the stream; -1 when nobody speaks. */
static ssize_t wire_hear(struct dying *d, char *buf, size_t cap)
{
    size_t may = d->hears - d->heard < (long)cap ? (size_t)(d->hears - d->heard) : cap;
    ssize_t n = may == 0 ? 0 : recv(d->line.fd, buf, may, 0);

    if (n < 0 && (errno == EAGAIN || errno == EWOULDBLOCK))
        return -1;
    if (n <= 0)
        d->over = true;
    else
        d->heard += n;
    return n < 0 ? 0 : n;
}

static void say_out(struct dying *d)
{
    char *bytes;
    long len = BIO_get_mem_data(d->out, &bytes);

    if (len > 0 && !d->over)
        wire_say(d, bytes, (size_t)len);
    (void)BIO_reset(d->out);
}

/*
 * Until `wanted` bytes have come (-1: to the end), or it may no more: false when the server hangs.
 */
static bool live_plain(struct dying *d, const char *ask, size_t len, long wanted)
{
    char buf[4096];

    wire_say(d, ask, len);
    while (!d->over && (wanted < 0 || d->heard < wanted)) {
        if (wire_hear(d, buf, sizeof buf) < 0)
            return false;
    }
    return true;
}

static bool live_tls(struct dying *d, const char *ask, size_t len, long wanted)
{
    char buf[4096];
    bool asked = false;

    for (;;) {
        int rc = SSL_do_handshake(d->line.ssl);
        ssize_t n;

        if (rc == 1 && !asked)
            asked = SSL_write(d->line.ssl, ask, (int)len) == (int)len;
        if (rc == 1)
            (void)SSL_read(d->line.ssl, buf, sizeof buf);
        say_out(d);
        if (d->over || (rc == 1 && wanted > 0 && d->heard >= wanted))
            return true;
        n = wire_hear(d, buf, sizeof buf);
        if (n < 0)
            return false;
        if (n == 0)
            return true;
        BIO_write(d->in, buf, (int)n);
    }
}

static void die(struct dying *d, enum way way)
{
    struct linger at_once = {.l_onoff = 1, .l_linger = 0};

    if (way == RST)
        (void)setsockopt(d->line.fd, SOL_SOCKET, SO_LINGER, &at_once, sizeof at_once);
    else
        (void)shutdown(d->line.fd, SHUT_RDWR); /* a forked process has a copy of it */
    SSL_free(d->line.ssl);
    close(d->line.fd);
    d->line = (struct line){.fd = -1};
    ERR_clear_error();
}

/* -- a group ----------------------------------------------------------------------------------- */

static char whole_ask[4096];
static size_t whole_len;
static const struct group *now;

static void make_ask(const struct group *group)
{
    now = group;
    whole_len = (size_t)snprintf(whole_ask, sizeof whole_ask, "%s", group->ask);
    memset(whole_ask + whole_len, 'b', group->body);
    whole_len += group->body;
}

static bool live(struct dying *d, const struct world *world, long wanted)
{
    if (!dial(d, world))
        return false;
    return world->client != NULL ? live_tls(d, whole_ask, whole_len, wanted)
                                 : live_plain(d, whole_ask, whole_len, wanted);
}

/* A client that stays alive: how many bytes it said and heard; false without a good answer. */
static bool measure(struct world *world, long *says, long *hears)
{
    struct line line;
    struct reader reader = {.bytes = NULL};
    struct answer answer = {.status = 0};
    struct dying d = {.says = 1L << 40, .hears = 1L << 40};
    struct line_options options = {.tls = world->client, .name = "localhost"};
    enum verdict verdict = line_open(&line, &world->place, &options);

    if (verdict == WHOLE)
        verdict = line_say(&line, whole_ask, whole_len);
    if (verdict == WHOLE)
        verdict = answer_read(&answer, &line, &reader, false);
    line_close(&line);
    reader_free(&reader);
    answer_free(&answer);
    if (verdict != WHOLE || answer.status < 200 || answer.status > 299) {
        fprintf(stderr, "%s: a client that lives: %d, status %d\n", now->name, (int)verdict,
                answer.status);
        return false;
    }
    if (says == NULL)
        return true;
    /* Once more, with the wire counted: the server ends the connection when it is idle. */
    (void)live(&d, world, -1);
    *says = d.said;
    *hears = d.heard;
    die(&d, FIN);
    return true;
}

/* Each is left in `kept` when it is silent. */
static unsigned die_at(const struct world *world, enum way way, long says, long hears,
                       struct dying *kept, unsigned count)
{
    struct dying d = {.says = says, .hears = hears};

    /* Who has said a part only has nothing to hear, and the others know when to stop. */
    if (!live(&d, world, hears) && way != SILENCE)
        fprintf(stderr, "%s: silence at %ld said, %ld heard\n", now->name, d.said, d.heard);
    if (way != SILENCE) {
        die(&d, way);
        return 0;
    }
    kept[count] = d;
    return count + 1;
}

static bool quiet(struct world *world, enum way way, long at)
{
    if (world_is_quiet(world) && measure(world, NULL, NULL) && world_is_quiet(world))
        return true;
    fprintf(stderr, "%s: way %d, before %ld: a connection is left, or the next is not served\n",
            now->name, (int)way, at);
    return false;
}

struct tally {
    long tried, bad;
};

/* All the offsets of one direction. */
static void sweep(struct world *world, enum way way, bool saying, long says, long hears,
                  struct tally *tally)
{
    static struct dying kept[TOGETHER];
    unsigned count = 0, together = 0;
    long end = saying ? says : hears;

    for (long at = 0; at < end; at += every) {
        count = die_at(world, way, saying ? at : 1L << 40, saying ? 1L << 40 : at, kept, count);
        tally->tried++;
        if (++together < TOGETHER && at + every < end)
            continue;
        if (!quiet(world, way, at))
            tally->bad += together;
        for (unsigned i = 0; i < count; i++)
            die(&kept[i], FIN);
        count = together = 0;
    }
}

/* What was put into the directory for uploads is there whole, and nothing else is. */
static bool uploads_are_whole(void)
{
    char path[160];
    FILE *f;
    long len;

    snprintf(path, sizeof path, "%s/up", site_dir);
    if (entries(path) != 1)
        return false;
    snprintf(path, sizeof path, "%s/up/new.txt", site_dir);
    f = fopen(path, "r");
    if (f == NULL)
        return false;
    (void)fseek(f, 0, SEEK_END);
    len = ftell(f);
    fclose(f);
    return len == 300;
}

static bool run_group(const struct group *group, struct tally sum[WAYS])
{
    struct world world = {.threading = group->threading, .over = group->over, .short_limits = true};
    struct tally tallies[WAYS] = {{.tried = 0}};
    unsigned descriptors, threads = entries("/proc/self/task");
    long says, hears, live_before;
    bool good;

    make_ask(group);
    good = world_open(&world) == SHS_OK && measure(&world, &says, &hears) && world_is_quiet(&world);
    if (!good)
        return false;
    (void)measure(&world, NULL, NULL);
    (void)world_is_quiet(&world);
    descriptors = entries("/proc/self/fd");
    live_before = faults_live_all();
    for (int way = 0; way < WAYS; way++) {
        sweep(&world, (enum way)way, true, says, hears, &tallies[way]);
        sweep(&world, (enum way)way, false, says, hears, &tallies[way]);
    }
    if (entries("/proc/self/fd") != descriptors || faults_live_all() > live_before + GROWTH) {
        fprintf(stderr, "%s: %u descriptors for %u, %ld allocations for %ld\n", group->name,
                entries("/proc/self/fd"), descriptors, faults_live_all(), live_before);
        good = false;
    }
    if (strstr(group->ask, "/up/") != NULL && !uploads_are_whole()) {
        fprintf(stderr, "%s: an upload is not whole, or something is left beside it\n",
                group->name);
        good = false;
    }
    world_close(&world);
    if (!threads_come_to(threads)) {
        fprintf(stderr, "%s: %u threads for %u\n", group->name, entries("/proc/self/task"),
                threads);
        good = false;
    }
    printf("| %s | %ld + %ld |", group->name, says, hears);
    for (int way = 0; way < WAYS; way++) {
        if (!good)
            tallies[way].bad = tallies[way].tried;
        printf(" %ld of %ld |", tallies[way].tried - tallies[way].bad, tallies[way].tried);
        sum[way].tried += tallies[way].tried;
        sum[way].bad += tallies[way].bad;
        good = good && tallies[way].bad == 0;
    }
    printf("\n");
    fflush(stdout);
    return good;
}

int main(int argc, char **argv)
{
    struct tally sum[WAYS] = {{.tried = 0}};
    bool good = true;
    time_t began = time(NULL);

    for (int i = 1; i + 1 < argc; i += 2) {
        if (strcmp(argv[i], "--every") == 0)
            every = strtol(argv[i + 1], NULL, 10);
        else if (strcmp(argv[i], "--only") == 0)
            only = argv[i + 1];
    }
    if (every < 1 || argc % 2 == 0) {
        fprintf(stderr, "usage: deaths [--every N] [--only TEXT]\n");
        return 2;
    }
    if (!faults_setup() || !place_make()) {
        place_remove();
        return 2;
    }
    printf(
        "| client | bytes said + heard | FIN | RST | silence |\n| --- | --- | --- | --- | --- |\n");
    for (size_t i = 0; i < sizeof groups / sizeof groups[0]; i++) {
        if (only == NULL || strstr(groups[i].name, only) != NULL)
            good = run_group(&groups[i], sum) && good;
    }
    printf("| **all** | |");
    for (int way = 0; way < WAYS; way++)
        printf(" %ld of %ld |", sum[way].tried - sum[way].bad, sum[way].tried);
    printf("\n\n%ld seconds\n", (long)(time(NULL) - began));
    place_remove();
    return good ? 0 : 1;
}
