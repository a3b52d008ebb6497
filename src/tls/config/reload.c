#include <stdio.h>
#include <time.h>

#include <openssl/crypto.h>

#include "tls/config/paths.h"
#include "tls/config/report.h"
#include "tls/config/source.h"
#include "tls/wire/mixin.h"

#define SECRET_FILE_MAX ((size_t)64 * 1024)
#define SITES_MANY 16
/* A clock that is set back by more than this was wrong: what is told in time begins anew. */
#define CLOCK_BACK_S 3600

static int no_mixin(struct shs_error *err)
{
    return shs_error_set(err, SHS_USAGE, 0, "The server has no TLSMixIn.");
}

struct shs_tls_context *shs__tls_mixin_context(struct shs_tls_mixin *self)
{
    struct shs_tls_context *context;

    pthread_mutex_lock(&self->lock);
    context = shs__tls_context_ref(self->context);
    pthread_mutex_unlock(&self->lock);
    return context;
}

/* The secret without the newline that editors put at its end. */
static int load_secret(struct shs_buf *secret, const char *path, struct shs_error *err)
{
    int rc = shs__tls_read_file(secret, path, SECRET_FILE_MAX, "ticket secret", err);

    while (rc == SHS_OK && secret->len > 0 &&
           (shs__buf_tail(secret)[-1] == '\n' || shs__buf_tail(secret)[-1] == '\r'))
        secret->len--;
    if (rc == SHS_OK && secret->len < SHS_TLS_SECRET_MIN)
        rc = shs_error_set(err, SHS_TLS, 0,
                           "The ticket secret in '%s' has %zu bytes; it needs %zu or more. Make "
                           "one with: openssl rand -hex 32",
                           path, secret->len, SHS_TLS_SECRET_MIN);
    return rc;
}

/* It would be the only one to know. */
static int in_a_child(struct shs_error *err)
{
    return shs_error_set(err, SHS_USAGE, 0,
                         "This is a forked child, with one connection: what it changes, the server "
                         "does not see. Do it in the process that called serve_forever.");
}

/* -- what was served with before --------------------------------------------------------------- */

/*
 * A context goes with its last connection, on that connection's thread. A thousand certificates
 * take a while to free, and somebody's handshake may wait for that thread: large ones are kept
 * until a later reload finds them unused.
 */
struct shs_tls_retired {
    struct shs_tls_retired *next;
    struct shs_tls_context *context;
};

/* Nobody else can get a reference any more: with one, it is ours alone. */
static void free_unused(struct shs_tls_mixin *self)
{
    struct shs_tls_retired **at = &self->retired;

    while (*at != NULL) {
        struct shs_tls_retired *item = *at;

        if (atomic_load(&item->context->refs) > 1) {
            at = &item->next;
            continue;
        }
        *at = item->next;
        shs__tls_context_free(item->context);
        shs__free(item);
    }
}

void shs__tls_mixin_free_retired(struct shs_tls_mixin *self)
{
    while (self->retired != NULL) {
        struct shs_tls_retired *item = self->retired;

        self->retired = item->next;
        shs__tls_context_free(item->context);
        shs__free(item);
    }
}

static void retire(struct shs_tls_mixin *self, struct shs_tls_context *old)
{
    struct shs_tls_retired *item =
        old == NULL || old->site_count < SITES_MANY ? NULL : shs__malloc(sizeof *item);

    if (item == NULL) {
        shs__tls_context_free(old);
        return;
    }
    item->context = old;
    item->next = self->retired;
    self->retired = item;
}

static void swap(struct shs_tls_mixin *self, struct shs_tls_context *context)
{
    struct shs_tls_context *old = self->context; /* nobody else writes it */
    bool other_rules = old != NULL && !shs__tls_context_same_rules(old, context);

    if (self->live != NULL)
        shs__tls_context_set_live(context, self->live);
    context->rules = atomic_load(&self->shared->rules) + other_rules;
    context->records_counts = self->shared->records;
    pthread_mutex_lock(&self->lock);
    self->context = context;
    pthread_mutex_unlock(&self->lock);
    atomic_store(&self->shared->rules, context->rules); /* open connections see that it is there */
    retire(self, old);
}

