/*
 * names.h - from the name a client asks for to a number: a hash of exact and wildcard names.
 *
 * "*.example.com" stands for one label: "a.example.com", not "example.com" nor "b.a.example.com"
 * (RFC 6125, 6.4.3). An exact name wins. Built once, then read only.
 */
#ifndef SHS_TLS_NAMES_H
#define SHS_TLS_NAMES_H

#include "base/base.h"

#define SHS_TLS_NAME_MAX 255

struct shs_tls_names;

/* Room for `count` names; SHS_OK or SHS_NOMEM. */
int shs__tls_names_new(struct shs_tls_names **out, size_t count);
/* NULL is fine. */
void shs__tls_names_free(struct shs_tls_names *self);

/*
 * Adds a name, if it is not there: the first wins. True: *value is the one it has now. False: it is
 * no name (empty, too long, a '*' that is not its first label), or there is no room.
 */
bool shs__tls_names_add(struct shs_tls_names *self, struct shs_str name, unsigned *value);

/* False when a name is missing because there was no memory for it. */
bool shs__tls_names_complete(const struct shs_tls_names *self);

/* The value for what a client asks for: a host name in any case, with or without a last dot. */
bool shs__tls_names_find(const struct shs_tls_names *self, struct shs_str name, unsigned *value);

/* The same, but only what a wildcard says. */
bool shs__tls_names_find_wild(const struct shs_tls_names *self, struct shs_str name,
                              unsigned *value);

/* An IPv4 or IPv6 address: no host name, and not to be sent as one (RFC 6066, 3). */
bool shs__tls_name_is_address(struct shs_str name);

#endif
