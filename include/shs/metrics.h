/*
 * shs/metrics.h - numbers for Prometheus: requests, durations, connections, handshakes.
 *
 * Concept
 *
 *   A struct shs_metrics counts the answers of every handler that it stands in (its log_request is
 *   where an answer is over, also one that failed), and looks at the servers it is told of when
 *   somebody reads the page:
 *
 *       shs_metrics_new(&metrics, &err);
 *       handler = shs_metrics_count(metrics, &link, shs_router_handler(router));
 *       shs_secure_http_server_new(&server, &opt, handler, &err);
 *       shs_metrics_add_server(metrics, "api", server, &err);
 *       shs_http_server_new(&inside, &inside_opt, shs_metrics_handler(metrics), &err);
 *
 *   The page says much about a server. It belongs on a listener of its own that the world does not
 *   reach, or behind a rule.
 *
 * Series
 *
 *   Labels come from the program, never from a client: the route's pattern ("/items/{id}", "" where
 *   no router was), the method ("other" for one that no RFC 9110 has), the status. Beyond
 *   SHS_METRICS_SERIES_MAX of them, routes are counted together as "other"; so is a route of 256
 *   bytes or more.
 *
 *   shs_http_requests_total{route,method,code}, shs_http_request_duration_seconds{route} (a
 *   histogram, from the first byte of the request to the last of the answer),
 *   shs_http_response_body_bytes_total{route}; of each server, {server}: shs_connections,
 *   shs_connections_accepted_total, shs_connections_refused_total, shs_accept_errors_total,
 *   shs_accept_pauses_total, shs_timeouts_total, shs_threads, shs_children,
 *   shs_stuck_handlers_total, shs_max_connections; with TLS: shs_tls_handshakes_total,
 *   shs_tls_resumed_total, shs_tls_failures_total{cause}, shs_tls_probes_total (connections closed
 *   without a byte, which are no failures), shs_tls_records_total{records,why},
 *   shs_tls_reloads_total, shs_tls_reload_failures_total,
 *   shs_tls_certificate_not_after_seconds{file,serial} (Unix time); with ProxyProtocolMixIn:
 *   shs_proxy_headers_total, shs_proxy_refused_total{cause}.
 *
 * Threads: counting and reading from any, at any time. No request waits to be counted.
 *
 * Follows: the Prometheus text format 0.0.4; its naming of counters, base units and histograms.
 */
#ifndef SHS_METRICS_H
#define SHS_METRICS_H

#include <shs/http.h>

#ifdef __cplusplus
extern "C" {
#endif

#define SHS_METRICS_SERIES_MAX 512
#define SHS_METRICS_SERVERS_MAX 160

struct shs_metrics;

/* Returns 0 or SHS_NOMEM. */
SHS_API int shs_metrics_new(struct shs_metrics **out, struct shs_error *err) SHS_MUST_CHECK;
/* After the servers whose requests it counts and those it was told of. NULL is fine. */
SHS_API void shs_metrics_free(struct shs_metrics *self);

/*
 * That handler, with each of its answers counted and then logged as it says.
 *
 *   link     yours, and must live as long as the handler that comes back; filled in here
 *   handler  copied; its ctx borrowed
 */
struct shs_metrics_link {
    struct shs_http_handler handler; /* what is returned */
    struct shs_metrics *metrics SHS_OPTIONAL;
    void (*log_request)(void *log_ctx, const struct shs_access *access) SHS_OPTIONAL;
    void *log_ctx SHS_OPTIONAL;
};
SHS_API const struct shs_http_handler *shs_metrics_count(struct shs_metrics *self,
                                                         struct shs_metrics_link *link,
                                                         const struct shs_http_handler *handler);

/*
 * The page also has this server's numbers.
 *
 *   name    its label, of 299 bytes at most; copied. A second server of the same name is SHS_USAGE
 *   server  borrowed until shs_metrics_free
 *
 * Before the page is read. Returns 0, SHS_USAGE, SHS_LIMIT (too many), SHS_NOMEM.
 */
SHS_API int shs_metrics_add_server(struct shs_metrics *self, const char *name,
                                   struct shs_server *server, struct shs_error *err) SHS_MUST_CHECK;

/* GET: the page, whatever the path. Borrowed from *self. */
SHS_API const struct shs_http_handler *shs_metrics_handler(const struct shs_metrics *self);

#ifdef __cplusplus
}
#endif

#endif
