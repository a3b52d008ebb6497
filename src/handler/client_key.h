/*
 * client_key.h - a client's address as a number, for tables of bounded size.
 */
#ifndef SHS_HANDLER_CLIENT_KEY_H
#define SHS_HANDLER_CLIENT_KEY_H

#include <shs/http.h>

#include "base/base.h"

/*
 * A keyed hash of its address: of an IPv6 one the first 64 bits, since whoever has one has them
 * all. 0 without a connection (in a test), and for a Unix socket the same for all.
 */
uint64_t shs__client_key(const uint64_t key[2], const struct shs_request *req);

#endif
