/*
 * reload_signal.h - SIGHUP: read certificates and the like again.
 */
#ifndef SHS_CMD_RELOAD_SIGNAL_H
#define SHS_CMD_RELOAD_SIGNAL_H

#include <shs/server.h>

/* From now on SIGHUP calls shs_tls_request_reload for each; with none of them it is ignored. */
void reload_signal_install(struct shs_server *const *servers, size_t count);

#endif
