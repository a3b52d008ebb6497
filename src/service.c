/*
 * service.c - <shs/service.h>: servers of several places, their threads, and their common end.
 */
#include <shs/service.h>

#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <sys/eventfd.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include "base/thread.h"
#include "server/server.h"

#define MODE 0660u
#define SIGNALS_MAX 8
#define LOOK_MS 1000 /* whether all have ended, should a word of it be lost */

struct part {
    struct shs_layer layer; /* whose end says that nobody uses the server any more */
    struct shs_service *service;
    struct shs_server *server;
    struct shs_chain *chain; /* the rules, and what they let through. NULL: there are none */
    pthread_t thread;
    bool started;
    int rc; /* how serving ended; its server has the text */
    bool still_runs;
    char name[SHS_SERVER_NAME_CAP];
};

/* What handlers use lives as long as a server of it, which one that does not return keeps. */
struct shs_service {
    _Atomic unsigned refs; /* the owner, and each server */
    struct part *parts;
    size_t count;
    struct shs_router *router; /* NULL: no routes */
    struct shs_access_rules *rules;
    struct shs_admin *admin;
    unsigned grace_ms;
    sigset_t until; /* empty: no signals */
    int told_fd;    /* a server has ended */
    bool has_run;
    _Atomic unsigned stops;  /* how often somebody wanted it to stop */
    _Atomic unsigned living; /* threads that serve or close */
};

void shs_service_options_init_sized(struct shs_service_options *opt, size_t size)
{
    const struct shs_service_options defaults = {.size = size};

    shs__sized_init(opt, size, &defaults, sizeof defaults);
}

/* -- making ------------------------------------------------------------------------------------ */

static void drop(struct shs_service *self)
{
    if (atomic_fetch_sub(&self->refs, 1) > 1)
        return;
    for (size_t i = 0; i < self->count; i++)
        shs_chain_free(self->parts[i].chain);
    shs_router_free(self->router);
    shs_access_free(self->rules);
    if (self->told_fd >= 0)
        close(self->told_fd);
    shs__free(self->parts);
    shs__free(self);
}

static void part_layer_free(struct shs_layer *layer)
{
    drop(SHS_CONTAINER_OF(layer, struct part, layer)->service);
}

static const struct shs_server_ops part_ops = {.name = "Service", .layer_free = part_layer_free};

/* What went wrong there, after the place's name. */
static int fail_at(const struct part *part, int rc, struct shs_error *err)
{
    char text[sizeof err->text];

    if (err == NULL)
        return rc;
    snprintf(text, sizeof text, "%s", err->text);
    return shs_error_set(err, rc, err->sys_errno, "%s: %s", part->name, text);
}

static int push_tls(struct shs_server *server, const struct shs_place *place, struct shs_error *err)
{
    const struct shs_tls_cert cert = {.certfile = place->certfile, .keyfile = place->keyfile};
    struct shs_tls_config config;
    struct shs_tls_host host;

    if (place->tls != NULL)
        return shs_tls_mixin_push_config(server, place->tls, err);
    shs_tls_host_init(&host);
    host.certs = &cert;
    host.cert_count = 1;
    host.client_ca = place->client_ca;
    host.client_auth = place->client_auth;
    if (place->client_ca != NULL && place->client_auth == SHS_TLS_CLIENT_NONE)
        host.client_auth = SHS_TLS_CLIENT_REQUIRED;
    shs_tls_config_init(&config);
    config.hosts = &host;
    config.host_count = 1;
    return shs_tls_mixin_push_config(server, &config, err);
}

static void listen_there(struct shs_options *opt, const struct shs_place *place)
{
    opt->bind_and_activate = false;
    opt->host = place->host;
    opt->port = place->port;
    opt->path = place->path;
    if (place->path == NULL)
        return;
    opt->unlink_on_bind = opt->unlink_on_close = true;
    opt->path_mode = place->mode == 0 ? MODE : place->mode;
    opt->path_group = place->group;
}

static int check_place(const struct shs_place *place, struct shs_error *err)
{
    bool has_tls = place->tls != NULL || place->certfile != NULL;

    if (place->path != NULL && (place->host != NULL || place->port != NULL))
        return shs_error_set(err, SHS_USAGE, 0, "give a path, or a host and a port, not both");
    if (!has_tls && (place->client_ca != NULL || place->keyfile != NULL))
        return shs_error_set(err, SHS_USAGE, 0,
                             "without a certificate nobody's certificate is asked for: set "
                             "certfile");
    return SHS_OK;
}

