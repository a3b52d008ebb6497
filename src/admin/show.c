/*
 * show.c - what the admin plane tells and does not change.
 */
#ifdef SHS_HAVE_JANSSON
#include "admin/admin.h"

#include <stdio.h>
#include <stdlib.h>

#include <shs/json.h>
#include <shs/query.h>

#include "tls/wire/failure.h"

#define ROWS_AT_A_TIME 64

static int bad_parameter(struct shs_response *res, const char *text)
{
    return shs__admin_refuse(res, 400, text, NULL);
}

/* -- servers ----------------------------------------------------------------------------------- */

static json_t *tls_stats_of(struct shs_server *server)
{
    struct shs_tls_stats stats;

    if (!shs_tls_get_stats(server, &stats))
        return json_null();
    return json_pack("{s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:o, s:o}", "handshakes",
                     (json_int_t)stats.handshakes, "resumed", (json_int_t)stats.resumed, "probes",
                     (json_int_t)stats.causes[SHS_TLS_CAUSE_PROBE], "failed",
                     (json_int_t)shs__tls_failures(&stats), "in_progress",
                     (json_int_t)stats.in_progress, "reloads", (json_int_t)stats.reloads,
                     "reload_failures", (json_int_t)stats.reload_failures, "first_expiry",
                     shs__admin_time(stats.first_expiry), "failed_by_cause",
                     shs__admin_causes(stats.causes));
}

static json_t *addresses_of(struct shs_server *server)
{
    json_t *list = json_array();
    struct shs_listener *at;
    char text[160];

    for (unsigned i = 0; (at = shs_server_listener(server, i)) != NULL; i++) {
        if (shs_listener_family(at) == AF_UNIX)
            snprintf(text, sizeof text, "unix:%s", shs_listener_host(at));
        else
            snprintf(text, sizeof text, "%s port %u", shs_listener_host(at), shs_listener_port(at));
        (void)json_array_append_new(list, shs__admin_text(text));
    }
    return list;
}

struct listing {
    json_t *list;
    bool with_own;
};

static bool add_server(void *listing, struct shs_admin_watch *watch, bool own)
{
    struct shs_server *server = shs__admin_watch_server(watch);
    const struct listing *to = listing;
    struct shs_server_stats stats;

    if (own && !to->with_own)
        return true;
    shs_server_get_stats(server, &stats);
    (void)json_array_append_new(
        to->list,
        json_pack("{s:o, s:b, s:o, s:s, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:o}", "name",
                  shs__admin_text(shs__admin_watch_name(watch)), "admin", (int)own, "addresses",
                  addresses_of(server), "composition", shs_server_describe(server), "connections",
                  (json_int_t)stats.connections, "accepted", (json_int_t)stats.accepted, "refused",
                  (json_int_t)stats.refused, "errors", (json_int_t)stats.errors, "timeouts",
                  (json_int_t)stats.timeouts, "threads", (json_int_t)stats.threads,
                  "stuck_handlers", (json_int_t)stats.stuck_handlers, "tls", tls_stats_of(server)));
    return true;
}

json_t *shs__admin_servers_value(struct shs_admin *self, bool with_own)
{
    struct listing to = {json_array(), with_own};

    shs__admin_each(self, add_server, &to);
    return to.list;
}

int shs__admin_get_servers(struct shs_request *req, struct shs_response *res)
{
    return shs_send_json(res, 200, shs__admin_servers_value(shs_request_ctx(req), true));
}

/* -- connections ------------------------------------------------------------------------------- */

struct wanted {
    struct shs_str server, identity, state; /* ptr NULL: any */
    uint64_t older_ms, limit;
    int64_t now_ns;
    struct shs_json_array out;
};

static bool is_identity(const struct shs_admin_client *client, struct shs_str text)
{
    char uid[32];

    if (client == NULL)
        return false;
    snprintf(uid, sizeof uid, "uid=%ju", (uintmax_t)client->uid);
    return (client->common_name != NULL && shs_str_is(text, client->common_name)) ||
           (client->spiffe_id != NULL && shs_str_is(text, client->spiffe_id)) ||
           (client->spki_sha256 != NULL && shs_str_is(text, client->spki_sha256)) ||
           (client->has_uid && shs_str_is(text, uid));
}

static bool is_wanted(const struct wanted *w, const struct shs_admin_row *row)
{
    if (w->now_ns - row->accepted_ns < (int64_t)w->older_ms * SHS_NS_PER_MS)
        return false;
    if (w->state.ptr != NULL && !shs_str_is(w->state, shs__admin_state_name(row->state)))
        return false;
    return w->identity.ptr == NULL || is_identity(row->client, w->identity);
}

