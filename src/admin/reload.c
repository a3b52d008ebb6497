/*
 * reload.c - files are read again: of all servers, the rules, and what the program says. First all
 * of them are looked at; then what can be used is taken, each certificate with its key as a whole.
 */
#ifdef SHS_HAVE_JANSSON
#include "admin/reload.h"

#include <stdio.h>

#include <shs/json.h>
#include <shs/query.h>

#include "access/policy.h"
#include "tls/wire/mixin.h"

/* One server's TLS. */
struct part {
    const char *name;
    struct shs_tls_mixin *mixin;
    struct shs_tls_draft *draft;
    bool failed;
};

struct run {
    struct shs_admin_reload *self;
    struct part parts[SHS_ADMIN_SERVERS_MAX + SHS_ADMIN_OWN_MAX];
    size_t count;
    struct shs_access_draft *rules;
    json_t *of_program;  /* its files; NULL: it says nothing of them */
    char rules_why[240]; /* "": they can be used */
    bool asked;          /* the program has read what is its own */
};

static void fail(struct shs_admin_reload *self, const char *at, const struct shs_error *err)
{
    if (self->failed) /* the first reason is the one that is told */
        return;
    self->failed = true;
    self->at = at;
    self->err = *err;
}

/* -- reading ----------------------------------------------------------------------------------- */

static bool read_server(void *run, struct shs_admin_watch *watch, bool own)
{
    struct shs_server *server = shs__admin_watch_server(watch);
    struct shs_tls_mixin *mixin = shs__tls_mixin_of(server);
    struct run *r = run;
    struct part *part = &r->parts[r->count];
    struct shs_error err = {.text = ""};

    SHS_UNUSED(own);
    if (mixin == NULL)
        return true;
    *part = (struct part){.name = shs__admin_watch_name(watch), .mixin = mixin};
    part->failed = shs_tls_draft_new(&part->draft, server, r->self->dry_run, &err) != SHS_OK;
    if (part->failed)
        fail(r->self, part->name, &err);
    r->count += part->draft != NULL;
    return true;
}

static void read_rules(struct run *r)
{
    struct shs_admin *admin = r->self->admin;
    struct shs_error err = {.text = ""};

    if (admin->rules == NULL ||
        shs_access_draft_new(&r->rules, admin->rules, r->self->dry_run, &err) == SHS_OK)
        return;
    snprintf(r->rules_why, sizeof r->rules_why, "%s", err.text);
    fail(r->self, "the rules", &err);
}

/* What the program has to read again beside. */
static void ask_program(struct run *r)
{
    const struct shs_admin_options *opt = &r->self->admin->opt;
    struct shs_error err = {.text = ""};

    if (opt->reload == NULL)
        return;
    r->asked = true;
    if (opt->reload(opt->reload_ctx,
                    r->self->dry_run ? SHS_ADMIN_RELOAD_LOOK : SHS_ADMIN_RELOAD_READ,
                    &err) != SHS_OK)
        fail(r->self, "the program", &err);
}

/* What became of a file, in a list of them. */
static void add_file_of(const struct shs_admin_reload *self, json_t *files,
                        const struct shs_tls_file_result *result, size_t *taken)
{
    static const char *const words[] = {
        [SHS_TLS_FILE_SAME] = "same", [SHS_TLS_FILE_TAKEN] = "taken", [SHS_TLS_FILE_KEPT] = "kept"};
    enum shs_tls_file_state state = result->state;

    if (self->whole && self->failed && state == SHS_TLS_FILE_TAKEN) /* it could have been */
        state = SHS_TLS_FILE_KEPT;
    *taken += state == SHS_TLS_FILE_TAKEN;
    (void)json_array_append_new(
        files, json_pack("{s:o, s:s, s:o}", "file", shs__admin_text(result->file), "state",
                         words[state], "why", shs__admin_text_or_null(result->why)));
}

struct files_of_program {
    struct shs_admin_reload *self;
    json_t *files;
};

static void add_file_of_program(void *to, const struct shs_tls_file_result *result)
{
    const struct files_of_program *of = to;

    add_file_of(of->self, of->files, result, &of->self->files_taken);
}

