#include "cmd/serve_reload.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "access/policy.h"
#include "base/thread.h"
#include "cmd/cmd.h"
#include "cmd/notify.h"
#include "cmd/reload_signal.h"

#define FIRST_RETRY_MS 1000u
#define LAST_RETRY_MS 60000u
#define MINUTE_MS 60000u
#define LINE_MAX_BYTES 1800
/* Beyond so many, a line says how many more there are. */
#define NAMES_MAX 40u

/* What became of a file. Views: during the call that they are given to. */
struct serve_reload_file {
    const char *listener; /* "127.0.0.1:8443"; NULL: there is one listener only */
    const char *file;
    enum shs_tls_file_state state;
    const char *why; /* of one that cannot be used; else "" */
};

typedef void serve_reload_fn(void *ctx, const struct serve_reload_file *file);

/* What is read again for itself: a server's TLS, rules, or the configuration. */
struct serve_reload_part {
    const char *listener;
    struct shs_server *server;
    struct shs_access_rules *rules;
    struct serve_config *config;
    const char *file; /* of the rules, or the configuration */
    /* while it is reloaded */
    struct shs_tls_draft *tls;
    struct shs_access_draft *access;
    bool changed; /* the configuration has other routes */
    bool was_bad; /* it could not be used when it was last to be taken */
    int rc;
    struct shs_error err;
};

/* -- what there is ----------------------------------------------------------------------------- */

static bool add(struct serve_reload *self, const struct serve_reload_part *part)
{
    struct serve_reload_part *more =
        shs__realloc(self->parts, (self->count + 1) * sizeof *self->parts);

    if (more == NULL)
        return false;
    self->parts = more;
    more[self->count++] = *part;
    return true;
}

bool serve_reload_add_tls(struct serve_reload *self, const char *listener,
                          struct shs_server *server)
{
    const struct serve_reload_part part = {.listener = listener, .server = server};

    return add(self, &part);
}

bool serve_reload_add_rules(struct serve_reload *self, const char *listener,
                            struct shs_access_rules *rules, const char *file)
{
    const struct serve_reload_part part = {.listener = listener, .rules = rules, .file = file};

    return add(self, &part);
}

bool serve_reload_add_config(struct serve_reload *self, struct serve_config *config)
{
    const struct serve_reload_part part = {.config = config,
                                           .file = config->plan->listeners[0].config};

    return add(self, &part);
}

/* -- one part ---------------------------------------------------------------------------------- */

static void read_part(struct serve_reload_part *part, bool dry_run)
{
    part->err = (struct shs_error){.code = SHS_OK};
    if (part->server != NULL)
        part->rc = shs_tls_draft_new(&part->tls, part->server, dry_run, &part->err);
    else if (part->config != NULL)
        part->rc = serve_config_read(part->config, &part->changed, &part->err);
    else
        part->rc = shs_access_draft_new(&part->access, part->rules, dry_run, &part->err);
}

static void take_part(struct serve_reload_part *part)
{
    part->was_bad = part->rc != SHS_OK;
    if (part->tls != NULL)
        part->rc = shs_tls_draft_commit(part->tls, &part->err);
    else if (part->config != NULL && part->rc == SHS_OK)
        serve_config_take(part->config);
    else if (part->access != NULL)
        shs_access_draft_commit(part->access);
}

static void drop_part(struct serve_reload_part *part)
{
    shs_tls_draft_free(part->tls);
    shs_access_draft_free(part->access);
    if (part->config != NULL)
        serve_config_drop(part->config);
    part->tls = NULL;
    part->access = NULL;
}

/* -- what became of it ------------------------------------------------------------------------- */

/* Hands the files of a part on. */
struct telling {
    const struct serve_reload_part *part;
    serve_reload_fn *each;
    void *ctx;
};

static void tell_file(void *ctx, const struct shs_tls_file_result *result)
{
    const struct telling *self = ctx;
    struct serve_reload_file file = {self->part->listener, result->file, result->state,
                                     result->why};

    self->each(self->ctx, &file);
}

/* That of rules, or the configuration's. */
static struct shs_tls_file_result file_of(const struct serve_reload_part *part)
{
    bool taken;

    if (part->rc != SHS_OK)
        return (struct shs_tls_file_result){part->file, SHS_TLS_FILE_KEPT, part->err.text};
    taken = part->config != NULL ? part->changed : shs__access_draft_is_news(part->access);
    return (struct shs_tls_file_result){part->file, taken ? SHS_TLS_FILE_TAKEN : SHS_TLS_FILE_SAME,
                                        ""};
}

