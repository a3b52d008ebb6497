/*
 * info.c - what a handler may ask about its connection.
 */
#include <stdio.h>

#include <openssl/obj_mac.h>

#include "server/conn.h"
#include "tls/clients/client.h"
#include "tls/clients/clients.h"
#include "tls/config/config.h"
#include "tls/config/site.h"
#include "tls/wire/stream.h"

/* The names of RFC 8446, 4.2.7. */
static const char *group_name(SSL *ssl)
{
    switch (SSL_get_negotiated_group(ssl)) {
    case NID_X25519:
        return "x25519";
    case NID_X448:
        return "x448";
    case NID_X9_62_prime256v1:
        return "secp256r1";
    case NID_secp384r1:
        return "secp384r1";
    case NID_secp521r1:
        return "secp521r1";
    default:
        return "";
    }
}

/* The names of RFC 8446, 4.2.3. */
static const char *signature_name(SSL *ssl)
{
    int kind = 0, hash = 0;

    if (SSL_session_reused(ssl) == 1 || SSL_get_signature_type_nid(ssl, &kind) != 1)
        return "";
    (void)SSL_get_signature_nid(ssl, &hash);
    switch (kind) {
    case EVP_PKEY_ED25519:
        return "ed25519";
    case EVP_PKEY_ED448:
        return "ed448";
    case EVP_PKEY_EC:
        return hash == NID_sha256   ? "ecdsa_secp256r1_sha256"
               : hash == NID_sha384 ? "ecdsa_secp384r1_sha384"
                                    : "ecdsa_secp521r1_sha512";
    case EVP_PKEY_RSA_PSS:
        return hash == NID_sha256   ? "rsa_pss_rsae_sha256"
               : hash == NID_sha384 ? "rsa_pss_rsae_sha384"
                                    : "rsa_pss_rsae_sha512";
    case EVP_PKEY_RSA:
        return hash == NID_sha256   ? "rsa_pkcs1_sha256"
               : hash == NID_sha384 ? "rsa_pkcs1_sha384"
                                    : "rsa_pkcs1_sha512";
    default:
        return "";
    }
}

/* As a string: the one of ours that was agreed on. */
static const char *alpn_text(const char *const *ours, const unsigned char *name, size_t len)
{
    for (; len > 0 && ours != NULL && *ours != NULL; ours++) {
        if (strlen(*ours) == len && memcmp(*ours, name, len) == 0)
            return *ours;
    }
    return "";
}

bool shs_conn_tls_info(struct shs_conn *conn, struct shs_tls_info *out)
{
    struct shs_tls_stream *tls = shs__tls_stream_find(conn->stream);
    const unsigned char *alpn = NULL;
    unsigned alpn_len = 0;
    const char *sni;

    if (tls == NULL || !shs__tls_is_established(tls))
        return false;
    SSL_get0_alpn_selected(tls->ssl, &alpn, &alpn_len);
    sni = SSL_get_servername(tls->ssl, TLSEXT_NAMETYPE_host_name);
    out->version = SSL_get_version(tls->ssl);
    out->cipher = SSL_get_cipher_name(tls->ssl);
    out->sni = sni == NULL ? "" : sni;
    out->alpn = alpn_text(tls->context->config->config.alpn, alpn, alpn_len);
    out->resumed = SSL_session_reused(tls->ssl) == 1;
    out->group = group_name(tls->ssl);
    out->signature = signature_name(tls->ssl);
    out->ja4 = tls->ja4 == NULL ? "" : tls->ja4;
    return true;
}

/* Of a resumed session: there was no chain in this handshake. */
static bool make_record(struct shs_tls_stream *tls, X509 *cert)
{
    struct shs_client_record *record = NULL;
    struct shs_client_keys keys;

    if (shs__client_record_new(&record, cert) != SHS_OK)
        return false;
    if (shs__tls_client_keys(tls->ssl, &keys) && !shs__client_record_set_cas(record, &keys)) {
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
    cert = SSL_get0_peer_certificate(tls->ssl);
    if (cert == NULL || (tls->client == NULL && !make_record(tls, cert)))
        return NULL;
    id = &tls->client->identity;
    id->verify_code = (int)SSL_get_verify_result(tls->ssl);
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
