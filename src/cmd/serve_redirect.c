#include "cmd/serve_redirect.h"

#include <stdio.h>

#include <shs/forwarded.h>

#include "base/base.h"

#define HTTPS_PORT 443
#define LOCATION_MAX 16384

/* A Host field without its port; an IPv6 address keeps its brackets. */
static struct shs_str without_port(struct shs_str host)
{
    const char *colon = host.len == 0 ? NULL : memrchr(host.ptr, ':', host.len);

    if (colon != NULL && memchr(colon, ']', (size_t)(host.ptr + host.len - colon)) == NULL)
        host.len = (size_t)(colon - host.ptr);
    return host;
}

/* The first one: a Unix socket has none. */
static unsigned port_of(const struct shs_server *server)
{
    unsigned port = 0;

    for (unsigned i = 0; port == 0 && i < shs_server_listener_count(server); i++)
        port = shs_listener_port(shs_server_listener(server, i));
    return port;
}

/* 308: the method and the body stay (RFC 9110 section 15.4.9). */
static int redirect(struct shs_request *req, struct shs_response *res)
{
    struct shs_server *const *target = shs_request_ctx(req);
    struct shs_str host = without_port(shs_request_public_host(req)),
                   path = shs_request_target(req);
    unsigned port = port_of(*target);
    char *location = shs_request_alloc(req, LOCATION_MAX), suffix[16] = "";
    int len;

    if (host.len == 0)
        return shs_send_page(res, 400,
                             "Ask over https: this port only says where to, and that "
                             "takes a Host field.");
    if (path.len == 0 || path.ptr[0] != '/')
        path = shs_request_full_path(req); /* "http://host/path", or "*" */
    if (path.len == 0 || path.ptr[0] != '/')
        path = SHS_STR("/");
    if (port != HTTPS_PORT)
        snprintf(suffix, sizeof suffix, ":%u", port);
    if (location == NULL)
        return SHS_NOMEM;
    len = snprintf(location, LOCATION_MAX, "https://%.*s%s%.*s", (int)host.len, host.ptr, suffix,
                   (int)path.len, path.ptr);
    if (len < 0 || len >= LOCATION_MAX)
        return shs_send_page(res, 414, NULL);
    SHS_RETURN_IF_ERROR(shs_send_response(res, 308));
    SHS_RETURN_IF_ERROR(shs_send_header(res, "Location", location));
    SHS_RETURN_IF_ERROR(shs_send_length(res, 0));
    return shs_end_headers(res);
}

struct shs_http_handler serve_redirect_handler(struct shs_server **target)
{
    return (struct shs_http_handler){
        .name = "Redirect", .do_GET = redirect, .do_any = redirect, .ctx = target};
}