/* When all is read, and before anything is taken: then the program may forget it. */
static void list_files_of_program(struct run *r)
{
    const struct shs_admin_options *opt = &r->self->admin->opt;
    struct files_of_program to = {r->self, NULL};

    if (!r->asked || opt->reload_files == NULL)
        return;
    to.files = r->of_program = json_array();
    opt->reload_files(opt->reload_ctx, add_file_of_program, &to);
}

/* -- taking ------------------------------------------------------------------------------------ */

static void take(struct run *r)
{
    const struct shs_admin_options *opt = &r->self->admin->opt;
    struct shs_error err = {.text = ""};

    for (size_t i = 0; i < r->count; i++) {
        if (shs_tls_draft_commit(r->parts[i].draft, &err) != SHS_OK)
            fail(r->self, r->parts[i].name, &err); /* SHS_TLS is known; no memory is new */
    }
    if (r->rules != NULL)
        shs_access_draft_commit(r->rules);
    if (r->asked)
        (void)opt->reload(opt->reload_ctx, SHS_ADMIN_RELOAD_TAKE, &err);
    r->asked = false;
    r->self->taken = true;
}

/* A commit would have counted them. */
static void count_failures(struct run *r)
{
    for (size_t i = 0; i < r->count; i++) {
        if (r->parts[i].failed)
            atomic_fetch_add(&r->parts[i].mixin->shared->reload_failures, 1);
    }
}

static void drop(struct run *r)
{
    const struct shs_admin_options *opt = &r->self->admin->opt;

    if (r->asked)
        (void)opt->reload(opt->reload_ctx, SHS_ADMIN_RELOAD_DROP, NULL);
    shs_access_draft_free(r->rules);
    for (size_t i = r->count; i > 0; i--)
        shs_tls_draft_free(r->parts[i - 1].draft);
}

/* -- what became of it ------------------------------------------------------------------------- */

static void add_file(void *reload, const struct shs_tls_file_result *result)
{
    struct shs_admin_reload *self = reload;

    add_file_of(self, self->files, result, &self->files_taken);
}

static void tell_rules(struct run *r)
{
    struct shs_admin_reload *self = r->self;
    struct shs_tls_file_result rules = {.state = SHS_TLS_FILE_KEPT, .why = r->rules_why};
    json_t *files = json_array();

    if (r->rules != NULL)
        rules.state = shs__access_draft_is_news(r->rules) ? SHS_TLS_FILE_TAKEN : SHS_TLS_FILE_SAME;
    if (self->admin->rules != NULL) {
        rules.file = shs_access_file(self->admin->rules);
        add_file_of(self, files, &rules, &self->files_taken);
        (void)json_array_append_new(self->servers,
                                    json_pack("{s:s, s:O}", "server", "the rules", "files", files));
    }
    json_decref(files);
}

static void tell(struct run *r)
{
    struct shs_admin_reload *self = r->self;

    for (size_t i = 0; i < r->count; i++) {
        self->files = json_array();
        shs_tls_draft_each(r->parts[i].draft, add_file, self);
        (void)json_array_append_new(self->servers, json_pack("{s:o, s:o}", "server",
                                                             shs__admin_text(r->parts[i].name),
                                                             "files", self->files));
    }
    tell_rules(r);
    if (json_array_size(r->of_program) > 0)
        (void)json_array_append_new(self->servers, json_pack("{s:s, s:O}", "server", "the program",
                                                             "files", r->of_program));
}

void shs__admin_reload_run(struct shs_admin_reload *self)
{
    struct run r = {.self = self, .count = 0};

    self->servers = json_array();
    shs__admin_each(self->admin, read_server, &r);
    read_rules(&r);
    ask_program(&r);
    list_files_of_program(&r);
    if (!self->dry_run && !(self->whole && self->failed))
        take(&r);
    else if (!self->dry_run)
        count_failures(&r);
    tell(&r);
    json_decref(r.of_program);
    drop(&r);
}

