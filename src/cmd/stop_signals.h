/*
 * stop_signals.h - SIGINT and SIGTERM: the first begins to drain, each further one hurries it.
 */
#ifndef SHS_CMD_STOP_SIGNALS_H
#define SHS_CMD_STOP_SIGNALS_H

#include <shs/drain.h>

/* How a log file is opened, the first time and again. O_NONBLOCK: a pipe that nobody reads is
   refused, and holds up neither the start nor SIGUSR1. */
#define STOP_SIGNALS_LOG_FLAGS (O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC | O_NOCTTY | O_NONBLOCK)

/* Servers that can be stopped by a signal. */
#define STOP_SIGNALS_MAX 160

/*
 * From now on the first drains each of them, with that grace. While the grace lasts, the next ends
 * it; after that, one cuts the requests that are under way, and the last is _exit(128 + number).
 */
void stop_signals_install(struct shs_server *const *servers, size_t count, unsigned grace_ms);

/* And each of them writes to `fd`, an eventfd. -1: no more. */
void stop_signals_tell(int fd);

/*
 * After the first of them, on a terminal: what the next Ctrl-C does, to follow a line that says
 * what is waited for, "; Ctrl-C cuts them". "" before, and where nobody can press it.
 */
const char *stop_signals_hint(void);

/* The servers are about to be freed: a first signal that comes now ends at once as well. */
void stop_signals_forget(void);

/*
 * SIGUSR1: the log's file is opened again by its name, after something like logrotate(8) has moved
 * it away. A file that cannot be opened leaves the old one in use.
 *
 *   path  borrowed until the process ends; NULL: none is open yet, and the signal ends nobody
 *   fd    its descriptor, which stays the same number
 */
void stop_signals_reopen(const char *path, int fd);

/* SIGPIPE ignored: a reader of our output that went away is an error of write(2), not our end. */
void stop_signals_ignore_pipe(void);

#endif
