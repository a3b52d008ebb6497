/*
 * server.c - a server in a thread of its own, for the length of a test.
 */
#include "testing/server.h"

#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>

#include "testing/client.h"

#define STOP_MS 2000u

#define TEST(l) SHS_CONTAINER_OF(l, struct shs_test_server, layer)

static const char *const local_names[] = {"localhost", "127.0.0.1", "::1", NULL};

void shs_test_server_options_init_sized(struct shs_test_server_options *opt, size_t size)
{
    struct shs_test_server_options defaults = {.size = size};

    memcpy(opt, &defaults, size < sizeof defaults ? size : sizeof defaults);
}

/* -- life -------------------------------------------------------------------------------------- */

static void unref(struct shs_test_server *self)
{
    if (atomic_fetch_sub(&self->references, 1) != 1)
        return;
    shs__test_pki_free(&self->pki);
    pthread_mutex_destroy(&self->lock);
    pthread_cond_destroy(&self->changed);
    shs__free(self->url);
    shs__free(self);
}

static void test_layer_free(struct shs_layer *layer)
{
    unref(TEST(layer));
}

static const struct shs_server_ops test_ops = {
    .name = "TestServer",
    .layer_free = test_layer_free,
};

/* -- between the machine and the handler ------------------------------------------------------- */

static void begin_running(struct shs_test_server *self, struct shs_test_running *r)
{
    pthread_mutex_lock(&self->lock);
    r->prev = NULL;
    r->next = self->running;
    if (r->next != NULL)
        r->next->prev = r;
    self->running = r;
    self->running_count++;
    pthread_mutex_unlock(&self->lock);
}

static void end_running(struct shs_test_server *self, struct shs_test_running *r)
{
    pthread_mutex_lock(&self->lock);
    if (r->prev != NULL)
        r->prev->next = r->next;
    else
        self->running = r->next;
    if (r->next != NULL)
        r->next->prev = r->prev;
    self->running_count--;
    pthread_cond_broadcast(&self->changed);
    pthread_mutex_unlock(&self->lock);
}

static int shim_any(struct shs_request *req, struct shs_response *res)
{
    struct shs_test_server *self = shs_request_ctx(req);
    struct shs_test_running running = {.req = req, .began_ns = shs_now_ns()};
    int rc;

    begin_running(self, &running);
    rc = shs_handler_call(&self->handler, req, res);
    end_running(self, &running);
    return rc;
}

static int not_here(struct shs_request *req, struct shs_response *res)
{
    SHS_UNUSED(req);
    return shs_send_error(res, 404, "This test server has no answer for that.");
}

static void make_shim(struct shs_test_server *self, const struct shs_http_handler *handler)
{
    static const struct shs_http_handler nothing = {.name = "none", .do_any = not_here};

    self->handler = handler == NULL ? nothing : *handler;
    self->shim = (struct shs_http_handler){
        .name = self->handler.name,
        .do_GET = shim_any,
        .do_HEAD = shim_any,
        .do_POST = shim_any,
        .do_PUT = shim_any,
        .do_PATCH = shim_any,
        .do_DELETE = shim_any,
        .do_OPTIONS = shim_any,
        .do_any = shim_any,
        .log_request = self->handler.log_request,
        .log_ctx = self->handler.log_ctx,
        .ctx = self,
    };
}

/* -- starting ---------------------------------------------------------------------------------- */

static void *serve(void *arg)
{
    struct shs_test_server *self = arg;
    int rc;

    shs__thread_begin("shs-test");
    rc = shs_serve_forever(self->server);
    pthread_mutex_lock(&self->lock);
    self->serve_rc = rc;
    pthread_mutex_unlock(&self->lock);
    return NULL;
}

/* The thread, and those that it starts, leave all signals to the host's own threads. */
static int start_thread(struct shs_test_server *self, struct shs_error *err)
{
    sigset_t all, before;
    int rc;

    sigfillset(&all);
    rc = pthread_sigmask(SIG_SETMASK, &all, &before);
    if (rc == 0) {
        rc = pthread_create(&self->thread, NULL, serve, self);
        pthread_sigmask(SIG_SETMASK, &before, NULL);
    }
    if (rc != 0)
        return shs_error_set(err, SHS_IO, rc, "Cannot start a thread for the test server.");
    return SHS_OK;
}

