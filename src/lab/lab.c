/* lab.c - shs/lab.h: start, stop, and what is to be known. */
#include <errno.h>
#include <fcntl.h>
#include <fnmatch.h>
#include <stdio.h>
#include <time.h>
#include <unistd.h>

#include <arpa/inet.h>

#include <openssl/err.h>

#include "base/thread.h"
#include "certs/truststore.h"
#include "lab/lab.h"

#define DOMAIN "badssl.test"
#define SANITY "good"
#define IP_BASE "127.0.1.0"
#define STALL_MS 30000u
#define STOP_MS 20000u /* for what cannot be given up; slow keys are */
#define CONNECTIONS 512u
#define STACK_SIZE ((size_t)512 * 1024) /* who reads 10,000 names has deep stacks */

static const char *const slow_keys[] = {"rsa512",  "rsa1024", "rsa2048", "rsa2052", "rsa3072",
                                        "rsa4096", "rsa8192", "rsa-e3",  "rsa-pss", "dsa"};

static const struct shs__lab_row stranger_row = {
    .id = "unknown-name",
    .group = "sanity",
    .served = "a name that is not a condition",
    .host = "unknown.$",
    .make = {.o.names = (const char *const[]){"*.$", "$", NULL}},
};

void shs_lab_options_init_sized(struct shs_lab_options *opt, size_t size)
{
    struct shs_lab_options full = {
        .stall_ms = STALL_MS, .max_connections = CONNECTIONS, .domain = DOMAIN};

    full.size = size < sizeof full ? size : sizeof full;
    memset(opt, 0, size);
    memcpy(opt, &full, full.size);
}

int64_t shs__lab_now(const struct shs_lab *lab)
{
    /* A virtual clock goes on like the real one. */
    int64_t now = (int64_t)time(NULL);

    return lab->now == 0 ? now : lab->now + (now - lab->started);
}

/* -- the units --------------------------------------------------------------------------------- */

static const char *or_empty(const char *text)
{
    return text == NULL ? "" : text;
}

static int init_unit(struct shs_lab *lab, struct shs__lab_unit *unit,
                     const struct shs__lab_row *row)
{
    struct shs_condition *c = &unit->public;

    unit->row = row;
    pthread_mutex_init(&unit->lock, NULL);
    atomic_init(&unit->last_alert, -1);
    *c = (struct shs_condition){
        .id = row->id,
        .group = row->group,
        .served = row->served,
        .expect = row->expect,
        .tier = row->tier,
        .layer = or_empty(row->layer),
        .reason = or_empty(row->reason),
        .word = or_empty(row->word),
        .go = or_empty(row->go),
        .node = or_empty(row->node),
        .chromium = or_empty(row->chromium),
        .curl_exit = row->curl_exit,
        .differs = or_empty(row->differs),
        .accepts = or_empty(row->accepts),
        .needs = or_empty(row->requires),
        .probe_first = or_empty(row->probe_first),
        .verdict_from_server = row->verdict_from_server,
        .hangs = row->hangs,
        .note = or_empty(row->note),
        .refs = or_empty(row->refs),
        .refused_in = or_empty(row->refused_in),
    };
    unit->own_host = row->host != NULL ? shs__lab_expand(lab, NULL, row->host)
                                       : shs__asprintf("%s.%s", row->id, lab->domain);
    c->host = unit->own_host;
    c->why = or_empty(shs__lab_probe(lab, row));
    c->servable = c->why[0] == '\0';
    return unit->own_host == NULL ? SHS_NOMEM : SHS_OK;
}

static const struct {
    const struct shs__lab_row *rows;
    const size_t *count;
} tables[] = {
    {shs__lab_rows_names, &shs__lab_rows_names_count},
    {shs__lab_rows_chains, &shs__lab_rows_chains_count},
    {shs__lab_rows_keys, &shs__lab_rows_keys_count},
    {shs__lab_rows_handshakes, &shs__lab_rows_handshakes_count},
    {shs__lab_rows_talks, &shs__lab_rows_talks_count},
};

