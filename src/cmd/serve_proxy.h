/*
 * serve_proxy.h - --proxy: paths of a listener that another server on this machine or network
 * answers, such as one of an application under development.
 *
 * One connection for each request, on the thread of the handler. Bodies stream both ways and are
 * never whole in memory. Strict in both directions (http/reply.h); nothing of one request is ever
 * read as part of another, for no connection is used twice.
 */
#ifndef SHS_CMD_SERVE_PROXY_H
#define SHS_CMD_SERVE_PROXY_H

#include <shs/http.h>

#include "cmd/settings.h"

struct serve_proxies;

/*
 * Makes the handler that stands in front of `inner` (copied; its ctx is borrowed). Names of hosts
 * are looked up here, once.
 *
 *   list        as they were given
 *   timeout_ms  without a byte of the other server
 */
int serve_proxies_new(struct serve_proxies **out, const struct setting_list *list,
                      unsigned timeout_ms, const struct shs_http_handler *inner,
                      struct shs_error *err);
void serve_proxies_free(struct serve_proxies *self); /* NULL is fine */
const struct shs_http_handler *serve_proxies_handler(const struct serve_proxies *self);

#endif
