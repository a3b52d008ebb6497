/* test_compress.c - answers that stream through the compression middleware, within its bounds. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>

#include <shs/shs.h>

#include "h1_expect.h"
#include "handler/coding.h"

#ifdef SHS_HAVE_ZLIB
#include <zlib.h>
#endif
#ifdef SHS_HAVE_ZSTD
#include <zstd.h>
#endif

/* -- the content, and what became of it -------------------------------------------------------- */

#define LONGEST 500000
static char content[LONGEST];

/* Half of it repeats, and half of it is noise: pieces of all sizes come out. */
static void make_content(void)
{
    uint64_t random = 7;

    for (size_t i = 0; i < sizeof content; i++)
        content[i] = i / 5000 % 2 == 0 ? "the quick brown fox "[i % 20]
                                       : (char)(h1_lab_next_random(&random) >> 11);
}

/* As much of it as can be decoded; -1: it is not in that coding. *whole: its end is there. */
static long decode(const char *coding, struct shs_str body, char *out, size_t cap, bool *whole)
{
    long len = -1;

    *whole = false;
#ifdef SHS_HAVE_ZLIB
    if (strcmp(coding, "gzip") == 0) {
        z_stream z = {.next_in = (Bytef *)(uintptr_t)body.ptr, .avail_in = (uInt)body.len};
        int rc;

        assert_int_equal(inflateInit2(&z, 15 + 16), Z_OK);
        z.next_out = (Bytef *)out;
        z.avail_out = (uInt)cap;
        rc = inflate(&z, Z_SYNC_FLUSH);
        *whole = rc == Z_STREAM_END && z.avail_in == 0;
        len = rc == Z_OK || rc == Z_STREAM_END || rc == Z_BUF_ERROR ? (long)z.total_out : -1;
        inflateEnd(&z);
    }
#endif
#ifdef SHS_HAVE_ZSTD
    if (strcmp(coding, "zstd") == 0) {
        ZSTD_DCtx *zstd = ZSTD_createDCtx();
        ZSTD_inBuffer from = {body.ptr, body.len, 0};
        ZSTD_outBuffer to = {out, cap, 0};
        size_t left = 1, before = 1;

        while (left > 0 && !ZSTD_isError(left) && from.pos + to.pos != before) {
            before = from.pos + to.pos;
            left = ZSTD_decompressStream(zstd, &to, &from);
        }
        *whole = left == 0 && from.pos == body.len;
        len = ZSTD_isError(left) ? -1 : (long)to.pos;
        ZSTD_freeDCtx(zstd);
    }
#endif
    return len;
}

static bool can(const char *coding)
{
    return (shs__stream_coders() &
            SHS_CODING_BIT(strcmp(coding, "gzip") == 0 ? SHS_CODING_GZIP : SHS_CODING_ZSTD)) != 0;
}

/* -- a handler that answers in each way there is ----------------------------------------------- */

enum way {
    WRITES,       /* in pieces of 1000 bytes */
    WRITES_ONCE,  /* all at once */
    SAYS_LENGTH,  /* with a Content-Length before */
    FLUSHES_HEAD, /* and then writes */
    FLUSHES_EACH, /* piece */
    SOURCE,
    SOURCE_WITH_LENGTH,
    WAYS
};

static struct {
    enum way way;
    size_t len, promised;
    const char *type, *name, *value;
} answer;

struct reading {
    size_t at;
};
static struct reading reading;
static unsigned freed;

static int content_read(void *ctx, void *buf, size_t cap, size_t *got)
{
    struct reading *self = ctx;
    size_t n = answer.len - self->at;

    n = n < cap ? n : cap;
    n = n < 3000 ? n : 3000;
    memcpy(buf, content + self->at, n);
    self->at += n;
    *got = n;
    return SHS_OK;
}

static void content_free(void *ctx)
{
    (void)ctx;
    freed++;
}

static const struct shs_source content_source = {.read = content_read, .free = content_free};

