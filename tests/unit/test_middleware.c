/* test_middleware.c - each middleware of the library, in a chain and as a handler. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include <shs/conditional.h>
#include <shs/middleware.h>
#include <shs/router.h>

#include "h1_expect.h"

static struct h1_lab lab;
static char page[2000];

static int pages(struct shs_request *req, struct shs_response *res)
{
    struct shs_str user = shs_request_user(req);

    SHS_RETURN_IF_ERROR(shs_send_response(res, 200));
    SHS_RETURN_IF_ERROR(shs_send_header(res, "Content-Type", "text/plain; charset=utf-8"));
    SHS_RETURN_IF_ERROR(shs_send_header(res, "ETag", "\"tag\""));
    if (user.ptr != NULL)
        SHS_RETURN_IF_ERROR(shs_send_header_str(res, "X-User", user));
    return shs_write(res, page, sizeof page);
}

static const struct shs_http_handler files = {.name = "pages", .do_GET = pages, .do_POST = pages};

/* One request to the handler behind these links. */
static void ask(const struct shs_middleware *const *links, const struct shs_http_handler *handler,
                const char *request)
{
    struct shs_chain *chain;

    memset(page, 'p', sizeof page);
    assert_int_equal(shs_chain_new(&chain, links, handler, NULL), SHS_OK);
    h1_lab_open(&lab, shs_chain_handler(chain));
    h1_lab_talk(&lab, request, strlen(request));
    shs_chain_free(chain);
}

#define ASK(link, handler, request)                                                                \
    do {                                                                                           \
        const struct shs_middleware link_ = (link);                                                \
        const struct shs_middleware *const list_[] = {&link_, NULL};                               \
                                                                                                   \
        ask(list_, (handler), (request));                                                          \
    } while (0)
#define GET_WITH(fields) "GET / HTTP/1.1\r\nHost: a\r\n" fields "\r\n"
#define GET GET_WITH("")

/* -- options that nobody initialised ----------------------------------------------------------- */

static void test_options_without_a_size(void **state)
{
    struct shs_access_log_options log_options = {.style = SHS_ACCESS_JSON};
    struct shs_rate_options rate_options = {.burst = 3};
    struct shs_compress_options compress_options = {.max_whole = 1};
    struct shs_access_log *log = NULL;
    struct shs_rate_limit *rate = NULL;
    struct shs_compress *compress = NULL;

    (void)state;
    assert_int_equal(shs_access_log_new(&log, &files, 1, &log_options, NULL), SHS_USAGE);
    assert_int_equal(shs_rate_limit_new(&rate, &files, &rate_options, NULL), SHS_USAGE);
    assert_int_equal(shs_compress_new(&compress, &files, &compress_options, NULL), SHS_USAGE);
    assert_true(log == NULL && rate == NULL && compress == NULL);
}

/* -- the small ones ---------------------------------------------------------------------------- */

static void test_limits(void **state)
{
    static const uint64_t max = 3;

    (void)state;
    ASK(shs_body_limit_middleware(&max), &files,
        "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\nabc");
    assert_int_equal(lab.last_status, 200);
    h1_lab_close(&lab);
    ASK(shs_body_limit_middleware(&max), &files,
        "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\n\r\nabcd");
    assert_int_equal(lab.last_status, 413);
    h1_lab_close(&lab);
}

static int slow(struct shs_request *req, struct shs_response *res)
{
    SHS_RETURN_IF_ERROR(shs_send_response(res, 200));
    if (shs_request_query(req).ptr != NULL)
        SHS_RETURN_IF_ERROR(shs_flush(res));
    while (shs_now_ns() < shs_request_deadline(req))
        continue;
    return SHS_OK;
}

static const struct shs_http_handler slow_handler = {.name = "slow", .do_GET = slow};

static void test_time(void **state)
{
    static const unsigned ms = 1, long_ms = 60000;

    (void)state;
    ASK(shs_time_limit_middleware(&ms), &slow_handler, GET);
    assert_int_equal(lab.last_status, 503);
    h1_lab_close(&lab);
    ASK(shs_time_limit_middleware(&ms), &slow_handler, "GET /?x HTTP/1.1\r\nHost: a\r\n\r\n");
    assert_int_equal(lab.last_status, 200); /* it has left */
    h1_lab_close(&lab);
    ASK(shs_time_limit_middleware(&long_ms), &files, GET);
    assert_int_equal(lab.last_status, 200);
    h1_lab_close(&lab);
}

