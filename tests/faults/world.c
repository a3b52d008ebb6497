#include "world.h"

#include <arpa/inet.h>
#include <dirent.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include <openssl/err.h>
#include <openssl/pem.h>

#include <shs/cookie.h>
#include <shs/json.h>
#include <shs/multipart.h>
#include <shs/query.h>
#include <shs/sse.h>
#include <shs/whoami.h>
#ifdef SHS_HAVE_JANSSON
#include <jansson.h>
#endif

#include "inject.h"

char place_dir[64], site_dir[80], leaf_path[80], other_path[80], ca_path[80], crl_path[80],
    deny_path[80], rules_path[80], config_path[80];
const char *client_pem, *client_key_pem, *ca_pem;

static struct shs_ca *ca;
static struct shs_issued_cert *client_cert;

/* -- files ------------------------------------------------------------------------------------- */

static bool write_file(const char *path, const char *text, size_t len)
{
    FILE *f = fopen(path, "w");

    return f != NULL && fwrite(text, 1, len, f) == len && fclose(f) == 0;
}

static bool write_text(char *path, size_t cap, const char *name, const char *text)
{
    snprintf(path, cap, "%s/%s", place_dir, name);
    return write_file(path, text, strlen(text));
}

static bool write_pair(char *path, size_t cap, const char *name, struct shs_cert_options *opt)
{
    struct shs_issued_cert *cert = NULL;
    char text[16384];
    bool written;

    if (shs_ca_issue(&cert, ca, opt, NULL) != SHS_OK)
        return false;
    snprintf(text, sizeof text, "%s%s", shs_issued_cert_pem(cert), shs_issued_cert_key_pem(cert));
    written = write_text(path, cap, name, text) && chmod(path, 0600) == 0;
    shs_issued_cert_free(cert);
    return written;
}

static bool make_certificates(void)
{
    struct shs_cert_options leaf = {SHS_CERT_FOR("localhost")},
                            other = {SHS_CERT_FOR("other.test")},
                            client = {.size = sizeof client,
                                      .client = true,
                                      .subject = (const char *const[]){"CN=alice", NULL}};
    void *crl = NULL;
    size_t len;
    bool made;

    if (shs_ca_new(&ca, NULL, NULL) != SHS_OK ||
        shs_ca_issue(&client_cert, ca, &client, NULL) != SHS_OK ||
        shs_ca_crl(ca, NULL, &crl, &len, NULL) != SHS_OK)
        return false;
    ca_pem = shs_ca_pem(ca);
    client_pem = shs_issued_cert_pem(client_cert);
    client_key_pem = shs_issued_cert_key_pem(client_cert);
    made = write_text(crl_path, sizeof crl_path, "crl.pem", crl);
    shs_bytes_free(crl, len);
    return made && write_text(ca_path, sizeof ca_path, "ca.pem", ca_pem) &&
           write_pair(leaf_path, sizeof leaf_path, "leaf.pem", &leaf) &&
           write_pair(other_path, sizeof other_path, "other.pem", &other);
}

/* As text is: some of it again and again. */
static bool write_long(const char *name, size_t len)
{
    char *text = malloc(len + 32), path[160];
    bool written;

    if (text == NULL)
        return false;
    for (size_t at = 0; at < len;)
        at += (size_t)snprintf(text + at, 32, "line %zu of a file\n", at % 977);
    snprintf(path, sizeof path, "%s/%s", site_dir, name);
    written = write_file(path, text, len);
    free(text);
    return written;
}

static bool make_site(void)
{
    char path[160];

    snprintf(site_dir, sizeof site_dir, "%s/site", place_dir);
    if (mkdir(site_dir, 0755) != 0)
        return false;
    for (int i = 0; i < 3; i++) {
        static const char *const dirs[] = {"list", "index", "up"};

        snprintf(path, sizeof path, "%s/%s", site_dir, dirs[i]);
        if (mkdir(path, 0755) != 0)
            return false;
    }
    return write_long("small.txt", 100) && write_long("page.html", 6000) &&
           write_long("large.bin", 300000) && write_long("app.js", 400) &&
           write_long("app.js.gz", 300) && write_long("list/a.txt", 10) &&
           write_long("list/b & c.txt", 20) && write_long("list/d.bin", 3000) &&
           write_long("index/index.html", 700);
}

