/*
 * source.h - whole files into memory, with a ceiling and a sentence for each thing that can fail.
 */
#ifndef SHS_TLS_SOURCE_H
#define SHS_TLS_SOURCE_H

#include "base/base.h"

/*
 * Fills *bytes (initialised here; freed by the caller, also after an error) with the file. `what`
 * names it: "CRL". SHS_OK; SHS_TLS, with errno, or because it is longer than `ceiling`; SHS_NOMEM.
 */
int shs__tls_read_file(struct shs_buf *bytes, const char *path, size_t ceiling, const char *what,
                       struct shs_error *err);

#endif
