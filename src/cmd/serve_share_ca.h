/*
 * serve_share_ca.h - --share-ca: the certificate of the local authority for other devices, and a
 * page that says how each is told to trust it. Never the key.
 */
#ifndef SHS_CMD_SERVE_SHARE_CA_H
#define SHS_CMD_SERVE_SHARE_CA_H

#include <shs/http.h>

#include "certs/local_ca.h"

/* The page. "/ca.pem" and "/ca.crt" are beside it: the certificate as PEM and as DER. */
#define SERVE_SHARE_CA_PATH "/ca"

/* Zeroed; what it points to outlives the server. */
struct serve_share_ca {
    const struct shs_local_ca *local; /* filled before the first request */
    struct shs_http_handler inner;    /* of every other path */
};

/* A handler in front of `inner`, whose ctx is `self`. */
struct shs_http_handler serve_share_ca_handler(struct serve_share_ca *self,
                                               const struct shs_http_handler *inner,
                                               const struct shs_local_ca *local);

#endif
