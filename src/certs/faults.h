/*
 * faults.h - what a fault of a certificate asks of the authority that signs it.
 */
#ifndef SHS_CERTS_FAULTS_H
#define SHS_CERTS_FAULTS_H

/* The kind of key that an authority needs to sign one with that fault, or over that digest; NULL:
   any. Either may be NULL. */
const char *shs__fault_signer_key(const char *fault, const char *digest);

#endif
