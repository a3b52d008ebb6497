/*
 * words.h - what a certificate is described with: words, dates, serial numbers.
 */
#ifndef SHS_CERTS_WORDS_H
#define SHS_CERTS_WORDS_H

#include <openssl/asn1.h>
#include <openssl/evp.h>

#include "base/base.h"

/* SHS_TLS with *err: "WHAT failed: " and OpenSSL's last reason. Empties its queue. */
int shs__certs_fail(struct shs_error *err, const char *what);
int shs__certs_nomem(struct shs_error *err);

/* The next word of a list, "a,b , c", into `word`, and *at behind it; false after the last. */
#define SHS_WORD_MAX 128
bool shs__word_next(const char **at, char word[SHS_WORD_MAX]);

/* SHS_OK with the digest's name as OpenSSL has it ("SHA2-256"), NULL = sha256; or SHS_USAGE. */
int shs__digest_word(const char **out, const char *word, struct shs_error *err);

/* The number a serial's word is, into *out; NULL = random. */
int shs__serial_word(ASN1_INTEGER *out, const char *word, struct shs_error *err);
/* The same for another number: `what` it is not, "the number of a CRL", and what is taken as well
   as numbers, "or random21". */
int shs__number_word(ASN1_INTEGER *out, const char *word, const char *what, const char *also,
                     struct shs_error *err);
/* "0A1B", for shs__free; NULL when out of memory. */
char *shs__serial_text(const ASN1_INTEGER *serial);
#define SHS_SERIAL_DIGITS 80
/* The other way round, of so many digits at most; NULL: it is none. */
ASN1_INTEGER *shs__serial_parse(const char *text);

#endif
