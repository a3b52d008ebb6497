/*
 * reload_signal.h - SIGHUP: read certificates, rules and the like again.
 */
#ifndef SHS_CMD_RELOAD_SIGNAL_H
#define SHS_CMD_RELOAD_SIGNAL_H

/* From now on SIGHUP ends nobody; it is kept in mind until there is somebody to tell. First of all:
   one that comes early would end the process. */
void reload_signal_install(void);

/* And from now on it writes to `fd`, an eventfd. -1: no more. */
void reload_signal_tell(int fd);

#endif
