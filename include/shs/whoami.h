/*
 * shs/whoami.h - a handler that tells a client who it is and how it is connected, as JSON.
 *
 *     {"client": "127.0.0.1", "port": 50514,
 *      "tls": {"version": "TLSv1.3", "cipher": "TLS_AES_256_GCM_SHA384", "group": "x25519",
 *              "signature": "ecdsa_secp256r1_sha256", "sni": "localhost", "alpn": "http/1.1",
 *              "resumed": false, "ja4": "t13d..."},
 *      "identity": {"verified": true, "reason": "ok", "verify_code": 0, "common_name": "alice",
 *                   "organization": null, "spiffe_id": null, "subject": "CN=alice", ...}}
 *
 * "tls" is null without TLS, "identity" without a client certificate. "ja4" is null unless the
 * server makes fingerprints (struct shs_tls_config, fingerprint).
 */
#ifndef SHS_WHOAMI_H
#define SHS_WHOAMI_H

#include <shs/http.h>

#ifdef __cplusplus
extern "C" {
#endif

/* The handler: GET and HEAD, any path. No state: static storage, any number of servers. */
SHS_API const struct shs_http_handler *shs_whoami_handler(void);

#ifdef __cplusplus
}
#endif

#endif