bool place_make(void)
{
    char text[512];

    snprintf(place_dir, sizeof place_dir, "/tmp/shs-faults-XXXXXX");
    if (mkdtemp(place_dir) == NULL || !make_certificates() || !make_site())
        return false;
    snprintf(text, sizeof text, "bind: 127.0.0.1\nport: 0\ncertificates: [{cert: %s}]\n",
             leaf_path);
    return write_text(config_path, sizeof config_path, "shs.conf", text) &&
           write_text(deny_path, sizeof deny_path, "deny",
                      "cert "
                      "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa\n") &&
           write_text(
               rules_path, sizeof rules_path, "rules",
               "ca corp file ca.pem\nrole reader GET /**\nmap cn \"alice\" ca corp reader\n");
}

static void remove_tree(const char *path)
{
    char command[160];

    snprintf(command, sizeof command, "rm -rf '%s'", path);
    if (system(command) != 0)
        fprintf(stderr, "%s is still there\n", path);
}

void place_remove(void)
{
    shs_issued_cert_free(client_cert);
    shs_ca_free(ca);
    if (place_dir[0] != '\0')
        remove_tree(place_dir);
}

/* -- the application --------------------------------------------------------------------------- */

static int whole(struct shs_response *res, const char *type, const char *text, size_t len)
{
    SHS_RETURN_IF_ERROR(shs_send_response(res, 200));
    SHS_RETURN_IF_ERROR(shs_send_header(res, "Content-Type", type));
    SHS_RETURN_IF_ERROR(shs_send_length(res, len));
    return shs_write(res, text, len);
}

static int hello(struct shs_request *req, struct shs_response *res)
{
    (void)req;
    return whole(res, "text/plain", "hello\n", 6);
}

static int echo(struct shs_request *req, struct shs_response *res)
{
    struct shs_str body;

    SHS_RETURN_IF_ERROR(shs_request_body(req, 65536, &body));
    return whole(res, "text/plain", body.ptr, body.len);
}

/* Says how long the body was, and what was in it. */
static int tell_sum(struct shs_response *res, size_t len, unsigned sum)
{
    char text[64];
    int said = snprintf(text, sizeof text, "%zu bytes, %u\n", len, sum);

    return whole(res, "text/plain", text, (size_t)said);
}

static int pull(struct shs_request *req, struct shs_response *res)
{
    unsigned char buf[3000];
    size_t got = 1, len = 0;
    unsigned sum = 0;

    while (got > 0) {
        SHS_RETURN_IF_ERROR(shs_request_read(req, buf, sizeof buf, &got));
        for (size_t i = 0; i < got; i++)
            sum = sum * 31 + buf[i];
        len += got;
    }
    return tell_sum(res, len, sum);
}

struct sum {
    size_t len;
    unsigned sum;
};

static int sum_write(void *ctx, const void *buf, size_t len)
{
    struct sum *sum = ctx;

    for (size_t i = 0; i < len; i++)
        sum->sum = sum->sum * 31 + ((const unsigned char *)buf)[i];
    sum->len += len;
    return SHS_OK;
}

static int sum_done(void *ctx, struct shs_request *req, struct shs_response *res, int rc)
{
    const struct sum *sum = ctx;

    (void)req;
    return rc != SHS_OK ? rc : tell_sum(res, sum->len, sum->sum);
}

static int sink(struct shs_request *req, struct shs_response *res)
{
    static const struct shs_sink sums = {sum_write, sum_done, NULL};
    struct sum *sum = shs_request_alloc(req, sizeof *sum);

    (void)res;
    if (sum == NULL)
        return SHS_NOMEM;
    *sum = (struct sum){.len = 0};
    return shs_request_sink(req, &sums, sum);
}

