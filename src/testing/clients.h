/*
 * clients.h - client certificates that a server must let in, and those that it must not.
 *
 * They are files in a directory, so that the server that is tested can be told of them beforehand:
 *
 *   DIR/ca.pem crl.pem             whom the server is to let in, and who is revoked
 *   DIR/root.pem                   what a client of the server has to trust
 *   DIR/server.pem server.key      a certificate for the server itself, of the same CA
 *   DIR/clients/NAME.pem NAME.key  one for each case
 */
#ifndef SHS_TESTING_CLIENTS_H
#define SHS_TESTING_CLIENTS_H

#include "base/base.h"

enum shs_client_expect { SHS_CLIENT_LET_IN, SHS_CLIENT_REFUSE, SHS_CLIENT_EITHER };

/* What has to be known of the server for a case to mean anything. */
enum shs_client_needs {
    SHS_CLIENT_NEEDS_NOTHING,
    SHS_CLIENT_NEEDS_CRL,      /* it reads crl.pem */
    SHS_CLIENT_NEEDS_IDENTITY, /* it says who the client is */
    SHS_CLIENT_NEEDS_SPIFFE    /* it knows SPIFFE IDs */
};

struct shs_client_case {
    const char *id, *group, *tier;
    enum shs_client_expect expect;
    enum shs_client_needs needs;
    const char *reason;      /* a word for why it is refused; "" */
    unsigned char alerts[4]; /* that say so; 0 at the end */
    const char
        *words; /* parts of what an answer in HTTP may say, in any case: "none|no required"; "" */
    const char *name;  /* the common name that the server must take it for; NULL = any */
    const char *never; /* one that it must not be taken for; NULL */
};

extern const struct shs_client_case shs__client_cases[]; /* ended by a NULL id; the first is good */

/*
 * Writes all files into `dir`, which is made. SHS_OK; SHS_USAGE when there is a set already,
 * SHS_IO, SHS_TLS, SHS_NOMEM with *err: then nothing of it is left, so that it can be tried again.
 */
int shs__clients_make(const char *dir, struct shs_error *err);

#endif
