/*
 * tag_branches.c - for valgrind_tls_tag.py: what is done with the tag of a record that comes.
 *
 *   tag_branches            the library's records
 *   tag_branches --prove    a comparison byte by byte in their place: it must be found out
 *
 * For each suite records are opened whose tag is right, or wrong in one bit of any of its bytes. To
 * valgrind's memcheck the tag is memory that nobody has written, so it says where a branch or an
 * address depends on it. Nothing else in the record is: the plaintext can be looked at freely.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <valgrind/memcheck.h>

#include "tls/wire/records.h"

#define TAG ((size_t)16)

static void must(bool so, const char *what)
{
    if (!so) {
        fprintf(stderr, "tag_branches: %s\n", what);
        exit(1);
    }
}

/* As nobody should: it ends at the first byte that is another. */
static void compare_byte_by_byte(const unsigned char *tag)
{
    static const unsigned char right[TAG] = {1, 2, 3};

    for (size_t i = 0; i < TAG; i++) {
        if (tag[i] != right[i])
            return;
    }
    must(false, "a tag of zeros");
}

/* One record from the client; the bit `bit` of its tag is turned, with TAG * 8 none is. */
static void open_one(const struct shs_tls_suites *suites, unsigned id, size_t bit, bool prove)
{
    struct shs_tls_traffic ways[2] = {{.secret = {1}}, {.secret = {2}}};
    struct shs_tls_records *server = NULL, *client = NULL;
    struct shs_tls_fault fault = {0};
    enum shs_tls_opened opened;
    unsigned char heard[64], *at;
    size_t room = 0, got = 0, len;
    struct shs_buf wire;

    shs__buf_init(&wire, 65536);
    must(shs__tls_records_new(&server, suites, id, &ways[0], &ways[1]) == SHS_OK &&
             shs__tls_records_new(&client, suites, id, &ways[1], &ways[0]) == SHS_OK &&
             shs__tls_records_seal(client, SHS_TLS_DATA, "hello", 5, &wire) == SHS_OK,
         "no memory");
    len = wire.len;
    at = shs__tls_records_room(server, &room);
    must(at != NULL && room >= len, "no room");
    memcpy(at, shs__buf_head(&wire), len);
    if (bit < TAG * 8)
        at[len - TAG + bit / 8] ^= (unsigned char)(1u << bit % 8);
    (void)VALGRIND_MAKE_MEM_UNDEFINED(at + len - TAG, TAG);
    if (prove)
        compare_byte_by_byte(at + len - TAG);
    shs__tls_records_came(server, len);
    opened = shs__tls_records_open(server, heard, sizeof heard, &got, &fault);
    must(bit < TAG * 8
             ? opened == SHS_TLS_OPENED_FAULT && fault.alert == 20
             : opened == SHS_TLS_OPENED_DATA && got == 5 && memcmp(heard, "hello", 5) == 0,
         "the verdict is wrong");
    shs__tls_records_free(server);
    shs__tls_records_free(client);
    shs__buf_free(&wire);
}

int main(int argc, char **argv)
{
    struct shs_tls_suites *suites = shs__tls_suites_new();
    bool prove = argc > 1 && strcmp(argv[1], "--prove") == 0;
    unsigned opened = 0;

    must(suites != NULL, "no suites");
    for (unsigned id = 0x1301; id <= 0x1303; id++) {
        for (size_t byte = 0; byte <= TAG; byte++, opened++)
            open_one(suites, id, byte * 8 + byte % 8, prove);
    }
    shs__tls_suites_free(suites);
    printf("%u records were opened\n", opened);
    return 0;
}
