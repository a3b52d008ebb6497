/*
 * records_bench.c - what waking costs records of our own.
 *
 *   records_bench [ROUNDS]
 *
 * For each suite: ns to seal a record of 100 bytes and to open it again, with the contexts of the
 * ciphers kept, and with both ends idle after each, which makes again what an idle connection does
 * not hold: for one end the context that seals, for the other the one that opens and its buffer. A
 * server that wakes for a request needs both.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "tls/wire/records.h"

static double now_ns(void)
{
    struct timespec ts;

    clock_gettime(CLOCK_MONOTONIC, &ts);
    return (double)ts.tv_sec * 1e9 + (double)ts.tv_nsec;
}

static void must(bool so)
{
    if (!so) {
        fprintf(stderr, "records_bench: it does not work\n");
        exit(1);
    }
}

static void turn(struct shs_tls_records *from, struct shs_tls_records *to, struct shs_buf *wire)
{
    static char text[100], heard[200];
    struct shs_tls_fault fault;
    size_t room = 0, got = 0;
    void *at;

    must(shs__tls_records_seal(from, SHS_TLS_DATA, text, sizeof text, wire) == SHS_OK);
    at = shs__tls_records_room(to, &room);
    must(at != NULL && room >= wire->len);
    memcpy(at, shs__buf_head(wire), wire->len);
    shs__tls_records_came(to, wire->len);
    shs__buf_consume(wire, wire->len);
    must(shs__tls_records_open(to, heard, sizeof heard, &got, &fault) == SHS_TLS_OPENED_DATA &&
         got == sizeof text);
}

static double measure(const struct shs_tls_suites *suites, unsigned id, unsigned rounds, bool idle)
{
    struct shs_tls_traffic ways[2] = {{.secret = {1}}, {.secret = {2}}};
    struct shs_tls_records *server = NULL, *client = NULL;
    struct shs_buf wire;
    double began;

    shs__buf_init(&wire, 65536);
    must(shs__tls_records_new(&server, suites, id, &ways[0], &ways[1]) == SHS_OK);
    must(shs__tls_records_new(&client, suites, id, &ways[1], &ways[0]) == SHS_OK);
    turn(client, server, &wire);
    began = now_ns();
    for (unsigned i = 0; i < rounds; i++) {
        turn(client, server, &wire);
        if (idle) {
            shs__tls_records_idle(server);
            shs__tls_records_idle(client);
        }
    }
    began = (now_ns() - began) / rounds;
    shs__tls_records_free(server);
    shs__tls_records_free(client);
    shs__buf_free(&wire);
    return began;
}

int main(int argc, char **argv)
{
    unsigned rounds = argc > 1 ? (unsigned)strtoul(argv[1], NULL, 10) : 100000;
    struct shs_tls_suites *suites = shs__tls_suites_new();

    must(suites != NULL && rounds > 0);
    for (unsigned id = 0x1301; id <= 0x1303; id++) {
        double kept = 1e12, again = 1e12;

        for (int i = 0; i < 5; i++) { /* the best of five, in turns */
            double a = measure(suites, id, rounds, false), b = measure(suites, id, rounds, true);

            kept = a < kept ? a : kept;
            again = b < again ? b : again;
        }
        printf("%#x: kept %.0f ns, made again %.0f ns: for both %.0f ns\n", id, kept, again,
               again - kept);
    }
    shs__tls_suites_free(suites);
    return 0;
}
