/*
 * info.c - what a handler may ask about its connection.
 */
#include <stdio.h>

#include "server/conn.h"
#include "tls/clients/client.h"
#include "tls/clients/clients.h"
#include "tls/wire/stream.h"

bool shs_conn_tls_info(struct shs_conn *conn, struct shs_tls_info *out)
{
    struct shs_tls_stream *tls = shs__tls_stream_find(conn->stream);
    const struct shs_tls_facts *facts;

    if (tls == NULL || !shs__tls_is_established(tls))
        return false;
    facts = &tls->facts;
    out->version = facts->version;
    out->cipher = facts->cipher;
    out->sni = facts->sni == NULL ? "" : facts->sni;
    out->alpn = facts->alpn;
    out->resumed = facts->resumed;
    out->group = facts->group;
    out->signature = facts->signature;
    out->ja4 = tls->ja4 == NULL ? "" : tls->ja4;
    out->stays = (enum shs_tls_stays)tls->stays;
    return true;
}

/* Of a resumed session: there was no chain in this handshake. */
static bool make_record(struct shs_tls_stream *tls, X509 *cert)
{
    struct shs_client_record *record = NULL;

    if (shs__client_record_new(&record, cert) != SHS_OK)
        return false;
    if (tls->facts.cas != NULL && !shs__client_record_set_cas(record, tls->facts.cas)) {
        shs__client_record_free(record);
        return false;
    }
    tls->client = record;
    return true;
}

const struct shs_client_identity *shs_conn_client_identity(struct shs_conn *conn)
{
    struct shs_tls_stream *tls = shs__tls_stream_find(conn->stream);
    struct shs_client_identity *id;
    X509 *cert;

    if (tls == NULL || !shs__tls_is_established(tls))
        return NULL;
    cert = tls->facts.peer;
    if (cert == NULL || (tls->client == NULL && !make_record(tls, cert)))
        return NULL;
    id = &tls->client->identity;
    id->verify_code = tls->facts.verify_result;
    if (tls->client_reason != SHS_CLIENT_OK)
        id->reason = (enum shs_client_reason)tls->client_reason;
    else if (id->reason == SHS_CLIENT_OK)
        id->reason = shs__tls_client_reason(id->verify_code);
    id->verified = id->reason == SHS_CLIENT_OK;
    return id;
}

/* -- X-Forwarded-Client-Cert ------------------------------------------------------------------- */

/* Quoted where the form's own separators are in it. A control character ends the attempt. */
static int append_value(struct shs_buf *out, const char *key, struct shs_str value)
{
    int rc = shs__buf_printf(out, "%s%s=\"", out->len > 0 ? ";" : "", key);

    for (size_t i = 0; rc == SHS_OK && i < value.len; i++) {
        unsigned char c = (unsigned char)value.ptr[i];

        if (c < 0x20 || c >= 0x7f)
            return SHS_USAGE;
        if (c == '"' || c == '\\')
            rc = shs__buf_append(out, "\\", 1);
        if (rc == SHS_OK)
            rc = shs__buf_append(out, &value.ptr[i], 1);
    }
    return rc == SHS_OK ? shs__buf_append(out, "\"", 1) : rc;
}

int shs_conn_forwarded_client_cert(struct shs_conn *conn, char *buf, size_t cap)
{
    const struct shs_client_identity *id = shs_conn_client_identity(conn);
    struct shs_buf out;
    int rc;

    if (id == NULL || !id->verified || cap == 0)
        return SHS_USAGE;
    shs__buf_init(&out, cap - 1);
    out.data = buf;
    out.cap = cap - 1;
    rc = shs__buf_append_str(&out, SHS_STR("Hash="));
    if (rc == SHS_OK)
        rc = shs__buf_append(&out, id->cert_sha256, 64);
    if (rc == SHS_OK)
        rc = append_value(&out, "Subject", id->subject);
    for (size_t i = 0; rc == SHS_OK && i < id->san_count; i++) {
        if (id->sans[i].kind == SHS_SAN_URI)
            rc = append_value(&out, "URI", id->sans[i].value);
        else if (id->sans[i].kind == SHS_SAN_DNS)
            rc = append_value(&out, "DNS", id->sans[i].value);
    }
    if (rc == SHS_OK)
        buf[out.len] = '\0';
    return rc;
}
