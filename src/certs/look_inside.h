/* look_inside.h - struct shs__look, for the files that fill, judge and print it. */
#ifndef SHS_CERTS_LOOK_INSIDE_H
#define SHS_CERTS_LOOK_INSIDE_H

#include <openssl/x509.h>

#include "certs/look.h"

struct shs__look {
    STACK_OF(X509) * certs; /* as they stand there */
    EVP_PKEY *key;          /* a private key that was among them; NULL = none */
    char protocol[16];      /* of a server: "TLSv1.3" */
};

#endif