static void test_security(void **state)
{
    static const struct shs_security_fields own = {.referrer_policy = "same-origin",
                                                   .permissions_policy = ""};

    (void)state;
    ASK(shs_security_middleware(NULL), &files, GET);
    h1_has(&lab, "\r\nContent-Security-Policy: default-src 'self'; ");
    h1_has(&lab, "\r\nReferrer-Policy: no-referrer\r\n");
    h1_has(&lab, "\r\nPermissions-Policy: camera=()");
    h1_has(&lab, "\r\nX-Content-Type-Options: nosniff\r\n");
    h1_has_not(&lab, "Strict-Transport-Security"); /* there is no TLS */
    h1_lab_close(&lab);
    ASK(shs_security_middleware(&own), &files, "DELETE / HTTP/1.1\r\nHost: a\r\n\r\n");
    assert_int_equal(lab.last_status, 501); /* on an error's answer, too */
    h1_has(&lab, "<h1>501 Not Implemented</h1>");
    h1_has_not(&lab, "style="); /* which the policy would refuse, and report */
    h1_has(&lab, "\r\nReferrer-Policy: same-origin\r\n");
    h1_has(&lab, "\r\nX-Content-Type-Options: nosniff\r\n");
    h1_has_not(&lab, "Permissions-Policy");
    h1_lab_close(&lab);
}

static int fails(struct shs_request *req, struct shs_response *res)
{
    SHS_RETURN_IF_ERROR(shs_send_response(res, 200));
    SHS_RETURN_IF_ERROR(shs_write(res, "half", 4));
    if (shs_request_query(req).ptr != NULL)
        SHS_RETURN_IF_ERROR(shs_flush(res));
    return SHS_IO;
}

static const struct shs_http_handler fails_handler = {.name = "fails", .do_GET = fails};

static void test_errors(void **state)
{
    static const struct shs_error_answer table[] = {
        {SHS_TIMEOUT, 504, NULL}, {SHS_IO, 502, "The store is away."}, {0, 0, NULL}};
    static const struct shs_error_answer other[] = {{SHS_TIMEOUT, 504, NULL}, {0, 0, NULL}};

    (void)state;
    ASK(shs_error_map_middleware(table), &fails_handler, GET);
    assert_int_equal(lab.last_status, 502);
    h1_has(&lab, "The store is away.");
    h1_has_not(&lab, "half");
    h1_has_not(&lab, "Connection: close");
    assert_int_equal(lab.fail_code, 0);
    h1_lab_close(&lab);
    ASK(shs_error_map_middleware(other), &fails_handler, GET);
    assert_int_equal(lab.last_status, 500);
    h1_lab_close(&lab);
    ASK(shs_error_map_middleware(table), &fails_handler, "GET /?x HTTP/1.1\r\nHost: a\r\n\r\n");
    h1_has(&lab, "HTTP/1.1 200 ");
    h1_has_not(&lab, "\r\n0\r\n\r\n"); /* cut, so that it is seen */
    h1_lab_close(&lab);
}

/* -- compression ------------------------------------------------------------------------------- */

static int no_transform(struct shs_request *req, struct shs_response *res)
{
    SHS_RETURN_IF_ERROR(shs_send_response(res, 200));
    if (shs_request_query(req).ptr != NULL)
        SHS_RETURN_IF_ERROR(shs_send_header(res, "Content-Type", "image/png"));
    else
        SHS_RETURN_IF_ERROR(shs_send_header(res, "Content-Type", "text/plain"));
    SHS_RETURN_IF_ERROR(shs_send_header(res, "Cache-Control", "no-transform"));
    return shs_write(res, page, sizeof page);
}

static int small(struct shs_request *req, struct shs_response *res)
{
    (void)req;
    SHS_RETURN_IF_ERROR(shs_send_response(res, 200));
    SHS_RETURN_IF_ERROR(shs_send_header(res, "Content-Type", "text/plain"));
    SHS_RETURN_IF_ERROR(shs_send_length(res, 511));
    return shs_write(res, page, 511);
}

