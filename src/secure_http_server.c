/*
 * secure_http_server.c - class SecureHTTPServer(ThreadPoolMixIn, TLSMixIn, HTTPServer).
 *
 * The composition root: the only place that knows all of its parts.
 */
#include <shs/secure_http_server.h>

#include <string.h>

int shs_secure_http_server_new_config(SecureHTTPServer **out, const struct shs_options *opt,
                                      const struct shs_tls_config *config,
                                      const struct shs_http_handler *handler, struct shs_error *err)
{
    struct shs_options unbound;
    SecureHTTPServer *self = NULL;
    int rc;

    shs_options_init(&unbound);
    memcpy(&unbound, opt, opt->size < sizeof unbound ? opt->size : sizeof unbound);
    unbound.size = sizeof unbound;
    unbound.bind_and_activate = false; /* the mixins come first */
    rc = shs_http_server_new(&self, &unbound, handler, err);
    if (rc == SHS_OK)
        rc = config == NULL ? shs_tls_mixin_push(self, err)
                            : shs_tls_mixin_push_config(self, config, err);
    if (rc == SHS_OK)
        rc = shs_thread_pool_mixin_push(self, err);
    if (rc == SHS_OK && opt->bind_and_activate)
        rc = shs_server_bind_and_activate(self, err);
    if (rc != SHS_OK) {
        shs_server_free(self);
        return rc;
    }
    *out = self;
    return SHS_OK;
}

int shs_secure_http_server_new(SecureHTTPServer **out, const struct shs_options *opt,
                               const struct shs_http_handler *handler, struct shs_error *err)
{
    return shs_secure_http_server_new_config(out, opt, NULL, handler, err);
}