static bool matches_any(const char *const *patterns, const char *id)
{
    for (; patterns != NULL && *patterns != NULL; patterns++) {
        if (fnmatch(*patterns, id, 0) == 0)
            return true;
    }
    return false;
}

static bool is_chosen(const struct shs_lab_options *opt, const char *id)
{
    return strcmp(id, SANITY) == 0 ||
           ((opt->only == NULL || matches_any(opt->only, id)) && !matches_any(opt->except, id));
}

static int make_units(struct shs_lab *lab, const struct shs_lab_options *opt, struct shs_error *err)
{
    size_t total = 0;
    int rc = SHS_OK;

    for (size_t i = 0; i < SHS_ARRAY_LEN(tables); i++)
        total += *tables[i].count;
    lab->units = shs__calloc(total, sizeof *lab->units);
    if (lab->units == NULL)
        return SHS_NOMEM;
    for (size_t i = 0; i < SHS_ARRAY_LEN(tables); i++) {
        for (size_t j = 0; j < *tables[i].count && rc == SHS_OK; j++) {
            if (is_chosen(opt, tables[i].rows[j].id))
                rc = init_unit(lab, &lab->units[lab->count++], &tables[i].rows[j]);
        }
    }
    if (rc == SHS_OK && opt->only != NULL && lab->count == 1 && !matches_any(opt->only, SANITY))
        return shs_error_set(err, SHS_USAGE, 0,
                             "'%s' is not a condition; 'shs lab list' lists them.", opt->only[0]);
    return rc == SHS_OK ? init_unit(lab, &lab->stranger, &stranger_row) : rc;
}

/* What needs the port. */
static int make_urls(struct shs_lab *lab)
{
    for (size_t i = 0; i < lab->count; i++) {
        struct shs__lab_unit *unit = &lab->units[i];

        unit->own_url = shs__asprintf(strchr(unit->own_host, ':') == NULL ? "https://%s:%u/"
                                                                          : "https://[%s]:%u/",
                                      unit->own_host, shs_server_port(lab->server));
        unit->public.url = unit->own_url;
        if (unit->own_url == NULL)
            return SHS_NOMEM;
    }
    return SHS_OK;
}

static void free_unit(struct shs__lab_unit *unit)
{
    SSL_CTX_free(unit->ctx);
    shs_issued_cert_free(unit->cert);
    shs_bytes_free(unit->staple, unit->staple_len);
    shs__free(unit->own_host);
    shs__free(unit->own_url);
    if (unit->row != NULL)
        pthread_mutex_destroy(&unit->lock);
}

/* -- start ------------------------------------------------------------------------------------- */

/* The length of "127.0.1." in "127.0.1.0"; 0: it is not such an address. */
static size_t ip_base_len(const char *text)
{
    struct in_addr address;

    if (inet_pton(AF_INET, text, &address) != 1 ||
        (ntohl(address.s_addr) & 0xff0000ff) != 127u << 24)
        return 0;
    return strlen(text) - 1;
}

static int check_options(const struct shs_lab_options *opt, struct shs_error *err)
{
    static const char allowed[] = "abcdefghijklmnopqrstuvwxyz0123456789-.";
    const char *host = opt->host, *domain = opt->domain;

    if (domain[0] == '\0' || domain[0] == '.' || domain[strspn(domain, allowed)] != '\0' ||
        strlen(domain) > 100 || strchr(domain, '.') == NULL)
        return shs_error_set(
            err, SHS_USAGE, 0,
            "'%s' is not a domain for the lab: two labels or more in lower case, such "
            "as badssl.test, and 100 bytes at most.",
            domain);
    if (host != NULL && !opt->insecure_address && strncmp(host, "127.", 4) != 0 &&
        strcmp(host, "::1") != 0 && strcmp(host, "localhost") != 0)
        return shs_error_set(
            err, SHS_USAGE, 0,
            "'%s' is not a loopback address, and the lab's servers are wrong on "
            "purpose. If it may be reached from outside: --insecure-address (insecure_address).",
            host);
    if (ip_base_len(opt->ip_base) == 0)
        return shs_error_set(err, SHS_USAGE, 0,
                             "'%s' is not a network of loopback addresses, such as " IP_BASE ".",
                             opt->ip_base);
    return SHS_OK;
}