static int fixed_length(struct shs_request *req, struct shs_response *res)
{
    (void)req;
    SHS_RETURN_IF_ERROR(shs_send_response(res, 200));
    SHS_RETURN_IF_ERROR(shs_send_header(res, "Content-Type", "text/plain"));
    SHS_RETURN_IF_ERROR(shs_send_length(res, sizeof page));
    return shs_write(res, page, sizeof page);
}

/* Parts of the bytes as they are, and an answer without a body. */
static int with_status(struct shs_request *req, struct shs_response *res)
{
    struct shs_str query = shs_request_query(req);
    int status = shs_str_is(query, "206") ? 206 : 304;

    SHS_RETURN_IF_ERROR(shs_send_response(res, status));
    SHS_RETURN_IF_ERROR(shs_send_header(res, "Content-Type", "text/plain"));
    return status == 206 ? shs_write(res, page, sizeof page) : SHS_OK;
}

static void test_compression(void **state)
{
    struct shs_compress *self = NULL;

    (void)state;
    assert_int_equal(shs_compress_new(&self, NULL, NULL, NULL), SHS_OK);
#ifdef SHS_HAVE_ZLIB
    ASK(*shs_compress_middleware(self), &files, GET_WITH("Accept-Encoding: gzip\r\n"));
    h1_has(&lab, "\r\nContent-Encoding: gzip\r\n");
    h1_has(&lab, "\r\nVary: Accept-Encoding\r\n");
    h1_has(&lab, "\r\nETag: W/\"tag\"\r\n");
    assert_memory_equal(h1_body(&lab), "\x1f\x8b", 2);
    assert_true(lab.last_bytes < 100);
    h1_lab_close(&lab);
    ASK(*shs_compress_middleware(self), H1_HANDLER(fixed_length),
        GET_WITH("Accept-Encoding: gzip\r\n"));
    h1_has(&lab, "\r\nContent-Encoding: gzip\r\n");
    assert_int_equal(h1_count(&lab, "\r\nContent-Length: "), 1);
    assert_int_equal(lab.last_status, 200);
    h1_lab_close(&lab);
#endif
    ASK(*shs_compress_middleware(self), &files, GET);
    h1_has_not(&lab, "Content-Encoding");
    h1_has(&lab, "\r\nVary: Accept-Encoding\r\n");
    h1_has(&lab, "\r\nETag: \"tag\"\r\n");
    h1_lab_close(&lab);
    ASK(*shs_compress_middleware(self), &files, GET_WITH("Accept-Encoding: gzip;q=0\r\n"));
    h1_has_not(&lab, "Content-Encoding");
    h1_lab_close(&lab);
    ASK(*shs_compress_middleware(self), H1_HANDLER(no_transform),
        GET_WITH("Accept-Encoding: gzip\r\n"));
    h1_has_not(&lab, "Content-Encoding");
    h1_lab_close(&lab);
    ASK(*shs_compress_middleware(self), H1_HANDLER(with_status),
        "GET /?206 HTTP/1.1\r\nHost: a\r\nAccept-Encoding: gzip\r\n\r\n");
    h1_has(&lab, "HTTP/1.1 206 ");
    h1_has_not(&lab, "Content-Encoding");
    h1_lab_close(&lab);
    ASK(*shs_compress_middleware(self), H1_HANDLER(with_status),
        "GET /?304 HTTP/1.1\r\nHost: a\r\nAccept-Encoding: gzip\r\n\r\n");
    h1_has(&lab, "HTTP/1.1 304 ");
    h1_has(&lab, "\r\nVary: Accept-Encoding\r\n");
    h1_lab_close(&lab);
    ASK(*shs_compress_middleware(self), H1_HANDLER(small), GET_WITH("Accept-Encoding: gzip\r\n"));
    h1_has_not(&lab, "Content-Encoding");
    h1_lab_close(&lab);
    shs_compress_free(self);
    shs_compress_free(NULL);
}