/* What answers there, behind the rules. */
static int choose_handler(struct part *part, const struct shs_place *place,
                          const struct shs_service_options *o, const struct shs_http_handler **out,
                          struct shs_error *err)
{
    struct shs_service *self = part->service;

    *out = place->handler != NULL ? place->handler
           : self->router != NULL ? shs_router_handler(self->router)
                                  : o->handler;
    if (*out == NULL)
        return shs_error_set(err, SHS_USAGE, 0, "there is nothing to serve: set routes or handler");
    if (self->rules != NULL) {
        const struct shs_middleware *const chain[] = {shs_access_middleware(self->rules), NULL};

        SHS_RETURN_IF_ERROR(shs_chain_new(&part->chain, chain, *out, err));
        *out = shs_chain_handler(part->chain);
    }
    return SHS_OK;
}

static int open_part(struct part *part, const struct shs_place *place,
                     const struct shs_service_options *o, struct shs_error *err)
{
    const struct shs_options *from = place->options != NULL ? place->options : o->options;
    const struct shs_http_handler *handler;
    struct shs_options opt;
    int rc = check_place(place, err);

    shs_options_init(&opt);
    opt.error_form = SHS_ERRORS_PROBLEM;
    if (rc == SHS_OK && from != NULL)
        rc = shs__options_take(&opt, from, err);
    if (rc == SHS_OK)
        rc = choose_handler(part, place, o, &handler, err);
    if (rc != SHS_OK)
        return rc;
    listen_there(&opt, place);
    rc = shs_http_server_new(&part->server, &opt, handler, err);
    if (rc == SHS_OK) {
        rc = shs_server_push(part->server, &part->layer, &part_ops);
        if (rc == SHS_OK)
            atomic_fetch_add(&part->service->refs, 1);
    }
    if (rc == SHS_OK && (place->tls != NULL || place->certfile != NULL))
        rc = push_tls(part->server, place, err);
    if (rc == SHS_OK)
        rc = shs_thread_pool_mixin_push(part->server, err);
    if (rc == SHS_OK && part != part->service->parts)
        rc = shs_thread_pool_share(part->server, part->service->parts[0].server, err);
    return rc == SHS_OK ? shs_server_bind_and_activate(part->server, err) : rc;
}

static void name_by_address(struct part *part, const char *host, const char *port)
{
    bool six = strchr(host, ':') != NULL;

    snprintf(part->name, sizeof part->name, "%s%s%s:%s", six ? "[" : "", host, six ? "]" : "",
             port);
}

/* As long as it is not bound, for what is said of a failure. */
static int name_part(struct part *part, const struct shs_place *place, struct shs_error *err)
{
    const char *name = place->name != NULL ? place->name : place->path;

    if (name != NULL && strlen(name) >= sizeof part->name)
        return shs_error_set(err, SHS_USAGE, 0, "a place's name has at most %d bytes",
                             SHS_SERVER_NAME_CAP - 1);
    if (name != NULL)
        snprintf(part->name, sizeof part->name, "%s", name);
    else
        name_by_address(part, place->host == NULL ? "127.0.0.1" : place->host,
                        place->port == NULL ? "0" : place->port);
    return SHS_OK;
}

/* Where it listens indeed: any number of places may have asked for port 0. */
static void name_bound_part(struct part *part, const struct shs_place *place)
{
    char port[8];

    if (place->name != NULL || place->path != NULL)
        return;
    snprintf(port, sizeof port, "%u", shs_server_port(part->server));
    name_by_address(part, shs_server_host(part->server), port);
}

