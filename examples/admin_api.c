/*
 * admin_api.c - a small admin API: keys and values in SQLite, roles by certificate and by uid.
 *
 *   admin_api DIR [PORT]    DIR has server.pem, server.key, clients.pem (the clients' CA), kv.rules
 *   curl --cacert ca.pem --cert ann.pem --key ann.key https://localhost:8443/kv
 *   curl --unix-socket DIR/kv.sock -X PUT -H 'Content-Type: application/json' \
 *        -d '{"value":"tea"}' http://kv/kv/drink         the same routes, for users of this machine
 *   curl -N --unix-socket DIR/kv.sock http://kv/watch    put, delete, and reset: read it all again
 *   curl --unix-socket DIR/admin.sock http://admin/admin/v1/connections
 */
#include <jansson.h>
#include <pthread.h>
#include <shs/shs.h>
#include <signal.h>
#include <sqlite3.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#define VALUE_MAX 4096 /* bytes; of a key: 64 */

static const char schema[] =
    "PRAGMA journal_mode = WAL; PRAGMA max_page_count = 25000;" /* 100 MB; more is 507 */
    "CREATE TABLE IF NOT EXISTS kv (key TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;"
    "CREATE TABLE IF NOT EXISTS news (rev INTEGER PRIMARY KEY, op TEXT, key TEXT);"
    "CREATE TRIGGER IF NOT EXISTS i AFTER INSERT ON kv BEGIN"
    "  INSERT INTO news (op, key) VALUES ('put', new.key); END;"
    "CREATE TRIGGER IF NOT EXISTS u AFTER UPDATE ON kv BEGIN"
    "  INSERT INTO news (op, key) VALUES ('put', new.key); END;"
    "CREATE TRIGGER IF NOT EXISTS d AFTER DELETE ON kv BEGIN"
    "  INSERT INTO news (op, key) VALUES ('delete', old.key); END;"
    "CREATE TRIGGER IF NOT EXISTS n AFTER INSERT ON news BEGIN" /* the last thousand are kept */
    "  DELETE FROM news WHERE rev <= new.rev - 1000; END;";
static sqlite3 *db;
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER; /* one statement at a time */
static struct shs_server *servers[2];                    /* over TLS, at the Unix socket */

/* Runs a statement with ?1, ?2 and ?3 bound: its rows as objects; NULL, with *did, on a fault. */
static json_t *run(int *did, const char *sql, struct shs_str key, const char *value, uint64_t n,
                   int *changed)
{
    sqlite3_stmt *st = NULL;
    json_t *rows = json_array(), *row;
    pthread_mutex_lock(&lock);
    *did = sqlite3_prepare_v2(db, sql, -1, &st, NULL);
    if (*did == SQLITE_OK) { /* a number that the statement has not is SQLITE_RANGE: no harm */
        (void)sqlite3_bind_text(st, 1, key.ptr, (int)key.len, SQLITE_STATIC);
        (void)sqlite3_bind_text(st, 2, value, -1, SQLITE_STATIC);
        (void)sqlite3_bind_int64(st, 3, (sqlite3_int64)n);
        while ((*did = sqlite3_step(st)) == SQLITE_ROW) {
            row = json_object();
            for (int i = 0; i < sqlite3_column_count(st); i++)
                json_object_set_new(row, sqlite3_column_name(st, i),
                                    sqlite3_column_type(st, i) == SQLITE_INTEGER
                                        ? json_integer(sqlite3_column_int64(st, i))
                                        : json_string((const char *)sqlite3_column_text(st, i)));
            json_array_append_new(rows, row);
        }
    }
    if (changed != NULL)
        *changed = sqlite3_changes(db);
    sqlite3_finalize(st);
    pthread_mutex_unlock(&lock);
    if (*did == SQLITE_DONE && rows != NULL)
        return rows;
    json_decref(rows);
    return NULL;
}

static int failed(struct shs_response *res, int did)
{
    return did == SQLITE_FULL   ? shs_send_problem(res, 507, "The database is full: delete keys.")
           : did == SQLITE_BUSY ? shs_send_problem(res, 503, "The database is busy: try again.")
                                : shs_send_problem(res, 500, sqlite3_errstr(did));
}

static uint64_t number(const json_t *row, const char *name)
{
    return (uint64_t)json_integer_value(json_object_get(row, name));
}

