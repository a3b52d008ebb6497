/*
 * change.c - what the admin plane changes: a connection ends, files are read again.
 */
#ifdef SHS_HAVE_JANSSON
#include "admin/admin.h"

#include <shs/json.h>
#include <shs/query.h>

#include "tls/wire/mixin.h"

static bool is_on(struct shs_str flag)
{
    return flag.ptr != NULL && !shs_str_is(flag, "0") && !shs_str_is(flag, "false");
}

/* -- a connection ------------------------------------------------------------------------------ */

struct ending {
    uint64_t id;
    bool now, found;
    struct shs_admin_row row;
    const char *server;
};

static bool end_it(void *ending, struct shs_admin_watch *watch, bool own)
{
    struct ending *e = ending;

    SHS_UNUSED(own);
    e->found = shs__admin_watch_end(watch, e->id, e->now, &e->row);
    if (e->found)
        e->server = shs__admin_watch_name(watch);
    return !e->found;
}

int shs__admin_delete_connection(struct shs_request *req, struct shs_response *res)
{
    struct ending e = {.id = 0};
    struct shs_str id, now;
    json_t *was;

    SHS_RETURN_IF_ERROR(shs_request_query_param(req, "now", &now));
    e.now = is_on(now);
    if (!shs_request_param(req, "id", &id) || !shs_str_number(id, UINT64_MAX, &e.id) || e.id == 0)
        return shs__admin_refuse(res, 404, "there is no such connection", NULL);
    shs__admin_each(shs_request_ctx(req), end_it, &e);
    if (!e.found)
        return shs__admin_refuse(res, 404, "there is no such connection", NULL);
    was = shs__admin_row_value(&e.row, e.server, shs_now_ns());
    shs__admin_row_free(&e.row);
    shs__admin_changed(req, was == NULL ? NULL : json_incref(was),
                       json_string(e.now ? "cut" : "ending"));
    return shs_send_json(res, 200,
                         json_pack("{s:s, s:o}", "done", e.now ? "cut" : "ending", "connection",
                                   was == NULL ? json_null() : was));
}

/* -- reload ------------------------------------------------------------------------------------ */

struct reload {
    bool dry_run, failed;
    json_t *servers; /* what became of each */
    json_t *files;   /* of the one at hand */
    struct shs_error err;
    const char *at;
};

/* First all of them are looked at: one that cannot be used holds up the others. */
static bool check_server(void *reload, struct shs_admin_watch *watch, bool own)
{
    struct shs_tls_mixin *mixin = shs__tls_mixin_of(shs__admin_watch_server(watch));
    struct reload *self = reload;

    SHS_UNUSED(own);
    if (mixin == NULL || shs_tls_check(shs__admin_watch_server(watch), &self->err) == SHS_OK)
        return true;
    self->failed = true;
    self->at = shs__admin_watch_name(watch);
    if (!self->dry_run)
        atomic_fetch_add(&mixin->shared->reload_failures, 1);
    return false;
}

static void add_file(void *reload, const struct shs_tls_file_result *result)
{
    static const char *const words[] = {
        [SHS_TLS_FILE_SAME] = "same", [SHS_TLS_FILE_TAKEN] = "taken", [SHS_TLS_FILE_KEPT] = "kept"};
    struct reload *self = reload;

    (void)json_array_append_new(
        self->files, json_pack("{s:o, s:s, s:o}", "file", shs__admin_text(result->file), "state",
                               words[result->state], "why", shs__admin_text_or_null(result->why)));
}

static bool reload_server(void *reload, struct shs_admin_watch *watch, bool own)
{
    struct shs_server *server = shs__admin_watch_server(watch);
    struct reload *self = reload;

    SHS_UNUSED(own);
    if (shs__tls_mixin_of(server) == NULL)
        return true;
    self->files = json_array();
    if (shs_tls_reload_each(server, add_file, self, &self->err) != SHS_OK) {
        self->failed = true; /* it has changed between the look and now */
        self->at = shs__admin_watch_name(watch);
    }
    (void)json_array_append_new(self->servers,
                                json_pack("{s:o, s:o}", "server",
                                          shs__admin_text(shs__admin_watch_name(watch)), "files",
                                          self->files));
    return true;
}

/* The rules, too. */
static void check_rules(struct shs_admin *admin, struct reload *self)
{
    struct shs_access_rules *rules = NULL;

    if (admin->rules == NULL || self->failed)
        return;
    if (shs_access_new(&rules, admin->opt.rules, &self->err) != SHS_OK) {
        self->failed = true;
        self->at = "the rules";
    }
    shs_access_free(rules);
}

static void reload_rules(struct shs_admin *admin, struct reload *self)
{
    if (admin->rules == NULL)
        return;
    if (shs_access_reload(admin->rules, &self->err) != SHS_OK) {
        self->failed = true; /* as above */
        self->at = "the rules";
        return;
    }
    (void)json_array_append_new(self->servers,
                                json_pack("{s:s, s:[{s:o, s:s, s:n}]}", "server", "the rules",
                                          "files", "file", shs__admin_text(admin->opt.rules),
                                          "state", "taken", "why"));
}

static int refuse_reload(struct shs_response *res, struct reload *self)
{
    json_t *members =
        json_pack("{s:o, s:o}", "server", shs__admin_text(self->at), "servers", self->servers);

    return shs__admin_refuse(res, 422, self->err.text, members);
}

int shs__admin_post_reload(struct shs_request *req, struct shs_response *res)
{
    struct shs_admin *admin = shs_request_ctx(req);
    struct reload self = {.servers = json_array()};
    struct shs_str dry_run;

    if (shs_request_query_param(req, "dry_run", &dry_run) != SHS_OK)
        dry_run = SHS_STR("1");
    self.dry_run = is_on(dry_run);
    shs__admin_each(admin, check_server, &self);
    check_rules(admin, &self);
    if (self.failed)
        return refuse_reload(res, &self);
    if (self.dry_run)
        return shs_send_json(res, 200,
                             json_pack("{s:s, s:o}", "done", "looked", "servers", self.servers));
    reload_rules(admin, &self);
    if (!self.failed)
        shs__admin_each(admin, reload_server, &self);
    if (self.failed)
        return refuse_reload(res, &self);
    shs__admin_changed(req, NULL, self.servers == NULL ? NULL : json_incref(self.servers));
    return shs_send_json(res, 200,
                         json_pack("{s:s, s:o}", "done", "reloaded", "servers", self.servers));
}

#endif
