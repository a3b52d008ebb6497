/*
 * serve.c - `shs serve`: a handler, a log, a certificate and a server, put together and run.
 */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <pthread.h>
#include <stdio.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include <shs/drain.h>
#include <shs/echo.h>
#include <shs/forwarded.h>
#include <shs/health.h>
#include <shs/http.h>
#include <shs/metrics.h>
#include <shs/middleware.h>
#include <shs/proxy.h>
#include <shs/tls.h>
#include <shs/whoami.h>

#include "base/text.h"
#include "cmd/cmd.h"
#include "cmd/credentials.h"
#include "cmd/hand_over.h"
#include "cmd/listen_fds.h"
#include "cmd/notify.h"
#include "cmd/pid_file.h"
#include "cmd/reload_signal.h"
#include "cmd/run_as.h"
#include "cmd/serve.h"
#include "cmd/serve_admin.h"
#include "cmd/serve_fds.h"
#include "cmd/serve_hints.h"
#include "cmd/serve_open.h"
#include "cmd/serve_options.h"
#include "cmd/serve_redirect.h"
#include "cmd/serve_reload.h"
#include "cmd/serve_sandbox.h"
#include "cmd/serve_service.h"
#include "cmd/serve_share.h"
#include "cmd/serve_share_ca.h"
#include "cmd/stop_signals.h"
#include "tls/wire/failure.h"

/* Log lines that may wait for a slow reader, and how long the end waits for it. */
#define LOG_BYTES ((size_t)1 << 20)
#define LOG_STOP_MS 2000
#define DIAGNOSTIC_MAX 2048

struct serve;

/* A socket, and all that answers on it. */
struct listener {
    struct serve *serve;
    struct serve_options *o; /* the plan's */
    struct serve_here here;  /* empty, unless it listens on every interface */
    struct credentials credentials;
    struct serve_site site;
    struct serve_share_ca share_ca;
    struct shs_tls_cert certs[SERVE_CERTS_MAX];
    struct shs_server *server;
    struct shs_metrics_link counted;
    char name[SERVE_PLACE_MAX];  /* for metrics: its first address */
    char place[SERVE_PLACE_MAX]; /* likewise, for the log */
    pthread_t thread;            /* of all but the first */
    char said[256];              /* why the certificate could not be made again; "" */
    bool started;
    int code;       /* what came of it */
    bool abandoned; /* a request still runs: what it uses stays until the process ends */
};

struct serve {
    struct serve_plan plan;
    struct listener *listeners;    /* plan.count of them */
    const struct serve_options *o; /* the first one's, for what they share */
    struct shs_access_log *access_log;
    int log_fd;
    struct shs_health *health; /* these three with --health */
    struct shs_metrics *metrics;
    struct shs_http_handler probes;
    struct shs_admin *admin; /* with --admin */
    struct serve_service service;
    struct shs_server *all[STOP_SIGNALS_MAX], *inside[2]; /* of the service */
    struct sandbox sandbox;
    struct run_as run_as;
    struct serve_reload reload; /* what SIGHUP reads again */
    struct serve_config config; /* likewise, with --config */
    int argc;
    char **argv;
};

/* -- the parts --------------------------------------------------------------------------------- */

/* As many connections as the administrator allows; the soft limit is for users of select(2). */
static void raise_file_limit(void)
{
    struct rlimit limit;

    if (getrlimit(RLIMIT_NOFILE, &limit) != 0 || limit.rlim_cur >= limit.rlim_max)
        return;
    limit.rlim_cur = limit.rlim_max;
    (void)setrlimit(RLIMIT_NOFILE, &limit);
}

/* {"time":"2026-11-28T02:30:00Z","level":"info" */
static int begin_json(const struct serve *self, struct shs_buf *out, enum shs_log_level level)
{
    time_t now = (time_t)shs__wall_s(self->o->opt.clock_offset_s);
    char when[40];
    struct tm tm;

    if (gmtime_r(&now, &tm) == NULL || strftime(when, sizeof when, "%Y-%m-%dT%H:%M:%SZ", &tm) == 0)
        when[0] = '\0';
    return shs__buf_printf(out, "{\"time\":\"%s\",\"level\":\"%s\"", when,
                           shs_log_level_name(level));
}

/* A shs_log_fn: the server's own lines, beside the access log. */
static void log_diagnostic(void *log_ctx, enum shs_log_level level, const char *line)
{
    struct serve *self = log_ctx;
    char text[DIAGNOSTIC_MAX];
    struct shs_buf out;
    int rc;

    shs__buf_init(&out, sizeof text);
    out.data = text;
    out.cap = sizeof text;
    if (self->o->log != SERVE_LOG_JSON) {
        /* What is waited for at the end, and how to hurry it. */
        rc =
            shs__buf_printf(&out, "shs: %s%s", line,
                            strncmp(line, "stopping:", 9) == 0 || strncmp(line, "draining:", 9) == 0
                                ? stop_signals_hint()
                                : "");
    } else {
        rc = begin_json(self, &out, level);
        if (rc == SHS_OK)
            rc = shs__buf_append_str(&out, SHS_STR(",\"message\":\""));
        if (rc == SHS_OK)
            rc = shs__json_escape(&out, shs__str(line));
        if (rc == SHS_OK)
            rc = shs__buf_append_str(&out, SHS_STR("\"}"));
    }
    if (rc == SHS_OK)
        (void)shs_access_log_write(self->access_log, text, out.len);
}