#if defined SHS_HAVE_ZLIB || defined SHS_HAVE_ZSTD
/* A handler that goes by tags, as shs/conditional.h shows it. */
static int tagged(struct shs_request *req, struct shs_response *res)
{
    bool go_on;

    SHS_RETURN_IF_ERROR(shs_check_conditions(req, res, "\"7\"", 1700000000, &go_on));
    if (!go_on)
        return SHS_OK;
    SHS_RETURN_IF_ERROR(shs_response_stand(res, "ETag", "\"7\""));
    SHS_RETURN_IF_ERROR(shs_send_response(res, 200));
    SHS_RETURN_IF_ERROR(shs_send_header(res, "Content-Type", "text/plain"));
    return shs_write(res, page, sizeof page);
}

/* RFC 9110 section 15.4.5: a 304 has the tag that the 200 would have had. */
static void test_tags_of_a_304(void **state)
{
#define CODED "Accept-Encoding: gzip, zstd\r\n"
    static const struct {
        const char *request;
        int status;
        const char *tag;
    } rows[] = {
        {GET_WITH(CODED), 200, "W/\"7\""},
        {GET, 200, "\"7\""},
        {GET_WITH(CODED "If-None-Match: W/\"7\"\r\n"), 304, "W/\"7\""},
        {GET_WITH(CODED "If-None-Match: \"6\", W/\"7\"\r\n"), 304, "W/\"7\""},
        {GET_WITH(CODED "If-None-Match: \"6\"\r\nIf-None-Match: W/\"7\"\r\n"), 304, "W/\"7\""},
        {GET_WITH(CODED "If-None-Match: *\r\n"), 304, "W/\"7\""},
        {GET_WITH(CODED "If-Modified-Since: Tue, 14 Nov 2023 22:13:20 GMT\r\n"), 304, "W/\"7\""},
        {GET_WITH(CODED "If-None-Match: W/\"6\", \"7\"\r\n"), 304, "\"7\""}, /* it was short */
        {GET_WITH("If-None-Match: W/\"7\"\r\n"), 304, "\"7\""},
        {GET_WITH("Accept-Encoding: identity\r\nIf-None-Match: W/\"7\"\r\n"), 304, "\"7\""},
        {GET_WITH(CODED "If-None-Match: W/\"6\"\r\n"), 200, "W/\"7\""},
    };
    struct shs_compress *self = NULL;
    char line[64];

    (void)state;
    assert_int_equal(shs_compress_new(&self, NULL, NULL, NULL), SHS_OK);
    for (size_t i = 0; i < SHS_ARRAY_LEN(rows); i++) {
        ASK(*shs_compress_middleware(self), H1_HANDLER(tagged), rows[i].request);
        snprintf(line, sizeof line, "\r\nETag: %s\r\n", rows[i].tag);
        if (lab.last_status != rows[i].status || h1_count(&lab, line) != 1 ||
            h1_count(&lab, "\r\nVary: Accept-Encoding\r\n") != 1)
            fail_msg("row %zu: %s", i, h1_lab_text(&lab));
        h1_lab_close(&lab);
    }
    shs_compress_free(self);
}
#endif

/* -- Bearer ------------------------------------------------------------------------------------ */

/* printf %s sesame | sha256sum */
#define SESAME "d0c04f4b1951e4aeaaec8223ed2039e542f3aae805a6fa7f6d794e5afff5d272"

static int verify(void *ctx, struct shs_request *req, struct shs_str token, struct shs_str *user)
{
    (void)req;
    ++*(unsigned *)ctx;
    if (shs_str_is(token, "broken"))
        return SHS_IO;
    user->ptr = shs_str_is(token, "from.elsewhere") ? "else" : NULL;
    user->len = 4;
    return SHS_OK;
}

static void bearer(const struct shs_bearer *self, const char *fields, int status, const char *has)
{
    char request[5000];

    snprintf(request, sizeof request, "GET / HTTP/1.1\r\nHost: a\r\n%s\r\n", fields);
    h1_lab_open(&lab, shs_bearer_handler(self));
    h1_lab_talk(&lab, request, strlen(request));
    if (lab.last_status != status)
        fail_msg("%s: %d", fields, lab.last_status);
    h1_has(&lab, has);
    h1_lab_close(&lab);
}