static bool add_connections(void *wanted, struct shs_admin_watch *watch, bool own)
{
    struct shs_admin_row rows[ROWS_AT_A_TIME];
    struct wanted *w = wanted;
    const char *name = shs__admin_watch_name(watch);
    uint64_t after = 0;
    size_t count;

    if (w->server.ptr == NULL ? own : !shs_str_is(w->server, name))
        return true;
    do {
        count = shs__admin_watch_rows(watch, after, rows, SHS_ARRAY_LEN(rows));
        for (size_t i = 0; i < count; i++) {
            after = rows[i].id;
            if (w->limit > 0 && is_wanted(w, &rows[i])) {
                w->limit--;
                (void)shs_json_array_add(&w->out, shs__admin_row_value(&rows[i], name, w->now_ns));
            }
            shs__admin_row_free(&rows[i]);
        }
    } while (count == SHS_ARRAY_LEN(rows) && w->limit > 0);
    return w->limit > 0 && w->out.rc == SHS_OK;
}

static bool is_state(struct shs_str text)
{
    for (int state = 0; state < SHS_ADMIN_STATES; state++) {
        if (shs_str_is(text, shs__admin_state_name((enum shs_admin_state)state)))
            return true;
    }
    return false;
}

static bool is_server(void *text, struct shs_admin_watch *watch, bool own)
{
    struct shs_str *name = text;

    SHS_UNUSED(own);
    if (!shs_str_is(*name, shs__admin_watch_name(watch)))
        return true;
    *name = (struct shs_str){NULL, 0};
    return false;
}

/* An empty list would say that nobody is there, where nobody could be. NULL, or what is wrong. */
static const char *wrong_name(struct shs_admin *self, const struct wanted *w)
{
    struct shs_str server = w->server;

    if (w->state.ptr != NULL && !is_state(w->state))
        return "state is one of handshake, waiting, idle, running";
    if (server.ptr != NULL)
        shs__admin_each(self, is_server, &server);
    return server.ptr == NULL ? NULL : "there is no such server; GET servers has their names";
}

int shs__admin_get_connections(struct shs_request *req, struct shs_response *res)
{
    struct wanted w = {.limit = UINT64_MAX, .now_ns = shs_now_ns()};
    struct shs_str older;
    const char *wrong;

    SHS_RETURN_IF_ERROR(shs_request_query_param(req, "server", &w.server));
    SHS_RETURN_IF_ERROR(shs_request_query_param(req, "identity", &w.identity));
    SHS_RETURN_IF_ERROR(shs_request_query_param(req, "state", &w.state));
    SHS_RETURN_IF_ERROR(shs_request_query_param(req, "older_than", &older));
    SHS_RETURN_IF_ERROR(shs_request_query_number(req, "limit", UINT32_MAX, &w.limit));
    if (older.ptr != NULL && !shs__admin_duration(older, &w.older_ms))
        return bad_parameter(res, "older_than is a time: 500ms, 60s, 10m, 2h, 3d");
    wrong = wrong_name(shs_request_ctx(req), &w);
    if (wrong != NULL)
        return bad_parameter(res, wrong);
    SHS_RETURN_IF_ERROR(shs_json_array_begin(&w.out, res, 200));
    shs__admin_each(shs_request_ctx(req), add_connections, &w);
    return shs_json_array_end(&w.out);
}

/* -- handshakes -------------------------------------------------------------------------------- */

int shs__admin_get_handshakes(struct shs_request *req, struct shs_response *res)
{
    struct shs_admin *self = shs_request_ctx(req);
    struct shs_admin_handshake *items;
    struct shs_json_array out;
    struct shs_str failed;
    size_t count;

    SHS_RETURN_IF_ERROR(shs_request_query_param(req, "failed", &failed));
    SHS_RETURN_IF_ERROR(shs_json_array_begin(&out, res, 200));
    items = shs__malloc(2 * SHS_ADMIN_HANDSHAKES * sizeof *items);
    if (items == NULL)
        return SHS_NOMEM;
    count = shs__admin_handshakes_copy(self->handshakes, shs__admin_is_on(failed), items);
    for (size_t i = 0; i < count; i++)
        (void)shs_json_array_add(&out, shs__admin_handshake_value(&items[i]));
    shs__free(items);
    return shs_json_array_end(&out);
}

/* -- certificates ------------------------------------------------------------------------------ */

struct inventory {
    json_t *items, *by_key; /* the same values: in order, and by what they are */
    const char *server;
    int64_t now, within_s; /* INT64_MAX: all */
};

/* The server uses it as well. */
static bool joins(struct inventory *self, const char *key)
{
    json_t *known = json_object_get(self->by_key, key);

    if (known != NULL)
        (void)json_array_append_new(json_object_get(known, "servers"),
                                    shs__admin_text(self->server));
    return known != NULL;
}

static int64_t floor_days(int64_t seconds)
{
    return seconds >= 0 ? seconds / 86400 : -((-seconds + 86399) / 86400);
}