static int say(struct shs_request *req, struct shs_response *res)
{
    size_t piece = answer.way == WRITES_ONCE ? answer.len : 1000;

    (void)req;
    SHS_RETURN_IF_ERROR(shs_send_response(res, 200));
    SHS_RETURN_IF_ERROR(shs_send_header(res, "Content-Type", answer.type));
    SHS_RETURN_IF_ERROR(shs_send_header(res, "ETag", "\"tag\""));
    if (answer.name != NULL)
        SHS_RETURN_IF_ERROR(shs_send_header(res, answer.name, answer.value));
    if (answer.way == SAYS_LENGTH || answer.way == SOURCE_WITH_LENGTH)
        SHS_RETURN_IF_ERROR(shs_send_length(res, answer.promised));
    if (answer.way == SOURCE || answer.way == SOURCE_WITH_LENGTH) {
        reading.at = 0;
        return shs_send_source(res, &content_source, &reading);
    }
    if (answer.way == FLUSHES_HEAD)
        SHS_RETURN_IF_ERROR(shs_flush(res));
    for (size_t at = 0; at < answer.len; at += piece) {
        SHS_RETURN_IF_ERROR(
            shs_write(res, content + at, piece < answer.len - at ? piece : answer.len - at));
        if (answer.way == FLUSHES_EACH)
            SHS_RETURN_IF_ERROR(shs_flush(res));
    }
    return SHS_OK;
}

static const struct shs_http_handler sayer = {.name = "say", .do_GET = say};
static struct shs_compress *compressor;

static struct shs_test_answer *ask(const char *method, const char *accepts)
{
    const char *const fields[] = {"Accept-Encoding", accepts, NULL};
    struct shs_test_request request;
    struct shs_test_answer *got = NULL;
    struct shs_error err = {.code = SHS_OK};

    shs_test_request_init(&request);
    request.method = method;
    request.fields = accepts == NULL ? NULL : fields;
    freed = 0;
    if (shs_test_call(&got, shs_compress_handler(compressor), &request, &err) != SHS_OK)
        fail_msg("%s", err.text);
    assert_int_equal(freed, answer.way >= SOURCE);
    return got;
}

static const char *field(struct shs_test_answer *got, const char *name)
{
    const char *value = shs_test_answer_header(got, name);

    return value == NULL ? "" : value;
}

static void is_coded(struct shs_test_answer *got, const char *coding)
{
    static char out[LONGEST + 1];
    bool whole;
    long len = decode(coding, shs_test_answer_body(got), out, sizeof out, &whole);

    assert_int_equal(shs_test_answer_status(got), 200);
    assert_true(shs_test_answer_complete(got));
    assert_int_equal(shs_test_answer_error(got)->code, SHS_OK);
    assert_string_equal(field(got, "Content-Encoding"), coding);
    assert_string_equal(field(got, "Vary"), "Accept-Encoding");
    assert_string_equal(field(got, "ETag"), "W/\"tag\"");
    assert_true(whole);
    assert_int_equal(len, answer.len);
    assert_memory_equal(out, content, answer.len);
}

static void is_plain(struct shs_test_answer *got)
{
    struct shs_str body = shs_test_answer_body(got);

    assert_int_equal(shs_test_answer_status(got), 200);
    assert_true(shs_test_answer_complete(got));
    assert_string_equal(field(got, "Content-Encoding"), "");
    assert_string_equal(field(got, "ETag"), "\"tag\"");
    assert_int_equal(body.len, answer.len);
    assert_memory_equal(body.ptr, content, answer.len);
}

static void set_up(enum way way, size_t len)
{
    memset(&answer, 0, sizeof answer);
    answer.way = way;
    answer.len = answer.promised = len;
    answer.type = "text/plain; charset=utf-8";
}

/* -- what comes out ---------------------------------------------------------------------------- */