static void append_member(struct shs_buf *out, const char *key, const char *text)
{
    (void)shs__buf_printf(out, ",\"%s\":\"", key);
    (void)shs__json_escape(out, shs__str(text));
    (void)shs__buf_append_str(out, SHS_STR("\""));
}

/* A failed handshake, or a client that is no longer accepted, in the style of the access log. */
static void log_failure(void *log_ctx, const struct shs_tls_failure *failure)
{
    struct serve *self = log_ctx;
    const char *host = shs_conn_client_host(failure->conn);
    unsigned port = shs_conn_client_port(failure->conn);
    char text[DIAGNOSTIC_MAX];
    struct shs_buf out;

    shs__buf_init(&out, sizeof text);
    out.data = text;
    out.cap = sizeof text;
    if (self->o->log != SERVE_LOG_JSON) {
        (void)shs__buf_printf(&out, "shs: TLS %s %s port %u %s, %s: ",
                              failure->open ? "connection of" : "handshake with", host, port,
                              failure->open ? "ended" : "failed", failure->label);
        /* A client's names may be in it. */
        (void)shs__log_escape(&out, shs__str(failure->text));
        (void)shs_access_log_write(self->access_log, text, out.len);
        return;
    }
    (void)begin_json(self, &out, SHS_LOG_INFO);
    append_member(&out, "event", failure->open ? "tls-connection-ended" : "tls-handshake-failed");
    append_member(&out, "cause", failure->label);
    append_member(&out, "client", host);
    (void)shs__buf_printf(&out, ",\"port\":%u", port);
    append_member(&out, "sni", failure->sni);
    append_member(&out, "ja4", failure->ja4);
    append_member(&out, "message", failure->text);
    if (shs__buf_append_str(&out, SHS_STR("}")) == SHS_OK)
        (void)shs_access_log_write(self->access_log, text, out.len);
}

/* Where the log goes: stderr, or a file that SIGUSR1 opens again. */
static int open_log(struct serve *self)
{
    char text[64];

    self->log_fd = STDERR_FILENO;
    if (self->o->log_file == NULL)
        return CMD_OK;
    self->log_fd = open(self->o->log_file, STOP_SIGNALS_LOG_FLAGS, 0640);
    if (self->log_fd >= 0 && self->run_as.wanted) /* SIGUSR1 opens it as that user */
        (void)!fchown(self->log_fd, self->run_as.uid, self->run_as.gid);
    if (self->log_fd < 0)
        return cmd_fail(CMD_FAILED, "cannot open the log file %s: %s", self->o->log_file,
                        errno == ENXIO ? "nobody reads this pipe"
                                       : shs__strerror(errno, text, sizeof text));
    (void)fcntl(self->log_fd, F_SETFL, O_APPEND); /* writes wait again */
    stop_signals_reopen(self->o->log_file, self->log_fd);
    return CMD_OK;
}

static int make_log(struct serve *self)
{
    static const enum shs_access_style styles[] = {
        [SERVE_LOG_COMBINED] = SHS_ACCESS_COMBINED,
        [SERVE_LOG_COMMON] = SHS_ACCESS_COMMON,
        [SERVE_LOG_JSON] = SHS_ACCESS_JSON,
        [SERVE_LOG_NONE] = SHS_ACCESS_COMBINED, /* and nobody asks for it */
    };
    struct shs_access_log_options opt;
    struct shs_error err;

    if (open_log(self) != CMD_OK)
        return CMD_FAILED;
    shs_access_log_options_init(&opt);
    opt.style = styles[self->o->log];
    opt.max_waiting = LOG_BYTES;
    if (shs_access_log_new(&self->access_log, NULL, self->log_fd, &opt, &err) != SHS_OK)
        return cmd_fail(CMD_FAILED, "cannot start the log: %s", err.text);
    return CMD_OK;
}

/* -- for operators ----------------------------------------------------------------------------- */

static int answer_probe(struct shs_request *req, struct shs_response *res)
{
    const struct serve *self = shs_request_ctx(req);
    bool numbers = shs_str_eq(shs_request_path(req), SHS_STR("/metrics"));

    return shs_handler_call(
        numbers ? shs_metrics_handler(self->metrics) : shs_health_handler(self->health), req, res);
}

static int make_operators(struct serve *self)
{
    struct shs_error err;

    if (self->o->health == NULL)
        return CMD_OK;
    if (shs_health_new(&self->health, &err) != SHS_OK ||
        shs_metrics_new(&self->metrics, &err) != SHS_OK)
        return cmd_fail(CMD_FAILED, "%s", err.text);
    self->probes = (struct shs_http_handler){.name = "Probes", .do_GET = answer_probe, .ctx = self};
    return CMD_OK;
}

/* It is there for operators, until those that serve have ended. */
static bool is_operators(const struct listener *self)
{
    return self->o->handler == SERVE_HEALTH;
}

/* It has something that people open: not those that the command makes beside it. */
static bool is_for_people(const struct listener *self)
{
    return self->o->handler != SERVE_HEALTH && self->o->handler != SERVE_REDIRECT;
}

/* Its connections go to the workers that all listeners have in common, and the main thread accepts
   for it. Operators are answered while all of these are blocked, so they have their own. */
static bool is_shared(const struct listener *self)
{
    return !is_operators(self) && self->o->threading == SERVE_POOL;
}