static void tell_part(const struct serve_reload_part *part, serve_reload_fn *each, void *ctx)
{
    struct telling telling = {part, each, ctx};
    struct shs_tls_file_result file;

    if (part->tls != NULL)
        shs_tls_draft_each(part->tls, tell_file, &telling);
    if (part->server != NULL) /* without a draft there was no memory: the error says so */
        return;
    file = file_of(part);
    tell_file(&telling, &file);
}

/* A line of names: "; taken: 'a', 'b'". */
struct names {
    enum shs_tls_file_state state;
    const char *title;
    unsigned count;
    char *text; /* room for LINE_MAX_BYTES */
    size_t len;
};

static void add_name(void *ctx, const struct serve_reload_file *file)
{
    struct names *self = ctx;
    int n;

    if (file->state != self->state)
        return;
    if (self->count++ >= NAMES_MAX)
        return;
    n = snprintf(self->text + self->len, LINE_MAX_BYTES - self->len, "%s'%s'%s%s",
                 self->count == 1 ? self->title : ", ", file->file,
                 file->listener == NULL ? "" : " of ",
                 file->listener == NULL ? "" : file->listener);
    if (n > 0 && self->len + (size_t)n < LINE_MAX_BYTES)
        self->len += (size_t)n;
    else
        self->text[self->len] = '\0';
}

static unsigned add_names(const struct serve_reload *self, enum shs_tls_file_state state,
                          const char *title, char *text)
{
    struct names names = {.state = state, .title = title, .text = text, .len = strlen(text)};

    for (size_t i = 0; i < self->count; i++)
        tell_part(&self->parts[i], add_name, &names);
    if (names.count > NAMES_MAX)
        snprintf(text + names.len, LINE_MAX_BYTES - names.len, " and %u more",
                 names.count - NAMES_MAX);
    return names.count;
}

/* A line for each file whose reason is not the one that was said. */
struct reasons {
    const struct serve_reload *reload;
    const char *said;
};

static void say_reason(void *ctx, const struct serve_reload_file *file)
{
    const struct reasons *self = ctx;
    char text[LINE_MAX_BYTES];

    if (file->state != SHS_TLS_FILE_KEPT || strstr(self->said, file->why) != NULL)
        return;
    snprintf(text, sizeof text, "'%s'%s%s stays as it was, too: %s", file->file,
             file->listener == NULL ? "" : " of ", file->listener == NULL ? "" : file->listener,
             file->why);
    self->reload->log(self->reload->log_ctx, SHS_LOG_ERROR, text);
}

/* In a sandbox that may be for another reason than modes. */
static void say_sandbox(const struct serve_reload *self, const struct shs_error *err)
{
    if (self->sandboxed && err->sys_errno == EACCES)
        self->log(self->log_ctx, SHS_LOG_WARNING,
                  "If the file's mode lets this user read it, the sandbox forbids it: since the "
                  "start only files near those of the configuration can be read. Restart, or use "
                  "--no-sandbox");
}

/* What of a configuration waits for a restart. */
static void say_notes(const struct serve_reload *self)
{
    for (size_t i = 0; i < self->count; i++) {
        const struct serve_config *config = self->parts[i].config;

        if (config != NULL && self->parts[i].rc == SHS_OK && config->note[0] != '\0')
            self->log(self->log_ctx, SHS_LOG_WARNING, config->note);
    }
}

/* One line for all of it, and one for each further reason. */
static void say(const struct serve_reload *self, const struct shs_error *err)
{
    char text[2 * LINE_MAX_BYTES], files[LINE_MAX_BYTES] = "";
    const char *what = "Files read again";
    bool failed = err->code != SHS_OK;
    unsigned taken = add_names(self, SHS_TLS_FILE_TAKEN, "; taken: ", files);

    add_names(self, SHS_TLS_FILE_KEPT, "; kept: ", files);
    add_names(self, SHS_TLS_FILE_SAME, "; as before: ", files);
    if (failed)
        what = taken > 0 ? "Files read again, but not all can be used: "
                         : "Files not reloaded, all stays as it was: ";
    snprintf(text, sizeof text, "%s%s", what, failed ? err->text : "");
    if (files[0] != '\0')
        shs__say_more(text, sizeof text, files + strlen("; "));
    self->log(self->log_ctx, failed ? SHS_LOG_ERROR : SHS_LOG_INFO, text);
    for (size_t i = 0; failed && i < self->count; i++)
        tell_part(&self->parts[i], say_reason, &(struct reasons){self, err->text});
    if (failed)
        say_sandbox(self, err);
    say_notes(self);
}

/* -- all of it --------------------------------------------------------------------------------- */

