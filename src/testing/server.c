/*
 * server.c - a server in a thread of its own, for the length of a test.
 */
#include "testing/server.h"

#include <stdatomic.h>
#include <stdio.h>

#include "base/thread.h"
#include "testing/client.h"

#define STOP_MS 2000u

static const char *const local_names[] = {"localhost", "127.0.0.1", "::1", NULL};

void shs_test_server_options_init_sized(struct shs_test_server_options *opt, size_t size)
{
    struct shs_test_server_options defaults = {.size = size};

    shs__sized_init(opt, size, &defaults, sizeof defaults);
}

/* -- life -------------------------------------------------------------------------------------- */

void shs__test_server_unref(struct shs_test_server *self)
{
    if (atomic_fetch_sub(&self->references, 1) != 1)
        return;
    shs__test_pki_free(&self->pki);
    shs__test_record_free(&self->record);
    shs__test_rules_free(&self->rules);
    pthread_mutex_destroy(&self->lock);
    shs__free(self->url);
    shs__free(self);
}

/* -- starting ---------------------------------------------------------------------------------- */

static void *serve(void *arg)
{
    struct shs_test_server *self = arg;
    int rc;

    shs__thread_begin("shs-test");
    rc = shs_serve_forever(self->server);
    self->serve_rc = rc;
    return NULL;
}

/* The thread, and those that it starts, leave all signals to the host's own threads. */
static int start_thread(struct shs_test_server *self, struct shs_error *err)
{
    int rc = shs__thread_start(&self->thread, NULL, NULL, serve, self);

    if (rc != 0)
        return shs_error_set(err, SHS_IO, rc, "Cannot start a thread for the test server.");
    return SHS_OK;
}

static int make_options(struct shs_options *to, const struct shs_test_server_options *opt,
                        struct shs_error *err)
{
    int rc = SHS_OK;

    shs_options_init(to);
    to->stop_ms = STOP_MS;
    if (opt->options != NULL)
        rc = shs__sized_copy(to, sizeof *to, opt->options, "shs_options", err);
    to->bind_and_activate = false; /* the mixins come first */
    to->certfile = to->keyfile = NULL;
    to->cert_pem = to->key_pem = NULL;
    return rc;
}

static int push_tls(struct shs_test_server *self, const struct shs_test_server_options *opt,
                    struct shs_error *err)
{
    const struct shs_test_pki *pki = &self->pki;
    struct shs_tls_config config;
    struct shs_tls_host host;
    struct shs_tls_cert cert = {.cert_pem = opt->cert_pem != NULL ? opt->cert_pem : pki->cert_pem,
                                .key_pem = opt->cert_pem != NULL ? opt->key_pem : pki->key_pem};

    cert.cert_pem_len = strlen(cert.cert_pem);
    cert.key_pem_len = cert.key_pem == NULL ? 0 : strlen(cert.key_pem);
    shs_tls_config_init(&config);
    shs_tls_host_init(&host);
    host.certs = &cert;
    host.cert_count = 1;
    host.client_auth = opt->client_auth;
    if (self->has_client)
        host.client_ca = pki->client_ca_path != NULL ? pki->client_ca_path : pki->ca_path;
    config.on_failure = shs__test_record_failure;
    config.on_failure_ctx = self;
    config.hosts = &host;
    config.host_count = 1;
    return shs_tls_mixin_push_config(self->server, &config, err);
}

/* HTTPServer, TLSMixIn, ThreadPoolMixIn, and this room's layer. */
static int compose(struct shs_test_server *self, const struct shs_test_server_options *opt,
                   struct shs_error *err)
{
    struct shs_options options;
    int rc = make_options(&options, opt, err);

    if (rc == SHS_OK)
        rc = shs_http_server_new(&self->server, &options, &self->shim, err);
    if (rc != SHS_OK)
        return rc;
    rc = shs_server_push(self->server, &self->seen, &shs__test_seen_ops);
    if (rc != SHS_OK)
        return rc;
    atomic_fetch_add(&self->references, 1); /* until that layer is freed */
    if (!self->plain)
        rc = push_tls(self, opt, err);
    if (rc == SHS_OK)
        rc = shs_thread_pool_mixin_push(self->server, err);
    if (rc == SHS_OK)
        rc = shs_server_push(self->server, &self->layer, &shs__test_ops);
    if (rc != SHS_OK)
        return rc;
    return shs_server_bind_and_activate(self->server, err);
}

