/*
 * admin.c - <shs/admin.h>: the admin plane's own servers, and its life.
 */
#include <shs/admin.h>

#include "admin/check.h"
#include "base/base.h"

#define MODE 0660

void shs_admin_options_init_sized(struct shs_admin_options *opt, size_t size)
{
    const struct shs_admin_options defaults = {
        .size = size,
        .mode = MODE,
        .burst = 100,
        .per_minute = 3000,
        .max_connections = 128,
        .head_ms = 5000,
        .idle_ms = 30000,
        .stop_ms = 2000,
        .stuck_ms = 30000,
        .drain_grace_ms = 5000,
    };

    shs__sized_init(opt, size, &defaults, sizeof defaults);
}

#ifdef SHS_HAVE_JANSSON
#include "admin/admin.h"
#include "base/thread.h"
#include "server/loopback.h"
#include "server/server.h"

#include <errno.h>
#include <netdb.h>
#include <signal.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#define THREADS 2u      /* that work at once */
#define MAX_THREADS 32u /* with those that wait for a reader of events */

/* -- options ----------------------------------------------------------------------------------- */

static const size_t string_members[] = {
    offsetof(struct shs_admin_options, path),      offsetof(struct shs_admin_options, group),
    offsetof(struct shs_admin_options, host),      offsetof(struct shs_admin_options, port),
    offsetof(struct shs_admin_options, certfile),  offsetof(struct shs_admin_options, keyfile),
    offsetof(struct shs_admin_options, client_ca), offsetof(struct shs_admin_options, crl),
    offsetof(struct shs_admin_options, name),      offsetof(struct shs_admin_options, audit),
    offsetof(struct shs_admin_options, deny),      offsetof(struct shs_admin_options, rules),
    offsetof(struct shs_admin_options, keylog),
};

static const char **member(struct shs_admin_options *opt, size_t i)
{
    return (const char **)(void *)((char *)opt + string_members[i]);
}

static size_t count_names(const char *const *names)
{
    size_t count = 0;

    while (names != NULL && names[count] != NULL)
        count++;
    return count;
}

static size_t strings_size(struct shs_admin_options *opt)
{
    size_t size = (count_names(opt->host_names) + 1) * sizeof(char *);

    for (size_t i = 0; i < SHS_ARRAY_LEN(string_members); i++) {
        if (*member(opt, i) != NULL)
            size += strlen(*member(opt, i)) + 1;
    }
    for (size_t i = 0; i < count_names(opt->host_names); i++)
        size += strlen(opt->host_names[i]) + 1;
    return size;
}

static const char *copy_string(char **at, const char *text)
{
    size_t len;
    char *copy = *at;

    if (text == NULL)
        return NULL;
    len = strlen(text) + 1;
    memcpy(copy, text, len);
    *at += len;
    return copy;
}

static int copy_strings(struct shs_admin *self, struct shs_error *err)
{
    size_t names = count_names(self->opt.host_names);
    const char **list;
    char *at;

    if (self->opt.name == NULL)
        self->opt.name = "server";
    self->strings = shs__calloc(1, strings_size(&self->opt));
    if (self->strings == NULL)
        return shs_error_set(err, SHS_NOMEM, 0, "out of memory for the admin plane");
    list = self->strings;
    at = (char *)(list + names + 1);
    for (size_t i = 0; i < names; i++)
        list[i] = copy_string(&at, self->opt.host_names[i]);
    self->opt.host_names = list;
    for (size_t i = 0; i < SHS_ARRAY_LEN(string_members); i++)
        *member(&self->opt, i) = copy_string(&at, *member(&self->opt, i));
    return SHS_OK;
}

