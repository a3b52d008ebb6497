#include <shs/whoami.h>

#include <inttypes.h>

#include <shs/forwarded.h>
#include <shs/proxy.h>
#include <shs/tls.h>

#include "base/base.h"
#include "base/text.h"
#include "handler/json_answer.h"

/* 256 names of 1 KiB, every byte of them escaped sixfold. */
#define ANSWER_MAX ((size_t)2 * 1024 * 1024)
#define FORWARDED_MAX ((size_t)64 * 1024)

/* "key": "text", */
static int append_member(struct shs_buf *out, const char *key, struct shs_str value)
{
    SHS_RETURN_IF_ERROR(shs__buf_printf(out, "\"%s\": ", key));
    SHS_RETURN_IF_ERROR(shs__json_string(out, value));
    return shs__buf_append(out, ", ", 2);
}

static struct shs_str or_null(const char *text)
{
    return text[0] == '\0' ? shs__str(NULL) : shs__str(text);
}

static int append_tls(struct shs_buf *out, struct shs_conn *conn)
{
    struct shs_tls_info tls;

    if (!shs_conn_tls_info(conn, &tls))
        return shs__buf_append_str(out, SHS_STR("null"));
    SHS_RETURN_IF_ERROR(shs__buf_append(out, "{", 1));
    SHS_RETURN_IF_ERROR(append_member(out, "version", shs__str(tls.version)));
    SHS_RETURN_IF_ERROR(append_member(out, "cipher", shs__str(tls.cipher)));
    SHS_RETURN_IF_ERROR(append_member(out, "group", or_null(tls.group)));
    SHS_RETURN_IF_ERROR(append_member(out, "signature", or_null(tls.signature)));
    SHS_RETURN_IF_ERROR(append_member(out, "sni", or_null(tls.sni)));
    SHS_RETURN_IF_ERROR(append_member(out, "alpn", or_null(tls.alpn)));
    SHS_RETURN_IF_ERROR(append_member(out, "ja4", or_null(tls.ja4)));
    SHS_RETURN_IF_ERROR(append_member(
        out, "records", shs__str(tls.stays == SHS_TLS_STAYS_NO ? "direct" : "libssl")));
    SHS_RETURN_IF_ERROR(append_member(out, "records_why", or_null(shs_tls_stays_label(tls.stays))));
    return shs__buf_printf(out, "\"resumed\": %s}", tls.resumed ? "true" : "false");
}

static int append_sans(struct shs_buf *out, const struct shs_client_identity *id)
{
    SHS_RETURN_IF_ERROR(shs__buf_append_str(out, SHS_STR("\"sans\": [")));
    for (size_t i = 0; i < id->san_count; i++) {
        SHS_RETURN_IF_ERROR(shs__buf_printf(out, "%s[\"%s\", ", i == 0 ? "" : ", ",
                                            shs_san_kind_label(id->sans[i].kind)));
        SHS_RETURN_IF_ERROR(shs__json_string(out, id->sans[i].value));
        SHS_RETURN_IF_ERROR(shs__buf_append(out, "]", 1));
    }
    return shs__buf_append_str(out, SHS_STR("], "));
}

static int append_identity(struct shs_buf *out, const struct shs_client_identity *id)
{
    const char *reason;

    if (id == NULL)
        return shs__buf_append_str(out, SHS_STR("null"));
    reason = shs_client_reason_label(id->reason);
    SHS_RETURN_IF_ERROR(shs__buf_printf(out, "{\"verified\": %s, \"verify_code\": %d, ",
                                        id->verified ? "true" : "false", id->verify_code));
    SHS_RETURN_IF_ERROR(append_member(out, "reason", shs__str(reason)));
    SHS_RETURN_IF_ERROR(append_member(out, "subject", id->subject));
    SHS_RETURN_IF_ERROR(append_member(out, "issuer", id->issuer));
    SHS_RETURN_IF_ERROR(append_member(out, "serial", id->serial));
    SHS_RETURN_IF_ERROR(append_member(out, "common_name", id->common_name));
    SHS_RETURN_IF_ERROR(append_member(out, "organization", id->organization));
    SHS_RETURN_IF_ERROR(append_member(out, "spiffe_id", id->spiffe_id));
    SHS_RETURN_IF_ERROR(append_sans(out, id));
    SHS_RETURN_IF_ERROR(append_member(out, "cert_sha256", shs__str(id->cert_sha256)));
    SHS_RETURN_IF_ERROR(append_member(out, "spki_sha256", shs__str(id->spki_sha256)));
    return shs__buf_printf(out, "\"not_before\": %" PRId64 ", \"not_after\": %" PRId64 "}",
                           id->not_before, id->not_after);
}

