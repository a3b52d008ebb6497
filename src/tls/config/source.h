/*
 * source.h - whole files into memory, with a ceiling and a sentence for each thing that can fail.
 */
#ifndef SHS_TLS_SOURCE_H
#define SHS_TLS_SOURCE_H

#include "base/base.h"

/* A path in a message: quoted, and of a long one the end, which tells more. */
struct shs_tls_path_name {
    char text[96];
};
void shs__tls_path_name(struct shs_tls_path_name *name, const char *path);

/*
 * Fills *bytes (initialised here; freed by the caller, also after an error) with the file. `what`
 * names it: "CRL". Never waits: a pipe is refused, as a directory is, and a file that is longer
 * than `ceiling`, before anything is read. SHS_OK; SHS_TLS, with errno if there is one; SHS_NOMEM.
 */
int shs__tls_read_file(struct shs_buf *bytes, const char *path, size_t ceiling, const char *what,
                       struct shs_error *err);

/* True when others than owner and group may read or write it. False when it cannot be looked at. */
bool shs__tls_open_to_others(const char *path);

#endif
