/*
 * secure_http_server.c - class SecureHTTPServer(ThreadPoolMixIn, TLSMixIn, HTTPServer).
 *
 * The composition root: the only place that knows all of its parts.
 */
#include <shs/secure_http_server.h>

#include "server/server.h"

int shs_secure_http_server_new(SecureHTTPServer **out, const struct shs_options *opt,
                               const struct shs_http_handler *handler, struct shs_error *err)
{
    struct shs_options unbound;
    SecureHTTPServer *self = NULL;
    bool bind;
    int rc;

    if (out == NULL)
        return shs_error_set(err, SHS_USAGE, 0, "there is no place for the server: out is NULL");
    rc = shs__options_take(&unbound, opt, err);
    if (rc != SHS_OK)
        return rc;
    bind = unbound.bind_and_activate;
    unbound.bind_and_activate = false; /* the mixins come first */
    rc = shs_http_server_new(&self, &unbound, handler, err);
    if (rc == SHS_OK)
        rc = shs_tls_mixin_push(self, err);
    if (rc == SHS_OK)
        rc = shs_thread_pool_mixin_push(self, err);
    if (rc == SHS_OK && bind)
        rc = shs_server_bind_and_activate(self, err);
    if (rc != SHS_OK) {
        shs_server_free(self);
        return rc;
    }
    *out = self;
    return SHS_OK;
}
