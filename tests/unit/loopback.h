/*
 * loopback.h - a server's loop for a thread, and a plain client of it in a few words.
 *
 * The client is the test's own thread: what fails, fails the test. Every wait has a limit.
 */
#ifndef LOOPBACK_H
#define LOOPBACK_H

#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

/* pthread_create's function: the loop of a struct shs_server, and what it returned. */
void *loopback_serve(void *server);

/* Connects a socket that is there already, of any type; or makes one, for a stream. */
void loopback_connect(int fd, unsigned port);
int loopback_dial(unsigned port);

void loopback_say(int fd, const char *text);
/* GET of that path, on a connection that stays open. */
void loopback_ask(int fd, const char *path);

/* One read within patience_ms, in static storage; "" at the end of the stream, "(reset)". */
const char *loopback_hear(int fd);
/* Is that text in one read? */
bool loopback_hears(int fd, const char *text);

#endif
