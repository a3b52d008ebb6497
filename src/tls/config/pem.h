/*
 * pem.h - the blocks of a PEM file, without silent losses.
 *
 * OpenSSL's reader passes over whatever is not exactly a BEGIN line at the start of a line: a
 * certificate behind a blank, behind a byte order mark, or with a damaged line is then gone, and
 * nobody is told. This one reads what can only be meant in one way (blanks before and after the
 * line), and names file, line and fault of everything else. Text between blocks is fine; what is no
 * text (DER, UTF-16) is a loss as well, in a file that has a block.
 */
#ifndef SHS_TLS_PEM_H
#define SHS_TLS_PEM_H

#include <openssl/x509.h>

#include "base/base.h"

struct shs_tls_pem {
    const char *at, *end; /* what is left */
    const char *name;     /* of the file, as it is to be in a message: quoted */
    unsigned line;        /* of `at`, from 1 */
    unsigned no_text;     /* the first line outside of blocks that is none; 0 */
    bool has_block;
};

/* Views of the bytes, but for `der`, which is the caller's to free with shs__tls_pem_drop. */
struct shs_tls_pem_block {
    struct shs_str label; /* "CERTIFICATE" */
    struct shs_str text;  /* the whole of it, from its BEGIN to its END */
    unsigned line;        /* of its BEGIN */
    bool locked;          /* it has a head (Proc-Type): `der` is encrypted */
    unsigned char *der;
    size_t len;
};

/* `bytes` and `name` are borrowed. */
void shs__tls_pem_begin(struct shs_tls_pem *self, const char *bytes, size_t len, const char *name);

/* The next block: SHS_OK; SHS_CLOSED when there is none left; SHS_TLS or SHS_NOMEM with *err. */
int shs__tls_pem_next(struct shs_tls_pem *self, struct shs_tls_pem_block *block,
                      struct shs_error *err);
/* Wipes and frees what belongs to it; once is enough. */
void shs__tls_pem_drop(struct shs_tls_pem_block *block);

/* DER of a certificate, CRL or PKCS #12: these are longer than 127 bytes. A text may begin with a
   '0', too. */
bool shs__tls_is_der(const struct shs_buf *bytes);

/* The block as OpenSSL's own reader wants it, appended to *out: SHS_OK, SHS_LIMIT or SHS_NOMEM. */
int shs__tls_pem_text(const struct shs_tls_pem_block *block, struct shs_buf *out);

bool shs__tls_pem_is(const struct shs_tls_pem_block *block, const char *label);
/* "CERTIFICATE", and the two others that stand for it. */
bool shs__tls_pem_is_certificate(const struct shs_tls_pem_block *block);
/* A private key of any kind, encrypted or not. */
bool shs__tls_pem_is_key(const struct shs_tls_pem_block *block);

/* The certificate in such a block: SHS_OK, SHS_TLS or SHS_NOMEM. A trusted one keeps what it is
   trusted for. */
int shs__tls_pem_certificate(X509 **out, const struct shs_tls_pem *self,
                             const struct shs_tls_pem_block *block, struct shs_error *err);

/*
 * For a file in which a block of that label has no business, and would be lost: SHS_TLS with a
 * sentence that says what to do.
 */
int shs__tls_pem_stray(const struct shs_tls_pem *self, const struct shs_tls_pem_block *block,
                       const char *what, struct shs_error *err);

#endif
