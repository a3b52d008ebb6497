/*
 * change.c - what the admin plane changes: a connection ends.
 */
#ifdef SHS_HAVE_JANSSON
#include "admin/admin.h"

#include <shs/json.h>
#include <shs/query.h>

bool shs__admin_is_on(struct shs_str flag)
{
    return flag.ptr != NULL && !shs_str_is(flag, "0") && !shs_str_is(flag, "false");
}

/* -- a connection ------------------------------------------------------------------------------ */

struct ending {
    uint64_t id;
    bool now, found;
    struct shs_admin_row row;
    const char *server;
};

static bool end_it(void *ending, struct shs_admin_watch *watch, bool own)
{
    struct ending *e = ending;

    SHS_UNUSED(own);
    e->found = shs__admin_watch_end(watch, e->id, e->now, &e->row);
    if (e->found)
        e->server = shs__admin_watch_name(watch);
    return !e->found;
}

int shs__admin_delete_connection(struct shs_request *req, struct shs_response *res)
{
    struct ending e = {.id = 0};
    struct shs_str id, now;
    json_t *was;

    SHS_RETURN_IF_ERROR(shs_request_query_param(req, "now", &now));
    if (!shs_request_param(req, "id", &id) || !shs_str_number(id, UINT64_MAX, &e.id) || e.id == 0)
        return shs__admin_refuse(res, 404, "there is no such connection", NULL);
    /* One's own ends after the answer, however it is meant. */
    e.now = shs__admin_is_on(now) && !shs__admin_watch_is_id_of(shs_request_conn(req), e.id);
    shs__admin_each(shs_request_ctx(req), end_it, &e);
    if (!e.found)
        return shs__admin_refuse(res, 404, "there is no such connection", NULL);
    was = shs__admin_row_value(&e.row, e.server, shs_now_ns());
    shs__admin_row_free(&e.row);
    shs__admin_changed(req, was == NULL ? NULL : json_incref(was),
                       json_string(e.now ? "cut" : "ending"));
    return shs_send_json(res, 200,
                         json_pack("{s:s, s:o}", "done", e.now ? "cut" : "ending", "connection",
                                   was == NULL ? json_null() : was));
}

#endif