static int list(struct shs_request *req, struct shs_response *res)
{
    struct shs_str after;
    uint64_t limit = 20;
    int did;
    SHS_RETURN_IF_ERROR(shs_request_query_param(req, "after", &after));
    SHS_RETURN_IF_ERROR(shs_request_query_number(req, "limit", 100, &limit));
    json_t *rows = run(&did,
                       "SELECT key, value FROM kv WHERE key > coalesce(?1, '')"
                       " ORDER BY key LIMIT ?3",
                       after, NULL, limit, NULL);
    /* The next page: after the last key. */
    return rows != NULL ? shs_send_json(res, 200, rows) : failed(res, did);
}

/* GET, PUT and DELETE of a key. */
static int one(struct shs_request *req, struct shs_response *res)
{
    static const char *const sql[] = {
        "SELECT key, value FROM kv WHERE key = ?1", "DELETE FROM kv WHERE key = ?1",
        "INSERT INTO kv VALUES (?1, ?2) ON CONFLICT (key) DO UPDATE SET value = excluded.value"};
    struct shs_str key = {NULL, 0}, method = shs_request_method(req);
    const char *value = NULL;
    json_t *in, *rows, *row;
    int did, changed = 0,
             what = shs_str_is(method, "PUT")      ? 2
                    : shs_str_is(method, "DELETE") ? 1
                                                   : 0;
    (void)shs_request_param(req, "key", &key);
    for (size_t i = 0; i < key.len; i++)
        if (key.len > 64 || key.ptr[i] <= ' ' || key.ptr[i] > '~')
            return shs_send_problem(res, 400, "A key is 1 to 64 printable ASCII characters.");
    if (what == 2) {
        SHS_RETURN_IF_ERROR(shs_request_json(req, NULL, &in));
        if (json_unpack(in, "{s:s!}", "value", &value) != 0 || strlen(value) > VALUE_MAX)
            return shs_send_problem(res, 422, "Send {\"value\": a text of at most 4096 bytes}.");
    }
    if ((rows = run(&did, sql[what], key, value, 0, &changed)) == NULL)
        return failed(res, did);
    row = json_incref(json_array_get(rows, 0));
    json_decref(rows);
    if (what == 0 ? row == NULL : changed == 0)
        return shs_send_problem(res, 404, "There is no such key.");
    return what == 0 ? shs_send_json(res, 200, row) : shs_send_response(res, 204);
}

static int watch(struct shs_request *req, struct shs_response *res)
{
    struct shs_str none = {NULL, 0}, last = none;
    uint64_t rev, newest, turn = 0;
    char id[24];
    int rc, did;
    size_t i;
    json_t *row, *rows = run(&did, "SELECT min(rev) AS first, max(rev) AS last FROM news", none,
                             NULL, 0, NULL);
    if (rows == NULL)
        return failed(res, did);
    newest = rev = number(json_array_get(rows, 0), "last");
    bool lost =
        shs_request_header(req, "Last-Event-ID", &last) &&
        (!shs_str_number(last, newest, &rev) || rev + 1 < number(json_array_get(rows, 0), "first"));
    json_decref(rows);
    snprintf(id, sizeof id, "%llu", (unsigned long long)newest);
    if ((rc = shs_sse_start(res)) == SHS_OK && lost) /* what it missed is no longer known */
        rc = shs_sse_send(res, "reset", id, "{}"), rev = newest;
    while (rc == SHS_OK) {
        if (turn++ % 150 == 0 && (rc = shs_sse_comment(res, NULL)) != SHS_OK)
            break; /* every 15 s: a proxy ends what is silent */
        rows = run(&did,
                   "SELECT rev, op, key, value FROM news LEFT JOIN kv USING (key)"
                   " WHERE rev > ?3 ORDER BY rev LIMIT 100",
                   none, NULL, rev, NULL);
        rc = rows != NULL ? SHS_OK : SHS_IO;
        for (i = 0; rc == SHS_OK && (row = json_array_get(rows, i)) != NULL; i++) {
            char *data = json_dumps(row, JSON_COMPACT); /* the value is today's, or left out */
            rev = number(row, "rev");
            snprintf(id, sizeof id, "%llu", (unsigned long long)rev);
            rc = data == NULL
                     ? SHS_NOMEM
                     : shs_sse_send(res, json_string_value(json_object_get(row, "op")), id, data);
            free(data);
        }
        json_decref(rows);
        if (rc == SHS_OK)
            rc = shs_sse_wait(res, 100);
    }
    return shs_sse_end(res, rc);
}

static const struct shs_route routes[] = {
    SHS_ROUTE("GET", "/kv", list),      SHS_ROUTE("GET", "/kv/{key}", one),
    SHS_ROUTE("PUT", "/kv/{key}", one), SHS_ROUTE("DELETE", "/kv/{key}", one),
    SHS_ROUTE("GET", "/watch", watch),  SHS_ROUTES_END};

