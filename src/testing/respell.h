/*
 * respell.h - a certificate whose subject is written again, byte by byte, and signed again.
 *
 * For common names that no tool writes: with a NUL in it, or longer than they may be.
 */
#ifndef SHS_TESTING_RESPELL_H
#define SHS_TESTING_RESPELL_H

#include "base/base.h"

/* *out: PEM of the leaf in `leaf_pem` with CN=name, signed by the CA's key; for shs__free. */
int shs__respell(char **out, const char *leaf_pem, struct shs_str name, const char *ca_key_pem,
                 struct shs_error *err);

/* The serial number of a certificate (DER), hexadecimal; for shs__free. */
int shs__serial_of(char **out, const void *der, size_t len, struct shs_error *err);

#endif