static int append_forwarded(struct shs_buf *out, struct shs_request *req)
{
    char *text = shs_request_alloc(req, FORWARDED_MAX);

    if (text == NULL ||
        shs_conn_forwarded_client_cert(shs_request_conn(req), text, FORWARDED_MAX) != SHS_OK)
        text = NULL;
    SHS_RETURN_IF_ERROR(shs__buf_append_str(out, SHS_STR(", \"forwarded_client_cert\": ")));
    return shs__json_string(out, shs__str(text));
}

/* What a balancer said in front of the connection. */
static int append_proxy(struct shs_buf *out, const struct shs_proxy_info *info)
{
    SHS_RETURN_IF_ERROR(shs__buf_append_str(out, SHS_STR(", \"proxy\": ")));
    if (info == NULL)
        return shs__buf_append_str(out, SHS_STR("null"));
    SHS_RETURN_IF_ERROR(shs__buf_printf(out, "{\"version\": %u, \"local\": %s, ", info->version,
                                        info->local ? "true" : "false"));
    SHS_RETURN_IF_ERROR(append_member(out, "host", shs__str(info->host)));
    SHS_RETURN_IF_ERROR(shs__buf_printf(out, "\"port\": %u, ", info->port));
    SHS_RETURN_IF_ERROR(append_member(out, "to_host", shs__str(info->to_host)));
    SHS_RETURN_IF_ERROR(shs__buf_printf(out, "\"to_port\": %u, ", info->to_port));
    SHS_RETURN_IF_ERROR(append_member(out, "alpn", info->alpn));
    SHS_RETURN_IF_ERROR(append_member(out, "authority", info->authority));
    SHS_RETURN_IF_ERROR(append_member(out, "unique_id", info->unique_id));
    SHS_RETURN_IF_ERROR(append_member(out, "tls_version", info->tls_version));
    SHS_RETURN_IF_ERROR(append_member(out, "cn", info->common_name));
    return shs__buf_printf(out, "\"tls\": %s, \"cert_verified\": %s}", info->tls ? "true" : "false",
                           info->cert_verified ? "true" : "false");
}

/* What a trusted proxy said in fields. */
static int append_said(struct shs_buf *out, const struct shs_request *req)
{
    struct shs_forwarded_cert cert;

    memset(&cert, 0, sizeof cert);
    SHS_RETURN_IF_ERROR(shs__buf_append_str(out, SHS_STR(", \"forwarded\": ")));
    if (!shs_request_is_forwarded(req))
        return shs__buf_append_str(out, SHS_STR("null"));
    (void)shs_request_forwarded_cert(req, &cert);
    SHS_RETURN_IF_ERROR(shs__buf_append(out, "{", 1));
    SHS_RETURN_IF_ERROR(append_member(out, "client", shs__str(shs_request_client_host(req))));
    SHS_RETURN_IF_ERROR(shs__buf_printf(out, "\"port\": %u, ", shs_request_client_port(req)));
    SHS_RETURN_IF_ERROR(append_member(out, "cert_uri", cert.uri));
    SHS_RETURN_IF_ERROR(append_member(out, "cert_subject", cert.subject));
    SHS_RETURN_IF_ERROR(append_member(out, "cert_hash", cert.hash));
    SHS_RETURN_IF_ERROR(append_member(out, "scheme", shs_request_scheme(req)));
    SHS_RETURN_IF_ERROR(shs__buf_append_str(out, SHS_STR("\"host\": ")));
    SHS_RETURN_IF_ERROR(shs__json_string(out, shs_request_public_host(req)));
    return shs__buf_append(out, "}", 1);
}

static int append_answer(struct shs_buf *out, struct shs_request *req)
{
    struct shs_conn *conn = shs_request_conn(req);

    SHS_RETURN_IF_ERROR(shs__buf_append(out, "{", 1));
    SHS_RETURN_IF_ERROR(append_member(out, "client", shs__str(shs_conn_client_host(conn))));
    SHS_RETURN_IF_ERROR(
        shs__buf_printf(out, "\"port\": %u, \"tls\": ", shs_conn_client_port(conn)));
    SHS_RETURN_IF_ERROR(append_tls(out, conn));
    SHS_RETURN_IF_ERROR(shs__buf_append_str(out, SHS_STR(", \"identity\": ")));
    SHS_RETURN_IF_ERROR(append_identity(out, shs_conn_client_identity(conn)));
    SHS_RETURN_IF_ERROR(append_forwarded(out, req));
    SHS_RETURN_IF_ERROR(append_proxy(out, shs_conn_proxy(conn)));
    SHS_RETURN_IF_ERROR(append_said(out, req));
    return shs__buf_append_str(out, SHS_STR("}\n"));
}

static int whoami_get(struct shs_request *req, struct shs_response *res)
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

static const struct shs_http_handler whoami_handler = {.name = "Whoami", .do_GET = whoami_get};

const struct shs_http_handler *shs_whoami_handler(void)
{
    return &whoami_handler;
}
