#include <shs/tls.h>

#include <time.h>

#include "server/conn.h"
#include "tls/context.h"
#include "tls/stream.h"

struct tls_mixin {
    struct shs_layer layer;
    struct shs_tls_context *context;
};

#define MIXIN(l) SHS_CONTAINER_OF(l, struct tls_mixin, layer)

/* The first call for a connection: its TLS stream, on top of what is there. */
static int start(struct shs_layer *layer, struct shs_conn *conn, struct shs_tls_stream **out)
{
    unsigned ms = shs_server_options(layer->server)->handshake_ms;
    int rc = shs__tls_stream_new(out, MIXIN(layer)->context, conn->stream);

    if (rc != SHS_OK)
        return shs_conn_fail(conn, rc, 0, "Out of memory for another TLS session.");
    shs__conn_push_stream(conn, &(*out)->base);
    shs_conn_set(conn, layer, *out);
    shs_conn_set_deadline(conn, shs__deadline_after(conn->accepted_ns, ms));
    return SHS_OK;
}

/* The handshake failed: below, the alert (or the plain answer) goes out and the rest is drained. */
static int give_up(struct shs_layer *layer, struct shs_conn *conn, struct shs_tls_stream *tls,
                   int rc)
{
    /* A connection opened and closed without a byte is a health check, or a browser's guess. */
    if (rc != SHS_CLOSED || tls->bio.bytes_in > 0)
        (void)shs__conn_fail_stream(conn, rc);
    shs__conn_begin_linger(conn);
    return shs_super_finish_request(layer, conn);
}

static int tls_finish_request(struct shs_layer *layer, struct shs_conn *conn)
{
    struct shs_tls_stream *tls = shs_conn_get(conn, layer);
    int rc;

    if (tls != NULL && (tls->established || tls->failed != SHS_OK))
        return shs_super_finish_request(layer, conn);
    if (tls == NULL) {
        rc = start(layer, conn, &tls);
        if (rc != SHS_OK) /* nothing to say to the peer, and no memory to say it with */
            return rc;
    }
    rc = shs__tls_stream_handshake(tls);
    if (rc == SHS_OK) {
        shs_conn_set_deadline(conn, INT64_MAX); /* the next phase sets its own */
        return shs_super_finish_request(layer, conn);
    }
    if (rc < 0)
        return give_up(layer, conn, tls, rc);
    if (shs_now_ns() >= shs_conn_deadline(conn))
        return shs_conn_fail(conn, SHS_TIMEOUT, 0, "TLS handshake not complete after %u ms",
                             shs_server_options(layer->server)->handshake_ms);
    return rc;
}

static void tls_layer_free(struct shs_layer *layer)
{
    struct tls_mixin *self = MIXIN(layer);

    shs__tls_context_free(self->context);
    shs__free(self);
}

/* No close_request: what a connection has here is its stream, and that goes with the connection. */
static const struct shs_server_ops tls_ops = {
    .name = "TLSMixIn",
    .finish_request = tls_finish_request,
    .layer_free = tls_layer_free,
};

static void log_advice(struct shs_server *server, const struct shs_tls_context *context)
{
    struct shs_error note;
    int64_t now = (int64_t)time(NULL);
    unsigned i;

    for (i = 0; shs__tls_context_advice(context, i, now, &note); i++)
        shs_server_log(server, SHS_LOG_WARNING, "%s", note.text);
}

int shs_tls_mixin_push(struct shs_server *self, struct shs_error *err)
{
    struct tls_mixin *mixin;
    int rc;

    if (shs_server_socket_type(self) != SOCK_STREAM)
        return shs_error_set(err, SHS_USAGE, 0, "TLSMixIn needs a stream, and %s serves datagrams.",
                             shs_server_describe(self));
    mixin = shs__calloc(1, sizeof *mixin);
    if (mixin == NULL)
        return shs_error_set(err, SHS_NOMEM, 0, "Out of memory for TLSMixIn.");
    rc = shs__tls_context_new(&mixin->context, shs_server_options(self), err);
    if (rc != SHS_OK)
        goto out;
    rc = shs_server_push(self, &mixin->layer, &tls_ops);
    if (rc != SHS_OK) {
        shs_error_set(err, rc, 0, "TLSMixIn cannot be pushed now: %s.", shs_err_text(rc));
        goto out;
    }
    log_advice(self, mixin->context);
    return SHS_OK;
out:
    shs__tls_context_free(mixin->context);
    shs__free(mixin);
    return rc;
}

bool shs_conn_tls_info(struct shs_conn *conn, struct shs_tls_info *out)
{
    struct shs_tls_stream *tls = shs__tls_stream_find(conn->stream);
    const unsigned char *alpn = NULL;
    unsigned alpn_len = 0;
    const char *sni;

    if (tls == NULL || !tls->established)
        return false;
    SSL_get0_alpn_selected(tls->ssl, &alpn, &alpn_len);
    sni = SSL_get_servername(tls->ssl, TLSEXT_NAMETYPE_host_name);
    out->version = SSL_get_version(tls->ssl);
    out->cipher = SSL_get_cipher_name(tls->ssl);
    out->sni = sni == NULL ? "" : sni;
    out->alpn = alpn_len == 0 ? "" : "http/1.1"; /* the only one that is ever selected */
    out->resumed = SSL_session_reused(tls->ssl) == 1;
    return true;
}