static void every_way_can_be_decoded(void **state)
{
    static const size_t lengths[] = {1, 16384, 70000, LONGEST};
    static const char *const codings[] = {"gzip", "zstd"};
    struct shs_test_answer *got;

    (void)state;
    for (size_t c = 0; c < SHS_ARRAY_LEN(codings); c++) {
        if (!can(codings[c]))
            continue;
        for (int way = WRITES; way < WAYS; way++) {
            for (size_t i = 0; i < SHS_ARRAY_LEN(lengths); i++) {
                bool streams = lengths[i] > 65536 || way == FLUSHES_HEAD || way == FLUSHES_EACH ||
                               way == SOURCE || (way == SOURCE_WITH_LENGTH && lengths[i] >= 512);

                set_up((enum way)way, lengths[i]);
                got = ask("GET", codings[c]);
                if (streams || lengths[i] >= 512)
                    is_coded(got, codings[c]);
                else
                    is_plain(got);
                /* Whoever reads it to its end knows that it is. */
                assert_int_equal(field(got, "Content-Length")[0] == '\0', streams);
                shs_test_answer_free(got);
                got = ask("GET", NULL);
                is_plain(got);
                assert_int_equal(field(got, "Vary")[0] != '\0', streams || lengths[i] >= 512);
                shs_test_answer_free(got);
            }
        }
    }
}

/* RFC 9110 section 8.6: never another length than GET would have had. */
static void head_says_what_get_would(void **state)
{
    struct shs_test_answer *got;

    (void)state;
    if (!can("gzip"))
        return;
    for (int way = WRITES; way < WAYS; way++) {
        set_up((enum way)way, 70000);
        got = ask("HEAD", "gzip");
        assert_int_equal(shs_test_answer_status(got), 200);
        assert_int_equal(shs_test_answer_body(got).len, 0);
        assert_string_equal(field(got, "Vary"), "Accept-Encoding");
        if (way != SOURCE) { /* which says nothing of its length */
            assert_string_equal(field(got, "Content-Encoding"), "gzip");
            assert_string_equal(field(got, "ETag"), "W/\"tag\"");
        }
        assert_string_equal(field(got, "Content-Length"), "");
        shs_test_answer_free(got);
    }
    set_up(WRITES, 100);
    got = ask("HEAD", "gzip");
    assert_string_equal(field(got, "Content-Encoding"), "");
    assert_string_equal(field(got, "Content-Length"), "100");
    shs_test_answer_free(got);
}

static void what_may_not_change_stays(void **state)
{
    static const struct {
        const char *name, *value, *type;
    } rows[] = {
        {"Cache-Control", "public, No-Transform", NULL},
        {"Cache-Control", "no-transform", NULL},
        {"Content-Encoding", "br", NULL},
        {"Content-Range", "bytes 0-4/9", NULL},
        {"Content-Digest", "sha-256=:AA==:", NULL},
        {"Repr-Digest", "sha-256=:AA==:", NULL},
        {NULL, NULL, "image/png"},
    };
    struct shs_test_answer *got;

    (void)state;
    for (size_t i = 0; i < SHS_ARRAY_LEN(rows); i++) {
        for (int way = WRITES; way < WAYS; way++) {
            set_up((enum way)way, 70000);
            answer.name = rows[i].name;
            answer.value = rows[i].value;
            if (rows[i].type != NULL)
                answer.type = rows[i].type;
            got = ask("GET", "gzip, zstd");
            if (strcmp(field(got, "Content-Encoding"), i == 2 ? "br" : "") != 0)
                fail_msg("row %zu, way %d", i, way);
            assert_int_equal(shs_test_answer_body(got).len, 70000);
            shs_test_answer_free(got);
        }
    }
    set_up(WRITES, 70000); /* and a directive that only looks like it */
    answer.name = "Cache-Control";
    answer.value = "x=no-transform-not, max-age=1";
    got = ask("GET", "gzip, zstd");
    assert_string_not_equal(field(got, "Content-Encoding"), "");
    shs_test_answer_free(got);
}

