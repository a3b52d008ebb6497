#include "cmd/env_list.h"

#include <stdlib.h>
#include <unistd.h>

#include "cmd/cmd.h"

#define VARIABLES_MAX 64

static void forget(struct env_list *self, const char *name)
{
    size_t len = strlen(name), kept = 0;

    for (size_t i = 0; i < self->count; i++) {
        if (strncmp(self->env[i], name, len) != 0 || self->env[i][len] != '=')
            self->env[kept++] = self->env[i];
    }
    self->count = kept;
    self->env[kept] = NULL;
}

int env_list_set(void *ctx, const char *name, const char *value)
{
    struct env_list *self = ctx;
    char *text;

    forget(self, name);
    if (value == NULL)
        return CMD_OK;
    text = self->owned == VARIABLES_MAX ? NULL : shs__asprintf("%s=%s", name, value);
    if (text == NULL)
        return cmd_fail(CMD_FAILED, "out of memory for the environment");
    self->own[self->owned++] = text;
    self->env[self->count++] = text;
    self->env[self->count] = NULL;
    return CMD_OK;
}

int env_list_init(struct env_list *self)
{
    size_t count = 0;

    memset(self, 0, sizeof *self);
    while (environ[count] != NULL)
        count++;
    self->env = shs__calloc(count + VARIABLES_MAX + 1, sizeof *self->env);
    self->own = shs__calloc(VARIABLES_MAX, sizeof *self->own);
    if (self->env == NULL || self->own == NULL)
        return cmd_fail(CMD_FAILED, "out of memory for the environment");
    memcpy(self->env, environ, count * sizeof *self->env);
    self->count = count;
    return CMD_OK;
}

void env_list_free(struct env_list *self)
{
    for (size_t i = 0; i < self->owned; i++)
        shs__free(self->own[i]);
    shs__free(self->own);
    shs__free(self->env);
    memset(self, 0, sizeof *self);
}

char *env_list_no_proxy(void)
{
    const char *now = getenv("no_proxy");

    if (now == NULL)
        now = getenv("NO_PROXY");
    return now == NULL || now[0] == '\0' ? shs__strdup("127.0.0.1,localhost,::1")
                                         : shs__asprintf("127.0.0.1,localhost,::1,%s", now);
}
