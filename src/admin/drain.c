/*
 * drain.c - the servers say that they will end, and end; or go on after all.
 */
#ifdef SHS_HAVE_JANSSON
#include "admin/admin.h"

#include <shs/json.h>
#include <shs/query.h>

#include "server/drain.h"
#include "server/server.h"

/* -- what is told ------------------------------------------------------------------------------ */

/* Draining, and it cannot be taken back any more; or it is closed already. */
static bool is_over(const struct shs_server *server)
{
    return shs_server_stopping(server) ||
           (shs_server_draining(server) && shs__drain_until(server) <= shs_now_ns());
}

static const char *state_of(const struct shs_server *server)
{
    if (is_over(server))
        return "stopping";
    return shs_server_draining(server) ? "draining" : "serving";
}

/* So long connections are still taken; null: nothing ends that. */
static json_t *left_of(const struct shs_server *server)
{
    int64_t until = shs__drain_until(server), now = shs_now_ns();

    if (until == INT64_MAX)
        return json_null();
    return json_real(until <= now ? 0 : (double)(until - now) / (double)SHS_NS_PER_S);
}

static bool add_server(void *servers, struct shs_admin_watch *watch, bool own)
{
    struct shs_server *server = shs__admin_watch_server(watch);
    struct shs_drain_receipt sum;

    if (own)
        return true;
    shs_server_get_receipt(server, &sum);
    (void)json_object_set_new(
        servers, shs__admin_watch_name(watch),
        json_pack("{s:s, s:o, s:I, s:I, s:I, s:I, s:I, s:f}", "state", state_of(server),
                  "grace_left_s", left_of(server), "served", (json_int_t)sum.served, "closed",
                  (json_int_t)sum.closed, "cut", (json_int_t)sum.cut, "open", (json_int_t)sum.open,
                  "busy", (json_int_t)sum.busy, "took_s", (double)sum.took_ms / 1000));
    return true;
}

static json_t *servers_of(struct shs_admin *self)
{
    json_t *servers = json_object();

    shs__admin_each(self, add_server, servers);
    return servers;
}

int shs__admin_get_drain(struct shs_request *req, struct shs_response *res)
{
    return shs_send_json(res, 200, servers_of(shs_request_ctx(req)));
}

static int answer_done(struct shs_request *req, struct shs_response *res, const char *done,
                       json_t *before)
{
    json_t *after = servers_of(shs_request_ctx(req));

    shs__admin_changed(req, before, after == NULL ? NULL : json_incref(after));
    return shs_send_json(res, 200, json_pack("{s:s, s:o}", "done", done, "servers", after));
}

/* -- POST drain -------------------------------------------------------------------------------- */

struct wish {
    unsigned grace_ms, stop_ms;
};

#define IS_A_TIME " is a time of 49 days at most: 500ms, 30s, 10m"

/* *given is false when it is not in the query; *wrong becomes `is_a_time` when it is none. */
static int read_time(struct shs_request *req, const char *name, const char *is_a_time, uint64_t *ms,
                     bool *given, const char **wrong)
{
    struct shs_str text;

    SHS_RETURN_IF_ERROR(shs_request_query_param(req, name, &text));
    *given = text.ptr != NULL;
    if (*given && !(shs__admin_duration(text, ms) && *ms < SHS_DRAIN_ENDLESS))
        *wrong = is_a_time;
    return SHS_OK;
}

/* `timeout` is all the time there is, and the grace the first part of it. */
static int read_wish(struct shs_request *req, const struct shs_admin *self, struct wish *w,
                     const char **wrong)
{
    uint64_t grace = self->opt.drain_grace_ms, whole = 0;
    bool has_grace, has_whole;

    *wrong = NULL;
    SHS_RETURN_IF_ERROR(read_time(req, "grace", "grace" IS_A_TIME, &grace, &has_grace, wrong));
    SHS_RETURN_IF_ERROR(read_time(req, "timeout", "timeout" IS_A_TIME, &whole, &has_whole, wrong));
    if (*wrong == NULL && has_grace && has_whole && grace > whole)
        *wrong = "grace is a part of timeout, and cannot be longer";
    if (has_whole && grace > whole)
        grace = whole;
    w->grace_ms = (unsigned)grace;
    w->stop_ms = has_whole ? (unsigned)(whole - grace) : SHS_DRAIN_STOP;
    return SHS_OK;
}

static bool drain(void *wish, struct shs_admin_watch *watch, bool own)
{
    const struct wish *w = wish;

    if (!own)
        shs_server_drain(shs__admin_watch_server(watch), w->grace_ms, w->stop_ms);
    return true;
}

int shs__admin_post_drain(struct shs_request *req, struct shs_response *res)
{
    struct shs_admin *self = shs_request_ctx(req);
    const char *wrong;
    json_t *before;
    struct wish w;

    SHS_RETURN_IF_ERROR(read_wish(req, self, &w, &wrong));
    if (wrong != NULL)
        return shs__admin_refuse(res, 422, wrong, NULL);
    before = servers_of(self);
    shs__admin_each(self, drain, &w);
    return answer_done(req, res, "draining", before);
}

/* -- POST undrain ------------------------------------------------------------------------------ */

static bool find_over(void *over, struct shs_admin_watch *watch, bool own)
{
    *(bool *)over = !own && is_over(shs__admin_watch_server(watch));
    return !*(bool *)over;
}

static bool undrain(void *over, struct shs_admin_watch *watch, bool own)
{
    if (!own && shs_server_undrain(shs__admin_watch_server(watch)) != SHS_OK)
        *(bool *)over = true;
    return true;
}

int shs__admin_post_undrain(struct shs_request *req, struct shs_response *res)
{
    struct shs_admin *self = shs_request_ctx(req);
    json_t *before = servers_of(self);
    bool over = false;

    /* All of them or none; one whose grace ends just now is the exception. */
    shs__admin_each(self, find_over, &over);
    if (!over)
        shs__admin_each(self, undrain, &over);
    if (over) {
        json_decref(before);
        return shs__admin_refuse(res, 409,
                                 "it is too late: the grace has passed, and the program ends",
                                 json_pack("{s:o}", "servers", servers_of(self)));
    }
    return answer_done(req, res, "serving", before);
}

#endif
