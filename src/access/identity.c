/*
 * identity.c - who sends a request: certificate, process, user.
 */
#include <stdio.h>
#include <sys/socket.h>

#include <shs/access.h>
#include <shs/forwarded.h>
#include <shs/proxy.h>

#include "base/base.h"
#include "base/text.h"

#ifndef SO_PEERGROUPS
#define SO_PEERGROUPS 59
#endif

void shs_identity_init_sized(struct shs_identity *identity, size_t size)
{
    struct shs_identity defaults = {.size = size};

    shs__sized_init(identity, size, &defaults, sizeof defaults);
}

/* Supplementary groups. Without them a deny of one could not be seen: then they are "cut". */
static void read_groups(int fd, struct shs_identity *out)
{
    gid_t groups[SHS_IDENTITY_GROUPS];
    socklen_t len = sizeof groups;

    if (getsockopt(fd, SOL_SOCKET, SO_PEERGROUPS, groups, &len) != 0) {
        out->group_cut = true;
        return;
    }
    out->group_count = len / sizeof groups[0];
    memcpy(out->groups, groups, out->group_count * sizeof groups[0]);
}

static void read_process(struct shs_conn *conn, struct shs_identity *out)
{
    const struct shs_proxy_info *proxy = shs_conn_proxy(conn);
    int fd = shs_conn_fileno(conn), domain = 0;
    socklen_t len = sizeof domain;
    struct ucred cred;

    if (proxy != NULL && !proxy->local)
        return; /* the process there is a balancer, and the client is somebody else */
    if (fd < 0 || getsockopt(fd, SOL_SOCKET, SO_DOMAIN, &domain, &len) != 0 || domain != AF_UNIX)
        return;
    len = sizeof cred;
    if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &cred, &len) != 0 || len != sizeof cred)
        return;
    out->has_process = true;
    out->uid = cred.uid;
    out->gid = cred.gid;
    out->pid = cred.pid;
    read_groups(fd, out);
}

static bool is_at_unix_socket(const struct shs_conn *conn)
{
    int domain = 0;
    socklen_t len = sizeof domain;

    return getsockopt(shs_conn_fileno(conn), SOL_SOCKET, SO_DOMAIN, &domain, &len) == 0 &&
           domain == AF_UNIX;
}

/* What a proxy says of its client's certificate: the nearest one that speaks HTTP, else a balancer
   that passes bytes on. */
static void read_said(const struct shs_request *req, struct shs_conn *conn,
                      struct shs_identity *out)
{
    const struct shs_proxy_info *proxy = shs_conn_proxy(conn);
    struct shs_forwarded_cert cert;
    bool bad_id;

    if (shs_request_forwarded_cert(req, &cert)) {
        out->via = proxy == NULL && is_at_unix_socket(conn)
                       ? SHS_STR("unix")
                       : shs_str_of(shs_conn_client_host(conn));
        bad_id = cert.uri_count == 1 && shs__is_spiffe(cert.uri) &&
                 !shs__spiffe_is_good(cert.uri, false);
        if (cert.uri_count == 1 && !bad_id)
            out->via_uri = cert.uri;
        if (cert.dns_count == 1)
            out->via_dns = cert.dns;
        out->via_uri_cut = cert.uri_count > 1 || bad_id;
        out->via_dns_cut = cert.dns_count > 1;
        out->via_cert = cert.hash;
    } else if (!shs_request_is_forwarded(req) && proxy != NULL && proxy->cert_verified) {
        out->via = is_at_unix_socket(conn) ? SHS_STR("unix") : shs_str_of(proxy->host);
        out->via_cn = proxy->common_name;
    }
}

void shs_request_identity(const struct shs_request *req, struct shs_identity *out)
{
    struct shs_conn *conn = shs_request_conn(req);

    shs_identity_init(out);
    out->user = shs_request_user(req);
    if (conn == NULL)
        return;
    out->cert = shs_conn_client_identity(conn);
    read_process(conn, out);
    read_said(req, conn, out);
}

/* What tells most of a certificate: its SPIFFE ID, its CN, a name, its key. */
static struct shs_str cert_name(const struct shs_client_identity *cert, const char **kind)
{
    *kind = "uri";
    if (cert->spiffe_id.ptr != NULL)
        return cert->spiffe_id;
    *kind = "cn";
    if (cert->common_name.ptr != NULL)
        return cert->common_name;
    if (cert->san_count > 0) {
        *kind = shs_san_kind_label(cert->sans[0].kind);
        return cert->sans[0].value;
    }
    *kind = "spki";
    return shs_str_of(cert->spki_sha256);
}

/* What a proxy says that tells most; ptr NULL. */
static struct shs_str said_name(const struct shs_identity *id, const char **kind)
{
    const struct {
        const char *kind;
        struct shs_str value;
    } all[] = {{"via-uri", id->via_uri},
               {"via-cn", id->via_cn},
               {"via-dns", id->via_dns},
               {"via-cert", id->via_cert}};

    for (size_t i = 0; i < SHS_ARRAY_LEN(all) && id->via.ptr != NULL; i++) {
        *kind = all[i].kind;
        if (all[i].value.ptr != NULL)
            return all[i].value;
    }
    return (struct shs_str){NULL, 0};
}

static int append_text(struct shs_buf *out, const struct shs_identity *id)
{
    const char *kind = "user", *said = "";
    struct shs_str name = id->user, via = said_name(id, &said);

    if (via.ptr != NULL) {
        kind = said;
        name = via;
    } else if (id->cert != NULL && id->cert->verified)
        name = cert_name(id->cert, &kind);
    else if (id->has_process)
        return shs__buf_printf(out, "uid=%lu", (unsigned long)id->uid);
    if (name.ptr == NULL)
        return shs__buf_append_str(out, SHS_STR("nobody"));
    SHS_RETURN_IF_ERROR(shs__buf_printf(out, "%s=", kind));
    return shs__log_escape(out, name);
}

void shs_identity_text(const struct shs_identity *identity, char *buf, size_t cap)
{
    struct shs_buf out;
    struct shs_str whole;

    if (cap == 0)
        return;
    /* At most 4 bytes of each of a name's. */
    shs__buf_init(&out, (size_t)16 * 1024);
    (void)append_text(&out, identity);
    whole = (struct shs_str){shs__buf_head(&out), out.len};
    whole.len = shs__utf8_cut(whole, cap - 1);
    if (whole.len > 0)
        memcpy(buf, whole.ptr, whole.len);
    buf[whole.len] = '\0';
    shs__buf_free(&out);
}