/* Readiness is this server's, too. */
static int add_check(struct listener *self, struct shs_error *err)
{
    size_t number = (size_t)(self - self->serve->listeners) + 1;
    char name[48];

    if (is_operators(self))
        return SHS_OK;
    snprintf(name, sizeof name,
             self->serve->plan.count == 1 && number == 1 ? "serving" : "serving-%zu", number);
    SHS_RETURN_IF_ERROR(shs_health_add_server(self->serve->health, name, self->server, err));
    if (shs_server_layer(self->server, "TLSMixIn") == NULL)
        return SHS_OK;
    snprintf(name, sizeof name,
             self->serve->plan.count == 1 && number == 1 ? "certificates" : "certificates-%zu",
             number);
    return shs_health_add_certificates(self->serve->health, name, self->server, err);
}

/* The page of numbers has this server's, by where it listens; and probes ask whether it serves. */
static int observe(struct listener *self)
{
    struct shs_error err;

    if (self->serve->metrics == NULL)
        return CMD_OK;
    serve_place_name(shs_server_listener(self->server, 0), self->name, sizeof self->name);
    if (shs_metrics_add_server(self->serve->metrics, self->name, self->server, &err) != SHS_OK ||
        add_check(self, &err) != SHS_OK)
        return cmd_fail(CMD_FAILED, "%s", err.text);
    return CMD_OK;
}

/* The admin plane, which looks at all that is served. */
static int make_admin(struct serve *self)
{
    struct shs_admin_options opt;
    struct shs_error err;
    int code;

    shs_admin_options_init(&opt);
    opt.health = self->health;
    opt.metrics = self->metrics;
    opt.log = log_diagnostic;
    opt.log_ctx = self;
    opt.reload = serve_reload_rest;
    opt.reload_ctx = &self->reload;
    opt.reload_files = serve_reload_files;
    opt.prepare = serve_fds_prepare;
    code = serve_admin_open(&self->admin, self->o, &opt);
    if (self->admin == NULL || self->o->check)
        return code;
    for (size_t i = 0; code == CMD_OK && i < self->plan.served; i++) {
        struct listener *l = &self->listeners[i];

        if (l->o->handler == SERVE_HEALTH)
            continue;
        serve_place_name(shs_server_listener(l->server, 0), l->name, sizeof l->name);
        if (shs_admin_add_server(self->admin, l->name, l->server, &err) != SHS_OK)
            code = cmd_fail(CMD_FAILED, "--admin: %s", err.text);
    }
    return code;
}

/* Its routes may be others when the configuration is read again. */
static bool has_config(const struct listener *self)
{
    return self->o->config != NULL && self->o->handler != SERVE_REDIRECT &&
           self->o->handler != SERVE_HEALTH;
}

static int make_inner(struct listener *self)
{
    struct serve *serve = self->serve;
    struct shs_http_handler redirect;
    const struct shs_http_handler *handler = NULL; /* the files of a directory */

    switch (self->o->handler) {
    case SERVE_ECHO:
        handler = shs_echo_handler();
        break;
    case SERVE_WHOAMI:
        handler = shs_whoami_handler();
        break;
    case SERVE_REDIRECT:
        redirect = serve_redirect_handler(&serve->listeners[self->o->target].server);
        handler = &redirect;
        break;
    case SERVE_HEALTH:
        handler = &serve->probes;
        break;
    case SERVE_FILES:
        break;
    }
    return serve_site_make(&self->site, &self->o->site, handler, self->o->directory,
                           (const char *const *)self->o->fields, self->o->routes,
                           self->o->route_count, has_config(self));
}

/* In front of passwords and rules: who cannot come in yet needs it most. On the port of --redirect
   too, where no browser warns. */
static void share_ca(struct listener *self)
{
    const struct listener *owner = self;

    if (!self->o->share_ca || self->o->handler == SERVE_HEALTH)
        return;
    if (self->o->handler == SERVE_REDIRECT)
        owner = &self->serve->listeners[self->o->target];
    self->site.handler =
        serve_share_ca_handler(&self->share_ca, &self->site.handler, &owner->credentials.local);
}

static int make_handler(struct listener *self)
{
    struct serve *serve = self->serve;
    int code = make_inner(self);

    if (code != CMD_OK)
        return code;
    share_ca(self);
    if (self->o->log != SERVE_LOG_NONE && self->o->handler != SERVE_HEALTH) {
        self->site.handler.log_request = shs_access_log_request;
        self->site.handler.log_ctx = serve->access_log;
    }
    if (serve->metrics != NULL && self->o->handler != SERVE_HEALTH)
        self->site.handler =
            *shs_metrics_count(serve->metrics, &self->counted, &self->site.handler);
    return CMD_OK;
}

/* TLSMixIn with what the command line says; a local certificate is in the server's options. */
static int push_tls(struct listener *self, struct shs_error *err)
{
    struct shs_tls_host host = self->o->host;
    struct shs_tls_config config = self->o->tls;
    size_t i, count = self->o->cert_count == 0 ? 1 : self->o->cert_count;

    const struct shs_issued_cert *stand_in = self->credentials.stand_in;

    for (i = 0; i < count; i++) {
        self->certs[i] = (struct shs_tls_cert){
            .certfile = i < self->o->cert_count ? self->o->certs[i].cert : self->o->opt.certfile,
            .keyfile = self->o->certs[i].key,
            .ocspfile = self->o->certs[i].ocsp,
            .password = self->o->opt.password,
            .password_ctx = self->o->opt.password_ctx,
        };
    }
    if (stand_in != NULL) {
        self->certs[0].cert_pem = shs_issued_cert_pem(stand_in);
        self->certs[0].cert_pem_len = strlen(shs_issued_cert_pem(stand_in));
        self->certs[0].key_pem = shs_issued_cert_key_pem(stand_in);
        self->certs[0].key_pem_len = strlen(shs_issued_cert_key_pem(stand_in));
    }
    host.certs = self->certs;
    host.cert_count = count;
    config.hosts = &host;
    config.host_count = 1;
    config.fingerprint = self->o->handler == SERVE_WHOAMI || self->o->log == SERVE_LOG_JSON;
    config.on_failure = log_failure;
    config.on_failure_ctx = self->serve;
    return shs_tls_mixin_push_config(self->server, &config, err);
}