/* The first part that cannot be used, in words. SHS_OK: none. */
static int first_fault(const struct serve_reload *self, struct shs_error *err)
{
    for (size_t i = 0; i < self->count; i++) {
        const struct serve_reload_part *part = &self->parts[i];

        if (part->rc == SHS_OK)
            continue;
        if (part->listener == NULL)
            *err = part->err;
        else
            shs_error_set(err, part->rc, 0, "%s: %s", part->listener, part->err.text);
        err->code = part->rc;
        err->sys_errno = part->err.sys_errno;
        return part->rc;
    }
    *err = (struct shs_error){.code = SHS_OK};
    return SHS_OK;
}

/* Everything is read before anything is taken; what cannot be used holds up nothing else. */
static int reload(struct serve_reload *self, bool dry_run, struct shs_error *err)
{
    for (size_t i = 0; i < self->count; i++)
        read_part(&self->parts[i], dry_run);
    for (size_t i = 0; i < self->count && !dry_run; i++)
        take_part(&self->parts[i]);
    return first_fault(self, err);
}

/* Ends what began with the lock. */
static void drop_all(struct serve_reload *self)
{
    for (size_t i = 0; i < self->count; i++) {
        drop_part(&self->parts[i]);
        self->parts[i].rc = SHS_OK;
    }
    pthread_mutex_unlock(&self->one);
}

static int reload_all(struct serve_reload *self, bool dry_run, struct shs_error *err)
{
    int rc;

    pthread_mutex_lock(&self->one);
    rc = reload(self, dry_run, err);
    if (!dry_run) {
        say(self, err);
        snprintf(self->said, sizeof self->said, "%s", rc == SHS_OK ? "" : err->text);
    }
    drop_all(self);
    return rc;
}

/* What the admin plane does not read itself: rules and the configuration. With the lock. */
static bool is_ours(const struct serve_reload_part *part)
{
    return part->rules != NULL || part->config != NULL;
}

static int read_ours(struct serve_reload *self, bool dry_run, struct shs_error *err)
{
    for (size_t i = 0; i < self->count; i++) {
        if (is_ours(&self->parts[i]))
            read_part(&self->parts[i], dry_run);
    }
    return first_fault(self, err);
}

int serve_reload_rest(void *reload, enum shs_admin_reload_step step, struct shs_error *err)
{
    struct serve_reload *self = reload;

    switch (step) {
    case SHS_ADMIN_RELOAD_LOOK:
    case SHS_ADMIN_RELOAD_READ:
        pthread_mutex_lock(&self->one);
        return read_ours(self, step == SHS_ADMIN_RELOAD_LOOK, err);
    case SHS_ADMIN_RELOAD_TAKE:
        for (size_t i = 0; i < self->count; i++) {
            if (is_ours(&self->parts[i]))
                take_part(&self->parts[i]);
        }
        say_notes(self);
        break;
    case SHS_ADMIN_RELOAD_DROP:
        break;
    }
    drop_all(self);
    return SHS_OK;
}

/* Those of a file that has more than one listener are there once. */
static bool was_there(const struct serve_reload *self, size_t i)
{
    for (size_t k = 0; k < i; k++) {
        if (is_ours(&self->parts[k]) && strcmp(self->parts[k].file, self->parts[i].file) == 0 &&
            self->parts[k].rc == self->parts[i].rc)
            return true;
    }
    return false;
}

void serve_reload_files(void *reload,
                        void (*each)(void *to, const struct shs_tls_file_result *result), void *to)
{
    const struct serve_reload *self = reload;

    for (size_t i = 0; i < self->count; i++) {
        struct shs_tls_file_result result;

        if (is_ours(&self->parts[i]) && !was_there(self, i)) {
            result = file_of(&self->parts[i]);
            each(to, &result);
        }
    }
}

/* With the admin plane it is what POST reload is, in its audit log as well. */
static int reload_now(struct serve_reload *self, bool dry_run, struct shs_error *err)
{
    int rc;

    if (self->admin == NULL)
        return reload_all(self, dry_run, err);
    rc = shs_admin_reload(self->admin, "SIGHUP", dry_run, err);
    if (!dry_run) {
        pthread_mutex_lock(&self->one);
        snprintf(self->said, sizeof self->said, "%s", rc == SHS_OK ? "" : err->text);
        pthread_mutex_unlock(&self->one);
    }
    return rc;
}

/* -- the thread -------------------------------------------------------------------------------- */

