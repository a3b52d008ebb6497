/*
 * notify.h - tells the service manager how we are: the protocol of sd_notify(3), datagrams to the
 * socket that NOTIFY_SOCKET names. Without one every function does nothing.
 */
#ifndef SHS_CMD_NOTIFY_H
#define SHS_CMD_NOTIFY_H

#include "base/base.h"

/*
 * Reads NOTIFY_SOCKET, WATCHDOG_USEC and WATCHDOG_PID, and removes them from the environment: they
 * are for this process and not for those it starts. Before there are threads. CMD_OK, or a failure
 * already said: a socket that was named and cannot be reached is a mistake of the unit.
 */
int notify_open(void);
/* Puts the variables back, in a process that starts this program again. */
void notify_restore_environment(void);
bool notify_is_open(void);
/* How often the manager wants to hear that we work, in milliseconds; 0: never. */
unsigned notify_watchdog_ms(void);

/* Lines "KEY=VALUE", '\n' between. Any thread; it never waits. False: nobody got it. */
bool notify_send(const char *fmt, ...) __attribute__((format(printf, 1, 2)));

/* RELOADING=1 with the time that belongs to it; READY=1 comes when it is over. */
void notify_reloading(const char *status);

#endif