/* Proxies that speak HTTP. */
static int trust_proxies(struct listener *self, struct shs_error *err)
{
    const char *networks[SETTING_LIST_MAX + 1], *identities[SETTING_LIST_MAX + 1];
    struct shs_trusted_proxies opt;
    size_t network_count = 0, identity_count = 0;

    shs_trusted_proxies_init(&opt);
    for (size_t i = 0; i < self->o->trusted_proxies.count; i++) {
        const char *item = self->o->trusted_proxies.items[i];

        if (strcmp(item, "unix") == 0)
            opt.unix_peers = true;
        else if (strchr(item, '=') != NULL)
            identities[identity_count++] = item;
        else
            networks[network_count++] = item;
    }
    networks[network_count] = identities[identity_count] = NULL;
    opt.networks = networks;
    opt.identities = identities;
    if (self->o->forwarded_fields != NULL)
        (void)serve_forwarded_fields(self->o->forwarded_fields, &opt.fields);
    return shs_server_trust_proxies(self->server, &opt, err);
}

/* ProxyProtocolMixIn, where a balancer begins. */
static int push_proxy(struct listener *self, struct shs_error *err)
{
    const char *networks[SETTING_LIST_MAX + 1];
    struct shs_proxy_options opt;
    size_t count = 0;

    shs_proxy_options_init(&opt);
    for (size_t i = 0; i < self->o->proxies.count; i++) {
        if (strcmp(self->o->proxies.items[i], "unix") == 0)
            opt.trust_unix = true;
        else
            networks[count++] = self->o->proxies.items[i];
    }
    networks[count] = NULL;
    opt.trusted = networks;
    opt.direct_clients = self->o->proxy_direct;
    opt.max_header_bytes = self->o->proxy_max_header;
    return shs_proxy_protocol_mixin_push(self->server, &opt, err);
}

/*
 * The composition. shs_secure_http_server_new is these same lines for the usual case; here TLS and
 * the threading mixin are each a choice.
 */
static int make_server(struct listener *self)
{
    int (*push_threading)(struct shs_server *, struct shs_error *) =
        serve_threading_push(self->o->threading);
    struct shs_error err = {.code = SHS_OK};
    char hint[SERVE_HINT_MAX], said[sizeof err.text + SERVE_HINT_MAX];
    int rc;

    self->o->opt.log = log_diagnostic;
    self->o->opt.log_ctx = self->serve;
    self->o->opt.log_level = self->o->log_level;
    self->o->opt.bind_and_activate = false;
    rc = shs_http_server_new(&self->server, &self->o->opt, &self->site.handler, &err);
    if (rc == SHS_OK && self->o->trusted_proxies.count > 0)
        rc = trust_proxies(self, &err);
    if (rc == SHS_OK && !self->o->plain)
        rc = push_tls(self, &err);
    if (rc == SHS_OK && self->o->proxies.count > 0 && self->o->handler != SERVE_HEALTH)
        rc = push_proxy(self, &err);
    if (rc == SHS_OK && push_threading != NULL)
        rc = push_threading(self->server, &err);
    if (rc == SHS_OK && is_shared(self))
        rc = shs_thread_pool_share(self->server, self->serve->listeners[0].server, &err);
    if (rc == SHS_OK && !self->o->check)
        rc = serve_fds_prepare(self->o, self->server, &err);
    if (rc == SHS_OK && !self->o->check)
        rc = shs_server_bind_and_activate(self->server, &err);
    if (rc == SHS_OK)
        return CMD_OK;
    snprintf(said, sizeof said, "%s", err.text[0] != '\0' ? err.text : shs_err_text(rc));
    shs__say_more(said, sizeof said, serve_hint(self->o, &err, hint, sizeof hint));
    return cmd_fail(rc == SHS_USAGE ? CMD_USAGE : CMD_FAILED, "%s", said);
}

/* -- what it says ------------------------------------------------------------------------------ */

/* The certificate is from a local authority: what to try, at the first address. */
static void say_how_to_try(const struct listener *self, const char *url)
{
    const struct shs_listener *first = shs_server_listener(self->server, 0);
    char *ca = cmd_shell_quote(self->credentials.local.ca_path), *path = NULL;

    if (shs_listener_family(first) == AF_UNIX)
        path = cmd_shell_quote(shs_listener_host(first));
    printf("The certificate is from a local authority: %s\n"
           "Try: curl --cacert %s %s%s%s%s\n",
           self->credentials.local.ca_path, ca == NULL ? "" : ca,
           path == NULL ? "" : "--unix-socket ", path == NULL ? "" : path, path == NULL ? "" : " ",
           url);
    shs__free(ca);
    shs__free(path);
}

