/*
 * paths.h - every path a configuration is read from, in one place, and a look at all of them.
 *
 * Whoever adds a file to the configuration adds it to shs__tls_each_path: then it is watched.
 */
#ifndef SHS_TLS_PATHS_H
#define SHS_TLS_PATHS_H

#include <shs/tls.h>

#include "base/base.h"

/* `whole`: a directory of which every entry counts (the path itself comes first, then each). */
typedef void shs_tls_path_fn(void *ctx, const char *path, bool whole);

void shs__tls_each_path(const struct shs_tls_config *config, shs_tls_path_fn *fn, void *ctx);

/*
 * A number for the state of all files: another one when any of them was written, replaced, renamed,
 * removed, made readable or unreadable (device, inode, size, and the times of its content and of
 * its inode in ns). Never 0. A file that was written in this very tick of the clock makes it a
 * number that does not come again, for another write may not be told from this one.
 */
uint64_t shs__tls_look(const struct shs_tls_config *config);

#endif
