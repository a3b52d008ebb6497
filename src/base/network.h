/*
 * network.h - IP addresses and networks as bytes: read from text, compared, written.
 *
 * An IPv4 address is kept as its mapped IPv6 one (RFC 4291, 2.5.5.2), so that a client that comes
 * by a dual-stack socket is the same as one that comes by IPv4.
 */
#ifndef SHS_BASE_NETWORK_H
#define SHS_BASE_NETWORK_H

#include "base/base.h"

#define SHS_NETWORKS_MAX 1024u /* of a list */
#define SHS_ADDRESS_TEXT_MAX 46u

struct shs__address {
    uint8_t bytes[16];
};

struct shs__network {
    struct shs__address address;
    uint8_t prefix; /* of 128 */
    bool is_v4;
};

/* All zeros: none. */
struct shs__networks {
    struct shs__network *items;
    size_t count;
};

/* "192.0.2.1", "2001:db8::1": without brackets, port or zone. False: it is none. */
bool shs__address_read(struct shs__address *out, struct shs_str text);
void shs__address_text(const struct shs__address *address, char text[SHS_ADDRESS_TEXT_MAX]);
bool shs__address_is_v4(const struct shs__address *address);
bool shs__address_eq(const struct shs__address *a, const struct shs__address *b);

/*
 * "10.0.0.0/8", "fd00::/8", "192.0.2.7" (that one alone).
 *
 * Returns SHS_OK; or SHS_USAGE, with *err: it is none, or it has bits behind its prefix, which is a
 * slip: "10.0.0.5/8" may mean one machine, or sixteen million.
 */
int shs__network_read(struct shs__network *out, const char *text, struct shs_error *err);

/* A list that ends with NULL; NULL is an empty one. SHS_OK, SHS_USAGE, SHS_LIMIT, SHS_NOMEM. */
int shs__networks_read(struct shs__networks *out, const char *const *texts, struct shs_error *err);
void shs__networks_free(struct shs__networks *self);
bool shs__networks_have(const struct shs__networks *self, const struct shs__address *address);

#endif
