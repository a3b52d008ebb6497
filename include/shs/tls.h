/*
 * shs/tls.h - TLSMixIn: any stream server of the family, over TLS.
 *
 * Concept
 *
 *   Pushed on a server, TLSMixIn extends finish_request: it makes an SSL for the connection, drives
 *   the handshake on the thread that runs the conversation (never in the accept loop) and within
 *   opt.handshake_ms, and then calls super, which talks through it without knowing.
 *
 *   TLS 1.2 and 1.3; groups X25519, P-256, P-384; AEAD suites with forward secrecy only; no
 *   renegotiation; no compression; one session ticket; ALPN "http/1.1". A connection that speaks
 *   plain HTTP to a TLS port gets a readable 400 and is closed.
 *
 *   The certificate and the key are read when the mixin is pushed, from opt.certfile / opt.keyfile
 *   or opt.cert_pem / opt.key_pem. What is wrong with them is said there: missing, unreadable, not
 *   PEM, wrong password, key of another certificate.
 *
 * Follows: RFC 8446, RFC 5246, RFC 7301, RFC 9325; CPython Lib/http/server.py HTTPSServer.
 */
#ifndef SHS_TLS_H
#define SHS_TLS_H

#include <shs/server.h>

#ifdef __cplusplus
extern "C" {
#endif

/*
 * Pushes TLSMixIn, with the certificate of the server's options.
 * Returns 0; SHS_TLS with *err (may be NULL) saying what is wrong with which file; SHS_NOMEM; or
 * what shs_server_push returns.
 */
SHS_API int shs_tls_mixin_push(struct shs_server *self, struct shs_error *err) SHS_MUST_CHECK;

/* What the handshake of a connection agreed on. Pointers live as long as the connection. */
struct shs_tls_info {
    const char *version; /* "TLSv1.3" */
    const char *cipher;  /* "TLS_AES_256_GCM_SHA384" */
    const char *sni;     /* the name the client asked for; "" when it gave none */
    const char *alpn;    /* "http/1.1"; "" when none was agreed */
    bool resumed;        /* from a ticket */
};

/*
 * Fills *out: true; false for a connection without TLS or before its handshake is complete.
 * Owner thread only.
 */
SHS_API bool shs_conn_tls_info(struct shs_conn *conn, struct shs_tls_info *out);

#ifdef __cplusplus
}
#endif

#endif
