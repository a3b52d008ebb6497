/*
 * admin_api.c - a small admin API: keys and values in SQLite, roles by certificate and by uid.
 *
 *   admin_api [PORT]    in a directory with server.pem, server.key, clients.pem (the clients' CA)
 *                       and kv.rules: roles for all that is served, see docs/admin-api.md
 *   curl --cacert ca.pem --cert ann.pem --key ann.key https://localhost:8443/kv
 *   curl -N --unix-socket kv.sock http://kv/watch    put, delete; and reset: read it all again
 *   shs ctl --socket admin.sock connections
 */
#include <jansson.h>
#include <shs/shs.h>
#include <sqlite3.h>
#include <stdio.h>
#include <sys/stat.h>

#define ROW "json_object('key', key, 'value', value)"

static const char schema[] =
    "PRAGMA journal_mode = WAL; PRAGMA max_page_count = 25000;" /* 100 MB; more is 507 */
    "CREATE TABLE IF NOT EXISTS kv (key TEXT PRIMARY KEY CHECK (key GLOB '[!-~]*' AND key NOT GLOB"
    " '*[^!-~]*' AND length(key) <= 64 AND instr(key, char(0)) = 0), value TEXT) WITHOUT ROWID;";
static sqlite3 *db;
static struct shs_sse_channel *news;

/* Answers with the JSON that a statement makes of the path's key, a value and a limit (?1 to ?3).
   What changes something is news for who watches, in the order in which it is done, and 204. */
static int run(struct shs_request *req, struct shs_response *res, const char *event,
               const char *sql, struct shs_str value, uint64_t limit)
{
    struct shs_str key = {NULL, 0};
    sqlite3_stmt *st = NULL;
    char *json = NULL;

    (void)shs_request_param(req, "key", &key);
    sqlite3_mutex_enter(sqlite3_db_mutex(db)); /* one statement at a time */
    int did = sqlite3_prepare_v2(db, sql, -1, &st, NULL);
    if (did == SQLITE_OK) { /* a number that the statement has not is SQLITE_RANGE: no harm */
        (void)sqlite3_bind_text(st, 1, key.ptr, (int)key.len, SQLITE_STATIC);
        (void)sqlite3_bind_text(st, 2, value.ptr, (int)value.len, SQLITE_STATIC);
        (void)sqlite3_bind_int64(st, 3, (sqlite3_int64)limit);
        did = sqlite3_step(st);
    }
    if (did == SQLITE_ROW) {
        json = shs_request_copy(req, shs_str_of((const char *)sqlite3_column_text(st, 0)));
        did = json == NULL ? SQLITE_NOMEM : sqlite3_step(st);
    }
    if (did == SQLITE_DONE && event != NULL && json != NULL)
        (void)shs_sse_channel_send(news, event, json);
    sqlite3_finalize(st);
    sqlite3_mutex_leave(sqlite3_db_mutex(db));
    if (did == SQLITE_CONSTRAINT)
        return shs_send_problem(res, 400, "A key is 1 to 64 printable ASCII characters.");
    if (did == SQLITE_FULL)
        return shs_send_problem(res, 507, "The database is full: delete keys.");
    if (did != SQLITE_DONE)
        return shs_send_problem(res, 500, sqlite3_errstr(did));
    if (json == NULL)
        return shs_send_problem(res, 404, "There is no such key.");
    return event != NULL ? shs_send_response(res, 204)
                         : shs_send_json_text(res, 200, shs_str_of(json));
}

static int list(struct shs_request *req, struct shs_response *res)
{
    struct shs_str after;
    uint64_t limit = 20;

    SHS_RETURN_IF_ERROR(shs_request_query_param(req, "after", &after));
    SHS_RETURN_IF_ERROR(shs_request_query_number(req, "limit", 100, &limit));
    return run(req, res, NULL,
               "SELECT json_group_array(json(row)) FROM (SELECT " ROW " AS row FROM kv"
               " WHERE key > coalesce(?2, '') ORDER BY key LIMIT ?3)",
               after, limit); /* the next page: after the last key */
}

static int get(struct shs_request *req, struct shs_response *res)
{
    return run(req, res, NULL, "SELECT " ROW " FROM kv WHERE key = ?1", shs_str_of(NULL), 0);
}

static int put(struct shs_request *req, struct shs_response *res)
{
    const char *value;
    json_t *in;

    SHS_RETURN_IF_ERROR(shs_request_json(req, NULL, &in));
    if (json_unpack(in, "{s:s!}", "value", &value) != 0 || strlen(value) > 4096)
        return shs_send_problem(res, 422, "Send {\"value\": a text of at most 4096 bytes}.");
    return run(req, res, "put",
               "INSERT INTO kv VALUES (?1, ?2)"
               " ON CONFLICT (key) DO UPDATE SET value = excluded.value RETURNING " ROW,
               shs_str_of(value), 0);
}

static int delete (struct shs_request *req, struct shs_response *res)
{
    return run(req, res, "delete", "DELETE FROM kv WHERE key = ?1 RETURNING " ROW, shs_str_of(NULL),
               0);
}

static int watch(struct shs_request *req, struct shs_response *res)
{
    return shs_sse_channel_serve(news, req, res);
}

static const struct shs_route routes[] = {
    SHS_ROUTE("GET", "/kv", list),      SHS_ROUTE("GET", "/kv/{key}", get),
    SHS_ROUTE("PUT", "/kv/{key}", put), SHS_ROUTE("DELETE", "/kv/{key}", delete),
    SHS_ROUTE("GET", "/watch", watch),  SHS_ROUTES_END};

int main(int argc, char **argv)
{
    const struct shs_place places[] = {
        {.name = "tls",
         .port = argc > 1 ? argv[1] : "0",
         .certfile = "server.pem",
         .keyfile = "server.key",
         .client_ca = "clients.pem",
         .client_auth = SHS_TLS_CLIENT_EXPLAIN}, /* without a certificate: 403, and why */
        {.name = "local", .path = "kv.sock"},
        {.name = "admin", .path = "admin.sock", .admin = true}};
    struct shs_service *service = NULL;
    struct shs_service_options opt;
    struct shs_error err;

    umask(0007); /* the database: for our user and group */
    if (sqlite3_open("kv.db", &db) != SQLITE_OK ||
        sqlite3_exec(db, schema, NULL, NULL, NULL) != SQLITE_OK)
        return fprintf(stderr, "admin_api: kv.db: %s\n", sqlite3_errmsg(db)), 1;
    shs_service_options_init(&opt);
    opt.routes = routes;
    opt.rules = "kv.rules"; /* roles for these routes and for the admin plane */
    opt.audit = "audit.jsonl";
    opt.until = (const int[]){SIGTERM, SIGINT, 0};
    int rc = shs_sse_channel_new(&news, NULL, &err);
    if (rc == 0)
        rc = shs_service_new(&service, places, 3, &opt, &err);
    if (rc == 0) {
        unsigned port = shs_server_port(shs_service_server(service, 0));
        printf("Serving HTTPS on 127.0.0.1 port %u (https://127.0.0.1:%u/) ...\n", port, port);
        fflush(stdout);
        rc = shs_service_run(service, &err);
    }
    if (rc != 0)
        fprintf(stderr, "admin_api: %s\n", err.text);
    shs_service_free(service);
    shs_sse_channel_free(news);
    sqlite3_close(db);
    return rc != 0;
}