static int open_keylog(struct shs_lab *lab, const char *path, struct shs_error *err)
{
    char text[64];
    int saved;

    lab->keylog_fd = -1;
    if (path == NULL)
        return SHS_OK;
    lab->keylog_fd = open(path, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC | O_NOCTTY, 0600);
    if (lab->keylog_fd >= 0)
        return SHS_OK;
    saved = errno;
    return shs_error_set(err, SHS_IO, saved, "Cannot open %s: %s.", path,
                         shs__strerror(saved, text, sizeof text));
}

static int make_lab(struct shs_lab **out, const struct shs_lab_options *opt, struct shs_error *err)
{
    struct shs_lab *lab = shs__calloc(1, sizeof *lab);
    int rc = SHS_OK;

    if (lab == NULL)
        return SHS_NOMEM;
    *out = lab;
    pthread_mutex_init(&lab->ca_lock, NULL);
    pthread_mutex_init(&lab->log_lock, NULL);
    shs__buf_init(&lab->ca_p12, (size_t)64 * 1024);
    for (size_t i = 0; i < SHS_LAB_KEYS; i++) {
        pthread_mutex_init(&lab->keys[i].lock, NULL);
        lab->keys[i].word = i < SHS_ARRAY_LEN(slow_keys) ? slow_keys[i] : NULL;
    }
    lab->started = (int64_t)time(NULL);
    lab->now = opt->now;
    lab->no_connect = opt->no_connect;
    lab->strict = opt->strict;
    lab->stall_ms = opt->stall_ms;
    lab->log = opt->log;
    lab->log_ctx = opt->log_ctx;
    lab->domain = shs__strdup(opt->domain);
    lab->temp_dir = shs__strdup(opt->temp_dir);
    lab->dir = shs__strdup(opt->dir == NULL ? "" : opt->dir);
    lab->lib = OSSL_LIB_CTX_new();
    if (lab->domain == NULL || lab->lib == NULL || lab->dir == NULL ||
        (opt->temp_dir != NULL && lab->temp_dir == NULL))
        return SHS_NOMEM;
    memcpy(lab->ip_base, opt->ip_base, ip_base_len(opt->ip_base)); /* of zeros until now */
    lab->tld = strrchr(lab->domain, '.') + 1;
    rc = open_keylog(lab, opt->keylog, err);
    return rc == SHS_OK ? make_units(lab, opt, err) : rc;
}

static bool by_address(const struct shs__lab_row *row)
{
    return row->requires != NULL && strcmp(row->requires, "visit-by-address") == 0;
}

/* The addresses of conditions that are visited so: where the system has not the address, or another
   program the port there, the way by CONNECT is left. */
static void make_places(struct shs_lab *lab, const struct shs_options *like)
{
    struct shs_options o = *like;
    size_t used = 1;
    char port[16];

    snprintf(port, sizeof port, "%u", shs_server_port(lab->server));
    o.port = port;
    for (size_t i = 0; i < lab->count && used < SHS_LAB_PLACES; i++) {
        if (!by_address(lab->units[i].row))
            continue;
        o.host = lab->units[i].public.host;
        if (shs_threading_tcp_server_new(&lab->places[used].server, &o, &lab->handler, NULL) ==
            SHS_OK) {
            used++;
        } else if (lab->no_connect) {
            lab->units[i].public.servable = false;
            lab->units[i].public.why = "the address cannot be listened on, and CONNECT is refused";
        }
    }
}

