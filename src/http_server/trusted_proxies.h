/*
 * trusted_proxies.h - which proxies an HTTP server believes (shs/forwarded.h).
 */
#ifndef SHS_TRUSTED_PROXIES_H
#define SHS_TRUSTED_PROXIES_H

#include "http/forwarded.h"
#include "server/conn.h"

struct shs__trusted_proxies;

void shs__trusted_proxies_free(struct shs__trusted_proxies *self); /* NULL is fine */

/*
 * The head has fields of proxies: they are read if the peer is believed, and deleted if not. `self`
 * NULL: nobody is. SHS_OK; SHS_NOMEM; SHS_PROTO when a believed one cannot be read, with *why.
 */
int shs__trusted_proxies_take(const struct shs__trusted_proxies *self, struct shs_conn *conn,
                              struct shs_request *req, const char **why);

/* Where an HTTP server has its own: http_server.c. NULL: it is not an HTTP server. */
struct shs__trusted_proxies **shs__trusted_proxies_of(struct shs_server *server);

#endif