static int stream(struct shs_request *req, struct shs_response *res)
{
    char text[500];

    (void)req;
    memset(text, 's', sizeof text);
    SHS_RETURN_IF_ERROR(shs_send_response(res, 200));
    SHS_RETURN_IF_ERROR(shs_send_header(res, "Content-Type", "text/plain"));
    for (int i = 0; i < 300; i++)
        SHS_RETURN_IF_ERROR(shs_write(res, text, sizeof text));
    return shs_send_trailer(res, "Digest", "none");
}

static int give(void *ctx, void *buf, size_t cap, size_t *got)
{
    size_t *left = ctx;

    *got = *left < cap ? *left : cap;
    memset(buf, 'g', *got);
    *left -= *got;
    return SHS_OK;
}

static int source(struct shs_request *req, struct shs_response *res)
{
    static const struct shs_source gives = {give, NULL};
    size_t *left = shs_request_alloc(req, sizeof *left);

    if (left == NULL)
        return SHS_NOMEM;
    *left = 100000;
    SHS_RETURN_IF_ERROR(shs_send_response(res, 200));
    return shs_send_source(res, &gives, left);
}

static int interim(struct shs_request *req, struct shs_response *res)
{
    static const char *const fields[] = {"Link", "</style.css>; rel=preload", NULL};

    SHS_RETURN_IF_ERROR(shs_send_interim(res, 103, fields));
    return hello(req, res);
}

static int events(struct shs_request *req, struct shs_response *res)
{
    int rc = shs_sse_start(res);

    (void)req;
    for (int i = 0; rc == SHS_OK && i < 3; i++)
        rc = shs_sse_send(res, "tick", "7", "one\ntwo");
    return shs_sse_end(res, rc);
}

static int form(struct shs_request *req, struct shs_response *res)
{
    struct shs_multipart *parts = NULL;
    const struct shs_part *part = NULL;
    char text[512];
    size_t len = 0;

    SHS_RETURN_IF_ERROR(shs_multipart_new(&parts, req, NULL));
    for (;;) {
        struct shs_str value;

        SHS_RETURN_IF_ERROR(shs_multipart_next(parts, &part));
        if (part == NULL)
            break;
        SHS_RETURN_IF_ERROR(shs_multipart_value(parts, 100, &value));
        len += (size_t)snprintf(text + len, sizeof text - len, "%.*s=%.*s\n", (int)part->name.len,
                                part->name.ptr, (int)value.len, value.ptr);
    }
    return whole(res, "text/plain", text, len);
}

static int query(struct shs_request *req, struct shs_response *res)
{
    uint64_t a = 0;
    struct shs_cookie cookie;
    char text[64];
    int len;

    SHS_RETURN_IF_ERROR(shs_request_query_number(req, "a", 1000, &a));
    len = snprintf(text, sizeof text, "a is %u\n", (unsigned)a);
    SHS_RETURN_IF_ERROR(shs_response_stand(res, "X-Standing", "yes"));
    SHS_RETURN_IF_ERROR(shs_send_response(res, 200));
    shs_cookie_init(&cookie, "theme", "dark");
    SHS_RETURN_IF_ERROR(shs_send_cookie(res, &cookie));
    SHS_RETURN_IF_ERROR(shs_send_header(res, "Content-Type", "text/plain"));
    SHS_RETURN_IF_ERROR(shs_send_length(res, (size_t)len));
    return shs_write(res, text, (size_t)len);
}

static int send_a_file(struct shs_request *req, struct shs_response *res)
{
    char path[160];
    int fd;

    (void)req;
    snprintf(path, sizeof path, "%s/large.bin", site_dir);
    fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return SHS_IO;
    SHS_RETURN_IF_ERROR(shs_send_response(res, 200));
    return shs_send_file(res, fd, 1000, 200000);
}

static int page(struct shs_request *req, struct shs_response *res)
{
    char text[4000];

    (void)req;
    for (size_t i = 0; i < sizeof text; i++)
        text[i] = "a page of some words. "[i % 22];
    return whole(res, "text/plain", text, sizeof text);
}

