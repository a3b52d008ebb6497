/*
 * stop_signals.h - SIGINT and SIGTERM: the first asks the server to stop, the second ends at once.
 */
#ifndef SHS_CMD_STOP_SIGNALS_H
#define SHS_CMD_STOP_SIGNALS_H

#include <shs/server.h>

/* From now on the first of them calls shs_shutdown(server); the next is _exit(128 + its number). */
void stop_signals_install(struct shs_server *server);

/* The server is about to be freed: a first signal that comes now ends at once as well. */
void stop_signals_forget(void);

/* SIGPIPE ignored: a reader of our output that went away is an error of write(2), not our end. */
void stop_signals_ignore_pipe(void);

#endif
