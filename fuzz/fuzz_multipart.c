/*
 * fuzz_multipart.c - the multipart parser over a body that comes in pieces.
 *
 * The input is "boundary LF body". What must hold: the parts, their names and their data are the
 * same however the body is cut up and however it is read; what was given out is in the input.
 */
#include "fuzz.h"

#include <string.h>

#include "h1_lab.h"
#include "http/multipart.h"

struct source {
    const char *at;
    size_t left;
    uint64_t random;
    bool split;
};

static int read_source(void *ctx, void *buf, size_t cap, size_t *got)
{
    struct source *s = ctx;
    size_t len = s->split ? 1 + h1_lab_next_random(&s->random) % 8 : cap;

    if (len > cap)
        len = cap;
    if (len > s->left)
        len = s->left;
    if (len > 0)
        memcpy(buf, s->at, len);
    s->at += len;
    s->left -= len;
    *got = len;
    return SHS_OK;
}

static uint64_t mix(uint64_t hash, struct shs_str s)
{
    hash = (hash ^ (s.ptr == NULL ? 77 : s.len)) * 0x100000001b3u;
    return hash ^ fuzz_seed((const uint8_t *)s.ptr, s.len);
}

struct outcome {
    int rc;
    uint64_t hash;
    size_t data_bytes;
    unsigned parts;
};

/* Bytes, not runs, go into the hash: how the data is handed out is not the same. */
static void read_data(struct shs_multipart *form, struct source *source, struct outcome *o)
{
    char buf[64];
    size_t got = 0, cap;

    do {
        cap = source->split ? 1 + h1_lab_next_random(&source->random) % sizeof buf : sizeof buf;
        o->rc = shs_multipart_read(form, buf, cap, &got);
        if (o->rc != SHS_OK)
            return;
        MUST(got <= cap);
        for (size_t i = 0; i < got; i++)
            o->hash = (o->hash ^ (unsigned char)buf[i]) * 0x100000001b3u;
        o->data_bytes += got;
    } while (got > 0);
}

static struct outcome parse(struct shs_str type, const char *body, size_t len, uint64_t seed,
                            bool split, bool skip)
{
    struct shs_multipart_limits limits;
    struct source source = {body, len, seed, split};
    struct outcome o = {.hash = 1};
    struct shs_multipart *form = calloc(1, sizeof *form);
    const struct shs_part *part;
    char *memory;

    shs_multipart_limits_init(&limits);
    limits.max_parts = 20;
    limits.max_header_bytes = 300;
    memory = malloc(shs__multipart_memory(&limits));
    MUST(form != NULL && memory != NULL);
    o.rc = shs__multipart_init(form, read_source, &source, type, &limits, memory);
    while (o.rc == SHS_OK) {
        char name[64];

        o.rc = shs_multipart_next(form, &part);
        if (o.rc != SHS_OK || part == NULL)
            break;
        o.parts++;
        MUST(part->name.ptr != NULL);
        MUST(part->content_type.ptr != NULL);
        o.hash = mix(mix(mix(o.hash, part->name), part->filename), part->content_type);
        if (part->filename.ptr != NULL) {
            size_t n = shs_safe_file_name(part->filename, name, sizeof name);

            MUST(n > 0 && n < sizeof name && name[n] == '\0' && strlen(name) == n);
            MUST(strpbrk(name, "/\\\r\n") == NULL && name[0] != '.' && name[0] != '-');
        }
        if (!skip)
            read_data(form, &source, &o);
    }
    if (o.rc != SHS_OK) { /* it stays so */
        MUST(shs_multipart_next(form, &part) == o.rc);
        MUST(form->why.text != NULL && form->why.status >= 400);
    } else {
        MUST(source.left == 0); /* the epilogue is read */
        MUST(shs_multipart_next(form, &part) == SHS_OK && part == NULL);
    }
    free(memory);
    free(form);
    return o;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    const char *body = size == 0 ? NULL : memchr(data, '\n', size < 300 ? size : 300);
    uint64_t seed = fuzz_seed(data, size);
    struct outcome whole, split, skipped;
    size_t boundary_len, len;
    struct shs_str type;
    char text[400];
    int n;

    if (body == NULL || size > 65536)
        return 0;
    boundary_len = (size_t)(body - (const char *)data);
    body++;
    len = size - boundary_len - 1;
    n = snprintf(text, sizeof text, "multipart/form-data; boundary=");
    memcpy(text + n, data, boundary_len);
    type = (struct shs_str){text, (size_t)n + boundary_len};
    whole = parse(type, body, len, seed, false, false);
    split = parse(type, body, len, seed, true, false);
    skipped = parse(type, body, len, seed, true, true);
    MUST(whole.rc == split.rc && whole.parts == split.parts);
    MUST(whole.data_bytes == split.data_bytes && whole.hash == split.hash);
    MUST(whole.rc == skipped.rc && whole.parts == skipped.parts);
    MUST(whole.data_bytes <= len);
    return 0;
}
