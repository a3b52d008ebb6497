/*
 * tickets.h - the keys that seal session tickets, and what a ticket has to prove.
 *
 * Concept
 *
 *   The keys of an epoch are HKDF(secret, number of the epoch). With a secret of our own they are
 *   this server's alone; with one from a file, all servers that have it make the same keys, without
 *   talking to each other. A ticket is good in its epoch and the next; a clock that is ahead by
 *   less than an epoch is forgiven. The secret outlives reloads; after a new one the last one still
 *   opens tickets.
 *
 *   A ticket carries when its session began with a full handshake, when the first certificate of
 *   the client's chain expires and the first CRL of it lapses, whether the client was verified and
 *   by which CAs, and the scope: host and rules for clients. A session is never resumed past its
 *   age, nor in another scope. What is refused is not an error: there is a full handshake instead.
 */
#ifndef SHS_TLS_TICKETS_H
#define SHS_TLS_TICKETS_H

#include <openssl/ssl.h>

#include "base/base.h"
#include "tls/clients/keys.h"

#define SHS_TLS_SECRET_MIN ((size_t)32)
#define SHS_TLS_SCOPE_LEN 32

struct shs_tls_tickets;

/* With a random secret. SHS_OK, SHS_NOMEM or SHS_TLS. One reference. */
int shs__tls_tickets_new(struct shs_tls_tickets **out, unsigned epoch_s);
/* A sentence about an rc of it that is not SHS_OK. */
const char *shs__tls_tickets_trouble(int rc);
struct shs_tls_tickets *shs__tls_tickets_ref(struct shs_tls_tickets *self);
/* NULL is fine. */
void shs__tls_tickets_free(struct shs_tls_tickets *self);

/* From now on with this secret; the last one still opens tickets. 1; 0 when it is the one of now
   already; SHS_NOMEM, and nothing changes. Safe from any thread. */
int shs__tls_tickets_set_secret(struct shs_tls_tickets *self, const void *secret, size_t len);

struct shs_tls_ticket_key {
    unsigned char name[16], aes[32], mac[32];
};

/* The key that seals at `now`, Unix time. Safe from any thread, as the next. */
bool shs__tls_tickets_seal(struct shs_tls_tickets *self, int64_t now,
                           struct shs_tls_ticket_key *key);
/* The key of that name, if it may still open a ticket at `now`; *renew: it is not the newest. */
bool shs__tls_tickets_open(struct shs_tls_tickets *self, int64_t now, const unsigned char name[16],
                           struct shs_tls_ticket_key *key, bool *renew);

/* For OpenSSL: SSL_CTX_set_tlsext_ticket_key_evp_cb with the tickets of SSL's stream. */
int shs__tls_ticket_crypt(struct shs_tls_tickets *self, int64_t now, unsigned char *name,
                          unsigned char *iv, EVP_CIPHER_CTX *cipher, EVP_MAC_CTX *mac, int enc);

/* What a ticket says beside OpenSSL's session. */
struct shs_tls_anchor {
    int64_t began;           /* the full handshake, Unix time */
    int64_t chain_not_after; /* of the client's chain; INT64_MAX without one */
    int64_t crls_until;      /* then a CRL of that chain lapses; INT64_MAX without one */
    bool verified;           /* the client had a certificate, and it was accepted */
    unsigned char scope[SHS_TLS_SCOPE_LEN];
    struct shs_client_keys cas; /* by whose word: a ticket has no chain in it */
};
#define SHS_TLS_ANCHOR_LEN (1 + 8 + 8 + 8 + 1 + SHS_TLS_SCOPE_LEN) /* before the keys */
#define SHS_TLS_ANCHOR_MAX (SHS_TLS_ANCHOR_LEN + SHS_CLIENT_CAS_MAX * SHS_CLIENT_KEY_LEN)
/* How long it is. */
size_t shs__tls_anchor_write(const struct shs_tls_anchor *anchor,
                             unsigned char bytes[SHS_TLS_ANCHOR_MAX]);
bool shs__tls_anchor_read(struct shs_tls_anchor *anchor, const unsigned char *bytes, size_t len);

#endif
