#include <shs/digest.h>
#include <shs/echo.h>

#include <inttypes.h>
#include <stdio.h>

#include "base/base.h"
#include "base/text.h"
#include "handler/json_answer.h"

/* 100 fields of a 32 KiB head, every byte of them escaped sixfold, and the rest. */
#define ANSWER_MAX ((size_t)256 * 1024)
#define READ_SIZE 16384

/* Reads the body to its end: how long it is, and its digest in hexadecimal. */
static int digest_body(struct shs_request *req, uint64_t *length, char hex[2 * SHS_SHA256_LEN + 1])
{
    unsigned char digest[SHS_SHA256_LEN];
    struct shs_sha256 *sha;
    char data[READ_SIZE];
    size_t got = 0;
    int rc;

    *length = 0;
    rc = shs_sha256_new(&sha);
    if (rc != SHS_OK)
        return rc;
    do {
        rc = shs_request_read(req, data, sizeof data, &got);
        if (rc == SHS_OK && got > 0)
            rc = shs_sha256_update(sha, data, got);
        *length += got;
    } while (rc == SHS_OK && got > 0);
    if (rc == SHS_OK)
        rc = shs_sha256_final(sha, digest);
    shs_sha256_free(sha);
    if (rc != SHS_OK)
        return rc;
    for (size_t i = 0; i < sizeof digest; i++)
        snprintf(hex + 2 * i, 3, "%02x", digest[i]);
    return SHS_OK;
}

static int append_headers(struct shs_buf *out, const struct shs_request *req)
{
    struct shs_str name, value;

    SHS_RETURN_IF_ERROR(shs__buf_append(out, "[", 1));
    for (size_t i = 0; shs_request_header_at(req, i, &name, &value); i++) {
        SHS_RETURN_IF_ERROR(shs__buf_append_str(out, i == 0 ? SHS_STR("[") : SHS_STR(", [")));
        SHS_RETURN_IF_ERROR(shs__json_string(out, name));
        SHS_RETURN_IF_ERROR(shs__buf_append_str(out, SHS_STR(", ")));
        SHS_RETURN_IF_ERROR(shs__json_string(out, value));
        SHS_RETURN_IF_ERROR(shs__buf_append(out, "]", 1));
    }
    return shs__buf_append(out, "]", 1);
}

static int append_answer(struct shs_buf *out, struct shs_request *req)
{
    char hex[2 * SHS_SHA256_LEN + 1];
    uint64_t length;

    SHS_RETURN_IF_ERROR(shs__buf_append_str(out, SHS_STR("{\"method\": ")));
    SHS_RETURN_IF_ERROR(shs__json_string(out, shs_request_method(req)));
    SHS_RETURN_IF_ERROR(shs__buf_append_str(out, SHS_STR(", \"target\": ")));
    SHS_RETURN_IF_ERROR(shs__json_string(out, shs_request_target(req)));
    SHS_RETURN_IF_ERROR(shs__buf_printf(
        out, ", \"version\": \"HTTP/%d.%d\", \"headers\": ", shs_request_version(req) / 10,
        shs_request_version(req) % 10));
    SHS_RETURN_IF_ERROR(append_headers(out, req));
    SHS_RETURN_IF_ERROR(digest_body(req, &length, hex));
    return shs__buf_printf(out, ", \"body_length\": %" PRIu64 ", \"body_sha256\": \"%s\"}\n",
                           length, hex);
}

static int echo_any(struct shs_request *req, struct shs_response *res)
{
    struct shs_buf answer;
    int rc;

    shs__buf_init(&answer, ANSWER_MAX);
    rc = append_answer(&answer, req);
    if (rc == SHS_OK)
        rc = shs__send_json(res, &answer);
    shs__buf_free(&answer);
    return rc;
}

/* HEAD is here because do_any comes after do_GET in the order of its substitutes. */
static const struct shs_http_handler echo_handler = {
    .name = "Echo", .do_HEAD = echo_any, .do_any = echo_any};

const struct shs_http_handler *shs_echo_handler(void)
{
    return &echo_handler;
}