/* The rules of this API are a part of POST /admin/v1/reload. */
static int reload(void *rules, enum shs_admin_reload_step step, struct shs_error *err)
{
    static struct shs_access_draft *draft; /* one reload at a time */
    if (step == SHS_ADMIN_RELOAD_LOOK || step == SHS_ADMIN_RELOAD_READ)
        return shs_access_draft_new(&draft, rules, step == SHS_ADMIN_RELOAD_LOOK, err);
    if (step == SHS_ADMIN_RELOAD_TAKE && draft != NULL)
        shs_access_draft_commit(draft);
    shs_access_draft_free(draft);
    draft = NULL;
    return SHS_OK;
}

static void on_stop(int sig)
{
    (void)sig;
    shs_shutdown(servers[0]);
    shs_shutdown(servers[1]);
}

static void *serve_local(void *server)
{
    return shs_serve_forever(server) == SHS_OK ? NULL : server;
}

int main(int argc, char **argv)
{
    static struct sigaction stop = {.sa_handler = on_stop};
    const struct shs_tls_cert cert = {.certfile = "server.pem", .keyfile = "server.key"};
    struct shs_tls_host host;
    struct shs_tls_config tls;
    struct shs_options opt;
    struct shs_admin_options side;
    struct shs_access_rules *rules = NULL;
    struct shs_router *router = NULL;
    struct shs_chain *chain = NULL;
    struct shs_admin *admin = NULL;
    struct shs_error err;
    pthread_t local;

    umask(0007); /* the sockets and the database: for our user and group */
    if (argc < 2 || chdir(argv[1]) != 0 || sqlite3_open("kv.db", &db) != SQLITE_OK ||
        sqlite3_busy_timeout(db, 2000) != SQLITE_OK ||
        sqlite3_exec(db, schema, NULL, NULL, NULL) != SQLITE_OK)
        return fprintf(stderr, "admin_api: DIR/kv.db: %s\n", db ? sqlite3_errmsg(db) : "no DIR"), 1;
    shs_options_init(&opt);
    opt.error_form = SHS_ERRORS_PROBLEM;
    opt.port = argc > 2 ? argv[2] : "0";
    shs_tls_host_init(&host);
    host.certs = &cert;
    host.cert_count = 1;
    host.client_auth = SHS_TLS_CLIENT_EXPLAIN; /* without a certificate: 403, and why */
    host.client_ca = "clients.pem";
    shs_tls_config_init(&tls);
    tls.hosts = &host;
    tls.host_count = 1;
    shs_admin_options_init(&side);
    side.path = "admin.sock";
    side.rules = "kv.rules"; /* the same file: roles for both */
    side.audit = "audit.jsonl";
    side.reload = reload;
    if (shs_access_new(&rules, "kv.rules", &err) != 0)
        return fprintf(stderr, "admin_api: %s\n", err.text), 1;
    side.reload_ctx = rules;
    const struct shs_middleware *const in_front[] = {shs_access_middleware(rules), NULL};
    if (shs_router_new(&router, routes, NULL, &err) != 0 ||
        shs_chain_new(&chain, in_front, shs_router_handler(router), &err) != 0 ||
        shs_secure_http_server_new_config(&servers[0], &opt, &tls, shs_chain_handler(chain),
                                          &err) != 0 ||
        (opt.path = "kv.sock", opt.unlink_on_bind = opt.unlink_on_close = true,
         shs_threading_http_server_new(&servers[1], &opt, shs_chain_handler(chain), &err)) != 0 ||
        shs_admin_new(&admin, servers[0], &side, &err) != 0 ||
        shs_admin_add_server(admin, "local", servers[1], &err) != 0)
        return fprintf(stderr, "admin_api: %s\n", err.text), 1;
    sigaction(SIGTERM, &stop, NULL);
    if (pthread_create(&local, NULL, serve_local, servers[1]) != 0)
        return fprintf(stderr, "admin_api: no thread for kv.sock\n"), 1;
    unsigned port = shs_server_port(servers[0]);
    printf("Serving HTTPS on 127.0.0.1 port %u (https://127.0.0.1:%u/) ...\n", port, port);
    fflush(stdout);
    int rc = shs_serve_forever(servers[0]);
    shs_shutdown(servers[1]);
    pthread_join(local, NULL);
    (void)shs_admin_free(admin);
    shs_server_free(servers[0]);
    shs_server_free(servers[1]);
    shs_chain_free(chain);
    shs_router_free(router);
    shs_access_free(rules);
    sqlite3_close(db);
    return rc != 0;
}