static int check_options(const struct shs_admin_options *opt, struct shs_error *err)
{
    if (opt->path == NULL && opt->host == NULL)
        return shs_error_set(err, SHS_USAGE, 0,
                             "the admin plane has no address: give a path or a host");
    if (opt->mode & ~0777u || (opt->mode & 0007) != 0)
        return shs_error_set(err, SHS_USAGE, 0,
                             "mode %o of the admin socket would let everybody in: others get "
                             "nothing, as in 0660",
                             opt->mode);
    if (opt->rules != NULL && opt->access != NULL)
        return shs_error_set(err, SHS_USAGE, 0,
                             "an admin plane has one set of rules: give `rules` or `access`");
    if (opt->host == NULL)
        return SHS_OK;
    if (opt->certfile == NULL && !shs__is_loopback(opt->host))
        return shs_error_set(err, SHS_USAGE, 0,
                             "an admin plane at '%s' would be open to the network: give it a "
                             "certificate and a client CA, or use a loopback address or a Unix "
                             "socket",
                             opt->host);
    if (opt->certfile != NULL && opt->client_ca == NULL)
        return shs_error_set(err, SHS_USAGE, 0,
                             "an admin plane over TLS needs a client CA: whose clients may come "
                             "in");
    return SHS_OK;
}

/* -- events ------------------------------------------------------------------------------------ */

static void on_handshake(void *ctx, struct shs_admin_watch *watch, struct shs_conn *conn,
                         const struct shs_admin_client *client)
{
    struct shs_admin *self = ctx;

    shs__admin_handshakes_done(self->handshakes, shs__admin_watch_name(watch), conn, client);
}

static void on_failure(void *ctx, struct shs_admin_watch *watch,
                       const struct shs_tls_failure *failure)
{
    struct shs_admin *self = ctx;

    shs__admin_handshakes_failed(self->handshakes, shs__admin_watch_name(watch), failure);
}

/* A client that is refused at our own door is on record, too. */
static void on_own_failure(void *ctx, struct shs_admin_watch *watch,
                           const struct shs_tls_failure *failure)
{
    on_failure(ctx, watch, failure);
    shs__admin_audit_failure(ctx, failure);
}

/* What could not be understood has no line yet. */
static void log_request(void *ctx, const struct shs_access *access)
{
    struct shs_admin *self = ctx;
    struct shs_buf text;

    if (access->req != NULL && shs__admin_call(access->req) != NULL)
        return;
    shs__buf_init(&text, (size_t)256 * 1024);
    if (shs__admin_dump(json_pack("{s:o, s:s, s:o, s:i, s:o, s:i, s:o}", "time",
                                  shs__admin_time_ms(shs__admin_now_ms()), "event", "bad-request",
                                  "peer",
                                  shs__admin_text_or_null(shs_conn_client_host(access->conn)),
                                  "port", (int)shs_conn_client_port(access->conn), "line",
                                  shs__admin_text_str(access->request_line), "status",
                                  access->status, "refused", shs__admin_text(access->error)),
                        &text) == SHS_OK)
        (void)shs__admin_audit_line(self->audit, (struct shs_str){shs__buf_head(&text), text.len});
    shs__buf_free(&text);
}

/* -- its own servers --------------------------------------------------------------------------- */

static void server_options(const struct shs_admin *self, struct shs_options *opt)
{
    shs_options_init(opt);
    opt->bind_and_activate = false;
    opt->unlink_on_bind = opt->unlink_on_close = true;
    opt->request_queue_size = 64;
    opt->max_connections = self->opt.max_connections;
    opt->handshake_ms = opt->head_ms = self->opt.head_ms;
    opt->idle_ms = self->opt.idle_ms;
    opt->body_ms = opt->write_ms = 10000;
    opt->stop_ms = self->opt.stop_ms;
    opt->close_ms = 1000;
    opt->max_body_bytes = (uint64_t)1024 * 1024;
    opt->max_head_bytes = 16384;
    opt->threads = THREADS;
    opt->max_threads = MAX_THREADS;
    opt->max_queue = 64;
    opt->error_form = SHS_ERRORS_PROBLEM;
    opt->log = self->opt.log;
    opt->log_ctx = self->opt.log_ctx;
    opt->log_level = SHS_LOG_WARNING;
}

