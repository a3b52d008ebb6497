/*
 * fuzz_head.c - the guard and llhttp over a request head.
 *
 * What must hold: the verdict does not depend on how the bytes were cut up; what was accepted is
 * made of views into the input, of the characters that may stand there; and written again in
 * canonical form it is accepted again, and says the same.
 */
#include "fuzz.h"

#include <string.h>

#include "base/chars.h"
#include "h1_lab.h"
#include "http/guard.h"
#include "http/parser.h"

#define MAX_FIELDS 16u

static const struct shs_guard_limits limits = {
    .max_request_line = 200,
    .max_head_bytes = 1000,
    .max_headers = MAX_FIELDS,
    .max_body_bytes = 100000,
    .max_chunk_line = 256,
    .max_extension_bytes = 4096,
    .max_trailer_bytes = 8192,
};

struct verdict {
    int rc;
    size_t head_len, start;
    struct shs_refusal why;
};

/* As a connection does it: more and more bytes, each time at another address. */
static struct verdict scan(const uint8_t *data, size_t size, uint64_t *random)
{
    struct verdict v = {.rc = SHS_WAIT_READ};
    struct shs_head_scan state = {0};
    size_t have = 0;

    do {
        size_t step = random == NULL ? size : 1 + h1_lab_next_random(random) % 16;
        char *copy;

        have = step < size - have ? have + step : size;
        copy = malloc(have == 0 ? 1 : have);
        MUST(copy != NULL);
        if (have > 0)
            memcpy(copy, data, have);
        v.rc = shs__head_scan(&state, copy, have, &limits, &v.head_len, &v.why);
        free(copy);
    } while (v.rc == SHS_WAIT_READ && have < size);
    v.start = state.start;
    return v;
}

static void check_inside(struct shs_str s, const char *buf, size_t len)
{
    MUST(s.ptr != NULL && s.ptr >= buf && s.ptr + s.len <= buf + len);
}

static void check_head(const struct shs_head *head, const char *buf, size_t len)
{
    check_inside(head->line, buf, len);
    check_inside(head->method, buf, len);
    check_inside(head->target, buf, len);
    MUST(shs_is_token(head->method));
    MUST(head->target.len > 0 && head->path.len > 0);
    MUST(head->path.ptr[0] == '/' || shs__str_eq(head->path, SHS_STR("*")));
    MUST(head->path.len < 2 || head->path.ptr[0] != '/' || head->path.ptr[1] != '/');
    MUST(head->version == 10 || head->version == 11);
    MUST(head->version == 11 || (!head->keep_alive && !head->chunked && !head->expect_continue));
    MUST(!(head->has_length && head->chunked));
    MUST(head->content_length <= limits.max_body_bytes);
    MUST(head->field_count <= MAX_FIELDS);
    for (size_t i = 0; i < head->field_count; i++) {
        check_inside(head->fields[i].name, buf, len);
        check_inside(head->fields[i].value, buf, len);
        MUST(shs_is_token(head->fields[i].name));
        MUST(shs_is_field_value(head->fields[i].value));
    }
    for (size_t i = 0; i < head->target.len; i++)
        MUST((unsigned char)head->target.ptr[i] > 0x20 && head->target.ptr[i] != 0x7f);
}

static void check_same(const struct shs_head *a, const struct shs_head *b)
{
    MUST(shs__str_eq(a->method, b->method) && shs__str_eq(a->target, b->target));
    MUST(shs__str_eq(a->path, b->path) && shs__str_eq(a->host, b->host));
    MUST(a->version == b->version && a->form == b->form);
    MUST(a->has_length == b->has_length && a->chunked == b->chunked);
    MUST(a->content_length == b->content_length && a->keep_alive == b->keep_alive);
    MUST(a->expect_continue == b->expect_continue && a->field_count == b->field_count);
    for (size_t i = 0; i < a->field_count; i++)
        MUST(shs__str_eq(a->fields[i].name, b->fields[i].name) &&
             shs__str_eq(a->fields[i].value, b->fields[i].value));
}

static void check_canonical(const struct shs_head *head)
{
    struct shs_field fields[MAX_FIELDS];
    struct shs_refusal why;
    struct shs_parser parser;
    struct shs_head again;
    struct shs_buf text;

    shs__buf_init(&text, 4096);
    MUST(shs__buf_append_str(&text, head->line) == SHS_OK);
    MUST(shs__buf_append_str(&text, SHS_STR("\r\n")) == SHS_OK);
    for (size_t i = 0; i < head->field_count; i++) {
        MUST(shs__buf_append_str(&text, head->fields[i].name) == SHS_OK);
        MUST(shs__buf_append_str(&text, SHS_STR(": ")) == SHS_OK);
        MUST(shs__buf_append_str(&text, head->fields[i].value) == SHS_OK);
        MUST(shs__buf_append_str(&text, SHS_STR("\r\n")) == SHS_OK);
    }
    MUST(shs__buf_append_str(&text, SHS_STR("\r\n")) == SHS_OK);
    memset(&again, 0, sizeof again);
    /* Longer by a space after each colon, at most. */
    if (text.len <= limits.max_head_bytes) {
        MUST(shs__head_parse(shs__buf_head(&text), text.len, &limits, &parser, fields, &again,
                             &why) == SHS_OK);
        check_same(head, &again);
    }
    shs__buf_free(&text);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    uint64_t random = fuzz_seed(data, size);
    struct shs_field fields[MAX_FIELDS];
    struct verdict whole, split;
    struct shs_parser parser;
    struct shs_refusal why;
    struct shs_head head;
    int rc;

    if (size > 4096)
        return 0;
    whole = scan(data, size, NULL);
    split = scan(data, size, &random);
    MUST(whole.rc == SHS_OK || whole.rc == SHS_WAIT_READ || whole.rc == SHS_PROTO);
    MUST(whole.rc == split.rc);
    if (whole.rc == SHS_PROTO)
        MUST(strcmp(whole.why.rule, split.why.rule) == 0 && whole.why.status >= 400);
    if (whole.rc != SHS_OK)
        return 0;
    MUST(whole.head_len == split.head_len && whole.start == split.start);
    MUST(whole.head_len <= size && whole.start <= 2);
    memset(&head, 0, sizeof head);
    rc = shs__head_parse((const char *)data + whole.start, whole.head_len - whole.start, &limits,
                         &parser, fields, &head, &why);
    MUST(rc == SHS_OK || rc == SHS_PROTO);
    if (rc == SHS_PROTO) {
        MUST(why.status >= 400 && why.status <= 599 && why.text != NULL && why.rule != NULL);
        return 0;
    }
    check_head(&head, (const char *)data + whole.start, whole.head_len - whole.start);
    check_canonical(&head);
    return 0;
}