static void test_bearer(void **state)
{
    const struct shs_bearer_token tokens[] = {{SESAME, "ali"}, {NULL, NULL}};
    const struct shs_bearer_token bad[] = {{SESAME "0", "ali"}, {NULL, NULL}};
    struct shs_bearer *self = NULL;
    unsigned calls = 0;

    (void)state;
    assert_int_equal(shs_bearer_new(&self, &files, bad, NULL, NULL, "r", NULL), SHS_USAGE);
    assert_int_equal(shs_bearer_new(&self, &files, NULL, NULL, NULL, "r", NULL), SHS_USAGE);
    assert_int_equal(shs_bearer_new(&self, &files, tokens, NULL, NULL, "a\"b", NULL), SHS_USAGE);
    assert_int_equal(shs_bearer_new(&self, &files, tokens, verify, &calls, "r", NULL), SHS_OK);
    bearer(self, "", 401, "\r\nWWW-Authenticate: Bearer realm=\"r\"\r\n");
    bearer(self, "Authorization: Basic c2VzYW1l\r\n", 401, "Bearer realm=\"r\"\r\n");
    bearer(self, "Authorization: Bearer sesame\r\n", 200, "\r\nX-User: ali\r\n");
    bearer(self, "Authorization: bEARER  sesame\r\n", 200, "\r\nX-User: ali\r\n");
    assert_int_equal(calls, 0);
    bearer(self, "Authorization: Bearer Sesame\r\n", 401, "error=\"invalid_token\"");
    bearer(self, "Authorization: Bearer from.elsewhere\r\n", 200, "\r\nX-User: else\r\n");
    bearer(self, "Authorization: Bearer broken\r\n", 500, "HTTP/1.1 500");
    assert_int_equal(calls, 3);
    bearer(self, "Authorization: Bearer:sesame\r\n", 401, "Bearer realm=\"r\"\r\n");
    bearer(self, "Authorization: Digest sesame\r\n", 401, "Bearer realm=\"r\"\r\n");
    bearer(self, "Authorization: Bearer\r\n", 401, "Bearer realm=\"r\"\r\n");
    assert_int_equal(calls, 3);
    bearer(self, "Authorization: Bearer x\r\n", 401, "invalid_token");
    assert_int_equal(calls, 4); /* one letter is a token */
    calls = 3;
    bearer(self, "Authorization: Bearer sesame x\r\n", 401, "invalid_token");
    bearer(self, "Authorization: Bearer a=b\r\n", 401, "invalid_token");
    bearer(self, "Authorization: Bearer sesame\r\nAuthorization: Bearer sesame\r\n", 401, "realm");
    assert_int_equal(calls, 3);
    shs_bearer_free(self);
    shs_bearer_free(NULL);
}

/* As many tokens, and as long ones, as there may be; and one more. */
static void test_bearer_bounds(void **state)
{
    static struct shs_bearer_token tokens[10002];
    struct shs_bearer_token one[] = {{SESAME, NULL}, {NULL, NULL}};
    char field[4200] = "Authorization: Bearer ", realm[102], digest[] = SESAME;
    const size_t name = strlen(field);
    struct shs_bearer *self = NULL;
    unsigned calls = 0;

    (void)state;
    for (size_t i = 0; i < 10001; i++)
        tokens[i].sha256 = SESAME;
    assert_int_equal(shs_bearer_new(&self, &files, tokens, NULL, NULL, "r", NULL), SHS_USAGE);
    tokens[10000].sha256 = NULL;
    assert_int_equal(shs_bearer_new(&self, &files, tokens, NULL, NULL, "r", NULL), SHS_OK);
    shs_bearer_free(self);
    one[0].sha256 = digest;
    for (size_t at = 0; at < 2; at++) {
        digest[at] = 'g';
        assert_int_equal(shs_bearer_new(&self, &files, one, NULL, NULL, "r", NULL), SHS_USAGE);
        digest[at] = SESAME[at];
    }
    memset(realm, 'x', sizeof realm - 1);
    realm[101] = '\0';
    assert_int_equal(shs_bearer_new(&self, &files, one, NULL, NULL, realm, NULL), SHS_USAGE);
    assert_int_equal(shs_bearer_new(&self, &files, one, NULL, NULL, "a\nb", NULL), SHS_USAGE);
    assert_int_equal(shs_bearer_new(&self, &files, one, NULL, NULL, realm + 1, NULL), SHS_OK);
    shs_bearer_free(self);
    assert_int_equal(shs_bearer_new(&self, &files, NULL, verify, &calls, "r", NULL), SHS_OK);
    memset(field + name, 'x', 4097);
    memcpy(field + name + 4096, "\r\n", 3);
    bearer(self, field, 401, "invalid_token");
    assert_int_equal(calls, 1);
    memcpy(field + name + 4096, "x\r\n", 4);
    bearer(self, field, 401, "invalid_token");
    assert_int_equal(calls, 1); /* nobody is asked */
    shs_bearer_free(self);
}

