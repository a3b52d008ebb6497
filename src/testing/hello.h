/*
 * hello.h - the name in a ClientHello, before anybody has answered it.
 */
#ifndef SHS_TESTING_HELLO_H
#define SHS_TESTING_HELLO_H

#include "base/base.h"

#define SHS_HELLO_NAME_MAX 256u

/*
 * Looks for the server name in what a client has sent first. SHS_OK with *name ("" when it names
 * none, or speaks no TLS); SHS_WAIT_READ when more has to come.
 */
int shs__hello_name(const void *bytes, size_t len, char name[SHS_HELLO_NAME_MAX]);

#endif