/* Where the admin plane is, into its options. */
static int place_admin(struct shs_admin_options *opt, const struct shs_place *place,
                       struct shs_error *err)
{
    if (place->handler != NULL || place->options != NULL || place->tls != NULL)
        return shs_error_set(err, SHS_USAGE, 0,
                             "the admin plane has its own handler, options and TLS settings");
    if (place->path != NULL ? opt->path != NULL : opt->host != NULL)
        return shs_error_set(err, SHS_USAGE, 0,
                             "the admin plane is at one Unix socket and one address of TCP at "
                             "most");
    if (place->path != NULL) {
        opt->path = place->path;
        opt->mode = place->mode == 0 ? opt->mode : place->mode;
        opt->group = place->group;
        return SHS_OK;
    }
    opt->host = place->host == NULL ? "127.0.0.1" : place->host;
    opt->port = place->port;
    opt->certfile = place->certfile;
    opt->keyfile = place->keyfile;
    opt->client_ca = place->client_ca;
    return SHS_OK;
}

static int admin_options(const struct shs_service *self, const struct shs_place *places,
                         size_t count, const struct shs_service_options *o,
                         struct shs_admin_options *opt, struct shs_error *err)
{
    int rc = SHS_OK;

    shs_admin_options_init(opt);
    if (o->admin != NULL)
        rc = shs__sized_copy(opt, sizeof *opt, o->admin, "shs_admin_options", err);
    for (size_t i = 0; rc == SHS_OK && i < count; i++) {
        if (places[i].admin)
            rc = place_admin(opt, &places[i], err);
    }
    if (o->audit != NULL)
        opt->audit = o->audit;
    if (opt->rules == NULL && opt->access == NULL)
        opt->access = self->rules;
    if (o->options != NULL && opt->log == NULL) {
        struct shs_options from;

        if (rc == SHS_OK)
            rc = shs__options_take(&from, o->options, err);
        if (rc == SHS_OK) {
            opt->log = from.log;
            opt->log_ctx = from.log_ctx;
        }
    }
    return rc;
}

static int open_admin(struct shs_service *self, const struct shs_place *places, size_t count,
                      const struct shs_service_options *o, struct shs_error *err)
{
    struct shs_admin_options opt;
    int rc = admin_options(self, places, count, o, &opt, err);

    if (rc != SHS_OK || (opt.path == NULL && opt.host == NULL && o->admin == NULL))
        return rc;
    rc = shs_admin_new(&self->admin, NULL, &opt, err);
    for (size_t i = 0; rc == SHS_OK && i < self->count; i++)
        rc = shs_admin_add_server(self->admin, self->parts[i].name, self->parts[i].server, err);
    return rc;
}

/* Nobody can wait for the first two; the others say of a thread that it has gone wrong. */
static bool can_be_awaited(int number)
{
    static const int others[] = {SIGKILL, SIGSTOP, SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGABRT};

    for (size_t i = 0; i < SHS_ARRAY_LEN(others); i++) {
        if (number == others[i])
            return false;
    }
    return true;
}

static int read_signals(struct shs_service *self, const int *until, struct shs_error *err)
{
    sigemptyset(&self->until);
    for (size_t i = 0; until != NULL && until[i] != 0; i++) {
        if (i == SIGNALS_MAX)
            return shs_error_set(err, SHS_USAGE, 0, "more than %d signals", SIGNALS_MAX);
        if (!can_be_awaited(until[i]) || sigaddset(&self->until, until[i]) != 0)
            return shs_error_set(err, SHS_USAGE, 0, "no signal %d can be waited for", until[i]);
    }
    return SHS_OK;
}

static int open_parts(struct shs_service *self, const struct shs_place *places, size_t count,
                      const struct shs_service_options *o, struct shs_error *err)
{
    int rc = SHS_OK;

    if (o->routes != NULL && o->handler != NULL)
        return shs_error_set(err, SHS_USAGE, 0, "a service has routes or a handler, not both");
    if (o->routes != NULL)
        rc = shs_router_new(&self->router, o->routes, o->ctx, err);
    if (rc == SHS_OK && o->rules != NULL)
        rc = shs_access_new(&self->rules, o->rules, err);
    for (size_t i = 0; rc == SHS_OK && i < count; i++) {
        struct part *part = &self->parts[self->count];

        if (places[i].admin)
            continue;
        self->count++;
        part->service = self;
        rc = name_part(part, &places[i], err);
        if (rc != SHS_OK)
            break;
        rc = open_part(part, &places[i], o, err);
        if (rc != SHS_OK)
            (void)fail_at(part, rc, err);
        else
            name_bound_part(part, &places[i]);
    }
    if (rc == SHS_OK && self->count == 0)
        rc = shs_error_set(err, SHS_USAGE, 0, "beside the admin plane there is nothing to serve");
    return rc;
}

