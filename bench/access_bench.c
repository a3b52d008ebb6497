/*
 * access_bench.c - what a decision of <shs/access.h> costs: `access_bench RULES`, or 10,000.
 *
 * Half of the lines are exact names, half are patterns; 500 paths in ten roles. Each client has a
 * common name, two organisations, a SPIFFE ID and two CAs; every second one fits no line.
 */
#include <shs/shs.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define ROUNDS 2000000u
#define WHO 1000u

static char ca_a[65], ca_b[65];

static struct shs_access_rules *make_rules(unsigned count)
{
    size_t cap = (size_t)count * 128 + 100000, used = 0;
    char *text = malloc(cap);
    struct shs_access_rules *rules = NULL;
    struct shs_error err;

    if (text == NULL)
        return NULL;
    used += (size_t)snprintf(text, cap, "ca corp spki %s\n", ca_a);
    for (unsigned r = 0; r < 10; r++) {
        used += (size_t)snprintf(text + used, cap - used, "role r%u GET /r%u/**", r, r);
        for (unsigned p = 0; p < 49; p++)
            used += (size_t)snprintf(text + used, cap - used, " + POST /r%u/item%u/*/close", r, p);
        used += (size_t)snprintf(text + used, cap - used, "\n");
    }
    for (unsigned i = 0; i < count / 2; i++)
        used += (size_t)snprintf(text + used, cap - used,
                                 "map cn user%u ca corp r%u\n"
                                 "map uri spiffe://corp.test/ns/%u/sa/* ca corp r%u\n",
                                 i, i % 10, i, i % 10);
    if (shs_access_new_text(&rules, "bench", (struct shs_str){text, used}, &err) != SHS_OK)
        fprintf(stderr, "%s\n", err.text);
    free(text);
    return rules;
}

int main(int argc, char **argv)
{
    unsigned count = argc > 1 ? (unsigned)strtoul(argv[1], NULL, 10) : 10000, allowed = 0;
    static struct shs_client_identity certs[WHO];
    static struct shs_identity who[WHO];
    static char names[WHO][2][64], cas[2][65];
    static struct shs_san sans[WHO];
    struct shs_str o[2] = {{"ops", 3}, {"dev", 3}};
    struct shs_access_rules *rules;
    struct shs_access_decision d;
    int64_t began, ns;

    memset(ca_a, 'a', 64);
    memset(ca_b, 'b', 64);
    memcpy(cas[0], ca_b, 65);
    memcpy(cas[1], ca_a, 65);
    rules = make_rules(count);
    if (rules == NULL)
        return 1;
    for (unsigned i = 0; i < WHO; i++) {
        unsigned n = i % 2 == 0 ? i * 37 % (count / 2 + 1) : count + i;

        snprintf(names[i][0], 64, "%s%u", i % 4 == 0 ? "user" : "other", n);
        snprintf(names[i][1], 64, "spiffe://corp.test/ns/%u/sa/x", n);
        sans[i] = (struct shs_san){SHS_SAN_URI, shs_str_of(names[i][1])};
        certs[i] = (struct shs_client_identity){
            .verified = true,
            .common_name = shs_str_of(names[i][0]),
            .organizations = o,
            .organization_count = 2,
            .sans = &sans[i],
            .san_count = 1,
            .ca_spki_sha256 = (const char(*)[65])cas,
            .ca_count = 2,
        };
        shs_identity_init(&who[i]);
        who[i].cert = &certs[i];
    }
    began = shs_now_ns();
    for (unsigned i = 0; i < ROUNDS; i++) {
        shs_access_decide(rules, &who[i % WHO], shs_str_of("POST"),
                          shs_str_of("/r3/item17/12345/close"), &d);
        allowed += d.allowed;
    }
    ns = shs_now_ns() - began;
    printf("%u rules: %.0f ns a decision (%u of %u allowed)\n", count, (double)ns / (double)ROUNDS,
           allowed, ROUNDS);
    shs_access_free(rules);
    return 0;
}