static int push_tls(struct shs_admin *self, struct shs_server *server, struct shs_error *err)
{
    const struct shs_tls_cert cert = {.certfile = self->opt.certfile, .keyfile = self->opt.keyfile};
    struct shs_tls_config config;
    struct shs_tls_host host;

    shs_tls_host_init(&host);
    host.certs = &cert;
    host.cert_count = 1;
    host.client_auth = SHS_TLS_CLIENT_REQUIRED;
    host.client_ca = self->opt.client_ca;
    host.crl = self->opt.crl;
    shs_tls_config_init(&config);
    config.hosts = &host;
    config.host_count = 1;
    config.max_handshakes = self->opt.max_connections;
    return shs_tls_mixin_push_config(server, &config, err);
}

/* The last one: nobody answers, and nobody will. */
static void drop(struct shs_admin *self)
{
    if (atomic_fetch_sub(&self->refs, 1) > 1)
        return;
    for (unsigned i = 0; i < atomic_load(&self->watch_count); i++)
        shs__server_unref(shs__admin_watch_server(self->watches[i]));
    shs_rate_limit_free(self->rate);
    shs_router_free(self->router);
    shs_access_free(self->own_rules);
    shs__admin_audit_free(self->audit);
    if (self->keylog_fd >= 0)
        (void)close(self->keylog_fd);
    shs__admin_handshakes_free(self->handshakes);
    shs__admin_history_free(self->history);
    shs__admin_denied_free(self->denied);
    shs__free(self->strings);
    shs__free(self);
}

static void own_layer_free(struct shs_layer *layer)
{
    drop(SHS_CONTAINER_OF(layer, struct shs_admin_own, layer)->admin);
}

static const struct shs_server_ops own_ops = {.name = "Admin", .layer_free = own_layer_free};

static int compose(struct shs_admin *self, struct shs_admin_own *own, bool tls, const char *name,
                   struct shs_error *err)
{
    int rc = shs_server_push(own->server, &own->layer, &own_ops);

    if (rc != SHS_OK)
        return shs_error_set(err, rc, 0, "the admin plane: %s", shs_err_text(rc));
    own->admin = self;
    atomic_fetch_add(&self->refs, 1);
    if (tls)
        rc = push_tls(self, own->server, err);
    if (rc == SHS_OK)
        rc = shs_thread_pool_mixin_push(own->server, err);
    if (rc == SHS_OK)
        rc = shs__admin_watch_new(&own->watch, own->server, name,
                                  SHS_ADMIN_SERVERS_MAX + 1 + self->own_count, self->denied,
                                  &self->own_events, err);
    if (rc == SHS_OK)
        rc = shs__admin_deny_tell(self, own->server, err);
    return rc;
}

/* Of what is said of a place, what can be looked at without taking it. */
static int look_at_place(struct shs_server *server, const struct shs_options *opt,
                         struct shs_error *err)
{
    gid_t gid;
    int rc = SHS_OK;

    if (opt->path != NULL && opt->path_group != NULL)
        rc = shs__unix_find_group(server, opt->path_group, &gid);
    if (rc != SHS_OK && err != NULL)
        *err = *shs_server_error(server);
    return rc;
}

static int open_server(struct shs_admin *self, const struct shs_options *opt, bool tls,
                       const char *name, struct shs_error *err)
{
    struct shs_admin_own *own = &self->own[self->own_count];
    int rc = shs_http_server_new(&own->server, opt, &self->handler, err);

    if (rc != SHS_OK)
        return rc;
    rc = compose(self, own, tls, name, err);
    self->own_count++;
    if (rc == SHS_OK && self->only_looks)
        return look_at_place(own->server, opt, err);
    if (rc == SHS_OK && self->opt.prepare != NULL)
        rc = self->opt.prepare(self->opt.prepare_ctx, own->server, err);
    if (rc != SHS_OK)
        return rc;
    rc = shs_server_bind(own->server);
    if (rc == SHS_OK)
        rc = shs_server_activate(own->server);
    if (rc != SHS_OK && err != NULL)
        *err = *shs_server_error(own->server);
    return rc;
}

