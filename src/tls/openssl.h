/*
 * openssl.h - OpenSSL, set up once and for all.
 *
 * OpenSSL sets itself up when it is used for the first time. When there is no memory for that, it
 * says so to nobody, and falls over the next time it is used (3.0). So whoever may be the first
 * asks here.
 */
#ifndef SHS_TLS_OPENSSL_H
#define SHS_TLS_OPENSSL_H

#include <stdbool.h>

/* Is it set up? False: it cannot be, in this process. Any thread. */
bool shs__openssl_ready(void);

/* The directory from which its modules are loaded; NULL: none. */
const char *shs__openssl_modules(void);

#endif
