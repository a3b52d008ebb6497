/*
 * trust_install.h - `shs trust install` and `remove`: an authority in the stores of this machine.
 */
#ifndef SHS_CMD_TRUST_INSTALL_H
#define SHS_CMD_TRUST_INSTALL_H

#include "base/base.h"
#include "certs/look.h"

#define TRUST_NAME_MAX 20

/* What an authority is called in stores: "shs-" and the first 12 digits of its fingerprint, so that
   several have room beside one another. */
void trust_name(const char *fingerprint, char name[TRUST_NAME_MAX]);

/*
 * Reads the authority in the file: one certificate, and no key. Appends it to `pem`. CMD_OK, or a
 * failure already said.
 *
 *   over  it has ended; NULL: that makes no difference, nor whether it is an authority
 */
int trust_read(const char *path, struct shs_buf *pem, char fingerprint[SHS_LOOK_FINGERPRINT],
               bool *over);

int trust_install(int argc, char **argv);
int trust_remove(int argc, char **argv);

#endif
