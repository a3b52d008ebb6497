/*
 * shs/shs.h - all of libshs, in reading order.
 *
 *   error.h               how functions fail, and the conventions of every header
 *   options.h             the attributes of a server
 *   server.h              BaseServer and its family, the mixins; how a mixin of yours joins
 *   drain.h               the end of a server that others send requests to
 *   scheduler.h           which thread goes on with a connection; how a mixin of yours decides it
 *   proxy.h               ProxyProtocolMixIn: the client behind a balancer
 *   handler.h             request handlers: base, stream and datagram
 *   str.h, text.h         bytes of somebody else; escaping, dates
 *   http.h                HTTPServer and its handlers
 *   forwarded.h           the client behind a proxy that speaks HTTP
 *   router.h              from a method and a path to a function
 *   chain.h               middleware: what stands in front of a handler
 *   json.h                JSON in and out, problem details
 *   conditional.h         ETag, If-Match, 304 and 412 in a handler
 *   query.h               the parameters of a query and of a form
 *   multipart.h           file uploads
 *   cookie.h              cookies
 *   sse.h                 server-sent events
 *   static_files.h        SimpleHTTPRequestHandler: a directory over HTTP
 *   echo.h                a handler that answers with the request
 *   digest.h              SHA-256
 *   access.h              who may do what: rules for certificates, Unix sockets, users
 *   health.h, metrics.h   /livez and /readyz; numbers for Prometheus
 *   admin.h               for operators: who is connected, reload, deny, an audit log
 *   tls.h                 TLSMixIn
 *   certs.h               authorities and certificates for tests, right or wrong in one thing
 *   lab.h                 TLS servers that are wrong in one way each, to test clients with
 *   secure_http_server.h  SecureHTTPServer, the composition of them all
 *   service.h             the same routes at several addresses, until a signal
 *   testing.h             for tests: a handler without a socket, a server in a thread
 *   version.h
 *
 * The library never exits, prints, installs a signal handler, changes SIGPIPE, reads the
 * environment, keeps a mutable global, or cleans up OpenSSL behind its host.
 */
#ifndef SHS_SHS_H
#define SHS_SHS_H

#include <shs/access.h>
#include <shs/admin.h>
#include <shs/certs.h>
#include <shs/chain.h>
#include <shs/conditional.h>
#include <shs/cookie.h>
#include <shs/digest.h>
#include <shs/drain.h>
#include <shs/echo.h>
#include <shs/error.h>
#include <shs/forwarded.h>
#include <shs/handler.h>
#include <shs/health.h>
#include <shs/http.h>
#include <shs/json.h>
#include <shs/lab.h>
#include <shs/metrics.h>
#include <shs/middleware.h>
#include <shs/multipart.h>
#include <shs/options.h>
#include <shs/proxy.h>
#include <shs/query.h>
#include <shs/router.h>
#include <shs/scheduler.h>
#include <shs/secure_http_server.h>
#include <shs/server.h>
#include <shs/service.h>
#include <shs/sse.h>
#include <shs/static_files.h>
#include <shs/str.h>
#include <shs/testing.h>
#include <shs/text.h>
#include <shs/tls.h>
#include <shs/version.h>
#include <shs/whoami.h>

#endif
