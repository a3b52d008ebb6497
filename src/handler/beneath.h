/*
 * beneath.h - open(2) that cannot leave a directory.
 */
#ifndef SHS_HANDLER_BENEATH_H
#define SHS_HANDLER_BENEATH_H

#include "base/base.h"

/*
 * openat2(2) with RESOLVE_BENEATH and RESOLVE_NO_MAGICLINKS: "..", an absolute name, a symbolic
 * link or a rename under way that would lead out of root_fd fails with EXDEV. A link that leaves it
 * on its way and ends inside (one that is written from "/" on) is found by /proc, where there is
 * one, and opened beneath root_fd by the name that it has there. The descriptor is close-on-exec
 * and never blocks in open (a FIFO opens at once).
 *
 *   name   relative, NUL-terminated; "" is root_fd itself
 *   flags  more flags for open: O_RDONLY, O_PATH, O_DIRECTORY
 *
 * Returns a descriptor, or -1 with errno.
 */
int shs__open_beneath(int root_fd, const char *name, int flags);

#endif
