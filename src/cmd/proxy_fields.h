/*
 * proxy_fields.h - which fields of a message --proxy passes on, and which are of one connection.
 */
#ifndef SHS_CMD_PROXY_FIELDS_H
#define SHS_CMD_PROXY_FIELDS_H

#include <shs/http.h>

#include "http/reply.h"

/* A list with "," between has the word; as Connection names fields. */
bool proxy_list_has(struct shs_str list, struct shs_str word);
/* Letters of either case; "_" as "-". */
bool proxy_field_begins(struct shs_str name, const char *with);
/* False: it is of the connection on which it came, or written anew by us. */
bool proxy_passes_to_server(const struct shs_request *req, struct shs_str name);
bool proxy_passes_to_client(const struct shs_reply *reply, struct shs_str name);

#endif
