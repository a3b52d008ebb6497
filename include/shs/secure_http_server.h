/*
 * shs/secure_http_server.h - the composition this library is named after.
 *
 *   Python:  class SecureHTTPServer(ThreadingMixIn, HTTPServer): ...   # with its socket wrapped
 *   here:    ThreadPoolMixIn > TLSMixIn > HTTPServer > TCPServer > BaseServer
 *
 * ThreadPoolMixIn is the threading mixin that holds no thread for a client that waits. For another
 * one, compose by hand: shs_http_server_new, shs_tls_mixin_push, shs_threading_mixin_push.
 *
 * The whole program around it is 25 lines: see README.md and examples/hello.c.
 */
#ifndef SHS_SECURE_HTTP_SERVER_H
#define SHS_SECURE_HTTP_SERVER_H

#include <shs/http.h>
#include <shs/tls.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef struct shs_server SecureHTTPServer;

/*
 * Composes the server, loads the certificate, binds and listens (unless opt.bind_and_activate is
 * false).
 *
 *   out      the server; free it with shs_server_free
 *   opt      copied; certfile or cert_pem must be set
 *   handler  borrowed until the server is freed
 *   err      may be NULL; filled when the call fails
 *
 * Returns 0, or < 0 as shs_http_server_new and shs_tls_mixin_push; nothing is left open then.
 */
SHS_API int shs_secure_http_server_new(SecureHTTPServer **out, const struct shs_options *opt,
                                       const struct shs_http_handler *handler,
                                       struct shs_error *err) SHS_MUST_CHECK;

/*
 * The same with a TLS configuration: several certificates, client CAs, reload (shs/tls.h).
 *
 *   config  copied; NULL = the one certificate of opt. What opt says of certificates counts only
 *           then
 */
SHS_API int shs_secure_http_server_new_config(SecureHTTPServer **out, const struct shs_options *opt,
                                              const struct shs_tls_config *config,
                                              const struct shs_http_handler *handler,
                                              struct shs_error *err) SHS_MUST_CHECK;

/*
 * The same with a child process per connection: ForkingMixIn > TLSMixIn > HTTPServer > TCPServer >
 * BaseServer. The handshake is in the child; all children share the ticket keys, so sessions are
 * resumed. What a handler may do is said at shs_forking_mixin_push.
 */
SHS_API int shs_forking_secure_http_server_new(SecureHTTPServer **out,
                                               const struct shs_options *opt,
                                               const struct shs_http_handler *handler,
                                               struct shs_error *err) SHS_MUST_CHECK;

#ifdef __cplusplus
}
#endif

#endif