static int make_url(struct shs_test_server *self, struct shs_error *err)
{
    const char *host = shs_server_host(self->server);
    bool v6 = strchr(host, ':') != NULL;

    self->url = shs__asprintf("%s://%s%s%s:%u", self->plain ? "http" : "https", v6 ? "[" : "", host,
                              v6 ? "]" : "", shs_server_port(self->server));
    return self->url != NULL ? SHS_OK
                             : shs_error_set(err, SHS_NOMEM, 0, "Out of memory for a URL.");
}

/* The server itself refuses what could never work; a test may want just that. */
static int compose_faulty(struct shs_test_server *self, const struct shs_test_server_options *opt,
                          struct shs_error *err)
{
    struct shs_error why = {.code = SHS_OK};
    int rc = compose(self, opt, &why);

    if (rc == SHS_TLS && opt->fault != NULL)
        return shs_error_set(err, rc, 0,
                             "No test server has the fault %s, but the lab does (<shs/lab.h>): %s",
                             opt->fault, why.text);
    if (rc != SHS_OK && err != NULL)
        *err = why;
    return rc;
}

static int start(struct shs_test_server *self, const struct shs_test_server_options *opt,
                 struct shs_error *err)
{
    const struct shs_test_pki_wish wish = {
        .ca = opt->ca,
        .temp_dir = opt->temp_dir == NULL ? "/tmp" : opt->temp_dir,
        .names = opt->names == NULL ? local_names : opt->names,
        .fault = opt->fault,
        .client = self->has_client || opt->client_cert,
        .client_ca_pem = self->has_client ? opt->client_ca_pem : NULL,
    };
    int rc = self->plain ? SHS_OK : shs__test_pki_make(&self->pki, &wish, err);

    if (rc == SHS_OK)
        rc = compose_faulty(self, opt, err);
    if (rc == SHS_OK)
        rc = make_url(self, err);
    if (rc == SHS_OK)
        rc = start_thread(self, err);
    return rc;
}

/* What would be passed over is a mistake: the test would be about something else. */
static int check(const struct shs_test_server_options *o, struct shs_error *err)
{
    if (o->plain && (o->client_auth != SHS_TLS_CLIENT_NONE || o->cert_pem != NULL ||
                     o->key_pem != NULL || o->client_ca_pem != NULL || o->fault != NULL))
        return shs_error_set(err, SHS_USAGE, 0,
                             "A plain test server has no certificate and asks for none.");
    if (o->cert_pem != NULL && o->fault != NULL)
        return shs_error_set(err, SHS_USAGE, 0,
                             "A test server is given a certificate, which is served as it is, and "
                             "the fault '%.60s' for one that is made: leave one of them out.",
                             o->fault);
    if (o->cert_pem == NULL && o->key_pem != NULL)
        return shs_error_set(err, SHS_USAGE, 0,
                             "A test server is given a key without its certificate: set cert_pem "
                             "as well.");
    if (o->client_ca_pem != NULL && o->client_auth == SHS_TLS_CLIENT_NONE)
        return shs_error_set(err, SHS_USAGE, 0,
                             "A test server is told whose clients to let in, and asks none for a "
                             "certificate: set client_auth as well.");
    if (o->temp_dir != NULL && o->temp_dir[0] == '\0')
        return shs_error_set(err, SHS_USAGE, 0,
                             "A test server's temp_dir is empty: name a directory, or NULL for "
                             "/tmp.");
    return SHS_OK;
}

int shs_test_server_start(struct shs_test_server **out, const struct shs_http_handler *handler,
                          const struct shs_test_server_options *opt, struct shs_error *err)
{
    struct shs_test_server_options o;
    struct shs_test_server *self;
    int rc = SHS_OK;

    shs_test_server_options_init(&o);
    if (opt != NULL)
        rc = shs__sized_copy(&o, sizeof o, opt, "shs_test_server_options", err);
    if (rc == SHS_OK)
        rc = check(&o, err);
    if (rc != SHS_OK)
        return rc;
    self = shs__calloc(1, sizeof *self);
    if (self == NULL)
        return shs_error_set(err, SHS_NOMEM, 0, "Out of memory for a test server.");
    atomic_init(&self->references, 1);
    pthread_mutex_init(&self->lock, NULL);
    shs__test_record_init(&self->record);
    shs__test_rules_init(&self->rules, o.plain);
    self->plain = o.plain;
    self->has_client = o.client_auth != SHS_TLS_CLIENT_NONE;
    shs__test_make_shim(self, handler);
    rc = start(self, &o, err);
    if (rc != SHS_OK) {
        shs_server_free(self->server);
        shs__test_server_unref(self);
        return rc;
    }
    *out = self;
    return SHS_OK;
}

/* -- stopping ---------------------------------------------------------------------------------- */