static int make_server(struct shs_lab *lab, const struct shs_lab_options *opt,
                       struct shs_error *err)
{
    struct shs_options o;
    int rc;

    shs_options_init(&o);
    o.host = opt->host;
    o.port = opt->port;
    o.max_connections = opt->max_connections;
    o.max_threads = opt->max_connections;
    o.thread_stack_size = STACK_SIZE;
    o.stop_ms = STOP_MS;
    o.stuck_handler_ms = opt->stall_ms < 3600000 ? opt->stall_ms + 60000 : 3660000;
    o.log = opt->log;
    o.log_ctx = opt->log_ctx;
    o.log_level = SHS_LOG_WARNING;
    lab->handler = (struct shs_request_handler_class){
        .name = "Lab",
        .instance_size = sizeof(struct shs_request_handler),
        .handle = shs__lab_handle,
    };
    rc = shs_threading_tcp_server_new(&lab->server, &o, &lab->handler, err);
    if (rc != SHS_OK)
        return rc;
    lab->places[0].server = lab->server;
    make_places(lab, &o);
    lab->base_url = strchr(shs_server_host(lab->server), ':') != NULL
                        ? shs__asprintf("http://[%s]:%u", shs_server_host(lab->server),
                                        shs_server_port(lab->server))
                        : shs__asprintf("http://%s:%u", shs_server_host(lab->server),
                                        shs_server_port(lab->server));
    return lab->base_url == NULL ? SHS_NOMEM : make_urls(lab);
}

/* What others are given: roots, a client's certificate, manifest and page. */
static int make_texts(struct shs_lab *lab, struct shs_error *err)
{
    const struct shs_cert_options alice = {
        .size = sizeof alice,
        .client = true,
        .subject = (const char *const[]){"O=ops", "OU=oncall", "CN=alice", NULL},
        .names = (const char *const[]){"uri:spiffe://badssl.test/ns/ops/sa/alice", NULL}};
    struct shs_ca *root = NULL, *clients = NULL;
    struct shs_issued_cert *cert = NULL;
    int rc = shs__lab_use_up_odd(lab, err);

    if (rc == SHS_OK)
        rc = shs__lab_roots(lab, &lab->ca_pem, err);
    if (rc == SHS_OK)
        rc = shs__lab_ca(lab, LAB_CA_ROOT, &root, err);
    if (rc == SHS_OK && shs__ca_tempfile_of(root, lab->temp_dir, lab->ca_pem, err) == NULL)
        rc = SHS_IO;
    if (rc == SHS_OK)
        rc = shs__truststore_make(&lab->ca_p12, lab->ca_pem, err);
    if (rc == SHS_OK)
        rc = shs__lab_ca(lab, LAB_CA_CLIENTS, &clients, err);
    if (rc == SHS_OK)
        rc = shs_ca_issue(&cert, clients, &alice, err);
    if (rc == SHS_OK) {
        lab->client_pem =
            shs__asprintf("%s%s", shs_issued_cert_pem(cert), shs_issued_cert_key_pem(cert));
        rc = lab->client_pem == NULL ? SHS_NOMEM : SHS_OK;
    }
    shs_issued_cert_free(cert);
    if (rc == SHS_OK)
        rc = shs__lab_make_manifest(lab, err);
    return rc == SHS_OK ? shs__lab_make_page(lab, err) : rc;
}

static void *serve(void *arg)
{
    struct shs_server *server = arg;

    if (shs_serve_forever(server) != SHS_OK)
        shs_server_log(server, SHS_LOG_ERROR, "The lab has ended: %s",
                       shs_server_error(server)->text);
    return NULL;
}

