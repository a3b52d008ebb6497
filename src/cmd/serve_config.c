#include "cmd/serve_config.h"

#include <stdio.h>

#include "cmd/cmd.h"
#include "cmd/serve_sandbox.h"

static void free_plan(struct serve_plan *plan)
{
    if (plan == NULL)
        return;
    serve_plan_free(plan);
    shs__free(plan);
}

static bool same_certs(const struct serve_options *a, const struct serve_options *b)
{
    bool same = a->cert_count == b->cert_count;

    for (size_t i = 0; same && i < a->cert_count; i++) {
        const char *const ours[] = {a->certs[i].cert, a->certs[i].key, a->certs[i].ocsp};
        const char *const theirs[] = {b->certs[i].cert, b->certs[i].key, b->certs[i].ocsp};

        for (size_t p = 0; p < SHS_ARRAY_LEN(ours); p++)
            same = same && (ours[p] == NULL) == (theirs[p] == NULL) &&
                   (ours[p] == NULL || strcmp(ours[p], theirs[p]) == 0);
    }
    return same;
}

/* What else is another than at the start: it cannot be changed while it serves. */
static void note_others(struct serve_config *self)
{
    self->note[0] = '\0';
    for (size_t i = 0; self->note[0] == '\0' && i < self->plan->count; i++) {
        const struct serve_options *was = &self->plan->listeners[i],
                                   *is = &self->next->listeners[i];
        const struct setting *row = settings_first_other(&serve_settings, was, is);
        const char *name = row != NULL ? row->name : same_certs(was, is) ? NULL : "certificates";

        if (name != NULL)
            snprintf(self->note, sizeof self->note,
                     "%s: '%s' has changed since the start: that needs a restart",
                     self->plan->listeners[0].config, name);
    }
}

/* Its mistakes are not printed, but the first one told. */
static int read_plan(struct serve_config *self, struct shs_error *err)
{
    char text[sizeof err->text] = "";
    bool good;
    int code;

    self->next = shs__calloc(1, sizeof *self->next);
    if (self->next == NULL)
        return shs_error_set(err, SHS_NOMEM, 0, "out of memory for a configuration");
    cmd_fail_keep(text, sizeof text);
    good = serve_plan_read(self->next, self->argc, self->argv, &code);
    cmd_fail_keep(NULL, 0);
    if (!good)
        return shs_error_set(err, SHS_USAGE, 0, "%s", text);
    if (self->next->count != self->plan->count)
        return shs_error_set(err, SHS_USAGE, 0,
                             "%s has %zu listeners and %zu are served: that needs a restart",
                             self->plan->listeners[0].config, self->next->count, self->plan->count);
    return SHS_OK;
}

/* A route to where the sandbox lets nobody, which would be 404 for ever. */
static int look_for_hidden(const struct serve_config *self, const struct serve_options *is,
                           struct shs_error *err)
{
    for (size_t i = 0; i < is->route_count; i++) {
        const struct serve_route *route = &is->routes[i];

        if (route->directory != NULL && serve_sandbox_hides(route->directory, route->upload))
            return shs_error_set(err, SHS_IO, 0,
                                 "%s: the sandbox, which was closed at the start, keeps %s out of "
                                 "reach%s: that needs a restart, or --no-sandbox",
                                 self->plan->listeners[0].config, route->directory,
                                 route->upload ? " for uploads" : "");
    }
    return SHS_OK;
}

int serve_config_read(struct serve_config *self, bool *changed, struct shs_error *err)
{
    const struct serve_plan *before = self->now != NULL ? self->now : self->plan;
    int rc = read_plan(self, err);

    *changed = false;
    for (size_t i = 0; rc == SHS_OK && i < self->plan->count; i++) {
        const struct serve_options *was = &before->listeners[i], *is = &self->next->listeners[i];

        self->other[i] =
            !serve_routes_same(was->routes, was->route_count, is->routes, is->route_count);
        *changed = *changed || self->other[i];
        if (self->other[i])
            rc = look_for_hidden(self, is, err);
        if (self->other[i] && rc == SHS_OK)
            rc = serve_site_read_routes(self->sites[i], is->routes, is->route_count,
                                        (const char *const *)is->fields, &self->made[i], err);
    }
    if (rc == SHS_OK)
        note_others(self);
    return rc;
}

void serve_config_take(struct serve_config *self)
{
    for (size_t i = 0; i < self->plan->count; i++) {
        if (!self->other[i])
            continue;
        serve_site_take_routes(self->sites[i], self->made[i]);
        self->made[i] = NULL;
        self->other[i] = false;
    }
    free_plan(self->now);
    self->now = self->next;
    self->next = NULL;
}

void serve_config_drop(struct serve_config *self)
{
    for (size_t i = 0; i < SHS_ARRAY_LEN(self->made); i++) {
        serve_routes_free(self->made[i]);
        self->made[i] = NULL;
        self->other[i] = false;
    }
    free_plan(self->next);
    self->next = NULL;
}

void serve_config_free(struct serve_config *self)
{
    serve_config_drop(self);
    free_plan(self->now);
    shs__free(self->sites);
    memset(self, 0, sizeof *self);
}
