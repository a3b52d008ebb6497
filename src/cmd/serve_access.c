#include "cmd/serve_access.h"

#include <errno.h>
#include <stdio.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "cmd/cmd.h"
#include "cmd/reload_signal.h"

bool serve_access_add(struct serve_access *self, struct shs_access_rules *rules, const char *file)
{
    size_t more = self->count + 1;
    struct shs_access_rules **all = shs__realloc(self->rules, more * sizeof *all);
    const char **files = shs__realloc(self->files, more * sizeof *files);

    if (all != NULL)
        self->rules = all;
    if (files != NULL)
        self->files = files;
    if (all == NULL || files == NULL)
        return false;
    all[self->count] = rules;
    files[self->count++] = file;
    return true;
}

static void reload(struct serve_access *self, size_t i)
{
    struct shs_error err = {.text = ""};
    char line[400];
    int rc = shs_access_reload(self->rules[i], &err);

    if (rc == SHS_OK)
        snprintf(line, sizeof line, "The rules in %s were read again.", self->files[i]);
    else
        snprintf(line, sizeof line, "The rules stay as they were: %s", err.text);
    self->log(self->log_ctx, rc == SHS_OK ? SHS_LOG_INFO : SHS_LOG_ERROR, line);
}

static void *run(void *arg)
{
    struct serve_access *self = arg;
    uint64_t times;

    while (!atomic_load(&self->stop)) {
        if (read(self->wake, &times, sizeof times) != (ssize_t)sizeof times && errno != EINTR)
            break;
        for (size_t i = 0; !atomic_load(&self->stop) && i < self->count; i++)
            reload(self, i);
    }
    return NULL;
}

int serve_access_start(struct serve_access *self, shs_log_fn *log, void *log_ctx)
{
    char text[64];
    int e;

    if (self->count == 0)
        return CMD_OK;
    self->log = log;
    self->log_ctx = log_ctx;
    self->wake = eventfd(0, EFD_CLOEXEC);
    if (self->wake < 0)
        return cmd_fail(CMD_FAILED, "no eventfd: %s", shs__strerror(errno, text, sizeof text));
    e = pthread_create(&self->thread, NULL, run, self);
    if (e != 0) {
        (void)close(self->wake);
        return cmd_fail(CMD_FAILED, "cannot start a thread: %s",
                        shs__strerror(e, text, sizeof text));
    }
    self->started = true;
    reload_signal_tell(self->wake);
    return CMD_OK;
}

void serve_access_stop(struct serve_access *self)
{
    const uint64_t one = 1;

    if (self->started) {
        reload_signal_tell(-1);
        atomic_store(&self->stop, true);
        (void)!write(self->wake, &one, sizeof one);
        pthread_join(self->thread, NULL);
        (void)close(self->wake);
        self->started = false;
    }
    shs__free(self->rules);
    shs__free(self->files);
    self->rules = NULL;
    self->files = NULL;
    self->count = 0;
}