/* Takes `members`: what only this kind has. */
static void add_item(struct inventory *self, const char *key, const char *kind, const char *file,
                     const char *subject, int64_t since, int64_t when, json_t *members)
{
    int64_t left = when - self->now;
    json_t *item;

    if (left >= self->within_s || joins(self, key)) {
        json_decref(members);
        return;
    }
    item = json_pack("{s:s, s:o, s:o, s:o, s:o, s:I, s:I, s:b, s:b, s:[o]}", "kind", kind, "file",
                     shs__admin_text(file), "subject", shs__admin_text_or_null(subject),
                     "not_before", shs__admin_time(since), "not_after", shs__admin_time(when),
                     "seconds_left", (json_int_t)left, "days_left", (json_int_t)floor_days(left),
                     "early", (int)(since > self->now), "stale", (int)(left <= 0), "servers",
                     shs__admin_text(self->server));
    if (item != NULL && members != NULL)
        (void)json_object_update(item, members);
    json_decref(members);
    (void)json_object_set(self->by_key, key, item);
    (void)json_array_append_new(self->items, item);
}

/* The words of a certificate's names, a blank between. */
static json_t *names_of(const char *names)
{
    json_t *list = json_array();

    while (*names != '\0') {
        size_t len = strcspn(names, " ");

        if (len > 0)
            (void)json_array_append_new(list, shs__admin_text_str((struct shs_str){names, len}));
        names += len + (names[len] == ' ');
    }
    return list;
}

static void add_served(void *inventory, const struct shs_tls_cert_info *cert)
{
    struct inventory *self = inventory;
    char key[80];

    snprintf(key, sizeof key, "cert %s", cert->sha256);
    add_item(self, key, "certificate", cert->source, cert->subject, cert->not_before,
             cert->not_after,
             json_pack("{s:o, s:o, s:o}", "serial", shs__admin_text(cert->serial), "sha256",
                       shs__admin_text(cert->sha256), "names", names_of(cert->names)));
}

static void add_end(void *inventory, const struct shs_tls_end *end)
{
    static const char *const kinds[] = {
        [SHS_TLS_END_CHAIN] = "chain",
        [SHS_TLS_END_OCSP] = "ocsp",
        [SHS_TLS_END_CLIENT_CA] = "client-ca",
        [SHS_TLS_END_CRL] = "crl",
    };
    struct inventory *self = inventory;
    char key[640];

    if (end->kind == SHS_TLS_END_CERT) /* it is there with all it says */
        return;
    snprintf(key, sizeof key, "%s %.250s %.250s %lld", kinds[end->kind], end->source, end->subject,
             (long long)end->when);
    add_item(self, key, kinds[end->kind], end->source, end->subject, end->since, end->when,
             json_pack("{s:s}", "then", end->text));
}

static bool add_certs(void *inventory, struct shs_admin_watch *watch, bool own)
{
    struct inventory *self = inventory;
    struct shs_server *server = shs__admin_watch_server(watch);

    SHS_UNUSED(own);
    self->server = shs__admin_watch_name(watch);
    self->now = shs_server_time(server);
    (void)shs_tls_each_certificate(server, add_served, self);
    (void)shs_tls_each_end(server, add_end, self);
    return true;
}

static int by_end(const void *a, const void *b)
{
    const json_t *const *x = a, *const *y = b;
    json_int_t left = json_integer_value(json_object_get(*x, "seconds_left"));
    json_int_t right = json_integer_value(json_object_get(*y, "seconds_left"));

    return left < right ? -1 : left > right;
}

/* The one that ends first in front. Takes the list. */
static json_t *sorted(json_t *items)
{
    size_t count = json_array_size(items);
    json_t **order = shs__calloc(count + 1, sizeof *order), *list = json_array();

    for (size_t i = 0; order != NULL && i < count; i++)
        order[i] = json_array_get(items, i);
    if (order != NULL && count > 0)
        qsort(order, count, sizeof *order, by_end);
    for (size_t i = 0; order != NULL && i < count; i++)
        (void)json_array_append(list, order[i]);
    json_decref(items);
    if (order == NULL) {
        json_decref(list);
        list = NULL;
    }
    shs__free(order);
    return list;
}

json_t *shs__admin_certs_value(struct shs_admin *self, int64_t within_s)
{
    struct inventory all = {.within_s = within_s};

    all.items = json_array();
    all.by_key = json_object();
    shs__admin_each(self, add_certs, &all);
    json_decref(all.by_key);
    return sorted(all.items);
}

int shs__admin_get_certs(struct shs_request *req, struct shs_response *res)
{
    int64_t within_s = INT64_MAX;
    struct shs_str within;
    uint64_t ms;

    SHS_RETURN_IF_ERROR(shs_request_query_param(req, "expires_within", &within));
    if (within.ptr != NULL && !shs__admin_duration(within, &ms))
        return bad_parameter(res, "expires_within is a time: 12h, 30d");
    if (within.ptr != NULL)
        within_s = (int64_t)(ms / 1000);
    return shs_send_json(res, 200, shs__admin_certs_value(shs_request_ctx(req), within_s));
}

#endif