#ifdef SHS_HAVE_JANSSON
static int json(struct shs_request *req, struct shs_response *res)
{
    struct json_t *in = NULL;
    const char *name = NULL;

    SHS_RETURN_IF_ERROR(shs_request_json(req, NULL, &in));
    if (json_unpack(in, "{s:s}", "name", &name) != 0)
        return shs_send_problem(res, 422, "a name is missing");
    return shs_send_json(res, 201, json_pack("{s:s}", "name", name));
}

static int json_array_of(struct shs_request *req, struct shs_response *res)
{
    struct shs_json_array array;

    (void)req;
    SHS_RETURN_IF_ERROR(shs_json_array_begin(&array, res, 200));
    for (int i = 0; i < 20; i++)
        (void)shs_json_array_add(&array, json_integer(i));
    return shs_json_array_end(&array);
}
#endif

/* -- what stands in front of it ---------------------------------------------------------------- */

struct app {
    struct shs_static_files *files;
    struct shs_compress *compress;
    struct shs_bearer *bearer;
    struct shs_rate_limit *rate;
    struct shs_cors *cors;
    struct shs_access_rules *rules;
    struct shs_access_log *log;
    struct shs_router *router, *ruled;
    struct shs_chain *chain;
    struct shs_middleware ids, limit, security;
    int null_fd;
};

static const struct shs_route coded_routes[] = {
    SHS_ROUTE("GET", "/whole", page), SHS_ROUTE("GET", "/stream", stream),
    SHS_ROUTE("GET", "/source", source), SHS_ROUTES_END};
static const struct shs_route plain_routes[] = {SHS_ROUTE("GET", "/", hello), SHS_ROUTES_END};

static int make_middleware(struct app *app)
{
    static const struct shs_bearer_token tokens[] = {
        {"3c469e9d6c5875d37a43f353d4f88e61fcf812c66eee3457465a40b0da4153e0", "alice"},
        {NULL, NULL}};
    static const uint64_t most = 65536;
    static const struct shs_security_fields fields = {.content_type = "nosniff"};
    struct shs_static_options files;
    struct shs_rate_options rate;
    struct shs_http_handler next = {.name = "next", .do_GET = hello};

    shs_static_options_init(&files);
    files.directory = site_dir;
    files.upload = files.archive = true;
    files.mime_types = "";
    shs_rate_options_init(&rate);
    rate.burst = rate.per_minute = 1000000;
    app->ids = shs_request_id_middleware("X-Request-Id");
    app->limit = shs_body_limit_middleware(&most);
    app->security = shs_security_middleware(&fields);
    app->null_fd = open("/dev/null", O_WRONLY | O_CLOEXEC);
    SHS_RETURN_IF_ERROR(shs_static_files_new(&app->files, &files, NULL));
    SHS_RETURN_IF_ERROR(shs_compress_new(&app->compress, &next, NULL, NULL));
    SHS_RETURN_IF_ERROR(shs_bearer_new(&app->bearer, &next, tokens, NULL, NULL, "here", NULL));
    SHS_RETURN_IF_ERROR(shs_rate_limit_new(&app->rate, &next, &rate, NULL));
    SHS_RETURN_IF_ERROR(shs_cors_new(&app->cors, &next, "https://a.test", NULL));
    SHS_RETURN_IF_ERROR(shs_access_new(&app->rules, rules_path, NULL));
    return shs_access_log_new(&app->log, &next, app->null_fd, NULL, NULL);
}

#define CHAIN(name, ...) const struct shs_middleware *const name[] = {__VA_ARGS__, NULL}

