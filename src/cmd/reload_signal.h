/*
 * reload_signal.h - SIGHUP: read certificates, rules and the like again.
 */
#ifndef SHS_CMD_RELOAD_SIGNAL_H
#define SHS_CMD_RELOAD_SIGNAL_H

#include <shs/server.h>

/*
 * From now on SIGHUP calls shs_tls_request_reload for each. With none of them it is kept in mind:
 * who makes servers calls it so first of all, or a SIGHUP that comes early would end the process.
 */
void reload_signal_install(struct shs_server *const *servers, size_t count);

/* And from now on it writes to `fd`, an eventfd, for what belongs to no server. -1: no more. Early
   ones are kept in mind as well. */
void reload_signal_tell(int fd);

#endif