/* The file's part of the deny list is this now; who is in it is cut off. True: it is another. */
static bool swap_denied(struct shs_tls_mixin *self, struct shs_tls_deny_set *set)
{
    bool changed;

    pthread_mutex_lock(&self->sweeping);
    changed = shs__tls_deny_replace(self->deny, set);
    if (changed) {
        atomic_fetch_add(&self->shared->denials, 1);
        shs__tls_rechecks_sweep(self);
    }
    pthread_mutex_unlock(&self->sweeping);
    return changed;
}

int shs_tls_deny(struct shs_server *self, const char *entry, struct shs_error *err)
{
    struct shs_tls_mixin *mixin = shs__tls_mixin_of(self);
    int rc;

    if (mixin == NULL)
        return no_mixin(err);
    if (shs__tls_mixin_forked(mixin))
        return in_a_child(err);
    shs__tls_mixin_hold_forks(mixin);
    pthread_mutex_lock(&mixin->sweeping);
    rc = shs__tls_deny_add(mixin->deny, entry, err);
    if (rc == SHS_OK) {
        atomic_fetch_add(&mixin->shared->denials, 1);
        shs__tls_rechecks_sweep(mixin);
    }
    pthread_mutex_unlock(&mixin->sweeping);
    shs__tls_mixin_let_fork(mixin);
    return rc;
}

int shs_tls_undeny(struct shs_server *self, const char *entry, struct shs_error *err)
{
    struct shs_tls_mixin *mixin = shs__tls_mixin_of(self);

    if (mixin == NULL)
        return no_mixin(err);
    if (shs__tls_mixin_forked(mixin))
        return in_a_child(err);
    return shs__tls_deny_remove(mixin->deny, entry, err);
}

int shs__tls_mixin_allow_keylog(struct shs_tls_mixin *self, int fd)
{
    int rc = shs__tls_live_keylog_new(&self->live, fd);

    if (rc == SHS_OK)
        shs__tls_context_set_live(self->context, self->live);
    return rc;
}

void shs__tls_mixin_keylog(struct shs_tls_mixin *self, int64_t until_ns)
{
    if (self->live != NULL)
        atomic_store_explicit(&self->live->until_ns, until_ns, memory_order_release);
}

/* -- the transaction --------------------------------------------------------------------------- */

/* What was read, and is not served with yet. */
struct draft {
    struct shs_buf secret; /* empty: no other than before */
    struct shs_tls_deny_set *denied;
    bool has_denied;
    struct shs_tls_context *context;
};

static void draft_free(struct draft *draft)
{
    shs__tls_context_free(draft->context);
    shs__tls_deny_set_free(draft->denied);
    if (draft->secret.data != NULL)
        OPENSSL_cleanse(draft->secret.data, draft->secret.cap);
    shs__buf_free(&draft->secret);
}

static void look(struct shs_tls_mixin *self)
{
    if (self->config.config.watch)
        atomic_store(&self->seen, shs__tls_look(&self->config.config));
}

static int read_secret(struct draft *draft, const struct shs_tls_config *config,
                       struct shs_error *err)
{
    int rc = config->ticket_secret == NULL
                 ? SHS_OK
                 : load_secret(&draft->secret, config->ticket_secret, err);

    if (rc != SHS_OK)
        draft->secret.len = 0;
    return rc;
}

static int read_denied(struct draft *draft, const struct shs_tls_config *config,
                       struct shs_error *err)
{
    int rc = config->deny == NULL ? SHS_OK : shs__tls_deny_read(&draft->denied, config->deny, err);

    draft->has_denied = rc == SHS_OK;
    return rc;
}

/* Serves with the draft, or with that part of it of which `report` says nothing. */
static int commit(struct shs_tls_mixin *self, struct draft *draft, struct shs_tls_report *report,
                  struct shs_error *err)
{
    const struct shs_tls_config *config = &self->config.config;
    int changed = 0;

