/*
 * context.h - what all TLS connections of one certificate share.
 *
 * Concept
 *
 *   A struct shs_tls_context is an SSL_CTX, complete before the first connection uses it and read
 *   only from then on, with a reference count. Every TLS stream holds a reference, so a context can
 *   be replaced under load: make the new one, swap the pointer under a lock, free the old one; it
 *   goes with its last connection.
 */
#ifndef SHS_TLS_CONTEXT_H
#define SHS_TLS_CONTEXT_H

#include <stdatomic.h>

#include <openssl/ssl.h>

#include <shs/options.h>

#include "base/base.h"

struct shs_tls_context {
    SSL_CTX *ssl_ctx;
    BIO_METHOD *bio_method;
    _Atomic unsigned refs;
};

/*
 * The context of a server, from certfile / keyfile or cert_pem / key_pem and the password callback.
 * Returns SHS_OK with one reference; SHS_USAGE, SHS_TLS or SHS_NOMEM with *err, a sentence
 * that names the file. Safe from any thread.
 */
int shs__tls_context_new(struct shs_tls_context **out, const struct shs_options *opt,
                         struct shs_error *err);

/* A context around any SSL_CTX, of a client too; taken on success. SHS_OK or SHS_NOMEM. */
int shs__tls_context_wrap(struct shs_tls_context **out, SSL_CTX *ssl_ctx);

/* One more reference, and one less. Safe from any thread that holds one. */
struct shs_tls_context *shs__tls_context_ref(struct shs_tls_context *self);
void shs__tls_context_free(struct shs_tls_context *self);

/*
 * Something about the certificate that works but that its owner should know: true, with a sentence
 * in *note. `index` counts from 0 until the answer is false. `now` is Unix time.
 */
bool shs__tls_context_advice(const struct shs_tls_context *self, unsigned index, int64_t now,
                             struct shs_error *note);

#endif
