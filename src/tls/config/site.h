/*
 * site.h - the SSL_CTX of one set of names, and what OpenSSL asks us during a handshake.
 */
#ifndef SHS_TLS_SITE_H
#define SHS_TLS_SITE_H

#include "tls/clients/clients.h"
#include "tls/config/context.h"
#include "tls/config/identity.h"
#include "tls/config/ocsp.h"
#include "tls/config/tickets.h"

/* Kinds of key of which a name may have one each, the preferred first. */
enum { SHS_TLS_KIND_EC, SHS_TLS_KIND_RSA, SHS_TLS_KIND_OTHER, SHS_TLS_KINDS };

/* A certificate that was loaded. */
struct shs_tls_pair {
    const struct shs_tls_cert *from;
    unsigned host;
    struct shs_tls_identity identity;
    int64_t not_before, not_after; /* Unix time */
    bool same;                     /* as in the context before */
    struct shs_error *kept; /* it is the one of the context before, and this is why; or NULL */
    struct shs_tls_ocsp ocsp;
    unsigned unused; /* certificates in its file that are not of its chain */
    int kind;
    struct shs_str *names; /* in the context's memory */
    size_t name_count;
};

struct shs_tls_site {
    SSL_CTX *ssl_ctx;
    const struct shs_tls_host *host;
    const struct shs_tls_clients *clients;
    const struct shs_tls_pair *pairs[SHS_TLS_KINDS]; /* NULL: none of that kind */
    bool stands_in[SHS_TLS_KINDS];                   /* for clients that take none of the others */
    unsigned char scope[SHS_TLS_SCOPE_LEN];          /* of its tickets */
    const char *name;                                /* one of its names; NULL when it has none */
    const struct shs_tls_pair *culprit; /* when it cannot be opened because of one of them */
};

/* What a name is answered with from the end of the period before until `until`, Unix time. */
struct shs_tls_period {
    int64_t until; /* INT64_MAX: the last of this name */
    unsigned site;
};

/* The site of that name's period. */
const struct shs_tls_site *shs__tls_site_at(const struct shs_tls_context *context,
                                            unsigned first_period, int64_t now);

/*
 * From the certificates to names, periods and sites. SHS_OK; SHS_TLS, SHS_USAGE or SHS_NOMEM with
 * *err; *culprit is the number of the certificate that is to blame, SIZE_MAX if none is.
 */
int shs__tls_sites_make(struct shs_tls_context *context, int64_t now, size_t *culprit,
                        struct shs_error *err);
void shs__tls_sites_free(struct shs_tls_context *context);

/* True while its dates say that clients will take it. */
static inline bool shs__tls_pair_valid(const struct shs_tls_pair *pair, int64_t now)
{
    return pair->not_before <= now && now < pair->not_after;
}

/* The callback of who keeps a key log: SSL_CTX_set_keylog_callback. */
void shs__tls_on_keylog(const SSL *ssl, const char *line);
/* Makes site->ssl_ctx from what is in the rest of it. SHS_OK; SHS_TLS with *err. */
int shs__tls_site_open(struct shs_tls_site *site, const struct shs_tls_context *context,
                       struct shs_error *err);

/* The site a connection was given. */
const struct shs_tls_site *shs__tls_site_of(const SSL *ssl);

/* For how long a verified client counts; also of a resumed session. */
struct shs_tls_until shs__tls_client_until(SSL *ssl);
/* Of a resumed session: by whose word its client was verified. False when that is not known. */
bool shs__tls_client_keys(SSL *ssl, struct shs_client_keys *out);

#endif