    if (draft->secret.len > 0) {
        changed = shs__tls_tickets_set_secret(self->tickets, shs__buf_head(&draft->secret),
                                              draft->secret.len);
        if (changed < 0)
            return shs_error_set(err, changed, 0, "Out of memory for the ticket secret.");
        shs__tls_report_add(report, changed ? SHS_TLS_FILE_TAKEN : SHS_TLS_FILE_SAME,
                            config->ticket_secret, NULL);
    }
    if (draft->has_denied) {
        bool other = swap_denied(self, draft->denied);

        draft->denied = NULL;
        shs__tls_report_add(report, other ? SHS_TLS_FILE_TAKEN : SHS_TLS_FILE_SAME, config->deny,
                            NULL);
    }
    if (report->kept == 0 || report->taken > 0) {
        swap(self, draft->context);
        draft->context = NULL;
    }
    return SHS_OK;
}

int shs__tls_mixin_load(struct shs_tls_mixin *self, struct shs_error *err)
{
    const struct shs_tls_config *config = &self->config.config;
    struct draft draft = {.context = NULL};
    struct shs_tls_report report;
    int rc;

    shs__tls_report_init(&report);
    shs__buf_init(&draft.secret, SECRET_FILE_MAX);
    look(self); /* before reading: what changes meanwhile is seen later */
    rc = read_secret(&draft, config, err);
    if (rc == SHS_OK)
        rc = read_denied(&draft, config, err);
    if (rc == SHS_OK)
        rc = shs__tls_context_build(&draft.context, config, self->tickets, self->deny,
                                    shs__wall_s(config->clock_offset_s), false, err);
    if (rc == SHS_OK)
        rc = shs__tls_context_try(draft.context, err);
    if (rc == SHS_OK)
        rc = commit(self, &draft, &report, err);
    draft_free(&draft);
    shs__tls_report_free(&report);
    return rc;
}

/* A file that cannot be read is kept; without memory there is no reload at all. */
static int keep_or_fail(int rc, const char *file, const struct shs_error *why,
                        struct shs_tls_report *report, struct shs_error *err)
{
    if (rc == SHS_OK)
        return SHS_OK;
    if (rc == SHS_NOMEM) {
        *err = *why;
        return rc;
    }
    shs__tls_report_add(report, SHS_TLS_FILE_KEPT, file, why);
    return SHS_OK;
}

/* Reads and checks everything. `draft` is for draft_free in any case. */
static int read_files(struct draft *draft, const struct shs_tls_config *config,
                      struct shs_tls_context *before, struct shs_tls_report *report,
                      struct shs_error *err)
{
    struct shs_error why = {.code = SHS_OK};
    int rc;

    shs__buf_init(&draft->secret, SECRET_FILE_MAX);
    rc = read_secret(draft, config, &why);
    rc = keep_or_fail(rc, config->ticket_secret, &why, report, err);
    if (rc == SHS_OK) {
        rc = read_denied(draft, config, &why);
        rc = keep_or_fail(rc, config->deny, &why, report, err);
    }
    if (rc == SHS_OK)
        rc = shs__tls_context_rebuild(&draft->context, before, shs__wall_s(config->clock_offset_s),
                                      report, err);
    return rc;
}

static int read_again(struct shs_tls_mixin *self, bool dry, struct shs_tls_report *report,
                      struct shs_error *err)
{
    struct shs_tls_context *before = shs__tls_mixin_context(self);
    struct draft draft = {.context = NULL};
    int rc = read_files(&draft, &self->config.config, before, report, err);

    if (rc == SHS_OK && !dry)
        rc = commit(self, &draft, report, err);
    draft_free(&draft);
    shs__tls_context_free(before);
    return rc;
}

/* The answer of a reload: SHS_TLS when something was kept back. */
static int verdict(const struct shs_tls_report *report, struct shs_error *err)
{
    if (report->kept == 0)
        return SHS_OK;
    if (err != NULL)
        *err = report->reason;
    return SHS_TLS;
}

/* -- telling ----------------------------------------------------------------------------------- */

static void tell_kept(struct shs_tls_mixin *self, const struct shs_tls_report *report)
{
    const struct shs_tls_report_line *line;
    bool first = true;

    for (line = report->first; line != NULL; line = line->next) {
        if (line->state != SHS_TLS_FILE_KEPT)
            continue;
        if (!first)
            shs_server_log(self->layer.server, SHS_LOG_ERROR,
                           "TLS configuration: '%s' stays as it was, too: %s", line->file,
                           line->why);
        else if (report->taken == 0)
            shs_server_log(self->layer.server, SHS_LOG_ERROR,
                           "TLS configuration not reloaded, the old one stays: %s", line->why);
        else
            shs_server_log(self->layer.server, SHS_LOG_ERROR,
                           "TLS configuration reloaded in part; '%s' stays as it was: %s",
                           line->file, line->why);
        first = false;
    }
}

