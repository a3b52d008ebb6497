/*
 * env_list.h - an environment for a command: ours, with some variables set and some taken away.
 */
#ifndef SHS_CMD_ENV_LIST_H
#define SHS_CMD_ENV_LIST_H

#include "base/base.h"

struct env_list {
    char **env; /* for execve */
    char **own; /* those of it that were made here */
    size_t count, owned;
};

/* A copy of ours. CMD_OK, or CMD_FAILED and it has been said; free it in any case. */
int env_list_init(struct env_list *self);
void env_list_free(struct env_list *self);

/* A trust_env_each function, ctx being the list: NULL takes a variable away. */
int env_list_set(void *ctx, const char *name, const char *value);

/* What no_proxy is to be so that 127.0.0.1 is asked directly, and those of today; for shs__free. */
char *env_list_no_proxy(void);

#endif
