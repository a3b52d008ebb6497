/*
 * pki.h - the throw-away CA of a test server, what it has signed, and the files of it.
 *
 * A directory (0700) in the temporary directory holds what others can only take from a file: the
 * CA's certificate, and the client's certificate and key. It goes away with the struct.
 */
#ifndef SHS_TESTING_PKI_H
#define SHS_TESTING_PKI_H

#include "base/base.h"

struct shs_test_pki {
    struct shs_buf ca_pem, cert_pem, key_pem; /* NUL-terminated; of the server */
    struct shs_buf client_pem, client_key_pem;
    char *dir, *ca_path, *client_ca_path, *client_path, *client_key_path; /* NULL: not made */
};

/*
 * Makes the CA, a certificate for `names` (NULL-terminated), and with `client` one for a client.
 * With `client_ca_pem` that is written to client_ca_path; else the CA itself is whom clients are
 * let in by. SHS_OK; SHS_USAGE (a name), SHS_TLS, SHS_IO or SHS_NOMEM with *err, nothing is left
 * then.
 */
int shs__test_pki_make(struct shs_test_pki *self, const char *temp_dir, const char *const *names,
                       bool client, const char *client_ca_pem, struct shs_error *err);
void shs__test_pki_free(struct shs_test_pki *self); /* removes the files; one of zeros is fine */

#endif
