/*
 * guard_bench.c - what one request head costs: finding its end, the guard and llhttp, llhttp alone.
 *
 *   guard_bench [seconds-per-line]
 *
 * Prints nanoseconds per head: the best of 200 short runs, the one that was least disturbed.
 */
#include <stdio.h>
#include <stdlib.h>

#include "http/guard.h"
#include "http/parser.h"

#define RUNS 200
#define BATCH 500

/* 427 bytes, as a browser sends it. */
static const char browser[] =
    "GET /index.html HTTP/1.1\r\n"
    "Host: www.example.org:8443\r\n"
    "User-Agent: Mozilla/5.0 (X11; Linux x86_64; rv:128.0) Gecko/20100101 Firefox/128.0\r\n"
    "Accept: text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8\r\n"
    "Accept-Language: en-US,en;q=0.5\r\n"
    "Accept-Encoding: gzip, deflate, br\r\n"
    "Connection: keep-alive\r\n"
    "Upgrade-Insecure-Requests: 1\r\n"
    "Sec-Fetch-Dest: document\r\n"
    "Sec-Fetch-Mode: navigate\r\n"
    "Sec-Fetch-Site: none\r\n"
    "Priority: u=0, i\r\n"
    "\r\n";
/* The same, not canonical: most lines are given to llhttp in pieces. */
static const char blanks[] =
    "GET /index.html HTTP/1.1\r\n"
    "Host:  www.example.org:8443\r\n"
    "User-Agent:\tMozilla/5.0 (X11; Linux x86_64; rv:128.0) Gecko/20100101 Firefox/128.0\r\n"
    "Accept: text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8 \r\n"
    "Accept-Language:  en-US,en;q=0.5\r\n"
    "Accept-Encoding: gzip, deflate, br\t\r\n"
    "Connection:  upgrade\r\n"
    "Upgrade: h2c\r\n"
    "\r\n";
static const char small[] = "GET / HTTP/1.1\r\nHost: localhost\r\n\r\n";

static const struct shs_guard_limits limits = {8192, 32768, 100, 1 << 20, 256, 4096, 8192};

struct input {
    const char *name, *bytes;
    size_t len;
};

static struct shs_field fields[100];
static struct shs_parser parser;
static struct shs_head head;
static volatile size_t sink; /* so that nothing is optimised away */

static void run_scan(const struct input *in)
{
    struct shs_head_scan scan = {0};
    struct shs_refusal why;
    size_t head_len = 0;

    if (shs__head_scan(&scan, in->bytes, in->len, &limits, &head_len, &why) != SHS_OK)
        abort();
    sink = head_len;
}

static void run_both(const struct input *in)
{
    struct shs_refusal why;

    run_scan(in);
    if (shs__head_parse(in->bytes, in->len, &limits, &parser, fields, &head, &why) != SHS_OK)
        abort();
    sink = head.field_count;
}

static void run_llhttp(const struct input *in) /* head is what run_both left */
{
    if (!shs__parser_head(&parser, &head, in->bytes, in->len))
        abort();
    sink = parser.fields_seen;
}

static void run_pieces(const struct input *in) /* as it may arrive: 16 bytes at a time */
{
    struct shs_head_scan scan = {0};
    struct shs_refusal why;
    size_t head_len = 0, have = 0;
    int rc;

    do {
        have = have + 16 < in->len ? have + 16 : in->len;
        rc = shs__head_scan(&scan, in->bytes, have, &limits, &head_len, &why);
    } while (rc == SHS_WAIT_READ);
    if (rc != SHS_OK)
        abort();
    sink = head_len;
}

static double measure(void (*run)(const struct input *), const struct input *in, double seconds)
{
    double best = 1e18;

    for (int i = 0; i < RUNS; i++) {
        int64_t start = shs_now_ns(), end = start, stop = start + (int64_t)(seconds / RUNS * 1e9);
        uint64_t count = 0;
        double each;

        while (end < stop) {
            for (int j = 0; j < BATCH; j++)
                run(in);
            count += BATCH;
            end = shs_now_ns();
        }
        each = (double)(end - start) / (double)count;
        best = each < best ? each : best;
    }
    return best;
}

int main(int argc, char **argv)
{
    static const struct input inputs[] = {
        {"browser", browser, sizeof browser - 1},
        {"blanks", blanks, sizeof blanks - 1},
        {"small", small, sizeof small - 1},
    };
    double seconds = argc > 1 ? strtod(argv[1], NULL) : 0.5;

    if (seconds <= 0 || seconds > 60) {
        fprintf(stderr, "usage: guard_bench [seconds-per-line, at most 60]\n");
        return 2;
    }
    printf("%-8s %6s %8s %8s %8s %8s %12s\n", "head", "bytes", "scan", "guard", "llhttp", "both",
           "scan by 16");
    for (size_t i = 0; i < SHS_ARRAY_LEN(inputs); i++) {
        const struct input *in = &inputs[i];
        double scan = measure(run_scan, in, seconds), both = measure(run_both, in, seconds);
        double llhttp = measure(run_llhttp, in, seconds);

        printf("%-8s %6zu %8.0f %8.0f %8.0f %8.0f %12.0f\n", in->name, in->len, scan, both - llhttp,
               llhttp, both, measure(run_pieces, in, seconds));
    }
    return 0;
}