static int open_servers(struct shs_admin *self, struct shs_error *err)
{
    struct shs_options opt;
    int rc = SHS_OK;

    server_options(self, &opt);
    if (self->opt.path != NULL) {
        opt.path = self->opt.path;
        opt.path_mode = self->opt.mode;
        opt.path_group = self->opt.group;
        rc = open_server(self, &opt, false, "admin", err);
    }
    if (rc == SHS_OK && self->opt.host != NULL) {
        opt.path = NULL;
        opt.host = self->opt.host;
        opt.port = self->opt.port;
        rc = open_server(self, &opt, self->opt.certfile != NULL, "admin-tcp", err);
    }
    return rc;
}

/* Each closes its own: they wait for their requests side by side. */
static void *serve(void *ctx)
{
    struct shs_admin_own *own = ctx;

    if (shs_serve_forever(own->server) != SHS_OK)
        shs_server_log(own->server, SHS_LOG_ERROR, "the admin plane has ended: %s",
                       shs_server_error(own->server)->text);
    own->closed = shs_server_close(own->server);
    return NULL;
}

static int start_threads(struct shs_admin *self, struct shs_error *err)
{
    int e = 0;

    for (unsigned i = 0; e == 0 && i < self->own_count; i++) {
        e = shs__thread_start(&self->own[i].thread, NULL, NULL, serve, &self->own[i]);
        self->own[i].started = e == 0;
    }
    return e == 0 ? SHS_OK : shs_error_set(err, SHS_IO, e, "no thread for the admin plane");
}

/* -- life -------------------------------------------------------------------------------------- */

static int make_parts(struct shs_admin *self, struct shs_error *err)
{
    const struct shs_admin_moment nothing = {.accepted = 0};
    struct shs_rate_options rate;
    int rc;

    if (shs__admin_denied_new(&self->denied) != SHS_OK ||
        shs__admin_handshakes_new(&self->handshakes) != SHS_OK ||
        shs__admin_history_new(&self->history, &nothing) != SHS_OK)
        return shs_error_set(err, SHS_NOMEM, 0, "out of memory for the admin plane");
    rc = shs__admin_audit_new(&self->audit, self->opt.audit, self->opt.log, self->opt.log_ctx, err);
    if (rc == SHS_OK)
        rc = shs__admin_keylog_open(self, err);
    if (rc == SHS_OK)
        rc = shs__admin_deny_load(self, err);
    if (rc == SHS_OK && self->opt.rules != NULL)
        rc = shs_access_new(&self->own_rules, self->opt.rules, err);
    self->rules = self->own_rules != NULL ? self->own_rules : self->opt.access;
    if (rc == SHS_OK)
        rc = shs__admin_router_new(self, err);
    shs_rate_options_init(&rate);
    rate.by = SHS_RATE_BY_KEY;
    rate.burst = self->opt.burst;
    rate.per_minute = self->opt.per_minute;
    rate.max_keys = 1024;
    rate.key = shs__admin_rate_key;
    if (rc == SHS_OK)
        rc = shs_rate_limit_new(&self->rate, NULL, &rate, err);
    return rc;
}

static struct shs_admin *admin_new(void)
{
    struct shs_admin *self = shs__calloc(1, sizeof *self);

    if (self == NULL)
        return NULL;
    atomic_init(&self->refs, 1);
    self->uid = geteuid();
    self->events = (struct shs_admin_watch_events){
        .handshake = on_handshake, .failure = on_failure, .ctx = self};
    self->own_events = (struct shs_admin_watch_events){
        .handshake = on_handshake, .failure = on_own_failure, .turn = shs__admin_look, .ctx = self};
    self->began_ns = shs__elapsed_ns();
    self->keylog_fd = -1;
    self->handler = (struct shs_http_handler){
        .name = "Admin",
        .do_any = shs__admin_answer,
        .log_request = log_request,
        .log_ctx = self,
        .ctx = self,
    };
    return self;
}

static int take_options(struct shs_admin *self, const struct shs_admin_options *opt,
                        struct shs_error *err)
{
    int rc;

