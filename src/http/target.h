/*
 * target.h - the request target and the Host field: RFC 9112 section 3.2, RFC 3986.
 */
#ifndef SHS_TARGET_H
#define SHS_TARGET_H

#include "http/message.h"

/*
 * Reads head->target (head->method and head->target are set) into form, path, query and, for the
 * absolute form, host. SHS_OK, or SHS_PROTO with *why.
 */
int shs__target_parse(struct shs_head *head, struct shs_refusal *why);

/* uri-host [ ":" port ] as in Host, not empty: a name, an IPv4 address or an [IPv6] address. */
bool shs__is_host(struct shs_str s);

#endif