static struct shs_service *service_new(size_t count)
{
    struct shs_service *self = shs__calloc(1, sizeof *self);

    if (self == NULL)
        return NULL;
    atomic_init(&self->refs, 1);
    self->told_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    self->parts = shs__calloc(count, sizeof *self->parts);
    if (self->parts != NULL && self->told_fd >= 0)
        return self;
    shs_service_free(self);
    return NULL;
}

int shs_service_new(struct shs_service **out, const struct shs_place *places, size_t count,
                    const struct shs_service_options *opt, struct shs_error *err)
{
    struct shs_service_options o;
    struct shs_service *self;
    sigset_t before;
    int rc = SHS_OK;

    *out = NULL;
    shs_service_options_init(&o);
    if (opt != NULL)
        rc = shs__sized_copy(&o, sizeof o, opt, "shs_service_options", err);
    if (rc == SHS_OK && (places == NULL || count == 0 || count > SHS_SERVICE_PLACES_MAX))
        rc = shs_error_set(err, SHS_USAGE, 0, "a service has 1 to %d places, not %zu",
                           SHS_SERVICE_PLACES_MAX, places == NULL ? 0 : count);
    if (rc != SHS_OK)
        return rc;
    self = service_new(count);
    if (self == NULL)
        return shs_error_set(err, SHS_NOMEM, 0, "out of memory or descriptors for a service");
    self->grace_ms = o.grace_ms;
    rc = read_signals(self, o.until, err);
    /* A pool's threads have the mask of who composes. */
    pthread_sigmask(SIG_BLOCK, &self->until, &before);
    if (rc == SHS_OK)
        rc = open_parts(self, places, count, &o, err);
    if (rc == SHS_OK)
        rc = open_admin(self, places, count, &o, err);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    if (rc != SHS_OK) {
        shs_service_free(self);
        return rc;
    }
    *out = self;
    return SHS_OK;
}

void shs_service_free(struct shs_service *self)
{
    if (self == NULL)
        return;
    (void)shs_admin_free(self->admin);
    for (size_t i = 0, count = self->count; i < count; i++)
        shs_server_free(self->parts[i].server);
    drop(self);
}

/* -- looking ----------------------------------------------------------------------------------- */

struct shs_server *shs_service_server(const struct shs_service *self, size_t i)
{
    return i < self->count ? self->parts[i].server : NULL;
}

struct shs_access_rules *shs_service_rules(const struct shs_service *self)
{
    return self->rules;
}

struct shs_admin *shs_service_admin(const struct shs_service *self)
{
    return self->admin;
}

void shs_service_get_receipt(const struct shs_service *self, struct shs_drain_receipt *out)
{
    struct shs_drain_receipt one;

    memset(out, 0, sizeof *out);
    for (size_t i = 0; i < self->count; i++) {
        shs_server_get_receipt(self->parts[i].server, &one);
        out->served += one.served;
        out->closed += one.closed;
        out->cut += one.cut;
        out->open += one.open;
        out->busy += one.busy;
        if (one.took_ms > out->took_ms)
            out->took_ms = one.took_ms;
    }
}

/* -- the end ----------------------------------------------------------------------------------- */

static void drain_all(struct shs_service *self, unsigned grace_ms, unsigned stop_ms)
{
    for (size_t i = 0; i < self->count; i++)
        shs_server_drain(self->parts[i].server, grace_ms, stop_ms);
}

static bool grace_lasts(const struct shs_service *self)
{
    for (size_t i = 0; i < self->count; i++) {
        if (shs_server_stopping(self->parts[i].server))
            return false;
    }
    return self->grace_ms > 0;
}

void shs_service_stop(struct shs_service *self)
{
    unsigned before = atomic_fetch_add(&self->stops, 1);

    if (before == 0)
        drain_all(self, self->grace_ms, SHS_DRAIN_STOP);
    else if (before == 1 && grace_lasts(self))
        drain_all(self, 0, SHS_DRAIN_STOP);
    else
        drain_all(self, 0, 0);
}

/* -- running ----------------------------------------------------------------------------------- */

