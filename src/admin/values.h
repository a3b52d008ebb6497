/*
 * values.h - JSON values for answers. Each that makes one returns NULL when there is no memory,
 * and takes what it is given in any case, as jansson's "_new" functions do.
 */
#ifndef SHS_ADMIN_VALUES_H
#define SHS_ADMIN_VALUES_H

#include <jansson.h>

#include <shs/tls.h>

#include "admin/handshakes.h"
#include "admin/watch.h"
#include "base/base.h"

/* A string; null for NULL. What is not UTF-8 is read as latin-1. */
json_t *shs__admin_text(const char *text);
json_t *shs__admin_text_str(struct shs_str s);
/* The same, and null for "". */
json_t *shs__admin_text_or_null(const char *text);
/* "2026-11-28T08:49:37.123Z". */
json_t *shs__admin_time_ms(int64_t unix_ms);
json_t *shs__admin_time(int64_t unix_s);
int64_t shs__admin_now_ms(void);

/* A connection, as of `now_ns`. */
json_t *shs__admin_row_value(const struct shs_admin_row *row, const char *server, int64_t now_ns);
/* Of so many failed handshakes, the causes that there were; probes are none. */
json_t *shs__admin_causes(const uint64_t counts[SHS_TLS_CAUSE_COUNT]);
json_t *shs__admin_handshake_value(const struct shs_admin_handshake *item);
/* A certificate of a client, with all it says. NULL gives null. */
json_t *shs__admin_certificate_value(const struct shs_client_identity *id);

/* "60s", "10m", "2h", "30d", "250ms", "5" (seconds): milliseconds. */
bool shs__admin_duration(struct shs_str text, uint64_t *ms);

/*
 * The value as a line of ASCII, without its end. Takes the value. SHS_OK, SHS_NOMEM (also for
 * NULL), SHS_LIMIT.
 */
int shs__admin_dump(json_t *value, struct shs_buf *out);

#endif