/* A line for each address. */
static void say_hello(const struct listener *self)
{
    const char *scheme = self->o->plain ? "http" : "https";
    char url[512], first_url[512] = "";

    for (unsigned i = 0; i < shs_server_listener_count(self->server); i++) {
        const struct shs_listener *at = shs_server_listener(self->server, i);

        serve_place_url(at, scheme, url, sizeof url);
        if (i == 0)
            memcpy(first_url, url, sizeof url);
        printf("Serving %s on ", self->o->plain ? "HTTP" : "HTTPS");
        if (shs_listener_family(at) == AF_UNIX)
            printf("unix:%s (%s) ...\n", shs_listener_host(at), url);
        else
            printf("%s port %u (%s) ...\n", shs_listener_host(at), shs_listener_port(at), url);
    }
    if (self->credentials.local.ca_path != NULL)
        say_how_to_try(self, first_url);
    if (is_for_people(self))
        serve_share_say(self->server, self->o, &self->here, &self->credentials.local);
    cmd_flush_or_warn(); /* whoever visits it is served all the same */
}

/* What came of the handshakes and reloads, when any of them went wrong or was asked for. */
static void log_tls(const struct listener *self)
{
    struct shs_tls_stats stats;
    uint64_t failed, ended = 0;
    char causes[1024] = "";
    size_t used = 0;

    if (self->o->plain || !shs_tls_get_stats(self->server, &stats))
        return;
    failed = shs__tls_failures(&stats);
    for (int i = 0; i < SHS_TLS_CAUSE_COUNT; i++) {
        if (!shs__tls_is_failure((enum shs_tls_cause)i))
            continue;
        if (stats.causes[i] > 0 && used < sizeof causes)
            used += (size_t)snprintf(causes + used, sizeof causes - used, " %s=%" PRIu64,
                                     shs_tls_cause_label((enum shs_tls_cause)i), stats.causes[i]);
    }
    for (int i = 0; i < SHS_CLIENT_REASON_COUNT; i++)
        ended += stats.clients_ended[i];
    if (failed + ended + stats.reloads + stats.reload_failures == 0)
        return;
    shs_server_log(self->server, SHS_LOG_INFO,
                   "TLS: handshakes=%" PRIu64 " resumed=%" PRIu64 " probes=%" PRIu64
                   " failed=%" PRIu64 "%s clients-ended=%" PRIu64 " reloads=%" PRIu64
                   " reload-failures=%" PRIu64,
                   stats.handshakes, stats.resumed, stats.causes[SHS_TLS_CAUSE_PROBE], failed,
                   causes, ended, stats.reloads, stats.reload_failures);
}

/* What came of the headers of balancers, when any connection was refused for one. */
static void log_proxy(const struct listener *self)
{
    struct shs_proxy_stats stats;
    uint64_t refused = 0;
    char causes[512] = "";
    size_t used = 0;

    if (!shs_proxy_get_stats(self->server, &stats))
        return;
    for (int i = 0; i < SHS_PROXY_CAUSE_COUNT; i++) {
        refused += stats.causes[i];
        if (stats.causes[i] > 0)
            used +=
                (size_t)snprintf(causes + used, sizeof causes - used, " %s=%" PRIu64,
                                 shs_proxy_cause_label((enum shs_proxy_cause)i), stats.causes[i]);
    }
    if (refused > 0)
        shs_server_log(self->server, SHS_LOG_INFO,
                       "PROXY protocol: headers=%" PRIu64 " local=%" PRIu64 " direct=%" PRIu64
                       " probes=%" PRIu64 " refused=%" PRIu64 "%s",
                       stats.headers, stats.local, stats.direct, stats.probes, refused, causes);
}

/* -- life -------------------------------------------------------------------------------------- */

static int get_credentials(struct listener *self)
{
    if (self->o->check && self->o->cert_count == 0)
        return credentials_look(&self->credentials, &self->o->opt);
    return credentials_load(&self->credentials, self->o, &self->here, &self->o->opt);
}

static int prepare(struct listener *self)
{
    int code = make_handler(self);

    if (is_for_people(self) && !self->o->check && serve_share_is_everywhere(self->o))
        serve_here_find(&self->here); /* now: it makes sockets, and the sandbox comes */
    if (code == CMD_OK && !self->o->plain)
        code = get_credentials(self);
    if (code == CMD_OK)
        code = make_server(self);
    if (code == CMD_OK && !self->o->plain)
        credentials_advise(&self->credentials, self->o);
    if (code == CMD_OK && !self->o->check)
        code = observe(self);
    return code;
}

/* What was given up. For whoever asks: it is the same each time. */
static void say_sandbox(struct serve *self)
{
    char line[320];

    snprintf(line, sizeof line, "sandbox: %s", self->sandbox.text);
    if (self->o->log_level >= SHS_LOG_DEBUG)
        log_diagnostic(self, SHS_LOG_DEBUG, line);
}

/* All is open and read: less from here on. */
static int give_up(struct serve *self)
{
    int code = pid_file_write(self->o->pid_file);
    char name[LISTEN_FD_NAME_MAX];
    size_t left = listen_fds_close_rest(name, sizeof name);

    if (left > 0)
        cmd_warn("%zu passed socket%s not used and closed, the first is '%s': --bind systemd:NAME "
                 "takes it",
                 left, left == 1 ? " is" : "s are", name);
    if (code == CMD_OK)
        code = run_as_drop(&self->run_as);
    if (code == CMD_OK && self->run_as.wanted) {
        serve_hints_warn_of_reload(&self->plan);
        for (size_t i = 0; i < self->plan.served; i++)
            credentials_warn_of_renewal(&self->listeners[i].credentials, self->run_as.name);
    }
    if (code == CMD_OK)
        code = serve_sandbox_filter(&self->sandbox, &self->plan);
    if (code == CMD_OK)
        say_sandbox(self);
    return code;
}