static int make_app(struct app **out)
{
    struct app *app = calloc(1, sizeof *app);

    *out = app;
    if (app == NULL)
        return SHS_NOMEM;
    SHS_RETURN_IF_ERROR(make_middleware(app));
    CHAIN(coded, shs_compress_middleware(app->compress));
    CHAIN(guarded, shs_bearer_middleware(app->bearer));
    CHAIN(limited, shs_rate_limit_middleware(app->rate));
    CHAIN(cors, shs_cors_middleware(app->cors));
    CHAIN(ruled, shs_access_middleware(app->rules));
    CHAIN(several, &app->ids, &app->limit, &app->security);
    CHAIN(log, shs_access_log_middleware(app->log));
    const struct shs_http_handler *files = shs_static_files_handler(app->files);
    const struct shs_route routes[] = {
        SHS_ROUTE("GET", "/", hello),
        SHS_ROUTE("POST", "/echo", echo),
        SHS_ROUTE("POST", "/pull", pull),
        SHS_ROUTE("POST", "/sink", sink),
        SHS_ROUTE("GET", "/stream", stream),
        SHS_ROUTE("GET", "/source", source),
        SHS_ROUTE("GET", "/interim", interim),
        SHS_ROUTE("GET", "/events", events),
        SHS_ROUTE("POST", "/form", form),
        SHS_ROUTE("GET", "/query/{name}", query),
        SHS_ROUTE("GET", "/file", send_a_file),
#ifdef SHS_HAVE_JANSSON
        SHS_ROUTE("POST", "/json", json),
        SHS_ROUTE("GET", "/json", json_array_of),
#endif
        SHS_MOUNT("*", "/whoami", shs_whoami_handler()),
        SHS_MOUNT("*", "/files/{path...}", files),
        SHS_GROUP("/coded", coded_routes, coded),
        SHS_GROUP("/guarded", plain_routes, guarded),
        SHS_GROUP("/limited", plain_routes, limited),
        SHS_GROUP("/cors", plain_routes, cors),
        SHS_GROUP("/ruled", plain_routes, ruled),
        SHS_GROUP("/several", plain_routes, several),
        SHS_ROUTES_END,
    };
    struct shs_error err;
    int rc = shs_router_new(&app->router, routes, NULL, &err);

    if (rc != SHS_OK) {
        fprintf(stderr, "the routes: %s\n", err.text);
        return rc;
    }
    return shs_chain_new(&app->chain, log, shs_router_handler(app->router), NULL);
}

static void free_app(struct app *app)
{
    if (app == NULL)
        return;
    shs_chain_free(app->chain);
    shs_router_free(app->router);
    shs_access_log_free(app->log);
    shs_access_free(app->rules);
    shs_cors_free(app->cors);
    shs_rate_limit_free(app->rate);
    shs_bearer_free(app->bearer);
    shs_compress_free(app->compress);
    shs_static_files_free(app->files);
    close(app->null_fd);
    free(app);
}

/* -- TLS --------------------------------------------------------------------------------------- */

static int push_tls(struct shs_server *server, enum over over)
{
    const struct shs_tls_cert certs[] = {{.certfile = leaf_path}, {.certfile = other_path}};
    static const char *const other_names[] = {"other.test", NULL};
    struct shs_tls_host hosts[2];
    struct shs_tls_config config;
    struct shs_error err;
    int rc;

    for (int i = 0; i < 2; i++) {
        shs_tls_host_init(&hosts[i]);
        hosts[i].certs = &certs[i];
        hosts[i].cert_count = 1;
    }
    hosts[1].names = other_names;
    shs_tls_config_init(&config);
    config.hosts = hosts;
    config.host_count = over == HOSTS ? 2 : 1;
    if (over == MTLS || over == EXPLAIN) {
        hosts[0].client_auth = over == MTLS ? SHS_TLS_CLIENT_REQUIRED : SHS_TLS_CLIENT_EXPLAIN;
        hosts[0].client_ca = ca_path;
        hosts[0].crl = crl_path;
        config.deny = deny_path;
        config.fingerprint = true;
    }
    if (over == DIRECT)
        config.records = SHS_TLS_RECORDS_DIRECT;
    rc = shs_tls_mixin_push_config(server, &config, &err);
    if (rc != SHS_OK)
        fprintf(stderr, "TLS: %s\n", err.text);
    return rc;
}