/* One that ends, ends all. */
static void *serve(void *ctx)
{
    struct part *part = ctx;
    struct shs_service *self = part->service;
    const uint64_t one = 1;

    part->rc = shs_serve_forever(part->server);
    for (size_t i = 0; i < self->count; i++)
        shs_shutdown(self->parts[i].server);
    part->still_runs = shs_server_close(part->server) != SHS_OK;
    atomic_fetch_sub(&self->living, 1);
    (void)!write(self->told_fd, &one, sizeof one);
    return NULL;
}

static int start(struct shs_service *self, struct shs_error *err)
{
    int e = 0;

    for (size_t i = 0; e == 0 && i < self->count; i++) {
        atomic_fetch_add(&self->living, 1);
        e = shs__thread_start(&self->parts[i].thread, NULL, NULL, serve, &self->parts[i]);
        self->parts[i].started = e == 0;
        if (e != 0)
            atomic_fetch_sub(&self->living, 1);
    }
    return e == 0 ? SHS_OK : shs_error_set(err, SHS_IO, e, "no thread to serve on");
}

static void take_signals(struct shs_service *self, int fd)
{
    struct signalfd_siginfo info;

    while (fd >= 0 && read(fd, &info, sizeof info) == sizeof info)
        shs_service_stop(self);
}

static void await(struct shs_service *self, int signal_fd)
{
    struct pollfd fds[2] = {{.fd = self->told_fd, .events = POLLIN},
                            {.fd = signal_fd, .events = POLLIN}};
    uint64_t told;

    while (atomic_load(&self->living) > 0) {
        if (poll(fds, SHS_ARRAY_LEN(fds), LOOK_MS) < 0)
            continue; /* a signal handler of the program's */
        if (fds[0].revents != 0)
            (void)!read(self->told_fd, &told, sizeof told);
        take_signals(self, signal_fd);
    }
}

/* They come by a descriptor; -1: there are none. */
static int open_signals(const struct shs_service *self, int *fd, struct shs_error *err)
{
    *fd = -1;
    if (sigisemptyset(&self->until))
        return SHS_OK;
    *fd = signalfd(-1, &self->until, SFD_CLOEXEC | SFD_NONBLOCK);
    return *fd >= 0 ? SHS_OK : shs_error_set(err, SHS_IO, errno, "no descriptor for signals");
}

/* One that came at the last moment is a wish that is fulfilled. */
static void unblock_signals(struct shs_service *self, int fd, const sigset_t *before)
{
    take_signals(self, fd);
    pthread_sigmask(SIG_SETMASK, before, NULL);
    if (fd >= 0)
        close(fd);
}

/* What came of them all: the first failure. */
static int sum_up(struct shs_service *self, struct shs_error *err)
{
    struct shs_drain_receipt receipt;

    for (size_t i = 0; i < self->count; i++) {
        const struct part *part = &self->parts[i];

        if (part->rc != SHS_OK && part->rc != SHS_EXIT)
            return shs_error_set(err, part->rc, 0, "%s: %s", part->name,
                                 shs_server_error(part->server)->text);
        if (part->still_runs)
            return shs_error_set(err, SHS_TIMEOUT, 0,
                                 "%s: a request was still running when the time to stop was over",
                                 part->name);
    }
    shs_service_get_receipt(self, &receipt);
    if (receipt.cut > 0)
        return shs_error_set(err, SHS_TIMEOUT, 0, "%llu requests were cut at the end",
                             (unsigned long long)receipt.cut);
    return SHS_OK;
}

int shs_service_run(struct shs_service *self, struct shs_error *err)
{
    sigset_t before;
    int fd, rc;

    if (self->has_run)
        return shs_error_set(err, SHS_USAGE, 0, "the service has run already");
    rc = open_signals(self, &fd, err);
    if (rc != SHS_OK)
        return rc;
    pthread_sigmask(SIG_BLOCK, &self->until, &before);
    self->has_run = true;
    rc = start(self, err);
    if (rc != SHS_OK)
        drain_all(self, 0, 0);
    await(self, fd);
    for (size_t i = 0; i < self->count; i++) {
        if (self->parts[i].started)
            pthread_join(self->parts[i].thread, NULL);
    }
    unblock_signals(self, fd, &before);
    return rc == SHS_OK ? sum_up(self, err) : rc;
}
