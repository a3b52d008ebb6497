/*
 * door.h - how a connection comes out of libssl: its secrets, its sequence numbers, and when.
 *
 * Concept
 *
 *   With SHS_TLS_RECORDS_DIRECT each connection has a door until it has gone through it, or it is
 *   known that it cannot. The traffic secrets come by libssl's key log, which is the one way in all
 *   of OpenSSL 3. What libssl has sent and taken under them is counted by its message callback,
 *   record by record.
 *
 *   It opens when libssl holds nothing: of the bytes that it was given, all were records that it
 *   has handed on, and it has nothing left to write. Records that it gives nobody leave something
 *   behind in it, the beginning of a handshake message or a count of them (empty ones, warnings):
 *   after such a record the door stays shut until there is data again.
 */
#ifndef SHS_TLS_DOOR_H
#define SHS_TLS_DOOR_H

#include <openssl/ssl.h>

#include <shs/tls.h>

#include "tls/wire/records.h"

struct shs_tls_door {
    struct shs_tls_traffic in, out;
    uint64_t bytes;        /* of records that libssl has begun to read, whole */
    uint64_t given;        /* in.seq when it gave data last */
    uint8_t secret_len[2]; /* of in, of out; 0: it is not known */
};

/* NULL: no memory. */
struct shs_tls_door *shs__tls_door_new(void);
/* Wipes it. NULL is fine. */
void shs__tls_door_free(struct shs_tls_door *self);

/* A line of the key log. Others than those of the traffic secrets are passed over. */
void shs__tls_door_secret(struct shs_tls_door *self, const char *line);
/* What libssl's message callback says. */
void shs__tls_door_message(struct shs_tls_door *self, bool written, int content_type,
                           const unsigned char *bytes, size_t len);
/* libssl has given data: of what came before that, nothing is left in it but the rest of it. */
void shs__tls_door_gave(struct shs_tls_door *self);

/* After the handshake: SHS_TLS_STAYS_NOT_YET when it may open later, else why it never does. */
enum shs_tls_stays shs__tls_door_judge(const struct shs_tls_door *self, const SSL *ssl);

/*
 * The record layer that goes on where `ssl` is, of which `bytes_in` bytes were given to it. NULL
 * with *why: NOT_YET when libssl holds something, MEMORY.
 */
struct shs_tls_records *shs__tls_door_open(const struct shs_tls_door *self, const SSL *ssl,
                                           const struct shs_tls_suites *suites, uint64_t bytes_in,
                                           enum shs_tls_stays *why);

#endif