/* A promise that is not kept is one, coded or not. */
static void a_wrong_length_is_told(void **state)
{
    static const size_t promised[] = {69999, 70001};
    struct shs_test_answer *got;

    (void)state;
    for (size_t i = 0; i < 2; i++) {
        for (int way = SAYS_LENGTH; way < WAYS; way += SOURCE_WITH_LENGTH - SAYS_LENGTH) {
            set_up((enum way)way, 70000);
            answer.promised = promised[i];
            got = ask("GET", "gzip, zstd");
            assert_false(shs_test_answer_complete(got));
            assert_int_equal(shs_test_answer_error(got)->code, SHS_USAGE);
            shs_test_answer_free(got);
        }
    }
}

/* -- bounds ------------------------------------------------------------------------------------ */

static void beyond_the_bounds_it_stays(void **state)
{
    static const struct {
        size_t memory;
        unsigned whole, streams;
        size_t len;
        bool coded;
    } rows[] = {
        {(size_t)32 << 20, 1, 1, 70000, true}, {(size_t)32 << 20, 1, 0, 70000, false},
        {(size_t)1 << 20, 1, 1, 70000, true},  {((size_t)1 << 20) - 1, 1, 1, 70000, false},
        {(size_t)32 << 20, 1, 0, 2000, true},  {(size_t)32 << 20, 0, 1, 2000, false},
        {(size_t)1 << 20, 1, 1, 2000, false},
    };
    struct shs_compress *before = compressor;
    struct shs_compress_options opt;
    struct shs_test_answer *got;

    (void)state;
    if (!can("gzip"))
        return;
    for (size_t i = 0; i < SHS_ARRAY_LEN(rows); i++) {
        shs_compress_options_init(&opt);
        opt.max_memory = rows[i].memory;
        opt.max_whole = rows[i].whole;
        opt.max_streams = rows[i].streams;
        assert_int_equal(shs_compress_new(&compressor, &sayer, &opt, NULL), SHS_OK);
        /* More often than there are places: they come back. */
        for (unsigned k = 0; k < 3; k++) {
            set_up(WRITES, rows[i].len);
            got = ask("GET", "gzip");
            if (rows[i].coded)
                is_coded(got, "gzip");
            else
                is_plain(got);
            shs_test_answer_free(got);
        }
        shs_compress_free(compressor);
    }
    compressor = before;
}

/* What is counted for a stream is what it takes. */
static void a_coder_takes_what_is_counted(void **state)
{
    static const enum shs_coding codings[] = {SHS_CODING_GZIP, SHS_CODING_ZSTD};
    static char out[16384];

    (void)state;
    for (size_t c = 0; c < SHS_ARRAY_LEN(codings); c++) {
        struct shs_stream_coder *coder = NULL;
        struct shs_str in = {content, sizeof content};
        size_t got;

        if ((shs__stream_coders() & SHS_CODING_BIT(codings[c])) == 0)
            continue;
        assert_int_equal(shs__stream_coder_new(&coder, codings[c]), SHS_OK);
        do {
            assert_int_equal(
                shs__stream_coder_code(coder, SHS_CODING_END, &in, out, sizeof out, &got), SHS_OK);
        } while (in.len > 0 || got == sizeof out);
        if (shs__stream_coder_bytes(coder) < 100000 ||
            shs__stream_coder_bytes(coder) > SHS_STREAM_CODER_BYTES)
            fail_msg("%s: %zu", shs__coding_name(codings[c]), shs__stream_coder_bytes(coder));
        assert_int_equal(shs__stream_coder_code(coder, SHS_CODING_END, &in, out, sizeof out, &got),
                         SHS_OK);
        assert_int_equal(got, 0); /* an end is one */
        shs__stream_coder_free(coder);
    }
    shs__stream_coder_free(NULL);
}

/* -- server-sent events ------------------------------------------------------------------------ */