static X509 *read_cert(const char *pem)
{
    BIO *bio = BIO_new_mem_buf(pem, -1);
    X509 *cert = PEM_read_bio_X509(bio, NULL, NULL, NULL);

    BIO_free(bio);
    return cert;
}

static struct world *keeps_session; /* one world in a process */

static int keep_session(SSL *ssl, SSL_SESSION *session)
{
    (void)ssl;
    SSL_SESSION_free(keeps_session->session);
    keeps_session->session = session;
    return 1;
}

static SSL_CTX *make_client(struct world *world)
{
    SSL_CTX *ctx = SSL_CTX_new(TLS_client_method());
    X509 *root = read_cert(ca_pem), *own = read_cert(client_pem);
    BIO *bio = BIO_new_mem_buf(client_key_pem, -1);
    EVP_PKEY *key = PEM_read_bio_PrivateKey(bio, NULL, NULL, NULL);

    X509_STORE_add_cert(SSL_CTX_get_cert_store(ctx), root);
    SSL_CTX_set_verify(ctx, SSL_VERIFY_PEER, NULL);
    if (world->over == MTLS || world->over == EXPLAIN) {
        SSL_CTX_use_certificate(ctx, own);
        SSL_CTX_use_PrivateKey(ctx, key);
    }
    SSL_CTX_set_max_proto_version(ctx, world->over == TLS12 ? TLS1_2_VERSION : TLS1_3_VERSION);
    SSL_CTX_set_session_cache_mode(ctx, SSL_SESS_CACHE_CLIENT | SSL_SESS_CACHE_NO_INTERNAL);
    SSL_CTX_sess_set_new_cb(ctx, keep_session);
    keeps_session = world;
    BIO_free(bio);
    X509_free(root);
    X509_free(own);
    EVP_PKEY_free(key);
    return ctx;
}

/* -- the server -------------------------------------------------------------------------------- */

static void *serve(void *server)
{
    return (void *)(intptr_t)shs_serve_forever(server);
}

static void limits(const struct world *world, struct shs_options *opt)
{
    unsigned ms = world->short_limits ? 300 : 6 * FAULTS_PATIENCE_MS;

    opt->handshake_ms = opt->head_ms = opt->idle_ms = opt->body_ms = opt->write_ms = ms;
    opt->close_ms = world->short_limits ? 200 : 2000;
    opt->threads = 2;
    opt->max_children = 200;
    opt->max_connections_per_address = UINT32_MAX;
    opt->late_ms = UINT32_MAX;
    opt->poll_interval_ms = 50;
}

static int push_all(struct world *world)
{
    static const char *const trusted[] = {"127.0.0.0/8", NULL};
    struct shs_proxy_options proxy;

    if (world->over != PLAIN && world->over != UNIX && world->over != PROXY)
        SHS_RETURN_IF_ERROR(push_tls(world->server, world->over));
    if (world->over == PROXY) {
        shs_proxy_options_init(&proxy);
        proxy.trusted = trusted;
        SHS_RETURN_IF_ERROR(shs_proxy_protocol_mixin_push(world->server, &proxy, NULL));
    }
    switch (world->threading) {
    case NONE:
        return SHS_OK;
    case THREAD:
        return shs_threading_mixin_push(world->server, NULL);
    case POOL:
        return shs_thread_pool_mixin_push(world->server, NULL);
    case FORK:
        return shs_forking_mixin_push(world->server, NULL);
    }
    return SHS_USAGE;
}

static void find_place(struct world *world, const char *path)
{
    if (world->over == UNIX) {
        struct sockaddr_un *to = (struct sockaddr_un *)&world->place.address;

        to->sun_family = AF_UNIX;
        snprintf(to->sun_path, sizeof to->sun_path, "%s", path);
        world->place.len = sizeof *to;
    } else {
        struct sockaddr_in *to = (struct sockaddr_in *)&world->place.address;

        to->sin_family = AF_INET;
        to->sin_port = htons((uint16_t)shs_server_port(world->server));
        to->sin_addr.s_addr = htonl(INADDR_LOOPBACK);
        world->place.len = sizeof *to;
    }
}

