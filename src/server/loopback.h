/*
 * loopback.h - addresses that nobody reaches from another machine.
 */
#ifndef SHS_LOOPBACK_H
#define SHS_LOOPBACK_H

#include <stdbool.h>

/* 127.0.0.0/8, ::1, and the name of them. */
bool shs__is_loopback(const char *host);

#endif