    shs_admin_options_init(&self->opt);
    rc = shs__sized_copy(&self->opt, sizeof self->opt, opt, "shs_admin_options", err);
    if (rc == SHS_OK)
        rc = check_options(&self->opt, err);
    return rc == SHS_OK ? copy_strings(self, err) : rc;
}

/* A file that is not there yet would be made: of that its directory is looked at. */
static int look_at_new_file(const char **file, const char *what, struct shs_error *err)
{
    const char *slash = *file == NULL ? NULL : strrchr(*file, '/');
    struct stat st;
    char *dir;
    int e;

    if (*file == NULL || **file == '\0' || lstat(*file, &st) == 0 || errno != ENOENT)
        return SHS_OK;
    dir = slash == NULL ? shs__strdup(".") : shs__strndup(*file, (size_t)(slash - *file) + 1);
    if (dir == NULL)
        return shs_error_set(err, SHS_NOMEM, 0, "out of memory for the admin plane");
    e = access(dir, W_OK | X_OK) == 0 ? 0 : errno;
    shs__free(dir);
    if (e != 0)
        return shs_error_set(err, SHS_IO, e, "cannot open the %s %s: %s", what, *file,
                             shs__strerror(e, (char[96]){0}, 96));
    *file = NULL;
    return SHS_OK;
}

int shs__admin_check(struct shs_admin **out, const struct shs_admin_options *opt,
                     struct shs_error *err)
{
    struct shs_admin *self = admin_new();
    int rc;

    *out = NULL;
    if (self == NULL)
        return shs_error_set(err, SHS_NOMEM, 0, "out of memory for the admin plane");
    self->only_looks = true;
    rc = take_options(self, opt, err);
    if (rc == SHS_OK)
        rc = look_at_new_file(&self->opt.audit, "audit file", err);
    if (rc == SHS_OK)
        rc = look_at_new_file(&self->opt.keylog, "key log", err);
    if (rc == SHS_OK)
        rc = make_parts(self, err);
    if (rc == SHS_OK)
        rc = open_servers(self, err);
    if (rc == SHS_OK)
        *out = self;
    else
        (void)shs_admin_free(self);
    return rc;
}

int shs_admin_new(struct shs_admin **out, struct shs_server *server,
                  const struct shs_admin_options *opt, struct shs_error *err)
{
    struct shs_admin *self;
    int rc;

    *out = NULL;
    self = admin_new();
    if (self == NULL)
        return shs_error_set(err, SHS_NOMEM, 0, "out of memory for the admin plane");
    rc = take_options(self, opt, err);
    if (rc == SHS_OK)
        rc = make_parts(self, err);
    if (rc == SHS_OK)
        rc = open_servers(self, err);
    /* What fails most often comes before: a server can be looked at only once. */
    if (rc == SHS_OK && server != NULL)
        rc = shs_admin_add_server(self, self->opt.name, server, err);
    if (rc == SHS_OK)
        rc = start_threads(self, err);
    if (rc != SHS_OK) {
        (void)shs_admin_free(self);
        return rc;
    }
    *out = self;
    return SHS_OK;
}

/* Its own have names as well. */
static bool has_server(const struct shs_admin *self, const char *name)
{
    unsigned count = atomic_load(&self->watch_count);

    for (unsigned i = 0; i < count; i++) {
        if (strcmp(shs__admin_watch_name(self->watches[i]), name) == 0)
            return true;
    }
    for (unsigned i = 0; i < self->own_count; i++) {
        if (strcmp(shs__admin_watch_name(self->own[i].watch), name) == 0)
            return true;
    }
    return false;
}

int shs_admin_add_server(struct shs_admin *self, const char *name, struct shs_server *server,
                         struct shs_error *err)
{
    unsigned count;
    int rc;