static struct h1_lab lab;
static const char *coding_of_events;
static size_t coded_len; /* of what the client has read */

/* What the client can read at this moment. */
static void client_reads(const char *want)
{
    static char chunks[65536], out[65536];
    const char *at;
    size_t len = 0, piece;
    bool whole;
    long got;

    h1_lab_receive(&lab);
    at = h1_body(&lab);
    while ((piece = strtoul(at, NULL, 16)) > 0) {
        at = strstr(at, "\r\n") + 2;
        memcpy(chunks + len, at, piece);
        len += piece;
        at += piece + 2;
    }
    coded_len = len;
    got = decode(coding_of_events, (struct shs_str){chunks, len}, out, sizeof out - 1, &whole);
    assert_true(got >= 0);
    out[got] = '\0';
    assert_string_equal(out, want);
}

static int events(struct shs_request *req, struct shs_response *res)
{
    size_t before;

    (void)req;
    SHS_RETURN_IF_ERROR(shs_sse_start(res));
    client_reads("");
    h1_has(&lab, "\r\nContent-Encoding: ");
    SHS_RETURN_IF_ERROR(shs_sse_send(res, NULL, NULL, "one"));
    client_reads("data: one\n\n");
    SHS_RETURN_IF_ERROR(shs_sse_send(res, "e", "7", "two"));
    client_reads("data: one\n\nevent: e\nid: 7\ndata: two\n\n");
    before = lab.got.len;
    SHS_RETURN_IF_ERROR(shs_flush(res)); /* there is nothing to let out */
    h1_lab_receive(&lab);
    assert_int_equal(lab.got.len, before);
    return SHS_OK;
}

/* What a source gave is coded on its way: the log has what was sent. */
static void the_log_has_what_was_sent(void **state)
{
    static const char request[] = "GET / HTTP/1.1\r\nHost: a\r\nAccept-Encoding: gzip\r\n\r\n";
    struct shs_compress *self = NULL;
    size_t sent = 0, piece;
    const char *at;

    (void)state;
    if (!can("gzip"))
        skip();
    set_up(SOURCE, 70000);
    assert_int_equal(shs_compress_new(&self, &sayer, NULL, NULL), SHS_OK);
    h1_lab_open(&lab, shs_compress_handler(self));
    h1_lab_talk(&lab, request, sizeof request - 1);
    for (at = h1_body(&lab); (piece = strtoul(at, NULL, 16)) > 0; sent += piece)
        at = strstr(at, "\r\n") + 2 + piece + 2;
    assert_true(sent > 0 && sent < 70000);
    assert_int_equal(lab.last_bytes, sent);
    h1_lab_close(&lab);
    shs_compress_free(self);
}

static void events_arrive_at_once(void **state)
{
    static const char *const codings[] = {"gzip", "zstd"};
    struct shs_compress *self = NULL;
    char request[200];

    (void)state;
    for (size_t i = 0; i < SHS_ARRAY_LEN(codings); i++) {
        if (!can(codings[i]))
            continue;
        coding_of_events = codings[i];
        assert_int_equal(shs_compress_new(&self, H1_HANDLER(events), NULL, NULL), SHS_OK);
        snprintf(request, sizeof request,
                 "GET / HTTP/1.1\r\nHost: a\r\nAccept-Encoding: %s\r\n\r\n", codings[i]);
        h1_lab_open(&lab, shs_compress_handler(self));
        h1_lab_talk(&lab, request, strlen(request));
        assert_int_equal(lab.last_status, 200);
        assert_string_equal(lab.last_error, "");
        client_reads("data: one\n\nevent: e\nid: 7\ndata: two\n\n");
        assert_int_equal(lab.last_bytes, coded_len); /* what was sent is logged */
        h1_lab_close(&lab);
        shs_compress_free(self);
    }
}

/* -- what else can happen ---------------------------------------------------------------------- */