/* Whether the last one failed, and for another reason than this. */
static bool is_news(struct serve_reload *self, const char *why, bool *failed)
{
    bool news;

    pthread_mutex_lock(&self->one);
    *failed = self->said[0] != '\0';
    news = *failed && strncmp(self->said, why, sizeof self->said - 1) != 0;
    pthread_mutex_unlock(&self->one);
    return news;
}

static void count_new(void *ctx, const struct serve_reload_file *file)
{
    *(unsigned *)ctx += file->state == SHS_TLS_FILE_TAKEN;
}

/* Something can be used that could not, though perhaps not the file that is told of first. */
static bool is_better(struct serve_reload *self)
{
    struct shs_error err;
    unsigned better = 0;

    pthread_mutex_lock(&self->one);
    (void)reload(self, true, &err);
    for (size_t i = 0; i < self->count; i++) {
        const struct serve_reload_part *part = &self->parts[i];

        if (part->server != NULL)
            tell_part(part, count_new, &better);
        else
            better += part->was_bad && part->rc == SHS_OK;
    }
    drop_all(self);
    return better > 0;
}

/* What failed is looked at again, in silence until there is something new. */
static void retry(struct serve_reload *self)
{
    struct shs_error err = {.text = ""};
    bool failed, better = is_better(self);
    int rc = reload_now(self, true, &err);
    bool news = is_news(self, rc == SHS_OK ? "" : err.text, &failed);

    if ((news || better) && failed)
        (void)reload_now(self, false, &err);
}

static bool has_failed(struct serve_reload *self)
{
    bool failed;

    (void)is_news(self, "", &failed);
    return failed;
}

static int ms_to(int64_t deadline_ns)
{
    return deadline_ns == INT64_MAX ? -1 : shs__poll_ms(deadline_ns, shs_now_ns());
}

static void *run(void *arg)
{
    struct serve_reload *self = arg;
    struct pollfd wake = {.fd = self->wake, .events = POLLIN};
    int64_t retry_ns = INT64_MAX;
    int64_t minute_ns = self->minute == NULL ? INT64_MAX : shs_now_ns();
    unsigned wait_ms = FIRST_RETRY_MS;
    struct shs_error err;
    uint64_t times;

    while (!atomic_load(&self->stop)) {
        int n;

        if (!has_failed(self))
            retry_ns = INT64_MAX;
        else if (retry_ns == INT64_MAX)
            retry_ns = shs__deadline_after(shs_now_ns(), wait_ms);
        n = poll(&wake, 1, ms_to(retry_ns < minute_ns ? retry_ns : minute_ns));
        if (atomic_load(&self->stop))
            break;
        if (self->minute != NULL && (n > 0 || shs_now_ns() >= minute_ns)) {
            self->minute(self->minute_ctx); /* before what is asked for: it may make a file */
            minute_ns = shs__deadline_after(shs_now_ns(), MINUTE_MS);
        }
        if (n > 0 && read(self->wake, &times, sizeof times) == (ssize_t)sizeof times) {
            wait_ms = FIRST_RETRY_MS;
            retry_ns = INT64_MAX;
            notify_reloading("Reading certificates and rules again");
            (void)notify_send("READY=1\nSTATUS=%s", reload_now(self, false, &err) == SHS_OK
                                                        ? "Reloaded"
                                                        : "The last reload failed, see the log");
        } else if (n == 0 && shs_now_ns() >= retry_ns) {
            retry_ns = INT64_MAX;
            wait_ms = wait_ms < LAST_RETRY_MS / 2 ? 2 * wait_ms : LAST_RETRY_MS;
            retry(self);
        }
    }
    return NULL;
}

int serve_reload_start(struct serve_reload *self, shs_log_fn *log, void *log_ctx)
{
    char text[64];
    int e;

    self->log = log;
    self->log_ctx = log_ctx;
    self->ready = pthread_mutex_init(&self->one, NULL) == 0;
    self->wake = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (self->wake < 0)
        return cmd_fail(CMD_FAILED, "no eventfd: %s", shs__strerror(errno, text, sizeof text));
    e = shs__thread_start(&self->thread, NULL, "shs-reload", run, self);
    if (e != 0) {
        (void)close(self->wake);
        return cmd_fail(CMD_FAILED, "cannot start a thread: %s",
                        shs__strerror(e, text, sizeof text));
    }
    self->started = true;
    reload_signal_tell(self->wake);
    return CMD_OK;
}

void serve_reload_end(struct serve_reload *self)
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
}

void serve_reload_stop(struct serve_reload *self)
{
    serve_reload_end(self);
    if (self->ready)
        pthread_mutex_destroy(&self->one);
    self->ready = false;
    shs__free(self->parts);
    self->parts = NULL;
    self->count = 0;
}
