/*
 * pki.h - the throw-away CA of a test server, what it has signed, and the files of it.
 *
 * A directory (0700) in the temporary directory holds what others can only take from a file: the
 * CA's certificate, and the client's certificate and key. It goes away with the struct.
 */
#ifndef SHS_TESTING_PKI_H
#define SHS_TESTING_PKI_H

#include <shs/certs.h>

#include "base/base.h"
#include "certs/throwaway.h"

struct shs_test_pki {
    char *ca_pem, *cert_pem, *key_pem; /* of the server */
    char *client_pem, *client_key_pem;
    struct shs__throwaway place;
    char *ca_path, *client_ca_path, *client_path, *client_key_path; /* NULL: not made */
};

struct shs_test_pki_wish {
    const struct shs_ca *ca; /* who signs; NULL = one that is made, and forgotten */
    const char *temp_dir;
    const char *const *names; /* of the server, NULL at the end */
    const char *fault;        /* of the server's certificate, as shs_cert_fault has them; or NULL */
    bool client;              /* make a certificate for a client */
    const char *client_ca_pem; /* written to client_ca_path; or NULL */
};

/* SHS_OK; SHS_USAGE (a name, a fault), SHS_TLS, SHS_IO or SHS_NOMEM with *err: nothing is left. */
int shs__test_pki_make(struct shs_test_pki *self, const struct shs_test_pki_wish *wish,
                       struct shs_error *err);
void shs__test_pki_free(struct shs_test_pki *self); /* removes the files; one of zeros is fine */

#endif
