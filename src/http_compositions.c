/*
 * http_compositions.c - the ready HTTP classes, SecureHTTPServer among them: the only place that
 * knows all of their parts.
 *
 *          class SecureHTTPServer(ThreadPoolMixIn, TLSMixIn, HTTPServer)
 * Python:  class ThreadingHTTPServer(ThreadingMixIn, HTTPServer): daemon_threads = True
 */
#include <shs/secure_http_server.h>

#include "server/server.h"

typedef int push_mixin_fn(struct shs_server *self, struct shs_error *err);

/*
 * HTTPServer, TLSMixIn if `tls` (with `config`, or with the certificate of the options), and the
 * mixin on top.
 */
static int compose(struct shs_server **out, const struct shs_options *opt,
                   const struct shs_http_handler *handler, struct shs_error *err, bool tls,
                   const struct shs_tls_config *config, push_mixin_fn *push_mixin)
{
    struct shs_server *self = NULL;
    struct shs_options unbound;
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
    if (rc == SHS_OK && tls)
        rc = config == NULL ? shs_tls_mixin_push(self, err)
                            : shs_tls_mixin_push_config(self, config, err);
    if (rc == SHS_OK)
        rc = push_mixin(self, err);
    if (rc == SHS_OK && bind)
        rc = shs_server_bind_and_activate(self, err);
    if (rc != SHS_OK) {
        shs_server_free(self);
        return rc;
    }
    *out = self;
    return SHS_OK;
}

int shs_threading_http_server_new(struct shs_server **out, const struct shs_options *opt,
                                  const struct shs_http_handler *handler, struct shs_error *err)
{
    struct shs_options daemon;
    int rc = shs__options_take(&daemon, opt, err);

    if (rc != SHS_OK)
        return rc;
    daemon.daemon_threads = true;
    return compose(out, &daemon, handler, err, false, NULL, shs_threading_mixin_push);
}

int shs_forking_http_server_new(struct shs_server **out, const struct shs_options *opt,
                                const struct shs_http_handler *handler, struct shs_error *err)
{
    return compose(out, opt, handler, err, false, NULL, shs_forking_mixin_push);
}

int shs_forking_secure_http_server_new(struct shs_server **out, const struct shs_options *opt,
                                       const struct shs_http_handler *handler,
                                       struct shs_error *err)
{
    return compose(out, opt, handler, err, true, NULL, shs_forking_mixin_push);
}

int shs_secure_http_server_new_config(SecureHTTPServer **out, const struct shs_options *opt,
                                      const struct shs_tls_config *config,
                                      const struct shs_http_handler *handler, struct shs_error *err)
{
    return compose(out, opt, handler, err, true, config, shs_thread_pool_mixin_push);
}

int shs_secure_http_server_new(SecureHTTPServer **out, const struct shs_options *opt,
                               const struct shs_http_handler *handler, struct shs_error *err)
{
    return shs_secure_http_server_new_config(out, opt, NULL, handler, err);
}
