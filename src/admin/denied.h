/*
 * denied.h - who is kept out by what TLSMixIn's own list has no words for: the beginning of a
 * SPIFFE ID, the user at the other end of a Unix socket. Any thread.
 */
#ifndef SHS_ADMIN_DENIED_H
#define SHS_ADMIN_DENIED_H

#include <shs/tls.h>

#include "base/base.h"

#define SHS_ADMIN_DENIED_MAX 10000

struct shs_admin_denied;

/* SHS_OK or SHS_NOMEM. */
int shs__admin_denied_new(struct shs_admin_denied **out);
void shs__admin_denied_free(struct shs_admin_denied *self); /* NULL is fine */

/*
 * Adds an entry: "spiffe PREFIX" or "uid NUMBER" are its own; any other line is kept with them,
 * for who writes or shows the list. *added is false for one that was there. SHS_OK, SHS_LIMIT,
 * SHS_NOMEM.
 */
int shs__admin_denied_add(struct shs_admin_denied *self, const char *entry, bool *added);
/* Takes one away; false: it is not there. */
bool shs__admin_denied_remove(struct shs_admin_denied *self, const char *entry);
/* Takes the last one away again: what it stands for could not be done. */
void shs__admin_denied_drop_last(struct shs_admin_denied *self);

bool shs__admin_denied_has_uid(struct shs_admin_denied *self, uid_t uid);
bool shs__admin_denied_has_spiffe(struct shs_admin_denied *self, struct shs_str id);

size_t shs__admin_denied_count(struct shs_admin_denied *self);
/* All entries, a line each, in the order they came. SHS_OK, SHS_LIMIT, SHS_NOMEM. */
int shs__admin_denied_text(struct shs_admin_denied *self, struct shs_buf *out);

#endif