static void tell(struct shs_tls_mixin *self, enum shs_tls_reload_why why,
                 const struct shs_tls_report *report)
{
    bool asked = why == SHS_TLS_ASKED || why == SHS_TLS_DRAFTED;
    bool done = report->taken > 0 || (report->kept == 0 && asked);
    /* What is tried again each minute says nothing until it comes to something else. */
    bool news = why != SHS_TLS_AGAIN || report->taken > 0 ||
                (report->kept > 0 && strcmp(self->said, report->reason.text) != 0);

    if (done)
        atomic_fetch_add(&self->shared->reloads, 1);
    if (report->kept > 0 && news)
        atomic_fetch_add(&self->shared->reload_failures, 1);
    if (why == SHS_TLS_DRAFTED)
        ;
    else if (report->kept > 0 && news)
        tell_kept(self, report);
    else if (report->kept == 0 && done)
        shs_server_log(self->layer.server, SHS_LOG_INFO, "TLS configuration reloaded");
    else if (report->kept == 0)
        shs_server_log(self->layer.server, SHS_LOG_DEBUG,
                       "TLS files read again: nothing in them has changed");
    if (done)
        shs__tls_mixin_advise(self);
}

/* There could be no reload at all. */
static void tell_failed(struct shs_tls_mixin *self, enum shs_tls_reload_why why,
                        const struct shs_error *err)
{
    if (why == SHS_TLS_AGAIN && strcmp(self->said, err->text) == 0)
        return;
    atomic_fetch_add(&self->shared->reload_failures, 1);
    shs_server_log(self->layer.server, SHS_LOG_ERROR,
                   "TLS configuration not reloaded, the old one stays: %s", err->text);
}

/* For the next one, and for the keeper, which tries again. */
static void note(struct shs_tls_mixin *self, const struct shs_tls_report *report, int rc,
                 const struct shs_error *why)
{
    snprintf(self->said, sizeof self->said, "%s", rc == SHS_OK ? "" : why->text);
    atomic_store(&self->valid_at, report->valid_at);
    atomic_store(&self->incomplete, rc != SHS_OK);
}

/* Says and notes what came of a reload. With `reloading`. */
static int conclude(struct shs_tls_mixin *self, enum shs_tls_reload_why why,
                    const struct shs_tls_report *report, struct shs_error *err)
{
    struct shs_error failed = {.code = SHS_OK};
    int rc;

    tell(self, why, report);
    rc = verdict(report, &failed);
    note(self, report, rc, &failed);
    if (rc != SHS_OK && err != NULL)
        *err = failed;
    return rc;
}

static int reload(struct shs_tls_mixin *self, enum shs_tls_reload_why why,
                  struct shs_tls_report *report, struct shs_error *err)
{
    struct shs_error failed = {.code = SHS_OK};
    int rc;

    pthread_mutex_lock(&self->reloading);
    look(self);
    shs__tls_mixin_hold_forks(self);
    free_unused(self);
    rc = read_again(self, false, report, &failed);
    shs__tls_mixin_let_fork(self);
    if (rc == SHS_OK) {
        rc = conclude(self, why, report, err);
    } else {
        tell_failed(self, why, &failed);
        note(self, report, rc, &failed);
        if (err != NULL)
            *err = failed;
    }
    pthread_mutex_unlock(&self->reloading);
    return rc;
}

int shs__tls_mixin_reload(struct shs_tls_mixin *self, enum shs_tls_reload_why why,
                          struct shs_tls_report *report, struct shs_error *err)
{
    struct shs_tls_report own;
    int rc;

    shs__tls_report_init(&own);
    rc = reload(self, why, report == NULL ? &own : report, err);
    shs__tls_report_free(&own);
    return rc;
}

static void say_each(const struct shs_tls_report *report,
                     void (*each)(void *ctx, const struct shs_tls_file_result *result), void *ctx)
{
    const struct shs_tls_report_line *line;

    for (line = report->first; each != NULL && line != NULL; line = line->next) {
        const struct shs_tls_file_result result = {line->file, line->state,
                                                   line->why == NULL ? "" : line->why};

        each(ctx, &result);
    }
}