/* -- rate limits ------------------------------------------------------------------------------- */

static struct shs_str key_of(void *ctx, struct shs_request *req)
{
    struct shs_str key = {NULL, 0};

    (void)ctx;
    (void)shs_request_header(req, "X-Key", &key);
    return key;
}

static int status_of(const struct shs_rate_limit *self, const char *key)
{
    char request[200];

    snprintf(request, sizeof request, "GET / HTTP/1.1\r\nHost: a\r\n%s%s\r\n\r\n",
             key == NULL ? "X: y" : "X-Key: ", key == NULL ? "" : key);
    h1_lab_open(&lab, shs_rate_limit_handler(self));
    h1_lab_talk(&lab, request, strlen(request));
    if (lab.last_status == 429) {
        h1_has(&lab, "\r\nRetry-After: 60\r\n");
        h1_has_not(&lab, "Connection: close");
    }
    h1_lab_close(&lab);
    return lab.last_status;
}

static void test_rate_bounds(void **state)
{
    static const struct {
        unsigned burst, per_minute;
        size_t max_keys;
        int rc;
    } cases[] = {
        {1, 1, 1, SHS_OK},    {1000000, 60000000, 1, SHS_OK},
        {0, 1, 1, SHS_USAGE}, {1000001, 1, 1, SHS_USAGE},
        {1, 0, 1, SHS_USAGE}, {1, 60000001, 1, SHS_USAGE},
        {1, 1, 0, SHS_USAGE}, {1, 1, ((size_t)1 << 24) + 1, SHS_USAGE},
    };

    (void)state;
    for (size_t i = 0; i < SHS_ARRAY_LEN(cases); i++) {
        struct shs_rate_limit *self = NULL;
        struct shs_rate_options opt;

        shs_rate_options_init(&opt);
        opt.burst = cases[i].burst;
        opt.per_minute = cases[i].per_minute;
        opt.max_keys = cases[i].max_keys;
        if (shs_rate_limit_new(&self, &files, &opt, NULL) != cases[i].rc)
            fail_msg("case %zu", i);
        shs_rate_limit_free(self);
    }
}

static void test_rate(void **state)
{
    struct shs_rate_options opt;
    struct shs_rate_limit *self = NULL;
    char key[20];

    (void)state;
    shs_rate_options_init(&opt);
    opt.by = SHS_RATE_BY_KEY;
    assert_int_equal(shs_rate_limit_new(&self, &files, &opt, NULL), SHS_USAGE); /* no function */
    opt.key = key_of;
    opt.burst = 0;
    assert_int_equal(shs_rate_limit_new(&self, &files, &opt, NULL), SHS_USAGE);
    opt.burst = 3;
    opt.per_minute = 1;
    opt.max_keys = 64;
    assert_int_equal(shs_rate_limit_new(&self, &files, &opt, NULL), SHS_OK);
    for (unsigned i = 0; i < 3; i++)
        assert_int_equal(status_of(self, "a"), 200);
    assert_int_equal(status_of(self, "a"), 429);
    assert_int_equal(status_of(self, "a"), 429); /* and that costs nothing more */
    assert_int_equal(status_of(self, "b"), 200);
    assert_int_equal(status_of(self, NULL), 200); /* not counted */
    for (unsigned i = 0; i < 10; i++)
        assert_int_equal(status_of(self, NULL), 200);
    for (unsigned i = 0; i < 1000; i++) { /* far more than have a place */
        snprintf(key, sizeof key, "k%u", i);
        assert_int_equal(status_of(self, key), 200);
    }
    shs_rate_limit_free(self);
    /* Tokens come back: a hundred thousand a second. */
    opt.by = SHS_RATE_BY_ADDRESS;
    opt.burst = 1;
    opt.per_minute = 6000000;
    assert_int_equal(shs_rate_limit_new(&self, &files, &opt, NULL), SHS_OK);
    assert_int_equal(status_of(self, "a"), 200);
    for (int64_t until = shs_now_ns() + 10000; shs_now_ns() < until;)
        continue;
    assert_int_equal(status_of(self, "a"), 200);
    shs_rate_limit_free(self);
    shs_rate_limit_free(NULL);
}

