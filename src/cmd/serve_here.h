/*
 * serve_here.h - what this computer is called on the networks that it is in: its addresses, its
 * host name, and HOST.local, the name by which mDNS has it.
 */
#ifndef SHS_CMD_SERVE_HERE_H
#define SHS_CMD_SERVE_HERE_H

#include "base/base.h"
#include "cmd/serve_place.h"

#define SERVE_HERE_MAX 60

struct serve_here {
    char names[SERVE_HERE_MAX][SERVE_HOST_MAX];
    size_t addresses; /* so many of names are addresses, and come first: the best one, then IPv4 */
    size_t count;     /* of all names; the last ones are host names */
    bool more;        /* there are more than fit */
};

/*
 * Looks at the interfaces that are up. Left out: loopback, and IPv6 addresses of a link, which
 * neither a certificate nor a URL that others use can have. Makes sockets, and sends nothing.
 */
void serve_here_find(struct serve_here *out);

/* Letters, digits, "-" and ".", as the name of a host has them. */
bool serve_is_host_name(const char *name);
/* That, or an address. */
bool serve_is_name(const char *name);

/* It listens on every interface: of both kinds of address, or of IPv4 alone. */
bool serve_is_everywhere(const char *host);

#endif
