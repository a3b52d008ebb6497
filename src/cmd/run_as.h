/*
 * run_as.h - `--user NAME[:GROUP]`: root until the ports are open and the keys are read, and never
 * again.
 */
#ifndef SHS_CMD_RUN_AS_H
#define SHS_CMD_RUN_AS_H

#include <sys/types.h>

#include "base/base.h"

struct run_as {
    bool wanted; /* false: stay who we are */
    char name[64];
    uid_t uid;
    gid_t gid;
};

/* Looks the user up, before anything is opened. CMD_OK, or a failure already said: no such user,
   or nobody but root may become another. */
int run_as_find(struct run_as *self, const char *text);
/* Becomes that user, all threads of the process, with that group and its further groups; and makes
   sure that there is no way back. CMD_OK, or a failure already said. */
int run_as_drop(const struct run_as *self);

#endif