static int start_threads(struct shs_lab *lab, struct shs_error *err)
{
    for (size_t i = 0; i < SHS_LAB_PLACES && lab->places[i].server != NULL; i++) {
        struct shs__lab_place *place = &lab->places[i];
        int failed = shs__thread_start(&place->thread, NULL, "shs-lab", serve, place->server);

        if (failed != 0)
            return shs_error_set(err, SHS_IO, failed, "Cannot start the lab's thread.");
        place->thread_runs = true;
    }
    return SHS_OK;
}

/* False: a thread has not come back, and still uses all that the lab has. */
static bool stop_places(struct shs_lab *lab)
{
    bool stopped = true;

    atomic_store(&lab->stopping, true);
    for (size_t i = 0; i < SHS_LAB_PLACES; i++) {
        if (lab->places[i].thread_runs) {
            shs_shutdown(lab->places[i].server);
            pthread_join(lab->places[i].thread, NULL);
        }
    }
    for (size_t i = 0; i < SHS_LAB_PLACES; i++) {
        if (lab->places[i].server != NULL && shs_server_close(lab->places[i].server) != SHS_OK)
            stopped = false;
    }
    for (size_t i = 0; i < SHS_LAB_PLACES && stopped; i++)
        shs_server_free(lab->places[i].server);
    return stopped;
}

int shs_lab_start(struct shs_lab **out, const struct shs_lab_options *given, struct shs_error *err)
{
    struct shs_error own = {.code = SHS_OK};
    struct shs_lab_options opt;
    struct shs_lab *lab = NULL;
    int rc = SHS_OK;

    shs_lab_options_init(&opt);
    if (given != NULL)
        rc = shs__sized_copy(&opt, sizeof opt, given, "shs_lab_options", &own);
    if (opt.domain == NULL)
        opt.domain = DOMAIN;
    if (opt.ip_base == NULL)
        opt.ip_base = IP_BASE;
    if (rc == SHS_OK)
        rc = check_options(&opt, &own);
    if (rc == SHS_OK)
        rc = make_lab(&lab, &opt, &own);
    if (rc == SHS_OK)
        rc = make_server(lab, &opt, &own);
    if (rc == SHS_OK)
        rc = make_texts(lab, &own);
    if (rc == SHS_OK)
        rc = start_threads(lab, &own);
    if (rc == SHS_OK) {
        *out = lab;
        return SHS_OK;
    }
    shs_lab_stop(lab);
    if (own.code == SHS_OK)
        return shs_error_set(err, rc, 0, "The lab cannot be started: %s.", shs_err_text(rc));
    if (err != NULL)
        *err = own;
    return rc;
}

void shs_lab_stop(struct shs_lab *self)
{
    if (self == NULL)
        return;
    if (!stop_places(self))
        return;
    for (size_t i = 0; i < self->count; i++)
        free_unit(&self->units[i]);
    free_unit(&self->stranger);
    for (int i = 0; i < LAB_CA_COUNT; i++)
        shs_ca_free(self->cas[i]);
    for (size_t i = 0; i < SHS_LAB_KEYS; i++) {
        EVP_PKEY_free(self->keys[i].key);
        pthread_mutex_destroy(&self->keys[i].lock);
    }
    for (size_t i = 0; i < SHS_LAB_LOG_LINES; i++)
        shs__free(self->log_lines[i]);
    if (self->keylog_fd > 0)
        close(self->keylog_fd);
    shs__free(self->units);
    shs__free(self->last_hello);
    shs__free(self->manifest);
    shs__free(self->page);
    shs__free(self->base_url);
    shs__free(self->ca_pem);
    shs__buf_free(&self->ca_p12);
    if (self->client_pem != NULL)
        shs_bytes_free(self->client_pem, strlen(self->client_pem));
    shs__free(self->domain);
    shs__free(self->temp_dir);
    shs__free(self->dir);
    OSSL_LIB_CTX_free(self->lib);
    pthread_mutex_destroy(&self->ca_lock);
    pthread_mutex_destroy(&self->log_lock);
    shs__free(self);
}