static void make_options(struct shs_options *to, const struct shs_test_server_options *opt)
{
    shs_options_init(to);
    to->stop_ms = STOP_MS;
    if (opt->options != NULL)
        memcpy(to, opt->options, opt->options->size < sizeof *to ? opt->options->size : sizeof *to);
    to->size = sizeof *to;
    to->bind_and_activate = false; /* the mixins come first */
    to->certfile = to->keyfile = NULL;
    to->cert_pem = to->key_pem = NULL;
}

static int push_tls(struct shs_test_server *self, const struct shs_test_server_options *opt,
                    struct shs_error *err)
{
    const struct shs_test_pki *pki = &self->pki;
    struct shs_tls_config config;
    struct shs_tls_host host;
    struct shs_tls_cert cert = {
        .cert_pem = opt->cert_pem != NULL ? opt->cert_pem : shs__buf_head(&pki->cert_pem),
        .key_pem = opt->cert_pem != NULL ? opt->key_pem : shs__buf_head(&pki->key_pem)};

    cert.cert_pem_len = strlen(cert.cert_pem);
    cert.key_pem_len = cert.key_pem == NULL ? 0 : strlen(cert.key_pem);
    shs_tls_config_init(&config);
    shs_tls_host_init(&host);
    host.certs = &cert;
    host.cert_count = 1;
    host.client_auth = opt->client_auth;
    if (self->has_client)
        host.client_ca = pki->client_ca_path != NULL ? pki->client_ca_path : pki->ca_path;
    config.hosts = &host;
    config.host_count = 1;
    return shs_tls_mixin_push_config(self->server, &config, err);
}

/* HTTPServer, TLSMixIn, ThreadPoolMixIn, and this room's layer. */
static int compose(struct shs_test_server *self, const struct shs_test_server_options *opt,
                   struct shs_error *err)
{
    struct shs_options options;
    int rc;

    make_options(&options, opt);
    rc = shs_http_server_new(&self->server, &options, &self->shim, err);
    if (rc != SHS_OK)
        return rc;
    if (!self->plain)
        rc = push_tls(self, opt, err);
    if (rc == SHS_OK)
        rc = shs_thread_pool_mixin_push(self->server, err);
    if (rc == SHS_OK)
        rc = shs_server_push(self->server, &self->layer, &test_ops);
    if (rc != SHS_OK)
        return rc;
    atomic_fetch_add(&self->references, 1); /* until test_layer_free */
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

static int start(struct shs_test_server *self, const struct shs_test_server_options *opt,
                 struct shs_error *err)
{
    int rc = SHS_OK;

    if (!opt->plain)
        rc = shs__test_pki_make(&self->pki, opt->temp_dir == NULL ? "/tmp" : opt->temp_dir,
                                opt->names == NULL ? local_names : opt->names,
                                self->has_client || opt->client_cert,
                                self->has_client ? opt->client_ca_pem : NULL, err);
    if (rc == SHS_OK)
        rc = compose(self, opt, err);
    if (rc == SHS_OK)
        rc = make_url(self, err);
    if (rc == SHS_OK)
        rc = start_thread(self, err);
    return rc;
}

int shs_test_server_start(struct shs_test_server **out, const struct shs_http_handler *handler,
                          const struct shs_test_server_options *opt, struct shs_error *err)
{
    struct shs_test_server_options o;
    struct shs_test_server *self;
    int rc;

    shs_test_server_options_init(&o);
    if (opt != NULL)
        memcpy(&o, opt, opt->size < sizeof o ? opt->size : sizeof o);
    if (o.plain && (o.client_auth != SHS_TLS_CLIENT_NONE || o.cert_pem != NULL))
        return shs_error_set(err, SHS_USAGE, 0,
                             "A plain test server has no certificate and asks for none.");
    self = shs__calloc(1, sizeof *self);
    if (self == NULL)
        return shs_error_set(err, SHS_NOMEM, 0, "Out of memory for a test server.");
    atomic_init(&self->references, 1);
    pthread_mutex_init(&self->lock, NULL);
    pthread_cond_init(&self->changed, NULL);
    self->plain = o.plain;
    self->has_client = o.client_auth != SHS_TLS_CLIENT_NONE;
    make_shim(self, handler);
    rc = start(self, &o, err);
    if (rc != SHS_OK) {
        shs_server_free(self->server);
        unref(self);
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
    unref(self);
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
        .ca_pem = shs__buf_head(&self->pki.ca_pem),
        .cert_pem = shs__buf_head(&self->pki.client_pem),
        .key_pem = shs__buf_head(&self->pki.client_key_pem),
    };
    struct shs_test_client client;

    shs__test_request_take(&r, request);
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
    return shs__buf_head(&self->pki.ca_pem);
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
