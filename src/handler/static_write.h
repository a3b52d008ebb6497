/*
 * static_write.h - what PUT (static_upload.c) and POST (static_form.c) have in common.
 */
#ifndef SHS_HANDLER_STATIC_WRITE_H
#define SHS_HANDLER_STATIC_WRITE_H

#include "handler/static_site.h"

/* An answer for what a write or a rename said, errno. */
int shs__static_refuse_store(struct shs_visit *v, int sys_errno);

/*
 * A page of another site can make a browser send things here, and nobody would have asked for it.
 * Browsers say where a request comes from. False: it may not write, and has been answered with *rc.
 */
bool shs__static_may_write(struct shs_visit *v, int *rc);

/* True when the path is one that can be stored under; otherwise it has been answered with *rc. */
bool shs__static_clean_target(struct shs_visit *v, int *rc);

/*
 * Between the look at a name and its replacement nobody else of this server stores in the
 * directory, and no other one either, where the file system has locks. SHS_OK, or SHS_IO with errno
 * when it could not be had in time.
 */
int shs__static_lock(struct shs_static_files *self, int dir_fd);
void shs__static_unlock(struct shs_static_files *self, int dir_fd);

/*
 * A compressed sibling that is there already is of another content: the file becomes newer than it,
 * so that it is not sent for the file.
 */
void shs__static_outdate_siblings(int dir_fd, const char *name, int fd);

#endif
