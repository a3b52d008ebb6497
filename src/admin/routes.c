/*
 * routes.c - the table of the admin plane's routes, and what it says of itself.
 */
#ifdef SHS_HAVE_JANSSON
#include "admin/admin.h"

#include <stdio.h>

#include <shs/json.h>
#include <shs/query.h>

#define ROUTES_MAX 64
#define P SHS_ADMIN_PREFIX
#define SWITCHES "dry_run failed force now" /* those that are on or off */

static const struct shs_admin_route rows[] = {
    {"GET", P "/whoami", shs__admin_get_whoami, false, NULL,
     "who you are, and what that lets you do"},
    {"GET", P "/routes", shs__admin_get_routes, false, NULL, "this list"},
    {"GET", P "/status", shs__admin_get_status, false, "for",
     "how the servers do: as JSON, for a browser (Accept: text/html) as a page, and for Accept: "
     "text/event-stream as its news, ?for=10m"},
    {"GET", P "/status.css", shs__admin_get_status_style, false, NULL, "what the page looks like"},
    {"GET", P "/status.js", shs__admin_get_status_script, false, NULL, "what keeps the page new"},
    {"GET", P "/status.svg", shs__admin_get_status_icon, false, NULL, "its icon"},
    {"GET", P "/servers", shs__admin_get_servers, false, NULL,
     "what is looked at: addresses, counters, handshakes by cause"},
    {"GET", P "/connections", shs__admin_get_connections, false,
     "server identity state older_than limit",
     "who is connected; ?server=NAME ?identity=NAME ?state=handshake, waiting, idle or running "
     "?older_than=60s ?limit=100"},
    {"DELETE", P "/connections/{id}", shs__admin_delete_connection, true, "now",
     "ends that one in order, after what is under way; ?now=1 cuts it"},
    {"GET", P "/handshakes", shs__admin_get_handshakes, false, "failed",
     "the last of them, the latest first; ?failed=1 only those that failed"},
    {"GET", P "/certs", shs__admin_get_certs, false, "expires_within",
     "certificates, CAs and CRLs that are loaded; ?expires_within=30d"},
    {"POST", P "/reload", shs__admin_post_reload, true, "dry_run",
     "reads all certificates, CAs, CRLs and rules again; what cannot be used stays as it was and "
     "is "
     "422; with a body {\"certificate\": PEM, \"key\": PEM, \"file\": WHICH} they replace these "
     "files first, all or none; ?dry_run=1 only looks"},
    {"GET", P "/deny", shs__admin_get_deny, false, NULL, "who was denied, and by which id"},
    {"POST", P "/deny", shs__admin_post_deny, true, "force",
     "keeps a client out, and ends its connections, ?force=1 even if it is you: {\"spki\": ...}, "
     "{\"cert\": ...}, "
     "{\"serial\": ..., \"issuer\": ...}, {\"spiffe\": ...} or {\"uid\": ...}"},
    {"GET", P "/drain", shs__admin_get_drain, false, NULL,
     "whether the servers drain, and what it came to so far"},
    {"DELETE", P "/deny/{id}", shs__admin_delete_deny, true, NULL,
     "lets the client in again that GET deny has by that id"},
    {"POST", P "/drain", shs__admin_post_drain, true, "grace timeout",
     "the servers say that they will end: /readyz is 503, connections are taken for ?grace=5s, and "
     "after ?timeout=30s in all requests are cut; again, it hurries, and never puts off"},
    {"POST", P "/undrain", shs__admin_post_undrain, true, NULL,
     "takes that back; 409 when the grace has passed"},
    {"GET", P "/config", shs__admin_get_config, false, NULL,
     "settings, without what is secret; its ETag in If-Match makes a change 412 when it is stale"},
    {"GET", P "/log", shs__admin_get_log, false, NULL, "the level of each server's log"},
    {"PUT", P "/log", shs__admin_put_log, true, NULL,
     "another level, for a time: {\"level\": \"debug\", \"for\": \"10m\", \"only\": \"SERVER\"}"},
    {"GET", P "/keylog", shs__admin_get_keylog, false, NULL,
     "whether secrets of sessions are written"},
    {"POST", P "/keylog", shs__admin_post_keylog, true, "for",
     "writes the secrets of TLS sessions to the file that the program was started with, ?for=60s; "
     "for the role admin only"},
    {"GET", P "/threads", shs__admin_get_threads, false, NULL,
     "each thread: its state, and the request that it is at, and whether it is stuck"},
    {NULL, NULL, NULL, false, NULL, NULL},
};

const struct shs_admin_route *shs__admin_routes(void)
{
    return rows;
}

/* -- parameters -------------------------------------------------------------------------------- */

static const struct shs_admin_route *row_of(struct shs_request *req)
{
    const char *pattern = shs_request_route(req);
    struct shs_str method = shs_request_method(req);

    if (shs_str_is(method, "HEAD"))
        method = SHS_STR("GET");
    for (const struct shs_admin_route *row = rows; pattern != NULL && row->method != NULL; row++) {
        if (shs_str_is(method, row->method) && strcmp(pattern, row->pattern) == 0)
            return row;
    }
    return NULL;
}