/* -- CORS behind a router: the preflight asks for what the path has --------------------------- */

static void test_cors_in_a_chain(void **state)
{
    struct shs_cors *cors = NULL;
    struct shs_router *router = NULL;

    (void)state;
    assert_int_equal(shs_cors_new(&cors, NULL, "https://app.example", NULL), SHS_OK);
    const struct shs_middleware *const chain[] = {shs_cors_middleware(cors), NULL};
    const struct shs_route inner[] = {SHS_ROUTE("GET", "/x", pages), SHS_ROUTE("PUT", "/x", pages),
                                      SHS_ROUTES_END};
    const struct shs_route routes[] = {SHS_GROUP("", inner, chain), SHS_ROUTES_END};

    assert_int_equal(shs_router_new(&router, routes, NULL, NULL), SHS_OK);
    for (unsigned i = 0; i < 2; i++) {
        char request[300];

        snprintf(request, sizeof request,
                 "OPTIONS /x HTTP/1.1\r\nHost: a\r\nOrigin: https://app.example\r\n"
                 "Access-Control-Request-Method: %s\r\n\r\n",
                 i == 0 ? "PUT" : "DELETE");
        h1_lab_open(&lab, shs_router_handler(router));
        h1_lab_talk(&lab, request, strlen(request));
        assert_int_equal(lab.last_status, 204);
        h1_has(&lab, "\r\nAccess-Control-Allow-Origin: https://app.example\r\n");
        assert_int_equal(h1_count(&lab, "\r\nAccess-Control-Allow-Methods: PUT\r\n"), i == 0);
        h1_has_not(&lab, "Allow-Methods: DELETE");
        h1_lab_close(&lab);
    }
    shs_router_free(router);
    shs_cors_free(cors);
}

/* -- a line of an access log ------------------------------------------------------------------ */

static char line[SHS_ACCESS_LINE_MAX + 1];

static void log_line(void *log_ctx, const struct shs_access *access)
{
    size_t len = 0;

    assert_int_equal(
        shs_access_line(access, *(enum shs_access_style *)log_ctx, line, sizeof line - 1, &len),
        SHS_OK);
    line[len] = '\0';
    assert_int_equal(shs_access_line(access, SHS_ACCESS_JSON, line, len / 4, &len), SHS_LIMIT);
}

static void test_access_line(void **state)
{
    enum shs_access_style style = SHS_ACCESS_COMBINED;
    struct shs_access access = {
        .request_line = SHS_STR("GET /\xc3\x84\xc2\x9b\xff HTTP/1.1"),
        .status = 200,
        .body_bytes = 5,
    };

    (void)state;
    log_line(&style, &access);
    assert_non_null(strstr(line, "] \"GET /\xc3\x84\\xc2\\x9b\\xff HTTP/1.1\" 200 5 \"-\" \"-\""));
}

/* -- an access log as a link of a chain, and around everything --------------------------------- */

/* What is in the log by now, after its writer has ended. */
static const char *logged(int fd)
{
    static char text[8192];
    ssize_t n = read(fd, text, sizeof text - 1);

    assert_true(n >= 0);
    text[n] = '\0';
    return text;
}

static int counted; /* the log of the handler itself */

static void count_line(void *log_ctx, const struct shs_access *access)
{
    (void)log_ctx;
    counted += access->status;
}

#define SAYS_T "GET /in/x?%ff HTTP/1.1\r\nHost: a\r\nUser-Agent: t\"\r\n\r\n"