static int prepare_all(struct serve *self)
{
    /* Users may be kept anywhere (nss-systemd, sss), so before the sandbox is closed. */
    int code = run_as_find(&self->run_as, self->o->user);

    if (code == CMD_OK && !self->o->check) { /* before the first thread, which is the log's */
        serve_hints_look(&self->plan);
        code = serve_sandbox_close(&self->sandbox, &self->plan);
    }
    if (code == CMD_OK)
        code = make_log(self);
    if (code == CMD_OK)
        code = make_operators(self);
    for (size_t i = 0; code == CMD_OK && i < self->plan.served; i++)
        code = prepare(&self->listeners[i]);
    if (code == CMD_OK)
        code = make_admin(self);
    if (code == CMD_OK && !self->o->check)
        code = give_up(self);
    return code;
}

/* One that ends, ends all; but operators want to know until the last. */
static void stop_all(struct serve *self, bool operators)
{
    for (size_t i = 0; i < self->plan.served; i++) {
        struct listener *l = &self->listeners[i];

        if (l->server != NULL && is_operators(l) == operators)
            shs_shutdown(l->server);
    }
}

static void loop_ended(struct listener *self, int rc)
{
    if (rc != SHS_OK && rc != SHS_EXIT)
        self->code = cmd_fail(CMD_FAILED, "%s", shs_server_error(self->server)->text);
    stop_all(self->serve, false);
}

static void close_one(struct listener *self)
{
    int rc = shs_server_close(self->server);

    log_tls(self);
    log_proxy(self);
    if (rc == SHS_OK)
        return;
    self->abandoned = true;
    self->code = cmd_fail(CMD_FAILED, "a request was still running when the time to stop was over");
}

/* Serves until it is stopped, and closes. */
static void run(struct listener *self)
{
    loop_ended(self, shs_serve_forever(self->server));
    close_one(self);
}

static void *run_thread(void *listener)
{
    run(listener);
    return NULL;
}

static void *close_thread(void *listener)
{
    close_one(listener);
    return NULL;
}

static int start_others(struct serve *self)
{
    for (size_t i = 1; i < self->plan.served; i++) {
        struct listener *l = &self->listeners[i];
        int e = is_shared(l) ? 0 : pthread_create(&l->thread, NULL, run_thread, l);
        char text[64];

        if (e != 0)
            return cmd_fail(CMD_FAILED, "cannot start a thread: %s",
                            shs__strerror(e, text, sizeof text));
        l->started = !is_shared(l);
    }
    return CMD_OK;
}

/* A shs_served_fn. */
static void shared_ended(void *serve, struct shs_server *server, int rc)
{
    struct serve *self = serve;

    for (size_t i = 0; i < self->plan.served; i++) {
        if (self->listeners[i].server == server)
            loop_ended(&self->listeners[i], rc);
    }
}

/* Each of them has the same time, so all at once; who gets no thread is closed here. */
static void close_shared(struct serve *self)
{
    for (size_t i = 1; i < self->plan.served; i++) {
        struct listener *l = &self->listeners[i];

        if (!is_shared(l))
            continue;
        l->started = pthread_create(&l->thread, NULL, close_thread, l) == 0;
        if (!l->started)
            close_one(l);
    }
    close_one(&self->listeners[0]);
}

/* All that have the same workers, on this thread. */
static void run_shared(struct serve *self)
{
    struct shs_server *servers[STOP_SIGNALS_MAX];
    size_t count = 0;
    int rc;

    for (size_t i = 0; i < self->plan.served; i++) {
        if (is_shared(&self->listeners[i]))
            servers[count++] = self->listeners[i].server;
    }
    rc = shs_serve_all(servers, count, shared_ended, self);
    if (rc == SHS_NOMEM)
        self->listeners[0].code = cmd_fail(CMD_FAILED, "out of memory");
    stop_all(self, false);
    close_shared(self);
}

static void write_receipt(const struct serve *self, const struct shs_drain_receipt *sum)
{
    bool json = self->o->log == SERVE_LOG_JSON;
    char text[DIAGNOSTIC_MAX], said[160];
    struct shs_buf out;
    int rc = SHS_OK;

    shs__buf_init(&out, sizeof text);
    out.data = text;
    out.cap = sizeof text;
    snprintf(said, sizeof said,
             "stopped in %.1f s: %" PRIu64 " served, %" PRIu64 " closed, %" PRIu64 " cut",
             (double)sum->took_ms / 1000, sum->served, sum->closed, sum->cut);
    if (json)
        rc = begin_json(self, &out, sum->cut > 0 ? SHS_LOG_WARNING : SHS_LOG_INFO);
    if (json && rc == SHS_OK)
        rc = shs__buf_printf(&out,
                             ",\"event\":\"stopped\",\"took_ms\":%" PRId64 ",\"served\":%" PRIu64
                             ",\"closed\":%" PRIu64 ",\"cut\":%" PRIu64 ",\"message\":\"%s\"}",
                             sum->took_ms, sum->served, sum->closed, sum->cut, said);
    else if (!json)
        rc = shs__buf_printf(&out, "shs: %s", said);
    if (rc == SHS_OK)
        (void)shs_access_log_write(self->access_log, text, out.len);
}