int shs_tls_reload_each(struct shs_server *self,
                        void (*each)(void *ctx, const struct shs_tls_file_result *result),
                        void *ctx, struct shs_error *err)
{
    struct shs_tls_mixin *mixin = shs__tls_mixin_of(self);
    struct shs_tls_report report;
    int rc;

    if (mixin == NULL)
        return no_mixin(err);
    if (shs__tls_mixin_forked(mixin))
        return in_a_child(err);
    shs__tls_report_init(&report);
    rc = shs__tls_mixin_reload(mixin, SHS_TLS_ASKED, &report, err);
    if (rc != SHS_OK)
        shs__tls_keeper_wake(mixin->keeper);
    say_each(&report, each, ctx);
    shs__tls_report_free(&report);
    return rc;
}

int shs_tls_reload(struct shs_server *self, struct shs_error *err)
{
    return shs_tls_reload_each(self, NULL, NULL, err);
}

int shs_tls_check(struct shs_server *self, struct shs_error *err)
{
    struct shs_tls_mixin *mixin = shs__tls_mixin_of(self);
    struct shs_tls_report report;
    struct shs_error failed;
    int rc;

    if (mixin == NULL)
        return no_mixin(err);
    shs__tls_report_init(&report);
    shs__tls_mixin_hold_forks(mixin);
    rc = read_again(mixin, true, &report, &failed);
    shs__tls_mixin_let_fork(mixin);
    if (rc == SHS_OK)
        rc = verdict(&report, &failed);
    if (rc != SHS_OK && err != NULL)
        *err = failed;
    shs__tls_report_free(&report);
    return rc;
}

/* -- in two steps ------------------------------------------------------------------------------ */

struct shs_tls_draft {
    struct shs_tls_mixin *mixin;
    struct draft read;
    struct shs_tls_report report;
    bool taken; /* by a commit, or never to be */
};

/* With `reloading`. Locks that are only there while files are read stay out of forked children. */
static int read_draft(struct shs_tls_draft *self, bool dry_run, struct shs_error *err)
{
    struct shs_tls_mixin *mixin = self->mixin;
    const struct shs_tls_config *config = &mixin->config.config;
    struct shs_tls_context *before = shs__tls_mixin_context(mixin);
    int rc;

    shs__tls_mixin_hold_forks(mixin);
    if (!dry_run) {
        look(mixin);
        free_unused(mixin);
    }
    rc = read_files(&self->read, config, before, &self->report, err);
    shs__tls_mixin_let_fork(mixin);
    shs__tls_context_free(before);
    return rc;
}

int shs_tls_draft_new(struct shs_tls_draft **out, struct shs_server *server, bool dry_run,
                      struct shs_error *err)
{
    struct shs_tls_mixin *mixin = shs__tls_mixin_of(server);
    struct shs_error failed = {.code = SHS_OK};
    struct shs_tls_draft *self;
    int rc;

    *out = NULL;
    if (mixin == NULL)
        return no_mixin(err);
    if (shs__tls_mixin_forked(mixin))
        return in_a_child(err);
    self = shs__calloc(1, sizeof *self);
    if (self == NULL)
        return shs_error_set(err, SHS_NOMEM, 0, "Out of memory for a reload.");
    self->mixin = mixin;
    self->taken = dry_run;
    shs__tls_report_init(&self->report);
    pthread_mutex_lock(&mixin->reloading);
    rc = read_draft(self, dry_run, &failed);
    if (rc == SHS_OK) {
        rc = verdict(&self->report, &failed);
        *out = self;
    } else {
        shs_tls_draft_free(self);
    }
    if (rc != SHS_OK && err != NULL)
        *err = failed;
    return rc;
}

void shs_tls_draft_each(const struct shs_tls_draft *self,
                        void (*each)(void *ctx, const struct shs_tls_file_result *result),
                        void *ctx)
{
    say_each(&self->report, each, ctx);
}