    if (self == NULL || name == NULL || server == NULL)
        return shs_error_set(err, SHS_USAGE, 0, "%s is NULL",
                             self == NULL   ? "the admin plane"
                             : name == NULL ? "the server's name"
                                            : "the server");
    count = atomic_load(&self->watch_count);
    if (count == SHS_ADMIN_SERVERS_MAX)
        return shs_error_set(err, SHS_LIMIT, 0, "more than %d servers", SHS_ADMIN_SERVERS_MAX);
    if (has_server(self, name))
        return shs_error_set(err, SHS_USAGE, 0, "there is a server '%s' already", name);
    rc = shs__admin_watch_new(&self->watches[count], server, name, count + 1, self->denied,
                              &self->events, err);
    if (rc != SHS_OK)
        return rc;
    /* Requests may be answered by now: what they find is complete. */
    rc = shs__admin_keylog_allow(self, server, err);
    if (rc != SHS_OK) {
        shs__admin_watch_forget(self->watches[count]);
        return rc;
    }
    shs__server_ref(server); /* whoever frees it meanwhile */
    atomic_store(&self->watch_count, count + 1);
    return shs__admin_deny_tell(self, server, err);
}

struct shs_server *shs_admin_server(const struct shs_admin *self, unsigned i)
{
    return self != NULL && i < self->own_count ? self->own[i].server : NULL;
}

void shs__admin_each(struct shs_admin *self,
                     bool (*each)(void *ctx, struct shs_admin_watch *watch, bool own), void *ctx)
{
    unsigned count = atomic_load(&self->watch_count);

    for (unsigned i = 0; i < count; i++) {
        if (!each(ctx, self->watches[i], false))
            return;
    }
    for (unsigned i = 0; i < self->own_count; i++) {
        if (!each(ctx, self->own[i].watch, true))
            return;
    }
}

/* Nobody answers any more: SHS_OK; SHS_TIMEOUT: somebody does. */
static int stop(struct shs_admin *self)
{
    int rc = SHS_OK;

    for (unsigned i = 0; i < self->own_count; i++)
        shs_shutdown(self->own[i].server);
    for (unsigned i = 0; i < self->own_count; i++) {
        struct shs_admin_own *own = &self->own[i];

        if (own->started)
            pthread_join(own->thread, NULL);
        else
            own->closed = shs_server_close(own->server);
        if (own->closed != SHS_OK)
            rc = SHS_TIMEOUT;
    }
    return rc;
}

int shs_admin_free(struct shs_admin *self)
{
    int rc;

    if (self == NULL)
        return SHS_OK;
    rc = stop(self);
    for (unsigned i = 0; i < atomic_load(&self->watch_count); i++)
        shs__admin_watch_forget(self->watches[i]);
    for (unsigned i = 0; i < self->own_count; i++)
        shs__admin_watch_forget(self->own[i].watch);
    for (unsigned i = 0; i < self->own_count; i++)
        shs_server_free(self->own[i].server);
    drop(self);
    return rc;
}

#else

int shs_admin_new(struct shs_admin **out, struct shs_server *server,
                  const struct shs_admin_options *opt, struct shs_error *err)
{
    SHS_UNUSED(server);
    SHS_UNUSED(opt);
    *out = NULL;
    return shs_error_set(err, SHS_USAGE, 0,
                         "this library was built without jansson, and has no admin plane");
}

int shs__admin_check(struct shs_admin **out, const struct shs_admin_options *opt,
                     struct shs_error *err)
{
    return shs_admin_new(out, NULL, opt, err);
}

int shs_admin_add_server(struct shs_admin *self, const char *name, struct shs_server *server,
                         struct shs_error *err)
{
    SHS_UNUSED(self);
    SHS_UNUSED(name);
    SHS_UNUSED(server);
    return shs_error_set(err, SHS_USAGE, 0, "there is no admin plane");
}

int shs_admin_free(struct shs_admin *self)
{
    SHS_UNUSED(self);
    return SHS_OK;
}

int shs_admin_reload(struct shs_admin *self, const char *who, bool dry_run, struct shs_error *err)
{
    SHS_UNUSED(self);
    SHS_UNUSED(who);
    SHS_UNUSED(dry_run);
    return shs_error_set(err, SHS_USAGE, 0, "there is no admin plane");
}

struct shs_server *shs_admin_server(const struct shs_admin *self, unsigned i)
{
    SHS_UNUSED(self);
    SHS_UNUSED(i);
    return NULL;
}

#endif