/* Which requests still run: "2 requests did not end: GET /slow, for 2.0 s; POST /b, for 0.3 s". */
static int report(struct shs_test_server *self, struct shs_error *err)
{
    int64_t now = shs_now_ns();
    char list[sizeof err->text] = "";
    size_t used = 0;

    pthread_mutex_lock(&self->lock);
    for (struct shs_test_running *r = self->running; r != NULL && used < sizeof list; r = r->next) {
        struct shs_str method = shs_request_method(r->req), path = shs_request_path(r->req);

        used += (size_t)snprintf(list + used, sizeof list - used, "%s%.*s %.*s, for %.1f s",
                                 used == 0 ? "" : "; ", (int)method.len, method.ptr, (int)path.len,
                                 path.ptr, (double)(now - r->began_ns) / SHS_NS_PER_S);
    }
    if (self->running_count == 0)
        shs_error_set(err, SHS_TIMEOUT, 0, "A connection did not end: its answer was not taken.");
    else
        shs_error_set(err, SHS_TIMEOUT, 0, "%u %s not end: %s", self->running_count,
                      self->running_count == 1 ? "request did" : "requests did", list);
    pthread_mutex_unlock(&self->lock);
    return SHS_TIMEOUT;
}

int shs_test_server_stop(struct shs_test_server *self, struct shs_error *err)
{
    int rc;

    if (self == NULL)
        return SHS_OK;
    shs_shutdown(self->server);
    pthread_join(self->thread, NULL);
    rc = self->serve_rc;
    if (rc != SHS_OK && rc != SHS_EXIT && err != NULL)
        *err = *shs_server_error(self->server);
    if (shs_server_close(self->server) != SHS_OK)
        rc = report(self, err);
    shs__test_pki_free(&self->pki); /* also when a handler keeps the rest */
    shs_server_free(self->server);
    shs__test_server_unref(self);
    return rc == SHS_EXIT ? SHS_OK : rc;
}

/* -- asking it --------------------------------------------------------------------------------- */

int shs_test_server_ask(struct shs_test_answer **out, struct shs_test_server *self,
                        const struct shs_test_request *request, struct shs_error *err)
{
    struct shs_test_request r;
    struct shs_test_client_spec spec = {
        .host = shs_server_host(self->server),
        .port = shs_server_port(self->server),
        .tls = !self->plain,
        .name = "localhost",
        .ca_pem = self->pki.ca_pem,
        .cert_pem = self->pki.client_pem,
        .key_pem = self->pki.client_key_pem,
    };
    struct shs_test_client client;
    int rc = shs__test_request_take(&r, request, err);

    if (rc != SHS_OK)
        return rc;
    spec.deadline_ns = shs__deadline_after(shs_now_ns(), r.limit_ms);
    memset(&client, 0, sizeof client);
    client.fd = -1;
    return shs__test_client_ask(out, &spec, &r, &client, err);
}

const char *shs_test_server_url(const struct shs_test_server *self)
{
    return self->url;
}

unsigned shs_test_server_port(const struct shs_test_server *self)
{
    return shs_server_port(self->server);
}

const char *shs_test_server_ca_pem(const struct shs_test_server *self)
{
    return self->pki.ca_pem;
}

const char *shs_test_server_ca_path(const struct shs_test_server *self)
{
    return self->pki.ca_path;
}

const char *shs_test_server_client_cert_path(const struct shs_test_server *self)
{
    return self->pki.client_path;
}

const char *shs_test_server_client_key_path(const struct shs_test_server *self)
{
    return self->pki.client_key_path;
}

struct shs_server *shs_test_server_server(const struct shs_test_server *self)
{
    return self->server;
}

/* -- what it saw, and what it does ------------------------------------------------------------- */

const struct shs_test_event *shs_test_server_event(struct shs_test_server *self, size_t i)
{
    return shs__test_record_get(&self->record, i);
}

int shs_test_server_expect(struct shs_test_server *self, enum shs_test_event_kind kind,
                           const char *what, unsigned within_ms, const struct shs_test_event **out,
                           struct shs_error *err)
{
    return shs__test_record_expect(&self->record, kind, what, within_ms, out, err);
}

int shs_test_server_expect_no_more(struct shs_test_server *self, struct shs_error *err)
{
    return shs__test_record_expect_no_more(&self->record, err);
}

int shs_test_server_rule(struct shs_test_server *self, const struct shs_test_rule *rule,
                         struct shs_error *err)
{
    return shs__test_rules_add(&self->rules, rule, err);
}

void shs_test_server_clear_rules(struct shs_test_server *self)
{
    shs__test_rules_clear(&self->rules);
}