static void test_access_log_in_a_chain(void **state)
{
    struct shs_access_log *log = NULL;
    struct shs_access_log_options opt;
    struct shs_router *router = NULL;
    const char *text;
    uint64_t lost = 9;
    int ends[2];

    (void)state;
    assert_int_equal(pipe(ends), 0);
    shs_access_log_options_init(&opt);
    opt.style = SHS_ACCESS_JSON;
    assert_int_equal(shs_access_log_new(&log, NULL, ends[1], &opt, NULL), SHS_OK);
    const struct shs_middleware *const chain[] = {shs_access_log_middleware(log), NULL};
    const struct shs_route inner[] = {SHS_ROUTE("GET", "/x", pages), SHS_ROUTES_END};
    const struct shs_route routes[] = {SHS_GROUP("/in", inner, chain), SHS_ROUTE("GET", "/", pages),
                                       SHS_ROUTES_END};

    assert_int_equal(shs_router_new(&router, routes, NULL, NULL), SHS_OK);
    h1_lab_open(&lab, shs_router_handler(router));
    h1_lab_talk(&lab, GET, strlen(GET)); /* another route: not in this log */
    h1_lab_talk(&lab, SAYS_T, strlen(SAYS_T));
    h1_lab_close(&lab);
    assert_true(shs_access_log_write(log, "mine", 4));
    assert_int_equal(shs_access_log_stop(log, 60000, &lost), SHS_OK);
    assert_int_equal(lost, 0);
    text = logged(ends[0]);
    assert_memory_equal(text, "{\"time\":\"", 9);
    assert_non_null(strstr(text, "\"target\":\"/in/x?"));
    assert_non_null(strstr(text, ",\"status\":200,\"bytes\":2000,"));
    assert_non_null(strstr(text, "\"user_agent\":\"t\\\"\""));
    assert_non_null(strstr(text, "}\nmine\n"));
    assert_null(strstr(text, "\"target\":\"/\""));
    shs_router_free(router);
    shs_access_log_free(log);
    shs_access_log_free(NULL);
    close(ends[0]);
    close(ends[1]);
}

static void test_access_log_of_a_server(void **state)
{
    struct shs_http_handler counting = files;
    struct shs_access_log *log = NULL;
    const struct shs_http_handler *handler;
    struct shs_access_log_options bad;
    struct shs_access access = {.request_line = SHS_STR("nonsense"), .status = 400};
    struct shs_error err;
    const char *text;
    int ends[2];

    (void)state;
    shs_access_log_options_init(&bad);
    bad.style = (enum shs_access_style)7;
    assert_int_equal(shs_access_log_new(&log, &files, 1, &bad, &err), SHS_USAGE);
    assert_int_equal(pipe(ends), 0);
    counting.log_request = count_line;
    assert_int_equal(shs_access_log_new(&log, &counting, ends[1], NULL, NULL), SHS_OK);
    handler = shs_access_log_handler(log);
    h1_lab_open(&lab, handler);
    h1_lab_talk(&lab, GET, strlen(GET));
    assert_int_equal(lab.last_status, 200);
    h1_lab_close(&lab);
    handler->log_request(handler->log_ctx, &access); /* as the server does, of what was refused */
    shs_access_log_free(log);
    assert_int_equal(counted, 400); /* and the one inside is not forgotten */
    text = logged(ends[0]);
    assert_non_null(strstr(text, "] \"nonsense\" 400 - \"-\" \"-\"\n"));
    close(ends[0]);
    close(ends[1]);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_options_without_a_size),
        cmocka_unit_test(test_limits),
        cmocka_unit_test(test_time),
        cmocka_unit_test(test_security),
        cmocka_unit_test(test_errors),
        cmocka_unit_test(test_compression),
#if defined SHS_HAVE_ZLIB || defined SHS_HAVE_ZSTD
        cmocka_unit_test(test_tags_of_a_304),
#endif
        cmocka_unit_test(test_bearer),
        cmocka_unit_test(test_bearer_bounds),
        cmocka_unit_test(test_rate_bounds),
        cmocka_unit_test(test_rate),
        cmocka_unit_test(test_cors_in_a_chain),
        cmocka_unit_test(test_access_line),
        cmocka_unit_test(test_access_log_in_a_chain),
        cmocka_unit_test(test_access_log_of_a_server),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
