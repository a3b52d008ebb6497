/*
 * identity.c - who sends a request: certificate, process, user.
 */
#include <stdio.h>
#include <sys/socket.h>

#include <shs/access.h>
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

void shs_request_identity(const struct shs_request *req, struct shs_identity *out)
{
    struct shs_conn *conn = shs_request_conn(req);

    shs_identity_init(out);
    out->user = shs_request_user(req);
    if (conn == NULL)
        return;
    out->cert = shs_conn_client_identity(conn);
    read_process(conn, out);
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

static int append_text(struct shs_buf *out, const struct shs_identity *id)
{
    const char *kind = "user";
    struct shs_str name = id->user;

    if (id->cert != NULL && id->cert->verified)
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