int shs_tls_draft_commit(struct shs_tls_draft *self, struct shs_error *err)
{
    struct shs_tls_mixin *mixin = self->mixin;
    int rc;

    if (self->taken)
        return shs_error_set(err, SHS_USAGE, 0, "This reload was only looked at, or is done.");
    self->taken = true;
    shs__tls_mixin_hold_forks(mixin);
    rc = commit(mixin, &self->read, &self->report, err);
    shs__tls_mixin_let_fork(mixin);
    return rc == SHS_OK ? conclude(mixin, SHS_TLS_DRAFTED, &self->report, err) : rc;
}

void shs_tls_draft_free(struct shs_tls_draft *self)
{
    if (self == NULL)
        return;
    pthread_mutex_unlock(&self->mixin->reloading);
    draft_free(&self->read);
    shs__tls_report_free(&self->report);
    shs__free(self);
}

/* -- what is due ------------------------------------------------------------------------------- */

void shs__tls_mixin_advise(struct shs_tls_mixin *self)
{
    struct shs_tls_context *context = shs__tls_mixin_context(self);
    int64_t now = shs__tls_now(context);
    struct shs_error note;

    for (unsigned i = 0; shs__tls_context_advice(context, i, now, &note); i++)
        shs_server_log(self->layer.server, SHS_LOG_WARNING, "%s", note.text);
    shs__tls_context_free(context);
}

bool shs__tls_mixin_is_due(const struct shs_tls_mixin *self, int64_t due)
{
    int64_t now = shs__wall_s(self->config.config.clock_offset_s);

    return now >= due || now < self->advised - CLOCK_BACK_S;
}

int64_t shs__tls_mixin_advise_due(struct shs_tls_mixin *self, int64_t *since)
{
    struct shs_tls_context *context = shs__tls_mixin_context(self);
    int64_t now = shs__tls_now(context), next;
    struct shs_error note;

    for (unsigned i = 0; shs__tls_context_due(context, i, *since, now, &note); i++)
        shs_server_log(self->layer.server, SHS_LOG_WARNING, "%s", note.text);
    next = shs__tls_context_next_due(context, now);
    *since = now;
    shs__tls_context_free(context);
    return next;
}

void shs_tls_request_reload(struct shs_server *self)
{
    struct shs_tls_mixin *mixin = shs__tls_mixin_of(self);

    if (mixin != NULL && mixin->keeper != NULL)
        shs__tls_keeper_poke(mixin->keeper);
}

bool shs_tls_get_stats(struct shs_server *self, struct shs_tls_stats *out)
{
    struct shs_tls_mixin *mixin = shs__tls_mixin_of(self);
    struct shs_tls_context *context;
    size_t i;

    if (mixin == NULL)
        return false;
    memset(out, 0, sizeof *out);
    out->handshakes = atomic_load(&mixin->shared->handshakes);
    out->resumed = atomic_load(&mixin->shared->resumed);
    out->reloads = atomic_load(&mixin->shared->reloads);
    out->reload_failures = atomic_load(&mixin->shared->reload_failures);
    out->in_progress = atomic_load(&mixin->in_progress);
    for (i = 0; i < SHS_TLS_CAUSE_COUNT; i++)
        out->causes[i] = atomic_load(&mixin->shared->causes[i]);
    for (i = 0; i < SHS_TLS_STAYS_COUNT; i++)
        out->records[i] = atomic_load(&mixin->shared->records[i]);
    for (i = 0; i < SHS_CLIENT_REASON_COUNT; i++) {
        out->client_reasons[i] = atomic_load(&mixin->shared->client_reasons[i]);
        out->clients_ended[i] = atomic_load(&mixin->shared->clients_ended[i]);
    }
    for (i = 0; i < SHS_ARRAY_LEN(out->client_alerts); i++)
        out->client_alerts[i] = atomic_load(&mixin->shared->client_alerts[i]);
    context = shs__tls_mixin_context(mixin);
    out->first_expiry = shs__tls_context_expiry(context);
    shs__tls_context_free(context);
    return true;
}

int shs_tls_each_certificate(struct shs_server *self,
                             void (*each)(void *ctx, const struct shs_tls_cert_info *cert),
                             void *ctx)
{
    struct shs_tls_mixin *mixin = shs__tls_mixin_of(self);
    struct shs_tls_context *context;

    if (mixin == NULL)
        return SHS_USAGE;
    context = shs__tls_mixin_context(mixin);
    shs__tls_context_each(context, each, ctx);
    shs__tls_context_free(context);
    return SHS_OK;
}
