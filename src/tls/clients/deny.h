/*
 * deny.h - certificates that are not let in, whoever signed them: for a client that has to be kept
 * out now, and not when its CA has a new CRL.
 *
 * A line of the file, and an entry of shs_tls_deny:
 *
 *   cert HEX           the SHA-256 of the certificate (DER)
 *   spki HEX           the SHA-256 of its SubjectPublicKeyInfo: also when it is renewed
 *   serial HEX ISSUER  its serial number, and its issuer in the form of RFC 2253
 *
 * HEX may have colons. Empty lines and lines that begin with '#' are passed over.
 */
#ifndef SHS_TLS_DENY_H
#define SHS_TLS_DENY_H

#include <shs/tls.h>

#include "base/base.h"

#define SHS_DENY_KEY_LEN 33 /* a kind, and a SHA-256 */

/* What a certificate may be listed by. */
struct shs_tls_deny_keys {
    unsigned char key[3][SHS_DENY_KEY_LEN];
};

/* What a file says: immutable. */
struct shs_tls_deny_set;
/* What is denied now: that of the file, and what was added. Any thread. */
struct shs_tls_deny;

int shs__tls_deny_read(struct shs_tls_deny_set **out, const char *path, struct shs_error *err);
/* NULL is fine. */
void shs__tls_deny_set_free(struct shs_tls_deny_set *self);

/* One reference. SHS_OK or SHS_NOMEM. */
int shs__tls_deny_new(struct shs_tls_deny **out);
struct shs_tls_deny *shs__tls_deny_ref(struct shs_tls_deny *self);
void shs__tls_deny_free(struct shs_tls_deny *self);

/* The file's part is this from now on (taken; NULL: none). True when it is another than before. */
bool shs__tls_deny_replace(struct shs_tls_deny *self, struct shs_tls_deny_set *set);
/* Adds an entry: SHS_OK, SHS_USAGE with *err, SHS_LIMIT, SHS_NOMEM. */
int shs__tls_deny_add(struct shs_tls_deny *self, const char *entry, struct shs_error *err);

/* Takes back what shs__tls_deny_add added: SHS_OK, also when it is not there; SHS_USAGE with *err
   for what is not an entry. What the file says stays. */
int shs__tls_deny_remove(struct shs_tls_deny *self, const char *entry, struct shs_error *err);

/* Who is asked as well, of each certificate that verified. Before anybody serves. */
typedef bool shs__tls_denies_fn(void *ctx, const struct shs_client_identity *identity);
void shs__tls_deny_ask(struct shs_tls_deny *self, shs__tls_denies_fn *denies, void *ctx);

/* False when there was no memory: then nobody may be let in. */
bool shs__tls_deny_keys_of(struct shs_tls_deny_keys *out,
                           const struct shs_client_identity *identity);
bool shs__tls_deny_is_empty(const struct shs_tls_deny *self);
bool shs__tls_deny_has(struct shs_tls_deny *self, const struct shs_tls_deny_keys *keys);
/* Without keys at hand: 1, 0, or -1 when there was no memory to tell: then nobody may be let in. */
int shs__tls_deny_denies(struct shs_tls_deny *self, const struct shs_client_identity *identity);

#endif