/* What came of the connections, as the last line of the log. CMD_FAILED: some were cut. */
static int log_receipt(struct serve *self)
{
    struct shs_drain_receipt sum = {.served = 0}, one;

    for (size_t i = 0; i < self->plan.served; i++) {
        if (is_operators(&self->listeners[i]))
            continue;
        shs_server_get_receipt(self->listeners[i].server, &one);
        sum.served += one.served;
        sum.closed += one.closed;
        sum.cut += one.cut;
        if (one.took_ms > sum.took_ms)
            sum.took_ms = one.took_ms;
    }
    if (self->o->log_level >= (sum.cut > 0 ? SHS_LOG_WARNING : SHS_LOG_INFO))
        write_receipt(self, &sum);
    return sum.cut > 0 ? CMD_FAILED : CMD_OK;
}

static void install_signals(struct serve *self)
{
    struct shs_server *drained[STOP_SIGNALS_MAX];
    size_t count = 0;

    for (size_t i = 0; i < self->plan.served; i++) {
        if (!is_operators(&self->listeners[i]))
            drained[count++] = self->listeners[i].server;
    }
    stop_signals_install(drained, count, self->o->drain_grace_ms);
}

/* What belongs to a listener is named by where it listens, if there are several. */
static bool reload_listener(struct serve *self, struct listener *l)
{
    const char *name = NULL;

    if (self->plan.served > 1) {
        serve_place_name(shs_server_listener(l->server, 0), l->place, sizeof l->place);
        name = l->place;
    }
    return (l->o->plain || serve_reload_add_tls(&self->reload, name, l->server)) &&
           (l->site.access == NULL ||
            serve_reload_add_rules(&self->reload, name, l->site.access, l->o->site.access));
}

static bool reload_config(struct serve *self)
{
    struct serve_config *config = &self->config;

    if (self->o->config == NULL)
        return true;
    config->argc = self->argc;
    config->argv = self->argv;
    config->plan = &self->plan;
    config->sites = shs__calloc(self->plan.count, sizeof *config->sites);
    for (size_t i = 0; config->sites != NULL && i < self->plan.count; i++)
        config->sites[i] = &self->listeners[i].site;
    return config->sites != NULL && serve_reload_add_config(&self->reload, config);
}

/* The local authority's certificates are made again before they end. What fails is said once. */
static void renew_certificates(void *serve)
{
    struct serve *self = serve;

    for (size_t i = 0; i < self->plan.served; i++) {
        struct listener *l = &self->listeners[i];
        struct shs_error err;

        if (credentials_renew(&l->credentials, l->o, &l->here, &err))
            (void)shs_tls_reload(l->server, NULL); /* which says what came of it */
        if (strcmp(err.text, l->said) != 0 && err.text[0] != '\0')
            shs_server_log(l->server, SHS_LOG_ERROR,
                           "The certificate of the local authority could not be made again: %s",
                           err.text);
        snprintf(l->said, sizeof l->said, "%s", err.text);
    }
}

/* From now on SIGHUP reads again what can be. */
static int start_reload(struct serve *self)
{
    struct shs_tls_stats stats;
    struct shs_server *server;
    bool fits = reload_config(self);

    for (size_t i = 0; fits && i < self->plan.served; i++)
        fits = reload_listener(self, &self->listeners[i]);
    for (unsigned i = 0;
         fits && self->admin != NULL && (server = shs_admin_server(self->admin, i)) != NULL; i++) {
        if (shs_tls_get_stats(server, &stats))
            fits = serve_reload_add_tls(&self->reload, "--admin", server);
    }
    if (!fits)
        return cmd_fail(CMD_FAILED, "out of memory");
    self->reload.admin = self->admin;
    self->reload.sandboxed = self->sandbox.landlock;
    for (size_t i = 0; i < self->plan.served; i++) {
        if (self->listeners[i].credentials.local.leaf_path != NULL)
            self->reload.minute = renew_certificates;
    }
    self->reload.minute_ctx = self;
    return serve_reload_start(&self->reload, log_diagnostic, self);
}

/* For whoever looks after the process, and the one that takes its place. */
static int start_service(struct serve *self)
{
    struct serve_service *service = &self->service;
    size_t count = 0, inside = 0;

    for (size_t i = 0; i < self->plan.served && count < STOP_SIGNALS_MAX; i++)
        self->all[count++] = self->listeners[i].server;
    while (self->admin != NULL && inside < SHS_ARRAY_LEN(self->inside) &&
           shs_admin_server(self->admin, (unsigned)inside) != NULL) {
        self->inside[inside] = shs_admin_server(self->admin, (unsigned)inside);
        inside++;
    }
    service->servers = self->all;
    service->count = count;
    service->inside = self->inside;
    service->inside_count = inside;
    service->o = self->o;
    service->log = log_diagnostic;
    service->log_ctx = self;
    serve_place_url(shs_server_listener(self->all[0], 0), self->o->plain ? "http" : "https",
                    service->url, sizeof service->url);
    return serve_service_start(service);
}

/* The first failure, or `code`. */
static int join_all(struct serve *self, bool operators, int code)
{
    for (size_t i = 0; i < self->plan.served; i++) {
        struct listener *l = &self->listeners[i];

        if (is_operators(l) != operators)
            continue;
        if (l->started)
            pthread_join(l->thread, NULL);
        if (code == CMD_OK)
            code = l->code;
    }
    return code;
}

/* The first listener that has --open; NULL: none. */
static const struct listener *find_open(const struct serve *self)
{
    for (size_t i = 0; i < self->plan.served; i++) {
        if (self->plan.listeners[i].open)
            return &self->listeners[i];
    }
    return NULL;
}

