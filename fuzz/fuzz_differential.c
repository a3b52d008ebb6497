/*
 * fuzz_differential.c - guard and llhttp against the reader of reference.c.
 *
 * The input is what a client sends, any number of requests one behind the other. What must hold,
 * with the limits of a server and with very tight ones, whole and cut up: for each request both say
 * the same of it (complete, not yet, refused), and of what it says: method, target, path, query,
 * host, version, fields, framing, content, trailers, how long it is, and whether another may
 * follow.
 *
 * Of a refusal only that it is one is compared: which of several faults is named first is ours.
 */
#include "fuzz.h"

#include <string.h>

#include "h1_lab.h"
#include "http/guard.h"
#include "http/parser.h"
#include "reference.h"

static const struct shs_guard_limits limits_of_guard[] = {
    {.max_request_line = 200,
     .max_head_bytes = 1000,
     .max_headers = 16,
     .max_body_bytes = 100000,
     .max_chunk_line = 256,
     .max_extension_bytes = 300,
     .max_trailer_bytes = 400},
    {.max_request_line = 20,
     .max_head_bytes = 60,
     .max_headers = 3,
     .max_body_bytes = 10,
     .max_chunk_line = 8,
     .max_extension_bytes = 12,
     .max_trailer_bytes = 16},
};

#define MAX_INPUT 4096u

/* What the guard made of one request. */
struct guarded {
    enum ref_verdict verdict;
    struct shs_field fields[16];
    struct shs_head head;
    bool head_is_right;
    unsigned trailers;
    size_t used, content_len;
    char content[MAX_INPUT];
};

static enum ref_verdict verdict_of(int rc)
{
    MUST(rc == SHS_OK || rc == SHS_WAIT_READ || rc == SHS_PROTO);
    if (rc == SHS_OK)
        return REF_COMPLETE;
    return rc == SHS_WAIT_READ ? REF_MORE : REF_REFUSED;
}

/* The next piece that has arrived: everything, or a little more. */
static size_t arrive(size_t have, size_t len, uint64_t *random)
{
    size_t more = random == NULL ? len : 1 + h1_lab_next_random(random) % 16;

    return len - have < more ? len : have + more;
}

static int read_body(struct guarded *g, const char *bytes, size_t len,
                     const struct shs_guard_limits *limits, struct shs_parser *parser, size_t have,
                     uint64_t *random)
{
    struct shs_refusal why;
    struct shs_body body;

    shs__body_init(&body, &g->head, limits, parser);
    while (body.phase != SHS_BODY_DONE) {
        struct shs_str content = {NULL, 0};
        size_t used = 0;
        int rc = shs__body_step(&body, bytes + g->used, have - g->used, &used, &content, &why);

        MUST(g->content_len + content.len <= sizeof g->content);
        if (content.len > 0)
            memcpy(g->content + g->content_len, content.ptr, content.len);
        g->content_len += content.len;
        g->used += used;
        if (rc == SHS_WAIT_READ && have < len)
            have = arrive(have, len, random);
        else if (rc != SHS_OK)
            return rc;
    }
    g->trailers = body.trailer_count;
    return SHS_OK;
}

static int read_guarded(struct guarded *g, const char *bytes, size_t len,
                        const struct shs_guard_limits *limits, uint64_t *random)
{
    struct shs_head_scan scan = {0};
    struct shs_parser parser;
    struct shs_refusal why;
    size_t have = 0, head_len = 0;
    int rc;

    do {
        have = arrive(have, len, random);
        rc = shs__head_scan(&scan, bytes, have, limits, &head_len, &why);
    } while (rc == SHS_WAIT_READ && have < len);
    if (rc == SHS_OK)
        rc = shs__head_parse(bytes + scan.start, head_len - scan.start, limits, &parser, g->fields,
                             &g->head, &why);
    if (rc != SHS_OK)
        return rc;
    g->head_is_right = true;
    g->used = head_len;
    return read_body(g, bytes, len, limits, &parser, have, random);
}

static bool same(struct shs_str a, struct ref_text b)
{
    return a.len == b.len && (a.len == 0 || memcmp(a.ptr, b.at, a.len) == 0);
}

static void compare_heads(const struct shs_head *a, const struct ref_request *b)
{
    MUST(same(a->method, b->method));
    MUST(same(a->target, b->target));
    MUST(same(a->path, b->path));
    MUST((a->query.ptr != NULL) == b->has_query && same(a->query, b->query));
    MUST(same(a->host, b->host));
    MUST(a->version == b->version);
    MUST(a->field_count == b->field_count);
    for (size_t i = 0; i < a->field_count; i++) {
        MUST(same(a->fields[i].name, b->fields[i].name));
        MUST(same(a->fields[i].value, b->fields[i].value));
    }
    MUST(a->has_length == b->has_length && a->chunked == b->chunked);
    MUST(a->content_length == b->length);
    MUST(a->expect_continue == b->expects);
    MUST(a->keep_alive == b->keep_alive);
}

/* One request of the input: how long it is, or 0 when nothing more is to be read. */
static size_t compare_one(const char *bytes, size_t len, const struct shs_guard_limits *limits,
                          uint64_t *random)
{
    const struct ref_limits wanted = {
        .request_line = limits->max_request_line,
        .head = limits->max_head_bytes,
        .fields = limits->max_headers,
        .body = limits->max_body_bytes,
        .chunk_line = limits->max_chunk_line,
        .extensions = limits->max_extension_bytes,
        .trailers = limits->max_trailer_bytes,
    };
    static struct ref_request reference;
    static struct guarded guarded;
    static char body[MAX_INPUT];
    enum ref_verdict verdict = ref_read(bytes, len, &wanted, &reference, body);

    memset(&guarded, 0, sizeof guarded);
    guarded.verdict = verdict_of(read_guarded(&guarded, bytes, len, limits, random));
    MUST(guarded.verdict == verdict);
    MUST(guarded.head_is_right == reference.head_is_right);
    if (!reference.head_is_right)
        return 0;
    compare_heads(&guarded.head, &reference);
    if (verdict != REF_COMPLETE)
        return 0;
    MUST(guarded.used == reference.used);
    MUST(guarded.trailers == reference.trailer_count);
    MUST(guarded.content_len == reference.body_len);
    MUST(memcmp(guarded.content, body, reference.body_len) == 0);
    return reference.keep_alive ? reference.used : 0;
}

static void compare_all(const char *bytes, size_t len, const struct shs_guard_limits *limits,
                        uint64_t *random)
{
    size_t at = 0, used;

    do {
        /* In memory of that size exactly, so that a sanitizer sees a read behind the end. */
        size_t left = len - at;
        char *copy = malloc(left == 0 ? 1 : left);

        MUST(copy != NULL);
        if (left > 0)
            memcpy(copy, bytes + at, left);
        used = compare_one(copy, left, limits, random);
        free(copy);
        at += used;
    } while (used > 0 && at < len);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size > MAX_INPUT)
        return 0;
    for (size_t i = 0; i < SHS_ARRAY_LEN(limits_of_guard); i++) {
        uint64_t random = fuzz_seed(data, size);

        compare_all((const char *)data, size, &limits_of_guard[i], NULL);
        compare_all((const char *)data, size, &limits_of_guard[i], &random);
    }
    return 0;
}