static int start(struct world *world)
{
    struct shs_options opt;
    char path[96];

    snprintf(path, sizeof path, "%s/s%d", place_dir, (int)getpid());
    SHS_RETURN_IF_ERROR(make_app(&world->app));
    shs_options_init(&opt);
    limits(world, &opt);
    opt.bind_and_activate = false;
    if (world->over == UNIX) {
        opt.path = path;
        opt.unlink_on_bind = opt.unlink_on_close = true;
    }
    SHS_RETURN_IF_ERROR(
        shs_http_server_new(&world->server, &opt, shs_chain_handler(world->app->chain), NULL));
    SHS_RETURN_IF_ERROR(push_all(world));
    if (world->admin_options != NULL) /* before it has served */
        SHS_RETURN_IF_ERROR(
            shs_admin_new(&world->admin, world->server, world->admin_options, NULL));
    SHS_RETURN_IF_ERROR(shs_server_bind_and_activate(world->server, NULL));
    find_place(world, path);
    return pthread_create(&world->thread, NULL, serve, world->server) == 0 ? SHS_OK : SHS_IO;
}

int world_open_with(struct world *world, const struct shs_request_handler_class *handler, bool udp)
{
    struct shs_options opt;

    shs_options_init(&opt);
    limits(world, &opt);
    opt.bind_and_activate = false;
    if (udp)
        SHS_RETURN_IF_ERROR(shs_udp_server_new(&world->server, &opt, handler, NULL));
    else
        SHS_RETURN_IF_ERROR(shs_tcp_server_new(&world->server, &opt, handler, NULL));
    SHS_RETURN_IF_ERROR(push_all(world));
    SHS_RETURN_IF_ERROR(shs_server_bind_and_activate(world->server, NULL));
    find_place(world, NULL);
    return pthread_create(&world->thread, NULL, serve, world->server) == 0 ? SHS_OK : SHS_IO;
}

int world_open(struct world *world)
{
    int rc = start(world);

    if (rc != SHS_OK)
        fprintf(stderr, "cannot start: %s\n", shs_err_name(rc));
    else if (world->over != PLAIN && world->over != UNIX && world->over != PROXY)
        world->client = make_client(world);
    return rc;
}

void world_close(struct world *world)
{
    SSL_SESSION_free(world->session);
    SSL_CTX_free(world->client);
    (void)shs_admin_free(world->admin);
    shs_shutdown(world->server);
    pthread_join(world->thread, NULL);
    shs_server_close(world->server);
    shs_server_free(world->server);
    free_app(world->app);
}

bool world_is_quiet(struct world *world)
{
    struct timespec moment = {.tv_nsec = 20000};
    int64_t until = shs_now_ns() + (int64_t)FAULTS_PATIENCE_MS * 1000000;
    struct shs_server_stats stats, admin = {.connections = 0};

    for (;;) {
        shs_server_get_stats(world->server, &stats);
        if (world->admin != NULL)
            shs_server_get_stats(shs_admin_server(world->admin, 0), &admin);
        if (stats.connections + admin.connections == 0 &&
            (world->threading != FORK || stats.children == 0) &&
            (world->threading != THREAD || stats.threads == 0))
            return true;
        if (shs_now_ns() > until)
            return false;
        nanosleep(&moment, NULL);
    }
}

/* -- what a process holds ---------------------------------------------------------------------- */

unsigned entries(const char *path)
{
    unsigned count = 0;
    DIR *dir = opendir(path);

    for (struct dirent *e = dir == NULL ? NULL : readdir(dir); e != NULL; e = readdir(dir))
        count += e->d_name[0] != '.';
    if (dir != NULL)
        closedir(dir);
    return count;
}

bool threads_come_to(unsigned wanted)
{
    struct timespec moment = {.tv_nsec = 1000000};

    for (int i = 0; i < FAULTS_PATIENCE_MS; i++) {
        if (entries("/proc/self/task") <= wanted)
            return true;
        nanosleep(&moment, NULL);
    }
    return false;
}
