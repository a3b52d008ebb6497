/*
 * elsewhere.h - which requests do not belong on a connection, though they came by it.
 *
 * The name in a ClientHello has decided what was asked of the client. The Host of a request is the
 * client's word, later: with it, a client could be served with what another host has, without what
 * that host asks for.
 */
#ifndef SHS_TLS_ELSEWHERE_H
#define SHS_TLS_ELSEWHERE_H

#include "tls/config/context.h"
#include "tls/wire/stream.h"

/*
 * True when a connection made for `host` (as in a Host field, with a port or without) would have
 * gone to another host of the configuration, which asks other things of clients or of TLS than the
 * one that `tls` has. `now` is the context for new connections: what its files say counts. Any
 * thread.
 */
bool shs__tls_is_elsewhere(const struct shs_tls_context *now, const struct shs_tls_stream *tls,
                           struct shs_str host);

#endif