/* Now that the port is open: a browser is there at once. */
static void open_url(const struct serve *self)
{
    const struct listener *at = find_open(self);
    char url[512];

    if (at == NULL)
        return;
    for (unsigned i = 0; i < shs_server_listener_count(at->server); i++) {
        const struct shs_listener *place = shs_server_listener(at->server, i);

        if (shs_listener_family(place) == AF_UNIX)
            continue;
        serve_place_url(place, at->o->plain ? "http" : "https", url, sizeof url);
        serve_open_url(url);
        return;
    }
    serve_open_url(NULL);
}

static int run_all(struct serve *self)
{
    int code, cut;

    install_signals(self);
    code = start_reload(self);
    for (size_t i = 0; i < self->plan.served; i++)
        say_hello(&self->listeners[i]);
    if (self->admin != NULL)
        serve_admin_say(self->admin);
    if (code == CMD_OK)
        open_url(self);
    if (code == CMD_OK)
        code = start_others(self);
    if (code == CMD_OK)
        code = start_service(self);
    if (code != CMD_OK)
        stop_all(self, false);
    if (is_shared(&self->listeners[0]))
        run_shared(self);
    else
        run(&self->listeners[0]);
    code = join_all(self, false, code);
    stop_all(self, true);
    code = join_all(self, true, code);
    serve_service_stop(&self->service);
    pid_file_remove(self->o->pid_file);
    cut = log_receipt(self);
    return code == CMD_OK ? cut : code;
}

static bool any_abandoned(const struct serve *self)
{
    for (size_t i = 0; i < self->plan.served; i++) {
        if (self->listeners[i].abandoned)
            return true;
    }
    return false;
}

static void clean_up(struct serve *self)
{
    bool abandoned = any_abandoned(self);

    stop_signals_forget();
    serve_reload_end(&self->reload);
    if (shs_admin_free(self->admin) != SHS_OK)
        abandoned = true;
    serve_reload_stop(&self->reload);
    for (size_t i = 0; i < self->plan.served; i++) {
        if (!self->listeners[i].abandoned)
            shs_server_free(self->listeners[i].server);
    }
    if (self->access_log != NULL)
        (void)shs_access_log_stop(self->access_log, LOG_STOP_MS, NULL);
    if (abandoned)
        return;
    for (size_t i = 0; i < self->plan.served; i++) {
        serve_site_free(&self->listeners[i].site);
        credentials_free(&self->listeners[i].credentials);
    }
    serve_config_free(&self->config);
    shs_metrics_free(self->metrics);
    shs_health_free(self->health);
    shs_access_log_free(self->access_log);
    shs__free(self->listeners);
    serve_plan_free(&self->plan);
}

static int make_listeners(struct serve *self)
{
    self->listeners = shs__calloc(self->plan.served, sizeof *self->listeners);
    if (self->listeners == NULL) {
        serve_plan_free(&self->plan);
        return cmd_fail(CMD_FAILED, "out of memory");
    }
    for (size_t i = 0; i < self->plan.served; i++) {
        self->listeners[i].serve = self;
        self->listeners[i].o = &self->plan.listeners[i];
    }
    self->o = &self->plan.listeners[0];
    return CMD_OK;
}

/* Static: an abandoned request may outlive the function that serves. */
static struct serve self;

int serve_check(int argc, char **argv, int (*look)(void *ctx, struct shs_server *server), void *ctx,
                int failed)
{
    struct shs_server *server;
    int code;

    if (!serve_plan_read(&self.plan, argc, argv, &code)) {
        serve_plan_free(&self.plan);
        return code;
    }
    code = make_listeners(&self);
    if (code != CMD_OK)
        return code;
    for (size_t i = 0; i < self.plan.count; i++)
        self.plan.listeners[i].check = true;
    code = prepare_all(&self);
    if (code == CMD_FAILED)
        code = failed;
    for (size_t i = 0; code == CMD_OK && i < self.plan.count; i++) {
        if (self.listeners[i].server != NULL)
            code = look(ctx, self.listeners[i].server);
    }
    for (unsigned i = 0; code == CMD_OK && (server = shs_admin_server(self.admin, i)) != NULL; i++)
        code = look(ctx, server);
    clean_up(&self);
    return code;
}

int cmd_serve(int argc, char **argv)
{
    int code;

    /* Before anything that takes time: one that comes early must not end us. */
    stop_signals_reopen(NULL, -1);
    reload_signal_install();
    self.argc = argc;
    self.argv = argv;
    serve_service_catch_signal();
    code = listen_fds_read();
    if (code == CMD_OK)
        code = notify_open();
    if (code != CMD_OK)
        return code;
    if (!serve_plan_read(&self.plan, argc, argv, &code)) {
        serve_plan_free(&self.plan);
        return code;
    }
    stop_signals_ignore_pipe();
    raise_file_limit();
    code = make_listeners(&self);
    if (code != CMD_OK)
        return code;
    if (self.o->hand_over && !self.o->check)
        code = hand_over_open(argc, argv);
    if (code == CMD_OK && find_open(&self) != NULL && !self.o->check)
        code = serve_open_prepare();
    if (code == CMD_OK)
        code = prepare_all(&self);
    if (code == CMD_OK && self.o->check)
        printf("This can be served: %zu listener%s\n", self.plan.count,
               self.plan.count == 1 ? "" : "s");
    else if (code == CMD_OK)
        code = run_all(&self);
    clean_up(&self);
    return code;
}