void shs__admin_reload_say(const struct shs_admin_reload *self, const char *who)
{
    const struct shs_admin_options *opt = &self->admin->opt;
    char line[800], rest[96];

    if (opt->log == NULL || self->dry_run)
        return;
    snprintf(rest, sizeof rest, "the rest is done, and %zu file%s said something new.",
             self->files_taken, self->files_taken == 1 ? "" : "s");
    if (self->failed && !self->taken)
        snprintf(line, sizeof line,
                 "Reload by %.160s: nothing was changed, because of %.100s: %.400s", who, self->at,
                 self->err.text);
    else if (self->failed)
        snprintf(line, sizeof line,
                 "Reload by %.160s: not all can be used, because of %.100s: %.400s", who, self->at,
                 self->err.text);
    else
        snprintf(line, sizeof line, "Reload by %.160s: done, and %zu file%s said something new.",
                 who, self->files_taken, self->files_taken == 1 ? "" : "s");
    if (self->failed && self->taken)
        shs__say_more(line, sizeof line, rest);
    opt->log(opt->log_ctx, self->failed ? SHS_LOG_ERROR : SHS_LOG_INFO, line);
}

/* -- POST reload ------------------------------------------------------------------------------- */

static int answer(struct shs_request *req, struct shs_response *res, struct shs_admin_reload *self,
                  int status)
{
    if (self->taken)
        shs__admin_changed(req, NULL, self->servers == NULL ? NULL : json_incref(self->servers));
    if (self->failed) {
        json_t *members =
            json_pack("{s:o, s:o}", "server", shs__admin_text(self->at), "servers", self->servers);

        return shs__admin_refuse(res, status, self->err.text, members);
    }
    return shs_send_json(res, 200,
                         json_pack("{s:s, s:o}", "done", self->dry_run ? "looked" : "reloaded",
                                   "servers", self->servers));
}

int shs__admin_post_reload(struct shs_request *req, struct shs_response *res)
{
    struct shs_admin *admin = shs_request_ctx(req);
    struct shs_admin_reload self = {.admin = admin};
    struct shs_str dry_run, type;
    json_t *pair = NULL;
    int status = 422;

    if (shs_request_query_param(req, "dry_run", &dry_run) != SHS_OK)
        dry_run = SHS_STR("1");
    if (shs_request_header(req, "Content-Type", &type))
        SHS_RETURN_IF_ERROR(shs_request_json(req, NULL, &pair));
    self.dry_run = shs__admin_is_on(dry_run);
    if (pair == NULL)
        shs__admin_reload_run(&self);
    else
        status = shs__admin_reload_pair(&self, pair);
    shs__admin_reload_say(&self, shs__admin_call(req)->name);
    return answer(req, res, &self, status);
}

/* -- by the program ---------------------------------------------------------------------------- */

static json_t *record_of(const struct shs_admin_reload *self)
{
    json_t *after = self->servers == NULL ? json_null() : json_incref(self->servers);

    return json_pack("{s:i, s:o, s:o, s:{s:n, s:o}}", "status", self->failed ? 422 : 200, "refused",
                     self->failed ? shs__admin_text(self->err.text) : json_null(), "server",
                     self->failed ? shs__admin_text(self->at) : json_null(), "change", "before",
                     "after", after);
}

/* On record before it is done. */
static void reload_on_record(struct shs_admin_reload *reload, struct shs_admin *self,
                             const char *who)
{
    reload->failed =
        shs__admin_record_begin(self,
                                json_pack("{s:o, s:s, s:s, s:o}", "time",
                                          shs__admin_time_ms(shs__admin_now_ms()), "event",
                                          "reload", "via", "program", "name", shs__admin_text(who)),
                                &reload->err) != SHS_OK;
    if (reload->failed)
        return;
    shs__admin_reload_run(reload);
    if (reload->taken)
        atomic_fetch_add(&self->changes, 1);
    (void)shs__admin_record_end(self, record_of(reload), reload->failed ? 422 : 200);
}

int shs_admin_reload(struct shs_admin *self, const char *who, bool dry_run, struct shs_error *err)
{
    struct shs_admin_reload reload = {.admin = self, .dry_run = dry_run, .at = "the audit log"};

    if (self == NULL)
        return shs_error_set(err, SHS_USAGE, 0, "the admin plane is NULL");
    if (dry_run)
        shs__admin_reload_run(&reload);
    else
        reload_on_record(&reload, self, who);
    shs__admin_reload_say(&reload, who);
    json_decref(reload.servers);
    if (!reload.failed)
        return SHS_OK;
    if (err != NULL)
        *err = reload.err;
    return reload.err.code == SHS_OK ? SHS_IO : reload.err.code;
}

#endif