static bool has_word(const char *words, struct shs_str name)
{
    for (const char *at = words; at != NULL && *at != '\0';) {
        size_t len = strcspn(at, " ");

        if (shs_str_eq(name, (struct shs_str){at, len}))
            return true;
        at += len + strspn(at + len, " ");
    }
    return false;
}

/* What is misspelt would be left out, and the rest done: "?dryrun=1" would be a reload. */
static int refuse_parameter(struct shs_response *res, const struct shs_admin_route *row,
                            struct shs_str name, bool twice)
{
    char text[256];

    snprintf(text, sizeof text, "%s '%.*s' %s; %s %s takes %s",
             twice ? "the parameter" : "there is no parameter",
             (int)(name.len < 64 ? name.len : 64), name.ptr, twice ? "is given twice" : "here",
             row->method, row->pattern, row->takes == NULL ? "none" : row->takes);
    return shs__admin_refuse(res, 400, text, NULL);
}

/* "?now=no" is not meant to cut. */
static bool is_switch(struct shs_str value)
{
    return value.len == 0 || shs_str_is(value, "1") || shs_str_is(value, "0") ||
           shs_str_is(value, "true") || shs_str_is(value, "false");
}

static int refuse_switch(struct shs_response *res, struct shs_str name)
{
    char text[64];

    snprintf(text, sizeof text, "%.*s is 1 or 0", (int)(name.len < 32 ? name.len : 32), name.ptr);
    return shs__admin_refuse(res, 400, text, NULL);
}

static int check_parameters(struct shs_request *req, struct shs_response *res, void *ctx,
                            const struct shs_next *next)
{
    const struct shs_admin_route *row = row_of(req);
    struct shs_params params;

    SHS_UNUSED(ctx);
    SHS_RETURN_IF_ERROR(shs_request_query_params(req, &params));
    for (size_t i = 0; row != NULL && i < params.count; i++) {
        char name[64];

        if (!has_word(row->takes, params.at[i].name))
            return refuse_parameter(res, row, params.at[i].name, false);
        if (has_word(SWITCHES, params.at[i].name) && !is_switch(params.at[i].value))
            return refuse_switch(res, params.at[i].name);
        snprintf(name, sizeof name, "%.*s", (int)params.at[i].name.len, params.at[i].name.ptr);
        if (shs_params_get(&params, name, 1).ptr != NULL)
            return refuse_parameter(res, row, params.at[i].name, true);
    }
    return shs_next_call(next, req, res);
}

/* -- the router -------------------------------------------------------------------------------- */

int shs__admin_router_new(struct shs_admin *self, struct shs_error *err)
{
    static const struct shs_middleware parameters = {"parameters", check_parameters, NULL};
    static const struct shs_middleware change = {"change", shs__admin_change, NULL};
    static const struct shs_middleware *const reads[] = {&parameters, NULL};
    static const struct shs_middleware *const changes[] = {&parameters, &change, NULL};
    struct shs_route routes[ROUTES_MAX];
    size_t count = 0;

    memset(routes, 0, sizeof routes);
    for (const struct shs_admin_route *row = rows; row->method != NULL; row++)
        routes[count++] = (struct shs_route){
            .method = row->method,
            .pattern = row->pattern,
            .fn = row->fn,
            .chain = row->changes ? changes : reads,
        };
    routes[count++] =
        (struct shs_route){.method = "GET", .pattern = "/", .fn = shs__admin_get_root};
    if (self->opt.health != NULL) {
        const struct shs_http_handler *handler = shs_health_handler(self->opt.health);

        routes[count++] = (struct shs_route)SHS_MOUNT("GET", "/livez", handler);
        routes[count++] = (struct shs_route)SHS_MOUNT("GET", "/readyz", handler);
    }
    if (self->opt.metrics != NULL)
        routes[count++] =
            (struct shs_route)SHS_MOUNT("GET", "/metrics", shs_metrics_handler(self->opt.metrics));
    return shs_router_new(&self->router, routes, self, err);
}

int shs__admin_get_routes(struct shs_request *req, struct shs_response *res)
{
    json_t *list = json_array();

    SHS_UNUSED(req);
    for (const struct shs_admin_route *row = rows; list != NULL && row->method != NULL; row++)
        (void)json_array_append_new(list, json_pack("{s:s, s:s, s:b, s:s}", "method", row->method,
                                                    "path", row->pattern, "changes",
                                                    (int)row->changes, "does", row->does));
    return shs_send_json(res, 200, list);
}

int shs__admin_get_whoami(struct shs_request *req, struct shs_response *res)
{
    const struct shs_admin_call *call = shs__admin_call(req);

    return shs_send_json(
        res, 200,
        json_pack("{s:s, s:s, s:o, s:o, s:o, s:o, s:o}", "name", call->name, "via", call->via,
                  "identity", shs__admin_who(call), "role",
                  shs__admin_text_or_null(call->decision.role), "ca",
                  shs__admin_text_or_null(call->decision.ca), "rule",
                  shs__admin_text_or_null(call->decision.rule), "peer",
                  shs__admin_text_or_null(shs_conn_client_host(shs_request_conn(req)))));
}

#endif