#define GZIP "GET / HTTP/1.1\r\nHost: a\r\nAccept-Encoding: gzip\r\n\r\n"

static int fails_late(struct shs_request *req, struct shs_response *res)
{
    SHS_RETURN_IF_ERROR(say(req, res));
    return SHS_IO;
}

static int errs(struct shs_request *req, struct shs_response *res)
{
    SHS_RETURN_IF_ERROR(say(req, res));
    return shs_send_page(res, 502, "Somebody else is away.");
}

static void failures(void **state)
{
    struct shs_compress *self = NULL;

    (void)state;
    for (int way = WRITES; way <= SOURCE; way += SOURCE - WRITES) {
        set_up((enum way)way, 100000);
        assert_int_equal(shs_compress_new(&self, H1_HANDLER(fails_late), NULL, NULL), SHS_OK);
        h1_lab_open(&lab, shs_compress_handler(self));
        h1_lab_talk(&lab, GZIP, strlen(GZIP));
        assert_int_equal(lab.last_status, way == WRITES ? 200 : 500);
        h1_has_not(&lab, "\r\n0\r\n\r\n"); /* cut, so that it is seen */
        h1_lab_close(&lab);
        shs_compress_free(self);
    }
    set_up(SOURCE, 100000);
    assert_int_equal(shs_compress_new(&self, H1_HANDLER(errs), NULL, NULL), SHS_OK);
    h1_lab_open(&lab, shs_compress_handler(self));
    h1_lab_talk(&lab, GZIP, strlen(GZIP));
    assert_int_equal(lab.last_status, 502);
    h1_has(&lab, "Somebody else is away.");
    h1_lab_close(&lab);
    /* Twice in a chain: the outer one does it. */
    set_up(SOURCE, 100000);
    if (can("gzip")) {
        struct shs_compress *outer = NULL;

        assert_int_equal(shs_compress_new(&outer, shs_compress_handler(compressor), NULL, NULL),
                         SHS_OK);
        h1_lab_open(&lab, shs_compress_handler(outer));
        h1_lab_talk(&lab, GZIP, strlen(GZIP));
        assert_int_equal(h1_count(&lab, "\r\nContent-Encoding: gzip\r\n"), 1);
        assert_int_equal(lab.last_status, 200);
        h1_lab_close(&lab);
        shs_compress_free(outer);
    }
    shs_compress_free(self);
}

/* An old client sees the end of the body by the end of the connection. */
static void http_1_0(void **state)
{
    (void)state;
    if (!can("gzip"))
        return;
    set_up(SOURCE, 100000);
    h1_lab_open(&lab, shs_compress_handler(compressor));
    h1_lab_talk(&lab, "GET / HTTP/1.0\r\nAccept-Encoding: gzip\r\n\r\n", 41);
    h1_has(&lab, "\r\nContent-Encoding: gzip\r\n");
    h1_has(&lab, "\r\nConnection: close\r\n");
    h1_has_not(&lab, "Transfer-Encoding");
    h1_has_not(&lab, "Content-Length");
    assert_memory_equal(h1_body(&lab), "\x1f\x8b", 2);
    h1_lab_close(&lab);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_way_can_be_decoded),
        cmocka_unit_test(head_says_what_get_would),
        cmocka_unit_test(what_may_not_change_stays),
        cmocka_unit_test(a_wrong_length_is_told),
        cmocka_unit_test(beyond_the_bounds_it_stays),
        cmocka_unit_test(a_coder_takes_what_is_counted),
        cmocka_unit_test(events_arrive_at_once),
        cmocka_unit_test(the_log_has_what_was_sent),
        cmocka_unit_test(failures),
        cmocka_unit_test(http_1_0),
    };
    int failed;

    make_content();
    if (shs_compress_new(&compressor, &sayer, NULL, NULL) != SHS_OK)
        return 1;
    failed = cmocka_run_group_tests(tests, NULL, NULL);
    shs_compress_free(compressor);
    return failed;
}
