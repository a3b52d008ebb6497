#include "cmd/proxy_head.h"

#include <string.h>

#include <shs/forwarded.h>

#include "cmd/proxy_fields.h"

static int add_fields(struct shs_buf *out, const struct shs_request *req)
{
    struct shs_str name, value;
    int rc = SHS_OK;

    for (size_t i = 0; rc == SHS_OK && shs_request_header_at(req, i, &name, &value); i++) {
        if (!proxy_passes_to_server(req, name))
            continue;
        rc = shs__buf_append_str(out, name);
        if (rc == SHS_OK)
            rc = shs__buf_append_str(out, SHS_STR(": "));
        if (rc == SHS_OK)
            rc = shs__buf_append_str(out, value);
        if (rc == SHS_OK)
            rc = shs__buf_append_str(out, SHS_STR("\r\n"));
    }
    return rc;
}

/* For whom it asks: what the server believes, never what a client claims. */
static int add_client(struct shs_buf *out, const struct shs_request *req)
{
    struct shs_str host = shs_request_public_host(req), scheme = shs_request_scheme(req);
    const char *client = shs_request_client_host(req);
    bool six = strchr(client, ':') != NULL;
    bool quotable =
        memchr(host.ptr, '"', host.len) == NULL && memchr(host.ptr, '\\', host.len) == NULL;
    int rc = SHS_OK;

    if (client[0] != '\0')
        rc = shs__buf_printf(out, "X-Forwarded-For: %s\r\n", client);
    if (rc == SHS_OK)
        rc = shs__buf_printf(out, "X-Forwarded-Proto: %.*s\r\nX-Forwarded-Host: %.*s\r\n",
                             (int)scheme.len, scheme.ptr, (int)host.len, host.ptr);
    if (rc == SHS_OK && client[0] != '\0' && client[0] != '/' && quotable)
        rc = shs__buf_printf(out, "Forwarded: for=\"%s%s%s\";proto=%.*s;host=\"%.*s\"\r\n",
                             six ? "[" : "", client, six ? "]" : "", (int)scheme.len, scheme.ptr,
                             (int)host.len, host.ptr);
    return rc;
}

/* "/api/x" as it came; or, where the other server has a path of its own, that and the rest. */
static int add_path(struct shs_buf *out, const struct shs_request *req,
                    const struct proxy_target *target, bool exact)
{
    struct shs_str query = shs_request_query(req), path;
    int rc = SHS_OK;

    if (target->path == NULL) {
        path = shs_request_full_path(req);
    } else {
        path = exact ? SHS_STR("") : shs_request_path(req);
        rc = shs__buf_append_str(out, shs__str(target->path));
        if (rc == SHS_OK && exact && target->path[0] == '\0')
            path = SHS_STR("/");
    }
    if (rc == SHS_OK)
        rc = shs__buf_append_str(out, path);
    if (rc == SHS_OK && query.ptr != NULL)
        rc = shs__buf_append_str(out, SHS_STR("?"));
    if (rc == SHS_OK && query.ptr != NULL)
        rc = shs__buf_append_str(out, query);
    return rc;
}

int proxy_head_make(struct shs_buf *out, struct shs_request *req, const struct proxy_target *target,
                    bool exact)
{
    struct shs_str method = shs_request_method(req), host = shs_request_host(req);
    uint64_t length = 0;
    int rc = shs__buf_printf(out, "%.*s ", (int)method.len, method.ptr);

    if (rc == SHS_OK)
        rc = add_path(out, req, target, exact);
    if (rc == SHS_OK)
        rc = shs__buf_printf(out, " HTTP/1.1\r\nHost: %.*s\r\n", (int)host.len, host.ptr);
    if (rc == SHS_OK)
        rc = add_fields(out, req);
    if (rc == SHS_OK)
        rc = add_client(out, req);
    if (rc == SHS_OK && shs_request_has_body(req, &length))
        rc = length == UINT64_MAX
                 ? shs__buf_append_str(out, SHS_STR("Transfer-Encoding: chunked\r\n"))
                 : shs__buf_printf(out, "Content-Length: %llu\r\n", (unsigned long long)length);
    else if (rc == SHS_OK && shs_request_header(req, "Content-Length", &host))
        rc = shs__buf_append_str(out, SHS_STR("Content-Length: 0\r\n"));
    if (rc == SHS_OK)
        rc = shs__buf_append_str(
            out, SHS_STR("Via: 1.1 " PROXY_PSEUDONYM "\r\nConnection: close\r\n\r\n"));
    return rc;
}
