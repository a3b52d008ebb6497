/*
 * files.h - certificates and keys as files: complete before they have their names, keys 0600.
 */
#ifndef SHS_CERTS_FILES_H
#define SHS_CERTS_FILES_H

#include <sys/types.h>

#include "base/base.h"

/* DIR/NAME with that content. With `replace` false, SHS_USAGE when it is there. SHS_IO. */
int shs__file_write(const char *dir, const char *name, mode_t mode, const void *bytes, size_t len,
                    bool replace, struct shs_error *err);

/* The directory, made (0700) if it is missing. */
int shs__file_dir(const char *dir, struct shs_error *err);

/* DIR/NAME.pem and DIR/NAME.key; both or, when one is there and may not be replaced, neither. Of
   several that save at once one has written both before the next looks what is there. */
int shs__files_save(const char *dir, const char *name, const char *pem, const char *key_pem,
                    bool replace, struct shs_error *err);

/* The whole file, NUL-terminated, for shs__text_wipe. SHS_IO; SHS_LIMIT above `ceiling` bytes. */
int shs__file_read(const char *path, size_t ceiling, char **out, size_t *len,
                   struct shs_error *err);

#endif