/* -- what is to be known ----------------------------------------------------------------------- */

const struct shs_condition *shs_lab_first(const struct shs_lab *self)
{
    return &self->units[0].public;
}

static const struct shs__lab_unit *unit_of(const struct shs_lab *self,
                                           const struct shs_condition *condition)
{
    for (size_t i = 0; i < self->count; i++) {
        if (&self->units[i].public == condition)
            return &self->units[i];
    }
    return NULL;
}

const struct shs_condition *shs_lab_next(const struct shs_lab *self,
                                         const struct shs_condition *after)
{
    const struct shs__lab_unit *unit = unit_of(self, after);

    return unit == NULL || unit + 1 == self->units + self->count ? NULL : &unit[1].public;
}

const struct shs_condition *shs_lab_find(const struct shs_lab *self, const char *id)
{
    for (size_t i = 0; i < self->count; i++) {
        if (strcmp(self->units[i].public.id, id) == 0)
            return &self->units[i].public;
    }
    return NULL;
}

size_t shs_lab_count(const struct shs_lab *self)
{
    return self->count;
}

const char *shs_lab_host(const struct shs_lab *self)
{
    return shs_server_host(self->server);
}

unsigned shs_lab_port(const struct shs_lab *self)
{
    return shs_server_port(self->server);
}

const char *shs_lab_domain(const struct shs_lab *self)
{
    return self->domain;
}

const char *shs_lab_proxy_url(const struct shs_lab *self)
{
    return self->base_url;
}

const char *shs_lab_ca_path(const struct shs_lab *self)
{
    return self->cas[LAB_CA_ROOT]->tempfile.path;
}

const char *shs_lab_ca_pem(const struct shs_lab *self)
{
    return self->ca_pem;
}

const char *shs_lab_manifest(const struct shs_lab *self)
{
    return self->manifest;
}

const char *shs_lab_client_pem(const struct shs_lab *self)
{
    return self->client_pem;
}

/* Bytes that are the same for all, an alert, silence: nobody comes as far as a certificate. */
static bool has_no_cert(const struct shs__lab_make *make)
{
    return make->build == NULL && make->o.names == NULL && make->o.common_name == NULL;
}

int shs_lab_get_cert(struct shs_lab *self, const struct shs_condition *condition,
                     const struct shs_issued_cert **out, struct shs_error *err)
{
    struct shs__lab_unit *unit = NULL;
    SSL_CTX *ctx;
    int rc;

    for (size_t i = 0; i < self->count && unit == NULL; i++)
        unit = &self->units[i].public == condition ? &self->units[i] : NULL;
    if (unit == NULL || !unit->public.servable)
        return shs_error_set(err, SHS_USAGE, 0, "This condition is not served by this lab.");
    if (has_no_cert(&unit->row->make))
        return SHS_CLOSED;
    rc = shs__lab_context(self, unit, &ctx, err);
    if (rc == SHS_OK)
        *out = unit->cert;
    return rc;
}

int shs_lab_get_seen(const struct shs_lab *self, const struct shs_condition *condition,
                     struct shs_lab_seen *out)
{
    const struct shs__lab_unit *unit = unit_of(self, condition);

    if (unit == NULL)
        return SHS_USAGE;
    *out = (struct shs_lab_seen){
        .connections = atomic_load(&unit->connections),
        .handshakes = atomic_load(&unit->handshakes),
        .requests = atomic_load(&unit->requests),
        .no_alpn = atomic_load(&unit->no_alpn),
        .went_on = atomic_load(&unit->went_on),
        .last_alert = atomic_load(&unit->last_alert),
    };
    return SHS_OK;
}

uint64_t shs_lab_strangers(const struct shs_lab *self)
{
    return atomic_load(&self->strangers);
}

uint64_t shs_lab_connections(const struct shs_lab *self)
{
    return atomic_load(&self->connections);
}
