/*
 * facts.h - what a handshake agreed on, taken out of the SSL once it is complete.
 *
 * Whoever wants to know something of a connection later asks here and never an SSL: there may be
 * none any more.
 */
#ifndef SHS_TLS_FACTS_H
#define SHS_TLS_FACTS_H

#include <openssl/ssl.h>

#include "base/base.h"

struct shs_client_keys;
struct shs_tls_context;
struct shs_tls_site;

struct shs_tls_facts {
    const struct shs_tls_site *site; /* that it was given; NULL: the context is not a server's */
    const char *version, *cipher;    /* static storage, never NULL once it is filled */
    const char *group, *signature;   /* likewise; "" when there was none */
    const char *alpn;                /* of the configuration; "" when none was agreed on */
    char *sni;                       /* that the client asked for; NULL: it gave none */
    X509 *peer;                      /* the client's certificate, a reference; NULL: none */
    STACK_OF(X509) * chain;          /* that came along with it, referenced; NULL: none */
    struct shs_client_keys *cas; /* of a resumed session: by whose word; NULL: not known by it */
    int verify_result;           /* X509_V_OK or OpenSSL's X509_V_ERR_*, of `peer` */
    int8_t security_level;
    bool tls13, resumed;
};

/* From an SSL whose handshake is complete: SHS_OK or SHS_NOMEM; to be freed in both cases. */
int shs__tls_facts_take(struct shs_tls_facts *self, SSL *ssl,
                        const struct shs_tls_context *context);
/* What is all zero is fine. */
void shs__tls_facts_free(struct shs_tls_facts *self);

#endif
