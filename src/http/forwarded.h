/*
 * forwarded.h - the fields in which proxies say for whom they ask: which of them stay, and what
 * they say.
 *
 * Nothing here knows who is trusted: the caller says it of addresses.
 */
#ifndef SHS_HTTP_FORWARDED_H
#define SHS_HTTP_FORWARDED_H

#include <shs/forwarded.h>

#include "base/network.h"
#include "http/exchange.h"

#define SHS_FORWARDED_HOPS 32u

/* What was said of a request; in its arena. Texts that were not there have ptr NULL. */
struct shs__forwarded {
    const char *client; /* NULL: the peer */
    unsigned port;
    struct shs_str scheme, host;
    bool has_cert;
    struct shs_forwarded_cert cert;
};

/* Forwarded, X-Real-IP, X-Forwarded-ANYTHING. */
bool shs__is_forwarded_name(struct shs_str name);

/* Deletes such fields from a head, but those in `keep` (SHS_FORWARDED_...). */
void shs__forwarded_delete(struct shs_head *head, unsigned keep);

/*
 * Reads what the fields of a trusted peer say.
 *
 *   fields   those that count
 *   trusted  is that the address of a proxy?
 *
 * Returns SHS_OK, and shs__forwarded_of has it; SHS_NOMEM; SHS_PROTO when one cannot be read, with
 * *why.
 */
int shs__forwarded_read(struct shs_request *req, unsigned fields,
                        bool (*trusted)(const void *ctx, const struct shs__address *address),
                        const void *ctx, const char **why);

/* What was read of it; NULL: nothing. */
const struct shs__forwarded *shs__forwarded_of(const struct shs_request *req);

#endif
